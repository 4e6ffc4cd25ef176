/*
 * push_read.c
 *	  Small contents, read and hashed many at a time: one transaction reads them
 *	  and writes their size and SHA-256 down with the intents, so that each then
 *	  travels from memory and becomes visible by one request, without a
 *	  checkpoint of its own (design decisions 4 and 6).
 *
 * What cannot be read in company (an error, a value that changed meanwhile) is
 * left to be read alone, on its way.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "cloudsync/checksum.h"
#include "cloudsync/crash.h"
#include "cloudsync/hash.h"
#include "push_args.h"

#define BATCH_FILES 64
#define BATCH_BYTES (2 * 1024 * 1024)

typedef struct Batch
{
	CsPushJob *push;
	CsSource *source; /* all of one table */
	CsPushFile *files[BATCH_FILES];
	CsContent contents[BATCH_FILES];
	int n;
	int64 bytes;
} Batch;

/* See push.h. */
bool
cs_push_is_small(const CsPushFile *file)
{
	return file->plan->row != NULL && file->bytes == NULL && file->size >= 0 &&
		   file->size <= CS_PUSH_SMALL && !file->intended &&
		   file->plan->row->source->kind != 't';
}

/* The next ones of the queue that are small and of one table. */
static void
fill_batch(Batch *batch)
{
	CsPushJob *push = batch->push;

	for (int i = push->queue_next;
		 i < list_length(push->queue) && batch->n < BATCH_FILES; i++)
	{
		CsPushFile *file = list_nth(push->queue, i);
		CsContent *content = &batch->contents[batch->n];

		if (!cs_push_is_small(file))
			continue;
		if (batch->n > 0 &&
			(file->plan->row->source != batch->source ||
			 batch->bytes + file->size > BATCH_BYTES))
			break;
		batch->source = file->plan->row->source;
		batch->bytes += file->size;
		content->source = batch->source;
		content->key = file->plan->row->key;
		content->version = file->plan->row->version;
		content->size = file->size;
		batch->files[batch->n++] = file;
	}
}

/* One value, if it is (still) the one of the claim. */
static void
take_value(void *arg, int i, const char *bytes, int64 size)
{
	Batch *batch = arg;
	CsPushFile *file = batch->files[i];
	CsChecksumKind kind = batch->push->setting->provider->checksum_kind;
	MemoryContext old;

	if (size != file->size)
		return;
	file->context = AllocSetContextCreate(batch->push->job.context,
										  "cloudsync file", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(file->context);
	file->held = palloc(Max(size, 1));
	memcpy(file->held, bytes, size);
	cs_sha256(file->held, size, file->sha256);
	MemoryContextSwitchTo(batch->push->job.context);
	file->checksum = cs_checksum(kind, file->held, size);
	file->hashed = true;
	MemoryContextSwitchTo(old);
}

static void
read_batch(void *arg)
{
	Batch *batch = arg;

	cs_contents_read(batch->contents, batch->n, take_value, batch);
}

static void
drop_bytes(CsPushFile *file)
{
	if (file->held == NULL)
		return;
	MemoryContextDelete(file->context);
	file->context = NULL;
	file->held = NULL;
	file->hashed = false;
}

/* What a new file in a folder where nothing stands is made under. */
static void
reserve_session(CsPushJob *push, CsPushFile *file)
{
	const CsProvider *provider = push->setting->provider;
	const CsRecord *record = file->plan->record;
	MemoryContext old;

	if (provider->reserve == NULL || file->session != NULL ||
		(record != NULL && record->intent_session != NULL) || !cs_push_is_fresh(push, file))
		return;
	old = MemoryContextSwitchTo(push->job.context);
	file->session = provider->reserve(push->job.connection->service);
	file->reserved = file->session != NULL;
	MemoryContextSwitchTo(old);
}

/* See push.h. */
void
cs_push_read_ahead(CsPushJob *push, int at)
{
	CsPushFile *next = list_nth(push->queue, at);
	Batch *batch;
	List *files = NIL;
	ErrorData *error = NULL;

	if (next->held != NULL || !cs_push_is_small(next))
		return;
	batch = palloc0(sizeof(Batch));
	batch->push = push;
	fill_batch(batch);
	cs_begin("reading contents");
	if (!cs_try(read_batch, batch, &error))
	{
		for (int i = 0; i < batch->n; i++)
			drop_bytes(batch->files[i]);
		ereport(DEBUG1, (errmsg_internal("contents are read one by one: %s", error->message)));
		FreeErrorData(error);
	}
	for (int i = 0; i < batch->n; i++)
	{
		reserve_session(push, batch->files[i]);
		batch->files[i]->intended = true;
		files = lappend(files, batch->files[i]);
	}
	cs_push_write_intents_of(push, files);
	cs_commit();
	CS_CRASH_POINT("push.after_read");
	pfree(batch);
}
