/*
 * item.sql: what is in channels' folders and what was collected of it: items,
 * and the dedup keys that make collection happen exactly once (L4, L9, L12).
 */

-- What is in a channel's folders, as last listed; a folder has no state unless
-- it is gone. A row is written when something about it changed: listing is the
-- run that did, seen_at when. Kept in dumps, since it tells a path that was gone
-- from one that never was.
CREATE TABLE cloudsync.item (
    item_id bigserial PRIMARY KEY,
    connection_id bigint NOT NULL,
    channel_id bigint NOT NULL REFERENCES cloudsync.channel,
    folder_no integer NOT NULL,
    path text NOT NULL,
    -- where changes are followed: the path as the service compares paths
    path_key text COLLATE pg_catalog."C",
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('file', 'folder', 'other')),
    size bigint,
    modified_at timestamptz,
    remote_id text,
    remote_version text,
    -- of the shortcut by which it is in the folder; remote_id is its target's
    link_id text,
    -- by the service's word, if equal ones are equal bytes: 'sha256:' and
    -- hexadecimal, or in the service's own notation
    checksum text,
    state text CHECK (state IN ('new', 'collected', 'duplicate', 'excluded', 'changed', 'failed', 'gone')
        AND (state IS NOT NULL OR kind OPERATOR(pg_catalog.=) 'folder')),
    reason text,
    -- of what was collected, which what is there now may differ from; verify:
    -- size and path are the same but the version is not, so the bytes are to be
    -- compared by the next collection
    sha256 bytea,
    verify boolean NOT NULL DEFAULT false,
    document_id bigint,
    listing bigint NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    -- since when it has looked as it does: the stable-file rule (L9)
    unchanged_since timestamptz,
    -- still to be moved away after collection (L12): the whole target path
    move_to text,
    attempts integer NOT NULL DEFAULT 0,
    next_try_at timestamptz,
    -- a folder that came into a channel's folder with what is in it: to be listed
    unlisted boolean NOT NULL DEFAULT false,
    UNIQUE (channel_id, path)
) WITH (fillfactor = 80);
CREATE INDEX item_todo ON cloudsync.item (channel_id, item_id) WHERE state IN ('new', 'failed') OR verify;
CREATE INDEX item_told ON cloudsync.item (channel_id, state) WHERE state IN ('failed', 'changed'); -- by the status
CREATE INDEX item_unlisted ON cloudsync.item (channel_id) WHERE unlisted;
CREATE INDEX item_path_key ON cloudsync.item (channel_id, path_key) WHERE path_key IS NOT NULL;
CREATE INDEX item_remote_id ON cloudsync.item (remote_id, channel_id) WHERE path_key IS NOT NULL AND remote_id IS NOT NULL;
CREATE INDEX item_link_id ON cloudsync.item (link_id, channel_id) WHERE link_id IS NOT NULL;
CREATE INDEX item_move ON cloudsync.item (connection_id) WHERE move_to IS NOT NULL;
-- Is a file of ours in the folder? (L7)
CREATE INDEX pushed_file_remote_id ON cloudsync.pushed_file (destination_id, remote_id) WHERE remote_id IS NOT NULL;
CREATE INDEX pushed_file_intent_path ON cloudsync.pushed_file (destination_id, intent_path) WHERE intent_path IS NOT NULL;
CREATE INDEX item_document ON cloudsync.item (document_id) WHERE document_id IS NOT NULL;

/*
 * What was collected, for ever: the unique key is what makes "exactly once"
 * hold whatever else happens. kind 'item': key is the provider's file id;
 * 'content': the channel's name and the SHA-256; 'version': id or path, and
 * version or SHA-256. 'checksum' is no identity: it says which SHA-256 the bytes
 * of a service's own checksum have, so that they are known without a download
 * (L9). Belongs to the account, so that a connection or a channel
 * made again takes it up.
 */
CREATE TABLE cloudsync.dedup (
    account_id bigint NOT NULL REFERENCES cloudsync.account,
    kind text NOT NULL CHECK (kind IN ('item', 'content', 'version', 'checksum')),
    key text NOT NULL,
    document_id bigint,
    remote_version text,
    size bigint,
    sha256 bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (account_id, kind, key)
);
