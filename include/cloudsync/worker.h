/*
 * worker.h
 *	  Processes: launcher, a scheduler for each database, transfer workers; how
 *	  they are started, woken and stopped (W1 to W12); what they show of
 *	  themselves in shared memory.
 */
#ifndef CLOUDSYNC_WORKER_H
#define CLOUDSYNC_WORKER_H

#include "postgres.h"

/* From _PG_init, when preloaded: shared memory, launcher, utility hook. */
extern void cs_worker_init(void);

/* Was the library preloaded, so that shared memory is there? */
extern bool cs_have_shmem(void);

/*
 * Wakes this database's scheduler when the transaction commits; a rollback
 * wakes nobody (W4). urgent: manual work, start within a second; otherwise a
 * change was noted, which the scheduler folds in its own time.
 */
extern void cs_wake_on_commit(bool urgent);

/* Session-level lock on a connection, of a class that SQL cannot take (W2). */
extern bool cs_lease_take(int64 connection_id); /* false: another has it */
extern void cs_lease_release(int64 connection_id);

#endif
