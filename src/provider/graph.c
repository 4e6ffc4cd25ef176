/*
 * graph.c
 *	  The providers "onedrive" and "sharepoint": drives of Microsoft Graph, as
 *	  conversations without I/O. Here: what they are, their options, and the
 *	  small operations (ABOUT, STAT, DISCARD); the others are in the files that
 *	  graph.h lists.
 *
 * Relies on include/cloudsync/provider.h, base/ and the common library alone.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/oauth.h"
#include "cloudsync/path.h"
#include "graph.h"

#define NAME_CHARACTERS                                                        \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

#define COMMON_OPTIONS                                                         \
	{"api_endpoint",                                                           \
	 "URL of Microsoft Graph; https://graph.microsoft.com/v1.0 if not given.", \
	 false, CS_KEY_TEXT},                                                      \
		{"login_endpoint",                                                     \
		 "URL of the login service; https://login.microsoftonline.com if not " \
		 "given.",                                                             \
		 false, CS_KEY_TEXT},                                                  \
		{"tenant",                                                             \
		 "Tenant's id or domain; with client_secret or certificate it must "   \
		 "be given.",                                                          \
		 false, CS_KEY_TEXT},                                                  \
		{"scope",                                                              \
		 "Scopes to ask for instead of the least that do, such as "            \
		 "Sites.Selected.",                                                    \
		 false, CS_KEY_TEXT},                                                  \
		{"redirect_uri",                                                       \
		 "Where the consent page sends the browser; the app's if not given.",  \
		 false, CS_KEY_TEXT}

static const CsProviderKey onedrive_options[] = {
	COMMON_OPTIONS,
	{"drive_id", "Id of the drive; the user's own if not given.", false,
	 CS_KEY_TEXT},
	{"user",
	 "Sign-in name or id of the user whose OneDrive is meant, where an app "
	 "acts for itself.",
	 false, CS_KEY_TEXT},
	{NULL},
};

static const CsProviderKey sharepoint_options[] = {
	COMMON_OPTIONS,
	{"site",
	 "URL of the site, such as https://contoso.sharepoint.com/sites/cases; "
	 "needed unless drive_id is given.",
	 false, CS_KEY_TEXT},
	{"library",
	 "Name of the document library; the site's default one if not given.",
	 false, CS_KEY_TEXT},
	{"drive_id", "Id of the library's drive, instead of site and library.",
	 false, CS_KEY_TEXT},
	{NULL},
};

static const CsProviderKey credentials[] = {
	{"client_secret", "Secret of the app that acts for itself.", false,
	 CS_KEY_TEXT},
	{"certificate", "Certificate (PEM) of the app that acts for itself.", false,
	 CS_KEY_TEXT},
	{"private_key", "Private key (PEM) of the certificate.", false,
	 CS_KEY_TEXT},
	{"refresh_token", "Refresh token of a consent that was given elsewhere.",
	 false, CS_KEY_TEXT},
	{NULL},
};

/* --- options ----------------------------------------------------------------------- */

static const char *
option(const CsOption *list, const char *key)
{
	for (; list->key != NULL; list++)
	{
		if (strcmp(list->key, key) == 0)
			return list->value[0] != '\0' ? list->value : NULL;
	}
	return NULL;
}

static CsService *
bad_option(const GrService *service, CsFailure *failure, const char *key,
		   const char *why)
{
	cs_failure_set(failure, CS_FAIL_REFUSED,
				   service->sharepoint
					   ? "docs/providers/sharepoint.md explains the options."
					   : "docs/providers/onedrive.md explains the options.",
				   "option \"%s\" %s", key, why);
	return NULL;
}

/* "https://contoso.sharepoint.com/sites/a" to host and path. */
static const char *
read_site(GrService *service, const char *site)
{
	const char *why = NULL;
	char *url = cs_url_normalize(site, &why);
	char *host = url != NULL ? strstr(url, "://") : NULL;
	size_t len;

	if (host == NULL)
		return why != NULL ? why : "is no URL";
	host += 3;
	len = strcspn(host, "/");
	service->site_host = pnstrdup(host, len);
	service->site_path =
		host[len] == '/' ? cs_url_decode(host + len + 1, strlen(host + len + 1))
						 : pstrdup("");
	return service->site_path == NULL ? "is no URL" : NULL;
}

static bool
is_tenant(const char *tenant)
{
	return strlen(tenant) <= 255 &&
		   strspn(tenant, NAME_CHARACTERS ".-_") == strlen(tenant);
}

/* Has a drive's id only characters that a cursor's text takes? */
static bool
is_drive_id(const char *id)
{
	return strlen(id) <= 255 && strspn(id, NAME_CHARACTERS "!.-_") == strlen(id);
}

static bool
ends_with(const char *text, const char *end)
{
	size_t len = strlen(text);

	return len >= strlen(end) && strcmp(text + len - strlen(end), end) == 0;
}

/* The cloud in China does not take names below an id. */
static bool
is_china(const char *url)
{
	const char *host = strstr(url, "://") + 3;
	char *name = pnstrdup(host, strcspn(host, ":/"));
	bool china = ends_with(name, ".chinacloudapi.cn");

	pfree(name);
	return china;
}

/* Which drive is meant. The option that cannot be, with *why; or NULL. */
static const char *
read_drive(GrService *service, const CsOption *list, const char **why)
{
	const char *drive = option(list, "drive_id");
	const char *site = option(list, "site");
	const char *library = option(list, "library");
	const char *user = option(list, "user");

	if (drive != NULL && !is_drive_id(drive))
	{
		*why = "is no id of a drive";
		return "drive_id";
	}
	if (drive != NULL)
	{
		service->drive = pstrdup(drive);
		service->personal = strncmp(drive, "b!", 2) != 0;
		service->head.account = gr_drive_id(drive);
		return NULL;
	}
	service->user = user != NULL ? pstrdup(user) : NULL;
	service->library = library != NULL ? pstrdup(library) : NULL;
	if (!service->sharepoint)
		return NULL;
	*why = site == NULL ? "must be given, unless drive_id is"
						: read_site(service, site);
	return *why != NULL ? "site" : NULL;
}

static CsService *
open_drive(const CsOption *list, bool sharepoint, CsFailure *failure)
{
	GrService *service = palloc0(sizeof(GrService));
	const char *api = option(list, "api_endpoint");
	const char *login = option(list, "login_endpoint");
	const char *tenant = option(list, "tenant");
	const char *why = NULL;
	const char *bad;

	service->sharepoint = sharepoint;
	service->head.url = cs_url_normalize(api != NULL ? api : GR_API, &why);
	if (service->head.url == NULL)
		return bad_option(service, failure, "api_endpoint", why);
	if (login != NULL && cs_url_normalize(login, &why) == NULL)
		return bad_option(service, failure, "login_endpoint", why);
	if (tenant != NULL && !is_tenant(tenant))
		return bad_option(service, failure, "tenant",
						  "is no id or domain of a tenant");
	bad = read_drive(service, list, &why);
	if (bad != NULL)
		return bad_option(service, failure, bad, why);
	service->by_path = is_china(service->head.url);
	return &service->head;
}

static CsService *
open_onedrive(const CsOption *list, CsFailure *failure)
{
	return open_drive(list, false, failure);
}

static CsService *
open_sharepoint(const CsOption *list, CsFailure *failure)
{
	return open_drive(list, true, failure);
}

static CsStep next(CsConversation *c, const CsResponse *answer,
				   CsRequest *request, CsResult *result);

/* --- small operations ---------------------------------------------------------------- */

/* A number that may be missing, zero for unknown, or nonsense: then -1. */
static int64
quota(const CsJson *json, const char *key, bool zero_is_unknown)
{
	int64 value;

	if (!cs_json_int64(json, key, &value) || value < 0 ||
		(value == 0 && zero_is_unknown))
		return -1;
	return value;
}

/* ABOUT: is the drive there, whose is it, and how full? */
static CsStep
about(CsConversation *c, const CsResponse *answer, CsRequest *request,
	  CsResult *result)
{
	const CsJson *json;
	const char *owner;
	char *drive;

	if (answer == NULL)
	{
		drive = cs_url_encode(c->service->drive);
		return gr_ask(
			c, request, 1, "GET",
			psprintf("%s/drives/%s?$select=id,name,driveType,owner,quota",
					 c->service->head.url, drive));
	}
	json = gr_good(answer) ? gr_json(c, answer) : NULL;
	if (json == NULL || !gr_read_drive(c, json))
	{
		gr_failed(result, answer, "look at", "the drive");
		if (result->failure.failure_class == CS_FAIL_GONE)
			result->failure.failure_class = CS_FAIL_UNREACHABLE;
		return CS_STEP_FAILED;
	}
	result->quota_bytes = quota(json, "quota/total", true);
	result->used_bytes = quota(json, "quota/used", result->quota_bytes < 0);
	result->account = gr_drive_id(cs_json_text(json, "id"));
	owner = cs_json_text(json, "owner/user/email");
	if (owner == NULL)
		owner = cs_json_text(json, "owner/user/displayName");
	if (owner == NULL)
		owner = cs_json_text(json, "owner/group/displayName");
	if (c->service->site_host != NULL)
		result->account_name =
			psprintf("%s/%s %s", c->service->site_host, c->service->site_path,
					 cs_json_text(json, "name") != NULL
						 ? cs_json_text(json, "name")
						 : "");
	else if (owner != NULL)
		result->account_name = pstrdup(owner);
	result->entry.kind = CS_ENTRY_FOLDER;
	result->entry.path = "/";
	result->entry.name = "";
	result->entry.size = -1;
	return CS_STEP_DONE;
}

static CsStep
stat_item(CsConversation *c, const CsResponse *answer, CsRequest *request,
		  CsResult *result)
{
	char *path = NULL;

	if (answer == NULL)
		return c->op.id != NULL
				   ? gr_look(c, request, 1, c->op.path, c->op.id)
				   : gr_ask(c, request, 1, "GET",
							gr_path_url(c, c->op.path, NULL, GR_SELECT));
	if (gr_looked(c, answer, c->op.path) != GR_THERE)
	{
		gr_forget_all(c->service);
		if (gr_goes_direct(c))
		{
			/* is there such a drive? that is to be told apart */
			c->indirect = true;
			c->ready = false;
			return next(c, NULL, request, result);
		}
		result->failure = c->failure;
		return CS_STEP_FAILED;
	}
	gr_learn_drive(c);
	if (c->op.id != NULL || c->op.path == NULL)
		path = gr_item_path(&c->item);
	if (path == NULL && c->op.path != NULL)
		path = pstrdup(c->op.path);
	if (c->item.is_root && c->service->root_id == NULL)
		c->service->root_id = gr_lasting(c->service, c->item.id);
	else if (c->item.kind == CS_ENTRY_FOLDER && path != NULL)
		gr_remember(c->service, path, c->item.id);
	gr_entry(&c->item, path, &result->entry);
	return CS_STEP_DONE;
}

/* DISCARD: a file appears whole or not at all; an upload session is ended. */
static CsStep
discard(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	const char *sha256;
	const char *url;

	if (answer == NULL)
	{
		url = c->op.session != NULL ? gr_session_url(c->op.session, &sha256)
									: NULL;
		if (url == NULL)
			return CS_STEP_DONE;
		return gr_ask_anonymous(c, request, 1, "DELETE", url);
	}
	/* one that is over or complete is refused in one of several ways */
	if (gr_good(answer) ||
		(answer->error == 0 && answer->status >= 400 && answer->status < 429))
		return CS_STEP_DONE;
	return gr_failed(result, answer, "discard", c->op.path);
}

/* --- conversations ---------------------------------------------------------------------- */

static CsConversation *
begin(CsService *service, const CsOp *op)
{
	CsConversation *c = palloc0(sizeof(CsConversation));

	c->service = (GrService *) service;
	cs_op_copy(&c->op, op);
	switch (op->kind)
	{
		case CS_OP_ABOUT:
			c->step = about;
			break;
		case CS_OP_STAT:
			c->step = stat_item;
			break;
		case CS_OP_LIST:
			c->step = op->follow || gr_is_whole_drive(op) ? gr_delta : gr_list;
			if (op->follow && op->cursor != NULL)
				c->ready = gr_cursor_read(c) || c->service->drive != NULL;
			break;
		case CS_OP_MKDIR:
			c->step = gr_mkdir;
			break;
		case CS_OP_PUT:
			c->step = gr_put;
			break;
		case CS_OP_GET:
			c->step = gr_get;
			break;
		case CS_OP_MOVE:
		case CS_OP_TRASH:
			c->step = gr_move;
			break;
		case CS_OP_DISCARD:
			c->step = discard;
			c->ready = true; /* by the session's own address alone */
			break;
		case CS_OP_PUT_MANY:
		case CS_OP_TOKEN:
		case CS_OP_WATCH:
			c->step = cs_step_not_offered;
			c->ready = true;
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
	/* another may find the drive before the answer to this one comes */
	if (!c->ready && gr_goes_direct(c))
		c->ready = true;
	if (!c->ready)
	{
		switch (gr_find_drive(c, answer, request))
		{
			case GR_ASK:
				return CS_STEP_REQUEST;
			case GR_FAIL:
				result->failure = c->failure;
				return CS_STEP_FAILED;
			default:
				break;
		}
		c->ready = true;
		c->pages = 0;
		answer = NULL;
	}
	step = c->step(c, answer, request, result);
	/* what a pre-authenticated address was answered may repeat it */
	if (step == CS_STEP_FAILED && c->address != NULL &&
		cs_url_leaks(c->address, result->failure.detail))
		result->failure.detail[0] = '\0';
	return step;
}

static CsStep
take(CsConversation *c, const char *buf, int64 len, CsResult *result)
{
	memset(result, 0, sizeof(*result));
	if (c->hash != NULL)
	{
		cs_hash_update(c->hash, buf, len);
		c->hashed += len;
		return CS_STEP_REQUEST;
	}
	return gr_fail(result, CS_FAIL_BROKEN, c->op.path,
				   "was given bytes that nobody asked for");
}

/*
 * Names that Windows or SharePoint keep for themselves, and sequences that some
 * calls have been seen to refuse. "Forms", refused at a library's root alone, is
 * the customer's where it stands deeper.
 */
static const char *const reserved[] = {
	"CON.*",  "PRN.*",	"AUX.*",  "NUL.*",	"COM0.*", "COM1.*",
	"COM2.*", "COM3.*", "COM4.*", "COM5.*", "COM6.*", "COM7.*",
	"COM8.*", "COM9.*", "LPT0.*", "LPT1.*", "LPT2.*", "LPT3.*",
	"LPT4.*", "LPT5.*", "LPT6.*", "LPT7.*", "LPT8.*", "LPT9.*",
	".lock",  "desktop.ini", "~$*", "~*/", "*_vti_*", "*&#*", "*%0a*",
	NULL};

/* Graph, and where it sends for contents and uploads. */
#define HOSTS                                                                  \
	"graph.microsoft.com, graph.microsoft.us, dod-graph.microsoft.us, "        \
	"microsoftgraph.chinacloudapi.cn, login.microsoftonline.com, "             \
	"login.microsoftonline.us, login.chinacloudapi.cn, *.sharepoint.com, "     \
	"*.sharepoint.us, *.sharepoint-mil.us, *.sharepoint.cn, *.svc.ms, "        \
	"api.onedrive.com, *.1drv.com, *.livefilestore.com, onedrive.live.com, "   \
	"*.microsoftpersonalcontent.com"

#define COMMON                                                                 \
	.authentication = "consent (OAuth 2.0) or refresh token; client secret "   \
					  "or certificate of an app",                              \
	.credentials = credentials, .checksum = "quickxorhash",                    \
	.checksum_kind = CS_CHECKSUM_QUICKXOR,                                     \
	.max_file_size = INT64CONST(250) * 1000 * 1000 * 1000,                     \
	.incremental = true, .feed_of_account = true, .stable_ids = true,          \
	.has_trash = true, .hosts = HOSTS, .names = NAMES, .oauth = &gr_oauth,     \
	.begin = begin, .next = next, .take = take

#define NAMES                                                                  \
	{                                                                          \
		.max_name_bytes = 255, .forbidden = "\"*:<>?|", .ignore_case = true,   \
		.trim_ends = true, .reserved = reserved                                \
	}

const CsProvider cs_provider_onedrive = {
	.name = "onedrive",
	.title = "Microsoft OneDrive",
	.options = onedrive_options,
	.open = open_onedrive,
	COMMON,
};

const CsProvider cs_provider_sharepoint = {
	.name = "sharepoint",
	.title = "Microsoft SharePoint",
	.options = sharepoint_options,
	.open = open_sharepoint,
	COMMON,
};
