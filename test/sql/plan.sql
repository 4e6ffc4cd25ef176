-- What a push would do (P15), inside the caller's transaction, by no worker.
SET client_min_messages = warning;
CREATE EXTENSION cloudsync;
RESET client_min_messages;
\set SHOW_CONTEXT never
SELECT cloudsync_suspend();

CREATE TABLE company (id int PRIMARY KEY, name text);
CREATE TABLE dossier (id bigint PRIMARY KEY, title text, opened date, company int REFERENCES company);
CREATE TABLE paper (id bigint PRIMARY KEY, dossier_id bigint REFERENCES dossier ON DELETE CASCADE, name text, kind text, content bytea);
INSERT INTO company VALUES (1, 'ACME');
INSERT INTO dossier VALUES (1, 'One', '2026-03-05', 1), (2, 'Two', '2026-04-05', NULL);
INSERT INTO paper VALUES (10, 1, 'a.txt', 'Letters', 'a'), (11, 1, 'a.txt', 'Letters', 'b'), (12, 1, 'none', NULL, NULL), (20, 2, '../b', NULL, 'c');
SELECT cloudsync_track('dossier', 'paper');
SELECT state FROM cloudsync_connect('local', 'Drive', options => '{"path": "sql_plan"}');
SELECT cloudsync_plan('Drive');
SELECT cloudsync_set_push('Drive', folder => '{opened:YYYY}/{company.name|Nobody}/{dossier_label}/{file.kind|Other}', time_zone => 'UTC', every => '1 day');

-- all that exists is to be sent; numbers keep names apart
SELECT * FROM cloudsync_plan('Drive') ORDER BY dossier, file_key;
SELECT * FROM cloudsync_plan('Drive', '2');

-- as if it had been pushed
INSERT INTO cloudsync.pushed_dossier (destination_id, dossiers_id, dossier, folder, folder_key, wanted, state)
    SELECT destination_id, 1, '1', '/CloudSync/2026/ACME/One', '/CloudSync/2026/ACME/One', '/CloudSync/2026/ACME/One', 'synced' FROM cloudsync.destination;
INSERT INTO cloudsync.pushed_file (destination_id, dossiers_id, dossier, source_id, file_key, path, path_key, wanted, remote_version, size, sha256, content_version, state)
    SELECT destination_id, 1, '1', 1, f.id::text, '/CloudSync/2026/ACME/One/Letters/' || f.p, '/CloudSync/2026/ACME/One/Letters/' || f.p, 'Letters/a.txt', 'v', 1,
           sha256(f.content), 'h:' || encode(sha256(f.content), 'hex'), 'synced'
    FROM cloudsync.destination, (SELECT id, content, CASE id WHEN 10 THEN 'a.txt' ELSE 'a (2).txt' END AS p FROM paper WHERE id IN (10, 11)) f;
SELECT * FROM cloudsync_plan('Drive', '1') ORDER BY file_key;

-- what if
BEGIN;
UPDATE paper SET content = 'changed' WHERE id = 10;
UPDATE paper SET name = 'b.txt' WHERE id = 11;
UPDATE paper SET content = 'now there' WHERE id = 12;
SELECT * FROM cloudsync_plan('Drive', '1') ORDER BY file_key;
ROLLBACK;
BEGIN;
UPDATE company SET name = 'ACME and Sons';
SELECT * FROM cloudsync_plan('Drive', '1') ORDER BY file_key;
ROLLBACK;
BEGIN;
DELETE FROM paper WHERE id = 10;
SELECT * FROM cloudsync_plan('Drive', '1') ORDER BY file_key;
SELECT cloudsync_set_push('Drive', on_delete => 'trash');
SELECT * FROM cloudsync_plan('Drive', '1') ORDER BY file_key;
DELETE FROM dossier WHERE id = 1;
SELECT * FROM cloudsync_plan('Drive', '1') ORDER BY file_key;
ROLLBACK;
BEGIN;
TRUNCATE paper;
SELECT * FROM cloudsync_plan('Drive') WHERE dossier = '1' ORDER BY file_key;
ROLLBACK;
-- a name that changes and one that takes its place
BEGIN;
UPDATE paper SET name = 'c.txt' WHERE id = 10;
INSERT INTO paper VALUES (13, 1, 'a.txt', 'Letters', 'd');
SELECT * FROM cloudsync_plan('Drive', '1') ORDER BY file_key;
ROLLBACK;
SELECT * FROM cloudsync_plan('Drive', '1') ORDER BY file_key;

DROP EXTENSION cloudsync;
