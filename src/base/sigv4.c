/*
 * sigv4.c
 *	  AWS Signature Version 4 (include/cloudsync/sigv4.h): the canonical form of
 *	  a request, what is signed, the key of the day, and the headers that carry
 *	  it. By OpenSSL, whose one-shot HMAC is there in every version.
 *
 * Usable in the server and in plain programs. What is derived from the secret
 * key is cleansed; of the key itself nothing is copied but into a buffer that
 * is.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <time.h>

#include "cloudsync/hash.h"
#include "cloudsync/sigv4.h"
#include "lib/stringinfo.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define MAX_SIGNED (CS_REQUEST_HEADERS + 8)

/* A header as it is signed: name in lower case, value without idle spaces. */
typedef struct SignedHeader
{
	char *name;
	char *value;
	int number; /* as given, so that equal names keep their order */
} SignedHeader;

/* What an absolute URL is made of; pointers into it. */
typedef struct UrlParts
{
	const char *host; /* with its port, unless that is the scheme's own */
	int host_len;
	const char *path;
	int path_len;
	const char *query; /* NULL: none */
	int query_len;
} UrlParts;

static void
split_url(const char *url, UrlParts *parts)
{
	const char *scheme_end = strstr(url, "://");
	bool https = strncmp(url, "https:", 6) == 0;
	const char *own_port = https ? ":443" : ":80";
	size_t own_port_len = strlen(own_port);
	const char *at;

	memset(parts, 0, sizeof(*parts));
	parts->host = scheme_end != NULL ? scheme_end + 3 : url;
	parts->host_len = strcspn(parts->host, "/?#");
	parts->path = parts->host + parts->host_len;
	at = memchr(parts->host, '@', parts->host_len);
	if (at != NULL)
	{
		parts->host_len -= at + 1 - parts->host;
		parts->host = at + 1;
	}
	if (parts->host_len > (int) own_port_len &&
		memcmp(parts->host + parts->host_len - own_port_len, own_port,
			   own_port_len) == 0)
		parts->host_len -= own_port_len;
	parts->path_len = strcspn(parts->path, "?#");
	if (parts->path[parts->path_len] == '?')
	{
		parts->query = parts->path + parts->path_len + 1;
		parts->query_len = strcspn(parts->query, "#");
	}
}

/* Parameters by name and then by value, both as they are encoded. */
static int
compare_parameters(const void *a, const void *b)
{
	const char *left = *(const char *const *) a;
	const char *right = *(const char *const *) b;
	size_t left_len = strcspn(left, "=");
	size_t right_len = strcspn(right, "=");
	int order = memcmp(left, right, Min(left_len, right_len));

	if (order != 0)
		return order;
	if (left_len != right_len)
		return left_len < right_len ? -1 : 1;
	return strcmp(left + left_len, right + right_len);
}

static void
append_query(StringInfo text, const char *query, int query_len)
{
	char *copy = pnstrdup(query, query_len);
	char **parameters = palloc((query_len + 2) * sizeof(char *));
	int n = 0;

	for (char *at = copy; at != NULL;)
	{
		char *end = strchr(at, '&');

		if (end != NULL)
			*end++ = '\0';
		if (*at != '\0')
			parameters[n++] = at;
		at = end;
	}
	qsort(parameters, n, sizeof(char *), compare_parameters);
	for (int i = 0; i < n; i++)
		appendStringInfo(text, "%s%s%s", i > 0 ? "&" : "", parameters[i],
						 strchr(parameters[i], '=') != NULL ? "" : "=");
	pfree(parameters);
	pfree(copy);
}

static char *
lower_name(const char *name)
{
	char *lower = pstrdup(name);

	for (char *c = lower; *c != '\0'; c++)
	{
		if (*c >= 'A' && *c <= 'Z')
			*c += 'a' - 'A';
	}
	return lower;
}

/* Without spaces at the ends, and one where there were several. */
static char *
plain_value(const char *value)
{
	char *plain = palloc(strlen(value) + 1);
	int len = 0;

	for (; *value != '\0'; value++)
	{
		bool space = *value == ' ' || *value == '\t';

		if (space && (len == 0 || plain[len - 1] == ' '))
			continue;
		plain[len++] = space ? ' ' : *value;
	}
	if (len > 0 && plain[len - 1] == ' ')
		len--;
	plain[len] = '\0';
	return plain;
}

static int
compare_headers(const void *a, const void *b)
{
	const SignedHeader *left = a;
	const SignedHeader *right = b;
	int order = strcmp(left->name, right->name);

	return order != 0 ? order : left->number - right->number;
}

static void
add_signed(SignedHeader *list, int *n, const char *name, const char *value)
{
	if (*n == MAX_SIGNED)
		return;
	list[*n].name = lower_name(name);
	list[*n].value = plain_value(value);
	list[*n].number = *n;
	++*n;
}

/* The headers' lines, and their names; a name that comes twice has one line. */
static void
append_headers(StringInfo lines, StringInfo names, SignedHeader *list, int n)
{
	qsort(list, n, sizeof(SignedHeader), compare_headers);
	for (int i = 0; i < n; i++)
	{
		if (i > 0 && strcmp(list[i].name, list[i - 1].name) == 0)
		{
			lines->data[lines->len - 1] = ',';
			appendStringInfo(lines, "%s\n", list[i].value);
			continue;
		}
		appendStringInfo(lines, "%s:%s\n", list[i].name, list[i].value);
		appendStringInfo(names, "%s%s", i > 0 ? ";" : "", list[i].name);
	}
}

static void
hmac(const void *key, int key_len, const char *text,
	 uint8 mac[CS_SHA256_LENGTH])
{
	unsigned len = CS_SHA256_LENGTH;

	if (HMAC(EVP_sha256(), key, key_len, (const unsigned char *) text,
			 strlen(text), mac, &len) != NULL)
		return;
		/* OpenSSL refuses only when it is out of memory or misconfigured. */
#ifndef FRONTEND
	ereport(ERROR, (errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					errmsg("could not compute a signature")));
#else
	fprintf(stderr, "could not compute a signature\n");
	abort();
#endif
}

/* The signature in hexadecimal: by a key for this day, region and service. */
static char *
signature_of(const CsSigv4 *keys, const char *day, const char *to_sign)
{
	const char *const steps[] = {day, keys->region, keys->service,
								 "aws4_request", to_sign};
	size_t secret_len = strlen(keys->secret_access_key) + 4;
	char *secret = palloc(secret_len + 1);
	uint8 key[CS_SHA256_LENGTH];
	uint8 mac[CS_SHA256_LENGTH];
	char *hex;

	snprintf(secret, secret_len + 1, "AWS4%s", keys->secret_access_key);
	hmac(secret, secret_len, steps[0], key);
	OPENSSL_cleanse(secret, secret_len);
	pfree(secret);
	for (int i = 1; i < (int) lengthof(steps); i++)
	{
		hmac(key, CS_SHA256_LENGTH, steps[i], mac);
		memcpy(key, mac, CS_SHA256_LENGTH);
	}
	OPENSSL_cleanse(mac, sizeof(mac));
	hex = cs_hex(key, CS_SHA256_LENGTH);
	OPENSSL_cleanse(key, sizeof(key));
	return hex;
}

static char *
canonical_request(const char *method, const UrlParts *url,
				  SignedHeader *signed_headers, int n, const char *payload,
				  StringInfo names)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "%s\n%.*s\n", method,
					 url->path_len > 0 ? url->path_len : 1,
					 url->path_len > 0 ? url->path : "/");
	if (url->query != NULL)
		append_query(&text, url->query, url->query_len);
	appendStringInfoChar(&text, '\n');
	append_headers(&text, names, signed_headers, n);
	appendStringInfo(&text, "\n%s\n%s", names->data, payload);
	return text.data;
}

/* Of nothing, where the caller gives no hash: an empty payload. */
static const char empty_sha256[] =
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

CsHeader *
cs_sigv4_sign(const CsSigv4 *keys, const char *method, const char *url,
			  const CsHeader *headers, const char *payload_sha256)
{
	const char *payload =
		payload_sha256 != NULL ? payload_sha256 : empty_sha256;
	CsHeader *result = palloc0(5 * sizeof(CsHeader));
	SignedHeader list[MAX_SIGNED];
	time_t seconds = keys->now / INT64CONST(1000000);
	char stamp[32];
	char *day;
	char *scope;
	char *canonical;
	uint8 digest[CS_SHA256_LENGTH];
	StringInfoData names;
	UrlParts parts;
	struct tm utc;
	int n = 0;
	int n_result = 0;

	gmtime_r(&seconds, &utc);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &utc);
	day = pnstrdup(stamp, 8);
	result[n_result].name = "x-amz-date";
	result[n_result++].value = pstrdup(stamp);
	/* Other services take the payload's hash from the signature alone. */
	if (strcmp(keys->service, "s3") == 0)
	{
		result[n_result].name = "x-amz-content-sha256";
		result[n_result++].value = pstrdup(payload);
	}
	if (keys->session_token != NULL && keys->session_token[0] != '\0')
	{
		result[n_result].name = "x-amz-security-token";
		result[n_result++].value = pstrdup(keys->session_token);
	}

	split_url(url, &parts);
	add_signed(list, &n, "host", pnstrdup(parts.host, parts.host_len));
	for (int i = 0; i < n_result; i++)
		add_signed(list, &n, result[i].name, result[i].value);
	for (int i = 0; headers != NULL && headers[i].name != NULL; i++)
	{
		if (pg_strcasecmp(headers[i].name, "host") != 0)
			add_signed(list, &n, headers[i].name, headers[i].value);
	}

	initStringInfo(&names);
	canonical = canonical_request(method, &parts, list, n, payload, &names);
	cs_sha256(canonical, strlen(canonical), digest);
	scope = psprintf("%s/%s/%s/aws4_request", day, keys->region, keys->service);
	result[n_result].name = "authorization";
	result[n_result].value =
		psprintf(ALGORITHM " Credential=%s/%s, SignedHeaders=%s, Signature=%s",
				 keys->access_key_id, scope, names.data,
				 signature_of(keys, day,
							  psprintf(ALGORITHM "\n%s\n%s\n%s", stamp, scope,
									   cs_hex(digest, CS_SHA256_LENGTH))));
	return result;
}
