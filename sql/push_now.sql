/*
 * push_now.sql: what people ask of pushing: a dossier pushed now (P3), what a
 * push would do (P15), and consent to what would go to the trash (P9).
 */

-- Where a dossier of that key stands, in which tracked table.
CREATE FUNCTION cloudsync.locate_dossier(dossier text, dossiers regclass,
        OUT dossiers_id integer, OUT key text, OUT tenant text) RETURNS record
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
DECLARE
    tracked record;
    found_row text[];
    first_table regclass;
BEGIN
    PERFORM cloudsync.tenant(); -- an error where the session may act for nobody
    IF locate_dossier.dossier IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a dossier must be named',
            HINT = 'Give the key of a dossier in a tracked table.';
    END IF;
    FOR tracked IN SELECT t.dossiers_id, t.dossiers FROM cloudsync.dossier_table t
                   WHERE locate_dossier.dossiers IS NULL OR t.dossiers = locate_dossier.dossiers
                   ORDER BY t.dossiers_id LOOP
        found_row := NULL;
        BEGIN
            found_row := cloudsync.find_dossier(tracked.dossiers_id, locate_dossier.dossier);
        EXCEPTION
            -- not a value of the key's type
            WHEN data_exception THEN NULL;
            -- the table cannot be read: an error only if it is the one that was named
            WHEN undefined_table OR undefined_column OR insufficient_privilege THEN
                IF locate_dossier.dossiers IS NOT NULL THEN
                    RAISE;
                END IF;
        END;
        -- a dossier of another tenant is not there
        CONTINUE WHEN found_row IS NULL OR NOT cloudsync.sees(found_row[2]);
        IF first_table IS NOT NULL THEN
            RAISE EXCEPTION USING ERRCODE = 'ambiguous_parameter',
                MESSAGE = format('dossier "%s" stands in two tracked tables, %s and %s', locate_dossier.dossier, first_table, tracked.dossiers),
                HINT = format('Name the table: SELECT cloudsync_push_dossier(%L, dossiers => %L);', locate_dossier.dossier, first_table);
        END IF;
        first_table := tracked.dossiers;
        dossiers_id := tracked.dossiers_id;
        key := found_row[1];
        tenant := found_row[2];
    END LOOP;
    IF first_table IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'no_data_found',
            MESSAGE = format('dossier "%s" does not exist', locate_dossier.dossier),
            HINT = CASE WHEN EXISTS (SELECT FROM cloudsync.dossier_table t
                                     WHERE locate_dossier.dossiers IS NULL OR t.dossiers = locate_dossier.dossiers)
                        THEN 'Give the key of a dossier in a tracked table.'
                        ELSE 'Track its table first: SELECT cloudsync_track(dossiers, files);' END;
    END IF;
END
$$;

/*
 * A push by hand (P3): a run for each connection, which starts as soon as the
 * transaction commits.
 */
CREATE FUNCTION @extschema@.cloudsync_push_dossier(dossier text, connection text DEFAULT NULL, dossiers regclass DEFAULT NULL)
    RETURNS SETOF bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
DECLARE
    place record := cloudsync.locate_dossier(cloudsync_push_dossier.dossier, cloudsync_push_dossier.dossiers);
    named cloudsync.connection;
    conn cloudsync.connection;
    any_found boolean := false;
    waiting text;
    run bigint;
BEGIN
    IF cloudsync_push_dossier.connection IS NOT NULL THEN
        named := cloudsync.find_connection(cloudsync_push_dossier.connection);
        IF named.tenant <> place.tenant THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = format('dossier "%s" and connection "%s" are not of the same tenant', place.key, named.name),
                HINT = 'A dossier goes only to connections of its own tenant.';
        END IF;
    END IF;
    FOR conn IN SELECT c.* FROM cloudsync.connection c
                JOIN cloudsync.push_setting p ON p.connection_id = c.connection_id
                WHERE c.tenant = place.tenant AND cloudsync.sees(c.tenant) AND c.state <> 'disconnected'
                  AND (named.connection_id IS NULL OR c.connection_id = named.connection_id)
                ORDER BY c.connection_id LOOP
        any_found := true;
        INSERT INTO cloudsync.run (tenant, kind, connection_id, dossiers_id, dossier, origin, requested_by)
            VALUES (conn.tenant, 'push', conn.connection_id, place.dossiers_id, place.key, 'manual', cloudsync.acting_user())
            RETURNING run_id INTO run;
        IF conn.state <> 'active' THEN
            RAISE WARNING USING
                MESSAGE = format('the push is queued: connection "%s" is in state "%s"', conn.name, conn.state),
                HINT = CASE conn.state
                    WHEN 'disabled' THEN format('It starts when the connection is enabled: SELECT cloudsync_enable(%L);', conn.name)
                    WHEN 'locked' THEN 'It starts when the keyring is back. To see which: SELECT * FROM cloudsync_status();'
                    ELSE format('It starts when consent is given: %s', cloudsync.connect_command(conn)) END;
        END IF;
        RETURN NEXT run;
    END LOOP;
    IF NOT any_found THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = CASE WHEN named.connection_id IS NOT NULL THEN format('connection "%s" has no push settings', named.name)
                           ELSE 'no connection has push settings' END,
            HINT = format('Say first how it pushes: SELECT cloudsync_set_push(%L);', coalesce(named.name, 'connection'));
    END IF;
    waiting := cloudsync.why_waiting();
    IF waiting IS NOT NULL THEN
        RAISE WARNING USING
            MESSAGE = format('the push is queued: %s', waiting),
            HINT = 'To see what stands in its way: SELECT * FROM cloudsync_status();';
    END IF;
    PERFORM cloudsync.wake(true);
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_push_dossier(text, text, regclass) IS
    'Pushes a dossier now, ahead of automatic work, to the connection named or to all that push; gives a run '
    'for each. Starts when the transaction commits. For cloudsync_operator.';

CREATE FUNCTION @extschema@.cloudsync_push_dossier(dossier bigint, connection text DEFAULT NULL, dossiers regclass DEFAULT NULL)
    RETURNS SETOF bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT @extschema@.cloudsync_push_dossier(cloudsync_push_dossier.dossier::text, cloudsync_push_dossier.connection, cloudsync_push_dossier.dossiers);
END;
CREATE FUNCTION @extschema@.cloudsync_push_dossier(dossier uuid, connection text DEFAULT NULL, dossiers regclass DEFAULT NULL)
    RETURNS SETOF bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT @extschema@.cloudsync_push_dossier(cloudsync_push_dossier.dossier::text, cloudsync_push_dossier.connection, cloudsync_push_dossier.dossiers);
END;
COMMENT ON FUNCTION @extschema@.cloudsync_push_dossier(bigint, text, regclass) IS
    'Pushes a dossier now, ahead of automatic work, to the connection named or to all that push; gives a run '
    'for each. Starts when the transaction commits. For cloudsync_operator.';
COMMENT ON FUNCTION @extschema@.cloudsync_push_dossier(uuid, text, regclass) IS
    'Pushes a dossier now, ahead of automatic work, to the connection named or to all that push; gives a run '
    'for each. Starts when the transaction commits. For cloudsync_operator.';

-- The session's connection of that name, which must have push settings.
CREATE FUNCTION cloudsync.find_pushing_connection(connection text) RETURNS cloudsync.connection
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    conn cloudsync.connection := cloudsync.find_connection(find_pushing_connection.connection);
BEGIN
    IF NOT EXISTS (SELECT FROM cloudsync.push_setting p WHERE p.connection_id = conn.connection_id) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('connection "%s" has no push settings', conn.name),
            HINT = format('Say first how it pushes: SELECT cloudsync_set_push(%L);', conn.name);
    END IF;
    RETURN conn;
END
$$;

/*
 * What a push would do now, in the caller's transaction (P15): every dossier
 * that is due, was changed (also by this very transaction, before any fold), or
 * existed when automatic push was switched on and was not sent yet.
 */
CREATE FUNCTION @extschema@.cloudsync_plan(connection text)
    RETURNS TABLE (dossier text, file_key text, action text, path text, from_path text, bytes bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
DECLARE
    conn cloudsync.connection := cloudsync.find_pushing_connection(cloudsync_plan.connection);
    ids integer[];
    keys text[];
BEGIN
    SELECT array_agg(x.dossiers_id ORDER BY x.dossiers_id, x.dossier), array_agg(x.dossier ORDER BY x.dossiers_id, x.dossier)
        INTO ids, keys
        FROM (SELECT d.dossiers_id, d.dossier FROM cloudsync.due d WHERE d.connection_id = conn.connection_id
              UNION
              SELECT r.dossiers_id, r.dossier FROM cloudsync.run r
                  WHERE r.connection_id = conn.connection_id AND r.kind = 'push' AND r.state = 'queued'
              UNION
              SELECT g.dossiers_id, g.dossier FROM cloudsync.change g
                  WHERE g.dossier IS NOT NULL AND (g.tenant IS NULL OR g.tenant = conn.tenant)
              UNION
              -- a table was emptied, or all of it is still to be walked
              SELECT f.dossiers_id, f.dossier FROM cloudsync.pushed_dossier f
                  JOIN cloudsync.push_setting p ON p.destination_id = f.destination_id
                  WHERE p.connection_id = conn.connection_id
                    AND EXISTS (SELECT FROM cloudsync.change g WHERE g.dossiers_id = f.dossiers_id AND g.dossier IS NULL)
              UNION
              SELECT k.dossiers_id, k.dossier FROM cloudsync.tracked_keys() k
                  JOIN cloudsync.backfill b ON b.dossiers_id = k.dossiers_id
                  WHERE b.connection_id = conn.connection_id AND k.tenant = conn.tenant) x;
    RETURN QUERY SELECT * FROM cloudsync.plan(conn.connection_id, coalesce(ids, '{}'), coalesce(keys, '{}'));
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_plan(text) IS
    'Says what a push of all that is due would do now: create, update, move, skip or trash. Sees this '
    'transaction''s changes and touches no network. For cloudsync_operator.';

-- PL/pgSQL takes no argument of a result column's name: cloudsync_plan is SQL.
CREATE FUNCTION cloudsync.plan_dossier(of_connection text, of_dossier text)
    RETURNS TABLE (dossier text, file_key text, action text, path text, from_path text, bytes bigint)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
DECLARE
    conn cloudsync.connection := cloudsync.find_pushing_connection($1);
    ids integer[];
    keys text[];
    place record;
BEGIN
    -- one that was pushed and is gone has a plan too
    SELECT array_agg(f.dossiers_id), array_agg(f.dossier) INTO ids, keys
        FROM cloudsync.pushed_dossier f JOIN cloudsync.push_setting p ON p.destination_id = f.destination_id
        WHERE p.connection_id = conn.connection_id AND f.dossier = $2;
    IF ids IS NULL THEN
        place := cloudsync.locate_dossier($2, NULL);
        ids := ARRAY[place.dossiers_id];
        keys := ARRAY[place.key];
    END IF;
    RETURN QUERY SELECT * FROM cloudsync.plan(conn.connection_id, ids, keys);
END
$$;
CREATE FUNCTION @extschema@.cloudsync_plan(connection text, dossier text)
    RETURNS TABLE (dossier text, file_key text, action text, path text, from_path text, bytes bigint)
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT p.dossier, p.file_key, p.action, p.path, p.from_path, p.bytes FROM cloudsync.plan_dossier($1, $2) p;
END;
COMMENT ON FUNCTION @extschema@.cloudsync_plan(text, text) IS
    'Says what a push of one dossier would do now: create, update, move, skip or trash. Sees this '
    'transaction''s changes and touches no network. For cloudsync_operator.';

/*
 * Lets what waits for it go to the trash (P9); returns how many files.
 */
CREATE FUNCTION @extschema@.cloudsync_confirm_trash(connection text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
DECLARE
    conn cloudsync.connection := cloudsync.find_pushing_connection(cloudsync_confirm_trash.connection);
    confirmed bigint;
BEGIN
    WITH files AS (
        UPDATE cloudsync.pushed_file f SET trash_confirmed = true
            FROM cloudsync.push_setting p
            WHERE p.connection_id = conn.connection_id AND f.destination_id = p.destination_id
              AND f.state = 'to_trash' AND NOT f.trash_confirmed
            RETURNING f.dossiers_id, f.dossier
    ), again AS (
        INSERT INTO cloudsync.due AS d (connection_id, dossiers_id, dossier, changed_at, start_at, due_at)
            SELECT conn.connection_id, f.dossiers_id, f.dossier, clock_timestamp(), clock_timestamp(), clock_timestamp()
            FROM (SELECT DISTINCT dossiers_id, dossier FROM files) f
            ON CONFLICT (connection_id, dossiers_id, dossier) DO UPDATE SET generation = d.generation + 1,
                start_at = LEAST(d.start_at, EXCLUDED.start_at)
    )
    SELECT count(*) INTO confirmed FROM files;
    IF confirmed > 0 THEN
        PERFORM cloudsync.note(conn.tenant, 'confirm trash', conn.name, NULL, jsonb_build_object('files', confirmed));
        PERFORM cloudsync.wake(true);
    END IF;
    RETURN confirmed;
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_confirm_trash(text) IS
    'Lets go to the trash what waits because more than cloudsync.max_trash files an hour would; gives how '
    'many files. For cloudsync_operator.';
