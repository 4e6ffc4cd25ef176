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
    -- while it is pending: the program, and its package, that is missing
    ocr_waits_for text,
    ocr_finished_at timestamptz,
    ocr_languages text,
    ocr_confidence real,
    pages integer,
    excerpt text
);
CREATE INDEX document_inbox ON cloudsync.document (tenant, recipient, collected_at) WHERE state OPERATOR(pg_catalog.=) 'waiting';
CREATE INDEX document_to_read ON cloudsync.document (ocr_next_try_at NULLS FIRST, document_id)
    WHERE ocr_state OPERATOR(pg_catalog.=) 'pending' AND ocr_waits_for IS NULL;
CREATE INDEX document_missing ON cloudsync.document (ocr_waits_for, document_id)
    WHERE ocr_state OPERATOR(pg_catalog.=) 'pending' AND ocr_waits_for IS NOT NULL;
CREATE INDEX document_unread ON cloudsync.document (document_id)
    WHERE ocr_state OPERATOR(pg_catalog.=) 'failed' AND state OPERATOR(pg_catalog.=) 'waiting';
CREATE INDEX document_channel ON cloudsync.document (channel_id);
CREATE INDEX document_run ON cloudsync.document (run_id);

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
            MESSAGE = format('document %s does not exist', coalesce(readable_document.document_id::text, 'NULL')),
            HINT = 'To see those there are: SELECT document_id, name, state FROM cloudsync.document;';
    END IF;
    IF result.content_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('the content of document %s is not kept any more', result.document_id),
            DETAIL = format('The document is %s.', result.state),
            HINT = format('Why: SELECT state, decided_by, reason FROM cloudsync.document WHERE document_id = %s;', result.document_id);
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
            HINT = format('Read it in parts: SELECT cloudsync_read(%s, 0, 1048576);', doc.document_id);
    END IF;
    RETURN coalesce((SELECT string_agg(c.bytes, ''::bytea ORDER BY c.seq) FROM cloudsync.chunk c WHERE c.content_id = doc.content_id), '');
END;
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_content(bigint) IS
    'Gives the bytes of a document of up to 256 MiB. For cloudsync_reader, of documents that are theirs.';

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
            MESSAGE = 'from_byte must not be negative, and length must be between 0 and 256 MiB',
            HINT = format('For example, its first mebibyte: SELECT cloudsync_read(%s, 0, 1048576);', doc.document_id);
    END IF;
    IF from_byte >= doc.size OR cloudsync_read.length = 0 THEN
        RETURN '';
    END IF;
    until_byte := least(from_byte + cloudsync_read.length, doc.size);
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
    'Gives a part of the bytes of a document, counted from 0. For cloudsync_reader, of documents that are '
    'theirs.';

-- Registers the application's function (B3); DROP FUNCTION ends it.
CREATE FUNCTION @extschema@.cloudsync_on_document(fn regproc, event text DEFAULT 'collected') RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    p pg_catalog.pg_proc;
BEGIN
    IF NOT cloudsync.sees_all() THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
            MESSAGE = 'functions that run for every document are registered by an administrator without a tenant',
            HINT = 'Act for no tenant: RESET cloudsync.tenant; or have a superuser GRANT cloudsync_admin TO the role.';
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
            MESSAGE = format('must be owner of function %s', p.oid::regprocedure),
            HINT = format('Call it as its owner: SET ROLE %I;', pg_get_userbyid(p.proowner));
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
    'Registers a function of the application, fn(document_id bigint), that runs for each document when it is '
    'collected, or when its text is there (event ocr). DROP FUNCTION ends it. For cloudsync_admin without a '
    'tenant, the function''s owner.';

-- What the audit shows of a document: how it stands, nothing of what is in it.
CREATE FUNCTION cloudsync.document_facts(doc cloudsync.document) RETURNS jsonb
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT jsonb_strip_nulls(jsonb_build_object('state', (doc).state, 'recipient', (doc).recipient,
        'dossier', (doc).dossier, 'reason', (doc).reason));
END;

-- A document of the session's tenant, locked; an error if it is not there or was forgotten.
CREATE FUNCTION cloudsync.lock_document(document_id bigint) RETURNS cloudsync.document
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    result cloudsync.document;
BEGIN
    SELECT d.* INTO result FROM cloudsync.document d
        WHERE d.document_id = lock_document.document_id AND cloudsync.sees_document(d.tenant, d.recipient) FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('document %s does not exist', coalesce(lock_document.document_id::text, 'NULL')),
            HINT = 'To see those there are: SELECT document_id, name, state FROM cloudsync.document;';
    END IF;
    RETURN result;
END;
$$;

-- The error for a document that somebody has decided about already.
CREATE FUNCTION cloudsync.refuse_decided(doc cloudsync.document) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
        MESSAGE = format('document %s was %s already', doc.document_id, doc.state),
        DETAIL = format('%s did it at %s%s%s.', doc.decided_by, to_char(doc.decided_at, 'YYYY-MM-DD HH24:MI'),
                        ', for dossier "' || doc.dossier || '"', ', for the reason: ' || doc.reason),
        HINT = CASE WHEN doc.state = 'forgotten' THEN 'What was forgotten cannot be brought back.'
                    ELSE format('Put it back into an inbox first: SELECT cloudsync_assign_document(%s, %L);', doc.document_id, doc.recipient) END;
END;
$$;

-- Writes what was decided about a locked document, and notes it.
CREATE FUNCTION cloudsync.decide_document(doc cloudsync.document, action text, state text, dossier text, reason text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    new cloudsync.document;
BEGIN
    UPDATE cloudsync.document d
        SET state = decide_document.state, dossier = decide_document.dossier, reason = decide_document.reason,
            decided_by = cloudsync.acting_user(), decided_at = clock_timestamp()
        WHERE d.document_id = doc.document_id RETURNING d.* INTO new;
    PERFORM cloudsync.note(doc.tenant, decide_document.action, 'document ' || doc.document_id,
                           cloudsync.document_facts(doc), cloudsync.document_facts(new));
END;
$$;

/*
 * Entered: it leaves the inbox. The dossier is the application's own key, which
 * need not be of a tracked table. Whoever comes second is told, unless both mean
 * the same.
 */
CREATE FUNCTION cloudsync.file_document(document_id bigint, dossier text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    doc constant cloudsync.document := cloudsync.lock_document(file_document.document_id);
    wanted constant text := coalesce(file_document.dossier, doc.dossier);
BEGIN
    IF file_document.dossier !~ '\S' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a dossier''s key must not be empty',
            HINT = 'Leave it out to enter the document without a dossier.';
    END IF;
    IF doc.state = 'filed' AND wanted IS NOT DISTINCT FROM doc.dossier THEN
        RETURN;
    ELSIF doc.state <> 'waiting' AND NOT (doc.state = 'filed' AND doc.dossier IS NULL) THEN
        PERFORM cloudsync.refuse_decided(doc);
    END IF;
    PERFORM cloudsync.decide_document(doc, 'file document', 'filed', wanted, NULL);
END;
$$;
CREATE FUNCTION @extschema@.cloudsync_file_document(document_id bigint, dossier text DEFAULT NULL) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT cloudsync.file_document($1, $2);
END;
COMMENT ON FUNCTION @extschema@.cloudsync_file_document(bigint, text) IS
    'Enters a document, for the dossier of that key if one is named: it leaves the inbox. For '
    'cloudsync_operator.';
CREATE FUNCTION @extschema@.cloudsync_file_document(document_id bigint, dossier bigint) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT cloudsync.file_document($1, $2::text);
END;
COMMENT ON FUNCTION @extschema@.cloudsync_file_document(bigint, bigint) IS
    'Enters a document, for the dossier of that key if one is named: it leaves the inbox. For '
    'cloudsync_operator.';
CREATE FUNCTION @extschema@.cloudsync_file_document(document_id bigint, dossier uuid) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT cloudsync.file_document($1, $2::text);
END;
COMMENT ON FUNCTION @extschema@.cloudsync_file_document(bigint, uuid) IS
    'Enters a document, for the dossier of that key if one is named: it leaves the inbox. For '
    'cloudsync_operator.';

-- Also the way back: what was filed or rejected waits again.
CREATE FUNCTION @extschema@.cloudsync_assign_document(document_id bigint, recipient text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    doc cloudsync.document := cloudsync.lock_document(cloudsync_assign_document.document_id);
    new cloudsync.document;
BEGIN
    PERFORM cloudsync.check_recipient(doc.tenant, cloudsync_assign_document.recipient);
    IF doc.state = 'forgotten' THEN
        PERFORM cloudsync.refuse_decided(doc);
    ELSIF doc.state = 'waiting' AND doc.recipient = cloudsync_assign_document.recipient THEN
        RETURN;
    END IF;
    UPDATE cloudsync.document d
        SET recipient = cloudsync_assign_document.recipient, state = 'waiting', dossier = NULL, reason = NULL,
            decided_by = NULL, decided_at = NULL
        WHERE d.document_id = doc.document_id RETURNING d.* INTO new;
    UPDATE cloudsync.words w SET recipient = new.recipient
        WHERE w.document_id = new.document_id AND w.recipient <> new.recipient;
    PERFORM cloudsync.note(doc.tenant, 'assign document', 'document ' || doc.document_id,
                           cloudsync.document_facts(doc), cloudsync.document_facts(new));
END;
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_assign_document(bigint, text) IS
    'Puts a document into another recipient''s inbox, also one that was entered or rejected. For '
    'cloudsync_operator.';

CREATE FUNCTION @extschema@.cloudsync_reject_document(document_id bigint, reason text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    doc constant cloudsync.document := cloudsync.lock_document(cloudsync_reject_document.document_id);
BEGIN
    PERFORM cloudsync.check_reason(cloudsync_reject_document.reason, 'cloudsync_reject_document', doc.document_id);
    IF doc.state = 'rejected' AND doc.reason = cloudsync_reject_document.reason THEN
        RETURN;
    ELSIF doc.state <> 'waiting' THEN
        PERFORM cloudsync.refuse_decided(doc);
    END IF;
    PERFORM cloudsync.decide_document(doc, 'reject document', 'rejected', NULL, cloudsync_reject_document.reason);
END;
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_reject_document(bigint, text) IS
    'Takes a document out of the inbox without entering it, for a reason that stays on record. For '
    'cloudsync_operator.';

CREATE FUNCTION cloudsync.check_reason(reason text, function_name text, document_id bigint) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF coalesce(check_reason.reason, '') !~ '\S' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a reason is required',
            HINT = format('For example: SELECT %s(%s, ''sent by mistake'');', function_name, document_id);
    END IF;
END;
$$;

/*
 * Erases what is in a document, in one transaction: its bytes, its text, the
 * words that it is found by and all that tells of them. What stays says that
 * there was such a file and that it was forgotten: its row with name, path,
 * size and SHA-256, history and the dedup key, so that the file is not collected
 * again (L4), and the audit. Reading it, or collecting it once more, ends.
 */
CREATE FUNCTION @extschema@.cloudsync_forget(document_id bigint, reason text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    doc constant cloudsync.document := cloudsync.lock_document(cloudsync_forget.document_id);
BEGIN
    PERFORM cloudsync.check_reason(cloudsync_forget.reason, 'cloudsync_forget', doc.document_id);
    IF doc.state = 'forgotten' THEN
        RETURN;
    END IF;
    UPDATE cloudsync.document d
        SET content_id = NULL, excerpt = NULL, pages = NULL, ocr_languages = NULL, ocr_confidence = NULL,
            ocr_state = 'not_applicable', ocr_reason = 'the document was forgotten', ocr_next_try_at = NULL,
            ocr_waits_for = NULL
        WHERE d.document_id = doc.document_id;
    DELETE FROM cloudsync.page p WHERE p.document_id = doc.document_id;
    DELETE FROM cloudsync.words w WHERE w.document_id = doc.document_id;
    DELETE FROM cloudsync.chunk c WHERE c.content_id = doc.content_id;
    DELETE FROM cloudsync.content c WHERE c.content_id = doc.content_id;
    -- it is not to come back by a collection that was asked for before
    UPDATE cloudsync.run r SET state = 'cancelled', finished_at = clock_timestamp(), error = 'the document was forgotten'
        WHERE r.document_id = doc.document_id AND r.state = 'queued';
    UPDATE cloudsync.run r SET cancel_requested = true
        WHERE r.document_id = doc.document_id AND r.state = 'running';
    PERFORM cloudsync.decide_document(doc, 'forget', 'forgotten', doc.dossier, cloudsync_forget.reason);
    PERFORM cloudsync.wake(true); -- who reads or collects it now has its bytes
END;
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_forget(bigint, text) IS
    'Erases a document''s content and text. That it was there, why it went, and that it is not collected '
    'again stays on record. For cloudsync_operator.';
