/*
 * collect_tree.c
 *	  Changes of a channel's items as a service tells them by a cursor: what is
 *	  gone takes along what was below it, and a folder that moves does so with
 *	  all that is in it (L8, L10).
 *
 * Paths are compared as the service compares them, by item.path_key.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "cloudsync/name.h"
#include "cloudsync/path.h"
#include "cloudsync/text_table.h"
#include "listing.h"

static char *
key_of(CsCollect *c, const char *path)
{
	return cs_name_key(path, &c->job.connection->provider->names);
}

/* See listing.h. */
bool
cs_tree_same_path(CsCollect *c, const char *a, const char *b)
{
	return strcmp(key_of(c, a), key_of(c, b)) == 0;
}

/* The bounds of what is below a path: '0' follows '/'. */
static void
add_below(Args *args, const char *key)
{
	const char *folder = strcmp(key, "/") == 0 ? "" : key;

	add(args, TEXTOID, cs_text_from_utf8(psprintf("%s/", folder)), false);
	add(args, TEXTOID, cs_text_from_utf8(psprintf("%s0", folder)), false);
}

static void
gone(CsCollect *c, const char *path, bool itself)
{
	char *key = key_of(c, path);
	Args args = {0};

	add_int64(&args, c->channel_id, false);
	add_int64(&args, c->job.run_id, false);
	add(&args, TEXTOID, itself ? cs_text_from_utf8(key) : (Datum) 0, !itself);
	add_below(&args, key);
	execute("UPDATE cloudsync.item SET state = 'gone', verify = false, reason = NULL, unlisted = false, "
			"listing = $2, seen_at = clock_timestamp() "
			"WHERE channel_id = $1 AND state IS DISTINCT FROM 'gone' "
			"AND (path_key = $3 OR (path_key >= $4 AND path_key < $5))",
			&args);
}

/* See listing.h. */
void
cs_tree_gone(CsCollect *c, const char *path)
{
	gone(c, path, true);
}

/* See listing.h. */
void
cs_tree_gone_below(CsCollect *c, const char *path)
{
	gone(c, path, false);
}

/* See listing.h. */
void
cs_tree_gone_item(CsCollect *c, int64 item_id, const char *remote_id)
{
	Args args = {0};

	add_int64(&args, item_id, false);
	add_int64(&args, c->job.run_id, false);
	add(&args, TEXTOID, cs_text_from_utf8(remote_id), false);
	execute("UPDATE cloudsync.item SET state = 'gone', verify = false, reason = NULL, unlisted = false, "
			"listing = $2, seen_at = clock_timestamp() "
			"WHERE item_id = $1 AND remote_id = $3 AND state IS DISTINCT FROM 'gone'",
			&args);
}

/* See listing.h. */
void
cs_tree_displace(CsCollect *c, const char *path, const char *remote_id)
{
	char *key = key_of(c, path);
	Args args = {0};

	add_int64(&args, c->channel_id, false);
	add_int64(&args, c->job.run_id, false);
	add(&args, TEXTOID, cs_text_from_utf8(key), false);
	add_below(&args, key);
	add(&args, TEXTOID, cs_text_from_utf8(remote_id), false);
	execute("UPDATE cloudsync.item SET state = 'gone', verify = false, reason = NULL, unlisted = false, "
			"listing = $2, seen_at = clock_timestamp() "
			"WHERE channel_id = $1 AND state IS DISTINCT FROM 'gone' AND path_key >= $4 AND path_key < $5 "
			"AND EXISTS (SELECT FROM cloudsync.item o WHERE o.channel_id = $1 AND o.path_key = $3 "
			"AND o.kind = 'folder' AND o.remote_id <> $6 AND o.state IS DISTINCT FROM 'gone')",
			&args);
}

/* ---- moves ---- */

#define MOVED \
	"m.channel_id = $1 AND m.state IS DISTINCT FROM 'gone' " \
	"AND (m.path_key = $2 OR (m.path_key >= $3 AND m.path_key < $4))"
#define NEW_PATH "$6 || substr(m.path, length($5) + 1)"

/*
 * What is in the way: rows of what is gone have no more to say, since an id
 * tells what was collected; what is there has its id in its path from now on.
 */
static void
make_way(Args *args)
{
	execute("DELETE FROM cloudsync.item i USING cloudsync.item m WHERE " MOVED " "
			"AND i.channel_id = $1 AND i.path = " NEW_PATH " AND i.state = 'gone'",
			args);
	execute("UPDATE cloudsync.item i SET path = i.path || ' (' || COALESCE(i.remote_id, i.item_id::text) || ')', "
			"path_key = i.path_key || ' (' || COALESCE(i.remote_id, i.item_id::text) || ')' "
			"FROM cloudsync.item m WHERE " MOVED " AND i.channel_id = $1 AND i.path = " NEW_PATH " "
			"AND NOT (i.path_key = $2 OR (i.path_key >= $3 AND i.path_key < $4))",
			args);
}

/* What would have a path that no index takes is shown by a full listing again. */
static void
leave_long_paths(Args *args)
{
	Args all = *args;

	add(&all, INT4OID, Int32GetDatum(CS_ITEM_PATH_MAX), false);
	execute("UPDATE cloudsync.item m SET state = 'gone', verify = false, reason = NULL, unlisted = false, "
			"seen_at = clock_timestamp() WHERE " MOVED " AND octet_length(" NEW_PATH ") > $7",
			&all);
}

static void
move(CsCollect *c, const char *from, const char *to, int32 folder_no)
{
	char *key = key_of(c, from);
	Args args = {0};
	Args all;

	/* of the root itself the '/' stays before the rest */
	if (strcmp(from, "/") == 0)
		from = "";
	if (strcmp(to, "/") == 0)
		to = "";
	add_int64(&args, c->channel_id, false);
	add(&args, TEXTOID, cs_text_from_utf8(key), false);
	add_below(&args, key);
	add(&args, TEXTOID, cs_text_from_utf8(from), false);
	add(&args, TEXTOID, cs_text_from_utf8(to), false);
	leave_long_paths(&args);
	make_way(&args);
	all = args;
	add(&all, TEXTOID, cs_text_from_utf8(from[0] ? key : ""), false);
	add(&all, TEXTOID, cs_text_from_utf8(to[0] ? key_of(c, to) : ""), false);
	add(&all, TEXTOID, cs_text_from_utf8(cs_path_name(to[0] ? to : "/")), false);
	add(&all, INT4OID, Int32GetDatum(folder_no), false);
	add_int64(&all, c->job.run_id, false);
	execute("UPDATE cloudsync.item m SET path = " NEW_PATH ", "
			"path_key = $8 || substr(m.path_key, length($7) + 1), "
			"name = CASE WHEN m.path_key = $2 THEN $9 ELSE m.name END, "
			"folder_no = $10, listing = $11, seen_at = clock_timestamp() WHERE " MOVED,
			&all);
}

/* See listing.h. */
void
cs_tree_move(CsCollect *c, const char *from, const char *to, int32 folder_no)
{
	/* a path that no service has, while both places are one in the other */
	const char *aside = "//moving";

	if (cs_path_is_below(from, to) || cs_path_is_below(to, from))
	{
		move(c, from, aside, folder_no);
		from = aside;
	}
	move(c, from, to, folder_no);
}

/* ---- a page of a folder's own cursor ---- */

/*
 * What is known by its id keeps the spelling of its folders, of which the
 * service may give another; what was elsewhere is gone from there.
 */
static void
find_known(CsCollect *c, CsEntry *entries, int n_entries)
{
	CsColumn ids = {TEXTOID};
	Args args = {0};
	uint64 n;
	SPITupleTable *found;

	for (int i = 0; i < n_entries; i++)
		cs_column_add(&ids, entries[i].id ? cs_text_from_utf8(entries[i].id) : 0,
					  entries[i].id == NULL);
	add_int64(&args, c->channel_id, false);
	add_columns(&args, &ids, 1);
	n = execute("SELECT e.ord, i.item_id, i.path FROM unnest($2) WITH ORDINALITY e (id, ord) "
				"JOIN cloudsync.item i ON i.channel_id = $1 AND i.remote_id = e.id AND i.path_key IS NOT NULL "
				"AND i.state IS DISTINCT FROM 'gone'",
				&args);
	found = SPI_tuptable;
	for (uint64 row = 0; row < n; row++)
	{
		CsEntry *entry;
		char *path;

		SPI_tuptable = found;
		entry = &entries[cs_get_int64(row, 1, 1) - 1];
		path = cs_get_utf8(row, 3);
		if (strcmp(path, entry->path) == 0)
			continue;
		if (strcmp(cs_path_name(path), cs_path_name(entry->path)) == 0 &&
			cs_tree_same_path(c, path, entry->path))
			entry->path = path;
		else
			cs_tree_gone_item(c, cs_get_int64(row, 2, 0), entry->id);
	}
}

typedef struct Told
{
	const char *path;
	int at;
} Told;

/* Of what is told twice of a path, the later counts. */
static void
store_some(CsCollect *c, const CsEntry *entries, int n_entries, TimestampTz now)
{
	HTAB *told;
	CsEntry *some;
	int n = 0;

	if (n_entries == 0)
		return;
	told = cs_text_table("cloudsync paths told", sizeof(Told), CurrentMemoryContext);
	some = palloc(n_entries * sizeof(CsEntry));
	for (int i = 0; i < n_entries; i++)
	{
		bool found;
		Told *one = hash_search(told, &entries[i].path, HASH_ENTER, &found);

		if (!found)
			one->at = n++;
		some[one->at] = entries[i];
	}
	if (c->job.connection->provider->stable_ids)
		find_known(c, some, n);
	cs_items_store(c, some, n, now);
	hash_destroy(told);
}

/* See listing.h. */
bool
cs_tree_change(CsCollect *c, const CsEntry *entries, int n_entries,
			   TimestampTz now)
{
	char *folder = key_of(c, c->folders[c->folder].current);
	bool lost = false;
	int stored = 0;

	for (int i = 0; i < n_entries; i++)
	{
		if (!entries[i].gone)
			continue;
		store_some(c, &entries[stored], i - stored, now);
		stored = i + 1;
		if (cs_path_below(folder, key_of(c, entries[i].path)) != NULL)
			lost = true;
		else
			cs_tree_gone(c, entries[i].path);
	}
	store_some(c, &entries[stored], n_entries - stored, now);
	return lost;
}
