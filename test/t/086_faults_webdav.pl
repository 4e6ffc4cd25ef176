# A WebDAV server that misbehaves, in both directions: every fault of
# test/cloud/faulty_faults.py, in pushes (small files by one conditional PUT, a
# large one by a temporary name and MOVE, files that are replaced) and in
# collections. Each case says what is recorded while the fault lasts; that the
# next run mends it, with every file there once and whole, is asked of all.
use strict;
use warnings;

use Faults;
use Test::More;

my $faults = Faults->new(
	'webdav',
	small => [ 'small', '^PUT' ],
	large => [ 'large', '^PUT' ],
	update => [ 'update', '^PUT' ],
	final => [ 'update', '^PUT .*\.txt$' ],
	move => [ 'large', '^MOVE' ],
	mkcol => [ 'small', '^MKCOL' ],
	list => [ undef, '^PROPFIND' ],
	get => [ undef, '^GET' ]);
sub fault { return $faults->fault(@_) }
sub everywhere { return $faults->everywhere(@_) }

# what the server has done before its answer is lost is found by looking
my $done = 'small final move';
$faults->no_fault(qw(small large update));
$faults->protocol($done, "$done large mkcol", '');
$faults->statuses;

# --- what was done although the answer says nothing, or something else -------------------------

my %said = (state => 'succeeded');
for my $where (qw(small final move))
{
	fault('answer lost', $where, { fault => 'lost', after => 1 }, undef, %said);
	fault('answer lost to a gateway', $where, { fault => 'status', status => $_, after => 1, times => 1 }, undef, %said) foreach 502;
	fault('answer lost to an error', $where, { fault => 'status', status => 500, after => 1, times => 1 }, undef, %said);
}
fault('answer lost', 'large', { fault => 'lost', after => 1, times => 1 }, qr/closed the connection|broke off/);
fault('answer lost', 'mkcol', { fault => 'lost', after => 1, times => 1 }, qr/closed the connection|broke off/, state => 'failed|succeeded');

# --- what is said or kept is not what was sent ---------------------------------------------------

everywhere('web page', { fault => 'html' }, qr/web page|is not there after|is not what was sent|while it was written|conflicts|came with|does not know/);
everywhere('web page as WebDAV', { fault => 'html', status => 207 }, qr/web page|no WebDAV/);
fault('web page, no checksum', 'get', { fault => 'html' }, qr/came with \d+ bytes, but was listed with/, checksums => 0);
fault('flipped byte', 'get', { fault => 'flip' }, qr/another checksum than the server says/);
fault('wrong checksum', 'get', { fault => 'checksum' }, qr/another checksum than the server says/);
fault("other ETag $_->[0]", 'get', { fault => 'header', header => 'ETag', value => $_->[1] }, undef, %{ $_->[2] })
  foreach [ 'of the file', '"other"', { state => 'succeeded', items => qr/still being written/ } ], [ 'that is none', 'other', { state => 'succeeded' } ];
for my $where (qw(small large update))
{
	fault('kept with a byte flipped', $where, { fault => 'keep_flipped' }, qr/is not what was sent/, etags => 0);
	fault('kept by half', $where, { fault => 'keep_cut' }, qr/is not what was sent/, etags => 0);
	fault('kept by half, no checksum', $where, { fault => 'keep_cut' }, qr/is not what was sent/, etags => 0, checksums => 0);
}

# --- XML and names -----------------------------------------------------------------------------------

for my $case ([ 'entities', 'bomb', 'document type' ], [ 'a file by entity', 'external', 'document type' ], [ 'nesting', 'deep', 'no WebDAV' ],
	[ 'attributes', 'attributes', 'no WebDAV' ], [ 'no end', 'unclosed', 'no WebDAV' ], [ 'entries without end', 'endless_xml', 'goes on without naming|longer than' ])
{
	$faults->add("XML: $case->[0]", collect => 1, fault => { fault => $case->[1], on => '^PROPFIND' }, error => qr/$case->[2]/);
	$faults->add("XML: $case->[0], below", collect => 1, fault => { fault => $case->[1], on => '^PROPFIND /Inbox/sub' }, error => qr/Inbox.*(?:$case->[2]|took longer)/);
	# a folder that was made just now, as a 201 would say, is not listed
	$faults->add("XML: $case->[0]", push => 'small', state => 'succeeded',
		fault => [ { fault => $case->[1], on => '^PROPFIND' }, { fault => 'status', status => 200, after => 1, on => '^MKCOL' } ]);
}
$faults->add('entries without end in the folder', collect => 1, fault => { fault => 'endless_xml', on => '^PROPFIND /Inbox/$', folder => '/Inbox' },
	error => qr/more than 3000 entries \(cloudsync\.max_listing\)/);
my $long = 'x' x 10240;
my @hostile = (
	'/{place}/Inbox/..', '/{place}/Inbox/../../etc/passwd', '/{place}/Inbox/%2e%2e', '/{place}/Inbox/%2e%2e%2fout.txt', '/{place}/Inbox/.',
	'/{place}/Inbox//', '/etc/passwd', 'http://evil.example/{place}/Inbox/evil.txt', '//evil.example/{place}/Inbox/evil.txt', 'file:///etc/passwd',
	'/{place}x/Inbox/other.txt', '../up.txt', 'relative.txt', '', '/{place}/Inbox/nul%00.txt', '/{place}/Inbox/bad%ff%fe.txt', '/{place}/Inbox/bad%zz.txt',
	"/{place}/Inbox/$long.txt", '/{place}/Inbox/sub/deeper.txt', '/{place}/Inbox/line%0afeed.txt', '/{place}/Inbox/back%5cslash%2fslash.txt');
$faults->add('hostile names in the listing', collect => 1, fault => { fault => 'entries', on => '^PROPFIND /Inbox/$', hrefs => \@hostile },
	state => 'succeeded', items => qr/./, unlike => qr/passwd|evil|deeper|up\.txt|relative/);
$faults->add('a folder in itself', collect => 1, fault => { fault => 'entries', on => '^PROPFIND /Inbox/', hrefs => [ '/{place}/Inbox/', '/{place}/Inbox/sub/' ] },
	state => 'succeeded');

# --- a server that repeats what it was sent -------------------------------------------------------------

everywhere("$_->[0] repeats the request", { fault => 'reflect', status => $_->[0], %{ $_->[1] } }, qr/HTTP status|redirects|conflict/)
  foreach [ 403, {} ], [ 500, { text => '<d:error xmlns:d="DAV:" xmlns:s="http://sabredav.org/ns"><s:message>%s</s:message></d:error>', type => 'application/xml' } ];
fault('redirect that repeats the request', $_, { fault => 'reflect', status => 302 }, qr/redirects/, reason => qr/redirects/) foreach qw(small list get);

$faults->run;
done_testing();
