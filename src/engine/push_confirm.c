/*
 * push_confirm.c
 *	  Files that were sent to a service whose answer gave no version: one
 *	  listing of each folder afterwards says what all of them are now, and
 *	  whether their sizes are right (P6). Until then they count as unsettled, so
 *	  that after a crash they are found again by size and checksum. Where many
 *	  are sent, most of them are confirmed and recorded while the last ones
 *	  travel, so that the end need not wait for it.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "cloudsync/path.h"
#include "cloudsync/settings.h"
#include "push_args.h"

#define BESIDE_MANY 1000 /* so many are confirmed before the end, or */
#define BESIDE_LAST 400	 /* these, when the last eighth is on its way */
#define AT_ONCE 100		 /* pass on so many, to be recorded together */

/* Between a file's last byte and the answer, by clocks of whole seconds. */
#define ARRIVAL_US (2 * INT64CONST(1000000))

typedef struct SentKey
{
	const char *key; /* of its path, as the provider compares */
	CsPushFile *file;
} SentKey;

/* See push.h. */
void
cs_push_await_confirmation(CsPushJob *push, CsPushFile *file)
{
	MemoryContext old = MemoryContextSwitchTo(push->job.context);

	file->state = CS_FILE_SENT;
	push->unconfirmed = lappend(push->unconfirmed, file);
	MemoryContextSwitchTo(old);
}

/* See push.h. */
const char *
cs_push_next_confirmation(CsPushJob *push)
{
	char *folder;
	ListCell *cell;

	if (push->unconfirmed == NIL)
		return NULL;
	folder = cs_path_parent(((CsPushFile *) linitial(push->unconfirmed))->path);
	push->sent_keys = cs_text_table("cloudsync files sent", sizeof(SentKey),
										 push->job.context);
	foreach (cell, push->unconfirmed)
	{
		CsPushFile *file = lfirst(cell);
		const char *key = key_of(push, file->path);
		SentKey *entry = hash_search(push->sent_keys, &key, HASH_ENTER, NULL);

		entry->file = file;
	}
	return folder;
}

static void
confirm(CsPushFile *file, const CsEntry *entry)
{
	if (entry->kind != CS_ENTRY_FILE || entry->version == NULL)
		return;
	file->seen_size = entry->size;
	file->seen_at = entry->modified;
	file->remote_version = pstrdup(entry->version);
	if (entry->id != NULL)
		file->remote_id = pstrdup(entry->id);
	if (entry->checksum != NULL)
		file->remote_checksum = pstrdup(entry->checksum);
	if (entry->web_url != NULL)
		file->web_url = pstrdup(entry->web_url);
	if (entry->has_sha256)
	{
		if (memcmp(entry->sha256, file->sha256, CS_SHA256_LENGTH) == 0)
			file->failure.message[0] = '\0';
		else
			file->seen_size = -2; /* other bytes */
	}
}

/* See push.h. */
void
cs_push_confirm_page(CsPushJob *push)
{
	const CsResult *page = &push->single->result;
	MemoryContext old = MemoryContextSwitchTo(push->job.context);

	for (int i = 0; i < page->n_entries; i++)
	{
		char *key = key_of(push, page->entries[i].path);
		SentKey *sent = hash_search(push->sent_keys, &key, HASH_FIND, NULL);

		if (sent != NULL)
			confirm(sent->file, &page->entries[i]);
		pfree(key);
	}
	MemoryContextSwitchTo(old);
}

/*
 * Is what arrived damaged still what we left, and not somebody's edit since?
 * Then it was last changed when ours arrived.
 */
static bool
is_as_arrived(const CsPushFile *file)
{
	return file->arrived_at > 0 && file->seen_at > 0 &&
		   file->seen_at <= file->arrived_at &&
		   file->arrived_at - file->seen_at <= ARRIVAL_US;
}

/* What the listing of its folder says of a file. */
static void
judge(CsPushJob *push, CsPushFile *file, const CsFailure *listing, TimestampTz now)
{
	CsFailure failure;

	if (file->remote_version != NULL &&
		(file->seen_size == file->size || file->seen_size == -1))
	{
		cs_push_file_done(push, file, now);
		return;
	}
	file->has_sha256 = false;
	if (file->remote_version != NULL)
	{
		file->damaged = is_as_arrived(file);
		cs_failure_set(&failure, CS_FAIL_RETRY_LATER, NULL,
					   "\"%s\" is not what was sent", file->path);
	}
	else if (listing != NULL)
		failure = *listing;
	else
		cs_failure_set(&failure, CS_FAIL_RETRY_LATER, NULL,
					   "\"%s\" is not there after it was sent", file->path);
	cs_push_file_failed(push, file, &failure, now);
}

/* See push.h. */
void
cs_push_confirm_end(CsPushJob *push, TimestampTz now)
{
	char *folder = cs_path_parent(((CsPushFile *) linitial(push->unconfirmed))->path);
	const CsFailure *failure = push->single->state == CS_TRANSFER_FAILED
								   ? &push->single->result.failure
								   : NULL;
	List *others = NIL;
	ListCell *cell;

	foreach (cell, push->unconfirmed)
	{
		CsPushFile *file = lfirst(cell);

		if (strcmp(cs_path_parent(file->path), folder) == 0)
			judge(push, file, failure, now);
		else
			others = lappend(others, file);
	}
	push->unconfirmed = others;
	hash_destroy(push->sent_keys);
	push->sent_keys = NULL;
}

static bool
is_last_eighth(const CsPushJob *push)
{
	return list_length(push->queue) - push->queue_next <= list_length(push->queue) / 8;
}

/* Is a listing worth it now? Each shows what the ones before showed too. */
static bool
wants_listing(const CsPushJob *push)
{
	int sent = list_length(push->unconfirmed);

	if (push->step != CS_PUSH_SEND || push->single != NULL || push->confirmed != NIL ||
		push->queue_next >= list_length(push->queue))
		return false;
	return sent >= Max(BESIDE_MANY, push->n_beside) ||
		   (sent >= BESIDE_LAST && is_last_eighth(push) && !push->confirmed_late);
}

/* See push.h. */
void
cs_push_confirm_beside(CsPushJob *push, bool all, TimestampTz now)
{
	const CsConnection *connection = push->job.connection;
	CsOp op = {.kind = CS_OP_LIST};

	for (int n = 0; push->confirmed != NIL && (all || n < AT_ONCE); n++)
	{
		cs_push_file_done(push, llast(push->confirmed), now);
		push->confirmed = list_delete_last(push->confirmed);
	}
	if (all || !wants_listing(push) ||
		connection->transfers >= cs_max_transfers_per_connection ||
		cs_loop_running(connection->loop) >= cs_max_transfers)
		return;
	push->confirmed_late = is_last_eighth(push);
	push->n_beside += list_length(push->unconfirmed);
	op.path = cs_push_next_confirmation(push);
	cs_push_start_single(push, &op);
}

/*
 * See push.h. What the listing showed as it was sent is confirmed; of all else
 * the one at the end tells.
 */
void
cs_push_confirm_beside_end(CsPushJob *push)
{
	MemoryContext old = MemoryContextSwitchTo(push->job.context);
	List *others = NIL;
	ListCell *cell;

	foreach (cell, push->unconfirmed)
	{
		CsPushFile *file = lfirst(cell);

		if (file->remote_version != NULL &&
			(file->seen_size == file->size || file->seen_size == -1))
			push->confirmed = lappend(push->confirmed, file);
		else
		{
			file->remote_version = NULL;
			others = lappend(others, file);
		}
	}
	list_free(push->unconfirmed);
	push->unconfirmed = others;
	hash_destroy(push->sent_keys);
	push->sent_keys = NULL;
	MemoryContextSwitchTo(old);
}
