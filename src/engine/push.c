/*
 * push.c
 *	  Taking dossiers that are due (the claim of a push): what was asked for by
 *	  hand first, then live changes, then what existed when automatic push was
 *	  switched on. One short transaction each: the due row's generation is
 *	  taken, all runs that were asked for share the execution, the plan is made
 *	  and its intents are written down.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "cloudsync/crash.h"
#include "cloudsync/db.h"
#include "cloudsync/limit.h"
#include "cloudsync/push.h"

/* A dossier that a push by hand was asked for, or a recovered run; its run. */
static bool
find_queued(CsPushJob *push, TimestampTz now)
{
	Oid types[2] = {INT8OID, TIMESTAMPTZOID};
	Datum values[2] = {Int64GetDatum(push->job.connection->connection_id),
					   TimestampTzGetDatum(now)};

	if (cs_execute(
			"SELECT r.run_id, r.dossiers_id, r.dossier, r.origin OPERATOR(pg_catalog.=) 'manual' "
			"FROM cloudsync.run r "
			"WHERE r.connection_id OPERATOR(pg_catalog.=) $1 "
			"AND r.kind OPERATOR(pg_catalog.=) 'push' "
			"AND r.state OPERATOR(pg_catalog.=) 'queued' "
			"AND (r.not_before IS NULL OR r.not_before OPERATOR(pg_catalog.<=) $2) "
			"AND NOT EXISTS (SELECT FROM cloudsync.run x "
			"WHERE x.connection_id OPERATOR(pg_catalog.=) $1 "
			"AND x.state OPERATOR(pg_catalog.=) 'running' "
			"AND x.kind OPERATOR(pg_catalog.=) 'push' "
			"AND x.dossiers_id OPERATOR(pg_catalog.=) r.dossiers_id "
			"AND x.dossier OPERATOR(pg_catalog.=) r.dossier) "
			"ORDER BY r.origin OPERATOR(pg_catalog.<>) 'manual', r.run_id LIMIT 1 FOR UPDATE SKIP LOCKED",
			2, types, values, NULL, false) == 0)
		return false;
	push->job.run_id = cs_get_int64(0, 1, 0);
	push->dossiers_id = (int) cs_get_int64(0, 2, 0);
	push->dossier = cs_get_text(0, 3);
	push->by_hand = cs_get_bool(0, 4, false);
	return true;
}

/* A dossier whose time has come; it gets a run of its own. */
static bool
find_due(CsPushJob *push, bool backfill, TimestampTz now)
{
	Oid types[5] = {INT8OID, TIMESTAMPTZOID, BOOLOID, INT4OID, TEXTOID};
	Datum values[5] = {Int64GetDatum(push->job.connection->connection_id),
					   TimestampTzGetDatum(now), BoolGetDatum(backfill)};

	if (cs_execute_first(
			"SELECT d.dossiers_id, d.dossier FROM cloudsync.due d "
			"WHERE d.connection_id OPERATOR(pg_catalog.=) $1 "
			"AND d.backfill OPERATOR(pg_catalog.=) $3 "
			"AND d.start_at OPERATOR(pg_catalog.<=) $2 AND d.claimed IS NULL "
			"AND NOT EXISTS (SELECT FROM cloudsync.run x "
			"WHERE x.connection_id OPERATOR(pg_catalog.=) $1 "
			"AND x.state OPERATOR(pg_catalog.=) 'running' "
			"AND x.kind OPERATOR(pg_catalog.=) 'push' "
			"AND x.dossiers_id OPERATOR(pg_catalog.=) d.dossiers_id "
			"AND x.dossier OPERATOR(pg_catalog.=) d.dossier) "
			"ORDER BY d.start_at LIMIT 1 FOR UPDATE SKIP LOCKED",
			3, types, values, NULL, false) == 0)
		return false;
	push->dossiers_id = (int) cs_get_int64(0, 1, 0);
	push->dossier = cs_get_text(0, 2);
	values[1] = CStringGetTextDatum(push->job.connection->tenant);
	values[3] = Int32GetDatum(push->dossiers_id);
	values[4] = CStringGetTextDatum(push->dossier);
	types[1] = TEXTOID;
	cs_execute("INSERT INTO cloudsync.run (tenant, kind, connection_id, dossiers_id, dossier, origin, requested_by) "
			   "VALUES ($2, 'push', $1, $4, $5, 'auto', 'auto') RETURNING run_id",
			   5, types, values, NULL, false);
	push->job.run_id = cs_get_int64(0, 1, 0);
	return true;
}

/*
 * All runs of the dossier that are queued share the execution; the due row's
 * generation is what this push answers for, and its deadline what the run is
 * measured by, if it is the first try.
 */
static void
take(CsPushJob *push, TimestampTz now)
{
	Oid types[5] = {INT8OID, INT4OID, TEXTOID, INT8OID, TIMESTAMPTZOID};
	Datum values[5];

	values[0] = Int64GetDatum(push->job.connection->connection_id);
	values[1] = Int32GetDatum(push->dossiers_id);
	values[2] = CStringGetTextDatum(push->dossier);
	values[3] = Int64GetDatum(push->job.run_id);
	values[4] = TimestampTzGetDatum(now);
	if (cs_execute("WITH taken AS (UPDATE cloudsync.due d SET claimed = d.generation "
				   "WHERE d.connection_id OPERATOR(pg_catalog.=) $1 "
				   "AND d.dossiers_id OPERATOR(pg_catalog.=) $2 AND d.dossier OPERATOR(pg_catalog.=) $3 "
				   "RETURNING d.generation, CASE WHEN NOT d.backfill AND d.attempts OPERATOR(pg_catalog.=) 0 "
				   "THEN d.due_at END AS due_at), "
				   "runs AS (UPDATE cloudsync.run SET state = 'running', "
				   "started_at = COALESCE(started_at, $5), attempts = attempts OPERATOR(pg_catalog.+) 1, "
				   "due_at = COALESCE(due_at, (SELECT t.due_at FROM taken t)), "
				   "shared_run_id = NULLIF($4, run_id) "
				   "WHERE connection_id OPERATOR(pg_catalog.=) $1 "
				   "AND kind OPERATOR(pg_catalog.=) 'push' AND state OPERATOR(pg_catalog.=) 'queued' "
				   "AND dossiers_id OPERATOR(pg_catalog.=) $2 AND dossier OPERATOR(pg_catalog.=) $3) "
				   "SELECT generation FROM taken",
				   5, types, values, NULL, false) > 0)
		push->generation = cs_get_int64(0, 1, 0);
}

typedef struct PlanCall
{
	CsPushJob *push;
	TimestampTz now;
} PlanCall;

static void
make_plan(void *arg)
{
	PlanCall *call = arg;

	cs_push_make_plan(call->push, call->now);
}

/* A dossier that cannot be planned (its table is gone, ...) fails by itself. */
static void
settle_unplanned(CsPushJob *push, const char *error, TimestampTz now)
{
	cs_push_settle_due(push, false, error, now);
	cs_run_end(push->job.run_id, "push", "failed", error, now);
}

/* Planning it ended the process, and with it the claim, which is made anew. */
static void
blame_claim(void *arg, const ErrorData *error)
{
	PlanCall *call = arg;
	CsPushJob *push = call->push;
	char *dossier = push->dossier;
	int dossiers_id = push->dossiers_id;
	TimestampTz now = GetCurrentTimestamp();

	cs_begin("settling a push");
	if ((!find_queued(push, now) && !find_due(push, false, now) &&
		 !find_due(push, true, now)) ||
		push->dossiers_id != dossiers_id || strcmp(push->dossier, dossier) != 0)
	{
		cs_rollback();
		return;
	}
	take(push, now);
	settle_unplanned(push, cs_error_text(error), now);
	cs_commit();
}

/* 1: claimed a job; 0: it failed at once; -1: nothing is due. */
static int
claim_one(CsConnection *connection, TimestampTz now)
{
	MemoryContext context = AllocSetContextCreate(
		connection->context, "cloudsync push", ALLOCSET_DEFAULT_SIZES);
	CsPushJob *push = MemoryContextAllocZero(context, sizeof(CsPushJob));
	ErrorData *error = NULL;
	PlanCall call = {push, now};
	MemoryContext old;
	bool planned;

	push->job.context = context;
	push->job.methods = &cs_push_methods;
	push->job.connection = connection;
	push->job.wake_at = DT_NOEND;
	push->job.phase = "claim";
	push->next_try = DT_NOEND;
	cs_begin("claiming a push");
	old = MemoryContextSwitchTo(context);
	if (!find_queued(push, now) && !find_due(push, false, now) &&
		!find_due(push, true, now))
	{
		MemoryContextSwitchTo(old);
		cs_commit();
		MemoryContextDelete(context);
		return -1;
	}
	take(push, now);
	cs_limit_blame(blame_claim, &call);
	planned = cs_try(make_plan, &call, &error);
	cs_limit_blame(NULL, NULL);
	if (!planned)
		settle_unplanned(push, cs_error_text(error), now);
	MemoryContextSwitchTo(old);
	cs_commit();
	CS_CRASH_POINT("push.after_claim");
	if (!planned)
	{
		MemoryContextDelete(context);
		return 0;
	}
	old = MemoryContextSwitchTo(connection->context);
	connection->jobs = lappend(connection->jobs, push);
	MemoryContextSwitchTo(old);
	return 1;
}

/* See engine.h. */
int
cs_push_claim(CsConnection *connection, int max, TimestampTz now)
{
	int claimed = 0;
	int looks;

	/* those that fail at once do not keep the others waiting, nor us here */
	for (looks = 0; claimed < max && looks < max + 100; looks++)
	{
		int got = claim_one(connection, now);

		if (got < 0)
			break;
		claimed += got;
	}
	return claimed;
}
