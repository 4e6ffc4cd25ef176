#!/usr/bin/env bash
# N3, N3b and N4: 4 files of 256 MiB to nginx over WebDAV, in turn with `curl -Z
# -T` of the same files; back into the database, in turn with psql's \lo_import;
# and the worker's peak memory while a file of 900 MiB goes either way. Contents
# are compared after each; medians of the rounds.
#
#	test/bench/large_files.sh [ROUNDS=5] [MIB=256] [HUGE_MIB=900]
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=test/common.sh
. test/common.sh
# shellcheck source=test/bench/cluster.sh
. test/bench/cluster.sh
# shellcheck source=test/bench/webdav.sh
. test/bench/webdav.sh
rounds=${1:-5}
mib=${2:-256}
huge=${3:-900}

start_cluster "cloudsync.allowed_endpoints = 'http://127.0.0.1:*'" "cloudsync.stability_delay = 0" \
	"max_wal_size = 16GB" "checkpoint_timeout = '1h'" "wal_level = minimal" "max_wal_senders = 0"
trap 'stop_nginx; stop_cluster' EXIT
start_nginx
connect_dav
at_once 4
source_files=$work/source
mkdir "$source_files"
for i in 1 2 3 4; do head -c $((mib * 1048576)) /dev/urandom >"$source_files/large-$i.bin"; done
chmod -R a+rX "$source_files"
number=0

same_folder() { diff -rq "$source_files" "$1" >/dev/null || die "$1 is not what was sent"; }
up_ours() {
	took=$(seconds push_dossier "$number")
	same_folder "$dav/CloudSync/Dossier $number"
}
up_curl() {
	mkdir -p "$dav/c$number"
	took=$(seconds curl -fsS -Z -T "{$(printf '%s,' "$source_files"/* | sed 's/,$//')}" "http://127.0.0.1:$port/c$number/")
	same_folder "$dav/c$number"
}
down_ours() {
	make_channel "in $number" "/c$number"
	took=$(seconds collect "in $number")
	same_documents "in $number" "$source_files"
	sql -c "DELETE FROM cloudsync.document" -c "DELETE FROM cloudsync.chunk" -c "DELETE FROM cloudsync.content" \
		-c "VACUUM cloudsync.chunk" >/dev/null
}
import_all() {
	local f
	for f in "$source_files"/*; do echo "\\lo_import $f"; done | sql
}
down_import() {
	took=$(seconds import_all)
	sql -c "SELECT bool_and(ok) FROM (SELECT sha256(lo_get(oid)) IN (SELECT sha256(content) FROM file) AS ok FROM pg_largeobject_metadata) x" |
		grep -qx t || die "psql did not import what was sent"
	sql -c "SELECT count(lo_unlink(oid)) FROM pg_largeobject_metadata" -c "VACUUM pg_largeobject" >/dev/null
}

report() { # DIRECTION PEER
	local side rate ours=
	for side in ours "$2"; do
		rate=$(awk -v b=$((4 * mib)) '{ print b / $1 }' "$work/$1.$side" | median)
		[ "$side" != ours ] || ours=$rate
		printf '%-4s %-6s %6.0f MiB/s  ours/it %s  (%s)\n' "$1" "$side" "$rate" "$(ratio "$ours" "$rate")" \
			"$(awk -v b=$((4 * mib)) '{ printf "%s%.0f", (NR > 1 ? " " : ""), b / $1 }' "$work/$1.$side")"
	done
}

for ((round = 0; round <= rounds; round++)); do
	number=$((number + 1))
	load_dossier "$number" "$source_files" >/dev/null
	for step in up_curl up_ours down_import down_ours; do
		$step
		sql -c CHECKPOINT
		[ "$round" = 0 ] || echo "$took" >>"$work/${step/_/.}"
	done
	rm -rf "${dav:?}"/*
	sql -c "DELETE FROM file" -c "VACUUM file" >/dev/null
done
report up curl
report down import

# The worker's own memory: what is resident and not the server's shared memory.
worker() { sql -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'cloudsync worker' LIMIT 1"; }
own_kib() { awk '/^(RssAnon|RssFile):/ { sum += $2 } END { print sum + 0 }' "/proc/$1/status"; }
peak_of() { # COMMAND...: KiB above what the idle worker has
	local pid idle peak=0 kib
	push_dossier 0 >/dev/null # wakes a worker
	pid=$(worker)
	idle=$(own_kib "$pid")
	"$@" >/dev/null &
	while kill -0 $! 2>/dev/null; do
		kib=$(own_kib "$pid" 2>/dev/null || echo 0)
		[ "$kib" -le "$peak" ] || peak=$kib
		sleep 0.01
	done
	wait $!
	printf '%d MiB above %d MiB idle; VmHWM with shared memory %d MiB\n' $(((peak - idle) / 1024)) $((idle / 1024)) \
		$(($(awk '/^VmHWM:/ { print $2 }' "/proc/$pid/status") / 1024))
}
rm -rf "${source_files:?}"/*
head -c $((huge * 1048576)) /dev/urandom >"$source_files/huge.bin"
chmod a+r "$source_files"/*
sql -c "INSERT INTO dossier VALUES (0, 'Empty')"
load_dossier 900 "$source_files" >/dev/null
printf '%d MiB up:   peak ' "$huge"
peak_of push_dossier 900
same_folder "$dav/CloudSync/Dossier 900"
mkdir -p "$dav/huge" && mv "$dav/CloudSync/Dossier 900/huge.bin" "$dav/huge/other.bin"
printf x >>"$dav/huge/other.bin"
make_channel huger "/huge"
printf '%d MiB down: peak ' "$huge"
peak_of collect huger
[ "$(sql -c "SELECT count(*) FROM cloudsync.document d JOIN cloudsync.channel h USING (channel_id) WHERE h.name = 'huger' AND d.sha256 = '\\x$(sha256sum <"$dav/huge/other.bin" | cut -c 1-64)'")" = 1 ] ||
	die "the large document is not what was in the folder"
