# A worker's memory and its open descriptors are the same after 10,000 small
# runs as after 1,000: pushes of one file each and collections, by one worker
# process that lives through all of them.
use strict;
use warnings;

use CloudsyncTest;
use File::Temp qw(tempdir);
use PostgreSQL::Test::Utils;
use Test::More;

my $node;

# Memory of its own (not shared) in kB, and descriptors.
sub private_memory
{
	my ($pid) = @_;
	open my $fh, '<', "/proc/$pid/status" or return;
	my ($kb) = map { /^RssAnon:\s+(\d+)/ ? $1 : () } <$fh>;
	return $kb;
}

# Bytes in all its memory contexts, by the server's own account.
sub in_contexts
{
	my ($pid) = @_;
	my $offset = log_offset($node);
	$node->safe_psql('postgres', "SELECT pg_log_backend_memory_contexts($pid)");
	$node->wait_for_log(qr/Grand total: \d+ bytes/, $offset) or return;
	my ($bytes) = substr(slurp_file($node->logfile), $offset) =~ /Grand total: (\d+) bytes/;
	return $bytes;
}

# But those of the server's own files, which it opens and closes as it likes.
sub descriptors
{
	my ($pid, $data) = @_;
	opendir my $dh, "/proc/$pid/fd" or return;
	my @open = map { readlink "/proc/$pid/fd/$_" } grep { !/^\./ } readdir $dh;
	return scalar grep { index($_, $data) != 0 } @open;
}

# In memory where there is such a place, since 10,000 times fsync measures the
# disk and nothing else.
my $root = tempdir(DIR => -w '/dev/shm' ? '/dev/shm' : undef, CLEANUP => 1);
$node = new_cluster('soak', conf => <<"CONF");
cloudsync.local_root = '$root'
cloudsync.max_workers = 1
CONF
create_extension($node);
application_schema($node);
mkdir "$root/In";
$node->safe_psql('postgres', <<'SQL');
CREATE INDEX ON app.dossier_file (dossier_id);
SELECT cloudsync_connect('local', 'Archive');
SELECT cloudsync_track('app.dossier', 'app.dossier_file');
SELECT cloudsync_set_push('Archive', every => '1 second');
SELECT cloudsync_add_recipient('marie');
SELECT cloudsync_create_channel('Archive', 'in', '{/In}', 'marie', 'Binder');
SQL
my $runs = "SELECT count(*) FROM cloudsync.history WHERE state = 'succeeded'";

# So many pushes more, and a collection for each hundred.
my $dossiers = 0;
sub do_runs
{
	my ($count) = @_;
	while ($count > 0)
	{
		my $from = $dossiers + 1;
		$dossiers += 500;
		$count -= 500;
		write_file("$root/In/$dossiers-$_.txt", "document $dossiers $_") for 1 .. 5;
		$node->safe_psql('postgres', <<"SQL");
INSERT INTO app.dossier (id, title) SELECT i, 'D' || i FROM generate_series($from, $dossiers) i;
INSERT INTO app.dossier_file (dossier_id, name, content)
	SELECT i, 'a.txt', convert_to('content ' || i, 'UTF8') FROM generate_series($from, $dossiers) i;
SQL
		for (1 .. 5)
		{
			my $run = scalar_sql($node, "SELECT cloudsync_collect('in')");
			wait_run($node, $run) or return 0;
		}
		wait_for($node,
			"SELECT count(*) = $dossiers FROM cloudsync.dossiers WHERE state = 'synced'")
		  or return 0;
	}
	return 1;
}

ok(do_runs(1000), 'a thousand runs');
my $pid = worker_pid($node, 'cloudsync worker');
my ($memory, $contexts, $open) =
  (private_memory($pid), in_contexts($pid), descriptors($pid, $node->data_dir));

ok(do_runs(9000), 'nine thousand more');
is(scalar_sql($node, "SELECT count(*) >= 10000 FROM cloudsync.history WHERE state = 'succeeded'"),
	't', 'all succeeded');
is(worker_pid($node, 'cloudsync worker'), $pid, 'by one worker process');
my ($now, $contexts_now) = (private_memory($pid), in_contexts($pid));
note("after 1,000 runs $memory kB of its own, $contexts bytes in contexts, $open descriptors; "
	  . "after 10,000 $now kB, $contexts_now bytes");
cmp_ok($contexts_now, '<=', $contexts + 262144, 'its memory contexts did not grow');
# what malloc keeps goes up and down by a megabyte; 500 bytes a run would be 4.5
cmp_ok($now, '<=', $memory + 3072, 'nor did its memory as the system sees it');
is(descriptors($pid, $node->data_dir), $open, 'nor its open descriptors');
is(scalar_sql($node, 'SELECT count(*) FROM cloudsync.document'), 100,
	'each document was collected once');
my @pushed = files_below("$root/CloudSync");
is(scalar @pushed, 10000, 'each file was pushed once');

$node->stop;
done_testing();
