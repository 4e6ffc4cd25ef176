# What people read is true: each public function, view and table has a comment
# that says for whom it is, docs/reference.md has each signature, setting and
# column, no page names what is not there, and the examples of the pages run.
use strict;
use warnings;

use CloudsyncTest;
use DocsTest;
use Test::More;

$ENV{CLOUDSYNC_TREE} or plan skip_all => 'runs from test/run.sh';

my $node = new_cluster('docs', conf => <<'CONF');
max_worker_processes = 32
cloudsync.ocr = on
cloudsync.allowed_endpoints = 'content=https://files.example.com, webdav=https://cloud.example.com, s3=https://minio.example.com:9000'
CONF
my $root = local_root($node);
$node->safe_psql('postgres', 'CREATE ROLE app LOGIN CREATEROLE');

# What docs/quickstart.md has made in its second step: functions in schema sync,
# and role app manages them. Each page has a copy, resumed unless it is to do nothing.
$node->safe_psql('postgres', 'CREATE DATABASE manual OWNER app');
$node->safe_psql('manual', 'CREATE SCHEMA sync');
create_extension($node, 'manual', 'sync');
$node->safe_psql('manual', 'GRANT USAGE ON SCHEMA sync TO app; GRANT cloudsync_admin TO app; ALTER ROLE app SET search_path = app, public, sync');
# those for whom the pages about the inbox and about watching are
$node->safe_psql('manual', "CREATE ROLE $_->[0] LOGIN IN ROLE $_->[1]; ALTER ROLE $_->[0] SET search_path = app, public, sync; GRANT USAGE ON SCHEMA sync TO $_->[0]")
  foreach [ 'clerk', 'cloudsync_operator' ], [ 'watcher', 'cloudsync_reader' ];

sub database
{
	my ($db, $suspended) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE manual OWNER app");
	$node->safe_psql($db, 'SELECT sync.cloudsync_resume()') unless $suspended;
	return;
}

# One query's rows, as lists of columns.
sub rows
{
	my ($db, $sql) = @_;
	return map { [ split /\|/, $_, -1 ] } split /\n/, $node->safe_psql($db, $sql);
}

# --- comments ---------------------------------------------------------------------

my $public = q{pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace AND n.nspname = 'sync'};
my @functions = rows('manual', <<"SQL");
SELECT p.oid::regprocedure, p.proname,
       CASE WHEN has_function_privilege('cloudsync_reader', p.oid, 'EXECUTE') THEN 'reader'
            WHEN has_function_privilege('cloudsync_operator', p.oid, 'EXECUTE') THEN 'operator'
            WHEN has_function_privilege('cloudsync_admin', p.oid, 'EXECUTE') THEN 'admin' END,
       replace(obj_description(p.oid, 'pg_proc'), '|', '/')
FROM $public ORDER BY 1
SQL
cmp_ok(scalar(@functions), '>', 40, 'the public functions are there');
my @poor;
my %for_whom;
foreach (@functions)
{
	my ($what, $name, $role, $comment) = @$_;
	$for_whom{$name} = $role;
	push @poor, "$what: $comment"
	  unless $comment =~ /^[A-Z].*\. For cloudsync_$role\b[^.]*\.$/s && length($comment) < 340;
}
is(join("\n", @poor), '', 'each function has a comment, which says what it does and for whom it is');

is($node->safe_psql('manual', <<'SQL'), '', 'so has each view and each table that people read');
SELECT c.oid::regclass FROM pg_class c
WHERE c.relnamespace = 'cloudsync'::regnamespace AND c.relkind IN ('r', 'v')
  AND has_table_privilege('cloudsync_admin', c.oid, 'SELECT')
  AND obj_description(c.oid, 'pg_class') !~ '^[A-Z].*\.$' IS NOT FALSE
SQL

# --- the reference ------------------------------------------------------------------

my $reference = page_text('docs/reference.md');

# A signature in one form: no casts, no long names of types, single spaces.
sub plain
{
	my ($text) = @_;
	$text =~ s/::[a-z]+(?: [a-z]+)*(?:\[\])?//g;
	$text =~ s/\btimestamp with time zone\b/timestamptz/g;
	$text =~ s/\btime without time zone\b/time/g;
	$text =~ s/'00:01:00'/'1 minute'/g;
	$text =~ s/'(\d\d:\d\d):00'/'$1'/g;
	$text =~ s/\bIN //g;
	$text =~ s/\s+/ /g;
	$text =~ s/\( /(/g;
	$text =~ s/ ?\)/)/g;
	$text =~ s/TABLE \(/TABLE(/g;
	$text =~ s/^ | $//g;
	return $text;
}

my %signatures = map { (plain($_->[0]) => 1) } rows('manual', <<"SQL");
SELECT p.proname || '(' || pg_get_function_arguments(p.oid) || ')' || COALESCE(' RETURNS ' || pg_get_function_result(p.oid), '')
FROM $public
SQL
my %written;
foreach my $block (grep { $_->{language} =~ /^(?:text)?$/ } page_blocks('docs/reference.md'))
{
	(my $text = $block->{text}) =~ s/--.*//g;
	$text =~ s/\bCALL\b//g;
	foreach my $one (split /(?=\bcloudsync_\w+\()/, $text)
	{
		next unless $one =~ /^cloudsync_/;
		# one argument of several types: several functions
		my @types = $one =~ /(\w+(?: \| \w+)+)/ ? split(/ \| /, $1) : ();
		if (@types) { $written{ plain($one =~ s/\w+(?: \| \w+)+/$_/r) } = 1 foreach @types }
		else { $written{ plain($one) } = 1 }
	}
}
is(join("\n", (map { "not there: $_" } grep { !$signatures{$_} } sort keys %written), map { "missing: $_" } grep { !$written{$_} } sort keys %signatures),
	'', 'docs/reference.md has the signature of each function, and no others');

my @rights;
while ($reference =~ /^### (cloudsync_.*?) \((.*)\)$/mg)
{
	my ($names, $said) = ($1, $2);
	if ($said =~ /cloudsync/) { ($names, $said) = ("$names ($said", $said) }    # each has its own
	while ($names =~ /(cloudsync_\w+)(?: \((\w+))?/g)
	{
		my ($name, $role) = ($1, $2);
		($role) = $said =~ /^(\w+)/ unless $role;
		push @rights, "$name ($role)" unless ($for_whom{$name} // '') eq $role;
	}
}
is(join("\n", @rights), '', '... and its headings say for whom they are');

# The settings: `name` | default | who.
my %setting;
my ($settings) = $reference =~ /^## Settings\n(.*?)^## /ms;
$setting{$1} = [ $2, $3 ] while $settings =~ /^\| `(cloudsync\.\w+)` \| (.*?) \| (.*?) \|/mg;
my %bytes = (kB => 1024, MB => 1024**2, GB => 1024**3);
my %seconds = (ms => 0.001, s => 1, min => 60, h => 3600, d => 86400);
# A default as people read it, in the setting's unit.
sub plain_default
{
	my ($said, $unit) = @_;
	$said = $1 if $said =~ /^`([^`]*)`/;
	return '' if $said eq 'empty';
	return $said unless $said =~ /^([\d.]+) ?([kMG]B|ms|s|min|h|d|days?|hours?)$/;
	my ($number, $its) = ($1, $2);
	$its = substr $its, 0, 1 if $its =~ /^(?:day|hour)/;
	my $scale = $bytes{$its} ? \%bytes : \%seconds;
	return $number * $scale->{$its} / ($scale->{$unit} // 1);
}
my @wrong;
my @all = rows('manual', q{SELECT name, boot_val, COALESCE(unit, ''), context FROM pg_settings
	WHERE name LIKE 'cloudsync.%' AND name <> 'cloudsync.crash_point'});
my $operations = page_text('docs/operations.md');
foreach (@all)
{
	my ($name, $default, $unit, $context) = @$_;
	my $row = delete $setting{$name};
	push @wrong, "$name is not in the table" and next unless $row;
	push @wrong, "$name is not in docs/operations.md" unless $operations =~ /`\Q$name\E`/;
	my ($said, $who) = (plain_default($row->[0], $unit), $row->[1]);
	push @wrong, "$name: $said, not $default" unless $said eq $default;
	my %name_of = (user => 'session', superuser => 'superuser', sighup => 'reload', postmaster => 'restart');
	push @wrong, "$name: $who, not $context" unless $who =~ /^$name_of{$context}\b/;
}
push @wrong, map { "$_ is no setting" } sort keys %setting;
is(join("\n", @wrong), '', 'docs/reference.md has each setting with its default and who may set it');
my %by_name = map { ($_->[0] => $_) } @all;
my @other;
foreach my $page (page_names())
{
	my $text = page_text($page);
	while ($text =~ /^\| `(cloudsync\.\w+)` \| (.*?) \|/mg)
	{
		my ($setting, $cell) = ($by_name{$1}, $2);
		push @other, "$page: $setting->[0]: $cell, not $setting->[1]" if $setting && plain_default($cell, $setting->[2]) ne $setting->[1];
	}
}
is(join("\n", @other), '', '... and so have the tables of other pages');

# The states of each thing, and the errors by their conditions.
my %values_of = map { ("$_->[0].$_->[1]" => $_->[2]) } rows('manual', <<'SQL');
SELECT t.relname, a.attname, (SELECT string_agg(v[1], ',' ORDER BY v[1] COLLATE "C") FROM regexp_matches(m[1], $r$'(\w+)'$r$, 'g') v)
FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid AND t.relnamespace = 'cloudsync'::regnamespace
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attname IN ('state', 'ocr_state') AND a.attnum = ANY (c.conkey),
regexp_matches(pg_get_constraintdef(c.oid), '\m' || a.attname || ' = ANY \(ARRAY\[(.*?)\]') m
SQL
sub states { my ($cell) = @_; return join ',', sort $cell =~ /`(\w+)`/g }
my ($of_states) = $reference =~ /^States:\n(.*?)^In `folders`/ms;
my %states = map { ($_ => '') } qw(connection file item folder run);
while ($of_states =~ /^\| (\w+) \| (.*) \|$/mg) { $states{$1} = states($2) if defined $states{$1} }
is_deeply(\%states, { connection => $values_of{'connection.state'}, file => $values_of{'pushed_file.state'}, item => $values_of{'item.state'},
	folder => $values_of{'channel_folder.state'}, run => $values_of{'run.state'} }, 'docs/reference.md has the states that there are');
is(states($reference =~ /^\| `document` \|.*?, `state` \((.*?)\)/m ? $1 : ''), $values_of{'document.state'}, '... also of a document');
my ($readings) = page_text('docs/ocr.md') =~ /^\| `ocr_state` \| \|\n(.*?)^$/ms;
is(join(',', sort $readings =~ /^\| `(\w+)`/mg), $values_of{'document.ocr_state'}, '... and of its reading');
my %conditions;
while ($reference =~ /^\| error \| when \|\n\|---\|---\|\n((?:\|.*\n)+)/mg)
{
	my $table = $1;
	while ($table =~ /^\| `(\w+)`(?: \((\w{5})\))?/mg) { $conditions{$1}{ $2 // '' } = 1 }
}
cmp_ok(scalar(keys %conditions), '>', 10, 'errors are named by their conditions');
my $conditions = join ', ', map { "'$_'" } sort keys %conditions;
my %sqlstate = map { ($_->[0] => $_->[1]) } rows('manual', <<"SQL");
SET client_min_messages = error;
CREATE FUNCTION pg_temp.sqlstate_of(condition text) RETURNS text LANGUAGE plpgsql AS \$\$
BEGIN
	RAISE EXCEPTION USING ERRCODE = condition, MESSAGE = 'raised';
EXCEPTION WHEN others THEN
	RETURN CASE SQLERRM WHEN 'raised' THEN SQLSTATE ELSE 'none' END;
END \$\$;
SELECT c, pg_temp.sqlstate_of(c) FROM unnest(ARRAY[$conditions]) c
SQL
is(join("\n", map { my $c = $_; map { "$c $_" } grep { $sqlstate{$c} eq 'none' || $_ && $_ ne $sqlstate{$c} } keys %{ $conditions{$c} } } sort keys %conditions),
	'', '... which PostgreSQL has');

# The views, with their columns in order; of the tables, those that are for people.
my ($views) = $reference =~ /^## Views\n(.*?)^States:/ms;
my %columns;
while ($views =~ /^\| `(\w+)` \| .*? \| (.*) \|$/mg)
{
	my ($view, $cell) = ($1, $2);
	$columns{$view} = join ', ', $cell =~ /`(\w+)`/g;
}
my %has = map { ($_->[0] => $_->[1]) } rows('manual', <<'SQL');
SELECT c.relname, string_agg(a.attname, ', ' ORDER BY a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'cloudsync'::regnamespace AND c.relkind = 'v' GROUP BY 1
SQL
is_deeply(\%columns, \%has, 'docs/reference.md has each view with its columns');
is($node->safe_psql('manual', <<'SQL'), '', 'each column of a view has a comment');
SELECT c.relname, a.attname
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'cloudsync'::regnamespace AND c.relkind = 'v' AND col_description(c.oid, a.attnum) IS NULL
SQL
my ($tables) = $reference =~ /^## Tables\n(.*?)^## /ms;
my %said = map { ("$_->[0].$_->[1]" => 1) } rows('manual', <<'SQL');
SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'cloudsync'::regnamespace AND c.relkind = 'r' AND col_description(c.oid, a.attnum) IS NOT NULL
SQL
my @unsaid;
while ($tables =~ /^\| `(\w+)` \|.*? \| (.*) \|$/mg)
{
	my ($table, $cell) = ($1, $2);
	foreach my $column (map { /^\w+$/ ? $_ : () } $cell =~ /`([^`]+)`/g)
	{
		next if $cell =~ /`state` \([^)]*`$column`/;    # a value, not a column
		push @unsaid, "$table.$column" unless $said{"$table.$column"};
	}
}
is(join(', ', @unsaid), '', 'so has each column of a table that the reference names');

# --- no page names what is not there -------------------------------------------------

my %there = map { ($_->[0] => 1) } rows('manual', <<"SQL");
SELECT p.proname FROM $public
UNION SELECT rolname FROM pg_roles WHERE rolname LIKE 'cloudsync%'
UNION SELECT 'cloudsync.' || relname FROM pg_class WHERE relnamespace = 'cloudsync'::regnamespace
UNION SELECT 'cloudsync.' || proname FROM pg_proc WHERE pronamespace = 'cloudsync'::regnamespace
UNION SELECT name FROM pg_settings WHERE name LIKE 'cloudsync.%'
UNION SELECT m[1] FROM pg_proc f, regexp_matches(pg_get_functiondef(f.oid), '''(cloudsync_[a-z_]+)''', 'g') m WHERE f.proname ~ '_metrics\$'
SQL
$there{$_} = 1 foreach qw(cloudsync_ocr cloudsync.control cloudsync.key cloudsync.h cloudsync.c cloudsync.so cloudsync.pl);
my @nowhere;
foreach my $page (page_names())
{
	my $text = page_text($page);
	$text =~ s/^```c\n.*?^```//msg;
	while ($text =~ m{(?<![\w./-])(cloudsync(?:_|\.)[a-z]\w*)(?![\w*<-])}g)
	{
		my $name = $1;
		push @nowhere, "$page: $name" unless $there{$name} || $page =~ /internals|providers\.md/;
	}
}
is(join("\n", @nowhere), '', 'no page names a function, view or setting that is not there');

# --- the examples ----------------------------------------------------------------------

my @untested;
foreach my $page (page_names())
{
	foreach my $block (page_blocks($page))
	{
		push @untested, "$page, line $block->{line}: no reason" if $block->{words} =~ /^no-run:?\s*$/;
		push @untested, "$page, line $block->{line}: $block->{words}?"
		  if $block->{language} =~ /^(?:sql|sh)$/ && $block->{words} !~ /^(?:no-run: .+|as \w+|)$/;
		push @untested, "$page, line $block->{line}: is of no language"
		  if $block->{language} eq '' && $block->{text} =~ /^(?:SELECT|CALL|INSERT|UPDATE|GRANT|CREATE|ALTER|BEGIN)\b.*;\s*(?:--.*)?$/m;
	}
}
is(join("\n", @untested), '', 'each example runs, or has a reason not to');

# What pages after the first begin with: tables of an application, tracked and
# pushed to a drive, with a dossier each page speaks of.
sub world
{
	my ($db) = @_;
	database($db);
	$node->safe_psql($db, <<"SQL", extra_params => [ '-U', 'app' ]);
CREATE SCHEMA app;
CREATE TABLE app.client (id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE app.dossier (
	id text PRIMARY KEY, reference text, title text, year integer, created date DEFAULT '2026-11-02',
	customer_id bigint REFERENCES app.client, client_id bigint REFERENCES app.client);
CREATE TABLE app.dossier_file (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, dossier_id text NOT NULL REFERENCES app.dossier,
	name text NOT NULL, kind text, content bytea, url text, path text);
INSERT INTO app.client VALUES (1, 'Dupont');
INSERT INTO app.dossier VALUES ('7', '2026-007', 'Smith v. Jones', 2026, '2026-11-02', 1, 1),
	('2026-014', '2026-014', '2026-014 Sale', 2026, '2026-11-02', 1, 1);
INSERT INTO app.dossier_file (dossier_id, name, kind, content) VALUES ('2026-014', 'offer.pdf', 'Letters', 'an offer'),
	('7', 'claim.pdf', 'Letters', 'a claim');
SQL
	return;
}

# The same with a connection that pushes, and a channel.
sub connected
{
	my ($db, @names) = @_;
	world($db);
	foreach my $name (@names)
	{
		$node->safe_psql($db, <<"SQL", extra_params => [ '-U', 'app' ]);
SELECT cloudsync_connect('local', '$name', options => '{"path": "$db/$name"}');
SQL
	}
	$node->safe_psql($db, "SELECT cloudsync_track('app.dossier', 'app.dossier_file', content => 'content')",
		extra_params => [ '-U', 'app' ]);
	mkdir "$root/$db";
	mkdir "$root/$db/$_" foreach @names;
	return;
}

my %tested = ('docs/cookbook.md' => 1);    # t/119_cookbook.pl
sub page_runs
{
	my ($page, $db, %opts) = @_;
	cmp_ok(run_blocks($node, $db, [ page_blocks($page) ], %opts), '>', 0, "$page is tested");
	$tested{$page} = 1;
	$node->safe_psql('postgres', "DROP DATABASE $db");
	return;
}

$node->safe_psql('postgres', 'CREATE DATABASE readme');
write_file("$root/drive/Scans/letter.txt", 'Dear Sirs');
$node->safe_psql('readme', <<'SQL');
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA app;
CREATE TABLE app.customer (id bigint PRIMARY KEY, name text);
CREATE TABLE app.dossier (id bigint PRIMARY KEY, reference text, title text, customer_id bigint REFERENCES app.customer);
CREATE TABLE app.dossier_file (id bigint PRIMARY KEY, dossier_id bigint REFERENCES app.dossier, name text, content bytea);
SQL
page_runs('README.md', 'readme', user => 'postgres');

$node->safe_psql('postgres', 'CREATE DATABASE quickstart OWNER app');
$node->safe_psql('postgres', 'ALTER DATABASE quickstart SET search_path = public, sync');
page_runs('docs/quickstart.md', 'quickstart');

connected('push', 'Archive');
page_runs('docs/push.md', 'push');
connected('watching', 'Drive');
page_runs('docs/watching.md', 'watching', user => 'watcher');
connected('templates', 'Drive');
$node->safe_psql('templates', "SELECT cloudsync_set_push('Drive', auto_sync => false)", extra_params => [ '-U', 'app' ]);
page_runs('docs/templates.md', 'templates');
world('capture');
$node->safe_psql('capture', <<'SQL', extra_params => [ '-U', 'app' ]);
SELECT cloudsync_connect('local', 'Store', options => '{"path": "capture"}');
CREATE TABLE app.dossier_scan (id bigint PRIMARY KEY, dossier_id text REFERENCES app.dossier, name text, path text);
SQL
page_runs('docs/capture.md', 'capture');
connected('reference', 'Drive');
$node->safe_psql('reference', "SELECT cloudsync_set_push('Drive', auto_sync => false)", extra_params => [ '-U', 'app' ]);
page_runs('docs/reference.md', 'reference');
{
	connected('inbox', 'Drive');
	# the page speaks of documents 17 to 20
	$node->safe_psql('inbox', 'ALTER SEQUENCE cloudsync.document_document_id_seq RESTART 17');
	write_file("$root/inbox/Drive/Scans/facture mars $_.txt", "Facture d'électricité $_") foreach 1 .. 4;
	$node->safe_psql('inbox', <<'SQL', extra_params => [ '-U', 'app' ]);
SELECT cloudsync_add_recipient('alice'), cloudsync_add_recipient('bob');
SELECT cloudsync_create_channel('Drive', 'Scans', '{/Scans}', 'alice', 'Incoming mail');
SQL
	$node->poll_query_until('inbox', q{SELECT count(*) = 4 AND bool_and(ocr_state <> 'pending') FROM cloudsync.document});
	run_blocks($node, 'inbox', [ page_blocks('docs/ocr.md') ]);
	$tested{'docs/ocr.md'} = 1;
	page_runs('docs/inbox.md', 'inbox', user => 'clerk');
}
connected('channels', 'Drive');
page_runs('docs/channels.md', 'channels');
connected('operations', 'Drive');
page_runs('docs/operations.md', 'operations');
database('security');
$node->safe_psql('security', 'CREATE ROLE web_application; CREATE ROLE acme_reporting');
page_runs('docs/security.md', 'security', user => 'postgres');

# Nobody is asked for these: the services are not there, and a copy does nothing by itself.
my %values = (
	'$1::jsonb' => q{'{"type": "service_account", "client_email": "sync@acme.example", "private_key": "-----BEGIN"}'::jsonb},
	'$1' => q{'{"refresh_token": "one"}'},
	'$2' => q{'two'});
foreach my $page ('docs/oauth.md', grep { m{^docs/providers/} } page_names())
{
	(my $db = $page) =~ s{^.*/|\.md$}{}g;
	database($db, 1);
	page_runs($page, $db, values => \%values);
}

is(join(', ', grep { my $page = $_; !$tested{$page} && grep { $_->{language} =~ /^(?:sql|sh)$/ && $_->{words} !~ /^no-run/ } page_blocks($page) } page_names()),
	'', 'no page with examples was left out');

$node->stop('fast');
done_testing();
