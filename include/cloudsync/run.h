/*
 * run.h
 *	  What executions of all kinds share: how a run ends, and how long to wait
 *	  before the next attempt. Implemented in src/engine/run.c.
 */
#ifndef CLOUDSYNC_RUN_H
#define CLOUDSYNC_RUN_H

#include "postgres.h"

#include "cloudsync/failure.h"
#include "datatype/timestamp.h"

/*
 * Ends a run and those that shared its execution, in a transaction: state, and
 * error or NULL. Their counters have been kept on the run that executed.
 */
extern void cs_run_end(int64 run_id, const char *kind, const char *state,
					   const char *error, TimestampTz now);

/* "message: detail" of a failure; palloc'd. */
extern char *cs_failure_text(const CsFailure *failure);

/* Between three and five quarters of it, so that many do not come back at once. */
extern int64 cs_jittered(int64 milliseconds);

#endif
