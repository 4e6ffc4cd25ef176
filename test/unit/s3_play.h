/*
 * s3_play.h
 *	  Replays the S3 provider's conversations. A script's line is what the
 *	  conversation must say, and what it is answered:
 *
 *	  PUT /d/f.txt new = 200 e:v1
 *		  a request: method, key, query, and what it is bound to ("new": only
 *		  if nothing is there, "if v1": only if that is, "from 5": a range,
 *		  "copy ...": of what). The answer: a status, then
 *			  e:v1 ETag (e:MDa: 32 times a), n:5 Content-Length, s:a checksum of
 *			  32 letters a, k:aws:kms encryption, r:eu-west-1 bucket's region,
 *			  b:5 bytes of the body, h:a its SHA-256, p:a the part's, m:a the
 *			  MD5 that is 32 times a, t:37 the Date in that second, a:SHA256 parts' checksums, w:7 seconds to wait, g:5 range from there,
 *			  c:Code an error document, x:... the rest is a document,
 *			  d:... the rest is the object's bytes
 *		  or lost, refused (never arrived), broke (with e: n: b: as far as
 *		  they came), bodyfail
 *	  BODY 0+5 = b:5 h:a m:a		the body is read
 *	  PAGE a b/ c!					entries: folders with '/', refused with '!'
 *	  CHECKPOINT 5 a session		DONE adopted /path version size
 *	  FAILED class
 */
#ifndef CLOUDSYNC_S3_PLAY_H
#define CLOUDSYNC_S3_PLAY_H

#include "cloudsync/hash.h"
#include "cloudsync/provider.h"
#include "tap.h"

static const char *const class_names[] = {
	"none",		   "retry now", "retry later", "needs consent", "gone",
	"conflict",	   "changed",	"quota",	   "forbidden",		"refused",
	"unreachable", "reset",		"locked",	   "broken"};

static CsService *service;
static CsFailure last_failure;

static const char *
header_of(const CsRequest *request, const char *name)
{
	for (int i = 0; request->headers[i].name != NULL; i++)
	{
		if (strcmp(request->headers[i].name, name) == 0)
			return request->headers[i].value;
	}
	return NULL;
}

static char *
unquoted(const char *etag)
{
	return etag[0] == '"' ? pnstrdup(etag + 1, strlen(etag) - 2)
						  : pstrdup(etag);
}

static const char *
say_request(const CsRequest *request)
{
	const char *value;
	char *text;

	if (request->kind == CS_REQ_HASH_BODY)
		return psprintf(
			"BODY %d%s", (int) request->from,
			request->length < 0 ? "" : psprintf("+%d", (int) request->length));
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

static const char *
say_page(const CsResult *result)
{
	char *text = pstrdup("PAGE");

	for (int i = 0; i < result->n_entries; i++)
		text = psprintf("%s %s%s%s", text, result->entries[i].path,
						result->entries[i].kind == CS_ENTRY_FOLDER ? "/" : "",
						result->entries[i].refused != NULL ? "!" : "");
	return text;
}

static const char *
say(CsStep step, const CsRequest *request, const CsResult *result)
{
	const CsEntry *entry = &result->entry;

	switch (step)
	{
		case CS_STEP_REQUEST:
			return say_request(request);
		case CS_STEP_CHECKPOINT:
			return psprintf("CHECKPOINT %d %c%s%s", (int) result->size,
							result->size >= 0 ? result->sha256[7] : '-',
							result->session != NULL ? " " : "",
							result->session != NULL ? result->session : "");
		case CS_STEP_PAGE:
			return say_page(result);
		case CS_STEP_DONE:
			return psprintf(
				"DONE%s%s%s%s", result->adopted ? " adopted" : "",
				result->verified ? " verified" : "",
				entry->path != NULL
					? psprintf(" %s%s%s%s", entry->path,
							   entry->kind == CS_ENTRY_FOLDER ? "/" : "",
							   entry->version != NULL ? " " : "",
							   entry->version != NULL ? entry->version : "")
					: "",
				entry->path != NULL && entry->size >= 0
					? psprintf(" %d", (int) entry->size)
					: "");
		default:
			return psprintf("FAILED %s",
							class_names[result->failure.failure_class]);
	}
}

static CsHeader answer_headers[16];

static void
add_header(CsResponse *response, const char *name, const char *value)
{
	answer_headers[response->n_headers].name = name;
	answer_headers[response->n_headers++].value = value;
	response->headers = answer_headers;
}

static CsFailure body_failure = {CS_FAIL_CHANGED, 0, "the value changed", ""};
static CsFailure lost_failure = {CS_FAIL_RETRY_LATER, 0, "no answer came", ""};

static char *
repeated(char c, int n)
{
	char *text = palloc0(n + 1);

	memset(text, c, n);
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
	pg_b64_encode((const void *) bytes, 33, text, 64);
	text[43] = '=';
	return text;
}

/* One word of an answer. False: the rest of the line was taken. */
static bool
fill_word(CsResponse *response, char *word)
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
		case 'n':
			add_header(response, "content-length", pstrdup(value));
			break;
		case 's':
			add_header(response, "x-amz-checksum-sha256", checksum(*value));
			break;
		case 'k':
			add_header(response, "x-amz-server-side-encryption",
					   pstrdup(value));
			break;
		case 'r':
			add_header(response, "x-amz-bucket-region", pstrdup(value));
			break;
		case 'a':
			add_header(response, "x-amz-checksum-algorithm", pstrdup(value));
			break;
		case 'g':
			add_header(response, "content-range",
					   psprintf("bytes %s-99/100", value));
			break;
		case 'b':
			response->size = atoi(value);
			break;
		case 'h':
			memset(response->sha256, *value, CS_SHA256_LENGTH);
			response->has_sha256 = true;
			break;
		case 'p':
			memset(response->part_sha256, *value, CS_SHA256_LENGTH);
			break;
		case 'm':
			memset(response->md5, digit * 17, sizeof(response->md5));
			break;
		case 't':
			add_header(response, "date",
					   psprintf("Sun, 06 Nov 1994 08:49:%s GMT", value));
			break;
		case 'w':
			response->retry_after_ms = atoi(value) * 1000;
			break;
		case 'c':
			response->text = psprintf("<?xml version=\"1.0\"?><Error><Code>%s"
									  "</Code><Message>its words</Message>"
									  "<Region>eu-west-3</Region></Error>",
									  value);
			break;
		default: /* x, d */
			response->text = pstrdup(value);
			return false;
	}
	return true;
}

static void
fill_response(CsResponse *response, const char *line)
{
	char *text = pstrdup(line);
	char *word = text;

	memset(response, 0, sizeof(*response));
	response->retry_after_ms = -1;
	response->sent = true;
	while (word != NULL && *word != '\0')
	{
		char *end = strchr(word, ' ');

		if (word[1] == ':' && (word[0] == 'x' || word[0] == 'd'))
			end = NULL;
		if (end != NULL)
			*end++ = '\0';
		if (word[1] == ':')
			(void) fill_word(response, word);
		else if (strcmp(word, "bodyfail") == 0)
		{
			response->error = ECANCELED;
			response->body_failure = &body_failure;
		}
		else if (strcmp(word, "lost") == 0 || strcmp(word, "broke") == 0 ||
				 strcmp(word, "refused") == 0)
		{
			response->error = EIO;
			response->failure = &lost_failure;
			response->sent = word[0] != 'r';
		}
		else
			response->status = atoi(word);
		word = end;
	}
	if (response->text != NULL)
		response->text_len = strlen(response->text);
}

/* Gives an answer's text to take(), in pieces; what comes of it. */
static CsStep
give_text(CsConversation *c, CsResponse *response, CsResult *result,
		  const char *title, const char *const **lines)
{
	const char *text = response->text != NULL ? response->text : "";
	size_t len = strlen(text);

	for (size_t at = 0; at < len; at += 7)
	{
		CsStep step =
			cs_provider_s3.take(c, text + at, Min(7, len - at), result);

		if (step == CS_STEP_PAGE)
		{
			++*lines;
			tap_is(say(step, NULL, result), **lines,
				   psprintf("%s: %s", title, **lines));
			continue;
		}
		if (step != CS_STEP_REQUEST)
			return step;
	}
	response->text = NULL;
	response->text_len = 0;
	return CS_STEP_REQUEST;
}

/* Plays lines (ended by NULL) and checks each thing that is said. */
static void
play(const char *title, const CsOp *op, const char *const *lines)
{
	CsConversation *c = cs_provider_s3.begin(service, op);
	CsResponse response;
	const CsResponse *answer = NULL;
	CsRequest request;
	CsResult result;
	CsStep taken = CS_STEP_REQUEST;

	for (; *lines != NULL; lines++)
	{
		const char *equals = strstr(*lines, " = ");
		char *wanted = pstrdup(*lines);
		CsStep step = taken == CS_STEP_REQUEST
						  ? cs_provider_s3.next(c, answer, &request, &result)
						  : taken;

		if (equals != NULL)
			wanted[equals - *lines] = '\0';
		if (!tap_is(say(step, &request, &result), wanted,
					psprintf("%s: %s", title, wanted)))
		{
			if (step == CS_STEP_FAILED)
				printf("#   %s (%s)\n", result.failure.message,
					   result.failure.detail);
			return;
		}
		if (step == CS_STEP_FAILED)
		{
			tap_ok(result.failure.message[0] != '\0', "%s: says why", title);
			last_failure = result.failure;
		}
		if (step == CS_STEP_DONE || step == CS_STEP_FAILED)
		{
			tap_ok(lines[1] == NULL, "%s: that is the end", title);
			return;
		}
		answer = NULL;
		if (step == CS_STEP_REQUEST)
		{
			fill_response(&response, equals != NULL ? equals + 3 : "");
			if (request.into == CS_INTO_TAKE &&
				response.status == request.body_status)
				taken = give_text(c, &response, &result, title, &lines);
			answer = &response;
		}
	}
	tap_ok(false, "%s: did not end", title);
}

#define PLAY(title, op, ...)                                                   \
	play(title, op, (const char *const[]){__VA_ARGS__, NULL})

/* A bucket at Amazon, or elsewhere, where it is not known what it can do. */
static void
open_at(const char *endpoint)
{
	CsOption list[] = {{"bucket", "buck"}, {"endpoint", endpoint}, {NULL}};
	CsFailure failure;

	if (endpoint == NULL)
		list[1].key = NULL;
	service = cs_provider_s3.open(list, &failure);
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
