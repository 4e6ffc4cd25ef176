/*
 * push_intent.c
 *	  What a push writes down before it acts: intents before the first byte, size
 *	  and SHA-256 before a file becomes visible, so that after a crash ours can be
 *	  told from somebody else's (design decision 4).
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "cloudsync/path.h"
#include "push_args.h"

/*
 * A name under which nobody looks for files. The one of an attempt that a crash
 * cut off is used again, so that what that attempt wrote is written over.
 */
static char *
temp_name(CsPushJob *push, const CsPushFile *file)
{
	const CsRecord *record = file->plan->record;
	uint64 number;

	if (record != NULL && record->intent_temp != NULL && !file->marked)
		return MemoryContextStrdup(push->job.context, record->intent_temp);
	if (!pg_strong_random(&number, sizeof(number)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("could not generate a random number")));
	return MemoryContextStrdup(
		push->job.context,
		psprintf(".cloudsync-%016llx.part", (unsigned long long) number));
}

/* See push.h. */
void
cs_push_write_intents_of(CsPushJob *push, List *files)
{
	CsColumn columns[8] = {{INT4OID}, {TEXTOID}, {TEXTOID}, {TEXTOID},
						   {INT8OID}, {BYTEAOID}, {TEXTOID}, {TEXTOID}};
	Args args = {0};
	ListCell *cell;

	if (files == NIL)
		return;
	foreach (cell, files)
	{
		CsPushFile *file = lfirst(cell);
		bool held = file->held != NULL;

		file->temp = temp_name(push, file);
		file->intent = file->path;
		cs_column_add(&columns[0], Int32GetDatum(file->plan->source_id), false);
		cs_column_add_text(&columns[1], file->plan->file_key);
		cs_column_add_text(&columns[2], file->path);
		cs_column_add_text(&columns[3], file->temp);
		cs_column_add(&columns[4], Int64GetDatum(file->size), !held);
		cs_column_add(&columns[5], held ? cs_sha256_datum(file->sha256) : (Datum) 0, !held);
		cs_column_add_text(&columns[6], held ? file->checksum : NULL);
		cs_column_add_text(&columns[7], file->reserved ? cs_session_seal(push, file->plan, file->session) : NULL);
	}
	add_dossier(&args, push);
	add_int64(&args, push->job.run_id, false);
	add_columns(&args, columns, lengthof(columns));
	if (push->intents_since == 0)
		push->intents_since = GetCurrentTimestamp();
	add_time(&args, push->intents_since);
	execute("INSERT INTO cloudsync.pushed_file AS f (destination_id, dossiers_id, dossier, source_id, file_key, "
			"state, intent_run_id, intent_path, intent_temp, intent_size, intent_sha256, intent_checksum, intent_session, intent_at) "
			"SELECT $1, $2, $3, i.source_id, i.file_key, 'sending', $4, i.path, i.temp, i.size, i.sha256, i.checksum, i.session, $13 "
			"FROM ROWS FROM (pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7), "
			"pg_catalog.unnest($8), pg_catalog.unnest($9), pg_catalog.unnest($10), pg_catalog.unnest($11), pg_catalog.unnest($12)) "
			"AS i (source_id, file_key, path, temp, size, sha256, checksum, session) "
			"ON CONFLICT (destination_id, dossiers_id, dossier, source_id, file_key) DO UPDATE "
			"SET intent_run_id = $4, intent_path = excluded.intent_path, intent_temp = excluded.intent_temp, "
			"intent_size = CASE WHEN excluded.intent_sha256 IS NOT NULL THEN excluded.intent_size "
			"WHEN f.intent_path OPERATOR(pg_catalog.=) excluded.intent_path THEN f.intent_size END, "
			"intent_sha256 = CASE WHEN excluded.intent_sha256 IS NOT NULL THEN excluded.intent_sha256 "
			"WHEN f.intent_path OPERATOR(pg_catalog.=) excluded.intent_path THEN f.intent_sha256 END, "
			"intent_checksum = CASE WHEN excluded.intent_sha256 IS NOT NULL THEN excluded.intent_checksum "
			"WHEN f.intent_path OPERATOR(pg_catalog.=) excluded.intent_path THEN f.intent_checksum END, "
			"intent_session = COALESCE(excluded.intent_session, "
			"CASE WHEN f.intent_path OPERATOR(pg_catalog.=) excluded.intent_path THEN f.intent_session END), "
			"intent_at = CASE WHEN f.intent_path OPERATOR(pg_catalog.=) excluded.intent_path "
			"THEN COALESCE(f.intent_at, $13) ELSE $13 END, "
			"state = CASE WHEN f.state IN ('failed', 'removed_there', 'trashed', 'skipped') THEN 'sending' ELSE f.state END",
			&args);
}

/* See push.h. */
void
cs_push_write_intent(CsPushJob *push, CsPushFile *file)
{
	cs_push_write_intents_of(push, list_make1(file));
}

/* See push.h. With an id it would be found wherever it is. */
bool
cs_push_is_between(const CsRecord *record)
{
	return record != NULL && record->remote_id == NULL && record->path != NULL &&
		   record->remote_version != NULL && record->intent_path != NULL &&
		   strcmp(record->intent_path, record->path) != 0;
}

/* In a transaction: where a file without an id is about to be moved. */
static void
write_move_intent(CsPushJob *push, CsPushFile *file, char *target)
{
	Args args = {0};

	add_file(&args, push, file);
	add_int64(&args, push->job.run_id, false);
	add_text(&args, target);
	execute("UPDATE cloudsync.pushed_file SET intent_run_id = $6, intent_path = $7, "
			"intent_size = NULL, intent_sha256 = NULL, intent_checksum = NULL, intent_session = NULL, "
			"intent_at = NULL WHERE " THIS_FILE,
			&args);
	file->intent = target;
}

/* See push.h. */
void
cs_push_before_move(CsPushJob *push, CsPushFile *file, const char *target,
					TimestampTz now)
{
	if (file->plan->record->remote_id != NULL)
		return;
	if (cs_push_was_vacated(push, target))
		cs_push_settle_places(push, now);
	if (file->intent != NULL && strcmp(file->intent, target) == 0)
		return;
	cs_begin("writing down where a file is moved");
	write_move_intent(push, file, MemoryContextStrdup(push->job.context, target));
	cs_commit();
}

/*
 * Does a file that is moved, and not with its folder alone, need its intent
 * now? What an attempt left under a temporary name is to be found first.
 */
static bool
moves_by_itself(const CsPushFile *file)
{
	const CsPlanFile *plan = file->plan;

	return (plan->action == CS_ACTION_MOVE || plan->action == CS_ACTION_UPDATE) &&
		   plan->record->remote_id == NULL && plan->record->intent_temp == NULL &&
		   plan->from_path != NULL && strcmp(plan->from_path, plan->path) != 0;
}

/* Counts against cloudsync.max_trash from now on, and only once. */
static void
write_trash_intent(CsPushJob *push, CsPushFile *file)
{
	Args args = {0};

	add_file(&args, push, file);
	add_int64(&args, push->job.connection->connection_id, false);
	execute("WITH file AS (UPDATE cloudsync.pushed_file SET state = 'to_trash', trash_confirmed = true "
			"WHERE " THIS_FILE " RETURNING path) "
			"INSERT INTO cloudsync.trash_log (connection_id, trashed_at, path) "
			"SELECT $6, pg_catalog.clock_timestamp(), COALESCE(file.path, '') FROM file",
			&args);
	file->plan->record->trash_confirmed = true;
}

/*
 * In the claim's transaction: the dossier's folder belongs to it from now on,
 * and each file that will be sent or moved has its intent, but for small ones
 * that are sent, which get it when they are read. An intent of before that says
 * where something without an id may be stays until that has been looked for.
 */
void
cs_push_write_intents(CsPushJob *push)
{
	CsPlan *plan = push->plan;
	List *sent = NIL;
	bool moves = plan->from_folder != NULL && plan->folder != NULL &&
				 strcmp(plan->from_folder, plan->folder) != 0;
	ListCell *cell;

	if (plan->folder == NULL)
		return;
	if (plan->present)
	{
		Args args = {0};

		add_dossier(&args, push);
		add_text(&args, plan->folder);
		add_text(&args, key_of(push, plan->folder));
		add_text(&args, plan->wanted);
		add(&args, BOOLOID, BoolGetDatum(moves), false);
		add(&args, BOOLOID, BoolGetDatum(!push->looked && plan->folder_id == NULL), false);
		execute("INSERT INTO cloudsync.pushed_dossier AS p (destination_id, dossiers_id, dossier, "
				"folder, folder_key, wanted, state) VALUES ($1, $2, $3, $4, $5, $6, 'partial') "
				"ON CONFLICT (destination_id, dossiers_id, dossier) DO UPDATE "
				"SET intent_folder = CASE WHEN $8 AND p.intent_folder IS NOT NULL THEN p.intent_folder WHEN $7 THEN $4 END, "
				"intent_key = CASE WHEN $8 AND p.intent_folder IS NOT NULL THEN p.intent_key WHEN $7 THEN $5 END",
				&args);
	}
	foreach (cell, push->files)
	{
		CsPushFile *file = lfirst(cell);

		if (!push->looked && cs_push_is_between(file->plan->record))
			continue;
		if (file->plan->action == CS_ACTION_CREATE || file->plan->action == CS_ACTION_UPDATE)
		{
			if (!cs_push_is_small(file))
				sent = lappend(sent, file);
			else if (moves_by_itself(file))
				write_move_intent(push, file, file->path);
		}
		else if (moves_by_itself(file))
			write_move_intent(push, file, file->path);
		else if (file->plan->action == CS_ACTION_TRASH && !file->plan->record->trash_confirmed)
			write_trash_intent(push, file);
	}
	cs_push_write_intents_of(push, sent);
}

/*
 * The upload's session, to be gone on with by a later attempt; what is stored of
 * it.
 */
static char *
keep_session(CsPushJob *push, CsPushFile *file)
{
	const char *session = file->transfer->result.session;

	if (session == NULL)
		return NULL;
	file->session = MemoryContextStrdup(push->job.context, session);
	file->reserved = false;
	return cs_session_seal(push, file->plan, session);
}

/*
 * Of each file that reached a checkpoint: the upload's session, or size and
 * SHA-256 of what is about to become visible.
 */
void
cs_push_checkpoint(CsPushJob *push, List *files)
{
	List *sessions = NIL;
	ListCell *cell;
	ListCell *session;

	foreach (cell, files)
		sessions = lappend(sessions, keep_session(push, lfirst(cell)));
	cs_begin("recording what is about to become visible");
	forboth(cell, files, session, sessions)
	{
		CsPushFile *file = lfirst(cell);
		const CsResult *result = &file->transfer->result;
		Args args = {0};

		add_file(&args, push, file);
		add_int64(&args, result->size, result->size < 0);
		add_sha256(&args, result->size < 0 ? NULL : result->sha256);
		add_text(&args, file->path);
		add_text(&args, lfirst(session));
		add_text(&args, result->size < 0 ? NULL : result->checksum);
		execute("UPDATE cloudsync.pushed_file SET intent_size = COALESCE($6, intent_size), "
				"intent_sha256 = COALESCE($7, intent_sha256), "
				"intent_checksum = CASE WHEN $7 IS NULL THEN intent_checksum ELSE $10 END, "
				"intent_path = $8, intent_session = COALESCE($9, intent_session) WHERE " THIS_FILE,
				&args);
	}
	cs_commit();
	list_free(sessions);
}

/* See push.h. */
void
cs_push_write_hash(CsPushJob *push, CsPushFile *file)
{
	Args args = {0};

	add_file(&args, push, file);
	add_int64(&args, file->size, false);
	add_sha256(&args, file->sha256);
	add_text(&args, file->path);
	execute("UPDATE cloudsync.pushed_file SET intent_size = $6, intent_sha256 = $7, "
			"intent_path = $8 WHERE " THIS_FILE,
			&args);
}
