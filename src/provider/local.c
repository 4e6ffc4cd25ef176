/*
 * local.c
 *	  The provider "local": a folder of the server's own file system, as
 *	  conversations without I/O. Here: what it is, and the small operations
 *	  (ABOUT, STAT, MKDIR, GET); the others are in local_list.c, local_put.c and
 *	  local_move.c.
 *
 * Relies on include/cloudsync/provider.h, base/ and the common library alone.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/provider.h"
#include "local.h"

CsStep
cs_local_ask(CsConversation *c, CsRequest *request, int phase,
			 CsRequestKind kind, const char *path)
{
	memset(request, 0, sizeof(*request));
	request->kind = kind;
	request->path = path;
	request->length = -1;
	c->phase = phase;
	return CS_STEP_REQUEST;
}

/* What an errno value means to the engine, and what a person can do about it.
 */
static const struct
{
	int error;
	CsFailureClass failure_class;
	const char *advice;
} errors[] = {
	{ENOENT, CS_FAIL_GONE, NULL},
	{EACCES, CS_FAIL_FORBIDDEN,
	 "The server's operating system user lacks the permission."},
	{EPERM, CS_FAIL_FORBIDDEN,
	 "The server's operating system user lacks the permission."},
	{EROFS, CS_FAIL_UNREACHABLE, "The file system is mounted read-only."},
	{ENODEV, CS_FAIL_UNREACHABLE,
	 "The connection's folder was removed or its file system is not mounted."},
	{ENOTCONN, CS_FAIL_UNREACHABLE, NULL},
	{EHOSTDOWN, CS_FAIL_UNREACHABLE, NULL},
	{ETIMEDOUT, CS_FAIL_UNREACHABLE, NULL},
	{ENOSPC, CS_FAIL_QUOTA, "Free some space on the file system."},
	{EDQUOT, CS_FAIL_QUOTA,
	 "The disk quota of the server's operating system user is used up."},
	{EFBIG, CS_FAIL_REFUSED,
	 "The file is larger than the file system or the process may write."},
	{ENAMETOOLONG, CS_FAIL_REFUSED,
	 "The name is longer than the file system allows."},
	{EINVAL, CS_FAIL_REFUSED, "The file system does not accept the name."},
	{EILSEQ, CS_FAIL_REFUSED, "The file system does not accept the name."},
	{ELOOP, CS_FAIL_REFUSED,
	 "A symbolic link is on the way, and links are never followed."},
	{EOPNOTSUPP, CS_FAIL_REFUSED, "It is not a regular file."},
	{EXDEV, CS_FAIL_REFUSED, "The two folders are on different file systems."},
	{ENOTDIR, CS_FAIL_CONFLICT,
	 "Something that is no folder stands where a folder should be."},
	{EISDIR, CS_FAIL_CONFLICT, "A folder stands where a file should be."},
	{EEXIST, CS_FAIL_CONFLICT, "The name is taken."},
	{ENOTEMPTY, CS_FAIL_CONFLICT, "The name is taken."},
	{ESTALE, CS_FAIL_CHANGED, "The file changed while it was read."},
	{EIO, CS_FAIL_RETRY_LATER, NULL},
	{EMFILE, CS_FAIL_RETRY_LATER, NULL},
	{ENFILE, CS_FAIL_RETRY_LATER, NULL},
	{ENOMEM, CS_FAIL_RETRY_LATER, NULL},
	{EBUSY, CS_FAIL_RETRY_LATER, NULL},
	{ETXTBSY, CS_FAIL_RETRY_LATER, NULL},
	{EAGAIN, CS_FAIL_RETRY_LATER, NULL},
	{EINTR, CS_FAIL_RETRY_LATER, NULL},
};

void
cs_local_failure(CsFailure *failure, const CsResponse *answer,
				 const char *action, const char *path)
{
	CsFailureClass failure_class = CS_FAIL_BROKEN;
	const char *words = answer->detail != NULL ? answer->detail : "";
	const char *advice = NULL;
	char detail[CS_DETAIL_MAX];

	if (answer->body_failure != NULL)
	{
		*failure = *answer->body_failure;
		return;
	}
	for (int i = 0; i < (int) lengthof(errors); i++)
	{
		if (errors[i].error == answer->error)
		{
			failure_class = errors[i].failure_class;
			advice = errors[i].advice;
		}
	}
	/* Without the root itself nothing can be said about any file. */
	if (failure_class == CS_FAIL_GONE && strcmp(path, "/") == 0)
		failure_class = CS_FAIL_UNREACHABLE;
	if (advice != NULL)
		snprintf(detail, sizeof(detail), "%s%s%s", words,
				 words[0] != '\0' ? ". " : "", advice);
	else
		strlcpy(detail, words, sizeof(detail));
	cs_failure_set(failure, failure_class, detail, "could not %s \"%s\"",
				   action, path);
}

CsStep
cs_local_failed(CsResult *result, const CsResponse *answer, const char *action,
				const char *path)
{
	cs_local_failure(&result->failure, answer, action, path);
	return CS_STEP_FAILED;
}

static char *
copy_string(const char *string)
{
	return string != NULL ? pstrdup(string) : NULL;
}

static void
free_string(const char *string)
{
	if (string != NULL)
		pfree((char *) string);
}

void
cs_local_keep(CsConversation *c, const CsEntry *entry)
{
	CsEntry copy = *entry;

	copy.path = copy_string(entry->path);
	copy.name = copy_string(entry->name);
	copy.id = copy_string(entry->id);
	copy.version = copy_string(entry->version);
	copy.web_url = copy_string(entry->web_url);
	copy.refused = copy_string(entry->refused);
	free_string(c->entry.path);
	free_string(c->entry.name);
	free_string(c->entry.id);
	free_string(c->entry.version);
	free_string(c->entry.web_url);
	free_string(c->entry.refused);
	c->entry = copy;
}

bool
cs_local_same(const CsConversation *c, const CsEntry *entry)
{
	return entry->version != NULL && c->entry.version != NULL &&
		   entry->kind == c->entry.kind &&
		   strcmp(entry->version, c->entry.version) == 0;
}

bool
cs_local_absent(const CsResponse *answer)
{
	return answer->error == ENOENT || answer->error == ENOTDIR ||
		   answer->error == ELOOP;
}

void
cs_local_push_folder(CsConversation *c, const char *path)
{
	if (c->n_folders == c->folders_room)
	{
		c->folders_room = c->folders_room > 0 ? 2 * c->folders_room : 16;
		if (c->folders == NULL)
			c->folders = palloc(c->folders_room * sizeof(char *));
		else
			c->folders = repalloc(c->folders, c->folders_room * sizeof(char *));
	}
	c->folders[c->n_folders++] = pstrdup(path);
}

void
cs_local_levels(CsConversation *c, const char *path)
{
	const char *slash = path;

	c->n_folders = 0;
	c->level = 0;
	while (slash != NULL && strcmp(path, "/") != 0)
	{
		char *level = pstrdup(path);

		slash = strchr(slash + 1, '/');
		if (slash != NULL)
			level[slash - path] = '\0';
		cs_local_push_folder(c, level);
		pfree(level);
	}
}

/* ABOUT: is the root there, and how full is its file system? */
static CsStep
about(CsConversation *c, const CsResponse *answer, CsRequest *request,
	  CsResult *result)
{
	if (answer == NULL)
		return cs_local_ask(c, request, 0, CS_REQ_FILE_SPACE, "/");
	if (answer->error != 0)
		return cs_local_failed(result, answer, "look at", "/");
	cs_local_keep(c, &answer->entry);
	result->entry = c->entry;
	result->used_bytes = answer->used_bytes;
	result->quota_bytes = answer->quota_bytes;
	return CS_STEP_DONE;
}

static CsStep
stat_entry(CsConversation *c, const CsResponse *answer, CsRequest *request,
		   CsResult *result)
{
	if (answer == NULL)
		return cs_local_ask(c, request, 0, CS_REQ_FILE_STAT, c->op.path);
	if (answer->error != 0)
		return cs_local_failed(result, answer, "look at", c->op.path);
	cs_local_keep(c, &answer->entry);
	result->entry = c->entry;
	return CS_STEP_DONE;
}

/* DISCARD: only ever what has a temporary name. */
static CsStep
discard(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	const char *name = strrchr(c->op.path, '/');

	if (name == NULL || !cs_local_is_temp_name(name + 1))
	{
		cs_failure_set(&result->failure, CS_FAIL_BROKEN, NULL,
					   "\"%s\" is no temporary file", c->op.path);
		return CS_STEP_FAILED;
	}
	if (answer == NULL)
		return cs_local_ask(c, request, 0, CS_REQ_FILE_UNLINK, c->op.path);
	if (answer->error != 0 && !cs_local_absent(answer))
		return cs_local_failed(result, answer, "remove", c->op.path);
	return CS_STEP_DONE;
}

enum
{
	MKDIR_START,
	MKDIR_LOOKED,
	MKDIR_MADE,
	MKDIR_LOOKED_AGAIN
};

/* MKDIR: looks first, since mostly the folder is there; else level by level. */
static CsStep
make_folder(CsConversation *c, const CsResponse *answer, CsRequest *request,
			CsResult *result)
{
	if (c->phase == MKDIR_START)
		return cs_local_ask(c, request, MKDIR_LOOKED, CS_REQ_FILE_STAT,
							c->op.path);
	if (c->phase == MKDIR_LOOKED && answer->error == ENOENT &&
		strcmp(c->op.path, "/") != 0)
	{
		cs_local_levels(c, c->op.path);
		return cs_local_ask(c, request, MKDIR_MADE, CS_REQ_FILE_MKDIR,
							c->folders[0]);
	}
	if (c->phase == MKDIR_MADE)
	{
		if (answer->error != 0 && answer->error != EEXIST)
			return cs_local_failed(result, answer, "make folder",
								   c->folders[c->level]);
		if (++c->level < c->n_folders)
			return cs_local_ask(c, request, MKDIR_MADE, CS_REQ_FILE_MKDIR,
								c->folders[c->level]);
		return cs_local_ask(c, request, MKDIR_LOOKED_AGAIN, CS_REQ_FILE_STAT,
							c->op.path);
	}
	if (answer->error != 0)
		return cs_local_failed(result, answer, "make folder", c->op.path);
	cs_local_keep(c, &answer->entry);
	result->entry = c->entry;
	if (c->entry.kind == CS_ENTRY_FOLDER)
		return CS_STEP_DONE;
	cs_failure_set(&result->failure, CS_FAIL_CONFLICT, NULL,
				   "\"%s\" is there and is no folder", c->op.path);
	return CS_STEP_FAILED;
}

enum
{
	GET_START,
	GET_LOOKED,
	GET_READ
};

static CsStep
get_failed(CsConversation *c, CsResult *result, CsFailureClass failure_class,
		   const char *what)
{
	cs_failure_set(&result->failure, failure_class, c->entry.refused,
				   "\"%s\" %s", c->op.path, what);
	return CS_STEP_FAILED;
}

/*
 * GET: what is read must be the file that was looked at, from the first byte to
 * the last. The checksum is of the very bytes that the store holds, and there
 * is no other word of it to compare with.
 */
static CsStep
get(CsConversation *c, const CsResponse *answer, CsRequest *request,
	CsResult *result)
{
	if (c->phase == GET_START)
		return cs_local_ask(c, request, GET_LOOKED, CS_REQ_FILE_STAT,
							c->op.path);
	if (answer->error != 0)
		return cs_local_failed(result, answer, "read", c->op.path);
	if (c->phase == GET_LOOKED)
	{
		cs_local_keep(c, &answer->entry);
		if (c->entry.kind == CS_ENTRY_FOLDER)
			return get_failed(c, result, CS_FAIL_REFUSED, "is a folder");
		if (c->entry.kind != CS_ENTRY_FILE || c->entry.refused != NULL)
			return get_failed(c, result, CS_FAIL_REFUSED,
							  "is not a regular file");
		if (c->op.expect_version != NULL &&
			(c->entry.version == NULL ||
			 strcmp(c->op.expect_version, c->entry.version) != 0))
			return get_failed(c, result, CS_FAIL_CHANGED,
							  "is another version than the one listed");
		return cs_local_ask(c, request, GET_READ, CS_REQ_FILE_READ, c->op.path);
	}
	if (!cs_local_same(c, &answer->entry) || answer->size != c->entry.size)
		return get_failed(c, result, CS_FAIL_CHANGED,
						  "changed while it was read");
	result->entry = c->entry;
	result->size = answer->size;
	memcpy(result->sha256, answer->sha256, CS_SHA256_LENGTH);
	result->verified = true;
	return CS_STEP_DONE;
}

static CsConversation *
begin(CsService *service, const CsOp *op)
{
	CsConversation *c = palloc0(sizeof(CsConversation));

	cs_op_copy(&c->op, op);
	switch (op->kind)
	{
		case CS_OP_ABOUT:
			c->step = about;
			break;
		case CS_OP_STAT:
			c->step = stat_entry;
			break;
		case CS_OP_LIST:
			c->step = cs_local_list;
			break;
		case CS_OP_MKDIR:
			c->step = make_folder;
			break;
		case CS_OP_PUT:
			c->step = cs_local_put;
			break;
		case CS_OP_GET:
			c->step = get;
			break;
		case CS_OP_DISCARD:
			c->step = discard;
			break;
		case CS_OP_PUT_MANY:
		case CS_OP_TOKEN:
		case CS_OP_WATCH:
			c->step = cs_step_not_offered;
			break;
		case CS_OP_MOVE:
		case CS_OP_TRASH:
			c->step = cs_local_move;
			break;
	}
	return c;
}

static CsStep
next(CsConversation *c, const CsResponse *answer, CsRequest *request,
	 CsResult *result)
{
	CsStep step;

	memset(request, 0, sizeof(*request));
	memset(result, 0, sizeof(*result));
	result->used_bytes = -1;
	result->quota_bytes = -1;
	step = c->step(c, answer, request, result);
	/* A path that leads through a file is, to a reader, simply not there. */
	if (step == CS_STEP_FAILED && answer != NULL && answer->error == ENOTDIR &&
		(c->op.kind == CS_OP_STAT || c->op.kind == CS_OP_GET ||
		 c->op.kind == CS_OP_LIST))
		result->failure.failure_class = CS_FAIL_GONE;
	return step;
}

static const CsProviderKey options[] = {
	{"path", "Folder below cloudsync.local_root; the whole of it if not given.",
	 false, CS_KEY_TEXT},
	{NULL},
};

static const CsProviderKey credentials[] = {{NULL}};

const CsProvider cs_provider_local = {
	.name = "local",
	.title = "Local folder",
	.authentication = "none",
	.options = options,
	.credentials = credentials,
	.checksum = "sha256",
	.max_file_size = 0,
	.incremental = false,
	.stable_ids = false,
	.has_trash = false,
	.needs_stable_file = true,
	.names = {.max_name_bytes = 255, .forbidden = ""},
	.begin = begin,
	.next = next,
};
