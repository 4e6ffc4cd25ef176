#!/usr/bin/env bash
# Builds the extension with its crash points, stages it below a temporary folder
# and runs the tests against throw-away clusters. Nothing on the system is
# touched: the build is in build/test, the rest in the temporary folder, which
# is removed when all pass and named when not.
#
#	test/run.sh                     everything
#	test/run.sh t/020_push.pl sql/track unit/template
#
# As root the tests run as user postgres (PostgreSQL refuses root), otherwise as
# oneself. Environment: PG_CONFIG, CLOUDSYNC_TEST_JOBS (2 at once),
# CLOUDSYNC_TEST_KEEP=1 keeps the folder, PROVE_FLAGS.
set -euo pipefail
cd "$(dirname "$0")/.."
repository=$PWD
umask 022

die() { printf '%s\n' "run: $*" >&2; exit 1; }

if [ -z "${PG_CONFIG:-}" ]; then
	# The highest major of Debian's, else the first in the path.
	for c in $(printf '%s\n' /usr/lib/postgresql/*/bin/pg_config | sort -V); do
		if [ -x "${c%/*}/postgres" ] && [ -f "$("$c" --pgxs)" ]; then PG_CONFIG=$c; fi
	done
	: "${PG_CONFIG:=pg_config}"
fi
command -v "$PG_CONFIG" >/dev/null || die "no pg_config: run test/setup.sh first"
bindir=$("$PG_CONFIG" --bindir)
pgxs=$(dirname "$("$PG_CONFIG" --pgxs)")/../..

# --- what to run ---------------------------------------------------------------
files=()
sql=()
units=()
all_sql() { (cd test/sql && ls -1 *.sql 2>/dev/null | sed 's/\.sql$//') || true; }
all_units() { (cd test/unit && ls -1 *.c 2>/dev/null | sed 's/\.c$//') || true; }
if [ $# -eq 0 ]; then
	mapfile -t units < <(all_units)
	mapfile -t sql < <(all_sql)
	mapfile -t files < <(cd test && ls -1 t/*.pl)
fi
for name in "$@"; do
	name=${name#./}; name=${name#test/}
	case $name in
		sql) mapfile -t sql < <(all_sql) ;;
		unit) mapfile -t units < <(all_units) ;;
		t) mapfile -t files < <(cd test && ls -1 t/*.pl | grep -v 001_regress) ;;
		sql/*) name=${name#sql/}; sql+=("${name%.sql}") ;;
		unit/*) name=${name#unit/}; units+=("${name%.c}") ;;
		t/*) files+=("${name%.pl}.pl") ;;
		*) die "no such test: $name (t/NAME.pl, sql/NAME, unit/NAME, or t, sql, unit)" ;;
	esac
done
for name in "${sql[@]}"; do [ -f "test/sql/$name.sql" ] || die "no such test: sql/$name"; done
for name in "${units[@]}"; do [ -f "test/unit/$name.c" ] || die "no such test: unit/$name"; done
for name in "${files[@]}"; do [ -f "test/$name" ] || die "no such test: $name"; done
if [ ${#sql[@]} -gt 0 ] && ! printf '%s\n' "${files[@]}" | grep -qx t/001_regress.pl; then
	files=(t/001_regress.pl "${files[@]}")
fi

# --- build, in a copy with the files' own times, so that it is incremental ------
build=$repository/build/test
mkdir -p "$build/test"
for d in sql src include test/unit; do
	[ -d "$repository/$d" ] || continue
	(cd "$repository/$d" && find . -type d) | (mkdir -p "$build/$d" && cd "$build/$d" && xargs mkdir -p)
	(cd "$repository/$d" && find . -type f \( -name '*.[ch]' -o -name '*.sql' \) -print0) |
		(cd "$repository/$d" && xargs -0r cp -pu --parents -t "$build/$d")
done
(cd "$build" && find src include sql test -type f) | while read -r f; do
	# What is gone from the tree, and objects of such sources.
	case $f in *.o | *.bc) origin=${f%.*}.c ;; *) origin=$f ;; esac
	[ -e "$repository/$origin" ] || rm -f "$build/$f"
done
cp -pu Makefile cloudsync.control "$build/"

work=$(mktemp -d /tmp/cloudsync-test.XXXXXX)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
make_log=$work/make.log
if ! { make -C "$build" PG_CONFIG="$PG_CONFIG" CRASH_POINTS=1 with_llvm=no all unit &&
	make -C "$build" PG_CONFIG="$PG_CONFIG" CRASH_POINTS=1 with_llvm=no install DESTDIR="$work/stage"; } \
	>"$make_log" 2>&1; then
	grep -v '^make' "$make_log" | grep -E -A4 'error|warning|undefined|Error' | cut -c 1-400 | tail -n 60 >&2 ||
		tail -n 40 "$make_log" >&2
	die "the build failed"
fi
if [ "$(id -u)" = 0 ] && [ -n "${SUDO_UID:-}" ]; then
	chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$repository/build"
fi

# --- the folder the tests run in -------------------------------------------------
mkdir -p "$work/unit" "$work/tree"
for d in test/t test/sql expected; do [ ! -d "$d" ] || cp -r "$d" "$work/"; done
for name in "${units[@]}"; do cp "$build/build/unit/$name" "$work/unit/"; done
# What the tests of the tree itself look at: names and the files with a version.
git -c safe.directory='*' ls-files 2>/dev/null | sed 's,/.*,,' | sort -u >"$work/tree/top-level" || true
cp META.json CHANGELOG.md cloudsync.control README.md "$work/tree/" 2>/dev/null || true
cp -r src include Makefile "$work/tree/"

as_user=()
if [ "$(id -u)" = 0 ]; then
	id postgres >/dev/null 2>&1 || die "no user postgres to run the tests as"
	as_user=(setpriv --reuid=postgres --regid=postgres --clear-groups)
fi

pkglibdir=$("$PG_CONFIG" --pkglibdir)
sharedir=$("$PG_CONFIG" --sharedir)
server_has() { "${as_user[@]}" "$bindir/postgres" --describe-config | cut -f 1 | grep -x "$1" >/dev/null; }
if server_has extension_destdir; then
	echo "extension_destdir = '$work/stage'"
elif server_has extension_control_path; then
	echo "extension_control_path = '$work/stage$sharedir:\$system'"
else
	die "this PostgreSQL has neither extension_destdir (Debian) nor extension_control_path (18): install with make install and run prove by hand"
fi >"$work/temp.conf"
echo "dynamic_library_path = '$work/stage$pkglibdir:\$libdir'" >>"$work/temp.conf"

[ ${#as_user[@]} -eq 0 ] || chown -R postgres "$work"

tests=()
for name in "${units[@]}"; do tests+=("unit/$name"); done
tests+=("${files[@]}")
[ ${#tests[@]} -gt 0 ] || die "there are no tests"

# --- run --------------------------------------------------------------------------
cd "$work"
[ -z "${CLOUDSYNC_TEST_KEEP:-}" ] || echo "run: in $work"
status=0
# shellcheck disable=SC2086
"${as_user[@]}" env -u PGHOST -u PGPORT -u PGDATABASE -u PGSERVICE -u PGOPTIONS -u XDG_RUNTIME_DIR \
	HOME="$work" TMPDIR="$work" PATH="$bindir:$PATH" LC_ALL=C.UTF-8 LANG=C.UTF-8 \
	PERL5LIB="$work/t:$pgxs/src/test/perl" PG_REGRESS="$pgxs/src/test/regress/pg_regress" \
	TEMP_CONFIG="$work/temp.conf" TESTDIR="$work" TESTDATADIR="$work/tmp_check" \
	TESTLOGDIR="$work/tmp_check/log" PG_TEST_TIMEOUT_DEFAULT="${PG_TEST_TIMEOUT_DEFAULT:-120}" \
	CLOUDSYNC_SQL="${sql[*]}" CLOUDSYNC_STAGE="$work/stage" CLOUDSYNC_TREE="$work/tree" \
	prove -j"${CLOUDSYNC_TEST_JOBS:-2}" ${PROVE_FLAGS:-} "${tests[@]}" 2>&1 | tee "$work/prove.out" || status=$?

if [ $status -eq 0 ] && grep -q '^Result: PASS' prove.out; then
	cd /
	[ -z "${CLOUDSYNC_TEST_KEEP:-}" ] || trap - EXIT
	exit 0
fi

# --- why not ------------------------------------------------------------------------
trap - EXIT
{
	if grep -q '^Bailout called' prove.out; then
		echo "=== a server did not start"
		tail -n 15 tmp_check/log/*.log | cut -c 1-300
	fi
	sed -n '/^Test Summary Report/,$p' prove.out | sed -n 's,^\(t/[^ ]*\.pl\|unit/[^ ]*\) .*,\1,p' | sort -u |
		while read -r name; do
			base=$(basename "$name" .pl)
			echo
			echo "=== $name"
			if [ "$base" = 001_regress ]; then
				find regress_out -name regression.diffs -size +0 -exec head -n 80 {} + 2>/dev/null || true
			fi
			for log in tmp_check/log/regress_log_"$base" tmp_check/log/"$base"_*.log; do
				[ -f "$log" ] || continue
				echo "--- $work/$log (last lines)"
				tail -n 30 "$log" | cut -c 1-300
			done
		done
	echo
	echo "run: everything is kept in $work"
	tail -n 2 prove.out
} >&2
[ $status -ne 0 ] || status=1
exit $status
