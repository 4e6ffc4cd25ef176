/*
 * graph_delta.c
 *	  LIST of a whole drive by the Microsoft Graph provider: everything, and
 *	  later what changed since (delta). The service gives state, not events: the
 *	  last word on an item counts, items come more than once and in any order,
 *	  and without their paths, which are put together here as far as the folders
 *	  have been seen. A cursor names the drive, its root, and the address that
 *	  the service gave for what comes next.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/path.h"
#include "graph.h"

#define BUCKETS 4096
#define MAX_ORPHANS 20000
#define MAX_EMPTY_PAGES 1000

enum
{
	DELTA_START,
	DELTA_NOW,
	DELTA_ANSWERED,
	DELTA_PAGED,
	DELTA_LAST_PAGED
};

bool
gr_is_whole_drive(const CsOp *op)
{
	return op->recursive && op->id == NULL && strcmp(op->path, "/") == 0;
}

/* --- folders seen -------------------------------------------------------------------- */

static GrFolder **
bucket_of(CsConversation *c, const char *id)
{
	if (c->tree == NULL)
		c->tree = palloc0(BUCKETS * sizeof(GrFolder *));
	return &c->tree[gr_hash(id) % BUCKETS];
}

static const char *
folder_path(CsConversation *c, const char *id)
{
	if (id == NULL)
		return NULL;
	if (c->service->root_id != NULL && strcmp(id, c->service->root_id) == 0)
		return "/";
	for (GrFolder *f = *bucket_of(c, id); f != NULL; f = f->next)
	{
		if (strcmp(f->id, id) == 0)
			return f->path;
	}
	return NULL;
}

static void
note_folder(CsConversation *c, const char *id, const char *path)
{
	GrFolder **bucket = bucket_of(c, id);
	GrFolder *folder = *bucket;

	while (folder != NULL && strcmp(folder->id, id) != 0)
		folder = folder->next;
	if (folder == NULL)
	{
		folder = palloc0(sizeof(GrFolder));
		folder->id = pstrdup(id);
		folder->next = *bucket;
		*bucket = folder;
	}
	else
		pfree(folder->path);
	folder->path = pstrdup(path);
}

/* --- entries ------------------------------------------------------------------------- */

static void
learn_root(CsConversation *c, const GrItem *item)
{
	if (c->service->root_id == NULL)
		c->service->root_id = gr_lasting(c->service, item->id);
}

/* Kept until its folder is seen, in a listing whose entries need their paths. */
static void
add_orphan(CsConversation *c, const CsEntry *entry)
{
	CsConversation aside = {.page = c->orphans,
							.n_page = c->n_orphans,
							.page_room = c->orphans_room};

	if (c->n_orphans >= MAX_ORPHANS)
	{
		c->incomplete = true;
		return;
	}
	gr_page_add(&aside, entry);
	c->orphans = aside.page;
	c->n_orphans = aside.n_page;
	c->orphans_room = aside.page_room;
}

static void
add_item(CsConversation *c, const GrItem *item)
{
	const char *folder = folder_path(c, item->parent_id);
	bool good = item->name != NULL &&
				cs_path_name_problem(item->name, CS_PATH_CONTROLS) == NULL;
	char *path = NULL;
	CsEntry entry;

	if (folder != NULL && item->name != NULL)
		path = good ? cs_path_join(folder, item->name)
					: psprintf("%s//%s", folder, item->name);
	gr_entry(item, path, &entry);
	entry.name = item->name;
	entry.gone = item->deleted;
	entry.parent_id = item->parent_id;
	if (!good && !item->deleted)
		entry.refused = "Its name cannot be written as a path.";
	if (item->deleted)
		entry.path = NULL;
	else if (item->kind == CS_ENTRY_FOLDER && path != NULL)
		note_folder(c, item->id, path);
	if (entry.path == NULL && c->op.cursor == NULL)
	{
		if (!item->deleted)
			add_orphan(c, &entry);
	}
	else
		gr_page_add(c, &entry);
	if (path != NULL)
		pfree(path);
}

/* Those whose folders have been seen by now, again and again. */
static void
add_orphans(CsConversation *c)
{
	bool any = c->n_orphans > 0;

	while (any)
	{
		int left = 0;

		any = false;
		for (int i = 0; i < c->n_orphans; i++)
		{
			CsEntry *entry = &c->orphans[i];
			const char *folder = folder_path(c, entry->parent_id);

			if (folder == NULL || entry->name == NULL)
			{
				c->orphans[left++] = *entry;
				continue;
			}
			entry->path = entry->refused == NULL ||
								  cs_path_name_problem(
									  entry->name, CS_PATH_CONTROLS) == NULL
							  ? cs_path_join(folder, entry->name)
							  : psprintf("%s//%s", folder, entry->name);
			if (entry->kind == CS_ENTRY_FOLDER)
				note_folder(c, entry->id, entry->path);
			gr_page_add(c, entry);
			gr_entry_free(entry);
			any = true;
		}
		c->n_orphans = left;
	}
}

/*
 * The items of a page, each once: of those that come more than once the last.
 * Others are NULL. A table of their places, found by their ids' hashes.
 */
static const CsJson **
last_words(const CsJson *value)
{
	const CsJson **items = palloc(Max(value->n, 1) * sizeof(CsJson *));
	uint32 size = 16;
	int *places;
	int n = 0;

	while (size < (uint32) value->n * 2)
		size *= 2;
	places = palloc0(size * sizeof(int));
	for (const CsJson *each = value->first; each != NULL; each = each->next)
	{
		const char *id = cs_json_text(each, "id");
		uint32 at = id != NULL ? (uint32) gr_hash(id) & (size - 1) : 0;

		items[n++] = id != NULL ? each : NULL;
		while (id != NULL && places[at] != 0)
		{
			int before = places[at] - 1;

			if (items[before] != NULL &&
				strcmp(cs_json_text(items[before], "id"), id) == 0)
			{
				items[before] = NULL;
				break;
			}
			at = (at + 1) & (size - 1);
		}
		if (id != NULL)
			places[at] = n;
	}
	pfree(places);
	return items;
}

static void
add_items(CsConversation *c, const CsJson *value)
{
	const CsJson **items = last_words(value);
	GrItem item;

	for (int i = 0; i < value->n; i++)
	{
		if (items[i] != NULL && cs_json_member(items[i], "root") != NULL &&
			gr_read_item(items[i], &item))
		{
			learn_root(c, &item);
			gr_item_free(&item);
			items[i] = NULL;
		}
	}
	for (int i = 0; i < value->n; i++)
	{
		if (items[i] == NULL || !gr_read_item(items[i], &item))
			continue;
		add_item(c, &item);
		if (item.kind == CS_ENTRY_FILE && !item.deleted)
			gr_remember_link(c->service, &item);
		gr_item_free(&item);
	}
	pfree(items);
}

/* --- the cursor ---------------------------------------------------------------------- */

/* "drive root kind address" */
static char *
make_cursor(const CsConversation *c, const char *url)
{
	return psprintf("%s %s %s %s", c->service->drive,
					c->service->root_id != NULL ? c->service->root_id : "-",
					c->service->personal ? "personal" : "work", url);
}

/* Takes from the cursor what need not be asked for then. False: it is none. */
bool
gr_cursor_read(CsConversation *c)
{
	GrService *service = c->service;
	char *words[3];
	const char *at = c->op.cursor;

	for (int i = 0; i < 3; i++)
	{
		size_t len = strcspn(at, " ");

		if (len == 0 || at[len] != ' ')
			return false;
		words[i] = pnstrdup(at, len);
		at += len + 1;
	}
	if (!gr_is_own(service, at) ||
		(service->drive != NULL &&
		 strcmp(gr_drive_id(service->drive), gr_drive_id(words[0])) != 0))
		return false;
	if (service->drive == NULL)
	{
		service->drive = gr_lasting(service, words[0]);
		service->personal = strcmp(words[2], "personal") == 0;
	}
	if (service->root_id == NULL && strcmp(words[1], "-") != 0)
		service->root_id = gr_lasting(service, words[1]);
	c->next_url = pstrdup(at);
	return true;
}

/* --- answers -------------------------------------------------------------------------- */

static CsStep
ask_page(CsConversation *c, CsRequest *request, char *url)
{
	gr_ask(c, request, DELTA_ANSWERED, "GET", url);
	request->max_answer = GR_PAGE;
	return CS_STEP_REQUEST;
}

static CsStep
failed(CsConversation *c, const CsResponse *answer, CsResult *result)
{
	bool refused = answer->error == 0 && answer->status == 410;

	gr_failed(result, answer, "list", c->op.path);
	/* no word on any folder: seen for a moment when one was deleted */
	if (!refused && result->failure.failure_class == CS_FAIL_GONE)
		result->failure.failure_class = CS_FAIL_RETRY_LATER;
	if (!refused && result->failure.failure_class != CS_FAIL_RESET)
		return CS_STEP_FAILED;
	/* of a listing in full there is no cursor that could be dropped */
	result->failure.failure_class =
		c->op.cursor != NULL ? CS_FAIL_RESET : CS_FAIL_RETRY_LATER;
	return CS_STEP_FAILED;
}

/*
 * A folder is listed by its children; what changes in the drive meanwhile, and
 * later, is what follows from now on.
 */
static CsStep
now_answered(CsConversation *c, const CsResponse *answer, CsRequest *request,
			 CsResult *result)
{
	const CsJson *json = gr_good(answer) ? gr_json(c, answer) : NULL;
	const char *delta = cs_json_text(json, "@odata.deltaLink");

	if (delta == NULL)
		return failed(c, answer, result);
	if (!gr_is_own(c->service, delta) || strstr(delta, "token=latest") != NULL)
		return gr_fail(result, CS_FAIL_RETRY_LATER, c->op.path,
					   "is given a cursor that means nothing");
	c->cursor = make_cursor(c, delta);
	c->step = gr_list;
	c->phase = 0;
	return gr_list(c, NULL, request, result);
}

/*
 * Have we been at this address before? Compared with one of the past that is
 * moved on after twice as many pages each time, so that any circle is noticed.
 */
bool
gr_goes_in_circles(CsConversation *c, const char *next)
{
	uint64 hash = gr_hash(next);

	if (c->pages > 0 && hash == c->circle_hash)
		return true;
	c->pages++;
	if ((c->pages & (c->pages - 1)) == 0)
		c->circle_hash = hash;
	c->empty_pages = c->n_page > 0 ? 0 : c->empty_pages + 1;
	return c->empty_pages > MAX_EMPTY_PAGES;
}

static CsStep
answered(CsConversation *c, const CsResponse *answer, CsRequest *request,
		 CsResult *result)
{
	const CsJson *json = gr_good(answer) ? gr_json(c, answer) : NULL;
	const CsJson *value = cs_json_member(json, "value");
	const char *next = cs_json_text(json, "@odata.nextLink");
	const char *delta = cs_json_text(json, "@odata.deltaLink");

	if (value == NULL || value->kind != CS_JSON_ARRAY)
		return failed(c, answer, result);
	gr_page_clear(c);
	add_items(c, value);
	add_orphans(c);
	if (next == NULL && delta == NULL)
		return gr_fail(result, CS_FAIL_RETRY_LATER, c->op.path,
					   "is listed neither to its end nor further");
	if (!gr_is_own(c->service, next != NULL ? next : delta))
		return gr_fail(result, CS_FAIL_BROKEN, c->op.path,
					   "goes on at another host, as the service says");
	if (next != NULL)
	{
		if (gr_goes_in_circles(c, next))
			return gr_fail(result, CS_FAIL_RETRY_LATER, c->op.path,
						   "is listed without end by the service");
		c->next_url = pstrdup(next);
		return gr_page(c, request, result, DELTA_PAGED);
	}
	if (strstr(delta, "token=latest") != NULL)
		return gr_fail(result, CS_FAIL_RETRY_LATER, c->op.path,
					   "is given a cursor that means nothing");
	c->cursor = make_cursor(c, delta);
	c->incomplete = c->incomplete || c->n_orphans > 0;
	return gr_page(c, request, result, DELTA_LAST_PAGED);
}

CsStep
gr_delta(CsConversation *c, const CsResponse *answer, CsRequest *request,
		 CsResult *result)
{
	char *url;

	switch (c->phase)
	{
		case DELTA_START:
			if (c->op.cursor == NULL && !gr_is_whole_drive(&c->op))
			{
				ask_page(c, request,
						 gr_path_url(c, "/", "delta",
									 GR_SELECT_MANY "&token=latest"));
				c->phase = DELTA_NOW;
				return CS_STEP_REQUEST;
			}
			if (c->op.cursor == NULL)
				return ask_page(c, request,
								gr_path_url(c, "/", "delta", GR_SELECT_MANY));
			if (c->next_url == NULL)
				return gr_fail(result, CS_FAIL_RESET, c->op.path,
							   "is to be listed by a cursor of another drive "
							   "or service");
			gr_make_room_for_links(c->service);
			/* FALLTHROUGH */
		case DELTA_PAGED:
			url = c->next_url;
			c->next_url = NULL;
			cs_json_free(c->json);
			c->json = NULL;
			return ask_page(c, request, url);
		case DELTA_NOW:
			return now_answered(c, answer, request, result);
		case DELTA_ANSWERED:
			return answered(c, answer, request, result);
		default: /* DELTA_LAST_PAGED */
			result->cursor = c->op.follow ? c->cursor : NULL;
			result->incomplete = c->incomplete;
			return CS_STEP_DONE;
	}
}
