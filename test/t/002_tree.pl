# What holds of the tree itself: one version everywhere, and the top level has
# exactly what was agreed.
use strict;
use warnings;

use CloudsyncTest;
use Test::More;

my $tree = $ENV{CLOUDSYNC_TREE} or plan skip_all => 'runs from test/run.sh';

my ($version) =
  read_file("$tree/cloudsync.control") =~ /^default_version\s*=\s*'([^']+)'/m;
ok($version, 'the control file has a version');

my $meta = read_file("$tree/META.json");
my @in_meta = $meta =~ /^ {4}"version"\s*:\s*"([^"]+)"/mg;
is_deeply(\@in_meta, [$version], 'META.json has the version');
my ($provided) = $meta =~ /"provides".*?"version"\s*:\s*"([^"]+)"/s;
is($provided, $version, 'META.json provides the version');

my ($newest) = read_file("$tree/CHANGELOG.md") =~ /^## (\S+)/m;
is($newest, $version, "CHANGELOG's newest entry is the version");

my @wanted = sort qw(.ci .clang-format .editorconfig .gitignore CHANGELOG.md
  LICENSE META.json Makefile README.md cloudsync.control docs expected include
  sql src test);
SKIP:
{
	my $listed = read_file("$tree/top-level");
	skip 'not a git clone', 1 unless $listed;
	is_deeply([ sort split /\n/, $listed ], \@wanted, 'the top level is as agreed');
}

SKIP:
{
	skip 'cppcheck is not installed', 1
	  if system('command -v cppcheck >/dev/null') != 0;
	my $said = `cd '$tree' && make --no-print-directory cppcheck 2>&1`;
	is($?, 0, 'cppcheck has nothing to say') or diag($said);
}

done_testing();
