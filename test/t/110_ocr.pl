# Reading documents (B2): text layers, scans, images and plain text, by the real
# programs; what came out is one transaction, and searchable.
use strict;
use warnings;

use CloudsyncTest;
use Documents;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('ocr', conf => "cloudsync.ocr = on\n");
my $root = local_root($node);
create_extension($node);

sub sql { return $node->safe_psql('postgres', $_[0]) }

# Collects what was put into the folder, and waits until it is read.
sub read_all
{
	my $run = sql("SET client_min_messages = error; SELECT cloudsync_collect('mail')");
	ok(wait_run($node, $run), 'collected');
	ok(wait_for($node, q{SELECT count(*) = 0 FROM cloudsync.document WHERE ocr_state = 'pending'}), 'all is read')
	  or diag(sql('SELECT name, ocr_state, ocr_reason, ocr_attempts, ocr_waits_for FROM cloudsync.document'));
	return;
}

sub document
{
	my ($name) = @_;
	return sql("SELECT ocr_state, pages, ocr_reason FROM cloudsync.document WHERE name = '$name'");
}

sub text
{
	my ($name) = @_;
	return sql("SELECT cloudsync_text(document_id) FROM cloudsync.document WHERE name = '$name'");
}

sql(q{SELECT cloudsync_add_recipient('ann'); SELECT cloudsync_connect('local', 'Box')});
my $layer = text_pdf([ letter(1), letter(2) ]);
my $gray = rendered(text_pdf([ letter(3) ]), '-gray');
write_file("$root/In/layer.pdf", $layer);
write_file("$root/In/scan.pdf", image_pdf($gray, blank_pgm(100, 140), $gray));
write_file("$root/In/scan.png", rendered(text_pdf([ letter(4) ]), '-png'));
write_file("$root/In/note.txt", "Une note br\xc3\xa8ve\r\nsans image");
write_file("$root/In/page.html", '<html><style>p {}</style><p>Caf&eacute; &amp; th&#233;</p><p>Second</html>');
write_file("$root/In/letter.docx", "PK\x03\x04" . "\0" x 100);
write_file("$root/In/random.bin", join '', map { chr(($_ * 7919) % 256) } 1 .. 3000);
write_file("$root/In/empty.txt", '');
sql(q{SELECT cloudsync_create_channel('Box', 'mail', ARRAY['/In'], 'ann', 'Mail', auto_collect => false)});
read_all();
is(document('layer.pdf'), 'done|2|', 'a text layer');
like(text('layer.pdf'), qr/Facture num\xc3\xa9ro 1.*\n.*Facture num\xc3\xa9ro 2/s, 'its text');
is(document('scan.pdf'), 'done|3|', 'scans in a PDF');
like(text('scan.pdf'), qr/Facture num\xc3\xa9ro 3.*Facture num\xc3\xa9ro 3/s, 'their text');
is(document('scan.png'), 'done|1|', 'an image');
like(text('scan.png'), qr/due in thirty days/, 'its text');
is(document('note.txt'), 'done|1|', 'plain text');
is(text('note.txt'), "Une note br\xc3\xa8ve\nsans image", 'its text');
is(text('page.html'), "Caf\xc3\xa9 & th\xc3\xa9\n\nSecond", 'HTML without tags');
is(document('letter.docx'), 'not_applicable||office documents are not read', 'an office document');
is(document('random.bin'), 'not_applicable||it is neither text, PDF nor a kind of image that is read', 'neither');
is(document('empty.txt'), 'not_applicable||it is empty', 'nothing');
print sql('SELECT name, ocr_state, ocr_attempts, ocr_confidence, ocr_languages, pages, excerpt FROM cloudsync.document'), "\n";
print sql('SELECT * FROM cloudsync.ocr_sandbox'), "\n";
print sql('SELECT * FROM cloudsync_status()'), "\n";

done_testing();
