# Collecting by cursors from the test cloud's Dropbox, Drive and OneDrive (L8 to L11,
# N9b, N10): what a poll costs and what it finds; folders that are renamed, moved in
# and out, and deleted; cursors that are refused; crashes between page and cursor;
# channels that share a feed; bytes that are known; and a folder of 100,000.
#
#	CLOUDSYNC_TEST_SERVICES=gdrive CLOUDSYNC_TEST_MANY=1000000 test/run.sh t/104_feed.pl
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use CloudsyncTest;
use TestCloud;

plan skip_all => TestCloud::missing() if TestCloud::missing();

# 100,000 files are listed from the first service, from the others fewer.
my $many;
my $cloud = TestCloud->start;
my $node = new_cluster('feed', conf => $cloud->conf . "restart_after_crash = on\nfull_page_writes = off\n");
create_extension($node);
sql(q{SELECT cloudsync_add_recipient('anna')});

my %services = (
	dropbox => { act => 'dropbox', app => 'dbxapp00cloudsync',
		options => { map { ("${_}_endpoint" => $cloud->url('dropbox', $_)) } qw(api content notify www) } },
	gdrive => { act => 'google', app => 'web.apps.googleusercontent.com', user => 'anna@example.com',
		scopes => ['https://www.googleapis.com/auth/drive'],
		options => { api_endpoint => $cloud->url('google', 'api'), token_endpoint => $cloud->url('google', 'oauth') . '/token' } },
	onedrive => { act => 'graph', app => 'aaaaaaaa-0000-0000-0000-000000000001', user => 'anna@contoso.example',
		scopes => [qw(Files.ReadWrite offline_access)],
		options => { api_endpoint => $cloud->url('graph', 'api') . '/v1.0', login_endpoint => $cloud->url('graph', 'login') } });
my ($provider, $service);

sub sql { return scalar_sql($node, $_[0]) }

sub json { return JSON::PP->new->canonical->encode($_[0]) }

sub act { my ($act, %told) = @_; return $cloud->act($service->{act}, $act => \%told); }

# By consent, or where a page shows no code by what a consent ends in.
sub connect_it
{
	my $options = "options => '" . json($service->{options}) . "'";
	if ($provider eq 'dropbox')
	{
		sql("SELECT cloudsync_register_app('dropbox', '$service->{app}')");
		my $url = sql("SELECT authorize_url FROM cloudsync_connect('dropbox', 'dropbox', $options)");
		is(sql("SELECT cloudsync_authorize('dropbox', '" . $cloud->consent($url)->{code} . "')"), 'active', 'dropbox: connected');
		return;
	}
	my $grant = act(grant => app => $service->{app}, user => $service->{user}, scopes => $service->{scopes});
	sql("SELECT cloudsync_register_app('$provider', '$grant->{client_id}', '$grant->{client_secret}')");
	sql("SELECT cloudsync_connect('$provider', '$provider', '" . json({ refresh_token => $grant->{refresh_token} }) . "', $options)");
	ok(wait_for($node, "SELECT account IS NOT NULL FROM cloudsync.connections WHERE connection = '$provider'"), "$provider: connected");
	return;
}

# A customer's acts, in the words that each service has for them.
sub add { my ($path, $text) = @_; return act(add => path => $path, text => $text, content => $text); }
sub remove { my ($path) = @_; return act($provider eq 'gdrive' ? 'trash' : 'delete', path => $path); }

sub rename_to
{
	my ($path, $name) = @_;
	(my $to = $path) =~ s{[^/]+$}{$name};
	return act(rename => path => $path, name => $name, to => $to);
}

sub move_into
{
	my ($path, $folder) = @_;
	my ($name) = $path =~ m{([^/]+)$};
	return act(move => path => $path, to => $provider eq 'dropbox' ? "$folder/$name" : $folder);
}

sub channel
{
	my ($name, $folder, $more) = @_;
	return sql("SELECT cloudsync_create_channel('$provider', '$provider $name', '{$folder}', 'anna', 'Scans', auto_collect => true, "
		  . "collect_every => '1 year'" . ($more // '') . ')');
}

# Runs a channel; what it asked the service, tokens apart, and got an answer to: on a
# machine that is slow itself a request may be given up and made again.
sub run_it
{
	my ($kind, $name, $state) = @_;
	my $mark = $cloud->mark;
	my $run = sql("SELECT " . ($kind eq 'refresh' ? 'cloudsync_refresh_items' : 'cloudsync_collect') . "('$provider $name')");
	ok(wait_run($node, $run, $state), "$provider: $kind of $name");
	my @made = grep { $_->{host} !~ /^(oauth|login)$/ && $_->{route} ne 'token' } $cloud->requests({ service => $service->{act}, since => $mark });
	note("$kind of $name: ", join(' ', map { "$_->{route} $_->{status}" } @made));
	return scalar(grep { $_->{status} } @made);
}

sub collect { return run_it('collect', @_); }
sub refresh { return run_it('refresh', @_); }

sub items
{
	my ($name, $where) = @_;
	return sql("SELECT string_agg(path || ' ' || coalesce(state, '-'), ', ' ORDER BY path COLLATE \"C\") FROM cloudsync.items "
		  . "WHERE channel = '$provider $name' AND state IS DISTINCT FROM 'gone' AND coalesce(kind, '') <> 'folder'" . ($where ? " AND $where" : ''));
}

sub documents
{
	return sql(qq{SELECT string_agg(d.name, ', ' ORDER BY d.name COLLATE "C") FROM cloudsync.document d
		JOIN cloudsync.connections c USING (connection_id) WHERE c.connection = '$provider'});
}

sub is_settled
{
	my ($name, $what) = @_;
	my ($before, $requests) = (documents(), scalar(collect($name)));
	is($requests, 1, "$provider: $what: a poll is one request");
	is(documents(), $before, "$provider: $what: and finds nothing");
	return;
}

sub small_folders
{
	add("/In/$_", "text of $_") foreach qw(a.txt Sub/b.txt Sub/Deep/c.txt);
	add('/Other/o.txt', 'other');
	add("/Outside/Pack/$_", "pack $_") foreach qw(x.txt More/y.txt);
	channel('one', '/In');
	channel('two', '/Other');
	ok(wait_for($node, "SELECT count(*) = 2 FROM cloudsync.history WHERE channel LIKE '$provider %' AND state = 'succeeded'"), "$provider: both are collected at once when switched on");
	is(documents(), 'a.txt, b.txt, c.txt, o.txt', "$provider: a first listing finds all");
	is_settled('one', 'unchanged');
	is(sql(qq{SELECT count(*) FROM cloudsync.feed f JOIN cloudsync.connections c USING (connection_id) WHERE c.connection = '$provider'}),
		$provider eq 'dropbox' ? 0 : 1, "$provider: channels of a drive share its feed");

	add('/In/d.txt', 'text of d');
	add('/Other/p.txt', 'text of p');
	is(scalar(collect('one')), 2, "$provider: one new document: the poll and its bytes");
	is(documents(), 'a.txt, b.txt, c.txt, d.txt, o.txt', "$provider: which is collected");
	is(scalar(collect('two')), 2, "$provider: and so is the other channel's");
	is(documents(), 'a.txt, b.txt, c.txt, d.txt, o.txt, p.txt', "$provider: by its own run");
	return;
}

sub folders_move
{
	my $before = documents();
	rename_to('/In/Sub', 'Sub2');
	is(scalar(collect('one')), 1, "$provider: a folder that was renamed: one request");
	is(items('one'), '/In/Sub2/Deep/c.txt collected, /In/Sub2/b.txt collected, /In/a.txt collected, /In/d.txt collected',
		"$provider: what is in it is where it is now");
	is(documents(), $before, "$provider: and is not collected again");
	is(sql("SELECT count(*) FROM cloudsync.items WHERE channel = '$provider one' AND kind = 'folder' AND state IS NULL"), 2, "$provider: its folders too");

	move_into('/In/Sub2', '/Other');
	collect('one');
	is(items('one'), '/In/a.txt collected, /In/d.txt collected', "$provider: a folder that was moved out takes along what is in it");
	collect('two');
	is(items('two'), '/Other/Sub2/Deep/c.txt collected, /Other/Sub2/b.txt collected, /Other/o.txt collected, /Other/p.txt collected',
		"$provider: a folder that was moved in brings what is in it");
	is(documents(), $before, "$provider: which is known by its id");
	move_into('/Outside/Pack', '/In');
	collect('one');
	is(items('one'), '/In/Pack/More/y.txt collected, /In/Pack/x.txt collected, /In/a.txt collected, /In/d.txt collected',
		"$provider: what came from elsewhere is new");
	is(documents(), "$before, x.txt, y.txt", "$provider: and is collected, whatever its age");
	is_settled('one', 'after moves');

	# names are swapped within one poll
	rename_to('/In/a.txt', 'tmp.txt');
	rename_to('/In/d.txt', 'a.txt');
	rename_to('/In/tmp.txt', 'd.txt');
	my $documents = documents();
	is(scalar(collect('one')), 1, "$provider: names that were swapped: one request");
	is(documents(), $documents, "$provider: nothing is collected again");
	is(sql("SELECT count(*) FROM cloudsync.items i JOIN cloudsync.document d USING (document_id) WHERE i.channel = '$provider one' AND i.name <> d.name AND i.state = 'collected'"),
		2, "$provider: and each item is of its document");
	return;
}

sub same_bytes
{
	my $documents = documents();
	add('/In/copy of a.txt', 'text of a.txt');
	my $requests = collect('one');
	is($requests, $provider eq 'onedrive' ? 2 : 1, "$provider: bytes that are known " . ($provider eq 'onedrive' ? 'by no strong checksum come' : 'do not come') . ' again');
	is(documents(), $documents, "$provider: and are no new document");
	is(sql("SELECT state, reason FROM cloudsync.items WHERE channel = '$provider one' AND name = 'copy of a.txt'") =~ /^duplicate\|same content as "[^"]*", document/ ? 1 : 0, 1,
		"$provider: but a duplicate, of which it is said");
	remove('/In/copy of a.txt');
	is(scalar(collect('one')), 1, "$provider: a deletion: one request");
	unlike(items('one'), qr/copy/, "$provider: it is gone");
	return;
}

sub filters
{
	my $documents = documents();
	sql("SELECT cloudsync_alter_channel('$provider one', exclude => '{*.log}')");
	add('/In/later.log', 'log');
	collect('one');
	is_settled('one', 'a changed filter is listed in full once');
	like(items('one'), qr{/In/later.log excluded}, "$provider: what it leaves out is excluded");
	sql("SELECT cloudsync_alter_channel('$provider one', exclude => '{}')");
	collect('one');
	is(documents(), join(', ', sort(split(/, /, $documents), 'later.log')), "$provider: and no more once the filter is gone");
	return;
}

# The feed that another channel's run has read tells of a file whose bytes, those
# before, are on their way.
sub edited_meanwhile
{
	add('/In/edited.txt', 'as it was');
	my $stall = $cloud->fault({ service => $service->{act}, route => '/^(files.media|download)$/', kind => 'stall', at => 'commit' });
	my $run = sql("SELECT cloudsync_collect('$provider one')");
	until_committed($stall);
	act(edit => path => '/In/edited.txt', text => 'and as it is by now');
	collect('two');
	$cloud->clear($stall);
	ok(wait_run($node, $run), "$provider: a file that is edited while it is received is collected as it was");
	collect('one');
	is(items('one', "name = 'edited.txt'"), '/In/edited.txt changed', "$provider: and that it was changed is found out");
	remove('/In/edited.txt');
	collect('one');
	return;
}

sub until_committed
{
	my ($fault) = @_;
	for (1 .. 1800)
	{
		return if $cloud->committed($fault);
		usleep(100_000);
	}
	die 'the fault was not committed';
}

sub refused_cursor
{
	my $documents = documents();
	act($provider eq 'dropbox' ? 'reset_cursors' : 'reset_delta') unless $provider eq 'gdrive';
	$cloud->fault({ service => 'google', route => 'changes.list', kind => 'status', status => 410, times => 1 }) if $provider eq 'gdrive';
	add('/In/after reset.txt', 'after');
	cmp_ok(scalar(collect('one')), '>', 2, "$provider: a refused cursor: a full listing");
	$cloud->clear;
	is(documents(), join(', ', sort { $a cmp $b } split(/, /, $documents), 'after reset.txt'), "$provider: which collects what is new, and nothing twice");
	is(sql("SELECT count(*) FROM cloudsync.items WHERE channel = '$provider one' AND state = 'gone' AND path NOT LIKE '//%' AND seen_at > (SELECT max(started_at) FROM cloudsync.history WHERE channel = '$provider one')"), 0,
		"$provider: and makes nothing gone");
	is_settled('one', 'after a refused cursor');
	collect('two');
	is_settled('two', 'after a refused cursor, the other channel');
	return;
}

# A path that no index takes: 2800 characters that cannot be pressed.
sub far_away
{
	my $documents = documents();
	my @letters = ('a' .. 'z', 'A' .. 'Z', 0 .. 9);
	add(join('/', '/In/Far', map { join('', map { $letters[ rand @letters ] } 1 .. 200) } 1 .. 14) . '/far.txt', 'far away');
	collect('one');
	is(documents(), $documents, "$provider: what is below too many folders is not collected");
	cmp_ok(sql("SELECT count(*) FROM cloudsync.items WHERE channel = '$provider one' AND state = 'excluded' AND reason = 'Its path is too long.'"), '>', 0,
		"$provider: and it is said why");
	is_settled('one', 'paths that are too long');
	rename_to('/In/Far', 'F' x 200);
	collect('one');
	is_settled('one', 'a folder that makes them longer');
	remove('/In/' . 'F' x 200);
	collect('one');
	return;
}

# What is told of the drive, or not told, is no word on what is in a folder.
sub half_told
{
	my $items = items('one');
	$cloud->fault({ service => 'graph', route => 'delta', kind => 'status', status => 404, body => { error => { code => 'itemNotFound', message => 'gone' } } });
	my $run = sql("SELECT cloudsync_collect('$provider one')");
	ok(wait_for($node, "SELECT state IN ('failed', 'partial') FROM cloudsync.history WHERE run_id = $run"), "$provider: a feed that is not found is a failure");
	$cloud->clear;
	is(items('one'), $items, "$provider: and nothing is gone");
	sql("UPDATE cloudsync.connection SET retry_at = NULL");

	add('/In/Again/old.txt', 'of the folder as it was');
	collect('one');
	act(setting => tell_deletions => \0);
	remove('/In/Again');
	add('/In/Again/new.txt', 'of the folder as it is');
	collect('one');
	act(setting => tell_deletions => \1);
	is(items('one', "path LIKE '/In/Again/%'"), '/In/Again/new.txt collected', "$provider: a folder that was made anew has nothing of what was in it");
	remove('/In/Again');
	collect('one');
	return;
}

# The cursor is refused to one channel's run while another's waits to read the feed.
sub refused_to_another
{
	add('/Other/late.txt', 'late');
	my $stall = $cloud->fault({ service => 'graph', route => 'delta', kind => 'stall', at => 'before' });
	my @runs = sql("SELECT cloudsync_collect('$provider one')");
	until_committed($stall);
	push @runs, sql("SELECT cloudsync_collect('$provider two')");
	ok(wait_for($node, "SELECT count(*) = 2 FROM cloudsync.run WHERE state = 'running'"), "$provider: another channel's run waits");
	act('reset_delta');
	$cloud->clear($stall);
	ok(wait_run($node, $_), "$provider: a cursor that is refused meanwhile") foreach @runs;
	like(documents(), qr/late\.txt/, "$provider: the channel that waited is listed in full, too");
	remove('/Other/late.txt');
	collect('two');
	return;
}

# The server ends between the page with its cursor and what follows.
sub crash
{
	my $documents = documents();
	add('/In/crash.txt', 'crash');
	crash_at($node, 'collect.after_page');
	my $offset = log_offset($node);
	crash_statement($node, "SELECT cloudsync_collect('$provider one')");
	ok($node->wait_for_log(qr/was terminated by signal 9/, $offset), "$provider: the worker ended after a page");
	crash_no_more($node);
	ok(wait_for($node, "SELECT state = 'succeeded' FROM cloudsync.history WHERE channel = '$provider one' ORDER BY run_id DESC LIMIT 1"), "$provider: the run is gone on with");
	is(documents(), join(', ', sort { $a cmp $b } split(/, /, $documents), 'crash.txt'), "$provider: the document is collected once");
	is_settled('one', 'after a crash');
	return;
}

sub folder_itself
{
	my $documents = documents();
	rename_to('/In', 'Inbox');
	collect('one');
	is(documents(), $documents, "$provider: the channel's folder is followed when it is renamed");
	like(items('one'), qr{^/Inbox/Pack/More/y.txt collected, }, "$provider: with what is in it");
	unlike(items('one'), qr{/In/}, "$provider: all of it");
	add('/Inbox/renamed.txt', 'renamed');
	collect('one');
	is(documents(), join(', ', sort { $a cmp $b } split(/, /, $documents), 'renamed.txt'), "$provider: and is collected from");
	is_settled('one', 'a renamed folder');
	move_into('/Inbox', '/Elsewhere');
	collect('one');
	like(items('one'), qr{^/Elsewhere/Inbox/Pack/More/y.txt collected, }, "$provider: and when it is moved");
	rename_to('/Elsewhere', 'There');
	collect('one');
	like(items('one'), qr{^/There/Inbox/Pack/More/y.txt collected, }, "$provider: and when a folder that it is in is renamed");
	is_settled('one', 'a moved folder');
	$documents = documents();
	remove('/There/Inbox');
	collect('one', 'failed');
	is(items('one'), '', "$provider: when it is deleted, all is gone");
	like(sql("SELECT state, last_error FROM cloudsync.folders WHERE channel = '$provider one'"), qr/^gone\|./, "$provider: and says so");
	is(documents(), $documents, "$provider: documents stay");
	return;
}

# Of the process that serves the connection.
sub worker
{
	return sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'cloudsync worker' AND query ~ '$provider'") || worker_pid($node, 'cloudsync worker');
}

# Its own, without the shared buffers that it has touched.
sub memory { my ($pid) = @_; return (slurp_file("/proc/$pid/status") =~ /RssAnon:\s+(\d+)/)[0]; }

sub large
{
	act(bulk => path => '/Big', count => $many, size => 20, quiet => \1);
	sql("SELECT cloudsync_alter_channel('$provider two', collect_every => '1 year')");
	collect('two');
	my $before = memory(worker());
	channel('big', '/Big', ", include => '{*.pdf}'");
	ok(wait_for($node, "SELECT count(*) = 1 FROM cloudsync.history WHERE channel = '$provider big' AND state = 'succeeded'"), "$provider: a large folder is listed");
	is(sql("SELECT count(*) FROM cloudsync.items WHERE channel = '$provider big' AND state = 'excluded'"), $many, "$provider: whole");
	cmp_ok(memory(worker()) - $before, '<', 32 * 1024, "$provider: in little memory (kB)");
	my $mark = sql("SELECT pg_current_wal_insert_lsn()");
	is(scalar(refresh('big')), 1, "$provider: an unchanged folder of $many: one request");
	cmp_ok(sql("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '$mark')"), '<', 300_000, "$provider: and hardly anything is written");
	add("/Big/new $_.pdf", "pdf $provider $_") foreach 1 .. 10;
	is(scalar(collect('big')), 11, "$provider: ten new among them: a poll and ten downloads");
	is(sql("SELECT count(*) FROM cloudsync.items WHERE channel = '$provider big' AND state = 'collected'"), 10, "$provider: all ten");
	is(scalar(refresh('big')), 1, "$provider: and again one request");
	return;
}

foreach (split /,/, $ENV{CLOUDSYNC_TEST_SERVICES} // 'dropbox,gdrive,onedrive')
{
	($provider, $service) = ($_, $services{$_});
	$many = $ENV{CLOUDSYNC_TEST_MANY} // ($provider eq 'dropbox' ? 100_000 : 10_000);
	connect_it();
	small_folders();
	folders_move();
	same_bytes();
	filters();
	edited_meanwhile() if $provider ne 'dropbox';
	far_away() if $provider eq 'gdrive';
	half_told() if $provider eq 'onedrive';
	refused_cursor();
	refused_to_another() if $provider eq 'onedrive';
	crash();
	folder_itself();
	large();
}

$node->stop;
done_testing();
