/*
 * graph_session.c
 *	  Upload sessions of the Microsoft Graph provider: larger files, in parts
 *	  sent in order to an address that is a secret and takes no credentials. The
 *	  file is seen when its last part has come. The session is recorded before
 *	  the first part, with the body's SHA-256: an attempt that was cut off goes
 *	  on with what the service says it has, and only with the same bytes. One
 *	  that is given up is ended, since it would hold the name.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/path.h"
#include "graph.h"

#define SECRET "secret:"
#define MAX_SESSIONS 3 /* of one attempt */
#define HELD_MS (15 * 60 * 1000) /* a name, by an upload that nothing is sent to */

/* "secret:<SHA-256> <address>", of what has no hash " <what is replaced>" */
char *
gr_session_url(const char *session, const char **sha256)
{
	if (strncmp(session, SECRET, strlen(SECRET)) == 0)
		session += strlen(SECRET);
	if (strlen(session) < 2 * CS_SHA256_LENGTH + 2 ||
		session[2 * CS_SHA256_LENGTH] != ' ')
		return NULL;
	*sha256 = session;
	session += 2 * CS_SHA256_LENGTH + 1;
	return pnstrdup(session, strcspn(session, " "));
}

/*
 * Of a file without a hash its tag would have to tell whether it is as it was,
 * and that changes with the session alone: " <size>/<time>" tells it. palloc'd.
 */
static char *
look_of(const GrItem *item)
{
	if (item->checksum != NULL || item->has_sha256 || item->modified <= 0)
		return pstrdup("");
	return psprintf(" " INT64_FORMAT "/" INT64_FORMAT, item->size,
					item->modified);
}

bool
gr_session_saw(const char *session, const GrItem *item)
{
	const char *look = session != NULL ? strrchr(session, ' ') : NULL;

	return look != NULL && strcmp(look, look_of(item)) == 0;
}

static bool
may_go_on_later(CsFailureClass failure_class)
{
	return failure_class == CS_FAIL_RETRY_NOW ||
		   failure_class == CS_FAIL_RETRY_LATER ||
		   failure_class == CS_FAIL_UNREACHABLE ||
		   failure_class == CS_FAIL_LOCKED ||
		   failure_class == CS_FAIL_NEEDS_CONSENT;
}

CsStep
gr_put_give_up(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (c->upload_url != NULL && !may_go_on_later(c->failure.failure_class))
	{
		gr_ask_anonymous(c, request, PUT_SESSION_ENDED, "DELETE",
						 c->upload_url);
		c->upload_url = NULL;
		return CS_STEP_REQUEST;
	}
	result->failure = c->failure;
	return CS_STEP_FAILED;
}

/* --- beginning ------------------------------------------------------------------- */

static CsStep
create(CsConversation *c, CsRequest *request, CsResult *result)
{
	StringInfoData json;
	bool by_id;
	char *url;

	if (++c->sessions > MAX_SESSIONS)
		return gr_put_fail(c, request, result, CS_FAIL_RETRY_LATER,
						   "could not be sent: the service loses its upload "
						   "again and again");
	initStringInfo(&json);
	/* the annotation must come first */
	appendStringInfo(&json,
					 "{\"item\":{\"@microsoft.graph.conflictBehavior\":\"%s\"",
					 c->replaces ? "replace" : "fail");
	if (!c->replaces)
	{
		appendStringInfoString(&json, ",\"name\":");
		cs_json_quote(&json, cs_path_name(c->op.path));
	}
	appendStringInfoString(&json, "}}");
	url = c->replaces
			  ? gr_id_url(c, c->item.id, "createUploadSession", NULL)
			  : gr_url(c, c->op.path, "createUploadSession", NULL, &by_id);
	c->offset = 0;
	c->sent_to = 0;
	c->looked_again = false;
	return gr_ask_json(c, request, PUT_SESSION_BEGUN, "POST", url, json.data);
}

static CsStep
ask_position(CsConversation *c, CsRequest *request)
{
	return gr_ask_anonymous(c, request, PUT_SESSION_POSITION, "GET",
							c->upload_url);
}

/*
 * An upload whose address nobody knows (the answer was lost, or it is somebody
 * else's) holds the name until the service ends it: nothing else can.
 */
CsStep
gr_put_held(CsConversation *c, CsRequest *request, CsResult *result)
{
	gr_put_fail(c, request, result, CS_FAIL_RETRY_LATER,
				"could not be written: an upload that has not ended holds its "
				"name, until the service lets go of it about 15 minutes later");
	result->failure.retry_after_ms = HELD_MS;
	return CS_STEP_FAILED;
}

/* That of an earlier attempt goes on, if it is one of these bytes. */
CsStep
gr_session_begin(CsConversation *c, CsRequest *request, CsResult *result)
{
	const char *sha256 = NULL;
	const char *url =
		c->op.session != NULL ? gr_session_url(c->op.session, &sha256) : NULL;
	char *ours;

	if (c->name_taken > (c->replaces ? 1 : 0))
		return gr_put_held(c, request, result);
	if (url == NULL || c->sessions > 0)
		return create(c, request, result);
	ours = cs_hex(c->sha256, CS_SHA256_LENGTH);
	c->sessions++;
	if (strncmp(ours, sha256, 2 * CS_SHA256_LENGTH) != 0)
		return gr_ask_anonymous(c, request, PUT_SESSION_REPLACED, "DELETE",
								url);
	c->upload_url = pstrdup(url);
	c->session = pstrdup(c->op.session);
	c->old_session = true;
	c->sent_to = -1;
	return ask_position(c, request);
}

/* It was not begun, or we were not told. */
static CsStep
not_begun(CsConversation *c, const CsResponse *answer, CsRequest *request,
		  CsResult *result)
{
	gr_failure(&c->failure, answer, "write", c->op.path);
	if (answer->error == 0 && answer->status == 412)
		return gr_put_look(c, request, result);
	/* most often it never came to be; if it did, the next is told so */
	if (gr_lost(answer) && !c->begin_lost)
	{
		c->begin_lost = true;
		return create(c, request, result);
	}
	if (c->failure.failure_class == CS_FAIL_CONFLICT)
	{
		/* what is to be replaced is in nobody's way */
		if (answer->status == 409)
			c->name_taken += c->replaces ? 2 : 1;
		return gr_put_look(c, request, result);
	}
	if (c->failure.failure_class == CS_FAIL_GONE)
		return c->replaces ? gr_put_look(c, request, result)
						   : gr_put_make_parents(c, request, result);
	return gr_put_give_up(c, request, result);
}

static CsStep
begun(CsConversation *c, const CsResponse *answer, CsRequest *request,
	  CsResult *result)
{
	const CsJson *json = gr_good(answer) ? gr_json(c, answer) : NULL;
	const char *url = cs_json_text(json, "uploadUrl");
	char *sha256;

	if (url == NULL)
		return not_begun(c, answer, request, result);
	if (!gr_is_safe(c->service, url))
		return gr_put_fail(c, request, result, CS_FAIL_BROKEN,
						   "cannot be sent: the service's address for it is "
						   "not a safe one");
	sha256 = cs_hex(c->sha256, CS_SHA256_LENGTH);
	c->upload_url = pstrdup(url);
	c->session = psprintf(SECRET "%s %s%s", sha256, url,
						  c->replaces ? look_of(&c->item) : "");
	c->old_session = false;
	c->is_last = false;
	c->phase = PUT_SESSION_RECORDED;
	result->size = c->size;
	memcpy(result->sha256, c->sha256, CS_SHA256_LENGTH);
	result->checksum = c->checksum;
	result->session = c->session;
	return CS_STEP_CHECKPOINT;
}

/* --- parts ------------------------------------------------------------------------ */

static CsStep
send_part(CsConversation *c, CsRequest *request)
{
	char *range =
		psprintf("bytes " INT64_FORMAT "-" INT64_FORMAT "/" INT64_FORMAT,
				 c->offset, c->offset + c->fragment - 1, c->size);

	gr_ask_anonymous(c, request, PUT_SESSION_SENT, "PUT", c->upload_url);
	gr_header(request, "Content-Range", gr_keep(c, range));
	gr_header(request, "Content-Type", "application/octet-stream");
	request->send = CS_SEND_BODY;
	request->from = c->offset;
	request->length = c->fragment;
	c->sent_to = Max(c->sent_to, c->offset + c->fragment);
	return CS_STEP_REQUEST;
}

static CsStep
next_part(CsConversation *c, CsRequest *request)
{
	c->fragment = Min(c->size - c->offset, GR_FRAGMENT);
	c->is_last = c->offset + c->fragment == c->size;
	/* its tag changes with the session: looked at, before it is replaced */
	if (c->is_last && c->replaces && !c->looked_again)
		return gr_look(c, request, PUT_SESSION_LAST_LOOK, c->op.path,
					   c->item.id);
	return send_part(c, request);
}

static CsStep
last_looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
			CsResult *result)
{
	char *version =
		c->item.version != NULL ? pstrdup(c->item.version) : NULL;
	char *look = look_of(&c->item);
	bool same;

	c->looked_again = true;
	switch (gr_looked(c, answer, c->op.path))
	{
		case GR_FAILED:
			return gr_put_give_up(c, request, result);
		case GR_ABSENT:
			return gr_put_fail(c, request, result, CS_FAIL_RETRY_NOW,
							   "was removed while it was sent");
		default:
			break;
	}
	same = version == NULL || c->item.version == NULL ||
		   strcmp(version, c->item.version) == 0 ||
		   (look[0] != '\0' && strcmp(look, look_of(&c->item)) == 0);
	if (!c->op.overwrite && !same && gr_owner(c) != GR_OURS)
		return gr_put_fail(c, request, result, CS_FAIL_CONFLICT,
						   "was changed by somebody else while it was sent");
	return send_part(c, request);
}

/* From where on the service has nothing; below 0: it does not say. */
static int64
expected(const CsJson *json)
{
	const CsJson *ranges = cs_json_member(json, "nextExpectedRanges");
	const CsJson *first = ranges != NULL ? ranges->first : NULL;
	long long from;

	if (first == NULL || first->kind != CS_JSON_STRING ||
		sscanf(first->text, "%lld", &from) != 1)
		return -1;
	return from;
}

/* The session is not there any more: because it is complete? */
static CsStep
session_gone(CsConversation *c, CsRequest *request, CsResult *result)
{
	c->upload_url = NULL;
	if (c->is_last)
	{
		cs_failure_set(&c->failure, CS_FAIL_RETRY_NOW, NULL,
					   "\"%s\" is not there, and its upload is gone",
					   c->op.path);
		c->lost = true;
		return gr_look(c, request, PUT_LOOKED, c->op.path,
					   c->replaces ? c->item.id : NULL);
	}
	if (!c->old_session)
		return create(c, request, result);
	c->old_session = false;
	return gr_put_look(c, request, result);
}

/* It is ended, and what is at the target looked at. */
static CsStep
end_session(CsConversation *c, CsRequest *request)
{
	c->looked_again = false;
	gr_ask_anonymous(c, request, PUT_SESSION_REPLACED, "DELETE", c->upload_url);
	c->upload_url = NULL;
	return CS_STEP_REQUEST;
}

static CsStep
position(CsConversation *c, const CsResponse *answer, CsRequest *request,
		 CsResult *result)
{
	int64 from;

	if (answer->error == 0 && (answer->status == 404 || answer->status == 410 ||
							   answer->status == 401 || answer->status == 403))
		return session_gone(c, request, result);
	if (!gr_good(answer))
	{
		gr_failure(&c->failure, answer, "go on with writing", c->op.path);
		return gr_put_give_up(c, request, result);
	}
	from = expected(gr_json(c, answer));
	/* it is there, and nobody can go on with it: it would hold the name */
	if (from < 0 || from >= c->size || (c->sent_to >= 0 && from > c->sent_to))
		return end_session(c, request);
	c->offset = from;
	return next_part(c, request);
}

/* It is not where it was thought to be: asks where, and goes on from there. */
static CsStep
interrupted(CsConversation *c, const CsResponse *answer, CsRequest *request,
			CsResult *result)
{
	gr_failure(&c->failure, answer, "write", c->op.path);
	if (answer->body_failure != NULL || ++c->breaks > GR_MAX_BREAKS)
		return gr_put_give_up(c, request, result);
	return ask_position(c, request);
}

static CsStep
part_refused(CsConversation *c, const CsResponse *answer, CsRequest *request,
			 CsResult *result)
{
	gr_failure(&c->failure, answer, "write", c->op.path);
	switch (answer->status)
	{
		case 409: /* the name was taken meanwhile */
		case 412:
			return end_session(c, request);
		case 404:
		case 416:
			return interrupted(c, answer, request, result);
		case 401:
		case 403:
			if (c->failure.failure_class == CS_FAIL_REFUSED)
				return gr_put_give_up(c, request, result);
			return session_gone(c, request, result);
		default:
			return gr_put_give_up(c, request, result);
	}
}

static CsStep
part_sent(CsConversation *c, const CsResponse *answer, CsRequest *request,
		  CsResult *result)
{
	int64 from;

	if (answer->error == 0 &&
		(answer->status == 200 || answer->status == 201) &&
		gr_answered_item(c, answer))
	{
		c->upload_url = NULL;
		return gr_put_taken(c, request, result);
	}
	if (gr_good(answer))
	{
		from = answer->status == 202 ? expected(gr_json(c, answer)) : -1;
		if (from <= c->offset || from >= c->size || from > c->sent_to)
			return interrupted(c, answer, request, result);
		c->offset = from;
		return next_part(c, request);
	}
	if (gr_lost(answer) || (answer->error != 0 && !answer->sent))
		return interrupted(c, answer, request, result);
	return part_refused(c, answer, request, result);
}

CsStep
gr_session(CsConversation *c, const CsResponse *answer, CsRequest *request,
		   CsResult *result)
{
	switch (c->phase)
	{
		case PUT_SESSION_BEGUN:
			return begun(c, answer, request, result);
		case PUT_SESSION_RECORDED:
			return next_part(c, request);
		case PUT_SESSION_POSITION:
			return position(c, answer, request, result);
		case PUT_SESSION_SENT:
			return part_sent(c, answer, request, result);
		case PUT_SESSION_LAST_LOOK:
			return last_looked(c, answer, request, result);
		case PUT_SESSION_REPLACED: /* whatever came of it */
			return gr_put_look(c, request, result);
		default: /* PUT_SESSION_ENDED */
			return gr_put_give_up(c, request, result);
	}
}
