-- Runs: history, waiting, cancelling, repeating, lag and status (H1, H3, P14).
\set SHOW_CONTEXT never
SET client_min_messages = warning;
-- held, so that no worker touches what is put here
BEGIN;
CREATE EXTENSION cloudsync SCHEMA public;
UPDATE cloudsync.home SET suspended_at = now(), suspended_by = 'the test';
COMMIT;
SELECT * FROM cloudsync_connect('local', 'Archive');
SELECT cloudsync_disable('Archive');
CREATE TABLE dossier (id integer PRIMARY KEY, label text);
CREATE TABLE file (id integer PRIMARY KEY, dossier_id integer REFERENCES dossier, name text, content bytea);
SELECT cloudsync_track('dossier', 'file');
INSERT INTO cloudsync.destination (account_id, root, connection_id) VALUES (1, 'CloudSync', 1);
INSERT INTO cloudsync.push_setting VALUES (1, 1, true, 'CloudSync', '{dossier_label}', '15 min', 'keep_both', 'keep', false, 'UTC');
INSERT INTO cloudsync.run (kind, connection_id, dossiers_id, dossier, origin, requested_by, state, shared_run_id, files_done, bytes_sent, error, started_at, finished_at) VALUES
    ('push', 1, 1, '1', 'manual', 'alice', 'queued', NULL, 0, 0, NULL, NULL, NULL),
    ('push', 1, 1, '2', 'manual', 'alice', 'succeeded', NULL, 3, 77, NULL, now(), now()),
    ('push', 1, 1, '2', 'manual', 'bob', 'succeeded', 2, 0, 0, NULL, NULL, now()),
    ('push', 1, 1, '3', 'auto', 'auto', 'failed', NULL, 0, 0, 'the disk is full', now(), now()),
    ('push', 1, 1, '4', 'auto', 'auto', 'partial', NULL, 2, 9, NULL, now(), now()),
    ('push', 1, 1, '5', 'manual', 'alice', 'running', NULL, 0, 0, NULL, now(), NULL),
    ('push', 1, 1, '5', 'manual', 'bob', 'running', 6, 0, 0, NULL, NULL, NULL),
    ('push', 1, 1, '6', 'manual', 'alice', 'running', NULL, 0, 0, NULL, now(), NULL);
INSERT INTO cloudsync.run_file (run_id, connection_id, action, path, size, sha256) VALUES (2, 1, 'create', '/a', 77, '\xab');

SELECT run_id, kind, connection, channel, dossier, origin, requested_by, started_at IS NOT NULL AS started,
       finished_at IS NOT NULL AS finished, state, files_done, bytes_sent, error FROM cloudsync.history ORDER BY 1;
SELECT * FROM cloudsync.history_file ORDER BY 1;

-- waiting
CALL cloudsync_wait(2);
CALL cloudsync_wait(ARRAY[2, 3]);
CALL cloudsync_wait('{}'::bigint[]);
CALL cloudsync_wait(4);
\echo :LAST_ERROR_SQLSTATE
CALL cloudsync_wait(ARRAY[2, 5]);
\echo :LAST_ERROR_SQLSTATE
CALL cloudsync_wait(1, '10 ms');
\echo :LAST_ERROR_SQLSTATE
CALL cloudsync_wait(999);
CALL cloudsync_wait(NULL::bigint);
BEGIN;
CALL cloudsync_wait(2);
ROLLBACK;
DO 'BEGIN CALL cloudsync_wait(2); END';
SET statement_timeout = '200ms';
CALL cloudsync_wait(1, '1 hour');
RESET statement_timeout;

-- one line of progress, whatever a file is called and a service says; and a time
-- left that no interval holds
BEGIN;
CREATE OR REPLACE FUNCTION cloudsync.activity_rows(OUT run_id bigint, OUT connection_id bigint, OUT file text, OUT bytes_done bigint,
    OUT bytes_total bigint, OUT rate bigint, OUT eta_seconds double precision, OUT phase text, OUT pid integer) RETURNS SETOF record
    LANGUAGE sql AS $$ VALUES (6::bigint, 1::bigint, E'/a plan\nof\u2028the\u0085house\r\t.pdf', 1::bigint, 10995116277760, 1::bigint, 10995116277760::float8, 'send', 0) $$;
SELECT cloudsync_progress(6);
SELECT bytes_total, rate, eta FROM cloudsync.activity;
UPDATE cloudsync.run SET error = E'denied\n\tby the storage' WHERE run_id = 4;
SELECT cloudsync_progress(4);
INSERT INTO cloudsync.pushed_file (destination_id, dossiers_id, dossier, source_id, file_key, path, state, next_try_at, last_error)
    SELECT 1, 1, E'3\n4', s.source_id, '1', E'/a plan\nof the house', 'failed', now(), E'denied\nby the storage' FROM cloudsync.source s;
UPDATE cloudsync.connection SET state = 'active';
SELECT problem FROM cloudsync_status() WHERE problem LIKE '%plan%';
ROLLBACK;

-- cancelling
SELECT cloudsync_cancel(1), cloudsync_cancel(2), cloudsync_cancel(4);
CALL cloudsync_wait(1);
\echo :LAST_ERROR_SQLSTATE
SET client_min_messages = notice;
SELECT cloudsync_cancel(6);
SELECT cloudsync_cancel(7);
SELECT cloudsync_cancel(6);
SET client_min_messages = warning;
SELECT cloudsync_cancel(999);
SELECT run_id, state, cancel_requested, error FROM cloudsync.run WHERE run_id IN (1, 6, 7, 8) ORDER BY 1;

-- again
SELECT cloudsync_retry(4);
SELECT cloudsync_retry(2);
SELECT cloudsync_retry(8);
SELECT kind, dossier, origin, requested_by = current_user AS by_me, state FROM cloudsync.run WHERE run_id = 9;
-- what stands in the way, and what to type then
UPDATE cloudsync.run SET dossiers_id = 2 WHERE run_id = 5;
SELECT cloudsync_retry(5);
BEGIN;
SET LOCAL client_min_messages = error;
UPDATE cloudsync.run SET dossiers_id = 1 WHERE run_id = 5;
DELETE FROM cloudsync.push_setting;
SELECT cloudsync_retry(5);
ROLLBACK;
SELECT cloudsync_add_recipient('Ann') AS recipient, cloudsync_create_channel('Archive', 'Post', '{/in}', 'Ann', 'B', auto_collect => false) AS channel;
INSERT INTO cloudsync.run (run_id, kind, connection_id, channel_id, origin, requested_by, state, started_at, finished_at) VALUES (99, 'refresh', 1, 1, 'manual', 'alice', 'failed', now(), now());
SELECT cloudsync_retry(99);
DELETE FROM cloudsync.run WHERE run_id = 99;

-- how the dossiers stand
UPDATE cloudsync.push_setting SET auto_sync = false;
SET cloudsync.capture = off;
INSERT INTO dossier SELECT g FROM generate_series(1, 12) g;
INSERT INTO cloudsync.pushed_dossier (destination_id, dossiers_id, dossier, folder, folder_key, wanted, state, last_error)
    SELECT 1, 1, d, d, d, d, s, CASE WHEN s <> 'synced' THEN 'because' END
    FROM (VALUES ('7', 'synced'), ('8', 'partial'), ('9', 'failed'), ('10', 'synced')) v (d, s);
INSERT INTO cloudsync.due (connection_id, dossiers_id, dossier, changed_at, start_at, due_at, attempts, claimed, changes, last_error) VALUES
    (1, 1, '8', now(), now(), now() + interval '1 hour', 1, NULL, 1, 'one of two'),
    (1, 1, '9', now(), now(), now() + interval '1 hour', 2, NULL, 1, 'disk'),
    (1, 1, '10', now(), now(), now() + interval '1 hour', 0, NULL, 7, NULL),
    (1, 1, '11', now() - interval '10 min', now(), now() + interval '1 min', 0, 1, 1, NULL);
SELECT dossiers, dossier, connection, state, changes, last_error FROM cloudsync.dossiers WHERE dossier::integer > 6 ORDER BY dossier::integer;
UPDATE cloudsync.connection SET state = 'active';
SELECT dossier, state, last_error FROM cloudsync.dossiers WHERE dossier::integer > 6 ORDER BY dossier::integer;
SELECT count(*) FROM cloudsync.dossiers WHERE state = 'never';
UPDATE cloudsync.push_setting SET auto_sync = true;
-- a change shows before the scheduler has taken it; one of a file only where the dossier is known
INSERT INTO cloudsync.change (dossiers_id, dossier, tenant) VALUES (1, '7', NULL), (1, '12', ''), (1, '12', ''), (1, '4711', 'other');
SELECT dossier, state, changes, due_at > now() AS due FROM cloudsync.dossiers WHERE dossier::integer > 6 ORDER BY dossier::integer;
DELETE FROM cloudsync.change;
-- with automatic push and no backfill under way, every dossier has been noted
SELECT count(*) FROM cloudsync.dossiers WHERE state = 'never';
INSERT INTO cloudsync.backfill (connection_id, dossiers_id) VALUES (1, 1);
SELECT count(*) FROM cloudsync.dossiers WHERE state = 'never';
DELETE FROM cloudsync.backfill;
-- a condition on another state leaves the tracked tables unread
CREATE FUNCTION pg_temp.reads_keys(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
    RETURN plan::text LIKE '%tracked_keys%';
END $$;
SELECT pg_temp.reads_keys('SELECT * FROM cloudsync.dossiers') AS all_states,
       pg_temp.reads_keys($$SELECT * FROM cloudsync.dossiers WHERE state = 'failed'$$) AS failed;

-- lag: of what waits, not of what was there before
SELECT cloudsync_lag() BETWEEN '10 min' AND '11 min', cloudsync_lag('Archive') BETWEEN '10 min' AND '11 min';
UPDATE cloudsync.due SET backfill = true WHERE dossier = '11';
SELECT cloudsync_lag() < '1 min';
INSERT INTO cloudsync.change (dossiers_id, dossier, tenant, changed_at) VALUES (1, '1', '', now() - interval '2 min'), (1, '1', 'other', now() - interval '2 hours');
SELECT cloudsync_lag() BETWEEN '2 min' AND '3 min';
DELETE FROM cloudsync.change;
DELETE FROM cloudsync.due;
SELECT cloudsync_lag() = '0';
SELECT cloudsync_lag('Nowhere');
DROP EXTENSION cloudsync;
