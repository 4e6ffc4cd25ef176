/*
 * oauth.sql: applications registered with services, consent, and the accounts
 * that only a service can name (C2, C3, C6). What is secret of it (client
 * secrets, verifiers, device codes, tokens) is in cloudsync.secret: tokens of a
 * connection as kind 'token', beside the credentials that were given.
 */

-- How tokens of a provider are come by, with these options; no row: it has none.
CREATE FUNCTION cloudsync.oauth_of(provider text, options jsonb)
    RETURNS TABLE (authorize_url text, extra text, scopes text, code_is_shown boolean, device boolean, revokes boolean)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'cloudsync_oauth_of';
CREATE FUNCTION cloudsync.url_encode(value text) RETURNS text
    LANGUAGE c IMMUTABLE STRICT AS 'MODULE_PATHNAME', 'cloudsync_url_encode';
-- A value of a URL's query (or, where a service answers so, of its fragment); NULL: it has none.
CREATE FUNCTION cloudsync.query_value(url text, key text) RETURNS text
    LANGUAGE c IMMUTABLE STRICT AS 'MODULE_PATHNAME', 'cloudsync_query_value';
-- Has a worker turn a code into tokens, and waits for it; what goes wrong is an error.
CREATE FUNCTION cloudsync.exchange_code(connection_id bigint, consent_id bigint, code text) RETURNS void
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'cloudsync_exchange_code';

-- An application as it is registered with a service: a tenant's own, or that of
-- all ('' as the tenant), whose place a tenant's own takes.
CREATE TABLE cloudsync.app (
    app_id bigserial PRIMARY KEY,
    tenant text NOT NULL,
    provider text NOT NULL,
    client_id text NOT NULL,
    redirect_uri text,
    secret_expires_at timestamptz,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    UNIQUE (tenant, provider)
);

-- A request for consent, for seven days: by its state, which is single-use and
-- kept as a hash alone, or by a code that is shown; or by a device's code.
CREATE TABLE cloudsync.consent (
    consent_id bigserial PRIMARY KEY,
    connection_id bigint NOT NULL REFERENCES cloudsync.connection,
    tenant text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('redirect', 'shown', 'device')),
    state_hash bytea UNIQUE,
    challenge text,
    client_id text NOT NULL,
    redirect_uri text,
    scopes text,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    -- of a device: where a person types what
    verification_url text,
    user_code text,
    poll_every integer
);
CREATE INDEX consent_connection ON cloudsync.consent (connection_id);

CREATE FUNCTION cloudsync.app_facts(a cloudsync.app) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT jsonb_build_object('client_id', (a).client_id, 'redirect_uri', (a).redirect_uri,
        'secret_expires_at', (a).secret_expires_at);
END;

CREATE FUNCTION @extschema@.cloudsync_register_app(provider text, client_id text, client_secret text DEFAULT NULL, options jsonb DEFAULT '{}')
    RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
DECLARE
    own text;
    unknown text;
    redirect text;
    secret_end timestamptz;
    old cloudsync.app;
    new cloudsync.app;
    fresh boolean := false;
BEGIN
    PERFORM cloudsync.hide_statement();
    own := cloudsync.tenant();
    PERFORM cloudsync.check_options(cloudsync_register_app.provider, NULL, NULL);
    IF NOT EXISTS (SELECT FROM cloudsync.oauth_of(cloudsync_register_app.provider, '{}')) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('provider "%s" has no applications to be registered', cloudsync_register_app.provider),
            HINT = 'To see how each is authenticated with: SELECT provider, authentication FROM cloudsync.providers;';
    END IF;
    IF btrim(coalesce(cloudsync_register_app.client_id, '')) = '' OR cloudsync_register_app.client_id ~ '[^!-~]'
       OR cloudsync_register_app.client_secret ~ '[[:cntrl:]]' OR cloudsync_register_app.client_secret = '' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'an application needs a client_id, and its secret, if it has one, may hold no control characters',
            HINT = 'Copy both from the page where the application is registered; look for a line break at the end.';
    END IF;
    cloudsync_register_app.options := coalesce(cloudsync_register_app.options, '{}');
    IF jsonb_typeof(cloudsync_register_app.options) <> 'object' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'options must be a JSON object',
            HINT = 'Write them like ''{"redirect_uri": "https://..."}''.';
    END IF;
    SELECT k INTO unknown FROM jsonb_object_keys(cloudsync_register_app.options) k
        WHERE k NOT IN ('redirect_uri', 'secret_expires_at', 'for_all') LIMIT 1;
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('an application has no option "%s"', unknown),
            HINT = 'Known options are: redirect_uri, secret_expires_at, for_all.';
    END IF;
    IF cloudsync_register_app.options -> 'for_all' = 'true' THEN
        PERFORM cloudsync.refuse_tenant('cloudsync_register_app for all');
        own := '';
    END IF;
    redirect := cloudsync_register_app.options ->> 'redirect_uri';
    PERFORM cloudsync.check_redirect_uri(redirect);
    BEGIN
        secret_end := cloudsync_register_app.options ->> 'secret_expires_at';
    EXCEPTION WHEN data_exception THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'option "secret_expires_at" is no time',
            HINT = 'Give the day on which the secret expires, such as "2027-01-31".';
    END;

    SELECT a.* INTO old FROM cloudsync.app a
        WHERE a.tenant = own AND a.provider = cloudsync_register_app.provider FOR NO KEY UPDATE;
    INSERT INTO cloudsync.app AS a (tenant, provider, client_id, redirect_uri, secret_expires_at, created_by)
        VALUES (own, cloudsync_register_app.provider, cloudsync_register_app.client_id, redirect, secret_end, cloudsync.acting_user())
        ON CONFLICT (tenant, provider) DO UPDATE
            SET client_id = EXCLUDED.client_id, redirect_uri = EXCLUDED.redirect_uri, secret_expires_at = EXCLUDED.secret_expires_at
        RETURNING a.* INTO new;
    IF cloudsync_register_app.client_secret IS NULL THEN
        DELETE FROM cloudsync.secret s WHERE s.owner_kind = 'app' AND s.owner_id = new.app_id;
        fresh := FOUND;
    ELSE
        fresh := cloudsync.keep_secret('app', new.app_id, own, jsonb_build_object('client_secret', cloudsync_register_app.client_secret));
    END IF;
    IF NOT fresh AND cloudsync.app_facts(old) = cloudsync.app_facts(new) THEN
        RETURN;
    END IF;
    PERFORM cloudsync.note(own, 'register app', new.provider,
        CASE WHEN old.app_id IS NOT NULL THEN cloudsync.app_facts(old) END,
        cloudsync.app_facts(new) || CASE WHEN fresh THEN '{"client_secret": "renewed"}' ELSE '{}' END::jsonb);
    -- what failed for the application's sake is tried again
    UPDATE cloudsync.connection c SET consent_expires_at = new.secret_expires_at
        WHERE c.provider = new.provider AND (c.tenant = own OR own = '') AND c.consent_expires_at = old.secret_expires_at;
    UPDATE cloudsync.connection c SET state = 'active', reason = NULL, failures = 0, retry_at = NULL,
            token_due_at = clock_timestamp(), revision = c.revision + 1
        WHERE c.provider = new.provider AND c.state = 'needs_consent' AND (c.tenant = own OR own = '')
          AND EXISTS (SELECT FROM cloudsync.secret s WHERE s.owner_kind IN ('connection', 'token') AND s.owner_id = c.connection_id);
    PERFORM cloudsync.wake(true);
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_register_app(text, text, text, jsonb) IS
    'Says by which application, as the service knows it, consent is asked for; again changes it. Takes its '
    'client id, its secret and options (redirect_uri, secret_expires_at, for_all). For cloudsync_admin.';

CREATE FUNCTION cloudsync.check_redirect_uri(redirect_uri text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
    IF check_redirect_uri.redirect_uri !~ '^(https://[^/?#\s]+|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?)([/?][!-~]*)?$'
       OR check_redirect_uri.redirect_uri ~ '#' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('"%s" can be no redirect URI', check_redirect_uri.redirect_uri),
            HINT = 'Give the https URL that is registered with the service, or an http one of localhost, without a fragment.';
    END IF;
END
$$;

-- The application by which a tenant's connections ask; an error if there is none.
CREATE FUNCTION cloudsync.app_of(provider text, tenant text) RETURNS cloudsync.app
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    found_row cloudsync.app;
BEGIN
    SELECT a.* INTO found_row FROM cloudsync.app a
        WHERE a.provider = app_of.provider AND a.tenant IN (app_of.tenant, '') ORDER BY a.tenant = '' LIMIT 1;
    IF found_row.app_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('no application is registered for provider "%s"', app_of.provider),
            HINT = format('Register it with the service, and say so: SELECT cloudsync_register_app(%L, client_id, client_secret);', app_of.provider);
    END IF;
    RETURN found_row;
END
$$;

-- No longer than they are of use: requests for consent that ended a month ago.
CREATE FUNCTION cloudsync.forget_consents(connection_id bigint) RETURNS void
    LANGUAGE sql SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    DELETE FROM cloudsync.secret s USING cloudsync.consent n
        WHERE s.owner_kind = 'consent' AND s.owner_id = n.consent_id
          AND (n.connection_id = forget_consents.connection_id OR n.expires_at < clock_timestamp() - interval '30 days');
    DELETE FROM cloudsync.consent n
        WHERE n.connection_id = forget_consents.connection_id OR n.expires_at < clock_timestamp() - interval '30 days';
END;

/*
 * Begins to ask for consent: the address of the page where it is given, or NULL
 * where a worker asks for a device's code first.
 */
CREATE FUNCTION cloudsync.ask_consent(c cloudsync.connection) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    ways record;
    app cloudsync.app := cloudsync.app_of((c).provider, (c).tenant);
    redirect text := coalesce((c).options ->> 'redirect_uri', app.redirect_uri);
    way text;
    consent cloudsync.consent;
    verifier text;
    state text;
BEGIN
    SELECT o.* INTO ways FROM cloudsync.oauth_of((c).provider, (c).options) o;
    way := CASE WHEN redirect IS NOT NULL THEN 'redirect' WHEN ways.code_is_shown THEN 'shown' WHEN ways.device THEN 'device' END;
    IF way IS NULL OR (way <> 'device' AND ways.authorize_url IS NULL) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('provider "%s" needs a redirect URI for consent', (c).provider),
            HINT = format('Give the one that is registered with the service, as option "redirect_uri" of the connection or for all: SELECT cloudsync_register_app(%L, client_id, client_secret, ''{"redirect_uri": "https://..."}'');', (c).provider);
    END IF;

    -- a code that is shown, or a device's, belongs to the last request: it is kept
    SELECT n.* INTO consent FROM cloudsync.consent n
        WHERE n.connection_id = (c).connection_id AND n.kind = way AND way <> 'redirect' AND n.used_at IS NULL
          AND n.expires_at > clock_timestamp() AND n.client_id = app.client_id
          AND n.scopes IS NOT DISTINCT FROM ways.scopes
        ORDER BY n.consent_id DESC LIMIT 1;
    IF way = 'device' THEN
        IF consent.consent_id IS NULL THEN
            INSERT INTO cloudsync.consent (connection_id, tenant, kind, client_id, scopes, expires_at)
                VALUES ((c).connection_id, (c).tenant, way, app.client_id, ways.scopes, clock_timestamp() + interval '7 days');
            UPDATE cloudsync.connection n SET token_due_at = clock_timestamp(),
                reason = 'a code is being asked for; it is shown here in a moment'
                WHERE n.connection_id = (c).connection_id;
        END IF;
        RETURN consent.verification_url;
    END IF;
    IF consent.consent_id IS NULL THEN
        -- 244 random bits each
        verifier := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
        state := CASE WHEN way = 'redirect' THEN replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '') END;
        INSERT INTO cloudsync.consent AS n (connection_id, tenant, kind, state_hash, challenge, client_id, redirect_uri, scopes, expires_at)
            VALUES ((c).connection_id, (c).tenant, way, sha256(convert_to(state, 'UTF8')),
                    rtrim(translate(encode(sha256(convert_to(verifier, 'UTF8')), 'base64'), '+/', '-_'), '='),
                    app.client_id, redirect, ways.scopes, clock_timestamp() + interval '7 days')
            RETURNING n.* INTO consent;
        PERFORM cloudsync.keep_secret('consent', consent.consent_id, consent.tenant, jsonb_build_object('verifier', verifier));
    ELSE
        UPDATE cloudsync.consent n SET expires_at = clock_timestamp() + interval '7 days' WHERE n.consent_id = consent.consent_id;
    END IF;
    RETURN ways.authorize_url || CASE WHEN ways.authorize_url LIKE '%?%' THEN '&' ELSE '?' END
        || 'response_type=code&client_id=' || cloudsync.url_encode(consent.client_id)
        || coalesce('&redirect_uri=' || cloudsync.url_encode(consent.redirect_uri), '')
        || coalesce('&scope=' || cloudsync.url_encode(consent.scopes), '')
        || coalesce('&state=' || state, '')
        || '&code_challenge=' || consent.challenge || '&code_challenge_method=S256'
        || coalesce('&' || ways.extra, '');
END
$$;

/*
 * cloudsync_connect of a connection that exists and works by tokens: renewed by
 * other credentials, or by consent where none are stored. Whether they are of the
 * same account is known once the service was asked: what works stays in force
 * until then (try_renewal), what does not is replaced at once.
 */
CREATE FUNCTION cloudsync.renew(old cloudsync.connection, credentials jsonb, options jsonb)
    RETURNS TABLE (connection_id bigint, state text, authorize_url text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
DECLARE
    fresh boolean := cloudsync.set_credentials(old, renew.credentials);
    stored boolean := EXISTS (SELECT FROM cloudsync.secret s WHERE s.owner_kind = 'connection' AND s.owner_id = (old).connection_id);
    other boolean := (old).options <> renew.options;
    -- what was refused is tried again with other options, or if somebody gives it once more
    again boolean := stored AND (old).state = 'needs_consent' AND (other OR renew.credentials IS NOT NULL);
    new cloudsync.connection;
    page text;
BEGIN
    DELETE FROM cloudsync.secret s WHERE s.owner_kind IN ('renewal', 'renewal token') AND s.owner_id = (old).connection_id;
    IF fresh THEN
        PERFORM cloudsync.forget_consents((old).connection_id);
    END IF;
    UPDATE cloudsync.connection c
        SET options = renew.options,
            revision = c.revision + 1,
            account_checked = false,
            scopes = CASE WHEN fresh THEN NULL ELSE c.scopes END,
            consent_expires_at = CASE WHEN fresh THEN NULL ELSE c.consent_expires_at END,
            token_due_at = CASE WHEN stored OR c.state = 'active' THEN clock_timestamp() END,
            failures = 0,
            retry_at = NULL,
            reason = NULL,
            renewal = NULL,
            renewal_at = NULL,
            renewal_refused = NULL,
            state = CASE WHEN c.state = 'disabled' THEN c.state
                         WHEN fresh AND NOT stored THEN 'pending'
                         WHEN fresh OR again THEN 'active' ELSE c.state END
        WHERE c.connection_id = (old).connection_id AND (other OR fresh OR again)
        RETURNING c.* INTO new;
    IF new.connection_id IS NOT NULL THEN
        PERFORM cloudsync.note(new.tenant, 'renew', new.name, cloudsync.connection_facts(old),
                               cloudsync.connection_facts(new) || CASE WHEN fresh THEN '{"credentials": "renewed"}' ELSE '{}' END::jsonb);
    ELSE
        new := old;
    END IF;
    IF NOT stored THEN
        page := cloudsync.ask_consent(new);
    END IF;
    PERFORM cloudsync.wake(true);
    RETURN QUERY SELECT new.connection_id, new.state, page;
END
$$;

/*
 * The same where what is stored works: others are checked by a worker first, of
 * whose word renewal_taken and renewal_refused are told. Asked for what is in
 * force, it has nothing checked any more.
 */
CREATE FUNCTION cloudsync.try_renewal(old cloudsync.connection, credentials jsonb, options jsonb)
    RETURNS TABLE (connection_id bigint, state text, authorize_url text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
DECLARE
    -- neither account nor tokens depend on them
    harmless CONSTANT text[] := '{redirect_uri, export, longpoll}';
    others boolean := try_renewal.credentials IS NOT NULL
        AND NOT cloudsync.is_secret('connection', (old).connection_id, (old).tenant, try_renewal.credentials);
    new cloudsync.connection;
    fresh boolean;
    page text;
BEGIN
    IF others THEN
        fresh := cloudsync.keep_secret('renewal', (old).connection_id, (old).tenant, try_renewal.credentials);
        DELETE FROM cloudsync.secret s
            WHERE s.owner_kind = 'renewal token' AND s.owner_id = (old).connection_id AND fresh;
    ELSE
        DELETE FROM cloudsync.secret s
            WHERE s.owner_kind IN ('renewal', 'renewal token') AND s.owner_id = (old).connection_id;
        fresh := FOUND;
    END IF;
    IF others OR (old).options - harmless <> try_renewal.options - harmless THEN
        UPDATE cloudsync.connection c
            SET renewal = try_renewal.options, renewal_at = clock_timestamp(), renewal_refused = NULL,
                revision = c.revision + 1, failures = 0, retry_at = NULL
            WHERE c.connection_id = (old).connection_id AND (fresh OR c.renewal IS DISTINCT FROM try_renewal.options)
            RETURNING c.* INTO new;
    ELSE
        UPDATE cloudsync.connection c
            SET options = try_renewal.options, renewal = NULL, renewal_at = NULL, renewal_refused = NULL,
                revision = c.revision + 1
            WHERE c.connection_id = (old).connection_id
              AND (c.options <> try_renewal.options OR c.renewal IS NOT NULL OR c.renewal_refused IS NOT NULL)
            RETURNING c.* INTO new;
    END IF;
    IF new.connection_id IS NOT NULL THEN
        PERFORM cloudsync.note(new.tenant, 'renew', new.name, cloudsync.connection_facts(old),
            cloudsync.connection_facts(new) || jsonb_build_object('options', try_renewal.options)
            || CASE WHEN new.renewal IS NULL THEN '{}'::jsonb ELSE jsonb_build_object('renewal', 'to be checked') END);
        PERFORM cloudsync.wake(true);
    END IF;
    IF try_renewal.credentials IS NULL
       AND NOT EXISTS (SELECT FROM cloudsync.secret s WHERE s.owner_kind = 'connection' AND s.owner_id = (old).connection_id) THEN
        old.options := try_renewal.options;
        page := cloudsync.ask_consent(old);
    END IF;
    RETURN QUERY SELECT (old).connection_id, (old).state, page;
END
$$;

-- A worker checked what was to be renewed: it is, unless the service named another
-- account (the problem says which) or somebody changed something meanwhile.
CREATE FUNCTION cloudsync.renewal_taken(connection_id bigint, revision integer, account text, shown text, scopes text,
        consent_end timestamptz, OUT taken boolean, OUT problem text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
DECLARE
    conn cloudsync.connection;
    fresh boolean;
BEGIN
    SELECT c.* INTO STRICT conn FROM cloudsync.connection c WHERE c.connection_id = renewal_taken.connection_id FOR NO KEY UPDATE;
    taken := conn.revision = renewal_taken.revision AND conn.renewal_at IS NOT NULL;
    IF NOT taken THEN
        RETURN;
    END IF;
    problem := cloudsync.settle_account(conn.connection_id, renewal_taken.account, renewal_taken.shown);
    taken := problem IS NULL;
    IF NOT taken THEN
        RETURN;
    END IF;
    DELETE FROM cloudsync.secret s WHERE s.owner_kind IN ('renewal', 'renewal token') AND s.owner_id = conn.connection_id;
    fresh := FOUND;
    IF fresh THEN
        PERFORM cloudsync.forget_consents(conn.connection_id);
    END IF;
    UPDATE cloudsync.connection c
        SET options = c.renewal, renewal = NULL, renewal_at = NULL, renewal_refused = NULL,
            revision = c.revision + 1, failures = 0, retry_at = NULL, reason = NULL,
            scopes = CASE WHEN fresh THEN renewal_taken.scopes ELSE c.scopes END,
            consent_expires_at = CASE WHEN fresh THEN renewal_taken.consent_end ELSE c.consent_expires_at END,
            token_due_at = clock_timestamp() + interval '7 days',
            state = CASE c.state WHEN 'needs_consent' THEN 'active' ELSE c.state END
        WHERE c.connection_id = conn.connection_id;
END
$$;

CREATE FUNCTION cloudsync.renewal_refused(connection_id bigint, revision integer, why text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
BEGIN
    UPDATE cloudsync.connection c SET renewal = NULL, renewal_at = NULL, renewal_refused = renewal_refused.why
        WHERE c.connection_id = renewal_refused.connection_id AND c.revision = renewal_refused.revision
          AND c.renewal_at IS NOT NULL;
    IF FOUND THEN
        DELETE FROM cloudsync.secret s
            WHERE s.owner_kind IN ('renewal', 'renewal token') AND s.owner_id = renewal_refused.connection_id;
    END IF;
END
$$;

-- Has the code of a request for consent exchanged; the connection's state after it.
CREATE FUNCTION cloudsync.use_code(consent cloudsync.consent, code text) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    old cloudsync.connection;
    new cloudsync.connection;
BEGIN
    SELECT c.* INTO old FROM cloudsync.connection c WHERE c.connection_id = (consent).connection_id;
    IF old.state = 'disconnected' THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('connection "%s" was disconnected', old.name),
            HINT = format('Connect again, and consent anew: %s', cloudsync.connect_command(old));
    ELSIF (consent).used_at IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = 'this request for consent was used already',
            HINT = format('If consent is still needed, this gives another authorize_url: %s', cloudsync.connect_command(old));
    ELSIF (consent).expires_at <= clock_timestamp() THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = 'this request for consent has expired',
            DETAIL = format('It was valid until %s.', date_trunc('second', (consent).expires_at)),
            HINT = format('This gives another authorize_url: %s', cloudsync.connect_command(old));
    END IF;
    PERFORM cloudsync.exchange_code(old.connection_id, (consent).consent_id, code);
    SELECT c.* INTO new FROM cloudsync.connection c WHERE c.connection_id = old.connection_id;
    PERFORM cloudsync.note(new.tenant, 'authorize', new.name, cloudsync.connection_facts(old),
                           cloudsync.connection_facts(new) || '{"consent": "given"}');
    RETURN new.state;
END
$$;

CREATE FUNCTION @extschema@.cloudsync_authorize(connection text, code text) RETURNS text
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    conn cloudsync.connection;
    consent cloudsync.consent;
BEGIN
    PERFORM cloudsync.hide_statement();
    PERFORM cloudsync.refuse_transaction_block('cloudsync_authorize');
    conn := cloudsync.find_connection(cloudsync_authorize.connection);
    IF btrim(coalesce(cloudsync_authorize.code, '')) = '' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'a code is needed, as the service''s page shows it',
            HINT = format('Open the authorize_url, and consent there. This gives it: %s', cloudsync.connect_command(conn));
    END IF;
    SELECT n.* INTO consent FROM cloudsync.consent n
        WHERE n.connection_id = conn.connection_id AND n.kind <> 'device'
        ORDER BY n.used_at IS NOT NULL, n.expires_at DESC LIMIT 1;
    IF consent.consent_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('connection "%s" has not asked for consent', conn.name),
            HINT = format('This gives an authorize_url, where it needs one: %s', cloudsync.connect_command(conn));
    END IF;
    RETURN cloudsync.use_code(consent, btrim(cloudsync_authorize.code));
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_authorize(text, text) IS
    'Ends consent by the code that the service''s page showed; gives the connection''s state. Not in a '
    'transaction block. For cloudsync_admin.';

CREATE FUNCTION @extschema@.cloudsync_authorize(redirect_url text) RETURNS TABLE (connection text, state text)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
DECLARE
    own text;
    given text := cloudsync.query_value(cloudsync_authorize.redirect_url, 'state');
    refusal text := cloudsync.query_value(cloudsync_authorize.redirect_url, 'error');
    words text := cloudsync.query_value(cloudsync_authorize.redirect_url, 'error_description');
    code text := cloudsync.query_value(cloudsync_authorize.redirect_url, 'code');
    consent cloudsync.consent;
    conn cloudsync.connection;
BEGIN
    PERFORM cloudsync.hide_statement();
    own := cloudsync.tenant();
    PERFORM cloudsync.refuse_transaction_block('cloudsync_authorize');
    IF given IS NULL OR (code IS NULL AND refusal IS NULL) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'this is not an address that a browser came back to after consent',
            HINT = 'Give the whole URL from the browser''s address bar: "state" and "code" are in it. For a code alone: SELECT cloudsync_authorize(connection, code);';
    END IF;
    SELECT n.* INTO consent FROM cloudsync.consent n
        WHERE n.state_hash = sha256(convert_to(given, 'UTF8')) AND n.tenant = own;
    IF consent.consent_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = 'nobody here asked for this consent',
            DETAIL = 'The state in the URL is not one that was given out, or was given to another tenant, or long ago.',
            HINT = 'Open the authorize_url of SELECT * FROM cloudsync_connect(provider, name); and give the URL that the browser comes back to.';
    END IF;
    IF refusal IS NOT NULL THEN
        UPDATE cloudsync.connection c
            SET reason = left(format('consent was not given: %s%s', refusal, ': ' || words), 500)
            WHERE c.connection_id = consent.connection_id AND c.state IN ('pending', 'needs_consent')
              AND consent.used_at IS NULL
            RETURNING c.* INTO conn;
        IF FOUND THEN
            PERFORM cloudsync.note(conn.tenant, 'authorize', conn.name, NULL,
                                   cloudsync.connection_facts(conn) || '{"consent": "refused"}');
        END IF;
        RETURN QUERY SELECT c.name, c.state FROM cloudsync.connection c WHERE c.connection_id = consent.connection_id;
        RETURN;
    END IF;
    state := cloudsync.use_code(consent, code);
    RETURN QUERY SELECT c.name, c.state FROM cloudsync.connection c WHERE c.connection_id = consent.connection_id;
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_authorize(text) IS
    'Ends consent by the address that the browser came back to; finds the connection by it and gives its '
    'state. Not in a transaction block. For cloudsync_admin.';

/*
 * A service said whose account a connection's tokens are of. NULL: it is the
 * connection's, from now on if nobody knew before; otherwise why it cannot be.
 */
CREATE FUNCTION cloudsync.settle_account(connection_id bigint, account text, shown text) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
DECLARE
    conn cloudsync.connection;
    old cloudsync.account;
    new cloudsync.account;
    other text;
BEGIN
    SELECT c.* INTO STRICT conn FROM cloudsync.connection c WHERE c.connection_id = settle_account.connection_id FOR NO KEY UPDATE;
    SELECT a.* INTO STRICT old FROM cloudsync.account a WHERE a.account_id = conn.account_id;
    IF old.known AND old.account <> settle_account.account THEN
        RETURN format('connection "%s" belongs to account "%s", and the consent is of "%s"', conn.name,
                      coalesce(old.shown || ' (' || old.account || ')', old.account),
                      coalesce(settle_account.shown || ' (' || settle_account.account || ')', settle_account.account));
    END IF;
    INSERT INTO cloudsync.account AS a (tenant, provider, account, shown)
        VALUES (conn.tenant, conn.provider, settle_account.account, settle_account.shown)
        ON CONFLICT (tenant, provider, account) DO UPDATE SET shown = coalesce(EXCLUDED.shown, a.shown)
        RETURNING a.* INTO new;
    IF new.account_id <> old.account_id THEN
        SELECT n.name INTO other FROM cloudsync.destination d
            JOIN cloudsync.destination t ON t.account_id = new.account_id AND t.root = d.root
            JOIN cloudsync.connection n ON n.connection_id = t.connection_id
            WHERE d.account_id = old.account_id AND t.connection_id <> conn.connection_id LIMIT 1;
        IF other IS NOT NULL THEN
            RETURN format('connection "%s" pushes to the same root of account "%s" already', other,
                          coalesce(settle_account.shown, settle_account.account));
        END IF;
        -- what was set before anybody knew the account is of this one
        UPDATE cloudsync.destination t SET connection_id = conn.connection_id
            FROM cloudsync.destination d
            WHERE d.account_id = old.account_id AND t.account_id = new.account_id AND t.root = d.root;
        UPDATE cloudsync.push_setting p SET destination_id = t.destination_id
            FROM cloudsync.destination d JOIN cloudsync.destination t ON t.account_id = new.account_id AND t.root = d.root
            WHERE p.destination_id = d.destination_id AND d.account_id = old.account_id;
        DELETE FROM cloudsync.destination d
            WHERE d.account_id = old.account_id AND NOT EXISTS (SELECT FROM cloudsync.push_setting p WHERE p.destination_id = d.destination_id);
        UPDATE cloudsync.destination d SET account_id = new.account_id WHERE d.account_id = old.account_id;
    END IF;
    UPDATE cloudsync.connection c SET account_id = new.account_id, account_checked = true
        WHERE c.connection_id = conn.connection_id AND (c.account_id <> new.account_id OR NOT c.account_checked);
    DELETE FROM cloudsync.account a WHERE a.account_id = old.account_id AND NOT a.known AND a.account_id <> new.account_id;
    RETURN NULL;
END
$$;
