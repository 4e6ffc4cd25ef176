/*
 * columns.sql: what each column shows of the views and tables that people read;
 * \d+ prints it. Views have their own sentence beside their definition.
 */

COMMENT ON TABLE cloudsync.document IS 'Everything that was collected, seen row by row like cloudsync.inbox.';
COMMENT ON TABLE cloudsync.recipient IS 'People for whom channels collect.';

COMMENT ON COLUMN cloudsync.providers.provider IS 'name, as cloudsync_connect takes it';
COMMENT ON COLUMN cloudsync.providers.title IS 'name as people know it';
COMMENT ON COLUMN cloudsync.providers.authentication IS 'ways to authenticate';
COMMENT ON COLUMN cloudsync.providers.options IS 'keys of the options that cloudsync_connect takes, with a line of help each';
COMMENT ON COLUMN cloudsync.providers.credentials IS 'keys of the credentials, with a line of help each';
COMMENT ON COLUMN cloudsync.providers.checksum IS 'checksum by which each transfer is verified';
COMMENT ON COLUMN cloudsync.providers.max_file_size IS 'largest file that the service takes, in bytes; NULL: no limit of its own';
COMMENT ON COLUMN cloudsync.providers.incremental IS 'whether the service can be asked for what changed instead of everything';

COMMENT ON COLUMN cloudsync.connections.connection_id IS 'number, for joins';
COMMENT ON COLUMN cloudsync.connections.connection IS 'name, as functions take it';
COMMENT ON COLUMN cloudsync.connections.provider IS 'kind of storage service';
COMMENT ON COLUMN cloudsync.connections.account IS 'whose account it is, or where it is; NULL until the service has said so';
COMMENT ON COLUMN cloudsync.connections.state IS 'pending (awaits consent), active, needs_consent, locked (keys are missing), disabled or disconnected';
COMMENT ON COLUMN cloudsync.connections.reason IS 'why it is not active, or fails';
COMMENT ON COLUMN cloudsync.connections.scopes IS 'what consent was given to, as the service says';
COMMENT ON COLUMN cloudsync.connections.root IS 'folder below which dossiers are pushed; NULL without push settings';
COMMENT ON COLUMN cloudsync.connections.auto_sync IS 'whether changed dossiers are pushed by themselves; NULL without push settings';
COMMENT ON COLUMN cloudsync.connections.options IS 'options given to cloudsync_connect';
COMMENT ON COLUMN cloudsync.connections.created_by IS 'who made it';
COMMENT ON COLUMN cloudsync.connections.created_at IS 'when it was made';
COMMENT ON COLUMN cloudsync.connections.last_used_at IS 'when a worker last served it';
COMMENT ON COLUMN cloudsync.connections.consent_expires_at IS 'when its consent, certificate or client secret expires, as far as that is known';

COMMENT ON COLUMN cloudsync.push.connection_id IS 'number of the connection, for joins';
COMMENT ON COLUMN cloudsync.push.connection IS 'name of the connection';
COMMENT ON COLUMN cloudsync.push.auto_sync IS 'whether changed dossiers are pushed by themselves';
COMMENT ON COLUMN cloudsync.push.root IS 'folder in the account, below which dossiers go';
COMMENT ON COLUMN cloudsync.push.folder IS 'template of a dossier''s folder below the root';
COMMENT ON COLUMN cloudsync.push.every IS 'longest time from a commit to the beginning of its push';
COMMENT ON COLUMN cloudsync.push.on_conflict IS 'when somebody else changed a pushed file: keep_both, overwrite or skip';
COMMENT ON COLUMN cloudsync.push.on_delete IS 'what is deleted in the database: keep it there, or move it to the trash';
COMMENT ON COLUMN cloudsync.push.manifest IS 'whether a manifest.json lists each dossier''s files';
COMMENT ON COLUMN cloudsync.push.time_zone IS 'time zone of dates in templates';

COMMENT ON COLUMN cloudsync.procedure_folders.connection_id IS 'number of the connection, for joins';
COMMENT ON COLUMN cloudsync.procedure_folders.connection IS 'name of the connection';
COMMENT ON COLUMN cloudsync.procedure_folders.procedure IS 'the procedure, as dossiers name it';
COMMENT ON COLUMN cloudsync.procedure_folders.folder IS 'path from the account''s root that takes the place of the connection''s root';

COMMENT ON COLUMN cloudsync.recipients.recipient_id IS 'number, for joins';
COMMENT ON COLUMN cloudsync.recipients.name IS 'name, as channels give it: a role, a person that cloudsync.user names, or anybody';
COMMENT ON COLUMN cloudsync.recipients.email IS 'address, for the application''s use';
COMMENT ON COLUMN cloudsync.recipients.external IS 'whether it is a person without a role here';
COMMENT ON COLUMN cloudsync.recipients.created_by IS 'who added them';
COMMENT ON COLUMN cloudsync.recipients.created_at IS 'when they were added';

COMMENT ON COLUMN cloudsync.channels.channel_id IS 'number, for joins';
COMMENT ON COLUMN cloudsync.channels.channel IS 'name, as functions take it';
COMMENT ON COLUMN cloudsync.channels.connection_id IS 'number of the connection, for joins';
COMMENT ON COLUMN cloudsync.channels.connection IS 'name of the connection';
COMMENT ON COLUMN cloudsync.channels.folders IS 'remote folders that it collects from';
COMMENT ON COLUMN cloudsync.channels.recipient IS 'for whom';
COMMENT ON COLUMN cloudsync.channels.binder IS 'the application''s folder that documents are put in';
COMMENT ON COLUMN cloudsync.channels.auto_collect IS 'whether it collects by itself';
COMMENT ON COLUMN cloudsync.channels.collect_every IS 'how often';
COMMENT ON COLUMN cloudsync.channels.collect_at IS 'at which time of the day, where it collects once a day';
COMMENT ON COLUMN cloudsync.channels.time_zone IS 'time zone of that time';
COMMENT ON COLUMN cloudsync.channels.recursive IS 'whether folders in those folders belong to it';
COMMENT ON COLUMN cloudsync.channels.include IS 'patterns of which a file must match one; empty: all files';
COMMENT ON COLUMN cloudsync.channels.exclude IS 'patterns of files that are left out';
COMMENT ON COLUMN cloudsync.channels.max_size IS 'largest file that it collects, in bytes; NULL: no limit of its own';
COMMENT ON COLUMN cloudsync.channels.dedup IS 'what counts as collected already: the same content, item or version';
COMMENT ON COLUMN cloudsync.channels.after_collect IS 'what becomes of a collected file there: keep, or move:/Folder';
COMMENT ON COLUMN cloudsync.channels.next_collect_at IS 'when it collects next by itself';
COMMENT ON COLUMN cloudsync.channels.last_run_id IS 'its last run';
COMMENT ON COLUMN cloudsync.channels.created_by IS 'who made it';
COMMENT ON COLUMN cloudsync.channels.created_at IS 'when it was made';

COMMENT ON COLUMN cloudsync.dossiers.dossiers IS 'tracked table';
COMMENT ON COLUMN cloudsync.dossiers.dossier IS 'the dossier''s key, as text';
COMMENT ON COLUMN cloudsync.dossiers.connection_id IS 'number of the connection, for joins';
COMMENT ON COLUMN cloudsync.dossiers.connection IS 'name of the connection';
COMMENT ON COLUMN cloudsync.dossiers.state IS 'never (pushed), waiting, running, synced, partial (files failed), failed, blocked (the connection cannot work) or removed_there';
COMMENT ON COLUMN cloudsync.dossiers.last_pushed_at IS 'when it was last pushed';
COMMENT ON COLUMN cloudsync.dossiers.changes IS 'changes that are not pushed yet';
COMMENT ON COLUMN cloudsync.dossiers.due_at IS 'until when its push is to begin; NULL when nothing waits';
COMMENT ON COLUMN cloudsync.dossiers.last_error IS 'why its last push did not succeed';
COMMENT ON COLUMN cloudsync.dossiers.web_url IS 'address of its folder for a browser, where the service has one';

COMMENT ON COLUMN cloudsync.files.connection IS 'name of the connection';
COMMENT ON COLUMN cloudsync.files.dossier IS 'key of its dossier, as text';
COMMENT ON COLUMN cloudsync.files.file_key IS 'the file''s key, as text';
COMMENT ON COLUMN cloudsync.files.path IS 'where it is in the account, or is to be';
COMMENT ON COLUMN cloudsync.files.web_url IS 'its address for a browser, where the service has one';
COMMENT ON COLUMN cloudsync.files.size IS 'bytes';
COMMENT ON COLUMN cloudsync.files.state IS 'sending, synced, failed, skipped, kept (deleted here, left there), to_trash, trashed or removed_there';
COMMENT ON COLUMN cloudsync.files.attempts IS 'attempts since it last succeeded';
COMMENT ON COLUMN cloudsync.files.next_try_at IS 'when it is tried again';
COMMENT ON COLUMN cloudsync.files.last_error IS 'why it did not succeed';

COMMENT ON COLUMN cloudsync.folders.connection IS 'name of the connection';
COMMENT ON COLUMN cloudsync.folders.provider IS 'kind of storage service';
COMMENT ON COLUMN cloudsync.folders.channel IS 'name of the channel';
COMMENT ON COLUMN cloudsync.folders.folder_name IS 'path of the folder, where it is now';
COMMENT ON COLUMN cloudsync.folders.last_synced_at IS 'when its channel was last collected or refreshed';
COMMENT ON COLUMN cloudsync.folders.synced_by IS 'who asked for that; auto: its schedule';
COMMENT ON COLUMN cloudsync.folders.auto_sync IS 'whether its channel collects by itself';
COMMENT ON COLUMN cloudsync.folders.items IS 'files seen in it';
COMMENT ON COLUMN cloudsync.folders.collected IS 'how many of them were collected';
COMMENT ON COLUMN cloudsync.folders.state IS 'new (not looked at yet), ok, failed or gone';
COMMENT ON COLUMN cloudsync.folders.by_state IS 'how many files are in each state';
COMMENT ON COLUMN cloudsync.folders.last_error IS 'why it could not be listed';

COMMENT ON COLUMN cloudsync.items.item_id IS 'number, for joins';
COMMENT ON COLUMN cloudsync.items.connection IS 'name of the connection';
COMMENT ON COLUMN cloudsync.items.channel IS 'name of the channel';
COMMENT ON COLUMN cloudsync.items.folder_name IS 'the channel''s folder that it is in';
COMMENT ON COLUMN cloudsync.items.name IS 'name';
COMMENT ON COLUMN cloudsync.items.path IS 'path in the account';
COMMENT ON COLUMN cloudsync.items.kind IS 'file, folder or other';
COMMENT ON COLUMN cloudsync.items.size IS 'bytes';
COMMENT ON COLUMN cloudsync.items.modified_at IS 'when it was last changed, as the service says';
COMMENT ON COLUMN cloudsync.items.state IS 'new, collected, duplicate, excluded, changed (after being collected), failed or gone';
COMMENT ON COLUMN cloudsync.items.reason IS 'why it is not collected';
COMMENT ON COLUMN cloudsync.items.document_id IS 'the document that it became, or whose bytes it has';
COMMENT ON COLUMN cloudsync.items.seen_at IS 'when it was last seen there';

COMMENT ON COLUMN cloudsync.inbox.document_id IS 'number, as functions take it';
COMMENT ON COLUMN cloudsync.inbox.recipient IS 'for whom';
COMMENT ON COLUMN cloudsync.inbox.binder IS 'the application''s folder that it is put in';
COMMENT ON COLUMN cloudsync.inbox.connection IS 'connection that it came by';
COMMENT ON COLUMN cloudsync.inbox.channel IS 'channel that collected it';
COMMENT ON COLUMN cloudsync.inbox.name IS 'file name';
COMMENT ON COLUMN cloudsync.inbox.size IS 'bytes';
COMMENT ON COLUMN cloudsync.inbox.media_type IS 'kind of content, such as application/pdf';
COMMENT ON COLUMN cloudsync.inbox.collected_at IS 'when it was collected';
COMMENT ON COLUMN cloudsync.inbox.ocr_state IS 'whether its text was read: pending, done, failed or not_applicable';
COMMENT ON COLUMN cloudsync.inbox.pages IS 'pages that were read';
COMMENT ON COLUMN cloudsync.inbox.excerpt IS 'beginning of its text';

COMMENT ON COLUMN cloudsync.history.run_id IS 'number, as functions take it';
COMMENT ON COLUMN cloudsync.history.kind IS 'push, collect, refresh or prepare';
COMMENT ON COLUMN cloudsync.history.connection IS 'name of the connection';
COMMENT ON COLUMN cloudsync.history.channel IS 'name of the channel, of a collection or refresh';
COMMENT ON COLUMN cloudsync.history.dossier IS 'key of the dossier, of a push';
COMMENT ON COLUMN cloudsync.history.origin IS 'manual, auto (a change) or schedule';
COMMENT ON COLUMN cloudsync.history.requested_by IS 'who asked for it';
COMMENT ON COLUMN cloudsync.history.requested_at IS 'when it was asked for';
COMMENT ON COLUMN cloudsync.history.started_at IS 'when it began';
COMMENT ON COLUMN cloudsync.history.finished_at IS 'when it ended';
COMMENT ON COLUMN cloudsync.history.state IS 'queued, running, succeeded, partial (some files failed), failed or cancelled';
COMMENT ON COLUMN cloudsync.history.files_done IS 'files sent, moved or collected';
COMMENT ON COLUMN cloudsync.history.files_skipped IS 'files that needed nothing, or were left out';
COMMENT ON COLUMN cloudsync.history.files_failed IS 'files that failed';
COMMENT ON COLUMN cloudsync.history.bytes_sent IS 'bytes of content sent';
COMMENT ON COLUMN cloudsync.history.bytes_received IS 'bytes of content received';
COMMENT ON COLUMN cloudsync.history.requests IS 'requests made to the service';
COMMENT ON COLUMN cloudsync.history.attempts IS 'how often it was begun';
COMMENT ON COLUMN cloudsync.history.error IS 'why it did not succeed';

COMMENT ON COLUMN cloudsync.history_file.run_id IS 'the run';
COMMENT ON COLUMN cloudsync.history_file.action IS 'what was done with the file';
COMMENT ON COLUMN cloudsync.history_file.path IS 'path in the account';
COMMENT ON COLUMN cloudsync.history_file.size IS 'bytes';
COMMENT ON COLUMN cloudsync.history_file.sha256 IS 'SHA-256 of its bytes, as far as they travelled';
COMMENT ON COLUMN cloudsync.history_file.error IS 'why it failed, or what else is to be said';

COMMENT ON COLUMN cloudsync.activity.run_id IS 'the run that it belongs to';
COMMENT ON COLUMN cloudsync.activity.connection_id IS 'number of the connection, for joins';
COMMENT ON COLUMN cloudsync.activity.file IS 'path of the file';
COMMENT ON COLUMN cloudsync.activity.bytes_done IS 'bytes that have gone through';
COMMENT ON COLUMN cloudsync.activity.bytes_total IS 'bytes in all; NULL when not known yet';
COMMENT ON COLUMN cloudsync.activity.rate IS 'bytes a second, over the last five seconds or so';
COMMENT ON COLUMN cloudsync.activity.eta IS 'time that is left at this rate';
COMMENT ON COLUMN cloudsync.activity.phase IS 'what is being done';
COMMENT ON COLUMN cloudsync.activity.pid IS 'process id of the worker';

COMMENT ON COLUMN cloudsync.document.document_id IS 'number, as functions take it';
COMMENT ON COLUMN cloudsync.document.connection_id IS 'connection that it came by';
COMMENT ON COLUMN cloudsync.document.channel_id IS 'channel that collected it';
COMMENT ON COLUMN cloudsync.document.run_id IS 'run that collected it';
COMMENT ON COLUMN cloudsync.document.name IS 'file name';
COMMENT ON COLUMN cloudsync.document.size IS 'bytes';
COMMENT ON COLUMN cloudsync.document.sha256 IS 'SHA-256 of its bytes';
COMMENT ON COLUMN cloudsync.document.media_type IS 'kind of content, such as application/pdf';
COMMENT ON COLUMN cloudsync.document.remote_id IS 'the service''s own identifier, where it has lasting ones';
COMMENT ON COLUMN cloudsync.document.remote_path IS 'path in the account when it was collected';
COMMENT ON COLUMN cloudsync.document.remote_modified_at IS 'when it was last changed there';
COMMENT ON COLUMN cloudsync.document.recipient IS 'for whom';
COMMENT ON COLUMN cloudsync.document.binder IS 'the application''s folder that it is put in';
COMMENT ON COLUMN cloudsync.document.collected_at IS 'when it was collected';
COMMENT ON COLUMN cloudsync.document.state IS 'waiting, filed (entered), rejected or forgotten';
COMMENT ON COLUMN cloudsync.document.version IS 'first, second, ... version of a file, where the channel collects versions';
COMMENT ON COLUMN cloudsync.document.decided_by IS 'who entered, rejected or forgot it';
COMMENT ON COLUMN cloudsync.document.decided_at IS 'when';
COMMENT ON COLUMN cloudsync.document.dossier IS 'key of the dossier that it was entered in';
COMMENT ON COLUMN cloudsync.document.reason IS 'why it was rejected or forgotten';
COMMENT ON COLUMN cloudsync.document.ocr_state IS 'whether its text was read: pending, done, failed or not_applicable';
COMMENT ON COLUMN cloudsync.document.ocr_reason IS 'why not';
COMMENT ON COLUMN cloudsync.document.pages IS 'pages that were read';
COMMENT ON COLUMN cloudsync.document.excerpt IS 'beginning of its text';

COMMENT ON COLUMN cloudsync.audit.at IS 'when';
COMMENT ON COLUMN cloudsync.audit.tenant IS 'whose it is; empty: no tenant''s';
COMMENT ON COLUMN cloudsync.audit.actor IS 'who: the person that cloudsync.user named, or the role';
COMMENT ON COLUMN cloudsync.audit.role IS 'role of the session';
COMMENT ON COLUMN cloudsync.audit.action IS 'what was done';
COMMENT ON COLUMN cloudsync.audit.subject IS 'to what';
COMMENT ON COLUMN cloudsync.audit.before IS 'how it was';
COMMENT ON COLUMN cloudsync.audit.after IS 'how it is';

COMMENT ON COLUMN cloudsync.role_tenant.role IS 'name of the role';
COMMENT ON COLUMN cloudsync.role_tenant.tenant IS 'tenant for which it acts';
