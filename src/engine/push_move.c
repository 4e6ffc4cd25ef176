/*
 * push_move.c
 *	  Moves and deletions at the remote: which comes next, and what came of it.
 *	  Only what is ours is touched, and never anything moved onto another.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "cloudsync/path.h"
#include "cloudsync/push.h"
#include "cloudsync/settings.h"

#define TRASH "/.trash"

static bool
to_be_moved(const CsPushFile *file)
{
	return file->state == CS_FILE_WAITING && file->now_at != NULL && file->known &&
		   file->plan->action != CS_ACTION_TRASH &&
		   file->plan->action != CS_ACTION_WAIT_TRASH &&
		   strcmp(file->now_at, file->path) != 0;
}

typedef struct InTheWay
{
	const char *key; /* hash key by content */
	CsPushFile *file;
	bool left; /* it has moved, or never will */
} InTheWay;

static void
stand_in_the_way(CsPushJob *push, CsPushFile *file)
{
	InTheWay *entry;

	file->now_key = cs_name_key(file->now_at, &push->setting->provider->names);
	entry = hash_search(push->in_the_way, &file->now_key, HASH_ENTER, NULL);
	entry->file = file;
	entry->left = false;
}

/* It has moved, or never will. */
static void
leave_the_way(CsPushJob *push, CsPushFile *file)
{
	InTheWay *entry = NULL;

	if (file->now_key != NULL && push->in_the_way != NULL)
		entry = hash_search(push->in_the_way, &file->now_key, HASH_FIND, NULL);
	if (entry != NULL)
		entry->left = true;
	file->now_key = NULL;
}

/* All that is still to be moved stands where it is. */
static void
list_what_is_in_the_way(CsPushJob *push)
{
	ListCell *cell;

	push->in_the_way = cs_text_table("cloudsync moves", sizeof(InTheWay),
										  push->job.context);
	foreach (cell, push->files)
	{
		if (to_be_moved(lfirst(cell)))
			stand_in_the_way(push, lfirst(cell));
	}
}

/* Does another file that is still to be moved away stand where this one goes? */
static bool
way_is_free(CsPushJob *push, const CsPushFile *file)
{
	char *target = cs_name_key(file->path, &push->setting->provider->names);
	InTheWay *other = hash_search(push->in_the_way, &target, HASH_FIND, NULL);
	bool is_free = other == NULL || other->file == file || other->left;

	pfree(target);
	return is_free;
}

/* See push.h. */
bool
cs_push_was_vacated(CsPushJob *push, const char *path)
{
	char *key = cs_name_key(path, &push->setting->provider->names);
	InTheWay *other = hash_search(push->in_the_way, &key, HASH_FIND, NULL);

	pfree(key);
	return other != NULL && other->left;
}

/*
 * The next one whose target is free. If there is none but something is left,
 * names are swapped in a circle: one of them takes a detour.
 */
CsPushFile *
cs_push_next_move(CsPushJob *push)
{
	CsPushFile *first = NULL;
	ListCell *cell;
	uint32 number;

	push->detour = NULL;
	if (push->in_the_way == NULL)
		list_what_is_in_the_way(push);
	foreach (cell, push->files)
	{
		CsPushFile *file = lfirst(cell);

		if (!to_be_moved(file))
			continue;
		if (way_is_free(push, file))
			return file;
		if (first == NULL)
			first = file;
	}
	if (first != NULL)
	{
		/* a name that listings show, so that a crash does not lose it */
		if (!pg_strong_random(&number, sizeof(number)))
			number = (uint32) push->job.run_id;
		push->detour = cs_path_join(
			cs_path_parent(first->now_at),
			cs_name_marked(cs_path_name(first->now_at), psprintf("%08x", number), 1,
						   &push->setting->provider->names));
	}
	return first;
}

/* The next one that goes to the trash. */
CsPushFile *
cs_push_next_trash(CsPushJob *push)
{
	ListCell *cell;

	foreach (cell, push->files)
	{
		CsPushFile *file = lfirst(cell);

		if (file->plan->action != CS_ACTION_TRASH || file->state != CS_FILE_WAITING)
			continue;
		if (file->now_at == NULL || cs_path_below(file->now_at, TRASH) == NULL)
			return file;
		/* there already: an attempt did not live to say so, or somebody did it */
		file->did = "trash";
		file->path = file->now_at;
		cs_push_file_done(push, file, 0);
	}
	return NULL;
}

/* Where the trash is of a provider that has none of its own. */
char *
cs_push_trash_path(CsPushJob *push, const char *path)
{
	return cs_path_join(TRASH, path);
}

static void
keep_entry(CsPushFile *file, const CsEntry *entry)
{
	if (entry->id != NULL)
		file->remote_id = pstrdup(entry->id);
	if (entry->version != NULL)
		file->remote_version = pstrdup(entry->version);
	if (entry->web_url != NULL)
		file->web_url = pstrdup(entry->web_url);
}

/* A name that is free, since a stranger's file stands in the way. */
static void
next_name(CsPushJob *push, CsPushFile *file)
{
	const CsNameRules *rules = &push->setting->provider->names;

	file->marks++;
	file->path = cs_path_join(
		cs_path_parent(file->plan->path),
		cs_name_numbered(cs_path_name(file->plan->path), file->marks + 1, CS_NAME_FILE, rules));
}

/* Then a conflict is about the name that it is to get. */
static bool
is_as_we_left_it(const CsPushFile *file)
{
	const CsRecord *record = file->plan->record;

	return record == NULL || record->seen_version == NULL ||
		   record->remote_version == NULL ||
		   strcmp(record->seen_version, record->remote_version) == 0;
}

/*
 * What came of a move. One whose subject somebody changed stays where it is;
 * its content, if that is to be sent as well, goes beside it.
 */
void
cs_push_moved(CsPushJob *push, CsPushFile *file, const CsTransfer *transfer,
			  TimestampTz now)
{
	const CsFailure *failure = &transfer->result.failure;
	bool sends = file->plan->action == CS_ACTION_UPDATE;

	leave_the_way(push, file);
	if (transfer->state == CS_TRANSFER_DONE)
	{
		file->now_at = push->detour ? push->detour : file->path;
		if (push->detour != NULL)
			stand_in_the_way(push, file);
		keep_entry(file, &transfer->result.entry);
		if (file->plan->record != NULL && file->remote_version != NULL)
			file->plan->record->remote_version = file->remote_version;
		if (!sends && push->detour == NULL)
		{
			file->did = "move";
			cs_push_file_done(push, file, now);
		}
		return;
	}
	if (failure->failure_class == CS_FAIL_CONFLICT && file->marks < 20 &&
		is_as_we_left_it(file))
	{
		next_name(push, file);
		stand_in_the_way(push, file);
	}
	else if (sends && (failure->failure_class == CS_FAIL_CONFLICT ||
					   failure->failure_class == CS_FAIL_GONE))
	{
		/* sent as a new file */
		file->now_at = NULL;
		file->known = false;
	}
	else if (failure->failure_class == CS_FAIL_CONFLICT)
	{
		/* somebody's own by now: left where it is, and that is told */
		file->path = file->now_at;
		file->did = "conflict";
		file->failure = *failure;
		cs_push_file_done(push, file, now);
	}
	else
		cs_push_file_failed(push, file, failure, now);
}

/* What came of moving a file to the trash. */
void
cs_push_trashed(CsPushJob *push, CsPushFile *file, const CsTransfer *transfer)
{
	const CsFailure *failure = &transfer->result.failure;

	file->did = "trash";
	if (transfer->state == CS_TRANSFER_DONE || failure->failure_class == CS_FAIL_GONE)
	{
		if (transfer->state == CS_TRANSFER_DONE && transfer->result.entry.path != NULL)
			file->path = pstrdup(transfer->result.entry.path);
		cs_push_file_done(push, file, 0);
	}
	else if (failure->failure_class == CS_FAIL_CONFLICT)
	{
		/* changed by somebody: theirs now, it stays (P9) */
		file->did = "conflict";
		file->failure = *failure;
		cs_push_file_done(push, file, 0);
	}
	else
		cs_push_file_failed(push, file, failure, GetCurrentTimestamp());
}

/* The folder has moved, and with it what is in it. */
void
cs_push_folder_moved(CsPushJob *push, const char *remote_id)
{
	CsPlan *plan = push->plan;
	ListCell *cell;

	push->standing = NULL; /* what came with it was not seen */
	foreach (cell, push->files)
	{
		CsPushFile *file = lfirst(cell);
		const char *below = file->now_at ? cs_path_below(file->now_at, plan->from_folder) : NULL;

		if (below == NULL)
			continue;
		file->now_at = cs_path_join(plan->folder, below);
		file->plan->record->path = file->now_at;
		if (file->plan->action == CS_ACTION_MOVE && strcmp(file->now_at, file->path) == 0)
		{
			file->did = "move";
			cs_push_file_done(push, file, 0);
		}
	}
	if (plan->manifest != NULL && plan->manifest->path != NULL &&
		cs_path_below(plan->manifest->path, plan->from_folder) != NULL)
		plan->manifest->path = cs_path_join(plan->folder, cs_path_below(plan->manifest->path, plan->from_folder));
	push->moved_from = plan->from_folder;
	plan->from_folder = plan->folder;
	plan->folder_id = remote_id ? pstrdup(remote_id) : NULL;
}

/* Folders below the dossier's that files will be moved or sent into. */
void
cs_push_list_subfolders(CsPushJob *push)
{
	ListCell *cell;

	push->subfolders = NIL;
	foreach (cell, push->files)
	{
		CsPushFile *file = lfirst(cell);
		char *parent;
		ListCell *other;
		bool listed = false;

		if (file->state != CS_FILE_WAITING || file->path == NULL ||
			file->plan->action == CS_ACTION_TRASH ||
			(file->plan->action != CS_ACTION_CREATE && file->plan->action != CS_ACTION_UPDATE &&
			 (file->now_at == NULL || strcmp(file->now_at, file->path) == 0)))
			continue;
		parent = cs_path_parent(file->path);
		if (push->plan->folder != NULL && strcmp(parent, push->plan->folder) == 0)
			continue;
		foreach (other, push->subfolders)
			listed = listed || strcmp(lfirst(other), parent) == 0;
		if (!listed)
			push->subfolders = lappend(push->subfolders, parent);
	}
}

/* Is the folder to be made, or only still to be there? */
bool
cs_push_needs_folder(CsPushJob *push)
{
	ListCell *cell;

	if (push->plan->folder == NULL || !push->plan->present || push->folder_there)
		return false;
	if (!push->plan->recorded)
		return true;
	foreach (cell, push->files)
	{
		CsPushFile *file = lfirst(cell);

		if (file->plan->action == CS_ACTION_CREATE || file->plan->action == CS_ACTION_UPDATE ||
			file->plan->action == CS_ACTION_MOVE)
			return true;
	}
	return push->looks == NIL;
}

/* Does the dossier's folder go elsewhere, as a whole? */
bool
cs_push_folder_moves(CsPushJob *push)
{
	CsPlan *plan = push->plan;

	return plan->present && plan->from_folder != NULL && push->folder_there &&
		   strcmp(plan->from_folder, plan->folder) != 0 &&
		   !cs_path_is_below(plan->folder, plan->from_folder) &&
		   !cs_path_is_below(plan->from_folder, plan->folder);
}

/* See push.h. */
bool
cs_push_all_trashed(CsPushJob *push)
{
	ListCell *cell;
	bool any = false;

	if (push->plan->present || push->plan->from_folder == NULL || !push->setting->trash)
		return false;
	foreach (cell, push->files)
	{
		CsPushFile *file = lfirst(cell);

		if (file->did == NULL || strcmp(file->did, "trash") != 0 || file->state != CS_FILE_DONE)
			return false;
		any = true;
	}
	return any;
}
