/*
 * track.sql: cloudsync_track and its kin (P1): the tables of the application, the
 * triggers on them, and the ways to note what triggers do not see. Which columns
 * are meant: track_columns.sql.
 */

-- Refuses a table that cannot be tracked, and a caller who does not own it.
CREATE FUNCTION cloudsync.check_table(tracked regclass) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    class pg_class;
    schema name;
BEGIN
    SELECT * INTO class FROM pg_class c WHERE c.oid = tracked;
    SELECT n.nspname INTO schema FROM pg_namespace n WHERE n.oid = class.relnamespace;
    IF class.oid IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_table', MESSAGE = format('table %s does not exist', tracked),
            HINT = format('If it was dropped, end its tracking: SELECT cloudsync_untrack(%s);', tracked);
    END IF;
    IF class.relkind NOT IN ('r', 'p') OR class.relpersistence = 't' THEN
        RAISE EXCEPTION USING ERRCODE = 'wrong_object_type',
            MESSAGE = format('%s cannot be tracked', tracked),
            DETAIL = CASE class.relkind WHEN 'v' THEN 'It is a view.' WHEN 'm' THEN 'It is a materialized view.'
                     WHEN 'f' THEN 'It is a foreign table.'
                     WHEN 'r' THEN 'It is a temporary table.' ELSE 'It is not a table.' END,
            HINT = 'Track the ordinary or partitioned table in which the rows are.';
    END IF;
    IF class.oid < 16384 OR schema = 'cloudsync' OR schema ~ '^pg_' OR schema = 'information_schema' THEN
        RAISE EXCEPTION USING ERRCODE = 'wrong_object_type',
            MESSAGE = format('%s cannot be tracked', tracked),
            DETAIL = 'It is a system table.',
            HINT = 'Track a table of the application.';
    END IF;
    IF NOT cloudsync.acting_has_role(pg_get_userbyid(class.relowner)) THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
            MESSAGE = format('must be owner of table %s', tracked),
            HINT = format('Call it as its owner: SET ROLE %I;', pg_get_userbyid(class.relowner));
    END IF;
END
$$;

/*
 * Makes the triggers that are not there: one for rows, which partitions have
 * too, and one for TRUNCATE. They go with the extension, instead of standing in
 * the way of DROP EXTENSION.
 */
CREATE FUNCTION cloudsync.install_triggers(tracked regclass, dossiers_id integer, source_id integer) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    arguments text[] := CASE WHEN source_id IS NULL THEN ARRAY[dossiers_id::text]
                        ELSE ARRAY[dossiers_id::text, source_id::text] END;
    as_stored bytea := '';
    argument text;
    truncates boolean;
    stem text := CASE WHEN source_id IS NULL THEN format('cloudsync_dossiers_%s', dossiers_id)
                 ELSE format('cloudsync_files_%s', source_id) END;
    trigger_name text;
BEGIN
    FOREACH argument IN ARRAY arguments LOOP
        as_stored := as_stored || convert_to(argument, 'UTF8') || '\x00';
    END LOOP;
    FOREACH truncates IN ARRAY ARRAY[false, true] LOOP
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_trigger t
                WHERE t.tgrelid = tracked AND t.tgfoid = 'cloudsync.capture_change()'::regprocedure
                  AND t.tgparentid = 0 AND t.tgargs = as_stored
                  AND (t.tgtype & 32 <> 0) = truncates);
        trigger_name := stem || CASE WHEN truncates THEN '_truncate' ELSE '' END;
        WHILE EXISTS (SELECT FROM pg_trigger t WHERE t.tgname = trigger_name
                      AND (t.tgrelid = tracked OR t.tgrelid IN (SELECT relid FROM pg_partition_tree(tracked)))) LOOP
            trigger_name := trigger_name || '_';
        END LOOP;
        EXECUTE format('CREATE TRIGGER %I AFTER %s ON %s FOR EACH %s EXECUTE FUNCTION cloudsync.capture_change(%s)',
                       trigger_name, CASE WHEN truncates THEN 'TRUNCATE' ELSE 'INSERT OR UPDATE OR DELETE' END,
                       tracked, CASE WHEN truncates THEN 'STATEMENT' ELSE 'ROW' END,
                       (SELECT string_agg(quote_literal(a), ', ') FROM unnest(arguments) a));
        EXECUTE format('ALTER TRIGGER %I ON %s DEPENDS ON EXTENSION cloudsync', trigger_name, tracked);
    END LOOP;
    -- who makes a partition makes its triggers, and needs the right to use their function
    EXECUTE coalesce((SELECT format('GRANT EXECUTE ON FUNCTION cloudsync.capture_change() TO %I', pg_get_userbyid(c.relowner))
                      FROM pg_class c WHERE c.oid = tracked AND c.relkind = 'p'), 'SELECT');
END
$$;

CREATE FUNCTION cloudsync.drop_triggers(tracked regclass, dossiers_id integer, source_id integer) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    stored bytea := convert_to(dossiers_id::text, 'UTF8') || '\x00'
        || CASE WHEN source_id IS NULL THEN ''::bytea ELSE convert_to(source_id::text, 'UTF8') || '\x00' END;
    trigger_name name;
BEGIN
    FOR trigger_name IN
        SELECT t.tgname FROM pg_trigger t
            WHERE t.tgrelid = tracked AND t.tgfoid = 'cloudsync.capture_change()'::regprocedure
              AND t.tgparentid = 0 AND t.tgargs = stored
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', trigger_name, tracked);
    END LOOP;
END
$$;

-- Tracking is for the whole server.
CREATE FUNCTION cloudsync.refuse_tenant(what text) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
    IF cloudsync.tenant() <> '' THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
            MESSAGE = format('%s is refused to a session with a tenant', what),
            DETAIL = 'It is for the whole server.',
            HINT = 'Act for none: RESET cloudsync.tenant; or call it as a role that has no row in cloudsync.role_tenant.';
    END IF;
END
$$;

-- What is given must be what is set already: both are named.
CREATE FUNCTION cloudsync.refuse_other(tracked regclass, argument text, is_set text, given text) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
    IF given IS NOT NULL AND given IS DISTINCT FROM is_set THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
            MESSAGE = CASE WHEN is_set IS NULL
                THEN format('table %s is already tracked without %s, not with %s "%s"', tracked, argument, argument, given)
                ELSE format('table %s is already tracked with %s "%s", not "%s"', tracked, argument, is_set, given) END,
            HINT = format('Leave it out to keep what is set, or end the tracking first: SELECT cloudsync_untrack(%L);', tracked);
    END IF;
END
$$;

-- The row of a dossiers table: the one there is, if it agrees, or a new one.
CREATE FUNCTION cloudsync.track_dossiers(dossiers regclass, key name, label name, tenant name, procedure name) RETURNS cloudsync.dossier_table
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_variable
DECLARE
    d cloudsync.dossier_table;
    key_column smallint;
    label_column smallint;
BEGIN
    SELECT * INTO d FROM cloudsync.dossier_table t WHERE t.dossiers = track_dossiers.dossiers;
    IF FOUND THEN
        PERFORM cloudsync.refuse_other(dossiers, 'dossier_key', cloudsync.column_name(dossiers, d.key_column), key),
                cloudsync.refuse_other(dossiers, 'label', cloudsync.column_name(dossiers, d.label_column), label),
                cloudsync.refuse_other(dossiers, 'tenant', cloudsync.column_name(dossiers, d.tenant_column), tenant),
                cloudsync.refuse_other(dossiers, 'procedure', cloudsync.column_name(dossiers, d.procedure_column), procedure);
        RETURN d;
    END IF;
    key_column := cloudsync.key_number(dossiers, key, 'dossier_key');
    label_column := coalesce(cloudsync.column_number(dossiers, label),
        cloudsync.conventional(dossiers, cloudsync.text_columns(dossiers, ARRAY[key_column]),
            ARRAY['title', 'name', 'reference', 'titre', 'nom', 'label', 'libelle', 'intitule', 'objet', 'subject',
                  'designation', 'ref', 'titel', 'bezeichnung', 'nombre', 'titulo']));
    PERFORM cloudsync.check_simple_type(dossiers, cloudsync.column_number(dossiers, tenant), 'tenant'),
            cloudsync.check_simple_type(dossiers, cloudsync.column_number(dossiers, procedure), 'procedure'),
            cloudsync.check_simple_type(dossiers, label_column, 'label');
    INSERT INTO cloudsync.dossier_table (dossiers_id, dossiers, key_column, key_name, label_column, label_name,
                                         tenant_column, tenant_name, procedure_column, procedure_name, resolved_in, created_by)
        VALUES (coalesce((SELECT u.dossiers_id FROM cloudsync.untracked u
                          WHERE u.dossiers = track_dossiers.dossiers::text AND u.files IS NULL
                            AND u.key_name = cloudsync.column_name(dossiers, key_column)
                          ORDER BY u.untracked_at DESC LIMIT 1),
                         nextval('cloudsync.dossier_table_dossiers_id_seq')),
                dossiers, key_column, cloudsync.column_name(dossiers, key_column),
                label_column, cloudsync.column_name(dossiers, label_column),
                cloudsync.column_number(dossiers, tenant), tenant, cloudsync.column_number(dossiers, procedure), procedure,
                (SELECT i.installation FROM cloudsync.installation i), cloudsync.acting_user())
        RETURNING * INTO d;
    RETURN d;
END
$$;

-- The same for a files table of it.
CREATE FUNCTION cloudsync.track_files(d cloudsync.dossier_table, files regclass, key name, dossier name, file_name name, content name,
    content_connection text) RETURNS cloudsync.source
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_variable
DECLARE
    s cloudsync.source;
    key_column smallint;
    dossier_column smallint;
    name_column smallint;
    content_column smallint;
BEGIN
    SELECT * INTO s FROM cloudsync.source t WHERE t.dossiers_id = d.dossiers_id AND t.files = track_files.files;
    IF FOUND THEN
        PERFORM cloudsync.refuse_other(files, 'file_key', cloudsync.column_name(files, s.key_column), key),
                cloudsync.refuse_other(files, 'file_dossier', cloudsync.column_name(files, s.dossier_column), dossier),
                cloudsync.refuse_other(files, 'file_name', cloudsync.column_name(files, s.name_column), file_name),
                cloudsync.refuse_other(files, 'content', cloudsync.column_name(files, s.content_column), content),
                cloudsync.refuse_other(files, 'content_connection', s.content_connection, content_connection);
        RETURN s;
    END IF;
    key_column := cloudsync.key_number(files, key, 'file_key');
    dossier_column := cloudsync.file_dossier_number(files, d.dossiers, d.key_column, dossier);
    content_column := cloudsync.content_number(files, content, ARRAY[key_column, dossier_column], content_connection IS NOT NULL);
    name_column := cloudsync.file_name_number(files, file_name, ARRAY[key_column, dossier_column, content_column]);
    INSERT INTO cloudsync.source (source_id, dossiers_id, files, key_column, key_name, dossier_column, dossier_name,
                                  name_column, name_name, content_column, content_name, content_kind, content_connection,
                                  resolved_in, created_by)
        SELECT coalesce((SELECT u.source_id FROM cloudsync.untracked u
                         WHERE u.dossiers_id = d.dossiers_id AND u.files = track_files.files::text
                           AND u.key_name = cloudsync.column_name(files, key_column)
                         ORDER BY u.untracked_at DESC LIMIT 1),
                        nextval('cloudsync.source_source_id_seq')),
               d.dossiers_id, files, key_column, cloudsync.column_name(files, key_column),
               dossier_column, cloudsync.column_name(files, dossier_column),
               name_column, cloudsync.column_name(files, name_column),
               content_column, cloudsync.column_name(files, content_column),
               CASE cloudsync.base_type(a.atttypid) WHEN 'oid'::regtype THEN 'oid' WHEN 'bytea'::regtype THEN 'bytea' ELSE 'text' END,
               content_connection,
               (SELECT i.installation FROM cloudsync.installation i), cloudsync.acting_user()
            FROM pg_attribute a WHERE a.attrelid = files AND a.attnum = content_column
        RETURNING * INTO s;
    RETURN s;
END
$$;

/*
 * Tracked again although columns of it were lost: those that stand there under
 * their old names are taken. True: they were lost, and are all there now.
 */
CREATE FUNCTION cloudsync.find_columns_again(dossiers regclass, files regclass) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_variable
DECLARE
    problem text;
    lost boolean;
BEGIN
    UPDATE cloudsync.dossier_table d SET resolved_in = '00000000-0000-0000-0000-000000000000'
        WHERE d.dossiers = find_columns_again.dossiers AND starts_with(d.last_error, 'tracked column ');
    lost := FOUND;
    UPDATE cloudsync.source s SET resolved_in = '00000000-0000-0000-0000-000000000000'
        WHERE s.files = find_columns_again.files AND starts_with(s.last_error, 'tracked column ');
    lost := lost OR FOUND;
    IF NOT lost THEN
        RETURN false;
    END IF;
    PERFORM cloudsync.reresolve_sources();
    SELECT t.last_error INTO problem
        FROM (SELECT d.last_error FROM cloudsync.dossier_table d WHERE d.dossiers = find_columns_again.dossiers
              UNION ALL SELECT s.last_error FROM cloudsync.source s WHERE s.files = find_columns_again.files) t
        WHERE starts_with(t.last_error, 'tracked column ') LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_column', MESSAGE = problem,
            HINT = format('Make the column again, or SELECT cloudsync_untrack(%L) and track the tables with other columns.', dossiers);
    END IF;
    RETURN true;
END
$$;

CREATE FUNCTION @extschema@.cloudsync_track(dossiers regclass, files regclass, dossier_key name DEFAULT NULL, label name DEFAULT NULL,
    tenant name DEFAULT NULL, procedure name DEFAULT NULL, file_key name DEFAULT NULL, file_dossier name DEFAULT NULL,
    file_name name DEFAULT NULL, content name DEFAULT NULL, content_connection text DEFAULT NULL) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_variable
DECLARE
    d cloudsync.dossier_table;
    s cloudsync.source;
    found_again boolean;
    is_new boolean;
BEGIN
    PERFORM cloudsync.refuse_tenant('cloudsync_track');
    IF dossiers IS NULL OR files IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'the tables dossiers and files must be given',
            HINT = 'For example: SELECT cloudsync_track(''app.dossier'', ''app.dossier_file'');';
    END IF;
    IF content_connection IS NOT NULL THEN
        -- of the caller's tenant, which is none: an error if there is no such connection
        PERFORM cloudsync.find_connection(content_connection);
    END IF;
    PERFORM cloudsync.check_table(dossiers), cloudsync.check_table(files);
    -- in one order for all, so that two that track the same tables wait, not deadlock
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', least(dossiers::oid, files::oid)::regclass);
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', greatest(dossiers::oid, files::oid)::regclass);

    found_again := cloudsync.find_columns_again(dossiers, files);
    d := cloudsync.track_dossiers(dossiers, dossier_key, label, tenant, procedure);
    is_new := found_again OR NOT EXISTS (SELECT FROM cloudsync.source t WHERE t.dossiers_id = d.dossiers_id AND t.files = cloudsync_track.files);
    s := cloudsync.track_files(d, files, file_key, file_dossier, file_name, content, content_connection);
    PERFORM cloudsync.install_triggers(dossiers, d.dossiers_id, NULL),
            cloudsync.install_triggers(files, d.dossiers_id, s.source_id);
    IF is_new THEN
        PERFORM cloudsync.note('', 'track', format('%s, %s', dossiers, files), NULL,
            jsonb_build_object('source_id', s.source_id, 'dossier_key', d.key_name, 'label', d.label_name, 'tenant', d.tenant_name,
                'procedure', d.procedure_name, 'file_key', s.key_name, 'file_dossier', s.dossier_name,
                'file_name', s.name_name, 'content', s.content_name, 'content_connection', s.content_connection));
        -- where push is on already, what exists goes there now
        INSERT INTO cloudsync.backfill AS b (connection_id, dossiers_id)
            SELECT p.connection_id, d.dossiers_id FROM cloudsync.push_setting p
            JOIN cloudsync.connection c ON c.connection_id = p.connection_id AND c.state <> 'disconnected'
            WHERE p.auto_sync
            ON CONFLICT (connection_id, dossiers_id) DO UPDATE SET last_key = NULL, noted = 0, started_at = clock_timestamp();
        PERFORM cloudsync.wake(false);
    END IF;
    RETURN s.source_id;
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_track(regclass, regclass, name, name, name, name, name, name, name, name, text) IS
    'Registers a table of dossiers and one of their files; from then on each change is noted in the writer''s '
    'own transaction. Finds keys and columns in the catalogs where they are NULL; gives the number of the '
    'pair. For cloudsync_admin without a tenant, the tables'' owner.';

CREATE FUNCTION @extschema@.cloudsync_untrack(dossiers regclass, files regclass DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_variable
DECLARE
    d cloudsync.dossier_table;
    s cloudsync.source;
BEGIN
    PERFORM cloudsync.refuse_tenant('cloudsync_untrack');
    d := cloudsync.tracked_table(dossiers);
    IF files IS NOT NULL AND NOT EXISTS (SELECT FROM cloudsync.source t WHERE t.dossiers_id = d.dossiers_id
                                         AND t.files = cloudsync_untrack.files) THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('table %s is not tracked as files of %s', files, dossiers),
            HINT = format('To end the tracking of all its files: SELECT cloudsync_untrack(%L);', dossiers);
    END IF;
    FOR s IN SELECT * FROM cloudsync.source t WHERE t.dossiers_id = d.dossiers_id
             AND (cloudsync_untrack.files IS NULL OR t.files = cloudsync_untrack.files) LOOP
        IF EXISTS (SELECT FROM pg_class c WHERE c.oid = s.files) THEN
            PERFORM cloudsync.check_table(s.files), cloudsync.drop_triggers(s.files, d.dossiers_id, s.source_id);
        END IF;
        DELETE FROM cloudsync.source t WHERE t.source_id = s.source_id;
        INSERT INTO cloudsync.untracked (dossiers, files, key_name, dossiers_id, source_id, untracked_by)
            VALUES (dossiers::text, s.files::text, s.key_name, d.dossiers_id, s.source_id, cloudsync.acting_user());
    END LOOP;
    PERFORM cloudsync.note('', 'untrack', concat_ws(', ', dossiers, files), jsonb_build_object('dossiers_id', d.dossiers_id), NULL);
    IF EXISTS (SELECT FROM cloudsync.source t WHERE t.dossiers_id = d.dossiers_id) THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM pg_class c WHERE c.oid = dossiers) THEN
        PERFORM cloudsync.drop_triggers(dossiers, d.dossiers_id, NULL);
    END IF;
    DELETE FROM cloudsync.dossier_table t WHERE t.dossiers_id = d.dossiers_id;
    INSERT INTO cloudsync.untracked (dossiers, key_name, dossiers_id, untracked_by)
        VALUES (dossiers::text, d.key_name, d.dossiers_id, cloudsync.acting_user());
    DELETE FROM cloudsync.change t WHERE t.dossiers_id = d.dossiers_id;
    DELETE FROM cloudsync.backfill t WHERE t.dossiers_id = d.dossiers_id;
    DELETE FROM cloudsync.due t WHERE t.dossiers_id = d.dossiers_id;
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_untrack(regclass, regclass) IS
    'Ends the tracking of a dossiers table, or of one of its files tables. What was pushed stays where it is, '
    'and on record. For cloudsync_admin without a tenant, the tables'' owner.';

-- The tracked dossiers table; its owner, or for one that was dropped an administrator, may change it.
CREATE FUNCTION cloudsync.tracked_table(dossiers regclass) RETURNS cloudsync.dossier_table
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    d cloudsync.dossier_table;
BEGIN
    SELECT * INTO d FROM cloudsync.dossier_table t WHERE t.dossiers = tracked_table.dossiers;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('table %s is not tracked', dossiers),
            HINT = format('Track it first: SELECT cloudsync_track(%L, files);', dossiers);
    END IF;
    IF EXISTS (SELECT FROM pg_class c WHERE c.oid = tracked_table.dossiers) THEN
        PERFORM cloudsync.check_table(dossiers);
    ELSIF NOT cloudsync.sees_all() THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
            MESSAGE = format('table %s is gone, and only an administrator can change its tracking', dossiers),
            HINT = 'A superuser can make you one: GRANT cloudsync_admin TO ...;';
    END IF;
    RETURN d;
END
$$;

CREATE FUNCTION @extschema@.cloudsync_touch(dossiers regclass, dossier text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_variable
DECLARE
    d cloudsync.dossier_table;
    l record;
BEGIN
    PERFORM cloudsync.tenant(); -- an error where the session may change nothing
    SELECT * INTO d FROM cloudsync.dossier_table t WHERE t.dossiers = cloudsync_touch.dossiers;
    IF d.dossiers_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('table %s is not tracked', dossiers),
            HINT = format('Track it first: SELECT cloudsync_track(%L, files);', dossiers);
    END IF;
    IF dossier IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a dossier must be named',
            HINT = 'Give the key of a dossier that is in the table, or was pushed from it.';
    END IF;
    l := cloudsync.look_up(d.dossiers_id, dossier);
    -- one that is gone may still have been pushed to a connection of ours
    IF NOT coalesce(CASE WHEN l.found THEN cloudsync.sees(l.tenant)
        ELSE EXISTS (SELECT FROM cloudsync.pushed_dossier p
                         JOIN cloudsync.destination t ON t.destination_id = p.destination_id
                         JOIN cloudsync.account a ON a.account_id = t.account_id
                     WHERE p.dossiers_id = d.dossiers_id AND p.dossier = l.key AND cloudsync.sees(a.tenant)) END, false) THEN
        RAISE EXCEPTION USING ERRCODE = 'no_data_found',
            MESSAGE = format('table %s has no dossier "%s"', dossiers, dossier),
            HINT = 'Give the key of a dossier that is in the table, or was pushed from it.';
    END IF;
    PERFORM cloudsync.note_change(d.dossiers_id, l.key, l.tenant);
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_touch(regclass, text) IS
    'Notes a change of a dossier that no trigger sees, by its key. For cloudsync_operator.';

CREATE FUNCTION @extschema@.cloudsync_resync(dossiers regclass) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    d cloudsync.dossier_table;
BEGIN
    PERFORM cloudsync.refuse_tenant('cloudsync_resync');
    d := cloudsync.tracked_table(dossiers);
    -- those that were pushed and are there no more ...
    PERFORM cloudsync.note_change(d.dossiers_id, NULL, NULL);
    -- ... and those that are there
    RETURN cloudsync.note_all(d.dossiers_id);
END
$$;
COMMENT ON FUNCTION @extschema@.cloudsync_resync(regclass) IS
    'Notes every dossier of a table, so that each is compared with what was pushed; what is equal is not '
    'sent. Gives how many. For cloudsync_operator without a tenant.';
