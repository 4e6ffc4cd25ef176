-- Is this file in, and if not, why? (cloudsync_find, over items, documents and
-- the history of collections), for whom, and by which indexes.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE EXTENSION cloudsync SCHEMA public;
CREATE ROLE regress_find_ann IN ROLE cloudsync_reader;
CREATE ROLE regress_find_op IN ROLE cloudsync_operator;
CREATE ROLE regress_find_acme IN ROLE cloudsync_operator;
INSERT INTO cloudsync.role_tenant VALUES ('regress_find_acme', 'acme');
SELECT state FROM cloudsync_connect('local', 'disk', options => '{"path": "find"}');
SELECT cloudsync_add_recipient('regress_find_ann') > 0, cloudsync_add_recipient('bob') > 0;

-- nowhere to look, and not looked yet
SET ROLE regress_find_op;
SELECT * FROM cloudsync_find('anything.pdf');
RESET ROLE;
SELECT cloudsync_create_channel('disk', 'mail', '{/In,/Scans}', 'bob', 'B', auto_collect => false) AS mail \gset
SELECT cloudsync_create_channel('disk', 'daily', '{/Daily}', 'bob', 'B', auto_collect => false, exclude => '{*.tmp}') AS daily \gset
SELECT cloudsync_create_channel('disk', 'old', '{/Old}', 'bob', 'B', auto_collect => false) AS old \gset
SELECT cloudsync_delete_channel('old');
SET cloudsync.tenant = 'acme';
SELECT state FROM cloudsync_connect('local', 'disk', options => '{"path": "find"}');
SELECT cloudsync_add_recipient('carl') > 0 AS recipient;
SELECT cloudsync_create_channel('disk', 'mail', '{/In}', 'carl', 'B', auto_collect => false) AS theirs \gset
RESET cloudsync.tenant;
SET ROLE regress_find_op;
SELECT * FROM cloudsync_find('anything.pdf');
RESET ROLE;
UPDATE cloudsync.channel SET auto_collect = true, next_collect_at = '2126-11-23 02:00' WHERE name = 'mail';
UPDATE cloudsync.channel_folder SET state = 'ok', listed_at = '2026-11-21 02:00' WHERE path = '/In';
UPDATE cloudsync.channel_folder SET state = 'failed', last_error = 'permission denied', listed_at = '2026-11-20 02:00' WHERE path = '/Scans';
SET ROLE regress_find_op;
SELECT * FROM cloudsync_find('anything.pdf');
SELECT * FROM cloudsync_find('');
SELECT * FROM cloudsync_find(NULL);
RESET ROLE;

-- what listings and collections left behind
INSERT INTO cloudsync.run (run_id, tenant, kind, connection_id, channel_id, origin, requested_by, started_at, finished_at, state)
    SELECT 1000 + channel_id, tenant, 'collect', connection_id, channel_id, 'manual', 'x', '2026-11-21 02:00', '2026-11-21 02:01', 'partial' FROM cloudsync.channel;
INSERT INTO cloudsync.document (document_id, tenant, account_id, connection_id, channel_id, run_id, name, size, sha256, media_type, remote_path, recipient, binder, collected_at)
    SELECT id, h.tenant, c.account_id, h.connection_id, h.channel_id, 1, n, 1, '', 'text/plain', '/In/2026/' || n, r, 'B', '2026-11-21 02:01'
    FROM (VALUES (1, :mail, 'Facture Été.pdf', 'bob'), (2, :mail, 'invoice_100%.pdf', 'regress_find_ann'), (3, :old, 'contract.pdf', 'bob'),
                 (4, :mail, 'letter.pdf', 'bob'), (5, :theirs, 'facture acme.pdf', 'carl')) v (id, ch, n, r)
    JOIN cloudsync.channel h ON h.channel_id = ch JOIN cloudsync.connection c USING (connection_id);
INSERT INTO cloudsync.item (connection_id, channel_id, folder_no, path, name, kind, state, reason, document_id, listing, seen_at, next_try_at)
    SELECT h.connection_id, h.channel_id, 1, '/In/2026/' || n, n, k, s, why, doc, 1, '2026-11-22 02:00', '2126-11-22 03:00'
    FROM (VALUES (:mail, 'Facture Été.pdf', 'file', 'collected', NULL, 1), (:mail, 'Facture copie.pdf', 'file', 'duplicate', 'same content as "/In/2026/Facture Été.pdf", document 1', 1),
                 (:mail, 'invoice_100x.pdf', 'file', 'new', NULL, NULL), (:daily, 'half.tmp', 'file', 'excluded', 'left out by a pattern', NULL),
                 (:mail, 'contract.pdf', 'file', 'failed', 'the service answered 500', NULL), (:mail, 'letter.pdf', 'file', 'changed', NULL, 4),
                 (:mail, 'gone.pdf', 'file', 'gone', NULL, NULL), (:old, 'left.pdf', 'file', 'new', NULL, NULL),
                 (:mail, 'Facture', 'folder', NULL, NULL, NULL), (:theirs, 'facture acme.pdf', 'file', 'collected', NULL, 5)) v (ch, n, k, s, why, doc)
    JOIN cloudsync.channel h ON h.channel_id = ch;
INSERT INTO cloudsync.run_file (run_id, connection_id, action, path, error)
    SELECT 1000 + h.channel_id, h.connection_id, a, p, e FROM (VALUES (:mail, 'failed', '/In/2026/contract.pdf', 'the service answered 500'),
        (:mail, 'collected', '/In/2026/letter.pdf', NULL), (:daily, 'failed', '/Daily/once.pdf', 'it was gone'), (:theirs, 'failed', '/In/once.pdf', 'it was theirs')) v (ch, a, p, e)
    JOIN cloudsync.channel h ON h.channel_id = ch;

SET ROLE regress_find_op;
SELECT * FROM cloudsync_find('facture');
SELECT * FROM cloudsync_find('FACTURE ETE.PDF');
SELECT * FROM cloudsync_find('contract');
SELECT * FROM cloudsync_find('letter.pdf');
SELECT * FROM cloudsync_find('half.tmp');
SELECT * FROM cloudsync_find('gone.pdf');
SELECT * FROM cloudsync_find('left');
SELECT * FROM cloudsync_find('once');
-- % and _ are themselves, * and ? stand for others; a path may be given
SELECT name, state FROM cloudsync_find('invoice_100%');
SELECT name, state, reason FROM cloudsync_find('invoice_100');
SELECT name, state FROM cloudsync_find('invoice?100*.pdf');
SELECT name, state FROM cloudsync_find('*.tmp');
SELECT name, state FROM cloudsync_find('*act');
SELECT name, state FROM cloudsync_find('/In/2026/letter.pdf');
SELECT name, state FROM cloudsync_find('2026/l*.pdf');
SELECT name, state FROM cloudsync_find('2025/letter.pdf');
SELECT name, state FROM cloudsync_find('é');
-- as it stands in the inbox
SELECT cloudsync_file_document(1, 'K-1'), cloudsync_reject_document(3, 'not ours'), cloudsync_forget(4, 'by letter');
SELECT name, state, regexp_replace(reason, '[0-9-]{10} [0-9:]{5}', 'TIME') AS reason FROM cloudsync_find('*.pdf') WHERE document_id IN (1, 3, 4);
RESET ROLE;
-- a reader sees the items, and the documents that are for them
SET ROLE regress_find_ann;
SELECT name, state, document_id FROM cloudsync_find('*') ORDER BY 1, 2;
RESET ROLE;
SET ROLE regress_find_acme;
SELECT name, channel, state, document_id FROM cloudsync_find('*') ORDER BY 1, 2;
SELECT name, channel, state, seen_at FROM cloudsync_find('letter.pdf');
RESET ROLE;

-- each by its index
SET enable_seqscan = off;
SET ROLE regress_find_op;
BEGIN;
CREATE TEMP TABLE before AS SELECT oid, pg_stat_get_xact_numscans(oid) AS scans FROM pg_class
    WHERE relname IN ('item_name', 'document_name', 'run_file_error', 'item', 'document', 'run_file');
SELECT count(*) FROM cloudsync_find('contract.pdf');
SELECT oid::regclass, pg_stat_get_xact_numscans(oid) - scans AS scans FROM before ORDER BY oid::regclass::text COLLATE "C";
COMMIT;
RESET ROLE;

DROP EXTENSION cloudsync;
DROP OWNED BY regress_find_ann, regress_find_op, regress_find_acme;
DROP ROLE regress_find_ann, regress_find_op, regress_find_acme;
