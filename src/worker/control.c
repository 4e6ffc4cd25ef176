/*
 * control.c
 *	  C behind the functions that start and watch the workers: cloudsync_run,
 *	  cloudsync_start_worker, and what the status says of them. And
 *	  cs_worker_init, which makes a preloaded library start them by itself.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "postmaster/bgworker.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "cloudsync/db.h"
#include "cloudsync/settings.h"
#include "cloudsync/tenant.h"
#include "internal.h"

#define LAUNCHER_RESTART_S 5
#define USECS_PER_MONTH (DAYS_PER_MONTH * USECS_PER_DAY)
#define MAX_TIME (100.0 * MONTHS_PER_YEAR * USECS_PER_MONTH)

PG_FUNCTION_INFO_V1(cloudsync_run);
PG_FUNCTION_INFO_V1(cloudsync_start_worker);
PG_FUNCTION_INFO_V1(cloudsync_worker_problems);

/* See worker.h. */
void
cs_worker_init(void)
{
	CsStart start = {.report = DSM_HANDLE_INVALID};
	BackgroundWorker worker;

	if (!process_shared_preload_libraries_in_progress)
		return;
	cs_shmem_init();
	cs_utility_hook_install();
	/* pg_upgrade's server must have no processes but its own */
	if (IsBinaryUpgrade)
		return;
	cs_process_define(&worker, CS_LAUNCHER, &start, LAUNCHER_RESTART_S);
	RegisterBackgroundWorker(&worker);
}

/* These concern the whole database, so a session with a tenant may not. */
static void
check_rights(const char *role, const char *function)
{
	Oid acting = cs_acting_role();
	Oid group = get_role_oid(role, true);

	if (OidIsValid(acting) && OidIsValid(group) &&
		has_privs_of_role(acting, group) && cs_acting_tenant()[0] == '\0')
		return;
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					errmsg("permission denied for function %s", function),
					errdetail("It concerns the whole database: it is for "
							  "members of %s without a tenant.",
							  role),
					errhint("Act for no tenant: RESET cloudsync.tenant; or "
							"have a superuser GRANT %s TO the role.",
							role)));
}

static void
check_may_act(void)
{
	const char *why = cs_version_problem();

	if (why != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s", why),
				 errhint("Run ALTER EXTENSION cloudsync UPDATE, or restart the "
						 "server if it still has the older library loaded.")));
	why = cs_why_suspended();
	if (why != NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("cloudsync is suspended"), errdetail("%s.", why),
						errhint("If this copy is to act: SELECT "
								"cloudsync_resume();")));
}

static void
no_slot(void)
{
	ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					errmsg("no worker could be started: all background worker "
						   "slots are in use"),
					errhint("Increase max_worker_processes, or try again when "
							"other workers have ended.")));
}

/* In microseconds; 0, no limit, for a time that nobody will see the end of. */
static int64
max_time_of(const Interval *interval)
{
	double us = (double) interval->time +
				(double) interval->day * USECS_PER_DAY +
				(double) interval->month * USECS_PER_MONTH;

	if (us <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max_time must be positive"),
						errhint("For example: CALL cloudsync_run('5 "
								"minutes');")));
	return us < MAX_TIME ? (int64) us : 0;
}

/* Starts the worker and waits for its end; an interrupted wait ends it too. */
static void
run_and_wait(CsProcessKind kind, int64 max_time)
{
	CsStart start = {.database = MyDatabaseId, .mode = CS_RUN};
	BackgroundWorkerHandle *handle;
	BackgroundWorker worker;
	dsm_segment *segment = dsm_create(sizeof(CsReport), 0);
	CsReport *report = dsm_segment_address(segment);
	char error[sizeof(report->error)];
	bool done;

	memset(report, 0, sizeof(*report));
	start.report = dsm_segment_handle(segment);
	start.max_time = max_time;
	cs_process_define(&worker, kind, &start, -1);
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		no_slot();
	PG_TRY();
	{
		(void) WaitForBackgroundWorkerShutdown(handle);
	}
	PG_CATCH();
	{
		TerminateBackgroundWorker(handle);
		PG_RE_THROW();
	}
	PG_END_TRY();
	done = report->done;
	strlcpy(error, report->error, sizeof(error));
	dsm_detach(segment);
	pfree(handle);
	if (error[0] != '\0')
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the worker stopped: %s", error),
						errhint("To see what to do: SELECT * FROM "
								"cloudsync_status();")));
	if (!done)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("the worker ended before its work was done"),
						errhint("The server's log says why.")));
}

/* Are there documents to read now? The transaction ends with the answer. */
static bool
has_documents(void)
{
	bool found;

	if (!cs_ocr)
		return false;
	found = cs_execute("SELECT FROM cloudsync.document d "
					   "WHERE d.ocr_state OPERATOR(pg_catalog.=) 'pending' "
					   "AND (d.ocr_next_try_at IS NULL "
					   "OR d.ocr_next_try_at OPERATOR(pg_catalog.<=) "
					   "pg_catalog.clock_timestamp()) LIMIT 1",
					   0, NULL, NULL, NULL, false) > 0;
	SPI_commit();
	CsAfterSpiCommit();
	return found;
}

/*
 * CALL cloudsync_run(max_time): commits first, so that the worker sees what the
 * session did and no snapshot is held while it works.
 */
Datum
cloudsync_run(PG_FUNCTION_ARGS)
{
	CallContext *call = (CallContext *) fcinfo->context;
	int64 max_time;
	TimestampTz started;
	int64 left;

	check_rights("cloudsync_operator", "cloudsync_run");
	max_time =
		PG_ARGISNULL(0) ? 0 : max_time_of(PG_GETARG_INTERVAL_P(0));
	if (call == NULL || !IsA(call, CallContext) || call->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("CALL cloudsync_run cannot run inside a transaction "
						"block"),
				 errhint("A worker can only see what is committed. Commit "
						 "first.")));
	check_may_act();
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect_ext failed");
	SPI_commit();
	CsAfterSpiCommit();
	started = GetCurrentTimestamp();
	run_and_wait(CS_WORKER, max_time);
	left = max_time - (GetCurrentTimestamp() - started);
	if ((max_time == 0 || left > 0) && has_documents())
		run_and_wait(CS_OCR, max_time == 0 ? 0 : left);
	SPI_finish();
	return (Datum) 0;
}

/*
 * cloudsync_start_worker(): a launcher for this database alone, until the next
 * restart of the server. Where there is one for all, that one looks again.
 */
Datum
cloudsync_start_worker(PG_FUNCTION_ARGS)
{
	CsStart start = {.database = MyDatabaseId, .report = DSM_HANDLE_INVALID};
	BackgroundWorkerHandle *handle;
	BackgroundWorker worker;
	pid_t pid;

	check_rights("cloudsync_admin", "cloudsync_start_worker");
	if (RecoveryInProgress())
		ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
						errmsg("no worker runs on a standby"),
						errhint("Call it after its promotion.")));
	if (cs_shared != NULL)
	{
		CsDatabase *slot = cs_database_slot(MyDatabaseId, true);

		if (slot != NULL && slot->scheduler == 0)
			pg_atomic_write_u32(&slot->probe, 1);
		cs_wake_launcher();
		PG_RETURN_VOID();
	}
	if (cs_find_process(MyDatabaseId, CS_SCHEDULER, NULL) != NULL)
	{
		ereport(NOTICE, (errmsg("a scheduler is running already")));
		PG_RETURN_VOID();
	}
	cs_process_define(&worker, CS_LAUNCHER, &start, LAUNCHER_RESTART_S);
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		no_slot();
	if (WaitForBackgroundWorkerStartup(handle, &pid) != BGWH_STARTED)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("the worker could not be started"),
						errhint("The server's log says why.")));
	PG_RETURN_VOID();
}

static void
put_problem(ReturnSetInfo *rsinfo, const char *severity, const char *problem,
			const char *action)
{
	Datum values[4];
	bool nulls[4] = {false};

	values[0] = CStringGetTextDatum(severity);
	values[1] = CStringGetTextDatum("workers");
	values[2] = CStringGetTextDatum(problem);
	values[3] = CStringGetTextDatum(action);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* Without preload nothing is wrong until work has waited for too long. */
static void
problems_without_shmem(ReturnSetInfo *rsinfo)
{
	bool waiting;

	if (cs_find_process(MyDatabaseId, CS_SCHEDULER, NULL) != NULL)
		return;
	SPI_connect();
	waiting =
		cs_execute("SELECT FROM cloudsync.run r JOIN cloudsync.connection c "
				   "ON c.connection_id OPERATOR(pg_catalog.=) r.connection_id "
				   "WHERE r.state OPERATOR(pg_catalog.=) 'queued' "
				   "AND c.state OPERATOR(pg_catalog.=) 'active' "
				   "AND r.requested_at OPERATOR(pg_catalog.<) "
				   "(pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) "
				   "interval '1 hour') LIMIT 1",
				   0, NULL, NULL, NULL, true) > 0;
	SPI_finish();
	if (waiting)
		put_problem(rsinfo, "error",
					"work has waited for an hour and no worker runs",
					"CALL cloudsync_run();  -- regularly, or SELECT "
					"cloudsync_start_worker() after each restart, or add "
					"cloudsync to shared_preload_libraries");
}

static void
put_no_slot(ReturnSetInfo *rsinfo, uint32 no_slot, CsProcessKind kind, const char *problem)
{
	if (no_slot & 1 << kind)
		put_problem(rsinfo, "warning", problem,
					psprintf("ALTER SYSTEM SET max_worker_processes = %d;  -- and restart the server", cs_more_slots()));
}

static void
problems_with_shmem(ReturnSetInfo *rsinfo)
{
	CsDatabase *slot = cs_database_slot(MyDatabaseId, false);
	uint32 no_slot = 0;
	char problem[CS_PROBLEM_MAX] = "";
	char action[CS_PROBLEM_MAX] = "";
	bool scheduler = false;
	bool launcher;

	LWLockAcquire(cs_shared->lock, LW_SHARED);
	launcher = cs_shared->launcher != 0;
	if (slot != NULL && slot->database == MyDatabaseId)
	{
		scheduler = slot->scheduler != 0;
		strlcpy(problem, slot->problem, sizeof(problem));
		no_slot = slot->no_slot;
		strlcpy(action, slot->action, sizeof(action));
	}
	LWLockRelease(cs_shared->lock);
	put_no_slot(rsinfo, no_slot, CS_OCR, "documents wait to be read: all background worker slots are in use");
	put_no_slot(rsinfo, no_slot, CS_WATCH,
				"folders are not watched: all background worker slots are in use; documents are collected as "
				"scheduled");
	if (problem[0] != '\0')
		put_problem(rsinfo, scheduler ? "warning" : "error", problem, action);
	else if (!launcher)
		put_problem(rsinfo, "error", "the launcher is not running",
					psprintf("ALTER SYSTEM SET max_worker_processes = %d;  -- "
							 "and restart the server, if it does not come back "
							 "within seconds",
							 cs_more_slots()));
	else if (!scheduler)
		put_problem(rsinfo, "error", "no scheduler is running in this database",
					"SELECT cloudsync_start_worker();  -- the server's log says "
					"why, if it ends again");
}

/* cloudsync.worker_problems(): for cloudsync_status(). */
Datum
cloudsync_worker_problems(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	const char *why;

	InitMaterializedSRF(fcinfo, 0);
	why = cs_version_problem();
	if (why != NULL)
		put_problem(rsinfo, "error", why,
					"ALTER EXTENSION cloudsync UPDATE;  -- or restart the "
					"server, if it still has the older library loaded");
	if (RecoveryInProgress())
		return (Datum) 0;
	if (cs_shared != NULL)
		problems_with_shmem(rsinfo);
	else
		problems_without_shmem(rsinfo);
	return (Datum) 0;
}
