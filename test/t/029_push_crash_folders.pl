# A worker that is killed while folders with folders in them move, several
# dossiers at once: by new names, by subfolders that change with them, by another
# template, by another root. Nothing is lost, nothing is there twice, nothing is
# sent again (P5, P7, P16).
use strict;
use warnings;

use CloudsyncTest;
use Digest::MD5 qw(md5_hex);
use Test::More;

my $node = new_cluster('crash_folders', conf => "restart_after_crash = on\n");
my $root = local_root($node);
create_extension($node);
application_schema($node);

sub sql { return scalar_sql($node, $_[0]) }

sql(q{
ALTER TABLE app.dossier_file ADD kind text, ADD part text;
INSERT INTO app.dossier (id, title, year) SELECT n, 'D' || n, 2020 + n FROM generate_series(1, 4) n;
INSERT INTO app.dossier_file (dossier_id, name, kind, part, content)
	SELECT d, 'f' || f, 'k' || k, 'p' || f, convert_to(format('content %s.%s.%s', d, k, f), 'UTF8')
	FROM generate_series(1, 4) d, generate_series(1, 3) k, generate_series(1, 2) f;
SELECT cloudsync_track('app.dossier', 'app.dossier_file');
SELECT cloudsync_connect('local', 'Archive');
SELECT cloudsync_set_push('Archive', every => '1 second', folder => '{title}/{file.kind}/{file.part}');
});
my $all_done = q{SELECT count(*) = 0 FROM (SELECT FROM cloudsync.due UNION ALL SELECT FROM cloudsync.change
	UNION ALL SELECT FROM cloudsync.backfill UNION ALL SELECT FROM cloudsync.run WHERE state IN ('queued', 'running')) x};
ok( wait_for($node, q{SELECT count(*) = 24 FROM cloudsync.files WHERE state = 'synced'}) && wait_for($node, $all_done),
	'everything is there to begin with');

# By the file, since the server may just be coming up again, to be killed again.
sub crash_here
{
	my ($point) = @_;
	$node->append_conf('postgresql.conf', "cloudsync.crash_point = '$point'\n");
	$node->reload;
	crash_point_in_force($node, $point) if $point;
	return;
}

# The inode of each file below the root by its content.
sub inodes
{
	return { map { md5_hex(read_file("$root/$_")) => inode("$root/$_") } files_below($root) };
}

my $folder = q{'CloudSync/' || title || '/' || kind || '/' || part || '/' || name};

# $change, with the worker killed at $point $times times over, then the checks.
sub killed_at
{
	my ($what, $point, $times, $change) = @_;
	my $before = inodes();
	my $runs = sql('SELECT max(run_id) FROM cloudsync.run');
	my $offset = log_offset($node);
	crash_here($point);
	sql("BEGIN; $change; COMMIT");
	ok($node->wait_for_log(qr/(crash point \Q$point\E\b.*){$times}/s, $offset), "$what: the worker is killed $times times at $point");
	crash_here('');
	wait_for($node, 'SELECT true') or die;
	ok(wait_for($node, $all_done), "$what: the work is finished");

	my @expected = sort split /\n/, sql(qq{SELECT $folder || ' ' || md5(content)
		FROM app.dossier d JOIN app.dossier_file f ON f.dossier_id = d.id});
	my @found = sort map { "$_ " . md5_hex(read_file("$root/$_")) } files_below($root, parts => 1);
	is_deeply(\@found, \@expected, "$what: each file is there once, whole, in its folder") or diag(join "\n", @found);
	is_deeply(inodes(), $before, "$what: each is the file that it was, nothing was sent again");
	is(sql("SELECT count(*) FROM cloudsync.run WHERE run_id > $runs AND state <> 'succeeded'"), 0, "$what: every run has succeeded");
	is(sql("SELECT coalesce(string_agg(DISTINCT action, ','), '') FROM cloudsync.run_file WHERE run_id > $runs AND action <> 'move'"),
		'', "$what: nothing but moves is told");
	is(sql(qq{SELECT count(*) FROM cloudsync.files f JOIN app.dossier_file a ON a.id::text = f.file_key
		JOIN app.dossier d ON d.id = a.dossier_id WHERE f.state = 'synced' AND f.path = '/' || $folder}),
		24, "$what: each is recorded where it is");
	return;
}

killed_at('new names', 'transfer.renamed', 3, q{UPDATE app.dossier SET title = 'Moved ' || id});
killed_at('new names, recorded', 'push.after_folder_move', 1, q{UPDATE app.dossier SET title = 'Again ' || id});
killed_at('folders and subfolders', 'transfer.renamed', 4,
	q{UPDATE app.dossier SET title = 'Third ' || id; UPDATE app.dossier_file SET kind = 'new ' || kind});
killed_at('names of subfolders swapped', 'transfer.renamed', 3,
	q{UPDATE app.dossier_file SET kind = CASE kind WHEN 'new k1' THEN 'new k2' WHEN 'new k2' THEN 'new k1' ELSE kind END});
$folder = q{'CloudSync/' || year || '/' || title || '/' || part || '/' || kind || '/' || name};
killed_at('another template', 'transfer.renamed', 3,
	q{SELECT cloudsync_set_push('Archive', folder => '{year}/{title}/{file.part}/{file.kind}')});

$node->stop;
done_testing();
