# The local provider stays where it belongs (S5), and what a folder may hold that
# is no document does no harm (S6): links, FIFOs, sockets, names that are not
# UTF-8. Looked at with cloudsync_connect, cloudsync_browse and cloudsync_check.
use strict;
use warnings;

use CloudsyncTest;
use File::Path qw(make_path remove_tree);
use IO::Socket::UNIX;
use POSIX qw(mkfifo);
use Test::More;

my $node = new_cluster('local');
create_extension($node);
my $root = local_root($node);
my $data = $node->data_dir;

sub set_root
{
	my ($value) = @_;
	$node->append_conf('postgresql.conf', "cloudsync.local_root = '$value'\n");
	$node->reload;
	wait_for($node, "SELECT current_setting('cloudsync.local_root') = '$value'");
	return;
}

# The error of a statement, with its HINT, or 'none'.
sub refused
{
	my ($sql, $tenant) = @_;
	$sql = "SET cloudsync.tenant = '$tenant'; $sql" if defined $tenant;
	my ($rc, $out, $err) = $node->psql('postgres', $sql);
	return $rc == 0 ? 'none' : $err;
}

sub check
{
	my ($connection) = @_;
	return $node->safe_psql('postgres',
		"SELECT state, detail FROM cloudsync_check('$connection')");
}

# --- where local_root may be ---------------------------------------------------
my $connect = "SELECT cloudsync_connect('local', 'X', options => '{\"path\": \"x\"}')";
set_root('');
like(refused($connect), qr/provider "local" is disabled.*HINT: .*A superuser sets it/s,
	'without local_root the provider is disabled');
set_root($data);
like(refused($connect), qr/overlaps with the data directory.*HINT/s, 'never the data directory');
set_root("$data/base");
like(refused($connect), qr/overlaps with the data directory/, 'nor inside of it');
set_root($node->basedir);
like(refused($connect), qr/overlaps with the data directory/, 'nor around it');
set_root('/');
like(refused($connect), qr/overlaps with the data directory/, 'nor everything');
symlink $data, $node->basedir . '/to-data' or die;
set_root($node->basedir . '/to-data');
like(refused($connect), qr/overlaps with the data directory/, 'nor by a link');
my $space = $node->basedir . '/space';
make_path($space);
$node->safe_psql('postgres', "CREATE TABLESPACE space LOCATION '$space'");
set_root($space);
like(refused($connect), qr/overlaps with a tablespace/, 'nor a tablespace');
$node->safe_psql('postgres', 'DROP TABLESPACE space');
set_root($root);

# --- paths and tenants ----------------------------------------------------------
for my $path ('..', '../x', 'a/../../x', './x', 'a//b')
{
	like(refused("SELECT cloudsync_connect('local', 'X', options => '{\"path\": \"$path\"}')"),
		qr/option "path" cannot be a folder.*HINT/s, "path $path is refused");
}
for my $tenant ('..', '.', 'a/b', '/etc', 'a b/../../c')
{
	like(refused($connect, $tenant), qr/cannot use the provider "local".*HINT/s,
		"tenant $tenant is refused");
}

$node->safe_psql('postgres', "SELECT cloudsync_connect('local', 'Box', options => '{\"path\": \"box\"}')");
$node->safe_psql('postgres', "SELECT cloudsync_connect('local', 'Linked', options => '{\"path\": \"linked\"}')");
my $outside = $node->basedir . '/outside';
write_file("$outside/secret", 'secret');
symlink $outside, "$root/linked" or die;
like(check('Linked'), qr/symbolic link/i, 'a connection whose folder is a link reaches nothing');
my ($rc, $out, $err) = $node->psql('postgres', "SELECT name FROM cloudsync_browse('Linked')");
unlike($out, qr/secret/, '... and shows nothing');

# --- what lies in a folder -------------------------------------------------------
my $box = "$root/box";
write_file("$box/letter.txt", 'letter');
write_file("$box/sub/scan.txt", 'scan');
write_file("$box/line\nfeed", 'x');
write_file("$box/caf\xe9", 'x');
write_file("$box/" . 'n' x 255, 'x');
write_file("$box/.cloudsync-0123456789abcdef.part", 'half');
mkfifo("$box/fifo", 0600) or die;
chdir $box;    # a socket's path is short
my $socket = IO::Socket::UNIX->new(Local => 'socket', Listen => 1) or die;
chdir '/';
symlink '../../outside/secret', "$box/link" or die;
symlink $outside, "$box/link-to-folder" or die;

my %kind = map { split /\|/ } split /\n/, $node->safe_psql('postgres',
	"SELECT replace(name, E'\\n', '~') || '|' || kind FROM cloudsync_browse('Box')");
is_deeply(
	\%kind,
	{
		'letter.txt' => 'file',
		'sub' => 'folder',
		'line~feed' => 'file',
		'caf\xe9' => 'file',
		'n' x 255 => 'file',
		'fifo' => 'other',
		'socket' => 'other',
		'link' => 'other',
		'link-to-folder' => 'other'
	},
	'everything is shown for what it is, our own temporary files are not');
isnt(refused("SELECT * FROM cloudsync_browse('Box', '/link-to-folder')"), 'none',
	'no link is followed');
isnt(refused("SELECT * FROM cloudsync_browse('Box', '/../linked')"), 'none', '".." leads nowhere');
like(refused("SELECT * FROM cloudsync_browse('Box', '/nothing')"), qr/nothing/, 'nor what is not there');

# --- folders by their id ----------------------------------------------------------
sub browse { return $node->safe_psql('postgres', "SELECT path FROM cloudsync_browse('Box', '$_[0]') ORDER BY path") }
sub id_of { return $node->safe_psql('postgres', "SELECT remote_id FROM cloudsync_browse('Box', '$_[0]') WHERE name = '$_[1]'") }
write_file("$box/sub/deep/er/last.txt", 'last');
my $id = id_of('/sub/deep', 'er');
is(browse("id:$id"), '/sub/deep/er/last.txt', 'a folder is listed by its id');
rename "$box/sub/deep/er", "$box/moved" or die $!;
is(browse("id:$id"), '/moved/last.txt', '... wherever it was moved to');
is(refused("SELECT * FROM cloudsync_browse('Box', 'id:" . id_of('/', 'sub') . "')"), 'none', 'one that holds others');
is(browse('id:' . id_of('/', 'sub')), "/sub/deep\n/sub/scan.txt", '... is listed one level deep');
like(refused("SELECT * FROM cloudsync_browse('Box', 'id:4711:0')"),
	qr/no folder of the account has the id "4711:0"/, 'an id that is not there');
like(refused("SELECT * FROM cloudsync_browse('Box', 'id:" . id_of('/', 'letter.txt') . "')"),
	qr/no folder of the account has the id/, 'or is a file\'s');
like(refused("SELECT * FROM cloudsync_browse('Box', 'id:' || repeat('x', 5000))"), qr/is too long/, 'or is too long');
$node->safe_psql('postgres', "SELECT cloudsync_connect('local', 'Sub', options => '{\"path\": \"box/sub\"}')");
like(refused("SELECT * FROM cloudsync_browse('Sub', 'id:$id')"), qr/no folder of the account has the id/,
	'or of a folder outside of the account');
my $channel = $node->safe_psql('postgres', "SELECT cloudsync_add_recipient('clerk');
	SELECT cloudsync_create_channel('Box', 'by id', ARRAY['id:$id'], 'clerk', 'tray', auto_collect => false); SELECT cloudsync_collect('by id')");
ok(wait_run($node, (split /\n/, $channel)[-1]), 'a channel takes the same address');
is($node->safe_psql('postgres', 'SELECT remote_path FROM cloudsync.document'), '/moved/last.txt', '... and collects from there');

# --- the folder goes, and comes again ------------------------------------------------
like(check('Box'), qr/^active\|/, 'the connection is well');
rename $root, "$root.away" or die;
like(check('Box'), qr/local_root/, 'a missing root is named');
rename "$root.away", $root or die;
like(check('Box'), qr/^active\|/, 'and all is well once it is there again');

# A folder that was there is never made anew: its disk may not be mounted.
$node->safe_psql('postgres', "CREATE TABLE dossier (id int PRIMARY KEY, title text);
	CREATE TABLE file (id int PRIMARY KEY, dossier_id int REFERENCES dossier, file_name text, content bytea);
	INSERT INTO dossier VALUES (1, 'One'); INSERT INTO file VALUES (1, 1, 'a.txt', 'a');
	SELECT cloudsync_track('dossier', 'file');
	SELECT cloudsync_connect('local', 'Disk', options => '{\"path\": \"disk/app\"}');
	SELECT cloudsync_set_push('Disk')");
sub pushes { return $node->safe_psql('postgres', "SELECT cloudsync_push_dossier('1', '$_[0]')") }
ok(wait_run($node, pushes('Disk')), 'a folder that never was is made');
rename "$root/disk", "$root.disk" or die;
$node->safe_psql('postgres', "UPDATE file SET content = 'b'");
pushes('Disk');
wait_for($node, "SELECT reason ~ 'folder \"disk\" .* was there and is away.*Mount the disk' FROM cloudsync.connections WHERE connection = 'Disk'");
like($node->safe_psql('postgres', "SELECT cloudsync_connect('local', 'Disk', options => '{\"path\": \"disk/app\"}'); SELECT detail FROM cloudsync_check('Disk')"),
	qr/was there and is away/, 'one that is away is missed, also by who connects once more');
$node->safe_psql('postgres', "SELECT cloudsync_disable('Disk'), cloudsync_enable('Disk'), cloudsync_push_dossier('1', 'Disk')");
wait_for($node, "SELECT reason ~ 'was there and is away' FROM cloudsync.connections WHERE connection = 'Disk'");
ok(!-e "$root/disk", 'nothing is written where it was');
rename "$root.disk", "$root/disk" or die;
ok(wait_run($node, pushes('Disk')), 'the push goes on as soon as it is there again');
wait_for($node, "SELECT reason IS NULL FROM cloudsync.connections WHERE connection = 'Disk'");
is(read_file("$root/disk/app/CloudSync/One/a.txt"), 'b', '... with what was changed meanwhile');
make_path("$root/new/app");
$node->safe_psql('postgres', "SELECT cloudsync_connect('local', 'New', options => '{\"path\": \"new/app\"}')");
remove_tree("$root/new");
$node->safe_psql('postgres', "SELECT cloudsync_set_push('New')");
wait_for($node, "SELECT reason ~ 'was there and is away' FROM cloudsync.connections WHERE connection = 'New'");
ok(!-e "$root/new", 'nor is one that was there when it was connected');
make_path("$root/new/app");
$node->safe_psql('postgres', "SELECT cloudsync_disable('New'), cloudsync_enable('New')");
ok(wait_run($node, pushes('New')), 'whoever makes it has it filled');
ok(-e "$root/new/app/CloudSync/One/a.txt", '... there');

done_testing();
