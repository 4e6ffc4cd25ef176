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
# oneself. Environment: PG_CONFIG, CLOUDSYNC_TEST_JOBS (how many at once; three more
# than there are processors, since most of a test is waiting), CLOUDSYNC_TEST_KEEP=1
# keeps the folder, CLOUDSYNC_TEST_INSTALL=1 installs into
# the server itself (one built for testing that cannot be pointed elsewhere),
# PROVE_FLAGS, and COPT (PGXS), which is added to the compiler's flags.
set -euo pipefail
cd "$(dirname "$0")/.."
repository=$PWD
umask 022

# shellcheck source=test/common.sh
. test/common.sh
find_postgresql

# --- what to run ---------------------------------------------------------------
files=()
sql=()
units=()
all_sql() { (cd test/sql && ls -1 -- *.sql 2>/dev/null | sed 's/\.sql$//') || true; }
all_units() { (cd test/unit && ls -1 -- *.c 2>/dev/null | sed 's/\.c$//') || true; }
if [ $# -eq 0 ]; then
	mapfile -t units < <(all_units)
	mapfile -t sql < <(all_sql)
	# Those that take longest begin first, what waits beside what works. The first of
	# them lets programs fork all they may, which others that read documents would feel.
	slow=(t/111_ocr_bad.pl t/103_graph_faults.pl t/101_dropbox_faults.pl t/102_gdrive_faults.pl t/119_cookbook.pl
		t/070_soak.pl t/082_crash_no_ids.pl t/101_dropbox_collect.pl t/102_gdrive_killed.pl t/103_graph_crash.pl
		t/101_dropbox.pl t/104_feed.pl t/081_s3.pl t/086_faults_webdav.pl t/087_faults_s3.pl
		t/101_dropbox_collect_faults.pl t/041_processes.pl t/037_url_content.pl)
	mapfile -t files < <(cd test && printf '%s\n' "${slow[@]}" && ls -1 t/*.pl | grep -vxF "$(printf '%s\n' "${slow[@]}")")
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

# --- build -----------------------------------------------------------------------
work=$(mktemp -d /tmp/cloudsync-test.XXXXXX)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
build=$repository/build/test
stage=$work/stage
[ -z "${CLOUDSYNC_TEST_INSTALL:-}" ] || stage=
build_in "$build" "$work/make.log" CRASH_POINTS=1 DESTDIR="$stage" all install \
	"${units[@]/#/build/unit/}"

# --- the folder the tests run in -------------------------------------------------
mkdir -p "$work/unit" "$work/tree"
for d in test/t test/cloud test/sql expected; do [ ! -d "$d" ] || cp -r "$d" "$work/"; done
for name in "${units[@]}"; do cp "$build/build/unit/$name" "$work/unit/"; done
# What the tests of the tree itself look at: names and the files with a version.
git -c safe.directory='*' ls-files 2>/dev/null | sed 's,/.*,,' | sort -u >"$work/tree/top-level" || true
cp -r META.json CHANGELOG.md README.md cloudsync.control Makefile sql src include docs "$work/tree/"
mkdir "$work/tree/test"
cp -r test/common.sh test/cppcheck.h test/demo test/unit test/fuzz test/bench "$work/tree/test/"

stage_settings "$stage" >"$work/temp.conf"
[ ${#as_user[@]} -eq 0 ] || chown -R postgres "$work"

tests=()
tests+=("${files[@]}")
for name in "${units[@]}"; do tests+=("unit/$name"); done
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
	CLOUDSYNC_SQL="${sql[*]}" CLOUDSYNC_STAGE="$stage" CLOUDSYNC_TREE="$work/tree" \
	PG_CONFIG="$PG_CONFIG" PGCTLTIMEOUT="${PGCTLTIMEOUT:-180}" \
	prove -j"${CLOUDSYNC_TEST_JOBS:-$(($(nproc) + 3))}" ${PROVE_FLAGS:-} "${tests[@]}" 2>&1 | tee "$work/prove.out" || status=$?

# A server that crashed comes back and goes on, as if nothing had been.
crashes=$(grep -hE '\(PID [0-9]+\) was terminated by signal (4|6|7|8|11)\b|TRAP: ' -A 1 tmp_check/log/*.log 2>/dev/null | head -n 8 || true)

if [ $status -eq 0 ] && [ -z "$crashes" ] && grep -q '^Result: PASS' prove.out; then
	cd /
	[ -z "${CLOUDSYNC_TEST_KEEP:-}" ] || trap - EXIT
	exit 0
fi

# --- why not ------------------------------------------------------------------------
trap - EXIT
failed=$(sed -n '/^Test Summary Report/,$p' prove.out | sed -n 's,^\(t/[^ ]*\.pl\|unit/[^ ]*\) .*,\1,p' | sort -u)

# The first checks of a program that failed, and what it died of.
reasons() {
	local name=$1 log
	log=tmp_check/log/regress_log_$(basename "$name" .pl)
	case $name in
		unit/*)
			timeout 60 "${as_user[@]}" env TMPDIR="$work" "./$name" 2>&1 | grep -A 2 '^not ok' ||
				echo "nothing fails when it runs once more, by itself"
			;;
		*)
			[ -f "$log" ] || return 0
			sed 's/^\[[^]]*\]([^)]*) *//' "$log" | awk -v diff="$([ "$name" != t/001_regress.pl ] || echo 1)" '
				diff != "" && /^#  / { next }
				/^not ok / && !/# TODO/ { said = said $0 "\n"; n = 5; next }
				/^(# |#$|$)/ { if (n > 0 && !/^#? *$|^#   (Failed test|at )|^# (diff|---|\+\+\+) /) { said = said $0 "\n"; n-- } next }
				{ n = 0 }
				/^ok |^(waiting for|server) / { next }
				/ at .* line [0-9]+\.?$|^Bail out/ { died = (/^while |^with /) ? before " " $0 : $0 }
				{ before = $0 }
				END { if (died != "") print died; printf "%s", said }'
			;;
	esac
}

# At most 20 lines, the last that are printed: some see no others.
summary() {
	local name numbers
	grep '^Bailout called\|^FAILED--' prove.out | head -n 2 || true
	for name in $failed; do
		numbers=$(sed -n "/^Test Summary Report/,\$p" prove.out |
			awk -v name="$name" '$1 == name { on = 1; next } /^[^ ]/ { on = 0 }
				on && /Failed test|Parse errors|exit status/ { sub(/^ */, ""); printf "; %s", $0 }')
		echo "$name$numbers"
		reasons "$name" 2>/dev/null | sed 's/^/    /' | head -n "$1"
	done | cut -c 1-240
}
{
	if grep -q '^Bailout called' prove.out; then
		echo "=== a server did not start"
		tail -n 15 tmp_check/log/*.log | cut -c 1-300
	fi
	for name in $failed; do
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
	echo "=== what failed (everything is kept in $work)"
	for lines in 8 4 2 1 0; do
		said=$(summary $lines) || true
		[ "$(wc -l <<<"$said")" -gt 17 ] || break
	done
	head -n 17 <<<"$said"
	if [ -n "$crashes" ]; then
		echo "a server's process crashed, in $(cd tmp_check/log && grep -lE 'was terminated by signal (4|6|7|8|11)\b|TRAP: ' ./*.log | tr '\n' ' ')"
		cut -c 1-240 <<<"$crashes"
	fi
	tail -n 2 prove.out
} >&2
[ $status -ne 0 ] || status=1
exit $status
