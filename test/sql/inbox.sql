-- The inbox as people work in it (B1): filing, assigning, rejecting, forgetting;
-- who may do it, what repeating does, and what the audit says of it.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE EXTENSION cloudsync SCHEMA public;
CREATE ROLE regress_inbox_ann IN ROLE cloudsync_reader;
CREATE ROLE regress_inbox_op IN ROLE cloudsync_operator;
CREATE ROLE regress_inbox_acme IN ROLE cloudsync_operator;
CREATE ROLE regress_inbox_app IN ROLE cloudsync_operator, cloudsync_app;
CREATE ROLE regress_inbox_admin IN ROLE cloudsync_admin;
INSERT INTO cloudsync.role_tenant VALUES ('regress_inbox_acme', 'acme');
SELECT state FROM cloudsync_connect('local', 'disk', options => '{"path": "inbox"}');
SELECT cloudsync_add_recipient('regress_inbox_ann') > 0, cloudsync_add_recipient('bob') > 0, cloudsync_add_recipient('eve', 'eve@example.com', true) > 0;
SELECT cloudsync_create_channel('disk', 'mail', '{/In}', 'bob', 'B', auto_collect => false) > 0 AS channel;
SET cloudsync.tenant = 'acme';
SELECT state FROM cloudsync_connect('local', 'disk', options => '{"path": "inbox"}');
SELECT cloudsync_add_recipient('carl') > 0 AS recipient;
SELECT cloudsync_create_channel('disk', 'mail', '{/In}', 'carl', 'B', auto_collect => false) > 0 AS channel;
RESET cloudsync.tenant;

-- documents as they were collected and read
CREATE FUNCTION put(id bigint, of_tenant text, recipient text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO cloudsync.content (content_id, connection_id) SELECT id, 0;
    INSERT INTO cloudsync.chunk VALUES (id, 0, convert_to('secret ' || id, 'UTF8'));
    INSERT INTO cloudsync.document (document_id, tenant, account_id, connection_id, channel_id, run_id, name, size, sha256, media_type,
            remote_path, recipient, binder, content_id, ocr_state, ocr_languages, ocr_confidence, pages, excerpt)
        SELECT id, of_tenant, c.account_id, c.connection_id, h.channel_id, 0, format('file %s.txt', id), 8, sha256(convert_to('secret ' || id, 'UTF8')),
               'text/plain', format('/In/file %s.txt', id), put.recipient, 'B', id, 'done', 'fra', 91, 1, 'secret ' || id
        FROM cloudsync.connection c JOIN cloudsync.channel h USING (connection_id) WHERE c.tenant = of_tenant;
    INSERT INTO cloudsync.page (document_id, page_no, source, text) VALUES (id, 1, 'plain', 'secret ' || id);
    INSERT INTO cloudsync.words VALUES (id, of_tenant, put.recipient, cloudsync.words_of(format('file %s.txt', id), 'secret ' || id));
$$;
SELECT count(put(id, '', CASE WHEN id IN (2, 4) THEN 'regress_inbox_ann' ELSE 'bob' END)) FROM generate_series(1, 9) id;
SELECT count(put(id, 'acme', 'carl')) FROM generate_series(11, 12) id;

-- what a call is refused with, without its time
CREATE FUNCTION said(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    detail text;
    hint text;
BEGIN
    EXECUTE 'SELECT ' || statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN regexp_replace(concat_ws(E'\n', message, NULLIF(detail, ''), NULLIF(hint, '')), '[0-9-]{10} [0-9:]{5}', 'TIME', 'g');
END
$$;

-- who sees what
SET ROLE regress_inbox_op;
SELECT document_id, recipient, name, ocr_state, pages, excerpt FROM cloudsync.inbox WHERE document_id <= 2 ORDER BY 1;
SELECT array_agg(document_id ORDER BY document_id) FROM cloudsync.inbox;
RESET ROLE;
SET ROLE regress_inbox_ann;
SELECT array_agg(document_id ORDER BY document_id) FROM cloudsync.inbox;
SELECT convert_from(cloudsync_content(2), 'UTF8');
SELECT cloudsync_content(1);
SELECT cloudsync_content(NULL);
SELECT cloudsync_read(2, 7, 4), cloudsync_read(2, 8, 4), cloudsync_read(2, 9223372036854775807, 4), cloudsync_read(2, 0, 0);
-- a reader reads
SELECT cloudsync_file_document(2);
SELECT cloudsync_assign_document(2, 'bob');
SELECT cloudsync_reject_document(2, 'no');
SELECT cloudsync_forget(2, 'no');
RESET ROLE;
SET ROLE regress_inbox_acme;
SELECT array_agg(document_id ORDER BY document_id) FROM cloudsync.inbox;
SELECT cloudsync_file_document(1);
SELECT cloudsync_assign_document(11, 'bob');
SELECT cloudsync_file_document(11, 'K-1');
RESET ROLE;

-- what is counted of documents is the tenant's
BEGIN;
UPDATE cloudsync.document SET ocr_state = 'pending' WHERE document_id IN (1, 11);
SET LOCAL ROLE regress_inbox_acme;
SELECT regexp_matches(cloudsync_metrics(), '^cloudsync_(?:inbox|unread)_documents.*$', 'gn');
ROLLBACK;
-- a label may hold anything
SELECT cloudsync.metric_label(E'a\nb "c\\d"'), cloudsync.metric_label(NULL);

-- filed: with a key of any kind, once, by whoever came first
SET ROLE regress_inbox_op;
SELECT cloudsync_file_document(1, 'K-2026/17');
SELECT cloudsync_file_document(1, 'K-2026/17');
SELECT cloudsync_file_document(1);
SELECT said($$cloudsync_file_document(1, 'K-2026/18')$$);
SELECT cloudsync_file_document(2, 17);
SELECT cloudsync_file_document(3, '6f1b9b6e-0b5f-4c47-9f3e-0d8d5b9b7a01'::uuid);
SELECT cloudsync_file_document(4);
SELECT cloudsync_file_document(4, NULL::bigint);
SELECT cloudsync_file_document(4, 'later');
SELECT cloudsync_file_document(5, ' ');
SELECT cloudsync_file_document(5, E'\t\n');
SELECT cloudsync_file_document(4711, 'x');
SELECT cloudsync_file_document(NULL, 'x');
SELECT document_id, state, dossier, decided_by FROM cloudsync.document WHERE state <> 'waiting' ORDER BY 1;
SELECT array_agg(document_id ORDER BY document_id) FROM cloudsync.inbox;

-- rejected, for a reason
SELECT cloudsync_reject_document(5, '');
SELECT cloudsync_reject_document(5, NULL);
SELECT cloudsync_reject_document(5, E'\n');
SELECT cloudsync_reject_document(5, 'not ours');
SELECT cloudsync_reject_document(5, 'not ours');
SELECT said($$cloudsync_reject_document(5, 'other')$$);
SELECT said($$cloudsync_reject_document(1, 'too late')$$);
SELECT said($$cloudsync_file_document(5, 'K')$$);

-- assigned: within the inbox, and back into it
SELECT cloudsync_assign_document(6, 'nobody');
SELECT cloudsync_assign_document(6, NULL);
SELECT cloudsync_assign_document(6, ' ');
SELECT cloudsync_assign_document(6, 'eve');
SELECT cloudsync_assign_document(6, 'eve');
SELECT cloudsync_assign_document(5, 'regress_inbox_ann');
SELECT document_id, recipient, state, decided_by, reason FROM cloudsync.document WHERE document_id IN (5, 6) ORDER BY 1;
SELECT cloudsync_file_document(5, 'K');
RESET ROLE;

-- an application's person is named
SET cloudsync."user" = 'Zoe Martin';
SET ROLE regress_inbox_app;
SELECT cloudsync_file_document(7, 'K');
RESET ROLE;
RESET cloudsync."user";

-- forgotten: what was in it is gone, what was done stays
UPDATE cloudsync.document SET ocr_waits_for = 'a program', ocr_next_try_at = now() WHERE document_id = 1;
SET ROLE regress_inbox_op;
SELECT cloudsync_forget(1, ' ');
SELECT cloudsync_forget(1, 'asked for by letter');
SELECT cloudsync_forget(1, 'once more');
SELECT cloudsync_content(1);
SELECT cloudsync_read(1, 0, 4);
SELECT said($$cloudsync_file_document(1, 'K-2026/17')$$);
SELECT said($$cloudsync_assign_document(1, 'bob')$$);
SELECT said($$cloudsync_reject_document(1, 'no')$$);
SELECT said($$cloudsync_recollect(1)$$);
SELECT cloudsync_forget(8, 'of a whole inbox');
SELECT array_agg(document_id ORDER BY document_id) FROM cloudsync.inbox;
SELECT document_id FROM cloudsync_search('secret') ORDER BY 1;
RESET ROLE;
SELECT to_jsonb(d) - '{tenant,account_id,connection_id,channel_id,run_id,decided_at,collected_at,media_type,binder,version}'::text[] AS forgotten
    FROM cloudsync.document d WHERE document_id = 1;
SELECT (SELECT count(*) FROM cloudsync.chunk WHERE content_id IN (1, 8)) AS chunks, (SELECT count(*) FROM cloudsync.content WHERE content_id IN (1, 8)) AS contents,
    (SELECT count(*) FROM cloudsync.page WHERE document_id IN (1, 8)) AS pages, (SELECT count(*) FROM cloudsync.words WHERE document_id IN (1, 8)) AS words;
-- a rollback forgets nothing
BEGIN;
SELECT cloudsync_forget(9, 'by mistake');
ROLLBACK;
SELECT convert_from(cloudsync_content(9), 'UTF8');

-- who did what to which document, and from what to what
SET ROLE regress_inbox_admin;
SELECT tenant, actor, role, action, subject, before, after FROM cloudsync.audit WHERE subject ~ '^document' ORDER BY audit_id;
-- nothing of what is in them
SELECT count(*) FROM cloudsync.audit a WHERE a::text ~ 'secret';
RESET ROLE;

DROP EXTENSION cloudsync;
DROP OWNED BY regress_inbox_ann, regress_inbox_op, regress_inbox_acme, regress_inbox_app, regress_inbox_admin;
DROP ROLE regress_inbox_ann, regress_inbox_op, regress_inbox_acme, regress_inbox_app, regress_inbox_admin;
