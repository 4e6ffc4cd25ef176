# The test cloud (test/cloud/cloud.py): Dropbox, Google Drive and Microsoft Graph
# with their token servers, on 127.0.0.1 over TLS. It ends with the program that
# started it.
#
#	plan skip_all => TestCloud::missing() if TestCloud::missing();
#	my $cloud = TestCloud->start;
#	$cloud->conf;                       # lines for postgresql.conf: authority, endpoints
#	$cloud->ca_file;                    # the authority's certificate
#	$cloud->url('dropbox', 'api');      # https://127.0.0.1:PORT; hosts: see cloud.py
#	$cloud->proxy;                      # http://127.0.0.1:PORT, for CONNECT by real names
#
#	my $n = $cloud->fault({ service => 'dropbox', route => 'files/upload', nth => 2,
#			kind => 'reset', at => 'commit' });     # kinds: cloud_faults.py
#	$cloud->committed($n);              # how often it was committed
#	$cloud->clear;                      # no more faults (or those that are named)
#
#	$cloud->act('dropbox', add => { path => '/Inbox/a.pdf', content => 'text' });
#	   # what a customer does; acts: at the heads of oauth*.py, dropbox_api.py, ...
#	$cloud->consent($authorize_url);    # clicks through a consent page, see below
#	$cloud->clock(14400);               # the cloud's clock goes on by so much
#	$cloud->latency(0.05);              # each request takes that longer
#	$cloud->behind('graph', 'api', $port);      # a proxy's, by which it is reached
#
#	my $mark = $cloud->mark;            # the log's end now
#	$cloud->requests({ service => 'dropbox', route => '/^files/', since => $mark });
#	$cloud->count({ ... });             # the same, only how many
#	$cloud->routes({ ... });            # { route => how many, ... }
#
# An entry of the log has n, service, host, method, path, route, subject (what it
# is about), status (0: no answer), received and sent (bytes of the bodies), user,
# fault (its kind), began (Unix time), ms; never a token. All secrets that the
# cloud gives out have the word CloudSecret in them, so that a test can look for
# them anywhere.
package TestCloud;

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Temp;
use HTTP::Tiny;
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(usleep);

# Debian's packages are for Debian's Python, whatever else is in the PATH.
our $PYTHON = -x '/usr/bin/python3' ? '/usr/bin/python3' : 'python3';
my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my @running;
my $missing;

# Why the cloud cannot be started here, or ''.
sub missing
{
	return $missing if defined $missing;
	my $said = qx{$PYTHON -c 'import aiohttp, cryptography' 2>&1};
	$missing = $? == 0 ? '' : "the test cloud needs python3-aiohttp and python3-cryptography";
	return $missing;
}

sub start
{
	my ($class) = @_;
	my $base = File::Temp->newdir('cloud-XXXXXX', TMPDIR => 1);
	my $program = dirname(__FILE__) . '/../cloud/cloud.py';
	my $self = bless { base => $base }, $class;
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>', "$base/cloud.log");
		open(STDERR, '>&', \*STDOUT);
		exec($PYTHON, '-B', $program, '--folder', $base, '--ready', "$base/ready", '--ends-with', getppid())
		  or POSIX::_exit(127);
	}
	$self->{pid} = $pid;
	push @running, $self;
	for (1 .. 3600)
	{
		last if -e "$base/ready" || waitpid($pid, POSIX::WNOHANG()) == $pid;
		usleep(50_000);
	}
	die "the test cloud does not start:\n" . $self->output unless -e "$base/ready";
	$self->{ready} = $json->decode(slurp("$base/ready"));
	return $self;
}

sub slurp
{
	my ($path) = @_;
	open(my $in, '<', $path) or return '';
	local $/;
	return scalar <$in>;
}

# What the cloud itself wrote, such as its errors.
sub output { my ($self) = @_; return slurp("$self->{base}/cloud.log"); }
sub ca_file { my ($self) = @_; return $self->{ready}{ca_file}; }
sub proxy { my ($self) = @_; return "http://127.0.0.1:$self->{ready}{proxy}"; }

sub url
{
	my ($self, $service, $host) = @_;
	my $port = $self->{ready}{hosts}{$service}{$host} or die "the cloud has no host $host of $service";
	return "https://127.0.0.1:$port";
}

sub behind
{
	my ($self, $service, $host, $port) = @_;
	$self->tell(behind => { service => $service, host => $host, port => $port });
	$self->{ready}{hosts}{$service}{$host} = $port;
	return;
}

sub conf
{
	my ($self) = @_;
	return "cloudsync.allowed_endpoints = 'https://127.0.0.1:*'\ncloudsync.ca_file = '" . $self->ca_file . "'\n";
}

# Tells the cloud's control something; what it says.
sub tell
{
	my ($self, $what, $told) = @_;
	my $answer = HTTP::Tiny->new(timeout => 300)->request('POST', "http://127.0.0.1:$self->{ready}{control}/$what",
		{ content => $json->encode($told // {}), headers => { 'content-type' => 'application/json' } });
	die "the cloud could not do $what: $answer->{content}\n" unless $answer->{success};
	return $json->decode($answer->{content});
}

sub fault
{
	my ($self, @faults) = @_;
	my $numbers = $self->tell('fault', \@faults)->{faults};
	return wantarray ? @$numbers : $numbers->[0];
}

sub committed
{
	my ($self, $number) = @_;
	return $self->tell('faults')->[$number]{committed};
}

sub clear
{
	my ($self, @numbers) = @_;
	return $self->tell('clear', @numbers ? { faults => \@numbers } : {});
}

sub act
{
	my ($self, $service, $act, $told) = @_;
	return $self->tell('act', { %{ $told // {} }, service => $service, act => $act });
}

sub clock { my ($self, $seconds) = @_; return $self->tell('clock', { advance => $seconds })->{now}; }
sub latency { my ($self, $seconds) = @_; return $self->tell('latency', { seconds => $seconds }); }
sub requests { my ($self, $wanted) = @_; return @{ $self->tell('requests', $wanted) }; }
sub count { my ($self, $wanted) = @_; return $self->tell('requests', { %{ $wanted // {} }, count => 1 }); }
sub mark { my ($self) = @_; return $self->count({}); }

sub routes
{
	my ($self, $wanted) = @_;
	my %routes;
	$routes{ $_->{route} }++ foreach $self->requests($wanted);
	return \%routes;
}

# What a person does on the consent page at this address. told: user (the first
# of the service), deny => 1, untick => [scopes]. The answer has redirect (the
# address that the browser is sent to), or code (shown on the page), or error
# (what the page says instead, with status).
sub consent
{
	my ($self, $url, $told) = @_;
	my ($port) = $url =~ m{^https://127\.0\.0\.1:(\d+)/};
	my $hosts = $self->{ready}{hosts};
	foreach my $service (sort keys %$hosts)
	{
		next unless grep { defined $port && $_ == $port } values %{ $hosts->{$service} };
		return $self->act($service, consent => { %{ $told // {} }, url => $url });
	}
	die "not an address of the cloud: $url";
}

sub stop
{
	my ($self) = @_;
	my $pid = delete $self->{pid} or return;
	kill('TERM', $pid);
	waitpid($pid, 0);
	return;
}

END
{
	my $status = $?;
	$_->stop foreach @running;
	$? = $status;
}

1;
