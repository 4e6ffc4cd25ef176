# Google Drive, and workers that are killed: at the claim, while files travel and when
# their results are settled, in pushes and in collections; in the middle of an upload
# session, which a new process goes on with, or not, since the content has changed
# meanwhile. One copy of each file there, each document here once (P12, L4).
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use CloudsyncTest;
use GdriveTest;
use TestCloud;

plan skip_all => TestCloud::missing() if TestCloud::missing();

my ($node, $cloud) = gdrive_cluster('gdrive_killed', conf => "restart_after_crash = on\ncloudsync.max_trash = 5000\n");
is(connect_gdrive('Box'), 'active', 'connected');
sql(q{SELECT cloudsync_set_push('Box', auto_sync => false, on_delete => 'trash', folder => '{dossier_label}')});
sql(q{SELECT cloudsync_add_recipient('ann'); SELECT cloudsync_create_channel('Box', 'Scans', '{/Scans}', 'ann', 'post', auto_collect => false)});

# The statement's work, whose worker is killed at a point; then the work goes on.
sub killed
{
	my ($point, $statement) = @_;
	my $offset = log_offset($node);
	crash_at($node, $point);
	crash_statement($node, $statement);
	ok($node->wait_for_log(qr/crash point \Q$point\E\b/, $offset), "$point: killed");
	crash_no_more($node);
	idle($point);
	return;
}

# --- pushes: what is new, changed, renamed, deleted, and a folder that has another name -------

my @points = qw(push.after_claim push.after_read push.after_folder_move push.after_move push.after_trash
  push.after_checkpoint push.after_rename push.before_settle_commit push.after_settle);
sql(qq{INSERT INTO app.dossier (id, title) SELECT n, 'D' || n FROM generate_series(1, @{[scalar @points]}) n;
	INSERT INTO app.dossier_file (dossier_id, name, content) SELECT d.id, f || '.txt', convert_to(f || ' of ' || d.id, 'UTF8') FROM app.dossier d, unnest('{same,changed,renamed,deleted}'::text[]) f});
push_all($_) foreach 1 .. @points;
is_same('before');
my $dossier = 0;
for my $point (@points)
{
	$dossier++;
	sql(qq{UPDATE app.dossier SET title = 'E$dossier' WHERE id = $dossier;
		UPDATE app.dossier_file SET content = 'other bytes' WHERE dossier_id = $dossier AND name = 'changed.txt';
		UPDATE app.dossier_file SET name = 'another name.txt' WHERE dossier_id = $dossier AND name = 'renamed.txt';
		DELETE FROM app.dossier_file WHERE dossier_id = $dossier AND name = 'deleted.txt';
		INSERT INTO app.dossier_file (dossier_id, name, content) VALUES ($dossier, 'new.txt', 'new')});
	killed($point, "SELECT cloudsync_push_dossier('$dossier', 'Box')");
	is_same($point);
}
is(scalar(grep { $_->{trashed} } @{ act(tree => path => '/', trashed => \1) }), scalar(@points), 'in the trash is what was deleted, and nothing else');

# --- collections ---------------------------------------------------------------------------------

act(add => path => '/Scans/first.pdf', text => 'the first');
my $run = sql(q{SELECT cloudsync_collect('Scans')});
ok(wait_run($node, $run), 'collected');
my $n = 1;
for my $point (qw(collect.after_claim collect.after_page collect.after_chunk collect.after_download collect.before_settle_commit collect.after_settle))
{
	act(add => path => "/Scans/$point $_.pdf", text => "$point $_") foreach 1, 2;
	act(add => path => "/Scans/$point 3.pdf", size => 2_500_000);
	killed($point, q{SELECT cloudsync_collect('Scans')});
	$n += 3;
	is(sql('SELECT count(*), count(DISTINCT name), count(*) FILTER (WHERE sha256 = sha256(cloudsync_content(document_id))) FROM cloudsync.document'),
		"$n|$n|$n", "$point: each document is here once, whole");
}

# A page of 1,000 is stored piece by piece; what its first piece shows is received before
# all of it is, and so before the next page is asked for.
sub piece_by_piece
{
	my $offset = log_offset($node);
	act(bulk => path => '/Many', count => 1001, size => 20, quiet => \1);
	sql(q{SELECT cloudsync_create_channel('Box', 'Many', '{/Many}', 'ann', 'post', auto_collect => false, include => '{*0.*}')});
	crash_at($node, 'collect.after_piece');
	crash_statement($node, q{SELECT cloudsync_collect('Many')});
	ok($node->wait_for_log(qr/crash point collect.after_piece\b/, $offset), 'collect.after_piece: killed');
	my $pieces = "FROM cloudsync.item i JOIN cloudsync.channel h USING (channel_id) WHERE h.name = 'Many'";
	crash_no_more($node, "cloudsync.enabled = off\n");
	# (if that had come to the disk by then)
	like(sql("SELECT count(*) $pieces"), qr/^(?:0|64)$/, '... when the first piece of a page was stored');
	my $mark = $cloud->mark;
	$node->append_conf('postgresql.conf', "cloudsync.enabled = on\n");
	$node->reload;
	idle('collect.after_piece');
	is(sql("SELECT count(*), count(DISTINCT path), count(*) FILTER (WHERE state = 'collected') $pieces"), '1001|1001|101', '... each is listed once');
	is(sql("SELECT count(*), count(DISTINCT d.name), bool_and(d.sha256 = sha256(cloudsync_content(document_id)))
		FROM cloudsync.document d JOIN cloudsync.channel h USING (channel_id) WHERE h.name = 'Many'"), '101|101|t', '... and each that is wanted collected once, whole');
	my @asked = $cloud->requests({ service => 'google', host => 'api', since => $mark });
	my ($first) = map { $_->{n} } grep { $_->{route} eq 'files.media' } @asked;
	my $last = (map { $_->{n} } grep { $_->{route} eq 'files.list' } @asked)[-1];
	cmp_ok($first, '<', $last, 'documents are received before a page is stored whole') or diag(join ' ', map { $_->{route} } @asked);
	return;
}

piece_by_piece();

# --- an upload session -----------------------------------------------------------------------------

# A worker is killed when the first of two pieces is there; what is to be done then,
# and the bytes and sessions that it takes from there on.
sub cut_off
{
	my ($what, $dossier, $meanwhile) = @_;
	my $fault = $cloud->fault({ service => 'google', route => 'upload.session', nth => 2, kind => 'stall' });
	my $push = sql("SELECT cloudsync_push_dossier('$dossier', 'Box')");
	for (1 .. 1800)
	{
		last if $cloud->committed($fault);
		select undef, undef, undef, 0.1;
	}
	my $worker = worker_pid($node, 'cloudsync worker');
	# what changes is for the next process: this one would end the session and begin
	# another, which only the service ends if it is killed before it has written it down
	kill 'STOP', $worker;
	sql($meanwhile) if $meanwhile;
	my $mark = $cloud->mark;
	kill 'KILL', $worker;
	$cloud->clear;
	# what changed while it was read goes with the next push, at once
	ok($meanwhile || wait_run($node, $push), "$what: the push ends well");
	idle($what);
	is_same($what);
	is(act('sessions')->{sessions}, 0, "$what: no session is left");
	is(sql('SELECT count(*) FROM cloudsync.pushed_file WHERE intent_session IS NOT NULL'), 0, "$what: nor a trace of one");
	my $sent = 0;
	$sent += $_->{received} foreach $cloud->requests({ service => 'google', route => 'upload.session', since => $mark });
	return ($sent, $cloud->count({ service => 'google', route => '/^upload.(create|update)/', since => $mark }));
}

sub large
{
	my ($what) = @_;
	return "convert_to(repeat('$what, 16 bytes.', 17 * 65536), 'UTF8')";
}

sql(qq{INSERT INTO app.dossier (id, title) VALUES (100, 'E100');
	INSERT INTO app.dossier_file (dossier_id, name, content) VALUES (100, 'large.bin', @{[large('first')]})});
my ($sent, $begun) = cut_off('a new file', 100);
is($begun, 0, 'the session is gone on with');
cmp_ok($sent, '<', 2 * 1048576, 'with what was not there yet') or diag($sent);

sql(qq{UPDATE app.dossier_file SET content = @{[large('other')]} WHERE dossier_id = 100});
($sent, $begun) = cut_off('a file that is replaced', 100);
is($begun, 0, 'the session is gone on with');
cmp_ok($sent, '<', 2 * 1048576, 'with what was not there yet') or diag($sent);

sql(qq{UPDATE app.dossier_file SET content = @{[large('third')]} WHERE dossier_id = 100});
($sent, $begun) = cut_off('a content that has changed meanwhile', 100, qq{UPDATE app.dossier_file SET content = @{[large('fourth')]} WHERE dossier_id = 100});
is($begun, 1, 'another session is begun');
is(act(item => path => '/CloudSync/E100/large.bin')->{twins}, 1, 'it is one file still');

sql(qq{INSERT INTO app.dossier (id, title) VALUES (101, 'E101');
	INSERT INTO app.dossier_file (dossier_id, name, content) VALUES (101, 'large.bin', @{[large('fifth')]})});
($sent, $begun) = cut_off('a new file whose content has changed meanwhile', 101, q{UPDATE app.dossier_file SET content = 'small by now' WHERE dossier_id = 101});
is(act(item => path => '/CloudSync/E101/large.bin')->{twins}, 1, 'it is one file');

is(sql('SELECT count(*) FROM cloudsync_status()'), 0, 'all is well') or diag(sql('SELECT subject, problem FROM cloudsync_status()'));
$node->stop;
done_testing();
