# OneDrive and SharePoint end to end against the test cloud: pushes with their exact
# numbers of requests (N9), conflicts, customers who move and delete (P8, P9, P16),
# files that the service rewrites (P17), upload sessions gone on with after a crash
# (P12), collecting by delta with one request a document and a poll (N9b, N10), links
# of changes that end, tokens that end on the way, apps that act for themselves by
# secret and by certificate, and sites by Sites.Selected.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use CloudsyncTest;
use FolderTest;
use GraphTest;
use TestCloud;

plan skip_all => TestCloud::missing() if TestCloud::missing();

graph_cluster('graph');

sub pushing
{
	new_dossier("D\xc3\xbcpont #$row");
	my $a = add_file('a.txt', "'alpha'");
	my $empty = add_file('empty.txt', "''");
	is(push_now('pushed'), 'create a.txt, create empty.txt', "$row: both files go");
	my $folder = "/CloudSync/D\xc3\xbcpont #$row";
	utf8::decode(my $path = $folder);
	is(there($path), 'a.txt 5, empty.txt 0', "$row: and are there");
	is(sql("SELECT count(*) FROM cloudsync.history_file WHERE error = 'unverified'"), '0', "$row: verified by their checksums");

	sql("INSERT INTO app.dossier_file (id, dossier_id, name, content) SELECT g, $dossier, 'n' || g || '.txt', convert_to('new ' || g, 'UTF8') FROM generate_series(@{[$dossier * 1000]}, @{[$dossier * 1000 + 399]}) g");
	my $mark = $cloud->mark;
	my $began = time;
	push_now('400 new small files');
	my $count = routes($mark);
	is($count->{'content.put'}, 400, "$row: each is one request");
	# (what was listed five seconds ago is listed again)
	cmp_ok(total($count), '<=', 404 + int((time - $began) / 5), "$row: and hardly any besides (N9): " . told($count));

	sql("UPDATE app.dossier_file SET content = 'alpha 2' WHERE id = $a");
	is(push_now('a changed file'), 'update a.txt', "$row: is updated");
	sql("UPDATE app.dossier_file SET name = 'b.txt' WHERE id = $a");
	is(push_now('a renamed file'), 'move b.txt', "$row: is moved");
	sql("DELETE FROM app.dossier_file WHERE id = $empty");
	is(push_now('a deleted file'), 'trash empty.txt', "$row: goes to the trash");
	sql("UPDATE app.dossier SET title = 'Other $row' WHERE id = $dossier");
	push_now('a renamed dossier');
	is(scalar(split(/, /, there("/CloudSync/Other $row"))), 401, "$row: its folder has moved");
	return $a;
}

sub customers
{
	my ($a) = @_;
	my $folder = "/CloudSync/Other $row";
	act('edit', path => "$folder/b.txt", text => 'the customer');
	sql("UPDATE app.dossier_file SET content = 'alpha 3' WHERE id = $a");
	like(push_now('somebody edited it'), qr/^conflict b \(CloudSync/, "$row: ours goes beside theirs (keep_both)");
	is(act('item', path => "$folder/b.txt")->{size}, 12, "$row: theirs is as it was");
	foreach my $policy (qw(skip overwrite))
	{
		new_dossier("$policy $row");
		my $c = add_file('c.txt', "'gamma'");
		push_now("$policy: pushed");
		sql("SELECT cloudsync_set_push('$row', on_conflict => '$policy')");
		act('edit', path => "/CloudSync/$policy $row/c.txt", text => 'the customer');
		sql("UPDATE app.dossier_file SET content = 'gamma 2' WHERE id = $c");
		push_now("$policy: somebody edited it");
		is(there("/CloudSync/$policy $row"), $policy eq 'skip' ? 'c.txt 12' : 'c.txt 7', "$row: on_conflict => $policy");
	}
	sql("SELECT cloudsync_set_push('$row', on_conflict => 'keep_both')");

	act('rename', path => '/CloudSync', name => "Clients $row");
	act('move', path => "/Clients $row/overwrite $row", to => '/Elsewhere');
	add_file('d.txt', "'delta'");
	push_now('its root was renamed, its folder moved');
	is(there("/Elsewhere/overwrite $row"), 'c.txt 7, d.txt 5', "$row: a folder is followed where its customer put it (P16)");
	is(scalar(grep { $_->{name} =~ /^CloudSync/ && $_->{kind} eq 'folder' } @{ act('tree') }), 0, "$row: and no second one is made");
	act('delete', path => "/Elsewhere/overwrite $row/d.txt");
	is(push_now('deleted there, and pushed by hand'), 'create d.txt, removed_there d.txt', "$row: what was deleted there is known, and sent since a person wants it");
	return;
}

# Files that a library of a site writes into (P17); OneDrive leaves them as they are.
sub rewriting
{
	new_dossier("Office $row");
	my $w = add_file('w.docx', "'words'");
	my $x = add_file('x.xlsx', "'cells'");
	is(push_now('files of Office'), 'create w.docx, create x.xlsx', "$row: files of Office go");
	my $mark = $cloud->mark;
	sql(q{SELECT cloudsync_resync('app.dossier')});
	is(push_now('nothing has changed') // '', '', "$row: and are not sent again");
	is(routes($mark)->{'content.put'} // 0, 0, "$row: not one");
	$cloud->act('graph', setting => { rewriting => 'late' });
	sql("UPDATE app.dossier_file SET content = 'words 2' WHERE id = $w");
	is(push_now('a changed file of Office'), 'update w.docx', "$row: a changed one is updated");
	$cloud->act('graph', 'rewrite');
	sql("UPDATE app.dossier_file SET content = 'words 33' WHERE id = $w");
	is(push_now('rewritten later'), 'update w.docx', "$row: though the service wrote into it since, it is still ours");
	$cloud->act('graph', setting => { rewriting => 'at once' });
	act('edit', path => "/Clients $row/Office $row/w.docx", text => 'by a customer');
	sql("UPDATE app.dossier_file SET content = 'words 444' WHERE id = $w");
	like(push_now('edited by a customer'), qr/^conflict w \(CloudSync/, "$row: what its customer wrote is not");

	add_file('lost.docx', "'lost words'");
	my $fault = $cloud->fault({ service => 'graph', route => 'content.put', kind => 'reset', at => 'commit' });
	push_now('the answer was lost');
	is($cloud->committed($fault), 1, "$row: an answer was lost");
	is(scalar(grep { $_->{name} =~ /^lost/ } @{ act('tree', path => "/Clients $row/Office $row") }), 1, "$row: and there is one copy");
	$cloud->clear;
	return;
}

sub sessions
{
	new_dossier("Large $row");
	my $big = add_file('big.bin', q{decode(repeat('00112233445566778899aabbccddeeff', 1966080), 'hex')}); # 30 MiB
	my $fault = $cloud->fault({ service => 'graph', route => 'upload.put', nth => 3, kind => 'stall', at => 'before' });
	my $run = sql("SELECT cloudsync_push_dossier('$dossier', '$row')");
	ok(wait_until(sub { $cloud->committed($fault) > 0 }), "$row: two of three parts are sent");
	is(sql("SELECT count(*) FROM cloudsync.pushed_file WHERE intent_session LIKE '%http%'"), '0', "$row: the upload's address is nowhere in clear");
	my $mark = $cloud->mark;
	kill('KILL', $_) foreach worker_pids($node, 'cloudsync worker');
	ok(wait_run($node, $run), "$row: a worker that was killed is followed by another, which ends the push");
	my $count = routes($mark);
	is($count->{'upload.put'}, 1, "$row: which sends the last part alone: " . told($count));
	is($count->{'upload.create'} // 0, 0, "$row: in the same upload");
	is(there("/Clients $row/Large $row"), 'big.bin 31457280', "$row: the file is whole");
	$cloud->clear;
	is(act('item', path => "/Clients $row/Large $row/big.bin")->{sha256}, sql("SELECT encode(sha256(content), 'hex') FROM app.dossier_file WHERE id = $big"),
		"$row: and has its bytes");
	is($cloud->act('graph', 'sessions')->{sessions}, 0, "$row: no upload is left");
	return;
}

sub collecting
{
	act('add', path => "/In/$_.pdf", text => "document $_ $row") foreach 1 .. 30;
	act('add', path => "/In/emoji \x{1F4C4}.pdf", text => 'with an emoji');
	act('package', path => '/In/Notes');
	sql("SELECT cloudsync_create_channel('$row', 'in $row', '{/In}', 'ann', 'Scans', auto_collect => false)");
	my $mark = $cloud->mark;
	my $run = sql("SET client_min_messages = error; SELECT cloudsync_collect('in $row')");
	ok(wait_run($node, $run), "$row: collected");
	is(sql("SELECT count(*) FROM cloudsync.document d JOIN cloudsync.connections c USING (connection_id) WHERE connection = '$row'"), '31', "$row: each document is there");
	my $count = routes($mark);
	is($count->{download}, 31, "$row: each cost one request (N9b): " . told($count));
	is($count->{'content.get'} // 0, 0, "$row: and none to be told where it is");
	is(sql("SELECT reason FROM cloudsync.items WHERE channel = 'in $row' AND name = 'Notes'"), 'A notebook, which the service does not give as a file.',
		"$row: a notebook is shown with the reason");
	$mark = $cloud->mark;
	ok(wait_run($node, sql("SET client_min_messages = error; SELECT cloudsync_collect('in $row')")), "$row: nothing new");
	is(total(routes($mark)), 1, "$row: a poll is one request (N10)");
	act('add', path => '/In/more.pdf', text => "more $row");
	act('reset_delta');
	$mark = $cloud->mark;
	ok(wait_run($node, sql("SET client_min_messages = error; SELECT cloudsync_collect('in $row')")), "$row: the link of changes has ended (410)");
	is(routes($mark)->{download}, 1, "$row: all is listed anew, and the new one alone is collected");
	$cloud->act('graph', setting => { no_links => JSON::PP::true });
	act('add', path => '/In/link.pdf', text => "link $row");
	$cloud->act('graph', 'expire_tokens');
	$mark = $cloud->mark;
	ok(wait_run($node, sql("SET client_min_messages = error; SELECT cloudsync_collect('in $row')")), "$row: a token ends on the way");
	is(routes($mark)->{download}, 1, "$row: a document without an address is asked for");
	$cloud->act('graph', setting => { no_links => JSON::PP::false });
	return;
}

# An app that acts for itself, by its secret and by its certificate.
sub clients
{
	app('sharepoint', 3, "'m~CloudSecret+3/='");
	$cloud->act('graph', change_app => { app => 'aaaaaaaa-0000-0000-0000-000000000003', app_roles => ['Sites.Selected'] });
	$cloud->act('graph', site => { path => '/sites/cases', name => 'Cases' });
	$place = { drive => { site => '/sites/cases' } };
	my @options = (tenant => 'contoso.example', site => 'https://contoso.sharepoint.com/sites/cases');
	is(sql("SELECT state FROM cloudsync_connect('sharepoint', 'secret', " . json({ client_secret => 'm~CloudSecret+3/=' }) . ", @{[options(@options)]})"),
		'active', 'an app connects by its secret');
	my ($status, $out, $err) = $node->psql('postgres', q{SELECT count(*) FROM cloudsync_browse('secret')});
	isnt($status, 0, 'Sites.Selected alone gives nothing');
	$cloud->act('graph', grant_site => { site => '/sites/cases', app => 'aaaaaaaa-0000-0000-0000-000000000003', role => 'write' });
	ok(wait_for($node, q{SELECT count(*) = 0 FROM cloudsync_browse('secret')}), 'until the site is granted');
	is($cloud->count({ service => 'graph', route => 'sites.search' }), 0, 'and no site was searched for');
	sql(q{SELECT cloudsync_disconnect('secret')});
	my $made = $cloud->act('graph', certificate => { app => 'aaaaaaaa-0000-0000-0000-000000000003' });
	is(sql("SELECT state FROM cloudsync_connect('sharepoint', 'certificate', " . json({ certificate => $made->{certificate}, private_key => $made->{private_key} })
			  . ", @{[options(@options)]})"), 'active', 'an app connects by its certificate');
	sql(q{SELECT cloudsync_set_push('certificate', auto_sync => false)});
	$row = 'certificate';
	new_dossier('By certificate');
	add_file('c.txt', "'gamma'");
	is(push_now('by certificate'), 'create c.txt', 'and pushes');
	is(there('/CloudSync/By certificate'), 'c.txt 5', 'to the site that it was granted');
	return;
}

foreach my $provider (qw(onedrive sharepoint))
{
	connect_it($provider);
	customers(pushing());
	rewriting();
	sessions();
	collecting();
	connected_folders($node, connection => $row, put => sub { act('add', path => $_[0], text => $_[1]) });
}
clients();
unlike(slurp_file($node->logfile), qr/CloudSecret/, 'no secret is in the log');

$node->stop;
done_testing();
