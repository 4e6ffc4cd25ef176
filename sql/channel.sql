/*
 * channel.sql: recipients, channels, their folders and items, and the dedup
 * keys that make collection happen exactly once (L1 to L12).
 */

CREATE TABLE cloudsync.recipient (
    recipient_id bigserial PRIMARY KEY,
    tenant text NOT NULL,
    name text NOT NULL CHECK (name OPERATOR(pg_catalog.<>) ''),
    email text,
    external boolean NOT NULL DEFAULT false,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    UNIQUE (tenant, name)
);

CREATE TABLE cloudsync.channel (
    channel_id bigserial PRIMARY KEY,
    tenant text NOT NULL,
    connection_id bigint NOT NULL REFERENCES cloudsync.connection,
    name text NOT NULL CHECK (name OPERATOR(pg_catalog.<>) ''),
    recipient text NOT NULL,
    binder text NOT NULL,
    auto_collect boolean NOT NULL,
    collect_every interval NOT NULL,
    collect_at time NOT NULL,
    time_zone text NOT NULL,
    recursive boolean NOT NULL,
    include text[] NOT NULL,
    exclude text[] NOT NULL,
    max_size bigint,
    dedup text NOT NULL CHECK (dedup IN ('content', 'item', 'version')),
    after_collect text NOT NULL,
    next_collect_at timestamptz,
    last_run_id bigint,
    last_synced_at timestamptz,
    synced_by text,
    -- grows when a filter or a folder changes: everything is then listed in full once
    listing_epoch integer NOT NULL DEFAULT 1,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    deleted_at timestamptz
);
CREATE UNIQUE INDEX channel_name ON cloudsync.channel (tenant, name) WHERE deleted_at IS NULL;
CREATE INDEX channel_due ON cloudsync.channel (next_collect_at) WHERE deleted_at IS NULL AND next_collect_at IS NOT NULL;
CREATE INDEX channel_connection ON cloudsync.channel (connection_id);

CREATE TABLE cloudsync.channel_folder (
    channel_id bigint NOT NULL REFERENCES cloudsync.channel,
    folder_no integer NOT NULL,
    path text NOT NULL,
    remote_id text,
    state text NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'ok', 'failed', 'gone')),
    last_error text,
    listed_at timestamptz,
    PRIMARY KEY (channel_id, folder_no)
);

-- What is in a channel's folders, as last listed. listing is the run that saw
-- it last. Kept in dumps, since it tells a path that was gone from one that
-- never was.
CREATE TABLE cloudsync.item (
    item_id bigserial PRIMARY KEY,
    connection_id bigint NOT NULL,
    channel_id bigint NOT NULL REFERENCES cloudsync.channel,
    folder_no integer NOT NULL,
    path text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('file', 'folder', 'other')),
    size bigint,
    modified_at timestamptz,
    remote_id text,
    remote_version text,
    state text NOT NULL CHECK (state IN ('new', 'collected', 'duplicate', 'excluded', 'changed', 'failed', 'gone')),
    reason text,
    sha256 bytea,
    document_id bigint,
    listing bigint NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    -- when it was last found to differ from the look before: the stable-file rule
    unstable_at timestamptz,
    -- still to be moved away after collection (L12): where to
    move_to text,
    attempts integer NOT NULL DEFAULT 0,
    next_try_at timestamptz,
    UNIQUE (channel_id, path)
) WITH (fillfactor = 80);
CREATE INDEX item_todo ON cloudsync.item (channel_id) WHERE state IN ('new', 'failed');
CREATE INDEX item_move ON cloudsync.item (connection_id) WHERE move_to IS NOT NULL;
CREATE INDEX item_remote_id ON cloudsync.item (channel_id, remote_id);

/*
 * What was collected, for ever: the unique key is what makes "exactly once"
 * hold whatever else happens. kind 'item': key is the provider's file id;
 * 'content': the channel's name and the SHA-256; 'version': id or path, and
 * version or SHA-256. Belongs to the account, so that a connection or a channel
 * made again takes it up.
 */
CREATE TABLE cloudsync.dedup (
    account_id bigint NOT NULL REFERENCES cloudsync.account,
    kind text NOT NULL CHECK (kind IN ('item', 'content', 'version')),
    key text NOT NULL,
    document_id bigint,
    remote_version text,
    size bigint,
    sha256 bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (account_id, kind, key)
);
