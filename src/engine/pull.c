/*
 * pull.c
 *	  Contents that are elsewhere on their way through (pull.h): the window
 *	  between the transfer that pulls and the one that sends. Relies on
 *	  transfer/ for both; touches no database.
 *
 * Positions are bytes of the content. The window holds base..end; what pulls
 * has come to at, which is behind end when it had to begin anew, and the bytes
 * up to end are then compared by their hash instead of kept. What is sent has
 * been read up to reader.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "cloudsync/hash.h"
#include "cloudsync/push.h"
#include "pull.h"

#define STREAM_BYTES (1024 * 1024) /* of a window, beside what is read twice */
#define WINDOWS_BYTES (40 * 1024 * 1024) /* of all large ones of this process */

struct CsPull
{
	MemoryContext context;
	MemoryContextCallback callback;
	CsJob *job;
	CsPullFrom from;
	CsTransfer *transfer;
	bool looking; /* it asks for the version, before it pulls */
	CsTransfer *sender;
	CsBody body;
	CsFailure failure;
	char *version;
	bool unchanged;
	bool ended; /* all of it came */
	bool anew;	/* it is to be pulled again from its beginning */
	bool feeding;
	bool skimming;
	int64 size; /* -1: unknown */
	/* the window, a ring */
	char *ring;
	int64 room; /* its size */
	int64 reserved; /* of what all windows may take */
	int64 base;
	int64 end;
	int64 at;
	int64 reader;
	int64 rereads;
	/* of bytes 0..at; and of those of the pull before, 0..seen */
	CsHash *hash;
	int64 seen;
	uint8 seen_sha256[CS_SHA256_LENGTH];
};

static int64 reserved_bytes = 0;

static void
give_room_back(void *arg)
{
	CsPull *pull = arg;

	reserved_bytes -= pull->reserved;
	pull->reserved = 0;
}

static void
wake_job(CsPull *pull)
{
	pull->job->ready = true;
}

/* The source's troubles are the file's, not those of the push's connection. */
static void
take_failure(CsPull *pull, const CsFailure *failure)
{
	pull->failure = *failure;
	switch (failure->failure_class)
	{
		case CS_FAIL_RETRY_NOW:
		case CS_FAIL_GONE:
		case CS_FAIL_FORBIDDEN:
		case CS_FAIL_REFUSED:
			break;
		case CS_FAIL_CHANGED:
			pull->failure.failure_class = CS_FAIL_RETRY_NOW;
			break;
		default:
			pull->failure.failure_class = CS_FAIL_RETRY_LATER;
			break;
	}
}

/* ---- what comes ---- */

/* Bytes that the sender may still want, from here on. */
static int64
kept_from(const CsPull *pull)
{
	if (pull->skimming)
		return pull->end;
	return Max(pull->base, Min(pull->reader - pull->rereads, pull->end));
}

static int64
pull_room(CsBody *body)
{
	CsPull *pull = body->owner;

	if (pull->skimming)
		return PG_INT32_MAX;
	return pull->room - (pull->end - kept_from(pull)) + (pull->end - pull->at);
}

/* Hashes; false if this is another content than the one that came before. */
static bool
compare(CsPull *pull, const char *buf, int64 len)
{
	uint8 sha256[CS_SHA256_LENGTH];
	int64 known = pull->seen - pull->at;

	if (known > 0 && known <= len)
	{
		cs_hash_update(pull->hash, buf, known);
		cs_hash_so_far(pull->hash, sha256);
		if (memcmp(sha256, pull->seen_sha256, sizeof(sha256)) != 0)
			return false;
		buf += known;
		len -= known;
	}
	if (len > 0)
		cs_hash_update(pull->hash, buf, len);
	return true;
}

static void
keep(CsPull *pull, const char *buf, int64 len)
{
	while (len > 0)
	{
		int64 place = pull->end % pull->room;
		int64 n = Min(len, pull->room - place);

		memcpy(pull->ring + place, buf, n);
		pull->end += n;
		buf += n;
		len -= n;
	}
}

static bool
pull_write(CsBody *body, const char *buf, int64 len, CsFailure *failure)
{
	CsPull *pull = body->owner;
	int64 known;

	if (pull->at + len > pull->from.max_size)
	{
		cs_failure_set(failure, CS_FAIL_REFUSED, NULL,
					   "the content is larger than cloudsync.max_document_size");
		return false;
	}
	if (!compare(pull, buf, len))
	{
		cs_failure_set(failure, CS_FAIL_CHANGED, NULL,
					   "the content was changed while it was read");
		return false;
	}
	pull->base = kept_from(pull);
	known = Min(Max(pull->end - pull->at, 0), len);
	pull->at += len;
	if (pull->skimming)
		pull->base = pull->end = pull->at;
	else
		keep(pull, buf + known, len - known);
	if (pull->sender != NULL)
		cs_transfer_wake(pull->sender);
	else if (pull->at > CS_PUSH_SMALL && !pull->skimming)
		wake_job(pull);
	return true;
}

/* The source delivers from its first byte again. */
static bool
pull_restart(CsBody *body, CsFailure *failure)
{
	CsPull *pull = body->owner;

	if (pull->at >= pull->seen)
	{
		pull->seen = pull->at;
		cs_hash_so_far(pull->hash, pull->seen_sha256);
	}
	cs_hash_restart(pull->hash);
	pull->at = 0;
	return true;
}

static void
pull_announce(CsBody *body, int64 size)
{
	CsPull *pull = body->owner;

	if (pull->size < 0)
		pull->size = size;
}

/* ---- the transfers ---- */

static void
start_transfer(CsPull *pull, CsOpKind kind)
{
	MemoryContext old = MemoryContextSwitchTo(pull->context);
	CsOp op = {0};

	op.kind = kind;
	op.path = pull->from.path;
	if (pull->from.provider == &cs_provider_web)
		op.known_version = pull->from.version;
	else if (kind == CS_OP_GET)
		op.expect_version = pull->version;
	pull->transfer = cs_transfer_start(pull->from.loop, pull->from.provider,
									   pull->from.endpoint, &op, &pull->body,
									   pull->job);
	MemoryContextSwitchTo(old);
}

/* At a connection, a look says which version there is, and how large it is. */
static void
start(CsPull *pull)
{
	pull->looking = pull->from.provider != &cs_provider_web &&
					pull->version == NULL;
	start_transfer(pull, pull->looking ? CS_OP_STAT : CS_OP_GET);
}

CsPull *
cs_pull_start(const CsPullFrom *from, CsJob *job)
{
	MemoryContext context = AllocSetContextCreate(
		CurrentMemoryContext, "cloudsync pull", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	CsPull *pull = palloc0(sizeof(CsPull));

	pull->context = context;
	pull->job = job;
	pull->from = *from;
	pull->from.path = pstrdup(from->path);
	pull->from.version = from->version != NULL ? pstrdup(from->version) : NULL;
	pull->body.write = pull_write;
	pull->body.restart = pull_restart;
	pull->body.room = pull_room;
	pull->body.announce = pull_announce;
	pull->body.owner = pull;
	pull->size = -1;
	/* a byte more than a small content has */
	pull->room = CS_PUSH_SMALL + 1;
	pull->ring = palloc(pull->room);
	pull->hash = cs_hash_create();
	pull->callback.func = give_room_back;
	pull->callback.arg = pull;
	MemoryContextRegisterResetCallback(context, &pull->callback);
	MemoryContextSwitchTo(old);
	start(pull);
	return pull;
}

void
cs_pull_free(CsPull *pull)
{
	if (pull->transfer != NULL)
		cs_transfer_free(pull->transfer);
	MemoryContextDelete(pull->context);
}

static char *
copy_version(CsPull *pull, const char *version)
{
	return version != NULL ? MemoryContextStrdup(pull->context, version) : NULL;
}

/* What the look has shown. */
static void
take_look(CsPull *pull, const CsEntry *entry)
{
	if (entry->kind != CS_ENTRY_FILE)
	{
		cs_failure_set(&pull->failure, CS_FAIL_REFUSED, NULL,
					   "\"%s\" is no file", pull->from.path);
		return;
	}
	pull->version = copy_version(pull, entry->version);
	pull->size = entry->size;
	pull->unchanged = pull->version != NULL && pull->from.version != NULL &&
					  strcmp(pull->version, pull->from.version) == 0;
}

static void
take_end(CsPull *pull, const CsResult *result)
{
	if (pull->at < pull->seen)
	{
		cs_failure_set(&pull->failure, CS_FAIL_RETRY_NOW, NULL,
					   "the content was changed while it was read");
		return;
	}
	pull->ended = true;
	pull->unchanged = result->adopted;
	if (!pull->unchanged)
		pull->size = pull->at;
	if (pull->from.provider == &cs_provider_web)
		pull->version = copy_version(pull, result->entry.version);
}

static void
take_stop(CsPull *pull)
{
	CsTransfer *transfer = pull->transfer;

	if (transfer->state == CS_TRANSFER_FAILED)
		take_failure(pull, &transfer->result.failure);
	else if (pull->looking)
		take_look(pull, &transfer->result.entry);
	else
		take_end(pull, &transfer->result);
	cs_transfer_free(transfer);
	pull->transfer = NULL;
	if (pull->looking && !pull->unchanged &&
		pull->failure.failure_class == CS_FAIL_NONE)
	{
		pull->looking = false;
		start_transfer(pull, CS_OP_GET);
	}
	if (pull->sender != NULL)
		cs_transfer_wake(pull->sender);
}

CsPullState
cs_pull_advance(CsPull *pull)
{
	if (pull->anew)
	{
		CsFailure none;

		pull->anew = false;
		pull->ended = false;
		if (pull->transfer != NULL)
			cs_transfer_free(pull->transfer);
		(void) pull_restart(&pull->body, &none);
		pull->from.version = NULL;
		start_transfer(pull, CS_OP_GET);
	}
	if (pull->transfer != NULL && pull->transfer->state != CS_TRANSFER_RUNNING)
		take_stop(pull);
	if (pull->failure.failure_class == CS_FAIL_NONE &&
		pull->size > pull->from.max_size)
		cs_failure_set(&pull->failure, CS_FAIL_REFUSED, NULL,
					   "the content is larger than cloudsync.max_document_size");
	if (pull->failure.failure_class != CS_FAIL_NONE)
		return CS_PULL_FAILED;
	if (pull->unchanged)
		return CS_PULL_UNCHANGED;
	if (pull->skimming)
		return pull->ended ? CS_PULL_LARGE : CS_PULL_WAIT;
	if (pull->feeding)
		return CS_PULL_WAIT;
	if (pull->at > CS_PUSH_SMALL)
		return CS_PULL_LARGE;
	return pull->ended ? CS_PULL_WHOLE : CS_PULL_WAIT;
}

const CsFailure *
cs_pull_failure(const CsPull *pull)
{
	return &pull->failure;
}

int64
cs_pull_size(const CsPull *pull)
{
	return pull->size;
}

const char *
cs_pull_version(const CsPull *pull)
{
	return pull->version;
}

char *
cs_pull_whole(CsPull *pull, uint8 *sha256)
{
	char *bytes = palloc(Max(pull->end, 1));

	/* it never came round the ring */
	memcpy(bytes, pull->ring, pull->end);
	cs_hash_so_far(pull->hash, sha256);
	return bytes;
}

/* ---- what goes ---- */

bool
cs_pull_feed(CsPull *pull, int64 rereads)
{
	int64 room = rereads + STREAM_BYTES + CS_PUSH_SMALL;
	char *ring;

	if (pull->size >= 0)
		room = Min(room, Max(pull->size, pull->room));
	if (reserved_bytes > 0 && reserved_bytes + room > WINDOWS_BYTES)
		return false;
	pull->reserved = room;
	reserved_bytes += room;
	ring = MemoryContextAllocHuge(pull->context, room);
	/* nothing has been read yet, so it is all from its first byte on */
	memcpy(ring, pull->ring, pull->end);
	pfree(pull->ring);
	pull->ring = ring;
	pull->room = room;
	pull->rereads = rereads;
	pull->feeding = true;
	if (pull->transfer != NULL)
		cs_transfer_wake(pull->transfer);
	return true;
}

void
cs_pull_set_reader(CsPull *pull, CsTransfer *reader)
{
	pull->sender = reader;
}

int64
cs_pull_read(CsPull *pull, int64 offset, char *buf, int64 cap,
			 CsFailure *failure)
{
	int64 n;

	if (pull->failure.failure_class != CS_FAIL_NONE)
	{
		*failure = pull->failure;
		return -1;
	}
	pull->reader = offset;
	if (pull->anew)
		return CS_BODY_WAIT;
	if (offset < pull->base)
	{
		/* back to what is no longer here */
		pull->anew = true;
		pull->base = pull->end = offset;
		wake_job(pull);
		return CS_BODY_WAIT;
	}
	n = Min(cap, pull->end - offset);
	if (n <= 0)
		return pull->ended ? 0 : CS_BODY_WAIT;
	n = Min(n, pull->room - offset % pull->room);
	memcpy(buf, pull->ring + offset % pull->room, n);
	pull->reader = offset + n;
	if (pull->transfer != NULL)
		cs_transfer_wake(pull->transfer);
	return n;
}

bool
cs_pull_skim(CsPull *pull, int64 *size, uint8 *sha256)
{
	if (!pull->skimming)
	{
		pull->skimming = true;
		if (pull->transfer != NULL)
			cs_transfer_wake(pull->transfer);
	}
	if (!pull->ended)
		return false;
	*size = pull->at;
	cs_hash_so_far(pull->hash, sha256);
	return true;
}

void
cs_pull_again(CsPull *pull)
{
	pull->skimming = false;
	pull->anew = true;
	pull->base = pull->end = pull->reader = 0;
	wake_job(pull);
}

bool
cs_pull_ended(const CsPull *pull)
{
	return pull->ended || pull->failure.failure_class != CS_FAIL_NONE;
}
