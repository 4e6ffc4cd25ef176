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
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "cloudsync/collect.h"
#include "cloudsync/compat.h"
#include "cloudsync/db.h"
#include "cloudsync/limit.h"
#include "cloudsync/settings.h"

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

typedef struct HookCall
{
	Oid function;
	int64 document_id;
} HookCall;

static void
call(void *arg)
{
	const HookCall *hook = arg;
	LOCAL_FCINFO(fcinfo, 1);
	FmgrInfo flinfo;

	fmgr_info(hook->function, &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = Int64GetDatum(hook->document_id);
	fcinfo->args[0].isnull = false;
	(void) FunctionCallInvoke(fcinfo);
}

static void
run_hook(Oid function, Oid owner, int64 document_id)
{
	HookCall hook = {function, document_id};
	CsOwnerContext context;

	cs_enter_owner(&context, owner, NULL);
	/* it reads cloudsync.document, which policies guard: by them, as anybody */
	(void) set_config_option("row_security", "on", PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	cs_limited(cs_hook_timeout, "cloudsync.hook_timeout",
			   psprintf("function %s", format_procedure(function)), call, &hook);
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
