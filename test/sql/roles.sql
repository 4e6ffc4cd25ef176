-- Where the extension may be created, for whom a session acts, and what it
-- sees: spec 2, S2, S3.
\set VERBOSITY default
\set SHOW_CONTEXT never
SET client_min_messages = warning;

-- the functions' schema
CREATE SCHEMA cloudsync;
CREATE EXTENSION cloudsync SCHEMA cloudsync;
CREATE EXTENSION cloudsync SCHEMA public;
DROP SCHEMA cloudsync;
CREATE SCHEMA "Any One";
GRANT CREATE ON SCHEMA "Any One" TO PUBLIC;
CREATE EXTENSION cloudsync SCHEMA "Any One";
SELECT "Any One".cloudsync_lag() = '0';
DROP EXTENSION cloudsync;
REVOKE CREATE ON SCHEMA "Any One" FROM PUBLIC;
CREATE EXTENSION cloudsync SCHEMA "Any One";
DROP EXTENSION cloudsync;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
-- held, so that no worker touches what is put here
BEGIN;
CREATE EXTENSION cloudsync SCHEMA public;
UPDATE cloudsync.home SET suspended_at = now(), suspended_by = 'the test';
COMMIT;
SELECT r.rolname, r.rolcanlogin, r.rolsuper,
       ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid) AS member_of
    FROM pg_roles r WHERE r.rolname LIKE 'cloudsync%' ORDER BY 1;

-- sessions
CREATE ROLE regress_admin LOGIN IN ROLE cloudsync_admin;
CREATE ROLE regress_operator LOGIN IN ROLE cloudsync_operator;
CREATE ROLE regress_reader LOGIN IN ROLE cloudsync_reader;
CREATE ROLE regress_clerk LOGIN IN ROLE cloudsync_operator;
CREATE ROLE regress_app LOGIN IN ROLE cloudsync_admin, cloudsync_app;
CREATE ROLE regress_person LOGIN IN ROLE cloudsync_reader;
INSERT INTO cloudsync.role_tenant VALUES ('regress_clerk', 'aaa');
CREATE FUNCTION pg_temp.me() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    tenant text;
BEGIN
    BEGIN
        tenant := quote_literal(cloudsync.tenant());
    EXCEPTION WHEN insufficient_privilege THEN
        tenant := 'error: ' || SQLERRM;
    END;
    RETURN format('tenant %s, user %s, all %s, sees none %s aaa %s bbb %s', tenant, cloudsync.acting_user(),
        cloudsync.sees_all(), cloudsync.sees(''), cloudsync.sees('aaa'), cloudsync.sees('bbb'));
END $$;
GRANT USAGE ON SCHEMA cloudsync TO PUBLIC;
SELECT pg_temp.me();
SET cloudsync.tenant = 'aaa';
SET cloudsync."user" = 'alice';
SELECT pg_temp.me();
-- not a member of cloudsync_app: the settings mean nothing
SET ROLE regress_admin;
SELECT pg_temp.me();
SET ROLE regress_operator;
SELECT pg_temp.me();
SET ROLE regress_reader;
SELECT pg_temp.me();
-- its own entry decides, whatever it sets
SET ROLE regress_clerk;
SET cloudsync.tenant = 'bbb';
SELECT pg_temp.me();
-- the application's role
SET ROLE regress_app;
SELECT pg_temp.me();
RESET cloudsync."user";
SELECT pg_temp.me();
RESET cloudsync.tenant;
SELECT pg_temp.me();
RESET ROLE;
-- a role's entry counts from the next statement on
UPDATE cloudsync.role_tenant SET tenant = 'bbb' WHERE role = 'regress_clerk';
SET ROLE regress_clerk;
SELECT pg_temp.me();
RESET ROLE;
UPDATE cloudsync.role_tenant SET tenant = 'aaa' WHERE role = 'regress_clerk';

-- two tenants, and one without; everything of the second is marked bbb
INSERT INTO cloudsync.account (tenant, provider, account)
    SELECT t, 'local', '/' || t FROM unnest(ARRAY['aaa', 'bbb', '']) t;
INSERT INTO cloudsync.connection (tenant, name, provider, account_id, state, created_by, reason)
    SELECT a.tenant, 'Drive', 'local', a.account_id, 'active', 'by ' || a.tenant, a.tenant FROM cloudsync.account a;
INSERT INTO cloudsync.destination (account_id, root, connection_id)
    SELECT a.account_id, 'root ' || a.tenant, c.connection_id FROM cloudsync.account a JOIN cloudsync.connection c USING (account_id);
INSERT INTO cloudsync.push_setting
    SELECT d.connection_id, d.destination_id, false, d.root, '{dossier_label}', '15 min', 'keep_both', 'keep', false, 'UTC'
    FROM cloudsync.destination d;
INSERT INTO cloudsync.procedure_folder SELECT c.connection_id, 'proc', '/' || c.tenant FROM cloudsync.connection c;
CREATE TABLE dossier (id text PRIMARY KEY, tenant text);
INSERT INTO dossier SELECT 'never ' || t, t FROM unnest(ARRAY['aaa', 'bbb', '']) t;
CREATE TABLE file (id integer PRIMARY KEY, dossier_id text REFERENCES dossier, name text, content bytea);
SELECT cloudsync_track('dossier', 'file', tenant => 'tenant');
INSERT INTO cloudsync.due (connection_id, dossiers_id, dossier, changed_at, start_at, due_at, attempts, last_error)
    SELECT c.connection_id, 1, 'due ' || c.tenant, now() - interval '1 hour', now(), now(), 1, 'failed for ' || c.tenant FROM cloudsync.connection c;
INSERT INTO cloudsync.pushed_dossier (destination_id, dossiers_id, dossier, folder, folder_key, wanted, state)
    SELECT d.destination_id, 1, 'pushed ' || d.root, d.root, d.root, d.root, 'synced' FROM cloudsync.destination d;
INSERT INTO cloudsync.pushed_file (destination_id, dossiers_id, dossier, source_id, file_key, path, path_key, state, next_try_at, last_error)
    SELECT d.destination_id, 1, 'pushed ' || d.root, 1, '1', d.root, d.root, 'failed', now(), 'bad ' || d.root FROM cloudsync.destination d;
INSERT INTO cloudsync.recipient (tenant, name, created_by) SELECT a.tenant, 'for ' || a.tenant, 'x' FROM cloudsync.account a;
INSERT INTO cloudsync.channel (tenant, connection_id, name, recipient, binder, auto_collect, collect_every, collect_at, time_zone,
        recursive, include, exclude, dedup, after_collect, created_by, next_collect_at)
    SELECT c.tenant, c.connection_id, 'Scans', 'for ' || c.tenant, 'binder ' || c.tenant, true, '1 day', '02:00', 'UTC', true, '{}', '{}',
           'content', 'keep', 'x', now() - interval '1 day'
    FROM cloudsync.connection c;
INSERT INTO cloudsync.channel_folder (channel_id, folder_no, path, state, last_error)
    SELECT h.channel_id, 1, '/' || h.tenant, 'failed', h.tenant FROM cloudsync.channel h;
INSERT INTO cloudsync.item (connection_id, channel_id, folder_no, path, name, kind, state, reason, listing)
    SELECT h.connection_id, h.channel_id, 1, '/' || h.tenant || '/x', 'x', 'file', s, h.tenant, 1
    FROM cloudsync.channel h, unnest(ARRAY['failed']) s;
INSERT INTO cloudsync.run (tenant, kind, connection_id, channel_id, origin, requested_by, state, started_at, finished_at, error)
    SELECT h.tenant, 'collect', h.connection_id, h.channel_id, 'manual', 'by ' || h.tenant, 'failed', now(), now(), h.tenant FROM cloudsync.channel h;
INSERT INTO cloudsync.run_file (run_id, connection_id, action, path)
    SELECT r.run_id, r.connection_id, 'create', '/' || r.tenant FROM cloudsync.run r;
INSERT INTO cloudsync.document (tenant, account_id, connection_id, channel_id, run_id, name, size, sha256, media_type, remote_path, recipient, binder)
    SELECT h.tenant, c.account_id, h.connection_id, h.channel_id, 1, n || ' ' || h.tenant, 3, '\x00', 'text/plain', '/x', r, 'b'
    FROM cloudsync.channel h JOIN cloudsync.connection c USING (connection_id),
         (VALUES ('doc one', 'regress_person'), ('doc two', 'alice')) v (n, r);
SELECT cloudsync.note(a.tenant, 'test', 'of ' || a.tenant, NULL, '{}') FROM cloudsync.account a;

-- how many rows of each tenant a session sees, in every view and table it may read
CREATE FUNCTION pg_temp.seen() RETURNS TABLE (what text, aaa bigint, bbb bigint, neither bigint) LANGUAGE plpgsql AS $$
DECLARE
    relation regclass;
BEGIN
    FOR relation IN SELECT c.oid FROM pg_class c
                    WHERE c.relnamespace = 'cloudsync'::regnamespace AND c.relkind IN ('r', 'v')
                      AND has_table_privilege(c.oid, 'SELECT') AND c.relname NOT IN ('providers', 'activity')
                    ORDER BY c.relname COLLATE "C" LOOP
        what := relation;
        EXECUTE format('SELECT count(*) FILTER (WHERE t LIKE ''%%aaa%%''), count(*) FILTER (WHERE t LIKE ''%%bbb%%''),
            count(*) FILTER (WHERE t NOT LIKE ''%%aaa%%'' AND t NOT LIKE ''%%bbb%%'') FROM (SELECT r::text AS t FROM %s r) r', relation)
            INTO aaa, bbb, neither;
        RETURN NEXT;
    END LOOP;
    what := 'cloudsync_status';
    SELECT count(*) FILTER (WHERE s::text LIKE '%aaa%'), count(*) FILTER (WHERE s::text LIKE '%bbb%'),
           count(*) FILTER (WHERE s::text NOT LIKE '%aaa%' AND s::text NOT LIKE '%bbb%')
        INTO aaa, bbb, neither FROM cloudsync_status() s WHERE subject LIKE 'c%';
    RETURN NEXT;
END $$;
SET cloudsync.tenant = 'aaa';
SET ROLE regress_app;
SELECT * FROM pg_temp.seen();
RESET cloudsync.tenant;
SELECT * FROM pg_temp.seen();
SET ROLE regress_clerk;
SELECT * FROM pg_temp.seen();
SET ROLE regress_admin;
SELECT * FROM pg_temp.seen();
-- a tenant's administrator cannot say whose tenant a role is
SET ROLE regress_app;
SET cloudsync.tenant = 'aaa';
INSERT INTO cloudsync.role_tenant VALUES ('regress_app', 'bbb');
UPDATE cloudsync.role_tenant SET tenant = 'bbb';
DELETE FROM cloudsync.role_tenant;
RESET cloudsync.tenant;
SET ROLE regress_admin;
INSERT INTO cloudsync.role_tenant VALUES ('regress_reader', 'bbb');
SET ROLE regress_reader;
SELECT * FROM pg_temp.seen() WHERE what IN ('cloudsync.connections', 'cloudsync.inbox', 'cloudsync.history');

-- the inbox: an operator sees the tenant's, a reader what is for them
SET ROLE regress_operator;
SELECT name, recipient FROM cloudsync.inbox ORDER BY 1;
SET ROLE regress_person;
SELECT name, recipient FROM cloudsync.inbox ORDER BY 1;
SELECT name, recipient FROM cloudsync.document ORDER BY 1;
SELECT cloudsync_cancel(1);
RESET ROLE;
REVOKE cloudsync_admin FROM regress_app;
GRANT cloudsync_reader TO regress_app;
SET ROLE regress_app;
SET cloudsync.tenant = 'aaa';
SET cloudsync."user" = 'alice';
SELECT name, recipient FROM cloudsync.inbox ORDER BY 1;
SET cloudsync."user" = 'regress_person';
SELECT name, recipient FROM cloudsync.inbox ORDER BY 1;
-- a person of an application is no other role, also where the application's role is
RESET ROLE;
GRANT regress_person TO regress_app;
SET ROLE regress_app;
SET cloudsync."user" = 'bob';
SELECT name, recipient FROM cloudsync.inbox ORDER BY 1;
RESET cloudsync."user";
SELECT name, recipient FROM cloudsync.inbox ORDER BY 1;
RESET ROLE;

-- somebody else's function with its owner's rights shows no more than the caller's
RESET cloudsync.tenant;
CREATE FUNCTION wrapper() RETURNS SETOF text SECURITY DEFINER LANGUAGE sql
    AS 'SELECT connection || '' '' || created_by FROM cloudsync.connections ORDER BY 1';
SELECT * FROM wrapper();
SET ROLE regress_clerk;
SELECT * FROM wrapper();
RESET ROLE;
-- in an operation where nobody can be trusted, nobody sees anything
CREATE MATERIALIZED VIEW nobody AS SELECT * FROM cloudsync.connections;
SELECT count(*) FROM nobody;
CREATE MATERIALIZED VIEW nobody_either AS SELECT cloudsync.tenant();
SELECT count(*) FROM cloudsync.connections;

-- a condition that tells what it sees is not shown other tenants' rows
CREATE FUNCTION pg_temp.tell(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001
    AS $$BEGIN RAISE WARNING 'seen: %', $1; RETURN true; END$$;
SET ROLE regress_clerk;
SELECT connection FROM cloudsync.connections WHERE pg_temp.tell(created_by);
SELECT name FROM cloudsync.recipients WHERE pg_temp.tell(name);
RESET ROLE;

-- the audit is changed by nobody
UPDATE cloudsync.audit SET actor = 'x';
DELETE FROM cloudsync.audit;
TRUNCATE cloudsync.audit;
SET session_replication_role = replica;
DELETE FROM cloudsync.audit;
RESET session_replication_role;

-- require_tenant: fails closed, and is the superuser's to set
ALTER ROLE regress_app SET cloudsync.require_tenant = on;
REVOKE cloudsync_reader FROM regress_app;
GRANT cloudsync_admin TO regress_app;
\c - regress_app
SET client_min_messages = warning;
SELECT cloudsync.sees(''), cloudsync.sees('aaa'), cloudsync.sees_all();
SELECT (SELECT count(*) FROM cloudsync.connections) AS connections, (SELECT count(*) FROM cloudsync.history) AS history,
       (SELECT count(*) FROM cloudsync.document) AS documents, (SELECT count(*) FROM cloudsync.audit) AS audit,
       (SELECT count(*) FROM cloudsync.role_tenant) AS role_tenant;
SELECT cloudsync.tenant();
SELECT cloudsync_disconnect('Drive');
SELECT * FROM cloudsync_connect('local', 'New');
SET cloudsync.require_tenant = off;
SET cloudsync.tenant = 'aaa';
SELECT connection, created_by FROM cloudsync.connections;
SELECT cloudsync_disable('Drive'), cloudsync_enable('Drive');
\c - postgres
SET client_min_messages = warning;
SELECT tenant, state FROM cloudsync.connection ORDER BY 1;
SELECT tenant, actor, role, action, subject FROM cloudsync.audit WHERE action IN ('disable', 'enable');

DROP FUNCTION wrapper;
DROP MATERIALIZED VIEW nobody;
DROP EXTENSION cloudsync;
DROP OWNED BY regress_admin, regress_operator, regress_reader, regress_clerk, regress_app, regress_person;
DROP ROLE regress_admin, regress_operator, regress_reader, regress_clerk, regress_app, regress_person;
