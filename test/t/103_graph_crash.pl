# OneDrive and SharePoint when somebody pulls the plug: workers that are killed at
# each named point of a push and of a collection (P7, L5), uploads that another
# process goes on with, or not, since the content has changed meanwhile (P12), an
# upload whose address was lost on the way and holds its name, and Office files that
# the service rewrites, told from others' after a crash (P17).
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use CloudsyncTest;
use GraphTest;
use TestCloud;

plan skip_all => TestCloud::missing() if TestCloud::missing();

graph_cluster('graph_crash');

my $large = "convert_to(repeat('%s of the large one ', 250000), 'UTF8')";    # 5 MB: an upload of one part
my $parts = "convert_to(repeat('%s of two parts', 800000), 'UTF8')";         # more than 10 MiB: of two

# Each file of the dossier is there once; with its bytes, but for what is rewritten.
sub is_whole
{
	my ($what) = @_;
	my %wanted = map { split /\t/ } split /\n/,
	  sql("SELECT name || E'\\t' || encode(sha256(content), 'hex') FROM app.dossier_file WHERE dossier_id = $dossier");
	my $title = sql("SELECT title FROM app.dossier WHERE id = $dossier");
	my %found = map { $_->{name} => $_->{sha256} } tree_of("/CloudSync/$title");
	$found{$_} = $wanted{$_} foreach grep { /docx$/ && $found{$_} } keys %wanted;
	is_deeply(\%found, \%wanted, "$row: $what: each file is there once, whole");
	is($cloud->act('graph', 'sessions')->{sessions}, 0, "$row: $what: no upload is left");
	return;
}

# Waits until nothing is to be done any more; by hand where a name is held.
sub finished
{
	my ($what) = @_;
	wait_for($node, q{SELECT count(*) = 0 FROM cloudsync.run WHERE state IN ('queued', 'running')});
	if (sql('SELECT count(*) FROM cloudsync.due') > 0)
	{
		like(sql(q{SELECT string_agg(last_error, ' ') FROM cloudsync.files WHERE state = 'failed'}), qr/holds its name/, "$row: $what: why it waits is said");
		$cloud->clock(901);
		push_now("$what: the name is free again");
	}
	is_whole($what);
	return;
}

# A push whose worker is killed at a point.
sub killed_at
{
	my ($point) = @_;
	my $offset = log_offset($node);
	crash_at($node, "push.$point");
	crash_statement($node, "SELECT cloudsync_push_dossier('$dossier', '$row')");
	ok($node->wait_for_log(qr/cloudsync worker.*was terminated by signal 9/, $offset), "$row: $point: the worker is killed");
	crash_no_more($node);
	finished($point);
	return;
}

sub killed_pushing
{
	foreach my $point (qw(after_claim after_read after_write after_checkpoint after_rename before_settle_commit after_settle))
	{
		new_dossier("$point");
		add_file($_, "convert_to('$_ at $point', 'UTF8')") foreach qw(a.txt b.txt c.docx);
		add_file('large.bin', sprintf($large, $point));
		killed_at($point);
	}
	return;
}

# The dossier and a file have another name, another file was deleted.
sub killed_moving
{
	foreach my $point (qw(after_folder_move after_trash after_move))
	{
		new_dossier("$point");
		add_file($_, "convert_to('$_ at $point', 'UTF8')") foreach qw(a.txt b.txt c.docx);
		push_now("$point: before");
		sql(qq{UPDATE app.dossier SET title = '$point moved' WHERE id = $dossier;
			UPDATE app.dossier_file SET name = 'renamed ' || name WHERE dossier_id = $dossier AND name <> 'b.txt';
			DELETE FROM app.dossier_file WHERE dossier_id = $dossier AND name = 'b.txt'});
		killed_at($point);
		is(scalar(grep { $_->{path} =~ m{^/CloudSync/$point/} } tree_of('/CloudSync')), 0, "$row: $point: nothing is under the old name");
	}
	return;
}

# Kills the worker, which was stopped or not, and waits until the server is back.
sub kill_worker
{
	my ($pid) = @_;
	my $offset = log_offset($node);
	kill('KILL', $pid);
	$node->wait_for_log(qr/cloudsync worker.*was terminated by signal 9/, $offset);
	wait_for($node, 'SELECT true');
	return;
}

sub worker { return (worker_pids($node, 'cloudsync worker'))[0] }

# An upload is cut off after its first part.
sub cut_off
{
	my ($what) = @_;
	new_dossier($what);
	my $file = add_file('big.bin', sprintf($parts, 'bytes'));
	my $fault = $cloud->fault({ service => 'graph', route => 'upload.put', nth => 2, kind => 'stall', at => 'before' });
	my $run = sql("SELECT cloudsync_push_dossier('$dossier', '$row')");
	ok(wait_until(sub { $cloud->committed($fault) > 0 }), "$row: $what: one of two parts is sent");
	return ($file, $run);
}

sub sessions
{
	my ($file, $run) = cut_off('goes on');
	my $mark = $cloud->mark;
	kill_worker(worker());
	ok(wait_run($node, $run), "$row: another process goes on");
	my $count = routes($mark);
	is($count->{'upload.put'}, 1, "$row: with the second part: " . told($count));
	is_whole('gone on with');

	($file, $run) = cut_off('changed meanwhile');
	kill('STOP', my $worker = worker());
	sql("UPDATE app.dossier_file SET content = " . sprintf($parts, 'other') . " WHERE id = $file");
	$cloud->clear;
	$mark = $cloud->mark;
	kill_worker($worker);
	push_now('its content has changed meanwhile');
	is(routes($mark)->{'upload.delete'}, 1, "$row: what was sent of the former is given up");
	is_whole('changed meanwhile');

	($file, $run) = cut_off('the upload ended meanwhile');
	kill('STOP', $worker = worker());
	$cloud->clock(1000);
	$cloud->clear;
	kill_worker($worker);
	ok(wait_run($node, $run), "$row: an upload that the service has ended is begun anew");
	is_whole('ended meanwhile');
	return;
}

# The answer to the beginning of an upload is lost: on drives for work its name is
# held until the service ends it.
sub held
{
	new_dossier('held');
	my $file = add_file('held.bin', sprintf($large, 'held'));
	add_file('small.txt', "'small'");
	my $fault = $cloud->fault({ service => 'graph', route => 'upload.create', kind => 'reset', at => 'commit' });
	my $mark = $cloud->mark;
	like(push_error(), qr/^partial: .*held\.bin.*an upload that has not ended holds its name/, "$row: why it is not there is said");
	is(routes($mark)->{'upload.create'}, 2, "$row: it was asked twice: " . told(routes($mark)));
	is($cloud->committed($fault), 1, "$row: the answer was lost");
	is(there('/CloudSync/held'), 'small.txt 5', "$row: the other file is there");
	is(sql("SELECT next_try_at BETWEEN now() + interval '14 min' AND now() + interval '16 min' FROM cloudsync.files WHERE connection = '$row' AND path LIKE '%held.bin'"),
		't', "$row: it is tried again when the service lets go of it");
	sql("UPDATE app.dossier_file SET content = 'short' WHERE id = $file");
	$mark = $cloud->mark;
	like(push_error(), qr/^partial: .*holds its name/, "$row: a short one cannot take the name either");
	cmp_ok(routes($mark)->{'content.put'}, '<=', 2, "$row: nor is it asked often: " . told(routes($mark)));
	$cloud->clock(901);
	push_now('the name is free');
	is_whole('held');

	sql("UPDATE app.dossier_file SET content = " . sprintf($large, 'again') . " WHERE id = $file");
	$cloud->fault({ service => 'graph', route => 'upload.create', kind => 'reset', at => 'commit' });
	$mark = $cloud->mark;
	like(push_error(), qr/^partial: .*holds its name/, "$row: so it is with a file that is replaced");
	is(routes($mark)->{'upload.create'}, 2, "$row: it was asked twice");
	is(there('/CloudSync/held'), 'held.bin 5, small.txt 5', "$row: the former is there");
	$cloud->clock(901);
	push_now('the name is free');
	is_whole('replaced');
	$cloud->fault({ service => 'graph', route => 'upload.create', kind => 'reset', at => 'before' });
	sql("UPDATE app.dossier_file SET content = " . sprintf($large, 'third') . " WHERE id = $file");
	push_now('nothing was begun');
	is_whole('nothing was begun');
	return;
}

# A worker is killed when it is about to send an Office file, and there is one of that
# name when another worker comes.
sub another_office
{
	my ($what, $conflict, %told) = @_;
	my $app = 'aaaaaaaa-0000-0000-0000-000000000001';
	new_dossier($what);
	add_file('first.txt', "'first'");
	push_now("$what: the folder is there");
	add_file('w.docx', "'words'");
	if ($told{before})
	{
		act('add', path => "/CloudSync/$what/w.docx", text => 'others', $told{ours} ? (app => $app) : ());
		$cloud->clock(3600);
	}
	my $fault = $cloud->fault({ service => 'graph', route => 'content.put', kind => 'stall', at => 'before' });
	sql("SELECT cloudsync_push_dossier('$dossier', '$row')");
	ok(wait_until(sub { $cloud->committed($fault) > 0 }), "$row: $what: it is on its way");
	act('add', path => "/CloudSync/$what/w.docx", text => 'others', $told{ours} ? (app => $app) : ()) if !$told{before};
	kill_worker(worker());
	$cloud->clear;
	wait_for($node, q{SELECT NOT EXISTS (SELECT FROM cloudsync.due) AND NOT EXISTS (SELECT FROM cloudsync.run WHERE state IN ('queued', 'running'))});
	my @found = map { $_->{name} } grep { $_->{name} =~ /docx$/ } tree_of("/CloudSync/$what");
	is(scalar @found, $conflict ? 2 : 1, "$row: $what: " . ($conflict ? 'ours is beside it' : 'it is taken for ours')) or diag("@found");
	return;
}

sub killed_collecting
{
	foreach my $point (qw(after_claim after_page after_chunk after_download before_settle_commit after_settle))
	{
		my $channel = "$row $point";
		my $offset = log_offset($node);
		act('add', path => "/In $point/$_.txt", text => "$_ at $point $row") foreach 1 .. 3;
		act('add', path => "/In $point/large.bin", text => "$point $row " x 150_000);
		act('add', path => "/In $point/empty.txt", text => '');
		sql("SELECT cloudsync_create_channel('$row', '$channel', ARRAY['/In $point'], 'ann', 'Scans', auto_collect => false)");
		crash_at($node, "collect.$point");
		crash_statement($node, "SELECT cloudsync_collect('$channel')");
		ok($node->wait_for_log(qr/cloudsync worker.*was terminated by signal 9/, $offset), "$row: $point: the worker is killed");
		crash_no_more($node);
		my $run = sql("SELECT max(run_id) FROM cloudsync.history WHERE channel = '$channel'");
		ok(wait_run($node, $run), "$row: $point: the same run ends well after all");
		collect_now($channel, "$point: once more");
		is(sql("SELECT count(*), count(DISTINCT sha256), bool_and(sha256 = sha256(cloudsync_content(document_id)))
			FROM cloudsync.document d JOIN cloudsync.channel c USING (channel_id) WHERE c.name = '$channel'"), '5|5|t', "$row: $point: each document once, whole");
	}
	is(sql('SELECT count(*) FROM cloudsync.staging'), 0, "$row: nothing is left in staging");
	return;
}

connect_it('sharepoint');
killed_pushing();
killed_moving();
sessions();
held();
another_office('a customer wrote one', 1);
another_office('the same program had written one long before', 1, before => 1, ours => 1);
another_office('the same program and person wrote one at that moment', 0, ours => 1);
killed_collecting();
unlike(slurp_file($node->logfile), qr/CloudSecret/, 'no secret is in the log');

$node->stop;
done_testing();
