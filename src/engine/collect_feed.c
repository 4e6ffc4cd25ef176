/*
 * collect_feed.c
 *	  The feed of an account's or drive's changes (L11): read once from one
 *	  cursor, and applied page by page to the items of all channels of the
 *	  connection that it concerns, with the cursor in the same transaction (L8).
 *
 * A change names a file or folder by its id, its name and the id of the folder it
 * is in; where that is, the channels' folders and items say. What is in no
 * channel's folder is passed over, so a poll costs what changed. The folders
 * above a channel's are known by their ids: when one of these changes, the
 * channel's folder is looked for.
 *
 * What is applied must not be older than what a listing shows that goes on at
 * the same time: so of a connection's jobs one at a time reads the feed or lists.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "cloudsync/crash.h"
#include "cloudsync/name.h"
#include "cloudsync/path.h"
#include "cloudsync/push.h"
#include "listing.h"

#define WAIT_MS 100

/* Where an id is among a channel's folders and items, as far as a page asks. */
typedef struct Place
{
	char *id;
	char *path; /* NULL: it was there before */
	int64 item_id; /* 0: not stored yet, or the channel's folder itself */
	int folder;	   /* of the channel's */
	bool is_folder;
	bool is_top; /* the channel's folder itself */
} Place;

/* A page being applied to a channel. */
typedef struct Change
{
	CsCollect *c;
	HTAB *places;
	CsEntry *pending; /* to be stored, of the folders that follow; */
	int *folder_of;
	int n_pending;
	HTAB *waiting; /* where in it an id, or a path, is */
	bool relist; /* patterns may judge what moves anew */
	TimestampTz now;
} Change;

typedef struct Waiting
{
	const char *text;
	int at;
} Waiting;

static Place *
find_place(Change *change, const char *id)
{
	Place *place = id == NULL ? NULL : hash_search(change->places, &id, HASH_FIND, NULL);

	return place != NULL && place->path != NULL ? place : NULL;
}

static Place *
set_place(Change *change, char *id, char *path, int folder, bool is_folder)
{
	Place *place = hash_search(change->places, &id, HASH_ENTER, NULL);

	place->path = path;
	place->item_id = 0;
	place->folder = folder;
	place->is_folder = is_folder;
	place->is_top = false;
	return place;
}

static int
folder_by_no(const CsCollect *c, int64 folder_no)
{
	for (int i = 0; i < c->n_folders; i++)
	{
		if (c->folders[i].folder_no == folder_no)
			return i;
	}
	return 0;
}

/* The ids that a page speaks of, and those of the folders they are in. */
static CsColumn
ids_of(const CsEntry *entries, int n_entries)
{
	CsColumn ids = {TEXTOID};

	for (int i = 0; i < n_entries; i++)
	{
		if (entries[i].id != NULL)
			cs_column_add(&ids, cs_text_from_utf8(entries[i].id), false);
		if (entries[i].parent_id != NULL)
			cs_column_add(&ids, cs_text_from_utf8(entries[i].parent_id), false);
	}
	return ids;
}

static void
find_places(Change *change, const CsColumn *ids)
{
	CsCollect *c = change->c;
	Args args = {0};
	uint64 n;

	change->places = cs_push_text_table("cloudsync places", sizeof(Place), CurrentMemoryContext);
	add_int64(&args, c->channel_id, false);
	add_columns(&args, ids, 1);
	n = execute("SELECT item_id, remote_id, path, kind = 'folder', folder_no FROM cloudsync.item "
				"WHERE channel_id = $1 AND remote_id = ANY ($2) AND path_key IS NOT NULL "
				"AND state IS DISTINCT FROM 'gone'",
				&args);
	for (uint64 i = 0; i < n; i++)
		set_place(change, cs_get_utf8(i, 2), cs_get_utf8(i, 3),
				  folder_by_no(c, cs_get_int64(i, 5, 0)), cs_get_bool(i, 4, false))
			->item_id = cs_get_int64(i, 1, 0);
	for (int i = 0; i < c->n_folders; i++)
	{
		if (c->folders[i].following && c->folders[i].remote_id != NULL)
			set_place(change, c->folders[i].remote_id, c->folders[i].current, i, true)->is_top = true;
	}
}

/* Stores what waits, in order, before what would be mixed up with it. */
static void
flush(Change *change)
{
	CsCollect *c = change->c;
	int saved = c->folder;

	for (int from = 0, to; from < change->n_pending; from = to)
	{
		for (to = from + 1; to < change->n_pending; to++)
		{
			if (change->folder_of[to] != change->folder_of[from])
				break;
		}
		c->folder = change->folder_of[from];
		c->entering = true;
		cs_items_store(c, change->pending + from, to - from, change->now);
		c->entering = false;
	}
	c->folder = saved;
	change->n_pending = 0;
	hash_destroy(change->waiting);
	change->waiting = cs_push_text_table("cloudsync changes", sizeof(Waiting), CurrentMemoryContext);
}

/* Where the file, or another at its path, waits to be stored; -1: nowhere. */
static int
find_waiting(Change *change, const char *id, const char *path)
{
	Waiting *waiting = hash_search(change->waiting, &id, HASH_FIND, NULL);

	if (waiting != NULL && strcmp(change->pending[waiting->at].id, id) == 0)
		return waiting->at;
	if (change->c->job.connection->provider->same_names)
		return -1;
	waiting = hash_search(change->waiting, &path, HASH_FIND, NULL);
	return waiting != NULL && strcmp(change->pending[waiting->at].path, path) == 0
			   ? waiting->at
			   : -1;
}

static void
note_waiting(Change *change, const char *text, int at)
{
	((Waiting *) hash_search(change->waiting, &text, HASH_ENTER, NULL))->at = at;
}

/* To be stored, instead of what was to be of the same file or at the same path. */
static void
put(Change *change, const CsEntry *entry, const char *path, int folder)
{
	int at = find_waiting(change, entry->id, path);
	CsEntry *target;

	if (at >= 0 && change->folder_of[at] != folder)
	{
		flush(change);
		at = -1;
	}
	if (at < 0)
		at = change->n_pending++;
	target = &change->pending[at];
	*target = *entry;
	target->path = path;
	change->folder_of[at] = folder;
	note_waiting(change, target->id, at);
	note_waiting(change, target->path, at);
}

/* Paths below a folder change, or (to NULL) are no more. */
static void
move_places(Change *change, const char *from, const char *to, int folder)
{
	HASH_SEQ_STATUS status;
	Place *place;

	hash_seq_init(&status, change->places);
	while ((place = hash_seq_search(&status)) != NULL)
	{
		const char *below = place->path && !place->is_top ? cs_path_below(place->path, from) : NULL;

		if (below == NULL)
			continue;
		place->path = to == NULL ? NULL : below[0] == '\0' ? pstrdup(to) : cs_path_join(to, below);
		place->folder = folder;
	}
}

static void
leave(Change *change, Place *place)
{
	if (place->is_folder)
	{
		flush(change);
		cs_tree_gone(change->c, place->path);
		move_places(change, place->path, NULL, 0);
		return;
	}
	/* of a new one that is not stored yet, nothing is known but this page */
	if (place->item_id == 0)
		flush(change);
	if (place->item_id != 0)
		cs_tree_gone_item(change->c, place->item_id, place->id);
	else
		cs_tree_gone(change->c, place->path);
	place->path = NULL;
}

/* A folder that may be judged anew by patterns of paths is listed again. */
static void
note_unlisted(Change *change, const char *path)
{
	Args args = {0};

	add_int64(&args, change->c->channel_id, false);
	add(&args, TEXTOID, cs_text_from_utf8(path), false);
	execute("UPDATE cloudsync.item SET unlisted = true WHERE channel_id = $1 AND path = $2 "
			"AND state IS DISTINCT FROM 'gone'",
			&args);
}

/* What is there has another name, or is in another folder. */
static void
move_to(Change *change, Place *place, const CsEntry *entry, char *path, int folder)
{
	CsCollect *c = change->c;

	if (!place->is_folder || entry->kind != CS_ENTRY_FOLDER)
	{
		leave(change, place);
		return;
	}
	flush(change);
	cs_tree_move(c, place->path, path, c->folders[folder].folder_no);
	move_places(change, place->path, path, folder);
	if (change->relist)
		note_unlisted(change, path);
}

static bool
is_inside(const CsCollect *c, const Place *parent)
{
	return parent != NULL && parent->is_folder && (c->recursive || parent->is_top);
}

static void
apply_entry(Change *change, const CsEntry *entry)
{
	CsCollect *c = change->c;
	Place *place = find_place(change, entry->id);
	Place *parent = find_place(change, entry->parent_id);
	char *path;
	int folder;

	/* a name that can be in no path belongs to nothing that is collected */
	if (entry->id == NULL || (place != NULL && place->is_top) ||
		(!entry->gone && (entry->name == NULL ||
		 cs_path_name_problem(entry->name, CS_PATH_CONTROLS) != NULL)))
		return;
	if (entry->gone || !is_inside(c, parent))
	{
		if (place != NULL)
			leave(change, place);
		return;
	}
	path = cs_path_join(parent->path, entry->name);
	folder = parent->folder;
	if (place != NULL && strcmp(place->path, path) != 0 &&
		strcmp(place->path, psprintf("%s (%s)", path, entry->id)) != 0)
		move_to(change, place, entry, path, folder);
	put(change, entry, path, folder);
	if (find_place(change, entry->id) == NULL)
		set_place(change, pstrdup(entry->id), path, folder, entry->kind == CS_ENTRY_FOLDER);
}

/*
 * Is it a folder that the channel's folder is in, or that folder itself, and not
 * as it was? Then that folder is to be looked for.
 */
static void
look_if_above(CsCollect *c, CsFolder *folder, const CsEntry *entry)
{
	int depth = list_length(folder->ancestors);
	const char *name = folder->current + strlen(folder->current);
	Args args = {0};

	for (int at = depth - 1; at > 0; at--)
	{
		size_t len;
		const char *end = name;
		const char *above;

		while (name > folder->current && *--name != '/')
			;
		len = end - name - 1;
		if (strcmp(list_nth(folder->ancestors, at), entry->id) != 0)
			continue;
		above = list_nth(folder->ancestors, at - 1);
		if (!entry->gone && entry->name != NULL && strlen(entry->name) == len &&
			strncmp(entry->name, name + 1, len) == 0 &&
			(entry->parent_id == NULL || above[0] == '\0' ||
			 strcmp(above, entry->parent_id) == 0))
			return;
		folder->look = true;
		add_int64(&args, c->channel_id, false);
		add(&args, INT4OID, Int32GetDatum(folder->folder_no), false);
		execute("UPDATE cloudsync.channel_folder SET look = true WHERE channel_id = $1 AND folder_no = $2", &args);
		return;
	}
}

/* A page, to one of the channels that it concerns. */
static void
apply(CsCollect *c, const CsEntry *entries, int n_entries, const CsColumn *ids,
	  TimestampTz now)
{
	Change change = {c};

	change.now = now;
	change.relist = c->include != NIL || c->exclude != NIL;
	change.pending = palloc(n_entries * sizeof(CsEntry));
	change.folder_of = palloc(n_entries * sizeof(int));
	change.waiting = cs_push_text_table("cloudsync changes", sizeof(Waiting), CurrentMemoryContext);
	find_places(&change, ids);
	for (int i = 0; i < n_entries; i++)
	{
		for (int f = 0; f < c->n_folders && entries[i].id != NULL; f++)
		{
			if (c->folders[f].following)
				look_if_above(c, &c->folders[f], &entries[i]);
		}
		apply_entry(&change, &entries[i]);
	}
	flush(&change);
	hash_destroy(change.places);
	hash_destroy(change.waiting);
}

/* Another channel of the connection, as far as its items are concerned. */
static CsCollect *
view_of(CsCollect *c, int64 channel_id)
{
	CsCollect *view = palloc0(sizeof(CsCollect));

	view->job.methods = c->job.methods;
	view->job.connection = c->job.connection;
	view->job.run_id = c->job.run_id;
	view->job.context = CurrentMemoryContext;
	view->channel_id = channel_id;
	return cs_collect_read_channel(view) ? view : NULL;
}

static void
store_cursor(CsCollect *c, const char *cursor)
{
	Args args = {0};

	add_int64(&args, c->job.connection->connection_id, false);
	add(&args, TEXTOID, cs_text_from_utf8(cursor), false);
	execute("INSERT INTO cloudsync.feed AS f (connection_id, cursor) VALUES ($1, $2) "
			"ON CONFLICT (connection_id) DO UPDATE SET cursor = excluded.cursor, read_at = clock_timestamp()",
			&args);
}

/* A page, to all the channels that it concerns, and the cursor with it. */
static void
apply_page(CsCollect *c, const CsResult *result, TimestampTz now)
{
	CsColumn ids;
	Args args = {0};
	int64 *channels;
	uint64 n;

	cs_begin("applying changes");
	ids = ids_of(result->entries, result->n_entries);
	add_int64(&args, c->job.connection->connection_id, false);
	add_columns(&args, &ids, 1);
	n = execute("SELECT h.channel_id FROM cloudsync.channel h WHERE h.connection_id = $1 AND h.deleted_at IS NULL "
				"AND h.channel_id IN (SELECT i.channel_id FROM cloudsync.item i "
				"WHERE i.remote_id = ANY ($2) AND i.path_key IS NOT NULL "
				"UNION SELECT f.channel_id FROM cloudsync.channel_folder f WHERE f.remote_id = ANY ($2) "
				"UNION SELECT f.channel_id FROM cloudsync.channel_folder f JOIN cloudsync.channel o USING (channel_id) "
				"WHERE o.connection_id = $1 AND f.ancestors && $2) ORDER BY h.channel_id",
				&args);
	channels = palloc(Max(n, 1) * sizeof(int64));
	for (uint64 i = 0; i < n; i++)
		channels[i] = cs_get_int64(i, 1, 0);
	for (uint64 i = 0; i < n; i++)
	{
		CsCollect *view = channels[i] == c->channel_id ? c : view_of(c, channels[i]);

		if (view != NULL)
			apply(view, result->entries, result->n_entries, &ids, now);
	}
	if (result->cursor != NULL)
		store_cursor(c, result->cursor);
	cs_commit();
	CS_CRASH_POINT("collect.after_page");
}

/* See listing.h. */
bool
cs_feed_acquire(CsCollect *c, TimestampTz now)
{
	CsConnection *connection = c->job.connection;

	if (connection->feed_reader == NULL)
		connection->feed_reader = &c->job;
	if (connection->feed_reader == &c->job)
		return true;
	c->job.phase = "wait";
	c->job.wake_at = TimestampTzPlusMilliseconds(now, WAIT_MS);
	return false;
}

/* See listing.h. */
void
cs_feed_release(CsCollect *c)
{
	if (c->job.connection->feed_reader == &c->job)
		c->job.connection->feed_reader = NULL;
}

/* Refused: all channels are listed in full again, each by its next run. */
static void
reset(CsCollect *c)
{
	Args args = {0};

	cs_begin("forgetting where a feed went on");
	add_int64(&args, c->job.connection->connection_id, false);
	execute("DELETE FROM cloudsync.feed WHERE connection_id = $1", &args);
	execute("UPDATE cloudsync.channel_folder f SET listed_epoch = NULL FROM cloudsync.channel h "
			"WHERE h.channel_id = f.channel_id AND h.connection_id = $1",
			&args);
	cs_commit();
	for (int i = 0; i < c->n_folders; i++)
		c->folders[i].following = false;
}

/* From where it goes on; false: there is nothing to read for this channel. */
static bool
begin_reading(CsCollect *c)
{
	CsOp op = {0};
	Args args = {0};
	bool follows = false;

	for (int i = 0; i < c->n_folders; i++)
		follows |= c->folders[i].following;
	/* what another job has read since this one came to listing is enough */
	if (!follows || c->job.connection->feed_read_at >= c->list_since)
		return false;
	cs_begin("looking where a feed goes on");
	add_int64(&args, c->job.connection->connection_id, false);
	if (execute("SELECT cursor FROM cloudsync.feed WHERE connection_id = $1", &args) > 0)
		op.cursor = MemoryContextStrdup(c->job.context, cs_get_utf8(0, 1));
	cs_commit();
	if (op.cursor == NULL)
	{
		for (int i = 0; i < c->n_folders; i++)
			c->folders[i].following = false;
		return false;
	}
	op.kind = CS_OP_LIST;
	op.path = "/";
	op.recursive = true;
	op.follow = true;
	c->list = cs_collect_start(c, &op, NULL);
	c->list_since = GetCurrentTimestamp();
	c->job.phase = "list";
	return true;
}

static void
ended(CsCollect *c, const CsResult *result)
{
	if (result->cursor != NULL)
	{
		cs_begin("noting where a feed goes on");
		store_cursor(c, result->cursor);
		cs_commit();
	}
	c->job.connection->feed_read_at = c->list_since;
}

/* It could not be read: nothing is known of any folder. */
static void
failed(CsCollect *c, const CsFailure *failure)
{
	if (failure->failure_class == CS_FAIL_RESET)
	{
		reset(c);
		return;
	}
	for (c->folder = 0; c->folder < c->n_folders; c->folder++)
		cs_folder_failed(c, failure);
}

/* See listing.h. */
bool
cs_feed_read(CsCollect *c, TimestampTz now)
{
	CsFailure failure;

	if (c->list == NULL)
		return !begin_reading(c);
	switch (c->list->state)
	{
		case CS_TRANSFER_PAGE:
			apply_page(c, &c->list->result, now);
			cs_transfer_continue(c->list);
			return false;
		case CS_TRANSFER_DONE:
			ended(c, &c->list->result);
			cs_collect_end(c, &c->list);
			return true;
		case CS_TRANSFER_FAILED:
			failure = c->list->result.failure;
			cs_collect_end(c, &c->list);
			failed(c, &failure);
			return true;
		default:
			return false;
	}
}
