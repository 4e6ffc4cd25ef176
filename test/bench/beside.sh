#!/usr/bin/env bash
# What a running push costs the application: pgbench updates (8 clients) alone,
# and beside pushes of 2,000 files of 20 KiB to nginx over WebDAV that run
# without a pause. In turn; medians of the rounds. What is pushed is in the
# database before; nothing is removed meanwhile (small_files.sh says why).
#
#	test/bench/beside.sh [ROUNDS=5] [SECONDS=10]
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=test/common.sh
. test/common.sh
# shellcheck source=test/bench/cluster.sh
. test/bench/cluster.sh
# shellcheck source=test/bench/webdav.sh
. test/bench/webdav.sh
rounds=${1:-5}
duration=${2:-10}

start_cluster "cloudsync.allowed_endpoints = 'http://127.0.0.1:*'" "max_wal_size = 8GB"
trap 'stop_nginx; stop_cluster' EXIT
start_nginx
connect_dav
source_files=$work/source
mkdir "$source_files"
for ((i = 1; i <= 2000; i++)); do head -c 20480 /dev/urandom >"$source_files/file-$i.bin"; done
chmod -R a+rX "$source_files"
"$bindir/pgbench" -i -q -s 10 >/dev/null 2>&1
loaded=0
pushed=0
load_some() { # enough for a round
	while [ "$loaded" -lt "$((pushed + 2 * duration))" ]; do
		loaded=$((loaded + 1))
		load_dossier "$loaded" "$source_files" >/dev/null
	done
}
keep_pushing() {
	while [ -f "$work/go" ]; do
		pushed=$((pushed + 1))
		[ "$pushed" -le "$loaded" ] || die "all that was loaded is pushed"
		push_dossier "$pushed" >/dev/null
		echo "$pushed" >"$work/pushed"
	done
}
pgbench_to() { # FILE
	"$bindir/pgbench" -n -M prepared -N -c 8 -j 2 -T "$duration" >"$work/pgbench.out" 2>&1 || die "pgbench failed"
	awk '/^latency average/ { l = $4 } /^tps/ { t = $3 } END { print t, l }' "$work/pgbench.out" >>"$work/$1"
}
for ((round = 1; round <= rounds; round++)); do
	load_some
	pgbench_to alone
	touch "$work/go"
	keep_pushing &
	pgbench_to beside
	rm "$work/go"
	wait $!
	pushed=$(cat "$work/pushed")
done
pushed=$(sql -c "SELECT count(*) FROM cloudsync.history WHERE kind = 'push' AND state = 'succeeded'")
for what in alone beside; do
	printf '%-6s %6.0f tps  %.2f ms  (%s)\n' "$what" "$(cut -d' ' -f1 "$work/$what" | median)" "$(cut -d' ' -f2 "$work/$what" | median)" \
		"$(cut -d' ' -f1 "$work/$what" | xargs)"
done
printf 'tps beside/alone %s, latency beside/alone %s, with %d pushes of 2,000 files\n' \
	"$(ratio "$(cut -d' ' -f1 "$work/beside" | median)" "$(cut -d' ' -f1 "$work/alone" | median)")" \
	"$(ratio "$(cut -d' ' -f2 "$work/beside" | median)" "$(cut -d' ' -f2 "$work/alone" | median)")" "$pushed"
