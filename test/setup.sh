#!/usr/bin/env bash
# Installs the Debian packages that building and testing need, if any is
# missing; when none is, it does nothing and needs no rights. `setup.sh --list`
# prints the packages.
#
# PostgreSQL's packages make and start a cluster "main" when they are first
# installed. Nothing here uses it, so where no server was installed before, a
# drop-in setting keeps them from making one; it is removed again afterwards.
# Of prometheus, promtool alone is used: its service is neither started nor enabled.
set -euo pipefail

say() { printf '%s\n' "setup: $*"; }
die() { printf '%s\n' "setup: $*" >&2; exit 1; }

command -v apt-get >/dev/null && command -v dpkg-query >/dev/null || {
	if command -v "${PG_CONFIG:-pg_config}" >/dev/null && command -v prove >/dev/null; then
		say "not a Debian system: going on with what is installed"
		exit 0
	fi
	die "needs Debian, or pg_config with PGXS, prove and IPC::Run installed by hand"
}

installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# The highest major whose server and headers are both here, or else the
# distribution's own.
major=
for n in $({ dpkg-query -W -f '${Package}\n' 'postgresql-server-dev-[0-9]*' 2>/dev/null || true; } |
	sed -n 's/^postgresql-server-dev-\([0-9]*\)$/\1/p' | sort -n); do
	if installed "postgresql-server-dev-$n" && installed "postgresql-$n"; then major=$n; fi
done
candidate() {
	apt-cache depends postgresql 2>/dev/null |
		sed -n 's/^ *Depends: postgresql-\([0-9][0-9]*\)$/\1/p' | head -n 1
}

if [ "$(id -u)" = 0 ]; then
	as_root=()
else
	as_root=(sudo)
fi
apt() {
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
		apt-get -q -o DPkg::Lock::Timeout=900 "$@"
}
need_root() {
	[ "$(id -u)" = 0 ] || command -v sudo >/dev/null ||
		die "packages are missing and this is neither root nor is sudo here: $*"
}

updated=
if [ -z "$major" ]; then
	major=$(candidate)
	if [ -z "$major" ]; then
		need_root postgresql
		say "apt-get update"
		apt update
		updated=yes
		major=$(candidate)
	fi
	[ -n "$major" ] || die "apt knows no package postgresql: are the package lists reachable?"
fi

packages=(gcc make libc6-dev perl "postgresql-$major" "postgresql-server-dev-$major"
	"postgresql-$major-cron" libssl-dev libcurl4-openssl-dev libexpat1-dev libipc-run-perl cppcheck
	apache2-bin nginx-light libnginx-mod-http-dav-ext rclone
	swift-proxy swift-account swift-container swift-object python3 openssl
	python3-aiohttp python3-cryptography python3-dropbox python3-msal python3-google-auth
	python3-googleapi tesseract-ocr tesseract-ocr-fra tesseract-ocr-eng poppler-utils bubblewrap
	python3-html5lib prometheus chromium-headless-shell)
if [ "${1:-}" = --list ]; then
	printf '%s\n' "${packages[@]}"
	exit 0
fi

missing=()
for package in "${packages[@]}"; do
	installed "$package" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

need_root "${missing[*]}"
say "installing Debian packages: ${missing[*]}"
dropin=/etc/postgresql-common/createcluster.d/cloudsync-setup.conf
no_cluster() {
	"${as_root[@]}" sh -c "mkdir -p ${dropin%/*} && echo 'create_main_cluster = false' > $dropin"
}
no_service=
cleanup=()
trap 'for file in "${cleanup[@]}"; do "${as_root[@]}" rm -f "$file"; done' EXIT
if ! installed "postgresql-$major"; then
	say "no database cluster is made or started by this (pg_createcluster makes one)"
	cleanup+=("$dropin")
	no_cluster
fi
if ! installed prometheus && [ ! -e /usr/sbin/policy-rc.d ]; then
	cleanup+=(/usr/sbin/policy-rc.d)
	"${as_root[@]}" sh -c "printf '%s\n' '#!/bin/sh' 'case \$1 in prometheus*) exit 101 ;; esac' >/usr/sbin/policy-rc.d &&
		chmod 755 /usr/sbin/policy-rc.d"
	no_service=yes
fi
if ! apt install -y --no-install-recommends "${missing[@]}"; then
	# The lists may be older than what the mirror still has.
	[ -z "$updated" ] || die "apt-get install failed"
	say "apt-get update"
	apt update
	apt install -y --no-install-recommends "${missing[@]}" || die "apt-get install failed"
fi
if [ -n "$no_service" ] && command -v systemctl >/dev/null; then
	"${as_root[@]}" systemctl --quiet disable prometheus 2>/dev/null || true
fi
