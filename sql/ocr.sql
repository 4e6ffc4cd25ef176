/*
 * ocr.sql: what was read in a document: its text by page, and the words that
 * searches look for (B2).
 */

-- The text of one page. A text layer was in the document, a scan was read by
-- OCR, with its mean confidence in per cent; plain text has one page.
CREATE TABLE cloudsync.page (
    document_id bigint NOT NULL REFERENCES cloudsync.document,
    page_no integer NOT NULL,
    source text NOT NULL CHECK (source IN ('layer', 'ocr', 'plain')),
    confidence real,
    text text NOT NULL,
    PRIMARY KEY (document_id, page_no)
);

-- The words of a document's name and text, and for whom it is, so that a search
-- reads no more than this. Apart from the document, whose row changes with each
-- step in the inbox; a document that is forgotten has no row here.
CREATE TABLE cloudsync.words (
    document_id bigint PRIMARY KEY REFERENCES cloudsync.document,
    tenant text NOT NULL,
    recipient text NOT NULL,
    words tsvector NOT NULL
);
CREATE INDEX words_words ON cloudsync.words USING gin (words);

-- In what the program that reads ran last, in this copy of the database.
CREATE TABLE cloudsync.ocr_sandbox (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    sandbox text NOT NULL CHECK (sandbox IN ('bwrap', 'no network', 'none')),
    problem text
);

CREATE FUNCTION @extschema@.cloudsync_text(document_id bigint) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    doc constant cloudsync.document := cloudsync.readable_document(cloudsync_text.document_id);
BEGIN
    RETURN (SELECT string_agg(p.text, E'\n' ORDER BY p.page_no) FROM cloudsync.page p WHERE p.document_id = doc.document_id);
END;
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_text(bigint) IS
    'Gives the text that was read in a document, page after page; NULL while it waits to be read, or where '
    'there is nothing to read. For cloudsync_reader, of documents that are theirs.';

CREATE FUNCTION @extschema@.cloudsync_retry_ocr(document_id bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    doc constant cloudsync.document := cloudsync.readable_document(cloudsync_retry_ocr.document_id);
BEGIN
    UPDATE cloudsync.document AS d
        SET ocr_state = 'pending', ocr_reason = NULL, ocr_attempts = 0, ocr_next_try_at = NULL, ocr_waits_for = NULL
        WHERE d.document_id = doc.document_id;
    PERFORM cloudsync.note(doc.tenant, 'retry ocr', format('document %s', doc.document_id),
                           jsonb_build_object('ocr_state', doc.ocr_state), jsonb_build_object('ocr_state', 'pending'));
    IF current_setting('cloudsync.ocr') = 'off' THEN
        RAISE WARNING USING MESSAGE = 'documents are not read now',
            DETAIL = 'cloudsync.ocr is off.', HINT = 'ALTER SYSTEM SET cloudsync.ocr = on; SELECT pg_reload_conf();';
    END IF;
    PERFORM cloudsync.wake(true);
END;
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_retry_ocr(bigint) IS
    'Has a document read again, whatever came of it the first time. For cloudsync_operator.';

-- What cloudsync_status() says about reading: programs that are missing,
-- documents that could not be read, a sandbox that does not work.
CREATE FUNCTION cloudsync.ocr_problems()
    RETURNS TABLE (severity text, subject text, problem text, action text)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
BEGIN
    IF current_setting('cloudsync.ocr') = 'off' THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT 'error', 'reading', format('%s %s to be read: %s', count(*),
               CASE count(*) WHEN 1 THEN 'document waits' ELSE 'documents wait' END,
               coalesce(s.problem, split_part(d.ocr_waits_for, ' ', 1) || ' is not installed')),
           CASE WHEN s.problem LIKE '%does not work%' THEN 'ALTER SYSTEM SET cloudsync.ocr_sandbox = auto; SELECT pg_reload_conf();  -- or let bwrap make namespaces'
                WHEN d.ocr_waits_for LIKE '% %' THEN format('apt install %s', substr(d.ocr_waits_for, strpos(d.ocr_waits_for, ' ') + 1))
                ELSE 'Install it, or set cloudsync.ocr_command. It goes on by itself then.' END
        FROM cloudsync.document d
        LEFT JOIN cloudsync.ocr_sandbox s ON d.ocr_waits_for LIKE 'bwrap %'
        WHERE d.ocr_state = 'pending' AND d.ocr_waits_for IS NOT NULL AND cloudsync.sees_document(d.tenant, d.recipient)
        GROUP BY d.ocr_waits_for, s.problem;
    RETURN QUERY
    SELECT 'warning', 'reading',
           format(CASE count(*) WHEN 1 THEN 'a document could not be read, %2$s: %3$s'
                       ELSE '%1$s documents could not be read, among them %2$s: %3$s' END, count(*),
                  quote_literal((array_agg(d.name ORDER BY d.document_id))[1]),
                  coalesce((array_agg(d.ocr_reason ORDER BY d.document_id))[1], 'no reason is known')),
           'SELECT document_id, name, ocr_reason FROM cloudsync.document WHERE ocr_state = ''failed'' AND state = ''waiting'';'
        FROM cloudsync.document d
        WHERE d.ocr_state = 'failed' AND d.state = 'waiting' AND cloudsync.sees_document(d.tenant, d.recipient)
        HAVING count(*) > 0;
    RETURN QUERY
    SELECT 'info', 'reading',
           format(CASE s.sandbox WHEN 'none' THEN 'programs that read documents run without a sandbox: %s'
                       ELSE 'programs that read documents have no network, but see the server''s files: %s' END, s.problem),
           CASE WHEN s.problem LIKE '%ocr_sandbox%' THEN 'ALTER SYSTEM SET cloudsync.ocr_sandbox = auto; SELECT pg_reload_conf();'
                ELSE 'apt install bubblewrap' END
        FROM cloudsync.ocr_sandbox s
        WHERE s.sandbox <> 'bwrap' AND current_setting('cloudsync.ocr_sandbox') <> 'required' AND cloudsync.sees_all();
END
$$;
