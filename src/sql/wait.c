/*
 * wait.c
 *	  What procedures that commit ask before they begin, and how they wait for
 *	  the end of runs.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "cloudsync/wake.h"

PG_FUNCTION_INFO_V1(cloudsync_refuse_transaction_block);
PG_FUNCTION_INFO_V1(cloudsync_ends_told);
PG_FUNCTION_INFO_V1(cloudsync_await_end);

/*
 * By the same test as CALL: without it the caller would see the COMMIT's own
 * "invalid transaction termination", which says nothing of what to do.
 */
Datum
cloudsync_refuse_transaction_block(PG_FUNCTION_ARGS)
{
	char *statement = text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (IsTransactionBlock() || IsSubTransaction())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("%s cannot run inside a transaction block", statement),
				 errdetail("It commits first, so that workers see what it waits for."),
				 errhint("Commit, and call it as a statement of its own.")));
	PG_RETURN_VOID();
}

Datum
cloudsync_ends_told(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(cs_ends_told());
}

/* until another end is told than those, or so many milliseconds */
Datum
cloudsync_await_end(PG_FUNCTION_ARGS)
{
	cs_wait_for_end(PG_GETARG_INT64(0), PG_GETARG_INT64(1));
	PG_RETURN_VOID();
}
