/*
 * webdav_play.h
 *	  Replays the WebDAV provider's conversations. A script's line is what the
 *	  conversation must say, and what it is answered:
 *
 *	  LOOK /f = 404					PROPFIND of depth 0; a status
 *	  LOOK /f = file v1 5 [a]		ETag "v1", 5 bytes, [SHA-256 of five a]
 *	  LOOK /f = folder i1			oc:fileid i1 ("-": none)
 *	  LIST /in = page a b/			depth 1: a file and a folder
 *	  READ /f = 200 5 a				a file read to be compared: five a
 *	  PUT /f new = 201 5 a			If-None-Match; five a were sent
 *	  PUT /f if "v1" = 412			If-Match
 *	  MOVE /t -> /f = 201			"=>" where it may replace; "cond" with If
 *	  GET /f from 3 = 206 2			Range
 *	  ... = lost					no answer, though the request was sent
 *	  ... = broke 3					the same after three bytes
 *	  ... = down					no connection
 *	  CHECKPOINT 5 a  PAGE a b  DONE ...  FAILED class
 *
 * After a status: 5 (bytes of the body), a (their letter), name:value (a
 * header).
 */
#ifndef CLOUDSYNC_WEBDAV_PLAY_H
#define CLOUDSYNC_WEBDAV_PLAY_H

#include "cloudsync/hash.h"
#include "cloudsync/http.h"
#include "cloudsync/provider.h"
#include "lib/stringinfo.h"
#include "tap.h"

static const char *const class_names[] = {
	"none",		   "retry now", "retry later", "needs consent", "gone",
	"conflict",	   "changed",	"quota",	   "forbidden",		"refused",
	"unreachable", "reset",		"locked",	   "broken"};

#define BASE "https://cloud.example.com/dav"
#define NEXT "https://cloud.example.com/nc/remote.php/dav/files/anna"

static CsService *service; /* made anew for each script */
static const char *endpoint = BASE;
static CsFailure last_failure;
static CsResult last_result;
static CsRequest last_request;

/* SHA-256 of n times a letter. */
static void
sha_of(char letter, int64 n, uint8 *sha256)
{
	CsHash *hash = cs_hash_create();

	for (int64 i = 0; i < n; i++)
		cs_hash_update(hash, &letter, 1);
	cs_hash_final(hash, sha256);
}

static char
letter_of(const uint8 *sha256, int64 n)
{
	uint8 other[CS_SHA256_LENGTH];

	for (char letter = 'a'; letter <= 'z'; letter++)
	{
		sha_of(letter, Min(n, 100), other);
		if (memcmp(sha256, other, CS_SHA256_LENGTH) == 0)
			return letter;
	}
	return '?';
}

static const char *
header(const CsRequest *request, const char *name)
{
	for (int i = 0; request->headers[i].name != NULL; i++)
	{
		if (strcmp(request->headers[i].name, name) == 0)
			return request->headers[i].value;
	}
	return NULL;
}

/* The path of a URL below the endpoint; "up:..." below the uploads. */
static const char *
path_of(const char *url)
{
	const char *uploads = "/remote.php/dav/uploads/anna";
	char *path;

	if (strncmp(url, endpoint, strlen(endpoint)) == 0)
		path = cs_url_decode(url + strlen(endpoint),
							 strlen(url) - strlen(endpoint));
	else if (strstr(url, uploads) != NULL)
		path = psprintf("up:%s", strstr(url, uploads) + strlen(uploads));
	else
		return url;
	return path[0] == '\0' ? "/" : path;
}

static const char *
say_request(const CsRequest *request)
{
	const char *path;
	const char *value;
	StringInfoData buf;

	if (request->kind == CS_REQ_HASH_BODY)
		return request->length < 0
				   ? "BODY"
				   : psprintf("BODY %lld", (long long) request->length);
	path = path_of(request->url);
	initStringInfo(&buf);
	if (strcmp(request->method, "PROPFIND") == 0)
		appendStringInfo(
			&buf, "%s %s",
			strcmp(header(request, "Depth"), "1") == 0 ? "LIST" : "LOOK", path);
	else if (request->into == CS_INTO_TAKE)
		appendStringInfo(&buf, "READ %s", path);
	else
		appendStringInfo(&buf, "%s %s", request->method, path);
	if ((value = header(request, "If-None-Match")) != NULL)
		appendStringInfo(&buf, " new%s", value + 1);
	if ((value = header(request, "If-Match")) != NULL)
		appendStringInfo(&buf, " if %s", value);
	if ((value = header(request, "Range")) != NULL)
		appendStringInfo(&buf, " from %d", atoi(value + strlen("bytes=")));
	if (strcmp(request->method, "MOVE") == 0)
		appendStringInfo(&buf, " %s %s%s",
						 strcmp(header(request, "Overwrite"), "T") == 0 ? "=>"
																		: "->",
						 path_of(header(request, "Destination")),
						 header(request, "If") != NULL ? " cond" : "");
	if (request->send == CS_SEND_BODY && request->from > 0)
		appendStringInfo(&buf, " at %lld", (long long) request->from);
	return buf.data;
}

static const char *
say(CsStep step, const CsRequest *request, const CsResult *result)
{
	char *text;

	switch (step)
	{
		case CS_STEP_REQUEST:
			return say_request(request);
		case CS_STEP_CHECKPOINT:
			if (result->size < 0)
				return psprintf("CHECKPOINT %s", result->session);
			return psprintf("CHECKPOINT %d %c", (int) result->size,
							letter_of(result->sha256, result->size));
		case CS_STEP_PAGE:
			text = pstrdup("PAGE");
			for (int i = 0; i < result->n_entries; i++)
				text = psprintf("%s %s%s%s", text, result->entries[i].name,
								result->entries[i].kind == CS_ENTRY_FOLDER ? "/"
																		   : "",
								result->entries[i].refused != NULL ? "!" : "");
			return text;
		case CS_STEP_DONE:
			return psprintf("DONE%s%s%s%s%s", result->adopted ? " adopted" : "",
							result->verified ? " verified" : "",
							result->incomplete ? " incomplete" : "",
							result->entry.path != NULL
								? psprintf(" %s", result->entry.path)
								: "",
							result->entry.version != NULL
								? psprintf(" %s", result->entry.version)
								: "");
		default:
			return psprintf("FAILED %s",
							class_names[result->failure.failure_class]);
	}
}

/* --- answers --------------------------------------------------------------------- */

static CsHeader headers[20];
static CsFailure carrier_failure;
static CsFailure body_failure = {CS_FAIL_CHANGED, 0, "the value changed", ""};
static StringInfoData answer_text;

static char *
hex_of(char letter, int64 size)
{
	uint8 sha256[CS_SHA256_LENGTH];

	sha_of(letter, size, sha256);
	return cs_hex(sha256, CS_SHA256_LENGTH);
}

/* A <response>; what: "file v1 5 a" or "folder i1", words[0] being its kind. */
static void
add_resource(const char *url, char **words, int n)
{
	const char *path = strchr(strstr(url, "://") + 3, '/');
	bool folder = strcmp(words[0], "folder") == 0;

	appendStringInfo(&answer_text,
					 "<d:response><d:href>%s</d:href><d:propstat><d:prop>"
					 "<d:resourcetype>%s</d:resourcetype>",
					 path, folder ? "<d:collection/>" : "");
	if (folder && n > 1 && strcmp(words[1], "-") != 0)
		appendStringInfo(&answer_text, "<oc:fileid>%s</oc:fileid>", words[1]);
	if (!folder)
	{
		if (strncmp(words[1], "W/", 2) == 0)
			appendStringInfo(&answer_text, "<d:getetag>W/\"%s\"</d:getetag>",
							 words[1] + 2);
		else if (strcmp(words[1], "-") != 0)
			appendStringInfo(&answer_text, "<d:getetag>\"%s\"</d:getetag>",
							 words[1]);
		appendStringInfo(&answer_text,
						 "<d:getcontentlength>%s</d:getcontentlength>"
						 "<d:getlastmodified>Sun, 06 Nov 1994 08:49:37 GMT"
						 "</d:getlastmodified>",
						 words[2]);
		if (n > 3)
			appendStringInfo(
				&answer_text,
				"<oc:checksums><oc:checksum>MD5:x SHA256:%s</oc:checksum>"
				"</oc:checksums>",
				hex_of(words[3][0], atoi(words[2])));
	}
	appendStringInfoString(
		&answer_text,
		"</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>"
		"<d:propstat><d:prop><d:quota-used-bytes/></d:prop><d:status>"
		"HTTP/1.1 404 Not Found</d:status></d:propstat></d:response>");
}

/* "a", "b/" (a folder), "c!" (no access), "=XML" (as it is) */
static void
add_page(const CsRequest *request, char **words, int n)
{
	char *self[] = {"folder", "-"};
	char *file[] = {"file", "v1", "5"};

	add_resource(request->url, self, 2);
	for (int i = 0; i < n; i++)
	{
		size_t len = strlen(words[i]);
		char *url;

		if (words[i][0] == '=')
		{
			appendStringInfoString(&answer_text, words[i] + 1);
			continue;
		}
		url = psprintf("%s%s", request->url, words[i]);
		if (words[i][len - 1] == '/')
			add_resource(url, self, 2);
		else if (words[i][len - 1] == '!')
			appendStringInfo(
				&answer_text,
				"<d:response><d:href>%.*s</d:href><d:status>HTTP/1.1 403 "
				"Forbidden</d:status></d:response>",
				(int) strlen(url) - 1, url);
		else
			add_resource(url, file, 3);
	}
}

static void
begin_multistatus(CsResponse *answer)
{
	answer->status = 207;
	appendStringInfoString(
		&answer_text, "<?xml version=\"1.0\"?><d:multistatus xmlns:d=\"DAV:\" "
					  "xmlns:oc=\"http://owncloud.org/ns\">");
}

static void
status_words(CsResponse *answer, char **words, int n)
{
	answer->status = atoi(words[0]);
	for (int i = 1; i < n; i++)
	{
		char *colon = strchr(words[i], ':');

		if (colon != NULL)
		{
			*colon = '\0';
			headers[answer->n_headers].name = words[i];
			headers[answer->n_headers].value = colon + 1;
			for (char *p = colon + 1; *p != '\0'; p++)
				*p = *p == '_' ? ' ' : *p;
			answer->n_headers++;
		}
		else if (words[i][0] >= '0' && words[i][0] <= '9')
			answer->size = atoll(words[i]);
		else
		{
			answer->has_sha256 = true;
			sha_of(words[i][0], Min(answer->size, 100), answer->sha256);
		}
	}
}

static void
carrier_failed(CsResponse *answer, CsFailureClass failure_class, bool sent)
{
	memset(&carrier_failure, 0, sizeof(carrier_failure));
	carrier_failure.failure_class = failure_class;
	strlcpy(carrier_failure.message, "no answer", CS_MESSAGE_MAX);
	answer->status = 0;
	answer->error = EIO;
	answer->failure = &carrier_failure;
	answer->sent = sent;
}

static void
fill_answer(CsResponse *answer, const CsRequest *request, const char *line)
{
	char *words[100];
	int n = 0;

	memset(answer, 0, sizeof(*answer));
	memset(headers, 0, sizeof(headers));
	answer->headers = headers;
	answer->retry_after_ms = -1;
	answer->sent = true;
	resetStringInfo(&answer_text);
	for (char *word = strtok(pstrdup(line), " "); word != NULL && n < 100;
		 word = strtok(NULL, " "))
		words[n++] = word;
	if (strcmp(words[0], "file") == 0 || strcmp(words[0], "folder") == 0)
	{
		begin_multistatus(answer);
		add_resource(request->url, words, n);
		appendStringInfoString(&answer_text, "</d:multistatus>");
	}
	else if (strcmp(words[0], "page") == 0)
	{
		begin_multistatus(answer);
		add_page(request, words + 1, n - 1);
		appendStringInfoString(&answer_text, "</d:multistatus>");
	}
	else if (strcmp(words[0], "xml") == 0)
	{
		answer->status = 207;
		appendStringInfoString(&answer_text, line + 4);
	}
	else if (strcmp(words[0], "down") == 0)
		carrier_failed(answer, CS_FAIL_UNREACHABLE, false);
	else if (strcmp(words[0], "lost") == 0)
		carrier_failed(answer, CS_FAIL_RETRY_LATER, true);
	else if (strcmp(words[0], "broke") == 0)
	{
		status_words(answer, words, n);
		answer->size = atoll(words[1]);
		carrier_failed(answer, CS_FAIL_RETRY_LATER, true);
	}
	else if (strcmp(words[0], "bodyfail") == 0)
	{
		answer->error = ECANCELED;
		answer->body_failure = &body_failure;
	}
	else if (strcmp(words[0], "ok") == 0)
		status_words(answer, words, n);
	else
		status_words(answer, words, n);
	answer->text = answer_text.data;
	answer->text_len = answer_text.len;
}

/* --- the play ---------------------------------------------------------------------- */

static CsConversation *c;

/* What CS_INTO_TAKE brings, in pieces of 7 bytes. PAGE and FAILED end it. */
static CsStep
give(const CsRequest *request, CsResponse *answer, const char *line,
	 CsResult *result)
{
	CsStep step = CS_STEP_REQUEST;

	if (request->into != CS_INTO_TAKE || answer->status != request->body_status)
		return step;
	if (answer->status == 200) /* "200 5 a" */
	{
		char letter = line[strlen(line) - 1];

		for (int64 i = 0; i < answer->size; i++)
			cs_provider_webdav.take(c, &letter, 1, result);
		return step;
	}
	for (int i = 0; i < answer_text.len && step == CS_STEP_REQUEST; i += 7)
		step = cs_provider_webdav.take(c, answer_text.data + i,
									   Min(7, answer_text.len - i), result);
	answer->text = "";
	answer->text_len = 0;
	return step;
}

static void
open_service(void)
{
	CsOption options[] = {{"endpoint", endpoint}, {NULL}};
	CsFailure failure;

	service = cs_provider_webdav.open(options, &failure);
}

/* Plays lines, ended by NULL, against the service as it is. */
static void
play(const char *name, const CsOp *op, const char *const *lines)
{
	CsResponse answer;
	const CsResponse *given = NULL;
	CsStep step;
	int i = 0;

	c = cs_provider_webdav.begin(service, op);
	for (;; i++)
	{
		const char *wanted = lines[i];
		const char *equals = wanted != NULL ? strstr(wanted, " = ") : NULL;
		const char *said;

		step = cs_provider_webdav.next(c, given, &last_request, &last_result);
		last_failure = last_result.failure;
		said = say(step, &last_request, &last_result);
		given = NULL;
		if (wanted == NULL)
		{
			tap_is(said, "(nothing)", name);
			return;
		}
		if (strcmp(said, equals != NULL ? pnstrdup(wanted, equals - wanted)
										: wanted) != 0)
		{
			tap_is(said, wanted, psprintf("%s, line %d", name, i + 1));
			if (step == CS_STEP_FAILED)
				printf("# %s: %s\n", last_failure.message, last_failure.detail);
			return;
		}
		if (step == CS_STEP_REQUEST)
		{
			fill_answer(&answer, &last_request, equals + 3);
			step = give(&last_request, &answer, equals + 3, &last_result);
			if (step == CS_STEP_FAILED)
			{
				last_failure = last_result.failure;
				tap_is(say(step, NULL, &last_result), lines[i + 1], name);
				return;
			}
			given = &answer;
		}
		if (step == CS_STEP_DONE || step == CS_STEP_FAILED)
			break;
	}
	tap_is(lines[i + 1], NULL, name);
}

#define PLAY(name, op, ...)                                                    \
	play(name, op, (const char *const[]){__VA_ARGS__, NULL})
/* The same against a server of which nothing is known yet. */
#define FRESH(name, op, ...) (open_service(), PLAY(name, op, __VA_ARGS__))

#define TEMP ".cloudsync-0123456789abcdef.part"
#define T "/d/" TEMP
#define PROBE "PUT " T " if \"cloudsync\""

static void
intend(CsOp *op, char letter, int64 size)
{
	op->has_intended = true;
	op->intended_size = size;
	sha_of(letter, size, op->intended_sha256);
}

#endif
