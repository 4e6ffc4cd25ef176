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

/*
 * A channel that has a run waiting already, since its connection is not served,
 * gets no second one.
 */
void
cs_schedule_collections(TimestampTz now)
{
	Oid types[1] = {TIMESTAMPTZOID};
	Datum values[1] = {TimestampTzGetDatum(now)};

	cs_begin("looking for channels whose time has come");
	cs_execute(
		"WITH due AS (SELECT h.channel_id, h.next_collect_at, "
		"COALESCE(h.next_collect_at <= $1, false) AS planned "
		"FROM cloudsync.channel h WHERE h.deleted_at IS NULL "
		"AND (h.next_collect_at <= $1 OR h.retry_at <= $1) "
		"ORDER BY LEAST(h.next_collect_at, h.retry_at) LIMIT 1000 FOR UPDATE SKIP LOCKED), "
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
		1, types, values, NULL, false);
	cs_commit();
}
