/*
 * watch.c
 *	  Watching folders (include/cloudsync/watch.h): for each folder of a channel
 *	  that has a cursor, one request is held open at its service (CS_OP_WATCH). When
 *	  it tells of a change a run is queued; what it finds, and a new cursor, are the
 *	  run's business, and the folder is not asked about again before it has ended.
 *
 * A service tells of the whole account, so that many a run finds nothing: the
 * folder is then left alone for a while that grows. Which folders there are is
 * in watch_look.c. Relies on no lease and no credentials: nothing is read or
 * written of what a worker holds.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/memutils.h"

#include "cloudsync/crash.h"
#include "cloudsync/db.h"
#include "cloudsync/run.h"
#include "cloudsync/settings.h"
#include "cloudsync/wake.h"
#include "watching.h"

#define TURN_US 50000
#define AGAIN_FIRST_MS 5000 /* after a failure, ... */
#define AGAIN_LAST_MS 300000
#define VAIN_FIRST_MS 1000 /* ... and after a run that found nothing */
#define VAIN_LAST_MS 300000
#define LEAST_MS 10000 /* between two polls that tell of nothing */
#define ERROR_MS 5000
#define SHORTEST_S 30 /* what lasted so long was cut off, and did not fail */
#define AT_ONCE 16	  /* begun together: each may need a connection of its own */
#define APART_MS 250
#define SAY_AFTER 3 /* failures in a row */

/* See watch.h. */
CsWatcher *
cs_watcher_create(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "cloudsync watch",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	CsWatcher *watcher = palloc0(sizeof(CsWatcher));

	watcher->context = context;
	watcher->turn = AllocSetContextCreate(context, "cloudsync watch turn", ALLOCSET_DEFAULT_SIZES);
	watcher->loop = cs_loop_create(cs_rollback);
	MemoryContextSwitchTo(old);
	return watcher;
}

int
cs_watcher_fd(CsWatcher *watcher)
{
	return cs_loop_fd(watcher->loop);
}

int
cs_watcher_folders(const CsWatcher *watcher)
{
	return watcher->n_watches;
}

/* See watch.h. */
char *
cs_watcher_activity(const CsWatcher *watcher)
{
	return psprintf("watching folders: %d, of connections: %d", watcher->n_watches,
					list_length(watcher->places));
}

/* See watching.h. */
void
cs_watch_end_poll(CsWatch *watch)
{
	if (watch->poll == NULL)
		return;
	MemoryContextDelete(watch->poll);
	watch->poll = NULL;
	watch->transfer = NULL;
}

static int64
grown(int64 first_ms, int64 last_ms, int times)
{
	return cs_jittered(Min(first_ms << Min(times, 10), last_ms));
}

/* Said once, until it succeeds again: what is watched comes later, not never. */
static void
say_failure(CsWatchPlace *place, const CsFailure *failure)
{
	if (++place->failures != SAY_AFTER || place->said)
		return;
	place->said = true;
	ereport(LOG,
			(errmsg("cloudsync cannot watch the folders of connection " INT64_FORMAT ": %s",
					place->connection->connection_id, cs_failure_text(failure)),
			 errdetail("They are collected as scheduled meanwhile.")));
}

/*
 * A poll that lasted and was then cut off was so by somebody on the way who takes
 * it for idle: the next one is shorter. Others are tried again later.
 */
static void
failed(CsWatch *watch, const CsFailure *failure, TimestampTz now)
{
	int64 wait_ms = VAIN_FIRST_MS;

	watch->state = CS_WATCH_REST;
	if (TimestampDifferenceExceeds(watch->begun_at, now, SHORTEST_S * 1000))
		watch->wait_s = Max(watch->wait_s / 2, SHORTEST_S);
	else
	{
		wait_ms = grown(AGAIN_FIRST_MS, AGAIN_LAST_MS, watch->failures++);
		say_failure(watch->place, failure);
	}
	watch->rest_until = TimestampTzPlusMilliseconds(now, Max(wait_ms, failure->retry_after_ms));
}

/* A service that knows the cursor no more says so to a listing too. */
static void
ended(CsWatch *watch, TimestampTz now)
{
	CsResult *result = &watch->transfer->result;
	CsFailure failure = result->failure;
	bool done = watch->transfer->state == CS_TRANSFER_DONE;
	bool told = done ? result->changed : failure.failure_class == CS_FAIL_RESET;
	int64 quiet_ms = done && result->quiet_ms > 0 ? result->quiet_ms + cs_jittered(1000) : 0;
	TimestampTz soonest = told ? now : TimestampTzPlusMilliseconds(watch->begun_at, LEAST_MS);

	cs_watch_end_poll(watch);
	if (!done && !told)
	{
		failed(watch, &failure, now);
		return;
	}
	watch->failures = 0;
	watch->place->failures = 0;
	watch->place->said = false;
	watch->state = told ? CS_WATCH_TOLD : CS_WATCH_REST;
	watch->rest_until = Max(soonest, TimestampTzPlusMilliseconds(now, quiet_ms));
}

static void
begin_poll(CsWatcher *watcher, CsWatch *watch, TimestampTz now)
{
	CsOp op = {.kind = CS_OP_WATCH,
			   .path = watch->path,
			   .cursor = watch->cursor,
			   .wait_s = watch->wait_s};
	CsFailure failure = {0};
	MemoryContext old;

	watch->begun_at = now;
	if (!cs_watch_open(watch->place, &failure))
	{
		failed(watch, &failure, now);
		return;
	}
	watch->poll = AllocSetContextCreate(watcher->context, "cloudsync watch poll",
										ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(watch->poll);
	watch->transfer = cs_transfer_start(watcher->loop, watch->place->connection->provider,
										watch->place->endpoint, &op, NULL, watch);
	watch->state = CS_WATCH_POLL;
	MemoryContextSwitchTo(old);
}

/* Can it be asked about now? Not while its channel is being collected. */
static bool
is_due(const CsWatch *watch, TimestampTz now)
{
	return watch->state == CS_WATCH_REST && !watch->busy && watch->rest_until <= now;
}

static void
begin_polls(CsWatcher *watcher, TimestampTz now)
{
	int begun = 0;

	if (now < watcher->begin_at)
		return;
	for (int i = 0; i < watcher->n_watches && begun < AT_ONCE; i++)
	{
		if (!is_due(watcher->watches[i], now))
			continue;
		begin_poll(watcher, watcher->watches[i], now);
		begun++;
	}
	if (begun == AT_ONCE)
		watcher->begin_at = TimestampTzPlusMilliseconds(now, APART_MS);
}

/*
 * A run for the channel, unless one is waiting or under way. What came after
 * that one looked is told by the next poll, from the cursor that it leaves.
 */
static void
queue_run(const CsWatch *watch, TimestampTz now)
{
	Oid types[2] = {INT8OID, TIMESTAMPTZOID};
	Datum values[2] = {Int64GetDatum(watch->channel_id), TimestampTzGetDatum(now)};

	cs_execute("WITH told AS (SELECT h.tenant, h.connection_id, h.channel_id FROM cloudsync.channel h "
			   "JOIN cloudsync.connection c ON c.connection_id OPERATOR(pg_catalog.=) h.connection_id "
			   "WHERE h.channel_id OPERATOR(pg_catalog.=) $1 AND h.deleted_at IS NULL AND h.auto_collect "
			   "AND c.state OPERATOR(pg_catalog.=) 'active' FOR NO KEY UPDATE OF h) "
			   "INSERT INTO cloudsync.run (tenant, kind, connection_id, channel_id, origin, requested_by, requested_at) "
			   "SELECT t.tenant, 'collect', t.connection_id, t.channel_id, 'auto', 'auto', $2 FROM told t "
			   "WHERE NOT EXISTS (SELECT FROM cloudsync.run r "
			   "WHERE r.connection_id OPERATOR(pg_catalog.=) t.connection_id "
			   "AND r.channel_id OPERATOR(pg_catalog.=) t.channel_id "
			   "AND r.kind OPERATOR(pg_catalog.=) 'collect' "
			   "AND r.state IN ('queued', 'running') AND r.document_id IS NULL)",
			   2, types, values, NULL, false);
}

/* Of what was told, in one transaction. */
static void
queue_runs(CsWatcher *watcher, TimestampTz now)
{
	bool told = false;

	for (int i = 0; i < watcher->n_watches && !told; i++)
		told = watcher->watches[i]->state == CS_WATCH_TOLD;
	if (!told)
		return;
	CS_CRASH_POINT("watch.before_queue");
	cs_begin("noting that folders changed");
	for (int i = 0; i < watcher->n_watches; i++)
		if (watcher->watches[i]->state == CS_WATCH_TOLD)
			queue_run(watcher->watches[i], now);
	cs_wake_on_commit(true);
	cs_commit();
	for (int i = 0; i < watcher->n_watches; i++)
	{
		CsWatch *watch = watcher->watches[i];

		if (watch->state != CS_WATCH_TOLD)
			continue;
		watch->state = CS_WATCH_COLLECT;
		watch->busy = true; /* until a look shows otherwise */
	}
}

/* See watching.h. */
void
cs_watch_collected(CsWatch *watch, bool found, TimestampTz now)
{
	TimestampTz until = now;

	watch->state = CS_WATCH_REST;
	if (found)
		watch->in_vain = 0;
	else
		until = TimestampTzPlusMilliseconds(now, grown(VAIN_FIRST_MS, VAIN_LAST_MS, watch->in_vain++));
	watch->rest_until = Max(watch->rest_until, until);
}

static void
turn(CsWatcher *watcher, bool look)
{
	TimestampTz now = GetCurrentTimestamp();
	CsTransfer *transfer;

	if (watcher->trouble_until > now)
		return;
	if (look || watcher->look)
	{
		watcher->look = true;
		cs_watch_look(watcher, now);
		watcher->look = false;
	}
	begin_polls(watcher, now);
	watcher->busy = cs_loop_turn(watcher->loop, TURN_US);
	now = GetCurrentTimestamp();
	while ((transfer = cs_loop_take_stopped(watcher->loop)) != NULL)
		ended(transfer->owner, now);
	queue_runs(watcher, now);
}

static void
take_error(CsWatcher *watcher)
{
	ErrorData *error;

	MemoryContextSwitchTo(watcher->turn);
	error = CopyErrorData();
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		PG_RE_THROW();
	FlushErrorState();
	cs_rollback();
	MemoryContextSwitchTo(watcher->turn);
	ereport(LOG, (errmsg("cloudsync could not go on watching folders: %s", cs_error_text(error)),
				  errdetail("It is tried again in %d s.", ERROR_MS / 1000)));
	watcher->trouble_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ERROR_MS);
}

/* See watch.h. */
void
cs_watcher_turn(CsWatcher *watcher, bool look)
{
	MemoryContext old = MemoryContextSwitchTo(watcher->turn);

	MemoryContextReset(watcher->turn);
	watcher->busy = false;
	if (look)
		watcher->look = true;
	PG_TRY();
	{
		turn(watcher, look);
	}
	PG_CATCH();
	{
		take_error(watcher);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
}

/* See watch.h. */
bool
cs_watcher_listens(const CsWatcher *watcher)
{
	return watcher->trouble_until <= GetCurrentTimestamp();
}

/* See watch.h. */
TimestampTz
cs_watcher_wake_at(CsWatcher *watcher)
{
	TimestampTz at = DT_NOEND;

	if (!cs_watcher_listens(watcher))
		return watcher->trouble_until;
	if (watcher->busy)
		return DT_NOBEGIN;
	for (int i = 0; i < watcher->n_watches; i++)
	{
		const CsWatch *watch = watcher->watches[i];

		if (watch->state == CS_WATCH_REST && !watch->busy)
			at = Min(at, Max(watch->rest_until, watcher->begin_at));
	}
	return at;
}
