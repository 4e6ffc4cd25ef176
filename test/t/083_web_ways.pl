# How servers are reached, on servers that nobody here wrote: Digest and bearer
# authentication and two users on one TCP connection (Apache), certificates,
# cloudsync.ca_file and HTTP/2 (nginx), and cloudsync.proxy (Apache as a forward
# proxy), with what S4 and S5 say of it.
use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use CloudsyncTest;
use Faults ();
use WebServers;

plan skip_all => 'Apache and nginx are not installed' if grep { !WebServers::have($_) } qw(apache nginx);

# a proxy of the environment's, that nobody may ever ask
my $trap = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 16) or die "trap: $!";
$ENV{$_} = 'http://127.0.0.1:' . $trap->sockport foreach qw(http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY);

my $node = new_cluster('ways', conf => <<'CONF');
cloudsync.allowed_endpoints = 'http://127.0.0.1:*, https://127.0.0.1:*, webdav=http://localhost:*'
cloudsync.max_workers = 1
CONF
create_extension($node);
application_schema($node);

sub sql { return scalar_sql($node, $_[0]) }

# Sets something and waits until workers that start now see it.
sub set
{
	my ($name, $value) = @_;
	$node->append_conf('postgresql.conf', "cloudsync.$name = '$value'\n");
	$node->reload;
	return wait_for($node, "SELECT setting FROM pg_settings WHERE name = 'cloudsync.$name'", $value);
}

sub count_below { my ($folder) = @_; my @files = files_below($folder); return scalar @files; }

sub connect_to
{
	my ($name, $url, $credentials) = @_;
	return sql(qq{SELECT state FROM cloudsync_connect('webdav', '$name', @{[defined $credentials ? "'$credentials'" : 'NULL']}, '{"endpoint": "$url"}')});
}

sub check { my ($name) = @_; return sql("SELECT state || ': ' || coalesce(detail, '') FROM cloudsync_check('$name')"); }

sub set_push
{
	my ($name) = @_;
	sql("SELECT cloudsync_set_push('$name', auto_sync => false)");
	ok(wait_for($node, "SELECT count(*) = 1 FROM cloudsync.history WHERE kind = 'prepare' AND state = 'succeeded' AND connection = '$name'"),
		"$name: the root is prepared");
	return;
}

# Pushes a dossier by each of the connections, at once.
sub push_by
{
	my ($dossier, @connections) = @_;
	my @runs = split /\n/, sql(join ' UNION ALL ', map { "SELECT cloudsync_push_dossier('$dossier', '$_')" } @connections);
	ok(wait_run($node, $_), "dossier $dossier is pushed") foreach @runs;
	return;
}

sql(q{SELECT cloudsync_track('app.dossier', 'app.dossier_file')});
sub dossier
{
	my ($n, $files) = @_;
	sql(qq{
INSERT INTO app.dossier (id, title) VALUES ($n, 'D$n');
INSERT INTO app.dossier_file (dossier_id, name, content)
	SELECT $n, 'f' || i || '.txt', convert_to('file ' || i || ' of $n', 'UTF8') FROM generate_series(1, $files) i;
INSERT INTO app.dossier_file (dossier_id, name, content) VALUES ($n, 'large.bin', decode(repeat('00ff10', 600000), 'hex'));
});
	return;
}
dossier($_, 12) foreach 1 .. 5;

# --- Digest, by two users at once, over the same TCP connections -----------------------------

{
	my $server = WebServers->apache(
		digest => 1,
		users => { ann => 'ann-Secret-1', bob => 'bob-Secret-2' },
		log => '%m %U %s %u %{remote}p [%{Authorization}i]',
		extra => join("\n", map { "<Location /$_>\nRequire user $_\n</Location>" } qw(ann bob)));
	mkdir $server->folder . "/$_" foreach qw(ann bob);
	is(connect_to($_, $server->url . "/$_", qq({"username": "$_", "password": "$_-Secret-@{[$_ eq 'ann' ? 1 : 2]}"})), 'active', "$_: connected") foreach qw(ann bob);
	like(check($_), qr/^active/, "$_: Digest is found out") foreach qw(ann bob);
	set_push($_) foreach qw(ann bob);
	$server->requests;
	push_by($_, qw(ann bob)) foreach 1, 2;
	foreach my $user (qw(ann bob))
	{
		is(count_below($server->folder . "/$user"), 26, "$user: all files are there");
	}
	my (%ports, %wrong, %answers);
	foreach ($server->requests)
	{
		my ($method, $folder, $status, $user, $port, $scheme, $rest) = m{^(\S+) /(ann|bob)\S* (\d+) (\S+) (\d+) \[(\S+)(.*)\]$} or next;
		$ports{$port}{$folder} = 1;
		$answers{ $status == 401 ? 401 : 'other' }++;
		$wrong{"$method $folder $status $user"} = 1 if $status =~ /^2/ && ($user ne $folder || $scheme ne 'Digest');
		$wrong{"$method $folder $status $scheme"} = 1 if $status == 403 || $rest =~ /username="(?!$folder")/;
	}
	is_deeply(\%wrong, {}, 'each request is made as the user whose folder it is for, by Digest');
	ok((grep { keys %{ $ports{$_} } == 2 } keys %ports), 'although TCP connections served both');
	cmp_ok($answers{401} // 0, '<', $answers{other} / 4, 'what a server said of its Digest is remembered');

	# the server starts anew, and takes no nonce of before
	$server->restart;
	push_by(3, qw(ann bob));
	is(count_below($server->folder . "/$_"), 39, "$_: after the server's restart, too") foreach qw(ann bob);
	connect_to('bob', $server->url . '/bob', '{"username": "bob", "password": "ann-Secret-1"}');
	like(check('bob'), qr/^needs_consent: .*does not accept the credentials/, 'another\'s password is refused');
	like(check('ann'), qr/^active/, 'and harms nobody else');
	$server->stop;
}

# --- a bearer token ------------------------------------------------------------------------------

{
	my $server = WebServers->apache(
		modules => [qw(rewrite headers)],
		log => '%m %U %s [%{Authorization}i]',
		extra => <<'EOC');
RewriteEngine On
RewriteCond %{HTTP:Authorization} "!^Bearer good-Token-3$"
RewriteRule ^ - [R=401,L]
EOC
	is(connect_to('token', $server->url, '{"bearer_token": "good-Token-3"}'), 'active', 'bearer: connected');
	like(check('token'), qr/^active/, 'bearer: the token is taken');
	set_push('token');
	push_by(1, 'token');
	is(count_below($server->folder), 13, 'bearer: all files are there');
	is_deeply([ grep { !/\[Bearer good-Token-3\]$/ } $server->requests ], [], 'bearer: each request carries it');
	connect_to('token', $server->url, '{"bearer_token": "old-Token-4"}');
	like(check('token'), qr/^needs_consent: .*does not accept the credentials/, 'bearer: another is refused');
	is(sql("SELECT state FROM cloudsync.connections WHERE connection = 'token'"), 'needs_consent', 'bearer: and that is recorded');
	$server->stop;
}

# --- certificates, cloudsync.ca_file, HTTP/2 --------------------------------------------------------

my $certificates = PostgreSQL::Test::Utils::tempdir();
Faults::make_certificates($certificates);
my %port = map { $_ => WebServers::free_port() } qw(expired host self old);
my $nginx = WebServers->nginx(
	tls => "$certificates/good.pem",
	http2 => 1,
	also => [ (map { [ $port{$_}, "$certificates/$_.pem", 1 ] } qw(expired host self)), [ $port{old}, "$certificates/good.pem", 0 ] ],
	log => '$request_method $uri $status $server_protocol $server_port');
$port{good} = $nginx->{port};
connect_to($_, "https://127.0.0.1:$port{$_}") foreach sort keys %port;

like(check('good'), qr/certificate of 127\.0\.0\.1:\d+ is not to be trusted/, 'an authority that is not known is not trusted');
set('ca_file', "$certificates/none.pem");
like(check('good'), qr{could not read certificates from cloudsync.ca_file "\Q$certificates\E/none.pem"}, 'a file that is not there is said');
set('ca_file', "$certificates/ca.pem");
like(check('good'), qr/^active/, 'cloudsync.ca_file: its authority is trusted');
foreach ([ 'expired', qr/certificate has expired/ ], [ 'host', qr/does not match|no alternative certificate/ ], [ 'self', qr/self-signed|unable to get/ ])
{
	my ($name, $why) = @$_;
	my $said = check($name);
	like($said, qr/certificate of 127\.0\.0\.1:$port{$name} is not to be trusted/, "certificate, $name: refused");
	like($said, $why, "certificate, $name: and why");
}
is_deeply([ grep { / $port{expired}$| $port{host}$| $port{self}$/ } $nginx->requests ], [], 'nothing was asked of those');

set_push($_) foreach qw(good);
push_by(1, 'good');
push_by(2, 'good');
is(count_below($nginx->folder), 26, 'nginx: all files are there');
my @protocols = map { (split / /)[3] } $nginx->requests;
cmp_ok(scalar(@protocols), '>', 26, 'nginx: by requests that its log has');
is_deeply([ grep { $_ ne 'HTTP/2.0' } @protocols ], [], 'WebDAV is spoken by HTTP/2 where the server has it');
like(check('old'), qr/^active/, 'and where it has not');
is_deeply([ map { (split / /)[3] } $nginx->requests ], ['HTTP/1.1'], 'by HTTP/1.1');
# A server with HTTP/1.1 alone, whose connections were closed: of requests that begin
# together none waits for another's connection, which might have been for all.
{
	my $single = Faults->server('webdav', $certificates);
	my $places = $single->tell('/places', { single => { kind => 'tls' } })->{places};
	connect_to('single', "https://127.0.0.1:$places->{single}{port}/single");
	set_push('single');
	$single->tell('/arm', { single => [
		{ fault => 'header', on => '^(?:MKCOL|PROPFIND)', header => 'Connection', value => 'close' },
		{ fault => 'together', on => '^PUT .*/f', together => 2 } ] });
	push_by(1, 'single');
	my $state = $single->tell('/state')->{places}{single};
	is(scalar(grep { m{^/CloudSync/D1/} } keys %{ $state->{files} }), 13, 'HTTP/1.1 alone: all files are there');
	is_deeply([ grep { $_ == 0 } @{ $state->{committed} } ], [], 'HTTP/1.1 alone: connections were closed, and requests were there together');
}
# contents by address are fetched by HTTP/1.1, whatever the server has
sql(q{
CREATE TABLE d (id int PRIMARY KEY, title text);
CREATE TABLE f (id serial PRIMARY KEY, d int REFERENCES d, name text, url text);
INSERT INTO d VALUES (1, 'Web');
});
sql("INSERT INTO f (d, name, url) VALUES (1, 'web.txt', '" . $nginx->url . "/CloudSync/D1/f1.txt')");
sql(q{SELECT cloudsync_track('d', 'f')});
sql(q{SELECT cloudsync_connect('local', 'Folder'); SELECT cloudsync_set_push('Folder', auto_sync => false)});
my $run = sql(q{SELECT cloudsync_push_dossier('1', 'Folder', 'd')});
ok(wait_run($node, $run), 'a content by address comes over TLS');
is(read_file(local_root($node) . '/CloudSync/Web/web.txt'), 'file 1 of 1', 'and is what is there');
is_deeply([ $nginx->requests ], ["GET /CloudSync/D1/f1.txt 200 HTTP/1.1 $port{good}"], 'by HTTP/1.1, which this provider goes by');

# --- bytes_per_second, of what is listed, and of a local folder -------------------------------------------

# At this pace it cannot take less; nor does it stop until a worker looks around, once a minute.
sub takes
{
	my ($run, $seconds, $what) = @_;
	ok(wait_run($node, $run), $what);
	my $took = sql("SELECT extract(epoch FROM finished_at - started_at) FROM cloudsync.history WHERE run_id = $run");
	cmp_ok($took, '>', $seconds, "$what takes as long as it must");
	return cmp_ok($took, '<', $seconds + 50, '... and goes on by itself');
}
write_file($nginx->folder . "/Inbox/scan number $_.txt", $_) foreach 1 .. 300;
sql(q{SELECT cloudsync_add_recipient('ann'); SELECT cloudsync_set_limits('good', 50000, NULL, NULL)});
sql(q{SET client_min_messages = error; SELECT cloudsync_create_channel('good', 'mail', ARRAY['/Inbox'], 'ann', 'Mail', auto_collect => false)});
takes(sql(q{SET client_min_messages = error; SELECT cloudsync_collect('mail')}), 1.5, 'a listing of 300 files at 50 kB/s');
sql(q{SELECT cloudsync_set_limits('good', NULL, NULL, NULL); SELECT cloudsync_set_limits('Folder', 300000, NULL, NULL)});
takes(sql(q{SELECT cloudsync_push_dossier('5', 'Folder', 'app.dossier')}), 4, 'a push of 1.8 MB to a folder at 300 kB/s');
is(-s local_root($node) . '/CloudSync/D5/large.bin', 1_800_000, 'and is whole');

# --- cloudsync.proxy --------------------------------------------------------------------------------------

my $apache = WebServers->apache(users => { ann => 'ann-Secret-5' }, log => '%m %U %s %u');
my $proxy = WebServers->proxy;
my $account = '{"username": "ann", "password": "ann-Secret-5"}';
connect_to('plain', $apache->url, $account);
set_push('plain');
is_deeply([ $proxy->requests ], [], 'without cloudsync.proxy none is asked');
set('proxy', 'http://127.0.0.1:' . $proxy->{port});

push_by(4, qw(plain good));
is(count_below($apache->folder), 13, 'proxy: http');
is(count_below($nginx->folder . '/CloudSync'), 39, 'proxy: https');
my @asked = $proxy->requests;
my $origin = $apache->url;
cmp_ok(scalar(grep { m{^PUT \Q$origin\E/CloudSync/D4/\S+ HTTP/1\.1 201 \[Basic } } @asked), '>=', 13, 'proxy: plain requests went to it');
ok(!(grep { m{:$port{good}/} } @asked), 'proxy: https is not asked of it');
like(check('expired'), qr/certificate of .* is not to be trusted/, 'proxy: certificates are verified through it');

# what it is not for: where nothing is allowed to connect, it is not asked either
$proxy->requests;
my ($status, $out, $err) = $node->psql('postgres', q{SELECT cloudsync_connect('webdav', 'Elsewhere', NULL, '{"endpoint": "http://10.1.2.3:8080"}')});
like($err, qr{connections to "http://10\.1\.2\.3:8080" are not allowed}, 'proxy: an address that no pattern names is refused');
sql(qq{UPDATE f SET url = 'http://10.1.2.3/x.txt'});
$run = sql(q{SELECT cloudsync_push_dossier('1', 'Folder', 'd')});
ok(wait_run($node, $run, 'failed'), 'proxy: a content there');
like(sql("SELECT string_agg(error, '') FROM cloudsync.history_file WHERE run_id = $run"), qr/connecting to .*10\.1\.2\.3.* is not allowed/, 'proxy: is refused');
# (tunnels are in its log once they are closed)
is_deeply([ grep { /10\.1\.2\.3/ } $proxy->requests ], [], 'proxy: it heard nothing of it');

# a name that a pattern allows leads where the proxy finds it to lead
set('allowed_endpoints', 'webdav=http://localhost:*');
connect_to('name', 'http://localhost:' . $apache->{port}, $account);
like(check('name'), qr/^active/, 'proxy: a name is its business');
set('proxy', '');
like(check('name'), qr/localhost leads to the address \S+, which is not allowed/, 'no proxy: a name that leads to a private address is refused');
set('allowed_endpoints', 'http://127.0.0.1:*, https://127.0.0.1:*');

set('proxy', 'http://127.0.0.1:' . $proxy->{port});
$apache->stop;

like(check('plain'), qr/HTTP status 503|is not available/, 'proxy: a server that is down behind it');
# a tunnel is in its log once it has ended
my @tunnels;
kill 'TERM', worker_pid($node, 'cloudsync worker');
for (1 .. 6000)
{
	push @tunnels, grep { /^CONNECT 127\.0\.0\.1:$port{good} / } $proxy->requests;
	last if @tunnels;
	select undef, undef, undef, 0.01;
}
ok(@tunnels, 'proxy: for https tunnels were asked of it');
is_deeply([ grep { !m{ HTTP/1\.[01] 200 \[-\]$} } @tunnels ], [], 'proxy: without the credentials');
$proxy->stop;
like(check('plain'), qr/no connection to 127\.0\.0\.1:\d+ through cloudsync\.proxy/, 'proxy: one that is down is named');

# --- what nobody may see, and nobody was asked ---------------------------------------------------------------

ok(!IO::Select->new($trap)->can_read(0), 'no proxy of the environment was asked');
unlike(slurp_file($node->logfile), qr/-Secret-\d|-Token-\d/, 'no secret is in the log');
unlike(sql(q{SELECT string_agg(t::text, ' ') FROM (SELECT h.* FROM cloudsync.history h) t}) . sql(q{SELECT string_agg(c::text, ' ') FROM cloudsync.connections c}),
	qr/-Secret-\d|-Token-\d/, 'nor in history and views');
$node->stop;
$nginx->stop;

done_testing();
