/*
 * url.c
 *	  Addresses: names percent-encoded and decoded, URLs in normal form
 *	  (include/cloudsync/http.h). URLs are taken apart by libcurl's own parser,
 *	  so that what is checked is what will be connected to.
 *
 * Usable in the server and in plain programs.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <curl/curl.h>

#include "cloudsync/free.h"
#include "cloudsync/hex.h"
#include "cloudsync/http.h"
#include "cloudsync/utf8.h"
#include "lib/stringinfo.h"

#define MAX_URL 2000

static bool
is_unreserved(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		   (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
		   c == '~';
}

/* Percent-encodes text, but for unreserved characters and one more. */
static char *
encode(const char *text, char kept)
{
	static const char digits[] = "0123456789ABCDEF";
	StringInfoData buf;

	initStringInfo(&buf);
	for (; *text != '\0'; text++)
	{
		unsigned char c = (unsigned char) *text;

		if (is_unreserved(c) || (kept != '\0' && c == kept))
		{
			appendStringInfoChar(&buf, (char) c);
			continue;
		}
		appendStringInfoChar(&buf, '%');
		appendStringInfoChar(&buf, digits[c >> 4]);
		appendStringInfoChar(&buf, digits[c & 15]);
	}
	return buf.data;
}

char *
cs_url_encode_path(const char *path)
{
	return encode(path, '/');
}

char *
cs_url_encode(const char *text)
{
	return encode(text, '\0');
}

char *
cs_url_decode(const char *text, size_t len)
{
	char *decoded = palloc(len + 1);
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
	{
		char c = text[i];

		if (c == '%')
		{
			int high = i + 1 < len ? cs_hex_digit(text[i + 1]) : -1;
			int low = i + 2 < len ? cs_hex_digit(text[i + 2]) : -1;

			if (high < 0 || low < 0)
				c = '\0';
			else
				c = (char) (high * 16 + low);
			i += 2;
		}
		if (c == '\0')
		{
			pfree(decoded);
			return NULL;
		}
		decoded[n++] = c;
	}
	decoded[n] = '\0';
	return decoded;
}

/* A part of a URL, palloc'd, or NULL if it has none. */
static char *
url_part(CURLU *url, CURLUPart what, unsigned flags)
{
	char *part = NULL;
	char *copy;

	if (curl_url_get(url, what, &part, flags) != CURLUE_OK)
		return NULL;
	copy = pstrdup(part);
	curl_free(part);
	return copy;
}

static void
lower(char *text)
{
	for (; *text != '\0'; text++)
		*text = (char) pg_ascii_tolower((unsigned char) *text);
}

/*
 * A path of a URL with its names decoded and encoded anew, without empty ones;
 * NULL with *why if a name cannot be one.
 */
static char *
normal_path(const char *path, const char **why)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (;;)
	{
		size_t len;
		char *name;

		path += strspn(path, "/");
		if (*path == '\0')
			return buf.data;
		len = strcspn(path, "/");
		name = cs_url_decode(path, len);
		if (name == NULL)
			*why = "contains a \"%\" that stands for no character";
		else if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			*why = "contains a component \".\" or \"..\"";
		else if (!cs_utf8_valid(name))
			*why = "is not valid UTF-8";
		if (*why != NULL)
			return NULL;
		appendStringInfoChar(&buf, '/');
		appendStringInfoString(&buf, cs_url_encode(name));
		path += len;
	}
}

/* The same with url already taken apart. */
static char *
normalize(CURLU *url, const char **why)
{
	char *scheme = url_part(url, CURLUPART_SCHEME, 0);
	char *host = url_part(url, CURLUPART_HOST, 0);
	char *port = url_part(url, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT);
	char *path = url_part(url, CURLUPART_PATH, 0);

	if (scheme == NULL ||
		(strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
		*why = "is no http or https address";
	else if (host == NULL || host[0] == '\0')
		*why = "has no host";
	else if (url_part(url, CURLUPART_USER, 0) != NULL ||
			 url_part(url, CURLUPART_PASSWORD, 0) != NULL)
		*why = "contains a user name or password";
	else if (url_part(url, CURLUPART_QUERY, 0) != NULL)
		*why = "contains a query";
	else if (url_part(url, CURLUPART_FRAGMENT, 0) != NULL)
		*why = "contains a fragment";
	else if (url_part(url, CURLUPART_ZONEID, 0) != NULL)
		*why = "contains the name of a network interface";
	else if (port != NULL && atoi(port) < 1)
		*why = "has no valid port";
	if (*why != NULL)
		return NULL;
	path = normal_path(path != NULL ? path : "/", why);
	if (path == NULL)
		return NULL;
	lower(scheme);
	lower(host);
	return psprintf("%s://%s%s%s%s", scheme, host, port != NULL ? ":" : "",
					port != NULL ? port : "", path);
}

char *
cs_url_normalize(const char *text, const char **why)
{
	CURLU *url;
	char *normal = NULL;

	*why = NULL;
	if (strlen(text) > MAX_URL)
		*why = "is too long";
	for (const char *p = text; *p != '\0' && *why == NULL; p++)
	{
		if ((unsigned char) *p <= 0x20 || *p == 0x7F || *p == '\\')
			*why = "contains a space, a control character or a backslash";
	}
	if (*why != NULL)
		return NULL;
	url = curl_url();
	/* as it is: which of "." and ".." curl removes depends on its version */
	if (url == NULL ||
		curl_url_set(url, CURLUPART_URL, text,
					 CURLU_NON_SUPPORT_SCHEME | CURLU_PATH_AS_IS) != CURLUE_OK)
		*why = "is no address of the form https://host/path";
	else
		normal = normalize(url, why);
	curl_url_cleanup(url);
	return normal;
}

/* "scheme://host:port" of a URL, palloc'd, or NULL if it is none. */
static char *
origin_of(const char *text)
{
	CURLU *url = curl_url();
	char *origin = NULL;

	if (url != NULL && curl_url_set(url, CURLUPART_URL, text,
									CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK)
	{
		char *scheme = url_part(url, CURLUPART_SCHEME, 0);
		char *host = url_part(url, CURLUPART_HOST, 0);
		char *port = url_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);

		if (scheme != NULL && host != NULL && port != NULL)
		{
			origin = psprintf("%s://%s:%s", scheme, host, port);
			lower(origin);
		}
		cs_free_text(scheme);
		cs_free_text(host);
		cs_free_text(port);
	}
	curl_url_cleanup(url);
	return origin;
}

/* Asked of each of a listing's addresses: leaves nothing behind. */
bool
cs_url_same_origin(const char *a, const char *b)
{
	char *origin_a = origin_of(a);
	char *origin_b = origin_of(b);
	bool same = origin_a != NULL && origin_b != NULL &&
				strcmp(origin_a, origin_b) == 0;

	cs_free_text(origin_a);
	cs_free_text(origin_b);
	return same;
}

char *
cs_url_resolve(const char *base, const char *reference)
{
	CURLU *parsed = curl_url();
	char *scheme = NULL;
	char *url = NULL;
	char *copy = NULL;

	if (parsed != NULL &&
		(base == NULL || curl_url_set(parsed, CURLUPART_URL, base,
									  CURLU_PATH_AS_IS) == CURLUE_OK) &&
		curl_url_set(parsed, CURLUPART_URL, reference, CURLU_PATH_AS_IS) ==
			CURLUE_OK &&
		curl_url_set(parsed, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK &&
		curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		(strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) &&
		curl_url_get(parsed, CURLUPART_URL, &url, 0) == CURLUE_OK)
		copy = pstrdup(url);
	curl_free(scheme);
	curl_free(url);
	curl_url_cleanup(parsed);
	return copy;
}

char *
cs_url_shown(const char *url)
{
	const char *host = strstr(url, "://");
	size_t scheme = host != NULL ? (size_t) (host - url) + 3 : 0;
	size_t authority;
	StringInfoData shown;

	/* what is no URL is not looked into for one */
	if (scheme == 0 || strcspn(url, "/?#") != scheme - 2)
		scheme = 0;
	authority = strcspn(url + scheme, "/?#");
	initStringInfo(&shown);
	appendBinaryStringInfo(&shown, url, scheme);
	url += scheme;
	for (size_t i = authority; i > 0; i--)
	{
		if (url[i - 1] == '@')
		{
			url += i;
			break;
		}
	}
	appendBinaryStringInfo(&shown, url, strcspn(url, "?#"));
	return shown.data;
}

/* Does the text repeat the len bytes at word, as they are or decoded? */
static bool
tells_word(const char *word, size_t len, const char *text)
{
	char *value = pnstrdup(word, len);
	char *decoded = cs_url_decode(word, len);
	bool found = strstr(text, value) != NULL ||
				 (decoded != NULL && decoded[0] != '\0' &&
				  strstr(text, decoded) != NULL);

	pfree(value);
	cs_free_text(decoded);
	return found;
}

bool
cs_url_leaks(const char *url, const char *text)
{
	const char *host = strstr(url, "://");
	const char *at = host != NULL ? strchr(host + 3, '/') : NULL;

	while (at != NULL && *at != '\0')
	{
		size_t len;

		at += strspn(at, "/?&=;#");
		len = strcspn(at, "/?&=;#");
		if (len >= 12 && tells_word(at, len, text))
			return true;
		at += len;
	}
	return false;
}

bool
cs_url_tells(const char *url, const char *text)
{
	const char *at = strchr(url, '?');

	while (at != NULL && *at != '\0' && *at != '#')
	{
		size_t len;

		at++;
		len = strcspn(at, "&;=#");
		if (at[len] == '=')
		{
			at += len + 1;
			len = strcspn(at, "&;#");
		}
		if (len >= 4 && tells_word(at, len, text))
			return true;
		at += len;
	}
	return false;
}
