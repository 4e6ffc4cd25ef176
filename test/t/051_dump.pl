# A dump carries everything that matters; what is restored from it is suspended,
# and after cloudsync_resume() nothing is sent or collected again (W8, W11).
use strict;
use warnings;

use CloudsyncTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('dump');
my $root = local_root($node);
create_extension($node);
application_schema($node);

write_file("$root/Inbox/letter.txt", "a letter\n");
write_file("$root/Inbox/empty.txt", '');
write_file("$root/Inbox/large.bin", join('', map { chr($_ % 251) } 1 .. 2_500_000));
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION app.collected(bigint) RETURNS void LANGUAGE sql AS 'SELECT';
INSERT INTO app.dossier (title, reference) SELECT 'Dossier ' || g, g FROM generate_series(1, 5) g;
INSERT INTO app.dossier_file (dossier_id, name, content)
	SELECT id, 'note.txt', convert_to('note of ' || id, 'UTF8') FROM app.dossier;
INSERT INTO app.dossier_file (dossier_id, name, content) SELECT id, 'empty', '' FROM app.dossier WHERE id = 1;
SELECT cloudsync_connect('local', 'Drive');
SELECT cloudsync_track('app.dossier', 'app.dossier_file');
SELECT cloudsync_set_push('Drive', folder => '{title}', every => '1 second', manifest => true);
SELECT cloudsync_set_procedure_folder('Drive', 'Appeal', 'Appeals');
SELECT cloudsync_add_recipient('Ann', 'ann@example.org', true);
SELECT cloudsync_create_channel('Drive', 'Post', ARRAY['/Inbox'], 'Ann', 'Mail');
SELECT cloudsync_on_document('app.collected');
INSERT INTO cloudsync.role_tenant VALUES ('somebody', 'acme');
SQL
ok(wait_for($node, "SELECT count(*) FILTER (WHERE state = 'synced') = 5 FROM cloudsync.dossiers"),
	'the dossiers are pushed');
ok(wait_for($node, "SELECT count(*) = 3 FROM cloudsync.inbox"), 'the documents are collected');
ok(wait_for($node, "SELECT count(*) = 0 FROM cloudsync.history WHERE finished_at IS NULL"),
	'nothing is under way');
# Something under way, which is not for the dump: a staged content, a queued run.
$node->safe_psql('postgres', <<'SQL');
SELECT cloudsync_suspend();
SELECT cloudsync_push_dossier('1', 'Drive');
INSERT INTO cloudsync.content (content_id, connection_id) VALUES (1000, 1);
INSERT INTO cloudsync.chunk VALUES (1000, 0, 'half of it');
INSERT INTO cloudsync.staging (content_id, connection_id, run_id, item_id) VALUES (1000, 1, 1, 1);
SQL

# What must be the same in a copy, as text; and what must not be in it.
my @same = (
	'SELECT * FROM cloudsync.connection ORDER BY connection_id',
	'SELECT * FROM cloudsync.push ORDER BY connection_id',
	'SELECT * FROM cloudsync.procedure_folders',
	'SELECT * FROM cloudsync.recipients ORDER BY recipient_id',
	'SELECT * FROM cloudsync.channels ORDER BY channel_id',
	'SELECT * FROM cloudsync.folders ORDER BY channel, folder_name',
	'SELECT * FROM cloudsync.items ORDER BY item_id',
	'SELECT * FROM cloudsync.document ORDER BY document_id',
	'SELECT document_id, sha256(cloudsync_content(document_id)) FROM cloudsync.document ORDER BY 1',
	'SELECT * FROM cloudsync.dedup ORDER BY account_id, kind, key',
	'SELECT * FROM cloudsync.pushed_dossier ORDER BY 1, 2, 3',
	'SELECT * FROM cloudsync.pushed_file ORDER BY 1, 2, 3, 4, 5',
	'SELECT * FROM cloudsync.destination',
	"SELECT * FROM cloudsync.history WHERE state <> 'queued' ORDER BY run_id",
	'SELECT * FROM cloudsync.history_file ORDER BY run_id, path, action',
	'SELECT * FROM cloudsync.audit ORDER BY audit_id',
	'SELECT * FROM cloudsync.role_tenant',
	'SELECT dossiers, key_name, label_name FROM cloudsync.dossier_table',
	'SELECT files, content_name, content_kind FROM cloudsync.source',
	'SELECT fn, event FROM cloudsync.hook');
my %original = map { $_ => scalar_sql($node, $_) } @same;
my @before = files_below($root);
my %inode = map { $_ => inode("$root/$_") . ' ' . (stat "$root/$_")[9] } @before;
is((stat("$root/CloudSync/Dossier 1/note.txt"))[7], 9, 'a file is there');

my $sequences = <<'SQL';
SELECT string_agg(s.relname, ',' ORDER BY s.relname)
FROM pg_class s JOIN pg_depend d ON d.objid = s.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'a'
JOIN pg_class t ON t.oid = d.refobjid JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
WHERE s.relkind = 'S' AND s.relnamespace = 'cloudsync'::regnamespace
  AND (xpath('/row/m/text()', query_to_xml(format('SELECT coalesce(max(%I), 0) AS m FROM cloudsync.%I', a.attname, t.relname), false, true, '')))[1]::text::bigint
    > coalesce(pg_sequence_last_value(s.oid), 0)
SQL

my $dump = $node->basedir . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dump.custom", 'postgres' ], 'pg_dump -Fc');
$node->command_ok([ 'pg_dump', '--inserts', '-f', "$dump.sql", 'postgres' ], 'pg_dump as text, row by row');
foreach my $copy ([ 'custom', 'pg_restore', '-e', '-d', 'custom', "$dump.custom" ],
	[ 'plain', 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'plain', '-f', "$dump.sql" ])
{
	my ($db, @restore) = @$copy;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->command_ok(\@restore, "$db: restored");
	is(scalar_sql($node, $_, $db), $original{$_}, "$db: $_") foreach @same;
	is(scalar_sql($node, "SELECT count(*) FROM cloudsync.history WHERE finished_at IS NULL", $db), 0, "$db: no queue");
	is(scalar_sql($node, 'SELECT (SELECT count(*) FROM cloudsync.staging) + (SELECT count(*) FROM cloudsync.content WHERE content_id = 1000)
		+ (SELECT count(*) FROM cloudsync.chunk WHERE content_id = 1000)', $db), 0, "$db: nothing staged");
	is(scalar_sql($node, $sequences, $db), '', "$db: sequences go on where they were");
	isnt(scalar_sql($node, 'SELECT installation FROM cloudsync.installation', $db),
		scalar_sql($node, 'SELECT installation FROM cloudsync.installation'), "$db: is another installation");
	like(scalar_sql($node, 'SELECT severity, problem, action FROM cloudsync_status()', $db),
		qr/^error\|suspended: .*copy.*\|SELECT cloudsync_resume\(\);$/m, "$db: says that it is suspended");

	# A change in the copy goes nowhere.
	$node->safe_psql($db, "UPDATE app.dossier SET title = 'Copied' WHERE id = 2");
	write_file("$root/Inbox/new.txt", 'new');
}

# Without the original, the copy takes over; the change made in it is the only
# thing that moves, and the new file the only one that is collected.
my $db = 'custom';
my ($runs, $documents) = split /\|/, scalar_sql($node,
	'SELECT (SELECT max(run_id) FROM cloudsync.run), (SELECT count(*) FROM cloudsync.document)', $db);
is_deeply([ grep { !m{Inbox/new} } files_below($root) ], \@before, 'while suspended nothing was sent');
$node->safe_psql($db, "SELECT cloudsync_resume()");
ok(wait_for($node, "SELECT count(*) FILTER (WHERE state = 'synced') = 5 AND count(*) = 5 FROM cloudsync.dossiers
	WHERE EXISTS (SELECT FROM cloudsync.pushed_dossier WHERE folder LIKE '%Copied')", 't', $db), 'after resuming it pushes');
my $run = $node->safe_psql($db, "SELECT cloudsync_collect('Post')");
ok(wait_run($node, $run, 'succeeded', $db), 'after resuming it collects');
ok(wait_for($node, "SELECT count(*) = 0 FROM cloudsync.history WHERE finished_at IS NULL", 't', $db), 'it comes to rest');
is(scalar_sql($node, 'SELECT string_agg(name, \',\') FROM cloudsync.document WHERE run_id > ' . $runs, $db), 'new.txt',
	'only the new file was collected');
is(scalar_sql($node, "SELECT sum(bytes_sent) FROM cloudsync.history WHERE run_id > $runs AND dossier <> '2'", $db) || 0, 0,
	'nothing was sent again');
my @after = files_below($root);
my @moved = map { my $f = $_; $f =~ s/Dossier 2/Copied/; $f } @before;
is_deeply(\@after, [ sort @moved, 'Inbox/new.txt' ], 'the tree is the same but for the change');
my @touched = grep { -e "$root/$_" && inode("$root/$_") . ' ' . (stat "$root/$_")[9] ne $inode{$_} } @before;
is_deeply(\@touched, [], 'no file was written again');
like(scalar_sql($node, 'SELECT cloudsync_status()', 'plain'), qr/suspended/, 'the other copy stays suspended');

$node->stop('fast');
done_testing();
