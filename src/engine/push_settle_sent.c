/*
 * push_settle_sent.c
 *	  Files that were sent are recorded many by one statement. If that fails, each
 *	  is recorded alone, so that one that cannot be does not keep the others from
 *	  it.
 */
#include "postgres.h"

#include "push_args.h"

typedef struct SentFiles
{
	CsPushJob *push;
	List *files; /* of CsPushFile */
	bool free_own;
} SentFiles;

enum
{
	SENT_SOURCE,
	SENT_KEY,
	SENT_PATH,
	SENT_PATH_KEY,
	SENT_WANTED,
	SENT_REMOTE_ID,
	SENT_REMOTE_VERSION,
	SENT_SIZE,
	SENT_SHA256,
	SENT_CHECKSUM,
	SENT_REMOTE_CHECKSUM,
	SENT_CONTENT_VERSION,
	SENT_MARKED,
	SENT_WEB_URL,
	SENT_CONTENT_TAG,
	SENT_COLUMNS
};

static void
fill_columns(SentFiles *sent, CsColumn *columns)
{
	static const Oid types[SENT_COLUMNS] = {INT4OID, TEXTOID, TEXTOID, TEXTOID,
											TEXTOID, TEXTOID, TEXTOID, INT8OID,
											BYTEAOID, TEXTOID, TEXTOID, TEXTOID,
											BOOLOID, TEXTOID, TEXTOID};
	ListCell *cell;

	for (int i = 0; i < SENT_COLUMNS; i++)
		columns[i].type = types[i];
	foreach (cell, sent->files)
	{
		CsPushFile *file = lfirst(cell);

		cs_column_add(&columns[SENT_SOURCE], Int32GetDatum(file->plan->source_id), false);
		cs_column_add_text(&columns[SENT_KEY], file->plan->file_key);
		cs_column_add_text(&columns[SENT_PATH], file->path);
		cs_column_add_text(&columns[SENT_PATH_KEY], key_of(sent->push, file->path));
		cs_column_add_text(&columns[SENT_WANTED], file->plan->wanted);
		cs_column_add_text(&columns[SENT_REMOTE_ID], file->remote_id);
		cs_column_add_text(&columns[SENT_REMOTE_VERSION], file->remote_version);
		cs_column_add(&columns[SENT_SIZE], Int64GetDatum(file->size), false);
		cs_column_add(&columns[SENT_SHA256], cs_sha256_datum(file->sha256), false);
		cs_column_add_text(&columns[SENT_CHECKSUM], file->checksum);
		cs_column_add_text(&columns[SENT_REMOTE_CHECKSUM], file->remote_checksum);
		cs_column_add_text(&columns[SENT_CONTENT_VERSION],
						   file->plan->row ? file->plan->row->version : NULL);
		cs_column_add(&columns[SENT_MARKED], BoolGetDatum(file->marked), false);
		cs_column_add_text(&columns[SENT_WEB_URL], file->web_url);
		cs_column_add_text(&columns[SENT_CONTENT_TAG], file->tag);
	}
}

/* Nobody else's record claims these paths any more; of a single file, nor its own. */
static void
free_paths(SentFiles *sent, const CsColumn *columns)
{
	Args args = {0};

	add_dossier(&args, sent->push);
	add_columns(&args, &columns[SENT_PATH_KEY], 1);
	add_columns(&args, &columns[SENT_SOURCE], 2);
	add(&args, BOOLOID, BoolGetDatum(sent->free_own), false);
	execute_lookups("UPDATE cloudsync.pushed_file f SET path_key = NULL "
					"FROM (SELECT $1 AS destination_id, u.path_key FROM pg_catalog.unnest($4) AS u (path_key) OFFSET 0) AS s "
					"WHERE f.destination_id OPERATOR(pg_catalog.=) s.destination_id "
					"AND f.path_key OPERATOR(pg_catalog.=) s.path_key "
					"AND ($7 OR f.dossiers_id OPERATOR(pg_catalog.<>) $2 OR f.dossier OPERATOR(pg_catalog.<>) $3 "
					"OR NOT EXISTS (SELECT FROM ROWS FROM (pg_catalog.unnest($5), pg_catalog.unnest($6)) AS o (source_id, file_key) "
					"WHERE o.source_id OPERATOR(pg_catalog.=) f.source_id AND o.file_key OPERATOR(pg_catalog.=) f.file_key))",
					&args);
}

static void
record_sent(SentFiles *sent, const CsColumn *columns)
{
	Args args = {0};

	add_dossier(&args, sent->push);
	add_columns(&args, columns, SENT_COLUMNS);
	execute_lookups("UPDATE cloudsync.pushed_file f SET path = s.path, path_key = s.path_key, wanted = s.wanted, "
					"remote_id = s.remote_id, remote_version = s.remote_version, size = s.size, sha256 = s.sha256, "
					"checksum = s.checksum, remote_checksum = s.remote_checksum, "
					"content_version = s.content_version, state = 'synced', marked = f.marked OR s.marked, web_url = s.web_url, "
					"content_tag = s.content_tag, "
					"intent_run_id = NULL, intent_path = NULL, intent_temp = NULL, "
					"intent_size = NULL, intent_sha256 = NULL, intent_checksum = NULL, intent_session = NULL, "
					"attempts = 0, next_try_at = NULL, last_error = NULL, trash_confirmed = false "
					"FROM (SELECT $1 AS destination_id, $2 AS dossiers_id, $3 AS dossier, u.* "
					"FROM ROWS FROM (pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6), "
					"pg_catalog.unnest($7), pg_catalog.unnest($8), pg_catalog.unnest($9), pg_catalog.unnest($10), "
					"pg_catalog.unnest($11), pg_catalog.unnest($12), pg_catalog.unnest($13), pg_catalog.unnest($14), "
					"pg_catalog.unnest($15), pg_catalog.unnest($16), pg_catalog.unnest($17), pg_catalog.unnest($18)) "
					"AS u (source_id, file_key, path, path_key, wanted, remote_id, remote_version, size, sha256, checksum, "
					"remote_checksum, content_version, marked, web_url, content_tag) OFFSET 0) AS s "
					"WHERE f.destination_id OPERATOR(pg_catalog.=) s.destination_id "
					"AND f.dossiers_id OPERATOR(pg_catalog.=) s.dossiers_id "
					"AND f.dossier OPERATOR(pg_catalog.=) s.dossier AND f.source_id OPERATOR(pg_catalog.=) s.source_id "
					"AND f.file_key OPERATOR(pg_catalog.=) s.file_key",
					&args);
}

/* What was found there already with our bytes is told only if it is news. */
static void
write_history(SentFiles *sent)
{
	CsColumn columns[5] = {{TEXTOID}, {TEXTOID}, {INT8OID}, {BYTEAOID}, {TEXTOID}};
	Args args = {0};
	ListCell *cell;

	foreach (cell, sent->files)
	{
		CsPushFile *file = lfirst(cell);

		if (strcmp(file->did, "skip") == 0)
			continue;
		cs_column_add_text(&columns[0], file->did);
		cs_column_add_text(&columns[1], file->path);
		cs_column_add(&columns[2], Int64GetDatum(file->size), file->size < 0);
		cs_column_add(&columns[3], cs_sha256_datum(file->sha256), false);
		cs_column_add_text(&columns[4], file->failure.message[0] ? cs_failure_text(&file->failure) : NULL);
	}
	if (columns[0].n == 0)
		return;
	add_int64(&args, sent->push->job.run_id, false);
	add_int64(&args, sent->push->job.connection->connection_id, false);
	add_columns(&args, columns, lengthof(columns));
	execute("INSERT INTO cloudsync.run_file (run_id, connection_id, action, path, size, sha256, error) "
			"SELECT $1, $2, h.action, h.path, h.size, h.sha256, h.error "
			"FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5), "
			"pg_catalog.unnest($6), pg_catalog.unnest($7)) AS h (action, path, size, sha256, error)",
			&args);
}

/* In a subtransaction. */
static void
settle_together(void *arg)
{
	SentFiles *sent = arg;
	CsColumn columns[SENT_COLUMNS] = {{0}};

	fill_columns(sent, columns);
	free_paths(sent, columns);
	record_sent(sent, columns);
	write_history(sent);
}

static void
count_sent(SentFiles *sent)
{
	ListCell *cell;

	foreach (cell, sent->files)
	{
		CsPushFile *file = lfirst(cell);

		if (strcmp(file->did, "skip") == 0)
			sent->push->skipped++;
		else
			sent->push->done++;
		sent->push->sent += file->sent;
		file->settled = true;
	}
}

/* It is there, and cannot be recorded: tried again, when it will be found. */
static void
settle_unrecorded(CsPushJob *push, CsPushFile *file, const ErrorData *error,
				  TimestampTz now)
{
	cs_failure_set(&file->failure, CS_FAIL_RETRY_LATER, error->detail, "%s",
				   error->message);
	file->has_sha256 = false;
	file->state = CS_FILE_FAILED;
	file->did = "failed";
	push->failed++;
	if (push->first_error == NULL)
		push->first_error = cs_failure_text(&file->failure);
	cs_push_settle_failed(push, file, now);
	cs_push_note_file(push, file->did, file->path, file->size, NULL,
					  cs_failure_text(&file->failure));
	file->settled = true;
}

/* See push.h. */
void
cs_push_settle_sent(CsPushJob *push, List *files, TimestampTz now)
{
	SentFiles all = {push, files, false};
	ErrorData *error = NULL;
	ListCell *cell;

	if (files == NIL)
		return;
	if (cs_try(settle_together, &all, &error))
	{
		count_sent(&all);
		return;
	}
	foreach (cell, files)
	{
		SentFiles one = {push, list_make1(lfirst(cell)), true};

		if (cs_try(settle_together, &one, &error))
			count_sent(&one);
		else
			settle_unrecorded(push, lfirst(cell), error, now);
	}
}
