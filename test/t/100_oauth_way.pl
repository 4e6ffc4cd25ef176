# Access tokens that end on the way, at Dropbox, Google Drive and OneDrive: between
# two pages of a listing, between two parts of an upload, and while a download is
# gone on with. Each file is at the remote once, each document here once, whole,
# with one renewal and without a failed run (C3, P7, P12, L4).
use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use CloudsyncTest;
use OAuthTest;
use TestCloud;

plan skip_all => TestCloud::missing() if TestCloud::missing();

my ($node, $cloud) = oauth_cluster('oauth_way');
application_schema($node);
sql(q{SELECT cloudsync_track('app.dossier', 'app.dossier_file')});
sql(q{SELECT cloudsync_add_recipient('ann')});
my $large = 40 * 1024 * 1024;
sql(qq{INSERT INTO app.dossier (id, title) VALUES (1, 'Way');
	INSERT INTO app.dossier_file (dossier_id, name, content) VALUES (1, 'large.bin', convert_to(repeat('0123456789abcdef', $large / 16), 'UTF8'))});

my %services = (
	dropbox => { cloud => 'dropbox', app => 'dbxapp00cloudsync', user => 'anna@example.com', options => \&dropbox,
		scopes => [qw(account_info.read files.metadata.read files.content.read files.content.write)],
		pages => 'files/list_folder/continue', part => 'files/upload_session/append_v2', bytes => 'files/download' },
	gdrive => { cloud => 'google', app => 'web.apps.googleusercontent.com', user => 'anna@example.com', options => \&options,
		scopes => ['https://www.googleapis.com/auth/drive'],
		pages => 'files.list', part => 'upload.session', bytes => 'files.media' },
	onedrive => { cloud => 'graph', app => 'aaaaaaaa-0000-0000-0000-000000000001', user => 'anna@contoso.example', options => \&microsoft,
		scopes => [qw(Files.ReadWrite offline_access)],
		pages => '/^(children.list|delta)$/', part => 'upload.put', bytes => 'download' });
my ($name, $service);

sub act { my ($act, %told) = @_; return $cloud->act($service->{cloud}, $act => \%told); }
sub fault { return $cloud->fault(map { { service => $service->{cloud}, %$_ } } @_); }

# How often its token server was asked.
sub renewals { my ($mark) = @_; return $cloud->count({ service => $service->{cloud}, route => '/token$/', since => $mark }); }

sub connect_it
{
	my $grant = act(grant => app => $service->{app}, user => $service->{user}, scopes => $service->{scopes});
	sql("SELECT cloudsync_register_app('$name', '$grant->{client_id}', '$grant->{client_secret}')");
	sql("SELECT cloudsync_connect('$name', '$name', " . json({ refresh_token => $grant->{refresh_token} }) . ", @{[$service->{options}->()]})");
	ok(wait_for($node, "SELECT count(account) = 1 FROM cloudsync.connections WHERE connection = '$name'"), "$name: connected");
	sql("SELECT cloudsync_set_push('$name', auto_sync => false)");
	ok(wait_for($node, "SELECT count(*) = 1 FROM cloudsync.history WHERE kind = 'prepare' AND state = 'succeeded' AND connection = '$name'"), "$name: prepared");
	return;
}

sub collect
{
	my ($what) = @_;
	ok(wait_run($node, sql("SET client_min_messages = error; SELECT cloudsync_collect('$name')")), "$name: $what");
	return;
}

sub listing
{
	act(add => path => "/In/f$_.txt", text => "text $_ $name", content => "text $_ $name") foreach 1 .. 25;
	act(setting => page_limit => 10) if $name eq 'gdrive';
	act(setting => page_size => 10) if $name eq 'onedrive';
	my ($expired) = fault({ route => $service->{pages}, nth => $name eq 'dropbox' ? 1 : 2, kind => 'expired' });
	fault({ route => '/^files.list_folder/', kind => 'small_page', entries => 10, times => 0 }) if $name eq 'dropbox';
	sql("SELECT cloudsync_create_channel('$name', '$name', '{/In}', 'ann', 'Scans', auto_collect => false)");
	my $mark = $cloud->mark;
	collect('a token ends between two pages');
	is($cloud->committed($expired), 1, "$name: it was put to the test");
	is(renewals($mark), 1, "$name: it is renewed once");
	is(sql("SELECT count(*) || ' ' || count(DISTINCT d.name) FROM cloudsync.document d JOIN cloudsync.connections c USING (connection_id) WHERE connection = '$name'"),
		'25 25', "$name: each document is there once");
	$cloud->clear;
	act(setting => page_limit => 1000) if $name eq 'gdrive';
	act(setting => page_size => 0) if $name eq 'onedrive';
	return;
}

sub upload
{
	my $mark = $cloud->mark;
	# an upload of OneDrive's goes on without a token
	my @faults = fault({ route => $service->{part}, nth => 2, $name eq 'onedrive' ? (kind => 'stall', at => 'before') : (kind => 'expired') });
	my $run = sql("SELECT cloudsync_push_dossier('1', '$name')");
	if ($name eq 'onedrive')
	{
		ok(wait_until(sub { $cloud->committed($faults[0]) > 0 }), "$name: an upload is on its way");
		act('expire_tokens');
		$cloud->clear($faults[0]);
	}
	ok(wait_run($node, $run), "$name: a token ends between two parts");
	is($cloud->committed($faults[0]), 1, "$name: it was put to the test");
	cmp_ok(renewals($mark), '<=', 1, "$name: it is renewed once");
	my @files = grep { $_->{sha256} } @{ act(tree => path => '/CloudSync/Way') };
	is(join(' ', map { $_->{sha256} } @files), sha256_hex('0123456789abcdef' x ($large / 16)), "$name: the file is there once, whole");
	is(sql("SELECT string_agg(action, ',') FROM cloudsync.history_file WHERE run_id = $run"), 'create', "$name: sent once");
	my $received = 0;
	$received += $_->{received} foreach $cloud->requests({ service => $service->{cloud}, since => $mark });
	cmp_ok($received, '<', 1.5 * $large, "$name: and no more of it than a part again");
	$cloud->clear;
	act('expire_tokens');
	ok(wait_run($node, sql("SELECT cloudsync_push_dossier('1', '$name')")), "$name: pushed once more");
	is(scalar(grep { $_->{sha256} } @{ act(tree => path => '/CloudSync/Way') }), 1, "$name: nothing is sent again");
	return;
}

sub download
{
	my $text = join '', map { sprintf '%015d ', $_ } 1 .. 200_000;
	act(add => path => '/In/long.txt', text => $text, content => $text);
	my $mark = $cloud->mark;
	my @faults = fault({ route => $service->{bytes}, kind => 'reset', at => 'answer' },
		{ route => $service->{bytes}, nth => 2, kind => $name eq 'onedrive' ? 'temp_expired' : 'expired' });
	collect('a token ends while a download is gone on with');
	is(join(',', map { $cloud->committed($_) } @faults), '1,1', "$name: it was put to the test");
	is(sql("SELECT count(*) || ' ' || min(encode(d.sha256, 'hex')) FROM cloudsync.document d JOIN cloudsync.connections c USING (connection_id) WHERE connection = '$name' AND d.name = 'long.txt'"),
		'1 ' . sha256_hex($text), "$name: the document is there once, whole");
	cmp_ok($cloud->count({ service => $service->{cloud}, route => $service->{bytes}, since => $mark }), '<=', 4, "$name: in few requests");
	$cloud->clear;
	collect('collected once more');
	is(sql("SELECT count(*) FROM cloudsync.document d JOIN cloudsync.connections c USING (connection_id) WHERE connection = '$name'"), '26', "$name: nothing twice");
	return;
}

foreach (qw(dropbox gdrive onedrive))
{
	($name, $service) = ($_, $services{$_});
	connect_it();
	listing();
	upload();
	download();
	is(sql(q{SELECT count(*) FROM cloudsync_status()}), '0', "$name: nothing needs a person");
}

$node->stop;
done_testing();
