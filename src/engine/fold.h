/*
 * fold.h
 *	  What the files of the fold share: tables that cannot be read.
 */
#ifndef CLOUDSYNC_ENGINE_FOLD_H
#define CLOUDSYNC_ENGINE_FOLD_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

/*
 * Writes the error down, in a transaction of its own. The table's changes stay
 * in the log until it can be read again.
 */
extern void cs_fold_broken(int32 dossiers_id, const char *text);

/* A CsLimitBlame (limit.h): reading the table whose id is at arg did not end. */
extern void cs_fold_blame(void *arg, const ErrorData *error);

/*
 * Tables that ended an earlier process so: for the first minute this one leaves
 * their changes in the log and folds the others'.
 */
extern List *cs_fold_held(TimestampTz now);

#endif
