/*
 * schedule.c
 *	  Queues a run for each channel whose time has come (L2), or where something
 *	  failed that may be tried again. When the next one is follows from the one
 *	  that was planned, so that none is lost or doubled; many that were missed
 *	  are made up by one.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "cloudsync/db.h"
#include "cloudsync/engine.h"

typedef struct Due
{
	int64 channel_id;
	TimestampTz now;
} Due;

/*
 * One channel. One that has a run waiting already, since its connection is not
 * served, gets no second one.
 */
static void
schedule_one(void *arg)
{
	Due *due = arg;
	Oid types[2] = {TIMESTAMPTZOID, INT8OID};
	Datum values[2] = {TimestampTzGetDatum(due->now),
					   Int64GetDatum(due->channel_id)};

	cs_execute(
		"WITH due AS (SELECT h.channel_id, h.next_collect_at, "
		"COALESCE(h.next_collect_at <= $1, false) AS planned "
		"FROM cloudsync.channel h WHERE h.channel_id = $2 AND h.deleted_at IS NULL "
		"AND (h.next_collect_at <= $1 OR h.retry_at <= $1) FOR NO KEY UPDATE), "
		"taken AS (UPDATE cloudsync.channel h SET "
		"retry_at = CASE WHEN h.retry_at > $1 THEN h.retry_at END, "
		"next_collect_at = CASE WHEN NOT due.planned THEN h.next_collect_at "
		"WHEN h.auto_collect AND c.state <> 'disconnected' "
		"THEN cloudsync.next_collect(h.collect_every, h.collect_at, h.time_zone, due.next_collect_at, $1) END "
		"FROM due, cloudsync.connection c "
		"WHERE h.channel_id = due.channel_id AND c.connection_id = h.connection_id "
		"RETURNING h.tenant, h.connection_id, h.channel_id, due.planned, c.state) "
		"INSERT INTO cloudsync.run (tenant, kind, connection_id, channel_id, origin, requested_by, requested_at) "
		"SELECT t.tenant, 'collect', t.connection_id, t.channel_id, "
		"CASE WHEN t.planned THEN 'schedule' ELSE 'auto' END, 'auto', $1 "
		"FROM taken t WHERE t.state <> 'disconnected' AND NOT EXISTS (SELECT FROM cloudsync.run r "
		"WHERE r.connection_id = t.connection_id AND r.channel_id = t.channel_id "
		"AND r.kind = 'collect' AND r.state = 'queued' AND r.document_id IS NULL)",
		2, types, values, NULL, false);
}

/* Its schedule cannot be worked out: said, and tried again in an hour. */
static void
put_off(Due *due, const ErrorData *error)
{
	Oid types[2] = {TIMESTAMPTZOID, INT8OID};
	Datum values[2] = {TimestampTzGetDatum(due->now),
					   Int64GetDatum(due->channel_id)};

	ereport(WARNING, (errmsg("channel " INT64_FORMAT " cannot be scheduled: %s",
							 due->channel_id, cs_error_text(error))));
	cs_execute("UPDATE cloudsync.channel SET retry_at = NULL, next_collect_at = $1 + interval '1 hour' "
			   "WHERE channel_id = $2",
			   2, types, values, NULL, false);
}

/* See engine.h. */
void
cs_schedule_collections(TimestampTz now)
{
	Oid types[1] = {TIMESTAMPTZOID};
	Datum values[1] = {TimestampTzGetDatum(now)};
	Due *due;
	uint64 n;

	cs_begin("looking for channels whose time has come");
	n = cs_execute("SELECT h.channel_id FROM cloudsync.channel h WHERE h.deleted_at IS NULL "
				   "AND h.next_collect_at <= $1 "
				   "UNION SELECT h.channel_id FROM cloudsync.channel h WHERE h.deleted_at IS NULL "
				   "AND h.retry_at <= $1 LIMIT 1000",
				   1, types, values, NULL, true);
	due = palloc(Max(n, 1) * sizeof(Due));
	for (uint64 i = 0; i < n; i++)
	{
		due[i].channel_id = cs_get_int64(i, 1, 0);
		due[i].now = now;
	}
	for (uint64 i = 0; i < n; i++)
	{
		ErrorData *error = NULL;

		if (!cs_try(schedule_one, &due[i], &error))
			put_off(&due[i], error);
	}
	cs_commit();
}
