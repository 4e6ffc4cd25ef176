# The extension in a schema of its own name, an update to the version that is
# there, and a change of its schema, which is refused: before, between and after
# them the same functions do the same work (spec 2, W1).
use strict;
use warnings;

use CloudsyncTest;
use Test::More;

my $node = new_cluster('extension');
my $root = local_root($node);
application_schema($node);
$node->safe_psql('postgres', 'CREATE SCHEMA "Cloud Sync"; CREATE SCHEMA other');
create_extension($node, 'postgres', '"Cloud Sync"');

sub sql { return scalar_sql($node, $_[0]) }

sub refused
{
	my ($sql) = @_;
	my (undef, undef, $err) = $node->psql('postgres', "SET client_min_messages = error; $sql", timeout => 60);
	return $err;
}

# --- a schema of another name -------------------------------------------------------
is(sql(q{SELECT string_agg(DISTINCT n.nspname, ',') FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'cloudsync'
	JOIN pg_proc p ON p.oid = d.objid AND d.classid = 'pg_proc'::regclass JOIN pg_namespace n ON n.oid = p.pronamespace
	WHERE d.deptype = 'e' AND p.proname LIKE 'cloudsync\_%'}), 'Cloud Sync', 'the functions are in the schema named');
is(sql(q{SELECT count(*) FROM pg_proc WHERE proname LIKE 'cloudsync\_%' AND pronamespace NOT IN ('"Cloud Sync"'::regnamespace, 'cloudsync'::regnamespace)}),
	0, '... and nowhere else');
like(refused('SELECT cloudsync_status()'), qr/function cloudsync_status\(\) does not exist/, '... where the search path does not find them');

my $in = 'SET search_path = "Cloud Sync", public';
$node->safe_psql('postgres', <<"SQL");
$in;
SELECT cloudsync_track('app.dossier', 'app.dossier_file');
SELECT cloudsync_connect('local', 'Drive', options => '{"path": "drive"}');
SELECT cloudsync_set_push('Drive', every => '1 second', folder => '{dossier_label}');
SELECT cloudsync_connect('local', 'Box', options => '{"path": "box"}');
SELECT cloudsync_add_recipient('clerk');
SELECT cloudsync_create_channel('Box', 'scans', ARRAY['/in'], 'clerk', 'tray', auto_collect => false);
SQL

# Everything works: a change is pushed, a file is collected, and a session waits for both.
sub works
{
	my ($n, $when) = @_;
	write_file("$root/box/in/$n.txt", "document $n");
	$node->safe_psql('postgres', "INSERT INTO app.dossier (id, title) VALUES ($n, 'D$n');
		INSERT INTO app.dossier_file (dossier_id, name, content) VALUES ($n, 'f', 'content')");
	my $runs = sql("$in; SELECT cloudsync_collect('scans') || ',' || string_agg(r::text, ',') FROM cloudsync_push_dossier('$n', 'Drive') r");
	(undef, undef, my $err) = $node->psql('postgres', "$in; CALL cloudsync_wait('{$runs}'::bigint[])", timeout => 120);
	$err =~ s/^WARNING: .*\n(?:HINT: .*\n?)?//mg;
	is($err, '', "$when: both runs succeed");
	is(read_file("$root/drive/CloudSync/D$n/f"), 'content', "$when: the file is pushed");
	is(sql("SELECT count(*) FROM cloudsync.document WHERE name = '$n.txt'"), 1, "$when: the document is collected");
	ok(wait_for($node, 'SELECT count(*) = 0 FROM "Cloud Sync".cloudsync_status()'), "$when: the status has nothing to say");
	like(sql("$in; SELECT count(*) FROM cloudsync_browse('Box', '/in'), cloudsync_plan('Drive'), cloudsync_check('Drive')"), qr/^\d+$/,
		"$when: it can be browsed, planned and checked");
	return;
}
works(1, 'in a schema of another name');

# --- an update to the version that is there ------------------------------------------
my $scheduler = worker_pid($node, 'cloudsync scheduler', 'postgres');
my (undef, undef, $said) = $node->psql('postgres', 'ALTER EXTENSION cloudsync UPDATE', timeout => 60);
like($said, qr/NOTICE:  version "[\d.]+" of extension "cloudsync" is already installed$/, 'an update to the same version changes nothing');
ok(wait_for($node, "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'cloudsync scheduler'"), '... and the workers are there');
works(2, 'updated');

# --- its schema ----------------------------------------------------------------------
like(refused('ALTER EXTENSION cloudsync SET SCHEMA other'), qr/extension "cloudsync" does not support SET SCHEMA/,
	'another schema is refused');
like(refused('ALTER SCHEMA cloudsync RENAME TO other_name; SELECT 1'), qr/^$/, 'a superuser may rename its schema of tables');
like(refused("$in; SELECT cloudsync_status()"), qr/cloudsync\.\w+.*does not exist|schema "cloudsync" does not exist/, '... and is told what is missing');
$node->safe_psql('postgres', 'ALTER SCHEMA other_name RENAME TO cloudsync');
works(3, 'as it was again');

# --- with the tables' schema there already, or as the functions' schema -----------------
$node->safe_psql('postgres', 'CREATE DATABASE second');
$node->safe_psql('second', 'CREATE SCHEMA cloudsync; CREATE TABLE cloudsync.mine (x integer)');
my (undef, undef, $err) = $node->psql('second', 'CREATE EXTENSION cloudsync');
like($err, qr/schema "cloudsync" already exists/, 'a schema of that name that is there is not taken over');
$node->safe_psql('second', 'DROP SCHEMA cloudsync CASCADE');
(undef, undef, $err) = $node->psql('second', 'CREATE EXTENSION cloudsync SCHEMA cloudsync');
isnt($err, '', 'the tables\' schema cannot be the functions\' as well');

$node->stop('fast');
done_testing();
