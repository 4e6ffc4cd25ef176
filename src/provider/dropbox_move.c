/*
 * dropbox_move.c
 *	  MOVE and TRASH of the Dropbox provider: what is ours, wherever its id is by
 *	  now. A move cannot be bound to a revision, so that is looked at just
 *	  before; a deletion can. Dropbox keeps what is deleted itself.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "dropbox.h"

enum
{
	MOVE_START,
	MOVE_LOOKED,
	MOVE_MOVED,
	MOVE_TARGET_LOOKED, /* what is in the way */
	MOVE_GONE_LOOKED	/* was it moved by an attempt before? */
};

enum
{
	TRASH_START,
	TRASH_LOOKED,
	TRASH_DELETED
};

/* By its id, or at its path where none is known. */
static const char *
subject(const CsConversation *c)
{
	return c->op.id != NULL ? c->op.id : c->op.path;
}

static bool
is_ours(const CsConversation *c, const CsEntry *entry)
{
	if (entry->kind == CS_ENTRY_FOLDER)
		return c->op.id != NULL && entry->id != NULL &&
			   strcmp(c->op.id, entry->id) == 0;
	return (c->op.known_version != NULL && entry->version != NULL &&
			strcmp(c->op.known_version, entry->version) == 0) ||
		   cs_dropbox_is_intended(c, entry);
}

static CsStep
done(CsConversation *c, const CsJson *metadata, CsResult *result)
{
	const char *name = cs_json_text(metadata, "name");

	if (name == NULL ||
		!cs_dropbox_entry(&result->entry, metadata,
						  cs_dropbox_spelled(c->op.to_path, name)))
		return cs_dropbox_nonsense(result, c->op.to_path);
	return CS_STEP_DONE;
}

static CsStep
move_it(CsConversation *c, CsRequest *request)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, "{\"from_path\":");
	cs_json_quote_ascii(&text, c->found_id);
	appendStringInfoString(&text, ",\"to_path\":");
	cs_json_quote_ascii(&text, c->op.to_path);
	appendStringInfoString(&text, ",\"autorename\":false,"
								  "\"allow_ownership_transfer\":false}");
	return cs_dropbox_rpc(c, request, MOVE_MOVED, "files/move_v2", text.data);
}

static CsStep
looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	const CsJson *metadata;
	const char *shown;
	CsEntry entry;

	if (cs_dropbox_has_tag(answer, "not_found"))
		return cs_dropbox_look(c, request, MOVE_GONE_LOOKED, c->op.to_path);
	if (answer->error != 0 || answer->status != 200)
		return cs_dropbox_failed(c, result, answer, "look at", c->op.path);
	metadata = cs_dropbox_json(answer);
	if (!cs_dropbox_entry(&entry, metadata, NULL))
		return cs_dropbox_nonsense(result, c->op.path);
	if (!is_ours(c, &entry))
		return cs_dropbox_others(result, c->op.path);
	shown = cs_json_text(metadata, "path_display");
	if (strcmp(c->op.path, c->op.to_path) == 0 ||
		(shown != NULL && strcmp(shown, c->op.to_path) == 0))
		return done(c, metadata, result);
	c->found_id = cs_dropbox_keep(c, entry.id);
	return move_it(c, request);
}

static CsStep
moved(CsConversation *c, const CsResponse *answer, CsRequest *request,
	  CsResult *result)
{
	if (answer->error == 0 && answer->status == 200)
		return done(c, cs_json_member(cs_dropbox_json(answer), "metadata"),
					result);
	cs_dropbox_failure(c, &c->failure, answer, "move", c->op.path);
	/*
	 * Somebody else's file, or ours: moved by this request or one before, or
	 * there all the time under a name that differs in case alone.
	 */
	if (cs_dropbox_may_be_done(answer) ||
		c->failure.failure_class == CS_FAIL_CONFLICT)
		return cs_dropbox_look(c, request, MOVE_TARGET_LOOKED, c->op.to_path);
	/* gone since it was looked at */
	if (c->failure.failure_class == CS_FAIL_GONE)
		c->failure.failure_class = CS_FAIL_RETRY_NOW;
	result->failure = c->failure;
	return CS_STEP_FAILED;
}

static CsStep
target_looked(CsConversation *c, const CsResponse *answer, CsResult *result)
{
	const CsJson *metadata = NULL;
	const char *id;

	if (answer->error == 0 && answer->status == 200)
		metadata = cs_dropbox_json(answer);
	id = cs_json_text(metadata, "id");
	if (id != NULL && strcmp(id, c->found_id) == 0)
		return done(c, metadata, result);
	result->failure = c->failure;
	return CS_STEP_FAILED;
}

static CsStep
gone_looked(CsConversation *c, const CsResponse *answer, CsResult *result)
{
	const CsJson *metadata;
	CsEntry entry;

	if (answer->error != 0 ||
		(answer->status != 200 && !cs_dropbox_has_tag(answer, "not_found")))
		return cs_dropbox_failed(c, result, answer, "look at", c->op.to_path);
	metadata = answer->status == 200 ? cs_dropbox_json(answer) : NULL;
	if (metadata != NULL && cs_dropbox_entry(&entry, metadata, NULL) &&
		is_ours(c, &entry))
		return done(c, metadata, result);
	return cs_dropbox_fail(result, CS_FAIL_GONE, c->op.path,
						   "is not there any more");
}

CsStep
cs_dropbox_move(CsConversation *c, const CsResponse *answer, CsRequest *request,
				CsResult *result)
{
	switch (c->phase)
	{
		case MOVE_START:
			if (c->op.to_path == NULL || strcmp(c->op.path, "/") == 0 ||
				strcmp(c->op.to_path, "/") == 0)
				return cs_dropbox_fail(result, CS_FAIL_BROKEN, c->op.path,
									   "cannot be moved there");
			return cs_dropbox_look(c, request, MOVE_LOOKED, subject(c));
		case MOVE_LOOKED:
			return looked(c, answer, request, result);
		case MOVE_MOVED:
			return moved(c, answer, request, result);
		case MOVE_TARGET_LOOKED:
			return target_looked(c, answer, result);
		default: /* MOVE_GONE_LOOKED */
			return gone_looked(c, answer, result);
	}
}

/* ---- TRASH ---- */

static CsStep
delete_it(CsConversation *c, CsRequest *request, const char *rev)
{
	if (rev != NULL)
		return cs_dropbox_undo(c, request, TRASH_DELETED, subject(c), rev);
	return cs_dropbox_rpc(c, request, TRASH_DELETED, "files/delete_v2",
						  cs_dropbox_path_arg(subject(c)));
}

/* What stands there now: our folder, or a file that is ours by its bytes? */
static CsStep
trash_looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
			 CsResult *result)
{
	CsEntry entry;

	if (answer->error != 0 || answer->status != 200)
		return cs_dropbox_failed(c, result, answer, "look at", c->op.path);
	if (!cs_dropbox_entry(&entry, cs_dropbox_json(answer), NULL))
		return cs_dropbox_nonsense(result, c->op.path);
	if (!is_ours(c, &entry) || ++c->looks > DBX_MAX_LOOKS)
		return cs_dropbox_others(result, c->op.path);
	return delete_it(c, request, entry.version);
}

static CsStep
deleted(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	const CsJson *metadata;

	if (answer->error == 0 && answer->status == 200)
	{
		metadata = cs_json_member(cs_dropbox_json(answer), "metadata");
		if (!cs_dropbox_entry(&result->entry, metadata, NULL))
			return cs_dropbox_nonsense(result, c->op.path);
		return CS_STEP_DONE;
	}
	/* not the revision that was expected */
	if (cs_dropbox_has_tag(answer, "conflict"))
		return cs_dropbox_look(c, request, TRASH_LOOKED, subject(c));
	return cs_dropbox_failed(c, result, answer, "delete", c->op.path);
}

CsStep
cs_dropbox_trash(CsConversation *c, const CsResponse *answer,
				 CsRequest *request, CsResult *result)
{
	switch (c->phase)
	{
		case TRASH_START:
			if (strcmp(c->op.path, "/") == 0)
				return cs_dropbox_fail(result, CS_FAIL_BROKEN, c->op.path,
									   "cannot be deleted");
			if (c->op.known_version != NULL)
				return delete_it(c, request, c->op.known_version);
			return cs_dropbox_look(c, request, TRASH_LOOKED, subject(c));
		case TRASH_LOOKED:
			return trash_looked(c, answer, request, result);
		default: /* TRASH_DELETED */
			return deleted(c, answer, request, result);
	}
}
