-- Folder templates (P10): what is refused when they are set, and what their
-- tags become.
SET client_min_messages = warning;
CREATE EXTENSION cloudsync;
RESET client_min_messages;
\set SHOW_CONTEXT never


SELECT state FROM cloudsync_connect('local', 'Drive', options => '{"path": "sql_template"}');

-- nothing is tracked: the text alone is checked
SELECT cloudsync_set_push('Drive', auto_sync => false);
SELECT cloudsync_set_push('Drive', folder => 'Clients/{dossier_key} {dossier_label}/{procedure}');
SELECT cloudsync_set_push('Drive', folder => '{anything}/{file.kind|Other}');
SELECT cloudsync_set_push('Drive', folder => '{dossier_label}');

-- what is said to a refused template, a line each
CREATE FUNCTION refusal(folder text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    detail text;
    hint text;
    code text;
BEGIN
    PERFORM cloudsync_set_push('Drive', folder => folder);
    RETURN 'taken';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n    ', code || ' ' || left(message, 150), detail, hint);
END
$$;
\pset format unaligned
\pset tuples_only on

SELECT refusal('');
SELECT refusal('a//b');
SELECT refusal('Clients/../../etc');
SELECT refusal('.');
SELECT refusal('été {');
SELECT refusal('{title');
SELECT refusal('title}');
SELECT refusal('{}');
SELECT refusal('{a.b.c}');
SELECT refusal('{created:}');
SELECT refusal('{created:YYYY/MM}');
SELECT refusal(E'a\nb');
SELECT refusal('{file.kind}/{dossier_label}');
SELECT refusal(repeat('{a}', 65));
SELECT refusal(repeat('a/', 32) || 'a');
SELECT refusal(repeat('a', 2001));

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
INSERT INTO "My App".doc VALUES (1, 1, 'a.pdf', 'Letters', '2026-03-01 00:30', ''), (2, 1, 'b.pdf', NULL, NULL, ''),
    (3, 2, '../../etc/passwd', '..', NULL, ''), (4, 3, E'two\nlines.pdf', '.', NULL, ''), (5, 3, '', 'a/b', NULL, ''),
    (6, 3, repeat('é', 200) || '.pdf', 'x', NULL, ''), (7, 3, NULL, 'x', NULL, '');
RESET SESSION AUTHORIZATION;
SELECT cloudsync_track('"My App"."Dossier"', '"My App".doc', label => 'title') > 0 AS tracked;

-- unknown tags
SELECT refusal('{nothing}');
SELECT refusal('{gone}');
SELECT refusal('{ctid}');
SELECT refusal('{"Title"}');
SELECT refusal('{title}/{file.nothing}');
SELECT refusal('{client_code.nothing}');
SELECT refusal('{nothing.code}');
SELECT refusal('{title.code}');
SELECT refusal('{part.code}');
SELECT refusal('{procedure}');
SELECT refusal('{amount:YYYY}');
SELECT refusal('{client_code."Full Name":YYYY}');
SELECT refusal('{nothing|with a default}');

-- all forms that are taken
SELECT refusal('{id}{title}{TITLE}{ title }');
SELECT refusal('{"Réf."}/{client_code.Full Name}');
SELECT refusal('/{dossier_key}-{dossier_label}/{"Réf."|none}/{client_code."Full Name"|nobody}/{client_code.joined:YYYY}/{created:YYYY-MM|undated}/{day:DD}/{file.kind|Other}/{file.at:YYYY}{{}}/');
SELECT refusal('{"file"}/{file.name}');

-- and what becomes of the values
CREATE FUNCTION paths(folder text, time_zone text DEFAULT 'UTC') RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM cloudsync_set_push('Drive', folder => folder, time_zone => time_zone);
    RETURN QUERY SELECT p.dossier || ' ' || p.path || CASE WHEN length(p.path) > 200 THEN ' (' || octet_length(p.path) || ' bytes)' ELSE '' END FROM generate_series(1, 3) d, cloudsync_plan('Drive', d::text) p ORDER BY 1;
END
$$;
SELECT paths('{dossier_label}');
SELECT paths('{dossier_key}-{title|no title}');
SELECT paths('{"Réf."|no reference}/{amount}/{part|}');
SELECT paths('{client_code."Full Name"}/{client_code.joined:FMDD Mon YYYY}/{dossier_key}');
SELECT paths('{created}/{dossier_key}');
SELECT paths('{created:YYYY-MM-DD HH24"h"|undated}/{dossier_key}', 'America/New_York');
SELECT paths('{created:YYYY-MM-DD HH24"h"|undated}/{dossier_key}', 'Asia/Tokyo');
SELECT paths('{day}/{day:TMMonth}/{{{dossier_key}}}/{file.kind|Other}/{file.at:YYYY}-{part}');
SET datestyle = 'German';
SET lc_time = 'C.UTF-8';
SET extra_float_digits = 0;
SELECT paths('{created}/{day}/{dossier_key}');
RESET datestyle;
SELECT cloudsync_set_push('Drive', folder => '{dossier_label}');

-- a table of a further owner that may not be read, or not wholly
ALTER TABLE "My App".client OWNER TO CURRENT_USER;
SELECT refusal('{client_code.code}');
GRANT SELECT (code) ON "My App".client TO cs_template_owner;
SELECT refusal('{client_code.code}');
SELECT refusal('{client_code."Full Name"}');
GRANT SELECT ON "My App".client TO cs_template_owner;
ALTER TABLE "My App".client ENABLE ROW LEVEL SECURITY;
SELECT refusal('{client_code.code}');
ALTER TABLE "My App".client DISABLE ROW LEVEL SECURITY;

-- every tracked table must know the tag
CREATE TABLE plain (key text PRIMARY KEY, name text);
CREATE TABLE plain_file (key text PRIMARY KEY, plain_key text REFERENCES plain, name text, content bytea);
SELECT cloudsync_track('plain', 'plain_file') > 0 AS tracked;
SELECT refusal('{client_code}');
SELECT refusal('{dossier_key}/{file.kind}');
SELECT refusal('{dossier_label}');

SELECT cloudsync_untrack('plain');
SELECT cloudsync_untrack('"My App"."Dossier"');
DROP EXTENSION cloudsync;
DROP TABLE plain_file, plain;
DROP OWNED BY cs_template_owner CASCADE;
DROP SCHEMA IF EXISTS "My App" CASCADE;
DROP ROLE cs_template_owner;
