# Connected folders (F1 to F4), the same for every provider: one call in a test
# that has the provider connected. Makes a channel of its own and deletes it.
#
#	connected_folders($node, connection => 'Box', put => sub { my ($path, $text) = @_; ... });
package FolderTest;

use strict;
use warnings;

use Exporter 'import';
use CloudsyncTest;
use Test::More;

our @EXPORT = qw(connected_folders);

# put is given paths from the account's root; db is the database.
sub connected_folders
{
	my ($node, %o) = @_;
	my ($name, $db) = ($o{connection}, $o{db} // 'postgres');
	my $sql = sub { scalar_sql($node, "SET client_min_messages = error; $_[0]", $db) };
	my $channel = "folders of $name";
	my $rows = sub {
		return $sql->(qq{SELECT string_agg(concat_ws(' ', folder_name, state, items, collected, by_state, synced_by, auto_sync, last_synced_at IS NOT NULL), chr(10) ORDER BY folder_name)
			FROM cloudsync.folders WHERE channel = '$channel' AND connection = '$name' AND provider = (SELECT provider FROM cloudsync.connections WHERE connection = '$name')});
	};
	my $documents = sub { $sql->("SELECT count(*) FROM cloudsync.document d JOIN cloudsync.channel h USING (channel_id) WHERE h.name = '$channel'") };
	my $run = sub {
		my ($call, $what) = @_;
		ok(wait_run($node, $sql->("SELECT $call"), 'succeeded', $db), "$name: $what");
	};
	$o{put}->("/F one/a.txt", "a of $name");
	$o{put}->("/F one/left out.tmp", "tmp of $name");
	$o{put}->("/F two/b.txt", "b of $name");
	$sql->("SELECT cloudsync_add_recipient('folder reader')");
	$sql->("SELECT cloudsync_create_channel('$name', '$channel', '{/F one,/F two}', 'folder reader', 'B', auto_collect => false, exclude => '{*.tmp}')");
	is($rows->(), "/F one new 0 0 {} f f\n/F two new 0 0 {} f f", "$name: a row for each folder, before it was looked into (F1)");

	# auto sync off: refused, with what to type; collecting by hand still works
	my ($status, undef, $said) = $node->psql($db, "\\set VERBOSITY verbose\nSELECT cloudsync_refresh_items('$channel')");
	like($said, qr/55000: auto sync of channel "\Q$channel\E" is off.*HINT:  Switch it on first: SELECT cloudsync_set_auto_sync\('\Q$channel\E', true\);/s,
		"$name: no refresh with auto sync off (F3)");
	$run->("cloudsync_collect('$channel')", 'a collection by hand with auto sync off (F4)');
	is($rows->(), "/F one ok 2 1 {\"excluded\": 1, \"collected\": 1} postgres f t\n/F two ok 1 1 {\"collected\": 1} postgres f t",
		"$name: what is in each folder by state, and who asked (F1, F2)");

	# switched on, it collects at once (L2); then a refresh lists without collecting
	$sql->("SELECT cloudsync_set_auto_sync('$channel', true)");
	ok(wait_for($node, "SELECT count(*) = 1 FROM cloudsync.history WHERE channel = '$channel' AND origin = 'schedule' AND state = 'succeeded'", 't', $db),
		"$name: switched on, it collects by itself");
	is($sql->("SELECT DISTINCT synced_by || ' ' || auto_sync FROM cloudsync.folders WHERE channel = '$channel'"), 'auto true', "$name: by nobody in person");
	$o{put}->("/F two/c.txt", "c of $name");
	$run->("cloudsync_refresh_items('$channel')", 'refreshed');
	is($rows->(), "/F one ok 2 1 {\"excluded\": 1, \"collected\": 1} postgres t t\n/F two ok 2 1 {\"new\": 1, \"collected\": 1} postgres t t",
		"$name: a refresh shows what is new, and collects nothing (F3)");
	is($documents->(), 2, "$name: two documents");
	is($sql->("SELECT string_agg(concat_ws(' ', name, kind, size, state), ',' ORDER BY name) FROM cloudsync.items WHERE channel = '$channel' AND kind = 'file'"),
		join(',', map { $_->[0] . ' file ' . (length($name) + $_->[1]) . " $_->[2]" } ([ 'a.txt', 5, 'collected' ], [ 'b.txt', 5, 'collected' ], [ 'c.txt', 5, 'new' ], [ 'left out.tmp', 7, 'excluded' ])),
		"$name: the items (F2)");
	is($sql->("SELECT state || ' ' || (reason ~ 'it is collected at') FROM cloudsync_find('c.txt') WHERE channel = '$channel'"), 'new true', "$name: why c.txt is not in");

	# other folders, then none
	$sql->("SELECT cloudsync_set_auto_sync('$channel', false)");
	$sql->("SELECT cloudsync_alter_channel('$channel', folders => '{/F two}')");
	is($rows->(), '/F two new 2 1 {"new": 1, "collected": 1} postgres f t', "$name: what was known of the other folder stays known");
	$run->("cloudsync_collect('$channel')", 'with one folder less');
	is($rows->(), '/F two ok 2 2 {"collected": 2} postgres f t', "$name: the other folder alone");
	is($documents->(), 3, "$name: what is new in it was collected, and nothing twice");
	$sql->("SELECT cloudsync_delete_channel('$channel')");
	is($rows->(), '', "$name: a deleted channel has no folders");
	is($sql->("SELECT count(*) FROM cloudsync.history WHERE channel = '$channel'") . ' ' . $documents->(), '4 3', "$name: history and documents stay (F4)");
	is($sql->("SELECT state FROM cloudsync_find('c.txt') WHERE channel = '$channel'"), 'waiting', "$name: c.txt is in");
	return;
}

1;
