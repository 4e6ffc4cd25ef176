# Files whose content is elsewhere (P1): at an http address that the server may
# fetch (S5), or at a path of another connection. They stream from there to
# where the push goes, in bounded memory and without touching the disk, and what
# is unchanged there is not sent again (P5).
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use CloudsyncTest;
use ContentServer;
use WebServers;

my $server = ContentServer->new;
my $other = ContentServer->new;
my $stranger = ContentServer->new;
my $url = $server->url;

my $node = new_cluster('url', conf => join("\n",
	'restart_after_crash = on',
	"cloudsync.allowed_endpoints = 'content=$url, content=" . $other->url . ", webdav=http://127.0.0.1:*'",
	''));
my $root = local_root($node);
create_extension($node);

sub sql { return scalar_sql($node, $_[0]) }

# The run of a push that was asked for, ended.
sub push_now
{
	my ($what, %opts) = @_;
	my $connection = $opts{connection} // 'Archive';
	my $run = sql("SELECT cloudsync_push_dossier('1', '$connection', '" . ($opts{dossiers} // 'dossier') . "')");
	ok(wait_run($node, $run, $opts{state}), $what);
	return $run;
}

sub touched
{
	my ($run) = @_;
	return sql("SELECT coalesce(string_agg(action || ' ' || path, ', ' ORDER BY path), '') FROM cloudsync.history_file WHERE run_id = $run");
}

sub errors
{
	my ($run) = @_;
	return sql("SELECT coalesce(string_agg(error, '; ' ORDER BY path), '') FROM cloudsync.history_file WHERE run_id = $run");
}

sub only_file
{
	my ($name, $address) = @_;
	sql("DELETE FROM dossier_file; INSERT INTO dossier_file (dossier, name, url) VALUES (1, '$name', '$address')");
	return;
}

sub at_remote { my ($name) = @_; return read_file("$root/CloudSync/D1/$name"); }

sub no_parts
{
	my ($what) = @_;
	is_deeply([ grep { m{\.part$} } files_below($root, parts => 1) ], [], "$what: nothing half-written is left");
	return;
}

sql(q{
CREATE TABLE dossier (id integer PRIMARY KEY, title text);
CREATE TABLE dossier_file (id serial PRIMARY KEY, dossier integer REFERENCES dossier, name text, url text);
INSERT INTO dossier VALUES (1, 'D1');
});
sql(q{SELECT cloudsync_track('dossier', 'dossier_file')});
is(sql(q{SELECT content_name, content_kind FROM cloudsync.source}), 'url|text', 'a column of addresses is found');
sql(q{SELECT * FROM cloudsync_connect('local', 'Archive')});
sql(q{SELECT cloudsync_set_push('Archive', auto_sync => false)});

# --- small, and not sent again while it is unchanged ---------------------------------
foreach my $way (qw(etag date plain))
{
	$server->put('small', "small by $way");
	only_file("$way.txt", "$url/$way/small");
	is(sql(qq{SELECT action, coalesce(bytes::text, 'unknown') FROM cloudsync_plan('Archive', '1') WHERE action = 'create'}),
		'create|unknown', "$way: the plan says that its size is unknown");
	my $run = push_now("$way: a small one is sent");
	is(touched($run), "create /CloudSync/D1/$way.txt", "$way: and noted");
	is(at_remote("$way.txt"), "small by $way", "$way: with its bytes");
	is(sql("SELECT size, encode(sha256, 'hex') = encode(sha256(convert_to('small by $way', 'UTF8')), 'hex') FROM cloudsync.history_file WHERE run_id = $run"),
		length("small by $way") . '|t', "$way: size and SHA-256 are known");
	my $inode = inode("$root/CloudSync/D1/$way.txt");
	$server->requests;
	$run = push_now("$way: pushed again");
	is(touched($run), '', "$way: unchanged, it is not sent");
	is(join(',', $server->requests), "GET /$way/small " . ($way eq 'plain' ? 200 : 304), "$way: it was asked for");
	is(inode("$root/CloudSync/D1/$way.txt"), $inode, "$way: nothing was written");
	is(sql("SELECT files_done, files_skipped, files_failed FROM cloudsync.history WHERE run_id = $run"), '0|1|0', "$way: it counts as skipped");
	next if $way eq 'date';
	$server->put('small', "changed by $way");
	$run = push_now("$way: changed there");
	is(touched($run), "update /CloudSync/D1/$way.txt", "$way: it is sent");
	is(at_remote("$way.txt"), "changed by $way", "$way: and is there");
}
$server->put('empty', '');
only_file('empty', "$url/etag/empty");
push_now('an empty one');
is(at_remote('empty'), '', 'is an empty file');

# a change of the row alone: another address of the same bytes is not sent either
$server->put('small', 'the same');
only_file('same.txt', "$url/etag/small");
push_now('before its address changes');
sql(qq{UPDATE dossier_file SET url = '$url/plain/small'});
is(touched(push_now('another address')), '', 'the same bytes at another address are not sent');
sql(qq{UPDATE dossier_file SET name = 'renamed.txt'});
$server->put('small', 'renamed and changed');
push_now('renamed, and changed there');
is(at_remote('renamed.txt'), 'renamed and changed', 'both arrive');

# versions of one address say nothing of another's
$server->put('one', 'version one');
$server->put('two', 'version two');
only_file('fixed.txt', "$url/fixed/one");
push_now('an address with an ETag');
sql(qq{UPDATE dossier_file SET url = '$url/fixed/two'});
push_now('another address with the same ETag');
is(at_remote('fixed.txt'), 'version two', 'is read, though its ETag is the same');

# what was changed within the last second may change again within it
$server->put('small', 'first of now');
only_file('fresh.txt', "$url/fresh/small");
push_now('changed just now');
$server->put('small', 'later of now');
push_now('and again, in the same second');
is(at_remote('fresh.txt'), 'later of now', 'a date of just now tells no versions apart');

# --- large ----------------------------------------------------------------------------
my $large = '';
for (my $i = 0; length $large < 40 * 1024 * 1024; $i++)
{
	$large .= "$i " . ('x' x 1000);
}
$server->put('large', $large);
sub high_water
{
	my ($pid) = @_;
	my ($kb) = (read_file("/proc/$pid/status") // '') =~ /VmHWM:\s*(\d+) kB/;
	return $kb // 0;
}
my $grown;
for my $try (1 .. 5)
{
	my $worker = worker_pid($node, 'cloudsync worker');
	my $before = high_water($worker);
	foreach my $way (qw(etag plain))
	{
		only_file("$way.bin", "$url/$way/large");
		push_now("$way: 40 MiB");
		ok(at_remote("$way.bin") eq $large, "$way: arrive whole");
		my $run = push_now("$way: again");
		is(touched($run), '', "$way: unchanged, they are not sent");
	}
	$grown = high_water($worker) - $before;
	# by one worker; where this took so long that it had left, once more
	last if $worker == worker_pid($node, 'cloudsync worker');
}
cmp_ok($grown, '<', 24 * 1024, 'in bounded memory (kB)');
$server->put('large', $large . 'more');
is(touched(push_now('larger now')), 'update /CloudSync/D1/plain.bin', 'it is sent');
ok(at_remote('plain.bin') eq $large . 'more', 'whole');
no_parts('large ones');

# --- what cannot be read -----------------------------------------------------------------
$server->put('good', 'good');
sql('DELETE FROM dossier_file');
sql(qq{INSERT INTO dossier_file (dossier, name, url) VALUES (1, 'a_missing', '$url/etag/nothing?token=sesame123'), (1, 'b_good', '$url/etag/good')});
my $run = push_now('one is missing', state => 'partial');
is(at_remote('b_good'), 'good', 'the rest goes on');
like(errors($run), qr{could not read "\Q$url\E/etag/nothing": .*404}, 'it is said in the words of the source');
unlike(errors($run) . sql(q{SELECT string_agg(last_error, '') FROM cloudsync.files}) . sql(q{SELECT string_agg(error, '') FROM cloudsync.history}),
	qr{sesame123}, 'without the query, which may be secret');
unlike(slurp_file($node->logfile), qr{could not read.*sesame123}, 'in the log neither');

sub fails
{
	my ($what, $address, $why) = @_;
	only_file('fails', $address);
	my $r = push_now($what, state => 'failed');
	like(errors($r), $why, "$what: why");
	ok(!-e "$root/CloudSync/D1/fails", "$what: nothing is there");
	is(sql(q{SELECT state FROM cloudsync.connections WHERE connection = 'Archive'}), 'active', "$what: the connection is well");
	return;
}

sub redirect { my ($to) = @_; $to =~ s/([^\w.])/sprintf '%%%02x', ord $1/ge; return "$url/redirect?to=$to"; }

foreach (
	[ '/etag/good', 'of the same host' ],
	[ $other->url . '/etag/good', 'of another host that is allowed' ])
{
	$other->put('good', 'good');
	only_file('redirected', redirect($_->[0]));
	push_now("redirected to an address $_->[1]");
	is(at_remote('redirected'), 'good', "an address $_->[1] is followed");
}
$stranger->put('good', 'good');
fails('redirected to a host that is not allowed', redirect($stranger->url . '/etag/good'), qr{connecting to .* is not allowed});
is(join(',', $stranger->requests), '', 'which was not asked');
fails('redirected to a file', redirect('file:///etc/passwd'), qr{redirected to what is no http or https address});
fails('redirected in a circle', $url . '/redirect?to=%2fredirect%3fto%3d%252f', qr{404});
{
	my $circle = '/redirect?to=' . join('', map { sprintf '%%%02x', ord } split //, '/redirect?to=/x');
	my $address = $url . '/etag/good';
	$address = redirect($address) foreach 1 .. 6;
	fails('redirected six times', $address, qr{more than 5 times});
}
fails('a host that is not allowed', $stranger->url . '/etag/good', qr{connecting to .* is not allowed});
fails('a private address', 'http://10.1.2.3/etag/good', qr{connecting to .* is not allowed});
fails('a user in the address', "http://ann:sesame\@127.0.0.1:$server->{port}/etag/good", qr{^(?!.*sesame)});
fails('another scheme', 'file:///etc/passwd', qr{is no http or https address});
fails('no address at all', 'x/y.pdf', qr{is no http or https address});
$node->append_conf('postgresql.conf', 'cloudsync.max_document_size = 1MB');
$node->reload;
wait_for($node, 'SHOW cloudsync.max_document_size', '1MB');
fails('larger than allowed', "$url/etag/large", qr{larger than cloudsync.max_document_size});
fails('larger than allowed, of unknown length', "$url/plain/large", qr{larger than cloudsync.max_document_size});
fails('of a length without an end', "$url/endless/large", qr{larger than cloudsync.max_document_size});
$node->append_conf('postgresql.conf', 'cloudsync.max_document_size = 1GB');
$node->reload;
wait_for($node, 'SHOW cloudsync.max_document_size', '1GB');

# --- breaks off, stalls ---------------------------------------------------------------------
$server->set(cuts => 2);
only_file('cut', "$url/cut/large");
$run = push_now('it breaks off twice');
ok(at_remote('cut') eq $large . 'more', 'and is sent whole at the third attempt');
is($server->get('cuts'), 0, 'it did break off');
no_parts('after breaking off');

# with an ETag it goes on where it broke off, if that is the rest of the same; a
# rest of something else is noticed once all of it comes again
my $all = $large . 'more';
foreach ([ 'ranges', '200 206' ], [ 'weak', '200 200' ], [ 'wrong', '200 206 200 200' ])
{
	my ($way, $statuses) = @$_;
	$server->set(cuts => 1);
	only_file($way, "$url/$way/large");
	$server->requests;
	$run = push_now("$way: it breaks off");
	ok(at_remote($way) eq $all, "$way: and is whole");
	is(join(' ', map { (split / /)[2] } $server->requests), $statuses, "$way: by these answers");
	is(touched(push_now("$way: again")), '', "$way: unchanged, it is not sent");
}
$server->put('large.2', lc($all) =~ tr/x/y/r);
$server->set(cuts => 1);
only_file('swap', "$url/swap/large");
push_now('it breaks off, and is another one afterwards');
ok(at_remote('swap') eq $all =~ tr/x/y/r, 'nothing of the first is in what is sent');
no_parts('after another one');

$server->set(cuts => 100);
$server->set(leads => $stranger->url);
fails('the rest is where nothing is allowed', "$url/leads/large", qr{connecting to .* is not allowed});
$server->set(cuts => 100);
fails('it breaks off always', "$url/cut/large", qr{could not read "\Q$url\E/cut/large"});
no_parts('after breaking off always');
sub low_speed_time
{
	my ($time) = @_;
	$node->append_conf('postgresql.conf', "cloudsync.low_speed_time = $time");
	$node->reload;
	return wait_for($node, 'SHOW cloudsync.low_speed_time', $time);
}
low_speed_time('2s');
fails('it stalls', "$url/stall/large", qr{low_speed_time});
no_parts('after a stall');
$server->set(go => 1);
low_speed_time('1min');
push_now('it goes on');
ok(at_remote('fails') eq $large . 'more', 'and is sent');

# --- killed in the middle ----------------------------------------------------------------------
$server->set(go => 0);
only_file('killed', "$url/stall/large");
$run = sql(q{SELECT cloudsync_push_dossier('1', 'Archive')});
ok(wait_for($node, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'cloudsync worker'}), 'a worker is there');
{
	my $i = 0;
	until (grep { m{\.part$} } files_below($root, parts => 1)) { die 'no upload' if $i++ > 6000; select undef, undef, undef, 0.01; }
}
my $offset = log_offset($node);
kill 'KILL', worker_pid($node, 'cloudsync worker');
ok($node->wait_for_log(qr/cloudsync worker.*was terminated by signal 9/, $offset), 'the worker is killed in the middle');
ok(!-e "$root/CloudSync/D1/killed", 'nothing half-written has the final name');
$server->set(go => 1);
wait_for($node, 'SELECT true');
ok(wait_run($node, $run), 'it is taken up');
ok(at_remote('killed') eq $large . 'more', 'and sent whole');
no_parts('after the kill');

# --- to WebDAV ---------------------------------------------------------------------------------
SKIP:
{
	skip 'no Apache', 1 unless WebServers::have('apache');
	my $apache = WebServers->apache(user => 'ann', password => 'secret');
	my $endpoint = $apache->url;
	sql(qq{SELECT * FROM cloudsync_connect('webdav', 'Dav', '{"username": "ann", "password": "secret"}', '{"endpoint": "$endpoint/"}')});
	sql(q{SELECT cloudsync_set_push('Dav', auto_sync => false)});
	$server->put('small', 'small');
	sql('DELETE FROM dossier_file');
	sql(qq{INSERT INTO dossier_file (dossier, name, url) VALUES (1, 'small', '$url/etag/small'), (1, 'large', '$url/etag/large'), (1, 'unknown', '$url/plain/large')});
	push_now('to WebDAV', connection => 'Dav');
	my $there = $apache->folder . '/CloudSync/D1';
	is(read_file("$there/small"), 'small', 'a small one is there');
	ok(read_file("$there/$_") eq $large . 'more', "a large one is there ($_)") foreach qw(large unknown);
	is(touched(push_now('again', connection => 'Dav')), '', 'unchanged ones are not sent again');

	# --- from WebDAV, and from a local folder, by a path there
	write_file($apache->folder . '/store/x.pdf', 'x of webdav');
	write_file("$root/store/x.pdf", 'x of local');
	write_file("$root/store/large.bin", $large);
	foreach my $from (qw(Dav Archive))
	{
		sql(qq{
CREATE TABLE d_$from (id integer PRIMARY KEY, title text);
CREATE TABLE f_$from (id serial PRIMARY KEY, d integer REFERENCES d_$from, name text, path text);
INSERT INTO d_$from VALUES (1, 'from $from');
INSERT INTO f_$from (d, name, path) VALUES (1, 'x.pdf', '/store/x.pdf');
});
		sql(qq{SELECT cloudsync_track('d_$from', 'f_$from', content_connection => '$from')});
		push_now("from $from", dossiers => "d_$from");
		is(read_file("$root/CloudSync/from $from/x.pdf"), 'x of ' . ($from eq 'Dav' ? 'webdav' : 'local'), "$from: its content is there");
		$apache->requests;
		is(touched(push_now('again', dossiers => "d_$from")), '', "$from: unchanged, it is not sent again");
		is_deeply([ grep { /^GET/ } $apache->requests ], [], "$from: nor read again");
	}
	write_file($apache->folder . '/store/x.pdf', 'x of webdav, another');
	is(touched(push_now('changed there', dossiers => 'd_dav')), 'update /CloudSync/from Dav/x.pdf', 'a changed one is sent');
	write_file($apache->folder . '/store/x.pdf', 'X OF WEBDAV, ANOTHER');
	push_now('of the same size', dossiers => 'd_dav');
	is(read_file("$root/CloudSync/from Dav/x.pdf"), 'X OF WEBDAV, ANOTHER', 'is sent, too');
	sql(q{UPDATE f_archive SET path = 'store/large.bin', name = 'large.bin'});
	push_now('a large one from a folder', dossiers => 'd_archive');
	ok(read_file("$root/CloudSync/from Archive/large.bin") eq $large, 'is there');
	foreach ([ '/store/none.pdf', qr{none.pdf} ], [ '../../etc/passwd', qr{".."} ], [ '/store', qr{no file} ])
	{
		sql("UPDATE f_archive SET path = '$_->[0]'");
		like(errors(push_now("path $_->[0]", dossiers => 'd_archive', state => 'failed')), $_->[1], 'says why it cannot be read');
	}
	# the connection as it is now, whatever the worker has open
	write_file($apache->folder . '/store/x.pdf', 'x by other credentials');
	sql(qq{SELECT * FROM cloudsync_connect('webdav', 'Dav', '{"username": "ann", "password": "another-one"}', '{"endpoint": "$endpoint/"}')});
	like(errors(push_now('other credentials', dossiers => 'd_dav', state => 'partial')), qr{does not accept the credentials}, 'are those that count');
	is(sql(q{SELECT state FROM cloudsync.connections WHERE connection = 'Archive'}), 'active', 'which is not the trouble of where it goes');
	sql(qq{SELECT * FROM cloudsync_connect('webdav', 'Dav', '{"username": "ann", "password": "secret"}', '{"endpoint": "$endpoint/"}')});
	push_now('the right ones again', dossiers => 'd_dav');
	is(read_file("$root/CloudSync/from Dav/x.pdf"), 'x by other credentials', 'and it comes');
	# of a tenant's connections none is meant, whatever its name is
	my $both = qq{SELECT * FROM cloudsync_connect('webdav', 'Both', '{"username": "ann", "password": "secret"}', '{"endpoint": "$endpoint/store"}');};
	sql(qq{
CREATE TABLE d_both (id integer PRIMARY KEY, title text);
CREATE TABLE f_both (id serial PRIMARY KEY, d integer REFERENCES d_both, name text, path text);
INSERT INTO d_both VALUES (1, 'from both');
INSERT INTO f_both (d, name, path) VALUES (1, 'x.pdf', '/x.pdf');
$both
SELECT cloudsync_track('d_both', 'f_both', content_connection => 'Both');
});
	push_now('a connection of no tenant', dossiers => 'd_both');
	sql(qq{SELECT cloudsync_disconnect('Both', false)});
	sql(qq{SET cloudsync.tenant = 'acme'; $both});
	sql(q{UPDATE f_both SET path = 'x.pdf'});
	like(errors(push_now('a connection of a tenant\'s', dossiers => 'd_both', state => 'failed')), qr{connection "Both", where the content is, is not there}, 'is none for all');
	sql(q{UPDATE f_dav SET path = '/store/large'; SELECT cloudsync_disable('Dav')});
	like(errors(push_now('a disabled connection', dossiers => 'd_dav', state => 'failed')), qr{connection "Dav", where the content is, is disabled}, 'says so');
}

# --- what cannot be tracked -----------------------------------------------------------------------
my ($ret, $out, $err) = $node->psql('postgres', q{SELECT cloudsync_track('dossier', 'dossier_file', content_connection => 'None')});
like($err, qr{connection "None" does not exist}, 'a content_connection must be there');
($ret, $out, $err) = $node->psql('postgres', q{SELECT cloudsync_track('dossier', 'dossier_file', content_connection => 'Archive')});
like($err, qr{is already tracked without content_connection}, 'and is not changed in passing');

done_testing();
