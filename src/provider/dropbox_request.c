/*
 * dropbox_request.c
 *	  Requests of the Dropbox provider in their three styles, and what answers
 *	  say of an entry.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/hash.h"
#include "cloudsync/http.h"
#include "cloudsync/path.h"
#include "dropbox.h"
#ifndef FRONTEND
#include "utils/memutils.h"
#endif

/* The longest answer but for downloads: a page of long paths. */
#define MAX_ANSWER (INT64CONST(64) * 1024 * 1024)
/* A path that cannot be shown whole. */
#define MAX_SHOWN 1000

/* See dropbox.h. A copy that lasts as long as the conversation. */
char *
cs_dropbox_keep(CsConversation *c, const char *text)
{
	if (text == NULL)
		return NULL;
#ifndef FRONTEND
	return MemoryContextStrdup(c->lasting, text);
#else
	return pstrdup(text);
#endif
}

static void
header(CsConversation *c, CsRequest *request, const char *name,
	   const char *value)
{
	/* One is left to end the list. */
	Assert(c->n_headers < CS_REQUEST_HEADERS - 1);
	request->headers[c->n_headers].name = name;
	request->headers[c->n_headers++].value = value;
}

/* libcurl's own Content-Type is refused, and so is none (traps 1 and 3). */
static void
ask(CsConversation *c, CsRequest *request, int phase, const char *host,
	const char *route, const char *type)
{
	memset(request, 0, sizeof(*request));
	c->n_headers = 0;
	request->kind = CS_REQ_HTTP;
	request->method = "POST";
	request->url = psprintf("%s/2/%s", host, route);
	header(c, request, "content-type", type);
	request->send = CS_SEND_TEXT;
	request->text = "";
	request->into = CS_INTO_MEMORY;
	request->max_answer = MAX_ANSWER;
	request->length = -1;
	c->phase = phase;
}

/* On whose behalf, beside what the carrier adds. */
static void
say_for_whom(CsConversation *c, CsRequest *request)
{
	/* another may learn meanwhile that the account's root is another one */
	if (c->root == NULL)
		c->root = cs_dropbox_keep(c, c->service->root);
	if (c->root != NULL)
		header(c, request, "dropbox-api-path-root", c->root);
	if (c->service->member != NULL)
		header(c, request, "dropbox-api-select-user", c->service->member);
}

CsStep
cs_dropbox_rpc(CsConversation *c, CsRequest *request, int phase,
			   const char *route, const char *json)
{
	ask(c, request, phase, c->service->head.url, route, "application/json");
	say_for_whom(c, request);
	request->text = json;
	request->text_len = strlen(json);
	return CS_STEP_REQUEST;
}

CsStep
cs_dropbox_ask_notify(CsConversation *c, CsRequest *request, int phase,
					  const char *route, const char *json)
{
	ask(c, request, phase, c->service->notify, route, "application/json");
	request->anonymous = true;
	request->max_answer = 0;
	request->text = json;
	request->text_len = strlen(json);
	return CS_STEP_REQUEST;
}

CsStep
cs_dropbox_upload(CsConversation *c, CsRequest *request, int phase,
				  const char *route, const char *arg, int64 from, int64 length)
{
	ask(c, request, phase, c->service->content, route,
		"application/octet-stream");
	say_for_whom(c, request);
	header(c, request, "dropbox-api-arg", arg);
	if (length > 0)
	{
		request->send = CS_SEND_BODY;
		request->from = from;
		request->length = length;
	}
	return CS_STEP_REQUEST;
}

/* The argument's place is a header; a body, however small, is refused. */
CsStep
cs_dropbox_download(CsConversation *c, CsRequest *request, int phase,
					const char *path, int64 from)
{
	ask(c, request, phase, c->service->content, "files/download",
		"application/octet-stream");
	say_for_whom(c, request);
	header(c, request, "dropbox-api-arg", cs_dropbox_path_arg(path));
	request->into = CS_INTO_BODY;
	request->body_status = 200;
	request->max_answer = 0;
	if (from > 0)
	{
		header(c, request, "range", psprintf("bytes=" INT64_FORMAT "-", from));
		request->body_status = 206;
		request->append = true;
	}
	return CS_STEP_REQUEST;
}

CsStep
cs_dropbox_hash(CsConversation *c, CsRequest *request, int phase, int64 from,
				int64 length)
{
	memset(request, 0, sizeof(*request));
	request->kind = CS_REQ_HASH_BODY;
	request->from = from;
	request->length = length;
	c->phase = phase;
	return CS_STEP_REQUEST;
}

const char *
cs_dropbox_path(const char *path)
{
	return strcmp(path, "/") == 0 ? "" : path;
}

char *
cs_dropbox_path_arg(const char *path)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, "{\"path\":");
	cs_json_quote_ascii(&text, path);
	appendStringInfoChar(&text, '}');
	return text.data;
}

CsStep
cs_dropbox_look(CsConversation *c, CsRequest *request, int phase,
				const char *path)
{
	return cs_dropbox_rpc(c, request, phase, "files/get_metadata",
						  cs_dropbox_path_arg(path));
}

/*
 * How a file becomes visible: never under another name than asked for, and in
 * place of nothing but rev, or of anything. Equal bytes are no conflict, so a
 * commit whose answer was lost can be repeated.
 */
void
cs_dropbox_commit_info(CsConversation *c, StringInfo text, const char *path,
					   const char *rev, bool overwrite)
{
	appendStringInfoString(text, "\"path\":");
	cs_json_quote_ascii(text, path);
	appendStringInfoString(text, ",\"mode\":");
	if (overwrite)
		appendStringInfoString(text, "\"overwrite\"");
	else if (rev != NULL)
	{
		appendStringInfoString(text, "{\".tag\":\"update\",\"update\":");
		cs_json_quote_ascii(text, rev);
		appendStringInfoChar(text, '}');
	}
	else
		appendStringInfoString(text, "\"add\"");
	appendStringInfoString(text, ",\"autorename\":false,\"mute\":true,"
								 "\"strict_conflict\":false");
}

const CsJson *
cs_dropbox_json(const CsResponse *answer)
{
	const char *problem;

	if (answer->text == NULL || answer->text_len == 0)
		return NULL;
	return cs_json_parse(answer->text, answer->text_len, &problem);
}

char *
cs_dropbox_spelled(const char *path, const char *name)
{
	char *folder = cs_path_parent(path);

	return cs_path_join(folder, name);
}

/*
 * A name that can be none here: shown under a path of a form that no path has,
 * with an empty component.
 */
static void
refuse_path(CsEntry *entry, const char *shown, const char *why)
{
	StringInfoData path;

	initStringInfo(&path);
	appendStringInfoString(&path, "//");
	for (; *shown != '\0' && path.len < MAX_SHOWN; shown++)
	{
		if ((unsigned char) *shown < 0x20 || *shown == 0x7f)
			appendStringInfo(&path, "\\x%02x", (unsigned char) *shown);
		else
			appendStringInfoChar(&path, *shown);
	}
	entry->path = path.data;
	entry->name = strrchr(path.data, '/') + 1;
	if (entry->name[0] == '\0')
		entry->name = path.data;
	entry->refused = why;
}

bool
cs_dropbox_entry(CsEntry *entry, const CsJson *metadata, const char *path)
{
	const char *tag = cs_json_text(metadata, ".tag");
	const char *name = cs_json_text(metadata, "name");
	const char *modified = cs_json_text(metadata, "server_modified");
	const char *why;

	memset(entry, 0, sizeof(*entry));
	entry->size = -1;
	if (name == NULL)
		return false;
	if (path == NULL)
		path = cs_json_text(metadata, "path_display");
	if (path == NULL)
		path = cs_json_text(metadata, "path_lower");
	if (path == NULL)
		return false; /* not mounted: it has no place */
	entry->id = cs_json_text(metadata, "id");
	entry->version = cs_json_text(metadata, "rev");
	entry->kind = entry->version != NULL ? CS_ENTRY_FILE : CS_ENTRY_FOLDER;
	entry->gone = tag != NULL && strcmp(tag, "deleted") == 0;
	entry->path = path;
	entry->name = cs_path_name(path);
	why = cs_path_problem(path, CS_PATH_CONTROLS);
	if (why != NULL || strcmp(path, "/") == 0)
		refuse_path(entry, path, "Its path cannot be one here.");
	if (entry->kind == CS_ENTRY_FOLDER)
		return entry->gone || entry->id != NULL;
	if (entry->id == NULL || !cs_json_int64(metadata, "size", &entry->size) ||
		entry->size < 0)
		return false;
	entry->checksum = cs_json_text(metadata, "content_hash");
	if (modified != NULL)
		entry->modified = cs_iso_date(modified);
	if (cs_json_member(metadata, "is_downloadable") != NULL &&
		!cs_json_is_true(metadata, "is_downloadable"))
		entry->refused = "Dropbox has it in a format of its own, which cannot "
						 "be downloaded.";
	return true;
}

CsStep
cs_dropbox_folder_entry(CsResult *result, const char *path, const char *id)
{
	CsEntry *entry = &result->entry;

	memset(entry, 0, sizeof(*entry));
	entry->kind = CS_ENTRY_FOLDER;
	entry->path = path;
	entry->name = cs_path_name(path);
	entry->id = id;
	entry->size = -1;
	return CS_STEP_DONE;
}

/* The SHA-256 of the blocks' SHA-256: of one block, or of none. */
void
cs_dropbox_small_hash(char *hash, const uint8 *sha256, int64 size)
{
	uint8 whole[CS_SHA256_LENGTH];
	char *hex;

	Assert(size <= DBX_BLOCK);
	cs_sha256(sha256, size > 0 ? CS_SHA256_LENGTH : 0, whole);
	hex = cs_hex(whole, CS_SHA256_LENGTH);
	strlcpy(hash, hex, DBX_HASH_LENGTH + 1);
	pfree(hex);
}
