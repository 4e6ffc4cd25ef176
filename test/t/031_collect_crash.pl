# Whatever is killed, and whenever, every document is collected exactly once
# (L5): a worker at each named point, then the postmaster.
use strict;
use warnings;

use CloudsyncTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('collect_crash', conf => "restart_after_crash = on\n");
my $root = local_root($node);
create_extension($node);

sub sql { return $node->safe_psql('postgres', $_[0]) }

my $big = join('', map { chr(($_ * 7919) % 251) } 1 .. 1000) x 3500;    # over three chunks

sub set_up
{
	my ($name) = @_;
	my $folder = "$root/$name";
	write_file("$folder/$_.txt", "$name $_") for 1 .. 5;
	write_file("$folder/big.bin", $name . $big);
	write_file("$folder/twin.txt", "$name 1");    # a duplicate
	sql("SELECT cloudsync_create_channel('Box', '$name', ARRAY['/$name'], 'ann', 'Mail', auto_collect => false, after_collect => 'move:/$name-done')");
	return;
}

# Six documents, each with its own bytes, one duplicate, nothing left behind.
sub check
{
	my ($name) = @_;
	is(sql("SELECT count(*), count(DISTINCT d.sha256) FROM cloudsync.document d JOIN cloudsync.channel c USING (channel_id) WHERE c.name = '$name'"),
		'6|6', "$name: each once");
	is(sql("SELECT count(*) FROM cloudsync.document d JOIN cloudsync.channel c USING (channel_id)
		WHERE c.name = '$name' AND d.sha256 <> sha256(cloudsync_content(d.document_id))"), 0, "$name: with their bytes");
	is(sql('SELECT count(*) FROM cloudsync.staging'), 0, "$name: nothing is left in staging");
	is(sql('SELECT count(*) FROM cloudsync.content c WHERE NOT EXISTS (SELECT FROM cloudsync.document d WHERE d.content_id = c.content_id)'), 0,
		"$name: no content without a document");
	is(sql('SELECT count(*) FROM cloudsync.chunk c WHERE NOT EXISTS (SELECT FROM cloudsync.document d WHERE d.content_id = c.content_id)'), 0,
		"$name: no chunk without a document");
	is(sql("SELECT count(*) FROM cloudsync.history_file f JOIN cloudsync.history h USING (run_id) WHERE h.channel = '$name' AND f.action = 'collected'"), 6,
		"$name: six times in history");
	is(scalar(my @away = files_below("$root/$name-done")), 6, "$name: six files are moved away");
	is(scalar(my @left = files_below("$root/$name")), 1, "$name: the duplicate stays");
	return;
}

sql(q{SELECT cloudsync_add_recipient('ann'); SELECT cloudsync_connect('local', 'Box')});

foreach my $point (qw(after_claim after_page after_chunk after_download before_settle_commit after_settle after_move))
{
	my $name = "p_$point";
	set_up($name);
	crash_at($node, "collect.$point");
	my $offset = log_offset($node);
	crash_statement($node, "SELECT cloudsync_collect('$name')");
	ok($node->wait_for_log(qr/terminated by signal 9/, $offset), "$point: killed");
	crash_no_more($node);
	$node->poll_query_until('postgres', "SELECT finished_at IS NOT NULL FROM cloudsync.history WHERE channel = '$name' ORDER BY run_id DESC LIMIT 1");
	my $run = sql("SELECT max(run_id) FROM cloudsync.history WHERE channel = '$name'");
	ok(wait_run($node, $run), "$point: the same run ends well after all");
	check($name);
	my $again = sql("SELECT cloudsync_collect('$name')");
	ok(wait_run($node, $again), "$point: once more");
	check($name);
}

# the postmaster, while bytes come in
set_up('pm');
write_file("$root/pm/huge.bin", "pm$big" x 60);
my $run = sql("SELECT cloudsync_collect('pm')");
$node->poll_query_until('postgres', 'SELECT count(*) > 0 FROM cloudsync.staging');
$node->kill9;
unlink "$root/pm/huge.bin";
start_after_kill9($node);
ok(wait_run($node, $run), 'postmaster killed: the run ends well after the restart');
check('pm');

# the worker alone, ended by an administrator
set_up('term');
$run = sql("SELECT cloudsync_collect('term')");
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'cloudsync worker'});
ok(wait_run($node, $run), 'worker terminated: the run ends well');
check('term');

$node->stop('fast');
done_testing();
