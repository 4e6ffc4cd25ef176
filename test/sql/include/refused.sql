-- What tests of refusals share: refused(statement) and everything(). Included
-- from the folder that pg_regress runs in.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on

-- what is said to a refused statement, a line each
CREATE FUNCTION refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    detail text;
    hint text;
    code text;
BEGIN
    EXECUTE statement;
    RETURN 'NOT REFUSED';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n    ', code || ' ' || message, nullif(detail, ''), coalesce(nullif(hint, ''), 'NO HINT'));
END
$$;
-- until listeners have been told of the connections, which the scheduler notes there
CREATE PROCEDURE wait_told() LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..6000 LOOP
        EXIT WHEN NOT EXISTS (SELECT FROM cloudsync.connection WHERE state IS DISTINCT FROM told_state);
        PERFORM pg_sleep(0.01);
    END LOOP;
END
$$;
-- every row of every table of the extension
CREATE FUNCTION everything() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    t regclass;
    part text;
    result text := '';
BEGIN
    FOR t IN SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'cloudsync'::regnamespace AND c.relkind = 'r' ORDER BY c.relname LOOP
        EXECUTE format('SELECT md5(string_agg(x::text, '','' ORDER BY x::text)) FROM %s x', t) INTO part;
        result := result || coalesce(t || part, '');
    END LOOP;
    RETURN md5(result);
END
$$;
