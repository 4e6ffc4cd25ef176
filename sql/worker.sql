/*
 * worker.sql: functions that start, stop and watch the workers (W1 to W12, H2, H3).
 */

CREATE FUNCTION cloudsync.why_suspended() RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'cloudsync_why_suspended';
COMMENT ON FUNCTION cloudsync.why_suspended() IS 'why this copy of the database may not act; NULL when it may';

CREATE FUNCTION cloudsync.worker_problems() RETURNS TABLE (severity text, subject text, problem text, action text)
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'cloudsync_worker_problems';
COMMENT ON FUNCTION cloudsync.worker_problems() IS 'what cloudsync_status() says about the workers';

CREATE FUNCTION cloudsync.activity_rows(OUT run_id bigint, OUT connection_id bigint, OUT file text, OUT bytes_done bigint,
    OUT bytes_total bigint, OUT rate bigint, OUT eta_seconds double precision, OUT phase text, OUT pid integer) RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'cloudsync_activity_rows';

-- What moves now for the session's tenant.
CREATE FUNCTION cloudsync.visible_activity() RETURNS TABLE (run_id bigint, connection_id bigint, file text, bytes_done bigint,
    bytes_total bigint, rate bigint, eta interval, phase text, pid integer)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
    SELECT a.run_id, a.connection_id, a.file, a.bytes_done, a.bytes_total, a.rate,
        pg_catalog.make_interval(secs => pg_catalog.round(a.eta_seconds)), a.phase, a.pid
    FROM cloudsync.activity_rows() a
    JOIN cloudsync.connection c ON c.connection_id = a.connection_id
    WHERE cloudsync.sees(c.tenant)
$$;

CREATE VIEW cloudsync.activity WITH (security_barrier) AS
    SELECT a.run_id, a.connection_id, a.file, a.bytes_done, a.bytes_total, a.rate, a.eta, a.phase, a.pid
    FROM cloudsync.visible_activity() a;
COMMENT ON VIEW cloudsync.activity IS 'what moves now, current to a second';
COMMENT ON COLUMN cloudsync.activity.rate IS 'bytes a second since the run''s start';

-- CALL cloudsync_run(): all due work, here and now, by a worker of its own.
CREATE PROCEDURE @extschema@.cloudsync_run(max_time interval DEFAULT NULL)
    LANGUAGE c AS 'MODULE_PATHNAME', 'cloudsync_run';
COMMENT ON PROCEDURE @extschema@.cloudsync_run(interval) IS
    'does all due work now, by a worker, and waits for it';

CREATE FUNCTION @extschema@.cloudsync_start_worker() RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'cloudsync_start_worker';
COMMENT ON FUNCTION @extschema@.cloudsync_start_worker() IS
    'keeps workers in this database until the server restarts';

-- These concern the whole database: for administrators without a tenant.
CREATE FUNCTION @extschema@.cloudsync_suspend() RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
    PERFORM cloudsync.refuse_tenant('cloudsync_suspend');
    UPDATE cloudsync.home SET suspended_at = clock_timestamp(), suspended_by = cloudsync.acting_user()
        WHERE suspended_at IS NULL;
    IF FOUND THEN
        PERFORM cloudsync.note('', 'suspend', 'database', NULL, NULL);
        PERFORM cloudsync.wake(true);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_suspend() IS
    'holds all work in this database until cloudsync_resume';

/*
 * Makes this copy the one that acts. The queue is not in a dump, so in a copy
 * every dossier is looked at once; what is at the remote already is not sent.
 */
CREATE FUNCTION @extschema@.cloudsync_resume() RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    same boolean;
    suspended boolean;
BEGIN
    PERFORM cloudsync.refuse_tenant('cloudsync_resume');
    LOCK TABLE cloudsync.home IN EXCLUSIVE MODE;
    SELECT count(*) = 1 AND bool_and(h.installation = i.installation AND h.system_identifier = c.system_identifier AND h.database_oid = d.oid),
            bool_or(h.suspended_at IS NOT NULL)
        INTO same, suspended
        FROM cloudsync.home h, cloudsync.installation i, pg_control_system() c, pg_database d
        WHERE d.datname = current_database();
    IF same AND NOT suspended THEN
        RETURN;
    END IF;
    DELETE FROM cloudsync.home;
    INSERT INTO cloudsync.home (installation, system_identifier, database_oid)
        SELECT i.installation, c.system_identifier, d.oid
        FROM cloudsync.installation i, pg_control_system() c, pg_database d
        WHERE d.datname = current_database();
    IF NOT coalesce(same, false) THEN
        PERFORM cloudsync.reresolve_sources();
        INSERT INTO cloudsync.backfill (connection_id, dossiers_id)
            SELECT p.connection_id, t.dossiers_id
            FROM cloudsync.push_setting p
            JOIN cloudsync.connection c ON c.connection_id = p.connection_id AND c.state <> 'disconnected'
            CROSS JOIN cloudsync.dossier_table t
            WHERE p.auto_sync
            ON CONFLICT DO NOTHING;
    END IF;
    PERFORM cloudsync.note('', 'resume', 'database', NULL, jsonb_build_object('this_copy', coalesce(same, false)));
    PERFORM cloudsync.wake(true);
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_resume() IS
    'makes this copy of the database the one that acts';

/*
 * A copy that shall never act: suspended, its secrets gone for good, and each
 * connection disabled, so that resuming by mistake does nothing either.
 */
CREATE FUNCTION @extschema@.cloudsync_detach() RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    ended bigint;
    forgotten bigint;
BEGIN
    PERFORM cloudsync.refuse_tenant('cloudsync_detach');
    UPDATE cloudsync.home SET suspended_at = coalesce(suspended_at, clock_timestamp()),
        suspended_by = cloudsync.acting_user();
    UPDATE cloudsync.connection SET state = 'disabled', reason = format('detached from the store by %s', cloudsync.acting_user())
        WHERE state NOT IN ('disabled', 'disconnected');
    GET DIAGNOSTICS ended = ROW_COUNT;
    DELETE FROM cloudsync.secret;
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    PERFORM cloudsync.note('', 'detach', 'database', NULL, jsonb_build_object('connections', ended, 'secrets', forgotten));
    PERFORM cloudsync.wake(true);
    RAISE NOTICE USING MESSAGE = format('this copy is detached: it is suspended, and its %s active connections are disabled, and its %s secrets are gone', ended, forgotten),
        HINT = 'Should it act again after all, run cloudsync_resume(), and for each connection cloudsync_enable() and, with its credentials, cloudsync_connect().';
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_detach() IS
    'suspends a copy of the database that shall never act';

-- One line about a run, with a bar while bytes move.
CREATE FUNCTION @extschema@.cloudsync_progress(run_id bigint) RETURNS text
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    run cloudsync.run%ROWTYPE;
    moving record;
    moves boolean := false;
    share double precision;
BEGIN
    SELECT r.* INTO run FROM cloudsync.run r WHERE r.run_id = cloudsync_progress.run_id AND cloudsync.sees(r.tenant);
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('run %s does not exist', cloudsync_progress.run_id);
    END IF;
    IF run.state = 'running' THEN
        SELECT a.* INTO moving FROM cloudsync.activity_rows() a
            WHERE a.run_id IN (run.run_id, run.shared_run_id) LIMIT 1;
        moves := FOUND;
    END IF;
    IF NOT moves THEN
        RETURN concat_ws(', ', format('%s %s: %s', run.kind, run.run_id, run.state), format('%s files', run.files_done),
            CASE WHEN run.files_failed > 0 THEN format('%s failed', run.files_failed) END,
            CASE WHEN run.bytes_sent + run.bytes_received > 0 THEN pg_size_pretty(run.bytes_sent + run.bytes_received) END,
            run.error);
    END IF;
    share := least(1, moving.bytes_done / nullif(moving.bytes_total, 0)::double precision);
    RETURN concat_ws(' ', format('%s %s', run.kind, run.run_id),
        CASE WHEN share IS NOT NULL THEN format('[%s%s] %s %%', repeat('#', floor(share * 20)::integer),
            repeat('-', 20 - floor(share * 20)::integer), floor(share * 100)) END,
        pg_size_pretty(moving.bytes_done), CASE WHEN moving.bytes_total > 0 THEN 'of ' || pg_size_pretty(moving.bytes_total) END,
        CASE WHEN moving.rate > 0 THEN '(' || pg_size_pretty(moving.rate) || '/s' ||
            CASE WHEN moving.eta_seconds IS NOT NULL THEN format(', %s s left', ceil(moving.eta_seconds)) ELSE '' END || ')' END,
        moving.phase, moving.file);
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_progress(bigint) IS
    'one line about a run, with a bar while bytes move';
