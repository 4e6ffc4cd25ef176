# A truncated table of 80,000 dossiers and a folder of 8,000 files are done in
# slices and in bounded memory: the scheduler and the worker do not grow with
# them, and meanwhile serve others (P1, P9, L8, W3, S6).
use strict;
use warnings;

use CloudsyncTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $dossiers = $ENV{CLOUDSYNC_TEST_DOSSIERS} // 80_000;
my $files = $ENV{CLOUDSYNC_TEST_FILES} // 8_000;
my $node = new_cluster('large', conf => "max_wal_size = 4GB\nfsync = off\ncloudsync.max_workers = 1\n");
my $root = local_root($node);
create_extension($node);
application_schema($node);

sub sql { return scalar_sql($node, $_[0]) }

# A process's own memory, in MiB; the server's shared buffers count for whoever touched them.
sub peak
{
	my ($pid) = @_;
	my ($kb) = slurp_file("/proc/$pid/status") =~ /RssAnon:\s+(\d+)/;
	return $kb / 1024;
}

# Waits for the query, and gives the most memory that the processes had meanwhile.
sub watched
{
	my ($what, $query, @pids) = @_;
	my %most = map { $_ => 0 } @pids;
	my $ok = 0;
	my $tries = 10 * $PostgreSQL::Test::Utils::timeout_default;
	while ($tries-- > 0 && !$ok)
	{
		for my $pid (@pids)
		{
			my $now = peak($pid);
			$most{$pid} = $now if $now > $most{$pid};
		}
		$ok = sql($query) eq 't';
		select undef, undef, undef, 0.1 unless $ok;
	}
	ok($ok, $what);
	return map { $most{$_} } @pids;
}

my $scheduler = worker_pid($node, 'cloudsync scheduler', 'postgres');

# --- TRUNCATE -------------------------------------------------------------------------
# Everything was pushed; that is written down here, since to do it would take long.
$node->safe_psql('postgres', <<"SQL");
SELECT cloudsync_connect('local', 'Drive', options => '{"path": "drive"}');
SELECT cloudsync_set_push('Drive', every => '1 second');
SELECT cloudsync_track('app.dossier', 'app.dossier_file');
SQL
ok(wait_for($node, "SELECT count(*) = 0 FROM cloudsync.backfill") && wait_for($node, "SELECT count(*) = 0 FROM cloudsync.history WHERE finished_at IS NULL"), 'all is quiet');
my $start = peak($scheduler);
my $idle = peak(worker_pid($node, 'cloudsync worker', 'postgres'));
$node->safe_psql('postgres', <<"SQL");
SET cloudsync.capture = off;
INSERT INTO app.dossier (id, title) SELECT n, 'D' || n FROM generate_series(1, $dossiers) n;
INSERT INTO cloudsync.pushed_dossier (destination_id, dossiers_id, dossier, folder, folder_key, wanted, state)
	SELECT t.destination_id, d.dossiers_id, n::text, '/CloudSync/D' || n, '/CloudSync/D' || n, '/CloudSync/D' || n, 'synced'
	FROM cloudsync.destination t, cloudsync.dossier_table d, generate_series(1, $dossiers) n;
ANALYZE;
SQL
$node->safe_psql('postgres', 'TRUNCATE app.dossier, app.dossier_file');
my ($most) = watched('TRUNCATE is folded', "SELECT count(*) = 0 FROM cloudsync.change", $scheduler);
note("$dossiers dossiers truncated: the scheduler grew from $start to $most MiB");
cmp_ok($most - $start, '<', 16, '... in bounded memory');
is(sql('SELECT (SELECT count(*) FROM cloudsync.due) + (SELECT count(DISTINCT dossier) FROM cloudsync.run WHERE kind = \'push\')') >= $dossiers ? 1 : 0,
	1, 'each dossier that was pushed is due');
$node->safe_psql('postgres', "INSERT INTO app.dossier (id, title) VALUES (9000000, 'New');
	INSERT INTO app.dossier_file (dossier_id, name, content) VALUES (9000000, 'f', 'new')");
my $run = sql("SELECT cloudsync_push_dossier('9000000', 'Drive')");
ok(wait_run($node, $run), 'another dossier is pushed meanwhile');
my $worker = worker_pid($node, 'cloudsync worker', 'postgres');
my ($worker_most) = watched('the worker goes on', "SELECT count(*) > 1000 FROM cloudsync.history WHERE kind = 'push' AND state = 'succeeded'", $worker);
cmp_ok($worker_most - $idle, '<', 32, '... in bounded memory');
note("the worker grew from $idle to $worker_most MiB");
$node->safe_psql('postgres', "SELECT cloudsync_disconnect('Drive')");

# --- a large folder --------------------------------------------------------------------
make_files($files);
sub make_files
{
	my ($n) = @_;
	mkdir "$root/box" or die $!;
	mkdir "$root/box/in" or die $!;
	for (1 .. $n)
	{
		open my $fh, '>', "$root/box/in/$_.txt" or die $!;
		close $fh;
	}
	write_file("$root/box/few/one.pdf", 'one');
	return;
}
$node->safe_psql('postgres', <<'SQL');
SELECT cloudsync_connect('local', 'Box', options => '{"path": "box"}');
SELECT cloudsync_add_recipient('clerk');
SELECT cloudsync_create_channel('Box', 'many', ARRAY['/in'], 'clerk', 'tray', auto_collect => false, include => '{*.pdf}');
SELECT cloudsync_create_channel('Box', 'few', ARRAY['/few'], 'clerk', 'tray', auto_collect => false);
SQL
$run = sql("SELECT cloudsync_collect('many')");
ok(wait_for($node, "SELECT count(*) > 0 FROM cloudsync.item"), 'a large folder is being listed');
$worker = worker_pid($node, 'cloudsync worker', 'postgres');
my $few = sql("SELECT cloudsync_collect('few')");
($worker_most) = watched('it is listed', "SELECT state = 'succeeded' FROM cloudsync.history WHERE run_id = $run", $worker);
note("$files files listed: the worker had $worker_most MiB, $idle before");
cmp_ok($worker_most - $idle, '<', 32, '... in bounded memory');
is(sql("SELECT count(*), count(*) FILTER (WHERE state = 'excluded') FROM cloudsync.items WHERE channel = 'many'"), "$files|$files", '... whole');
ok(wait_run($node, $few), 'another channel is collected');
is(sql("SELECT count(*) FROM cloudsync_browse('Box', '/in')"), $files, 'it can be browsed');
note(sql("SELECT 'listed in ' || (finished_at - started_at) FROM cloudsync.history WHERE run_id = $run"));

$node->stop('immediate');
done_testing();
