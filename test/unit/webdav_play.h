/*
 * webdav_play.h
 *	  The WebDAV provider's scripts (play.h), in words of their own:
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

#include "cloudsync/http.h"
#include "lib/stringinfo.h"
#include "play.h"

#define BASE "https://cloud.example.com/dav"
#define NEXT "https://cloud.example.com/nc/remote.php/dav/files/anna"

static const char *endpoint = BASE;

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
say_webdav_request(const CsRequest *request)
{
	const char *path;
	const char *value;
	StringInfoData buf;

	path = path_of(request->url);
	initStringInfo(&buf);
	if (strcmp(request->method, "PROPFIND") == 0)
		appendStringInfo(
			&buf, "%s %s",
			strcmp(header_of(request, "Depth"), "1") == 0 ? "LIST" : "LOOK", path);
	else if (request->into == CS_INTO_TAKE)
		appendStringInfo(&buf, "READ %s", path);
	else
		appendStringInfo(&buf, "%s %s", request->method, path);
	if ((value = header_of(request, "If-None-Match")) != NULL)
		appendStringInfo(&buf, " new%s", value + 1);
	if ((value = header_of(request, "If-Match")) != NULL)
		appendStringInfo(&buf, " if %s", value);
	if ((value = header_of(request, "Range")) != NULL)
		appendStringInfo(&buf, " from %d", atoi(value + strlen("bytes=")));
	if (strcmp(request->method, "MOVE") == 0)
		appendStringInfo(&buf, " %s %s%s",
						 strcmp(header_of(request, "Overwrite"), "T") == 0 ? "=>"
																		: "->",
						 path_of(header_of(request, "Destination")),
						 header_of(request, "If") != NULL ? " cond" : "");
	if (request->send == CS_SEND_BODY && request->from > 0)
		appendStringInfo(&buf, " at %lld", (long long) request->from);
	return buf.data;
}

static const char *
say_webdav_checkpoint(const CsResult *result)
{
	if (result->size < 0)
		return psprintf("CHECKPOINT %s", result->session);
	return psprintf("CHECKPOINT %d %c", (int) result->size,
					letter_of(result->sha256, result->size));
}

/* Pages by names, which stand in their folder. */
static const char *
say_webdav_page(const CsResult *result)
{
	char *text = pstrdup("PAGE");

	for (int i = 0; i < result->n_entries; i++)
		text = psprintf("%s %s%s%s", text, result->entries[i].name,
						result->entries[i].kind == CS_ENTRY_FOLDER ? "/" : "",
						result->entries[i].refused != NULL ? "!" : "");
	return text;
}

static const char *
say_webdav_done(const CsOp *op, const CsResult *result)
{
	return psprintf("DONE%s%s%s%s%s", result->adopted ? " adopted" : "",
					result->verified ? " verified" : "",
					result->incomplete ? " incomplete" : "",
					result->entry.path != NULL
						? psprintf(" %s", result->entry.path)
						: "",
					result->entry.version != NULL
						? psprintf(" %s", result->entry.version)
						: "");
}

/* --- answers --------------------------------------------------------------------- */

static CsFailure carrier_failure;
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
			for (char *p = colon + 1; *p != '\0'; p++)
				*p = *p == '_' ? ' ' : *p;
			add_header(answer, words[i], colon + 1);
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
	else
		status_words(answer, words, n);
	if (request->kind == CS_REQ_HTTP && request->into == CS_INTO_TAKE &&
		answer->status == 200) /* "200 5 a" */
		for (int64 i = 0; i < answer->size; i++)
			appendStringInfoChar(&answer_text, words[n - 1][0]);
	answer->text = answer_text.data;
	answer->text_len = answer_text.len;
}

static Script script = {.provider = &cs_provider_webdav,
						.say_request = say_webdav_request,
						.say_checkpoint = say_webdav_checkpoint,
						.say_page = say_webdav_page,
						.say_done = say_webdav_done,
						.answer = fill_answer};

static void
open_service(void)
{
	CsOption options[] = {{"endpoint", endpoint}, {NULL}};
	CsFailure failure;

	service = script.provider->open(options, &failure);
}

/* A script against a server of which nothing is known yet. */
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
