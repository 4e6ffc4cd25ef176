/*
 * shmem.c
 *	  Shared memory of a preloaded library: one slot for each database that has
 *	  workers, one for each process, and the holds of backends that must not
 *	  meet them. Requested and set up through the chained hooks; empty again
 *	  after a crash of the server, as are the processes.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/shmem.h"

#include "internal.h"

CsShared *cs_shared = NULL;
CsProcess *cs_my_process = NULL;

static shmem_request_hook_type prev_request_hook = NULL;
static shmem_startup_hook_type prev_startup_hook = NULL;

static Size
shared_size(void)
{
	return add_size(offsetof(CsShared, processes),
					mul_size(sizeof(CsProcess), max_worker_processes));
}

static void
request(void)
{
	if (prev_request_hook)
		prev_request_hook();
	RequestAddinShmemSpace(shared_size());
	RequestNamedLWLockTranche("cloudsync", 1);
}

static void
startup(void)
{
	bool found;

	if (prev_startup_hook)
		prev_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	cs_shared = ShmemInitStruct("cloudsync", shared_size(), &found);
	if (!found)
	{
		memset(cs_shared, 0, shared_size());
		cs_shared->lock = &GetNamedLWLockTranche("cloudsync")->lock;
		cs_shared->max_processes = max_worker_processes;
		pg_atomic_init_u32(&cs_shared->probe_all, 0);
		for (int i = 0; i < CS_MAX_DATABASES; i++)
		{
			pg_atomic_init_u32(&cs_shared->databases[i].probe, 0);
			pg_atomic_init_u32(&cs_shared->databases[i].changes, 0);
			pg_atomic_init_u32(&cs_shared->databases[i].urgent, 0);
			pg_atomic_init_u32(&cs_shared->databases[i].again, 0);
			pg_atomic_init_u32(&cs_shared->databases[i].ended, 0);
			ConditionVariableInit(&cs_shared->databases[i].end);
		}
	}
	LWLockRelease(AddinShmemInitLock);
}

void
cs_shmem_init(void)
{
	CsOnShmemRequest(prev_request_hook, request);
	prev_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup;
}

bool
cs_have_shmem(void)
{
	return cs_shared != NULL;
}

/* The slot of a database; the lock is held. */
static CsDatabase *
find_database(Oid database)
{
	for (int i = 0; i < CS_MAX_DATABASES; i++)
		if (cs_shared->databases[i].database == database)
			return &cs_shared->databases[i];
	return NULL;
}

/*
 * A slot stays where it is as long as the database's workers may run, so the
 * pointer may be kept by them, and be looked at again by others with the
 * database's OID.
 */
CsDatabase *
cs_database_slot(Oid database, bool create)
{
	CsDatabase *slot;

	if (cs_shared == NULL || !OidIsValid(database))
		return NULL;
	LWLockAcquire(cs_shared->lock, create ? LW_EXCLUSIVE : LW_SHARED);
	slot = find_database(database);
	if (slot == NULL && create && (slot = find_database(InvalidOid)) != NULL)
	{
		slot->database = database;
		slot->latch = NULL;
		slot->scheduler = 0;
		slot->left = CS_LEFT_NOT;
		slot->left_well = 0;
		slot->problem[0] = slot->action[0] = '\0';
		slot->no_slot = 0;
		slot->left_kinds = 0;
		pg_atomic_write_u32(&slot->probe, 0);
		pg_atomic_write_u32(&slot->changes, 0);
		pg_atomic_write_u32(&slot->urgent, 0);
		pg_atomic_write_u32(&slot->again, 0);
	}
	LWLockRelease(cs_shared->lock);
	return slot;
}

/* Frees the slot of a database that has no scheduler and needs none. */
void
cs_database_forget(Oid database)
{
	CsDatabase *slot;

	if (cs_shared == NULL)
		return;
	LWLockAcquire(cs_shared->lock, LW_EXCLUSIVE);
	slot = find_database(database);
	if (slot != NULL && slot->scheduler == 0 &&
		pg_atomic_read_u32(&slot->probe) == 0)
		slot->database = InvalidOid;
	LWLockRelease(cs_shared->lock);
}

/* What max_worker_processes is to become where it was too low. */
int
cs_more_slots(void)
{
	return max_worker_processes + 8;
}

/* What the status shall say about a database's workers; NULL: all is well. */
void
cs_problem_set(Oid database, const char *problem, const char *action)
{
	CsDatabase *slot = cs_database_slot(database, false);

	if (slot == NULL || (problem == NULL && slot->problem[0] == '\0'))
		return;
	LWLockAcquire(cs_shared->lock, LW_EXCLUSIVE);
	strlcpy(slot->problem, problem ? problem : "", CS_PROBLEM_MAX);
	strlcpy(slot->action, action ? action : "", CS_PROBLEM_MAX);
	LWLockRelease(cs_shared->lock);
}

/* See internal.h. */
void
cs_problem_no_slot(Oid database, CsProcessKind kind, bool there_is_none)
{
	CsDatabase *slot = cs_database_slot(database, false);
	uint32 bit = 1 << kind;

	if (slot == NULL || ((slot->no_slot & bit) != 0) == there_is_none)
		return;
	LWLockAcquire(cs_shared->lock, LW_EXCLUSIVE);
	if (there_is_none)
		slot->no_slot |= bit;
	else
		slot->no_slot &= ~bit;
	LWLockRelease(cs_shared->lock);
}

/*
 * At a process's end: the slot is free, and who looks after it hears of it.
 * Runs after the backend has left the process array, so that who waits for the
 * slot to be free may count on that too.
 */
static void
process_detach(int code, Datum arg)
{
	CsProcess *process = cs_my_process;
	CsProcessKind kind;
	Latch *scheduler;
	CsDatabase *slot;

	if (process == NULL)
		return;
	kind = process->kind;
	cs_my_process = NULL;
	LWLockAcquire(cs_shared->lock, LW_EXCLUSIVE);
	if (kind == CS_LAUNCHER && cs_shared->launcher == MyProcPid)
	{
		cs_shared->launcher = 0;
		cs_shared->launcher_latch = NULL;
	}
	slot =
		OidIsValid(process->database) ? find_database(process->database) : NULL;
	if (slot != NULL && kind == CS_SCHEDULER &&
		slot->scheduler == MyProcPid)
	{
		slot->scheduler = 0;
		slot->latch = NULL;
	}
	if (slot != NULL && kind == CS_WORKER && code == 0)
		slot->left_well++;
	if (slot != NULL && code == 0)
		slot->left_kinds |= 1 << kind;
	process->n_activity = 0;
	process->pid = 0;
	LWLockRelease(cs_shared->lock);
	/* read once: it may be ending too */
	scheduler = slot != NULL ? slot->latch : NULL;
	if (scheduler != NULL)
		SetLatch(scheduler);
	if (kind == CS_SCHEDULER)
		cs_wake_launcher();
}

/*
 * Takes a process slot. Done before the process connects to its database and
 * before it looks for holds: a backend that holds the database either is seen
 * or sees us.
 */
void
cs_process_attach(CsProcessKind kind, Oid database)
{
	CsDatabase *slot;

	if (cs_shared == NULL)
		return;
	on_shmem_exit(process_detach, 0);
	slot = kind == CS_SCHEDULER ? cs_database_slot(database, true) : NULL;
	LWLockAcquire(cs_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < cs_shared->max_processes && cs_my_process == NULL; i++)
		if (cs_shared->processes[i].pid == 0)
			cs_my_process = &cs_shared->processes[i];
	if (cs_my_process == NULL)
	{
		LWLockRelease(cs_shared->lock);
		elog(FATAL, "cloudsync has more processes than max_worker_processes");
	}
	cs_my_process->pid = MyProcPid;
	cs_my_process->database = database;
	cs_my_process->kind = kind;
	cs_my_process->latch = MyLatch;
	cs_my_process->idle = kind == CS_WORKER;
	cs_my_process->n_activity = 0;
	if (kind == CS_LAUNCHER)
	{
		cs_shared->launcher = MyProcPid;
		cs_shared->launcher_latch = MyLatch;
	}
	if (slot != NULL)
		slot->left = CS_LEFT_NOT;
	LWLockRelease(cs_shared->lock);
}

int
cs_take_left_well(CsDatabase *slot)
{
	int result;

	LWLockAcquire(cs_shared->lock, LW_EXCLUSIVE);
	result = slot->left_well;
	slot->left_well = 0;
	LWLockRelease(cs_shared->lock);
	return result;
}

bool
cs_take_left(CsDatabase *slot, CsProcessKind kind)
{
	uint32 bit = 1 << kind;
	bool left;

	LWLockAcquire(cs_shared->lock, LW_EXCLUSIVE);
	left = (slot->left_kinds & bit) != 0;
	slot->left_kinds &= ~bit;
	LWLockRelease(cs_shared->lock);
	return left;
}

void
cs_wake_launcher(void)
{
	Latch *latch = cs_shared ? cs_shared->launcher_latch : NULL;

	if (latch != NULL)
		SetLatch(latch);
}

bool
cs_is_held(Oid database)
{
	bool held = false;

	if (cs_shared == NULL)
		return false;
	LWLockAcquire(cs_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < CS_MAX_HOLDS; i++)
	{
		CsHold *hold = &cs_shared->holds[i];

		if (hold->pid == 0 || hold->database != database)
			continue;
		if (BackendPidGetProc(hold->pid) == NULL)
			hold->pid = 0; /* its backend is gone */
		else
			held = true;
	}
	LWLockRelease(cs_shared->lock);
	return held;
}

/* Holds a database for this backend; false: there is no room. */
bool
cs_hold_add(Oid database)
{
	CsHold *room = NULL;
	bool held = false;

	LWLockAcquire(cs_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < CS_MAX_HOLDS; i++)
	{
		CsHold *hold = &cs_shared->holds[i];

		if (hold->pid == MyProcPid && hold->database == database)
			held = true;
		if (hold->pid == 0 && room == NULL)
			room = hold;
	}
	if (!held && room != NULL)
	{
		room->database = database;
		room->pid = MyProcPid;
	}
	LWLockRelease(cs_shared->lock);
	return held || room != NULL;
}

/* Ends this backend's holds and has the launcher look at those databases. */
void
cs_hold_release_all(void)
{
	LWLockAcquire(cs_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < CS_MAX_HOLDS; i++)
	{
		CsHold *hold = &cs_shared->holds[i];

		if (hold->pid == MyProcPid)
			hold->pid = 0;
	}
	LWLockRelease(cs_shared->lock);
	cs_wake_launcher();
}
