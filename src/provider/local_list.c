/*
 * local_list.c
 *	  LIST of the local provider: folder by folder, a page at a time, a folder's
 *	  own entries before those below it. Holds the paths of folders still to be
 *	  listed, and nothing else of what it saw.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/provider.h"
#include "local.h"

/*
 * Folders with longer paths are shown and not entered, so that nesting is
 * bounded and every path can be indexed: with the longest name, escaped, below
 * it a path has at most 1500 + 2 + 4 * 255 bytes.
 */
#define MAX_FOLDER_PATH 1500

enum
{
	LIST_START,
	LIST_ANSWERED,
	LIST_MORE,		   /* a page was stored; the folder has more */
	LIST_FOLDER_LISTED /* a page was stored; on to the next folder */
};

/* .cloudsync-<16 hexadecimal digits>.part: a file of ours being written */
bool
cs_local_is_temp_name(const char *name)
{
	static const char prefix[] = ".cloudsync-";
	size_t prefix_len = sizeof(prefix) - 1;

	return strncmp(name, prefix, prefix_len) == 0 &&
		   strspn(name + prefix_len, "0123456789abcdef") == 16 &&
		   strcmp(name + prefix_len + 16, ".part") == 0;
}

static CsStep
next_folder(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (c->folder != NULL)
		pfree(c->folder);
	c->folder = NULL;
	if (c->n_folders == 0)
	{
		result->incomplete = c->incomplete;
		return CS_STEP_DONE;
	}
	c->folder = c->folders[--c->n_folders];
	return cs_local_ask(c, request, LIST_ANSWERED, CS_REQ_FILE_LIST, c->folder);
}

/*
 * A folder could not be listed. The one asked for: failure. One below it that
 * is gone by now: nothing. One that we may not read: shown with the reason, the
 * rest goes on, and the whole does not count as complete.
 */
static CsStep
folder_failed(CsConversation *c, const CsResponse *answer, CsRequest *request,
			  CsResult *result)
{
	CsFailure failure;

	if (strcmp(c->folder, c->op.path) == 0)
		return cs_local_failed(result, answer, "list folder", c->folder);
	if (cs_local_absent(answer))
		return next_folder(c, request, result);
	cs_local_failure(&failure, answer, "list folder", c->folder);
	if (failure.failure_class != CS_FAIL_FORBIDDEN)
	{
		result->failure = failure;
		return CS_STEP_FAILED;
	}
	c->incomplete = true;
	memset(&c->entry, 0, sizeof(c->entry));
	c->entry.kind = CS_ENTRY_FOLDER;
	c->entry.path = pstrdup(c->folder);
	c->entry.name = pstrdup(strrchr(c->folder, '/') + 1);
	c->entry.size = -1;
	c->entry.refused = pstrdup(failure.detail);
	result->entries = &c->entry;
	result->n_entries = 1;
	c->phase = LIST_FOLDER_LISTED;
	return CS_STEP_PAGE;
}

/* Takes out what is ours, and notes the folders to be listed. */
static int
look_through(CsConversation *c, CsEntry *entries, int n_entries)
{
	int kept = 0;

	for (int i = 0; i < n_entries; i++)
	{
		CsEntry *entry = &entries[i];

		if (cs_local_is_temp_name(entry->name))
			continue;
		if (c->op.recursive && entry->kind == CS_ENTRY_FOLDER &&
			entry->refused == NULL)
		{
			if (strlen(entry->path) > MAX_FOLDER_PATH)
				entry->refused = "The folder is nested too deeply.";
			else
				cs_local_push_folder(c, entry->path);
		}
		entries[kept++] = *entry;
	}
	return kept;
}

CsStep
cs_local_list(CsConversation *c, const CsResponse *answer, CsRequest *request,
			  CsResult *result)
{
	bool last;

	switch (c->phase)
	{
		case LIST_START:
			cs_local_push_folder(c, c->op.path);
			return next_folder(c, request, result);
		case LIST_FOLDER_LISTED:
			return next_folder(c, request, result);
		case LIST_MORE:
			cs_local_ask(c, request, LIST_ANSWERED, CS_REQ_FILE_LIST,
						 c->folder);
			request->more = true;
			return CS_STEP_REQUEST;
		default:
			break;
	}
	if (answer->error != 0)
		return folder_failed(c, answer, request, result);
	last = answer->last_page;
	result->entries = answer->entries;
	result->n_entries = look_through(c, answer->entries, answer->n_entries);
	c->phase = last ? LIST_FOLDER_LISTED : LIST_MORE;
	if (result->n_entries > 0)
		return CS_STEP_PAGE;
	return cs_local_list(c, NULL, request, result);
}
