/*
 * push_send.c
 *	  Sending a dossier's files, many at once: starts transfers within the
 *	  limits, records size and SHA-256 of those that reached their checkpoint
 *	  (before they become visible), and decides what a failure means (P8, P11).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "datatype/timestamp.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "cloudsync/crash.h"
#include "cloudsync/db.h"
#include "cloudsync/path.h"
#include "cloudsync/push.h"
#include "cloudsync/settings.h"
#include "pull.h"

#define MAX_TRIES 3			/* at once, of what passes by itself */
#define MAX_MARKS 20		/* names beside somebody else's */
#define SETTLE_FILES 50		/* this many share a commit, */
#define SETTLE_AT_MOST 200	/* or these, while requests go out before it, */
#define SETTLE_AFTER_MS 250 /* or what came within this time */

/* A slice of the content, in a short transaction; of the manifest, from memory. */
static int64
read_body(CsBody *body, int64 offset, char *buf, int64 cap, CsFailure *failure)
{
	CsPushFile *file = body->owner;
	int64 n;

	const char *bytes = file->held != NULL ? file->held : file->bytes;

	if (file->pull != NULL)
		return cs_pull_read(file->pull, offset, buf, cap, failure);
	if (bytes != NULL)
	{
		n = Min(cap, file->size - offset);
		if (n > 0)
			memcpy(buf, bytes + offset, n);
		return Max(n, 0);
	}
	if (file->content.size >= 0 && offset >= file->content.size && offset > 0)
		return 0;
	cs_begin("reading content");
	n = cs_content_read(&file->content, offset, buf, cap);
	cs_commit();
	if (n >= 0)
		return n;
	cs_failure_set(failure, CS_FAIL_CHANGED, NULL,
				   "\"%s\" was changed in the database before it was read",
				   cs_path_name(file->path));
	return -1;
}

static bool
restart_body(CsBody *body, CsFailure *failure)
{
	return true;
}

/* From when on something of ours may be at the file's path, in Unix time. */
static int64
since_when(const CsPushJob *push, const CsPushFile *file)
{
	const CsRecord *record = file->plan->record;
	TimestampTz since = push->intents_since;

	if (record != NULL && record->intent_at != 0 && record->intent_path != NULL &&
		strcmp(record->intent_path, file->path) == 0)
		since = record->intent_at;
	return since == 0 ? 0
					  : since + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
}

/* See push.h. */
void
cs_push_fill_put(CsPushJob *push, CsPushFile *file, CsOp *op)
{
	const CsRecord *record = file->plan->record;

	op->kind = CS_OP_PUT;
	op->path = file->path;
	op->temp_name = file->temp;
	op->size = file->size;
	op->overwrite = strcmp(push->setting->on_conflict, "overwrite") == 0;
	op->fresh_folder = cs_push_is_fresh(push, file);
	if (!file->reserved || op->fresh_folder || file->tries > 1)
		op->session = file->session;
	op->since = since_when(push, file);
	if (file->held != NULL)
	{
		op->has_sha256 = true;
		memcpy(op->sha256, file->sha256, CS_SHA256_LENGTH);
		op->checksum = file->checksum;
	}
	/* what this very push has sent before without hearing of it (this attempt is counted) */
	if (file->hashed && file->tries > 1 && !file->known)
	{
		op->has_intended = true;
		op->intended_size = file->size;
		memcpy(op->intended_sha256, file->sha256, CS_SHA256_LENGTH);
		op->intended_checksum = file->checksum;
	}
	if (record == NULL)
		return;
	if (file->known)
	{
		op->id = record->remote_id;
		op->known_version = record->remote_version;
	}
	/* an attempt that did not live to say so is ours too */
	if (op->session == NULL && record->intent_path != NULL &&
		strcmp(record->intent_path, file->path) == 0)
		op->session = cs_session_open(push, record, file->plan->row, &op->session_is_stale);
	if (record->has_intent_sha256 && record->intent_path != NULL &&
		(record->path == NULL || strcmp(record->intent_path, file->path) == 0))
	{
		op->has_intended = true;
		op->intended_size = record->intent_size;
		memcpy(op->intended_sha256, record->intent_sha256, CS_SHA256_LENGTH);
		op->intended_checksum = record->intent_checksum;
	}
	else if (file->known && record->has_sha256)
	{
		op->has_intended = true;
		op->intended_size = record->size;
		memcpy(op->intended_sha256, record->sha256, CS_SHA256_LENGTH);
		op->intended_checksum = record->checksum;
	}
}

/* From here on it is to be sent, and its content can be read. */
static void
start_transfer(CsPushJob *push, CsPushFile *file)
{
	CsConnection *connection = push->job.connection;
	CsOp op = {0};
	MemoryContext old;

	if (file->context == NULL)
		file->context = AllocSetContextCreate(push->job.context, "cloudsync file",
											  ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(file->context);
	file->body.read = read_body;
	file->body.restart = restart_body;
	file->body.owner = file;
	if (file->held != NULL)
	{
		file->body.sha256 = file->sha256;
		file->body.checksum = file->checksum;
		file->body.size = file->size;
	}
	memset(&file->content, 0, sizeof(file->content));
	file->content.context = file->context;
	if (file->plan->row != NULL)
	{
		file->content.source = file->plan->row->source;
		file->content.key = file->plan->row->key;
		file->content.version = file->plan->row->version;
		file->content.size = file->plan->row->size;
	}
	cs_push_fill_put(push, file, &op);
	file->transfer = cs_transfer_start(connection->loop, connection->provider,
									   push->endpoint, &op, &file->body, push);
	MemoryContextSwitchTo(old);
	if (file->pull != NULL)
		cs_pull_set_reader(file->pull, file->transfer);
	push->job.phase = "send";
	strlcpy(push->job.file, cs_path_name(file->path), sizeof(push->job.file));
}

static void
start_file(CsPushJob *push, CsPushFile *file, TimestampTz now)
{
	MemoryContext old = MemoryContextSwitchTo(push->job.context);
	CsFailure failure = {0};

	file->state = CS_FILE_RUNNING;
	file->tries++;
	push->job.connection->transfers++;
	push->active = lappend(push->active, file);
	if (!cs_push_is_elsewhere(file))
		start_transfer(push, file);
	else if (!cs_push_pull(push, file, &failure))
		cs_push_failed(push, file, &failure, now);
	MemoryContextSwitchTo(old);
}

/* See push.h. */
void
cs_push_stop_file(CsPushJob *push, CsPushFile *file)
{
	if (!list_member_ptr(push->active, file))
		return;
	if (file->transfer != NULL)
	{
		push->requests += file->transfer->requests;
		cs_transfer_free(file->transfer);
	}
	file->transfer = NULL;
	if (file->pull != NULL)
		cs_pull_free(file->pull);
	file->pull = NULL;
	if (file->context != NULL)
		MemoryContextDelete(file->context);
	file->context = NULL;
	file->held = NULL;
	file->content.whole = NULL;
	push->job.connection->transfers--;
	push->active = list_delete_ptr(push->active, file);
}

/* See push.h. */
void
cs_push_stop_all(CsPushJob *push)
{
	cs_push_stop_many(push);
	cs_push_confirm_beside(push, true, 0);
	while (push->active != NIL)
		cs_push_stop_file(push, linitial(push->active));
}

/* See push.h. */
void
cs_push_queue(CsPushJob *push, CsPushFile *file)
{
	MemoryContext old = MemoryContextSwitchTo(push->job.context);

	file->state = CS_FILE_WAITING;
	push->queue = lappend(push->queue, file);
	MemoryContextSwitchTo(old);
}

/* See push.h. */
void
cs_push_fill_queue(CsPushJob *push)
{
	ListCell *cell;

	foreach (cell, push->files)
	{
		CsPushFile *file = lfirst(cell);

		if ((file->state == CS_FILE_WAITING &&
			 (file->plan->action == CS_ACTION_CREATE || file->plan->action == CS_ACTION_UPDATE)) ||
			cs_push_asks(push, file))
			cs_push_queue(push, file);
	}
}

/* See push.h. */
void
cs_push_check_all_sent(CsPushJob *push)
{
	ListCell *cell;

	foreach (cell, push->files)
	{
		const CsPushFile *file = lfirst(cell);

		if ((file->plan->action == CS_ACTION_CREATE || file->plan->action == CS_ACTION_UPDATE) &&
			file->state != CS_FILE_DONE && file->state != CS_FILE_FAILED)
			elog(ERROR, "the push of dossier \"%s\" ended before file \"%s\" was sent",
				 push->dossier, file->plan->path);
	}
}

/* The mark of P8, such as "CloudSync 2026-11-22 16h30", in the push's time zone. */
static char *
conflict_mark(CsPushJob *push, TimestampTz now)
{
	Oid types[2] = {TIMESTAMPTZOID, TEXTOID};
	Datum values[2];
	char *mark;

	cs_begin("naming a file beside somebody else's");
	values[0] = TimestampTzGetDatum(now);
	values[1] = CStringGetTextDatum(push->setting->time_zone);
	cs_execute("SELECT pg_catalog.to_char(pg_catalog.timezone($2, $1), 'YYYY-MM-DD HH24\"h\"MI')",
			   2, types, values, NULL, true);
	mark = MemoryContextStrdup(push->job.context, cs_get_text(0, 1));
	cs_commit();
	return psprintf("%s %s", cs_conflict_name, mark);
}

/* Somebody else's file is in the way: by the connection's policy (P8). */
static void
resolve_conflict(CsPushJob *push, CsPushFile *file, const CsFailure *failure,
				 TimestampTz now)
{
	const CsNameRules *rules = &push->setting->provider->names;

	if (strcmp(push->setting->on_conflict, "skip") == 0)
	{
		file->did = "skip";
		file->failure = *failure;
		cs_push_file_done(push, file, now);
		return;
	}
	if (file->marks >= MAX_MARKS)
	{
		cs_push_file_failed(push, file, failure, now);
		return;
	}
	/* from its plain name: a mark on a mark says nothing more */
	file->marks++;
	file->path = cs_path_join(
		cs_path_parent(file->plan->path),
		cs_name_marked(file->plan->wanted ? cs_path_name(file->plan->wanted)
										  : cs_path_name(file->plan->path),
					   conflict_mark(push, now), file->marks, rules));
	file->marked = true;
	file->known = false;
	file->tries = 0;
	cs_begin("writing down an intent");
	cs_push_write_intent(push, file);
	cs_commit();
	cs_push_queue(push, file);
}

/* See push.h. */
void
cs_push_failed(CsPushJob *push, CsPushFile *file, const CsFailure *why,
			   TimestampTz now)
{
	CsFailure failure = *why;

	cs_push_stop_file(push, file);
	switch (failure.failure_class)
	{
		case CS_FAIL_CONFLICT:
			resolve_conflict(push, file, &failure, now);
			return;
		case CS_FAIL_RETRY_NOW:
			if (file->tries < MAX_TRIES)
			{
				cs_push_queue(push, file);
				return;
			}
			break;
		case CS_FAIL_CHANGED:
			push->again = true;
			break;
		default:
			break;
	}
	cs_push_file_failed(push, file, &failure, now);
}

static bool
same_sha256(const CsRecord *record, const CsResult *result)
{
	return record != NULL && record->has_sha256 && record->size == result->size &&
		   memcmp(record->sha256, result->sha256, CS_SHA256_LENGTH) == 0;
}

/* See push.h. */
void
cs_push_sent(CsPushJob *push, CsPushFile *file, const CsResult *result,
			 TimestampTz now)
{
	CsRecord *record = file->plan->record;

	file->remote_id = result->entry.id ? pstrdup(result->entry.id) : NULL;
	file->remote_version = result->entry.version ? pstrdup(result->entry.version) : NULL;
	file->web_url = result->entry.web_url ? pstrdup(result->entry.web_url) : NULL;
	file->arrived_at = result->entry.modified;
	file->size = result->size;
	memcpy(file->sha256, result->sha256, CS_SHA256_LENGTH);
	file->has_sha256 = true;
	if (result->checksum != NULL)
		file->checksum = pstrdup(result->checksum);
	file->remote_checksum = result->entry.checksum ? pstrdup(result->entry.checksum) : NULL;
	file->sent = result->adopted ? 0 : result->size;
	if (file->marked)
		file->did = "conflict";
	else if (result->adopted)
		file->did = same_sha256(record, result) ? "skip" : "adopt";
	else
		file->did = file->plan->action == CS_ACTION_UPDATE ? "update" : "create";
	if (!result->verified)
		strlcpy(file->failure.message, "unverified", sizeof(file->failure.message));
	file->now_at = file->path;
	if (file->pull != NULL && cs_pull_version(file->pull) != NULL)
		file->tag = MemoryContextStrdup(push->job.context, cs_pull_version(file->pull));
	cs_push_stop_file(push, file);
	if (file->remote_version == NULL)
		cs_push_await_confirmation(push, file);
	else
		cs_push_file_done(push, file, now);
}

/* Those that reached their checkpoint share a commit, and go on. */
static void
pass_checkpoints(CsPushJob *push)
{
	List *files = NIL;
	ListCell *cell;

	foreach (cell, push->active)
	{
		CsPushFile *file = lfirst(cell);

		if (file->transfer != NULL && file->transfer->state == CS_TRANSFER_CHECKPOINT)
			files = lappend(files, file);
	}
	if (files == NIL)
		return;
	CS_CRASH_POINT("push.after_write");
	foreach (cell, files)
	{
		/* that one would be begun is recorded, that it was is not yet */
		if (((CsPushFile *) lfirst(cell))->session != NULL)
			CS_CRASH_POINT("push.after_begin");
	}
	cs_push_checkpoint(push, files);
	CS_CRASH_POINT("push.after_checkpoint");
	foreach (cell, files)
		cs_transfer_continue(((CsPushFile *) lfirst(cell))->transfer);
	list_free(files);
}

/* Those that ended. False: the connection as a whole has failed. */
static bool
take_ends(CsPushJob *push, TimestampTz now)
{
	List *active = list_copy(push->active);
	ListCell *cell;

	foreach (cell, active)
	{
		CsPushFile *file = lfirst(cell);
		CsFailure failure;

		if (file->transfer == NULL || file->transfer->state == CS_TRANSFER_RUNNING)
			continue;
		if (file->transfer->state == CS_TRANSFER_DONE)
		{
			/* a moment, and it says which version it was */
			if (file->pull != NULL && !file->transfer->result.adopted &&
				!cs_pull_ended(file->pull))
				continue;
			CS_CRASH_POINT("push.after_rename");
			cs_push_sent(push, file, &file->transfer->result, now);
		}
		else if (file->transfer->state == CS_TRANSFER_FAILED)
		{
			failure = file->transfer->result.failure;
			if (file->pull != NULL &&
				cs_pull_failure(file->pull)->failure_class != CS_FAIL_NONE)
				failure = *cs_pull_failure(file->pull);
			if (cs_failure_is_connections(failure.failure_class))
			{
				cs_push_stop_all(push);
				cs_push_end(push, &failure, now);
				return false;
			}
			cs_push_failed(push, file, &failure, now);
		}
	}
	list_free(active);
	return true;
}

/* Says whether there is anything to be put on the wire now. */
static bool
start_more(CsPushJob *push, TimestampTz now)
{
	CsConnection *connection = push->job.connection;
	bool started = false;

	while (push->queue_next < list_length(push->queue) &&
		   connection->transfers < cs_max_transfers_per_connection &&
		   cs_loop_running(connection->loop) < cs_max_transfers)
	{
		CsPushTaken taken = cs_push_start_many(push);

		if (taken == CS_PUSH_TAKES_NONE)
			break;
		started = true;
		if (taken == CS_PUSH_TAKES_MANY)
			continue;
		cs_push_read_ahead(push, push->queue_next);
		start_file(push, list_nth(push->queue, push->queue_next++), now);
	}
	return started;
}

/* Reads what the transfers that run make room for, while they wait for answers. */
static void
read_next(CsPushJob *push)
{
	int at = Min(push->queue_next + cs_max_transfers_per_connection,
				 list_length(push->queue)) - 1;

	if (at >= push->queue_next && push->setting->provider->put_many <= 0)
		cs_push_read_ahead(push, at);
}

/* See engine.h. */
void
cs_push_measure(CsJob *job)
{
	CsPushJob *push = (CsPushJob *) job;
	ListCell *cell;

	push->job.bytes_done = push->sent + cs_push_many_bytes(push);
	foreach (cell, push->active)
	{
		const CsPushFile *file = lfirst(cell);

		if (file->transfer != NULL)
			push->job.bytes_done += file->transfer->bytes_done;
	}
}

/* What came of contents that are elsewhere is sent on. */
static void
send_pulled(CsPushJob *push, TimestampTz now)
{
	ListCell *cell;
	List *files = cs_push_pulled(push, now);

	foreach (cell, files)
		start_transfer(push, lfirst(cell));
	list_free(files);
}

static bool
is_idle(const CsPushJob *push)
{
	return push->active == NIL && push->many == NIL;
}

/* See push.h. */
bool
cs_push_send(CsPushJob *push, TimestampTz now)
{
	bool started;

	push->job.wake_at = DT_NOEND;
	pass_checkpoints(push);
	send_pulled(push, now);
	if (!take_ends(push, now) || !cs_push_take_many(push, now))
		return false;
	if (push->unsettled < SETTLE_FILES)
		cs_push_confirm_beside(push, false, now);
	started = start_more(push, now);
	cs_push_measure(&push->job);
	if (started && push->unsettled < SETTLE_AT_MOST)
	{
		push->job.wake_at = now; /* the rest while the service answers */
		return false;
	}
	read_next(push);
	if (push->unsettled >= SETTLE_FILES ||
		(push->unsettled > 0 &&
		 (is_idle(push) ||
		  now - push->unsettled_since >= SETTLE_AFTER_MS * INT64CONST(1000))))
		cs_push_settle_files(push, now);
	if (is_idle(push))
	{
		if (push->queue_next >= list_length(push->queue))
		{
			cs_push_confirm_beside(push, true, now);
			return true;
		}
		/* others of this connection have all the room */
		push->job.wake_at = TimestampTzPlusMilliseconds(now, 50);
	}
	else if (push->confirmed != NIL)
		push->job.wake_at = now; /* a few more of them */
	else if (push->unsettled > 0)
		push->job.wake_at =
			Min(push->job.wake_at,
				TimestampTzPlusMilliseconds(push->unsettled_since, SETTLE_AFTER_MS));
	return false;
}
