# OneDrive at its worst, in both directions: every fault of the test cloud
# (test/cloud/cloud_faults.py, graph.py), in pushes (small files in one request, a
# large one in an upload session, files that are replaced, folders that are made) and
# in collections (listings, the feed of changes, downloads). Each case says what is
# recorded while the fault lasts; that the next run mends it, with every file there
# once and each document here once, is asked of all.
use strict;
use warnings;

use CloudFaults;
use Test::More;
use TestCloud;

plan skip_all => TestCloud::missing() if TestCloud::missing();

my $faults = CloudFaults->new(
	'onedrive',
	small => [ 'small', 'content.put' ],
	update => [ 'update', 'content.put' ],
	begin => [ 'large', 'upload.create' ],
	piece => [ 'large', 'upload.put', anonymous => 1 ],
	folder => [ 'small', 'children.create' ],
	list => [ undef, 'children.list' ],
	get => [ undef, 'download', anonymous => 1 ],
	changes => [ undef, 'delta', again => 1 ]);
sub fault { return $faults->fault(@_) }
sub everywhere { return $faults->everywhere(@_) }

$faults->no_fault(qw(small large update));
$faults->conversation('small update piece folder');
# on a machine that is slow itself time is up here or there, and what was begun by then is done or not
for my $case (grep { grep { $_->{fault} =~ /^(?:stall|drip|endless)$/ } @{ $_->{faults} } } @{ $faults->{cases} })
{
	delete $case->{items};
	@$case{qw(state error reason)} = ('succeeded|partial|failed',
		qr/took longer|slower than|did not answer|within \d+ s|longer than it may be|holds its name|more than the/, qr/^/);
}
$faults->statuses('small list get');

# --- Microsoft's codes ----------------------------------------------------------------------

sub code { my ($status, $code, $inner) = @_; return { fault => 'error', status => $status, code => $code, defined $inner ? (inner => $inner) : () }; }

everywhere(join(' ', grep { defined } @$_[1, 2]), code(@$_[0, 1, 2]), $_->[3], %{ $_->[4] // {} }, only => $_->[5] // 'small list changes')
  foreach [ 403, 'accessDenied', undef, qr/access denied/ ],
  [ 403, 'Authorization_RequestDenied', undef, qr/not been given this permission/ ],
  [ 423, 'notAllowed', 'resourceLocked', qr/somebody has it open/, {}, 'small update piece' ],
  [ 507, 'quotaLimitReached', undef, qr/the store is full/, { reason => qr/the store is full/ }, 'small begin piece' ],
  [ 429, 'activityLimitReached', 'throttledRequest', qr/fewer requests/ ],
  [ 503, 'serviceNotAvailable', 'serviceReadOnly', qr/takes no changes|not available/ ],
  [ 409, 'resourceModified', undef, qr/somebody else is changing it|changed/, {}, 'small update begin' ],
  [ 412, 'resourceModified', 'entityTagDoesNotMatch', qr/being changed by somebody else/, {}, 'update' ],
  [ 400, 'invalidRequest', 'pathIsTooLong', qr/longer than the 400 characters/, {}, 'small begin' ],
  [ 400, 'invalidRequest', 'invalidPath', qr/does not take its name/, {}, 'small begin' ];
fault('the name is held', $_, code(409, 'nameAlreadyExists'), qr/holds its name/) foreach qw(small begin);
fault('no folder', 'folder', code(404, 'itemNotFound'), qr/not there/, reason => qr/not there/);

# --- uploads -----------------------------------------------------------------------------------

fault('flipped in the request', 'small', { fault => 'flip_body', byte => 100, times => 1 }, undef, state => 'succeeded');
fault('flipped in the request', 'update', { fault => 'flip_body', byte => 100, times => 1 }, undef, state => 'succeeded');
fault('flipped in the request', 'piece', { fault => 'flip_body', byte => 4000, times => 1 }, undef, state => 'succeeded');
fault('flipped in each request', 'small', { fault => 'flip_body', byte => 100 }, qr/did not arrive as it was sent/);
fault('broken off in the request', $_, { fault => 'reset', at => 'body', after => 100, times => 1 }, undef, state => 'succeeded|failed|partial') foreach qw(small update piece);
fault('the session is lost', 'piece', { fault => 'session_lost', times => 1 }, undef, state => 'succeeded');
fault('all sessions are lost', 'piece', { fault => 'session_lost' }, qr/loses its upload|its upload is gone/);
fault('a fragment is not found', 'piece', { fault => 'fragment_404', times => 1 }, undef, state => 'succeeded');
fault("its address has ended ($_)", 'piece', { fault => 'temp_expired', times => 1, status => $_ }, undef, state => 'failed|partial|succeeded') foreach 401;
fault('asked for what is there', 'piece', { fault => 'lost_early' }, undef, state => 'succeeded');
fault('an error, but it is there', 'piece', { fault => 'stranded' }, undef, state => 'succeeded');
$faults->add('of two parts, one lost', push => 'parts', fault => { fault => 'reset', on => 'upload.put', at => 'commit', times => 1 }, state => 'succeeded');
$faults->add('of two parts, one broken off', push => 'parts', fault => { fault => 'reset', on => 'upload.put', at => 'body', after => 3_000_000, times => 1 }, state => 'succeeded');
$faults->add('of two parts, the answer lost', push => 'parts', fault => { fault => 'truncate', on => 'upload.put', times => 1 }, state => 'succeeded');

# --- listings and downloads ----------------------------------------------------------------

fault('flipped in the answer', 'get', { fault => 'flip' }, qr/another checksum|another version/);
fault('ranges are ignored', 'get', { fault => 'ignore_range' }, undef, state => 'succeeded', items => undef);
fault("its address has ended ($_)", 'get', { fault => 'temp_expired', times => 1, status => $_ }, undef, state => 'succeeded', items => undef) foreach 401, 403, 404;
fault("all addresses have ended ($_)", 'get', { fault => 'temp_expired', status => $_ }, qr/could not read/) foreach 401, 404;
fault('cut off in the middle', 'get', { fault => 'truncate', times => 1 }, undef, state => 'succeeded', items => undef);
fault('empty pages', $_, { fault => 'empty_page', times => 2 }, undef, state => 'succeeded') foreach qw(list changes);
fault('empty pages without end', $_, { fault => 'empty_page' }, qr/without end/) foreach qw(list changes);
fault('moved to another address', 'list', { fault => 'moved_away', times => 1 }, undef, state => 'succeeded');
fault('moved without end', 'list', { fault => 'moved_away' }, qr/elsewhere/, reason => qr/elsewhere/);
fault('pages in circles', 'changes', { fault => 'delta_loop' }, qr/without end/);
fault('a link that means nothing', 'changes', { fault => 'stuck_link' }, qr/means nothing/);
fault('each item twice', 'changes', { fault => 'duplicates' }, undef, state => 'succeeded');
fault("the link has ended: $_->[0]", 'changes', { fault => 'resync', times => 1, code => $_->[0], location => $_->[1] }, undef, state => 'succeeded')
  foreach [ 'resyncChangesApplyDifferences', \1 ], [ 'resyncChangesUploadDifferences', \0 ];
fault('the link is forgotten', 'changes', { fault => 'sync_lost', times => 1 }, undef, state => 'succeeded');

# --- what was pushed is moved, renamed, removed ---------------------------------------------

$faults->moves('item.update', 'item.update', 'item.delete',
	[ 'locked', code(423, 'notAllowed', 'resourceLocked'), qr/somebody has it open/, state => 'partial|failed' ],
	[ 'changed meanwhile, once', { %{ code(412, 'resourceModified', 'entityTagDoesNotMatch') }, times => 1 }, undef, state => 'succeeded' ],
	[ 'the name is held, once', { %{ code(409, 'nameAlreadyExists') }, times => 1 }, undef, only => 'moved', state => 'succeeded' ]);

$faults->run;
done_testing();
