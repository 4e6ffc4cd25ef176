# A push of 200 MB that is interrupted in every way there is goes on under its
# number and arrives once and whole; a connection that is disconnected gets
# nothing more (W5, W7, C6, P7).
use strict;
use warnings;

use CloudsyncTest;
use PostgreSQL::Test::Utils;
use Digest::MD5;
use Test::More;
use Time::HiRes qw(time);

my $node = new_cluster('interrupted', conf => "max_wal_size = 4GB\n");
my $root = local_root($node);
create_extension($node);
application_schema($node);
$node->safe_psql('postgres', <<'SQL');
SELECT cloudsync_track('app.dossier', 'app.dossier_file');
SELECT cloudsync_connect('local', 'Drive', options => '{"path": "drive"}');
SELECT cloudsync_set_push('Drive', auto_sync => false, manifest => false);
INSERT INTO app.dossier (id, title) VALUES (1, 'Large');
INSERT INTO app.dossier_file (id, dossier_id, name, content)
	SELECT 1, 1, 'large.bin', convert_to(repeat('0123456789abcdef', 13107200), 'UTF8');
SQL
my $path = "$root/drive/CloudSync/Large/large.bin";
my $processes = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'cloudsync worker'";

sub parts
{
	return grep { m{\.part$} } files_below($root, parts => 1);
}

# Looked at in the folder, since a query takes too long for a fast disk. What an
# earlier execution has left there does not grow by itself.
sub bytes_move
{
	my %before = map { $_ => -s "$root/$_" // 0 } parts();
	my $end = time + $PostgreSQL::Test::Utils::timeout_default;
	while (time < $end)
	{
		return 1 if grep { my $size = -s "$root/$_" // 0; $size > 1_000_000 && $size != ($before{$_} // 0) } parts();
		select undef, undef, undef, 0.005;
	}
	return 0;
}

sub in_the_middle
{
	my ($run, $what) = @_;
	ok(bytes_move(), "$what: bytes move");
	ok(!-e $path, "$what: nothing is there under the final name");
	return;
}

sub state_of
{
	my ($run, $state, $what) = @_;
	return ok(wait_for($node, "SELECT state FROM cloudsync.history WHERE run_id = $run", $state), $what);
}

# Slow enough for whatever is done in the middle of it, on any machine.
sub slowly
{
	my ($bytes) = @_;
	$node->safe_psql('postgres', "SELECT cloudsync_set_limits('Drive', $bytes, NULL, NULL)");
	return;
}
slowly(5_000_000);
my $run = scalar_sql($node, "SELECT cloudsync_push_dossier('1', 'Drive')");

# --- the worker is ended -----------------------------------------------------------
in_the_middle($run, 'terminated');
is(scalar_sql($node, "SELECT bool_and(pg_terminate_backend(pid, 1000 * $PostgreSQL::Test::Utils::timeout_default)) FROM pg_stat_activity WHERE backend_type = 'cloudsync worker'"),
	't', 'a worker ends in the middle of a push');

# --- disabled ----------------------------------------------------------------------
in_the_middle($run, 'disabled');
$node->safe_psql('postgres', "SELECT cloudsync_disable('Drive')");
state_of($run, 'queued', 'a disabled connection\'s run waits');
ok(wait_for($node, 'SELECT count(*) = 0 FROM cloudsync.activity'), '... and nothing moves');
$node->safe_psql('postgres', "SELECT cloudsync_enable('Drive')");

# --- fast shutdown; disabled before a worker could take it up again -------------------
in_the_middle($run, 'fast shutdown');
ok($node->stop('fast', fail_ok => 1), 'fast shutdown in the middle of a push');
ok(!-e $path, '... does not wait for its end');
$node->append_conf('postgresql.conf', "cloudsync.enabled = off\n");
$node->start;
# (queued if another worker still took the lease over while the server went down)
like(run_state($node, $run), qr/^(?:running|queued)$/, 'what was under way is on record');
$node->safe_psql('postgres', "SELECT cloudsync_disable('Drive')");
$node->append_conf('postgresql.conf', "cloudsync.enabled = on\n");
$node->reload;
state_of($run, 'queued', 'what a dead worker left on a disabled connection is recovered');
is(scalar_sql($node, $processes), 0, '... by no worker');
$node->safe_psql('postgres', "SELECT cloudsync_enable('Drive')");

# --- kill -9 of the postmaster ---------------------------------------------------------
in_the_middle($run, 'kill -9 of the server');
my @pids = split /\n/, scalar_sql($node, "SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'cloudsync %'");
cmp_ok(scalar @pids, '>=', 3, 'launcher, scheduler and worker are there');
$node->kill9;
my $left = @pids;
my $end = time + $PostgreSQL::Test::Utils::timeout_default;
while ($left > 0 && time < $end)
{
	$left = grep { kill 0, $_ } @pids;
	select undef, undef, undef, 0.05;
}
is($left, 0, 'all of them end with the postmaster');
ok(!-e $path, '... and have not finished the file');
start_after_kill9($node);

# --- the end --------------------------------------------------------------------------
slowly('NULL');
ok(wait_run($node, $run), 'the run succeeds under its number');
is(scalar_sql($node, "SELECT count(*), max(files_done), max(files_failed) FROM cloudsync.history WHERE kind = 'push'"),
	'1|1|0', '... is the only one, and counts the file once');
# Each interruption had it begin again: none of them waited for the transfer's end.
cmp_ok(scalar_sql($node, "SELECT attempts FROM cloudsync.history WHERE run_id = $run"), '>=', 5, '... after having been cut off four times');
is_deeply([ files_below($root, parts => 1) ], ['drive/CloudSync/Large/large.bin'],
	'the file is there once, and nothing else');
open my $fh, '<:raw', $path or die "could not open $path: $!";
is(Digest::MD5->new->addfile($fh)->hexdigest,
	scalar_sql($node, 'SELECT md5(content) FROM app.dossier_file WHERE id = 1'), '... whole');
close $fh;

# --- disconnected -----------------------------------------------------------------------
my $before = inode($path);
$node->safe_psql('postgres', "UPDATE app.dossier_file SET content = content || '.' WHERE id = 1");
sub begin_again
{
	my ($what) = @_;
	$run = scalar_sql($node, "SELECT cloudsync_push_dossier('1', 'Drive')");
	ok(bytes_move(), "$what: bytes move");
	return;
}
slowly(5_000_000);
begin_again('disconnected while the server was down');
$node->stop('fast');
$node->append_conf('postgresql.conf', "cloudsync.enabled = off\n");
$node->start;
$node->safe_psql('postgres', "SELECT cloudsync_disconnect('Drive')");
like(run_state($node, $run), qr/^(?:running|queued)$/, 'a dead worker\'s run');
$node->append_conf('postgresql.conf', "cloudsync.enabled = on\n");
$node->reload;
state_of($run, 'cancelled', '... is cancelled once its connection is disconnected');
is(scalar_sql($node, "SELECT error FROM cloudsync.history WHERE run_id = $run"), 'the connection was disconnected', '... which says why');

$node->safe_psql('postgres', <<'SQL');
SELECT cloudsync_connect('local', 'Drive', options => '{"path": "drive"}');
SELECT cloudsync_set_push('Drive', auto_sync => false, manifest => false);
SQL
slowly(5_000_000);
begin_again('disconnected');
$node->safe_psql('postgres', "SELECT cloudsync_disconnect('Drive')");
state_of($run, 'cancelled', 'disconnecting in the middle of a push cancels the run');
ok(wait_for($node, 'SELECT count(*) = 0 FROM cloudsync.activity'), '... and nothing moves');
is(inode($path), $before, 'the file is as it was');
is_deeply([ parts() ], [], 'nothing half-written is left');
is(scalar_sql($node, "SELECT count(*) FROM cloudsync.run WHERE finished_at IS NULL"), 0, 'nothing is under way');

$node->stop('fast');
done_testing();
