/*
 * http.c
 *	  Fuzz target: what servers and people write about addresses and dates: URLs,
 *	  redirects, dates of both forms, answers turned into failures. The first
 *	  byte is a status, a zero byte parts two texts.
 */
#include "postgres_fe.h"

#include "cloudsync/http.h"
#include "cloudsync/utf8.h"
#include "fuzz.h"
#include "input.h"

#define LAST INT64CONST(253402300800000000) /* the year 10000 */

static void
normalize(const char *text)
{
	const char *why = NULL;
	char *url = cs_url_normalize(text, &why);
	char *again;

	MUST((url != NULL) == (why == NULL || url != NULL));
	if (url == NULL)
	{
		MUST(why != NULL && why[0] != '\0');
		return;
	}
	MUST(strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0);
	MUST(strpbrk(url, "?#@ \r\n") == NULL || strchr(url, '@') != NULL);
	again = cs_url_normalize(url, &why);
	MUST(again != NULL && strcmp(again, url) == 0);
	MUST(cs_url_same_origin(url, again));
	pfree(again);
	pfree(url);
}

/* A redirect leads to http or https, in a form that leads to itself. */
static void
resolve(const char *base, const char *reference)
{
	char *url = cs_url_resolve(base, reference);
	char *again;

	if (url == NULL)
		return;
	MUST(strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0);
	MUST(strchr(url, '#') == NULL && strpbrk(url, "\r\n") == NULL);
	again = cs_url_resolve(NULL, url);
	MUST(again != NULL && strcmp(again, url) == 0);
	pfree(again);
	again = cs_url_shown(url);
	MUST(strpbrk(again, "?#") == NULL);
	pfree(again);
	pfree(url);
}

static void
encode(const char *text)
{
	char *encoded = cs_url_encode(text);
	char *decoded = cs_url_decode(encoded, strlen(encoded));

	MUST(strpbrk(encoded, "/?#&= \r\n") == NULL);
	MUST(decoded != NULL && strcmp(decoded, text) == 0);
	pfree(encoded);
	pfree(decoded);
	encoded = cs_url_encode_path(text);
	decoded = cs_url_decode(encoded, strlen(encoded));
	MUST(strpbrk(encoded, "?#&= \r\n") == NULL);
	MUST(decoded != NULL && strcmp(decoded, text) == 0);
	pfree(encoded);
	pfree(decoded);
}

static void
fail(int status, const char *a, const char *b)
{
	const CsHeader headers[] = {{"content-type", b}};
	CsResponse answer = {.status = status * 4,
						 .headers = headers,
						 .n_headers = 1,
						 .text = a,
						 .text_len = strlen(a),
						 .retry_after_ms = 5};
	CsFailure failure;

	cs_http_failure(&failure, &answer, "do", NULL);
	MUST(failure.failure_class != CS_FAIL_NONE && failure.message[0] != '\0');
	MUST(cs_utf8_valid(failure.detail));
	cs_http_failure(&failure, &answer, a, b);
	MUST(cs_utf8_valid(failure.message) && cs_utf8_valid(failure.detail));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *a = pnstrdup(size > 1 ? (const char *) data + 1 : "",
					   size > 1 ? size - 1 : 0);
	size_t len = strlen(a) + 1;
	char *b = pnstrdup(size > 1 + len ? (const char *) data + 1 + len : "",
					   size > 1 + len ? size - 1 - len : 0);
	char *decoded;

	MUST(cs_http_date(a) >= 0 && cs_http_date(a) < LAST);
	MUST(cs_iso_date(a) >= 0 && cs_iso_date(a) < LAST);
	normalize(a);
	resolve(NULL, a);
	resolve("https://h.example:8443/a/b?c=d", a);
	resolve(a, b);
	encode(a);
	decoded = cs_url_decode(a, strlen(a));
	if (decoded != NULL)
		pfree(decoded);
	pfree(cs_url_shown(a));
	(void) cs_url_same_origin(a, b);
	(void) cs_url_tells(a, b);
	if (size > 0 && data[0] > 0)
		fail(data[0], a, b);
	pfree(a);
	pfree(b);
	return 0;
}
