-- Searching documents (cloudsync_search): French and English, accents, ranking,
-- headline, rights, and queries that people mistype.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION cloudsync SCHEMA public;
CREATE ROLE regress_search_ann IN ROLE cloudsync_reader;
CREATE ROLE regress_search_op IN ROLE cloudsync_operator;
CREATE ROLE regress_search_acme IN ROLE cloudsync_operator;
CREATE ROLE regress_search_app IN ROLE cloudsync_operator, cloudsync_app;
INSERT INTO cloudsync.role_tenant VALUES ('regress_search_acme', 'acme');

SELECT state FROM cloudsync_connect('local', 'disk', options => '{"path": "search"}');
SELECT cloudsync_add_recipient('regress_search_ann') > 0, cloudsync_add_recipient('bob') > 0;
SELECT cloudsync_create_channel('disk', 'mail', '{/Inbox}', 'bob', 'B', auto_collect => false) > 0 AS channel;
SET cloudsync.tenant = 'acme';
SELECT state FROM cloudsync_connect('local', 'disk', options => '{"path": "search"}');
SELECT cloudsync_add_recipient('bob') > 0;
SELECT cloudsync_create_channel('disk', 'mail', '{/Inbox}', 'bob', 'B', auto_collect => false) > 0 AS channel;
RESET cloudsync.tenant;

-- documents as they are once they have been read
CREATE FUNCTION put(id bigint, of_tenant text, recipient text, name text, VARIADIC pages text[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO cloudsync.document (document_id, tenant, account_id, connection_id, channel_id, run_id, name, size, sha256, media_type,
            remote_path, recipient, binder, ocr_state, pages)
        SELECT id, of_tenant, c.account_id, c.connection_id, h.channel_id, 0, put.name, 1, '', 'text/plain', '/Inbox/' || put.name, put.recipient, 'B', 'done', 1
        FROM cloudsync.connection c JOIN cloudsync.channel h USING (connection_id) WHERE c.tenant = of_tenant;
    INSERT INTO cloudsync.page (document_id, page_no, source, text)
        SELECT id, p.no, 'plain', p.text FROM unnest(put.pages) WITH ORDINALITY p (text, no) WHERE p.text IS NOT NULL;
    INSERT INTO cloudsync.words VALUES (id, of_tenant, put.recipient, cloudsync.words_of(put.name, array_to_string(put.pages, E'\n\f')));
$$;
SELECT put(1, '', 'bob', 'Facture_2026-03.pdf', 'Facture de l’électricité pour les locaux du siège. Montant réglé par virement.');
SELECT put(2, '', 'bob', 'scan0001.tif', 'FACTURE ELECTRICITE   SOCIETE DUPONT. Montants annulés.');
SELECT put(3, '', 'regress_search_ann', 'contract.docx', 'The parties signed the contracts; payments were received for the buildings.');
SELECT put(4, '', 'regress_search_ann', 'notes.txt', 'Un contrat est signé <b>sans</b> réserve & les paiements "reçus" ; voir contract.');
SELECT put(5, 'acme', 'bob', 'facture acme.pdf', 'Facture de la société acme, électricité.');
SELECT put(6, '', 'bob', 'long.txt', 'Première page, sans rien.', 'La deuxième page parle du cadastre.', 'La troisième dit : le plan de masse du cadastre de Nice.');
SELECT put(7, '', 'bob', 'IMG20260317_plan.jpg', NULL::text);
SELECT put(8, '', 'bob', 'or.txt', 'Le cours de l''or monte; an old but fine coin.');
SELECT put(12, '', 'bob', 'loyer.txt', E'\n\n Loyer\u202f: 1\u202f250\u00a0euros, dit \u2018annuel\u2019, \x01forge\x02: 3 < 4 <img src=x.\n');

SET ROLE regress_search_op;
-- inflections in either language, with and without accents, capitals
SELECT document_id FROM cloudsync_search('factures') ORDER BY 1;
SELECT document_id FROM cloudsync_search('electricite') ORDER BY 1;
SELECT document_id FROM cloudsync_search('ÉLECTRICITÉ') ORDER BY 1;
SELECT document_id FROM cloudsync_search('sociétés annulé') ORDER BY 1;
SELECT document_id FROM cloudsync_search('contract payment') ORDER BY 1;
SELECT document_id FROM cloudsync_search('contrats paiement') ORDER BY 1;
SELECT document_id FROM cloudsync_search('building contracts signing') ORDER BY 1;
-- small words need not be there, but count in a phrase
SELECT document_id FROM cloudsync_search('the building') ORDER BY 1;
SELECT document_id FROM cloudsync_search('"plan de masse"') ORDER BY 1;
SELECT document_id FROM cloudsync_search('"masse plan"') ORDER BY 1;
-- alternatives, and what must not be there, in whichever form
SELECT document_id FROM cloudsync_search('cadastre or building') ORDER BY 1;
SELECT document_id FROM cloudsync_search('facture -annuler') ORDER BY 1;
SELECT document_id FROM cloudsync_search('contract -buildings') ORDER BY 1;
-- names: parts, whole, and before words of the text
SELECT document_id FROM cloudsync_search('2026-03') ORDER BY 1;
SELECT document_id FROM cloudsync_search('Facture_2026-03.pdf') ORDER BY 1;
SELECT document_id FROM cloudsync_search('img20260317') ORDER BY 1;
SELECT document_id FROM cloudsync_search('contract', 1);
SELECT document_id, rank > 0 AS ranked FROM cloudsync_search('plan');
SELECT bool_and(rank <= best), min(rank) < max(rank) AS differ FROM (SELECT rank, lag(rank, 1, rank) OVER () AS best FROM cloudsync_search('contract or facture or plan')) f;
-- the only words there are may be small ones
SELECT document_id FROM cloudsync_search('but') ORDER BY 1;
SELECT count(*) FROM cloudsync_search('le');
SELECT count(*) FROM cloudsync_search('');
SELECT count(*) FROM cloudsync_search('  " - ');
SELECT count(*) FROM cloudsync_search(NULL);
SELECT count(*) FROM cloudsync_search('''; & | ! (( :* \');
SELECT count(*) FROM cloudsync_search(repeat('x', 10000));
SELECT count(*) FROM cloudsync_search(repeat('x', 10001));
SELECT count(*) FROM unnest(ARRAY[repeat('w ', 5000), repeat('"', 10000), repeat('-"', 5000), repeat('-""', 3000), repeat('( ', 5000)]) q, cloudsync_search(q);
-- dashes that are no "not": of a line, a list, a pause
SELECT document_id FROM cloudsync_search(repeat('-', 60) || ' facture - annuler') ORDER BY 1;
SELECT document_id FROM cloudsync_search(repeat('- ', 60) || 'facture – annuler-') ORDER BY 1;
SELECT document_id FROM cloudsync_search('--facture -/-annuler') ORDER BY 1;
SELECT document_id FROM cloudsync_search('facture -"annuler"') ORDER BY 1;
SELECT count(*) FROM cloudsync_search('facture', 0);
SELECT count(*) > 1 AS default_rows FROM cloudsync_search('facture', NULL);
SELECT count(*) FROM cloudsync_search('facture', -1);
-- what a browser may show as it is
SELECT document_id, headline FROM cloudsync_search('contrat') ORDER BY 1;
SELECT headline FROM cloudsync_search('electricite') ORDER BY 1;
SELECT headline FROM cloudsync_search('cadastre nice');
SELECT headline FROM cloudsync_search('long cadastre');
SELECT headline FROM cloudsync_search('img20260317');
SELECT headline FROM cloudsync_search('loyer 250 annuel');
RESET ROLE;

-- rights: a reader's own, an operator's tenant, an application's person
SET ROLE regress_search_ann;
SELECT document_id FROM cloudsync_search('contract') ORDER BY 1;
SELECT count(*) FROM cloudsync_search('facture');
RESET ROLE;
SET ROLE regress_search_acme;
SELECT document_id, name FROM cloudsync_search('facture') ORDER BY 1;
RESET ROLE;
SET cloudsync.tenant = 'acme';
SET ROLE regress_search_app;
SELECT document_id FROM cloudsync_search('facture') ORDER BY 1;
SET cloudsync.tenant = 'other';
SELECT count(*) FROM cloudsync_search('facture');
RESET ROLE;
RESET cloudsync.tenant;
SELECT document_id FROM cloudsync_search('facture') ORDER BY 1; -- an administrator's without a tenant
SET cloudsync.require_tenant = on;
SELECT count(*) FROM cloudsync_search('facture');
RESET cloudsync.require_tenant;

-- with the document, the right to find it goes to another recipient
BEGIN;
SELECT cloudsync_assign_document(1, 'regress_search_ann');
SELECT cloudsync_assign_document(4, 'bob');
SET LOCAL ROLE regress_search_ann;
SELECT document_id FROM cloudsync_search('facture or contract') ORDER BY 1;
ROLLBACK;

-- what was forgotten is not found
SET ROLE regress_search_op;
SELECT cloudsync_forget(2, 'not for us');
SELECT document_id FROM cloudsync_search('electricite') ORDER BY 1;
RESET ROLE;
SELECT count(*) FROM cloudsync.words WHERE document_id = 2;

-- however long: words of the end are found, phrases where there is room for places
SELECT put(9, '', 'bob', 'huge.txt', (SELECT string_agg('word' || i || ' mot' || (i * 7) || E'\n', '' ORDER BY i) FROM generate_series(1, 60000) i) || ' lastword finale');
SELECT put(10, '', 'bob', 'garbage.txt', (SELECT string_agg(md5(i::text), ' ' ORDER BY i) FROM generate_series(1, 40000) i));
SELECT put(11, '', 'bob', 'one word.txt', repeat('é', 300000));
SELECT document_id, length(words) > 40000 AS many FROM cloudsync.words WHERE document_id IN (9, 10) ORDER BY 1;
SET ROLE regress_search_op;
SELECT document_id, headline FROM cloudsync_search('word17');
SELECT document_id FROM cloudsync_search('"word17 mot119"');
SELECT count(*) FROM cloudsync_search('huge garbage');
SELECT document_id FROM cloudsync_search('garbage');
SELECT document_id, length(headline) < 2000 AS short FROM cloudsync_search('"one word"');
RESET ROLE;

-- the words are looked for by their index, also as somebody whose rights are few
SET enable_seqscan = off;
SET ROLE regress_search_ann;
BEGIN;
SELECT pg_stat_get_xact_numscans('cloudsync.words_words'::regclass) AS i, pg_stat_get_xact_numscans('cloudsync.words'::regclass) AS r \gset
SELECT count(*) FROM cloudsync_search('contract');
SELECT pg_stat_get_xact_numscans('cloudsync.words_words'::regclass) - :i AS by_index, pg_stat_get_xact_numscans('cloudsync.words'::regclass) - :r AS row_by_row;
COMMIT;
RESET ROLE;
RESET enable_seqscan;

DROP EXTENSION cloudsync;
DROP OWNED BY regress_search_ann, regress_search_op, regress_search_acme, regress_search_app;
DROP ROLE regress_search_ann, regress_search_op, regress_search_acme, regress_search_app;
