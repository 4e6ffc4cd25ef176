# Too few slots for background workers: one warning, shown in the status, and the
# work goes on (W9).
use strict;
use warnings;

use CloudsyncTest;
use PostgreSQL::Test::Utils;
use Test::More;

# Slots for the launcher, a scheduler, and the server's logical replication.
my $node = new_cluster('slots', conf => "max_worker_processes = 3\nmax_logical_replication_workers = 1\n");
my $root = local_root($node);
create_extension($node);
$node->safe_psql('postgres', 'CREATE DATABASE second');

write_file("$root/in/file$_.txt", "file $_") foreach 1 .. 3;
$node->safe_psql('postgres', <<'SQL');
SELECT cloudsync_connect('local', 'store');
SELECT cloudsync_add_recipient('clerk');
SELECT cloudsync_create_channel('store', 'scans', ARRAY['/in'], 'clerk', 'tray', auto_collect => false);
SQL
my $run = $node->safe_psql('postgres', "SELECT cloudsync_collect('scans')");
ok(wait_run($node, $run), 'a run is done though no worker can be started');
is(scalar_sql($node, 'SELECT count(*) FROM cloudsync.document'), 3, '... as by a worker');
is(scalar_sql($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'cloudsync worker'"), 0,
	'there was no room for one');
is(scalar_sql($node, "SELECT severity || ': ' || action FROM cloudsync_status()"),
	'warning: ALTER SYSTEM SET max_worker_processes = 11;  -- and restart the server', 'the status says what to do');
$run = $node->safe_psql('postgres', "SELECT cloudsync_collect('scans')");
ok(wait_run($node, $run), 'again');
my @warnings = slurp_file($node->logfile) =~ /WARNING:  cloudsync could not start a worker/g;
is(scalar @warnings, 1, 'one warning in the log');


# The same for the process that reads documents, whatever else there is to say.
my $reading = q{SELECT action FROM cloudsync_status() WHERE problem = 'documents wait to be read: all background worker slots are in use'};
$node->safe_psql('postgres', 'ALTER SYSTEM SET cloudsync.ocr = on; SELECT pg_reload_conf()');
ok(wait_for($node, $reading, 'ALTER SYSTEM SET max_worker_processes = 11;  -- and restart the server'), 'documents wait, and the status says for what');
is(scalar_sql($node, q{SELECT count(*) FROM cloudsync_status()}), 2, '... beside what it said before');
is(scalar_sql($node, q{SELECT count(*) FROM cloudsync.document WHERE ocr_state = 'pending'}), 3, '... which they do');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET cloudsync.ocr; SELECT pg_reload_conf()');
ok(wait_for($node, q{SELECT count(*) FROM cloudsync_status()}, '1'), '... until they are not to be read');

my (undef, undef, $err) = $node->psql('postgres', 'CALL cloudsync_run()');
like($err, qr/no worker could be started.*HINT:  Increase max_worker_processes/s, 'cloudsync_run says so too');

create_extension($node, 'second');
ok(wait_for($node, "SELECT count(*) = 1 FROM cloudsync_status() WHERE problem LIKE '%scheduler could not be started%'", 't', 'second'),
	'a database without a scheduler says so');

$node->stop('fast');
done_testing();
