/*
 * graph_drive.c
 *	  Which drive a connection is to, found once in the life of its service: a
 *	  drive's id, the drive of a user, or a library of a site. A site is found
 *	  by its address, never by a search, which is refused to an app that has
 *	  been given certain sites alone (Sites.Selected).
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "graph.h"

enum
{
	DRIVE_START,
	DRIVE_SITE,
	DRIVE_LIBRARIES,
	DRIVE_FOUND
};

#define DRIVE_SELECT "$select=id,name,driveType,webUrl,owner,quota"

/*
 * Ids of personal drives come with and without a leading zero, and in either
 * case; those of work begin with "b!" and are as they are.
 */
char *
gr_drive_id(const char *id)
{
	size_t len = strlen(id);
	char *normal;

	if (strspn(id, "0123456789abcdefABCDEF") != len || len > 16)
		return pstrdup(id);
	normal = psprintf("%.*s%s", (int) (16 - len), "0000000000000000", id);
	for (char *p = normal; *p != '\0'; p++)
		*p = pg_tolower((unsigned char) *p);
	return normal;
}

bool
gr_read_drive(CsConversation *c, const CsJson *json)
{
	const char *id = cs_json_text(json, "id");
	const char *type = cs_json_text(json, "driveType");

	if (id == NULL || id[0] == '\0')
		return false;
	if (c->service->drive == NULL)
		c->service->drive = gr_lasting(c->service, id);
	if (type != NULL)
		c->service->personal = strcmp(type, "personal") == 0;
	return true;
}

static GrSub
ask(CsConversation *c, CsRequest *request, int phase, char *url)
{
	gr_ask(c, request, c->phase, "GET", url);
	c->drive_phase = phase;
	return GR_ASK;
}

static GrSub
fail(CsConversation *c, CsFailureClass failure_class, const char *detail,
	 const char *what)
{
	cs_failure_set(&c->failure, failure_class, detail, "%s", what);
	return GR_FAIL;
}

static GrSub
start(CsConversation *c, CsRequest *request)
{
	const GrService *service = c->service;
	const char *api = service->head.url;
	char *host;
	char *path;

	if (!service->sharepoint && service->user == NULL)
		return ask(c, request, DRIVE_FOUND,
				   psprintf("%s/me/drive?" DRIVE_SELECT, api));
	if (!service->sharepoint)
	{
		char *user = cs_url_encode(service->user);

		return ask(c, request, DRIVE_FOUND,
				   psprintf("%s/users/%s/drive?" DRIVE_SELECT, api, user));
	}
	host = cs_url_encode(service->site_host);
	if (service->site_path[0] == '\0')
		return ask(c, request, DRIVE_SITE,
				   psprintf("%s/sites/%s?$select=id", api, host));
	path = cs_url_encode_path(service->site_path);
	return ask(c, request, DRIVE_SITE,
			   psprintf("%s/sites/%s:/%s?$select=id", api, host, path));
}

/* What the answer says is missing is missing for all that is to be done. */
static GrSub
failed(CsConversation *c, const CsResponse *answer)
{
	bool sharepoint = c->service->sharepoint;

	gr_failure(&c->failure, answer, "find",
			   sharepoint ? "the site's library" : "the drive");
	if (c->failure.failure_class == CS_FAIL_GONE)
		return fail(
			c, CS_FAIL_UNREACHABLE,
			sharepoint ? "Check the options site and library."
					   : "Its user must have opened OneDrive once; check the "
						 "options user and drive_id.",
			sharepoint ? "there is no such site or library"
					   : "there is no such drive");
	if (answer->error == 0 && answer->status == 400 && !sharepoint)
		return fail(c, CS_FAIL_UNREACHABLE,
					"An app that acts for itself, by client_secret or "
					"certificate, has no drive of its own: set the option user "
					"or drive_id.",
					"it is not said whose drive is meant");
	return GR_FAIL;
}

static GrSub
site_found(CsConversation *c, const CsResponse *answer, CsRequest *request)
{
	const CsJson *json = gr_good(answer) ? gr_json(c, answer) : NULL;
	const char *id = cs_json_text(json, "id");
	char *site;

	if (id == NULL)
		return failed(c, answer);
	site = cs_url_encode(id);
	if (c->service->library == NULL)
		return ask(c, request, DRIVE_FOUND,
				   psprintf("%s/sites/%s/drive?" DRIVE_SELECT,
							c->service->head.url, site));
	return ask(c, request, DRIVE_LIBRARIES,
			   psprintf("%s/sites/%s/drives?" DRIVE_SELECT,
						c->service->head.url, site));
}

/* A library is known by its name, or by the last part of its address. */
static bool
is_library(const CsJson *drive, const char *wanted)
{
	const char *name = cs_json_text(drive, "name");
	const char *url = cs_json_text(drive, "webUrl");
	const char *last = url != NULL ? strrchr(url, '/') : NULL;
	char *decoded;

	if (name != NULL && pg_strcasecmp(name, wanted) == 0)
		return true;
	decoded = last != NULL ? cs_url_decode(last + 1, strlen(last + 1)) : NULL;
	return decoded != NULL && pg_strcasecmp(decoded, wanted) == 0;
}

static GrSub
libraries_listed(CsConversation *c, const CsResponse *answer,
				 CsRequest *request)
{
	const CsJson *json = gr_good(answer) ? gr_json(c, answer) : NULL;
	const CsJson *value = cs_json_member(json, "value");
	const char *next = cs_json_text(json, "@odata.nextLink");

	if (value == NULL || value->kind != CS_JSON_ARRAY)
		return failed(c, answer);
	for (const CsJson *drive = value->first; drive != NULL; drive = drive->next)
	{
		if (is_library(drive, c->service->library) && gr_read_drive(c, drive))
			return GR_OK;
	}
	if (next != NULL && gr_is_own(c->service, next) && ++c->pages < 100)
		return ask(c, request, DRIVE_LIBRARIES, pstrdup(next));
	cs_failure_set(&c->failure, CS_FAIL_UNREACHABLE,
				   "The option library is the name of a document library as "
				   "the site shows it.",
				   "the site has no library \"%s\"", c->service->library);
	return GR_FAIL;
}

/* Can an item of the drive be looked at before it is known which drive it is? */
bool
gr_goes_direct(const CsConversation *c)
{
	return c->op.kind == CS_OP_STAT && c->service->drive == NULL &&
		   !c->service->sharepoint && !c->indirect;
}

/*
 * An item says in which drive it is. Ids of personal drives, which are told in
 * several spellings, are asked for.
 */
void
gr_learn_drive(CsConversation *c)
{
	const char *id = cs_json_text(c->json, "parentReference/driveId");

	if (c->service->drive != NULL || id == NULL || strncmp(id, "b!", 2) != 0)
		return;
	c->service->drive = gr_lasting(c->service, id);
	c->service->personal = false;
}

GrSub
gr_find_drive(CsConversation *c, const CsResponse *answer, CsRequest *request)
{
	if (c->service->drive != NULL)
		return GR_OK; /* found by another conversation meanwhile, too */
	switch (c->drive_phase)
	{
		case DRIVE_START:
			return start(c, request);
		case DRIVE_SITE:
			return site_found(c, answer, request);
		case DRIVE_LIBRARIES:
			return libraries_listed(c, answer, request);
		default: /* DRIVE_FOUND */
			if (gr_good(answer) && gr_read_drive(c, gr_json(c, answer)))
				return GR_OK;
			return failed(c, answer);
	}
}
