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
    -- the installation in which the numbers are good; in another copy the names are
    resolved_in uuid NOT NULL,
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
    -- the installation in which the numbers are good; in another copy the names are
    resolved_in uuid NOT NULL,
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

-- Numbers of tables that are tracked no more, so that what was pushed from them
-- is taken up when they are tracked again.
CREATE TABLE cloudsync.untracked (
    dossiers text NOT NULL,
    files text,
    key_name name NOT NULL,
    dossiers_id integer NOT NULL,
    source_id integer,
    untracked_by text NOT NULL,
    untracked_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);

/*
 * What the triggers run, in the session of whoever writes. Its arguments are
 * dossiers_id and, on a files table, source_id; on any other table than these
 * it notes nothing.
 */
CREATE FUNCTION cloudsync.capture_change() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'cloudsync_capture_change';
-- Notes a change; dossier NULL: of every dossier of the table.
CREATE FUNCTION cloudsync.note_change(dossiers_id integer, dossier text, tenant text) RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME', 'cloudsync_note_change';
-- Notes every dossier that there is; returns how many.
CREATE FUNCTION cloudsync.note_all(dossiers_id integer) RETURNS bigint
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'cloudsync_note_all';
-- A dossier's key as the change log has it, and its tenant; found false: there is no such row.
CREATE FUNCTION cloudsync.look_up(dossiers_id integer, dossier text, OUT key text, OUT found boolean, OUT tenant text)
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'cloudsync_look_up';
-- One batch of the scheduler's fold, in this transaction; returns how many changes it took.
CREATE FUNCTION cloudsync.fold() RETURNS bigint
    LANGUAGE c AS 'MODULE_PATHNAME', 'cloudsync_fold';

-- The name of a table's column by number; NULL when it is gone.
CREATE FUNCTION cloudsync.column_name(tracked regclass, number smallint) RETURNS name
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT a.attname FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = tracked AND a.attnum = number AND NOT a.attisdropped;
END;

-- Follows renames: names after numbers. What is gone is said in last_error.
CREATE FUNCTION cloudsync.refresh_column_names() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
BEGIN
    WITH now AS (
        SELECT d.dossiers_id, cloudsync.column_name(dossiers, key_column) AS key_name,
               cloudsync.column_name(dossiers, label_column) AS label_name,
               cloudsync.column_name(dossiers, tenant_column) AS tenant_name,
               cloudsync.column_name(dossiers, procedure_column) AS procedure_name
        FROM cloudsync.dossier_table d JOIN cloudsync.installation i ON i.installation = d.resolved_in
    ), checked AS (
        SELECT n.*, CASE WHEN NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = d.dossiers) THEN 'tracked table is gone'
               WHEN n.key_name IS NULL THEN format('tracked column "%s" is gone', d.key_name)
               WHEN n.label_name IS NULL AND d.label_column IS NOT NULL THEN format('tracked column "%s" is gone', d.label_name)
               WHEN n.tenant_name IS NULL AND d.tenant_column IS NOT NULL THEN format('tracked column "%s" is gone', d.tenant_name)
               WHEN n.procedure_name IS NULL AND d.procedure_column IS NOT NULL THEN format('tracked column "%s" is gone', d.procedure_name)
               END AS problem
        FROM now n JOIN cloudsync.dossier_table d USING (dossiers_id)
    )
    UPDATE cloudsync.dossier_table d
        SET key_name = coalesce(c.key_name, d.key_name), label_name = coalesce(c.label_name, d.label_name),
            tenant_name = coalesce(c.tenant_name, d.tenant_name), procedure_name = coalesce(c.procedure_name, d.procedure_name),
            last_error = coalesce(c.problem, d.last_error)
        FROM checked c
        WHERE c.dossiers_id = d.dossiers_id
          AND (d.key_name, d.label_name, d.tenant_name, d.procedure_name, d.last_error) IS DISTINCT FROM
              (coalesce(c.key_name, d.key_name), coalesce(c.label_name, d.label_name), coalesce(c.tenant_name, d.tenant_name),
               coalesce(c.procedure_name, d.procedure_name), coalesce(c.problem, d.last_error));
    WITH now AS (
        SELECT s.source_id, cloudsync.column_name(files, key_column) AS key_name,
               cloudsync.column_name(files, dossier_column) AS dossier_name,
               cloudsync.column_name(files, name_column) AS name_name,
               cloudsync.column_name(files, content_column) AS content_name
        FROM cloudsync.source s JOIN cloudsync.installation i ON i.installation = s.resolved_in
    ), checked AS (
        SELECT n.*, CASE WHEN NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = s.files) THEN 'tracked table is gone'
               WHEN n.key_name IS NULL THEN format('tracked column "%s" is gone', s.key_name)
               WHEN n.dossier_name IS NULL THEN format('tracked column "%s" is gone', s.dossier_name)
               WHEN n.name_name IS NULL THEN format('tracked column "%s" is gone', s.name_name)
               WHEN n.content_name IS NULL THEN format('tracked column "%s" is gone', s.content_name)
               END AS problem
        FROM now n JOIN cloudsync.source s USING (source_id)
    )
    UPDATE cloudsync.source s
        SET key_name = coalesce(c.key_name, s.key_name), dossier_name = coalesce(c.dossier_name, s.dossier_name),
            name_name = coalesce(c.name_name, s.name_name), content_name = coalesce(c.content_name, s.content_name),
            last_error = coalesce(c.problem, s.last_error)
        FROM checked c
        WHERE c.source_id = s.source_id
          AND (s.key_name, s.dossier_name, s.name_name, s.content_name, s.last_error) IS DISTINCT FROM
              (coalesce(c.key_name, s.key_name), coalesce(c.dossier_name, s.dossier_name), coalesce(c.name_name, s.name_name),
               coalesce(c.content_name, s.content_name), coalesce(c.problem, s.last_error));
END
$$;

-- In a restored copy, where column numbers are new: numbers after names, and the triggers that are missing.
CREATE FUNCTION cloudsync.reresolve_sources() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
DECLARE
    here uuid := (SELECT i.installation FROM cloudsync.installation i);
    d cloudsync.dossier_table;
    s cloudsync.source;
BEGIN
    UPDATE cloudsync.dossier_table d
        SET key_column = coalesce((SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = d.dossiers AND a.attname = d.key_name AND a.attnum > 0), 0),
            label_column = CASE WHEN label_name IS NOT NULL THEN coalesce((SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = d.dossiers AND a.attname = d.label_name AND a.attnum > 0), 0) END,
            tenant_column = CASE WHEN tenant_name IS NOT NULL THEN coalesce((SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = d.dossiers AND a.attname = d.tenant_name AND a.attnum > 0), 0) END,
            procedure_column = CASE WHEN procedure_name IS NOT NULL THEN coalesce((SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = d.dossiers AND a.attname = d.procedure_name AND a.attnum > 0), 0) END,
            resolved_in = here, last_error = NULL
        WHERE d.resolved_in <> here;
    UPDATE cloudsync.source s
        SET key_column = coalesce((SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = s.files AND a.attname = s.key_name AND a.attnum > 0), 0),
            dossier_column = coalesce((SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = s.files AND a.attname = s.dossier_name AND a.attnum > 0), 0),
            name_column = coalesce((SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = s.files AND a.attname = s.name_name AND a.attnum > 0), 0),
            content_column = coalesce((SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = s.files AND a.attname = s.content_name AND a.attnum > 0), 0),
            resolved_in = here, last_error = NULL
        WHERE s.resolved_in <> here;
    PERFORM cloudsync.refresh_column_names();
    FOR d IN SELECT t.* FROM cloudsync.dossier_table t JOIN pg_class c ON c.oid = t.dossiers LOOP
        PERFORM cloudsync.install_triggers(d.dossiers, d.dossiers_id, NULL);
    END LOOP;
    FOR s IN SELECT t.* FROM cloudsync.source t JOIN pg_class c ON c.oid = t.files LOOP
        PERFORM cloudsync.install_triggers(s.files, s.dossiers_id, s.source_id);
    END LOOP;
END
$$;
