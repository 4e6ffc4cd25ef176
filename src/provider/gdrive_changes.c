/*
 * gdrive_changes.c
 *	  LIST of the Google Drive provider by a cursor: the feed of changes, which is
 *	  of the whole account or shared drive whatever the folder. A change tells
 *	  what a file is like now, by its id, name and parent's id; what was removed,
 *	  or put into the trash, is gone. Paths are the reader's to work out.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "gdrive.h"

enum
{
	CHANGES_START,
	CHANGES_READ,
	CHANGES_TARGET,
	CHANGES_GIVEN
};

static CsStep
ask_page(CsConversation *c, CsRequest *request, const char *token)
{
	const GdService *service = c->service;
	char *encoded = cs_url_encode(token);
	StringInfoData path;

	initStringInfo(&path);
	appendStringInfo(&path,
					 "/drive/v3/changes?pageToken=%s&pageSize=%d"
					 "&includeRemoved=true&supportsAllDrives=true"
					 "&includeItemsFromAllDrives=true&prettyPrint=false"
					 "&fields=nextPageToken%%2CnewStartPageToken%%2C"
					 "changes%%28changeType%%2Cremoved%%2CfileId%%2Cfile%%28%s"
					 "%%29%%29",
					 encoded, GD_PAGE, gd_fields() + strlen("fields="));
	pfree(encoded);
	if (service->drive_id != NULL)
		appendStringInfo(&path, "&driveId=%s", service->drive_id);
	gd_ask(c, request, CHANGES_READ, "GET", path.data);
	request->max_answer = GD_MAX_PAGE;
	return CS_STEP_REQUEST;
}

static void
take_change(CsConversation *c, const CsJson *change)
{
	const char *type = cs_json_text(change, "changeType");
	const char *id = cs_json_text(change, "fileId");
	const CsJson *json = cs_json_member(change, "file");
	GdFile file;

	if ((type != NULL && strcmp(type, "file") != 0) || !gd_id_ok(id))
		return;
	if (cs_json_is_true(change, "removed") || json == NULL ||
		json->kind != CS_JSON_OBJECT || cs_json_is_true(json, "trashed"))
	{
		CsEntry *entry = gd_page_new(c);

		entry->kind = CS_ENTRY_OTHER;
		entry->id = pstrdup(id);
		entry->size = -1;
		entry->gone = true;
		return;
	}
	/* the root itself is in no folder, and has no name in any path */
	if (!gd_file_read(json, &file) || strcmp(file.id, c->service->root_id) == 0)
		return;
	gd_page_add(c, &file, NULL);
}

/* Is it the token that is refused? Then all is to be listed anew. */
static bool
is_refused(const CsResponse *answer)
{
	return answer->error == 0 &&
		   (answer->status == 400 || answer->status == 404 ||
			answer->status == 410);
}

static CsStep
take_page(CsConversation *c, const CsResponse *answer, CsResult *result)
{
	const CsJson *json;
	const CsJson *changes;
	const char *next;
	const char *new;

	if (is_refused(answer))
		return gd_fail(result, CS_FAIL_RESET, c->op.path,
					   "cannot be followed from where the last listing ended");
	json = gd_json(c, answer, "follow", c->op.path);
	if (json == NULL)
		return gd_give_failure(c, result);
	changes = cs_json_member(json, "changes");
	next = cs_json_text(json, "nextPageToken");
	new = cs_json_text(json, "newStartPageToken");
	if (next == NULL && new == NULL)
		return gd_fail(result, CS_FAIL_BROKEN, c->op.path,
					   "was given no token to follow it by");
	if (next != NULL && gd_goes_in_circles(c, next, changes))
		return gd_fail(result, CS_FAIL_RETRY_LATER, c->op.path,
					   "is followed without end by the service");
	if (c->page_token != NULL)
		pfree(c->page_token);
	c->page_token = next != NULL ? pstrdup(next) : NULL;
	if (next == NULL)
		c->new_token = pstrdup(new);
	for (const CsJson *each = changes != NULL ? changes->first : NULL;
		 each != NULL; each = each->next)
		take_change(c, each);
	return CS_STEP_DONE;
}

static CsStep
go_on(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (c->page_token != NULL)
		return ask_page(c, request, c->page_token);
	result->cursor = c->new_token;
	return CS_STEP_DONE;
}

/* See gdrive.h. */
CsStep
gd_changes(CsConversation *c, const CsResponse *answer, CsRequest *request,
		   CsResult *result)
{
	CsStep step;

	switch (c->phase)
	{
		case CHANGES_START:
			return ask_page(c, request, c->op.cursor);
		case CHANGES_READ:
			step = take_page(c, answer, result);
			if (step != CS_STEP_DONE)
				return step;
			answer = NULL;
			/* FALLTHROUGH */
		case CHANGES_TARGET:
			step = gd_page_targets(c, answer, request, CHANGES_TARGET);
			if (step == CS_STEP_FAILED)
				return gd_give_failure(c, result);
			if (step == CS_STEP_REQUEST)
				return step;
			if (c->n_entries == 0)
				return go_on(c, request, result);
			result->entries = c->entries;
			result->n_entries = c->n_entries;
			result->cursor =
				c->page_token != NULL ? c->page_token : c->new_token;
			c->phase = CHANGES_GIVEN;
			return CS_STEP_PAGE;
		default: /* CHANGES_GIVEN */
			gd_page_clear(c);
			return go_on(c, request, result);
	}
}
