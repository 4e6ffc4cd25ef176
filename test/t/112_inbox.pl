# What becomes of documents that people decide about, with collections under way:
# a forgotten one is not collected again, whatever its file does (L4, B1); two
# people who decide at once; and connected folders on the local provider (F1 to F4).
use strict;
use warnings;

use CloudsyncTest;
use File::Copy qw(copy);
use FolderTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('inbox');
my $root = local_root($node);
create_extension($node);
sub sql { return $node->safe_psql('postgres', $_[0]) }

sub collect
{
	my ($what, $state, $channel) = @_;
	my $run = sql("SET client_min_messages = error; SELECT cloudsync_collect('@{[$channel // 'mail']}')");
	ok(wait_run($node, $run, $state), $what);
	return sql("SELECT files_done || ' ' || files_skipped FROM cloudsync.history WHERE run_id = $run");
}

sub id { my ($name) = @_; return sql("SELECT min(document_id) FROM cloudsync.document WHERE name = '$name'") }

# What the statement is refused with, hint included.
sub refused
{
	my (undef, undef, $said) = $node->psql('postgres', "SET ROLE operator; $_[0]");
	return $said;
}

sql(q{CREATE ROLE operator LOGIN IN ROLE cloudsync_operator; CREATE ROLE other LOGIN IN ROLE cloudsync_operator;
	SELECT cloudsync_add_recipient('ann'), cloudsync_add_recipient('bob'); SELECT cloudsync_connect('local', 'Box')});
write_file("$root/Inbox/letter.txt", 'a letter to be forgotten');
write_file("$root/Inbox/large.bin", 'x' x 5_000_000);
write_file("$root/Inbox/both.txt", 'wanted by two');
write_file("$root/Inbox/again.txt", 'asked for again');
sql(q{SELECT cloudsync_create_channel('Box', 'mail', '{/Inbox}', 'ann', 'Mail', auto_collect => false)});
is(collect('collected'), '4 0', 'four documents');

# --- forgotten: the bytes go, the file stays known ---------------------------------------------
my ($letter, $large) = (id('letter.txt'), id('large.bin'));
is(sql('SELECT count(*) > 6 FROM cloudsync.chunk'), 't', 'bytes in several chunks');
sql("SET ROLE operator; SELECT cloudsync_forget($letter, 'by letter'), cloudsync_forget($large, 'too large')");
is(sql('SELECT count(*) FROM cloudsync.chunk') . ' ' . sql('SELECT count(*) FROM cloudsync.content'), '2 2', 'of both nothing is left');
is(collect('once more'), '0 0', 'what was forgotten is not collected again');
rename "$root/Inbox/letter.txt", "$root/Inbox/renamed.txt" or die;
is(collect('renamed'), '0 0', 'nor under another name');
copy("$root/Inbox/renamed.txt", "$root/Inbox/copy.txt") or die;
collect('copied');
is(sql(q{SELECT state FROM cloudsync.items WHERE name = 'copy.txt'}), 'duplicate', 'nor as a copy');
sql(q{SELECT cloudsync_delete_channel('mail'); SELECT cloudsync_create_channel('Box', 'mail', '{/Inbox}', 'ann', 'Mail', auto_collect => false)});
collect('made again');
is(sql('SELECT count(*) FROM cloudsync.document'), 4, 'nor by a channel that was made again');
is(sql("SELECT string_agg(DISTINCT state || ' ' || (reason ~ 'forgotten by operator at .*: by letter'), ',') FROM cloudsync_find('letter.txt') WHERE document_id = $letter"),
	'forgotten true,gone false', 'cloudsync_find says so');
like(refused("SELECT cloudsync_recollect($letter)"), qr/document $letter was forgotten, and is not collected again/, 'nor by hand');

# --- asked for again, and forgotten before it came -----------------------------------------------
my $again = id('again.txt');
sql('SELECT cloudsync_suspend()');
my $run = sql("SET client_min_messages = error; SET ROLE operator; SELECT cloudsync_recollect($again)");
sql("SET ROLE operator; SELECT cloudsync_forget($again, 'after all')");
is(sql("SELECT state || ': ' || error FROM cloudsync.history WHERE run_id = $run"), 'cancelled: the document was forgotten', 'a collection that was asked for before ends');
like(refused("SELECT cloudsync_retry($run)"), qr/run $run cannot be repeated.*Document $again was forgotten\..*cannot be brought back/s, 'and is not repeated');
sql('SELECT cloudsync_resume()');
collect('resumed');
is(sql('SELECT count(*) FROM cloudsync.document'), 4, 'it did not come back');

# --- and forgotten while it came, as late as in the application's own function
write_file("$root/Inbox/late.txt", 'forgotten while it came once more');
collect('a document');
my $late = id('late.txt');
sql(q{CREATE FUNCTION slow(bigint) RETURNS void LANGUAGE sql AS 'SELECT pg_advisory_xact_lock(4711)'; SELECT cloudsync_on_document('slow')});
my $holder = $node->background_psql('postgres');
$holder->query_safe('SELECT pg_advisory_lock(4711)');
$run = sql("SET client_min_messages = error; SET ROLE operator; SELECT cloudsync_recollect($late)");
ok(wait_for($node, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'advisory'}), 'it is asked for again, and comes');
sql("SET ROLE operator; SELECT cloudsync_forget($late, 'while it came')");
$holder->query_safe('SELECT pg_advisory_unlock(4711)');
$holder->quit;
ok(wait_run($node, $run, 'cancelled'), 'the collection under way ends');
is(sql(q{SELECT count(*) || ' ' || count(content_id) FROM cloudsync.document WHERE name = 'late.txt'}), '1 0', '... and it did not come back');
sql('DROP FUNCTION slow(bigint)');
is(collect('without the function'), '0 0', 'nor later');

# --- two people at once -----------------------------------------------------------------------------
my $both = id('both.txt');
foreach my $case (
	[ "cloudsync_file_document($both, 'K-1')", "cloudsync_file_document($both, 'K-2')", qr/document $both was filed already.*for dossier "K-1".*cloudsync_assign_document\($both, 'ann'\)/s ],
	[ "cloudsync_reject_document($both, 'not ours')", "cloudsync_file_document($both, 'K-2')", qr/document $both was rejected already.*not ours/s ],
	[ "cloudsync_file_document($both, 'K-1')", "cloudsync_file_document($both, 'K-1')", qr/^$/ ],
	[ "cloudsync_assign_document($both, 'bob')", "cloudsync_file_document($both, 'K-3')", qr/^$/ ],
	[ "cloudsync_forget($both, 'gone')", "cloudsync_file_document($both, 'K-3')", qr/document $both was filed already|document $both was forgotten already/ ])
{
	my ($first, $second, $answer) = @$case;
	sql("SELECT cloudsync_assign_document($both, 'ann')") if $first !~ /forget/;
	my $one = $node->background_psql('postgres', on_error_stop => 0);
	my $two = $node->background_psql('postgres', on_error_stop => 0);
	$one->query_safe("SET ROLE operator; BEGIN; SELECT $first");
	$two->query_safe('SET ROLE other');
	$two->{stdin} .= "SELECT $second;\n\\echo done\n";
	$two->{run}->pump_nb;
	ok(wait_for($node, q{SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'cloudsync_'}), "$second waits for $first");
	$one->query_safe('COMMIT');
	$two->{run}->pump until $two->{stdout} =~ /done/;
	like($two->{stderr}, $answer, 'and knows of it then');
	$_->quit for $one, $two;
}
is(sql("SELECT string_agg(actor || ' ' || action, ', ' ORDER BY audit_id) FROM cloudsync.audit WHERE subject = 'document $both' AND action ~ 'file|reject|forget'"),
	'operator file document, operator reject document, operator file document, other file document, operator forget', 'the audit has what was done');
is(sql("SELECT state || ' ' || dossier || ' ' || decided_by FROM cloudsync.document WHERE document_id = $both"), 'forgotten K-3 operator', 'the dossier stays on record');

# --- forgotten while it is read, and found once it was -------------------------------------------------
my $base = $node->basedir;
write_file("$base/reader.sh", <<"SH");
#!/bin/sh
: >"$base/reading"
while [ ! -e "$base/go" ]; do sleep 0.05; done
printf 'page 1 layer - 21\\nun cadastre et un nom\\nend 1\\n'
SH
chmod 0755, "$base/reader.sh" or die;
my ($first, $second) = ('first.pdf', 'Plan_masse.pdf');
write_file("$root/Inbox/$first", '%PDF-1.4 one');
collect('a document to be read');
$node->append_conf('postgresql.conf', "cloudsync.ocr = on\ncloudsync.ocr_sandbox = off\ncloudsync.ocr_command = '$base/reader.sh'\n");
$node->reload;
for (1 .. 1200) { last if -e "$base/reading"; select undef, undef, undef, 0.1 }
ok(-e "$base/reading", 'a document is being read');
sql("SET ROLE operator; SELECT cloudsync_forget(@{[id($first)]}, 'while it is read')");
write_file("$root/Inbox/$second", '%PDF-1.4 two');
collect('another one');
write_file("$base/go", '');
ok(wait_for($node, "SELECT count(*) = 0 FROM cloudsync.document WHERE ocr_state = 'pending'"), 'the reading of both has ended');
is(sql("SELECT concat_ws(' ', state, ocr_state, ocr_reason, pages, excerpt) FROM cloudsync.document WHERE name = '$first'"),
	'forgotten not_applicable the document was forgotten', 'of the forgotten one nothing is kept');
is(sql("SELECT (SELECT count(*) FROM cloudsync.page p JOIN cloudsync.document d USING (document_id) WHERE d.state = 'forgotten') + (SELECT count(*) FROM cloudsync.words w JOIN cloudsync.document d USING (document_id) WHERE d.state = 'forgotten')"),
	0, 'no page and no word');
is(sql("SET ROLE operator; SELECT string_agg(name || ': ' || headline, ',') FROM cloudsync_search('cadastres -maison')"),
	"$second: un <b>cadastre</b> et un nom", 'the other one is found by what was read in it');
is(sql("SET ROLE operator; SELECT string_agg(name, ',') FROM cloudsync_search('plan masse')"), $second, 'and by its name');

connected_folders($node, connection => 'Box', put => sub { write_file("$root$_[0]", $_[1]) });

$node->stop('fast');
done_testing();
