#!/usr/bin/env bash
# make demo: a throw-away PostgreSQL server with cloudsync preloaded pushes an
# accounting firm's dossiers to a folder and collects documents out of one.
# Runs as an ordinary user (as root: as postgres), installs nothing, and leaves
# a folder below /tmp to look at, but no process.
set -euo pipefail
cd "$(dirname "$0")/../.."
repository=$PWD
umask 022

# shellcheck source=test/common.sh
. test/common.sh
find_postgresql

if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi
step() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
say() { printf '%s\n' "$*"; }

work=$(mktemp -d "${TMPDIR:-/tmp}/cloudsync-demo.XXXXXX")
chmod 755 "$work"
data=$work/data
drive=$work/cloud/drive

finish() {
	local status=$?
	trap - EXIT INT TERM
	cd "$work"
	if [ -f "$data/postmaster.pid" ]; then
		"${as_user[@]}" "$bindir/pg_ctl" -D "$data" -m fast -w stop >/dev/null ||
			"${as_user[@]}" "$bindir/pg_ctl" -D "$data" -m immediate -w stop >/dev/null || true
	fi
	if [ $status -ne 0 ] && [ -f "$work/server.log" ]; then
		say "demo: failed; the end of $work/server.log:" >&2
		tail -n 20 "$work/server.log" >&2
	fi
	if [ -d "$data" ]; then
		step "Where everything is"
		say "cloud storage   $drive"
		[ ! -s "$work/report.html" ] || say "report          $work/report.html (open it in a browser)"
		say "server log      $work/server.log"
		say "data directory  $data (the server is stopped; nothing is left running)"
		say "remove it all   rm -rf $work"
	else
		cd /
		rm -rf "$work"
	fi
	exit $status
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

as() { "${as_user[@]}" env HOME="$work" LC_ALL=C.UTF-8 PATH="$bindir:$PATH" "$@"; }
psql=(psql -X -q -v ON_ERROR_STOP=1 -h "$work" -d firm -P pager=off -P footer=off -P null=-)

# Runs the statements of its standard input, shown as typed, as the firm's role.
sql() {
	local text
	text=$(cat)
	printf '%s\n' "$text" | sed 's/^/   /'
	printf '\n'
	printf '%s\n' "$text" | as "${psql[@]}" -U firm -f -
}
# One value, without showing the statement.
value() { as "${psql[@]}" -U firm -At -c "$1"; }
# Waits until the query gives t, five minutes at most: reading scans comes after the server's own work.
wait_until() {
	local limit=$((SECONDS + 300))
	while [ "$(value "$2")" != t ]; do
		if [ $SECONDS -ge $limit ]; then
			say "demo: waited five minutes for: $1" >&2
			as "${psql[@]}" -U postgres -x -c 'SELECT * FROM cloudsync.history ORDER BY run_id' >&2 || true
			exit 1
		fi
		sleep 0.1
	done
}
# Every dossier is at the drive, and nothing is waiting.
pushed() {
	wait_until "$1" "SELECT coalesce(bool_and(state = 'synced'), false) AND NOT EXISTS
		(SELECT FROM cloudsync.history WHERE finished_at IS NULL) FROM cloudsync.dossiers"
}
show_tree() {
	say "${drive}"
	(cd "$drive" && find . -mindepth 1 -printf '%P\t%y\t%s\n' | LC_ALL=C sort |
		awk -F'\t' '{ n = split($1, part, "/"); indent = sprintf("%" (n * 4) "s", "");
			print indent part[n] ($2 == "d" ? "/" : "   (" $3 " bytes)") }')
}
drop() { "${as_user[@]}" cp "$work/files/$1" "$drive/Scans/$2"; say "   dropped into Scans/: $2"; }

step "Building cloudsync and starting a server of its own, below $work"
stage=${CLOUDSYNC_STAGE-$work/stage}	# the tests have theirs already
[ -n "${CLOUDSYNC_STAGE+set}" ] ||
	build_in "$repository/build/demo" "$work/make.log" DESTDIR="$stage" all install
[ ${#as_user[@]} -eq 0 ] || chown -R postgres "$work"
cp test/demo/make_files.pl test/demo/schema.sql "$work/"
cd "$work"	# the clone may be where the server's user cannot go
as initdb -D "$data" -U postgres -A trust -E UTF8 --no-locale >"$work/initdb.log"
as mkdir -p "$drive/Scans"
as perl "$work/make_files.pl" "$work/files"
as pdftoppm -q -r 150 -gray -png -singlefile "$work/files/letter.pdf" "$work/files/scan"
{
	stage_settings "$stage"
	echo "listen_addresses = ''"
	echo "unix_socket_directories = '$work'"
	echo "shared_preload_libraries = 'cloudsync'"
	echo "max_worker_processes = 16"
	echo "cloudsync.local_root = '$work/cloud'"
	# Files are dropped whole here; ten seconds of looking are the default.
	echo "cloudsync.stability_delay = '500ms'"
	echo "cloudsync.min_free_disk = 0"
} | as tee -a "$data/postgresql.conf" >/dev/null
as pg_ctl -D "$data" -l "$work/server.log" -w start >/dev/null
say "PostgreSQL $(as psql -X -At -h "$work" -U postgres -d postgres -c 'SHOW server_version') is up, listening in $work only."

step "The application: customers, dossiers, files as bytea"
as psql -X -q -v ON_ERROR_STOP=1 -h "$work" -U postgres -d postgres \
	-c 'CREATE ROLE firm LOGIN' -c 'CREATE DATABASE firm OWNER firm'
as "${psql[@]}" -U firm -f "$work/schema.sql"
attach() {
	as "${psql[@]}" -U postgres -c "INSERT INTO firm.dossier_file (dossier_id, name, content)
		SELECT dossier_id, '$2', pg_read_binary_file('$work/files/$2') FROM firm.dossier WHERE reference = '$1'"
}
attach 2025-014 annual-accounts.pdf
attach 2025-014 notes.txt
attach 2026-003 vat-return.pdf
attach 2026-007 engagement-letter.pdf
attach 2026-007 site-plan.png
attach 2026-011 letter-to-tax-office.txt
sql <<'SQL'
SELECT d.reference, d.title, c.name AS customer, d.procedure, f.name AS file, length(f.content) AS bytes
FROM firm.dossier d JOIN firm.customer c USING (customer_id)
JOIN firm.dossier_file f USING (dossier_id) ORDER BY 1, 5;
SQL

step "A superuser creates the extension and lets the firm's own role manage it"
as "${psql[@]}" -U postgres <<'SQL'
CREATE SCHEMA sync;
CREATE EXTENSION cloudsync SCHEMA sync;
GRANT USAGE ON SCHEMA sync TO firm;
GRANT cloudsync_admin TO firm;
ALTER DATABASE firm SET search_path = public, sync;
SQL
say "   CREATE EXTENSION cloudsync SCHEMA sync;  GRANT cloudsync_admin TO firm;"

step "Push: connect the drive, track the tables, automatic push every 2 seconds"
sql <<'SQL'
SELECT state FROM cloudsync_connect('local', 'Firm drive', options => '{"path": "drive"}');
SELECT cloudsync_track('firm.dossier', 'firm.dossier_file', label => 'title', procedure => 'procedure');
SELECT cloudsync_set_push('Firm drive', every => '2 seconds', manifest => true,
    folder => '{customer_id.name}/{fiscal_year}/{reference} {dossier_label}');
SELECT cloudsync_set_procedure_folder('Firm drive', 'litigation', 'Litigation');
SQL
pushed "all dossiers that existed"
say "All dossiers that existed were sent:"
show_tree

step "A dossier changes in the application: another title, a file more"
inode_before=$(cd "$drive" && find . -name annual-accounts.pdf -printf '%i\n')
sql <<'SQL'
BEGIN;
UPDATE firm.dossier SET title = 'Annual accounts (signed)' WHERE reference = '2025-014';
INSERT INTO firm.dossier_file (dossier_id, name, content)
    SELECT dossier_id, 'balance.csv', convert_to(E'account;debit;credit\n512;412300;0\n', 'UTF8')
    FROM firm.dossier WHERE reference = '2025-014';
COMMIT;
SQL
wait_until "the change at the drive" "SELECT count(*) = 1 FROM cloudsync.files
	WHERE path LIKE '%(signed)%balance.csv' AND state = 'synced'"
pushed "the change"
show_tree
inode_after=$(cd "$drive" && find . -name annual-accounts.pdf -printf '%i\n')
[ "$inode_before" = "$inode_after" ] || { say "demo: annual-accounts.pdf was written again" >&2; exit 1; }
say "(annual-accounts.pdf was moved, not sent again: still inode $inode_after)"

step "What would happen if ...? The plan of a change that is then rolled back"
sql <<'SQL'
BEGIN;
UPDATE firm.dossier SET customer_id = 3 WHERE reference = '2026-003';
SELECT dossier, action, from_path, path FROM cloudsync_plan('Firm drive')
WHERE action <> 'skip' ORDER BY 1, 2, 4;
ROLLBACK;
SQL

step "Collect: somebody drops documents into the drive's folder Scans"
drop invoice-2026-118.pdf invoice-2026-118.pdf
drop bank-statement-october.pdf bank-statement-october.pdf
drop scan.png "scan 0012.png"
sql <<'SQL'
SELECT cloudsync_add_recipient('Claire Dubois', 'claire@firm.example');
SELECT cloudsync_create_channel('Firm drive', 'Scans', '{/Scans}', 'Claire Dubois', 'Incoming mail',
    collect_at => '02:00', time_zone => 'Europe/Paris');
SQL
wait_until "the first collection" "SELECT count(*) = 3 FROM cloudsync.inbox"
pushed "the first collection's run"

step "One is dropped again under another name, and a new one beside it; collected by hand"
drop invoice-2026-118.pdf "invoice 118 (copy).pdf"
drop invoice-2026-131.pdf invoice-2026-131.pdf
sql <<'SQL'
SELECT cloudsync_collect('Scans') AS run \gset
CALL cloudsync_wait(:run);
SELECT document_id, recipient, binder, channel, name, size, media_type FROM cloudsync.inbox ORDER BY 1;
SELECT name, state, reason FROM cloudsync.items WHERE kind = 'file' ORDER BY 1;
SQL
[ "$(value 'SELECT count(*) FROM cloudsync.inbox')" = 4 ] || { say "demo: not each document once" >&2; exit 1; }
say "Four different documents, each once, however often they are dropped."

step "What is in them: text layers and scans are read outside of the server, and searched"
wait_until "all documents to be read" "SELECT count(*) = 0 FROM cloudsync.inbox WHERE ocr_state = 'pending'"
sql <<'SQL'
SELECT document_id, name, media_type, ocr_state, pages, left(excerpt, 60) AS excerpt FROM cloudsync.inbox ORDER BY 1;
SELECT document_id, name, headline FROM cloudsync_search('letterheads');
SQL
[ "$(value "SELECT name FROM cloudsync_search('letterheads')")" = "scan 0012.png" ] ||
	{ say "demo: the scan's text was not found" >&2; exit 1; }
say "The scan is a picture: its text was read by OCR."

step "What happened"
sql <<'SQL'
SELECT run_id, kind, coalesce(channel, dossier) AS what, origin, requested_by, state,
    files_done AS done, files_skipped AS skipped, files_failed AS failed, bytes_sent AS sent,
    bytes_received AS received
FROM cloudsync.history ORDER BY run_id;
SELECT connection, provider, channel, folder_name, synced_by, auto_sync, items, collected, state
FROM cloudsync.folders;
SELECT * FROM cloudsync_status();
SQL
as "${psql[@]}" -U firm -At -o "$work/report.html" -c 'SELECT cloudsync_report()'
say "The report, one page for a browser: $work/report.html"
