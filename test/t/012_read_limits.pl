# cloudsync.read_timeout holds wherever a tracked table is read: while its changes
# are folded, its dossiers noted for the first time, its content read slice by
# slice. A table that hangs holds up its own dossiers and no others (W5, S3).
use strict;
use warnings;

use CloudsyncTest;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

my $node = new_cluster('read_limits', conf => "cloudsync.read_timeout = 500\n");
my $root = local_root($node);
create_extension($node);
application_schema($node);
$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA slow;
CREATE TABLE slow.dossier (id bigint PRIMARY KEY, title text, tenant text);
CREATE TABLE slow.file (id bigint PRIMARY KEY, dossier_id bigint REFERENCES slow.dossier, name text, content bytea);
ALTER TABLE slow.file ALTER content SET STORAGE EXTERNAL;
INSERT INTO slow.dossier VALUES (1, 'Slow');
INSERT INTO slow.file VALUES (1, 1, 'f', 'slow');
INSERT INTO app.dossier VALUES (1, 'Quick');
INSERT INTO app.dossier_file VALUES (1, 1, 'f', 'quick');
SELECT cloudsync_track('slow.dossier', 'slow.file', tenant => 'tenant');
SELECT cloudsync_track('app.dossier', 'app.dossier_file');
SELECT cloudsync_connect('local', 'Drive');
SQL

# Somebody who locks a table and goes to lunch.
my ($in, $out) = ('', '');
my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out, IPC::Run::timeout(300));

sub say_there
{
	$out = '';
	$in .= "$_[0];\n\\echo answered\n";
	$session->pump until $out =~ /answered/;
	return;
}
my $timed_out = qr/reading table slow\.(?:dossier|file) took longer than cloudsync\.read_timeout \(500 ms\)/;
my $table_error = "SELECT max(last_error) FROM cloudsync.dossier_table WHERE last_error LIKE '%read_timeout%'";

# By the folder: a view that shows dossiers would wait for the lock as well.
sub arrives
{
	my ($path, $content, $what) = @_;
	my $end = Time::HiRes::time() + $PostgreSQL::Test::Utils::timeout_default;
	select undef, undef, undef, 0.05
	  until (read_file("$root/CloudSync/$path") // '') eq $content || Time::HiRes::time() > $end;
	return is(read_file("$root/CloudSync/$path"), $content, $what);
}

# --- dossiers noted for the first time ------------------------------------------------
say_there('BEGIN; LOCK TABLE slow.dossier');
$node->safe_psql('postgres', "SELECT cloudsync_set_push('Drive', every => '1 second')");
arrives('Quick/f', 'quick', 'noting existing dossiers: another table is pushed while one is locked');
ok(wait_for($node, "SELECT count(*) = 1 FROM ($table_error) x WHERE max IS NOT NULL"), '... which is given up');
like(scalar_sql($node, $table_error), $timed_out, '... and says why');
is(scalar_sql($node, 'SELECT count(*) FROM cloudsync.backfill'), 1, '... and is still to be noted');
say_there('ROLLBACK');
# not in a minute, but now
$node->safe_psql('postgres', "UPDATE cloudsync.backfill SET started_at = now(); SELECT cloudsync.wake(true)");
arrives('Slow/f', 'slow', 'unlocked, it is pushed');

# --- changes folded ---------------------------------------------------------------------
$node->append_conf('postgresql.conf', "cloudsync.enabled = off\n");
$node->reload;
ok(wait_for($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'cloudsync worker'"), 'held');
$node->safe_psql('postgres', "UPDATE slow.file SET content = 'slow again'; UPDATE app.dossier_file SET content = 'quick again'");
say_there('BEGIN; LOCK TABLE slow.dossier');
$node->append_conf('postgresql.conf', "cloudsync.enabled = on\n");
$node->reload;
arrives('Quick/f', 'quick again', 'changes folded: those of another table are pushed while one is locked');
is(read_file("$root/CloudSync/Slow/f"), 'slow', '... and those of that one are not');
ok(wait_for($node, "SELECT count(*) = 1 FROM ($table_error) x WHERE max IS NOT NULL"), '... which is given up');
like(scalar_sql($node, $table_error), $timed_out, '... and says why');
say_there('ROLLBACK');
# not in a minute, but now
$node->safe_psql('postgres', 'SELECT cloudsync.wake(true)');
arrives('Slow/f', 'slow again', 'unlocked, its change is not lost');

# --- content read in slices -----------------------------------------------------------------
$node->safe_psql('postgres', <<'SQL');
SELECT cloudsync_set_push('Drive', auto_sync => false);
INSERT INTO slow.dossier VALUES (2, 'Large');
INSERT INTO slow.file SELECT 2, 2, 'large', convert_to(repeat('0123456789abcdef', 13107200), 'UTF8');
INSERT INTO slow.file VALUES (3, 2, 'small', 'small');
SQL
my $run = scalar_sql($node, "SELECT cloudsync_push_dossier('2', 'Drive', dossiers => 'slow.dossier')");
# by the folder, since bytes move faster than a query
sub bytes_move
{
	my $stop = Time::HiRes::time() + $PostgreSQL::Test::Utils::timeout_default;
	while (Time::HiRes::time() < $stop)
	{
		return 1 if grep { (-s "$root/$_" // 0) > 1_000_000 } grep { m{\.part$} } files_below($root, parts => 1);
		select undef, undef, undef, 0.005;
	}
	return 0;
}
ok(bytes_move(), 'content is read');
say_there('BEGIN; LOCK TABLE slow.file');
my $quick = scalar_sql($node, "SELECT cloudsync_push_dossier('1', 'Drive', dossiers => 'app.dossier')");
ok(wait_run($node, $quick), 'content in slices: another dossier is pushed while the table is locked');
ok(wait_for($node, "SELECT finished_at IS NOT NULL FROM cloudsync.history WHERE run_id = $run"), 'the run ends');
my ($state, $error) = split /\|/, scalar_sql($node, "SELECT state, error FROM cloudsync.history WHERE run_id = $run");
like($state, qr/^(?:partial|failed)$/, '... not well');
like(scalar_sql($node, "SELECT concat_ws(' ', r.error, string_agg(f.error, ' ')) FROM cloudsync.history r
	LEFT JOIN cloudsync.run_file f USING (run_id) WHERE r.run_id = $run GROUP BY r.error"), $timed_out, '... and says why');
ok(!-e "$root/CloudSync/Large/large", '... nothing is there under the final name');
say_there('ROLLBACK');
ok(wait_run($node, scalar_sql($node, "SELECT cloudsync_push_dossier('2', 'Drive', dossiers => 'slow.dossier')")), 'unlocked, it is pushed');
is(-s "$root/CloudSync/Large/large", 209_715_200, '... whole');

# --- a view that shows what was never pushed ----------------------------------------------
$node->safe_psql('postgres', "INSERT INTO slow.dossier VALUES (3, 'Never'); SELECT cloudsync.wake(true)");
ok(wait_for($node, 'SELECT count(*) = 0 FROM cloudsync.change'), 'a dossier is added');
my $dossiers = "SELECT count(*) FROM cloudsync.dossiers WHERE dossiers = 'slow.dossier'::regclass";
say_there('BEGIN; LOCK TABLE slow.dossier, slow.file IN EXCLUSIVE MODE');
is(scalar_sql($node, $dossiers), 3, 'cloudsync.dossiers waits for no lock that lets others read');
say_there('ROLLBACK; BEGIN; LOCK TABLE slow.dossier');
my (undef, undef, $waited) = $node->psql('postgres', "SET statement_timeout = 500; $dossiers");
like($waited, qr/statement timeout/, '... but for one that does not');
is(scalar_sql($node, "SET lock_timeout = 500; $dossiers"), 2, '... as long as the session\'s lock_timeout, and leaves that table\'s out');
is(scalar_sql($node, "$dossiers AND state = 'synced'"), 2, '... unless it asks for another state');
say_there('ROLLBACK');

$in .= "\\q\n";
$session->finish;
$node->stop('fast');
done_testing();
