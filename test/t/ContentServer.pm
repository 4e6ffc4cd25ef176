# A small HTTP server on 127.0.0.1 for contents by address, which does on demand
# what servers do wrong. Ends with the program that started it.
#
#	my $server = ContentServer->new;
#	$server->put('a.pdf', 'bytes');            # what $server->url . '/etag/a.pdf' serves
#	$server->requests                          # "GET /etag/a.pdf 200", since the last call
#
# Paths, each with a file's name behind it:
#	/etag/     with an ETag, and ranges        /date/      with a Last-Modified of last year
#	/plain/    with nothing that tells versions apart, and of unknown length
#	/cut/      breaks off in the middle, as often as $server->set(cuts => n) says
#	/stall/    stops in the middle until $server->set(go => 1)
#	/other/    other bytes each time           /redirect?to=URL&...
#	/fresh/    with a Last-Modified of now     /fixed/    all with the same ETag
#	/ranges/, /weak/, /wrong/   break off like /cut/, and give the rest: with an ETag;
#	           with a weak one; from another byte on than was asked for
#	/leads/    breaks off like /cut/, and the rest is at the address of $server->set(leads => url)
#	/endless/  never ends
#	/swap/     breaks off like /cut/, and has the bytes of name.2 afterwards
# Anything else is not found, in words that repeat the address.
package ContentServer;

use strict;
use warnings;

use Digest::MD5 qw(md5_hex);
use File::Temp;
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(usleep);

my @running;

sub new
{
	my ($class) = @_;
	my $self = bless { base => File::Temp->newdir('content-XXXXXX', TMPDIR => 1) }, $class;
	my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64, ReuseAddr => 1)
	  or die "no free port: $!";
	$self->{port} = $listen->sockport;
	mkdir "$self->{base}/files";
	$self->{pid} = fork() // die "fork: $!";
	if ($self->{pid} == 0)
	{
		local $SIG{CHLD} = 'IGNORE';
		local $SIG{TERM} = sub { POSIX::_exit(0) };
		while (1)
		{
			my $client = $listen->accept or next;
			my $pid = fork() // next;
			if ($pid == 0)
			{
				$self->serve($client);
				POSIX::_exit(0);
			}
			close $client;
		}
	}
	close $listen;
	push @running, $self;
	return $self;
}

sub url { my ($self) = @_; return "http://127.0.0.1:$self->{port}"; }

sub put
{
	my ($self, $name, $bytes) = @_;
	spew("$self->{base}/files/$name.new", $bytes);
	rename "$self->{base}/files/$name.new", "$self->{base}/files/$name" or die "$name: $!";
	return;
}

sub remove { my ($self, $name) = @_; unlink "$self->{base}/files/$name"; return; }

sub set
{
	my ($self, $what, $value) = @_;
	spew("$self->{base}/$what", $value);
	return;
}

sub get
{
	my ($self, $what) = @_;
	return slurp("$self->{base}/$what") || 0;
}

sub requests
{
	my ($self) = @_;
	open(my $in, '<', "$self->{base}/log") or return;
	seek($in, $self->{seen} // 0, 0);
	my @lines = <$in>;
	$self->{seen} = tell($in);
	chomp @lines;
	return @lines;
}

sub spew
{
	my ($path, $bytes) = @_;
	open(my $out, '>:raw', $path) or die "$path: $!";
	print $out $bytes;
	close($out) or die "$path: $!";
	return;
}

sub slurp
{
	my ($path) = @_;
	open(my $in, '<:raw', $path) or return;
	local $/;
	return scalar <$in>;
}

sub note
{
	my ($self, $line) = @_;
	open(my $out, '>>', "$self->{base}/log") or die;
	syswrite($out, "$line\n");
	close($out);
	return;
}

sub serve
{
	my ($self, $client) = @_;
	$client->autoflush(1);
	local $/ = "\r\n";
	while (defined(my $line = <$client>))
	{
		my ($method, $address) = $line =~ m{^(\S+) (\S+) HTTP/1} or return;
		my %header;
		while (defined($line = <$client>) && $line ne "\r\n")
		{
			$header{ lc $1 } = $2 if $line =~ /^([^:]+):\s*(.*)\r\n$/;
		}
		$self->answer($client, $method, $address, \%header) or return;
	}
	return;
}

sub head
{
	my ($self, $client, $method, $address, $status, %headers) = @_;
	$self->note("$method $address $status");
	my $head = "HTTP/1.1 $status As it is\r\n" . join('', map { "$_: $headers{$_}\r\n" } sort keys %headers);
	print $client "$head\r\n";
	return 1;
}

sub whole
{
	my ($self, $client, $method, $address, $status, $bytes, %headers) = @_;
	$self->head($client, $method, $address, $status, 'Content-Length' => length $bytes, %headers);
	print $client $bytes;
	return 1;
}

sub answer
{
	my ($self, $client, $method, $address, $header) = @_;
	my @to = ($client, $method, $address);
	my ($path, $query) = split /\?/, $address, 2;

	if ($path eq '/redirect')
	{
		my ($to) = $query =~ /to=([^&]*)/;
		$to =~ s/%([0-9A-Fa-f]{2})/chr hex $1/eg;
		return $self->whole(@to, 302, 'elsewhere', Location => $to);
	}
	my ($way, $name) = $path =~ m{^/(\w+)/([\w.]+)$};
	my $bytes = defined $name ? slurp("$self->{base}/files/$name") : undef;
	return $self->whole(@to, 404, "nothing is at $address, says the server", 'Content-Type' => 'text/plain')
	  if !defined $bytes;
	my $etag = '"' . md5_hex($bytes) . '"';
	my $date = 'Tue, 04 Nov 2025 08:49:37 GMT';
	my $half = int(length($bytes) / 2);

	if ($way eq 'etag' || $way eq 'cut' || $way eq 'stall')
	{
		return $self->head(@to, 304, ETag => $etag)
		  if ($header->{'if-none-match'} // '') eq $etag;
	}
	if ($way eq 'cut' && $self->get('cuts') > 0)
	{
		$self->set(cuts => $self->get('cuts') - 1);
		$self->head(@to, 200, 'Content-Length' => length $bytes);
		print $client substr($bytes, 0, $half);
		return 0;
	}
	if ($way eq 'stall')
	{
		$self->head(@to, 200, 'Content-Length' => length $bytes, ETag => $etag);
		print $client substr($bytes, 0, $half);
		usleep(20_000) until $self->get('go');
		print $client substr($bytes, $half);
		return 1;
	}
	if ($way =~ /^(?:ranges|weak|wrong|swap|leads)$/)
	{
		my $cut = $self->get('cuts') > 0;
		my ($from) = ($header->{range} // '') =~ /^bytes=(\d+)-$/;
		$bytes = slurp("$self->{base}/files/$name.2") if $way eq 'swap' && !$cut;
		my %version = (ETag => ($way eq 'weak' ? 'W/' : '') . '"' . md5_hex($bytes) . '"');
		return $self->head(@to, 304, %version) if ($header->{'if-none-match'} // '') eq $version{ETag};
		$from = 7 if defined $from && $way eq 'wrong';
		$from = undef if defined $from && ($header->{'if-range'} // '') ne $version{ETag};
		return $self->whole(@to, 302, 'there', Location => $self->get('leads')) if defined $from && $way eq 'leads';
		return $self->whole(@to, 206, substr($bytes, $from), %version, 'Content-Range' => "bytes $from-" . (length($bytes) - 1) . '/' . length $bytes)
		  if defined $from;
		return $self->whole(@to, 200, $bytes, %version) if !$cut;
		$self->set(cuts => $self->get('cuts') - 1);
		$self->head(@to, 200, 'Content-Length' => length $bytes, %version);
		print $client substr($bytes, 0, $half);
		return 0;
	}
	if ($way eq 'endless')
	{
		$self->head(@to, 200, 'Transfer-Encoding' => 'chunked');
		local $SIG{PIPE} = 'IGNORE';
		1 while printf $client "%x\r\n%s\r\n", length $bytes, $bytes;
		return 0;
	}
	if ($way eq 'fixed')
	{
		return $self->head(@to, 304, ETag => '"1"') if ($header->{'if-none-match'} // '') eq '"1"';
		return $self->whole(@to, 200, $bytes, ETag => '"1"');
	}
	if ($way eq 'fresh')
	{
		return $self->head(@to, 304) if exists $header->{'if-modified-since'};
		return $self->whole(@to, 200, $bytes, 'Last-Modified' => POSIX::strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime));
	}
	if ($way eq 'plain' || $way eq 'other')
	{
		$bytes .= rand() if $way eq 'other';
		$self->head(@to, 200, 'Transfer-Encoding' => 'chunked');
		for (my $at = 0; $at < length $bytes; $at += 100_000)
		{
			my $piece = substr($bytes, $at, 100_000);
			printf $client "%x\r\n%s\r\n", length $piece, $piece;
		}
		print $client "0\r\n\r\n";
		return 1;
	}
	if ($way eq 'date')
	{
		return $self->head(@to, 304)
		  if ($header->{'if-modified-since'} // '') eq $date;
		return $self->whole(@to, 200, $bytes, 'Last-Modified' => $date);
	}
	if (($header->{range} // '') =~ /^bytes=(\d+)-$/)
	{
		my ($from, $last) = ($1, length($bytes) - 1);
		return $self->whole(@to, 206, substr($bytes, $from), ETag => $etag,
			'Content-Range' => "bytes $from-$last/" . length $bytes);
	}
	return $self->whole(@to, 200, $bytes, ETag => $etag);
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
