/*
 * gdrive_upload.c
 *	  PUT of larger files, in resumable sessions: begun, sent in pieces, gone on
 *	  with after a break and by a later attempt. What the service has is what its
 *	  Range says, whatever was sent. The file appears with the last piece; before
 *	  that, size and SHA-256 of the whole are written down, and a file that is
 *	  replaced is looked at once more.
 *
 * The session's address is all that is needed to write to it: it is kept as a
 * secret, and used only with the service's own host.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "gdrive.h"

#define MAX_BREAKS 4   /* without a byte more in between */
#define MAX_RESTARTS 2 /* of sessions that are gone */

enum
{
	UP_START, /* gdrive_put.c enters here */
	UP_BEGUN,
	UP_CHECKPOINTED,
	UP_STATUS,
	UP_HASHED_BEFORE,
	UP_HASHED,
	UP_LAST_CHECKPOINTED,
	UP_LOOKED,
	UP_SENT
};

static CsStep send_next(CsConversation *c, CsRequest *request,
						CsResult *result);

static CsStep
begin(CsConversation *c, CsRequest *request)
{
	StringInfoData json;

	c->offset = 0;
	c->sent_to = 0;
	c->looked_again = false;
	if (c->is_new)
		gd_ask(c, request, UP_BEGUN, "POST",
			   psprintf("/upload/drive/v3/files?uploadType=resumable"
						"&supportsAllDrives=true&ignoreDefaultVisibility=true"
						"&%s",
						gd_fields()));
	else
		gd_ask(c, request, UP_BEGUN, "PATCH",
			   psprintf("/upload/drive/v3/files/%s?uploadType=resumable"
						"&supportsAllDrives=true&%s",
						c->id, gd_fields()));
	initStringInfo(&json);
	gd_put_metadata(c, &json);
	gd_send_json(c, request, &json);
	if (c->size >= 0)
		gd_header(c, request, "X-Upload-Content-Length",
				  gd_keep(c, psprintf("%lld", (long long) c->size)));
	return CS_STEP_REQUEST;
}

/* The session is gone: another one, a few times. */
static CsStep
restart(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	c->upload = NULL;
	if (c->restarts++ < MAX_RESTARTS)
		return begin(c, request);
	gd_failure(&c->failure, answer, "upload", c->op.path);
	if (gd_is_gone(answer))
		c->failure.failure_class = CS_FAIL_RETRY_LATER;
	return gd_give_failure(c, result);
}

/* So is one that makes no sense: no later attempt would come to an end with it. */
static CsStep
give_up_session(CsConversation *c, CsRequest *request, CsResult *result,
				const char *what)
{
	c->upload = NULL;
	c->breaks = 0;
	if (c->restarts++ < MAX_RESTARTS)
		return begin(c, request);
	return gd_fail(result, CS_FAIL_RETRY_LATER, c->op.path, what);
}

/* How much of it does the service have? */
static CsStep
ask_status(CsConversation *c, CsRequest *request)
{
	gd_ask(c, request, UP_STATUS, "PUT", pstrdup(c->upload));
	gd_header(c, request, "Content-Range",
			  c->size < 0
				  ? "bytes */*"
				  : gd_keep(c, psprintf("bytes */%lld", (long long) c->size)));
	return CS_STEP_REQUEST;
}

/* The address of the session, if it is of the service itself. */
static bool
take_address(CsConversation *c, const CsResponse *answer)
{
	const char *location = cs_http_header(answer, "location");

	if (location == NULL || strlen(location) > 4000 ||
		!cs_url_same_origin(location, c->service->head.url))
		return false;
	for (const char *at = location; *at != '\0'; at++)
	{
		if (*at <= ' ' || *at >= 0x7f)
			return false;
	}
	c->upload = pstrdup(location);
	return true;
}

static CsStep
checkpoint(CsConversation *c, CsResult *result, int phase, bool whole)
{
	GdSession session = {
		.is_new = c->is_new, .size = c->size, .upload = c->upload};

	strlcpy(session.id, c->id, GD_ID);
	c->session = gd_session(&session);
	result->session = c->session;
	result->size = whole ? c->size : -1;
	if (whole)
	{
		memcpy(result->sha256, c->sha256, CS_SHA256_LENGTH);
		result->checksum = c->checksum;
	}
	c->phase = phase;
	return CS_STEP_CHECKPOINT;
}

static CsStep
begun(CsConversation *c, const CsResponse *answer, CsRequest *request,
	  CsResult *result)
{
	if (gd_good(answer))
	{
		if (!take_address(c, answer))
			return gd_fail(result, CS_FAIL_BROKEN, c->op.path,
						   "cannot be uploaded: the session has no address of "
						   "the service's own");
		return checkpoint(c, result, UP_CHECKPOINTED, false);
	}
	gd_failure(&c->failure, answer, "upload", c->op.path);
	c->lost = false;
	/* nothing can be seen of it yet; but an attempt before may have ended */
	if (gd_id_is_useless(c, answer))
		return gd_put_check(c, request);
	if (gd_is_gone(answer) && c->is_new)
		return gd_put_parent_gone(c, request, result);
	if (gd_is_gone(answer))
		c->failure.failure_class = CS_FAIL_RETRY_LATER;
	return gd_give_failure(c, result);
}

/* The next piece. */
static CsStep
send_piece(CsConversation *c, CsRequest *request)
{
	bool last = c->size >= 0 && c->size - c->offset <= GD_AHEAD;
	char total[32] = "*";

	c->piece = last ? c->size - c->offset : GD_CHUNK;
	if (c->size >= 0)
		snprintf(total, sizeof(total), "%lld", (long long) c->size);
	gd_ask(c, request, UP_SENT, "PUT", pstrdup(c->upload));
	gd_header(
		c, request, "Content-Range",
		gd_keep(c, psprintf("bytes %lld-%lld/%s", (long long) c->offset,
							(long long) (c->offset + c->piece - 1), total)));
	request->send = CS_SEND_BODY;
	request->from = c->offset;
	request->length = c->piece;
	c->sent_to = Max(c->sent_to, c->offset + c->piece);
	return CS_STEP_REQUEST;
}

/* Before the last piece: the whole is hashed, written down and looked at. */
static CsStep
send_next(CsConversation *c, CsRequest *request, CsResult *result)
{
	int64 ahead = c->offset + GD_AHEAD;

	if (c->size < 0 && c->hashed < ahead)
		return gd_hash_body(c, request, UP_HASHED, c->hashed,
							ahead - c->hashed);
	if (c->size < 0 || c->size > ahead)
		return send_piece(c, request);
	if (!c->body_known || c->checksum == NULL)
		return gd_hash_body(c, request, UP_HASHED, c->offset,
							c->size - c->offset);
	if (!c->checkpointed)
	{
		c->checkpointed = true;
		return checkpoint(c, result, UP_LAST_CHECKPOINTED, true);
	}
	if (!c->is_new && !c->op.overwrite && !c->looked_again)
	{
		c->looked_again = true;
		return gd_ask_file(c, request, UP_LOOKED, c->id);
	}
	return send_piece(c, request);
}

/*
 * The first byte that the service does not have; false: it makes no sense. It
 * may have less than was sent, and nothing at all, but no more.
 */
static bool
take_range(CsConversation *c, const CsResponse *answer)
{
	const char *range = cs_http_header(answer, "range");
	int64 most = c->sent_to >= 0 ? c->sent_to : PG_INT64_MAX;
	long long last = -1;
	int64 before = c->offset;

	if (c->size >= 0)
		most = Min(most, c->size);
	if (range != NULL && (sscanf(range, "bytes=0-%lld", &last) != 1 ||
						  last < 0 || last >= most))
		return false;
	c->offset = last + 1;
	c->sent_to = Max(c->sent_to, c->offset);
	c->breaks = c->offset > before ? 0 : c->breaks + 1;
	return true;
}

/* An answer that says where it stands. */
static CsStep
stands_at(CsConversation *c, const CsResponse *answer, CsRequest *request,
		  CsResult *result, bool resumed)
{
	if (!take_range(c, answer))
		return give_up_session(c, request, result,
							   "does not get on: the service says that it has "
							   "what was not sent");
	if (c->breaks > MAX_BREAKS)
		return gd_fail(result, CS_FAIL_RETRY_LATER, c->op.path,
					   "does not get on: the service keeps nothing of what is "
					   "sent");
	if (c->offset == c->size)
	{
		if (++c->breaks > MAX_BREAKS)
			return give_up_session(c, request, result,
								   "was sent, and the service does not finish "
								   "it");
		return ask_status(c, request);
	}
	/* what another attempt sent has not been read by this one */
	if (resumed && c->offset > 0)
		return gd_hash_body(c, request, UP_HASHED_BEFORE, 0, c->offset);
	return send_next(c, request, result);
}

/* The answer to a piece, or to the question where it stands. */
static CsStep
answered(CsConversation *c, const CsResponse *answer, CsRequest *request,
		 CsResult *result)
{
	bool asked = c->phase == UP_STATUS;
	bool resumed = asked && !c->sent;

	if (!asked)
	{
		c->sent = true;
		if (c->offset + c->piece == c->size)
			gd_take_hash(c, answer);
	}
	if (answer->body_failure != NULL)
		return gd_failed(result, answer, "upload", c->op.path);
	if (answer->error == 0 && answer->status == 308)
		return stands_at(c, answer, request, result, resumed);
	if (gd_good(answer))
	{
		c->upload = NULL; /* it has ended */
		/* of an attempt before: its bytes are compared with ours */
		if (resumed)
			return gd_put_check(c, request);
		return gd_put_arrived(c, answer, request, result);
	}
	gd_failure(&c->failure, answer, "upload", c->op.path);
	if (asked && gd_lost(answer))
		return gd_give_failure(c, result);
	if (gd_lost(answer) && ++c->breaks <= MAX_BREAKS)
		return ask_status(c, request);
	if (answer->error != 0 || answer->status >= 500 || answer->status == 401 ||
		c->failure.failure_class == CS_FAIL_RETRY_LATER ||
		c->failure.failure_class == CS_FAIL_QUOTA ||
		c->failure.failure_class == CS_FAIL_FORBIDDEN)
		return gd_give_failure(c, result);
	return restart(c, answer, request, result);
}

/* One that is replaced, just before the last piece. */
static CsStep
looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	if (!gd_take_file(c, answer, "look at", c->op.path))
	{
		if (gd_is_gone(answer))
			c->failure.failure_class = CS_FAIL_RETRY_LATER;
		return gd_give_failure(c, result);
	}
	if (c->file.trashed ||
		(!gd_is_ours(c, &c->file) && c->tries == 0 && !c->from_session))
		return gd_fail(result, CS_FAIL_CONFLICT, c->op.path,
					   "was changed by somebody else while it was uploaded");
	return send_piece(c, request);
}

/* More of the body was read: up to its end, or as far as was asked for. */
static CsStep
hashed(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	int64 wanted = c->offset + GD_AHEAD - c->hashed;

	if (c->size < 0)
	{
		c->hashed += answer->size;
		if (answer->size == wanted)
			return send_next(c, request, result);
		c->size = c->hashed;
	}
	else if (answer->size != c->size - c->offset)
		return gd_fail(result, CS_FAIL_CHANGED, c->op.path,
					   "has another length than it had");
	gd_take_hash(c, answer);
	if (!c->body_known)
		return gd_fail(result, CS_FAIL_BROKEN, c->op.path,
					   "could not be hashed as it was sent");
	if (c->checksum == NULL)
		c->checksum = pstrdup("");
	return send_next(c, request, result);
}

/* See gdrive.h. */
CsStep
gd_upload(CsConversation *c, const CsResponse *answer, CsRequest *request,
		  CsResult *result)
{
	switch (c->phase)
	{
		case UP_START:
			c->sent = false;
			c->breaks = 0;
			c->sent_to = -1;
			if (c->upload != NULL &&
				cs_url_same_origin(c->upload, c->service->head.url))
				return ask_status(c, request);
			return begin(c, request);
		case UP_BEGUN:
			return begun(c, answer, request, result);
		case UP_CHECKPOINTED:
			return send_next(c, request, result);
		case UP_STATUS:
		case UP_SENT:
			return answered(c, answer, request, result);
		case UP_HASHED_BEFORE:
			if (answer->error != 0)
				return gd_failed(result, answer, "read", c->op.path);
			if (answer->size < c->offset)
				return give_up_session(c, request, result,
									   "is shorter than what was sent of it");
			c->hashed = Max(c->hashed, answer->size);
			return send_next(c, request, result);
		case UP_HASHED:
			if (answer->error != 0)
				return gd_failed(result, answer, "read", c->op.path);
			return hashed(c, answer, request, result);
		case UP_LAST_CHECKPOINTED:
			return send_next(c, request, result);
		default: /* UP_LOOKED */
			return looked(c, answer, request, result);
	}
}
