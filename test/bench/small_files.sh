#!/usr/bin/env bash
# N1, N2, N5, N9 and N9b: 2,000 files of 20 KiB to nginx over WebDAV and back, in
# turn with rclone (its pacer off) and with a bare libcurl program that does only
# the PUTs or GETs. Contents are compared after each; medians of the rounds.
#
#	test/bench/small_files.sh [ROUNDS=5] [AT_ONCE="4 16 32"] [FILES=2000] [BYTES=20480]
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=test/common.sh
. test/common.sh
# shellcheck source=test/bench/cluster.sh
. test/bench/cluster.sh
# shellcheck source=test/bench/webdav.sh
. test/bench/webdav.sh
rounds=${1:-5}
levels=${2:-4 16 32}
files=${3:-2000}
bytes=${4:-20480}

start_cluster "cloudsync.allowed_endpoints = 'http://127.0.0.1:*'" "cloudsync.stability_delay = 0" \
	"max_wal_size = 8GB" "shared_buffers = 512MB"
trap 'stop_nginx; stop_cluster' EXIT
start_nginx
find_rclone
build_multi
connect_dav
source_files=$work/source
mkdir "$source_files"
for ((i = 1; i <= files; i++)); do
	head -c "$bytes" /dev/urandom >"$source_files/$(printf 'file-%05d.bin' "$i")"
done
chmod -R a+rX "$source_files"
names=$work/names
ls "$source_files" >"$names"
number=0

same_folder() { diff -rq "$source_files" "$1" | head -n 5 >&2; diff -rq "$source_files" "$1" >/dev/null || die "$1 is not what was sent"; }
counted() { # COMMAND...: and the requests of each file that the server saw
	local before after
	before=$(wc -l <"$requests")
	took=$(seconds "$@")
	after=$(wc -l <"$requests")
	each=$(awk -v n=$((after - before)) -v f="$files" 'BEGIN { printf "%.3f", n / f }')
}

up_ours() {
	load_dossier "$number" "$source_files" >/dev/null
	counted push_dossier "$number"
	same_folder "$dav/CloudSync/Dossier $number"
}
up_rclone() {
	mkdir -p "$dav/r$number"
	counted run_rclone copy "$source_files" ":webdav:/r$number" --transfers "$1" --checkers "$1"
	same_folder "$dav/r$number"
}
put_all() { "$multi" put "http://127.0.0.1:$port/$1" "$source_files" "$2" <"$names"; }
up_multi() {
	mkdir -p "$dav/m$number"
	counted put_all "m$number" "$1"
	same_folder "$dav/m$number"
}

# Nothing is removed until the end: ext4 does not use inodes again for minutes
# after they were freed, and looks at each of them for each file it makes.
new_back() { back=$(mktemp -d "$work/back.XXXXXX"); }

down_ours() {
	make_channel "in $number" "/m$number"
	counted collect "in $number"
	same_documents "in $number" "$source_files"
}
# rclone to a folder, then psql into a table: one row a file, as COPY text
load_with_psql() {
	(cd "$1" && perl -e 'for (@ARGV) { open my $f, "<:raw", $_ or die; local $/; print "$_\t\\\\x", unpack("H*", <$f>), "\n" }' -- *) |
		sql -c "COPY loaded_$number (name, content) FROM STDIN"
}
copy_and_load() {
	run_rclone copy ":webdav:/m$number" "$back" --transfers "$1" --checkers "$1"
	load_with_psql "$back"
}
down_rclone() {
	new_back
	sql -c "CREATE TABLE loaded_$number (id bigserial PRIMARY KEY, name text, content bytea)" \
		-c "ALTER TABLE loaded_$number ALTER content SET STORAGE EXTERNAL"
	counted copy_and_load "$1"
	same_folder "$back"
	[ "$(sql -c "SELECT count(*) FROM loaded_$number")" = "$files" ] || die "psql did not load them all"
	sql -c "DROP TABLE loaded_$number"
}
get_all() { "$multi" get "http://127.0.0.1:$port/$1" "$back" "$2" <"$names"; }
down_multi() {
	new_back
	counted get_all "m$number" "$1"
	same_folder "$back"
}

report() { # DIRECTION LEVEL
	local side rate ours=
	for side in ours rclone multi; do
		rate=$(awk -v f="$files" '{ print f / $1 }' "$work/$1.$2.$side" | median)
		[ "$side" != ours ] || ours=$rate
		printf '%-4s %2d at once  %-6s %6.0f files/s  ours/it %s  requests a file %s  (%s)\n' "$1" "$2" "$side" "$rate" \
			"$(ratio "$ours" "$rate")" "$(tail -n 1 "$work/$1.$2.$side.each")" \
			"$(awk -v f="$files" '{ printf "%s%.0f", (NR > 1 ? " " : ""), f / $1 }' "$work/$1.$2.$side")"
	done
}

for level in $levels; do
	at_once "$level"
	for ((round = 0; round <= rounds; round++)); do
		number=$((number + 1))
		for direction in up down; do
			for side in multi ours rclone; do
				"${direction}_$side" "$level"
				[ "$round" -gt 0 ] || continue # the first warms up
				echo "$took" >>"$work/$direction.$level.$side"
				echo "$each" >>"$work/$direction.$level.$side.each"
			done
		done
		sql -c "DELETE FROM file" -c "DELETE FROM dossier" -c "SELECT cloudsync_disable('Dav')" -c "SELECT cloudsync_enable('Dav')" >/dev/null
	done
	report up "$level"
	report down "$level"
done
