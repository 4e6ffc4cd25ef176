# Pushing dossiers by hand and by themselves, end to end on a local folder:
# P2 to P5, P9, P10, P13, P14, P15.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

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

sql(q{SELECT cloudsync_track('app.dossier', 'app.dossier_file')});
sql(q{SELECT * FROM cloudsync_connect('local', 'Archive', options => '{"path": "archive"}')});
sql(q{SELECT cloudsync_set_push('Archive', auto_sync => false)});
ok(wait_for($node, q{SELECT count(*) = 1 FROM cloudsync.history WHERE kind = 'prepare' AND state = 'succeeded'}),
	'the root is prepared');
ok(-d "$root/archive/CloudSync", 'P4: the root folder is there before any dossier is');

sql(q{
INSERT INTO app.dossier (id, title, reference, year) VALUES (1, 'Dupont', 'R-1', 2026);
INSERT INTO app.dossier_file (id, dossier_id, name, content) VALUES
	(1, 1, 'letter.txt', 'a letter'), (2, 1, 'large.bin', decode(repeat('00ff10', 100000), 'hex'));
});
my $run = push_now(1);
is_deeply([ files_below("$root/archive") ],
	[ 'CloudSync/Dupont/large.bin', 'CloudSync/Dupont/letter.txt' ],
	'two files are in the dossier\'s folder');
is(read_file("$root/archive/CloudSync/Dupont/letter.txt"), 'a letter', 'small content');
is(-s "$root/archive/CloudSync/Dupont/large.bin", 300000, 'large content');
is(sql("SELECT files_done, files_failed, bytes_sent, attempts, requested_by FROM cloudsync.history WHERE run_id = $run"),
	'2|0|300008|1|postgres', 'the run counts what it did');
is(sql("SELECT string_agg(action || ' ' || path || ' ' || (sha256 IS NOT NULL), ',' ORDER BY path) FROM cloudsync.history_file WHERE run_id = $run"),
	'create /CloudSync/Dupont/large.bin true,create /CloudSync/Dupont/letter.txt true',
	'history names each file');

done_testing();
