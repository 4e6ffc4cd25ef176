# The work of test/bench/cloud.sh, which starts the cluster: libpq's variables and
# PSQL (the program) lead to it.
use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp;
use FreePort;
use IO::Socket::INET;
use JSON::PP ();
use POSIX ();
use TestCloud;
use Time::HiRes qw(sleep time);

$| = 1;
my ($what, $services, @numbers) = @ARGV;
die TestCloud::missing() . "\n" if TestCloud::missing();
my $cloud = TestCloud->start;
chmod 0755, $cloud->{base};
chmod 0644, $cloud->ca_file;

my %services = (
	dropbox => { act => 'dropbox', app => 'dbxapp00cloudsync', user => 'anna@example.com',
		scopes => [qw(account_info.read files.metadata.read files.content.read files.content.write)],
		token => sub { $cloud->url('dropbox', 'api') . '/oauth2/token' },
		options => sub { return { map { ("${_}_endpoint" => $cloud->url('dropbox', $_)) } qw(api content notify www) }; } },
	gdrive => { act => 'google', app => 'web.apps.googleusercontent.com', user => 'anna@example.com',
		scopes => ['https://www.googleapis.com/auth/drive'],
		token => sub { $cloud->url('google', 'oauth') . '/token' },
		options => sub { return { api_endpoint => $cloud->url('google', 'api'), token_endpoint => $cloud->url('google', 'oauth') . '/token' }; } },
	onedrive => { act => 'graph', app => 'aaaaaaaa-0000-0000-0000-000000000001', user => 'anna@contoso.example',
		scopes => [qw(Files.ReadWrite offline_access)],
		token => sub { $cloud->url('graph', 'login') . '/common/oauth2/v2.0/token' },
		options => sub { return { api_endpoint => $cloud->url('graph', 'api') . '/v1.0', login_endpoint => $cloud->url('graph', 'login') }; } });
my ($name, $service);

sub sql
{
	my ($sql) = @_;
	open my $psql, '-|', $ENV{PSQL}, '-XqAt', '-v', 'ON_ERROR_STOP=1', '-c', $sql or die "psql: $!";
	my $said = join '', <$psql>;
	close $psql or die "failed: $sql\n";
	chomp $said;
	return $said;
}

sub json { return "'" . JSON::PP->new->canonical->encode($_[0]) . "'"; }
sub act { my ($act, %told) = @_; return $cloud->act($service->{act}, $act => \%told); }

sub until_true
{
	my ($sql, $between) = @_;
	while (sql("SELECT ($sql)::int") ne '1')
	{
		$between->() if $between;
		sleep 0.1;
	}
	return;
}

sub connect_it
{
	my $grant = act(grant => app => $service->{app}, user => $service->{user}, scopes => $service->{scopes});
	sql("SELECT cloudsync_register_app('$name', '$grant->{client_id}', '$grant->{client_secret}')");
	sql("SELECT cloudsync_connect('$name', '$name', " . json({ refresh_token => $grant->{refresh_token} }) . ', ' . json($service->{options}->()) . ')');
	until_true("SELECT count(account) = 1 FROM cloudsync.connections WHERE connection = '$name'");
	return;
}

# Requests since a mark, those for tokens apart.
sub requests
{
	my ($mark) = @_;
	return scalar grep { $_->{host} !~ /^(oauth|login)$/ && $_->{route} !~ /token$/ } $cloud->requests({ service => $service->{act}, since => $mark });
}

# What is queued, to the end of its run: seconds and requests.
sub run_it
{
	my ($title, $statement, $between) = @_;
	my $mark = $cloud->mark;
	my $last = sql('SELECT coalesce(max(run_id), 0) FROM cloudsync.history');
	sql("SET client_min_messages = error; SELECT $statement");
	my $this = "FROM cloudsync.history WHERE run_id > $last AND (channel = '$title' OR dossier = '$title')";
	until_true("SELECT count(*) = 1 AND bool_and(finished_at IS NOT NULL) $this", $between);
	my ($state, $took) = split /\|/, sql("SELECT state || coalesce(': ' || error, ''), extract(epoch FROM finished_at - requested_at) $this");
	die "$statement: $state\n" if $state ne 'succeeded';
	return ($took, requests($mark));
}

# A channel that is listed at once, and otherwise when it is asked to.
sub followed
{
	my ($title, $folder) = @_;
	return "cloudsync_create_channel('$name', '$title', '{$folder}', 'bench', 'Mail', auto_collect => true, collect_every => '1 year', include => '{*.pdf}')";
}

# Of the workers: the most that one ever had, and what is its own, in MiB.
sub memory
{
	my ($peak, $own) = (0, 0);
	foreach my $pid (split /\n/, sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'cloudsync worker'}))
	{
		open my $status, '<', "/proc/$pid/status" or next;
		local $/;
		my $text = <$status> // '';
		my ($high) = $text =~ /VmHWM:\s+(\d+)/;
		my ($anon) = $text =~ /RssAnon:\s+(\d+)/;
		($peak, $own) = (($high // 0) / 1024, ($anon // 0) / 1024) if ($high // 0) / 1024 > $peak;
	}
	return ($peak, $own);
}

sub list
{
	my ($most) = @_;
	foreach my $items (int($most / 100), $most)
	{
		act(bulk => path => "/Big$items", count => $items, size => 20, quiet => JSON::PP::true);
		my ($peak, $own) = (0, 0);
		my ($took, $n) = run_it("$name $items", followed("$name $items", "/Big$items"), sub {
			my @now = memory();
			($peak, $own) = ($now[0] > $peak ? $now[0] : $peak, $now[1] > $own ? $now[1] : $own);
		});
		my $found = sql("SELECT count(*) FROM cloudsync.item i JOIN cloudsync.channel h USING (channel_id) WHERE h.name = '$name $items'");
		die "$found items instead of $items\n" if $found != $items;
		printf "%-9s %8d files listed: VmHWM %.1f MiB, its own at most %.1f MiB; %d requests, %.0f s\n", $name, $items, $peak, $own, $n, $took;
	}
	return;
}

sub poll
{
	my ($files) = @_;
	act(bulk => path => '/Polled', count => $files, size => 20, quiet => JSON::PP::true);
	my ($took, $n) = run_it("$name polled", followed("$name polled", '/Polled'));
	printf "%-9s %8d files: listed by %d requests in %.0f s\n", $name, $files, $n, $took;
	($took, $n) = run_it("$name polled", "cloudsync_refresh_items('$name polled')");
	printf "%-9s %8d files: a poll that finds nothing is %d request, %.2f s\n", $name, $files, $n, $took;
	act(add => path => "/Polled/new $_.pdf", text => "pdf $_", content => "pdf $_") foreach 1 .. 10;
	($took, $n) = run_it("$name polled", "cloudsync_collect('$name polled')");
	my $documents = sql("SELECT count(*) FROM cloudsync.document d JOIN cloudsync.channel h USING (channel_id) WHERE h.name = '$name polled'");
	die "$documents documents instead of 10\n" if $documents != 10;
	printf "%-9s %8d files: ten new ones are %d requests\n", $name, $files, $n;
	return;
}

sub median
{
	my @sorted = sort { $a <=> $b } @_;
	return @sorted % 2 ? $sorted[ @sorted / 2 ] : ($sorted[ @sorted / 2 - 1 ] + $sorted[ @sorted / 2 ]) / 2;
}

# Both lists of SHA-256 are of the same contents, one of each.
sub same
{
	my ($what, $there, $here) = @_;
	my %left = map { ($_ => 1) } @$here;
	delete @left{@$there};
	die "$what: not what was sent\n" if %left || @$there != @$here;
	return;
}

# Each host of the service is reached through a proxy that delays what it answers.
my @proxies;

sub delay
{
	my ($milliseconds) = @_;
	my $hosts = $cloud->{ready}{hosts}{ $service->{act} };
	foreach my $host (sort keys %$hosts)
	{
		my $port = free_port();
		my $there = $hosts->{$host};
		push @proxies, fork() // die "fork: $!";
		exec('build/delay', $port, $there, $milliseconds) or POSIX::_exit(127) if $proxies[-1] == 0;
		my $end = time + 60;
		until (IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port"))
		{
			die "the proxy of $host does not listen\n" if time > $end || waitpid($proxies[-1], POSIX::WNOHANG()) == $proxies[-1];
			sleep 0.02;
		}
		$cloud->behind($service->{act}, $host, $port);
	}
	return;
}

END
{
	my $status = $?;
	kill 'TERM', @proxies;
	$? = $status;
}

# The rate at which the cloud serves a program that makes only those requests.
sub bare
{
	my ($at_once, @lines) = @_;
	my $folder = File::Temp->newdir;
	my @made;
	foreach my $line (@lines)
	{
		my ($method, $url, $body, @headers) = @$line;
		my $name = defined $body ? "body " . @made : '-';
		if (defined $body)
		{
			open my $out, '>', "$folder/$name" or die "$folder: $!";
			print $out $body;
			close $out;
		}
		push @made, join("\t", $method, $url, $name, @headers) . "\n";
	}
	my $started = time;
	open my $multi, '|-', 'build/multi', 'play', $cloud->ca_file, "$folder", $at_once or die "multi: $!";
	print $multi @made;
	close $multi or die "the bare program failed\n";
	return @lines / (time - $started);
}

# A request of the benchmark's own; its answer.
sub asked
{
	my ($url, @more) = @_;
	open my $curl, '-|', 'curl', '-fsS', '--cacert', $cloud->ca_file, @more, $url or die "curl: $!";
	my $said = join '', <$curl>;
	close $curl or die "failed: $url\n";
	return JSON::PP::decode_json($said);
}

sub bearer
{
	my $grant = act(grant => app => $service->{app}, user => $service->{user}, scopes => $service->{scopes});
	my $told = asked($service->{token}->(), map { ('--data-urlencode', $_) } 'grant_type=refresh_token',
		"refresh_token=$grant->{refresh_token}", "client_id=$grant->{client_id}", "client_secret=$grant->{client_secret}");
	return "Authorization: Bearer $told->{access_token}";
}

# What is asked for each file; none where files go together.
my %lines = (
	dropbox => {
		down => sub {
			my ($folder, $files, $bearer) = @_;
			return map { [ 'POST', $cloud->url('dropbox', 'content') . '/2/files/download', undef, $bearer,
				qq(Dropbox-API-Arg: {"path":"$folder/file $_"}), 'Content-Type:' ] } 1 .. $files;
		} },
	gdrive => {
		up => sub {
			my ($folder, $texts, $bearer) = @_;
			my $made = asked($cloud->url('google', 'api') . '/drive/v3/files', '-H', $bearer, '-H', 'Content-Type: application/json',
				'-d', qq({"name":"$folder","mimeType":"application/vnd.google-apps.folder"}));
			my $n = 0;
			return map { [ 'POST', $cloud->url('google', 'api') . '/upload/drive/v3/files?uploadType=multipart&fields=id%2Cmd5Checksum%2Csha256Checksum',
				qq(--cs-bare\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{"name":"file ) . ++$n . qq(","parents":["$made->{id}"]}) .
				"\r\n--cs-bare\r\nContent-Type: application/octet-stream\r\n\r\n$_\r\n--cs-bare--\r\n",
				$bearer, 'Content-Type: multipart/related; boundary=cs-bare', 'Expect:' ] } @$texts;
		},
		down => sub {
			my (undef, undef, $bearer, $title) = @_;
			return map { [ 'GET', $cloud->url('google', 'api') . "/drive/v3/files/$_?alt=media", undef, $bearer ] } split /\n/,
				sql("SELECT i.remote_id FROM cloudsync.item i JOIN cloudsync.channel h USING (channel_id) WHERE h.name = '$title' AND kind = 'file'");
		} },
	onedrive => {
		up => sub {
			my ($folder, $texts, $bearer) = @_;
			my $n = 0;
			return map { [ 'PUT', $cloud->url('graph', 'api') . "/v1.0/me/drive/root:/$folder/file%20" . ++$n . ':/content?@microsoft.graph.conflictBehavior=fail',
				$_, $bearer, 'Content-Type: application/octet-stream', 'Expect:' ] } @$texts;
		},
		down => sub {
			my ($folder, undef, $bearer) = @_;
			my @lines;
			my $url = $cloud->url('graph', 'api') . '/v1.0/me/drive/root:' . ($folder =~ s/ /%20/gr) . ':/children?$top=999';
			while (defined $url)
			{
				my $page = asked($url, '-H', $bearer);
				push @lines, map { [ 'GET', $_->{'@microsoft.graph.downloadUrl'}, undef ] } @{ $page->{value} };
				$url = $page->{'@odata.nextLink'};
			}
			return @lines;
		} });

# CPU time of processes so far, in ms.
sub cpu
{
	my $ms = 0;
	foreach my $pid (@_)
	{
		open my $stat, '<', "/proc/$pid/schedstat" or next;
		$ms += (split / /, <$stat>)[0] / 1_000_000;
	}
	return $ms;
}

# Ours, one way: files a second, requests, and where the time went.
sub timed
{
	my ($files, $call) = @_;
	my $mark = $cloud->mark;
	my @worker = split /\n/, sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'cloudsync worker'});
	my ($cloud_ms, $worker_ms) = (cpu($cloud->{pid}), cpu(@worker));
	my $run = sql("SET client_min_messages = error; SELECT $call");
	sql("CALL cloudsync_wait($run, '10 minutes')");
	($cloud_ms, $worker_ms) = (cpu($cloud->{pid}) - $cloud_ms, cpu(@worker) - $worker_ms);
	my ($state, $asked, $ended) = split /\|/, sql("SELECT state || coalesce(': ' || error, ''), extract(epoch FROM requested_at),
		extract(epoch FROM finished_at) FROM cloudsync.history WHERE run_id = $run");
	die "$call: $state\n" if $state ne 'succeeded';
	my %routes;
	my @all = $cloud->requests({ service => $service->{act}, since => $mark });
	push @{ $routes{ $_->{route} } }, $_ foreach @all;
	my ($most) = sort { @{ $routes{$b} } <=> @{ $routes{$a} } } keys %routes;
	my @times = sort { $a <=> $b } map { $_->{began} } @{ $routes{$most} };
	return { rate => $files / ($ended - $asked), requests => @all / $files, before => $times[0] - $asked, after => $ended - $times[-1],
		cloud => $cloud_ms / $files, worker => $worker_ms / $files };
}

sub one_round
{
	my ($files, $at_once, $bearer) = @_;
	my %now;
	my $dossier = sql("INSERT INTO dossier (title) VALUES ('') RETURNING id");
	sql("UPDATE dossier SET title = 'Dossier ' || id WHERE id = $dossier");
	sql("INSERT INTO file (dossier_id, name, content) SELECT $dossier, 'file ' || n, convert_to(repeat(md5('$dossier ' || n), 64), 'UTF8') FROM generate_series(1, $files) n");
	$now{up} = timed($files, "cloudsync_push_dossier(${dossier}::bigint, '$name')");
	same("dossier $dossier at $name", [ map { $_->{sha256} // () } @{ act(tree => path => "/CloudSync/Dossier $dossier") } ],
		[ split /\n/, sql("SELECT encode(sha256(content), 'hex') FROM file WHERE dossier_id = $dossier") ]);
	# what we pushed is never collected: a customer's files are
	my @texts = map { "document $dossier $_ " x 64 } 1 .. $files;
	$now{up}{bare} = bare($at_once, $lines{$name}{up}->("Bare$dossier", \@texts, $bearer)) if $lines{$name}{up};
	act(add => path => "/In $dossier/file $_", text => $texts[$_ - 1], content => $texts[$_ - 1]) foreach 1 .. $files;
	sql("SELECT cloudsync_create_channel('$name', '$name $dossier', '{/In $dossier}', 'bench', 'Mail', auto_collect => false)");
	$now{down} = timed($files, "cloudsync_collect('$name $dossier')");
	same("documents of $name $dossier", [ split /\n/, sql("SELECT encode(sha256(cloudsync_content(d.document_id)), 'hex') FROM cloudsync.document d
		JOIN cloudsync.channel h USING (channel_id) WHERE h.name = '$name $dossier'") ], [ map { sha256_hex($_) } @texts ]);
	$now{down}{bare} = bare($at_once, $lines{$name}{down}->("/In $dossier", $files, $bearer, "$name $dossier"));
	return \%now;
}

sub latency
{
	my ($files, $rounds, $milliseconds, $at_once) = @_;
	my $possible = $at_once * 1000 / $milliseconds;
	my %rounds;
	sql("ALTER SYSTEM SET cloudsync.max_transfers = $at_once");
	sql("ALTER SYSTEM SET cloudsync.max_transfers_per_connection = $at_once");
	sql('SELECT pg_reload_conf()');
	sql("SELECT cloudsync_set_push('$name', auto_sync => false)");
	until_true("SELECT count(*) > 0 FROM cloudsync.history WHERE kind = 'prepare' AND state = 'succeeded' AND connection = '$name'");
	my $bearer = bearer();
	foreach my $round (0 .. $rounds)
	{
		my $now = one_round($files, $at_once, $bearer);
		next if $round == 0; # it warms up
		push @{ $rounds{$_} }, $now->{$_} foreach qw(up down);
	}
	foreach my $way (qw(up down))
	{
		my %median = map { my $what = $_; ($what => median(map { $_->{$what} // 0 } @{ $rounds{$way} })) } keys %{ $rounds{$way}[0] };
		printf "%-9s %-4s %d at once, %d ms: %.0f files/s, %.2f of %d / latency, %.3f requests a file (%s)\n", $name, $way, $at_once, $milliseconds,
		  $median{rate}, $median{rate} / $possible, $at_once, $median{requests}, join(' ', map { sprintf '%.0f', $_->{rate} } @{ $rounds{$way} });
		printf "%-14s bare program: %.0f files/s, %.2f of %d / latency (%s)\n", '', $median{bare}, $median{bare} / $possible, $at_once,
		  join(' ', map { sprintf '%.0f', $_->{bare} } @{ $rounds{$way} }) if $median{bare};
		printf "%-14s %.2f s before the first file, %.2f s from the last one on; CPU a file: worker %.2f ms, cloud %.2f ms\n", '',
		  @median{qw(before after worker cloud)};
	}
	return;
}

sql(<<"SQL");
ALTER SYSTEM SET cloudsync.allowed_endpoints = 'https://127.0.0.1:*';
SQL
sql("ALTER SYSTEM SET cloudsync.ca_file = '" . $cloud->ca_file . "'");
sql('SELECT pg_reload_conf()');
sql(<<'SQL');
SET client_min_messages = error;
CREATE EXTENSION cloudsync;
CREATE TABLE dossier (id bigserial PRIMARY KEY, title text);
CREATE TABLE file (id bigserial PRIMARY KEY, dossier_id bigint REFERENCES dossier, name text, content bytea);
CREATE INDEX ON file (dossier_id);
SELECT cloudsync_track('dossier', 'file');
SELECT cloudsync_add_recipient('bench');
SQL
foreach (split / /, $services || 'dropbox gdrive onedrive')
{
	$name = $_;
	$service = $services{$name} or die "no such service: $name\n";
	delay($numbers[2] // 50) if $what eq 'latency';
	connect_it();
	list($numbers[0] // 1_000_000) if $what eq 'list';
	poll($numbers[0] // 100_000) if $what eq 'poll';
	latency($numbers[0] // 2000, $numbers[1] // 5, $numbers[2] // 50, $numbers[3] // 32) if $what eq 'latency';
}
$cloud->stop;
