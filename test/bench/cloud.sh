#!/usr/bin/env bash
# Dropbox, Google Drive and OneDrive as the test cloud plays them (test/cloud):
#
#	test/bench/cloud.sh list [SERVICES="dropbox gdrive onedrive"] [ITEMS=1000000]
#		the worker's memory while a folder of so many files is listed (first one
#		of a hundredth), the requests and the time that it takes
#	test/bench/cloud.sh poll [SERVICES] [FILES=100000]
#		N10: requests of a poll of such a folder, unchanged and with ten new files
#	test/bench/cloud.sh latency [SERVICES] [FILES=2000] [ROUNDS=5] [MILLISECONDS=50] [AT_ONCE=32]
#		N11: small files pushed and collected through proxies that delay each answer
#		(delay.c), against what so many at once can do at most, AT_ONCE / latency,
#		and in turn with a bare program that makes only the same requests (multi.c).
#		Contents are compared after each round
#
# Counts and memory do not depend on what else the machine does; the times of
# latency need one that is idle: the cloud is a program in Python on the same one.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=test/common.sh
. test/common.sh
# shellcheck source=test/bench/cluster.sh
. test/bench/cluster.sh
what=${1:-}
case $what in list | poll | latency) ;; *) die "list, poll or latency, see the head of this file" ;; esac
shift

# what a worker touches of the shared buffers counts as its memory
start_cluster "shared_buffers = 16MB" "max_wal_size = 8GB" "cloudsync.stability_delay = 0"
cc -O2 -o build/delay test/bench/delay.c
cc -O2 -o build/multi test/bench/multi.c -lcurl
PSQL=$bindir/psql perl -I test/t test/bench/cloud.pl "$what" "$@"
