# OpenStack Swift with its S3 interface, as one ordinary user's four processes
# below a temporary folder, on free ports of 127.0.0.1: the S3 server that the
# tests are held to, since it checks signatures, payload hashes and dates.
#
#	my $swift = SwiftServer->new($folder);      # undef: not installed
#	$swift->endpoint;                           # http://127.0.0.1:PORT
#	$swift->make_bucket('dossiers');
#	my ($status, $headers, $text) = $swift->request('GET', '/dossiers', query);
#	$swift->requests;                           # "PUT /dossiers/a.txt 200", ...
#	$swift->stop;                               # also at the program's end
package SwiftServer;

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256 hmac_sha256_hex sha256_hex);
use File::Path qw(make_path);
use FreePort;
use HTTP::Tiny;
use POSIX qw(setsid strftime WNOHANG);
use Time::HiRes qw(sleep);

our ($USER, $KEY) = ('test:tester', 'testing');
my @running;

sub installed
{
	return -x '/usr/bin/swift-proxy-server' && -x '/usr/bin/swift-object-server';
}

sub put_file
{
	my ($path, $text) = @_;
	open my $fh, '>', $path or die "$path: $!";
	print $fh $text;
	close $fh or die "$path: $!";
	return;
}

sub new
{
	my ($class, $folder) = @_;
	return undef unless installed();
	my $self = bless { folder => $folder, pids => [] }, $class;
	my %port = map { $_ => free_port() } qw(account container object proxy);

	make_path("$folder/devices/d1", "$folder/cache");
	put_file("$folder/swift.conf", "[swift-hash]\nswift_hash_path_suffix = test\n"
		  . "[storage-policy:0]\nname = one\ndefault = yes\n");
	foreach my $kind (qw(account container object))
	{
		my $builder = "$folder/$kind.builder";
		foreach my $command ("create 2 1 1", "add r1z1-127.0.0.1:$port{$kind}/d1 100", 'rebalance')
		{
			system("swift-ring-builder $builder $command >>$folder/ring.log 2>&1") >> 8 < 2
			  or die "swift-ring-builder $command: see $folder/ring.log";
		}
		put_file("$folder/$kind.conf", <<"CONF");
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $port{$kind}
workers = 0
devices = $folder/devices
mount_check = false
swift_dir = $folder
recon_cache_path = $folder/cache
log_facility =
fallocate_reserve = 0
disable_fallocate = true
[pipeline:main]
pipeline = $kind-server
[app:$kind-server]
use = egg:swift#$kind
CONF
	}
	put_file("$folder/proxy.conf", <<"CONF");
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $port{proxy}
workers = 0
swift_dir = $folder
[pipeline:main]
pipeline = catch_errors proxy-logging cache listing_formats bulk s3api tempauth copy slo dlo proxy-logging proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
# a part that was slow once, on a busy machine, is not left out for a minute
error_suppression_limit = 1000000
conn_timeout = 30
node_timeout = 120
allow_account_management = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:proxy-logging]
use = egg:swift#proxy_logging
access_log_name = proxy
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
s3_acl = false
check_bucket_owner = false
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
CONF
	$self->{endpoint} = "http://127.0.0.1:$port{proxy}";
	push @running, $self;
	$self->start($_) foreach qw(account container object proxy);
	$self->wait_until_up;
	return $self;
}

sub start
{
	my ($self, $kind) = @_;
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		setsid();
		open STDOUT, '>>', "$self->{folder}/$kind.log";
		open STDERR, '>&', \*STDOUT;
		open STDIN, '<', '/dev/null';
		delete @ENV{qw(http_proxy HTTP_PROXY https_proxy HTTPS_PROXY)};
		exec "/usr/bin/swift-$kind-server", "$self->{folder}/$kind.conf", '--verbose' or POSIX::_exit(1);
	}
	push @{ $self->{pids} }, $pid;
	return;
}

sub wait_until_up
{
	my ($self) = @_;
	my $end = time + ($ENV{PG_TEST_TIMEOUT_DEFAULT} || 120);
	while (time < $end)
	{
		my ($status) = eval { $self->request('GET', '/') };
		return if defined $status && $status == 200;
		sleep 0.1;
	}
	die "Swift did not start: see $self->{folder}/*.log";
}

sub endpoint { return $_[0]{endpoint} }

# A signed request, made without our own code. Returns status, headers, text.
sub request
{
	my ($self, $method, $path, $query, $content) = @_;
	$query //= '';
	$content //= '';
	my ($host) = $self->{endpoint} =~ m{//(.*)};
	my $now = strftime('%Y%m%dT%H%M%SZ', gmtime);
	my $day = substr $now, 0, 8;
	my $hash = sha256_hex($content);
	my $names = 'host;x-amz-content-sha256;x-amz-date';
	my $canonical = join "\n", $method, $path, join('&', sort split /&/, $query),
	  "host:$host", "x-amz-content-sha256:$hash", "x-amz-date:$now", '', $names, $hash;
	my $scope = "$day/us-east-1/s3/aws4_request";
	my $key = "AWS4$KEY";
	$key = hmac_sha256($_, $key) foreach split m{/}, $scope;
	my $signature = hmac_sha256_hex(join("\n", 'AWS4-HMAC-SHA256', $now, $scope, sha256_hex($canonical)), $key);
	my $answer = HTTP::Tiny->new(timeout => 300)->request(
		$method,
		"$self->{endpoint}$path" . (length $query ? "?$query" : ''),
		{
			content => $content,
			headers => {
				'x-amz-date' => $now,
				'x-amz-content-sha256' => $hash,
				authorization =>
				  "AWS4-HMAC-SHA256 Credential=$USER/$scope, SignedHeaders=$names, Signature=$signature"
			}
		});
	return ($answer->{status}, $answer->{headers}, $answer->{content});
}

sub make_bucket
{
	my ($self, $bucket) = @_;
	my ($status, $text);
	for (1 .. 300)
	{
		($status, undef, $text) = $self->request('PUT', "/$bucket");
		# on a busy machine its servers are slow to find each other
		last if $status != 503;
		sleep 0.2;
	}
	die "could not make bucket: $status $text" unless $status == 200;
	return;
}

# Keys of a bucket.
sub keys_of
{
	my ($self, $bucket) = @_;
	my (undef, undef, $text) = $self->request('GET', "/$bucket", 'list-type=2&max-keys=1000');
	my @keys = $text =~ m{<Key>([^<]*)</Key>}g;
	return sort @keys;
}

# The requests that were answered so far, like "PUT /dossiers/a%20b.txt?x=y 200".
sub requests
{
	my ($self) = @_;
	open my $fh, '<', "$self->{folder}/proxy.log" or die "no access log: $!";
	my @lines = map { m{^proxy: (?:\S+ ){3}(\S+ \S+) \S+ (\d+) } ? "$1 $2" : () } <$fh>;
	return map { s/%([0-9A-F]{2})/chr hex $1/ger } @lines;
}

sub stop
{
	my ($self) = @_;
	foreach my $pid (splice @{ $self->{pids} })
	{
		kill 'TERM', $pid;
		waitpid $pid, 0;
	}
	return;
}

END
{
	my $status = $?;
	$_->stop foreach @running;
	$? = $status;
}

1;
