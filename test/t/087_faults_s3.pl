# An S3 service that misbehaves, in both directions: every fault of
# test/cloud/faulty_faults.py, in pushes (files in one conditional PUT, one in
# parts, files that are replaced) and in collections. Each case says what is
# recorded while the fault lasts; that the next run mends it, with every file
# there once and whole, is asked of all.
use strict;
use warnings;

use Faults;
use Test::More;

my $faults = Faults->new(
	's3',
	small => [ 'small', '^PUT' ],
	large => [ 'large', '^PUT' ],
	update => [ 'update', '^PUT' ],
	head => [ 'large', '^HEAD' ],
	list => [ undef, '^GET /\?' ],
	get => [ undef, '^GET /Inbox' ]);
my %parts = (begin => [ 'parts', '^POST .*uploads=' ], part => [ 'parts', '^PUT .*partNumber=2' ], complete => [ 'parts', '^POST .*uploadId=' ]);
sub fault { return $faults->fault(@_) }
sub everywhere { return $faults->everywhere(@_) }

# what the service has done before its answer is lost is found by looking
my $done = 'small large update';
$faults->no_fault(qw(small large update parts));
$faults->protocol($done, "$done head", 'head');
$faults->statuses;

# --- what was done although the answer says nothing, or something else -------------------------

for my $where (qw(small large update))
{
	my %said = (state => 'succeeded');
	fault('answer lost', $where, { fault => 'lost', after => 1 }, undef, %said);
	fault("answer lost to $_", $where, { fault => 'status', status => $_, after => 1, times => 1 }, undef, %said) foreach 500, 502;
	# a service that takes no conditions is looked at first
	fault("no conditions, answer lost to $_", $where, { fault => 'status', status => $_, after => 1, times => 1 }, undef, %said, checksums => 0) foreach 504;
	fault('no conditions', $where, { fault => 'status', status => 501, times => 1 }, undef, %said);
}

# --- in parts: what was sent stays, and the next attempt goes on ------------------------------------

$faults->{where} = { %{ $faults->{where} }, %parts };
fault('answer lost', 'complete', { fault => 'lost', after => 1 }, undef, state => 'succeeded');
fault('answer lost to a gateway', 'complete', { fault => 'status', status => 502, after => 1, times => 1 }, undef, state => 'succeeded');
fault('reset in the middle of the request', 'part', { fault => 'reset_request' }, qr/broke off|closed the connection/);
fault('not available', 'part', { fault => 'status', status => 503 }, qr/is not available/);
fault('reset in the middle of the answer', 'begin', { fault => 'reset_response' }, qr/broke off|closed the connection/);
fault('answer lost', 'begin', { fault => 'lost', after => 1 }, qr/broke off|closed the connection/);
fault('conflict', 'complete', { fault => 'status', status => 412 }, qr/being changed/);
fault('error under a 200', 'complete', { fault => 'status', status => 200, text => '<Error><Code>InternalError</Code></Error>', type => 'application/xml' }, qr/internal error/);

# --- what is said or kept is not what was sent ---------------------------------------------------------

everywhere('web page', { fault => 'html' }, qr/makes no sense|came with|another size|not arrive|is not there after|is not what was sent|without an ETag|without a name|HTTP status 200/);
fault('web page, no checksum', 'get', { fault => 'html' }, qr/came with \d+ bytes, but was listed with/, checksums => 0);
fault('flipped byte', 'get', { fault => 'flip' }, qr/did not arrive as the service has it/);
$faults->add('flipped byte, no checksum', collect => 1, fault => { fault => 'flip', on => '^GET /Inbox/one', times => 1 }, state => 'succeeded', checksums => 0);
fault('wrong checksum', 'get', { fault => 'checksum' }, qr/did not arrive as the service has it/);
for my $where (qw(small large update))
{
	fault('wrong checksum', $where, { fault => 'checksum', times => 3 }, qr/did not arrive as it was sent/, state => 'failed|succeeded|partial');
	fault('kept with a byte flipped', $where, { fault => 'keep_flipped' }, qr/did not arrive as it was sent/);
	fault('kept by half, no checksum', $where, { fault => 'keep_cut' }, qr/did not arrive as it was sent/, checksums => 0);
}

# --- XML and names -----------------------------------------------------------------------------------------

for my $case ([ 'entities', 'bomb', 'document type' ], [ 'a file by entity', 'external', 'document type' ], [ 'nesting', 'deep', 'makes no sense' ],
	[ 'attributes', 'attributes', 'makes no sense' ], [ 'no end', 'unclosed', 'makes no sense' ], [ 'entries without end', 'endless_xml', 'goes on without naming|took longer|more keys' ])
{
	$faults->add("XML: $case->[0]", collect => 1, fault => { fault => $case->[1], on => '^GET /\?' }, error => qr/$case->[2]/);
	# the folder is listed only to spare looks at its files
	$faults->add("XML: $case->[0]", push => 'small', fault => { fault => $case->[1], on => '^GET /\?' }, state => 'succeeded');
}
$faults->add('entries without end in the folder', collect => 1, fault => { fault => 'endless_xml', on => '^GET /\?', folder => '/Inbox' },
	error => qr/more than 3000 entries \(cloudsync\.max_listing\)/);
$faults->add('pages without end', collect => 1, fault => { fault => 'more_pages', on => '^GET /\?' }, error => qr/listed without an end|more than 3000 entries/);
$faults->add('the same page for ever', collect => 1, fault => { fault => 'more_pages', on => '^GET /\?', same => 1 }, error => qr/listed without an end/, most => 4);
my $long = 'x' x 10240;
my @hostile = (
	'Inbox/..', 'Inbox/../../etc/passwd', 'Inbox/%2e%2e/up.txt', 'Inbox/./here.txt', 'Inbox//double.txt', '/etc/passwd', 'etc/passwd', 'Inboxes/other.txt',
	'', 'Inbox/nul%00.txt', 'Inbox/bad%ff%fe.txt', 'Inbox/bad%zz.txt', "Inbox/$long.txt", 'Inbox/line%0afeed.txt', 'Inbox/back%5cslash.txt', 'Inbox/');
$faults->add('hostile keys in the listing', collect => 1, fault => { fault => 'entries', on => '^GET /\?', keys => \@hostile },
	state => 'succeeded|partial', items => qr/./, unlike => qr{^/(?:etc|Inboxes|up)}m);

# --- a service that repeats what it was sent ------------------------------------------------------------------

everywhere("$_->[0] repeats the request", { fault => 'reflect', status => $_->[0], %{ $_->[1] } }, qr/HTTP status|access denied|internal error/)
  foreach [ 403, {} ], [ 500, { text => '<Error><Code>AccessDenied</Code><Message>%s</Message></Error>', type => 'application/xml' } ];

$faults->run;
done_testing();
