/*
 * vault.sql: secrets at rest (S1). Encrypted by keys that are outside of the
 * database; docs/security.md says where.
 */

-- One secret of each connection (or registered application), as ciphertext
-- bound to its row. pg_dump carries it as it is.
CREATE TABLE cloudsync.secret (
    owner_kind text NOT NULL CHECK (owner_kind IN ('connection', 'app', 'token', 'consent', 'renewal', 'renewal token')),
    owner_id bigint NOT NULL,
    tenant text NOT NULL,
    -- the fingerprint of the key that it is encrypted by
    key_id text NOT NULL,
    nonce bytea NOT NULL,
    sealed bytea NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (owner_kind, owner_id)
);

-- Hides the session's statement from the log and from pg_stat_activity, as far
-- as PostgreSQL lets one. The first thing that a function does that takes secrets.
CREATE FUNCTION cloudsync.hide_statement() RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'cloudsync_hide_statement';
-- Stores the owner's secret, in place of its former one; false: it is the same.
CREATE FUNCTION cloudsync.keep_secret(owner_kind text, owner_id bigint, tenant text, secret jsonb) RETURNS boolean
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'cloudsync_keep_secret';
-- Is it the owner's secret, as it is stored?
CREATE FUNCTION cloudsync.is_secret(owner_kind text, owner_id bigint, tenant text, secret jsonb) RETURNS boolean
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'cloudsync_is_secret';
CREATE FUNCTION cloudsync.rotate_secrets() RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'cloudsync_rotate_secrets';

CREATE FUNCTION @extschema@.cloudsync_rotate_key() RETURNS integer
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    turned integer;
BEGIN
    PERFORM cloudsync.refuse_tenant('cloudsync_rotate_key');
    turned := cloudsync.rotate_secrets();
    PERFORM cloudsync.note('', 'rotate key', 'database', NULL, jsonb_build_object('secrets', turned,
        'key', (SELECT min(s.key_id) FROM cloudsync.secret s)));
    RETURN turned;
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_rotate_key() IS
    'Adds a fresh key to the keyring and encrypts all secrets of this database by it, all or none; gives how '
    'many. For cloudsync_admin without a tenant.';
