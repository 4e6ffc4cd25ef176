# What customers do to OneDrive and SharePoint: they rename the root, move a dossier's
# folder, delete it, empty the trash, edit what was pushed (P16, P8); they drop, rename,
# move, delete and bring back what is collected (L4, L10); names that Microsoft keeps
# for itself (P10), and which library of a site is meant.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use CloudsyncTest;
use GraphTest;
use TestCloud;

plan skip_all => TestCloud::missing() if TestCloud::missing();

graph_cluster('graph_acts');

my $emoji = "\xf0\x9f\x93\x84";
my @reserved = (
	[ 'CON', 'CON-' ], [ 'con.txt', 'con-.txt' ], [ 'LPT9.tar.gz', 'LPT9-.tar.gz' ], [ 'desktop.ini', 'desktop-.ini' ], [ '.lock', '-lock' ],
	[ '~$a.docx', '-$a.docx' ], [ 'a_vti_b.txt', 'a-vti_b.txt' ], [ '  lead', 'lead' ], [ 'trail. . ', 'trail' ], [ 'a:b*c?.txt', 'a-b-c-.txt' ],
	[ 'R&#38;D 100%0A.txt', 'R-#38;D 100-0A.txt' ], [ '~draft.txt', '~draft.txt' ], [ "$emoji.txt", "$emoji.txt" ], [ 'CONTRACT.txt', 'CONTRACT.txt' ],
	[ "'x' + y & z#1;@!.txt", "'x' + y & z#1;@!.txt" ], [ 'forms', 'forms' ], [ 'Thumbs.db', 'Thumbs.db' ]);

# Names of files at or below a path, in bytes.
sub names
{
	my ($path) = @_;
	my @names = map { $_->{name} } tree_of($path);
	utf8::encode($_) foreach @names;
	return join('|', sort @names);
}

# What an automatic push has done to the dossier's files, once it is over.
sub pushed_by_itself
{
	my ($what, $sql) = @_;
	my $before = sql('SELECT COALESCE(max(run_id), 0) FROM cloudsync.run');
	sql("SELECT cloudsync_set_push('$row', auto_sync => true, every => '1 second'); $sql");
	ok(wait_for($node, "SELECT count(*) > 0 FROM cloudsync.history WHERE kind = 'push' AND dossier = '$dossier' AND run_id > $before AND finished_at IS NOT NULL
		AND NOT EXISTS (SELECT FROM cloudsync.change) AND NOT EXISTS (SELECT FROM cloudsync.due)"), "$row: $what");
	sql("SELECT cloudsync_set_push('$row', auto_sync => false)");
	return sql("SELECT string_agg(action || ' ' || regexp_replace(path, '^.*/', ''), ', ' ORDER BY path COLLATE \"C\", action)
		FROM cloudsync.history_file JOIN cloudsync.history USING (run_id) WHERE run_id > $before AND history.dossier = '$dossier'");
}

sub update { my ($name, $text) = @_; return "UPDATE app.dossier_file SET content = '$text' WHERE dossier_id = $dossier AND name = '$name'"; }

sub names_there
{
	foreach my $title ('AUX', '~draft', 'nul.2026')
	{
		new_dossier($title);
		add_file('a.txt', "'alpha'");
		push_now("a dossier named $title");
	}
	is(names('/CloudSync/AUX-') . names('/CloudSync/-draft') . names('/CloudSync/nul-.2026'), 'a.txt' x 3, "$row: folders have names that are taken");
	new_dossier('Names');
	my $n = 0;
	add_file($_->[0] =~ s/'/''/gr, "'content " . ++$n . "'") foreach @reserved;
	push_now('names that the service does not take');
	is(names('/CloudSync/Names'), join('|', sort map { $_->[1] } @reserved), "$row: each has one that it takes");
	my $mark = $cloud->mark;
	sql(q{SELECT cloudsync_resync('app.dossier')});
	is(push_now('once more') // '', '', "$row: and keeps it");
	add_file('CON-', "'another'");
	is(push_now('a name that another was given'), 'create CON- (2)', "$row: is numbered");
	is(sql("SELECT name FROM cloudsync_browse('$row', '/CloudSync/Names') WHERE name LIKE 'CON%' ORDER BY name COLLATE \"C\" LIMIT 1"), 'CON-', "$row: which browsing shows");
	return;
}

sub folders
{
	new_dossier("Dupont $row");
	add_file("$_.txt", "'$_'") foreach qw(a b c);
	push_now('three files');
	act('delete', path => "/CloudSync/Dupont $row");
	like(pushed_by_itself('its folder was deleted, one file changed', update('a.txt', 'a 2')), qr/a\.txt/, "$row: the changed one goes");
	is(names("/CloudSync/Dupont $row"), 'a.txt', "$row: the others stay deleted (P16)");
	is(sql("SELECT string_agg(state, ',' ORDER BY path) FROM cloudsync.files WHERE dossier = '$dossier'"), 'synced,removed_there,removed_there', "$row: which is shown");
	act('empty_trash');
	push_now('pushed by hand');
	is(names("/CloudSync/Dupont $row"), 'a.txt|b.txt|c.txt', "$row: a person who wants them gets them");

	restored("/CloudSync/Dupont $row") if $row eq 'onedrive';
	act('rename', path => '/CloudSync', name => "Clients");
	act('move', path => "/Clients/Dupont $row", to => '/Archive 2026', name => 'Dupont (closed)');
	is(pushed_by_itself('the root is renamed, the folder moved and renamed', update('b.txt', 'b 2')), 'update b.txt', "$row: one file goes");
	is(there('/Archive 2026/Dupont (closed)'), 'a.txt 3, b.txt 3, c.txt 1', "$row: to where its folder is now");
	new_dossier("Martin $row");
	add_file('m.txt', "'m'");
	push_now('a new dossier');
	is(names("/Clients/Martin $row"), 'm.txt', "$row: is below the root under its new name");
	is(join(',', sort map { $_->{name} } grep { $_->{path} =~ m{^/[^/]+$} && $_->{name} =~ /^CloudSync/ } @{ act('tree') }), '', "$row: and there is no second root");
	$dossier--;

	sql("UPDATE app.dossier SET title = 'Dupont $row SA' WHERE id = $dossier");
	push_now('the database gives another name');
	is(join(',', sort map { $_->{path} =~ m{/Dupont $row SA/(.*)} } tree_of('/')), 'a.txt,b.txt,c.txt', "$row: there is one copy of each");
	sql("DELETE FROM app.dossier_file WHERE dossier_id = $dossier AND name = 'c.txt'");
	push_now('a file is deleted in the database');
	act('empty_trash');
	is(push_now('and the trash is emptied') // '', '', "$row: nothing more is to be done");
	sql("DELETE FROM app.dossier_file WHERE dossier_id = $dossier AND name = 'b.txt'");
	my ($b) = grep { $_->{name} eq 'b.txt' && $_->{path} =~ /Dupont $row SA/ } tree_of('/');
	act('delete', id => $b->{id});
	push_now('deleted on both sides');
	is(scalar(grep { $_->{path} =~ /Dupont $row SA\/.*\.txt/ } tree_of('/')), 1, "$row: it is gone, and the other is there");

	act('delete', path => '/Clients');
	act('empty_trash');
	$dossier++;
	push_now('the root is deleted for good');
	is(scalar(grep { $_->{name} eq 'm.txt' } tree_of('/')), 1, "$row: it is made anew, with one copy");
	return;
}

# What comes back from the recycle bin is what it was, wherever it is moved then (P16).
sub restored
{
	my ($folder) = @_;
	my %id = map { $_->{name} => $_->{id} } tree_of($folder);
	act('delete', path => "$folder/$_.txt") foreach qw(b c);
	pushed_by_itself('two are in the recycle bin', update('a.txt', 'a 3'));
	act('restore', id => $id{"$_.txt"}) foreach qw(b c);
	act('move', path => "$folder/c.txt", to => '/Elsewhere');
	like(pushed_by_itself('both are restored', update('c.txt', 'C')), qr/restored_there b.txt.*update c.txt/, "$row: which is noticed");
	is(names($folder), 'a.txt|b.txt', "$row: nothing is sent beside what is there");
	is(sql("SELECT string_agg(state, ',') FROM cloudsync.files WHERE dossier = '$dossier'"), 'synced,synced,synced', "$row: all three are known again");
	is(join(' ', map { "$_->{name} $_->{size} " . ($_->{id} eq $id{'c.txt'}) } tree_of('/Elsewhere')), 'c.txt 1 1', "$row: what has changed meanwhile goes to where it is now");
	act('move', path => '/Elsewhere/c.txt', to => $folder);
	return;
}

sub edits
{
	new_dossier('Edits');
	add_file("$_.txt", "'$_'") foreach qw(kept moved gone);
	push_now('three files');
	my ($folder) = map { $_->{path} =~ s{/[^/]+$}{}r } grep { $_->{name} eq 'kept.txt' } tree_of('/');
	act('edit', path => "$folder/kept.txt", text => 'the customer');
	act('rename', path => "$folder/moved.txt", name => 'their name.txt');
	act('delete', path => "$folder/gone.txt");
	my $done = pushed_by_itself('all three have changed', join('; ', map { update("$_.txt", "$_ 2") } qw(kept moved gone)));
	like($done, qr/conflict kept \(CloudSync/, "$row: an edited one is a conflict");
	my %found = map { ($_->{name} =~ s/ \(CloudSync [^)]*\)/ (marked)/r) => $_->{size} } tree_of($folder);
	is_deeply(\%found, { 'kept.txt' => 12, 'kept (marked).txt' => 6, 'their name.txt' => 7, 'gone.txt' => 6 },
		"$row: theirs is as it was, a name that they gave stays, what is new goes (P8, P16)");
	act('lock', path => "$folder/their name.txt");
	sql(update('moved.txt', 'moved 33'));
	like(push_error(), qr/^partial: .*somebody has it open/, "$row: one that is open in Office waits");
	act('lock', path => "$folder/their name.txt", on => JSON::PP::false);
	push_now('it is closed');
	return;
}

sub documents { return sql("SELECT string_agg(d.name || ' ' || d.size, ', ' ORDER BY d.name COLLATE \"C\") FROM cloudsync.document d JOIN cloudsync.channel c USING (channel_id) WHERE c.name = 'in $row' AND d.run_id = $_[0]") }

sub drops
{
	my $mib = 1024 * 1024;
	my @odd = ('.DS_Store', "100% #1 + 'x' & y;z@!\$.txt", 'Thumbs.db', "\x{1F4C4} \x{1F468}\x{200D}\x{1F469}.pdf", "e\x{301}t\x{e9}.txt", '%2e%2e%2fup.txt', 'two  spaces.txt');
	act('add', path => '/In/empty.pdf', text => '');
	act('add', path => '/In/chunk.bin', size => $mib);
	act('add', path => '/In/chunk and one.bin', size => $mib + 1);
	act('add', path => "/In/$_", text => "odd $_") foreach @odd;
	act('add', path => '/In/sub/below.txt', text => 'below');
	sql("SELECT cloudsync_create_channel('$row', 'in $row', '{/In}', 'ann', 'Scans', auto_collect => false)");
	my $run = collect_now("in $row", 'what was dropped');
	is(sql("SELECT count(*) || ' ' || count(*) FILTER (WHERE size IN (0, $mib, $mib + 1)) || ' ' || bool_and(size = length(cloudsync_content(document_id)))
		FROM cloudsync.document WHERE run_id = $run"), (4 + @odd) . ' 3 true', "$row: all of it, of nothing too, and of one byte more than a chunk");
	my @names = sort map { utf8::encode(my $name = $_); $name } @odd;
	is(sql("SELECT string_agg(name, '|' ORDER BY name COLLATE \"C\") FROM cloudsync.document WHERE run_id = $run AND size BETWEEN 1 AND 1000 AND name <> 'below.txt'"),
		join('|', @names), "$row: under the names it had");

	act('rename', path => '/In/chunk.bin', name => 'renamed.bin');
	act('move', path => '/In/sub/below.txt', to => '/In');
	act('touch', path => '/In/Thumbs.db');
	act('edit', path => '/In/empty.pdf', text => 'something');
	act('delete', path => '/In/.DS_Store');
	$run = collect_now("in $row", 'renamed, moved, touched, edited, deleted');
	is(documents($run), '', "$row: nothing is collected again (L4)");
	is(sql("SELECT string_agg(name || ' ' || state, ', ' ORDER BY name COLLATE \"C\") FROM cloudsync.items WHERE channel = 'in $row' AND name IN ('renamed.bin', 'below.txt', 'empty.pdf', '.DS_Store') AND path NOT LIKE '/In/sub/%'"),
		'.DS_Store gone, below.txt collected, empty.pdf changed, renamed.bin collected', "$row: what became of them is shown");
	act('rename', path => '/In', name => 'Incoming');
	act('add', path => '/Incoming/later.txt', text => 'later');
	is(documents(collect_now("in $row", 'the folder is renamed')), 'later.txt 5', "$row: it is followed, and the new one alone is collected");
	act('delete', path => '/Incoming');
	collect_now("in $row", 'the folder is deleted', 'failed');
	like(sql("SELECT state || ' ' || last_error FROM cloudsync.folders WHERE channel = 'in $row'"), qr/./, "$row: which is said");
	act('add', path => '/In/new.txt', text => 'new');
	act('add', path => '/In/again.txt', text => 'below');
	is(documents(collect_now("in $row", 'there is another of that name')), 'new.txt 3', "$row: what is new in it is collected, the same bytes are not");
	return;
}

# Which library of which site.
sub libraries
{
	my $grant = $cloud->act('graph', grant => { app => 'aaaaaaaa-0000-0000-0000-000000000001', user => 'anna@contoso.example', scopes => [ 'Sites.ReadWrite.All', 'offline_access' ] });
	my $token = json({ refresh_token => $grant->{refresh_token} });
	my $team = 'https://contoso.sharepoint.com/sites/team-a';
	$cloud->act('graph', library => { site => '/sites/team-a', name => 'Clients & Fils' });
	foreach my $case ([ 'default', undef ], [ 'by name', 'archive' ], [ 'with signs', 'Clients & Fils' ], [ 'none', 'Nowhere' ])
	{
		my ($name, $library) = @$case;
		sql("SELECT cloudsync_connect('sharepoint', '$name', $token, @{[options(site => $team, $library ? (library => $library) : ())]})");
		if ($name eq 'none')
		{
			ok(wait_for($node, "SELECT reason LIKE '%has no library \"Nowhere\"%' FROM cloudsync.connections WHERE connection = '$name'"), "a library that is not there is said")
			  or diag(sql("SELECT state, reason FROM cloudsync.connections WHERE connection = '$name'"));
			next;
		}
		ok(wait_for($node, "SELECT account IS NOT NULL FROM cloudsync.connections WHERE connection = '$name'"), "$name: the library is found");
	}
	is(sql("SELECT count(DISTINCT account) FROM cloudsync.connections WHERE connection IN ('default', 'by name', 'with signs')"), '3', 'each is a drive of its own');
	is(sql("SELECT count(DISTINCT account) FROM cloudsync.connections WHERE connection IN ('sharepoint', 'by name')"), '1', 'one library by two names is one account');
	sql("SELECT cloudsync_connect('sharepoint', 'site', $token, @{[options(site => 'https://contoso.sharepoint.com/sites/other')]})");
	ok(wait_for($node, q{SELECT reason LIKE '%no such site or library%' FROM cloudsync.connections WHERE connection = 'site'}), 'a site that is not there is said')
	  or diag(sql(q{SELECT state, reason FROM cloudsync.connections WHERE connection = 'site'}));
	my ($status, $out, $err) = $node->psql('postgres', "SELECT cloudsync_connect('sharepoint', 'none', $token, @{[options(site => 'ftp://contoso')]})");
	like($err, qr/option "site" is no http or https address/, 'an address that is none is refused');
	return;
}

foreach my $provider (qw(onedrive sharepoint))
{
	connect_it($provider);
	names_there();
	folders();
	edits() if $row eq 'onedrive';
	drops() if $row eq 'sharepoint';
}
libraries();

$node->stop;
done_testing();
