/*
 * collect_page.c
 *	  A page of a listing is stored (L8): of changes as a whole, with the cursor
 *	  behind them; of what there is piece by piece, so that the first documents
 *	  are received, and answers are taken, before all of a large page is stored.
 *
 * A crash between two pieces is one between two pages: the folder is listed in
 * full again, and what is stored already is found unchanged.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "cloudsync/crash.h"
#include "cloudsync/path.h"
#include "listing.h"

#define FIRST_PIECE 64 /* more than go out at once; then */
#define PIECE 200

/* Of a feed that begins with all of the account, what is in the folder. */
static void
store_inside(CsCollect *c, const CsEntry *entries, int n_entries, TimestampTz now)
{
	CsEntry *inside;
	int n = 0;

	if (!IS_FED(c))
	{
		cs_items_store(c, entries, n_entries, now);
		return;
	}
	inside = palloc(Max(n_entries, 1) * sizeof(CsEntry));
	for (int i = 0; i < n_entries; i++)
	{
		const CsEntry *entry = &entries[i];
		const char *below;

		/* its folder was not told yet: all is listed again, by the folder */
		if (entry->path == NULL)
		{
			c->unplaced |= !entry->gone;
			continue;
		}
		below = cs_path_below(entry->path, c->folders[c->folder].current);
		/* what no path can name is told only by listings of the folder */
		if (entry->refused != NULL && strncmp(entry->path, "//", 2) == 0)
			below = "?";
		if (entry->gone || below == NULL || below[0] == '\0' ||
			(!c->recursive && strchr(below, '/') != NULL))
			continue;
		inside[n++] = *entry;
	}
	cs_items_store(c, inside, n, now);
}

/* Changes, in order, and the cursor with them. */
static void
store_changes(CsCollect *c, const CsResult *result, TimestampTz now)
{
	CsFolder *folder = &c->folders[c->folder];
	Args args = {0};

	folder->look |= cs_tree_change(c, result->entries, result->n_entries, now);
	add_this_folder(&args, c);
	add(&args, TEXTOID, cs_utf8_or_null(result->cursor), result->cursor == NULL);
	add(&args, BOOLOID, BoolGetDatum(folder->look), false);
	execute("UPDATE cloudsync.channel_folder SET cursor = COALESCE($3, cursor), look = look OR $4 "
			"WHERE " THIS_FOLDER,
			&args);
}

/*
 * How many of a page's entries are stored at once. What a listing over a network
 * shows is stored piece by piece, so that the first is collected, and answers are
 * taken, before all of a large page is stored.
 */
static int
next_piece(const CsCollect *c, const CsResult *result)
{
	int left = result->n_entries - c->stored;

	if (c->folder_step == CS_FOLDER_FOLLOW || c->job.connection->service == NULL)
		return left;
	return Min(left, c->stored == 0 ? FIRST_PIECE : PIECE);
}

/* See listing.h. Nothing of what it shows is collected before it is stored. */
bool
cs_page_store(CsCollect *c, const CsResult *result, TimestampTz now)
{
	int n = next_piece(c, result);

	cs_begin("storing a page of a listing");
	if (c->folder_step == CS_FOLDER_FOLLOW)
		store_changes(c, result, now);
	else
		store_inside(c, result->entries + c->stored, n, now);
	cs_commit();
	c->shown = true;
	c->stored += n;
	if (c->stored < result->n_entries)
	{
		CS_CRASH_POINT("collect.after_piece");
		return false;
	}
	c->stored = 0;
	CS_CRASH_POINT("collect.after_page");
	return true;
}
