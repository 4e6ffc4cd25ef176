/*
 * wake.h
 *	  The two services of the process layer that every layer may use: waking
 *	  when a transaction commits, and leases. Implemented in src/worker/.
 */
#ifndef CLOUDSYNC_WAKE_H
#define CLOUDSYNC_WAKE_H

#include "postgres.h"

/*
 * Wakes this database's scheduler when the transaction commits; a rollback
 * wakes nobody (W4). urgent: manual work, start within a second; otherwise a
 * change was noted, which the scheduler folds in its own time.
 */
extern void cs_wake_on_commit(bool urgent);

/*
 * Work that a worker had in its hands waits for its time again: the scheduler,
 * which counts on workers for what they took, is to look when the next is due.
 */
extern void cs_look_again_on_commit(void);

/*
 * A run ends with this transaction: tells those who wait for one, when it
 * commits. cs_ends_told: how many ends were told in this database (-1: nothing
 * is told, without preload). cs_wait_for_end: until there are more than that,
 * and so long at most.
 */
extern void cs_tell_end_on_commit(void);
extern int64 cs_ends_told(void);
extern void cs_wait_for_end(int64 told, int64 timeout_ms);

/*
 * Documents were committed that are to be read: wakes the process that reads,
 * or the scheduler, who starts one. For workers, outside transactions.
 */
extern void cs_wake_reader(void);

/* Session-level lock on a connection, of a class that SQL cannot take (W2). */
extern bool cs_lease_take(int64 connection_id); /* false: another has it */
extern void cs_lease_release(int64 connection_id);

/* The same on a connection's tokens: one process at a time asks for new ones. */
extern bool cs_token_lock(int64 connection_id);
extern void cs_token_unlock(int64 connection_id);

#endif
