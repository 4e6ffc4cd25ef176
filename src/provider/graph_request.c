/*
 * graph_request.c
 *	  Requests of the Microsoft Graph provider: addresses of items, what they
 *	  carry, and what is remembered between them: folders' ids, so that a file
 *	  is put into the very folder, and download addresses, so that a document
 *	  costs one request. What is remembered is a hint: what is wrong shows
 *	  itself and is forgotten. Download addresses are secrets: they stay in
 *	  memory and are wiped when they go.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <openssl/crypto.h>
#ifndef FRONTEND
#include "utils/memutils.h"
#endif

#include "cloudsync/path.h"
#include "graph.h"

/* Decorated traffic is served before undecorated. */
#define USER_AGENT "ISV|cloudsync|cloudsync/1.0"

char *
gr_keep(CsConversation *c, char *string)
{
	if (c->n_strings < GR_STRINGS)
		c->strings[c->n_strings++] = string;
	return string;
}

/* --- addresses --------------------------------------------------------------- */

/* Of a user's own drive that is not known yet, by whose it is (gr_goes_direct). */
static char *
drive_url(const CsConversation *c)
{
	const GrService *service = c->service;
	char *drive;
	char *url;

	if (service->drive == NULL && service->user == NULL)
		return psprintf("%s/me/drive", service->head.url);
	drive = cs_url_encode(service->drive != NULL ? service->drive : service->user);
	url = service->drive != NULL
			  ? psprintf("%s/drives/%s", service->head.url, drive)
			  : psprintf("%s/users/%s/drive", service->head.url, drive);
	pfree(drive);
	return url;
}

/* The parts of an address put together; colon: the item is named by its path. */
static char *
finish_url(char *item, bool colon, const char *action, const char *query)
{
	char *url = psprintf("%s%s%s%s%s%s", item, action && colon ? ":" : "",
						 action ? "/" : "", action ? action : "",
						 query ? "?" : "", query ? query : "");

	pfree(item);
	return url;
}

char *
gr_path_url(const CsConversation *c, const char *path, const char *action,
			const char *query)
{
	bool root = strcmp(path, "/") == 0;
	char *drive = drive_url(c);
	char *encoded = cs_url_encode_path(path);
	char *item =
		psprintf("%s/root%s%s", drive, root ? "" : ":", root ? "" : encoded);

	pfree(drive);
	pfree(encoded);
	return finish_url(item, !root, action, query);
}

char *
gr_id_url(const CsConversation *c, const char *id, const char *action,
		  const char *query)
{
	char *drive = drive_url(c);
	char *encoded = cs_url_encode(id);
	char *item = psprintf("%s/items/%s", drive, encoded);

	pfree(drive);
	pfree(encoded);
	return finish_url(item, false, action, query);
}

char *
gr_url(const CsConversation *c, const char *path, const char *action,
	   const char *query, bool *by_id)
{
	char *folder = cs_path_parent(path);
	const char *id =
		c->service->by_path ? NULL : gr_known(c->service, folder);
	char *parent;
	char *name;
	char *item;

	pfree(folder);
	*by_id = id != NULL && strcmp(path, "/") != 0;
	if (!*by_id)
		return gr_path_url(c, path, action, query);
	parent = gr_id_url(c, id, NULL, NULL);
	name = cs_url_encode(cs_path_name(path));
	item = psprintf("%s:/%s", parent, name);
	pfree(parent);
	pfree(name);
	return finish_url(item, true, action, query);
}

/* Nothing in it that ends a line, or that only an encoded address may have. */
static bool
is_plain(const char *url)
{
	for (; *url != '\0'; url++)
	{
		if ((unsigned char) *url <= 0x20 || (unsigned char) *url >= 0x7f)
			return false;
	}
	return true;
}

bool
gr_is_own(const GrService *service, const char *url)
{
	return is_plain(url) && cs_url_same_origin(service->head.url, url);
}

bool
gr_is_safe(const GrService *service, const char *url)
{
	return gr_is_own(service, url) ||
		   (is_plain(url) && strncmp(url, "https://", 8) == 0);
}

/* --- requests ---------------------------------------------------------------- */

static void
begin_request(CsConversation *c, CsRequest *request, const char *method,
			  char *url)
{
	for (int i = 0; i < c->n_strings; i++)
	{
		OPENSSL_cleanse(c->strings[i], strlen(c->strings[i]));
		pfree(c->strings[i]);
	}
	c->n_strings = 0;
	memset(request, 0, sizeof(*request));
	request->kind = CS_REQ_HTTP;
	request->method = method;
	request->url = gr_keep(c, url);
}

CsStep
gr_ask(CsConversation *c, CsRequest *request, int phase, const char *method,
	   char *url)
{
	c->phase = phase;
	begin_request(c, request, method, url);
	gr_header(request, "User-Agent", USER_AGENT);
	return CS_STEP_REQUEST;
}

CsStep
gr_ask_json(CsConversation *c, CsRequest *request, int phase,
			const char *method, char *url, char *json)
{
	gr_ask(c, request, phase, method, url);
	gr_header(request, "Content-Type", "application/json");
	request->send = CS_SEND_TEXT;
	request->text = gr_keep(c, json);
	request->text_len = strlen(json);
	return CS_STEP_REQUEST;
}

CsStep
gr_ask_anonymous(CsConversation *c, CsRequest *request, int phase,
				 const char *method, const char *url)
{
	char *address = pstrdup(url);

	c->phase = phase;
	begin_request(c, request, method, pstrdup(url));
	request->anonymous = true;
	if (c->address != NULL)
	{
		OPENSSL_cleanse(c->address, strlen(c->address));
		pfree(c->address);
	}
	c->address = address;
	return CS_STEP_REQUEST;
}

void
gr_header(CsRequest *request, const char *name, const char *value)
{
	int i = 0;

	while (i < CS_REQUEST_HEADERS - 1 && request->headers[i].name != NULL)
		i++;
	request->headers[i].name = name;
	request->headers[i].value = value;
}

CsStep
gr_hash_body(CsConversation *c, CsRequest *request, int phase, int64 length)
{
	c->phase = phase;
	memset(request, 0, sizeof(*request));
	request->kind = CS_REQ_HASH_BODY;
	request->length = length;
	return CS_STEP_REQUEST;
}

const CsJson *
gr_json(CsConversation *c, const CsResponse *answer)
{
	const char *problem;

	cs_json_free(c->json);
	c->json = NULL;
	if (answer->text != NULL && answer->text_len > 0)
		c->json = cs_json_parse(answer->text, answer->text_len, &problem);
	return c->json;
}

void
gr_if_match(CsConversation *c, CsRequest *request)
{
	const char *etag = c->item.etag;

	if (etag == NULL)
		return;
	/* as it was said; personal drives leave the quotes out */
	gr_header(request, "If-Match",
			  gr_keep(c, etag[0] == '"' || strncmp(etag, "W/", 2) == 0
							 ? pstrdup(etag)
							 : psprintf("\"%s\"", etag)));
}

bool
gr_good(const CsResponse *answer)
{
	return answer->error == 0 && answer->status / 100 == 2;
}

bool
gr_lost(const CsResponse *answer)
{
	if (answer->body_failure != NULL)
		return false;
	if (answer->status == 0)
		return answer->sent;
	/* 503 is said before anything is done; the others also by gateways */
	return answer->status == 500 || answer->status == 502 ||
		   answer->status == 504;
}

/* --- folders that are remembered ---------------------------------------------- */

uint64
gr_hash(const char *path)
{
	uint64 hash = UINT64CONST(14695981039346656037);

	for (; *path != '\0'; path++)
	{
		hash ^= (unsigned char) *path;
		hash *= UINT64CONST(1099511628211);
	}
	return hash != 0 ? hash : 1;
}

const char *
gr_known(const GrService *service, const char *path)
{
	uint64 hash = gr_hash(path);
	const GrKnown *known = &service->known[hash % GR_KNOWN];

	if (strcmp(path, "/") == 0)
		return service->root_id;
	return known->hash == hash ? known->id : NULL;
}

void
gr_remember(GrService *service, const char *path, const char *id)
{
	uint64 hash = gr_hash(path);
	GrKnown *known = &service->known[hash % GR_KNOWN];

	if (id == NULL || strlen(id) >= GR_ID || strcmp(path, "/") == 0)
		return;
	known->hash = hash;
	strlcpy(known->id, id, GR_ID);
}

void
gr_forget_all(GrService *service)
{
	memset(service->known, 0, sizeof(service->known));
}

void
gr_forget(GrService *service, const char *path)
{
	char *level = pstrdup(path);

	while (strcmp(level, "/") != 0)
	{
		uint64 hash = gr_hash(level);
		char *parent = cs_path_parent(level);

		if (service->known[hash % GR_KNOWN].hash == hash)
			service->known[hash % GR_KNOWN].hash = 0;
		pfree(level);
		level = parent;
	}
	pfree(level);
}

/* --- what lives as long as the service ------------------------------------------ */

char *
gr_lasting(GrService *service, const char *text)
{
	size_t size = strlen(text) + 1;
#ifndef FRONTEND
	char *copy = MemoryContextAlloc(GetMemoryChunkContext(service), size);
#else
	char *copy = palloc(size);
#endif

	memcpy(copy, text, size);
	return copy;
}

static GrLink *
lasting_links(GrService *service)
{
	size_t size = GR_LINKS * sizeof(GrLink);

#ifndef FRONTEND
	return MemoryContextAllocZero(GetMemoryChunkContext(service), size);
#else
	return palloc0(size);
#endif
}

/* --- download addresses that are remembered ------------------------------------ */

static void
drop_link(GrService *service, GrLink *link)
{
	size_t len;

	if (link->id == NULL)
		return;
	len = strlen(link->url);
	OPENSSL_cleanse(link->url, len);
	service->link_bytes -= len;
	pfree(link->id);
	pfree(link->version);
	pfree(link->url);
	memset(link, 0, sizeof(*link));
}

/*
 * The place of an id: where it is, or else a free one, or else one whose
 * address must go for it.
 */
static GrLink *
link_of(GrService *service, const char *id)
{
	uint64 hash = gr_hash(id);
	GrLink *unused = NULL;

	for (int i = 0; i < GR_LINK_PLACES; i++)
	{
		GrLink *link = &service->links[(hash + i) % GR_LINKS];

		if (link->id == NULL)
			unused = unused == NULL ? link : unused;
		else if (strcmp(link->id, id) == 0)
			return link;
	}
	return unused != NULL ? unused : &service->links[hash % GR_LINKS];
}

/*
 * See graph.h. What a great listing told is fetched by now or costs a request
 * more; the addresses end within the hour.
 */
void
gr_make_room_for_links(GrService *service)
{
	if (service->link_bytes <= GR_LINK_BYTES / 2)
		return;
	for (int i = 0; i < GR_LINKS; i++)
		drop_link(service, &service->links[i]);
}

/* If there is no room, the document costs a request more. */
void
gr_remember_link(GrService *service, const GrItem *item)
{
	GrLink *link;

	if (item->link == NULL || item->id == NULL || item->version == NULL ||
		!gr_is_safe(service, item->link))
		return;
	if (service->links == NULL)
		service->links = lasting_links(service);
	link = link_of(service, item->id);
	drop_link(service, link);
	if (service->link_bytes + strlen(item->link) > GR_LINK_BYTES)
		return;
	link->id = gr_lasting(service, item->id);
	link->version = gr_lasting(service, item->version);
	link->url = gr_lasting(service, item->link);
	service->link_bytes += strlen(link->url);
}

char *
gr_take_link(GrService *service, const char *id, const char *version)
{
	GrLink *link;
	char *url = NULL;

	if (service->links == NULL || id == NULL)
		return NULL;
	link = link_of(service, id);
	if (link->id == NULL || strcmp(link->id, id) != 0)
		return NULL;
	if (version == NULL || strcmp(link->version, version) == 0)
		url = pstrdup(link->url);
	drop_link(service, link);
	return url;
}
