/*
 * inbox.sql: collected documents and their bytes (B1, B3).
 */

-- The bytes of one document in order. A content listed in staging is not a
-- document yet; settling removes it from there.
CREATE TABLE cloudsync.content (
    content_id bigserial PRIMARY KEY,
    connection_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE TABLE cloudsync.chunk (
    content_id bigint NOT NULL,
    seq integer NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (content_id, seq)
);
ALTER TABLE cloudsync.chunk ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE TABLE cloudsync.staging (
    content_id bigint PRIMARY KEY,
    connection_id bigint NOT NULL,
    run_id bigint NOT NULL,
    item_id bigint NOT NULL,
    started_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX ON cloudsync.staging (connection_id);

CREATE TABLE cloudsync.document (
    document_id bigserial PRIMARY KEY,
    tenant text NOT NULL,
    account_id bigint NOT NULL REFERENCES cloudsync.account,
    connection_id bigint NOT NULL REFERENCES cloudsync.connection,
    channel_id bigint NOT NULL,
    run_id bigint NOT NULL,
    name text NOT NULL,
    size bigint NOT NULL,
    sha256 bytea NOT NULL,
    media_type text NOT NULL,
    remote_id text,
    remote_path text NOT NULL,
    remote_version text,
    remote_modified_at timestamptz,
    recipient text NOT NULL,
    binder text NOT NULL,
    collected_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'filed', 'rejected', 'forgotten')),
    version integer NOT NULL DEFAULT 1,
    content_id bigint
);
CREATE INDEX document_inbox ON cloudsync.document (tenant, recipient, collected_at) WHERE state OPERATOR(pg_catalog.=) 'waiting';
CREATE INDEX document_channel ON cloudsync.document (channel_id);

-- Functions of the application that run for each document (B3).
CREATE TABLE cloudsync.hook (
    hook_id serial PRIMARY KEY,
    fn regprocedure NOT NULL,
    event text NOT NULL CHECK (event IN ('collected', 'ocr')),
    registered_by text NOT NULL,
    UNIQUE (fn, event)
);
