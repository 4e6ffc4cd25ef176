/*
 * collect_list.c
 *	  Listing: a channel's folders become rows of cloudsync.item, page by page,
 *	  each in a short transaction that writes only what changed (L8). Where the
 *	  service can, what changed is followed by a cursor, which is stored with the
 *	  page before it; otherwise, and once at first, all is listed. What a complete
 *	  listing did not show is gone; an incomplete one says nothing of what it did
 *	  not show (L10).
 *
 * Here a folder goes from step to step; what is stored of it is in
 * collect_folder.c, of a page in collect_page.c, what goes on meanwhile in
 * collect_beside.c; what pages show and tell is written by the files that
 * listing.h names.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "cloudsync/crash.h"
#include "cloudsync/path.h"
#include "listing.h"

static const CsProvider *
provider_of(const CsCollect *c)
{
	return c->job.connection->provider;
}

static char *
keep(CsCollect *c, const char *text)
{
	return text != NULL ? MemoryContextStrdup(c->job.context, text) : NULL;
}

static void
next_folder(CsCollect *c)
{
	c->folder++;
	c->folder_step = CS_FOLDER_BEGIN;
}

/* With which step a folder begins. */
static CsFolderStep
first_step(CsCollect *c, const CsFolder *folder)
{
	if (folder->following && IS_FED(c))
		return folder->look ? CS_FOLDER_LOOK : CS_FOLDER_ENTER;
	if (folder->following && folder->cursor != NULL && !folder->look)
		return CS_FOLDER_FOLLOW;
	/* one that was emptied is not there any more, and no less a folder */
	if (folder->current != NULL && provider_of(c)->implied_folders)
		return CS_FOLDER_LIST;
	if (folder->current == NULL && !provider_of(c)->stable_ids)
		return CS_FOLDER_SEEK;
	return CS_FOLDER_LOOK;
}

/* The next folder that came into this one; false: there is none (left). */
static bool
next_entered(CsCollect *c)
{
	Args args = {0};
	bool found;

	cs_begin("looking for folders that came in");
	add_this_folder(&args, c);
	add_int64(&args, c->entered_id, false);
	found = execute("SELECT item_id, path, remote_id FROM cloudsync.item WHERE " THIS_FOLDER " AND unlisted "
					"AND kind = 'folder' AND state IS DISTINCT FROM 'gone' AND item_id > $3 "
					"ORDER BY item_id LIMIT 1",
					&args) > 0;
	if (found)
	{
		c->entered_id = cs_get_int64(0, 1, 0);
		c->entered = keep(c, cs_get_utf8(0, 2));
		c->entered_remote_id = keep(c, cs_get_utf8(0, 3));
	}
	cs_commit();
	return found;
}

/* Is there a cursor of the account's feed, from before this listing? */
static bool
has_feed(CsCollect *c)
{
	Args args = {0};
	bool found;

	cs_begin("looking for a feed");
	add_int64(&args, c->job.connection->connection_id, false);
	found = execute("SELECT FROM cloudsync.feed WHERE connection_id = $1", &args) > 0;
	cs_commit();
	return found;
}

/* Of the folder's path from the root on, so many names; palloc'd. */
static char *
path_above(const CsFolder *folder, int names)
{
	const char *at = folder->current;

	for (int i = 0; i <= names && at != NULL; i++)
		at = strchr(i == 0 ? at : at + 1, '/');
	if (names == 0)
		return pstrdup("/");
	return at != NULL ? pnstrdup(folder->current, at - folder->current)
					  : pstrdup(folder->current);
}

static int
depth_of(const char *path)
{
	int depth = 0;

	for (; *path != '\0'; path++)
		depth += path[0] == '/' && path[1] != '\0';
	return depth;
}

static void
fill_op(CsCollect *c, CsFolder *folder, CsOp *op)
{
	bool by_id = provider_of(c)->stable_ids;

	op->kind = CS_OP_LIST;
	op->path = folder->current != NULL ? folder->current : "/";
	op->id = by_id ? folder->remote_id : NULL;
	op->recursive = c->recursive;
	switch (c->folder_step)
	{
		case CS_FOLDER_LOOK:
			op->kind = CS_OP_STAT;
			/* where it was is known to be wrong */
			if (op->id != NULL && folder->look)
				op->path = "/";
			break;
		case CS_FOLDER_AGAIN:
			op->kind = CS_OP_STAT;
			op->path = folder->path;
			op->id = NULL;
			break;
		case CS_FOLDER_ABOVE:
			op->kind = CS_OP_STAT;
			op->path = path_above(folder, list_length(folder->ancestors));
			op->id = NULL;
			break;
		case CS_FOLDER_SEEK:
			op->path = "/";
			op->id = NULL;
			op->recursive = true;
			break;
		case CS_FOLDER_FOLLOW:
			op->follow = true;
			op->cursor = folder->cursor;
			break;
		case CS_FOLDER_ENTER:
			op->path = c->entered;
			op->id = c->entered_remote_id;
			op->recursive = true;
			break;
		default: /* LIST */
			op->follow = provider_of(c)->incremental && !(IS_FED(c) && has_feed(c));
			op->seen = c->looked;
			cs_seen_begin(c);
			break;
	}
}

/* Asks for the step at hand; false: it needs nothing of the service. */
static bool
begin_step(CsCollect *c)
{
	CsFolder *folder = &c->folders[c->folder];
	CsOp op = {0};

	if (c->folder_step == CS_FOLDER_BEGIN)
	{
		c->entered_id = 0;
		c->new_cursor = NULL;
		c->folder_step = first_step(c, folder);
	}
	if (c->folder_step == CS_FOLDER_ABOVE &&
		list_length(folder->ancestors) >= depth_of(folder->current))
	{
		MemoryContext old = MemoryContextSwitchTo(c->job.context);

		folder->ancestors = lappend(folder->ancestors,
									folder->remote_id ? folder->remote_id : pstrdup(""));
		MemoryContextSwitchTo(old);
		c->folder_step = folder->following ? CS_FOLDER_ENTER : CS_FOLDER_CLOSE;
	}
	if (c->folder_step == CS_FOLDER_CLOSE ||
		(c->folder_step == CS_FOLDER_ENTER && !next_entered(c)))
		return false;
	fill_op(c, folder, &op);
	c->looked = false;
	c->list = cs_list_start(c, &op);
	c->stored = 0;
	c->job.phase = "list";
	strlcpy(c->job.file, op.path, sizeof(c->job.file));
	return true;
}

static bool
same_text(const char *a, const char *b)
{
	return (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
}

/* Looks for the folder's id among a page of the whole account. */
static void
seek_in_page(CsCollect *c, const CsResult *result)
{
	const char *id = c->folders[c->folder].remote_id;

	for (int i = 0; i < result->n_entries; i++)
	{
		const CsEntry *entry = &result->entries[i];

		if (entry->kind == CS_ENTRY_FOLDER && same_text(entry->id, id) &&
			c->sought == NULL)
			c->sought = keep(c, entry->path);
	}
}

/* It was looked at, or found elsewhere: its items are where it is now. */
static void
found_at(CsCollect *c, const CsEntry *entry)
{
	CsFolder *folder = &c->folders[c->folder];
	bool same = same_text(entry->id, folder->remote_id);
	Args args = {0};

	if (entry->id != NULL)
		folder->remote_id = keep(c, entry->id);
	if (c->folder_step == CS_FOLDER_AGAIN)
	{
		folder->current = folder->path;
		cs_begin("forgetting a cursor");
		cs_folder_forget_cursor(c);
		cs_commit();
	}
	if (!provider_of(c)->stable_ids || entry->path == NULL ||
		same_text(entry->path, folder->current))
		return;
	if (folder->current != NULL && cs_tree_same_path(c, entry->path, folder->current) &&
		strcmp(cs_path_name(entry->path), cs_path_name(folder->current)) == 0)
		return; /* another spelling of the folders that it is in */
	cs_begin("following a folder");
	if (folder->current != NULL && same)
		cs_tree_move(c, folder->current, entry->path, folder->folder_no);
	folder->current = keep(c, entry->path);
	add_this_folder(&args, c);
	add(&args, TEXTOID, cs_text_from_utf8(folder->current), false);
	execute("UPDATE cloudsync.channel_folder SET current_path = $3 WHERE " THIS_FOLDER, &args);
	/* a cursor of the folder as it was may tell nothing of it any more */
	if (!IS_FED(c))
		cs_folder_forget_cursor(c);
	cs_commit();
}

/*
 * Which step follows once the folder was seen, or listed. Before the account's
 * feed is followed, the folders that it is in are to be known.
 */
static void
seen_folder(CsCollect *c, bool listed)
{
	CsFolder *folder = &c->folders[c->folder];

	c->folder_step = listed ? CS_FOLDER_CLOSE : CS_FOLDER_LIST;
	if (!IS_FED(c) || !(listed || folder->following))
		return;
	folder->ancestors = NIL;
	c->folder_step = CS_FOLDER_ABOVE;
}

/* The id of a folder above; "" if that is not said. */
static void
take_above(CsCollect *c, const char *id)
{
	CsFolder *folder = &c->folders[c->folder];
	MemoryContext old = MemoryContextSwitchTo(c->job.context);

	folder->ancestors = lappend(folder->ancestors, pstrdup(id != NULL ? id : ""));
	MemoryContextSwitchTo(old);
}

/* All changes were told: the folder is up to date. */
static void
followed(CsCollect *c, const char *cursor)
{
	CsFolder *folder = &c->folders[c->folder];
	Args args = {0};

	cs_begin("storing a listing");
	cs_folder_store_listed(c);
	if (cursor != NULL)
	{
		add_this_folder(&args, c);
		add(&args, TEXTOID, cs_text_from_utf8(cursor), false);
		execute("UPDATE cloudsync.channel_folder SET cursor = $3 WHERE " THIS_FOLDER, &args);
	}
	cs_commit();
	if (folder->look)
		c->folder_step = CS_FOLDER_LOOK;
	else
		next_folder(c);
}

/* The folders that came in, up to now, were listed with what is in them. */
static void
entered(CsCollect *c, bool complete)
{
	Args args = {0};

	if (!complete)
		return;
	cs_begin("storing a listing");
	add_int64(&args, c->channel_id, false);
	add_int64(&args, c->entered_id, false);
	add(&args, TEXTOID, cs_text_from_utf8(psprintf("%s/", c->entered)), false);
	execute("UPDATE cloudsync.item SET unlisted = false WHERE channel_id = $1 AND unlisted "
			"AND (item_id = $2 OR starts_with(path, $3))",
			&args);
	cs_commit();
}

/* Nothing (more) came in: the folder is up to date with the feed. */
static void
all_entered(CsCollect *c)
{
	CsFolder *folder = &c->folders[c->folder];

	cs_begin("storing a listing");
	cs_folder_store_listed(c);
	if (folder->look)
		cs_folder_store_cursor(c); /* and the ids of the folders it is in */
	cs_commit();
	next_folder(c);
}

/* The listing is complete: what it did not show is gone, in as many steps as it takes. */
static bool
close_listing(CsCollect *c, TimestampTz now)
{
	if (!cs_seen_close(c))
	{
		c->job.wake_at = now;
		return false;
	}
	cs_begin("storing a listing");
	cs_folder_store_listed(c);
	cs_folder_store_cursor(c);
	cs_commit();
	cs_seen_end(c);
	next_folder(c);
	return true;
}

/* A look, a search or a listing came to its end. */
static void
step_done(CsCollect *c, const CsResult *result)
{
	CsFolder *folder = &c->folders[c->folder];
	CsFailure failure = {CS_FAIL_GONE};

	switch (c->folder_step)
	{
		case CS_FOLDER_LOOK:
		case CS_FOLDER_AGAIN:
			if (result->entry.kind == CS_ENTRY_FOLDER)
			{
				found_at(c, &result->entry);
				seen_folder(c, false);
				c->looked = true;
				return;
			}
			snprintf(failure.message, sizeof(failure.message),
					 "\"%.200s\" is not a folder", folder->current ? folder->current : folder->path);
			break;
		case CS_FOLDER_SEEK:
			if (c->sought != NULL)
			{
				folder->current = c->sought;
				c->folder_step = CS_FOLDER_LIST;
				return;
			}
			snprintf(failure.message, sizeof(failure.message),
					 "folder \"%.200s\" is not there", folder->path);
			break;
		case CS_FOLDER_ABOVE:
			take_above(c, result->entry.id);
			return;
		case CS_FOLDER_FOLLOW:
			followed(c, result->cursor);
			return;
		case CS_FOLDER_ENTER:
			entered(c, !result->incomplete);
			return;
		default:
			c->new_cursor = keep(c, result->cursor);
			if (c->unplaced)
			{
				cs_begin("noting where a feed goes on");
				cs_folder_store_feed(c);
				cs_commit();
				c->unplaced = false;
				return;
			}
			if (!result->incomplete)
			{
				seen_folder(c, true);
				return;
			}
			cs_begin("storing a listing");
			cs_folder_store_listed(c);
			cs_commit();
			cs_seen_end(c);
			next_folder(c);
			return;
	}
	cs_folder_failed(c, &failure);
	next_folder(c);
}

/* Follows it wherever its cursor, or its path, does not lead any more. */
static bool
goes_on(CsCollect *c, const CsFailure *failure)
{
	CsFolder *folder = &c->folders[c->folder];
	bool gone = failure->failure_class == CS_FAIL_GONE;

	switch (c->folder_step)
	{
		case CS_FOLDER_FOLLOW:
			if (!gone && failure->failure_class != CS_FAIL_RESET)
				return false;
			cs_begin("forgetting a cursor");
			cs_folder_forget_cursor(c);
			cs_commit();
			c->folder_step = CS_FOLDER_LOOK;
			return true;
		case CS_FOLDER_LOOK:
			if (!gone || folder->remote_id == NULL)
				return false;
			if (provider_of(c)->stable_ids && strncmp(folder->path, "id:", 3) == 0)
				return false;
			c->folder_step = provider_of(c)->stable_ids ? CS_FOLDER_AGAIN : CS_FOLDER_SEEK;
			return true;
		case CS_FOLDER_ABOVE:
			if (cs_failure_is_connections(failure->failure_class))
				return false;
			take_above(c, NULL);
			return true;
		case CS_FOLDER_ENTER:
			if (!gone)
				return false;
			cs_begin("storing a listing");
			cs_tree_gone(c, c->entered);
			cs_commit();
			return true;
		default:
			return false;
	}
}

static void
step_failed(CsCollect *c, const CsFailure *failure)
{
	if (goes_on(c, failure))
		return;
	cs_folder_failed(c, failure);
	next_folder(c);
}

/* A page has come; the next one is asked for once all of it is stored. */
static void
take_page(CsCollect *c, TimestampTz now)
{
	if (c->folder_step == CS_FOLDER_SEEK)
		seek_in_page(c, &c->list->result);
	else if (!cs_page_store(c, &c->list->result, now))
	{
		c->job.wake_at = now; /* the next piece, after other work */
		return;
	}
	cs_transfer_continue(c->list);
}

/* One step further; false: it waits. */
static bool
advance(CsCollect *c, TimestampTz now)
{
	CsResult result;

	if (c->list == NULL)
	{
		if (begin_step(c)) /* one that was begun ahead may have come */
			return c->list->state != CS_TRANSFER_RUNNING;
		if (c->folder_step == CS_FOLDER_CLOSE)
			return close_listing(c, now);
		all_entered(c);
		return true;
	}
	switch (c->list->state)
	{
		case CS_TRANSFER_PAGE:
			take_page(c, now);
			return false;
		case CS_TRANSFER_DONE:
			step_done(c, &c->list->result);
			cs_collect_end(c, &c->list);
			return true;
		case CS_TRANSFER_FAILED:
			result = c->list->result;
			cs_collect_end(c, &c->list);
			step_failed(c, &result.failure);
			return true;
		default:
			return false;
	}
}

/* See collect.h. */
bool
cs_collect_list(CsCollect *c, TimestampTz now)
{
	if (c->list_since == 0)
		c->list_since = GetCurrentTimestamp();
	if (IS_FED(c) && (!cs_feed_acquire(c, now) || (!c->feed_done && !cs_feed_read(c, now))))
		return false;
	c->feed_done = true;
	while (c->folder < c->n_folders)
	{
		if (!advance(c, now))
		{
			cs_list_beside(c, now);
			return false;
		}
	}
	cs_list_beside_end(c);
	cs_feed_release(c);
	return true;
}
