# What the tests of OneDrive and SharePoint against the test cloud share: a cluster,
# a connection to a user's drive (row "onedrive") or a site's library ("sharepoint"),
# an application's dossiers, what is there, and what was asked for.
#
#	graph_cluster('graph', conf => ...);
#	connect_it('sharepoint');           # $row and $place are its from then on
#	new_dossier('Title'); add_file('a.txt', "'content'");
#	is(push_now('pushed'), 'create a.txt', ...);
#	is(there('/CloudSync/Title'), 'a.txt 7', ...);
package GraphTest;

use strict;
use warnings;

use Exporter 'import';
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use Test::More;

use CloudsyncTest;
use TestCloud;

our ($node, $cloud, $row, $place, $dossier, $file_id) = (undef, undef, '', undef, 0, 0);
our @EXPORT = qw($node $cloud $row $place $dossier graph_cluster connect_it sql json act options app routes total told push_now
  push_error new_dossier add_file there tree_of collect_now wait_until);

my %places = (
	onedrive => { drive => { user => 'anna@contoso.example' }, options => {} },
	sharepoint => { drive => { site => '/sites/team-a', library => 'Archive' },
		options => { site => 'https://contoso.sharepoint.com/sites/team-a', library => 'Archive' } });

sub graph_cluster
{
	my ($name, %opts) = @_;
	$cloud = TestCloud->start;
	$node = new_cluster($name, conf => $cloud->conf . "restart_after_crash = on\n" . ($opts{conf} // ''));
	create_extension($node);
	application_schema($node);
	sql(q{SELECT cloudsync_track('app.dossier', 'app.dossier_file', procedure => 'procedure')});
	sql(q{SELECT cloudsync_add_recipient('ann')});
	return;
}

sub sql { return scalar_sql($node, $_[0]) }
sub json { return "'" . (JSON::PP->new->canonical->encode($_[0]) =~ s/'/''/gr) . "'" }
sub act { my ($act, %told) = @_; return $cloud->act('graph', $act => { %{ $place->{drive} }, %told }); }

sub options
{
	return json({ api_endpoint => $cloud->url('graph', 'api') . '/v1.0', login_endpoint => $cloud->url('graph', 'login'), @_ });
}

sub app { my ($provider, $n, $secret) = @_; return sql("SELECT cloudsync_register_app('$provider', 'aaaaaaaa-0000-0000-0000-00000000000$n', $secret)"); }

# The rows of the table of providers, each with its place there.
sub connect_it
{
	my ($provider) = @_;
	($row, $place) = ($provider, $places{$provider});
	app($row, 1, "'m~CloudSecret+1/='");
	my $grant = $cloud->act('graph', grant => { app => 'aaaaaaaa-0000-0000-0000-000000000001', user => 'anna@contoso.example',
			scopes => [ $row eq 'onedrive' ? 'Files.ReadWrite' : 'Sites.ReadWrite.All', 'offline_access' ] });
	is(sql("SELECT state FROM cloudsync_connect('$row', '$row', " . json({ refresh_token => $grant->{refresh_token} }) . ", @{[options(%{ $place->{options} })]})"),
		'active', "$row: connected");
	ok(wait_for($node, "SELECT account IS NOT NULL FROM cloudsync.connections WHERE connection = '$row'"), "$row: its account is known");
	sql("SELECT cloudsync_set_push('$row', auto_sync => false, on_delete => 'trash')");
	ok(wait_for($node, "SELECT count(*) > 0 FROM cloudsync.history WHERE kind = 'prepare' AND state = 'succeeded' AND connection = '$row'"),
		"$row: the root is prepared");
	return;
}

# What was asked of Graph's own hosts since a mark, tokens apart.
sub routes
{
	my ($mark) = @_;
	my %count;
	$count{ $_->{route} }++ foreach grep { $_->{host} ne 'login' && $_->{status} } $cloud->requests({ service => 'graph', since => $mark });
	return \%count;
}

sub total { my ($count) = @_; my $n = 0; $n += $_ foreach values %$count; return $n; }
sub told { my ($count) = @_; return join(' ', map { "$_=$count->{$_}" } sort keys %$count); }

# Pushes the dossier by hand; what was done to its files.
sub push_now
{
	my ($what, $state) = @_;
	my $run = sql("SELECT cloudsync_push_dossier('$dossier', '$row')");
	ok(wait_run($node, $run, $state), "$row: $what") or diag(sql("SELECT error FROM cloudsync.history WHERE run_id = $run"));
	return sql("SELECT string_agg(action || ' ' || regexp_replace(path, '^.*/', ''), ', ' ORDER BY path COLLATE \"C\", action) FROM cloudsync.history_file WHERE run_id = $run");
}

# Pushes the dossier by hand, whatever comes of it: its state and error.
sub push_error
{
	my $run = sql("SELECT cloudsync_push_dossier('$dossier', '$row')");
	wait_for($node, "SELECT finished_at IS NOT NULL FROM cloudsync.history WHERE run_id = $run");
	return sql("SELECT state || ': ' || COALESCE(error, '') FROM cloudsync.history WHERE run_id = $run");
}

sub new_dossier
{
	my ($title) = @_;
	$dossier++;
	sql("INSERT INTO app.dossier (id, title) VALUES ($dossier, '$title')");
	return;
}

sub add_file
{
	my ($name, $content) = @_;
	$file_id++;
	sql("INSERT INTO app.dossier_file (id, dossier_id, name, content) VALUES ($file_id, $dossier, '$name', $content)");
	return $file_id;
}

# Every file at or below a path there.
sub tree_of
{
	my ($path) = @_;
	return grep { $_->{kind} eq 'file' } @{ act('tree', path => $path) };
}

# The same: names and sizes.
sub there
{
	my ($path) = @_;
	return join(', ', sort map { "$_->{name} $_->{size}" } tree_of($path));
}

# Collects by hand; the run.
sub collect_now
{
	my ($channel, $what, $state) = @_;
	my $run = sql("SET client_min_messages = error; SELECT cloudsync_collect('$channel')");
	ok(wait_run($node, $run, $state), "$row: $what") or diag(sql("SELECT error FROM cloudsync.history WHERE run_id = $run"));
	return $run;
}

sub wait_until
{
	my ($check) = @_;
	for (1 .. 1200)
	{
		return 1 if $check->();
		select(undef, undef, undef, 0.1);
	}
	return 0;
}

1;
