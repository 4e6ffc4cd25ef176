/*
 * collect_change.c
 *	  What a page of a feed of changes makes of a channel's items (L8, L10, L11).
 *
 * A change names a file or folder by its id, its name and the id of the folder it
 * is in; where that is, the channels' folders and items say. What is in no
 * channel's folder is passed over, so a poll costs what changed. The folders
 * above a channel's are known by their ids: when one of these changes, the
 * channel's folder is looked for. What is in a folder by a shortcut is known by
 * the shortcut's id and by its own, and both are told of.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "cloudsync/name.h"
#include "cloudsync/path.h"
#include "cloudsync/text_table.h"
#include "listing.h"

/* Where an id is among a channel's folders and items, as far as a page asks. */
typedef struct Place
{
	char *id;
	char *path; /* NULL: it was there before */
	char *target; /* of a shortcut's, whose own id the key is: the file's id */
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
	List *links; /* ids of shortcuts among the places */
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
	place->target = NULL;
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

/* See listing.h. */
CsColumn
cs_change_ids(const CsEntry *entries, int n_entries)
{
	CsColumn ids = {TEXTOID};

	for (int i = 0; i < n_entries; i++)
	{
		if (entries[i].id != NULL)
			cs_column_add(&ids, cs_text_from_utf8(entries[i].id), false);
		if (entries[i].parent_id != NULL)
			cs_column_add(&ids, cs_text_from_utf8(entries[i].parent_id), false);
		if (entries[i].link_id != NULL)
			cs_column_add(&ids, cs_text_from_utf8(entries[i].link_id), false);
	}
	return ids;
}

/* An item that is in the folder by a shortcut: known by the shortcut's id, and
 * as a folder, unless it is there itself too, by its own, for what is in it. */
static void
set_link(Change *change, char *link_id, char *id, char *path, int folder,
		 bool is_folder, int64 item_id)
{
	Place *place = set_place(change, link_id, path, folder, is_folder);

	place->target = id;
	place->item_id = item_id;
	change->links = lappend(change->links, link_id);
	if (is_folder && find_place(change, id) == NULL)
	{
		place = set_place(change, id, path, folder, true);
		place->target = id;
		place->item_id = item_id;
	}
}

static void
find_places(Change *change, const CsColumn *ids)
{
	CsCollect *c = change->c;
	Args args = {0};
	uint64 n;

	change->places = cs_text_table("cloudsync places", sizeof(Place), CurrentMemoryContext);
	add_int64(&args, c->channel_id, false);
	add_columns(&args, ids, 1);
	n = execute("SELECT item_id, remote_id, path, kind = 'folder', folder_no, link_id FROM cloudsync.item "
				"WHERE channel_id = $1 AND remote_id = ANY ($2) AND path_key IS NOT NULL "
				"AND state IS DISTINCT FROM 'gone' UNION "
				"SELECT item_id, remote_id, path, kind = 'folder', folder_no, link_id FROM cloudsync.item "
				"WHERE channel_id = $1 AND link_id = ANY ($2) AND state IS DISTINCT FROM 'gone' "
				"ORDER BY link_id NULLS FIRST",
				&args);
	for (uint64 i = 0; i < n; i++)
	{
		char *link_id = cs_get_utf8(i, 6);
		char *id = cs_get_utf8(i, 2);
		char *path = cs_get_utf8(i, 3);
		int folder = folder_by_no(c, cs_get_int64(i, 5, 0));
		bool is_folder = cs_get_bool(i, 4, false);

		if (link_id != NULL)
			set_link(change, link_id, id, path, folder, is_folder, cs_get_int64(i, 1, 0));
		else
			set_place(change, id, path, folder, is_folder)->item_id = cs_get_int64(i, 1, 0);
	}
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
	change->waiting = cs_text_table("cloudsync changes", sizeof(Waiting), CurrentMemoryContext);
}

/* What tells it apart from others: a file may be there itself, and by shortcuts. */
static const char *
own_id(const CsEntry *entry)
{
	return entry->link_id != NULL ? entry->link_id : entry->id;
}

/* Where the file, or another at its path, waits to be stored; -1: nowhere. */
static int
find_waiting(Change *change, const char *id, const char *path)
{
	Waiting *waiting = hash_search(change->waiting, &id, HASH_FIND, NULL);

	if (waiting != NULL && strcmp(own_id(&change->pending[waiting->at]), id) == 0)
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
	int at = find_waiting(change, own_id(entry), path);
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
	note_waiting(change, own_id(target), at);
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

/* Does the page tell of what is at a path? */
static bool
is_told_of(Change *change, const char *path)
{
	HASH_SEQ_STATUS status;
	Place *place;

	hash_seq_init(&status, change->places);
	while ((place = hash_seq_search(&status)) != NULL)
	{
		if (place->path == NULL || strcmp(place->path, path) != 0)
			continue;
		hash_seq_term(&status);
		return true;
	}
	return false;
}

/*
 * A folder that was deleted and made anew between two pages is told of by its
 * new id alone.
 */
static void
displace(Change *change, const CsEntry *entry, const char *path)
{
	CsCollect *c = change->c;

	if (entry->kind != CS_ENTRY_FOLDER || c->job.connection->provider->same_names ||
		is_told_of(change, path))
		return;
	flush(change);
	cs_tree_displace(c, path, entry->id);
	move_places(change, path, NULL, 0);
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
		cs_tree_gone_item(change->c, place->item_id, place->target ? place->target : place->id);
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

/* What is also in the folder by shortcuts stays there, as it is now; or not. */
static void
apply_to_links(Change *change, const CsEntry *entry)
{
	ListCell *cell;

	foreach (cell, change->links)
	{
		Place *place = find_place(change, lfirst(cell));
		CsEntry linked = *entry;

		if (place == NULL || place->target == NULL || strcmp(place->target, entry->id) != 0)
			continue;
		if (entry->gone)
		{
			leave(change, place);
			continue;
		}
		linked.link_id = lfirst(cell);
		linked.name = cs_path_name(place->path);
		put(change, &linked, place->path, place->folder);
	}
}

/* The place that an entry itself has, not one that leads to it. */
static Place *
place_of(Change *change, const CsEntry *entry)
{
	Place *place = find_place(change, own_id(entry));

	if (place != NULL && entry->link_id == NULL && !entry->gone && place->target != NULL &&
		strcmp(place->target, entry->id) == 0)
		return NULL;
	return place;
}

static void
apply_entry(Change *change, const CsEntry *entry)
{
	CsCollect *c = change->c;
	Place *place = entry->id != NULL ? place_of(change, entry) : NULL;
	Place *parent = find_place(change, entry->parent_id);
	char *path;
	int folder;

	/* a name that can be in no path belongs to nothing that is collected */
	if (entry->id == NULL || (place != NULL && place->is_top) ||
		(!entry->gone && (entry->name == NULL ||
		 cs_path_name_problem(entry->name, CS_PATH_CONTROLS) != NULL)))
		return;
	if (entry->link_id == NULL && change->links != NIL)
		apply_to_links(change, entry);
	if (entry->gone || !is_inside(c, parent))
	{
		if (place != NULL && place->path != NULL)
			leave(change, place);
		return;
	}
	path = cs_path_join(parent->path, entry->name);
	folder = parent->folder;
	if (place != NULL && strcmp(place->path, path) != 0 &&
		strcmp(place->path, psprintf("%s (%s)", path, entry->id)) != 0)
		move_to(change, place, entry, path, folder);
	else if (place == NULL)
		displace(change, entry, path);
	put(change, entry, path, folder);
	if (entry->link_id != NULL && find_place(change, entry->link_id) == NULL)
		set_link(change, pstrdup(entry->link_id), pstrdup(entry->id), path, folder,
				 entry->kind == CS_ENTRY_FOLDER, 0);
	else if (entry->link_id == NULL && find_place(change, entry->id) == NULL)
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

/* See listing.h. */
void
cs_change_apply(CsCollect *c, const CsEntry *entries, int n_entries, const CsColumn *ids,
				TimestampTz now)
{
	Change change = {c};

	change.now = now;
	change.relist = c->include != NIL || c->exclude != NIL;
	change.pending = palloc(n_entries * sizeof(CsEntry));
	change.folder_of = palloc(n_entries * sizeof(int));
	change.waiting = cs_text_table("cloudsync changes", sizeof(Waiting), CurrentMemoryContext);
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
