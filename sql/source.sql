/*
 * source.sql: which application tables are tracked, and the log of their
 * changes (P1, P2).
 */

-- A tracked table of dossiers. Columns are kept by number, so that a rename is
-- followed, and by name, so that a dump can be restored (numbers change there);
-- the scheduler keeps the names up to date.
CREATE TABLE cloudsync.dossier_table (
    dossiers_id serial PRIMARY KEY,
    dossiers regclass NOT NULL UNIQUE,
    key_column smallint NOT NULL,
    key_name name NOT NULL,
    label_column smallint,
    label_name name,
    tenant_column smallint,
    tenant_name name,
    procedure_column smallint,
    procedure_name name,
    last_error text,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);

-- A tracked table of files; a dossiers table may have several.
CREATE TABLE cloudsync.source (
    source_id serial PRIMARY KEY,
    dossiers_id integer NOT NULL REFERENCES cloudsync.dossier_table,
    files regclass NOT NULL,
    key_column smallint NOT NULL,
    key_name name NOT NULL,
    dossier_column smallint NOT NULL,
    dossier_name name NOT NULL,
    name_column smallint NOT NULL,
    name_name name NOT NULL,
    content_column smallint NOT NULL,
    content_name name NOT NULL,
    content_kind text NOT NULL CHECK (content_kind IN ('bytea', 'oid', 'text')),
    content_connection text,
    last_error text,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    UNIQUE (dossiers_id, files)
);

/*
 * The change log: appended to by triggers in the writer's transaction, one row
 * a dossier and file, taken away by the scheduler's fold. No unique index, so
 * that writers never wait for each other. tenant is the dossier's tenant
 * where the trigger sees it (both old and new have a row when it changed), and
 * NULL where it does not: the fold then looks it up. dossier is NULL for
 * "every dossier" (TRUNCATE).
 */
CREATE TABLE cloudsync.change (
    dossiers_id integer NOT NULL,
    source_id integer,
    dossier text,
    file_key text,
    tenant text,
    changed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);
