/*
 * roles.sql: schema, roles, tenants, audit; who may see what, and whether this
 * copy of the database may act at all (spec 2, S2, W8).
 */
\echo Use "CREATE EXTENSION cloudsync" to load this file. \quit

-- The functions' schema is the one that CREATE EXTENSION named; the tables have
-- one of their own.
DO $$
DECLARE
    functions text := pg_catalog.current_schema();
BEGIN
    -- names and paths of all services are UTF-8, and none of them may be lost
    IF pg_catalog.getdatabaseencoding() OPERATOR(pg_catalog.<>) 'UTF8' THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
            MESSAGE = 'cloudsync needs a database with encoding UTF8',
            DETAIL = pg_catalog.format('This database has encoding %s, which cannot hold every name of a remote file.',
                                       pg_catalog.getdatabaseencoding()),
            HINT = 'Create the database with ENCODING ''UTF8''.';
    END IF;
    IF functions OPERATOR(pg_catalog.=) 'cloudsync' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_schema_name',
            MESSAGE = 'the functions of cloudsync cannot be created in schema "cloudsync"',
            DETAIL = 'The extension makes that schema itself, for its tables and views.',
            HINT = 'Name another schema: CREATE EXTENSION cloudsync SCHEMA public.';
    END IF;
    IF pg_catalog.has_schema_privilege('public', functions, 'CREATE') THEN
        RAISE WARNING USING
            MESSAGE = pg_catalog.format('any role may create objects in schema %I, where the functions of cloudsync are created', functions),
            HINT = pg_catalog.format('Revoke it: REVOKE CREATE ON SCHEMA %I FROM PUBLIC; or create the extension in another schema.', functions);
    END IF;
END
$$;

CREATE SCHEMA cloudsync;

-- Roles belong to the cluster: made if missing, never dropped. Another
-- database's CREATE EXTENSION may make them at the same moment.
DO $$
DECLARE
    wanted text;
    one_role text;
    of_role text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['cloudsync_reader', 'cloudsync_operator', 'cloudsync_admin', 'cloudsync_app'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) wanted) THEN
            BEGIN
                EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
    END LOOP;
    FOR one_role, of_role IN VALUES ('cloudsync_operator', 'cloudsync_reader'), ('cloudsync_admin', 'cloudsync_operator') LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members m
                       WHERE m.roleid OPERATOR(pg_catalog.=) of_role::pg_catalog.regrole
                         AND m.member OPERATOR(pg_catalog.=) one_role::pg_catalog.regrole) THEN
            BEGIN
                EXECUTE pg_catalog.format('GRANT %I TO %I', of_role, one_role);
            EXCEPTION WHEN unique_violation THEN
                NULL;
            END;
        END IF;
    END LOOP;
END
$$;

-- The tenant for which the session acts ('' for none), by the rules of spec 2;
-- an error where it may act for nobody.
CREATE FUNCTION cloudsync.tenant() RETURNS text
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'cloudsync_tenant';
-- Whether the session sees what belongs to that tenant.
CREATE FUNCTION cloudsync.sees(tenant text) RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'cloudsync_sees';
-- Whether the session acts for the whole server (an administrator without a tenant).
CREATE FUNCTION cloudsync.sees_all() RETURNS boolean
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'cloudsync_sees_all';
-- The person for whom the session acts: cloudsync.user where it counts, else the role.
CREATE FUNCTION cloudsync.acting_user() RETURNS text
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'cloudsync_acting_user';
-- Whether the session's role (as the acting role, also inside our functions) is a member of that role.
CREATE FUNCTION cloudsync.acting_has_role(role text) RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'cloudsync_acting_has_role';

-- Whether a recipient of that name is the person for whom the session acts, or a role that it is a member of.
CREATE FUNCTION cloudsync.acting_is(recipient text) RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 50 AS 'MODULE_PATHNAME', 'cloudsync_acting_is';

-- Wakes this database's workers when the transaction commits; urgent for what
-- somebody asked for by hand (W4).
CREATE FUNCTION cloudsync.wake(urgent boolean) RETURNS void
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'cloudsync_wake';

-- Text for a place that has one line for it: what would begin another, or nothing
-- visible, is a space.
CREATE FUNCTION cloudsync.one_line(line text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT regexp_replace(one_line.line, '[\u0001-\u001f\u007f-\u009f\u2028\u2029]', ' ', 'g');
END;

CREATE TABLE cloudsync.role_tenant (
    role name PRIMARY KEY,
    tenant text NOT NULL
);
COMMENT ON TABLE cloudsync.role_tenant IS 'The tenant for which a role acts that is not a member of cloudsync_app; changed by administrators without a tenant.';

-- This copy's identity, made by CREATE EXTENSION and never dumped ...
CREATE TABLE cloudsync.installation (
    installation uuid NOT NULL
);
INSERT INTO cloudsync.installation VALUES (pg_catalog.gen_random_uuid());

-- ... and the identity of the copy that may act, which is dumped. Everything is
-- suspended unless each row here is this copy (cloudsync_resume makes it so).
CREATE TABLE cloudsync.home (
    installation uuid NOT NULL,
    system_identifier bigint NOT NULL,
    database_oid oid NOT NULL,
    suspended_at timestamptz,
    suspended_by text
);
INSERT INTO cloudsync.home (installation, system_identifier, database_oid)
    SELECT i.installation, c.system_identifier, d.oid
    FROM cloudsync.installation i, pg_catalog.pg_control_system() c, pg_catalog.pg_database d
    WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database();

CREATE TABLE cloudsync.audit (
    audit_id bigserial PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    tenant text NOT NULL,
    actor text NOT NULL,
    role name NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    before jsonb,
    after jsonb
);
COMMENT ON TABLE cloudsync.audit IS 'Who changed which connection, channel, setting or document, when, from what to what. Changed by nobody.';
CREATE INDEX ON cloudsync.audit (tenant, at);

-- Notes a change in the audit; nothing where before and after are the same.
CREATE FUNCTION cloudsync.note(tenant text, action text, subject text, before jsonb, after jsonb) RETURNS void
    LANGUAGE sql SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO cloudsync.audit (tenant, actor, role, action, subject, before, after)
        SELECT note.tenant, cloudsync.acting_user(), session_user, note.action, note.subject, note.before, note.after
        WHERE note.before IS DISTINCT FROM note.after OR note.before IS NULL;
END;

-- Whom a role acts for is a setting too, though one that is written directly. A
-- dump that is being restored carries the audit of that as well, so its rows are
-- not noted once more: new ones that a superuser writes under the settings with
-- which every dump begins, and which nobody has while working.
CREATE FUNCTION cloudsync.note_role_tenant() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
    IF TG_OP <> 'INSERT' OR current_setting('check_function_bodies') = 'on' OR current_setting('client_min_messages') <> 'warning'
       OR NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = session_user) THEN
        PERFORM cloudsync.note('', 'set role tenant', coalesce(NEW.role, OLD.role),
            CASE WHEN OLD IS NOT NULL THEN jsonb_build_object('role', OLD.role, 'tenant', OLD.tenant) END,
            CASE WHEN NEW IS NOT NULL THEN jsonb_build_object('role', NEW.role, 'tenant', NEW.tenant) END);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON cloudsync.role_tenant
    FOR EACH ROW EXECUTE FUNCTION cloudsync.note_role_tenant();
