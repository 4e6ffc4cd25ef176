/* sources: src/provider/[a-z]*.c src/base/[a-z]*.c */
/*
 * The WebDAV provider's conversations, replayed. A script's line is what the
 * conversation must say, and what it is answered:
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
#include "postgres_fe.h"

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

/* --- PUT ----------------------------------------------------------------------------- */

/* A small file whose SHA-256 is known: five a. */
static CsOp
small(void)
{
	CsOp op = {.kind = CS_OP_PUT,
			   .path = "/d/f.txt",
			   .temp_name = TEMP,
			   .size = 5,
			   .has_sha256 = true};

	sha_of('a', 5, op.sha256);
	return op;
}

/* One whose SHA-256 is not known. */
static CsOp
large(void)
{
	CsOp op = small();

	op.has_sha256 = false;
	return op;
}

static void
intend(CsOp *op, char letter, int64 size)
{
	op->has_intended = true;
	op->intended_size = size;
	sha_of(letter, size, op->intended_sha256);
}

/* Every server: a folder that was empty a moment ago needs one request. */
static void
test_put_fresh(void)
{
	CsOp op = small();

	op.fresh_folder = true;
	FRESH("fresh: one request", &op, "PUT /d/f.txt new = 201 5 a",
		  "DONE /d/f.txt");
	FRESH("fresh: with ETag", &op, "PUT /d/f.txt new = 201 5 a etag:\"v1\"",
		  "DONE /d/f.txt \"v1\"");
	FRESH("fresh: a weak ETag is no version", &op,
		  "PUT /d/f.txt new = 204 5 a etag:W/\"v1\"", "DONE /d/f.txt");
	FRESH("fresh: folder missing, 409", &op, "PUT /d/f.txt new = 409",
		  "MKCOL /d/ = 201", "PUT /d/f.txt new = 201 5 a", "DONE /d/f.txt");
	FRESH("fresh: folder missing, 500", &op, "PUT /d/f.txt new = 500",
		  "MKCOL /d/ = 201", "PUT /d/f.txt new = 201 5 a", "DONE /d/f.txt");
	FRESH("fresh: folder there, a folder at the target", &op,
		  "PUT /d/f.txt new = 409", "MKCOL /d/ = 405", "LOOK /d = folder -",
		  "LOOK /d/f.txt = folder -", "FAILED conflict");
	FRESH("fresh: 409 and nothing explains it", &op, "PUT /d/f.txt new = 409",
		  "MKCOL /d/ = 405", "LOOK /d = folder -", "LOOK /d/f.txt = 404",
		  "PUT /d/f.txt new = 409", "LOOK /d/f.txt = 404", "FAILED broken");
	FRESH("fresh: the answer is lost, the file is there", &op,
		  "PUT /d/f.txt new = lost", "LOOK /d/f.txt = file v1 5",
		  "READ /d/f.txt = 200 5 a", "DONE verified /d/f.txt \"v1\"");
	FRESH("fresh: the same by the server's checksum", &op,
		  "PUT /d/f.txt new = 502", "LOOK /d/f.txt = file v1 5 a",
		  "DONE verified /d/f.txt \"v1\"");
	FRESH("fresh: lost, and other bytes there", &op, "PUT /d/f.txt new = lost",
		  "LOOK /d/f.txt = file v1 5", "READ /d/f.txt = 200 5 b",
		  "FAILED retry later");
	FRESH("fresh: lost, and nothing there", &op, "PUT /d/f.txt new = lost",
		  "LOOK /d/f.txt = 404", "FAILED retry later");
	FRESH("fresh: no connection", &op, "PUT /d/f.txt new = down",
		  "FAILED unreachable");
	FRESH("fresh: the body fails", &op, "PUT /d/f.txt new = bodyfail",
		  "FAILED changed");
	FRESH("fresh: shorter than said", &op, "PUT /d/f.txt new = 201 4 a",
		  "FAILED changed");
	FRESH("fresh: a redirect is not followed", &op,
		  "PUT /d/f.txt new = 301 location:https://cloud.example.com/x",
		  "FAILED unreachable");
	FRESH("fresh: the checksum is refused", &op, "PUT /d/f.txt new = 400",
		  "PUT /d/f.txt new = 201 5 a", "DONE /d/f.txt");
	FRESH("fresh: no conditions known", &op, "PUT /d/f.txt new = 501",
		  "LOOK /d/f.txt = 404", "PUT /d/f.txt = 201 5 a", "DONE /d/f.txt");
	op.temp_name = NULL;
	FRESH("no temporary name", &op, "FAILED broken");
}

/* A server that obeys conditions, found out by the first file. */
static void
test_put_conditions(void)
{
	CsOp op = small();

	FRESH("probed", &op, PROBE " = 412", "PUT /d/f.txt new = 201 5 a",
		  "DONE /d/f.txt");
	PLAY("known by now", &op, "PUT /d/f.txt new = 201 5 a", "DONE /d/f.txt");
	PLAY("taken by another", &op, "PUT /d/f.txt new = 412",
		 "LOOK /d/f.txt = file w 9", "FAILED conflict");
	PLAY("the same bytes are there", &op, "PUT /d/f.txt new = 412",
		 "LOOK /d/f.txt = file w 5", "READ /d/f.txt = 200 5 a",
		 "DONE adopted verified /d/f.txt \"w\"");
	PLAY("others of that size are there", &op, "PUT /d/f.txt new = 412",
		 "LOOK /d/f.txt = file w 5", "READ /d/f.txt = 200 5 b",
		 "FAILED conflict");
	PLAY("changed while it was read", &op, "PUT /d/f.txt new = 412",
		 "LOOK /d/f.txt = file w 5", "READ /d/f.txt = 200 5 etag:\"x\" a",
		 "LOOK /d/f.txt = file x 5", "READ /d/f.txt = 200 5 etag:\"x\" a",
		 "DONE adopted verified /d/f.txt \"x\"");
	PLAY("not readable, so not ours", &op, "PUT /d/f.txt new = 412",
		 "LOOK /d/f.txt = file w 5", "READ /d/f.txt = 403", "FAILED conflict");
	PLAY("there and not there in turn", &op, "PUT /d/f.txt new = 412",
		 "LOOK /d/f.txt = 404", "PUT /d/f.txt new = 412", "LOOK /d/f.txt = 404",
		 "PUT /d/f.txt new = 412", "LOOK /d/f.txt = 404",
		 "PUT /d/f.txt new = 412", "LOOK /d/f.txt = 404",
		 "PUT /d/f.txt new = 412", "FAILED retry later");
	op.overwrite = true;
	PLAY("overwrite", &op, "PUT /d/f.txt new = 412", "LOOK /d/f.txt = file w 9",
		 "PUT /d/f.txt if \"w\" = 204 5 a", "DONE /d/f.txt");
	PLAY("overwrite, never a folder", &op, "PUT /d/f.txt new = 412",
		 "LOOK /d/f.txt = folder -", "FAILED conflict");
	op.overwrite = false;
	op.known_version = "\"v1\"";
	PLAY("ours is replaced", &op,
		 "PUT /d/f.txt if \"v1\" = 204 5 a etag:\"v2\"",
		 "DONE /d/f.txt \"v2\"");
	PLAY("changed by another", &op, "PUT /d/f.txt if \"v1\" = 412",
		 "LOOK /d/f.txt = file w 9", "FAILED conflict");
	PLAY("removed by another", &op, "PUT /d/f.txt if \"v1\" = 412",
		 "LOOK /d/f.txt = 404", "PUT /d/f.txt new = 201 5 a", "DONE /d/f.txt");
	PLAY("no condition holds for a weak ETag", &op,
		 "PUT /d/f.txt if \"v1\" = 412", "LOOK /d/f.txt = file v1 9",
		 "PUT /d/f.txt = 204 5 a", "DONE /d/f.txt");
	intend(&op, 'i', 9);
	PLAY("ours by an attempt that died", &op, "PUT /d/f.txt if \"v1\" = 412",
		 "LOOK /d/f.txt = file w 9", "READ /d/f.txt = 200 9 i",
		 "PUT /d/f.txt if \"w\" = 204 5 a", "DONE /d/f.txt");
	op.known_version = "9:784111777";
	PLAY("known by time and size", &op, "LOOK /d/f.txt = file - 9",
		 "PUT /d/f.txt = 204 5 a", "DONE /d/f.txt");
}

/* A server that takes everything: looked at just before. */
static void
test_put_no_conditions(void)
{
	CsOp op = small();

	FRESH("probed in vain", &op, PROBE " = 201", "DELETE " T " = 204",
		  "LOOK /d/f.txt = 404", "PUT /d/f.txt new = 201 5 a", "DONE /d/f.txt");
	PLAY("taken by another", &op, "LOOK /d/f.txt = file w 9",
		 "FAILED conflict");
	op.known_version = "\"v1\"";
	PLAY("ours is replaced", &op, "LOOK /d/f.txt = file v1 9",
		 "PUT /d/f.txt if \"v1\" = 204 5 a", "DONE /d/f.txt");
	PLAY("changed by another", &op, "LOOK /d/f.txt = file w 9",
		 "FAILED conflict");
	FRESH("not found out", &op, PROBE " = 403", "LOOK /d/f.txt = file v1 9",
		  "PUT /d/f.txt if \"v1\" = 204 5 a", "DONE /d/f.txt");
	FRESH("probe: wrong password", &op, PROBE " = 401", "FAILED needs consent");
	FRESH("probe: no connection", &op, PROBE " = down", "FAILED unreachable");
}

static void
test_put_temp(void)
{
	CsOp op = large();

	FRESH("new", &op, "LOOK /d/f.txt = 404", "PUT " T " = 201 5 a",
		  "CHECKPOINT 5 a", "MOVE " T " -> /d/f.txt = 201", "DONE /d/f.txt");
	op.fresh_folder = true;
	FRESH("fresh: two requests", &op, "PUT " T " = 201 5 a", "CHECKPOINT 5 a",
		  "MOVE " T " -> /d/f.txt = 201", "DONE /d/f.txt");
	FRESH("somebody was faster", &op, "PUT " T " = 201 5 a", "CHECKPOINT 5 a",
		  "MOVE " T " -> /d/f.txt = 412", "LOOK /d/f.txt = file w 9",
		  "DELETE " T " = 204", "FAILED conflict");
	FRESH("somebody was faster, with the same", &op, "PUT " T " = 201 5 a",
		  "CHECKPOINT 5 a", "MOVE " T " -> /d/f.txt = 412",
		  "LOOK /d/f.txt = file w 5", "READ /d/f.txt = 200 5 a",
		  "DELETE " T " = 204", "DONE adopted verified /d/f.txt \"w\"");
	FRESH("shorter than said", &op, "PUT " T " = 201 4 a", "DELETE " T " = 204",
		  "FAILED changed");
	FRESH("the body fails", &op, "PUT " T " = bodyfail", "DELETE " T " = 404",
		  "FAILED changed");
	FRESH("no connection", &op, "PUT " T " = down", "FAILED unreachable");
	FRESH("folder missing", &op, "PUT " T " = 409", "MKCOL /d/ = 201",
		  "PUT " T " = 201 5 a", "CHECKPOINT 5 a",
		  "MOVE " T " -> /d/f.txt = 201", "DONE /d/f.txt");
	FRESH("MOVE is lost, but was done", &op, "PUT " T " = 201 5 a",
		  "CHECKPOINT 5 a", "MOVE " T " -> /d/f.txt = lost",
		  "LOOK /d/f.txt = file v1 5", "READ /d/f.txt = 200 5 a",
		  "DELETE " T " = 404", "DONE verified /d/f.txt \"v1\"");
	FRESH("MOVE is lost and was not done", &op, "PUT " T " = 201 5 a",
		  "CHECKPOINT 5 a", "MOVE " T " -> /d/f.txt = 502",
		  "LOOK /d/f.txt = 404", "DELETE " T " = 204", "FAILED retry later");
	FRESH("removed under our hands", &op, "PUT " T " = 201 5 a",
		  "CHECKPOINT 5 a", "MOVE " T " -> /d/f.txt = 404",
		  "DELETE " T " = 404", "FAILED retry now");
	FRESH("no MOVE here", &op, "PUT " T " = 201 5 a", "CHECKPOINT 5 a",
		  "MOVE " T " -> /d/f.txt = 405", "PUT /d/f.txt new = 201 5 a",
		  "DELETE " T " = 204", "DONE /d/f.txt");
	PLAY("and it is known", &op, "BODY = ok 5 a", "CHECKPOINT 5 a",
		 "PUT /d/f.txt new = 201 5 a", "DONE /d/f.txt");
	op.fresh_folder = false;
	op.known_version = "\"v1\"";
	FRESH("ours is replaced", &op, "LOOK /d/f.txt = file v1 9",
		  "PUT " T " = 201 5 a", "CHECKPOINT 5 a", "LOOK /d/f.txt = file v1 9",
		  "MOVE " T " => /d/f.txt = 204", "DONE /d/f.txt");
	FRESH("changed while we wrote", &op, "LOOK /d/f.txt = file v1 9",
		  "PUT " T " = 201 5 a", "CHECKPOINT 5 a", "LOOK /d/f.txt = file w 8",
		  "DELETE " T " = 204", "FAILED conflict");
	FRESH("removed while we wrote", &op, "LOOK /d/f.txt = file v1 9",
		  "PUT " T " = 201 5 a", "CHECKPOINT 5 a", "LOOK /d/f.txt = 404",
		  "MOVE " T " -> /d/f.txt = 201", "DONE /d/f.txt");
	FRESH("not ours", &op, "LOOK /d/f.txt = file w 9", "FAILED conflict");
	FRESH("the same bytes are there", &op, "LOOK /d/f.txt = file w 5 a",
		  "BODY = ok 5 a", "DONE adopted verified /d/f.txt \"w\"");
	op.known_version = NULL;
	intend(&op, 'i', 9);
	FRESH("ours by its bytes", &op, "LOOK /d/f.txt = file w 9",
		  "READ /d/f.txt = 200 9 i", "PUT " T " = 201 5 a", "CHECKPOINT 5 a",
		  "LOOK /d/f.txt = file w 9", "MOVE " T " => /d/f.txt = 204",
		  "DONE /d/f.txt");
}

/* A large file is looked at before it gets its name. */
static void
test_put_huge(void)
{
	CsOp op = large();

	op.size = INT64CONST(100000000);
	op.fresh_folder = true;
	FRESH("huge", &op, "PUT " T " = 201 100000000 a",
		  "LOOK " T " = file x 100000000", "CHECKPOINT 100000000 a",
		  "MOVE " T " -> /d/f.txt = 201", "DONE /d/f.txt");
	FRESH("huge, but not there", &op, "PUT " T " = 201 100000000 a",
		  "LOOK " T " = file x 99999999", "DELETE " T " = 204",
		  "FAILED retry now");
}

#define UP "up:/cloudsync-0123456789abcdef"

static void
test_nextcloud(void)
{
	CsOp op = small();

	endpoint = NEXT;
	FRESH("Nextcloud obeys conditions", &op,
		  psprintf("PUT /d/f.txt new = 201 5 a etag:\"v1\" oc-etag:\"v1\" "
				   "oc-fileid:00000042ocabc x-hash-sha256:%s",
				   hex_of('a', 5)),
		  "DONE verified /d/f.txt \"v1\"");
	tap_is(last_result.entry.id, "42", "its id");
	tap_is(last_result.entry.web_url,
		   "https://cloud.example.com/nc/index.php/f/42", "its page");
	FRESH("other bytes arrived", &op,
		  psprintf("PUT /d/f.txt new = 201 5 a etag:\"v1\" x-hash-sha256:%s",
				   hex_of('b', 5)),
		  psprintf("PUT /d/f.txt if \"v1\" = 204 5 a etag:\"v2\" "
				   "x-hash-sha256:%s",
				   hex_of('a', 5)),
		  "DONE verified /d/f.txt \"v2\"");
	FRESH("other bytes arrived, always", &op,
		  psprintf("PUT /d/f.txt new = 201 5 a etag:\"v1\" x-hash-sha256:%s",
				   hex_of('b', 5)),
		  psprintf("PUT /d/f.txt if \"v1\" = 201 5 a etag:\"v2\" "
				   "x-hash-sha256:%s",
				   hex_of('b', 5)),
		  psprintf("PUT /d/f.txt if \"v2\" = 201 5 a etag:\"v3\" "
				   "x-hash-sha256:%s",
				   hex_of('b', 5)),
		  "FAILED retry later");
	op = large();
	op.size = 2000000;
	FRESH("of some size: straight too", &op, "LOOK /d/f.txt = 404",
		  "BODY = ok 2000000 a", "CHECKPOINT 2000000 a",
		  "PUT /d/f.txt new = 201 2000000 a", "DONE /d/f.txt");
	op.size = 25000000;
	FRESH("in chunks", &op, "LOOK /d/f.txt = 404", "MKCOL " UP " = 201",
		  "CHECKPOINT 1 10485760 25000000", "PUT " UP "/00001 = 201 10485760 a",
		  "PUT " UP "/00002 at 10485760 = 201 10485760 a",
		  "PUT " UP "/00003 at 20971520 = 201 4028480 a",
		  "CHECKPOINT 25000000 a",
		  "MOVE " UP "/.file -> /d/f.txt = 201 oc-etag:\"v1\"",
		  "DONE /d/f.txt \"v1\"");
	FRESH("a chunk is sent again", &op, "LOOK /d/f.txt = 404",
		  "MKCOL " UP " = 201", "CHECKPOINT 1 10485760 25000000",
		  "PUT " UP "/00001 = lost", "PUT " UP "/00001 = 201 10485760 a",
		  "PUT " UP "/00002 at 10485760 = 503", "FAILED retry later");
	FRESH("the store is full", &op, "LOOK /d/f.txt = 404", "MKCOL " UP " = 201",
		  "CHECKPOINT 1 10485760 25000000", "PUT " UP "/00001 = 507",
		  "DELETE " UP " = 204", "FAILED quota");
	FRESH("an upload nobody remembers", &op, "LOOK /d/f.txt = 404",
		  "MKCOL " UP " = 405", "DELETE " UP " = 204", "MKCOL " UP " = 201",
		  "CHECKPOINT 1 10485760 25000000", "PUT " UP "/00001 = 403",
		  "DELETE " UP " = 204", "FAILED forbidden");
	op.session = "1 10485760 25000000";
	FRESH(
		"goes on", &op, "LOOK /d/f.txt = 404",
		"LIST " UP
		"/ = xml <d:multistatus xmlns:d='DAV:'><d:response><d:href>/x/</d:href>"
		"</d:response><d:response><d:href>/x/00001</d:href><d:propstat>"
		"<d:prop><d:getcontentlength>10485760</d:getcontentlength></d:prop>"
		"<d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
		"</d:multistatus>",
		"BODY 10485760 = ok 10485760 a",
		"PUT " UP "/00002 at 10485760 = 201 10485760 a",
		"PUT " UP "/00003 at 20971520 = 201 4028480 a", "CHECKPOINT 25000000 a",
		"MOVE " UP "/.file -> /d/f.txt = 201", "DONE /d/f.txt");
	FRESH("what is gone begins anew", &op, "LOOK /d/f.txt = 404",
		  "LIST " UP "/ = 404", "MKCOL " UP " = 201",
		  "CHECKPOINT 1 10485760 25000000", "PUT " UP "/00001 = 404",
		  "DELETE " UP " = 404", "FAILED retry now");
	op = (CsOp){.kind = CS_OP_DISCARD, .path = T};
	FRESH("discard", &op, "DELETE " UP " = 404", "DELETE " T " = 204", "DONE");
	endpoint = BASE;
}

/* --- the others ------------------------------------------------------------------- */

static void
test_statuses(void)
{
	static const char *const means[][2] = {
		{"400", "broken"},		{"401", "needs consent"},
		{"403", "forbidden"},	{"408", "retry later"},
		{"410", "broken"},		{"413", "refused"},
		{"414", "refused"},		{"423", "retry later"},
		{"425", "retry later"}, {"429", "retry later"},
		{"503", "retry later"}, {"507", "quota"},
		{"302", "unreachable"}, {"599", "retry later"},
		{"299", "broken"},
	};
	CsOp put = large();
	CsOp get = {.kind = CS_OP_GET, .path = "/f"};
	CsOp list = {.kind = CS_OP_LIST, .path = "/in"};
	CsOp mkdir = {.kind = CS_OP_MKDIR, .path = "/a"};

	put.fresh_folder = true;
	for (int i = 0; i < (int) lengthof(means); i++)
	{
		const char *status = means[i][0];
		const char *failed = psprintf("FAILED %s", means[i][1]);
		bool gone = strcmp(status, "410") == 0;

		if (strcmp(means[i][1], "unreachable") == 0 ||
			strcmp(means[i][1], "needs consent") == 0)
			FRESH(status, &put, psprintf("PUT " T " = %s", status), failed);
		else
			FRESH(status, &put, psprintf("PUT " T " = %s", status),
				  "DELETE " T " = 404", failed);
		FRESH(status, &get, psprintf("GET /f = %s", status),
			  gone ? "FAILED gone" : failed);
		FRESH(status, &list, psprintf("LIST /in/ = %s", status),
			  gone ? "FAILED gone" : failed);
		if (strcmp(means[i][1], "unreachable") != 0 &&
			strcmp(means[i][1], "needs consent") != 0 &&
			strcmp(means[i][1], "quota") != 0)
			FRESH(status, &mkdir, psprintf("MKCOL /a/ = %s", status),
				  "LOOK /a = 404", gone ? "FAILED gone" : failed);
	}
	FRESH("429", &get, "GET /f = 429", "FAILED retry later");
	tap_ok(strstr(last_failure.message, "429") != NULL, "the status is said");
}

static void
test_mkdir(void)
{
	CsOp op = {.kind = CS_OP_MKDIR, .path = "/a/b/c"};

	FRESH("made", &op, "MKCOL /a/b/c/ = 201", "DONE /a/b/c");
	PLAY("known by now", &op, "DONE /a/b/c");
	FRESH("with its parents", &op, "MKCOL /a/b/c/ = 409", "MKCOL /a/b/ = 409",
		  "MKCOL /a/ = 201", "MKCOL /a/b/ = 201",
		  "MKCOL /a/b/c/ = 201 oc-fileid:00000007ocx", "DONE /a/b/c");
	tap_is(last_result.entry.id, "7", "its id");
	PLAY("known with its id", &op, "DONE /a/b/c");
	tap_is(last_result.entry.id, "7", "its id, remembered");
	FRESH("is there", &op, "MKCOL /a/b/c/ = 405", "LOOK /a/b/c = folder 12",
		  "DONE /a/b/c");
	tap_is(last_result.entry.id, "12", "its id, looked up");
	FRESH("a file is there", &op, "MKCOL /a/b/c/ = 405",
		  "LOOK /a/b/c = file v 1", "FAILED conflict");
	FRESH("forbidden, but there", &op, "MKCOL /a/b/c/ = 403",
		  "LOOK /a/b/c = folder -", "DONE /a/b/c");
	FRESH("a file on the way", &op, "MKCOL /a/b/c/ = 409", "MKCOL /a/b/ = 405",
		  "LOOK /a/b = file v 1", "FAILED conflict");
	FRESH("the endpoint is gone", &op, "MKCOL /a/b/c/ = 409",
		  "MKCOL /a/b/ = 409", "MKCOL /a/ = 409", "LOOK /a = 404",
		  "FAILED unreachable");
	FRESH("no end of it", &op, "MKCOL /a/b/c/ = 409", "MKCOL /a/b/ = 201",
		  "MKCOL /a/b/c/ = 409", "MKCOL /a/b/ = 201", "MKCOL /a/b/c/ = 409",
		  "MKCOL /a/b/ = 201", "MKCOL /a/b/c/ = 409", "MKCOL /a/b/ = 201",
		  "MKCOL /a/b/c/ = 409", "MKCOL /a/b/ = 201", "MKCOL /a/b/c/ = 409",
		  "MKCOL /a/b/ = 201", "FAILED broken");
	op.path = "/";
	FRESH("the root", &op, "LOOK / = folder -", "DONE /");
	FRESH("the root is gone", &op, "LOOK / = 404", "FAILED unreachable");
}

static void
test_get(void)
{
	CsOp op = {.kind = CS_OP_GET, .path = "/f", .expect_version = "\"v1\""};

	FRESH("one request", &op, "GET /f = 200 5 a etag:\"v1\" content-length:5",
		  "DONE /f \"v1\"");
	FRESH("compressed on the way", &op,
		  "GET /f = 200 5 a etag:\"v1-gzip\" content-length:3 "
		  "content-encoding:gzip",
		  "DONE /f \"v1\"");
	FRESH("another version", &op,
		  "GET /f = 200 5 a etag:\"v2\" content-length:5", "FAILED changed");
	FRESH("shorter than said", &op,
		  "GET /f = 200 4 a etag:\"v1\" content-length:5", "FAILED retry now");
	FRESH("its checksum", &op,
		  psprintf("GET /f = 200 5 a etag:\"v1\" oc-checksum:SHA256:%s",
				   hex_of('a', 5)),
		  "DONE verified /f \"v1\"");
	FRESH("another checksum", &op,
		  psprintf("GET /f = 200 5 a etag:\"v1\" oc-checksum:SHA256:%s",
				   hex_of('b', 5)),
		  "FAILED retry now");
	FRESH("its digest", &op,
		  "GET /f = 200 5 a etag:\"v1\" "
		  "digest:md5=xx,sha-256=7Wj20JPuZd/w4d5NjqJfUvMUWyCa0xYxMkfj++d60Zo=",
		  "FAILED retry now");
	FRESH("no ETag: asked for", &op, "GET /f = 200 5 a content-length:5",
		  "LOOK /f = file v1 5", "DONE /f \"v1\"");
	FRESH("no ETag: another", &op, "GET /f = 200 5 a content-length:5",
		  "LOOK /f = file v2 5", "FAILED changed");
	FRESH("gone", &op, "GET /f = 404", "FAILED gone");
	FRESH("a page to sign in", &op, "GET /f = 302 location:https://x.org/login",
		  "FAILED unreachable");
	FRESH("redirected within the server", &op, "GET /f = 301 location:/dav/g",
		  "GET /g = 200 5 a etag:\"v1\"", "DONE /f \"v1\"");
	FRESH("redirected for ever", &op, "GET /f = 301 location:/dav/f",
		  "GET /f = 301 location:/dav/f",
		  "GET /f = 301 location:https://cloud.example.com/dav/f",
		  "GET /f = 301 location:/dav/f", "FAILED unreachable");
	FRESH("goes on", &op, "GET /f = broke 3 etag:\"v1\" content-length:5",
		  "GET /f from 3 = 206 2 a content-range:bytes_3-4/5",
		  "DONE /f \"v1\"");
	FRESH(
		"goes on, twice", &op, "GET /f = broke 3 etag:\"v1\" content-length:5",
		"GET /f from 3 = broke 1 content-range:bytes_3-4/5",
		"GET /f from 4 = 206 1 a content-range:bytes_4-4/5", "DONE /f \"v1\"");
	FRESH("another file by now", &op,
		  "GET /f = broke 3 etag:\"v0\" content-length:5",
		  "GET /f from 3 = 200 5 a",
		  "GET /f = 200 5 a etag:\"v1\" content-length:5", "DONE /f \"v1\"");
	FRESH("a wrong range", &op, "GET /f = broke 3 etag:\"v1\" content-length:5",
		  "GET /f from 3 = 206 2 a content-range:bytes_2-3/5",
		  "GET /f = 200 5 a etag:\"v1\" content-length:5", "DONE /f \"v1\"");
	FRESH("no validator: anew", &op, "GET /f = broke 3 content-length:5",
		  "GET /f = 200 5 a etag:\"v1\" content-length:5", "DONE /f \"v1\"");
	FRESH("nothing came", &op, "GET /f = lost", "FAILED retry later");
	FRESH("breaks off always", &op,
		  "GET /f = broke 1 etag:\"v1\" content-length:9",
		  "GET /f from 1 = broke 1 content-range:bytes_1-8/9",
		  "GET /f from 2 = broke 1 content-range:bytes_2-8/9",
		  "GET /f from 3 = broke 1 content-range:bytes_3-8/9",
		  "GET /f from 4 = broke 1 content-range:bytes_4-8/9",
		  "GET /f from 5 = broke 1 content-range:bytes_5-8/9",
		  "FAILED retry later");
	FRESH("the database cannot take it", &op, "GET /f = bodyfail",
		  "FAILED changed");
	op.expect_version = "5:784111777";
	FRESH("by time and size", &op,
		  "GET /f = 200 5 a content-length:5 etag:\"x\" "
		  "last-modified:Sun,_06_Nov_1994_08:49:37_GMT",
		  "DONE /f 5:784111777");
	FRESH("by time and size, another", &op,
		  "GET /f = 200 5 a content-length:5 etag:\"x\" "
		  "last-modified:Sun,_06_Nov_1994_08:49:38_GMT",
		  "FAILED changed");
	op.expect_version = NULL;
	FRESH("any version", &op, "GET /f = 200 0 a content-length:0", "DONE /f");
}

static void
test_list(void)
{
	CsOp op = {.kind = CS_OP_LIST, .path = "/in", .recursive = true};
	StringInfoData deep;
	char *name = palloc0(12001);

	FRESH("folders, ours left out", &op,
		  "LIST /in/ = page a b/ .cloudsync-0123456789abcdef.part "
		  "%C3%A9%20x.pdf",
		  "PAGE a b/ \xC3\xA9 x.pdf", "LIST /in/b/ = page c", "PAGE c", "DONE");
	FRESH("empty", &op, "LIST /in/ = page", "DONE");
	FRESH("a folder is gone since", &op, "LIST /in/ = page b/", "PAGE b/",
		  "LIST /in/b/ = 404", "DONE incomplete");
	FRESH("a folder cannot be listed", &op, "LIST /in/ = page b/ e/",
		  "PAGE b/ e/", "LIST /in/e/ = 403", "PAGE e/!", "LIST /in/b/ = page y",
		  "PAGE y", "DONE incomplete");
	FRESH("a folder fails", &op, "LIST /in/ = page b/", "PAGE b/",
		  "LIST /in/b/ = 500", "FAILED retry later");
	FRESH("kept from us", &op, "LIST /in/ = page a! b", "PAGE a! b",
		  "DONE incomplete");
	FRESH("gone", &op, "LIST /in/ = 404", "FAILED gone");
	FRESH("a web page", &op, "LIST /in/ = 200 content-type:text/html",
		  "FAILED broken");
	FRESH("a web page that says 207", &op,
		  "LIST /in/ = xml <html><body><p>Sign in</body></html>",
		  "FAILED broken");
	FRESH("breaks off", &op,
		  "LIST /in/ = xml <d:multistatus xmlns:d='DAV:'><d:response>",
		  "FAILED broken");
	FRESH("a bomb", &op,
		  "LIST /in/ = xml <!DOCTYPE a [<!ENTITY b 'bb'>]><a>&b;</a>",
		  "FAILED broken");
	FRESH("redirected within the server", &op,
		  "LIST /in/ = 301 location:/dav/in/", "LIST /in/ = page a", "PAGE a",
		  "DONE");
	FRESH("about other addresses", &op,
		  "LIST /in/ = xml <d:multistatus xmlns:d='DAV:'><d:response>"
		  "<d:href>http://internal:8080/dav/in/</d:href></d:response>"
		  "</d:multistatus>",
		  "FAILED broken");
	FRESH("nothing in it", &op,
		  "LIST /in/ = xml <d:multistatus xmlns:d='DAV:'/>", "FAILED broken");
#define R(href)                                                                \
	"=<d:response><d:href>" href "</d:href><d:propstat><d:prop>"               \
	"<d:resourcetype/></d:prop><d:status>HTTP/1.1_200</d:status>"              \
	"</d:propstat></d:response>"
	FRESH(
		"absolute and foreign addresses", &op,
		"LIST /in/ = page " R("https://cloud.example.com/dav/in/yes") " " R(
			"ht"
			"tp"
			"s:"
			"//"
			"ev"
			"il"
			".e"
			"xa"
			"mp"
			"le"
			".c"
			"om"
			"/d"
			"av"
			"/i"
			"n/"
			"n"
			"o") " " R("//evil/dav/in/no") " " R("/dav/in/../no") " " R("/dav/"
																		"no") " " R("/dav/in/x/y") " " R("/dav/"
																										 "in/"
																										 "..") " " R("in/no") " " R("/dav/inn/no"),
		"PAGE yes!", "DONE incomplete");
	FRESH("names that can be none", &op,
		  "LIST /in/ = page a%00b a%ffb a%2Fb a%zz a%0Ab",
		  "PAGE a%00b! a%ffb! a%2fb! a%zz! a\nb", "DONE");
	memset(name, 'n', 10000);
	open_service();
	PLAY("a name of 10 KB", &op, psprintf("LIST /in/ = page %s", name),
		 psprintf("PAGE %.120s...%.16s!", name, hex_of('n', 10000)), "DONE");
	op.recursive = false;
	FRESH("one folder only", &op, "LIST /in/ = page a b/", "PAGE a b/", "DONE");
	op.recursive = true;
	initStringInfo(&deep);
	appendStringInfoChar(&deep, '/');
	for (int i = 0; i < 1499; i++)
		appendStringInfoChar(&deep, i % 200 == 199 ? '/' : 'n');
	op.path = deep.data;
	open_service();
	PLAY("nested too deeply", &op, psprintf("LIST %s/ = page a b/", deep.data),
		 "PAGE a b/!", "DONE");
}

/* A folder of many files is given in pages. */
static void
test_pages(void)
{
	CsOp op = {.kind = CS_OP_LIST, .path = "/"};
	CsRequest request;
	CsResult result;
	CsResponse answer;
	int seen = 0;
	int pages = 0;

	open_service();
	c = cs_provider_webdav.begin(service, &op);
	tap_ok(cs_provider_webdav.next(c, NULL, &request, &result) ==
			   CS_STEP_REQUEST,
		   "asks");
	fill_answer(&answer, &request, "page");
	answer_text.len -= (int) strlen("</d:multistatus>");
	for (int i = 0; i < 1700; i++)
	{
		char *file[] = {"file", "v1", "5"};

		add_resource(psprintf("%s%d", request.url, i), file, 3);
	}
	appendStringInfoString(&answer_text, "</d:multistatus>");
	for (int i = 0; i < answer_text.len; i += 1000)
	{
		if (cs_provider_webdav.take(c, answer_text.data + i,
									Min(1000, answer_text.len - i),
									&result) == CS_STEP_PAGE)
		{
			pages++;
			seen += result.n_entries;
			tap_ok(result.n_entries >= 500 && result.n_entries < 550,
				   "a page of %d", result.n_entries);
		}
	}
	if (cs_provider_webdav.next(c, &answer, &request, &result) == CS_STEP_PAGE)
	{
		pages++;
		seen += result.n_entries;
	}
	tap_ok(pages == 4 && seen == 1700, "%d entries in %d pages", seen, pages);
	tap_ok(cs_provider_webdav.next(c, NULL, &request, &result) == CS_STEP_DONE,
		   "done");
}

static void
test_move(void)
{
	CsOp op = {.kind = CS_OP_MOVE,
			   .path = "/a",
			   .to_path = "/b",
			   .known_version = "\"v1\""};
	CsOp folder = {
		.kind = CS_OP_MOVE, .path = "/a", .to_path = "/b", .id = "7"};

	FRESH("ours is moved", &op, "LOOK /a = file v1 5", "MOVE /a -> /b = 201",
		  "LOOK /b = file v2 5", "DONE /b \"v2\"");
	FRESH("not ours", &op, "LOOK /a = file w 5", "FAILED conflict");
	FRESH("a folder instead", &op, "LOOK /a = folder -", "FAILED conflict");
	FRESH("a folder of ours", &folder, "LOOK /a = folder 7",
		  "MOVE /a/ -> /b/ = 201", "LOOK /b = folder 7", "DONE /b");
	FRESH("another folder", &folder, "LOOK /a = folder 8", "FAILED conflict");
	FRESH("a folder without ids", &folder, "LOOK /a = folder -",
		  "MOVE /a/ -> /b/ = 201", "LOOK /b = folder -", "DONE /b");
	FRESH("the target is taken", &op, "LOOK /a = file v1 5",
		  "MOVE /a -> /b = 412", "FAILED conflict");
	FRESH("moved already", &op, "LOOK /a = 404", "LOOK /b = file v1 5",
		  "DONE /b \"v1\"");
	FRESH("gone", &op, "LOOK /a = 404", "LOOK /b = 404", "FAILED gone");
	FRESH("gone, the target is another's", &op, "LOOK /a = 404",
		  "LOOK /b = file w 5", "FAILED gone");
	FRESH("folder gone meanwhile", &op, "LOOK /a = file v1 5",
		  "MOVE /a -> /b = 409", "FAILED retry now");
	FRESH("lost, but done", &op, "LOOK /a = file v1 5", "MOVE /a -> /b = lost",
		  "LOOK /b = file v1 5", "DONE /b \"v1\"");
	FRESH("lost and not done", &op, "LOOK /a = file v1 5",
		  "MOVE /a -> /b = 504", "LOOK /b = 404", "FAILED retry later");
	FRESH("locked", &op, "LOOK /a = file v1 5", "MOVE /a -> /b = 423",
		  "FAILED retry later");
	intend(&op, 'i', 5);
	FRESH("ours by its bytes", &op, "LOOK /a = file w 5", "READ /a = 200 5 i",
		  "MOVE /a -> /b = 201", "LOOK /b = file w 5", "DONE /b \"w\"");
	FRESH("ours by the server's checksum", &op, "LOOK /a = file w 5 i",
		  "MOVE /a -> /b = 201", "LOOK /b = file w 5", "DONE /b \"w\"");
	FRESH("not ours by its bytes", &op, "LOOK /a = file w 5",
		  "READ /a = 200 5 o", "FAILED conflict");
	FRESH("moved already, by its bytes", &op, "LOOK /a = 404",
		  "LOOK /b = file w 5", "READ /b = 200 5 i", "DONE /b \"w\"");
	op.to_path = "/a";
	FRESH("nowhere else", &op, "LOOK /a = file v1 5", "DONE /a \"v1\"");
	op.to_path = NULL;
	FRESH("nowhere", &op, "FAILED broken");
}

static void
test_trash(void)
{
	CsOp op = {.kind = CS_OP_TRASH,
			   .path = "/r/a.txt",
			   .to_path = "/.trash/r/a.txt",
			   .known_version = "\"v1\""};

	FRESH("to the trash", &op, "LOOK /r/a.txt = file v1 5",
		  "MKCOL /.trash/r/ = 409", "MKCOL /.trash/ = 201",
		  "MKCOL /.trash/r/ = 201", "MOVE /r/a.txt -> /.trash/r/a.txt = 201",
		  "LOOK /.trash/r/a.txt = file v1 5", "DONE /.trash/r/a.txt \"v1\"");
	PLAY("taken there, twice", &op, "LOOK /r/a.txt = file v1 5",
		 "MOVE /r/a.txt -> /.trash/r/a.txt = 412",
		 "MOVE /r/a.txt -> /.trash/r/a (2).txt = 412",
		 "MOVE /r/a.txt -> /.trash/r/a (3).txt = 201",
		 "LOOK /.trash/r/a (3).txt = file v1 5",
		 "DONE /.trash/r/a (3).txt \"v1\"");
	PLAY("there already, under a number", &op, "LOOK /r/a.txt = 404",
		 "LOOK /.trash/r/a.txt = file w 4",
		 "LOOK /.trash/r/a (2).txt = file v1 5",
		 "DONE /.trash/r/a (2).txt \"v1\"");
	PLAY("gone", &op, "LOOK /r/a.txt = 404", "LOOK /.trash/r/a.txt = 404",
		 "FAILED gone");
	PLAY("not ours", &op, "LOOK /r/a.txt = file w 5", "FAILED conflict");
	FRESH("a file where the trash should be", &op, "LOOK /r/a.txt = file v1 5",
		  "MKCOL /.trash/r/ = 409", "MKCOL /.trash/ = 405",
		  "LOOK /.trash = file v 1", "FAILED conflict");
}

static void
test_small(void)
{
	CsOp op = {.kind = CS_OP_ABOUT, .path = "/"};

	FRESH("about", &op, "LOOK / = folder -", "DONE /");
	FRESH("about: quota", &op,
		  "LOOK / = xml <d:multistatus xmlns:d='DAV:'><d:response><d:href>/dav/"
		  "</d:href><d:propstat><d:prop><d:resourcetype><d:collection/>"
		  "</d:resourcetype><d:quota-used-bytes>5</d:quota-used-bytes>"
		  "<d:quota-available-bytes>10</d:quota-available-bytes></d:prop>"
		  "<d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
		  "</d:multistatus>",
		  "DONE /");
	tap_ok(last_result.used_bytes == 5 && last_result.quota_bytes == 15,
		   "used and quota");
	FRESH("about a web server", &op, "LOOK / = 405", "FAILED unreachable");
	FRESH("about a web page", &op, "LOOK / = 200 content-type:text/html",
		  "FAILED unreachable");
	FRESH("about nothing", &op, "LOOK / = 404", "FAILED unreachable");
	FRESH("about a file", &op, "LOOK / = file v 1", "FAILED unreachable");
	FRESH("about: wrong password", &op, "LOOK / = 401", "FAILED needs consent");
	FRESH("about: forbidden", &op, "LOOK / = 403", "FAILED forbidden");
	FRESH("about: server fails", &op, "LOOK / = 503", "FAILED retry later");
	FRESH("about: elsewhere", &op,
		  "LOOK / = 301 location:https://u:secret@evil.example.com/",
		  "FAILED unreachable");
	tap_ok(strstr(last_failure.message, "evil.example.com") != NULL &&
			   strstr(last_failure.message, "secret") == NULL,
		   "the host is named: %s", last_failure.message);
	op.kind = CS_OP_STAT;
	op.path = "/x";
	FRESH("stat", &op, "LOOK /x = file v 5", "DONE /x \"v\"");
	op.path = "/a #1?/100%";
	FRESH("stat: signs in a name", &op, "LOOK /a #1?/100% = file v 5",
		  "DONE /a #1?/100% \"v\"");
	op.path = "/x";
	FRESH("stat: Apache's young ETag", &op,
		  "LOOK /x = file W/5-660d6aa419fa9 5", "DONE /x \"5-660d6aa419fa9\"");
	FRESH("stat: a weak ETag", &op, "LOOK /x = file W/v 5",
		  "DONE /x 5:784111777");
	FRESH("stat: no ETag", &op, "LOOK /x = file - 5", "DONE /x 5:784111777");
	FRESH("stat of nothing", &op, "LOOK /x = 404", "FAILED gone");
	FRESH("stat: nonsense", &op, "LOOK /x = xml <a/>", "FAILED broken");
	op.kind = CS_OP_DISCARD;
	op.path = T;
	FRESH("discard", &op, "DELETE " T " = 204", "DONE");
	FRESH("discard of what is gone", &op, "DELETE " T " = 404", "DONE");
	FRESH("discard refused", &op, "DELETE " T " = 403", "FAILED forbidden");
	op.path = "/d/f.txt";
	FRESH("discard of a file", &op, "FAILED broken");
}

static void
test_open(void)
{
	static const char *const bad[] = {"",
									  "cloud.example.com",
									  "ftp://h/",
									  "https://u:p@h/",
									  "https://h/?x",
									  "https://h/%00"};
	CsFailure failure;

	for (int i = 0; i < (int) lengthof(bad); i++)
	{
		CsOption options[] = {{"endpoint", bad[i]}, {NULL}};

		tap_ok(cs_provider_webdav.open(options, &failure) == NULL &&
				   failure.message[0] != '\0' && failure.detail[0] != '\0',
			   "endpoint \"%s\": %s", bad[i], failure.message);
	}
	{
		CsOption options[] = {{"endpoint", "HTTPS://Cloud.Example.com:443/a/"},
							  {NULL}};
		CsService *opened = cs_provider_webdav.open(options, &failure);

		tap_is(opened->url, "https://cloud.example.com/a", "its address");
		tap_is(opened->account, "https://cloud.example.com/a", "its account");
	}
}

int
main(void)
{
	initStringInfo(&answer_text);
	test_put_fresh();
	test_put_conditions();
	test_put_no_conditions();
	test_put_temp();
	test_put_huge();
	test_nextcloud();
	test_statuses();
	test_mkdir();
	test_get();
	test_list();
	test_pages();
	test_move();
	test_trash();
	test_small();
	test_open();
	return tap_done();
}
