# Runs programs of test/cloud/clients, each with a test cloud of its own; each prints
# a line for each check ("ok - WORDS", "not ok - WORDS", "# WORDS"), at last "done",
# or "skip - REASON".
#
#	CloudClients::run(['google_rules.py'], ['google_node.mjs', npm => ['@googleapis/drive@26.0.1']]);
#
# npm: the packages it is made of; without them it is skipped with the reason.
# CLOUD_CLIENTS in the environment names the only programs to run.
package CloudClients;

use strict;
use warnings;

use FindBin;
use File::Temp;
use JSON::PP;
use Test::More;
use TestCloud;

my $folder = "$FindBin::Bin/../cloud/clients";
my %only = map { $_ => 1 } split / /, $ENV{CLOUD_CLIENTS} // '';
my $modules = File::Temp->newdir('npm-XXXXXX', TMPDIR => 1);

# Gets packages of npm, all at once; why not, or ''.
sub npm_missing
{
	my @wanted = @_;
	return 'node and npm are not installed'
	  if system('node --version >/dev/null 2>&1 && npm --version >/dev/null 2>&1') != 0;
	my $said = qx{cd $modules && timeout 120 npm install --fetch-retries=1 --fetch-retry-mintimeout=1000 --no-audit --no-fund --no-update-notifier --loglevel=error @wanted 2>&1};
	return '' if $? == 0;
	$said =~ s/\s+/ /g;
	return "npm cannot be asked for @wanted here: " . substr($said, 0, 200);
}

sub run
{
	my @clients = grep { !%only || $only{ $_->[0] } } @_;
	my @wanted = map { my (undef, %with) = @$_; @{ $with{npm} || [] } } @clients;
	my $no_npm = @wanted ? npm_missing(@wanted) : '';
	foreach my $client (@clients)
	{
		my ($program, %with) = @$client;
		subtest $program => sub {
			plan skip_all => $no_npm if $with{npm} && $no_npm;
			run_one($program);
		};
	}
	return;
}

sub run_one
{
	my ($program) = @_;
	my $cloud = TestCloud->start;
	local $ENV{CLOUD} = JSON::PP->new->canonical->encode($cloud->{ready});
	local $ENV{NODE_MODULES} = "$modules/node_modules";
	local $ENV{REQUESTS_CA_BUNDLE} = $cloud->ca_file;
	local $ENV{NODE_EXTRA_CA_CERTS} = $cloud->ca_file;
	my @command = $program =~ /\.py$/ ? ($TestCloud::PYTHON, '-B') : ('node');
	open(my $out, '-|', @command, "$folder/$program") or die "$command[0]: $!";
	my ($ended, $skipped);
	while (my $line = <$out>)
	{
		chomp $line;
		$ended = 1 if $line eq 'done';
		$skipped = $1 if $line =~ /^skip - (.*)/;
		if ($line =~ /^(not )?ok - (.*)/) { ok(!$1, $2); }
		elsif ($line =~ /^#/) { diag($line); }
	}
	close $out;
	plan skip_all => $skipped if $skipped;
	ok($ended && $? == 0, 'went through') or diag($cloud->output);
	unlike($cloud->output, qr/Traceback|Error handling request/, 'the cloud has not failed');
	done_testing();
	return;
}

1;
