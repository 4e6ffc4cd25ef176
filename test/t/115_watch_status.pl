# Each problem that cloudsync_status() can name comes with a statement that can be
# typed as it stands (H3, P14, C5, L7, W8, W9, W12): a list of problems, how each is
# made, and whether its statement mends it or only shows it. What only time or the
# other side can mend is tested end to end in t/052_status.pl.
use strict;
use warnings;

use CloudsyncTest;
use Test::More;

my $node = new_cluster('status');
my $root = local_root($node);
create_extension($node);
application_schema($node);
sub sql { return scalar_sql($node, $_[0]) }

$node->safe_psql('postgres', <<'SQL');
INSERT INTO app.dossier (title) VALUES ('One'), ('Two');
INSERT INTO app.dossier_file (dossier_id, name, content) SELECT id, 'f.txt', 'f' FROM app.dossier;
SELECT cloudsync_connect('local', 'Drive', options => '{"path": "d"}');
SELECT cloudsync_track('app.dossier', 'app.dossier_file');
SELECT cloudsync_set_push('Drive', folder => '{title}');
SELECT cloudsync_add_recipient('Ann');
CREATE ROLE other IN ROLE cloudsync_reader, cloudsync_app;
SQL
mkdir "$root/d/$_" foreach '', qw(Inbox Scans);
sql(q{SELECT cloudsync_create_channel('Drive', 'Post', ARRAY['/Inbox', '/Scans'], 'Ann', 'Mail')});
ok(wait_for($node, "SELECT count(*) FILTER (WHERE state = 'synced') = 2 FROM cloudsync.dossiers"), 'all is pushed');
ok(wait_run($node, sql("SELECT cloudsync_collect('Post')")), 'and collected');
ok(wait_for($node, 'SELECT NOT EXISTS (SELECT FROM cloudsync_status())'), 'nothing to say')
  or diag(sql('SELECT cloudsync_status()'));

# name; what makes it; severity|subject|problem; its statement; 1: it mends it.
# Made within a transaction that is rolled back, so that no worker meets it.
my @problems = (
	['consent withdrawn', "UPDATE cloudsync.connection SET state = 'needs_consent', reason = 'the token was revoked'",
		'error|connection Drive|it needs consent again: the token was revoked',
		q{SELECT * FROM cloudsync_connect('local', 'Drive', options => '{"path": "d"}');}, 1],
	['consent not given', "UPDATE cloudsync.connection SET state = 'pending'",
		'warning|connection Drive|it waits for consent', q{SELECT * FROM cloudsync_connect('local', 'Drive', options => '{"path": "d"}');}, 1],
	['locked', "UPDATE cloudsync.connection SET state = 'locked', reason = 'no key'",
		'error|connection Drive|it is locked: no key',
		'SELECT pg_reload_conf();  -- once the keyring is back (cloudsync.master_key_file, cloudsync.master_key_command)', 0],
	['failing', "UPDATE cloudsync.connection SET failures = 3, retry_at = '2100-01-01', reason = 'it does not answer'",
		'warning|connection Drive|it fails, 3 times in a row; tried again at 2100-01-01 00:00:00+00: it does not answer', undef, 0],
	['consent that ends in days', "UPDATE cloudsync.connection SET consent_expires_at = now() + interval '9 days 1 hour'",
		qr/^warning\|connection Drive\|its consent or certificate ends in 10 days, at /, qr/^SELECT \* FROM cloudsync_connect\('local', 'Drive', /, 0],
	['consent that has ended', "UPDATE cloudsync.connection SET consent_expires_at = now() - interval '1 day'",
		qr/^error\|connection Drive\|its consent or certificate ended at /, qr/^SELECT \* FROM cloudsync_connect\('local', 'Drive', /, 0],
	['credentials refused', "UPDATE cloudsync.connection SET renewal_refused = 'the password is wrong'",
		'warning|connection Drive|other credentials were refused, and those from before hold: the password is wrong', qr/^SELECT \* FROM cloudsync_connect\('local', 'Drive', /, 0],
	['deadline near', "INSERT INTO cloudsync.due (connection_id, dossiers_id, dossier, changed_at, start_at, due_at)
			SELECT connection_id, 1, '1', now(), now() - interval '1 min', now() + interval '3 min' FROM cloudsync.connection",
		qr/^warning\|connection Drive\|changed dossiers waiting: 1; the first is due at /, qr/^SELECT \* FROM cloudsync\.dossiers WHERE connection = 'Drive'/, 0],
	['deadline missed', "INSERT INTO cloudsync.due (connection_id, dossiers_id, dossier, changed_at, start_at, due_at)
			SELECT connection_id, 1, '1', now(), now() - interval '1 min', now() - interval '3 min' FROM cloudsync.connection",
		qr/^error\|connection Drive\|changed dossiers waiting: 1; the first was due at /, qr/^SELECT \* FROM cloudsync\.dossiers WHERE connection = 'Drive'/, 0],
	['changes not looked at', "INSERT INTO cloudsync.change (dossiers_id, dossier, changed_at) VALUES (1, '1', now() - interval '12 min')",
		qr/^warning\|change log\|changes since .* have not been looked at$/, qr/FROM pg_stat_activity/, 0],
	['file that fails', "UPDATE cloudsync.pushed_file SET state = 'failed', next_try_at = now(), last_error = 'disk full' WHERE dossier = '1'",
		q{error|connection Drive|a file cannot be sent, '/CloudSync/One/f.txt' of dossier '1': disk full},
		q{SELECT * FROM cloudsync.files WHERE connection = 'Drive' AND state = 'failed';}, 0],
	['dossier that fails', "INSERT INTO cloudsync.due (connection_id, dossiers_id, dossier, changed_at, start_at, due_at, attempts, last_error)
			SELECT connection_id, 1, '1', now(), now(), now(), 2, 'tag gone' FROM cloudsync.connection",
		q{error|connection Drive|a dossier cannot be pushed, '1': tag gone},
		q{SELECT * FROM cloudsync.dossiers WHERE connection = 'Drive' AND state = 'failed';}, 0],
	['too much for the trash', "UPDATE cloudsync.pushed_file SET state = 'to_trash'",
		'warning|connection Drive|2 files wait to be moved to the trash, more than cloudsync.max_trash an hour',
		q{SELECT cloudsync_confirm_trash('Drive');}, 1],
	['collection missed', "UPDATE cloudsync.channel SET next_collect_at = '2026-01-01 02:00+00'",
		'error|channel Post|its collection of 2026-01-01 02:00:00+00 has not been begun', q{SELECT cloudsync_collect('Post');}, 0],
	['folder gone', "UPDATE cloudsync.channel_folder SET state = 'gone', last_error = 'no such folder' WHERE path = '/Inbox'",
		q{error|channel Post|folder '/Inbox': no such folder},
		q{SELECT cloudsync_collect('Post');  -- once it is back, or SELECT cloudsync_alter_channel('Post', folders => ...)}, 0],
	['folder fails', "UPDATE cloudsync.channel_folder SET state = 'failed', last_error = 'forbidden' WHERE path = '/Inbox'",
		q{error|channel Post|folder '/Inbox': forbidden}, q{SELECT cloudsync_collect('Post');}, 0],
	['collection paused', "UPDATE cloudsync.run SET state = 'partial', error = 'collecting pauses: the disk is nearly full'
			WHERE run_id = (SELECT last_run_id FROM cloudsync.channel)",
		'error|channel Post|collecting pauses: the disk is nearly full', qr/^SELECT cloudsync_retry\(\d+\);$/, 0],
	['file not collected', "INSERT INTO cloudsync.item (connection_id, channel_id, folder_no, path, name, kind, state, reason, listing)
			SELECT connection_id, channel_id, 1, '/Inbox/it''s', 'it''s', 'file', 'failed', 'the function refused it', 1 FROM cloudsync.channel",
		q{error|channel Post|a file could not be collected, '/Inbox/it''s': the function refused it},
		q{SELECT * FROM cloudsync.items WHERE channel = 'Post' AND state = 'failed';}, 0],
	['file changed there', "INSERT INTO cloudsync.item (connection_id, channel_id, folder_no, path, name, kind, state, listing)
			SELECT connection_id, channel_id, 1, '/Inbox/a', 'a', 'file', 'changed', 1 FROM cloudsync.channel",
		'info|channel Post|1 file was changed in the folder after being collected',
		q{SELECT * FROM cloudsync.items WHERE channel = 'Post' AND state = 'changed';}, 0],
	['column made anew', "ALTER TABLE app.dossier DROP COLUMN title; ALTER TABLE app.dossier ADD COLUMN title text; SELECT cloudsync.refresh_column_names()",
		'error|table app.dossier|tracked column "title" is gone', q{SELECT cloudsync_track('app.dossier', 'app.dossier_file');}, 1],
	['content made anew', "ALTER TABLE app.dossier_file DROP COLUMN content; ALTER TABLE app.dossier_file ADD COLUMN content bytea; SELECT cloudsync.refresh_column_names()",
		'error|table app.dossier_file|tracked column "content" is gone', q{SELECT cloudsync_track('app.dossier', 'app.dossier_file');}, 1],
	['files gone', "DROP TABLE app.dossier_file; SELECT cloudsync.refresh_column_names()",
		qr/^error\|table \d+\|tracked table is gone$/, qr/^SELECT cloudsync_untrack\(\d+, \d+\);$/, 1],
	['dossiers gone', "DROP TABLE app.dossier CASCADE; SELECT cloudsync.refresh_column_names()",
		qr/^error\|table \d+\|tracked table is gone$/, qr/^SELECT cloudsync_untrack\(\d+\);$/, 1],
	['compressed content', "ALTER TABLE app.dossier_file ALTER content SET STORAGE EXTENDED;
			UPDATE pg_class SET reltuples = 1 WHERE oid = 'app.dossier_file'::regclass;
			UPDATE pg_class SET relpages = 2000 WHERE oid = (SELECT reltoastrelid FROM pg_class WHERE oid = 'app.dossier_file'::regclass)",
		'info|table app.dossier_file|column content holds large values that may be compressed, which then need memory of their own size',
		'ALTER TABLE app.dossier_file ALTER COLUMN content SET STORAGE EXTERNAL;', 1],
	['versions apart', "UPDATE pg_extension SET extversion = '99.0' WHERE extname = 'cloudsync'",
		qr/^error\|workers\|the library is version [0-9.]+ and the extension in this database is version 99\.0$/,
		'ALTER EXTENSION cloudsync UPDATE;  -- or restart the server, if it still has the older library loaded', undef],
);

my $one = "concat_ws('|', severity, subject, problem)";
foreach my $case (@problems)
{
	my ($name, $made, $problem, $action, $mends) = @$case;
	my $type = defined $mends ? '\gexec' : ';';
	my ($rc, $out, $err) = $node->psql('postgres', <<"SQL", on_error_stop => 1);
SET TimeZone = 'UTC';
SET client_min_messages = error;
BEGIN;
\\o /dev/null
$made;
\\o
\\t on
SELECT 'ROW ' || $one FROM cloudsync_status();
SELECT 'DO ' || action FROM cloudsync_status() LIMIT 1;
SET LOCAL ROLE other;
SET LOCAL cloudsync.tenant = 'acme';
SELECT 'OTHER ' || $one FROM cloudsync_status();
RESET ROLE;
RESET cloudsync.tenant;
\\o /dev/null
SELECT action FROM cloudsync_status() WHERE @{[ defined $action ? 'true' : 'false' ]} LIMIT 1 $type
\\o
SELECT 'ROW AFTER ' || $one FROM cloudsync_status();
ROLLBACK;
SQL
	is($rc, 0, "$name: the statement can be typed") or diag($err);
	my @rows = $out =~ /^ROW (?!AFTER )(.*)$/mg;
	my @after = $out =~ /^ROW AFTER (.*)$/mg;
	my ($do) = $out =~ /^DO (.*)$/m;
	is(scalar(@rows), 1, "$name: one row") or diag($out);
	is(join("\n", grep { !/^\w+\|workers\|/ } $out =~ /^OTHER (.*)$/mg), q{}, "$name: another tenant is told nothing, but of what serves all");
	ref $problem ? like($rows[0], $problem, "$name: what is wrong") : is($rows[0], $problem, "$name: what is wrong");
	next unless defined $action;
	ref $action ? like($do, $action, "$name: what to type") : is($do, $action, "$name: what to type");
	is(join("\n", @after), '', "$name: which mends it") if $mends;
}

# A secret that the service issues: what only its reader knows is marked, and typed
# as it stands nothing is stored.
my $app = <<'SQL';
SET TimeZone = 'UTC';
BEGIN;
SELECT FROM cloudsync_register_app('gdrive', 'o''id', 'old', '{"redirect_uri": "https://example.org/back", "secret_expires_at": "2026-01-01"}');
UPDATE cloudsync.connection SET provider = 'gdrive', consent_expires_at = '2026-01-01';
SQL
my $register = sql("$app SELECT action FROM cloudsync_status()");
is($register, q{SELECT cloudsync_register_app('gdrive', 'o''id', '<the new client secret>', '{"redirect_uri": "https://example.org/back", "secret_expires_at": "<when it expires: YYYY-MM-DD>"}');  -- fill in what is in < >},
	'a secret of an application: what to type');
like(($node->psql('postgres', $register))[2], qr/option "secret_expires_at" is no time/, '... which is refused until it is filled in');
($register = $register =~ s/<the new client secret>/new/r) =~ s/<when it expires: YYYY-MM-DD>/2126-01-01/;
is(sql("$app $register\nSELECT 'left: ' || count(*) FROM cloudsync_status()") =~ /left: 0$/, 1, '... and then mends it');

# Those that concern the server or wait for a worker, as they are: the statement is
# typed, and the status is empty again.
sub typed
{
	my ($name, $problem, $action) = @_;
	my $got;
	ok(wait_for($node, "SELECT $one ~ \$re\$$problem\$re\$ FROM cloudsync_status() LIMIT 1"), "$name: said") or diag(sql('SELECT cloudsync_status()'));
	$got = sql('SELECT action FROM cloudsync_status() LIMIT 1');
	is($got, $action, "$name: what to type");
	my ($rc, undef, $err) = $node->psql('postgres', $got, on_error_stop => 1);
	is($rc, 0, "$name: it can be typed") or diag($err);
	ok(wait_for($node, 'SELECT NOT EXISTS (SELECT FROM cloudsync_status())'), "$name: and all is well")
	  or diag(sql('SELECT cloudsync_status()'));
	return;
}

sql('SELECT cloudsync_suspend()');
typed('suspended', '^error\|database postgres\|suspended: suspended by postgres$', 'SELECT cloudsync_resume();');
sql('UPDATE cloudsync.home SET installation = gen_random_uuid()');
typed('a copy', '^error\|database postgres\|suspended: this is a copy of the database', 'SELECT cloudsync_resume();');
$node->append_conf('postgresql.conf', "cloudsync.enabled = off\n");
$node->reload;
typed('switched off', 'suspended: cloudsync.enabled is off$', 'ALTER SYSTEM SET cloudsync.enabled = on; SELECT pg_reload_conf();');
chomp(my $host = `uname -n`);
$node->append_conf('postgresql.conf', "cloudsync.hosts = 'elsewhere.example'\n");
$node->reload;
typed('another host', 'suspended: cloudsync.hosts does not name this host', "ALTER SYSTEM SET cloudsync.hosts = 'elsewhere.example, $host'; SELECT pg_reload_conf();");
# A folder that is only away would be made anew.
rename "$root/d", "$root/away" or die;
write_file("$root/d", 'in its place');
sql("UPDATE app.dossier_file SET content = 'g' WHERE dossier_id = 1; SELECT cloudsync_push_dossier('1', 'Drive')");
ok(wait_for($node, "SELECT failures > 0 FROM cloudsync.connection"), 'the folder is away');
is(sql('SELECT action FROM cloudsync_status()'), q{SELECT * FROM cloudsync_check('Drive');}, '... look again');
unlink "$root/d" or die;
rename "$root/away", "$root/d" or die;
is(($node->psql('postgres', q{SELECT * FROM cloudsync_check('Drive');}))[0], 0, '... which can be typed');
ok(wait_for($node, 'SELECT NOT EXISTS (SELECT FROM cloudsync_status())'), '... and back, it goes on by itself');
my $elsewhere_now = $node->basedir . '/Scans'; # a folder that is only renamed is followed
rename "$root/d/Scans", $elsewhere_now or die;
sql("SELECT cloudsync_collect('Post')");
ok(wait_for($node, "SELECT problem ~ 'Scans' FROM cloudsync_status() LIMIT 1"), 'a folder is away') or diag(sql('SELECT cloudsync_status()'));
rename $elsewhere_now, "$root/d/Scans" or die;
my $collect = sql('SELECT action FROM cloudsync_status() LIMIT 1');
is(($node->psql('postgres', $collect))[0], 0, "... $collect");
ok(wait_for($node, 'SELECT NOT EXISTS (SELECT FROM cloudsync_status())'), '... mends it once it is back');

# A part of the schedule that fails.
sql('ALTER TABLE cloudsync.backfill RENAME TO backfill_away; SELECT cloudsync.wake(true)');
ok(wait_for($node, "SELECT count(*) = 1 FROM cloudsync_status() WHERE subject = 'workers' AND problem ~ 'noting existing dossiers failed'"), 'the scheduler fails');
my $log = sql("SELECT action FROM cloudsync_status() WHERE subject = 'workers'");
is($log, "SELECT pg_current_logfile();  -- the server's log has the details", '... look into the log');
is(($node->psql('postgres', $log))[0], 0, '... which can be typed');
sql('ALTER TABLE cloudsync.backfill_away RENAME TO backfill');
ok(wait_for($node, 'SELECT NOT EXISTS (SELECT FROM cloudsync_status())'), '... and gone when it works again');

# In another schema the statements name it.
$node->safe_psql('postgres', 'CREATE DATABASE second');
$node->safe_psql('second', 'CREATE SCHEMA "Cloud Sync"');
create_extension($node, 'second', '"Cloud Sync"');
my $elsewhere = q{SELECT action FROM "Cloud Sync".cloudsync_status() LIMIT 1};
$node->safe_psql('second', 'SELECT "Cloud Sync".cloudsync_suspend()');
is(scalar_sql($node, $elsewhere, 'second'), 'SELECT "Cloud Sync".cloudsync_resume();', 'in another schema');
$node->safe_psql('second', scalar_sql($node, $elsewhere, 'second'));
$node->safe_psql('second', <<'SQL');
SELECT "Cloud Sync".cloudsync_connect('local', 'cloudsync_connect( cloudsync_x');
UPDATE cloudsync.connection SET state = 'pending';
SQL
is(scalar_sql($node, $elsewhere, 'second'), q{SELECT * FROM "Cloud Sync".cloudsync_connect('local', 'cloudsync_connect( cloudsync_x');}, '... and nothing else is touched');
$node->safe_psql('second', scalar_sql($node, $elsewhere, 'second'));
ok(wait_for($node, 'SELECT NOT EXISTS (SELECT FROM "Cloud Sync".cloudsync_status())', 't', 'second'), '... it can be typed');

# Without preload: work that waits.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$node->restart;
my (undef, undef, $err) = $node->psql('postgres', 'SELECT * FROM cloudsync.activity');
like($err, qr/NOTICE:  what workers do can only be seen when cloudsync is preloaded.*HINT:  Add cloudsync to shared_preload_libraries/s,
	'without preload activity says what it needs');
sql("SET client_min_messages = error; SELECT cloudsync_collect('Post'); UPDATE cloudsync.run SET requested_at = now() - interval '2 hours' WHERE state = 'queued'");
typed('nobody works', '^error\|workers\|work has waited for an hour and no worker runs$',
	'CALL cloudsync_run();  -- regularly, or SELECT cloudsync_start_worker() after each restart, or add cloudsync to shared_preload_libraries');

$node->stop('fast');
done_testing();
