/*
 * webdav.c
 *	  The provider "webdav": a folder of a WebDAV server (RFC 4918), such as
 *	  Nextcloud, ownCloud, Apache or nginx. Here: what it is, its service, and
 *	  what all operations share; webdav.h says what is in the other files.
 *
 * Relies on include/cloudsync/provider.h, base/ and the common library alone.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/path.h"
#include "webdav.h"

/* --- the service --------------------------------------------------------------- */

/* The decoded path of a normal URL, "" for none. palloc'd. */
static char *
decoded_path(const char *url)
{
	const char *host = strstr(url, "://") + 3;
	const char *path = strchr(host, '/');
	char *decoded;

	if (path == NULL)
		return pstrdup("");
	decoded = cs_url_decode(path, strlen(path));
	return decoded != NULL ? decoded : pstrdup("");
}

/*
 * Nextcloud and ownCloud: the address of a user's files,
 * ".../remote.php/dav/files/USER[/...]", says where uploads in chunks go.
 */
static void
find_uploads(WdService *service, const char *url)
{
	static const char files[] = "/remote.php/dav/files/";
	const char *at = strstr(url, files);
	const char *user;
	size_t before;

	if (at == NULL)
		return;
	before = (size_t) (at - url);
	user = at + sizeof(files) - 1;
	if (user[0] == '\0' || user[0] == '/')
		return;
	service->uploads =
		psprintf("%.*s/remote.php/dav/uploads/%.*s", (int) before, url,
				 (int) strcspn(user, "/"), user);
	service->files_page = psprintf("%.*s/index.php/f/", (int) before, url);
	/* both obey conditions, and PUT replaces in one step */
	service->conditions = WD_YES;
}

static CsService *
open_service(const CsOption *options, CsFailure *failure)
{
	WdService *service;
	const char *endpoint = NULL;
	const char *why = NULL;
	char *url;

	for (; options->key != NULL; options++)
	{
		if (strcmp(options->key, "endpoint") == 0)
			endpoint = options->value;
	}
	url = endpoint != NULL ? cs_url_normalize(endpoint, &why) : NULL;
	if (url == NULL)
	{
		cs_failure_set(failure, CS_FAIL_REFUSED,
					   "It must be the address of a WebDAV folder, such as "
					   "https://cloud.example.com/remote.php/dav/files/anna.",
					   "endpoint %s", why != NULL ? why : "is missing");
		return NULL;
	}
	service = palloc0(sizeof(WdService));
	service->head.url = url;
	service->head.account = url;
	/* many small requests share a connection where the server speaks it */
	service->head.http2 = true;
	service->base_path = decoded_path(url);
	find_uploads(service, url);
	return &service->head;
}

/* --- the small operations -------------------------------------------------------- */

static CsStep
give_failure(CsConversation *c, CsResult *result)
{
	result->failure = c->failure;
	return CS_STEP_FAILED;
}

/* ABOUT: is there a WebDAV folder, and how full is it? */
static CsStep
about(CsConversation *c, const CsResponse *answer, CsRequest *request,
	  CsResult *result)
{
	if (answer == NULL)
		return wd_look(c, request, 0, "/");
	if (wd_looked(c, answer, "/") == WD_THERE)
	{
		if (c->entry.kind == CS_ENTRY_FOLDER)
		{
			result->entry = c->entry;
			result->used_bytes = c->used_bytes;
			result->quota_bytes = c->quota_bytes;
			return CS_STEP_DONE;
		}
		cs_failure_set(&c->failure, CS_FAIL_UNREACHABLE,
					   "Set the address of a folder as the endpoint.",
					   "the endpoint is a file, not a folder");
	}
	/* whatever answers there, it is no WebDAV folder */
	if (answer->error == 0 && answer->status != 403 &&
		(c->failure.failure_class == CS_FAIL_BROKEN ||
		 c->failure.failure_class == CS_FAIL_GONE ||
		 c->failure.failure_class == CS_FAIL_UNREACHABLE) &&
		answer->status < 500 && (answer->status < 300 || answer->status > 399))
		cs_failure_set(&c->failure, CS_FAIL_UNREACHABLE,
					   "Is the endpoint the address of a folder, to the last "
					   "part? Nextcloud shows it under Files, Settings.",
					   "there is no WebDAV folder at the endpoint (HTTP status "
					   "%d)",
					   answer->status);
	return give_failure(c, result);
}

static CsStep
stat_entry(CsConversation *c, const CsResponse *answer, CsRequest *request,
		   CsResult *result)
{
	if (answer == NULL)
		return wd_look(c, request, 0, c->op.path);
	if (wd_looked(c, answer, c->op.path) != WD_THERE)
		return give_failure(c, result);
	result->entry = c->entry;
	return CS_STEP_DONE;
}

enum
{
	DISCARD_START,
	DISCARD_UPLOAD,
	DISCARD_FILE
};

/* DISCARD: only ever what has a temporary name. */
static CsStep
discard(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	const char *name = cs_path_name(c->op.path);

	if (c->phase == DISCARD_START)
	{
		if (!cs_local_is_temp_name(name))
		{
			cs_failure_set(&result->failure, CS_FAIL_BROKEN, NULL,
						   "\"%s\" is no temporary file", c->op.path);
			return CS_STEP_FAILED;
		}
		if (c->service->uploads != NULL)
			return wd_ask_url(c, request, DISCARD_UPLOAD, "DELETE",
							  wd_upload_url(c, name));
		return wd_ask(c, request, DISCARD_FILE, "DELETE", c->op.path, false);
	}
	/* one that is not there is what was wanted; so is one below what is gone */
	if (!wd_good(answer) && (answer->error != 0 ||
							 (answer->status != 404 && answer->status != 410 &&
							  answer->status != 409)))
		return wd_failed(c, result, answer, "remove", c->op.path);
	if (c->phase == DISCARD_UPLOAD)
		return wd_ask(c, request, DISCARD_FILE, "DELETE", c->op.path, false);
	return CS_STEP_DONE;
}

/* --- conversations ------------------------------------------------------------------ */

static CsConversation *
begin(CsService *service, const CsOp *op)
{
	CsConversation *c = palloc0(sizeof(CsConversation));

	c->service = (WdService *) service;
	cs_op_copy(&c->op, op);
	c->used_bytes = -1;
	c->quota_bytes = -1;
	switch (op->kind)
	{
		case CS_OP_ABOUT:
			c->step = about;
			break;
		case CS_OP_STAT:
			c->step = stat_entry;
			break;
		case CS_OP_LIST:
			c->step = wd_list;
			break;
		case CS_OP_MKDIR:
			c->step = wd_mkdir;
			break;
		case CS_OP_PUT:
			c->step = wd_put;
			break;
		case CS_OP_GET:
			c->step = wd_get;
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
			c->step = wd_move;
			break;
	}
	return c;
}

/*
 * A redirect of a request that only reads is followed, a few times, as far as
 * it stays with the same server: most add a '/' to a folder's address. Whatever
 * leads elsewhere is a failure, so that no credentials go there.
 */
static bool
follow(CsConversation *c, const CsResponse *answer, CsRequest *request)
{
	const char *location = cs_http_header(answer, "location");
	const char *url = c->service->head.url;
	char *target;

	if (c->asked.kind != CS_REQ_HTTP || answer->error != 0 ||
		(answer->status != 301 && answer->status != 302 &&
		 answer->status != 307 && answer->status != 308) ||
		(strcmp(c->asked.method, "PROPFIND") != 0 &&
		 strcmp(c->asked.method, "GET") != 0) ||
		location == NULL || strlen(location) > 8000 ||
		c->redirects >= WD_MAX_REDIRECTS)
		return false;
	for (const char *p = location; *p != '\0'; p++)
	{
		if (*p <= 0x20 || *p >= 0x7F || *p == '\\')
			return false;
	}
	if (location[0] == '/' && location[1] != '/')
	{
		const char *host = strstr(url, "://") + 3;

		target =
			psprintf("%.*s%s", (int) (host - url) + (int) strcspn(host, "/"),
					 url, location);
	}
	else
		target = pstrdup(location);
	if (!cs_url_same_origin(target, url))
	{
		pfree(target);
		return false;
	}
	*request = c->asked;
	pfree(c->url);
	c->url = target;
	request->url = target;
	c->redirects++;
	return true;
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
	if (answer != NULL && follow(c, answer, request))
		step = CS_STEP_REQUEST;
	else
		step = c->step(c, answer, request, result);
	if (step == CS_STEP_REQUEST)
		c->asked = *request;
	return step;
}

static CsStep
take(CsConversation *c, const char *buf, int64 len, CsResult *result)
{
	memset(result, 0, sizeof(*result));
	if (c->parser != NULL)
		return wd_list_take(c, buf, len, result);
	cs_hash_update(c->hash, buf, (size_t) len);
	c->target_size += len;
	return CS_STEP_REQUEST;
}

static const CsProviderKey options[] = {
	{"endpoint",
	 "Address of the folder, such as "
	 "https://cloud.example.com/remote.php/dav/files/anna.",
	 true, CS_KEY_TEXT},
	{NULL},
};

static const CsProviderKey credentials[] = {
	{"username", "User name, for Basic or Digest authentication.", false,
	 CS_KEY_TEXT},
	{"password", "Password; with Nextcloud an app password.", false,
	 CS_KEY_TEXT},
	{"bearer_token", "Token, instead of user name and password.", false,
	 CS_KEY_TEXT},
	{NULL},
};

const CsProvider cs_provider_webdav = {
	.name = "webdav",
	.title = "WebDAV (Nextcloud, ownCloud, Apache, nginx)",
	.authentication = "user name and password (Basic, Digest), bearer token",
	.options = options,
	.credentials = credentials,
	.checksum = "sha256 (Nextcloud)",
	.max_file_size = 0,
	.incremental = false,
	.stable_ids = false,
	.has_trash = false,
	.look_before = true,
	.needs_stable_file = true,
	/* what Nextcloud, Windows servers and file systems below all take */
	.names = {.max_name_bytes = 250,
			  .forbidden = "\\:*?\"<>|",
			  .trim_ends = true},
	.open = open_service,
	.begin = begin,
	.next = next,
	.take = take,
};
