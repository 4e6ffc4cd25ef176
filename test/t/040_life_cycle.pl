# Workers start by themselves where the extension is, and stand in the way of no
# command on databases or the extension, also in the middle of a run (W1, W8).
use strict;
use warnings;

use CloudsyncTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('life', conf => "cloudsync.stability_delay = '1h'\n");
my $root = local_root($node);

sub processes
{
	my ($db) = @_;
	return scalar_sql($node,
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'cloudsync %' AND datname = '$db'",
		'template1');
}

# The scheduler of the database is there.
sub scheduled
{
	my ($db) = @_;
	return wait_for($node,
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'cloudsync scheduler' AND datname = '$db'",
		't', 'template1');
}

# A run that waits for its file to be stable: somebody is in the middle of work.
sub begin_run
{
	my ($db) = @_;
	write_file("$root/in/$db.txt", 'still growing');
	$node->safe_psql($db, <<"SQL");
SELECT cloudsync_connect('local', 'store');
SELECT cloudsync_add_recipient('clerk');
SELECT cloudsync_create_channel('store', 'scans', ARRAY['/in'], 'clerk', 'tray', auto_collect => false);
SQL
	return go_on($db);
}

sub go_on
{
	my ($db) = @_;
	my $run = $node->safe_psql($db, "SELECT cloudsync_collect('scans')");
	wait_for($node, "SELECT state = 'running' FROM cloudsync.history WHERE run_id = $run", 't', $db)
	  or return;
	return $run;
}

# Runs a command in a session of its own, which waits for no run: they last as
# long as their files are not stable, which is longer than the tests wait.
sub command
{
	my ($db, $sql) = @_;
	my ($rc, $out, $err) = $node->psql($db, $sql,
		timeout => $PostgreSQL::Test::Utils::timeout_default, timed_out => \my $timed_out);
	return $timed_out ? (-1, 'timed out') : ($rc, $err);
}

# The run that the command met is still under way.
sub not_waited_for
{
	my ($db) = @_;
	return is(scalar_sql($node, "SELECT count(*) FROM cloudsync.run WHERE state NOT IN ('running', 'queued') AND kind = 'collect'", $db),
		0, '... without waiting for the run');
}

is(worker_pid($node, 'cloudsync launcher') > 0, 1, 'the launcher runs');
$node->safe_psql('postgres', "CREATE DATABASE $_") foreach qw(one two plain);

# --- CREATE EXTENSION --------------------------------------------------------------
create_extension($node, 'one');
create_extension($node, 'two');
ok(scheduled('one') && scheduled('two'), 'two databases with the extension have a scheduler each');
ok(wait_for($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'cloudsync %' AND datname = 'plain'",
		't', 'template1'), 'a database without it has no process');

# ... while a scheduler that has found none is on its way out
crash_at($node, 'scheduler.leave');
my $leaving = "SELECT count(*) = 1 FROM pg_stat_activity WHERE query = 'scheduler.leave' AND datname = '%s'";
$node->safe_psql('postgres', "CREATE DATABASE early");
ok(wait_for($node, sprintf($leaving, 'early'), 't', 'template1'), 'a scheduler has found no extension');
create_extension($node, 'early');
# the launcher has been told of it before it is told of this
$node->safe_psql('postgres', "CREATE DATABASE later");
ok(wait_for($node, sprintf($leaving, 'later'), 't', 'template1'), '... the launcher has heard of one meanwhile');
crash_at($node, '');
ok(wait_for($node, "SELECT NOT (" . sprintf($leaving, 'early') . ")", 't', 'template1') && scheduled('early'),
	'... and another scheduler stays');
$node->safe_psql('postgres', "DROP DATABASE $_") foreach qw(early later);

$node->safe_psql('plain', "SET client_min_messages = error; BEGIN; CREATE EXTENSION cloudsync; ROLLBACK");
my $offset = log_offset($node);
$node->safe_psql('postgres', 'CREATE DATABASE another');
ok(wait_for($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'another'", 't', 'template1'),
	'a new database is looked at');
is(processes('plain'), 0, 'CREATE EXTENSION rolled back starts nothing');

# --- while a run is under way --------------------------------------------------------
ok(begin_run('one') && begin_run('two'), 'runs are under way in two databases at once');
isnt(worker_pid($node, 'cloudsync worker', 'one'), worker_pid($node, 'cloudsync worker', 'two'),
	'by workers of their own');

my ($rc, $err) = command('postgres', 'DROP DATABASE another');
is($rc, 0, 'DROP DATABASE of another database') or diag($err);
not_waited_for('one');

($rc, $err) = command('postgres', 'ALTER DATABASE one RENAME TO uno');
is($rc, 0, 'RENAME in the middle of a run') or diag($err);
not_waited_for('uno');
ok(scheduled('uno'), '... and the workers come back');
ok(wait_for($node, "SELECT count(*) = 1 FROM cloudsync.run WHERE state = 'running'", 't', 'uno'),
	'... to the run that they left');

($rc, $err) = command('postgres', 'BEGIN; ALTER DATABASE uno RENAME TO eins; ROLLBACK');
is($rc, 0, 'RENAME that is rolled back') or diag($err);
ok(scheduled('uno'), '... brings the workers back');

$node->safe_psql('postgres', 'CREATE ROLE nobody LOGIN');
my $pid = worker_pid($node, 'cloudsync scheduler', 'uno');
(undef, undef, $err) = $node->psql('postgres', 'DROP DATABASE uno', extra_params => [ '-U', 'nobody' ]);
like($err, qr/must be owner/, 'who may not drop a database');
is(worker_pid($node, 'cloudsync scheduler', 'uno'), $pid, '... disturbs nobody in it');

# --- a copy ------------------------------------------------------------------------
($rc, $err) = command('postgres', 'CREATE DATABASE copy TEMPLATE uno');
is($rc, 0, 'CREATE DATABASE with it as template') or diag($err);
ok(scheduled('copy') && scheduled('uno'), '... has workers, and so has the template again');
like($node->safe_psql('copy', 'SELECT problem FROM cloudsync_status()'),
	qr/suspended.*template/, 'the copy is suspended and says so');
(undef, undef, $err) = $node->psql('copy', 'CALL cloudsync_run()', timeout => $PostgreSQL::Test::Utils::timeout_default, timed_out => \my $timed_out);
like($err, qr/cloudsync is suspended/, '... and does nothing when told to');
is(scalar_sql($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'cloudsync worker' AND datname = 'copy'"),
	0, '... nor by itself');
$node->safe_psql('copy', 'SELECT cloudsync_resume()');
is($node->safe_psql('copy', 'SELECT count(*) FROM cloudsync_status()'), 0, 'resumed, all is well');
$node->safe_psql('copy', 'SELECT cloudsync_suspend()');
like($node->safe_psql('copy', 'SELECT problem FROM cloudsync_status()'),
	qr/suspended by postgres/, 'suspended by hand');
$node->safe_psql('copy', "SET client_min_messages = error; SELECT cloudsync_resume(); SELECT cloudsync_detach()");
is($node->safe_psql('copy', 'SELECT state FROM cloudsync.connections'), 'disabled',
	'detaching disables the connections');

# --- tablespace --------------------------------------------------------------------
my $space = PostgreSQL::Test::Utils::tempdir();
$node->safe_psql('postgres', "CREATE TABLESPACE elsewhere LOCATION '$space'");
($rc, $err) = command('postgres', 'ALTER DATABASE uno SET TABLESPACE elsewhere');
is($rc, 0, 'SET TABLESPACE in the middle of a run') or diag($err);
ok(scheduled('uno'), '... and the workers come back');

# --- DROP ----------------------------------------------------------------------------
($rc, $err) = command('uno', 'BEGIN; DROP EXTENSION cloudsync CASCADE; ROLLBACK');
is($rc, 0, 'DROP EXTENSION that is rolled back') or diag($err);
ok(scheduled('uno'), '... brings the workers back');
ok(wait_for($node, "SELECT count(*) = 1 FROM cloudsync.run WHERE state = 'running'", 't', 'uno'),
	'... to the run that they left');
not_waited_for('uno');
($rc, $err) = command('uno', 'DROP EXTENSION cloudsync CASCADE');
is($rc, 0, 'DROP EXTENSION in the middle of a run') or diag($err);
ok(wait_for($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'cloudsync %' AND datname = 'uno'",
		't', 'template1'), 'nothing is left in a database without the extension');
create_extension($node, 'uno');
ok(scheduled('uno'), 'made again, it works again');

# --- DROP of what takes it along -------------------------------------------------------
sub processes_of
{
	my ($db) = @_;
	return map { worker_pids($node, "cloudsync $_", $db) } qw(scheduler worker);
}

sub goes_with
{
	my ($sql, $make_again) = @_;
	my $start = log_offset($node);
	ok(begin_run('uno'), "$sql: a run is under way");
	my @pids = processes_of('uno');
	is(scalar @pids, 2, '... by a worker of the scheduler');
	($rc, $err) = command('uno', "BEGIN; $sql; ROLLBACK");
	is($rc, 0, '... rolled back') or diag($err);
	ok(scheduled('uno') && wait_for($node, "SELECT count(*) = 1 FROM cloudsync.activity WHERE pid <> ALL ('{" . join(',', @pids) . "}')", 't', 'uno'),
		'... others than those that were there come back to the run');
	not_waited_for('uno');
	my $left = $node->safe_psql('uno', "BEGIN; $sql;
		SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'cloudsync %' AND datname = 'uno'; COMMIT");
	is($left, 0, '... it ends and holds them');
	ok(wait_for($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'cloudsync %' AND datname = 'uno'",
			't', 'template1'), '... nothing is left');
	unlike(substr(slurp_file($node->logfile), $start), qr/does not exist|deadlock detected/, '... nobody missed anything');
	$node->safe_psql('uno', "SET client_min_messages = error; $make_again CREATE EXTENSION cloudsync");
	ok(scheduled('uno'), '... made again, it works again');
	return;
}
$node->safe_psql('postgres', 'CREATE ROLE vendor SUPERUSER');
goes_with('DROP SCHEMA public CASCADE', 'CREATE SCHEMA public; SET ROLE vendor;');
goes_with('DROP OWNED BY vendor CASCADE', '');
goes_with('DROP EXTENSION plpgsql CASCADE', 'CREATE EXTENSION plpgsql;');

($rc, $err) = command('postgres', 'DROP DATABASE two');
is($rc, 0, 'DROP DATABASE in the middle of a run') or diag($err);
($rc, $err) = command('postgres', 'DROP DATABASE copy WITH (FORCE)');
is($rc, 0, 'DROP DATABASE WITH (FORCE)') or diag($err);

unlike(slurp_file($node->logfile), qr/WARNING:  cloudsync|PANIC|TRAP|by signal/, 'no warning in the log');

# A launcher that starts anew finds what is there.
$node->safe_psql('template1', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'cloudsync launcher'");
ok(worker_pid($node, 'cloudsync launcher') && scheduled('uno'), 'the launcher comes back when it was ended');

$node->stop('fast');
done_testing();
