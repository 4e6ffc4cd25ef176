/*
 * collect_move.c
 *	  after_collect 'move:/Folder' (L12): where a collected file is to go was
 *	  written down with the document; here it goes there, and is tried again by
 *	  the next run until it is done. A name that is taken there gets a number,
 *	  written down before the move, so that a crash in between is recognised.
 *
 * "The target of move: is never collected" (L7) holds for what was moved there:
 * the file's id and version are in the dedup records, wherever it lies. What
 * somebody else puts into that folder has no record; where the folder lies below
 * the channel's own it is listed, collected, and stays where it is (L12).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "cloudsync/collect.h"
#include "cloudsync/crash.h"
#include "cloudsync/db.h"
#include "cloudsync/name.h"
#include "cloudsync/path.h"
#include "cloudsync/run.h"

#define LOAD_AT_ONCE 100
#define MOVES_AT_ONCE 8
#define MAX_NUMBER 1000

static void
load_moves(CsCollect *c, TimestampTz now)
{
	Oid types[4] = {INT8OID, INT8OID, TIMESTAMPTZOID, BOOLOID};
	Datum values[4];
	uint64 n;
	MemoryContext old;

	values[0] = Int64GetDatum(c->channel_id);
	values[1] = Int64GetDatum(c->last_move_id);
	values[2] = TimestampTzGetDatum(now);
	values[3] = BoolGetDatum(c->by_hand);
	cs_begin("looking for collected files to move");
	n = cs_execute("SELECT i.item_id, i.path, i.move_to, i.remote_id, d.remote_version, i.attempts "
				   "FROM cloudsync.item i LEFT JOIN cloudsync.document d ON d.document_id = i.document_id "
				   "WHERE i.channel_id = $1 AND i.move_to IS NOT NULL AND i.item_id > $2 "
				   "AND ($4 OR i.next_try_at IS NULL OR i.next_try_at <= $3) "
				   "ORDER BY i.item_id LIMIT 100",
				   4, types, values, NULL, true);
	old = MemoryContextSwitchTo(c->job.context);
	for (uint64 i = 0; i < n; i++)
	{
		CsAway *away = palloc0(sizeof(CsAway));

		away->item_id = cs_get_int64(i, 1, 0);
		away->path = MemoryContextStrdup(c->job.context, cs_get_utf8(i, 2));
		away->to_path = MemoryContextStrdup(c->job.context, cs_get_utf8(i, 3));
		if (cs_get_utf8(i, 4) != NULL)
			away->remote_id =
				MemoryContextStrdup(c->job.context, cs_get_utf8(i, 4));
		if (cs_get_utf8(i, 5) != NULL)
			away->version =
				MemoryContextStrdup(c->job.context, cs_get_utf8(i, 5));
		away->attempts = (int) cs_get_int64(i, 6, 0);
		away->wanted = cs_path_join(cs_path_parent(away->to_path),
									cs_path_name(away->path));
		away->number = 1;
		away->key = cs_name_key(away->to_path, &c->job.connection->provider->names);
		c->last_move_id = away->item_id;
		c->moves = lappend(c->moves, away);
	}
	MemoryContextSwitchTo(old);
	cs_commit();
	if (n < LOAD_AT_ONCE)
		c->moves_loaded = true;
}

/* In a transaction: what became of a move. move_to NULL: nothing is left to do. */
static void
set_move(CsCollect *c, CsAway *away, const char *move_to, bool gone,
		 const char *reason, TimestampTz next_try_at)
{
	Oid types[6] = {INT8OID, TEXTOID, BOOLOID,
					TEXTOID, TIMESTAMPTZOID, INT8OID};
	Datum values[6];
	char nulls[7] = "      ";

	values[0] = Int64GetDatum(away->item_id);
	values[1] = move_to ? cs_text_from_utf8(move_to) : 0;
	nulls[1] = move_to ? ' ' : 'n';
	values[2] = BoolGetDatum(gone);
	values[3] = reason ? cs_text_from_utf8(reason) : 0;
	nulls[3] = reason ? ' ' : 'n';
	values[4] = TimestampTzGetDatum(next_try_at);
	nulls[4] = next_try_at != 0 ? ' ' : 'n';
	values[5] = Int64GetDatum(c->job.run_id);
	cs_execute("UPDATE cloudsync.item SET move_to = $2, reason = $4, next_try_at = $5, listing = $6, "
			   "state = CASE WHEN $3 THEN 'gone' ELSE state END, seen_at = clock_timestamp(), "
			   "attempts = CASE WHEN $5 IS NULL THEN 0 ELSE attempts + 1 END "
			   "WHERE item_id = $1",
			   6, types, values, nulls, false);
}

static void
add_move_history(CsCollect *c, CsAway *away, const char *error)
{
	Oid types[5] = {INT8OID, INT8OID, TEXTOID, TEXTOID, BOOLOID};
	Datum values[5];
	char nulls[6] = "     ";

	values[0] = Int64GetDatum(c->job.run_id);
	values[1] = Int64GetDatum(c->job.connection->connection_id);
	values[2] = cs_text_from_utf8(
		error ? away->path : psprintf("%s -> %s", away->path, away->to_path));
	values[3] = error ? cs_text_from_utf8(error) : 0;
	nulls[3] = error ? ' ' : 'n';
	values[4] = BoolGetDatum(error != NULL);
	cs_execute("WITH r AS (UPDATE cloudsync.run SET files_failed = files_failed + 1 "
			   "WHERE run_id = $1 AND $5) "
			   "INSERT INTO cloudsync.run_file (run_id, connection_id, action, path, error) "
			   "VALUES ($1, $2, 'move', $3, $4)",
			   5, types, values, nulls, false);
}

static void
start_move(CsCollect *c, CsAway *away)
{
	CsOp op = {0};

	op.kind = CS_OP_MOVE;
	op.path = away->path;
	op.id = away->remote_id;
	op.to_path = away->to_path;
	op.known_version = away->version;
	away->transfer = cs_collect_start(c, &op, NULL);
	c->job.phase = "move";
	strlcpy(c->job.file, away->path, sizeof(c->job.file));
}

/* Whether the next number is to be tried: somebody's file has the name. */
static bool
next_name(CsCollect *c, CsAway *away)
{
	char *name;
	MemoryContext old;

	if (++away->number > MAX_NUMBER)
		return false;
	old = MemoryContextSwitchTo(c->job.context);
	name = cs_name_numbered(cs_path_name(away->wanted), away->number,
							CS_NAME_FILE, &c->job.connection->provider->names);
	away->to_path = cs_path_join(cs_path_parent(away->wanted), name);
	away->key = cs_name_key(away->to_path, &c->job.connection->provider->names);
	MemoryContextSwitchTo(old);
	cs_begin("moving a collected file");
	set_move(c, away, away->to_path, false, NULL, 0);
	cs_commit();
	return true;
}

/* True: the move is over, done or not; false: it was started again. */
static bool
move_stopped(CsCollect *c, CsAway *away, TimestampTz now)
{
	CsFailure failure = away->transfer->result.failure;
	bool done = away->transfer->state == CS_TRANSFER_DONE;
	char *text;

	cs_collect_end(c, &away->transfer);
	if (done)
	{
		CS_CRASH_POINT("collect.after_move");
		cs_begin("moving a collected file");
		set_move(c, away, NULL, true, psprintf("moved to %s", away->to_path), 0);
		add_move_history(c, away, NULL);
		cs_commit();
		return true;
	}
	if (cs_failure_is_connections(failure.failure_class))
		cs_collect_connection_failed(c, &failure);
	text = cs_failure_text(&failure);
	if (failure.failure_class == CS_FAIL_CONFLICT &&
		strstr(failure.message, away->path) != failure.message + 1 &&
		next_name(c, away))
	{
		start_move(c, away);
		return false;
	}
	cs_begin("moving a collected file");
	if (failure.failure_class == CS_FAIL_GONE)
		set_move(c, away, NULL, true, NULL, 0);
	else if (failure.failure_class == CS_FAIL_CONFLICT)
		/* changed since: it is not the file that was collected any more */
		set_move(c, away, NULL, false, text, 0);
	else
	{
		set_move(c, away, away->to_path, false, text,
				 TimestampTzPlusMilliseconds(
					 now, cs_collect_backoff_ms(away->attempts)));
		add_move_history(c, away, text);
		cs_collect_note_error(c, text);
	}
	cs_commit();
	return true;
}

/* Makes the folder of the first once; true when it is there. */
static bool
folder_made(CsCollect *c)
{
	CsOp op = {0};
	CsFailure failure;

	if (c->made_folder != NULL)
		return true;
	op.kind = CS_OP_MKDIR;
	op.path = cs_path_parent(((CsAway *) linitial(c->moves))->to_path);
	if (c->make_folder == NULL)
	{
		c->make_folder = cs_collect_start(c, &op, NULL);
		return false;
	}
	if (c->make_folder->state == CS_TRANSFER_RUNNING)
		return false;
	failure = c->make_folder->result.failure;
	if (c->make_folder->state == CS_TRANSFER_FAILED &&
		cs_failure_is_connections(failure.failure_class))
		cs_collect_connection_failed(c, &failure);
	/* any other failure shows in the moves themselves */
	cs_collect_end(c, &c->make_folder);
	c->made_folder = MemoryContextStrdup(c->job.context, op.path);
	return true;
}

/*
 * Into the folder that is there, and under a name that none before it takes, and
 * none that is under way: not every service refuses a second one of a name.
 */
static bool
may_start(CsCollect *c, int at)
{
	CsAway *away = list_nth(c->moves, at);

	if (strcmp(cs_path_parent(away->to_path), c->made_folder) != 0)
		return false;
	for (int i = 0; i < list_length(c->moves); i++)
	{
		const CsAway *other = list_nth(c->moves, i);

		if ((i < at || other->transfer != NULL) && strcmp(other->key, away->key) == 0)
			return false;
	}
	return true;
}

/*
 * Ends and starts moves, in their order; how many are under way. A service that
 * would have its changes in batches takes one of them at a time.
 */
static int
go_on_moving(CsCollect *c, TimestampTz now)
{
	int at_once = c->job.connection->provider->put_many > 0 ? 1 : MOVES_AT_ONCE;
	int under_way = 0;

	for (int i = 0; i < list_length(c->moves) && under_way < at_once; i++)
	{
		CsAway *away = list_nth(c->moves, i);

		if (away->transfer == NULL)
		{
			if (!may_start(c, i) || (under_way > 0 && !cs_collect_slot(c)))
				continue;
			start_move(c, away);
		}
		else if (away->transfer->state != CS_TRANSFER_RUNNING && move_stopped(c, away, now))
		{
			c->moves = list_delete_nth_cell(c->moves, i--);
			continue;
		}
		under_way++;
	}
	return under_way;
}

/* See collect.h. Several at a time: each is a request whose answer takes a while. */
bool
cs_collect_move(CsCollect *c, TimestampTz now)
{
	for (;;)
	{
		if (c->moves == NIL)
		{
			if (c->moves_loaded)
				break;
			load_moves(c, now);
			continue;
		}
		if (!folder_made(c))
			return false;
		if (go_on_moving(c, now) > 0)
			return false;
		/* the next ones go elsewhere */
		c->made_folder = NULL;
	}
	c->moves_loaded = false;
	c->last_move_id = 0;
	c->made_folder = NULL;
	return true;
}
