# What the tests of Google Drive against the test cloud share: a cluster connected by
# a service account that acts for a person, or by itself, and all of DropboxTest.pm:
# an application's tables, and what is at the remote.
package GdriveTest;

use strict;
use warnings;

use Exporter 'import';
use JSON::PP ();
use Test::More;

use CloudsyncTest;
use DropboxTest ();
use TestCloud;

our @EXPORT = qw(gdrive_cluster use_gdrive connect_gdrive act sql remote expected is_same push_all idle asked);

my ($node, $cloud, %keys);
my $json = JSON::PP->new->canonical;

sub gdrive_cluster
{
	use_gdrive(DropboxTest::cloud_cluster(@_));
	return ($node, $cloud);
}

# From now on, all is of Google Drive.
sub use_gdrive
{
	($node, $cloud) = @_;
	$DropboxTest::service = 'google';
	return;
}

# The new connection's state, once the service has said whose account it is. told:
# account (a service account's name), subject (NULL: it acts for nobody), options.
sub connect_gdrive
{
	my ($name, %told) = @_;
	my $account = $told{account} // 'push';
	my $key = $keys{$account} //= act(service_account => name => $account, delegated => ['https://www.googleapis.com/auth/drive']);
	my $subject = exists $told{subject} ? $told{subject} : 'anna@example.com';
	my %options = (api_endpoint => $cloud->url('google', 'api'), docs_endpoint => $cloud->url('google', 'docs'),
		map({ ("${_}_endpoint" => $cloud->url('google', 'oauth') . "/$_") } qw(token revoke)), %{ $told{options} // {} });
	my $credentials = $json->encode({ service_account => $key, $subject ? (subject => $subject) : () }) =~ s/'/''/gr;
	my $state = sql("SELECT state FROM cloudsync_connect('gdrive', '$name', '$credentials', '" . $json->encode(\%options) . "')");
	ok(wait_for($node, "SELECT account IS NOT NULL FROM cloudsync.connections WHERE connection = '$name'"), "$name: the service says whose account it is");
	return $state;
}

# What a customer does.
sub act { my ($act, %told) = @_; return $cloud->act('google', $act => \%told); }

# Requests to the API since a mark, but for the token server's; of a route.
sub asked
{
	my ($mark, $route) = @_;
	return $cloud->count({ service => 'google', host => [qw(api docs)], since => $mark, $route ? (route => $route) : () });
}

sub sql { return DropboxTest::sql(@_) }
sub remote { return DropboxTest::remote(@_) }
sub expected { return DropboxTest::expected(@_) }
sub is_same { return DropboxTest::is_same(@_) }
sub push_all { return DropboxTest::push_all(@_) }
sub idle { return DropboxTest::idle(@_) }

1;
