-- From changes to due dossiers (P2), each case in a transaction that is rolled
-- back, so that no worker sees it: whose connections, one row however many
-- changes, what a change during a push does, and tables that cannot be read.
SET client_min_messages = warning;
CREATE EXTENSION cloudsync;
RESET client_min_messages;
\set SHOW_CONTEXT never
SET IntervalStyle = 'postgres';
\pset null '-'

CREATE TABLE dossier (id integer PRIMARY KEY, title text, company text);
CREATE TABLE file (id integer PRIMARY KEY, dossier_id integer REFERENCES dossier ON DELETE CASCADE, name text, content bytea);
SELECT cloudsync_track('dossier', 'file', tenant => 'company');

-- Connections of three tenants, '' being none, without a worker's help.
CREATE PROCEDURE connect(name text, tenant text, auto_sync boolean DEFAULT true) LANGUAGE plpgsql AS $$
DECLARE
    a bigint;
    c bigint;
    d bigint;
BEGIN
    INSERT INTO cloudsync.account (tenant, provider, account) VALUES (tenant, 'local', '/' || name) RETURNING account_id INTO a;
    INSERT INTO cloudsync.connection (tenant, name, provider, account_id, state, created_by)
        VALUES (tenant, name, 'local', a, 'active', 'test') RETURNING connection_id INTO c;
    INSERT INTO cloudsync.destination (account_id, root, connection_id) VALUES (a, '/CloudSync', c) RETURNING destination_id INTO d;
    INSERT INTO cloudsync.push_setting VALUES (c, d, auto_sync, 'CloudSync', '{dossier_label}', '10 minutes', 'keep_both', 'keep', false, 'UTC');
END
$$;
-- What was pushed where.
CREATE PROCEDURE pushed(name text, VARIADIC keys text[]) LANGUAGE sql AS $$
    INSERT INTO cloudsync.pushed_dossier (destination_id, dossiers_id, dossier, folder, folder_key, wanted, state)
        SELECT d.destination_id, t.dossiers_id, k, k, k, k, 'synced'
        FROM cloudsync.connection c JOIN cloudsync.destination d USING (connection_id), cloudsync.dossier_table t, unnest(keys) k
        WHERE c.name = pushed.name AND t.dossiers = 'dossier'::regclass
$$;
CREATE VIEW due AS
    SELECT c.name, d.dossier, d.generation, d.claimed, d.changes, d.backfill,
           d.start_at - d.changed_at AS start, d.due_at - d.changed_at AS due
    FROM cloudsync.due d JOIN cloudsync.connection c USING (connection_id)
    ORDER BY c.name, d.backfill, d.start_at, d.dossier;
CALL connect('North', 'north');
CALL connect('South', 'south');
CALL connect('Nobody', '');
CALL connect('Manual', 'north', false);

-- a dossier goes to its own tenant's connections; of many changes one row
BEGIN;
INSERT INTO dossier VALUES (1, 'n', 'north'), (2, 's', 'south'), (3, 'none', NULL), (4, 'empty', ''), (5, 'x', 'west');
INSERT INTO file VALUES (1, 1, 'a', 'x'), (2, 1, 'b', 'y'), (3, 2, 'c', 'z');
SELECT cloudsync.fold();
SELECT * FROM due;
SELECT count(*) FROM cloudsync.change;
-- a further change of a waiting dossier keeps its time
UPDATE cloudsync.due SET changed_at = '2026-01-01 12:00', start_at = '2026-01-01 12:05', due_at = '2026-01-01 12:10' WHERE dossier = '1';
INSERT INTO file VALUES (4, 1, 'd', 'x');
SELECT cloudsync.fold();
SELECT generation, changes, changed_at = '2026-01-01 12:00' AS kept FROM cloudsync.due WHERE dossier = '1';
-- one of a dossier that is being pushed begins a new wait
UPDATE cloudsync.due SET claimed = generation WHERE dossier = '1';
INSERT INTO file VALUES (9, 1, 'new', 'x');
SELECT cloudsync.fold();
SELECT generation, claimed, changes, changed_at > '2026-01-01 12:00' AS anew FROM cloudsync.due WHERE dossier = '1';
-- and a change of one that waits only because it existed is a live one
UPDATE cloudsync.due SET backfill = true, claimed = NULL, changed_at = '2026-01-01 12:00', start_at = '2026-01-01 12:00' WHERE dossier = '1';
INSERT INTO file VALUES (10, 1, 'newer', 'x');
SELECT cloudsync.fold();
SELECT backfill, changed_at > '2026-01-01 12:00' AS anew FROM cloudsync.due WHERE dossier = '1';
ROLLBACK;

-- a tenant that changed, a dossier that is gone: the old connection, too, if it has it
BEGIN;
SET LOCAL cloudsync.capture = off;
INSERT INTO dossier VALUES (1, 'n', 'north'), (2, 'n', 'north'), (3, 'n', 'north');
SET LOCAL cloudsync.capture = on;
CALL pushed('South', '1', '2');
CALL pushed('Manual', '1');
UPDATE dossier SET title = 'moved' WHERE id = 1;
INSERT INTO file VALUES (7, 2, 'a', 'x');
SELECT cloudsync.fold();
SELECT name, dossier, changes FROM due;
DELETE FROM cloudsync.due;
-- a file of a dossier that is gone by the time of the fold
INSERT INTO file VALUES (8, 3, 'a', 'x');
SET LOCAL cloudsync.capture = off;
DELETE FROM dossier WHERE id IN (2, 3);
SET LOCAL cloudsync.capture = on;
SELECT cloudsync.note_change(dossiers_id, '2', NULL) FROM cloudsync.dossier_table;
SELECT cloudsync.fold();
SELECT name, dossier FROM due;
ROLLBACK;

-- where all connections are of one tenant: those that have what is no more
-- theirs, or nobody's
BEGIN;
UPDATE cloudsync.connection SET state = 'disconnected' WHERE name <> 'North';
SET LOCAL cloudsync.capture = off;
INSERT INTO dossier VALUES (1, 'n', 'north'), (2, 's', 'south'), (3, 'none', NULL), (4, 'n', 'north');
SET LOCAL cloudsync.capture = on;
CALL pushed('North', '2', '3', '4', '77');
UPDATE dossier SET title = 'changed' WHERE id > 1;
SELECT cloudsync.note_change(dossiers_id, '77', NULL), cloudsync.note_change(dossiers_id, '88', NULL)
    FROM cloudsync.dossier_table;
SELECT cloudsync.fold();
SELECT name, dossier, changes FROM due;
ROLLBACK;

-- many changes of one dossier, noted with and without its tenant, make one row
BEGIN;
INSERT INTO dossier VALUES (1, 'n', 'north');
INSERT INTO file SELECT i, 1, 'a', 'x' FROM generate_series(1, 500) i;
CALL pushed('South', '1');
SELECT cloudsync.fold();
SELECT name, dossier, changes FROM due;
ROLLBACK;

-- truncate, and resync: everything that was pushed, and, for resync, all that there is
BEGIN;
SET LOCAL cloudsync.capture = off;
INSERT INTO dossier VALUES (1, 'n', 'north'), (2, 's', 'south');
SET LOCAL cloudsync.capture = on;
CALL pushed('North', '1', '77');
CALL pushed('Nobody', '88');
SELECT cloudsync_resync('dossier');
SELECT cloudsync.fold();
SELECT name, dossier FROM due;
DELETE FROM cloudsync.due;
TRUNCATE dossier CASCADE;
SELECT cloudsync.fold();
SELECT name, dossier FROM due;
ROLLBACK;

-- switched off, disconnected: not
BEGIN;
UPDATE cloudsync.connection SET state = 'disconnected' WHERE name = 'South';
UPDATE cloudsync.connection SET state = 'needs_consent' WHERE name = 'North';
INSERT INTO dossier VALUES (1, 'n', 'north'), (2, 's', 'south');
SELECT cloudsync.fold();
SELECT name, dossier FROM due;
ROLLBACK;

-- a table that cannot be read: its changes stay
BEGIN;
INSERT INTO dossier VALUES (1, 'n', 'north');
INSERT INTO file VALUES (1, 1, 'a', 'x');
ALTER TABLE dossier DROP COLUMN company;
SAVEPOINT broken;
SELECT cloudsync.fold();
ROLLBACK TO broken;
SELECT count(*) FROM cloudsync.change;
ROLLBACK;
-- a policy that would hide rows is an error, not a deletion
CREATE ROLE fold_owner;
GRANT fold_owner TO CURRENT_USER;
ALTER TABLE dossier OWNER TO fold_owner;
BEGIN;
INSERT INTO dossier VALUES (1, 'n', 'north');
INSERT INTO file VALUES (1, 1, 'a', 'x');
ALTER TABLE dossier ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT cloudsync.fold();
ROLLBACK;
-- the table owner's code runs as the owner, restricted
CREATE TYPE company AS ENUM ('north', 'south');
CREATE TABLE seen (who text);
GRANT ALL ON seen TO fold_owner;
GRANT USAGE ON SCHEMA public TO fold_owner;
CREATE FUNCTION spy(company) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.seen VALUES (current_user);
    RETURN enum_out($1);
END
$$;
CREATE CAST (company AS text) WITH FUNCTION spy(company);
CREATE TABLE odd (id integer PRIMARY KEY, title text, company company);
CREATE TABLE odd_file (id integer PRIMARY KEY, odd_id integer REFERENCES odd, name text, content bytea);
INSERT INTO odd VALUES (1, 'x', 'north'), (2, 'y', 'south');
ALTER TABLE odd OWNER TO fold_owner;
SELECT cloudsync_track('odd', 'odd_file', tenant => 'company');
BEGIN;
INSERT INTO odd_file VALUES (1, 1, 'a', 'x'), (2, 2, 'b', 'x');
SELECT cloudsync.fold();
SELECT name, dossier FROM due;
SELECT DISTINCT who FROM seen;
ROLLBACK;
-- what it may not do fails, and is said; the writes of the application went through
CREATE OR REPLACE FUNCTION spy(company) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'SET ROLE postgres';
    RETURN 'north';
END
$$;
BEGIN;
INSERT INTO odd_file VALUES (1, 1, 'a', 'x');
SELECT cloudsync.fold();
ROLLBACK;

DROP VIEW due;
DROP EXTENSION cloudsync;
DROP TABLE file, dossier, odd_file, odd, seen;
DROP TYPE company CASCADE;
REVOKE ALL ON SCHEMA public FROM fold_owner;
DROP ROLE fold_owner;
