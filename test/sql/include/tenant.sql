-- For two_tenants.sql: what the session's tenant, :mark, has: the connection named
-- :connection, two dossiers pushed to it, and a document collected from there.
SELECT state FROM cloudsync_connect('local', :'connection');
SELECT cloudsync_register_app('dropbox', 'app-of-' || :'mark');
SELECT cloudsync_set_push(:'connection', auto_sync => false, root => '/Out ' || :'mark');
SELECT cloudsync_set_procedure_folder(:'connection', 'proc of ' || :'mark', 'Proc of ' || :'mark');
SELECT cloudsync_add_recipient('ann of ' || :'mark') > 0 AS recipient;
SELECT cloudsync_push_dossier(:'mark' || '-1') AS run, cloudsync_push_dossier(:'mark' || '-gone') AS other \gset
CALL cloudsync_wait(ARRAY[:run, :other]);
SELECT cloudsync_create_channel(:'connection', 'mail of ' || :'mark', ARRAY['/Out ' || :'mark'], 'ann of ' || :'mark', 'binder',
    auto_collect => false) > 0 AS channel;
-- a file that somebody else put there: what was pushed is not collected
SELECT format('COPY (SELECT %L) TO %L', 'letter to ' || :'mark',
    current_setting('cloudsync.local_root') || format('/%1$s/Out %1$s/letter to %1$s.txt', :'mark')) AS put \gset
:put;
SELECT cloudsync_collect('mail of ' || :'mark') AS run \gset
CALL cloudsync_wait(:run);
