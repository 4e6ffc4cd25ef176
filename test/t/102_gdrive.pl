# Google Drive end to end, against the test cloud: pushed, changed, moved, trashed,
# conflicts, what a customer renames and deletes, uploads that are cut off, tokens
# that end, collections by the feed of changes, exports, shortcuts, and how many
# requests each of it costs (P5 to P9, P12, P16, L4, L7, L8, N9, N9b, N10).
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use CloudsyncTest;
use FolderTest;
use TestCloud;

plan skip_all => TestCloud::missing() if TestCloud::missing();

my $cloud = TestCloud->start;
my $node = new_cluster('gdrive', conf => $cloud->conf . "restart_after_crash = on\ncloudsync.stability_delay = '0'\n");
create_extension($node);
application_schema($node);

sub sql { return scalar_sql($node, $_[0]) }
sub act { my ($act, %told) = @_; return $cloud->act('google', $act => \%told) }

# What is there: paths, the folder they are in left out.
sub there
{
	my ($path) = @_;
	return join ',', sort map { substr($_->{path}, length $path) . ($_->{kind} eq 'folder' ? '/' : '') }
	  grep { $_->{path} ne $path } @{ $cloud->act('google', tree => { path => $path }) };
}

sub push_now
{
	my ($dossier, $state) = @_;
	my $run = sql("SELECT cloudsync_push_dossier('$dossier', 'Drive')");
	ok(wait_run($node, $run, $state), "dossier $dossier is pushed") or diag(sql("SELECT error FROM cloudsync.history WHERE run_id = $run"));
	return sql("SELECT string_agg(action, ',' ORDER BY action) FROM cloudsync.history_file WHERE run_id = $run");
}

sub collect_now
{
	my $run = sql(q{SET client_min_messages = error; SELECT cloudsync_collect('Scans')});
	ok(wait_run($node, $run), 'collected') or diag(sql("SELECT error FROM cloudsync.history WHERE run_id = $run"));
	return sql("SELECT string_agg(name, ',' ORDER BY name) FROM cloudsync.document WHERE run_id = $run");
}

# Requests to the API since a mark, but for the token server's.
sub asked
{
	my ($mark, $route) = @_;
	return $cloud->count({ service => 'google', host => 'api', since => $mark, $route ? (route => $route) : () });
}

my $key = act('service_account', name => 'push', delegated => ['https://www.googleapis.com/auth/drive']);
my $file = JSON::PP->new->canonical->encode($key);
my $credentials = qq({"service_account": $file, "subject": "anna\@example.com"}) =~ s/'/''/gr;
my $options = sprintf '{"api_endpoint": "%s", "token_endpoint": "%s/token", "revoke_endpoint": "%s/revoke"}',
  $cloud->url('google', 'api'), ($cloud->url('google', 'oauth')) x 2;
is(sql("SELECT state FROM cloudsync_connect('gdrive', 'Drive', '$credentials', '$options')"), 'active', 'connected');
ok(wait_for($node, q{SELECT account = 'anna@example.com' FROM cloudsync.connections}), 'the service says whose account it is');
is(sql("SELECT concat_ws('|', state, account) FROM cloudsync_check('Drive')"), 'active|anna@example.com', 'checked');
is(sql(q{SELECT string_agg(path, ',') FROM cloudsync_browse('Drive')}), '', 'browsed');
sql(q{SELECT cloudsync_track('app.dossier', 'app.dossier_file')});
sql(q{SELECT cloudsync_set_push('Drive', auto_sync => false, on_delete => 'trash')});
ok(wait_for($node, q{SELECT count(*) = 1 FROM cloudsync.history WHERE kind = 'prepare' AND state = 'succeeded'}), 'the root is made');

# --- pushing ------------------------------------------------------------------------
sql(q{INSERT INTO app.dossier (id, title) VALUES (1, 'Dupré');
INSERT INTO app.dossier_file (id, dossier_id, name, content) VALUES (1, 1, 'a.txt', 'one'), (2, 1, 'it''s \b.txt', ''), (3, 1, 'c😀.pdf', 'three')});
is(push_now(1), 'create,create,create', 'three files are made');
is(there('/CloudSync'), "/Dupr\x{e9}/,/Dupr\x{e9}/a.txt,/Dupr\x{e9}/c\x{1f600}.pdf,/Dupr\x{e9}/it's -b.txt", '... and there');
my $id = act('item', path => "/CloudSync/Dupr\x{e9}/a.txt")->{id};

sql(q{UPDATE app.dossier_file SET content = 'one more' WHERE id = 1});
my $mark = $cloud->mark;
is(push_now(1), 'update', 'one is replaced');
is(act('item', path => "/CloudSync/Dupr\x{e9}/a.txt")->{id}, $id, '... and stays the same file');
is(asked($mark, 'upload.update'), 1, '... by one upload');

sql(q{UPDATE app.dossier_file SET name = 'a2.txt' WHERE id = 1});
is(push_now(1), 'move', 'a renamed one is renamed there');
sql(q{UPDATE app.dossier SET title = 'Durand' WHERE id = 1});
like(push_now(1), qr/^move/, 'a renamed dossier is moved');
is(there('/CloudSync'), "/Durand/,/Durand/a2.txt,/Durand/c\x{1f600}.pdf,/Durand/it's -b.txt", '... with all that is in it');
sql(q{DELETE FROM app.dossier_file WHERE id = 3});
is(push_now(1), 'trash', 'a deleted one goes to the trash');
is(there('/CloudSync'), q{/Durand/,/Durand/a2.txt,/Durand/it's -b.txt}, '... of the service');

# --- what customers do ----------------------------------------------------------------
act('edit', path => '/CloudSync/Durand/a2.txt', text => 'by the customer');
sql(q{UPDATE app.dossier_file SET content = 'by us' WHERE id = 1});
like(push_now(1), qr/create|update|conflict/, 'a file that its customer changed');
like(there('/CloudSync'), qr{/Durand/a2 \(CloudSync [^)]*\)\.txt,/Durand/a2\.txt}, '... is left, ours is beside it');

act('rename', path => '/CloudSync', name => 'Our files');
act('move', path => '/Our files/Durand', to => '/Elsewhere', name => 'Durand SA');
sql(q{INSERT INTO app.dossier_file (id, dossier_id, name, content) VALUES (4, 1, 'd.txt', 'four')});
$mark = $cloud->mark;
is(push_now(1), 'create', 'a root and a folder that were renamed and moved are found');
like(there('/Elsewhere/Durand SA'), qr{/d\.txt}, '... and written to');
is($cloud->act('google', item => { path => '/Our files' })->{twins}, 1, '... and no second root is made');
ok(asked($mark) < 15, '... without listing the account') or diag(asked($mark));
act('trash', path => '/Elsewhere/Durand SA/d.txt');
is(push_now(1), 'create,removed_there', 'what a person pushes by hand is sent again after it was deleted there');

# --- counts -------------------------------------------------------------------------------
sql(q{INSERT INTO app.dossier (id, title) VALUES (2, 'Many');
INSERT INTO app.dossier_file (id, dossier_id, name, content) SELECT 100 + n, 2, 'f' || n, convert_to('content ' || n, 'UTF8') FROM generate_series(1, 400) n});
$mark = $cloud->mark;
my $began = time;
push_now(2);
my $n = asked($mark);
is(asked($mark, 'upload.create'), 400, 'a new small file costs one upload');
# what was listed five seconds ago is looked at and listed again
sub again { return 2 * int((time - $began) / 5) }
cmp_ok($n, '<=', 404 + again(), '... and nothing more (N9): 400 files, their folder, ids and looks') or diag(explain($cloud->routes({ service => 'google', since => $mark })));
is(scalar(split /,/, there('/Our files/Many')), 400, 'each is there once');

# files that take their time: one listing again for all that are left
sql(q{INSERT INTO app.dossier (id, title) VALUES (30, 'Slowly');
INSERT INTO app.dossier_file (id, dossier_id, name, content) SELECT 5000 + n, 30, 'f' || n, convert_to('slowly ' || n, 'UTF8') FROM generate_series(1, 40) n});
$node->append_conf('postgresql.conf', 'cloudsync.max_transfers_per_connection = 1');
$node->reload;
$cloud->fault({ service => 'google', route => 'upload.create', kind => 'stall', at => 'commit', seconds => 5.5 });
$mark = $cloud->mark;
$began = time;
push_now(30);
is(asked($mark, 'upload.create'), 40, 'files that take their time cost one upload each');
# (2: a connection that had no work for 5 seconds is opened anew)
cmp_ok(asked($mark), '<=', 46 + again(), '... and another listing, not a look each') or diag(explain($cloud->routes({ service => 'google', since => $mark })));
$node->append_conf('postgresql.conf', 'cloudsync.max_transfers_per_connection = 8');
$node->reload;

# --- faults: answers lost after the work was done, and workers that are killed ---------------------
sql(q{INSERT INTO app.dossier (id, title) VALUES (3, 'Lost');
INSERT INTO app.dossier_file (id, dossier_id, name, content) SELECT 1000 + n, 3, 'f' || n, convert_to('lost ' || n, 'UTF8') FROM generate_series(1, 5) n});
$cloud->fault({ service => 'google', route => 'files.create', kind => 'reset', at => 'commit' },
	{ service => 'google', route => 'upload.create', kind => 'reset', at => 'commit', times => 2 },
	{ service => 'google', route => 'upload.create', nth => 4, kind => 'unavailable', commit => 1 },
	{ service => 'google', route => 'upload.create', nth => 5, kind => 'expired' });
push_now(3);
is(there('/Our files/Lost'), '/f1,/f2,/f3,/f4,/f5', 'lost answers and an expired token: each file once');
is($cloud->act('google', item => { path => '/Our files/Lost' })->{twins}, 1, '... in one folder');
$cloud->clear;

my $d = 3;
foreach my $point ('push.after_folder_checkpoint', 'push.after_read', 'push.after_rename')
{
	$d++;
	crash_at($node, $point);
	my $offset = log_offset($node);
	crash_statement($node, "BEGIN; INSERT INTO app.dossier (id, title) VALUES ($d, 'Killed $d');
		INSERT INTO app.dossier_file (id, dossier_id, name, content) VALUES ($d * 10000, $d, 'k1', 'k one'), ($d * 10000 + 1, $d, 'k2', 'k two'); COMMIT");
	crash_statement($node, "SELECT cloudsync_push_dossier('$d', 'Drive')");
	ok($node->wait_for_log(qr/crash point \Q$point\E\b/, $offset), "killed at $point");
	crash_no_more($node);
	ok(wait_for($node, "SELECT count(*) = 2 FROM cloudsync.files WHERE state = 'synced' AND path LIKE '%/Killed $d/%'"), '... the work is finished');
	is(there("/Our files/Killed $d"), '/k1,/k2', '... each file is there once');
	is($cloud->act('google', item => { path => "/Our files/Killed $d" })->{twins}, 1, '... in one folder');
}

# in a folder that is made the ids are written down with the intents, many at once
crash_at($node, 'push.after_checkpoint');
sql(q{INSERT INTO app.dossier (id, title) VALUES (7, 'Unchecked');
INSERT INTO app.dossier_file (id, dossier_id, name, content) SELECT 7000 + n, 7, 'f' || n, convert_to('unchecked ' || n, 'UTF8') FROM generate_series(1, 5) n});
my $offset = log_offset($node);
push_now(7);
is(there('/Our files/Unchecked'), '/f1,/f2,/f3,/f4,/f5', 'new files in a new folder are sent');
ok(!$node->log_contains(qr/crash point push\.after_checkpoint/, $offset), '... without a checkpoint for each');
crash_no_more($node);

# --- larger ones, in sessions ---------------------------------------------------------------------
sql(q{INSERT INTO app.dossier (id, title) VALUES (20, 'Large');
INSERT INTO app.dossier_file (id, dossier_id, name, content) SELECT 9000, 20, 'large.bin', convert_to(string_agg(md5(n::text), ''), 'UTF8') FROM generate_series(1, 750000) n});
my @faults = $cloud->fault({ service => 'google', route => 'upload.session', kind => 'partial_chunk', keep => 5_000_000 },
	{ service => 'google', route => 'upload.session', nth => 2, kind => 'reset', at => 'body', after => 3_000_000 },
	{ service => 'google', route => 'upload.session', nth => 3, kind => 'expired' });
is(push_now(20), 'create', 'a large file goes in a session');
is(sql(q{SELECT encode(sha256(content), 'hex') FROM app.dossier_file WHERE id = 9000}),
	act('item', path => '/Our files/Large/large.bin')->{sha256}, '... whole, though less was kept, a piece broke off and the token ended');
is(join(',', map { $cloud->committed($_) } @faults), '1,1,1', '... all three of which happened');
is($cloud->act('google', 'sessions')->{sessions}, 0, '... and leaves no session');
is(sql(q{SELECT count(*) FROM cloudsync.pushed_file WHERE intent_session IS NOT NULL}), 0, '... nor a trace of one here');
$cloud->clear;

# --- collecting -------------------------------------------------------------------------------------
sql(q{SELECT cloudsync_add_recipient('ann')});
act('add', path => '/Scans/2026/one.pdf', text => 'scan one');
act('add', path => '/Scans/empty.txt', text => '');
act('add', path => '/Scans/a/b.txt', text => 'x');
act('native', path => '/Scans/Letter', mime => 'document', text => 'exported');
act('add', path => '/Other/target.txt', text => 'by a shortcut');
act('shortcut', path => '/Scans/link', target => '/Other/target.txt');
sql(q{SELECT cloudsync_create_channel('Drive', 'Scans', '{/Scans}', 'ann', 'post', auto_collect => false)});
is(collect_now(), 'Letter.pdf,b.txt,empty.txt,link,one.pdf', 'a folder is collected: files, exports, shortcuts');
is(sql(q{SELECT convert_from(cloudsync_content(document_id), 'UTF8') FROM cloudsync.document WHERE name = 'link'}), 'by a shortcut', 'a shortcut is what it leads to');
$mark = $cloud->mark;
is(collect_now(), '', 'nothing is collected twice');
is(asked($mark), 1, '... and that costs one request (N10)');
act('add', path => '/Scans/two.pdf', text => 'scan two');
act('rename', path => '/Scans/2026/one.pdf', name => 'uno.pdf');
act('view', path => '/Scans/empty.txt');
act('add', path => '/Elsewhere/three.pdf', text => 'not for us');
$mark = $cloud->mark;
is(collect_now(), 'two.pdf', 'a new file is collected, a renamed one is known');
is(asked($mark), 2, '... by one request for the changes and one for the file (N9b)') or diag(explain($cloud->routes({ service => 'google', host => 'api', since => $mark })));
act('move', path => '/Elsewhere/three.pdf', to => '/Scans');
act('trash', path => '/Scans/two.pdf');
is(collect_now(), 'three.pdf', 'one that is moved in is collected');
is(sql(q{SELECT state FROM cloudsync.items WHERE name = 'two.pdf'}), 'gone', 'one in the trash is gone');
$cloud->fault({ service => 'google', route => 'changes.list', kind => 'bad_token', status => 410 });
is(collect_now(), '', 'a cursor that is refused: all is listed anew, and nothing collected twice');

connected_folders($node, connection => 'Drive', put => sub { act('add', path => $_[0], text => $_[1]) });
is(sql('SELECT count(*) FROM cloudsync_status()'), 0, 'all is well') or diag(sql('SELECT subject, problem FROM cloudsync_status()'));
done_testing();
