# Reading documents (B2): text layers, scans, images and plain text, by the real
# programs; what came out is one transaction, and searchable.
use strict;
use warnings;

use IPC::Run ();
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
is(sql(q{SELECT ocr_languages, ocr_confidence > 80, excerpt LIKE 'Facture numéro 4 Montant%' FROM cloudsync.document WHERE name = 'scan.png'}),
	'fra+eng|t|t', 'what it was read in, how well, and how it begins');
is(sql(q{SELECT string_agg(source, ' ' ORDER BY source) FROM cloudsync.page JOIN cloudsync.document USING (document_id) WHERE name IN ('layer.pdf', 'note.txt')}),
	'layer layer plain', 'where the text is from');
is(sql(q{SELECT name FROM cloudsync_search('thirty days') ORDER BY 1}), "layer.pdf\nscan.pdf\nscan.png", 'searches find it');
is(sql(q{SELECT name FROM cloudsync_search('letter') ORDER BY 1}), 'letter.docx', 'what could not be read has its name');
is( sql(q{SELECT severity || ' ' || split_part(problem, ':', 1) FROM cloudsync_status()}),
	bwrap_works() ? '' : 'info programs that read documents run without a sandbox',
	'all is well, but for a sandbox where there can be none');

# --- images of several pages and other kinds; PDFs that mean harm
sub tiff
{
	my (@pgm) = @_;
	my $tiff = "II*\0" . pack('V', 8);
	foreach my $i (0 .. $#pgm)
	{
		my ($width, $height, $pixels) = $pgm[$i] =~ /\AP5\s+(\d+)\s+(\d+)\s+255\s(.*)\z/s;
		my $after = length($tiff) + 2 + 12 * 8 + 4;
		my @tags = ([ 256, 4, $width ], [ 257, 4, $height ], [ 258, 3, 8 ], [ 259, 3, 1 ], [ 262, 3, 1 ],
			[ 273, 4, $after ], [ 278, 4, $height ], [ 279, 4, length $pixels ]);
		$tiff .= pack('v', scalar @tags) . join('', map { pack('vvVV', $_->[0], $_->[1], 1, $_->[2]) } @tags);
		$tiff .= pack('V', $i < $#pgm ? $after + length $pixels : 0) . $pixels;
	}
	return $tiff;
}

# By the library that Tesseract itself reads them with.
sub webp
{
	my ($width, $height, $pixels) = $_[0] =~ /\AP5\s+(\d+)\s+(\d+)\s+255\s(.*)\z/s;
	my ($rgb, $webp) = (join('', map { $_ x 3 } split //, $pixels), '');
	IPC::Run::run([ '/usr/bin/python3', '-c', <<'PY', $width, $height ], '<', \$rgb, '>', \$webp) or die 'no WebP was made';
import ctypes, sys
webp = ctypes.CDLL('libwebp.so.7')
width, height = map(int, sys.argv[1:])
out = ctypes.POINTER(ctypes.c_ubyte)()
webp.WebPEncodeLosslessRGB.restype = ctypes.c_size_t
size = webp.WebPEncodeLosslessRGB(sys.stdin.buffer.read(), width, height, 3 * width, ctypes.byref(out))
sys.stdout.buffer.write(ctypes.string_at(out, size))
PY
	return $webp;
}
my $plain = text_pdf([ letter(5) ]);
(my $locked = $plain) =~ s{/Root 1 0 R}{/Root 1 0 R /ID [<00> <00>] /Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <@{['00' x 32]}> /U <@{['11' x 32]}> >>};
sql(q{ALTER SYSTEM SET cloudsync.ocr_max_pages = 20});
sql(q{ALTER SYSTEM SET cloudsync.ocr_languages = 'fra'});
sql('SELECT pg_reload_conf()');
wait_for($node, q{SELECT current_setting('cloudsync.ocr_max_pages') = '20'});
write_file("$root/In/two.tif", tiff($gray, $gray));
write_file("$root/In/photo.jpg", rendered($plain, '-jpeg'));
write_file("$root/In/photo.webp", webp($gray));
write_file("$root/In/locked.pdf", $locked);
write_file("$root/In/cut.pdf", substr($plain, 0, 300));
write_file("$root/In/huge.pdf", text_pdf([''], size => [ 14400, 14400 ]));
write_file("$root/In/long.pdf", text_pdf([ map { "Page $_ has a text that is long enough to be one" } 1 .. 10000 ]));
write_file("$root/In/bomb.png", "\x89PNG\r\n\x1a\n" . pack('N', 13) . 'IHDR' . pack('NNCCCCC', 100000, 100000, 8, 0, 0, 0, 0) . pack('N', 0));
read_all();
is(document('two.tif'), 'done|2|', 'a TIFF of two pages');
like(text('two.tif'), qr/Facture.*Facture/s, 'both are read');
is(document('photo.jpg'), 'done|1|', 'a JPEG');
is(document('photo.webp'), 'done|1|', 'a WebP');
like(text('photo.webp'), qr/Facture num\xc3\xa9ro 3/, '... is read');
is(document('locked.pdf'), 'failed||it is encrypted, and opens with a password only', 'an encrypted PDF');
is(document('cut.pdf'), 'failed||it is damaged, or no PDF', 'half a PDF');
is(document('huge.pdf'), 'done|1|', 'a page of five metres');
is(document('long.pdf'), 'done|10000|only the first 20 of 10000 pages were read (cloudsync.ocr_max_pages)', 'too many pages');
is(document('bomb.png'), 'failed||its image is damaged, or of a kind that Tesseract does not read', 'an image of 100,000 by 100,000');

# --- documents without a text are written many at once; the application's functions, and failures, are of each
sql(<<'SQL');
CREATE TABLE told (name text, state text);
CREATE FUNCTION on_ocr(bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	doc cloudsync.document := (SELECT d FROM cloudsync.document d WHERE d.document_id = $1);
BEGIN
	INSERT INTO public.told VALUES (doc.name, doc.ocr_state);
	IF doc.name = 'letter.docx' THEN
		RAISE EXCEPTION 'not this one';
	END IF;
END $$;
SELECT cloudsync_on_document('on_ocr', 'ocr');
CREATE TABLE batch (rows integer);
CREATE FUNCTION note_batch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.batch SELECT count(*) FROM written;
	IF TG_ARGV[0]::integer < (SELECT count(*) FROM written) THEN
		RAISE EXCEPTION 'too many';
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER note_batch AFTER UPDATE ON cloudsync.words REFERENCING NEW TABLE AS written
	FOR EACH STATEMENT EXECUTE FUNCTION note_batch(3);
SQL

sub read_again
{
	sql(q{SELECT cloudsync_retry_ocr(document_id) FROM cloudsync.document WHERE name IN ('empty.txt', 'letter.docx', 'random.bin')});
	ok(wait_for($node, q{SELECT count(*) = 0 FROM cloudsync.document WHERE ocr_state = 'pending'}), 'read again');
	return sql(q{SELECT string_agg(name || ' ' || ocr_state || ' ' || ocr_reason, E'\n' ORDER BY name) FROM cloudsync.document
		WHERE name IN ('empty.txt', 'letter.docx', 'random.bin')});
}
my $ends = "empty.txt not_applicable it is empty\nletter.docx failed not this one\n"
  . 'random.bin not_applicable it is neither text, PDF nor a kind of image that is read';
is(read_again(), $ends, '... each with its own end');
is(sql('SELECT max(rows) FROM batch'), 3, '... by one statement');
is(sql('SELECT name, state FROM told ORDER BY 1'), "empty.txt|not_applicable\nrandom.bin|not_applicable", '... of which functions are told');
sql('TRUNCATE told; TRUNCATE batch; DROP TRIGGER note_batch ON cloudsync.words;
	CREATE TRIGGER note_batch AFTER UPDATE ON cloudsync.words REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION note_batch(1)');
is(read_again(), $ends, '... and singly when one of them makes the statement fail');
is(sql('SELECT max(rows), count(*) FROM batch'), '1|3', '... which leaves nothing');
is(sql('SELECT count(*), count(DISTINCT name) FROM told'), '2|2', '... and tells once');
sql('DROP TRIGGER note_batch ON cloudsync.words; DROP FUNCTION on_ocr');

# --- a language that is not installed
sql(q{ALTER SYSTEM SET cloudsync.ocr_languages = 'fra+xyz'});
sql('SELECT pg_reload_conf()');
wait_for($node, q{SELECT current_setting('cloudsync.ocr_languages') = 'fra+xyz'});
sql(q{SELECT cloudsync_retry_ocr(document_id) FROM cloudsync.document WHERE name = 'photo.jpg'});
ok(wait_for($node, q{SELECT ocr_waits_for = 'tesseract:xyz tesseract-ocr-xyz' FROM cloudsync.document WHERE name = 'photo.jpg'}), 'it waits');
is(sql(q{SELECT problem, action FROM cloudsync_status() WHERE severity = 'error'}),
	'1 document waits to be read: tesseract:xyz is not installed|apt install tesseract-ocr-xyz', 'the status says for what');
is(sql('SELECT count(*) FROM cloudsync.document WHERE ocr_attempts > 1'), 0, 'each was read by the first attempt');
$node->stop;

# --- without preload, by CALL cloudsync_run()
my $bare = new_cluster('bare', preload => 0, conf => "cloudsync.ocr = on\n");
create_extension($bare);
write_file(local_root($bare) . '/In/note.txt', 'a note');
write_file(local_root($bare) . '/In/layer.pdf', $layer);
$bare->safe_psql('postgres', q{SET client_min_messages = error; SELECT cloudsync_add_recipient('ann'); SELECT cloudsync_connect('local', 'Box');
	SELECT cloudsync_create_channel('Box', 'mail', ARRAY['/In'], 'ann', 'Mail', auto_collect => false); SELECT cloudsync_collect('mail')});
$bare->safe_psql('postgres', 'CALL cloudsync_run()');
is($bare->safe_psql('postgres', 'SELECT name, ocr_state, pages FROM cloudsync.document ORDER BY name'),
	"layer.pdf|done|2\nnote.txt|done|1", 'CALL cloudsync_run() collects and reads');

# --- what the command makes of programs that fail, or are not there: with others in
# their place, of which the second page's reading fails, as the first argument says
my $fakes = PostgreSQL::Test::Utils::tempdir();
mkdir "$fakes/$_" foreach qw(bin run);
foreach my $tool (qw(sh awk grep sed cut tail head wc tr cat rm od sort printf))
{
	my ($path) = grep { -x } map { "$_/$tool" } qw(/usr/bin /bin);
	symlink $path, "$fakes/bin/$tool" or die "no $tool" if $path;
}
my %fake = (
	pdfinfo => 'echo "Pages: 3"',
	pdftotext => 'for last; do :; done; printf "\f\f\f" >"$last"',
	pdfimages => ':',
	pdftoppm => 'for last; do :; done; echo image >"$last.pgm"',
	tesseract => <<'SH');
case $1 in
	list.txt | scan.2.pgm) exit 1 ;;
	scan.*) ! [ -e none ] || exit 1 ;;
	*) echo 'Image too large: (1, 2)' >&2; exit 1 ;;
esac
echo "read in $1" >ocr.txt
printf '1\t1\t0\t0\t0\t0\t0\t0\t9\t9\t-1\t\n5\t1\t1\t1\t1\t1\t0\t0\t9\t9\t80\tread\n5\t1\t1\t1\t1\t2\t0\t0\t9\t9\t-1\tin\n5\t1\t1\t1\t1\t3\t0\t0\t9\t9\t90\tscan\n' >ocr.tsv
SH
write_file("$fakes/bin/$_", "#!/bin/sh\n$fake{$_}\n") foreach keys %fake;
chmod 0755, map { "$fakes/bin/$_" } keys %fake;

# exit status, what it printed, the last line of what it said
sub command
{
	my ($kind) = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run([ '/bin/sh', '-c', "cd '$fakes/run' && exec /bin/sh '$ENV{CLOUDSYNC_TREE}/src/ocr/cloudsync_ocr.sh' document $kind fra 20" ],
		'<', '/dev/null', '>', \$out, '2>', \$err, init => sub { $ENV{PATH} = "$fakes/bin" });
	my $status = $? >> 8;
	return join '|', $status, $out, ($err =~ /([^\n]*)\n?\z/)[0];
}
write_file("$fakes/run/document", 'x');
is(command('pdf'), "0|page 1 ocr 85.0 19\nread in scan.1.pgm\n\npage 2 layer - 0\n\npage 3 ocr 85.0 19\nread in scan.3.pgm\n\nnote these pages could not be read: 2\nend 3\n|",
	'pages that cannot be read together are read alone, and one that cannot is named');
write_file("$fakes/run/none", '');
like(command('pdf'), qr/^5\|.*\|none of its pages can be read$/s, 'none can');
is(command('image'), '5||its image is too large', 'an image that is too large');
is(command('other'), '3||documents of this kind are not read', 'neither');
unlink "$fakes/bin/tesseract";
is(command('pdf') . ' ' . command('image'), '4||tesseract tesseract-ocr tesseract-ocr-fra  4||tesseract tesseract-ocr tesseract-ocr-fra ', 'without Tesseract');
unlink "$fakes/bin/pdftoppm";
is(command('pdf'), '4||pdftoppm poppler-utils', 'without one of Poppler\'s');

done_testing();
