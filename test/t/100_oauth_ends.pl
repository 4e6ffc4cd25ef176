# How access by tokens ends, and how it is renewed (C2, C3, C5): other credentials
# are checked before they replace those that hold; known ends are counted down;
# what began with former credentials says nothing of the new ones; codes of devices
# that expire, are denied, asked for too often; crashes in the middle of consent;
# two databases that renew the same account's tokens.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use CloudsyncTest;
use OAuthTest;
use TestCloud;

plan skip_all => TestCloud::missing() if TestCloud::missing();

my ($node, $cloud) = oauth_cluster('oauth_ends', "timezone = 'UTC'\n");
my $drive = 'https://www.googleapis.com/auth/drive';
my $web = 'web.apps.googleusercontent.com';
my $one = 'aaaaaaaa-0000-0000-0000-000000000001';

# What a consent at Google would end in, as credentials.
sub grant
{
	my ($user) = @_;
	return json({ refresh_token => $cloud->act('google', grant => { app => $web, user => $user, scopes => [$drive] })->{refresh_token} });
}

sub connect_drive { my ($credentials, %more) = @_; return sql("SELECT state FROM cloudsync_connect('gdrive', 'Drive', $credentials, @{[options(%more)]})"); }
sub whose { return sql(q{SELECT account FROM cloudsync_check('Drive')}); }

sub wait_reason
{
	my ($like, $what) = @_;
	ok(wait_for($node, "SELECT coalesce(reason, '') ~ '$like' FROM cloudsync.connections WHERE connection = 'Drive'"), $what) or diag(facts('Drive'));
	return;
}

sub secrets { return sql(q{SELECT string_agg(s.owner_kind, ' ' ORDER BY 1) FROM cloudsync.secret s JOIN cloudsync.connections c ON s.owner_id = c.connection_id WHERE c.connection = 'Drive' AND s.owner_kind NOT IN ('app', 'consent')}); }

sub renewals
{
	sql("SELECT cloudsync_register_app('gdrive', '$web', 'GOCSPX-CloudSecret1')");
	my $anna = grant('anna@example.com');
	is(connect_drive($anna), 'active', 'connected');
	ok(wait_for($node, q{SELECT account = 'anna@example.com' FROM cloudsync.connections}), 'the account is known');

	is(connect_drive(grant('bert@example.org')), 'active', "credentials of another account's are taken to be checked");
	wait_reason('belongs to account "anna@example.com.*of "bert@example.org', '... and refused, naming both');
	is(sql(q{SELECT state FROM cloudsync.connections}), 'active', '... while the connection goes on');
	is(whose(), 'anna@example.com', '... with what it had');
	is(secrets(), 'connection token', '... of which alone there is a trace');
	like(sql(q{SELECT problem || '|' || action FROM cloudsync_status() WHERE subject = 'connection Drive'}),
		qr/other credentials were refused.*bert.*\|SELECT \* FROM cloudsync_connect\('gdrive', 'Drive'/, 'the status says so, and what to do');
	is(connect_drive($anna), 'active', 'asked for what is in force');
	is(sql(q{SELECT count(*) FROM cloudsync_status()}), '0', '... nothing is wrong any more');

	connect_drive('NULL', scope => "$drive.appdata");
	wait_reason('those from before hold.*drive.appdata', 'options that the consent is not enough for are refused');
	unlike(sql(q{SELECT options FROM cloudsync.connections}), qr/appdata/, '... and the former ones stay');
	is(whose(), 'anna@example.com', '... and work');
	connect_drive(json({ refresh_token => '1//0garbage' }));
	wait_reason('those from before hold.*(expired|revoked)', 'credentials that are none are refused');
	is(whose(), 'anna@example.com', '... and those from before work');

	# killed after the new token was stored, before anybody knew whose it is
	my $new = grant('anna@example.com');
	crash_at($node, 'token.after_store');
	crash_statement($node, "SELECT state FROM cloudsync_connect('gdrive', 'Drive', $new, @{[options()]})");
	ok($node->wait_for_log(qr/crash point token.after_store/), 'a worker is killed in the middle of a check');
	crash_no_more($node);
	ok(wait_for($node, q{SELECT renewal_at IS NULL AND renewal_refused IS NULL FROM cloudsync.connection}), '... the next one ends it');
	is(facts('Drive'), "active|anna\@example.com|$drive", 'new credentials of the same account are taken');
	is(secrets(), 'connection token', '... in place of the others');
	$cloud->act('google', 'expire_tokens');
	is(whose(), 'anna@example.com', '... and work');
	is(sql("SELECT cloudsync.is_secret('connection', connection_id, '', $new) FROM cloudsync.connection"), 't', '... and are those that were given');

	sql(q{SELECT cloudsync_disable('Drive')});
	connect_drive(grant('bert@example.org'));
	sql(q{SELECT cloudsync_enable('Drive')});
	wait_reason('belongs to account', 'what is given to a disabled connection is checked when it is enabled');

	# a token server that is down refuses nothing
	my $fault = $cloud->fault({ service => 'google', route => 'token', kind => 'unavailable', times => 0 });
	connect_drive(grant('anna@example.com'));
	ok(wait_until(sub { $cloud->committed($fault) > 0 }), 'the token server is down');
	wait_reason('being checked', '... the check waits');
	$cloud->clear;
	ok(wait_for($node, q{SELECT renewal_at IS NULL AND renewal_refused IS NULL FROM cloudsync.connection}), '... until it is back');

	# what does not work any more is replaced at once
	$cloud->act('google', expire_refresh => { user => 'anna@example.com' });
	$cloud->act('google', 'expire_tokens');
	$node->psql('postgres', q{SELECT * FROM cloudsync_check('Drive')});
	like(facts('Drive'), qr/^needs_consent/, 'when nothing works any more');
	is(connect_drive(grant('anna@example.com')), 'active', '... others take its place at once');
	is(whose(), 'anna@example.com', '... and work');
	return;
}

sub countdown
{
	my $status = sub {
		my ($days) = @_;
		return sql("SELECT severity, problem, action FROM cloudsync.connection_problems('2027-03-01 12:00+00'::timestamptz + interval '$days days') WHERE problem ~ ' ends in | ended at '");
	};
	sql("SELECT cloudsync_register_app('gdrive', '$web', 'GOCSPX-CloudSecret1', '{\"secret_expires_at\": \"2027-03-01 12:00+00\"}')");
	$cloud->act('google', 'expire_tokens');
	whose();
	is(sql(q{SELECT consent_expires_at FROM cloudsync.connections}), '2027-03-01 12:00:00+00', 'the end of the secret is known');
	is($status->(-15), '', 'nothing is said fifteen days before');
	like($status->(-13.5), qr/^warning\|its application's secret ends in 14 days, at 2027-03-01.*cloudsync_register_app\('gdrive', '\Q$web\E'/, 'a warning fourteen days before');
	like($status->(0.5), qr/^error\|its application's secret ended at/, 'an error after it');
	sql("SELECT cloudsync_register_app('gdrive', '$web', 'GOCSPX-CloudSecret1', '{\"secret_expires_at\": \"2027-09-01 12:00+00\"}')");
	is($status->(0.5), '', 'and nothing once a new secret is registered');
	sql(q{UPDATE cloudsync.connection SET consent_expires_at = '2027-03-01 12:00+00'});
	like($status->(-1), qr/^warning\|its consent or certificate ends in 1 days.*cloudsync_connect.*with credentials/, 'credentials are counted down as well');
	sql(q{UPDATE cloudsync.connection SET consent_expires_at = NULL});
	sql("SELECT cloudsync_register_app('gdrive', '$web', 'GOCSPX-CloudSecret1')");
	return;
}

# A check that began with former options or credentials ends badly after others came.
sub former
{
	my $error = '{"error": {"code": 401, "message": "Invalid Credentials", "errors": [{"reason": "authError"}]}}';
	my %refused = (service => 'google', route => 'about.get', kind => 'status', status => 401, body => $error);
	my ($held) = $cloud->fault({ %refused, held => 1 }, { %refused, nth => 2 });
	my ($out, $err);
	my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', q{SELECT * FROM cloudsync_check('Drive')} ], '>', \$out, '2>', \$err);
	ok(wait_until(sub { $cloud->committed($held) > 0 }), 'a check is on its way');
	connect_drive('NULL', redirect_uri => 'https://app.example.com/other');
	$cloud->clear($held);
	$session->finish;
	$cloud->clear;
	like($out, qr/^needs_consent\|/, 'it is refused');
	is(sql(q{SELECT state FROM cloudsync.connections WHERE connection = 'Drive'}), 'active', '... which says nothing of what was set meanwhile');
	$cloud->fault({ %refused, times => 2 });
	$node->psql('postgres', q{SELECT * FROM cloudsync_check('Drive')});
	is(sql(q{SELECT state FROM cloudsync.connections WHERE connection = 'Drive'}), 'needs_consent', '... though it would of what it was begun with');
	$cloud->clear;
	connect_drive(grant('anna@example.com'), redirect_uri => 'https://app.example.com/other');
	is(whose(), 'anna@example.com', 'and works again');

	# a token that comes when its credentials were forgotten
	$cloud->act('google', 'expire_tokens');
	my $fault = $cloud->fault({ service => 'google', route => 'token', kind => 'stall', at => 'before' });
	$session = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', q{SELECT * FROM cloudsync_check('Drive')} ], '>', \$out, '2>', \$err);
	ok(wait_until(sub { $cloud->committed($fault) > 0 }), 'a token is on its way');
	is(connect_drive("'{}'", redirect_uri => 'https://app.example.com/other'), 'pending', '... when the credentials are forgotten');
	$cloud->clear($fault);
	$session->finish;
	is(secrets(), '', '... and is not stored');

	# ... or when the connection was ended
	connect_drive(grant('anna@example.com'), redirect_uri => 'https://app.example.com/other');
	is(whose(), 'anna@example.com', 'connected once more');
	$cloud->act('google', 'expire_tokens');
	$fault = $cloud->fault({ service => 'google', route => 'token', kind => 'stall', at => 'before' });
	$session = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', q{SELECT * FROM cloudsync_check('Drive')} ], '>', \$out, '2>', \$err);
	ok(wait_until(sub { $cloud->committed($fault) > 0 }), 'a token is on its way');
	sql(q{SELECT cloudsync_disconnect('Drive', revoke => false)});
	$cloud->clear($fault);
	$session->finish;
	is(secrets(), '', '... when the connection is ended, and is not stored');
	return;
}

sub crashes
{
	sql("SELECT cloudsync_register_app('gdrive', '$web', 'GOCSPX-CloudSecret1', '{\"redirect_uri\": \"https://app.example.com/cloudsync/done\"}')");
	foreach my $point ('consent.after_use', 'consent.after_exchange')
	{
		my $given = $cloud->consent((ask('gdrive', $point, options()))[2], { user => 'bert@example.org' });
		crash_at($node, $point);
		my $offset = log_offset($node);
		crash_statement($node, 'SELECT * FROM cloudsync_authorize(' . quoted($given->{redirect}) . ')');
		ok($node->wait_for_log(qr/crash point \Q$point\E/, $offset), "killed at $point");
		crash_no_more($node);
		like(facts($point), qr/^pending/, '... consent is still waited for');
		refused('SELECT * FROM cloudsync_authorize(' . quoted($given->{redirect}) . ')', qr/was used already.*cloudsync_connect/s, '... the same address is good for nothing');
		$given = $cloud->consent((ask('gdrive', $point, options()))[2], { user => 'bert@example.org' });
		is(authorize($given->{redirect}), "$point|active", '... another is');
		is(sql("SELECT account FROM cloudsync_check('$point')"), 'bert@example.org', '... and works');
	}
	is(sql(q{SELECT count(*) FROM cloudsync.secret s JOIN cloudsync.consent n ON s.owner_id = n.consent_id WHERE s.owner_kind = 'consent' AND n.used_at IS NOT NULL AND n.connection_id IN (SELECT connection_id FROM cloudsync.connections WHERE state = 'active')}),
		'0', 'a verifier is forgotten when it was used');
	return;
}

# Google takes back all that a user consented to the application: another
# connection of the same account keeps its own.
sub shared_consent
{
	my ($one, $two) = ('consent.after_use', 'consent.after_exchange');
	my $works = sub { $cloud->act('google', 'expire_tokens'); return sql("SELECT state || ' ' || account FROM cloudsync_check('$two')"); };
	my $id = sql("SELECT connection_id FROM cloudsync.connections WHERE connection = '$one'");
	sql("SELECT cloudsync_disconnect('$one')");
	ok(wait_for($node, "SELECT count(*) = 0 FROM cloudsync.secret WHERE owner_id = $id AND owner_kind IN ('token', 'connection')"), 'of two connections of an account one is ended');
	is($works->(), 'active bert@example.org', '... and the other goes on');

	# ... also where the other is to another drive of the same person's, a shared one
	my $shared = $cloud->act('google', drive => { name => 'Firm', members => { 'bert@example.org' => 'organizer' } });
	sql("SELECT cloudsync_connect('gdrive', 'Firm', @{[grant('bert@example.org')]}, @{[options(drive_id => $shared->{id})]})");
	ok(wait_for($node, q{SELECT account ~ 'Firm' FROM cloudsync.connections WHERE connection = 'Firm'}), 'a shared drive, as the same person');
	$id = sql(q{SELECT connection_id FROM cloudsync.connections WHERE connection = 'Firm'});
	sql(q{SELECT cloudsync_disconnect('Firm')});
	ok(wait_for($node, "SELECT count(*) = 0 FROM cloudsync.secret WHERE owner_id = $id AND owner_kind IN ('token', 'connection')"), '... is ended');
	is($works->(), 'active bert@example.org', '... and her own drive goes on');

	sql("SELECT cloudsync_connect('gdrive', 'Anna', @{[grant('anna@example.com')]}, @{[options()]})");
	ok(wait_for($node, q{SELECT account IS NOT NULL FROM cloudsync.connections WHERE connection = 'Anna'}), 'one of another account');
	sql("SELECT cloudsync_connect('gdrive', 'Anna', '{}', @{[options()]})");
	my $given = $cloud->consent((ask('gdrive', 'Anna', options()))[2], { user => 'bert@example.org' });
	refused('SELECT * FROM cloudsync_authorize(' . quoted($given->{redirect}) . ')', qr/belongs to account "anna\@example.com.*of "bert/s, '... is not renewed by the first one');
	is($works->(), 'active bert@example.org', '... which goes on');

	# consent that comes when the connection was ended is given back
	sql("SELECT cloudsync_disconnect('$two')");
	$given = $cloud->consent((ask('gdrive', 'Anna', options()))[2], { user => 'anna@example.com' });
	my $fault = $cloud->fault({ service => 'google', route => 'token', kind => 'stall', at => 'before' });
	my ($out, $err);
	my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'SELECT * FROM cloudsync_authorize(' . quoted($given->{redirect}) . ')' ], '>', \$out, '2>', \$err);
	ok(wait_until(sub { $cloud->committed($fault) > 0 }), 'consent is on its way');
	$id = sql(q{SELECT connection_id FROM cloudsync.connections WHERE connection = 'Anna'});
	sql(q{SELECT cloudsync_disconnect('Anna')});
	$cloud->clear($fault);
	$session->finish;
	like($err, qr/disconnected meanwhile/, '... when the connection is ended');
	is(sql("SELECT count(*) FROM cloudsync.secret WHERE owner_id = $id AND owner_kind IN ('token', 'connection')"), '0', '... and is not stored');
	is($cloud->act('google', tokens => { user => 'anna@example.com' })->{refresh}, 0, '... but given back');
	return;
}

# Codes of devices: one that is not typed in time, one that is denied, one that is
# allowed; all are asked for more slowly when the service says so.
sub devices
{
	my @names = ('late', 'denied', 'allowed');
	my %code;
	sql(q{SELECT cloudsync_register_app('onedrive', 'aaaaaaaa-0000-0000-0000-000000000002')});
	my $fault = $cloud->fault({ service => 'graph', route => '/token/', kind => 'status', status => 400, times => 0,
			content_type => 'application/json', body => '{"error": "slow_down", "error_description": "too often"}' });
	ask('onedrive', $_, microsoft()) foreach @names;
	foreach my $name (@names)
	{
		ok(wait_for($node, "SELECT reason ~ 'enter the code' FROM cloudsync.connections WHERE connection = '$name'"), "$name: a code is shown");
		($code{$name}) = facts($name) =~ /enter the code (\S+),/;
	}
	ok(wait_for($node, q{SELECT count(*) = 3 FROM cloudsync.consent WHERE kind = 'device' AND poll_every = 10}), 'asked to, all ask less often');
	$cloud->clear;
	$cloud->act('graph', device_consent => { user_code => $code{denied}, user => 'anna@contoso.example', deny => 1 });
	$cloud->act('graph', device_consent => { user_code => $code{allowed}, user => 'anna@contoso.example' });
	ok(wait_for($node, q{SELECT state = 'active' AND account IS NOT NULL FROM cloudsync.connections WHERE connection = 'allowed'}), 'allowed: active');
	ok(wait_for($node, q{SELECT state = 'pending' AND reason ~ 'consent was refused' FROM cloudsync.connections WHERE connection = 'denied'}), 'denied: pending, with the reason');
	$cloud->clock(1000);
	ok(wait_for($node, q{SELECT state = 'pending' AND reason ~ 'not used in time' FROM cloudsync.connections WHERE connection = 'late'}), 'late: pending, with the reason');
	is(sql(q{SELECT count(*) FROM cloudsync.secret WHERE owner_kind = 'consent' AND owner_id IN (SELECT consent_id FROM cloudsync.consent WHERE kind = 'device')}), '0',
		'no code is left');
	ask('onedrive', 'late', microsoft());
	ok(wait_for($node, q{SELECT reason ~ 'enter the code' AND reason !~ '} . $code{late} . q{' FROM cloudsync.connections WHERE connection = 'late'}), 'connecting again gives another code');
	# consent that comes when the connection was ended; its lock is held meanwhile
	($code{late}) = facts('late') =~ /enter the code (\S+),/;
	my $id = sql(q{SELECT connection_id FROM cloudsync.connections WHERE connection = 'late'});
	my $talks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = $id AND objsubid = 17238"; # CS_LOCK_TOKEN
	$cloud->act('graph', device_consent => { user_code => $code{late}, user => 'anna@contoso.example' });
	$fault = $cloud->fault({ service => 'graph', route => '/token/', kind => 'stall', at => 'commit' });
	ok(wait_until(sub { $cloud->committed($fault) > 0 }), 'consent is on its way');
	is(sql($talks), '1', '... nobody else asks for tokens of it');
	sql(q{SELECT cloudsync_disconnect('late')});
	$cloud->clear($fault);
	ok(wait_for($node, $talks, '0'), '... and comes when the connection is ended');
	is(sql("SELECT count(*) FROM cloudsync.secret WHERE owner_id = $id AND owner_kind IN ('token', 'connection')"), '0', '... and is not stored');
	return;
}

# Two databases of one cluster have the same consent, of a service that gives
# another refresh token with each renewal.
sub two_databases
{
	sql("SELECT cloudsync_register_app('onedrive', '$one', 'm~CloudSecret+1/=')");
	$node->safe_psql('postgres', 'CREATE DATABASE second');
	create_extension($node, 'second');
	sql("SELECT cloudsync_register_app('onedrive', '$one', 'm~CloudSecret+1/=')", 'second');
	my $grant = $cloud->act('graph', grant => { app => $one, user => 'anna@contoso.example', scopes => [ 'Files.ReadWrite', 'offline_access' ] });
	my $credentials = json({ refresh_token => $grant->{refresh_token} });
	my @databases = qw(postgres second);
	sql("SELECT cloudsync_connect('onedrive', 'Shared', $credentials, @{[microsoft()]})", $_) foreach @databases;
	foreach my $db (@databases)
	{
		ok(wait_for($node, q{SELECT account IS NOT NULL FROM cloudsync.connections WHERE connection = 'Shared'}, 't', $db), "$db: connected");
	}
	foreach my $round (1 .. 3)
	{
		$cloud->act('graph', 'expire_tokens');
		my $mark = $cloud->mark;
		my @sessions = map { IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr($_), '-c', q{SELECT count(*) FROM cloudsync_browse('Shared')} ],
				'>', \my $out, '2>', \my $err) } (@databases) x 2;
		is(scalar(grep { $_->finish } @sessions), 4, "round $round: both ask at once with tokens that have ended, and get on");
		is($cloud->count({ service => 'graph', route => '/token/', since => $mark }), 2, '... each by a token of its own, asked for once');
	}
	foreach my $db (@databases)
	{
		is(sql(q{SELECT state FROM cloudsync.connections WHERE connection = 'Shared'}, $db), 'active', "$db: is active");
	}
	sql(q{SELECT cloudsync_disconnect('Shared')}, 'second');
	$cloud->act('graph', 'expire_tokens');
	is(sql(q{SELECT count(*) > -1 FROM cloudsync_browse('Shared')}), 't', 'and one goes on when the other is ended');
	return;
}

renewals();
countdown();
former();
crashes();
shared_consent();
devices();
two_databases();

$node->stop;
done_testing();
