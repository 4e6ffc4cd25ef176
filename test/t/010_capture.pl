# The change log under concurrency, prepared transactions, replication, dump and
# restore (P1). Without preload: nobody folds but this test.
use strict;
use warnings;

use CloudsyncTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('capture', preload => 0, conf => <<'CONF');
max_prepared_transactions = 5
wal_level = logical
max_wal_senders = 4
CONF
create_extension($node);
application_schema($node);
$node->safe_psql('postgres', <<'SQL');
INSERT INTO app.dossier (id, title) SELECT i, 'dossier ' || i FROM generate_series(1, 50) i;
SELECT cloudsync_track('app.dossier', 'app.dossier_file');
SQL

my $noted = "SELECT coalesce(string_agg(concat_ws('/', dossier, file_key), ' ' ORDER BY ctid), 'nothing') FROM cloudsync.change";
sub noted { return $node->safe_psql('postgres', $noted); }
sub forget { $node->safe_psql('postgres', 'DELETE FROM cloudsync.change'); return; }

# --- two writers never wait, nor does the fold
{
	my $one = $node->background_psql('postgres', on_error_stop => 1);
	$one->query_safe('BEGIN');
	$one->query_safe("UPDATE app.dossier SET title = 'of one' WHERE id = 1");
	$one->query_safe("INSERT INTO app.dossier_file (id, dossier_id, name) VALUES (1, 2, 'a')");
	my ($rc, $out, $err) = $node->psql('postgres', <<'SQL', on_error_stop => 1);
SET statement_timeout = '60s';
BEGIN;
UPDATE app.dossier SET title = 'of two' WHERE id = 3;
INSERT INTO app.dossier_file (id, dossier_id, name) VALUES (2, 2, 'b');
COMMIT;
SELECT cloudsync.fold();
SQL
	is($rc, 0, 'a second writer and a fold wait for no open transaction')
	  or diag($err);
	is($out, '2', 'the fold takes what is committed');
	is(noted(), 'nothing', 'what is not committed is not there');
	$one->query_safe('COMMIT');
	$one->quit;
	is(noted(), '1 2/1', 'what was open is there when it commits');
	forget();
}

# --- a rollback leaves nothing, in any way
$node->psql('postgres', "BEGIN; UPDATE app.dossier SET title = 'x'; ROLLBACK");
$node->psql('postgres', "BEGIN; UPDATE app.dossier SET title = 'x'; SELECT 1 / 0");
{
	my $session = $node->background_psql('postgres');
	$session->query_safe("BEGIN");
	$session->query_safe("UPDATE app.dossier SET title = 'x'");
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	$node->poll_query_until('postgres',
		"SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)");
	eval { $session->quit };
}
is(noted(), 'nothing', 'rollback, error and a lost session leave nothing');

# --- prepared transactions
is( $node->safe_psql('postgres', <<"SQL"), "1\n1 2/2", 'what is prepared is not noted yet, and the session goes on by itself');
BEGIN;
UPDATE app.dossier SET title = 'prepared' WHERE id = 5;
PREPARE TRANSACTION 'p';
BEGIN;
UPDATE app.dossier SET title = 'p' WHERE id = 1;
SELECT count(*) FROM cloudsync.change;
UPDATE app.dossier_file SET name = 'p' WHERE id = 2;
COMMIT;
$noted;
SQL
forget();
$node->safe_psql('postgres', "COMMIT PREPARED 'p'");
is(noted(), '5', 'it is when it commits');
forget();

# --- what a deferred trigger changes at the commit is noted too
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE app.stamp (id integer PRIMARY KEY);
CREATE FUNCTION app.stamped() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE app.dossier SET title = 'stamped' WHERE id = NEW.id;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER stamped AFTER INSERT ON app.stamp DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION app.stamped();
INSERT INTO app.stamp VALUES (11);
BEGIN;
UPDATE app.dossier SET title = 'before' WHERE id = 12;
SAVEPOINT s;
INSERT INTO app.stamp VALUES (12), (13);
ROLLBACK TO s;
INSERT INTO app.stamp VALUES (12), (14);
COMMIT;
BEGIN;
INSERT INTO app.stamp VALUES (15);
PREPARE TRANSACTION 'stamp';
COMMIT PREPARED 'stamp';
SQL
is(noted(), '11 12 14 15', 'what a deferred trigger changes at the commit is noted');
forget();

# --- a large transaction: all is noted, and what is remembered of it is bounded
my ($rows, $memory) = split /\|/, $node->safe_psql('postgres', <<'SQL');
BEGIN;
INSERT INTO app.dossier (id, title) SELECT i, 'large' FROM generate_series(1000001, 2000000) i;
SELECT (SELECT count(DISTINCT dossier) FROM cloudsync.change),
       (SELECT sum(total_bytes) / 1024 / 1024 FROM pg_backend_memory_contexts WHERE name = 'cloudsync changes');
ROLLBACK;
SQL
is($rows, '1000000', 'a million dossiers of one transaction are noted');
cmp_ok($memory, '<', 100, '... in bounded memory (MB)');
is(noted(), 'nothing', '... and not when it is rolled back');

# --- what is not seen: the replica role; ENABLE ALWAYS
$node->safe_psql('postgres',
	"SET session_replication_role = replica; UPDATE app.dossier SET title = 'replica' WHERE id = 7");
is(noted(), 'nothing', 'the replica role is not seen');

# --- COPY, ON CONFLICT, a foreign key's cascade, a writer without rights
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE writer LOGIN;
GRANT USAGE ON SCHEMA app TO writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA app TO writer;
SQL
my ($rc, $out, $err) = $node->psql('postgres', <<'SQL', extra_params => [ '-U', 'writer' ], on_error_stop => 1);
COPY app.dossier (id, title) FROM stdin;
101	copied
102	copied
\.
INSERT INTO app.dossier (id, title) VALUES (101, 'again'), (103, 'new') ON CONFLICT (id) DO UPDATE SET title = 'again';
INSERT INTO app.dossier_file (id, dossier_id, name) VALUES (50, 103, 'f');
DELETE FROM app.dossier WHERE id = 103;
SQL
is($rc, 0, 'a writer needs no right of ours') or diag($err);
is(noted(), '101 102 101 103 103/50 103 103/50', 'each statement is noted in its own transaction');
forget();

# --- nothing is lost and nothing is twice while writers and folds go on
$node->safe_psql('postgres', <<'SQL');
SELECT cloudsync_connect('local', 'Folder');
SELECT cloudsync_set_push('Folder', every => '1 hour');
DELETE FROM cloudsync.due; DELETE FROM cloudsync.backfill; DELETE FROM cloudsync.change;
SQL
my $dir = $node->basedir;
append_to_file("$dir/write.sql", <<'SQL');
\set id random(1, 50)
UPDATE app.dossier SET year = coalesce(year, 0) + 1 WHERE id = :id;
SQL
my @bench = ('pgbench', '-n', '-c', '4', '-t', '250', '-f', "$dir/write.sql", '-h', $node->host, '-p', $node->port, 'postgres');
{
	my ($o, $e) = ('', '');
	my $bench = IPC::Run::start([@bench], '>', \$o, '2>', \$e);
	while ($bench->pumpable)
	{
		$node->safe_psql('postgres', 'SELECT cloudsync.fold()');
		$bench->pump_nb;
	}
	ok($bench->finish, 'writers write') or diag($e);
}
$node->safe_psql('postgres', 'SELECT cloudsync.fold()');
is(scalar_sql($node, 'SELECT sum(changes) FROM cloudsync.due'), '1000', '1000 changes were folded, each once');
is(scalar_sql($node, 'SELECT sum(year) FROM app.dossier'), '1000', '(and were made)');

# --- logical replication: seen when asked for, in a process without a client
$node->safe_psql('postgres', 'CREATE DATABASE far');
create_extension($node, 'far');
application_schema($node, 'far');
$node->safe_psql('far', <<'SQL');
SELECT cloudsync_track('app.dossier', 'app.dossier_file');
SQL
$node->safe_psql('postgres', 'CREATE PUBLICATION p FOR TABLE app.dossier');
$node->safe_psql('postgres', "SELECT pg_create_logical_replication_slot('s', 'pgoutput')");
my $from = 'host=' . $node->host . ' port=' . $node->port . ' dbname=postgres user=postgres';
$node->safe_psql('far',
	"CREATE SUBSCRIPTION s CONNECTION '$from' PUBLICATION p WITH (create_slot = false, copy_data = false)");
$node->safe_psql('postgres', "INSERT INTO app.dossier (id, title) VALUES (900, 'replicated')");
wait_for($node, 'SELECT count(*) = 1 FROM app.dossier WHERE id = 900', 't', 'far');
is(scalar_sql($node, 'SELECT count(*) FROM cloudsync.change', 'far'), '0', 'logical apply is not seen');
$node->safe_psql('far', <<'SQL');
DO $$
DECLARE
    t record;
BEGIN
    FOR t IN SELECT tgrelid::regclass AS r, tgname AS n FROM pg_trigger WHERE tgfoid = 'cloudsync.capture_change'::regproc LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.r, t.n);
    END LOOP;
END
$$;
SQL
$node->safe_psql('postgres', "INSERT INTO app.dossier (id, title) VALUES (901, 'replicated too')");
wait_for($node, 'SELECT count(*) = 1 FROM app.dossier WHERE id = 901', 't', 'far');
is(scalar_sql($node, 'SELECT dossier FROM cloudsync.change', 'far'), '901', '... but where the triggers are ALWAYS');
$node->safe_psql('far', 'DROP SUBSCRIPTION s');

# --- dump and restore: columns get other numbers, triggers come back
$node->safe_psql('postgres', <<'SQL');
ALTER TABLE app.dossier ADD COLUMN code text, DROP COLUMN reference;
UPDATE app.dossier SET code = 'C' || id;
ALTER TABLE app.dossier ALTER code SET NOT NULL, ADD UNIQUE (code);
CREATE TABLE app.matter (junk integer, region text, nr integer, title text, PRIMARY KEY (nr)) PARTITION BY RANGE (nr);
ALTER TABLE app.matter DROP COLUMN junk;
CREATE TABLE app.matter_1 PARTITION OF app.matter FOR VALUES FROM (0) TO (100);
CREATE TABLE app.letter (id integer PRIMARY KEY, junk integer, matter_nr integer REFERENCES app.matter, name text, content oid);
ALTER TABLE app.letter DROP COLUMN junk;
SELECT cloudsync_track('app.matter', 'app.letter', tenant => 'region');
SQL
$node->safe_psql('postgres', 'CREATE DATABASE copy');
run_log(['pg_dump', '-h', $node->host, '-p', $node->port, '-f', "$dir/dump.sql", 'postgres']);
my $dump = slurp_file("$dir/dump.sql");
like($dump, qr/ALTER TRIGGER \S+ ON app\.matter DEPENDS ON EXTENSION "?cloudsync/, 'the dump marks the triggers');
$node->command_ok(['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-h', $node->host, '-p', $node->port, '-f', "$dir/dump.sql", 'copy'],
	'the dump is restored');
my $write = <<'SQL';
DELETE FROM cloudsync.change;
BEGIN;
INSERT INTO app.matter VALUES ('north', 7, 'x');
UPDATE app.matter_1 SET region = 'south' WHERE nr = 7;
INSERT INTO app.letter VALUES (70, 7, 'n', 0);
SELECT string_agg(concat_ws('/', dossier, file_key, tenant), ' ' ORDER BY ctid) FROM cloudsync.change;
ROLLBACK;
SQL
is($node->safe_psql('copy', $write), '7/north 7/south 7/70', 'changes of the restored tables are noted by their names');
is($node->safe_psql('copy', "SELECT cloudsync.reresolve_sources(); SELECT cloudsync.refresh_column_names(); $write"),
	"\n\n7/north 7/south 7/70", '... and by their numbers once these are looked up again');
is($node->safe_psql('copy', 'SELECT key_name, last_error FROM cloudsync.dossier_table ORDER BY 1'), "id|\nnr|", 'nothing is missing');
$node->safe_psql('copy', 'DROP EXTENSION cloudsync');
is($node->safe_psql('copy', "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'cloudsync%'"), '0', 'the restored triggers go with the extension too');

$node->stop;
done_testing();
