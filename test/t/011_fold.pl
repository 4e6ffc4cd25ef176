# The scheduler folds by itself: after a crash in the fold nothing is lost or
# counted twice; a table that is broken stands in nobody's way; existing
# dossiers are noted, newest first (P2).
use strict;
use warnings;

use CloudsyncTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('fold', conf => 'restart_after_crash = on');
create_extension($node);
application_schema($node);
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE app.other (id integer PRIMARY KEY, title text, company text);
CREATE TABLE app.other_file (id integer PRIMARY KEY, other_id integer REFERENCES app.other, name text, content bytea);
SELECT cloudsync_track('app.dossier', 'app.dossier_file');
SELECT cloudsync_track('app.other', 'app.other_file', tenant => 'company');
SELECT cloudsync_connect('local', 'Folder');
SELECT cloudsync_set_push('Folder', every => '4 seconds');
-- what is due stays due here
SELECT cloudsync_disable('Folder');
-- somebody else's push, so that the scheduler looks often
SET cloudsync.tenant = 'somebody else';
SELECT cloudsync_connect('local', 'Pace');
SELECT cloudsync_set_push('Pace', every => '1 second');
SQL
my $due = q{SELECT string_agg(dossier || '*' || changes || '@' || generation, ' ' ORDER BY dossier) FROM cloudsync.due};

# --- killed in the fold
# (noted while nothing is folded: any pass would be killed, also before it)
$node->append_conf('postgresql.auto.conf', 'cloudsync.enabled = off');
$node->reload;
$node->poll_query_until('postgres', 'SHOW cloudsync.enabled', 'off') or die;
$node->safe_psql('postgres', "INSERT INTO app.dossier (id, title) VALUES (1, 'one'), (2, 'two')");
$node->append_conf('postgresql.auto.conf', "cloudsync.crash_point = 'fold.before_commit'\ncloudsync.enabled = on");
$node->reload;
ok($node->wait_for_log(qr/terminated by signal 9.*Failed process was running: cloudsync: folding changes/s), 'the fold was killed');
crash_no_more($node);
ok(wait_for($node, $due, '1*1@1 2*1@1'), 'each change is folded once');
is(scalar_sql($node, 'SELECT count(*) FROM cloudsync.change'), '0', '... and off the log');

# --- a broken table
$node->safe_psql('postgres', <<'SQL');
INSERT INTO app.other VALUES (5, 'five', NULL);
INSERT INTO app.other_file VALUES (50, 5, 'a', 'x');
ALTER TABLE app.other RENAME company TO firm;
SQL
ok(wait_for($node, $due, '1*1@1 2*1@1 5*2@1'), 'a renamed column is followed');
ok(wait_for($node, "SELECT tenant_name FROM cloudsync.dossier_table WHERE dossiers = 'app.other'::regclass", 'firm'), '... and its new name known');
$node->safe_psql('postgres', <<'SQL');
ALTER TABLE app.other DROP COLUMN firm;
INSERT INTO app.other_file VALUES (51, 5, 'b', 'x');
INSERT INTO app.dossier_file (id, dossier_id, name) VALUES (10, 1, 'a');
SQL
ok(wait_for($node, $due, '1*2@2 2*1@1 5*2@1'), 'a broken table does not hold up the others');
ok(wait_for($node, "SELECT last_error FROM cloudsync.dossier_table WHERE dossiers = 'app.other'::regclass", 'tracked column "firm" is gone'), '... and says what is wrong');
is(scalar_sql($node, 'SELECT count(*) FROM cloudsync.change'), '1', '... its change waits');
# (no change tells of it: at the latest it is noticed in a minute)
$node->safe_psql('postgres', 'DROP TABLE app.other_file, app.other; SELECT cloudsync.wake(true)');
ok(wait_for($node, "SELECT last_error FROM cloudsync.dossier_table WHERE dossiers_id = 2", 'tracked table is gone'), 'a dropped table is said to be gone');
$node->safe_psql('postgres', "INSERT INTO app.dossier_file (id, dossier_id, name) VALUES (11, 2, 'b')");
ok(wait_for($node, $due, '1*2@2 2*2@2 5*2@1'), '... and the work goes on');
$node->safe_psql('postgres', 'SELECT cloudsync_untrack(dossiers) FROM cloudsync.dossier_table WHERE dossiers_id = 2');
is(scalar_sql($node, 'SELECT count(*) FROM cloudsync.change'), '0', 'untracked, it leaves nothing behind');

# --- what existed, newest first, in steps; behind live changes
$node->safe_psql('postgres', <<'SQL');
SELECT cloudsync_set_push('Folder', auto_sync => false);
SET cloudsync.capture = off;
INSERT INTO app.dossier (id, title) SELECT i, 'd' || i FROM generate_series(3, 3500) i;
DELETE FROM cloudsync.due;
SQL
$node->safe_psql('postgres', <<'SQL');
BEGIN;
SELECT cloudsync_set_push('Folder', auto_sync => true, every => '1 hour');
-- nothing is taken away meanwhile
ALTER TABLE cloudsync.due ADD CONSTRAINT hold CHECK (claimed IS NULL);
SELECT cloudsync_enable('Folder');
COMMIT;
SQL
ok(wait_for($node, 'SELECT count(*) >= 2000 FROM cloudsync.due WHERE backfill'), 'existing dossiers are noted');
is(scalar_sql($node, 'SELECT string_agg(dossier, \' \') FROM (SELECT dossier FROM cloudsync.due ORDER BY start_at LIMIT 3) x'), '3500 3499 3498', 'newest first');
# two live changes noted one after the other: a whole look at the walk lies between
foreach my $n (1, 2)
{
	$node->safe_psql('postgres', "INSERT INTO app.dossier_file (id, dossier_id, name) VALUES (20 + $n, $n, 'c'); SELECT cloudsync.wake(true)");
	ok(wait_for($node, "SELECT count(*) = 1 FROM cloudsync.due WHERE dossier = '$n'"), "live change $n");
}
is(scalar_sql($node, 'SELECT count(*) FROM cloudsync.due WHERE backfill AND dossier::int <= 1500'), '0', 'no more than can be worked on soon');
$node->safe_psql('postgres', 'DELETE FROM cloudsync.due');
ok(wait_for($node, 'SELECT count(*) = 0 FROM cloudsync.backfill'), 'the walk goes on to the end');
is(scalar_sql($node, 'SELECT count(*) FROM cloudsync.due WHERE dossier::int <= 1500'), '1500', 'to the oldest');

$node->stop;
done_testing();
