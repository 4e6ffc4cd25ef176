/*
 * http_request.c
 *	  Whether a request may be made (S5), and its headers: the conversation's,
 *	  and the credentials where they belong, which is the service's own scheme,
 *	  host and port alone (S4).
 *
 * Usable in the server and in plain programs.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <openssl/crypto.h>

#include "cloudsync/reach.h"
#include "cloudsync/sigv4.h"
#include "http.h"
#ifndef FRONTEND
#include "utils/memutils.h"
#endif

/* Bodies at least this long are announced before they are sent. */
#define EXPECT_FROM (1024 * 1024)

bool
cs_http_is_own(const CsHttpTask *task)
{
	const CsHttpPlace *place = task->place;
	bool own = cs_origin_equal(&task->origin, &place->origin);

	for (int i = 0; i < (int) lengthof(place->more) && !own; i++)
		own = cs_origin_equal(&task->origin, &place->more[i]);
	return own && !task->request.anonymous;
}

bool
cs_http_check(CsHttpTask *task)
{
	const CsHttpSettings *settings = &task->http->settings;
	CsOrigin *origin = &task->origin;

	cs_origin_free(origin);
	if (!cs_origin_parse(origin, task->request.url))
	{
		cs_http_refuse(task, CS_FAIL_BROKEN,
					   "Only http and https URLs without a user are requested.",
					   "the request's address is not one that can be used");
		return false;
	}
	if (!cs_reach_url(settings->allowed, task->place->hosts,
					  task->place->purpose, origin->scheme, origin->host,
					  origin->port))
	{
		cs_reach_refused(&task->failure, origin);
		return false;
	}
	if (strcmp(origin->scheme, "https") == 0 &&
		!cs_http_tls_load(task->http, &task->failure))
		return false;
	return true;
}

/* False: out of memory. */
static bool
add(CsHttpTask *task, const char *name, const char *value)
{
	size_t len = strlen(name) + strlen(value) + 3;
	char *line = malloc(len);
	struct curl_slist *list = NULL;

	if (line != NULL)
	{
		/* "Name;" is how curl is told of an empty value. */
		snprintf(line, len, value[0] != '\0' ? "%s: %s" : "%s;", name, value);
		list = curl_slist_append(task->handle->headers, line);
		OPENSSL_cleanse(line, len);
		free(line);
	}
	if (list == NULL)
		return false;
	task->handle->headers = list;
	return true;
}

/* Signs the request; what is palloc'd goes with the scratch memory. */
static bool
add_signature(CsHttpTask *task)
{
	const CsHttpPlace *place = task->place;
	const CsRequest *request = &task->request;
	CsSigv4 keys = {.access_key_id = place->user,
					.secret_access_key = place->secret,
					.session_token = place->session,
					.region = place->service->region,
					.service = "s3",
					.now = cs_http_clock()};
	const char *payload = request->payload_sha256;
	uint8 digest[CS_SHA256_LENGTH];
	CsHeader *headers;
	bool ok = true;

	if (payload == NULL && request->send == CS_SEND_BODY)
		payload = "UNSIGNED-PAYLOAD";
	else if (payload == NULL)
	{
		bool text = request->send == CS_SEND_TEXT;

		cs_sha256(text ? request->text : "", text ? request->text_len : 0,
				  digest);
		payload = cs_hex(digest, sizeof(digest));
	}
	headers = cs_sigv4_sign(&keys, request->method, request->url,
							request->headers, payload);
	for (; headers->name != NULL && ok; headers++)
	{
		ok = add(task, headers->name, headers->value);
		OPENSSL_cleanse(unconstify(char *, headers->value),
						strlen(headers->value));
	}
	return ok;
}

static bool
add_bearer(CsHttpTask *task)
{
	size_t len = strlen(task->place->secret) + sizeof("Bearer ");
	char *value = malloc(len);
	bool ok;

	if (value == NULL)
		return false;
	snprintf(value, len, "Bearer %s", task->place->secret);
	ok = add(task, "Authorization", value);
	OPENSSL_cleanse(value, len);
	free(value);
	return ok;
}

static bool
add_all(CsHttpTask *task)
{
	const CsRequest *request = &task->request;
	int64 length = cs_http_content_length(request);
	bool large = length < 0 || length >= EXPECT_FROM;

	for (int i = 0; i < CS_REQUEST_HEADERS && request->headers[i].name != NULL;
		 i++)
		if (!add(task, request->headers[i].name, request->headers[i].value))
			return false;
	task->expecting = large && !task->place->no_expect;
	if (!task->expecting)
	{
		/* A name with nothing behind the colon keeps curl from adding it. */
		struct curl_slist *list =
			curl_slist_append(task->handle->headers, "Expect:");

		if (list == NULL)
			return false;
		task->handle->headers = list;
	}
	if (!cs_http_is_own(task))
		return true;
	if (task->place->auth == CS_AUTH_BEARER ||
		task->place->auth == CS_AUTH_TOKEN)
		return add_bearer(task);
	if (task->place->auth == CS_AUTH_SIGV4)
		return add_signature(task);
	return true; /* passwords are curl's business */
}

bool
cs_http_set_headers(CsHttpTask *task)
{
	bool ok;
#ifndef FRONTEND
	MemoryContext old = MemoryContextSwitchTo(task->scratch);
#endif

	for (struct curl_slist *at = task->handle->headers; at != NULL;
		 at = at->next)
		OPENSSL_cleanse(at->data, strlen(at->data));
	curl_slist_free_all(task->handle->headers);
	task->handle->headers = NULL;
	ok = add_all(task);
#ifndef FRONTEND
	MemoryContextSwitchTo(old);
	MemoryContextReset(task->scratch);
#endif
	if (!ok)
		cs_http_refuse(task, CS_FAIL_RETRY_LATER, NULL, "out of memory");
	return ok;
}
