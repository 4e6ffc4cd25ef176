/*
 * http_place.c
 *	  An endpoint over HTTP: its service, its credentials and where they may go,
 *	  its pace (transfer.h). Relies on libcurl's URL parser, the one that will
 *	  read the same URLs when they are requested.
 *
 * Usable in the server and in plain programs.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "cloudsync/reach.h"
#include "http.h"
#ifndef FRONTEND
#include "cloudsync/settings.h"
#endif

/* One part of a URL in memory of ours, or NULL. */
static char *
url_part(CURLU *parsed, CURLUPart part, unsigned flags)
{
	char *value = NULL;
	char *copy = NULL;

	if (curl_url_get(parsed, part, &value, flags) == CURLUE_OK && value != NULL)
		copy = strdup(value);
	curl_free(value);
	return copy;
}

void
cs_origin_free(CsOrigin *origin)
{
	free(origin->scheme);
	free(origin->host);
	memset(origin, 0, sizeof(*origin));
}

/* False if it is no http or https URL, or one with a user or a zone in it. */
bool
cs_origin_parse(CsOrigin *origin, const char *url)
{
	CURLU *parsed = curl_url();
	char *port = NULL;
	char *user = NULL;
	char *zone = NULL;
	bool ok = false;

	memset(origin, 0, sizeof(*origin));
	if (parsed == NULL)
		return false;
	if (curl_url_set(parsed, CURLUPART_URL, url, CURLU_PATH_AS_IS) == CURLUE_OK)
	{
		origin->scheme = url_part(parsed, CURLUPART_SCHEME, 0);
		origin->host = url_part(parsed, CURLUPART_HOST, 0);
		port = url_part(parsed, CURLUPART_PORT, CURLU_DEFAULT_PORT);
		user = url_part(parsed, CURLUPART_USER, 0);
		zone = url_part(parsed, CURLUPART_ZONEID, 0);
		ok = origin->scheme != NULL && origin->host != NULL && port != NULL &&
			 user == NULL && zone == NULL &&
			 (strcmp(origin->scheme, "http") == 0 ||
			  strcmp(origin->scheme, "https") == 0);
	}
	if (ok)
	{
		size_t len = strlen(origin->host);

		origin->port = atoi(port);
		for (size_t i = 0; i < len; i++)
			origin->host[i] = pg_ascii_tolower((unsigned char) origin->host[i]);
		if (len > 2 && origin->host[0] == '[')
		{
			memmove(origin->host, origin->host + 1, len - 2);
			origin->host[len - 2] = '\0';
		}
	}
	else
		cs_origin_free(origin);
	free(port);
	free(user);
	free(zone);
	curl_url_cleanup(parsed);
	return ok;
}

bool
cs_origin_equal(const CsOrigin *a, const CsOrigin *b)
{
	return a->scheme != NULL && b->scheme != NULL &&
		   strcmp(a->scheme, b->scheme) == 0 &&
		   strcmp(a->host, b->host) == 0 && a->port == b->port;
}

/* Frees a string that was secret. */
void
cs_http_forget(char *secret)
{
	if (secret == NULL)
		return;
	OPENSSL_cleanse(secret, strlen(secret));
	pfree(secret);
}

/* A signature is as good as a password, for a quarter of an hour. */
static void
hide_signature(char *text)
{
	static const char mark[] = "Signature=";

	while ((text = strstr(text, mark)) != NULL)
	{
		text += strlen(mark);
		while (*text != '\0' && strchr("0123456789abcdef", *text) != NULL)
			*text++ = '*';
	}
}

/* See http.h. */
void
cs_http_hide_secrets(const CsHttpPlace *place, CsFailure *failure)
{
	char *texts[2] = {failure->message, failure->detail};
	unsigned char basic[1024];
	char pair[700];
	int len;

	for (int i = 0; i < (int) lengthof(texts); i++)
		cs_failure_hide(texts[i], place->former);
	if (place->secret == NULL)
		return;
	len = snprintf(pair, sizeof(pair), "%s:%s", place->user ? place->user : "", place->secret);
	len = len < (int) sizeof(pair) ? EVP_EncodeBlock(basic, (unsigned char *) pair, len) : 0;
	basic[len] = '\0';
	for (int i = 0; i < (int) lengthof(texts); i++)
	{
		cs_failure_hide(texts[i], (char *) basic);
		cs_failure_hide(texts[i], place->secret);
		cs_failure_hide(texts[i], place->session);
		hide_signature(texts[i]);
	}
	OPENSSL_cleanse(pair, sizeof(pair));
	OPENSSL_cleanse(basic, sizeof(basic));
}

static void
close_place(CsHttpPlace *place)
{
	while (place->idle != NULL)
	{
		CsHttpHandle *handle = place->idle;

		place->idle = handle->next;
		cs_http_handle_free(handle);
	}
	cs_origin_free(&place->origin);
	for (int i = 0; i < (int) lengthof(place->more); i++)
		cs_origin_free(&place->more[i]);
	cs_http_forget(place->user);
	cs_http_forget(place->secret);
	cs_http_forget(place->session);
	cs_http_forget(place->former);
	pfree(place->purpose);
	if (place->hosts != NULL)
		pfree(place->hosts);
	pfree(place);
}

void
cs_reach_refused(CsFailure *failure, const CsOrigin *origin)
{
	cs_failure_set(failure, CS_FAIL_UNREACHABLE,
				   "No pattern of cloudsync.allowed_endpoints, which the "
				   "superuser sets, names it for this purpose.",
				   "connecting to %s://%s:%d is not allowed", origin->scheme,
				   origin->host, origin->port);
}

static char *
copy_or_null(const char *text)
{
	return text != NULL ? pstrdup(text) : NULL;
}

CsEndpoint *
cs_endpoint_open_place(CsService *service, const CsHttpAccess *access,
					   const char *allowed, CsFailure *failure)
{
	CsOrigin origin = {0};
	CsEndpoint *endpoint;
	CsHttpPlace *place;

	if (service != NULL && !cs_origin_parse(&origin, service->url))
	{
		cs_failure_set(failure, CS_FAIL_UNREACHABLE,
					   "It must be an http or https URL without a user in it.",
					   "\"%s\" is no address that can be connected to",
					   service->url);
		return NULL;
	}
	if (service != NULL &&
		!cs_reach_url(allowed, access->hosts, access->purpose, origin.scheme,
					  origin.host, origin.port))
	{
		cs_reach_refused(failure, &origin);
		cs_origin_free(&origin);
		return NULL;
	}
	endpoint = palloc0(sizeof(CsEndpoint));
	place = palloc0(sizeof(CsHttpPlace));
	endpoint->root = -1;
	endpoint->service = service;
	endpoint->http = place;
	endpoint->close_http = close_place;
	place->service = service;
	place->origin = origin;
	place->purpose = pstrdup(access->purpose);
	place->hosts = copy_or_null(access->hosts);
	place->auth = access->auth;
	place->user = copy_or_null(access->user);
	place->secret = copy_or_null(access->secret);
	place->session = copy_or_null(access->session);
	place->token_no = place->secret != NULL ? 1 : 0;
	dlist_init(&place->asking);
	for (int i = 0; i < (int) lengthof(place->more) && service != NULL; i++)
		if (service->more_urls[i] != NULL)
			(void) cs_origin_parse(&place->more[i], service->more_urls[i]);
	cs_pace_set(&place->pace, access->bytes_per_second,
				access->requests_per_second);
	return endpoint;
}

#ifndef FRONTEND
CsEndpoint *
cs_endpoint_open_http(CsService *service, const CsHttpAccess *access,
					  CsFailure *failure)
{
	return cs_endpoint_open_place(
		service, access, cs_allowed_endpoints != NULL ? cs_allowed_endpoints : "",
		failure);
}
#endif

void
cs_endpoint_set_limits(CsEndpoint *endpoint, int64 bytes_per_second,
					   double requests_per_second)
{
	cs_pace_set(endpoint->http != NULL ? &endpoint->http->pace
									   : &endpoint->pace,
				bytes_per_second, requests_per_second);
}
