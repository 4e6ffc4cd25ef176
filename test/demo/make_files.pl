# Writes the demo's files into the folder named: small, but real ones, that any
# viewer opens (PDF, PNG, text), so that no binary is kept with the sources.
#
#	perl make_files.pl FOLDER
use strict;
use warnings;

use Compress::Zlib qw(compress crc32);

my $folder = shift or die "usage: make_files.pl FOLDER\n";
mkdir $folder;

sub put
{
	my ($name, $content) = @_;
	open my $fh, '>:raw', "$folder/$name" or die "$folder/$name: $!\n";
	print $fh $content;
	close $fh or die "$folder/$name: $!\n";
	return;
}

# One A4 page with lines of text.
sub pdf
{
	my (@lines) = @_;
	my $text = "BT /F1 14 Tf 20 TL 70 770 Td\n";
	foreach my $line (@lines)
	{
		(my $escaped = $line) =~ s/([\\()])/\\$1/g;
		$text .= "($escaped) Tj T*\n";
	}
	$text .= "ET\n";
	my @objects = (
		'<< /Type /Catalog /Pages 2 0 R >>',
		'<< /Type /Pages /Kids [3 0 R] /Count 1 >>',
		'<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R'
		  . ' /Resources << /Font << /F1 5 0 R >> >> >>',
		'<< /Length ' . length($text) . " >>\nstream\n${text}endstream",
		'<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>');
	my $out = "%PDF-1.4\n";
	my @offsets;
	foreach my $i (0 .. $#objects)
	{
		push @offsets, length $out;
		$out .= ($i + 1) . " 0 obj\n$objects[$i]\nendobj\n";
	}
	my $xref = length $out;
	$out .= "xref\n0 " . (@objects + 1) . "\n0000000000 65535 f \n";
	$out .= sprintf("%010d 00000 n \n", $_) foreach @offsets;
	$out .= 'trailer << /Size ' . (@objects + 1) . " /Root 1 0 R >>\n";
	$out .= "startxref\n$xref\n%%EOF\n";
	return $out;
}

# A picture of the given size, a gradient of one tone.
sub png
{
	my ($width, $height, @tone) = @_;
	my $chunk = sub {
		my ($type, $data) = @_;
		return pack('N', length $data) . $type . $data
		  . pack('N', crc32($type . $data));
	};
	my $rows = '';
	foreach my $y (0 .. $height - 1)
	{
		$rows .= "\0";
		foreach my $x (0 .. $width - 1)
		{
			my $shade = ($x + $y) / ($width + $height);
			$rows .= pack('C3', map { int($_ * $shade) } @tone);
		}
	}
	return "\x89PNG\r\n\x1a\n"
	  . $chunk->('IHDR', pack('NNC5', $width, $height, 8, 2, 0, 0, 0))
	  . $chunk->('IDAT', compress($rows))
	  . $chunk->('IEND', '');
}

put('annual-accounts.pdf', pdf('Annual accounts 2025', 'Boulangerie Martin SARL',
		'Turnover: 412 300 EUR', 'Result: 31 870 EUR'));
put('engagement-letter.pdf', pdf('Engagement letter', 'Garage du Lac SAS'));
put('vat-return.pdf', pdf('VAT return', 'Third quarter 2026'));
put('letter-to-tax-office.txt',
	"Dear Sir or Madam,\n\nplease find enclosed our reply of 22 November.\n");
put('notes.txt', "Called the customer: payroll figures follow on Monday.\n");
put('site-plan.png', png(320, 200, 240, 170, 90));
put('invoice-2026-118.pdf', pdf('Invoice 2026-118', 'Papeterie Centrale', '184.20 EUR'));
put('bank-statement-october.pdf', pdf('Statement of account', 'October 2026'));
# printed and scanned by the demo: there is no text in the picture
put('letter.pdf', pdf('Imprimerie du Rhone', '', 'Invoice 2026-140', 'Four hundred letterheads',
		'Amount due within thirty days: 312.40 EUR'));
put('invoice-2026-131.pdf', pdf('Invoice 2026-131', 'Electricite Rhone', '96.75 EUR'));
