# Workers are stopped, killed and started again, one connection is served by one
# of them at a time, and what was under way is done once (W2, W5, W7, W9).
use strict;
use warnings;

use CloudsyncTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('processes', conf => "cloudsync.max_workers = 2\ncloudsync.stability_delay = '5min'\nrestart_after_crash = on\n");
my $root = local_root($node);
# In milliseconds: how long pg_terminate_backend waits for what is to end at once.
my $patience = 1000 * $PostgreSQL::Test::Utils::timeout_default;
create_extension($node);

sub workers
{
	return worker_pids($node, 'cloudsync worker', 'postgres');
}

sub of_type
{
	my ($type) = @_;
	return "SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'cloudsync $type'";
}

for my $n (1 .. 4)
{
	write_file("$root/in$n/file.txt", "file $n");
	$node->safe_psql('postgres', <<"SQL");
SELECT cloudsync_connect('local', 'store$n', options => '{"path": "/in$n"}');
SELECT cloudsync_add_recipient('clerk') WHERE $n = 1;
SELECT cloudsync_create_channel('store$n', 'scans$n', ARRAY['/'], 'clerk', 'tray', auto_collect => false);
SQL
}

# --- start and end ----------------------------------------------------------------
is(scalar_sql($node, of_type('worker'), 'template1'), 'f', 'nobody works when there is no work');
my $rolled_back = $node->safe_psql('postgres', "BEGIN; SELECT cloudsync_collect('scans1'); ROLLBACK");
my $run = $node->safe_psql('postgres', "SELECT cloudsync_collect('scans1')");
ok(wait_for($node, "SELECT state = 'running' FROM cloudsync.history WHERE run_id = $run"), 'work starts by itself');

for my $type (qw(worker scheduler launcher))
{
	my $old = worker_pid($node, "cloudsync $type");
	$node->safe_psql('template1', "SELECT pg_terminate_backend($old, $patience)");
	is(scalar_sql($node, "SELECT count(*) FROM pg_stat_activity WHERE pid = $old", 'template1'), 0,
		"the $type ends when told to");
	ok(wait_for($node, of_type($type) . " AND pid <> $old", 't', 'template1'), "the $type comes back");
}
ok(wait_for($node, "SELECT state = 'running' FROM cloudsync.history WHERE run_id = $run"),
	'the run goes on under its number');

# --- reload --------------------------------------------------------------------------
$node->safe_psql('postgres', "ALTER SYSTEM SET cloudsync.enabled = off");
$node->reload;
ok(wait_for($node, "SELECT NOT (" . of_type('worker') . ")"), 'cloudsync.enabled = off ends the workers');
is(run_state($node, $run), 'queued', '... and what they did is queued again');
$node->safe_psql('postgres', "ALTER SYSTEM SET cloudsync.enabled = on");
$node->safe_psql('postgres', "ALTER SYSTEM SET cloudsync.stability_delay = 0");
$node->reload;
$node->safe_psql('postgres', "SELECT cloudsync_suspend(); SELECT cloudsync_resume()");
ok(wait_run($node, $run), '... until it is on again');
is(scalar_sql($node, "SELECT count(*) FROM cloudsync.document WHERE name = 'file.txt'"), 1, 'collected once');

# --- told to end again and again ----------------------------------------------------------
# Whoever fails is started later and later; whoever leaves as told is not.
$node->safe_psql('postgres', "ALTER SYSTEM SET cloudsync.stability_delay = '5min'");
$node->reload;
write_file("$root/in1/again.txt", 'again');
$run = $node->safe_psql('postgres', "SELECT cloudsync_collect('scans1')");
my $offset = log_offset($node);
for my $n (1 .. 10)
{
	wait_for($node, "SELECT state = 'running' FROM cloudsync.history WHERE run_id = $run") or last;
	$node->safe_psql('postgres', 'SELECT cloudsync_suspend()');
	wait_for($node, "SELECT NOT (" . of_type('worker') . ")") or last;
	$node->safe_psql('postgres', 'SELECT cloudsync_resume()');
}
ok(wait_for($node, "SELECT state = 'running' FROM cloudsync.history WHERE run_id = $run"), 'suspended and resumed ten times, the run goes on');
unlike(substr(slurp_file($node->logfile), $offset), qr/another one is started in/, '... and nobody counts as failed, who would be started later and later');
$node->safe_psql('postgres', "SELECT cloudsync_cancel($run)");
ok(wait_for($node, "SELECT finished_at IS NOT NULL FROM cloudsync.history WHERE run_id = $run"), '... until it is cancelled');
unlink "$root/in1/again.txt";

# --- one connection, one worker; many connections, several --------------------------------
$node->safe_psql('postgres', "ALTER SYSTEM SET cloudsync.stability_delay = '5min'");
$node->reload;
write_file("$root/in$_/more.txt", "more $_") foreach 1 .. 4;
$node->safe_psql('postgres', "SELECT cloudsync_collect('scans$_')") foreach 1 .. 4;
ok(wait_for($node, "SELECT count(*) = 4 FROM cloudsync.history WHERE state = 'running'"), 'four connections are served');
is(scalar(workers()), 2, '... by as many workers as there may be');
is(scalar_sql($node, <<'SQL'), 4, 'each by one lease');
SELECT count(DISTINCT objid) FROM pg_locks
WHERE locktype = 'advisory' AND objsubid > 2 AND objid > 0 AND granted AND mode = 'ExclusiveLock'
  AND pid IN (SELECT pid FROM pg_stat_activity WHERE backend_type = 'cloudsync worker')
SQL
is(scalar_sql($node, <<'SQL'), 0, '... and none by two');
SELECT count(*) FROM (SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND objsubid > 2 AND objid > 0 AND granted
  GROUP BY objid HAVING count(*) > 1) twice
SQL
my ($rc, $out, $err) = $node->psql('postgres', 'SELECT pg_advisory_lock(1), pg_advisory_lock(0, 1), pg_advisory_lock(0, 2)',
	timeout => $PostgreSQL::Test::Utils::timeout_default);
is($rc, 0, 'locks that SQL takes are others');
is(scalar_sql($node, "SELECT count(*) FROM cloudsync.activity WHERE phase <> '' AND pid > 0"), 4, 'cloudsync.activity shows them');
like($node->safe_psql('postgres', "SELECT string_agg(query, ' ') FROM pg_stat_activity WHERE backend_type = 'cloudsync worker'"),
	qr/for connection "store\d"/, 'pg_stat_activity names the connection');
is(scalar_sql($node, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%store%'"), 0, '... but not in application_name');

# --- disabling and cancelling -----------------------------------------------------------
my $last = scalar_sql($node, "SELECT max(run_id) FROM cloudsync.history");
is($node->safe_psql('postgres', "SELECT cloudsync_cancel($last)"), 't', 'a run is cancelled');
ok(wait_for($node, "SELECT state = 'cancelled' FROM cloudsync.history WHERE run_id = $last"), '... by the worker');

# --- kill -9 and fast shutdown in the middle of it ------------------------------------------
my $killed = (workers())[0];
my $offset_of_kill = log_offset($node);
kill 9, $killed;
ok($node->wait_for_log(qr/\(PID $killed\) was terminated by signal 9/, $offset_of_kill)
	  && $node->wait_for_log(qr/database system is ready to accept connections/, $offset_of_kill), 'a worker is killed, and the server is up again');
ok(wait_for($node, "SELECT count(*) = 3 FROM cloudsync.activity WHERE phase <> '' AND pid > 0"),
	'... and the runs go on');
ok($node->stop('fast', fail_ok => 1), 'fast shutdown waits for none of the runs, which last for minutes');
$node->append_conf('postgresql.conf', "cloudsync.stability_delay = 0\n");
unlink $node->data_dir . '/postgresql.auto.conf';
$node->start;
ok(wait_for($node, "SELECT count(*) = 0 FROM cloudsync.run WHERE state IN ('running', 'queued')"), 'started again, they are done');
is(scalar_sql($node, "SELECT count(*), count(DISTINCT (connection_id, name)) FROM cloudsync.document"), '6|6', 'each file once');

# --- in the middle of bytes --------------------------------------------------------------
system('truncate', '-s', '200M', "$root/in2/large.bin") == 0 or die 'truncate failed';
$run = $node->safe_psql('postgres', "SELECT cloudsync_collect('scans2')");
# by one session, which has no process to start between the first bytes and the end
my ($progress, $ended) = split /\n/, $node->safe_psql('postgres', <<"SQL");
DO \$\$ BEGIN
	WHILE (SELECT count(*) FROM cloudsync.chunk c JOIN cloudsync.staging s USING (content_id)) < 3 LOOP
		PERFORM pg_sleep(0.01);
	END LOOP;
END \$\$;
SELECT cloudsync_progress($run);
SELECT bool_and(pg_terminate_backend(pid, $patience)) FROM pg_stat_activity WHERE backend_type = 'cloudsync worker';
SQL
like($progress, qr/^collect $run /, 'while bytes move, cloudsync_progress is a line');
is($ended, 't', 'a worker ends in the middle of a transfer');
ok(wait_run($node, $run), 'another one finishes the run');
cmp_ok(scalar_sql($node, "SELECT attempts FROM cloudsync.history WHERE run_id = $run"), '>=', 2, '... which the first one did not wait for');
is(scalar_sql($node, "SELECT count(*) FROM cloudsync.document WHERE name = 'large.bin'"), 1, 'the file is there once');
is(scalar_sql($node, "SELECT count(*) FROM cloudsync.staging"), 0, 'nothing is left half received');

# --- idle ------------------------------------------------------------------------------------
ok(wait_for($node, "SELECT NOT (" . of_type('worker') . ")", 't', 'template1'), 'idle workers leave');
is(scalar_sql($node, of_type('scheduler')), 't', 'the scheduler stays');

# --- the end of the server --------------------------------------------------------------------
ok(wait_for($node, "SELECT count(*) = 2 AND bool_and(wait_event_type = 'Extension') FROM pg_stat_activity WHERE backend_type LIKE 'cloudsync %'",
		't', 'template1'), 'launcher and scheduler wait');
$offset = log_offset($node);
$node->stop('fast');
# a session's line has its program's name there, and the session that asked last may still be leaving
unlike(substr(slurp_file($node->logfile), $offset), qr/\[\d+\] FATAL/, '... and end without a word');
done_testing();
