/*
 * dropbox.c
 *	  The provider "dropbox": version 2 of Dropbox's API, as conversations
 *	  without I/O. Here: what it is, its options and its OAuth, how a
 *	  conversation goes from step to step, and the small operations (ABOUT, STAT,
 *	  MKDIR, DISCARD); the others are in dropbox_list.c, dropbox_get.c,
 *	  dropbox_put.c, dropbox_session.c, dropbox_many.c, dropbox_move.c and
 *	  dropbox_watch.c.
 *
 * Relies on include/cloudsync/provider.h, base/ and the common library alone.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/http.h"
#include "cloudsync/oauth.h"
#include "cloudsync/path.h"
#include "dropbox.h"
#ifndef FRONTEND
#include "utils/memutils.h"
#endif

#define API "https://api.dropboxapi.com"
#define CONTENT "https://content.dropboxapi.com"
#define NOTIFY "https://notify.dropboxapi.com"
#define WWW "https://www.dropbox.com"

#define BUSY_FIRST_MS 1000
#define BUSY_MAX_MS                                                            \
	30000 /* for longer than this a conversation does not wait */
#define BUSY_APART_MS 500

static const CsProviderKey options[] = {
	{"api_endpoint", "URL of the API's host; " API " if not given.", false,
	 CS_KEY_TEXT},
	{"content_endpoint",
	 "URL of the host for contents; " CONTENT " if not given.", false,
	 CS_KEY_TEXT},
	{"notify_endpoint",
	 "URL of the host for notifications; " NOTIFY " if not given.", false,
	 CS_KEY_TEXT},
	{"www_endpoint", "URL of the consent page's host; " WWW " if not given.",
	 false, CS_KEY_TEXT},
	{"path_root",
	 "What paths begin at: home (the member's own folder, as if not given), "
	 "root (the team's space) or a namespace's number.",
	 false, CS_KEY_TEXT},
	{"select_user",
	 "Member (dbmid:...) for whom it acts, where the refresh token is a whole "
	 "team's.",
	 false, CS_KEY_TEXT},
	{"longpoll",
	 "Whether folders are watched, so that documents are collected as they come; "
	 "false if not given.",
	 false, CS_KEY_BOOLEAN},
	{NULL},
};

static const CsProviderKey credentials[] = {
	{"refresh_token", "Refresh token; by consent if not given.", false,
	 CS_KEY_TEXT},
	{NULL},
};

static const char *
option(const CsOption *list, const char *key)
{
	for (; list->key != NULL; list++)
	{
		if (strcmp(list->key, key) == 0)
			return list->value != NULL && list->value[0] != '\0' ? list->value
																 : NULL;
	}
	return NULL;
}

static CsService *
bad_option(CsFailure *failure, const char *key, const char *why)
{
	cs_failure_set(failure, CS_FAIL_REFUSED,
				   "docs/providers/dropbox.md explains the options.",
				   "option \"%s\" %s", key, why);
	return NULL;
}

/* The address that an option names, or the service's; NULL: it is none. */
static char *
address(const CsOption *list, const char *key, const char *its_own,
		const char **why)
{
	const char *value = option(list, key);

	return cs_url_normalize(value != NULL ? value : its_own, why);
}

/* See oauth.h. An endpoint that is none was refused when it was set. */
static char *
below(const CsOption *list, const char *key, const char *its_own,
	  const char *path)
{
	const char *why;
	char *url = address(list, key, its_own, &why);

	return url != NULL ? psprintf("%s%s", url, path) : NULL;
}

static char *
authorize_url(const CsOption *list)
{
	return below(list, "www_endpoint", WWW, "/oauth2/authorize");
}

static char *
token_url(const CsOption *list)
{
	return below(list, "api_endpoint", API, "/oauth2/token");
}

static char *
revoke_url(const CsOption *list)
{
	return below(list, "api_endpoint", API, "/2/auth/token/revoke");
}

static char *
no_url(const CsOption *list)
{
	return NULL;
}

/* files.metadata.write is for properties and tags alone. */
static char *
scopes(const CsOption *list)
{
	return pstrdup("account_info.read files.metadata.read files.content.read "
				   "files.content.write");
}

static const CsOAuth oauth = {
	.authorize_url = authorize_url,
	.token_url = token_url,
	.device_url = no_url,
	.revoke_url = revoke_url,
	.scopes = scopes,
	.authorize_extra = "token_access_type=offline",
	.code_is_shown = true,
	.revoke_by_access = true,
};

/* Can it be a namespace's number? */
static bool
is_namespace(const char *value)
{
	size_t len = strlen(value);

	return len > 0 && len <= 20 && strspn(value, "0123456789") == len;
}

/* The value of Dropbox-API-Path-Root. False: the option says nothing known. */
static bool
read_root(DbxService *service, const char *value)
{
	if (value == NULL || strcmp(value, "home") == 0)
		return true;
	if (strcmp(value, "root") == 0)
	{
		service->team_root = true;
		return true;
	}
	if (!is_namespace(value))
		return false;
	service->root =
		psprintf("{\".tag\":\"namespace_id\",\"namespace_id\":\"%s\"}", value);
	return true;
}

/* The value of Dropbox-API-Select-User. False: it can be no member's id. */
static bool
read_member(DbxService *service, const char *value)
{
	if (value == NULL)
		return true;
	if (strncmp(value, "dbmid:", 6) != 0 || strlen(value) > 100 ||
		strspn(value + 6, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
						  "abcdefghijklmnopqrstuvwxyz0123456789_-") !=
			strlen(value + 6) ||
		value[6] == '\0')
		return false;
	service->member = pstrdup(value);
	return true;
}

static CsService *
open_service(const CsOption *list, CsFailure *failure)
{
	DbxService *service = palloc0(sizeof(DbxService));
	const char *why = NULL;
	char *api = address(list, "api_endpoint", API, &why);
	char *content;
	char *notify;

	if (api == NULL)
		return bad_option(failure, "api_endpoint", why);
	content = address(list, "content_endpoint", CONTENT, &why);
	if (content == NULL)
		return bad_option(failure, "content_endpoint", why);
	notify = address(list, "notify_endpoint", NOTIFY, &why);
	if (notify == NULL)
		return bad_option(failure, "notify_endpoint", why);
	if (address(list, "www_endpoint", WWW, &why) == NULL)
		return bad_option(failure, "www_endpoint", why);
	if (!read_root(service, option(list, "path_root")))
		return bad_option(failure, "path_root",
						  "must be home, root or a namespace's number");
	if (!read_member(service, option(list, "select_user")))
		return bad_option(failure, "select_user",
						  "must be a team member's id, which begins with dbmid:");
	service->head.url = api;
	service->head.more_urls[0] = content;
	service->content = content;
	service->notify = notify;
	service->head.http2 = true;
	service->commit_size = DBX_MAX_COMMIT;
	return &service->head;
}

/* Void routes take null, and nothing else (trap 2). */
static CsStep
ask_account(CsConversation *c, CsRequest *request, int phase)
{
	return cs_dropbox_rpc(c, request, phase, "users/get_current_account",
						  "null");
}

enum
{
	ABOUT_START,
	ABOUT_ACCOUNT,
	ABOUT_SPACE
};

/* ABOUT: whose it is, and how much room there is: of a team, the team's. */
static CsStep
about(CsConversation *c, const CsResponse *answer, CsRequest *request,
	  CsResult *result)
{
	const CsJson *json;
	const CsJson *allocation;
	int64 cap = 0;

	if (c->phase == ABOUT_START)
		return ask_account(c, request, ABOUT_ACCOUNT);
	if (answer->error != 0 || answer->status != 200)
		return cs_dropbox_failed(c, result, answer, "look at", "/");
	json = cs_dropbox_json(answer);
	if (c->phase == ABOUT_ACCOUNT)
	{
		if (cs_json_text(json, "account_id") == NULL)
			return cs_dropbox_nonsense(result, "/");
		c->account = cs_dropbox_keep(c, cs_json_text(json, "account_id"));
		c->account_name = cs_dropbox_keep(c, cs_json_text(json, "email"));
		return cs_dropbox_rpc(c, request, ABOUT_SPACE, "users/get_space_usage",
							  "null");
	}
	allocation = cs_json_member(json, "allocation");
	if (cs_json_text(allocation, ".tag") == NULL)
		return cs_dropbox_nonsense(result, "/");
	if (!cs_json_int64(json, "used", &result->used_bytes))
		result->used_bytes = -1;
	if (!cs_json_int64(allocation, "allocated", &result->quota_bytes))
		result->quota_bytes = -1;
	if (strcmp(cs_json_text(allocation, ".tag"), "team") == 0)
	{
		/* a member's own cap, if there is one, or the team's room */
		if (cs_json_int64(allocation, "user_within_team_space_allocated",
						  &cap) &&
			cap > 0)
			result->quota_bytes = cap;
		else
			(void) cs_json_int64(allocation, "used", &result->used_bytes);
	}
	result->account = c->account;
	result->account_name = c->account_name;
	return cs_dropbox_folder_entry(result, "/", NULL);
}

enum
{
	STAT_START,
	STAT_LOOKED,
	STAT_ROOT
};

static CsStep
stat_entry(CsConversation *c, const CsResponse *answer, CsRequest *request,
		   CsResult *result)
{
	const CsJson *json;
	const char *name;

	if (c->phase == STAT_START && c->op.id == NULL &&
		strcmp(c->op.path, "/") == 0)
		return cs_dropbox_rpc(c, request, STAT_ROOT, "files/list_folder",
							  "{\"path\":\"\",\"limit\":1}");
	if (c->phase == STAT_START)
		return cs_dropbox_look(c, request, STAT_LOOKED,
							   c->op.id != NULL ? c->op.id : c->op.path);
	if (answer->error != 0 || answer->status != 200)
		return cs_dropbox_failed(c, result, answer, "look at", c->op.path);
	if (c->phase == STAT_ROOT)
		return cs_dropbox_folder_entry(result, "/", NULL);
	json = cs_dropbox_json(answer);
	name = cs_json_text(json, "name");
	if (name == NULL ||
		!cs_dropbox_entry(
			&result->entry, json,
			c->op.id != NULL ? NULL : cs_dropbox_spelled(c->op.path, name)))
		return cs_dropbox_nonsense(result, c->op.path);
	return CS_STEP_DONE;
}

enum
{
	MKDIR_START,
	MKDIR_MADE,
	MKDIR_LOOKED
};

/* MKDIR: parents are made by the service; one that is there is as good. */
static CsStep
make_folder(CsConversation *c, const CsResponse *answer, CsRequest *request,
			CsResult *result)
{
	const CsJson *json;
	const char *id;

	if (strcmp(c->op.path, "/") == 0)
		return cs_dropbox_folder_entry(result, "/", NULL);
	if (c->phase == MKDIR_START)
	{
		StringInfoData text;

		initStringInfo(&text);
		appendStringInfoString(&text, "{\"path\":");
		cs_json_quote_ascii(&text, c->op.path);
		appendStringInfoString(&text, ",\"autorename\":false}");
		return cs_dropbox_rpc(c, request, MKDIR_MADE, "files/create_folder_v2",
							  text.data);
	}
	if (c->phase == MKDIR_MADE &&
		((answer->status == 409 && cs_dropbox_has_tag(answer, "conflict") &&
		  cs_dropbox_has_tag(answer, "folder")) ||
		 cs_dropbox_may_be_done(answer)))
		return cs_dropbox_look(c, request, MKDIR_LOOKED, c->op.path);
	if (answer->error != 0 || answer->status != 200)
	{
		(void) cs_dropbox_failed(c, result, answer, "make folder", c->op.path);
		/* removed or not made meanwhile: another attempt makes it */
		if (result->failure.failure_class == CS_FAIL_GONE)
			result->failure.failure_class = CS_FAIL_RETRY_LATER;
		return CS_STEP_FAILED;
	}
	json = cs_dropbox_json(answer);
	if (c->phase == MKDIR_MADE)
		json = cs_json_member(json, "metadata");
	id = cs_json_text(json, "id");
	if (id == NULL)
		return cs_dropbox_nonsense(result, c->op.path);
	if (cs_json_text(json, "rev") != NULL)
		return cs_dropbox_fail(result, CS_FAIL_CONFLICT, c->op.path,
							   "is a file");
	return cs_dropbox_folder_entry(result, c->op.path, id);
}

/*
 * DISCARD: a file appears whole or not at all. An upload session cannot be
 * ended; nobody sees it, and it is gone after seven days.
 */
static CsStep
discard(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	return CS_STEP_DONE;
}

static CsConversation *
begin(CsService *service, const CsOp *op)
{
	CsConversation *c = palloc0(sizeof(CsConversation));

	c->service = (DbxService *) service;
	cs_op_copy(&c->op, op);
#ifndef FRONTEND
	c->lasting = CurrentMemoryContext;
	c->passing = AllocSetContextCreate(c->lasting, "cloudsync dropbox",
									   ALLOCSET_DEFAULT_SIZES);
#endif
	switch (op->kind)
	{
		case CS_OP_ABOUT:
			c->step = about;
			break;
		case CS_OP_STAT:
			c->step = stat_entry;
			break;
		case CS_OP_LIST:
			c->step = cs_dropbox_list;
			break;
		case CS_OP_MKDIR:
			c->step = make_folder;
			break;
		case CS_OP_PUT:
			c->step = cs_dropbox_put;
			break;
		case CS_OP_GET:
			c->step = cs_dropbox_get;
			break;
		case CS_OP_MOVE:
			c->step = cs_dropbox_move;
			break;
		case CS_OP_TRASH:
			c->step = cs_dropbox_trash;
			break;
		case CS_OP_PUT_MANY:
			c->step = cs_dropbox_many;
			break;
		case CS_OP_DISCARD:
			c->step = discard;
			break;
		case CS_OP_WATCH:
			c->step = cs_dropbox_watch;
			break;
		case CS_OP_TOKEN:
			c->step = cs_step_not_offered;
			break;
	}
	return c;
}

/*
 * The service asks to wait: the same request is made again after that, or after
 * a while that grows, those that were put off together not at the same moment.
 * Longer waits are the owner's.
 */
static bool
put_off(CsConversation *c, const CsResponse *answer, CsRequest *request)
{
	int64 wait_ms;

	if (answer == NULL || !cs_dropbox_is_busy(answer, &wait_ms))
	{
		c->busy = 0;
		return false;
	}
	if (wait_ms > BUSY_MAX_MS || c->busy >= DBX_MAX_BUSY)
		return false;
	if (wait_ms < 0)
		wait_ms = (int64) BUSY_FIRST_MS << c->busy;
	c->busy++;
	*request = c->last;
	request->wait_ms = wait_ms + (c->service->turns++ * 137) % BUSY_APART_MS;
	return true;
}

/* With the option path_root => root: what is the account's root? */
static CsStep
ask_root(CsConversation *c, const CsResponse *answer, CsRequest *request,
		 CsResult *result)
{
	const char *id;

	if (!c->rooting)
	{
		c->rooting = true;
		return ask_account(c, request, 0);
	}
	if (answer->error != 0 || answer->status != 200)
		return cs_dropbox_failed(c, result, answer, "look at", "/");
	id = cs_json_text(cs_dropbox_json(answer), "root_info/root_namespace_id");
	if (id == NULL || !is_namespace(id))
		return cs_dropbox_nonsense(result, "/");
	c->rooting = false;
	if (c->service->root == NULL)
	{
#ifndef FRONTEND
		MemoryContext old =
			MemoryContextSwitchTo(GetMemoryChunkContext(c->service));
#endif

		c->service->root = psprintf("{\".tag\":\"root\",\"root\":\"%s\"}", id);
#ifndef FRONTEND
		MemoryContextSwitchTo(old);
#endif
	}
	return c->step(c, NULL, request, result);
}

static CsStep
next(CsConversation *c, const CsResponse *answer, CsRequest *request,
	 CsResult *result)
{
	CsStep step;
#ifndef FRONTEND
	MemoryContext old;
#endif

	memset(result, 0, sizeof(*result));
	result->used_bytes = -1;
	result->quota_bytes = -1;
#ifndef FRONTEND
	old = MemoryContextSwitchTo(c->passing);
#endif
	if (put_off(c, answer, request))
	{
#ifndef FRONTEND
		MemoryContextSwitchTo(old);
#endif
		return CS_STEP_REQUEST;
	}
	memset(request, 0, sizeof(*request));
#ifndef FRONTEND
	/* What the step before said is not needed any more. */
	MemoryContextReset(c->passing);
#endif
	if (c->rooting || (c->service->team_root && c->service->root == NULL &&
					   answer == NULL && c->phase == 0 &&
					   c->op.kind != CS_OP_WATCH))
		step = ask_root(c, answer, request, result);
	else
		step = c->step(c, answer, request, result);
#ifndef FRONTEND
	MemoryContextSwitchTo(old);
#endif
	c->last = *request;
	return step;
}

/* Nothing is asked for that would be given so. */
static CsStep
take(CsConversation *c, const char *buf, int64 len, CsResult *result)
{
	memset(result, 0, sizeof(*result));
	return cs_dropbox_fail(result, CS_FAIL_BROKEN, c->op.path,
						   "was given bytes that nobody asked for");
}

/* Refused as disallowed_name; so is "Icon\r", whose end is a '-' by then. */
static const char *const reserved[] = {
	"desktop.ini",	 "thumbs.db",	   ".DS_Store", ".dropbox",
	".dropbox.attr", ".dropbox.cache", NULL};

const CsProvider cs_provider_dropbox = {
	.name = "dropbox",
	.title = "Dropbox",
	.authentication = "OAuth 2.0 (authorization code with PKCE)",
	.options = options,
	.credentials = credentials,
	.checksum = "Dropbox content hash (SHA-256 of blocks)",
	.checksum_kind = CS_CHECKSUM_BLOCKS,
	.checksum_is_strong = true,
	.max_file_size = INT64CONST(2199019061248),
	.incremental = true,
	.feed_of_account = false,
	.watches = true,
	.put_many = DBX_MAX_COMMIT,
	.put_many_bytes = INT64CONST(8) * 1024 * 1024,
	.stable_ids = true,
	.has_trash = true,
	.look_before = false,
	.implied_folders = false,
	.needs_stable_file = false,
	.hosts = "api.dropboxapi.com, content.dropboxapi.com, "
			 "notify.dropboxapi.com, www.dropbox.com",
	.names = {.max_name_bytes = 255,
			  .forbidden = "\\",
			  .ignore_case = true,
			  .ignore_normal_form = true,
			  .trim_ends = true,
			  .reserved = reserved},
	.open = open_service,
	.oauth = &oauth,
	.begin = begin,
	.next = next,
	.take = take,
};
