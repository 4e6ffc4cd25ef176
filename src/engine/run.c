/*
 * run.c
 *	  The end of a run (H1): its row, those of the runs that shared its
 *	  execution, its figures for the counters (metrics.sql), and the event that
 *	  says so.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "cloudsync/db.h"
#include "cloudsync/notify.h"
#include "cloudsync/run.h"
#include "cloudsync/wake.h"

/* See run.h. */
void
cs_run_end(int64 run_id, const char *kind, const char *state,
		   const char *error, TimestampTz now)
{
	Oid types[4] = {INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID};
	Datum values[4];
	char nulls[5] = "    ";
	uint64 n;
	uint64 i;

	values[0] = Int64GetDatum(run_id);
	values[1] = CStringGetTextDatum(state);
	values[2] = CStringGetTextDatum(error ? error : "");
	values[3] = TimestampTzGetDatum(now);
	if (error == NULL)
		nulls[2] = 'n';
	n = cs_execute(
		"WITH lead AS (UPDATE cloudsync.run SET state = $2, error = $3, finished_at = $4 "
		"WHERE run_id OPERATOR(pg_catalog.=) $1 RETURNING *), "
		"shared AS (UPDATE cloudsync.run s SET state = $2, error = $3, finished_at = $4, "
		"files_done = lead.files_done, files_skipped = lead.files_skipped, "
		"files_failed = lead.files_failed "
		"FROM lead WHERE s.connection_id OPERATOR(pg_catalog.=) lead.connection_id "
		"AND s.state OPERATOR(pg_catalog.=) 'running' "
		"AND s.shared_run_id OPERATOR(pg_catalog.=) $1 RETURNING s.run_id), "
		"counted AS (INSERT INTO cloudsync.tally SELECT connection_id, kind, state, finished_at, "
		"files_done, files_skipped, files_failed, bytes_sent, bytes_received, requests, "
		"pg_catalog.date_part('epoch', finished_at OPERATOR(pg_catalog.-) started_at), "
		"started_at OPERATOR(pg_catalog.<=) due_at FROM lead) "
		"SELECT run_id FROM lead UNION ALL SELECT run_id FROM shared",
		4, types, values, nulls, false);
	cs_tell_end_on_commit();
	for (i = 0; i < n; i++)
		cs_notify("run", "run_id", cs_get_int64(i, 1, 0), kind, state);
}

/* See run.h. */
char *
cs_failure_text(const CsFailure *failure)
{
	if (failure->detail[0] == '\0')
		return pstrdup(failure->message);
	return psprintf("%s: %s", failure->message, failure->detail);
}

/* See run.h. */
int64
cs_jittered(int64 milliseconds)
{
	uint32 random = 0;

	(void) pg_strong_random(&random, sizeof(random));
	return milliseconds * 3 / 4 + (int64) (milliseconds / 2 * (random / (double) PG_UINT32_MAX));
}
