-- Connections over HTTP: options, credentials, where they may go (C2, C4, S1, S5).
\set SHOW_CONTEXT never
SET client_min_messages = warning;
-- held, so that no worker touches what is put here
BEGIN;
CREATE EXTENSION cloudsync SCHEMA public;
UPDATE cloudsync.home SET suspended_at = now(), suspended_by = 'the test';
COMMIT;
CREATE VIEW stored AS
    SELECT c.name, c.state, c.revision, s.owner_kind, s.tenant, length(s.key_id) AS key_id, length(s.nonce) AS nonce,
           length(s.sealed) AS sealed
    FROM cloudsync.connection c LEFT JOIN cloudsync.secret s ON s.owner_id = c.connection_id ORDER BY c.connection_id;

-- refusals, which change nothing, and name keys but no values
SELECT * FROM cloudsync_connect('webdav', 'Cloud');
SELECT * FROM cloudsync_connect('webdav', 'Cloud', options => '{"endpoint": "https://cloud.example.com/dav", "color": "red"}');
SELECT * FROM cloudsync_connect('webdav', 'Cloud', options => '{"endpoint": 5}');
SELECT * FROM cloudsync_connect('webdav', 'Cloud', options => '{"endpoint": "nonsense"}');
SELECT * FROM cloudsync_connect('webdav', 'Cloud', options => '{"endpoint": "ftp://cloud.example.com/"}');
SELECT * FROM cloudsync_connect('webdav', 'Cloud', options => '{"endpoint": "https://anna:marker@cloud.example.com/"}');
SELECT * FROM cloudsync_connect('webdav', 'Cloud', '{"pass": "marker"}', '{"endpoint": "https://cloud.example.com/dav"}');
SELECT * FROM cloudsync_connect('webdav', 'Cloud', '{"username": "anna"}', '{"endpoint": "https://cloud.example.com/dav"}');
SELECT * FROM cloudsync_connect('webdav', 'Cloud', '{"password": "marker"}', '{"endpoint": "https://cloud.example.com/dav"}');
SELECT * FROM cloudsync_connect('webdav', 'Cloud', '{"username": "anna", "password": ""}', '{"endpoint": "https://cloud.example.com/dav"}');
SELECT * FROM cloudsync_connect('webdav', 'Cloud', '{"username": "anna", "password": {"marker": 1}}', '{"endpoint": "https://cloud.example.com/dav"}');
SELECT * FROM cloudsync_connect('webdav', 'Cloud', '{"username": "anna", "password": "marker", "bearer_token": "marker"}', '{"endpoint": "https://cloud.example.com/dav"}');
SELECT * FROM cloudsync_connect('webdav', 'Cloud', '{"username": "anna:b", "password": "marker"}', '{"endpoint": "https://cloud.example.com/dav"}');
SELECT * FROM cloudsync_connect('webdav', 'Cloud', '{"bearer_token": "marker\r\nX-Other: 1"}', '{"endpoint": "https://cloud.example.com/dav"}');
SELECT * FROM cloudsync_connect('webdav', 'Cloud', '["marker"]', '{"endpoint": "https://cloud.example.com/dav"}');
-- where it may connect
SELECT * FROM cloudsync_connect('webdav', 'Cloud', options => '{"endpoint": "https://other.example.com/dav"}');
SELECT * FROM cloudsync_connect('webdav', 'Cloud', options => '{"endpoint": "http://cloud.example.com/dav"}');
SELECT * FROM cloudsync_connect('webdav', 'Cloud', options => '{"endpoint": "http://127.0.0.1:9000/dav"}');
SELECT * FROM cloudsync_connect('webdav', 'Cloud', options => '{"endpoint": "http://[::1]:8080/dav"}');
SELECT * FROM cloudsync_connect('webdav', 'Cloud', options => '{"endpoint": "http://2130706433/latest"}');
ALTER SYSTEM SET cloudsync.allowed_endpoints = 'gopher://a.example';
ALTER SYSTEM SET cloudsync.allowed_endpoints = 'a.example, b.example/dav';
ALTER SYSTEM SET cloudsync.ca_file = 'relative.pem';
ALTER SYSTEM SET cloudsync.proxy = 'ftp://proxy.example';
ALTER SYSTEM SET cloudsync.master_key_file = 'relative.key';
ALTER SYSTEM SET cloudsync.master_key_command = 'cat key';
SELECT count(*) FROM cloudsync.connection;
SELECT count(*) FROM cloudsync.secret;

-- made once; the endpoint in any form is the same account
SELECT * FROM cloudsync_connect('webdav', 'Cloud', '{"username": "anna", "password": "marker-1"}', '{"endpoint": "https://cloud.example.com/dav"}');
SELECT * FROM cloudsync_connect('webdav', 'Cloud', '{"username": "anna", "password": "marker-1"}', '{"endpoint": "https://cloud.example.com/dav"}');
SELECT connection, provider, account, state, options FROM cloudsync.connections;
SELECT * FROM stored;
SELECT * FROM cloudsync_connect('webdav', 'Cloud', '{"username": "anna", "password": "marker-1"}', '{"endpoint": "https://Cloud.Example.com:443/dav/"}');
-- another account is refused
SELECT * FROM cloudsync_connect('webdav', 'Cloud', options => '{"endpoint": "https://cloud.example.com/other"}');
-- NULL keeps the credentials, others take their place, none forget them
SELECT nonce, sealed FROM cloudsync.secret \gset before_
SELECT * FROM cloudsync_connect('webdav', 'Cloud', options => '{"endpoint": "https://cloud.example.com/dav"}');
SELECT count(*) FROM cloudsync.secret WHERE nonce = :'before_nonce' AND sealed = :'before_sealed';
SELECT * FROM cloudsync_connect('webdav', 'Cloud', '{"username": "anna", "password": "marker-2"}', '{"endpoint": "https://cloud.example.com/dav"}');
SELECT count(*) FROM cloudsync.secret WHERE nonce <> :'before_nonce' AND sealed <> :'before_sealed';
SELECT * FROM stored;
SELECT action, before -> 'state' AS before, after -> 'state' AS after, after -> 'credentials' AS credentials FROM cloudsync.audit ORDER BY audit_id;
-- a state that only credentials can mend, is mended by them; what else holds it is not
UPDATE cloudsync.connection SET state = 'locked', reason = 'no key', failures = 3, retry_at = now();
SELECT * FROM cloudsync_connect('webdav', 'Cloud', options => '{"endpoint": "https://cloud.example.com/dav"}');
BEGIN;
UPDATE cloudsync.home SET suspended_at = NULL;
SELECT severity, subject, problem, action FROM cloudsync_status() WHERE subject LIKE 'connection%';
ROLLBACK;
SELECT * FROM cloudsync_connect('webdav', 'Cloud', '{"bearer_token": "marker-3"}', '{"endpoint": "https://cloud.example.com/dav"}');
SELECT state, reason, failures, retry_at FROM cloudsync.connection;
UPDATE cloudsync.connection SET state = 'needs_consent', reason = 'revoked';
SELECT * FROM cloudsync_connect('webdav', 'Cloud', '{"bearer_token": "marker-4"}', '{"endpoint": "https://cloud.example.com/dav"}');
SELECT cloudsync_disable('Cloud');
SELECT * FROM cloudsync_connect('webdav', 'Cloud', '{"bearer_token": "marker-5"}', '{"endpoint": "https://cloud.example.com/dav"}');
SELECT cloudsync_enable('Cloud');
SELECT * FROM cloudsync_connect('webdav', 'Cloud', '{}', '{"endpoint": "https://cloud.example.com/dav"}');
SELECT * FROM stored;

-- a ciphertext is bound to its row; nothing readable is anywhere
SELECT * FROM cloudsync_connect('webdav', 'Cloud', '{"username": "anna", "password": "marker-6"}', '{"endpoint": "https://cloud.example.com/dav"}');
SELECT * FROM cloudsync_connect('webdav', 'Second', '{"username": "anna", "password": "marker-6"}', '{"endpoint": "https://cloud.example.com:8443/dav"}');
SELECT count(DISTINCT nonce), count(DISTINCT sealed), count(DISTINCT key_id) FROM cloudsync.secret;
SELECT cloudsync_rotate_key();
SELECT count(*), count(DISTINCT key_id) FROM cloudsync.secret;
BEGIN;
UPDATE cloudsync.secret s SET (nonce, sealed, key_id) = (SELECT o.nonce, o.sealed, o.key_id FROM cloudsync.secret o WHERE o.owner_id <> s.owner_id);
SELECT cloudsync_rotate_key();
ROLLBACK;
BEGIN;
UPDATE cloudsync.secret SET tenant = 'other' WHERE owner_id = 1;
SELECT cloudsync_rotate_key();
ROLLBACK;
BEGIN;
UPDATE cloudsync.secret SET sealed = set_byte(sealed, 3, get_byte(sealed, 3) # 1) WHERE owner_id = 1;
SELECT cloudsync_rotate_key();
ROLLBACK;
SELECT cloudsync_rotate_key();
SELECT count(*) FROM cloudsync.audit a WHERE a::text LIKE '%marker%';
SELECT count(*) FROM cloudsync.connections c WHERE c::text LIKE '%marker%';
SELECT count(*) FROM cloudsync.secret s WHERE position('marker'::bytea IN s.sealed) > 0 OR s::text LIKE '%marker%';

-- what pg_stat_activity and the log have of a statement that brings secrets
SELECT (SELECT a.query FROM pg_stat_activity a WHERE a.pid = pg_backend_pid()) AS query
    FROM cloudsync_connect('webdav', 'Cloud', '{"username": "anna", "password": "marker-6"}', '{"endpoint": "https://cloud.example.com/dav"}');

-- a tenant has its own, and none of the server's business
CREATE ROLE regress_app LOGIN IN ROLE cloudsync_app, cloudsync_admin;
SET ROLE regress_app;
SELECT set_config('cloudsync.tenant', 'acme', false);
SELECT * FROM cloudsync_connect('webdav', 'Cloud', '{"username": "bob", "password": "marker-7"}', '{"endpoint": "https://cloud.example.com/dav"}');
SELECT cloudsync_rotate_key();
SELECT count(*) FROM cloudsync.secret;
RESET ROLE;
RESET cloudsync.tenant;
SELECT name, tenant, key_id, nonce, sealed FROM stored;

-- disconnected: its secret is gone with the commit, and back with a rollback
BEGIN;
SELECT cloudsync_disconnect('Second');
SELECT count(*) FROM cloudsync.secret;
ROLLBACK;
SELECT count(*) FROM cloudsync.secret;
SELECT cloudsync_disconnect('Second');
SELECT name, state, sealed FROM stored;
-- a copy forgets them all
SELECT cloudsync_detach();
SELECT count(*) FROM cloudsync.secret;
SELECT after FROM cloudsync.audit WHERE action = 'detach';
DROP VIEW stored;
DROP EXTENSION cloudsync;
DROP ROLE regress_app;
