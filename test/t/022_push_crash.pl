# A worker that is killed at any point of a push loses nothing, does nothing
# twice, and leaves nothing half-written under a final name (P7).
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use CloudsyncTest;

my $node = new_cluster('crash', conf => "restart_after_crash = on\n");
my $root = local_root($node);
create_extension($node);
application_schema($node);

sub sql { return scalar_sql($node, $_[0]) }

sql(q{SELECT cloudsync_track('app.dossier', 'app.dossier_file')});
sql(q{SELECT * FROM cloudsync_connect('local', 'Archive')});
sql(q{SELECT cloudsync_set_push('Archive', every => '1 second', manifest => true)});

# What is in the database and what is at the remote are the same, name by name
# and byte by byte.
sub is_same
{
	my ($what) = @_;
	my @expected = split /\n/, sql(q{SELECT 'CloudSync/' || title || '/' || name || ' ' || md5(content)
		FROM app.dossier d JOIN app.dossier_file f ON f.dossier_id = d.id});
	@expected = sort @expected;
	require Digest::MD5;
	my @found = map { $_ . ' ' . Digest::MD5::md5_hex(read_file("$root/$_")) }
	  grep { !m{/manifest\.json$} } files_below($root);
	is_deeply(\@found, \@expected, "$what: each file is there once, whole")
	  or diag(join "\n", @found);
	is_deeply([ grep { m{\.part$} } files_below($root, parts => 1) ], [], "$what: nothing half-written is left");
	return;
}

my $n = 0;
for my $point (qw(push.after_claim push.after_read push.after_write push.after_checkpoint push.after_rename
	push.before_settle_commit push.after_settle))
{
	$n++;
	my $offset = log_offset($node);
	crash_at($node, $point);
	# new, changed, renamed and moved, all at once
	crash_statement($node, qq{
BEGIN;
INSERT INTO app.dossier (id, title) VALUES ($n, 'D$n');
INSERT INTO app.dossier_file (dossier_id, name, content) SELECT $n, 'f' || f, convert_to(repeat('$point ' || f, 100000), 'UTF8') FROM generate_series(1, 3) f;
UPDATE app.dossier_file SET content = convert_to('changed at $point', 'UTF8') WHERE dossier_id = $n - 1 AND name LIKE '%f1';
UPDATE app.dossier_file SET name = 'r$n' || name WHERE dossier_id = $n - 1 AND name LIKE '%f2';
UPDATE app.dossier SET title = title || 'x' WHERE id = $n - 1;
COMMIT;
});
	ok($node->wait_for_log(qr/cloudsync worker.*was terminated by signal 9/, $offset), "$point: the worker is killed");
	crash_no_more($node);
	ok(wait_for($node, q{SELECT count(*) = 0 FROM (SELECT FROM cloudsync.due UNION ALL SELECT FROM cloudsync.change
		UNION ALL SELECT FROM cloudsync.run WHERE state IN ('queued', 'running')) x}), "$point: the work is finished");
	is_same($point);
	is(sql(q{SELECT count(*) FROM cloudsync.history WHERE state NOT IN ('succeeded')}), 0, "$point: every run has succeeded");
	is(sql(q{SELECT count(*) FROM cloudsync.files WHERE state <> 'synced'}), 0, "$point: every file is recorded");
	my $pushed = sql(qq{SELECT cloudsync_push_dossier(id::text) FROM app.dossier WHERE id = $n});
	ok(wait_run($node, $pushed), "$point: another push");
	is(sql("SELECT count(*) FROM cloudsync.run_file WHERE run_id = $pushed"), 0, "$point: finds nothing to do");
}
is(sql(q{SELECT count(*) FROM cloudsync.run_file WHERE action = 'conflict'}), 0, 'ours is never taken for somebody else\'s');

# what changes while an upload is cut off: a name, a folder, a file that goes
sql(q{SELECT cloudsync_set_push('Archive', folder => '{dossier_label}/{file.name}', manifest => false)});
crash_at($node, 'push.after_write');
my $offset = log_offset($node);
crash_statement($node, q{BEGIN; INSERT INTO app.dossier (id, title) VALUES (20, 'Cut'), (21, 'Gone');
	INSERT INTO app.dossier_file (id, dossier_id, name, content) VALUES (2001, 20, 'old name', convert_to(repeat('cut off', 200000), 'UTF8')),
		(2002, 21, 'deleted', convert_to(repeat('cut off too', 200000), 'UTF8')); COMMIT});
ok($node->wait_for_log(qr/cloudsync worker.*was terminated by signal 9/, $offset), 'the worker is killed once more');
crash_no_more($node, "cloudsync.enabled = off\n");
ok(scalar(grep { m{\.part$} } files_below($root, parts => 1)), 'something half-written is there, under no final name');
sql(q{UPDATE app.dossier_file SET name = 'new name' WHERE id = 2001; UPDATE app.dossier SET title = 'Cut off' WHERE id = 20;
	DELETE FROM app.dossier_file WHERE id = 2002});
$node->append_conf('postgresql.conf', "cloudsync.enabled = on\n");
$node->reload;
ok(wait_for($node, q{SELECT count(*) = 0 FROM (SELECT FROM cloudsync.due UNION ALL SELECT FROM cloudsync.change
	UNION ALL SELECT FROM cloudsync.run WHERE state IN ('queued', 'running')) x}), 'the work is finished');
ok(read_file("$root/CloudSync/Cut off/new name/new name") eq 'cut off' x 200000, 'under the new names');
is_deeply([ grep { m{\.part$|deleted} } files_below($root, parts => 1) ], [], 'nothing half-written is left');

$node->stop;
done_testing();
