/*
 * http_token.c
 *	  Access tokens that are renewed (transfer.h, CS_AUTH_TOKEN): requests that
 *	  wait for one, and those whose token the service did not take.
 *
 * Which token a request carried is known by its number, so that one that was
 * sent with the token before asks for no third one. Usable in the server and in
 * plain programs.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "http.h"
#ifndef FRONTEND
#include "utils/memutils.h"
#endif

/* See http.h. What was read of its body is let go, and read again later. */
bool
cs_http_token_missing(CsHttpTask *task)
{
	CsHttpPlace *place = task->place;

	if (place->auth != CS_AUTH_TOKEN || !cs_http_is_own(task))
		return false;
	task->token_no = place->token_no;
	if (place->secret != NULL)
		return false;
	cs_http_unlist(task);
	task->phase = CS_HTTP_TOKEN;
	task->start = task->end = 0;
	task->offset = task->request.from;
	task->eof = false;
	dlist_push_tail(&place->asking, &task->node);
	task->listed = true;
	return true;
}

static void
drop_token(CsHttpPlace *place)
{
	cs_http_forget(place->former);
	place->former = place->secret;
	place->secret = NULL;
}

/* See http.h. */
bool
cs_http_token_refused(CsHttpTask *task, long status)
{
	CsHttpPlace *place = task->place;

	if (status != 401 || place->auth != CS_AUTH_TOKEN ||
		task->token_tried || !cs_http_is_own(task))
		return false;
	task->token_tried = true;
	if (task->token_no == place->token_no && place->secret != NULL)
		drop_token(place);
	return true;
}

/* Those that wait go on: by the token, or with the failure. */
static void
wake_all(CsHttpPlace *place, const CsFailure *failure)
{
	while (!dlist_is_empty(&place->asking))
	{
		CsHttpTask *task =
			dlist_head_element(CsHttpTask, node, &place->asking);

		cs_http_unlist(task);
		if (failure != NULL)
			task->failure = *failure;
		cs_http_ready(task);
	}
}

/* See transfer.h. */
bool
cs_endpoint_wants_token(const CsEndpoint *endpoint)
{
	return endpoint->http != NULL && !dlist_is_empty(&endpoint->http->asking);
}

/* See transfer.h. */
void
cs_endpoint_set_token(CsEndpoint *endpoint, const char *token)
{
	CsHttpPlace *place = endpoint->http;

	/* it lives as long as the endpoint */
#ifndef FRONTEND
	char *copy = MemoryContextStrdup(GetMemoryChunkContext(place), token);
#else
	char *copy = pstrdup(token);
#endif

	if (place->secret != NULL)
		drop_token(place);
	place->secret = copy;
	place->token_no++;
	wake_all(place, NULL);
}

/* See transfer.h. */
void
cs_endpoint_refuse_token(CsEndpoint *endpoint, const CsFailure *failure)
{
	wake_all(endpoint->http, failure);
}
