/*
 * fold.c
 *	  The scheduler's side of the change log: changes become due rows.
 */
#include "postgres.h"

#include "cloudsync/change.h"
#include "cloudsync/engine.h"

void
cs_refresh_column_names(void)
{
}

int64
cs_fold_batch(uint32 *block, TimestampTz now, TimestampTz seen_until,
			  List *skip, int32 *broken, ErrorData **error)
{
	return 0;
}

bool
cs_fold_changes(TimestampTz now)
{
	return false;
}

bool
cs_backfill_step(TimestampTz now)
{
	return false;
}
