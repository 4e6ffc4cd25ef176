# Who is woken and when, who is told, and what holds everything: rolled-back
# and prepared transactions (W4), NOTIFY (H4), cloudsync.hosts and
# cloudsync.enabled (W8), versions that do not go together (W12).
use strict;
use warnings;

use CloudsyncTest;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = new_cluster('wake', conf => "max_prepared_transactions = 5\n");
my $root = local_root($node);
create_extension($node);
write_file("$root/in/one.txt", 'one');
$node->safe_psql('postgres', <<'SQL');
SELECT cloudsync_connect('local', 'Store');
SELECT cloudsync_add_recipient('clerk');
SELECT cloudsync_create_channel('Store', 'scans', ARRAY['/in'], 'clerk', 'tray', auto_collect => false);
SQL

sub collect { return scalar_sql($node, "SELECT cloudsync_collect('scans')") }

# --- NOTIFY ------------------------------------------------------------------------
my ($in, $out) = ("LISTEN cloudsync;\n\\echo listening\n", '');
my $psql = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out);
$psql->pump until $out =~ /listening/;
my @shared = split /\|/, scalar_sql($node, "SELECT cloudsync_collect('scans'), cloudsync_collect('scans')");
ok(wait_run($node, $_), 'one of two calls that share an execution') foreach @shared;
my $run = collect();
ok(wait_run($node, $run), 'a collection');
my $end = time + $PostgreSQL::Test::Utils::timeout_default;
while ($out !~ /"run_id": $run\b/ && time < $end)
{
	$in .= "\\echo again\nSELECT 1;\n";
	$psql->pump until $in eq '';
	$psql->pump_nb;
}
$node->safe_psql('postgres', "SELECT cloudsync_disable('Store')");
while ($out !~ /"state": "disabled"/ && time < $end)
{
	$in .= "\\echo again\nSELECT 1;\n";
	$psql->pump until $in eq '';
	$psql->pump_nb;
}
$in .= "\\q\n";
$psql->finish;
is_deeply([ grep { /disabled/ } $out =~ /payload "(.*)" received/g ],
	['{"event": "connection", "connection_id": 1, "kind": "local", "state": "disabled"}'],
	'a listener is told once that a connection was disabled');
$node->safe_psql('postgres', "SELECT cloudsync_enable('Store')");
my @told = $out =~ /payload "(.*\b$run\b.*)" received/g;
is_deeply(\@told, [qq({"event": "run", "run_id": $run, "kind": "collect", "state": "succeeded"})],
	'a listener is told of the run\'s end once, in numbers and states');
is_deeply([ sort grep { !/"event": "connection"/ } $out =~ /payload "(.*)" received/g ],
	[ sort map { qq({"event": "run", "run_id": $_, "kind": "collect", "state": "succeeded"}) } @shared, $run ],
	'... of each run once, also of those that shared an execution, and of nothing else');

# --- rolled back -------------------------------------------------------------------
ok(wait_for($node, "SELECT count(*) = 0 FROM cloudsync.history WHERE finished_at IS NULL"), 'all is quiet');
my $begun = "SELECT string_agg(pid || ' ' || query_start, ',' ORDER BY pid) FROM pg_stat_activity WHERE backend_type IN ('cloudsync scheduler', 'cloudsync worker')";
my $same = 0;
# the scheduler's look of the minute may fall into one of the tries
for (1 .. 3)
{
	my $before = scalar_sql($node, $begun);
	$node->safe_psql('postgres', "BEGIN; SELECT cloudsync_collect('scans'), pg_notify('x', ''); ROLLBACK; SELECT pg_sleep(0.5)");
	$same = 1 if scalar_sql($node, $begun) eq $before;
	last if $same;
}
ok($same, 'a call that is rolled back wakes nobody');
my $before = scalar_sql($node, $begun);
my $looked = scalar_sql($node, 'SELECT max(query_start) FROM pg_stat_activity WHERE backend_type = \'cloudsync scheduler\'');
$run = collect();
ok(wait_run($node, $run), 'one that commits');
isnt(scalar_sql($node, $begun), $before, '... does');
is(scalar_sql($node, "SELECT started_at < GREATEST('$looked'::timestamptz, requested_at - interval '10 seconds') + interval '55 seconds' FROM cloudsync.history WHERE run_id = $run"), 't',
	'... which need not wait for the look of the minute');

# --- prepared ----------------------------------------------------------------------
$run = $node->safe_psql('postgres', "BEGIN; SELECT cloudsync_collect('scans'); PREPARE TRANSACTION 'later'");
$node->safe_psql('postgres', "COMMIT PREPARED 'later'");
$node->safe_psql('postgres', 'SELECT cloudsync.wake(true)');
ok(wait_run($node, $run), 'the work of a prepared transaction starts with the next look');

# --- held --------------------------------------------------------------------------
sub holds
{
	my ($what, $hold, $release, $problem) = @_;
	my $offset = log_offset($node);
	$hold->();
	$node->wait_for_log(qr/cloudsync does nothing in database/, $offset);
	my $held = collect();
	my (undef, undef, $err) = $node->psql('postgres', 'CALL cloudsync_run()');
	like($err, $problem, "$what: cloudsync_run refuses");
	like(scalar_sql($node, 'SELECT string_agg(concat_ws(\'|\', severity, problem, action), E\'\n\') FROM cloudsync_status()'),
		$problem, "$what: the status says so");
	ok(wait_for($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'cloudsync worker'"), "$what: workers leave");
	is(run_state($node, $held), 'queued', "$what: work waits");
	$release->();
	ok(wait_run($node, $held), "$what: ... and goes on");
	return;
}

sub set
{
	my ($name, $value) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET cloudsync.$name = '$value'");
	$node->reload;
	return;
}

holds('cloudsync.hosts', sub { set('hosts', 'elsewhere.example, other') }, sub { set('hosts', '') },
	qr/cloudsync\.hosts does not name this host/);
holds('cloudsync.enabled', sub { set('enabled', 'off') }, sub { set('enabled', 'on') },
	qr/cloudsync\.enabled is off/);
my $version = scalar_sql($node, "SELECT extversion FROM pg_extension WHERE extname = 'cloudsync'");
sub version
{
	$node->safe_psql('postgres', "UPDATE pg_extension SET extversion = '$_[0]' WHERE extname = 'cloudsync'; SELECT cloudsync.wake(true)");
	return;
}
holds('versions', sub { version('99.0') }, sub { version($version) },
	qr/extension in this database is version 99\.0.*ALTER EXTENSION cloudsync UPDATE/s);

$node->stop('fast');
done_testing();
