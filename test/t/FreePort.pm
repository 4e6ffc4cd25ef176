# Ports of 127.0.0.1 for servers that cannot be told to take any: below those that the
# system gives to whoever asks for any, and each to one program of the suite only, so
# that nobody has taken it when the server comes to listen.
#
#	my $port = free_port();
package FreePort;

use strict;
use warnings;

use Exporter 'import';
use Fcntl qw(:DEFAULT :flock);
use IO::Socket::INET;

our @EXPORT = qw(free_port);

my $first = 10240;

sub end_of_range
{
	open my $in, '<', '/proc/sys/net/ipv4/ip_local_port_range' or return 32768;
	my ($from) = <$in> =~ /^(\d+)/;
	return $from > $first + 2000 ? $from : 32768;
}

# The next one, from a place on that each run of the suite has for itself.
sub free_port
{
	my $end = end_of_range();
	my $path = ($ENV{TESTDIR} // $ENV{TMPDIR} // '/tmp') . "/cloudsync-ports.$>";
	sysopen my $last, $path, O_RDWR | O_CREAT or die "$path: $!";
	flock $last, LOCK_EX or die "$path: $!";
	my ($port) = (<$last> // '') =~ /^(\d+)/;
	$port //= $first + int rand($end - $first);
	my $socket;
	for (1 .. $end - $first)
	{
		$port = $first if ++$port >= $end;
		$socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 1);
		last if $socket;
	}
	die "no free port: $!" if !$socket;
	seek $last, 0, 0;
	truncate $last, 0;
	print $last "$port\n";
	close $last or die "$path: $!";
	return $port;
}

1;
