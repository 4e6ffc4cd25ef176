/*
 * push.sql: push settings, what is due, and what was pushed (P2 to P17).
 */

CREATE TABLE cloudsync.push_setting (
    connection_id bigint PRIMARY KEY REFERENCES cloudsync.connection,
    destination_id bigint NOT NULL,
    auto_sync boolean NOT NULL,
    root text NOT NULL,
    folder text NOT NULL,
    every interval NOT NULL,
    on_conflict text NOT NULL CHECK (on_conflict IN ('keep_both', 'overwrite', 'skip')),
    on_delete text NOT NULL CHECK (on_delete IN ('keep', 'trash')),
    manifest boolean NOT NULL,
    time_zone text NOT NULL
);
CREATE INDEX push_setting_every ON cloudsync.push_setting (every) WHERE auto_sync;

CREATE TABLE cloudsync.procedure_folder (
    connection_id bigint NOT NULL REFERENCES cloudsync.connection,
    procedure text NOT NULL,
    folder text NOT NULL,
    PRIMARY KEY (connection_id, procedure)
);

-- Where dossiers go: an account and a root in it. Pushed records hang on it and
-- outlive the connection; connection_id is the one that pushes there now.
CREATE TABLE cloudsync.destination (
    destination_id bigserial PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES cloudsync.account,
    root text NOT NULL,
    connection_id bigint REFERENCES cloudsync.connection,
    -- where the root is now, if its customer renamed it; NULL: at root
    path text,
    remote_id text,
    prepared_at timestamptz,
    intent_session text, -- ids under which the root is being made
    UNIQUE (account_id, root)
);
ALTER TABLE cloudsync.push_setting ADD FOREIGN KEY (destination_id) REFERENCES cloudsync.destination;

/*
 * The queue: dossiers that a connection has to push. generation grows with each
 * fold; claimed is the generation that a worker took. Settling removes the row
 * only if the two are still the same, so that a change made meanwhile is kept.
 */
CREATE TABLE cloudsync.due (
    connection_id bigint NOT NULL,
    dossiers_id integer NOT NULL,
    dossier text NOT NULL,
    generation bigint NOT NULL DEFAULT 1,
    claimed bigint,
    changes bigint NOT NULL DEFAULT 1,
    backfill boolean NOT NULL DEFAULT false,
    changed_at timestamptz NOT NULL,
    start_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    last_error text,
    PRIMARY KEY (connection_id, dossiers_id, dossier)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX due_start ON cloudsync.due (connection_id, backfill, start_at);
CREATE INDEX due_claimed ON cloudsync.due (connection_id) WHERE claimed IS NOT NULL;

-- Dossiers that existed when automatic push was switched on, walked newest
-- first in steps; last_key is where the walk stands.
CREATE TABLE cloudsync.backfill (
    connection_id bigint NOT NULL,
    dossiers_id integer NOT NULL,
    last_key text,
    noted bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (connection_id, dossiers_id)
);

-- A dossier's folder at a destination. folder is the path below the account's
-- root; folder_key the same as the provider compares names; wanted what the
-- templates gave before a number was added, so that a change in the database is
-- told from a name a customer gave.
CREATE TABLE cloudsync.pushed_dossier (
    destination_id bigint NOT NULL REFERENCES cloudsync.destination,
    dossiers_id integer NOT NULL,
    dossier text NOT NULL,
    folder text NOT NULL,
    folder_key text NOT NULL,
    wanted text NOT NULL,
    remote_id text,
    state text NOT NULL CHECK (state IN ('synced', 'partial', 'failed', 'removed_there')),
    last_pushed_at timestamptz,
    last_run_id bigint,
    last_error text,
    web_url text,
    -- where a push that runs is about to bring it
    intent_folder text,
    intent_key text,
    intent_session text, -- ids under which a folder of it is being made
    PRIMARY KEY (destination_id, dossiers_id, dossier),
    UNIQUE (destination_id, folder_key)
);
-- what the fold asks: who has pushed this dossier before
CREATE INDEX pushed_dossier_by_key ON cloudsync.pushed_dossier (dossiers_id, dossier) INCLUDE (destination_id);
CREATE INDEX pushed_dossier_intent ON cloudsync.pushed_dossier (destination_id, intent_key) WHERE intent_key IS NOT NULL;

/*
 * A file at a destination: what is there now (path, remote_*, size, sha256) and
 * what is being brought there (intent_*: written down before the first byte;
 * size and SHA-256 before the step that makes it visible), so that after a
 * crash ours can be told from somebody else's. content_version is the identity
 * of the application's value that was sent, so that what is unchanged is not
 * read. source_id 0 is the manifest.
 */
CREATE TABLE cloudsync.pushed_file (
    destination_id bigint NOT NULL REFERENCES cloudsync.destination,
    dossiers_id integer NOT NULL,
    dossier text NOT NULL,
    source_id integer NOT NULL,
    file_key text NOT NULL,
    path text,
    path_key text,
    wanted text,
    remote_id text,
    remote_version text,
    remote_checksum text, -- by the service's word, which may rewrite what it is given
    size bigint,
    sha256 bytea,
    checksum text,        -- ours, of the same bytes, in the service's notation
    content_version text,
    content_tag text, -- of content that is elsewhere: its version there (an ETag, a date)
    state text NOT NULL CHECK (state IN ('sending', 'synced', 'failed', 'skipped', 'kept', 'to_trash', 'trashed', 'removed_there')),
    marked boolean NOT NULL DEFAULT false,
    intent_run_id bigint,
    intent_path text,
    intent_temp text,
    intent_size bigint,
    intent_sha256 bytea,
    intent_checksum text,
    intent_session text, -- of an upload that was cut off and can be gone on with
    intent_at timestamptz, -- when the first attempt to leave something at intent_path began
    attempts integer NOT NULL DEFAULT 0,
    next_try_at timestamptz,
    last_error text,
    web_url text,
    trash_confirmed boolean NOT NULL DEFAULT false,
    PRIMARY KEY (destination_id, dossiers_id, dossier, source_id, file_key)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX pushed_file_path ON cloudsync.pushed_file (destination_id, path_key)
    WHERE path_key IS NOT NULL;
CREATE INDEX pushed_file_failed ON cloudsync.pushed_file (destination_id, next_try_at)
    WHERE next_try_at IS NOT NULL;
CREATE INDEX pushed_file_to_trash ON cloudsync.pushed_file (destination_id) WHERE state OPERATOR(pg_catalog.=) 'to_trash';

-- What was moved to the trash, for cloudsync.max_trash a connection and hour.
CREATE TABLE cloudsync.trash_log (
    connection_id bigint NOT NULL,
    trashed_at timestamptz NOT NULL,
    path text NOT NULL
);
CREATE INDEX ON cloudsync.trash_log (connection_id, trashed_at);

-- Raises an error unless the text is a folder template whose tags every tracked table has (P10).
CREATE FUNCTION cloudsync.check_folder(folder text) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'cloudsync_check_folder';
-- A folder's path as it must be ("CloudSync" is "/CloudSync"); an error if it cannot be one at the provider.
CREATE FUNCTION cloudsync.folder_path(provider text, path text) RETURNS text
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'cloudsync_folder_path';
-- A dossier's key in its own spelling, and its tenant; NULL if there is none.
CREATE FUNCTION cloudsync.find_dossier(dossiers_id integer, dossier text) RETURNS text[]
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'cloudsync_find_dossier';
-- Why no worker can serve anybody now; NULL: one can.
CREATE FUNCTION cloudsync.why_waiting() RETURNS text
    LANGUAGE c AS 'MODULE_PATHNAME', 'cloudsync_why_waiting';
CREATE FUNCTION cloudsync.plan(connection_id bigint, dossiers_id integer[], dossiers text[])
    RETURNS TABLE (dossier text, file_key text, action text, path text, from_path text, bytes bigint)
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'cloudsync_plan_dossiers';

-- What the audit says of a push setting.
CREATE FUNCTION cloudsync.push_facts(p cloudsync.push_setting) RETURNS jsonb
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT CASE WHEN (p).connection_id IS NOT NULL THEN
        to_jsonb(p) - ARRAY['connection_id', 'destination_id'] END;
END;

-- Everything that was pushed is looked at again: names may have changed.
CREATE FUNCTION cloudsync.push_again(connection_id bigint) RETURNS void
    LANGUAGE sql SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO cloudsync.due AS d (connection_id, dossiers_id, dossier, changes, backfill, changed_at, start_at, due_at)
        SELECT p.connection_id, f.dossiers_id, f.dossier, 1, true, clock_timestamp(), clock_timestamp(),
               clock_timestamp() + p.every
        FROM cloudsync.push_setting p
        JOIN cloudsync.pushed_dossier f ON f.destination_id = p.destination_id
        WHERE p.connection_id = push_again.connection_id AND p.auto_sync
        ORDER BY f.dossiers_id, f.dossier
        ON CONFLICT (connection_id, dossiers_id, dossier) DO UPDATE SET generation = d.generation + 1,
            start_at = LEAST(d.start_at, EXCLUDED.start_at);
END;

-- A folder in the destination's account for its connection: the one that was
-- used before, if any (C2).
CREATE FUNCTION cloudsync.take_destination(c cloudsync.connection, root text, destination_id bigint) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    found_row cloudsync.destination;
    holder text;
BEGIN
    INSERT INTO cloudsync.destination AS d (account_id, root, connection_id)
        SELECT (c).account_id, take_destination.root, (c).connection_id
        WHERE take_destination.destination_id IS NULL
        ON CONFLICT DO NOTHING;
    SELECT d.* INTO found_row FROM cloudsync.destination d
        WHERE d.account_id = (c).account_id AND d.root = take_destination.root FOR UPDATE;
    IF found_row.connection_id <> (c).connection_id THEN
        SELECT o.name INTO holder FROM cloudsync.connection o WHERE o.connection_id = found_row.connection_id;
        RAISE EXCEPTION USING ERRCODE = 'object_in_use',
            MESSAGE = format('connection "%s" already pushes to folder "%s" of this account', holder, take_destination.root),
            HINT = format('Give another root, or push by that connection: SELECT cloudsync_set_push(%L);', holder);
    END IF;
    IF take_destination.destination_id IS NULL OR take_destination.destination_id = found_row.destination_id THEN
        UPDATE cloudsync.destination d SET connection_id = (c).connection_id
            WHERE d.destination_id = found_row.destination_id AND d.connection_id IS NULL;
        RETURN found_row.destination_id;
    END IF;

    -- the root changes: what was pushed moves along, or an earlier root is taken up
    IF found_row.destination_id IS NULL THEN
        UPDATE cloudsync.destination d SET root = take_destination.root, path = NULL, remote_id = NULL, prepared_at = NULL
            WHERE d.destination_id = take_destination.destination_id;
        RETURN take_destination.destination_id;
    END IF;
    IF NOT EXISTS (SELECT FROM cloudsync.pushed_dossier f WHERE f.destination_id = found_row.destination_id) THEN
        UPDATE cloudsync.push_setting p SET destination_id = take_destination.destination_id
            WHERE p.destination_id = found_row.destination_id;
        DELETE FROM cloudsync.destination d WHERE d.destination_id = found_row.destination_id;
        UPDATE cloudsync.destination d SET root = take_destination.root, path = NULL, remote_id = NULL, prepared_at = NULL
            WHERE d.destination_id = take_destination.destination_id;
        RETURN take_destination.destination_id;
    END IF;
    IF EXISTS (SELECT FROM cloudsync.pushed_dossier f WHERE f.destination_id = take_destination.destination_id) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('folder "%s" holds dossiers that an earlier connection pushed', take_destination.root),
            HINT = 'Give another root; what was pushed cannot be moved among them.';
    END IF;
    UPDATE cloudsync.destination d SET connection_id = NULL WHERE d.destination_id = take_destination.destination_id;
    UPDATE cloudsync.destination d SET connection_id = (c).connection_id WHERE d.destination_id = found_row.destination_id;
    RETURN found_row.destination_id;
END
$$;

CREATE FUNCTION @extschema@.cloudsync_set_push(connection text, auto_sync boolean DEFAULT NULL, root text DEFAULT NULL,
        folder text DEFAULT NULL, every interval DEFAULT NULL, on_conflict text DEFAULT NULL, on_delete text DEFAULT NULL,
        manifest boolean DEFAULT NULL, time_zone text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
DECLARE
    conn cloudsync.connection := cloudsync.find_connection(cloudsync_set_push.connection, true);
    old cloudsync.push_setting;
    new cloudsync.push_setting;
BEGIN
    SELECT p.* INTO old FROM cloudsync.push_setting p WHERE p.connection_id = conn.connection_id FOR UPDATE;
    new.connection_id := conn.connection_id;
    new.auto_sync := coalesce(cloudsync_set_push.auto_sync, old.auto_sync, true);
    new.root := coalesce(cloudsync_set_push.root, old.root, 'CloudSync');
    new.folder := coalesce(cloudsync_set_push.folder, old.folder, '{dossier_label}');
    new.every := coalesce(cloudsync_set_push.every, old.every, '15 minutes');
    new.on_conflict := coalesce(cloudsync_set_push.on_conflict, old.on_conflict, 'keep_both');
    new.on_delete := coalesce(cloudsync_set_push.on_delete, old.on_delete, 'keep');
    new.manifest := coalesce(cloudsync_set_push.manifest, old.manifest, false);
    new.time_zone := coalesce(cloudsync_set_push.time_zone, old.time_zone,
                              (SELECT s.reset_val FROM pg_settings s WHERE s.name = 'TimeZone'));

    IF new.every < interval '1 second' OR new.every > interval '366 days' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('every must be between 1 second and 366 days, not %s', new.every),
            HINT = 'For example: every => ''15 minutes''.';
    END IF;
    IF new.on_conflict NOT IN ('keep_both', 'overwrite', 'skip') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('on_conflict cannot be "%s"', new.on_conflict),
            HINT = 'It is "keep_both", "overwrite" or "skip".';
    END IF;
    IF new.on_delete NOT IN ('keep', 'trash') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('on_delete cannot be "%s"', new.on_delete),
            HINT = 'It is "keep" or "trash".';
    END IF;
    BEGIN
        PERFORM clock_timestamp() AT TIME ZONE new.time_zone;
    EXCEPTION WHEN invalid_parameter_value THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('time zone "%s" does not exist', new.time_zone),
            HINT = 'Use a name such as Europe/Paris. To see all: SELECT name FROM pg_timezone_names;';
    END;
    new.root := substr(cloudsync.folder_path(conn.provider, new.root), 2);
    IF new.root = '' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'root cannot be the account itself',
            HINT = 'Give the folder that is to be made in it, such as ''CloudSync''.';
    END IF;
    IF cloudsync_set_push.folder IS NOT NULL OR old.connection_id IS NULL THEN
        PERFORM cloudsync.check_folder(new.folder);
    END IF;
    new.destination_id := cloudsync.take_destination(conn, '/' || new.root, old.destination_id);
    IF new IS NOT DISTINCT FROM old THEN
        RETURN;
    END IF;

    IF old.connection_id IS NULL THEN
        INSERT INTO cloudsync.push_setting SELECT new.*;
    ELSE
        UPDATE cloudsync.push_setting p SET (destination_id, auto_sync, root, folder, every, on_conflict, on_delete, manifest, time_zone)
            = (new.destination_id, new.auto_sync, new.root, new.folder, new.every, new.on_conflict, new.on_delete, new.manifest, new.time_zone)
            WHERE p.connection_id = conn.connection_id;
    END IF;
    IF old.auto_sync AND NOT new.auto_sync THEN
        DELETE FROM cloudsync.due d WHERE d.connection_id = conn.connection_id AND d.claimed IS NULL;
        DELETE FROM cloudsync.backfill b WHERE b.connection_id = conn.connection_id;
    ELSIF new.auto_sync AND old.auto_sync IS NOT TRUE THEN
        INSERT INTO cloudsync.backfill (connection_id, dossiers_id)
            SELECT conn.connection_id, t.dossiers_id FROM cloudsync.dossier_table t
            ON CONFLICT (connection_id, dossiers_id) DO UPDATE
                SET last_key = NULL, noted = 0, started_at = clock_timestamp();
    END IF;
    IF old.connection_id IS NOT NULL
       AND (new.root, new.folder, new.time_zone, new.manifest) IS DISTINCT FROM (old.root, old.folder, old.time_zone, old.manifest) THEN
        PERFORM cloudsync.push_again(conn.connection_id);
    END IF;
    IF old.root IS DISTINCT FROM new.root THEN
        INSERT INTO cloudsync.run (tenant, kind, connection_id, origin, requested_by)
            VALUES (conn.tenant, 'prepare', conn.connection_id, 'manual', cloudsync.acting_user());
    END IF;
    PERFORM cloudsync.note(conn.tenant, 'set push', conn.name, cloudsync.push_facts(old), cloudsync.push_facts(new));
    PERFORM cloudsync.wake(true);
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_set_push(text, boolean, text, text, interval, text, text, boolean, text) IS
    'Says how a connection pushes dossiers: by itself or by hand, below which root, into which folders, how '
    'soon, and what becomes of conflicts and deletions. NULL keeps what is set. For cloudsync_admin.';

CREATE FUNCTION @extschema@.cloudsync_set_procedure_folder(connection text, procedure text, folder text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
DECLARE
    conn cloudsync.connection := cloudsync.find_connection(cloudsync_set_procedure_folder.connection, true);
    path text;
    old_folder text;
BEGIN
    IF cloudsync_set_procedure_folder.procedure IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a procedure must be named',
            HINT = 'Give a value of the dossiers'' column of procedures.';
    ELSIF char_length(cloudsync_set_procedure_folder.procedure) > 200 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a procedure''s name has 200 characters at most',
            HINT = 'Give a value of the dossiers'' column of procedures.';
    END IF;
    IF NOT EXISTS (SELECT FROM cloudsync.push_setting p WHERE p.connection_id = conn.connection_id) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('connection "%s" has no push settings', conn.name),
            HINT = format('Say first how it pushes: SELECT cloudsync_set_push(%L);', conn.name);
    END IF;
    SELECT f.folder INTO old_folder FROM cloudsync.procedure_folder f
        WHERE f.connection_id = conn.connection_id AND f.procedure = cloudsync_set_procedure_folder.procedure;
    IF cloudsync_set_procedure_folder.folder IS NULL THEN
        DELETE FROM cloudsync.procedure_folder f
            WHERE f.connection_id = conn.connection_id AND f.procedure = cloudsync_set_procedure_folder.procedure;
    ELSE
        path := cloudsync.folder_path(conn.provider, cloudsync_set_procedure_folder.folder);
        IF path = '/' THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = 'a procedure''s folder cannot be the account itself',
                HINT = 'Give the path of a folder in it, such as ''Litigation''.';
        END IF;
        INSERT INTO cloudsync.procedure_folder AS f (connection_id, procedure, folder)
            VALUES (conn.connection_id, cloudsync_set_procedure_folder.procedure, path)
            ON CONFLICT (connection_id, procedure) DO UPDATE SET folder = EXCLUDED.folder;
    END IF;
    IF path IS NOT DISTINCT FROM old_folder THEN
        RETURN;
    END IF;
    PERFORM cloudsync.push_again(conn.connection_id);
    PERFORM cloudsync.note(conn.tenant, 'set procedure folder', conn.name || '/' || cloudsync_set_procedure_folder.procedure,
        CASE WHEN old_folder IS NOT NULL THEN jsonb_build_object('folder', old_folder) END,
        CASE WHEN path IS NOT NULL THEN jsonb_build_object('folder', path) END);
    PERFORM cloudsync.wake(true);
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_set_procedure_folder(text, text, text) IS
    'Gives the dossiers of a procedure a folder of their own, a path from the account''s root, in place of '
    'the connection''s root; NULL takes it away. For cloudsync_admin.';
