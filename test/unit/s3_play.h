/*
 * s3_play.h
 *	  The S3 provider's scripts (play.h). A request is its method, key, query, and
 *	  what it is bound to ("new": only if nothing is there, "if v1": only if that
 *	  is, a range, "copy ...": of what). Its own words:
 *		  e:v1 ETag (e:MDa: 32 times a), s:a a checksum of 32 letters a, k:aws:kms
 *		  encryption, r:eu-west-1 the bucket's region, m:a the MD5 that is 32
 *		  times a, t:37 the Date in that second, a:SHA256 parts' checksums,
 *		  c:Code an error document, d:... the rest is the object's bytes
 */
#ifndef CLOUDSYNC_S3_PLAY_H
#define CLOUDSYNC_S3_PLAY_H

#include "play.h"

static char *
unquoted(const char *etag)
{
	return etag[0] == '"' ? pnstrdup(etag + 1, strlen(etag) - 2)
						  : pstrdup(etag);
}

static const char *
say_s3_request(const CsRequest *request)
{
	const char *value;
	char *text;

	if (strncmp(request->url, service->url, strlen(service->url)) != 0)
		return psprintf("%s elsewhere: %s", request->method, request->url);
	text =
		psprintf("%s %s", request->method, request->url + strlen(service->url));
	value = header_of(request, "if-none-match");
	if (value != NULL)
		text = psprintf("%s new", text);
	value = header_of(request, "if-match");
	if (value != NULL)
		text = psprintf("%s if %s", text, unquoted(value));
	value = header_of(request, "range");
	if (value != NULL)
		text = psprintf("%s %s", text, value);
	value = header_of(request, "x-amz-copy-source");
	if (value != NULL)
	{
		const char *etag = header_of(request, "x-amz-copy-source-if-match");

		text = psprintf("%s copy %s%s%s", text, value, etag ? " if " : "",
						etag ? unquoted(etag) : "");
	}
	if (request->send == CS_SEND_BODY &&
		(request->payload_sha256 == NULL ||
		 strlen(request->payload_sha256) != 64))
		text = psprintf("%s unsigned", text);
	if (request->send == CS_SEND_TEXT &&
		strstr(request->text, "<ChecksumSHA256>") != NULL)
		text = psprintf("%s sums", text);
	return text;
}

/* 32 letters in base64 */
static const char *
checksum(char c)
{
	char *text = palloc0(64);
	uint8 bytes[33];

	memset(bytes, c, 32);
	bytes[32] = 0;
	if (pg_b64_encode((const void *) bytes, 33, text, 64) != 44)
		abort();
	text[43] = '=';
	return text;
}


static bool
take_s3_word(CsResponse *response, char *word)
{
	const char *value = word + 2;
	int digit = value[0] >= 'a' ? value[0] - 'a' + 10 : value[0] - '0';

	switch (word[0])
	{
		case 'e':
			if (strncmp(value, "MD", 2) == 0)
				value = repeated(value[2], 32);
			add_header(response, "etag", psprintf("\"%s\"", value));
			break;
		case 's':
			add_header(response, "x-amz-checksum-sha256", checksum(*value));
			break;
		case 'k':
			add_header(response, "x-amz-server-side-encryption",
					   value);
			break;
		case 'r':
			add_header(response, "x-amz-bucket-region", value);
			break;
		case 'a':
			add_header(response, "x-amz-checksum-algorithm", value);
			break;
		case 'm':
			memset(response->md5, digit * 17, sizeof(response->md5));
			break;
		case 't':
			add_header(response, "date",
					   psprintf("Sun, 06 Nov 1994 08:49:%s GMT", value));
			break;
		case 'c':
			response->text = psprintf("<?xml version=\"1.0\"?><Error><Code>%s"
									  "</Code><Message>its words</Message>"
									  "<Region>eu-west-3</Region></Error>",
									  value);
			break;
		case 'd':
			response->text = pstrdup(value);
			break;
		default:
			return false;
	}
	return true;
}

static Script script = {.provider = &cs_provider_s3,
						.say_request = say_s3_request,
						.take_word = take_s3_word,
						.to_end = "xd"};

/* A bucket at Amazon, or elsewhere, where it is not known what it can do. */
static void
open_at(const char *endpoint)
{
	CsOption list[] = {{"bucket", "buck"}, {"endpoint", endpoint}, {NULL}};
	CsFailure failure;

	if (endpoint == NULL)
		list[1].key = NULL;
	service = script.provider->open(list, &failure);
}

#define AMAZON open_at(NULL)
#define ELSEWHERE open_at("http://127.0.0.1:9000")

#define LIST_XML(inner)                                                        \
	"x:<?xml version=\"1.0\"?><ListBucketResult "                              \
	"xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"                       \
	"<EncodingType>url</EncodingType>" inner "</ListBucketResult>"
#define KEY(key, size, etag)                                                   \
	"<Contents><Key>" key "</Key><LastModified>2026-11-22T10:00:00.000Z"       \
	"</LastModified><ETag>&quot;" etag "&quot;</ETag><Size>" size              \
	"</Size></Contents>"
#define PREFIX(key) "<CommonPrefixes><Prefix>" key "</Prefix></CommonPrefixes>"
#define ONE "?list-type=2&encoding-type=url&max-keys=1&prefix="
#define ALL "?list-type=2&encoding-type=url&max-keys=1000&prefix="
#define WHY "?list-type=2&max-keys=1&prefix="

#endif
