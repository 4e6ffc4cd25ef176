/*
 * graph_list.c
 *	  LIST of a folder by the Microsoft Graph provider: its children in pages,
 *	  and its folders in turn if the listing is recursive. A page's address is
 *	  the service's: it is requested as it is, at the service's own host alone.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/free.h"
#include "cloudsync/path.h"
#include "graph.h"

#define PATH_MOST 4096 /* bytes; the service takes 400 characters */

enum
{
	LIST_START,
	LIST_ANSWERED,
	LIST_PAGED
};

/* --- a page of entries ----------------------------------------------------------- */

void
gr_entry_free(CsEntry *entry)
{
	cs_free_text(entry->path);
	cs_free_text(entry->name);
	cs_free_text(entry->id);
	cs_free_text(entry->version);
	cs_free_text(entry->checksum);
	cs_free_text(entry->parent_id);
	cs_free_text(entry->web_url);
	cs_free_text(entry->refused);
}

void
gr_page_clear(CsConversation *c)
{
	for (int i = 0; i < c->n_page; i++)
		gr_entry_free(&c->page[i]);
	c->n_page = 0;
}

static const char *
copy(const char *text)
{
	return text != NULL ? pstrdup(text) : NULL;
}

void
gr_page_add(CsConversation *c, const CsEntry *entry)
{
	CsEntry *kept;

	if (c->n_page == c->page_room)
	{
		c->page_room = c->page_room == 0 ? 256 : c->page_room * 2;
		c->page = c->page == NULL
					  ? palloc(c->page_room * sizeof(CsEntry))
					  : repalloc(c->page, c->page_room * sizeof(CsEntry));
	}
	kept = &c->page[c->n_page++];
	*kept = *entry;
	kept->path = copy(entry->path);
	kept->name = copy(entry->name);
	kept->id = copy(entry->id);
	kept->version = copy(entry->version);
	kept->checksum = copy(entry->checksum);
	kept->parent_id = copy(entry->parent_id);
	kept->web_url = copy(entry->web_url);
	kept->refused = copy(entry->refused);
}

CsStep
gr_page(CsConversation *c, CsRequest *request, CsResult *result, int phase)
{
	c->phase = phase;
	if (c->n_page == 0)
		return c->step(c, NULL, request, result);
	result->entries = c->page;
	result->n_entries = c->n_page;
	return CS_STEP_PAGE;
}

/* --- folders still to be listed ---------------------------------------------------- */

static void
push_folder(CsConversation *c, const char *id, const char *path)
{
	if (c->n_folders + 2 > c->folders_room)
	{
		c->folders_room = c->folders_room == 0 ? 64 : c->folders_room * 2;
		c->folders =
			c->folders == NULL
				? palloc(c->folders_room * sizeof(char *))
				: repalloc(c->folders, c->folders_room * sizeof(char *));
	}
	c->folders[c->n_folders++] = pstrdup(id);
	c->folders[c->n_folders++] = pstrdup(path);
}

static CsStep
ask_page(CsConversation *c, CsRequest *request, char *url)
{
	gr_ask(c, request, LIST_ANSWERED, "GET", url);
	request->max_answer = GR_PAGE;
	return CS_STEP_REQUEST;
}

/* The next page, or folder; none: that was all. */
static CsStep
go_on(CsConversation *c, CsRequest *request, CsResult *result)
{
	char *id;

	gr_page_clear(c);
	if (c->next_url != NULL)
	{
		char *url = c->next_url;

		c->next_url = NULL;
		return ask_page(c, request, url);
	}
	if (c->n_folders == 0)
	{
		result->incomplete = c->incomplete;
		result->cursor = c->cursor;
		return CS_STEP_DONE;
	}
	pfree(c->folder);
	c->folder = c->folders[--c->n_folders];
	id = c->folders[--c->n_folders];
	ask_page(c, request, gr_id_url(c, id, "children", GR_SELECT_MANY));
	pfree(id);
	return CS_STEP_REQUEST;
}

/* --- answers ------------------------------------------------------------------------ */

static void
add_child(CsConversation *c, const GrItem *item)
{
	CsEntry entry;
	char *path;
	bool good;

	if (item->deleted)
		return;
	if (item->name == NULL)
	{
		c->incomplete = true;
		return;
	}
	good = cs_path_name_problem(item->name, CS_PATH_CONTROLS) == NULL;
	path = good ? cs_path_join(c->folder, item->name)
				: psprintf("%s//%s", c->folder, item->name);
	gr_entry(item, path, &entry);
	if (!good)
	{
		entry.name = item->name;
		entry.refused = "Its name cannot be written as a path.";
	}
	gr_page_add(c, &entry);
	pfree(path);
	if (!good)
		return;
	if (item->kind == CS_ENTRY_FILE)
		gr_remember_link(c->service, item);
	if (item->kind == CS_ENTRY_FOLDER)
	{
		const CsEntry *kept = &c->page[c->n_page - 1];

		if (c->op.recursive && strlen(kept->path) <= PATH_MOST)
			push_folder(c, kept->id, kept->path);
		else if (c->op.recursive)
			c->incomplete = true; /* one that is in itself, perhaps */
	}
}

/* A folder below the one that was asked for cannot be listed. */
static CsStep
folder_failed(CsConversation *c, const CsResponse *answer, CsRequest *request,
			  CsResult *result)
{
	CsEntry entry = {.kind = CS_ENTRY_FOLDER, .size = -1};
	CsFailure failure = {0};

	gr_failure(&failure, answer, "list", c->folder);
	if (strcmp(c->folder, c->op.path) == 0 ||
		(failure.failure_class != CS_FAIL_GONE &&
		 failure.failure_class != CS_FAIL_FORBIDDEN))
	{
		result->failure = failure;
		return CS_STEP_FAILED;
	}
	if (failure.failure_class == CS_FAIL_GONE) /* removed meanwhile */
		return go_on(c, request, result);
	c->incomplete = true;
	entry.path = c->folder;
	entry.name = cs_path_name(c->folder);
	entry.refused = "The service does not let us list it.";
	gr_page_add(c, &entry);
	return gr_page(c, request, result, LIST_PAGED);
}

static CsStep
answered(CsConversation *c, const CsResponse *answer, CsRequest *request,
		 CsResult *result)
{
	const CsJson *json = gr_good(answer) ? gr_json(c, answer) : NULL;
	const CsJson *value = cs_json_member(json, "value");
	const char *next = cs_json_text(json, "@odata.nextLink");
	const char *moved_to = cs_http_header(answer, "location");

	if (answer->error == 0 && answer->status / 100 == 3 &&
		moved_to != NULL && gr_is_own(c->service, moved_to) &&
		++c->breaks <= GR_MAX_BREAKS)
		return ask_page(c, request, pstrdup(moved_to));
	if (value == NULL || value->kind != CS_JSON_ARRAY)
		return folder_failed(c, answer, request, result);
	for (const CsJson *each = value->first; each != NULL; each = each->next)
	{
		GrItem item;

		/* what cannot be told apart is no evidence of what is gone */
		if (!gr_read_item(each, &item))
		{
			c->incomplete = true;
			continue;
		}
		add_child(c, &item);
		gr_item_free(&item);
	}
	if (next != NULL)
	{
		if (!gr_is_own(c->service, next))
			return gr_fail(result, CS_FAIL_BROKEN, c->folder,
						   "goes on at another host, as the service says");
		if (gr_goes_in_circles(c, next))
			return gr_fail(result, CS_FAIL_RETRY_LATER, c->folder,
						   "is listed without end by the service");
		c->next_url = pstrdup(next);
	}
	cs_json_free(c->json);
	c->json = NULL;
	return gr_page(c, request, result, LIST_PAGED);
}

CsStep
gr_list(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	switch (c->phase)
	{
		case LIST_START:
			c->folder = pstrdup(c->op.path);
			return ask_page(
				c, request,
				c->op.id != NULL
					? gr_id_url(c, c->op.id, "children", GR_SELECT_MANY)
					: gr_path_url(c, c->op.path, "children", GR_SELECT_MANY));
		case LIST_ANSWERED:
			return answered(c, answer, request, result);
		default: /* LIST_PAGED */
			return go_on(c, request, result);
	}
}
