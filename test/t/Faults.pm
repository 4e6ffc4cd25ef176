# Connections to a server that misbehaves (test/cloud/faulty.py), many at once:
# each case is a place at the server, a connection to it, and what is to become of
# a push or a collection while the fault lasts and once it is over. All cases run
# at the same time, so that what one waits for costs the others nothing, and so
# that each sees that the others' faults are not its own.
#
#	my $faults = Faults->new('webdav', $node);
#	$faults->add('401', push => 'small', fault => { fault => 'status', status => 401 },
#		state => 'failed', error => qr/.../, connection => 'needs_consent');
#	$faults->run;
#
# push: small, large, parts (of several pieces); or of what was pushed before the
# fault: update (of a small one), moved (the dossier has another name), renamed (a
# file has), trash (a file was deleted); or collect => 1, with again => 1 after another collection. fault: one
# or several, as faulty.py takes them. state and error: of the run while the fault
# lasts, error also of history_file and of files.
# connection: its state then (active); reason: its reason then (qr/^$/: none).
# kind: of the place (plain), as faulty.py has them. committed: how often at least (1) each fault; at
# most with most.
package Faults;

use strict;
use warnings;

use CloudsyncTest;
use Digest::SHA qw(sha256_hex);
use File::Basename qw(dirname);
use IO::Socket::INET;
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use POSIX qw(strftime);
use PostgreSQL::Test::Utils;
use Test::More;

# What must be seen nowhere.
my %secret = (
	webdav => { username => 'anna', password => 'Marker-Password-5d1f' },
	s3 => { access_key_id => 'AKIAMARKER7Q', secret_access_key => 'Marker-Secret-8c2e' });
my @markers = (qr/Marker-|CloudSecret/, qr/\Q@{[substr(encode_base64('anna:Marker-Password-5d1f', ''), 0, 12)]}\E/, qr/Signature=[0-9a-f]/);

my %size = (1 => [ 200, 3000 ], 2 => [ 2_600_000 ], 3 => [ 700, 0 ], 4 => [ 17 * 1048576 ]);
my %dossier = (small => 1, large => 2, update => 3, parts => 4, moved => 5, renamed => 6, trash => 7);
my %inbox = ('/Inbox/one.txt' => 'the first letter', '/Inbox/two.txt' => 'two ' x 700, '/Inbox/sub/three.txt' => 'three');
my @pids;

sub new
{
	my ($class, $protocol, %where) = @_;
	my $self = bless { protocol => $protocol, where => \%where, cases => [], names => {} }, $class;
	$self->start_server;
	my $node = $self->{node} = new_cluster("faults_$protocol", conf => $self->conf . <<'CONF');
cloudsync.max_document_size = '8MB'
cloudsync.max_transfers = 64
cloudsync.max_listing = 3000
log_statement = 'none'
CONF
	create_extension($node);
	application_schema($node);
	$node->safe_psql('postgres', <<'SQL');
SELECT cloudsync_track('app.dossier', 'app.dossier_file');
SELECT cloudsync_add_recipient('ann');
CREATE TABLE app.cases (n int PRIMARY KEY, push boolean, dossier text, name text, state text, first bigint, second bigint);
-- starts a case's run, or once more what failed
CREATE FUNCTION app.start(c app.cases, again boolean) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	IF again AND EXISTS (SELECT FROM cloudsync.history h WHERE h.run_id = c.first AND h.state IN ('failed', 'partial')) THEN
		RETURN cloudsync_retry(c.first);
	ELSIF c.push THEN
		RETURN cloudsync_push_dossier(c.dossier, c.name);
	END IF;
	RETURN cloudsync_collect(c.name);
END
$$;
SQL
	my %sizes = %{ $self->sizes };
	for my $dossier (sort keys %sizes)
	{
		my $n = 0;
		$node->safe_psql('postgres', "INSERT INTO app.dossier (id, title) VALUES ($dossier, 'D$dossier')");
		$node->safe_psql('postgres', "INSERT INTO app.dossier_file (dossier_id, name, content)
			VALUES ($dossier, 'f@{[++$n]}.txt', " . content_sql($dossier . $n, $_) . ')')
		  foreach @{ $sizes{$dossier} };
	}
	return $self;
}

# What other servers have otherwise (CloudFaults.pm): lines for postgresql.conf,
# the sizes of each dossier's files, what a collection is to find, and what the
# server wrote about itself.
sub conf
{
	my ($self) = @_;
	return "cloudsync.allowed_endpoints = 'http://127.0.0.1:*, https://127.0.0.1:*'\ncloudsync.ca_file = '$self->{base}/ca.pem'\n";
}

sub sizes { return \%size }
sub inbox { return \%inbox }
sub server_output { my ($self) = @_; return read_file("$self->{base}/server.log"); }

# Bytes of a size, in SQL.
sub content_sql
{
	my ($seed, $size) = @_;
	return "convert_to(left(repeat('content $seed ', " . int($size / 10 + 1) . "), $size), 'UTF8')";
}

# How long faults are waited for; at other times the machine may be slow.
sub patience
{
	my ($self, $seconds, $whole) = @_;
	my $node = $self->{node};
	$node->append_conf('postgresql.conf',
		join '', map { "cloudsync.$_ = '${seconds}s'\n" } qw(connect_timeout response_timeout low_speed_time));
	$node->append_conf('postgresql.conf', "cloudsync.transfer_timeout = '${whole}s'");
	$node->reload;
	return;
}

# --- the server ---------------------------------------------------------------------

sub command
{
	my (@command) = @_;
	system_log(@command) == 0 or die "failed: @command";
	return;
}

# An authority, and certificates: a good one, one that has expired, one for
# another name, and one that nobody signed.
sub make_certificates
{
	my ($base) = @_;
	my @key = qw(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes);
	# days that have passed: OpenSSL 3.4 and later take them only as dates
	my @passed = `openssl x509 -help 2>&1` =~ /-not_after/ ? qw(-not_before 20200101000000Z -not_after 20200102000000Z) : qw(-days -1);
	write_file("$base/names", "subjectAltName = IP:127.0.0.1\n");
	write_file("$base/other", "subjectAltName = DNS:elsewhere.example\n");
	command(qw(openssl req -x509), @key, qw(-days 2 -subj /CN=authority -keyout), "$base/ca.key", '-out', "$base/ca.pem");
	for my $name (qw(good expired host))
	{
		my @days = $name eq 'expired' ? @passed : ('-days', '2');
		command(qw(openssl req), @key, qw(-subj /CN=server -keyout), "$base/$name.key", '-out', "$base/$name.csr");
		command(qw(openssl x509 -req), '-in', "$base/$name.csr", '-CA', "$base/ca.pem", '-CAkey', "$base/ca.key", '-CAcreateserial',
			@days, '-extfile', ($name eq 'host' ? "$base/other" : "$base/names"), '-out', "$base/$name.crt");
	}
	command(qw(openssl req -x509), @key, qw(-days 2 -subj /CN=self -addext subjectAltName=IP:127.0.0.1 -keyout), "$base/self.key", '-out', "$base/self.crt");
	write_file("$base/$_.pem", read_file("$base/$_.crt") . read_file("$base/$_.key")) foreach qw(good expired host self);
	return;
}

# The server alone, for other tests, to be told; with certificates that there are.
sub server
{
	my ($class, $protocol, $certificates) = @_;
	my $self = bless { protocol => $protocol, base => $certificates }, $class;
	$self->start_server;
	return $self;
}

sub start_server
{
	my ($self) = @_;
	my $base = $self->{base};
	make_certificates($base = $self->{base} = PostgreSQL::Test::Utils::tempdir()) if !$base;
	my $program = dirname(__FILE__) . '/../cloud/faulty.py';
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>', "$base/server.log");
		open(STDERR, '>&', \*STDOUT);
		exec('python3', '-B', $program, $self->{protocol}, '--port-file', "$base/port", '--certificates', $base, '--ends-with', $$)
		  or POSIX::_exit(127);
	}
	push @pids, $pid;
	for (1 .. 3600)
	{
		last if -e "$base/port" || waitpid($pid, POSIX::WNOHANG()) == $pid;
		select undef, undef, undef, 0.05;
	}
	$self->{control} = read_file("$base/port") // die 'the faulty server does not start: ' . read_file("$base/server.log");
	return;
}

# Tells the server something; its state.
sub tell
{
	my ($self, $what, $told) = @_;
	my $body = defined $told ? encode_json($told) : '';
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{control}) or die "faulty server: $!";
	print $socket "POST $what HTTP/1.1\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
	local $/;
	my $answer = <$socket>;
	$answer =~ s/^.*?\r\n\r\n//s;
	return decode_json($answer);
}

# --- cases --------------------------------------------------------------------------

sub add
{
	my ($self, $name, %case) = @_;
	my @faults = ref $case{fault} eq 'ARRAY' ? @{ $case{fault} } : ($case{fault} // ());
	my $what = $case{push} ? "push $case{push}" : 'collect';
	die "two cases are named $what: $name" if $self->{names}{"$what: $name"}++;
	push @{ $self->{cases} },
	  {
		connection => 'active',
		kind => 'plain',
		committed => 1,
		%case,
		name => "$what: $name",
		faults => \@faults,
		n => scalar @{ $self->{cases} },
		place => 'p' . @{ $self->{cases} }
	  };
	return;
}

sub connect_sql
{
	my ($self, $case) = @_;
	my $port = $self->{ports}{ $case->{place} };
	my $scheme = $case->{kind} =~ /^(plain|late)$/ ? 'http' : 'https';
	my %options = $self->{protocol} eq 'webdav'
	  ? (endpoint => "$scheme://127.0.0.1:$port/$case->{place}")
	  : (endpoint => "$scheme://127.0.0.1:$port", bucket => $case->{place}, path_style => JSON::PP::true);
	my $credentials = encode_json($case->{credentials} // $secret{ $self->{protocol} });
	return sprintf(q{SELECT cloudsync_connect('%s', '%s', '%s', '%s');}, $self->{protocol}, $case->{place}, $credentials, encode_json(\%options)) . "\n";
}

# --- faults that all protocols can have ---------------------------------------------

# What befalls the others does not befall these.
sub no_fault
{
	my ($self, @pushes) = @_;
	$self->add('no fault', push => $_, state => 'succeeded') foreach @pushes;
	$self->add('no fault', collect => 1, state => 'succeeded');
	return;
}

# A fault of requests of one kind ("where" of new). It is an error with these
# words, unless more says otherwise.
sub fault
{
	my ($self, $name, $where, $fault, $words, %more) = @_;
	my ($push, $on, %case) = @{ $self->{where}{$where} };
	my %expected = (%case, fault => { %$fault, on => $on }, error => $words, %more);
	return $self->add("$name, $where", push => $push, %expected) if $push;
	return $self->add("$name, $where", collect => 1, %expected) if $where !~ /^(?:get|export)$/ || $expected{reason};
	return $self->add("$name, $where", collect => 1, state => 'partial', items => $words, %expected);
}

# The same of requests of every kind. well: where it does no harm. not: nowhere
# near these, since more than the one request would suffer.
# only: these suffice.
sub everywhere
{
	my ($self, $name, $fault, $words, %more) = @_;
	my %well = map { $_ => 1 } split / /, delete $more{well} // '';
	my $not = delete $more{not} // '';
	my $only = delete $more{only};
	for my $where (sort keys %{ $self->{where} })
	{
		next if $where eq $not || ($only && " $only " !~ / $where /);
		# what reaches the final name alone is for what is done there
		next if $where eq 'final' ? !$well{final} : $where eq 'update' && $well{final};
		$self->fault($name, $where, $fault, $words, $well{$where} ? (state => 'succeeded', error => undef, items => undef, reason => undef) : %more);
	}
	return;
}

# done: where the request is carried out before its answer is spoilt, which is
# found out by looking. deaf: where nobody reads the content of the answer. bare:
# where it has none, whatever is sent.
sub protocol
{
	my ($self, $done, $deaf, $bare) = @_;
	my $done_bare = "$done $bare";
	my $closed = qr/closed the connection|broke off/;
	$self->add('connection refused', push => 'small', kind => 'late', error => qr/no connection to 127\.0\.0\.1:\d+/, reason => qr/no connection/);
	$self->add('connection refused', collect => 1, kind => 'late', error => qr/no connection to 127\.0\.0\.1:\d+/, reason => qr/no connection/);
	$self->everywhere('reset in the middle of the request', { fault => 'reset_request' }, $closed);
	$self->everywhere('reset in the middle of the answer', { fault => 'reset_response' }, qr/broke off|closed the connection/, well => $done);
	$self->everywhere('reset in the middle of the content', { fault => 'reset_body' }, qr/broke off|closed the connection/, well => $done_bare);
	$self->everywhere('closed without an answer', { fault => 'empty' }, $closed);
	$self->everywhere('silence', { fault => 'stall' }, qr/did not answer within \d+ s|slower than 1 KiB/);
	$self->everywhere('silence in the middle', { fault => 'stall_body' }, qr/slower than 1 KiB|took longer than/, well => $done, not => $bare);
	$self->everywhere('slow drip', { fault => 'drip' }, qr/slower than 1 KiB|did not answer within/, well => $done);
	$self->fault('read slowly', 'large', { fault => 'slow_read' }, qr/slower than 1 KiB|did not answer within/);
	$self->everywhere('Content-Length too long', { fault => 'length', value => '{more}' }, qr/ended before its end/, well => $done_bare);
	$self->everywhere('Content-Length too short', { fault => 'length', value => '{half}' }, qr/no WebDAV|makes no sense|another checksum|came with|another size|not arrive as/, well => $deaf);
	$self->everywhere('Content-Length negative', { fault => 'length', value => '-5' }, qr/Invalid Content-Length/, well => $done, only => 'small large list get');
	$self->everywhere('Content-Length that is no number', { fault => 'length', value => 'banana' }, qr/Invalid Content-Length/, well => $done, only => 'small large list get');
	$self->everywhere('Content-Length beyond all numbers', { fault => 'length', value => '99999999999999999999' }, qr/never/, well => join(' ', sort keys %{ $self->{where} }));
	$self->fault('Content-Length too short, no checksum', 'get', { fault => 'length', value => '{half}' }, qr/came with \d+ bytes, but was listed with \d+/, checksums => 0);
	$self->everywhere('truncated body', { fault => 'cut_body' }, qr/ended before its end/, well => $done_bare);
	$self->everywhere('endless body', { fault => 'endless_body' }, qr/longer than it may be|took longer than|goes on without naming|came with more than the \d+ bytes it was listed/, well => $done, not => $bare);
	$self->everywhere('endless headers', { fault => 'endless_headers' }, qr/more than 100 headers/, well => $done);
	$self->everywhere('endless header', { fault => 'endless_line' }, qr/header that is too long|longer than 64 KiB/, well => $done);
	$self->everywhere('endless interim answers', { fault => 'endless_interim' }, qr/headers are longer than 64 KiB/);
	$self->fault('100 Continue never comes', 'large', { fault => 'no_continue' }, undef, state => 'succeeded');
	$self->fault('417', 'large', { fault => 'status', status => 417 }, qr/HTTP status 417/);
	$self->everywhere('chunked nonsense', { fault => 'chunked_nonsense' }, qr/chunked-encoding|chunk hex-length/, well => $done_bare);
	$self->everywhere('truncated chunk', { fault => 'chunked_cut' }, qr/ended before its end/, well => $done_bare, only => 'small large list get');
	$self->everywhere('huge chunk', { fault => 'chunked_huge' }, qr/chunked-encoding|chunk hex-length/, well => $done_bare, only => 'small large list get');
	$self->everywhere('gzip bomb', { fault => 'gzip_bomb' }, qr/no WebDAV|makes no sense|another checksum|came with|another size|not arrive as/, well => $deaf);
	$self->fault('gzip bomb, no checksum', 'get', { fault => 'gzip_bomb' }, qr/came with \d+ bytes, but was listed with/, checksums => 0);
	$self->everywhere('another protocol', { fault => 'not_http' }, qr{HTTP/0\.9|Invalid status line|closed the connection}, well => '');

	# where it leads
	my $leads = $self->{protocol} eq 's3' ? 'the server says that it is elsewhere' : 'the server redirects';
	$self->everywhere('redirect to itself', { fault => 'redirect', to => '{self}' }, qr/$leads/, reason => qr/$leads/);
	$self->everywhere("redirect to $_->[0]", { fault => 'redirect', to => $_->[1], status => $_->[2] }, $self->{protocol} eq 's3' ? qr/$leads/ : qr/$leads to $_->[3]/, reason => qr/$leads/, only => 'small list get')
	  foreach [ 'another port', '{stray}', 302, '"127\.0\.0\.1:\d+"' ],
	  [ 'another port for good', '{stray}', 308, '"127\.0\.0\.1:\d+"' ],
	  [ 'a file', 'file:///etc/passwd', 301, 'another address' ],
	  [ 'a private address', 'http://10.0.0.1/x', 307, '"10\.0\.0\.1"' ],
	  [ 'the metadata service', 'http://169.254.169.254/latest/', 302, '"169\.254\.169\.254"' ];
	$self->fault('redirect with a password', $_, { fault => 'redirect', to => 'http://anna:pass@example.com/' }, qr/$leads(?! to anna)/, reason => qr/$leads/)
	  foreach qw(small list);
	$self->fault('redirect to http', $_, { fault => 'redirect', to => '{stray}' }, qr/$leads/, reason => qr/$leads/, kind => 'tls')
	  foreach qw(small large list get);
	for my $case ([ 'expired', 'expired' ], [ 'for another host', 'host' ], [ 'signed by nobody', 'self' ])
	{
		my %expected = (kind => $case->[1], error => qr/certificate of 127\.0\.0\.1:\d+ is not to be trusted/, reason => qr/certificate/);
		$self->add("certificate $case->[0]", push => 'small', %expected);
		$self->add("certificate $case->[0]", collect => 1, %expected);
	}
	$self->add('https', push => 'large', kind => 'tls', state => 'succeeded');
	return;
}

sub statuses
{
	my ($self) = @_;
	$self->everywhere($_, { fault => 'status', status => $_ }, qr/HTTP status $_|conflict|being changed|in turn|while it was written/) foreach qw(403 409 500 502);
	$self->everywhere($_, { fault => 'status', status => $_ }, qr/HTTP status $_/, only => 'small list get') foreach qw(400 423 504);
	$self->everywhere('412', { fault => 'status', status => 412 }, qr/HTTP status 412|being changed/, $self->{protocol} eq 's3' ? (well => 'get') : ());
	$self->everywhere('401', { fault => 'status', status => 401 }, qr/does not accept the credentials/, connection => 'needs_consent', reason => qr/credentials/);
	$self->everywhere('507', { fault => 'status', status => 507 }, qr/the storage is full/, reason => qr/storage is full/);
	$self->everywhere($_, { fault => 'status', status => $_ }, qr/HTTP status $_|in turn|while it was written/, well => $_ == 404 ? 'get head' : 'get') foreach qw(404 413);
	$self->everywhere($_->[0], { fault => 'status', status => $_->[1], headers => { 'Retry-After' => $_->[2] } }, qr/HTTP status $_->[1]/, only => 'small list get')
	  foreach [ '429, Retry-After in seconds', 429, 1 ], [ '429, Retry-After a date', 429, strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time + 2)) ],
	  [ '429, Retry-After nonsense', 429, 'soon, perhaps' ], [ '503, Retry-After in seconds', 503, 1 ];
	$self->everywhere('429', { fault => 'status', status => 429 }, qr/asks for fewer requests/);
	$self->everywhere('503', { fault => 'status', status => 503 }, qr/is not available/);
	$self->fault("$_ before the body is read", 'large', { fault => 'early', status => $_ }, qr/HTTP status $_|closed the connection|broke off/) foreach qw(403 413);
	return;
}

sub set_up
{
	my ($self) = @_;
	my $node = $self->{node};
	my $sql = "SET client_min_messages = error;\n";
	my %places;
	for my $case (@{ $self->{cases} })
	{
		$places{ $case->{place} } = { kind => $case->{kind}, checksums => $case->{checksums} // 1, etags => $case->{etags} // 1, files => $case->{push} ? {} : $self->inbox($case) };
	}
	my $state = $self->tell('/places', \%places);
	$self->{ports} = { map { $_ => $state->{places}{$_}{port} } keys %places };
	for my $case (@{ $self->{cases} })
	{
		$sql .= $self->connect_sql($case);
		$sql .= $case->{push}
		  ? "SELECT cloudsync_set_push('$case->{place}', auto_sync => false, folder => '{dossier_label}', on_delete => 'trash');\n"
		  : "SELECT cloudsync_create_channel('$case->{place}', '$case->{place}', ARRAY['/Inbox'], 'ann', 'Mail', auto_collect => false);\n";
		$sql .= sprintf("INSERT INTO app.cases VALUES (%d, %s, %s, '%s');\n",
			$case->{n}, $case->{push} ? ('true', $dossier{ $case->{push} }) : ('false', 'NULL'), $case->{place});
	}
	$node->safe_psql('postgres', $sql);
	return;
}

# Starts a run of each case, and waits until all have ended.
sub run_all
{
	my ($self, $column, $where) = @_;
	my $node = $self->{node};
	my $again = $column eq 'second' ? 'true' : 'false';
	$node->safe_psql('postgres', "UPDATE app.cases c SET $column = app.start(c, $again) WHERE $where");
	my $ended = wait_for($node, "SELECT count(*) = 0 FROM app.cases JOIN cloudsync.history ON run_id = $column WHERE finished_at IS NULL");
	ok($ended, "all runs ended ($column)")
	  or diag($node->safe_psql('postgres',
		"SELECT c.name, h.* FROM app.cases c JOIN cloudsync.history h ON run_id = $column WHERE finished_at IS NULL"));
	return;
}

# What is said of the runs: by case, its run, its files' and its connection's states.
sub said
{
	my ($self, $column) = @_;
	my $json = $self->{node}->safe_psql('postgres', <<"SQL");
SELECT coalesce(json_object_agg(c.name, json_build_object('state', h.state, 'error', coalesce(h.error, ''),
	'files', (SELECT coalesce(string_agg(f.state || ':' || coalesce(f.last_error, ''), E'\\n' ORDER BY path), '') FROM cloudsync.files f WHERE f.connection = c.name),
	'touched', (SELECT coalesce(string_agg(f.action || ' ' || f.path || ' ' || coalesce(f.error, ''), E'\\n' ORDER BY path), '') FROM cloudsync.history_file f WHERE f.run_id = h.run_id),
	'items', (SELECT coalesce(string_agg(i.path || ' ' || i.state || ':' || coalesce(i.reason, ''), E'\\n' ORDER BY path), '') FROM cloudsync.items i WHERE i.channel = c.name),
	'documents', (SELECT coalesce(json_object_agg(d.remote_path, encode(d.sha256, 'hex')), '{}') FROM cloudsync.document d WHERE d.connection_id = n.connection_id),
	'count', (SELECT count(*) FROM cloudsync.document d WHERE d.connection_id = n.connection_id),
	'connection', n.state, 'reason', coalesce(n.reason, ''))), '{}')
FROM app.cases c JOIN cloudsync.history h ON h.run_id = c.$column JOIN cloudsync.connections n ON n.connection = c.name
SQL
	return decode_json($json);
}

# While the fault lasts.
sub check_fault
{
	my ($self, $case, $said, $server) = @_;
	my @wrong;
	my $state = $case->{state} // 'failed';
	push @wrong, "the run is $said->{state}" if $said->{state} !~ /^(?:$state)$/;
	push @wrong, 'the error is not said' if $case->{error} && $said->{state} ne 'succeeded' && $said->{error} !~ $case->{error};
	push @wrong, 'there is an error' if $said->{state} eq 'succeeded' && $said->{error} ne '';
	push @wrong, "the connection is $said->{connection}" if $said->{connection} ne $case->{connection};
	push @wrong, 'the connection\'s reason is another' if $said->{reason} !~ ($case->{reason} // qr/^$/);
	push @wrong, 'a text is longer than it may be' if length($said->{reason}) > 800 || length($said->{error}) > 1000;
	push @wrong, 'the items are others' if $case->{items} && $said->{items} !~ $case->{items};
	push @wrong, 'an item should not be there' if $case->{unlike} && $said->{items} =~ $case->{unlike};
	push @wrong, 'what is said of the files is another' if $case->{files} && "$said->{files}\n$said->{touched}" !~ $case->{files};
	my @committed = @{ $server->{committed} };
	push @wrong, "the fault was committed @committed times"
	  if grep { $_ < $case->{committed} || (defined $case->{most} && $_ > $case->{most}) } @committed;
	return @wrong;
}

# Once it is over: nothing is lost, nothing is doubled.
sub check_end
{
	my ($self, $case, $said, $server) = @_;
	my @wrong;
	push @wrong, "the run after it is $said->{state}: $said->{error}" if $said->{state} ne 'succeeded';
	push @wrong, "the connection is $said->{connection} after it ($said->{reason})" if $said->{connection} ne 'active' || $said->{reason} ne '';
	my (%want, %got);
	if ($case->{push})
	{
		%want = %{ $self->{wanted}{ $dossier{ $case->{push} } } };
		# what ends in a slash is a folder of S3
		%got = map { $_ => $server->{files}{$_}[1] } grep { !m{/$} } keys %{ $server->{files} };
		push @wrong, "files are not all synced:\n$said->{files}" if $said->{files} =~ /^(?!synced:)/m && !$case->{unsynced};
		push @wrong, 'uploads are left' if $server->{uploads};
	}
	else
	{
		my %found = %{ $self->inbox($case, 1) };
		%want = map { $_ => sha256_hex($found{$_}) } keys %found;
		%got = %{ $said->{documents} };
		push @wrong, "there are $said->{count} documents" if $said->{count} != keys(%want) + ($case->{more} // 0);
	}
	for my $path (sort keys %{ { %want, %got } })
	{
		next if $case->{more} && !$want{$path};
		push @wrong, "$path: " . ($got{$path} ? 'too many, or others' : 'lost') if ($want{$path} // '') ne ($got{$path} // '');
	}
	return @wrong;
}

sub report
{
	my ($self, $case, $said, $server, @wrong) = @_;
	diag(join("\n  ", @wrong, "run: $said->{state}: $said->{error}", "connection: $said->{connection}: $said->{reason}",
			"files: $said->{files}", "touched: $said->{touched}", "items: $said->{items}", "committed: @{$server->{committed}}",
			'requests:', map { "  $_" } @{ $server->{requests} } > 30 ? @{ $server->{requests} }[ 0 .. 29 ] : @{ $server->{requests} }));
	return;
}

sub check_secrets
{
	my ($self, $server) = @_;
	my $node = $self->{node};
	my @tables = split /\n/, $node->safe_psql('postgres',
		q{SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'cloudsync' AND c.relkind IN ('r', 'v') AND c.relname <> 'chunk'});
	my %texts = (
		'the server\'s log' => read_file($node->logfile),
		'the status' => $node->safe_psql('postgres', 'SELECT s::text FROM cloudsync_status() s'),
		'the requests\' log' => encode_json($server));
	$texts{$_} = $node->safe_psql('postgres', "SELECT t::text FROM $_ t") foreach @tables;
	my @seen;
	for my $where (sort keys %texts)
	{
		push @seen, map { "$where: $_" } grep { $texts{$where} =~ $_ } @markers;
	}
	is_deeply(\@seen, [], 'no secret is in the log, in history, status, errors or any table')
	  or diag(join "\n", map { /([^\n]{0,200}(?:Marker-|YW5uYTpNYXJr|Signature=[0-9a-f])[^\n]{0,100})/ ? $1 : () } values %texts);
	cmp_ok(scalar @tables, '>', 20, 'all tables were looked at');
	return;
}

sub run
{
	my ($self) = @_;
	my $node = $self->{node};
	my %by_place = map { $_->{place} => $_ } @{ $self->{cases} };

	$self->set_up;
	$self->patience(60, 300);
	my @before = map { $_->{n} } grep { ($_->{push} // '') =~ /^(?:update|moved|renamed|trash)$/ || $_->{again} } @{ $self->{cases} };
	if (@before)
	{
		$self->run_all('first', 'n IN (' . join(',', @before) . ')');
		$node->safe_psql('postgres', <<"SQL");
UPDATE app.dossier_file SET content = content || ' anew' WHERE dossier_id = $dossier{update};
UPDATE app.dossier SET title = 'moved' WHERE id = $dossier{moved};
UPDATE app.dossier_file SET name = 'renamed.txt' WHERE dossier_id = $dossier{renamed} AND name = 'f1.txt';
DELETE FROM app.dossier_file WHERE dossier_id = $dossier{trash} AND name = 'f1.txt';
SQL
	}
	for my $line (split /\n/, $node->safe_psql('postgres',
		q{SELECT d.id, '/CloudSync/' || d.title || '/' || f.name, encode(sha256(f.content), 'hex') FROM app.dossier d JOIN app.dossier_file f ON f.dossier_id = d.id}))
	{
		my ($dossier, $path, $sha256) = split /\|/, $line;
		$self->{wanted}{$dossier}{$path} = $sha256;
	}

	# those that take all the time there is come last, so that no others wait for them
	my %slow = map { $_ => 1 } qw(stall stall_body drip slow_read endless endless_xml endless_body);
	my $slow = join ',', -1, map { $_->{n} } grep { grep { $slow{ $_->{fault} } } @{ $_->{faults} } } @{ $self->{cases} };
	my $state = $self->tell('/arm', { map { $_->{place} => $_->{faults} } @{ $self->{cases} } });
	my $worker = worker_pid($node, 'cloudsync scheduler');
	$self->run_all('first', "n NOT IN ($slow)");
	$self->patience(4, 20);
	$self->run_all('first', "n IN ($slow)");
	my $first = $self->said('first');
	$self->patience(60, 300);
	$state = $self->tell('/clear');
	my %faulty = %{ $state->{places} };
	is_deeply($state->{strayed}, [], 'nothing was asked of another address');

	# a person renews what only a person can
	my @again = grep { $first->{ $_->{place} }{connection} eq 'needs_consent' } @{ $self->{cases} };
	$node->safe_psql('postgres', join '', map { $self->connect_sql($_) } @again) if @again;
	$self->run_all('second', 'true');
	my $second = $self->said('second');
	$state = $self->tell('/state');
	for my $case (@{ $self->{cases} })
	{
		my $place = $case->{place};
		my @wrong = $self->check_fault($case, $first->{$place}, $faulty{$place});
		ok(!@wrong, "$case->{name}: recorded") or $self->report($case, $first->{$place}, $faulty{$place}, @wrong);
		@wrong = $self->check_end($case, $second->{$place}, $state->{places}{$place});
		ok(!@wrong, "$case->{name}: whole and single afterwards") or $self->report($case, $second->{$place}, $state->{places}{$place}, @wrong);
		note("$case->{name}: $first->{$place}{state}: $first->{$place}{error}");
	}
	$self->check_secrets($state);
	unlike(read_file($node->logfile), qr/terminated by signal|exited with exit code [^01]|PANIC|TRAP/, 'no process died');
	unlike($self->server_output, qr/Traceback/, 'the faulty server is not at fault') or diag($self->server_output);
	$node->stop;
	return;
}

END
{
	my $status = $?;
	kill('TERM', $_) && waitpid($_, 0) foreach @pids;
	$? = $status;
}

1;
