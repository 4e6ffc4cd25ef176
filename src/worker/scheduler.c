/*
 * scheduler.c
 *	  One process for each database that has the extension (W2). It folds the
 *	  change log, queues collections whose time has come, and sees to it that
 *	  enough workers run; it sleeps until the next work is due, and looks once a
 *	  minute. When no worker can be started it works itself, a little at a time
 *	  (W9).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "cloudsync/crash.h"
#include "cloudsync/db.h"
#include "cloudsync/notify.h"
#include "cloudsync/settings.h"
#include "internal.h"
#include "server.h"

#define LOOK_EVERY_MS 60000
#define LOOK_EVERY_US (LOOK_EVERY_MS * INT64CONST(1000))
#define FAILING_MS 5000	   /* before a part that failed is tried again */
#define RETRY_LOOK_MS 1000 /* work is due, and in workers' hands */
#define INLINE_MS 5000	   /* of the worker's loop within the scheduler */
#define SHORT_LIFE_MS 5000 /* a worker that ended sooner failed */
#define LAST_DELAY_MS 60000

typedef struct StartedWorker
{
	BackgroundWorkerHandle *handle;
	TimestampTz started_at;
	bool seen; /* among the processes, past its beginning */
} StartedWorker;

typedef struct Scheduler
{
	CsDatabase *slot;	  /* NULL without shared memory */
	List *workers;		  /* of StartedWorker */
	CsServer *server;	  /* for working itself; made on first use */
	int failures;		  /* workers in a row that ended at once */
	int left_well;		  /* workers that ended, and had not failed */
	TimestampTz start_at; /* not before: after such failures */
	TimestampTz fold_at;  /* changes wait; DT_NOEND: none known */
	TimestampTz look_at;  /* once a minute */
	TimestampTz hear_at;  /* of what waits again not sooner: once a second */
	int64 every;		  /* shortest interval of automatic pushes */
	CsHelper ocr;
	CsHelper watch;
	bool no_slot;
	bool woken; /* workers, for what nobody served */
	bool suspended;
	bool failing; /* a part of the schedule */
} Scheduler;

static void
fold_changes(TimestampTz now)
{
	while (cs_fold_changes(now))
		cs_process_check();
}

static void
backfill(TimestampTz now)
{
	(void) cs_backfill_step(now);
}

/*
 * Runs one part of the schedule. What fails in it holds up neither the other
 * parts nor the workers (W5); it is tried again by the next pass, and is said
 * in the log, the same words once a minute at most.
 */
static bool
guarded(void (*part)(TimestampTz now), const char *what, TimestampTz now)
{
	static char said[CS_PROBLEM_MAX] = "";
	static TimestampTz said_at = 0;
	MemoryContext context = CurrentMemoryContext;
	volatile bool ok = true;

	PG_TRY();
	{
		part(now);
	}
	PG_CATCH();
	{
		ErrorData *error = cs_take_error(context);
		char *problem = psprintf("%s failed: %s", what, error->message);

		ok = false;
		if (strncmp(said, problem, sizeof(said) - 1) != 0 ||
			TimestampDifferenceExceeds(said_at, now, LOOK_EVERY_MS))
			ereport(WARNING,
					(errcode(error->sqlerrcode),
					 errmsg("cloudsync: %s failed: %s", what, error->message),
					 error->detail ? errdetail("%s", error->detail) : 0,
					 error->context ? errcontext("%s", error->context) : 0));
		said_at = now;
		strlcpy(said, problem, sizeof(said));
		cs_problem_set(MyDatabaseId, problem,
					   "SELECT pg_current_logfile();  -- the server's log has "
					   "the details");
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return ok;
}

/*
 * Folds the change log when told so, and queues what is due by time. One
 * process at a time: cloudsync_run does this too.
 */
bool
cs_schedule_pass(TimestampTz now, bool fold)
{
	bool ok = true;

	if (!cs_lock_take(CS_LOCK_PASS, 0, true))
		return true;
	/* what is raised by guarded itself ends the process, and with it the lock
	 */
	if (fold)
	{
		ok = guarded(fold_changes, "folding changes", now);
		ok = guarded(cs_follow_renames, "following renames", now) && ok;
	}
	ok = guarded(cs_recover_orphans, "recovering what was left", now) && ok;
	ok = guarded(cs_unlock_connections, "unlocking connections", now) && ok;
	ok = guarded(cs_tell_states, "telling of connections' states", now) && ok;
	ok = guarded(backfill, "noting existing dossiers", now) && ok;
	ok = guarded(cs_schedule_collections, "scheduling collections", now) && ok;
	ok = guarded(cs_count_runs, "counting runs", now) && ok;
	ok = guarded(cs_remove_history, "removing old history", now) && ok;
	cs_lock_release(CS_LOCK_PASS, 0);
	return ok;
}

/* Leaves for good: there is nothing to do in this database. */
static void
leave(Scheduler *scheduler, CsReport *report, CsLeft left)
{
	CS_HOLD("scheduler.leave");
	if (scheduler->slot != NULL)
	{
		LWLockAcquire(cs_shared->lock, LW_EXCLUSIVE);
		scheduler->slot->left = left;
		scheduler->slot->problem[0] = '\0';
		LWLockRelease(cs_shared->lock);
	}
	if (report != NULL)
		report->left = left;
	proc_exit(0);
}

/*
 * Did a worker that ended fail? One that ended at once did, unless it left in
 * good order, told to or suspended.
 */
static bool
has_failed(Scheduler *scheduler, StartedWorker *worker, TimestampTz now)
{
	if (scheduler->left_well > 0)
	{
		scheduler->left_well--;
		return false;
	}
	return !TimestampDifferenceExceeds(worker->started_at, now, SHORT_LIFE_MS);
}

/* Forgets workers that ended; those that failed make us wait. */
static void
reap_workers(Scheduler *scheduler, TimestampTz now)
{
	ListCell *cell;

	if (scheduler->workers == NIL)
		return;
	if (scheduler->slot != NULL)
		scheduler->left_well += cs_take_left_well(scheduler->slot);
	foreach (cell, scheduler->workers)
	{
		StartedWorker *worker = lfirst(cell);
		pid_t pid;

		if (GetBackgroundWorkerPid(worker->handle, &pid) != BGWH_STOPPED)
			continue;
		if (!has_failed(scheduler, worker, now))
			scheduler->failures = 0;
		else
		{
			int delay = Min(LAST_DELAY_MS, 500 << Min(scheduler->failures, 10));

			scheduler->failures++;
			scheduler->start_at = TimestampTzPlusMilliseconds(now, delay);
			ereport(LOG, (errmsg("a cloudsync worker failed soon after its "
								 "start; another one is started in %d ms",
								 delay)));
		}
		pfree(worker->handle);
		pfree(worker);
		scheduler->workers = foreach_delete_current(scheduler->workers, cell);
	}
	/* the rest were not started by us */
	if (scheduler->workers == NIL)
		scheduler->left_well = 0;
}

/*
 * Workers that run or are about to; how many of them are to be had for more
 * work. Without shared memory one that was woken a moment ago for what is still
 * not served is not.
 */
static int
count_workers(Scheduler *scheduler, int *available)
{
	int count = cs_count_processes(MyDatabaseId, CS_WORKER, available);
	ListCell *cell;

	if (cs_shared == NULL && !scheduler->woken)
		*available = count;
	foreach (cell, scheduler->workers)
	{
		StartedWorker *worker = lfirst(cell);
		pid_t pid;
		BgwHandleStatus status = GetBackgroundWorkerPid(worker->handle, &pid);

		if (status == BGWH_STARTED && !worker->seen)
			worker->seen = cs_process_runs(MyDatabaseId, CS_WORKER, pid);
		if (status == BGWH_NOT_YET_STARTED ||
			(status == BGWH_STARTED && !worker->seen))
		{
			count++;
			(*available)++;
		}
	}
	return count;
}

static void
note_no_slot(Scheduler *scheduler)
{
	if (!scheduler->no_slot)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("cloudsync could not start a worker: all background "
						"worker slots are in use"),
				 errdetail("The scheduler does the work itself meanwhile, more "
						   "slowly."),
				 errhint("Increase max_worker_processes.")));
	scheduler->no_slot = true;
	cs_problem_set(MyDatabaseId,
				   "no worker can be started: all background worker slots are "
				   "in use; the scheduler does the work itself, more slowly",
				   psprintf("ALTER SYSTEM SET max_worker_processes = %d;  -- and "
							"restart the server",
							cs_more_slots()));
}

static bool
start_worker(Scheduler *scheduler, TimestampTz now)
{
	CsStart start = {.database = MyDatabaseId, .report = DSM_HANDLE_INVALID};
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;
	StartedWorker *started;
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	cs_process_define(&worker, CS_WORKER, &start, -1);
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
	{
		MemoryContextSwitchTo(old);
		return false;
	}
	started = palloc(sizeof(StartedWorker));
	started->handle = handle;
	started->started_at = now;
	started->seen = false;
	scheduler->workers = lappend(scheduler->workers, started);
	MemoryContextSwitchTo(old);
	return true;
}

/*
 * So many connections have work and nobody who serves them: wakes the workers
 * there are, and starts more for those that none is to be had for. Workers that
 * are busy may be so for long. False: there is none, and none can be had now.
 */
static bool
provide_workers(Scheduler *scheduler, int needed, TimestampTz now)
{
	int available;
	int count = count_workers(scheduler, &available);

	cs_wake_processes(MyDatabaseId, CS_WORKER);
	scheduler->woken = needed > 0;
	if (scheduler->start_at > now)
		return true;
	for (; available < needed && count < cs_max_workers; available++, count++)
	{
		if (!start_worker(scheduler, now))
		{
			note_no_slot(scheduler);
			return count > 0;
		}
	}
	if (scheduler->no_slot && (needed > 0 || count > 0))
	{
		scheduler->no_slot = false;
		cs_problem_set(MyDatabaseId, NULL, NULL);
	}
	return true;
}

/*
 * A bounded piece of the worker's loop, so that the work goes on (W9). What was
 * begun is gone on with by later passes; then the leases are given back, for
 * workers may be had again.
 */
static void
work_inline(Scheduler *scheduler)
{
	TimestampTz until =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), INLINE_MS);
	bool woken = true;

	if (scheduler->server == NULL)
		scheduler->server = cs_server_create(CS_INLINE);
	cs_share_flush(true);
	do
	{
		cs_process_check();
		cs_process_reload();
		cs_server_pass(scheduler->server, woken, until);
		woken = cs_process_woken();
	} while (!cs_server_idle(scheduler->server) &&
			 GetCurrentTimestamp() < until);
	if (cs_server_idle(scheduler->server))
	{
		cs_server_leave(scheduler->server);
		scheduler->server = NULL;
	}
	cs_share_flush(false);
	/* a wake-up that came meanwhile is still to be heard */
	if (scheduler->slot != NULL &&
		(pg_atomic_read_u32(&scheduler->slot->urgent) != 0 ||
		 pg_atomic_read_u32(&scheduler->slot->changes) != 0))
		SetLatch(MyLatch);
}

/* What the flags of committed transactions and the clock ask for. */
static bool
fold_now(Scheduler *scheduler, TimestampTz now, bool look)
{
	bool urgent = false;

	if (scheduler->slot != NULL)
	{
		urgent = pg_atomic_exchange_u32(&scheduler->slot->urgent, 0) != 0;
		if (scheduler->fold_at == DT_NOEND &&
			pg_atomic_exchange_u32(&scheduler->slot->changes, 0) != 0)
			scheduler->fold_at =
				now + (scheduler->every > 0
						   ? Min(scheduler->every / 4, LOOK_EVERY_US)
						   : LOOK_EVERY_US);
	}
	if (!urgent && !look && now < scheduler->fold_at)
		return false;
	scheduler->fold_at = DT_NOEND;
	if (scheduler->slot != NULL)
		pg_atomic_write_u32(&scheduler->slot->changes, 0);
	return true;
}

/*
 * Workers told of what they had taken and waits for its time again: this pass finds
 * it. However many they tell of, it is one pass a second; returns when the next is.
 */
static TimestampTz
hear(Scheduler *scheduler, TimestampTz now)
{
	if (scheduler->slot == NULL || pg_atomic_read_u32(&scheduler->slot->again) == 0)
		return DT_NOEND;
	if (now < scheduler->hear_at)
		return scheduler->hear_at;
	pg_atomic_write_u32(&scheduler->slot->again, 0);
	pg_memory_barrier();
	scheduler->hear_at = TimestampTzPlusMilliseconds(now, RETRY_LOOK_MS);
	return DT_NOEND;
}

/* Does what is due now; returns when there will be more. */
static TimestampTz
pass(Scheduler *scheduler, TimestampTz now, bool fold)
{
	int needed;
	TimestampTz next;
	bool was_failing = scheduler->failing;
	bool alone = false;
	bool due;

	scheduler->failing = !cs_schedule_pass(now, fold);
	if (!scheduler->failing && was_failing)
		cs_problem_set(MyDatabaseId, NULL, NULL);
	needed = cs_count_unserved(now, cs_max_workers, &due);
	if (due || cs_count_processes(MyDatabaseId, CS_WORKER, NULL) > 0)
		alone = !provide_workers(scheduler, needed, now);
	if (alone || scheduler->server != NULL)
		work_inline(scheduler);
	cs_notify_send();
	next = Min(cs_next_due(now), cs_ocr_keep(&scheduler->ocr, now));
	next = Min(next, cs_watch_keep(&scheduler->watch, now));
	if (scheduler->failing)
	{
		scheduler->fold_at = TimestampTzPlusMilliseconds(now, FAILING_MS);
		next = Max(next, scheduler->fold_at);
	}
	if (next <= now || due || scheduler->server != NULL)
	{
		TimestampTz again = TimestampTzPlusMilliseconds(now, RETRY_LOOK_MS);

		if (scheduler->server != NULL)
			again = now;
		next = next <= now ? again : Min(next, again);
	}
	return next;
}

/*
 * The database's extension and whether this copy may act, once a minute and
 * when woken. Workers see for themselves; they are woken when this changes.
 */
static bool
may_act(Scheduler *scheduler, CsReport *report)
{
	char *why;
	CsHere here = cs_look_here(&why);

	if (here == CS_HERE_NOT)
		leave(scheduler, report, CS_LEFT_NOTHING_HERE);
	if (here == CS_HERE_SUSPENDED && !scheduler->suspended)
	{
		ereport(LOG, (errmsg("cloudsync does nothing in database %u: %s",
							 MyDatabaseId, why)));
		cs_wake_processes(MyDatabaseId, CS_WORKER);
		cs_wake_processes(MyDatabaseId, CS_OCR);
		cs_wake_processes(MyDatabaseId, CS_WATCH);
		if (scheduler->server != NULL)
			cs_server_leave(scheduler->server);
		scheduler->server = NULL;
	}
	scheduler->suspended = here == CS_HERE_SUSPENDED;
	return here == CS_HERE_ACTIVE;
}

/* The time to sleep; shorter without shared memory, where nobody tells us. */
static long
sleep_ms(Scheduler *scheduler, TimestampTz next)
{
	TimestampTz now = GetCurrentTimestamp();

	next = Min(next, scheduler->look_at);
	next = Min(next, scheduler->fold_at);
	if (scheduler->failures > 0 && scheduler->start_at > now)
		next = Min(next, scheduler->start_at);
	return TimestampDifferenceMilliseconds(now, next) + 1;
}

static void
set_look_at(Scheduler *scheduler, TimestampTz now)
{
	int64 ms = LOOK_EVERY_MS;

	if (scheduler->slot == NULL && !scheduler->suspended &&
		scheduler->every > 0)
		ms = Max(100, Min(ms, scheduler->every / 2000));
	scheduler->look_at = TimestampTzPlusMilliseconds(now, ms);
}

/* There is one scheduler in a database; who finds another leaves. */
static void
become_scheduler(Scheduler *scheduler, CsReport *report)
{
	char *why;

	scheduler->slot = cs_database_slot(MyDatabaseId, false);
	scheduler->fold_at = DT_NOEND;
	if (!cs_lock_take(CS_LOCK_SCHEDULER, 0, false))
		proc_exit(0);
	if (cs_look_here(&why) == CS_HERE_NOT)
		leave(scheduler, report, CS_LEFT_NOTHING_HERE);
	if (report != NULL)
		report->done = true;
	if (scheduler->slot != NULL)
	{
		LWLockAcquire(cs_shared->lock, LW_EXCLUSIVE);
		scheduler->slot->scheduler = MyProcPid;
		scheduler->slot->latch = MyLatch;
		scheduler->slot->problem[0] = '\0';
		LWLockRelease(cs_shared->lock);
	}
}

void
cs_scheduler_main(Datum arg)
{
	Scheduler scheduler = {0};
	MemoryContext context;
	CsStart start;
	CsReport *report;
	uint32 wait_event;

	cs_process_begin(CS_SCHEDULER, &start, &report);
	wait_event = cs_wait_event("CloudsyncSchedulerMain");
	context = AllocSetContextCreate(TopMemoryContext, "cloudsync scheduler",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	become_scheduler(&scheduler, report);
	for (;;)
	{
		TimestampTz now;
		TimestampTz next = DT_NOEND;
		bool look;

		ResetLatch(MyLatch);
		cs_process_check();
		cs_process_reload();
		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		now = GetCurrentTimestamp();
		look = now >= scheduler.look_at;
		reap_workers(&scheduler, now);
		if (may_act(&scheduler, report))
		{
			TimestampTz hear_at = hear(&scheduler, now);

			scheduler.every = cs_shortest_every();
			next = pass(&scheduler, now, fold_now(&scheduler, now, look));
			next = Min(next, hear_at);
		}
		if (look)
			set_look_at(&scheduler, now);
		MemoryContextSwitchTo(context);
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 sleep_ms(&scheduler, next), wait_event);
	}
}
