# Collecting from Dropbox, end to end against the test cloud: one request for a
# document and none for one that is known (N9b), one for a folder in which nothing
# is new, however large it is (N10), cursors that are refused, what the customer
# does, and downloads that break off.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use CloudsyncTest;
use DropboxTest;
use FolderTest;
use TestCloud;

plan skip_all => TestCloud::missing() if TestCloud::missing();

my ($node, $cloud) = dropbox_cluster('dropbox', conf => "restart_after_crash = on\n");
is(connect_dropbox('Box'), 'active', 'connected');
$cloud->act('dropbox', add => { path => '/Scans', folder => \1 });
$cloud->act('dropbox', add => { path => '/Large', folder => \1 });
sql(q{SELECT cloudsync_add_recipient('anna')});
sql(q{SELECT cloudsync_create_channel('Box', 'Scans', ARRAY['/Scans'], 'anna', 'Binder', auto_collect => false)});

# A collection, and how many requests it made.
sub collect
{
	my ($what, $state, $channel) = @_;
	$channel //= 'Scans';
	my $mark = $cloud->mark;
	my $run = sql("SELECT cloudsync_collect('$channel')");
	ok(wait_run($node, $run, $state), "$what: the collection ends as it should");
	my ($n, $routes) = requests($mark);
	note("$what: $n: $routes");
	return wantarray ? ($n, $routes) : $n;
}

sub documents { return sql(q{SELECT string_agg(name, ',' ORDER BY name COLLATE "C") FROM cloudsync.document}) // '' }
sub add { my ($name, $content) = @_; return $cloud->act('dropbox', add => { path => "/Scans/$name", content => $content }) }

add("doc$_.pdf", "document $_") foreach 1 .. 20;
add('empty.pdf', '');
add("Sub/\x{c9}t\x{e9} \x{1f600}.pdf", 'in a subfolder');
my ($n, $routes) = collect('the first');
cmp_ok($n, '<=', 22 + 2, 'a request a document, and two for the folder and its listing') or diag($routes);
is(sql('SELECT count(*) FROM cloudsync.document'), 22, 'all are there');
is(sql(q{SELECT count(*) FROM cloudsync.document WHERE encode(sha256, 'hex') = encode(sha256(cloudsync_content(document_id)), 'hex')}), 22, 'and whole');
is(collect('nothing new'), 1, 'one request for nothing new');

# --- what is known -------------------------------------------------------------------------------

add('again.pdf', 'document 1');
is(collect('the same bytes'), 1, 'what is known by its content hash is not downloaded');
is(sql(q{SELECT state FROM cloudsync.items WHERE name = 'again.pdf'}), 'duplicate', 'and is shown as such');
$cloud->act('dropbox', rename => { path => '/Scans/doc2.pdf', to => '/Scans/renamed.pdf' });
$cloud->act('dropbox', move => { path => '/Scans/doc3.pdf', to => '/Scans/Sub/doc3.pdf' });
$cloud->act('dropbox', delete => { path => '/Scans/doc4.pdf' });
$cloud->act('dropbox', edit => { path => '/Scans/doc5.pdf', content => 'edited' });
is(collect('renamed, moved, deleted, edited'), 1, 'what the customer does to what is collected is one request');
is(sql('SELECT count(*) FROM cloudsync.document'), 22, 'and no document');
is(sql(q{SELECT string_agg(state, ',' ORDER BY path) FROM cloudsync.items WHERE path IN ('/Scans/renamed.pdf', '/Scans/Sub/doc3.pdf', '/Scans/doc4.pdf', '/Scans/doc5.pdf')}),
	'collected,gone,changed,collected', 'their items say so');

# --- cursors that are refused, tokens that expire -----------------------------------------------------

$cloud->act('dropbox', 'reset_cursors');
add('new.pdf', 'new');
collect('a refused cursor');
is(sql('SELECT count(*) FROM cloudsync.document'), 23, 'nothing is collected twice');
$cloud->act('dropbox', 'expire_tokens');
add('newer.pdf', 'newer');
collect('an expired token');
is(sql('SELECT count(*) FROM cloudsync.document'), 24, 'an expired token is no reason');

# --- downloads that break off, documents that cannot be had -----------------------------------------

$cloud->act('dropbox', add => { path => '/Scans/long.bin', size => 3_000_000 });
$cloud->fault({ service => 'dropbox', route => 'files/download', kind => 'truncate' });
my $mark = $cloud->mark;
collect('a download that breaks off');
is($cloud->count({ service => 'dropbox', route => 'files/download', since => $mark }), 2, 'it goes on where it broke off');
my $received = 0;
$received += $_->{sent} foreach $cloud->requests({ service => 'dropbox', route => 'files/download', since => $mark });
cmp_ok($received, '<', 4_000_000, 'and nothing comes twice');
is(sql(q{SELECT size FROM cloudsync.document WHERE name = 'long.bin'}), 3000000, 'whole');
$cloud->fault({ service => 'dropbox', route => 'files/download', kind => 'flip' });
add('flipped.pdf', 'flipped' x 1000);
collect('a byte that is another', 'partial');
collect('and the next time');
is(sql(q{SELECT encode(sha256, 'hex') = encode(sha256(convert_to(repeat('flipped', 1000), 'UTF8')), 'hex') FROM cloudsync.document WHERE name = 'flipped.pdf'}), 't', 'is noticed');
add('paper.gdoc', 'x');
$cloud->act('dropbox', flag => { path => '/Scans/paper.gdoc', flag => 'no_download', on => \1 });
add('blocked.pdf', 'y');
$cloud->act('dropbox', flag => { path => '/Scans/blocked.pdf', flag => 'restricted', on => \1 });
my $run = sql(q{SELECT cloudsync_collect('Scans')});
ok(wait_for($node, "SELECT finished_at IS NOT NULL FROM cloudsync.history WHERE run_id = $run"), 'what cannot be had does not hold up the rest');
like(sql(q{SELECT COALESCE(reason, '') FROM cloudsync.items WHERE name = 'paper.gdoc'}), qr/cannot\s+be downloaded/, 'a document of their own format is shown with the reason');
like(sql(q{SELECT COALESCE(reason, '') FROM cloudsync.items WHERE name = 'blocked.pdf'}), qr/legal reasons/, 'and one that is blocked');

# --- the customer renames the folder ----------------------------------------------------------------------

$cloud->act('dropbox', rename => { path => '/Scans', to => '/Eingang' });
$cloud->act('dropbox', add => { path => '/Eingang/after.pdf', content => 'after' });
collect('a renamed folder');
is(sql(q{SELECT count(*) FROM cloudsync.document WHERE name = 'after.pdf'}), 1, 'it is followed');
is(sql('SELECT count(*) FROM cloudsync.document'), 27, 'and nothing is collected twice');

# --- workers that are killed -------------------------------------------------------------------------------------

my $n_documents = 27;
for my $point (qw(collect.after_claim collect.after_page collect.after_chunk collect.after_download collect.before_settle_commit collect.after_settle))
{
	$cloud->act('dropbox', add => { path => "/Eingang/$point $_.pdf", content => "$point $_" }) foreach 1, 2;
	$cloud->act('dropbox', add => { path => "/Eingang/$point 3.pdf", size => 2_500_000 });
	crash_at($node, $point);
	my $offset = log_offset($node);
	crash_statement($node, q{SELECT cloudsync_collect('Scans')});
	ok($node->wait_for_log(qr/crash point \Q$point\E\b/, $offset), "$point: the worker is killed");
	crash_no_more($node);
	idle($point);
	$n_documents += 3;
	is(sql('SELECT count(*), count(DISTINCT name), count(*) FILTER (WHERE sha256 = sha256(cloudsync_content(document_id))) FROM cloudsync.document'),
		join('|', ($n_documents) x 3), "$point: each document is here once, whole");
}

# --- a large folder (N10) --------------------------------------------------------------------------------------

$cloud->act('dropbox', bulk => { path => '/Large', count => 100_000, prefix => 'f', suffix => '.bin', size => 1 });
sql(q{SELECT cloudsync_create_channel('Box', 'Large', ARRAY['/Large'], 'anna', 'Binder', auto_collect => false, include => ARRAY['*.pdf'])});
($n, $routes) = collect('100,000 files', undef, 'Large');
cmp_ok($n, '<=', 60, 'a large folder is listed in pages') or diag($routes);
is(sql(q{SELECT count(*) FROM cloudsync.items WHERE channel = 'Large'}), 100_000, 'they are all seen');
is(collect('nothing new among 100,000', undef, 'Large'), 1, 'one request for nothing new among 100,000');
$cloud->act('dropbox', add => { path => "/Large/new$_.pdf", content => "new $_" }) foreach 1 .. 10;
is(collect('ten among 100,000', undef, 'Large'), 11, 'and eleven for ten that are new');

connected_folders($node, connection => 'Box', put => sub { $cloud->act('dropbox', add => { path => $_[0], content => $_[1] }) });

done_testing();
