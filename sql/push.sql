/*
 * push.sql: push settings, what is due, and what was pushed (P2 to P17).
 */

-- An error if the text is no folder template, or a tag of it is not known to
-- the tracked table (NULL: to every tracked table).
CREATE FUNCTION cloudsync.template_check(folder text, dossiers regclass) RETURNS void
    LANGUAGE c STABLE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'cloudsync_template_check';

CREATE TABLE cloudsync.push_setting (
    connection_id bigint PRIMARY KEY REFERENCES cloudsync.connection,
    destination_id bigint NOT NULL,
    auto_sync boolean NOT NULL,
    root text NOT NULL,
    folder text NOT NULL,
    every interval NOT NULL,
    on_conflict text NOT NULL CHECK (on_conflict IN ('keep_both', 'overwrite', 'skip')),
    on_delete text NOT NULL CHECK (on_delete IN ('keep', 'trash')),
    manifest boolean NOT NULL,
    time_zone text NOT NULL
);

CREATE TABLE cloudsync.procedure_folder (
    connection_id bigint NOT NULL REFERENCES cloudsync.connection,
    procedure text NOT NULL,
    folder text NOT NULL,
    PRIMARY KEY (connection_id, procedure)
);

-- Where dossiers go: an account and a root in it. Pushed records hang on it and
-- outlive the connection; connection_id is the one that pushes there now.
CREATE TABLE cloudsync.destination (
    destination_id bigserial PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES cloudsync.account,
    root text NOT NULL,
    connection_id bigint REFERENCES cloudsync.connection,
    remote_id text,
    prepared_at timestamptz,
    UNIQUE (account_id, root)
);
ALTER TABLE cloudsync.push_setting ADD FOREIGN KEY (destination_id) REFERENCES cloudsync.destination;

/*
 * The queue: dossiers that a connection has to push. generation grows with each
 * fold; claimed is the generation that a worker took. Settling removes the row
 * only if the two are still the same, so that a change made meanwhile is kept.
 */
CREATE TABLE cloudsync.due (
    connection_id bigint NOT NULL,
    dossiers_id integer NOT NULL,
    dossier text NOT NULL,
    generation bigint NOT NULL DEFAULT 1,
    claimed bigint,
    changes bigint NOT NULL DEFAULT 1,
    backfill boolean NOT NULL DEFAULT false,
    changed_at timestamptz NOT NULL,
    start_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    last_error text,
    PRIMARY KEY (connection_id, dossiers_id, dossier)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX due_start ON cloudsync.due (connection_id, backfill, start_at);

-- Dossiers that existed when automatic push was switched on, walked newest
-- first in steps; last_key is where the walk stands.
CREATE TABLE cloudsync.backfill (
    connection_id bigint NOT NULL,
    dossiers_id integer NOT NULL,
    last_key text,
    noted bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (connection_id, dossiers_id)
);

-- A dossier's folder at a destination. folder is the path below the account's
-- root; folder_key the same as the provider compares names; wanted what the
-- templates gave before a number was added, so that a change in the database is
-- told from a name a customer gave.
CREATE TABLE cloudsync.pushed_dossier (
    destination_id bigint NOT NULL REFERENCES cloudsync.destination,
    dossiers_id integer NOT NULL,
    dossier text NOT NULL,
    folder text NOT NULL,
    folder_key text NOT NULL,
    wanted text NOT NULL,
    remote_id text,
    state text NOT NULL CHECK (state IN ('synced', 'partial', 'failed', 'removed_there')),
    last_pushed_at timestamptz,
    last_run_id bigint,
    last_error text,
    web_url text,
    PRIMARY KEY (destination_id, dossiers_id, dossier),
    UNIQUE (destination_id, folder_key)
);

/*
 * A file at a destination: what is there now (path, remote_*, size, sha256) and
 * what is being brought there (intent_*: written down before the first byte;
 * size and SHA-256 before the step that makes it visible), so that after a
 * crash ours can be told from somebody else's. content_version is the identity
 * of the application's value that was sent, so that what is unchanged is not
 * read. source_id 0 is the manifest.
 */
CREATE TABLE cloudsync.pushed_file (
    destination_id bigint NOT NULL REFERENCES cloudsync.destination,
    dossiers_id integer NOT NULL,
    dossier text NOT NULL,
    source_id integer NOT NULL,
    file_key text NOT NULL,
    path text,
    path_key text,
    wanted text,
    remote_id text,
    remote_version text,
    remote_checksum text,
    size bigint,
    sha256 bytea,
    content_version text,
    state text NOT NULL CHECK (state IN ('sending', 'synced', 'failed', 'skipped', 'kept', 'to_trash', 'trashed', 'removed_there')),
    marked boolean NOT NULL DEFAULT false,
    intent_run_id bigint,
    intent_path text,
    intent_temp text,
    intent_size bigint,
    intent_sha256 bytea,
    attempts integer NOT NULL DEFAULT 0,
    next_try_at timestamptz,
    last_error text,
    web_url text,
    PRIMARY KEY (destination_id, dossiers_id, dossier, source_id, file_key)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX pushed_file_path ON cloudsync.pushed_file (destination_id, path_key)
    WHERE path_key IS NOT NULL;
CREATE INDEX pushed_file_failed ON cloudsync.pushed_file (destination_id, next_try_at)
    WHERE next_try_at IS NOT NULL;

-- What was moved to the trash, for cloudsync.max_trash a connection and hour.
CREATE TABLE cloudsync.trash_log (
    connection_id bigint NOT NULL,
    trashed_at timestamptz NOT NULL,
    path text NOT NULL
);
CREATE INDEX ON cloudsync.trash_log (connection_id, trashed_at);
