/*
 * channel.sql: channels and their folders: what is collected for whom, where
 * from and when (L1 to L3, L10, F1 to F4).
 */

CREATE TABLE cloudsync.channel (
    channel_id bigserial PRIMARY KEY,
    tenant text NOT NULL,
    connection_id bigint NOT NULL REFERENCES cloudsync.connection,
    name text NOT NULL CHECK (name OPERATOR(pg_catalog.<>) ''),
    recipient text NOT NULL,
    binder text NOT NULL,
    auto_collect boolean NOT NULL,
    collect_every interval NOT NULL,
    collect_at time NOT NULL,
    time_zone text NOT NULL,
    recursive boolean NOT NULL,
    include text[] NOT NULL,
    exclude text[] NOT NULL,
    max_size bigint,
    dedup text NOT NULL CHECK (dedup IN ('content', 'item', 'version')),
    after_collect text NOT NULL,
    -- when the next scheduled run is planned; NULL while auto sync is off
    next_collect_at timestamptz,
    -- when to look again because something failed, and how often in a row it did
    retry_at timestamptz,
    failures integer NOT NULL DEFAULT 0,
    last_run_id bigint,
    last_synced_at timestamptz,
    synced_by text,
    -- grows when what is listed changes (folders, filters): all is then listed in full once
    listing_epoch integer NOT NULL DEFAULT 1,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    deleted_at timestamptz
);
CREATE UNIQUE INDEX channel_name ON cloudsync.channel (tenant, name) WHERE deleted_at IS NULL;
CREATE INDEX channel_due ON cloudsync.channel (next_collect_at) WHERE deleted_at IS NULL AND next_collect_at IS NOT NULL;
CREATE INDEX channel_retry ON cloudsync.channel (retry_at) WHERE deleted_at IS NULL AND retry_at IS NOT NULL;
CREATE INDEX channel_connection ON cloudsync.channel (connection_id);

CREATE TABLE cloudsync.channel_folder (
    channel_id bigint NOT NULL REFERENCES cloudsync.channel,
    folder_no integer NOT NULL,
    path text NOT NULL,
    -- the folder's own id, and where it was when it was last listed: it is
    -- followed when the customer renames it (L10)
    remote_id text,
    current_path text,
    state text NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'ok', 'failed', 'gone')),
    last_error text,
    listed_at timestamptz,
    -- what is listed by following: the channel's listing_epoch when all of it was
    -- listed in full, and the largest file taken then (NULL: to be listed in
    -- full); the cursor, where each folder has its own; the ids of the folders
    -- above it from the root on, and its own, where the feed tells of them; and
    -- whether one of these changed, so that it is to be looked for
    listed_epoch integer,
    listed_limit bigint,
    cursor text,
    ancestors text[],
    look boolean NOT NULL DEFAULT false,
    PRIMARY KEY (channel_id, folder_no)
);
CREATE INDEX channel_folder_id ON cloudsync.channel_folder (remote_id) WHERE remote_id IS NOT NULL;

-- Where the feed of an account's or drive's changes goes on, which serves all
-- channels of the connection (L11). Stored with what the page before it told.
CREATE TABLE cloudsync.feed (
    connection_id bigint PRIMARY KEY REFERENCES cloudsync.connection,
    cursor text NOT NULL,
    read_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);

-- A folder as it is kept: an absolute path, or id:... as given; an error if it
-- cannot be one.
CREATE FUNCTION cloudsync.normal_folder(folder text) RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'cloudsync_normal_folder';
-- An error if the text is no pattern.
CREATE FUNCTION cloudsync.check_pattern(pattern text) RETURNS void
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'cloudsync_check_pattern';
-- Whether a channel's patterns let a file pass: path is below the channel's folder.
CREATE FUNCTION cloudsync.pattern_passes(path text, include text[], exclude text[], ignore_case boolean DEFAULT false)
    RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'cloudsync_pattern_passes';
-- Whether the provider's file ids never name another file later (L4).
CREATE FUNCTION cloudsync.provider_has_stable_ids(provider text) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'cloudsync_provider_has_stable_ids';

-- Whether the provider's folders can be watched (option longpoll).
CREATE FUNCTION cloudsync.provider_watches(provider text) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'cloudsync_provider_watches';

/*
 * The first planned time after now, for a channel whose last planned time was
 * planned (NULL: there was none). Whole days are counted by local dates, so
 * that each local date has one, at the local time, through changes of the
 * clock; anything with a time part by elapsed time from the last planned one.
 * However many were missed, the answer lies after now.
 */
CREATE FUNCTION cloudsync.next_collect(every interval, at time, time_zone text, planned timestamptz, now timestamptz)
    RETURNS timestamptz
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    spacing interval := justify_hours(every);
    seconds constant double precision := extract(epoch FROM every);
    day date;
    result timestamptz;
BEGIN
    IF spacing <> date_trunc('day', spacing) THEN
        IF planned IS NULL THEN
            RETURN now + every;
        END IF;
        RETURN planned + make_interval(secs => seconds
            * greatest(1, floor(extract(epoch FROM now - planned)::double precision / seconds) + 1));
    END IF;
    IF planned IS NULL THEN
        day := (now AT TIME ZONE time_zone)::date - 2;
        spacing := '1 day';
    ELSE
        day := (planned AT TIME ZONE time_zone)::date;
        -- a local time that the clock jumped over may have fallen on the next date
        IF ((day - 1) + at) AT TIME ZONE time_zone = planned THEN
            day := day - 1;
        END IF;
        -- long missed: near now at once, in whole steps where steps are days
        IF spacing = make_interval(days => extract(day FROM spacing)::integer) THEN
            day := day + greatest(0, ((now AT TIME ZONE time_zone)::date - day)
                / extract(day FROM spacing)::integer - 1) * extract(day FROM spacing)::integer;
        END IF;
    END IF;
    LOOP
        result := (day + at) AT TIME ZONE time_zone;
        EXIT WHEN result > now AND (planned IS NULL OR result > planned);
        day := (day + spacing)::date;
    END LOOP;
    RETURN result;
END;
$$;

-- The tenant's channel of that name, or an error.
CREATE FUNCTION cloudsync.channel_named(name text) RETURNS cloudsync.channel
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    result cloudsync.channel;
BEGIN
    SELECT c.* INTO result FROM cloudsync.channel c
        WHERE c.tenant = cloudsync.tenant() AND cloudsync.sees(c.tenant)
          AND c.name = channel_named.name AND c.deleted_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = CASE WHEN channel_named.name IS NULL THEN 'a channel must be named'
                           ELSE format('channel "%s" does not exist', channel_named.name) END,
            HINT = 'To see those there are: SELECT channel, connection FROM cloudsync.channels;';
    END IF;
    RETURN result;
END;
$$;

-- A warning if nobody can serve the connection now (P3).
CREATE FUNCTION cloudsync.warn_if_not_served(connection_id bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    served cloudsync.connection;
    waiting constant text := cloudsync.why_waiting();
BEGIN
    SELECT c.* INTO served FROM cloudsync.connection c WHERE c.connection_id = warn_if_not_served.connection_id;
    IF served.state <> 'active' THEN
        RAISE WARNING USING
            MESSAGE = format('the work is queued: connection "%s" is in state "%s"', served.name, served.state),
            HINT = CASE served.state
                WHEN 'disabled' THEN format('It starts when the connection is enabled: SELECT cloudsync_enable(%L);', served.name)
                WHEN 'locked' THEN 'It starts when the keyring is back. To see which: SELECT * FROM cloudsync_status();'
                ELSE format('It starts when consent is given: %s', cloudsync.connect_command(served)) END;
    ELSIF waiting IS NOT NULL THEN
        RAISE WARNING USING
            MESSAGE = format('the work is queued: %s', waiting),
            HINT = 'To see what stands in its way: SELECT * FROM cloudsync_status();';
    END IF;
END;
$$;

-- Raises the error that a channel's settings deserve (checked when set).
CREATE FUNCTION cloudsync.check_channel(wanted cloudsync.channel, folders text[]) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    conn cloudsync.connection;
    pattern text;
    folder text;
    other record;
    target text;
BEGIN
    SELECT c.* INTO STRICT conn FROM cloudsync.connection c WHERE c.connection_id = wanted.connection_id;
    IF coalesce(btrim(wanted.name), '') = '' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a channel needs a name',
            HINT = 'Give a name that people can type, such as ''Scans''.';
    ELSIF wanted.name ~ '[[:cntrl:]]' OR char_length(wanted.name) > 200 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'a channel''s name must have 1 to 200 characters, and no control characters',
            HINT = 'Give a name that people can type, such as ''Scans''.';
    END IF;
    IF coalesce(btrim(wanted.recipient), '') = '' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a channel needs a recipient',
            HINT = 'Name one, such as recipient => ''alice''. To add one: SELECT cloudsync_add_recipient(''alice'');';
    END IF;
    PERFORM cloudsync.check_recipient(wanted.tenant, wanted.recipient);
    IF coalesce(btrim(wanted.binder), '') = '' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a channel needs a binder',
            HINT = 'Name the application''s folder that the documents are put in, such as binder => ''Incoming mail''.';
    END IF;
    IF wanted.collect_every IS NULL OR wanted.collect_every < interval '1 minute' OR wanted.collect_every > interval '1 year' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('collect_every must be between 1 minute and 1 year, not %s', coalesce(wanted.collect_every::text, 'NULL')),
            HINT = 'For example: collect_every => ''1 day''.';
    END IF;
    IF wanted.collect_at IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'collect_at must not be null',
            HINT = 'Give the local time of the daily collection, such as ''02:00''.';
    END IF;
    IF wanted.time_zone IS NULL
       OR lower(wanted.time_zone) <> lower(current_setting('TimeZone'))
          AND NOT EXISTS (SELECT FROM pg_timezone_names z WHERE lower(z.name) = lower(wanted.time_zone)) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('time zone "%s" does not exist', coalesce(wanted.time_zone, '')),
            HINT = 'Use a name from pg_timezone_names, such as Europe/Paris.';
    END IF;
    FOREACH pattern IN ARRAY wanted.include || wanted.exclude LOOP
        IF pattern IS NULL THEN
            RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a pattern must not be null',
                HINT = 'Leave it out of the list; an empty list leaves nothing out.';
        END IF;
        PERFORM cloudsync.check_pattern(pattern);
    END LOOP;
    IF wanted.max_size < 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'max_size must not be negative',
            HINT = 'Give a number of bytes; 0 is no limit.';
    END IF;
    IF wanted.dedup IS NULL OR wanted.dedup NOT IN ('content', 'item', 'version') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('dedup "%s" is not known', coalesce(wanted.dedup, '')),
            HINT = 'Use content, item or version.';
    END IF;
    IF wanted.dedup = 'item' AND NOT cloudsync.provider_has_stable_ids(conn.provider) THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
            MESSAGE = format('dedup "item" is not possible with provider "%s"', conn.provider),
            DETAIL = 'It has no file ids that stay with a file for ever.',
            HINT = 'Use content or version.';
    END IF;
    IF wanted.after_collect IS NULL OR wanted.after_collect <> 'keep' AND wanted.after_collect NOT LIKE 'move:_%' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('after_collect "%s" is not known', coalesce(wanted.after_collect, '')),
            HINT = 'Use keep, or move:/Folder.';
    END IF;
    IF wanted.after_collect LIKE 'move:%' THEN
        target := cloudsync.normal_folder(substr(wanted.after_collect, 6));
        IF target = '/' OR target LIKE 'id:%' OR target = ANY (folders) THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = format('collected files cannot be moved to "%s"', target),
                HINT = 'Name the path of a folder other than those that are collected.';
        END IF;
    END IF;
    IF coalesce(cardinality(folders), 0) = 0 OR array_position(folders, NULL) IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a channel needs a folder',
            HINT = 'For example: folders => ''{/Inbox}''.';
    END IF;
    FOREACH folder IN ARRAY folders LOOP
        IF (SELECT count(*) FROM unnest(folders) f WHERE f = folder) > 1
           OR EXISTS (SELECT FROM unnest(folders) f WHERE f <> folder AND starts_with(f, rtrim(folder, '/') || '/')) THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = format('folder "%s" contains another folder of the same channel', folder),
                HINT = 'Name the outer folder alone: recursive => true takes what is in it.';
        END IF;
        SELECT c.name, f.path INTO other FROM cloudsync.channel c JOIN cloudsync.channel_folder f USING (channel_id)
            WHERE c.connection_id = wanted.connection_id AND c.deleted_at IS NULL
              AND c.channel_id IS DISTINCT FROM wanted.channel_id
              AND (folder IN (f.path, f.current_path, 'id:' || f.remote_id)
                   OR starts_with(f.path, rtrim(folder, '/') || '/') OR starts_with(folder, rtrim(f.path, '/') || '/'))
            LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'object_in_use',
                MESSAGE = format('folder "%s" overlaps folder "%s" of channel "%s"', folder, other.path, other.name),
                HINT = 'A file belongs to one channel only: choose folders that do not contain each other.';
        END IF;
    END LOOP;
END;
$$;

/*
 * Writes a checked channel's folders; true if they changed. Items stay with
 * their folder, whatever its number is now; those of a folder that is not
 * collected any more get a number that no folder has, and the next listing finds
 * them gone.
 */
CREATE FUNCTION cloudsync.set_channel_folders(channel_id bigint, folders text[]) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF ARRAY(SELECT f.path FROM cloudsync.channel_folder f WHERE f.channel_id = set_channel_folders.channel_id ORDER BY f.folder_no) = folders THEN
        RETURN false;
    END IF;
    UPDATE cloudsync.item i SET folder_no = coalesce(n.no, 1000000)
        FROM cloudsync.channel_folder f LEFT JOIN unnest(folders) WITH ORDINALITY n (path, no) ON n.path = f.path
        WHERE i.channel_id = set_channel_folders.channel_id AND f.channel_id = i.channel_id AND f.folder_no = i.folder_no
          AND i.folder_no <> coalesce(n.no, 1000000);
    DELETE FROM cloudsync.channel_folder f WHERE f.channel_id = set_channel_folders.channel_id;
    INSERT INTO cloudsync.channel_folder (channel_id, folder_no, path)
        SELECT set_channel_folders.channel_id, f.no, f.path FROM unnest(folders) WITH ORDINALITY f (path, no);
    RETURN true;
END;
$$;

-- What the audit shows of a channel.
CREATE FUNCTION cloudsync.channel_as_json(channel_id bigint) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT jsonb_build_object('recipient', c.recipient, 'binder', c.binder, 'auto_collect', c.auto_collect,
               'collect_every', c.collect_every, 'collect_at', c.collect_at, 'time_zone', c.time_zone, 'recursive', c.recursive,
               'include', c.include, 'exclude', c.exclude, 'max_size', c.max_size, 'dedup', c.dedup,
               'after_collect', c.after_collect, 'name', c.name, 'deleted', c.deleted_at IS NOT NULL,
               'folders', (SELECT jsonb_agg(f.path ORDER BY f.folder_no) FROM cloudsync.channel_folder f WHERE f.channel_id = c.channel_id))
        FROM cloudsync.channel c WHERE c.channel_id = channel_as_json.channel_id;
END;

-- Writes a channel's new settings and what follows from them; id NULL: a new one.
CREATE FUNCTION cloudsync.save_channel(wanted cloudsync.channel, folders text[]) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    old cloudsync.channel;
    old_folders text[];
    before jsonb;
    id bigint := wanted.channel_id;
BEGIN
    folders := ARRAY(SELECT cloudsync.normal_folder(f.path) FROM unnest(folders) WITH ORDINALITY f (path, no) ORDER BY f.no);
    IF wanted.after_collect LIKE 'move:_%' THEN
        wanted.after_collect := 'move:' || cloudsync.normal_folder(substr(wanted.after_collect, 6));
    END IF;
    wanted.max_size := nullif(wanted.max_size, 0);
    PERFORM cloudsync.check_channel(wanted, folders);
    IF id IS NULL THEN
        INSERT INTO cloudsync.channel (tenant, connection_id, name, recipient, binder, auto_collect, collect_every, collect_at,
                time_zone, recursive, include, exclude, max_size, dedup, after_collect, next_collect_at, created_by)
            VALUES (wanted.tenant, wanted.connection_id, wanted.name, wanted.recipient, wanted.binder, wanted.auto_collect,
                wanted.collect_every, wanted.collect_at, wanted.time_zone, wanted.recursive, wanted.include, wanted.exclude,
                wanted.max_size, wanted.dedup, wanted.after_collect,
                CASE WHEN wanted.auto_collect THEN clock_timestamp() END, cloudsync.acting_user())
            RETURNING channel_id INTO id;
        PERFORM cloudsync.set_channel_folders(id, folders);
    ELSE
        SELECT c.* INTO old FROM cloudsync.channel c WHERE c.channel_id = id FOR UPDATE;
        before := cloudsync.channel_as_json(id);
        old_folders := ARRAY(SELECT f.path FROM cloudsync.channel_folder f WHERE f.channel_id = id ORDER BY f.folder_no);
        IF ROW(old.name, old.recipient, old.binder, old.auto_collect, old.collect_every, old.collect_at, old.time_zone,
               old.recursive, old.include, old.exclude, old.max_size, old.dedup, old.after_collect, old_folders)
           IS NOT DISTINCT FROM
           ROW(wanted.name, wanted.recipient, wanted.binder, wanted.auto_collect, wanted.collect_every, wanted.collect_at, wanted.time_zone,
               wanted.recursive, wanted.include, wanted.exclude, wanted.max_size, wanted.dedup, wanted.after_collect, folders) THEN
            RETURN id;
        END IF;
        UPDATE cloudsync.channel c SET name = wanted.name, recipient = wanted.recipient, binder = wanted.binder,
                auto_collect = wanted.auto_collect, collect_every = wanted.collect_every, collect_at = wanted.collect_at,
                time_zone = wanted.time_zone, recursive = wanted.recursive, include = wanted.include, exclude = wanted.exclude,
                max_size = wanted.max_size, dedup = wanted.dedup, after_collect = wanted.after_collect,
                listing_epoch = c.listing_epoch + CASE
                    WHEN ROW(old.recursive, old.include, old.exclude, old.max_size, old.dedup, old.after_collect, old_folders)
                         IS DISTINCT FROM ROW(wanted.recursive, wanted.include, wanted.exclude, wanted.max_size, wanted.dedup,
                             wanted.after_collect, folders)
                        THEN 1 ELSE 0 END,
                next_collect_at = CASE
                    WHEN NOT wanted.auto_collect THEN NULL
                    -- at once when switched on (L2)
                    WHEN NOT old.auto_collect THEN clock_timestamp()
                    WHEN ROW(old.collect_every, old.collect_at, old.time_zone)
                         IS DISTINCT FROM ROW(wanted.collect_every, wanted.collect_at, wanted.time_zone)
                        THEN cloudsync.next_collect(wanted.collect_every, wanted.collect_at, wanted.time_zone, NULL, clock_timestamp())
                    ELSE c.next_collect_at END,
                retry_at = CASE WHEN wanted.auto_collect THEN c.retry_at END
            WHERE c.channel_id = id;
        IF old.name <> wanted.name THEN
            -- what was collected under the old name stays known under both
            INSERT INTO cloudsync.dedup (account_id, kind, key, document_id, remote_version, size, sha256, created_at)
                SELECT d.account_id, d.kind, wanted.name || substr(d.key, length(old.name) + 1), d.document_id,
                       d.remote_version, d.size, d.sha256, d.created_at
                FROM cloudsync.dedup d JOIN cloudsync.connection n USING (account_id)
                WHERE n.connection_id = wanted.connection_id AND d.kind = 'content'
                  AND d.key = old.name || '/' || encode(d.sha256, 'hex')
                ON CONFLICT DO NOTHING;
        END IF;
        PERFORM cloudsync.set_channel_folders(id, folders);
    END IF;
    PERFORM cloudsync.note(wanted.tenant, CASE WHEN before IS NULL THEN 'create channel' ELSE 'alter channel' END,
        wanted.name, before, cloudsync.channel_as_json(id));
    -- collected at once, or not watched any more
    IF wanted.auto_collect OR old.auto_collect THEN
        PERFORM cloudsync.wake(true);
    END IF;
    RETURN id;
END;
$$;

CREATE FUNCTION @extschema@.cloudsync_create_channel(connection text, name text, folders text[], recipient text, binder text,
        auto_collect boolean DEFAULT true, collect_every interval DEFAULT '1 day', collect_at time DEFAULT '02:00',
        time_zone text DEFAULT pg_catalog.current_setting('TimeZone'), recursive boolean DEFAULT true,
        include text[] DEFAULT '{}', exclude text[] DEFAULT '{}', max_size bigint DEFAULT NULL,
        dedup text DEFAULT 'content', after_collect text DEFAULT 'keep')
    RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own constant text := cloudsync.tenant();
    conn cloudsync.connection;
    wanted cloudsync.channel;
    before_this bigint;
    id bigint;
BEGIN
    SELECT c.* INTO conn FROM cloudsync.connection c
        WHERE c.tenant = own AND cloudsync.sees(c.tenant) AND c.name = cloudsync_create_channel.connection AND c.state <> 'disconnected';
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('connection "%s" does not exist', cloudsync_create_channel.connection),
            HINT = 'To see those there are: SELECT connection, state FROM cloudsync.connections; to make one: SELECT * FROM cloudsync_connect(provider, name, credentials, options);';
    END IF;
    -- a channel of a connection that was disconnected is no more
    UPDATE cloudsync.channel c SET deleted_at = clock_timestamp(), next_collect_at = NULL, retry_at = NULL
        FROM cloudsync.connection n
        WHERE c.tenant = own AND c.name = cloudsync_create_channel.name AND c.deleted_at IS NULL
          AND n.connection_id = c.connection_id AND n.state = 'disconnected';
    SELECT c.* INTO wanted FROM cloudsync.channel c
        WHERE c.tenant = own AND c.name = cloudsync_create_channel.name AND c.deleted_at IS NULL;
    IF FOUND AND wanted.connection_id <> conn.connection_id THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
            MESSAGE = format('channel "%s" exists on another connection', wanted.name),
            HINT = format('Choose another name, or delete that channel: SELECT cloudsync_delete_channel(%L);', wanted.name);
    END IF;
    wanted.tenant := own;
    wanted.connection_id := conn.connection_id;
    wanted.name := cloudsync_create_channel.name;
    wanted.recipient := cloudsync_create_channel.recipient;
    wanted.binder := cloudsync_create_channel.binder;
    wanted.auto_collect := coalesce(cloudsync_create_channel.auto_collect, true);
    wanted.collect_every := cloudsync_create_channel.collect_every;
    wanted.collect_at := cloudsync_create_channel.collect_at;
    wanted.time_zone := cloudsync_create_channel.time_zone;
    wanted.recursive := coalesce(cloudsync_create_channel.recursive, true);
    wanted.include := coalesce(cloudsync_create_channel.include, '{}');
    wanted.exclude := coalesce(cloudsync_create_channel.exclude, '{}');
    wanted.max_size := cloudsync_create_channel.max_size;
    wanted.dedup := cloudsync_create_channel.dedup;
    wanted.after_collect := cloudsync_create_channel.after_collect;
    id := cloudsync.save_channel(wanted, cloudsync_create_channel.folders);
    IF wanted.channel_id IS NULL THEN
        -- made again: what the one before knew of its items stays known (L4)
        SELECT c.channel_id INTO before_this
            FROM cloudsync.channel c JOIN cloudsync.connection n USING (connection_id)
            WHERE c.tenant = own AND c.name = cloudsync_create_channel.name AND c.channel_id <> id AND n.account_id = conn.account_id
            ORDER BY c.channel_id DESC LIMIT 1;
        INSERT INTO cloudsync.item (connection_id, channel_id, folder_no, path, path_key, name, kind, size, modified_at, remote_id,
                remote_version, checksum, state, reason, sha256, verify, document_id, listing, seen_at)
            SELECT conn.connection_id, id, f.folder_no, i.path, i.path_key, i.name, i.kind, i.size, i.modified_at, i.remote_id,
                i.remote_version, i.checksum, i.state, i.reason, i.sha256, i.verify, i.document_id, i.listing, i.seen_at
            FROM cloudsync.item i JOIN cloudsync.channel_folder f
                ON f.channel_id = id AND starts_with(i.path, rtrim(f.path, '/') || '/')
            WHERE i.channel_id = before_this AND i.document_id IS NOT NULL;
    END IF;
    RETURN id;
END;
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_create_channel(text, text, text[], text, text, boolean, interval, time, text, boolean, text[], text[], bigint, text, text) IS
    'Makes a rule that collects documents: from which folders of a connection, for which recipient, into '
    'which binder, when, and which files. Gives the channel''s number. For cloudsync_admin.';

CREATE FUNCTION @extschema@.cloudsync_alter_channel(channel text, folders text[] DEFAULT NULL, recipient text DEFAULT NULL,
        binder text DEFAULT NULL, auto_collect boolean DEFAULT NULL, collect_every interval DEFAULT NULL, collect_at time DEFAULT NULL,
        time_zone text DEFAULT NULL, recursive boolean DEFAULT NULL, include text[] DEFAULT NULL, exclude text[] DEFAULT NULL,
        max_size bigint DEFAULT NULL, dedup text DEFAULT NULL, after_collect text DEFAULT NULL, name text DEFAULT NULL)
    RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted cloudsync.channel := cloudsync.channel_named(cloudsync_alter_channel.channel);
BEGIN
    IF cloudsync_alter_channel.name <> wanted.name
       AND EXISTS (SELECT FROM cloudsync.channel c WHERE c.tenant = wanted.tenant AND c.name = cloudsync_alter_channel.name AND c.deleted_at IS NULL) THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
            MESSAGE = format('channel "%s" already exists', cloudsync_alter_channel.name),
            HINT = 'Choose another name. To see those there are: SELECT channel, connection FROM cloudsync.channels;';
    END IF;
    wanted.name := coalesce(cloudsync_alter_channel.name, wanted.name);
    wanted.recipient := coalesce(cloudsync_alter_channel.recipient, wanted.recipient);
    wanted.binder := coalesce(cloudsync_alter_channel.binder, wanted.binder);
    wanted.auto_collect := coalesce(cloudsync_alter_channel.auto_collect, wanted.auto_collect);
    wanted.collect_every := coalesce(cloudsync_alter_channel.collect_every, wanted.collect_every);
    wanted.collect_at := coalesce(cloudsync_alter_channel.collect_at, wanted.collect_at);
    wanted.time_zone := coalesce(cloudsync_alter_channel.time_zone, wanted.time_zone);
    wanted.recursive := coalesce(cloudsync_alter_channel.recursive, wanted.recursive);
    wanted.include := coalesce(cloudsync_alter_channel.include, wanted.include);
    wanted.exclude := coalesce(cloudsync_alter_channel.exclude, wanted.exclude);
    wanted.max_size := coalesce(cloudsync_alter_channel.max_size, wanted.max_size);
    wanted.dedup := coalesce(cloudsync_alter_channel.dedup, wanted.dedup);
    wanted.after_collect := coalesce(cloudsync_alter_channel.after_collect, wanted.after_collect);
    PERFORM cloudsync.save_channel(wanted, coalesce(cloudsync_alter_channel.folders,
        ARRAY(SELECT f.path FROM cloudsync.channel_folder f WHERE f.channel_id = wanted.channel_id ORDER BY f.folder_no)));
END;
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_alter_channel(text, text[], text, text, boolean, interval, time, text, boolean, text[], text[], bigint, text, text, text) IS
    'Changes a channel; NULL keeps what is set, max_size 0 is no limit. For cloudsync_admin.';

CREATE FUNCTION @extschema@.cloudsync_set_auto_sync(channel text, auto_sync boolean) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted cloudsync.channel := cloudsync.channel_named(cloudsync_set_auto_sync.channel);
BEGIN
    IF auto_sync IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'auto_sync must be true or false',
            HINT = 'True switches automatic collection on, false off.';
    END IF;
    wanted.auto_collect := auto_sync;
    PERFORM cloudsync.save_channel(wanted,
        ARRAY(SELECT f.path FROM cloudsync.channel_folder f WHERE f.channel_id = wanted.channel_id ORDER BY f.folder_no));
END;
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_set_auto_sync(text, boolean) IS
    'Switches the automatic collection of a channel on, which collects at once, or off. For cloudsync_admin.';

-- Queues a run of a channel, by hand.
CREATE FUNCTION cloudsync.queue_channel_run(kind text, wanted cloudsync.channel, document_id bigint) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    id bigint;
BEGIN
    INSERT INTO cloudsync.run (tenant, kind, connection_id, channel_id, document_id, origin, requested_by)
        VALUES (wanted.tenant, queue_channel_run.kind, wanted.connection_id, wanted.channel_id, queue_channel_run.document_id,
                'manual', cloudsync.acting_user())
        RETURNING run_id INTO id;
    PERFORM cloudsync.wake(true);
    PERFORM cloudsync.warn_if_not_served(wanted.connection_id);
    RETURN id;
END;
$$;

CREATE FUNCTION @extschema@.cloudsync_collect(channel text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN cloudsync.queue_channel_run('collect', cloudsync.channel_named(cloudsync_collect.channel), NULL);
END;
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_collect(text) IS
    'Collects a channel now, whether or not it does so by itself; gives the run. Starts when the transaction '
    'commits. For cloudsync_operator.';

CREATE FUNCTION @extschema@.cloudsync_refresh_items(channel text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted cloudsync.channel := cloudsync.channel_named(cloudsync_refresh_items.channel);
BEGIN
    IF NOT wanted.auto_collect THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('auto sync of channel "%s" is off', wanted.name),
            HINT = format('Switch it on first: SELECT cloudsync_set_auto_sync(%L, true);', wanted.name);
    END IF;
    RETURN cloudsync.queue_channel_run('refresh', wanted, NULL);
END;
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_refresh_items(text) IS
    'Lists a channel''s folders without collecting, so that cloudsync.items shows what is there; gives the '
    'run. For cloudsync_operator.';

CREATE FUNCTION @extschema@.cloudsync_recollect(document_id bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    doc cloudsync.document;
    wanted cloudsync.channel;
    id bigint;
BEGIN
    SELECT d.* INTO doc FROM cloudsync.document d
        WHERE d.document_id = cloudsync_recollect.document_id AND d.tenant = cloudsync.tenant() AND cloudsync.sees(d.tenant);
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('document %s does not exist', coalesce(cloudsync_recollect.document_id::text, 'NULL')),
            HINT = 'To see those there are: SELECT document_id, name, state FROM cloudsync.document;';
    END IF;
    IF doc.state = 'forgotten' THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('document %s was forgotten, and is not collected again', doc.document_id),
            DETAIL = format('%s did it at %s, for the reason: %s.', doc.decided_by, to_char(doc.decided_at, 'YYYY-MM-DD HH24:MI'), doc.reason),
            HINT = 'If it is needed after all, have the file put into a folder of another channel, as a new file.';
    END IF;
    SELECT c.* INTO wanted
        FROM cloudsync.item i JOIN cloudsync.channel c USING (channel_id) JOIN cloudsync.connection n ON n.connection_id = c.connection_id
        WHERE i.document_id = doc.document_id AND i.state <> 'gone' AND c.deleted_at IS NULL AND n.account_id = doc.account_id
          AND n.state <> 'disconnected'
        ORDER BY c.channel_id = doc.channel_id DESC, i.state = 'collected' DESC, i.item_id LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('document %s is not in a folder that is collected', doc.document_id),
            DETAIL = format('It was "%s" when it was collected.', doc.remote_path),
            HINT = 'Put the file back into the folder, or make its channel again.';
    END IF;
    id := cloudsync.queue_channel_run('collect', wanted, doc.document_id);
    PERFORM cloudsync.note(doc.tenant, 'recollect', 'document ' || doc.document_id, NULL, jsonb_build_object('run_id', id));
    RETURN id;
END;
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_recollect(bigint) IS
    'Collects a document''s file once more, the one way to do so, and on record; gives the run. For '
    'cloudsync_operator.';

CREATE FUNCTION @extschema@.cloudsync_delete_channel(channel text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted cloudsync.channel := cloudsync.channel_named(cloudsync_delete_channel.channel);
    before constant jsonb := cloudsync.channel_as_json(wanted.channel_id);
BEGIN
    UPDATE cloudsync.channel c SET deleted_at = clock_timestamp(), next_collect_at = NULL, retry_at = NULL
        WHERE c.channel_id = wanted.channel_id;
    UPDATE cloudsync.run r SET state = 'cancelled', finished_at = clock_timestamp(), error = 'the channel was deleted'
        WHERE r.channel_id = wanted.channel_id AND r.state = 'queued';
    UPDATE cloudsync.run r SET cancel_requested = true WHERE r.channel_id = wanted.channel_id AND r.state = 'running';
    PERFORM cloudsync.note(wanted.tenant, 'delete channel', wanted.name, before, cloudsync.channel_as_json(wanted.channel_id));
    PERFORM cloudsync.wake(true);
END;
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_delete_channel(text) IS
    'Ends a channel. Its documents, its history and the record of what was collected stay. For '
    'cloudsync_admin.';
