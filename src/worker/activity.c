/*
 * activity.c
 *	  What moves now, for cloudsync.activity (H2): workers write it to shared
 *	  memory a few times a second, sessions read it from there.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "internal.h"

PG_FUNCTION_INFO_V1(cloudsync_activity_rows);

#define RATE_SECONDS 5.0 /* over which a rate is taken, about */

static const CsActivity *
find(const CsActivity *rows, int n, int64 run_id)
{
	for (int i = 0; i < n; i++)
		if (rows[i].run_id == run_id)
			return &rows[i];
	return NULL;
}

/*
 * Bytes a second of late: since the run was first shown by this process, and
 * after some seconds a mean in which what is older counts ever less. What was
 * there before (an upload that goes on where it was cut off) does not count.
 */
static double
rate_of(CsActivity *row, const CsActivity *old)
{
	double since = (double) (row->at - row->started_at) / USECS_PER_SEC;
	double elapsed = (double) (row->at - old->at) / USECS_PER_SEC;
	double now;

	row->bytes_first = Min(row->bytes_first, row->bytes_done);
	if (since <= 0 || elapsed <= 0)
		return old->rate;
	if (since < RATE_SECONDS)
		return (row->bytes_done - row->bytes_first) / since;
	now = Max(0, row->bytes_done - old->bytes_done) / elapsed;
	return old->rate + (now - old->rate) * (1 - exp(-elapsed / RATE_SECONDS));
}

static void
fill(CsActivity *row, const CsJob *job, const CsActivity *old, TimestampTz now)
{
	row->run_id = job->run_id;
	row->connection_id = job->connection->connection_id;
	row->bytes_done = job->bytes_done;
	row->bytes_total = job->bytes_total;
	row->at = now;
	row->started_at = old ? old->started_at : now;
	row->bytes_first = old ? old->bytes_first : job->bytes_done;
	row->rate = old ? rate_of(row, old) : 0;
	strlcpy(row->phase, job->phase ? job->phase : "", sizeof(row->phase));
	strlcpy(row->file, job->file, sizeof(row->file));
}

void
cs_activity_publish(const List *connections)
{
	static CsActivity before[CS_MAX_ACTIVITY];
	static CsActivity rows[CS_MAX_ACTIVITY];
	static int n_before = 0;
	TimestampTz now = GetCurrentTimestamp();
	const ListCell *cell;
	int n = 0;

	if (cs_my_process == NULL)
		return;
	foreach (cell, connections)
	{
		const ListCell *job_cell;

		foreach (job_cell, ((CsConnection *) lfirst(cell))->jobs)
		{
			CsJob *job = lfirst(job_cell);

			if (n < CS_MAX_ACTIVITY)
			{
				if (job->methods->measure)
					job->methods->measure(job);
				fill(&rows[n], job, find(before, n_before, job->run_id), now);
				n++;
			}
		}
	}
	LWLockAcquire(cs_shared->lock, LW_EXCLUSIVE);
	memcpy(cs_my_process->activity, rows, n * sizeof(CsActivity));
	cs_my_process->n_activity = n;
	cs_my_process->idle = n == 0;
	LWLockRelease(cs_shared->lock);
	memcpy(before, rows, n * sizeof(CsActivity));
	n_before = n;
}

/* See internal.h. Its jobs are shown once they are claimed. */
void
cs_activity_busy(void)
{
	if (cs_my_process == NULL)
		return;
	LWLockAcquire(cs_shared->lock, LW_EXCLUSIVE);
	cs_my_process->idle = false;
	LWLockRelease(cs_shared->lock);
}

/* What pg_stat_activity says while bytes travel (W10). */
void
cs_activity_tell(const List *connections)
{
	const ListCell *cell;
	const CsJob *job = NULL;
	int jobs = 0;
	char *text;

	foreach (cell, connections)
	{
		CsConnection *connection = lfirst(cell);

		jobs += list_length(connection->jobs);
		if (job == NULL && connection->jobs != NIL)
			job = linitial(connection->jobs);
	}
	if (job == NULL)
	{
		pgstat_report_activity(STATE_IDLE, NULL);
		return;
	}
	text = psprintf("%s for connection \"%s\": run " INT64_FORMAT ", %s",
					job->methods->kind, job->connection->name, job->run_id,
					job->phase ? job->phase : "");
	if (jobs > 1)
		text = psprintf("%s; and %d more", text, jobs - 1);
	pgstat_report_activity(STATE_RUNNING, text);
}

/* Cut at a character's end: the engine's buffer may have been too short. */
static Datum
text_of(const char *string)
{
	int len = (int) strlen(string);

	return PointerGetDatum(
		cstring_to_text_with_len(string, pg_mbcliplen(string, len, len)));
}

static void
put_row(ReturnSetInfo *rsinfo, const CsActivity *row, pid_t pid)
{
	double age = (double) (GetCurrentTimestamp() - row->at) / USECS_PER_SEC;
	/* a worker for which nothing arrives shows nothing new either */
	double rate = row->rate * exp(-Max(0, age - 1) / RATE_SECONDS);
	Datum values[9];
	bool nulls[9] = {false};

	values[0] = Int64GetDatum(row->run_id);
	values[1] = Int64GetDatum(row->connection_id);
	values[2] = text_of(row->file);
	nulls[2] = row->file[0] == '\0';
	values[3] = Int64GetDatum(row->bytes_done);
	values[4] = Int64GetDatum(row->bytes_total);
	nulls[4] = row->bytes_total <= 0;
	values[5] = Int64GetDatum((int64) rate);
	nulls[5] = rate < 1;
	values[6] = Float8GetDatum(
		rate < 1 ? 0 : Max(0, row->bytes_total - row->bytes_done) / rate);
	nulls[6] = nulls[4] || nulls[5];
	values[7] = text_of(row->phase);
	values[8] = Int32GetDatum((int32) pid);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* This database's rows; without shared memory there are none to be had. */
Datum
cloudsync_activity_rows(PG_FUNCTION_ARGS)
{
	static bool told = false;
	CsActivity *rows;
	pid_t *pids;
	int n = 0;

	InitMaterializedSRF(fcinfo, 0);
	if (cs_shared == NULL)
	{
		if (!told)
			ereport(NOTICE,
					(errmsg("what workers do can only be seen when cloudsync "
							"is preloaded: it is in shared memory"),
					 errhint("Add cloudsync to shared_preload_libraries and "
							 "restart the server.")));
		told = true;
		return (Datum) 0;
	}
	rows =
		palloc(sizeof(CsActivity) * CS_MAX_ACTIVITY * cs_shared->max_processes);
	pids = palloc(sizeof(pid_t) * CS_MAX_ACTIVITY * cs_shared->max_processes);
	LWLockAcquire(cs_shared->lock, LW_SHARED);
	for (int i = 0; i < cs_shared->max_processes; i++)
	{
		CsProcess *process = &cs_shared->processes[i];

		if (process->pid == 0 || process->database != MyDatabaseId)
			continue;
		for (int j = 0; j < process->n_activity; j++)
		{
			rows[n] = process->activity[j];
			pids[n++] = process->pid;
		}
	}
	LWLockRelease(cs_shared->lock);
	for (int i = 0; i < n; i++)
		put_row((ReturnSetInfo *) fcinfo->resultinfo, &rows[i], pids[i]);
	return (Datum) 0;
}
