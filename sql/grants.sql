/*
 * grants.sql: rights, row-level security and what pg_dump carries (spec 2, S2,
 * W11). Last, so that it sees every object. What is not named here gets no
 * rights, and a public function that is not named here is an error, so that
 * nobody adds one without saying for whom it is.
 */

-- The audit is changed by nobody, not even its owner.
CREATE FUNCTION cloudsync.refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
        MESSAGE = format('%I.%I is changed by nobody', TG_TABLE_SCHEMA, TG_TABLE_NAME);
END
$$;
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON cloudsync.audit
    FOR EACH STATEMENT EXECUTE FUNCTION cloudsync.refuse_change();
ALTER TABLE cloudsync.audit ENABLE ALWAYS TRIGGER refuse_change;

DO $$
DECLARE
    functions_schema CONSTANT oid := (SELECT e.extnamespace FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=) 'cloudsync');
    one record;
    for_whom text;
    by_name CONSTANT jsonb := '{
        "cloudsync_connect": "admin", "cloudsync_authorize": "admin", "cloudsync_register_app": "admin",
        "cloudsync_browse": "admin", "cloudsync_disconnect": "admin", "cloudsync_disable": "admin",
        "cloudsync_enable": "admin", "cloudsync_set_limits": "admin", "cloudsync_rotate_key": "admin",
        "cloudsync_check": "operator",
        "cloudsync_track": "admin", "cloudsync_untrack": "admin", "cloudsync_set_push": "admin",
        "cloudsync_set_procedure_folder": "admin",
        "cloudsync_touch": "operator", "cloudsync_resync": "operator", "cloudsync_push_dossier": "operator",
        "cloudsync_plan": "operator", "cloudsync_confirm_trash": "operator",
        "cloudsync_create_channel": "admin", "cloudsync_alter_channel": "admin", "cloudsync_set_auto_sync": "admin",
        "cloudsync_delete_channel": "admin", "cloudsync_add_recipient": "admin", "cloudsync_on_document": "admin",
        "cloudsync_collect": "operator", "cloudsync_refresh_items": "operator", "cloudsync_recollect": "operator",
        "cloudsync_file_document": "operator", "cloudsync_assign_document": "operator",
        "cloudsync_reject_document": "operator", "cloudsync_forget": "operator", "cloudsync_retry_ocr": "operator",
        "cloudsync_content": "reader", "cloudsync_read": "reader", "cloudsync_text": "reader",
        "cloudsync_search": "reader", "cloudsync_find": "reader",
        "cloudsync_wait": "operator", "cloudsync_run": "operator", "cloudsync_cancel": "operator",
        "cloudsync_retry": "operator",
        "cloudsync_start_worker": "admin", "cloudsync_suspend": "admin", "cloudsync_resume": "admin",
        "cloudsync_detach": "admin",
        "cloudsync_status": "reader", "cloudsync_lag": "reader", "cloudsync_progress": "reader",
        "cloudsync_metrics": "reader", "cloudsync_report": "reader"}';
    -- what views, policies and procedures call with the caller's own rights
    internal CONSTANT jsonb := '{
        "tenant": "reader", "sees": "reader", "sees_all": "reader", "acting_user": "reader", "acting_has_role": "reader",
        "acting_is": "reader", "sees_document": "reader", "provider_rows": "reader", "tracked_keys": "reader",
        "visible_activity": "reader",
        "refuse_transaction_block": "operator", "unfinished_runs": "operator",
        "ends_told": "operator", "await_end": "operator"}';
BEGIN
    FOR one IN
        SELECT p.oid::pg_catalog.regprocedure AS what, p.proname AS name, p.pronamespace OPERATOR(pg_catalog.=) functions_schema AS public
        FROM pg_catalog.pg_proc p
        JOIN pg_catalog.pg_depend d ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
            AND d.objid OPERATOR(pg_catalog.=) p.oid AND d.deptype OPERATOR(pg_catalog.=) 'e'
        JOIN pg_catalog.pg_extension e ON e.oid OPERATOR(pg_catalog.=) d.refobjid AND e.extname OPERATOR(pg_catalog.=) 'cloudsync'
        WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', one.what);
        IF one.public THEN
            for_whom := by_name OPERATOR(pg_catalog.->>) one.name::text;
            IF for_whom IS NULL THEN
                RAISE EXCEPTION 'sql/grants.sql does not say who may use %', one.what;
            END IF;
        ELSE
            for_whom := internal OPERATOR(pg_catalog.->>) one.name::text;
        END IF;
        IF for_whom IS NOT NULL THEN
            EXECUTE pg_catalog.format('GRANT EXECUTE ON ROUTINE %s TO %I', one.what, 'cloudsync_' OPERATOR(pg_catalog.||) for_whom);
        END IF;
    END LOOP;

    FOR one IN
        SELECT c.oid::pg_catalog.regclass AS what, c.relkind AS kind
        FROM pg_catalog.pg_class c
        WHERE c.relnamespace OPERATOR(pg_catalog.=) 'cloudsync'::pg_catalog.regnamespace AND c.relkind IN ('r', 'v', 'S')
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON %s %s FROM PUBLIC', CASE one.kind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, one.what);
        IF one.kind OPERATOR(pg_catalog.=) 'v' THEN
            EXECUTE pg_catalog.format('GRANT SELECT ON %s TO cloudsync_reader', one.what);
        ELSIF one.kind OPERATOR(pg_catalog.=) 'r' THEN
            -- without a policy nobody sees a row but the owner, as whom our functions run
            EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', one.what);
        END IF;
    END LOOP;
END
$$;

REVOKE ALL ON SCHEMA cloudsync FROM PUBLIC;
GRANT USAGE ON SCHEMA cloudsync TO cloudsync_reader;

-- Tables that are read directly, and for those that somebody may grant later.
GRANT SELECT ON cloudsync.document, cloudsync.recipient TO cloudsync_reader;
GRANT SELECT ON cloudsync.audit TO cloudsync_admin;
GRANT SELECT, INSERT, UPDATE, DELETE ON cloudsync.role_tenant TO cloudsync_admin;

CREATE POLICY own_tenant ON cloudsync.document FOR SELECT USING (cloudsync.sees_document(tenant, recipient));
CREATE POLICY own_tenant ON cloudsync.recipient FOR SELECT USING (cloudsync.sees(tenant));
CREATE POLICY own_tenant ON cloudsync.audit FOR SELECT USING (cloudsync.sees(tenant));
CREATE POLICY own_tenant ON cloudsync.account FOR SELECT USING (cloudsync.sees(tenant));
CREATE POLICY own_tenant ON cloudsync.connection FOR SELECT USING (cloudsync.sees(tenant));
CREATE POLICY own_tenant ON cloudsync.app FOR SELECT USING (cloudsync.sees(tenant));
CREATE POLICY own_tenant ON cloudsync.channel FOR SELECT USING (cloudsync.sees(tenant));
CREATE POLICY own_tenant ON cloudsync.run FOR SELECT USING (cloudsync.sees(tenant));
-- whose tenant a role is concerns the whole server
CREATE POLICY whole_server ON cloudsync.role_tenant USING (cloudsync.sees_all()) WITH CHECK (cloudsync.sees_all());

/*
 * What pg_dump carries: settings, documents with their bytes, dedup keys, pushed
 * records, history, audit, and where this copy is at home. Not what is on its
 * way (change log, queue, staging), and not the installation's own identity.
 */
DO $$
DECLARE
    filters CONSTANT jsonb := '{
        "role_tenant": "", "home": "", "audit": "",
        "account": "", "connection": "", "app": "",
        "secret": "WHERE owner_kind <> ''consent''",
        "dossier_table": "", "source": "", "untracked": "",
        "destination": "", "push_setting": "", "procedure_folder": "",
        "pushed_dossier": "", "pushed_file": "",
        "recipient": "", "channel": "", "channel_folder": "", "feed": "", "item": "", "dedup": "",
        "document": "", "page": "", "words": "", "hook": "",
        "content": "WHERE NOT EXISTS (SELECT FROM cloudsync.staging s WHERE s.content_id = content.content_id)",
        "chunk": "WHERE NOT EXISTS (SELECT FROM cloudsync.staging s WHERE s.content_id = chunk.content_id)",
        "total": "", "tally": "",
        "run": "WHERE state NOT IN (''queued'', ''running'')",
        "run_file": "WHERE EXISTS (SELECT FROM cloudsync.run r WHERE r.run_id = run_file.run_id AND r.state NOT IN (''queued'', ''running''))"}';
    left_out CONSTANT text[] := '{consent, installation, change, due, backfill, staging, trash_log, ocr_sandbox}';
    one record;
BEGIN
    FOR one IN
        SELECT c.relname FROM pg_catalog.pg_class c
        WHERE c.relnamespace OPERATOR(pg_catalog.=) 'cloudsync'::pg_catalog.regnamespace AND c.relkind OPERATOR(pg_catalog.=) 'r'
          AND NOT filters OPERATOR(pg_catalog.?) c.relname::text AND c.relname::text OPERATOR(pg_catalog.<>) ALL (left_out)
    LOOP
        RAISE EXCEPTION 'sql/grants.sql does not say whether pg_dump carries table %', one.relname;
    END LOOP;
    FOR one IN SELECT f.key, f.value FROM pg_catalog.jsonb_each_text(filters) f LOOP
        PERFORM pg_catalog.pg_extension_config_dump(pg_catalog.format('cloudsync.%I', one.key)::pg_catalog.regclass, one.value);
    END LOOP;
    -- a table's numbers go on where they were
    FOR one IN
        SELECT d.objid::pg_catalog.regclass AS sequence
        FROM pg_catalog.pg_depend d
        JOIN pg_catalog.pg_class s ON s.oid OPERATOR(pg_catalog.=) d.objid AND s.relkind OPERATOR(pg_catalog.=) 'S'
        JOIN pg_catalog.pg_class t ON t.oid OPERATOR(pg_catalog.=) d.refobjid
            AND t.relnamespace OPERATOR(pg_catalog.=) 'cloudsync'::pg_catalog.regnamespace
        WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
          AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
          AND d.deptype OPERATOR(pg_catalog.=) 'a'
          AND filters OPERATOR(pg_catalog.?) t.relname::text
    LOOP
        PERFORM pg_catalog.pg_extension_config_dump(one.sequence, '');
    END LOOP;
END
$$;
