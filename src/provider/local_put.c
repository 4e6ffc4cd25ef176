/*
 * local_put.c
 *	  PUT of the local provider. Bytes go under a temporary name beside the
 *	  target, are read back and compared, reported (checkpoint), and only then
 *	  get the final name: without replacing anything, or replacing what was
 *	  found to be ours a moment before. Between that last look and the rename
 *	  lies the one window in which somebody else's change would be lost.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/path.h"
#include "cloudsync/provider.h"
#include "local.h"

enum
{
	PUT_START,
	PUT_LOOKED,
	PUT_TARGET_HASHED,
	PUT_BODY_HASHED,
	PUT_WRITTEN,
	PUT_READ_BACK,
	PUT_CHECKPOINTED,
	PUT_LAST_LOOK,
	PUT_RENAMED,
	PUT_ADOPTED,
	PUT_CLEANED
};

/* Ends with c->failure, once what was begun is removed. */
static CsStep
clean_up(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (c->temp_path == NULL || c->failure.failure_class == CS_FAIL_UNREACHABLE)
	{
		result->failure = c->failure;
		return CS_STEP_FAILED;
	}
	return cs_local_ask(c, request, PUT_CLEANED, CS_REQ_FILE_UNLINK,
						c->temp_path);
}

static CsStep
fail(CsConversation *c, CsRequest *request, CsResult *result,
	 CsFailureClass failure_class, const char *what)
{
	cs_failure_set(&c->failure, failure_class, NULL, "\"%s\" %s", c->op.path,
				   what);
	return clean_up(c, request, result);
}

static CsStep
fail_errno(CsConversation *c, const CsResponse *answer, CsRequest *request,
		   CsResult *result, const char *action)
{
	cs_local_failure(&c->failure, answer, action, c->op.path);
	return clean_up(c, request, result);
}

static CsStep
conflict(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (c->entry.kind == CS_ENTRY_FOLDER)
		return fail(c, request, result, CS_FAIL_CONFLICT, "is a folder");
	if (c->entry.kind != CS_ENTRY_FILE)
		return fail(c, request, result, CS_FAIL_CONFLICT,
					"is there and is no regular file");
	return fail(c, request, result, CS_FAIL_CONFLICT,
				"was made or changed by somebody else");
}

static CsStep
look(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (++c->looks > LOCAL_MAX_LOOKS)
		return fail(c, request, result, CS_FAIL_RETRY_LATER,
					"is being changed by somebody else");
	return cs_local_ask(c, request, PUT_LOOKED, CS_REQ_FILE_STAT, c->op.path);
}

/* The way is free: write, or if that is done, give the final name. */
static CsStep
go_on(CsConversation *c, CsRequest *request)
{
	if (!c->temp_written)
		return cs_local_ask(c, request, PUT_WRITTEN, CS_REQ_FILE_WRITE,
							c->temp_path);
	cs_local_ask(c, request, PUT_RENAMED, CS_REQ_FILE_RENAME, c->temp_path);
	request->to_path = c->op.path;
	request->replace = c->replaces;
	return CS_STEP_REQUEST;
}

/* What stands at the target: nothing, ours, or to be told by its bytes? */
static CsStep
judge(CsConversation *c, const CsResponse *answer, CsRequest *request,
	  CsResult *result)
{
	int64 size = c->body_known ? c->size : c->op.size;

	c->replaces = false;
	c->ours = false;
	c->known = false;
	if (answer->error == ENOENT)
		return go_on(c, request);
	if (answer->error != 0)
		return fail_errno(c, answer, request, result, "look at");
	cs_local_keep(c, &answer->entry);
	if (c->entry.kind != CS_ENTRY_FILE)
		return conflict(c, request, result);
	c->replaces = true;
	if (c->op.known_version != NULL && c->entry.version != NULL &&
		strcmp(c->op.known_version, c->entry.version) == 0)
	{
		/* as we left it: the same bytes need not be written again */
		c->known = true;
		if (!c->body_known && c->op.has_intended && c->entry.size == size &&
			c->op.intended_size == size)
			return cs_local_ask(c, request, PUT_TARGET_HASHED, CS_REQ_FILE_HASH,
								c->op.path);
		return go_on(c, request);
	}
	if ((c->op.has_intended && c->entry.size == c->op.intended_size) ||
		c->entry.size == size || size < 0)
		return cs_local_ask(c, request, PUT_TARGET_HASHED, CS_REQ_FILE_HASH,
							c->op.path);
	if (c->op.overwrite)
		return go_on(c, request);
	return conflict(c, request, result);
}

/* The target has the very bytes that are to be sent, or is ours, or neither. */
static CsStep
compare_with_body(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (c->entry.size == c->size &&
		memcmp(c->target_sha256, c->sha256, CS_SHA256_LENGTH) == 0)
		return cs_local_ask(c, request, PUT_ADOPTED, CS_REQ_FILE_UNLINK,
							c->temp_path);
	if (c->ours || c->op.overwrite)
		return go_on(c, request);
	return conflict(c, request, result);
}

static CsStep
target_hashed(CsConversation *c, const CsResponse *answer, CsRequest *request,
			  CsResult *result)
{
	if (answer->error == ENOENT || answer->error == ESTALE)
		return look(c, request, result);
	if (answer->error == EACCES || answer->error == EPERM)
	{
		/* What we may not even read is not ours. */
		if (c->op.overwrite)
			return go_on(c, request);
		return conflict(c, request, result);
	}
	if (answer->error != 0)
		return fail_errno(c, answer, request, result, "read");
	if (!cs_local_same(c, &answer->entry))
		return look(c, request, result);
	memcpy(c->target_sha256, answer->sha256, CS_SHA256_LENGTH);
	c->ours =
		c->op.has_intended && answer->size == c->op.intended_size &&
		memcmp(answer->sha256, c->op.intended_sha256, CS_SHA256_LENGTH) == 0;
	if (c->body_known)
		return compare_with_body(c, request, result);
	if (c->op.size < 0 || answer->size == c->op.size)
		return cs_local_ask(c, request, PUT_BODY_HASHED, CS_REQ_HASH_BODY,
							NULL);
	if (c->ours || c->op.overwrite)
		return go_on(c, request);
	return conflict(c, request, result);
}

/* The body was read, for its hash alone or to be written. */
static CsStep
body_read(CsConversation *c, const CsResponse *answer, CsRequest *request,
		  CsResult *result)
{
	bool written = c->phase == PUT_WRITTEN;

	if (answer->error != 0)
		return fail_errno(c, answer, request, result,
						  written ? "write" : "compare");
	if ((c->op.size >= 0 && answer->size != c->op.size) ||
		(c->op.has_sha256 &&
		 memcmp(answer->sha256, c->op.sha256, CS_SHA256_LENGTH) != 0) ||
		(c->body_known &&
		 (answer->size != c->size ||
		  memcmp(answer->sha256, c->sha256, CS_SHA256_LENGTH) != 0)))
		return fail(c, request, result, CS_FAIL_CHANGED,
					"changed in the database while it was read");
	c->body_known = true;
	c->size = answer->size;
	memcpy(c->sha256, answer->sha256, CS_SHA256_LENGTH);
	if (!written)
		return compare_with_body(c, request, result);
	return cs_local_ask(c, request, PUT_READ_BACK, CS_REQ_FILE_HASH,
						c->temp_path);
}

static CsStep
checkpointed(CsConversation *c, CsRequest *request)
{
	if (!c->replaces)
		return go_on(c, request);
	return cs_local_ask(c, request, PUT_LAST_LOOK, CS_REQ_FILE_STAT,
						c->op.path);
}

static CsStep
read_back(CsConversation *c, const CsResponse *answer, CsRequest *request,
		  CsResult *result)
{
	if (answer->error != 0)
		return fail_errno(c, answer, request, result, "read back");
	if (answer->size != c->size ||
		memcmp(answer->sha256, c->sha256, CS_SHA256_LENGTH) != 0)
		return fail(c, request, result, CS_FAIL_RETRY_NOW,
					"read back is not what was written");
	c->temp_written = true;
	if (c->op.has_sha256) /* is written down already */
		return checkpointed(c, request);
	result->size = c->size;
	memcpy(result->sha256, c->sha256, CS_SHA256_LENGTH);
	c->phase = PUT_CHECKPOINTED;
	return CS_STEP_CHECKPOINT;
}

/* Is what we are about to replace still what we judged? */
static CsStep
last_look(CsConversation *c, const CsResponse *answer, CsRequest *request,
		  CsResult *result)
{
	if (answer->error == 0 && cs_local_same(c, &answer->entry))
		return go_on(c, request);
	if (++c->looks > LOCAL_MAX_LOOKS)
		return fail(c, request, result, CS_FAIL_RETRY_LATER,
					"is being changed by somebody else");
	return judge(c, answer, request, result);
}

static CsStep
done(CsConversation *c, CsResult *result, bool adopted)
{
	result->entry = c->entry;
	result->adopted = adopted;
	result->verified = true;
	result->size = c->size;
	memcpy(result->sha256, c->sha256, CS_SHA256_LENGTH);
	return CS_STEP_DONE;
}

static CsStep
renamed(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	if (answer->error == EEXIST)
		return look(c, request, result);
	if (answer->error != 0)
		return fail_errno(c, answer, request, result, "give its name to");
	cs_local_keep(c, &answer->entry);
	return done(c, result, false);
}

static CsStep
start(CsConversation *c, CsRequest *request, CsResult *result)
{
	char *folder;

	if (c->op.temp_name == NULL || strcmp(c->op.path, "/") == 0)
		return fail(c, request, result, CS_FAIL_BROKEN,
					"cannot be written without a temporary name");
	folder = cs_path_parent(c->op.path);
	c->temp_path = cs_path_join(folder, c->op.temp_name);
	pfree(folder);
	return look(c, request, result);
}

CsStep
cs_local_put(CsConversation *c, const CsResponse *answer, CsRequest *request,
			 CsResult *result)
{
	switch (c->phase)
	{
		case PUT_START:
			return start(c, request, result);
		case PUT_LOOKED:
			return judge(c, answer, request, result);
		case PUT_TARGET_HASHED:
			return target_hashed(c, answer, request, result);
		case PUT_BODY_HASHED:
		case PUT_WRITTEN:
			return body_read(c, answer, request, result);
		case PUT_READ_BACK:
			return read_back(c, answer, request, result);
		case PUT_CHECKPOINTED:
			return checkpointed(c, request);
		case PUT_LAST_LOOK:
			return last_look(c, answer, request, result);
		case PUT_RENAMED:
			return renamed(c, answer, request, result);
		case PUT_ADOPTED:
			return done(c, result, true);
		default: /* PUT_CLEANED */
			result->failure = c->failure;
			return CS_STEP_FAILED;
	}
}
