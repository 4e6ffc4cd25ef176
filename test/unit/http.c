/* sources: src/base/http.c src/base/failure.c src/base/utf8.c */
/*
 * What HTTP answers mean, and dates.
 */
#include "postgres_fe.h"

#include "cloudsync/http.h"
#include "tap.h"

static CsFailure failure;

static void
means(int status, CsFailureClass failure_class)
{
	CsResponse answer = {.status = status, .retry_after_ms = -1};

	cs_http_failure(&failure, &answer, "write \"/a\"", NULL);
	tap_ok(failure.failure_class == failure_class, "status %d", status);
	tap_ok(strncmp(failure.message, "could not write \"/a\": ", 22) == 0,
		   "its message: %s", failure.message);
	tap_ok(failure.retry_after_ms == 0, "no time said");
}

static void
test_statuses(void)
{
	means(400, CS_FAIL_BROKEN);
	means(401, CS_FAIL_NEEDS_CONSENT);
	means(403, CS_FAIL_FORBIDDEN);
	means(404, CS_FAIL_GONE);
	means(405, CS_FAIL_BROKEN);
	means(408, CS_FAIL_RETRY_LATER);
	means(409, CS_FAIL_CONFLICT);
	means(410, CS_FAIL_GONE);
	means(412, CS_FAIL_CONFLICT);
	means(413, CS_FAIL_REFUSED);
	means(414, CS_FAIL_REFUSED);
	means(423, CS_FAIL_RETRY_LATER);
	means(425, CS_FAIL_RETRY_LATER);
	means(429, CS_FAIL_RETRY_LATER);
	means(500, CS_FAIL_RETRY_LATER);
	means(501, CS_FAIL_BROKEN);
	means(502, CS_FAIL_RETRY_LATER);
	means(503, CS_FAIL_RETRY_LATER);
	means(504, CS_FAIL_RETRY_LATER);
	means(507, CS_FAIL_QUOTA);
	means(599, CS_FAIL_RETRY_LATER);
	means(301, CS_FAIL_UNREACHABLE);
	means(302, CS_FAIL_UNREACHABLE);
	means(307, CS_FAIL_UNREACHABLE);
	means(308, CS_FAIL_UNREACHABLE);
	means(200, CS_FAIL_BROKEN);
	means(100, CS_FAIL_BROKEN);
	means(999, CS_FAIL_BROKEN);
}

static void
words(const char *type, const char *text, const char *wanted)
{
	CsHeader header = {"content-type", type};
	CsResponse answer = {.status = 403,
						 .headers = &header,
						 .n_headers = type != NULL,
						 .text = text,
						 .text_len = (int64) strlen(text)};

	cs_http_failure(&failure, &answer, "read \"/a\"", NULL);
	tap_is(failure.detail, wanted, "words of the server");
}

static void
test_words(void)
{
	CsResponse answer = {.status = 403};

	words("text/plain", "  no such luck", "no such luck");
	words(NULL, "no type", "no type");
	words("application/json", "{\"error\":1}", "{\"error\":1}");
	words("text/html", "<h1>Forbidden</h1>", "");
	words("text/html; charset=utf-8", "Forbidden", "");
	words("text/plain", "<html>", "");
	words("application/octet-stream", "bytes", "");
	words("text/plain", "a\r\nb\x1b[0m", "a??b?[0m");
	words("text/plain", " \n", "");
	cs_http_failure(&failure, &answer, "read \"/a\"", "the service's own");
	tap_is(failure.detail, "the service's own", "words given are the detail");
	tap_is(failure.message,
		   "could not read \"/a\": the server forbids it (HTTP status 403)",
		   "the whole message");
}

static void
test_no_answer(void)
{
	CsFailure carriers = {.failure_class = CS_FAIL_UNREACHABLE,
						  .retry_after_ms = 5,
						  .message = "no connection",
						  .detail = "refused"};
	CsFailure bodys = {.failure_class = CS_FAIL_CHANGED, .message = "changed"};
	CsResponse answer = {.status = 0, .error = EIO, .failure = &carriers};

	cs_http_failure(&failure, &answer, "read \"/a\"", NULL);
	tap_ok(failure.failure_class == CS_FAIL_UNREACHABLE, "the carrier's class");
	tap_is(failure.message, "could not read \"/a\": no connection",
		   "the carrier's message");
	tap_is(failure.detail, "refused", "the carrier's detail");
	tap_ok(failure.retry_after_ms == 5, "the carrier's time");
	answer.failure = NULL;
	cs_http_failure(&failure, &answer, "read \"/a\"", NULL);
	tap_ok(failure.failure_class == CS_FAIL_RETRY_LATER,
		   "no answer and no reason");
	answer.body_failure = &bodys;
	cs_http_failure(&failure, &answer, "read \"/a\"", NULL);
	tap_ok(failure.failure_class == CS_FAIL_CHANGED &&
			   strcmp(failure.message, "changed") == 0,
		   "the body's failure is passed on");
}

static void
test_retry_after(void)
{
	CsResponse answer = {.status = 429, .retry_after_ms = 7000};

	cs_http_failure(&failure, &answer, "read \"/a\"", NULL);
	tap_ok(failure.retry_after_ms == 7000, "Retry-After is obeyed");
	answer.retry_after_ms = INT64CONST(1) << 60;
	cs_http_failure(&failure, &answer, "read \"/a\"", NULL);
	tap_ok(failure.retry_after_ms == 24 * 60 * 60 * 1000,
		   "but not for more than a day");
	answer.retry_after_ms = 0;
	cs_http_failure(&failure, &answer, "read \"/a\"", NULL);
	tap_ok(failure.retry_after_ms == 0, "none");
	answer.status = 403;
	answer.retry_after_ms = 7000;
	cs_http_failure(&failure, &answer, "read \"/a\"", NULL);
	tap_ok(failure.retry_after_ms == 0, "where it means nothing");
}

static void
test_headers(void)
{
	CsHeader headers[] = {{"etag", "\"x\""}, {"date", "d"}, {"etag", "y"}};
	CsResponse answer = {.headers = headers, .n_headers = 3};

	tap_is(cs_http_header(&answer, "etag"), "\"x\"", "the first of its name");
	tap_is(cs_http_header(&answer, "date"), "d", "another");
	tap_is(cs_http_header(&answer, "location"), NULL, "one that is not there");
}

static void
date(bool iso, const char *text, int64 wanted)
{
	int64 got = iso ? cs_iso_date(text) : cs_http_date(text);

	tap_ok(got == wanted, "%s: %lld", text, (long long) got);
}

static void
test_dates(void)
{
	date(false, "Sun, 06 Nov 1994 08:49:37 GMT", INT64CONST(784111777000000));
	date(false, "Sunday, 06-Nov-94 08:49:37 GMT", INT64CONST(784111777000000));
	date(false, "Sun Nov  6 08:49:37 1994", INT64CONST(784111777000000));
	date(false, "yesterday", 0);
	date(false, "", 0);
	date(false, "Sun, 06 Nov 1901 08:49:37 GMT", 0);
	date(true, "2009-10-12T17:50:30.000Z", INT64CONST(1255369830000000));
	date(true, "2009-10-12T17:50:30.123456789Z", INT64CONST(1255369830123456));
	date(true, "2009-10-12T19:50:30+02:00", INT64CONST(1255369830000000));
	date(true, "2009-10-12T15:20:30-0230", INT64CONST(1255369830000000));
	date(true, "2024-02-29T00:00:00Z", INT64CONST(1709164800000000));
	date(true, "1970-01-01T00:00:00Z", 0);
	date(true, "2009-10-12T17:50:30", 0);
	date(true, "2009-10-12T17:50:30Zx", 0);
	date(true, "2009-13-12T17:50:30Z", 0);
	date(true, "2009-10-12", 0);
	date(true, "2009-10-12T17:50:30+2", 0);
	date(true, "", 0);
}

int
main(void)
{
	test_statuses();
	test_words();
	test_no_answer();
	test_retry_after();
	test_headers();
	test_dates();
	return tap_done();
}
