/*
 * webdav_move.c
 *	  MOVE and TRASH of the WebDAV provider: only what is ours, never onto
 *	  anything. A trashed file whose name is taken in the trash gets a number. A
 *	  subject that is gone while its target is ours was moved by an attempt that
 *	  did not live to say so. The same rules as in local_move.c; a folder is ours
 *	  by its id where the server gives one, and by being there where it does not.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/name.h"
#include "cloudsync/path.h"
#include "webdav.h"

#define MAX_NUMBER 1000

enum
{
	MOVE_START,
	MOVE_LOOKED,
	MOVE_HASHED,
	MOVE_TARGET_LOOKED,
	MOVE_TARGET_HASHED,
	MOVE_FOLDER_MADE,
	MOVE_MOVED,
	MOVE_DONE_LOOKED
};

/* What a look at an entry says of whose it is. */
typedef enum Owner
{
	OWNER_WE,
	OWNER_OTHER,
	OWNER_ASK_BYTES
} Owner;

static Owner
owner_of(const CsConversation *c)
{
	const CsEntry *entry = &c->entry;

	if (entry->kind == CS_ENTRY_FOLDER)
	{
		if (c->op.known_version != NULL || c->op.has_intended)
			return OWNER_OTHER; /* a file is asked for */
		if (entry->id == NULL || c->op.id == NULL)
			return entry->id == NULL ? OWNER_WE : OWNER_OTHER;
		return strcmp(c->op.id, entry->id) == 0 ? OWNER_WE : OWNER_OTHER;
	}
	if (c->op.known_version != NULL && entry->version != NULL &&
		strcmp(c->op.known_version, entry->version) == 0)
		return OWNER_WE;
	if (!c->op.has_intended || entry->size != c->op.intended_size)
		return OWNER_OTHER;
	if (entry->has_sha256)
		return memcmp(entry->sha256, c->op.intended_sha256, CS_SHA256_LENGTH) ==
					   0
				   ? OWNER_WE
				   : OWNER_OTHER;
	return OWNER_ASK_BYTES;
}

static bool
has_intended_bytes(const CsConversation *c)
{
	return c->target_size == c->op.intended_size &&
		   memcmp(c->target_sha256, c->op.intended_sha256, CS_SHA256_LENGTH) ==
			   0;
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
give_failure(CsConversation *c, CsResult *result)
{
	result->failure = c->failure;
	return CS_STEP_FAILED;
}

static CsStep
done(CsConversation *c, CsResult *result)
{
	result->entry = c->entry;
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
								 &cs_provider_webdav.names);
	return true;
}

static CsStep
move_it(CsConversation *c, CsRequest *request)
{
	bool folder = c->entry.kind == CS_ENTRY_FOLDER;

	memset(&c->failure, 0, sizeof(c->failure));
	wd_ask(c, request, MOVE_MOVED, "MOVE", c->op.path, folder);
	wd_header_own(c, request, "Destination",
				  wd_url(c->service, c->target, folder));
	wd_header(request, "Overwrite", "F");
	return CS_STEP_REQUEST;
}

static CsStep
folder_made(CsConversation *c, WdSub sub, CsRequest *request, CsResult *result)
{
	if (sub == WD_ASK)
		return CS_STEP_REQUEST;
	if (sub == WD_FAIL)
		return give_failure(c, result);
	return move_it(c, request);
}

/* It is ours: move it; TRASH makes its folders first. */
static CsStep
go_on(CsConversation *c, CsRequest *request, CsResult *result)
{
	CsEntryKind kind = c->entry.kind;
	char *folder;
	WdSub sub;

	if (strcmp(c->op.path, c->op.to_path) == 0)
		return done(c, result);
	if (c->op.kind == CS_OP_MOVE)
		return move_it(c, request);
	folder = cs_path_parent(c->op.to_path);
	sub = wd_make(c, request, MOVE_FOLDER_MADE, folder);
	pfree(folder);
	c->entry.kind = kind;
	return folder_made(c, sub, request, result);
}

static CsStep
looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	switch (wd_looked(c, answer, c->op.path))
	{
		case WD_ABSENT:
			return wd_look(c, request, MOVE_TARGET_LOOKED, c->target);
		case WD_FAILED:
			return give_failure(c, result);
		default:
			break;
	}
	switch (owner_of(c))
	{
		case OWNER_WE:
			return go_on(c, request, result);
		case OWNER_ASK_BYTES:
			return wd_hash(c, request, MOVE_HASHED, c->op.path);
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
		return wd_look(c, request, MOVE_TARGET_LOOKED, c->target);
	return fail(result, CS_FAIL_GONE, c->op.path, "is not there any more");
}

static CsStep
target_looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
			  CsResult *result)
{
	switch (wd_looked(c, answer, c->target))
	{
		case WD_ABSENT:
			return fail(result, CS_FAIL_GONE, c->op.path,
						"is not there any more");
		case WD_FAILED:
			return give_failure(c, result);
		default:
			break;
	}
	switch (owner_of(c))
	{
		case OWNER_WE:
			return done(c, result);
		case OWNER_ASK_BYTES:
			return wd_hash(c, request, MOVE_TARGET_HASHED, c->target);
		default:
			return not_the_target(c, request, result);
	}
}

static CsStep
moved(CsConversation *c, const CsResponse *answer, CsRequest *request,
	  CsResult *result)
{
	int status = answer->error == 0 ? answer->status : 0;
	char *folder;

	if (wd_good(answer))
		return wd_look(c, request, MOVE_DONE_LOOKED, c->target);
	if (status == 412 && c->op.kind == CS_OP_TRASH && next_number(c))
		return move_it(c, request);
	if (status == 412)
		return fail(result, CS_FAIL_CONFLICT, c->target, "is taken");
	folder = cs_path_parent(c->target);
	wd_forget(c->service, folder);
	pfree(folder);
	wd_failure(c, &c->failure, answer, "move", c->op.path);
	if (status == 404 || status == 409)
		return fail(result, CS_FAIL_RETRY_NOW, c->op.path,
					"or the folder it was to move to was removed meanwhile");
	/* perhaps it was done all the same */
	if (wd_lost(answer))
		return wd_look(c, request, MOVE_DONE_LOOKED, c->target);
	return give_failure(c, result);
}

/* As it is there now; after a lost answer: if it is. */
static CsStep
done_looked(CsConversation *c, const CsResponse *answer, CsResult *result)
{
	bool lost = c->failure.failure_class != CS_FAIL_NONE;
	CsFailure failure = c->failure;
	WdLook look = wd_looked(c, answer, c->target);

	if (lost)
	{
		if (look == WD_THERE && owner_of(c) == OWNER_WE)
			return done(c, result);
		result->failure = failure;
		return CS_STEP_FAILED;
	}
	if (look == WD_THERE)
		return done(c, result);
	if (look == WD_ABSENT)
		return fail(result, CS_FAIL_RETRY_NOW, c->target,
					"is not there, though it was moved there");
	return give_failure(c, result);
}

CsStep
wd_move(CsConversation *c, const CsResponse *answer, CsRequest *request,
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
			return wd_look(c, request, MOVE_LOOKED, c->op.path);
		case MOVE_LOOKED:
			return looked(c, answer, request, result);
		case MOVE_HASHED:
		case MOVE_TARGET_HASHED:
		{
			bool target = c->phase == MOVE_TARGET_HASHED;
			WdHashed hashed =
				wd_hashed(c, answer, target ? c->target : c->op.path);

			if (hashed == WD_HASH_FAILED)
				return give_failure(c, result);
			if (hashed == WD_HASHED && has_intended_bytes(c))
				return target ? done(c, result) : go_on(c, request, result);
			if (target)
				return not_the_target(c, request, result);
			return fail(result, CS_FAIL_CONFLICT, c->op.path,
						"was made or changed by somebody else");
		}
		case MOVE_TARGET_LOOKED:
			return target_looked(c, answer, request, result);
		case MOVE_FOLDER_MADE:
			return folder_made(c, wd_made(c, answer, request), request, result);
		case MOVE_MOVED:
			return moved(c, answer, request, result);
		default: /* MOVE_DONE_LOOKED */
			return done_looked(c, answer, result);
	}
}
