/*
 * dropbox_store.c
 *	  PUT_MANY of the Dropbox provider: its bytes, in sessions that are begun
 *	  together and filled together, as many at once as their argument goes into a
 *	  header; or one call a file, where the service does not take that.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "dropbox.h"

static CsStep
start_sessions(CsConversation *c, CsRequest *request)
{
	int n = 0;

	for (int i = 0; i < c->op.n_puts; i++)
		n += !c->many[i].settled && !c->many[i].stored &&
			 c->many[i].session == NULL;
	return cs_dropbox_rpc(c, request, MANY_STARTED,
						  "files/upload_session/start_batch",
						  psprintf("{\"num_sessions\":%d}", n));
}

CsStep
cs_dropbox_store_started(CsConversation *c, const CsResponse *answer,
						 CsRequest *request, CsResult *result)
{
	const CsJson *ids;
	const CsJson *id;

	if (answer->error == 0 && (answer->status == 400 || answer->status == 404))
	{
		c->service->no_append_batch = true;
		return cs_dropbox_many_next(c, request, result, 0);
	}
	if (answer->error != 0 || answer->status != 200)
		return cs_dropbox_many_failed(c, answer, result);
	ids = cs_json_member(cs_dropbox_json(answer), "session_ids");
	id = ids != NULL ? ids->first : NULL;
	for (int i = 0; i < c->op.n_puts; i++)
	{
		DbxMany *file = &c->many[i];

		if (file->settled || file->stored || file->session != NULL)
			continue;
		if (id == NULL || id->kind != CS_JSON_STRING ||
			strlen(id->text) > DBX_MAX_SESSION)
			return cs_dropbox_many_nonsense(c, result);
		file->session = cs_dropbox_keep(c, id->text);
		id = id->next;
	}
	return cs_dropbox_many_next(c, request, result, 0);
}

/* Those that follow each other from first on, as many as go into a header. */
static char *
part_arg(CsConversation *c, const char *hash, int64 *bytes)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, "{\"entries\":[");
	*bytes = 0;
	for (c->count = 0; c->first + c->count < c->op.n_puts; c->count++)
	{
		const DbxMany *file = &c->many[c->first + c->count];
		int64 size = c->op.puts[c->first + c->count].size;

		if (file->settled || file->stored ||
			(c->count > 0 &&
			 (*bytes + size > DBX_BLOCK ||
			  text.len + 2 * (int) strlen(file->session) > DBX_MAX_ARG)))
			break;
		if (c->count > 0)
			appendStringInfoChar(&text, ',');
		cs_dropbox_many_cursor(&text, file, 0);
		appendStringInfo(&text, ",\"length\":" INT64_FORMAT ",\"close\":true}",
						 size);
		*bytes += size;
	}
	appendStringInfoChar(&text, ']');
	if (hash != NULL)
		appendStringInfo(&text, ",\"content_hash\":\"%s\"", hash);
	appendStringInfoChar(&text, '}');
	return text.data;
}

static CsStep
hash_part(CsConversation *c, CsRequest *request)
{
	int64 bytes;

	(void) part_arg(c, NULL, &bytes);
	(void) cs_dropbox_hash(c, request, MANY_HASHED, c->many[c->first].from,
						   bytes);
	request->part_sha256 = true;
	return CS_STEP_REQUEST;
}

static CsStep
append_part(CsConversation *c, CsRequest *request)
{
	int64 bytes;
	char *arg = part_arg(c, c->hash[0] != '\0' ? c->hash : NULL, &bytes);

	return cs_dropbox_upload(c, request, MANY_APPENDED,
							 "files/upload_session/append_batch", arg,
							 c->many[c->first].from, bytes);
}

CsStep
cs_dropbox_store_hashed(CsConversation *c, const CsResponse *answer,
						CsRequest *request, CsResult *result)
{
	if (answer->error != 0)
		return cs_dropbox_many_failed(c, answer, result);
	c->hash[0] = '\0';
	if (answer->size <= DBX_BLOCK)
		cs_dropbox_small_hash(c->hash, answer->part_sha256, answer->size);
	return append_part(c, request);
}

/* A session that has its bytes says so by refusing more, too. */
static bool
has_all(const CsJson *entry, int64 size)
{
	const CsJson *failure = cs_json_member(entry, "failure");
	const char *tag = cs_json_text(entry, ".tag");
	int64 offset;

	if (tag != NULL && strcmp(tag, "success") == 0)
		return true;
	tag = cs_json_text(failure, ".tag");
	if (tag == NULL)
		return false;
	return strcmp(tag, "closed") == 0 ||
		   (size > 0 && strcmp(tag, "incorrect_offset") == 0 &&
			cs_json_int64(failure, "correct_offset", &offset) &&
			offset == size);
}

static bool
is_not_taken(const CsResponse *answer)
{
	return answer->error == 0 &&
		   (answer->status == 400 || answer->status == 404 ||
			answer->status == 413 || answer->status == 431 ||
			cs_dropbox_has_tag(answer, "route_access_denied"));
}

CsStep
cs_dropbox_store_appended(CsConversation *c, const CsResponse *answer,
						  CsRequest *request, CsResult *result)
{
	const CsJson *entries;
	const CsJson *entry;

	if (is_not_taken(answer))
	{
		c->service->no_append_batch = true;
		return cs_dropbox_many_next(c, request, result, 0);
	}
	if (cs_dropbox_many_repeats(c, answer))
		return append_part(c, request);
	if (answer->error != 0 || answer->status != 200)
		return cs_dropbox_many_failed(c, answer, result);
	c->breaks = 0;
	entries = cs_json_member(cs_dropbox_json(answer), "entries");
	if (entries == NULL || entries->n != c->count)
		return cs_dropbox_many_nonsense(c, result);
	entry = entries->first;
	for (int i = c->first; i < c->first + c->count; i++, entry = entry->next)
	{
		DbxMany *file = &c->many[i];
		CsFailure failure = {0};

		file->stored = has_all(entry, c->op.puts[i].size);
		if (file->stored)
			continue;
		file->session = NULL;
		cs_dropbox_entry_failure(&failure, cs_json_member(entry, "failure"),
								 "write", c->op.puts[i].path);
		/* the session was lost: once more, in another */
		if (++file->sent >= DBX_MAX_SENT)
			cs_dropbox_settle(c, i, &failure);
	}
	return cs_dropbox_many_next(c, request, result, 0);
}

/* One call a file: a session that begins with all its bytes, and is closed. */
static CsStep
send_one(CsConversation *c, CsRequest *request)
{
	char hash[DBX_HASH_LENGTH + 1];

	cs_dropbox_put_hash(c, c->first, hash);
	return cs_dropbox_upload(
		c, request, MANY_ONE_SENT, "files/upload_session/start",
		psprintf("{\"close\":true,\"content_hash\":\"%s\"}", hash),
		c->many[c->first].from, c->op.puts[c->first].size);
}

CsStep
cs_dropbox_store_one_sent(CsConversation *c, const CsResponse *answer,
						  CsRequest *request, CsResult *result)
{
	const char *id;

	/* a session that nobody knows of harms nobody */
	if (cs_dropbox_many_repeats(c, answer))
		return send_one(c, request);
	if (answer->error != 0 || answer->status != 200)
		return cs_dropbox_many_failed(c, answer, result);
	id = cs_json_text(cs_dropbox_json(answer), "session_id");
	if (id == NULL || strlen(id) > DBX_MAX_SESSION)
		return cs_dropbox_many_nonsense(c, result);
	c->breaks = 0;
	c->many[c->first].session = cs_dropbox_keep(c, id);
	c->many[c->first].stored = true;
	return cs_dropbox_many_next(c, request, result, 0);
}

CsStep
cs_dropbox_store_next(CsConversation *c, CsRequest *request)
{
	if (c->service->no_append_batch)
		return send_one(c, request);
	for (int i = c->first; i < c->op.n_puts; i++)
	{
		if (!c->many[i].settled && !c->many[i].stored &&
			c->many[i].session == NULL)
			return start_sessions(c, request);
	}
	return hash_part(c, request);
}
