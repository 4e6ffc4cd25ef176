# WebDAV servers that nobody here wrote, on 127.0.0.1 and a free port, as the
# user that runs the tests, with all they need in a temporary folder: Apache
# mod_dav (the reference), nginx with dav-ext, rclone serve webdav.
#
#	my $apache = WebServers->apache(user => 'u', password => 'p');
#	$apache->url, $apache->folder (its files), $apache->requests (lines of its log)
#	WebServers->nginx(tls => 'certificate and key.pem', http2 => 1);
#	WebServers->proxy: a forward proxy
#
# log: the format of the log's lines, in the server's words. Apache: modules (more
# of them), digest, users => { name => password }, extra (of the server's
# configuration). nginx: extra (of the location's), also => [ [ port, pem ], ... ].
#
# Each ends with the program that started it, by its process id.
package WebServers;

use strict;
use warnings;

use File::Path qw(make_path);
use File::Temp;
use FreePort;
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(usleep);

my @running;

# Is what a kind of server needs installed?
sub have
{
	my ($kind) = @_;
	return program('apache2') && -e '/usr/lib/apache2/modules/mod_dav.so'
	  if $kind eq 'apache';
	return program('nginx') && -e '/usr/lib/nginx/modules/ngx_http_dav_ext_module.so'
	  if $kind eq 'nginx';
	return program($kind);
}

sub program
{
	my ($name) = @_;
	my ($path) = grep { -x } map { "$_/$name" } split(/:/, $ENV{PATH}),
	  qw(/usr/sbin /usr/local/sbin /sbin);
	return $path;
}

sub new
{
	my ($class, $kind, %options) = @_;
	# below the tests' folder, or /tmp when run by hand
	my $base = File::Temp->newdir("$kind-XXXXXX", TMPDIR => 1);
	my $self = bless {
		kind => $kind,
		base => $base,
		port => free_port(),
		path => $options{path} // '',
		%options
	}, $class;
	make_path("$base/files", "$base/tmp");
	return $self;
}

sub url { my $self = shift; return ($self->{tls} ? 'https' : 'http') . "://127.0.0.1:$self->{port}$self->{path}"; }
sub folder { my $self = shift; return "$self->{base}/files"; }

sub write_file
{
	my ($path, $text) = @_;
	open(my $out, '>', $path) or die "$path: $!";
	print $out $text;
	close($out) or die "$path: $!";
	return;
}

# Starts its program in the background and waits until the port answers.
sub start
{
	my ($self, @command) = @_;
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>>', "$self->{base}/out.log");
		open(STDERR, '>&', \*STDOUT);
		exec(@command) or POSIX::_exit(127);
	}
	$self->{pid} = $pid;
	push @running, $self;
	for (1 .. 2400)
	{
		last if waitpid($pid, POSIX::WNOHANG()) == $pid;
		return $self
		  if IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port});
		usleep(50_000);
	}
	die "$self->{kind} does not start: " . `tail -n 5 $self->{base}/*.log`;
}

sub stop
{
	my ($self, $signal) = @_;
	my $pid = delete $self->{pid} or return;
	kill($signal // 'TERM', $pid);
	waitpid($pid, 0);
	return;
}

# Apache begins anew, under its port and process id: what it knew of its clients is gone.
sub restart
{
	my ($self) = @_;
	my $begun = sub {
		open(my $in, '<', "$self->{base}/error.log") or return 0;
		return scalar(grep { /resuming normal operations/ } <$in>);
	};
	my $before = $begun->();
	kill('HUP', $self->{pid});
	for (1 .. 2400)
	{
		return if $begun->() > $before;
		usleep(50_000);
	}
	die "$self->{kind} does not start again";
}

# The access log's lines "METHOD PATH STATUS", all or since the last call.
sub requests
{
	my ($self) = @_;
	open(my $in, '<', "$self->{base}/access.log") or return;
	seek($in, $self->{seen} // 0, 0);
	my @lines = <$in>;
	$self->{seen} = tell($in);
	chomp @lines;
	return @lines;
}

sub apache
{
	my ($class, %options) = @_;
	my $self = $class->new('apache', %options);
	my $base = $self->{base};
	my @modules = (qw(mpm_event authn_core authz_core authz_user authn_file auth_basic auth_digest
	  dav dav_fs dav_lock), @{ $options{modules} // [] });
	my $log = $options{log} // '%m %U %s';
	my %users = %{ $options{users} // ($options{user} ? { $options{user} => $options{password} } : {}) };
	my $modules = join("\n", map { "LoadModule ${_}_module /usr/lib/apache2/modules/mod_$_.so" } @modules);
	my $auth = '';
	if (%users && $options{digest})
	{
		require Digest::MD5;
		write_file("$base/users", join '', map { "$_:files:" . Digest::MD5::md5_hex("$_:files:$users{$_}") . "\n" } sort keys %users);
		$auth = "AuthType Digest\nAuthName files\nAuthUserFile $base/users\nRequire valid-user";
	}
	elsif (%users)
	{
		write_file("$base/users", join '', map { "$_:" . crypt($users{$_}, '$6$saltsalt$') . "\n" } sort keys %users);
		$auth = "AuthType Basic\nAuthName files\nAuthUserFile $base/users\nRequire valid-user";
	}
	$auth ||= 'Require all granted';
	my $infinity = $options{infinity} ? 'On' : 'Off';
	my $extra = $options{extra} // '';
	write_file("$base/apache.conf", <<"EOC");
ServerRoot $base
ServerName 127.0.0.1
Listen 127.0.0.1:$self->{port}
PidFile $base/apache.pid
DefaultRuntimeDir $base/tmp
ErrorLog $base/error.log
$modules
LogFormat "$log" lines
TransferLog $base/none.log
CustomLog $base/access.log lines
DocumentRoot $base/files
DavLockDB $base/tmp/locks
StartServers 1
ThreadsPerChild 32
KeepAlive On
MaxKeepAliveRequests 0
<Directory $base/files>
Dav On
DavDepthInfinity $infinity
$auth
</Directory>
$extra
EOC
	return $self->start(program('apache2'), '-f', "$base/apache.conf", '-DFOREGROUND');
}

# A forward proxy; what it is asked for is in its log.
sub proxy
{
	my ($class, %options) = @_;
	my $self = $class->new('proxy', %options);
	my $base = $self->{base};
	my $modules = join("\n", map { "LoadModule ${_}_module /usr/lib/apache2/modules/mod_$_.so" }
		  qw(mpm_event authn_core authz_core proxy proxy_http proxy_connect));
	write_file("$base/apache.conf", <<"EOC");
ServerRoot $base
ServerName 127.0.0.1
Listen 127.0.0.1:$self->{port}
PidFile $base/apache.pid
DefaultRuntimeDir $base/tmp
ErrorLog $base/error.log
$modules
LogFormat "%r %>s [%{Authorization}i]" lines
CustomLog $base/access.log lines
StartServers 1
ThreadsPerChild 64
ProxyRequests On
AllowCONNECT 1-65535
EOC
	return $self->start(program('apache2'), '-f', "$base/apache.conf", '-DFOREGROUND');
}

sub nginx
{
	my ($class, %options) = @_;
	my $self = $class->new('nginx', %options);
	my $base = $self->{base};
	my $temp = join(' ', map { "${_}_temp_path $base/tmp/$_;" } qw(client_body proxy fastcgi uwsgi scgi));
	my $extra = $options{extra} // '';
	my $log = $options{log} // '$request_method $uri $status';
	my $location = <<"EOC";
		location / {
			root $base/files;
			dav_methods PUT DELETE MKCOL COPY MOVE;
			dav_ext_methods PROPFIND OPTIONS;
			$extra
		}
EOC
	my $servers = '';
	foreach ([ $self->{port}, $options{tls}, $options{http2} ], @{ $options{also} // [] })
	{
		my ($port, $pem, $http2) = @$_;
		my $tls = $pem ? "ssl_certificate $pem; ssl_certificate_key $pem;" : '';
		$servers .= "server { listen 127.0.0.1:$port" . ($pem ? ' ssl' : '') . ($http2 ? ' http2' : '') . "; $tls\n$location }\n";
	}
	write_file("$base/nginx.conf", <<"EOC");
load_module /usr/lib/nginx/modules/ngx_http_dav_ext_module.so;
daemon off;
worker_processes 1;
pid $base/nginx.pid;
error_log $base/error.log;
events { worker_connections 256; }
http {
	$temp
	log_format lines '$log';
	access_log $base/access.log lines;
	keepalive_requests 1000000;
	client_max_body_size 0;
	$servers
}
EOC
	return $self->start(program('nginx'), '-e', "$base/error.log", '-c', "$base/nginx.conf", '-p', $base);
}

sub rclone
{
	my ($class, %options) = @_;
	my $self = $class->new('rclone', %options);
	my $base = $self->{base};
	my @auth = $options{user} ? ('--user', $options{user}, '--pass', $options{password}) : ();
	return $self->start(program('rclone'), '--config', "$base/rclone.conf", 'serve', 'webdav',
		'--addr', "127.0.0.1:$self->{port}", '--dir-cache-time', '0s', @auth, "$base/files");
}

END
{
	my $status = $?;
	$_->stop foreach @running;
	$? = $status;
}

1;
