/*
 * gdrive.c
 *	  The provider "gdrive": a person's My Drive, or a shared drive, by the Google
 *	  Drive API v3, as conversations without I/O. Here: what it is, its options
 *	  and how tokens are come by, ABOUT and DISCARD; gdrive.h says what is in the
 *	  other files.
 *
 * Relies on include/cloudsync/provider.h, base/ and the common library alone.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "gdrive.h"

#define API "https://www.googleapis.com"
#define AUTHORIZE "https://accounts.google.com/o/oauth2/v2/auth"
#define TOKEN "https://oauth2.googleapis.com/token"
#define DOCS "https://docs.google.com"
#define REVOKE "https://oauth2.googleapis.com/revoke"
#define SCOPE "https://www.googleapis.com/auth/"
#define DEFAULT_SCOPE "drive"

static const CsProviderKey options[] = {
	{"api_endpoint", "URL of the Drive API; Google's if not given.", false,
	 CS_KEY_TEXT},
	{"docs_endpoint",
	 "URL of the host of Google's own documents; Google's if not given.", false,
	 CS_KEY_TEXT},
	{"token_endpoint", "URL of the token server; Google's if not given.", false,
	 CS_KEY_TEXT},
	{"authorize_endpoint", "URL of the consent page; Google's if not given.",
	 false, CS_KEY_TEXT},
	{"revoke_endpoint", "URL that revokes tokens; Google's if not given.",
	 false, CS_KEY_TEXT},
	{"drive_id", "Id of a shared drive; the account's My Drive if not given.",
	 false, CS_KEY_TEXT},
	{"scope",
	 "What consent is asked for: drive (the default), drive.file (only what "
	 "this extension makes) or drive.readonly (only collecting).",
	 false, CS_KEY_TEXT},
	{"export",
	 "Formats for Google's own documents, the first that fits counts, such as "
	 "\"docx xlsx pdf\"; pdf if not given, \"none\" for none.",
	 false, CS_KEY_TEXT},
	{NULL},
};

static const CsProviderKey credentials[] = {
	{"service_account", "The service account's key file, as it is (JSON).",
	 false, CS_KEY_OBJECT},
	{"subject",
	 "With it: e-mail address of the person to act for (domain-wide "
	 "delegation).",
	 false, CS_KEY_TEXT},
	{"refresh_token",
	 "Refresh token, instead of a consent that is asked for here.", false,
	 CS_KEY_TEXT},
	{NULL},
};

static const char *
option(const CsOption *list, const char *key)
{
	for (; list != NULL && list->key != NULL; list++)
	{
		if (strcmp(list->key, key) == 0 && list->value != NULL &&
			list->value[0] != '\0')
			return list->value;
	}
	return NULL;
}

/* --- how tokens are come by --------------------------------------------------------- */

static char *
url_of(const CsOption *list, const char *key, const char *otherwise)
{
	const char *value = option(list, key);

	return pstrdup(value != NULL ? value : otherwise);
}

static char *
authorize_url(const CsOption *list)
{
	return url_of(list, "authorize_endpoint", AUTHORIZE);
}

static char *
token_url(const CsOption *list)
{
	return url_of(list, "token_endpoint", TOKEN);
}

static char *
revoke_url(const CsOption *list)
{
	return url_of(list, "revoke_endpoint", REVOKE);
}

/* Google gives device codes for drive.file alone. */
static char *
device_url(const CsOption *list)
{
	const char *scope = option(list, "scope");
	char *url;
	char *end;
	char *device = NULL;

	if (scope == NULL || (strcmp(scope, "drive.file") != 0 &&
						  strcmp(scope, SCOPE "drive.file") != 0))
		return NULL;
	url = token_url(list);
	end = strrchr(url, '/');
	if (end != NULL && strcmp(end, "/token") == 0)
	{
		*end = '\0';
		device = psprintf("%s/device/code", url);
	}
	pfree(url);
	return device;
}

/* Scopes in full; several are separated by spaces. */
static char *
scopes(const CsOption *list)
{
	const char *at = option(list, "scope");
	StringInfoData text;

	initStringInfo(&text);
	if (at == NULL)
		at = DEFAULT_SCOPE;
	for (;;)
	{
		size_t len;

		at += strspn(at, " ,");
		len = strcspn(at, " ,");
		if (len == 0)
			return text.data;
		appendStringInfo(&text, "%s%s%.*s", text.len > 0 ? " " : "",
						 strncmp(at, "https://", 8) == 0 ? "" : SCOPE,
						 (int) len, at);
		at += len;
	}
}

/* The whole drive includes each part of it. */
static bool
covers(const char *granted, const char *needed)
{
	if (strcmp(granted, needed) == 0)
		return true;
	return strcmp(granted, SCOPE "drive") == 0 &&
		   strncmp(needed, SCOPE "drive", strlen(SCOPE "drive")) == 0 &&
		   strcmp(needed, SCOPE "drive.appdata") != 0;
}

static const CsOAuth oauth = {
	.authorize_url = authorize_url,
	.token_url = token_url,
	.device_url = device_url,
	.revoke_url = revoke_url,
	.scopes = scopes,
	/* a refresh token comes only when the consent page was shown */
	.authorize_extra = "access_type=offline&prompt=consent",
	.covers = covers,
	.revokes_all = true,
};

/* --- the service ----------------------------------------------------------------------- */

static CsService *
bad_option(CsFailure *failure, const char *key, const char *why)
{
	cs_failure_set(failure, CS_FAIL_REFUSED,
				   "docs/providers/gdrive.md explains the options.",
				   "option \"%s\" %s", key, why);
	return NULL;
}

/* The formats of exports as " a b "; NULL with *ok false: one is unknown. */
static char *
read_formats(const char *list, bool *ok)
{
	const char *at = list;

	*ok = true;
	if (strcmp(list, "none") == 0)
		return NULL;
	for (;;)
	{
		size_t len;

		at += strspn(at, " ,");
		len = strcspn(at, " ,");
		if (len == 0)
			return pstrdup(list);
		if (gd_format_mime(at, len) == NULL)
		{
			*ok = false;
			return NULL;
		}
		at += len;
	}
}

/* The addresses of the token server are used by others, but checked here. */
static const char *
bad_address(const CsOption *list, const char **why)
{
	static const char *const keys[] = {"token_endpoint", "authorize_endpoint",
									   "revoke_endpoint"};

	for (int i = 0; i < (int) lengthof(keys); i++)
	{
		const char *value = option(list, keys[i]);

		if (value != NULL && cs_url_normalize(value, why) == NULL)
			return keys[i];
	}
	return NULL;
}

static CsService *
open_service(const CsOption *list, CsFailure *failure)
{
	GdService *service;
	const char *endpoint = option(list, "api_endpoint");
	const char *docs = option(list, "docs_endpoint");
	const char *drive_id = option(list, "drive_id");
	const char *scope = option(list, "scope");
	const char *format = option(list, "export");
	const char *why = NULL;
	const char *bad = bad_address(list, &why);
	char *url = cs_url_normalize(endpoint != NULL ? endpoint : API, &why);
	bool ok;

	if (bad != NULL)
		return bad_option(failure, bad, why);
	if (url == NULL)
		return bad_option(failure, "api_endpoint", why);
	docs = cs_url_normalize(docs != NULL ? docs : DOCS, &why);
	if (docs == NULL)
		return bad_option(failure, "docs_endpoint", why);
	if (drive_id != NULL && !gd_id_ok(drive_id))
		return bad_option(failure, "drive_id", "is no id of a shared drive");
	for (const char *at = scope; at != NULL && *at != '\0'; at++)
	{
		if (*at < ' ' || *at >= 0x7f || *at == '"' || *at == '\\')
			return bad_option(failure, "scope", "is no list of scopes");
	}
	service = palloc0(sizeof(GdService));
	service->formats = read_formats(format != NULL ? format : "pdf", &ok);
	if (!ok)
		return bad_option(failure, "export",
						  "names a format that Google does not export to");
	service->head.url = url;
	service->head.more_urls[0] = docs;
	service->docs = unconstify(char *, docs);
	/* a shared drive is the same whoever uses it; else only ABOUT tells */
	service->head.account = drive_id != NULL ? pstrdup(drive_id) : NULL;
	/* the service breaks off requests over HTTP/2 now and then */
	service->head.http2 = false;
	service->root = "root";
	if (drive_id != NULL)
	{
		service->drive_id = pstrdup(drive_id);
		service->root = service->drive_id;
		strlcpy(service->root_id, drive_id, GD_ID);
	}
	return &service->head;
}

/* --- the small operations ---------------------------------------------------------------- */

enum
{
	ABOUT_START,
	ABOUT_ASKED,
	ABOUT_DRIVE
};

/* The drive is there; what was learnt of the account before is in c. */
static CsStep
about_done(CsConversation *c, CsResult *result, const char *drive)
{
	CsEntry *entry = &c->entry;

	entry->kind = CS_ENTRY_FOLDER;
	entry->path = entry->name = "/";
	entry->id = c->service->drive_id;
	entry->size = -1;
	result->entry = *entry;
	result->account =
		c->service->drive_id != NULL ? c->service->drive_id : c->session;
	result->person = c->session;
	result->account_name = drive != NULL && c->tail != NULL
							   ? psprintf("%s (%s)", drive, c->tail)
							   : c->tail;
	/* of a shared drive there are no figures */
	result->used_bytes = drive != NULL ? -1 : c->got;
	result->quota_bytes = drive != NULL ? -1 : c->size;
	return CS_STEP_DONE;
}

static CsStep
about(CsConversation *c, const CsResponse *answer, CsRequest *request,
	  CsResult *result)
{
	const GdService *service = c->service;
	const CsJson *json;
	const char *text;

	if (c->phase == ABOUT_START)
		return gd_ask(c, request, ABOUT_ASKED, "GET",
					  pstrdup("/drive/v3/about?fields=user%28emailAddress%2C"
							  "displayName%2CpermissionId%29%2C"
							  "storageQuota%28limit%2Cusage%29"));
	json = gd_json(c, answer, "ask for", "the account");
	if (json == NULL)
	{
		if (c->phase == ABOUT_DRIVE && gd_is_gone(answer))
			cs_failure_set(&c->failure, CS_FAIL_UNREACHABLE,
						   "Is the account a member of it, and drive_id its "
						   "id?",
						   "there is no shared drive \"%s\"",
						   service->drive_id);
		return gd_give_failure(c, result);
	}
	if (c->phase == ABOUT_DRIVE)
	{
		text = cs_json_text(json, "name");
		return about_done(c, result, text != NULL ? pstrdup(text) : "");
	}
	text = cs_json_text(json, "user/permissionId");
	if (text == NULL)
		text = cs_json_text(json, "user/emailAddress");
	if (text == NULL)
		return gd_fail(result, CS_FAIL_BROKEN, "/", "belongs to nobody");
	c->session = pstrdup(text);
	text = cs_json_text(json, "user/emailAddress");
	c->tail = text != NULL ? pstrdup(text) : NULL;
	if (!cs_json_int64(json, "storageQuota/usage", &c->got))
		c->got = -1;
	if (!cs_json_int64(json, "storageQuota/limit", &c->size))
		c->size = -1;
	if (service->drive_id == NULL)
		return about_done(c, result, NULL);
	return gd_ask(
		c, request, ABOUT_DRIVE, "GET",
		psprintf("/drive/v3/drives/%s?fields=id%%2Cname", service->drive_id));
}

/* DISCARD: an upload that nobody goes on with is ended. */
static CsStep
discard(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	GdSession session;

	if (c->phase != 0)
	{
		/* whatever it says of a session: none is left */
		if (answer->error != 0 || answer->status >= 500)
			return gd_failed(result, answer, "discard", c->op.path);
		return CS_STEP_DONE;
	}
	if (!gd_session_read(c->op.session, &session) || session.upload == NULL ||
		!cs_url_same_origin(session.upload, c->service->head.url))
		return CS_STEP_DONE;
	return gd_ask(c, request, 1, "DELETE", session.upload);
}

/* An id for a file to be made. Who takes one of the last asks for more. */
static char *
reserve(CsService *head)
{
	GdService *service = (GdService *) head;
	GdSession session = {.is_new = true};

	if (service->n_ids <= service->few_ids || !gd_take_id(service, session.id))
		return NULL;
	return gd_session(&session);
}

/* --- conversations ------------------------------------------------------------------------- */

static CsConversation *
begin(CsService *service, const CsOp *op)
{
	CsConversation *c = palloc0(sizeof(CsConversation));

	c->service = (GdService *) service;
	cs_op_copy(&c->op, op);
	switch (op->kind)
	{
		case CS_OP_ABOUT:
			c->step = about;
			break;
		case CS_OP_STAT:
			c->step = gd_stat;
			break;
		case CS_OP_LIST:
			c->step = op->follow && op->cursor != NULL ? gd_changes : gd_list;
			break;
		case CS_OP_MKDIR:
			c->step = gd_mkdir;
			break;
		case CS_OP_PUT:
			c->step = gd_put;
			break;
		case CS_OP_GET:
			c->step = gd_get;
			break;
		case CS_OP_DISCARD:
			c->step = discard;
			break;
		case CS_OP_MOVE:
		case CS_OP_TRASH:
			c->step = gd_move;
			break;
		case CS_OP_PUT_MANY:
		case CS_OP_TOKEN:
		case CS_OP_WATCH:
			c->step = cs_step_not_offered;
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
	/* whoever has an upload's address may write to it, so no words repeat it */
	if (step == CS_STEP_FAILED && c->address != NULL &&
		cs_url_leaks(c->address, result->failure.detail))
		result->failure.detail[0] = '\0';
	return step;
}

static CsStep
take(CsConversation *c, const char *buf, int64 len, CsResult *result)
{
	memset(result, 0, sizeof(*result));
	return gd_fail(result, CS_FAIL_BROKEN, c->op.path,
				   "was given bytes that nobody asked for");
}

const CsProvider cs_provider_gdrive = {
	.name = "gdrive",
	.title = "Google Drive",
	.authentication = "consent (OAuth 2.0), service account, refresh token",
	.options = options,
	.credentials = credentials,
	.checksum = "sha256, md5",
	.checksum_kind = CS_CHECKSUM_MD5,
	.checksum_is_strong = false,
	.max_file_size = INT64CONST(5120) * 1024 * 1024 * 1024,
	.incremental = true,
	.feed_of_account = true,
	.same_names = true,
	.stable_ids = true,
	.has_trash = true,
	.look_before = true,
	.rereads = GD_AHEAD,
	.hosts = "www.googleapis.com, oauth2.googleapis.com, accounts.google.com, "
			 "docs.google.com, *.googleusercontent.com",
	.names = {.max_name_bytes = 255, .forbidden = ""},
	.open = open_service,
	.reserve = reserve,
	.oauth = &oauth,
	.begin = begin,
	.next = next,
	.take = take,
};
