# Application code that catches every cancellation in a loop without an end: the
# process that runs it ends when the limit has passed a second time, what it was
# doing fails and says why, and everything else goes on (W5, S3, B3).
use strict;
use warnings;

use CloudsyncTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('endless', conf => <<'CONF');
cloudsync.read_timeout = 500
cloudsync.hook_timeout = 500
cloudsync.max_workers = 1
CONF
my $root = local_root($node);
create_extension($node);
application_schema($node);

sub sql { return scalar_sql($node, $_[0]) }

# Loops in whichever place the value says.
sql(<<'SQL');
CREATE SCHEMA bad;
CREATE FUNCTION bad.loop() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	LOOP
		BEGIN
			PERFORM pg_sleep(1);
		EXCEPTION WHEN query_canceled OR assert_failure OR OTHERS THEN
			NULL;
		END;
	END LOOP;
END
$$;
CREATE FUNCTION bad.on_document(bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF (SELECT name FROM cloudsync.document WHERE document_id = $1) = 'bad.txt' THEN
		PERFORM bad.loop();
	END IF;
END
$$;
CREATE TYPE bad.mood AS ENUM ('calm', 'bad');
CREATE FUNCTION bad.mood_text(bad.mood) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF $1 = 'bad'::bad.mood THEN
		PERFORM bad.loop();
	END IF;
	RETURN textin(enum_out($1));
END
$$;
CREATE CAST (bad.mood AS text) WITH FUNCTION bad.mood_text(bad.mood);
SQL

my $gone = qr/took longer than cloudsync\.(?:hook|read)_timeout \(500 ms\) and did not let itself be cancelled/;

# --- a function for documents ---------------------------------------------------------
write_file("$root/box/in/$_.txt", "content of $_") foreach qw(a bad z);
sql(<<'SQL');
SELECT cloudsync_on_document('bad.on_document');
SELECT cloudsync_add_recipient('ann');
SELECT cloudsync_connect('local', 'Box', options => '{"path": "box"}');
SELECT cloudsync_create_channel('Box', 'in', ARRAY['/in'], 'ann', 'Mail', auto_collect => false);
SQL
my $run = sql(q{SELECT cloudsync_collect('in')});
ok(wait_run($node, $run, 'partial'), 'a document\'s function: the run ends');
is(sql(q{SELECT string_agg(name, ',' ORDER BY name) FROM cloudsync.document}), 'a.txt,z.txt', '... the others are collected');
is(sql("SELECT files_done, files_failed, attempts FROM cloudsync.history WHERE run_id = $run"), '2|1|2', '... by a second worker');
is(sql(q{SELECT state, attempts, next_try_at > now() FROM cloudsync.item WHERE name = 'bad.txt'}), 'failed|1|t', '... the document waits');
like(sql(q{SELECT reason FROM cloudsync.item WHERE name = 'bad.txt'}), $gone, '... and says why');
is(sql('SELECT count(*) FROM cloudsync.staging'), 0, '... of it nothing is left');
like(slurp_file($node->logfile), qr/cloudsync ends a process: function bad\.on_document\(bigint\) $gone/, 'the log says so');
sql(q{DROP FUNCTION bad.on_document});
$run = sql(q{SELECT cloudsync_collect('in')});
ok(wait_run($node, $run), 'put right, it is collected');

# What swallows the cancellation and then ends has taken too long all the same.
write_file("$root/box/in/slow.txt", 'content of slow');
sql(<<'SQL');
CREATE FUNCTION bad.slow(bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_sleep(100);
EXCEPTION WHEN query_canceled THEN
	NULL;
END
$$;
SELECT cloudsync_on_document('bad.slow');
SQL
$run = sql(q{SELECT cloudsync_collect('in')});
ok(wait_run($node, $run, 'partial'), 'a function that swallows the cancellation fails');
like(sql(q{SELECT reason FROM cloudsync.item WHERE name = 'slow.txt'}),
	qr/took longer than cloudsync\.hook_timeout \(500 ms\)$/, '... and its document says why');
is(sql(q{SELECT count(*) FROM cloudsync.document WHERE name = 'slow.txt'}), 0, '... which is not collected');
sql(q{DROP FUNCTION bad.slow});

# --- a tracked table, read for a push ------------------------------------------------------
sql(<<'SQL');
CREATE TABLE bad.dossier (id bigint PRIMARY KEY, mood bad.mood, title text);
CREATE TABLE bad.file (id bigint PRIMARY KEY, dossier_id bigint REFERENCES bad.dossier, name text, content bytea);
INSERT INTO bad.dossier VALUES (1, 'calm', 'Calm'), (2, 'bad', 'Bad');
INSERT INTO bad.file VALUES (1, 1, 'one.txt', 'one'), (2, 2, 'two.txt', 'two');
INSERT INTO app.dossier (id, title) VALUES (1, 'Quick');
INSERT INTO app.dossier_file (id, dossier_id, name, content) VALUES (1, 1, 'quick.txt', 'quick');
SELECT cloudsync_connect('local', 'Drive', options => '{"path": "drive"}');
SELECT cloudsync_set_push('Drive', auto_sync => false, folder => '{dossier_label}');
SELECT cloudsync_track('app.dossier', 'app.dossier_file', label => 'title');
SELECT cloudsync_track('bad.dossier', 'bad.file', label => 'mood');
SQL

sub push_of
{
	my ($dossier, $table) = @_;
	return sql("SELECT cloudsync_push_dossier('$dossier', 'Drive', dossiers => '$table')");
}

sub error_of
{
	my ($of) = @_;
	return sql("SELECT concat_ws(' ', r.error, (SELECT string_agg(f.error, ' ') FROM cloudsync.run_file f WHERE f.run_id = r.run_id))
		FROM cloudsync.history r WHERE run_id = $of");
}
my $bad = push_of(2, 'bad.dossier');
my $calm = push_of(1, 'bad.dossier');
my $quick = push_of(1, 'app.dossier');
ok(wait_run($node, $bad, 'failed'), 'a dossier\'s label: its run fails');
like(error_of($bad), $gone, '... and says why');
ok(wait_run($node, $calm), '... another dossier of the table is pushed');
ok(wait_run($node, $quick), '... and one of another table');
is(sql(q{SELECT attempts FROM cloudsync.due WHERE dossier = '2' AND start_at > now()}), 1, '... it waits before it is tried again');

# --- the tenant, read while changes are folded ----------------------------------------------
sql(<<'SQL');
CREATE TABLE bad.case (id bigint PRIMARY KEY, firm bad.mood);
CREATE TABLE bad.case_file (id bigint PRIMARY KEY, case_id bigint REFERENCES bad.case, name text, content bytea);
SELECT cloudsync_track('bad.case', 'bad.case_file', tenant => 'firm');
SELECT cloudsync_untrack('bad.dossier');
SELECT cloudsync_set_push('Drive', auto_sync => true, every => '1 second');
SQL
ok(wait_for($node, 'SELECT count(*) = 0 FROM cloudsync.backfill')
	&& wait_for($node, "SELECT count(*) = 0 FROM cloudsync.run WHERE state IN ('queued', 'running')"), 'all is noted');
my $scheduler = worker_pid($node, 'cloudsync scheduler', 'postgres');
# (the session that changes the case itself would run into the loop)
sql(q{SET cloudsync.capture = off; INSERT INTO bad.case VALUES (1, 'bad')});
sql(q{INSERT INTO bad.case_file VALUES (1, 1, 'one.txt', 'one')});
sql(q{INSERT INTO app.dossier (id, title) VALUES (7, 'Seven'); INSERT INTO app.dossier_file (id, dossier_id, name, content) VALUES (7, 7, 'seven.txt', 'seven')});
my $end = time + $PostgreSQL::Test::Utils::timeout_default;
select undef, undef, undef, 0.1 until time > $end || -e "$root/drive/CloudSync/Seven/seven.txt";
is(read_file("$root/drive/CloudSync/Seven/seven.txt"), 'seven', 'a tenant: the changes of another table are pushed');
isnt(worker_pid($node, 'cloudsync scheduler', 'postgres'), $scheduler, '... by another scheduler');
like(sql(q{SELECT last_error FROM cloudsync.dossier_table WHERE dossiers = 'bad.case'::regclass}), $gone, '... the table says why');
is(sql('SELECT count(*) > 0 FROM cloudsync.change'), 't', '... its change is kept');
# put right, it is folded
sql(q{CREATE OR REPLACE FUNCTION bad.loop() RETURNS void LANGUAGE sql AS ''});
# not in a minute, for which such a table is left alone, but now
sql(q{UPDATE cloudsync.dossier_table SET last_error = 'it was long ago' WHERE dossiers = 'bad.case'::regclass; SELECT cloudsync.wake(true)});
ok(wait_for($node, 'SELECT count(*) = 0 FROM cloudsync.change'), '... until it can be read');
ok(wait_for($node, q{SELECT last_error IS NULL FROM cloudsync.dossier_table WHERE dossiers = 'bad.case'::regclass}), '... and the error goes');

$node->stop('fast');
done_testing();
