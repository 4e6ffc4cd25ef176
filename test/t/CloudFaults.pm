# The same as Faults.pm, against the test cloud (TestCloud.pm): each case is a person
# with an account of their own, and the faults are those of that person's requests.
#
#	my $faults = CloudFaults->new('gdrive',
#		small => [ 'small', 'upload.create' ], get => [ undef, 'files.media' ]);
#	$faults->fault('quota', 'small', { fault => 'error', reason => '...' }, qr/.../);
#	$faults->run;
#
# Where a fault is committed is a route of the service. fault is what cloud_faults.py
# calls its kind; it lasts until it is over unless times says otherwise.
package CloudFaults;

use strict;
use warnings;

use CloudsyncTest;
use Faults;
use JSON::PP ();
use Test::More;
use TestCloud;

our @ISA = ('Faults');

# How the services are called there, whose app asks, what a person consents to, and
# what the options name.
my %services = (
	gdrive => { act => 'google', app => 'web.apps.googleusercontent.com', scopes => ['https://www.googleapis.com/auth/drive'],
		hosts => { api_endpoint => 'api', token_endpoint => 'oauth' }, below => { token_endpoint => '/token' },
		large => 5 * 1048576 + 1, sessions => 1 },
	onedrive => { act => 'graph', app => 'aaaaaaaa-0000-0000-0000-000000000001', scopes => [ 'Files.ReadWrite', 'offline_access' ],
		hosts => { api_endpoint => 'api', login_endpoint => 'login' }, below => { api_endpoint => '/v1.0' }, elsewhere => 'google',
		large => 5_000_000, sessions => 1 },
	dropbox => { act => 'dropbox', app => 'dbxapp00cloudsync', hosts => { map { ("${_}_endpoint" => $_) } qw(api content notify www) },
		large => 2_600_000 });
my %inbox = ('/Inbox/one.txt' => 'the first letter', '/Inbox/two.txt' => 'two ' x 700, '/Inbox/sub/three.txt' => 'three');
my %later = ('/Inbox/four.txt' => 'what came later');

my $json = JSON::PP->new->canonical;

sub start_server
{
	my ($self) = @_;
	$self->{service} = $services{ $self->{protocol} };
	$self->{cloud} = TestCloud->start;
	return;
}

sub conf { my ($self) = @_; return $self->{cloud}->conf; }
sub server_output { my ($self) = @_; return $self->{cloud}->output; }

sub sizes
{
	my ($self) = @_;
	return { 1 => [ 200, 3000 ], 2 => [ $self->{service}{large} ], 3 => [ 700, 0 ], 4 => [ 17 * 1048576 ], 5 => [ 100, 20 ], 6 => [ 100, 20 ], 7 => [ 100, 20 ] };
}

# What is in a case's folder at first, and what is to be found in the end.
sub inbox
{
	my ($self, $case, $end) = @_;
	return { %inbox, $end && $case->{again} ? %later : (), $case->{inbox} && !$end ? %{ $case->{inbox} } : (),
		$case->{found} && $end ? %{ $case->{found} } : () };
}

sub fault
{
	my ($self, $name, $where, $fault, @expected) = @_;
	return $self->SUPER::fault($name, $where, { times => 0, %$fault }, @expected);
}

sub act
{
	my ($self, $act, %told) = @_;
	return $self->{cloud}->act($self->{service}{act}, $act => \%told);
}

sub user { my ($case) = @_; return "$case->{place}\@example.com"; }

# One connection's statement: a person's consent that was given elsewhere.
sub connect_sql
{
	my ($self, $case) = @_;
	my ($cloud, $service) = @$self{qw(cloud service)};
	my $hosts = $service->{hosts};
	my %options = map { $_ => $cloud->url($service->{act}, $hosts->{$_}) . ($service->{below}{$_} // '') } keys %$hosts;
	$options{api_endpoint} = "https://127.0.0.1:$case->{door}" . ($service->{below}{api_endpoint} // '') if $case->{door};
	my $grant = $self->act(grant => app => $service->{app}, user => user($case), scopes => $service->{scopes});
	my $sql = sprintf(q{SELECT cloudsync_connect('%s', '%s', '%s', '%s');},
		$self->{protocol}, $case->{place}, $json->encode({ refresh_token => $grant->{refresh_token} }), $json->encode(\%options)) . "\n";
	return $sql if $self->{registered}++;
	return "SELECT cloudsync_register_app('$self->{protocol}', '$grant->{client_id}', '$grant->{client_secret}');\n$sql";
}

# --- what the server is told ----------------------------------------------------------

sub tell
{
	my ($self, $what, $told) = @_;
	return $self->set_places if $what eq '/places';
	return $self->arm if $what eq '/arm';
	if ($what eq '/clear')
	{
		$self->{cloud}->clear;
		$self->doors(1);
		# uploads that nobody knows of hold their names for a while
		$self->{cloud}->clock(1000) if $self->{protocol} eq 'onedrive';
	}
	return $self->state;
}

# A person with a folder for each case.
sub set_places
{
	my ($self) = @_;
	for my $case (@{ $self->{cases} })
	{
		$self->act(add_user => email => user($case));
		$case->{door} = $self->{cloud}->tell('door', { service => $self->{service}{act}, host => 'api' })->{port} if $case->{kind} eq 'late';
		next if $case->{push};
		my $files = $self->inbox($case);
		$self->add_file($case, $_, $files->{$_}) foreach sort keys %$files;
	}
	return { places => {} };
}

sub add_file
{
	my ($self, $case, $path, $text) = @_;
	return $self->act(add => path => $path, text => $text, content => $text, user => user($case)) if !ref $text;
	my ($act, %told) = @$text;
	return $self->act($act => path => $path, user => user($case), %told);
}

sub doors
{
	my ($self, $open) = @_;
	$self->{cloud}->tell('door', { port => $_->{door}, open => $open ? \1 : \0 }) foreach grep { $_->{door} } @{ $self->{cases} };
	return;
}

# Once everything is connected, and what is asked on that occasion was asked.
sub arm
{
	my ($self) = @_;
	my $cloud = $self->{cloud};
	ok(wait_for($self->{node}, q{SELECT (SELECT bool_and(account IS NOT NULL) FROM cloudsync.connections)
		AND NOT EXISTS (SELECT FROM cloudsync.history WHERE finished_at IS NULL)}), 'all are connected');
	for my $case (@{ $self->{cases} })
	{
		$self->add_file($case, $_, $later{$_}) foreach $case->{again} ? sort keys %later : ();
		$case->{numbers} = [];
		for my $fault (@{ $case->{faults} })
		{
			my %told = (%$fault, service => $self->{service}{act}, kind => $fault->{fault}, user => user($case));
			$told{route} = delete $told{on};
			delete $told{fault};
			push @{ $case->{numbers} }, $cloud->fault(\%told);
		}
	}
	$self->{mark} = $cloud->mark;
	$self->doors(0);
	return;
}

# Of each case: its files, its faults, its requests.
sub state
{
	my ($self) = @_;
	my $cloud = $self->{cloud};
	my $service = $self->{service}{act};
	my @faults = @{ $cloud->tell('faults') };
	my (%requests, %places);
	for my $request ($cloud->requests({ service => $service, since => $self->{mark} // 0 }))
	{
		push @{ $requests{ $request->{user} // '' } },
		  join ' ', map { $request->{$_} // '-' } qw(method route subject status fault);
	}
	for my $case (@{ $self->{cases} })
	{
		my %files;
		for my $item (@{ $self->act(tree => path => '/', user => user($case)) })
		{
			next if $item->{folder} || ($item->{kind} // '') eq 'folder' || !defined $item->{sha256};
			my $path = $item->{path};
			$path .= ' (twin)' while $files{$path};
			$files{$path} = [ $item->{size}, $item->{sha256} ];
		}
		$places{ $case->{place} } = { files => \%files, requests => $requests{ user($case) } // [],
			committed => [ map { $faults[$_]{committed} } @{ $case->{numbers} // [] } ], uploads => $case->{uploads} ? 0 : $self->uploads($case) };
	}
	return { places => \%places, strayed => [ map { $_->{path} } $cloud->requests({ service => $self->elsewhere }) ] };
}

# A service that none of these has to do with.
sub elsewhere { my ($self) = @_; return $self->{service}{elsewhere} // 'graph'; }

# Upload sessions that were begun and are left.
sub uploads
{
	my ($self, $case) = @_;
	return 0 if !$self->{service}{sessions};
	return $self->act(sessions => user => user($case))->{sessions};
}

# --- faults that all services have -----------------------------------------------------

# done: where a request is carried out before its answer is spoilt, which is found
# out by looking. once: where that is so, though not of one request after the other.
sub conversation
{
	my ($self, $done, $once) = @_;
	my $deaf = join ' ', $done, $once // ();
	my $closed = qr/closed the connection|broke off/;
	my $elsewhere = $self->{cloud}->url($self->elsewhere, 'api') . '/stray';
	# one that was kept may be found closed before a new one is refused
	$self->add('connection refused', push => 'small', kind => 'late', error => qr/no connection to 127\.0\.0\.1:\d+|Failed to connect/, reason => qr/no connection|^$/)
	  if $self->{where}{small};
	$self->add('connection refused', collect => 1, kind => 'late', error => qr/no connection to 127\.0\.0\.1:\d+|Failed to connect/, reason => qr/no connection|^$/);
	$self->everywhere('reset before the work', { fault => 'reset' }, $closed);
	$self->everywhere('reset after the work', { fault => 'reset', at => 'commit' }, $closed, well => $done);
	$self->everywhere('reset in the middle of the answer', { fault => 'reset', at => 'answer' }, $closed, well => $done);
	$self->everywhere('silence', { fault => 'stall' }, qr/did not answer within \d+ s|slower than 1 KiB|took longer/);
	$self->everywhere('silence after the work', { fault => 'stall', at => 'commit' }, qr/did not answer within|slower than 1 KiB/, well => $done);
	$self->everywhere('silence in the middle of the answer', { fault => 'stall', at => 'answer' }, qr/slower than 1 KiB|took longer|did not answer within/, well => $done);
	$self->everywhere('slow drip', { fault => 'drip', pause => 0.5 }, qr/slower than 1 KiB|did not answer within|took longer/, well => $done);
	$self->everywhere('truncated answer', { fault => 'truncate' }, qr/ended before its end|closed the connection/, well => $done);
	$self->everywhere('Content-Length too long', { fault => 'length', by => 10 }, qr/ended before its end/, well => $done);
	$self->everywhere('Content-Length too short', { fault => 'length', by => -2 }, qr/makes no sense|could not be read|came with|another size|not arrive as|another checksum/, well => $deaf);
	$self->everywhere('endless answer', { fault => 'endless' }, qr/longer than it may be|holds its name|took longer than|came with more than the \d+ bytes it was listed/, well => $done);
	$self->everywhere('no HTTP', { fault => 'garbage' }, qr{HTTP/0\.9|closed the connection}, well => $done);
	$self->everywhere('a web page', { fault => 'html' }, qr/makes no sense|could not be read|came with|another size|not arrive as|another checksum|tells of no file/);
	$self->everywhere('redirect', { fault => 'redirect', location => $elsewhere }, qr/elsewhere|redirects/, reason => qr/elsewhere|redirects/);
	return;
}

# What was pushed is moved, renamed and brought to the trash: route of each, more
# faults as fault() takes them.
sub moves
{
	my ($self, $move, $rename, $trash, @more) = @_;
	my $closed = qr/closed the connection|broke off/;
	$self->{where} = { moved => [ 'moved', $move ], renamed => [ 'renamed', $rename ], trash => [ 'trash', $trash, unsynced => 1 ] };
	$self->everywhere('no answer, once', { fault => 'reset', at => 'commit', times => 1 }, undef, state => 'succeeded');
	$self->everywhere('no answers', { fault => 'reset', at => 'commit' }, $closed, state => 'succeeded|partial|failed');
	$self->everywhere('reset before the work', { fault => 'reset' }, $closed, state => 'partial|failed');
	$self->everywhere('an answer that is none', { fault => 'html' }, qr/makes no sense|could not be read/, state => 'succeeded|partial|failed');
	$self->everywhere('500', { fault => 'unavailable', status => 500 }, qr/HTTP status 500|is not available/, state => 'partial|failed');
	$self->everywhere('503, once', { fault => 'unavailable', status => 503, times => 1, retry_after => 1 }, undef, state => 'succeeded|partial|failed');
	$self->everywhere('429', { fault => 'throttle', retry_after => 1 }, qr/fewer requests|too many requests/, state => 'partial|failed');
	$self->everywhere('token expired', { fault => 'expired', times => 1 }, undef, state => 'succeeded');
	$self->everywhere(@$_) foreach @more;
	return;
}

# only: where most of them are enough.
sub statuses
{
	my ($self, $only) = @_;
	my @only = $only ? (only => $only) : ();
	$self->everywhere($_, { fault => 'status', status => $_ }, qr/HTTP status $_|is not there|in use|being changed by somebody|holds its name|loses its upload/, @only) foreach qw(400 403 404 409 412 418);
	$self->everywhere($_, { fault => 'unavailable', status => $_ }, qr/HTTP status $_|is not available/, @only) foreach qw(500 502 504);
	$self->everywhere('503, Retry-After in seconds', { fault => 'unavailable', status => 503, retry_after => 1 }, qr/HTTP status 503|is not available/, @only);
	$self->everywhere('503', { fault => 'unavailable', status => 503 }, qr/HTTP status 503|is not available/);
	$self->everywhere('429', { fault => 'throttle' }, qr/fewer requests|too many requests/, @only);
	$self->everywhere("429, Retry-After $_", { fault => 'throttle', retry_after => 2, form => $_ }, qr/fewer requests|too many requests/, @only) foreach qw(seconds date);
	# where a token is asked for
	my $asked = join ' ', grep { my (undef, undef, %case) = @{ $self->{where}{$_} }; !$case{anonymous} } keys %{ $self->{where} };
	$self->everywhere('token expired', { fault => 'expired', times => 1 }, undef, only => $asked, state => 'succeeded');
	$self->everywhere('consent taken back', { fault => 'revoked', times => 1 }, qr/./, only => $asked, connection => 'needs_consent', reason => qr/./);
	return;
}

1;
