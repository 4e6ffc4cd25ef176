# make demo, which is what a newcomer sees first, ends well, shows what it
# promises and leaves no process.
use strict;
use warnings;

use CloudsyncTest;
use Test::More;

my $tree = $ENV{CLOUDSYNC_TREE} or plan skip_all => 'runs from test/run.sh';

my $said = `'$tree/test/demo/demo.sh' 2>&1`;
unless (is($?, 0, 'the demo ends well'))
{
	diag(substr($said, -4000));
	done_testing();
	exit;
}
like($said, qr{Boulangerie Martin/.*2025-014 Annual accounts \(signed\)}s,
	'it shows the folder tree after a change');
like($said, qr{\(annual-accounts\.pdf was moved, not sent again},
	'what only got another folder was moved');
like($said, qr{invoice 118 \(copy\)\.pdf +\| duplicate}, 'the copy is a duplicate');
like($said, qr{\| Scans +\| /Scans +\| firm +\|}, 'the folder was synced last by the role that asked');
like($said, qr{scan 0012\.png +\| .*<b>letterheads</b>}, 'a scan is found by a word in it');
my ($report) = $said =~ /^report +(\S+)/m;
like(read_file($report // '') // '', qr{^<!DOCTYPE html>.*</html>\s*\z}si, 'the report is where it says');
my ($data) = $said =~ /^data directory +(\S+)/m;
ok($data && !-e "$data/postmaster.pid", 'its server is stopped');

done_testing();
