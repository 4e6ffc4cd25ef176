# Pushing to Dropbox, end to end against the test cloud: what travels and in how
# many requests (N8), what is moved, deleted, in the way, renamed by the customer
# (P5, P7, P8, P9, P16), and uploads that go on where they were cut off (P12).
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

is(connect_dropbox('Box'), 'active', 'connected by the code that the page shows');
like(sql(q{SELECT account FROM cloudsync.connections WHERE connection = 'Box'}), qr/^anna\@example\.com$/, 'the account is the one that consented');
sql(q{SELECT cloudsync_set_push('Box', auto_sync => false, every => '1 second')});
ok(wait_for($node, q{SELECT state = 'succeeded' FROM cloudsync.history WHERE kind = 'prepare'}), 'the root is made');

# --- 1,000 small files (N8) -----------------------------------------------------------

sub thousand
{
	my ($dossier) = @_;
	sql(qq{INSERT INTO app.dossier (id, title) VALUES ($dossier, 'D$dossier');
		INSERT INTO app.dossier_file (dossier_id, name, content)
		SELECT $dossier, format('File %s.txt', n), convert_to(repeat(format('%s of $dossier ', n), n), 'UTF8') FROM generate_series(1, 1000) n});
	return;
}

thousand(1);
my $mark = $cloud->mark;
push_all(1);
my ($n, $routes) = requests($mark);
cmp_ok($n, '<=', 50, '1,000 files with batched append: at most 0.05 requests a file') or diag($routes);
note("$n: $routes");
is_same('batches', 'd.id = 1');
is(sql(q{SELECT count(*) FROM cloudsync.files WHERE state = 'synced'}), 1000, 'all are recorded');
is(sql(q{SELECT count(*) FROM cloudsync.history_file WHERE error IS NOT NULL}), 0, 'all are verified');

$mark = $cloud->mark;
push_all(1);
($n, $routes) = requests($mark);
cmp_ok($n, '<=', 5, 'what is the same is not sent again') or diag($routes);

$cloud->act('dropbox', settings => { append_batch => \0 });
thousand(2);
$mark = $cloud->mark;
push_all(2);
($n, $routes) = requests($mark);
cmp_ok($n, '<=', 1010, '1,000 files without it: at most 1.01 requests a file') or diag($routes);
note("$n: $routes");
is_same('one call a file');
$cloud->act('dropbox', settings => { append_batch => \1 });

# --- one commit at a time -------------------------------------------------------------------

sql(q{INSERT INTO app.dossier (id, title) SELECT n, 'At once ' || n FROM generate_series(21, 24) n;
	INSERT INTO app.dossier_file (dossier_id, name, content) SELECT n, 'first', '1' FROM generate_series(21, 24) n});
sub at_once { return map { split /\n/, $_ } sql(q{SELECT cloudsync_push_dossier(n::text, 'Box') FROM generate_series(21, 24) n}) }
ok(wait_run($node, $_), 'a dossier is begun') foreach at_once();
sql(q{INSERT INTO app.dossier_file (dossier_id, name, content) SELECT d, 'f' || n, convert_to('x' || n, 'UTF8') FROM generate_series(21, 24) d, generate_series(1, 20) n});
$cloud->act('dropbox', locks => { hold => 0.3 });
$mark = $cloud->mark;
ok(wait_run($node, $_), 'pushes at once') foreach at_once();
is($cloud->count({ service => 'dropbox', route => 'files/upload_session/finish_batch_v2', since => $mark }), 4, 'no commit is put off by another of ours');
$cloud->act('dropbox', locks => { hold => 0.01 });
is_same('at once');

# --- updates, renames, deletions, conflicts ------------------------------------------------

sql(q{SELECT cloudsync_set_push('Box', on_delete => 'trash', auto_sync => true)});
sql(q{INSERT INTO app.dossier (id, title) VALUES (10, 'Ten');
	INSERT INTO app.dossier_file (dossier_id, name, content) SELECT 10, format('Page %s.txt', n), convert_to('page ' || n, 'UTF8') FROM generate_series(1, 12) n});
idle('a change');
$mark = $cloud->mark;
sql(q{DELETE FROM app.dossier_file WHERE name IN ('Page 10.txt', 'Page 11.txt', 'Page 12.txt')});
idle('deletions');
is($cloud->count({ service => 'dropbox', route => 'files/delete_v2', since => $mark }), 3, 'a request a deletion');
is_same('deletions');

$mark = $cloud->mark;
sql(q{UPDATE app.dossier_file SET content = 'new' WHERE name = 'Page 1.txt';
	UPDATE app.dossier_file SET name = 'Renamed.txt' WHERE name = 'Page 2.txt';
	UPDATE app.dossier_file SET name = 'PAGE 3.TXT' WHERE name = 'Page 3.txt';
	UPDATE app.dossier SET title = 'É 😀 Ten' WHERE id = 10});
idle('changes');
is($cloud->count({ service => 'dropbox', route => '/^files.upload/', since => $mark }), 1, 'what is only renamed is not sent again');
my ($found, $wanted) = (remote('/CloudSync'), expected());
is_deeply([ sort values %$found ], [ sort values %$wanted ], 'changes: each file is there once, whole');
is_deeply([ sort map { lc } keys %$found ], [ sort map { lc } keys %$wanted ], 'under its name');

# --- somebody else's changes (P8) ---------------------------------------------------------------

sub marked { return scalar(grep { /\(CloudSync \d{4}-\d\d-\d\d \d\dh\d\d\)/ } keys %{ remote('/CloudSync') }) }
sub decoded { my ($text) = @_; utf8::decode($text); return $text }
sub theirs { return sha('theirs ' . shift) }
sub sha { require Digest::SHA; return Digest::SHA::sha256_hex($_[0]) }

my $folder = 'É 😀 Ten';
sub edit { my ($name, $what) = @_; return $cloud->act('dropbox', edit => { path => decoded("/CloudSync/$folder/$name"), content => "theirs $what" }) }

sql(q{SELECT cloudsync_set_push('Box', on_conflict => 'skip')});
edit('Page 4.txt', 1);
sql(q{UPDATE app.dossier_file SET content = 'ours 1' WHERE name = 'Page 4.txt'});
idle('skip');
is(remote('/CloudSync')->{"$folder/Page 4.txt"}, theirs(1), 'skip: theirs stays');
is(marked(), 0, 'skip: and nothing is beside it');

sql(q{SELECT cloudsync_set_push('Box', on_conflict => 'overwrite')});
edit('Page 5.txt', 2);
sql(q{UPDATE app.dossier_file SET content = 'ours 2' WHERE name = 'Page 5.txt'});
idle('overwrite');
is(remote('/CloudSync')->{"$folder/Page 5.txt"}, sha('ours 2'), 'overwrite: ours is there');

sql(q{SELECT cloudsync_set_push('Box', on_conflict => 'keep_both')});
edit("Page $_.txt", 3) foreach 6 .. 9;
sql(q{UPDATE app.dossier_file SET content = 'ours 3' WHERE name SIMILAR TO 'Page [6-9].txt'});
idle('keep both');
is(remote('/CloudSync')->{"$folder/Page $_.txt"}, theirs(3), 'keep both: theirs stays') foreach 6 .. 9;
is(marked(), 4, 'keep both: ours is beside it');
sql(q{UPDATE app.dossier_file SET content = 'ours 4' WHERE name SIMILAR TO 'Page [6-9].txt'});
idle('once more');
is(marked(), 4, 'ours is updated where it is');
is(scalar(grep { $_ eq sha('ours 4') } values %{ remote('/CloudSync') }), 4, 'with what it is now');

# --- the customer renames and deletes (P16) --------------------------------------------------------

sql(q{INSERT INTO app.dossier (id, title) VALUES (3, 'D3');
	INSERT INTO app.dossier_file (dossier_id, name, content) SELECT 3, 'p' || n, convert_to('page ' || n, 'UTF8') FROM generate_series(1, 5) n});
idle('another dossier');
$cloud->act('dropbox', rename => { path => '/CloudSync', to => '/Cabinet' });
$cloud->act('dropbox', rename => { path => '/Cabinet/D3', to => '/Cabinet/Drei' });
$cloud->act('dropbox', delete => { path => '/Cabinet/Drei/p2' });
sql(q{UPDATE app.dossier_file SET content = 'page one' WHERE name = 'p1'; INSERT INTO app.dossier_file (dossier_id, name, content) VALUES (3, 'p6', '')});
idle('renamed');
is_deeply([ sort keys %{ remote('/Cabinet/Drei') } ], [qw(p1 p3 p4 p5 p6)], 'what they renamed is followed, what they deleted stays so');
is(remote('/Cabinet/Drei')->{p1}, sha('page one'), 'with what is new');
is_deeply(remote('/CloudSync'), {}, 'there is no second root');
is(sql(q{SELECT state FROM cloudsync.files WHERE file_key = (SELECT id::text FROM app.dossier_file WHERE name = 'p2' AND dossier_id = 3)}), 'removed_there', 'it is shown');

# --- a large file, cut off (P12) ------------------------------------------------------------------------

sql(q{INSERT INTO app.dossier (id, title) VALUES (4, 'Large');
	SELECT cloudsync_set_push('Box', auto_sync => false);
	INSERT INTO app.dossier_file (dossier_id, name, content) VALUES (4, 'large.bin', convert_to(repeat('0123456789abcdef', 40 * 65536), 'UTF8'))});
$mark = $cloud->mark;
my $stalled = $cloud->fault({ service => 'dropbox', route => 'files/upload_session/append_v2', nth => 3, kind => 'stall', at => 'before' });
my $run = sql(q{SELECT cloudsync_push_dossier('4', 'Box')});
for (1 .. 1800)
{
	last if $cloud->count({ service => 'dropbox', route => 'files/upload_session/append_v2', since => $mark }) >= 2;
	select undef, undef, undef, 0.1;
}
kill 'KILL', worker_pid($node, 'cloudsync worker');
$cloud->clear;
ok(wait_run($node, $run), 'a worker is killed in the middle; the push ends well');
my $sent = 0;
$sent += $_->{received} foreach $cloud->requests({ service => 'dropbox', route => '/^files.upload_session/', since => $mark });
is($cloud->count({ service => 'dropbox', route => 'files/upload_session/start', since => $mark }), 1, 'the upload went on');
cmp_ok($sent, '<', 1.5 * 40 * 1024 * 1024, 'with what was not there yet') or diag($sent);
is(remote('/Cabinet/Large')->{'large.bin'}, sha('0123456789abcdef' x (40 * 65536)), 'and is whole');
is(scalar(keys %{ remote('/Cabinet/Large') }), 1, 'and is there once');

# --- it is what cloudsync_check says, and disconnecting takes it back -----------------------------------

like(sql(q{SELECT concat_ws('|', state, account, used_bytes > 40000000, quota_bytes > 0) FROM cloudsync_check('Box')}), qr/^active\|anna\@example\.com\|t\|t$/, 'checked');
like(sql(q{SELECT string_agg(name || ' ' || kind, ',' ORDER BY name) FROM cloudsync_browse('Box', '/Cabinet')}), qr/Drei folder,Large folder/, 'browsed');

# --- a whole team's token, which acts for a member -----------------------------------------------------

my $team = $cloud->act('dropbox', grant => { app => 'dbxapp00cloudsync', user => 'anna@example.com', team => JSON::PP::true,
		scopes => [qw(account_info.read files.metadata.read files.content.read files.content.write)] });
my %endpoints = map { ("${_}_endpoint" => $cloud->url('dropbox', $_)) } qw(api content notify www);
sql(q{SELECT cloudsync_register_app('dropbox', 'dbxapp00cloudsync', 'dbxCloudSecret1')});
my $connect = sub {
	my (%more) = @_;
	my $options = JSON::PP->new->canonical->encode({ %endpoints, %more });
	return sql(qq{SELECT state FROM cloudsync_connect('dropbox', 'Team', '{"refresh_token": "$team->{refresh_token}"}', '$options')});
};
$connect->(select_user => 'dbmid:AAHhy7WsR0x-u4ZCqiDl5Fz5zvuL3kmspwX');
ok(wait_for($node, q{SELECT state = 'needs_consent' AND reason ~ 'select_user' FROM cloudsync.connections WHERE connection = 'Team'}), 'a team\'s token: a member that is none is named');
$connect->(select_user => 'dbmid:AAHhy7WsR0x-u4ZCqiDl5Fz5zvuL3kmspwU', path_root => 'root');
ok(wait_for($node, q{SELECT account = 'bert@example.org' FROM cloudsync.connections WHERE connection = 'Team'}), 'acting for a member, it is the member\'s account')
  or diag(sql(q{SELECT state, reason FROM cloudsync.connections WHERE connection = 'Team'}));
like(sql(q{SELECT string_agg(name, ',' ORDER BY name) FROM cloudsync_browse('Team')}), qr/Projects/, 'and the team\'s space');

done_testing();
