# The application's functions (B3): in the document's own subtransaction, as
# their owner, under a limit of time; a failure takes its document alone.
use strict;
use warnings;

use CloudsyncTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('collect_hook', conf => "cloudsync.hook_timeout = 500\n");
my $root = local_root($node);
create_extension($node);

sub sql { return $node->safe_psql('postgres', $_[0]) }

sql(<<'SQL');
CREATE ROLE app_owner;
CREATE SCHEMA app AUTHORIZATION app_owner;
GRANT cloudsync_admin TO app_owner;
SET ROLE app_owner;
CREATE TABLE app.arrived (document_id bigint, name text, bytes bytea, who text, session text);
CREATE FUNCTION app.on_document(bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	doc cloudsync.document;
BEGIN
	SELECT * INTO STRICT doc FROM cloudsync.document WHERE document_id = $1;
	IF doc.name = 'raise.txt' THEN
		RAISE EXCEPTION 'no % here', doc.name;
	ELSIF doc.name = 'sleep.txt' THEN
		PERFORM pg_sleep(60);
	ELSIF doc.name = 'loop.txt' THEN
		LOOP
			NULL;
		END LOOP;
	ELSIF doc.name = 'swallow.txt' THEN
		BEGIN
			PERFORM pg_sleep(60);
		EXCEPTION WHEN query_canceled THEN
			NULL;
		END;
	ELSIF doc.name = 'climb.txt' THEN
		EXECUTE 'SET ROLE postgres';
	ELSIF doc.name = 'divide.txt' THEN
		PERFORM 1 / 0;
	END IF;
	INSERT INTO app.arrived VALUES ($1, doc.name, public.cloudsync_content($1), current_user, session_user);
END
$$;
SELECT public.cloudsync_on_document('app.on_document');
RESET ROLE;
SELECT cloudsync_add_recipient('ann');
SELECT cloudsync_connect('local', 'Box');
SQL

write_file("$root/In/$_.txt", "content of $_") for qw(a raise sleep loop swallow climb divide z);
sql(q{SELECT cloudsync_create_channel('Box', 'in', ARRAY['/In'], 'ann', 'Mail', auto_collect => false)});
my $run = sql(q{SELECT cloudsync_collect('in')});
ok(wait_run($node, $run, 'partial'), 'the run is partial');
is(sql('SELECT string_agg(name, \',\' ORDER BY name) FROM cloudsync.document'), 'a.txt,z.txt', 'the good ones are collected');
is(sql('SELECT string_agg(name || convert_from(bytes, \'UTF8\') || who, \',\' ORDER BY name) FROM app.arrived'),
	'a.txtcontent of aapp_owner,z.txtcontent of zapp_owner', 'the function saw them, as its owner');
is(sql("SELECT files_done, files_failed FROM cloudsync.history WHERE run_id = $run"), '2|6', 'counted');
is(sql(q{SELECT state, count(*) FROM cloudsync.item WHERE kind = 'file' GROUP BY state ORDER BY state}), "collected|2\nfailed|6", 'items say so');
like(sql(q{SELECT reason FROM cloudsync.item WHERE name = 'raise.txt'}), qr/no raise\.txt here/, 'raise: its own words');
foreach my $slow (qw(sleep loop swallow))
{
	like(sql(qq{SELECT reason FROM cloudsync.item WHERE name = '$slow.txt'}),
		qr/app\.on_document\(bigint\) took longer than cloudsync\.hook_timeout/, "$slow: took too long");
}
like(sql(q{SELECT reason FROM cloudsync.item WHERE name = 'climb.txt'}), qr/security-restricted operation|security-definer function|permission denied/, 'climb: refused');
like(sql(q{SELECT reason FROM cloudsync.item WHERE name = 'divide.txt'}), qr/division by zero/, 'divide: as it is');
is(sql('SELECT count(*) FROM cloudsync.dedup'), 6, 'no dedup record of those that failed');
is(sql('SELECT count(*) FROM cloudsync.content'), 2, 'nor content');
is(sql(q{SELECT count(*) FROM cloudsync.item WHERE state = 'failed' AND next_try_at > now() AND attempts = 1}), 6, 'they are tried again later');

# the function is put right
sql(q{CREATE OR REPLACE FUNCTION app.on_document(bigint) RETURNS void LANGUAGE sql AS 'INSERT INTO app.arrived (document_id) VALUES ($1)'});
$run = sql(q{SELECT cloudsync_collect('in')});
ok(wait_run($node, $run), 'by hand: tried again at once');
is(sql('SELECT count(*), count(DISTINCT document_id) FROM cloudsync.document'), '8|8', 'and each is there once');
is(sql('SELECT count(*) FROM app.arrived'), 8, 'each was announced once');

# a deferred trigger of the owner does not run as the worker
sql(<<'SQL');
CREATE TABLE app.who (name text);
ALTER TABLE app.who OWNER TO app_owner;
CREATE FUNCTION app.note_who() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO app.who VALUES (current_user); RETURN NULL; END$$;
ALTER FUNCTION app.note_who() OWNER TO app_owner;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON app.arrived DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.note_who();
SQL
write_file("$root/In/late.txt", 'late');
$run = sql(q{SELECT cloudsync_collect('in')});
ok(wait_run($node, $run), 'collected with a deferred trigger');
is(sql('SELECT DISTINCT name FROM app.who'), 'app_owner', 'which ran as its owner');

# dropped: no longer asked
sql('DROP FUNCTION app.on_document');
write_file("$root/In/after.txt", 'after');
$run = sql(q{SELECT cloudsync_collect('in')});
ok(wait_run($node, $run), 'a dropped function stands in nobody\'s way');

$node->stop('fast');
done_testing();
