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

static Datum
int4_array(const List *values_list)
{
	Datum *values = palloc(sizeof(Datum) * (list_length(values_list) + 1));
	const ListCell *cell;
	int n = 0;

	foreach (cell, values_list)
		values[n++] = Int32GetDatum(lfirst_int(cell));
	return PointerGetDatum(construct_array(values, n, INT4OID, sizeof(int32),
										   true, TYPALIGN_INT));
}

/*
 * Connections whose options or credentials are others than they were when they
 * were opened, in the context given. Those that were only given other limits
 * take them on as they are.
 */
static List *
look_for_changes(const List *connections, MemoryContext context)
{
	Oid types[] = {INT8ARRAYOID, INT4ARRAYOID};
	Datum values[2];
	List *ids = NIL;
	List *revisions = NIL;
	List *changed = NIL;
	const ListCell *cell;
	uint64 n;

	foreach (cell, connections)
	{
		CsConnection *connection = lfirst(cell);

		ids = lappend(ids, &connection->connection_id);
		revisions = lappend_int(revisions, connection->revision);
	}
	values[0] = int8_array(ids);
	values[1] = int4_array(revisions);
	n = cs_execute("SELECT k.n, c.revision OPERATOR(pg_catalog.<>) k.revision, "
				   "c.bytes_per_second, c.requests_per_second::pg_catalog.float8 "
				   "FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) "
				   "WITH ORDINALITY k (connection_id, revision, n) "
				   "JOIN cloudsync.connection c ON c.connection_id "
				   "OPERATOR(pg_catalog.=) k.connection_id",
				   2, types, values, NULL, true);
	for (uint64 i = 0; i < n; i++)
	{
		CsConnection *connection =
			list_nth(connections, cs_get_int64(i, 1, 1) - 1);
		int64 bytes = cs_get_int64(i, 3, 0);
		char *text = cs_get_text(i, 4);
		double requests = text ? atof(text) : 0;

		if (cs_get_bool(i, 2, false))
		{
			MemoryContext old = MemoryContextSwitchTo(context);

			changed = lappend(changed, &connection->connection_id);
			MemoryContextSwitchTo(old);
		}
		else if (bytes != connection->bytes_per_second ||
				 requests != connection->requests_per_second)
			cs_connection_set_limits(connection, bytes, requests);
	}
	return changed;
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

/* See internal.h. */
void
cs_find_wishes(const List *connections, List **runs, List **ended)
{
	MemoryContext context = CurrentMemoryContext;
	List *run_ids = NIL;
	List *connection_ids = NIL;
	List *changed;
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
						"AND (c.state IN ('locked', 'disabled', 'disconnected') "
						"AND NOT c.revoke)",
						connection_ids, context);
	changed = look_for_changes(connections, context);
	cs_commit();
	*ended = list_concat(*ended, changed);
}
