/*
 * history.sql: runs, which are the history, and what each touched (H1).
 */

/*
 * One execution of a push, a collection, a refresh or a preparation; also the
 * queue of what was asked for. Each call has its own run; shared_run_id names
 * the run whose execution served it too. A run that a crash cut off goes back
 * to queued and is taken again under the same number.
 */
CREATE TABLE cloudsync.run (
    run_id bigserial PRIMARY KEY,
    tenant text NOT NULL DEFAULT '',
    kind text NOT NULL CHECK (kind IN ('push', 'collect', 'refresh', 'prepare')),
    connection_id bigint NOT NULL REFERENCES cloudsync.connection,
    channel_id bigint,
    dossiers_id integer,
    dossier text,
    document_id bigint,
    origin text NOT NULL CHECK (origin IN ('manual', 'auto', 'schedule')),
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    not_before timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'succeeded', 'partial', 'failed', 'cancelled')),
    shared_run_id bigint,
    cancel_requested boolean NOT NULL DEFAULT false,
    files_done integer NOT NULL DEFAULT 0,
    files_skipped integer NOT NULL DEFAULT 0,
    files_failed integer NOT NULL DEFAULT 0,
    bytes_sent bigint NOT NULL DEFAULT 0,
    bytes_received bigint NOT NULL DEFAULT 0,
    requests bigint NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    error text
) WITH (fillfactor = 80);
CREATE INDEX run_active ON cloudsync.run (connection_id, run_id) WHERE state IN ('queued', 'running');
CREATE INDEX run_connection ON cloudsync.run (connection_id, run_id);
CREATE INDEX run_channel ON cloudsync.run (channel_id, run_id) WHERE channel_id IS NOT NULL;

CREATE TABLE cloudsync.run_file (
    run_file_id bigserial PRIMARY KEY,
    run_id bigint NOT NULL REFERENCES cloudsync.run,
    connection_id bigint NOT NULL,
    action text NOT NULL,
    path text NOT NULL,
    size bigint,
    sha256 bytea,
    error text
);
CREATE INDEX run_file_run ON cloudsync.run_file (run_id);
