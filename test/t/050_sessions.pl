# For whom a session acts where the library is not preloaded: what anybody may
# set before it is loaded gives nothing, and what the superuser set holds
# (spec 2, S2).
use strict;
use warnings;

use CloudsyncTest;
use Test::More;

my $node = new_cluster('sessions', preload => 0);
create_extension($node);
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE reader LOGIN IN ROLE cloudsync_reader;
CREATE ROLE clerk LOGIN IN ROLE cloudsync_reader;
CREATE ROLE app LOGIN IN ROLE cloudsync_admin, cloudsync_app;
CREATE ROLE closed LOGIN IN ROLE cloudsync_admin, cloudsync_app;
ALTER ROLE closed SET cloudsync.require_tenant = on;
ALTER ROLE reader SET cloudsync.tenant = 'b';
INSERT INTO cloudsync.role_tenant VALUES ('clerk', 'a');
SET cloudsync.tenant = 'a';
SELECT cloudsync_connect('local', 'of a');
SET cloudsync.tenant = 'b';
SELECT cloudsync_connect('local', 'of b');
SQL

# What the role sees in a new session that first does the statements given; the
# library is loaded by the view's function, after them.
sub sees
{
	my ($role, $before, $options) = @_;
	local $ENV{PGOPTIONS} = $options // '';
	my ($rc, $out, $err) = $node->psql('postgres',
		"$before SELECT coalesce(string_agg(connection, ',' ORDER BY connection), 'nothing') FROM cloudsync.connections",
		extra_params => [ '-U', $role ]);
	return $rc == 0 ? $out : "error: $err";
}

is(sees('reader', ''), 'nothing', 'a role of no tenant sees no tenant');
is(sees('reader', "SET cloudsync.tenant = 'b';"), 'nothing', 'whatever it sets before');
is(sees('reader', '', '-c cloudsync.tenant=b'), 'nothing', '... or in its connection');
is(sees('clerk', "SET cloudsync.tenant = 'b';"), 'of a', 'an entry in role_tenant decides');
is(sees('app', "SET cloudsync.tenant = 'b';"), 'of b', 'the application says for whom it acts');
is(sees('app', ''), 'of a,of b', 'an administrator without a tenant sees all');

is(sees('closed', ''), 'nothing', 'require_tenant: nothing without a tenant');
is(sees('closed', 'SET cloudsync.require_tenant = off;'), 'nothing', 'which cannot be undone before the library is loaded');
is(sees('closed', 'RESET cloudsync.require_tenant;'), 'nothing', '... nor reset');
is(sees('closed', '', '-c cloudsync.require_tenant=off'), 'nothing', '... nor in the connection');
is(sees('closed', "SET cloudsync.tenant = 'a';"), 'of a', 'require_tenant: its tenant with one');
my ($rc, $out, $err) = $node->psql('postgres', "SELECT cloudsync_disconnect('of a')",
	extra_params => [ '-U', 'closed' ]);
like($err, qr/no tenant is set for this session/, 'require_tenant: changes nothing without one');

# A prepared query and a plan kept by a function follow the session's tenant.
my $session = $node->safe_psql('postgres', <<'SQL', extra_params => [ '-U', 'app' ]);
SET plan_cache_mode = force_generic_plan;
PREPARE q AS SELECT string_agg(connection, ',' ORDER BY connection) FROM cloudsync.connections;
SET cloudsync.tenant = 'a';
EXECUTE q;
SET cloudsync.tenant = 'b';
EXECUTE q;
SQL
is($session, "of a\nof b", 'a kept plan follows the tenant');

# A database whose encoding cannot hold every remote name is refused.
$node->safe_psql('postgres', "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
my (undef, undef, $refusal) = $node->psql('latin', 'CREATE EXTENSION cloudsync');
like($refusal, qr/needs a database with encoding UTF8/, 'a database in LATIN1 is refused');

# The reference has every function, view, column and setting.
SKIP:
{
	my $tree = $ENV{CLOUDSYNC_TREE} or skip 'runs from test/run.sh', 1;
	my $reference = read_file("$tree/docs/reference.md");
	my @names = split /\n/, $node->safe_psql('postgres', <<'SQL');
LOAD 'cloudsync';
SELECT p.proname FROM pg_proc p WHERE p.proname LIKE 'cloudsync\_%' AND p.pronamespace = 'public'::regnamespace
UNION
SELECT unnest(p.proargnames) FROM pg_proc p WHERE p.proname LIKE 'cloudsync\_%' AND p.pronamespace = 'public'::regnamespace
UNION
SELECT c.relname FROM pg_class c WHERE c.relkind = 'v' AND c.relnamespace = 'cloudsync'::regnamespace
UNION
SELECT a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
	WHERE c.relkind = 'v' AND c.relnamespace = 'cloudsync'::regnamespace AND a.attnum > 0
UNION
SELECT s.name FROM pg_settings s WHERE s.name LIKE 'cloudsync.%' AND s.name <> 'cloudsync.crash_point'
SQL
	is_deeply([ grep { $reference !~ /(?<![\w.])\Q$_\E\b/ } @names ], [], 'docs/reference.md has every name');
}

$node->stop('fast');
done_testing();
