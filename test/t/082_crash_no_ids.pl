# Services without ids (WebDAV, S3): a worker that is killed after a move and
# before it is recorded. What was moved is found where it was on its way to, and
# nothing is lost, nothing there twice, nothing sent again (P7, P16).
use strict;
use warnings;

use Digest::MD5 qw(md5_hex);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use CloudsyncTest;
use SwiftServer;
use WebServers;

my $node = new_cluster(
	'crash_no_ids',
	conf => "restart_after_crash = on\ncloudsync.allowed_endpoints = 'http://127.0.0.1:*, webdav=http://127.0.0.1:*'\n");
create_extension($node);
application_schema($node);

sub sql { return scalar_sql($node, $_[0]) }

sql(q{
ALTER TABLE app.dossier_file ADD kind text NOT NULL DEFAULT 'k';
SELECT cloudsync_track('app.dossier', 'app.dossier_file');
});

my $all_done = q{SELECT count(*) = 0 FROM (SELECT FROM cloudsync.due UNION ALL SELECT FROM cloudsync.change
	UNION ALL SELECT FROM cloudsync.backfill UNION ALL SELECT FROM cloudsync.run WHERE state IN ('queued', 'running')) x};

# What is there now, as "path md5"; the server's own.
my $found;
my @trash;

# The statement's work, with the worker killed at $point $times times, then
# $meanwhile while it is still being killed, then the checks.
sub killed_at
{
	my ($what, $point, $times, $change, %more) = @_;
	my $runs = sql('SELECT coalesce(max(run_id), 0) FROM cloudsync.run');
	my $offset = log_offset($node);

	crash_at($node, $point);
	crash_statement($node, "BEGIN; $change; COMMIT");
	ok($node->wait_for_log(qr/(crash point \Q$point\E\b.*){$times}/s, $offset), "$what: killed $times times at $point");
	crash_no_more($node);
	ok(wait_for($node, $all_done), "$what: the work is finished");

	push @trash, $more{trash} if $more{trash};
	my @expected = sort @trash, split /\n/,
	  sql(q{SELECT 'CloudSync/' || title || '/' || kind || '/' || name || ' ' || md5(content)
		FROM app.dossier d JOIN app.dossier_file f ON f.dossier_id = d.id});
	my @there = sort $found->();
	is_deeply(\@there, \@expected, "$what: each file is there once, whole") or diag(join "\n", @there);
	is(sql("SELECT count(*) FROM cloudsync.run WHERE run_id > $runs AND state <> 'succeeded'"), 0, "$what: every run has succeeded");
	my $told = join ', ', map { "'$_'" } 'move', @{ $more{told} // [] };
	is(sql("SELECT string_agg(action || ' ' || path, ', ') FROM cloudsync.run_file WHERE run_id > $runs AND action NOT IN ($told)"),
		'', "$what: nothing else is told");
	is(sql(q{SELECT count(*) FROM cloudsync.files f JOIN app.dossier_file a ON a.id::text = f.file_key
		JOIN app.dossier d ON d.id = a.dossier_id
		WHERE f.state = 'synced' AND f.path = '/CloudSync/' || d.title || '/' || a.kind || '/' || a.name}),
		sql('SELECT count(*) FROM app.dossier_file'), "$what: each is recorded where it is");
	is(sql('SELECT count(*) FROM cloudsync.pushed_file WHERE intent_path IS NOT NULL'), 0, "$what: nothing is left to be found");
	return;
}

sub all_points
{
	my ($kind) = @_;

	@trash = ();
	sql(q{
TRUNCATE app.dossier_file, app.dossier;
INSERT INTO app.dossier (id, title) SELECT n, 'D' || n FROM generate_series(1, 4) n;
INSERT INTO app.dossier_file (id, dossier_id, name, content)
	SELECT 10 * d + f, d, 'f' || f, convert_to('content ' || d || '.' || f, 'UTF8') FROM generate_series(1, 4) d, generate_series(1, 3) f;
	});
	sql("SELECT cloudsync_set_push('$kind', every => '1 second', on_delete => 'trash', folder => '{title}/{file.kind}')");
	ok( wait_for($node, q{SELECT count(*) = 12 FROM cloudsync.files WHERE state = 'synced'}) && wait_for($node, $all_done),
		"$kind: everything is there to begin with")
	  or diag(sql('SELECT connection, state FROM cloudsync.connections'), "\n",
		sql('SELECT kind, state, error FROM cloudsync.history UNION ALL SELECT path, state, last_error FROM cloudsync.pushed_file'));

	killed_at("$kind, a folder", 'push.after_folder_move', 1, q{UPDATE app.dossier SET title = 'Moved 1' WHERE id = 1});
	killed_at("$kind, a file", 'push.after_move', 1, q{UPDATE app.dossier_file SET name = 'g1' WHERE id = 21});
	killed_at("$kind, a subfolder", 'push.after_move', 2, q{UPDATE app.dossier_file SET kind = 'other' WHERE dossier_id = 4});
	my $swap = q{UPDATE app.dossier_file SET name = CASE name WHEN 'f1' THEN 'f2' ELSE 'f1' END
		WHERE dossier_id = %d AND name IN ('f1', 'f2')};
	killed_at("$kind, two names swapped", 'push.after_move', 3, sprintf($swap, 3));
	killed_at("$kind, with its content", 'push.after_move', 1,
		q{UPDATE app.dossier_file SET name = 'h1', content = 'another' WHERE id = 41}, told => ['update']);
	killed_at("$kind, with its content, sent", 'push.after_rename', 1,
		q{UPDATE app.dossier_file SET name = 'i1', content = 'one more' WHERE id = 41}, told => [ 'update', 'adopt' ]);
	killed_at("$kind, a folder and what is in it", 'push.after_folder_move', 1, q{
		UPDATE app.dossier SET title = 'Moved 2' WHERE id = 2;
		UPDATE app.dossier_file SET kind = 'third' WHERE dossier_id = 2});
	killed_at("$kind, to the trash", 'push.after_trash', 1, q{DELETE FROM app.dossier_file WHERE id = 43},
		told => ['trash'], trash => '.trash/CloudSync/D4/other/f3 ' . md5_hex('content 4.3'));
	is(sql(q{SELECT count(*) FROM cloudsync.files WHERE state = 'trashed'}), 1, "$kind: it is recorded as in the trash");
	sql("SELECT cloudsync_disconnect('$kind')");
	return;
}

if (WebServers::have('rclone'))
{
	my $server = WebServers->rclone(user => 'ann', password => 'ann');
	my $url = $server->url;
	$found = sub
	{
		my $root = $server->folder;
		return map { "$_ " . md5_hex(read_file("$root/$_")) } files_below($root, parts => 1);
	};
	sql(qq{SELECT cloudsync_connect('webdav', 'rclone', '{"username": "ann", "password": "ann"}', '{"endpoint": "$url"}')});
	all_points('rclone');
	$server->stop;
}
else
{
	diag('rclone is not installed: WebDAV is left out');
}

if (SwiftServer::installed())
{
	my $swift = SwiftServer->new(PostgreSQL::Test::Utils::tempdir());
	$swift->make_bucket('dossiers');
	$found = sub
	{
		return map { "$_ " . md5_hex(($swift->request('GET', "/dossiers/" . s/ /%20/gr))[2]) } grep { !m{/$} } $swift->keys_of('dossiers');
	};
	sql(sprintf q{SELECT cloudsync_connect('s3', 's3', '{"access_key_id": "%s", "secret_access_key": "%s"}',
		'{"endpoint": "%s", "bucket": "dossiers"}')}, $SwiftServer::USER, $SwiftServer::KEY, $swift->endpoint);
	all_points('s3');
	$swift->stop;
}
else
{
	diag('OpenStack Swift is not installed: S3 is left out');
}

$node->stop;
done_testing();
