# Reading what does not want to be read (B2, S6, W3, W5, W7): programs that hang,
# crash, print without end, start others; what they can see; kills, cancellation
# and shutdown in the middle. The program is a shell that does what the document
# says, so each document is one that has taken its reader over.
use strict;
use warnings;

use CloudsyncTest;
use Documents;
use IO::Socket::INET;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $reader = "$dir/reader";
write_file($reader, "#!/bin/sh\ntail -n +2 \"\$1\" >script\n. ./script\n");
chmod 0755, $reader;

my $node = new_cluster('ocr_bad', conf => <<"CONF");
cloudsync.ocr = on
cloudsync.ocr_command = '$reader'
cloudsync.ocr_memory = 300MB
cloudsync.ocr_max_text = 1MB
cloudsync.ocr_jobs = 4
restart_after_crash = on
CONF
my $root = local_root($node);
create_extension($node);

sub sql { return $node->safe_psql('postgres', $_[0], timeout => 180) }

my $n = 0;

# Has documents collected, each a script; gives their names back.
sub put
{
	my (%documents) = @_;
	write_file("$root/In/$_", "\0\n# " . ++$n . "\n$documents{$_}\n") foreach keys %documents;
	my $run = sql("SET client_min_messages = error; SELECT cloudsync_collect('mail')");
	wait_run($node, $run) or die 'not collected';
	return;
}

sub until_read
{
	my ($name, $wanted) = @_;
	return wait_for($node, sprintf(q{SELECT %s FROM cloudsync.document WHERE name = '%s'}, $wanted // q{ocr_state <> 'pending'}, $name));
}

# state|reason, once it is read.
sub outcome
{
	my ($name) = @_;
	until_read($name);
	return sql("SELECT ocr_state, ocr_reason FROM cloudsync.document WHERE name = '$name'");
}

sub text
{
	my ($name) = @_;
	return sql("SELECT rtrim(cloudsync_text(document_id), E'\\n') FROM cloudsync.document WHERE name = '$name'");
}

# Programs of this cluster's readers that are still there, by their environment.
sub programs
{
	my $folder = $node->data_dir . '/base/pgsql_tmp/';
	my @found;
	foreach my $file (glob '/proc/[0-9]*/environ')
	{
		my $environ = read_file($file) // next;
		push @found, $file =~ /(\d+)/ if index($environ, "TMPDIR=$folder") >= 0;
	}
	return @found;
}

sub until_programs
{
	my ($wanted) = @_;
	foreach (1 .. 1200)
	{
		return 1 if !!programs() == !!$wanted;
		select undef, undef, undef, 0.1;
	}
	return 0;
}

sub folders { my @left = glob $node->data_dir . '/base/pgsql_tmp/*/*'; return scalar @left }

sub settings
{
	my (%settings) = @_;
	sql("ALTER SYSTEM SET cloudsync.$_ = '$settings{$_}'") foreach keys %settings;
	sql('SELECT pg_reload_conf()');
	wait_for($node, "SELECT current_setting('cloudsync.$_') = '$settings{$_}'") foreach keys %settings;
	return;
}

my $page = 'printf "page 1 ocr 50 5\nhello\nend 1\n"';
my $show = 'printf "page 1 plain - %d\n" $(wc -c <out); cat out; printf "\nend 1\n"';

sql(q{SELECT cloudsync_add_recipient('ann'); SELECT cloudsync_connect('local', 'Box')});
write_file("$root/In/first.txt", 'so that the folder is there');
sql(q{SELECT cloudsync_create_channel('Box', 'mail', ARRAY['/In'], 'ann', 'Mail', auto_collect => false)});

# --- what a program sees, and what it can do
put(
	'see "env" $(id); touch x.bin' => "env | sort >out; $show",
	'fds.bin' => "ls /proc/self/fd | tr '\\n' ' ' >out; $show",
	'net.bin' => "tail -n +3 /proc/net/dev | cut -d : -f 1 | tr -d ' ' >out; $show",
	'folder.bin' => "{ stat -c %a .; ls; cat '" . $node->data_dir . "/PG_VERSION' 2>&1 || echo hidden; } >out; $show",
	'limits.bin' => "{ ulimit -v; ulimit -c; ulimit -f; ulimit -t; ulimit -n; cat /proc/self/status | grep -c 'NoNewPrivs:.1'
		cat /proc/self/oom_score_adj; test \$(nice) -ge 5 && echo behind; } >out; $show",
	'crash.bin' => 'kill -SEGV $$',
	'rubbish.bin' => 'yes',
	'huge.bin' => "printf 'page 1 ocr 50 5\nhello\npage 2 ocr 1 999999999\n'; yes",
	'short.bin' => 'echo page 1 ocr 50 500',
	'nothing.bin' => 'echo no text in it >&2; exit 3',
	'secret.bin' => "printf 'page 1 ocr 50 5\nhello\n'; echo it is locked >&2; exit 5",
	'bytes.bin' => 'printf "page 1 ocr 50 9\na\\\\0\\\\377\\\\001bcdef\nnote \\\\377\nend 1\n"',
	'many.bin' => 'i=0; while :; do i=$((i + 1)); printf "page $i ocr - 1\nx\n"; done',
	'memory.bin' => 'head -c 1000000000 /dev/zero | tail -c 900000000 >/dev/null 2>&1 || { echo no memory >&2; exit 5; }',
	'forks.bin' => 'i=0; while [ $i -lt 1000 ]; do sleep 1000 & i=$((i + 1)); done; echo all >&2; exit 5',
	'away.bin' => "setsid sleep 1000 >/dev/null 2>&1 & $page",
	'after.bin' => "$page; sleep 1000",
);
until_read($_) foreach 'see "env" $(id); touch x.bin', 'after.bin', 'many.bin';
my $env = text('see "env" $(id); touch x.bin');
like($env, qr/^HOME=.*\nLANG=C\.UTF-8\nOMP_THREAD_LIMIT=1\nPATH=[^\n]*\nPWD=.*\nTMPDIR=[^\n]*$/s, 'an empty environment, whatever the name');
unlike($env, qr/PG|LD_|USER/, 'and nothing of the server\'s');
is(outcome('fds.bin') . text('fds.bin'), 'done|0 1 2 3 ', 'no descriptors but its own');
is(outcome('folder.bin'), 'done|', 'its folder');
like(text('folder.bin'), qr/^700\ndocument\nout\nscript\n/, 'is its own');
SKIP:
{
	skip 'bwrap may not make namespaces here', 3 unless bwrap_works();
	is(outcome('net.bin') . text('net.bin'), 'done|lo', 'no network');
	like(text('folder.bin'), qr/hidden$/, 'the server\'s files are not there');
	is(sql(q{SELECT sandbox FROM cloudsync.ocr_sandbox}), 'bwrap', 'in a sandbox');
}
is(outcome('limits.bin') . text('limits.bin'), "done|307200\n0\n2097152\n601\n256\n1\n900\nbehind", 'limits; the kernel takes it first, and the server goes before it');
until_read('crash.bin', 'ocr_attempts = 1 AND ocr_next_try_at > now()');
is(sql(q{SELECT ocr_state, ocr_reason FROM cloudsync.document WHERE name = 'crash.bin'}), 'pending|the program was ended by signal 11', 'a crash is tried again');
sql(q{UPDATE cloudsync.document SET ocr_attempts = 2, ocr_next_try_at = now() WHERE name = 'crash.bin'; SELECT cloudsync.wake(true)});
is(outcome('crash.bin'), 'failed|the program was ended by signal 11', 'three times');
is(outcome('rubbish.bin'), 'failed|what the program printed is not as cloudsync.ocr_command should print it', 'rubbish without end');
is(outcome('huge.bin'), 'done|only 1 page is kept: the text is larger than 1 MB (cloudsync.ocr_max_text)', 'text without end');
is(text('huge.bin'), 'hello', 'what came before it is kept');
until_read('short.bin', q{ocr_attempts > 0 AND ocr_reason ~ 'the program'});
is(sql(q{SELECT ocr_reason FROM cloudsync.document WHERE name = 'short.bin'}), 'the program ended before it had printed everything', 'half a page');
is(outcome('nothing.bin'), 'not_applicable|no text in it', 'nothing to read');
is(outcome('secret.bin'), 'failed|only 1 page was read: it is locked', 'in part');
is(outcome('bytes.bin') . text('bytes.bin'), "done|\xef\xbf\xbda\xef\xbf\xbdbcdef", 'bytes that no text has');
is(outcome('many.bin'), 'done|only the first 1000 pages were read (cloudsync.ocr_max_pages)', 'pages without end');
is(outcome('memory.bin'), 'failed|no memory', 'more memory than it may have');
until_read('forks.bin', q{ocr_attempts > 0 AND ocr_reason ~ 'the program'});
like(sql(q{SELECT ocr_reason FROM cloudsync.document WHERE name = 'forks.bin'}), qr/exit code 2.*fork/, 'more processes than it may have');
is(outcome('away.bin'), 'done|', 'one that leaves another behind');
is(outcome('after.bin'), 'done|', 'one that does not end after its text');
ok(until_programs(0), 'none of what they started is there');
foreach (1 .. 600) { last if folders() == 0; select undef, undef, undef, 0.1 }
is(folders(), 0, 'nor their files');
# on a slow machine those that are tried again have come to their end too
like(sql(q{SELECT severity, replace(problem, (SELECT count(*) FROM cloudsync.document WHERE ocr_state = 'failed' AND state = 'waiting') || ' documents', 'all'), action
		FROM cloudsync_status() WHERE subject = 'reading' AND severity = 'warning'}),
	qr/^warning\|all could not be read, among them '\w+\.bin': [^|]+\|SELECT document_id, name, ocr_reason FROM cloudsync\.document WHERE ocr_state = 'failed' AND state = 'waiting';$/,
	'the status tells of those that could not be read') or diag(sql(q{SELECT name, ocr_state, ocr_reason FROM cloudsync.document}));
sql(q{UPDATE cloudsync.document SET ocr_state = 'failed', state = 'rejected' WHERE ocr_state IN ('failed', 'pending')});

# --- time, cancellation, what is not wanted any more, suspension
my $hang = 'sleep 1000 & sleep 1000';
settings(ocr_timeout => '2s');
put('hang.bin' => "printf 'page 1 ocr 50 5\nhello\n'; $hang");
is(outcome('hang.bin'), 'failed|only 1 page was read: reading it took longer than 2 s (cloudsync.ocr_timeout)', 'out of time');
ok(until_programs(0), 'it is ended whole');
settings(ocr_timeout => '10min');
put('cancel.bin' => $hang);
ok(until_programs(1), 'it reads');
sql(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'cloudsync ocr'});
is(outcome('cancel.bin'), 'failed|its reading was cancelled', 'cancelled');
ok(until_programs(0), 'and ended');
put('forget.bin' => $hang);
ok(until_programs(1), 'another one reads');
ok(wait_for($node, q{SELECT query ~ '^reading document \d+, 0 pages so far$' FROM pg_stat_activity WHERE backend_type = 'cloudsync ocr'}), 'the activity says what');
sql(q{SELECT cloudsync_forget(document_id, 'wrong') FROM cloudsync.document WHERE name = 'forget.bin'});
ok(until_programs(0), 'nobody wants it any more');
put('suspend.bin' => $hang);
ok(until_programs(1), 'it reads');
sql('SELECT cloudsync_suspend()');
ok(until_programs(0), 'not while suspended');
ok(until_read('suspend.bin', q{ocr_state = 'pending' AND ocr_attempts = 0}), 'as if it had not been begun');
sql('SELECT cloudsync_resume()');
ok(until_programs(1), 'afterwards it is');
ok(wait_for($node, q{SELECT query LIKE 'reading document %' FROM pg_stat_activity WHERE backend_type = 'cloudsync ocr'}),
	'... and nothing else is under way');

# --- ends of the process: told to, killed, with the server, with the database
$node->restart;
ok(until_read('suspend.bin', q{ocr_attempts <= 1}), 'given back by the shutdown');
ok(until_programs(1), 'and read again');
my @programs = programs();
$node->stop('immediate');
SKIP:
{
	skip 'there is no bwrap here: the next start ends what programs leave', 1 if !bwrap_works();
	my $gone = 0;
	foreach (1 .. 1200)
	{
		last if $gone = !grep { -e "/proc/$_/exe" || -e "/proc/$_/cwd" } @programs;
		select undef, undef, undef, 0.1;
	}
	ok($gone, 'a hard stop takes its programs along, though nobody is left to end them');
}
$node->start;
ok($node->poll_query_until('postgres', q{SELECT ocr_attempts = 2 FROM cloudsync.document WHERE name = 'suspend.bin'}),
	'which counts, and it is read again');
sql(q{SELECT cloudsync_forget(document_id, 'enough') FROM cloudsync.document WHERE name = 'suspend.bin'});
ok(until_programs(0), 'until nobody wants it');

# --- told to end within a statement, one that waits for a lock, with a program's
# document in hand besides
sub holding
{
	my ($lock) = @_;
	my ($in, $out) = ("BEGIN; LOCK TABLE $lock; SELECT 'held';\n", '');
	my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out, IPC::Run::timeout(120));
	$session->pump until $out =~ /held/;
	return $session;
}
my $waits = q{SELECT count(*) = 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.backend_type = 'cloudsync ocr'};
my $gone = sub { wait_for($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $_[0]") };
put('in hand.bin' => $hang);
ok(until_programs(1), 'it reads');
my $lock = holding('cloudsync.words');
write_file("$root/In/told.txt", 'told');
sql(q{SELECT cloudsync_collect('mail')});
foreach my $time ('', ' again')
{
	ok(wait_for($node, $waits), "it writes a text, and waits$time");
	# the next process has come no further than the text
	is(sql(q{SELECT string_agg(name || ' ' || ocr_state || ' ' || ocr_attempts, ', ' ORDER BY name) FROM cloudsync.document WHERE name IN ('in hand.bin', 'told.txt')}),
		$time ? 'in hand.bin pending 0, told.txt pending 1' : 'in hand.bin pending 1, told.txt pending 1', $time ? '... and both were given back' : 'two documents are begun');
	last if $time;
	my $pid = worker_pid($node, 'cloudsync ocr');
	sql("SELECT pg_terminate_backend($pid)");
	ok($gone->($pid), 'told to end, it does');
}
$lock->finish;
is(outcome('told.txt') . text('told.txt'), 'done|told', 'then it is read');
is(sql(q{SELECT ocr_attempts FROM cloudsync.document WHERE name = 'told.txt'}), 1, '... by the first attempt');
ok(until_programs(1), 'the other one is being read');
$lock = holding('cloudsync.document IN SHARE MODE');
my $pid = worker_pid($node, 'cloudsync ocr');
sql("SELECT pg_terminate_backend($pid)");
ok($gone->($pid), 'where documents are locked it ends all the same');
$lock->finish;
ok(until_read('in hand.bin', 'ocr_attempts = 2') && until_programs(1), '... and another attempt is counted');
$lock = holding('cloudsync.chunk');
sql('SELECT cloudsync.wake(true)');
ok(wait_for($node, $waits), 'it looks for documents, and waits');
sql(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'cloudsync ocr'});
is(outcome('in hand.bin'), 'failed|its reading was cancelled', 'cancelled there, it ends what it reads');
ok(until_programs(0), 'and its program');
$lock->finish;

foreach my $point (qw(ocr.before_text ocr.after_start ocr.before_commit ocr.after_settle))
{
	my $name = $point . ($point =~ /text/ ? '.txt' : '.bin');
	crash_at($node, $point);
	my $offset = log_offset($node);
	write_file("$root/In/$name", $point =~ /text/ ? 'hello' : "\0\n# $point\n$page\n");
	# one that has ended its reader twice already
	my $twice = $point =~ /start/ ? q{UPDATE cloudsync.document SET ocr_state = 'pending', ocr_attempts = 2 WHERE name = 'fds.bin'; } : '';
	crash_statement($node, $twice . q{SELECT cloudsync_collect('mail')});
	$node->wait_for_log(qr/was terminated by signal 9/, $offset);
	crash_no_more($node);
	is(outcome($name) . text($name), 'done|hello', "read after a crash at $point");
	# a process that began before the settings were read anew crashes once more
	my $crashes = () = slurp_file($node->logfile, $offset) =~ /crash point \Q$point\E$/mg;
	is(sql(qq{SELECT count(*), count(w.*), max(d.ocr_attempts) <= 1 + $crashes FROM cloudsync.document d JOIN cloudsync.page p USING (document_id)
		JOIN cloudsync.words w USING (document_id) WHERE d.name = '$name'}), '1|1|t', 'once, by no more attempts than there were crashes and one');
}

is(outcome('fds.bin'), 'failed|its reading ended the server\'s process three times', 'three times is enough; others go on');

$node->safe_psql('postgres', 'CREATE DATABASE other');
create_extension($node, 'other');
$node->safe_psql('other', q{SELECT cloudsync_add_recipient('ann'); SELECT cloudsync_connect('local', 'Box')});
write_file("$root/Other/hang.bin", "\0\n$hang\n");
$node->safe_psql('other', q{SELECT cloudsync_create_channel('Box', 'mail', ARRAY['/Other'], 'ann', 'Mail', auto_collect => false); SELECT cloudsync_collect('mail')});
ok(until_programs(1), 'another database reads');
$node->safe_psql('postgres', 'DROP DATABASE other');
ok(until_programs(0), 'and is dropped in the middle');

# --- what is missing; it goes on by itself
settings(ocr_command => "$dir/absent");
put('missing.bin' => $page, 'missing too.bin' => "$page #");
until_read($_, 'ocr_waits_for IS NOT NULL') foreach 'missing.bin', 'missing too.bin';
is(sql(q{SELECT severity, problem, action FROM cloudsync_status() WHERE subject = 'reading' AND severity = 'error'}),
	"error|2 documents wait to be read: $dir/absent is not installed|Install it, or set cloudsync.ocr_command. It goes on by itself then.",
	'the status says what is missing');
is(sql(q{SELECT DISTINCT ocr_attempts FROM cloudsync.document WHERE name LIKE 'missing%'}), 0, 'waiting is no attempt');
settings(ocr_command => $reader);
# a minute passes for the first of them
sql(q{UPDATE cloudsync.document SET ocr_next_try_at = now() WHERE document_id = (SELECT min(document_id) FROM cloudsync.document WHERE name LIKE 'missing%');
	SELECT cloudsync.wake(true)});
is(outcome('missing.bin'), 'done|', 'looked for again');
is(outcome('missing too.bin'), 'done|', 'and the others with it');
# what is missing is what the program says, whatever that is
sql(q{INSERT INTO cloudsync.document (tenant, account_id, connection_id, channel_id, run_id, name, size, sha256, media_type, remote_path, recipient, binder, ocr_waits_for, ocr_next_try_at)
	SELECT tenant, account_id, connection_id, channel_id, run_id, 'many missing', 1, '', '', '/', recipient, binder, 'program ' || g, now()
	FROM cloudsync.document, generate_series(1, 3000) g WHERE name = 'missing.bin'});
my $many = log_offset($node);
sql('SELECT cloudsync.wake(true)');
ok(wait_for($node, q{SELECT count(*) = 0 FROM cloudsync.document WHERE name = 'many missing' AND ocr_state = 'pending'}), 'waiting for many programs at once');
unlike(slurp_file($node->logfile, $many), qr/was terminated by signal|server process .* exited/, '... harms nothing');
sql(q{DELETE FROM cloudsync.words WHERE document_id IN (SELECT document_id FROM cloudsync.document WHERE name = 'many missing'); DELETE FROM cloudsync.document WHERE name = 'many missing'});

# --- without bwrap: namespaces. A server of its own mount namespace sees another
# file in bwrap's place: one that cannot be executed, then one that does not work,
# then bwrap itself. And it has its own things in /opt, which the sandbox shows.
my ($bwrap, $pg_ctl) = map { my $name = $_; (grep { -x } map { "$_/$name" } split /:/, $ENV{PATH})[0] // 'absent' } qw(bwrap pg_ctl);
my ($uid, $gid) = ($>, $) + 0);
mkdir "$dir/$_" foreach qw(bin opt opt/space);
write_file("$dir/opt/$_", $_) foreach qw(keyring shown);
system('cp', $bwrap, "$dir/real-bwrap") if $bwrap ne 'absent';
write_file("$dir/other-bwrap", "#!/bin/sh\ntest -e $dir/broken || exec $dir/real-bwrap \"\$@\"\necho it is broken >&2\nexit 1\n");
chmod 0644, "$dir/other-bwrap";
my $elsewhere = "unshare -rm sh -c 'mount --bind $dir/other-bwrap $bwrap && mount --bind $dir/opt /opt && exec unshare --user --map-user=$uid --map-group=$gid \"\$@\"' sh";
write_file("$dir/bin/pg_ctl", "#!/bin/sh\nexec $elsewhere $pg_ctl \"\$@\"\n");
chmod 0755, "$dir/bin/pg_ctl";
SKIP:
{
	skip 'there are no namespaces within namespaces here', 14
	  if system("$elsewhere unshare --user --net --ipc --uts --pid --fork --kill-child -- true >/dev/null 2>&1") != 0
	  || system("$elsewhere $dir/real-bwrap --unshare-user --unshare-pid --ro-bind / / --proc /proc true >/dev/null 2>&1") != 0;
	my $listening = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "could not listen: $!";
	my $connect = sprintf q{perl -MIO::Socket::INET -e 'print IO::Socket::INET->new("127.0.0.1:%d") ? "connected\n" : "no way\n"'}, $listening->sockport;
	$node->stop;
	{
		local $ENV{PATH} = "$dir/bin:$ENV{PATH}";
		$node->start;
	}
	my $postmaster = (split /\n/, read_file($node->data_dir . '/postmaster.pid'))[0];
	put('unshared.bin' => "{ tail -n +3 /proc/net/dev | cut -d : -f 1 | tr -d ' '; $connect; sed -n 's/NoNewPrivs:.//p' /proc/self/status
		echo \$\$; kill -0 $postmaster 2>/dev/null || echo alone; cat '" . $node->data_dir . "/PG_VERSION' >/dev/null && echo files; } >out; $show");
	is(outcome('unshared.bin') . text('unshared.bin'), "done|lo\nno way\n1\n1\nalone\nfiles", 'no network, no rights to gain, its own processes alone; but files');
	is(sql(q{SELECT sandbox, problem FROM cloudsync.ocr_sandbox}), 'no network|bwrap is not installed', 'which is noted');
	is(sql(q{SELECT severity, problem, action FROM cloudsync_status() WHERE subject = 'reading' AND severity = 'info'}),
		"info|programs that read documents have no network, but see the server's files: bwrap is not installed|apt install bubblewrap", 'the status says so');
	put('left behind.bin' => "setsid sleep 1000 >/dev/null 2>&1 & $page");
	is(outcome('left behind.bin'), 'done|', 'what leaves its group');
	ok(until_programs(0), '... ends with it');
	put('killed.bin' => "setsid sleep 1000 & $hang");
	ok(until_programs(1), 'it reads');
	$node->stop('immediate');
	ok(until_programs(0), 'a hard stop takes its programs along, though nobody is left to end them');
	{
		local $ENV{PATH} = "$dir/bin:$ENV{PATH}";
		$node->start;
	}
	ok(wait_for($node, q{SELECT ocr_attempts = 2 FROM cloudsync.document WHERE name = 'killed.bin'}), 'it is read again');
	sql(q{SELECT cloudsync_forget(document_id, 'enough') FROM cloudsync.document WHERE name = 'killed.bin'});
	ok(until_programs(0), '... until nobody wants it');

	write_file("$dir/broken", '');
	chmod 0755, "$dir/other-bwrap";
	settings(ocr_sandbox => 'required', crash_point => 'ocr.sandbox_old');
	put('required.bin' => "$page # required");
	ok(until_read('required.bin', q{ocr_waits_for IS NOT NULL}), 'where bwrap is required, a document waits for it');
	is(sql(q{SELECT severity, problem, action FROM cloudsync_status() WHERE subject = 'reading' AND severity <> 'warning'}),
		'error|1 document waits to be read: bwrap does not work here: it is broken|ALTER SYSTEM SET cloudsync.ocr_sandbox = auto; SELECT pg_reload_conf();  -- or let bwrap make namespaces',
		'the status says what bwrap said, and nothing of what is not read without it');
	my $reads = worker_pid($node, 'cloudsync ocr');
	unlink "$dir/broken";
	sql(q{UPDATE cloudsync.document SET ocr_next_try_at = now() WHERE name = 'required.bin'; SELECT cloudsync.wake(true)});
	is(outcome('required.bin'), 'done|', 'it is tried again, after a minute');
	is(sql(q{SELECT sandbox, problem FROM cloudsync.ocr_sandbox}), 'bwrap|', 'and noted');
	is(worker_pid($node, 'cloudsync ocr'), $reads, 'by the same process');
	settings(master_key_file => '/opt/keyring', ocr_sandbox => 'auto', crash_point => '');
	sql(q{CREATE TABLESPACE space LOCATION '/opt/space'});
	put('opt.bin' => "{ cat /opt/keyring; ls /opt/space; cat /opt/shown; } >out 2>/dev/null; $show");
	is(outcome('opt.bin') . text('opt.bin'), 'done|shown', 'of what it shows it hides what is the server\'s: keys and tablespaces');
	# nothing that is replayed without /opt
	sql($_) foreach 'DROP TABLESPACE space', 'ALTER SYSTEM RESET cloudsync.master_key_file', 'CHECKPOINT';
}

# --- without a sandbox
settings(ocr_sandbox => 'off');
put('open.bin' => "setsid sleep 1000 >/dev/null 2>&1 & grep -c 'NoNewPrivs:.1' /proc/self/status >out; ls /proc/self/fd >>out; $show");
is(outcome('open.bin') . text('open.bin'), "done|1\n0\n1\n2\n3", 'no rights to gain, and no descriptors');
ok(until_programs(0), 'what left its group is ended as well');
is(sql(q{SELECT severity, problem FROM cloudsync_status() WHERE subject = 'reading' AND severity = 'info'}),
	'info|programs that read documents run without a sandbox: cloudsync.ocr_sandbox is off', 'the status says so');
put('left.bin' => 'sleep 1000 & env -i sleep 1000 & echo it gave up, but for $! >&2; exit 5');
like(outcome('left.bin'), qr/^failed\|it gave up, but for \d+$/, 'one that ends, while what it has left holds its output open');
my ($nameless) = outcome('left.bin') =~ /(\d+)$/;
ok(!-e "/proc/$nameless/exe", '... even if it does not say whose it is');
ok(until_programs(0), 'which is ended as well');
put('orphan.bin' => $hang);
ok(until_programs(1), 'it reads');
$node->stop('immediate');
ok($node->start && until_read('orphan.bin', 'ocr_attempts >= 1'), 'after a hard stop');
sql(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'cloudsync ocr'})
  if until_read('orphan.bin', 'ocr_attempts = 2');
is(outcome('orphan.bin'), 'failed|its reading was cancelled', 'it was read again');
ok(until_programs(0), 'and nothing of the first time is left');

# threads are processes to the kernel: those that the server's user has elsewhere do not count
my $threads = '[threading.Thread(target=time.sleep, args=(1000,), daemon=True).start() for i in range(400)]; print(1, flush=True); time.sleep(1000)';
my $threaded = open(my $other, '-|', '/usr/bin/python3', '-c', "import threading, time; $threads") or die "could not start python3: $!";
is(scalar(<$other>), "1\n", 'another program of many threads');
put('forking.bin' => "sleep 0 & wait; $page");
is(outcome('forking.bin'), 'done|', '... takes none from the program');
kill 'KILL', $threaded;
close $other;

# --- the application's functions, locks, and doing it again
settings(ocr_sandbox => 'auto');
sql(<<'SQL');
CREATE TABLE told (document_id bigint, state text);
CREATE FUNCTION on_ocr(bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.told SELECT document_id, ocr_state FROM cloudsync.document WHERE document_id = $1;
	IF (SELECT name FROM cloudsync.document WHERE document_id = $1) = 'refused.bin' THEN
		RAISE EXCEPTION 'not this one';
	END IF;
END $$;
SELECT cloudsync_on_document('on_ocr', 'ocr');
SQL
my $listener = $node->background_psql('postgres', on_error_stop => 0);
$listener->query_safe('LISTEN cloudsync');
put('told.bin' => $page, 'refused.bin' => "$page #");
is(outcome('told.bin'), 'done|', 'read');
SKIP:
{
	skip 'bwrap may not make namespaces here', 1 unless bwrap_works();
	is(sql(q{SELECT sandbox FROM cloudsync.ocr_sandbox}), 'bwrap', '... in a sandbox, as soon as the settings have one');
}
is(outcome('refused.bin'), 'failed|not this one', 'the function\'s failure is said');
is(text('refused.bin'), 'hello', 'and costs no text');
is(sql(q{SELECT d.name, t.state FROM told t JOIN cloudsync.document d USING (document_id)}), 'told.bin|done', 'the function ran for the other');
my $id = sql(q{SELECT document_id FROM cloudsync.document WHERE name = 'told.bin'});
my $heard = '';
foreach (1 .. 1200)
{
	$heard .= $listener->query('SELECT pg_sleep(0.1)');
	last if $heard =~ /"event": "ocr", "document_id": $id,/;
}
like($heard, qr/"event": "ocr", "document_id": $id, "state": "done"/, 'and listeners are told');
$listener->quit;
sql('DROP FUNCTION on_ocr');

my $locker = $node->background_psql('postgres');
$locker->query_safe("BEGIN; SELECT FROM cloudsync.document WHERE document_id = $id FOR UPDATE");
put('beside.bin' => $page . ' # beside');
is(outcome('beside.bin'), 'done|', 'a locked document holds up no other');
$locker->query_safe('COMMIT');
$locker->quit;
sql("SELECT cloudsync_retry_ocr($id)");
ok(until_read('told.bin', q{ocr_state = 'done' AND ocr_finished_at > now() - interval '1 hour' AND ocr_attempts = 1}), 'read again');
is(sql(q{SELECT count(*) FROM cloudsync.audit WHERE action = 'retry ocr'}), 1, 'on record');

done_testing();
