# Collecting from Dropbox, end to end against the test cloud: one request for a
# document and none for one that is known (N9b), one for a folder in which nothing
# is new, however large it is (N10), cursors that are refused, what the customer
# does, downloads that break off, and folders that are watched.
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

# --- folders that are watched --------------------------------------------------------------------------------

my $poll = 'files/list_folder/longpoll';
my $nobody_watches = q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'cloudsync watch'};

sub watched { return $cloud->act('dropbox', add => { path => "/Watched/$_[0].pdf", content => $_[0] }) }

# Collected, once.
sub has
{
	my ($name, $what) = @_;
	ok(wait_for($node, "SELECT count(*) = 1 FROM cloudsync.document WHERE name = '$name.pdf'"), $what);
	return;
}

# Switches watching on or off, by the option alone.
sub set_longpoll
{
	my ($on) = @_;
	my $to = $on ? q{options || '{"longpoll": true}'} : q{options - 'longpoll'};
	sql("SELECT state FROM cloudsync_connect('dropbox', 'Watched', options => (SELECT $to FROM cloudsync.connections WHERE connection = 'Watched'))");
	return;
}

# Waits until a poll is held that is not among the first so many requests.
sub is_held
{
	my ($mark, $what) = @_;
	my $end = time + 90;
	select undef, undef, undef, 0.02 while !$cloud->count({ route => $poll, status => 0, since => $mark }) && time < $end;
	is($cloud->count({ route => $poll, status => 0, since => $mark }), 1, "$what: one request is held");
	return;
}

sql(q{SELECT cloudsync_disable('Box')});
$cloud->act('dropbox', add => { path => '/Watched', folder => \1 });
is(connect_dropbox('Watched'), 'active', 'connected');
sql(q{SELECT cloudsync_create_channel('Watched', 'Watched', ARRAY['/Watched'], 'anna', 'Binder', collect_every => '1 day')});
ok(wait_for($node, q{SELECT last_synced_at IS NOT NULL FROM cloudsync.folders WHERE channel = 'Watched'}), 'collected once');
is(sql($nobody_watches), 't', 'nobody watches what nobody asked to be watched');
$mark = $cloud->mark;
set_longpoll(1);
is_held($mark, 'asked for');
ok(wait_for($node, q{SELECT wait_event_type = 'Extension' AND query = 'watching folders: 1, of connections: 1' AND xact_start IS NULL AND backend_xmin IS NULL
	FROM pg_stat_activity WHERE backend_type = 'cloudsync watch'}), 'by a process that holds no transaction meanwhile');

$mark = $cloud->mark;
watched('told');
has('told', 'what comes is collected, though the next collection is due in a day');
is_held($mark, 'then');
($n, $routes) = requests($mark);
is($n, 3, 'the changes, the document, and the next poll') or diag($routes);
is(sql(q{SELECT string_agg(DISTINCT origin, ',') FROM cloudsync.history WHERE channel = 'Watched' AND files_done > 0}), 'auto', 'by a run that nobody asked for');
is(sql(q{SELECT next_collect_at > now() FROM cloudsync.channels WHERE channel = 'Watched'}), 't', 'the schedule is as it was');

$mark = $cloud->mark;
is(collect('by hand while it is watched', undef, 'Watched'), 1, 'a collection by hand leaves the poll alone');
watched('by hand');
collect('by hand what is being told', undef, 'Watched');
has('by hand', 'a document is collected once, whoever is first');
is_held($mark, 'after that');

# cursors that are refused, to the poll and to the listing
my $runs = q{SELECT count(*) FROM cloudsync.history WHERE channel = 'Watched'};
my $n_runs = sql($runs);
$cloud->fault({ service => 'dropbox', route => $poll, kind => 'reset_cursor' });
$mark = $cloud->mark;
watched('reset');
has('reset', 'while a cursor is in force');
is_held($mark, 'after a poll whose cursor was refused');
is($cloud->count({ route => $poll, status => 409, since => $mark }), 1, 'it was');
is(sql($runs), $n_runs + 2, 'which was as good as a change');
$cloud->act('dropbox', 'reset_cursors');
$mark = $cloud->mark;
watched('again');
has('again', 'a listing whose cursor is refused begins anew');
is_held($mark, 'after that');
is(sql(q{SELECT count(*), count(DISTINCT name) FROM cloudsync.document WHERE channel_id = (SELECT channel_id FROM cloudsync.channels WHERE channel = 'Watched')}), '4|4', 'and nothing is collected twice');

# the service wants to be left alone for a while
$cloud->fault({ service => 'dropbox', route => $poll, kind => 'backoff', seconds => 2 });
$mark = $cloud->mark;
watched('backoff');
is_held($mark, 'before the service says so');
$mark = $cloud->mark - 1;
watched('backoff too');
is_held($mark + 1, 'and after it');
my @polls = grep { $_->{route} eq $poll } $cloud->requests({ service => 'dropbox', since => $mark });
@polls = $cloud->requests({ service => 'dropbox', route => $poll });
cmp_ok($polls[-1]{began} - $polls[-2]{began} - $polls[-2]{ms} / 1000, '>=', 2, 'as long as it wanted');
has('backoff too', 'nothing is lost');

# a poll that breaks off: said to nobody, since the schedule is still there
$mark = $cloud->mark;
$cloud->act('dropbox', polls => { how => 'drop' });
is(sql(q{SELECT c.failures || ' ' || c.state FROM cloudsync.connection c WHERE c.name = 'Watched'}), '0 active', 'the connection is as well as before');
watched('meanwhile');
is_held($mark, 'after one that broke off');
has('meanwhile', 'what came meanwhile is told at once');

# killed when it was told, before it had said so
crash_at($node, 'watch.before_queue');
my $log = log_offset($node);
watched('killed');
ok($node->wait_for_log(qr/crash point watch\.before_queue\b/, $log), 'the process is killed');
$mark = $cloud->mark;
crash_no_more($node);
has('killed', 'the next one is told the same');
is_held($mark, 'after that');

# who ends it
$mark = $cloud->mark;
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'cloudsync watch'});
is_held($mark, 'ended by hand, it comes back');
for my $ends ([ q{SELECT cloudsync_disable('Watched')}, q{SELECT cloudsync_enable('Watched')}, 'a connection that is disabled' ],
	[ q{SELECT cloudsync_suspend()}, q{SELECT cloudsync_resume()}, 'a database that is suspended' ],
	[ q{SELECT cloudsync_set_auto_sync('Watched', false)}, q{SELECT cloudsync_set_auto_sync('Watched', true)}, 'a channel that is collected by hand' ],
	[ 'ALTER SYSTEM SET cloudsync.max_watches = 0', 'ALTER SYSTEM RESET cloudsync.max_watches', 'cloudsync.max_watches = 0' ])
{
	my ($end, $begin, $what) = @$ends;
	sql($end);
	$node->reload if $end =~ /SYSTEM/;
	ok(wait_for($node, $nobody_watches), "$what: nobody watches");
	is(sql(q{SELECT string_agg(problem, '; ') FROM cloudsync_status() WHERE subject = 'watching'}) // '',
		'folders that are not watched, but collected as scheduled: 1, more than cloudsync.max_watches', 'which the status says') if $end =~ /SYSTEM/;
	$mark = $cloud->mark;
	sql($begin);
	$node->reload if $end =~ /SYSTEM/;
	is_held($mark, "$what, no more");
}
set_longpoll(0);
ok(wait_for($node, $nobody_watches), 'nor when it is no longer asked for');
$mark = $cloud->mark;
set_longpoll(1);
is_held($mark, 'asked for again');

# through a proxy, which alone knows where the service's own hosts are
sql("ALTER SYSTEM SET cloudsync.proxy = '" . $cloud->proxy . q{'});
$node->reload;
$mark = $cloud->mark;
sql(q{SELECT state FROM cloudsync_connect('dropbox', 'Watched', options => '{"longpoll": true}')});
is_held($mark, 'through a proxy, by the service\'s own name');
watched('proxied');
has('proxied', 'what comes is collected that way');

# no slot for a background worker is left
$node->append_conf('postgresql.conf', "max_worker_processes = 3\nmax_logical_replication_workers = 1");
$node->restart;
my $unwatched = q{SELECT count(*) FROM cloudsync_status() WHERE problem = 'folders are not watched: all background worker slots are in use; documents are collected as scheduled'};
ok(wait_for($node, $unwatched, '1'), 'without a free slot for background workers the status says that nobody watches');
watched('no slot');
collect('by hand without a free slot', undef, 'Watched');
has('no slot', 'documents are collected all the same');
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
$mark = $cloud->mark;
$node->restart;
is_held($mark, 'with a free slot');
ok(wait_for($node, $unwatched, '0'), '... and the status is silent');
sql('DROP EXTENSION cloudsync CASCADE');
is(sql($nobody_watches), 't', 'dropping the extension ends it');

done_testing();
