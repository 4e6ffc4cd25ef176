# Without preload the same workers do the same work: for cloudsync_run, and
# kept by cloudsync_start_worker until the server's next restart (spec 2).
use strict;
use warnings;

use CloudsyncTest;
use Test::More;

my $node = new_cluster('plain', preload => 0);
my $root = local_root($node);
create_extension($node);
write_file("$root/in/one.txt", 'one');
$node->safe_psql('postgres', <<'SQL');
SELECT cloudsync_connect('local', 'store');
SELECT cloudsync_add_recipient('clerk');
SELECT cloudsync_create_channel('store', 'scans', ARRAY['/in'], 'clerk', 'tray', auto_collect => false);
SQL

sub processes
{
	return scalar_sql($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'cloudsync %'");
}

my (undef, undef, $err) = $node->psql('postgres', "SELECT cloudsync_collect('scans')");
my $run = scalar_sql($node, 'SELECT max(run_id) FROM cloudsync.history');
is(run_state($node, $run), 'queued', 'work waits');
is(processes(), 0, 'nothing runs by itself');
(undef, undef, $err) = $node->psql('postgres', 'CALL cloudsync_run()');
is($err, '', 'cloudsync_run');
is(run_state($node, $run), 'succeeded', '... does what is due');
is(scalar_sql($node, 'SELECT count(*) FROM cloudsync.document'), 1, '... and collects');
is(processes(), 0, '... and leaves nothing running');
(undef, undef, $err) = $node->psql('postgres', "SET statement_timeout = '20s'; CALL cloudsync_run('300000 years')");
is($err, '', '... and does not wait for work where there is none, however long it might');

(undef, undef, $err) = $node->psql('postgres', 'BEGIN; CALL cloudsync_run()');
like($err, qr/cannot run inside a transaction block/, 'not in a transaction block');
(undef, undef, $err) = $node->psql('postgres', "CALL cloudsync_run('0 s')");
like($err, qr/max_time must be positive/, 'a time that makes no sense');
$node->safe_psql('postgres', 'CREATE ROLE reader LOGIN IN ROLE cloudsync_reader');
(undef, undef, $err) = $node->psql('postgres', 'CALL cloudsync_run()', extra_params => [ '-U', 'reader' ]);
like($err, qr/permission denied/, 'not for readers');

# A run that lasts: the time given ends it, and so does a cancelled wait.
$node->append_conf('postgresql.conf', "cloudsync.stability_delay = '5min'\n");
$node->reload;
write_file("$root/in/two.txt", 'two');
$node->psql('postgres', "SELECT cloudsync_collect('scans')");
(undef, undef, $err) = $node->psql('postgres', "CALL cloudsync_run('1 s')");
is($err, '', 'cloudsync_run with a limit ends before the run, which lasts for minutes');
is(scalar_sql($node, "SELECT count(*) FROM cloudsync.run WHERE state = 'queued'"), 1, '... and what is left is queued');
(undef, undef, $err) = $node->psql('postgres', "SET statement_timeout = '1s'; CALL cloudsync_run()");
like($err, qr/statement timeout/, 'the wait can be interrupted');
ok(wait_for($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'cloudsync %'"), '... which ends the worker');

# A scheduler of one's own.
$node->append_conf('postgresql.conf', "cloudsync.stability_delay = 0\n");
$node->reload;
$node->safe_psql('postgres', 'SELECT cloudsync_start_worker()');
ok(worker_pid($node, 'cloudsync scheduler'), 'cloudsync_start_worker starts a scheduler');
ok(wait_for($node, "SELECT count(*) = 0 FROM cloudsync.run WHERE state IN ('queued', 'running')"), '... that does what waited');
# asleep for a while: it does not come by of itself
my $looked = "SELECT max(query_start) FROM pg_stat_activity WHERE backend_type = 'cloudsync scheduler'";
ok(wait_for($node, "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'cloudsync scheduler' AND query_start < now() - interval '3 seconds'"),
	'... and sleeps then');
$looked = scalar_sql($node, $looked);
write_file("$root/in/three.txt", 'three');
$run = $node->safe_psql('postgres', "SELECT cloudsync_collect('scans')");
ok(wait_run($node, $run), '... and what comes');
is(scalar_sql($node, "SELECT started_at < '$looked'::timestamptz + interval '55 seconds' FROM cloudsync.history WHERE run_id = $run"), 't',
	'... before its look of the minute');
(undef, undef, $err) = $node->psql('postgres', 'SELECT cloudsync_start_worker()');
like($err, qr/running already/, 'one is enough');
my $old = worker_pid($node, 'cloudsync scheduler');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($old, 5000)");
ok(wait_for($node, "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'cloudsync scheduler' AND pid <> $old"),
	'ended, it comes back');
is(scalar_sql($node, 'SELECT count(*) FROM cloudsync.document'), 3, 'each file once');
$node->safe_psql('postgres', "SET client_min_messages = error; DROP EXTENSION cloudsync CASCADE");
ok(wait_for($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'cloudsync %'"),
	'without the extension all leave');

$node->stop('fast');
done_testing();
