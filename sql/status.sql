/*
 * status.sql: what needs a person, with the command to type (H3, P14, C5), and
 * how far behind the pushes are.
 */

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
BEGIN
    IF cloudsync_lag.connection IS NOT NULL THEN
        wanted := (cloudsync.find_connection(cloudsync_lag.connection)).connection_id;
    END IF;
    RETURN (SELECT greatest(clock_timestamp() - min(o.changed_at), '0'::interval) FROM cloudsync.oldest_changes(wanted) o);
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_lag(text) IS
    'Gives the age of the oldest committed change that has not been pushed, of one connection or of all; zero '
    'when there is none. For cloudsync_reader.';

/*
 * What needs a person, most urgent first; no row when all is well. Each arm
 * names the thing, what is wrong with it, and a statement that can be typed as it
 * stands: one that mends it, or, where nothing but time or the other side can,
 * one that shows how it stands. What hangs on a suspended copy is not listed
 * besides the suspension. No arm may read the history as a whole. What is wrong
 * is told in one line, whatever a file or a service is called or says.
 */
CREATE FUNCTION @extschema@.cloudsync_status() RETURNS TABLE (severity text, subject text, problem text, action text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
DECLARE
    suspended text := CASE WHEN NOT pg_is_in_recovery() THEN cloudsync.why_suspended() END;
    now timestamptz := clock_timestamp();
    -- functions in public are found by a usual search_path, those elsewhere are named in full
    schema text := CASE '@extschema@' WHEN 'public' THEN '' ELSE '@extschema@.' END;
BEGIN
    IF suspended IS NOT NULL THEN
        RETURN QUERY SELECT 'error', format('database %s', current_database()), format('suspended: %s', suspended),
            CASE WHEN current_setting('cloudsync.enabled') = 'off'
                     THEN 'ALTER SYSTEM SET cloudsync.enabled = on; SELECT pg_reload_conf();'
                 WHEN suspended LIKE 'cloudsync.hosts%'
                     THEN format('ALTER SYSTEM SET cloudsync.hosts = %L; SELECT pg_reload_conf();',
                                 concat_ws(', ', current_setting('cloudsync.hosts'), substring(suspended FROM '"(.*)"')))
                 ELSE format('SELECT %scloudsync_resume();', schema) END;
    END IF;
    RETURN QUERY
    SELECT p.severity, cloudsync.one_line(p.subject), cloudsync.one_line(p.problem),
           regexp_replace(p.action, '^(SELECT|SELECT \* FROM|CALL) cloudsync_', format('\1 %scloudsync_', schema))
    FROM (
        SELECT w.severity, w.subject, w.problem, w.action FROM cloudsync.worker_problems() w
            WHERE suspended IS NULL
        UNION ALL SELECT * FROM cloudsync.connection_problems(now) WHERE suspended IS NULL
        UNION ALL SELECT * FROM cloudsync.push_problems(now)
        UNION ALL SELECT * FROM cloudsync.channel_problems(now, suspended IS NOT NULL)
        UNION ALL SELECT * FROM cloudsync.source_problems()
        UNION ALL SELECT * FROM cloudsync.ocr_problems()
    ) p
    ORDER BY array_position(ARRAY['error', 'warning', 'info'], p.severity), p.subject, p.problem;
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_status() IS
    'Lists what needs a person, most urgent first, each with the command to type; no row when all is well. '
    'For cloudsync_reader.';

-- The statement that renews a connection: with consent a page to open is its answer.
CREATE FUNCTION cloudsync.connect_again(c cloudsync.connection) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT format('SELECT * FROM cloudsync_connect(%L, %L%s);', (c).provider, (c).name,
                  CASE (c).options WHEN '{}' THEN '' ELSE format(', options => %L', (c).options) END)
           || CASE WHEN EXISTS (SELECT FROM cloudsync.secret s WHERE s.owner_kind = 'connection' AND s.owner_id = (c).connection_id)
                   THEN '  -- with credentials => ..., where they are others now' ELSE '' END;
END;

-- Connections that need consent or fail, consents that end, and deadlines about to be missed (C5, P14).
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
           CASE WHEN c.state = 'locked' THEN 'SELECT pg_reload_conf();  -- once the keyring is back (cloudsync.master_key_file, cloudsync.master_key_command)'
                WHEN c.state IN ('needs_consent', 'pending') THEN cloudsync.connect_again(c)
                ELSE format('SELECT * FROM cloudsync_check(%L);', c.name) END
        FROM cloudsync.connection c
        WHERE cloudsync.sees(c.tenant)
          AND (c.state IN ('needs_consent', 'pending', 'locked') OR (c.state = 'active' AND c.failures > 0 AND c.retry_at IS NOT NULL));
    RETURN QUERY
    SELECT 'warning', format('connection %s', c.name),
           format('other credentials were refused, and those from before hold: %s', c.renewal_refused),
           cloudsync.connect_again(c)
        FROM cloudsync.connection c
        WHERE cloudsync.sees(c.tenant) AND c.renewal_refused IS NOT NULL AND c.state <> 'disconnected';
    RETURN QUERY
    SELECT CASE WHEN c.consent_expires_at <= now THEN 'error' ELSE 'warning' END,
           format('connection %s', c.name),
           format(CASE WHEN c.consent_expires_at <= now THEN '%1$s ended at %3$s' ELSE '%1$s ends in %2$s days, at %3$s' END,
                  CASE WHEN a.app_id IS NULL THEN 'its consent or certificate' ELSE 'its application''s secret' END,
                  ceil(extract(epoch FROM c.consent_expires_at - now) / 86400), date_trunc('second', c.consent_expires_at)),
           CASE WHEN a.app_id IS NULL THEN cloudsync.connect_again(c)
                -- typed as it stands it is refused: what is in < > is no time
                ELSE format('SELECT cloudsync_register_app(%L, %L, ''<the new client secret>'', %L);  -- fill in what is in < >', c.provider, a.client_id,
                            jsonb_strip_nulls(jsonb_build_object('redirect_uri', a.redirect_uri, 'secret_expires_at', '<when it expires: YYYY-MM-DD>'))) END
        FROM cloudsync.connection c
        LEFT JOIN LATERAL (SELECT o.* FROM cloudsync.app o
                           WHERE o.provider = c.provider AND o.tenant IN (c.tenant, '') ORDER BY o.tenant = '' LIMIT 1) a
            ON a.secret_expires_at = c.consent_expires_at
        WHERE cloudsync.sees(c.tenant) AND c.state = 'active' AND c.consent_expires_at < now + interval '14 days';
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
          AND d.start_at < now - least(p.every / 4, interval '10 seconds') -- what may begin is given the time to
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
           format('SELECT cloudsync_collect(%L);', h.name) || CASE f.state WHEN 'gone'
               THEN format('  -- once it is back, or SELECT cloudsync_alter_channel(%L, folders => ...)', h.name) ELSE '' END
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
        CROSS JOIN LATERAL (SELECT l.* FROM cloudsync.run l WHERE l.run_id = h.last_run_id LIMIT 1) r
        WHERE h.deleted_at IS NULL AND r.state IN ('failed', 'partial') AND c.state = 'active' AND c.failures = 0
          AND cloudsync.sees(h.tenant)
          AND NOT EXISTS (SELECT FROM cloudsync.channel_folder f
                          WHERE f.channel_id = h.channel_id AND f.state IN ('failed', 'gone'))
          AND NOT EXISTS (SELECT FROM cloudsync.item i WHERE i.channel_id = h.channel_id AND i.state = 'failed');
    RETURN QUERY
    SELECT 'info', 'watching', format('folders that are not watched, but collected as scheduled: %s, more than cloudsync.max_watches',
               w.folders - current_setting('cloudsync.max_watches')::integer),
           format('ALTER SYSTEM SET cloudsync.max_watches = %s; SELECT pg_reload_conf();', w.folders)
        FROM (SELECT count(*) AS folders FROM cloudsync.connection c
              JOIN cloudsync.channel h ON h.connection_id = c.connection_id
              JOIN cloudsync.channel_folder f ON f.channel_id = h.channel_id
              WHERE c.options ->> 'longpoll' = 'true' AND c.state = 'active' AND cloudsync.provider_watches(c.provider)
                AND h.deleted_at IS NULL AND h.auto_collect AND f.cursor IS NOT NULL) w
        WHERE cloudsync.sees_all() AND w.folders > current_setting('cloudsync.max_watches')::integer;
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
           CASE WHEN t.exists THEN format('SELECT cloudsync_track(%L, %L);', t.dossiers, t.files)
                ELSE format('SELECT cloudsync_untrack(%s%s);', t.dossiers::oid, coalesce(', ' || t.gone::oid, '')) END
        FROM (
            SELECT d.dossiers::text, d.last_error, k.oid IS NOT NULL, d.dossiers,
                   (SELECT s.files FROM cloudsync.source s WHERE s.dossiers_id = d.dossiers_id ORDER BY s.source_id LIMIT 1), NULL::regclass
            FROM cloudsync.dossier_table d LEFT JOIN pg_class k ON k.oid = d.dossiers
            UNION ALL
            SELECT s.files::text, s.last_error, k.oid IS NOT NULL, d.dossiers, s.files, s.files
            FROM cloudsync.source s JOIN cloudsync.dossier_table d ON d.dossiers_id = s.dossiers_id
            LEFT JOIN pg_class k ON k.oid = s.files
            -- with the dossiers' table gone, that row says it all
            WHERE EXISTS (SELECT FROM pg_class o WHERE o.oid = d.dossiers)
        ) t (name, last_error, exists, dossiers, files, gone)
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
