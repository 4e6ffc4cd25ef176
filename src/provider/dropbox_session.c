/*
 * dropbox_session.c
 *	  PUT of a large body by an upload session: its chunks, gone on with from the
 *	  offset that the service names, by a later attempt too; then one commit,
 *	  whose content hash must be the body's. Nothing is visible before that.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "dropbox.h"

#define MAX_SESSIONS 3
#define SESSION_MARK "s:"

enum
{
	SES_START,
	SES_LOOKED,		 /* at the target, before anything is sent */
	SES_BODY_HASHED, /* since what stands there may be the same */
	SES_PROBED,		 /* where is the session? */
	SES_STARTED,
	SES_KEPT,	/* its id is written down */
	SES_HASHED, /* what was sent before is known */
	SES_MEASURED,
	SES_APPENDED,
	SES_CHECKPOINTED,
	SES_FINISHED,
	SES_LOOKED_AFTER, /* the commit's answer did not come, or its session is not
					   * there */
	SES_CONFLICT_LOOKED,
	SES_UNDONE
};

static CsStep
start_session(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (++c->sessions > MAX_SESSIONS)
		return cs_dropbox_fail(result, CS_FAIL_RETRY_LATER, c->op.path,
							   "could not be sent: the service loses its "
							   "upload sessions");
	c->offset = 0;
	c->ended = false;
	return cs_dropbox_upload(c, request, SES_STARTED,
							 "files/upload_session/start", "{\"close\":false}",
							 0, 0);
}

static char *
cursor_text(CsConversation *c, int64 offset)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, "\"cursor\":{\"session_id\":");
	cs_json_quote_ascii(&text, c->session);
	appendStringInfo(&text, ",\"offset\":" INT64_FORMAT "}", offset);
	return text.data;
}

static CsStep
append(CsConversation *c, CsRequest *request, int phase, int64 offset,
	   int64 length)
{
	return cs_dropbox_upload(
		c, request, phase, "files/upload_session/append_v2",
		psprintf("{%s,\"close\":false}", cursor_text(c, offset)), offset,
		length);
}

/* An empty chunk at the beginning: the refusal says where the session is. */
static CsStep
probe(CsConversation *c, CsRequest *request)
{
	return append(c, request, SES_PROBED, 0, 0);
}

static CsStep
go_on(CsConversation *c, CsRequest *request, CsResult *result)
{
	const char *session = c->op.session;

	if (c->session == NULL && !c->tried_session && session != NULL &&
		!c->op.session_is_stale &&
		strncmp(session, SESSION_MARK, strlen(SESSION_MARK)) == 0 &&
		strlen(session) <= DBX_MAX_SESSION + strlen(SESSION_MARK))
	{
		c->tried_session = true;
		c->session = cs_dropbox_keep(c, session + strlen(SESSION_MARK));
		c->session_text = cs_dropbox_keep(c, session);
		return probe(c, request);
	}
	return start_session(c, request, result);
}

/* What was hashed is remembered as far as it goes. */
static void
take_hash(CsConversation *c, const CsResponse *answer, int64 upto)
{
	c->hashed = upto;
	memcpy(c->sha256, answer->sha256, CS_SHA256_LENGTH);
	c->hash[0] = '\0';
	if (answer->checksum != NULL)
		strlcpy(c->hash, answer->checksum, sizeof(c->hash));
}

/* Is the target ours, or free? It is better known before gigabytes are sent. */
static CsStep
looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	const CsJson *metadata;
	CsEntry entry;

	if (cs_dropbox_has_tag(answer, "not_found"))
	{
		c->update_rev = NULL;
		return go_on(c, request, result);
	}
	if (answer->error != 0 || answer->status != 200)
		return cs_dropbox_failed(c, result, answer, "look at", c->op.path);
	metadata = cs_dropbox_json(answer);
	if (!cs_dropbox_entry(&entry, metadata, c->op.path))
		return cs_dropbox_nonsense(result, c->op.path);
	if (entry.kind == CS_ENTRY_FILE && c->op.known_version != NULL &&
		strcmp(entry.version, c->op.known_version) == 0)
		return go_on(c, request, result);
	if (entry.kind == CS_ENTRY_FILE && !c->body_known &&
		(c->op.size < 0 || entry.size == c->op.size))
		return cs_dropbox_hash(c, request, SES_BODY_HASHED, 0, c->op.size);
	if (c->body_known && cs_dropbox_is_body(c, &entry))
		return cs_dropbox_put_done(c, result, metadata, true);
	if (entry.kind == CS_ENTRY_FILE && cs_dropbox_is_intended(c, &entry))
	{
		c->update_rev = cs_dropbox_keep(c, entry.version);
		return go_on(c, request, result);
	}
	if (entry.kind == CS_ENTRY_FILE && c->op.overwrite)
		return go_on(c, request, result);
	return cs_dropbox_others(result, c->op.path);
}

/* The next chunk, or the commit. */
static CsStep
next_chunk(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (c->hashed < c->offset)
		return cs_dropbox_hash(c, request, SES_HASHED, c->hashed,
							   c->offset - c->hashed);
	if (c->op.size >= 0)
	{
		c->chunk = Min(DBX_CHUNK, c->op.size - c->offset);
		c->ended = c->chunk <= 0;
	}
	if (c->ended)
	{
		c->size = c->offset;
		return cs_dropbox_checkpoint(c, result, SES_CHECKPOINTED);
	}
	if (c->op.size < 0)
		return cs_dropbox_hash(c, request, SES_MEASURED, c->offset, DBX_CHUNK);
	return append(c, request, SES_APPENDED, c->offset, c->chunk);
}

/* How long the next chunk of a body of unknown length is. */
static CsStep
measured(CsConversation *c, const CsResponse *answer, CsRequest *request,
		 CsResult *result)
{
	if (answer->error != 0)
		return cs_dropbox_failed(c, result, answer, "read", c->op.path);
	c->chunk = answer->size;
	take_hash(c, answer, c->offset + c->chunk);
	if (c->chunk > 0)
		return append(c, request, SES_APPENDED, c->offset, c->chunk);
	c->ended = true;
	return next_chunk(c, request, result);
}

/* The session is where the service says, if that can be. */
static CsStep
go_to(CsConversation *c, const CsResponse *answer, CsRequest *request,
	  CsResult *result)
{
	const CsJson *error = cs_json_member(cs_dropbox_json(answer), "error");
	int64 offset;

	if (cs_json_member(error, "lookup_failed") != NULL)
		error = cs_json_member(error, "lookup_failed");
	if (!cs_json_int64(error, "correct_offset", &offset) || offset < 0 ||
		(c->op.size >= 0 && offset > c->op.size))
		return start_session(c, request, result);
	if (++c->breaks > DBX_MAX_BREAKS)
		return cs_dropbox_failed(c, result, answer, "write", c->op.path);
	c->offset = offset;
	c->ended = false;
	return next_chunk(c, request, result);
}

static bool
session_is_gone(const CsResponse *answer)
{
	return cs_dropbox_has_tag(answer, "not_found") ||
		   cs_dropbox_has_tag(answer, "closed") ||
		   cs_dropbox_has_tag(answer, "not_closed");
}

static CsStep
probed(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	if (cs_dropbox_has_tag(answer, "incorrect_offset"))
		return go_to(c, answer, request, result);
	if (session_is_gone(answer))
		return start_session(c, request, result);
	if (answer->error != 0 || answer->status != 200)
		return cs_dropbox_failed(c, result, answer, "write", c->op.path);
	c->offset = 0;
	return next_chunk(c, request, result);
}

static CsStep
started(CsConversation *c, const CsResponse *answer, CsResult *result)
{
	const char *id;

	if (answer->error != 0 || answer->status != 200)
		return cs_dropbox_failed(c, result, answer, "write", c->op.path);
	id = cs_json_text(cs_dropbox_json(answer), "session_id");
	if (id == NULL || strlen(id) > DBX_MAX_SESSION)
		return cs_dropbox_nonsense(result, c->op.path);
	c->session = cs_dropbox_keep(c, id);
	c->session_text = cs_dropbox_keep(c, psprintf(SESSION_MARK "%s", id));
	result->size = -1;
	result->session = c->session_text;
	c->phase = SES_KEPT;
	return CS_STEP_CHECKPOINT;
}

static CsStep
appended(CsConversation *c, const CsResponse *answer, CsRequest *request,
		 CsResult *result)
{
	if (answer->error == 0 && answer->status == 200)
	{
		c->breaks = 0;
		c->offset += c->chunk;
		if (c->hashed < c->offset && answer->has_sha256)
			take_hash(c, answer, c->offset);
		return next_chunk(c, request, result);
	}
	/* how much of it has arrived? */
	if (cs_dropbox_may_be_done(answer) && ++c->breaks <= DBX_MAX_BREAKS / 2)
		return probe(c, request);
	if (cs_dropbox_has_tag(answer, "incorrect_offset"))
		return go_to(c, answer, request, result);
	if (session_is_gone(answer))
		return start_session(c, request, result);
	return cs_dropbox_failed(c, result, answer, "write", c->op.path);
}

static CsStep
finish(CsConversation *c, CsRequest *request)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "{%s,\"commit\":{", cursor_text(c, c->size));
	cs_dropbox_commit_info(c, &text, c->op.path, c->update_rev,
						   c->op.overwrite);
	appendStringInfoString(&text, "}}");
	return cs_dropbox_upload(c, request, SES_FINISHED,
							 "files/upload_session/finish", text.data, 0, 0);
}

/* As with a small one (dropbox_put.c), but all chunks are to be sent again. */
static CsStep
damaged(CsConversation *c, const CsEntry *entry, CsRequest *request,
		CsResult *result)
{
	c->is_new = c->is_new || (c->update_rev == NULL && !c->op.overwrite);
	if (++c->times_sent < DBX_MAX_SENT)
	{
		c->update_rev = cs_dropbox_keep(c, entry->version);
		return start_session(c, request, result);
	}
	cs_failure_set(&c->failure, CS_FAIL_RETRY_LATER, NULL,
				   "\"%s\" did not arrive as it was sent", c->op.path);
	if (c->is_new)
		return cs_dropbox_undo(c, request, SES_UNDONE, c->op.path,
							   entry->version);
	result->failure = c->failure;
	return CS_STEP_FAILED;
}

static CsStep
finished(CsConversation *c, const CsResponse *answer, CsRequest *request,
		 CsResult *result)
{
	const CsJson *metadata;
	CsEntry entry;

	if (cs_dropbox_may_be_done(answer) ||
		(cs_dropbox_has_tag(answer, "lookup_failed") &&
		 session_is_gone(answer)))
	{
		cs_dropbox_failure(c, &c->failure, answer, "write", c->op.path);
		return cs_dropbox_look(c, request, SES_LOOKED_AFTER, c->op.path);
	}
	if (cs_dropbox_has_tag(answer, "incorrect_offset"))
		return go_to(c, answer, request, result);
	if (cs_dropbox_has_tag(answer, "conflict") &&
		!cs_dropbox_has_tag(answer, "file_ancestor"))
		return cs_dropbox_look(c, request, SES_CONFLICT_LOOKED, c->op.path);
	if (answer->error != 0 || answer->status != 200)
		return cs_dropbox_failed(c, result, answer, "write", c->op.path);
	metadata = cs_dropbox_json(answer);
	if (!cs_dropbox_entry(&entry, metadata, c->op.path) ||
		entry.kind != CS_ENTRY_FILE)
		return cs_dropbox_nonsense(result, c->op.path);
	if (entry.size != c->size ||
		(entry.checksum != NULL && c->hash[0] != '\0' &&
		 !cs_dropbox_is_body(c, &entry)))
		return damaged(c, &entry, request, result);
	return cs_dropbox_put_done(c, result, metadata, false);
}

/* Was it committed though nobody said so? */
static CsStep
looked_after(CsConversation *c, const CsResponse *answer, CsRequest *request,
			 CsResult *result)
{
	const CsJson *metadata = NULL;
	CsEntry entry;

	if (answer->error == 0 && answer->status == 200)
		metadata = cs_dropbox_json(answer);
	if (metadata != NULL && cs_dropbox_entry(&entry, metadata, c->op.path) &&
		cs_dropbox_is_body(c, &entry))
		return cs_dropbox_put_done(c, result, metadata, false);
	/* the session is not there: its bytes are to be sent again */
	if (c->failure.failure_class == CS_FAIL_RETRY_NOW &&
		(metadata != NULL || cs_dropbox_has_tag(answer, "not_found")))
		return start_session(c, request, result);
	result->failure = c->failure;
	return CS_STEP_FAILED;
}

static CsStep
conflict_looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
				CsResult *result)
{
	const CsJson *metadata;
	CsEntry entry;

	if (++c->looks > DBX_MAX_LOOKS)
		return cs_dropbox_fail(result, CS_FAIL_RETRY_LATER, c->op.path,
							   "is being changed by somebody else");
	if (cs_dropbox_has_tag(answer, "not_found"))
	{
		c->update_rev = NULL;
		return finish(c, request);
	}
	if (answer->error != 0 || answer->status != 200)
		return cs_dropbox_failed(c, result, answer, "look at", c->op.path);
	metadata = cs_dropbox_json(answer);
	if (!cs_dropbox_entry(&entry, metadata, c->op.path))
		return cs_dropbox_nonsense(result, c->op.path);
	if (cs_dropbox_is_body(c, &entry))
		return cs_dropbox_put_done(c, result, metadata, true);
	if (!cs_dropbox_is_intended(c, &entry))
		return cs_dropbox_others(result, c->op.path);
	c->update_rev = cs_dropbox_keep(c, entry.version);
	return finish(c, request);
}

/* Before the first byte: what stands there, unless nothing can. */
static CsStep
start(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (c->op.fresh_folder && c->op.session == NULL && !c->op.has_intended)
		return go_on(c, request, result);
	return cs_dropbox_look(c, request, SES_LOOKED, c->op.path);
}

static CsStep
hashed(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	if (answer->error != 0)
		return cs_dropbox_failed(c, result, answer, "read", c->op.path);
	if (c->phase == SES_BODY_HASHED)
	{
		take_hash(c, answer, answer->size);
		c->size = answer->size;
		c->body_known = true;
		return cs_dropbox_look(c, request, SES_LOOKED, c->op.path);
	}
	if (answer->size != c->offset - c->hashed)
		return cs_dropbox_fail(result, CS_FAIL_CHANGED, c->op.path,
							   "is shorter than what was sent of it");
	take_hash(c, answer, c->offset);
	return next_chunk(c, request, result);
}

CsStep
cs_dropbox_session(CsConversation *c, const CsResponse *answer,
				   CsRequest *request, CsResult *result)
{
	switch (c->phase)
	{
		case SES_START:
			return start(c, request, result);
		case SES_LOOKED:
			return looked(c, answer, request, result);
		case SES_BODY_HASHED:
		case SES_HASHED:
			return hashed(c, answer, request, result);
		case SES_PROBED:
			return probed(c, answer, request, result);
		case SES_STARTED:
			return started(c, answer, result);
		case SES_KEPT:
			return next_chunk(c, request, result);
		case SES_MEASURED:
			return measured(c, answer, request, result);
		case SES_APPENDED:
			return appended(c, answer, request, result);
		case SES_CHECKPOINTED:
			return finish(c, request);
		case SES_FINISHED:
			return finished(c, answer, request, result);
		case SES_LOOKED_AFTER:
			return looked_after(c, answer, request, result);
		case SES_CONFLICT_LOOKED:
			return conflict_looked(c, answer, request, result);
		default: /* SES_UNDONE */
			result->failure = c->failure;
			return CS_STEP_FAILED;
	}
}
