/*
 * backfill.c
 *	  Dossiers that existed when automatic push was switched on (P2) are noted
 *	  step by step, newest first, behind live changes. Relies on store/change.h
 *	  and db.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "cloudsync/change.h"
#include "cloudsync/db.h"
#include "cloudsync/engine.h"
#include "cloudsync/limit.h"

/*
 * Keys read in a step; more where those of other tenants are passed over.
 */
#define STEP 1000
#define STEP_WITH_TENANT 5000

/* Rows that may wait for a connection before more are noted. */
#define WAITING_MAX 2000

/* Walks that go on in one call. */
#define WALKS_MAX 50

/* A walk through a table for a connection, and the step that it takes now. */
typedef struct Walk
{
	int64 connection_id;
	int32 dossiers_id;
	char *tenant;
	/* in a step */
	const CsTracked *tracked;
	char *last_key;
	int limit;
	int read;
	int64 noted;
} Walk;

static List *
find_walks(MemoryContext context)
{
	static const char *const sql =
		"SELECT b.connection_id, b.dossiers_id, c.tenant "
		"FROM cloudsync.backfill b "
		"JOIN cloudsync.connection c "
		"ON c.connection_id OPERATOR(pg_catalog.=) b.connection_id "
		"JOIN cloudsync.push_setting s "
		"ON s.connection_id OPERATOR(pg_catalog.=) b.connection_id "
		"WHERE c.state OPERATOR(pg_catalog.=) 'active' AND s.auto_sync "
		"AND b.started_at OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp() "
		"AND (SELECT pg_catalog.count(*) FROM (SELECT FROM cloudsync.due q "
		"WHERE q.connection_id OPERATOR(pg_catalog.=) b.connection_id "
		"AND q.backfill LIMIT $1) w) OPERATOR(pg_catalog.<) $1 "
		"ORDER BY b.started_at, b.connection_id, b.dossiers_id LIMIT $2";
	Oid types[2] = {INT8OID, INT8OID};
	Datum values[2] = {Int64GetDatum(WAITING_MAX), Int64GetDatum(WALKS_MAX)};
	uint64 rows = cs_execute(sql, 2, types, values, NULL, true);
	MemoryContext old = MemoryContextSwitchTo(context);
	List *walks = NIL;

	for (uint64 i = 0; i < rows; i++)
	{
		Walk *walk = palloc0(sizeof(Walk));

		walk->connection_id = cs_get_int64(i, 1, 0);
		walk->dossiers_id = (int32) cs_get_int64(i, 2, 0);
		walk->tenant = MemoryContextStrdup(context, cs_get_text(i, 3));
		walks = lappend(walks, walk);
	}
	MemoryContextSwitchTo(old);
	return walks;
}

/* Where the walk stands; locks it. False: it is over. */
static bool
read_walk(Walk *walk)
{
	static const char *const sql =
		"SELECT last_key FROM cloudsync.backfill "
		"WHERE connection_id OPERATOR(pg_catalog.=) $1 "
		"AND dossiers_id OPERATOR(pg_catalog.=) $2 FOR UPDATE";
	Oid types[2] = {INT8OID, INT4OID};
	Datum values[2] = {Int64GetDatum(walk->connection_id),
					   Int32GetDatum(walk->dossiers_id)};

	if (cs_execute(sql, 2, types, values, NULL, false) == 0)
		return false;
	walk->last_key = cs_get_text(0, 1);
	return true;
}

/*
 * The next keys in descending order, with their tenants, as the owner. (The
 * order's column is qualified: by itself it would mean the text that is read.)
 */
static void
read_keys(void *arg)
{
	Walk *walk = arg;
	const CsTracked *tracked = walk->tracked;
	CsOwnerContext owner;
	Oid types[1] = {TEXTOID};
	Datum values[1] = {0};
	char nulls[1] = {'n'};
	const char *from = "";
	int ret;

	if (walk->last_key != NULL)
	{
		values[0] = CStringGetTextDatum(walk->last_key);
		nulls[0] = ' ';
		from = psprintf("WHERE %s %s $1::%s ", tracked->key, tracked->key_less,
						tracked->key_type);
	}
	walk->limit = tracked->tenant ? STEP_WITH_TENANT : STEP;
	cs_enter_owner(&owner, tracked->owner, CS_KEY_TIME_ZONE);
	ret = SPI_execute_with_args(
		psprintf("SELECT %s::pg_catalog.text, %s::pg_catalog.text "
				 "FROM %s t %sORDER BY t.%s DESC LIMIT %d",
				 tracked->key, tracked->tenant ? tracked->tenant : "''",
				 tracked->table, from, tracked->key, walk->limit),
		1, types, values, nulls, true, 0);
	cs_leave_owner(&owner);
	if (ret != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed: %s",
			 SPI_result_code_string(ret));
}

/* Live changes come first; what is being pushed now is pushed once more. */
static void
make_due(const Walk *walk, Datum *keys, int count, TimestampTz now)
{
	static const char *const sql =
		"INSERT INTO cloudsync.due AS q (connection_id, dossiers_id, dossier, "
		"backfill, changed_at, start_at, due_at) "
		"SELECT $1, $2, k.key, true, $4, "
		"$4 OPERATOR(pg_catalog.+) ('1 microsecond'::pg_catalog.interval "
		"OPERATOR(pg_catalog.*) k.number::pg_catalog.float8), "
		"$4 OPERATOR(pg_catalog.+) s.every "
		"FROM pg_catalog.unnest($3) WITH ORDINALITY k(key, number), "
		"cloudsync.push_setting s "
		"WHERE s.connection_id OPERATOR(pg_catalog.=) $1 ORDER BY k.key "
		"ON CONFLICT (connection_id, dossiers_id, dossier) DO UPDATE "
		"SET generation = q.generation OPERATOR(pg_catalog.+) 1 "
		"WHERE q.claimed IS NOT NULL";
	Oid types[4] = {INT8OID, INT4OID, TEXTARRAYOID, TIMESTAMPTZOID};
	Datum values[4];

	values[0] = Int64GetDatum(walk->connection_id);
	values[1] = Int32GetDatum(walk->dossiers_id);
	values[2] = PointerGetDatum(
		construct_array(keys, count, TEXTOID, -1, false, TYPALIGN_INT));
	values[3] = TimestampTzGetDatum(now);
	cs_execute(sql, 4, types, values, NULL, false);
}

/* In a subtransaction: may raise whatever the application's table raises. */
static void
step(void *arg)
{
	Walk *walk = arg;
	CsTracked *tracked = cs_tracked_read(walk->dossiers_id);
	Datum *keys;
	int count = 0;

	walk->read = 0;
	walk->noted = 0;
	walk->limit = STEP;
	/* without tenants, dossiers are those of connections without one */
	if (tracked == NULL || (tracked->tenant == NULL && walk->tenant[0] != '\0'))
		return;
	walk->tracked = tracked;
	cs_limited_read(tracked->table, read_keys, walk);
	walk->read = (int) SPI_processed;
	if (walk->read == 0)
		return;
	keys = palloc(walk->read * sizeof(Datum));
	for (int i = 0; i < walk->read; i++)
	{
		char *tenant = cs_get_text(i, 2);

		if (strcmp(tenant ? tenant : "", walk->tenant) == 0)
			keys[count++] = CStringGetTextDatum(cs_get_text(i, 1));
	}
	walk->last_key = cs_get_text(walk->read - 1, 1);
	walk->noted = count;
	if (count > 0)
		make_due(walk, keys, count, GetCurrentTimestamp());
}

static void
write_walk(const Walk *walk)
{
	static const char *const done_sql =
		"DELETE FROM cloudsync.backfill "
		"WHERE connection_id OPERATOR(pg_catalog.=) $1 "
		"AND dossiers_id OPERATOR(pg_catalog.=) $2";
	static const char *const on_sql =
		"UPDATE cloudsync.backfill SET last_key = $3, "
		"noted = noted OPERATOR(pg_catalog.+) $4 "
		"WHERE connection_id OPERATOR(pg_catalog.=) $1 "
		"AND dossiers_id OPERATOR(pg_catalog.=) $2";
	Oid types[4] = {INT8OID, INT4OID, TEXTOID, INT8OID};
	Datum values[4] = {Int64GetDatum(walk->connection_id),
					   Int32GetDatum(walk->dossiers_id)};

	if (walk->read < walk->limit)
	{
		cs_execute(done_sql, 2, types, values, NULL, false);
		return;
	}
	values[2] = CStringGetTextDatum(walk->last_key);
	values[3] = Int64GetDatum(walk->noted);
	cs_execute(on_sql, 4, types, values, NULL, false);
}

/* A failing table keeps its walk, for when it is mended; tried each minute. */
static void
record_error(const Walk *walk, const ErrorData *error)
{
	static const char *const later_sql =
		"UPDATE cloudsync.backfill SET started_at = "
		"pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) "
		"'1 minute'::pg_catalog.interval "
		"WHERE dossiers_id OPERATOR(pg_catalog.=) $1";
	static const char *const sql =
		"UPDATE cloudsync.dossier_table SET last_error = $2 "
		"WHERE dossiers_id OPERATOR(pg_catalog.=) $1 "
		"AND last_error IS DISTINCT FROM $2";
	Oid types[2] = {INT4OID, TEXTOID};
	Datum values[2] = {Int32GetDatum(walk->dossiers_id),
					   CStringGetTextDatum(cs_error_text(error))};

	cs_execute(sql, 2, types, values, NULL, false);
	cs_execute(later_sql, 1, types, values, NULL, false);
}

/* Reading the keys ended the process. */
static void
blame_walk(void *arg, const ErrorData *error)
{
	cs_begin("cloudsync: recording an error of a tracked table");
	record_error(arg, error);
	cs_commit();
}

static bool
take_step(Walk *walk)
{
	ErrorData *error = NULL;
	bool ok = false;

	cs_begin("cloudsync: noting dossiers that exist");
	if (read_walk(walk))
	{
		cs_limit_blame(blame_walk, walk);
		ok = cs_try(step, walk, &error);
		cs_limit_blame(NULL, NULL);
		if (ok)
			write_walk(walk);
		else
			record_error(walk, error);
	}
	cs_commit();
	return ok;
}

/* A step of each walk that has room. True: there may be more to do. */
bool
cs_backfill_step(TimestampTz now)
{
	MemoryContext context = AllocSetContextCreate(
		CurrentMemoryContext, "cloudsync backfill", ALLOCSET_SMALL_SIZES);
	List *walks;
	ListCell *lc;
	bool any = false;

	cs_begin(NULL);
	walks = find_walks(context);
	cs_commit();
	foreach (lc, walks)
	{
		CHECK_FOR_INTERRUPTS();
		if (take_step(lfirst(lc)))
			any = true;
	}
	MemoryContextDelete(context);
	return any;
}
