/*
 * web.c
 *	  What an http or https address leads to: GET, with redirects followed (S4)
 *	  and goes on where it broke off. Not a provider of connections, but of the
 *	  contents that an application keeps elsewhere (P1): its op's path is a URL,
 *	  there is no service and there are no credentials. Every address on the way
 *	  is checked by the carrier as it is asked (S5).
 *
 * No failure holds an address's user, query or fragment.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/http.h"
#include "cloudsync/provider.h"

#define MAX_REDIRECTS 5
#define MAX_TRIES 5		   /* of what breaks off */
#define MAX_VERSION 200	   /* bytes of an ETag */
#define SETTLED_US 2000000 /* a Last-Modified this old tells versions apart */

struct CsConversation
{
	CsOp op;
	const char *first; /* the address asked for */
	char *url;		   /* where the redirects have led to */
	const char *known; /* the version that need not be delivered */
	char *version;
	char *range; /* header */
	int redirects;
	int tries;
	int64 got;
	bool begun;	 /* the content itself was being delivered */
	bool ranged; /* the last request was for the rest */
	bool no_ranges; /* that has brought something else */
};

static CsConversation *
web_begin(CsService *service, const CsOp *op)
{
	CsConversation *c = palloc0(sizeof(CsConversation));

	cs_op_copy(&c->op, op);
	c->first = c->op.path;
	c->url = pstrdup(c->first);
	c->known = c->op.known_version;
	return c;
}

static bool
is_strong_etag(const char *version)
{
	return version != NULL && version[0] == '"';
}

static void
header(CsRequest *request, const char *name, const char *value)
{
	int n = 0;

	while (request->headers[n].name != NULL)
		n++;
	request->headers[n].name = name;
	request->headers[n].value = value;
}

static CsStep
ask(CsConversation *c, CsRequest *request)
{
	memset(request, 0, sizeof(*request));
	request->kind = CS_REQ_HTTP;
	request->method = "GET";
	request->url = c->url;
	request->anonymous = true;
	request->into = CS_INTO_BODY;
	request->body_status = 200;
	header(request, "Accept-Encoding", "identity");
	c->ranged = false;
	if (c->known == NULL)
		return CS_STEP_REQUEST;
	/* a date begins with a letter, an ETag with its quotes or W/" */
	if (strchr(c->known, '"') != NULL)
		header(request, "If-None-Match", c->known);
	else
		header(request, "If-Modified-Since", c->known);
	return CS_STEP_REQUEST;
}

/* The rest of what broke off, if it is still the same. */
static CsStep
ask_rest(CsConversation *c, CsRequest *request)
{
	const char *known = c->known;

	c->known = NULL;
	(void) ask(c, request);
	c->known = known;
	if (c->range != NULL)
		pfree(c->range);
	c->range = psprintf("bytes=%lld-", (long long) c->got);
	header(request, "Range", c->range);
	header(request, "If-Range", c->version);
	request->body_status = 206;
	request->append = true;
	c->ranged = true;
	return CS_STEP_REQUEST;
}

static CsStep
refuse(CsConversation *c, CsResult *result, CsFailureClass failure_class,
	   const char *what)
{
	cs_failure_set(&result->failure, failure_class, NULL,
				   "could not read \"%s\": %s", cs_url_shown(c->first), what);
	return CS_STEP_FAILED;
}

static CsStep
failed(CsConversation *c, CsResult *result, const CsResponse *answer)
{
	CsFailure *failure = &result->failure;
	bool broke_off = c->begun && answer->error != 0;

	cs_http_failure(failure, answer,
					psprintf("read \"%s\"", cs_url_shown(c->first)), NULL);
	if (cs_url_tells(c->first, failure->detail) ||
		cs_url_tells(c->url, failure->detail))
		failure->detail[0] = '\0';
	if (broke_off && failure->failure_class == CS_FAIL_RETRY_LATER)
		failure->failure_class = CS_FAIL_RETRY_NOW;
	return CS_STEP_FAILED;
}

static CsStep
redirected(CsConversation *c, const CsResponse *answer, CsRequest *request,
		   CsResult *result)
{
	const char *location = cs_http_header(answer, "location");
	char *next;

	if (location == NULL)
		return failed(c, result, answer);
	if (++c->redirects > MAX_REDIRECTS)
		return refuse(c, result, CS_FAIL_REFUSED,
					  "it was redirected more than 5 times");
	next = cs_url_resolve(c->url, location);
	if (next == NULL)
		return refuse(c, result, CS_FAIL_REFUSED,
					  "it was redirected to what is no http or https address");
	pfree(c->url);
	c->url = next;
	return ask(c, request);
}

/* What tells this content from another at the same address; or NULL. */
static char *
version_of(const CsResponse *answer)
{
	const char *etag = cs_http_header(answer, "etag");
	const char *modified = cs_http_header(answer, "last-modified");
	int64 time;

	if (etag != NULL && strlen(etag) < MAX_VERSION &&
		(etag[0] == '"' || strncmp(etag, "W/\"", 3) == 0))
		return pstrdup(etag);
	time = modified != NULL && strlen(modified) < MAX_VERSION
			   ? cs_http_date(modified)
			   : 0;
	/* within its own second it may be another one already */
	if (time > 0 && time + SETTLED_US <= answer->clock &&
		strchr(modified, '"') == NULL)
		return pstrdup(modified);
	return NULL;
}

static CsStep
done(CsConversation *c, const CsResponse *answer, CsResult *result,
	 bool unchanged)
{
	result->entry.kind = CS_ENTRY_FILE;
	result->entry.path = c->first;
	result->entry.version = unchanged ? c->known : c->version;
	result->entry.size = unchanged ? -1 : c->got;
	result->adopted = unchanged;
	result->size = c->got;
	memcpy(result->sha256, answer->sha256, CS_SHA256_LENGTH);
	return CS_STEP_DONE;
}

/* Does "bytes 5-9/10" begin where we stopped? */
static bool
right_range(const CsConversation *c, const CsResponse *answer)
{
	const char *range = cs_http_header(answer, "content-range");
	long long from;

	return range != NULL && sscanf(range, "bytes %lld-", &from) == 1 &&
		   from == c->got;
}

static CsStep
broke_off(CsConversation *c, const CsResponse *answer, CsRequest *request,
		  CsResult *result)
{
	if (answer->body_failure != NULL || !c->begun || c->no_ranges ||
		!is_strong_etag(c->version) || ++c->tries > MAX_TRIES)
		return failed(c, result, answer);
	/* another one by now, no ranges, or another part than was asked for */
	if (c->ranged && (answer->size == 0 || !right_range(c, answer)))
	{
		c->no_ranges = true;
		return ask(c, request);
	}
	c->got += answer->size;
	return ask_rest(c, request);
}

static CsStep
web_next(CsConversation *c, const CsResponse *answer, CsRequest *request,
		 CsResult *result)
{
	if (c->op.kind != CS_OP_GET)
		return cs_step_not_offered(c, answer, request, result);
	if (answer == NULL)
		return ask(c, request);
	if (!c->ranged)
	{
		c->begun = answer->size > 0;
		c->got = 0;
		c->version = version_of(answer);
	}
	if (answer->error != 0)
		return broke_off(c, answer, request, result);
	switch (answer->status)
	{
		case 301:
		case 302:
		case 303:
		case 307:
		case 308:
			return redirected(c, answer, request, result);
		case 304:
			if (c->known == NULL)
				return failed(c, result, answer);
			return done(c, answer, result, true);
		case 206:
			if (!c->ranged)
				return failed(c, result, answer);
			if (!right_range(c, answer))
			{
				c->no_ranges = true;
				return ask(c, request);
			}
			c->got += answer->size;
			return done(c, answer, result, false);
		case 200:
			if (c->ranged) /* another one now, or no ranges: all of it again */
			{
				c->no_ranges = true;
				return ask(c, request);
			}
			c->got = answer->size;
			return done(c, answer, result, false);
		default:
			return failed(c, result, answer);
	}
}

const CsProvider cs_provider_web = {.name = "content",
									.title = "Contents by address",
									.begin = web_begin,
									.next = web_next};
