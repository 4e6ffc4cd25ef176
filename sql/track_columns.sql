/*
 * track_columns.sql: which columns of the application's tables cloudsync_track
 * (track.sql) means where it is told too little: by keys, types and the names
 * that are usual.
 */

-- A type below its domains.
CREATE FUNCTION cloudsync.base_type(type oid) RETURNS oid
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH RECURSIVE down AS (
        SELECT t.oid, t.typtype, t.typbasetype FROM pg_catalog.pg_type t WHERE t.oid = base_type.type
        UNION ALL
        SELECT t.oid, t.typtype, t.typbasetype
            FROM down JOIN pg_catalog.pg_type t ON t.oid = down.typbasetype
            WHERE down.typtype = 'd'
    )
    SELECT down.oid FROM down WHERE down.typtype <> 'd';
END;

-- The number of a table's column; an error names those that there are.
CREATE FUNCTION cloudsync.column_number(tracked regclass, column_name name) RETURNS smallint
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    number smallint;
BEGIN
    SELECT a.attnum INTO number FROM pg_attribute a
        WHERE a.attrelid = tracked AND a.attname = column_name AND a.attnum > 0 AND NOT a.attisdropped;
    IF number IS NULL AND column_name IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_column',
            MESSAGE = format('column "%s" of table %s does not exist', column_name, tracked),
            HINT = (SELECT format('Its columns are %s.', string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum))
                    FROM pg_attribute a WHERE a.attrelid = tracked AND a.attnum > 0 AND NOT a.attisdropped);
    END IF;
    RETURN number;
END
$$;

-- Refuses a column whose values have no text form to compare by.
CREATE FUNCTION cloudsync.check_simple_type(tracked regclass, number smallint, what text) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    type pg_type;
BEGIN
    SELECT t.* INTO type FROM pg_attribute a JOIN pg_type t ON t.oid = cloudsync.base_type(a.atttypid)
        WHERE a.attrelid = tracked AND a.attnum = number;
    IF type.typtype IN ('c', 'p') OR type.typcategory IN ('A', 'P') THEN
        RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch',
            MESSAGE = format('column "%s" of table %s cannot be the %s', cloudsync.column_name(tracked, number), tracked, what),
            DETAIL = format('Its type is %s.', format_type(type.oid, NULL)),
            HINT = 'Name a column of a type with a plain text form: a number, text, uuid, date, ...';
    END IF;
END
$$;

-- The key of a table: its single-column primary key, or the UNIQUE NOT NULL column that is named.
CREATE FUNCTION cloudsync.key_number(tracked regclass, given name, argument text) RETURNS smallint
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    number smallint := cloudsync.column_number(tracked, given);
BEGIN
    IF given IS NULL THEN
        SELECT i.indkey[0] INTO number FROM pg_index i
            WHERE i.indrelid = tracked AND i.indisprimary AND i.indnkeyatts = 1;
        IF number IS NULL THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_table_definition',
                MESSAGE = format('table %s has no single-column primary key', tracked),
                HINT = format('Name a column that is UNIQUE and NOT NULL: %s => ...', argument);
        END IF;
    ELSIF NOT EXISTS (
        SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
            WHERE i.indrelid = tracked AND a.attnum = number AND a.attnotnull
              AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1 AND i.indpred IS NULL AND i.indexprs IS NULL) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_table_definition',
            MESSAGE = format('column "%s" of table %s cannot be its key', given, tracked),
            DETAIL = 'A key is UNIQUE by itself and NOT NULL.',
            HINT = format('Name another column with %s, or add the constraints.', argument);
    END IF;
    PERFORM cloudsync.check_simple_type(tracked, number, 'key');
    RETURN number;
END
$$;

-- The first of the names, in their order, that a column of the wanted kind has (letter case apart).
CREATE FUNCTION cloudsync.conventional(tracked regclass, candidates smallint[], names text[]) RETURNS smallint
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT a.attnum FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = tracked AND a.attnum = ANY (candidates)
          AND pg_catalog.lower(a.attname) = ANY (names)
        ORDER BY pg_catalog.array_position(names, pg_catalog.lower(a.attname)), a.attnum
        LIMIT 1;
END;

-- Columns of text (S), or of content (bytea, large objects), but for some.
CREATE FUNCTION cloudsync.text_columns(tracked regclass, except_for smallint[]) RETURNS smallint[]
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT pg_catalog.array_agg(a.attnum ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = cloudsync.base_type(a.atttypid)
        WHERE a.attrelid = tracked AND a.attnum > 0 AND NOT a.attisdropped
          AND t.typcategory = 'S' AND a.attnum <> ALL (except_for);
END;
CREATE FUNCTION cloudsync.content_columns(tracked regclass, except_for smallint[]) RETURNS smallint[]
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT pg_catalog.array_agg(a.attnum ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = tracked AND a.attnum > 0 AND NOT a.attisdropped
          AND cloudsync.base_type(a.atttypid) = ANY (ARRAY['pg_catalog.bytea'::pg_catalog.regtype, 'pg_catalog.oid'::pg_catalog.regtype]::oid[])
          AND a.attnum <> ALL (except_for);
END;
-- Columns of text that can hold addresses or paths, but for some.
CREATE FUNCTION cloudsync.address_columns(tracked regclass, except_for smallint[]) RETURNS smallint[]
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT pg_catalog.array_agg(a.attnum ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = tracked AND a.attnum > 0 AND NOT a.attisdropped
          AND cloudsync.base_type(a.atttypid) = ANY (ARRAY['pg_catalog.text'::pg_catalog.regtype, 'pg_catalog.varchar'::pg_catalog.regtype]::oid[])
          AND a.attnum <> ALL (except_for);
END;
CREATE FUNCTION cloudsync.column_list(tracked regclass, numbers smallint[]) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a WHERE a.attrelid = tracked AND a.attnum = ANY (numbers);
END;

-- The column of a files table that says to which dossier a file belongs.
CREATE FUNCTION cloudsync.file_dossier_number(files regclass, dossiers regclass, key smallint, given name) RETURNS smallint
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    number smallint := cloudsync.column_number(files, given);
    found smallint[];
    families text[];
BEGIN
    IF given IS NULL THEN
        SELECT array_agg(DISTINCT c.conkey[1]) INTO found FROM pg_constraint c
            WHERE c.contype = 'f' AND c.conrelid = files AND c.confrelid = dossiers AND c.conparentid = 0
              AND cardinality(c.conkey) = 1 AND c.confkey[1] = key;
        IF found IS NULL OR cardinality(found) > 1 THEN
            RAISE EXCEPTION USING ERRCODE = CASE WHEN found IS NULL THEN 'undefined_object' ELSE 'ambiguous_column' END,
                MESSAGE = CASE WHEN found IS NULL
                    THEN format('no foreign key of %s refers to column "%s" of %s', files, cloudsync.column_name(dossiers, key), dossiers)
                    ELSE format('%s columns of %s refer to %s: %s', cardinality(found), files, dossiers, cloudsync.column_list(files, found)) END,
                HINT = 'Name the column that holds the dossier''s key: file_dossier => ...';
        END IF;
        number := found[1];
    END IF;
    PERFORM cloudsync.check_simple_type(files, number, 'dossier''s key');
    -- keys are compared as text, so both must be written alike
    SELECT array_agg(DISTINCT CASE WHEN t.typcategory = 'S' THEN 'text'
                     WHEN t.oid IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype) THEN 'integer'
                     ELSE t.oid::text END) INTO families
        FROM pg_attribute a JOIN pg_type t ON t.oid = cloudsync.base_type(a.atttypid)
        WHERE (a.attrelid = files AND a.attnum = number) OR (a.attrelid = dossiers AND a.attnum = key);
    IF cardinality(families) > 1 THEN
        RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch',
            MESSAGE = format('column "%s" of %s and the key "%s" of %s are of different types',
                             cloudsync.column_name(files, number), files, cloudsync.column_name(dossiers, key), dossiers),
            HINT = 'Name the column that holds the dossier''s key: file_dossier => ...';
    END IF;
    RETURN number;
END
$$;

CREATE FUNCTION cloudsync.file_name_number(files regclass, given name, taken smallint[]) RETURNS smallint
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    number smallint := cloudsync.column_number(files, given);
    candidates smallint[] := cloudsync.text_columns(files, taken);
BEGIN
    IF given IS NULL THEN
        number := cloudsync.conventional(files, candidates, ARRAY['file_name', 'filename', 'nom_fichier', 'name', 'nom',
            'original_name', 'original_filename', 'title', 'titre', 'label', 'libelle', 'reference', 'dateiname', 'nombre', 'path', 'chemin']);
        IF number IS NULL AND cardinality(candidates) = 1 THEN
            number := candidates[1];
        END IF;
        IF number IS NULL THEN
            RAISE EXCEPTION USING ERRCODE = CASE WHEN candidates IS NULL THEN 'undefined_column' ELSE 'ambiguous_column' END,
                MESSAGE = format('no column of %s is known to hold the files'' names', files),
                DETAIL = coalesce('It could be ' || cloudsync.column_list(files, candidates) || '.', 'It has no other column of a text type.'),
                HINT = 'Name it: file_name => ...';
        END IF;
    END IF;
    PERFORM cloudsync.check_simple_type(files, number, 'file''s name');
    RETURN number;
END
$$;

-- With elsewhere, the content is at another connection, and the column holds its path there.
CREATE FUNCTION cloudsync.content_number(files regclass, given name, taken smallint[], elsewhere boolean) RETURNS smallint
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    number smallint := cloudsync.column_number(files, given);
    addresses smallint[] := cloudsync.address_columns(files, CASE WHEN given IS NULL THEN taken ELSE '{}' END);
    candidates smallint[];
BEGIN
    IF NOT elsewhere THEN
        candidates := cloudsync.content_columns(files, CASE WHEN given IS NULL THEN taken ELSE '{}' END);
    END IF;
    IF given IS NULL AND candidates IS NULL THEN
        number := cloudsync.conventional(files, addresses, ARRAY['content_url', 'file_url', 'url', 'content_uri', 'uri', 'href', 'link', 'lien', 'content', 'contenu']
            || CASE WHEN elsewhere THEN ARRAY['content_path', 'file_path', 'path', 'chemin', 'storage_path', 'object_key', 'pfad', 'ruta'] ELSE '{}' END);
        IF number IS NOT NULL THEN
            RETURN number;
        END IF;
    END IF;
    IF given IS NULL THEN
        number := cloudsync.conventional(files, candidates, ARRAY['content', 'contents', 'contenu', 'data', 'donnees', 'body', 'corps',
            'bytes', 'file', 'fichier', 'file_content', 'file_data', 'blob', 'binary', 'document', 'payload', 'inhalt', 'contenido']);
        IF number IS NULL AND cardinality(candidates) = 1 THEN
            number := candidates[1];
        END IF;
        IF number IS NULL THEN
            RAISE EXCEPTION USING ERRCODE = CASE WHEN candidates IS NULL THEN 'undefined_column' ELSE 'ambiguous_column' END,
                MESSAGE = CASE WHEN candidates IS NULL
                    THEN format(CASE WHEN elsewhere THEN 'no column of %s is known to hold the paths of the files'' content'
                        ELSE 'table %s has no column of type bytea or oid for the files'' content' END, files)
                    ELSE format('several columns of %s could hold the files'' content: %s', files, cloudsync.column_list(files, candidates)) END,
                HINT = 'Name it: content => ...';
        END IF;
    ELSIF NOT coalesce(number = ANY (candidates || addresses), false) THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
            MESSAGE = format('column "%s" of %s cannot hold the files'' content', given, files),
            DETAIL = (SELECT format('Its type is %s.', format_type(a.atttypid, a.atttypmod))
                      FROM pg_attribute a WHERE a.attrelid = files AND a.attnum = number),
            HINT = CASE WHEN elsewhere THEN 'Name a column of type text that holds paths at the content_connection.'
                   ELSE 'Name a column of type bytea or oid (large object), or of type text that holds http or https addresses.' END;
    END IF;
    RETURN number;
END
$$;
