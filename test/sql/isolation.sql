-- No function shows or changes what is another tenant's: to a session of tenant
-- "aaa" what belongs to "bbb" does not exist (S2).
\set SHOW_CONTEXT never
SET client_min_messages = warning;
-- held, so that no worker touches what is put here
BEGIN;
CREATE EXTENSION cloudsync SCHEMA public;
UPDATE cloudsync.home SET suspended_at = now(), suspended_by = 'the test';
COMMIT;
CREATE ROLE regress_app LOGIN IN ROLE cloudsync_admin, cloudsync_app;
CREATE ROLE regress_reader LOGIN IN ROLE cloudsync_reader;
CREATE ROLE regress_group;
GRANT regress_group TO regress_reader;
SET cloudsync.tenant = 'bbb';
SELECT state FROM cloudsync_connect('local', 'Drive');
SELECT cloudsync_add_recipient('bob') IS NOT NULL AS recipient;
INSERT INTO cloudsync.content (connection_id) VALUES (1), (1);
INSERT INTO cloudsync.chunk VALUES (1, 0, 'one'), (2, 0, 'two');
INSERT INTO cloudsync.document (tenant, account_id, connection_id, channel_id, run_id, name, size, sha256, media_type, remote_path, recipient, binder, content_id)
    VALUES ('bbb', 1, 1, 1, 1, 'one', 3, '\x00', 'text/plain', '/x', 'bob', 'b', 1),
           ('', 1, 1, 1, 1, 'two', 3, '\x00', 'text/plain', '/x', 'bob', 'b', 2),
           ('', 1, 1, 1, 1, 'three', 3, '\x00', 'text/plain', '/x', 'regress_group', 'b', 2);
INSERT INTO cloudsync.run (tenant, kind, connection_id, origin, requested_by, state) VALUES
    ('bbb', 'prepare', 1, 'manual', 'x', 'queued'), ('bbb', 'prepare', 1, 'manual', 'x', 'failed');

SET ROLE regress_app;
SELECT cloudsync_content(1);
SET cloudsync.tenant = 'aaa';
SELECT cloudsync_content(1);
SELECT cloudsync_read(1, 0, 1);
SELECT cloudsync_recollect(1);
SELECT cloudsync_progress(1);
SELECT cloudsync_cancel(1);
SELECT cloudsync_retry(2);
CALL cloudsync_wait(1);
SELECT cloudsync_lag('Drive');
SELECT * FROM cloudsync_check('Drive');
SELECT * FROM cloudsync_browse('Drive');
SELECT cloudsync_disconnect('Drive');
SELECT cloudsync_disable('Drive');
SELECT cloudsync_enable('Drive');
SELECT cloudsync_set_limits('Drive', 1, 1, 1);
SELECT cloudsync_set_push('Drive');
SELECT cloudsync_set_procedure_folder('Drive', 'p', 'f');
SELECT cloudsync_push_dossier('1', 'Drive');
SELECT * FROM cloudsync_plan('Drive');
SELECT cloudsync_confirm_trash('Drive');
SELECT cloudsync_create_channel('Drive', 'x', '{/a}', 'bob', 'b');
-- the server's own matters are not a tenant's
SELECT cloudsync_suspend();
SELECT cloudsync_resume();
SELECT cloudsync_detach();
SELECT cloudsync_start_worker();
SELECT cloudsync_track('pg_class', 'pg_class');
-- its own connection of the same name is another one
SELECT connection_id, state FROM cloudsync_connect('local', 'Drive');
SELECT connection_id, connection FROM cloudsync.connections;

-- a reader reads what is for them, by name or by a role they have
RESET cloudsync.tenant;
SET ROLE regress_reader;
SELECT document_id FROM cloudsync.document ORDER BY 1;
SELECT cloudsync_content(2);
SELECT cloudsync_content(3);
RESET ROLE;
SELECT connection_id, tenant, state, bytes_per_second FROM cloudsync.connection ORDER BY 1;
SELECT run_id, state, cancel_requested FROM cloudsync.run ORDER BY 1;
DROP EXTENSION cloudsync;
DROP ROLE regress_app, regress_reader, regress_group;
