# Google Drive at its worst, in both directions: every fault of the test cloud
# (test/cloud/cloud_faults.py, gdrive.py), in pushes (small files in one request, one
# in an upload session, files that are replaced, folders that are made) and in
# collections (listings, the feed of changes, downloads, exports). Each case says what
# is recorded while the fault lasts; that the next run mends it, with every file there
# once and each document here once, is asked of all.
use strict;
use warnings;

use CloudFaults;
use Test::More;
use TestCloud;

plan skip_all => TestCloud::missing() if TestCloud::missing();

my $faults = CloudFaults->new(
	'gdrive',
	small => [ 'small', 'upload.create' ],
	update => [ 'update', 'upload.update' ],
	# a session that is given up ends by itself
	piece => [ 'large', 'upload.session', uploads => 1 ],
	folder => [ 'small', 'files.create' ],
	list => [ undef, 'files.list' ],
	get => [ undef, 'files.media' ],
	changes => [ undef, 'changes.list', again => 1 ]);
# where fewer faults are worth their time
my %more = (
	begin => [ 'large', 'upload.create' ],
	look => [ 'small', 'files.list' ],
	seen => [ 'update', 'files.get' ],
	token => [ undef, 'changes.getStartPageToken' ],
	top => [ undef, 'files.get' ],
	export => [ undef, 'files.export', inbox => { '/Inbox/Letter' => [ native => mime => 'document', text => 'exported' ] }, found => { '/Inbox/Letter.pdf' => 'exported' } ]);
sub fault { return $faults->fault(@_) }
sub everywhere { return $faults->everywhere(@_) }

$faults->no_fault(qw(small large update));
$faults->conversation('small update folder', 'piece');
fault("$_->[0], once", 'piece', { %{ $_->[1] }, times => 1 }, undef, state => 'succeeded')
  foreach [ 'reset after the work', { fault => 'reset', at => 'commit' } ], [ 'reset in the middle of the answer', { fault => 'reset', at => 'answer' } ],
  [ 'truncated answer', { fault => 'truncate' } ], [ 'Content-Length too long', { fault => 'length', by => 10 } ], [ 'no HTTP', { fault => 'garbage' } ];
$faults->statuses('small piece list get');
$faults->{where} = { %{ $faults->{where} }, %more };
for my $where (sort keys %more)
{
	fault('reset before the work', $where, { fault => 'reset' }, qr/closed the connection|broke off/);
	fault('a web page', $where, { fault => 'html' }, qr/makes no sense|could not be read|no address of the service's own/);
	fault('503', $where, { fault => 'unavailable' }, qr/HTTP status 503/);
	fault('token expired', $where, { fault => 'expired', times => 1 }, undef, state => 'succeeded');
}

# --- Drive's reasons -------------------------------------------------------------------

everywhere($_->[0], { fault => 'error', status => $_->[1], reason => $_->[0] }, $_->[2], %{ $_->[3] // {} }, only => 'small piece list get')
  foreach [ 'userRateLimitExceeded', 403, qr/too many requests/ ],
  [ 'rateLimitExceeded', 429, qr/too many requests/ ],
  [ 'dailyLimitExceeded', 403, qr/the day's limit/ ],
  [ 'storageQuotaExceeded', 403, qr/the storage is full/, { reason => qr/storage is full/ } ],
  [ 'insufficientFilePermissions', 403, qr/may not do this/ ],
  [ 'domainPolicy', 403, qr/administrator does not allow/ ],
  [ 'accessNotConfigured', 403, qr/is not enabled/, { reason => qr/is not enabled/ } ],
  [ 'insufficientPermissions', 403, qr/a scope is missing/, { connection => 'needs_consent', reason => qr/a scope is missing/ } ],
  [ 'somethingNew', 403, qr/HTTP status 403/ ],
  [ 'notFound', 404, qr/not there/ ],
  [ 'backendError', 503, qr/HTTP status 503/ ];
fault('Retry-After with a reason', 'small', { fault => 'throttle', status => 403, reason => 'userRateLimitExceeded', retry_after => 1 }, qr/too many requests/);
fault('downloadQuotaExceeded', 'get', { fault => 'error', status => 403, reason => 'downloadQuotaExceeded' }, qr/too often today/);
fault('the id is in use', 'small', { fault => 'error', status => 409, reason => 'fileIdInUse' }, qr/ids are in use/);

# --- bytes that change on their way, or are kept in part --------------------------------------

fault('flipped in the request', 'small', { fault => 'flip_body', byte => 700, times => 1 }, undef, state => 'succeeded');
fault('flipped in the request', 'update', { fault => 'flip_body', byte => 400, times => 1 }, undef, state => 'succeeded');
fault('flipped in the request', 'piece', { fault => 'flip_body', byte => 4000, times => 1 }, undef, state => 'succeeded');
fault('flipped in the answer', $_, { fault => 'flip' }, qr/./, state => 'partial') foreach qw(get);
fault('reset in the middle of the piece', 'piece', { fault => 'reset', at => 'body', after => 1_000_000, times => 1 }, undef, state => 'succeeded');
fault('reset in the middle of each piece', 'piece', { fault => 'reset', at => 'body', after => 1_000_000 }, undef, state => 'succeeded');
fault('kept in part', 'piece', { fault => 'partial_chunk', keep => 300_000, times => 2 }, undef, state => 'succeeded');
fault('nothing is kept', 'piece', { fault => 'partial_chunk' }, qr/does not get on/);
fault('the session is gone', 'piece', { fault => 'session_gone', times => 1 }, undef, state => 'succeeded');
fault('all sessions are gone', 'piece', { fault => 'session_gone' }, qr/./);
$faults->add('of two pieces', push => 'parts', fault => { fault => 'partial_chunk', on => 'upload.session', keep => 5_000_000, times => 1 }, state => 'succeeded');

# --- listings --------------------------------------------------------------------------------

fault('a search that lags', 'look', { fault => 'search_blind' }, undef, state => 'succeeded');
fault('a search that is not complete', $_, { fault => 'incomplete' }, qr/did not come to its end/) foreach qw(look list);
fault('empty pages', $_, { fault => 'empty_page', times => 2 }, undef, state => 'succeeded') foreach qw(list changes);
fault("a cursor that is refused with $_", 'changes', { fault => 'bad_token', status => $_, times => 1 }, undef, state => 'succeeded') foreach 400, 404, 410;

# --- what was pushed is moved, renamed, brought to the trash ------------------------------------

$faults->moves(('files.update') x 3,
	[ 'rateLimitExceeded', { fault => 'error', status => 403, reason => 'userRateLimitExceeded' }, qr/too many requests/, state => 'partial|failed' ],
	[ 'gone', { fault => 'error', status => 404, reason => 'notFound', times => 1 }, undef, only => 'moved renamed', state => 'succeeded|partial|failed' ],
	[ 'not allowed', { fault => 'error', status => 403, reason => 'insufficientFilePermissions' }, qr/may not do this/, state => 'partial|failed' ]);

$faults->run;
done_testing();
