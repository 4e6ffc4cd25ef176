# A copy whose tables have other column numbers than the original had: after
# cloudsync_resume() it pushes the right columns, also one that was renamed (W8,
# W11, P2), and takes up nothing for connections that are no more.
use strict;
use warnings;

use CloudsyncTest;
use Test::More;

my $node = new_cluster('copies');
my $root = local_root($node);
create_extension($node);
$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA app;
CREATE TABLE app.dossier (junk integer, id bigint PRIMARY KEY, kind text, title text NOT NULL);
CREATE TABLE app.dossier_file (
	junk integer, junk_too integer, id bigint PRIMARY KEY, name text NOT NULL,
	dossier_id bigint NOT NULL REFERENCES app.dossier ON DELETE CASCADE, note text, content bytea);
ALTER TABLE app.dossier DROP COLUMN junk;
ALTER TABLE app.dossier_file DROP COLUMN junk, DROP COLUMN junk_too;
INSERT INTO app.dossier VALUES (1, 'alpha', 'One'), (2, 'beta', 'Two');
INSERT INTO app.dossier_file VALUES (1, 'a.txt', 1, 'other', 'first'), (2, 'b.txt', 2, 'other', 'second');
SELECT cloudsync_connect('local', 'Drive', options => '{"path": "drive"}');
SELECT cloudsync_connect('local', 'Old', options => '{"path": "old"}');
SELECT cloudsync_connect('local', 'Held', options => '{"path": "held"}');
SELECT cloudsync_track('app.dossier', 'app.dossier_file', label => 'title', procedure => 'kind');
SELECT cloudsync_set_push('Drive', folder => '{dossier_label}', every => '1 second', manifest => false);
SELECT cloudsync_set_push('Old', folder => '{dossier_label}', every => '1 second', manifest => false);
SELECT cloudsync_set_push('Held', auto_sync => false);
SQL
ok(wait_for($node, "SELECT count(*) FILTER (WHERE state = 'synced') = 4 FROM cloudsync.dossiers WHERE connection <> 'Held'"),
	'the dossiers are pushed');
$node->safe_psql('postgres', "SELECT cloudsync_disconnect('Old')");

# --- renamed columns: the names follow, with nothing else going on ------------------
$node->safe_psql('postgres', <<'SQL');
ALTER TABLE app.dossier RENAME title TO subject;
ALTER TABLE app.dossier_file RENAME content TO body;
ALTER TABLE app.dossier_file RENAME name TO file_name;
SQL
ok(wait_for($node, <<'SQL'), 'the scheduler follows renamed columns without a change of any row');
SELECT label_name = 'subject' AND (SELECT name_name = 'file_name' AND content_name = 'body' FROM cloudsync.source)
FROM (SELECT cloudsync.wake(true) OFFSET 0) woken, cloudsync.dossier_table
SQL
is(scalar_sql($node, 'SELECT count(*) FROM cloudsync_status()'), 0, '... and nothing is wrong');

# --- dump, restore, resume ----------------------------------------------------------
my $numbers = 'SELECT concat_ws(\' \', label_column, (SELECT concat_ws(\' \', dossier_column, name_column, content_column) FROM cloudsync.source)) FROM cloudsync.dossier_table';
is(scalar_sql($node, $numbers), '4 5 4 7', 'column numbers in the original');
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'pg_dump');
$node->safe_psql('postgres', 'SELECT cloudsync_suspend()');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'copy', '-f', $dump ], 'restored');
$node->safe_psql('copy', 'SELECT cloudsync_resume()');
is(scalar_sql($node, $numbers, 'copy'), '3 3 2 5', 'resumed, the copy has its own numbers');
is(scalar_sql($node, <<'SQL', 'copy'), 't', '... and knows that they are its own');
SELECT bool_and(resolved_in = installation)
FROM (SELECT resolved_in FROM cloudsync.dossier_table UNION ALL SELECT resolved_in FROM cloudsync.source) t, cloudsync.installation
SQL
is(scalar_sql($node, 'SELECT string_agg(DISTINCT c.name, \',\') FROM cloudsync.backfill b JOIN cloudsync.connection c USING (connection_id) WHERE c.name <> \'Drive\'', 'copy'),
	'', 'what exists is noted for connections that push by themselves only');

my $before = scalar_sql($node, 'SELECT coalesce(max(run_id), 0) FROM cloudsync.run', 'copy');
$node->safe_psql('copy', <<'SQL');
UPDATE app.dossier SET subject = 'Two again' WHERE id = 2;
UPDATE app.dossier_file SET body = 'second, changed' WHERE id = 2;
INSERT INTO app.dossier VALUES (3, 'gamma', 'Three');
INSERT INTO app.dossier_file VALUES (3, 'c.txt', 3, 'other', 'third');
SQL
ok(wait_for($node, "SELECT count(*) FILTER (WHERE state = 'synced') = 3 FROM cloudsync.dossiers
	WHERE connection = 'Drive' AND EXISTS (SELECT FROM cloudsync.pushed_dossier WHERE folder LIKE '%Two again')
	AND EXISTS (SELECT FROM cloudsync.pushed_dossier WHERE folder LIKE '%Three')", 't', 'copy'), 'the copy pushes');
ok(wait_for($node, "SELECT count(*) = 0 FROM cloudsync.history WHERE finished_at IS NULL", 't', 'copy'), '... and comes to rest');
my %found = map { $_ => read_file("$root/drive/$_") } files_below("$root/drive");
is_deeply(\%found,
	{
		'CloudSync/One/a.txt' => 'first',
		'CloudSync/Two again/b.txt' => 'second, changed',
		'CloudSync/Three/c.txt' => 'third'
	},
	'... each dossier, by its label, with its file, by its name, and the content');
is(scalar_sql($node, "SELECT count(*) FROM cloudsync.history WHERE run_id > $before AND connection = 'Old'", 'copy'), 0,
	'nothing is begun for the disconnected one');
is(scalar_sql($node, 'SELECT count(*) FROM cloudsync_status()', 'copy'), 0, 'all is well in the copy');

$node->stop('fast');
done_testing();
