-- A session with a tenant sees its own and nothing else (S2), proved over all that
-- the catalogs name: of every view (and table that may be read) each row says in
-- its text whose it is, and each function that takes a name or a key answers to
-- another tenant's as to one that does not exist. A view or function that is
-- added later shows here as one without rows or without a call.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION cloudsync SCHEMA public;
CREATE ROLE regress_two_app LOGIN IN ROLE cloudsync_admin, cloudsync_app;
INSERT INTO cloudsync.role_tenant VALUES ('of aaa', 'aaa'), ('of bbb', 'bbb');
CREATE TABLE dossier (id text PRIMARY KEY, title text, firm text NOT NULL, procedure text);
CREATE TABLE paper (id bigint PRIMARY KEY, dossier_id text REFERENCES dossier, name text, content bytea);
ALTER TABLE paper ALTER content SET STORAGE EXTERNAL;
SELECT cloudsync_track('dossier', 'paper', label => 'title', tenant => 'firm', procedure => 'procedure') > 0 AS tracked;
INSERT INTO dossier SELECT k, k || ' of ' || f, f, 'proc of ' || f
    FROM (VALUES ('aaa'), ('bbb')) t (f), unnest(ARRAY[f || '-1', f || '-gone', f || '-large', f || '-never']) k;
INSERT INTO paper SELECT row_number() OVER (ORDER BY id), id, id || '.txt',
        convert_to(CASE WHEN id ~ 'large' THEN repeat(id, 500000) ELSE 'text of ' || id END, 'UTF8')
    FROM dossier WHERE id !~ 'never';
-- keys of the other types that cloudsync_push_dossier takes
INSERT INTO dossier VALUES ('2002', 'bbb number', 'bbb'), ('6f1b9b6e-0b5f-4c47-9f3e-0d8d5b9b7a01', 'bbb uuid', 'bbb');

-- each tenant: a connection, to which it pushes and from which it collects
SET cloudsync.tenant = 'aaa';
\set connection 'drive of aaa'
\set mark aaa
\i sql/include/tenant.sql
SET cloudsync.tenant = 'bbb';
\set connection 'drive of bbb'
\set mark bbb
\i sql/include/tenant.sql
RESET cloudsync.tenant;
-- what was pushed and is in the table no more is still its tenant's
DELETE FROM paper WHERE dossier_id ~ 'gone';
DELETE FROM dossier WHERE id ~ 'gone';

-- both have a run under way, which waits until its file has been still for long:
-- a worker that is started after the setting was changed knows of it
SELECT cloudsync_suspend();
ALTER SYSTEM SET cloudsync.stability_delay = '5min';
SELECT pg_reload_conf();
DO $$
DECLARE
    firm text;
BEGIN
    FOR i IN 1..6000 LOOP
        PERFORM pg_stat_clear_snapshot();
        EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'cloudsync worker');
        PERFORM pg_sleep(0.01);
    END LOOP;
    PERFORM cloudsync_resume();
    FOREACH firm IN ARRAY '{aaa,bbb}'::text[] LOOP
        EXECUTE format('COPY (SELECT 1) TO %L', current_setting('cloudsync.local_root') || format('/%1$s/Out %1$s/new of %1$s.txt', firm));
        PERFORM set_config('cloudsync.tenant', firm, true), cloudsync_collect('mail of ' || firm);
    END LOOP;
END
$$;
DO $$
BEGIN
    FOR i IN 1..6000 LOOP
        EXIT WHEN (SELECT count(DISTINCT connection_id) = 2 FROM cloudsync.activity);
        PERFORM pg_sleep(0.01);
    END LOOP;
END
$$;
-- tables of which somebody may be granted more later have their policy already
DO $$
DECLARE
    one regclass;
BEGIN
    FOR one IN SELECT DISTINCT polrelid FROM pg_policy LOOP
        EXECUTE format('GRANT SELECT ON %s TO regress_two_app', one);
    END LOOP;
END
$$;
-- The rows of everything that may be read in schema cloudsync, as whoever calls
-- this: those that bear the mark, and those that do not.
CREATE FUNCTION rows_of(mark text, OUT relation name, OUT own bigint, OUT others bigint) RETURNS SETOF record
    LANGUAGE plpgsql AS $$
BEGIN
    FOR relation IN SELECT c.relname FROM pg_class c
                    WHERE c.relnamespace = 'cloudsync'::regnamespace AND c.relkind IN ('v', 'm', 'r', 'p', 'f')
                      AND has_table_privilege('regress_two_app', c.oid, 'SELECT')
                    ORDER BY c.relname COLLATE "C" LOOP
        EXECUTE format('SELECT count(*) FILTER (WHERE t::text ~ $1), count(*) FILTER (WHERE t::text !~ $1) FROM cloudsync.%I t', relation)
            INTO own, others USING mark;
        RETURN NEXT;
    END LOOP;
END
$$;

-- what says of no row whose it is: these are nobody's (all others have rows of both)
SELECT a.relation, a.own AS of_aaa, b.own AS of_bbb
    FROM rows_of('aaa') a JOIN rows_of('bbb') b USING (relation) WHERE a.own = 0 OR b.own = 0;
-- and what has rows that are neither's
SELECT relation FROM rows_of('aaa|bbb') WHERE others > 0;

SET ROLE regress_two_app;
SET cloudsync.tenant = 'aaa';
SELECT relation, own > 0 AS own, others FROM rows_of('aaa');
SET cloudsync.tenant = 'bbb';
SELECT relation, own > 0 AS own, others FROM rows_of('bbb');
-- a tenant that has nothing, and none at all where there must be one
SET cloudsync.tenant = 'ccc';
SELECT relation, others FROM rows_of('ccc') WHERE own + others > 0;
RESET ROLE;
SET cloudsync.require_tenant = on;
RESET cloudsync.tenant;
SET ROLE regress_two_app;
SELECT relation, others FROM rows_of('ccc') WHERE own + others > 0;
RESET ROLE;
RESET cloudsync.require_tenant;

-- Functions: what each answers to what is another tenant's (%1$L) ...
CREATE TABLE call (theirs text, statement text);
INSERT INTO call SELECT 'drive of bbb', unnest(ARRAY[
    'cloudsync_browse(%1$L)', 'cloudsync_check(%1$L)', 'cloudsync_disconnect(%1$L)', 'cloudsync_disable(%1$L)',
    'cloudsync_enable(%1$L)', 'cloudsync_set_limits(%1$L, 1, 1, 1)', 'cloudsync_set_push(%1$L, auto_sync => false)',
    'cloudsync_set_procedure_folder(%1$L, ''p'', ''f'')', 'cloudsync_push_dossier(''aaa-1'', %1$L)', 'cloudsync_plan(%1$L)',
    'cloudsync_plan(%1$L, ''aaa-1'')', 'cloudsync_confirm_trash(%1$L)', 'cloudsync_lag(%1$L)',
    'cloudsync_create_channel(%1$L, ''x'', ''{/x}'', ''ann of aaa'', ''b'')']);
INSERT INTO call SELECT 'mail of bbb', unnest(ARRAY[
    'cloudsync_alter_channel(%1$L, binder => ''x'')', 'cloudsync_set_auto_sync(%1$L, true)', 'cloudsync_collect(%1$L)',
    'cloudsync_refresh_items(%1$L)', 'cloudsync_delete_channel(%1$L)']);
INSERT INTO call SELECT 'ann of bbb', unnest(ARRAY[
    'cloudsync_create_channel(''drive of aaa'', ''x'', ''{/x}'', %1$L, ''b'')', 'cloudsync_alter_channel(''mail of aaa'', recipient => %1$L)',
    'cloudsync_assign_document((SELECT min(document_id) FROM cloudsync.inbox), %1$L)']);
INSERT INTO call SELECT k, s FROM unnest('{bbb-1,bbb-gone,bbb-never}'::text[]) k, unnest(ARRAY[
    'cloudsync_touch(''dossier'', %1$L)', 'cloudsync_push_dossier(%1$L)', 'cloudsync_push_dossier(%1$L, dossiers => ''dossier'')',
    'cloudsync_push_dossier(%1$L, ''drive of aaa'')', 'cloudsync_plan(''drive of aaa'', %1$L)']) s;
INSERT INTO call VALUES ('2002', 'cloudsync_push_dossier(%1$s)'),
    ('6f1b9b6e-0b5f-4c47-9f3e-0d8d5b9b7a01', 'cloudsync_push_dossier(%1$L::uuid)');
INSERT INTO call SELECT r.run_id, s FROM (SELECT min(run_id), max(run_id) FROM cloudsync.run WHERE tenant = 'bbb') t (one, other),
    unnest(ARRAY[one, other]) r (run_id), unnest('{cloudsync_progress(%1$s),cloudsync_cancel(%1$s),cloudsync_retry(%1$s)}'::text[]) s;
INSERT INTO call SELECT d.document_id, s FROM (SELECT min(document_id) FROM cloudsync.document WHERE tenant = 'bbb') d (document_id),
    unnest(ARRAY['cloudsync_content(%1$s)', 'cloudsync_read(%1$s, 0, 1)', 'cloudsync_text(%1$s)', 'cloudsync_retry_ocr(%1$s)', 'cloudsync_recollect(%1$s)', 'cloudsync_file_document(%1$s)',
        'cloudsync_file_document(%1$s, 1)', 'cloudsync_file_document(%1$s, gen_random_uuid())', 'cloudsync_assign_document(%1$s, ''ann of aaa'')',
        'cloudsync_reject_document(%1$s, ''no'')', 'cloudsync_forget(%1$s, ''no'')']) s;
-- ... compared with what it answers to one of the same kind that is not there
CREATE FUNCTION answer(statement text, thing text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    detail text;
    hint text;
BEGIN
    EXECUTE 'SELECT * FROM ' || format(statement, thing);
    RAISE EXCEPTION 'it did it';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || regexp_replace(concat_ws('; ', ' ' || message, NULLIF(detail, ''), NULLIF(hint, '')),
        '\m' || thing || '\M', '...', 'g');
END
$$;
GRANT SELECT ON call TO regress_two_app;
SET ROLE regress_two_app;
SET cloudsync.tenant = 'aaa';
SELECT DISTINCT c.statement, split_part(a.answer, ';', 1) AS answer,
        a.answer = answer(c.statement, CASE WHEN c.theirs ~ '^\d+$' THEN '999999999' WHEN c.theirs ~ '^6f1b' THEN overlay(c.theirs PLACING '0' FROM 1 FOR 1)
                                            ELSE 'nothing' END) AS as_nothing
    FROM call c, LATERAL (SELECT answer(c.statement, c.theirs)) a ORDER BY 1, 2;
RESET ROLE;
-- procedures, which are not called from a function
SELECT min(run_id) AS run FROM cloudsync.run WHERE tenant = 'bbb' \gset
SET ROLE regress_two_app;
\set VERBOSITY sqlstate
CALL cloudsync_wait(:run);
CALL cloudsync_wait(ARRAY[:run]);
CALL cloudsync_wait(999999999);
\set VERBOSITY default
RESET ROLE;
RESET cloudsync.tenant;
-- functions that take such a name or key and were not called
SELECT DISTINCT p.oid::regprocedure AS not_called
    FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'cloudsync'
    WHERE p.pronamespace = 'public'::regnamespace AND p.proname <> 'cloudsync_wait'
      AND p.proargnames[1:p.pronargs] && '{connection,channel,dossier,recipient,run_id,run_ids,document_id}'
      AND NOT EXISTS (SELECT FROM call c WHERE c.statement ~ ('^' || p.proname || '\('));
-- nothing of theirs was changed
SELECT count(*) AS cancelled FROM cloudsync.run WHERE cancel_requested;
SELECT name, state, bytes_per_second FROM cloudsync.connection ORDER BY 1;
SELECT name, auto_collect, binder, recipient FROM cloudsync.channel ORDER BY 1;

SELECT tenant, state, recipient, content_id IS NOT NULL AS content FROM cloudsync.document ORDER BY 1;

-- what is looked for by name or words is one's own
INSERT INTO cloudsync.words SELECT d.document_id, d.tenant, d.recipient, cloudsync.words_of(d.name, 'letter to ' || d.tenant) FROM cloudsync.document d ON CONFLICT DO NOTHING;
SET ROLE regress_two_app;
SET cloudsync.tenant = 'aaa';
SELECT name, connection, channel, state FROM cloudsync_find('*') f ORDER BY 1;
SELECT name, connection, channel, state FROM cloudsync_find('letter to bbb.txt') f ORDER BY 1;
SELECT name FROM cloudsync_search('letter') ORDER BY 1;
SELECT name FROM cloudsync_search('bbb') ORDER BY 1;
SET cloudsync.tenant = 'bbb';
SELECT name, connection, channel, state FROM cloudsync_find('*') f ORDER BY 1;
SELECT name FROM cloudsync_search('letter') ORDER BY 1;
RESET ROLE;
RESET cloudsync.tenant;

-- what the state of things says of problems, when both have one of each kind
CREATE FUNCTION told(own text, other text) RETURNS TABLE (own_problems bigint, others bigint, lag interval) LANGUAGE sql AS $$
    SELECT count(*) FILTER (WHERE s::text ~ own), count(*) FILTER (WHERE s::text ~ other), date_trunc('year', justify_interval(cloudsync_lag()))
    FROM cloudsync_status() s
$$;
BEGIN;
INSERT INTO cloudsync.due (connection_id, dossiers_id, dossier, changed_at, start_at, due_at, attempts, last_error)
    SELECT c.connection_id, d.dossiers_id, c.tenant || k, now() - f, now() - interval '1 hour', now() - interval '1 hour', n, 'it failed'
    FROM cloudsync.connection c, cloudsync.dossier_table d, (VALUES ('-1', 0), ('-never', 1)) v (k, n),
        LATERAL (SELECT CASE c.tenant WHEN 'aaa' THEN interval '18 months' ELSE interval '42 months' END) a (f);
UPDATE cloudsync.pushed_file SET state = 'failed', next_try_at = now() + interval '1 hour', last_error = 'it failed' WHERE dossier ~ '-1';
UPDATE cloudsync.pushed_file SET state = 'to_trash' WHERE dossier ~ 'gone';
UPDATE cloudsync.channel SET auto_collect = true, next_collect_at = now() - interval '1 hour';
SAVEPOINT folders;
UPDATE cloudsync.channel_folder SET state = 'failed', last_error = 'it failed';
UPDATE cloudsync.item SET state = 'failed', reason = 'it failed';
SET LOCAL ROLE regress_two_app;
SET LOCAL cloudsync.tenant = 'aaa';
SELECT * FROM told('aaa', 'bbb');
SET LOCAL cloudsync.tenant = 'bbb';
SELECT * FROM told('bbb', 'aaa');
ROLLBACK TO folders;
UPDATE cloudsync.run r SET state = 'failed' FROM cloudsync.channel h WHERE r.run_id = h.last_run_id;
SET LOCAL ROLE regress_two_app;
SET LOCAL cloudsync.tenant = 'aaa';
SELECT * FROM told('aaa', 'bbb');
ROLLBACK TO folders;
UPDATE cloudsync.connection SET failures = 1, retry_at = now() + interval '1 hour';
SET LOCAL ROLE regress_two_app;
SET LOCAL cloudsync.tenant = 'aaa';
SELECT * FROM told('aaa', 'bbb');
ROLLBACK;

SELECT count(cloudsync_cancel(run_id)) AS cancelled FROM cloudsync.run WHERE state IN ('queued', 'running');
ALTER SYSTEM RESET cloudsync.stability_delay;
SELECT pg_reload_conf();
DROP EXTENSION cloudsync;
DROP OWNED BY regress_two_app;
DROP ROLE regress_two_app;
