#!/usr/bin/env bash
# N11: 2,000 small files through a proxy that delays every answer by 50 ms, 32 at
# once: throughput against what 32 at once can do at most, 32 / latency. Contents
# are compared after each round.
#
#	test/bench/latency.sh [ROUNDS=5] [FILES=2000] [MILLISECONDS=50] [AT_ONCE=32]
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=test/common.sh
. test/common.sh
# shellcheck source=test/bench/cluster.sh
. test/bench/cluster.sh
# shellcheck source=test/bench/webdav.sh
. test/bench/webdav.sh
rounds=${1:-5}
files=${2:-2000}
delay=${3:-50}
level=${4:-32}

start_cluster "cloudsync.allowed_endpoints = 'http://127.0.0.1:*'" "cloudsync.stability_delay = 0"
trap 'kill "$proxy" 2>/dev/null; stop_nginx; stop_cluster' EXIT
start_nginx
slow=$(free_port)
cc -O2 -o build/delay test/bench/delay.c
build/delay "$slow" "$port" "$delay" &
proxy=$!
connect_dav "$slow"
at_once "$level"
source_files=$work/source
mkdir "$source_files"
for ((i = 1; i <= files; i++)); do head -c 2048 /dev/urandom >"$source_files/file-$i.bin"; done
chmod -R a+rX "$source_files"
for ((round = 0; round <= rounds; round++)); do
	load_dossier "$round" "$source_files" >/dev/null
	took=$(seconds push_dossier "$round")
	diff -rq "$source_files" "$dav/CloudSync/Dossier $round" >/dev/null || die "round $round: not what was sent"
	mv "$dav/CloudSync/Dossier $round" "$dav/in$round"
	make_channel "in $round" "/in$round"
	back=$(seconds collect "in $round")
	same_documents "in $round" "$source_files"
	[ "$round" -gt 0 ] || continue
	echo "$took" >>"$work/up"
	echo "$back" >>"$work/down"
done
for direction in up down; do
	rate=$(awk -v f="$files" '{ print f / $1 }' "$work/$direction" | median)
	printf '%-4s %d at once, %d ms: %.0f files/s, %s of %d / latency  (%s)\n' "$direction" "$level" "$delay" "$rate" \
		"$(awk -v r="$rate" -v l="$level" -v d="$delay" 'BEGIN { printf "%.2f", r / (l * 1000 / d) }')" "$level" \
		"$(awk -v f="$files" '{ printf "%s%.0f", (NR > 1 ? " " : ""), f / $1 }' "$work/$direction")"
done
