# Collecting from Dropbox at its worst: every fault of the test cloud
# (test/cloud/cloud_faults.py, dropbox_api.py), at the folder, its listing, what
# changed since the last one, and downloads. Each case says what is recorded while the
# fault lasts; that the next run mends it, with each document here once, is asked of
# all.
use strict;
use warnings;

use CloudFaults;
use Test::More;
use TestCloud;

plan skip_all => TestCloud::missing() if TestCloud::missing();

my $faults = CloudFaults->new(
	'dropbox',
	list => [ undef, 'files/list_folder' ],
	changes => [ undef, 'files/list_folder/continue', again => 1 ],
	get => [ undef, 'files/download' ]);
sub fault { return $faults->fault(@_) }
sub everywhere { return $faults->everywhere(@_) }

$faults->no_fault();
$faults->conversation('');
$faults->statuses;

everywhere('another server\'s error', { fault => 'internal' }, qr/HTTP status 500/);
everywhere('locked', { fault => 'locked' }, qr/others are writing/);
everywhere('data limit', { fault => 'data_limit' }, qr/used up/, reason => qr/used up/);
fault('not found', 'get', { fault => 'not_found' }, qr/not there/);
fault('flipped in the answer', 'get', { fault => 'flip' }, qr/not arrive as/);
fault('a cursor that is refused', 'changes', { fault => 'reset_cursor', times => 1 }, undef, state => 'succeeded');
fault('empty pages', $_, { fault => 'empty_page', times => 2 }, undef, state => 'succeeded') foreach qw(list changes);
fault('small pages', $_, { fault => 'small_page' }, undef, state => 'succeeded') foreach qw(list changes);

$faults->run;
done_testing();
