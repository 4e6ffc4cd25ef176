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

# Calls go down only (docs/internals.md): which headers a folder may not include.
my %above = (
	base => 'provider|transfer|db|change|content|notify|engine|push|collect|worker|settings|tenant',
	provider => 'transfer|db|change|content|notify|engine|push|collect|worker|settings|tenant',
	transfer => 'db|change|content|notify|engine|push|collect|worker|tenant',
	store => 'provider|transfer|engine|push|collect|worker',
	engine => 'worker');
my (@up, @rude, @asks, %points);
foreach my $file (grep({ /\.[ch]$/ } files_below("$tree/src")), map { "../include/$_" } files_below("$tree/include"))
{
	my $text = read_file("$tree/src/$file");
	push @asks, $file if $text =~ /\bPG_(?:VERSION_NUM|MAJORVERSION)/ && $file !~ m{/compat\.h$};
	$points{$1} = 1 while $text =~ /CS_CRASH_POINT\("([^"]+)"\)/g;
	(my $code = $text) =~ s{/\*.*?\*/}{}gs;
	while ($code =~ /\bereport\((?:ERROR|FATAL)\b(.*?)\);/gs)
	{
		my $said = $1;
		push @rude, "$file: no errcode in $said" unless $said =~ /\berrcode\(|\w+_errcode|errcode_for/;
		push @rude, "$file: $1"
		  if $said =~ /\berrmsg(?:_plural)?\(\s*("[A-Z][a-z].*?")/s || $said =~ /\berrmsg\(\s*("[^"]*\.")\s*[,)]/s;
		push @rude, "$file: $1"
		  if $said =~ /\berr(?:hint|detail)\(\s*("[^"%]*[^".;%]")\s*[,)]/s;
	}
	my ($folder) = $file =~ m{^([a-z]+)/} or next;
	next unless my $upper = $above{$folder};
	push @up, "$file: $1" while $text =~ m{^#include "(cloudsync/(?:$upper)\.h)"}mg;
	next unless $folder =~ /^(?:base|provider|transfer)$/;
	push @up, "$file: $1" while $text =~ m{^#include "((?:executor/spi|access/xact|catalog/[^"]*)\.h)"}mg;
}
is(join("\n", @up), '', 'no folder includes what stands above it');
is(join("\n", @asks), '', 'compat.h alone asks for the version of PostgreSQL');

# The code of the tests has the same limits as the product's.
my @long;
foreach my $file (grep { /\.[ch]$/ } map { my $folder = $_; map { "$folder/$_" } files_below("$tree/$folder") }
	qw(src include test/unit test/fuzz test/bench))
{
	my ($begins, $before, $n) = (0, '', 0);
	foreach my $line (split /\n/, read_file("$tree/$file"))
	{
		$n++;
		$begins = $n if $line eq '{' && $before =~ /\)$/;
		if ($line eq '}' && $begins)
		{
			push @long, "$file:$begins: a function of " . ($n - $begins + 1) . ' lines' if $n - $begins >= 80;
			$begins = 0;
		}
		$before = $line;
	}
	push @long, "$file: $n lines" if $n > 600;
}
is(join("\n", @long), '', 'no file is longer than 600 lines, no function than 80');

is(join("\n", @rude), '',
	'errors have an SQLSTATE and the style of PostgreSQL: message lower-case without full stop, hint and detail as sentences');

# Errors say what to type next: a HINT wherever a person can act, and a function
# of ours that a HINT names stands there as a command.
my @needs_none = (
	'is changed by nobody',				# the audit
	'sql/grants.sql does not say',		# while the install script is written
	'is an AFTER trigger',				# nobody calls it
	'could not take up work',			# said to the log, like those below
	'cloudsync could not renew',
	'no tracked table has the number',	# asked by our own functions alone
	'table %u does not exist',
	'of the dictionary is not known');	# ours has one, made by the install script
my @helpless;
my $commanded = sub {
	my ($where, $hint) = @_;
	push @helpless, "$where: $1 is no command in: $hint"
	  if $hint =~ /(?<!SELECT )(?<!FROM )(?<!CALL )(?<!SELECT sync\.)\b(cloudsync_(?!app\b|admin\b|operator\b|reader\b)\w+)/;
};
foreach my $file (grep { /\.sql$/ } files_below("$tree/sql"))
{
	my $text = read_file("$tree/sql/$file");
	while ($text =~ /RAISE (?:EXCEPTION|WARNING|NOTICE)(.*?);\n/gs)
	{
		my $said = $1 =~ s/\s+/ /gr;
		next if grep { index($said, $_) >= 0 } @needs_none;
		if ($said =~ /HINT = (.*)/) { $commanded->("sql/$file", $1) }
		else { push @helpless, "sql/$file: no HINT in $said" }
	}
}
foreach my $file ((map { "sql/$_" } files_below("$tree/src/sql")), map({ "worker/$_.c" } qw(ask control)), 'store/appdata.c', 'store/tags.c')
{
	my $text = read_file("$tree/src/$file");
	$text =~ s/"\s*\n\s*"//g;
	while ($text =~ /\bereport\((?:ERROR|WARNING)\b(.*?)\);\n/gs)
	{
		my $said = $1 =~ s/\s+/ /gr;
		next if grep { index($said, $_) >= 0 } @needs_none;
		if ($said =~ /\berrhint\((.*)/) { $commanded->("src/$file", $1) }
		else { push @helpless, "src/$file: no HINT in $said" }
	}
}
is(join("\n", @helpless), '', 'errors that a person can act on say what to type');

my ($table) = read_file("$tree/docs/internals.md") =~ /^## Crash points(.*?)^## /ms;
my @documented = $table =~ /^\| `([^`]+)` \|/mg;
is_deeply([ sort @documented ], [ sort keys %points ], 'docs/internals.md lists the crash points');

# Links between the pages lead somewhere.
my @dead;
foreach my $page ('README.md', map { "docs/$_" } grep { /\.md$/ } files_below("$tree/docs"))
{
	my $text = read_file("$tree/$page");
	(my $folder = $page) =~ s{[^/]*$}{};
	while ($text =~ /\]\(([^)#:\s]+)(?:#[^)]*)?\)/g)
	{
		my $to = $1;
		push @dead, "$page: $to" if $to =~ /\.md$/ && !-e "$tree/$folder$to";
	}
}
is(join("\n", @dead), '', 'links between pages lead somewhere');

SKIP:
{
	skip 'cppcheck is not installed', 1
	  if system('command -v cppcheck >/dev/null') != 0;
	my $said = `cd '$tree' && make --no-print-directory cppcheck 2>&1`;
	is($?, 0, 'cppcheck has nothing to say') or diag($said);
}

done_testing();
