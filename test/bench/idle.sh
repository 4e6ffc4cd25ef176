#!/usr/bin/env bash
# N12: what idle workers cost. A preloaded server with 1,000 connections and 1,000
# channels whose next collection is tomorrow; the CPU time of all cloudsync
# processes in 60 seconds, from /proc. Goal: below 50 ms.
#
#	test/bench/idle.sh [SECONDS]
#
# As root the server runs as user postgres. Needs nothing but the build's tools.
set -euo pipefail
cd "$(dirname "$0")/../.."
repository=$PWD
seconds=${1:-60}
# shellcheck source=test/common.sh
. test/common.sh
find_postgresql

work=$(mktemp -d /tmp/cloudsync-bench.XXXXXX)
stop() {
	"${as_user[@]}" "$bindir/pg_ctl" -D "$work/data" -m fast -w stop >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap stop EXIT
chmod 755 "$work"
build_in "$repository/build/bench" "$work/make.log" DESTDIR="$work/stage" all install
mkdir "$work/cloud"
[ ${#as_user[@]} -eq 0 ] || chown postgres "$work" "$work/cloud"

"${as_user[@]}" "$bindir/initdb" -D "$work/data" -U postgres --no-locale -E UTF8 -A trust >/dev/null
{
	stage_settings "$work/stage"
	cat <<CONF
shared_preload_libraries = 'cloudsync'
listen_addresses = ''
unix_socket_directories = '$work'
max_worker_processes = 16
cloudsync.local_root = '$work/cloud'
CONF
} | "${as_user[@]}" tee -a "$work/data/postgresql.conf" >/dev/null
"${as_user[@]}" "$bindir/pg_ctl" -D "$work/data" -l "$work/log" -w start >/dev/null </dev/null
sql() { psql -X -qAt -v ON_ERROR_STOP=1 -h "$work" -U postgres -d postgres "$@"; }

sql >/dev/null <<'SQL'
SET client_min_messages = error;
CREATE EXTENSION cloudsync;
SELECT cloudsync_add_recipient('clerk');
SELECT cloudsync_connect('local', 'store ' || n, options => jsonb_build_object('path', '/c' || n)) FROM generate_series(1, 1000) n;
SELECT cloudsync_create_channel('store ' || n, 'scans ' || n, ARRAY['/'], 'clerk', 'tray') FROM generate_series(1, 1000) n;
SELECT cloudsync_set_push('store ' || n) FROM generate_series(1, 1000) n;
SQL
# what creating them set off is over, and the workers have gone
for _ in $(seq 240); do
	busy=$(sql -c "SELECT (SELECT count(*) FROM cloudsync.run WHERE state IN ('queued', 'running'))
		+ (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'cloudsync worker')")
	[ "$busy" != 0 ] || break
	sleep 1
done
[ "$busy" = 0 ] || die "the workers are not idle"
sql -c "UPDATE cloudsync.channel SET next_collect_at = now() + interval '1 day'" -c 'VACUUM ANALYZE' >/dev/null

# user and system time of all our processes in nanoseconds, from the scheduler's
# own account: clock ticks are too coarse
spent() {
	local pid total=0 ns
	for pid in $(sql -c "SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'cloudsync %'"); do
		read -r ns _ <"/proc/$pid/schedstat"
		total=$((total + ns))
	done
	echo "$total"
}
# the last of what was set off is over when nothing was spent for a while
for _ in $(seq 20); do
	before=$(spent)
	sleep 10
	after=$(spent)
	[ $((after - before)) -gt 1000000 ] || break
done

before=$(spent)
sleep "$seconds"
after=$(spent)
sql -c "SELECT backend_type, count(*) FROM pg_stat_activity WHERE backend_type LIKE 'cloudsync %' GROUP BY 1" |
	sed 's/|/: /; s/^/processes: /'
awk -v ns=$((after - before)) -v s="$seconds" \
	'BEGIN { printf "N12: %.1f ms of CPU in %d s with 1,000 connections and 1,000 channels (goal: below 50)\n", ns / 1e6, s }'
