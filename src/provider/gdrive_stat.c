/*
 * gdrive_stat.c
 *	  STAT of the Google Drive provider: by path, or by id, whose path is found
 *	  by going up from folder to folder.
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
	STAT_START,
	STAT_WAY,
	STAT_LOOKED,
	STAT_SEEN,
	STAT_ROOT,
	STAT_UP
};

static CsStep
gone(CsConversation *c, CsResult *result)
{
	return gd_fail(result, CS_FAIL_GONE, c->op.path, "is not there");
}

static CsStep
done(CsConversation *c, CsResult *result, const char *path)
{
	gd_entry_at(c->service, &c->file, path, &c->entry);
	result->entry = c->entry;
	if (gd_is_folder(&c->file))
		gd_remember(c->service, path, strlen(path), c->file.id);
	return CS_STEP_DONE;
}

static bool
is_root(const CsConversation *c, const char *id)
{
	return strcmp(id, c->service->root_id) == 0 ||
		   strcmp(id, c->service->root) == 0;
}

/* On the way up: what is above is known, or is asked for. */
static CsStep
go_up(CsConversation *c, CsRequest *request, CsResult *result,
	  const char *parent)
{
	if (parent == NULL || is_root(c, parent) || c->depth >= GD_MAX_DEPTH)
		return done(c, result, c->tail);
	c->depth++;
	return gd_ask(
		c, request, STAT_UP, "GET",
		gd_file_path(parent, "fields=id%2Cname%2CmimeType%2Cparents"));
}

/* Its name before what was found below. */
static void
put_before(CsConversation *c, const GdFile *file)
{
	char *name = gd_name(file, NULL);
	char *tail = psprintf("/%s%s", name, c->tail != NULL ? c->tail : "");

	pfree(name);
	if (c->tail != NULL)
		pfree(c->tail);
	c->tail = tail;
}

/* Looked at by its id: is it where it is thought to be? */
static CsStep
seen(CsConversation *c, CsRequest *request, CsResult *result)
{
	char *parent = cs_path_parent(c->op.path);
	const char *known = strcmp(parent, "/") == 0
							? c->service->root_id
							: gd_known(c->service, parent, strlen(parent));
	char *name = gd_name(&c->file, NULL);
	bool is_there = strcmp(c->op.path, "/") != 0 && c->file.parent != NULL &&
					known != NULL && strcmp(known, c->file.parent) == 0 &&
					strcmp(name, cs_path_name(c->op.path)) == 0;

	pfree(parent);
	pfree(name);
	if (is_there)
		return done(c, result, c->op.path);
	if (is_root(c, c->file.id))
		return done(c, result, "/");
	put_before(c, &c->file);
	if (c->service->root_id[0] == '\0')
		return gd_ask(c, request, STAT_ROOT, "GET",
					  gd_file_path(c->service->root, "fields=id"));
	return go_up(c, request, result, c->file.parent);
}

/* A level above. What is not shared with the account ends the way. */
static CsStep
was_above(CsConversation *c, const CsResponse *answer, CsRequest *request,
		  CsResult *result)
{
	const CsJson *json = gd_json(c, answer, "look at", c->op.path);
	GdFile file;

	if (json == NULL && !gd_is_gone(answer))
		return gd_give_failure(c, result);
	if (json == NULL || !gd_file_read(json, &file))
		return done(c, result, c->tail);
	/* the root itself: its name is no part of paths */
	if (file.parent == NULL && c->service->root_id[0] == '\0' &&
		c->service->drive_id == NULL)
		return done(c, result, c->tail);
	put_before(c, &file);
	return go_up(c, request, result, file.parent);
}

static CsStep
by_path(CsConversation *c, CsRequest *request, CsResult *result, GdSub sub)
{
	if (sub == GD_ASK)
		return CS_STEP_REQUEST;
	if (sub == GD_ABSENT)
		return gone(c, result);
	if (sub != GD_OK)
		return gd_give_failure(c, result);
	c->phase = STAT_LOOKED;
	return gd_look(c, request, c->way.id, cs_path_name(c->op.path), false);
}

/* See gdrive.h. What is in the trash is not there. */
CsStep
gd_stat(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	const CsJson *json;
	GdSub sub;

	switch (c->phase)
	{
		case STAT_START:
			if (c->op.id != NULL && !gd_id_ok(c->op.id))
				return gone(c, result);
			if (c->op.id != NULL || strcmp(c->op.path, "/") == 0)
				return gd_ask_file(c, request, STAT_SEEN,
								   c->op.id != NULL ? c->op.id
													: c->service->root);
			c->phase = STAT_WAY;
			return by_path(c, request, result,
						   gd_way_begin(c, request, result,
										cs_path_parent(c->op.path), false));
		case STAT_WAY:
			return by_path(c, request, result,
						   gd_way(c, answer, request, result));
		case STAT_LOOKED:
			sub = gd_looked(c, answer, request);
			if (sub == GD_ASK)
				return CS_STEP_REQUEST;
			if (sub == GD_FAIL)
				return gd_give_failure(c, result);
			if (sub == GD_ABSENT)
				return gone(c, result);
			return gd_ask_file(c, request, STAT_SEEN, c->look.id);
		case STAT_SEEN:
			if (!gd_take_file(c, answer, "look at", c->op.path))
				return gd_give_failure(c, result);
			if (c->file.trashed)
			{
				gd_forget(c->service, c->op.path);
				return gone(c, result);
			}
			if (strcmp(c->op.path, "/") == 0 && c->op.id == NULL)
			{
				strlcpy(c->service->root_id, c->file.id, GD_ID);
				return done(c, result, "/");
			}
			if (c->op.id == NULL)
				return done(c, result, c->op.path);
			return seen(c, request, result);
		case STAT_ROOT:
			/* under a narrow scope the root itself may not be seen */
			json = gd_json(c, answer, "look at", "/");
			if (json == NULL && !gd_is_gone(answer))
				return gd_give_failure(c, result);
			if (gd_id_ok(cs_json_text(json, "id")))
				strlcpy(c->service->root_id, cs_json_text(json, "id"), GD_ID);
			return go_up(c, request, result, c->file.parent);
		default: /* STAT_UP */
			return was_above(c, answer, request, result);
	}
}
