/*
 * dossiers.c
 *	  cloudsync.tracked_keys: the keys of the application's dossiers, for the
 *	  view cloudsync.dossiers, which also shows those that were never pushed.
 *
 * Relies on store/db.h for reading as the owner of a tracked table, and on
 * tenant.h for what the session may see.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "cloudsync/compat.h"
#include "cloudsync/db.h"
#include "cloudsync/tenant.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(cloudsync_tracked_keys);

#define KEYS_AT_ONCE 1000

/* One tracked table, and where its keys go. */
typedef struct KeyScan
{
	int32 dossiers_id;
	Oid table;
	char *key_column;
	char *tenant_column; /* NULL: none */
	ReturnSetInfo *result;
} KeyScan;

/* Columns go by number here, and by name in a copy that was restored. */
static const char *const tables_query =
	"SELECT d.dossiers_id, d.dossiers::pg_catalog.oid, "
	"CASE WHEN here THEN cloudsync.column_name(d.dossiers, d.key_column) "
	"ELSE d.key_name END, "
	"CASE WHEN here THEN cloudsync.column_name(d.dossiers, d.tenant_column) "
	"ELSE d.tenant_name END "
	"FROM cloudsync.dossier_table d, cloudsync.installation i, "
	"LATERAL (SELECT d.resolved_in OPERATOR(pg_catalog.=) i.installation) h "
	"(here) "
	"WHERE EXISTS (SELECT FROM pg_catalog.pg_class c "
	"WHERE c.oid OPERATOR(pg_catalog.=) d.dossiers)";

static Oid
owner_of(Oid table)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("table %u does not exist", table)));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

static char *
key_query(const KeyScan *scan)
{
	const char *tenant = "''";

	if (scan->tenant_column != NULL)
		tenant = psprintf("COALESCE(t.%s::pg_catalog.text, '')",
						  quote_identifier(scan->tenant_column));
	return psprintf("SELECT t.%s::pg_catalog.text, %s FROM %s t",
					quote_identifier(scan->key_column), tenant,
					quote_qualified_identifier(
						get_namespace_name(get_rel_namespace(scan->table)),
						get_rel_name(scan->table)));
}

/* Puts what the session sees of the rows that SPI has just read. */
static void
put_keys(const KeyScan *scan)
{
	uint64 i;

	for (i = 0; i < SPI_processed; i++)
	{
		char *key = cs_get_text(i, 1);
		char *tenant = cs_get_text(i, 2);
		Datum values[3];
		bool nulls[3] = {false, false, false};

		if (key == NULL || !cs_acting_sees(tenant))
			continue;
		values[0] = Int32GetDatum(scan->dossiers_id);
		values[1] = CStringGetTextDatum(key);
		values[2] = CStringGetTextDatum(tenant);
		tuplestore_putvalues(scan->result->setResult, scan->result->setDesc,
							 values, nulls);
	}
}

static void
read_keys(void *arg)
{
	KeyScan *scan = arg;
	Oid owner = owner_of(scan->table);
	CsOwnerContext context;
	Portal portal;
	SPIPlanPtr plan;
	MemoryContext batch;
	MemoryContext old;

	cs_enter_owner(&context, owner, NULL);
	plan = SPI_prepare(key_query(scan), 0, NULL);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s",
			 SPI_result_code_string(SPI_result));
	portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	cs_leave_owner(&context);
	batch = AllocSetContextCreate(CurrentMemoryContext, "cloudsync keys",
								  ALLOCSET_DEFAULT_SIZES);
	do
	{
		CHECK_FOR_INTERRUPTS();
		cs_enter_owner(&context, owner, NULL);
		SPI_cursor_fetch(portal, true, KEYS_AT_ONCE);
		cs_leave_owner(&context);
		old = MemoryContextSwitchTo(batch);
		put_keys(scan);
		MemoryContextSwitchTo(old);
		MemoryContextReset(batch);
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed > 0);
	SPI_cursor_close(portal);
	SPI_freeplan(plan);
}

Datum
cloudsync_tracked_keys(PG_FUNCTION_ARGS)
{
	uint64 tables;
	uint64 i;
	KeyScan *scans;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || !PG_GETARG_BOOL(0))
		return (Datum) 0;
	SPI_connect();
	tables = cs_execute(tables_query, 0, NULL, NULL, NULL, true);
	scans = palloc0(sizeof(KeyScan) * (tables + 1));
	for (i = 0; i < tables; i++)
	{
		scans[i].dossiers_id = cs_get_int64(i, 1, 0);
		scans[i].table = (Oid) cs_get_int64(i, 2, 0);
		scans[i].key_column = cs_get_text(i, 3);
		scans[i].tenant_column = cs_get_text(i, 4);
		scans[i].result = (ReturnSetInfo *) fcinfo->resultinfo;
	}
	/* a table that cannot be read is cloudsync_status()'s to name */
	for (i = 0; i < tables; i++)
		if (scans[i].key_column != NULL)
			(void) cs_try(read_keys, &scans[i], NULL);
	SPI_finish();
	return (Datum) 0;
}
