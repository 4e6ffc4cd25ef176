# Application code is run as the owner of the tracked table, or of the function,
# and gains nothing by it; a policy that hides rows is an error and never a
# deletion (S3).
use strict;
use warnings;

use CloudsyncTest;
use Test::More;

my $node = new_cluster('owner');
my $root = local_root($node);
create_extension($node);

# mallory owns the tables; boss, an administrator who belongs to mallory, tracks
# them. Whatever mallory's code is called for, it tries what it can.
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE mallory LOGIN;
CREATE ROLE boss LOGIN IN ROLE mallory, cloudsync_admin;
CREATE TABLE public.secret AS SELECT 'of somebody else' AS text;
CREATE SCHEMA AUTHORIZATION mallory;
SET SESSION AUTHORIZATION mallory;
CREATE TABLE mallory.tried (what text, who text, came_of_it text);
CREATE FUNCTION mallory.try() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	attempt text;
	result text;
BEGIN
	FOREACH attempt IN ARRAY ARRAY['SELECT text FROM public.secret', 'SET ROLE postgres', 'SET SESSION AUTHORIZATION postgres',
		'ALTER ROLE mallory SUPERUSER', 'SELECT count(*)::text FROM cloudsync.connection', 'SELECT cloudsync_suspend()::text',
		'RESET ROLE', 'SET LOCAL row_security = on', 'CREATE TEMP TABLE t ()'] LOOP
		BEGIN
			EXECUTE attempt INTO result;
			result := coalesce('got ' || result, 'done');
		EXCEPTION WHEN OTHERS THEN
			result := 'refused';
		END;
		INSERT INTO mallory.tried VALUES (attempt, current_user, result);
	END LOOP;
	INSERT INTO mallory.tried VALUES ('path', current_user, current_setting('search_path'));
END $$;
CREATE TYPE mallory.kind AS ENUM ('divorce', 'contract');
CREATE FUNCTION mallory.kind_text(mallory.kind) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM mallory.try();
	RETURN 'kind ' || enum_out($1)::text;
END $$;
CREATE CAST (mallory.kind AS text) WITH FUNCTION mallory.kind_text(mallory.kind);
CREATE FUNCTION mallory.collected(bigint) RETURNS void LANGUAGE plpgsql AS $$BEGIN PERFORM mallory.try(); END$$;
CREATE TABLE mallory.dossier (id integer PRIMARY KEY, title text, kind mallory.kind);
CREATE TABLE mallory.file (id integer PRIMARY KEY, dossier_id integer REFERENCES mallory.dossier, name text, content bytea);
INSERT INTO mallory.dossier VALUES (1, 'One', 'divorce'), (2, 'Two', 'contract');
INSERT INTO mallory.file VALUES (1, 1, 'a.txt', 'a'), (2, 2, 'b.txt', 'b');
RESET SESSION AUTHORIZATION;
SELECT cloudsync_connect('local', 'Drive');
SELECT cloudsync_add_recipient('Ann');
SET SESSION AUTHORIZATION boss;
SELECT cloudsync_track('mallory.dossier', 'mallory.file');
SELECT cloudsync_set_push('Drive', folder => '{kind}/{title}', every => '1 second', on_delete => 'trash', auto_sync => false);
SELECT cloudsync_on_document('mallory.collected');
RESET SESSION AUTHORIZATION;
TRUNCATE mallory.tried;
SQL

# Each way in which mallory's code is run: what it tried has come to nothing.
sub gained_nothing
{
	my ($what) = @_;
	is(scalar_sql($node, "SELECT count(*) > 0 FROM mallory.tried"), 't', "$what: it was run");
	is(scalar_sql($node, "SELECT DISTINCT who FROM mallory.tried"), 'mallory', "$what: as its owner");
	is(scalar_sql($node, "SELECT DISTINCT what, came_of_it FROM mallory.tried
		WHERE what <> 'path' AND came_of_it <> 'refused'
		  AND NOT (what IN ('RESET ROLE', 'SET LOCAL row_security = on'))"), '', "$what: and got nowhere");
	is(scalar_sql($node, "SELECT DISTINCT came_of_it FROM mallory.tried WHERE what = 'path'"), 'pg_catalog, pg_temp', "$what: with a pinned path");
	$node->safe_psql('postgres', 'TRUNCATE mallory.tried');
	return;
}

is(scalar_sql($node, "SELECT count(*) FROM cloudsync_plan('Drive', '1')"), 1, 'a plan');
gained_nothing('a plan in the superuser\'s session');
my $run = scalar_sql($node, "SELECT cloudsync_push_dossier('1')");
ok(wait_run($node, $run), 'pushed');
ok(-f "$root/CloudSync/kind divorce/One/a.txt", 'under the name that the cast gave');
gained_nothing('a push by the worker');
$node->safe_psql('postgres', "SELECT cloudsync_create_channel('Drive', 'Post', ARRAY['/Inbox'], 'Ann', 'Mail', auto_collect => false)");
write_file("$root/Inbox/letter.txt", 'a letter');
ok(wait_run($node, scalar_sql($node, "SELECT cloudsync_collect('Post')")), 'collected');
gained_nothing('a function for documents');
is(scalar_sql($node, 'SELECT rolsuper FROM pg_roles WHERE rolname = \'mallory\''), 'f', 'mallory is what mallory was');

# Who does not belong to the owner cannot track the tables.
my ($rc, $out, $err) = $node->psql('postgres', <<'SQL');
CREATE ROLE other LOGIN IN ROLE cloudsync_admin;
GRANT USAGE ON SCHEMA mallory TO other;
SET SESSION AUTHORIZATION other;
SELECT cloudsync_track('mallory.dossier', 'mallory.file');
SQL
like($err, qr/must be owner of table/, 'only the owner tracks a table');

# A policy that would hide the rows from the owner: an error, and no deletion.
$node->safe_psql('postgres', <<'SQL');
SELECT cloudsync_set_push('Drive', auto_sync => true);
SQL
ok(wait_for($node, "SELECT count(*) = 2 FROM cloudsync.dossiers WHERE state = 'synced'"), 'both are pushed');
$node->safe_psql('postgres', <<'SQL');
ALTER TABLE mallory.file ENABLE ROW LEVEL SECURITY;
ALTER TABLE mallory.file FORCE ROW LEVEL SECURITY;
UPDATE mallory.file SET content = 'a, changed' WHERE id = 1;
SQL
ok(wait_for($node, "SELECT count(*) = 1 FROM cloudsync_status() WHERE problem ~ 'row.level security'"), 'a policy is an error that the status shows')
  or diag(scalar_sql($node, 'SELECT cloudsync_status()'));
ok(-f "$root/CloudSync/kind divorce/One/a.txt", 'nothing was taken for deleted');
is(scalar_sql($node, "SELECT count(*) FROM cloudsync.files WHERE state LIKE '%trash%'"), 0, 'nothing goes to the trash');
$node->safe_psql('postgres', 'ALTER TABLE mallory.file NO FORCE ROW LEVEL SECURITY');
ok(wait_run($node, scalar_sql($node, "SELECT cloudsync_push_dossier('1')")), 'pushed again without it');
is(read_file("$root/CloudSync/kind divorce/One/a.txt"), 'a, changed', 'the change is there');

$node->stop('fast');
done_testing();
