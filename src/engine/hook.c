/*
 * hook.c
 *	  The application's own functions (B3), run in the settling transaction as
 *	  their owner, in a security-restricted context and with a limit of time. The
 *	  caller has begun a subtransaction: whatever fails here takes its document
 *	  with it and nothing else.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/timeout.h"

#include "cloudsync/collect.h"
#include "cloudsync/compat.h"
#include "cloudsync/db.h"
#include "cloudsync/settings.h"

static TimeoutId hook_timeout_id;
static bool hook_timeout_registered = false;
static volatile sig_atomic_t hook_timed_out = false;

/* Ends the function as a cancelled statement would be ended. */
static void
hook_timeout_handler(void)
{
	hook_timed_out = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

static void
disarm(void)
{
	disable_timeout(hook_timeout_id, false);
	if (hook_timed_out)
		QueryCancelPending = false;
}

static void
too_slow(Oid function)
{
	ereport(ERROR,
			(errcode(ERRCODE_QUERY_CANCELED),
			 errmsg("function %s took longer than cloudsync.hook_timeout (%d ms)",
					format_procedure(function), cs_hook_timeout)));
}

/* The owner; InvalidOid if the function was dropped. */
static Oid
owner_of(Oid function)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

static void
call(Oid function, int64 document_id)
{
	LOCAL_FCINFO(fcinfo, 1);
	FmgrInfo flinfo;

	fmgr_info(function, &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = Int64GetDatum(document_id);
	fcinfo->args[0].isnull = false;
	(void) FunctionCallInvoke(fcinfo);
}

static void
run_hook(Oid function, Oid owner, int64 document_id)
{
	CsOwnerContext context;
	MemoryContext caller = CurrentMemoryContext;

	if (!hook_timeout_registered)
	{
		hook_timeout_id = RegisterTimeout(USER_TIMEOUT, hook_timeout_handler);
		hook_timeout_registered = true;
	}
	cs_enter_owner(&context, owner, NULL);
	/* it reads cloudsync.document, which policies guard: by them, as anybody */
	(void) set_config_option("row_security", "on", PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	hook_timed_out = false;
	if (cs_hook_timeout > 0)
		enable_timeout_after(hook_timeout_id, cs_hook_timeout);
	PG_TRY();
	{
		call(function, document_id);
		disarm();
	}
	PG_CATCH();
	{
		disarm();
		if (hook_timed_out && geterrcode() == ERRCODE_QUERY_CANCELED)
		{
			MemoryContextSwitchTo(caller);
			FlushErrorState();
			too_slow(function);
		}
		PG_RE_THROW();
	}
	PG_END_TRY();
	/* one that swallows the cancellation has still taken too long */
	if (hook_timed_out)
		too_slow(function);
	cs_leave_owner(&context);
}

/* See collect.h. */
void
cs_hooks_run(const char *event, int64 document_id)
{
	Oid types[1] = {TEXTOID};
	Datum values[1] = {CStringGetTextDatum(event)};
	uint64 n;
	Oid *functions;

	n = cs_execute("SELECT fn::oid FROM cloudsync.hook WHERE event = $1 ORDER BY hook_id",
				   1, types, values, NULL, true);
	if (n == 0)
		return;
	functions = palloc(n * sizeof(Oid));
	for (uint64 i = 0; i < n; i++)
		functions[i] = (Oid) cs_get_int64(i, 1, 0);
	for (uint64 i = 0; i < n; i++)
	{
		Oid owner = owner_of(functions[i]);

		/* DROP FUNCTION is how a function is taken back */
		if (OidIsValid(owner))
		{
			CommandCounterIncrement();
			run_hook(functions[i], owner, document_id);
		}
	}
	pfree(functions);
}
