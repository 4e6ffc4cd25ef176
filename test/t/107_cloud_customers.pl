# What customers do at Google Drive and at Dropbox to the root, to dossiers' folders and
# to pushed files (P8, P16), and what they drop: files of no byte, of one more than a
# chunk, with names that other services or systems forbid (L4).
use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use CloudsyncTest;
use DropboxTest;
use GdriveTest ();
use TestCloud;

plan skip_all => TestCloud::missing() if TestCloud::missing();

my ($node, $cloud) = dropbox_cluster('customers', conf => "cloudsync.max_trash = 5000\n");
my ($drive, $s, $first, $second);
sql(q{SELECT cloudsync_add_recipient('ann')});

# --- the acts, in the words of each service -----------------------------------------------

sub act { my ($act, %told) = @_; return $cloud->act($DropboxTest::service, $act => \%told) }
sub add { my ($path, $text) = @_; return act(add => path => $path, text => $text, content => $text) }
sub edit { my ($path, $text) = @_; return act(edit => path => $path, text => $text, content => $text) }
sub trash { my ($path) = @_; return act($drive ? 'trash' : 'delete', path => $path) }

sub move
{
	my ($path, $to) = @_;
	my ($folder, $name) = $to =~ m{^(.*)/([^/]+)$};
	return act(move => path => $path, $drive ? (to => $folder || '/', name => $name) : (to => $to));
}

sub restore { my ($path) = @_; return act($drive ? 'untrash' : 'restore', path => $path) }

sub names { my ($folder) = @_; return join(' ', sort keys %{ remote($folder) }) }
sub states { my ($dossier) = @_; return sql("SELECT string_agg(f.name || ' ' || s.state, ',' ORDER BY f.name) FROM cloudsync.files s JOIN app.dossier_file f ON f.id::text = s.file_key WHERE f.dossier_id = $dossier AND s.connection = '$DropboxTest::connection'") }

sub collect
{
	my ($what) = @_;
	my $run = sql("SET client_min_messages = error; SELECT cloudsync_collect('$DropboxTest::connection')");
	ok(wait_run($node, $run), "$s: $what") or diag(sql("SELECT error FROM cloudsync.history WHERE run_id = $run"));
	return sql("SELECT string_agg(name, ',' ORDER BY name COLLATE \"C\") FROM cloudsync.document WHERE run_id = $run");
}

# --- folders that are renamed, moved, deleted (P16) -------------------------------------------

my $root = "/Cabinet \x{1f600}";

sub folders
{
	sql(qq{INSERT INTO app.dossier (id, title) VALUES ($first, 'D1'), ($second, 'D2');
		INSERT INTO app.dossier_file (dossier_id, name, content) SELECT d, f, convert_to(f || d, 'UTF8') FROM generate_series($first, $second) d, unnest('{a,b,c}'::text[]) f});
	idle("$s: pushed");
	is_same("$s: pushed");
	move('/CloudSync', $root);
	sql(qq{INSERT INTO app.dossier_file (dossier_id, name, content) VALUES ($first, 'd', 'in a renamed root')});
	idle("$s: a renamed root");
	is(names($root), 'D1/a D1/b D1/c D1/d D2/a D2/b D2/c', "$s: a root that was renamed is where it is written to");
	is(names('/CloudSync'), '', "$s: and no second one is made");

	move("$root/D1", '/Elsewhere/Theirs');
	sql(qq{UPDATE app.dossier_file SET content = 'where it is now' WHERE dossier_id = $first AND name = 'a';
		INSERT INTO app.dossier_file (dossier_id, name, content) VALUES ($first, 'e', 'new')});
	idle("$s: a moved folder");
	is(names('/Elsewhere/Theirs'), 'a b c d e', "$s: a folder that was moved and renamed is where it is written to");
	is(names($root), 'D2/a D2/b D2/c', "$s: and no second one is made");
	sql(qq{UPDATE app.dossier SET title = 'D1 anew' WHERE id = $first});
	idle("$s: another name");
	is(names($root) . '|' . names('/Elsewhere'), 'D1 anew/a D1 anew/b D1 anew/c D1 anew/d D1 anew/e D2/a D2/b D2/c|',
		"$s: it stays there until the database's own name changes");
	return;
}

sub deletions
{
	trash("$root/D2");
	sql(qq{UPDATE app.dossier_file SET content = 'changed' WHERE dossier_id = $second AND name = 'b'});
	idle("$s: a deleted folder");
	is(names("$root/D2"), 'b', "$s: of a folder that was deleted, what changes in the database is sent");
	is(states($second), 'a removed_there,b synced,c removed_there', "$s: and the rest stays deleted");
	act('empty_trash');
	sql(qq{UPDATE app.dossier_file SET content = 'changed again' WHERE dossier_id = $second AND name = 'b'});
	idle("$s: an emptied trash");
	is(names("$root/D2"), 'b', "$s: that the trash was emptied changes nothing");
	push_all($second);
	is(names("$root/D2"), 'a b c', "$s: what somebody pushes by hand is there again");
	act(delete => path => "$root/D2");
	push_all($second);
	is(names("$root/D2"), 'a b c', "$s: after a deletion for good too");
	is_same("$s: all", undef, $root);
	restored("$root/D2");
	trash($root);
	sql(qq{UPDATE app.dossier_file SET content = 'changed once more' WHERE dossier_id = $second AND name = 'b'});
	idle("$s: a deleted root");
	is(names($root), 'D2/b', "$s: of a root that was deleted, what changes is sent to a new one");
	push_all($_) foreach $first, $second;
	is_same("$s: a new root", undef, $root);
	return;
}

# What comes back from the trash is what it was, wherever it is moved then (P16).
sub restored
{
	my ($folder) = @_;
	my $id = sub { my ($path) = @_; return (grep { $_->{path} eq $path } @{ act(tree => path => '/') })[0]{id} };
	my @before = map { $id->("$folder/$_") } qw(a c);
	trash("$folder/$_") foreach qw(a c);
	sql(qq{UPDATE app.dossier_file SET content = 'b while others are away' WHERE dossier_id = $second AND name = 'b'});
	idle("$s: two in the trash");
	is(states($second), 'a removed_there,b synced,c removed_there', "$s: two files are in the trash");
	restore("$folder/$_") foreach qw(a c);
	move("$folder/c", '/Elsewhere/c');
	sql(qq{UPDATE app.dossier_file SET content = 'c came back' WHERE dossier_id = $second AND name = 'c'});
	idle("$s: both are restored");
	is(states($second), 'a synced,b synced,c synced', "$s: files that came back from the trash are known again");
	is(names($folder), 'a b', "$s: and not sent beside what is there");
	is(remote('/Elsewhere')->{c}, sha256_hex('c came back'), "$s: what has changed meanwhile goes to where it is now");
	is(join(' ', $id->("$folder/a"), $id->('/Elsewhere/c')), "@before", "$s: they are the files that they were");
	move('/Elsewhere/c', "$folder/c");
	return;
}

# --- pushed files that are edited (P8) -----------------------------------------------------------

sub edits
{
	my $folder = "$root/D2";
	edit("$folder/a", 'by the customer');
	sql(qq{UPDATE app.dossier_file SET content = 'b is ours' WHERE dossier_id = $second AND name = 'b'});
	idle("$s: an edited file");
	is(remote($folder)->{a}, sha256_hex('by the customer'), "$s: what the customer edits stays while it does not change here");
	is(remote($folder)->{b}, sha256_hex('b is ours'), "$s: and others are sent");
	sql(qq{UPDATE app.dossier_file SET content = 'a is ours' WHERE dossier_id = $second AND name = 'a'});
	idle("$s: an edited file that changes here");
	is(remote($folder)->{a}, sha256_hex('by the customer'), "$s: and when it does");
	is(join(',', map { s/\d{4}-\d\d-\d\d \d\dh\d\d/now/r } grep { /^a./ } keys %{ remote($folder) }), 'a (CloudSync now)', "$s: ours is beside it");
	move("$folder/c", "$folder/c by another name");
	sql(qq{UPDATE app.dossier_file SET content = 'c is ours' WHERE dossier_id = $second AND name = 'c'});
	idle("$s: a renamed file");
	is(remote($folder)->{'c by another name'}, sha256_hex('c is ours'), "$s: a file that was renamed is written to where it is");
	is(remote($folder)->{c}, undef, "$s: alone");
	return;
}

# --- what customers drop (L4, L7) ---------------------------------------------------------------------

sub drops
{
	my $connection = $DropboxTest::connection;
	my $mine = "FROM cloudsync.document d JOIN cloudsync.connections c USING (connection_id) WHERE c.connection = '$connection'";
	my @names = ('empty', "emoji \x{1f600}\x{1f468}\x{200d}\x{1f469}.pdf", 'CON', 'nul.txt', 'a<b>c:d"e|f?g*.txt', ' leading', "e\x{301}t\x{e9}.txt",
		'~$lock.docx', '.hidden', '100% #1 & +.txt', "quote's", '_vti_', 'x' x 250 . '.txt', $drive ? ('trailing dot.', 'trailing ', 'back\\slash', "tab\tand") : ());
	add("/Drop/$_", $_ eq 'empty' ? '' : "content of $_") foreach @names;
	act(add => path => '/Drop/chunk.bin', size => 1048577);
	act(add => path => '/Drop/piece.bin', size => 16 * 1048576 + 1);
	my $more = 2;
	if ($drive)
	{
		act(add => path => '/Drop/x', name => $_, text => "content of $_") foreach 'a/b', '.', '..';
		act(add => path => '/Drop/twin.txt', text => "twin $_", twin => \1) foreach 1, 2;
		$more += 5;
	}
	sql("SELECT cloudsync_create_channel('$connection', '$connection', '{/Drop}', 'ann', 'post', auto_collect => false)");
	collect('what was dropped');
	is(sql("SELECT count(*), sum((sha256 = sha256(cloudsync_content(document_id)))::int) $mine"), join('|', (@names + $more) x 2), "$s: all is collected, whole");
	is(sql("SELECT string_agg(d.name || ' ' || d.size, ',' ORDER BY d.size) $mine AND (d.size = 0 OR d.size > 1000000)"),
		'empty 0,chunk.bin 1048577,piece.bin 16777217', "$s: with no byte, and with one more than a chunk");
	my %wanted = map { my $name = $_; utf8::encode($name); ($name => 1) } @names;
	delete $wanted{$_} foreach split /\n/, sql("SELECT d.name $mine");
	is(join('|', keys %wanted), '', "$s: under the names that they have");
	is(sql("SELECT string_agg(d.name, '|' ORDER BY d.name COLLATE \"C\") $mine AND d.size < 20 AND cloudsync_content(d.document_id) IN ('content of a/b', 'content of .', 'content of ..')"),
		$drive ? "a\xe2\x88\x95b|\xe2\x80\xa4|\xe2\x80\xa4\xe2\x80\xa4" : '', "$s: but for those that no path can have");
	is(collect('once more'), '', "$s: nothing is collected twice");
	move('/Drop/CON', '/Drop/renamed');
	move('/Drop/.hidden', '/Drop/sub/.hidden');
	move('/Drop', '/Dropped');
	is(collect('renamed'), '', "$s: though it is renamed or moved");
	trash('/Dropped/renamed');
	act('empty_trash');
	edit('/Dropped/nul.txt', 'edited');
	is(collect('deleted and edited'), '', "$s: nor when it is deleted or edited");
	is(sql("SELECT string_agg(name || ' ' || state, ',' ORDER BY name) FROM cloudsync.items WHERE channel = '$connection' AND path LIKE '/Dropped/%' AND name IN ('nul.txt', 'renamed')"),
		'nul.txt changed,renamed gone', "$s: which its items say");
	return;
}

foreach (qw(Dropbox Drive))
{
	($s, $drive) = ($_, $_ eq 'Drive');
	($first, $second) = $drive ? (11, 12) : (1, 2);
	$DropboxTest::connection = $s;
	GdriveTest::use_gdrive($node, $cloud) if $drive;
	is($drive ? GdriveTest::connect_gdrive($s) : connect_dropbox($s), 'active', "$s: connected");
	sql("SELECT cloudsync_set_push('$s', auto_sync => true, every => '1 second', on_delete => 'trash', folder => '{dossier_label}')");
	folders();
	deletions();
	edits();
	drops();
	is(sql("SELECT count(*) FROM cloudsync_status() WHERE subject ~ '$s' AND problem !~ 'changed in the folder after'"), 0, "$s: all is well") or diag(sql('SELECT subject, problem FROM cloudsync_status()'));
	sql("SELECT cloudsync_set_push('$s', auto_sync => false); DELETE FROM app.dossier");
}

$node->stop;
done_testing();
