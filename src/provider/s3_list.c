/*
 * s3_list.c
 *	  LIST of the S3 provider: ListObjectsV2, a page of entries for each of its
 *	  documents. Folders do not exist there: they are told from keys, each once,
 *	  by the order in which keys come. Nothing of a page is kept for the next
 *	  but its last key.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/http.h"
#include "cloudsync/path.h"
#include "cloudsync/provider.h"
#include "cloudsync/utf8.h"
#include "lib/stringinfo.h"
#include "s3.h"

#define PAGE_KEYS 1000
#define MAX_ROWS 4000		  /* of a document that holds more than asked for */
#define MAX_EMPTY_PAGES 100	  /* in a row, which say that there is more */
#define MAX_ESCAPED_PATH 1500 /* of what can never be collected */

enum
{
	LIST_START,
	LIST_ANSWERED,
	LIST_PAGE_STORED
};

static CsEntry *
new_entry(CsConversation *c)
{
	if (c->n_entries == c->entries_room)
	{
		c->entries_room = c->entries_room > 0 ? 2 * c->entries_room : 256;
		if (c->entries == NULL)
			c->entries = palloc(c->entries_room * sizeof(CsEntry));
		else
			c->entries =
				repalloc(c->entries, c->entries_room * sizeof(CsEntry));
	}
	memset(&c->entries[c->n_entries], 0, sizeof(CsEntry));
	c->entries[c->n_entries].size = -1;
	return &c->entries[c->n_entries++];
}

static void
clear_page(CsConversation *c)
{
	for (int i = 0; i < c->n_entries; i++)
	{
		pfree((char *) c->entries[i].path);
		if (c->entries[i].version != NULL)
			pfree((char *) c->entries[i].version);
	}
	c->n_entries = 0;
}

/* The path of what is below the listed folder. */
static char *
path_of(CsConversation *c, const char *below, int len)
{
	return psprintf("%s/%.*s", strcmp(c->op.path, "/") == 0 ? "" : c->op.path,
					len, below);
}

/*
 * A key that is no path: shown under one of a form that no path has, with an
 * empty component, and bytes that are no text as \xHH.
 */
static void
add_refused(CsConversation *c, const char *below, const S3Row *row,
			const char *why)
{
	CsEntry *entry = new_entry(c);
	size_t left = strlen(below);
	StringInfoData path;
	char *slash;

	initStringInfo(&path);
	appendStringInfo(&path, "%s//",
					 strcmp(c->op.path, "/") == 0 ? "" : c->op.path);
	while (left > 0 && path.len < MAX_ESCAPED_PATH)
	{
		uint32 character = 0;
		int len = *below == '\\' ? 0 : cs_utf8_decode(below, left, &character);

		if (len > 0 && character >= 0x20 && character != 0x7f)
			appendBinaryStringInfo(&path, below, len);
		else
		{
			len = 1;
			appendStringInfo(&path, "\\x%02x", (unsigned char) *below);
		}
		below += len;
		left -= len;
	}
	if (left > 0)
	{
		uint8 sha256[CS_SHA256_LENGTH];
		char *hex;

		cs_sha256(row->key, strlen(row->key), sha256);
		hex = cs_hex(sha256, 8);
		appendStringInfo(&path, "...%s", hex);
		pfree(hex);
	}
	entry->kind = row->is_prefix ? CS_ENTRY_FOLDER : CS_ENTRY_FILE;
	entry->path = path.data;
	slash = strrchr(path.data, '/');
	entry->name = slash[1] != '\0' ? slash + 1 : path.data;
	entry->size = row->size;
	entry->refused = why;
}

/*
 * The folders on the way to a key, those alone that the key before was not in.
 * A folder of which a file has the very name gives way to it: an item is known
 * by its path.
 */
static void
add_folders(CsConversation *c, const char *below)
{
	int common = 0;

	if (c->last_key != NULL)
	{
		while (c->last_key[common] != '\0' &&
			   c->last_key[common] == below[common])
			common++;
	}
	memset(c->is_file + common + 1, 0, sizeof(c->is_file) - common - 1);
	for (const char *slash = strchr(below, '/'); slash != NULL;
		 slash = strchr(slash + 1, '/'))
	{
		int len = slash - below;

		if (len < common || c->is_file[len])
			continue;
		if (c->op.recursive)
		{
			CsEntry *entry = new_entry(c);

			entry->kind = CS_ENTRY_FOLDER;
			entry->path = path_of(c, below, len);
			entry->name = cs_path_name(entry->path);
		}
	}
	if (c->last_key != NULL)
		pfree(c->last_key);
	c->last_key = pstrdup(below);
}

/* Is there a file of the name of a folder, in the same document? */
static bool
is_also_file(const S3Listing *list, const char *prefix, size_t len)
{
	for (int i = 0; i < list->n_rows; i++)
	{
		if (!list->rows[i].is_prefix && strlen(list->rows[i].key) == len &&
			memcmp(list->rows[i].key, prefix, len) == 0)
			return true;
	}
	return false;
}

/* Why a key below the folder is no path; NULL: it is. */
static const char *
problem_of(const char *key, const char *below, bool is_folder)
{
	char *path;
	const char *why;

	if (strlen(key) > S3_MAX_KEY)
		return "The key is longer than S3 allows.";
	path =
		psprintf("/%.*s", (int) (strlen(below) - (is_folder ? 1 : 0)), below);
	why = cs_path_problem(path, 0);
	pfree(path);
	return why == NULL ? NULL : "The key is no path of names.";
}

static void
add_file(CsConversation *c, const char *below, const S3Row *row)
{
	CsEntry *entry = new_entry(c);
	char etag[sizeof(c->object.etag)];

	cs_s3_etag(etag, sizeof(etag), row->etag);
	entry->kind = CS_ENTRY_FILE;
	entry->path = path_of(c, below, strlen(below));
	entry->name = cs_path_name(entry->path);
	entry->version = etag[0] != '\0' ? pstrdup(etag) : NULL;
	entry->size = row->size;
	entry->modified = row->modified != NULL ? cs_iso_date(row->modified) : 0;
	c->is_file[strlen(below)] = true;
}

static void
add_row(CsConversation *c, const S3Row *row)
{
	size_t folder_len = strlen(c->key);
	char *key = cs_s3_listed_key(&c->list, row->key);
	const char *below;
	const char *why;
	size_t len;
	bool is_folder;

	if (key == NULL)
	{
		add_refused(c, row->key, row, "The key is not well encoded.");
		return;
	}
	/* What is not below the folder was not asked for. */
	if (strncmp(key, c->key, folder_len) != 0 || key[folder_len] == '\0')
	{
		pfree(key);
		return;
	}
	below = key + folder_len;
	len = strlen(below);
	is_folder = below[len - 1] == '/' && (row->is_prefix || row->size <= 0);
	why = problem_of(key, below, is_folder);
	if (why != NULL)
		add_refused(c, below, row, why);
	else if (row->is_prefix || (is_folder && !c->op.recursive))
	{
		if (is_folder &&
			!is_also_file(&c->list, row->key, strlen(row->key) - 1))
		{
			CsEntry *entry = new_entry(c);

			entry->kind = CS_ENTRY_FOLDER;
			entry->path = path_of(c, below, len - 1);
			entry->name = cs_path_name(entry->path);
		}
	}
	else
	{
		add_folders(c, below);
		if (!is_folder)
			add_file(c, below, row);
	}
	pfree(key);
}

/* The rows read so far as a page. */
static bool
make_page(CsConversation *c, CsResult *result)
{
	clear_page(c);
	for (int i = 0; i < c->list.n_rows; i++)
		add_row(c, &c->list.rows[i]);
	cs_s3_listing_clear(&c->list);
	result->entries = c->entries;
	result->n_entries = c->n_entries;
	return c->n_entries > 0;
}

/* A piece of the document, of LIST (take) or of a folder's MOVE. */
CsStep
cs_s3_list_take(CsConversation *c, const char *buf, int64 len, CsResult *result)
{
	if (!cs_xml_parse(c->list.xml, buf, len, false))
	{
		cs_failure_set(&result->failure, CS_FAIL_BROKEN,
					   cs_xml_problem(c->list.xml),
					   "could not list folder \"%s\": the answer makes no "
					   "sense",
					   c->op.path);
		return CS_STEP_FAILED;
	}
	if (c->list.n_rows <= MAX_ROWS)
		return CS_STEP_REQUEST;
	if (c->op.kind != CS_OP_LIST)
		return cs_s3_fail(result, CS_FAIL_BROKEN, c->op.path,
						  "is listed with more keys than were asked for");
	return make_page(c, result) ? CS_STEP_PAGE : CS_STEP_REQUEST;
}

/* The document is whole; false with the failure if it is not, or is none. */
bool
cs_s3_list_whole(CsConversation *c, const CsResponse *answer, CsResult *result)
{
	const char *problem = NULL;

	if (answer->error != 0 || answer->status != 200)
	{
		cs_s3_failure(&result->failure, answer, "list folder", c->op.path);
		return false;
	}
	if (!cs_xml_parse(c->list.xml, "", 0, true))
		problem = cs_xml_problem(c->list.xml);
	else if (!c->list.is_list)
		problem = "it is no listing";
	else if (c->list.truncated &&
			 (c->list.token == NULL || c->list.token[0] == '\0'))
		problem = "it says that there is more, but not where";
	if (problem == NULL)
		return true;
	cs_failure_set(&result->failure, CS_FAIL_BROKEN, problem,
				   "could not list folder \"%s\": the answer makes no sense",
				   c->op.path);
	return false;
}

/* On to the next document, or the end. */
static CsStep
go_on(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (!c->list.truncated)
	{
		result->incomplete = c->incomplete;
		return CS_STEP_DONE;
	}
	c->empty_pages = c->list.any ? 0 : c->empty_pages + 1;
	if (c->empty_pages > MAX_EMPTY_PAGES ||
		(c->token != NULL && strcmp(c->token, c->list.token) == 0))
		return cs_s3_fail(result, CS_FAIL_BROKEN, c->op.path,
						  "is listed without an end");
	if (c->token != NULL)
		pfree(c->token);
	c->token = pstrdup(c->list.token);
	return cs_s3_ask_list(c, request, LIST_ANSWERED, c->key, c->op.recursive,
						  PAGE_KEYS, c->token, NULL);
}

CsStep
cs_s3_list(CsConversation *c, const CsResponse *answer, CsRequest *request,
		   CsResult *result)
{
	switch (c->phase)
	{
		case LIST_START:
			return cs_s3_ask_list(c, request, LIST_ANSWERED, c->key,
								  c->op.recursive, PAGE_KEYS, NULL, NULL);
		case LIST_ANSWERED:
			if (!cs_s3_list_whole(c, answer, result))
				return CS_STEP_FAILED;
			c->phase = LIST_PAGE_STORED;
			if (make_page(c, result))
				return CS_STEP_PAGE;
			return go_on(c, request, result);
		default: /* LIST_PAGE_STORED */
			return go_on(c, request, result);
	}
}
