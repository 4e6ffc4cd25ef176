# OAuth 2.0 end to end against the test cloud's token servers (C2, C3, C5, C6, S1,
# S4): consent by redirect, shown code and device code; renewal by one process at a
# time; service accounts and clients that act for themselves; consent that ends,
# and its renewal by the same account and by another; revocation; and that no
# secret is anywhere to be read.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use CloudsyncTest;
use OAuthTest;
use TestCloud;

plan skip_all => TestCloud::missing() if TestCloud::missing();

my ($node, $cloud) = oauth_cluster('oauth', <<'CONF');
log_min_messages = debug1
log_min_error_statement = debug1
log_statement = none
CONF

my $drive = 'https://www.googleapis.com/auth/drive';
my $web = 'web.apps.googleusercontent.com';

sub google_consent
{
	refused(qq{SELECT * FROM cloudsync_connect('gdrive', 'Drive', options => @{[options()]})},
		qr/no application is registered for provider "gdrive".*cloudsync_register_app/s, 'an application is needed first');
	sql("SELECT cloudsync_register_app('gdrive', '$web', 'GOCSPX-CloudSecret1')");
	refused(qq{SELECT * FROM cloudsync_connect('gdrive', 'Drive', options => @{[options()]})},
		qr/needs a redirect URI/, '... and a redirect URI');
	sql(qq{SELECT cloudsync_register_app('gdrive', '$web', 'GOCSPX-CloudSecret1', '{"redirect_uri": "https://app.example.com/cloudsync/done"}')});
	my ($id, $state, $url) = ask('gdrive', 'Drive', options());
	is($state, 'pending', 'a connection by consent waits for it');
	is(facts('Drive'), 'pending', 'nobody knows its account yet');
	like($url, qr/access_type=offline.*prompt=consent|prompt=consent.*access_type=offline/, 'consent is asked for with a refresh token');
	my $refusal = $cloud->consent($url, { deny => 1 });
	is(authorize($refusal->{redirect}), 'Drive|pending', 'consent that is refused leaves it pending');
	like(facts('Drive'), qr/consent was not given: access_denied/, '... with the reason');

	my $unticked = $cloud->consent((ask('gdrive', 'Drive', options()))[2], { user => 'anna@example.com', untick => [$drive] });
	refused('SELECT * FROM cloudsync_authorize(' . quoted($unticked->{redirect}) . ')', qr/scope "\Q$drive\E" is needed and was not granted/,
		'a scope that was unticked is missed');
	like(facts('Drive'), qr/^pending.*scope "\Q$drive\E"/, '... and named');

	my $given = $cloud->consent($url, { user => 'anna@example.com' });
	refused('BEGIN; SELECT * FROM cloudsync_authorize(' . quoted($given->{redirect}) . ');', qr/cannot run inside a transaction block/,
		'consent is not taken in a transaction block');
	refused(q{SET cloudsync.tenant = 'acme'; SELECT * FROM cloudsync_authorize(} . quoted($given->{redirect}) . ')',
		qr/nobody here asked for this consent/, '... nor by another tenant');
	{
		# what the database says of its sessions is not said of our processes
		local $ENV{PGOPTIONS} = '-c default_transaction_read_only=off';
		sql('ALTER DATABASE postgres SET default_transaction_read_only = on');
		is(authorize($given->{redirect}), 'Drive|active', 'consent makes the connection active');
		sql('ALTER DATABASE postgres RESET default_transaction_read_only');
	}
	is(facts('Drive'), "active|anna\@example.com|$drive", 'its account and its scopes are known');
	refused('SELECT * FROM cloudsync_authorize(' . quoted($given->{redirect}) . ')', qr/was used already/, 'a state is good for once');
	my $invented = $given->{redirect} =~ s/state=[0-9a-f]{8}/state=00000000/r;
	refused('SELECT * FROM cloudsync_authorize(' . quoted($invented) . ')', qr/nobody here asked/, 'and for nothing if it was not given out');
	refused(q{SELECT * FROM cloudsync_authorize('https://app.example.com/cloudsync/done')}, qr/not an address that a browser came back to/,
		'an address without state and code is none');
	(undef, undef, $url) = ask('gdrive', 'Drive', options());
	$given = $cloud->consent($url, { user => 'anna@example.com' });
	sql(q{UPDATE cloudsync.consent SET expires_at = now() - interval '1 minute' WHERE used_at IS NULL});
	refused('SELECT * FROM cloudsync_authorize(' . quoted($given->{redirect}) . ')', qr/has expired.*valid until/s, 'after seven days it is good for nothing');
	is(sql(q{SELECT count(*) FROM cloudsync_browse('Drive')}), '0', 'the service can be asked');
	is(sql(q{SELECT account FROM cloudsync_check('Drive')}), 'anna@example.com', 'and says whose account it is');
	return;
}

# Tokens that have ended are renewed once, whoever asks, and while requests are on their way.
sub renewal
{
	$cloud->act('google', 'expire_tokens');
	my $mark = $cloud->mark;
	my @sessions = map { IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', q{SELECT count(*) FROM cloudsync_browse('Drive')} ],
			'>', \my $out, '2>', \my $err) } 1 .. 4;
	my $good = grep { $_->finish } @sessions;
	is($good, 4, 'four sessions ask at once with a token that has ended');
	is(tokens($mark), 1, 'one of them renews it for all');
	$mark = $cloud->mark;
	sql(q{SELECT count(*) FROM cloudsync_browse('Drive')});
	is(tokens($mark), 0, 'and nobody renews it again');

	$cloud->act('google', 'expire_tokens');
	$cloud->fault({ service => 'google', route => 'token', kind => 'status', status => 503, times => 1 });
	my ($status) = $node->psql('postgres', q{SELECT count(*) FROM cloudsync_browse('Drive')});
	like(facts('Drive'), qr/^active/, 'a token server that is down for a moment costs no consent');
	$cloud->clear;
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM cloudsync_browse('Drive')}), 'and is asked again');
	return;
}

sub consent_ends
{
	$cloud->act('google', remove_app => { user => 'anna@example.com' });
	my ($status, $out, $err) = $node->psql('postgres', q{SELECT count(*) FROM cloudsync_browse('Drive')});
	like($err, qr/consent has expired or was revoked/, 'consent that was taken back is told');
	like(facts('Drive'), qr/^needs_consent\|.*expired or was revoked/, '... and kept as the reason');
	like(sql(q{SELECT action FROM cloudsync_status() WHERE subject = 'connection Drive'}), qr/cloudsync_connect\('gdrive', 'Drive'/,
		'... with what to do');
	my $url = (ask('gdrive', 'Drive', options()))[2];
	my $given = $cloud->consent($url, { user => 'bert@example.org' });
	refused('SELECT * FROM cloudsync_authorize(' . quoted($given->{redirect}) . ')',
		qr/belongs to account "anna\@example.com.*of "bert\@example.org/s, 'consent of another account is refused, naming both');
	is($cloud->act('google', tokens => { user => 'bert@example.org' })->{refresh}, 0, '... and given back at once');
	$given = $cloud->consent((ask('gdrive', 'Drive', options()))[2], { user => 'anna@example.com' });
	is(authorize($given->{redirect}), 'Drive|active', 'the same account renews it in place');
	is(facts('Drive'), "active|anna\@example.com|$drive", 'and nothing is lost');
	return;
}

sub disconnected
{
	my $id = sql(q{SELECT connection_id FROM cloudsync.connections WHERE connection = 'Drive'});
	is($cloud->act('google', tokens => { user => 'anna@example.com' })->{refresh}, 1, 'one consent lives');
	sql('SELECT cloudsync_suspend()');
	sql('SELECT cloudsync_resume()');
	sql(q{SELECT cloudsync_disconnect('Drive')});
	ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM cloudsync.secret WHERE owner_id = $id AND owner_kind <> 'app'"),
		'tokens of a connection that is ended are forgotten');
	is($cloud->act('google', tokens => { user => 'anna@example.com' })->{refresh}, 0, 'after they were revoked');
	is(sql("SELECT count(*) FROM cloudsync.connection WHERE connection_id = $id AND token_due_at IS NULL AND NOT revoke"), '1', 'and that is all');

	# a copy takes nothing back
	my $given = $cloud->consent((ask('gdrive', 'Drive', options()))[2], { user => 'anna@example.com' });
	authorize($given->{redirect});
	is(sql(q{SELECT count(*) FROM cloudsync.account WHERE provider = 'gdrive' AND known}), '1', 'the account is taken up again');
	sql('SELECT cloudsync_suspend()');
	sql(q{SELECT cloudsync_disconnect('Drive')});
	is(sql("SELECT count(*) FROM cloudsync.secret WHERE owner_kind IN ('connection', 'token')"), '0', 'a copy that is suspended forgets tokens');
	is($cloud->act('google', tokens => { user => 'anna@example.com' })->{refresh}, 1, '... and revokes none');
	sql('SELECT cloudsync_resume()');
	return;
}

sub service_accounts
{
	my $key = $cloud->act('google', service_account => { name => 'push', delegated => [$drive] });
	my $file = JSON::PP->new->canonical->encode($key);
	my $credentials = quoted(qq({"service_account": $file, "subject": "anna\@example.com"}));
	is(sql("SELECT state FROM cloudsync_connect('gdrive', 'Service', $credentials, @{[options()]})"), 'active', 'a service account needs no consent');
	ok($node->poll_query_until('postgres', q{SELECT account = 'anna@example.com' FROM cloudsync.connections WHERE connection = 'Service'}),
		'it acts for its subject');
	is(sql("SELECT authorize_url IS NULL FROM cloudsync_connect('gdrive', 'Service', $credentials, @{[options()]})"), 't', 'connecting again changes nothing');
	$cloud->act('google', delegate => { email => $key->{client_email}, scopes => [] });
	$cloud->act('google', 'expire_tokens');
	$node->psql('postgres', q{SELECT count(*) FROM cloudsync_browse('Service')});
	like(facts('Service'), qr/^needs_consent.*may not ask for tokens/, 'delegation that is taken back is named');
	$cloud->act('google', delegate => { email => $key->{client_email}, scopes => [$drive] });
	sql("SELECT cloudsync_register_app('gdrive', '$web', 'GOCSPX-CloudSecret1')");
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM cloudsync.connections WHERE connection = 'Service' AND state = 'active'}),
		'what an administrator mended goes on once he says so');
	sql(q{SELECT cloudsync_disconnect('Service')});
	return;
}

# Rotated refresh tokens: what came is stored before anything is done with it.
sub rotation
{
	my $app = 'aaaaaaaa-0000-0000-0000-000000000001';
	sql("SELECT cloudsync_register_app('onedrive', '$app', 'm~CloudSecret+1/=')");
	my $grant = $cloud->act('graph', grant => { app => $app, user => 'anna@contoso.example', scopes => [ 'Files.ReadWrite', 'offline_access' ] });
	is(sql(qq{SELECT state FROM cloudsync_connect('onedrive', 'One', '{"refresh_token": "$grant->{refresh_token}"}', @{[microsoft()]})}),
		'active', 'a refresh token may be given');
	ok($node->poll_query_until('postgres', q{SELECT account IS NOT NULL FROM cloudsync.connections WHERE connection = 'One'}), 'the account is asked for');
	my $id = sql(q{SELECT connection_id FROM cloudsync.connections WHERE connection = 'One'});
	my $stored = sql("SELECT stored_at FROM cloudsync.secret WHERE owner_kind = 'token' AND owner_id = $id");
	ok($stored, 'what came of it is kept beside it');
	is(sql(qq{SELECT state FROM cloudsync_connect('onedrive', 'One', '{"refresh_token": "$grant->{refresh_token}"}', @{[microsoft()]})}),
		'active', 'connecting again with the one that was given ...');
	is(sql("SELECT stored_at FROM cloudsync.secret WHERE owner_kind = 'token' AND owner_id = $id"), $stored, '... does not lose the one that holds now');
	# a worker that is killed with an answer in its hands, and one that has stored it
	foreach my $point ('token.after_answer', 'token.after_store')
	{
		$cloud->act('graph', 'expire_tokens');
		crash_at($node, $point);
		$node->psql('postgres', q{SELECT count(*) FROM cloudsync_browse('One')});
		crash_no_more($node);
		my $mark = $cloud->mark;
		ok($node->poll_query_until('postgres', q{SELECT count(*) > -1 FROM cloudsync_browse('One')}), "killed at $point: the next one goes on");
		is($cloud->count({ service => 'graph', route => '/token/', since => $mark }), $point eq 'token.after_answer' ? 1 : 0,
			'... with a token of its own, or the one that was stored');
	}
	$cloud->act('graph', expire_refresh => { user => 'anna@contoso.example' });
	$cloud->act('graph', 'expire_tokens');
	$node->psql('postgres', q{SELECT count(*) FROM cloudsync_browse('One')});
	like(facts('One'), qr/^needs_consent/, 'a refresh token that ended needs consent');
	return;
}

sub clients
{
	my $app = 'aaaaaaaa-0000-0000-0000-000000000003';
	my $tenant = '11111111-1111-1111-1111-111111111111';
	my %where = (tenant => $tenant, user => 'anna@contoso.example');
	sql("SELECT cloudsync_register_app('onedrive', '$app')");
	sql(qq{SELECT cloudsync_connect('onedrive', 'Client', '{"client_secret": "m~CloudSecret+3/="}', @{[microsoft(%where)]})});
	ok($node->poll_query_until('postgres', q{SELECT account IS NOT NULL FROM cloudsync.connections WHERE connection = 'Client'}),
		'a client that acts for itself, by its secret');
	my $pair = $cloud->act('graph', certificate => { app => $app });
	my $credentials = quoted(JSON::PP->new->canonical->encode({ certificate => $pair->{certificate}, private_key => $pair->{private_key} }));
	sql(qq{SELECT cloudsync_connect('onedrive', 'Client', $credentials, @{[microsoft(%where)]})});
	$cloud->act('graph', 'expire_tokens');
	ok($node->poll_query_until('postgres', q{SELECT consent_expires_at IS NOT NULL FROM cloudsync.connections WHERE connection = 'Client'}),
		'by its certificate, whose end is known');
	is(sql(q{SELECT state FROM cloudsync_check('Client')}), 'active', 'and works');
	$cloud->act('graph', change_app => { app => $app, client_secret => 'another' });
	sql(qq{SELECT cloudsync_connect('onedrive', 'Client', '{"client_secret": "m~CloudSecret+3/="}', @{[microsoft(%where)]})});
	ok($node->poll_query_until('postgres', q{SELECT state = 'active' AND reason ~ 'client secret is wrong' FROM cloudsync.connections WHERE connection = 'Client'}),
		'a wrong secret is named, and is not taken');
	return;
}

sub device
{
	sql(q{SELECT cloudsync_register_app('onedrive', 'aaaaaaaa-0000-0000-0000-000000000002')});
	my ($id, $state, $url) = ask('onedrive', 'Device', microsoft());
	is($state, 'pending', 'a device code is asked for by a worker');
	ok($node->poll_query_until('postgres', q{SELECT reason ~ 'enter the code' FROM cloudsync.connections WHERE connection = 'Device'}),
		'and shown as the reason');
	my ($code) = facts('Device') =~ /enter the code (\S+),/;
	like((ask('onedrive', 'Device', microsoft()))[2], qr{^https://microsoft.com/devicelogin$}, 'connecting again says where to type it');
	$cloud->act('graph', device_consent => { user_code => $code, user => 'anna@contoso.example' });
	ok($node->poll_query_until('postgres', q{SELECT state = 'active' AND account IS NOT NULL FROM cloudsync.connections WHERE connection = 'Device'}),
		'once it is typed the connection is active');
	is(sql(q{SELECT count(*) > -1 FROM cloudsync_browse('Device')}), 't', 'and works');
	return;
}

# Dropbox shows a code where there is no redirect URI.
sub shown_code
{
	return unless sql(q{SELECT count(*) FROM cloudsync.providers WHERE provider = 'dropbox'});
	my $options = dropbox();
	sql(q{SELECT cloudsync_register_app('dropbox', 'dbxapp00cloudsync')});
	my ($id, $state, $url) = ask('dropbox', 'Box', $options);
	unlike($url, qr/state=|redirect_uri/, 'a code that is shown needs no state');
	is((ask('dropbox', 'Box', $options))[2], $url, 'asking again gives the same address');
	my $given = $cloud->consent($url);
	refused(q{SELECT cloudsync_authorize('Box', 'wrong')}, qr/the code is not valid/, 'a wrong code is refused');
	($id, $state, $url) = ask('dropbox', 'Box', $options);
	$given = $cloud->consent($url);
	is(sql("SELECT cloudsync_authorize('Box', " . quoted($given->{code}) . ')'), 'active', 'the code that was shown is taken');
	like(facts('Box'), qr/anna\@example.com/, 'and the account is known');
	# the token that is at hand has ended unseen: another one takes the consent back
	$cloud->act('dropbox', 'expire_tokens');
	sql(q{SELECT cloudsync_disconnect('Box')});
	ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM cloudsync.secret WHERE owner_id = $id AND owner_kind = 'token'"), 'its tokens go');
	is($cloud->act('dropbox', tokens => {})->{refresh}, 0, 'and are revoked');
	return;
}

# What the cloud gave out, and what it was told, has the word CloudSecret in it.
sub nothing_told
{
	sql(q{CREATE FUNCTION public.register(secret text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM cloudsync_register_app('gdrive', 'web', secret); END $$});
	refused(q{SET cloudsync.require_tenant = on; SELECT public.register('GOCSPX-CloudSecret9')}, qr/no tenant is set/, 'an application that forgets its tenant is refused');
	my $log = slurp_file($node->logfile);
	unlike($log, qr/CloudSecret/, 'no secret is in the log');
	unlike($log, qr/PRIVATE KEY/, 'nor a key');
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'pg_dump', '-d', $node->connstr('postgres') ], '>', \$out, '2>', \$err);
	cmp_ok(length($out), '>', 10000, 'a dump is made');
	unlike($out, qr/CloudSecret|PRIVATE KEY/, 'no secret is in it');
	return;
}

google_consent();
renewal();
consent_ends();
disconnected();
service_accounts();
rotation();
clients();
device();
shown_code();
nothing_told();

$node->stop;
done_testing();
