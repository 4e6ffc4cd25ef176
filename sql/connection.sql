/*
 * connection.sql: providers, accounts, connections (C1 to C7).
 */

-- The providers that the library has, for cloudsync.providers (C1).
CREATE FUNCTION cloudsync.provider_rows()
    RETURNS TABLE (provider text, title text, authentication text, options jsonb, credentials jsonb, checksum text, max_file_size bigint, incremental boolean)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'cloudsync_provider_rows';
-- Refuses an unknown provider, option or credentials key, naming the known ones,
-- and credentials that are not whole; NULL credentials are not looked at.
CREATE FUNCTION cloudsync.check_options(provider text, options jsonb, credentials jsonb) RETURNS void
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'cloudsync_check_options';
-- The account that options stand for: local, the normalised path below local_root;
-- otherwise as the provider says, and an error where no connection may go (S5).
CREATE FUNCTION cloudsync.account_of(provider text, tenant text, options jsonb) RETURNS text
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'cloudsync_account_of';

-- Is the folder of options at the provider "local" there now? 0: no, or of another
-- provider; 1: yes; 2: and on a file system of its own (CsFolderSeen).
CREATE FUNCTION cloudsync.folder_seen(provider text, tenant text, options jsonb) RETURNS smallint
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'cloudsync_folder_seen';

-- One authorised store at a provider. Dedup and pushed records hang on it and
-- outlive the connection (C2).
CREATE TABLE cloudsync.account (
    account_id bigserial PRIMARY KEY,
    tenant text NOT NULL,
    provider text NOT NULL,
    account text NOT NULL,
    -- what people know it by, where the service says so
    shown text,
    -- false: the service has not said yet whose it is; account stands for nothing
    known boolean NOT NULL DEFAULT true,
    UNIQUE (tenant, provider, account)
);

CREATE TABLE cloudsync.connection (
    connection_id bigserial PRIMARY KEY,
    tenant text NOT NULL DEFAULT '',
    name text NOT NULL CHECK (name OPERATOR(pg_catalog.<>) ''),
    provider text NOT NULL,
    account_id bigint NOT NULL REFERENCES cloudsync.account,
    options jsonb NOT NULL DEFAULT '{}',
    state text NOT NULL CHECK (state IN ('pending', 'active', 'needs_consent', 'locked', 'disabled', 'disconnected')),
    told_state text, -- as listeners were last told (H4)
    reason text,
    -- the worker's own backoff: failures in a row, and not before
    failures integer NOT NULL DEFAULT 0,
    retry_at timestamptz,
    -- grows with options and credentials: a worker that serves another opens it anew
    revision integer NOT NULL DEFAULT 0,
    -- tokens: the scopes that were granted, when the consent ends if that is known,
    -- when there is next something to do (an account to be asked for, a device's
    -- code, a refresh of what is never used, a revocation), and whether the
    -- service has said that they are of this account
    scopes text,
    consent_expires_at timestamptz,
    token_due_at timestamptz,
    account_checked boolean NOT NULL DEFAULT true,
    person text, -- who consented, as the service calls them, where that is not the account
    revoke boolean NOT NULL DEFAULT false, -- disconnected, and to be revoked
    -- other credentials (secrets of kind 'renewal') or options that are checked
    -- before they replace these: the options, when next, and why they were refused
    renewal jsonb,
    renewal_at timestamptz,
    renewal_refused text,
    -- of local: the folder was there, so that it is missed when it is away
    folder_seen smallint NOT NULL DEFAULT 0,
    bytes_per_second bigint,
    requests_per_second real,
    max_bytes_per_day bigint,
    -- what was collected on that day, kept where there is such a limit
    collected_day date,
    collected_bytes bigint NOT NULL DEFAULT 0,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    last_used_at timestamptz
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX connection_name ON cloudsync.connection (tenant, name)
    WHERE state OPERATOR(pg_catalog.<>) 'disconnected';
CREATE INDEX connection_untold ON cloudsync.connection (connection_id) WHERE state IS DISTINCT FROM told_state;
CREATE INDEX connection_token ON cloudsync.connection (token_due_at) WHERE token_due_at IS NOT NULL;
CREATE INDEX connection_renewal ON cloudsync.connection (renewal_at) WHERE renewal_at IS NOT NULL;
-- those whose folders are watched (watch_look.c)
CREATE INDEX connection_watched ON cloudsync.connection (connection_id)
    WHERE (options OPERATOR(pg_catalog.->>) 'longpoll') OPERATOR(pg_catalog.=) 'true' AND state OPERATOR(pg_catalog.=) 'active';
CREATE INDEX connection_account ON cloudsync.connection (account_id);

/*
 * The session's connection of that name, for functions that are given a name;
 * an error if there is none. lock: until the end of the transaction.
 */
CREATE FUNCTION cloudsync.find_connection(connection text, lock boolean DEFAULT false) RETURNS cloudsync.connection
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    own text := cloudsync.tenant();
    found_row cloudsync.connection;
BEGIN
    IF lock THEN
        SELECT c.* INTO found_row FROM cloudsync.connection c
            WHERE c.tenant = own AND c.name = find_connection.connection AND c.state <> 'disconnected' FOR NO KEY UPDATE;
    ELSE
        SELECT c.* INTO found_row FROM cloudsync.connection c
            WHERE c.tenant = own AND c.name = find_connection.connection AND c.state <> 'disconnected';
    END IF;
    IF found_row.connection_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = CASE WHEN find_connection.connection IS NULL THEN 'a connection must be named'
                           ELSE format('connection "%s" does not exist', find_connection.connection) END,
            HINT = 'To see those there are: SELECT connection, state FROM cloudsync.connections; to make one: SELECT * FROM cloudsync_connect(provider, name, credentials, options);';
    END IF;
    RETURN found_row;
END
$$;

-- What the audit says of a connection (no secrets are in it).
CREATE FUNCTION cloudsync.connection_facts(c cloudsync.connection) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT jsonb_build_object('provider', (c).provider, 'options', (c).options, 'state', (c).state,
        'account', (SELECT a.account FROM cloudsync.account a WHERE a.account_id = (c).account_id),
        'bytes_per_second', (c).bytes_per_second, 'requests_per_second', (c).requests_per_second,
        'max_bytes_per_day', (c).max_bytes_per_day);
END;

-- Stores a connection's credentials: NULL keeps those there are, an empty object
-- forgets them; tokens that came by others go. True: they are other ones now.
CREATE FUNCTION cloudsync.set_credentials(c cloudsync.connection, credentials jsonb) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
    IF set_credentials.credentials IS NULL THEN
        RETURN false;
    ELSIF set_credentials.credentials = '{}' THEN
        DELETE FROM cloudsync.secret s WHERE s.owner_kind IN ('connection', 'token') AND s.owner_id = (c).connection_id;
        RETURN FOUND;
    END IF;
    IF NOT cloudsync.keep_secret('connection', (c).connection_id, (c).tenant, set_credentials.credentials) THEN
        RETURN false;
    END IF;
    DELETE FROM cloudsync.secret s WHERE s.owner_kind = 'token' AND s.owner_id = (c).connection_id;
    RETURN true;
END
$$;

-- What to type to renew a connection, or to be given another address for consent.
CREATE FUNCTION cloudsync.connect_command(c cloudsync.connection) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT pg_catalog.format('SELECT * FROM cloudsync_connect(%L, %L, options => %L);', (c).provider, (c).name, (c).options);
END;

CREATE FUNCTION @extschema@.cloudsync_connect(provider text, name text, credentials jsonb DEFAULT NULL, options jsonb DEFAULT '{}')
    RETURNS TABLE (connection_id bigint, state text, authorize_url text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
DECLARE
    own text;
    account_name text;
    account_no bigint;
    old cloudsync.connection;
    old_account text;
    new cloudsync.connection;
    fresh boolean := false;
    by_token boolean;
    given boolean := coalesce(cloudsync_connect.credentials, '{}') <> '{}';
    page text;
BEGIN
    PERFORM cloudsync.hide_statement();
    own := cloudsync.tenant();
    IF cloudsync_connect.provider IS NULL OR cloudsync_connect.name IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'a connection needs a provider and a name',
            HINT = 'For example: SELECT * FROM cloudsync_connect(''local'', ''Archive'');';
    END IF;
    IF btrim(cloudsync_connect.name) = '' OR cloudsync_connect.name ~ '[[:cntrl:]]' OR char_length(cloudsync_connect.name) > 200 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'a connection''s name must have 1 to 200 characters, and no control characters',
            HINT = 'Give a name that people can type, such as ''Archive''.';
    END IF;
    cloudsync_connect.options := coalesce(cloudsync_connect.options, '{}');
    PERFORM cloudsync.check_options(cloudsync_connect.provider, cloudsync_connect.options, cloudsync_connect.credentials);
    account_name := cloudsync.account_of(cloudsync_connect.provider, own, cloudsync_connect.options);

    by_token := EXISTS (SELECT FROM cloudsync.oauth_of(cloudsync_connect.provider, cloudsync_connect.options));
    IF by_token AND NOT coalesce(cloudsync_connect.credentials ? 'service_account', false) THEN
        PERFORM cloudsync.app_of(cloudsync_connect.provider, own); -- there must be one
        PERFORM cloudsync.check_redirect_uri(cloudsync_connect.options ->> 'redirect_uri');
    END IF;

    -- the account is taken up if it was ever connected
    IF account_name IS NOT NULL THEN
        INSERT INTO cloudsync.account AS a (tenant, provider, account)
            VALUES (own, cloudsync_connect.provider, account_name)
            ON CONFLICT DO NOTHING;
        SELECT a.account_id INTO STRICT account_no FROM cloudsync.account a
            WHERE a.tenant = own AND a.provider = cloudsync_connect.provider AND a.account = account_name;
    END IF;

    -- two sessions may make the same connection: the second finds the first's
    LOOP
        SELECT c.* INTO old FROM cloudsync.connection c
            WHERE c.tenant = own AND c.name = cloudsync_connect.name AND c.state <> 'disconnected' FOR NO KEY UPDATE;
        EXIT WHEN old.connection_id IS NOT NULL;
        IF account_no IS NULL THEN
            -- until the service says whose account it is
            INSERT INTO cloudsync.account AS a (tenant, provider, account, known)
                VALUES (own, cloudsync_connect.provider, 'not known: ' || gen_random_uuid(), false)
                RETURNING a.account_id INTO account_no;
        END IF;
        INSERT INTO cloudsync.connection AS c (tenant, name, provider, account_id, options, state, created_by,
                                               account_checked, token_due_at, folder_seen)
            VALUES (own, cloudsync_connect.name, cloudsync_connect.provider, account_no, cloudsync_connect.options,
                    CASE WHEN by_token AND NOT given THEN 'pending' ELSE 'active' END, cloudsync.acting_user(),
                    NOT by_token, CASE WHEN by_token AND given THEN clock_timestamp() END,
                    cloudsync.folder_seen(cloudsync_connect.provider, own, cloudsync_connect.options))
            ON CONFLICT DO NOTHING
            RETURNING c.* INTO new;
        EXIT WHEN new.connection_id IS NOT NULL;
    END LOOP;

    IF old.connection_id IS NULL THEN
        PERFORM cloudsync.check_options(new.provider, new.options, coalesce(cloudsync_connect.credentials, '{}'));
        PERFORM cloudsync.set_credentials(new, cloudsync_connect.credentials);
        IF new.state = 'pending' THEN
            page := cloudsync.ask_consent(new);
        END IF;
        PERFORM cloudsync.note(own, 'connect', new.name, NULL, cloudsync.connection_facts(new));
        PERFORM cloudsync.wake(true);
        RETURN QUERY SELECT new.connection_id, new.state, page;
        RETURN;
    END IF;

    IF old.account_id <> account_no OR old.provider <> cloudsync_connect.provider THEN
        SELECT coalesce(a.shown, a.account) INTO old_account FROM cloudsync.account a WHERE a.account_id = old.account_id;
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('connection "%s" belongs to account "%s" of provider "%s", not to "%s" of "%s"',
                             old.name, old_account, old.provider, coalesce(account_name, 'one that is not known yet'), cloudsync_connect.provider),
            HINT = format('Choose another name for the other account, or end this connection first: SELECT cloudsync_disconnect(%L);', old.name);
    END IF;
    IF by_token AND old.state IN ('active', 'disabled') AND old.account_checked
       AND cloudsync_connect.credentials IS DISTINCT FROM '{}'
       AND EXISTS (SELECT FROM cloudsync.account a WHERE a.account_id = old.account_id AND a.known)
       AND EXISTS (SELECT FROM cloudsync.secret s WHERE s.owner_kind IN ('connection', 'token') AND s.owner_id = old.connection_id) THEN
        RETURN QUERY SELECT r.connection_id, r.state, r.authorize_url
            FROM cloudsync.try_renewal(old, cloudsync_connect.credentials, cloudsync_connect.options) r;
        RETURN;
    ELSIF by_token THEN
        RETURN QUERY SELECT r.connection_id, r.state, r.authorize_url
            FROM cloudsync.renew(old, cloudsync_connect.credentials, cloudsync_connect.options) r;
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM cloudsync.secret s WHERE s.owner_kind = 'connection' AND s.owner_id = old.connection_id) THEN
        PERFORM cloudsync.check_options(old.provider, cloudsync_connect.options, coalesce(cloudsync_connect.credentials, '{}'));
    END IF;
    fresh := cloudsync.set_credentials(old, cloudsync_connect.credentials);
    UPDATE cloudsync.connection c
        SET options = cloudsync_connect.options,
            revision = c.revision + 1,
            failures = CASE WHEN fresh THEN 0 ELSE c.failures END,
            retry_at = CASE WHEN fresh THEN NULL ELSE c.retry_at END,
            state = CASE WHEN c.state IN ('pending', 'needs_consent') OR fresh AND c.state = 'locked' THEN 'active' ELSE c.state END,
            reason = CASE WHEN c.state IN ('pending', 'needs_consent') OR fresh THEN NULL ELSE c.reason END
        WHERE c.connection_id = old.connection_id
          AND (c.options <> cloudsync_connect.options OR c.state IN ('pending', 'needs_consent') OR fresh)
        RETURNING c.* INTO new;
    IF new.connection_id IS NOT NULL THEN
        PERFORM cloudsync.note(own, 'renew', new.name, cloudsync.connection_facts(old),
                               cloudsync.connection_facts(new) || CASE WHEN fresh THEN '{"credentials": "renewed"}' ELSE '{}' END::jsonb);
        PERFORM cloudsync.wake(true);
    END IF;
    RETURN QUERY SELECT old.connection_id, coalesce(new.state, old.state), NULL::text;
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_connect(text, text, jsonb, jsonb) IS
    'Connects to an account at a provider, or renews the connection of that name. Takes options and '
    'credentials as cloudsync.providers lists them; gives its number, its state and, where a person has to '
    'consent, the page to open. For cloudsync_admin.';

/*
 * Nothing is forgotten: documents, history, dedup keys and pushed records stay,
 * and an account that is connected again takes them up (C2, C6).
 */
CREATE FUNCTION @extschema@.cloudsync_disconnect(connection text, revoke boolean DEFAULT true) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    own text := cloudsync.tenant();
    old cloudsync.connection;
    new cloudsync.connection;
BEGIN
    -- disconnecting once more changes nothing
    IF NOT EXISTS (SELECT FROM cloudsync.connection c
                   WHERE c.tenant = own AND c.name = cloudsync_disconnect.connection AND c.state <> 'disconnected')
       AND EXISTS (SELECT FROM cloudsync.connection c
                   WHERE c.tenant = own AND c.name = cloudsync_disconnect.connection) THEN
        RETURN;
    END IF;
    old := cloudsync.find_connection(cloudsync_disconnect.connection, true);

    UPDATE cloudsync.connection c SET state = 'disconnected', reason = NULL, failures = 0, retry_at = NULL, token_due_at = NULL,
            consent_expires_at = NULL, renewal = NULL, renewal_at = NULL, renewal_refused = NULL
        WHERE c.connection_id = old.connection_id RETURNING c.* INTO new;
    UPDATE cloudsync.run r
        SET state = 'cancelled', finished_at = clock_timestamp(), error = 'the connection was disconnected'
        WHERE r.connection_id = old.connection_id AND r.state = 'queued';
    UPDATE cloudsync.run r SET cancel_requested = true
        WHERE r.connection_id = old.connection_id AND r.state = 'running' AND NOT r.cancel_requested;
    UPDATE cloudsync.channel h SET deleted_at = clock_timestamp(), next_collect_at = NULL, retry_at = NULL
        WHERE h.connection_id = old.connection_id AND h.deleted_at IS NULL;
    UPDATE cloudsync.destination d SET connection_id = NULL WHERE d.connection_id = old.connection_id;
    DELETE FROM cloudsync.due d WHERE d.connection_id = old.connection_id;
    DELETE FROM cloudsync.backfill b WHERE b.connection_id = old.connection_id;
    PERFORM cloudsync.forget_consents(old.connection_id);
    -- revoked at the service after the commit, and deleted then; a copy revokes nothing
    UPDATE cloudsync.connection c SET revoke = true, token_due_at = clock_timestamp(), revision = c.revision + 1
        WHERE c.connection_id = old.connection_id AND cloudsync_disconnect.revoke AND cloudsync.why_suspended() IS NULL
          AND EXISTS (SELECT FROM cloudsync.oauth_of(old.provider, old.options) o WHERE o.revokes)
          AND EXISTS (SELECT FROM cloudsync.secret s WHERE s.owner_kind IN ('connection', 'token') AND s.owner_id = old.connection_id);
    IF NOT FOUND THEN
        DELETE FROM cloudsync.secret s WHERE s.owner_kind IN ('connection', 'token') AND s.owner_id = old.connection_id;
    END IF;
    DELETE FROM cloudsync.secret s WHERE s.owner_kind IN ('renewal', 'renewal token') AND s.owner_id = old.connection_id;

    PERFORM cloudsync.note(own, 'disconnect', old.name, cloudsync.connection_facts(old), cloudsync.connection_facts(new));
    PERFORM cloudsync.wake(true);
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_disconnect(text, boolean) IS
    'Ends a connection: hides its tokens at once, revokes them at the provider unless revoke is false, and '
    'stops its work. Documents, history and the record of what was pushed stay. For cloudsync_admin.';

-- Changes a connection's state for disable and enable.
CREATE FUNCTION cloudsync.set_connection_state(connection text, from_state text, to_state text, action text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    old cloudsync.connection := cloudsync.find_connection(set_connection_state.connection, true);
    new cloudsync.connection;
BEGIN
    -- whoever enables it takes the folder as it is now; one that is away is still missed
    UPDATE cloudsync.connection c SET state = to_state, reason = NULL, failures = 0, retry_at = NULL,
            folder_seen = CASE WHEN to_state = 'active'
                THEN coalesce(nullif(cloudsync.folder_seen(c.provider, c.tenant, c.options), 0), c.folder_seen)
                ELSE c.folder_seen END
        WHERE c.connection_id = old.connection_id
          AND (c.state = from_state OR (from_state IS NULL AND c.state <> to_state))
        RETURNING c.* INTO new;
    IF new.connection_id IS NOT NULL THEN
        PERFORM cloudsync.note(old.tenant, set_connection_state.action, old.name,
                               cloudsync.connection_facts(old), cloudsync.connection_facts(new));
        PERFORM cloudsync.wake(true);
    END IF;
END
$$;

CREATE FUNCTION @extschema@.cloudsync_disable(connection text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
    PERFORM cloudsync.set_connection_state(cloudsync_disable.connection, NULL, 'disabled', 'disable');
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_disable(text) IS
    'Holds a connection: what is under way ends, and what comes waits until cloudsync_enable. For '
    'cloudsync_admin.';

CREATE FUNCTION @extschema@.cloudsync_enable(connection text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
    PERFORM cloudsync.set_connection_state(cloudsync_enable.connection, 'disabled', 'active', 'enable');
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_enable(text) IS
    'Lets a connection go on that cloudsync_disable held. For cloudsync_admin.';

CREATE FUNCTION @extschema@.cloudsync_set_limits(connection text, bytes_per_second bigint, requests_per_second real, max_bytes_per_day bigint)
    RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
DECLARE
    old cloudsync.connection := cloudsync.find_connection(cloudsync_set_limits.connection, true);
    new cloudsync.connection;
BEGIN
    IF cloudsync_set_limits.bytes_per_second <= 0 OR cloudsync_set_limits.max_bytes_per_day <= 0
       OR NOT (cloudsync_set_limits.requests_per_second > 0 AND cloudsync_set_limits.requests_per_second <= 1000000) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'a limit must be greater than zero, and requests_per_second at most 1000000',
            HINT = format('NULL removes a limit. To hold the connection: SELECT cloudsync_disable(%L);', old.name);
    END IF;
    UPDATE cloudsync.connection c
        SET bytes_per_second = cloudsync_set_limits.bytes_per_second,
            requests_per_second = cloudsync_set_limits.requests_per_second,
            max_bytes_per_day = cloudsync_set_limits.max_bytes_per_day
        WHERE c.connection_id = old.connection_id
          AND (c.bytes_per_second, c.requests_per_second, c.max_bytes_per_day)
              IS DISTINCT FROM (cloudsync_set_limits.bytes_per_second, cloudsync_set_limits.requests_per_second,
                                cloudsync_set_limits.max_bytes_per_day)
        RETURNING c.* INTO new;
    IF new.connection_id IS NOT NULL THEN
        PERFORM cloudsync.note(old.tenant, 'set limits', old.name,
                               cloudsync.connection_facts(old), cloudsync.connection_facts(new));
        PERFORM cloudsync.wake(true);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_set_limits(text, bigint, real, bigint) IS
    'Sets how fast, with how many requests and how much a day a connection may transfer; NULL is no limit. '
    'For cloudsync_admin.';

-- Ask the provider through a worker (30 s at most); the connection must be committed.
CREATE FUNCTION @extschema@.cloudsync_browse(connection text, path text DEFAULT '/')
    RETURNS TABLE (name text, path text, kind text, size bigint, modified_at timestamptz, remote_id text)
    LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'cloudsync_browse';
COMMENT ON FUNCTION @extschema@.cloudsync_browse(text, text) IS
    'Lists one level of a remote folder, named by its path or by id: and its remote_id. Asks the provider '
    'through a worker, for 30 seconds at most. For cloudsync_admin.';
CREATE FUNCTION @extschema@.cloudsync_check(connection text)
    RETURNS TABLE (state text, account text, used_bytes bigint, quota_bytes bigint, latency interval, detail text)
    LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'cloudsync_check';
COMMENT ON FUNCTION @extschema@.cloudsync_check(text) IS
    'Says whether the account answers, whose it is and how full it is. Asks the provider through a worker, '
    'for 30 seconds at most. For cloudsync_operator.';
