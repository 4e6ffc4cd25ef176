# A standby is silent; promoted, it goes on where the primary stopped (W6).
use strict;
use warnings;

use CloudsyncTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = new_cluster('primary', init => { allows_streaming => 1 }, conf => "cloudsync.stability_delay = '5min'\n");
my $root = local_root($primary);
create_extension($primary);
write_file("$root/in/one.txt", 'one');
$primary->safe_psql('postgres', <<'SQL');
SELECT cloudsync_connect('local', 'store');
SELECT cloudsync_add_recipient('clerk');
SELECT cloudsync_create_channel('store', 'scans', ARRAY['/in'], 'clerk', 'tray', auto_collect => false);
SQL
$primary->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'copy', has_streaming => 1);
$standby->start;

my $run = $primary->safe_psql('postgres', "SELECT cloudsync_collect('scans')");
ok(wait_for($primary, "SELECT state = 'running' FROM cloudsync.history WHERE run_id = $run"), 'the primary works');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
is(run_state($standby, $run), 'running', 'the standby knows');
is(scalar_sql($standby, "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'cloudsync %'"), 0, '... and is silent');
is(scalar_sql($standby, "SELECT count(*) FROM cloudsync_status()"), 0, '... and has nothing to say');
foreach my $call ('CALL cloudsync_run()', 'SELECT cloudsync_start_worker()', "SELECT * FROM cloudsync_browse('store')")
{
	my (undef, undef, $err) = $standby->psql('postgres', $call, timeout => $PostgreSQL::Test::Utils::timeout_default, timed_out => \my $timed_out);
	like($err, qr/standby/, "... and refuses $call");
}
is(scalar_sql($standby, "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'cloudsync %'"), 0, '... and nothing was started');

$primary->stop('immediate');
$standby->append_conf('postgresql.conf', "cloudsync.stability_delay = 0\n");
$standby->reload;
$standby->promote;
ok(worker_pid($standby, 'cloudsync scheduler'), 'promoted, it has workers');
ok(wait_run($standby, $run), 'the run of the lost primary is finished');
is(scalar_sql($standby, 'SELECT count(*) FROM cloudsync.document'), 1, '... once');
is(scalar_sql($standby, "SELECT string_agg(kind || ' ' || state, ',') FROM cloudsync.history WHERE run_id >= $run"),
	'collect succeeded', '... by the one run');
write_file("$root/in/two.txt", 'two');
ok(wait_run($standby, scalar_sql($standby, "SELECT cloudsync_collect('scans')")), 'what comes after is collected');
is(scalar_sql($standby, "SELECT string_agg(name, ',' ORDER BY name) FROM cloudsync.document"), 'one.txt,two.txt', '... and nothing again');

$standby->stop('fast');
done_testing();
