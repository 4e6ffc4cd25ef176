/*
 * due.c
 *	  What is due, and when: what the scheduler asks to know whom to wake and
 *	  how long it may sleep.
 *
 * Relies on store/db.c, and on the lease (wake.h) to tell work in progress
 * from what a dead worker left.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/timestamp.h"

#include "cloudsync/db.h"
#include "cloudsync/engine.h"
#include "cloudsync/wake.h"

/*
 * The earliest row of each connection and kind that waits in cloudsync.due: one
 * look into its index for each of them, however many rows there are, and one if
 * nothing waits.
 */
#define WAITING \
	"WITH RECURSIVE waiting AS (" \
	"(SELECT d.connection_id, d.backfill, d.start_at FROM cloudsync.due d " \
	"WHERE d.claimed IS NULL ORDER BY d.connection_id, d.backfill, d.start_at LIMIT 1) " \
	"UNION ALL SELECT n.connection_id, n.backfill, n.start_at FROM waiting w, LATERAL (" \
	"SELECT d.connection_id, d.backfill, d.start_at FROM cloudsync.due d " \
	"WHERE d.claimed IS NULL AND (d.connection_id, d.backfill) OPERATOR(pg_catalog.>) (w.connection_id, w.backfill) " \
	"ORDER BY d.connection_id, d.backfill, d.start_at LIMIT 1) n) "

/* Those whose tokens want something by themselves (token.c). */
#define TOKENS \
	"c.token_due_at IS NOT NULL AND (c.revoke OR c.state IN ('active', 'pending'))"

/* Those whose other credentials are to be checked (renewal.c). */
#define RENEWALS \
	"c.renewal_at IS NOT NULL AND c.state IN ('active', 'needs_consent')"

/*
 * See engine.h. The backoff does not hold up what somebody has just asked for by
 * hand, nor the queueing of collections.
 */
TimestampTz
cs_next_due(TimestampTz now)
{
	TimestampTz result;

	cs_begin("looking for the next due work");
	cs_execute_first(
		WAITING
		"SELECT LEAST((SELECT pg_catalog.min(CASE WHEN w.fresh THEN w.at ELSE GREATEST(w.at, c.retry_at) END) FROM ("
		"SELECT r.connection_id, COALESCE(r.not_before, r.requested_at) AS at, "
		"r.origin OPERATOR(pg_catalog.=) 'manual' AND r.attempts OPERATOR(pg_catalog.=) 0 AS fresh "
		"FROM cloudsync.run r WHERE r.state OPERATOR(pg_catalog.=) 'queued' AND NOT r.cancel_requested "
		"UNION ALL SELECT d.connection_id, d.start_at, false FROM waiting d "
		"UNION ALL SELECT b.connection_id, b.started_at, false FROM cloudsync.backfill b "
		"WHERE (SELECT pg_catalog.count(*) FROM (SELECT FROM cloudsync.due d "
		"WHERE d.connection_id OPERATOR(pg_catalog.=) b.connection_id AND d.backfill LIMIT 2000) n) "
		"OPERATOR(pg_catalog.<) 2000) w "
		"JOIN cloudsync.connection c ON c.connection_id OPERATOR(pg_catalog.=) w.connection_id "
		"WHERE c.state OPERATOR(pg_catalog.=) 'active'), "
		"(SELECT pg_catalog.min(h.next_collect_at) FROM cloudsync.channel h "
		"WHERE h.deleted_at IS NULL AND h.next_collect_at IS NOT NULL), "
		"(SELECT pg_catalog.min(h.retry_at) FROM cloudsync.channel h "
		"WHERE h.deleted_at IS NULL AND h.retry_at IS NOT NULL), "
		"(SELECT pg_catalog.min(GREATEST(c.token_due_at, c.retry_at)) FROM cloudsync.connection c WHERE " TOKENS "), "
		"(SELECT pg_catalog.min(GREATEST(c.renewal_at, CASE c.state WHEN 'active' THEN c.retry_at END)) "
		"FROM cloudsync.connection c WHERE " RENEWALS "))",
		0, NULL, NULL, NULL, true);
	result = cs_get_timestamptz(0, 1, DT_NOEND);
	cs_commit();
	return result;
}

/*
 * Connections that a worker was serving, among those that may be served or
 * those that may not. In the current context, which must outlive the query.
 */
static int
find_claimed(bool active, int64 **ids)
{
	Oid types[1] = {BOOLOID};
	Datum values[1] = {BoolGetDatum(active)};
	uint64 n;

	n = cs_execute_first(
		"SELECT c.connection_id FROM ("
		"SELECT r.connection_id FROM cloudsync.run r WHERE r.state OPERATOR(pg_catalog.=) 'running' "
		"UNION SELECT d.connection_id FROM cloudsync.due d WHERE d.claimed IS NOT NULL) w "
		"JOIN cloudsync.connection c ON c.connection_id OPERATOR(pg_catalog.=) w.connection_id "
		"WHERE (c.state OPERATOR(pg_catalog.=) 'active') OPERATOR(pg_catalog.=) $1",
		1, types, values, NULL, true);
	*ids = palloc(sizeof(int64) * Max(n, 1));
	for (uint64 i = 0; i < n; i++)
		(*ids)[i] = cs_get_int64(i, 1, 0);
	return (int) n;
}

/* Those that nobody serves now: their lease can be had. */
static List *
append_orphans(List *due)
{
	int64 *ids;
	int n = find_claimed(true, &ids);

	for (int i = 0; i < n; i++)
	{
		if (cs_lease_take(ids[i]))
		{
			cs_lease_release(ids[i]);
			due = lappend(due, &ids[i]);
		}
	}
	return due;
}

/* A lease is the session's: it must be given back whatever happens. */
static void
recover_and_release(int64 connection_id)
{
	PG_TRY();
	{
		cs_engine_recover(connection_id);
	}
	PG_CATCH();
	{
		cs_lease_release(connection_id);
		PG_RE_THROW();
	}
	PG_END_TRY();
	cs_lease_release(connection_id);
}

/*
 * See engine.h. What may be served is recovered by the worker that serves it
 * next; for a connection that was disabled meanwhile there is none.
 */
void
cs_recover_orphans(TimestampTz now)
{
	MemoryContext context = CurrentMemoryContext;
	int64 *found;
	int64 *ids;
	int n;

	cs_begin("looking for what dead workers left");
	n = find_claimed(false, &found);
	ids = MemoryContextAlloc(context, sizeof(int64) * Max(n, 1));
	memcpy(ids, found, sizeof(int64) * n);
	cs_commit();
	for (int i = 0; i < n; i++)
		if (cs_lease_take(ids[i]))
			recover_and_release(ids[i]);
}

static bool
is_listed(List *list, int64 id)
{
	ListCell *cell;

	foreach (cell, list)
	{
		if (*(int64 *) lfirst(cell) == id)
			return true;
	}
	return false;
}

/* See engine.h. By hand first, then live changes, then what existed before. */
List *
cs_due_connections(TimestampTz now, int max)
{
	MemoryContext context = CurrentMemoryContext;
	Oid types[2] = {TIMESTAMPTZOID, INT4OID};
	Datum values[2] = {TimestampTzGetDatum(now), Int32GetDatum(max)};
	List *due = NIL;
	List *orphans;
	ListCell *cell;
	uint64 n;
	uint64 i;

	cs_begin("looking for due work");
	n = cs_execute_first(
		WAITING
		"SELECT c.connection_id FROM ("
		"SELECT r.connection_id, 0 AS urgency, COALESCE(r.not_before, r.requested_at) AS at, "
		"r.origin OPERATOR(pg_catalog.=) 'manual' AND r.attempts OPERATOR(pg_catalog.=) 0 AS fresh "
		"FROM cloudsync.run r WHERE r.state OPERATOR(pg_catalog.=) 'queued' "
		"UNION ALL SELECT d.connection_id, CASE WHEN d.backfill THEN 2 ELSE 1 END, d.start_at, false FROM waiting d "
		"UNION ALL SELECT c.connection_id, 0, c.token_due_at, false FROM cloudsync.connection c WHERE " TOKENS " "
		"UNION ALL SELECT c.connection_id, 0, c.renewal_at, c.state OPERATOR(pg_catalog.=) 'needs_consent' "
		"FROM cloudsync.connection c WHERE " RENEWALS ") w "
		"JOIN cloudsync.connection c ON c.connection_id OPERATOR(pg_catalog.=) w.connection_id "
		"WHERE (c.state OPERATOR(pg_catalog.=) 'active' OR " TOKENS " OR " RENEWALS ") "
		"AND w.at OPERATOR(pg_catalog.<=) $1 "
		"AND (w.fresh OR c.retry_at IS NULL OR c.retry_at OPERATOR(pg_catalog.<=) $1) "
		"GROUP BY c.connection_id "
		"ORDER BY pg_catalog.min(w.urgency), pg_catalog.min(w.at) LIMIT $2",
		2, types, values, NULL, true);
	for (i = 0; i < n; i++)
	{
		int64 id = cs_get_int64(i, 1, 0);
		MemoryContext old = MemoryContextSwitchTo(context);
		int64 *copy = palloc(sizeof(int64));

		*copy = id;
		due = lappend(due, copy);
		MemoryContextSwitchTo(old);
	}
	orphans = append_orphans(NIL);
	foreach (cell, orphans)
	{
		int64 id = *(int64 *) lfirst(cell);

		if (!is_listed(due, id) && list_length(due) < max)
		{
			MemoryContext old = MemoryContextSwitchTo(context);
			int64 *copy = palloc(sizeof(int64));

			*copy = id;
			due = lappend(due, copy);
			MemoryContextSwitchTo(old);
		}
	}
	cs_commit();
	return due;
}

/* See engine.h. A lease that can be had is nobody's. */
int
cs_count_unserved(TimestampTz now, int max, bool *any)
{
	List *due = cs_due_connections(now, PG_INT32_MAX);
	ListCell *cell;
	int count = 0;

	*any = due != NIL;
	if (due == NIL)
		return 0;
	cs_begin("looking for what nobody serves");
	foreach (cell, due)
	{
		int64 id = *(int64 *) lfirst(cell);

		if (!cs_lease_take(id))
			continue;
		cs_lease_release(id);
		if (++count >= max)
			break;
	}
	cs_commit();
	return count;
}

/* See engine.h. */
int64
cs_shortest_every(void)
{
	int64 result = 0;

	cs_begin("reading settings");
	if (cs_execute_first(
			"SELECT (pg_catalog.date_part('epoch', p.every) OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8 "
			"FROM cloudsync.push_setting p JOIN cloudsync.connection c "
			"ON c.connection_id OPERATOR(pg_catalog.=) p.connection_id "
			"WHERE p.auto_sync AND c.state OPERATOR(pg_catalog.=) 'active' ORDER BY p.every LIMIT 1",
			0, NULL, NULL, NULL, true) > 0)
		result = cs_get_int64(0, 1, 0);
	cs_commit();
	return result;
}
