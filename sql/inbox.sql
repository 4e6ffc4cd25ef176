/*
 * inbox.sql: collected documents and their bytes (B1, B3).
 */

-- The bytes of one document in order. A content listed in staging is not a
-- document yet; settling removes it from there.
CREATE TABLE cloudsync.content (
    content_id bigserial PRIMARY KEY,
    connection_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE TABLE cloudsync.chunk (
    content_id bigint NOT NULL,
    seq integer NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (content_id, seq)
);
ALTER TABLE cloudsync.chunk ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE TABLE cloudsync.staging (
    content_id bigint PRIMARY KEY,
    connection_id bigint NOT NULL,
    run_id bigint NOT NULL,
    item_id bigint NOT NULL,
    started_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX ON cloudsync.staging (connection_id);

CREATE TABLE cloudsync.document (
    document_id bigserial PRIMARY KEY,
    tenant text NOT NULL,
    account_id bigint NOT NULL REFERENCES cloudsync.account,
    connection_id bigint NOT NULL REFERENCES cloudsync.connection,
    channel_id bigint NOT NULL,
    run_id bigint NOT NULL,
    name text NOT NULL,
    size bigint NOT NULL,
    sha256 bytea NOT NULL,
    media_type text NOT NULL,
    remote_id text,
    remote_path text NOT NULL,
    remote_version text,
    remote_modified_at timestamptz,
    recipient text NOT NULL,
    binder text NOT NULL,
    collected_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'filed', 'rejected', 'forgotten')),
    version integer NOT NULL DEFAULT 1,
    content_id bigint,
    -- who entered, rejected or forgot it, when, for which dossier or for what reason
    decided_by text,
    decided_at timestamptz,
    dossier text,
    reason text,
    -- reading it (ocr.sql)
    ocr_state text NOT NULL DEFAULT 'pending' CHECK (ocr_state IN ('pending', 'done', 'failed', 'not_applicable')),
    ocr_reason text,
    ocr_attempts integer NOT NULL DEFAULT 0,
    ocr_next_try_at timestamptz,
    ocr_finished_at timestamptz,
    ocr_languages text,
    ocr_confidence real,
    pages integer,
    excerpt text
);
CREATE INDEX document_inbox ON cloudsync.document (tenant, recipient, collected_at) WHERE state OPERATOR(pg_catalog.=) 'waiting';
CREATE INDEX document_to_read ON cloudsync.document (document_id) WHERE ocr_state OPERATOR(pg_catalog.=) 'pending';
CREATE INDEX document_channel ON cloudsync.document (channel_id);

-- Functions of the application that run for each document (B3).
CREATE TABLE cloudsync.hook (
    hook_id serial PRIMARY KEY,
    fn regprocedure NOT NULL,
    event text NOT NULL CHECK (event IN ('collected', 'ocr')),
    registered_by text NOT NULL,
    UNIQUE (fn, event)
);

-- A document that the session may read, or an error: an operator reads the
-- tenant's, anybody else what is for them (B1).
CREATE FUNCTION cloudsync.readable_document(document_id bigint) RETURNS cloudsync.document
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    result cloudsync.document;
BEGIN
    SELECT d.* INTO result FROM cloudsync.document d
        WHERE d.document_id = readable_document.document_id AND cloudsync.sees_document(d.tenant, d.recipient);
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('document %s does not exist', readable_document.document_id),
            HINT = 'The view cloudsync.inbox lists those that wait to be entered.';
    END IF;
    IF result.content_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('the content of document %s is not kept any more', result.document_id),
            DETAIL = format('The document is %s.', result.state);
    END IF;
    RETURN result;
END;
$$;

CREATE FUNCTION @extschema@.cloudsync_content(document_id bigint) RETURNS bytea
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    doc constant cloudsync.document := cloudsync.readable_document(cloudsync_content.document_id);
BEGIN
    IF doc.size > 268435456 THEN
        RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
            MESSAGE = format('document %s is larger than 256 MiB', doc.document_id),
            DETAIL = format('It has %s bytes.', doc.size),
            HINT = 'Read it in parts with cloudsync_read(document_id, from_byte, length).';
    END IF;
    RETURN coalesce((SELECT string_agg(c.bytes, ''::bytea ORDER BY c.seq) FROM cloudsync.chunk c WHERE c.content_id = doc.content_id), '');
END;
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_content(bigint) IS
    'the bytes of a document';

-- Bytes are counted from 0; what lies behind the end is not there. Each chunk
-- but the last has 1 MiB (store/content.c).
CREATE FUNCTION @extschema@.cloudsync_read(document_id bigint, from_byte bigint, length integer) RETURNS bytea
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    doc constant cloudsync.document := cloudsync.readable_document(cloudsync_read.document_id);
    chunk_size constant bigint := 1048576;
    until_byte bigint;
BEGIN
    IF from_byte IS NULL OR from_byte < 0 OR cloudsync_read.length IS NULL OR cloudsync_read.length < 0
       OR cloudsync_read.length > 268435456 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'from_byte must not be negative, and length must be between 0 and 256 MiB';
    END IF;
    until_byte := least(from_byte + cloudsync_read.length, doc.size);
    IF until_byte <= from_byte THEN
        RETURN '';
    END IF;
    RETURN (SELECT string_agg(substring(c.bytes
                        FROM greatest(from_byte - c.seq * chunk_size, 0)::integer + 1
                        FOR (least(until_byte - c.seq * chunk_size, chunk_size) - greatest(from_byte - c.seq * chunk_size, 0))::integer),
                    ''::bytea ORDER BY c.seq)
            FROM cloudsync.chunk c
            WHERE c.content_id = doc.content_id
              AND c.seq BETWEEN from_byte / chunk_size AND (until_byte - 1) / chunk_size);
END;
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_read(bigint, bigint, integer) IS
    'a part of the bytes of a document';

-- Registers the application's function (B3); DROP FUNCTION ends it.
CREATE FUNCTION @extschema@.cloudsync_on_document(fn regproc, event text DEFAULT 'collected') RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    p pg_catalog.pg_proc;
BEGIN
    IF NOT cloudsync.sees_all() THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
            MESSAGE = 'functions that run for every document are registered by an administrator without a tenant';
    END IF;
    IF cloudsync_on_document.event IS NULL OR cloudsync_on_document.event NOT IN ('collected', 'ocr') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('event "%s" is not known', coalesce(cloudsync_on_document.event, '')), HINT = 'Use collected or ocr.';
    END IF;
    SELECT f.* INTO p FROM pg_catalog.pg_proc f WHERE f.oid = cloudsync_on_document.fn;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_function', MESSAGE = 'the function does not exist',
            HINT = 'Name a function with one argument of type bigint.';
    END IF;
    IF p.prokind <> 'f' OR p.proretset OR p.pronargs <> 1 OR p.proargtypes[0] <> 'bigint'::regtype
       OR p.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_function_definition',
            MESSAGE = format('%s cannot be called for a document', p.oid::regprocedure),
            HINT = 'Register a function with one argument of type bigint, the document_id, that returns no set.';
    END IF;
    IF NOT cloudsync.acting_has_role(pg_get_userbyid(p.proowner)) THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
            MESSAGE = format('must be owner of function %s', p.oid::regprocedure);
    END IF;
    INSERT INTO cloudsync.hook (fn, event, registered_by)
        VALUES (p.oid, cloudsync_on_document.event, cloudsync.acting_user())
        ON CONFLICT DO NOTHING;
    IF FOUND THEN
        PERFORM cloudsync.note('', 'on document', p.oid::regprocedure::text, NULL, jsonb_build_object('event', cloudsync_on_document.event));
    END IF;
END;
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_on_document(regproc, text) IS
    'registers a function of the application that runs for each document';
