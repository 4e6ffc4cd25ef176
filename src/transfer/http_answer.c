/*
 * http_answer.c
 *	  What came of a request, as the conversation is told (CsResponse): the
 *	  answer, or why there is none, how bad that is, and where the time went.
 *	  No text here holds a URL's path or query, or anything of the credentials.
 *
 * Usable in the server and in plain programs.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/utf8.h"
#include "http.h"

/* Before curl 8.6 a header that never ends was memory that ran out. */
#if LIBCURL_VERSION_NUM < 0x080600
#define CURLE_TOO_LARGE CURLE_OUT_OF_MEMORY
#endif

#define RETRY_AFTER_MAX 3600 /* s; what is more is not believed */

/* The request is not made, or could not be: this is why. */
void
cs_http_refuse(CsHttpTask *task, CsFailureClass failure_class,
			   const char *detail, const char *format, ...)
{
	char message[CS_MESSAGE_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	cs_failure_set(&task->failure, failure_class, detail, "%s", message);
}

/* ---- where the time went ---- */

typedef struct Phase
{
	const char *name;
	int64 end; /* us from the start; 0: it was not reached */
} Phase;

static int64
info_time(CsHttpTask *task, CURLINFO info)
{
	curl_off_t time = 0;

	curl_easy_getinfo(task->handle->easy, info, &time);
	return (int64) time;
}

/* "DNS 1 ms, connecting 2 ms, ..., content 12 ms" */
static void
tell_times(CsHttpTask *task, char *text, size_t room)
{
	bool tls = strcmp(task->origin.scheme, "https") == 0;
	int64 total = Max(task->ended_at - task->launched_at, 0);
	int64 sent = task->sent_at > 0 ? task->sent_at - task->launched_at : 0;
	int64 pretransfer = info_time(task, CURLINFO_PRETRANSFER_TIME_T);
	Phase phases[] = {
		{"DNS", info_time(task, CURLINFO_NAMELOOKUP_TIME_T)},
		{"connecting", info_time(task, CURLINFO_CONNECT_TIME_T)},
		{"TLS", tls ? info_time(task, CURLINFO_APPCONNECT_TIME_T) : -1},
		{"sending", pretransfer > 0 ? Max(sent, pretransfer) : 0},
		{"first byte", info_time(task, CURLINFO_STARTTRANSFER_TIME_T)},
		{"content", 0}};
	int64 before = 0;
	size_t used = 0;

	/* A connection that was there already took no time. */
	for (int i = 0; i < 3; i++)
		if (task->connected && phases[i].end == 0)
			phases[i].end = -1;
	text[0] = '\0';
	for (int i = 0; i < lengthof(phases); i++)
	{
		int64 end = phases[i].end;
		bool last = end == 0;

		if (end < 0)
			continue;
		if (last)
			end = total;
		end = Max(Min(end, total), before);
		used += snprintf(text + used, room - used, "%s%s %lld ms",
						 used > 0 ? ", " : "", phases[i].name,
						 (long long) ((end - before) / 1000));
		before = end;
		if (last || used >= room)
			break;
	}
}

/* ---- why there is no answer ---- */

static void
fail(CsHttpTask *task, CsFailureClass failure_class, const char *words,
	 const char *format, ...) __attribute__((format(printf, 4, 5)));

static void
fail(CsHttpTask *task, CsFailureClass failure_class, const char *words,
	 const char *format, ...)
{
	char message[CS_MESSAGE_MAX];
	char times[256];
	char detail[CS_DETAIL_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	tell_times(task, times, sizeof(times));
	snprintf(detail, sizeof(detail), "%.230s%s(%s)", words,
			 words[0] != '\0' ? " " : "", times);
	cs_failure_set(&task->failure, failure_class, detail, "%s", message);
}

static void
time_was_up(CsHttpTask *task)
{
	const CsHttpSettings *settings = &task->http->settings;
	bool first = strcmp(task->limit, "cloudsync.response_timeout") == 0;
	bool slow = strcmp(task->limit, "cloudsync.low_speed_time") == 0;
	int limit = first  ? settings->response_timeout
				: slow ? settings->low_speed_time
					   : settings->transfer_timeout;

	task->response.error = ETIMEDOUT;
	if (strcmp(task->limit, CS_HTTP_HELD) == 0)
	{
		fail(task, CS_FAIL_RETRY_LATER, "", "%s held its answer back for longer than %g s",
			 task->origin.host, task->request.held_ms / 1000.0);
		return;
	}
	fail(task, CS_FAIL_RETRY_LATER, "",
		 first	? "%s did not answer within %g s (%s)"
		 : slow ? "%s was slower than 1 KiB/s for %g s (%s)"
				: "the transfer with %s took longer than %g s (%s)",
		 task->origin.host, limit / 1000.0, task->limit);
}

/* Before there was a connection to send anything on. */
static void
not_connected(CsHttpTask *task, const char *words)
{
	const char *host = task->origin.host;
	int port = task->origin.port;
	const char *by = task->http->settings.proxy[0] != '\0'
						 ? " through cloudsync.proxy"
						 : "";

	task->response.error = EHOSTUNREACH;
	switch (task->code)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
			fail(task, CS_FAIL_UNREACHABLE, words,
				 "the name \"%s\" was not found", host);
			break;
		case CURLE_OPERATION_TIMEDOUT:
			task->response.error = ETIMEDOUT;
			fail(task, CS_FAIL_UNREACHABLE, words,
				 "no connection to %s:%d%s within %g s "
				 "(cloudsync.connect_timeout)",
				 host, port, by, task->http->settings.connect_timeout / 1000.0);
			break;
		case CURLE_PEER_FAILED_VERIFICATION:
			fail(task, CS_FAIL_UNREACHABLE, words,
				 "the certificate of %s:%d is not to be trusted", host, port);
			break;
		case CURLE_OUT_OF_MEMORY:
		case CURLE_FAILED_INIT:
			fail(task, CS_FAIL_RETRY_LATER, words, "out of memory");
			break;
		default:
			fail(task, CS_FAIL_UNREACHABLE, words, "no connection to %s:%d%s",
				 host, port, by);
			break;
	}
}

static void
broke_off(CsHttpTask *task, const char *words)
{
	const char *host = task->origin.host;

	task->response.error = EIO;
	if (task->code == CURLE_OUT_OF_MEMORY || task->code == CURLE_TOO_LARGE)
		fail(task, CS_FAIL_RETRY_LATER, "",
			 "the answer of %s has a header that is too long, or memory ran out",
			 host);
	else if (task->code == CURLE_PARTIAL_FILE)
		fail(task, CS_FAIL_RETRY_LATER, words,
			 "the answer of %s ended before its end", host);
	else if (task->answered)
		fail(task, CS_FAIL_RETRY_LATER, words, "the answer of %s broke off",
			 host);
	else
		fail(task, CS_FAIL_RETRY_LATER, words,
			 "%s closed the connection without an answer", host);
}

static void
no_answer(CsHttpTask *task)
{
	const char *words = task->handle->error[0] != '\0'
							? task->handle->error
							: curl_easy_strerror(task->code);

	task->response.error = EIO;
	if (task->limit != NULL)
		time_was_up(task);
	else if (task->why != NULL)
		fail(task,
			 strcmp(task->why, "out of memory") == 0 ? CS_FAIL_RETRY_LATER
													  : CS_FAIL_BROKEN,
			 "", "%s: %s", task->origin.host, task->why);
	else if (task->refused[0] != '\0' && !task->connected)
	{
		task->response.error = EACCES;
		cs_failure_set(&task->failure, CS_FAIL_UNREACHABLE,
					   "Addresses that are not public must be named themselves "
					   "in cloudsync.allowed_endpoints.",
					   "%s leads to the address %s, which is not allowed",
					   task->origin.host, task->refused);
	}
	else if (!task->connected)
		not_connected(task, words);
	else
		broke_off(task, words);
}

/* ---- the answer ---- */

/* What a server says is not text until it is: no controls, valid UTF-8. */
static void
clean(char *value)
{
	bool valid = cs_utf8_valid(value);

	for (; *value != '\0'; value++)
	{
		unsigned char c = (unsigned char) *value;

		if (c == '\t')
			*value = ' ';
		else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !valid))
			*value = '?';
	}
}

static void
take_headers(CsHttpTask *task)
{
	CsHttpHandle *handle = task->handle;

	for (int i = 0; i < handle->n_answer; i++)
	{
		clean(unconstify(char *, handle->answer[i].name));
		clean(unconstify(char *, handle->answer[i].value));
	}
	task->response.headers = handle->answer;
	task->response.n_headers = handle->n_answer;
}

/* Both forms; nonsense is as if there were none. */
static int64
retry_after(CsHttpTask *task)
{
	curl_off_t seconds = 0;

	for (int i = 0; i < task->response.n_headers; i++)
	{
		const CsHeader *header = &task->response.headers[i];

		if (strcmp(header->name, "retry-after") != 0)
			continue;
		curl_easy_getinfo(task->handle->easy, CURLINFO_RETRY_AFTER, &seconds);
		if (seconds > 0)
			return (int64) Min(seconds, RETRY_AFTER_MAX) * 1000;
		return strcmp(header->value, "0") == 0 ? 0 : -1;
	}
	return -1;
}

static bool
has_body(const CsHttpTask *task)
{
	return task->hash != NULL || task->request.kind == CS_REQ_HASH_BODY ||
		   task->request.send == CS_SEND_BODY ||
		   task->request.into == CS_INTO_BODY;
}

void
cs_http_answer(CsHttpTask *task)
{
	CsResponse *response = &task->response;
	bool launched = task->launched_at > 0;
	long n = 0;

	response->status = 0;
	response->clock = cs_http_clock();
	response->text = task->text_len > 0 ? task->text : "";
	response->text_len = task->text_len;
	response->size = task->request.send == CS_SEND_BODY
						 ? cs_http_body_sent(task)
						 : task->received;
	if (task->request.kind == CS_REQ_HASH_BODY)
		response->size = task->offset - task->request.from;
	else if (launched)
	{
		take_headers(task);
		curl_easy_getinfo(task->handle->easy, CURLINFO_REQUEST_SIZE, &n);
		response->sent = n > 0 || task->sent > 0;
		response->resent = task->resent;
	}
	if (has_body(task))
		cs_http_hash_answer(task);
	if (response->body_failure != NULL)
		return;
	if (launched && task->failure.failure_class == CS_FAIL_NONE)
	{
		if (task->code == CURLE_OK && task->why == NULL && task->limit == NULL)
		{
			curl_easy_getinfo(task->handle->easy, CURLINFO_RESPONSE_CODE, &n);
			response->status = (int) n;
			curl_easy_getinfo(task->handle->easy, CURLINFO_HTTP_VERSION, &n);
			task->place->multiplexes = n >= CURL_HTTP_VERSION_2_0;
			response->retry_after_ms = retry_after(task);
			response->sent = true;
			return;
		}
		no_answer(task);
	}
	if (task->failure.failure_class != CS_FAIL_NONE)
	{
		if (response->error == 0)
			response->error = EACCES;
		response->failure = &task->failure;
		response->detail = task->failure.message;
	}
}
