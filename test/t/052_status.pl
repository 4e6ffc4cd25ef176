# cloudsync_status() names what needs a person while it does, and nothing when
# all is well; states, errors and connections end to end (C2, C6, H3, P9, P11).
use strict;
use warnings;

use CloudsyncTest;
use Test::More;

my $node = new_cluster('status');
my $root = local_root($node);
create_extension($node);
application_schema($node);
$node->safe_psql('postgres', <<'SQL');
INSERT INTO app.dossier (title) SELECT 'Dossier ' || g FROM generate_series(1, 4) g;
INSERT INTO app.dossier_file (dossier_id, name, content)
	SELECT d.id, 'f' || g || '.txt', convert_to('file ' || g, 'UTF8') FROM app.dossier d, generate_series(1, 3) g;
SELECT cloudsync_connect('local', 'Drive');
SELECT cloudsync_track('app.dossier', 'app.dossier_file');
SELECT cloudsync_set_push('Drive', folder => '{title}', every => '1 second');
SELECT cloudsync_add_recipient('Ann');
SELECT cloudsync_create_channel('Drive', 'Post', ARRAY['/Inbox'], 'Ann', 'Mail', auto_collect => false);
SQL
write_file("$root/Inbox/one.txt", 'one');

sub status { return scalar_sql($node, 'SELECT severity, subject, problem FROM cloudsync_status()'); }

# Waits until the status matches, or is empty.
sub status_becomes
{
	my ($what, $pattern) = @_;
	my $condition = defined $pattern
	  ? "EXISTS (SELECT FROM cloudsync_status() s WHERE concat_ws('|', s.severity, s.subject, s.problem, s.action) ~ \$re\$$pattern\$re\$)"
	  : 'NOT EXISTS (SELECT FROM cloudsync_status())';
	my $ok = wait_for($node, "SELECT $condition");
	diag(status()) unless $ok;
	return ok($ok, $what);
}

# An action of the status must be a statement that can be typed.
sub action
{
	my ($pattern) = @_;
	my $action = scalar_sql($node, "SELECT action FROM cloudsync_status() WHERE problem ~ '$pattern'");
	my ($rc) = $node->psql('postgres', $action);
	return is($rc, 0, "can be typed: $action");
}

ok(wait_for($node, "SELECT count(*) FILTER (WHERE state = 'synced') = 4 FROM cloudsync.dossiers"), 'all is pushed');
ok(wait_run($node, scalar_sql($node, "SELECT cloudsync_collect('Post')")), 'collected');
status_becomes('nothing to say when all is well');
is(scalar_sql($node, 'SELECT cloudsync_lag()'), '00:00:00', 'no lag');

# One file of one dossier cannot be written: the others go, and it is retried.
chmod 0500, "$root/CloudSync/Dossier 1" or die;
$node->safe_psql('postgres', "UPDATE app.dossier_file SET content = content || '!' WHERE name = 'f1.txt'");
status_becomes('a file that fails is named', '^error\|connection Drive\|a file cannot be sent, .*f1\.txt.* of dossier .1.: .*[Pp]ermission denied');
action('cannot be sent');
is(scalar_sql($node, "SELECT state FROM cloudsync.dossiers WHERE dossier = '1'"), 'partial', 'its dossier is partial');
ok(wait_for($node, "SELECT count(*) = 3 FROM cloudsync.dossiers WHERE state = 'synced'"), 'the others went');
is(scalar_sql($node, "SELECT dossier, file_key, attempts > 0, next_try_at IS NOT NULL, last_error IS NOT NULL
	FROM cloudsync.files WHERE state = 'failed'"), '1|1|t|t|t', 'the file with its error');
my ($rc, $out, $err) = $node->psql('postgres', "SELECT cloudsync_push_dossier('1') AS run \\gset\nCALL cloudsync_wait(:run)");
like($err, qr/ERROR:.*[Pp]ermission denied/, 'cloudsync_wait has the run\'s own text');
chmod 0700, "$root/CloudSync/Dossier 1" or die;
($rc, $out, $err) = $node->psql('postgres',
	"SELECT cloudsync_retry(max(run_id)) AS run FROM cloudsync.history WHERE state IN ('partial', 'failed') \\gset\nCALL cloudsync_wait(:run)");
is($rc, 0, "repeated, it succeeds: $err");
status_becomes('and the status is empty again');
is(read_file("$root/CloudSync/Dossier 1/f1.txt"), 'file 1!', 'the file is there');

# The store itself is away: connection-wide, and it comes back by itself.
rename $root, "$root.away" or die;
$node->safe_psql('postgres', "UPDATE app.dossier_file SET content = content || '!' WHERE name = 'f2.txt'");
status_becomes('a connection that fails is named', '^warning\|connection Drive\|it fails, .*');
ok(wait_for($node, "SELECT count(*) > 0 FROM cloudsync.dossiers WHERE state = 'blocked'"), 'its dossiers are blocked');
rename "$root.away", $root or die;
# not when it is tried again after so many failures, but now
$node->safe_psql('postgres', 'UPDATE cloudsync.connection SET retry_at = now(); SELECT cloudsync.wake(true)');
status_becomes('it goes on by itself');
ok(wait_for($node, "SELECT count(*) FILTER (WHERE state = 'synced') = 4 FROM cloudsync.dossiers"), 'nothing was lost');
is(read_file("$root/CloudSync/Dossier 4/f2.txt"), 'file 2!', 'the change is there');

# More goes to the trash than may without asking.
$node->append_conf('postgresql.conf', 'cloudsync.max_trash = 1');
$node->reload;
$node->safe_psql('postgres', "SELECT cloudsync_set_push('Drive', on_delete => 'trash'); DELETE FROM app.dossier_file WHERE name = 'f3.txt'");
status_becomes('what waits for the trash is said', '^warning\|connection Drive\|3 files wait to be moved to the trash.*\|SELECT cloudsync_confirm_trash\(.Drive.\);');
is(scalar_sql($node, "SELECT cloudsync_confirm_trash('Drive')"), 3, 'confirmed');
status_becomes('and then it goes');
ok(wait_for($node, "SELECT count(*) = 4 FROM cloudsync.files WHERE state = 'trashed'"), 'all four are in the trash');

# Collected files that were changed in place, and an application's function that fails.
write_file("$root/Inbox/one.txt", 'one, changed');
ok(wait_run($node, scalar_sql($node, "SELECT cloudsync_collect('Post')")), 'collected again');
status_becomes('a changed file is counted', '^info\|channel Post\|1 file was changed in the folder after being collected');
action('was changed');
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION app.refuse(bigint) RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'not today'; END$$;
SELECT cloudsync_on_document('app.refuse');
SQL
write_file("$root/Inbox/two.txt", 'two');
wait_run($node, scalar_sql($node, "SELECT cloudsync_collect('Post')"), 'partial');
status_becomes('a document that could not be collected is named', '^error\|channel Post\|a file could not be collected, ./Inbox/two\.txt.: .*not today');
action('could not be collected');
$node->safe_psql('postgres', "CREATE OR REPLACE FUNCTION app.refuse(bigint) RETURNS void LANGUAGE sql AS 'SELECT'");
ok(wait_run($node, scalar_sql($node, "SELECT cloudsync_collect('Post')")), 'collected after all');
# Collecting pauses while the disk is nearly full.
$node->append_conf('postgresql.conf', 'cloudsync.min_free_disk = 99');
$node->reload;
write_file("$root/Inbox/three.txt", 'three');
wait_run($node, scalar_sql($node, "SELECT cloudsync_collect('Post')"), 'partial');
status_becomes('a pause is said', '^error\|channel Post\|.*collecting pauses.*min_free_disk.*\|SELECT cloudsync_retry\([0-9]+\);');
$node->append_conf('postgresql.conf', 'cloudsync.min_free_disk = 0');
$node->reload;
action('collecting pauses');
ok(wait_for($node, "SELECT count(*) = 3 FROM cloudsync.inbox"), 'and then collected');
unlink "$root/Inbox/one.txt";
wait_run($node, scalar_sql($node, "SELECT cloudsync_collect('Post')"));
status_becomes('and then nothing is to say');

# Held and let go on.
$node->safe_psql('postgres', "SELECT cloudsync_disable('Drive'); UPDATE app.dossier SET title = 'Renamed' WHERE id = 2");
ok(wait_for($node, "SELECT state = 'blocked' FROM cloudsync.dossiers WHERE dossier = '2'"), 'disabled: the change waits');
ok(-d "$root/CloudSync/Dossier 2", 'nothing moves');
$node->safe_psql('postgres', "SELECT cloudsync_enable('Drive')");
ok(wait_for($node, "SELECT state = 'synced' FROM cloudsync.dossiers WHERE dossier = '2'"), 'enabled: it goes');
ok(-d "$root/CloudSync/Renamed", 'it moved');

# Ended and connected again under another name: taken up, nothing is sent twice.
my $last = scalar_sql($node, "SELECT cloudsync_disconnect('Drive'); SELECT max(run_id) FROM cloudsync.history");
$last =~ s/^\n//;
is(scalar_sql($node, 'SELECT count(*) FROM cloudsync.inbox'), 3, 'documents stay');
is(scalar_sql($node, 'SELECT count(*) FROM cloudsync.dossiers'), 0, 'nothing is pushed');
$node->safe_psql('postgres', <<'SQL');
SELECT cloudsync_connect('local', 'Again');
SELECT cloudsync_set_push('Again', folder => '{title}', every => '1 second');
SELECT cloudsync_create_channel('Again', 'Post', ARRAY['/Inbox'], 'Ann', 'Mail');
SQL
ok(wait_for($node, "SELECT count(*) FILTER (WHERE state = 'synced') = 4 FROM cloudsync.dossiers WHERE connection = 'Again'"),
	'connected again: all is synced');
ok(wait_run($node, scalar_sql($node, "SELECT cloudsync_collect('Post')")), 'and collected');
is(scalar_sql($node, "SELECT coalesce(sum(bytes_sent), 0) + coalesce(sum(bytes_received), 0) FROM cloudsync.history WHERE run_id > $last"),
	0, 'no byte travelled again');
is(scalar_sql($node, 'SELECT count(*) FROM cloudsync.inbox'), 3, 'no document came twice');
status_becomes('all is well');

# Suspended, it says so; nothing else is told besides.
is(scalar_sql($node, 'SELECT cloudsync_suspend(); SELECT severity, subject, action FROM cloudsync_status()'),
	"\nerror|database postgres|SELECT cloudsync_resume();", 'suspended');
$node->safe_psql('postgres', 'SELECT cloudsync_resume()');
status_becomes('resumed');

$node->stop('fast');
done_testing();
