# What others do at the remote, and what is deleted: P2 (tenants), P8, P9, P16.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use CloudsyncTest;

my $node = new_cluster('remote', conf => "cloudsync.max_trash = 3\n");
my $root = local_root($node);
create_extension($node);
application_schema($node);

sub sql { return scalar_sql($node, $_[0]) }

sub push_now
{
	my ($dossier, $connection, $state) = @_;
	my $run = sql("SELECT cloudsync_push_dossier('$dossier', '$connection')");
	ok(wait_run($node, $run, $state), "dossier $dossier is pushed to $connection");
	return $run;
}

sub count_below { my @files = files_below($_[0]); return scalar @files }

sub touched
{
	my ($run) = @_;
	return sql("SELECT string_agg(action || ' ' || path, ',' ORDER BY path, action) FROM cloudsync.run_file WHERE run_id = $run");
}

sql(q{SELECT cloudsync_track('app.dossier', 'app.dossier_file')});
my %policy = (Both => 'keep_both', Over => 'overwrite', Skip => 'skip');
for my $name (sort keys %policy)
{
	sql(qq{SELECT * FROM cloudsync_connect('local', '$name', options => '{"path": "\L$name\E"}')});
	sql(qq{SELECT cloudsync_set_push('$name', auto_sync => false, on_conflict => '$policy{$name}', time_zone => 'UTC')});
}
sql(q{
INSERT INTO app.dossier (id, title) SELECT n, 'D' || n FROM generate_series(1, 9) n;
INSERT INTO app.dossier_file (id, dossier_id, name, content) SELECT 10 * d + f, d, 'f' || f || '.txt', convert_to('content ' || d || '.' || f, 'UTF8')
	FROM generate_series(1, 9) d, generate_series(1, 5) f;
});
push_now(1, $_) for sort keys %policy;

# --- conflicts (P8) --------------------------------------------------------------
write_file("$root/$_/CloudSync/D1/f1.txt", 'by the customer') for qw(both over skip);
sql(q{UPDATE app.dossier_file SET content = 'ours, anew' WHERE id = 11});
my $run = push_now(1, 'Both');
is(read_file("$root/both/CloudSync/D1/f1.txt"), 'by the customer', 'keep_both: theirs stays');
my ($marked) = grep { /^f1 \(CloudSync \d{4}-\d\d-\d\d \d\dh\d\d\)\.txt$/ } files_below("$root/both/CloudSync/D1");
ok($marked, 'ours is beside it under a marked name') or diag(join ',', files_below("$root/both/CloudSync/D1"));
is(read_file("$root/both/CloudSync/D1/$marked"), 'ours, anew', 'with our content');
is(touched($run), "conflict /CloudSync/D1/$marked", 'history says so');

$run = push_now(1, 'Over');
is(read_file("$root/over/CloudSync/D1/f1.txt"), 'ours, anew', 'overwrite: ours replaces it');
is(count_below("$root/over/CloudSync/D1"), 5, 'and stands alone');

$run = push_now(1, 'Skip');
is(read_file("$root/skip/CloudSync/D1/f1.txt"), 'by the customer', 'skip: theirs stays');
is(count_below("$root/skip/CloudSync/D1"), 5, 'and ours is not sent');
is(sql("SELECT action, error LIKE '%somebody else%' FROM cloudsync.run_file WHERE run_id = $run"), 'skip|t', 'history says why');
is(sql(q{SELECT state FROM cloudsync.files WHERE connection = 'Skip' AND file_key = '11'}), 'skipped', 'and so does the list of files');

sql(q{UPDATE app.dossier_file SET content = 'ours, once more' WHERE id = 11});
push_now(1, 'Both');
is(read_file("$root/both/CloudSync/D1/$marked"), 'ours, once more', 'from then on ours is updated under its marked name');
is(count_below("$root/both/CloudSync/D1"), 6, 'and no further one is made');

# a stranger's file where ours is to go at first
write_file("$root/both/CloudSync/D2/f1.txt", 'theirs from the start');
push_now(2, 'Both');
is(read_file("$root/both/CloudSync/D2/f1.txt"), 'theirs from the start', 'a file that was there first stays');
is(count_below("$root/both/CloudSync/D2"), 6, 'with ours beside it');
# the same bytes are adopted
write_file("$root/both/CloudSync/D3/f1.txt", 'content 3.1');
my $inode = inode("$root/both/CloudSync/D3/f1.txt");
$run = push_now(3, 'Both');
like(touched($run), qr{adopt /CloudSync/D3/f1.txt}, 'the same bytes are adopted');
is(inode("$root/both/CloudSync/D3/f1.txt"), $inode, 'and not sent');

# --- what the customer moves and deletes (P16) --------------------------------------
push_now(4, 'Over');
$inode = inode("$root/over/CloudSync/D4/f2.txt");
rename "$root/over/CloudSync/D4", "$root/over/CloudSync/My own name" or die $!;
sql(q{UPDATE app.dossier_file SET content = 'four anew' WHERE id = 41});
push_now(4, 'Over');
ok(!-e "$root/over/CloudSync/D4", 'a renamed folder gets no second copy');
is(read_file("$root/over/CloudSync/My own name/f1.txt"), 'four anew', 'it is found under its new name');
is(inode("$root/over/CloudSync/My own name/f2.txt"), $inode, 'with its files');
mkdir "$root/over/Elsewhere";
rename "$root/over/CloudSync/My own name/f3.txt", "$root/over/Elsewhere/theirs.txt" or die $!;
sql(q{UPDATE app.dossier_file SET content = 'three anew' WHERE id = 43});
push_now(4, 'Over');
is(read_file("$root/over/Elsewhere/theirs.txt"), 'three anew', 'a file that was moved is updated where it is');
sql(q{UPDATE app.dossier SET title = 'Renamed' WHERE id = 4});
push_now(4, 'Over');
is(inode("$root/over/CloudSync/Renamed/f2.txt"), $inode, 'the name they gave stays until the database\'s own changes');

rename "$root/over/CloudSync", "$root/over/Dossiers of the firm" or die $!;
sql(q{UPDATE app.dossier_file SET content = 'four once more' WHERE id = 41});
push_now(4, 'Over');
push_now(5, 'Over');
ok(!-e "$root/over/CloudSync", 'a renamed root gets no second copy');
is(read_file("$root/over/Dossiers of the firm/Renamed/f1.txt"), 'four once more', 'what was pushed is found below it');
is(count_below("$root/over/Dossiers of the firm/D5"), 5, 'and new dossiers go there');

unlink "$root/over/Dossiers of the firm/D5/f1.txt" or die $!;
sql(q{UPDATE app.dossier_file SET content = 'five anew' WHERE id = 52});
sql(q{SELECT cloudsync_set_push('Over', auto_sync => true, every => '1 second')});
ok(wait_for($node, q{SELECT state = 'removed_there' FROM cloudsync.files WHERE connection = 'Over' AND file_key = '51'}),
	'what they deleted shows as removed_there');
ok(wait_for($node, q{SELECT NOT EXISTS (SELECT FROM cloudsync.due) AND NOT EXISTS (SELECT FROM cloudsync.backfill)}), 'all is pushed');
ok(!-e "$root/over/Dossiers of the firm/D5/f1.txt", 'and stays deleted');
sql(q{UPDATE app.dossier_file SET content = 'one anew' WHERE id = 51});
ok(wait_for($node, q{SELECT state = 'synced' FROM cloudsync.files WHERE connection = 'Over' AND file_key = '51'}),
	'until its content changes');
is(read_file("$root/over/Dossiers of the firm/D5/f1.txt"), 'one anew', 'it is back');
sql(q{SELECT cloudsync_set_push('Over', auto_sync => false)});
unlink "$root/over/Dossiers of the firm/D5/f2.txt" or die $!;
push_now(5, 'Over');
push_now(5, 'Over');
is(read_file("$root/over/Dossiers of the firm/D5/f2.txt"), 'five anew', 'or somebody pushes it by hand');

# --- deletions (P9) -------------------------------------------------------------------
sql(q{SELECT cloudsync_set_push('Over', on_delete => 'trash')});
write_file("$root/over/Dossiers of the firm/D5/f3.txt", 'changed by the customer');
sql(q{DELETE FROM app.dossier_file WHERE id IN (51, 53)});
$run = push_now(5, 'Over');
is(touched($run), 'trash /.trash/Dossiers of the firm/D5/f1.txt,conflict /Dossiers of the firm/D5/f3.txt', 'ours goes to the trash, theirs stays')
  or diag(touched($run));
is(read_file("$root/over/.trash/Dossiers of the firm/D5/f1.txt"), 'one anew', 'it is in the trash');
ok(-e "$root/over/Dossiers of the firm/D5/f3.txt", 'what the customer changed is left');

push_now($_, 'Over') for (6, 7);
sql(q{DELETE FROM app.dossier WHERE id IN (6, 7)});
sql(q{SELECT cloudsync_set_push('Over', auto_sync => true, every => '1 second')});
ok(wait_for($node, q{SELECT count(*) = 9 FROM cloudsync.files WHERE connection = 'Over' AND state = 'to_trash'}),
	'more than max_trash in an hour wait');
is(scalar(grep { m{^D[67]/} } files_below("$root/over/Dossiers of the firm")), 9, 'and stay');
is(sql(q{SELECT cloudsync_confirm_trash('Over')}), '9', 'somebody confirms them');
ok(wait_for($node, q{SELECT count(*) = 0 FROM cloudsync.files WHERE connection = 'Over' AND state = 'to_trash'}), 'then they go');
ok(wait_for($node, q{SELECT count(*) = 0 FROM cloudsync.due}), 'all is done');
is(scalar(grep { m{^D[67]/} } files_below("$root/over/Dossiers of the firm")), 0, 'nothing is left of them');
ok(!-e "$root/over/Dossiers of the firm/D6", 'nor of their folders');

# --- tenants (P2) -----------------------------------------------------------------------
sql(q{
CREATE TABLE app.cases (id text PRIMARY KEY, title text, company text);
CREATE TABLE app.papers (id bigint PRIMARY KEY, case_id text REFERENCES app.cases, name text, content bytea);
SELECT cloudsync_track('app.cases', 'app.papers', tenant => 'company');
CREATE ROLE web LOGIN IN ROLE cloudsync_admin, cloudsync_app;
});
for my $tenant (qw(red blue))
{
	$node->safe_psql('postgres', qq{SET ROLE web; SET cloudsync.tenant = '$tenant';
		SELECT * FROM cloudsync_connect('local', 'Own');
		SELECT cloudsync_set_push('Own', every => '1 second')});
}
sql(q{INSERT INTO app.cases VALUES ('r1', 'Red case', 'red'), ('b1', 'Blue case', 'blue'), ('n1', 'Nobody', NULL), ('m1', 'Moving', 'red');
INSERT INTO app.papers SELECT row_number() OVER (), id, id || '.txt', convert_to(id, 'UTF8') FROM app.cases});
ok(wait_for($node, q{SELECT count(*) = 3 FROM cloudsync.pushed_dossier d JOIN cloudsync.destination t USING (destination_id)
	JOIN cloudsync.account a USING (account_id) WHERE a.tenant <> '' AND d.state = 'synced'}), 'each tenant\'s cases are pushed');
is_deeply([ files_below("$root/red") ], [ 'CloudSync/Moving/m1.txt', 'CloudSync/Red case/r1.txt' ], 'red gets its own');
is_deeply([ files_below("$root/blue") ], ['CloudSync/Blue case/b1.txt'], 'blue gets its own');
$node->safe_psql('postgres', q{SET ROLE web; SET cloudsync.tenant = 'red'; SELECT cloudsync_set_push('Own', on_delete => 'trash')});
sql(q{UPDATE app.cases SET company = 'blue' WHERE id = 'm1'});
ok(wait_for($node, q{SELECT count(*) = 1 FROM cloudsync.pushed_file WHERE state = 'trashed' AND dossier = 'm1'}), 'a changed tenant is a deletion for the old one');
ok(wait_for($node, q{SELECT count(*) = 0 FROM cloudsync.due}), 'all is done');
is_deeply([ files_below("$root/red") ], [ '.trash/CloudSync/Moving/m1.txt', 'CloudSync/Red case/r1.txt' ], 'and it is gone there');
is_deeply([ files_below("$root/blue") ], [ 'CloudSync/Blue case/b1.txt', 'CloudSync/Moving/m1.txt' ], 'and an insert for the new one');
my ($ret, $out, $err) = $node->psql('postgres', q{SET ROLE web; SET cloudsync.tenant = 'red'; SELECT cloudsync_push_dossier('b1')});
like($err, qr/dossier "b1" does not exist/, 'another tenant\'s case is not there');

$node->stop;
done_testing();
