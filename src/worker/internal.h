/*
 * internal.h
 *	  What the files of worker/ share: the shared memory's layout, how processes
 *	  are started, and the worker's loop. worker.h is the face to the others.
 */
#ifndef CLOUDSYNC_WORKER_INTERNAL_H
#define CLOUDSYNC_WORKER_INTERNAL_H

#include "postgres.h"

#include "cloudsync/compat.h"
#include "cloudsync/engine.h"
#include "cloudsync/worker.h"
#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "storage/condition_variable.h"
#include "storage/dsm.h"
#include "storage/latch.h"
#include "storage/lwlock.h"

/* ---- Shared memory (shmem.c), when preloaded ---- */

#define CS_MAX_DATABASES 256 /* that have the extension, or are looked at */
#define CS_MAX_HOLDS 64
#define CS_MAX_ACTIVITY 32 /* jobs shown for one worker */
#define CS_PROBLEM_MAX 256

typedef enum CsProcessKind
{
	CS_LAUNCHER,
	CS_SCHEDULER,
	CS_WORKER,
	CS_OCR,
	CS_WATCH,
	CS_OTHER /* asks a provider for a waiting session (ask.c) */
} CsProcessKind;

/* How a scheduler left; in the database's slot, or in its starter's report. */
typedef enum CsLeft
{
	CS_LEFT_NOT, /* running, or ended without saying why: start it again */
	CS_LEFT_NOTHING_HERE /* the database does not have the extension */
} CsLeft;

typedef struct CsDatabase
{
	Oid database;			  /* InvalidOid: free */
	pg_atomic_uint32 probe;	  /* the launcher shall start a scheduler */
	pg_atomic_uint32 changes; /* something is in the change log */
	pg_atomic_uint32 urgent;  /* somebody waits */
	pg_atomic_uint32 again;	  /* what a worker had taken waits again */
	pg_atomic_uint32 ended;	  /* runs, so far; */
	ConditionVariable end;	  /* for those who wait for the next one */
	Latch *volatile latch;	  /* the scheduler's; NULL: there is none */
	pid_t scheduler;
	CsLeft left;
	int left_well; /* workers, since the scheduler read it */
	char problem[CS_PROBLEM_MAX]; /* for the status; empty: none */
	uint32 no_slot; /* kinds of processes (bits) for which there was no slot */
	uint32 left_kinds; /* of helpers (bits) that left in good order of late */
	char action[CS_PROBLEM_MAX];
} CsDatabase;

/* A backend that must not meet our processes in a database (utility_hook.c). */
typedef struct CsHold
{
	Oid database;
	pid_t pid; /* 0: free */
} CsHold;

typedef struct CsActivity
{
	int64 run_id;
	int64 connection_id;
	int64 bytes_done;
	int64 bytes_total;
	TimestampTz at;			/* of these figures */
	TimestampTz started_at; /* first shown by this process, ... */
	int64 bytes_first;		/* ... with so much done already */
	double rate;			/* bytes a second, of late */
	char phase[16];
	char file[256];
} CsActivity;

typedef struct CsProcess
{
	pid_t pid; /* 0: free */
	Oid database;
	CsProcessKind kind;
	Latch *latch;
	bool idle; /* a worker without a job, or at its beginning */
	int n_activity;
	CsActivity activity[CS_MAX_ACTIVITY];
} CsProcess;

typedef struct CsShared
{
	LWLock *lock; /* guards everything but atomics and latches */
	pid_t launcher;
	Latch *volatile launcher_latch;
	pg_atomic_uint32 probe_all;
	CsHold holds[CS_MAX_HOLDS];
	CsDatabase databases[CS_MAX_DATABASES];
	int max_processes;
	CsProcess processes[FLEXIBLE_ARRAY_MEMBER];
} CsShared;

extern CsShared *cs_shared; /* NULL without preload */
extern CsProcess *cs_my_process;

extern void cs_shmem_init(void);
/* The database's slot; with create one is made if there is room. No lock held.
 */
extern CsDatabase *cs_database_slot(Oid database, bool create);
/* Frees the slot of a database that has no scheduler and needs none. */
extern void cs_database_forget(Oid database);
/* Beside that: whether a process of that kind waits for a background worker slot. */
extern void cs_problem_no_slot(Oid database, CsProcessKind kind, bool there_is_none);
/* What the status says of a database's workers; problem NULL: all is well. */
extern void cs_problem_set(Oid database, const char *problem,
						   const char *action);
/* What max_worker_processes is to become where it was too low. */
extern int cs_more_slots(void);
/* Takes a process slot, given back at exit; FATAL where there is none. */
extern void cs_process_attach(CsProcessKind kind, Oid database);
/* Takes the number of workers that left in good order since the last call. */
extern int cs_take_left_well(CsDatabase *slot);
/* The same of a kind of which there is one: did it, since the last call? */
extern bool cs_take_left(CsDatabase *slot, CsProcessKind kind);
extern void cs_wake_launcher(void);
/*
 * Holds of backends that must not meet our processes. _is_held: by anybody? Holds
 * of the dead go. _add: for this backend; false: there is no room. _release_all:
 * this backend's, and the launcher looks at those databases.
 */
extern bool cs_is_held(Oid database);
extern bool cs_hold_add(Oid database);
extern void cs_hold_release_all(void);

/* ---- Processes (process.c) ---- */

typedef enum CsWorkerMode
{
	CS_SERVE, /* lingers for more work, then leaves */
	CS_RUN,	  /* cloudsync_run: everything due now, then leaves */
	CS_INLINE /* within the scheduler, when no worker can be started */
} CsWorkerMode;

/* What a process is started for, in bgw_extra. */
typedef struct CsStart
{
	Oid database;
	CsWorkerMode mode;
	dsm_handle report; /* of a CsReport, or DSM_HANDLE_INVALID */
	int64 max_time;	   /* microseconds; 0: no limit */
} CsStart;

/* What a process tells its starter where there is no slot to write to. */
typedef struct CsReport
{
	CsLeft left;
	bool done; /* a scheduler: it found the extension */
	char error[512];
} CsReport;

extern const char *cs_process_title(CsProcessKind kind);
extern void cs_process_define(BackgroundWorker *worker, CsProcessKind kind,
							  const CsStart *start, int restart_seconds);
/* Signals, slot, database, settings. Does not return where it must not run. */
extern void cs_process_begin(CsProcessKind kind, CsStart *start,
							 CsReport **report);
extern void cs_process_reload(void);
extern void cs_process_check(void);

/* Was the latch set? Who sets it after that look is heard by the next one. */
extern bool cs_process_woken(void);
extern uint32 cs_wait_event(const char *name);

typedef enum CsHere
{
	CS_HERE_NOT,	   /* no extension in this database */
	CS_HERE_SUSPENDED, /* or versions that do not go together */
	CS_HERE_ACTIVE
} CsHere;
/* In a transaction of its own; *why is palloc'd unless active. */
extern CsHere cs_look_here(char **why);
/* Why library and SQL do not go together (W12); NULL: they do. */
extern const char *cs_version_problem(void);

/*
 * Processes of ours in a database, with or without shared memory. _count: and how
 * many of them are idle workers (idle may be NULL; 0 without shared memory).
 * _wake: sets their latches. _runs: is that one past its beginning? (True without
 * shared memory.) _find: the latch of one, and its pid (may be NULL); NULL: there
 * is none. They hold no lock when they return: what they say may be a moment old.
 */
extern int cs_count_processes(Oid database, CsProcessKind kind, int *idle);
extern void cs_wake_processes(Oid database, CsProcessKind kind);
extern bool cs_process_runs(Oid database, CsProcessKind kind, pid_t pid);
extern Latch *cs_find_process(Oid database, CsProcessKind kind, pid_t *pid);

/* ---- Locks (lease.c) ---- */

typedef enum CsLockClass
{
	CS_LOCK_LEASE = 0x4353, /* a connection */
	CS_LOCK_SCHEDULER,		/* there is one scheduler */
	CS_LOCK_PASS,			/* one process folds and schedules */
	CS_LOCK_TOKEN,			/* a connection's tokens */
	CS_LOCK_OCR,			/* one process reads documents */
	CS_LOCK_WATCH			/* one process watches folders */
} CsLockClass;

/*
 * For the session, within a transaction or out of it; wait: as long as it takes,
 * or an error after lock_timeout. False: another has it, or this session already.
 */
extern bool cs_lock_take(CsLockClass lock, int64 id, bool wait);
extern void cs_lock_release(CsLockClass lock, int64 id);

/* ---- The worker's loop (loop.c), and the scheduler's pass (scheduler.c) ----
 */

typedef struct CsServer CsServer;

extern CsServer *cs_server_create(CsWorkerMode mode);
/* One pass: takes leases, claims, advances, transfers, waits at most max_wait.
 */
extern void cs_server_pass(CsServer *server, bool woken, TimestampTz until);
extern bool cs_server_idle(CsServer *server);
extern TimestampTz cs_server_idle_since(CsServer *server);
/* Gives everything back, so that somebody else can go on with it. */
extern void cs_server_leave(CsServer *server);

/* False: a part of it failed, and is to be tried again. */
extern bool cs_schedule_pass(TimestampTz now, bool fold);

/* ---- activity.c ---- */
/* What these connections' jobs do: in shared memory, and in pg_stat_activity. */
extern void cs_activity_publish(const List *connections);
extern void cs_activity_tell(const List *connections);
/* This worker has something to do now: others are to be had for the rest. */
extern void cs_activity_busy(void);

/* ---- wishes.c ---- */
/*
 * Of these connections' jobs, the runs to be cancelled; of the connections, those
 * to be served no more, or to be opened anew: lists of int64 pointers in the
 * current memory context. Takes on limits that were changed. In a transaction of
 * its own.
 */
extern void cs_find_wishes(const List *connections, List **runs, List **ended);

/* ---- helper.c, ocr.c, watch.c ---- */

/* What a scheduler knows of a process of which there is one, while it is needed. */
typedef struct CsHelper
{
	BackgroundWorkerHandle *handle; /* NULL: none was started by us */
	TimestampTz started_at;
	TimestampTz start_at; /* not before */
	int failures;
	bool no_slot;
} CsHelper;

/*
 * _wake: is there one, or about to be? It is woken. _start: starts one, and gives
 * when to look again; for what, and what becomes of that while there is none.
 */
extern bool cs_helper_wake(CsHelper *helper, CsProcessKind kind, TimestampTz now);
extern TimestampTz cs_helper_start(CsHelper *helper, CsProcessKind kind, const char *what_for,
								   const char *meanwhile, TimestampTz now);

/* Start or wake it if there is something to read or to watch; when to look again. */
extern TimestampTz cs_ocr_keep(CsHelper *helper, TimestampTz now);
extern TimestampTz cs_watch_keep(CsHelper *helper, TimestampTz now);

/* ---- utility_hook.c ---- */
extern void cs_utility_hook_install(void);

extern PGDLLEXPORT void cs_launcher_main(Datum arg);
extern PGDLLEXPORT void cs_scheduler_main(Datum arg);
extern PGDLLEXPORT void cs_worker_main(Datum arg);
extern PGDLLEXPORT void cs_ocr_main(Datum arg);
extern PGDLLEXPORT void cs_watch_main(Datum arg);

#endif
