# The tests' clusters: PostgreSQL::Test::Cluster where a statement by itself needs no
# psql, and where initdb is run once for all programs.
package CloudsyncNode;

use strict;
use warnings;

use AskServer;
use Fcntl qw(:flock);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils ();

our @ISA = ('PostgreSQL::Test::Cluster');

sub new
{
	my ($class, $name) = @_;
	return bless PostgreSQL::Test::Cluster->new($name), $class;
}

# A program's first cluster is a copy of what initdb once made; another has an
# initdb of its own, so that two are never taken for the same one.
my $made = 0;

sub init
{
	my ($self, %params) = @_;
	my $template = $made++ ? undef : _template(@{ $params{extra} });
	my $run = \&PostgreSQL::Test::Utils::system_or_bail;
	no warnings 'redefine';
	local *PostgreSQL::Test::Utils::system_or_bail = sub {
		return $run->($template && $_[0] eq 'initdb' ? ('cp', '-Rp', $template, $self->data_dir) : @_);
	};
	return $self->SUPER::init(%params);
}

sub _template
{
	my (@options) = @_;
	return if !$ENV{TESTDIR};
	my $template = join '', "$ENV{TESTDIR}/initdb", map { s/\W//gr } @options;
	open my $lock, '>', "$template.lock" or die "could not write $template.lock: $!";
	flock $lock, LOCK_EX or die "could not lock $template.lock: $!";
	if (!-e "$template.done")
	{
		PostgreSQL::Test::Utils::system_or_bail('initdb', '-D', $template, '-A', 'trust', '-N', @options);
		open my $done, '>', "$template.done" or die "could not write $template.done: $!";
	}
	return $template;
}

# Returns when it is done: a session that begins now, and what it makes others do, is
# under the new settings. pg_ctl only sends the signal.
sub reload
{
	my ($self) = @_;
	my $loaded = sub {
		my $session = AskServer->new($self, 'template1', patience => 60);
		return $session ? $session->ask('SELECT pg_conf_load_time()') // '' : '';
	};
	my $before = $loaded->();
	$self->SUPER::reload;
	my $end = time + $PostgreSQL::Test::Utils::timeout_default;
	while ($before ne '' && $loaded->() eq $before)
	{
		die 'the server did not reload' if time > $end;
		select undef, undef, undef, 0.02;
	}
	return;
}

# psql's part is to take several statements apart and to know commands of its own.
sub safe_psql
{
	my ($self, $db, $sql, %params) = @_;
	my $session = !%params && _single($sql) ? AskServer->new($self, $db) : undef;
	return $self->SUPER::safe_psql($db, $sql, %params) if !$session;
	my $answer = $session->ask($sql);
	print "#### Begin standard error\n$session->{notices}#### End standard error\n" if $session->{notices} ne '';
	die "connection error: '$session->{error}'\nwith sql '$sql'" if !defined $answer;
	die "error running SQL: '$session->{error}'\nwith sql '$sql'" if $session->{error} ne '';
	return $answer;
}

sub _single
{
	my ($sql) = @_;
	$sql =~ s/;\s*\z//;
	return $sql !~ /[;\\]|^\s*(?:COPY\b|\z)/i;
}

1;
