# What was written is read back before it gets its name (P6): bytes that the
# storage changed fail the attempt, never stand under a final name, and are sent
# again.
use strict;
use warnings;

use CloudsyncTest;
use Test::More;

my $node = new_cluster('push_verify');
my $root = local_root($node);
create_extension($node);
application_schema($node);

$node->safe_psql('postgres', <<'SQL');
INSERT INTO app.dossier VALUES (1, 'One');
INSERT INTO app.dossier_file VALUES
	(1, 1, 'small.txt', 'as it was'),
	(2, 1, 'large.bin', convert_to(repeat('0123456789abcdef', 200000), 'UTF8'));
SELECT cloudsync_connect('local', 'Drive');
SELECT cloudsync_set_push('Drive', auto_sync => false);
SELECT cloudsync_track('app.dossier', 'app.dossier_file', label => 'title');
SQL
my $folder = "$root/CloudSync/One";
my $run = scalar_sql($node, "SELECT cloudsync_push_dossier('1', 'Drive')");
ok(wait_run($node, $run), 'a push while the storage keeps what it is given');
my $large = read_file("$folder/large.bin");

# From now on one bit of each slice is not what was written.
crash_at($node, 'transfer.flip');
ok(wait_for($node, "SELECT setting = 'transfer.flip' FROM pg_settings WHERE name = 'cloudsync.crash_point'"),
	'the storage changes a bit of each slice');
$node->safe_psql('postgres', <<'SQL');
UPDATE app.dossier_file SET content = 'as it is now' WHERE id = 1;
UPDATE app.dossier_file SET content = content || 'more' WHERE id = 2;
INSERT INTO app.dossier_file VALUES (3, 1, 'new.txt', 'new');
SQL
$run = scalar_sql($node, "SELECT cloudsync_push_dossier('1', 'Drive')");
ok(wait_run($node, $run, 'failed'), 'a push fails');
like(scalar_sql($node, "SELECT error FROM cloudsync.history WHERE run_id = $run"),
	qr/read back is not what was written/, 'and says why');
is(scalar_sql($node, "SELECT count(*) FROM cloudsync.files WHERE state = 'failed' AND last_error LIKE '%read back%' AND next_try_at IS NOT NULL"),
	'3', 'each file is listed with its error and its next attempt');
is_deeply([ files_below($root, parts => 1) ], [ 'CloudSync/One/large.bin', 'CloudSync/One/small.txt' ],
	'nothing new is there, under no name at all');
is(read_file("$folder/small.txt"), 'as it was', 'what was there is untouched');
ok(read_file("$folder/large.bin") eq $large, 'also the large one');

crash_at($node, '');
ok( wait_for($node, "SELECT count(*) = 3 FROM cloudsync.files WHERE state = 'synced'"),
	'it is tried again until it succeeds');
is(read_file("$folder/small.txt"), 'as it is now', 'the change is there');
ok(read_file("$folder/large.bin") eq $large . 'more', 'also of the large one');
is(read_file("$folder/new.txt"), 'new', 'and the new file');
is_deeply([ files_below($root, parts => 1) ],
	[ 'CloudSync/One/large.bin', 'CloudSync/One/new.txt', 'CloudSync/One/small.txt' ], 'nothing else is');

$node->stop('fast');
done_testing();
