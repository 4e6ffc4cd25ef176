# Pushing dossiers on a local folder, by hand and by themselves: P2 to P5, P9,
# P10, P13, P15.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

use CloudsyncTest;

my $node = new_cluster('push');
my $root = local_root($node);
create_extension($node);
application_schema($node);

sub sql { return scalar_sql($node, $_[0]) }

# Pushes a dossier by hand and waits until the run has ended in that state.
sub push_now
{
	my ($dossier, $connection, $state) = @_;
	$connection //= 'Archive';
	my $run = sql("SELECT cloudsync_push_dossier('$dossier', '$connection')");
	ok(wait_run($node, $run, $state), "dossier $dossier is pushed to $connection");
	return $run;
}

sub touched
{
	my ($run) = @_;
	return sql("SELECT string_agg(action || ' ' || path, ',' ORDER BY path, action) FROM cloudsync.history_file WHERE run_id = $run");
}

sql(q{SELECT cloudsync_track('app.dossier', 'app.dossier_file', procedure => 'procedure')});
sql(q{SELECT * FROM cloudsync_connect('local', 'Archive', options => '{"path": "archive"}')});
sql(q{SELECT cloudsync_set_push('Archive', auto_sync => false)});
ok(wait_for($node, q{SELECT count(*) = 1 FROM cloudsync.history WHERE kind = 'prepare' AND state = 'succeeded'}),
	'the root is prepared');
ok(-d "$root/archive/CloudSync", 'P4: the root folder is there before any dossier is');

# --- the first push ------------------------------------------------------------
sql(q{
INSERT INTO app.dossier (id, title, reference, year, procedure) VALUES (1, 'Dupont', 'R-1', 2026, 'tax');
INSERT INTO app.dossier_file (id, dossier_id, name, content) VALUES
	(1, 1, 'letter.txt', 'a letter'), (2, 1, 'large.bin', decode(repeat('00ff10', 100000), 'hex'));
});
my $run = push_now(1);
my $folder = "$root/archive/CloudSync/Dupont";
is_deeply([ files_below("$root/archive") ],
	[ 'CloudSync/Dupont/large.bin', 'CloudSync/Dupont/letter.txt' ],
	'two files are in the dossier\'s folder');
is(read_file("$folder/letter.txt"), 'a letter', 'small content');
is(-s "$folder/large.bin", 300000, 'large content');
is(sql("SELECT files_done, files_failed, bytes_sent, attempts, requested_by FROM cloudsync.history WHERE run_id = $run"),
	'2|0|300008|1|postgres', 'the run counts what it did');
is(sql("SELECT string_agg(action || ' ' || path || ' ' || (sha256 IS NOT NULL), ',' ORDER BY path) FROM cloudsync.history_file WHERE run_id = $run"),
	'create /CloudSync/Dupont/large.bin true,create /CloudSync/Dupont/letter.txt true',
	'history names each file, with its checksum');

# --- only what differs travels (P5) ----------------------------------------------
my $inode = inode("$folder/large.bin");
$run = push_now(1);
is(touched($run), '', 'nothing is sent again');
is(sql("SELECT files_done, files_skipped, bytes_sent FROM cloudsync.history WHERE run_id = $run"), '0|2|0', 'and history says so');

sql(q{UPDATE app.dossier_file SET content = 'another letter' WHERE id = 1});
$run = push_now(1);
is(touched($run), 'update /CloudSync/Dupont/letter.txt', 'a changed content is sent, and it alone');
is(read_file("$folder/letter.txt"), 'another letter', 'it is there');

sql(q{UPDATE app.dossier_file SET content = content || ''::bytea WHERE id = 2});
$run = push_now(1);
is(touched($run), '', 'the same bytes stored anew are not sent');
is(inode("$folder/large.bin"), $inode, 'nor is the file touched');

sql(q{UPDATE app.dossier_file SET name = 'huge.bin' WHERE id = 2});
$run = push_now(1);
is(touched($run), 'move /CloudSync/Dupont/huge.bin', 'a renamed file is moved');
is(inode("$folder/huge.bin"), $inode, 'it is the same file there');

sql(q{UPDATE app.dossier_file SET name = CASE id WHEN 1 THEN 'huge.bin' ELSE 'letter.txt' END WHERE dossier_id = 1});
push_now(1);
is(inode("$folder/letter.txt"), $inode, 'swapped names are swapped, not sent');
is(read_file("$folder/huge.bin"), 'another letter', 'both ways');
sql(q{UPDATE app.dossier_file SET name = CASE id WHEN 1 THEN 'letter.txt' ELSE 'huge.bin' END WHERE dossier_id = 1});
push_now(1);

sql(q{UPDATE app.dossier SET title = 'Dupont & fils' WHERE id = 1});
push_now(1);
is(inode("$root/archive/CloudSync/Dupont & fils/huge.bin"), $inode, 'a changed tag value moves the folder');
ok(!-e $folder, 'nothing is left at the old place');

sql(q{SELECT cloudsync_set_push('Archive', folder => '{year}/{dossier_label}')});
push_now(1);
is(inode("$root/archive/CloudSync/2026/Dupont & fils/huge.bin"), $inode, 'a changed template moves');
sql(q{SELECT cloudsync_set_push('Archive', folder => '{dossier_label}/{year}')});
push_now(1);
is(inode("$root/archive/CloudSync/Dupont & fils/2026/huge.bin"), $inode, 'also where the levels change places');
sql(q{SELECT cloudsync_set_push('Archive', folder => '{dossier_label}')});
push_now(1);
is(inode("$root/archive/CloudSync/Dupont & fils/huge.bin"), $inode, 'and from a folder to the one that it is in');
sql(q{SELECT cloudsync_set_push('Archive', root => 'Firm/Out')});
push_now(1);
is(inode("$root/archive/Firm/Out/Dupont & fils/huge.bin"), $inode, 'a changed root moves');
sql(q{SELECT cloudsync_set_procedure_folder('Archive', 'tax', 'Tax cases')});
push_now(1);
is(inode("$root/archive/Tax cases/Dupont & fils/huge.bin"), $inode, 'a procedure\'s folder takes the place of the root');
sql(q{SELECT cloudsync_set_procedure_folder('Archive', 'tax', NULL)});
sql(q{SELECT cloudsync_set_push('Archive', root => 'CloudSync')});
push_now(1);

# --- names (P10) ---------------------------------------------------------------------
sql(q{
INSERT INTO app.dossier (id, title, year) VALUES (2, 'Same', 1), (3, 'Same', 2), (4, '../../etc/pass|wd', 3);
INSERT INTO app.dossier_file (id, dossier_id, name, content) VALUES
	(20, 2, 'a.txt', 'two'), (30, 3, 'a.txt', 'three'), (31, 3, 'a.txt', 'three again'), (40, 4, '../x', 'four'), (41, 4, '', 'five');
});
push_now($_) for (2, 3, 4);
is_deeply([ files_below("$root/archive/CloudSync/Same") ], ['a.txt'], 'the first of a name has it');
is_deeply([ files_below("$root/archive/CloudSync/Same (2)") ], [ 'a (2).txt', 'a.txt' ], 'the second dossier, and file, get a number');
is_deeply([ files_below("$root/archive/CloudSync/..-..-etc-pass|wd") ], [ '..-x', '_' ], 'a value never adds a level');
sql(q{DELETE FROM app.dossier WHERE id = 2});
sql(q{UPDATE app.dossier_file SET content = 'three anew' WHERE id = 31});
push_now(3);
is(read_file("$root/archive/CloudSync/Same (2)/a (2).txt"), 'three anew', 'a number is kept for good');

# --- what if (P15) -----------------------------------------------------------------------
is(sql(q{
BEGIN;
UPDATE app.dossier SET title = 'Durand' WHERE id = 1;
UPDATE app.dossier_file SET content = 'x' WHERE id = 1;
DELETE FROM app.dossier_file WHERE id = 2;
INSERT INTO app.dossier_file (id, dossier_id, name, content) VALUES (3, 1, 'new.txt', 'new');
SELECT * FROM cloudsync_plan('Archive') WHERE dossier = '1' ORDER BY file_key;
ROLLBACK;
}), "1|1|update|/CloudSync/Durand/letter.txt|/CloudSync/Dupont & fils/letter.txt|1\n"
	. "1|2|skip|/CloudSync/Durand/huge.bin|/CloudSync/Dupont & fils/huge.bin|300000\n"
	. "1|3|create|/CloudSync/Durand/new.txt||3", 'a plan sees what the transaction has done');
is(sql(q{SELECT string_agg(action, ',') FROM cloudsync_plan('Archive', '1')}), 'skip,skip', 'and after the rollback nothing is to be done');

# --- manifest (P13) ------------------------------------------------------------------------
sql(q{SELECT cloudsync_set_push('Archive', manifest => true)});
$run = push_now(1);
is(touched($run), 'create /CloudSync/Dupont & fils/manifest.json', 'the manifest is made');
my $manifest = read_file("$root/archive/CloudSync/Dupont & fils/manifest.json");
is(sql(qq{SELECT string_agg(concat_ws(' ', f->>'path', f->>'size', f->>'sha256' = encode(sha256(content), 'hex')), ',' ORDER BY id)
	FROM jsonb_array_elements(\$m\$$manifest\$m\$::jsonb->'files') f JOIN app.dossier_file ON id::text = f->>'key'}),
	'letter.txt 14 t,huge.bin 300000 t', 'it lists each file with size and checksum');
is(touched(push_now(1)), '', 'it is not sent again when nothing changed');

# --- by itself (P2) --------------------------------------------------------------------------
sql(q{SELECT * FROM cloudsync_connect('local', 'Auto', options => '{"path": "auto"}')});
sql(q{SELECT cloudsync_set_push('Auto', every => '2 seconds')});
ok(wait_for($node, q{SELECT count(*) = 3 FROM cloudsync.dossiers WHERE connection = 'Auto' AND state = 'synced'}),
	'all that exists is sent when automatic push is switched on');
is(read_file("$root/auto/CloudSync/Same/a.txt"), 'three', 'to its folder');

my $before = sql(q{SELECT count(*) FROM cloudsync.history WHERE connection = 'Auto' AND kind = 'push'});
my $began = Time::HiRes::time();
$node->safe_psql('postgres', join('', map { "UPDATE app.dossier_file SET content = 'change $_' WHERE id = 1;\n" } 1 .. 200));
my $took = Time::HiRes::time() - $began;
ok(wait_for($node, q{SELECT count(*) > 0 FROM cloudsync.history_file WHERE path LIKE '%letter.txt' AND action = 'update'
	AND run_id IN (SELECT run_id FROM cloudsync.history WHERE connection = 'Auto')}), 'a change is pushed by itself');
ok(wait_for($node, q{SELECT NOT EXISTS (SELECT FROM cloudsync.due) AND NOT EXISTS (SELECT FROM cloudsync.change)}),
	'nothing is due any more');
is(read_file("$root/auto/CloudSync/Dupont & fils/letter.txt"), 'change 200', 'the last of 200 changes is there');
my $runs = sql(q{SELECT count(*) FROM cloudsync.history WHERE connection = 'Auto' AND kind = 'push'}) - $before;
# Changes are folded after half a second, a push waits for a whole one, and one whose file
# changed under it is followed by the next at once: a machine that needs longer than that
# for the changes has more of them.
ok($runs >= 1 && $runs <= ($took < 0.4 ? 1 : 2 + 2 * $took), 'they made one push') or diag("$runs pushes in $took seconds");
is(sql(q{SELECT origin FROM cloudsync.history WHERE connection = 'Auto' AND kind = 'push' ORDER BY run_id DESC LIMIT 1}), 'auto', 'an automatic one');

# what changes while its dossier is pushed is begun in its own time, by which nobody but
# the scheduler is woken
sql(q{SELECT cloudsync_set_push('Auto', every => '20 seconds'), cloudsync_set_limits('Auto', 1000000, NULL, NULL)});
$node->safe_psql('postgres', q{BEGIN; INSERT INTO app.dossier (id, title) VALUES (800, 'Meanwhile');
	INSERT INTO app.dossier_file (id, dossier_id, name, content)
		VALUES (8000, 800, 'large', decode(repeat('00ff10', 10000000), 'hex')), (8001, 800, 'small', 'before');
	COMMIT; SELECT cloudsync.wake(true)});
ok(wait_for($node, q{SELECT count(*) = 1 FROM cloudsync.due WHERE dossier = '800'}), 'a change waits');
$run = sql(q{SELECT cloudsync_push_dossier('800', 'Auto')});
ok(wait_for($node, q{SELECT claimed = generation FROM cloudsync.due WHERE dossier = '800'}), 'it is pushed by hand');
$node->safe_psql('postgres', q{UPDATE app.dossier_file SET content = 'meanwhile' WHERE id = 8001; SELECT cloudsync.wake(true)});
ok(wait_for($node, q{SELECT claimed < generation FROM cloudsync.due WHERE dossier = '800'}), 'meanwhile something changes');
sql(q{SELECT cloudsync_set_limits('Auto', NULL, NULL, NULL)});
ok(wait_run($node, $run), 'what was asked for by hand is done');
ok(wait_for($node, q{SELECT count(*) = 0 FROM cloudsync.due WHERE dossier = '800'}), '... and what came meanwhile');
is(sql("SELECT count(*) || ' ' || bool_and(origin = 'auto' AND started_at <= due_at) FROM cloudsync.run WHERE run_id > $run AND kind = 'push'"), '1 true',
	'... by a push that is begun in time');
is(read_file("$root/auto/CloudSync/Meanwhile/small"), 'meanwhile', '... and has it');
sql(q{SELECT cloudsync_set_push('Auto', every => '2 seconds')});

sql(q{BEGIN; UPDATE app.dossier_file SET content = 'never' WHERE id = 1; SELECT cloudsync_push_dossier('1'); ROLLBACK});
is(sql(q{SELECT count(*) FROM cloudsync.change}), 0, 'a rollback leaves no change');
is(sql(q{SELECT count(*) FROM cloudsync.history WHERE state IN ('queued', 'running')}), 0, 'and no run');

# --- calls share an execution (P3) ---------------------------------------------------------------
my $three = sql(q{BEGIN; UPDATE app.dossier_file SET content = 'shared' WHERE id = 1;
	SELECT array_agg(r) FROM (SELECT cloudsync_push_dossier('1', 'Archive') UNION ALL SELECT cloudsync_push_dossier('1', 'Archive')
	UNION ALL SELECT cloudsync_push_dossier('1', 'Archive')) s(r); COMMIT});
$node->safe_psql('postgres', "CALL cloudsync_wait('$three'::bigint[])");
is(sql("SELECT count(*), count(DISTINCT run_id) FROM cloudsync.history WHERE run_id = ANY('$three') AND state = 'succeeded' AND files_done = 2"),
	'3|3', 'three calls, three runs, the same result');
is(sql("SELECT count(*) FROM cloudsync.run_file WHERE run_id = ANY('$three') AND path LIKE '%letter.txt'"), 1, 'one execution');

# who waits for a run hears of its end
my $told = sql('SELECT cloudsync.ends_told()');
sql("SELECT cloudsync_push_dossier('1', 'Archive')");
sql("SET statement_timeout = '2min'; SELECT cloudsync.await_end($told, 3600000)");
cmp_ok(sql('SELECT cloudsync.ends_told()'), '>', $told, 'the end of a run is told to those who wait for one');

# --- deletions (P9) ---------------------------------------------------------------------------------
sql(q{DELETE FROM app.dossier_file WHERE id = 2});
push_now(1);
ok(-e "$root/archive/CloudSync/Dupont & fils/huge.bin", 'keep: a deleted file stays');
is(sql(q{SELECT state FROM cloudsync.files WHERE connection = 'Archive' AND file_key = '2'}), 'kept', 'and is shown as kept');

# --- many files: what is read to record them grows with their number, not with its square -----------
sql(q{SELECT pg_stat_reset();
INSERT INTO app.dossier (id, title) VALUES (900, 'Many');
INSERT INTO app.dossier_file (id, dossier_id, name, content) SELECT 90000 + n, 900, n || '.txt', 'x' FROM generate_series(1, 1500) n});
push_now(900);
is(scalar(grep { /^\d+\.txt$/ } files_below("$root/archive/CloudSync/Many")), 1500, 'all of them are there');
$node->restart; # the worker reports what it has counted
my $read = sql(q{SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'pushed_file'});
cmp_ok($read, '>=', 1500, 'each was found by an index');
cmp_ok($read, '<=', 6 * 1500, 'and all of them not for each few');

$node->stop;
done_testing();
