/*
 * dropbox_play.h
 *	  The Dropbox provider's scripts (play.h). A request is
 *		  API files/get_metadata {"path":"/a"}
 *	  to the API's host: route and body; CON: to the host for contents, with its
 *	  argument, "body 0+5" if bytes of the body go with it, "bytes=5-" for a
 *	  range; NOT: to the one that tells of changes, without a token, "held 130" the
 *	  seconds that its answer may take. "root ..." if it names a path root, "wait 2" if it is to be made
 *	  seconds later. Its own words:
 *		  c:a the content hash of h:a, r:{...} the rest is metadata in a header,
 *		  t:... a text, {...} JSON
 *	  DONE of a listing ends in its cursor, of watching says "changed" and "quiet 5"
 *	  (seconds that the service wants no other), of many files tells of each its version
 *	  ("?": not verified, "=": adopted) or why not.
 *
 * #a stands for the content hash of a small body whose SHA-256 is h:a.
 */
#ifndef CLOUDSYNC_DROPBOX_PLAY_H
#define CLOUDSYNC_DROPBOX_PLAY_H

#include "lib/stringinfo.h"
#include "play.h"

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

#define API_URL "https://api.dropboxapi.com/2/"
#define CON_URL "https://content.dropboxapi.com/2/"
#define NOT_URL "https://notify.dropboxapi.com/2/"

static const char *
say_dropbox_request(const CsRequest *request)
{
	const char *arg = header_of(request, "dropbox-api-arg");
	const char *type = header_of(request, "content-type");
	StringInfoData text;
	bool notify = strncmp(request->url, NOT_URL, strlen(NOT_URL)) == 0;
	bool api = notify || strncmp(request->url, API_URL, strlen(API_URL)) == 0;

	initStringInfo(&text);
	if (strcmp(request->method, "POST") != 0 || type == NULL ||
		strcmp(type, api ? "application/json" : "application/octet-stream") !=
			0 ||
		(arg == NULL) != api || request->anonymous != notify ||
		(request->held_ms > 0) != notify ||
		(!api && request->send == CS_SEND_TEXT && request->text_len != 0))
		appendStringInfoString(&text, "WRONG ");
	if (notify)
		appendStringInfo(&text, "NOT %s %s held %d", request->url + strlen(NOT_URL),
						 request->text, (int) (request->held_ms / 1000));
	else if (api)
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
say_dropbox_done(const CsOp *op, const CsResult *result)
{
	if (op->kind == CS_OP_WATCH)
		return psprintf("DONE%s quiet %d", result->changed ? " changed" : "",
						(int) (result->quiet_ms / 1000));
	if (result->puts != NULL)
		return say_puts(result, op->n_puts);
	if (result->cursor != NULL)
		return psprintf("%s >%s", say_done(result), result->cursor);
	if (result->account != NULL)
		return psprintf("%s of %s " INT64_FORMAT "/" INT64_FORMAT,
						say_done(result), result->account, result->used_bytes,
						result->quota_bytes);
	return say_done(result);
}

static bool
take_dropbox_word(CsResponse *response, char *word)
{
	const char *value = word + 2;

	switch (word[0])
	{
		case '{':
			response->text = with_hashes(word, false);
			break;
		case 't':
			response->text = pstrdup(value);
			break;
		case 'c':
			response->checksum = hash_of_letter(*value);
			break;
		case 'r':
			add_header(response, "dropbox-api-result",
					   with_hashes(value, false));
			break;
		default:
			return false;
	}
	return true;
}

static Script script = {.provider = &cs_provider_dropbox,
						.say_request = say_dropbox_request,
						.say_done = say_dropbox_done,
						.take_word = take_dropbox_word,
						.to_end = "rt"};

/* A fresh service, with an option or without. */
static void
open_with(const char *key, const char *value)
{
	CsOption list[] = {{key, value}, {NULL}};
	CsFailure failure;

	service = script.provider->open(list, &failure);
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
