/*
 * dropbox_put.c
 *	  PUT of the Dropbox provider: a body up to DBX_ONE in one request, with its
 *	  content hash, that is bound to what stands at the target: nothing, or the
 *	  revision that we left. Only where the service says that there is something
 *	  else is that looked at. A larger body goes by dropbox_session.c.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "dropbox.h"

enum
{
	PUT_START,
	PUT_HASHED,
	PUT_CHECKPOINTED,
	PUT_SENT,
	PUT_LOOKED,		 /* at what is in the way */
	PUT_LOSS_LOOKED, /* no answer came: is it there? */
	PUT_UNDONE
};

bool
cs_dropbox_is_body(const CsConversation *c, const CsEntry *entry)
{
	return entry->kind == CS_ENTRY_FILE && entry->size == c->size &&
		   c->hash[0] != '\0' && entry->checksum != NULL &&
		   strcmp(entry->checksum, c->hash) == 0;
}

/* Of a small one its SHA-256 tells the content hash too. */
static bool
is_content(const CsEntry *entry, bool known, int64 size, const uint8 *sha256,
		   const char *checksum)
{
	char hash[DBX_HASH_LENGTH + 1];

	if (!known || entry->kind != CS_ENTRY_FILE || entry->size != size ||
		entry->checksum == NULL)
		return false;
	if (checksum != NULL)
		return strcmp(entry->checksum, checksum) == 0;
	if (size > DBX_BLOCK)
		return false;
	cs_dropbox_small_hash(hash, sha256, size);
	return strcmp(entry->checksum, hash) == 0;
}

bool
cs_dropbox_is_intended(const CsConversation *c, const CsEntry *entry)
{
	return is_content(entry, c->op.has_intended, c->op.intended_size,
					  c->op.intended_sha256, c->op.intended_checksum);
}

CsStep
cs_dropbox_others(CsResult *result, const char *path)
{
	return cs_dropbox_fail(result, CS_FAIL_CONFLICT, path,
						   "was made or changed by somebody else");
}

CsStep
cs_dropbox_checkpoint(CsConversation *c, CsResult *result, int phase)
{
	result->size = c->size;
	memcpy(result->sha256, c->sha256, CS_SHA256_LENGTH);
	result->checksum = c->hash[0] != '\0' ? c->hash : NULL;
	result->session = c->session_text;
	c->phase = phase;
	return CS_STEP_CHECKPOINT;
}

CsStep
cs_dropbox_put_done(CsConversation *c, CsResult *result, const CsJson *metadata,
					bool adopted)
{
	const char *name = cs_json_text(metadata, "name");

	if (name == NULL || !cs_dropbox_entry(&result->entry, metadata,
										  cs_dropbox_spelled(c->op.path, name)))
		return cs_dropbox_nonsense(result, c->op.path);
	result->adopted = adopted;
	result->verified = c->hash[0] != '\0' && result->entry.checksum != NULL;
	result->size = c->size;
	memcpy(result->sha256, c->sha256, CS_SHA256_LENGTH);
	result->checksum = c->hash[0] != '\0' ? c->hash : NULL;
	return CS_STEP_DONE;
}

CsStep
cs_dropbox_undo(CsConversation *c, CsRequest *request, int phase,
				const char *path, const char *rev)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, "{\"path\":");
	cs_json_quote_ascii(&text, path);
	appendStringInfoString(&text, ",\"parent_rev\":");
	cs_json_quote_ascii(&text, rev);
	appendStringInfoChar(&text, '}');
	return cs_dropbox_rpc(c, request, phase, "files/delete_v2", text.data);
}

static CsStep
send_body(CsConversation *c, CsRequest *request)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoChar(&text, '{');
	cs_dropbox_commit_info(c, &text, c->op.path, c->update_rev,
						   c->op.overwrite);
	if (c->hash[0] != '\0')
		appendStringInfo(&text, ",\"content_hash\":\"%s\"", c->hash);
	appendStringInfoChar(&text, '}');
	c->is_new = c->is_new || (c->update_rev == NULL && !c->op.overwrite);
	c->times_sent++;
	return cs_dropbox_upload(c, request, PUT_SENT, "files/upload", text.data, 0,
							 c->size);
}

static CsStep
hashed(CsConversation *c, const CsResponse *answer, CsResult *result)
{
	if (answer->error != 0)
		return cs_dropbox_failed(c, result, answer, "read", c->op.path);
	c->size = answer->size;
	memcpy(c->sha256, answer->sha256, CS_SHA256_LENGTH);
	if (answer->checksum != NULL)
		strlcpy(c->hash, answer->checksum, sizeof(c->hash));
	else if (c->size <= DBX_BLOCK)
		cs_dropbox_small_hash(c->hash, c->sha256, c->size);
	return cs_dropbox_checkpoint(c, result, PUT_CHECKPOINTED);
}

/*
 * What the service made of it is not what was sent: once more, in place of just
 * that; in the end what is new goes away again.
 */
static CsStep
damaged(CsConversation *c, const CsEntry *entry, CsRequest *request,
		CsResult *result)
{
	if (c->times_sent < DBX_MAX_SENT)
	{
		c->update_rev = cs_dropbox_keep(c, entry->version);
		return send_body(c, request);
	}
	cs_failure_set(&c->failure, CS_FAIL_RETRY_LATER, NULL,
				   "\"%s\" did not arrive as it was sent", c->op.path);
	if (c->is_new)
		return cs_dropbox_undo(c, request, PUT_UNDONE, c->op.path,
							   entry->version);
	result->failure = c->failure;
	return CS_STEP_FAILED;
}

static CsStep
sent(CsConversation *c, const CsResponse *answer, CsRequest *request,
	 CsResult *result)
{
	const CsJson *metadata;
	CsEntry entry;

	if (cs_dropbox_may_be_done(answer))
	{
		cs_dropbox_failure(c, &c->failure, answer, "write", c->op.path);
		return cs_dropbox_look(c, request, PUT_LOSS_LOOKED, c->op.path);
	}
	if (cs_dropbox_has_tag(answer, "conflict") &&
		!cs_dropbox_has_tag(answer, "file_ancestor"))
	{
		if (++c->looks > DBX_MAX_LOOKS)
			return cs_dropbox_fail(result, CS_FAIL_RETRY_LATER, c->op.path,
								   "is being changed by somebody else");
		return cs_dropbox_look(c, request, PUT_LOOKED, c->op.path);
	}
	if (cs_dropbox_has_tag(answer, "content_hash_mismatch") &&
		c->times_sent < DBX_MAX_SENT)
		return send_body(c, request);
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
	/* equal bytes in place of equal bytes write nothing */
	return cs_dropbox_put_done(c, result, metadata,
							   c->op.known_version != NULL &&
								   strcmp(c->op.known_version, entry.version) ==
									   0);
}

/* What is in the way: ours after all, of an attempt that could not say so? */
static CsStep
looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	const CsJson *metadata;
	CsEntry entry;

	if (cs_dropbox_has_tag(answer, "not_found"))
	{
		c->update_rev = NULL;
		return send_body(c, request);
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
	return send_body(c, request);
}

static CsStep
loss_looked(CsConversation *c, const CsResponse *answer, CsResult *result)
{
	const CsJson *metadata = NULL;
	CsEntry entry;

	if (answer->error == 0 && answer->status == 200)
		metadata = cs_dropbox_json(answer);
	if (metadata != NULL && cs_dropbox_entry(&entry, metadata, c->op.path) &&
		cs_dropbox_is_body(c, &entry))
		return cs_dropbox_put_done(c, result, metadata, false);
	result->failure = c->failure;
	return CS_STEP_FAILED;
}

static CsStep
start(CsConversation *c, CsRequest *request, CsResult *result)
{
	c->update_rev = cs_dropbox_keep(c, c->op.known_version);
	if (c->op.size < 0 || c->op.size > DBX_ONE)
	{
		c->step = cs_dropbox_session;
		return c->step(c, NULL, request, result);
	}
	if (!c->op.has_sha256 || (c->op.checksum == NULL && c->op.size > DBX_BLOCK))
		return cs_dropbox_hash(c, request, PUT_HASHED, 0, c->op.size);
	c->size = c->op.size;
	memcpy(c->sha256, c->op.sha256, CS_SHA256_LENGTH);
	if (c->op.checksum != NULL)
		strlcpy(c->hash, c->op.checksum, sizeof(c->hash));
	else
		cs_dropbox_small_hash(c->hash, c->sha256, c->size);
	return send_body(c, request);
}

CsStep
cs_dropbox_put(CsConversation *c, const CsResponse *answer, CsRequest *request,
			   CsResult *result)
{
	switch (c->phase)
	{
		case PUT_START:
			return start(c, request, result);
		case PUT_HASHED:
			return hashed(c, answer, result);
		case PUT_CHECKPOINTED:
			return send_body(c, request);
		case PUT_SENT:
			return sent(c, answer, request, result);
		case PUT_LOOKED:
			return looked(c, answer, request, result);
		case PUT_LOSS_LOOKED:
			return loss_looked(c, answer, result);
		default: /* PUT_UNDONE */
			result->failure = c->failure;
			return CS_STEP_FAILED;
	}
}
