/*
 * webdav_list.c
 *	  LIST of the WebDAV provider: PROPFIND of depth 1, folder by folder, each
 *	  answer parsed as it comes and given away in pages. Depth "infinity" is not
 *	  asked for: servers that offer it are few, and some answer it as if it were
 *	  depth 1 without saying so. Holds the paths of folders still to be listed,
 *	  and nothing else of what it saw.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/name.h"
#include "cloudsync/path.h"
#include "webdav.h"

#define PAGE 500
/* as in local_list.c: nesting is bounded, and every path can be indexed */
#define MAX_FOLDER_PATH 1500
/* No server has more folders waiting than this; one that makes them up has. */
#define MAX_WAITING 1000000

enum
{
	LIST_START,
	LIST_ANSWERED,
	LIST_LAST_PAGE /* a page was stored; on to the next folder */
};

static void
push_folder(CsConversation *c, const char *path)
{
	if (c->n_folders == c->folders_room)
	{
		c->folders_room = c->folders_room > 0 ? 2 * c->folders_room : 16;
		if (c->folders == NULL)
			c->folders = palloc(c->folders_room * sizeof(char *));
		else
			c->folders = repalloc(c->folders, c->folders_room * sizeof(char *));
	}
	c->folders[c->n_folders++] = pstrdup(path);
}

static void
clear_page(CsConversation *c)
{
	for (int i = 0; i < c->n_page; i++)
		wd_entry_free(&c->page[i]);
	c->n_page = 0;
}

static void
add_to_page(CsConversation *c, const CsEntry *entry)
{
	if (c->n_page == c->page_room)
	{
		c->page_room = c->page_room > 0 ? 2 * c->page_room : 64;
		if (c->page == NULL)
			c->page = palloc(c->page_room * sizeof(CsEntry));
		else
			c->page = repalloc(c->page, c->page_room * sizeof(CsEntry));
	}
	c->page[c->n_page++] = *entry;
}

static CsStep
give_page(CsConversation *c, CsResult *result)
{
	result->entries = c->page;
	result->n_entries = c->n_page;
	return CS_STEP_PAGE;
}

static CsStep
next_folder(CsConversation *c, CsRequest *request, CsResult *result)
{
	wd_free(c->folder);
	c->folder = NULL;
	if (c->n_folders == 0)
	{
		result->incomplete = c->incomplete;
		return CS_STEP_DONE;
	}
	c->folder = c->folders[--c->n_folders];
	c->seen_self = false;
	c->dropped = false;
	c->parser = wd_parser_create();
	wd_propfind(c, request, LIST_ANSWERED, c->folder, true, "1");
	request->into = CS_INTO_TAKE;
	request->body_status = 207;
	return CS_STEP_REQUEST;
}

static CsStep
fail(CsConversation *c, CsResult *result, const char *detail, const char *what)
{
	cs_failure_set(&result->failure, CS_FAIL_BROKEN, detail,
				   "could not list folder \"%s\": %s", c->folder, what);
	return CS_STEP_FAILED;
}

/* Resources that are complete by now, into the page. */
static bool
look_through(CsConversation *c)
{
	WdResource *next;

	for (WdResource *r = wd_parser_take(c->parser); r != NULL; r = next)
	{
		CsEntry entry;
		WdPlace place = wd_entry(c->service, c->folder, r, &entry);
		bool gone = r->status == 404 || r->status == 410;
		bool denied = !r->has_properties;

		next = r->next;
		wd_resource_free(r);
		if (place == WD_SELF)
			c->seen_self = true;
		else if (place == WD_ELSEWHERE)
			c->dropped = true;
		if (place != WD_CHILD || gone || cs_local_is_temp_name(entry.name))
		{
			wd_entry_free(&entry);
			continue;
		}
		/* what is kept from us may be a folder with anything in it */
		if (denied)
			c->incomplete = true;
		if (entry.refused == NULL && entry.kind == CS_ENTRY_FOLDER &&
			c->op.recursive)
		{
			if (strlen(entry.path) > MAX_FOLDER_PATH)
				entry.refused = "The folder is nested too deeply.";
			else if (c->n_folders < MAX_WAITING)
				push_folder(c, entry.path);
			else
			{
				wd_entry_free(&entry);
				return false;
			}
		}
		add_to_page(c, &entry);
	}
	return true;
}

/* See provider.h, take. */
CsStep
wd_list_take(CsConversation *c, const char *buf, int64 len, CsResult *result)
{
	if (c->n_page >= PAGE)
		clear_page(c); /* it was given before */
	if (!wd_parse(c->parser, buf, len, false))
		return fail(c, result, wd_parser_problem(c->parser),
					"the answer is no WebDAV");
	if (!look_through(c))
		return fail(c, result, NULL, "there is no end of folders in it");
	return c->n_page >= PAGE ? give_page(c, result) : CS_STEP_REQUEST;
}

/*
 * A folder could not be listed. The one asked for: failure. One below it that
 * is gone, or that we may not read: shown with the reason if it is there, the
 * rest goes on, and the whole does not count as complete.
 */
static CsStep
folder_failed(CsConversation *c, const CsResponse *answer, CsRequest *request,
			  CsResult *result)
{
	CsFailure failure;
	CsEntry entry = {.kind = CS_ENTRY_FOLDER, .size = -1};

	wd_failure(c, &failure, answer, "list folder", c->folder);
	if (strcmp(c->folder, c->op.path) == 0 ||
		(failure.failure_class != CS_FAIL_FORBIDDEN &&
		 failure.failure_class != CS_FAIL_GONE))
	{
		result->failure = failure;
		return CS_STEP_FAILED;
	}
	c->incomplete = true;
	if (failure.failure_class == CS_FAIL_GONE)
		return next_folder(c, request, result);
	entry.path = pstrdup(c->folder);
	entry.name = cs_path_name(entry.path);
	entry.refused = "The server does not let us list it.";
	add_to_page(c, &entry);
	c->phase = LIST_LAST_PAGE;
	return give_page(c, result);
}

static CsStep
answered(CsConversation *c, const CsResponse *answer, CsRequest *request,
		 CsResult *result)
{
	bool listed = answer->error == 0 && answer->status == 207;
	bool good = listed && wd_parse(c->parser, "", 0, true);

	if (c->n_page >= PAGE)
		clear_page(c);
	if (good && !look_through(c))
		return fail(c, result, NULL, "there is no end of folders in it");
	if (listed && !good)
		return fail(c, result, wd_parser_problem(c->parser),
					"the answer is no WebDAV or breaks off");
	wd_parser_free(c->parser);
	c->parser = NULL;
	if (!listed)
		return folder_failed(c, answer, request, result);
	/*
	 * A server that names nothing where we asked has told us nothing, and an
	 * empty folder would look the same.
	 */
	if (!c->seen_self && c->n_page == 0)
		return fail(c, result,
					"The answer is about other addresses: does a proxy change "
					"them?",
					"the answer does not name it");
	if (c->dropped)
		c->incomplete = true;
	if (c->n_page == 0)
		return next_folder(c, request, result);
	c->phase = LIST_LAST_PAGE;
	return give_page(c, result);
}

CsStep
wd_list(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	switch (c->phase)
	{
		case LIST_START:
			push_folder(c, c->op.path);
			return next_folder(c, request, result);
		case LIST_LAST_PAGE:
			clear_page(c);
			return next_folder(c, request, result);
		default:
			return answered(c, answer, request, result);
	}
}
