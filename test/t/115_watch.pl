# What people and programs watch: cloudsync.activity and cloudsync_progress() while
# bytes move, for every state of a run and for other tenants (H2), and
# cloudsync_metrics() as promtool reads it (H5).
use strict;
use warnings;

use IPC::Run ();
use CloudsyncTest;
use PostgreSQL::Test::Utils;
use Test::More;
use WebServers;

my $node = new_cluster('watch',
	conf => "cloudsync.allowed_endpoints = 'http://127.0.0.1:*'\nTimeZone = 'Europe/Paris'\n");
create_extension($node);
application_schema($node);
sub sql { return scalar_sql($node, $_[0]) }

sub refused
{
	my ($statement, $pattern, $what) = @_;
	my (undef, undef, $err) = $node->psql('postgres', $statement);
	return like($err, $pattern, $what);
}

my $server = WebServers->nginx(user => 'ann', password => 'S3CRET');
my $url = $server->url;
$node->safe_psql('postgres', <<"SQL");
CREATE ROLE reader LOGIN IN ROLE cloudsync_reader;
CREATE ROLE other LOGIN IN ROLE cloudsync_operator, cloudsync_app;
SELECT cloudsync_connect('webdav', 'Drive "N"', '{"username": "ann", "password": "S3CRET"}', '{"endpoint": "$url/"}');
SELECT cloudsync_track('app.dossier', 'app.dossier_file');
SELECT cloudsync_set_push('Drive "N"', auto_sync => false, folder => '{title}');
SELECT cloudsync_set_limits('Drive "N"', 150000, NULL, NULL);
INSERT INTO app.dossier (title) VALUES ('Dupont'), ('Martin');
INSERT INTO app.dossier_file (dossier_id, name, content)
	SELECT 1, 'plan.bin', string_agg(decode(md5(g::text), 'hex'), '') FROM generate_series(1, 250000) g;
INSERT INTO app.dossier_file (dossier_id, name, content) VALUES (2, 'small.txt', 'small');
SQL

# --- while bytes move ----------------------------------------------------------------------
my $run = sql(q{SELECT cloudsync_push_dossier('1', 'Drive "N"')});
ok(wait_for($node, "SELECT bool_and(bytes_done > 250000 AND rate > 0) FROM cloudsync.activity WHERE run_id = $run"), 'bytes move');
my @moves = split /\|/, sql(<<"SQL");
SELECT a.connection_id, a.file, a.bytes_total, a.rate BETWEEN 30000 AND 450000, a.eta BETWEEN '4 s' AND '240 s', a.phase,
	EXISTS (SELECT FROM pg_stat_activity p WHERE p.pid = a.pid AND p.backend_type = 'cloudsync worker')
FROM cloudsync.activity a WHERE a.run_id = $run
SQL
is($moves[0], sql('SELECT connection_id FROM cloudsync.connections'), 'activity names the connection');
like($moves[1], qr/plan\.bin$/, '... and the file');
is($moves[2], 4000000, '... its bytes in all');
is_deeply([ @moves[ 3, 4, 5, 6 ] ], [qw(t t send t)], '... rate, time left, phase and the worker');
my $line = sql("SELECT cloudsync_progress($run)");
like($line, qr{^push $run  \[#*-+\] +\d+%  \d+ \S+ of 3906 kB  \d+ kB/s  \d:\d\d left  send  \S*plan\.bin$}, 'progress is a line with a bar');
my $done = sql("SELECT bytes_done FROM cloudsync.activity WHERE run_id = $run");
ok(wait_for($node, "SELECT bytes_done > $done FROM cloudsync.activity WHERE run_id = $run"), 'activity goes on');
is(sql("SELECT count(*) FROM cloudsync.run WHERE run_id = $run AND bytes_sent > 0"), 0, '... without a write to the run');

# Who sees it: readers, and nobody of another tenant.
is($node->safe_psql('postgres', "SELECT count(*) FROM cloudsync.activity; SELECT left(cloudsync_progress($run), 5)", extra_params => [ '-U', 'reader' ]),
	"1\npush ", 'a reader sees it');
my $as_other = [ '-U', 'other' ];
is($node->safe_psql('postgres', "SET cloudsync.tenant = 'acme'; SELECT count(*) FROM cloudsync.activity", extra_params => $as_other),
	0, 'another tenant does not');
my (undef, undef, $err) = $node->psql('postgres', "SET cloudsync.tenant = 'acme'; SELECT cloudsync_progress($run)", extra_params => $as_other);
like($err, qr/run $run does not exist/, '... and is told nothing of the run');
refused('SELECT cloudsync_progress(4711)', qr/run 4711 does not exist.*HINT:  .*cloudsync\.history/s, 'a run that there is not');
refused('SELECT cloudsync_progress(NULL)', qr/run NULL does not exist/, 'no run');

# Shared, queued, ended.
my $shared = sql(q{SELECT cloudsync_push_dossier('1', 'Drive "N"')});
sql(qq{SELECT cloudsync_disable('Drive "N"')});
ok(wait_for($node, "SELECT count(*) = 2 FROM cloudsync.history WHERE state = 'queued'"), 'disabled, both wait');
like(sql("SELECT cloudsync_progress($run)"), qr/^push $run  queued for \d:\d\d, its connection is disabled$/, 'what a queued run waits for');
ok(wait_for($node, 'SELECT count(*) = 0 FROM cloudsync.activity'), 'nothing moves');
is(sql(<<"SQL"), "push $shared  queued for 0:00, 1 run before it\n", 'or how many are before it');
BEGIN;
UPDATE cloudsync.connection SET state = 'active';
UPDATE cloudsync.run SET requested_at = clock_timestamp() WHERE run_id = $shared;
SELECT replace(cloudsync_progress($shared), '0:01', '0:00') || E'\\n';
ROLLBACK;
SQL
sql('SELECT cloudsync_suspend()');
like(sql("SELECT cloudsync_progress($run)"), qr/queued for \d:\d\d, nobody serves it: suspended by postgres$/, 'or that all is suspended');
sql(qq{SELECT cloudsync_resume(); SELECT cloudsync_set_limits('Drive "N"', NULL, NULL, NULL); SELECT cloudsync_enable('Drive "N"')});
ok(wait_run($node, $run) && wait_run($node, $shared), 'enabled, both end');
like(sql("SELECT cloudsync_progress($_)"), qr/^push $_  succeeded, 1 file, 3906 kB, in \d:\d\d$/, 'what came of it') foreach $run, $shared;
$run = sql(q{SELECT cloudsync_push_dossier('2', 'Drive "N"')});
ok(wait_run($node, $run), 'a small one');
sql("UPDATE cloudsync.run SET state = 'failed', files_done = 0, files_failed = 1, bytes_sent = 0, error = 'the storage is full',
	finished_at = started_at + interval '3723 s' WHERE run_id = $run");
is(sql("SELECT cloudsync_progress($run)"), "push $run  failed, 0 files, 1 failed, in 1:02:03: the storage is full", 'a failed one with its cause');

# --- metrics -------------------------------------------------------------------------------
sub metrics { return $node->safe_psql('postgres', ($_[0] // '') . 'SELECT cloudsync_metrics()', $_[1] ? (extra_params => [ '-U', $_[1] ]) : ()) . "\n" }

sub valid
{
	my ($text, $what) = @_;
	my ($said, $ok) = ('');
	$ok = IPC::Run::run([ 'promtool', 'check', 'metrics' ], '<', \$text, '>&', \$said);
	return ok($ok && $said eq '', $what) || diag($said);
}

# The value of a series by a pattern of its labels.
sub value
{
	my ($text, $name, $labels) = @_;
	my @found = $text =~ /^\Q$name\E\{$labels\} (\S+)$/mg;
	return @found == 1 ? $found[0] : "of @found";
}

my $mine = 'tenant="",connection="Drive \\\\"N\\\\"",provider="webdav"';
my $text = metrics();
valid($text, 'promtool has nothing to say');
is(value($text, 'cloudsync_runs_total', "$mine,kind=\"push\",state=\"succeeded\""), 2, 'executions are counted: two runs shared one');
is(value($text, 'cloudsync_sent_bytes_total', "$mine,kind=\"push\""), 4000005, 'bytes');
is(value($text, 'cloudsync_files_total', "$mine,kind=\"push\",result=\"done\""), 2, 'files');
cmp_ok(value($text, 'cloudsync_run_seconds_total', "$mine,kind=\"push\""), '>', 1, 'seconds');
is(value($text, 'cloudsync_connection_state', "$mine,state=\"active\""), 1, 'the connection is active');
is(value($text, 'cloudsync_connection_state', "$mine,state=\"disabled\""), 0, '... and not disabled');
is(value($text, 'cloudsync_push_interval_seconds', $mine), 900, 'every');
is(value($text, 'cloudsync_lag_seconds', $mine), 0, 'no lag');
is(value($text, 'cloudsync_processes', 'kind="scheduler"'), 1, 'a scheduler runs');
unlike($text, qr/S3CRET|plan\.bin|Dupont|127\.0\.0\.1/, 'no secret, file, dossier or address is in it');
is(sql('SELECT cloudsync.count_runs(1) + cloudsync.count_runs(1000) > 1'), 't', 'added to the totals, in steps');
my $counters = sub { join("\n", grep { /_total\{/ } split /\n/, $_[0]) };
is($counters->(metrics()), $counters->($text), '... the counters are the same');
sql('BEGIN; DELETE FROM cloudsync.run_file; DELETE FROM cloudsync.run; COMMIT');
is($counters->(metrics()), $counters->($text), '... and without the history too');

# A change that waits, deadlines, a failing connection, other tenants.
sql(qq{SELECT cloudsync_set_push('Drive "N"', auto_sync => true, every => '1 hour')});
ok(wait_for($node, 'SELECT NOT EXISTS (SELECT FROM cloudsync.backfill) AND NOT EXISTS (SELECT FROM cloudsync.due)'), 'what existed is looked at');
sql("UPDATE app.dossier SET title = 'Durand' WHERE id = 2");
$text = metrics();
cmp_ok(value($text, 'cloudsync_lag_seconds', $mine), '>', 0, 'a change: there is a lag');
is(value($text, 'cloudsync_deadlines_total', "$mine,kind=\"push\",result=\"$_\""), 0, "no deadline was $_ yet") foreach qw(kept missed);
sql(qq{SELECT cloudsync_set_push('Drive "N"', every => '1 second')});
sql("UPDATE app.dossier SET title = 'Lefebvre' WHERE id = 2");
ok(wait_for($node, "SELECT cloudsync_lag() = '0'"), 'pushed');
cmp_ok(value(metrics(), 'cloudsync_deadlines_total', "$mine,kind=\"push\",result=\"kept\"") + value(metrics(), 'cloudsync_deadlines_total', "$mine,kind=\"push\",result=\"missed\""),
	'>=', 1, '... and its deadline counts');
$node->safe_psql('postgres', <<'SQL');
SET cloudsync.tenant = 'acme';
SELECT cloudsync_connect('local', E'Archive \\ of all');
SQL
$text = metrics('', 'postgres');
valid($text, 'with a name that needs care, too');
like($text, qr/connection="Archive \\\\ of all"/, '... which is escaped');
$text = metrics("SET cloudsync.tenant = 'acme';", 'other');
valid($text, 'a tenant has its own');
unlike($text, qr/Drive|cloudsync_processes/, '... and nothing of others or of the server');
$server->stop;
sql("INSERT INTO app.dossier_file (dossier_id, name, content) VALUES (2, 'late.txt', 'late')");
ok(wait_for($node, "SELECT failures > 0 FROM cloudsync.connection WHERE provider = 'webdav'"), 'the service is away');
cmp_ok(value(metrics(), 'cloudsync_connection_failures', $mine), '>', 0, '... which a gauge says');
cmp_ok(value(metrics(), 'cloudsync_problems', 'severity="warning"'), '>', 0, '... and the status\'s');
sql(qq{SELECT cloudsync_disconnect('Drive "N"')});
unlike(metrics(), qr/Drive/, 'what was disconnected has no series');

$node->stop('fast');
done_testing();
