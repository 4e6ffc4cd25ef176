# The examples of the pages in docs/, run as a reader would run them: each block
# of a page in order, by psql (```sql) or a shell (```sh), and its output compared
# with the block of kind output that follows it, if one does. Relies on the tree
# that test/run.sh lays out beside the tests, and on a role named app.
#
# The words behind a block's language say how:
#	```sql no-run: why		is shown only
#	```sql as superuser		runs as that role instead of app
#	```output				what the block before printed, in part; a line
#							"..." stands for any lines, "..." in a line for any text
# /srv/cloud stands for the cluster's local_root.
package DocsTest;

use strict;
use warnings;

use Exporter 'import';
use CloudsyncTest;
use IPC::Run ();
use Test::More;

our @EXPORT = qw(page_blocks page_section run_blocks page_names page_text);

sub page_text
{
	my ($page) = @_;
	my $text = read_file("$ENV{CLOUDSYNC_TREE}/$page");
	die "no page $page" unless defined $text;
	utf8::decode($text);
	return $text;
}

sub page_names
{
	return ('README.md', map { "docs/$_" } grep { /\.md$/ } files_below("$ENV{CLOUDSYNC_TREE}/docs"));
}

# The fenced blocks of a page: language, the words behind it, text, line, the
# heading above, and the lines that are to be shown.
sub page_blocks
{
	my ($page) = @_;
	my (@blocks, $open, $heading, $indent);
	my $line = 0;
	foreach my $text (split /\n/, page_text($page))
	{
		$line++;
		if (!$open && $text =~ /^( *)```(\S*)\s*(.*)$/)
		{
			$indent = $1;
			$open = { page => $page, language => $2, words => $3, text => '', line => $line, heading => $heading // '' };
		}
		elsif ($open && $text =~ /^ *```\s*$/)
		{
			if ($open->{language} eq 'output') { $blocks[-1]{shown} = $open->{text} if @blocks }
			else { push @blocks, $open }
			undef $open;
		}
		elsif ($open)
		{
			$text =~ s/^$indent//;
			$open->{text} .= "$text\n";
		}
		elsif ($text =~ /^#+ +(.*)$/) { $heading = $1 }
	}
	die "$page: a block is not closed" if $open;
	return @blocks;
}

# Those of one section, by its heading.
sub page_section
{
	my ($page, $heading) = @_;
	my @blocks = grep { $_->{heading} eq $heading } page_blocks($page);
	die "$page: no section $heading with examples" unless @blocks;
	return @blocks;
}

sub runs
{
	my ($block) = @_;
	return $block->{language} =~ /^(?:sql|sh)$/ && $block->{words} !~ /^no-run:/;
}

# Whether the lines shown are among those printed, one after the other.
sub is_shown
{
	my ($printed, $shown) = @_;
	my $tidy = sub { join "\n", map { s/\s+$//r } grep { /\S/ } split /\n/, $_[0] };
	my $wanted = join "\n", map { /^\s*\.\.\.$/ ? '(?:.*\n)*?.*' : join('.*?', map { quotemeta } split /\.\.\./, $_, -1) }
	  split /\n/, $tidy->($shown);
	return $tidy->($printed) =~ /^$wanted$/m;
}

# Runs blocks in order in the database; one test each. Options: before => {line
# text => sub} that is called before the block whose text has it; user; values =>
# {'$1' => an SQL expression}, for what the page leaves to the client's parameters.
sub run_blocks
{
	my ($node, $db, $blocks, %opts) = @_;
	my $root = local_root($node);
	my $ran = 0;
	foreach my $block (@$blocks)
	{
		my $where = "$block->{page}, line $block->{line}";
		next unless runs($block);
		foreach my $sign (sort keys %{ $opts{before} || {} })
		{
			$opts{before}{$sign}->() if index($block->{text}, $sign) >= 0;
		}
		(my $text = $block->{text}) =~ s{/srv/cloud\b}{$root}g;
		my $values = $opts{values} || {};
		$text =~ s/\Q$_\E/$values->{$_}/g foreach sort { length $b <=> length $a } keys %$values;
		my ($user) = $block->{words} =~ /^as (\w+)/;
		$user = !$user ? $opts{user} // 'app' : $user eq 'superuser' ? 'postgres' : $user;
		local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => $db, PGUSER => $user,
			PGOPTIONS => '-c client_min_messages=warning', PGTZ => 'Europe/Paris');
		my @command = $block->{language} eq 'sh' ? ('sh', '-e')
		  : ('psql', '-X', '-v', 'ON_ERROR_STOP=1', '-P', 'footer=off', '-P', 'pager=off', '-f', '-');
		my ($printed, $said) = ('', '');
		utf8::encode($text);
		my $done = IPC::Run::run(\@command, '<', \$text, '>', \$printed, '2>', \$said);
		utf8::decode($printed);
		ok($done, "$where runs") or diag("$printed\n$said");
		return $ran unless $done;
		$ran++;
		next unless defined $block->{shown};
		ok(is_shown($printed, $block->{shown}), "$where prints what is shown")
		  or diag("printed:\n$printed\nshown:\n$block->{shown}");
	}
	return $ran;
}

1;
