/*
 * webdav_get.c
 *	  GET of the WebDAV provider: one request. A download that breaks off goes
 *	  on where it stopped, if the server says that it is still the same file
 *	  (Range, If-Range); otherwise it starts anew.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/path.h"
#include "webdav.h"

#define MAX_TRIES 5

enum
{
	GET_START,
	GET_ANSWERED,
	GET_RANGE_ANSWERED,
	GET_LOOKED
};

static CsStep
start(CsConversation *c, CsRequest *request)
{
	c->got = 0;
	c->total = -1;
	wd_free(c->version);
	wd_free(c->validator);
	c->version = NULL;
	c->validator = NULL;
	wd_ask(c, request, GET_ANSWERED, "GET", c->op.path, false);
	request->into = CS_INTO_BODY;
	request->body_status = 200;
	return CS_STEP_REQUEST;
}

static CsStep
go_on(CsConversation *c, CsRequest *request)
{
	wd_ask(c, request, GET_RANGE_ANSWERED, "GET", c->op.path, false);
	wd_header_own(c, request, "Range",
				  psprintf("bytes=%lld-", (long long) c->got));
	wd_header_own(c, request, "If-Range", pstrdup(c->validator));
	request->into = CS_INTO_BODY;
	request->body_status = 206;
	request->append = true;
	return CS_STEP_REQUEST;
}

static CsStep
fail(CsConversation *c, CsResult *result, CsFailureClass failure_class,
	 const char *what)
{
	cs_failure_set(&result->failure, failure_class, NULL, "\"%s\" %s",
				   c->op.path, what);
	return CS_STEP_FAILED;
}

/* What the first answer says of the file, for all that follows. */
static void
note_headers(CsConversation *c, const CsResponse *answer)
{
	const char *etag = cs_http_header(answer, "etag");
	const char *modified = cs_http_header(answer, "last-modified");
	bool encoded = cs_http_header(answer, "content-encoding") != NULL;

	c->total =
		encoded ? -1 : wd_number(cs_http_header(answer, "content-length"));
	/* compared with what was listed in the form that that has */
	if (c->op.expect_version != NULL && !wd_is_etag(c->op.expect_version))
		c->version = wd_version(NULL, c->total,
								modified != NULL ? cs_http_date(modified) : 0);
	else
		c->version = wd_header_version(answer, c->total);
	if (!encoded && etag != NULL && etag[0] == '"' && strlen(etag) < 200)
		c->validator = pstrdup(etag);
	c->entry.modified = modified != NULL ? cs_http_date(modified) : 0;
}

static CsStep
done(CsConversation *c, const CsResponse *answer, CsResult *result)
{
	CsEntry entry = {.kind = CS_ENTRY_FILE};

	entry.path = c->op.path;
	entry.id = c->op.id;
	entry.version =
		c->op.expect_version != NULL ? c->op.expect_version : c->version;
	entry.size = c->got;
	entry.modified = c->entry.modified;
	wd_keep(c, &entry);
	result->entry = c->entry;
	result->size = c->got;
	memcpy(result->sha256, c->sha256, CS_SHA256_LENGTH);
	result->verified = c->verified;
	return CS_STEP_DONE;
}

/* All is here: is it all, of the version listed, and with the checksum said? */
static CsStep
whole(CsConversation *c, const CsResponse *answer, CsRequest *request,
	  CsResult *result)
{
	uint8 said[CS_SHA256_LENGTH];

	if (c->total >= 0 && c->got != c->total)
		return fail(c, result, CS_FAIL_RETRY_NOW,
					"came with another length than was said");
	memcpy(c->sha256, answer->sha256, CS_SHA256_LENGTH);
	c->size = c->got;
	if (wd_header_sha256(answer, said) && answer->has_sha256)
	{
		if (memcmp(said, c->sha256, CS_SHA256_LENGTH) != 0)
			return fail(c, result, CS_FAIL_RETRY_NOW,
						"came with another checksum than the server says");
		c->verified = true;
	}
	if (c->op.expect_version == NULL)
		return done(c, answer, result);
	if (c->version != NULL &&
		wd_is_etag(c->version) == wd_is_etag(c->op.expect_version))
	{
		if (strcmp(c->version, c->op.expect_version) != 0)
			return fail(c, result, CS_FAIL_CHANGED,
						"is another version than the one listed");
		return done(c, answer, result);
	}
	/* the answer does not say which version it is: ask as the listing did */
	return wd_look(c, request, GET_LOOKED, c->op.path);
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
	bool is_range = c->phase == GET_RANGE_ANSWERED;

	wd_failure(c, &result->failure, answer, "read", c->op.path);
	if (answer->body_failure != NULL || ++c->tries > MAX_TRIES)
		return CS_STEP_FAILED;
	if (cs_failure_is_connections(result->failure.failure_class) &&
		answer->size == 0)
		return CS_STEP_FAILED;
	if (is_range && answer->size > 0 && !right_range(c, answer))
		return start(c, request);
	c->got += answer->size;
	/* a range that brought nothing may be what the server cannot do */
	if (is_range && answer->size == 0)
		return start(c, request);
	if (c->got > 0 && c->validator != NULL)
		return go_on(c, request);
	if (answer->size > 0)
		return start(c, request);
	return CS_STEP_FAILED;
}

CsStep
wd_get(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	switch (c->phase)
	{
		case GET_START:
			return start(c, request);
		case GET_LOOKED:
			switch (wd_looked(c, answer, c->op.path))
			{
				case WD_THERE:
					if (c->entry.version == NULL ||
						strcmp(c->entry.version, c->op.expect_version) != 0)
						return fail(c, result, CS_FAIL_CHANGED,
									"is another version than the one listed");
					return done(c, answer, result);
				default:
					result->failure = c->failure;
					return CS_STEP_FAILED;
			}
		case GET_ANSWERED:
			/* also of an answer that broke off: what it was */
			if (answer->n_headers > 0)
				note_headers(c, answer);
			if (answer->error != 0)
				return broke_off(c, answer, request, result);
			if (answer->status != 200)
				return wd_failed(c, result, answer, "read", c->op.path);
			c->got = answer->size;
			return whole(c, answer, request, result);
		default: /* GET_RANGE_ANSWERED */
			if (answer->error != 0)
				return broke_off(c, answer, request, result);
			if (answer->status == 206 && right_range(c, answer))
			{
				c->got += answer->size;
				return whole(c, answer, request, result);
			}
			/* not the same file any more, or no ranges: all of it again */
			if ((answer->status == 200 || answer->status == 206 ||
				 answer->status == 416) &&
				++c->tries <= MAX_TRIES)
				return start(c, request);
			return wd_failed(c, result, answer, "read", c->op.path);
	}
}
