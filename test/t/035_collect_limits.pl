# Collecting pauses, and says so, when the connection's bytes of the day are used
# up or the disk is nearly full; pushing goes on (L7).
use strict;
use warnings;

use CloudsyncTest;
use Test::More;

my $node = new_cluster('collect_limits', conf => "cloudsync.max_transfers_per_connection = 1\n");
my $root = local_root($node);
create_extension($node);
application_schema($node);

sub sql { return scalar_sql($node, $_[0]) }

my $files = 20;
my $size = 3_000_000;
write_file("$root/box/in/$_.bin", chr(64 + $_) x $size) foreach 1 .. $files;
$node->safe_psql('postgres', <<'SQL');
SELECT cloudsync_track('app.dossier', 'app.dossier_file');
SELECT cloudsync_connect('local', 'Box', options => '{"path": "box"}');
SELECT cloudsync_set_push('Box', auto_sync => false);
SELECT cloudsync_add_recipient('clerk');
SELECT cloudsync_create_channel('Box', 'scans', ARRAY['/in'], 'clerk', 'tray', auto_collect => false);
SELECT cloudsync_set_limits('Box', NULL, NULL, 10000000);
SQL

# Collects; the run's state, documents and bytes.
sub collect
{
	my $run = sql("SELECT cloudsync_collect('scans')");
	wait_for($node, "SELECT finished_at IS NOT NULL FROM cloudsync.history WHERE run_id = $run") or return;
	return split /\|/, sql("SELECT state, files_done, bytes_received, error FROM cloudsync.history WHERE run_id = $run");
}
my $documents = 'SELECT count(*), count(DISTINCT sha256) FROM cloudsync.document';

# Pushing through the same connection goes on.
my $dossiers = 0;
sub pushes
{
	my ($what) = @_;
	$dossiers++;
	sql("INSERT INTO app.dossier (id, title) VALUES ($dossiers, 'D$dossiers');
		INSERT INTO app.dossier_file (dossier_id, name, content) VALUES ($dossiers, 'large', convert_to(repeat('x', 12000000), 'UTF8'))");
	return ok(wait_run($node, sql("SELECT cloudsync_push_dossier('$dossiers', 'Box')")), $what);
}

# --- the bytes of the day -------------------------------------------------------------
my ($state, $done, $bytes, $error) = collect();
is($state, 'partial', 'a run that uses up the bytes of the day is partial');
is($error, 'collecting pauses: the 10000000 bytes a day of the connection are used up', '... and says why');
cmp_ok($bytes, '>=', 10_000_000, 'the limit is reached');
# what was under way still ends: up to 16 MiB wait to be settled
cmp_ok($bytes, '<', 10_000_000 + 2 * 8 * 1024 * 1024 + 2 * $size, '... and not passed by more than what was under way');
is($bytes, $done * $size, 'whole files alone were collected');
my $day = $done;
is(sql($documents), "$day|$day", '... each once');
is(sql('SELECT collected_bytes FROM cloudsync.connection'), $bytes, 'they are counted');
is(sql("SELECT problem FROM cloudsync_status() WHERE subject = 'channel scans'"), $error, 'the status says so');

is_deeply([ (collect())[ 0 .. 2 ] ], [ 'partial', 0, 0 ], 'a second run on that day collects nothing');
is(sql($documents), "$day|$day", '... at all');
is(sql("SELECT count(*) FROM cloudsync.items WHERE state = 'new'"), $files - $day, 'what is left is new, not failed');
pushes('pushing goes on');

sql('UPDATE cloudsync.connection SET collected_day = current_date - 1');
($state, $done, $bytes) = collect();
cmp_ok($done, '>', 0, 'the next day it goes on');
is(sql('SELECT collected_bytes FROM cloudsync.connection'), $bytes, '... and counts from nothing');
$day += $done;
is(sql($documents), "$day|$day", '... each document once');
cmp_ok($day, '<', $files, 'a second day does not do it all') or diag("$day of $files");

sql("SELECT cloudsync_set_limits('Box', NULL, NULL, NULL)");
# --- the disk ---------------------------------------------------------------------------
sub min_free_disk
{
	my ($percent) = @_;
	$node->append_conf('postgresql.conf', "cloudsync.min_free_disk = $percent\n");
	$node->reload;
	return wait_for($node, "SELECT current_setting('cloudsync.min_free_disk') ~ '^$percent'");
}
min_free_disk(99);
($state, $done, $bytes, $error) = collect();
is_deeply([ $state, $done, $bytes ], [ 'partial', 0, 0 ], 'nothing is collected onto a disk that is nearly full');
like($error, qr/^collecting pauses: \d+ % of the disk are free, less than cloudsync\.min_free_disk \(99 %\)/, '... which the run says');
pushes('pushing goes on');
min_free_disk(0);

($state, $done) = collect();
is($state, 'succeeded', 'without a limit the rest is collected');
is(sql($documents), "$files|$files", '... each document once');

$node->stop('fast');
done_testing();
