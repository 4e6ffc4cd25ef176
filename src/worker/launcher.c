/*
 * launcher.c
 *	  One process for the cluster, connected to no database (W1). It sees to it
 *	  that every database that has the extension has a scheduler: starts one in
 *	  each database that it has not looked at yet, forgets those that answer
 *	  that the extension is not there, and starts those again that ended, later
 *	  and later while they keep failing.
 *
 * Without preload, cloudsync_start_worker() starts the same process for one
 * database; it then keeps that scheduler until the extension is gone.
 */
#include "postgres.h"

#include <signal.h>

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "internal.h"

#define LOOK_EVERY_MS 60000
#define HEALTHY_MS 60000   /* a scheduler that lived so long starts anew */
#define FIRST_DELAY_MS 500 /* doubling to */
#define LAST_DELAY_MS 60000
#define KEEP_LOOKING_MS 60000 /* for an extension whose creation may commit */

/* What the launcher knows of a database. */
typedef struct Known
{
	Oid database; /* key */
	bool seen;	  /* in the scan under way */
	bool wanted;  /* a scheduler shall run */
	bool again;	  /* asked for while one ran that may be about to leave */
	BackgroundWorkerHandle *handle;
	dsm_segment *report; /* without shared memory */
	TimestampTz started_at;
	TimestampTz start_at; /* not before */
	int failures;
} Known;

static HTAB *known = NULL;
static Oid only_database = InvalidOid;
static TimestampTz launched_at;
static bool warned_no_slot = false;

/* May a scheduler run in this database? */
static bool
eligible(Form_pg_database form)
{
	if (OidIsValid(only_database))
		return form->oid == only_database;
	return !form->datistemplate && form->datallowconn &&
		   form->datconnlimit != -2;
}

/* Reads pg_database; new databases are wanted, those that went are not known.
 */
static void
look_at_databases(bool probe_all)
{
	HASH_SEQ_STATUS seq;
	Known *entry;
	Relation rel;
	TableScanDesc scan;
	HeapTuple tuple;

	hash_seq_init(&seq, known);
	while ((entry = hash_seq_search(&seq)) != NULL)
		entry->seen = false;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		bool found;

		if (!eligible(form))
			continue;
		entry = hash_search(known, &form->oid, HASH_ENTER, &found);
		if (!found)
		{
			memset(entry, 0, sizeof(*entry));
			entry->database = form->oid;
		}
		if (!found || probe_all)
			entry->wanted = true;
		if (probe_all)
			entry->again = entry->handle != NULL;
		entry->seen = true;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
}

static void
drop_report(Known *entry)
{
	if (entry->report != NULL)
		dsm_detach(entry->report);
	entry->report = NULL;
}

/* A scheduler ended: shall there be another one, and when? */
static void
scheduler_ended(Known *entry, TimestampTz now)
{
	CsDatabase *slot = cs_database_slot(entry->database, false);
	CsLeft left = CS_LEFT_NOT;
	bool served = false;
	int delay;

	if (slot != NULL)
		left = slot->left;
	else if (entry->report != NULL)
	{
		CsReport *report = dsm_segment_address(entry->report);

		left = report->left;
		served = report->done;
	}
	drop_report(entry);
	if (entry->handle != NULL)
		pfree(entry->handle);
	entry->handle = NULL;
	if (left == CS_LEFT_NOTHING_HERE)
	{
		/* it may have looked before what we were asked to look for was there */
		entry->wanted = entry->again;
		entry->again = false;
		entry->failures = 0;
		entry->start_at = now;
		if (!OidIsValid(only_database))
			return;
		/* the transaction that makes it and started us may not be over yet */
		if (served ||
			TimestampDifferenceExceeds(launched_at, now, KEEP_LOOKING_MS))
			proc_exit(0);
		entry->wanted = true;
		entry->start_at = TimestampTzPlusMilliseconds(now, 1000);
		return;
	}
	if (TimestampDifferenceExceeds(entry->started_at, now, HEALTHY_MS))
		entry->failures = 0;
	delay = Min(LAST_DELAY_MS, FIRST_DELAY_MS << Min(entry->failures, 10));
	entry->failures++;
	entry->wanted = true;
	entry->start_at = TimestampTzPlusMilliseconds(now, delay);
}

static dsm_handle
make_report(Known *entry)
{
	if (cs_shared != NULL)
		return DSM_HANDLE_INVALID;
	entry->report = dsm_create(sizeof(CsReport), 0);
	dsm_pin_mapping(entry->report);
	memset(dsm_segment_address(entry->report), 0, sizeof(CsReport));
	return dsm_segment_handle(entry->report);
}

/* Starts a scheduler, or says once that there is no slot for it. */
static void
start_scheduler(Known *entry, TimestampTz now)
{
	CsStart start = {.database = entry->database};
	BackgroundWorker worker;
	MemoryContext old;
	bool ok;

	if (cs_shared != NULL && cs_database_slot(entry->database, true) == NULL)
	{
		entry->start_at = TimestampTzPlusMilliseconds(now, LAST_DELAY_MS);
		ereport(WARNING, (errmsg("cloudsync serves no more than %d databases",
								 CS_MAX_DATABASES)));
		return;
	}
	start.report = make_report(entry);
	cs_process_define(&worker, CS_SCHEDULER, &start, -1);
	old = MemoryContextSwitchTo(TopMemoryContext);
	ok = RegisterDynamicBackgroundWorker(&worker, &entry->handle);
	MemoryContextSwitchTo(old);
	if (ok)
	{
		entry->started_at = now;
		warned_no_slot = false;
		return;
	}
	entry->handle = NULL;
	drop_report(entry);
	entry->start_at = TimestampTzPlusMilliseconds(now, 5000);
	cs_problem_set(entry->database,
				   "the scheduler could not be started: all background worker "
				   "slots are in use",
				   psprintf("ALTER SYSTEM SET max_worker_processes = %d;  -- and "
							"restart the server",
							cs_more_slots()));
	if (!warned_no_slot)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("cloudsync could not start a scheduler: all background "
						"worker slots are in use"),
				 errhint("Increase max_worker_processes.")));
	warned_no_slot = true;
}

/* Is the scheduler there, or about to be? */
static bool
scheduler_runs(Known *entry, CsDatabase *slot)
{
	pid_t pid;

	if (entry->handle != NULL)
		return GetBackgroundWorkerPid(entry->handle, &pid) != BGWH_STOPPED;
	return slot != NULL && slot->scheduler != 0;
}

/* A database that may have none (any more): its scheduler leaves. */
static void
end_scheduler(Known *entry)
{
	CsDatabase *slot = cs_database_slot(entry->database, false);

	if (entry->handle != NULL)
		TerminateBackgroundWorker(entry->handle);
	else if (slot != NULL && slot->scheduler != 0)
		kill(slot->scheduler, SIGTERM);
	drop_report(entry);
	cs_database_forget(entry->database);
	if (entry->handle != NULL)
		pfree(entry->handle);
	hash_search(known, &entry->database, HASH_REMOVE, NULL);
}

/*
 * Brings each database to what it should be. Returns when to look again at the
 * latest.
 */
static TimestampTz
tend(TimestampTz now)
{
	TimestampTz next = TimestampTzPlusMilliseconds(now, LOOK_EVERY_MS);
	HASH_SEQ_STATUS seq;
	Known *entry;

	hash_seq_init(&seq, known);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		CsDatabase *slot = cs_database_slot(entry->database, false);
		pid_t pid;

		if (!entry->seen)
		{
			end_scheduler(entry);
			continue;
		}
		if (entry->handle != NULL &&
			GetBackgroundWorkerPid(entry->handle, &pid) == BGWH_STOPPED)
			scheduler_ended(entry, now);
		if (slot != NULL && pg_atomic_exchange_u32(&slot->probe, 0) != 0)
		{
			entry->wanted = true;
			entry->again = entry->handle != NULL;
			entry->failures = 0;
			entry->start_at = now;
		}
		if (cs_is_held(entry->database))
		{
			/* whatever becomes of it, it is to be looked at afterwards */
			entry->wanted = true;
			entry->failures = 0;
			entry->start_at = now;
			continue;
		}
		if (scheduler_runs(entry, slot))
			continue;
		if (!entry->wanted)
			cs_database_forget(entry->database);
		else if (entry->start_at <= now)
			start_scheduler(entry, now);
		if (entry->wanted && !scheduler_runs(entry, slot) &&
			entry->start_at < next)
			next = entry->start_at;
	}
	return next;
}

static void
make_known(void)
{
	HASHCTL ctl = {0};

	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(Known);
	ctl.hcxt = TopMemoryContext;
	known = hash_create("cloudsync databases", 64, &ctl,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void
cs_launcher_main(Datum arg)
{
	MemoryContext context;
	CsStart start;
	CsReport *report;
	uint32 wait_event;

	cs_process_begin(CS_LAUNCHER, &start, &report);
	only_database = start.database;
	wait_event = cs_wait_event("CloudsyncLauncherMain");
	context = AllocSetContextCreate(TopMemoryContext, "cloudsync launcher",
									ALLOCSET_DEFAULT_SIZES);
	make_known();
	launched_at = GetCurrentTimestamp();
	for (;;)
	{
		TimestampTz next;
		bool probe_all = false;

		ResetLatch(MyLatch);
		cs_process_check();
		cs_process_reload();
		MemoryContextSwitchTo(context);
		if (cs_shared != NULL)
			probe_all = pg_atomic_exchange_u32(&cs_shared->probe_all, 0) != 0;
		look_at_databases(probe_all);
		MemoryContextSwitchTo(context);
		if (OidIsValid(only_database) && hash_get_num_entries(known) == 0)
			proc_exit(0);
		next = tend(GetCurrentTimestamp());
		MemoryContextReset(context);
		(void) WaitLatch(
			MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
			TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next) + 1,
			wait_event);
	}
}
