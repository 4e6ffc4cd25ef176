# A worker that is killed in the middle of a folder's move, of a swap of names or
# of a move to the trash: nothing is lost, nothing is there twice, nothing is
# sent again (P7).
use strict;
use warnings;

use CloudsyncTest;
use Digest::MD5 qw(md5_hex);
use Test::More;

my $node = new_cluster('crash_moves', conf => "restart_after_crash = on\n");
my $root = local_root($node);
create_extension($node);
application_schema($node);

sub sql { return scalar_sql($node, $_[0]) }

sql(q{
INSERT INTO app.dossier (id, title) SELECT n, 'D' || n FROM generate_series(1, 8) n;
INSERT INTO app.dossier_file (id, dossier_id, name, content)
	SELECT 10 * d + f, d, 'f' || f, convert_to('content ' || d || '.' || f, 'UTF8') FROM generate_series(1, 8) d, generate_series(1, 4) f;
SELECT cloudsync_track('app.dossier', 'app.dossier_file');
SELECT cloudsync_connect('local', 'Archive');
SELECT cloudsync_set_push('Archive', every => '1 second', on_delete => 'trash');
});

my $all_done = q{SELECT count(*) = 0 FROM (SELECT FROM cloudsync.due UNION ALL SELECT FROM cloudsync.change
	UNION ALL SELECT FROM cloudsync.backfill UNION ALL SELECT FROM cloudsync.run WHERE state IN ('queued', 'running')) x};
ok( wait_for($node, q{SELECT count(*) = 32 FROM cloudsync.files WHERE state = 'synced'}) && wait_for($node, $all_done),
	'everything is there to begin with');

# The inode of each file below the root by its content.
sub inodes
{
	return { map { md5_hex(read_file("$root/$_")) => inode("$root/$_") } files_below($root) };
}

# $change, with the worker killed at $point at least $times times, then the
# checks; $trash says what is in the trash afterwards.
my @trash;

sub killed_at
{
	my ($point, $times, $change, $trashed) = @_;
	my $before = inodes();
	my $runs = sql('SELECT coalesce(max(run_id), 0) FROM cloudsync.run');

	my $offset = log_offset($node);
	crash_at($node, $point);
	crash_statement($node, "BEGIN; $change; COMMIT");
	ok( $node->wait_for_log(qr/(crash point \Q$point\E\b.*){$times}/s, $offset),
		"$point: the worker is killed, $times times over");
	crash_no_more($node);
	ok(wait_for($node, $all_done), "$point: the work is finished");

	push @trash, $trashed if $trashed;
	my @expected = split /\n/, sql(q{SELECT 'CloudSync/' || title || '/' || name || ' ' || md5(content)
		FROM app.dossier d JOIN app.dossier_file f ON f.dossier_id = d.id});
	@expected = sort @expected, @trash;
	my @found = sort map { "$_ " . md5_hex(read_file("$root/$_")) } files_below($root, parts => 1);
	is_deeply(\@found, \@expected, "$point: each file is there once, whole") or diag(join "\n", @found);
	is_deeply(inodes(), $before, "$point: each is the file that it was, nothing was sent again");
	is(sql("SELECT count(*) FROM cloudsync.run WHERE run_id > $runs AND state <> 'succeeded'"), 0, "$point: every run has succeeded");
	is(sql("SELECT count(*) FROM cloudsync.run_file WHERE run_id > $runs AND action NOT IN ('move', 'trash')"),
		0, "$point: nothing but moves is told");
	is(sql(q{SELECT count(*) FROM cloudsync.files f JOIN app.dossier_file a ON a.id::text = f.file_key
		JOIN app.dossier d ON d.id = a.dossier_id
		WHERE f.state = 'synced' AND f.path = '/CloudSync/' || d.title || '/' || a.name}),
		sql('SELECT count(*) FROM app.dossier_file'), "$point: each is recorded where it is");
	return;
}

# the folder of a dossier
killed_at('transfer.renamed', 1, q{UPDATE app.dossier SET title = 'Moved 1' WHERE id = 1});
killed_at('push.after_folder_move', 1, q{UPDATE app.dossier SET title = 'Moved 2' WHERE id = 2});

# two names are swapped, by way of a third, cut off after the first move and the second
my $swap = q{UPDATE app.dossier_file SET name = CASE name WHEN 'f1' THEN 'f2' ELSE 'f1' END
	WHERE dossier_id = %d AND name IN ('f1', 'f2')};
killed_at('transfer.renamed', 1, sprintf($swap, 3));
killed_at('push.after_move', 1, sprintf($swap, 4));
killed_at('push.after_move', 2, sprintf($swap, 5));

# to the trash
killed_at('transfer.renamed', 1, q{DELETE FROM app.dossier_file WHERE id = 61}, '.trash/CloudSync/D6/f1 ' . md5_hex('content 6.1'));
killed_at('push.after_trash', 1, q{DELETE FROM app.dossier_file WHERE id = 71}, '.trash/CloudSync/D7/f1 ' . md5_hex('content 7.1'));
is(sql(q{SELECT count(*) FROM cloudsync.files WHERE state = 'trashed'}), 2, 'both are recorded as in the trash');


$node->stop;
done_testing();
