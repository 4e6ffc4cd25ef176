/*
 * gdrive_play.h
 *	  The Google Drive provider's scripts (play.h). A request is its method, the
 *	  path below the API ("up/" for uploads), what of the query is no matter of
 *	  course, headers (Range, Content-Range), {json} of what is sent, [0+5] of the
 *	  body. Its own words:
 *		  f:ID:NAME:PARENT:SIZE:M:REVISION[:trashed] a file, M its MD5's digit
 *		  d:ID:NAME:PARENT[:trashed] a folder
 *		  e:reason an error's document, l:ADDRESS Location, r:0-4 Range, m:a the
 *		  body's MD5
 *	  PAGE /a#F1 /b/#D1 -F2 cursor	entries: path or =name, id; by the shortcut
 *									S1 with "<S1"
 *	  DONE adopted verified made /path id version size
 */
#ifndef CLOUDSYNC_GDRIVE_PLAY_H
#define CLOUDSYNC_GDRIVE_PLAY_H

#include "cloudsync/http.h"
#include "lib/stringinfo.h"
#include "play.h"

/* Of the query: what every request has is checked, and not said. */
static const char *const usual[] = {"supportsAllDrives=",
									"includeItemsFromAllDrives=",
									"fields=",
									"ignoreDefaultVisibility=",
									"prettyPrint=",
									"pageSize=",
									"space=",
									"type=",
									"includeRemoved="};

static bool
is_usual(const char *word)
{
	for (int i = 0; i < (int) lengthof(usual); i++)
	{
		if (strncmp(word, usual[i], strlen(usual[i])) == 0)
			return true;
	}
	return false;
}

static void
say_query(StringInfo text, const char *query)
{
	while (query != NULL && *query != '\0')
	{
		size_t len = strcspn(query, "&");
		char *word = pnstrdup(query, len);

		if (!is_usual(word))
			appendStringInfo(text, " %s", cs_url_decode(word, len));
		query += len + (query[len] == '&');
	}
}

static bool
needs_all_drives(const char *url)
{
	return strstr(url, "/files") != NULL &&
		   strstr(url, "generateIds") == NULL &&
		   strstr(url, "/export") == NULL && strstr(url, "upload_id") == NULL;
}

static const char *
say_gdrive_request(const CsRequest *request)
{
	StringInfoData text;
	const char *path = request->url;
	const char *json = request->text;

	initStringInfo(&text);
	if (strncmp(path, service->url, strlen(service->url)) != 0)
		return psprintf("%s elsewhere%s: %s", request->method,
						request->anonymous ? " unnamed" : "", request->url);
	path += strlen(service->url);
	appendStringInfo(&text, "%s ", request->method);
	if (strncmp(path, "/upload/drive/v3/", 17) == 0)
		appendStringInfoString(&text, "up/");
	path = strstr(path, "/drive/v3/") + 10;
	appendStringInfo(&text, "%.*s", (int) strcspn(path, "?"), path);
	if (strchr(path, '?') != NULL)
		say_query(&text, strchr(path, '?') + 1);
	if (needs_all_drives(request->url) &&
		strstr(request->url, "supportsAllDrives=true") == NULL)
		appendStringInfoString(&text, " MY DRIVE ONLY");
	for (int i = 0; request->headers[i].name != NULL; i++)
	{
		if (strcmp(request->headers[i].name, "Range") == 0 ||
			strcmp(request->headers[i].name, "Content-Range") == 0)
			appendStringInfo(&text, " %s", request->headers[i].value);
	}
	if (request->send == CS_SEND_BODY)
		json = json != NULL ? strchr(json, '{') : NULL;
	if (request->send != CS_SEND_NOTHING && json != NULL)
		appendStringInfo(&text, " %.*s", (int) strcspn(json, "\r"), json);
	if (request->send == CS_SEND_BODY)
		appendStringInfo(&text, " [%d+%d]", (int) request->from,
						 (int) request->length);
	return text.data;
}

/* An MD5 of one digit as that and a star. */
static const char *
say_version(const char *version)
{
	if (version != NULL && strspn(version, "0123456789abcdef") == 32)
		return psprintf("%c*%s", version[0], version + 32);
	return version;
}

static const char *
say_gdrive_page(const CsResult *result)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, "PAGE");
	for (int i = 0; i < result->n_entries; i++)
	{
		const CsEntry *entry = &result->entries[i];

		if (entry->gone)
			appendStringInfo(&text, " -%s", entry->id);
		else
			appendStringInfo(&text, " %s%s%s%s#%s",
							 entry->path != NULL ? entry->path : "=",
							 entry->path != NULL ? "" : entry->name,
							 entry->kind == CS_ENTRY_FOLDER ? "/" : "",
							 entry->refused != NULL ? "!" : "", entry->id);
		if (entry->link_id != NULL)
			appendStringInfo(&text, "<%s", entry->link_id);
		if (entry->path == NULL && !entry->gone)
			appendStringInfo(&text, "@%s",
							 entry->parent_id ? entry->parent_id : "");
	}
	if (result->cursor != NULL)
		appendStringInfo(&text, " cursor %s", result->cursor);
	return text.data;
}

static const char *
say_gdrive_done(const CsOp *op, const CsResult *result)
{
	const CsEntry *entry = &result->entry;
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "DONE%s%s%s%s", result->adopted ? " adopted" : "",
					 result->verified ? " verified" : "",
					 result->made ? " made" : "",
					 result->incomplete ? " incomplete" : "");
	if (entry->path != NULL)
		appendStringInfo(&text, " %s%s %s", entry->path,
						 entry->kind == CS_ENTRY_FOLDER ? "/" : "",
						 entry->id != NULL ? entry->id : "-");
	if (entry->path != NULL && entry->version != NULL)
		appendStringInfo(&text, " %s", say_version(entry->version));
	if (result->account != NULL)
		appendStringInfo(&text, " %s %s %d/%d", result->account,
						 result->account_name, (int) result->used_bytes,
						 (int) result->quota_bytes);
	if (result->cursor != NULL)
		appendStringInfo(&text, " cursor %s", result->cursor);
	return text.data;
}

/* The n-th part of a word, the parts separated by ':'; "" if there is none. */
static char *
part_of(const char *word, int n)
{
	while (n-- > 0)
	{
		word += strcspn(word, ":");
		if (*word == '\0')
			return pstrdup("");
		word++;
	}
	return pnstrdup(word, strcspn(word, ":"));
}

static char *
file_json(const char *word)
{
	return psprintf(
		"{\"id\":\"%s\",\"name\":\"%s\",\"mimeType\":\"text/plain\","
		"\"parents\":[\"%s\"],\"size\":\"%s\",\"md5Checksum\":\"%s\","
		"\"headRevisionId\":\"%s\",\"trashed\":%s,"
		"\"modifiedTime\":\"2026-11-22T10:00:00.000Z\"}",
		part_of(word, 1), part_of(word, 2), part_of(word, 3), part_of(word, 4),
		repeated(part_of(word, 5)[0], 32), part_of(word, 6),
		strcmp(part_of(word, 7), "trashed") == 0 ? "true" : "false");
}

static char *
folder_json(const char *word)
{
	char *parent = part_of(word, 3);

	return psprintf("{\"id\":\"%s\",\"name\":\"%s\",\"mimeType\":\"application/"
					"vnd.google-apps.folder\"%s%s%s,\"trashed\":%s}",
					part_of(word, 1), part_of(word, 2),
					parent[0] != '\0' ? ",\"parents\":[\"" : "", parent,
					parent[0] != '\0' ? "\"]" : "",
					strcmp(part_of(word, 4), "trashed") == 0 ? "true"
															 : "false");
}

static bool
take_gdrive_word(CsResponse *response, char *word)
{
	const char *value = word + 2;

	switch (word[0])
	{
		case 'f':
			response->text = file_json(word);
			break;
		case 'd':
			response->text = folder_json(word);
			break;
		case 'e':
			response->text =
				psprintf("{\"error\":{\"code\":0,\"message\":\"its words\","
						 "\"errors\":[{\"domain\":\"global\",\"reason\":\"%s\","
						 "\"message\":\"its words\"}]}}",
						 value);
			break;
		case 'l':
			add_header(response, "location",
					   value[0] == '/' ? psprintf("%s%s", service->url, value)
									   : value);
			break;
		case 'r':
			add_header(response, "range", psprintf("bytes=%s", value));
			break;
		case 'm':
			response->checksum = repeated(*value, 32);
			break;
		default:
			return false;
	}
	return true;
}

static Script script = {.provider = &cs_provider_gdrive,
						.say_request = say_gdrive_request,
						.say_page = say_gdrive_page,
						.say_done = say_gdrive_done,
						.take_word = take_gdrive_word};

/* A service that nothing is known of yet. */
static void
fresh(const char *drive_id)
{
	CsOption list[] = {{"drive_id", drive_id}, {NULL}};
	CsFailure failure;

	if (drive_id == NULL)
		list[0].key = NULL;
	service = script.provider->open(list, &failure);
}

/* A question for names in a folder, and its answers. */
#define LOOK(parent, name)                                                     \
	"GET files q='" parent "' in parents and trashed=false and name='" name "'"
#define ALL(parent) "GET files q='" parent "' in parents and trashed=false"
#define NOTHING "200 x:{\"files\":[]}"
#define FILES(inner) "200 x:{\"files\":[" inner "]}"
#define FOLDER(id, name)                                                       \
	"{\"id\":\"" id "\",\"name\":\"" name                                      \
	"\",\"mimeType\":\"application/vnd.google-apps.folder\","                  \
	"\"createdTime\":\"2026-01-0" id "\"}"
#define FILE(id, name)                                                         \
	"{\"id\":\"" id "\",\"name\":\"" name                                      \
	"\",\"mimeType\":\"text/plain\",\"parents\":[\"P\"],\"size\":\"5\","       \
	"\"headRevisionId\":\"r1\",\"createdTime\":\"2026-01-0" id "\"}"
#define IDS                                                                    \
	"GET files/generateIds count=1000 = 200 x:{\"ids\":[\"N3\",\"N2\",\"N1\"]}"

#endif
