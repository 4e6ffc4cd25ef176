# The work of test/bench/cloud.sh, which starts the cluster: libpq's variables and
# PSQL (the program) lead to it.
use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use JSON::PP ();
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
		options => { map { ("${_}_endpoint" => $cloud->url('dropbox', $_)) } qw(api content notify www) } },
	gdrive => { act => 'google', app => 'web.apps.googleusercontent.com', user => 'anna@example.com',
		scopes => ['https://www.googleapis.com/auth/drive'],
		options => { api_endpoint => $cloud->url('google', 'api'), token_endpoint => $cloud->url('google', 'oauth') . '/token' } },
	onedrive => { act => 'graph', app => 'aaaaaaaa-0000-0000-0000-000000000001', user => 'anna@contoso.example',
		scopes => [qw(Files.ReadWrite offline_access)],
		options => { api_endpoint => $cloud->url('graph', 'api') . '/v1.0', login_endpoint => $cloud->url('graph', 'login') } });
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
	sql("SELECT cloudsync_connect('$name', '$name', " . json({ refresh_token => $grant->{refresh_token} }) . ', ' . json($service->{options}) . ')');
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

sub latency
{
	my ($files, $rounds, $milliseconds, $at_once) = @_;
	my %rates;
	sql("ALTER SYSTEM SET cloudsync.max_transfers = $at_once");
	sql("ALTER SYSTEM SET cloudsync.max_transfers_per_connection = $at_once");
	sql('SELECT pg_reload_conf()');
	sql("SELECT cloudsync_set_push('$name', auto_sync => false)");
	until_true("SELECT count(*) > 0 FROM cloudsync.history WHERE kind = 'prepare' AND state = 'succeeded' AND connection = '$name'");
	foreach my $round (0 .. $rounds)
	{
		my $dossier = sql("INSERT INTO dossier (title) VALUES ('') RETURNING id");
		sql("UPDATE dossier SET title = 'Dossier ' || id WHERE id = $dossier");
		sql("INSERT INTO file (dossier_id, name, content) SELECT $dossier, 'file ' || n, convert_to(repeat(md5('$dossier ' || n), 64), 'UTF8') FROM generate_series(1, $files) n");
		$cloud->latency($milliseconds / 1000);
		my %now = (up => [ run_it($dossier, "cloudsync_push_dossier(${dossier}::bigint, '$name')") ]);
		$cloud->latency(0);
		same("dossier $dossier at $name", [ map { $_->{sha256} // () } @{ act(tree => path => "/CloudSync/Dossier $dossier") } ],
			[ split /\n/, sql("SELECT encode(sha256(content), 'hex') FROM file WHERE dossier_id = $dossier") ]);
		# what we pushed is never collected: a customer's files are
		my @texts = map { "document $dossier $_ " x 64 } 1 .. $files;
		act(add => path => "/In $dossier/file $_", text => $texts[$_ - 1], content => $texts[$_ - 1]) foreach 1 .. $files;
		sql("SELECT cloudsync_create_channel('$name', '$name $dossier', '{/In $dossier}', 'bench', 'Mail', auto_collect => false)");
		$cloud->latency($milliseconds / 1000);
		$now{down} = [ run_it("$name $dossier", "cloudsync_collect('$name $dossier')") ];
		$cloud->latency(0);
		same("documents of $name $dossier", [ split /\n/, sql("SELECT encode(sha256(cloudsync_content(d.document_id)), 'hex') FROM cloudsync.document d
			JOIN cloudsync.channel h USING (channel_id) WHERE h.name = '$name $dossier'") ], [ map { sha256_hex($_) } @texts ]);
		next if $round == 0; # it warms up
		push @{ $rates{$_} }, [ $files / $now{$_}[0], $now{$_}[1] ] foreach qw(up down);
	}
	foreach my $way (qw(up down))
	{
		my $rate = median(map { $_->[0] } @{ $rates{$way} });
		printf "%-9s %-4s %d at once, %d ms: %.0f files/s, %.2f of %d / latency, %.3f requests a file (%s)\n", $name, $way, $at_once, $milliseconds,
		  $rate, $rate / ($at_once * 1000 / $milliseconds), $at_once, median(map { $_->[1] } @{ $rates{$way} }) / $files,
		  join(' ', map { sprintf '%.0f', $_->[0] } @{ $rates{$way} });
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
	connect_it();
	list($numbers[0] // 1_000_000) if $what eq 'list';
	poll($numbers[0] // 100_000) if $what eq 'poll';
	latency($numbers[0] // 2000, $numbers[1] // 5, $numbers[2] // 50, $numbers[3] // 32) if $what eq 'latency';
}
$cloud->stop;
