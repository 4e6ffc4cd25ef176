# Secrets at rest (S1, C6, W8, W11): the keyring's file, lost, wrong and put back;
# rotation, cut off too; the command in the file's place; and that a password is
# nowhere to be read.
use strict;
use warnings;

use CloudsyncTest;
use File::Copy qw(move);
use IO::Socket::INET;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $marker = 'Marker7391';
my $node = new_cluster('secrets', conf => <<'CONF');
cloudsync.allowed_endpoints = 'webdav=http://127.0.0.1:*'
log_min_messages = debug2
log_min_error_statement = debug2
log_error_verbosity = verbose
log_statement = none
restart_after_crash = on
CONF
create_extension($node);
my $keyring = $node->data_dir . '.cloudsync.key';

# Nothing listens there: whether the keys are there is known before.
sub connect_cloud
{
	my ($password, $name) = @_;
	$name //= 'Cloud';
	return <<"SQL";
SELECT state FROM cloudsync_connect('webdav', '$name', '{"username": "anna", "password": "$password"}',
	'{"endpoint": "http://127.0.0.1:1/dav/$name"}')
SQL
}

sub keys_in
{
	my ($file) = @_;
	return grep { /^[0-9a-f]{64}$/ } split /\n/, read_file($file);
}

# Puts a text in the keyring's place as an administrator would.
sub set_keyring
{
	my ($text) = @_;
	unlink $keyring;
	open my $fh, '>', $keyring or die "$keyring: $!";
	chmod 0600, $keyring;
	print $fh $text;
	close $fh;
	return;
}

# True if what is stored can be read and is this: the same again changes nothing.
sub is_stored
{
	my ($password) = @_;
	my $before = scalar_sql($node, 'SELECT revision FROM cloudsync.connection WHERE connection_id = 1');
	$node->psql('postgres', connect_cloud($password));
	return $before eq scalar_sql($node, 'SELECT revision FROM cloudsync.connection WHERE connection_id = 1');
}

sub wait_state
{
	my ($state, $reason) = @_;
	return wait_for($node, "SELECT state || CASE WHEN reason LIKE '%$reason%' THEN '' ELSE coalesce(reason, '-') END FROM cloudsync.connections WHERE connection_id = 1", $state);
}

# Something to do for the connection, which a worker takes up and puts back.
sub give_work
{
	$node->safe_psql('postgres', "SELECT cloudsync_set_push('Cloud', auto_sync => false, root => 'Root' || nextval('roots'))");
	return;
}

sub status_of
{
	return scalar_sql($node, "SELECT problem FROM cloudsync_status() WHERE subject = 'connection Cloud'");
}

# --- made on first use ------------------------------------------------------------
$node->safe_psql('postgres', 'CREATE SEQUENCE roots');
ok(!-e $keyring, 'no keyring before the first secret');
is($node->safe_psql('postgres', connect_cloud("$marker-1")), 'active', 'connected');
is(sprintf('%o', (stat $keyring)[2] & 07777), '600', 'the keyring is its owner\'s alone');
is((stat $keyring)[4], (stat $node->data_dir)[4], 'and the server\'s');
is(scalar(keys_in($keyring)), 1, 'it has one key');
unlike($keyring, qr{^\Q@{[$node->data_dir]}\E/}, 'outside of the data directory');
ok(is_stored("$marker-1"), 'the secret can be read');
my $kept = read_file($keyring);

# --- lost, and back ---------------------------------------------------------------
unlink $keyring;
my ($code, $out, $err) = $node->psql('postgres', connect_cloud("$marker-2", 'Other'));
isnt($code, 0, 'without the keyring nothing is stored');
like($err, qr/ERROR:.*the keyring is missing/, 'for it is missing');
like($err, qr/HINT:  Put the keyring back from its backup; nothing else is lost/, 'and that is the hint');
ok(!-e $keyring, 'and no other one is made while there are secrets');
give_work();
ok(wait_state('locked', 'the keyring is missing'), 'the connection is locked');
like(status_of(), qr/it is locked.*the keyring is missing/, 'the status says so');
is(scalar_sql($node, "SELECT count(*) FROM cloudsync.run WHERE state NOT IN ('queued', 'running', 'failed')"), 0, 'nothing was given up');
ok(scalar_sql($node, "SELECT count(*) > 0 FROM cloudsync.run WHERE state = 'queued'"), 'its work waits');
($code, $out, $err) = $node->psql('postgres', "SELECT * FROM cloudsync_check('Cloud')");
like($out . $err, qr/the keyring is missing/, 'cloudsync_check says so');
set_keyring($kept);
$node->reload;
ok(wait_for($node, "SELECT state FROM cloudsync.connections WHERE connection_id = 1", 'active'), 'it comes back by itself');
ok(is_stored("$marker-1"), 'with its secret');

# --- another key, and another's file -------------------------------------------------
my $key_id = scalar_sql($node, 'SELECT key_id FROM cloudsync.secret');
set_keyring('ab' x 32 . "\n");
give_work();
ok(wait_state('locked', "has not the key $key_id"), 'by a wrong key it is locked');
set_keyring($kept);
$node->reload;
ok(wait_for($node, "SELECT state FROM cloudsync.connections WHERE connection_id = 1", 'active'), 'by the right one it is not');
my $offset = log_offset($node);
chmod 0644, $keyring;
give_work();
$node->wait_for_log(qr/cannot be used: the keyring is open to other users/, $offset);
ok(wait_state('locked', 'open to other users'), 'a keyring that others can read is none');
chmod 0600, $keyring;
$node->reload;
ok(wait_for($node, "SELECT state FROM cloudsync.connections WHERE connection_id = 1", 'active'), 'its rights put right, it is one');
set_keyring("nonsense\n$kept");
give_work();
ok(wait_state('locked', 'the keyring is damaged'), 'a damaged one is none');
set_keyring($kept);
$node->reload;
ok(wait_for($node, "SELECT state FROM cloudsync.connections WHERE connection_id = 1", 'active'), 'and back');

# --- rotation ---------------------------------------------------------------------
is(scalar_sql($node, 'SELECT cloudsync_rotate_key()'), 1, 'one secret is encrypted anew');
is(scalar(keys_in($keyring)), 2, 'by a second key');
isnt(scalar_sql($node, 'SELECT key_id FROM cloudsync.secret'), $key_id, 'which it names');
like(read_file($keyring), qr/^\Q$kept\E/, 'the first one is still there');
ok(is_stored("$marker-1"), 'it can be read');

# cut off in the middle of the line, by a power cut say
my $two = read_file($keyring);
set_keyring($two . 'abcdef0123');
ok(is_stored("$marker-1"), 'a line that was cut off does no harm');
is(scalar_sql($node, 'SELECT cloudsync_rotate_key()'), 1, 'nor to the next rotation');
is(scalar(keys_in($keyring)), 3, 'which removes it');
unlike(read_file($keyring), qr/abcdef0123/, 'wholly');
ok(is_stored("$marker-1"), 'it can be read');
foreach my $point ('vault.after_append', 'vault.after_reencrypt')
{
	my $keys = scalar(keys_in($keyring));
	my $before = scalar_sql($node, 'SELECT key_id FROM cloudsync.secret');
	my $offset = log_offset($node);
	$node->psql('postgres', "SET cloudsync.crash_point = '$point'; SELECT cloudsync_rotate_key()");
	$node->wait_for_log(qr/database system is ready to accept connections/, $offset);
	is(scalar(keys_in($keyring)), $keys + 1, "killed at $point: the key is in the file");
	is(scalar_sql($node, 'SELECT key_id FROM cloudsync.secret'), $before, 'the secret is as it was');
	ok(is_stored("$marker-1"), 'and can be read');
	is(scalar_sql($node, 'SELECT cloudsync_rotate_key()'), 1, 'the next rotation goes through');
}
chmod 0400, $keyring;
($code, $out, $err) = $node->psql('postgres', 'SELECT cloudsync_rotate_key()');
like($err, qr/no key could be added to the keyring/, 'a file that cannot be written is said') unless $> == 0;
chmod 0600, $keyring;
ok(is_stored("$marker-1"), 'and nothing is lost');

# --- a command in the file's place -------------------------------------------------
my $elsewhere = $node->basedir . '/kept keys';
move($keyring, $elsewhere) or die;
my $script = $node->basedir . '/keys.sh';
my $touched = $node->basedir . '/touched';
write_file($script, "#!/bin/sh\n[ \"\$1\" = '\$(touch' ] || exit 3\nexec cat '$elsewhere'\n");
chmod 0700, $script;
sub use_command
{
	my ($command) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET cloudsync.master_key_command = '$command'");
	$node->reload;
	wait_for($node, "SELECT current_setting('cloudsync.master_key_command') = '$command'") or die;
	return;
}
use_command("$script \$(touch $touched)");
ok(is_stored("$marker-1"), 'by the command it can be read');
ok(!-e $touched, 'no shell sees the command');
is(scalar_sql($node, 'SELECT cloudsync_rotate_key()'), 1, 'rotation takes the last key it prints');
ok(!-e $keyring, 'and makes no file');
use_command("$script wrong");
($code, $out, $err) = $node->psql('postgres', 'SELECT cloudsync_rotate_key()');
like($err, qr/the command that prints them: it failed/, 'one that fails is said');
use_command('/bin/cat /dev/zero');
($code, $out, $err) = $node->psql('postgres', 'SELECT cloudsync_rotate_key()');
like($err, qr/it printed more than a keyring can have/, 'and one that has no end');
use_command('');
move($elsewhere, $keyring) or die;
ok(is_stored("$marker-1"), 'and by the file again');

# --- what the service is told --------------------------------------------------------
# A server that writes down who asks, and has nothing.
my $heard = $node->basedir . '/heard';
write_file($heard, '');
my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 16, ReuseAddr => 1) or die;
my $port = $listen->sockport;
my $server = fork() // die;
if ($server == 0)
{
	while (my $client = $listen->accept)
	{
		my $request = '';
		while (my $line = <$client>)
		{
			$request .= $line;
			last if $line =~ /^\r?\n$/;
		}
		open my $fh, '>>', $heard;
		print $fh "$1\n" if $request =~ /^authorization: *(.*?)\r?$/mi;
		close $fh;
		print $client "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
		close $client;
	}
	exit 0;
}
close $listen;
END { if ($server) { my $status = $?; kill 'KILL', $server; waitpid $server, 0; $? = $status; } }

sub served
{
	my ($credentials) = @_;
	$node->safe_psql('postgres', "SELECT cloudsync_connect('webdav', 'Served', '$credentials', '{\"endpoint\": \"http://127.0.0.1:$port/dav\"}')");
	truncate $heard, 0;
	$node->psql('postgres', "SELECT * FROM cloudsync_check('Served')");
	return (split /\n/, read_file($heard))[0] // '';
}
is(served('{"username": "anna", "password": "' . $marker . '-8"}'), 'Basic ' . encode_base64("anna:$marker-8", ''), 'the password arrives');
is(served('{"username": "anna", "password": "' . $marker . '-9"}'), 'Basic ' . encode_base64("anna:$marker-9", ''), 'then the new one');
is(served('{"bearer_token": "' . $marker . '-10"}'), "Bearer $marker-10", 'or a token');
is(served('{}'), '', 'or nothing');
# a worker that serves the connection opens it anew
served('{"bearer_token": "' . $marker . '-11"}');
$node->safe_psql('postgres', "SELECT cloudsync_set_push('Served', auto_sync => false, root => 'A')");
ok($node->poll_query_until('postgres', "SELECT count(*) > 0 FROM cloudsync.history WHERE connection = 'Served' AND error IS NOT NULL"), 'a worker asked');
truncate $heard, 0;
$node->safe_psql('postgres', "SELECT cloudsync_connect('webdav', 'Served', '{\"bearer_token\": \"$marker-12\"}', '{\"endpoint\": \"http://127.0.0.1:$port/dav\"}'); SELECT cloudsync_set_push('Served', root => 'B')");
ok($node->poll_query_until('postgres', "SELECT pg_read_file('$heard') ~ 'Bearer'"), 'and asked again');
unlike(read_file($heard), qr/$marker-11/, 'with the new token alone');
$node->safe_psql('postgres', "SELECT cloudsync_disconnect('Served')");
unlink $heard;

# --- a copy -----------------------------------------------------------------------
my $dump = $node->basedir . '/dump.sql';
command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'dumped');
like(read_file($dump), qr/COPY cloudsync\.secret/, 'the dump carries the secrets');
$node->safe_psql('template1', 'CREATE DATABASE copy');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('copy'), '-f', $dump ], 'restored');
is(scalar_sql($node, 'SELECT count(*) FROM cloudsync.secret', 'copy'), 1, 'and so does the copy');
isnt(scalar_sql($node, 'SELECT cloudsync.why_suspended()', 'copy'), '', 'which does nothing by itself');
$node->safe_psql('copy', 'SELECT cloudsync_detach()');
is(scalar_sql($node, 'SELECT count(*) FROM cloudsync.secret', 'copy'), 0, 'detached, it has none');
is(scalar_sql($node, 'SELECT count(*) FROM cloudsync.secret'), 1, 'the original has its own');

# --- nowhere to be read ---------------------------------------------------------------
# with all that the server writes of statements
$node->append_conf('postgresql.conf', "log_statement = all\nlog_min_duration_statement = 0\nlog_duration = on\n");
$node->reload;
wait_for($node, "SELECT current_setting('log_statement') = 'all' AND current_setting('log_min_duration_statement') = '0'") or die;
my $loud = log_offset($node);
ok(is_stored("$marker-1"), 'taken');
# refusals by us, by others in the same statement, by the service that is not there
foreach my $sql (
	connect_cloud("$marker-3") =~ s/"username"/"user"/r,
	connect_cloud("$marker-4") =~ s/SELECT state/SELECT 1 \/ (length(state) - 6)/r,
	connect_cloud("$marker-5") =~ s/127.0.0.1/127.0.0.2/r,
	"DO \$do\$ BEGIN PERFORM " . (connect_cloud("$marker-6") =~ s/^SELECT//r) . "; RAISE EXCEPTION 'x'; END \$do\$")
{
	($code, $out, $err) = $node->psql('postgres', $sql);
	isnt($code, 0, 'refused');
	unlike($err =~ s/^.*LINE \d.*\n.*$//mr, qr/$marker/, 'without its words');
}
give_work();
wait_for($node, "SELECT count(*) > 0 FROM cloudsync.history WHERE error IS NOT NULL");
is(scalar_sql($node, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%Marker' || '7391%' AND pid <> pg_backend_pid()"), 0, 'not in pg_stat_activity');
foreach my $view (qw(connections history history_file activity audit folders items inbox push providers secret))
{
	is(scalar_sql($node, "SELECT count(*) FROM cloudsync.$view v WHERE v::text LIKE '%' || 'Marker' || '7391%'"), 0, "not in cloudsync.$view");
}
unlike(scalar_sql($node, 'SELECT * FROM cloudsync_status()'), qr/$marker/, 'not in the status');
command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'dumped');
unlike(read_file($dump), qr/$marker/, 'not in a dump');
$node->safe_psql('postgres', 'CHECKPOINT');
$node->stop;
unlike(read_file($node->logfile), qr/$marker/, 'not in the server\'s log');
my $said = substr(read_file($node->logfile), $loud);
like($said, qr/LOG:  \w+: <hidden by cloudsync/, 'which says instead that a statement was hidden');
like($said, qr/duration: [0-9.]+ ms  <hidden by cloudsync/, 'and how long it took');
like($said, qr/statement: SELECT count\(\*\) FROM cloudsync\.secret/, 'other statements are not');
is(join(' ', grep { (read_file($node->data_dir . "/$_") // '') =~ /$marker/ } files_below($node->data_dir)), '',
	'not in a file of the data directory');
unlike(read_file($node->logfile), qr/@{[(keys_in($keyring))[-1]]}/i, 'nor is a key');

done_testing();
