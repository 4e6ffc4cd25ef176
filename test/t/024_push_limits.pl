# Application code that hangs holds up no more than its own runs: a read of a
# tracked table that takes longer than cloudsync.read_timeout fails that
# dossier's run, which says so, and the same worker goes on with the rest.
use strict;
use warnings;

use CloudsyncTest;
use Test::More;

my $node = new_cluster('push_limits', conf => <<'CONF');
cloudsync.read_timeout = 500
cloudsync.max_workers = 1
CONF
create_extension($node);
application_schema($node);

# slow.dossier's label and the folder of slow.file's files come through a cast
# that sleeps for an hour when the row says so.
$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA slow;
CREATE TYPE slow.mood AS ENUM ('calm', 'slow', 'stubborn');
CREATE FUNCTION slow.mood_text(slow.mood) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF $1 = 'slow'::slow.mood THEN
        PERFORM pg_sleep(3600);
    ELSIF $1 = 'stubborn'::slow.mood THEN
        BEGIN
            PERFORM pg_sleep(3600);
        EXCEPTION WHEN query_canceled THEN
            NULL;
        END;
    END IF;
    RETURN textin(enum_out($1));
END
$$;
CREATE CAST (slow.mood AS text) WITH FUNCTION slow.mood_text(slow.mood);
CREATE TABLE slow.dossier (id bigint PRIMARY KEY, mood slow.mood);
CREATE TABLE slow.file (
    id bigint PRIMARY KEY,
    dossier_id bigint REFERENCES slow.dossier,
    name text,
    mood slow.mood,
    content bytea);
INSERT INTO slow.dossier VALUES (1, 'slow'), (2, 'stubborn'), (3, 'calm'), (4, 'calm'), (5, 'slow');
INSERT INTO slow.file VALUES (3, 3, 'three.txt', 'slow', 'three'), (4, 4, 'four.txt', 'calm', 'four');
ALTER TABLE app.dossier_file ADD mood text DEFAULT 'plain';
INSERT INTO app.dossier VALUES (1, 'Quick');
INSERT INTO app.dossier_file VALUES (1, 1, 'a.txt', 'quick');
SELECT cloudsync_connect('local', 'Drive');
SELECT cloudsync_set_push('Drive', auto_sync => false, folder => '{dossier_label}/{file.mood}');
SELECT cloudsync_track('app.dossier', 'app.dossier_file', label => 'title');
SELECT cloudsync_track('slow.dossier', 'slow.file', label => 'mood');
SQL

sub push_of
{
	my ($dossier, $table) = @_;
	return scalar_sql($node, "SELECT cloudsync_push_dossier('$dossier', 'Drive', dossiers => '$table')");
}

sub error_of
{
	my ($run) = @_;
	return scalar_sql($node, "SELECT error FROM cloudsync.history WHERE run_id = $run");
}

my $first = push_of(1, 'app.dossier');
ok(wait_run($node, $first), 'a push while all is well');
my $worker = worker_pid($node, 'cloudsync worker');

my $label = push_of(1, 'slow.dossier');
my $stubborn = push_of(2, 'slow.dossier');
my $name = push_of(3, 'slow.dossier');
my $calm = push_of(4, 'slow.dossier');
my $quick = push_of(1, 'app.dossier');
ok(wait_run($node, $label, 'failed'), 'a label that hangs fails its dossier\'s run');
is(error_of($label), 'reading table slow.dossier took longer than cloudsync.read_timeout (500 ms)',
	'and says why');
ok(wait_run($node, $stubborn, 'failed'), 'one that goes on after its cancellation too');
like(error_of($stubborn), qr/took longer than cloudsync\.read_timeout/, 'and says why');
ok(wait_run($node, $name, 'failed'), 'a file\'s folder that hangs');
is(error_of($name), 'reading table slow.file took longer than cloudsync.read_timeout (500 ms)',
	'and says why');
ok(wait_run($node, $calm), 'another dossier of the table is pushed');
ok(wait_run($node, $quick), 'a dossier of another table too');
is(worker_pid($node, 'cloudsync worker'), $worker, 'by the same worker');
is_deeply([ files_below(local_root($node)) ], [ 'CloudSync/Quick/plain/a.txt', 'CloudSync/calm/calm/four.txt' ],
	'what could be read is there');

# A lock that somebody holds for long is the same.
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; LOCK TABLE slow.file IN ACCESS EXCLUSIVE MODE');
my $locked = push_of(4, 'slow.dossier');
$quick = push_of(1, 'app.dossier');
ok(wait_run($node, $locked, 'failed'), 'a lock that is held for long fails the run');
like(error_of($locked), qr/slow\.file took longer than cloudsync\.read_timeout/, 'and says so');
ok(wait_run($node, $quick), 'and the worker goes on');
$holder->query_safe('ROLLBACK');
$holder->quit;
ok(wait_run($node, push_of(4, 'slow.dossier')), 'afterwards it is pushed');

# In a session, its own statement_timeout is the limit.
my ($rc, $out, $err) = $node->psql('postgres',
	"SET statement_timeout = '1500ms'; SELECT action FROM cloudsync_plan('Drive', '5')");
like($err, qr/statement timeout/, 'a plan in a session ends by its statement_timeout');

$node->stop('fast');
done_testing();
