#!/usr/bin/env bash
# cloudsync_search over many documents against a bare tsvector query that returns
# the same columns (rank and headline, the best 20) over the same rows without
# asking for rights; in turn, who is first too, in one session as an operator,
# medians of the rounds for each query. The rows of both must be the same. Then
# the plan within the function, one document of many pages, and cloudsync_find
# among as many items and documents.
#
#	test/bench/search.sh [DOCUMENTS=100000] [ROUNDS=10] [PAGES=1000]
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=test/common.sh
. test/common.sh
# shellcheck source=test/bench/cluster.sh
. test/bench/cluster.sh
documents=${1:-100000}
rounds=${2:-10}
pages=${3:-1000}

start_cluster "fsync = off" "max_wal_size = 2GB" "autovacuum = off" "cloudsync.enabled = off" "jit = off"
echo "building $documents documents ..."
sql <<SQL >/dev/null
SET client_min_messages = error;
CREATE EXTENSION cloudsync;
CREATE ROLE clerk LOGIN IN ROLE cloudsync_operator;
SELECT set_config('x.x', state, false) FROM cloudsync_connect('local', 'disk');
SELECT set_config('x.x', cloudsync_add_recipient('ann')::text, false);
SELECT set_config('x.x', cloudsync_create_channel('disk', 'mail', '{/In}', 'ann', 'B', auto_collect => false)::text, false);
-- 120 words each, few of them common and many rare, as in language
SELECT setseed(0.5);
CREATE TABLE vocabulary AS SELECT i, p.t || s.t AS word
    FROM generate_series(1, 20000) i,
    LATERAL (SELECT string_agg(substr('bacadafagalamanaparasatavabecedefegelemeneperesete', 1 + 2 * ((i * k * 7 + k * k * 13 + i / 50) % 25), 2), '') AS t FROM generate_series(1, 3) k) p,
    LATERAL (SELECT (ARRAY['tion', 'ment', 'er', 's', 'ée', 'aux', 'ing', 'ed', 'ité', ''])[1 + i % 10] AS t) s;
INSERT INTO cloudsync.document (document_id, tenant, account_id, connection_id, channel_id, run_id, name, size, sha256, media_type,
        remote_path, recipient, binder, ocr_state)
    SELECT g.n, '', c.account_id, h.connection_id, h.channel_id, 0, format('lettre_%s %s.pdf', g.n, v.word), 1, '', 'application/pdf', '/In/' || g.n, 'ann', 'B', 'done'
    FROM cloudsync.channel h JOIN cloudsync.connection c USING (connection_id), generate_series(1, $documents) g (n)
    JOIN vocabulary v ON v.i = 1 + g.n % 20000;
CREATE TABLE places AS SELECT d, n, 1 + floor(20000 * random() ^ 4)::integer AS i FROM generate_series(1, $documents) d, generate_series(1, 120) n;
INSERT INTO cloudsync.page (document_id, page_no, source, text)
    SELECT p.d, 1, 'layer', string_agg(v.word, CASE WHEN p.n % 12 = 0 THEN '. ' ELSE ' ' END ORDER BY p.n) FROM places p JOIN vocabulary v USING (i) GROUP BY p.d;
DROP TABLE places;
INSERT INTO cloudsync.words SELECT d.document_id, d.tenant, d.recipient, cloudsync.words_of(d.name, p.text) FROM cloudsync.document d JOIN cloudsync.page p USING (document_id);
INSERT INTO cloudsync.item (connection_id, channel_id, folder_no, path, name, kind, state, document_id, listing)
    SELECT connection_id, channel_id, 1, remote_path, name, 'file', 'collected', document_id, 1 FROM cloudsync.document;
VACUUM ANALYZE;
GRANT SELECT ON vocabulary TO clerk;
CREATE TABLE took (query text, ours double precision, bare double precision, hits bigint);
-- one query by one of both, its rows as text
CREATE FUNCTION one(by_us boolean, asked text, OUT ms double precision, OUT answer text) LANGUAGE plpgsql AS \$\$
DECLARE
    began timestamptz;
BEGIN
    IF by_us THEN
        SET LOCAL ROLE clerk;
        began := clock_timestamp();
        SELECT string_agg(s.document_id || ' ' || s.headline, chr(10) ORDER BY s.document_id) INTO answer FROM cloudsync_search(asked) s;
        ms := extract(epoch FROM clock_timestamp() - began) * 1000;
        RESET ROLE;
    ELSE
        began := clock_timestamp();
        SELECT string_agg(f.document_id || ' ' || f.headline, chr(10) ORDER BY f.document_id) INTO answer FROM (
            SELECT t.document_id, d.name, t.rank,
                   ts_headline('cloudsync.document_words', p.text, q.q, 'MaxWords=30, MinWords=12') AS headline
            FROM websearch_to_tsquery('cloudsync.query_words', asked) q (q), LATERAL (
                SELECT w.document_id, ts_rank(w.words, q.q, 1) AS rank FROM cloudsync.words w
                WHERE w.words @@ q.q ORDER BY 2 DESC, 1 DESC LIMIT 20) t
            JOIN cloudsync.document d USING (document_id)
            JOIN cloudsync.page p ON p.document_id = t.document_id) f;
        ms := extract(epoch FROM clock_timestamp() - began) * 1000;
    END IF;
END
\$\$;
-- one round: each query by both, who is first in turn, since the second finds the
-- words read; the same rows
CREATE PROCEDURE one_round(us_first boolean) LANGUAGE plpgsql AS \$\$
DECLARE
    asked text;
    first record;
    second record;
BEGIN
    FOREACH asked IN ARRAY ARRAY[(SELECT word FROM vocabulary WHERE i = 15000), (SELECT word FROM vocabulary WHERE i = 3000),
            (SELECT word FROM vocabulary WHERE i = 40), (SELECT string_agg(word, ' ') FROM vocabulary WHERE i IN (20, 300)),
            (SELECT string_agg(word, ' or ') FROM vocabulary WHERE i IN (5000, 9000)),
            (SELECT '"' || string_agg(word, ' ' ORDER BY i) || '"' FROM vocabulary WHERE i IN (1, 2))] LOOP
        SELECT * INTO first FROM one(us_first, asked);
        SELECT * INTO second FROM one(NOT us_first, asked);
        INSERT INTO took VALUES (asked, CASE WHEN us_first THEN first.ms ELSE second.ms END, CASE WHEN us_first THEN second.ms ELSE first.ms END,
            (SELECT count(*) FROM cloudsync.words WHERE words @@ websearch_to_tsquery('cloudsync.query_words', asked)));
        IF first.answer IS DISTINCT FROM second.answer OR first.answer IS NULL THEN
            RAISE EXCEPTION 'the answers to % are not the same: %', asked, concat_ws(chr(10) || chr(10), first.answer, second.answer);
        END IF;
    END LOOP;
END
\$\$;
SQL
echo "cloudsync_search against a bare query, of $documents documents (goal: at most 1.2 times the time)"
sql <<SQL
DO \$\$ BEGIN FOR i IN 0..$rounds LOOP CALL one_round(i % 2 = 1); IF i = 0 THEN DELETE FROM took; END IF; END LOOP; END \$\$;
SELECT format('%-32s %7s hits  ours %7s ms  bare %7s ms  ratio %s', query, max(hits), round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ours)::numeric, 2),
        round(percentile_cont(0.5) WITHIN GROUP (ORDER BY bare)::numeric, 2), round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ours / bare)::numeric, 3))
    FROM took GROUP BY query ORDER BY max(hits);
SELECT format('all queries: ratio %s', round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ours / bare)::numeric, 3)) FROM took;
SQL
echo "the plan within the function:"
sql <<SQL 2>&1 | grep -E 'words_words|Seq Scan|Bitmap|Index Scan|Limit' | sed 's/(cost.*(actual/(actual/'
LOAD 'auto_explain';
SELECT set_config('auto_explain.log_min_duration', '0', false), set_config('auto_explain.log_nested_statements', 'on', false),
    set_config('auto_explain.log_analyze', 'on', false), set_config('auto_explain.log_level', 'warning', false);
SELECT count(*) FROM cloudsync_search((SELECT word FROM vocabulary WHERE i = 3000));
SQL

echo "a document of $pages pages, found by a word of its last:"
sql <<SQL
INSERT INTO cloudsync.document (document_id, tenant, account_id, connection_id, channel_id, run_id, name, size, sha256, media_type,
        remote_path, recipient, binder, ocr_state)
    SELECT $documents + 1, '', account_id, connection_id, channel_id, 0, 'large.pdf', 1, '', 'application/pdf', '/In/large', 'ann', 'B', 'done' FROM cloudsync.document LIMIT 1;
INSERT INTO cloudsync.page (document_id, page_no, source, text)
    SELECT $documents + 1, n, 'layer', (SELECT string_agg(p.text, ' ') FROM cloudsync.page p WHERE p.document_id BETWEEN n * 3 AND n * 3 + 2 AND p.document_id <= $documents)
        || CASE WHEN n = $pages THEN ' wunderlich' ELSE '' END
    FROM generate_series(1, $pages) n WHERE n * 3 + 2 <= $documents OR n = $pages;
\timing on
INSERT INTO cloudsync.words SELECT $documents + 1, '', 'ann', cloudsync.words_of('large.pdf', (SELECT string_agg(text, chr(10) ORDER BY page_no) FROM cloudsync.page WHERE document_id = $documents + 1));
SELECT count(headline) FROM cloudsync_search('wunderlich');
SELECT count(headline) FROM cloudsync_search('wunderlich');
\timing off
\echo 'cloudsync_find among as many items and documents: a name, a part of many names, one that is not there'
SET ROLE clerk;
\timing on
SELECT count(*) FROM cloudsync_find('lettre_4711 ');
SELECT count(*) FROM cloudsync_find('LETTRE_47');
SELECT count(*) FROM cloudsync_find('not there at all');
SQL
