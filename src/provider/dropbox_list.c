/*
 * dropbox_list.c
 *	  LIST of the Dropbox provider: a folder's pages by list_folder, and by a
 *	  cursor what changed since, in the order in which the service says it.
 *
 * Of path_display only the last name is sure to be spelled as it is; the folders
 * before it are spelled as their own entries say, which the service names by
 * path_lower, the one key that is compared here.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "common/hashfn.h"
#include "cloudsync/path.h"
#include "dropbox.h"
#ifndef FRONTEND
#include "utils/memutils.h"
#endif

#define MAX_FOLDERS 65536 /* whose spelling is remembered */
#define MAX_EMPTY_PAGES 1000

enum
{
	LIST_START,
	LIST_PAGE
};

/* ---- how folders are spelled ---- */

static DbxFolder *
find_folder(const CsConversation *c, const char *lower, size_t len)
{
	uint32 at = hash_bytes((const unsigned char *) lower, (int) len);

	for (;; at++)
	{
		DbxFolder *folder = &c->folders[at % c->folders_room];

		if (folder->lower == NULL || (strlen(folder->lower) == len &&
									  memcmp(folder->lower, lower, len) == 0))
			return folder;
	}
}

static void
make_room(CsConversation *c)
{
	DbxFolder *old = c->folders;
	int n = c->folders_room;
#ifndef FRONTEND
	MemoryContext context = MemoryContextSwitchTo(c->lasting);
#endif

	c->folders_room = Max(64, 2 * n);
	c->folders = palloc0(c->folders_room * sizeof(DbxFolder));
	for (int i = 0; i < n; i++)
	{
		if (old[i].lower != NULL)
			*find_folder(c, old[i].lower, strlen(old[i].lower)) = old[i];
	}
	if (old != NULL)
		pfree(old);
#ifndef FRONTEND
	MemoryContextSwitchTo(context);
#endif
}

static void
note_folder(CsConversation *c, const char *lower, const char *path)
{
	DbxFolder *folder;

	if (2 * (c->n_folders + 1) > c->folders_room)
	{
		if (c->n_folders >= MAX_FOLDERS)
			return;
		make_room(c);
	}
	folder = find_folder(c, lower, strlen(lower));
	if (folder->lower == NULL)
	{
		folder->lower = cs_dropbox_keep(c, lower);
		c->n_folders++;
	}
	else if (strcmp(folder->path, path) == 0)
		return;
	else
		pfree(folder->path);
	folder->path = cs_dropbox_keep(c, path);
}

static int
depth_of(const char *path)
{
	int depth = 0;

	for (; *path != '\0'; path++)
		depth += path[0] == '/' && path[1] != '\0';
	return depth;
}

/* What remains of a path below its first names. */
static const char *
below_depth(const char *path, int depth)
{
	for (; *path != '\0'; path++)
	{
		if (*path == '/' && depth-- == 0)
			break;
	}
	return path;
}

/*
 * Where an entry is: the listed folder as the caller spells it, the folders
 * below it as they spell themselves, its own name.
 */
static const char *
path_of(CsConversation *c, const char *lower, const char *shown,
		const char *name)
{
	const char *slash = strrchr(lower, '/');
	int depth = depth_of(c->op.path);
	int own = depth_of(lower);

	if (c->folders_room > 0 && slash != NULL && slash > lower)
	{
		const DbxFolder *folder = find_folder(c, lower, slash - lower);

		if (folder->lower != NULL)
			return cs_path_join(folder->path, name);
	}
	if (c->op.id != NULL || own < depth || depth_of(shown) != own)
		return shown;
	if (own == depth)
		return c->op.path;
	if (own == depth + 1)
		return cs_path_join(c->op.path, name);
	return cs_path_join(c->op.path, below_depth(shown, depth) + 1);
}

/* ---- requests and pages ---- */

static CsStep
ask(CsConversation *c, CsRequest *request)
{
	StringInfoData text;

	initStringInfo(&text);
	if (c->cursor != NULL)
	{
		/* nothing beside the cursor is taken */
		appendStringInfoString(&text, "{\"cursor\":");
		cs_json_quote_ascii(&text, c->cursor);
		appendStringInfoChar(&text, '}');
		return cs_dropbox_rpc(c, request, LIST_PAGE,
							  "files/list_folder/continue", text.data);
	}
	appendStringInfoString(&text, "{\"path\":");
	cs_json_quote_ascii(&text, c->op.id != NULL ? c->op.id
												: cs_dropbox_path(c->op.path));
	appendStringInfo(&text,
					 ",\"recursive\":%s,\"limit\":%d,\"include_deleted\":false,"
					 "\"include_mounted_folders\":true,"
					 "\"include_non_downloadable_files\":true}",
					 c->op.recursive ? "true" : "false", DBX_PAGE);
	return cs_dropbox_rpc(c, request, LIST_PAGE, "files/list_folder",
						  text.data);
}

/* The listed folder's own entry says how it is spelled, and is none. */
static bool
is_itself(const CsConversation *c, const CsJson *item, const char *lower)
{
	const char *id = cs_json_text(item, "id");

	if (c->op.id != NULL && id != NULL)
		return strcmp(c->op.id, id) == 0;
	return depth_of(lower) <= depth_of(c->op.path);
}

static void
add_entry(CsConversation *c, CsResult *result, const CsJson *item)
{
	CsEntry *entry = &result->entries[result->n_entries];
	const char *name = cs_json_text(item, "name");
	const char *lower = cs_json_text(item, "path_lower");
	const char *shown = cs_json_text(item, "path_display");
	const char *path;
	bool itself;

	if (name == NULL || lower == NULL || lower[0] != '/')
		return; /* not mounted: it is nowhere */
	itself = is_itself(c, item, lower);
	path = path_of(c, lower, shown != NULL ? shown : lower, name);
	if (!cs_dropbox_entry(entry, item, path))
		return;
	if (entry->kind == CS_ENTRY_FOLDER && !entry->gone &&
		entry->refused == NULL && c->op.recursive)
		note_folder(c, lower, path);
	if (itself && !entry->gone)
		return;
	/* deleted while it is listed: nobody asked for that */
	if (entry->gone && !c->op.follow)
		return;
	/* of what was asked for by its path, nothing is elsewhere */
	if (!entry->gone && c->op.id == NULL &&
		cs_path_below(path, c->op.path) == NULL)
		return;
	result->n_entries++;
}

static CsStep
page(CsConversation *c, const CsJson *json, CsRequest *request,
	 CsResult *result)
{
	const CsJson *entries = cs_json_member(json, "entries");
	const char *cursor = cs_json_text(json, "cursor");

	if (entries == NULL || entries->kind != CS_JSON_ARRAY || cursor == NULL)
		return cs_dropbox_nonsense(result, c->op.path);
	c->has_more = cs_json_is_true(json, "has_more");
	if (c->cursor != NULL)
		pfree(c->cursor);
	c->cursor = cs_dropbox_keep(c, cursor);
	result->entries = palloc((entries->n + 1) * sizeof(CsEntry));
	for (const CsJson *item = entries->first; item != NULL; item = item->next)
		add_entry(c, result, item);
	if (c->op.follow)
		result->cursor = c->cursor;
	if (result->n_entries > 0)
	{
		c->empty_pages = 0;
		return CS_STEP_PAGE;
	}
	if (!c->has_more)
		return CS_STEP_DONE;
	/* an empty page is no end, but not for ever */
	if (++c->empty_pages > MAX_EMPTY_PAGES)
		return cs_dropbox_nonsense(result, c->op.path);
	return ask(c, request);
}

CsStep
cs_dropbox_list(CsConversation *c, const CsResponse *answer, CsRequest *request,
				CsResult *result)
{
	if (c->phase == LIST_START)
	{
		if (c->op.follow)
			c->cursor = cs_dropbox_keep(c, c->op.cursor);
		return ask(c, request);
	}
	if (answer == NULL)
	{
		/* the page is stored */
		if (c->has_more)
			return ask(c, request);
		if (c->op.follow)
			result->cursor = c->cursor;
		return CS_STEP_DONE;
	}
	if (answer->error != 0 || answer->status != 200)
	{
		(void) cs_dropbox_failed(c, result, answer, "list", c->op.path);
		/* of another root, or that the service takes for no cursor at all */
		if (c->op.follow && c->op.cursor != NULL &&
			(cs_dropbox_has_tag(answer, "invalid_root") ||
			 cs_dropbox_bad_cursor(answer)))
			result->failure.failure_class = CS_FAIL_RESET;
		return CS_STEP_FAILED;
	}
	return page(c, cs_dropbox_json(answer), request, result);
}
