/*
 * gdrive_request.c
 *	  Requests of the Google Drive provider and what they rest on: addresses,
 *	  answers as JSON, folders known by their paths, ids given beforehand, and
 *	  the sessions that a later attempt goes on with.
 *
 * Ids come from the service and go into addresses: only what looks like one is
 * taken for one.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/hash.h"
#include "gdrive.h"

#define ID_CHARACTERS                                                          \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

/* See gdrive.h. */
char *
gd_keep(CsConversation *c, char *string)
{
	Assert(c->n_strings < GD_STRINGS);
	c->strings[c->n_strings++] = string;
	return string;
}

/* See gdrive.h. */
CsStep
gd_ask(CsConversation *c, CsRequest *request, int phase, const char *method,
	   char *path)
{
	for (int i = 0; i < c->n_strings; i++)
		pfree(c->strings[i]);
	c->n_strings = 0;
	c->n_headers = 0;
	memset(request, 0, sizeof(*request));
	request->kind = CS_REQ_HTTP;
	request->method = method;
	gd_keep(c, path);
	if (path[0] == '/')
		request->url = gd_keep(c, psprintf("%s%s", c->service->head.url, path));
	else
	{
		if (c->address != NULL)
			pfree(c->address);
		c->address = pstrdup(path);
		request->url = path;
	}
	c->phase = phase;
	return CS_STEP_REQUEST;
}

/* See gdrive.h. The value must live until the answer comes. */
void
gd_header(CsConversation *c, CsRequest *request, const char *name,
		  const char *value)
{
	Assert(c->n_headers < CS_REQUEST_HEADERS - 1);
	request->headers[c->n_headers].name = name;
	request->headers[c->n_headers++].value = value;
}

/* See gdrive.h. */
void
gd_send_json(CsConversation *c, CsRequest *request, StringInfo json)
{
	gd_header(c, request, "Content-Type", "application/json; charset=UTF-8");
	request->send = CS_SEND_TEXT;
	request->text = gd_keep(c, json->data);
	request->text_len = json->len;
}

/* See gdrive.h. */
const char *
gd_fields(void)
{
	return "fields=id%2Cname%2CmimeType%2Cparents%2Csize%2Cmd5Checksum%2C"
		   "sha256Checksum%2CcreatedTime%2CmodifiedTime%2Cversion%2C"
		   "headRevisionId%2Ctrashed%2C"
		   "shortcutDetails%28targetId%2CtargetMimeType%29%2C"
		   "capabilities%28canDownload%29%2CwebViewLink";
}

/* See gdrive.h. */
char *
gd_file_path(const char *id, const char *more)
{
	return psprintf("/drive/v3/files/%s?supportsAllDrives=true%s%s", id,
					more[0] != '\0' ? "&" : "", more);
}

/* See gdrive.h. */
CsStep
gd_ask_file(CsConversation *c, CsRequest *request, int phase, const char *id)
{
	return gd_ask(c, request, phase, "GET", gd_file_path(id, gd_fields()));
}

/* See gdrive.h. */
bool
gd_id_ok(const char *id)
{
	size_t len = id != NULL ? strlen(id) : 0;

	return len > 0 && len < GD_ID && strspn(id, ID_CHARACTERS) == len;
}

/* See gdrive.h. */
bool
gd_good(const CsResponse *answer)
{
	return answer->error == 0 &&
		   (answer->status == 200 || answer->status == 201);
}

/* See gdrive.h. */
bool
gd_lost(const CsResponse *answer)
{
	if (answer->body_failure != NULL)
		return false;
	if (answer->error != 0 || answer->status == 0)
		return answer->sent;
	return answer->status >= 500;
}

/* See gdrive.h. */
const CsJson *
gd_json(CsConversation *c, const CsResponse *answer, const char *action,
		const char *path)
{
	const char *problem;

	cs_json_free(c->tree);
	c->tree = NULL;
	if (!gd_good(answer))
	{
		gd_failure(&c->failure, answer, action, path);
		return NULL;
	}
	c->tree = cs_json_parse(answer->text, answer->text_len, &problem);
	if (c->tree != NULL && c->tree->kind == CS_JSON_OBJECT)
		return c->tree;
	cs_failure_set(&c->failure, CS_FAIL_BROKEN,
				   c->tree == NULL ? problem : "it is no JSON object",
				   "could not %s \"%s\": the answer makes no sense", action,
				   path);
	cs_json_free(c->tree);
	c->tree = NULL;
	return NULL;
}

/*
 * See gdrive.h. Compared with one of the past that is moved on after twice as
 * many pages each time, so that any circle is noticed.
 */
bool
gd_goes_in_circles(CsConversation *c, const char *token, const CsJson *files)
{
	bool same = token != NULL && c->before != NULL &&
				strcmp(token, c->before) == 0;

	if (token == NULL)
		c->pages = c->empty_pages = 0;
	else
		c->pages++;
	if (c->before != NULL && (c->pages & (c->pages - 1)) == 0)
	{
		pfree(c->before);
		c->before = NULL;
	}
	if (token == NULL)
		return false;
	if ((c->pages & (c->pages - 1)) == 0)
		c->before = pstrdup(token);
	/* the log of changes may stand still for some pages */
	if (files != NULL && files->first != NULL)
		c->empty_pages = 0;
	else
		c->empty_pages += same ? GD_MAX_EMPTY / 10 : 1;
	return (same && c->empty_pages == 0) || c->empty_pages > GD_MAX_EMPTY;
}

/* --- folders known --------------------------------------------------------------- */

static void
key_of(uint8 *key, const char *text, size_t len)
{
	uint8 sha256[CS_SHA256_LENGTH];

	cs_sha256(text, len, sha256);
	memcpy(key, sha256, GD_KEY);
}

static int
slot_of(const uint8 *key)
{
	return (key[0] | key[1] << 8) % GD_KNOWN;
}

/* See gdrive.h. */
const char *
gd_known(const GdService *service, const char *path, size_t len)
{
	uint8 key[GD_KEY];
	const GdKnown *known;

	key_of(key, path, len);
	known = &service->known[slot_of(key)];
	return known->id[0] != '\0' && memcmp(known->key, key, GD_KEY) == 0
			   ? known->id
			   : NULL;
}

/* See gdrive.h. */
void
gd_remember(GdService *service, const char *path, size_t len, const char *id)
{
	uint8 key[GD_KEY];
	GdKnown *known;

	key_of(key, path, len);
	known = &service->known[slot_of(key)];
	memcpy(known->key, key, GD_KEY);
	strlcpy(known->id, id, GD_ID);
}

/* See gdrive.h. */
void
gd_forget(GdService *service, const char *path)
{
	for (size_t len = strlen(path); len > 0; len--)
	{
		uint8 key[GD_KEY];
		GdKnown *known;

		if (path[len] != '\0' && path[len] != '/')
			continue;
		key_of(key, path, len);
		known = &service->known[slot_of(key)];
		if (memcmp(known->key, key, GD_KEY) == 0)
			known->id[0] = '\0';
	}
}

/* See gdrive.h. */
void
gd_forget_all(GdService *service)
{
	memset(service->known, 0, sizeof(service->known));
}

static void
making_key(uint8 *key, const char *parent, const char *name)
{
	char *text = psprintf("%s/%s", parent, name);

	key_of(key, text, strlen(text));
	pfree(text);
}

/* See gdrive.h. Two that make one folder at once make it under one id. */
const char *
gd_making(const GdService *service, const char *parent, const char *name)
{
	uint8 key[GD_KEY];

	making_key(key, parent, name);
	for (int i = 0; i < GD_MAKING; i++)
	{
		if (service->making[i].id[0] != '\0' &&
			memcmp(service->making[i].key, key, GD_KEY) == 0)
			return service->making[i].id;
	}
	return NULL;
}

/* See gdrive.h. */
void
gd_is_making(GdService *service, const char *parent, const char *name,
			 const char *id)
{
	GdKnown *making = &service->making[service->next_making];
	const char *other = gd_making(service, parent, name);

	if (other != NULL)
	{
		/* it turned out to be of no use */
		strlcpy(unconstify(char *, other), id, GD_ID);
		return;
	}
	service->next_making = (service->next_making + 1) % GD_MAKING;
	making_key(making->key, parent, name);
	strlcpy(making->id, id, GD_ID);
}

/* --- ids given beforehand ---------------------------------------------------------- */

/* See gdrive.h. */
bool
gd_take_id(GdService *service, char *id)
{
	if (service->n_ids == 0)
		return false;
	strlcpy(id, service->ids[--service->n_ids], GD_ID);
	return true;
}

/* See gdrive.h. While there are some left, so that others need not wait. */
bool
gd_wants_ids(const GdService *service)
{
	return service->n_ids == 0 ||
		   (service->n_ids <= service->few_ids && !service->asking_ids);
}

/* See gdrive.h. */
CsStep
gd_ask_ids(CsConversation *c, CsRequest *request, int phase)
{
	c->service->asking_ids = true;
	return gd_ask(
		c, request, phase, "GET",
		psprintf("/drive/v3/files/generateIds?count=%d&space=drive&type=files",
				 GD_IDS));
}

/* See gdrive.h. Somebody else may have been given some meanwhile. */
bool
gd_read_ids(CsConversation *c, const CsResponse *answer)
{
	const CsJson *json = gd_json(c, answer, "get ids for", c->op.path);
	const CsJson *ids = cs_json_member(json, "ids");
	GdService *service = c->service;

	service->asking_ids = false;
	if (json == NULL)
		return service->n_ids > 0;
	for (const CsJson *id = ids != NULL ? ids->first : NULL; id != NULL;
		 id = id->next)
	{
		if (id->kind == CS_JSON_STRING && gd_id_ok(id->text) &&
			service->n_ids < GD_IDS)
			strlcpy(service->ids[service->n_ids++], id->text, GD_ID);
	}
	service->few_ids = Min(service->n_ids / 8, GD_FEW_IDS);
	if (service->n_ids > 0)
		return true;
	cs_failure_set(&c->failure, CS_FAIL_BROKEN, NULL,
				   "Google Drive gave no ids for new files");
	return false;
}

/* --- sessions ---------------------------------------------------------------------- */

/*
 * "id:ID", the file's id, or "id!:ID" if the file is only replaced; for an
 * upload "secret:" before that, and " size:BYTES upload:ADDRESS" behind: its
 * address is all that is needed to write to it.
 */
char *
gd_session(const GdSession *parts)
{
	const char *word = parts->is_new ? "id:" : "id!:";

	if (parts->upload == NULL)
		return psprintf("%s%s", word, parts->id);
	return psprintf("secret:%s%s size:%lld upload:%s", word, parts->id,
					(long long) parts->size, parts->upload);
}

/* See gdrive.h. False: it is none of ours. */
bool
gd_session_read(const char *session, GdSession *parts)
{
	size_t len;
	long long size;
	int used = 0;

	memset(parts, 0, sizeof(*parts));
	if (session == NULL)
		return false;
	if (strncmp(session, "secret:", 7) == 0)
		session += 7;
	parts->is_new = strncmp(session, "id:", 3) == 0;
	if (!parts->is_new && strncmp(session, "id!:", 4) != 0)
		return false;
	session += parts->is_new ? 3 : 4;
	len = strcspn(session, " ");
	if (len == 0 || len >= GD_ID)
		return false;
	memcpy(parts->id, session, len);
	if (!gd_id_ok(parts->id))
		return false;
	if (sscanf(session + len, " size:%lld upload:%n", &size, &used) == 1 &&
		used > 0)
	{
		parts->size = size;
		parts->upload = pstrdup(session + len + used);
	}
	return true;
}
