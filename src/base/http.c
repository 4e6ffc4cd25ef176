/*
 * http.c
 *	  HTTP answers turned into failures, and dates
 *	  (include/cloudsync/http.h). Usable in the server and in plain programs.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <curl/curl.h>

#include "cloudsync/http.h"

/* No server may put work off for longer than this. */
#define MAX_RETRY_AFTER_MS (24 * 60 * 60 * 1000)

const char *
cs_http_header(const CsResponse *answer, const char *name)
{
	for (int i = 0; i < answer->n_headers; i++)
	{
		if (strcmp(answer->headers[i].name, name) == 0)
			return answer->headers[i].value;
	}
	return NULL;
}

static const struct
{
	int status;
	CsFailureClass failure_class;
	const char *what;
} statuses[] = {
	{400, CS_FAIL_BROKEN, "the server does not understand the request"},
	{401, CS_FAIL_NEEDS_CONSENT, "the server does not accept the credentials"},
	{402, CS_FAIL_NEEDS_CONSENT, "the server asks for a payment"},
	{403, CS_FAIL_FORBIDDEN, "the server forbids it"},
	{404, CS_FAIL_GONE, "it is not there"},
	{405, CS_FAIL_BROKEN, "the server does not know the method"},
	{407, CS_FAIL_UNREACHABLE, "the proxy asks for credentials"},
	{408, CS_FAIL_RETRY_LATER, "the server waited too long"},
	{409, CS_FAIL_CONFLICT, "it conflicts with what is there"},
	{410, CS_FAIL_GONE, "it is not there any more"},
	{411, CS_FAIL_BROKEN, "the server wants to know the length"},
	{412, CS_FAIL_CONFLICT, "it is not what was expected to be there"},
	{413, CS_FAIL_REFUSED, "it is too large for the server"},
	{414, CS_FAIL_REFUSED, "its name is too long for the server"},
	{415, CS_FAIL_REFUSED, "the server does not take this kind of file"},
	{416, CS_FAIL_CHANGED, "it is shorter than it was"},
	{423, CS_FAIL_RETRY_LATER, "it is locked"},
	{425, CS_FAIL_RETRY_LATER, "the server asks for another try"},
	{429, CS_FAIL_RETRY_LATER, "the server asks for fewer requests"},
	{451, CS_FAIL_REFUSED, "the server may not take or give it"},
	{500, CS_FAIL_RETRY_LATER, "the server had an error"},
	{501, CS_FAIL_BROKEN, "the server cannot do this"},
	{502, CS_FAIL_RETRY_LATER, "the server behind the gateway had an error"},
	{503, CS_FAIL_RETRY_LATER, "the server is not available"},
	{504, CS_FAIL_RETRY_LATER, "the server behind the gateway did not answer"},
	{507, CS_FAIL_QUOTA, "the storage is full"},
};

/* What a status means where something else was hoped for. */
static CsFailureClass
class_of(int status, const char **what)
{
	for (int i = 0; i < (int) lengthof(statuses); i++)
	{
		if (statuses[i].status == status)
		{
			*what = statuses[i].what;
			return statuses[i].failure_class;
		}
	}
	if (status >= 500 && status <= 599)
	{
		*what = "the server had an error";
		return CS_FAIL_RETRY_LATER;
	}
	if (status >= 300 && status <= 399)
	{
		*what = "the server says that it is elsewhere";
		return CS_FAIL_UNREACHABLE;
	}
	*what = "the answer makes no sense here";
	return CS_FAIL_BROKEN;
}

/* The start of an answer's text, if it is words for people; else NULL. */
static const char *
words_of(const CsResponse *answer)
{
	const char *type = cs_http_header(answer, "content-type");
	const char *text = answer->text;

	if (text == NULL || answer->text_len <= 0 ||
		(type != NULL && pg_strncasecmp(type, "text/", 5) != 0 &&
		 pg_strncasecmp(type, "application/json", 16) != 0) ||
		(type != NULL && pg_strncasecmp(type, "text/html", 9) == 0))
		return NULL;
	text += strspn(text, " \t\r\n");
	return *text == '\0' || *text == '<' ? NULL : text;
}

void
cs_http_failure(CsFailure *failure, const CsResponse *answer,
				const char *action, const char *words)
{
	CsFailureClass failure_class;
	const char *what;

	if (answer->body_failure != NULL)
	{
		*failure = *answer->body_failure;
		return;
	}
	if (answer->status == 0 || answer->error != 0)
	{
		CsFailure none = {.failure_class = CS_FAIL_RETRY_LATER,
						  .message = "there was no answer"};
		const CsFailure *why =
			answer->failure != NULL ? answer->failure : &none;

		cs_failure_set(failure, why->failure_class, why->detail,
					   "could not %s: %s", action, why->message);
		failure->retry_after_ms = why->retry_after_ms;
		return;
	}
	failure_class = class_of(answer->status, &what);
	cs_failure_set(
		failure, failure_class, words != NULL ? words : words_of(answer),
		"could not %s: %s (HTTP status %d)", action, what, answer->status);
	if (failure_class == CS_FAIL_RETRY_LATER && answer->retry_after_ms > 0)
		failure->retry_after_ms =
			(int) Min(answer->retry_after_ms, MAX_RETRY_AFTER_MS);
}

int64
cs_http_date(const char *text)
{
	time_t seconds = curl_getdate(text, NULL);

	/* the parser's -1 is an error; nothing is from before 1970 or after 9999 */
	return seconds > 0 && seconds < INT64CONST(253402300800)
			   ? (int64) seconds * 1000000
			   : 0;
}

/* Days from 1970-01-01 to a date of the Gregorian calendar. */
static int64
days_of(int year, int month, int day)
{
	int64 y = month <= 2 ? year - 1 : year;
	int64 m = month <= 2 ? month + 9 : month - 3;

	return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 -
		   719468;
}

/* Reads exactly n digits. */
static bool
digits(const char **text, int n, int *value)
{
	*value = 0;
	for (int i = 0; i < n; i++)
	{
		if (**text < '0' || **text > '9')
			return false;
		*value = *value * 10 + (*(*text)++ - '0');
	}
	return true;
}

static bool
one_of(const char **text, const char *characters)
{
	if (**text == '\0' || strchr(characters, **text) == NULL)
		return false;
	(*text)++;
	return true;
}

int64
cs_iso_date(const char *text)
{
	int year, month, day, hour, minute, second;
	int zone_hour = 0;
	int zone_minute = 0;
	int64 fraction = 0;
	int64 unit = 1000000;
	int64 offset;
	int64 seconds;
	char sign;

	if (!digits(&text, 4, &year) || !one_of(&text, "-") ||
		!digits(&text, 2, &month) || !one_of(&text, "-") ||
		!digits(&text, 2, &day) || !one_of(&text, "Tt ") ||
		!digits(&text, 2, &hour) || !one_of(&text, ":") ||
		!digits(&text, 2, &minute) || !one_of(&text, ":") ||
		!digits(&text, 2, &second))
		return 0;
	if (one_of(&text, ".,"))
	{
		for (; *text >= '0' && *text <= '9'; text++)
		{
			unit /= 10;
			fraction += unit * (*text - '0');
		}
	}
	sign = *text;
	if (!one_of(&text, "Zz+-"))
		return 0;
	if (sign == '+' || sign == '-')
	{
		if (!digits(&text, 2, &zone_hour))
			return 0;
		one_of(&text, ":");
		if (!digits(&text, 2, &zone_minute))
			return 0;
	}
	if (*text != '\0' || year < 1970 || month < 1 || month > 12 || day < 1 ||
		day > 31 || hour > 23 || minute > 59 || second > 60 || zone_hour > 23 ||
		zone_minute > 59)
		return 0;
	offset = (int64) zone_hour * 3600 + zone_minute * 60;
	if (sign == '-')
		offset = -offset;
	seconds = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 +
			  second - offset;
	return seconds > 0 ? seconds * 1000000 + fraction : 0;
}
