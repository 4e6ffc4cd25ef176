/*
 * push_source.c
 *	  Files whose content is elsewhere (P1): at an http or https address that
 *	  the server may fetch (S5), or at a path of another connection. The content
 *	  is pulled (pull.c) and sent on without touching the disk: a small one from
 *	  memory once all of it is there, a larger one as it comes.
 *
 * One that was pushed before is asked for with the version it had then (P5):
 * what is unchanged is not sent.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "cloudsync/http.h"
#include "cloudsync/path.h"
#include "cloudsync/settings.h"
#include "pull.h"
#include "push_args.h"

#define MAX_ADDRESS 8192 /* bytes */
#define ASK_AGAIN_MS 100 /* for memory that others have */

/* See push.h. */
bool
cs_push_is_elsewhere(const CsPushFile *file)
{
	return file->plan->row != NULL && file->plan->row->source->kind == 't' &&
		   file->bytes == NULL;
}

/* Is what was pushed of it where it should be? */
static bool
stands(const CsPushFile *file)
{
	const CsRecord *record = file->plan->record;

	return record != NULL && record->has_sha256 && record->remote_version != NULL &&
		   file->now_at != NULL && file->path != NULL &&
		   strcmp(file->now_at, file->path) == 0;
}

/* See push.h. Of one that was moved, that has been settled already. */
bool
cs_push_asks(CsPushJob *push, CsPushFile *file)
{
	CsRecord *record = file->plan->record;
	CsAction action = file->plan->action;

	if (!cs_push_is_elsewhere(file) || !stands(file) ||
		(action != CS_ACTION_SKIP && action != CS_ACTION_MOVE) ||
		(strcmp(record->state, "synced") != 0 &&
		 strcmp(record->state, "failed") != 0 &&
		 strcmp(record->state, "sending") != 0))
		return false;
	if (file->state == CS_FILE_DONE)
	{
		if (!file->settled)
			cs_push_settle_files(push, GetCurrentTimestamp());
		if (file->remote_version != NULL)
			record->remote_version = file->remote_version;
		file->settled = false;
	}
	else if (file->state != CS_FILE_WAITING)
		return false;
	file->asks = true;
	return true;
}

/* ---- where from ---- */

typedef struct AddressRead
{
	CsContent *content;
	char *text;
	int64 n;
} AddressRead;

static void
read_address(void *arg)
{
	AddressRead *read = arg;

	read->n = cs_content_read(read->content, 0, read->text, MAX_ADDRESS + 1);
}

/* The column's text, in a transaction of its own; NULL with *failure. */
static char *
address_of(CsPushFile *file, CsFailure *failure)
{
	CsContent content = {0};
	AddressRead read = {&content, palloc0(MAX_ADDRESS + 2), -1};
	ErrorData *error = NULL;

	content.source = file->plan->row->source;
	content.key = file->plan->row->key;
	content.version = file->plan->row->version;
	content.size = -1;
	content.context = CurrentMemoryContext;
	cs_begin("reading where a content is");
	if (!cs_try(read_address, &read, &error))
		cs_failure_set(failure, CS_FAIL_RETRY_LATER, error->detail, "%s", error->message);
	else if (read.n < 0)
		cs_failure_set(failure, CS_FAIL_CHANGED, NULL,
					   "\"%s\" was changed in the database before it was read",
					   cs_path_name(file->path));
	else if (read.n > MAX_ADDRESS)
		cs_failure_set(failure, CS_FAIL_REFUSED, NULL,
					   "where the content is, is longer than %d bytes", MAX_ADDRESS);
	cs_commit();
	return failure->failure_class == CS_FAIL_NONE ? read.text : NULL;
}

static bool
from_address(CsPushJob *push, const char *text, CsPullFrom *from, CsFailure *failure)
{
	static const CsHttpAccess access = {.purpose = "content", .auth = CS_AUTH_NONE};
	CsConnection *connection = push->job.connection;
	MemoryContext old;

	from->provider = &cs_provider_web;
	from->path = cs_url_resolve(NULL, text);
	if (from->path == NULL)
	{
		cs_failure_set(failure, CS_FAIL_REFUSED,
					   "The column of a file's content holds an address such as "
					   "https://host/path, unless a content_connection was given.",
					   "\"%s\" is no http or https address", cs_url_shown(text));
		return false;
	}
	if (connection->web == NULL)
	{
		old = MemoryContextSwitchTo(connection->context);
		connection->web = cs_endpoint_open_http(NULL, &access, failure);
		MemoryContextSwitchTo(old);
	}
	from->endpoint = connection->web;
	return connection->web != NULL;
}

/* The connection as it is now, opened once as long as it stays so. */
static CsConnection *
other_connection(CsPushJob *push, const char *name, CsFailure *failure)
{
	CsConnection *connection = push->job.connection;
	CsConnection *other = NULL;
	Args args = {0};
	char *state = NULL;
	int64 id = 0;
	int revision = 0;
	ListCell *cell;
	MemoryContext old = CurrentMemoryContext;

	cs_begin("looking for the connection where a content is");
	add_text(&args, name);
	/* tracking is a matter of the whole server: it names one of no tenant */
	if (cs_execute("SELECT connection_id, revision, state FROM cloudsync.connection "
				   "WHERE tenant OPERATOR(pg_catalog.=) '' AND name OPERATOR(pg_catalog.=) $1 "
				   "AND state OPERATOR(pg_catalog.<>) 'disconnected'",
				   args.n, args.types, args.values, args.nulls, true) > 0)
	{
		id = cs_get_int64(0, 1, 0);
		revision = (int) cs_get_int64(0, 2, 0);
		state = MemoryContextStrdup(old, cs_get_text(0, 3));
	}
	cs_commit();
	if (state == NULL || strcmp(state, "active") != 0)
	{
		cs_failure_set(failure, CS_FAIL_RETRY_LATER, NULL,
					   "connection \"%s\", where the content is, is %s", name,
					   state == NULL ? "not there" : state);
		return NULL;
	}
	foreach (cell, connection->others)
	{
		other = lfirst(cell);
		if (other->connection_id == id && other->revision == revision)
			return other;
	}
	other = cs_connection_look(id);
	if (other == NULL)
	{
		cs_failure_set(failure, CS_FAIL_RETRY_LATER, NULL,
					   "connection \"%s\", where the content is, cannot be used", name);
		return NULL;
	}
	old = MemoryContextSwitchTo(connection->context);
	connection->others = lappend(connection->others, other);
	MemoryContextSwitchTo(old);
	return other;
}

static bool
from_connection(CsPushJob *push, const char *text, const char *name,
				CsPullFrom *from, CsFailure *failure)
{
	CsConnection *other;
	const char *why = NULL;

	from->path = cs_path_normalize(text, 0, &why);
	if (from->path == NULL || strcmp(from->path, "/") == 0)
	{
		cs_failure_set(failure, CS_FAIL_REFUSED, NULL, "path \"%s\" %s",
					   cs_url_shown(text), why != NULL ? why : "is no file");
		return false;
	}
	other = other_connection(push, name, failure);
	if (other == NULL)
		return false;
	from->provider = other->provider;
	from->endpoint = cs_connection_endpoint(other, false, failure);
	return from->endpoint != NULL;
}

static bool
find(CsPushJob *push, CsPushFile *file, CsPullFrom *from, CsFailure *failure)
{
	const CsSource *source = file->plan->row->source;
	char *text = address_of(file, failure);

	if (text == NULL)
		return false;
	if (source->connection == NULL)
		return from_address(push, text, from, failure);
	return from_connection(push, text, source->connection, from, failure);
}

/* See push.h. */
bool
cs_push_pull(CsPushJob *push, CsPushFile *file, CsFailure *failure)
{
	MemoryContext scratch = AllocSetContextCreate(
		push->job.context, "cloudsync address", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	CsPullFrom from = {0};
	bool ok = find(push, file, &from, failure);

	MemoryContextSwitchTo(old);
	/* the trouble of this file, not of the connection that it goes to */
	if (cs_failure_is_connections(failure->failure_class))
		failure->failure_class = CS_FAIL_RETRY_LATER;
	if (ok)
	{
		from.loop = push->job.connection->loop;
		from.version = file->asks ? file->plan->record->content_tag : NULL;
		from.max_size = cs_max_document_size_mb * INT64CONST(1024) * 1024;
		file->size = -1;
		file->skimmed = false;
		file->pull = cs_pull_start(&from, &push->job);
		push->job.phase = "pull";
	}
	MemoryContextDelete(scratch);
	return ok;
}

/* ---- what came ---- */

static void
keep_tag(CsPushJob *push, CsPushFile *file)
{
	const char *version = cs_pull_version(file->pull);

	file->tag = version != NULL ? MemoryContextStrdup(push->job.context, version) : NULL;
}

static bool
is_as_pushed(const CsPushFile *file, int64 size, const uint8 *sha256)
{
	const CsRecord *record = file->plan->record;

	return stands(file) && record->size == size &&
		   memcmp(record->sha256, sha256, CS_SHA256_LENGTH) == 0;
}

static void
unchanged(CsPushJob *push, CsPushFile *file, TimestampTz now)
{
	keep_tag(push, file);
	cs_push_stop_file(push, file);
	file->did = "unchanged";
	file->size = file->plan->record->size;
	cs_push_file_done(push, file, now);
}

/* All of a small one is there: true if it is to be sent. */
static bool
take_whole(CsPushJob *push, CsPushFile *file, TimestampTz now)
{
	MemoryContext old;

	file->context = AllocSetContextCreate(push->job.context, "cloudsync file",
										  ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(file->context);
	file->size = cs_pull_size(file->pull);
	file->held = cs_pull_whole(file->pull, file->sha256);
	MemoryContextSwitchTo(old);
	if (is_as_pushed(file, file->size, file->sha256))
	{
		unchanged(push, file, now);
		return false;
	}
	keep_tag(push, file);
	cs_pull_free(file->pull);
	file->pull = NULL;
	return true;
}

/*
 * A large one. Where nothing tells versions apart, what was pushed before is
 * compared with before any of it is sent.
 */
static bool
take_large(CsPushJob *push, CsPushFile *file, TimestampTz now)
{
	uint8 sha256[CS_SHA256_LENGTH];
	int64 size;

	if (file->asks && file->plan->record->content_tag == NULL && !file->skimmed)
	{
		if (!cs_pull_skim(file->pull, &size, sha256))
			return false;
		if (is_as_pushed(file, size, sha256))
		{
			unchanged(push, file, now);
			return false;
		}
		file->skimmed = true;
		cs_pull_again(file->pull);
		return false;
	}
	if (!cs_pull_feed(file->pull, push->setting->provider->rereads))
	{
		push->job.wake_at =
			Min(push->job.wake_at, TimestampTzPlusMilliseconds(now, ASK_AGAIN_MS));
		return false;
	}
	file->size = cs_pull_size(file->pull);
	return true;
}

/* Is it to be sent now? */
static bool
take(CsPushJob *push, CsPushFile *file, TimestampTz now)
{
	CsFailure failure;
	CsPullState state = cs_pull_advance(file->pull);

	if (file->transfer != NULL)
		return false; /* it goes on by itself, and says how it ended */
	switch (state)
	{
		case CS_PULL_UNCHANGED:
			unchanged(push, file, now);
			return false;
		case CS_PULL_WHOLE:
			return take_whole(push, file, now);
		case CS_PULL_LARGE:
			return take_large(push, file, now);
		case CS_PULL_FAILED:
			failure = *cs_pull_failure(file->pull);
			cs_push_failed(push, file, &failure, now);
			return false;
		default:
			return false;
	}
}

/* One that was only asked about, and is another one now. */
static void
becomes_update(CsPushJob *push, CsPushFile *file)
{
	if (file->plan->action == CS_ACTION_SKIP)
		push->skipped--;
	file->plan->action = CS_ACTION_UPDATE;
	file->asks = false;
	file->known = true;
	cs_push_write_intent(push, file);
}

/* See push.h. */
List *
cs_push_pulled(CsPushJob *push, TimestampTz now)
{
	List *active = list_copy(push->active);
	List *files = NIL;
	ListCell *cell;

	foreach (cell, active)
	{
		CsPushFile *file = lfirst(cell);

		if (file->pull != NULL && take(push, file, now))
			files = lappend(files, file);
	}
	list_free(active);
	if (files == NIL)
		return NIL;
	cs_begin("writing down what is about to be sent");
	foreach (cell, files)
	{
		CsPushFile *file = lfirst(cell);

		if (file->asks)
			becomes_update(push, file);
		if (file->held != NULL)
			cs_push_write_hash(push, file);
	}
	cs_commit();
	return files;
}
