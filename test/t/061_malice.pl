# A malicious owner of tracked tables gains nothing (S3): whatever of theirs is
# run by a plan, a worker or a collection - casts, policies, triggers, deferred
# triggers, functions for documents, operators in their search path - runs as
# they themselves, and can do no more than they could without the extension.
use strict;
use warnings;

use CloudsyncTest;
use Test::More;

my $node = new_cluster('malice');
create_extension($node);

# mallory owns tables; boss administers cloudsync and belongs to mallory's role,
# so that boss may track them.
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE mallory LOGIN;
CREATE ROLE boss LOGIN IN ROLE cloudsync_admin, mallory;
CREATE SCHEMA mallory AUTHORIZATION mallory;
CREATE TABLE public.secret (word text);
INSERT INTO public.secret VALUES ('hush');
SQL

$node->safe_psql('postgres', <<'SQL', extra_params => [ '-U', 'mallory' ]);
CREATE TABLE mallory.loot (at_place text, who text, attempt text, pid integer DEFAULT pg_backend_pid());

-- Tries all it can, and notes as whom, and what succeeded.
CREATE FUNCTION mallory.probe(place text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    attempt text;
BEGIN
    INSERT INTO mallory.loot VALUES (place, current_user, NULL);
    FOREACH attempt IN ARRAY ARRAY[
        'SELECT word FROM public.secret',
        'SELECT name FROM cloudsync.connection',
        'SELECT bytes FROM cloudsync.chunk',
        'SELECT connection FROM cloudsync.connections',
        'UPDATE cloudsync.connection SET name = ''mine''',
        'DELETE FROM cloudsync.dedup',
        'INSERT INTO cloudsync.role_tenant VALUES (''mallory'', ''other'')',
        'SELECT cloudsync.note('''', ''x'', ''x'', NULL, NULL)',
        'SELECT cloudsync_suspend()',
        'SELECT cloudsync_disconnect(''Drive'')',
        'SELECT cloudsync_connect(''local'', ''Mine'')',
        'ALTER ROLE mallory SUPERUSER',
        'CREATE ROLE mallory_friend',
        'GRANT cloudsync_admin TO mallory',
        'SET ROLE postgres',
        'SET LOCAL ROLE postgres',
        'RESET ROLE',
        'SET SESSION AUTHORIZATION postgres',
        'RESET SESSION AUTHORIZATION',
        'SET LOCAL session_replication_role = replica',
        'ALTER SYSTEM SET cloudsync.local_root = ''/''',
        'COPY (SELECT 1) TO PROGRAM ''cat''',
        'COPY mallory.loot (attempt) FROM ''/etc/passwd''',
        'SELECT pg_read_file(''PG_VERSION'')',
        'CREATE FUNCTION public.planted() RETURNS int LANGUAGE sql AS ''SELECT 1''',
        'CREATE TEMP TABLE planted ()',
        'LISTEN cloudsync',
        'PREPARE planted AS SELECT 1',
        'ALTER TABLE cloudsync.connection OWNER TO mallory',
        'ALTER EXTENSION cloudsync ADD FUNCTION mallory.probe(text)',
        'DROP EXTENSION cloudsync CASCADE'] LOOP
        BEGIN
            EXECUTE attempt;
            INSERT INTO mallory.loot VALUES (place, current_user, attempt);
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
    END LOOP;
    -- what the one who called would go on with
    PERFORM set_config('search_path', 'mallory, pg_catalog', false),
            set_config('statement_timeout', '1234567', false),
            set_config('cloudsync.tenant', 'other', false),
            set_config('row_security', 'on', false),
            set_config('default_transaction_read_only', 'on', false);
    RETURN true;
END
$$;

CREATE TYPE mallory.mood AS ENUM ('calm', 'cross');
CREATE FUNCTION mallory.mood_text(mallory.mood) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mallory.probe('cast');
    RETURN '../../' || textin(enum_out($1));
END
$$;
CREATE CAST (mallory.mood AS text) WITH FUNCTION mallory.mood_text(mallory.mood);

-- what everybody's SQL would find first, if it looked where mallory says
CREATE FUNCTION mallory.shadow_equal(text, text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mallory.probe('operator');
    RETURN pg_catalog.texteq($1, $2);
END
$$;
CREATE OPERATOR mallory.= (LEFTARG = text, RIGHTARG = text, FUNCTION = mallory.shadow_equal);
CREATE FUNCTION mallory.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mallory.probe('function');
    RETURN pg_catalog.clock_timestamp();
END
$$;
CREATE FUNCTION mallory.to_char(timestamptz, text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mallory.probe('function');
    RETURN 'x';
END
$$;

CREATE TABLE mallory.dossier (
    id bigint PRIMARY KEY,
    title text,
    mood mallory.mood,
    opened timestamptz DEFAULT '2026-01-02 00:00+00');
CREATE TABLE mallory.file (
    id bigint PRIMARY KEY,
    dossier_id bigint REFERENCES mallory.dossier,
    name text,
    mood mallory.mood DEFAULT 'cross',
    content bytea);
CREATE FUNCTION mallory.on_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mallory.probe(TG_NAME);
    RETURN NULL;
END
$$;
-- a table whose rows set off a trigger at commit
CREATE TABLE mallory.seen (document_id bigint);
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON mallory.seen
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION mallory.on_write();
CREATE FUNCTION mallory.on_document(id bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mallory.probe('hook');
    INSERT INTO mallory.seen VALUES (id);
END
$$;
INSERT INTO mallory.dossier VALUES (1, 'One', 'calm');
INSERT INTO mallory.file VALUES (1, 1, 'a.txt', 'cross', 'contents');
SQL

# What mallory got: places at which it ran, and whatever is not as it should be.
sub places
{
	return scalar_sql($node,
		"SELECT coalesce(string_agg(DISTINCT at_place, ',' ORDER BY at_place), '') FROM mallory.loot");
}

sub gains
{
	my ($what) = @_;
	is(scalar_sql($node, <<'SQL'), '', "$what: mallory ran as mallory, and nothing it tried succeeded");
SELECT string_agg(DISTINCT concat_ws(' ', at_place, 'as', who, attempt), '; ')
FROM mallory.loot WHERE who <> 'mallory' OR attempt IS NOT NULL
SQL
	is(scalar_sql($node, <<'SQL'), 'f f Drive 1', "$what: nothing has changed");
SELECT concat_ws(' ', r.rolsuper, pg_has_role('mallory', 'cloudsync_admin', 'member'),
	(SELECT string_agg(name, ',') FROM cloudsync.connection), (SELECT count(*) FROM cloudsync.home WHERE suspended_at IS NULL))
FROM pg_roles r WHERE rolname = 'mallory'
SQL
	$node->safe_psql('postgres', 'TRUNCATE mallory.loot');
	return;
}

# The probe itself works: outside of all this some attempts succeed.
my $succeeds = $node->safe_psql('postgres', <<'SQL', extra_params => [ '-U', 'mallory' ]);
TRUNCATE mallory.loot;
SELECT mallory.probe('alone');
SELECT pg_catalog.string_agg(attempt, '; ') FROM mallory.loot WHERE attempt IS NOT NULL;
SQL
like($succeeds, qr/CREATE TEMP TABLE planted \(\); LISTEN cloudsync; PREPARE planted/,
	'the probe notes what succeeds');
$node->safe_psql('postgres', 'TRUNCATE mallory.loot');

# --- tracking, planning ---------------------------------------------------------
# mallory cannot have our trigger on a table that nobody tracked
my ($rc, $out, $err) = $node->psql('postgres', <<'SQL', extra_params => [ '-U', 'mallory' ]);
DO $$
DECLARE
    f record;
BEGIN
    FOR f IN SELECT p.oid::regprocedure::text AS name FROM pg_proc p
        WHERE p.pronamespace = 'cloudsync'::regnamespace AND p.prorettype = 'trigger'::regtype LOOP
        BEGIN
            EXECUTE format('CREATE TRIGGER forged AFTER INSERT ON mallory.seen FOR EACH ROW EXECUTE FUNCTION %s', f.name);
            RAISE EXCEPTION 'forged with %', f.name;
        EXCEPTION WHEN insufficient_privilege THEN
            NULL;
        END;
    END LOOP;
END
$$;
SELECT has_schema_privilege('cloudsync', 'USAGE');
SQL
is("$rc $err", '0 ', 'our trigger functions are nobody else\'s');

$node->safe_psql('postgres', <<'SQL');
SELECT cloudsync_connect('local', 'Drive', options => '{"path": "drive"}');
SELECT cloudsync_set_push('Drive', auto_sync => false, on_delete => 'trash',
	folder => '{mood}/{dossier_label} {opened:YYYY}/{file.mood}', time_zone => 'UTC');
SQL
is( $node->safe_psql('postgres', "SELECT cloudsync_track('mallory.dossier', 'mallory.file') > 0",
		extra_params => [ '-U', 'boss' ]),
	't', 'boss tracks mallory\'s tables');
gains('tracking');

foreach my $who (qw(postgres boss))
{
	is( $node->safe_psql('postgres', <<'SQL', extra_params => [ '-U', $who ]),
SELECT path FROM cloudsync_plan('Drive', '1');
SELECT current_setting('statement_timeout'), current_setting('search_path'), current_setting('default_transaction_read_only');
SQL
		"/CloudSync/..-..-calm/One 2026/..-..-cross/a.txt\n0|\"\$user\", public|off",
		"$who\'s plan: a path below the root, and settings as they were");
	is(places(), 'cast', "$who\'s plan ran the cast");
	gains("$who\'s plan");
}

# --- a push by the worker ---------------------------------------------------------
my $run = scalar_sql($node, "SELECT cloudsync_push_dossier('1', 'Drive')");
ok(wait_run($node, $run), 'a push succeeds all the same');
is_deeply([ files_below(local_root($node) . '/drive') ],
	['CloudSync/..-..-calm/One 2026/..-..-cross/a.txt'], 'below the root');
is(places(), 'cast', 'the worker ran the cast');
gains('push');

# Changes by mallory with operators and functions of its own in front.
$node->safe_psql('postgres', <<'SQL', extra_params => [ '-U', 'mallory' ]);
SET search_path = mallory, pg_catalog;
UPDATE dossier SET title = 'Two';
INSERT INTO file VALUES (2, 1, 'b.txt', 'calm', 'more');
DELETE FROM file WHERE id OPERATOR(pg_catalog.=) 1;
SQL
is(places(), '', 'capture runs nothing of mallory\'s');
$node->safe_psql('postgres', "SELECT cloudsync_set_push('Drive', auto_sync => true, every => '1 second')");
ok( $node->poll_query_until('postgres',
		"SELECT count(*) > 0 FROM cloudsync.history WHERE kind = 'push' AND origin = 'auto' AND state = 'succeeded'"),
	'an automatic push');
ok(-f local_root($node) . '/drive/CloudSync/..-..-calm/Two 2026/..-..-calm/b.txt', 'its file is there');
gains('automatic push');
$node->safe_psql('postgres', "SELECT cloudsync_set_push('Drive', auto_sync => false)");

# --- policies: rows that are hidden are an error, not a deletion -------------------
$node->safe_psql('postgres', <<'SQL', extra_params => [ '-U', 'mallory' ]);
CREATE POLICY nothing ON mallory.file USING (NOT mallory.probe('policy'));
ALTER TABLE mallory.file ENABLE ROW LEVEL SECURITY;
ALTER TABLE mallory.file FORCE ROW LEVEL SECURITY;
SQL
$run = scalar_sql($node, "SELECT cloudsync_push_dossier('1', 'Drive')");
ok(wait_run($node, $run, 'failed'), 'a policy on the owner fails the push');
like(scalar_sql($node, "SELECT error FROM cloudsync.history WHERE run_id = $run"),
	qr/row-level security/, 'and says so');
foreach my $who (qw(postgres boss))
{
	($rc, $out, $err) = $node->psql('postgres', "SELECT action FROM cloudsync_plan('Drive', '1')",
		extra_params => [ '-U', $who ]);
	like($err, qr/row-level security/, "so does $who\'s plan");
}
ok(-f local_root($node) . '/drive/CloudSync/..-..-calm/Two 2026/..-..-calm/b.txt',
	'what the policy hides is not taken for deleted');
gains('policy');
$node->safe_psql('postgres', 'ALTER TABLE mallory.file DISABLE ROW LEVEL SECURITY');

# --- a function for documents, and the triggers that it sets off --------------------
$node->safe_psql('postgres', <<'SQL');
SELECT cloudsync_add_recipient('alice');
SELECT cloudsync_create_channel('Drive', 'Scans', '{/Scans}', 'alice', 'Mail', auto_collect => false);
SQL
$node->safe_psql('postgres', "SELECT cloudsync_on_document('mallory.on_document')",
	extra_params => [ '-U', 'boss' ]);
write_file(local_root($node) . '/drive/Scans/one.pdf', 'first');
$run = scalar_sql($node, "SELECT cloudsync_collect('Scans')");
ok(wait_run($node, $run), 'a collection with mallory\'s function succeeds');
is(places(), 'deferred,hook', 'the function ran, and the trigger that waits for the commit');
is(scalar_sql($node, 'SELECT count(*) FROM mallory.seen'), '1', 'what it wrote is there');
gains('collection');

$node->safe_psql('postgres', <<'SQL', extra_params => [ '-U', 'mallory' ]);
CREATE OR REPLACE FUNCTION mallory.on_document(id bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    SET CONSTRAINTS ALL DEFERRED;
    INSERT INTO mallory.seen VALUES (id);
END
$$;
SQL
write_file(local_root($node) . '/drive/Scans/two.pdf', 'second');
$run = scalar_sql($node, "SELECT cloudsync_collect('Scans')");
ok( $node->poll_query_until('postgres', "SELECT finished_at IS NOT NULL FROM cloudsync.history WHERE run_id = $run"),
	'a collection whose function puts its trigger off to the commit ends');
gains('deferred trigger');
is(scalar_sql($node, 'SELECT count(*) FROM mallory.seen') - 1,
	scalar_sql($node, 'SELECT count(*) FROM cloudsync.document') - 1,
	'a document is there exactly if what its function wrote is');

$node->stop('fast');
done_testing();
