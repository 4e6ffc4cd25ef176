# Runs pg_regress over test/sql: each file in a fresh database of its own, in
# one preloaded cluster, so that no file sees what another left. The files make
# the extension themselves; roles are the cluster's, so they drop their own.
use strict;
use warnings;

use Cwd qw(getcwd);
use CloudsyncTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @names = split ' ', $ENV{CLOUDSYNC_SQL} // '';
plan skip_all => 'no test/sql selected' unless @names;

# names that no test connects to
my $node = new_cluster('regress',
	conf => "cloudsync.allowed_endpoints = 'webdav=https://cloud.example.com:*, s3=http://127.0.0.1:9000'\n");
# As it is from 15 on; until then cloudsync warns of it. pg_regress would make its
# databases from template0.
$node->safe_psql('template1', 'REVOKE CREATE ON SCHEMA public FROM PUBLIC');
my $here = getcwd();

foreach my $name (@names)
{
	(my $db = "sql_$name") =~ s/[^a-z0-9_]/_/g;
	my $out = "$here/regress_out/$name";
	system('mkdir', '-p', "$out/sql", "$out/expected") == 0 or die;
	$node->safe_psql('postgres', "CREATE DATABASE \"$db\"");
	my $ok = system(
		$ENV{PG_REGRESS}, "--inputdir=$here", "--outputdir=$out",
		'--host=' . $node->host, '--port=' . $node->port, '--user=postgres',
		'--bindir=', '--use-existing', "--dbname=$db", $name) == 0;
	ok($ok, "sql/$name");
	if (!$ok && open(my $diff, '<', "$out/regression.diffs"))
	{
		my $lines = 0;
		while (my $line = <$diff>)
		{
			chomp $line;
			diag($line);
			last if ++$lines >= 60;
		}
	}
	$node->psql('postgres', "DROP DATABASE IF EXISTS \"$db\" WITH (FORCE)");
}

$node->stop('fast');
done_testing();
