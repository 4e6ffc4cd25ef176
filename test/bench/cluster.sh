# shellcheck shell=bash disable=SC2154
# What the benchmarks share: the extension built as for use (no crash points), a
# throw-away cluster with PostgreSQL's default settings and the library
# preloaded, medians. Sourced with the repository as the current folder, after
# test/common.sh.

start_cluster() { # SETTINGS...
	local repository_=$PWD setting
	find_postgresql
	[ "$(id -u)" != 0 ] || as_user+=(env HOME=/tmp)
	work=$(mktemp -d /tmp/cloudsync-bench.XXXXXX)
	trap stop_cluster EXIT
	repository=$repository_
	build_in "$repository/build/bench" "$work/make.log" DESTDIR="$work/stage" all install
	mkdir "$work/data" "$work/cloud"
	chmod 755 "$work"
	[ "$(id -u)" != 0 ] || chown postgres "$work/data" "$work/cloud"
	"${as_user[@]}" "$bindir/initdb" -D "$work/data" -U postgres --no-locale -E UTF8 --auth=trust >/dev/null
	{
		stage_settings "$work/stage"
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$work'"
		echo "shared_preload_libraries = 'cloudsync'"
		echo "cloudsync.local_root = '$work/cloud'"
		for setting in "$@"; do echo "$setting"; done
	} >>"$work/data/postgresql.conf"
	chmod 777 "$work"
	"${as_user[@]}" "$bindir/pg_ctl" -D "$work/data" -l "$work/data/log" -w start >/dev/null ||
		{ cat "$work/data/log" >&2; die "the server did not start"; }
	export PGHOST=$work PGUSER=postgres PGDATABASE=postgres
}

stop_cluster() {
	"${as_user[@]}" "$bindir/pg_ctl" -D "$work/data" -w -m immediate stop >/dev/null 2>&1 || true
	rm -rf "$work"
}

sql() { "$bindir/psql" -XqAt -v ON_ERROR_STOP=1 "$@"; }

median() { sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
