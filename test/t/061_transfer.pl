# What happens to a file on its way when the process dies in the middle of it,
# when a folder cannot be written, and what is left open afterwards (P7, P11,
# W7): no half-written file under its final name, one copy in the end.
use strict;
use warnings;

use CloudsyncTest;
use Digest::SHA qw(sha256_hex);
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('transfer');
my $root = local_root($node);
my $drive = "$root/drive/CloudSync";
create_extension($node);
application_schema($node);

sub sql { return scalar_sql($node, $_[0]) }

sub push_dossier
{
	my ($dossier) = @_;
	return sql("SELECT cloudsync_push_dossier('$dossier', 'Drive')");
}

sub parts { return grep { /\.part$/ } files_below("$root/drive", parts => 1) }

sql(q{SELECT cloudsync_track('app.dossier', 'app.dossier_file')});
sql(q{SELECT cloudsync_connect('local', 'Drive', options => '{"path": "drive"}')});
sql(q{SELECT cloudsync_set_push('Drive', auto_sync => false)});
sql(q{
INSERT INTO app.dossier (id, title) SELECT i, 'Dossier ' || i FROM generate_series(1, 3) i;
INSERT INTO app.dossier_file (id, dossier_id, name, content)
	SELECT 1, 1, 'large.bin', string_agg(sha256(i::text::bytea), '' ORDER BY i) FROM generate_series(1, 150000) i;
});
my $wanted = sql('SELECT encode(sha256(content), \'hex\') FROM app.dossier_file WHERE id = 1');

# --- killed in the middle -------------------------------------------------------
for my $point ('transfer.slice_written', 'transfer.renamed')
{
	crash_at($node, $point);
	my $run = push_dossier(1);
	my $tries = 1800;
	select undef, undef, undef, 0.1
	  while $tries-- > 0 && -e $node->data_dir . '/postmaster.pid';
	ok(!-e $node->data_dir . '/postmaster.pid', "$point: the process was killed");
	if ($point eq 'transfer.slice_written')
	{
		is_deeply([ files_below($drive) ], [], "$point: nothing under the final name");
		is(scalar(parts()), 1, "$point: a part under the temporary name");
	}
	else
	{
		is(sha256_hex(read_file("$drive/Dossier 1/large.bin")), $wanted, "$point: all of it, or nothing");
	}
	$node->{_pid} = undef;
	my $conf = $node->data_dir . '/postgresql.auto.conf';
	write_file($conf, '');
	$node->start;
	ok(wait_run($node, $run), "$point: the same run goes on after the restart");
	is_deeply([ files_below($drive) ], ['Dossier 1/large.bin'], "$point: one copy");
	is(sha256_hex(read_file("$drive/Dossier 1/large.bin")), $wanted, "$point: the right bytes");
	is_deeply([ parts() ], [], "$point: nothing temporary is left");

	# other content for the next point
	sql('UPDATE app.dossier_file SET content = content || \'\\x00\' WHERE id = 1');
	$wanted = sql('SELECT encode(sha256(content), \'hex\') FROM app.dossier_file WHERE id = 1');
}

# --- a folder that cannot be written -----------------------------------------------
sql("INSERT INTO app.dossier_file (id, dossier_id, name, content) VALUES (2, 2, 'a.txt', 'a')");
ok(wait_run($node, push_dossier(2)), 'a dossier is pushed');
chmod 0500, "$drive/Dossier 2" or die;
SKIP:
{
	skip 'the superuser of the system may write everywhere', 3 if $> == 0;
	sql("INSERT INTO app.dossier_file (id, dossier_id, name, content) VALUES (3, 2, 'b.txt', 'b')");
	my $run = push_dossier(2);
	wait_for($node, "SELECT finished_at IS NOT NULL FROM cloudsync.history WHERE run_id = $run");
	isnt(run_state($node, $run), 'succeeded', 'a folder that cannot be written fails the file');
	like(sql("SELECT last_error FROM cloudsync.files WHERE file_key = '3'"), qr/Permission denied/, '... which says so');
	ok(wait_run($node, push_dossier(3)), '... and holds up nothing else');
}
chmod 0750, "$drive/Dossier 2" or die;
ok(wait_run($node, push_dossier(2)), 'once it can be written, all goes well');
SKIP:
{
	skip 'the superuser of the system may write everywhere', 1 if $> == 0;
	is(read_file("$drive/Dossier 2/b.txt"), 'b', 'the file is there');
}

# --- errors of the database while bytes travel ------------------------------------------
sql(q{SELECT cloudsync_add_recipient('alice')});
sql(q{SELECT cloudsync_create_channel('Drive', 'Scans', '{/Scans}', 'alice', 'Mail', auto_collect => false)});
write_file("$root/drive/Scans/$_.txt", "scan $_") for 'good', 'bad';
my $pid = worker_pid($node, 'cloudsync worker', 'postgres');
sql(q{ALTER TABLE cloudsync.chunk ADD CONSTRAINT refuses CHECK (bytes <> 'scan bad')});
my $run = sql(q{SELECT cloudsync_collect('Scans')});
wait_for($node, "SELECT finished_at IS NOT NULL FROM cloudsync.history WHERE run_id = $run");
is(run_state($node, $run), 'partial', 'a document that the database refuses is a failure of that document');
is(sql("SELECT string_agg(name, ',') FROM cloudsync.document"), 'good.txt', '... and the other is there');
like(sql(q{SELECT reason FROM cloudsync.items WHERE name = 'bad.txt'}), qr/violates check constraint "refuses"/, '... with the error\'s own text');
is(worker_pid($node, 'cloudsync worker', 'postgres'), $pid, '... and the worker lives');
sql(q{ALTER TABLE cloudsync.chunk DROP CONSTRAINT refuses});
sql(q{UPDATE cloudsync.item SET next_try_at = now()});
ok(wait_run($node, sql(q{SELECT cloudsync_collect('Scans')})), 'later it is collected');
is(sql("SELECT string_agg(name, ',' ORDER BY name) FROM cloudsync.document"), 'bad.txt,good.txt', '... once');

# --- what stays open --------------------------------------------------------------------
sub descriptors
{
	my $pid = worker_pid($node, 'cloudsync worker', 'postgres');
	return "$pid " . scalar(() = glob "/proc/$pid/fd/*");
}
sub push_again
{
	my ($i) = @_;
	sql("UPDATE app.dossier_file SET content = 'text $i' WHERE id = 2");
	return wait_run($node, push_dossier(2));
}
my $good = 0;
$good += push_again($_) for 1 .. 5;
my $before = descriptors();
$good += push_again($_) for 6 .. 40;
is($good, 40, 'forty pushes');
is(descriptors(), $before, 'the worker has as many descriptors open as before');

done_testing();
