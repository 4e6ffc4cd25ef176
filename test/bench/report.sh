#!/usr/bin/env bash
# Watching over a long history: cloudsync_status(), cloudsync_metrics() and
# cloudsync_report() over RUNS runs of DAYS days, on a throw-away cluster; medians
# of the rounds. The status must not read the history as a whole: its sequential
# scans are counted in its own transaction. The report of 30 days, and of all of it
# (goal: within 5 s).
#
#	test/bench/report.sh [RUNS=1000000] [DAYS=400] [ROUNDS=5]
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=test/common.sh
. test/common.sh
# shellcheck source=test/bench/cluster.sh
. test/bench/cluster.sh
runs=${1:-1000000}
days=${2:-400}
rounds=${3:-5}

# Building the history need not be safe, and no worker is to touch it.
start_cluster "fsync = off" "max_wal_size = 2GB" "cloudsync.enabled = off"
echo "a history of $runs runs ..."
sql >/dev/null <<SQL
SET client_min_messages = error;
CREATE EXTENSION cloudsync;
SELECT cloudsync_connect('local', 'C' || g, options => jsonb_build_object('path', 'c' || g)) FROM generate_series(1, 10) g;
SELECT cloudsync_set_push('C' || g) FROM generate_series(1, 10) g;
SELECT cloudsync_add_recipient('Ann');
SELECT cloudsync_create_channel('C' || g, 'P' || g, ARRAY['/in'], 'Ann', 'Mail') FROM generate_series(1, 10) g;
INSERT INTO cloudsync.run (kind, connection_id, channel_id, dossiers_id, dossier, origin, requested_by, requested_at, due_at, started_at,
        finished_at, state, files_done, bytes_sent, bytes_received, requests, attempts, error)
    SELECT CASE WHEN g % 20 = 0 THEN 'collect' ELSE 'push' END, 1 + g % 10, 1 + g % 10, 1, (g % 5000)::text, 'auto', 'auto', t, t + interval '15 min',
           t + interval '8 min', t + interval '8 min' + random() * random() * interval '4 min', CASE WHEN g % 40 = 7 THEN 'failed' ELSE 'succeeded' END,
           g % 5, g % 100000, g % 70000, 4, 1, CASE WHEN g % 40 = 7 THEN 'could not write "/CloudSync/' || g || '/report.pdf": permission denied' END
    FROM generate_series(1, $runs) g, LATERAL (SELECT now() - ($runs - g) * interval '$days days' / $runs) x (t);
INSERT INTO cloudsync.run_file (run_id, connection_id, action, path, size) SELECT run_id, connection_id, 'create', '/f', 1 FROM cloudsync.run;
UPDATE cloudsync.channel h SET last_run_id = (SELECT max(r.run_id) FROM cloudsync.run r WHERE r.channel_id = h.channel_id AND r.kind = 'collect');
INSERT INTO cloudsync.tally SELECT connection_id, kind, state, finished_at, files_done, 0, 0, bytes_sent, bytes_received, requests, 1, true
    FROM cloudsync.run ORDER BY run_id DESC LIMIT 5000;
VACUUM ANALYZE;
SQL

measure() { # WHAT STATEMENT: milliseconds, the median
	local i
	for ((i = 0; i < rounds; i++)); do
		sql -c '\timing on' -c '\o /dev/null' -c "$2" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
	done | median | sed "s/^/$1: /; s/\$/ ms/"
}
measure "status" "SELECT * FROM cloudsync_status()"
scans=$(sql <<'SQL'
BEGIN;
SELECT count(*) FROM cloudsync_status() \g /dev/null
SELECT seq_scan FROM pg_stat_xact_all_tables WHERE relid = 'cloudsync.run'::regclass;
ROLLBACK;
SQL
)
echo "status: sequential scans of the history: $scans (goal: 0)"
measure "metrics" "SELECT cloudsync_metrics()"
measure "report of 30 days" "SELECT cloudsync_report()"
measure "report of $days days" "SELECT cloudsync_report('$days days')"
