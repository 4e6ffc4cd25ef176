-- Providers and connections: C1, C2, C6, C7.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
-- held, so that no worker touches what is put here
BEGIN;
CREATE EXTENSION cloudsync SCHEMA public;
UPDATE cloudsync.home SET suspended_at = now(), suspended_by = 'the test';
COMMIT;

\pset format unaligned
SELECT provider, title, options, credentials, checksum, incremental FROM cloudsync.providers ORDER BY 1;
\pset format aligned

-- refusals, which change nothing
SELECT * FROM cloudsync_connect('locale', 'Archive');
SELECT * FROM cloudsync_connect(NULL, 'Archive');
SELECT * FROM cloudsync_connect('local', NULL);
SELECT * FROM cloudsync_connect('local', ' ');
SELECT * FROM cloudsync_connect('local', E'A\nB');
SELECT * FROM cloudsync_connect('local', repeat('x', 201));
SELECT * FROM cloudsync_connect('local', 'Archive', NULL, '{"pfad": "/x"}');
SELECT * FROM cloudsync_connect('local', 'Archive', '{"password": "secret"}');
SELECT * FROM cloudsync_connect('local', 'Archive', NULL, '[]');
SELECT * FROM cloudsync_connect('local', 'Archive', NULL, '{"path": "/../etc"}');
SELECT count(*) FROM cloudsync.connections;
SELECT count(*) FROM cloudsync.account;
SELECT count(*) FROM cloudsync.audit;

-- made once, however often it is said
SELECT * FROM cloudsync_connect('local', 'Archive', options => '{"path": "/archive"}');
SELECT * FROM cloudsync_connect('local', 'Archive', options => '{"path": "/archive"}');
SELECT * FROM cloudsync_connect('local', 'Archive', options => '{"path": "archive"}');
SELECT connection_id, connection, provider, account, state, reason, scopes, root, auto_sync, created_by, last_used_at, consent_expires_at
    FROM cloudsync.connections;
SELECT action, subject, after -> 'state' AS state FROM cloudsync.audit ORDER BY audit_id;
-- another account under the same name
SELECT * FROM cloudsync_connect('local', 'Archive', options => '{"path": "/other"}');
SELECT * FROM cloudsync_connect('local', 'Archive');
-- the same account under another name is another connection to it
SELECT * FROM cloudsync_connect('local', 'Second', options => '{"path": "/archive"}');
SELECT count(DISTINCT account_id), count(*) FROM cloudsync.connection;
-- a connection that needs consent is renewed in place
UPDATE cloudsync.connection SET state = 'needs_consent', reason = 'revoked' WHERE name = 'Second';
BEGIN;
UPDATE cloudsync.home SET suspended_at = NULL;
SELECT severity, subject, problem, action FROM cloudsync_status() WHERE subject LIKE 'connection%';
ROLLBACK;
SELECT * FROM cloudsync_connect('local', 'Second', options => '{"path": "/archive"}');
SELECT connection, state, reason FROM cloudsync.connections ORDER BY 1;

-- held, and let go
SELECT cloudsync_disable('Archive');
SELECT cloudsync_disable('Archive');
SELECT * FROM cloudsync_connect('local', 'Archive', options => '{"path": "/archive"}');
SELECT cloudsync_enable('Archive');
SELECT cloudsync_enable('Archive');
SELECT cloudsync_enable('Nowhere');
SELECT cloudsync_disable(NULL);

-- limits
SELECT cloudsync_set_limits('Archive', 1000000, 2.5, 10000000000);
SELECT cloudsync_set_limits('Archive', 1000000, 2.5, 10000000000);
SELECT cloudsync_set_limits('Archive', 0, NULL, NULL);
SELECT cloudsync_set_limits('Archive', NULL, -1, NULL);
SELECT cloudsync_set_limits('Archive', NULL, 'NaN', NULL);
SELECT cloudsync_set_limits('Archive', NULL, 'Infinity', NULL);
SELECT cloudsync_set_limits('Archive', NULL, NULL, -5);
SELECT cloudsync_set_limits('Nowhere', NULL, NULL, NULL);
SELECT bytes_per_second, requests_per_second, max_bytes_per_day FROM cloudsync.connection WHERE name = 'Archive';

-- ended: what hangs on it goes with it or stays, as it should
SELECT name, account_id FROM cloudsync.connection ORDER BY connection_id;
INSERT INTO cloudsync.destination (account_id, root, connection_id) VALUES (1, 'CloudSync', 1);
INSERT INTO cloudsync.push_setting VALUES (1, 1, true, 'CloudSync', '{dossier_label}', '15 min', 'keep_both', 'keep', false, 'UTC');
INSERT INTO cloudsync.channel (tenant, connection_id, name, recipient, binder, auto_collect, collect_every, collect_at, time_zone,
        recursive, include, exclude, dedup, after_collect, created_by, next_collect_at)
    VALUES ('', 1, 'Scans', 'r', 'b', true, '1 day', '02:00', 'UTC', true, '{}', '{}', 'content', 'keep', 'x', now() + interval '1 day');
INSERT INTO cloudsync.document (tenant, account_id, connection_id, channel_id, run_id, name, size, sha256, media_type, remote_path, recipient, binder)
    VALUES ('', 1, 1, 1, 1, 'doc', 3, '\x00', 'text/plain', '/x', 'r', 'b');
INSERT INTO cloudsync.due (connection_id, dossiers_id, dossier, changed_at, start_at, due_at) VALUES (1, 1, '1', now(), now(), now());
INSERT INTO cloudsync.backfill (connection_id, dossiers_id) VALUES (1, 1);
INSERT INTO cloudsync.dedup (account_id, kind, key, sha256) VALUES (1, 'content', 'x', '\x00');
INSERT INTO cloudsync.run (kind, connection_id, origin, requested_by, state)
    VALUES ('prepare', 1, 'manual', 'x', 'queued'), ('prepare', 1, 'manual', 'x', 'running'), ('prepare', 1, 'manual', 'x', 'succeeded'),
           ('prepare', 2, 'manual', 'x', 'queued');
SELECT cloudsync_disconnect('Archive');
SELECT cloudsync_disconnect('Archive');
SELECT cloudsync_disconnect('Nowhere');
SELECT connection, state FROM cloudsync.connections ORDER BY connection_id;
SELECT connection_id, state, cancel_requested, error FROM cloudsync.run ORDER BY run_id;
SELECT (SELECT count(*) FROM cloudsync.due) AS due, (SELECT count(*) FROM cloudsync.backfill) AS backfill,
       (SELECT count(*) FROM cloudsync.channels) AS channels, (SELECT count(*) FROM cloudsync.push) AS push,
       (SELECT count(*) FROM cloudsync.inbox) AS inbox, (SELECT count(*) FROM cloudsync.dedup) AS dedup,
       (SELECT count(*) FROM cloudsync.history) AS history, (SELECT count(connection_id) FROM cloudsync.destination) AS pushing;
-- connected again: a new connection, the old account
SELECT * FROM cloudsync_connect('local', 'Archive', options => '{"path": "/archive"}');
SELECT connection, account, state FROM cloudsync.connections ORDER BY connection_id;
SELECT count(DISTINCT account_id) FROM cloudsync.connection;
SELECT action, subject, before ->> 'state' AS before, after ->> 'state' AS after, actor = current_user AS by_me FROM cloudsync.audit ORDER BY audit_id;

-- rolled back, nothing is left
BEGIN;
SELECT state FROM cloudsync_connect('local', 'Never', options => '{"path": "/never"}');
ROLLBACK;
SELECT count(*) FROM cloudsync.connections WHERE connection = 'Never';
DROP EXTENSION cloudsync;
