#!/bin/sh
# cloudsync_ocr: reads one document and prints its text, page by page. Run by
# cloudsync's worker in a private folder, under limits and in a sandbox where
# there is one; cloudsync.ocr_command can name another program that does the
# same (docs/ocr.md).
#
#	cloudsync_ocr FILE pdf|image|other LANGUAGES MAX_PAGES
#
# prints "page NUMBER layer|ocr CONFIDENCE|- BYTES", so many bytes and a newline
# for each page, "note TEXT" for what is to be said of the document, and at last
# "end PAGES". It ends with 0; 3: there is nothing to read in it; 4: a program is
# missing; 5: it cannot be read. Of 3, 4 and 5 the last line of standard error
# says why (4: "PROGRAM DEBIAN-PACKAGE...").
#
# Relies on poppler-utils and tesseract-ocr. Text is taken from a PDF's text
# layer; pages that have next to none, and images, are read by Tesseract.
set -u

file=$1
kind=$2
languages=$3
max_pages=$4

little=32           # visible bytes below which a page with an image may be a scan
max_pixels=36000000 # of a rendered page
best_dpi=300
batch=8             # pages that one start of Tesseract reads

fail() {
	printf '%s\n' "$1" >&2
	exit 5
}
need() {
	command -v "$1" >/dev/null 2>&1 && return
	printf '%s %s\n' "$1" "$2" >&2
	exit 4
}
last_line() { grep -v '^[[:space:]]*$' "$1" 2>/dev/null | tail -n 1 | cut -c 1-200; }
bytes_of() { wc -c <"$1" | tr -d ' '; }
visible_bytes() { tr -d '[:space:]' <"$1" | wc -c | tr -d ' '; }

# --- what is printed ----------------------------------------------------------------

# emit PAGE SOURCE CONFIDENCE FILE
emit() {
	printf 'page %d %s %s %d\n' "$1" "$2" "$3" "$(bytes_of "$4")"
	cat "$4"
	printf '\n'
}
# end PAGES READ
end() {
	[ "$2" -ge "$1" ] ||
		printf 'note only the first %d of %d pages were read (cloudsync.ocr_max_pages)\n' "$2" "$1"
	printf 'end %d\n' "$1"
	exit 0
}

# --- Tesseract ----------------------------------------------------------------------

language_packages() { printf 'tesseract-ocr-%s ' $(printf '%s' "$1" | tr '+_' ' -'); }

# recognize INPUT OPTION...: the text of INPUT's pages in ocr.N.txt (N from 1), how
# sure it is of each in ocr.N.conf; their number in $recognized.
recognize() {
	input=$1
	shift
	rm -f ocr.*
	tesseract "$input" ocr -l "$languages" "$@" txt tsv >/dev/null 2>ocr.err
	status=$?
	if grep -q "Failed loading language\|Error opening data file" ocr.err; then
		lacking=$(sed -n "s/.*Failed loading language '\([A-Za-z0-9_]*\)'.*/\1/p" ocr.err | sort -u | tr '\n' '+')
		lacking=${lacking%+}
		printf 'tesseract:%s %s\n' "${lacking:-$languages}" "$(language_packages "${lacking:-$languages}")" >&2
		exit 4
	fi
	[ $status -eq 0 ] && [ -f ocr.txt ] && [ -f ocr.tsv ] || return 1
	recognized=$(awk -F'\t' '
		$1 == 1 { pages++ }
		$1 == 5 && $11 >= 0 { words[$2]++; sum[$2] += $11 }
		END {
			for (i = 1; i <= pages; i++) {
				name = "ocr." i ".conf"
				if (words[i] > 0) printf "%.1f\n", sum[i] / words[i] > name
				else print "-" > name
				close(name)
			}
			print pages + 0
		}' ocr.tsv)
	awk -v pages="$recognized" 'BEGIN { RS = "\f" }
		NR <= pages { name = "ocr." NR ".txt"; printf "%s", $0 > name; close(name) }' ocr.txt
	i=1
	while [ $i -le "$recognized" ]; do
		[ -f ocr.$i.txt ] || : >ocr.$i.txt
		i=$((i + 1))
	done
}

# --- images -------------------------------------------------------------------------

# number OFFSET BYTES: of the TIFF, in its byte order ($order)
number() {
	od -An -v -tu1 -j "$1" -N "$2" "$file" 2>/dev/null | tr -s ' \n' '  ' | awk -v order=$order -v n="$2" '
		NF != n { exit 1 }
		{ for (i = 1; i <= n; i++) v = v * 256 + $(order == "big" ? i : n + 1 - i); printf "%.0f\n", v }'
}
# How many images a TIFF has, counted up to one more than are read.
count_tiff() {
	case $(head -c 4 "$file" | od -An -tx1 | tr -d ' \n') in
		49492a00) order=little ;;
		4d4d002a) order=big ;;
		*) echo 1; return ;;
	esac
	images=0
	at=$(number 4 4) || at=0
	while [ "$at" -gt 0 ] && [ $images -le "$max_pages" ]; do
		images=$((images + 1))
		entries=$(number "$at" 2) || break
		at=$(number $((at + 2 + 12 * entries)) 4) || break
	done
	echo $images
}
no_image() {
	why=$(last_line ocr.err)
	case $why in
		*"too large"* | *"too many"* | *memory*) fail "its image is too large" ;;
		*) fail "its image is damaged, or of a kind that Tesseract does not read" ;;
	esac
}
read_image() {
	need tesseract "tesseract-ocr $(language_packages "$languages")"
	images=$(count_tiff)
	if [ "$images" -le "$max_pages" ]; then
		recognize "$file" || no_image
		[ "$recognized" -gt 0 ] || no_image
		i=1
		while [ $i -le "$recognized" ]; do
			emit $i ocr "$(cat ocr.$i.conf)" ocr.$i.txt
			i=$((i + 1))
		done
		end "$recognized" "$recognized"
	fi
	page=1
	while [ $page -le "$max_pages" ]; do
		recognize "$file" -c tessedit_page_number=$((page - 1)) || no_image
		[ "$recognized" -gt 0 ] || : >ocr.1.txt
		emit $page ocr "$(cat ocr.1.conf 2>/dev/null || echo -)" ocr.1.txt
		page=$((page + 1))
	done
	printf 'note only the first %d pages were read (cloudsync.ocr_max_pages)\n' "$max_pages"
	printf 'end %d\n' "$images"
	exit 0
}

# --- PDF ----------------------------------------------------------------------------

# Resolution for a page: the best, or what the largest image allows.
dpi_of() {
	awk -v page="$1" -v best=$best_dpi -v max=$max_pixels '
		$1 == "Page" && $2 == page && $3 == "size:" && $4 > 0 && $6 > 0 {
			dpi = sqrt(max / ($4 * $6)) * 72
			if (dpi > best) dpi = best
			if (dpi < 1) dpi = 1
			printf "%d\n", dpi
			found = 1
			exit
		}
		END { if (!found) print 100 }' info
}
# Is the page a scan? With next to no text it is if it has an image, and without
# any it may be anything.
is_scan() {
	case $texts in *" $1 "*) return 1 ;; esac
	seen=$(visible_bytes page.$1.txt)
	[ "$seen" -eq 0 ] && return
	grep -q "^ *$1 " images
}
# The better of text layer and OCR. emit_scan PAGE NUMBER-IN-BATCH
emit_scan() {
	if [ "$(visible_bytes ocr.$2.txt)" -ge "$(visible_bytes page.$1.txt)" ]; then
		emit "$1" ocr "$(cat ocr.$2.conf)" ocr.$2.txt
	else
		emit "$1" layer - page.$1.txt
	fi
}
# Reads the pages $1 to $2, which were rendered, together; if that fails, each
# alone, so that one that cannot be read fails alone.
read_scans() {
	list=
	n=0
	page=$1
	while [ "$page" -le "$2" ]; do
		if [ -f scan.$page.pgm ]; then
			list="$list scan.$page.pgm"
			n=$((n + 1))
		fi
		page=$((page + 1))
	done
	if [ $n -gt 0 ]; then
		printf '%s\n' $list >list.txt
		recognize list.txt --dpi "$dpi" && [ "$recognized" -eq $n ] && together=yes || together=
	fi
	i=0
	page=$1
	while [ "$page" -le "$2" ]; do
		if [ -f scan.$page.pgm ] && [ -n "$together" ]; then
			i=$((i + 1))
			emit_scan "$page" $i
		elif [ -f scan.$page.pgm ] && recognize scan.$page.pgm --dpi "$dpi" && [ "$recognized" -eq 1 ]; then
			emit_scan "$page" 1
		else
			emit "$page" layer - page.$page.txt
			unread="$unread $page"
		fi
		rm -f scan.$page.pgm
		page=$((page + 1))
	done
}
# Renders what follows from page $1 on as long as it is scans of one resolution.
render_scans() {
	first=$1
	page=$1
	dpi=$(dpi_of "$first")
	while [ "$page" -le "$read" ] && [ $((page - first)) -lt $batch ] &&
		[ "$(dpi_of "$page")" = "$dpi" ] && is_scan "$page"; do
		pdftoppm -q -f "$page" -l "$page" -singlefile -r "$dpi" -gray "$file" scan.$page >/dev/null 2>&1 ||
			rm -f scan.$page.pgm
		page=$((page + 1))
	done
	rendered=$((page - 1))
}
read_pdf() {
	for program in pdfinfo pdftotext pdftoppm pdfimages; do need $program poppler-utils; done
	LC_ALL=C pdfinfo -f 1 -l "$max_pages" "$file" >info 2>info.err || {
		grep -qi password info.err && fail "it is encrypted, and opens with a password only"
		fail "it is damaged, or no PDF"
	}
	pages=$(awk '$1 == "Pages:" { print $2 }' info)
	case $pages in '' | *[!0-9]*) fail "it is damaged: nobody knows how many pages it has" ;; esac
	[ "$pages" -gt 0 ] || fail "it has no pages"
	read=$pages
	[ "$read" -le "$max_pages" ] || read=$max_pages
	pdftotext -q -enc UTF-8 -eol unix -f 1 -l "$read" "$file" layer 2>/dev/null || : >layer
	texts=" $(awk -v pages="$read" -v little=$little 'BEGIN { RS = "\f" }
		NR <= pages {
			name = "page." NR ".txt"
			printf "%s", $0 > name
			close(name)
			gsub(/[ \t\r\n]/, "")
			if (length($0) >= little) printf "%d ", NR
		}' layer)"
	rm -f layer
	page=1
	while [ $page -le "$read" ]; do
		[ -f page.$page.txt ] || : >page.$page.txt
		page=$((page + 1))
	done
	pdfimages -list -f 1 -l "$read" "$file" >images 2>/dev/null || : >images
	unread=
	next=1
	while [ $next -le "$read" ]; do
		if is_scan $next; then
			need tesseract "tesseract-ocr $(language_packages "$languages")"
			render_scans $next
			read_scans $next "$rendered"
			next=$((rendered + 1))
		else
			emit $next layer - page.$next.txt
			next=$((next + 1))
		fi
	done
	if [ -n "$unread" ]; then
		[ "$(printf '%s\n' $unread | wc -l)" -lt "$read" ] || fail "none of its pages can be read"
		printf 'note these pages could not be read:%s\n' "$(printf '%s' "$unread" | cut -c 1-200)"
	fi
	end "$pages" "$read"
}

case $kind in
	pdf) read_pdf ;;
	image) read_image ;;
	*)
		echo "documents of this kind are not read" >&2
		exit 3
		;;
esac
