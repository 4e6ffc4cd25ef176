# The recipes of docs/cookbook.md, as they stand there, against the programs that
# they speak of: what each promises is looked at afterwards.
use strict;
use warnings;

use CloudsyncTest;
use DocsTest;
use Test::More;

$ENV{CLOUDSYNC_TREE} or plan skip_all => 'runs from test/run.sh';

my $page = 'docs/cookbook.md';

# What the quick start's second step leaves: role app, an own database, functions in sync.
sub firm
{
	my ($node, $db) = @_;
	$node->safe_psql('postgres', 'CREATE ROLE app LOGIN')
	  unless $node->safe_psql('postgres', q{SELECT 1 FROM pg_roles WHERE rolname = 'app'});
	$node->safe_psql('postgres', "CREATE DATABASE $db OWNER app");
	$node->safe_psql($db, 'CREATE SCHEMA sync; CREATE SCHEMA app AUTHORIZATION app');
	create_extension($node, $db, 'sync');
	$node->safe_psql($db, <<"SQL");
GRANT USAGE ON SCHEMA sync TO app;
GRANT cloudsync_admin TO app;
ALTER DATABASE $db SET search_path = app, public, sync;
SQL
	return;
}

sub as_app
{
	my ($node, $db, $sql) = @_;
	return $node->safe_psql($db, $sql, extra_params => [ '-U', 'app' ]);
}

# --- pg_cron, begun first: it looks at the clock once a minute -----------------------

my $cron;
chomp(my $libraries = `'$ENV{PG_CONFIG}' --pkglibdir`);
my $cron_is_there = -e "$libraries/pg_cron.so";
if ($cron_is_there)
{
	$cron = new_cluster('cron', preload => 0, start => 0);
	my $socket = $cron->host;
	my $me = getpwuid($<);
	$cron->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = 'pg_cron'
cron.database_name = 'firm'
cron.host = '$socket'
CONF
	# the recipe's lines, with the user that this server runs as
	my $hba = read_file($cron->data_dir . '/pg_hba.conf');
	my ($let_in, $map) = map { $_->{text} =~ s/ +#.*//r } grep { $_->{language} eq 'conf' && $_->{text} =~ /peer map|^cron +postgres/ }
	  page_section($page, 'Without preload: pg_cron does the work');
	$map =~ s/postgres/$me/;
	write_file($cron->data_dir . '/pg_hba.conf', $let_in . $hba);
	$cron->append_conf('pg_ident.conf', $map);
	$cron->start;
	firm($cron, 'firm');
	my @blocks = grep { $_->{language} eq 'sql' } page_section($page, 'Without preload: pg_cron does the work');
	run_blocks($cron, 'firm', [ $blocks[0] ]);
	as_app($cron, 'firm', <<'SQL');
CREATE TABLE dossier (id bigint PRIMARY KEY, title text);
CREATE TABLE dossier_file (id bigint PRIMARY KEY, dossier_id bigint REFERENCES dossier, name text, content bytea);
SELECT cloudsync_connect('local', 'Drive');
SELECT cloudsync_track('dossier', 'dossier_file');
SELECT cloudsync_set_push('Drive', every => '1 second');
INSERT INTO dossier VALUES (1, 'Lease');
INSERT INTO dossier_file VALUES (1, 1, 'lease.txt', 'a lease');
SQL
}

# --- many customers in one database ---------------------------------------------------

my $node = new_cluster('kitchen', conf => "max_worker_processes = 32\ncloudsync.ocr = on\n");
my $root = local_root($node);
firm($node, 'tenants');
mkdir "$root/acme";
mkdir "$root/globex";
run_blocks($node, 'tenants', [ page_section($page, 'Many customers in one database') ]);
foreach (['acme', 1], ['globex', 2])
{
	my ($tenant, $dossier) = @$_;
	$node->safe_psql('tenants', "SET cloudsync.tenant = '$tenant'; SELECT cloudsync_push_dossier('$dossier')", extra_params => [ '-U', 'portal' ]);
}
ok(wait_for($node, q{SELECT count(*) = 2 FROM cloudsync.dossiers WHERE state = 'synced'}, 't', 'tenants'),
	'each customer is pushed to');
is_deeply([ grep { /Lease|Patent/ } tree($root) ], [ 'acme/CloudSync/Lease of 12 High Street/', 'globex/CloudSync/Patent 4711/' ],
	'... their own storage, and no other');
my (undef, undef, $err) = $node->psql('tenants', q{SELECT cloudsync_push_dossier('1')}, extra_params => [ '-U', 'portal' ]);
like($err, qr/no tenant is set for this session/, 'a request without a tenant is an error');
is($node->safe_psql('tenants', q{SELECT count(*) FROM cloudsync.connections}, extra_params => [ '-U', 'acme_reports' ]), 1,
	'a role of one tenant sees that tenant');

# --- a web application -----------------------------------------------------------------
# PostgREST itself is in no package that the tests can install: what it sends for a
# request (role, claims, the function before the request, the query) is sent by psql.

firm($node, 'web');
write_file("$root/acme/Scans/invoice.txt", 'Invoice 4711 for the lease');
write_file("$root/globex/Scans/patent.txt", 'Patent');
run_blocks($node, 'web', [ page_section($page, 'A web application, by PostgREST') ],
	before => { 'SELECT api.enter()' => sub {
		foreach my $tenant (qw(acme globex))
		{
			$node->safe_psql('web', <<"SQL");
SET cloudsync.tenant = '$tenant';
SELECT cloudsync_connect('local', 'Drive');
SELECT cloudsync_add_recipient('claire');
SELECT cloudsync_create_channel('Drive', 'Scans', '{/Scans}', 'claire', 'Incoming mail');
SQL
			ok(wait_for($node, "SELECT count(*) = 1 FROM cloudsync.document WHERE tenant = '$tenant' AND ocr_state <> 'pending'", 't', 'web'),
				"$tenant has a document");
		}
	} });

# One request as PostgREST makes it.
sub request
{
	my ($claims, $sql) = @_;
	my $role = $claims ? 'web_user' : 'web_anon';
	my (undef, $out, $err) = $node->psql('web', <<"SQL", extra_params => [ '-U', 'authenticator' ], on_error_stop => 1);
\\o /dev/null
BEGIN;
SELECT set_config('role', '$role', true), set_config('request.jwt.claims', '$claims', true);
SELECT api.enter();
\\o
$sql;
COMMIT;
SQL
	return $err || $out;
}
my $claire = '{"role": "web_user", "tenant": "acme", "sub": "claire"}';
like(request('', 'SELECT * FROM api.inbox'), qr/permission denied for view inbox/, 'a request without a token sees nothing');
like(request('{"role": "web_user"}', 'SELECT api.push(\'1\')'), qr/no tenant is set/, 'one whose token names no tenant is an error');
is(request('{"role": "web_user", "tenant": "globex", "sub": "bob"}', 'SELECT name FROM api.inbox'), 'patent.txt', 'another tenant sees its own');
is(request($claire, q{SELECT name, headline LIKE '%<b>Invoice</b>%' FROM api.search('invoice')}), 'invoice.txt|t', 'a search');
is(request($claire, q{SELECT convert_from(api.content(document_id), 'UTF8') FROM api.inbox}), 'Invoice 4711 for the lease', 'the bytes');
is(request($claire, q{SELECT api.file_document(document_id, '42') FROM api.inbox}), '', 'it is entered');
is(request($claire, q{SELECT count(*) FROM api.inbox}), 0, '... and leaves the inbox');
is($node->safe_psql('web', q{SELECT actor, tenant FROM cloudsync.audit WHERE action LIKE 'file%'}), 'claire|acme', '... by whom, is on record');

# --- documents that file themselves ------------------------------------------------------

firm($node, 'hook');
as_app($node, 'hook', <<'SQL');
CREATE TABLE dossier (id bigint PRIMARY KEY, reference text UNIQUE, title text);
CREATE TABLE dossier_file (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, dossier_id bigint REFERENCES dossier, name text, content bytea);
INSERT INTO dossier VALUES (1, '2026-001', 'Annual accounts'), (2, '2026-002', 'Lease');
SQL
write_file("$root/hook/lease 2026-002.txt", 'signed');
write_file("$root/hook/letter of the bank.txt", "Your reference: 2026-001\n");
write_file("$root/hook/who knows.txt", "2026-001 or 2026-002?\n");
run_blocks($node, 'hook', [ page_section($page, 'Documents that file themselves') ],
	before => { 'SELECT name, state, dossier' => sub {
		as_app($node, 'hook', <<'SQL');
SELECT cloudsync_connect('local', 'Drive');
SELECT cloudsync_add_recipient('claire');
SELECT cloudsync_create_channel('Drive', 'Scans', '{/hook}', 'claire', 'Incoming mail');
SQL
		ok(wait_for($node, q{SELECT count(*) = 3 AND bool_and(ocr_state <> 'pending') FROM cloudsync.document}, 't', 'hook'),
			'three documents are read');
	} });

# --- Prometheus ----------------------------------------------------------------------------

$node->safe_psql('tenants', 'GRANT CREATE ON DATABASE tenants TO app');
my ($roles, $script) = grep { $_->{language} =~ /^(?:sql|sh)$/ } page_section($page, 'Prometheus and Grafana');
firm($node, 'firm');
as_app($node, 'firm', q{SELECT cloudsync_connect('local', 'Drive', options => '{"path": "firm"}'); SELECT cloudsync_set_push('Drive')});
run_blocks($node, 'firm', [$roles]);
my $folder = $node->basedir . '/textfile';
mkdir $folder;
write_file("$folder/run", $script->{text});
{
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port);
	is(system('sh', "$folder/run", $folder), 0, 'the job of the recipe runs');
}
my $figures = read_file("$folder/cloudsync.prom") // '';
is_deeply([ grep { /^cloudsync\.\d/ } files_below($folder) ], [], '... and leaves nothing half-written');
my %figure = map { ($_ => 1) } $figures =~ /^# TYPE (\w+)/mg;
my $alerts = read_file("$ENV{CLOUDSYNC_TREE}/docs/monitoring/alerts.yml");
my $board = read_file("$ENV{CLOUDSYNC_TREE}/docs/monitoring/dashboard.json");
my %asked = map { ($_ => 1) } "$alerts$board" =~ /\b(cloudsync_\w+(?<!_status)(?<!_connect)(?<!_resume))\b(?!\()/g;
# these only where something expires, was collected
delete @asked{qw(cloudsync_consent_expiry_timestamp_seconds cloudsync_inbox_documents cloudsync_unread_documents)};
is(join(', ', grep { !$figure{$_} } sort keys %asked), '', 'alarms and dashboard ask for figures that there are');
SKIP:
{
	skip 'promtool (Debian: prometheus) is not installed', 3 if system('command -v promtool >/dev/null') != 0;
	my $said = `promtool check metrics <'$folder/cloudsync.prom' 2>&1`;
	is($said, '', 'promtool takes the figures as they are');
	$said = `promtool check rules '$ENV{CLOUDSYNC_TREE}/docs/monitoring/alerts.yml' 2>&1`;
	is($?, 0, '... and the alarms') or diag($said);
	# the dashboard's queries, as if they were rules
	(my $queries = $board) =~ s/\\"/'/g;
	my @queries = map { s/\$\w+/.*/gr } $queries =~ /"expr": "(.*)"/g;
	write_file("$folder/queries.yml", "groups: [{name: q, rules: [" . join(', ', map { "{record: q$_, expr: \"$queries[$_]\"}" } 0 .. $#queries) . "]}]\n");
	$said = `promtool check rules '$folder/queries.yml' 2>&1`;
	is($?, 0, '... and the queries of the dashboard') or diag($said);
}

# --- from rclone ------------------------------------------------------------------------

firm($node, 'rclone');
as_app($node, 'rclone', <<'SQL');
CREATE TABLE dossier (id bigint PRIMARY KEY, reference text, title text, year integer);
CREATE TABLE dossier_file (id bigint PRIMARY KEY, dossier_id bigint REFERENCES dossier, name text, content bytea);
INSERT INTO dossier VALUES (1, '2026-001', 'Annual accounts', 2026), (2, '2026-002', 'Lease', 2026);
INSERT INTO dossier_file VALUES (1, 1, 'notes.txt', 'Hello.'), (2, 2, 'lease.txt', 'a lease'), (3, 2, 'plan.txt', 'the newer plan');
SQL
# what the job left on its disk, brought to the drive by rclone itself
my $export = $node->basedir . '/export/2026';
write_file("$export/2026-001 Annual accounts/notes.txt", 'Hello.');
write_file("$export/2026-002 Lease/lease.txt", 'a lease');
write_file("$export/2026-002 Lease/plan.txt", 'the older plan');
SKIP:
{
	skip 'rclone is not installed', 1 if system('command -v rclone >/dev/null') != 0;
	is(system('rclone', '--config', '/dev/null', 'copy', $node->basedir . '/export', "$root/drive/Clients"), 0, 'rclone copies the export');
	my %before = map { ($_ => inode("$root/drive/Clients/$_")) } files_below("$root/drive/Clients");
	is(scalar(keys %before), 3, '... three files');
	run_blocks($node, 'rclone', [ page_section($page, 'Coming from rclone and cron') ]);
	ok(wait_for($node, q{SELECT count(*) = 2 FROM cloudsync.dossiers WHERE state = 'synced'}, 't', 'rclone'), 'all is taken over');
	is($node->safe_psql('rclone', q{SELECT sum(bytes_sent) FROM cloudsync.history}), length('the newer plan'),
		'... and only the file that was older was sent');
	is(join(',', map { "$_ " . (inode("$root/drive/Clients/$_") == $before{$_} ? 'as it was' : 'written') } sort keys %before),
		'2026/2026-001 Annual accounts/notes.txt as it was,2026/2026-002 Lease/lease.txt as it was,2026/2026-002 Lease/plan.txt as it was',
		'... nothing that rclone brought was written again');
	is(scalar(grep { /^2026-002 Lease\/plan \(CloudSync .*\)\.txt$/ } files_below("$root/drive/Clients/2026")), 1,
		'... and the newer one is beside the older under a marked name');
}
$node->stop('fast');

# --- pg_cron, again ----------------------------------------------------------------------

SKIP:
{
	skip 'postgresql-NN-cron is not installed', 1 unless $cron_is_there;
	ok(wait_for($cron, q{SELECT count(*) = 1 FROM cloudsync.files WHERE state = 'synced'}, 't', 'firm'),
		'pg_cron has a committed change pushed');
	is_deeply([ files_below(local_root($cron)) ], ['CloudSync/Lease/lease.txt'], '... to where it belongs');
	ok(wait_for($cron, q{SELECT count(*) > 0 FROM cron.job_run_details WHERE status = 'succeeded'}, 't', 'firm'), 'the job ended well');
	my @blocks = grep { $_->{language} eq 'sql' } page_section($page, 'Without preload: pg_cron does the work');
	run_blocks($cron, 'firm', [ $blocks[1] ]);
	ok(wait_for($cron, q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'cloudsync %'}, 't', 'firm'),
		'between its calls nothing of cloudsync runs');
	$cron->stop('fast');
}

done_testing();
