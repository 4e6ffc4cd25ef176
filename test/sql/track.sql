-- cloudsync_track and its kin (P1): what is found in the catalogs, what can be
-- given, what is refused, and who may.
SET client_min_messages = warning;
CREATE EXTENSION cloudsync;
RESET client_min_messages;
\set SHOW_CONTEXT never
\pset null '-'

CREATE PROCEDURE refused(statement text) LANGUAGE plpgsql AS $$
DECLARE
    state text;
    message text;
    detail text;
    hint text;
BEGIN
    EXECUTE statement;
    RAISE NOTICE 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RAISE NOTICE '% %', state, concat_ws(E'\n  ', message, nullif(detail, ''), nullif(hint, ''));
END
$$;
CREATE VIEW settings AS
    SELECT d.dossiers, d.key_name, d.label_name, d.tenant_name, d.procedure_name,
           s.files, s.key_name AS file_key, s.dossier_name, s.name_name, s.content_name, s.content_kind
    FROM cloudsync.dossier_table d JOIN cloudsync.source s USING (dossiers_id) ORDER BY s.source_id;
CREATE VIEW triggers AS
    SELECT t.tgrelid::regclass AS on_table, t.tgname, t.tgenabled,
           EXISTS (SELECT FROM pg_depend p WHERE p.classid = 'pg_trigger'::regclass AND p.objid = t.oid AND p.deptype = 'x') AS goes_with_extension
    FROM pg_trigger t WHERE t.tgfoid = 'cloudsync.capture_change'::regproc ORDER BY 1, 2;

-- everything found; names that must be quoted
CREATE SCHEMA "Kanzlei Müller";
CREATE TABLE "Kanzlei Müller"."Akte ""A""" ("Nr." integer PRIMARY KEY, "Titel" text, "Mandant" text);
CREATE TABLE "Kanzlei Müller"."Datei" ("Id" uuid PRIMARY KEY, "Akte" integer REFERENCES "Kanzlei Müller"."Akte ""A""",
    "Nom_Fichier" varchar(200), "Inhalt" bytea);
SELECT cloudsync_track('"Kanzlei Müller"."Akte ""A"""', '"Kanzlei Müller"."Datei"');
-- again: the same id, nothing changed
SELECT cloudsync_track('"Kanzlei Müller"."Akte ""A"""', '"Kanzlei Müller"."Datei"');
\x
SELECT * FROM settings;
\x
SELECT * FROM triggers;
SELECT count(*) FROM cloudsync.audit WHERE action = 'track';
BEGIN;
INSERT INTO "Kanzlei Müller"."Akte ""A""" VALUES (7, 'x', NULL);
INSERT INTO "Kanzlei Müller"."Datei" VALUES ('{2d6a1f0c-0000-4000-8000-00000000000A}', 7, 'a.pdf', 'x');
SELECT source_id, dossier, file_key, tenant FROM cloudsync.change;
ROLLBACK;

-- everything given; a second files table; keys that are not the primary key
CREATE TABLE cases (id serial PRIMARY KEY, code varchar(20) NOT NULL UNIQUE, caption text, title text, company text, flow text);
CREATE TABLE scans (id serial PRIMARY KEY, name text, image oid, case_code text, thumb bytea, body bytea);
CREATE TABLE letters (id serial, ref text NOT NULL UNIQUE, case_code varchar(20) REFERENCES cases (code), subject text, data bytea);
SELECT cloudsync_track('cases', 'scans', dossier_key => 'code', label => 'caption', tenant => 'company',
    procedure => 'flow', file_dossier => 'case_code', content => 'image');
SELECT cloudsync_track('cases', 'letters', file_key => 'ref', file_name => 'subject');
SELECT dossiers, key_name, label_name, tenant_name, procedure_name, files, file_key, dossier_name, name_name, content_name, content_kind
    FROM settings OFFSET 1;
-- the same again, and what contradicts it
SELECT cloudsync_track('cases', 'scans', dossier_key => 'code', label => 'caption', tenant => 'company',
    procedure => 'flow', file_dossier => 'case_code', content => 'image') = source_id AS same
    FROM cloudsync.source WHERE files = 'scans'::regclass;
CALL refused($$SELECT cloudsync_track('cases', 'letters', tenant => 'flow')$$);
CALL refused($$SELECT cloudsync_track('cases', 'letters', dossier_key => 'id')$$);
CALL refused($$SELECT cloudsync_track('cases', 'scans', content => 'body')$$);

-- refused: tables
CREATE VIEW a_view AS SELECT * FROM cases;
CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM cases;
CREATE TEMPORARY TABLE a_temporary_table (id integer PRIMARY KEY);
CALL refused($$SELECT cloudsync_track('a_view', 'scans')$$);
CALL refused($$SELECT cloudsync_track('a_matview', 'scans')$$);
CALL refused($$SELECT cloudsync_track('a_temporary_table', 'scans')$$);
CALL refused($$SELECT cloudsync_track('pg_class', 'scans')$$);
CALL refused($$SELECT cloudsync_track('cloudsync.connection', 'scans')$$);
CALL refused($$SELECT cloudsync_track('cases', '4294967295')$$);
CALL refused($$SELECT cloudsync_track('cases', NULL)$$);
-- refused: keys
CREATE TABLE no_key (a integer, b integer, c integer UNIQUE, PRIMARY KEY (a, b));
CREATE TYPE pair AS (x integer, y integer);
CREATE TABLE composite_key (k pair PRIMARY KEY, title text);
CREATE TABLE array_key (k integer[] PRIMARY KEY, title text);
CALL refused($$SELECT cloudsync_track('no_key', 'scans')$$);
CALL refused($$SELECT cloudsync_track('no_key', 'scans', dossier_key => 'a')$$);
CALL refused($$SELECT cloudsync_track('no_key', 'scans', dossier_key => 'c')$$);
CALL refused($$SELECT cloudsync_track('no_key', 'scans', dossier_key => 'd')$$);
CALL refused($$SELECT cloudsync_track('composite_key', 'scans')$$);
CALL refused($$SELECT cloudsync_track('array_key', 'scans')$$);
-- refused: the reference to the dossier, the name, the content
CREATE TABLE d (id integer PRIMARY KEY, other integer UNIQUE NOT NULL);
CREATE TABLE f_none (id integer PRIMARY KEY, d text, name text, content bytea);
CREATE TABLE f_two (id integer PRIMARY KEY, d integer REFERENCES d, e integer REFERENCES d, name text, content bytea);
CREATE TABLE f_other (id integer PRIMARY KEY, d integer REFERENCES d (other), name text, content bytea);
CREATE TABLE f_names (id integer PRIMARY KEY, d integer REFERENCES d, n1 text, n2 text, content bytea);
CREATE TABLE f_contents (id integer PRIMARY KEY, d integer REFERENCES d, name text, c1 bytea, c2 bytea);
CREATE TABLE f_text (id integer PRIMARY KEY, d integer REFERENCES d, name text, address text);
CALL refused($$SELECT cloudsync_track('d', 'f_none')$$);
CALL refused($$SELECT cloudsync_track('d', 'f_none', file_dossier => 'd')$$);
CALL refused($$SELECT cloudsync_track('d', 'f_two')$$);
CALL refused($$SELECT cloudsync_track('d', 'f_other')$$);
CALL refused($$SELECT cloudsync_track('d', 'f_names')$$);
CALL refused($$SELECT cloudsync_track('d', 'f_contents')$$);
CALL refused($$SELECT cloudsync_track('d', 'f_text')$$);
CALL refused($$SELECT cloudsync_track('d', 'f_text', content => 'd')$$);
CALL refused($$SELECT cloudsync_track('d', 'f_two', file_dossier => 'd', content_connection => 'Drive')$$);
-- nothing of all that was left behind
SELECT count(*) FROM settings;
SELECT DISTINCT on_table FROM triggers ORDER BY 1;

-- who may: the owner of both tables, or a member, and nobody for a tenant
CREATE ROLE track_owner;
CREATE ROLE track_member IN ROLE track_owner;
CREATE ROLE track_other;
GRANT cloudsync_admin TO track_owner, track_member, track_other;
CREATE TABLE od (id integer PRIMARY KEY, title text);
CREATE TABLE of (id integer PRIMARY KEY, d integer REFERENCES od, name text, content bytea);
ALTER TABLE od OWNER TO track_owner;
ALTER TABLE of OWNER TO track_owner;
SET SESSION AUTHORIZATION track_other;
CALL refused($$SELECT cloudsync_track('od', 'of')$$);
SET SESSION AUTHORIZATION track_member;
SELECT cloudsync_track('od', 'of') > 0 AS tracked;
SET SESSION AUTHORIZATION track_other;
CALL refused($$SELECT cloudsync_untrack('od')$$);
CALL refused($$SELECT cloudsync_resync('od')$$);
RESET SESSION AUTHORIZATION;
INSERT INTO cloudsync.role_tenant VALUES ('track_owner', 'north');
SET SESSION AUTHORIZATION track_owner;
CALL refused($$SELECT cloudsync_track('od', 'of')$$);
CALL refused($$SELECT cloudsync_untrack('od')$$);
CALL refused($$SELECT cloudsync_resync('od')$$);
RESET SESSION AUTHORIZATION;
DELETE FROM cloudsync.role_tenant;

-- touch and resync
INSERT INTO od VALUES (1, 'one'), (2, 'two');
CALL refused($$SELECT cloudsync_touch('of', '1')$$);
CALL refused($$SELECT cloudsync_touch('od', '3')$$);
CALL refused($$SELECT cloudsync_touch('od', 'one')$$);
BEGIN;
SELECT cloudsync_touch('od', ' 002');
SELECT dossier, file_key, tenant FROM cloudsync.change WHERE xmin::text::bigint = txid_current() % (2 ^ 32)::bigint;
ROLLBACK;
BEGIN;
SELECT cloudsync_resync('od');
SELECT dossier, file_key, tenant FROM cloudsync.change
    WHERE xmin::text::bigint = txid_current() % (2 ^ 32)::bigint ORDER BY dossier;
ROLLBACK;

-- untrack: one files table, then the rest; the numbers are kept for the next time
SELECT cloudsync_untrack('cases', 'scans');
SELECT dossiers, files FROM settings;
CALL refused($$SELECT cloudsync_untrack('cases', 'scans')$$);
SELECT dossiers_id AS cases_id FROM cloudsync.dossier_table WHERE dossiers = 'cases'::regclass \gset
SELECT cloudsync_untrack('cases');
CALL refused($$SELECT cloudsync_untrack('cases')$$);
SELECT on_table, tgname FROM triggers WHERE on_table IN ('cases'::regclass, 'letters'::regclass, 'scans'::regclass);
SELECT count(*) FROM cloudsync.change WHERE dossiers_id = :cases_id;
SELECT cloudsync_track('cases', 'letters', dossier_key => 'code', file_key => 'ref', file_name => 'subject');
SELECT dossiers_id = :cases_id AS taken_up FROM cloudsync.dossier_table WHERE dossiers = 'cases'::regclass;

-- renames are followed, what is gone is said
ALTER TABLE cases RENAME code TO case_number;
ALTER TABLE cases RENAME TO matters;
ALTER TABLE letters DROP COLUMN data;
SELECT cloudsync.refresh_column_names();
SELECT dossiers, key_name, last_error FROM cloudsync.dossier_table WHERE dossiers_id = :cases_id;
SELECT files, last_error FROM cloudsync.source WHERE dossiers_id = :cases_id;
BEGIN;
INSERT INTO matters (case_number, title) VALUES ('C-1', 'x');
SELECT dossier FROM cloudsync.change WHERE dossiers_id = :cases_id;
ROLLBACK;
-- a key that is gone: the write succeeds, with a warning
ALTER TABLE letters DROP COLUMN ref;
INSERT INTO letters (subject) VALUES ('x'), ('y');
DROP VIEW a_view;
DROP MATERIALIZED VIEW a_matview;
DROP TABLE letters, matters;
SELECT cloudsync.refresh_column_names();
SELECT last_error FROM cloudsync.dossier_table WHERE dossiers_id = :cases_id;
SELECT cloudsync_untrack(dossiers) FROM cloudsync.dossier_table WHERE dossiers_id = :cases_id;
SELECT count(*) FROM cloudsync.dossier_table WHERE dossiers_id = :cases_id;

-- the triggers go with the extension, without CASCADE
DROP VIEW triggers, settings;
DROP EXTENSION cloudsync;
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'cloudsync%';
DROP TABLE of, od;
DROP ROLE track_owner, track_member, track_other;
