/*
 * graph_move.c
 *	  MOVE and TRASH of the Microsoft Graph provider: only what is ours, by its
 *	  id, never onto anything. A move is one PATCH of name and folder; the trash
 *	  is the service's own. A subject that is where it was to go was moved by an
 *	  attempt that did not live to say so.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/path.h"
#include "graph.h"

enum
{
	MOVE_START,
	MOVE_LOOKED,
	MOVE_LINK,
	MOVE_READ,
	MOVE_TARGET_LOOKED,
	MOVE_PARENT_LOOKED,
	MOVE_MOVED,
	MOVE_DONE_LOOKED,
	TRASH_REMOVED
};

static CsStep
give_failure(CsConversation *c, CsResult *result)
{
	result->failure = c->failure;
	return CS_STEP_FAILED;
}

static CsStep
done(CsConversation *c, CsResult *result)
{
	gr_entry(&c->item,
			 c->op.kind == CS_OP_TRASH ? c->op.path : c->op.to_path,
			 &result->entry);
	return CS_STEP_DONE;
}

static CsStep
not_ours(CsConversation *c, CsResult *result)
{
	return gr_fail(result, CS_FAIL_CONFLICT, c->op.path,
				   "was made or changed by somebody else");
}

static CsStep
gone(CsConversation *c, CsResult *result)
{
	return gr_fail(result, CS_FAIL_GONE, c->op.path,
				   "is not there any more");
}

/* --- whose it is ---------------------------------------------------------------- */

/* To be told by its bytes: read, and hashed. */
static CsStep
read_it(CsConversation *c, CsRequest *request)
{
	gr_ask(c, request, MOVE_LINK, "GET",
		   gr_id_url(c, c->item.id, "content", NULL));
	request->into = CS_INTO_TAKE;
	request->body_status = 200;
	c->hash = cs_hash_create();
	c->hashed = 0;
	return CS_STEP_REQUEST;
}

static CsStep go_on(CsConversation *c, CsRequest *request, CsResult *result);

static CsStep
is_read(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	const char *location = cs_http_header(answer, "location");
	uint8 sha256[CS_SHA256_LENGTH];

	if (c->phase == MOVE_LINK && answer->error == 0 &&
		answer->status / 100 == 3 && location != NULL &&
		gr_is_safe(c->service, location))
	{
		gr_ask_anonymous(c, request, MOVE_READ, "GET", location);
		request->into = CS_INTO_TAKE;
		request->body_status = 200;
		return CS_STEP_REQUEST;
	}
	if (answer->error != 0 || answer->status != 200)
		return gr_failed(result, answer, "compare", c->op.path);
	cs_hash_final(c->hash, sha256);
	if (c->hashed != c->op.intended_size ||
		memcmp(sha256, c->op.intended_sha256, CS_SHA256_LENGTH) != 0)
		return not_ours(c, result);
	return go_on(c, request, result);
}

/* --- moving ----------------------------------------------------------------------- */

static bool
is_at_target(const CsConversation *c)
{
	return c->parent != NULL && c->item.parent_id != NULL &&
		   strcmp(c->parent, c->item.parent_id) == 0 && c->item.name != NULL &&
		   strcmp(c->item.name, cs_path_name(c->op.to_path)) == 0;
}

static CsStep
move_it(CsConversation *c, CsRequest *request, CsResult *result)
{
	StringInfoData json;

	if (is_at_target(c))
		return done(c, result);
	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	if (c->item.parent_id == NULL || strcmp(c->parent, c->item.parent_id) != 0)
	{
		appendStringInfoString(&json, "\"parentReference\":{\"id\":");
		cs_json_quote(&json, c->parent);
		appendStringInfoString(&json, "},");
	}
	appendStringInfoString(&json, "\"name\":");
	cs_json_quote(&json, cs_path_name(c->op.to_path));
	appendStringInfoChar(&json, '}');
	gr_ask_json(c, request, MOVE_MOVED, "PATCH",
				gr_id_url(c, c->item.id, NULL, NULL), json.data);
	if (c->item.kind == CS_ENTRY_FILE)
		gr_if_match(c, request);
	return CS_STEP_REQUEST;
}

/* It is ours: it goes, once the folder that it goes to is known by its id. */
static CsStep
go_on(CsConversation *c, CsRequest *request, CsResult *result)
{
	char *folder;
	const char *id;

	if (c->op.kind == CS_OP_TRASH)
		return gr_ask(c, request, TRASH_REMOVED, "DELETE",
					  gr_id_url(c, c->item.id, NULL, NULL));
	folder = cs_path_parent(c->op.to_path);
	id = gr_known(c->service, folder);
	if (id == NULL)
		return gr_ask(c, request, MOVE_PARENT_LOOKED, "GET",
					  gr_path_url(c, folder, NULL, GR_SELECT));
	c->parent = pstrdup(id);
	return move_it(c, request, result);
}

static CsStep
parent_looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
			  CsResult *result)
{
	char *folder = cs_path_parent(c->op.to_path);
	GrItem item;

	if (!gr_good(answer) || !gr_read_item(gr_json(c, answer), &item))
	{
		gr_failed(result, answer, "look at", folder);
		if (result->failure.failure_class == CS_FAIL_GONE)
			return gr_fail(result, CS_FAIL_RETRY_NOW, folder,
						   "was removed meanwhile");
		return CS_STEP_FAILED;
	}
	if (item.kind != CS_ENTRY_FOLDER)
		return gr_fail(result, CS_FAIL_CONFLICT, folder, "is no folder");
	gr_remember(c->service, folder, item.id);
	c->parent = pstrdup(item.id);
	return move_it(c, request, result);
}

static CsStep
looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	bool target = c->phase == MOVE_TARGET_LOOKED;
	GrOwner owner;

	switch (gr_looked(c, answer, target ? c->op.to_path : c->op.path))
	{
		case GR_FAILED:
			return give_failure(c, result);
		case GR_ABSENT:
			if (target || c->op.id != NULL || c->op.kind == CS_OP_TRASH)
				return gone(c, result);
			return gr_look(c, request, MOVE_TARGET_LOOKED, c->op.to_path,
						   NULL);
		default:
			break;
	}
	owner = gr_owner(c);
	if (target)
		return owner == GR_OURS ? done(c, result) : gone(c, result);
	if (owner == GR_ASK_BYTES)
		return read_it(c, request);
	return owner == GR_OURS ? go_on(c, request, result)
							: not_ours(c, result);
}

static CsStep
again(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (++c->looks > GR_MAX_LOOKS)
		return gr_fail(result, CS_FAIL_RETRY_LATER, c->op.path,
					   "is being changed by somebody else");
	return gr_look(c, request, MOVE_LOOKED, c->op.path, c->op.id);
}

static CsStep
moved(CsConversation *c, const CsResponse *answer, CsRequest *request,
	  CsResult *result)
{
	char *folder;

	if (gr_answered_item(c, answer))
	{
		if (c->item.kind == CS_ENTRY_FOLDER)
		{
			gr_forget_all(c->service); /* what is in it is elsewhere, too */
			gr_remember(c->service, c->op.to_path, c->item.id);
		}
		return done(c, result);
	}
	/* an answer without the item, or none at all */
	if (gr_good(answer) || gr_lost(answer))
	{
		gr_failure(&c->failure, answer, "move", c->op.path);
		return gr_look(c, request, MOVE_DONE_LOOKED, c->op.path, c->item.id);
	}
	gr_failed(result, answer, "move", c->op.path);
	if (answer->error != 0)
		return CS_STEP_FAILED;
	if (answer->status == 412 || gr_has_code(answer, "resourceModified"))
		return again(c, request, result);
	folder = cs_path_parent(c->op.to_path);
	if (result->failure.failure_class == CS_FAIL_CONFLICT)
		return gr_fail(result, CS_FAIL_CONFLICT, c->op.to_path, "is taken");
	gr_forget(c->service, folder);
	if (result->failure.failure_class == CS_FAIL_GONE)
		return gr_fail(result, CS_FAIL_RETRY_NOW, c->op.path,
					   "or the folder it was to move to was removed meanwhile");
	return CS_STEP_FAILED;
}

/* As it is now: where it was to go? */
static CsStep
done_looked(CsConversation *c, const CsResponse *answer, CsResult *result)
{
	CsFailure failure = c->failure;

	if (gr_looked(c, answer, c->op.path) == GR_THERE && is_at_target(c))
		return done(c, result);
	if (failure.failure_class == CS_FAIL_BROKEN)
		failure.failure_class = CS_FAIL_RETRY_NOW;
	result->failure = failure;
	return CS_STEP_FAILED;
}

static CsStep
removed(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	/* not at any other answer, such as the page of a network that wants a login */
	if (answer->error == 0 && (answer->status == 204 || answer->status == 404))
	{
		gr_forget_all(c->service);
		return done(c, result);
	}
	if (answer->error == 0 &&
		(answer->status == 412 || gr_has_code(answer, "resourceModified")))
		return again(c, request, result);
	return gr_failed(result, answer, "remove", c->op.path);
}

CsStep
gr_move(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	switch (c->phase)
	{
		case MOVE_START:
			if (strcmp(c->op.path, "/") == 0 ||
				(c->op.kind == CS_OP_MOVE &&
				 (c->op.to_path == NULL || strcmp(c->op.to_path, "/") == 0)))
				return gr_fail(result, CS_FAIL_BROKEN, c->op.path,
							   "cannot be moved there");
			return gr_look(c, request, MOVE_LOOKED, c->op.path, c->op.id);
		case MOVE_LOOKED:
		case MOVE_TARGET_LOOKED:
			return looked(c, answer, request, result);
		case MOVE_LINK:
		case MOVE_READ:
			return is_read(c, answer, request, result);
		case MOVE_PARENT_LOOKED:
			return parent_looked(c, answer, request, result);
		case MOVE_MOVED:
			return moved(c, answer, request, result);
		case MOVE_DONE_LOOKED:
			return done_looked(c, answer, result);
		default: /* TRASH_REMOVED */
			return removed(c, answer, request, result);
	}
}
