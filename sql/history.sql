/*
 * history.sql: runs, which are the history, and what each touched (H1).
 */

/*
 * One execution of a push, a collection, a refresh or a preparation; also the
 * queue of what was asked for. Each call has its own run; shared_run_id names
 * the run whose execution served it too. A run that a crash cut off goes back
 * to queued and is taken again under the same number.
 */
CREATE TABLE cloudsync.run (
    run_id bigserial PRIMARY KEY,
    tenant text NOT NULL DEFAULT '',
    kind text NOT NULL CHECK (kind IN ('push', 'collect', 'refresh', 'prepare')),
    connection_id bigint NOT NULL REFERENCES cloudsync.connection,
    channel_id bigint,
    dossiers_id integer,
    dossier text,
    document_id bigint,
    origin text NOT NULL CHECK (origin IN ('manual', 'auto', 'schedule')),
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    not_before timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'succeeded', 'partial', 'failed', 'cancelled')),
    shared_run_id bigint,
    cancel_requested boolean NOT NULL DEFAULT false,
    files_done integer NOT NULL DEFAULT 0,
    files_skipped integer NOT NULL DEFAULT 0,
    files_failed integer NOT NULL DEFAULT 0,
    bytes_sent bigint NOT NULL DEFAULT 0,
    bytes_received bigint NOT NULL DEFAULT 0,
    requests bigint NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    error text,
    -- each kind has its subject
    CHECK (CASE kind WHEN 'push' THEN dossiers_id IS NOT NULL AND dossier IS NOT NULL
                     WHEN 'prepare' THEN true ELSE channel_id IS NOT NULL END)
) WITH (fillfactor = 80);
-- The queue within the history. There is no index by connection alone: it would
-- serve the same statements, at a cost that grows with the history.
CREATE INDEX run_active ON cloudsync.run (connection_id, state, run_id) WHERE state IN ('queued', 'running');
-- The queue of pushes in its order, and one dossier's own.
CREATE INDEX run_push_queue ON cloudsync.run (connection_id, (origin OPERATOR(pg_catalog.<>) 'manual'), run_id)
    WHERE kind OPERATOR(pg_catalog.=) 'push' AND state OPERATOR(pg_catalog.=) 'queued';
CREATE INDEX run_push_dossier ON cloudsync.run (connection_id, dossiers_id, dossier)
    WHERE kind OPERATOR(pg_catalog.=) 'push' AND state IN ('queued', 'running');
CREATE INDEX run_channel ON cloudsync.run (channel_id, run_id) WHERE channel_id IS NOT NULL;

CREATE TABLE cloudsync.run_file (
    run_file_id bigserial PRIMARY KEY,
    run_id bigint NOT NULL REFERENCES cloudsync.run,
    connection_id bigint NOT NULL,
    action text NOT NULL,
    path text NOT NULL,
    size bigint,
    sha256 bytea,
    error text
);
CREATE INDEX run_file_run ON cloudsync.run_file (run_id);

/*
 * At the end of each run, and when a connection changes state, the worker sends
 * NOTIFY cloudsync in a transaction of its own, after what it settled is
 * committed (H4). The payload is JSON with no names in it, since any role may
 * LISTEN:
 *   {"event": "run", "run_id": 12, "kind": "push", "state": "succeeded"}
 *   {"event": "connection", "connection_id": 3, "kind": "local", "state": "active"}
 */

-- Refuses to go on inside a transaction block, where a procedure cannot commit.
CREATE FUNCTION cloudsync.refuse_transaction_block(statement text) RETURNS void
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'cloudsync_refuse_transaction_block';

/*
 * Of these runs, those that have not succeeded, ended ones first: what
 * cloudsync_wait looks at. Each must exist for the session.
 */
CREATE FUNCTION cloudsync.unfinished_runs(run_ids bigint[]) RETURNS TABLE (run_id bigint, state text, error text, detail text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
DECLARE
    missing bigint;
BEGIN
    SELECT w.wanted INTO missing FROM unnest(unfinished_runs.run_ids) w (wanted)
        WHERE NOT EXISTS (SELECT FROM cloudsync.run r WHERE r.run_id = w.wanted AND cloudsync.sees(r.tenant)) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('run %s does not exist', coalesce(missing::text, 'NULL')),
            HINT = 'The view cloudsync.history lists the runs. A run that was rolled back is not among them.';
    END IF;
    RETURN QUERY
        SELECT r.run_id, r.state, r.error,
               format('Run %s, %s on connection "%s": %s; files done %s, failed %s.', r.run_id,
                      r.kind || coalesce(' of dossier "' || r.dossier || '"', '') || coalesce(' of channel "' || h.name || '"', ''),
                      c.name, r.state, lead.files_done, lead.files_failed)
        FROM cloudsync.run r
        JOIN cloudsync.connection c ON c.connection_id = r.connection_id
        JOIN cloudsync.run lead ON lead.run_id = coalesce(r.shared_run_id, r.run_id)
        LEFT JOIN cloudsync.channel h ON h.channel_id = r.channel_id
        WHERE r.run_id = ANY (unfinished_runs.run_ids) AND r.state <> 'succeeded'
        ORDER BY r.state IN ('queued', 'running'), r.run_id;
END
$$;

/*
 * Both procedures commit, so they can have no SET clause and name every schema,
 * and they run as the caller. Between two looks they hold no snapshot for more
 * than the blink of a sleep.
 */
CREATE PROCEDURE @extschema@.cloudsync_wait(run_ids bigint[], timeout interval DEFAULT '1 minute')
    LANGUAGE plpgsql AS
$$
DECLARE
    deadline pg_catalog.timestamptz := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) timeout;
    pause pg_catalog.float8 := 0.01;
    outcome pg_catalog.record;
BEGIN
    PERFORM cloudsync.refuse_transaction_block('CALL cloudsync_wait');
    LOOP
        COMMIT;
        SELECT u.* INTO outcome FROM cloudsync.unfinished_runs(run_ids) u LIMIT 1;
        EXIT WHEN NOT FOUND;
        IF outcome.state OPERATOR(pg_catalog.=) ANY (ARRAY['failed', 'partial']) THEN
            RAISE EXCEPTION USING ERRCODE = 'external_routine_exception',
                MESSAGE = pg_catalog.concat(outcome.error, CASE WHEN outcome.error IS NULL THEN 'the run did not succeed' END),
                DETAIL = outcome.detail,
                HINT = 'The view cloudsync.history_file shows each file of the run; cloudsync_retry starts it again.';
        ELSIF outcome.state OPERATOR(pg_catalog.=) 'cancelled' THEN
            RAISE EXCEPTION USING ERRCODE = 'operator_intervention',
                MESSAGE = pg_catalog.concat(outcome.error, CASE WHEN outcome.error IS NULL THEN 'the run was cancelled' END),
                DETAIL = outcome.detail;
        END IF;
        IF pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>=) deadline THEN
            RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
                MESSAGE = pg_catalog.format('run %s has not ended after %s', outcome.run_id, timeout),
                DETAIL = outcome.detail,
                HINT = 'It goes on. cloudsync_status() says what stands in its way, if anything does.';
        END IF;
        COMMIT;
        PERFORM pg_catalog.pg_sleep(pause);
        pause := LEAST(pause OPERATOR(pg_catalog.*) 2, 0.2);
    END LOOP;
END
$$;
COMMENT ON PROCEDURE @extschema@.cloudsync_wait(bigint[], interval) IS
    'commits, and waits until all these runs have succeeded; an error when one ends otherwise';

CREATE PROCEDURE @extschema@.cloudsync_wait(run_id bigint, timeout interval DEFAULT '1 minute')
    LANGUAGE plpgsql AS
$$
BEGIN
    CALL @extschema@.cloudsync_wait(ARRAY[run_id], timeout);
END
$$;
COMMENT ON PROCEDURE @extschema@.cloudsync_wait(bigint, interval) IS
    'commits, and waits until the run has succeeded; an error when it ends otherwise';

-- The run of that number, locked, if the session sees it; else an error.
CREATE FUNCTION cloudsync.find_run(run_id bigint) RETURNS cloudsync.run
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    found_row cloudsync.run;
BEGIN
    SELECT r.* INTO found_row FROM cloudsync.run r
        WHERE r.run_id = find_run.run_id AND cloudsync.sees(r.tenant) FOR NO KEY UPDATE;
    IF found_row.run_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('run %s does not exist', coalesce(find_run.run_id::text, 'NULL')),
            HINT = 'The view cloudsync.history lists the runs.';
    END IF;
    RETURN found_row;
END
$$;

CREATE FUNCTION @extschema@.cloudsync_cancel(run_id bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    run cloudsync.run := cloudsync.find_run(cloudsync_cancel.run_id);
    why text := format('cancelled by %s', cloudsync.acting_user());
BEGIN
    -- not begun, or only sharing somebody else's execution: out at once
    IF run.state = 'queued' OR (run.state = 'running' AND run.shared_run_id IS NOT NULL) THEN
        UPDATE cloudsync.run r SET state = 'cancelled', finished_at = clock_timestamp(), error = why
            WHERE r.run_id = run.run_id;
    ELSIF run.state = 'running' THEN
        IF EXISTS (SELECT FROM cloudsync.run r WHERE r.connection_id = run.connection_id
                   AND r.state = 'running' AND r.shared_run_id = run.run_id) THEN
            RAISE NOTICE USING MESSAGE = format('run %s goes on, since other runs share its work', run.run_id),
                HINT = 'Cancel those first.';
            RETURN false;
        END IF;
        UPDATE cloudsync.run r SET cancel_requested = true
            WHERE r.run_id = run.run_id AND NOT r.cancel_requested;
    ELSE
        RETURN false;
    END IF;
    PERFORM cloudsync.note(run.tenant, 'cancel', format('run %s', run.run_id),
                           jsonb_build_object('state', run.state), jsonb_build_object('state', 'cancelled'));
    PERFORM cloudsync.wake(true);
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_cancel(bigint) IS
    'ends a run that is waiting or at work; false if it has ended already';

CREATE FUNCTION @extschema@.cloudsync_retry(run_id bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    run cloudsync.run := cloudsync.find_run(cloudsync_retry.run_id);
    new_run_id bigint;
    gone text;
BEGIN
    IF run.state NOT IN ('failed', 'partial', 'cancelled') THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('run %s did not fail', run.run_id),
            DETAIL = format('Its state is %s.', run.state);
    END IF;
    SELECT CASE
            WHEN c.state = 'disconnected' THEN format('connection "%s" was disconnected', c.name)
            WHEN h.deleted_at IS NOT NULL THEN format('channel "%s" was deleted', h.name)
            WHEN run.kind = 'refresh' AND NOT h.auto_collect THEN format('auto sync of channel "%s" is off', h.name)
            WHEN run.dossiers_id IS NOT NULL AND d.dossiers_id IS NULL THEN 'the table of its dossier is no longer tracked'
            WHEN run.kind = 'push' AND p.connection_id IS NULL THEN format('connection "%s" has no push settings', c.name)
        END INTO gone
        FROM cloudsync.connection c
        LEFT JOIN cloudsync.channel h ON h.channel_id = run.channel_id
        LEFT JOIN cloudsync.dossier_table d ON d.dossiers_id = run.dossiers_id
        LEFT JOIN cloudsync.push_setting p ON p.connection_id = run.connection_id
        WHERE c.connection_id = run.connection_id;
    IF gone IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('run %s cannot be repeated', run.run_id),
            DETAIL = format('%s%s.', upper(left(gone, 1)), substr(gone, 2));
    END IF;
    INSERT INTO cloudsync.run AS r (tenant, kind, connection_id, channel_id, dossiers_id, dossier, document_id, origin, requested_by)
        VALUES (run.tenant, run.kind, run.connection_id, run.channel_id, run.dossiers_id, run.dossier, run.document_id,
                'manual', cloudsync.acting_user())
        RETURNING r.run_id INTO new_run_id;
    PERFORM cloudsync.wake(true);
    RETURN new_run_id;
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_retry(bigint) IS
    'queues a new run like one that failed, ended in part or was cancelled';

/*
 * The age of the oldest committed change that a connection with automatic push
 * has not been given; zero when there is none. What was there when automatic
 * push was switched on does not count. A change whose tenant is not known yet
 * counts for every connection.
 */
CREATE FUNCTION @extschema@.cloudsync_lag(connection text DEFAULT NULL) RETURNS interval
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    wanted bigint;
    oldest timestamptz;
BEGIN
    IF cloudsync_lag.connection IS NOT NULL THEN
        wanted := (cloudsync.find_connection(cloudsync_lag.connection)).connection_id;
    END IF;
    SELECT least(min(waiting.changed_at), min(noted.changed_at)) INTO oldest
        FROM cloudsync.connection c
        JOIN cloudsync.push_setting p ON p.connection_id = c.connection_id
        CROSS JOIN LATERAL (SELECT min(d.changed_at) AS changed_at FROM cloudsync.due d
                            WHERE d.connection_id = c.connection_id AND NOT d.backfill) waiting
        LEFT JOIN (SELECT g.tenant, min(g.changed_at) AS changed_at FROM cloudsync.change g GROUP BY g.tenant) noted
            ON p.auto_sync AND (noted.tenant IS NULL OR noted.tenant = c.tenant)
        WHERE c.state <> 'disconnected' AND cloudsync.sees(c.tenant)
          AND (wanted IS NULL OR c.connection_id = wanted);
    RETURN greatest(clock_timestamp() - oldest, '0'::interval);
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_lag(text) IS
    'the age of the oldest committed change that has not been pushed';

/*
 * What needs a person, most urgent first; no row when all is well. Each arm
 * names the thing, what is wrong with it, and the command to type. What hangs
 * on a suspended copy is not listed besides the suspension.
 */
CREATE FUNCTION @extschema@.cloudsync_status() RETURNS TABLE (severity text, subject text, problem text, action text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
DECLARE
    suspended text := CASE WHEN NOT pg_is_in_recovery() THEN cloudsync.why_suspended() END;
    now timestamptz := clock_timestamp();
BEGIN
    IF suspended IS NOT NULL THEN
        RETURN QUERY SELECT 'error', format('database %s', current_database()), format('suspended: %s', suspended),
            CASE WHEN current_setting('cloudsync.enabled') = 'off'
                     THEN 'ALTER SYSTEM SET cloudsync.enabled = on; SELECT pg_reload_conf();'
                 WHEN suspended LIKE 'cloudsync.hosts%'
                     THEN 'ALTER SYSTEM SET cloudsync.hosts = ...; SELECT pg_reload_conf();'
                 ELSE 'SELECT cloudsync_resume();' END;
    END IF;
    RETURN QUERY
    SELECT p.severity, p.subject, p.problem, p.action FROM (
        SELECT w.severity, w.subject, w.problem, w.action FROM cloudsync.worker_problems() w
            WHERE suspended IS NULL
        UNION ALL SELECT * FROM cloudsync.connection_problems(now) WHERE suspended IS NULL
        UNION ALL SELECT * FROM cloudsync.push_problems(now)
        UNION ALL SELECT * FROM cloudsync.channel_problems(now, suspended IS NOT NULL)
        UNION ALL SELECT * FROM cloudsync.source_problems()
    ) p
    ORDER BY array_position(ARRAY['error', 'warning', 'info'], p.severity), p.subject, p.problem;
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_status() IS
    'what needs a person, most urgent first, with the command to type; no row when all is well';

-- Connections that need consent or fail, and deadlines about to be missed (P14).
CREATE FUNCTION cloudsync.connection_problems(now timestamptz)
    RETURNS TABLE (severity text, subject text, problem text, action text)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT CASE WHEN c.state IN ('needs_consent', 'locked') THEN 'error' ELSE 'warning' END,
           format('connection %s', c.name),
           CASE c.state WHEN 'needs_consent' THEN 'it needs consent again' WHEN 'pending' THEN 'it waits for consent'
                WHEN 'locked' THEN 'it is locked'
                ELSE format('it fails, %s times in a row; tried again at %s', c.failures, date_trunc('second', c.retry_at)) END
               || coalesce(': ' || c.reason, ''),
           CASE WHEN c.state = 'locked' THEN 'Put the keyring back: see cloudsync.master_key_file and cloudsync.master_key_command. It goes on by itself then.'
                WHEN c.state IN ('needs_consent', 'pending') THEN format('SELECT * FROM cloudsync_connect(%L, %L, options => %L);', c.provider, c.name, c.options)
                ELSE format('SELECT * FROM cloudsync_check(%L);', c.name) END
        FROM cloudsync.connection c
        WHERE cloudsync.sees(c.tenant)
          AND (c.state IN ('needs_consent', 'pending', 'locked') OR (c.state = 'active' AND c.failures > 0 AND c.retry_at IS NOT NULL));
    RETURN QUERY
    SELECT CASE WHEN min(d.due_at) < now THEN 'error' ELSE 'warning' END,
           format('connection %s', c.name),
           format(CASE WHEN min(d.due_at) < now THEN 'changed dossiers waiting: %s; the first was due at %s'
                       ELSE 'changed dossiers waiting: %s; the first is due at %s' END,
                  count(*), date_trunc('second', min(d.due_at))),
           format('SELECT * FROM cloudsync.dossiers WHERE connection = %L AND state = ''waiting'' ORDER BY due_at;', c.name)
        FROM cloudsync.connection c
        JOIN cloudsync.push_setting p ON p.connection_id = c.connection_id
        JOIN cloudsync.due d ON d.connection_id = c.connection_id
        WHERE cloudsync.sees(c.tenant) AND c.state = 'active' AND c.failures = 0
          AND NOT d.backfill AND d.claimed IS NULL AND d.attempts = 0 AND d.due_at < now + p.every / 4
        GROUP BY c.name;
    RETURN QUERY
    SELECT 'warning', 'change log', format('changes since %s have not been looked at', date_trunc('second', g.changed_at)),
           'SELECT pid, backend_type, state FROM pg_stat_activity WHERE backend_type LIKE ''cloudsync%'';'
        FROM (SELECT min(g.changed_at) AS changed_at FROM cloudsync.change g) g
        WHERE cloudsync.sees_all() AND g.changed_at < now - (
            SELECT min(p.every) * 0.75 FROM cloudsync.push_setting p
            JOIN cloudsync.connection c ON c.connection_id = p.connection_id
            WHERE p.auto_sync AND c.state = 'active');
END
$$;

-- Files and dossiers that fail, and what waits to be moved to the trash (P9, P11).
CREATE FUNCTION cloudsync.push_problems(now timestamptz)
    RETURNS TABLE (severity text, subject text, problem text, action text)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT 'error', format('connection %s', c.name),
           format(CASE count(*) WHEN 1 THEN 'a file cannot be sent, %2$s of dossier %3$s: %4$s'
                       ELSE '%1$s files cannot be sent, among them %2$s of dossier %3$s: %4$s' END, count(*),
                  quote_literal((array_agg(coalesce(f.intent_path, f.path, f.file_key) ORDER BY f.dossier, f.file_key))[1]),
                  quote_literal((array_agg(f.dossier ORDER BY f.dossier, f.file_key))[1]),
                  (array_agg(f.last_error ORDER BY f.dossier, f.file_key))[1]),
           format('SELECT * FROM cloudsync.files WHERE connection = %L AND state = ''failed'';', c.name)
        FROM cloudsync.pushed_file f
        JOIN cloudsync.destination s ON s.destination_id = f.destination_id
        JOIN cloudsync.connection c ON c.connection_id = s.connection_id
        WHERE f.next_try_at IS NOT NULL AND f.state = 'failed' AND c.state = 'active' AND cloudsync.sees(c.tenant)
        GROUP BY c.name;
    RETURN QUERY
    SELECT 'error', format('connection %s', c.name),
           format(CASE count(*) WHEN 1 THEN 'a dossier cannot be pushed, %2$s: %3$s'
                       ELSE '%1$s dossiers cannot be pushed, among them %2$s: %3$s' END, count(*),
                  quote_literal((array_agg(d.dossier ORDER BY d.dossier))[1]),
                  (array_agg(d.last_error ORDER BY d.dossier))[1]),
           format('SELECT * FROM cloudsync.dossiers WHERE connection = %L AND state = ''failed'';', c.name)
        FROM cloudsync.due d
        JOIN cloudsync.connection c ON c.connection_id = d.connection_id
        LEFT JOIN (cloudsync.pushed_dossier p JOIN cloudsync.destination s ON s.destination_id = p.destination_id)
            ON s.connection_id = d.connection_id AND p.dossiers_id = d.dossiers_id AND p.dossier = d.dossier
        WHERE d.attempts > 0 AND p.state IS DISTINCT FROM 'partial' AND c.state = 'active' AND c.failures = 0
          AND cloudsync.sees(c.tenant)
        GROUP BY c.name;
    RETURN QUERY
    SELECT 'warning', format('connection %s', c.name),
           format('%s %s to be moved to the trash, more than cloudsync.max_trash an hour', count(*),
                  CASE count(*) WHEN 1 THEN 'file waits' ELSE 'files wait' END),
           format('SELECT cloudsync_confirm_trash(%L);', c.name)
        FROM cloudsync.pushed_file f
        JOIN cloudsync.destination s ON s.destination_id = f.destination_id
        JOIN cloudsync.connection c ON c.connection_id = s.connection_id
        WHERE f.state = 'to_trash' AND NOT f.trash_confirmed AND c.state <> 'disconnected' AND cloudsync.sees(c.tenant)
        GROUP BY c.name;
END
$$;

-- Channels whose schedule was missed, folders and files that fail, files changed in place (L4).
CREATE FUNCTION cloudsync.channel_problems(now timestamptz, suspended boolean)
    RETURNS TABLE (severity text, subject text, problem text, action text)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT 'error', format('channel %s', h.name),
           format('its collection of %s has not been begun', date_trunc('second', h.next_collect_at)),
           format('SELECT cloudsync_collect(%L);', h.name)
        FROM cloudsync.channel h JOIN cloudsync.connection c ON c.connection_id = h.connection_id
        WHERE h.deleted_at IS NULL AND h.auto_collect AND c.state = 'active' AND c.failures = 0 AND NOT suspended
          AND h.next_collect_at < now - interval '5 minutes' AND cloudsync.sees(h.tenant);
    RETURN QUERY
    SELECT 'error', format('channel %s', h.name),
           format('folder %s: %s', quote_literal(f.path), coalesce(f.last_error, 'it is gone')),
           CASE f.state WHEN 'gone' THEN format('SELECT cloudsync_alter_channel(%L, folders => ...);', h.name)
                ELSE format('SELECT cloudsync_collect(%L);', h.name) END
        FROM cloudsync.channel_folder f
        JOIN cloudsync.channel h ON h.channel_id = f.channel_id
        JOIN cloudsync.connection c ON c.connection_id = h.connection_id
        WHERE h.deleted_at IS NULL AND f.state IN ('failed', 'gone') AND c.state = 'active' AND c.failures = 0
          AND cloudsync.sees(h.tenant);
    RETURN QUERY
    SELECT 'error', format('channel %s', h.name), coalesce(r.error, 'its last collection did not succeed'),
           format('SELECT cloudsync_retry(%s);', r.run_id)
        FROM cloudsync.channel h
        JOIN cloudsync.connection c ON c.connection_id = h.connection_id
        JOIN cloudsync.run r ON r.run_id = h.last_run_id
        WHERE h.deleted_at IS NULL AND r.state IN ('failed', 'partial') AND c.state = 'active' AND c.failures = 0
          AND cloudsync.sees(h.tenant)
          AND NOT EXISTS (SELECT FROM cloudsync.channel_folder f
                          WHERE f.channel_id = h.channel_id AND f.state IN ('failed', 'gone'))
          AND NOT EXISTS (SELECT FROM cloudsync.item i WHERE i.channel_id = h.channel_id AND i.state = 'failed');
    RETURN QUERY
    SELECT CASE i.state WHEN 'failed' THEN 'error' ELSE 'info' END, format('channel %s', h.name),
           CASE i.state
               WHEN 'failed' THEN format(CASE count(*) WHEN 1 THEN 'a file could not be collected, %2$s: %3$s'
                       ELSE '%1$s files could not be collected, among them %2$s: %3$s' END, count(*),
                   quote_literal((array_agg(i.path ORDER BY i.path))[1]), (array_agg(i.reason ORDER BY i.path))[1])
               ELSE format('%s %s changed in the folder after being collected', count(*),
                   CASE count(*) WHEN 1 THEN 'file was' ELSE 'files were' END) END,
           format('SELECT * FROM cloudsync.items WHERE channel = %L AND state = %L;', h.name, i.state)
        FROM cloudsync.item i
        JOIN cloudsync.channel h ON h.channel_id = i.channel_id
        WHERE i.state IN ('failed', 'changed') AND h.deleted_at IS NULL AND cloudsync.sees(h.tenant)
        GROUP BY h.name, i.state;
END
$$;

-- Tracked tables with an error, and content that is compressed for nothing (P12): the server's matter.
CREATE FUNCTION cloudsync.source_problems()
    RETURNS TABLE (severity text, subject text, problem text, action text)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
BEGIN
    IF NOT cloudsync.sees_all() THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT 'error', format('table %s', t.name), t.last_error,
           CASE WHEN t.exists THEN format('SELECT cloudsync_track(...);  -- again, or cloudsync_untrack(%L)', t.name)
                ELSE format('SELECT cloudsync_untrack(%s);', t.oid) END
        FROM (
            SELECT d.dossiers::text, d.dossiers::oid, d.last_error, k.oid IS NOT NULL
            FROM cloudsync.dossier_table d LEFT JOIN pg_class k ON k.oid = d.dossiers
            UNION ALL
            SELECT s.files::text, s.files::oid, s.last_error, k.oid IS NOT NULL
            FROM cloudsync.source s LEFT JOIN pg_class k ON k.oid = s.files
        ) t (name, oid, last_error, exists)
        WHERE t.last_error IS NOT NULL;
    RETURN QUERY
    SELECT 'info', format('table %s', s.files),
           format('column %I holds large values that may be compressed, which then need memory of their own size', a.attname),
           format('ALTER TABLE %s ALTER COLUMN %I SET STORAGE EXTERNAL;', s.files, a.attname)
        FROM cloudsync.source s
        JOIN pg_attribute a ON a.attrelid = s.files AND a.attnum = s.content_column AND a.attstorage IN ('x', 'm')
        JOIN pg_class k ON k.oid = s.files
        JOIN pg_class toast ON toast.oid = k.reltoastrelid
        WHERE s.content_kind = 'bytea' AND k.reltuples > 0
          AND toast.relpages * 8192.0 / k.reltuples > 8 * 1024 * 1024;
END
$$;
