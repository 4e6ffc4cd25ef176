# Files that are being written, vanish or change while they are read, large ones
# in constant memory, and schedules that were missed (L2, L6, L9).
use strict;
use warnings;

use CloudsyncTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('collect_times', conf => "cloudsync.stability_delay = 4000\n");
my $root = local_root($node);
create_extension($node);

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub append
{
	my ($path, $text) = @_;
	open my $fh, '>>', $path or die $!;
	print $fh $text;
	close $fh;
	return;
}

sql(q{SELECT cloudsync_add_recipient('ann'); SELECT cloudsync_connect('local', 'Box')});

# --- still being written: the same run looks again
write_file("$root/In/old.txt", 'old');
utime(time - 3600, time - 3600, "$root/In/old.txt");
write_file("$root/In/future.txt", 'future');
utime(time + 86400, time + 86400, "$root/In/future.txt");
write_file("$root/In/growing.txt", 'begun');
sql(q{SELECT cloudsync_create_channel('Box', 'in', ARRAY['/In'], 'ann', 'Mail', auto_collect => false)});
my $run = sql(q{SELECT cloudsync_collect('in')});
ok(wait_for($node, q{SELECT count(*) = 1 FROM cloudsync.document WHERE name = 'old.txt'}), 'the old file is collected at once');
is(run_state($node, $run), 'running', 'the run waits for the others');
is(sql(q{SELECT string_agg(name, ',' ORDER BY name) FROM cloudsync.item WHERE state = 'new'}), 'future.txt,growing.txt', 'that are new');
append("$root/In/growing.txt", ', going on');
ok(wait_run($node, $run), 'the same run ends well');
is(sql(q{SELECT string_agg(convert_from(cloudsync_content(document_id), 'UTF8'), ';' ORDER BY name) FROM cloudsync.document}),
	'future;begun, going on;old', 'each whole');
is(sql(qq{SELECT finished_at - started_at > '3.9 seconds' FROM cloudsync.history WHERE run_id = $run}), 't', 'after the delay');

# --- vanishes between listing and reading
write_file("$root/In/vanishing.txt", 'soon gone');
$run = sql(q{SELECT cloudsync_collect('in')});
ok(wait_for($node, q{SELECT count(*) = 1 FROM cloudsync.item WHERE name = 'vanishing.txt' AND state = 'new'}), 'listed');
unlink "$root/In/vanishing.txt" or die;
ok(wait_run($node, $run), 'a file that vanished fails nothing');
is(sql(q{SELECT state FROM cloudsync.item WHERE name = 'vanishing.txt'}), 'gone', 'it is gone');

# --- a file that cannot be read
SKIP:
{
	skip 'runs as root', 3 if $> == 0;
	write_file("$root/In/secret.txt", 'secret');
	utime(time - 3600, time - 3600, "$root/In/secret.txt");
	chmod 0, "$root/In/secret.txt";
	$run = sql(q{SELECT cloudsync_collect('in')});
	ok(wait_run($node, $run, 'partial'), 'a file that cannot be read makes the run partial');
	is(sql(q{SELECT state, reason ~ 'ermission' FROM cloudsync.item WHERE name = 'secret.txt'}), 'failed|t', 'with the reason');
	chmod 0600, "$root/In/secret.txt";
	$run = sql(q{SELECT cloudsync_collect('in')});
	ok(wait_run($node, $run), 'and is collected once it can be');
}

# --- a folder that cannot be read: incomplete, nothing becomes gone
SKIP:
{
	skip 'runs as root', 3 if $> == 0;
	write_file("$root/In/closed/x.txt", 'x');
	utime(time - 3600, time - 3600, "$root/In/closed/x.txt");
	$run = sql(q{SELECT cloudsync_collect('in')});
	ok(wait_run($node, $run), 'collected below a folder');
	chmod 0, "$root/In/closed";
	unlink "$root/In/old.txt" or die;
	$run = sql(q{SELECT cloudsync_collect('in')});
	ok(wait_for($node, "SELECT finished_at IS NOT NULL FROM cloudsync.history WHERE run_id = $run"), 'a folder was closed');
	is(sql(q{SELECT count(*) FROM cloudsync.item WHERE name IN ('x.txt', 'old.txt') AND state = 'gone'}), 0, 'an incomplete listing makes nothing gone');
	chmod 0700, "$root/In/closed";
	$run = sql(q{SELECT cloudsync_collect('in')});
	ok(wait_run($node, $run), 'opened again');
	is(sql(q{SELECT name FROM cloudsync.item WHERE state = 'gone' AND name IN ('x.txt', 'old.txt')}), 'old.txt', 'a complete one does');
}

# --- a large file in constant memory
# its own memory: the server's shared buffers count for every process that touched them
my $pid = worker_pid($node, 'cloudsync worker', 'postgres');
sub memory { my ($kb) = (read_file("/proc/$pid/status") // '') =~ /RssAnon:\s+(\d+)/; return $kb // 0 }
my $before = memory();
{
	open my $fh, '>', "$root/In/large.bin" or die $!;
	my $block = join('', map { chr($_ % 251) } 1 .. 65536) x 16;
	print $fh $_, substr($block, 0, length($block) - length($_)) for 1 .. 200;
	close $fh;
	utime(time - 3600, time - 3600, "$root/In/large.bin");
}
$run = sql(q{SELECT cloudsync_collect('in')});
my $serves = worker_pid($node, 'cloudsync worker', 'postgres');
($pid, $before) = ($serves, 0) if $serves != $pid; # the other one had nothing to do for too long
$before ||= memory();
my $peak = $before;
for (1 .. 12000)
{
	my $now = memory();
	$peak = $now if $now > $peak;
	last if $_ % 20 == 0 && sql("SELECT finished_at IS NOT NULL FROM cloudsync.history WHERE run_id = $run") eq 't';
	select(undef, undef, undef, 0.01);
}
ok(wait_run($node, $run), 'a file of 200 MiB');
my $grown = ($peak - $before) / 1024;
cmp_ok($grown, '<', 64, 'in less than 64 MiB of memory');
note("grew by $grown MiB");
is(sql(q{SELECT size, encode(sha256, 'hex') FROM cloudsync.document WHERE name = 'large.bin'}),
	'209715200|' . (split ' ', `sha256sum "$root/In/large.bin"`)[0], 'whole');
is(sql(q{SELECT sha256(cloudsync_content(document_id)) = sha256 FROM cloudsync.document WHERE name = 'large.bin'}), 't', 'and comes back');
is(sql(q{SELECT string_agg(cloudsync_read(document_id, b, 4), '' ORDER BY b) = substring(cloudsync_content(document_id) FROM 1048575 FOR 8)
	FROM cloudsync.document, (VALUES (1048574::bigint), (1048578::bigint)) v (b) WHERE name = 'large.bin'
	GROUP BY document_id}), 't', 'also across chunks');

# --- missed while the server was down: made up once
sql(q{SELECT cloudsync_set_auto_sync('in', true)});
ok(wait_for($node, q{SELECT count(*) = 1 AND bool_and(finished_at IS NOT NULL) FROM cloudsync.history WHERE origin = 'schedule'}), 'switched on: at once');
$node->stop('fast');
$node->append_conf('postgresql.conf', 'cloudsync.enabled = off');
$node->start;
sql(q{UPDATE cloudsync.channel SET next_collect_at = now() - interval '3 days 5 hours'});
$node->append_conf('postgresql.conf', 'cloudsync.enabled = on');
$node->restart;
ok(wait_for($node, q{SELECT count(*) = 2 AND bool_and(finished_at IS NOT NULL) FROM cloudsync.history WHERE origin = 'schedule'}), 'three days missed: made up by one run');
is(sql(q{SELECT next_collect_at > now() AND next_collect_at <= now() + interval '25 hours' FROM cloudsync.channel}), 't', 'the next is planned');
is(sql(q{SELECT synced_by FROM cloudsync.folders}), 'auto', 'by nobody');

# --- a root that is missing: the connection waits, nothing becomes gone
rename $root, "$root-away" or die;
$run = sql(q{SELECT cloudsync_collect('in')});
ok(wait_run($node, $run, 'failed'), 'local_root is missing: the run failed');
is(sql(q{SELECT count(*) FROM cloudsync.item WHERE state = 'gone'}), 2, 'nothing more is gone') if $> != 0;
rename "$root-away", $root or die;
$run = sql(q{SELECT cloudsync_collect('in')});
ok(wait_run($node, $run), 'there again: by hand it goes on at once');

# --- cancelled
$node->append_conf('postgresql.conf', "cloudsync.stability_delay = '1h'");
$node->restart; # so that no worker waits by the former
write_file("$root/In/waiting.txt", 'waiting');
$run = sql(q{SELECT cloudsync_collect('in')});
ok(wait_for($node, q{SELECT count(*) = 1 FROM cloudsync.item WHERE name = 'waiting.txt'}), 'waits for a file');
sql("SELECT cloudsync_cancel($run)");
ok(wait_run($node, $run, 'cancelled'), 'cancelled');

$node->stop('fast');
done_testing();
