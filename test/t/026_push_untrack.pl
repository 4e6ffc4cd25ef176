# Untracking one of a dossier's files tables does not delete what was pushed of
# it: a push leaves its files, also where what is deleted goes to the trash, and
# takes them up when the table is tracked again.
use strict;
use warnings;

use CloudsyncTest;
use Test::More;

my $node = new_cluster('push_untrack');
my $root = local_root($node);
create_extension($node);
application_schema($node);

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE app.scan (
	id bigint PRIMARY KEY,
	dossier_id bigint NOT NULL REFERENCES app.dossier,
	name text NOT NULL,
	content bytea);
INSERT INTO app.dossier VALUES (1, 'One'), (2, 'Two');
INSERT INTO app.dossier_file VALUES (1, 1, 'letter.txt', 'letter'), (2, 1, 'note.txt', 'note');
INSERT INTO app.scan VALUES (1, 1, 'scan.txt', 'scan'), (2, 2, 'scan.txt', 'scan of two');
SELECT cloudsync_connect('local', 'Drive');
SELECT cloudsync_set_push('Drive', auto_sync => false, on_delete => 'trash');
SELECT cloudsync_track('app.dossier', 'app.dossier_file', label => 'title');
SELECT cloudsync_track('app.dossier', 'app.scan', label => 'title');
SQL

sub push_now
{
	my ($dossier, $what) = @_;
	my $run = scalar_sql($node, "SELECT cloudsync_push_dossier('$dossier', 'Drive')");
	ok(wait_run($node, $run), $what);
	return scalar_sql($node,
		"SELECT coalesce(string_agg(action || ' ' || path, ', ' ORDER BY path), '') FROM cloudsync.run_file WHERE run_id = $run");
}

push_now($_, "dossier $_ is pushed") for 1, 2;
my $scan = inode("$root/CloudSync/One/scan.txt");
ok($scan, 'with its scan');

$node->safe_psql('postgres', "SELECT cloudsync_untrack('app.dossier', 'app.scan')");
$node->safe_psql('postgres', "DELETE FROM app.dossier_file WHERE id = 2; UPDATE app.dossier_file SET content = 'letter, anew'");
is(scalar_sql($node, "SELECT string_agg(action || ' ' || file_key, ',' ORDER BY action) FROM cloudsync_plan('Drive', '1')"),
	'trash 2,update 1', 'a plan shows the deleted note alone as going to the trash');
push_now(1, 'a push after untracking the scans');
is_deeply([ files_below("$root/CloudSync/One") ], [ 'letter.txt', 'scan.txt' ], 'the scan stays, the note went');

# a file that comes now does not take the scan's name
$node->safe_psql('postgres', "INSERT INTO app.dossier_file VALUES (3, 1, 'scan.txt', 'another')");
push_now(1, 'a file of the same name');
is(read_file("$root/CloudSync/One/scan.txt"), 'scan', 'the scan keeps its name');
is(read_file("$root/CloudSync/One/scan (2).txt"), 'another', 'and the other has a number');

# the folder moves with all that is in it
$node->safe_psql('postgres', "UPDATE app.dossier SET title = 'Uno' WHERE id = 1");
push_now(1, 'the dossier has another name');
is(inode("$root/CloudSync/Uno/scan.txt"), $scan, 'the scan moved along');

# a dossier that is deleted leaves its untracked files
$node->safe_psql('postgres', <<'SQL');
SELECT cloudsync_set_push('Drive', auto_sync => true, every => '1 second');
DELETE FROM app.scan WHERE dossier_id = 2;
DELETE FROM app.dossier WHERE id = 2;
SQL
ok(wait_for($node, "SELECT count(*) > 0 FROM cloudsync.history WHERE dossier = '2' AND origin = 'auto' AND state = 'succeeded'"),
	'a push of a dossier that was deleted');
$node->safe_psql('postgres', "SELECT cloudsync_set_push('Drive', auto_sync => false)");
is(read_file("$root/CloudSync/Two/scan.txt"), 'scan of two', 'its untracked scan stays');

# tracked again: nothing is sent twice, and what was deleted is known for it
$node->safe_psql('postgres', "SELECT cloudsync_track('app.dossier', 'app.scan', label => 'title')");
is(push_now(1, 'the scans are tracked again'), '', 'nothing is to be done');
is(inode("$root/CloudSync/Uno/scan.txt"), $scan, 'the scan is where it was');
$node->safe_psql('postgres', 'DELETE FROM app.scan WHERE id = 1');
push_now(1, 'the scan is deleted');
ok(!-e "$root/CloudSync/Uno/scan.txt", 'and goes to the trash now');

$node->stop('fast');
done_testing();
