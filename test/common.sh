# shellcheck shell=bash disable=SC2034,SC2154
# What test/run.sh and test/demo/demo.sh share: finding PostgreSQL, building in a
# copy of the tree, staging the result where a server finds it. Sourced with the
# repository as the current folder; relies on bash.

die() { printf '%s\n' "${0##*/}: $*" >&2; exit 1; }

# Sets PG_CONFIG (the highest major of Debian's, else the first in the path),
# bindir, pgxs and as_user, the command before those that must not be root's.
find_postgresql() {
	if [ -z "${PG_CONFIG:-}" ]; then
		local c
		for c in $(printf '%s\n' /usr/lib/postgresql/*/bin/pg_config | sort -V); do
			if [ -x "${c%/*}/postgres" ] && [ -f "$("$c" --pgxs)" ]; then PG_CONFIG=$c; fi
		done
		: "${PG_CONFIG:=pg_config}"
	fi
	command -v "$PG_CONFIG" >/dev/null || die "no pg_config: run test/setup.sh first"
	bindir=$("$PG_CONFIG" --bindir)
	pgxs=$(dirname "$("$PG_CONFIG" --pgxs)")/../..
	as_user=()
	if [ "$(id -u)" = 0 ]; then
		id postgres >/dev/null 2>&1 || die "no user postgres to run the server as"
		as_user=(setpriv --reuid=postgres --regid=postgres --clear-groups)
	fi
}

# build_in FOLDER LOG MAKE-ARGUMENTS...: brings a copy of the sources up to date
# with the files' own times, so that building there is incremental and leaves
# the tree alone, and makes what the arguments name.
build_in() {
	local build=$1 log=$2 d f origin
	shift 2
	mkdir -p "$build"
	for d in sql src include test/unit test/fuzz; do
		[ -d "$repository/$d" ] || continue
		mkdir -p "$build/$d"
		(cd "$repository/$d" && find . -type f \( -name '*.[ch]' -o -name '*.sql' -o -name '*.sh' \) -print0 |
			xargs -0r cp -pu --parents -t "$build/$d")
	done
	cp -pu Makefile cloudsync.control "$build/"
	# What is gone from the tree, and objects of such sources.
	(cd "$build" && find sql src include test -type f) | while read -r f; do
		case $f in *.o | *.bc) origin=${f%.*}.c ;; *) origin=$f ;; esac
		[ -e "$repository/$origin" ] || rm -f "$build/$f"
	done
	if ! make -j"$(nproc)" -C "$build" PG_CONFIG="$PG_CONFIG" with_llvm=no "$@" >"$log" 2>&1; then
		grep -E -A4 ': (fatal )?error:|warning:|undefined reference|\*\*\*' "$log" |
			cut -c 1-300 | tail -n 60 >&2 || tail -n 40 "$log" >&2
		die "the build failed"
	fi
	if [ "$(id -u)" = 0 ] && [ -n "${SUDO_UID:-}" ]; then
		chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$repository/build"
	fi
}

# Prints the settings by which a server finds what was installed with
# DESTDIR=STAGE: Debian's extension_destdir, or 18's extension_control_path. None
# are needed where STAGE is empty: it is in the server's own folders.
stage_settings() {
	local stage=$1 known
	[ -n "$stage" ] || return 0
	known=$("${as_user[@]}" "$bindir/postgres" --describe-config | cut -f 1)
	if grep -qx extension_destdir <<<"$known"; then
		echo "extension_destdir = '$stage'"
	elif grep -qx extension_control_path <<<"$known"; then
		echo "extension_control_path = '$stage$("$PG_CONFIG" --sharedir):\$system'"
	else
		die "this PostgreSQL has neither extension_destdir (Debian's) nor" \
			"extension_control_path (18), so that nothing can be tried without installing it" \
			"(CLOUDSYNC_TEST_INSTALL=1 test/run.sh does)"
	fi
	echo "dynamic_library_path = '$stage$("$PG_CONFIG" --pkglibdir):\$libdir'"
}
