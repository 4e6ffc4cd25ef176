#!/usr/bin/env bash
# What reading cloudsync.activity costs those who are watched: 32 pushes at once of
# FILES files each to a local folder, while nobody reads, and while READERS sessions
# read the view every 10 ms; in turn, contents compared after each round. The time
# of the pushes with readers against that without.
#
# Readers that poll take some of a small machine's processors whatever they read; so
# the other side of each round has as many sessions that read pg_stat_activity.
#
#	test/bench/activity.sh [FILES=40] [READERS=2] [ROUNDS=5]
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=test/common.sh
. test/common.sh
# shellcheck source=test/bench/cluster.sh
. test/bench/cluster.sh
files=${1:-40}
readers=${2:-2}
rounds=${3:-5}

start_cluster "fsync = off" "cloudsync.max_workers = 1" "cloudsync.max_transfers = 32" "cloudsync.max_transfers_per_connection = 32" \
	"cloudsync.min_free_disk = 0"
sql >/dev/null <<SQL
SET client_min_messages = error;
CREATE EXTENSION cloudsync;
CREATE TABLE dossier (id bigint PRIMARY KEY, title text);
CREATE TABLE file (id bigint PRIMARY KEY, dossier_id bigint REFERENCES dossier, name text, content bytea);
ALTER TABLE file ALTER content SET STORAGE EXTERNAL;
SELECT cloudsync_connect('local', 'Folder');
SELECT cloudsync_track('dossier', 'file');
SELECT cloudsync_set_push('Folder', auto_sync => false, folder => '{title}');
INSERT INTO dossier SELECT g, 'D' || g FROM generate_series(1, 32) g;
INSERT INTO file SELECT g, 1 + g % 32, 'f' || g, ''::bytea FROM generate_series(1, 32 * $files) g;
SQL

watch() { # QUERY: until the file is gone
	while [ -e "$work/watching" ]; do echo "$1"; echo 'SELECT pg_sleep(0.01);'; done | sql >/dev/null
}
round() { # QUERY: seconds
	local i began ended
	sql -c "UPDATE file SET content = decode(repeat(md5(random()::text || id), 32768), 'hex')"
	touch "$work/watching"
	for ((i = 0; i < readers; i++)); do watch "$1" & done
	began=$(date +%s.%N)
	sql >/dev/null <<'SQL'
SELECT array_agg(r) AS runs FROM dossier, cloudsync_push_dossier(id) r \gset
CALL cloudsync_wait(:'runs'::bigint[], '10 min');
SQL
	ended=$(date +%s.%N)
	rm "$work/watching"
	wait
	sql -Aqt -c "SELECT encode(sha256(content), 'hex') || '  CloudSync/D' || dossier_id || '/' || name FROM file ORDER BY id" >"$work/sums"
	(cd "$work/cloud" && sha256sum --quiet -c "$work/sums") >&2 || die "contents differ"
	awk -v a="$began" -v b="$ended" 'BEGIN { printf "%.3f\n", b - a }'
}

other='SELECT count(*) FROM pg_stat_activity;'
activity='SELECT count(*) FROM cloudsync.activity;'
round "$other" >/dev/null
round "$activity" >/dev/null
: >"$work/ratios"
for ((i = 0; i < rounds; i++)); do
	a=$(round "$other")
	b=$(round "$activity")
	echo "$((32 * files)) files of 512 KiB, $readers readers: of pg_stat_activity $a s, of cloudsync.activity $b s"
	awk -v a="$a" -v b="$b" 'BEGIN { printf "%.3f\n", b / a }' >>"$work/ratios"
done
echo "time with cloudsync.activity read against without: $(median <"$work/ratios")  ($(sort -g "$work/ratios" | tr '\n' ' '))"
