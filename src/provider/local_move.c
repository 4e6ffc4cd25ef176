/*
 * local_move.c
 *	  MOVE and TRASH of the local provider: only what is ours, never onto
 *	  anything. A trashed file whose name is taken in the trash gets a number. A
 *	  subject that is gone while its target is ours was moved by an attempt that
 *	  did not live to say so.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/name.h"
#include "cloudsync/path.h"
#include "cloudsync/provider.h"
#include "local.h"

#define MAX_NUMBER 1000

enum
{
	MOVE_START,
	MOVE_LOOKED,
	MOVE_HASHED,
	MOVE_TARGET_LOOKED,
	MOVE_TARGET_HASHED,
	MOVE_FOLDER_MADE,
	MOVE_RENAMED
};

/* What a look at an entry says of whose it is. */
typedef enum Owner
{
	OWNER_WE,
	OWNER_OTHER,
	OWNER_ASK_BYTES
} Owner;

static Owner
owner_of(const CsConversation *c, const CsEntry *entry)
{
	if (entry->kind == CS_ENTRY_FOLDER)
		return c->op.id != NULL && entry->id != NULL &&
					   strcmp(c->op.id, entry->id) == 0
				   ? OWNER_WE
				   : OWNER_OTHER;
	if (entry->kind != CS_ENTRY_FILE)
		return OWNER_OTHER;
	if (c->op.known_version != NULL && entry->version != NULL &&
		strcmp(c->op.known_version, entry->version) == 0)
		return OWNER_WE;
	if (c->op.has_intended && entry->size == c->op.intended_size)
		return OWNER_ASK_BYTES;
	return OWNER_OTHER;
}

static bool
has_intended_bytes(const CsConversation *c, const CsResponse *answer)
{
	return answer->error == 0 && cs_local_same(c, &answer->entry) &&
		   answer->size == c->op.intended_size &&
		   memcmp(answer->sha256, c->op.intended_sha256, CS_SHA256_LENGTH) == 0;
}

static CsStep
fail(CsResult *result, CsFailureClass failure_class, const char *path,
	 const char *what)
{
	cs_failure_set(&result->failure, failure_class, NULL, "\"%s\" %s", path,
				   what);
	return CS_STEP_FAILED;
}

static CsStep
done(CsConversation *c, CsResult *result)
{
	result->entry = c->entry;
	result->verified = false;
	return CS_STEP_DONE;
}

/* "name (2).ext": c->target for the next number. False: enough is enough. */
static bool
next_number(CsConversation *c)
{
	if (++c->number > MAX_NUMBER)
		return false;
	pfree(c->target);
	c->target = cs_path_numbered(c->op.to_path, c->number,
								 c->entry.kind == CS_ENTRY_FOLDER
									 ? CS_NAME_FOLDER
									 : CS_NAME_FILE,
								 &cs_provider_local.names);
	return true;
}

static CsStep
rename_it(CsConversation *c, CsRequest *request)
{
	cs_local_ask(c, request, MOVE_RENAMED, CS_REQ_FILE_RENAME, c->op.path);
	request->to_path = c->target;
	return CS_STEP_REQUEST;
}

/* It is ours: move it; TRASH makes its folders first. */
static CsStep
go_on(CsConversation *c, CsRequest *request, CsResult *result)
{
	char *folder;

	if (strcmp(c->op.path, c->op.to_path) == 0)
		return done(c, result);
	if (c->op.kind == CS_OP_MOVE)
		return rename_it(c, request);
	folder = cs_path_parent(c->op.to_path);
	cs_local_levels(c, folder);
	pfree(folder);
	if (c->n_folders == 0)
		return rename_it(c, request);
	return cs_local_ask(c, request, MOVE_FOLDER_MADE, CS_REQ_FILE_MKDIR,
						c->folders[0]);
}

static CsStep
folder_made(CsConversation *c, const CsResponse *answer, CsRequest *request,
			CsResult *result)
{
	if (answer->error != 0 && answer->error != EEXIST)
		return cs_local_failed(result, answer, "make folder",
							   c->folders[c->level]);
	if (++c->level < c->n_folders)
		return cs_local_ask(c, request, MOVE_FOLDER_MADE, CS_REQ_FILE_MKDIR,
							c->folders[c->level]);
	return rename_it(c, request);
}

static CsStep
looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	if (cs_local_absent(answer))
		return cs_local_ask(c, request, MOVE_TARGET_LOOKED, CS_REQ_FILE_STAT,
							c->target);
	if (answer->error != 0)
		return cs_local_failed(result, answer, "move", c->op.path);
	cs_local_keep(c, &answer->entry);
	switch (owner_of(c, &c->entry))
	{
		case OWNER_WE:
			return go_on(c, request, result);
		case OWNER_ASK_BYTES:
			return cs_local_ask(c, request, MOVE_HASHED, CS_REQ_FILE_HASH,
								c->op.path);
		default:
			return fail(result, CS_FAIL_CONFLICT, c->op.path,
						"was made or changed by somebody else");
	}
}

/* The target is not ours: a trashed file may have got a number. */
static CsStep
not_the_target(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (c->op.kind == CS_OP_TRASH && next_number(c))
		return cs_local_ask(c, request, MOVE_TARGET_LOOKED, CS_REQ_FILE_STAT,
							c->target);
	return fail(result, CS_FAIL_GONE, c->op.path, "is not there any more");
}

static CsStep
target_looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
			  CsResult *result)
{
	if (cs_local_absent(answer))
		return fail(result, CS_FAIL_GONE, c->op.path, "is not there any more");
	if (answer->error != 0)
		return cs_local_failed(result, answer, "look at", c->target);
	cs_local_keep(c, &answer->entry);
	switch (owner_of(c, &c->entry))
	{
		case OWNER_WE:
			return done(c, result);
		case OWNER_ASK_BYTES:
			return cs_local_ask(c, request, MOVE_TARGET_HASHED,
								CS_REQ_FILE_HASH, c->target);
		default:
			return not_the_target(c, request, result);
	}
}

static CsStep
renamed(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	if (answer->error == EEXIST && c->op.kind == CS_OP_TRASH && next_number(c))
		return rename_it(c, request);
	if (answer->error == EEXIST || answer->error == ENOTEMPTY)
		return fail(result, CS_FAIL_CONFLICT, c->target, "is taken");
	if (answer->error == ENOENT)
		return fail(result, CS_FAIL_RETRY_NOW, c->op.path,
					"or the folder it was to move to was removed meanwhile");
	if (answer->error != 0)
		return cs_local_failed(result, answer, "move", c->op.path);
	cs_local_keep(c, &answer->entry);
	return done(c, result);
}

CsStep
cs_local_move(CsConversation *c, const CsResponse *answer, CsRequest *request,
			  CsResult *result)
{
	switch (c->phase)
	{
		case MOVE_START:
			if (c->op.to_path == NULL || strcmp(c->op.path, "/") == 0 ||
				strcmp(c->op.to_path, "/") == 0)
				return fail(result, CS_FAIL_BROKEN, c->op.path,
							"cannot be moved there");
			c->target = pstrdup(c->op.to_path);
			c->number = 1;
			return cs_local_ask(c, request, MOVE_LOOKED, CS_REQ_FILE_STAT,
								c->op.path);
		case MOVE_LOOKED:
			return looked(c, answer, request, result);
		case MOVE_HASHED:
			if (answer->error != 0 && answer->error != ESTALE)
				return cs_local_failed(result, answer, "read", c->op.path);
			if (!has_intended_bytes(c, answer))
				return fail(result, CS_FAIL_CONFLICT, c->op.path,
							"was made or changed by somebody else");
			return go_on(c, request, result);
		case MOVE_TARGET_LOOKED:
			return target_looked(c, answer, request, result);
		case MOVE_TARGET_HASHED:
			if (has_intended_bytes(c, answer))
				return done(c, result);
			return not_the_target(c, request, result);
		case MOVE_FOLDER_MADE:
			return folder_made(c, answer, request, result);
		default: /* MOVE_RENAMED */
			return renamed(c, answer, request, result);
	}
}
