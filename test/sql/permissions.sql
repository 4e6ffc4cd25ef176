-- The permission matrix: each role against each function, procedure, view,
-- table and sequence of the extension, from the catalogs. The expected output
-- is the reviewed matrix: a change of it is a change of who may do what.
SET client_min_messages = warning;
CREATE EXTENSION cloudsync SCHEMA public;
CREATE ROLE regress_nobody;
CREATE ROLE regress_reader IN ROLE cloudsync_reader;
CREATE ROLE regress_operator IN ROLE cloudsync_operator;
CREATE ROLE regress_admin IN ROLE cloudsync_admin;
CREATE ROLE regress_app IN ROLE cloudsync_app;
SET search_path = pg_catalog, public, pg_temp;

CREATE TEMP VIEW members AS
    SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
    WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'cloudsync';
CREATE FUNCTION pg_temp.may(role name, routine oid) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN has_function_privilege(role, routine, 'EXECUTE') THEN 'x' ELSE '' END $$;
CREATE FUNCTION pg_temp.rights(role name, relation oid) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(letter, '' ORDER BY n), '')
    FROM (VALUES (1, 'r', 'SELECT'), (2, 'a', 'INSERT'), (3, 'w', 'UPDATE'), (4, 'd', 'DELETE'), (5, 'D', 'TRUNCATE'),
                 (6, 'x', 'REFERENCES'), (7, 't', 'TRIGGER')) v (n, letter, privilege)
    WHERE has_table_privilege(role, relation, privilege) $$;
CREATE FUNCTION pg_temp.sequence_rights(role name, relation oid) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(letter, '' ORDER BY n), '')
    FROM (VALUES (1, 'r', 'SELECT'), (2, 'w', 'UPDATE'), (3, 'U', 'USAGE')) v (n, letter, privilege)
    WHERE has_sequence_privilege(role, relation, privilege) $$;

-- schemas
SELECT r.rolname, has_schema_privilege(r.rolname, 'cloudsync', 'USAGE') AS usage,
       has_schema_privilege(r.rolname, 'cloudsync', 'CREATE') AS "create"
    FROM pg_roles r WHERE r.rolname LIKE 'regress\_%' ORDER BY r.rolname COLLATE "C";

-- functions and procedures (x: may execute); internal ones only if somebody may
SELECT pg_temp.may('regress_nobody', p.oid) AS nobody, pg_temp.may('regress_app', p.oid) AS app,
       pg_temp.may('regress_reader', p.oid) AS reader, pg_temp.may('regress_operator', p.oid) AS operator,
       pg_temp.may('regress_admin', p.oid) AS admin, p.oid::regprocedure AS routine
    FROM members m JOIN pg_proc p ON p.oid = m.objid JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE m.classid = 'pg_proc'::regclass
      AND (n.nspname <> 'cloudsync' OR has_function_privilege('regress_nobody', p.oid, 'EXECUTE')
           OR has_function_privilege('regress_app', p.oid, 'EXECUTE') OR has_function_privilege('regress_admin', p.oid, 'EXECUTE'))
    ORDER BY n.nspname COLLATE "C", p.oid::regprocedure::text COLLATE "C";

-- views and tables
SELECT c.relkind AS kind, c.relname AS relation,
       pg_temp.rights('regress_nobody', c.oid) AS nobody, pg_temp.rights('regress_app', c.oid) AS app,
       pg_temp.rights('regress_reader', c.oid) AS reader, pg_temp.rights('regress_operator', c.oid) AS operator,
       pg_temp.rights('regress_admin', c.oid) AS admin,
       CASE c.relkind WHEN 'r' THEN CASE WHEN c.relrowsecurity THEN 'row security' END
            ELSE array_to_string(c.reloptions, ',') END AS guarded,
       (SELECT string_agg(p.polcmd::text || ': ' || pg_get_expr(p.polqual, p.polrelid), '; ') FROM pg_policy p WHERE p.polrelid = c.oid) AS policy
    FROM members m JOIN pg_class c ON c.oid = m.objid
    WHERE m.classid = 'pg_class'::regclass AND c.relkind IN ('r', 'v', 'm', 'p')
    ORDER BY c.relkind DESC, c.relname COLLATE "C";

-- nobody but the owner has a sequence
SELECT count(*) > 0 AS sequences,
       bool_or(pg_temp.sequence_rights(r.rolname, c.oid) <> '') AS any_right
    FROM pg_class c, pg_roles r
    WHERE c.relnamespace = 'cloudsync'::regnamespace AND c.relkind = 'S' AND r.rolname LIKE 'regress\_%';

-- no column has rights of its own, and nobody may pass on what they have
SELECT a.attrelid::regclass AS relation, a.attname, a.attacl
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'cloudsync'::regnamespace AND a.attacl IS NOT NULL;
SELECT x.what, x.acl FROM (
    SELECT c.oid::regclass::text, c.relowner, c.relacl FROM pg_class c WHERE c.relnamespace = 'cloudsync'::regnamespace
    UNION ALL SELECT p.oid::regprocedure::text, p.proowner, p.proacl FROM members m JOIN pg_proc p ON p.oid = m.objid AND m.classid = 'pg_proc'::regclass
    UNION ALL SELECT n.nspname, n.nspowner, n.nspacl FROM pg_namespace n WHERE n.nspname = 'cloudsync') x (what, owner, acl)
    WHERE EXISTS (SELECT FROM aclexplode(x.acl) e WHERE e.is_grantable AND e.grantee <> x.owner);

-- every routine that runs with its owner's rights, or is not a procedure, has a pinned search path
SELECT p.oid::regprocedure AS unpinned, p.prosecdef
    FROM members m JOIN pg_proc p ON p.oid = m.objid JOIN pg_language l ON l.oid = p.prolang
    WHERE m.classid = 'pg_proc'::regclass
      AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false)
      AND (p.prosecdef OR (l.lanname IN ('sql', 'plpgsql') AND p.prosqlbody IS NULL))
    ORDER BY p.oid::regprocedure::text COLLATE "C";

-- every public routine and view has a comment
SELECT p.oid::regprocedure AS uncommented
    FROM members m JOIN pg_proc p ON p.oid = m.objid
    WHERE m.classid = 'pg_proc'::regclass AND p.pronamespace = 'public'::regnamespace
      AND obj_description(p.oid, 'pg_proc') IS NULL
    ORDER BY p.oid::regprocedure::text COLLATE "C";
SELECT c.oid::regclass AS uncommented
    FROM members m JOIN pg_class c ON c.oid = m.objid
    WHERE m.classid = 'pg_class'::regclass AND c.relkind = 'v' AND obj_description(c.oid, 'pg_class') IS NULL;

DROP EXTENSION cloudsync;
DROP OWNED BY regress_nobody, regress_reader, regress_operator, regress_admin, regress_app;
DROP ROLE regress_nobody, regress_reader, regress_operator, regress_admin, regress_app;
