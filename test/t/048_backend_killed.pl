# A session that is killed, and the server's crash restart with it: of a
# transaction that had not committed nothing is pushed, of one that had all is,
# though its wake-up is lost; who waited for a run or browsed takes nothing along
# (P1, P2, P3, L5, W4).
use strict;
use warnings;

use CloudsyncTest;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('killed', conf => "restart_after_crash = on\n");
my $root = local_root($node);
create_extension($node);
application_schema($node);
$node->safe_psql('postgres', <<'SQL');
INSERT INTO app.dossier (id, title) SELECT n, 'D' || n FROM generate_series(1, 4) n;
INSERT INTO app.dossier_file (dossier_id, name, content) SELECT n, 'f', 'before' FROM generate_series(1, 4) n;
SELECT cloudsync_track('app.dossier', 'app.dossier_file');
SELECT cloudsync_connect('local', 'Drive', options => '{"path": "drive"}');
SELECT cloudsync_set_push('Drive', every => '1 second');
SELECT cloudsync_connect('local', 'Store', options => '{"path": "store"}');
SELECT cloudsync_add_recipient('clerk');
SELECT cloudsync_create_channel('Store', 'scans', ARRAY['/in'], 'clerk', 'tray', auto_collect => false);
SQL
my $quiet = q{SELECT count(*) = 0 FROM (SELECT FROM cloudsync.due UNION ALL SELECT FROM cloudsync.change
	UNION ALL SELECT FROM cloudsync.backfill UNION ALL SELECT FROM cloudsync.run WHERE state IN ('queued', 'running')) x};
ok( wait_for($node, q{SELECT count(*) = 4 FROM cloudsync.files WHERE state = 'synced'}) && wait_for($node, $quiet),
	'everything is pushed to begin with');

sub sql { return scalar_sql($node, $_[0]) }

# --- sessions ------------------------------------------------------------------------
sub session
{
	my %s = (in => '', out => '', err => '');
	$s{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ],
		'<', \$s{in}, '>', \$s{out}, '2>', \$s{err}, IPC::Run::timeout(2 * $PostgreSQL::Test::Utils::timeout_default));
	$s{pid} = ask(\%s, 'SELECT pg_backend_pid()');
	return \%s;
}

# Sends statements; what they gave.
sub ask
{
	my ($s, $sql) = @_;
	$s->{out} = '';
	$s->{in} .= "$sql;\n\\echo answered\n";
	$s->{run}->pump until $s->{out} =~ /answered/;
	(my $out = $s->{out}) =~ s/\n?answered\n//;
	return $out;
}

# Sends a statement that does not come back.
sub begin
{
	my ($s, $sql) = @_;
	# an echo before it, since pumping waits for something to come back
	$s->{out} = '';
	$s->{in} .= "\\echo begun\n$sql;\n";
	$s->{run}->pump until $s->{out} =~ /begun/;
	return;
}

# kill -9, and waits until the server is there again.
sub killed
{
	my ($s, @stopped) = @_;
	my $offset = log_offset($node);
	kill 9, $s->{pid};
	ok($node->wait_for_log(qr/(?:server process|client backend) \(PID $s->{pid}\) was terminated by signal 9/, $offset), 'a session is killed');
	# what was held would not hear that it is to go
	kill 'CONT', @stopped;
	eval { $s->{run}->finish };
	ok(wait_for($node, 'SELECT true'), '... and the server comes back');
	return;
}

# Names and contents below the folder that is pushed to.
sub pushed
{
	return join ' ', map { "$_=" . read_file("$root/drive/CloudSync/$_") } files_below("$root/drive/CloudSync", parts => 1);
}
is(pushed(), 'D1/f=before D2/f=before D3/f=before D4/f=before', 'as it is in the database');
my $runs = sql('SELECT count(*) FROM cloudsync.history');

# --- in the midst of a transaction ------------------------------------------------------
my $s = session();
ask($s, <<'SQL');
BEGIN;
UPDATE app.dossier_file SET content = 'never' WHERE dossier_id = 1;
UPDATE app.dossier SET title = 'Never' WHERE id = 2;
DELETE FROM app.dossier WHERE id = 4;
SAVEPOINT a;
INSERT INTO app.dossier (id, title) VALUES (9, 'Never either');
SELECT cloudsync_push_dossier('9', 'Drive'), cloudsync_push_dossier('1', 'Drive');
SELECT cloudsync_collect('scans')
SQL
killed($s);
$node->safe_psql('postgres', "UPDATE app.dossier_file SET content = 'after' WHERE dossier_id = 3");
ok(wait_for($node, "SELECT count(*) = 1 FROM cloudsync.history WHERE dossier = '3' AND state = 'succeeded' AND origin = 'auto'
	AND run_id = (SELECT max(run_id) FROM cloudsync.run)") && wait_for($node, $quiet), 'what is changed after it is pushed');
is(pushed(), 'D1/f=before D2/f=before D3/f=after D4/f=before', '... and nothing of what did not commit');
is(sql('SELECT count(*) FROM cloudsync.history'), ++$runs, '... nor is there a run of it');

# --- right after the commit: nobody was woken ----------------------------------------------
write_file("$root/store/in/one.txt", 'one');
my $scheduler = worker_pid($node, 'cloudsync scheduler');
$s = session();
kill 'STOP', $scheduler;
my $ids = ask($s, <<'SQL');
BEGIN;
UPDATE app.dossier_file SET content = 'committed' WHERE dossier_id = 1;
UPDATE app.dossier SET title = 'Committed' WHERE id = 2;
INSERT INTO app.dossier (id, title) VALUES (5, 'D5');
INSERT INTO app.dossier_file (dossier_id, name, content) VALUES (5, 'f', 'new');
SELECT cloudsync_push_dossier('5', 'Drive'), cloudsync_collect('scans');
COMMIT
SQL
killed($s, $scheduler);
my ($push, $collect) = $ids =~ /(\d+)\|(\d+)/;
ok(wait_run($node, $push), 'a committed call is served');
ok(wait_run($node, $collect), '... and another one');
ok( wait_for($node, q{SELECT count(*) = 5 FROM cloudsync.files WHERE state = 'synced'}) && wait_for($node, $quiet),
	'... and committed changes are pushed');
is(pushed(), 'Committed/f=before D1/f=committed D3/f=after D4/f=before D5/f=new', 'each file is there once, as it is in the database');
is(sql("SELECT string_agg(kind || dossier || ' ' || origin, ',' ORDER BY kind, dossier) FROM cloudsync.history WHERE run_id > $push AND kind = 'push'"),
	'push1 auto,push2 auto', 'each dossier was pushed once');
is(sql('SELECT count(*) FROM cloudsync.document'), 1, 'the document was collected once');

# --- a session that waits for a run --------------------------------------------------------
$node->append_conf('postgresql.conf', "cloudsync.stability_delay = '5min'\n");
$node->reload;
write_file("$root/store/in/two.txt", 'two');
my $run = sql("SELECT cloudsync_collect('scans')");
ok(wait_for($node, "SELECT state = 'running' FROM cloudsync.history WHERE run_id = $run"), 'a run that lasts');
$s = session();
begin($s, "CALL cloudsync_wait($run)");
ok(wait_for($node, "SELECT query LIKE 'CALL%' AND wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $s->{pid}"),
	'a session waits for it');
killed($s);
# a worker of the server that came up again may have begun to wait by the old setting
$node->stop('immediate', fail_ok => 1);
$node->append_conf('postgresql.conf', "cloudsync.stability_delay = 0\n");
$node->start;
ok(wait_run($node, $run), 'the run ends under its number');
is(sql('SELECT count(*), count(DISTINCT name) FROM cloudsync.document'), '2|2', '... and each document is there once');

# --- a session that browses: its worker is in the midst of the answer ------------------------
write_file(sprintf("$root/store/many/%s%04d", 'x' x 200, $_), '') foreach 1 .. 1000;
$s = session();
my $other = session();
open my $pidfile, '<', $node->data_dir . '/postmaster.pid' or die $!;
chomp(my $postmaster = <$pidfile>);
close $pidfile;
# the worker cannot start until the session is held, so that the answer fills the queue
kill 'STOP', $postmaster;
begin($s, "SELECT count(*) FROM cloudsync_browse('Store', '/many')");
my $asks = 0;
my $end = time + $PostgreSQL::Test::Utils::timeout_default;
while (!$asks && time < $end)
{
	$asks = ask($other, "SELECT count(*) FROM pg_stat_activity WHERE pid = $s->{pid} AND state = 'active' AND wait_event = 'Extension'");
}
is($asks, 1, 'a session waits for an answer');
kill 'STOP', $s->{pid};
kill 'CONT', $postmaster;
ok(wait_for($node, "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event IN ('MqSend', 'MessageQueueSend') AND backend_type = 'cloudsync worker'"),
	'... and its worker for the session');
killed($s);
eval { $other->{run}->finish };
is(sql("SELECT count(*) FROM cloudsync_browse('Store', '/many')"), 1000, 'browsing goes on');
ok(wait_for($node, "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'cloudsync scheduler'")
	&& wait_for($node, "SELECT count(*) = 0 FROM cloudsync_status()"), 'all is well');
is(sql("SELECT count(*) FROM cloudsync.history WHERE state <> 'succeeded'"), 0, 'every run has succeeded');
is(pushed(), 'Committed/f=before D1/f=committed D3/f=after D4/f=before D5/f=new', 'nothing else was pushed');

$node->stop('fast');
done_testing();
