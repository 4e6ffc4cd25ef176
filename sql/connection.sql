/*
 * connection.sql: providers, accounts, connections (C1 to C7).
 */

-- One authorised store at a provider. Dedup and pushed records hang on it and
-- outlive the connection (C2).
CREATE TABLE cloudsync.account (
    account_id bigserial PRIMARY KEY,
    tenant text NOT NULL,
    provider text NOT NULL,
    account text NOT NULL,
    UNIQUE (tenant, provider, account)
);

CREATE TABLE cloudsync.connection (
    connection_id bigserial PRIMARY KEY,
    tenant text NOT NULL DEFAULT '',
    name text NOT NULL CHECK (name OPERATOR(pg_catalog.<>) ''),
    provider text NOT NULL,
    account_id bigint NOT NULL REFERENCES cloudsync.account,
    options jsonb NOT NULL DEFAULT '{}',
    state text NOT NULL CHECK (state IN ('pending', 'active', 'needs_consent', 'disabled', 'disconnected')),
    reason text,
    -- the worker's own backoff: failures in a row, and not before
    failures integer NOT NULL DEFAULT 0,
    retry_at timestamptz,
    bytes_per_second bigint,
    requests_per_second real,
    max_bytes_per_day bigint,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    last_used_at timestamptz
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX connection_name ON cloudsync.connection (tenant, name)
    WHERE state OPERATOR(pg_catalog.<>) 'disconnected';
CREATE INDEX connection_account ON cloudsync.connection (account_id);
