/*
 * gdrive_way.c
 *	  From paths to ids. Google Drive knows no paths: a folder is found level by
 *	  level, by its parent's id and its name, and remembered. Several things may
 *	  have one name in one folder; ours are known by their ids, and of others the
 *	  oldest counts.
 *
 * A folder is made under an id that was given beforehand and is written down
 * (CHECKPOINT) before the request: whatever becomes of the answer, another
 * attempt makes no second one.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/path.h"
#include "cloudsync/utf8.h"
#include "gdrive.h"

#define MAX_RESTARTS 2

/* --- a name in a folder ------------------------------------------------------------ */

/*
 * Can Drive be asked for the name? Its comparison takes no heed of case, so what
 * it finds is compared here; but it misses names with accented capitals, and
 * what our paths write otherwise has another name there.
 */
static bool
can_be_asked_for(const char *name)
{
	size_t left = strlen(name);

	while (left > 0)
	{
		uint32 character;
		int len = cs_utf8_decode(name, left, &character);

		if (len <= 0 || character == 0x2215 || character == 0x2024 ||
			(character > 0x7f && cs_utf8_fold(character) != character))
			return false;
		name += len;
		left -= len;
	}
	return true;
}

/* A text in a query: \ and ' escaped. */
static void
append_quoted(StringInfo query, const char *text)
{
	appendStringInfoChar(query, '\'');
	for (; *text != '\0'; text++)
	{
		if (*text == '\\' || *text == '\'')
			appendStringInfoChar(query, '\\');
		appendStringInfoChar(query, *text);
	}
	appendStringInfoChar(query, '\'');
}

static CsStep
ask_page(CsConversation *c, CsRequest *request, const char *token)
{
	const GdService *service = c->service;
	StringInfoData path;

	initStringInfo(&path);
	appendStringInfo(&path,
					 "/drive/v3/files?supportsAllDrives=true"
					 "&includeItemsFromAllDrives=true&pageSize=%d"
					 "&fields=nextPageToken%%2CincompleteSearch%%2C"
					 "files%%28id%%2Cname%%2C"
					 "mimeType%%2CcreatedTime%%2CshortcutDetails%%29&q=%s",
					 GD_PAGE, c->look.query);
	if (service->drive_id != NULL)
		appendStringInfo(&path, "&corpora=drive&driveId=%s", service->drive_id);
	if (token != NULL)
	{
		char *encoded = cs_url_encode(token);

		appendStringInfo(&path, "&pageToken=%s", encoded);
		pfree(encoded);
	}
	(void) gd_ask(c, request, c->phase, "GET", path.data);
	request->max_answer = GD_MAX_PAGE;
	return CS_STEP_REQUEST;
}

/* See gdrive.h. Of whatever has the name, or of folders alone. */
CsStep
gd_look(CsConversation *c, CsRequest *request, const char *parent,
		const char *name, bool folders)
{
	GdLook *look = &c->look;
	StringInfoData query;

	initStringInfo(&query);
	appendStringInfo(&query, "'%s' in parents and trashed=false", parent);
	if (can_be_asked_for(name))
	{
		appendStringInfoString(&query, " and name=");
		append_quoted(&query, name);
	}
	memset(look, 0, sizeof(*look));
	look->parent = pstrdup(parent);
	look->name = pstrdup(name);
	look->query = cs_url_encode(query.data);
	look->folders = folders;
	pfree(query.data);
	(void) gd_goes_in_circles(c, NULL, NULL);
	return ask_page(c, request, NULL);
}

/* The oldest of those that have the name, so that everybody finds the same. */
static void
consider(GdLook *look, const CsJson *json)
{
	GdFile file;
	const char *id;
	bool is_folder;
	char *name;
	bool same;

	if (!gd_file_read(json, &file))
		return;
	is_folder = gd_is_folder(&file);
	id = file.id;
	if (file.target != NULL && file.target_mime != NULL &&
		strcmp(file.target_mime, GD_FOLDER) == 0)
	{
		is_folder = true;
		id = look->folders ? file.target : file.id;
	}
	if (look->folders && !is_folder)
		return;
	name = gd_name(&file, NULL);
	same = strcmp(name, look->name) == 0;
	pfree(name);
	if (!same)
		return;
	if (look->id[0] != '\0')
	{
		int older = strcmp(look->created, file.created ? file.created : "");

		if (older < 0 || (older == 0 && strcmp(look->id, id) <= 0))
			return;
	}
	strlcpy(look->id, id, GD_ID);
	strlcpy(look->created, file.created ? file.created : "",
			sizeof(look->created));
	look->is_folder = is_folder;
}

/* See gdrive.h. */
GdSub
gd_looked(CsConversation *c, const CsResponse *answer, CsRequest *request)
{
	const CsJson *json = gd_json(c, answer, "look for", c->op.path);
	const CsJson *files = cs_json_member(json, "files");
	const char *token = cs_json_text(json, "nextPageToken");

	if (json == NULL)
		return GD_FAIL;
	if (cs_json_is_true(json, "incompleteSearch"))
		c->look.incomplete = true;
	for (const CsJson *file = files != NULL ? files->first : NULL; file != NULL;
		 file = file->next)
		consider(&c->look, file);
	if (token != NULL && gd_goes_in_circles(c, token, files))
	{
		cs_failure_set(&c->failure, CS_FAIL_RETRY_LATER, NULL,
					   "could not look for \"%s\": the service searches without "
					   "end",
					   c->op.path);
		return GD_FAIL;
	}
	if (token != NULL)
	{
		ask_page(c, request, token);
		return GD_ASK;
	}
	if (c->look.id[0] != '\0')
		return GD_OK;
	if (!c->look.incomplete)
		return GD_ABSENT;
	cs_failure_set(&c->failure, CS_FAIL_RETRY_LATER, NULL,
				   "could not look for \"%s\": Google's search did not come to "
				   "its end",
				   c->op.path);
	return GD_FAIL;
}

/* --- a folder's path --------------------------------------------------------------- */

enum
{
	WAY_LOOKED,
	WAY_IDS,
	WAY_CHECKPOINTED,
	WAY_MADE,
	WAY_CHECKED
};

/* Length of path up to the end of the level after done. */
static size_t
level_end(const GdWay *way)
{
	size_t end = way->done + 1;

	if (way->done == 0 || way->path[way->done] == '/')
		end += strcspn(way->path + end, "/");
	return end;
}

/* The name of that level; palloc'd. */
static char *
level_name(const GdWay *way)
{
	size_t start = way->done + 1;

	return pnstrdup(way->path + start, level_end(way) - start);
}

/* The id under which an attempt that was cut off was making this level. */
static bool
id_of_session(CsConversation *c, char *id)
{
	size_t len = level_end(&c->way);
	const char *line = c->way.session.data;

	while (line != NULL && *line != '\0')
	{
		const char *space = strchr(line, ' ');
		const char *end = strchr(line, '\n');

		if (space == NULL || end == NULL || space > end)
			return false;
		if ((size_t) (end - space - 1) == len &&
			strncmp(space + 1, c->way.path, len) == 0 && space - line < GD_ID)
		{
			memcpy(id, line, space - line);
			id[space - line] = '\0';
			return gd_id_ok(id);
		}
		line = end + 1;
	}
	return false;
}

/* The level has this id: on to the next. */
static GdSub
level_done(CsConversation *c, const char *id, bool made)
{
	GdWay *way = &c->way;

	strlcpy(way->id, id, GD_ID);
	way->done = level_end(way);
	way->made = made;
	way->known = false;
	gd_remember(c->service, way->path, way->done, id);
	return GD_OK;
}

static GdSub
make_level(CsConversation *c, CsRequest *request)
{
	GdWay *way = &c->way;
	char *name = level_name(way);
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfo(&json, "{\"id\":\"%s\",\"name\":", way->next_id);
	cs_json_quote(&json, name);
	appendStringInfo(&json,
					 ",\"mimeType\":\"" GD_FOLDER "\",\"parents\":[\"%s\"]}",
					 way->id);
	pfree(name);
	gd_ask(c, request, c->phase, "POST",
		   psprintf("/drive/v3/files?supportsAllDrives=true"
					"&ignoreDefaultVisibility=true&%s",
					gd_fields()));
	gd_send_json(c, request, &json);
	way->phase = WAY_MADE;
	return GD_ASK;
}

/* The level is not there: gets it an id, and writes that down. */
static GdSub
prepare_level(CsConversation *c, CsRequest *request, CsResult *result)
{
	GdWay *way = &c->way;
	char *name = level_name(way);
	const char *other =
		way->new_ids == 0 ? gd_making(c->service, way->id, name) : NULL;

	if (other != NULL)
		strlcpy(way->next_id, other, GD_ID);
	else if (!gd_take_id(c->service, way->next_id))
	{
		pfree(name);
		gd_ask_ids(c, request, c->phase);
		way->phase = WAY_IDS;
		return GD_ASK;
	}
	gd_is_making(c->service, way->id, name, way->next_id);
	pfree(name);
	appendStringInfo(&way->session, "%s %.*s\n", way->next_id,
					 (int) level_end(way), way->path);
	result->size = -1;
	result->session = way->session.data;
	way->phase = WAY_CHECKPOINTED;
	return GD_CHECKPOINT;
}

/* The next level, as far as one is left. */
static GdSub
next_level(CsConversation *c, CsRequest *request)
{
	GdWay *way = &c->way;
	char *name;

	if (way->path[way->done] == '\0' || strcmp(way->path, "/") == 0)
		return GD_OK;
	if (way->make && id_of_session(c, way->next_id))
		return make_level(c, request);
	name = level_name(way);
	gd_look(c, request, way->id, name, true);
	pfree(name);
	way->phase = WAY_LOOKED;
	return GD_ASK;
}

/* From what is known of the way, or from the root. */
static GdSub
start(CsConversation *c, CsRequest *request)
{
	GdWay *way = &c->way;

	strlcpy(way->id, c->service->root, GD_ID);
	way->done = 0;
	way->made = false;
	way->known = true;
	for (size_t len = strlen(way->path); len > 1; len--)
	{
		const char *id;

		if (way->path[len] != '\0' && way->path[len] != '/')
			continue;
		id = gd_known(c->service, way->path, len);
		if (id == NULL)
			continue;
		strlcpy(way->id, id, GD_ID);
		way->done = len;
		break;
	}
	return next_level(c, request);
}

/* See gdrive.h. */
GdSub
gd_way_begin(CsConversation *c, CsRequest *request, CsResult *result,
			 const char *path, bool make)
{
	GdWay *way = &c->way;

	memset(way, 0, sizeof(*way));
	way->path = pstrdup(path);
	way->make = make;
	initStringInfo(&way->session);
	if (make && c->op.kind == CS_OP_MKDIR && c->op.session != NULL)
		appendStringInfoString(&way->session, c->op.session);
	return start(c, request);
}

/* What was known of the way was wrong: from the root again, a few times. */
static GdSub
restart(CsConversation *c, CsRequest *request, GdSub otherwise)
{
	GdWay *way = &c->way;

	if (way->restarts++ >= MAX_RESTARTS)
		return otherwise;
	gd_forget(c->service, way->path);
	return start(c, request);
}

static GdSub
go_on(CsConversation *c, CsRequest *request)
{
	return next_level(c, request);
}

/* The id leads to something that is of no use, such as a folder in the trash. */
static GdSub
another_id(CsConversation *c, CsRequest *request, CsResult *result)
{
	GdWay *way = &c->way;

	if (way->new_ids++ >= MAX_RESTARTS)
	{
		cs_failure_set(&c->failure, CS_FAIL_BROKEN, NULL,
					   "could not make folder \"%s\": its ids are in use",
					   c->op.path);
		return GD_FAIL;
	}
	/* what was written down of it does not count any more */
	resetStringInfo(&way->session);
	return prepare_level(c, request, result);
}

/* An answer to the request that makes a level. */
static GdSub
level_made(CsConversation *c, const CsResponse *answer, CsRequest *request,
		   CsResult *result)
{
	GdWay *way = &c->way;

	if (gd_good(answer))
	{
		if (gd_take_file(c, answer, "make folder", c->op.path))
		{
			if (strcmp(c->file.id, way->next_id) == 0)
			{
				(void) level_done(c, way->next_id, true);
				return go_on(c, request);
			}
			cs_failure_set(&c->failure, CS_FAIL_BROKEN, NULL,
						   "could not make folder \"%s\": the answer tells of "
						   "another one",
						   c->op.path);
		}
	}
	else
	{
		gd_failure(&c->failure, answer, "make folder", c->op.path);
		if (gd_is_gone(answer) && way->done > 0)
			return restart(c, request, GD_FAIL);
		/* an id of something that was deleted for good is of no more use */
		if (answer->error == 0 && answer->status == 400 && way->new_ids == 0)
			return another_id(c, request, result);
		if (answer->status != 409 && !gd_lost(answer))
			return GD_FAIL;
	}
	/* somebody, or an attempt before, made it; or nobody knows */
	gd_ask_file(c, request, c->phase, way->next_id);
	way->phase = WAY_CHECKED;
	return GD_ASK;
}

static GdSub
level_checked(CsConversation *c, const CsResponse *answer, CsRequest *request,
			  CsResult *result)
{
	CsFailure before = c->failure;

	if (gd_take_file(c, answer, "look at", c->op.path))
	{
		if (!gd_is_folder(&c->file) || c->file.trashed)
			return another_id(c, request, result);
		(void) level_done(c, c->way.next_id, false);
		return go_on(c, request);
	}
	/* not there: what the request itself came to is said */
	if (gd_is_gone(answer))
	{
		if (before.failure_class == CS_FAIL_CONFLICT)
			return another_id(c, request, result);
		c->failure = before;
	}
	return GD_FAIL;
}

/* See gdrive.h. answer is NULL after a checkpoint. */
GdSub
gd_way(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	GdWay *way = &c->way;
	GdSub sub;

	switch (way->phase)
	{
		case WAY_LOOKED:
			sub = gd_looked(c, answer, request);
			if (sub == GD_OK)
			{
				(void) level_done(c, c->look.id, false);
				return go_on(c, request);
			}
			if (sub == GD_FAIL && gd_is_gone(answer))
				return restart(c, request, GD_ABSENT);
			if (sub == GD_ABSENT && way->make)
				return prepare_level(c, request, result);
			return sub;
		case WAY_IDS:
			if (!gd_read_ids(c, answer))
				return GD_FAIL;
			return prepare_level(c, request, result);
		case WAY_CHECKPOINTED:
			return make_level(c, request);
		case WAY_MADE:
			return level_made(c, answer, request, result);
		default: /* WAY_CHECKED */
			return level_checked(c, answer, request, result);
	}
}

/* --- MKDIR --------------------------------------------------------------------------- */

enum
{
	MKDIR_START,
	MKDIR_WAY,
	MKDIR_SEEN
};

/*
 * MKDIR. One that is only remembered is looked at: somebody may have put it into
 * the trash, where what is sent to it would not be seen.
 */
CsStep
gd_mkdir(CsConversation *c, const CsResponse *answer, CsRequest *request,
		 CsResult *result)
{
	GdSub sub;
	CsEntry *entry = &c->entry;

	if (c->phase == MKDIR_SEEN)
	{
		if (gd_take_file(c, answer, "look at", c->op.path))
		{
			if (!c->file.trashed && gd_is_folder(&c->file))
			{
				gd_entry_at(c->service, &c->file, c->op.path, entry);
				result->entry = *entry;
				return CS_STEP_DONE;
			}
		}
		else if (!gd_is_gone(answer) || strcmp(c->op.path, "/") == 0)
			return gd_give_failure(c, result);
		gd_forget(c->service, c->op.path);
	}
	if (c->phase == MKDIR_WAY)
		sub = gd_way(c, answer, request, result);
	else
	{
		c->phase = MKDIR_WAY;
		sub = gd_way_begin(c, request, result, c->op.path, true);
	}
	if (sub == GD_ASK)
		return CS_STEP_REQUEST;
	if (sub == GD_CHECKPOINT)
		return CS_STEP_CHECKPOINT;
	if (sub != GD_OK)
		return gd_give_failure(c, result);
	if (c->way.known)
		return gd_ask_file(c, request, MKDIR_SEEN, c->way.id);
	memset(entry, 0, sizeof(*entry));
	entry->kind = CS_ENTRY_FOLDER;
	entry->path = c->op.path;
	entry->name = cs_path_name(c->op.path);
	entry->id = c->way.id;
	entry->size = -1;
	entry->web_url =
		psprintf("https://drive.google.com/drive/folders/%s", c->way.id);
	result->entry = *entry;
	result->made = c->way.made;
	return CS_STEP_DONE;
}
