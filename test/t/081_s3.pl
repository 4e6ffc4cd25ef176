# S3 end to end, on OpenStack Swift, which checks signatures, payload hashes and
# dates: connecting, pushing, uploads in parts that are cut off, contents by
# address, moves, conflicts, the trash, collecting; how many requests that takes.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use CloudsyncTest;
use FolderTest;
use ContentServer;
use SwiftServer;

plan skip_all => 'OpenStack Swift (swift-proxy, swift-account, swift-container, swift-object) is not installed'
  unless SwiftServer::installed();

my $node = new_cluster('s3', conf => "cloudsync.allowed_endpoints = 'http://127.0.0.1:*'\nrestart_after_crash = on\n");
create_extension($node);
application_schema($node);
my $swift = SwiftServer->new(PostgreSQL::Test::Utils::tempdir());
$swift->make_bucket('dossiers');

sub sql { return scalar_sql($node, $_[0]) }

sub connect_s3
{
	my ($key, $name, $bucket) = @_;
	return sql(sprintf q{SELECT state FROM cloudsync_connect('s3', '%s', '{"access_key_id": "%s", "secret_access_key": "%s"}',
		'{"endpoint": "%s", "bucket": "%s"}')}, $name // 's3', $SwiftServer::USER, $key, $swift->endpoint, $bucket // 'dossiers');
}

sub check { return sql("SELECT state || ': ' || coalesce(detail, '') FROM cloudsync_check('$_[0]')") }

sub object { return '/dossiers/' . $_[0] =~ s{([^A-Za-z0-9_.~/-])}{sprintf '%%%02X', ord $1}ger }

sub content
{
	my ($key) = @_;
	my ($status, undef, $text) = $swift->request('GET', object($key));
	return $status == 200 ? $text : undef;
}

sub put { my ($key, $text) = @_; return $swift->request('PUT', object($key), '', $text) }

# Keys below a folder, without those of folders themselves.
sub keys_of { my ($folder) = @_; return grep { m{^\Q$folder\E/.*[^/]$} } $swift->keys_of('dossiers') }

sub uploads { my (undef, undef, $text) = $swift->request('GET', '/dossiers', 'uploads='); return $text =~ m{<UploadId>([^<]*)</UploadId>}g }

sub push_now
{
	my ($dossier, $what, $dossiers) = @_;
	my $run = sql("SELECT cloudsync_push_dossier('$dossier', 's3', '" . ($dossiers // 'app.dossier') . "')");
	ok(wait_run($node, $run), $what);
	return $run;
}

sub of_run
{
	my ($run, $column) = @_;
	return sql("SELECT $column FROM cloudsync.history WHERE run_id = $run");
}

sub touched
{
	my ($run) = @_;
	return sql("SELECT string_agg(action || ' ' || path, ',' ORDER BY path, action) FROM cloudsync.history_file WHERE run_id = $run");
}

sql(q{SELECT cloudsync_track('app.dossier', 'app.dossier_file'); SELECT cloudsync_add_recipient('ann')});

# --- connecting -------------------------------------------------------------------
is(connect_s3($SwiftServer::KEY), 'active', 'connected');
is(check('s3'), 'active: ', 'checked');
connect_s3('wrong-secret');
my $check = check('s3');
like($check, qr/^needs_consent: .*(?:key|signature|credentials|access)/i, 'a wrong key is said');
is(sql(q{SELECT state FROM cloudsync.connections WHERE connection = 's3'}), 'needs_consent', 'and recorded');
is(sql(q{SELECT count(*) FROM cloudsync_status() WHERE subject = 'connection s3' AND problem ~ 'needs consent'}), 1, 'the status says what to do');
unlike($check, qr/wrong-secret/, 'and not shown');
is(connect_s3($SwiftServer::KEY), 'active', 'renewed in place');
connect_s3($SwiftServer::KEY, 'none', 'no-such-bucket');
like(check('none'), qr/no-such-bucket|bucket/i, 'a bucket that is not there is said');
my ($ret, $out, $err) = $node->psql('postgres', sprintf q{SELECT cloudsync_connect('s3', 's3', '{"access_key_id": "%s", "secret_access_key": "%s"}',
	'{"endpoint": "%s", "bucket": "other"}')}, $SwiftServer::USER, $SwiftServer::KEY, $swift->endpoint);
like($err, qr{other account|another account|account}, 'the same connection to another bucket is refused');
unlike($err, qr/$SwiftServer::KEY"/, 'without the key');

# --- pushing: N9 ------------------------------------------------------------------
sql(q{SELECT cloudsync_set_push('s3', auto_sync => false, on_delete => 'trash')});
sub add_files
{
	my ($from, $to) = @_;
	sql("INSERT INTO app.dossier_file (id, dossier_id, name, content)
		SELECT i, 2, 'f' || i || '.txt', convert_to('file ' || i, 'UTF8') FROM generate_series($from, $to) i");
	return;
}
sql(q{INSERT INTO app.dossier (id, title) VALUES (1, 'One'), (2, 'Many')});
add_files(1001, 1010);
my $run = push_now(2, 'a dossier is pushed');
is(of_run($run, 'files_done'), 10, 'all its files');
is(content('CloudSync/Many/f1007.txt'), 'file 1007', 'their content');
add_files(1011, 1110);
$run = push_now(2, 'a hundred more');
is(of_run($run, 'files_done'), 100, 'they alone');
# what was looked at counts for 5 seconds; what is sent later is looked at by itself
my $most = of_run($run, q{finished_at - started_at < interval '5 s'}) eq 't' ? 101 : 200;
cmp_ok(of_run($run, 'requests'), '<=', $most, 'one request each, and one to look (N9)');
is(scalar(grep { m{^PUT /dossiers/CloudSync/Many/f1\d+\.txt 200$} } $swift->requests), 110, 'as the service counts them');
sql(q{UPDATE app.dossier_file SET content = 'another' WHERE id = 1001});
$run = push_now(2, 'a changed content');
is(touched($run), 'update /CloudSync/Many/f1001.txt', 'is sent alone');
is(content('CloudSync/Many/f1001.txt'), 'another', 'and is there');
is(of_run(push_now(2, 'nothing changed'), 'requests'), 1, 'one request finds that all is there');

# --- moves, the trash -------------------------------------------------------------
sql(q{INSERT INTO app.dossier_file (id, dossier_id, name, content) VALUES
	(1, 1, 'f1.txt', 'file 1'), (2, 1, 'f2.txt', 'file 2'), (3, 1, 'f 3.txt', 'file 3'), (4, 1, 'f4.txt', 'file 4')});
push_now(1, 'a dossier of four files');
sql(q{DELETE FROM app.dossier_file WHERE id = 4; UPDATE app.dossier_file SET name = 'g2.txt' WHERE id = 2});
is(touched(push_now(1, 'renamed, and deleted')), 'trash /.trash/CloudSync/One/f4.txt,move /CloudSync/One/g2.txt', 'are moved');
is(join(',', keys_of('CloudSync/One')), 'CloudSync/One/f 3.txt,CloudSync/One/f1.txt,CloudSync/One/g2.txt', 'a renamed file is under its new name alone');
is(content('CloudSync/One/g2.txt'), 'file 2', 'with its content');
my @trash = grep { m{\.trash/.*f4\.txt$} } $swift->keys_of('dossiers');
is(@trash == 1 && content($trash[0]), 'file 4', 'a deleted one is in the trash');
sql(q{UPDATE app.dossier SET title = 'Two' WHERE id = 1});
push_now(1, 'a renamed dossier');
is(join(',', keys_of('CloudSync/Two'), keys_of('CloudSync/One')), 'CloudSync/Two/f 3.txt,CloudSync/Two/f1.txt,CloudSync/Two/g2.txt', 'its folder is moved');

# --- somebody else's change, deletion (P8, P16) --------------------------------------
sub conflict
{
	my ($way, $ours) = @_;
	sql("SELECT cloudsync_set_push('s3', on_conflict => '$way')");
	put('CloudSync/Two/f 3.txt', "customer's, $way");
	sql("UPDATE app.dossier_file SET content = '$ours' WHERE id = 3");
	return push_now(1, "a conflict, $way");
}
$run = conflict('skip', 'ours, skipped');
is(content('CloudSync/Two/f 3.txt'), q{customer's, skip}, q{skip: the customer's edit stays});
is(scalar(keys_of('CloudSync/Two')), 3, 'and nothing else is there');
like(touched($run), qr{^skip /CloudSync/Two/f 3\.txt$}, 'which is said');
conflict('overwrite', 'ours, over it');
is(content('CloudSync/Two/f 3.txt'), 'ours, over it', 'overwrite: ours is there');
conflict('keep_both', 'ours, beside');
is(content('CloudSync/Two/f 3.txt'), q{customer's, keep_both}, q{keep_both: the customer's edit stays});
my ($beside) = grep { m{/f 3 \(CloudSync } } keys_of('CloudSync/Two');
is($beside && content($beside), 'ours, beside', 'ours is beside it');
sql(q{UPDATE app.dossier_file SET content = 'ours, again' WHERE id = 3});
push_now(1, 'changed again');
is(content($beside), 'ours, again', 'and goes on there');

$swift->request('DELETE', object('CloudSync/Two/g2.txt'));
sql(q{UPDATE app.dossier_file SET content = 'again' WHERE id = 1});
# automatic, since by hand means: send also what was deleted there
sql(q{SELECT cloudsync_set_push('s3', every => '1 second', auto_sync => true)});
ok(wait_for($node, q{SELECT state = 'removed_there' FROM cloudsync.files WHERE dossier = '1' AND file_key = '2'}), 'what is deleted there is told');
ok(wait_for($node, q{SELECT count(*) = 0 FROM cloudsync.dossiers WHERE connection = 's3' AND state IN ('waiting', 'running')}), 'the push ends');
ok(!defined content('CloudSync/Two/g2.txt'), 'and it is not sent again (P16)');
is(content('CloudSync/Two/f1.txt'), 'again', 'while the rest is');
sql(q{SELECT cloudsync_set_push('s3', auto_sync => false)});

# --- in parts, cut off ----------------------------------------------------------------
my $mib = 1024 * 1024;
my $large = ('a' x (16 * $mib)) . ('b' x (16 * $mib)) . ('c' x $mib);
my $large_sql = qq{convert_to(repeat('a', 16 * $mib) || repeat('b', 16 * $mib) || repeat('c', $mib), 'UTF8')};
sql(qq{INSERT INTO app.dossier (id, title) VALUES (3, 'Large');
	INSERT INTO app.dossier_file (id, dossier_id, name, content) VALUES (31, 3, 'large.bin', $large_sql)});

# The worker dies when a part is there; the rest of its way is slow.
sub cut_off
{
	my ($what) = @_;
	sql(qq{SELECT cloudsync_set_limits('s3', 8 * $mib, NULL, NULL)});
	my $id = sql(q{SELECT cloudsync_push_dossier('3', 's3')});
	my $upload;
	my $end = time + $PostgreSQL::Test::Utils::timeout_default;
	while (time < $end)
	{
		($upload) = uploads() if !$upload;
		my (undef, undef, $text) = $upload ? $swift->request('GET', object('CloudSync/Large/large.bin'), "uploadId=$upload") : ('', '', '');
		last if $text =~ m{<PartNumber>1<};
		select undef, undef, undef, 0.02;
	}
	my $offset = log_offset($node);
	kill 'KILL', worker_pid($node, 'cloudsync worker');
	ok($node->wait_for_log(qr/cloudsync worker.*was terminated by signal 9/, $offset), "$what: the worker is killed after the first part");
	ok(wait_for($node, 'SELECT true'), "$what: the server goes on");
	is(scalar(my @there = uploads()), 1, "$what: the upload is still there");
	ok(!defined content('CloudSync/Large/large.bin'), "$what: the object is not");
	sql(q{SELECT cloudsync_set_limits('s3', NULL, NULL, NULL)});
	return ($id, $upload);
}
($run, my $upload) = cut_off('in parts');
ok(wait_run($node, $run), 'it is taken up');
ok(content('CloudSync/Large/large.bin') eq $large, 'and is there whole');
is(join(',', map { m{^PUT .*partNumber=(\d)&uploadId=\Q$upload\E 200$} ? $1 : () } $swift->requests), '1,2,3', 'each part once, also the one that had arrived');
is(scalar(my @left = uploads()), 0, 'no upload is left');
is(join(',', keys_of('CloudSync/Large')), 'CloudSync/Large/large.bin', 'nor anything else');
sql(q{DELETE FROM app.dossier_file WHERE id = 31});
push_now(3, 'it is deleted');
sql(qq{INSERT INTO app.dossier_file (id, dossier_id, name, content) VALUES (32, 3, 'large.bin', $large_sql)});
($run) = cut_off('abandoned');
sql(q{DELETE FROM app.dossier_file WHERE id = 32});
ok(wait_for($node, "SELECT finished_at IS NOT NULL FROM cloudsync.history WHERE run_id = $run"), 'what is not to be sent any more is given up');
push_now(3, 'what there is now is pushed');
is(scalar(@left = uploads()), 0, 'an abandoned upload is ended');
ok(!defined content('CloudSync/Large/large.bin'), 'and no object comes of it');

# --- in parts, begun and never heard of ---------------------------------------------------
sql(qq{INSERT INTO app.dossier_file (id, dossier_id, name, content) VALUES (33, 3, 'large.bin', $large_sql)});
crash_at($node, 'push.after_begin');
my $begun = log_offset($node);
$run = sql(q{SELECT cloudsync_push_dossier('3', 's3')});
ok($node->wait_for_log(qr/cloudsync worker.*was terminated by signal 9/, $begun), 'the worker is killed as an upload was begun');
my ($lost) = uploads();
ok($lost, 'which is there');
crash_no_more($node);
ok(wait_run($node, $run), 'it is taken up');
ok(content('CloudSync/Large/large.bin') eq $large, 'and is there whole');
is(scalar(@left = uploads()), 0, 'the upload that was never heard of is ended');

# --- contents by address ----------------------------------------------------------------
my $source = ContentServer->new;
$source->put('small', 'small by address');
$source->put('large', $large);
my $url = $source->url;
sql(q{
CREATE TABLE app.web (id integer PRIMARY KEY, title text);
CREATE TABLE app.web_file (id serial PRIMARY KEY, web integer REFERENCES app.web, name text, url text);
INSERT INTO app.web VALUES (1, 'Web');
});
sql(q{SELECT cloudsync_track('app.web', 'app.web_file')});
sql(qq{INSERT INTO app.web_file (web, name, url) VALUES (1, 'small', '$url/etag/small'), (1, 'known', '$url/etag/large'), (1, 'unknown', '$url/plain/large')});
push_now(1, 'contents by address', 'app.web');
is(content('CloudSync/Web/small'), 'small by address', 'a small one is there');
ok(content("CloudSync/Web/$_") eq $large, "a large one of $_ size") foreach qw(known unknown);
is(touched(push_now(1, 'again', 'app.web')), '', 'unchanged, they are not sent again');
is(scalar(@left = uploads()), 0, 'no upload is left');

# --- collecting: N9b ---------------------------------------------------------------------
put("Inbox/s$_.txt", "scan $_") foreach 1 .. 100;
put("Moved/m $_.txt", "moved $_") foreach 1 .. 3;
is(sql(q{SELECT count(*) FROM cloudsync_browse('s3', '/Inbox')}), 100, 'browsed');
sql(q{SET client_min_messages = error;
	SELECT cloudsync_create_channel('s3', 'mail', ARRAY['/Inbox'], 'ann', 'Mail', auto_collect => false);
	SELECT cloudsync_create_channel('s3', 'moved', ARRAY['/Moved'], 'ann', 'Mail', auto_collect => false, after_collect => 'move:/Done')});
sub collect
{
	my ($channel, $what) = @_;
	my $id = sql("SET client_min_messages = error; SELECT cloudsync_collect('$channel')");
	ok(wait_run($node, $id), $what);
	return $id;
}
$run = collect('mail', 'collected');
is(of_run($run, 'files_done'), 100, 'each file');
is(of_run($run, 'requests'), 101, 'one request each, and one for the listing (N9b)');
is(sql(q{SELECT count(*) FROM cloudsync.document WHERE sha256 = sha256(cloudsync_content(document_id))}), 100, 'their bytes are what they are said to be');
$run = collect('mail', 'collected again');
is(of_run($run, 'files_done') . ' ' . of_run($run, 'requests'), '0 1', 'one request finds nothing new');
$run = collect('moved', 'collected and moved');
is(of_run($run, 'files_done'), 3, 'each file');
is(join(',', keys_of('Moved')), '', 'they are not where they were');
is(join(',', keys_of('Done')), 'Done/m 1.txt,Done/m 2.txt,Done/m 3.txt', 'but where they were to be moved');
is(of_run(collect('moved', 'an emptied folder is an empty one'), 'files_done'), 0, 'nothing twice');
connected_folders($node, connection => 's3', put => sub { put(substr($_[0], 1), $_[1]) });

$node->stop;
my $log = slurp_file($node->logfile);
unlike($log, qr/wrong-secret|Signature=[0-9a-f]/, 'no secret is in the log');
unlike($log, qr/terminated by signal (?!9)|PANIC|TRAP/, 'and no process died of itself');
done_testing();
