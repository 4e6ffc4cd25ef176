# What Google Drive alone has: shortcuts whose targets change and documents that are
# too large for an export (L7); shared drives from end to end; a service account that
# has no storage.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use CloudsyncTest;
use GdriveTest;
use TestCloud;

plan skip_all => TestCloud::missing() if TestCloud::missing();

my ($node, $cloud) = gdrive_cluster('gdrive_drives', conf => "cloudsync.max_trash = 5000\n");
is(connect_gdrive('Box'), 'active', 'connected');
sql(q{SELECT cloudsync_add_recipient('ann')});

sub collect
{
	my ($channel, $state) = @_;
	my $run = sql("SET client_min_messages = error; SELECT cloudsync_collect('$channel')");
	ok(wait_run($node, $run, $state), "$channel: collected") or diag(sql("SELECT error FROM cloudsync.history WHERE run_id = $run"));
	return sql("SELECT string_agg(name, ',' ORDER BY name COLLATE \"C\") FROM cloudsync.document WHERE run_id = $run");
}

# --- shortcuts whose targets change -----------------------------------------------------------------

sub items { return sql(q{SELECT string_agg(path || ' ' || state, ',' ORDER BY path COLLATE "C") FROM cloudsync.items WHERE channel = 'Links' AND kind <> 'folder' AND state <> 'gone'}) }
act(add => path => "/Targets/$_.txt", text => "target $_") foreach 'one', 'two', 'folder/three';
act(shortcut => path => '/Links/first', target => '/Targets/one.txt');
act(shortcut => path => '/Links/second', target => '/Targets/two.txt');
act(shortcut => path => '/Links/below', target => '/Targets/folder');
sql(q{SELECT cloudsync_create_channel('Box', 'Links', '{/Links}', 'ann', 'post', auto_collect => false)});
is(collect('Links'), 'first,second,three.txt', 'shortcuts are followed');
act(edit => path => '/Targets/one.txt', text => 'other bytes');
act(rename => path => '/Targets/two.txt', name => 'zwei.txt');
act(rename => path => '/Targets/folder', name => 'Ordner');
act(add => path => '/Targets/Ordner/four.txt', text => 'target four');
is(collect('Links'), 'four.txt', 'what comes into a folder behind a shortcut is collected');
is(items(), '/Links/below/four.txt collected,/Links/below/three.txt collected,/Links/first changed,/Links/second collected', 'what the shortcuts lead to has changed, or has another name');
act(rename => path => '/Links/second', name => 'zweiter');
act(move => path => '/Targets/one.txt', to => '/Targets/Ordner');
is(collect('Links'), '', 'a shortcut that is renamed is no new document');
is(items(), '/Links/below/four.txt collected,/Links/below/one.txt changed,/Links/below/three.txt collected,/Links/first changed,/Links/zweiter collected', '... and what comes into the folder by itself is there twice');
act(trash => path => '/Links/zweiter');
act(trash => path => '/Targets/Ordner/one.txt');
collect('Links');
is(items(), '/Links/below/four.txt collected,/Links/below/three.txt collected', 'a shortcut that is deleted is gone, and one whose target is');
act(untrash => path => '/Links/zweiter');
is(collect('Links'), '', 'one that is there again leads to what is known');
is(items(), '/Links/below/four.txt collected,/Links/below/three.txt collected,/Links/zweiter collected', '... and is there');
act(trash => path => '/Links/below');
collect('Links');
is(items(), '/Links/zweiter collected', 'a folder\'s shortcut takes along what was behind it');

# --- documents that are too large for an export --------------------------------------------------------

my $large = 'x' x (10 * 1048576 + 1);
act(native => path => '/Docs/Small', mime => 'document', text => 'small');
act(native => path => '/Docs/Large', mime => 'document', text => $large);
sql(q{SELECT cloudsync_create_channel('Box', 'Docs', '{/Docs}', 'ann', 'post', auto_collect => false)});
my $mark = $cloud->mark;
is(collect('Docs'), 'Large.pdf,Small.pdf', 'a document that is too large for an export is collected');
is(sql(q{SELECT size FROM cloudsync.document WHERE name = 'Large.pdf'}), 10 * 1048576 + 1, '... whole');
is(asked($mark, 'docs.export'), 1, '... by the link of its format');
is(collect('Docs'), '', '... once');
act(setting => export_redirect => \1);
act(native => path => '/Docs/Elsewhere', mime => 'spreadsheet', text => "$large y");
is(collect('Docs'), 'Elsewhere.pdf', '... also where the link leads on to another host');

# --- shared drives ------------------------------------------------------------------------------------------

my $drive = act(drive => name => 'Firm', members => { 'anna@example.com' => 'organizer' });
is(connect_gdrive('Firm', options => { drive_id => $drive->{id} }), 'active', 'a shared drive is connected');
is(sql(q{SELECT state FROM cloudsync_check('Firm')}), 'active', '... and checked');
ok(wait_for($node, q{SELECT account = 'Firm (anna@example.com)' FROM cloudsync.connections WHERE connection = 'Firm'}), '... and has its name');
sql(q{SELECT cloudsync_set_push('Firm', auto_sync => false, on_delete => 'trash', folder => '{dossier_label}')});
sub firm
{
	my ($state) = @_;
	my $run = sql(q{SELECT cloudsync_push_dossier('1', 'Firm')});
	ok(wait_run($node, $run, $state), 'pushed to the shared drive') or diag(sql("SELECT error FROM cloudsync.history WHERE run_id = $run"));
	return sql("SELECT string_agg(action, ',' ORDER BY action) FROM cloudsync.history_file WHERE run_id = $run");
}
sub in_firm { my ($path) = @_; return remote($path, drive => 'Firm') }
sql(qq{INSERT INTO app.dossier (id, title) VALUES (1, 'D1');
	INSERT INTO app.dossier_file (dossier_id, name, content) SELECT 1, f, convert_to(f, 'UTF8') FROM unnest('{a,b,c,d,e}'::text[]) f;
	INSERT INTO app.dossier_file (dossier_id, name, content) VALUES (1, 'large', convert_to(repeat('0123456789abcdef', 5 * 65536 + 1), 'UTF8'))});
is(firm(), join(',', ('create') x 6), 'a dossier is pushed to the shared drive');
is_deeply(in_firm('/CloudSync'), expected('d.id = 1'), '... and is there, whole');
sql(q{UPDATE app.dossier_file SET content = 'replaced' WHERE dossier_id = 1 AND name = 'a';
	UPDATE app.dossier_file SET name = 'bb' WHERE dossier_id = 1 AND name = 'b'; DELETE FROM app.dossier_file WHERE dossier_id = 1 AND name = 'c';
	UPDATE app.dossier SET title = 'Firm D1' WHERE id = 1});
like(firm(), qr/trash/, 'changes are pushed');
is_deeply(in_firm('/CloudSync'), expected('d.id = 1'), '... and are there');
act(add => path => '/Inbox/one.txt', drive => 'Firm', text => 'one');
act(shortcut => path => '/Inbox/link', drive => 'Firm', target_id => act(add => path => '/Mine/far.txt', text => 'in my drive')->{id});
sql(q{SELECT cloudsync_create_channel('Firm', 'Firm', '{/Inbox}', 'ann', 'post', auto_collect => false)});
is(collect('Firm'), 'link,one.txt', 'a folder of the shared drive is collected');
$mark = $cloud->mark;
is(collect('Firm'), '', 'once');
is(asked($mark), 1, '... and a poll is one request (N10)');
act(add => path => '/Inbox/two.txt', drive => 'Firm', text => 'two');
act(add => path => '/Inbox/two.txt', text => 'not of the shared drive');
is(collect('Firm'), 'two.txt', 'what is new there is collected');
act(member => drive => 'Firm', user => 'anna@example.com', role => undef);
collect('Firm', 'failed');
like(sql(q{SELECT string_agg(problem, ' ') FROM cloudsync_status()}), qr/Firm|not there|no member/, 'who is no member any more is told so');
act(member => drive => 'Firm', user => 'anna@example.com', role => 'organizer');

# --- a service account by itself --------------------------------------------------------------------------------

my $run;
is(connect_gdrive('Alone', account => 'alone', subject => undef), 'active', 'a service account that acts for nobody is connected');
sql(q{SELECT cloudsync_set_push('Alone', auto_sync => false, folder => '{dossier_label}')});
ok(wait_for($node, q{SELECT reason ~ 'a service account has no storage of its own: it needs a shared drive' FROM cloudsync.connections WHERE connection = 'Alone'}), '... and told what it lacks')
  or diag(sql('SELECT connection, state, reason FROM cloudsync.connections'));
like(sql(q{SELECT string_agg(problem, ' ') FROM cloudsync_status()}), qr/a service account has no storage of its own/, '... in the status');
act(member => drive => 'Firm', user => 'alone@project-1.iam.gserviceaccount.com', role => 'fileOrganizer');
is(connect_gdrive('Member', account => 'alone', subject => undef, options => { drive_id => $drive->{id} }), 'active', 'as a member of a shared drive it is connected');
sql(q{SELECT cloudsync_set_push('Member', auto_sync => false, root => 'Of its own', folder => '{dossier_label}')});
$run = sql(q{SELECT cloudsync_push_dossier('1', 'Member')});
ok(wait_run($node, $run), '... and pushes there') or diag(sql("SELECT error FROM cloudsync.history WHERE run_id = $run"));
is_deeply(in_firm('/Of its own'), expected('d.id = 1'), '... what is there, whole');

$node->stop;
done_testing();
