# Documents as people scan and send them, made by the test: PDFs with text and
# with images of it, and those images. Small, so that reading them is quick.
package Documents;

use strict;
use warnings;

use Exporter 'import';
use CloudsyncTest;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(text_pdf image_pdf rendered letter blank_pgm);

# Text of a scan, that Tesseract reads without a mistake.
sub letter
{
	my ($number) = @_;
	return "Facture num\xe9ro $number\nMontant \xe0 r\xe9gler: 1 250,00 euros\n"
	  . "The invoice is due in thirty days\nMerci de votre r\xe8glement rapide";
}

sub pdf_of
{
	my (@objects) = @_;
	my $pdf = "%PDF-1.4\n";
	my @offsets;
	my $n = 0;
	foreach my $object (@objects)
	{
		push @offsets, length $pdf;
		$pdf .= ++$n . " 0 obj\n$object\nendobj\n";
	}
	my $at = length $pdf;
	$pdf .= sprintf "xref\n0 %d\n0000000000 65535 f \n", $n + 1;
	$pdf .= sprintf "%010d 00000 n \n", $_ foreach @offsets;
	return $pdf . sprintf "trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", $n + 1, $at;
}

sub stream
{
	my ($data, $entries) = @_;
	return sprintf "<< /Length %d %s >>\nstream\n%s\nendstream", length $data, $entries // '', $data;
}

# The pages' objects begin at 4 and are two each, or three with an image.
sub tree_of
{
	my ($each, $n, $first) = @_;
	my $kids = join ' ', map { sprintf '%d 0 R', 4 + $each * $_ } 0 .. $n - 1;
	return ('<< /Type /Catalog /Pages 2 0 R >>', "<< /Type /Pages /Kids [$kids] /Count $n >>", $first);
}

# A PDF with a text layer; text in Latin-1, a page of A6 each. "size" in points.
sub text_pdf
{
	my ($pages, %opts) = @_;
	my ($width, $height) = @{ $opts{size} || [ 298, 421 ] };
	my @objects = tree_of(2, scalar @$pages,
		'<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>');
	foreach my $text (@$pages)
	{
		my $content = 'BT /F1 14 Tf 30 ' . ($height - 40) . ' Td 18 TL ';
		$content .= "($_) ' " foreach split /\n/, $text;
		push @objects,
		  sprintf('<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Contents %d 0 R /Resources << /Font << /F1 3 0 R >> >> >>',
			$width, $height, @objects + 2),
		  stream("$content ET");
	}
	return pdf_of(@objects);
}

# A PDF of scans: each a PGM file's bytes, or text for a page with a text layer.
sub image_pdf
{
	my (@pages) = @_;
	my @objects = tree_of(3, scalar @pages,
		'<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>');
	foreach my $pgm (@pages)
	{
		my ($width, $height, $pixels) = $pgm =~ /\AP5\s+(\d+)\s+(\d+)\s+255\s(.*)\z/s or die 'no PGM';
		push @objects,
		  sprintf('<< /Type /Page /Parent 2 0 R /MediaBox [0 0 298 421] /Contents %d 0 R /Resources << /XObject << /I %d 0 R >> >> >>',
			@objects + 2, @objects + 3),
		  stream('q 298 0 0 421 0 0 cm /I Do Q'),
		  stream($pixels, "/Type /XObject /Subtype /Image /Width $width /Height $height /ColorSpace /DeviceGray /BitsPerComponent 8");
	}
	return pdf_of(@objects);
}

# A white page.
sub blank_pgm
{
	my ($width, $height) = @_;
	return "P5\n$width $height\n255\n" . "\xff" x ($width * $height);
}

# A PDF's first page as pdftoppm renders it: options as -png, -jpeg, -tiff, -gray.
sub rendered
{
	my ($pdf, @options) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	write_file("$dir/in.pdf", $pdf);
	system('pdftoppm', '-q', '-r', 150, '-singlefile', @options, "$dir/in.pdf", "$dir/out") == 0
	  or die 'pdftoppm failed';
	my ($file) = glob "$dir/out.*";
	return read_file($file);
}

1;
