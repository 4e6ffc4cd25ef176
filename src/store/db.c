/*
 * db.c
 *	  Transactions, SPI and the owner's security context (include/cloudsync/db.h).
 *	  Relies on nothing but the server.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "replication/syncrep.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "cloudsync/compat.h"
#include "cloudsync/db.h"
#include "cloudsync/tenant.h"

static MemoryContext caller_context = NULL;

/* Commits that share one flush of the log (cs_share_flush). */
static bool sharing_flush = false;
static XLogRecPtr to_flush = InvalidXLogRecPtr;

/*
 * Begins a worker's transaction. What SPI allocates goes with the transaction;
 * the caller's own context is current again after cs_commit or cs_rollback.
 */
void
cs_begin(const char *activity)
{
	Assert(!IsTransactionState());
	caller_context = CurrentMemoryContext;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (activity != NULL)
		pgstat_report_activity(STATE_RUNNING, activity);
}

/* A transaction that turned the flush off for itself is not waited for. */
static void
commit(void)
{
	const int asked = synchronous_commit;

	if (!sharing_flush || synchronous_commit == SYNCHRONOUS_COMMIT_OFF)
	{
		CommitTransactionCommand();
		return;
	}
	synchronous_commit = SYNCHRONOUS_COMMIT_OFF;
	PG_TRY();
	{
		CommitTransactionCommand();
	}
	PG_FINALLY();
	{
		synchronous_commit = asked;
	}
	PG_END_TRY();
	to_flush = XactLastCommitEnd;
}

void
cs_commit(void)
{
	SPI_finish();
	PopActiveSnapshot();
	commit();
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
	MemoryContextSwitchTo(caller_context);
}

void
cs_rollback(void)
{
	if (IsTransactionState())
		AbortCurrentTransaction();
	pgstat_report_activity(STATE_IDLE, NULL);
	if (caller_context != NULL)
		MemoryContextSwitchTo(caller_context);
}

/* See db.h. */
void
cs_share_flush(bool share)
{
	if (!share)
		cs_make_durable();
	sharing_flush = share;
}

/* See db.h. What RecordTransactionCommit does for one, for many at once. */
void
cs_make_durable(void)
{
	XLogRecPtr end = to_flush;

	if (end == InvalidXLogRecPtr)
		return;
	to_flush = InvalidXLogRecPtr;
	XLogFlush(end);
	HOLD_INTERRUPTS();
	SyncRepWaitForLSN(end, true);
	RESUME_INTERRUPTS();
}

/*
 * Kept plans, by the address of the statement's text: callers pass constants.
 * They live as long as the process; invalidation is the plan cache's business.
 */
typedef struct KeptPlan
{
	const char *sql; /* key */
	SPIPlanPtr plan;
} KeptPlan;

static HTAB *kept_plans = NULL;

/*
 * A statement over arrays does the work of many: it is planned anew for what it
 * is given and for how large its tables are now, since a plan made for empty
 * tables that is kept reads full ones whole.
 */
static int
plan_options(int nargs, const Oid *types)
{
	for (int i = 0; i < nargs; i++)
		if (type_is_array(types[i]))
			return CURSOR_OPT_CUSTOM_PLAN;
	return 0;
}

static SPIPlanPtr
kept_plan(const char *sql, int nargs, const Oid *types)
{
	KeptPlan *kept;
	bool found;

	if (kept_plans == NULL)
	{
		HASHCTL ctl = {0};

		ctl.keysize = sizeof(const char *);
		ctl.entrysize = sizeof(KeptPlan);
		kept_plans = hash_create("cloudsync plans", 128, &ctl,
								 HASH_ELEM | HASH_BLOBS);
	}
	kept = hash_search(kept_plans, &sql, HASH_FIND, &found);
	if (!found)
	{
		SPIPlanPtr plan = SPI_prepare_cursor(sql, nargs, (Oid *) types,
											 plan_options(nargs, types));

		if (plan == NULL)
			elog(ERROR, "SPI_prepare failed: %s",
				 SPI_result_code_string(SPI_result));
		SPI_keepplan(plan);
		kept = hash_search(kept_plans, &sql, HASH_ENTER, &found);
		kept->plan = plan;
	}
	return kept->plan;
}

/* See db.h. */
uint64
cs_execute(const char *sql, int nargs, const Oid *types, const Datum *values,
		   const char *nulls, bool read_only)
{
	/* SPI leaves its own context current, where what its caller makes is lost */
	MemoryContext context = CurrentMemoryContext;
	int ret = SPI_execute_plan(kept_plan(sql, nargs, types), (Datum *) values,
							   nulls, read_only, 0);

	MemoryContextSwitchTo(context);
	if (ret < 0)
		elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(ret));
	return SPI_processed;
}

/* Until the end of the GUC nest level that the caller opened. */
static void
set_for_now(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/* Planned without what these settings, up to NULL, allow. */
static uint64
execute_without(const char *const *settings, const char *sql, int nargs,
				const Oid *types, const Datum *values, const char *nulls,
				bool read_only)
{
	int level = NewGUCNestLevel();
	uint64 n;

	for (; *settings != NULL; settings++)
		set_for_now(*settings, "off");
	n = cs_execute(sql, nargs, types, values, nulls, read_only);
	AtEOXact_GUC(true, level);
	return n;
}

/* See db.h. */
uint64
cs_execute_first(const char *sql, int nargs, const Oid *types,
				 const Datum *values, const char *nulls, bool read_only)
{
	static const char *const settings[] = {"enable_sort", "enable_bitmapscan",
										   "enable_seqscan", NULL};

	return execute_without(settings, sql, nargs, types, values, nulls, read_only);
}

/* See db.h. */
uint64
cs_execute_lookups(const char *sql, int nargs, const Oid *types,
				   const Datum *values, const char *nulls)
{
	static const char *const settings[] = {"enable_seqscan", "enable_bitmapscan",
										   "enable_hashjoin", "enable_mergejoin",
										   NULL};

	return execute_without(settings, sql, nargs, types, values, nulls, false);
}

static Datum
result_column(uint64 row, int column, bool *isnull)
{
	Assert(row < SPI_processed);
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column,
						 isnull);
}

/* The column's text form, whatever its type; NULL if null. */
char *
cs_get_text(uint64 row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

/* A column of type smallint, integer, oid or bigint. */
int64
cs_get_int64(uint64 row, int column, int64 if_null)
{
	bool isnull;
	Datum value = result_column(row, column, &isnull);

	if (isnull)
		return if_null;
	switch (SPI_gettypeid(SPI_tuptable->tupdesc, column))
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case INT8OID:
			return DatumGetInt64(value);
		default: /* oid and the reg* types */
			return DatumGetObjectId(value);
	}
}

bool
cs_get_bool(uint64 row, int column, bool if_null)
{
	bool isnull;
	Datum value = result_column(row, column, &isnull);

	return isnull ? if_null : DatumGetBool(value);
}

TimestampTz
cs_get_timestamptz(uint64 row, int column, TimestampTz if_null)
{
	bool isnull;
	Datum value = result_column(row, column, &isnull);

	return isnull ? if_null : DatumGetTimestampTz(value);
}

/*
 * A deferred trigger would run at our commit, as us; so nothing is deferred in
 * a worker's transaction that runs application code (S3).
 */
static void
constraints_immediate(void)
{
	ConstraintsSetStmt *all = makeNode(ConstraintsSetStmt);

	all->constraints = NIL;
	all->deferred = false;
	AfterTriggerSetState(all);
}

/*
 * From here on, application code runs as the owner. row_security off makes a
 * policy that would hide rows an error (S3).
 */
void
cs_enter_owner(CsOwnerContext *context, Oid owner, const char *time_zone)
{
	GetUserIdAndSecContext(&context->saved_user, &context->saved_context);
	context->saved_acting = cs_acting_override;
	if (AmBackgroundWorkerProcess())
		constraints_immediate();
	context->guc_level = NewGUCNestLevel();
	set_for_now("search_path", "pg_catalog, pg_temp");
	set_for_now("row_security", "off");
	set_for_now("datestyle", "ISO, YMD");
	set_for_now("intervalstyle", "postgres");
	set_for_now("bytea_output", "hex");
	set_for_now("extra_float_digits", "1");
	set_for_now("lc_time", "C");
	set_for_now("lc_numeric", "C");
	set_for_now("lc_monetary", "C");
	set_for_now("xmlbinary", "base64");
	if (time_zone != NULL)
		set_for_now("timezone", time_zone);
	SetUserIdAndSecContext(owner, context->saved_context |
									  SECURITY_LOCAL_USERID_CHANGE |
									  SECURITY_RESTRICTED_OPERATION);
	cs_acting_set_override(owner);
}

void
cs_leave_owner(CsOwnerContext *context)
{
	cs_acting_override = context->saved_acting;
	SetUserIdAndSecContext(context->saved_user, context->saved_context);
	AtEOXact_GUC(false, context->guc_level);
}

/*
 * Runs fn in a subtransaction (db.h). The acting role is put back on failure,
 * since fn may have failed between cs_enter_owner and cs_leave_owner; user and
 * settings are put back by the subtransaction's abort.
 */
bool
cs_try(void (*fn)(void *arg), void *arg, ErrorData **error)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	Oid acting = cs_acting_override;
	volatile bool ok = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		fn(arg);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		cs_acting_override = acting;
		/* in a session the cancellation is its user's, in a worker our limit's */
		if (edata->sqlerrcode == ERRCODE_QUERY_CANCELED &&
			(!AmBackgroundWorkerProcess() || QueryCancelPending ||
			 ProcDiePending))
			ReThrowError(edata);
		if (error != NULL)
			*error = edata;
		ok = false;
	}
	PG_END_TRY();
	return ok;
}

/* "message: detail", cut to 500 characters. palloc'd. */
char *
cs_error_text(const ErrorData *error)
{
	const char *message = error->message ? error->message : "unknown error";
	char *text = error->detail ? psprintf("%s: %s", message, error->detail)
							   : pstrdup(message);

	if (strlen(text) > 500)
		text[pg_mbcliplen(text, (int) strlen(text), 500)] = '\0';
	return text;
}
