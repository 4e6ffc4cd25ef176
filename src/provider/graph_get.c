/*
 * graph_get.c
 *	  GET of the Microsoft Graph provider: from the address that the listing
 *	  gave with the item, so that a document costs one request; otherwise Graph
 *	  is asked for one. Such an address is a secret, takes no credentials, and is
 *	  good for a while only. A download that breaks off goes on where it stopped;
 *	  the item's hash says whether all of it is one version.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/path.h"
#include "graph.h"

#define MAX_TRIES 5 /* with less than that in between */
#define PROGRESS (1024 * 1024)
#define MAX_RESUMES 2000 /* however much comes in between */

enum
{
	GET_START,
	GET_LINK, /* /content was asked */
	GET_ANSWERED,
	GET_RESUMED,
	GET_LOOKED
};

static CsStep
fail(CsConversation *c, CsResult *result, CsFailureClass failure_class,
	 const char *what)
{
	return gr_fail(result, failure_class, c->op.path, what);
}

/*
 * Graph is asked where the bytes are; a service may also give them at once. What
 * came so far is kept: whether the rest is of the same version, its hash says.
 */
static CsStep
ask_link(CsConversation *c, CsRequest *request)
{
	bool by_id;

	c->link = NULL;
	c->fresh_link = true;
	gr_ask(c, request, GET_LINK, "GET",
		   c->op.id != NULL
			   ? gr_id_url(c, c->op.id, "content", NULL)
			   : gr_url(c, c->op.path, "content", NULL, &by_id));
	request->into = CS_INTO_BODY;
	request->body_status = 200;
	return CS_STEP_REQUEST;
}

/* All of it again: what came so far counts for nothing, and this for ever. */
static CsStep
begin_anew(CsConversation *c, CsRequest *request)
{
	c->restarts++;
	c->got = 0;
	c->total = -1;
	return ask_link(c, request);
}

static CsStep
download(CsConversation *c, CsRequest *request)
{
	bool resumes = c->got > 0;

	gr_ask_anonymous(c, request, resumes ? GET_RESUMED : GET_ANSWERED, "GET",
					 c->link);
	request->into = CS_INTO_BODY;
	request->body_status = resumes ? 206 : 200;
	request->append = resumes;
	if (resumes)
		gr_header(request, "Range",
				  gr_keep(c, psprintf("bytes=" INT64_FORMAT "-", c->got)));
	return CS_STEP_REQUEST;
}

static CsStep
start(CsConversation *c, CsRequest *request)
{
	c->total = -1;
	c->link = gr_take_link(c->service, c->op.id, c->op.expect_version);
	return c->link != NULL ? download(c, request) : ask_link(c, request);
}

static CsStep
link_answered(CsConversation *c, const CsResponse *answer, CsRequest *request,
			  CsResult *result)
{
	const char *location = cs_http_header(answer, "location");

	if (answer->error != 0 || answer->status / 100 != 3)
		return gr_failed(result, answer, "read", c->op.path);
	if (location == NULL || !gr_is_safe(c->service, location))
		return fail(c, result, CS_FAIL_BROKEN,
					"is to be had at no safe address, as the service says");
	c->link = pstrdup(location);
	return download(c, request);
}

/* --- what has come ---------------------------------------------------------------- */

static CsStep
done(CsConversation *c, CsResult *result)
{
	if (c->item.there)
		gr_entry(&c->item, c->op.path, &result->entry);
	else
	{
		result->entry.kind = CS_ENTRY_FILE;
		result->entry.path = c->op.path;
		result->entry.name = cs_path_name(c->op.path);
		result->entry.id = c->op.id;
		result->entry.version = c->op.expect_version;
		result->entry.size = c->got;
	}
	result->size = c->got;
	memcpy(result->sha256, c->sha256, CS_SHA256_LENGTH);
	result->verified = c->verified;
	return CS_STEP_DONE;
}

/*
 * All is here. The version that was listed is the hash of what should have
 * come, mostly; otherwise the item says what it is now.
 */
static CsStep
whole(CsConversation *c, const CsResponse *answer, CsRequest *request,
	  CsResult *result)
{
	const char *version = c->op.expect_version;

	if (c->total >= 0 && c->got != c->total)
		return fail(c, result, CS_FAIL_RETRY_NOW,
					"came with another length than was said");
	memcpy(c->sha256, answer->sha256, CS_SHA256_LENGTH);
	if (answer->checksum != NULL)
		c->checksum = pstrdup(answer->checksum);
	if (version != NULL && strcmp(version, "empty") == 0 && c->got == 0)
		c->verified = true;
	if (version != NULL && strncmp(version, "q:", 2) == 0 &&
		c->checksum != NULL && strcmp(version + 2, c->checksum) == 0)
		c->verified = true;
	if (c->verified)
		return done(c, result);
	return gr_look(c, request, GET_LOOKED, c->op.path, c->op.id);
}

static CsStep
looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	const char *expected = c->op.expect_version;

	switch (gr_looked(c, answer, c->op.path))
	{
		case GR_THERE:
			break;
		default:
			result->failure = c->failure;
			return CS_STEP_FAILED;
	}
	if (expected != NULL && (c->item.version == NULL ||
							 strcmp(expected, c->item.version) != 0))
		return fail(c, result, CS_FAIL_CHANGED,
					"is another version than the one listed");
	if (c->item.has_sha256)
		c->verified =
			memcmp(c->item.sha256, c->sha256, CS_SHA256_LENGTH) == 0;
	else if (c->item.checksum != NULL && c->checksum != NULL)
		c->verified = strcmp(c->item.checksum, c->checksum) == 0;
	else
		return done(c, result);
	if (!c->verified)
		return fail(c, result, CS_FAIL_RETRY_NOW,
					"came with another checksum than the service says");
	return done(c, result);
}

/* Does "bytes 5-9/10" begin where we stopped, in a file of the same size? */
static bool
right_range(const CsConversation *c, const CsResponse *answer)
{
	const char *range = cs_http_header(answer, "content-range");
	long long from, to, total;

	if (range == NULL ||
		sscanf(range, "bytes %lld-%lld/%lld", &from, &to, &total) != 3)
		return false;
	return from == c->got && (c->total < 0 || total == c->total);
}

static CsStep
broke_off(CsConversation *c, const CsResponse *answer, CsRequest *request,
		  CsResult *result)
{
	bool resumed = c->phase == GET_RESUMED;
	bool on = c->phase != GET_LINK && answer->size > 0 &&
			  (!resumed || right_range(c, answer));

	gr_failure(&result->failure, answer, "read", c->op.path);
	c->breaks = on && answer->size >= PROGRESS ? 1 : c->breaks + 1;
	if (answer->body_failure != NULL || c->breaks > MAX_TRIES ||
		++c->resumes > MAX_RESUMES ||
		(cs_failure_is_connections(result->failure.failure_class) &&
		 answer->size == 0))
		return CS_STEP_FAILED;
	if (!on)
	{
		if ((c->phase != GET_LINK && answer->size <= 0 && !resumed) ||
			c->restarts >= MAX_TRIES)
			return CS_STEP_FAILED;
		return begin_anew(c, request);
	}
	c->got += answer->size;
	return download(c, request);
}

/* The address is not good any more, or there are no ranges. */
static CsStep
refused(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	bool stale = answer->status == 401 || answer->status == 403 ||
				 answer->status == 404 || answer->status == 410;

	if (stale && !c->fresh_link)
		return ask_link(c, request);
	if (c->phase == GET_RESUMED && ++c->breaks <= MAX_TRIES)
	{
		if (stale)
			return ask_link(c, request);
		if ((answer->status == 200 || answer->status == 206 ||
			 answer->status == 416) &&
			c->restarts < MAX_TRIES)
			return begin_anew(c, request);
	}
	gr_failed(result, answer, "read", c->op.path);
	/* the bytes' host knows neither what is there nor who we are */
	if (c->phase != GET_LINK &&
		(result->failure.failure_class == CS_FAIL_GONE ||
		 result->failure.failure_class == CS_FAIL_NEEDS_CONSENT))
		result->failure.failure_class = CS_FAIL_RETRY_LATER;
	return CS_STEP_FAILED;
}

static void
note_length(CsConversation *c, const CsResponse *answer)
{
	const char *text = cs_http_header(answer, "content-length");
	long long length;

	if (text != NULL && sscanf(text, "%lld", &length) == 1 && length >= 0)
		c->total = length;
}

CsStep
gr_get(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	if (c->phase == GET_START)
		return start(c, request);
	if (c->phase == GET_LOOKED)
		return looked(c, answer, request, result);
	if (c->phase != GET_RESUMED && answer->status == 200)
		note_length(c, answer);
	if (answer->error != 0)
		return broke_off(c, answer, request, result);
	if (c->phase == GET_RESUMED)
	{
		if (answer->status != 206 || !right_range(c, answer))
			return refused(c, answer, request, result);
		c->got += answer->size;
		return whole(c, answer, request, result);
	}
	if (answer->status == 200)
	{
		c->got = answer->size;
		return whole(c, answer, request, result);
	}
	if (c->phase == GET_LINK)
		return link_answered(c, answer, request, result);
	return refused(c, answer, request, result);
}
