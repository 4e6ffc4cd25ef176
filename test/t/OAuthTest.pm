# What the tests of OAuth (100_oauth*.pl) share: a cluster beside the test cloud,
# the options that lead a connection to it, and consent given there.
package OAuthTest;

use strict;
use warnings;

use Exporter 'import';
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use Test::More;

use CloudsyncTest;
use TestCloud;

our @EXPORT = qw(oauth_cluster sql refused options microsoft dropbox json quoted ask facts authorize tokens wait_until);

my ($node, $cloud);

# A cluster with the extension, and the test cloud.
sub oauth_cluster
{
	my ($name, $conf) = @_;
	$cloud = TestCloud->start;
	$node = new_cluster($name, conf => $cloud->conf . "restart_after_crash = on\n" . ($conf // ''));
	create_extension($node);
	return ($node, $cloud);
}

sub sql { my ($sql, $db) = @_; return scalar_sql($node, $sql, $db); }

# The error that a statement ends in, with detail and hint.
sub refused
{
	my ($statement, $like, $what) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $statement);
	like($err, $like, $what);
	return;
}

sub quoted { my ($text) = @_; $text =~ s/'/''/g; return "'$text'"; }
sub json { my ($value) = @_; return quoted(JSON::PP->new->canonical->encode($value)); }

# Options of a connection to the test cloud, as SQL: Google Drive's,
sub options
{
	my (%more) = @_;
	return json({
		api_endpoint => $cloud->url('google', 'api'), token_endpoint => $cloud->url('google', 'oauth') . '/token',
		authorize_endpoint => $cloud->url('google', 'accounts') . '/o/oauth2/v2/auth',
		revoke_endpoint => $cloud->url('google', 'oauth') . '/revoke', %more });
}

# OneDrive's and SharePoint's,
sub microsoft
{
	my (%more) = @_;
	return json({ api_endpoint => $cloud->url('graph', 'api') . '/v1.0', login_endpoint => $cloud->url('graph', 'login'), %more });
}

# and Dropbox's.
sub dropbox
{
	my (%more) = @_;
	return json({ (map { ("${_}_endpoint" => $cloud->url('dropbox', $_)) } qw(api content notify www)), %more });
}

# Connects by consent: id, state and address.
sub ask
{
	my ($provider, $name, $options) = @_;
	return split /\|/, sql("SELECT connection_id, state, authorize_url FROM cloudsync_connect('$provider', '$name', options => $options)");
}

sub facts
{
	my ($name) = @_;
	return sql("SELECT concat_ws('|', state, account, scopes, reason) FROM cloudsync.connections WHERE connection = '$name' AND state <> 'disconnected'");
}

sub authorize { my ($url) = @_; return sql('SELECT concat_ws(\'|\', connection, state) FROM cloudsync_authorize(' . quoted($url) . ')'); }

# How often Google's token server was asked.
sub tokens { my ($mark) = @_; return $cloud->count({ service => 'google', route => 'token', since => $mark }); }

# For what the cloud alone can tell.
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
