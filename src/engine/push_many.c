/*
 * push_many.c
 *	  Small files that go together (PUT_MANY), where the provider has that: taken
 *	  from the queue as they follow each other, read beforehand, and each settled
 *	  by its own result. Of a connection's batches one at a time is let become
 *	  visible, since services lock all there is for that.
 *
 * Size and SHA-256 of each were written down with its intent when it was read, so
 * that nothing is to be recorded in between.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "cloudsync/crash.h"
#include "cloudsync/path.h"
#include "cloudsync/push.h"

#define MANY_MIN 3		   /* fewer go by themselves as quickly */
#define MANY_AT_ONCE 2	   /* one is sent while another is committed */
#define COMMIT_AGAIN_MS 20 /* another of the connection's is being committed */

struct CsPushMany
{
	CsTransfer *transfer;
	MemoryContext context; /* of it and all below */
	CsBody body;
	CsPushFile **files;
	int64 *ends; /* of each, in the body */
	int n;
	int at; /* the one that was read last */
};

/* Those that are held, one after the other. */
static int64
read_many(CsBody *body, int64 offset, char *buf, int64 cap, CsFailure *failure)
{
	CsPushMany *many = body->owner;
	int64 n = 0;

	if (many->at >= many->n ||
		(many->at > 0 && offset < many->ends[many->at - 1]))
		many->at = 0;
	while (n < cap && many->at < many->n)
	{
		const CsPushFile *file = many->files[many->at];
		int64 begin = many->ends[many->at] - file->size;
		int64 len = Min(cap - n, many->ends[many->at] - offset - n);

		if (len <= 0)
		{
			many->at++;
			continue;
		}
		memcpy(buf + n, file->held + (offset + n - begin), len);
		n += len;
	}
	return n;
}

static bool
restart_many(CsBody *body, CsFailure *failure)
{
	return true;
}

static bool
may_go_along(const CsPushFile *file)
{
	return !file->alone && !cs_push_is_elsewhere(file) &&
		   (file->held != NULL || cs_push_is_small(file));
}

/* How many of the queue's next can go together; they are read then. */
static int
gather(CsPushJob *push)
{
	const CsProvider *provider = push->setting->provider;
	int left = list_length(push->queue) - push->queue_next;
	int64 bytes = 0;
	int n;

	for (n = 0; n < Min(left, provider->put_many); n++)
	{
		const CsPushFile *file = list_nth(push->queue, push->queue_next + n);

		if (!may_go_along(file) ||
			bytes + file->size > provider->put_many_bytes)
			break;
		bytes += file->size;
	}
	if (n < MANY_MIN)
		return 0;
	for (int i = 0; i < n; i++)
	{
		const CsPushFile *file = list_nth(push->queue, push->queue_next + i);

		if (file->held == NULL)
			cs_push_read_ahead(push, push->queue_next + i);
		if (file->held == NULL)
			n = i;
	}
	return n < MANY_MIN ? 0 : n;
}

static void
fill_one(CsPushJob *push, CsPushFile *file, CsPut *put)
{
	CsOp op = {0};

	cs_push_fill_put(push, file, &op);
	put->path = op.path;
	put->id = op.id;
	put->known_version = op.known_version;
	put->size = file->size;
	memcpy(put->sha256, op.sha256, CS_SHA256_LENGTH);
	put->checksum = op.checksum;
	put->overwrite = op.overwrite;
	put->has_intended = op.has_intended;
	put->intended_size = op.intended_size;
	memcpy(put->intended_sha256, op.intended_sha256, CS_SHA256_LENGTH);
	put->intended_checksum = op.intended_checksum;
}

/* In the batch's context. */
static void
start_batch(CsPushJob *push, CsPushMany *many)
{
	CsConnection *connection = push->job.connection;
	CsPut *puts = palloc0(many->n * sizeof(CsPut));
	CsOp op = {0};
	int64 end = 0;

	for (int i = 0; i < many->n; i++)
	{
		CsPushFile *file = list_nth(push->queue, push->queue_next++);

		file->tries++;
		fill_one(push, file, &puts[i]);
		end += file->size;
		many->files[i] = file;
		many->ends[i] = end;
		file->state = CS_FILE_RUNNING;
	}
	op.kind = CS_OP_PUT_MANY;
	op.path = push->plan->folder;
	op.size = end;
	op.puts = puts;
	op.n_puts = many->n;
	many->body.read = read_many;
	many->body.restart = restart_many;
	many->body.owner = many;
	many->transfer = cs_transfer_start(connection->loop, connection->provider,
									   push->endpoint, &op, &many->body, push);
}

/* See push.h. */
CsPushTaken
cs_push_start_many(CsPushJob *push)
{
	CsPushMany *many;
	MemoryContext context;
	MemoryContext old;
	int n;

	if (push->setting->provider->put_many == 0 ||
		push->queue_next >= list_length(push->queue) ||
		!may_go_along(list_nth(push->queue, push->queue_next)))
		return CS_PUSH_TAKES_ONE;
	if (list_length(push->many) >= MANY_AT_ONCE)
		return CS_PUSH_TAKES_NONE;
	n = gather(push);
	if (n == 0)
		return CS_PUSH_TAKES_ONE;
	context = AllocSetContextCreate(push->job.context, "cloudsync files",
									ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	many = palloc0(sizeof(CsPushMany));
	many->context = context;
	many->n = n;
	many->files = palloc0(n * sizeof(CsPushFile *));
	many->ends = palloc0(n * sizeof(int64));
	start_batch(push, many);
	MemoryContextSwitchTo(push->job.context);
	push->many = lappend(push->many, many);
	MemoryContextSwitchTo(old);
	push->job.connection->transfers++;
	push->job.phase = "send";
	strlcpy(push->job.file, cs_path_name(many->files[0]->path),
			sizeof(push->job.file));
	return CS_PUSH_TAKES_MANY;
}

/* What it held of the files goes; its results are the caller's until then. */
static void
let_go(CsPushFile *file)
{
	if (file->context != NULL)
		MemoryContextDelete(file->context);
	file->context = NULL;
	file->held = NULL;
}

static void
stop_batch(CsPushJob *push, CsPushMany *many)
{
	CsConnection *connection = push->job.connection;

	for (int i = 0; i < many->n; i++)
		let_go(many->files[i]);
	if (connection->committing == many)
		connection->committing = NULL;
	push->requests += many->transfer->requests;
	cs_transfer_free(many->transfer);
	connection->transfers--;
	push->many = list_delete_ptr(push->many, many);
	MemoryContextDelete(many->context);
}

/* See push.h. */
void
cs_push_stop_many(CsPushJob *push)
{
	while (push->many != NIL)
		stop_batch(push, linitial(push->many));
}

/* Taken out of the job's hands: nothing of what it points to is used again. */
static void
settle_one(CsPushJob *push, CsPushFile *file, const CsPutResult *made,
		   TimestampTz now)
{
	CsResult result = {0};

	if (made->ok)
	{
		result.entry = made->entry;
		result.adopted = made->adopted;
		result.verified = made->verified;
		result.size = file->size;
		memcpy(result.sha256, file->sha256, CS_SHA256_LENGTH);
		let_go(file);
		cs_push_sent(push, file, &result, now);
		return;
	}
	let_go(file);
	/* what is in the way may be ours: alone it is looked at */
	if (made->failure.failure_class == CS_FAIL_CONFLICT && !file->alone)
	{
		file->alone = true;
		cs_push_queue(push, file);
		return;
	}
	file->alone = true;
	cs_push_failed(push, file, &made->failure, now);
}

/* False: the connection as a whole has failed, for reasons of *fatal. */
static bool
settle_batch(CsPushJob *push, CsPushMany *many, CsFailure *fatal,
			 TimestampTz now)
{
	const CsResult *result = &many->transfer->result;
	bool done = many->transfer->state == CS_TRANSFER_DONE;
	CsPutResult failed = {0};
	bool good = true;

	if (!done)
		failed.failure = result->failure;
	for (int i = 0; i < many->n; i++)
	{
		const CsPutResult *made = done ? &result->puts[i] : &failed;

		if (!made->ok && cs_failure_is_connections(made->failure.failure_class))
		{
			*fatal = made->failure;
			good = false;
		}
		else
			settle_one(push, many->files[i], made, now);
	}
	return good;
}

/* One batch of the connection's at a time becomes visible. */
static void
let_commit(CsPushJob *push, CsPushMany *many, TimestampTz now)
{
	CsConnection *connection = push->job.connection;

	if (connection->committing != NULL && connection->committing != many)
	{
		push->job.wake_at =
			Min(push->job.wake_at,
				TimestampTzPlusMilliseconds(now, COMMIT_AGAIN_MS));
		return;
	}
	connection->committing = many;
	CS_CRASH_POINT("push.after_write");
	cs_transfer_continue(many->transfer);
}

/* See push.h. */
bool
cs_push_take_many(CsPushJob *push, TimestampTz now)
{
	List *all = list_copy(push->many);
	CsFailure fatal;
	ListCell *cell;

	foreach (cell, all)
	{
		CsPushMany *many = lfirst(cell);
		bool good;

		if (many->transfer->state == CS_TRANSFER_RUNNING)
			continue;
		if (many->transfer->state == CS_TRANSFER_CHECKPOINT)
		{
			let_commit(push, many, now);
			continue;
		}
		CS_CRASH_POINT("push.after_rename");
		good = settle_batch(push, many, &fatal, now);
		stop_batch(push, many);
		if (!good)
		{
			cs_push_stop_all(push);
			cs_push_end(push, &fatal, now);
			return false;
		}
	}
	list_free(all);
	return true;
}

/* See push.h. */
int64
cs_push_many_bytes(const CsPushJob *push)
{
	ListCell *cell;
	int64 bytes = 0;

	foreach (cell, push->many)
	{
		const CsPushMany *many = lfirst(cell);

		if (many->transfer != NULL)
			bytes += many->transfer->bytes_done;
	}
	return bytes;
}
