# Collecting from a local folder, end to end: what comes in, what is refused,
# what is known already (L1 to L9, L12, F1 to F4, B1).
use strict;
use warnings;

use CloudsyncTest;
use File::Copy qw(move copy);
use PostgreSQL::Test::Utils;
use Socket qw(AF_UNIX SOCK_STREAM pack_sockaddr_un);
use POSIX qw(mkfifo);
use Test::More;

my $node = new_cluster('collect');
my $root = local_root($node);
create_extension($node);

sub sql { return $node->safe_psql('postgres', $_[0]) }

# Runs the channel by hand and gives back the run's id once it ended as expected.
sub collect
{
	my ($channel, $state) = @_;
	my $run = sql("SET client_min_messages = error; SELECT cloudsync_collect('$channel')");
	ok(wait_run($node, $run, $state // 'succeeded'), "collection of $channel ended: " . ($state // 'succeeded'));
	return $run;
}

sub documents { return sql("SELECT name FROM cloudsync.document ORDER BY document_id") }

sub count_documents { return sql("SELECT count(*) FROM cloudsync.document") }

sub item
{
	my ($path) = @_;
	return sql("SELECT state FROM cloudsync.item WHERE path = '$path' ORDER BY item_id DESC LIMIT 1");
}

sub counts
{
	my ($run) = @_;
	return sql("SELECT files_done, files_skipped, files_failed FROM cloudsync.history WHERE run_id = $run");
}

sql(q{SELECT cloudsync_add_recipient('ann'); SELECT cloudsync_connect('local', 'Box')});
write_file("$root/Inbox/letter.pdf", "a letter");
write_file("$root/Inbox/2026/scan.png", "a scan");
write_file("$root/Inbox/empty.txt", '');
sql(q{SELECT cloudsync_create_channel('Box', 'mail', ARRAY['/Inbox'], 'ann', 'Mail', auto_collect => false)});

# --- what comes in
my $run = collect('mail');
is(counts($run), '3|0|0', 'three documents');
is(sql(q{SELECT name, size, media_type, remote_path, recipient, binder, state, encode(sha256, 'hex') = encode(sha256(cloudsync_content(document_id)), 'hex')
	FROM cloudsync.document ORDER BY remote_path}),
	"scan.png|6|image/png|/Inbox/2026/scan.png|ann|Mail|waiting|t\n"
	  . "empty.txt|0|text/plain|/Inbox/empty.txt|ann|Mail|waiting|t\n"
	  . "letter.pdf|8|application/pdf|/Inbox/letter.pdf|ann|Mail|waiting|t",
	'documents with their facts, the empty one too');
is(sql(q{SELECT cloudsync_content(document_id) FROM cloudsync.document WHERE name = 'letter.pdf'}),
	'\x' . unpack('H*', 'a letter'), 'content');
is(sql(q{SELECT convert_from(cloudsync_read(document_id, 2, 3), 'UTF8') FROM cloudsync.document WHERE name = 'letter.pdf'}),
	'let', 'a part of it');
is(sql(q{SELECT count(*) FROM cloudsync.inbox}), 3, 'the inbox has them');
is(sql(q{SELECT count(*) FROM cloudsync.staging}), 0, 'nothing is left in staging');
is(sql(q{SELECT auto_sync, items, collected, state FROM cloudsync.folders}), 'f|3|3|ok', 'the folder as a row')
  or diag(sql('SELECT * FROM cloudsync.folders'));
is(sql(q{SELECT synced_by FROM cloudsync.folders}), 'postgres', 'who asked');
is(read_file("$root/Inbox/letter.pdf"), 'a letter', 'the remote is left as it is');

# --- exactly once
is(counts(collect('mail')), '0|0|0', 'again: nothing');
my $requests = sql("SELECT requests FROM cloudsync.history ORDER BY run_id DESC LIMIT 1");
rename "$root/Inbox/letter.pdf", "$root/Inbox/renamed.pdf" or die;
rename "$root/Inbox/2026/scan.png", "$root/Inbox/moved.png" or die;
is(counts(collect('mail')), '0|0|0', 'renamed and moved: not again, and not downloaded');
is(sql("SELECT bytes_received FROM cloudsync.history ORDER BY run_id DESC LIMIT 1"), 0, 'no byte was received');
is(item('/Inbox/renamed.pdf'), 'collected', 'the new name is collected');
is(item('/Inbox/letter.pdf'), 'gone', 'the old name is gone');

copy("$root/Inbox/renamed.pdf", "$root/Inbox/copy.pdf") or die;
$run = collect('mail');
is(counts($run), '0|1|0', 'a copy is skipped');
is(item('/Inbox/copy.pdf'), 'duplicate', 'a copy is a duplicate');
like(sql("SELECT action, error FROM cloudsync.history_file WHERE run_id = $run"),
	qr{^duplicate\|same content as "/Inbox/letter.pdf", document \d+$}, 'and history says so');

# a new inode with the same bytes at a known path is the same item
write_file("$root/Inbox/.tmp-x", 'a letter');
rename "$root/Inbox/.tmp-x", "$root/Inbox/renamed.pdf" or die;
collect('mail');
is(item('/Inbox/renamed.pdf'), 'collected', 'rewritten with the same bytes: the same item');
is(count_documents(), 3, 'and no further document');

# changed in place: shown, not collected
write_file("$root/Inbox/renamed.pdf", 'A LETTER');
collect('mail');
is(item('/Inbox/renamed.pdf'), 'changed', 'same size, other bytes: changed');
write_file("$root/Inbox/renamed.pdf", 'a much longer letter');
collect('mail');
is(item('/Inbox/renamed.pdf'), 'changed', 'other size: changed');
is(count_documents(), 3, 'not collected again');

# other bytes at a path that was gone are a new document
unlink "$root/Inbox/renamed.pdf" or die;
collect('mail');
is(item('/Inbox/renamed.pdf'), 'gone', 'deleted there: gone');
write_file("$root/Inbox/renamed.pdf", 'a second letter');
collect('mail');
is(count_documents(), 4, 'other bytes at a path that was gone are a new document');

# the channel, then the connection made again
my $state_before = documents();
sql(q{SELECT cloudsync_delete_channel('mail')});
is(count_documents(), 4, 'deleting a channel keeps documents');
sql(q{SELECT cloudsync_create_channel('Box', 'mail', ARRAY['/Inbox'], 'ann', 'Mail', auto_collect => false)});
is(counts(collect('mail')), '0|0|0', 'channel made again: nothing again');
write_file("$root/Inbox/copy2.pdf", 'a second letter');
is(counts(collect('mail')), '0|1|0', 'content is known in the channel made again');
sql(q{SELECT cloudsync_disconnect('Box')});
sql(q{SELECT cloudsync_connect('local', 'Elsewhere')});
sql(q{SELECT cloudsync_create_channel('Elsewhere', 'mail', ARRAY['/Inbox'], 'ann', 'Mail', auto_collect => false)});
is(counts(collect('mail')), '0|0|0', 'connection made again under another name: nothing again');
rename "$root/Inbox/renamed.pdf", "$root/Inbox/renamed again.pdf" or die;
is(counts(collect('mail')), '0|0|0', 'and renamed then: nothing again');
sql(q{SELECT cloudsync_create_channel('Elsewhere', 'other', ARRAY['/Other'], 'ann', 'Mail', auto_collect => false)});
write_file("$root/Other/x.txt", 'x');
rename "$root/Inbox/moved.png", "$root/Other/moved.png" or die;
is(counts(collect('other')), '1|0|0', 'a file that moved to another channel is known there');

# --- collected again, on record
my $id = sql(q{SELECT document_id FROM cloudsync.document WHERE name = 'x.txt'});
$run = sql("SELECT cloudsync_recollect($id)");
ok(wait_run($node, $run), 'recollected');
is(sql(q{SELECT string_agg(version::text, ',' ORDER BY document_id) FROM cloudsync.document WHERE name = 'x.txt'}), '1,2', 'a further version');
is(counts(collect('other')), '0|0|0', 'and not again after that');

# --- strange things in a folder
mkfifo("$root/Odd/fifo", 0600) if mkdir "$root/Odd";
symlink('/etc/passwd', "$root/Odd/link") or die;
socket(my $sock, AF_UNIX, SOCK_STREAM, 0) or die;
{
	my $short = PostgreSQL::Test::Utils::tempdir_short();
	symlink("$root/Odd", "$short/o") or die;
	bind($sock, pack_sockaddr_un("$short/o/sock")) or die "bind: $!";
}
my $long = 'n' x 251 . '.txt';
write_file("$root/Odd/$long", 'long');
write_file("$root/Odd/bad\xff\xfename.txt", 'bad');
write_file("$root/Odd/new\nline.txt", 'newline');
write_file("$root/Odd/...", 'dots');
write_file("$root/Odd/good.txt", 'good');
write_file("$root/Odd/.cloudsync-0123456789abcdef.part", 'ours');
sql(q{SELECT cloudsync_create_channel('Elsewhere', 'odd', ARRAY['/Odd/'], 'ann', 'Mail', auto_collect => false)});
$run = collect('odd');
is(sql(q{SELECT count(*) FROM cloudsync.item i JOIN cloudsync.channel c USING (channel_id)
	WHERE c.name = 'odd' AND i.kind = 'other' AND i.state = 'excluded' AND i.reason <> ''}), 3,
	'FIFO, socket and link are listed with a reason');
is(sql(q{SELECT count(*) FROM cloudsync.document d JOIN cloudsync.channel c USING (channel_id) WHERE c.name = 'odd' AND d.name ~ '^n+.txt$'}), 1, 'a name of 255 bytes');
is(sql(q{SELECT state, reason <> '' FROM cloudsync.item WHERE name LIKE 'bad%'}), 'excluded|t', 'a name that is not UTF-8 is listed with a reason');
is(sql(q{SELECT count(*) FROM cloudsync.document d WHERE name = E'new\nline.txt'}), 1, 'a name with a newline');
is(sql(q{SELECT count(*) FROM cloudsync.document d WHERE name = '...'}), 1, 'a name of dots');
is(sql(q{SELECT count(*) FROM cloudsync.item WHERE name LIKE '.cloudsync-%'}), 0, 'our own temporary names are not even items');

# --- patterns and sizes
write_file("$root/Pat/a.pdf", 'a pdf');
write_file("$root/Pat/b.txt", 'a txt');
write_file("$root/Pat/old/c.pdf", 'c pdf');
write_file("$root/Pat/big.pdf", 'x' x 100);
sql(q{SELECT cloudsync_create_channel('Elsewhere', 'pat', ARRAY['/Pat'], 'ann', 'Mail', auto_collect => false,
	include => ARRAY['*.pdf'], exclude => ARRAY['old/'], max_size => 50)});
is(counts(collect('pat')), '1|0|0', 'only what the patterns let pass');
is(sql(q{SELECT path, state, reason FROM cloudsync.item WHERE path LIKE '/Pat/%' AND kind = 'file' ORDER BY path}),
	"/Pat/a.pdf|collected|\n"
	  . "/Pat/b.txt|excluded|no include pattern matches\n"
	  . "/Pat/big.pdf|excluded|larger than max_size (50 bytes)\n"
	  . "/Pat/old/c.pdf|excluded|an exclude pattern matches",
	'what is excluded is listed with the reason');
sql(q{SELECT cloudsync_alter_channel('pat', exclude => '{}', max_size => 0)});
is(counts(collect('pat')), '2|0|0', 'a changed filter lets the others in');

# --- dedup by version
write_file("$root/Ver/v.txt", 'one');
sql(q{SELECT cloudsync_create_channel('Elsewhere', 'ver', ARRAY['/Ver'], 'ann', 'Mail', auto_collect => false, dedup => 'version')});
collect('ver');
write_file("$root/Ver/v.txt", 'two!');
collect('ver');
is(sql(q{SELECT string_agg(version || ':' || convert_from(cloudsync_content(document_id), 'UTF8'), ',' ORDER BY document_id)
	FROM cloudsync.document WHERE name = 'v.txt'}), '1:one,2:two!', 'a changed file is a further version');
utime(0, 1000000000, "$root/Ver/v.txt");
is(counts(collect('ver')), '0|1|0', 'the same bytes with another time are no version');

# --- move: after collection
write_file("$root/Mov/m.txt", 'move me');
write_file("$root/Mov/Done/m.txt", 'in the way');
sql(q{SELECT cloudsync_create_channel('Elsewhere', 'mov', ARRAY['/Mov'], 'ann', 'Mail', auto_collect => false, recursive => false, after_collect => 'move:/Mov/Done')});
collect('mov');
is(read_file("$root/Mov/Done/m (2).txt"), 'move me', 'moved, under a number since the name was taken');
ok(!-e "$root/Mov/m.txt", 'not where it was');
write_file("$root/Mov/m.txt", 'a new one');
collect('mov');
is(read_file("$root/Mov/Done/m (3).txt"), 'a new one', 'other bytes at a path we moved a file from are a new document');
sql(q{SELECT cloudsync_alter_channel('mov', recursive => true)});
is(counts(collect('mov')), '1|0|0', 'below the channel: what was moved is known, what somebody put there is collected (L12)');
is(read_file("$root/Mov/Done/m.txt"), 'in the way', 'and stays where it is');
write_file("$root/Many/$_/same.txt", "of $_") foreach 1 .. 12;
write_file("$root/Many/other.txt", 'other');
sql(q{SELECT cloudsync_create_channel('Elsewhere', 'many', ARRAY['/Many'], 'ann', 'Mail', auto_collect => false, after_collect => 'move:/Moved')});
is(counts(collect('many')), '13|0|0', 'many at once');
is_deeply([ sort map { read_file("$root/Moved/$_") } files_below("$root/Moved") ], [ sort 'other', map { "of $_" } 1 .. 12 ], '... are moved, each of one name under a number of its own');

# --- a folder that is renamed is followed
rename "$root/Ver", "$root/Version" or die;
write_file("$root/Version/w.txt", 'new in the renamed folder');
is(counts(collect('ver')), '1|0|0', 'a renamed folder is followed by its id');
rename "$root/Version", "$root/../away" or die;
$run = collect('ver', 'failed');
like(sql("SELECT error FROM cloudsync.history WHERE run_id = $run"), qr{folder "/Ver" is not there}, 'a folder that is not there fails the run');
is(sql(q{SELECT count(*) FROM cloudsync.item WHERE path LIKE '/Version/%' AND state = 'gone'}), 0, 'and makes nothing gone');
is(sql(q{SELECT state FROM cloudsync.folders WHERE channel = 'ver'}), 'gone', 'the folder says so');

# --- refresh
my ($rc, $out, $err) = $node->psql('postgres', q{SELECT cloudsync_refresh_items('pat')});
like($err, qr{auto sync of channel "pat" is off.*cloudsync_set_auto_sync}s, 'refresh with auto sync off is refused');
sql(q{SELECT cloudsync_set_auto_sync('pat', true)});
ok(wait_for($node, q{SELECT bool_and(finished_at IS NOT NULL) AND count(*) = 3 FROM cloudsync.history WHERE channel = 'pat'}), 'switched on: it collects at once');
write_file("$root/Pat/z.pdf", 'z');
$run = sql(q{SELECT cloudsync_refresh_items('pat')});
ok(wait_run($node, $run), 'refreshed');
is(item('/Pat/z.pdf'), 'new', 'an item that is not collected');
is(sql("SELECT kind, files_done FROM cloudsync.history WHERE run_id = $run"), 'refresh|0', 'a run of its own kind');
is(sql(q{SELECT next_collect_at > now(), synced_by FROM cloudsync.channels c JOIN cloudsync.folders f USING (channel) WHERE channel = 'pat'}) =~ /^t/ ? 1 : 0, 1, 'the next one is planned');

# --- calls before the start share a run
$node->safe_psql('postgres', q{SELECT cloudsync_set_auto_sync('pat', false)});
my @runs = split /\n/, sql(q{BEGIN; SELECT cloudsync_collect('pat'); SELECT cloudsync_collect('pat'); COMMIT});
is(scalar(@runs), 2, 'two runs');
ok(wait_run($node, $_), "run $_ ended well") for @runs;
is(sql("SELECT count(DISTINCT coalesce(shared_run_id, run_id)) FROM cloudsync.run WHERE run_id IN ($runs[0], $runs[1])"), 1, 'that shared one execution');

# --- rolled back: nothing
my $before = sql('SELECT count(*) FROM cloudsync.run');
sql(q{BEGIN; SELECT cloudsync_collect('pat'); ROLLBACK});
is(sql('SELECT count(*) FROM cloudsync.run'), $before, 'rolled back, nothing is queued');

# --- what was pushed is never collected
application_schema($node);
sql(q{INSERT INTO app.dossier (title) VALUES ('Dupont'); INSERT INTO app.dossier_file (dossier_id, name, content) VALUES (1, 'sent.txt', 'sent');
	SELECT cloudsync_track('app.dossier', 'app.dossier_file');
	SELECT cloudsync_set_push('Elsewhere', root => 'Out', every => '1 second')});
ok(wait_for($node, q{SELECT count(*) > 0 FROM cloudsync.files WHERE state = 'synced'}), 'something is pushed');
sql(q{SELECT cloudsync_create_channel('Elsewhere', 'out', ARRAY['/Out'], 'ann', 'Mail', auto_collect => false)});
write_file("$root/Out/theirs.txt", 'theirs');
is(counts(collect('out')), '1|0|0', 'a folder we push to: only what somebody else put there');
is(item('/Out/Dupont/sent.txt'), 'excluded', 'what was pushed is excluded');
rename "$root/Out/Dupont/sent.txt", "$root/Out/taken.txt" or die;
is(counts(collect('out')), '0|0|0', 'also when it was moved');

# --- little free disk
$node->safe_psql('postgres', 'ALTER SYSTEM SET cloudsync.min_free_disk = 99');
$node->reload;
write_file("$root/Pat/late.pdf", 'late');
$run = collect('pat', 'partial');
like(sql("SELECT error FROM cloudsync.history WHERE run_id = $run"), qr{collecting pauses: .* cloudsync.min_free_disk}, 'collecting pauses and says so');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET cloudsync.min_free_disk');
$node->append_conf('postgresql.conf', 'cloudsync.min_free_disk = 0');
$node->reload;
is(counts(collect('pat')), '1|0|0', 'and goes on');

# --- the bytes of a day
my $connection = sql("SELECT connection FROM cloudsync.folders WHERE channel = 'pat'");
sql("SELECT cloudsync_set_limits('$connection', NULL, NULL, 1000)");
write_file("$root/Pat/first.pdf", 'x' x 1500);
is(counts(collect('pat')), '1|0|0', 'a document that is larger than what is left of the day');
write_file("$root/Pat/second.pdf", 'y' x 10);
$run = collect('pat', 'partial');
like(sql("SELECT error FROM cloudsync.history WHERE run_id = $run"), qr{collecting pauses: the 1000 bytes a day}, 'the next waits for another day, and says so');
sql("UPDATE cloudsync.connection SET collected_day = collected_day - 1 WHERE name = '$connection'");
is(counts(collect('pat')), '1|0|0', 'on another day it goes on');
sql("SELECT cloudsync_set_limits('$connection', NULL, NULL, NULL)");

# --- many: what is read to find the next ones grows with their number, not with its square
sql('SELECT pg_stat_reset()');
write_file("$root/Pat/many-$_.pdf", "many $_") foreach 1 .. 1500;
is(counts(collect('pat')), '1500|0|0', 'many documents');
$node->restart; # the worker reports what it has counted
my $read = sql(q{SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'item_todo'});
cmp_ok($read, '>=', 1500, 'each was found by the index of what is to be done');
cmp_ok($read, '<=', 2 * 1500, 'and not all of them for each few');

$node->stop('fast');
done_testing();
