-- What is noted of the application's writes (P1, P2). Each look is within the
-- writer's transaction, before anybody can fold what it noted.
SET client_min_messages = warning;
CREATE EXTENSION cloudsync;
RESET client_min_messages;
\set SHOW_CONTEXT never
\pset null '-'

CREATE TABLE dossier (id integer PRIMARY KEY, title text, company text, amount numeric);
CREATE TABLE file (id integer PRIMARY KEY, dossier_id integer REFERENCES dossier ON DELETE CASCADE, name text, content bytea);
SELECT cloudsync_track('dossier', 'file', tenant => 'company') > 0 AS tracked;
CREATE VIEW noted AS
    SELECT CASE WHEN source_id IS NULL THEN 'dossier' ELSE 'file' END AS what, dossier, file_key, tenant
    FROM cloudsync.change ORDER BY ctid;

-- inserts; one row each however often they are touched
BEGIN;
INSERT INTO dossier VALUES (1, 'one', 'north'), (2, 'two', NULL);
INSERT INTO file VALUES (10, 1, 'a', 'x'), (11, 2, 'b', 'y');
SELECT * FROM noted;
UPDATE dossier SET title = title || '!';
UPDATE dossier SET title = title || '!';
UPDATE file SET content = content || 'more';
DELETE FROM file WHERE id = 11;
SELECT count(*) FROM noted;
COMMIT;
DELETE FROM cloudsync.change;

-- an update that changes nothing
BEGIN;
UPDATE dossier SET title = title, amount = amount;
SELECT * FROM noted;
-- any column may feed a tag
UPDATE dossier SET amount = 1 WHERE id = 1;
SELECT * FROM noted;
ROLLBACK;

-- a changed tenant: both; a changed key: both; a file that moves: both dossiers
BEGIN;
UPDATE dossier SET company = 'south' WHERE id = 1;
UPDATE dossier SET id = 3 WHERE id = 2;
UPDATE file SET dossier_id = 3 WHERE id = 10;
UPDATE file SET id = 12 WHERE id = 10;
UPDATE file SET dossier_id = NULL;
SELECT * FROM noted;
ROLLBACK;

-- delete, and what it cascades to
BEGIN;
DELETE FROM dossier WHERE id = 1;
SELECT * FROM noted ORDER BY 1;
ROLLBACK;

-- truncate
BEGIN;
TRUNCATE file;
TRUNCATE dossier CASCADE;
SELECT * FROM noted;
ROLLBACK;

-- what a rolled-back subtransaction noted is noted again by the next
BEGIN;
UPDATE dossier SET title = 'a' WHERE id = 1;
SAVEPOINT s1;
UPDATE dossier SET title = 'b';
SAVEPOINT s2;
INSERT INTO dossier VALUES (5, 'five');
RELEASE s2;
ROLLBACK TO s1;
SELECT * FROM noted;
UPDATE dossier SET title = 'c';
SAVEPOINT s3;
INSERT INTO dossier VALUES (5, 'five');
RELEASE s3;
UPDATE dossier SET title = 'd';
SELECT * FROM noted;
ROLLBACK;
DO $$
BEGIN
    FOR i IN 1..3 LOOP
        BEGIN
            UPDATE dossier SET title = 'z' || i WHERE id = 1;
            IF i < 3 THEN RAISE EXCEPTION 'no'; END IF;
        EXCEPTION WHEN raise_exception THEN NULL;
        END;
    END LOOP;
    RAISE NOTICE '% noted', (SELECT count(*) FROM noted);
END
$$;
DELETE FROM cloudsync.change;
-- many in one transaction, and in subtransactions of it
BEGIN;
INSERT INTO dossier SELECT i, 'many' FROM generate_series(1001, 1012) i;
SAVEPOINT s;
INSERT INTO dossier SELECT i, 'many' FROM generate_series(1013, 1500) i;
UPDATE dossier SET amount = 2 WHERE id > 1000;
ROLLBACK TO s;
INSERT INTO dossier SELECT i, 'many' FROM generate_series(1400, 3000) i;
UPDATE dossier SET amount = 3 WHERE id > 1000;
SAVEPOINT s;
DELETE FROM dossier WHERE id > 2000;
ROLLBACK TO s;
DELETE FROM dossier WHERE id > 1000;
SELECT count(*), count(DISTINCT dossier) FROM noted;
ROLLBACK;
-- keys of many sizes, across a savepoint that is rolled back
CREATE TABLE long_dossier (k text PRIMARY KEY, title text);
CREATE TABLE long_file (id integer PRIMARY KEY, k text REFERENCES long_dossier ON DELETE CASCADE, name text, content bytea);
SELECT cloudsync_track('long_dossier', 'long_file') > 0 AS tracked;
BEGIN;
INSERT INTO long_dossier VALUES ('', 'empty'), ('a', 'b'), ('ab', ''), (repeat('x', 1500), 'x');
SAVEPOINT s;
INSERT INTO long_dossier VALUES (repeat('y', 1500), 'y');
INSERT INTO long_file SELECT i, repeat('y', 1500), 'f', 'x' FROM generate_series(1, 40) i;
ROLLBACK TO s;
INSERT INTO long_dossier VALUES (repeat('z', 1499), 'z');
INSERT INTO long_file SELECT i, repeat('x', 1500), 'f', 'x' FROM generate_series(1, 40) i;
UPDATE long_dossier SET title = 'again';
UPDATE long_file SET name = 'again';
SELECT what, left(dossier, 1) AS key, length(dossier), count(*), count(DISTINCT file_key) AS files, tenant
    FROM noted GROUP BY 1, 2, 3, 6 ORDER BY 1, 2, 3;
ROLLBACK;
DROP TABLE long_file, long_dossier;

-- a rollback leaves nothing
BEGIN;
UPDATE dossier SET title = 'x';
ROLLBACK;
SELECT * FROM noted;

-- cloudsync.capture = off: for administrators alone
CREATE ROLE capture_writer;
CREATE ROLE capture_admin IN ROLE cloudsync_admin;
GRANT SELECT, UPDATE ON dossier TO capture_writer, capture_admin;
BEGIN;
SET LOCAL cloudsync.capture = off;
SET LOCAL SESSION AUTHORIZATION capture_writer;
UPDATE dossier SET title = 'w' WHERE id = 2;
SET LOCAL SESSION AUTHORIZATION capture_admin;
UPDATE dossier SET title = 'v' WHERE id = 1;
RESET SESSION AUTHORIZATION;
SELECT dossier FROM noted;
ROLLBACK;
-- the writer has no right to the log
SET SESSION AUTHORIZATION capture_writer;
SELECT * FROM cloudsync.change;
RESET SESSION AUTHORIZATION;
REVOKE ALL ON dossier FROM capture_writer, capture_admin;
DROP ROLE capture_writer, capture_admin;

-- at an isolation level whose snapshot is older than what is looked up
BEGIN ISOLATION LEVEL SERIALIZABLE;
UPDATE dossier SET title = 'serial' WHERE id = 1;
SELECT * FROM noted;
ROLLBACK;

-- keys of any type: their text does not depend on the session
CREATE DOMAIN code AS char(6);
CREATE TYPE colour AS ENUM ('red', 'dark blue');
DO $$
DECLARE
    type text;
BEGIN
    FOREACH type IN ARRAY ARRAY['bigint', 'uuid', 'text', 'code', 'varchar(9)', 'date', 'timestamptz', 'interval', 'numeric(8,2)',
                                'float8', 'bytea', 'inet', 'boolean', 'colour', 'int4range', '"char"', 'name', 'money'] LOOP
        EXECUTE format('CREATE TABLE %I (k %s PRIMARY KEY, title text)', 'd_' || type, type);
        EXECUTE format('CREATE TABLE %I (id integer PRIMARY KEY, d %s REFERENCES %I, name text, content bytea)', 'f_' || type, type, 'd_' || type);
        PERFORM cloudsync_track(quote_ident('d_' || type)::regclass, quote_ident('f_' || type)::regclass,
            content => 'content');
    END LOOP;
END
$$;
CREATE FUNCTION one_key(type text, key text) RETURNS TABLE (noted text, as_file text, there boolean, as_key text)
    LANGUAGE plpgsql AS $$
DECLARE
    id integer := (SELECT dossiers_id FROM cloudsync.dossier_table WHERE dossiers = quote_ident('d_' || type)::regclass);
BEGIN
    EXECUTE format('INSERT INTO %I VALUES (%L, ''x'')', 'd_' || type, key);
    EXECUTE format('INSERT INTO %I VALUES (1, %L, ''x'')', 'f_' || type, key);
    noted := (SELECT dossier FROM cloudsync.change WHERE dossiers_id = id AND source_id IS NULL);
    as_file := (SELECT dossier FROM cloudsync.change WHERE dossiers_id = id AND source_id IS NOT NULL);
    SELECT l.found, l.key INTO there, as_key FROM cloudsync.look_up(id, noted) l;
    RETURN NEXT;
END
$$;
SET DateStyle = 'German';
SET IntervalStyle = 'iso_8601';
SET bytea_output = 'escape';
SET extra_float_digits = -5;
SET TimeZone = 'Asia/Tokyo';
BEGIN;
SELECT v.type, o.*, o.noted = o.as_file AND o.noted = o.as_key AND o.there AS good
    FROM (VALUES (1, 'bigint', '-9223372036854775808'), (2, 'uuid', '{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}'), (3, 'text', E'a ''b''\n"c" \\d ü'),
          (4, 'code', 'ab'), (5, 'varchar(9)', 'x '), (6, 'date', '24.12.2026'), (7, 'timestamptz', '2026-12-24 08:00+09'),
          (8, 'interval', '1 day 02:00'), (9, 'numeric(8,2)', '1.5'), (10, 'float8', '0.1'), (11, 'bytea', '\x00ff'),
          (12, 'inet', '10.0.0.1'), (13, 'boolean', 'yes'), (14, 'colour', 'dark blue'), (15, 'int4range', '[1,5]'),
          (16, '"char"', 'q'), (17, 'name', 'Some Name'), (18, 'money', '12.34')) v(number, type, key),
         LATERAL one_key(v.type, v.key) o ORDER BY v.number;
ROLLBACK;
RESET ALL;

-- partitions: written through the parent, straight, made later, attached later,
-- with columns in another order; rows that move; all by a table's own owner
CREATE ROLE partition_owner IN ROLE cloudsync_admin;
CREATE SCHEMA part AUTHORIZATION partition_owner;
SET SESSION AUTHORIZATION partition_owner;
CREATE TABLE part.dossier (dropped integer, region text, id integer PRIMARY KEY, title text) PARTITION BY RANGE (id);
ALTER TABLE part.dossier DROP COLUMN dropped;
CREATE TABLE part.d1 PARTITION OF part.dossier FOR VALUES FROM (0) TO (100);
CREATE TABLE part.file (id integer, year integer, dossier_id integer REFERENCES part.dossier, name text, content bytea, key text)
    PARTITION BY LIST (year);
CREATE TABLE part.whole_file (id integer PRIMARY KEY, dossier_id integer REFERENCES part.dossier, name text, content bytea);
SELECT cloudsync_track('part.dossier', 'part.whole_file', tenant => 'region') > 0 AS tracked;
CREATE TABLE part.d2 PARTITION OF part.dossier FOR VALUES FROM (100) TO (200);
CREATE TABLE part.d3 (title text, junk integer, id integer NOT NULL, region text);
ALTER TABLE part.d3 DROP COLUMN junk;
INSERT INTO part.d3 VALUES ('already there', 250, 'west');
ALTER TABLE part.dossier ATTACH PARTITION part.d3 FOR VALUES FROM (200) TO (300);
RESET SESSION AUTHORIZATION;
BEGIN;
INSERT INTO part.dossier VALUES ('east', 1, 'a');
INSERT INTO part.d2 VALUES ('east', 101, 'b');
INSERT INTO part.d3 (id, title, region) VALUES (201, 'c', 'south');
INSERT INTO part.dossier VALUES ('north', 202, 'd');
SELECT * FROM noted;
COMMIT;
DELETE FROM cloudsync.change;
BEGIN;
UPDATE part.dossier SET id = 150 WHERE id = 1;
UPDATE part.d3 SET title = 'changed' WHERE id = 250;
TRUNCATE part.dossier CASCADE;
SELECT * FROM noted;
ROLLBACK;
-- a detached partition is no part of it any more
ALTER TABLE part.dossier DETACH PARTITION part.d3;
INSERT INTO part.d3 (id, title) VALUES (203, 'e');
SELECT * FROM noted;

-- the function on a table that is not tracked notes nothing
CREATE TABLE stranger (id integer, title text);
CREATE TRIGGER spoof AFTER INSERT ON stranger FOR EACH ROW EXECUTE FUNCTION cloudsync.capture_change('1');
CREATE TRIGGER spoof2 AFTER TRUNCATE ON stranger FOR EACH STATEMENT EXECUTE FUNCTION cloudsync.capture_change('1');
INSERT INTO stranger VALUES (1);
INSERT INTO stranger VALUES (2);
TRUNCATE stranger;
SELECT * FROM noted;
DROP TABLE stranger;

DROP VIEW noted;
DROP EXTENSION cloudsync;
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgname LIKE 'cloudsync%';
DROP SCHEMA part CASCADE;
DROP ROLE partition_owner;
