# shellcheck shell=bash disable=SC2154
# What the benchmarks over WebDAV share: nginx with the dav-ext module on
# loopback, the peers (rclone, a bare libcurl program), and timing. Sourced after
# cluster.sh, with the cluster running.

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# Sets port, dav (the folder served) and requests (the log, a line a request).
start_nginx() {
	command -v nginx >/dev/null || die "no nginx: install nginx-light and libnginx-mod-http-dav-ext"
	local modules=/usr/lib/nginx/modules
	port=$(free_port)
	dav=$work/dav
	requests=$work/requests
	mkdir -p "$dav" "$work/nginx"
	cat >"$work/nginx.conf" <<-CONF
		load_module $modules/ngx_http_dav_ext_module.so;
		$([ "$(id -u)" != 0 ] || echo "user root;")
		worker_processes 1;
		daemon on;
		pid $work/nginx.pid;
		error_log $work/nginx.log;
		events { worker_connections 1024; }
		http {
			log_format line '\$request_method \$uri \$status';
			access_log $requests line;
			client_body_temp_path $dav/.body;
			proxy_temp_path $work/nginx/p; fastcgi_temp_path $work/nginx/f;
			scgi_temp_path $work/nginx/s; uwsgi_temp_path $work/nginx/u;
			client_max_body_size 0;
			keepalive_requests 1000000;
			sendfile on;
			tcp_nodelay on;
			server {
				listen 127.0.0.1:$port;
				root $dav;
				dav_methods PUT DELETE MKCOL COPY MOVE;
				dav_ext_methods PROPFIND OPTIONS;
				create_full_put_path on;
				min_delete_depth 0;
			}
		}
	CONF
	nginx -c "$work/nginx.conf" -p "$work/nginx" || die "nginx did not start"
}

stop_nginx() { [ ! -f "$work/nginx.pid" ] || kill "$(cat "$work/nginx.pid")" 2>/dev/null || true; }

# Sets rclone to one of at least 1.75, whose pacer can be switched off: the one
# in the path, or a newer distribution's package from the mirror that apt uses,
# unpacked below build.
find_rclone() {
	rclone=${RCLONE:-$repository/build/rclone/usr/bin/rclone}
	[ ! -x "$rclone" ] || return 0
	if command -v rclone >/dev/null &&
		[ "$(rclone version | sed -n '1s/^rclone v1\.\([0-9]*\).*/\1/p')" -ge 75 ]; then
		rclone=rclone
		return 0
	fi
	local mirror package
	mirror=$(apt-get indextargets --format '$(SITE)' | head -n 1)
	package=$(curl -fsS "$mirror/dists/sid/main/binary-$(dpkg --print-architecture)/Packages.xz" | xz -dc |
		awk '$1 == "Package:" { this = $2 == "rclone" } this && $1 == "Filename:" { print $2 }') ||
		die "no rclone from 1.75 on: name one with RCLONE"
	mkdir -p "$repository/build/rclone"
	curl -fsS -o "$repository/build/rclone.deb" "$mirror/$package"
	dpkg -x "$repository/build/rclone.deb" "$repository/build/rclone"
}
run_rclone() {
	"$rclone" --config /dev/null --webdav-url "http://127.0.0.1:$port" --webdav-pacer-min-sleep 0 -q "$@"
}

build_multi() {
	multi=$repository/build/multi
	cc -O2 -o "$multi" test/bench/multi.c -lcurl
}

now() { date +%s.%N; }
seconds() { # COMMAND...: how long it takes
	local began
	began=$(now)
	"$@" >"$work/out" 2>&1 || { cat "$work/out" >&2; die "failed: $*"; }
	echo "$(now) $began" | awk '{ print $1 - $2 }'
}
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

# The connection Dav, without automatic work, to the server; CONCURRENCY at once.
connect_dav() {
	sql <<-SQL >/dev/null
		SET client_min_messages = error;
		CREATE EXTENSION cloudsync;
		CREATE TABLE dossier (id bigint PRIMARY KEY, title text);
		CREATE TABLE file (id bigserial PRIMARY KEY, dossier_id bigint REFERENCES dossier, name text, content bytea);
		ALTER TABLE file ALTER content SET STORAGE EXTERNAL;
		CREATE INDEX ON file (dossier_id);
		SELECT cloudsync_track('dossier', 'file');
		SELECT cloudsync_connect('webdav', 'Dav', NULL, jsonb_build_object('endpoint', 'http://127.0.0.1:${1:-$port}'));
		SELECT cloudsync_set_push('Dav', auto_sync => false);
		SELECT cloudsync_add_recipient('bench');
	SQL
}
at_once() { # CONCURRENCY
	sql -c "ALTER SYSTEM SET cloudsync.max_transfers = $1" -c "ALTER SYSTEM SET cloudsync.max_transfers_per_connection = $1" \
		-c "SELECT pg_reload_conf()" >/dev/null
}
# The contents of SOURCE's rows are one file each of FOLDER.
load_dossier() { # ID FOLDER
	sql -c "INSERT INTO dossier VALUES ($1, 'Dossier $1')" -c "INSERT INTO file (dossier_id, name, content)
		SELECT $1, f, pg_read_binary_file('$2/' || f) FROM pg_ls_dir('$2') f ORDER BY f" -c CHECKPOINT
}
# A call that starts a run, and the wait for its end.
run_and_wait() { # CALL
	sql <<<"SELECT format('CALL cloudsync_wait(%s, ''10 minutes'')', $1) \\gexec"
}
push_dossier() { run_and_wait "cloudsync_push_dossier($1::bigint)"; }
# A new channel each time: what one has collected it does not collect again.
make_channel() { # NAME FOLDER
	sql -c "SELECT cloudsync_create_channel('Dav', '$1', '{$2}', 'bench', 'Mail', auto_collect => false)" >/dev/null
}
collect() { run_and_wait "cloudsync_collect('$1')"; }
# The documents of the channel are the files of FOLDER, byte by byte.
same_documents() { # CHANNEL FOLDER
	local there here
	there=$(sql -c "SELECT md5(string_agg(d.name || ' ' || encode(d.sha256, 'hex') || ' ' || encode(sha256(cloudsync_content(d.document_id)), 'hex'), E'\n' ORDER BY d.name COLLATE \"C\"))
		FROM cloudsync.document d JOIN cloudsync.channel h USING (channel_id) WHERE h.name = '$1'")
	here=$(cd "$2" && for f in *; do s=$(sha256sum <"$f" | cut -c 1-64); echo "$f $s $s"; done | LC_ALL=C sort | head -c -1 | md5sum | cut -c 1-32)
	[ "$there" = "$here" ] || die "channel $1: the documents are not the files of $2"
}
