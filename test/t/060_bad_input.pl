# Tables that change under a push: a column that a template, a label or the
# tracking needs is renamed or dropped, a table is dropped. Each is an error of
# the runs it concerns, with what to do; the worker and other tables go on.
use strict;
use warnings;

use CloudsyncTest;
use Test::More;

my $node = new_cluster('bad_input');
create_extension($node);
application_schema($node);
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE app.matter (id bigint PRIMARY KEY, name text, kind text);
CREATE TABLE app.matter_file (id bigint PRIMARY KEY, matter_id bigint REFERENCES app.matter, name text, content bytea);
INSERT INTO app.dossier (id, title, reference) VALUES (1, 'One', 'R1');
INSERT INTO app.dossier_file (id, dossier_id, name, content) VALUES (1, 1, 'a.txt', 'a');
INSERT INTO app.matter VALUES (100, 'Other', 'k');
INSERT INTO app.matter_file VALUES (1, 100, 'm.txt', 'm');
ALTER TABLE app.dossier ADD COLUMN kind text;
SELECT cloudsync_connect('local', 'Drive', options => '{"path": "drive"}');
SELECT cloudsync_track('app.dossier', 'app.dossier_file', label => 'title');
SELECT cloudsync_track('app.matter', 'app.matter_file');
SELECT cloudsync_set_push('Drive', auto_sync => false, folder => '{kind|none}/{dossier_label}');
SQL
my $root = local_root($node) . '/drive/CloudSync';

# Pushes a dossier by hand; its run's state and error.
sub push_now
{
	my ($dossier) = @_;
	my $run = scalar_sql($node, "SELECT cloudsync_push_dossier('$dossier', 'Drive')");
	wait_for($node, "SELECT finished_at IS NOT NULL FROM cloudsync.history WHERE run_id = $run");
	return scalar_sql($node, "SELECT concat_ws(': ', state, error) FROM cloudsync.history WHERE run_id = $run");
}

is(push_now(1), 'succeeded', 'a dossier of one table');
is(push_now(100), 'succeeded', 'a dossier of the other');
is_deeply([ files_below($root) ], [ 'k/Other/m.txt', 'none/One/a.txt' ], 'both are there');
my $worker = worker_pid($node, 'cloudsync worker');

# tracked columns are followed by number
$node->safe_psql('postgres', <<'SQL');
ALTER TABLE app.dossier RENAME COLUMN title TO "The Title";
ALTER TABLE app.dossier RENAME COLUMN id TO key;
ALTER TABLE app.dossier_file RENAME COLUMN content TO "Bytes";
ALTER TABLE app.dossier_file RENAME TO "Files";
UPDATE app."Files" SET name = 'b.txt';
SQL
is(push_now(1), 'succeeded', 'renamed columns and tables are followed');
is_deeply([ files_below($root) ], [ 'k/Other/m.txt', 'none/One/b.txt' ], 'the file was moved');

# a template's column is known by its name
$node->safe_psql('postgres', 'ALTER TABLE app.dossier RENAME COLUMN kind TO sort');
like(push_now(1), qr/^failed: tag "\{kind\|none\}" of the folder template is unknown/,
	'a tag whose column was renamed fails the push');
is(push_now(100), 'succeeded', 'dossiers of the other table go on');
like(scalar_sql($node, "SELECT string_agg(last_error, '') FROM cloudsync.dossiers WHERE dossier = '1'"),
	qr/tag "\{kind\|none\}"/, 'the dossier says why');
$node->safe_psql('postgres', "SELECT cloudsync_set_push('Drive', folder => '{dossier_label}')");
is(push_now(1), 'succeeded', 'a template that all tables know mends it');
ok(-f "$root/One/b.txt", 'and moves the dossier');

# what the tracking needs is dropped
$node->safe_psql('postgres', 'ALTER TABLE app.dossier DROP COLUMN "The Title"');
like(push_now(1), qr/^failed: .*(dropped|does not exist any more)/, 'a dropped label fails the push');
$node->safe_psql('postgres', "SELECT cloudsync_set_push('Drive', folder => '{dossier_key}')");
$node->safe_psql('postgres', 'ALTER TABLE app."Files" DROP COLUMN "Bytes"');
like(push_now(1), qr/^failed: column "Bytes" of tracked table .* does not exist any more/,
	'a dropped content fails the push');
ok(-f "$root/One/b.txt", 'what was pushed stays');
$node->safe_psql('postgres', 'DROP TABLE app."Files", app.dossier');
is(push_now(100), 'succeeded', 'a dropped table leaves the other alone');
ok( wait_for($node, q{SELECT count(*) > 0 FROM cloudsync_status() WHERE problem ~ 'dossier' OR subject ~ 'dossier'}),
	'and the status says so');
is(worker_pid($node, 'cloudsync worker'), $worker, 'it is the same worker all along') if $worker;

$node->stop('fast');
done_testing();
