-- Folder templates (P10): what is refused when they are set, and what their
-- tags become.
SET client_min_messages = warning;
CREATE EXTENSION cloudsync;
RESET client_min_messages;
\set VERBOSITY verbose
\set SHOW_CONTEXT never
\set check 'SELECT cloudsync.template_check('

-- nothing is tracked: the text alone is checked
SELECT cloudsync.template_check('{dossier_label}', NULL);
SELECT cloudsync.template_check('Clients/{dossier_key} {dossier_label}/{procedure}', NULL);
SELECT cloudsync.template_check('{anything}/{file.kind|Other}', NULL);

CREATE FUNCTION refusal(folder text, dossiers regclass DEFAULT NULL)
RETURNS TABLE (sqlstate text, message text, detail text, hint text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM cloudsync.template_check(folder, dossiers);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS sqlstate = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN NEXT;
END
$$;
\pset format unaligned
\pset tuples_only on
\pset fieldsep '\n    '

SELECT * FROM refusal('');
SELECT * FROM refusal('a//b');
SELECT * FROM refusal('Clients/../../etc');
SELECT * FROM refusal('.');
SELECT * FROM refusal('été {');
SELECT * FROM refusal('{title');
SELECT * FROM refusal('title}');
SELECT * FROM refusal('{}');
SELECT * FROM refusal('{a.b.c}');
SELECT * FROM refusal('{created:}');
SELECT * FROM refusal('{created:YYYY/MM}');
SELECT * FROM refusal(E'a\nb');
SELECT * FROM refusal('{file.kind}/{dossier_label}');
SELECT * FROM refusal(repeat('{a}', 65));
SELECT * FROM refusal(repeat('a/', 32) || 'a');
SELECT * FROM refusal(repeat('a', 2001));

-- tables as somebody has them
CREATE ROLE cs_template_owner;
CREATE SCHEMA "My App" AUTHORIZATION cs_template_owner;
SET SESSION AUTHORIZATION cs_template_owner;
CREATE TABLE "My App".client (code text PRIMARY KEY, "Full Name" text, joined date);
CREATE DOMAIN "My App".moment AS timestamptz;
CREATE TABLE "My App"."Dossier" (
    id integer PRIMARY KEY,
    title text,
    "Réf." text,
    client_code text REFERENCES "My App".client,
    part integer,
    created "My App".moment,
    day date,
    amount numeric,
    file text,
    gone text,
    UNIQUE (id, part));
ALTER TABLE "My App"."Dossier" DROP COLUMN gone;
CREATE TABLE "My App".doc (
    id integer PRIMARY KEY,
    dossier_id integer REFERENCES "My App"."Dossier",
    name text, kind text, at timestamp, content bytea);
INSERT INTO "My App".client VALUES ('A', 'Müller & Söhne', '2026-01-31');
INSERT INTO "My App"."Dossier" VALUES
    (1, 'Case', '12/34', 'A', 3, '2026-03-01 00:30+00', '2026-02-28', 12.50, 'f'),
    (2, NULL, '  ', NULL, NULL, NULL, NULL, NULL, NULL),
    (3, '../..', repeat('x', 2000), 'A', NULL, 'infinity', '2026-02-28', 'NaN', NULL);
INSERT INTO "My App".doc VALUES (1, 1, 'a.pdf', 'Letters', '2026-03-01 00:30', ''), (2, 1, 'b.pdf', NULL, NULL, '');
RESET SESSION AUTHORIZATION;
SELECT cloudsync_track('"My App"."Dossier"', '"My App".doc', label => 'title') > 0 AS tracked;

-- unknown tags
SELECT * FROM refusal('{nothing}');
SELECT * FROM refusal('{gone}');
SELECT * FROM refusal('{ctid}');
SELECT * FROM refusal('{"Title"}');
SELECT * FROM refusal('{title}/{file.nothing}');
SELECT * FROM refusal('{client_code.nothing}');
SELECT * FROM refusal('{nothing.code}');
SELECT * FROM refusal('{title.code}');
SELECT * FROM refusal('{part.code}');
SELECT * FROM refusal('{procedure}');
SELECT * FROM refusal('{amount:YYYY}');
SELECT * FROM refusal('{client_code."Full Name":YYYY}');
SELECT * FROM refusal('{nothing|with a default}');
SELECT * FROM refusal('{nothing}', '"My App"."Dossier"');

-- all forms that are taken
SELECT * FROM refusal('{id}{title}{TITLE}{ title }{Réf\.}');
SELECT * FROM refusal('{"Réf."}/{client_code.full name}');
SELECT * FROM refusal('/{dossier_key}-{dossier_label}/{"Réf."|none}/{client_code."Full Name"|nobody}/{client_code.joined:YYYY}/{created:YYYY-MM|undated}/{day:DD}/{file.kind|Other}/{file.at:YYYY}{{}}/');
SELECT * FROM refusal('{"file"}/{file.name}');

-- a table of a further owner that may not be read, or not wholly
ALTER TABLE "My App".client OWNER TO CURRENT_USER;
SELECT * FROM refusal('{client_code.code}');
GRANT SELECT (code) ON "My App".client TO cs_template_owner;
SELECT * FROM refusal('{client_code.code}');
SELECT * FROM refusal('{client_code."Full Name"}');
GRANT SELECT ON "My App".client TO cs_template_owner;
ALTER TABLE "My App".client ENABLE ROW LEVEL SECURITY;
SELECT * FROM refusal('{client_code.code}');
ALTER TABLE "My App".client DISABLE ROW LEVEL SECURITY;

-- every tracked table must know the tag
CREATE TABLE plain (key text PRIMARY KEY, name text);
CREATE TABLE plain_file (key text PRIMARY KEY, plain_key text REFERENCES plain, name text, content bytea);
SELECT cloudsync_track('plain', 'plain_file') > 0 AS tracked;
SELECT * FROM refusal('{client_code}');
SELECT * FROM refusal('{client_code}', '"My App"."Dossier"');
SELECT * FROM refusal('{dossier_key}/{file.kind}');
SELECT * FROM refusal('{dossier_label}');

SELECT cloudsync_untrack('plain');
SELECT cloudsync_untrack('"My App"."Dossier"');
DROP EXTENSION cloudsync;
DROP TABLE plain_file, plain;
DROP OWNED BY cs_template_owner CASCADE;
DROP SCHEMA IF EXISTS "My App" CASCADE;
DROP ROLE cs_template_owner;
