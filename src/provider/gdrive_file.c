/*
 * gdrive_file.c
 *	  Files as Google Drive tells of them, as entries: names made fit for paths,
 *	  versions, shortcuts, and Google's own formats, which have no bytes and are
 *	  exported.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/free.h"
#include "cloudsync/hash.h"
#include "cloudsync/path.h"
#include "cloudsync/utf8.h"
#include "gdrive.h"

typedef struct Format
{
	const char *name; /* its extension */
	const char *mime;
} Format;

static const Format formats[] = {
	{"pdf", "application/pdf"},
	{"docx",
	 "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
	{"odt", "application/vnd.oasis.opendocument.text"},
	{"rtf", "application/rtf"},
	{"txt", "text/plain"},
	{"md", "text/markdown"},
	{"epub", "application/epub+zip"},
	{"zip", "application/zip"},
	{"xlsx",
	 "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
	{"ods", "application/vnd.oasis.opendocument.spreadsheet"},
	{"csv", "text/csv"},
	{"tsv", "text/tab-separated-values"},
	{"pptx", "application/"
			 "vnd.openxmlformats-officedocument.presentationml.presentation"},
	{"odp", "application/vnd.oasis.opendocument.presentation"},
	{"png", "image/png"},
	{"jpg", "image/jpeg"},
	{"svg", "image/svg+xml"},
	{"json", "application/vnd.google-apps.script+json"},
};

/* What each of Google's own can be exported to; the first unless chosen. */
static const Format natives[] = {
	{"document", " pdf docx odt rtf txt md epub zip "},
	{"spreadsheet", " pdf xlsx ods csv tsv zip "},
	{"presentation", " pdf pptx odp txt png jpg svg "},
	{"drawing", " pdf png jpg svg "},
	{"script", " json "},
};

/* See gdrive.h. */
const char *
gd_format_mime(const char *format, size_t len)
{
	for (int i = 0; i < (int) lengthof(formats); i++)
	{
		if (strlen(formats[i].name) == len &&
			strncmp(formats[i].name, format, len) == 0)
			return formats[i].mime;
	}
	return NULL;
}

/* The static name of a format, len bytes at text, if offered has it. */
static const char *
offered(const char *text, size_t len, const char *list)
{
	for (int i = 0; i < (int) lengthof(formats); i++)
	{
		const char *name = formats[i].name;
		char word[16];

		if (strlen(name) != len || strncmp(name, text, len) != 0)
			continue;
		snprintf(word, sizeof(word), " %s ", name);
		return strstr(list, word) != NULL ? name : NULL;
	}
	return NULL;
}

/* See gdrive.h. NULL: it is not exported. */
const char *
gd_format(const GdService *service, const char *mime)
{
	const char *list = NULL;

	for (int i = 0; i < (int) lengthof(natives); i++)
	{
		if (strcmp(mime + strlen(GD_NATIVE), natives[i].name) == 0)
			list = natives[i].mime;
	}
	if (list == NULL || service->formats == NULL)
		return NULL;
	for (const char *at = service->formats; *at != '\0';)
	{
		size_t len;
		const char *name;

		at += strspn(at, " ,");
		len = strcspn(at, " ,");
		name = offered(at, len, list);
		if (name != NULL)
			return name;
		at += len;
	}
	return offered(list + 1, strcspn(list + 1, " "), list);
}

/* 64 hexadecimal digits */
static bool
read_sha256(const char *text, uint8 *sha256)
{
	return cs_unhex(text, sha256, CS_SHA256_LENGTH) &&
		   text[2 * CS_SHA256_LENGTH] == '\0';
}

static bool
is_md5(const char *text)
{
	return text != NULL && strlen(text) == 32 &&
		   strspn(text, "0123456789abcdef") == 32;
}

/* See gdrive.h. */
bool
gd_file_read(const CsJson *json, GdFile *file)
{
	const CsJson *parents = cs_json_member(json, "parents");
	const CsJson *can = cs_json_find(json, "capabilities/canDownload");

	memset(file, 0, sizeof(*file));
	file->id = cs_json_text(json, "id");
	file->name = cs_json_text(json, "name");
	file->mime = cs_json_text(json, "mimeType");
	if (!gd_id_ok(file->id) || file->name == NULL || file->mime == NULL)
		return false;
	if (parents != NULL && parents->kind == CS_JSON_ARRAY &&
		parents->first != NULL && parents->first->kind == CS_JSON_STRING &&
		gd_id_ok(parents->first->text))
		file->parent = parents->first->text;
	file->md5 = cs_json_text(json, "md5Checksum");
	if (!is_md5(file->md5))
		file->md5 = NULL;
	file->has_sha256 =
		read_sha256(cs_json_text(json, "sha256Checksum"), file->sha256);
	file->revision = cs_json_text(json, "headRevisionId");
	file->counter = cs_json_text(json, "version");
	file->created = cs_json_text(json, "createdTime");
	file->changed = cs_json_text(json, "modifiedTime");
	file->link = cs_json_text(json, "webViewLink");
	if (!cs_json_int64(json, "size", &file->size) || file->size < 0)
		file->size = -1;
	file->trashed = cs_json_is_true(json, "trashed");
	file->locked = can != NULL && can->kind == CS_JSON_FALSE;
	if (strcmp(file->mime, GD_SHORTCUT) == 0)
	{
		file->target = cs_json_text(json, "shortcutDetails/targetId");
		file->target_mime =
			cs_json_text(json, "shortcutDetails/targetMimeType");
		if (!gd_id_ok(file->target))
			file->target = NULL;
	}
	return true;
}

/* See gdrive.h. */
bool
gd_take_file(CsConversation *c, const CsResponse *answer, const char *action,
			 const char *path)
{
	const CsJson *json = gd_json(c, answer, action, path);

	c->seen = false;
	if (json == NULL)
		return false;
	cs_json_free(c->file_tree);
	c->file_tree = unconstify(CsJson *, json);
	c->tree = NULL;
	if (!gd_file_read(json, &c->file))
	{
		cs_failure_set(&c->failure, CS_FAIL_BROKEN, NULL,
					   "could not %s \"%s\": the answer tells of no file",
					   action, path);
		return false;
	}
	c->seen = true;
	return true;
}

/* See gdrive.h. */
bool
gd_is_folder(const GdFile *file)
{
	return strcmp(file->mime, GD_FOLDER) == 0;
}

/* See gdrive.h. A document of Google's own, which has no bytes. */
bool
gd_is_native(const GdFile *file)
{
	return strncmp(file->mime, GD_NATIVE, strlen(GD_NATIVE)) == 0 &&
		   strcmp(file->mime, GD_FOLDER) != 0 &&
		   strcmp(file->mime, GD_SHORTCUT) != 0;
}

/*
 * The name as a path's component: it may be anything at Drive, so a '/' becomes
 * U+2215 (which looks like one), "." and ".." get dots that are none, and what
 * is longer than a path can bear is cut, its extension kept.
 */
char *
gd_name(const GdFile *file, const char *format)
{
	StringInfoData name;
	const char *dot = strrchr(file->name, '.');
	size_t end = dot != NULL ? strlen(dot) : 0;
	char *result;

	initStringInfo(&name);
	for (const char *at = file->name; *at != '\0'; at++)
	{
		if (*at == '/')
			appendStringInfoString(&name, "\xE2\x88\x95");
		else
			appendStringInfoChar(&name, *at);
	}
	if (name.len > GD_MAX_NAME)
	{
		size_t keep = GD_MAX_NAME - 40;

		while (keep > 0 && (name.data[keep] & 0xC0) == 0x80)
			keep--;
		name.data[keep] = '\0';
		name.len = (int) keep;
		if (end > 0 && end <= 16 && strchr(dot, '/') == NULL)
			appendStringInfoString(&name, dot);
	}
	if (name.len == 0)
		appendStringInfoChar(&name, '_');
	else if (strcmp(name.data, ".") == 0 || strcmp(name.data, "..") == 0)
	{
		int dots = name.len;

		resetStringInfo(&name);
		while (dots-- > 0)
			appendStringInfoString(&name, "\xE2\x80\xA4");
	}
	if (format != NULL)
		appendStringInfo(&name, ".%s", format);
	result = pstrdup(name.data);
	pfree(name.data);
	return result;
}

/*
 * Of bytes "MD5:SIZE:REVISION"; the revision also tells of other bytes with the
 * same MD5. Of what is exported the time of its change, since nothing tells of
 * its bytes and the counter grows by itself. palloc'd.
 */
char *
gd_version(const GdFile *file, const char *format)
{
	if (format != NULL)
		return psprintf("doc:%s:%s", format,
						file->changed != NULL ? file->changed : "");
	if (file->md5 == NULL && file->revision == NULL)
		return psprintf("counter:%s",
						file->counter != NULL ? file->counter : "");
	return psprintf("%s:%lld:%s", file->md5 != NULL ? file->md5 : "",
					(long long) file->size,
					file->revision != NULL ? file->revision : "");
}

/* See gdrive.h. 32 digits, then the rest. */
const char *
gd_md5_of_version(const char *version, int64 *size)
{
	size_t digits =
		version != NULL ? strspn(version, "0123456789abcdef") : 0;
	long long bytes;

	*size = -1;
	if ((digits != 32 && digits != 0) || version == NULL ||
		version[digits] != ':' ||
		sscanf(version + digits + 1, "%lld:", &bytes) != 1)
		return NULL;
	*size = bytes;
	return digits == 32 ? version : NULL;
}

/* What is not the path's. */
static void
fill(const GdService *service, const GdFile *file, CsEntry *entry)
{
	const char *format = NULL;

	entry->id = pstrdup(file->id);
	entry->size = -1;
	entry->modified = file->changed != NULL ? cs_iso_date(file->changed) : 0;
	if (file->parent != NULL)
		entry->parent_id = pstrdup(file->parent);
	if (file->link != NULL)
		entry->web_url = pstrdup(file->link);
	entry->kind = CS_ENTRY_FILE;
	if (gd_is_folder(file))
	{
		entry->kind = CS_ENTRY_FOLDER;
		return;
	}
	if (strcmp(file->mime, GD_SHORTCUT) == 0)
	{
		entry->kind = CS_ENTRY_OTHER;
		entry->refused = "What the shortcut leads to is not there, or is not "
						 "shared with this account.";
		return;
	}
	if (gd_is_native(file))
	{
		format = gd_format(service, file->mime);
		if (format == NULL)
		{
			entry->kind = CS_ENTRY_OTHER;
			entry->refused = service->formats == NULL
								 ? "Google's own formats are not exported "
								   "(option export)."
								 : "Google offers no export of this format.";
			return;
		}
	}
	else
	{
		entry->size = file->size;
		entry->has_sha256 = file->has_sha256;
		memcpy(entry->sha256, file->sha256, CS_SHA256_LENGTH);
		if (file->md5 != NULL)
			entry->checksum = pstrdup(file->md5);
	}
	entry->version = gd_version(file, format);
	if (file->locked)
		entry->refused = "Its owner does not allow it to be downloaded.";
}

/* See gdrive.h. */
void
gd_entry_at(const GdService *service, const GdFile *file, const char *path,
			CsEntry *entry)
{
	memset(entry, 0, sizeof(*entry));
	entry->path = pstrdup(path);
	entry->name = cs_path_name(entry->path);
	fill(service, file, entry);
}

/* See gdrive.h. */
void
gd_entry_in(const GdService *service, const GdFile *file, const char *folder,
			CsEntry *entry)
{
	const char *format =
		gd_is_native(file) ? gd_format(service, file->mime) : NULL;
	char *name = gd_name(file, format);

	memset(entry, 0, sizeof(*entry));
	if (folder != NULL)
	{
		entry->path = cs_path_join(folder, name);
		entry->name = cs_path_name(entry->path);
		pfree(name);
	}
	else
		entry->name = name;
	fill(service, file, entry);
	if (entry->path != NULL && strlen(entry->path) > CS_PATH_MAX)
	{
		char *path = psprintf("//%s", file->id);

		pfree(unconstify(char *, entry->path));
		entry->path = path;
		entry->name = path + 2;
		entry->kind = CS_ENTRY_OTHER;
		entry->refused = "Its path is too long.";
	}
}

/* See gdrive.h. */
void
gd_entry_free(CsEntry *entry)
{
	if (entry->path != NULL)
		cs_free_text(entry->path);
	else
		cs_free_text(entry->name);
	cs_free_text(entry->id);
	cs_free_text(entry->version);
	cs_free_text(entry->checksum);
	cs_free_text(entry->parent_id);
	cs_free_text(entry->link_id);
	cs_free_text(entry->web_url);
	memset(entry, 0, sizeof(*entry));
}
