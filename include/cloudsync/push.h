/*
 * push.h
 *	  What the parts of a push share: the plan of a dossier (plan.h) being
 *	  carried out as a job (engine.h).
 */
#ifndef CLOUDSYNC_PUSH_H
#define CLOUDSYNC_PUSH_H

#include "postgres.h"

#include "cloudsync/engine.h"

/* Between three and five quarters of it, so that many do not come back at once. */
extern int64 cs_jittered(int64 milliseconds);

/*
 * Ends a run and those that shared its execution, in a transaction: state, and
 * error or NULL. Their counters have been kept on the run that executed.
 */
extern void cs_run_end(int64 run_id, const char *kind, const char *state,
					   const char *error, TimestampTz now);

/* "message: detail" of a failure; palloc'd. */
extern char *cs_failure_text(const CsFailure *failure);

#endif
