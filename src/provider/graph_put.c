/*
 * graph_put.c
 *	  PUT of the Microsoft Graph provider: what is at the target, whose it is,
 *	  and what may be done about it (P8).
 *
 *	  A new file is sent without a look: the service is told to fail if the name
 *	  is taken. One that replaces ours is looked at by its id first, and replaced
 *	  if it is as it was then (If-Match; by a session: looked at once more before
 *	  its last part). Up to 4 MB go in one request, whose hash is recorded
 *	  before; more by an upload session, which is seen when it is complete.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/path.h"
#include "graph.h"

/* --- ends --------------------------------------------------------------------- */

CsStep
gr_put_fail(CsConversation *c, CsRequest *request, CsResult *result,
			CsFailureClass failure_class, const char *what)
{
	cs_failure_set(&c->failure, failure_class, NULL, "\"%s\" %s", c->op.path,
				   what);
	return gr_put_give_up(c, request, result);
}

CsStep
gr_put_done(CsConversation *c, CsResult *result)
{
	gr_entry(&c->item, c->op.path, &result->entry);
	result->adopted = c->adopted;
	result->verified = c->verified;
	result->size = c->size;
	memcpy(result->sha256, c->sha256, CS_SHA256_LENGTH);
	result->checksum = c->checksum;
	return CS_STEP_DONE;
}

static CsStep
conflict(CsConversation *c, CsRequest *request, CsResult *result)
{
	return gr_put_fail(c, request, result, CS_FAIL_CONFLICT,
					   c->item.kind == CS_ENTRY_FOLDER
						   ? "is a folder"
						   : "was made or changed by somebody else");
}

/* --- what is at the target ------------------------------------------------------ */

CsStep
gr_put_look(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (++c->looks > GR_MAX_LOOKS)
		return gr_put_fail(c, request, result, CS_FAIL_RETRY_LATER,
						   "is being changed by somebody else");
	c->target_known = false;
	return gr_look(c, request, PUT_LOOKED, c->op.path,
				   c->id_gone ? NULL : c->op.id);
}

bool
gr_put_is_body(const CsConversation *c)
{
	if (!c->body_known || c->item.kind != CS_ENTRY_FILE ||
		c->item.size != c->size)
		return false;
	if (c->item.size == 0)
		return true;
	if (c->item.has_sha256)
		return memcmp(c->item.sha256, c->sha256, CS_SHA256_LENGTH) == 0;
	if (c->target_known)
		return memcmp(c->target_sha256, c->sha256, CS_SHA256_LENGTH) == 0;
	return c->item.checksum != NULL && c->checksum != NULL &&
		   strcmp(c->item.checksum, c->checksum) == 0;
}

/* Is the body to be hashed before the two can be compared? */
static bool
needs_body(const CsConversation *c)
{
	int64 size = c->body_known ? c->size : c->op.size;

	if (size >= 0 && size != c->item.size)
		return false;
	if (!c->body_known)
		return true;
	return c->checksum == NULL && !c->item.has_sha256 &&
		   c->item.checksum != NULL && c->item.size > 0;
}

/* To be told by its bytes: where they are to be had, and then they themselves. */
static CsStep
read_target(CsConversation *c, CsRequest *request)
{
	gr_ask(c, request, PUT_READ_LINK, "GET",
		   gr_id_url(c, c->item.id, "content", NULL));
	request->into = CS_INTO_TAKE;
	request->body_status = 200;
	c->hash = cs_hash_create();
	c->hashed = 0;
	return CS_STEP_REQUEST;
}

static CsStep
replace(CsConversation *c, CsRequest *request, CsResult *result)
{
	c->replaces = true;
	return gr_put_go_on(c, request, result);
}

static CsStep
compare_body(CsConversation *c, CsRequest *request)
{
	c->compares = true;
	return gr_hash_body(c, request, PUT_BODY_HASHED, -1);
}

/* Of an earlier attempt, but other bytes: rewritten since, or others by now? */
static CsStep
ours(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (c->op.id == NULL && c->op.has_intended &&
		gr_is_rewritten(c->service, c->op.path))
	{
		if (!c->body_known)
			return compare_body(c, request);
		if (memcmp(c->op.intended_sha256, c->sha256, CS_SHA256_LENGTH) == 0)
		{
			c->adopted = true; /* what was sent is not sent again (P17) */
			return gr_put_done(c, result);
		}
	}
	return replace(c, request, result);
}

/* What stands there: our bytes, ours, or somebody else's? */
static CsStep
judge(CsConversation *c, CsRequest *request, CsResult *result)
{
	GrOwner owner;

	c->replaces = false;
	if (!c->item.there)
		return gr_put_go_on(c, request, result);
	if (c->item.kind != CS_ENTRY_FILE)
		return conflict(c, request, result);
	if (needs_body(c))
		return compare_body(c, request);
	owner = gr_owner(c);
	if (owner == GR_ASK_BYTES && c->target_known)
		owner = memcmp(c->target_sha256, c->op.intended_sha256,
					   CS_SHA256_LENGTH) == 0
					? GR_OURS
					: GR_OTHERS;
	if (gr_put_is_body(c))
	{
		c->adopted = true;
		c->verified = true;
		return gr_put_done(c, result);
	}
	if (owner == GR_ASK_BYTES && !c->unreadable)
		return read_target(c, request);
	if (owner == GR_OURS)
		return ours(c, request, result);
	if (c->op.overwrite)
		return replace(c, request, result);
	return conflict(c, request, result);
}

static CsStep
looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	CsFailure failure = c->failure;
	GrLook look = gr_looked(c, answer, c->op.path);

	if (c->lost)
	{
		c->failure = failure;
		if (c->item.there && needs_body(c))
			return compare_body(c, request);
		return gr_put_lost(c, request, result);
	}
	if (look == GR_FAILED)
		return gr_put_give_up(c, request, result);
	/* gone by its id: is something else at its path? */
	if (look == GR_ABSENT && c->op.id != NULL && !c->id_gone)
	{
		c->id_gone = true;
		return gr_put_look(c, request, result);
	}
	return judge(c, request, result);
}

/* --- the target's bytes ----------------------------------------------------------- */

static CsStep
target_read(CsConversation *c, const CsResponse *answer, CsRequest *request,
			CsResult *result)
{
	const char *location = cs_http_header(answer, "location");

	if (c->phase == PUT_READ_LINK && answer->error == 0 &&
		answer->status / 100 == 3 && location != NULL &&
		gr_is_safe(c->service, location))
	{
		gr_ask_anonymous(c, request, PUT_READ, "GET", location);
		request->into = CS_INTO_TAKE;
		request->body_status = 200;
		return CS_STEP_REQUEST;
	}
	if (answer->error == 0 && answer->status == 200)
	{
		cs_hash_final(c->hash, c->target_sha256);
		c->target_known = true;
	}
	else if (answer->error == 0 &&
			 (answer->status == 403 || answer->status == 404))
		c->unreadable = true; /* and so not ours */
	else
	{
		gr_failure(&c->failure, answer, "compare", c->op.path);
		return gr_put_give_up(c, request, result);
	}
	cs_hash_free(c->hash);
	c->hash = NULL;
	return judge(c, request, result);
}

/* --- the body --------------------------------------------------------------------- */

static CsStep
body_hashed(CsConversation *c, const CsResponse *answer, CsRequest *request,
			CsResult *result)
{
	if (answer->error != 0)
	{
		gr_failure(&c->failure, answer, "read", c->op.path);
		return gr_put_give_up(c, request, result);
	}
	if ((c->op.size >= 0 && answer->size != c->op.size) ||
		(c->op.has_sha256 &&
		 memcmp(answer->sha256, c->op.sha256, CS_SHA256_LENGTH) != 0))
		return gr_put_fail(c, request, result, CS_FAIL_CHANGED,
						   "changed in the database while it was read");
	c->body_known = true;
	c->size = answer->size;
	memcpy(c->sha256, answer->sha256, CS_SHA256_LENGTH);
	if (answer->checksum != NULL)
		c->checksum = pstrdup(answer->checksum);
	if (c->compares)
	{
		c->compares = false;
		return c->lost ? gr_put_lost(c, request, result)
					   : judge(c, request, result);
	}
	return gr_put_go_on(c, request, result);
}

CsStep
gr_put_go_on(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (!c->body_known)
		return gr_hash_body(c, request, PUT_BODY_HASHED, -1);
	if (c->size > cs_provider_onedrive.max_file_size)
		return gr_put_fail(c, request, result, CS_FAIL_REFUSED,
						   "is larger than the 250 GB that the service takes");
	if (c->size > GR_SMALL)
		return gr_session_begin(c, request, result);
	if (c->op.has_sha256 || c->checkpointed)
		return gr_send(c, request, result);
	result->size = c->size;
	memcpy(result->sha256, c->sha256, CS_SHA256_LENGTH);
	result->checksum = c->checksum;
	c->checkpointed = true;
	c->phase = PUT_CHECKPOINTED;
	return CS_STEP_CHECKPOINT;
}

CsStep
gr_put_make_parents(CsConversation *c, CsRequest *request, CsResult *result)
{
	char *folder = cs_path_parent(c->op.path);
	GrSub sub;

	gr_forget(c->service, folder);
	if (c->parents_made)
	{
		pfree(folder);
		return gr_put_give_up(c, request, result);
	}
	c->parents_made = true;
	sub = gr_make(c, request, PUT_PARENTS, folder);
	pfree(folder);
	return sub == GR_ASK ? CS_STEP_REQUEST
						 : gr_put_give_up(c, request, result);
}

static CsStep
parents_made(CsConversation *c, const CsResponse *answer, CsRequest *request,
			 CsResult *result)
{
	GrItem none = {0};

	switch (gr_made(c, answer, request))
	{
		case GR_ASK:
			return CS_STEP_REQUEST;
		case GR_FAIL:
			return gr_put_give_up(c, request, result);
		default:
			c->item = none;
			c->replaces = false;
			return gr_put_go_on(c, request, result);
	}
}

static CsStep
start(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (strcmp(c->op.path, "/") == 0)
		return gr_fail(result, CS_FAIL_BROKEN, c->op.path,
					   "is no path of a file");
	if (c->op.has_sha256 && c->op.size >= 0)
	{
		c->body_known = true;
		c->size = c->op.size;
		memcpy(c->sha256, c->op.sha256, CS_SHA256_LENGTH);
		c->checksum =
			c->op.checksum != NULL ? pstrdup(c->op.checksum) : NULL;
	}
	if (c->op.known_version != NULL)
		return gr_look(c, request, PUT_LOOKED, c->op.path, c->op.id);
	return gr_put_go_on(c, request, result);
}

CsStep
gr_put(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	switch (c->phase)
	{
		case PUT_START:
			return start(c, request, result);
		case PUT_LOOKED:
			return looked(c, answer, request, result);
		case PUT_BODY_HASHED:
			return body_hashed(c, answer, request, result);
		case PUT_CHECKPOINTED:
			return gr_send(c, request, result);
		case PUT_SENT:
		case PUT_REMOVED:
			return gr_sent(c, answer, request, result);
		case PUT_PARENTS:
			return parents_made(c, answer, request, result);
		case PUT_READ_LINK:
		case PUT_READ:
			return target_read(c, answer, request, result);
		default:
			return gr_session(c, answer, request, result);
	}
}
