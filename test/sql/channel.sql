-- Recipients and channels: what is refused when it is set, and that nothing
-- changes then; what repeating changes (L1, L4, L7, L12).
SET client_min_messages = error;
CREATE EXTENSION cloudsync;
RESET client_min_messages;
\set SHOW_CONTEXT never
SET timezone = 'UTC';

SELECT cloudsync_connect('local', 'Box') IS NOT NULL AS connected;
SELECT cloudsync_create_channel('Box', 'mail', '{/Inbox}', 'ann', 'Mail');
SELECT cloudsync_add_recipient('');
SELECT cloudsync_add_recipient('ann') = cloudsync_add_recipient('ann') AS same;
SELECT cloudsync_add_recipient('expert', 'e@example.org', true) > 0 AS external;
SELECT tenant, name, email, external FROM cloudsync.recipient ORDER BY name;

-- refused, each with its reason
SELECT cloudsync_create_channel('Nobox', 'mail', '{/Inbox}', 'ann', 'Mail');
SELECT cloudsync_create_channel('Box', '', '{/Inbox}', 'ann', 'Mail');
SELECT cloudsync_create_channel('Box', 'mail', '{/Inbox}', NULL, 'Mail');
SELECT cloudsync_create_channel('Box', 'mail', '{/Inbox}', 'ann', ' ');
SELECT cloudsync_create_channel('Box', 'mail', '{}', 'ann', 'Mail');
SELECT cloudsync_create_channel('Box', 'mail', '{/Inbox/../..}', 'ann', 'Mail');
SELECT cloudsync_create_channel('Box', 'mail', '{/Inbox,/Inbox/2026}', 'ann', 'Mail');
SELECT cloudsync_create_channel('Box', 'mail', '{/Inbox,Inbox/}', 'ann', 'Mail');
SELECT cloudsync_create_channel('Box', 'mail', '{/Inbox}', 'ann', 'Mail', collect_every => '30 seconds');
SELECT cloudsync_create_channel('Box', 'mail', '{/Inbox}', 'ann', 'Mail', collect_every => '-1 day');
SELECT cloudsync_create_channel('Box', 'mail', '{/Inbox}', 'ann', 'Mail', collect_every => '100 years');
SELECT cloudsync_create_channel('Box', 'mail', '{/Inbox}', 'ann', 'Mail', time_zone => 'Europe/Atlantis');
SELECT cloudsync_create_channel('Box', 'mail', '{/Inbox}', 'ann', 'Mail', include => '{*.pdf,[a-}');
SELECT cloudsync_create_channel('Box', 'mail', '{/Inbox}', 'ann', 'Mail', max_size => -1);
SELECT cloudsync_create_channel('Box', 'mail', '{/Inbox}', 'ann', 'Mail', dedup => 'item');
SELECT cloudsync_create_channel('Box', 'mail', '{/Inbox}', 'ann', 'Mail', dedup => 'name');
SELECT cloudsync_create_channel('Box', 'mail', '{/Inbox}', 'ann', 'Mail', after_collect => 'delete');
SELECT cloudsync_create_channel('Box', 'mail', '{/Inbox}', 'ann', 'Mail', after_collect => 'move:/Inbox');
SELECT cloudsync_create_channel('Box', 'mail', '{/Inbox}', 'ann', 'Mail', after_collect => 'move:../x');
SELECT count(*) AS channels FROM cloudsync.channel;

-- made, and repeated
SELECT cloudsync_create_channel('Box', 'mail', '{/Inbox/}', 'ann', 'Mail', auto_collect => false) AS first \gset
SELECT cloudsync_create_channel('Box', 'mail', '{Inbox}', 'ann', 'Mail', auto_collect => false) = :first AS same;
SELECT count(*) AS audited FROM cloudsync.audit WHERE action ~ 'channel';
SELECT cloudsync_create_channel('Box', 'other', '{/Inbox/2026}', 'ann', 'Mail');
SELECT cloudsync_create_channel('Box', 'other', '{/}', 'ann', 'Mail');
SELECT cloudsync_create_channel('Box', 'other', '{/Inbox2}', 'ann', 'Mail', auto_collect => false) > :first AS beside;

-- altered: only what is given
SELECT cloudsync_alter_channel('mail', binder => 'Post', max_size => 1000, exclude => '{*.tmp}');
SELECT recipient, binder, max_size, exclude, collect_at, dedup FROM cloudsync.channel WHERE name = 'mail';
SELECT cloudsync_alter_channel('mail', max_size => 0);
SELECT binder, max_size FROM cloudsync.channel WHERE name = 'mail';
SELECT cloudsync_alter_channel('mail', recipient => 'nobody');
SELECT cloudsync_alter_channel('mail', folders => '{/Inbox2/sub}');
SELECT cloudsync_alter_channel('mail', name => 'other');
SELECT cloudsync_alter_channel('nochannel', binder => 'x');
SELECT cloudsync_alter_channel('mail', after_collect => 'move:Done/');
SELECT after_collect FROM cloudsync.channel WHERE name = 'mail';
SELECT action, subject, before -> 'binder' AS before, after -> 'binder' AS after FROM cloudsync.audit WHERE action ~ 'channel' ORDER BY audit_id;

-- automatic or not
SELECT next_collect_at IS NULL AS off FROM cloudsync.channel WHERE name = 'mail';
SELECT cloudsync_refresh_items('mail');
SELECT cloudsync_set_auto_sync('mail', NULL);
SELECT cloudsync_set_auto_sync('nochannel', true);
BEGIN;
SELECT cloudsync_set_auto_sync('mail', true);
SELECT next_collect_at <= clock_timestamp() AS at_once FROM cloudsync.channel WHERE name = 'mail';
ROLLBACK;

-- collected again: only what is there
SELECT cloudsync_recollect(4711);
SELECT cloudsync_content(4711);
SELECT cloudsync_read(4711, 0, 10);

-- the application's functions
CREATE FUNCTION good(bigint) RETURNS void LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION wrong(text) RETURNS void LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION a_set(bigint) RETURNS SETOF bigint LANGUAGE sql AS 'SELECT $1';
SELECT cloudsync_on_document('good');
SELECT cloudsync_on_document('good');
SELECT cloudsync_on_document('wrong');
SELECT cloudsync_on_document('a_set');
SELECT cloudsync_on_document('good', 'deleted');
SELECT fn, event FROM cloudsync.hook;
CREATE ROLE regress_cs_admin LOGIN;
GRANT cloudsync_admin TO regress_cs_admin;
SET ROLE regress_cs_admin;
SELECT cloudsync_on_document('good');
RESET ROLE;
DROP ROLE regress_cs_admin;

-- deleted, and made again
SELECT cloudsync_delete_channel('mail');
SELECT cloudsync_collect('mail');
SELECT cloudsync_create_channel('Box', 'mail', '{/Inbox}', 'ann', 'Mail', auto_collect => false) > :first AS a_new_one;
