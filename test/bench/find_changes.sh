#!/usr/bin/env bash
# N7: finding 10 changed dossiers among many against among few: the fold of
# their changes into the queue (with the look at each dossier's tenant, and at
# where it was pushed before) and the queue's answer in the order of claims.
# Every dossier has been pushed already. In turn, on a throw-away cluster;
# medians of the rounds. What was found is checked each time. Then the same with
# a connection of another tenant, where it is asked of each dossier whether that
# one had it.
#
#	test/bench/find_changes.sh [MANY=10000000] [FEW=10000] [ROUNDS=7]
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=test/common.sh
. test/common.sh
# shellcheck source=test/bench/cluster.sh
. test/bench/cluster.sh
many=${1:-10000000}
few=${2:-10000}
rounds=${3:-7}

# Building the tables need not be safe; a scheduler would fold in between.
start_cluster "fsync = off" "wal_level = minimal" "max_wal_senders = 0" "max_wal_size = 2GB" \
	"maintenance_work_mem = 256MB" "autovacuum = off" "cloudsync.enabled = off"
build() { # DATABASE ROWS
	sql -c "CREATE DATABASE $1"
	sql -d "$1" <<SQL
SET client_min_messages = error;
CREATE EXTENSION cloudsync;
CREATE TABLE dossier (id bigint PRIMARY KEY, title text, company text);
CREATE TABLE file (id bigint PRIMARY KEY, dossier_id bigint REFERENCES dossier, name text, content bytea);
SELECT cloudsync_connect('local', 'Folder');
SELECT cloudsync_set_push('Folder');
SELECT cloudsync_track('dossier', 'file', tenant => 'company');
DELETE FROM cloudsync.backfill;
SET cloudsync.capture = off;
INSERT INTO dossier SELECT i, 'dossier ' || i, NULL FROM generate_series(1, $2) i;
INSERT INTO cloudsync.pushed_dossier (destination_id, dossiers_id, dossier, folder, folder_key, wanted, state)
    SELECT d.destination_id, t.dossiers_id, i, 'd' || i, 'd' || i, 'd' || i, 'synced'
    FROM cloudsync.destination d, cloudsync.dossier_table t, generate_series(1, $2) i;
VACUUM ANALYZE;
SQL
}
echo "building tables of $few and $many dossiers ..."
build few "$few"
build many "$many"
sql -c CHECKPOINT

round() { # DATABASE ROWS: milliseconds, the median of 20 after 5
	sql -d "$1" <<SQL | median
SET client_min_messages = warning;
CREATE TEMP TABLE took (ms double precision);
DO \$\$
DECLARE
    began timestamptz;
    found bigint;
BEGIN
    FOR i IN 1..25 LOOP
        INSERT INTO file SELECT coalesce((SELECT max(id) FROM file), 0) + g, 1 + floor($2 / 10 * (g - 1) + random() * ($2 / 10 - 1)), 'f', 'x'
            FROM generate_series(1, 10) g;
        COMMIT;
        began := clock_timestamp();
        PERFORM cloudsync.fold();
        SELECT count(*) INTO found FROM (SELECT dossier FROM cloudsync.due
            WHERE connection_id = (SELECT min(connection_id) FROM cloudsync.connection)
            ORDER BY backfill, start_at LIMIT 100) q;
        IF i > 5 THEN
            INSERT INTO took VALUES (extract(epoch FROM clock_timestamp() - began) * 1000);
        END IF;
        IF found <> 10 THEN
            RAISE EXCEPTION '% of 10 changed dossiers were found', found;
        END IF;
        DELETE FROM cloudsync.due;
        COMMIT;
    END LOOP;
END
\$\$;
SELECT ms FROM took;
SQL
}

measure() { # WHAT
	local i a b
	: >"$work/few" && : >"$work/many" && : >"$work/ratios"
	round few "$few" >/dev/null
	round many "$many" >/dev/null
	for ((i = 0; i < rounds; i++)); do
		a=$(round few "$few")
		b=$(round many "$many")
		echo "$a" >>"$work/few"
		echo "$b" >>"$work/many"
		awk -v a="$a" -v b="$b" 'BEGIN { printf "%.3f\n", b / a }' >>"$work/ratios"
	done
	printf '%s: among %s: %.2f ms  among %s: %.2f ms  ratio %s  (%s)\n' "$1" "$few" "$(median <"$work/few")" "$many" "$(median <"$work/many")" \
		"$(median <"$work/ratios")" "$(sort -g "$work/ratios" | tr '\n' ' ')"
}

echo "N7: finding 10 changed dossiers (goal: at most 1.5 times the time)"
measure "one tenant"
for database in few many; do
	sql -d "$database" <<'SQL' >/dev/null
SET cloudsync.tenant = 'another';
SELECT cloudsync_connect('local', 'Another');
SELECT cloudsync_set_push('Another');
DELETE FROM cloudsync.backfill;
SQL
done
measure "two tenants"
