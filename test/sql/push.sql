-- Push settings and pushes by hand, as far as no worker is needed: C2, P2, P3.
SET client_min_messages = warning;
CREATE EXTENSION cloudsync;
RESET client_min_messages;
\set SHOW_CONTEXT never
\set VERBOSITY terse
SELECT cloudsync_suspend();

CREATE TABLE dossier (id bigint PRIMARY KEY, title text);
CREATE TABLE paper (id bigint PRIMARY KEY, dossier_id bigint REFERENCES dossier, name text, content bytea);
CREATE TABLE client (id uuid PRIMARY KEY, title text);
CREATE TABLE letter (id bigint PRIMARY KEY, client_id uuid REFERENCES client, name text, content bytea);
CREATE TABLE other (id text PRIMARY KEY, title text);
CREATE TABLE other_file (id bigint PRIMARY KEY, other_id text REFERENCES other, name text, content bytea);
SELECT cloudsync_track('dossier', 'paper');
SELECT cloudsync_track('client', 'letter');
INSERT INTO dossier VALUES (1, 'One'), (2, 'Two');
INSERT INTO client VALUES ('6f1b9b6e-0b5f-4c47-9f3e-0d8d5b9b7a01', 'Client');

-- defaults at first; NULL keeps; the same again changes nothing
SELECT state FROM cloudsync_connect('local', 'A', options => '{"path": "sql_push"}');
SELECT cloudsync_push_dossier('1');
SELECT cloudsync_set_push('A', time_zone => 'UTC');
SELECT auto_sync, root, folder, every, on_conflict, on_delete, manifest FROM cloudsync.push_setting;
SELECT cloudsync_set_push('A', auto_sync => false, every => '1 hour');
SELECT cloudsync_set_push('A', on_delete => 'trash', root => '/Firm//Out/');
SELECT auto_sync, root, folder, every, on_conflict, on_delete, manifest FROM cloudsync.push_setting;
SELECT count(*) AS before FROM cloudsync.audit \gset
SELECT cloudsync_set_push('A', auto_sync => false, every => '60 minutes', on_delete => 'trash', root => 'Firm/Out');
SELECT count(*) - :before AS noted FROM cloudsync.audit;

-- switching automatic push on notes all that exists, off forgets it
SELECT cloudsync_set_push('A', auto_sync => true);
SELECT count(*) FROM cloudsync.backfill;
SELECT cloudsync_set_push('A', auto_sync => false);
SELECT count(*) FROM cloudsync.backfill;

-- one account and root, one connection; another root is another destination
SELECT state FROM cloudsync_connect('local', 'B', options => '{"path": "sql_push"}');
SELECT cloudsync_set_push('B', auto_sync => false, root => 'Firm/Out');
SELECT cloudsync_set_push('B', auto_sync => false, root => 'B');
SELECT cloudsync_set_push('B', root => 'Firm/Out');
-- what was pushed is taken up by a connection made again, under any name
SELECT destination_id FROM cloudsync.destination WHERE root = '/Firm/Out' \gset
SELECT cloudsync_disconnect('A');
SELECT state FROM cloudsync_connect('local', 'C', options => '{"path": "sql_push"}');
SELECT cloudsync_set_push('C', auto_sync => false, root => 'Firm/Out');
SELECT p.destination_id = :destination_id AS taken_up FROM cloudsync.push_setting p JOIN cloudsync.connection c USING (connection_id) WHERE c.name = 'C';

-- pushes by hand: for one connection, for all that push, in each type of key
SELECT count(*) FROM cloudsync_push_dossier('1', 'B');
SELECT count(*) FROM cloudsync_push_dossier(1);
SELECT count(*) FROM cloudsync_push_dossier('6f1b9b6e-0b5f-4c47-9f3e-0d8d5b9b7a01'::uuid, 'B');
-- a key is found in any spelling, and kept in its own
SELECT count(*) FROM cloudsync_push_dossier(' 0002', 'B');
SELECT count(*) FROM cloudsync_push_dossier('6F1B9B6E-0B5F-4C47-9F3E-0D8D5B9B7A01', 'B', 'client');
SELECT kind, dossier, origin, state, count(*) FROM cloudsync.run WHERE kind = 'push' GROUP BY 1, 2, 3, 4 ORDER BY 2;
-- a key that stands in two tables
SELECT cloudsync_track('other', 'other_file');
INSERT INTO other VALUES ('1', 'Other');
SELECT cloudsync_push_dossier('1', 'B');
SELECT count(*) FROM cloudsync_push_dossier('1', 'B', 'other');
-- a connection that cannot be served
SELECT cloudsync_disable('B');
SELECT count(*) FROM cloudsync_push_dossier('2', 'B');
-- rolled back, nothing is queued
SELECT count(*) AS before FROM cloudsync.run \gset
BEGIN;
SELECT count(*) FROM cloudsync_push_dossier('2', 'C');
ROLLBACK;
SELECT count(*) - :before AS queued FROM cloudsync.run;

DROP EXTENSION cloudsync;
