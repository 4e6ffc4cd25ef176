/*
 * dropbox_watch.c
 *	  WATCH at Dropbox (list_folder/longpoll): a request that is answered when
 *	  something changes after a cursor, or after a while. The cursor alone says
 *	  whose: the service refuses it with a token. What it tells is of the whole
 *	  account, so that a listing from the cursor may find nothing.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "dropbox.h"

#define LEAST_S 30 /* of what it may be told to wait, */
#define MOST_S 480
#define JITTER_S 90		/* and what it adds by itself */
#define GRACE_S 10		/* on the way */
#define MOST_QUIET_S 3600 /* more is not believed */

enum
{
	WATCH_START,
	WATCH_TOLD
};

static CsStep
ask(CsConversation *c, CsRequest *request)
{
	int wait_s = Max(LEAST_S, Min(MOST_S, c->op.wait_s));
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, "{\"cursor\":");
	cs_json_quote_ascii(&text, c->op.cursor);
	appendStringInfo(&text, ",\"timeout\":%d}", wait_s);
	(void) cs_dropbox_ask_notify(c, request, WATCH_TOLD,
								 "files/list_folder/longpoll", text.data);
	request->held_ms = (wait_s + JITTER_S + GRACE_S) * INT64CONST(1000);
	return CS_STEP_REQUEST;
}

CsStep
cs_dropbox_watch(CsConversation *c, const CsResponse *answer,
				 CsRequest *request, CsResult *result)
{
	const CsJson *json;
	const CsJson *changes;
	int64 quiet = 0;

	if (c->op.cursor == NULL)
		return cs_dropbox_fail(result, CS_FAIL_BROKEN, c->op.path,
							   "has no cursor to be watched from");
	if (c->phase == WATCH_START)
		return ask(c, request);
	if (answer->error != 0 || answer->status != 200)
	{
		(void) cs_dropbox_failed(c, result, answer, "watch", c->op.path);
		if (cs_dropbox_bad_cursor(answer))
			result->failure.failure_class = CS_FAIL_RESET;
		return CS_STEP_FAILED;
	}
	json = cs_dropbox_json(answer);
	changes = cs_json_member(json, "changes");
	if (changes == NULL || (changes->kind != CS_JSON_TRUE && changes->kind != CS_JSON_FALSE))
		return cs_dropbox_nonsense(result, c->op.path);
	result->changed = changes->kind == CS_JSON_TRUE;
	if (cs_json_int64(json, "backoff", &quiet) && quiet > 0)
		result->quiet_ms = Min(quiet, MOST_QUIET_S) * 1000;
	return CS_STEP_DONE;
}
