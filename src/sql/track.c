/*
 * track.c
 *	  C behind sql/track.sql: notes made by hand, and reads of tracked tables as
 *	  their owner. Relies on store/change.h and db.h. None of these functions is
 *	  granted to anybody; what calls them checks.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "cloudsync/change.h"
#include "cloudsync/db.h"

PG_FUNCTION_INFO_V1(cloudsync_note_change);
PG_FUNCTION_INFO_V1(cloudsync_note_all);
PG_FUNCTION_INFO_V1(cloudsync_look_up);
PG_FUNCTION_INFO_V1(cloudsync_fold);

#define FETCH 1000

static char *
text_argument(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? NULL
								: text_to_cstring(PG_GETARG_TEXT_PP(number));
}

Datum
cloudsync_note_change(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_VOID();
	PreventCommandIfReadOnly("INSERT"); /* as which it would be refused in SQL */
	cs_note_change(PG_GETARG_INT32(0), 0, text_argument(fcinfo, 1), NULL,
				   text_argument(fcinfo, 2));
	PG_RETURN_VOID();
}

static CsTracked *
read_tracked(int32 dossiers_id)
{
	CsTracked *tracked = cs_tracked_read(dossiers_id);

	if (tracked == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("no tracked table has the number %d", dossiers_id)));
	return tracked;
}

/* Every dossier that there is, read by a cursor as the owner. */
Datum
cloudsync_note_all(PG_FUNCTION_ARGS)
{
	CsTracked *tracked;
	CsOwnerContext owner;
	Portal portal;
	int64 noted = 0;
	uint64 fetched;

	PreventCommandIfReadOnly("INSERT");
	SPI_connect();
	tracked = read_tracked(PG_GETARG_INT32(0));
	cs_enter_owner(&owner, tracked->owner, CS_KEY_TIME_ZONE);
	portal = SPI_cursor_open_with_args(
		NULL,
		psprintf("SELECT %s::pg_catalog.text, %s::pg_catalog.text FROM %s",
				 tracked->key, tracked->tenant ? tracked->tenant : "''",
				 tracked->table),
		0, NULL, NULL, NULL, true, 0);
	cs_leave_owner(&owner);
	do
	{
		CHECK_FOR_INTERRUPTS();
		cs_enter_owner(&owner, tracked->owner, CS_KEY_TIME_ZONE);
		SPI_cursor_fetch(portal, true, FETCH);
		cs_leave_owner(&owner);
		fetched = SPI_processed;
		for (uint64 i = 0; i < fetched; i++)
		{
			char *key = cs_get_text(i, 1);
			char *tenant = cs_get_text(i, 2);

			cs_note_change(tracked->dossiers_id, 0, key, NULL,
						   tenant ? tenant : "");
			pfree(key);
			if (tenant)
				pfree(tenant);
		}
		noted += (int64) fetched;
		SPI_freetuptable(SPI_tuptable);
	} while (fetched > 0);
	SPI_cursor_close(portal);
	SPI_finish();
	PG_RETURN_INT64(noted);
}

/* (key, found, tenant) of a dossier whose key a person typed. */
Datum
cloudsync_look_up(PG_FUNCTION_ARGS)
{
	CsTracked *tracked;
	CsOwnerContext owner;
	Oid types[1] = {TEXTOID};
	Datum arguments[1] = {PG_GETARG_DATUM(1)};
	TupleDesc desc;
	Datum values[3] = {0};
	bool nulls[3] = {0};
	MemoryContext context = CurrentMemoryContext;
	MemoryContext spi;
	char *key;
	char *tenant;
	bool found;
	int ret;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	SPI_connect();
	tracked = read_tracked(PG_GETARG_INT32(0));
	cs_enter_owner(&owner, tracked->owner, CS_KEY_TIME_ZONE);
	ret = SPI_execute_with_args(
		psprintf("SELECT COALESCE(t.%s, $1::%s)::pg_catalog.text, "
				 "t.%s IS NOT NULL, %s%s::pg_catalog.text "
				 "FROM (VALUES (1)) one LEFT JOIN %s t ON t.%s %s $1::%s",
				 tracked->key, tracked->key_type, tracked->key,
				 tracked->tenant ? "t." : "",
				 tracked->tenant ? tracked->tenant : "''", tracked->table,
				 tracked->key, tracked->key_equal, tracked->key_type),
		1, types, arguments, NULL, true, 1);
	cs_leave_owner(&owner);
	if (ret != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "SPI_execute_with_args failed: %s",
			 SPI_result_code_string(ret));
	key = cs_get_text(0, 1);
	found = cs_get_bool(0, 2, false);
	tenant = cs_get_text(0, 3);
	spi = MemoryContextSwitchTo(context);
	values[0] = CStringGetTextDatum(key);
	values[1] = BoolGetDatum(found);
	nulls[2] = !found;
	if (found)
		values[2] = CStringGetTextDatum(tenant ? tenant : "");
	MemoryContextSwitchTo(spi);
	SPI_finish();
	PG_RETURN_DATUM(HeapTupleGetDatum(
		heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* One batch, here and now. */
Datum
cloudsync_fold(PG_FUNCTION_ARGS)
{
	uint32 block = 0;
	int32 broken = 0;
	ErrorData *error = NULL;
	int64 taken;

	SPI_connect();
	taken = cs_fold_batch(&block, GetCurrentTimestamp(), DT_NOBEGIN, NIL,
						  &broken, &error);
	if (taken < 0)
		ReThrowError(error);
	SPI_finish();
	PG_RETURN_INT64(taken);
}
