/*
 * recipient.sql: the people for whom documents are collected (L1).
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

-- An error if the tenant has no recipient of that name.
CREATE FUNCTION cloudsync.check_recipient(tenant text, recipient text) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF coalesce(check_recipient.recipient, '') !~ '\S' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a recipient must be named',
            HINT = 'To see those there are: SELECT name, email FROM cloudsync.recipients;';
    END IF;
    IF NOT EXISTS (SELECT FROM cloudsync.recipient r
                   WHERE r.tenant = check_recipient.tenant AND r.name = check_recipient.recipient) THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('recipient "%s" does not exist', check_recipient.recipient),
            HINT = format('To see those there are: SELECT name, email FROM cloudsync.recipients; to add a user of the application: '
                          'SELECT cloudsync_add_recipient(%L); or somebody outside: SELECT cloudsync_add_recipient(%L, external => true);',
                          check_recipient.recipient, check_recipient.recipient);
    END IF;
END;
$$;

CREATE FUNCTION @extschema@.cloudsync_add_recipient(name text, email text DEFAULT NULL, external boolean DEFAULT false)
    RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own constant text := cloudsync.tenant();
    old cloudsync.recipient;
    result bigint;
BEGIN
    IF coalesce(cloudsync_add_recipient.name, '') !~ '\S' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a recipient needs a name',
            HINT = 'For example: SELECT cloudsync_add_recipient(''alice'');';
    ELSIF cloudsync_add_recipient.name ~ '[[:cntrl:]]' OR char_length(cloudsync_add_recipient.name) > 200
          OR cloudsync_add_recipient.email ~ '[[:cntrl:]]' OR char_length(cloudsync_add_recipient.email) > 1000 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'a recipient''s name has 200 characters at most, an email address 1000, and neither has control characters',
            HINT = 'Give the name of a role, or of a user of the application; look for a line break in it.';
    END IF;
    SELECT r.* INTO old FROM cloudsync.recipient r WHERE r.tenant = own AND r.name = cloudsync_add_recipient.name;
    INSERT INTO cloudsync.recipient AS r (tenant, name, email, external, created_by)
        VALUES (own, cloudsync_add_recipient.name, cloudsync_add_recipient.email,
                coalesce(cloudsync_add_recipient.external, false), cloudsync.acting_user())
        ON CONFLICT ON CONSTRAINT recipient_tenant_name_key DO UPDATE
            SET email = coalesce(excluded.email, r.email), external = excluded.external
        RETURNING r.recipient_id INTO result;
    PERFORM cloudsync.note(own, 'add recipient', cloudsync_add_recipient.name,
        CASE WHEN old.recipient_id IS NOT NULL THEN jsonb_build_object('email', old.email, 'external', old.external) END,
        (SELECT jsonb_build_object('email', r.email, 'external', r.external) FROM cloudsync.recipient r WHERE r.recipient_id = result));
    RETURN result;
END;
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_add_recipient(text, text, boolean) IS
    'Adds a person for whom documents are collected, or changes one; external is one without a role here. '
    'Gives the number. For cloudsync_admin.';
