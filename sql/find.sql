/*
 * find.sql: is this file in, and if not, why? (cloudsync_find, over items,
 * documents and the history of collections.)
 */

-- What a name contains, for an index that finds parts of names: who has the part
-- has its keys.
CREATE FUNCTION cloudsync.name_keys(name text) RETURNS integer[]
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'cloudsync_name_keys';
CREATE INDEX item_name ON cloudsync.item USING gin (cloudsync.name_keys(name));
CREATE INDEX document_name ON cloudsync.document USING gin (cloudsync.name_keys(name));
-- What was sent to a service that says no checksum is no failure ('unverified').
CREATE INDEX run_file_error ON cloudsync.run_file USING gin (cloudsync.name_keys(path))
    WHERE error OPERATOR(pg_catalog.<>) 'unverified';

-- Why an item is not in, in words.
CREATE FUNCTION cloudsync.item_reason(item cloudsync.item, channel cloudsync.channel, connection cloudsync.connection) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT concat_ws('; ', (item).reason, CASE
        WHEN (item).state = 'gone' THEN CASE WHEN (item).document_id IS NULL THEN 'it left the folder before it was collected'
                                             ELSE 'it left the folder after it was collected' END
        WHEN (item).state = 'changed' AND (item).reason IS NULL THEN 'changed in place after it was collected'
        WHEN (item).state NOT IN ('new', 'failed') THEN NULL
        WHEN (channel).deleted_at IS NOT NULL THEN 'its channel was deleted'
        WHEN (connection).state <> 'active' THEN format('its connection is %s', (connection).state)
        WHEN NOT (channel).auto_collect THEN format('auto sync is off: SELECT cloudsync_collect(%L);', (channel).name)
        WHEN (item).next_try_at IS NOT NULL AND (item).state = 'failed'
            THEN 'it is tried again at ' || to_char((item).next_try_at, 'YYYY-MM-DD HH24:MI')
        ELSE 'it is collected at ' || to_char((channel).next_collect_at, 'YYYY-MM-DD HH24:MI') END);
END;

/*
 * Documents first, then items, then attempts that are explained by neither.
 * Names are compared without case and accents, and as a part; with * or ? the
 * whole name must be like that, and with a / the path. What is not there at all
 * is answered by each folder that was looked into, and when.
 */
CREATE FUNCTION cloudsync.find_file(asked text)
    RETURNS TABLE (name text, connection text, channel text, state text, reason text, document_id bigint, seen_at timestamptz)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
DECLARE
    wanted constant text := cloudsync.plain(btrim(asked));
    by_path constant boolean := strpos(wanted, '/') > 0;
    -- \ % and _ mean themselves
    pattern text := translate(regexp_replace(wanted, '([\\%_])', '\\\1', 'g'), '*?', '%_');
    keys constant integer[] := coalesce((SELECT array_agg(DISTINCT k.key)
        FROM regexp_split_to_table(regexp_replace(wanted, '^.*/', ''), '[*?]+') part, unnest(cloudsync.name_keys(part)) k (key)), '{}');
BEGIN
    IF coalesce(wanted, '') = '' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a name to look for is required',
            HINT = 'Give the file''s name or a part of it: SELECT * FROM cloudsync_find(''invoice'');';
    END IF;
    IF wanted !~ '[*?]' THEN
        pattern := '%' || pattern || '%';
    ELSIF by_path THEN
        pattern := '%' || pattern;
    END IF;
    RETURN QUERY
        WITH documents AS (
            SELECT d.*
            FROM cloudsync.document d
            WHERE cloudsync.name_keys(d.name) @> keys
              AND cloudsync.plain(CASE WHEN by_path THEN d.remote_path ELSE d.name END) LIKE pattern
              AND cloudsync.sees_document(d.tenant, d.recipient)
        ), found AS (
            SELECT 1 AS kind, d.name, d.connection_id, h.name AS channel, d.state,
                   CASE d.state WHEN 'waiting' THEN format('in the inbox of %s', d.recipient)
                        ELSE format('%s by %s at %s%s%s', d.state, d.decided_by, to_char(d.decided_at, 'YYYY-MM-DD HH24:MI'),
                                    ', for dossier ' || d.dossier, ': ' || d.reason) END AS reason,
                   d.document_id, d.collected_at AS seen_at
            FROM documents d JOIN cloudsync.channel h ON h.channel_id = d.channel_id
            UNION ALL
            SELECT 2, i.name, i.connection_id, h.name, i.state, cloudsync.item_reason(i, h, c), i.document_id, i.seen_at
            FROM cloudsync.item i
            JOIN cloudsync.channel h ON h.channel_id = i.channel_id
            JOIN cloudsync.connection c ON c.connection_id = i.connection_id
            WHERE cloudsync.name_keys(i.name) @> keys
              AND cloudsync.plain(CASE WHEN by_path THEN i.path ELSE i.name END) LIKE pattern
              AND i.state IS NOT NULL AND cloudsync.sees(h.tenant)
              -- as its document says
              AND NOT (i.state = 'collected' AND EXISTS (SELECT FROM documents d WHERE d.document_id = i.document_id))
            UNION ALL
            SELECT 3, regexp_replace(f.path, '^.*/', ''), f.connection_id, h.name, f.action,
                   f.error || format(' (run %s)', f.run_id), NULL, r.finished_at
            FROM cloudsync.run_file f
            JOIN cloudsync.run r ON r.run_id = f.run_id
            JOIN cloudsync.channel h ON h.channel_id = r.channel_id
            WHERE f.error <> 'unverified' AND cloudsync.name_keys(f.path) @> keys
              AND cloudsync.plain(CASE WHEN by_path THEN f.path ELSE regexp_replace(f.path, '^.*/', '') END) LIKE pattern
              AND cloudsync.sees(r.tenant)
              -- unless the item says the same, or that it was collected since
              AND NOT EXISTS (SELECT FROM cloudsync.item i WHERE i.channel_id = r.channel_id AND i.path = f.path
                              AND i.state IN (f.action, 'collected'))
        )
        SELECT f.name, c.name, f.channel, f.state, f.reason, f.document_id, f.seen_at
        FROM found f JOIN cloudsync.connection c ON c.connection_id = f.connection_id
        ORDER BY f.kind, f.seen_at DESC, f.name;
    IF FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY
        SELECT asked, c.name, h.name, 'not found',
               CASE WHEN f.listed_at IS NULL THEN format('folder %s was not listed yet', f.path)
                    WHEN f.state IN ('failed', 'gone') THEN format('folder %s could not be listed: %s', f.path, coalesce(f.last_error, f.state))
                    ELSE format('not in folder %s when it was last listed', f.path) END,
               NULL::bigint, f.listed_at
        FROM cloudsync.channel_folder f
        JOIN cloudsync.channel h ON h.channel_id = f.channel_id
        JOIN cloudsync.connection c ON c.connection_id = h.connection_id
        WHERE h.deleted_at IS NULL AND cloudsync.sees(h.tenant)
        ORDER BY h.name, f.folder_no;
END
$$;
CREATE FUNCTION @extschema@.cloudsync_find(name text)
    RETURNS TABLE (name text, connection text, channel text, state text, reason text, document_id bigint, seen_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT f.name, f.connection, f.channel, f.state, f.reason, f.document_id, f.seen_at FROM cloudsync.find_file($1) f;
END;
COMMENT ON FUNCTION @extschema@.cloudsync_find(text) IS
    'Says of each file whether it is in, and if not why: over documents, what is in the folders, and the '
    'history. Takes a part of its name, or a pattern with * and ?. For cloudsync_reader.';
