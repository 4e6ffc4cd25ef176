# Helpers of the TAP tests: clusters that have the extension preloaded and a
# local_root below a temporary folder, and waiting for what workers do. Relies
# on what test/run.sh sets: TEMP_CONFIG points the servers at the staged build.
#
#	my $node = new_cluster('main');
#	create_extension($node);
#	$node->safe_psql('postgres', ...);
#	ok(wait_run($node, $run_id), 'the run ended well');
#	is_deeply([ files_below(local_root($node)) ], [...]);
package CloudsyncTest;

use strict;
use warnings;

use AskServer;
use CloudsyncNode;
use Exporter 'import';
use File::Find ();
use File::Path qw(make_path);
use List::Util qw(max min);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

our @EXPORT = qw(new_cluster create_extension local_root wait_for wait_run
  run_state history worker_pid worker_pids scalar_sql files_below bwrap_works tree
  write_file read_file inode application_schema crash_at crash_no_more
  crash_point_in_force start_after_kill9 crash_statement log_offset);

# A started cluster. Options: conf (text for postgresql.conf), preload => 0,
# start => 0, init => { arguments of init() }. The superuser is "postgres"
# whoever runs the tests, so that names in SQL do not depend on it.
sub new_cluster
{
	my ($name, %opts) = @_;
	$ENV{PGUSER} = 'postgres';

	my $node = CloudsyncNode->new($name);
	my %init = %{ $opts{init} || {} };
	$init{extra} = [ '-U', 'postgres', '--no-locale', '-E', 'UTF8',
		@{ $init{extra} || [] } ];
	$node->init(%init);

	my $root = local_root($node);
	make_path($root);
	my $preload = ($opts{preload} // 1) ? 'cloudsync' : '';
	my $noon = noon();
	$node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = '$preload'
max_worker_processes = 16
autovacuum = off
timezone = '$noon'
cloudsync.local_root = '$root'
cloudsync.stability_delay = 0
cloudsync.min_free_disk = 0
cloudsync.ocr = off
CONF
	$node->append_conf('postgresql.conf', $opts{conf}) if $opts{conf};
	$node->start if $opts{start} // 1;
	return $node;
}

# A time zone in which it is about noon: no day ends while a test runs, and no daily
# collection (at 02:00) comes by itself, whenever the tests are run.
sub noon
{
	return sprintf 'Etc/GMT%+d', (gmtime)[2] - 12;
}

# The folder that the cluster's local provider sees.
sub local_root
{
	my ($node) = @_;
	return $node->basedir . '/cloud';
}

sub create_extension
{
	my ($node, $db, $schema) = @_;
	$db //= 'postgres';
	my $in = $schema ? " SCHEMA $schema" : '';
	$node->safe_psql($db,
		"SET client_min_messages = error; CREATE EXTENSION cloudsync$in");
	return;
}

sub scalar_sql
{
	my ($node, $sql, $db) = @_;
	return $node->safe_psql($db // 'postgres', $sql);
}

# Waits until the query gives $expected (default: t); says in the test's log
# what it gave last when it does not. A server that is away is waited for. The
# session is another now and then, for what only a new one sees.
sub wait_for
{
	my ($node, $sql, $expected, $db) = @_;
	$expected //= 't';
	my $end = time + 2.5 * $PostgreSQL::Test::Utils::timeout_default;
	my ($session, $got, $error, $asked, $pause) = (undef, undef, '', 0, 0.01);
	while (1)
	{
		$session = AskServer->new($node, $db // 'postgres', patience => 60) if !$session || ++$asked % 30 == 0;
		my $before = time;
		$got = $session ? $session->ask($sql) : undef;
		$error = $session ? $session->{error} : 'no connection';
		return 1 if defined $got && $got eq $expected && $error eq '';
		last if time > $end;
		$session = undef if !defined $got;
		# a question that is much work is asked less often
		select undef, undef, undef, max($pause, min(4 * (time - $before), 1));
		$pause = $pause * 1.4 if $pause < 0.1;
	}
	diag("waited in vain for '$expected' from:\n$sql\nlast: " . ($got // '') . "\n$error");
	return 0;
}

# Waits until the run ended; true when it succeeded (or ended in $state).
sub wait_run
{
	my ($node, $run_id, $state, $db) = @_;
	$state //= 'succeeded';
	wait_for($node,
		"SELECT finished_at IS NOT NULL FROM cloudsync.history WHERE run_id = $run_id",
		't', $db)
	  or return 0;
	my $got = run_state($node, $run_id, $db);
	return 1 if $got eq $state;
	diag("run $run_id: $got: "
		  . scalar_sql($node,
			"SELECT error FROM cloudsync.history WHERE run_id = $run_id", $db));
	return 0;
}

sub run_state
{
	my ($node, $run_id, $db) = @_;
	return scalar_sql($node,
		"SELECT state FROM cloudsync.history WHERE run_id = $run_id", $db);
}

# One line a run: kind|connection|channel|dossier|state|files_done.
sub history
{
	my ($node, $db, $where) = @_;
	$where = $where ? "WHERE $where" : '';
	return $node->safe_psql($db // 'postgres', <<"SQL");
SELECT kind, connection, channel, dossier, state, files_done
FROM cloudsync.history $where ORDER BY run_id
SQL
}

# Process ids of 'cloudsync launcher', 'cloudsync scheduler', 'cloudsync worker'
# in the database named, or anywhere.
sub worker_pids
{
	my ($node, $backend_type, $datname) = @_;
	my $in = $datname ? "AND datname = '$datname'" : '';
	return split /\n/, $node->safe_psql('template1',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = '$backend_type' $in ORDER BY pid");
}

sub worker_pid
{
	my ($node, $backend_type, $datname) = @_;
	my $in = $datname ? "AND datname = '$datname'" : '';
	$node->poll_query_until('template1',
		"SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = '$backend_type' $in")
	  or return;
	return (worker_pids($node, $backend_type, $datname))[0];
}

# Can bwrap make its sandbox here? Not in a chroot, and not where the kernel or a
# container lets nobody but root make namespaces.
sub bwrap_works
{
	return system('bwrap --unshare-user --unshare-pid --unshare-net --ro-bind / / true >/dev/null 2>&1') == 0;
}

# Paths of the regular files below a folder, relative to it, sorted. What is
# under a temporary name (.cloudsync-*.part) is left out unless asked for.
sub files_below
{
	my ($dir, %opts) = @_;
	my @found;
	return () unless -d $dir;
	File::Find::find(
		{
			no_chdir => 1,
			wanted => sub {
				return unless -f $_ && !-l $_;
				my $path = substr($_, length($dir) + 1);
				return if !$opts{parts} && $path =~ m{(^|/)\.cloudsync-[^/]*\.part$};
				push @found, $path;
			}
		},
		$dir);
	return sort @found;
}

# The same with folders (a slash behind each), for an empty root.
sub tree
{
	my ($dir) = @_;
	my @found;
	File::Find::find(
		{
			no_chdir => 1,
			wanted => sub {
				return if $_ eq $dir;
				push @found, substr($_, length($dir) + 1) . (-d $_ ? '/' : '');
			}
		},
		$dir);
	return sort @found;
}

# Writes a file as a program of the customer would: folders made as needed.
sub write_file
{
	my ($path, $content) = @_;
	(my $folder = $path) =~ s{/[^/]*$}{};
	make_path($folder);
	open my $fh, '>:raw', $path or die "could not write $path: $!";
	print $fh $content;
	close $fh or die "could not write $path: $!";
	return;
}

sub read_file
{
	my ($path) = @_;
	open my $fh, '<:raw', $path or return;
	local $/;
	my $content = <$fh>;
	close $fh;
	return $content;
}

sub inode
{
	my ($path) = @_;
	return (stat $path)[1];
}

# An application's tables as somebody would have them: dossier(id, title,
# reference, year, procedure) and dossier_file(id, dossier_id, name, content).
sub application_schema
{
	my ($node, $db) = @_;
	$node->safe_psql($db // 'postgres', <<'SQL');
CREATE SCHEMA app;
CREATE TABLE app.dossier (
	id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	title text NOT NULL,
	reference text,
	year integer,
	procedure text);
CREATE TABLE app.dossier_file (
	id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	dossier_id bigint NOT NULL REFERENCES app.dossier ON DELETE CASCADE,
	name text NOT NULL,
	content bytea);
ALTER TABLE app.dossier_file ALTER content SET STORAGE EXTERNAL;
SQL
	return;
}

# From now on the process that reaches the named point kills itself, or does what
# the name says; '' ends that. By the file that ALTER SYSTEM writes too.
sub crash_at
{
	my ($node, $point) = @_;
	$node->append_conf('postgresql.auto.conf', "cloudsync.crash_point = '$point'");
	$node->reload;
	crash_point_in_force($node, $point);
	return;
}

# The end of that, once the log has told of a crash. The server, which may be on
# its way up or down, is stopped for it: a process that began before it read the
# change would be killed once more, and the test's next statement with it.
# $settings are for what runs from then on.
sub crash_no_more
{
	my ($node, $settings) = @_;
	$node->stop('immediate');
	$node->append_conf('postgresql.auto.conf', "cloudsync.crash_point = ''");
	$node->append_conf('postgresql.conf', $settings) if $settings;
	$node->start;
	return;
}

# Starts a server again that was killed with kill -9. What is left of it may take
# a moment to end; where nobody reaps it, the dead postmaster still counts as one.
sub start_after_kill9
{
	my ($node) = @_;
	my $tries = 5 * $PostgreSQL::Test::Utils::timeout_default;
	while ($tries-- > 0)
	{
		unlink $node->data_dir . '/postmaster.pid';
		return 1 if $node->start(fail_ok => 1);
		select undef, undef, undef, 0.2;
	}
	die 'the killed server did not start again';
}

# A new session sees it: so the postmaster has read it and told the others,
# before anything that is done from now on wakes them.
sub crash_point_in_force
{
	my ($node, $point) = @_;
	$node->poll_query_until('template1',
		"SELECT current_setting('cloudsync.crash_point') = '$point'")
	  or die "crash point $point is not in force";
	return;
}

# What makes for the work in which a process is to be killed: the crash may end
# this session too, after its commit.
sub crash_statement
{
	my ($node, $sql) = @_;
	$node->psql('postgres', $sql);
	return;
}

sub log_offset
{
	my ($node) = @_;
	return -s $node->logfile;
}

1;
