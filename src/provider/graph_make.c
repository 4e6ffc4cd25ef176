/*
 * graph_make.c
 *	  Folders of the Microsoft Graph provider: made from the lowest level that
 *	  is missing, never onto anything (what is there with the name is looked
 *	  at), and remembered by their ids.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/path.h"
#include "graph.h"

static GrSub
fail(CsConversation *c, CsFailureClass failure_class, const char *path,
	 const char *what)
{
	cs_failure_set(&c->failure, failure_class, NULL, "\"%s\" %s", path, what);
	return GR_FAIL;
}

/* It does not come to an end: what the last request came to, if that is known. */
static bool
too_often(CsConversation *c, const char *path)
{
	GrMaking *making = &c->making;

	if (++making->asked <= 4 * making->n_levels + 4)
		return false;
	if (making->failure.failure_class != CS_FAIL_NONE)
		c->failure = making->failure;
	else
		(void) fail(c, CS_FAIL_BROKEN, path,
					"is there and is not there, as the service says in turn");
	return true;
}

static GrSub
ask_level(CsConversation *c, CsRequest *request)
{
	GrMaking *making = &c->making;
	const char *path = making->levels[making->at];
	char *folder = cs_path_parent(path);
	const char *id = gr_known(c->service, folder);
	StringInfoData json;

	if (too_often(c, path))
		return GR_FAIL;
	making->looking = false;
	initStringInfo(&json);
	/* the annotation must come first */
	appendStringInfoString(
		&json, "{\"@microsoft.graph.conflictBehavior\":\"fail\",\"name\":");
	cs_json_quote(&json, cs_path_name(path));
	appendStringInfoString(&json, ",\"folder\":{}}");
	gr_ask_json(c, request, c->phase, "POST",
				id != NULL ? gr_id_url(c, id, "children", NULL)
						   : gr_path_url(c, folder, "children", NULL),
				json.data);
	pfree(folder);
	return GR_ASK;
}

static GrSub
look_at_level(CsConversation *c, CsRequest *request)
{
	const char *path = c->making.levels[c->making.at];

	if (too_often(c, path))
		return GR_FAIL;
	c->making.looking = true;
	gr_ask(c, request, c->phase, "GET", gr_path_url(c, path, NULL, GR_SELECT));
	return GR_ASK;
}

static void
set_levels(GrMaking *making, const char *path)
{
	const char *slash = path;
	int n = 0;

	for (const char *p = path; *p != '\0'; p++)
		n += *p == '/';
	memset(making, 0, sizeof(*making));
	making->levels = palloc(Max(n, 1) * sizeof(char *));
	while (strcmp(path, "/") != 0 && slash != NULL)
	{
		slash = strchr(slash + 1, '/');
		making->levels[making->n_levels++] =
			slash != NULL ? pnstrdup(path, slash - path) : pstrdup(path);
	}
}

/*
 * Looks first: mostly it is there already. One that most likely is not, in a
 * folder that is known, is made at once: if it is there, that is refused.
 */
GrSub
gr_make(CsConversation *c, CsRequest *request, int phase, const char *path)
{
	set_levels(&c->making, path);
	c->phase = phase;
	if (c->making.n_levels == 0)
		return GR_OK;
	c->making.at = c->making.n_levels - 1;
	if (c->op.kind == CS_OP_MKDIR && c->op.fresh_folder && c->making.at > 0 &&
		gr_known(c->service, c->making.levels[c->making.at - 1]) != NULL)
		return ask_level(c, request);
	return look_at_level(c, request);
}

/* The level is there: on to the next, or that was the last. */
static GrSub
level_there(CsConversation *c, CsRequest *request)
{
	GrMaking *making = &c->making;

	gr_remember(c->service, making->levels[making->at], c->item.id);
	if (++making->at == making->n_levels)
		return GR_OK;
	return ask_level(c, request);
}

/* Nor is the folder it would be in. */
static GrSub
level_up(CsConversation *c, CsRequest *request)
{
	GrMaking *making = &c->making;

	if (making->at == 0)
		return fail(c, CS_FAIL_UNREACHABLE, making->levels[0],
					"cannot be made: the drive is not there");
	making->at--;
	gr_forget(c->service, making->levels[making->at]);
	return ask_level(c, request);
}

static GrSub
level_looked(CsConversation *c, const CsResponse *answer, CsRequest *request)
{
	const char *path = c->making.levels[c->making.at];

	switch (gr_looked(c, answer, path))
	{
		case GR_FAILED:
			return GR_FAIL;
		case GR_ABSENT:
			return ask_level(c, request);
		default:
			break;
	}
	if (c->item.kind != CS_ENTRY_FOLDER)
		return fail(c, CS_FAIL_CONFLICT, path,
					"is there and is not a folder");
	return level_there(c, request);
}

GrSub
gr_made(CsConversation *c, const CsResponse *answer, CsRequest *request)
{
	const char *path = c->making.levels[c->making.at];

	if (c->making.looking)
		return level_looked(c, answer, request);
	if (gr_answered_item(c, answer))
		return level_there(c, request);
	/* made meanwhile, by an attempt of ours or by somebody */
	if (gr_lost(answer) || gr_good(answer))
		gr_failure(&c->making.failure, answer, "make folder", path);
	if (gr_lost(answer) || gr_good(answer) ||
		(answer->error == 0 && answer->status == 409))
		return look_at_level(c, request);
	gr_failure(&c->failure, answer, "make folder", path);
	if (c->failure.failure_class == CS_FAIL_GONE)
		return level_up(c, request);
	return GR_FAIL;
}

enum
{
	MKDIR_START,
	MKDIR_MAKING
};

CsStep
gr_mkdir(CsConversation *c, const CsResponse *answer, CsRequest *request,
		 CsResult *result)
{
	GrSub sub = c->phase == MKDIR_START
					? gr_make(c, request, MKDIR_MAKING, c->op.path)
					: gr_made(c, answer, request);

	if (sub == GR_ASK)
		return CS_STEP_REQUEST;
	if (sub == GR_FAIL)
	{
		result->failure = c->failure;
		return CS_STEP_FAILED;
	}
	gr_entry(&c->item, c->op.path, &result->entry);
	result->entry.kind = CS_ENTRY_FOLDER;
	return CS_STEP_DONE;
}
