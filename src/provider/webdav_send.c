/*
 * webdav_send.c
 *	  PUT of the WebDAV provider: the requests that send a file or make it
 *	  visible, and what their answers come to. See webdav_put.c.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/path.h"
#include "webdav.h"

/*
 * What an answer to a PUT stands for. Somebody else's file in the way is found
 * by looking, never by a status: servers say 404 and 409 for all kinds of
 * things.
 */
static void
note_status(CsConversation *c, const CsResponse *answer)
{
	wd_failure(c, &c->failure, answer, "write", c->op.path);
	if (answer->error == 0 && (c->failure.failure_class == CS_FAIL_CONFLICT ||
							   c->failure.failure_class == CS_FAIL_GONE))
		c->failure.failure_class = CS_FAIL_BROKEN;
}

/* May a folder on the way be missing? nginx says 500 for that. */
static bool
parents_missing(const CsConversation *c, int status)
{
	return !c->parents_made &&
		   (status == 404 || status == 405 || status == 409 || status == 500);
}

static void
send_body(CsConversation *c, CsRequest *request)
{
	wd_header(request, "Content-Type", "application/octet-stream");
	request->send = CS_SEND_BODY;
	request->from = 0;
	request->length = c->body_known ? c->size : c->op.size;
}

/* One PUT to the final name. */
static CsStep
send_straight(CsConversation *c, CsRequest *request)
{
	wd_ask(c, request, PUT_SENT, "PUT", c->op.path, false);
	send_body(c, request);
	c->conditioned = false;
	if (!c->unconditional && !c->replaces)
	{
		wd_header(request, "If-None-Match", "*");
		c->conditioned = true;
	}
	else if (!c->unconditional && wd_is_etag(c->expected))
	{
		wd_header_own(c, request, "If-Match", pstrdup(c->expected));
		c->conditioned = true;
	}
	c->sent_checksum = c->body_known && !c->service->no_checksum;
	if (c->sent_checksum)
	{
		char *hex = cs_hex(c->sha256, CS_SHA256_LENGTH);

		wd_header_own(c, request, "OC-Checksum", psprintf("SHA256:%s", hex));
		pfree(hex);
	}
	/* Nextcloud says what it has received */
	if (c->service->uploads != NULL)
		wd_header(request, "X-Hash", "sha256");
	return CS_STEP_REQUEST;
}

static CsStep
write_temp(CsConversation *c, CsRequest *request)
{
	wd_ask(c, request, PUT_WRITTEN, "PUT", c->temp_path, false);
	send_body(c, request);
	c->temp_left = true;
	return CS_STEP_REQUEST;
}

/* The final name, in one step. */
static CsStep
move(CsConversation *c, CsRequest *request)
{
	if (c->way == WD_CHUNKS)
	{
		wd_ask_url(c, request, PUT_MOVED, "MOVE",
				   psprintf("%s/.file", c->upload));
		wd_header_own(c, request, "OC-Total-Length",
					  psprintf("%lld", (long long) c->size));
	}
	else
		wd_ask(c, request, PUT_MOVED, "MOVE", c->temp_path, false);
	wd_header_own(c, request, "Destination",
				  wd_url(c->service, c->op.path, false));
	wd_header(request, "Overwrite", c->replaces ? "T" : "F");
	c->conditioned = c->replaces && !c->unconditional && c->way == WD_TEMP &&
					 c->service->conditions == WD_YES &&
					 wd_is_etag(c->expected);
	if (c->conditioned)
	{
		char *url = wd_url(c->service, c->op.path, false);

		wd_header_own(c, request, "If",
					  psprintf("<%s> ([%s])", url, c->expected));
		pfree(url);
	}
	return CS_STEP_REQUEST;
}

static CsStep
checkpoint(CsConversation *c, CsResult *result)
{
	c->checkpointed = true;
	c->phase = PUT_CHECKPOINTED;
	result->size = c->size;
	memcpy(result->sha256, c->sha256, CS_SHA256_LENGTH);
	result->session = c->session;
	return CS_STEP_CHECKPOINT;
}

CsStep
wd_put_go_on(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (c->way == WD_STRAIGHT)
	{
		if (!c->body_known)
		{
			memset(request, 0, sizeof(*request));
			request->kind = CS_REQ_HASH_BODY;
			request->length = -1;
			c->phase = PUT_BODY_HASHED;
			return CS_STEP_REQUEST;
		}
		if (!c->checkpointed)
			return checkpoint(c, result);
		return send_straight(c, request);
	}
	if (!c->temp_written)
	{
		c->looked = false;
		return c->way == WD_TEMP ? write_temp(c, request)
								 : wd_chunk_start(c, request, result);
	}
	if (!c->checkpointed)
		return checkpoint(c, result);
	if (c->replaces && !c->looked)
		return wd_look(c, request, PUT_LAST_LOOKED, c->op.path);
	return move(c, request);
}

/* Perhaps a folder on the way is missing: makes them, once. */
static CsStep
make_parents(CsConversation *c, const CsResponse *answer, CsRequest *request,
			 CsResult *result)
{
	char *folder = cs_path_parent(c->op.path);
	WdSub sub;

	note_status(c, answer);
	c->parents_made = true;
	wd_forget(c->service, folder);
	sub = wd_make(c, request, PUT_MAKING_PARENTS, folder);
	pfree(folder);
	if (sub == WD_ASK)
		return CS_STEP_REQUEST;
	/* in the root: then something else is wrong */
	return wd_put_look(c, request, result);
}

static CsStep
parents_made(CsConversation *c, const CsResponse *answer, CsRequest *request,
			 CsResult *result)
{
	switch (wd_made(c, answer, request))
	{
		case WD_ASK:
			return CS_STEP_REQUEST;
		case WD_FAIL:
			return wd_put_clean_up(c, request, result);
		default:
			break;
	}
	/* they were there: is there something at the target that explains it? */
	if (!c->making.made && c->way == WD_STRAIGHT)
		return wd_put_look(c, request, result);
	return wd_put_go_on(c, request, result);
}

/* The server has all of it: what it keeps was last changed now, if not later. */
static void
note_arrival(CsConversation *c, const CsResponse *answer)
{
	const char *date = cs_http_header(answer, "date");

	c->arrived_at = date != NULL ? cs_http_date(date) : 0;
}

/* It is at the target now, as far as the server says. */
static CsStep
visible(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	CsEntry entry = {.kind = CS_ENTRY_FILE};
	char *id = wd_header_id(answer);
	char *version = wd_header_etag(answer);

	entry.path = c->op.path;
	entry.id = id;
	entry.version = version;
	entry.size = c->size;
	entry.modified = c->arrived_at;
	wd_web_url(c->service, &entry);
	wd_keep(c, &entry);
	wd_free(id);
	wd_free(version);
	wd_free((char *) entry.web_url);
	return wd_put_done(c, request, result);
}

/*
 * The server has received other bytes than were sent: once more, over them; in
 * the end they are taken away, so that no later attempt takes them for somebody
 * else's.
 */
static CsStep
corrupted(CsConversation *c, const CsResponse *answer, CsRequest *request,
		  CsResult *result)
{
	char *version = wd_header_etag(answer);

	if (version == NULL || ++c->tries > 2)
	{
		cs_failure_set(&c->failure, CS_FAIL_RETRY_LATER, NULL,
					   "\"%s\" arrived with another checksum than it was sent "
					   "with",
					   c->op.path);
		if (version == NULL)
			return wd_put_clean_up(c, request, result);
		wd_ask(c, request, PUT_CLEANED, "DELETE", c->op.path, false);
		wd_header_own(c, request, "If-Match", version);
		return CS_STEP_REQUEST;
	}
	wd_free(c->expected);
	c->expected = version;
	c->replaces = true;
	return send_straight(c, request);
}

/* What came of the straight PUT. */
static CsStep
straight_sent(CsConversation *c, const CsResponse *answer, CsRequest *request,
			  CsResult *result)
{
	uint8 received[CS_SHA256_LENGTH];
	int status = answer->error == 0 ? answer->status : 0;

	if (wd_good(answer))
	{
		c->looked = false;
		note_arrival(c, answer);
		if (answer->size != c->size)
			return wd_put_fail(c, request, result, CS_FAIL_CHANGED,
							   "changed in the database while it was read");
		if (cs_http_header(answer, "x-hash-sha256") != NULL &&
			wd_header_sha256(answer, received))
		{
			if (memcmp(received, c->sha256, CS_SHA256_LENGTH) != 0)
				return corrupted(c, answer, request, result);
			c->verified = true;
		}
		return visible(c, answer, request, result);
	}
	if (status == 412 || (status == 501 && c->conditioned))
	{
		c->service->conditions = status == 412 ? WD_YES : WD_NO;
		if (status == 501)
			c->unconditional = true;
		return wd_put_look(c, request, result);
	}
	if (status == 400 && c->sent_checksum)
	{
		/* not this kind of checksum, perhaps */
		c->service->no_checksum = true;
		return send_straight(c, request);
	}
	if (parents_missing(c, status))
		return make_parents(c, answer, request, result);
	note_status(c, answer);
	if (wd_lost(answer) || status == 404 || status == 405 || status == 409)
		return wd_look(c, request, PUT_LOST_LOOKED, c->op.path);
	return wd_put_clean_up(c, request, result);
}

static CsStep
temp_written(CsConversation *c, const CsResponse *answer, CsRequest *request,
			 CsResult *result)
{
	int status = answer->error == 0 ? answer->status : 0;

	if (parents_missing(c, status))
		return make_parents(c, answer, request, result);
	if (!wd_good(answer))
	{
		note_status(c, answer);
		return wd_put_clean_up(c, request, result);
	}
	if ((c->op.size >= 0 && answer->size != c->op.size) ||
		!answer->has_sha256 ||
		(c->body_known &&
		 memcmp(answer->sha256, c->sha256, CS_SHA256_LENGTH) != 0))
		return wd_put_fail(c, request, result, CS_FAIL_CHANGED,
						   "changed in the database while it was read");
	c->body_known = true;
	c->size = answer->size;
	memcpy(c->sha256, answer->sha256, CS_SHA256_LENGTH);
	c->temp_written = true;
	note_arrival(c, answer);
	if (c->size > WD_LOOK_SIZE)
		return wd_look(c, request, PUT_TEMP_LOOKED, c->temp_path);
	return wd_put_go_on(c, request, result);
}

static CsStep
temp_looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
			CsResult *result)
{
	WdLook look = wd_looked(c, answer, c->temp_path);

	if (look == WD_FAILED)
		return wd_put_clean_up(c, request, result);
	if (look == WD_ABSENT || c->entry.size != c->size)
		return wd_put_fail(c, request, result, CS_FAIL_RETRY_NOW,
						   "arrived with another size than it was sent with");
	if (c->entry.has_sha256)
	{
		if (memcmp(c->entry.sha256, c->sha256, CS_SHA256_LENGTH) != 0)
			return wd_put_fail(c, request, result, CS_FAIL_RETRY_NOW,
							   "arrived with another checksum than it was "
							   "sent with");
		c->verified = true;
	}
	return wd_put_go_on(c, request, result);
}

/* What came of the MOVE to the final name. */
static CsStep
moved(CsConversation *c, const CsResponse *answer, CsRequest *request,
	  CsResult *result)
{
	int status = answer->error == 0 ? answer->status : 0;

	if (wd_good(answer))
	{
		c->temp_left = false;
		c->upload_left = false;
		return visible(c, answer, request, result);
	}
	c->looked = false;
	if (status == 412)
		return wd_put_look(c, request, result);
	if ((status == 405 || status == 501) && c->way == WD_TEMP)
	{
		/* a server without MOVE: then straight, here and from now on */
		c->service->no_move = true;
		c->way = WD_STRAIGHT;
		return wd_put_go_on(c, request, result);
	}
	if ((status == 404 || status == 409) && c->way == WD_CHUNKS &&
		!c->parents_made)
		return make_parents(c, answer, request, result);
	if (status == 404 || status == 409)
		return wd_put_fail(c, request, result, CS_FAIL_RETRY_NOW,
						   "or its folder was removed while it was written");
	wd_failure(c, &c->failure, answer, "give its name to", c->op.path);
	if (wd_lost(answer))
		return wd_look(c, request, PUT_LOST_LOOKED, c->op.path);
	return wd_put_clean_up(c, request, result);
}

CsStep
wd_put_sent(CsConversation *c, const CsResponse *answer, CsRequest *request,
			CsResult *result)
{
	switch (c->phase)
	{
		case PUT_SENT:
			return straight_sent(c, answer, request, result);
		case PUT_WRITTEN:
			return temp_written(c, answer, request, result);
		case PUT_TEMP_LOOKED:
			return temp_looked(c, answer, request, result);
		case PUT_MAKING_PARENTS:
			return parents_made(c, answer, request, result);
		default: /* PUT_MOVED */
			return moved(c, answer, request, result);
	}
}
