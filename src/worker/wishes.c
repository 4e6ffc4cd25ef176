/*
 * wishes.c
 *	  What people want of work that is under way: runs to be cancelled, and
 *	  connections that were disabled or disconnected meanwhile (C6).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/memutils.h"

#include "cloudsync/db.h"
#include "internal.h"

static Datum
int8_array(const List *ids)
{
	Datum *values = palloc(sizeof(Datum) * (list_length(ids) + 1));
	const ListCell *cell;
	int n = 0;

	foreach (cell, ids)
		values[n++] = Int64GetDatum(*(int64 *) lfirst(cell));
	return PointerGetDatum(construct_array(values, n, INT8OID, sizeof(int64),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* The ids that the statement gives for these, in the context given. */
static List *
select_ids(const char *sql, const List *ids, MemoryContext context)
{
	Oid types[] = {INT8ARRAYOID};
	Datum values[] = {int8_array(ids)};
	uint64 n = cs_execute(sql, 1, types, values, NULL, true);
	List *result = NIL;

	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		int64 *id = palloc(sizeof(int64));

		*id = cs_get_int64(i, 1, 0);
		result = lappend(result, id);
		MemoryContextSwitchTo(old);
	}
	return result;
}

/*
 * Of the jobs of these connections, the runs to be cancelled; of the
 * connections, those that are to be served no more. Lists of int64 pointers in
 * the current context.
 */
void
cs_find_wishes(const List *connections, List **runs, List **ended)
{
	MemoryContext context = CurrentMemoryContext;
	List *run_ids = NIL;
	List *connection_ids = NIL;
	const ListCell *cell;

	foreach (cell, connections)
	{
		CsConnection *connection = lfirst(cell);
		const ListCell *job_cell;

		connection_ids = lappend(connection_ids, &connection->connection_id);
		foreach (job_cell, connection->jobs)
			run_ids = lappend(run_ids, &((CsJob *) lfirst(job_cell))->run_id);
	}
	cs_begin("looking for what was cancelled");
	*runs = run_ids == NIL
				? NIL
				: select_ids("SELECT r.run_id FROM cloudsync.run r "
							 "WHERE r.run_id OPERATOR(pg_catalog.=) ANY ($1) "
							 "AND r.cancel_requested",
							 run_ids, context);
	*ended = select_ids("SELECT c.connection_id FROM cloudsync.connection c "
						"WHERE c.connection_id OPERATOR(pg_catalog.=) ANY ($1) "
						"AND c.state IN ('disabled', 'disconnected')",
						connection_ids, context);
	cs_commit();
}
