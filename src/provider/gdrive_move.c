/*
 * gdrive_move.c
 *	  MOVE and TRASH of the Google Drive provider, by id: the name is changed,
 *	  the folder by adding one parent and removing the other, and the trash is
 *	  the service's own. The subject is looked at just before, and so is the
 *	  name that it is to get, since the service itself minds neither.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/path.h"
#include "gdrive.h"

enum
{
	MOVE_START,
	MOVE_WAY,
	MOVE_LOOKED,
	MOVE_SEEN,
	MOVE_TO_WAY,
	MOVE_ROOT,
	MOVE_TO_LOOKED,
	MOVE_SENT,
	MOVE_CHECKED
};

static CsStep
gone(CsConversation *c, CsResult *result)
{
	return gd_fail(result, CS_FAIL_GONE, c->op.path, "is not there");
}

static bool
trashes(const CsConversation *c)
{
	return c->op.kind == CS_OP_TRASH;
}

static CsStep
done(CsConversation *c, CsResult *result)
{
	gd_entry_at(c->service, &c->file, trashes(c) ? c->op.path : c->op.to_path,
				&c->entry);
	result->entry = c->entry;
	/* what was known of paths below it holds no more */
	if (gd_is_folder(&c->file))
		gd_forget_all(c->service);
	return CS_STEP_DONE;
}

/* Where it is to be, and under that name? */
static bool
is_at_target(const CsConversation *c)
{
	char *name = gd_name(&c->file, NULL);
	bool same = strcmp(name, cs_path_name(c->op.to_path)) == 0 &&
				c->file.parent != NULL &&
				strcmp(c->file.parent, c->to_parent) == 0;

	pfree(name);
	return same;
}

static CsStep
send_trash(CsConversation *c, CsRequest *request)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoString(&json, "{\"trashed\":true}");
	gd_ask(c, request, MOVE_SENT, "PATCH", gd_file_path(c->id, gd_fields()));
	gd_send_json(c, request, &json);
	return CS_STEP_REQUEST;
}

static CsStep
send_move(CsConversation *c, CsRequest *request)
{
	StringInfoData json;
	char *more = NULL;

	initStringInfo(&json);
	appendStringInfoString(&json, "{\"name\":");
	cs_json_quote(&json, cs_path_name(c->op.to_path));
	appendStringInfoChar(&json, '}');
	if (c->file.parent == NULL)
		more = psprintf("addParents=%s&%s", c->to_parent, gd_fields());
	else if (strcmp(c->file.parent, c->to_parent) != 0)
		more = psprintf("addParents=%s&removeParents=%s&%s", c->to_parent,
						c->file.parent, gd_fields());
	gd_ask(c, request, MOVE_SENT, "PATCH",
		   gd_file_path(c->id, more != NULL ? more : gd_fields()));
	if (more != NULL)
		pfree(more);
	gd_send_json(c, request, &json);
	return CS_STEP_REQUEST;
}

static CsStep go_to(CsConversation *c, CsRequest *request, CsResult *result);

/* The folder that it goes into is known. */
static CsStep
take_target(CsConversation *c, CsRequest *request, CsResult *result, GdSub sub)
{
	if (sub == GD_ASK)
		return CS_STEP_REQUEST;
	if (sub == GD_ABSENT)
		return gd_fail(result, CS_FAIL_RETRY_LATER, c->op.path,
					   "could not be moved: the folder that it is to go into "
					   "is not there");
	if (sub != GD_OK)
		return gd_give_failure(c, result);
	/* what is in the root has its own id for a parent */
	if (strcmp(c->way.id, "root") == 0 && c->service->root_id[0] == '\0' &&
		!c->asked_root)
	{
		c->asked_root = true;
		return gd_ask(c, request, MOVE_ROOT, "GET",
					  gd_file_path("root", "fields=id"));
	}
	return go_to(c, request, result);
}

/* Its id is known, too. */
static CsStep
go_to(CsConversation *c, CsRequest *request, CsResult *result)
{
	c->to_parent =
		pstrdup(strcmp(c->way.id, "root") == 0 && c->service->root_id[0] != '\0'
					? c->service->root_id
					: c->way.id);
	if (is_at_target(c))
		return done(c, result);
	c->phase = MOVE_TO_LOOKED;
	return gd_look(c, request, c->to_parent, cs_path_name(c->op.to_path),
				   false);
}

/* Under a narrow scope it may not be told: then it is called "root". */
static CsStep
root_told(CsConversation *c, const CsResponse *answer, CsRequest *request,
		  CsResult *result)
{
	const CsJson *json = gd_json(c, answer, "look at", "/");

	if (json == NULL && !gd_is_gone(answer))
		return gd_give_failure(c, result);
	if (gd_id_ok(cs_json_text(json, "id")))
		strlcpy(c->service->root_id, cs_json_text(json, "id"), GD_ID);
	return go_to(c, request, result);
}

/* The subject was looked at. */
static CsStep
seen(CsConversation *c, CsRequest *request, CsResult *result)
{
	const GdFile *file = &c->file;
	char *parent;
	GdSub sub;
	bool ours;

	strlcpy(c->id, file->id, GD_ID);
	if (file->trashed)
		return trashes(c) ? done(c, result) : gone(c, result);
	ours = gd_is_folder(file)
			   ? c->op.id != NULL && strcmp(c->op.id, file->id) == 0
			   : gd_is_ours(c, file);
	if (!ours)
		return gd_fail(result, CS_FAIL_CONFLICT, c->op.path,
					   "was made or changed by somebody else");
	if (trashes(c))
		return send_trash(c, request);
	parent = cs_path_parent(c->op.to_path);
	c->phase = MOVE_TO_WAY;
	sub = gd_way_begin(c, request, result, parent, false);
	pfree(parent);
	return take_target(c, request, result, sub);
}

static CsStep
found_way(CsConversation *c, CsRequest *request, CsResult *result, GdSub sub)
{
	if (sub == GD_ASK)
		return CS_STEP_REQUEST;
	if (sub == GD_ABSENT)
		return gone(c, result);
	if (sub != GD_OK)
		return gd_give_failure(c, result);
	c->phase = MOVE_LOOKED;
	return gd_look(c, request, c->way.id, cs_path_name(c->op.path), false);
}

/* By its id, or by that of an attempt that did not live to say so; or path. */
static CsStep
start(CsConversation *c, CsRequest *request, CsResult *result)
{
	GdSession session;
	const char *id = c->op.id;
	char *parent;
	GdSub sub;

	if (id == NULL && gd_session_read(c->op.session, &session))
		id = session.id;
	if (gd_id_ok(id))
		return gd_ask_file(c, request, MOVE_SEEN, id);
	parent = cs_path_parent(c->op.path);
	c->phase = MOVE_WAY;
	sub = gd_way_begin(c, request, result, parent, false);
	pfree(parent);
	return found_way(c, request, result, sub);
}

static CsStep
was_sent(CsConversation *c, const CsResponse *answer, CsRequest *request,
		 CsResult *result)
{
	const char *action = trashes(c) ? "trash" : "move";

	if (gd_good(answer) && gd_take_file(c, answer, action, c->op.path))
		return done(c, result);
	gd_failure(&c->failure, answer, action, c->op.path);
	if (!gd_good(answer) && !gd_lost(answer))
		return gd_give_failure(c, result);
	c->lost = true;
	return gd_ask_file(c, request, MOVE_CHECKED, c->id);
}

/* Nobody knows what came of it: it is looked at. */
static CsStep
checked(CsConversation *c, const CsResponse *answer, CsResult *result)
{
	CsFailure before = c->failure;

	if (!gd_take_file(c, answer, "look at", c->op.path))
		return gd_give_failure(c, result);
	if (trashes(c) ? c->file.trashed : is_at_target(c))
		return done(c, result);
	result->failure = before;
	return CS_STEP_FAILED;
}

/* See gdrive.h. */
CsStep
gd_move(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	GdSub sub;

	switch (c->phase)
	{
		case MOVE_START:
			return start(c, request, result);
		case MOVE_WAY:
			return found_way(c, request, result,
							 gd_way(c, answer, request, result));
		case MOVE_LOOKED:
			sub = gd_looked(c, answer, request);
			if (sub == GD_ASK)
				return CS_STEP_REQUEST;
			if (sub == GD_FAIL)
				return gd_give_failure(c, result);
			if (sub == GD_ABSENT)
				return gone(c, result);
			return gd_ask_file(c, request, MOVE_SEEN, c->look.id);
		case MOVE_SEEN:
			if (!gd_take_file(c, answer, "look at", c->op.path))
				return gd_give_failure(c, result);
			return seen(c, request, result);
		case MOVE_TO_WAY:
			return take_target(c, request, result,
							   gd_way(c, answer, request, result));
		case MOVE_ROOT:
			return root_told(c, answer, request, result);
		case MOVE_TO_LOOKED:
			sub = gd_looked(c, answer, request);
			if (sub == GD_ASK)
				return CS_STEP_REQUEST;
			if (sub == GD_FAIL)
			{
				if (!gd_is_gone(answer))
					return gd_give_failure(c, result);
				gd_forget(c->service, c->op.to_path);
				return gd_fail(result, CS_FAIL_RETRY_LATER, c->op.path,
							   "could not be moved: the folder that it is to "
							   "go into is not there any more");
			}
			/* it is there, in a root whose id we may not know */
			if (sub == GD_OK && strcmp(c->look.id, c->id) == 0)
				return done(c, result);
			if (sub == GD_OK)
				return gd_fail(result, CS_FAIL_CONFLICT, c->op.path,
							   "could not be moved: something else has the "
							   "name that it is to get");
			return send_move(c, request);
		case MOVE_SENT:
			return was_sent(c, answer, request, result);
		default: /* MOVE_CHECKED */
			return checked(c, answer, result);
	}
}
