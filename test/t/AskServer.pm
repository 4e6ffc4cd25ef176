# A session with a server without a psql: what a test asks again and again, or in
# passing, costs a tenth of one (starting psql is most of what it costs). Speaks
# the protocol's simple queries over the cluster's socket; relies on clusters
# that trust everybody.
#
#	my $session = AskServer->new($node, 'postgres') or ...;   # not up, or it refuses
#	my $answer = $session->ask('SELECT ...');                 # as psql -At has it
#
# What the server found wrong is in $session->{error}, what it said besides in
# {notices}, as psql has them; the answer is undef once the session has ended.
package AskServer;

use strict;
use warnings;

use IO::Socket::INET;
use IO::Socket::UNIX;

# patience: how many seconds the server may be silent (for ever).
sub new
{
	my ($class, $node, $db, %opts) = @_;
	my ($host, $port) = ($node->host, $node->port);
	my $socket = $host =~ m{^/}
	  ? IO::Socket::UNIX->new(Peer => "$host/.s.PGSQL.$port")
	  : IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port);
	return if !$socket;
	my $self = bless { socket => $socket, patience => $opts{patience} }, $class;
	my %start = (user => $ENV{PGUSER} // 'postgres', database => $db, application_name => $ENV{PGAPPNAME} // 'test');
	$start{options} = $ENV{PGOPTIONS} if length($ENV{PGOPTIONS} // '');
	$self->_send('', pack('N', 3 << 16) . join "\0", %start, '', '') or return;
	return defined $self->_answer ? $self : undef;
}

sub ask
{
	my ($self, $sql) = @_;
	utf8::encode($sql) if utf8::is_utf8($sql);
	$self->_send('Q', "$sql\0") or return;
	return $self->_answer;
}

sub _send
{
	my ($self, $kind, $body) = @_;
	local $SIG{PIPE} = 'IGNORE';
	my $message = $kind . pack('N', 4 + length $body) . $body;
	return (syswrite($self->{socket}, $message) // 0) == length $message;
}

sub _read
{
	my ($self, $size) = @_;
	my $got = '';
	while (length $got < $size)
	{
		my $ready = '';
		vec($ready, fileno $self->{socket}, 1) = 1;
		my $n = select($ready, undef, undef, $self->{patience});
		$n = sysread($self->{socket}, $got, $size - length $got, length $got) if $n > 0;
		# a child's end is not the session's: from 17 on its signal is handled in tests
		next if (!defined $n || $n < 0) && $!{EINTR};
		return if !$n || $n < 0;
	}
	return $got;
}

# Until the server is ready for the next question: the rows, one a line, columns
# between bars.
sub _answer
{
	my ($self) = @_;
	my @rows;
	@$self{qw(error notices)} = ('', '');
	while (defined(my $head = $self->_read(5)))
	{
		my ($kind, $length) = unpack 'aN', $head;
		my $body = $self->_read($length - 4) // return;
		return join "\n", @rows if $kind eq 'Z';
		if ($kind eq 'D')
		{
			my ($columns, $rest) = unpack 'n a*', $body;
			my @values;
			while ($columns-- > 0)
			{
				(my $size, $rest) = unpack 'N a*', $rest;
				push @values, $size == 0xffffffff ? '' : substr $rest, 0, $size, '';
			}
			push @rows, join '|', @values;
		}
		elsif ($kind eq 'E' || $kind eq 'N')
		{
			my %field = map { substr($_, 0, 1) => substr($_, 1) } grep { $_ ne '' } split /\0/, $body;
			$self->{ $kind eq 'E' ? 'error' : 'notices' } .= join '', "$field{S}:  $field{M}\n",
			  defined $field{D} ? "DETAIL:  $field{D}\n" : (), defined $field{H} ? "HINT:  $field{H}\n" : (),
			  defined $field{W} ? "CONTEXT:  $field{W}\n" : ();
		}
		elsif ($kind eq 'R' && unpack('N', $body) != 0)
		{
			$self->{error} = 'the server wants a password';
			return;
		}
	}
	return;
}

1;
