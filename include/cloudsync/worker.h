/*
 * worker.h
 *	  Processes: launcher, a scheduler for each database, transfer workers; how
 *	  they are started, woken and stopped (W1 to W12); what they show of
 *	  themselves in shared memory.
 */
#ifndef CLOUDSYNC_WORKER_H
#define CLOUDSYNC_WORKER_H

#include "postgres.h"

#include "cloudsync/wake.h"

/* From _PG_init, when preloaded: shared memory, launcher, utility hook. */
extern void cs_worker_init(void);

/* Was the library preloaded, so that shared memory is there? */
extern bool cs_have_shmem(void);

/*
 * For other background workers of ours: connects to the database, under the same
 * settings as the lasting ones whatever the database's say; commands that they
 * would stand in the way of end them too. Does not return while such a command is
 * under way. Signals are unblocked, and their handlers set, before.
 */
extern void cs_process_join(Oid database);

#endif
