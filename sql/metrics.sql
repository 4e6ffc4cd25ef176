/*
 * metrics.sql: counters of what was done, and cloudsync_metrics() (H5).
 *
 * Counters are not read from the history, which is large and is cut off by its
 * retention. Each run adds one row to the tally in the transaction that ends it:
 * a table without an index or a unique key, so that nobody waits for anybody and
 * a rollback counts nothing. The scheduler adds the tally to the totals once a
 * minute. Were each run to update its connection's total itself, every snapshot
 * that lasts (a dump's, say) would leave it as many versions of one row to step
 * over as there are runs meanwhile.
 */

CREATE TABLE cloudsync.tally (
    connection_id bigint NOT NULL,
    kind text NOT NULL,
    state text NOT NULL,
    ended_at timestamptz NOT NULL,
    files_done bigint NOT NULL,
    files_skipped bigint NOT NULL,
    files_failed bigint NOT NULL,
    bytes_sent bigint NOT NULL,
    bytes_received bigint NOT NULL,
    requests bigint NOT NULL,
    seconds double precision,
    on_time boolean -- of a changed dossier: begun by its deadline
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);

CREATE TABLE cloudsync.total (
    connection_id bigint NOT NULL,
    kind text NOT NULL,
    succeeded bigint NOT NULL,
    partial bigint NOT NULL,
    failed bigint NOT NULL,
    cancelled bigint NOT NULL,
    files_done bigint NOT NULL,
    files_skipped bigint NOT NULL,
    files_failed bigint NOT NULL,
    bytes_sent bigint NOT NULL,
    bytes_received bigint NOT NULL,
    requests bigint NOT NULL,
    seconds double precision NOT NULL,
    on_time bigint NOT NULL,
    late bigint NOT NULL,
    last_succeeded_at timestamptz,
    PRIMARY KEY (connection_id, kind)
) WITH (fillfactor = 50);

-- Totals of these rows of the tally; what ended without having begun took no time.
CREATE FUNCTION cloudsync.sum_tally(ended cloudsync.tally[]) RETURNS SETOF cloudsync.total
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT t.connection_id, t.kind,
           count(*) FILTER (WHERE t.state = 'succeeded'), count(*) FILTER (WHERE t.state = 'partial'),
           count(*) FILTER (WHERE t.state = 'failed'), count(*) FILTER (WHERE t.state = 'cancelled'),
           sum(t.files_done)::bigint, sum(t.files_skipped)::bigint, sum(t.files_failed)::bigint,
           sum(t.bytes_sent)::bigint, sum(t.bytes_received)::bigint, sum(t.requests)::bigint,
           coalesce(sum(t.seconds), 0), count(*) FILTER (WHERE t.on_time), count(*) FILTER (WHERE NOT t.on_time),
           max(t.ended_at) FILTER (WHERE t.state = 'succeeded')
    FROM unnest(sum_tally.ended) t
    GROUP BY t.connection_id, t.kind;
END;

/*
 * Adds up to so many rows of the tally to the totals; returns how many there
 * were. One process at a time, by the scheduler's lock.
 */
CREATE FUNCTION cloudsync.count_runs(max_rows integer) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    taken cloudsync.tally[];
BEGIN
    WITH gone AS (
        DELETE FROM cloudsync.tally t
            WHERE t.ctid = ANY (ARRAY(SELECT o.ctid FROM cloudsync.tally o LIMIT count_runs.max_rows)) RETURNING t.*)
    SELECT array_agg(g::cloudsync.tally) INTO taken FROM gone g;
    INSERT INTO cloudsync.total AS o SELECT n.* FROM cloudsync.sum_tally(taken) n
        ON CONFLICT (connection_id, kind) DO UPDATE SET
            succeeded = o.succeeded + excluded.succeeded, partial = o.partial + excluded.partial,
            failed = o.failed + excluded.failed, cancelled = o.cancelled + excluded.cancelled,
            files_done = o.files_done + excluded.files_done, files_skipped = o.files_skipped + excluded.files_skipped,
            files_failed = o.files_failed + excluded.files_failed, bytes_sent = o.bytes_sent + excluded.bytes_sent,
            bytes_received = o.bytes_received + excluded.bytes_received, requests = o.requests + excluded.requests,
            seconds = o.seconds + excluded.seconds, on_time = o.on_time + excluded.on_time, late = o.late + excluded.late,
            last_succeeded_at = greatest(o.last_succeeded_at, excluded.last_succeeded_at);
    RETURN coalesce(cardinality(taken), 0);
END
$$;

/*
 * One family of metrics: its HELP and TYPE, and its samples, NULL where there
 * are none. A label's value may hold anything.
 */
CREATE FUNCTION cloudsync.metric(name text, type text, help text, samples text[]) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT format(E'# HELP %s %s\n# TYPE %s %s\n', metric.name, metric.help, metric.name, metric.type)
               || array_to_string(metric.samples, E'\n') || E'\n'
        WHERE cardinality(array_remove(metric.samples, NULL)) > 0;
END;
CREATE FUNCTION cloudsync.metric_label(value text) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT '"' || replace(replace(replace(coalesce(metric_label.value, ''), E'\\', E'\\\\'), '"', E'\\"'), E'\n', E'\\n') || '"';
END;

-- The oldest change that each connection has not been given; NULL: there is none (see cloudsync_lag).
CREATE FUNCTION cloudsync.oldest_changes(wanted bigint DEFAULT NULL) RETURNS TABLE (connection_id bigint, changed_at timestamptz)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH noted AS MATERIALIZED (SELECT g.tenant, min(g.changed_at) AS changed_at FROM cloudsync.change g GROUP BY g.tenant)
    SELECT c.connection_id, least(
            (SELECT min(d.changed_at) FROM cloudsync.due d WHERE d.connection_id = c.connection_id AND NOT d.backfill),
            (SELECT min(n.changed_at) FROM noted n WHERE p.auto_sync AND (n.tenant IS NULL OR n.tenant = c.tenant)))
    FROM cloudsync.connection c
    JOIN cloudsync.push_setting p ON p.connection_id = c.connection_id
    WHERE c.state <> 'disconnected' AND cloudsync.sees(c.tenant)
      AND (oldest_changes.wanted IS NULL OR c.connection_id = oldest_changes.wanted);
END;

-- The session's connections, with their labels: those that ended are left out,
-- since their names may be given again.
CREATE FUNCTION cloudsync.metric_connections() RETURNS TABLE (connection_id bigint, labels text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT c.connection_id, format('tenant=%s,connection=%s,provider=%s', cloudsync.metric_label(c.tenant),
                                   cloudsync.metric_label(c.name), cloudsync.metric_label(c.provider))
    FROM cloudsync.connection c
    WHERE c.state <> 'disconnected' AND cloudsync.sees(c.tenant);
END;

-- Counters: from the totals and what is not added to them yet.
CREATE FUNCTION cloudsync.counter_metrics() RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH mine AS MATERIALIZED (SELECT m.* FROM cloudsync.metric_connections() m),
    parts AS (
        SELECT t.* FROM cloudsync.total t
        UNION ALL
        SELECT t.* FROM cloudsync.sum_tally(ARRAY(SELECT y FROM cloudsync.tally y)) t
        UNION ALL -- what is set up has its series from the start
        SELECT w.connection_id, w.kind, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL
        FROM (SELECT p.connection_id, 'push' FROM cloudsync.push_setting p
              UNION SELECT h.connection_id, 'collect' FROM cloudsync.channel h WHERE h.deleted_at IS NULL) w (connection_id, kind)
    ), counted AS MATERIALIZED (
        SELECT m.labels || ',kind=' || cloudsync.metric_label(p.kind) AS labels, p.kind,
               sum(p.succeeded) AS succeeded, sum(p.partial) AS partial, sum(p.failed) AS failed, sum(p.cancelled) AS cancelled,
               sum(p.files_done) AS files_done, sum(p.files_skipped) AS files_skipped, sum(p.files_failed) AS files_failed,
               sum(p.bytes_sent) AS bytes_sent, sum(p.bytes_received) AS bytes_received, sum(p.requests) AS requests,
               sum(p.seconds) AS seconds, sum(p.on_time) AS on_time, sum(p.late) AS late,
               max(p.last_succeeded_at) AS last_succeeded_at
        FROM parts p JOIN mine m ON m.connection_id = p.connection_id
        WHERE p.kind <> 'prepare'
        GROUP BY m.labels, p.kind
    )
    SELECT concat(
        cloudsync.metric('cloudsync_runs_total', 'counter', 'Pushes, collections and refreshes that ended, as executed.',
            (SELECT array_agg(format('cloudsync_runs_total{%s,state="%s"} %s', c.labels, v.state, v.n) ORDER BY c.labels, v.state)
             FROM counted c, LATERAL (VALUES ('succeeded', c.succeeded), ('partial', c.partial), ('failed', c.failed),
                                             ('cancelled', c.cancelled)) v (state, n))),
        cloudsync.metric('cloudsync_run_seconds_total', 'counter', 'Time that runs took, from their start to their end.',
            (SELECT array_agg(format('cloudsync_run_seconds_total{%s} %s', c.labels, c.seconds) ORDER BY c.labels) FROM counted c)),
        cloudsync.metric('cloudsync_files_total', 'counter', 'Files that runs brought over, left as they were, or failed with.',
            (SELECT array_agg(format('cloudsync_files_total{%s,result="%s"} %s', c.labels, v.result, v.n) ORDER BY c.labels, v.result)
             FROM counted c, LATERAL (VALUES ('done', c.files_done), ('skipped', c.files_skipped),
                                             ('failed', c.files_failed)) v (result, n))),
        cloudsync.metric('cloudsync_sent_bytes_total', 'counter', 'Bytes of files sent to storage services.',
            (SELECT array_agg(format('cloudsync_sent_bytes_total{%s} %s', c.labels, c.bytes_sent) ORDER BY c.labels) FROM counted c)),
        cloudsync.metric('cloudsync_received_bytes_total', 'counter', 'Bytes of files received from storage services.',
            (SELECT array_agg(format('cloudsync_received_bytes_total{%s} %s', c.labels, c.bytes_received) ORDER BY c.labels) FROM counted c)),
        cloudsync.metric('cloudsync_requests_total', 'counter', 'Requests made to storage services by runs.',
            (SELECT array_agg(format('cloudsync_requests_total{%s} %s', c.labels, c.requests) ORDER BY c.labels) FROM counted c)),
        cloudsync.metric('cloudsync_deadlines_total', 'counter', 'Changed dossiers whose push began within every (kept), or later (missed).',
            (SELECT array_agg(format('cloudsync_deadlines_total{%s,result="%s"} %s', c.labels, v.result, v.n) ORDER BY c.labels, v.result)
             FROM counted c, LATERAL (VALUES ('kept', c.on_time), ('missed', c.late)) v (result, n) WHERE c.kind = 'push')),
        cloudsync.metric('cloudsync_last_success_timestamp_seconds', 'gauge', 'When a run last succeeded.',
            (SELECT array_agg(format('cloudsync_last_success_timestamp_seconds{%s} %s', c.labels,
                                     round(extract(epoch FROM c.last_succeeded_at), 3)) ORDER BY c.labels)
             FROM counted c WHERE c.last_succeeded_at IS NOT NULL)));
END;

-- How the session's connections stand now.
CREATE FUNCTION cloudsync.connection_metrics() RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH mine AS MATERIALIZED (
        SELECT m.labels, c.* FROM cloudsync.metric_connections() m JOIN cloudsync.connection c ON c.connection_id = m.connection_id
    ), lag AS MATERIALIZED (
        SELECT m.labels, greatest(extract(epoch FROM clock_timestamp() - o.changed_at), 0) AS seconds, extract(epoch FROM p.every) AS every
        FROM cloudsync.oldest_changes() o
        JOIN mine m ON m.connection_id = o.connection_id
        JOIN cloudsync.push_setting p ON p.connection_id = o.connection_id
    ), waiting AS MATERIALIZED (
        SELECT m.labels, count(d.dossier) FILTER (WHERE NOT d.backfill) AS changed, count(d.dossier) FILTER (WHERE d.backfill) AS backfill
        FROM mine m JOIN cloudsync.push_setting p ON p.connection_id = m.connection_id
        LEFT JOIN cloudsync.due d ON d.connection_id = m.connection_id
        GROUP BY m.labels
    ), active AS MATERIALIZED (
        SELECT m.labels, count(r.run_id) FILTER (WHERE r.state = 'queued') AS queued, count(r.run_id) FILTER (WHERE r.state = 'running') AS running
        FROM mine m LEFT JOIN cloudsync.run r ON r.connection_id = m.connection_id AND r.state IN ('queued', 'running')
        GROUP BY m.labels
    ), failing AS MATERIALIZED (
        SELECT m.labels, 'sending' AS what, count(*) AS n
        FROM mine m JOIN cloudsync.destination s ON s.connection_id = m.connection_id
        JOIN cloudsync.pushed_file f ON f.destination_id = s.destination_id AND f.next_try_at IS NOT NULL AND f.state = 'failed'
        GROUP BY m.labels
        UNION ALL
        SELECT m.labels, 'collecting', count(*)
        FROM mine m JOIN cloudsync.channel h ON h.connection_id = m.connection_id AND h.deleted_at IS NULL
        JOIN cloudsync.item i ON i.channel_id = h.channel_id AND i.state = 'failed'
        GROUP BY m.labels
    )
    SELECT concat(
        cloudsync.metric('cloudsync_connection_state', 'gauge', 'State of the connection: 1 for the one it is in.',
            (SELECT array_agg(format('cloudsync_connection_state{%s,state="%s"} %s', m.labels, v.state, (m.state = v.state)::integer)
                              ORDER BY m.labels, v.state)
             FROM mine m, (VALUES ('pending'), ('active'), ('needs_consent'), ('locked'), ('disabled')) v (state))),
        cloudsync.metric('cloudsync_connection_failures', 'gauge', 'Failures of the connection in a row; 0 when it works.',
            (SELECT array_agg(format('cloudsync_connection_failures{%s} %s', m.labels, m.failures) ORDER BY m.labels) FROM mine m)),
        cloudsync.metric('cloudsync_consent_expiry_timestamp_seconds', 'gauge', 'When the consent or client secret ends, where that is known.',
            (SELECT array_agg(format('cloudsync_consent_expiry_timestamp_seconds{%s} %s', m.labels,
                                     round(extract(epoch FROM m.consent_expires_at))) ORDER BY m.labels)
             FROM mine m WHERE m.consent_expires_at IS NOT NULL)),
        cloudsync.metric('cloudsync_lag_seconds', 'gauge', 'Age of the oldest committed change that has not been pushed.',
            (SELECT array_agg(format('cloudsync_lag_seconds{%s} %s', l.labels, coalesce(trim_scale(round(l.seconds, 3)), 0)) ORDER BY l.labels) FROM lag l)),
        cloudsync.metric('cloudsync_push_interval_seconds', 'gauge', 'Within which time a change is to be begun (every).',
            (SELECT array_agg(format('cloudsync_push_interval_seconds{%s} %s', l.labels, trim_scale(l.every)) ORDER BY l.labels) FROM lag l)),
        cloudsync.metric('cloudsync_waiting_dossiers', 'gauge', 'Dossiers that wait to be pushed: changed ones, and ones there before.',
            (SELECT array_agg(format('cloudsync_waiting_dossiers{%s,reason="%s"} %s', w.labels, v.reason, v.n) ORDER BY w.labels, v.reason)
             FROM waiting w, LATERAL (VALUES ('change', w.changed), ('backfill', w.backfill)) v (reason, n))),
        cloudsync.metric('cloudsync_active_runs', 'gauge', 'Runs that are queued or running.',
            (SELECT array_agg(format('cloudsync_active_runs{%s,state="%s"} %s', a.labels, v.state, v.n) ORDER BY a.labels, v.state)
             FROM active a, LATERAL (VALUES ('queued', a.queued), ('running', a.running)) v (state, n))),
        cloudsync.metric('cloudsync_failing_files', 'gauge', 'Files that failed and are tried again.',
            (SELECT array_agg(format('cloudsync_failing_files{%s,step="%s"} %s', m.labels, v.what, coalesce(f.n, 0)) ORDER BY m.labels, v.what)
             FROM mine m CROSS JOIN (VALUES ('sending'), ('collecting')) v (what)
             LEFT JOIN failing f ON f.labels = m.labels AND f.what = v.what)));
END;

/*
 * What Prometheus reads: H5. At most some 40 series a connection, and no name of
 * a dossier, file, channel or person.
 */
CREATE FUNCTION @extschema@.cloudsync_metrics() RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    result text;
BEGIN
    result := concat(
        cloudsync.metric('cloudsync_info', 'gauge', 'The version of the extension.',
            ARRAY[(SELECT format('cloudsync_info{version=%s} 1', cloudsync.metric_label(e.extversion))
                   FROM pg_extension e WHERE e.extname = 'cloudsync')]),
        cloudsync.metric('cloudsync_suspended', 'gauge', '1 if this copy of the database does nothing by itself.',
            ARRAY[format('cloudsync_suspended %s', (cloudsync.why_suspended() IS NOT NULL)::integer)]),
        cloudsync.metric('cloudsync_problems', 'gauge', 'Rows of cloudsync_status().',
            (SELECT array_agg(format('cloudsync_problems{severity="%s"} %s', v.severity, coalesce(p.n, 0)) ORDER BY v.severity)
             FROM (VALUES ('error'), ('warning'), ('info')) v (severity)
             LEFT JOIN (SELECT s.severity, count(*) AS n FROM @extschema@.cloudsync_status() s GROUP BY s.severity) p
                 ON p.severity = v.severity)),
        cloudsync.counter_metrics(),
        cloudsync.connection_metrics(),
        cloudsync.metric('cloudsync_inbox_documents', 'gauge', 'Documents that wait to be entered.',
            (SELECT array_agg(format('cloudsync_inbox_documents{tenant=%s} %s', cloudsync.metric_label(d.tenant), d.n) ORDER BY d.tenant)
             FROM (SELECT w.tenant, count(*) AS n FROM cloudsync.document w WHERE w.state = 'waiting' GROUP BY w.tenant) d
             WHERE cloudsync.sees(d.tenant))),
        cloudsync.metric('cloudsync_unread_documents', 'gauge', 'Documents that wait for their text to be read.',
            (SELECT array_agg(format('cloudsync_unread_documents{tenant=%s} %s', cloudsync.metric_label(d.tenant), d.n) ORDER BY d.tenant)
             FROM (SELECT u.tenant, count(*) AS n
                   -- by both indexes of what is not read
                   FROM (SELECT w.tenant FROM cloudsync.document w WHERE w.ocr_state = 'pending' AND w.ocr_waits_for IS NULL
                         UNION ALL SELECT w.tenant FROM cloudsync.document w WHERE w.ocr_state = 'pending' AND w.ocr_waits_for IS NOT NULL) u
                   GROUP BY u.tenant) d
             WHERE cloudsync.sees(d.tenant))));
    IF cloudsync.sees_all() THEN
        result := result || cloudsync.metric('cloudsync_processes', 'gauge', 'Processes of cloudsync in this database.',
            (SELECT array_agg(format('cloudsync_processes{kind="%s"} %s', v.kind, coalesce(a.n, 0)) ORDER BY v.kind)
             FROM (VALUES ('scheduler'), ('worker'), ('ocr')) v (kind)
             LEFT JOIN (SELECT s.backend_type, count(*) AS n FROM pg_stat_activity s
                        WHERE s.datname = current_database() GROUP BY s.backend_type) a
                 ON a.backend_type = 'cloudsync ' || v.kind));
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_metrics() IS
    'Gives counters and gauges in the text format of Prometheus. For cloudsync_reader.';
