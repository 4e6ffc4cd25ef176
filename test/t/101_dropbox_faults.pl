# Dropbox at its worst, in pushes: namespaces that are locked, tokens that expire
# in the middle, answers that are lost after the commit, bytes that change on
# their way, quotas, and workers that are killed. Each ends with one copy of each
# file, whole.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use CloudsyncTest;
use DropboxTest;
use TestCloud;

plan skip_all => TestCloud::missing() if TestCloud::missing();

my ($node, $cloud) = dropbox_cluster('dropbox', conf => "restart_after_crash = on\ncloudsync.max_trash = 5000\n");
is(connect_dropbox('Box'), 'active', 'connected');
sql(q{SELECT cloudsync_set_push('Box', auto_sync => false, every => '1 second', on_delete => 'trash')});
my $dossier = 0;

# A dossier of 20 small files and one that goes by itself, and then changes to
# three of them, under a fault.
sub dossier
{
	$dossier++;
	sql(qq{INSERT INTO app.dossier (id, title) VALUES ($dossier, 'D$dossier');
		INSERT INTO app.dossier_file (dossier_id, name, content)
		SELECT $dossier, 'f' || n, convert_to(repeat(format('%s of $dossier ', n), 50 * n), 'UTF8') FROM generate_series(1, 20) n;
		INSERT INTO app.dossier_file (dossier_id, name, content) VALUES ($dossier, 'middle', convert_to(repeat('$dossier middle ', 150000), 'UTF8'))});
	return;
}

sub change
{
	sql(qq{UPDATE app.dossier_file SET content = content || convert_to('changed', 'UTF8') WHERE dossier_id = $dossier AND name IN ('f1', 'f2', 'f3', 'middle')});
	return;
}

# The push, by hand until it succeeds.
sub until_well
{
	my ($what) = @_;
	my $state = '';
	my $tries = 0;
	while ($state ne 'succeeded' && $tries++ < 4)
	{
		my $run = sql("SELECT cloudsync_push_dossier('$dossier', 'Box')");
		wait_for($node, "SELECT finished_at IS NOT NULL FROM cloudsync.history WHERE run_id = $run");
		$state = run_state($node, $run);
		note("$what: $state: " . sql("SELECT COALESCE(error, '') FROM cloudsync.history WHERE run_id = $run")) if $state ne 'succeeded';
	}
	is($state, 'succeeded', "$what: succeeds in the end");
	return $tries;
}

# What travels together depends on what is ready when, so that a fault may find nothing
# that it is for: then there is another dossier, or another change, for it.
sub under
{
	my ($what, $most, @faults) = @_;
	foreach my $part (qw(new changed))
	{
		my ($tries, @numbers);
		for (1 .. 3)
		{
			$part eq 'new' ? dossier() : change();
			@numbers = $cloud->fault(map { { service => 'dropbox', %$_ } } @faults);
			$tries = until_well("$what, $part");
			last if $cloud->committed($numbers[0]) > 0;
			note("$what, $part: it met nothing");
			$cloud->clear(@numbers);
		}
		cmp_ok($tries, '<=', $most, "$what, $part: within $most runs") if $most;
		cmp_ok($cloud->committed($numbers[0]), '>', 0, "$what, $part: it was put to the test");
		$cloud->clear(@numbers);
		is_same("$what, $part", undef);
	}
	change();
	sql("UPDATE app.dossier_file SET content = content WHERE false");
	until_well("$what, after");
	is_same("$what, after");
	return;
}

my $finish = 'files/upload_session/finish_batch_v2';
my $append = 'files/upload_session/append_batch';
under('locked entries', 1, { route => $finish, kind => 'locked', of => 'entry', entries => [ 0, 2 ] });
under('locked as a whole', 1, { route => $finish, kind => 'locked' });
under('locked in the union', 1, { route => $finish, kind => 'locked', of => 'error' });
under('locked upload', 1, { route => 'files/upload', kind => 'locked', of => 'error' });
under('expired token', 1, { route => $finish, kind => 'expired' });
under('expired token in the append', 1, { route => $append, kind => 'expired' });
under('throttled', 1, { route => $append, kind => 'throttle', retry_after => 1, form => 'json' });
under('lost commit', 1, { route => $finish, kind => 'reset', at => 'commit' });
under('lost upload', 1, { route => 'files/upload', kind => 'reset', at => 'commit' });
under('lost append', 1, { route => $append, kind => 'reset', at => 'commit' });
under('append cut off', 1, { route => $append, kind => 'partial' });
under('damaged append', 1, { route => $append, kind => 'flip_body' });
under('damaged upload', 1, { route => 'files/upload', kind => 'flip_body' });
under('server error', 0, { route => $finish, kind => 'internal', times => 2 });
under('a web page', 0, { route => $finish, kind => 'html' });
under('half an answer', 0, { route => $finish, kind => 'reset', at => 'answer' });
under('a lost session', 1, { route => $append, kind => 'entry_failure', entries => [1], error => 'not_found' });
under('a session lost at the commit', 0, { route => $finish, kind => 'entry_failure', entries => [1],
		error => { '.tag' => 'lookup_failed', lookup_failed => { '.tag' => 'not_found' } } });

# An upload that broke off is not gone on with when the bytes are others since: no
# mixture of both ever has the file's name.
dossier();
sql(qq{INSERT INTO app.dossier_file (dossier_id, name, content) VALUES ($dossier, 'large', convert_to(repeat('0123456789abcdef', 1280 * 1024), 'UTF8'))});
$cloud->fault({ service => 'dropbox', route => 'files/upload_session/append_v2', nth => 2, kind => 'status', status => 400, body => 'Error in call', content_type => 'text/plain' });
wait_for($node, 'SELECT finished_at IS NOT NULL FROM cloudsync.history WHERE run_id = ' . sql("SELECT cloudsync_push_dossier('$dossier', 'Box')"));
$cloud->clear;
is(sql(q{SELECT count(*) FROM cloudsync.pushed_file WHERE intent_session IS NOT NULL AND size IS NULL}), '1', 'an upload breaks off in the middle');
sql(qq{UPDATE app.dossier_file SET content = convert_to(repeat('fedcba9876543210', 1280 * 1024), 'UTF8') WHERE dossier_id = $dossier AND name = 'large'});
my $mark = $cloud->mark;
until_well('other bytes');
is($cloud->count({ service => 'dropbox', route => 'files/upload_session/finish', since => $mark }), 1, 'other bytes: one commit makes it whole');
is_same('other bytes');

# --- what was pushed is moved, renamed, brought to the trash -----------------------------------

# All three in each push: dossier and file get another name, another file is deleted.
dossier();
until_well('to be moved');
my $n = 3;
for my $fault ([ 'no answers', { kind => 'reset', at => 'commit' } ], [ 'nothing is done', { kind => 'reset' } ], [ 'locked', { kind => 'locked', of => 'error' } ],
	[ 'throttled', { kind => 'throttle', retry_after => 1, form => 'json' } ], [ 'server error', { kind => 'internal' } ], [ 'expired token', { kind => 'expired' } ])
{
	my ($what, $told) = @$fault;
	$n++;
	sql("UPDATE app.dossier SET title = 'D$dossier $what' WHERE id = $dossier; UPDATE app.dossier_file SET name = 'g$n' WHERE dossier_id = $dossier AND name = 'f$n';
		DELETE FROM app.dossier_file WHERE dossier_id = $dossier AND name = 'f@{[$n + 10]}'");
	my @numbers = map { $cloud->fault({ service => 'dropbox', %$told, @$_ }) } [ route => 'files/move_v2' ], [ route => 'files/move_v2', nth => 3 ], [ route => 'files/delete_v2' ];
	until_well("moves: $what");
	is(join(' ', map { $cloud->committed($_) } @numbers), '1 1 1', "moves: $what: all were put to the test");
	$cloud->clear;
	is_same("moves: $what");
}

# --- what only a person can mend is said -----------------------------------------------------------

dossier();
my $number = $cloud->fault({ service => 'dropbox', route => $finish, kind => 'quota', times => 0 });
my $run = sql("SELECT cloudsync_push_dossier('$dossier', 'Box')");
ok(wait_for($node, "SELECT count(*) > 0 FROM cloudsync_status() WHERE problem ~ 'full'"), 'a full Dropbox is said');
$cloud->clear;
until_well('there is room again');
is_same('there is room again');

# --- killed ----------------------------------------------------------------------------------------------

for my $point (qw(push.after_claim push.after_read push.after_write push.after_rename push.after_settle))
{
	my $offset = log_offset($node);
	dossier();
	crash_at($node, $point);
	crash_statement($node, "SELECT cloudsync_push_dossier('$dossier', 'Box')");
	ok($node->wait_for_log(qr/cloudsync worker.*was terminated by signal 9/, $offset), "$point: the worker is killed");
	crash_no_more($node);
	idle($point);
	is_same($point);
}

for my $point (qw(push.after_folder_move push.after_trash push.after_move))
{
	my $offset = log_offset($node);
	dossier();
	until_well("$point: before");
	sql(qq{UPDATE app.dossier SET title = 'D$dossier moved' WHERE id = $dossier; UPDATE app.dossier_file SET name = 'g1' WHERE dossier_id = $dossier AND name = 'f1';
		DELETE FROM app.dossier_file WHERE dossier_id = $dossier AND name = 'f2'});
	crash_at($node, $point);
	crash_statement($node, "SELECT cloudsync_push_dossier('$dossier', 'Box')");
	ok($node->wait_for_log(qr/cloudsync worker.*was terminated by signal 9/, $offset), "$point: the worker is killed");
	crash_no_more($node);
	idle($point);
	is_same($point);
}

# --- taken back ----------------------------------------------------------------------------------------------

dossier();
$cloud->act('dropbox', remove_app => { user => 'anna@example.com', app => 'dbxapp00cloudsync' });
sql("SELECT cloudsync_push_dossier('$dossier', 'Box')");
ok(wait_for($node, q{SELECT state = 'needs_consent' FROM cloudsync.connections WHERE connection = 'Box'}), 'consent that was taken back is said');
is(connect_dropbox('Box'), 'active', 'consent is renewed');
idle('renewed');
is_same('renewed');

done_testing();
