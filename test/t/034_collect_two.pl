# Two connections to one account collect the same folders at the same moment:
# one document for each file, whoever comes first, and nobody's run fails.
use strict;
use warnings;

use CloudsyncTest;
use Test::More;

my $node = new_cluster('collect_two', conf => <<'CONF');
cloudsync.hook_timeout = 60000
deadlock_timeout = 100
CONF
my $root = local_root($node);
create_extension($node);

sub sql { return scalar_sql($node, $_[0]) }

# Each document's function waits while the test holds the lock, with its
# document written and not committed.
sql(<<'SQL');
CREATE FUNCTION public.hold(document_id bigint) RETURNS void LANGUAGE sql AS 'SELECT pg_advisory_xact_lock_shared(7)';
SELECT cloudsync_on_document('public.hold');
SELECT cloudsync_add_recipient('ann');
SELECT cloudsync_connect('local', 'One', options => '{"path": "box"}');
SELECT cloudsync_connect('local', 'Two', options => '{"path": "/box/"}');
SELECT cloudsync_connect('local', 'Three', options => '{"path": "box"}');
SQL
is(sql('SELECT count(DISTINCT account_id) FROM cloudsync.connection'), 1, 'three connections to one account');
mkdir "$root/box";

# In opposite orders, so that each has what the other wants next.
sql(<<'SQL');
SELECT cloudsync_create_channel('One', 'first', '{/In/a,/In/b}', 'ann', 'Mail', auto_collect => false);
SELECT cloudsync_create_channel('Two', 'second', '{/In/b,/In/a}', 'ann', 'Mail', auto_collect => false);
SELECT cloudsync_create_channel('Three', 'third', '{/In}', 'ann', 'Mail', auto_collect => false, dedup => 'version');
SQL

# Collects by the channels at once, each settling while the others do.
sub collect_at_once
{
	my ($what, @channels) = @_;
	my $holder = $node->background_psql('postgres');
	$holder->query_safe('SELECT pg_advisory_lock(7)');
	my @runs = split /\|/, sql('SELECT ' . join(', ', map { "cloudsync_collect('$_')" } @channels));
	ok( wait_for($node, "SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type = 'cloudsync worker' AND wait_event_type = 'Lock'"),
		"$what: two workers are in the midst of settling");
	$holder->query_safe('SELECT pg_advisory_unlock(7)');
	$holder->quit;
	ok(wait_run($node, $_), "$what: a run succeeded") for @runs;
	return @runs;
}

sub one_each
{
	my ($what, $files) = @_;
	is(sql('SELECT count(*) FROM cloudsync.document'), $files, "$what: $files documents");
	is(sql(q{SELECT count(*) FROM (SELECT sha256 FROM cloudsync.document GROUP BY sha256, remote_path HAVING count(*) > 1) x}),
		0, "$what: none twice");
	is(sql('SELECT count(*) FROM cloudsync.item WHERE state NOT IN (\'collected\', \'duplicate\')'), 0,
		"$what: every channel knows what became of each");
	is(sql('SELECT count(*) FROM cloudsync.staging'), 0, "$what: nothing is left in staging");
	is(sql('SELECT count(*) FROM cloudsync.content'), $files, "$what: no content without its document");
	is(sql("SELECT count(*) FROM cloudsync.history_file WHERE action = 'failed'"), 0, "$what: no file has failed on the way");
	return;
}

write_file("$root/box/In/$_.txt", "file $_") for qw(a/1 a/2 a/3 b/1 b/2 b/3);
collect_at_once('two connections', 'first', 'second');
one_each('two connections', 6);
is(sql(q{SELECT sum(files_done) FROM cloudsync.history WHERE channel IN ('first', 'second')}), 6, 'together they have collected six');

write_file("$root/box/In/$_.txt", "file $_") for qw(a/4 b/4);
my @all = split /\|/, sql("SELECT cloudsync_collect('first'), cloudsync_collect('second'), cloudsync_collect('third')");
ok(wait_run($node, $_), 'three connections: a run succeeded') for @all;
one_each('three connections', 8);

# Once more, nothing is collected by anybody.
ok(wait_run($node, sql("SELECT cloudsync_collect('$_')")), "$_ again") for qw(first second third);
one_each('again', 8);

# One connection's worker is stuck in the application's code: another connection,
# whose work comes later, is served by another worker.
sql(q{SELECT cloudsync_connect('local', 'Apart', options => '{"path": "apart"}');
	SELECT cloudsync_create_channel('Apart', 'apart', '{/In}', 'ann', 'Mail', auto_collect => false)});
sql(q{SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE backend_type = 'cloudsync worker'});
write_file("$root/box/In/a/5.txt", 'file a/5');
write_file("$root/apart/In/1.txt", 'apart');
my $holder = $node->background_psql('postgres');
$holder->query_safe('SELECT pg_advisory_lock(7)');
my $waiting = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'cloudsync worker' AND wait_event_type = 'Lock'";
my @stuck = sql("SELECT cloudsync_collect('first')");
ok(wait_for($node, $waiting, 1), 'a worker is stuck in the application\'s code');
push @stuck, sql("SELECT cloudsync_collect('apart')");
ok(wait_for($node, $waiting, 2), '... and another one takes up what comes later');
$holder->query_safe('SELECT pg_advisory_unlock(7)');
$holder->quit;
ok(wait_run($node, $_), '... and both are done') for @stuck;

$node->stop('fast');
done_testing();
