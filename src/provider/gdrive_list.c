/*
 * gdrive_list.c
 *	  LIST of the Google Drive provider in full: folder after folder, one parent
 *	  a query, in pages. Shortcuts are followed: a file's stands for the file, a
 *	  folder's for the folder, each folder once. With a cursor wanted, the feed's
 *	  token is taken before the first page, so that nothing falls between.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/path.h"
#include "gdrive.h"

enum
{
	LIST_START,
	LIST_TOKEN,
	LIST_WAY,
	LIST_FOLDER,
	LIST_PATH,
	LIST_FILES,
	LIST_TARGET,
	LIST_GIVEN
};

/* --- a page's entries ---------------------------------------------------------------- */

/* See gdrive.h. */
CsEntry *
gd_page_new(CsConversation *c)
{
	if (c->n_entries == c->entries_room)
	{
		int room = Max(2 * c->entries_room, 64);

		if (c->entries == NULL)
		{
			c->entries = palloc(sizeof(CsEntry) * room);
			c->targets = palloc(sizeof(char *) * room);
		}
		else
		{
			c->entries = repalloc(c->entries, sizeof(CsEntry) * room);
			c->targets = repalloc(c->targets, sizeof(char *) * room);
		}
		c->entries_room = room;
	}
	c->targets[c->n_entries] = NULL;
	memset(&c->entries[c->n_entries], 0, sizeof(CsEntry));
	return &c->entries[c->n_entries++];
}

/* See gdrive.h. folder NULL: it is not known, the parent's id says it. */
void
gd_page_add(CsConversation *c, const GdFile *file, const char *folder)
{
	CsEntry *entry = gd_page_new(c);

	gd_entry_in(c->service, file, folder, entry);
	if (file->target != NULL)
		c->targets[c->n_entries - 1] = pstrdup(file->target);
}

/* See gdrive.h. */
void
gd_page_clear(CsConversation *c)
{
	for (int i = 0; i < c->n_entries; i++)
	{
		gd_entry_free(&c->entries[i]);
		if (c->targets[i] != NULL)
			pfree(c->targets[i]);
	}
	c->n_entries = 0;
	c->next_shortcut = 0;
}

/* The shortcut's entry becomes its target's, under the shortcut's name. */
static void
follow(CsConversation *c, CsEntry *entry)
{
	const GdFile *file = &c->file;
	CsEntry target;

	if (file->trashed || strcmp(file->mime, GD_SHORTCUT) == 0)
		return;
	if (entry->path == NULL)
		gd_entry_in(c->service, file, NULL, &target);
	else
		gd_entry_at(c->service, file, entry->path, &target);
	if (entry->path == NULL)
	{
		pfree(unconstify(char *, target.name));
		target.name = pstrdup(entry->name);
	}
	if (target.parent_id != NULL)
		pfree(unconstify(char *, target.parent_id));
	target.parent_id =
		entry->parent_id != NULL ? pstrdup(entry->parent_id) : NULL;
	target.link_id = pstrdup(entry->id);
	gd_entry_free(entry);
	*entry = target;
}

/*
 * Looks at the targets of the page's shortcuts, one by one. REQUEST: asks;
 * DONE: all are known; FAILED: c->failure. One that is not there, or not shared
 * with the account, leaves its shortcut what it is.
 */
CsStep
gd_page_targets(CsConversation *c, const CsResponse *answer, CsRequest *request,
				int phase)
{
	if (answer != NULL)
	{
		if (gd_take_file(c, answer, "look at", c->op.path))
			follow(c, &c->entries[c->next_shortcut]);
		else if (!gd_is_gone(answer) &&
				 c->failure.failure_class != CS_FAIL_FORBIDDEN)
			return CS_STEP_FAILED;
		c->next_shortcut++;
	}
	while (c->next_shortcut < c->n_entries)
	{
		const char *target = c->targets[c->next_shortcut];

		if (target != NULL)
			return gd_ask_file(c, request, phase, target);
		c->next_shortcut++;
	}
	return CS_STEP_DONE;
}

/* --- folders still to be listed -------------------------------------------------------- */

/* Notes a folder's id. False: it was noted before. */
static bool
visit(CsConversation *c, const char *id)
{
	int low = 0;
	int high = c->n_visited;

	while (low < high)
	{
		int middle = (low + high) / 2;
		int order = strcmp(c->visited[middle], id);

		if (order == 0)
			return false;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (c->n_visited == c->visited_room)
	{
		c->visited_room = Max(2 * c->visited_room, 16);
		c->visited =
			c->visited == NULL
				? palloc(sizeof(char *) * c->visited_room)
				: repalloc(c->visited, sizeof(char *) * c->visited_room);
	}
	memmove(&c->visited[low + 1], &c->visited[low],
			sizeof(char *) * (c->n_visited - low));
	c->visited[low] = pstrdup(id);
	c->n_visited++;
	return true;
}

static int
depth_of(const char *path)
{
	int depth = 0;

	for (; *path != '\0'; path++)
		depth += *path == '/';
	return depth;
}

static void
add_folder(CsConversation *c, const char *path, const char *id)
{
	GdFolder *folder;

	if (depth_of(path) > 2 * GD_MAX_DEPTH || !visit(c, id))
		return;
	if (c->n_folders == c->folders_room)
	{
		c->folders_room = Max(2 * c->folders_room, 16);
		c->folders =
			c->folders == NULL
				? palloc(sizeof(GdFolder) * c->folders_room)
				: repalloc(c->folders, sizeof(GdFolder) * c->folders_room);
	}
	folder = &c->folders[c->n_folders++];
	folder->path = pstrdup(path);
	folder->id = pstrdup(id);
}

static void
add_subfolders(CsConversation *c)
{
	for (int i = 0; i < c->n_entries; i++)
	{
		const CsEntry *entry = &c->entries[i];

		if (entry->kind == CS_ENTRY_FOLDER && entry->refused == NULL)
			add_folder(c, entry->path, entry->id);
	}
}

/* --- the conversation ---------------------------------------------------------------- */

static CsStep
ask_page(CsConversation *c, CsRequest *request)
{
	const GdService *service = c->service;
	const GdFolder *folder = &c->folders[c->next_folder];
	StringInfoData path;

	initStringInfo(&path);
	appendStringInfo(&path,
					 "/drive/v3/files?supportsAllDrives=true"
					 "&includeItemsFromAllDrives=true&pageSize=%d"
					 "&prettyPrint=false"
					 "&fields=nextPageToken%%2CincompleteSearch%%2Cfiles%%28%s"
					 "%%29&q=%%27%s%%27%%20in%%20parents%%20and%%20trashed%%3D"
					 "false",
					 GD_PAGE, gd_fields() + strlen("fields="), folder->id);
	if (service->drive_id != NULL)
		appendStringInfo(&path, "&corpora=drive&driveId=%s", service->drive_id);
	if (c->page_token == NULL)
		(void) gd_goes_in_circles(c, NULL, NULL);
	else
	{
		char *encoded = cs_url_encode(c->page_token);

		appendStringInfo(&path, "&pageToken=%s", encoded);
		pfree(encoded);
	}
	gd_ask(c, request, LIST_FILES, "GET", path.data);
	request->max_answer = GD_MAX_PAGE;
	return CS_STEP_REQUEST;
}

/* The next folder, or the end. */
static CsStep
next_folder(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (c->next_folder < c->n_folders)
		return ask_page(c, request);
	result->incomplete = c->incomplete;
	result->cursor = c->new_token;
	return CS_STEP_DONE;
}

static void
folder_done(CsConversation *c)
{
	GdFolder *folder = &c->folders[c->next_folder++];

	pfree(folder->path);
	pfree(folder->id);
}

/* What is to be listed has an id: is it a folder, and not in the trash? */
static CsStep
check(CsConversation *c, CsRequest *request, CsResult *result, const char *id)
{
	if (!c->op.seen)
		return gd_ask_file(c, request, LIST_FOLDER, id);
	add_folder(c, c->op.path, id);
	return next_folder(c, request, result);
}

static CsStep
found_way(CsConversation *c, CsRequest *request, CsResult *result, GdSub sub)
{
	if (sub == GD_ASK)
		return CS_STEP_REQUEST;
	if (sub == GD_ABSENT)
		return gd_fail(result, CS_FAIL_GONE, c->op.path, "is not there");
	if (sub != GD_OK)
		return gd_give_failure(c, result);
	if (strcmp(c->op.path, "/") != 0)
		return check(c, request, result, c->way.id);
	add_folder(c, "/", c->way.id);
	/* a shortcut leads to it by its own id */
	if (c->service->root_id[0] != '\0')
		(void) visit(c, c->service->root_id);
	return next_folder(c, request, result);
}

static CsStep
begin(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (c->op.id != NULL)
	{
		if (!gd_id_ok(c->op.id))
			return gd_fail(result, CS_FAIL_GONE, c->op.path, "is not there");
		return check(c, request, result, c->op.id);
	}
	c->phase = LIST_WAY;
	return found_way(c, request, result,
					 gd_way_begin(c, request, result, c->op.path, false));
}

/* A page of the folder has come. GD_ABSENT: the folder went meanwhile. */
static GdSub
take_page(CsConversation *c, const CsResponse *answer)
{
	const CsJson *json = gd_json(c, answer, "list", c->op.path);
	const CsJson *files = cs_json_member(json, "files");
	const char *token = cs_json_text(json, "nextPageToken");

	if (c->page_token != NULL)
		pfree(c->page_token);
	c->page_token = NULL;
	if (json == NULL)
	{
		if (!gd_is_gone(answer))
			return GD_FAIL;
		if (c->next_folder > 0)
			return GD_ABSENT;
		gd_forget(c->service, c->op.path);
		return GD_FAIL;
	}
	if (cs_json_is_true(json, "incompleteSearch"))
		c->incomplete = true;
	for (const CsJson *each = files != NULL ? files->first : NULL; each != NULL;
		 each = each->next)
	{
		GdFile file;

		/* what cannot be told apart is no evidence of what is gone */
		if (!gd_file_read(each, &file))
			c->incomplete = true;
		else if (!file.trashed)
			gd_page_add(c, &file, c->folders[c->next_folder].path);
	}
	if (token == NULL)
		return GD_OK;
	c->page_token = pstrdup(token);
	if (!gd_goes_in_circles(c, token, files))
		return GD_OK;
	cs_failure_set(&c->failure, CS_FAIL_RETRY_LATER, NULL,
				   "\"%s\" is listed without end by the service", c->op.path);
	return GD_FAIL;
}

/* The page is whole: gives it, if it has anything. */
static CsStep
give_page(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (c->op.recursive)
		add_subfolders(c);
	if (c->page_token == NULL)
		folder_done(c);
	if (c->n_entries == 0)
		return next_folder(c, request, result);
	result->entries = c->entries;
	result->n_entries = c->n_entries;
	c->phase = LIST_GIVEN;
	return CS_STEP_PAGE;
}

/* The folder to be listed was looked at. */
static CsStep
checked(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	if (!gd_take_file(c, answer, "list", c->op.path))
	{
		if (gd_is_gone(answer))
			gd_forget(c->service, c->op.path);
		return gd_give_failure(c, result);
	}
	if (c->file.trashed || !gd_is_folder(&c->file))
	{
		gd_forget(c->service, c->op.path);
		return gd_fail(result, CS_FAIL_GONE, c->op.path,
					   c->file.trashed ? "is in the trash" : "is no folder");
	}
	add_folder(c, c->op.path, c->file.id);
	return next_folder(c, request, result);
}

/* See gdrive.h. */
CsStep
gd_list(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	const CsJson *json;
	CsStep step;
	GdSub sub;

	switch (c->phase)
	{
		case LIST_START:
			if (!c->op.follow)
				return begin(c, request, result);
			return gd_ask(
				c, request, LIST_TOKEN, "GET",
				psprintf("/drive/v3/changes/startPageToken?supportsAllDrives="
						 "true%s%s",
						 c->service->drive_id ? "&driveId=" : "",
						 c->service->drive_id ? c->service->drive_id : ""));
		case LIST_TOKEN:
			json = gd_json(c, answer, "follow", c->op.path);
			if (cs_json_text(json, "startPageToken") == NULL)
				return json == NULL
						   ? gd_give_failure(c, result)
						   : gd_fail(result, CS_FAIL_BROKEN, c->op.path,
									 "was given no token to follow it "
									 "by");
			c->new_token = pstrdup(cs_json_text(json, "startPageToken"));
			return begin(c, request, result);
		case LIST_WAY:
			return found_way(c, request, result,
							 gd_way(c, answer, request, result));
		case LIST_FOLDER:
			return checked(c, answer, request, result);
		case LIST_FILES:
			sub = take_page(c, answer);
			if (sub == GD_FAIL)
				return gd_give_failure(c, result);
			if (sub == GD_ABSENT)
			{
				folder_done(c);
				return next_folder(c, request, result);
			}
			answer = NULL;
			/* FALLTHROUGH */
		case LIST_TARGET:
			step = gd_page_targets(c, answer, request, LIST_TARGET);
			if (step == CS_STEP_FAILED)
				return gd_give_failure(c, result);
			if (step == CS_STEP_REQUEST)
				return step;
			return give_page(c, request, result);
		default: /* LIST_GIVEN */
			gd_page_clear(c);
			return next_folder(c, request, result);
	}
}
