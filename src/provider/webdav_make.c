/*
 * webdav_make.c
 *	  Folders of the WebDAV provider: made by MKCOL from the lowest level that
 *	  is missing, and remembered, so that a known folder costs no request. What
 *	  is remembered is a hint: a folder that somebody removed meanwhile shows
 *	  itself with the next file that goes there, and is forgotten.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/path.h"
#include "webdav.h"

static uint64
hash_of(const char *path)
{
	uint64 hash = UINT64CONST(14695981039346656037);

	for (; *path != '\0'; path++)
	{
		hash ^= (unsigned char) *path;
		hash *= UINT64CONST(1099511628211);
	}
	return hash != 0 ? hash : 1;
}

bool
wd_known(const WdService *service, const char *path, const char **id)
{
	uint64 hash = hash_of(path);
	const WdKnown *known = &service->known[hash % WD_KNOWN];

	if (known->hash != hash)
		return false;
	*id = known->id[0] != '\0' ? known->id : NULL;
	return true;
}

void
wd_remember(WdService *service, const char *path, const char *id)
{
	uint64 hash = hash_of(path);
	WdKnown *known = &service->known[hash % WD_KNOWN];

	if (id != NULL && strlen(id) >= WD_ID)
		return;
	known->hash = hash;
	strlcpy(known->id, id != NULL ? id : "", WD_ID);
}

void
wd_forget(WdService *service, const char *path)
{
	char *level = pstrdup(path);

	while (strcmp(level, "/") != 0)
	{
		uint64 hash = hash_of(level);
		char *parent = cs_path_parent(level);

		if (service->known[hash % WD_KNOWN].hash == hash)
			service->known[hash % WD_KNOWN].hash = 0;
		pfree(level);
		level = parent;
	}
	pfree(level);
}

static WdSub
ask_level(CsConversation *c, CsRequest *request)
{
	WdMaking *making = &c->making;

	if (++making->asked > 3 * making->n_levels + 3)
	{
		cs_failure_set(&c->failure, CS_FAIL_BROKEN, NULL,
					   "could not make folder \"%s\": the server says in turn "
					   "that it is there and that it is not",
					   making->levels[making->at]);
		return WD_FAIL;
	}
	making->looking = false;
	wd_ask(c, request, c->phase, "MKCOL", making->levels[making->at], true);
	return WD_ASK;
}

static void
set_levels(WdMaking *making, const char *path)
{
	const char *slash = path;
	int n = 0;

	for (const char *p = path; *p != '\0'; p++)
		n += *p == '/';
	for (int i = 0; i < making->n_levels; i++)
		pfree(making->levels[i]);
	wd_free(making->levels);
	wd_free(making->id);
	memset(making, 0, sizeof(*making));
	making->levels = palloc(Max(n, 1) * sizeof(char *));
	while (strcmp(path, "/") != 0 && slash != NULL)
	{
		slash = strchr(slash + 1, '/');
		making->levels[making->n_levels++] =
			slash != NULL ? pnstrdup(path, slash - path) : pstrdup(path);
	}
}

WdSub
wd_make(CsConversation *c, CsRequest *request, int phase, const char *path)
{
	const char *id = NULL;

	set_levels(&c->making, path);
	c->phase = phase;
	if (c->making.n_levels == 0)
		return WD_OK;
	c->making.at = c->making.n_levels - 1;
	if (wd_known(c->service, path, &id))
	{
		c->making.id = wd_copy(id);
		return WD_OK;
	}
	return ask_level(c, request);
}

/* The level is there: on to the one below. */
static WdSub
level_there(CsConversation *c, CsRequest *request, const char *id)
{
	WdMaking *making = &c->making;

	wd_remember(c->service, making->levels[making->at], id);
	wd_free(making->id);
	making->id = wd_copy(id);
	if (making->at == making->n_levels - 1)
		return WD_OK;
	making->at++;
	return ask_level(c, request);
}

/* MKCOL was refused: because there is something already? */
static WdSub
looked(CsConversation *c, const CsResponse *answer, CsRequest *request)
{
	WdMaking *making = &c->making;
	const char *level = making->levels[making->at];
	CsFailure refusal = c->failure;
	char *id;
	WdSub sub;

	switch (wd_looked(c, answer, level))
	{
		case WD_THERE:
			if (c->entry.kind != CS_ENTRY_FOLDER)
			{
				cs_failure_set(&c->failure, CS_FAIL_CONFLICT, NULL,
							   "\"%s\" is there and is no folder", level);
				return WD_FAIL;
			}
			id = wd_copy(c->entry.id);
			sub = level_there(c, request, id);
			wd_free(id);
			return sub;
		case WD_ABSENT:
			c->failure = refusal;
			return WD_FAIL;
		default:
			if (refusal.failure_class == CS_FAIL_FORBIDDEN)
				c->failure = refusal;
			return WD_FAIL;
	}
}

WdSub
wd_made(CsConversation *c, const CsResponse *answer, CsRequest *request)
{
	WdMaking *making = &c->making;
	const char *level = making->levels[making->at];

	if (making->looking)
		return looked(c, answer, request);
	if (wd_good(answer))
	{
		char *id = wd_header_id(answer);
		WdSub sub;

		making->made = true;
		/* by a level that was made there is nothing yet; 201 alone says so */
		making->made_last = answer->status == 201 && making->at == making->n_levels - 1;
		sub = level_there(c, request, id);
		wd_free(id);
		return sub;
	}
	if (answer->error == 0 &&
		(answer->status == 409 || answer->status == 404) && making->at > 0)
	{
		wd_forget(c->service, level);
		making->at--;
		return ask_level(c, request);
	}
	wd_failure(c, &c->failure, answer, "make folder", level);
	if (answer->error != 0 ||
		cs_failure_is_connections(c->failure.failure_class))
		return WD_FAIL;
	if (answer->status == 409 || answer->status == 404)
	{
		/* not even the first level can be made */
		cs_failure_set(&c->failure, CS_FAIL_UNREACHABLE,
					   "Is the endpoint the address of a folder that is there?",
					   "could not make folder \"%s\": the folder of the "
					   "endpoint is not there",
					   level);
	}
	making->looking = true;
	wd_look(c, request, c->phase, level);
	return WD_ASK;
}

enum
{
	MKDIR_START,
	MKDIR_ROOT_LOOKED,
	MKDIR_MAKING
};

static CsStep
done(CsConversation *c, CsResult *result)
{
	CsEntry entry = {.kind = CS_ENTRY_FOLDER, .size = -1};

	entry.path = c->op.path;
	entry.id = c->making.id;
	wd_web_url(c->service, &entry);
	wd_keep(c, &entry);
	result->entry = c->entry;
	result->made = c->making.made_last;
	return CS_STEP_DONE;
}

CsStep
wd_mkdir(CsConversation *c, const CsResponse *answer, CsRequest *request,
		 CsResult *result)
{
	WdSub sub;

	if (c->phase == MKDIR_START && strcmp(c->op.path, "/") == 0)
		return wd_look(c, request, MKDIR_ROOT_LOOKED, "/");
	if (c->phase == MKDIR_ROOT_LOOKED)
	{
		if (wd_looked(c, answer, "/") == WD_THERE)
		{
			result->entry = c->entry;
			return CS_STEP_DONE;
		}
		result->failure = c->failure;
		return CS_STEP_FAILED;
	}
	if (c->phase == MKDIR_START)
		sub = wd_make(c, request, MKDIR_MAKING, c->op.path);
	else
		sub = wd_made(c, answer, request);
	if (sub == WD_ASK)
		return CS_STEP_REQUEST;
	if (sub == WD_OK)
		return done(c, result);
	result->failure = c->failure;
	return CS_STEP_FAILED;
}
