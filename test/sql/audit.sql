-- The audit is complete (H6): each public function that changes a connection, a
-- channel, a setting, a document, a limit, a recipient or an application leaves a
-- line, and none when it changes nothing. A function that is added later shows
-- here as one without a call.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION cloudsync SCHEMA public;
CREATE ROLE regress_audit_admin LOGIN IN ROLE cloudsync_admin;
CREATE ROLE regress_audit_acme LOGIN IN ROLE cloudsync_admin;
CREATE ROLE regress_audit_op LOGIN IN ROLE cloudsync_operator;
GRANT CREATE ON SCHEMA public TO regress_audit_admin;
SET ROLE regress_audit_admin;
CREATE TABLE dossier (id text PRIMARY KEY, title text, firm text);
CREATE TABLE paper (id bigint PRIMARY KEY, dossier_id text REFERENCES dossier, name text, content bytea);
INSERT INTO dossier VALUES ('d1', 'One', NULL);
CREATE FUNCTION on_document(bigint) RETURNS void LANGUAGE sql AS 'SELECT 1';
RESET ROLE;

-- whom a role acts for, though written directly
SET ROLE regress_audit_admin;
INSERT INTO cloudsync.role_tenant VALUES ('regress_audit_acme', 'other');
UPDATE cloudsync.role_tenant SET tenant = 'acme' WHERE role = 'regress_audit_acme';
INSERT INTO cloudsync.role_tenant VALUES ('somebody', 'x');
DELETE FROM cloudsync.role_tenant WHERE role = 'somebody';
-- behind a statement that begins as a dump's do
SET SESSION AUTHORIZATION regress_audit_admin;
COPY (SELECT 'a dump') TO STDOUT \; INSERT INTO cloudsync.role_tenant VALUES ('hidden', 'x') \; DELETE FROM cloudsync.role_tenant WHERE role = 'hidden';
RESET SESSION AUTHORIZATION;
-- a superuser too, who is not restoring a dump; and what a dump's beginning does not cover
COPY cloudsync.role_tenant FROM STDIN;
by hand	x
\.
COPY (SELECT 'x') TO STDOUT \; UPDATE cloudsync.role_tenant SET tenant = 'y' WHERE role = 'by hand';
SET check_function_bodies = off;
DELETE FROM cloudsync.role_tenant WHERE role = 'by hand';
RESET check_function_bodies;
SET ROLE regress_audit_admin;
SELECT actor, action, subject, before, after FROM cloudsync.audit ORDER BY audit_id;
RESET ROLE;

-- What there is to change. Nothing is done about it: the database is at rest.
SELECT cloudsync_suspend();
CREATE FUNCTION put(id bigint) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
    INSERT INTO cloudsync.document (document_id, tenant, account_id, connection_id, channel_id, run_id, name, size, sha256, media_type,
            remote_path, recipient, binder, ocr_state, content_id)
        SELECT id, '', c.account_id, c.connection_id, h.channel_id, 0, 'f', 1, '', 'text/plain', '/In/f', 'ann', 'B', 'failed', id
        FROM cloudsync.connection c JOIN cloudsync.channel h USING (connection_id) LIMIT 1;
    INSERT INTO cloudsync.item (connection_id, channel_id, folder_no, path, name, kind, state, document_id, listing)
        SELECT h.connection_id, h.channel_id, 1, '/In/f' || id, 'f', 'file', 'collected', id, 1 FROM cloudsync.channel h LIMIT 1;
$$;
CREATE FUNCTION put_trash() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO cloudsync.pushed_file (destination_id, dossiers_id, dossier, source_id, file_key, state)
        SELECT p.destination_id, s.dossiers_id, 'd1', s.source_id, '1', 'to_trash' FROM cloudsync.push_setting p, cloudsync.source s;
END
$$;
-- Calls in their order, each twice: what it does is noted the first time. again is
-- what the second time notes, where the same call does something once more.
CREATE TABLE call (n serial, statement text, again integer NOT NULL DEFAULT 0);
INSERT INTO call (statement, again) VALUES
    ($$cloudsync_register_app('dropbox', 'client', 'S3CRET-app')$$, 0),
    ($$cloudsync_connect('local', 'disk', options => '{"path": "audit"}')$$, 0),
    ($$cloudsync_connect('webdav', 'dav', '{"username": "u", "password": "S3CRET-dav"}', '{"endpoint": "https://cloud.example.com:1/"}')$$, 0),
    ($$cloudsync_connect('webdav', 'dav', '{"username": "u", "password": "S3CRET-new"}', '{"endpoint": "https://cloud.example.com:1/"}')$$, 0),
    ($$cloudsync_disable('disk')$$, 0),
    ($$cloudsync_enable('disk')$$, 0),
    ($$cloudsync_set_limits('disk', 1000, 5, NULL)$$, 0),
    ($$cloudsync_rotate_key()$$, 1),
    ($$cloudsync_add_recipient('ann', 'ann@example.com')$$, 0),
    ($$cloudsync_add_recipient('ann', external => true)$$, 0),
    ($$cloudsync_create_channel('disk', 'mail', '{/In,/Scans}', 'ann', 'B', auto_collect => false)$$, 0),
    ($$cloudsync_alter_channel('mail', binder => 'C')$$, 0),
    ($$cloudsync_set_auto_sync('mail', true)$$, 0),
    ($$cloudsync_on_document('on_document')$$, 0),
    ($$cloudsync_track('dossier', 'paper', label => 'title')$$, 0),
    ($$cloudsync_set_push('disk', auto_sync => false)$$, 0),
    ($$cloudsync_set_procedure_folder('disk', 'divorce', 'Divorces')$$, 0),
    ($$put_trash()$$, 0),
    ($$cloudsync_confirm_trash('disk')$$, 0),
    ($$cloudsync_cancel((SELECT min(cloudsync_push_dossier) FROM cloudsync_push_dossier('d1', 'disk')))$$, 1),
    ($$put(1), put(2), put(3)$$, 0),
    ($$cloudsync_file_document(1)$$, 0),
    ($$cloudsync_file_document(1, 'd1')$$, 0),
    ($$cloudsync_file_document(2, 7)$$, 0),
    ($$cloudsync_file_document(3, '6f1b9b6e-0b5f-4c47-9f3e-0d8d5b9b7a01'::uuid)$$, 0),
    ($$cloudsync_assign_document(1, 'ann')$$, 0),
    ($$cloudsync_reject_document(1, 'not ours')$$, 0),
    ($$cloudsync_retry_ocr(1)$$, 0),
    ($$cloudsync_recollect(2)$$, 1),
    ($$cloudsync_forget(2, 'by letter')$$, 0),
    ($$cloudsync_delete_channel('mail')$$, 0),
    ($$cloudsync_untrack('dossier', 'paper')$$, 0),
    ($$cloudsync_disconnect('disk')$$, 0),
    ($$cloudsync_resume()$$, 0),
    ($$cloudsync_suspend()$$, 0),
    ($$cloudsync_detach()$$, 1);
GRANT SELECT ON call TO regress_audit_admin;
CREATE FUNCTION noted(statement text, OUT lines bigint, OUT actions text, OUT said text) LANGUAGE plpgsql AS $$
DECLARE
    last_id bigint := coalesce((SELECT max(audit_id) FROM cloudsync.audit), 0);
BEGIN
    BEGIN
        EXECUTE 'SELECT ' || statement;
    EXCEPTION WHEN OTHERS THEN
        said := SQLERRM;
    END;
    SELECT count(*), string_agg(a.action || ' ' || a.subject, ', ' ORDER BY a.audit_id) INTO lines, actions
        FROM cloudsync.audit a WHERE a.audit_id > last_id;
END
$$;
CREATE FUNCTION all_calls() RETURNS TABLE (statement text, noted text, again text) LANGUAGE plpgsql AS $$
DECLARE
    c call;
    first record;
    second record;
BEGIN
    SET LOCAL client_min_messages = error;
    FOR c IN SELECT * FROM call ORDER BY n LOOP
        IF c.statement ~ '^put' THEN
            EXECUTE 'SELECT ' || c.statement;
            CONTINUE;
        END IF;
        first := noted(c.statement);
        second := noted(c.statement);
        statement := regexp_replace(c.statement, '\(.*', '');
        noted := coalesce(first.said, first.lines || ': ' || first.actions, 'nothing');
        again := coalesce(second.said, CASE WHEN second.lines = c.again THEN second.lines::text ELSE 'unexpected: ' || second.actions END);
        RETURN NEXT;
    END LOOP;
END
$$;
SET ROLE regress_audit_admin;
SELECT * FROM all_calls();
RESET ROLE;

-- consent: asked for, and what the person said (given: t/100_oauth.pl)
SELECT cloudsync_resume();
SELECT substring(authorize_url FROM 'state=([0-9a-f]+)') AS state FROM cloudsync_connect('dropbox', 'box', options => '{"redirect_uri": "https://app.example.com/back"}') \gset
SELECT * FROM cloudsync_authorize('https://app.example.com/back?error=access_denied&state=' || :'state');
SELECT action, subject, after ->> 'consent' AS consent FROM cloudsync.audit ORDER BY audit_id DESC LIMIT 1;

INSERT INTO call (statement) VALUES ('cloudsync_authorize()');

-- Functions that may change something and were not called: what they do is work, which the
-- history shows with who asked for it, or nothing that stays.
SELECT p.oid::regprocedure AS not_called
    FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'cloudsync'
    WHERE p.pronamespace = 'public'::regnamespace AND p.provolatile = 'v'
      AND NOT EXISTS (SELECT FROM call c WHERE c.statement ~ ('^' || p.proname || '\('))
    ORDER BY p.oid::regprocedure::text COLLATE "C";

-- no secret in it
SELECT count(*) FROM cloudsync.audit a WHERE a::text ~ 'S3CRET|access_denied=';
-- who reads it: administrators, their tenant's
SET ROLE regress_audit_acme;
SELECT action, subject FROM cloudsync.audit;
SELECT count(cloudsync_add_recipient('zoe')) FROM generate_series(1, 1);
SELECT tenant, actor, action, subject FROM cloudsync.audit;
INSERT INTO cloudsync.audit (tenant, actor, role, action, subject) VALUES ('acme', 'x', 'x', 'x', 'x');
UPDATE cloudsync.audit SET actor = 'x';
DELETE FROM cloudsync.audit;
RESET ROLE;
SET ROLE regress_audit_op;
SELECT count(*) FROM cloudsync.audit;
RESET ROLE;
-- who changes it: nobody, not the owner either, nor a superuser who replicates
UPDATE cloudsync.audit SET actor = 'x';
DELETE FROM cloudsync.audit;
TRUNCATE cloudsync.audit;
SET session_replication_role = replica;
DELETE FROM cloudsync.audit WHERE audit_id = 1;
UPDATE cloudsync.audit SET actor = 'x' WHERE false;
RESET session_replication_role;

DROP EXTENSION cloudsync;
DROP OWNED BY regress_audit_admin, regress_audit_acme, regress_audit_op;
DROP ROLE regress_audit_admin, regress_audit_acme, regress_audit_op;
