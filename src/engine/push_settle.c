/*
 * push_settle.c
 *	  What came of a push is recorded: files, folder, history and the due row
 *	  (design decision 3). In short transactions, many files in one.
 */
#include "postgres.h"

#include "cloudsync/crash.h"
#include "cloudsync/wake.h"
#include "push_args.h"

/* Waits before a file is tried again: doubled from the first to the last. */
#define RETRY_FIRST_MS 10000
#define RETRY_LAST_MS 3600000

static void
note_unsettled(CsPushJob *push, TimestampTz now)
{
	if (push->unsettled++ == 0)
		push->unsettled_since = now != 0 ? now : GetCurrentTimestamp();
}

/* It has succeeded, or needs nothing more; to be recorded. */
void
cs_push_file_done(CsPushJob *push, CsPushFile *file, TimestampTz now)
{
	file->state = CS_FILE_DONE;
	note_unsettled(push, now);
}

/* It has failed for now; to be recorded with its reason and tried again later. */
void
cs_push_file_failed(CsPushJob *push, CsPushFile *file, const CsFailure *failure,
					TimestampTz now)
{
	file->state = CS_FILE_FAILED;
	file->did = "failed";
	file->failure = *failure;
	push->failed++;
	if (push->first_error == NULL)
		push->first_error = cs_failure_text(failure);
	note_unsettled(push, now);
}

/* One line of history about a file, in a transaction. */
void
cs_push_note_file(CsPushJob *push, const char *action, const char *path,
				  int64 size, const uint8 *sha256, const char *error)
{
	Args args = {0};

	add_int64(&args, push->job.run_id, false);
	add_int64(&args, push->job.connection->connection_id, false);
	add_text(&args, action);
	add_text(&args, path ? path : "");
	add_int64(&args, size, size < 0);
	add_sha256(&args, sha256);
	add_text(&args, error);
	execute("INSERT INTO cloudsync.run_file (run_id, connection_id, action, path, size, sha256, error) "
			"VALUES ($1, $2, $3, $4, $5, $6, $7)",
			&args);
}

/* Nobody else's record claims the path any more. */
static void
free_path(CsPushJob *push, const char *path)
{
	Args args = {0};

	add_int64(&args, push->setting->destination_id, false);
	add_text(&args, key_of(push, path));
	execute("UPDATE cloudsync.pushed_file SET path_key = NULL "
			"WHERE destination_id OPERATOR(pg_catalog.=) $1 AND path_key OPERATOR(pg_catalog.=) $2",
			&args);
}

/* Moved, or found where it should not be: path and wanted name. */
static void
settle_moved(CsPushJob *push, CsPushFile *file, const char *state, bool clear_error)
{
	Args args = {0};

	free_path(push, file->path);
	add_file(&args, push, file);
	add_text(&args, file->path);
	add_text(&args, key_of(push, file->path));
	add_text(&args, file->plan->wanted);
	add_text(&args, file->remote_id);
	add_text(&args, file->remote_version);
	add_text(&args, state);
	add_text(&args, clear_error ? NULL : cs_failure_text(&file->failure));
	execute("UPDATE cloudsync.pushed_file SET path = $6, path_key = $7, wanted = $8, "
			"remote_id = COALESCE($9, remote_id), remote_version = COALESCE($10, remote_version), "
			"intent_path = CASE WHEN intent_temp IS NULL THEN NULL ELSE intent_path END, "
			"state = $11, attempts = 0, next_try_at = NULL, last_error = $12 "
			"WHERE " THIS_FILE,
			&args);
}

static void
settle_trashed(CsPushJob *push, CsPushFile *file)
{
	Args args = {0};

	add_file(&args, push, file);
	add_text(&args, file->path);
	execute("UPDATE cloudsync.pushed_file SET state = 'trashed', path = $6, path_key = NULL, "
			"remote_version = NULL, next_try_at = NULL, last_error = NULL, trash_confirmed = false "
			"WHERE " THIS_FILE,
			&args);
}

/* Left to the customer whose file is in the way (on_conflict 'skip'). */
static void
settle_skipped(CsPushJob *push, CsPushFile *file)
{
	Args args = {0};

	add_file(&args, push, file);
	add_text(&args, file->plan->row ? file->plan->row->version : NULL);
	add_text(&args, cs_failure_text(&file->failure));
	execute("UPDATE cloudsync.pushed_file SET state = 'skipped', content_version = $6, "
			"last_error = $7, next_try_at = NULL, attempts = 0, "
			"intent_run_id = NULL, intent_path = NULL, intent_temp = NULL, "
			"intent_size = NULL, intent_sha256 = NULL, intent_checksum = NULL, intent_session = NULL WHERE " THIS_FILE,
			&args);
}

/* What is elsewhere is what was pushed. */
static void
settle_unchanged(CsPushJob *push, CsPushFile *file)
{
	Args args = {0};

	add_file(&args, push, file);
	add_text(&args, file->plan->row->version);
	add_text(&args, file->tag);
	execute("UPDATE cloudsync.pushed_file SET state = 'synced', content_version = $6, content_tag = $7, "
			"intent_run_id = NULL, intent_path = NULL, intent_temp = NULL, "
			"intent_size = NULL, intent_sha256 = NULL, intent_session = NULL, "
			"attempts = 0, next_try_at = NULL, last_error = NULL WHERE " THIS_FILE,
			&args);
}

static int64
retry_wait(int attempts)
{
	int64 wait_ms = RETRY_FIRST_MS;

	while (attempts-- > 0 && wait_ms < RETRY_LAST_MS)
		wait_ms *= 2;
	return cs_jittered(Min(wait_ms, RETRY_LAST_MS));
}

/*
 * What arrived damaged is ours: recorded as it stands there, with none of what
 * was meant to be, so that the next attempt replaces it.
 */
static void
settle_damaged(CsPushJob *push, CsPushFile *file)
{
	Args args = {0};

	free_path(push, file->path);
	add_file(&args, push, file);
	add_text(&args, file->path);
	add_text(&args, key_of(push, file->path));
	add_text(&args, file->plan->wanted);
	add_text(&args, file->remote_id);
	add_text(&args, file->remote_version);
	add(&args, BOOLOID, BoolGetDatum(file->marked), false);
	execute("UPDATE cloudsync.pushed_file SET path = $6, path_key = $7, wanted = $8, "
			"remote_id = $9, remote_version = $10, marked = marked OR $11, size = NULL, sha256 = NULL, "
			"checksum = NULL, remote_checksum = NULL, content_version = NULL, content_tag = NULL "
			"WHERE " THIS_FILE,
			&args);
}

/* See push.h. */
void
cs_push_settle_failed(CsPushJob *push, CsPushFile *file, TimestampTz now)
{
	const CsRecord *record = file->plan->record;
	int64 wait_ms = 0;
	TimestampTz next;
	Args args = {0};

	if (file->failure.failure_class != CS_FAIL_CHANGED)
		wait_ms = Max(retry_wait(record ? record->attempts : 0), file->failure.retry_after_ms);
	next = TimestampTzPlusMilliseconds(now, wait_ms);
	if (next < push->next_try)
		push->next_try = next;
	add_file(&args, push, file);
	add_text(&args, cs_failure_text(&file->failure));
	add_time(&args, next);
	execute("UPDATE cloudsync.pushed_file SET state = 'failed', attempts = attempts OPERATOR(pg_catalog.+) 1, "
			"last_error = $6, next_try_at = $7 WHERE " THIS_FILE,
			&args);
}

/* What came of one file that was not sent, in a transaction. */
static void
settle_file(CsPushJob *push, CsPushFile *file, TimestampTz now)
{
	const char *error = file->failure.message[0] ? cs_failure_text(&file->failure) : NULL;

	if (file->damaged)
		settle_damaged(push, file);
	if (file->state == CS_FILE_FAILED)
		cs_push_settle_failed(push, file, now);
	else if (strcmp(file->did, "trash") == 0)
		settle_trashed(push, file);
	else if (strcmp(file->did, "unchanged") == 0)
	{
		settle_unchanged(push, file);
		push->skipped += !file->asks; /* those were counted by the plan */
		file->settled = true;
		return;
	}
	else if (strcmp(file->did, "skip") == 0)
		settle_skipped(push, file);
	else if (strcmp(file->did, "conflict") == 0)
		settle_moved(push, file, file->plan->row ? "skipped" : "kept", false);
	else
		settle_moved(push, file, "synced", true);
	cs_push_note_file(push, file->did, file->path, file->size, NULL, error);
	if (file->state != CS_FILE_FAILED)
	{
		if (strcmp(file->did, "skip") == 0 || strcmp(file->did, "conflict") == 0)
			push->skipped++;
		else
			push->done++;
	}
	file->settled = true;
}

static void
settle_counters(CsPushJob *push)
{
	Args args = {0};

	add_int64(&args, push->job.run_id, false);
	add(&args, INT4OID, Int32GetDatum(push->done), false);
	add(&args, INT4OID, Int32GetDatum(push->skipped), false);
	add(&args, INT4OID, Int32GetDatum(push->failed), false);
	add_int64(&args, push->sent, false);
	add_int64(&args, push->requests, false);
	execute("UPDATE cloudsync.run SET files_done = $2, files_skipped = $3, files_failed = $4, "
			"bytes_sent = $5, requests = $6 WHERE run_id OPERATOR(pg_catalog.=) $1",
			&args);
}

/* See push.h. */
void
cs_push_settle_rest(CsPushJob *push, TimestampTz now)
{
	ListCell *cell;
	List *sent = NIL;

	if (push->unsettled == 0)
		return;
	foreach (cell, push->files)
	{
		CsPushFile *file = lfirst(cell);

		if (file->settled || (file->state != CS_FILE_DONE && file->state != CS_FILE_FAILED))
			continue;
		if (file->state == CS_FILE_DONE && file->has_sha256)
			sent = lappend(sent, file);
		else
			settle_file(push, file, now);
	}
	cs_push_settle_sent(push, sent, now);
	push->unsettled = 0;
}

/* See push.h. */
void
cs_push_settle_files(CsPushJob *push, TimestampTz now)
{
	if (push->unsettled == 0)
		return;
	cs_begin("settling files");
	cs_push_settle_rest(push, now);
	settle_counters(push);
	CS_CRASH_POINT("push.before_settle_commit");
	cs_commit();
	CS_CRASH_POINT("push.after_settle");
}

static void
settle_place(CsPushJob *push, CsPushFile *file)
{
	Args args = {0};

	free_path(push, file->now_at);
	add_file(&args, push, file);
	add_text(&args, file->now_at);
	add_text(&args, key_of(push, file->now_at));
	add_text(&args, file->remote_version);
	execute("UPDATE cloudsync.pushed_file SET path = $6, path_key = $7, "
			"remote_version = COALESCE($8, remote_version) WHERE " THIS_FILE,
			&args);
	file->plan->record->path = file->now_at;
}

/* See push.h. */
void
cs_push_settle_places(CsPushJob *push, TimestampTz now)
{
	ListCell *cell;

	cs_begin("settling moves");
	cs_push_settle_rest(push, now);
	foreach (cell, push->files)
	{
		CsPushFile *file = lfirst(cell);

		if (file->state == CS_FILE_WAITING && file->known && file->now_at != NULL &&
			strcmp(file->now_at, file->plan->record->path) != 0)
			settle_place(push, file);
	}
	settle_counters(push);
	cs_commit();
}

/* Where the dossier's folder is now, in a transaction; remote_id may be NULL. */
void
cs_push_record_folder(CsPushJob *push, const char *folder, const char *remote_id)
{
	Args args = {0};

	add_dossier(&args, push);
	add_text(&args, folder);
	add_text(&args, key_of(push, folder));
	add_text(&args, remote_id);
	execute("UPDATE cloudsync.pushed_dossier SET folder = $4, folder_key = $5, "
			"remote_id = COALESCE($6, remote_id), intent_folder = NULL, intent_key = NULL, intent_session = NULL "
			"WHERE " THIS_DOSSIER,
			&args);
}

/* In a transaction: what was recorded below a folder is below another now. */
void
cs_push_record_below(CsPushJob *push, const char *from, const char *to)
{
	Args args = {0};

	add_dossier(&args, push);
	add_text(&args, from);
	add_text(&args, key_of(push, from));
	add_text(&args, to);
	add_text(&args, key_of(push, to));
	execute("UPDATE cloudsync.pushed_file "
			"SET path = $6 OPERATOR(pg_catalog.||) pg_catalog.substr(path, pg_catalog.length($4) OPERATOR(pg_catalog.+) 1), "
			"path_key = $7 OPERATOR(pg_catalog.||) pg_catalog.substr(path_key, pg_catalog.length($5) OPERATOR(pg_catalog.+) 1) "
			"WHERE " THIS_DOSSIER " AND pg_catalog.starts_with(path, $4 OPERATOR(pg_catalog.||) '/')",
			&args);
}

/* Deleted in the database and nothing of it left at the remote: forgotten. */
static void
forget_dossier(CsPushJob *push)
{
	Args args = {0};

	add_dossier(&args, push);
	execute("DELETE FROM cloudsync.pushed_dossier p WHERE " THIS_DOSSIER
			" AND NOT EXISTS (SELECT FROM cloudsync.pushed_file f "
			"WHERE f.destination_id OPERATOR(pg_catalog.=) $1 AND f.dossiers_id OPERATOR(pg_catalog.=) $2 "
			"AND f.dossier OPERATOR(pg_catalog.=) $3 AND f.remote_version IS NOT NULL)",
			&args);
}

/* In a transaction: the dossier's state, and of files what only waits or stays. */
void
cs_push_settle_dossier(CsPushJob *push, const char *state, const char *error,
					   TimestampTz now)
{
	Args args = {0};
	ListCell *cell;

	cs_push_settle_rest(push, now);
	settle_counters(push);
	foreach (cell, push->plan->files)
	{
		CsPlanFile *plan = lfirst(cell);
		CsPushFile file = {0};
		Args mark = {0};

		file.plan = plan;
		add_file(&mark, push, &file);
		/* gone here, and nothing of it there: nothing to be told of any more */
		if (plan->row == NULL && plan->action == CS_ACTION_SKIP && !plan->untracked)
			execute("DELETE FROM cloudsync.pushed_file WHERE " THIS_FILE
					" AND state OPERATOR(pg_catalog.<>) 'trashed'",
					&mark);
		if (plan->action != CS_ACTION_KEEP && plan->action != CS_ACTION_WAIT_TRASH)
			continue;
		add_text(&mark, plan->action == CS_ACTION_KEEP ? "kept" : "to_trash");
		execute("UPDATE cloudsync.pushed_file SET state = $6, next_try_at = NULL WHERE " THIS_FILE
				" AND state OPERATOR(pg_catalog.<>) $6",
				&mark);
	}
	add_dossier(&args, push);
	add_text(&args, state);
	add_text(&args, error);
	add_int64(&args, push->job.run_id, false);
	add_time(&args, now);
	add_text(&args, push->plan->wanted);
	/* where a folder without an id may be is still to be found */
	add(&args, BOOLOID,
		BoolGetDatum(push->plan->folder_id != NULL || strcmp(state, "synced") == 0 ||
					 strcmp(state, "removed_there") == 0),
		false);
	execute("UPDATE cloudsync.pushed_dossier SET state = $4, last_error = $5, last_run_id = $6, "
			"last_pushed_at = CASE WHEN $4 OPERATOR(pg_catalog.=) 'failed' THEN last_pushed_at ELSE $7 END, "
			"wanted = CASE WHEN $4 OPERATOR(pg_catalog.=) 'failed' THEN wanted ELSE COALESCE($8, wanted) END, "
			"intent_folder = CASE WHEN NOT $9 THEN intent_folder END, "
			"intent_key = CASE WHEN NOT $9 THEN intent_key END WHERE " THIS_DOSSIER,
			&args);
	if (!push->plan->present)
		forget_dossier(push);
}

/* See push.h. */
void
cs_push_release_due(CsPushJob *push, TimestampTz now)
{
	Args args = {0};

	add_int64(&args, push->job.connection->connection_id, false);
	add(&args, INT4OID, Int32GetDatum(push->dossiers_id), false);
	add_text(&args, push->dossier);
	add_time(&args, TimestampTzPlusMilliseconds(now, RETRY_LAST_MS));
	if (execute("UPDATE cloudsync.due SET start_at = CASE WHEN generation OPERATOR(pg_catalog.=) claimed "
				"THEN LEAST(GREATEST(start_at, due_at), $4) ELSE start_at END, claimed = NULL "
				"WHERE connection_id OPERATOR(pg_catalog.=) $1 "
				"AND dossiers_id OPERATOR(pg_catalog.=) $2 AND dossier OPERATOR(pg_catalog.=) $3 "
				"AND claimed IS NOT NULL",
				&args) > 0)
		cs_look_again_on_commit();
}

static int
due_attempts(Args *dossier)
{
	if (execute("SELECT attempts FROM cloudsync.due WHERE connection_id OPERATOR(pg_catalog.=) $1 "
				"AND dossiers_id OPERATOR(pg_catalog.=) $2 AND dossier OPERATOR(pg_catalog.=) $3",
				dossier) == 0)
		return 0;
	return (int) cs_get_int64(0, 1, 0);
}

/*
 * In a transaction: the due row is done with if nothing has changed since it
 * was taken; what failed stays due, also what was pushed by hand.
 */
void
cs_push_settle_due(CsPushJob *push, bool success, const char *error, TimestampTz now)
{
	Args args = {0};

	add_int64(&args, push->job.connection->connection_id, false);
	add(&args, INT4OID, Int32GetDatum(push->dossiers_id), false);
	add_text(&args, push->dossier);
	if (success)
	{
		execute("DELETE FROM cloudsync.due WHERE connection_id OPERATOR(pg_catalog.=) $1 "
				"AND dossiers_id OPERATOR(pg_catalog.=) $2 AND dossier OPERATOR(pg_catalog.=) $3 "
				"AND generation OPERATOR(pg_catalog.=) claimed",
				&args);
		/* what has changed meanwhile begins a wait of its own */
		if (execute("UPDATE cloudsync.due SET claimed = NULL, attempts = 0, last_error = NULL "
					"WHERE connection_id OPERATOR(pg_catalog.=) $1 "
					"AND dossiers_id OPERATOR(pg_catalog.=) $2 AND dossier OPERATOR(pg_catalog.=) $3 "
					"AND claimed IS NOT NULL",
					&args) > 0)
			cs_look_again_on_commit();
		return;
	}
	add_time(&args, push->next_try != DT_NOEND
						? push->next_try
						: TimestampTzPlusMilliseconds(now, retry_wait(due_attempts(&args))));
	add_text(&args, error);
	add_time(&args, now);
	cs_look_again_on_commit();
	execute("INSERT INTO cloudsync.due AS d (connection_id, dossiers_id, dossier, changed_at, start_at, due_at, attempts, last_error) "
			"VALUES ($1, $2, $3, $6, $4, $4, 1, $5) "
			"ON CONFLICT (connection_id, dossiers_id, dossier) DO UPDATE "
			"SET start_at = CASE WHEN d.claimed IS NULL OR d.generation OPERATOR(pg_catalog.=) d.claimed "
			"THEN $4 ELSE d.start_at END, "
			"claimed = NULL, attempts = d.attempts OPERATOR(pg_catalog.+) 1, last_error = $5",
			&args);
}
