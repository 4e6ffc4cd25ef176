/*
 * collect_feed.c
 *	  The feed of an account's or drive's changes (L11): read once from one
 *	  cursor, and applied page by page to the items of all channels of the
 *	  connection that it concerns, with the cursor in the same transaction (L8).
 *
 * What is applied must not be older than what a listing shows that goes on at
 * the same time: so of a connection's jobs one at a time reads the feed or lists.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "cloudsync/crash.h"
#include "listing.h"

#define WAIT_MS 100

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
	ids = cs_change_ids(result->entries, result->n_entries);
	add_int64(&args, c->job.connection->connection_id, false);
	add_columns(&args, &ids, 1);
	n = execute("SELECT h.channel_id FROM cloudsync.channel h WHERE h.connection_id = $1 AND h.deleted_at IS NULL "
				"AND h.channel_id IN (SELECT i.channel_id FROM cloudsync.item i "
				"WHERE i.remote_id = ANY ($2) AND i.path_key IS NOT NULL "
				"UNION SELECT i.channel_id FROM cloudsync.item i WHERE i.link_id = ANY ($2) "
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
			cs_change_apply(view, result->entries, result->n_entries, &ids, now);
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

/* While this job waited, another may have found the feed refused. */
static bool
still_follows(CsCollect *c)
{
	bool follows = false;
	Args args = {0};
	uint64 n;

	add_int64(&args, c->channel_id, false);
	n = execute("SELECT folder_no FROM cloudsync.channel_folder WHERE channel_id = $1 AND listed_epoch IS NULL", &args);
	for (uint64 row = 0; row < n; row++)
	{
		for (int i = 0; i < c->n_folders; i++)
		{
			if (c->folders[i].folder_no == cs_get_int64(row, 1, 0))
				c->folders[i].following = false;
		}
	}
	for (int i = 0; i < c->n_folders; i++)
		follows |= c->folders[i].following;
	return follows;
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
	follows = still_follows(c);
	add_int64(&args, c->job.connection->connection_id, false);
	if (follows && execute("SELECT cursor FROM cloudsync.feed WHERE connection_id = $1", &args) > 0)
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
