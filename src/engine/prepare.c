/*
 * prepare.c
 *	  The root folder of a connection's pushes is made as soon as it is set,
 *	  before any dossier changes (P4).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "cloudsync/db.h"
#include "cloudsync/engine.h"
#include "cloudsync/path.h"
#include "cloudsync/run.h"

typedef struct CsPrepareJob
{
	CsJob job; /* first, so that one is the other */
	int64 destination_id;
	char *path;
	char *session; /* of an attempt that was cut off, or NULL */
	CsTransfer *transfer;
} CsPrepareJob;

static void
end_transfer(CsPrepareJob *prepare)
{
	if (prepare->transfer == NULL)
		return;
	cs_transfer_free(prepare->transfer);
	prepare->transfer = NULL;
	prepare->job.connection->transfers--;
}

/* The root is there: its identity is kept, so that it is found when renamed. */
static void
settle_success(CsPrepareJob *prepare, const char *remote_id, TimestampTz now)
{
	Oid types[3] = {INT8OID, TEXTOID, TIMESTAMPTZOID};
	Datum values[3];
	char nulls[4] = "   ";

	cs_begin("settling a preparation");
	values[0] = Int64GetDatum(prepare->destination_id);
	values[1] = CStringGetTextDatum(remote_id ? remote_id : "");
	values[2] = TimestampTzGetDatum(now);
	if (remote_id == NULL)
		nulls[1] = 'n';
	cs_execute("UPDATE cloudsync.destination SET remote_id = $2, prepared_at = $3, intent_session = NULL "
			   "WHERE destination_id OPERATOR(pg_catalog.=) $1",
			   3, types, values, nulls, false);
	cs_connection_note(prepare->job.connection, NULL, now);
	cs_run_end(prepare->job.run_id, "prepare", "succeeded", NULL, now);
	cs_commit();
	prepare->job.finished = true;
}

/*
 * The run has failed, and another is queued: the root is to appear as soon as
 * its account can be reached.
 */
static void
settle_failure(CsPrepareJob *prepare, const CsFailure *failure, TimestampTz now)
{
	Oid types[2] = {INT8OID, TIMESTAMPTZOID};
	Datum values[2];

	cs_begin("settling a preparation");
	cs_connection_note(prepare->job.connection, failure, now);
	cs_run_end(prepare->job.run_id, "prepare", "failed", cs_failure_text(failure), now);
	values[0] = Int64GetDatum(prepare->job.run_id);
	values[1] = TimestampTzGetDatum(TimestampTzPlusMilliseconds(now, cs_jittered(20000)));
	cs_execute("INSERT INTO cloudsync.run (tenant, kind, connection_id, origin, requested_by, not_before, attempts) "
			   "SELECT r.tenant, r.kind, r.connection_id, 'auto', r.requested_by, $2, r.attempts "
			   "FROM cloudsync.run r WHERE r.run_id OPERATOR(pg_catalog.=) $1",
			   2, types, values, NULL, false);
	cs_commit();
	prepare->job.finished = true;
}

/* The id under which the root is about to be made is written down. */
static void
record_session(CsPrepareJob *prepare)
{
	const char *session = prepare->transfer->result.session;
	Oid types[2] = {INT8OID, TEXTOID};
	Datum values[2];

	if (session == NULL)
		return;
	cs_begin("recording a folder that is about to be made");
	values[0] = Int64GetDatum(prepare->destination_id);
	values[1] = CStringGetTextDatum(session);
	cs_execute("UPDATE cloudsync.destination SET intent_session = $2 "
			   "WHERE destination_id OPERATOR(pg_catalog.=) $1",
			   2, types, values, NULL, false);
	cs_commit();
}

static void
prepare_advance(CsJob *job, TimestampTz now)
{
	CsPrepareJob *prepare = (CsPrepareJob *) job;
	CsFailure failure = {0};

	if (prepare->transfer == NULL)
	{
		CsEndpoint *endpoint =
			cs_connection_endpoint(job->connection, true, &failure);
		CsOp op = {0};

		if (endpoint == NULL)
		{
			settle_failure(prepare, &failure, now);
			return;
		}
		op.kind = CS_OP_MKDIR;
		op.visible = true;
		op.path = prepare->path;
		op.session = prepare->session;
		prepare->transfer = cs_transfer_start(job->connection->loop,
											  job->connection->provider,
											  endpoint, &op, NULL, job);
		job->connection->transfers++;
		job->phase = "prepare";
		return;
	}
	if (prepare->transfer->state == CS_TRANSFER_CHECKPOINT)
	{
		record_session(prepare);
		cs_transfer_continue(prepare->transfer);
	}
	else if (prepare->transfer->state == CS_TRANSFER_DONE)
	{
		const char *id = prepare->transfer->result.entry.id;

		id = id ? pstrdup(id) : NULL;
		end_transfer(prepare);
		settle_success(prepare, id, now);
	}
	else if (prepare->transfer->state == CS_TRANSFER_FAILED)
	{
		failure = prepare->transfer->result.failure;
		end_transfer(prepare);
		settle_failure(prepare, &failure, now);
	}
}

static void
prepare_fail(CsJob *job, const ErrorData *error, TimestampTz now)
{
	CsPrepareJob *prepare = (CsPrepareJob *) job;

	job->finished = true;
	end_transfer(prepare);
	cs_begin("settling a preparation");
	cs_run_end(job->run_id, "prepare", error ? "failed" : "cancelled",
			   error ? cs_error_text(error) : NULL, now);
	cs_commit();
}

static const CsJobMethods prepare_methods = {"prepare", prepare_advance, prepare_fail, NULL};

/* See engine.h. All that are queued share one execution. */
int
cs_prepare_claim(CsConnection *connection, int max, TimestampTz now)
{
	Oid types[2] = {INT8OID, TIMESTAMPTZOID};
	Datum values[2] = {Int64GetDatum(connection->connection_id),
					   TimestampTzGetDatum(now)};
	CsPrepareJob *prepare = NULL;
	MemoryContext old_context;

	if (max < 1)
		return 0;
	cs_begin("claiming a preparation");
	if (cs_execute(
			"WITH queued AS (SELECT r.run_id FROM cloudsync.run r "
			"WHERE r.connection_id OPERATOR(pg_catalog.=) $1 "
			"AND r.kind OPERATOR(pg_catalog.=) 'prepare' "
			"AND r.state OPERATOR(pg_catalog.=) 'queued' "
			"AND (r.not_before IS NULL OR r.not_before OPERATOR(pg_catalog.<=) $2) FOR UPDATE), "
			"lead AS (SELECT pg_catalog.min(run_id) AS run_id FROM queued) "
			"UPDATE cloudsync.run r SET state = 'running', started_at = COALESCE(r.started_at, $2), "
			"attempts = r.attempts OPERATOR(pg_catalog.+) 1, "
			"shared_run_id = NULLIF(lead.run_id, r.run_id) "
			"FROM queued, lead WHERE r.run_id OPERATOR(pg_catalog.=) queued.run_id "
			"RETURNING lead.run_id",
			2, types, values, NULL, false) > 0)
	{
		int64 run_id = cs_get_int64(0, 1, 0);
		MemoryContext context = AllocSetContextCreate(
			connection->context, "cloudsync preparation", ALLOCSET_SMALL_SIZES);

		prepare = MemoryContextAllocZero(context, sizeof(CsPrepareJob));
		prepare->job.context = context;
		prepare->job.methods = &prepare_methods;
		prepare->job.connection = connection;
		prepare->job.run_id = run_id;
		prepare->job.wake_at = DT_NOEND;
		if (cs_execute("SELECT d.destination_id, d.root, d.intent_session FROM cloudsync.push_setting p "
					   "JOIN cloudsync.destination d ON d.destination_id OPERATOR(pg_catalog.=) p.destination_id "
					   "WHERE p.connection_id OPERATOR(pg_catalog.=) $1",
					   1, types, values, NULL, true) > 0)
		{
			char *root = cs_get_text(0, 2);
			char *session = cs_get_text(0, 3);
			MemoryContext old;

			prepare->destination_id = cs_get_int64(0, 1, 0);
			old = MemoryContextSwitchTo(context);
			prepare->path = pstrdup(root);
			prepare->session = session ? pstrdup(session) : NULL;
			MemoryContextSwitchTo(old);
		}
		else
		{
			/* the setting went: nothing to prepare */
			cs_run_end(run_id, "prepare", "cancelled", NULL, now);
			MemoryContextDelete(context);
			prepare = NULL;
		}
	}
	cs_commit();
	if (prepare == NULL)
		return 0;
	old_context = MemoryContextSwitchTo(connection->context);
	connection->jobs = lappend(connection->jobs, prepare);
	MemoryContextSwitchTo(old_context);
	return 1;
}
