/*
 * search.sql: the words of documents and the search for them (spec 3, Inbox; B2).
 *
 * Whether a text is French or English is not asked: each word is taken as both,
 * with and without accents, by one dictionary of our own (src/sql/words.c). A
 * query is read in the same way, so that it matches in either language.
 */

CREATE FUNCTION cloudsync.words_init(internal) RETURNS internal
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'cloudsync_words_init';
CREATE FUNCTION cloudsync.words_lexize(internal, internal, internal, internal) RETURNS internal
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'cloudsync_words_lexize';
CREATE TEXT SEARCH TEMPLATE cloudsync.words (INIT = cloudsync.words_init, LEXIZE = cloudsync.words_lexize);

-- Of a text, words that mean nothing in both languages are left out; of a query
-- also those that mean nothing in one of them ("but", "or", "son"), unless it
-- has no others.
CREATE TEXT SEARCH DICTIONARY cloudsync.document_words (TEMPLATE = cloudsync.words);
CREATE TEXT SEARCH DICTIONARY cloudsync.query_words (TEMPLATE = cloudsync.words, either = true);
CREATE TEXT SEARCH CONFIGURATION cloudsync.document_words (PARSER = pg_catalog."default");
ALTER TEXT SEARCH CONFIGURATION cloudsync.document_words
    ADD MAPPING FOR asciihword, asciiword, hword, hword_asciipart, hword_numpart, hword_part, numhword, numword, word
    WITH cloudsync.document_words;
ALTER TEXT SEARCH CONFIGURATION cloudsync.document_words
    ADD MAPPING FOR email, file, float, host, int, sfloat, uint, url, url_path, version WITH pg_catalog.simple;
CREATE TEXT SEARCH CONFIGURATION cloudsync.query_words (COPY = cloudsync.document_words);
ALTER TEXT SEARCH CONFIGURATION cloudsync.query_words
    ALTER MAPPING REPLACE cloudsync.document_words WITH cloudsync.query_words;

-- Text as people compare it: without case, accents and ligatures.
CREATE FUNCTION cloudsync.plain(text text) RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'cloudsync_plain';

-- Punctuation that a database of locale C takes for letters. (As text, since a
-- database that is not of UTF-8 shall read as far as to the error that says so.)
CREATE FUNCTION cloudsync.plain_punctuation(text text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN translate(plain_punctuation.text, U&'\2018\2019\201C\201D\00AB\00BB\2013\2014\2026\2022\00A0\202F\2009\00AD', '''''"" --      ');
END
$$;

-- A file's name as words: whole, and taken apart where names have separators
-- that the parser takes for parts of a word.
CREATE FUNCTION cloudsync.name_words(name text) RETURNS tsvector
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    plain constant text := cloudsync.plain_punctuation(left(name_words.name, 1000));
BEGIN
    RETURN setweight(to_tsvector('cloudsync.document_words',
        concat_ws(' . ', plain, translate(plain, '_./\+', '     '), translate(plain, '_./\+-', '      '))), 'A');
END
$$;

/*
 * The words of a document: its name's with weight A, and its text's. A text is
 * taken in pieces; what comes after 400 kB of words is kept without its places
 * (and so is found, but not as part of a phrase), and what a tsvector cannot
 * hold is left out.
 */
CREATE FUNCTION cloudsync.words_of(name text, body text) RETURNS tsvector
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET client_min_messages = warning AS $$
DECLARE
    result tsvector := coalesce(cloudsync.name_words(words_of.name), '');
    rest text := cloudsync.plain_punctuation(words_of.body);
    step integer := 262144;
    places constant integer := 400000;
    one text;
    piece tsvector;
BEGIN
    WHILE rest <> '' LOOP
        one := left(rest, step);
        -- not within a word, if there is a space near the end
        IF length(one) = step THEN
            one := left(one, step - coalesce(nullif(strpos(reverse(right(one, 200)), ' '), 0) - 1, 0));
        END IF;
        BEGIN
            piece := to_tsvector('cloudsync.document_words', one);
            IF pg_column_size(result) > places THEN
                piece := strip(piece);
            END IF;
            result := result || piece;
            rest := substr(rest, length(one) + 1);
        EXCEPTION WHEN program_limit_exceeded THEN
            -- too many words at once: less of them, until hardly any fit
            EXIT WHEN step <= 1024;
            step := step / 4;
        END;
    END LOOP;
    RETURN result;
END
$$;

-- A query as people type it into a search box; NULL if nothing in it can be looked for.
CREATE FUNCTION cloudsync.query_of(query text) RETURNS tsquery
    LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp SET client_min_messages = warning AS $$
DECLARE
    -- a dash means "not" only right before what is not wanted: lines and lists have others
    typed constant text := regexp_replace(cloudsync.plain_punctuation(query_of.query), '--+|-(?=[\s!#-/:-@\[-`{-~]|$)', ' ', 'g');
    result tsquery := websearch_to_tsquery('cloudsync.query_words', typed);
BEGIN
    IF numnode(result) = 0 THEN
        result := websearch_to_tsquery('cloudsync.document_words', typed);
    END IF;
    RETURN CASE WHEN numnode(result) > 0 THEN result END;
END
$$;

/*
 * A few words of a document around what was found, as HTML: its own characters
 * escaped, what was found within <b> and </b>. Looks for the page that answers
 * the whole query, or else has a word of it, in the first 100,000 characters.
 */
CREATE FUNCTION cloudsync.headline(document_id bigint, name text, looked_for tsquery) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    any_word tsquery;
    pages constant integer := (SELECT count(*) FROM cloudsync.page p WHERE p.document_id = headline.document_id);
    look_at integer := 100000;
    page text;
    chosen text;
    found_some boolean := false;
    words tsvector;
BEGIN
    FOR page IN SELECT substr(p.text, 1, 100000) FROM cloudsync.page p
                WHERE p.document_id = headline.document_id ORDER BY p.page_no LOOP
        page := left(page, look_at);
        look_at := look_at - length(page);
        IF pages = 1 THEN
            chosen := page;
            EXIT;
        END IF;
        any_word := coalesce(any_word, (SELECT string_agg(m[1], ' | ')::tsquery
            FROM regexp_matches(querytree(headline.looked_for), $re$('(?:[^']|'')*')$re$, 'g') m));
        words := to_tsvector('cloudsync.document_words', page);
        IF words @@ headline.looked_for THEN
            chosen := page;
            EXIT;
        ELSIF NOT found_some AND words @@ any_word THEN
            chosen := page;
            found_some := true;
        ELSE
            chosen := coalesce(chosen, CASE WHEN page ~ '\S' THEN page END);
        END IF;
        EXIT WHEN look_at <= 0;
    END LOOP;
    chosen := CASE WHEN chosen ~ '\S' THEN chosen ELSE headline.name END;
    -- to look takes a fraction of the time of to change
    IF chosen ~ U&'[\2019\2018\00A0\202F\0001\0002]' THEN
        chosen := translate(chosen, U&'\2019\2018\00A0\202F\0001\0002', '''''  ');
    END IF;
    chosen := ts_headline('cloudsync.document_words', chosen, headline.looked_for,
                          E'StartSel=\x01, StopSel=\x02, MaxWords=30, MinWords=12');
    IF chosen ~ '\s\s|[\t\n\v\f\r]|^\s|\s$' THEN
        chosen := btrim(regexp_replace(chosen, '\s+', ' ', 'g'));
    END IF;
    chosen := replace(replace(replace(replace(chosen, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;');
    RETURN replace(replace(chosen, E'\x01', '<b>'), E'\x02', '</b>');
END
$$;

/*
 * Rights are those of the inbox (B1), asked once and not of each row. The words
 * are looked for first, by their index, then what the session may not see is left
 * out; documents are read and headlines made for the rows that are returned alone.
 */
CREATE FUNCTION @extschema@.cloudsync_search(query text, max_rows integer DEFAULT 20)
    RETURNS TABLE (document_id bigint, name text, rank real, headline text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET client_min_messages = warning AS
$$
#variable_conflict use_column
DECLARE
    looked_for constant tsquery := cloudsync.query_of(left(cloudsync_search.query, 10000));
    every_tenant constant boolean := cloudsync.sees_all();
    own text := '';
    whole_inbox constant boolean := cloudsync.acting_has_role('cloudsync_operator');
BEGIN
    IF length(cloudsync_search.query) > 10000 THEN
        RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded', MESSAGE = 'the query is too long',
            DETAIL = format('It has %s characters, and may have 10000.', length(cloudsync_search.query)),
            HINT = 'Look for a few words of it.';
    END IF;
    IF cloudsync_search.max_rows < 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'max_rows must not be negative',
            HINT = 'For example: SELECT * FROM cloudsync_search(''invoice'', 50);';
    END IF;
    IF NOT every_tenant AND NOT cloudsync.sees('') THEN
        BEGIN
            own := cloudsync.tenant();
        EXCEPTION WHEN insufficient_privilege THEN
            RETURN; -- there must be a tenant, and none is set
        END;
    END IF;
    IF looked_for IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
        SELECT f.document_id, d.name, f.rank, cloudsync.headline(f.document_id, d.name, looked_for)
        FROM (
            SELECT w.document_id, ts_rank(w.words, looked_for, 1) AS rank
            FROM cloudsync.words w
            WHERE w.words @@ looked_for
              AND (every_tenant OR w.tenant = own) AND (whole_inbox OR cloudsync.acting_is(w.recipient))
            ORDER BY 2 DESC, 1 DESC
            LIMIT coalesce(cloudsync_search.max_rows, 20)
        ) f
        JOIN cloudsync.document d ON d.document_id = f.document_id
        ORDER BY f.rank DESC, f.document_id DESC;
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_search(text, integer) IS
    'Finds documents by the words of their name and text, in French and English, best first; takes "a '
    'phrase", or and -not. The headline is HTML. For cloudsync_reader, in documents that are theirs.';
