/*
 * collect.c
 *	  Collecting: which runs a worker takes, and the job that carries one
 *	  through listing, receiving, settling and moving away (L1 to L12).
 *
 * The phases are in collect_list.c, collect_receive.c, collect_settle.c and
 * collect_move.c; here are the claim, the end, and what the phases share.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "cloudsync/collect.h"
#include "cloudsync/crash.h"
#include "cloudsync/db.h"
#include "cloudsync/path.h"
#include "cloudsync/run.h"
#include "cloudsync/settings.h"
#include "cloudsync/wake.h"
#include "cloudsync/watch.h"
#include "listing.h"

static void collect_advance(CsJob *job, TimestampTz now);
static void collect_fail(CsJob *job, const ErrorData *error, TimestampTz now);
static void collect_measure(CsJob *job);

static const CsJobMethods collect_methods = {"collect", collect_advance,
											 collect_fail, collect_measure};
static const CsJobMethods refresh_methods = {"refresh", collect_advance,
											 collect_fail, NULL};

static List *
read_patterns(CsCollect *c, uint64 row, int column)
{
	bool isnull;
	Datum array = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
								column, &isnull);
	bool ignore_case = c->job.connection->provider->names.ignore_case;
	Datum *values;
	int n;
	List *result = NIL;

	if (isnull)
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false,
					  TYPALIGN_INT, &values, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(c->job.context);
		char *wanted = TextDatumGetCString(values[i]);
		CsPatternError error;
		CsPattern *pattern = cs_pattern_compile(
			pg_server_to_any(wanted, (int) strlen(wanted), PG_UTF8),
			ignore_case, &error);

		if (pattern == NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("pattern \"%s\" is not valid: %s", wanted,
								   error.message)));
		result = lappend(result, pattern);
		MemoryContextSwitchTo(old);
	}
	return result;
}

static char *
keep_utf8(CsCollect *c, uint64 row, int column)
{
	char *text = cs_get_utf8(row, column);

	return text == NULL ? NULL : MemoryContextStrdup(c->job.context, text);
}

static List *
read_ids(CsCollect *c, uint64 row, int column)
{
	bool isnull;
	Datum array = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
								column, &isnull);
	Datum *values;
	bool *nulls;
	int n;
	List *ids = NIL;
	MemoryContext old = MemoryContextSwitchTo(c->job.context);

	if (!isnull)
	{
		deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false,
						  TYPALIGN_INT, &values, &nulls, &n);
		for (int i = 0; i < n; i++)
			ids = lappend(ids, nulls[i] ? pstrdup("")
										: TextDatumGetCString(values[i]));
	}
	MemoryContextSwitchTo(old);
	return ids;
}

static void
read_folders(CsCollect *c)
{
	Oid types[1] = {INT8OID};
	Datum values[1] = {Int64GetDatum(c->channel_id)};

	c->n_folders = (int) cs_execute(
		"SELECT f.folder_no, f.path, f.remote_id, f.current_path, f.listed_epoch, f.listed_limit, "
		"f.cursor, f.look, f.ancestors "
		"FROM cloudsync.channel_folder f WHERE f.channel_id = $1 ORDER BY f.folder_no",
		1, types, values, NULL, true);
	c->folders = MemoryContextAllocZero(c->job.context,
										Max(c->n_folders, 1) * sizeof(CsFolder));
	for (int i = 0; i < c->n_folders; i++)
	{
		CsFolder *folder = &c->folders[i];

		folder->folder_no = (int32) cs_get_int64(i, 1, 0);
		folder->path = keep_utf8(c, i, 2);
		folder->remote_id = keep_utf8(c, i, 3);
		folder->current = keep_utf8(c, i, 4);
		if (strncmp(folder->path, "id:", 3) == 0)
			folder->remote_id = folder->path + 3;
		else if (folder->current == NULL)
			folder->current = folder->path;
		folder->following = c->job.connection->provider->incremental &&
							cs_get_int64(i, 5, 0) == c->epoch &&
							cs_get_int64(i, 6, -1) == cs_collect_limit(c);
		folder->cursor = keep_utf8(c, i, 7);
		folder->look = cs_get_bool(i, 8, false);
		folder->ancestors = read_ids(c, i, 9);
	}
}

/* See collect.h. */
bool
cs_collect_read_channel(CsCollect *c)
{
	Oid types[1] = {INT8OID};
	Datum values[1] = {Int64GetDatum(c->channel_id)};
	char *text;

	if (cs_execute("SELECT h.name, h.recipient, h.binder, h.recursive, h.max_size, h.dedup, "
				   "h.after_collect, h.include, h.exclude, h.auto_collect, h.listing_epoch "
				   "FROM cloudsync.channel h WHERE h.channel_id = $1 AND h.deleted_at IS NULL",
				   1, types, values, NULL, true) == 0)
		return false;
	c->channel = keep_utf8(c, 0, 1);
	c->recipient = keep_utf8(c, 0, 2);
	c->binder = keep_utf8(c, 0, 3);
	c->recursive = cs_get_bool(0, 4, true);
	c->max_size = cs_get_int64(0, 5, 0);
	text = cs_get_text(0, 6);
	c->dedup = strcmp(text, "item") == 0	  ? CS_DEDUP_ITEM
			   : strcmp(text, "version") == 0 ? CS_DEDUP_VERSION
											  : CS_DEDUP_CONTENT;
	text = keep_utf8(c, 0, 7);
	if (strncmp(text, "move:", 5) == 0)
		c->move_folder = text + 5;
	c->include = read_patterns(c, 0, 8);
	c->exclude = read_patterns(c, 0, 9);
	c->auto_collect = cs_get_bool(0, 10, false);
	c->epoch = (int32) cs_get_int64(0, 11, 0);
	read_folders(c);
	return true;
}

typedef struct Claim
{
	int64 run_id;
	int64 channel_id;
	int64 document_id;
	bool refresh;
	CsConnection *connection;
	TimestampTz now;
	CsCollect *c; /* made by claim_one */
} Claim;

/* All runs of the same kind that are queued for the channel share this one. */
static void
take_runs(Claim *claim)
{
	Oid types[6] = {INT8OID, INT8OID, INT8OID, TEXTOID, TIMESTAMPTZOID, INT8OID};
	Datum values[6];

	values[0] = Int64GetDatum(claim->run_id);
	values[1] = Int64GetDatum(claim->connection->connection_id);
	values[2] = Int64GetDatum(claim->channel_id);
	values[3] = CStringGetTextDatum(claim->refresh ? "refresh" : "collect");
	values[4] = TimestampTzGetDatum(claim->now);
	values[5] = Int64GetDatum(claim->document_id);
	cs_execute("UPDATE cloudsync.run SET state = 'running', started_at = COALESCE(started_at, $5), "
			   "attempts = attempts + 1, "
			   "shared_run_id = CASE WHEN run_id <> $1 THEN $1 END "
			   "WHERE connection_id = $2 AND channel_id = $3 AND kind = $4 AND state = 'queued' "
			   "AND NOT cancel_requested AND COALESCE(document_id, 0) = $6 "
			   "AND (not_before IS NULL OR not_before <= $5)",
			   6, types, values, NULL, false);
}

static void
read_request(CsCollect *c)
{
	Oid types[1] = {INT8OID};
	Datum values[1] = {Int64GetDatum(c->job.run_id)};

	cs_execute("SELECT COALESCE((SELECT r.requested_by FROM cloudsync.run r "
			   "WHERE (r.run_id = $1 OR r.shared_run_id = $1) AND r.origin = 'manual' "
			   "AND r.connection_id = l.connection_id AND r.state = 'running' "
			   "ORDER BY r.run_id LIMIT 1), 'auto'), "
			   "EXISTS (SELECT FROM cloudsync.run r WHERE (r.run_id = $1 OR r.shared_run_id = $1) "
			   "AND r.origin = 'manual' AND r.connection_id = l.connection_id AND r.state = 'running'), "
			   "l.origin = 'auto' FROM cloudsync.run l WHERE l.run_id = $1",
			   1, types, values, NULL, false); /* sees what take_runs did */
	c->synced_by = keep_utf8(c, 0, 1);
	c->by_hand = cs_get_bool(0, 2, false);
	c->moves_only = !c->by_hand && !c->auto_collect && cs_get_bool(0, 3, false);
}

/* In a subtransaction: one execution. */
static void
claim_one(void *arg)
{
	Claim *claim = arg;
	MemoryContext context = AllocSetContextCreate(
		claim->connection->context, "cloudsync collection", ALLOCSET_DEFAULT_SIZES);
	CsCollect *c = MemoryContextAllocZero(context, sizeof(CsCollect));

	claim->c = c;
	c->job.methods = claim->refresh ? &refresh_methods : &collect_methods;
	c->job.connection = claim->connection;
	c->job.run_id = claim->run_id;
	c->job.context = context;
	c->job.wake_at = DT_NOEND;
	c->job.phase = "claim";
	c->channel_id = claim->channel_id;
	c->refresh = claim->refresh;
	c->recollect = claim->document_id;
	take_runs(claim);
	if (!cs_collect_read_channel(c))
	{
		cs_run_end(c->job.run_id, c->job.methods->kind, "cancelled",
				   "the channel was deleted", claim->now);
		c->job.finished = true;
		return;
	}
	read_request(c);
	c->phase = c->refresh || c->recollect != 0
				   ? (c->refresh ? CS_COLLECT_LIST : CS_COLLECT_RECEIVE)
				   : CS_COLLECT_MOVE_LEFT;
}

static bool
is_busy(CsConnection *connection, int64 channel_id)
{
	ListCell *cell;

	foreach (cell, connection->jobs)
	{
		CsJob *job = lfirst(cell);

		if ((job->methods == &collect_methods ||
			 job->methods == &refresh_methods) &&
			((CsCollect *) job)->channel_id == channel_id)
			return true;
	}
	return false;
}

/* Claims one of the executions found; false if it could not be. */
static bool
claim_in_transaction(Claim *claim)
{
	ErrorData *error = NULL;
	MemoryContext old;

	claim->c = NULL;
	if (is_busy(claim->connection, claim->channel_id))
		return false;
	if (!cs_try(claim_one, claim, &error))
	{
		if (claim->c != NULL)
			MemoryContextDelete(claim->c->job.context);
		take_runs(claim);
		cs_run_end(claim->run_id, claim->refresh ? "refresh" : "collect",
				   "failed", cs_error_text(error), claim->now);
		return false;
	}
	if (claim->c->job.finished)
	{
		MemoryContextDelete(claim->c->job.context);
		return false;
	}
	old = MemoryContextSwitchTo(claim->connection->context);
	claim->connection->jobs = lappend(claim->connection->jobs, claim->c);
	MemoryContextSwitchTo(old);
	return true;
}

/* See engine.h. One run a channel at a time; those asked for by hand first. */
int
cs_collect_claim(CsConnection *connection, int max, TimestampTz now)
{
	Oid types[2] = {INT8OID, TIMESTAMPTZOID};
	Datum values[2] = {Int64GetDatum(connection->connection_id),
					   TimestampTzGetDatum(now)};
	Claim *claims;
	uint64 n;
	int taken = 0;

	if (max <= 0)
		return 0;
	cs_begin("claiming collections");
	n = cs_execute("SELECT min(r.run_id), r.channel_id, COALESCE(r.document_id, 0), r.kind = 'refresh' "
				   "FROM cloudsync.run r WHERE r.connection_id = $1 AND r.state = 'queued' "
				   "AND r.kind IN ('collect', 'refresh') AND NOT r.cancel_requested "
				   "AND (r.not_before IS NULL OR r.not_before <= $2) "
				   "GROUP BY r.channel_id, COALESCE(r.document_id, 0), r.kind "
				   "ORDER BY bool_or(r.origin = 'manual') DESC, min(r.run_id) LIMIT 100",
				   2, types, values, NULL, true);
	claims = palloc0(Max(n, 1) * sizeof(Claim));
	for (uint64 i = 0; i < n; i++)
	{
		claims[i].run_id = cs_get_int64(i, 1, 0);
		claims[i].channel_id = cs_get_int64(i, 2, 0);
		claims[i].document_id = cs_get_int64(i, 3, 0);
		claims[i].refresh = cs_get_bool(i, 4, false);
		claims[i].connection = connection;
		claims[i].now = now;
	}
	for (uint64 i = 0; i < n && taken < max; i++)
		taken += claim_in_transaction(&claims[i]) ? 1 : 0;
	cs_commit();
	if (taken > 0)
		CS_CRASH_POINT("collect.after_claim");
	return taken;
}

/* What a run leaves on its channel: when it was, and when to try again. */
static void
note_channel(CsCollect *c, bool ok, TimestampTz now)
{
	Oid types[6] = {INT8OID, INT8OID, TIMESTAMPTZOID, TEXTOID, BOOLOID, INT8OID};
	Datum values[6];

	values[0] = Int64GetDatum(c->channel_id);
	values[1] = Int64GetDatum(c->job.run_id);
	values[2] = TimestampTzGetDatum(now);
	values[3] = cs_text_from_utf8(c->synced_by);
	values[4] = BoolGetDatum(ok);
	values[5] = Int64GetDatum(cs_jittered(60000));
	cs_execute("UPDATE cloudsync.channel h SET last_run_id = $2, "
			   "last_synced_at = CASE WHEN $5 THEN $3 ELSE h.last_synced_at END, "
			   "synced_by = CASE WHEN $5 THEN $4 ELSE h.synced_by END, "
			   "failures = CASE WHEN $5 THEN 0 ELSE h.failures + 1 END, "
			   "retry_at = CASE WHEN h.deleted_at IS NULL THEN LEAST("
			   "CASE WHEN h.auto_collect AND NOT $5 "
			   "THEN $3 + $6 * interval '1 millisecond' * LEAST(power(2, LEAST(h.failures, 10)), 360) END, "
			   "(SELECT min(i.next_try_at) FROM cloudsync.item i WHERE i.channel_id = h.channel_id "
			   "AND h.auto_collect AND i.state IN ('new', 'failed') AND i.next_try_at IS NOT NULL), "
			   "(SELECT min(i.next_try_at) FROM cloudsync.item i WHERE i.connection_id = h.connection_id "
			   "AND i.channel_id = h.channel_id AND i.move_to IS NOT NULL)) END "
			   "WHERE h.channel_id = $1",
			   6, types, values, NULL, false);
}

/* What is watched hears that the run has ended, or is watched from now on. */
static void
tell_watcher(const CsCollect *c)
{
	if (cs_watch_asked(c->job.connection))
		cs_wake_on_commit(true);
}

/* Settles the run: its state follows from what was counted and noted. */
static void
finish(CsCollect *c, TimestampTz now)
{
	Oid types[2] = {INT8OID, INT8OID};
	Datum values[2] = {Int64GetDatum(c->job.run_id),
					   Int64GetDatum(c->requests)};
	bool all_folders_failed =
		c->n_folders > 0 && c->folders_failed == c->n_folders;
	const char *state = "succeeded";

	cs_begin("ending a collection");
	cs_execute("UPDATE cloudsync.run SET requests = requests + $2 WHERE run_id = $1 "
			   "RETURNING files_failed",
			   2, types, values, NULL, false);
	if (all_folders_failed || (c->recollect != 0 && c->error != NULL))
		state = "failed";
	else if (c->error != NULL || cs_get_int64(0, 1, 0) > 0)
		state = "partial";
	cs_run_end(c->job.run_id, c->job.methods->kind, state, c->error, now);
	note_channel(c, strcmp(state, "succeeded") == 0 ||
						(strcmp(state, "partial") == 0 && c->paused == NULL &&
						 c->folders_failed == 0),
				 now);
	cs_connection_note(c->job.connection, NULL, now);
	tell_watcher(c);
	cs_commit();
	c->requests = 0;
	c->job.finished = true;
}

/* The job: phase after phase, as far as it goes without waiting. */
static void
collect_advance(CsJob *job, TimestampTz now)
{
	CsCollect *c = (CsCollect *) job;

	job->wake_at = DT_NOEND;
	for (;;)
	{
		switch (c->phase)
		{
			case CS_COLLECT_MOVE_LEFT:
				if (!cs_collect_move(c, now))
					return;
				c->phase = c->moves_only ? CS_COLLECT_FINISH : CS_COLLECT_LIST;
				break;
			case CS_COLLECT_LIST:
				if (!cs_collect_list(c, now))
					return;
				c->phase = c->refresh ? CS_COLLECT_FINISH : CS_COLLECT_RECEIVE;
				break;
			case CS_COLLECT_RECEIVE:
				if (!cs_collect_receive(c, now))
					return;
				c->phase = CS_COLLECT_MOVE;
				break;
			case CS_COLLECT_MOVE:
				if (!cs_collect_move(c, now))
					return;
				c->phase = CS_COLLECT_FINISH;
				break;
			case CS_COLLECT_FINISH:
				finish(c, now);
				return;
		}
	}
}

static void
collect_measure(CsJob *job)
{
	CsCollect *c = (CsCollect *) job;
	ListCell *cell;

	job->bytes_done = c->ended_bytes;
	foreach (cell, c->running)
	{
		const CsFetch *f = lfirst(cell);

		if (f->transfer != NULL)
			job->bytes_done += f->transfer->bytes_done;
	}
}

static void
end_fetches(CsCollect *c, List *fetches)
{
	ListCell *cell;

	foreach (cell, fetches)
	{
		CsFetch *f = lfirst(cell);

		if (f->transfer != NULL)
			cs_collect_end(c, &f->transfer);
	}
}

static void
end_transfers(CsCollect *c)
{
	ListCell *cell;

	end_fetches(c, c->running);
	end_fetches(c, c->arrived);
	end_fetches(c, c->todo);
	end_fetches(c, c->unstable);
	foreach (cell, c->moves)
	{
		CsAway *away = lfirst(cell);

		if (away->transfer != NULL)
			cs_collect_end(c, &away->transfer);
	}
	if (c->list != NULL)
		cs_collect_end(c, &c->list);
	if (c->list_ahead != NULL)
		cs_collect_end(c, &c->list_ahead);
	if (c->make_folder != NULL)
		cs_collect_end(c, &c->make_folder);
	cs_feed_release(c);
	/* one that an error left between being taken out of a list and ended */
	c->job.connection->transfers -= c->transfers;
	c->transfers = 0;
}

/* An error, or somebody cancelled the run: what was settled stays. */
static void
collect_fail(CsJob *job, const ErrorData *error, TimestampTz now)
{
	CsCollect *c = (CsCollect *) job;

	end_transfers(c);
	job->finished = true;
	cs_begin("ending a collection");
	cs_content_drop_run(job->connection->connection_id, job->run_id);
	cs_run_end(job->run_id, job->methods->kind,
			   error != NULL && !c->cancelled ? "failed" : "cancelled",
			   error != NULL ? cs_error_text(error) : "cancelled", now);
	if (error != NULL && !c->cancelled)
		note_channel(c, false, now);
	tell_watcher(c);
	cs_commit();
}
