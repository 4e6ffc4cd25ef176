# WebDAV end to end, on servers that nobody here wrote: Apache mod_dav (the
# reference), nginx with dav-ext (no ETags, no conditions), rclone serve webdav.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use CloudsyncTest;
use FolderTest;
use WebServers;

my @kinds = grep { WebServers::have($_) } qw(apache nginx rclone);
plan skip_all => 'no WebDAV server is installed' unless @kinds;

my $node = new_cluster(
	'webdav',
	conf => "cloudsync.allowed_endpoints = 'http://127.0.0.1:*, https://127.0.0.1:*, webdav=http://127.0.0.1:*'\n");
create_extension($node);
application_schema($node);

sub sql { return scalar_sql($node, $_[0]) }

sub push_now
{
	my ($dossier, $connection, $state) = @_;
	my $run = sql("SELECT cloudsync_push_dossier('$dossier', '$connection')");
	ok(wait_run($node, $run, $state), "$connection: dossier $dossier is pushed");
	return $run;
}

sub collect
{
	my ($channel, $state) = @_;
	my $run = sql("SET client_min_messages = error; SELECT cloudsync_collect('$channel')");
	ok(wait_run($node, $run, $state), "collection of $channel ended");
	return $run;
}

sub touched
{
	my ($run) = @_;
	return sql("SELECT string_agg(action || ' ' || path, ',' ORDER BY path, action) FROM cloudsync.history_file WHERE run_id = $run");
}

# How often each method was used since the last call; Apache and nginx say it.
sub methods
{
	my ($server) = @_;
	my %count;
	$count{ (split / /)[0] }++ foreach $server->requests;
	return join(' ', map { "$_=$count{$_}" } sort keys %count);
}

sql(q{SELECT cloudsync_track('app.dossier', 'app.dossier_file', procedure => 'procedure')});
sql(q{SELECT cloudsync_add_recipient('ann')});

my $n = 0;
foreach my $kind (@kinds)
{
	my $server = WebServers->can($kind)->('WebServers', user => 'ann', password => 'pa ss/wd');
	my $files = $server->folder;
	my $d = ++$n;
	my $url = $server->url;

	# --- connecting ---------------------------------------------------------------
	is( sql(qq{SELECT state FROM cloudsync_connect('webdav', '$kind', '{"username": "ann", "password": "pa ss/wd"}', '{"endpoint": "$url/"}')}),
		'active',
		"$kind: connected");
	is(sql("SELECT account FROM cloudsync.connections WHERE connection = '$kind'"), $url, "$kind: its account");
	is(sql("SELECT state FROM cloudsync_check('$kind')"), 'active', "$kind: checked");
	sql("SELECT cloudsync_set_push('$kind', auto_sync => false, on_delete => 'trash')");
	ok(wait_for($node, qq{SELECT count(*) = 1 FROM cloudsync.history WHERE kind = 'prepare' AND state = 'succeeded' AND connection = '$kind'}),
		"$kind: the root is prepared");
	ok(-d "$files/CloudSync", "$kind: the root folder is there");

	# --- pushing --------------------------------------------------------------------
	sql(qq{
INSERT INTO app.dossier (id, title, year) VALUES ($d, 'D\xc3\xbcpont & Co #$d', 2026);
INSERT INTO app.dossier_file (id, dossier_id, name, content) VALUES
	($d * 100 + 1, $d, 'letter 100%.txt', 'a letter'),
	($d * 100 + 2, $d, 'large.bin', decode(repeat('00ff10', 700000), 'hex')),
	($d * 100 + 3, $d, 'empty.txt', '');
INSERT INTO app.dossier_file (id, dossier_id, name, content)
	SELECT $d * 100 + 10 + i, $d, 'f' || i || '.txt', convert_to('file ' || i, 'UTF8') FROM generate_series(1, 20) i;
	});
	my $run = push_now($d, $kind);
	my ($dossier) = grep { m{/D} } map { "CloudSync/$_" =~ s{/$}{}r } grep { m{^[^/]*/$} } tree("$files/CloudSync");
	is(scalar(my @all = files_below($files)), 23, "$kind: all files are there");
	is(read_file("$files/$dossier/letter 100%.txt"), 'a letter', "$kind: content");
	is(-s "$files/$dossier/large.bin", 2_100_000, "$kind: large content");
	is(-s "$files/$dossier/empty.txt", 0, "$kind: empty content");
	is(sql("SELECT files_done, files_failed FROM cloudsync.history WHERE run_id = $run"), '23|0', "$kind: history");
	is_deeply([ grep { /\.part$/ } files_below($files, parts => 1) ], [], "$kind: nothing temporary is left");

	# --- only what differs -----------------------------------------------------------
	$server->requests;
	$run = push_now($d, $kind);
	is(touched($run), '', "$kind: nothing is sent again");
	unlike(methods($server), qr/PUT|MOVE|DELETE/, "$kind: nothing is written again");
	sql("UPDATE app.dossier_file SET content = 'another letter' WHERE id = $d * 100 + 1");
	$run = push_now($d, $kind);
	like(touched($run), qr/^update [^,]*letter 100%\.txt$/, "$kind: a changed content is sent, and it alone");
	is(read_file("$files/$dossier/letter 100%.txt"), 'another letter', "$kind: it is there");
	sql("UPDATE app.dossier_file SET content = decode(repeat('00ff11', 700000), 'hex') WHERE id = $d * 100 + 2");
	$run = push_now($d, $kind);
	like(touched($run), qr/^update [^,]*large\.bin$/, "$kind: a large one too");
	is(substr(read_file("$files/$dossier/large.bin"), 0, 3), "\x00\xff\x11", "$kind: it is there");

	# --- moves ------------------------------------------------------------------------
	sql("UPDATE app.dossier_file SET name = 'huge.bin' WHERE id = $d * 100 + 2");
	$server->requests;
	$run = push_now($d, $kind);
	like(touched($run), qr/^move [^,]*huge\.bin$/, "$kind: a renamed file is moved");
	unlike(methods($server), qr/PUT/, "$kind: not sent");
	ok(-e "$files/$dossier/huge.bin" && !-e "$files/$dossier/large.bin", "$kind: under its new name alone");
	sql("UPDATE app.dossier SET title = 'Renamed $d' WHERE id = $d");
	push_now($d, $kind);
	ok(-e "$files/CloudSync/Renamed $d/huge.bin", "$kind: a renamed dossier's folder is moved");
	ok(!-e "$files/$dossier", "$kind: and not left");
	$dossier = "CloudSync/Renamed $d";

	# --- somebody else's change ----------------------------------------------------------
	write_file("$files/$dossier/letter 100%.txt", "the customer's own words");
	sql("UPDATE app.dossier_file SET content = 'third letter' WHERE id = $d * 100 + 1");
	$run = push_now($d, $kind);
	is(read_file("$files/$dossier/letter 100%.txt"), "the customer's own words", "$kind: a customer's edit stays");
	my ($beside) = grep { m{^\Q$dossier\E/letter 100% \(CloudSync } } files_below($files);
	is($beside && read_file("$files/$beside"), 'third letter', "$kind: ours is beside it");

	# --- deletion --------------------------------------------------------------------------
	sql("DELETE FROM app.dossier_file WHERE id = $d * 100 + 3");
	$run = push_now($d, $kind);
	ok(!-e "$files/$dossier/empty.txt", "$kind: a deleted file is gone from its folder");
	is(scalar(grep { m{^[^/]*/?\.trash/.*empty\.txt$} } files_below($files)), 1, "$kind: and in the trash");

	# --- browsing and collecting -------------------------------------------------------------
	write_file("$files/Inbox/scan 1.pdf", 'a scan');
	write_file("$files/Inbox/2026/\xc3\xa9t\xc3\xa9 #2.txt", 'summer');
	write_file("$files/Inbox/empty.txt", '');
	write_file("$files/Inbox/big.bin", 'x' x 3_000_000);
	is( sql("SELECT string_agg(name || ' ' || kind || ' ' || coalesce(size::text, '-'), ',' ORDER BY name COLLATE \"C\") FROM cloudsync_browse('$kind', '/Inbox')"),
		'2026 folder -,big.bin file 3000000,empty.txt file 0,scan 1.pdf file 6',
		"$kind: browsed");
	sql("SELECT cloudsync_create_channel('$kind', 'mail $kind', ARRAY['/Inbox'], 'ann', 'Mail', auto_collect => false)");
	$server->requests;
	$run = collect("mail $kind");
	is(sql("SELECT files_done, files_failed FROM cloudsync.history WHERE run_id = $run"), '4|0', "$kind: collected");
	my $used = methods($server);
	like($used, qr/^GET=4 PROPFIND=\d$/, "$kind: one request a document") if $kind ne 'rclone';
	is( sql("SELECT count(*) FROM cloudsync.document WHERE channel_id = (SELECT channel_id FROM cloudsync.channel WHERE name = 'mail $kind') AND sha256 = sha256(cloudsync_content(document_id))"),
		4, "$kind: their bytes are those that were sent");
	$run = collect("mail $kind");
	is(sql("SELECT files_done FROM cloudsync.history WHERE run_id = $run"), 0, "$kind: nothing twice");

	connected_folders($node, connection => $kind, put => sub { write_file("$files$_[0]", $_[1]) }) if $kind eq 'apache';

	# --- a wrong password, and a server that is down --------------------------------------------
	if ($kind ne 'nginx')
	{
		sql(qq{SELECT cloudsync_connect('webdav', '$kind', '{"username": "ann", "password": "wrong-secret"}', '{"endpoint": "$url"}')});
		like(sql("SELECT state || ' ' || coalesce(detail, '') FROM cloudsync_check('$kind')"), qr{^needs_consent .*does not accept the credentials}, "$kind: a wrong password is said");
		is(sql("SELECT state FROM cloudsync.connections WHERE connection = '$kind'"), 'needs_consent', "$kind: and recorded");
		sql(qq{SELECT cloudsync_connect('webdav', '$kind', '{"username": "ann", "password": "pa ss/wd"}', '{"endpoint": "$url"}')});
		is(sql("SELECT state FROM cloudsync_check('$kind')"), 'active', "$kind: renewed in place");
	}
	# --- many files, for longer than a listing of their folder is believed -----------------------
	# nginx makes a file only where there is none on nobody's word but ours
	if ($kind eq 'nginx')
	{
		sql(q{INSERT INTO app.dossier (id, title, year) VALUES (90, 'Many', 2026);
			INSERT INTO app.dossier_file (id, dossier_id, name, content)
				SELECT 9000 + i, 90, 'm' || i || '.txt', convert_to('many ' || i, 'UTF8') FROM generate_series(1, 240) i});
		sql("SELECT cloudsync_set_limits('nginx', NULL, 40, NULL)");
		$server->requests;
		push_now(90, $kind);
		$used = methods($server);
		like($used, qr/^(DELETE=1 )?MKCOL=\d+ PROPFIND=\d PUT=240$/, "$kind: a long push lists the folder again and sends each file by one request");
		is(scalar(my @many = files_below("$files/CloudSync/Many")), 240, "$kind: all of them are there");
		sql("SELECT cloudsync_set_limits('nginx', NULL, NULL, NULL)");

		# ... and most of very many are confirmed while the last ones travel
		sql(q{INSERT INTO app.dossier (id, title, year) VALUES (91, 'Very many', 2026);
			INSERT INTO app.dossier_file (id, dossier_id, name, content)
				SELECT 20000 + i, 91, 'v' || i || '.txt', convert_to('very many ' || i, 'UTF8') FROM generate_series(1, 520) i});
		$server->requests;
		push_now(91, $kind);
		my @asked = $server->requests;
		my @order = map { (split / /)[0] } @asked;
		my ($first_put) = grep { $order[$_] eq 'PUT' } 0 .. $#order;
		my ($last_put) = grep { $order[$_] eq 'PUT' } reverse 0 .. $#order;
		my @lists = grep { $asked[$_] =~ m{^PROPFIND /CloudSync/Very(?: |%20)many/} } 0 .. $#order;
		is(scalar(grep { $_ eq 'PUT' } @order), 520, "$kind: each of very many is sent by one request");
		# (and again for those that are sent when a listing is five seconds old)
		my $took = sql("SELECT extract(epoch FROM finished_at - started_at) FROM cloudsync.history WHERE kind = 'push' AND dossier = '91'");
		ok(@lists >= 2 && @lists <= 2 + $took / 5 && $lists[0] > $first_put && $lists[0] < $last_put && $lists[-1] > $last_put,
			"$kind: their folder, made just now, is listed beside them and at the end, and never before")
		  or diag("last PUT $last_put, listings @lists");
		is(sql("SELECT count(*) FROM cloudsync.pushed_file WHERE dossier = '91' AND state = 'synced' AND remote_version IS NOT NULL AND intent_path IS NULL"), 520, "$kind: all of them are recorded");

		# --- a listing of many folders is not waited for (N11) ---
		my $deep = "$files/Deep";
		foreach my $level (1 .. 12)
		{
			mkdir $deep or die "$deep: $!";
			write_file("$deep/deep $level.txt", "deep $level");
			$deep .= "/$level";
		}
		sql("SELECT cloudsync_create_channel('$kind', 'deep', '{/Deep}', 'ann', 'Mail', auto_collect => false)");
		$server->requests;
		$run = collect('deep');
		@order = map { (split / /)[0] } $server->requests;
		my ($first_get) = grep { $order[$_] eq 'GET' } 0 .. $#order;
		my ($last_list) = grep { $order[$_] eq 'PROPFIND' } reverse 0 .. $#order;
		cmp_ok($first_get, '<', $last_list, "$kind: what a listing has shown is received while it goes on");
		is(scalar(grep { $_ eq 'GET' } @order), 12, "$kind: once each");
		is(sql("SELECT files_done, files_failed FROM cloudsync.history WHERE run_id = $run"), '12|0', "$kind: all of it");
		write_file("$files/Deep/1/deep 2.txt", 'deep, and changed');
		write_file("$files/Deep/1/late.txt", 'late');
		$run = collect('deep');
		is(sql("SELECT files_done, files_failed FROM cloudsync.history WHERE run_id = $run"), '1|0', "$kind: and what came to it since");
	}
	$server->stop;
	like(sql("SELECT detail FROM cloudsync_check('$kind')"), qr/127\.0\.0\.1|connect/, "$kind: a server that is down is named");
}

my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
unlike($log, qr/wrong-secret|pa ss\/wd/, 'no password is in the log');

done_testing();
