-- Bad input is an error when it is set, with an SQLSTATE and a HINT, and
-- changes nothing: connections, tracked tables, push settings, names of what is
-- not there. Channels are in refusals_channel, templates in template.
SET client_min_messages = warning;
CREATE EXTENSION cloudsync;
RESET client_min_messages;
\set ECHO none
\i sql/include/refused.sql
\set ECHO all

-- tables as somebody has them
CREATE TABLE dossier (id integer PRIMARY KEY, title text);
CREATE TABLE file (id integer PRIMARY KEY, dossier_id integer REFERENCES dossier, name text, content bytea);
CREATE TABLE keyless (title text);
CREATE TABLE two_keys (a integer, b integer, title text, PRIMARY KEY (a, b));
CREATE TABLE nullable_key (id integer UNIQUE, title text);
CREATE TABLE unrelated (id integer PRIMARY KEY, name text, content bytea);
CREATE TABLE no_content (id integer PRIMARY KEY, dossier_id integer REFERENCES dossier, name text);
CREATE TABLE no_name (id integer PRIMARY KEY, dossier_id integer REFERENCES dossier, content bytea);
CREATE TABLE other_type (id integer PRIMARY KEY, dossier_id text, name text, content bytea);
CREATE VIEW a_view AS SELECT * FROM dossier;
CREATE TEMP TABLE a_temp (id integer PRIMARY KEY, title text);
CREATE TABLE other_dossier (id integer PRIMARY KEY, title text);
INSERT INTO dossier VALUES (1, 'one');

SELECT state FROM cloudsync_connect('local', 'Drive', options => '{"path": "sql_refusals"}');
SELECT cloudsync_set_push('Drive', auto_sync => false);
SELECT cloudsync_track('dossier', 'file') > 0;
-- the root's preparation, so that no worker changes anything from here on
SELECT max(run_id) AS run FROM cloudsync.history \gset
CALL cloudsync_wait(:run);
CALL wait_told();
SELECT everything() AS before \gset

-- connections (C1)
SELECT refused($$ SELECT cloudsync_connect('floppy', 'A') $$);
SELECT refused($$ SELECT cloudsync_connect(NULL, 'A') $$);
SELECT refused($$ SELECT cloudsync_connect('local', NULL) $$);
SELECT refused($$ SELECT cloudsync_connect('local', ' ') $$);
SELECT refused($$ SELECT cloudsync_connect('local', E'a\nb') $$);
SELECT refused($$ SELECT cloudsync_connect('local', 'A', options => '{"paht": "x"}') $$);
SELECT refused($$ SELECT cloudsync_connect('local', 'A', options => '{"path": 7}') $$);
SELECT refused($$ SELECT cloudsync_connect('local', 'A', options => '["path"]') $$);
SELECT refused($$ SELECT cloudsync_connect('local', 'A', options => '{"path": "../elsewhere"}') $$);
SELECT refused($$ SELECT cloudsync_connect('local', 'A', options => '{"path": "a/./b"}') $$);
SELECT refused($$ SELECT cloudsync_connect('local', 'A', options => '{"path": "a\nb"}') $$);
SELECT refused($$ SELECT cloudsync_connect('local', 'A', credentials => '{"password": "secret-47"}') $$);
SELECT refused($$ SELECT cloudsync_connect('local', 'Drive', options => '{"path": "another"}') $$);
SELECT refused($$ SELECT cloudsync_disconnect('nobody') $$);
SELECT refused($$ SELECT cloudsync_disable('nobody') $$);
SELECT refused($$ SELECT cloudsync_enable('nobody') $$);
SELECT refused($$ SELECT cloudsync_set_limits('nobody', 1, 1, 1) $$);
SELECT refused($$ SELECT cloudsync_set_limits('Drive', -1, NULL, NULL) $$);
SELECT refused($$ SELECT cloudsync_set_limits('Drive', NULL, -0.5, NULL) $$);
SELECT refused($$ SELECT cloudsync_set_limits('Drive', NULL, 'NaN', NULL) $$);
SELECT refused($$ SELECT cloudsync_set_limits('Drive', NULL, NULL, -1) $$);

-- tracked tables (P1)
SELECT refused($$ SELECT cloudsync_track('nowhere', 'file') $$);
SELECT refused($$ SELECT cloudsync_track(NULL, 'file') $$);
SELECT refused($$ SELECT cloudsync_track('keyless', 'file') $$);
SELECT refused($$ SELECT cloudsync_track('two_keys', 'file') $$);
SELECT refused($$ SELECT cloudsync_track('nullable_key', 'file', dossier_key => 'id') $$);
SELECT refused($$ SELECT cloudsync_track('other_dossier', 'file', dossier_key => 'nothing') $$);
SELECT refused($$ SELECT cloudsync_track('other_dossier', 'file', label => 'nothing') $$);
SELECT refused($$ SELECT cloudsync_track('other_dossier', 'file', tenant => 'nothing') $$);
SELECT refused($$ SELECT cloudsync_track('other_dossier', 'file', procedure => 'nothing') $$);
SELECT refused($$ SELECT cloudsync_track('other_dossier', 'file') $$);
SELECT refused($$ SELECT cloudsync_track('dossier', 'unrelated') $$);
SELECT refused($$ SELECT cloudsync_track('dossier', 'no_content') $$);
SELECT refused($$ SELECT cloudsync_track('dossier', 'no_content', content => 'name') $$);
SELECT refused($$ SELECT cloudsync_track('dossier', 'no_content', content => 'id') $$);
SELECT refused($$ SELECT cloudsync_track('dossier', 'no_name') $$);
SELECT refused($$ SELECT cloudsync_track('dossier', 'other_type', file_dossier => 'dossier_id') $$);
SELECT refused($$ SELECT cloudsync_track('dossier', 'file', content => 'name') $$);
SELECT refused($$ SELECT cloudsync_track('a_view', 'file') $$);
SELECT refused($$ SELECT cloudsync_track('a_temp', 'file') $$);
SELECT refused($$ SELECT cloudsync_track('pg_class', 'file') $$);
SELECT refused($$ SELECT cloudsync_track('cloudsync.connection', 'file') $$);
SELECT refused($$ SELECT cloudsync_track('dossier', 'file', label => 'id') $$);
SELECT refused($$ SELECT cloudsync_untrack('other_dossier') $$);
SELECT refused($$ SELECT cloudsync_untrack('dossier', 'unrelated') $$);
SELECT refused($$ SELECT cloudsync_touch('other_dossier', '1') $$);
SELECT refused($$ SELECT cloudsync_touch('dossier', '99') $$);
SELECT refused($$ SELECT cloudsync_touch('dossier', 'one') $$);
SELECT refused($$ SELECT cloudsync_touch('dossier', NULL) $$);
BEGIN READ ONLY;
SELECT cloudsync_touch('dossier', '1');
ROLLBACK;
BEGIN READ ONLY;
SELECT cloudsync_resync('dossier');
ROLLBACK;
SELECT refused($$ SELECT cloudsync_resync('other_dossier') $$);

-- push settings (P2 to P10)
SELECT refused($$ SELECT cloudsync_set_push('nobody') $$);
SELECT refused($$ SELECT cloudsync_set_push(NULL) $$);
SELECT refused($$ SELECT cloudsync_set_push('Drive', every => '0') $$);
SELECT refused($$ SELECT cloudsync_set_push('Drive', every => '-15 minutes') $$);
SELECT refused($$ SELECT cloudsync_set_push('Drive', every => '900 ms') $$);
SELECT refused($$ SELECT cloudsync_set_push('Drive', every => '1000 years') $$);
SELECT refused($$ SELECT cloudsync_set_push('Drive', time_zone => 'Mars/Olympus') $$);
SELECT refused($$ SELECT cloudsync_set_push('Drive', time_zone => '') $$);
SELECT refused($$ SELECT cloudsync_set_push('Drive', on_conflict => 'shrug') $$);
SELECT refused($$ SELECT cloudsync_set_push('Drive', on_delete => 'shred') $$);
SELECT refused($$ SELECT cloudsync_set_push('Drive', root => '') $$);
SELECT refused($$ SELECT cloudsync_set_push('Drive', root => '/') $$);
SELECT refused($$ SELECT cloudsync_set_push('Drive', root => '../x') $$);
SELECT refused($$ SELECT cloudsync_set_push('Drive', root => E'a\tb') $$);
SELECT refused($$ SELECT cloudsync_set_push('Drive', root => repeat('x', 256)) $$);
SELECT refused($$ SELECT cloudsync_set_push('Drive', folder => '{nothing}') $$);
SELECT refused($$ SELECT cloudsync_set_push('Drive', folder => '{title') $$);
SELECT refused($$ SELECT cloudsync_set_procedure_folder('nobody', 'Sale', 'Sales') $$);
SELECT refused($$ SELECT cloudsync_set_procedure_folder('Drive', NULL, 'Sales') $$);
SELECT refused($$ SELECT cloudsync_set_procedure_folder('Drive', repeat('x', 10000000), 'Sales') $$);
SELECT refused($$ SELECT * FROM cloudsync_check(NULL) $$);
SELECT refused($$ SELECT * FROM cloudsync_browse(NULL) $$);
SELECT refused($$ SELECT cloudsync_register_app('dropbox', 'id', options => '[]') $$);
SELECT refused($$ SELECT cloudsync_set_procedure_folder('Drive', 'Sale', '/') $$);
SELECT refused($$ SELECT cloudsync_set_procedure_folder('Drive', 'Sale', 'a/../..') $$);

-- work on what is not there (P3, H1)
SELECT refused($$ SELECT cloudsync_push_dossier('99') $$);
SELECT refused($$ SELECT cloudsync_push_dossier('one') $$);
SELECT refused($$ SELECT cloudsync_push_dossier(NULL::text) $$);
SELECT refused($$ SELECT cloudsync_push_dossier('1', 'nobody') $$);
SELECT refused($$ SELECT cloudsync_push_dossier(1, dossiers => 'other_dossier') $$);
SELECT refused($$ SELECT cloudsync_plan('nobody') $$);
SELECT refused($$ SELECT cloudsync_plan('Drive', '99') $$);
SELECT refused($$ SELECT cloudsync_confirm_trash('nobody') $$);
SELECT refused($$ SELECT cloudsync_cancel(99) $$);
SELECT refused($$ SELECT cloudsync_retry(99) $$);
SELECT refused($$ SELECT cloudsync_lag('nobody') $$);

SELECT everything() = :'before' AS nothing_changed;

-- settings of the server
SET cloudsync.max_workers = 5;
ALTER SYSTEM SET cloudsync.local_root = 'relative';
ALTER SYSTEM SET cloudsync.conflict_name = 'a/b';
ALTER SYSTEM SET cloudsync.conflict_name = '';
ALTER SYSTEM SET cloudsync.max_workers = 0;

SELECT cloudsync_untrack('dossier');
DROP EXTENSION cloudsync;
