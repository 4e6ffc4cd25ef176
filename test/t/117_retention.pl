# History of pushes and refreshes is removed when it is old, that of collections
# when a setting says so, in small steps, and never what something still needs (H6).
# The functions that decide are given the time; the scheduler's own work is tried
# with runs that ended long ago.
use strict;
use warnings;

use IPC::Run ();
use CloudsyncTest;
use Test::More;

my $node = new_cluster('retention', conf => "restart_after_crash = on\n");
my $root = local_root($node);
create_extension($node);
sub sql { return scalar_sql($node, $_[0]) }

write_file("$root/in/one.txt", 'one');
$node->safe_psql('postgres', <<'SQL');
SELECT cloudsync_connect('local', 'Drive');
SELECT cloudsync_add_recipient('Ann');
SELECT cloudsync_create_channel('Drive', 'Post', ARRAY['/in'], 'Ann', 'Mail', auto_collect => false);
SQL
ok(wait_run($node, sql("SELECT cloudsync_collect('Post')")), 'a document is collected');
ok(wait_run($node, sql("SELECT cloudsync_collect('Post')")), 'and another collection finds nothing');
my ($with, $last) = split /\n/, sql('SELECT run_id FROM cloudsync.run ORDER BY run_id');
my $audit = sql('SELECT count(*) FROM cloudsync.audit');
my $dedup = sql('SELECT count(*) FROM cloudsync.dedup');

# Runs that ended so many days ago, with files: two in three are shared by none.
sub ended
{
	my ($kind, $days, $n) = @_;
	$n //= 1;
	return sql(<<"SQL");
WITH made AS (
	INSERT INTO cloudsync.run (kind, connection_id, channel_id, dossiers_id, dossier, origin, requested_by, requested_at, started_at, finished_at, state)
	SELECT '$kind', c.connection_id, CASE WHEN '$kind' <> 'push' THEN h.channel_id END, 1, g, 'auto', 'auto', t, t, t, 'succeeded'
	FROM cloudsync.connection c, cloudsync.channel h, generate_series(1, $n) g, LATERAL (SELECT now() - interval '$days days' - g * interval '1 s') x (t)
	RETURNING run_id, connection_id),
files AS (INSERT INTO cloudsync.run_file (run_id, connection_id, action, path) SELECT run_id, connection_id, 'create', '/f' || f FROM made, generate_series(1, 2) f)
SELECT min(run_id) FROM made
SQL
}

# One step at a time, at the time given; rolled back.
sub step
{
	my ($kind, $at, $keep, $more) = @_;
	return sql("BEGIN; SET LOCAL lock_timeout = '60s'; SELECT removed, after_at IS NULL FROM cloudsync.remove_history($at, '$kind', '$keep', "
		  . ($more // "500, 2000, '-infinity', 0") . '); SELECT count(*) FROM cloudsync.run; ROLLBACK') =~ s/\n/ /gr;
}

# Nothing looks for a run that is not there.
sub whole
{
	my ($what) = @_;
	return is(sql(<<'SQL'), '0|0|0|0', "$what: nothing points at what is gone");
SELECT (SELECT count(*) FROM cloudsync.document d WHERE NOT EXISTS (SELECT FROM cloudsync.run r WHERE r.run_id = d.run_id)),
	(SELECT count(*) FROM cloudsync.channel h WHERE h.last_run_id IS NOT NULL AND NOT EXISTS (SELECT FROM cloudsync.run r WHERE r.run_id = h.last_run_id)),
	(SELECT count(*) FROM cloudsync.run s WHERE s.shared_run_id IS NOT NULL AND NOT EXISTS (SELECT FROM cloudsync.run r WHERE r.run_id = s.shared_run_id)),
	(SELECT count(*) FROM cloudsync.run_file f WHERE NOT EXISTS (SELECT FROM cloudsync.run r WHERE r.run_id = f.run_id))
SQL
}

# --- who decides is given the time ---------------------------------------------------------
sql('SELECT cloudsync_suspend()');
my $run = ended('push', 399);
is(step('push', 'now()', '400 days'), '0|t 3', 'after 399 days it is there');
is(step('push', "now() + interval '2 days'", '400 days'), '3|f 2', 'two days later it goes with its two files');
is(step('push', "now() + interval '2 days'", '400 days', '500, 2000, now(), 0'), '0|t 3', 'behind the last of them there is none, and it is done');
# two that ended at the same moment, one a step
my $twin = ended('push', 399);
sql("UPDATE cloudsync.run SET finished_at = (SELECT finished_at FROM cloudsync.run WHERE run_id = $run) WHERE run_id = $twin");
is(step('push', "now() + interval '2 days'", '400 days', "1, 2000, (SELECT finished_at FROM cloudsync.run WHERE run_id = $run), $run"), '3|f 3',
	'behind the first is another that ended at the same moment');
sql("DELETE FROM cloudsync.run_file WHERE run_id = $twin; DELETE FROM cloudsync.run WHERE run_id = $twin");
is(step('refresh', "now() + interval '2 days'", '400 days'), '0|t 3', 'each kind by itself');
is(step('push', "now() + interval '2 days'", '400 days', "500, 1, '-infinity', 0"), '1|f 3', 'not more files a step than that, and then not the run');
ended('push', 500, 7);
is(step('push', 'now()', '400 days', "3, 2000, '-infinity', 0"), '9|f 7', 'not more runs a step than that');
is(step('collect', "now() + interval '1000 days'", '400 days'), '0|f 10', 'a run that documents came with stays, and a channel\'s last one');
sql("UPDATE cloudsync.document SET run_id = $last");
is(step('collect', "now() + interval '1000 days'", '400 days'), '2|f 9', '... and otherwise goes');
sql("UPDATE cloudsync.document SET run_id = $with; UPDATE cloudsync.channel SET last_run_id = $run");
is(step('push', "now() + interval '2 days'", '400 days'), '21|f 3', 'whatever kind that is');
sql("UPDATE cloudsync.channel SET last_run_id = $last");

# What shares an execution with one that stays.
my $lead = ended('push', 600);
my $sharer = ended('push', 10);
sql("UPDATE cloudsync.run SET shared_run_id = $lead WHERE run_id = $sharer; DELETE FROM cloudsync.run_file WHERE run_id = $sharer");
is(step('push', 'now()', '400 days', "1, 2000, '-infinity', 0"), '0|f 12', 'an execution that others share stays as long as they do');
sql("UPDATE cloudsync.run SET finished_at = (SELECT finished_at FROM cloudsync.run WHERE run_id = $lead) WHERE run_id = $sharer");
is(step('push', 'now()', '400 days', "2, 2000, '-infinity', 0"), '4|f 10', '... and goes with them');
is(step('push', 'now()', '400 days', "1, 2000, '-infinity', 0"), '0|f 12', '... not before');
# Waiting, running, and what somebody holds.
sql("INSERT INTO cloudsync.run (kind, connection_id, dossiers_id, dossier, origin, requested_by, requested_at, state)
	SELECT 'push', connection_id, 1, 'q', 'manual', 'ann', now() - interval '900 days', s FROM cloudsync.connection, unnest('{queued,running}'::text[]) s");
is(step('push', 'now()', '400 days'), '25|f 5', 'what has not ended stays, however old');
my ($in, $out) = ("BEGIN; SELECT 'held' FROM cloudsync.run WHERE run_id = $run FOR UPDATE;\n", '');
my $holder = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out, IPC::Run::timeout(120));
$holder->pump until $out =~ /held/;
is(step('push', "now() + interval '2 days'", '400 days'), '25|f 5', 'what somebody holds is left, and waited for by nobody');
$holder->finish;
sql("DELETE FROM cloudsync.run WHERE state IN ('queued', 'running')");

# --- suspended -------------------------------------------------------------------------------
is(sql('SHOW cloudsync.history_retention') . ' ' . sql('SHOW cloudsync.collect_history_retention'), '400d -1', 'the settings');
foreach my $bad ('1h', '0', '-2')
{
	my (undef, undef, $err) = $node->psql('postgres', "ALTER SYSTEM SET cloudsync.history_retention = '$bad'");
	like($err, qr/cloudsync\.history_retention/, "$bad is refused");
}
my $offset = log_offset($node);
$node->restart;
ok($node->wait_for_log(qr/cloudsync does nothing in database/, $offset), 'a suspended copy');
is(sql('SELECT count(*) FROM cloudsync.run WHERE finished_at < now() - interval \'400 days\''), 9, '... removes nothing');

# --- the scheduler does it, across a crash ---------------------------------------------------
crash_at($node, 'history.before_remove_commit');
$offset = log_offset($node);
crash_statement($node, 'SELECT cloudsync_resume()');
ok($node->wait_for_log(qr/was terminated by signal 9/, $offset), 'killed in the middle of a step');
crash_no_more($node);
ok(wait_for($node, "SELECT count(*) = 0 FROM cloudsync.run WHERE finished_at < now() - interval '400 days'"), 'started again, it is done');
is(sql("SELECT string_agg(kind, ' ' ORDER BY run_id) FROM cloudsync.history"), 'collect collect push', 'the rest is there');
is(sql('SELECT count(*) FROM cloudsync.history_file WHERE action = \'create\' AND path LIKE \'/f%\''), 2, '... with its files');
whole('pushes');

# Collections: by their own setting.
ended('collect', 500, 3);
ended($_, 500, 3) foreach 'refresh', 'prepare';
sql("UPDATE cloudsync.run SET finished_at = now() - interval '700 days' WHERE run_id IN ($with, $last)");
$node->restart;
ok(wait_for($node, "SELECT count(*) = 0 FROM cloudsync.run WHERE kind IN ('refresh', 'prepare')"), 'refreshes and preparations go');
is(sql("SELECT count(*) FROM cloudsync.run WHERE kind = 'collect'"), 5, 'collections stay');
$node->append_conf('postgresql.conf', "cloudsync.collect_history_retention = '400d'");
$node->reload;
sql('SELECT cloudsync.wake(true)');
ok(wait_for($node, "SELECT count(*) = 0 FROM cloudsync.run WHERE finished_at < now() - interval '400 days' AND run_id NOT IN ($with, $last)"),
	'told to by a reload, those without documents go');
is(sql("SELECT count(*) FROM cloudsync.run WHERE kind = 'push'"), 1, 'a push of ten days ago is there');
$node->append_conf('postgresql.conf', "cloudsync.history_retention = '5d'");
$node->reload;
sql('SELECT cloudsync.wake(true)');
ok(wait_for($node, "SELECT count(*) = 0 FROM cloudsync.run WHERE kind = 'push'"), 'until five days are enough');
ended('push', 50);
crash_at($node, 'history.look_again');
sql('SELECT cloudsync.wake(true)');
ok(wait_for($node, "SELECT count(*) = 0 FROM cloudsync.run WHERE kind = 'push'"), 'what grows old later goes when it is looked for again');
$node->append_conf('postgresql.auto.conf', "cloudsync.crash_point = ''");
ok(wait_run($node, sql("SELECT cloudsync_collect('Post')")), 'collected once more');
is(sql("SELECT count(*) FROM cloudsync.history WHERE run_id = $with"), 1, '... the one with a document stays');
whole('collections');
is(sql('SELECT convert_from(cloudsync_content(document_id), \'UTF8\') FROM cloudsync.inbox'), 'one', 'documents stay');
is(sql('SELECT count(*) FROM cloudsync.dedup'), $dedup, 'dedup records stay');
cmp_ok(sql('SELECT count(*) FROM cloudsync.audit'), '>=', $audit, 'the audit stays');
$node->append_conf('postgresql.conf', "cloudsync.history_retention = -1\n");
ended('push', 5000);
$node->restart;
ok(wait_run($node, sql("SELECT cloudsync_collect('Post')")), 'for ever');
is(sql("SELECT count(*) FROM cloudsync.run WHERE finished_at < now() - interval '5000 days'"), 1, '... is for ever');
ok(wait_for($node, "SELECT NOT EXISTS (SELECT FROM cloudsync.run WHERE run_id = $last)"), 'a collection goes that is not the channel\'s last one any more');

$node->stop('fast');
done_testing();
