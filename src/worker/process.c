/*
 * process.c
 *	  What launcher, scheduler and workers have in common: how they are
 *	  registered, begin, find each other, and learn whether this database wants
 *	  them (W1, W8, W12).
 */
#include "postgres.h"

#include <signal.h>
#include <unistd.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/rel.h"

#include "cloudsync/db.h"
#include "internal.h"

static const char *const titles[] = {"cloudsync launcher",
									 "cloudsync scheduler", "cloudsync worker",
									 "cloudsync ocr", "cloudsync watch"};
static const char *const mains[] = {"cs_launcher_main", "cs_scheduler_main",
									"cs_worker_main", "cs_ocr_main", "cs_watch_main"};

const char *
cs_process_title(CsProcessKind kind)
{
	return titles[kind];
}

/*
 * Fills in the registration of a process. Starters hear of its start and end
 * by their latch. restart_seconds < 0: the postmaster does not start it again.
 */
void
cs_process_define(BackgroundWorker *worker, CsProcessKind kind,
				  const CsStart *start, int restart_seconds)
{
	StaticAssertStmt(sizeof(CsStart) <= BGW_EXTRALEN,
					 "CsStart must fit into bgw_extra");
	memset(worker, 0, sizeof(*worker));
	worker->bgw_flags =
		BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
#ifdef BGWORKER_INTERRUPTIBLE
	worker->bgw_flags |= BGWORKER_INTERRUPTIBLE;
#endif
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time =
		restart_seconds < 0 ? BGW_NEVER_RESTART : restart_seconds;
	strlcpy(worker->bgw_name, titles[kind], BGW_MAXLEN);
	strlcpy(worker->bgw_type, titles[kind], BGW_MAXLEN);
	strlcpy(worker->bgw_library_name, "cloudsync", BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, mains[kind], BGW_MAXLEN);
	memcpy(worker->bgw_extra, start, sizeof(*start));
	worker->bgw_notify_pid = IsUnderPostmaster ? MyProcPid : 0;
}

static void
set_option(const char *name, const char *value)
{
	SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * Whatever the database's or the cluster's settings say for sessions, our
 * transactions run under these (design decision 3).
 */
static void
set_options(void)
{
	set_option("search_path", "pg_catalog, pg_temp");
	set_option("session_replication_role", "origin");
	set_option("row_security", "off");
	set_option("default_transaction_isolation", "read committed");
	set_option("default_transaction_read_only", "off");
	set_option("statement_timeout", "0");
	set_option("lock_timeout", "10s");
	set_option("idle_in_transaction_session_timeout", "0");
	/* from 17 on */
	if (GetConfigOption("transaction_timeout", true, false) != NULL)
		set_option("transaction_timeout", "0");
	set_option("jit", "off");
	/* parallel plans would take the few slots that workers need */
	set_option("max_parallel_workers_per_gather", "0");
	if (synchronous_commit < SYNCHRONOUS_COMMIT_ON)
		set_option("synchronous_commit", "on");
}

/*
 * Connects to a database, or to none, unless a command is under way that we would
 * stand in the way of. The server's code ignores SIGHUP until our handler is set:
 * one that came since the fork is lost, so that each process reads the settings
 * once itself.
 */
static void
connect_to(Oid database)
{
	ConfigReloadPending = true;
	if (OidIsValid(database))
	{
		if (cs_is_held(database))
			proc_exit(0);
		BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	}
	else
		BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	cs_process_reload();
	set_options();
}

/*
 * The beginning of every process that lasts. SIGTERM ends it by `die` at the next
 * CHECK_FOR_INTERRUPTS, lock waits included; SIGUSR1 stays the server's.
 */
void
cs_process_begin(CsProcessKind kind, CsStart *start, CsReport **report)
{
	memcpy(start, MyBgworkerEntry->bgw_extra, sizeof(*start));
	*report = NULL;
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	cs_process_attach(kind, kind == CS_LAUNCHER ? InvalidOid : start->database);
	if (start->report != DSM_HANDLE_INVALID)
	{
		dsm_segment *segment = dsm_attach(start->report);

		/* the starter has gone: nobody wants this any more */
		if (segment == NULL)
			proc_exit(0);
		dsm_pin_mapping(segment);
		*report = dsm_segment_address(segment);
	}
	BackgroundWorkerUnblockSignals();
	connect_to(kind == CS_LAUNCHER ? InvalidOid : start->database);
	pgstat_report_appname(titles[kind]);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/*
 * CHECK_FOR_INTERRUPTS between two pieces of work, outside transactions: who is
 * told to end there does so without a FATAL in the log. The launcher's exit code
 * has the postmaster start it again.
 */
void
cs_process_check(void)
{
	if (ProcDiePending)
		proc_exit(MyBgworkerEntry->bgw_restart_time == BGW_NEVER_RESTART ? 0
																		 : 1);
	CHECK_FOR_INTERRUPTS();
}

/* See internal.h. Reset unseen, a latch that is set just now would wake nobody. */
bool
cs_process_woken(void)
{
	if (!MyLatch->is_set)
		return false;
	ResetLatch(MyLatch);
	return true;
}

/* Reads the settings again if they were said to have changed. */
void
cs_process_reload(void)
{
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/* See worker.h. */
void
cs_process_join(Oid database)
{
	cs_process_attach(CS_OTHER, database);
	connect_to(database);
}

/* A wait event of our own where the server has them, else the general one. */
uint32
cs_wait_event(const char *name)
{
	return CsWaitEventNew(name);
}

/* The installed SQL's version, palloc'd; NULL if there is no extension. */
static char *
installed_version(void)
{
	Relation rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	char *version = NULL;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum("cloudsync"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool isnull;
		Datum value = heap_getattr(tuple, Anum_pg_extension_extversion,
								   RelationGetDescr(rel), &isnull);

		version = isnull ? pstrdup("") : TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return version;
}

/*
 * Library and SQL of neighbouring minor versions work together (W12). In a
 * transaction.
 */
const char *
cs_version_problem(void)
{
	char *sql = installed_version();
	int sql_major;
	int sql_minor;
	int library_major;
	int library_minor;

	if (sql == NULL)
		return NULL;
	if (sscanf(CLOUDSYNC_VERSION, "%d.%d", &library_major, &library_minor) != 2)
		elog(ERROR, "malformed version \"%s\"", CLOUDSYNC_VERSION);
	if (sscanf(sql, "%d.%d", &sql_major, &sql_minor) == 2 &&
		sql_major == library_major && abs(sql_minor - library_minor) <= 1)
		return NULL;
	return psprintf("the library is version %s and the extension in this "
					"database is version %s",
					CLOUDSYNC_VERSION, sql);
}

/* Does this database want workers? */
CsHere
cs_look_here(char **why)
{
	MemoryContext context = CurrentMemoryContext;
	CsHere here = CS_HERE_ACTIVE;
	const char *reason = NULL;

	cs_begin("looking whether this database has work");
	if (!OidIsValid(get_extension_oid("cloudsync", true)))
		here = CS_HERE_NOT;
	else if ((reason = cs_version_problem()) != NULL ||
			 (reason = cs_why_suspended()) != NULL)
		here = CS_HERE_SUSPENDED;
	*why = reason ? MemoryContextStrdup(context, reason) : NULL;
	cs_commit();
	return here;
}

/*
 * Without shared memory: is it a process of ours in that database? Its pid, or 0.
 * The array of all processes is read without its lock: what is seen may be a
 * moment old, which is enough for a wake-up or a count.
 */
static int
pid_of_ours(const PGPROC *proc, Oid database, CsProcessKind kind)
{
	int pid = proc->pid;
	const char *type;

	if (pid == 0 || proc->databaseId != database)
		return 0;
	type = GetBackgroundWorkerTypeByPid(pid);
	return type != NULL && strcmp(type, titles[kind]) == 0 ? pid : 0;
}

/* How many there are; the first one's latch and pid. */
static Latch *
scan_processes(Oid database, CsProcessKind kind, int *count, pid_t *pid)
{
	Latch *latch = NULL;

	*count = 0;
	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		PGPROC *proc = &ProcGlobal->allProcs[i];
		int found = pid_of_ours(proc, database, kind);

		if (found == 0)
			continue;
		(*count)++;
		if (latch == NULL)
		{
			latch = &proc->procLatch;
			if (pid)
				*pid = found;
		}
	}
	return latch;
}

Latch *
cs_find_process(Oid database, CsProcessKind kind, pid_t *pid)
{
	int count;

	return scan_processes(database, kind, &count, pid);
}

int
cs_count_processes(Oid database, CsProcessKind kind, int *idle)
{
	int count = 0;

	if (idle)
		*idle = 0;
	if (cs_shared == NULL)
	{
		(void) scan_processes(database, kind, &count, NULL);
		return count;
	}
	LWLockAcquire(cs_shared->lock, LW_SHARED);
	for (int i = 0; i < cs_shared->max_processes; i++)
	{
		CsProcess *process = &cs_shared->processes[i];

		if (process->pid == 0 || process->database != database ||
			process->kind != kind)
			continue;
		count++;
		if (process->idle && idle)
			(*idle)++;
	}
	LWLockRelease(cs_shared->lock);
	return count;
}

/* Is this process of ours there, past its beginning? */
bool
cs_process_runs(Oid database, CsProcessKind kind, pid_t pid)
{
	bool runs = false;

	if (cs_shared == NULL)
		return true;
	LWLockAcquire(cs_shared->lock, LW_SHARED);
	for (int i = 0; i < cs_shared->max_processes && !runs; i++)
	{
		CsProcess *process = &cs_shared->processes[i];

		runs = process->pid == pid && process->database == database &&
			   process->kind == kind;
	}
	LWLockRelease(cs_shared->lock);
	return runs;
}

void
cs_wake_processes(Oid database, CsProcessKind kind)
{
	if (cs_shared == NULL)
	{
		for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
		{
			PGPROC *proc = &ProcGlobal->allProcs[i];

			if (pid_of_ours(proc, database, kind) != 0)
				SetLatch(&proc->procLatch);
		}
		return;
	}
	LWLockAcquire(cs_shared->lock, LW_SHARED);
	for (int i = 0; i < cs_shared->max_processes; i++)
	{
		CsProcess *process = &cs_shared->processes[i];

		if (process->pid != 0 && process->database == database &&
			process->kind == kind)
			SetLatch(process->latch);
	}
	LWLockRelease(cs_shared->lock);
}
