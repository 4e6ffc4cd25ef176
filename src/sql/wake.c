/*
 * wake.c
 *	  cloudsync.wake: how functions written in SQL wake this database's
 *	  workers when the transaction commits (W4).
 */
#include "postgres.h"

#include "cloudsync/worker.h"
#include "fmgr.h"

PG_FUNCTION_INFO_V1(cloudsync_wake);

Datum
cloudsync_wake(PG_FUNCTION_ARGS)
{
	cs_wake_on_commit(PG_GETARG_BOOL(0));
	PG_RETURN_VOID();
}
