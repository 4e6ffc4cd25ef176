#!/usr/bin/env bash
# What the indexes on names, by which cloudsync_find answers, cost collecting: FILES
# files of 20 KiB from a local folder with them, and as many of a folder beside it
# without them, in turn (which of the two comes first changes), beside DOCUMENTS
# that are there already. Whether all came, and with what bytes, is checked each time.
#
#	test/bench/name_indexes.sh [ROUNDS=5] [FILES=1000] [DOCUMENTS=50000]
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=test/common.sh
. test/common.sh
# shellcheck source=test/bench/cluster.sh
. test/bench/cluster.sh
rounds=${1:-5}
files=${2:-1000}
documents=${3:-50000}

start_cluster "cloudsync.stability_delay = 0" "cloudsync.ocr = off" "cloudsync.min_free_disk = 0" "max_wal_size = 8GB" \
	"shared_buffers = 512MB" "autovacuum = off"
sql >/dev/null <<SQL
SET client_min_messages = error;
CREATE EXTENSION cloudsync;
SELECT cloudsync_connect('local', 'Box');
SELECT cloudsync_add_recipient('ann');
SELECT cloudsync_create_channel('Box', 'old', '{/Old}', 'ann', 'B', auto_collect => false);
INSERT INTO cloudsync.document (document_id, tenant, account_id, connection_id, channel_id, run_id, name, size, sha256, media_type,
        remote_path, recipient, binder, ocr_state)
    SELECT -n, '', c.account_id, h.connection_id, h.channel_id, 0, format('letter of %s, %s.pdf', left(md5(n::text), 7), n), 1, '', 'application/pdf', '/Old/' || n, 'ann', 'B', 'done'
    FROM cloudsync.channel h JOIN cloudsync.connection c USING (connection_id), generate_series(1, $documents) n;
INSERT INTO cloudsync.item (connection_id, channel_id, folder_no, path, name, kind, state, document_id, listing)
    SELECT connection_id, channel_id, 1, remote_path, name, 'file', 'collected', document_id, 1 FROM cloudsync.document;
VACUUM ANALYZE;
SQL
worker() { sql -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'cloudsync worker'"; }

collect() { # prints seconds, and of the worker's processor
	local number folder run pid began ended cpu
	number=$(($(ls "$work/cloud" | wc -l) + 1)) # each call has a shell of its own
	folder=In$number
	"${as_user[@]}" mkdir "$work/cloud/$folder"
	(cd "$work/cloud/$folder" && head -c $((files * 20480)) /dev/urandom |
		"${as_user[@]}" split -b 20480 -a 5 -d --additional-suffix=".pdf" - "scan of $number, no ")
	sql -c "SET client_min_messages = error; SELECT cloudsync_create_channel('Box', '$folder', '{/$folder}', 'ann', 'Mail', auto_collect => false); CHECKPOINT" >/dev/null
	pid=$(worker)
	cpu=$(cut -d ' ' -f 1 "/proc/${pid:-self}/schedstat")
	began=$EPOCHREALTIME
	run=$(sql -c "SELECT cloudsync_collect('$folder')")
	sql -c "CALL cloudsync_wait($run, '5 minutes')" >/dev/null
	ended=$EPOCHREALTIME
	[ "$(worker)" = "$pid" ] || cpu=0 # a new one
	cpu=$(($(cut -d ' ' -f 1 "/proc/$(worker)/schedstat") - cpu))
	sql -c "SELECT encode(sha256(cloudsync_content(document_id)), 'hex') || '  .' || remote_path FROM cloudsync.document WHERE binder = 'Mail' AND remote_path LIKE '/$folder/%'" >"$work/sums"
	[ "$(wc -l <"$work/sums")" = "$files" ] || die "not all files were collected"
	(cd "$work/cloud" && sha256sum --quiet -c "$work/sums") >&2 || die "contents differ"
	awk -v a="$began" -v b="$ended" -v cpu="$cpu" 'BEGIN { printf "%.3f %.3f\n", b - a, cpu / 1e9 }'
}
with() { collect; }
without() {
	sql -c 'DROP INDEX cloudsync.item_name, cloudsync.document_name, cloudsync.run_file_error'
	collect
	sql -c 'CREATE INDEX item_name ON cloudsync.item USING gin (cloudsync.name_keys(name))' \
		-c 'CREATE INDEX document_name ON cloudsync.document USING gin (cloudsync.name_keys(name))' \
		-c 'CREATE INDEX run_file_error ON cloudsync.run_file USING gin (cloudsync.name_keys(path)) WHERE error OPERATOR(pg_catalog.<>) '\''unverified'\'''
}

collect >/dev/null # the first starts the worker
: >"$work/rounds"
for ((i = 1; i <= rounds; i++)); do
	if ((i % 2)); then a=$(with) b=$(without); else b=$(without) a=$(with); fi
	echo "$a $b" | tee -a "$work/rounds" | awk -v n="$files" -v i="$i" '{ printf "round %d: with %.0f files/s (%s s, processor %s s), without %.0f files/s (%s s, processor %s s)\n", i, n / $1, $1, $2, n / $3, $3, $4 }'
done
echo "with against without, files/s: $(awk '{ print $3 / $1 }' "$work/rounds" | median | xargs printf %.2f)  ($(awk '{ printf "%.2f\n", $3 / $1 }' "$work/rounds" | sort -g | tr '\n' ' '))"
echo "with against without, the worker's processor time: $(awk '{ print $2 / $4 }' "$work/rounds" | median | xargs printf %.2f)  ($(awk '{ printf "%.2f\n", $2 / $4 }' "$work/rounds" | sort -g | tr '\n' ' '))"
