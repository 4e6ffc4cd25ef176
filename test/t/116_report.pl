# cloudsync_report(): one page that needs nothing but itself, whatever stands in
# names and errors; right figures, by day of the session's time zone; readable by
# who cannot see it and by day and night (H5). What a browser shows was looked at;
# here its structure is checked by parsers of HTML and XML. And nothing that people
# look at all day reads the history as a whole.
use strict;
use warnings;

use IPC::Run ();
use CloudsyncTest;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('report', conf => "cloudsync.enabled = off\n");
my $db = q{firm <b>&"};
$node->safe_psql('postgres', q{CREATE DATABASE "firm <b>&""" TEMPLATE template0});
create_extension($node, $db);
sub sql { return scalar_sql($node, $_[0], $db) }

# What people and services wrote may hold anything that text may.
$node->safe_psql($db, <<'SQL');
SELECT cloudsync_connect('local', '</title><script>alert(1)</script>', options => '{"path": "a"}');
SELECT cloudsync_connect('local', E'"onload=''x'' \u202e', options => '{"path": "b"}');
SELECT cloudsync_connect('local', 'idle', options => '{"path": "c"}');
SELECT cloudsync_add_recipient('Ann');
SELECT cloudsync_create_channel(E'"onload=''x'' \u202e', E'<img src=x onerror=alert(1)>\ufffe&amp;', ARRAY['/in'], 'Ann', 'Mail', auto_collect => false);
-- as one whose name came before there was a rule for it
UPDATE cloudsync.channel SET name = replace(name, E'\ufffe', E'\u0001\ufffe');
CREATE FUNCTION ended(kind text, connection integer, state text, at timestamptz, took interval, due timestamptz DEFAULT NULL, files integer DEFAULT 0,
		bytes bigint DEFAULT 0, error text DEFAULT NULL, dossier text DEFAULT '<svg/onload=1>') RETURNS bigint LANGUAGE sql AS $$
	INSERT INTO cloudsync.run (kind, connection_id, channel_id, dossiers_id, dossier, origin, requested_by, due_at, started_at, finished_at, state, files_done, bytes_sent, bytes_received, error)
	VALUES (kind, connection, CASE kind WHEN 'push' THEN NULL ELSE 1 END, 1, dossier, 'auto', 'auto', due, at - took, at, state, files,
		CASE kind WHEN 'push' THEN bytes ELSE 0 END, CASE kind WHEN 'push' THEN 0 ELSE bytes END, error) RETURNING run_id $$;
SELECT ended('push', 1, 'succeeded', now() - interval '1 day', '10 s', now(), 3, 5000) FROM generate_series(1, 5);
SELECT ended('push', 1, 'succeeded', now() - interval '1 day', '2 hours', now() - interval '2 days', 1, 1000000);
SELECT ended('push', 1, 'failed', now() - interval '2 days', '3 s', NULL, 0, 0, 'could not write "/CloudSync/' || g || '/<script>"') FROM generate_series(1, 4) g;
SELECT ended('push', 2, 'partial', now() - interval '2 days', '3 s', NULL, 1, 0, 'the storage is <b>full') FROM generate_series(1, 2) g;
SELECT ended('collect', 2, 'succeeded', now() - interval '3 days', '1 min', NULL, 7, 2097152);
SELECT ended('push', 1, 'succeeded', now() - interval '40 days', '1 s');
SELECT ended('push', 1, 'succeeded', now(), '1 s', NULL, 3, 5000) AS shared \gset
UPDATE cloudsync.run SET shared_run_id = 1 WHERE run_id = :shared;
-- one that shared another's failure, however late it came
SELECT ended('push', 1, 'failed', now() - interval '2 days', '5 hours', NULL, 0, 0, 'the storage is <b>full') AS shared \gset
UPDATE cloudsync.run SET shared_run_id = 7 WHERE run_id = :shared;
SELECT cloudsync_connect('local', 'gone', options => '{"path": "d"}');
SELECT cloudsync_disconnect('gone');
SET cloudsync.tenant = '<acme>';
SELECT cloudsync_connect('local', 'theirs', options => '{"path": "a"}');
SQL

# The words of the page, as a reader hears them: script by the parsers, on what is
# printed to it; one line a complaint.
my $checker = <<'PY';
import re, sys, html5lib
import xml.etree.ElementTree as xml
page = sys.stdin.buffer.read().decode('utf-8')
parser = html5lib.HTMLParser(namespaceHTMLElements=False)
parser.parse(page)
for error in parser.errors:
    print('HTML:', error)
root = xml.fromstring(page)
parents = {child: parent for parent in root.iter() for child in parent}
ids = [e.get('id') for e in root.iter() if e.get('id')]
names = {i: ''.join(e.itertext()).strip() for e in root.iter() for i in [e.get('id')] if i}
def say(*words): print(*words)
if len(ids) != len(set(ids)): say('an id stands twice')
allowed = set('''html head meta title style body a header h1 h2 p b i bdi small main section dl dt dd div ul li svg g rect line desc span
    details summary table caption thead tbody tr th td footer'''.split())
for e in root.iter():
    if e.tag not in allowed: say('element', e.tag)
    for key, value in e.attrib.items():
        if key.startswith('on') or key in ('src', 'srcset', 'action', 'data', 'xlink:href', 'background', 'formaction'): say('attribute', key)
        if key == 'href' and not (value.startswith('#') and value[1:] in ids): say('href', value)
        if key == 'style' and not re.fullmatch(r'left:[0-9.]+%', value): say('style', value)
        if key in ('aria-labelledby', 'aria-describedby'):
            for i in value.split():
                if not names.get(i): say(key, i, 'names nothing')
    if e.tag == 'svg' and e.get('aria-hidden') != 'true':
        kinds = [c.tag for c in e]
        if e.get('role') != 'img' or kinds[:2] != ['title', 'desc'] or not e.get('aria-labelledby'): say('a picture without words')
    if e.tag == 'table':
        if e[0].tag != 'caption' or not ''.join(e[0].itertext()).strip(): say('a table without caption')
        columns = [h.get('scope') for h in e.find('thead/tr')]
        for row in e.iter('tr'):
            if len(row) != len(columns): say('a row of', len(row), 'cells')
            if row[0].tag != 'th': say('a row without head')
        if any(h.get('scope') not in ('col', 'row') for h in e.iter('th')): say('th without scope')
        box = parents[e]
        if box.get('role') != 'region' or box.get('tabindex') != '0' or not (box.get('aria-label') or box.get('aria-labelledby')): say('a table that no key can scroll')
    if e.tag == 'section' and not e.get('aria-labelledby'): say('a section without name')
if re.search(r'url\(|@import|expression|</style', ''.join(root.find('head/style').itertext()), re.I): say('a style that looks elsewhere')
if root.get('lang') != 'en': say('no language')
if [len(list(root.iter(t))) for t in ('h1', 'header', 'main', 'footer')] != [1, 1, 1, 1]: say('landmarks')
if root.find("head/meta[@name='viewport']") is None: say('no viewport')
if "default-src 'none'" not in root.find("head/meta[@http-equiv]").get('content'): say('no policy')
skip = root.find('body')[0]
if skip.get('href') != '#figures': say('no way past the head')
# contrast of each pair of colours, by day and by night
def channel(c): c /= 255; return c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
def light(h):
    h = h if len(h) == 6 else ''.join(c + c for c in h)
    return sum(f * channel(int(h[i:i + 2], 16)) for f, i in ((.2126, 0), (.7152, 2), (.0722, 4)))
def contrast(a, b): a, b = sorted((light(a), light(b))); return (b + .05) / (a + .05)
schemes = [dict(re.findall(r'--([a-z]+):#([0-9a-f]+)', block)) for block in re.findall(r':root\{([^}]*)\}', root.find('head/style').text)]
if len(schemes) != 2: say('no two schemes')
for s in schemes:
    for ink, ground, least in [(i, g, 4.5) for i in ('ink', 'soft', 'bad') for g in ('card', 'page')] + \
            [(i, 'card', 3) for i in ('good', 'part', 'bad', 'idle', 'sent', 'got', 'late')]:
        if contrast(s[ink], s[ground]) < least: say('contrast of', ink, 'on', ground, round(contrast(s[ink], s[ground]), 2))
for e in root.iter():
    if e.tag in ('h1', 'dt', 'th', 'td', 'dd', 'h2') or e.get('class') == 'words':
        print('>', e.tag, ' '.join(''.join(e.itertext()).split()))
PY

# What the checker has to say, and what the page says in its headings, figures and cells.
sub look
{
	my ($what, $page) = @_;
	my $said = '';
	IPC::Run::run([ '/usr/bin/python3', '-c', $checker ], '<', \$page, '>&', \$said) or diag($said);
	my $complaints = join "\n", grep { !/^>/ } split /\n/, $said;
	is($complaints, '', "$what: nothing to complain of");
	return join "\n", map { s/^> //r } grep { /^>/ } split /\n/, $said;
}

# of two places one where no day ends meanwhile
my ($place) = grep {
	local $ENV{TZ} = $_;
	POSIX::tzset();
	my ($minute, $hour) = (localtime)[ 1, 2 ];
	$hour > 0 && $hour * 60 + $minute < 23 * 60 + 30;
} 'Pacific/Auckland', 'America/Halifax';
POSIX::tzset();
my $zone = "SET TimeZone = '$place'; ";
my $page = sql($zone . 'SELECT cloudsync_report()');
my $words = look('30 days', $page);
like($page, qr/^<!DOCTYPE html>\n<html lang="en">/, 'a page');
unlike($page, qr/<script|<img|<svg\/|onerror=(?!alert)|https?:|\x{1}|\xef\xbf\xbe/i, 'nothing of what is in the names is markup, and nothing leads elsewhere');
like($page, qr/&lt;\/title&gt;&lt;script&gt;alert\(1\)&lt;\/script&gt;/, '... it is text');
like($page, qr/<bdi>&quot;onload=&#39;x&#39; \xe2\x80\xae<\/bdi>/, '... which cannot turn what is beside it');
like($page, qr/firm &lt;b&gt;&amp;&quot;/, 'the database is named');
like($page, qr/time zone <b>$place<\/b>/, 'the time zone is stated');
like($words, qr/^dt Deadline kept\ndd 83\.3 %\ndd 5 of 6 changed dossiers were begun in time$/m, 'deadlines kept');
like($words, qr/^dt Pushes\ndd 12\ndd 6 failed wholly or in part$/m, 'pushes, as executed');
like($words, qr/^dt Sent\ndd 1001 kB\ndd in 18 files$/m, 'bytes sent');
like($words, qr/^dt Collections\ndd 1\ndd none failed/m, 'collections');
like($words, qr/^dt Received\ndd 2 MB\ndd in 7 documents$/m, 'bytes received');
like($words, qr/^h2 Failures by cause\n(?:.*\n)*?th could not write …\ntd 4\ntd 0\n(?:.*\n){2}th the storage is <b>full\ntd 2\ntd 2\n/m, 'causes, the most frequent first, names and numbers aside');
like($words, qr/^h2 Slowest runs\n(?:[^\d\n]*\n){9}th 6\ntd push of dossier <svg\/onload=1>\n.*\ntd .*\ntd 2:00:00\ntd 1\ntd 977 kB\ntd succeeded\n/m, 'the slowest first');
like($words, qr/^th <\/title><script>alert\(1\)<\/script> local\ntd active\ntd 10\ntd 16\ntd 1001 kB\ntd 83\.3 %\n/m, 'each connection');
like($words, qr/^th idle local\ntd active\ntd 0\n(?:.*\n){7}td –$/m, '... the idle one too');
like($words, qr/^th "onload='x' \S+ local\ntd active\n(?:.*\n){8}td \Q@{[sql("$zone SELECT to_char(finished_at, 'FMDD Mon HH24:MI') FROM cloudsync.run WHERE kind = 'collect'")]}\E$/m,
	'... with its last success, whatever failed since');
like($words, qr/^th theirs local, <acme>$/m, '... and whose it is');
unlike($words, qr/^th gone local/m, 'one that was disconnected, and did nothing, is not there');
my @day = map { sql("$zone SELECT to_char(now() - interval '$_ days', 'FMDD Mon YYYY')") } 0 .. 3;
like($words, qr/^th $day[1]\ntd 6\ntd 0\ntd 0\ntd 0\nth $day[2]\ntd 0\ntd 2\ntd 4\ntd 0$/m, 'by day, the latest first');
my $late = sql("BEGIN; SELECT left(ended('push', 3, 'succeeded', date_trunc('day', now() AT TIME ZONE '$place') AT TIME ZONE '$place' - interval '1 s', '1 s')::text, 0); $zone SELECT cloudsync_report('2 days'); ROLLBACK");
like(look('a second before midnight', $late), qr/^th $day[1]\ntd 7\n/m, '... is the day that ends in the session\'s time zone');

# Many causes and connections, and time zones of people's own making.
my $many = sql("SET TimeZone = '<+05>-05'; BEGIN; \\o /dev/null
SELECT ended('push', c, 'failed', now(), '1 s', NULL, 0, 0, 'cause ' || chr(96 + g)) FROM generate_series(1, 14) g, unnest(ARRAY[1, 2, 3, 5]) c WHERE g = 1 OR c = 1;
\\o\nSELECT cloudsync_report('1 day'); ROLLBACK");
$words = look('many causes', $many);
is(() = $words =~ /^th cause \w$/mg, 12, 'the twelve causes that are most frequent');
like($words, qr/^th cause a\ntd 4\ntd 0\ntd (?!.*theirs).* and 1 more\n/m, '... with three connections by name');
like($many, qr/time zone <b>&lt;\+05&gt;-05<\/b>/, 'a time zone is text too');
is(sql(q{SELECT string_agg(cloudsync.html_share(part, 100000), ', ' ORDER BY part) FROM unnest(ARRAY[0, 1, 99, 99990, 99999, 100000]) part}),
	'0 %, 0.1 %, 0.1 %, 99.9 %, 99.9 %, 100 %', 'of all alone it says 100 %, of none alone 0 %');
is(sql(q{SELECT string_agg(cloudsync.html_bytes(n), ', ' ORDER BY n) FROM unnest(ARRAY[0, 1, 2, 1023, 1024, 10240, 1048575, 1073741824]::bigint[]) n}),
	'0, 1 byte, 2 bytes, 1023 bytes, 1 kB, 10 kB, 1 MB, 1 GB', 'bytes as people read them');

# Longer and shorter, nothing at all, and what cannot be.
like(look('a year', sql("SELECT cloudsync_report('1 year')")), qr/^h2 Pushes by week$/m, 'a year is by week');
like(sql("SELECT cloudsync_report('2 years')"), qr/<span style="left:[\d.]+%">[A-Z][a-z]{2} \d{4}<\/span>/, 'two years have theirs on the axis');
my $old = sql("BEGIN; SELECT left(ended('push', 3, 'succeeded', date_trunc('year', now()) - interval '3 years', '5 hours')::text, 0); SET TimeZone = 'UTC'; SELECT cloudsync_report('5 years'); ROLLBACK");
like(look('five years', $old), qr/^h2 Pushes by month$/m, 'five are by month');
like($old, qr/<td>(?:31 Dec|1 Jan) \d{4}<\/td>/, 'what is long ago has its year');
my $hour = sql("BEGIN; \\o /dev/null
SELECT set_config('TimeZone', CASE extract(hour FROM now() AT TIME ZONE 'UTC') WHEN 0 THEN '<+12>-12' ELSE 'UTC' END, true); -- after midnight, yesterday is in the hour
\\o\nSELECT cloudsync_report('1 hour'); ROLLBACK");
like(look('an hour', $hour), qr/^h2 Pushes$/m, 'where there is nothing it says so');
foreach my $bad ('NULL', "'0'", "'-1 day'", "'11 years'")
{
	my (undef, undef, $err) = $node->psql($db, "SELECT cloudsync_report($bad)");
	like($err, qr/since must be a time between.*HINT/s, "not since $bad");
}

# What a screen reader is given of it, in its order: Chromium's own tree for such
# programs, with all figures unfolded, one line a role with its name. How wide the
# page is on a phone and on a desk is measured there too, in light and in dark. Where
# Chromium does not run, the structure that it is made of was tested above.
my $reader = <<'PY';
import asyncio, os, subprocess, sys, tempfile, aiohttp
# how far the page reaches beyond the window, and the ink on the paper
LOOK = '''(() => { const style = getComputedStyle(document.body), root = document.documentElement;
    return [root.scrollWidth - root.clientWidth, style.color, 'on', style.backgroundColor].join(' ') })()'''
async def tree(page):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        browser = subprocess.Popen([sys.argv[1], '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-extensions',
            '--remote-debugging-port=0', '--user-data-dir=' + home, 'about:blank'],
            env={**os.environ, 'HOME': home}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            port = home + '/DevToolsActivePort'
            while not os.path.exists(port) or len(open(port).read().split()) < 2:
                if browser.poll() is not None: raise SystemExit(3)
                await asyncio.sleep(0.05)
            number, path = open(port).read().split()
            async with aiohttp.ClientSession() as session, session.ws_connect(f'ws://127.0.0.1:{number}{path}', max_msg_size=0) as ws:
                asked = 0
                async def ask(method, of=None, until=None, **params):
                    nonlocal asked
                    asked += 1
                    await ws.send_json({'id': asked, 'method': method, 'params': params, **({'sessionId': of} if of else {})})
                    result = None
                    while result is None or until:
                        said = await ws.receive_json()
                        if said.get('id') == asked:
                            if 'error' in said: raise SystemExit(said['error'])
                            result = said['result']
                        if said.get('method') == until: until = None
                    return result
                target = (await ask('Target.createTarget', url='about:blank'))['targetId']
                shown = (await ask('Target.attachToTarget', targetId=target, flatten=True))['sessionId']
                await ask('Page.enable', shown)
                await ask('Page.navigate', shown, until='Page.loadEventFired', url='file://' + page)
                await ask('Runtime.evaluate', shown, expression='document.querySelectorAll("details").forEach(d => d.open = true)')
                nodes = (await ask('Accessibility.getFullAXTree', shown))['nodes']
                for width, scheme in [(360, 'light'), (360, 'dark'), (1366, 'light'), (1366, 'dark')]:
                    await ask('Emulation.setDeviceMetricsOverride', shown, width=width, height=800, deviceScaleFactor=1, mobile=width < 500)
                    await ask('Emulation.setEmulatedMedia', shown, features=[{'name': 'prefers-color-scheme', 'value': scheme}])
                    seen = await ask('Runtime.evaluate', shown, returnByValue=True, expression=LOOK)
                    print('look', width, scheme, seen['result']['value'])
                return nodes
        finally:
            browser.terminate()
            browser.wait()
nodes = asyncio.run(tree(sys.argv[2]))
known = {node['nodeId']: node for node in nodes}
def walk(node):
    role, name = ((node.get(what) or {}).get('value') or '' for what in ('role', 'name'))
    if not node.get('ignored') and role not in ('InlineTextBox', 'StaticText', 'none', 'generic', 'LineBreak'):
        print(role, ' '.join(name.split()))
    elif not node.get('ignored') and role == 'StaticText' and name.strip():
        print('-', ' '.join(name.split()))
    for child in node.get('childIds', []):
        if child in known: walk(known[child])
walk(nodes[0])
PY
sub heard
{
	my ($browser, $page) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/report.html';
	write_file($file, $page);
	my ($said, $err) = ('', '');
	IPC::Run::run([ '/usr/bin/python3', '-c', $reader, $browser, $file ], '>', \$said, '2>', \$err, IPC::Run::timeout(300))
	  or ($? >> 8) == 3
	  or diag($err);
	return $? >> 8 == 3 ? undef : $said;
}
SKIP:
{
	my ($browser) = grep { -x } '/usr/bin/chromium-headless-shell', '/usr/bin/chromium';
	skip 'there is no Chromium', 1 if !defined $browser;
	my $heard = heard($browser, $page);
	skip "$browser does not run here", 1 if !defined $heard;
	like($heard, qr/^RootWebArea cloudsync, firm <b>&": .*\nlink Skip to the figures\n/m, 'a screen reader has the title, and first a way past the head');
	my @by_day = map { my $name = "$_ by day"; ("region $name", "heading $name", "image $name", "region $name, figures", "table $name, the latest first") }
	  qw(Pushes Collections Bytes Deadlines);
	my @tables = map { ("region $_", "heading $_", "region $_", "table $_") } 'Connections', 'Failures by cause', 'Slowest runs';
	is(join("\n", map { s/^(image .*?) Bars, one a day\. .* The table below has each\.$/$1/r } $heard =~ /^((?:banner|main|contentinfo|heading|region|image|table)\b.*?) ?$/mg),
		join("\n", 'banner', 'heading Pushes and collections', 'main', 'region At a glance', 'heading At a glance', @by_day, @tables, 'contentinfo'),
		'... landmarks, headings, pictures and tables by their names, in their order');
	like($heard, qr/^term Deadline kept\n- .*\ndefinition \n- 83\.3 %\ndefinition \n- 5 of 6 changed dossiers were begun in time\n/m, '... each figure with its term');
	like($heard, qr/^image Pushes by day Bars, one a day\. 12 in all, 0\.4 a day on average; most on $day[2]: 6\. The table/m, '... a picture in words');
	like($heard, qr/^columnheader Day\n.*\ncolumnheader Succeeded\n.*\ncolumnheader In part\n.*\ncolumnheader Failed\n/m, '... and a table\'s columns');
	like($heard, qr/^row \nrowheader $day[2]\n.*\ncell 0\n.*\ncell 2\n.*\ncell 4\n/m, '... and rows');
	unlike($heard, qr/^(?:image|table|region|heading|link|DisclosureTriangle) ?$/m, '... and nothing without a name');
	my %ink;
	foreach my $width (360, 1366)
	{
		foreach my $scheme ('light', 'dark')
		{
			my ($beyond, $color) = $heard =~ /^look $width $scheme (\d+) (.*)$/m;
			is($beyond, 0, "at $width pixels, $scheme: nothing is beyond the window's edge");
			$ink{$scheme} = $color;
		}
	}
	isnt($ink{dark}, $ink{light}, 'dark is another ink on another paper');
}

# A tenant sees its own; nobody without rights anything.
$node->safe_psql($db, q{CREATE ROLE other LOGIN IN ROLE cloudsync_reader, cloudsync_app; CREATE ROLE nobody LOGIN});
my $tenant = $node->safe_psql($db, q{SET cloudsync.tenant = '<acme>'; SELECT cloudsync_report()}, extra_params => [ '-U', 'other' ]);
$words = look('a tenant', $tenant);
unlike($tenant, qr/alert|onload|storage is/, '... sees nothing of others');
like($words, qr/^dt Pushes\ndd 0\n.*\ndt Sent\ndd 0\n.*\ndt Collections\ndd 0\n.*\ndt Received\ndd 0\n/m, '... nor counts it');
like($words, qr/^th theirs local, <acme>\ntd active\ntd 0\n/m, '... but its own');
like($tenant, qr/for <b><bdi>&lt;acme&gt;<\/bdi><\/b>/, '... and for whom it is');
$tenant = sql(q{SET cloudsync.tenant = 'new'; SELECT cloudsync_report('10 years')});
look('where there is nothing', $tenant);
like($tenant, qr/>There is no connection\..*>No run failed in this time\..*>No run ended in this time\./s, '... it says so');
my $one = sql("BEGIN; SELECT left(ended('push', connection_id::integer, 'succeeded', now(), '1 s', now(), 1, 1)::text, 0) FROM cloudsync.connection WHERE tenant = '<acme>'; SET cloudsync.tenant = '<acme>'; SELECT cloudsync_report(); ROLLBACK");
like(look('one of each', $one), qr/^dd 100 %\ndd 1 of 1 changed dossier was begun in time\n(?:.*\n)*?dt Sent\ndd 1 byte\ndd in 1 file\n/m, '... is not many');
foreach my $what ('cloudsync_report()', 'cloudsync_metrics()')
{
	my (undef, undef, $err) = $node->psql($db, "SELECT $what", extra_params => [ '-U', 'nobody' ]);
	like($err, qr/permission denied for function/, "$what is for readers");
}

# With much history: what is looked at all day reads none of it as a whole, and the
# report by the index on the time. Counted in the transaction itself.
$node->safe_psql($db, <<'SQL');
INSERT INTO cloudsync.run (kind, connection_id, channel_id, dossiers_id, dossier, origin, requested_by, started_at, finished_at, state)
	SELECT CASE WHEN g % 9 = 0 THEN 'collect' ELSE 'push' END, 1, 1, 1, g, 'auto', 'auto', t, t, 'succeeded'
	FROM generate_series(1, 40000) g, LATERAL (SELECT now() - g * interval '14 min') x (t);
INSERT INTO cloudsync.document (tenant, account_id, connection_id, channel_id, run_id, name, size, sha256, media_type, remote_path, recipient, binder, state, ocr_state, ocr_waits_for)
	SELECT '', account_id, connection_id, 1, 1, 'scan ' || g, 1, '', 'application/pdf', '/in', 'Ann', 'Mail', CASE WHEN g % 500 = 0 THEN 'waiting' ELSE 'filed' END,
		CASE WHEN g % 1000 < 3 THEN 'pending' ELSE 'done' END, CASE WHEN g % 1000 = 2 THEN 'tesseract' END
	FROM cloudsync.connection, generate_series(1, 5000) g WHERE connection_id = 1;
ANALYZE cloudsync.document;
UPDATE cloudsync.channel SET last_run_id = (SELECT max(run_id) FROM cloudsync.run WHERE kind = 'collect');
ANALYZE cloudsync.run;
SQL
foreach my $call ('* FROM cloudsync_status()', 'cloudsync_metrics()', 'cloudsync_lag()', 'cloudsync_progress(100)', '* FROM cloudsync.activity', "cloudsync_report('7 days')")
{
	is(sql("BEGIN; SET LOCAL max_parallel_workers_per_gather = 0; \\o /dev/null\nSELECT $call;\n\\o\nSELECT sum(seq_scan) FROM pg_stat_xact_all_tables WHERE relid IN ('cloudsync.run'::regclass, 'cloudsync.document'::regclass); ROLLBACK"),
		'0', "$call reads neither history nor documents as a whole");
}
like(sql('SELECT cloudsync_metrics()'), qr/^cloudsync_unread_documents\{tenant=""\} 15$/m, '... and counts what is not read');

$node->stop('fast');
done_testing();
