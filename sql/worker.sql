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

-- What moves now for the session's tenant. No interval holds more than 290,000 years.
CREATE FUNCTION cloudsync.visible_activity() RETURNS TABLE (run_id bigint, connection_id bigint, file text, bytes_done bigint,
    bytes_total bigint, rate bigint, eta interval, phase text, pid integer)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
    SELECT a.run_id, a.connection_id, a.file, a.bytes_done, a.bytes_total, a.rate,
        pg_catalog.make_interval(secs => pg_catalog.round(LEAST(a.eta_seconds, 1e12))), a.phase, a.pid
    FROM cloudsync.activity_rows() a
    JOIN cloudsync.connection c ON c.connection_id = a.connection_id
    WHERE cloudsync.sees(c.tenant)
$$;

CREATE VIEW cloudsync.activity WITH (security_barrier) AS
    SELECT a.run_id, a.connection_id, a.file, a.bytes_done, a.bytes_total, a.rate, a.eta, a.phase, a.pid
    FROM cloudsync.visible_activity() a;
COMMENT ON VIEW cloudsync.activity IS 'Transfers under way, current to a second.';

-- CALL cloudsync_run(): all due work, here and now, by a worker of its own.
CREATE PROCEDURE @extschema@.cloudsync_run(max_time interval DEFAULT NULL)
    LANGUAGE c AS 'MODULE_PATHNAME', 'cloudsync_run';
COMMENT ON PROCEDURE @extschema@.cloudsync_run(interval) IS
    'Does all due work now, by a worker, and waits for it, for max_time at most. Not in a transaction block. '
    'For cloudsync_operator without a tenant.';

CREATE FUNCTION @extschema@.cloudsync_start_worker() RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'cloudsync_start_worker';
COMMENT ON FUNCTION @extschema@.cloudsync_start_worker() IS
    'Keeps workers in this database until the server restarts, where the library is not preloaded. For '
    'cloudsync_admin without a tenant.';

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
    'Holds all work in this database until cloudsync_resume. For cloudsync_admin without a tenant.';

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
    'Makes this copy of the database the one that acts, and compares all that was pushed once. For '
    'cloudsync_admin without a tenant.';

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
        HINT = 'Should it act again after all: SELECT cloudsync_resume(); and, for each connection, SELECT cloudsync_enable(name); and SELECT * FROM cloudsync_connect(provider, name, credentials);';
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_detach() IS
    'Suspends a copy of the database that shall never act, disables its connections and deletes its secrets. '
    'For cloudsync_admin without a tenant.';

-- A time as people read it: 0:07, 12:30, 1:02:03, 2 days 01:00.
CREATE FUNCTION cloudsync.short_time(seconds double precision) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT CASE WHEN s < 3600 THEN format('%s:%s', s / 60, lpad((s % 60)::text, 2, '0'))
                WHEN s < 86400 THEN format('%s:%s:%s', s / 3600, lpad((s / 60 % 60)::text, 2, '0'), lpad((s % 60)::text, 2, '0'))
                ELSE format('%s %s %s:%s', s / 86400, CASE WHEN s < 172800 THEN 'day' ELSE 'days' END,
                            lpad((s / 3600 % 24)::text, 2, '0'), lpad((s / 60 % 60)::text, 2, '0')) END
    FROM (SELECT ceil(greatest(short_time.seconds, 0))::bigint) t (s);
END;

-- Why a queued run waits, as far as its connection or the server is the cause; NULL: for its turn.
CREATE FUNCTION cloudsync.why_queued(run cloudsync.run) RETURNS text
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT coalesce(
        'nobody serves it: ' || cloudsync.why_waiting(),
        CASE WHEN c.state <> 'active' THEN CASE c.state WHEN 'needs_consent' THEN 'its connection needs consent' WHEN 'pending' THEN 'its connection waits for consent'
                                                             ELSE format('its connection is %s', c.state) END || coalesce(': ' || c.reason, '')
             WHEN c.retry_at > clock_timestamp() AND ((run).origin <> 'manual' OR (run).attempts > 0)
                 THEN format('its connection is tried again in %s', cloudsync.short_time(extract(epoch FROM c.retry_at - clock_timestamp())))
                      || coalesce(': ' || c.reason, '')
             WHEN (run).not_before > clock_timestamp()
                 THEN format('it begins in %s', cloudsync.short_time(extract(epoch FROM (run).not_before - clock_timestamp()))) END)
    FROM cloudsync.connection c WHERE c.connection_id = (run).connection_id;
END;

/*
 * One line about a run: a bar with rate and time left while it moves, what it
 * waits for while it is queued, and what came of it when it has ended. Names of
 * files may hold line breaks, and services' answers too.
 */
CREATE FUNCTION @extschema@.cloudsync_progress(run_id bigint) RETURNS text
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    run cloudsync.run;
    lead cloudsync.run; -- whose execution served it
    moving record;
    share double precision;
    before bigint;
    about text;
BEGIN
    SELECT r.* INTO run FROM cloudsync.run r WHERE r.run_id = cloudsync_progress.run_id AND cloudsync.sees(r.tenant);
    IF run.run_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('run %s does not exist', coalesce(cloudsync_progress.run_id::text, 'NULL')),
            HINT = 'To see those there are: SELECT run_id, kind, state FROM cloudsync.history; A run that was rolled back is not among them.';
    END IF;
    about := format('%s %s', run.kind, run.run_id);
    IF run.state = 'queued' THEN
        SELECT count(*) INTO before FROM cloudsync.run r
            WHERE r.connection_id = run.connection_id AND r.state IN ('queued', 'running')
              AND (r.state = 'running', r.origin = 'manual', -r.run_id) > (false, run.origin = 'manual', -run.run_id);
        RETURN cloudsync.one_line(format('%s  queued for %s, ', about, cloudsync.short_time(extract(epoch FROM clock_timestamp() - run.requested_at)))
            || coalesce(cloudsync.why_queued(run), format('%s %s before it', before, CASE before WHEN 1 THEN 'run' ELSE 'runs' END)));
    END IF;
    SELECT r.* INTO STRICT lead FROM cloudsync.run r WHERE r.run_id = coalesce(run.shared_run_id, run.run_id);
    IF run.state <> 'running' THEN
        RETURN cloudsync.one_line(concat_ws(', ', format('%s  %s', about, run.state),
            format('%s %s', lead.files_done, CASE lead.files_done WHEN 1 THEN 'file' ELSE 'files' END),
            CASE WHEN lead.files_skipped > 0 THEN format('%s skipped', lead.files_skipped) END,
            CASE WHEN lead.files_failed > 0 THEN format('%s failed', lead.files_failed) END,
            CASE WHEN lead.bytes_sent + lead.bytes_received > 0 THEN pg_size_pretty(lead.bytes_sent + lead.bytes_received) END,
            'in ' || cloudsync.short_time(extract(epoch FROM run.finished_at - lead.started_at))) || coalesce(': ' || run.error, ''));
    END IF;
    SELECT a.* INTO moving FROM cloudsync.activity_rows() a WHERE a.run_id = lead.run_id;
    IF moving.run_id IS NULL THEN -- just begun, or nobody can see it
        RETURN concat_ws(', ', format('%s  running for %s', about, cloudsync.short_time(extract(epoch FROM clock_timestamp() - lead.started_at))),
            format('%s files done', lead.files_done), CASE WHEN lead.files_failed > 0 THEN format('%s failed', lead.files_failed) END);
    END IF;
    share := CASE WHEN moving.bytes_total > 0 THEN least(1, moving.bytes_done::double precision / moving.bytes_total) END;
    RETURN cloudsync.one_line(concat_ws('  ', about,
        CASE WHEN share IS NOT NULL THEN format('[%s%s] %s%%', repeat('#', floor(share * 20)::integer),
            repeat('-', 20 - floor(share * 20)::integer), lpad(floor(share * 100)::text, 3)) END,
        pg_size_pretty(moving.bytes_done) || coalesce(' of ' || pg_size_pretty(moving.bytes_total), ''),
        pg_size_pretty(moving.rate) || '/s', cloudsync.short_time(moving.eta_seconds) || ' left', moving.phase, moving.file));
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_progress(bigint) IS
    'Gives one line about a run, with a bar while bytes move; \watch makes it live. For cloudsync_reader.';
