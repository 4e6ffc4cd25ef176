#!/usr/bin/env bash
# What reading cloudsync.activity costs those who are watched: 32 pushes at once of
# FILES files each to a local folder, while READERS sessions read the view every 10
# ms, in turn with as many that read pg_stat_activity (sessions that poll take some of
# a small machine's processors whatever they read); which comes first changes from
# round to round. Compared are the time of the pushes and the processor time of
# their worker; contents are checked after each.
#
#	test/bench/activity.sh [FILES=8] [READERS=2] [ROUNDS=8]
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=test/common.sh
. test/common.sh
# shellcheck source=test/bench/cluster.sh
. test/bench/cluster.sh
files=${1:-8}
readers=${2:-2}
rounds=${3:-8}

start_cluster "fsync = off" "cloudsync.max_workers = 1" "cloudsync.max_transfers = 32" "cloudsync.max_transfers_per_connection = 32" \
	"cloudsync.min_free_disk = 0" "max_wal_size = 8GB" "shared_buffers = 512MB" "autovacuum = off"
sql >/dev/null <<SQL
SET client_min_messages = error;
CREATE EXTENSION cloudsync;
CREATE TABLE dossier (id bigint PRIMARY KEY, title text);
CREATE UNLOGGED TABLE file (id bigint PRIMARY KEY, dossier_id bigint REFERENCES dossier, name text, content bytea);
ALTER TABLE file ALTER content SET STORAGE EXTERNAL;
SELECT cloudsync_connect('local', 'Folder');
SELECT cloudsync_track('dossier', 'file');
SELECT cloudsync_set_push('Folder', auto_sync => false, folder => '{title}');
INSERT INTO dossier SELECT g, 'D' || g FROM generate_series(1, 32) g;
INSERT INTO file SELECT g, 1 + g % 32, 'f' || g, ''::bytea FROM generate_series(1, 32 * $files) g;
SQL

worker() { sql -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'cloudsync worker'"; }
round() { # QUERY: seconds, and of the worker's processor
	local i began ended pid cpu watching=()
	sql -c "UPDATE file SET content = decode(repeat(md5(random()::text || id), 32768), 'hex')"
	pid=$(worker)
	cpu=$(cut -d ' ' -f 1 "/proc/${pid:-self}/schedstat")
	for ((i = 0; i < readers; i++)); do
		"$bindir/psql" -XqAt -f <(echo "$1 \\watch 0.01") >/dev/null &
		watching+=($!)
	done
	began=$EPOCHREALTIME
	sql >/dev/null <<'SQL'
SELECT array_agg(r) AS runs FROM dossier, cloudsync_push_dossier(id) r \gset
CALL cloudsync_wait(:'runs'::bigint[], '10 min');
SQL
	ended=$EPOCHREALTIME
	[ "$(worker)" = "$pid" ] || cpu=0 # a new one
	cpu=$(($(cut -d ' ' -f 1 "/proc/$(worker)/schedstat") - cpu))
	kill "${watching[@]}"
	wait "${watching[@]}" || true
	sql -c "SELECT encode(sha256(content), 'hex') || '  CloudSync/D' || dossier_id || '/' || name FROM file ORDER BY id" >"$work/sums"
	(cd "$work/cloud" && sha256sum --quiet -c "$work/sums") >&2 || die "contents differ"
	awk -v a="$began" -v b="$ended" -v cpu="$cpu" 'BEGIN { printf "%.3f %.3f\n", b - a, cpu / 1e9 }'
}

other='SELECT count(*) FROM pg_stat_activity'
activity='SELECT count(*) FROM cloudsync.activity'
round "$other" >/dev/null
round "$activity" >/dev/null
: >"$work/rounds"
for ((i = 1; i <= rounds; i++)); do
	if ((i % 2)); then a=$(round "$other") b=$(round "$activity"); else b=$(round "$activity") a=$(round "$other"); fi
	echo "$a $b" >>"$work/rounds"
	echo "$((32 * files)) files of 512 KiB, $readers readers: of pg_stat_activity ${a% *} s (processor ${a#* }), of cloudsync.activity ${b% *} s (processor ${b#* })"
done
each() { echo "$(median <"$1")  ($(sort -g "$1" | tr '\n' ' '))"; }
awk '{ printf "%.3f\n", $3 / $1 }' "$work/rounds" >"$work/time"
awk '{ printf "%.3f\n", $4 / $2 }' "$work/rounds" >"$work/cpu"
echo "time with cloudsync.activity read against pg_stat_activity: $(each "$work/time")"
echo "processor time of the worker: $(each "$work/cpu")"
