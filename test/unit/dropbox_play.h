/*
 * dropbox_play.h
 *	  Replays the Dropbox provider's conversations. A script's line is what the
 *	  conversation must say, and what it is answered:
 *
 *	  API files/get_metadata {"path":"/a"} = 200 {...}
 *		  a request to the API's host: route and body. CON: to the host for
 *		  contents, with its argument, "body 0+5" if bytes of the body go with
 *		  it, "bytes=5-" for a range. "root ..." if it names a path root, "wait
 *		  2" if it is to be made seconds later. The answer: a status, then
 *			  b:5 bytes of the body, h:a its SHA-256 (32 letters), p:a the
 *			  part's, c:a the content hash of h:a, w:7 Retry-After,
 *			  r:{...} the rest is metadata in a header, t:... a text, {...} JSON
 *		  or lost, refused (never arrived), broke (as far as b: came), bodyfail
 *	  BODY 0+5 = b:5 h:a			the body is read
 *	  PAGE a b/ -c d!				entries: folders with '/', gone with '-',
 *									refused with '!'; then the cursor
 *	  CHECKPOINT 5 a session		DONE adopted verified /path version size
 *	  FAILED class
 *
 * #a stands for the content hash of a small body whose SHA-256 is h:a.
 */
#ifndef CLOUDSYNC_DROPBOX_PLAY_H
#define CLOUDSYNC_DROPBOX_PLAY_H

#include "cloudsync/hash.h"
#include "cloudsync/provider.h"
#include "lib/stringinfo.h"
#include "tap.h"

static const char *const class_names[] = {
	"none",		   "retry now", "retry later", "needs consent", "gone",
	"conflict",	   "changed",	"quota",	   "forbidden",		"refused",
	"unreachable", "reset",		"locked",	   "broken"};

static CsService *service;
static CsFailure last_failure;

static const char *
hash_of_letter(char letter)
{
	uint8 sha256[CS_SHA256_LENGTH];
	uint8 whole[CS_SHA256_LENGTH];

	memset(sha256, letter, sizeof(sha256));
	cs_sha256(sha256, letter == '0' ? 0 : sizeof(sha256), whole);
	return cs_hex(whole, sizeof(whole));
}

/* Content hashes as #letter, or the other way round. */
static char *
with_hashes(const char *text, bool to_letters)
{
	StringInfoData out;

	initStringInfo(&out);
	while (*text != '\0')
	{
		bool found = false;

		for (char letter = '0'; letter <= 'h' && !found; letter++)
		{
			const char *hash;

			if (letter == '1')
				letter = 'a';
			hash = hash_of_letter(letter);
			if (to_letters && strncmp(text, hash, 64) == 0)
			{
				appendStringInfo(&out, "#%c", letter);
				text += 64;
				found = true;
			}
			else if (!to_letters && text[0] == '#' && text[1] == letter)
			{
				appendStringInfoString(&out, hash);
				text += 2;
				found = true;
			}
		}
		if (!found)
			appendStringInfoChar(&out, *text++);
	}
	return out.data;
}

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

#define API_URL "https://api.dropboxapi.com/2/"
#define CON_URL "https://content.dropboxapi.com/2/"

static const char *
say_request(const CsRequest *request)
{
	const char *arg = header_of(request, "dropbox-api-arg");
	const char *type = header_of(request, "content-type");
	StringInfoData text;
	bool api = strncmp(request->url, API_URL, strlen(API_URL)) == 0;

	initStringInfo(&text);
	if (strcmp(request->method, "POST") != 0 || type == NULL ||
		strcmp(type, api ? "application/json" : "application/octet-stream") !=
			0 ||
		(arg == NULL) != api || request->anonymous ||
		(!api && request->send == CS_SEND_TEXT && request->text_len != 0))
		appendStringInfoString(&text, "WRONG ");
	if (api)
		appendStringInfo(&text, "API %s %s", request->url + strlen(API_URL),
						 request->text);
	else if (strncmp(request->url, CON_URL, strlen(CON_URL)) == 0)
		appendStringInfo(&text, "CON %s %s", request->url + strlen(CON_URL),
						 arg);
	else
		return psprintf("elsewhere: %s", request->url);
	for (const char *p = arg; p != NULL && *p != '\0'; p++)
	{
		if ((unsigned char) *p < 0x20 || (unsigned char) *p >= 0x7f)
			appendStringInfoString(&text, " NOT-ASCII");
	}
	if (request->send == CS_SEND_BODY)
		appendStringInfo(&text, " body %d+%d", (int) request->from,
						 (int) request->length);
	if (header_of(request, "range") != NULL)
		appendStringInfo(&text, " %s%s", header_of(request, "range"),
						 request->append ? "" : " anew");
	if (header_of(request, "dropbox-api-path-root") != NULL)
		appendStringInfo(&text, " root %s",
						 header_of(request, "dropbox-api-path-root"));
	if (header_of(request, "dropbox-api-select-user") != NULL)
		appendStringInfo(&text, " for %s",
						 header_of(request, "dropbox-api-select-user"));
	if (request->wait_ms > 0)
		appendStringInfo(&text, " wait %d", (int) (request->wait_ms / 1000));
	return with_hashes(text.data, true);
}

static const char *
say_page(const CsResult *result)
{
	char *text = pstrdup("PAGE");

	for (int i = 0; i < result->n_entries; i++)
		text = psprintf("%s %s%s%s%s", text, result->entries[i].gone ? "-" : "",
						result->entries[i].path,
						result->entries[i].kind == CS_ENTRY_FOLDER &&
								!result->entries[i].gone
							? "/"
							: "",
						result->entries[i].refused != NULL ? "!" : "");
	return result->cursor != NULL ? psprintf("%s >%s", text, result->cursor)
								  : text;
}

static const char *
say_puts(const CsResult *result, int n)
{
	char *text = pstrdup("DONE");

	for (int i = 0; i < n; i++)
		text = psprintf(
			"%s %s", text,
			result->puts[i].ok
				? psprintf("%s%s%s", result->puts[i].entry.version,
						   result->puts[i].verified ? "" : "?",
						   result->puts[i].adopted ? "=" : "")
				: psprintf("(%s)",
						   class_names[result->puts[i].failure.failure_class]));
	return text;
}

static const char *
say(CsStep step, const CsRequest *request, const CsResult *result, int n_puts)
{
	const CsEntry *entry = &result->entry;

	switch (step)
	{
		case CS_STEP_REQUEST:
			if (request->kind == CS_REQ_HASH_BODY)
				return psprintf("BODY %d%s", (int) request->from,
								request->length < 0
									? ""
									: psprintf("+%d", (int) request->length));
			return say_request(request);
		case CS_STEP_CHECKPOINT:
			return psprintf("CHECKPOINT %d %c%s%s", (int) result->size,
							result->size >= 0 ? result->sha256[7] : '-',
							result->session != NULL ? " " : "",
							result->session != NULL ? result->session : "");
		case CS_STEP_PAGE:
			return say_page(result);
		case CS_STEP_DONE:
			if (result->puts != NULL)
				return say_puts(result, n_puts);
			return psprintf(
				"DONE%s%s%s%s%s", result->adopted ? " adopted" : "",
				result->verified ? " verified" : "",
				entry->path != NULL
					? psprintf(" %s%s%s%s", entry->path,
							   entry->kind == CS_ENTRY_FOLDER ? "/" : "",
							   entry->version != NULL ? " " : "",
							   entry->version != NULL ? entry->version : "")
					: "",
				entry->path != NULL && entry->size >= 0
					? psprintf(" %d", (int) entry->size)
					: "",
				result->cursor != NULL ? psprintf(" >%s", result->cursor)
				: result->account != NULL
					? psprintf(" of %s " INT64_FORMAT "/" INT64_FORMAT,
							   result->account, result->used_bytes,
							   result->quota_bytes)
					: "");
		default:
			return psprintf("FAILED %s",
							class_names[result->failure.failure_class]);
	}
}

static CsHeader answer_headers[16];
static CsFailure body_failure = {CS_FAIL_CHANGED, 0, "the value changed", ""};
static CsFailure lost_failure = {CS_FAIL_RETRY_LATER, 0, "no answer came", ""};

/* One word of an answer. False: the rest of the line was taken. */
static bool
fill_word(CsResponse *response, char *word)
{
	const char *value = word + 2;

	switch (word[0])
	{
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
		case 'c':
			response->checksum = hash_of_letter(*value);
			break;
		case 'w':
			response->retry_after_ms = atoi(value) * 1000;
			break;
		case 'r':
			answer_headers[0].name = "dropbox-api-result";
			answer_headers[0].value = with_hashes(value, false);
			response->headers = answer_headers;
			response->n_headers = 1;
			return false;
		default: /* t */
			response->text = pstrdup(value);
			return false;
	}
	return true;
}

static void
fill_response(CsResponse *response, const char *line)
{
	char *word = pstrdup(line);

	memset(response, 0, sizeof(*response));
	response->retry_after_ms = -1;
	response->sent = true;
	while (word != NULL && *word != '\0')
	{
		char *end = strchr(word, ' ');

		if (word[0] == '{' ||
			(word[1] == ':' && (word[0] == 'r' || word[0] == 't')))
			end = NULL;
		if (end != NULL)
			*end++ = '\0';
		if (word[0] == '{')
			response->text = with_hashes(word, false);
		else if (word[1] == ':')
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

/* Plays lines (ended by NULL) and checks each thing that is said. */
static void
play(const char *title, const CsOp *op, const char *const *lines)
{
	CsConversation *c = cs_provider_dropbox.begin(service, op);
	CsResponse response;
	const CsResponse *answer = NULL;
	CsRequest request;
	CsResult result;

	for (; *lines != NULL; lines++)
	{
		const char *equals = strstr(*lines, " = ");
		char *wanted = pstrdup(*lines);
		CsStep step = cs_provider_dropbox.next(c, answer, &request, &result);

		if (equals != NULL)
			wanted[equals - *lines] = '\0';
		if (!tap_is(say(step, &request, &result, op->n_puts), wanted,
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
			answer = &response;
		}
	}
	tap_ok(false, "%s: did not end", title);
}

#define PLAY(title, op, ...)                                                   \
	play(title, op, (const char *const[]){__VA_ARGS__, NULL})

/* A fresh service, with an option or without. */
static void
open_with(const char *key, const char *value)
{
	CsOption list[] = {{key, value}, {NULL}};
	CsFailure failure;

	service = cs_provider_dropbox.open(list, &failure);
}

#define FRESH open_with(NULL, NULL)

#define FILE_JSON(name, path, id, rev, size, hash)                             \
	"\"name\":\"" name "\",\"path_lower\":\"" path                             \
	"\",\"path_display\":\"" path "\",\"id\":\"" id                            \
	"\",\"server_modified\":\"2026-11-22T10:00:00Z\","                         \
	"\"rev\":\"" rev "\",\"size\":" size ",\"content_hash\":\"" hash           \
	"\",\"is_downloadable\":true"
#define FOLDER_JSON(name, path, id)                                            \
	"\"name\":\"" name "\",\"path_lower\":\"" path                             \
	"\",\"path_display\":\"" path "\",\"id\":\"" id "\""
#define ERROR(error) "{\"error_summary\":\"x/..\",\"error\":" error "}"
#define TAG(tag) "{\".tag\":\"" tag "\"}"
#define IN(tag, inner) "{\".tag\":\"" tag "\",\"" tag "\":" inner "}"
#define PATH_ERROR(tag) "409 " ERROR(IN("path", TAG(tag)))
#define UPLOAD_ERROR(inner)                                                    \
	"409 " ERROR("{\".tag\":\"path\",\"reason\":" inner                        \
				 ",\"upload_session_id\":\"u\"}")

#endif
