-- Bad input of channels, recipients and documents is an error when it is set,
-- with an SQLSTATE and a HINT, and changes nothing (L1 to L12). What else is
-- refused is in refusals.
SET client_min_messages = warning;
CREATE EXTENSION cloudsync;
RESET client_min_messages;
\set ECHO none
\i sql/include/refused.sql
\set ECHO all

-- a channel that would be taken, but for the arguments given
CREATE FUNCTION create_refused(more text) RETURNS text LANGUAGE sql AS $$
    SELECT refused(format('SELECT cloudsync_create_channel(%s)', string_agg(key || ' => ' || value, ', ')))
    FROM jsonb_each_text($j$ {"connection": "'Drive'", "name": "'New'", "folders": "'{/New}'", "recipient": "'alice'", "binder": "'Mail'"} $j$
                         || more::jsonb)
$$;

SELECT state FROM cloudsync_connect('local', 'Drive', options => '{"path": "sql_refusals_channel"}');
SELECT cloudsync_add_recipient('alice') > 0;
SELECT cloudsync_create_channel('Drive', 'Scans', '{/Scans}', 'alice', 'Mail', auto_collect => false) > 0;
CALL wait_told();
SELECT everything() AS before \gset

-- recipients
SELECT refused($$ SELECT cloudsync_add_recipient('') $$);
SELECT refused($$ SELECT cloudsync_add_recipient(NULL) $$);
SELECT refused($$ SELECT cloudsync_add_recipient(E'al\nice') $$);
SELECT refused($$ SELECT cloudsync_add_recipient(repeat('x', 10000000)) $$);
SELECT refused($$ SELECT cloudsync_add_recipient('bob', repeat('x', 10000000)) $$);

-- new channels
SELECT create_refused($$ {"connection": "'nobody'"} $$);
SELECT create_refused($$ {"name": "''"} $$);
SELECT create_refused($$ {"name": "E'Sc\\nans'"} $$);
SELECT create_refused($$ {"name": "repeat('x', 10000000)"} $$);
SELECT refused($$ SELECT cloudsync_collect(NULL) $$);
SELECT create_refused($$ {"recipient": "'bob'"} $$);
SELECT create_refused($$ {"recipient": "NULL"} $$);
SELECT create_refused($$ {"binder": "''"} $$);
SELECT create_refused($$ {"binder": "NULL"} $$);
SELECT create_refused($$ {"folders": "'{}'"} $$);
SELECT create_refused($$ {"folders": "NULL"} $$);
SELECT create_refused($$ {"folders": "'{NULL}'"} $$);
SELECT create_refused($$ {"folders": "'{/a/../b}'"} $$);
SELECT create_refused($$ {"folders": "'{/a,/a/b}'"} $$);
SELECT create_refused($$ {"folders": "'{/a,a/}'"} $$);
SELECT create_refused($$ {"folders": "'{/Scans/deep}'"} $$);
SELECT create_refused($$ {"folders": "'{/}'"} $$);
SELECT create_refused($$ {"collect_every": "'30 seconds'"} $$);
SELECT create_refused($$ {"collect_every": "'-1 day'"} $$);
SELECT create_refused($$ {"collect_every": "'1000 years'"} $$);
SELECT create_refused($$ {"collect_at": "NULL"} $$);
SELECT create_refused($$ {"time_zone": "'Mars/Olympus'"} $$);
SELECT create_refused($$ {"time_zone": "''"} $$);
SELECT create_refused($$ {"include": "'{[a}'"} $$);
SELECT create_refused($$ {"include": "'{*.pdf,\"{a,b\"}'"} $$);
SELECT create_refused($$ {"exclude": "'{[z-a]}'"} $$);
SELECT create_refused($$ {"exclude": "'{\"\"}'"} $$);
SELECT create_refused($$ {"exclude": "'{NULL}'"} $$);
SELECT create_refused($$ {"max_size": "-1"} $$);
SELECT create_refused($$ {"dedup": "'guess'"} $$);
SELECT create_refused($$ {"dedup": "'item'"} $$);
SELECT create_refused($$ {"after_collect": "'delete'"} $$);
SELECT create_refused($$ {"after_collect": "'move:'"} $$);
SELECT create_refused($$ {"after_collect": "'move:/'"} $$);
SELECT create_refused($$ {"after_collect": "'move:/New'"} $$);
SELECT create_refused($$ {"after_collect": "'move:/../x'"} $$);

-- channels that there are
SELECT refused($$ SELECT cloudsync_alter_channel('nobody', binder => 'x') $$);
SELECT refused($$ SELECT cloudsync_alter_channel('Scans', recipient => 'bob') $$);
SELECT refused($$ SELECT cloudsync_alter_channel('Scans', binder => ' ') $$);
SELECT refused($$ SELECT cloudsync_alter_channel('Scans', collect_every => '0') $$);
SELECT refused($$ SELECT cloudsync_alter_channel('Scans', time_zone => 'Nowhere') $$);
SELECT refused($$ SELECT cloudsync_alter_channel('Scans', include => '{"a\\"}') $$);
SELECT refused($$ SELECT cloudsync_alter_channel('Scans', exclude => '{a//b}') $$);
SELECT refused($$ SELECT cloudsync_alter_channel('Scans', max_size => -1) $$);
SELECT refused($$ SELECT cloudsync_alter_channel('Scans', folders => '{}') $$);
SELECT refused($$ SELECT cloudsync_set_auto_sync('nobody', true) $$);
SELECT refused($$ SELECT cloudsync_set_auto_sync('Scans', NULL) $$);
SELECT refused($$ SELECT cloudsync_delete_channel('nobody') $$);
SELECT refused($$ SELECT cloudsync_collect('nobody') $$);
SELECT refused($$ SELECT cloudsync_refresh_items('nobody') $$);
-- auto sync is off (F3)
SELECT refused($$ SELECT cloudsync_refresh_items('Scans') $$);

-- documents and functions that are not there
SELECT refused($$ SELECT cloudsync_content(99) $$);
SELECT refused($$ SELECT cloudsync_read(99, 0, 10) $$);
SELECT refused($$ SELECT cloudsync_recollect(99) $$);
SELECT refused($$ SELECT cloudsync_on_document('pg_catalog.pi') $$);
SELECT refused($$ SELECT cloudsync_on_document(NULL) $$);

SELECT everything() = :'before' AS nothing_changed;

DROP EXTENSION cloudsync;
