# The test cloud is held to the services' fact sheets: by programs that try its
# rules, and by clients that were not written here, which work with it as they work
# with the services. Each program of test/cloud/clients has a cloud of its own and
# prints a line for each check.
use strict;
use warnings;

use FindBin;
use File::Temp;
use JSON::PP;
use Test::More;
use TestCloud;

plan skip_all => TestCloud::missing() if TestCloud::missing();

# Each: program, npm => the packages that it is made of.
my @clients = (
	['frame_rules.py'],
	['oauth_rules.py'],
	['dropbox_rules.py'],
	['dropbox_spec.py'],
	['dropbox_python.py'],
	['dropbox_rclone.py'],
	[ 'dropbox_node.mjs', npm => ['dropbox@10'] ],
);

my $folder = "$FindBin::Bin/../cloud/clients";
my %only = map { $_ => 1 } split / /, $ENV{CLOUD_CLIENTS} // '';

# Packages of npm, all at once; why not, or ''.
my $modules = File::Temp->newdir('npm-XXXXXX', TMPDIR => 1);
my $why_no_npm;

sub npm_missing
{
	return $why_no_npm if defined $why_no_npm;
	my @wanted = map { my (undef, %with) = @$_; @{ $with{npm} || [] } } grep { !%only || $only{ $_->[0] } } @clients;
	if (system('node --version >/dev/null 2>&1 && npm --version >/dev/null 2>&1') != 0)
	{
		return $why_no_npm = 'node and npm are not installed';
	}
	my $said = qx{cd $modules && timeout 120 npm install --no-audit --no-fund --no-update-notifier --loglevel=error @wanted 2>&1};
	return $why_no_npm = '' if $? == 0;
	$said =~ s/\s+/ /g;
	return $why_no_npm = "npm cannot be asked for @wanted here: " . substr($said, 0, 200);
}

foreach my $client (@clients)
{
	my ($program, %with) = @$client;
	next if %only && !$only{$program};
	subtest $program => sub {
		plan skip_all => npm_missing() if $with{npm} && npm_missing();
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
	};
}
done_testing();
