# A file that became visible at the very moment of a crash, and is renamed or
# deleted in the database before the next attempt: still one copy (P7, P9).
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use CloudsyncTest;

my $node = new_cluster('crash_names', conf => "restart_after_crash = off\n");
my $root = local_root($node);
create_extension($node);
application_schema($node);

sub sql { return scalar_sql($node, $_[0]) }

sql(q{SELECT cloudsync_track('app.dossier', 'app.dossier_file')});
sql(q{SELECT * FROM cloudsync_connect('local', 'Archive')});
sql(q{SELECT cloudsync_set_push('Archive', every => '1 second')});

# Cuts the push of a new dossier off as soon as its file is visible; then the
# statement is run before anything is pushed again.
sub cut_off
{
	my ($dossier, $content, $statement, %push) = @_;
	sql("SELECT cloudsync_set_push('Archive', on_delete => '$push{on_delete}')") if $push{on_delete};
	$node->append_conf('postgresql.conf', "cloudsync.crash_point = 'push.after_rename'\n");
	$node->reload;
	crash_point_in_force($node, 'push.after_rename');
	my $offset = log_offset($node);
	sql("INSERT INTO app.dossier (id, title) VALUES ($dossier, 'D$dossier');
		INSERT INTO app.dossier_file (id, dossier_id, name, content) VALUES ($dossier, $dossier, 'first', $content)");
	ok($node->wait_for_log(qr/cloudsync worker.*was terminated by signal 9/, $offset), "$dossier: the worker is killed");
	$node->stop('immediate', fail_ok => 1);
	is_deeply([ grep { m{/D$dossier/} } files_below($root) ], ["CloudSync/D$dossier/first"], "$dossier: and the file is there");
	$node->append_conf('postgresql.conf', "cloudsync.crash_point = ''\ncloudsync.enabled = off\n");
	$node->start;
	is(sql('SELECT count(*) FROM cloudsync.pushed_file WHERE path IS NULL'), 1, "$dossier: but not recorded");
	sql($statement);
	$node->append_conf('postgresql.conf', "cloudsync.enabled = on\n");
	$node->reload;
	ok(wait_for($node, q{SELECT count(*) = 0 FROM (SELECT FROM cloudsync.due UNION ALL SELECT FROM cloudsync.change
		UNION ALL SELECT FROM cloudsync.run WHERE state IN ('queued', 'running')) x}), "$dossier: the work is finished");
	return [ sort grep { m{D$dossier/} } files_below($root) ];
}

for my $size (3, 2_000_000)
{
	my $id = $size > 3 ? 2 : 1;
	is_deeply(cut_off($id, "convert_to(repeat('x', $size), 'UTF8')", "UPDATE app.dossier_file SET name = 'second' WHERE id = $id"),
		["CloudSync/D$id/second"], "$size bytes: under its new name alone");
	is(sql("SELECT state || ' ' || path FROM cloudsync.files WHERE file_key = '$id'"), "synced|/CloudSync/D$id/second" =~ s/\|/ /r,
		"$size bytes: and recorded there");
}

is_deeply(cut_off(3, q{'three'}, q{UPDATE app.dossier_file SET name = 'second', content = 'changed too' WHERE id = 3}),
	['CloudSync/D3/second'], 'renamed and changed: one file');
is(read_file("$root/CloudSync/D3/second"), 'changed too', 'with its new content');

is_deeply(cut_off(4, q{'four'}, q{DELETE FROM app.dossier_file WHERE id = 4}, on_delete => 'trash'),
	['.trash/CloudSync/D4/first'], 'deleted: in the trash')
  or diag(join "\n", files_below($root));

$node->stop;
done_testing();
