#!/usr/bin/env bash
# N6: what tracking costs the application's writes. pgbench updates of a tracked
# table against the same updates of an untracked one of the same definition
# (with a table of files that refers to it), in turn, on a throw-away cluster
# with default settings; medians of the pairs. cpu is the CPU time of the
# server's sessions for one update, untracked through tracked: it swings less
# than the clock where others use the machine. Each run is checked: every update
# is in the table, and every one of the tracked table is in the change log or
# folded.
#
#	test/bench/write_overhead.sh [PAIRS=15] [SECONDS=3]
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=test/common.sh
. test/common.sh
# shellcheck source=test/bench/cluster.sh
. test/bench/cluster.sh
pairs=${1:-15}
seconds=${2:-3}
rows=100000

start_cluster
sql <<SQL
SET client_min_messages = error;
CREATE EXTENSION cloudsync;
CREATE TABLE untracked_dossier (id integer PRIMARY KEY, title text, n integer DEFAULT 0);
CREATE TABLE tracked_dossier (id integer PRIMARY KEY, title text, n integer DEFAULT 0);
CREATE TABLE untracked_file (id integer PRIMARY KEY, dossier_id integer REFERENCES untracked_dossier, name text, content bytea);
CREATE TABLE tracked_file (id integer PRIMARY KEY, dossier_id integer REFERENCES tracked_dossier, name text, content bytea);
SELECT cloudsync_connect('local', 'Folder');
SELECT cloudsync_set_push('Folder');
SELECT cloudsync_track('tracked_dossier', 'tracked_file');
-- folded as in use, but not pushed: the disk is the application's
SELECT cloudsync_disable('Folder');
SET cloudsync.capture = off;
INSERT INTO untracked_dossier SELECT i, 'dossier ' || i FROM generate_series(1, $rows) i;
INSERT INTO tracked_dossier SELECT i, 'dossier ' || i FROM generate_series(1, $rows) i;
VACUUM ANALYZE;
CHECKPOINT;
SQL

# Ticks of CPU time of the sessions that have ended.
postmaster=$(head -n 1 "$work/data/postmaster.pid")
ticks() { awk '{ sub(/.*\) /, ""); print $14 + $15 }' "/proc/$postmaster/stat"; }

run() { # TABLE CLIENTS SYNCHRONOUS_COMMIT SECONDS: sets tps and cpu
	local before after made spent
	printf '%s\n' "\\set id random(1, $rows)" "UPDATE $1 SET n = n + 1 WHERE id = :id;" >"$work/$1.sql"
	before=$(sql -c "SELECT sum(n) FROM $1")
	spent=$(ticks)
	PGOPTIONS="-c synchronous_commit=$3" "$bindir/pgbench" -n -M prepared -f "$work/$1.sql" -c "$2" -j 2 -T "$4" >"$work/pgbench.out" 2>&1 ||
		{ cat "$work/pgbench.out" >&2; die "pgbench failed"; }
	after=$(sql -c "SELECT sum(n) FROM $1")
	spent=$(($(ticks) - spent))
	made=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$work/pgbench.out")
	[ $((after - before)) = "$made" ] || die "$1: $made updates were reported, $((after - before)) made"
	tps=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$work/pgbench.out")
	cpu=$(awk -v t="$spent" -v n="$made" 'BEGIN { print t / n }')
}

echo "N6: updates a second, tracked against untracked (goal: at least 0.95)"
for commit in on off; do
	for clients in 1 8; do
		: >"$work/ratios" && : >"$work/cpus" && : >"$work/tracked" && : >"$work/untracked"
		run untracked_dossier "$clients" "$commit" 2
		run tracked_dossier "$clients" "$commit" 2
		for ((pair = 0; pair < pairs; pair++)); do
			if ((pair % 2)); then order="tracked untracked"; else order="untracked tracked"; fi
			for kind in $order; do
				run "${kind}_dossier" "$clients" "$commit" "$seconds"
				echo "$tps" >>"$work/$kind"
				printf -v "$kind" %s "$tps"
				printf -v "${kind}_cpu" %s "$cpu"
			done
			# shellcheck disable=SC2154
			awk -v t="$tracked" -v u="$untracked" 'BEGIN { printf "%.3f\n", t / u }' >>"$work/ratios"
			# shellcheck disable=SC2154
			awk -v t="$tracked_cpu" -v u="$untracked_cpu" 'BEGIN { printf "%.3f\n", u / t }' >>"$work/cpus"
		done
		printf 'synchronous_commit %-3s  clients %d  untracked %6.0f  tracked %6.0f  ratio %s  cpu %s  (%s)\n' "$commit" "$clients" \
			"$(median <"$work/untracked")" "$(median <"$work/tracked")" "$(median <"$work/ratios")" "$(median <"$work/cpus")" "$(sort -g "$work/ratios" | tr '\n' ' ')"
	done
done
made=$(sql -c 'SELECT sum(n) FROM tracked_dossier')
noted=$(sql -c 'SELECT (SELECT count(*) FROM cloudsync.change) + (SELECT coalesce(sum(changes), 0) FROM cloudsync.due)')
[ "$made" = "$noted" ] || die "$made updates of the tracked table were made, $noted noted"
echo "$made updates of the tracked table, $noted notes"
