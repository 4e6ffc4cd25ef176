/*
 * dropbox_many.c
 *	  PUT_MANY of the Dropbox provider: many small files by upload sessions that
 *	  are begun together, filled together (or one by one, where the service does
 *	  not take that) and committed together, since each commit by itself takes
 *	  the lock of the whole namespace. Each entry of each answer is checked.
 *
 * What is not certain of a file (a commit whose answer did not come) is failure
 * RETRY_NOW: sent again, equal bytes change nothing.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/hash.h"
#include "dropbox.h"
#ifndef FRONTEND
#include "utils/memutils.h"
#endif

#define LOCK_FIRST_MS 1000 /* the namespace is locked: doubled each time */
#define MAX_LOCKED 5
#define COMMIT_MIN 10

void
cs_dropbox_settle(CsConversation *c, int i, const CsFailure *failure)
{
	c->many[i].settled = true;
	if (failure != NULL)
		c->puts[i].failure = *failure;
	else
		c->puts[i].ok = true;
}

/* Of all that are not settled; what is settled already is not lost by it. */
static CsStep
give_up(CsConversation *c, const CsFailure *failure, CsResult *result)
{
	bool any = false;

	for (int i = 0; i < c->op.n_puts; i++)
		any = any || c->many[i].settled;
	if (!any)
	{
		result->failure = *failure;
		return CS_STEP_FAILED;
	}
	for (int i = 0; i < c->op.n_puts; i++)
	{
		if (!c->many[i].settled)
			cs_dropbox_settle(c, i, failure);
	}
	result->puts = c->puts;
	return CS_STEP_DONE;
}

CsStep
cs_dropbox_many_failed(CsConversation *c, const CsResponse *answer,
					   CsResult *result)
{
	CsFailure failure = {0};

	cs_dropbox_failure(c, &failure, answer, "write", c->op.puts[c->first].path);
	return give_up(c, &failure, result);
}

CsStep
cs_dropbox_many_nonsense(CsConversation *c, CsResult *result)
{
	CsFailure failure;

	(void) cs_dropbox_nonsense(result, c->op.puts[c->first].path);
	failure = result->failure;
	memset(&result->failure, 0, sizeof(result->failure));
	return give_up(c, &failure, result);
}

/* It may be that no answer came, or that bytes were damaged: once more? */
bool
cs_dropbox_many_repeats(CsConversation *c, const CsResponse *answer)
{
	return (cs_dropbox_may_be_done(answer) ||
			cs_dropbox_has_tag(answer, "content_hash_mismatch")) &&
		   ++c->breaks <= DBX_MAX_BREAKS / 2;
}

void
cs_dropbox_put_hash(const CsConversation *c, int i, char *hash)
{
	cs_dropbox_small_hash(hash, c->op.puts[i].sha256, c->op.puts[i].size);
}

void
cs_dropbox_many_cursor(StringInfo text, const DbxMany *file, int64 offset)
{
	appendStringInfoString(text, "{\"cursor\":{\"session_id\":");
	cs_json_quote_ascii(text, file->session);
	appendStringInfo(text, ",\"offset\":" INT64_FORMAT "}", offset);
}

/* ---- commits ---- */

static CsStep
commit_part(CsConversation *c, CsRequest *request, int64 wait_ms)
{
	StringInfoData text;
	int n = 0;

	initStringInfo(&text);
	appendStringInfoString(&text, "{\"entries\":[");
	for (int i = c->first;
		 i < c->op.n_puts && n < Max(c->service->commit_size, 1); i++)
	{
		const CsPut *put = &c->op.puts[i];

		if (c->many[i].settled)
			continue;
		if (n++ > 0)
			appendStringInfoChar(&text, ',');
		cs_dropbox_many_cursor(&text, &c->many[i], put->size);
		appendStringInfoString(&text, ",\"commit\":{");
		cs_dropbox_commit_info(c, &text, put->path, put->known_version,
							   put->overwrite);
		appendStringInfoString(&text, "}}");
		c->count = i + 1 - c->first;
	}
	appendStringInfoString(&text, "]}");
	(void) cs_dropbox_rpc(c, request, MANY_COMMITTED,
						  "files/upload_session/finish_batch_v2", text.data);
	request->wait_ms = wait_ms;
	return CS_STEP_REQUEST;
}

static char *
keep_or_null(CsConversation *c, const char *text)
{
	return text != NULL ? cs_dropbox_keep(c, text) : NULL;
}

/* A file is there; is it as it was sent? */
static void
take_file(CsConversation *c, int i, const CsJson *metadata)
{
	const CsPut *put = &c->op.puts[i];
	CsPutResult *made = &c->puts[i];
	char hash[DBX_HASH_LENGTH + 1];
	CsFailure failure;
	CsEntry entry;

	if (!cs_dropbox_entry(&entry, metadata, put->path) ||
		entry.kind != CS_ENTRY_FILE)
	{
		cs_failure_set(&failure, CS_FAIL_RETRY_NOW, NULL,
					   "the service's answer about \"%s\" makes no sense",
					   put->path);
		cs_dropbox_settle(c, i, &failure);
		return;
	}
	cs_dropbox_put_hash(c, i, hash);
	if (entry.size != put->size ||
		(entry.checksum != NULL && strcmp(entry.checksum, hash) != 0))
	{
		c->many[i].rev = cs_dropbox_keep(c, entry.version);
		return;
	}
	made->adopted = put->known_version != NULL &&
					strcmp(put->known_version, entry.version) == 0;
	made->verified = entry.checksum != NULL;
	made->entry = entry;
	made->entry.path = put->path;
	made->entry.name = NULL;
	made->entry.id = keep_or_null(c, entry.id);
	made->entry.version = keep_or_null(c, entry.version);
	made->entry.checksum = keep_or_null(c, entry.checksum);
	made->entry.web_url = NULL;
	made->entry.refused = NULL;
	c->many[i].rev = NULL;
	cs_dropbox_settle(c, i, NULL);
}

/* What came of one of a commit. True: the namespace was locked. */
static bool
take_entry(CsConversation *c, int i, const CsJson *entry)
{
	const CsJson *error = cs_json_member(entry, "failure");
	const char *tag = cs_json_text(entry, ".tag");
	CsFailure failure = {0};
	char tags[160];

	if (tag != NULL && strcmp(tag, "success") == 0)
	{
		take_file(c, i, entry);
		return false;
	}
	cs_dropbox_tags(error, tags, sizeof(tags));
	cs_dropbox_entry_failure(&failure, error, "write", c->op.puts[i].path);
	if (strstr(tags, "too_many_write_operations") != NULL &&
		++c->many[i].sent <= MAX_LOCKED)
		return true;
	cs_dropbox_settle(c, i, &failure);
	return false;
}

/* Smaller commits hold the lock for less time. */
static void
adapt(DbxService *service, int asked, bool locked)
{
	if (locked)
		service->commit_size =
			Max(COMMIT_MIN, Min(asked, service->commit_size) / 2);
	else if (service->commit_size < DBX_MAX_COMMIT)
		service->commit_size = Min(DBX_MAX_COMMIT, 2 * service->commit_size);
}

static CsStep
committed(CsConversation *c, const CsResponse *answer, CsRequest *request,
		  CsResult *result)
{
	const CsJson *entries;
	const CsJson *entry;
	bool locked = false;
	int n = 0;

	if (cs_dropbox_many_repeats(c, answer))
		return commit_part(c, request, 0);
	if (answer->error != 0 || answer->status != 200)
		return cs_dropbox_many_failed(c, answer, result);
	c->breaks = 0;
	entries = cs_json_member(cs_dropbox_json(answer), "entries");
	entry = entries != NULL ? entries->first : NULL;
	for (int i = c->first; i < c->first + c->count; i++)
	{
		if (c->many[i].settled)
			continue;
		if (entry == NULL)
			return cs_dropbox_many_nonsense(c, result);
		locked |= take_entry(c, i, entry);
		entry = entry->next;
		n++;
	}
	adapt(c->service, n, locked);
	c->looks = locked ? c->looks + 1 : 0;
	return cs_dropbox_many_next(
		c, request, result,
		locked ? (int64) LOCK_FIRST_MS << Min(c->looks - 1, MAX_LOCKED) : 0);
}

/* ---- what arrived damaged ---- */

static CsStep
repair(CsConversation *c, CsRequest *request)
{
	const CsPut *put = &c->op.puts[c->first];
	DbxMany *file = &c->many[c->first];
	char hash[DBX_HASH_LENGTH + 1];
	StringInfoData text;

	if (++file->sent > DBX_MAX_SENT)
	{
		if (put->known_version == NULL && !put->overwrite)
			return cs_dropbox_undo(c, request, MANY_UNDONE, put->path,
								   file->rev);
		return CS_STEP_FAILED;
	}
	cs_dropbox_put_hash(c, c->first, hash);
	initStringInfo(&text);
	appendStringInfoChar(&text, '{');
	cs_dropbox_commit_info(c, &text, put->path, file->rev, false);
	appendStringInfo(&text, ",\"content_hash\":\"%s\"}", hash);
	return cs_dropbox_upload(c, request, MANY_REPAIRED, "files/upload",
							 text.data, file->from, put->size);
}

static void
settle_damaged(CsConversation *c)
{
	CsFailure failure;

	cs_failure_set(&failure, CS_FAIL_RETRY_LATER, NULL,
				   "\"%s\" did not arrive as it was sent",
				   c->op.puts[c->first].path);
	cs_dropbox_settle(c, c->first, &failure);
}

static CsStep
repaired(CsConversation *c, const CsResponse *answer, CsRequest *request,
		 CsResult *result)
{
	CsFailure failure = {0};

	if (cs_dropbox_many_repeats(c, answer))
		return cs_dropbox_many_next(c, request, result, 0);
	if (answer->error == 0 && answer->status == 200)
		take_file(c, c->first, cs_dropbox_json(answer));
	else
	{
		cs_dropbox_failure(c, &failure, answer, "write",
						   c->op.puts[c->first].path);
		cs_dropbox_settle(c, c->first, &failure);
	}
	return cs_dropbox_many_next(c, request, result, 0);
}

/* ---- from step to step ---- */

/* The first that is not stored, else that is damaged, else not committed. */
CsStep
cs_dropbox_many_next(CsConversation *c, CsRequest *request, CsResult *result,
					 int64 wait_ms)
{
	int waiting = -1;

	for (int i = 0; i < c->op.n_puts; i++)
	{
		const DbxMany *file = &c->many[i];

		if (file->settled)
			continue;
		c->first = i;
		if (!file->stored)
			return cs_dropbox_store_next(c, request);
		if (file->rev != NULL)
		{
			if (repair(c, request) == CS_STEP_REQUEST)
				return CS_STEP_REQUEST;
			settle_damaged(c);
		}
		else if (waiting < 0)
			waiting = i;
	}
	if (waiting < 0)
	{
		result->puts = c->puts;
		return CS_STEP_DONE;
	}
	c->first = waiting;
	if (!c->asked)
	{
		c->asked = true;
		c->phase = MANY_ASKED;
		result->size = -1;
		return CS_STEP_CHECKPOINT;
	}
	return commit_part(c, request, wait_ms);
}

static CsStep
start(CsConversation *c, CsRequest *request, CsResult *result)
{
	int64 from = 0;
#ifndef FRONTEND
	MemoryContext old = MemoryContextSwitchTo(c->lasting);
#endif

	c->many = palloc0(Max(c->op.n_puts, 1) * sizeof(DbxMany));
	c->puts = palloc0(Max(c->op.n_puts, 1) * sizeof(CsPutResult));
#ifndef FRONTEND
	MemoryContextSwitchTo(old);
#endif
	for (int i = 0; i < c->op.n_puts; i++)
	{
		c->many[i].from = from;
		from += c->op.puts[i].size;
		if (c->op.puts[i].size > DBX_BLOCK)
			return cs_dropbox_fail(result, CS_FAIL_BROKEN, c->op.puts[i].path,
								   "is too large to go with others");
	}
	return cs_dropbox_many_next(c, request, result, 0);
}

CsStep
cs_dropbox_many(CsConversation *c, const CsResponse *answer, CsRequest *request,
				CsResult *result)
{
	switch (c->phase)
	{
		case MANY_START:
			return start(c, request, result);
		case MANY_STARTED:
			return cs_dropbox_store_started(c, answer, request, result);
		case MANY_HASHED:
			return cs_dropbox_store_hashed(c, answer, request, result);
		case MANY_APPENDED:
			return cs_dropbox_store_appended(c, answer, request, result);
		case MANY_ONE_SENT:
			return cs_dropbox_store_one_sent(c, answer, request, result);
		case MANY_ASKED:
			return cs_dropbox_many_next(c, request, result, 0);
		case MANY_COMMITTED:
			return committed(c, answer, request, result);
		case MANY_REPAIRED:
			return repaired(c, answer, request, result);
		default: /* MANY_UNDONE */
			settle_damaged(c);
			return cs_dropbox_many_next(c, request, result, 0);
	}
}
