#!/usr/bin/env bash
# Reading scans: pages of A4 in 300 dpi, collected and read two at a time, in turn
# with tesseract called by hand on the same pages, two at a time. Medians of the
# rounds; the text of both is compared.
#
#	test/bench/ocr.sh [ROUNDS=5] [PAGES=20]
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=test/common.sh
. test/common.sh
# shellcheck source=test/bench/cluster.sh
. test/bench/cluster.sh
rounds=${1:-5}
pages=${2:-20}
for program in tesseract pdftoppm; do command -v $program >/dev/null || die "$program is not installed"; done

start_cluster "cloudsync.stability_delay = 0" "cloudsync.min_free_disk = 0" "cloudsync.ocr_jobs = 2"
scans=$work/scans
mkdir "$scans"
# Pages of print that differ in each line.
for ((i = 1; i <= pages; i++)); do
	awk -v page="$i" 'BEGIN {
		split("facture montant client dossier le la reçu notice letter paragraph account payment janvier total règlement délai under which between conseil société travail annual report", word, " ")
		srand(page)
		n = length(word)
		body = "BT /F1 11 Tf 60 780 Td 16 TL "
		for (line = 1; line <= 42; line++) {
			text = ""
			for (w = 1; w <= 11; w++) text = text word[1 + int(rand() * n)] " "
			body = body "(" text ") '"'"' "
		}
		print body "ET"
	}' | iconv -f UTF-8 -t LATIN1 >"$work/body"
	{
		printf '%%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n2 0 obj\n<< /Type /Pages /Kids [3 0 R] /Count 1 >>\nendobj\n'
		printf '3 0 obj\n<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>\nendobj\n'
		printf '4 0 obj\n<< /Length %d >>\nstream\n' "$(wc -c <"$work/body")"
		cat "$work/body"
		printf 'endstream\nendobj\n5 0 obj\n<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>\nendobj\n'
		printf 'trailer << /Root 1 0 R >>\n%%%%EOF\n'
	} >"$work/page.pdf"
	pdftoppm -q -singlefile -r 300 -gray -png "$work/page.pdf" "$scans/$(printf 'page-%04d' "$i")" 2>/dev/null
done
[ "$(ls "$scans" | wc -l)" = "$pages" ] || die "the pages could not be made"
chmod -R a+rX "$scans"
sql -c 'CREATE EXTENSION cloudsync' 2>/dev/null
sql -c "SELECT cloudsync_add_recipient('ann'); SELECT cloudsync_connect('local', 'Box')" >/dev/null
"${as_user[@]}" mkdir "$work/cloud/In"
sql -c "SELECT cloudsync_create_channel('Box', 'mail', '{/In}', 'ann', 'Mail', auto_collect => false, dedup => 'version')" >/dev/null
number=0

seconds() {
	local from=$EPOCHREALTIME
	"$@"
	awk -v a="$from" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.3f\n", b - a }'
}

# By hand: from the files, in a folder in memory or on disk as for ours.
by_hand() {
	mkdir "$work/hand"
	ls "$scans" | OMP_THREAD_LIMIT=1 xargs -P 2 -I{} tesseract "$scans/{}" "$work/hand/{}" -l fra+eng txt >/dev/null 2>&1
}

# Ours: collected first, with reading off; measured is reading alone, from the
# reload that lets it begin to the last document's commit.
set_ocr() { sql -c "ALTER SYSTEM SET cloudsync.ocr = $1" -c 'SELECT pg_reload_conf()' >/dev/null; }
collect() {
	set_ocr off
	number=$((number + 1))
	"${as_user[@]}" mkdir "$work/cloud/In/$number"
	for scan in "$scans"/*; do
		# other bytes, the same pages
		{ cat "$scan"; printf '%d' "$number"; } | "${as_user[@]}" tee "$work/cloud/In/$number/${scan##*/}" >/dev/null
	done
	run=$(sql -c "SELECT cloudsync_collect('mail')")
	sql -c "CALL cloudsync_wait($run, '10 minutes')"
}
ours() {
	set_ocr on
	sql -c 'SELECT cloudsync_retry_ocr(max(document_id)) FROM cloudsync.document' >/dev/null
	# in one session: a psql a look would take a fifth of a processor from the programs
	sql <<-'SQL'
		DO $$ BEGIN WHILE EXISTS (SELECT FROM cloudsync.document WHERE ocr_state = 'pending') LOOP PERFORM pg_sleep(0.05); END LOOP; END $$
	SQL
}
compare() {
	local scan
	for scan in "$scans"/*; do
		sql -c "SELECT cloudsync_text(document_id) FROM cloudsync.document WHERE remote_path = '/In/$number/${scan##*/}'" |
			diff -qB - "$work/hand/${scan##*/}.txt" >/dev/null || die "${scan##*/} was read in another way"
	done
	rm -rf "$work/hand"
}

: >"$work/hand.s"
: >"$work/ours.s"
for ((round = 1; round <= rounds; round++)); do
	collect
	seconds by_hand >>"$work/hand.s"
	seconds ours >>"$work/ours.s"
	compare
	echo "round $round: by hand $(tail -n 1 "$work/hand.s") s, ours $(tail -n 1 "$work/ours.s") s"
done
hand=$(median <"$work/hand.s")
ours=$(median <"$work/ours.s")
awk -v pages="$pages" -v hand="$hand" -v ours="$ours" 'BEGIN {
	printf "pages/s: by hand %.2f, ours %.2f; ratio %.2f (goal 0.9)\n", pages / hand, pages / ours, hand / ours }'
