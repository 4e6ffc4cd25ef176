/*
 * fold.c
 *	  The scheduler's side of the change log: changes become due rows, each in
 *	  one transaction with their removal from the log (design decision 5), so
 *	  that none is lost or folded twice. Relies on store/change.h and db.h.
 *
 * Which connections a change concerns: those of the dossier's tenant that push
 * by themselves, and those that have pushed it before, whatever its tenant is
 * now. What the push then does, it decides from the tables as they are.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "cloudsync/change.h"
#include "cloudsync/crash.h"
#include "cloudsync/db.h"
#include "cloudsync/engine.h"
#include "cloudsync/limit.h"
#include "fold.h"

#define BATCH 10000

/* Names are compared with the catalogs after each fold, and else so often. */
#define REFRESH_MS 10000

static bool folded_anything = false;

/* Columns of text, integers, ... that grow together, as arrays of SQL. */
typedef struct Notes
{
	int count;
	int size;
	Datum *dossiers_id;
	Datum *dossier;
	Datum *tenant;
	bool *dossier_null;
	bool *tenant_null;
	Datum *changed_at;
	Datum *changes;
} Notes;

static void
notes_init(Notes *notes, int size)
{
	memset(notes, 0, sizeof(*notes));
	notes->size = Max(size, 1);
	notes->dossiers_id = palloc(notes->size * sizeof(Datum));
	notes->dossier = palloc(notes->size * sizeof(Datum));
	notes->tenant = palloc(notes->size * sizeof(Datum));
	notes->dossier_null = palloc(notes->size * sizeof(bool));
	notes->tenant_null = palloc(notes->size * sizeof(bool));
	notes->changed_at = palloc(notes->size * sizeof(Datum));
	notes->changes = palloc(notes->size * sizeof(Datum));
}

static void
notes_grow(Notes *notes)
{
	notes->size *= 2;
	notes->dossiers_id =
		repalloc(notes->dossiers_id, notes->size * sizeof(Datum));
	notes->dossier = repalloc(notes->dossier, notes->size * sizeof(Datum));
	notes->tenant = repalloc(notes->tenant, notes->size * sizeof(Datum));
	notes->dossier_null =
		repalloc(notes->dossier_null, notes->size * sizeof(bool));
	notes->tenant_null =
		repalloc(notes->tenant_null, notes->size * sizeof(bool));
	notes->changed_at =
		repalloc(notes->changed_at, notes->size * sizeof(Datum));
	notes->changes = repalloc(notes->changes, notes->size * sizeof(Datum));
}

static void
notes_add(Notes *notes, int32 dossiers_id, const char *dossier,
		  const char *tenant, TimestampTz changed_at, int64 changes)
{
	int i = notes->count;

	if (i == notes->size)
		notes_grow(notes);
	notes->count++;
	notes->dossiers_id[i] = Int32GetDatum(dossiers_id);
	notes->dossier_null[i] = dossier == NULL;
	notes->dossier[i] = dossier ? CStringGetTextDatum(dossier) : (Datum) 0;
	notes->tenant_null[i] = tenant == NULL;
	notes->tenant[i] = tenant ? CStringGetTextDatum(tenant) : (Datum) 0;
	notes->changed_at[i] = TimestampTzGetDatum(changed_at);
	notes->changes[i] = Int64GetDatum(changes);
}

static Datum
array_of(Datum *values, bool *nulls, int count, Oid type)
{
	int dims[1] = {count};
	int bounds[1] = {1};
	int16 length;
	bool by_value;
	char align;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	return PointerGetDatum(construct_md_array(values, nulls, 1, dims, bounds,
											  type, length, by_value, align));
}

/* Of whose changes are one note; the key is all before `at`. */
typedef struct Same
{
	int32 dossiers_id;
	const char *dossier; /* or NULL */
	const char *tenant;	 /* or NULL */
	int at;				 /* in the notes */
} Same;

typedef struct Taking
{
	Notes *notes;
	HTAB *same;
} Taking;

static uint32
string_hash_of(const char *string)
{
	return string == NULL ? 0
						  : hash_bytes((const unsigned char *) string,
									   (int) strlen(string));
}

static uint32
same_hash(const void *key, Size size)
{
	const Same *same = key;

	return hash_combine(hash_combine(murmurhash32((uint32) same->dossiers_id),
									 string_hash_of(same->dossier)),
						string_hash_of(same->tenant));
}

static bool
same_string(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static int
same_compare(const void *a, const void *b, Size size)
{
	const Same *x = a;
	const Same *y = b;

	return x->dossiers_id == y->dossiers_id &&
				   same_string(x->dossier, y->dossier) &&
				   same_string(x->tenant, y->tenant)
			   ? 0
			   : 1;
}

/* One change that was taken off the log. */
static void
add_change(void *arg, const CsChange *change)
{
	Taking *taking = arg;
	Notes *notes = taking->notes;
	Same key = {change->dossiers_id, change->dossier, change->tenant, 0};
	bool found;
	Same *same = hash_search(taking->same, &key, HASH_ENTER, &found);

	if (!found)
	{
		same->at = notes->count;
		notes_add(notes, change->dossiers_id, change->dossier, change->tenant,
				  change->changed_at, 1);
		return;
	}
	notes->changed_at[same->at] = TimestampTzGetDatum(Min(
		DatumGetTimestampTz(notes->changed_at[same->at]), change->changed_at));
	notes->changes[same->at] =
		Int64GetDatum(DatumGetInt64(notes->changes[same->at]) + 1);
}

/*
 * Takes a batch off the log: what is committed, from a block on, since those
 * before hold only what was taken just now.
 */
static int64
take_changes(uint32 *block, List *skip, Notes *notes)
{
	HASHCTL ctl = {0};
	Taking taking = {notes, NULL};
	int64 taken;

	ctl.keysize = offsetof(Same, at);
	ctl.entrysize = sizeof(Same);
	ctl.hash = same_hash;
	ctl.match = same_compare;
	ctl.hcxt = CurrentMemoryContext;
	taking.same =
		hash_create("cloudsync fold", 64, &ctl,
					HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	notes_init(notes, 64);
	taken = cs_take_changes(block, skip, BATCH, add_change, &taking);
	hash_destroy(taking.same);
	return taken;
}

/* One table's dossiers whose tenants are to be looked up. */
typedef struct Lookup
{
	int32 dossiers_id;
	const Notes *notes;
	Notes found; /* changed_at and changes unused */
	CsTracked *tracked;
} Lookup;

/* The tenants of the dossiers that the changes are of, read as the owner. */
static void
read_tenants(void *arg)
{
	Lookup *lookup = arg;
	const Notes *notes = lookup->notes;
	CsTracked *tracked = lookup->tracked;
	Datum *keys = palloc(notes->count * sizeof(Datum));
	int nkeys = 0;
	CsOwnerContext owner;
	Oid types[1] = {TEXTARRAYOID};
	Datum values[1];
	int ret;

	for (int i = 0; i < notes->count; i++)
		if (DatumGetInt32(notes->dossiers_id[i]) == lookup->dossiers_id &&
			!notes->dossier_null[i] && notes->tenant_null[i])
			keys[nkeys++] = notes->dossier[i];
	values[0] = array_of(keys, NULL, nkeys, TEXTOID);

	cs_enter_owner(&owner, tracked->owner, CS_KEY_TIME_ZONE);
	ret = SPI_execute_with_args(
		psprintf("SELECT %s::pg_catalog.text, %s::pg_catalog.text FROM %s "
				 "WHERE %s %s ANY ($1::%s[])",
				 tracked->key, tracked->tenant ? tracked->tenant : "''",
				 tracked->table, tracked->key, tracked->key_equal,
				 tracked->key_type),
		1, types, values, NULL, true, 0);
	cs_leave_owner(&owner);
	if (ret != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed: %s",
			 SPI_result_code_string(ret));
	notes_init(&lookup->found, (int) SPI_processed);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char *tenant = cs_get_text(i, 2);

		notes_add(&lookup->found, lookup->dossiers_id, cs_get_text(i, 1),
				  tenant ? tenant : "", 0, 0);
	}
}

/* In a subtransaction: may raise whatever the application's table raises. */
static void
look_up_tenants(void *arg)
{
	Lookup *lookup = arg;

	notes_init(&lookup->found, 0);
	lookup->tracked = cs_tracked_read(lookup->dossiers_id);
	if (lookup->tracked != NULL)
		cs_limited_read(lookup->tracked->table, read_tenants, lookup);
}

/* The tables of which a dossier's tenant is not known. */
static List *
tables_to_look_up(const Notes *notes)
{
	List *tables = NIL;

	for (int i = 0; i < notes->count; i++)
		if (!notes->dossier_null[i] && notes->tenant_null[i])
			tables = list_append_unique_int(
				tables, DatumGetInt32(notes->dossiers_id[i]));
	return tables;
}

/* Errors of the table itself ("tracked ... is gone") stay until it is mended. */
static void
clear_error(int32 dossiers_id)
{
	static const char *const sql =
		"UPDATE cloudsync.dossier_table SET last_error = NULL "
		"WHERE dossiers_id OPERATOR(pg_catalog.=) $1 "
		"AND last_error IS NOT NULL "
		"AND NOT pg_catalog.starts_with(last_error, 'tracked ')";
	Oid types[1] = {INT4OID};
	Datum values[1] = {Int32GetDatum(dossiers_id)};

	cs_execute(sql, 1, types, values, NULL, false);
}

static void
add_found(Notes *to, const Notes *from)
{
	for (int i = 0; i < from->count; i++)
	{
		to->dossiers_id[to->count] = from->dossiers_id[i];
		to->dossier[to->count] = from->dossier[i];
		to->tenant[to->count] = from->tenant[i];
		to->count++;
	}
}

/* What each branch of the queries below ends in. */
#define SERVED                                                                 \
	"c.state OPERATOR(pg_catalog.=) ANY "                                      \
	"(ARRAY['active', 'needs_consent', 'locked', 'disabled']) AND s.auto_sync "

/*
 * A change made while its dossier is being pushed begins a new wait; one made
 * while it waits already shares it.
 */
#define BEGINS_ANEW                                                            \
	"q.backfill OR q.claimed OPERATOR(pg_catalog.=) q.generation"
#define MERGE                                                                  \
	"ON CONFLICT (connection_id, dossiers_id, dossier) DO UPDATE SET "         \
	"generation = q.generation OPERATOR(pg_catalog.+) 1, "                     \
	"changes = CASE WHEN " BEGINS_ANEW " THEN excluded.changes "               \
	"ELSE q.changes OPERATOR(pg_catalog.+) excluded.changes END, "             \
	"backfill = false, "                                                       \
	"changed_at = CASE WHEN " BEGINS_ANEW " THEN excluded.changed_at "         \
	"ELSE LEAST(q.changed_at, excluded.changed_at) END, "                      \
	"start_at = CASE WHEN " BEGINS_ANEW " THEN excluded.start_at "             \
	"ELSE LEAST(q.start_at, excluded.start_at) END, "                          \
	"due_at = CASE WHEN " BEGINS_ANEW " THEN excluded.due_at "                 \
	"ELSE LEAST(q.due_at, excluded.due_at) END"
#define TIMES                                                                  \
	"at, at OPERATOR(pg_catalog.+) (every OPERATOR(pg_catalog./) 2.0), "       \
	"at OPERATOR(pg_catalog.+) every "

/*
 * Makes the dossiers due for the connections that they concern: their tenant's,
 * and those of other tenants that have pushed them. Who has is asked only where
 * there are connections of other tenants at all: it is a look among all that
 * was ever pushed, for each dossier (N7).
 */
static void
make_due(Notes *notes, Notes *found, TimestampTz seen_until)
{
	static const char *const sql =
		"WITH noted AS (SELECT n.dossiers_id, n.dossier, n.changes, n.number, "
		"COALESCE(n.tenant, f.tenant) AS tenant, "
		"GREATEST(n.changed_at, $9) AS at "
		"FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), "
		"pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5)) "
		"WITH ORDINALITY n(dossiers_id, dossier, tenant, changed_at, changes, "
		"number) "
		"LEFT JOIN ROWS FROM (pg_catalog.unnest($6), pg_catalog.unnest($7), "
		"pg_catalog.unnest($8)) f(dossiers_id, dossier, tenant) "
		"ON f.dossiers_id OPERATOR(pg_catalog.=) n.dossiers_id "
		"AND f.dossier OPERATOR(pg_catalog.=) n.dossier "
		"WHERE n.dossier IS NOT NULL), "
		"reach AS (SELECT pg_catalog.min(c.tenant) AS low, "
		"pg_catalog.max(c.tenant) AS high "
		"FROM cloudsync.connection c JOIN cloudsync.push_setting s "
		"ON s.connection_id OPERATOR(pg_catalog.=) c.connection_id "
		"WHERE " SERVED "), "
		"asked AS MATERIALIZED (SELECT n.* FROM noted n JOIN reach r "
		"ON n.tenant IS DISTINCT FROM r.low "
		"OR n.tenant IS DISTINCT FROM r.high), "
		"had AS MATERIALIZED (SELECT DISTINCT n.*, d.connection_id "
		"FROM asked n JOIN cloudsync.pushed_dossier p "
		"ON p.dossiers_id OPERATOR(pg_catalog.=) n.dossiers_id "
		"AND p.dossier OPERATOR(pg_catalog.=) n.dossier "
		"JOIN cloudsync.destination d "
		"ON d.destination_id OPERATOR(pg_catalog.=) p.destination_id "
		"WHERE d.connection_id IS NOT NULL), "
		"concerns AS ("
		"SELECT n.*, s.connection_id, s.every FROM noted n "
		"JOIN cloudsync.connection c "
		"ON c.tenant OPERATOR(pg_catalog.=) n.tenant "
		"JOIN cloudsync.push_setting s "
		"ON s.connection_id OPERATOR(pg_catalog.=) c.connection_id "
		"WHERE " SERVED
		"UNION ALL SELECT n.dossiers_id, n.dossier, n.changes, n.number, "
		"n.tenant, n.at, s.connection_id, s.every FROM had n "
		"JOIN cloudsync.connection c "
		"ON c.connection_id OPERATOR(pg_catalog.=) n.connection_id "
		"JOIN cloudsync.push_setting s "
		"ON s.connection_id OPERATOR(pg_catalog.=) c.connection_id "
		"WHERE c.tenant IS DISTINCT FROM n.tenant AND " SERVED ") "
		"INSERT INTO cloudsync.due AS q (connection_id, dossiers_id, dossier, "
		"changes, changed_at, start_at, due_at) "
		"SELECT connection_id, dossiers_id, dossier, changes, " TIMES
		"FROM (SELECT connection_id, dossiers_id, dossier, "
		"pg_catalog.min(every) AS every, pg_catalog.min(at) AS at, "
		"pg_catalog.sum(changes)::pg_catalog.int8 AS changes FROM concerns "
		"GROUP BY connection_id, dossiers_id, dossier) t "
		"ORDER BY connection_id, dossiers_id, dossier " MERGE;
	Oid types[9] = {INT4ARRAYOID,		 TEXTARRAYOID, TEXTARRAYOID,
					TIMESTAMPTZARRAYOID, INT8ARRAYOID, INT4ARRAYOID,
					TEXTARRAYOID,		 TEXTARRAYOID, TIMESTAMPTZOID};
	Datum values[9];
	int n = notes->count;

	values[0] = array_of(notes->dossiers_id, NULL, n, INT4OID);
	values[1] = array_of(notes->dossier, notes->dossier_null, n, TEXTOID);
	values[2] = array_of(notes->tenant, notes->tenant_null, n, TEXTOID);
	values[3] = array_of(notes->changed_at, NULL, n, TIMESTAMPTZOID);
	values[4] = array_of(notes->changes, NULL, n, INT8OID);
	values[5] = array_of(found->dossiers_id, NULL, found->count, INT4OID);
	values[6] = array_of(found->dossier, NULL, found->count, TEXTOID);
	values[7] = array_of(found->tenant, NULL, found->count, TEXTOID);
	values[8] = TimestampTzGetDatum(seen_until);
	cs_execute(sql, 9, types, values, NULL, false);
}

/* Every dossier of the table that was pushed (TRUNCATE, resync). */
static void
make_all_due(int32 dossiers_id, TimestampTz changed_at)
{
	static const char *const sql =
		"INSERT INTO cloudsync.due AS q (connection_id, dossiers_id, dossier, "
		"changed_at, start_at, due_at) "
		"SELECT connection_id, dossiers_id, dossier, " TIMES
		"FROM (SELECT s.connection_id, p.dossiers_id, p.dossier, s.every, "
		"$2 AS at FROM cloudsync.destination d "
		"JOIN cloudsync.connection c "
		"ON c.connection_id OPERATOR(pg_catalog.=) d.connection_id "
		"JOIN cloudsync.push_setting s "
		"ON s.connection_id OPERATOR(pg_catalog.=) c.connection_id "
		"JOIN cloudsync.pushed_dossier p "
		"ON p.destination_id OPERATOR(pg_catalog.=) d.destination_id "
		"WHERE p.dossiers_id OPERATOR(pg_catalog.=) $1 AND " SERVED ") t "
		"ORDER BY connection_id, dossiers_id, dossier " MERGE;
	Oid types[2] = {INT4OID, TIMESTAMPTZOID};
	Datum values[2] = {Int32GetDatum(dossiers_id),
					   TimestampTzGetDatum(changed_at)};

	cs_execute(sql, 2, types, values, NULL, false);
}

/* See change.h. */
int64
cs_fold_batch(uint32 *block, TimestampTz now, TimestampTz seen_until,
			  List *skip, int32 *broken, ErrorData **error)
{
	Notes notes = {0};
	Notes found;
	int64 taken = take_changes(block, skip, &notes);
	ListCell *lc;

	if (taken == 0)
		return 0;
	notes_init(&found, notes.count);
	foreach (lc, tables_to_look_up(&notes))
	{
		Lookup lookup = {lfirst_int(lc), &notes, {0}, NULL};

		cs_limit_blame(cs_fold_blame, &lookup.dossiers_id);
		if (!cs_try(look_up_tenants, &lookup, error))
		{
			*broken = lookup.dossiers_id;
			return -1;
		}
		cs_limit_blame(NULL, NULL);
		add_found(&found, &lookup.found);
		clear_error(lookup.dossiers_id);
	}
	make_due(&notes, &found, seen_until);
	for (int i = 0; i < notes.count; i++)
		if (notes.dossier_null[i])
			make_all_due(
				DatumGetInt32(notes.dossiers_id[i]),
				Max(DatumGetTimestampTz(notes.changed_at[i]), seen_until));
	return taken;
}

/* See change.h. */
void
cs_refresh_column_names(void)
{
	cs_execute("SELECT cloudsync.refresh_column_names() "
			   "WHERE EXISTS (SELECT FROM cloudsync.dossier_table)",
			   0, NULL, NULL, NULL, false);
}

/* See engine.h. A fold that took anything, or could not, has it done at once. */
void
cs_follow_renames(TimestampTz now)
{
	static TimestampTz refreshed_at = 0;

	if (!folded_anything &&
		!TimestampDifferenceExceeds(refreshed_at, now, REFRESH_MS))
		return;
	cs_begin("cloudsync: following renames of tracked tables");
	cs_refresh_column_names();
	cs_commit();
	refreshed_at = now;
	folded_anything = false;
}

/*
 * Folds all that is committed. A change became visible after the last complete
 * fold, if it was not in it; a long transaction's changes therefore do not look
 * late when they appear.
 */
bool
cs_fold_changes(TimestampTz now)
{
	static TimestampTz seen_until = DT_NOBEGIN;
	TimestampTz began = GetCurrentTimestamp();
	uint32 block = 0;
	List *skip = cs_fold_held(now);
	int64 taken;
	bool any = false;

	do
	{
		int32 broken = 0;
		ErrorData *error = NULL;

		CHECK_FOR_INTERRUPTS();
		cs_begin("cloudsync: folding changes");
		taken = cs_fold_batch(&block, now, seen_until, skip, &broken, &error);
		if (taken < 0)
		{
			char *text =
				MemoryContextStrdup(TopMemoryContext, cs_error_text(error));

			cs_rollback();
			cs_fold_broken(broken, text);
			pfree(text);
			skip = lappend_int(skip, broken);
			block = 0;
			continue;
		}
		CS_CRASH_POINT("fold.before_commit");
		cs_commit();
		any = any || taken > 0;
	} while (taken < 0 || taken >= BATCH);
	folded_anything = folded_anything || any || skip != NIL;
	if (skip == NIL)
		seen_until = began;
	list_free(skip);
	return any;
}
