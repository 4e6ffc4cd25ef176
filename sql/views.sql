/*
 * views.sql: what people and applications read (C7, F1, F2, H1 to H3, B1).
 * Each is a security barrier with the tenant's predicate inside (S3).
 */

CREATE VIEW cloudsync.providers AS
    SELECT p.provider, p.title, p.authentication, p.options, p.credentials, p.checksum, p.max_file_size, p.incremental
    FROM cloudsync.provider_rows() p;
COMMENT ON VIEW cloudsync.providers IS 'Kinds of storage service: how to authenticate, which options and credentials cloudsync_connect takes, with a line of help each.';

CREATE VIEW cloudsync.connections WITH (security_barrier) AS
    SELECT c.connection_id, c.name AS connection, c.provider, CASE WHEN a.known THEN coalesce(a.shown, a.account) END AS account, c.state,
           coalesce(c.reason, 'other credentials were refused, and those from before hold: ' || c.renewal_refused,
               CASE WHEN c.renewal IS NOT NULL THEN 'other credentials are being checked' END) AS reason,
           c.scopes, p.root, p.auto_sync, c.options, c.created_by, c.created_at, c.last_used_at,
           c.consent_expires_at
    FROM cloudsync.connection c
    JOIN cloudsync.account a ON a.account_id = c.account_id
    LEFT JOIN cloudsync.push_setting p ON p.connection_id = c.connection_id
    WHERE cloudsync.sees(c.tenant);
COMMENT ON VIEW cloudsync.connections IS 'Connections, also those that were disconnected: whose account, how they stand and why. No secret is in it.';

CREATE VIEW cloudsync.push WITH (security_barrier) AS
    SELECT c.connection_id, c.name AS connection, p.auto_sync, p.root, p.folder, p.every, p.on_conflict, p.on_delete,
           p.manifest, p.time_zone
    FROM cloudsync.push_setting p
    JOIN cloudsync.connection c ON c.connection_id = p.connection_id
    WHERE c.state <> 'disconnected' AND cloudsync.sees(c.tenant);
COMMENT ON VIEW cloudsync.push IS 'What cloudsync_set_push has set for each connection.';

CREATE VIEW cloudsync.procedure_folders WITH (security_barrier) AS
    SELECT c.connection_id, c.name AS connection, f.procedure, f.folder
    FROM cloudsync.procedure_folder f
    JOIN cloudsync.connection c ON c.connection_id = f.connection_id
    WHERE c.state <> 'disconnected' AND cloudsync.sees(c.tenant);
COMMENT ON VIEW cloudsync.procedure_folders IS 'Folders that cloudsync_set_procedure_folder gave to procedures.';

CREATE VIEW cloudsync.recipients WITH (security_barrier) AS
    SELECT r.recipient_id, r.name, r.email, r.external, r.created_by, r.created_at
    FROM cloudsync.recipient r
    WHERE cloudsync.sees(r.tenant);
COMMENT ON VIEW cloudsync.recipients IS 'People for whom channels collect.';

CREATE VIEW cloudsync.channels WITH (security_barrier) AS
    SELECT h.channel_id, h.name AS channel, c.connection_id, c.name AS connection,
           ARRAY(SELECT f.path FROM cloudsync.channel_folder f
                 WHERE f.channel_id = h.channel_id ORDER BY f.folder_no) AS folders,
           h.recipient, h.binder, h.auto_collect, h.collect_every, h.collect_at, h.time_zone, h.recursive,
           h.include, h.exclude, h.max_size, h.dedup, h.after_collect,
           h.next_collect_at, h.last_run_id, h.created_by, h.created_at
    FROM cloudsync.channel h
    JOIN cloudsync.connection c ON c.connection_id = h.connection_id
    WHERE h.deleted_at IS NULL AND cloudsync.sees(h.tenant);
COMMENT ON VIEW cloudsync.channels IS 'Rules that collect from remote folders, as cloudsync_create_channel and cloudsync_alter_channel set them, with the time of the next collection.';

/*
 * The keys of all tracked dossiers whose tenant the session sees, read as the
 * owner of each table; one that cannot be read now is left out. Nothing, without
 * a look, unless they are wanted.
 */
CREATE FUNCTION cloudsync.tracked_keys(wanted boolean DEFAULT true) RETURNS TABLE (dossiers_id integer, dossier text, tenant text)
    LANGUAGE c STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'cloudsync_tracked_keys';

/*
 * A change counts as soon as it is committed, before the scheduler has made it
 * due. With automatic push every dossier has been noted once the backfill is
 * through; only a connection without it (or with a backfill under way) has
 * dossiers that were never pushed, and only for those the last arm reads the keys
 * of the tracked tables. A condition on another state leaves that arm out: its
 * columns have exactly the types of the first.
 */
CREATE VIEW cloudsync.dossiers WITH (security_barrier) AS
    WITH pushing AS (
        SELECT c.*, p.auto_sync, p.every,
               p.auto_sync AND NOT EXISTS (SELECT FROM cloudsync.backfill b WHERE b.connection_id = c.connection_id) AS all_noted
        FROM cloudsync.connection c
        JOIN cloudsync.push_setting p ON p.connection_id = c.connection_id
        WHERE c.state <> 'disconnected' AND cloudsync.sees(c.tenant)
    ), changed AS (
        SELECT c.connection_id, g.dossiers_id, g.dossier, pg_catalog.count(*) AS changes,
               pg_catalog.min(g.changed_at) + c.every AS due_at, pg_catalog.bool_or(g.tenant IS NOT NULL) AS of_tenant
        FROM pushing c JOIN cloudsync.change g ON g.tenant IS NULL OR g.tenant = c.tenant
        WHERE c.auto_sync AND g.dossier IS NOT NULL
        GROUP BY c.connection_id, c.every, g.dossiers_id, g.dossier
    )
    SELECT t.dossiers, known.dossier, c.connection_id, c.name AS connection,
           CASE
               WHEN due.claimed IS NOT NULL OR asked.running THEN 'running'
               WHEN (due.dossier IS NOT NULL OR changed.dossier IS NOT NULL OR asked.waiting)
                    AND (c.state <> 'active' OR c.retry_at > pg_catalog.statement_timestamp()) THEN 'blocked'
               WHEN asked.waiting OR changed.dossier IS NOT NULL OR due.attempts = 0 THEN 'waiting'
               WHEN due.attempts > 0 AND p.state IS DISTINCT FROM 'partial' THEN 'failed'
               ELSE p.state
           END AS state,
           p.last_pushed_at, COALESCE(due.changes, 0) + COALESCE(changed.changes, 0) AS changes,
           LEAST(due.due_at, changed.due_at) AS due_at,
           CASE WHEN c.state <> 'active' OR c.retry_at > pg_catalog.statement_timestamp() THEN COALESCE(c.reason, due.last_error, p.last_error)
                ELSE COALESCE(due.last_error, p.last_error) END AS last_error,
           p.web_url
    FROM (
        SELECT d.connection_id, d.dossiers_id, d.dossier FROM cloudsync.due d
        UNION
        SELECT s.connection_id, p.dossiers_id, p.dossier
        FROM cloudsync.pushed_dossier p JOIN cloudsync.destination s ON s.destination_id = p.destination_id
        WHERE s.connection_id IS NOT NULL
        UNION
        SELECT r.connection_id, r.dossiers_id, r.dossier
        FROM cloudsync.run r WHERE r.state IN ('queued', 'running') AND r.kind = 'push'
        UNION
        SELECT g.connection_id, g.dossiers_id, g.dossier FROM changed g WHERE g.of_tenant
    ) known
    JOIN pushing c ON c.connection_id = known.connection_id
    JOIN cloudsync.dossier_table t ON t.dossiers_id = known.dossiers_id
    LEFT JOIN cloudsync.due due ON due.connection_id = known.connection_id
        AND due.dossiers_id = known.dossiers_id AND due.dossier = known.dossier
    LEFT JOIN changed ON changed.connection_id = known.connection_id
        AND changed.dossiers_id = known.dossiers_id AND changed.dossier = known.dossier
    LEFT JOIN (
        SELECT r.connection_id, r.dossiers_id, r.dossier,
               pg_catalog.bool_or(r.state = 'running') AS running, pg_catalog.bool_or(r.state = 'queued') AS waiting
        FROM cloudsync.run r WHERE r.state IN ('queued', 'running') AND r.kind = 'push'
        GROUP BY r.connection_id, r.dossiers_id, r.dossier
    ) asked ON asked.connection_id = known.connection_id
        AND asked.dossiers_id = known.dossiers_id AND asked.dossier = known.dossier
    LEFT JOIN (cloudsync.pushed_dossier p JOIN cloudsync.destination s ON s.destination_id = p.destination_id)
        ON s.connection_id = known.connection_id
        AND p.dossiers_id = known.dossiers_id AND p.dossier = known.dossier
    UNION ALL
    SELECT t.dossiers, k.dossier, c.connection_id, c.name, 'never'::text, NULL::timestamptz, 0::bigint, NULL::timestamptz, NULL::text, NULL::text
    FROM cloudsync.tracked_keys(EXISTS (SELECT FROM pushing w WHERE NOT w.all_noted)) k
    JOIN cloudsync.dossier_table t ON t.dossiers_id = k.dossiers_id
    JOIN pushing c ON c.tenant = k.tenant AND NOT c.all_noted
    WHERE NOT EXISTS (SELECT FROM cloudsync.due d WHERE d.connection_id = c.connection_id
                      AND d.dossiers_id = k.dossiers_id AND d.dossier = k.dossier)
      AND NOT EXISTS (SELECT FROM changed g WHERE g.connection_id = c.connection_id
                      AND g.dossiers_id = k.dossiers_id AND g.dossier = k.dossier AND g.of_tenant)
      AND NOT EXISTS (SELECT FROM cloudsync.pushed_dossier p
                      JOIN cloudsync.destination s ON s.destination_id = p.destination_id
                      WHERE s.connection_id = c.connection_id AND p.dossiers_id = k.dossiers_id AND p.dossier = k.dossier)
      AND NOT EXISTS (SELECT FROM cloudsync.run r WHERE r.connection_id = c.connection_id
                      AND r.state IN ('queued', 'running') AND r.kind = 'push'
                      AND r.dossiers_id = k.dossiers_id AND r.dossier = k.dossier);
COMMENT ON VIEW cloudsync.dossiers IS 'Each dossier at each connection that pushes: how it stands, and until when it is due.';

CREATE VIEW cloudsync.files WITH (security_barrier) AS
    SELECT c.name AS connection, f.dossier, f.file_key, COALESCE(f.path, f.intent_path) AS path, f.web_url,
           COALESCE(f.size, f.intent_size) AS size, f.state, f.attempts, f.next_try_at, f.last_error
    FROM cloudsync.pushed_file f
    JOIN cloudsync.destination s ON s.destination_id = f.destination_id
    JOIN cloudsync.connection c ON c.connection_id = s.connection_id
    WHERE c.state <> 'disconnected' AND cloudsync.sees(c.tenant);
COMMENT ON VIEW cloudsync.files IS 'Each file at each connection that pushes, with its last error until it succeeds.';

CREATE VIEW cloudsync.folders WITH (security_barrier) AS
    SELECT c.name AS connection, c.provider, h.name AS channel, f.path AS folder_name, h.last_synced_at, h.synced_by,
           h.auto_collect AS auto_sync, COALESCE(n.items, 0) AS items, COALESCE(n.collected, 0) AS collected,
           f.state, f.last_error, COALESCE(n.by_state, '{}') AS by_state
    FROM cloudsync.channel_folder f
    JOIN cloudsync.channel h ON h.channel_id = f.channel_id
    JOIN cloudsync.connection c ON c.connection_id = h.connection_id
    LEFT JOIN (
        SELECT s.channel_id, s.folder_no, pg_catalog.sum(s.items) FILTER (WHERE s.state <> 'gone')::bigint AS items,
               pg_catalog.sum(s.items) FILTER (WHERE s.state = 'collected')::bigint AS collected,
               pg_catalog.jsonb_object_agg(s.state, s.items) FILTER (WHERE s.state IS NOT NULL) AS by_state
        FROM (SELECT i.channel_id, i.folder_no, i.state, pg_catalog.count(*) AS items
              FROM cloudsync.item i GROUP BY i.channel_id, i.folder_no, i.state) s
        GROUP BY s.channel_id, s.folder_no
    ) n ON n.channel_id = f.channel_id AND n.folder_no = f.folder_no
    WHERE h.deleted_at IS NULL AND cloudsync.sees(h.tenant);
COMMENT ON VIEW cloudsync.folders IS 'Connected folders: each folder of each channel, and when it was last looked at.';

CREATE VIEW cloudsync.items WITH (security_barrier) AS
    SELECT i.item_id, c.name AS connection, h.name AS channel, f.path AS folder_name, i.name, i.path, i.kind, i.size,
           i.modified_at, i.state, i.reason, i.document_id, i.seen_at
    FROM cloudsync.item i
    JOIN cloudsync.channel h ON h.channel_id = i.channel_id
    JOIN cloudsync.connection c ON c.connection_id = h.connection_id
    LEFT JOIN cloudsync.channel_folder f ON f.channel_id = i.channel_id AND f.folder_no = i.folder_no
    WHERE h.deleted_at IS NULL AND cloudsync.sees(h.tenant);
COMMENT ON VIEW cloudsync.items IS 'What is in the channels'' folders, as last listed, and what became of it.';

-- An operator sees the whole inbox of the tenant, others what is for them (B1).
CREATE FUNCTION cloudsync.sees_document(tenant text, recipient text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL RESTRICTED
BEGIN ATOMIC
    SELECT cloudsync.sees(sees_document.tenant)
       AND (cloudsync.acting_has_role('cloudsync_operator') OR cloudsync.acting_is(sees_document.recipient));
END;

CREATE VIEW cloudsync.inbox WITH (security_barrier) AS
    SELECT d.document_id, d.recipient, d.binder, c.name AS connection, h.name AS channel, d.name, d.size, d.media_type,
           d.collected_at, d.ocr_state, d.pages, d.excerpt
    FROM cloudsync.document d
    JOIN cloudsync.connection c ON c.connection_id = d.connection_id
    JOIN cloudsync.channel h ON h.channel_id = d.channel_id
    WHERE d.state = 'waiting' AND cloudsync.sees_document(d.tenant, d.recipient);
COMMENT ON VIEW cloudsync.inbox IS 'Documents that wait to be entered: for an operator all of the tenant''s, for others those that are for them.';

-- A run that shared another's execution shows what that one did.
CREATE VIEW cloudsync.history WITH (security_barrier) AS
    SELECT r.run_id, r.kind, c.name AS connection, h.name AS channel, r.dossier, r.origin, r.requested_by, r.requested_at,
           COALESCE(r.started_at, CASE WHEN r.state <> 'queued' THEN lead.started_at END) AS started_at, r.finished_at, r.state,
           lead.files_done, lead.files_skipped, lead.files_failed, lead.bytes_sent, lead.bytes_received, lead.requests,
           lead.attempts, r.error
    FROM cloudsync.run r
    JOIN cloudsync.connection c ON c.connection_id = r.connection_id
    JOIN cloudsync.run lead ON lead.run_id = COALESCE(r.shared_run_id, r.run_id)
    LEFT JOIN cloudsync.channel h ON h.channel_id = r.channel_id
    WHERE cloudsync.sees(r.tenant);
COMMENT ON VIEW cloudsync.history IS 'Runs, each push, collection and refresh: waiting, at work and ended.';

CREATE VIEW cloudsync.history_file WITH (security_barrier) AS
    SELECT r.run_id, f.action, f.path, f.size, f.sha256, f.error
    FROM cloudsync.run r
    JOIN cloudsync.run_file f ON f.run_id = COALESCE(r.shared_run_id, r.run_id)
    WHERE cloudsync.sees(r.tenant);
COMMENT ON VIEW cloudsync.history_file IS 'Each file that a run touched.';
