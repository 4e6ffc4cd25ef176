/*
 * graph_send.c
 *	  PUT of the Microsoft Graph provider: the one request of a small file, and
 *	  what the service says it has, by a request or a session. Drives that
 *	  rewrite what they receive (P17) are believed for the kinds of files that
 *	  they rewrite: theirs is recorded beside ours, and nothing is sent again.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/path.h"
#include "graph.h"

#define MAX_SENT 3 /* of what arrives as something else */

CsStep
gr_send(CsConversation *c, CsRequest *request, CsResult *result)
{
	bool by_id;
	char *url;

	if (c->name_taken > 1)
		return gr_put_held(c, request, result);
	if (c->replaces)
		url = gr_id_url(c, c->item.id, "content",
						"@microsoft.graph.conflictBehavior=replace");
	else
		url = gr_url(c, c->op.path, "content",
					 "@microsoft.graph.conflictBehavior=fail", &by_id);
	gr_ask(c, request, PUT_SENT, "PUT", url);
	gr_header(request, "Content-Type", "application/octet-stream");
	if (c->replaces)
		gr_if_match(c, request);
	request->send = CS_SEND_BODY;
	request->length = c->size;
	return CS_STEP_REQUEST;
}

/*
 * What stands there now is ours and not what was sent: it is written over, or
 * in the end taken away, so that no later attempt takes it for somebody else's.
 */
static CsStep
corrupted(CsConversation *c, CsRequest *request, CsResult *result)
{
	c->replaces = true;
	if (++c->times_sent < MAX_SENT)
		return gr_put_go_on(c, request, result);
	cs_failure_set(&c->failure, CS_FAIL_RETRY_LATER, NULL,
				   "\"%s\" did not arrive as it was sent", c->op.path);
	return gr_ask(c, request, PUT_REMOVED, "DELETE",
				  gr_id_url(c, c->item.id, NULL, NULL));
}

CsStep
gr_put_taken(CsConversation *c, CsRequest *request, CsResult *result)
{
	bool rewritten = gr_is_rewritten(c->service, c->op.path);

	gr_learn_us(c);
	if (gr_put_is_body(c))
		c->verified = true;
	else if (c->item.size == c->size && !c->item.has_sha256 &&
			 (c->item.checksum == NULL || c->checksum == NULL))
		c->verified = false; /* it says no more than the size */
	else if (!rewritten)
		return corrupted(c, request, result);
	return gr_put_done(c, result);
}

/* No answer came, and this is what is there. */
CsStep
gr_put_lost(CsConversation *c, CsRequest *request, CsResult *result)
{
	c->lost = false;
	if (c->item.there && gr_put_is_body(c))
	{
		c->verified = true;
		return gr_put_done(c, result);
	}
	/* where nothing could be but what we sent, and the service rewrites it */
	if (!c->replaces && c->item.there && c->item.kind == CS_ENTRY_FILE &&
		gr_is_rewritten(c->service, c->op.path) && gr_is_made_by_us(c))
		return gr_put_done(c, result);
	return gr_put_give_up(c, request, result);
}

static CsStep
refused(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	gr_failure(&c->failure, answer, "write", c->op.path);
	/* whatever its code is: its tag has changed */
	if (answer->error == 0 && answer->status == 412)
		return gr_put_look(c, request, result);
	switch (c->failure.failure_class)
	{
		case CS_FAIL_CONFLICT: /* the name is taken */
			c->name_taken += answer->status == 409;
			return gr_put_look(c, request, result);
		case CS_FAIL_GONE:
			if (c->replaces)
				return gr_put_look(c, request, result);
			return gr_put_make_parents(c, request, result);
		default:
			return gr_put_give_up(c, request, result);
	}
}

CsStep
gr_sent(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	if (c->phase == PUT_REMOVED) /* whatever came of it */
		return gr_put_give_up(c, request, result);
	if (answer->has_sha256 && answer->checksum != NULL && c->checksum == NULL)
		c->checksum = pstrdup(answer->checksum);
	if (answer->has_sha256 && answer->size == c->size &&
		memcmp(answer->sha256, c->sha256, CS_SHA256_LENGTH) != 0)
		return gr_put_fail(c, request, result, CS_FAIL_CHANGED,
						   "changed in the database while it was read");
	if (gr_good(answer))
	{
		if (answer->size != c->size)
			return gr_put_fail(c, request, result, CS_FAIL_RETRY_NOW,
							   "was sent with another size than announced");
		if (gr_answered_item(c, answer))
			return gr_put_taken(c, request, result);
	}
	/* what is in the way of the second may be what the first one made */
	if (gr_lost(answer) || gr_good(answer) ||
		(answer->resent && answer->error == 0 && answer->status == 409))
	{
		gr_failure(&c->failure, answer, "write", c->op.path);
		c->lost = true;
		return gr_look(c, request, PUT_LOOKED, c->op.path,
					   c->replaces ? c->item.id : NULL);
	}
	return refused(c, answer, request, result);
}
