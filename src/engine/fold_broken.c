/*
 * fold_broken.c
 *	  Tracked tables that cannot be read while their changes are folded: what is
 *	  written down of them, and which are left alone for a while (fold.h).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "cloudsync/db.h"
#include "cloudsync/limit.h"
#include "fold.h"

#define HELD_MS 60000

/* See fold.h. */
void
cs_fold_broken(int32 dossiers_id, const char *text)
{
	static const char *const sql =
		"UPDATE cloudsync.dossier_table SET last_error = $2 "
		"WHERE dossiers_id OPERATOR(pg_catalog.=) $1 "
		"AND last_error IS DISTINCT FROM $2";
	Oid types[2] = {INT4OID, TEXTOID};
	Datum values[2] = {Int32GetDatum(dossiers_id), CStringGetTextDatum(text)};

	cs_begin("cloudsync: recording an error of a tracked table");
	cs_execute(sql, 2, types, values, NULL, false);
	cs_commit();
}

/* See fold.h. */
void
cs_fold_blame(void *arg, const ErrorData *error)
{
	cs_fold_broken(*(const int32 *) arg, cs_error_text(error));
}

/* See fold.h. */
List *
cs_fold_held(TimestampTz now)
{
	static TimestampTz until = DT_NOBEGIN;
	static const char *const sql =
		"SELECT dossiers_id FROM cloudsync.dossier_table "
		"WHERE pg_catalog.strpos(last_error, '" CS_LIMIT_ENDED "') "
		"OPERATOR(pg_catalog.>) 0";
	MemoryContext context = CurrentMemoryContext;
	List *held = NIL;
	uint64 n;

	if (until == DT_NOBEGIN)
		until = TimestampTzPlusMilliseconds(now, HELD_MS);
	if (now >= until)
		return NIL;
	cs_begin("cloudsync: folding changes");
	n = cs_execute(sql, 0, NULL, NULL, NULL, true);
	for (uint64 i = 0; i < n; i++)
	{
		int32 id = (int32) cs_get_int64(i, 1, 0);
		MemoryContext old = MemoryContextSwitchTo(context);

		held = lappend_int(held, id);
		MemoryContextSwitchTo(old);
	}
	cs_commit();
	return held;
}
