# What the tests of Dropbox against the test cloud share: a cluster connected by
# a code that the consent page shows, an application's tables, and what is at the
# remote. GdriveTest.pm has the same for Google Drive.
package DropboxTest;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use Test::More;

use CloudsyncTest;
use TestCloud;

our @EXPORT = qw(dropbox_cluster connect_dropbox sql remote expected is_same push_all idle requests);

our ($service, $connection) = ('dropbox', 'Box');
my ($node, $cloud);

# A cluster with the extension, and the test cloud.
sub dropbox_cluster
{
	my ($name, %opts) = @_;
	cloud_cluster($name, %opts);
	sql(q{SELECT cloudsync_register_app('dropbox', 'dbxapp00cloudsync')});
	return ($node, $cloud);
}

sub sql { return scalar_sql($node, $_[0]) }

sub cloud_cluster
{
	my ($name, %opts) = @_;
	$cloud = TestCloud->start;
	$node = new_cluster($name, conf => $cloud->conf . ($opts{conf} // ''));
	create_extension($node);
	application_schema($node);
	sql(q{SELECT cloudsync_track('app.dossier', 'app.dossier_file')});
	return ($node, $cloud);
}

# The new connection's state.
sub connect_dropbox
{
	my ($name, %more) = @_;
	my %all = (map({ ("${_}_endpoint" => $cloud->url('dropbox', $_)) } qw(api content notify www)), %{ $more{options} // {} });
	my $options = "'{" . join(', ', map { qq{"$_": } . (ref $all{$_} ? 'true' : qq{"$all{$_}"}) } sort keys %all) . "}'";
	my $url = sql("SELECT authorize_url FROM cloudsync_connect('dropbox', '$name', options => $options)");
	my $code = $cloud->consent($url, $more{user} ? { user => $more{user} } : {})->{code};
	return sql("SELECT cloudsync_authorize('$name', '$code')");
}

# What is below a folder: { path below it => SHA-256 }; of one that is not there: {}.
sub remote
{
	my ($folder, %told) = @_;
	my %found;
	my $tree = eval { $cloud->act($service, tree => { path => $folder, %told }) };
	die $@ if !$tree && $@ !~ /there is no/;
	foreach my $item (@{ $tree // [] })
	{
		next if $item->{folder} || ($item->{kind} // '') eq 'folder';
		# Drive tells paths from the root
		my $path = substr($item->{path}, $service eq 'google' ? length($folder) + 1 : 1);
		utf8::encode($path);
		$path .= ' (twin)' while exists $found{$path};
		$found{$path} = $item->{sha256} // $item->{mime};
	}
	return \%found;
}

# What the database has, as it is to be at the remote.
sub expected
{
	my ($where) = @_;
	$where = $where ? "WHERE $where" : '';
	return { map { split /\t/ } split /\n/, sql(qq{SELECT d.title || '/' || f.name || E'\\t' || encode(sha256(f.content), 'hex')
		FROM app.dossier d JOIN app.dossier_file f ON f.dossier_id = d.id $where}) };
}

# Both are the same, name by name and byte by byte: one copy of each.
sub is_same
{
	my ($what, $where, $folder) = @_;
	my ($found, $wanted) = (remote($folder // '/CloudSync'), expected($where));
	my @wrong = grep { ($found->{$_} // '') ne ($wanted->{$_} // '') } sort keys %{ { %$found, %$wanted } };
	is(scalar(@wrong), 0, "$what: each file is there once, whole")
	  or diag(join "\n", map { "$_: " . ($found->{$_} // 'missing') . ' for ' . ($wanted->{$_} // 'none') } @wrong[0 .. ($#wrong > 9 ? 9 : $#wrong)]);
	return;
}

# Pushes a dossier by hand and waits for it.
sub push_all
{
	my ($dossier, $state) = @_;
	my $run = sql("SELECT cloudsync_push_dossier('$dossier'::text, '$connection')");
	ok(wait_run($node, $run, $state), "the push of dossier $dossier ends as it should");
	return $run;
}

# Waits until nothing is to be done any more.
sub idle
{
	my ($what) = @_;
	ok(wait_for($node, q{SELECT count(*) = 0 FROM (SELECT FROM cloudsync.due UNION ALL SELECT FROM cloudsync.change
		UNION ALL SELECT FROM cloudsync.run WHERE state IN ('queued', 'running')) x}), "$what: the work is finished");
	return;
}

# How many requests went to Dropbox, by route, and altogether.
sub requests
{
	my ($mark) = @_;
	my $routes = $cloud->routes({ service => 'dropbox', since => $mark });
	my $n = 0;
	$n += $_ foreach values %$routes;
	return ($n, join(', ', map { "$_: $routes->{$_}" } sort keys %$routes));
}

1;
