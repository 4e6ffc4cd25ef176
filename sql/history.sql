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
    due_at timestamptz, -- of a changed dossier: it was to be begun by then (P2)
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
-- What ended, by time: for the report, and for removing what is old (H6).
CREATE INDEX run_ended ON cloudsync.run (kind, finished_at, run_id) WHERE finished_at IS NOT NULL;
CREATE INDEX run_failed ON cloudsync.run (finished_at) WHERE state IN ('failed', 'partial');
CREATE INDEX run_shared ON cloudsync.run (shared_run_id) WHERE shared_run_id IS NOT NULL;

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
 * How many ends of runs workers have told of in this database, or -1 where they
 * cannot (without preload); and the wait for another one, no longer than that.
 */
CREATE FUNCTION cloudsync.ends_told() RETURNS bigint
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'cloudsync_ends_told';
CREATE FUNCTION cloudsync.await_end(told bigint, milliseconds bigint) RETURNS void
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'cloudsync_await_end';

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
            HINT = 'To see those there are: SELECT run_id, kind, state FROM cloudsync.history; A run that was rolled back is not among them.';
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
    begun pg_catalog.timestamptz := pg_catalog.clock_timestamp();
    elapsed pg_catalog.float8;
    told pg_catalog.int8;
    outcome pg_catalog.record;
BEGIN
    PERFORM cloudsync.refuse_transaction_block('CALL cloudsync_wait');
    LOOP
        COMMIT;
        told := cloudsync.ends_told(); -- before the look, which then misses none
        SELECT u.* INTO outcome FROM cloudsync.unfinished_runs(run_ids) u LIMIT 1;
        EXIT WHEN NOT FOUND;
        IF outcome.state OPERATOR(pg_catalog.=) ANY (ARRAY['failed', 'partial']) THEN
            RAISE EXCEPTION USING ERRCODE = 'external_routine_exception',
                MESSAGE = pg_catalog.concat(outcome.error, CASE WHEN outcome.error IS NULL THEN 'the run did not succeed' END),
                DETAIL = outcome.detail,
                HINT = pg_catalog.format('To see its files: SELECT * FROM cloudsync.history_file WHERE run_id = %1$s; to repeat it: SELECT cloudsync_retry(%1$s);', outcome.run_id);
        ELSIF outcome.state OPERATOR(pg_catalog.=) 'cancelled' THEN
            RAISE EXCEPTION USING ERRCODE = 'operator_intervention',
                MESSAGE = pg_catalog.concat(outcome.error, CASE WHEN outcome.error IS NULL THEN 'the run was cancelled' END),
                DETAIL = outcome.detail,
                HINT = pg_catalog.format('To repeat it: SELECT cloudsync_retry(%s);', outcome.run_id);
        END IF;
        IF pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>=) deadline THEN
            RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
                MESSAGE = pg_catalog.format('run %s has not ended after %s', outcome.run_id, timeout),
                DETAIL = outcome.detail,
                HINT = 'It goes on. To see what stands in its way, if anything does: SELECT * FROM cloudsync_status();';
        END IF;
        COMMIT;
        IF told OPERATOR(pg_catalog.<) 0 THEN
            -- late by a fiftieth of the time it took, and at most by a fifth of a second
            elapsed := EXTRACT(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) begun);
            PERFORM pg_catalog.pg_sleep(LEAST(GREATEST(elapsed OPERATOR(pg_catalog./) 50, 0.01), 0.2));
        ELSE
            -- others' runs may end all the time
            PERFORM pg_catalog.pg_sleep(0.005);
            PERFORM cloudsync.await_end(told, 200);
        END IF;
    END LOOP;
END
$$;
COMMENT ON PROCEDURE @extschema@.cloudsync_wait(bigint[], interval) IS
    'Commits, and returns when all these runs have succeeded; an error if one ended otherwise or the time is '
    'up. Not in a transaction block. For cloudsync_operator.';

CREATE PROCEDURE @extschema@.cloudsync_wait(run_id bigint, timeout interval DEFAULT '1 minute')
    LANGUAGE plpgsql AS
$$
BEGIN
    CALL @extschema@.cloudsync_wait(ARRAY[run_id], timeout);
END
$$;
COMMENT ON PROCEDURE @extschema@.cloudsync_wait(bigint, interval) IS
    'Commits, and returns when the run has succeeded; an error if it ended otherwise or the time is up. Not '
    'in a transaction block. For cloudsync_operator.';

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
            HINT = 'To see those there are: SELECT run_id, kind, state FROM cloudsync.history;';
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
    'Ends a run that waits, and stops one that works; false if it has ended already or others share its work. '
    'For cloudsync_operator.';

CREATE FUNCTION @extschema@.cloudsync_retry(run_id bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    run cloudsync.run := cloudsync.find_run(cloudsync_retry.run_id);
    new_run_id bigint;
    gone text;
    remedy text;
BEGIN
    IF run.state NOT IN ('failed', 'partial', 'cancelled') THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('run %s did not fail', run.run_id),
            DETAIL = format('Its state is %s.', run.state),
            HINT = CASE WHEN run.state IN ('queued', 'running') THEN format('To wait for it: CALL cloudsync_wait(%s);', run.run_id)
                        ELSE 'Only a run that failed is repeated; ask for another one.' END;
    END IF;
    SELECT CASE
            WHEN c.state = 'disconnected' THEN format('connection "%s" was disconnected', c.name)
            WHEN h.deleted_at IS NOT NULL THEN format('channel "%s" was deleted', h.name)
            WHEN EXISTS (SELECT FROM cloudsync.document o WHERE o.document_id = run.document_id AND o.state = 'forgotten')
                THEN format('document %s was forgotten', run.document_id)
            WHEN run.kind = 'refresh' AND NOT h.auto_collect THEN format('auto sync of channel "%s" is off', h.name)
            WHEN run.dossiers_id IS NOT NULL AND d.dossiers_id IS NULL THEN 'the table of its dossier is no longer tracked'
            WHEN run.kind = 'push' AND p.connection_id IS NULL THEN format('connection "%s" has no push settings', c.name)
        END,
        CASE
            WHEN c.state = 'disconnected' OR h.deleted_at IS NOT NULL THEN NULL
            WHEN EXISTS (SELECT FROM cloudsync.document o WHERE o.document_id = run.document_id AND o.state = 'forgotten')
                THEN 'What was forgotten cannot be brought back.'
            WHEN run.kind = 'refresh' THEN format('Switch it on first: SELECT cloudsync_set_auto_sync(%L, true);', h.name)
            WHEN d.dossiers_id IS NOT NULL THEN format('Give it some first: SELECT cloudsync_set_push(%L);', c.name)
        END
        INTO gone, remedy
        FROM cloudsync.connection c
        LEFT JOIN cloudsync.channel h ON h.channel_id = run.channel_id
        LEFT JOIN cloudsync.dossier_table d ON d.dossiers_id = run.dossiers_id
        LEFT JOIN cloudsync.push_setting p ON p.connection_id = run.connection_id
        WHERE c.connection_id = run.connection_id;
    IF gone IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('run %s cannot be repeated', run.run_id),
            DETAIL = format('%s%s.', upper(left(gone, 1)), substr(gone, 2)),
            HINT = coalesce(remedy, 'Set it up again, then ask for a new run.');
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
    'Queues a new run like one that failed, ended in part or was cancelled; gives its number. For '
    'cloudsync_operator.';

/*
 * Removes one step's worth of runs of a kind that ended longer than `keep` before
 * `now` (H6), with their files, oldest first and behind the run named: at most so
 * many runs and files, so that nothing is held for long. Kept, however old: a
 * run that documents came with, the last one of a channel, and one whose
 * execution others share as long as they are there. What somebody holds locked is
 * left for the next time. Gives where to go on; NULL when there is no more.
 * What else names a run (item.listing, pushed_dossier.last_run_id,
 * pushed_file.intent_run_id) compares numbers and never looks it up.
 */
CREATE FUNCTION cloudsync.remove_history(now timestamptz, kind text, keep interval, max_runs integer, max_files integer,
    INOUT after_at timestamptz, INOUT after_run bigint, OUT removed bigint)
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    old bigint[];
    old_until timestamptz;
    old_until_run bigint;
    removable bigint[];
BEGIN
    removed := 0;
    SELECT array_agg(o.run_id), max(o.finished_at), (array_agg(o.run_id ORDER BY o.finished_at DESC, o.run_id DESC))[1]
        INTO old, old_until, old_until_run
        FROM (SELECT r.run_id, r.finished_at FROM cloudsync.run r
              WHERE r.kind = remove_history.kind AND r.finished_at < remove_history.now - remove_history.keep
                AND (r.finished_at, r.run_id) > (remove_history.after_at, remove_history.after_run)
              ORDER BY r.finished_at, r.run_id LIMIT remove_history.max_runs) o;
    IF old IS NULL THEN
        after_at := NULL;
        RETURN;
    END IF;
    removable := ARRAY(
        SELECT r.run_id FROM cloudsync.run r
        WHERE r.run_id = ANY (old)
          AND NOT EXISTS (SELECT FROM cloudsync.channel h WHERE h.last_run_id = r.run_id)
          AND NOT EXISTS (SELECT FROM cloudsync.document d WHERE d.run_id = r.run_id)
        FOR UPDATE SKIP LOCKED);
    removable := ARRAY(
        SELECT u.run_id FROM unnest(removable) u (run_id)
        WHERE NOT EXISTS (SELECT FROM cloudsync.run s WHERE s.shared_run_id = u.run_id AND s.run_id <> ALL (removable)));
    DELETE FROM cloudsync.run_file f WHERE f.run_file_id = ANY (ARRAY(
        SELECT o.run_file_id FROM cloudsync.run_file o
        WHERE o.run_id = ANY (removable) LIMIT remove_history.max_files));
    GET DIAGNOSTICS removed = ROW_COUNT;
    IF removed >= remove_history.max_files THEN
        RETURN; -- the rest of them comes first
    END IF;
    DELETE FROM cloudsync.run r WHERE r.run_id = ANY (removable);
    removed := removed + coalesce(cardinality(removable), 0);
    after_at := old_until;
    after_run := old_until_run;
END
$$;
