/*
 * s3_get.c
 *	  GET of the S3 provider: one request, gone on with where it broke off as
 *	  long as the object is the same, and held to the service's checksum.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/http.h"
#include "cloudsync/provider.h"
#include "s3.h"

enum
{
	GET_START,
	GET_ANSWERED,
	GET_RESUMED
};

static CsStep
ask(CsConversation *c, CsRequest *request, CsResult *result)
{
	bool resumes = c->got > 0;
	const char *etag = resumes ? c->object.etag : c->op.expect_version;

	cs_s3_ask(c, request, resumes ? GET_RESUMED : GET_ANSWERED, "GET", c->key,
			  NULL);
	request->into = CS_INTO_BODY;
	request->body_status = resumes ? 206 : 200;
	request->append = resumes;
	request->md5 = !resumes;
	cs_s3_header(c, request, "x-amz-checksum-mode", "ENABLED");
	if (etag != NULL && etag[0] != '\0')
		cs_s3_header(c, request, "if-match", cs_s3_quoted(c, etag));
	if (resumes)
		cs_s3_header(
			c, request, "range",
			cs_s3_keep(c, psprintf("bytes=" INT64_FORMAT "-", c->got)));
	return CS_STEP_REQUEST;
}

/*
 * The connection broke. What has come is kept if the service named the object
 * by an ETag, so that the rest is known to be of the same.
 */
static CsStep
broke(CsConversation *c, const CsResponse *answer, CsRequest *request,
	  CsResult *result)
{
	if (c->phase == GET_ANSWERED)
		cs_s3_object(&c->object, answer);
	if (answer->body_failure != NULL || answer->size <= 0 ||
		c->object.etag[0] == '\0' || ++c->breaks > S3_MAX_BREAKS)
		return cs_s3_failed(result, answer, "read", c->op.path);
	c->got += answer->size;
	return ask(c, request, result);
}

static CsStep
refused(CsConversation *c, const CsResponse *answer, CsResult *result)
{
	if (answer->status == 412)
		return cs_s3_fail(result, CS_FAIL_CHANGED, c->op.path,
						  "is another version than the one listed");
	/* Of a resumed one: the rest is not to be had, so all of it again. */
	if (c->phase == GET_RESUMED &&
		(answer->status == 200 || answer->status == 416))
		return cs_s3_fail(result, CS_FAIL_RETRY_NOW, c->op.path,
						  "could not be read on where it broke off");
	return cs_s3_failed(result, answer, "read", c->op.path);
}

/* Does an answer to a range give the range that was asked for? */
static bool
is_rest(const CsConversation *c, const CsResponse *answer)
{
	const char *range = cs_http_header(answer, "content-range");
	long long from;
	char etag[sizeof(c->object.etag)];

	cs_s3_etag(etag, sizeof(etag), cs_http_header(answer, "etag"));
	return range != NULL && sscanf(range, "bytes %lld-", &from) == 1 &&
		   from == c->got && strcmp(etag, c->object.etag) == 0;
}

/*
 * The ETag looks like an MD5 and is not that of what came: a fault on the way,
 * or a service whose ETags are something else. All of it comes once more; what
 * comes the same twice is what the service has.
 */
static CsStep
compare_again(CsConversation *c, const CsResponse *answer, CsRequest *request,
			  CsResult *result)
{
	if (!c->again)
	{
		c->again = true;
		memcpy(c->first_sha256, answer->sha256, CS_SHA256_LENGTH);
		return ask(c, request, result);
	}
	if (memcmp(c->first_sha256, answer->sha256, CS_SHA256_LENGTH) != 0)
		return cs_s3_fail(result, CS_FAIL_RETRY_NOW, c->op.path,
						  "did not arrive as the service has it");
	c->service->etag_is_no_md5 = true;
	return CS_STEP_DONE;
}

static CsStep
whole(CsConversation *c, const CsResponse *answer, CsRequest *request,
	  CsResult *result)
{
	int64 size = c->got + answer->size;
	uint8 md5[16];

	if (c->object.size >= 0 && c->object.size != size)
		return cs_s3_fail(result, CS_FAIL_RETRY_LATER, c->op.path,
						  "arrived with another size than announced");
	if (c->object.has_sha256)
	{
		if (!answer->has_sha256 ||
			memcmp(c->object.sha256, answer->sha256, CS_SHA256_LENGTH) != 0)
			return cs_s3_fail(result, CS_FAIL_RETRY_NOW, c->op.path,
							  "did not arrive as the service has it");
		result->verified = true;
	}
	else if (c->got == 0 && !c->object.encrypted &&
			 !c->service->etag_is_no_md5 && cs_s3_is_md5(c->object.etag, md5))
	{
		result->verified = memcmp(md5, answer->md5, sizeof(md5)) == 0;
		if (!result->verified &&
			compare_again(c, answer, request, result) != CS_STEP_DONE)
			return result->failure.failure_class != CS_FAIL_NONE
					   ? CS_STEP_FAILED
					   : CS_STEP_REQUEST;
	}
	c->object.size = size;
	cs_s3_entry(c, result, c->op.path, &c->object);
	result->size = size;
	memcpy(result->sha256, answer->sha256, CS_SHA256_LENGTH);
	return CS_STEP_DONE;
}

CsStep
cs_s3_get(CsConversation *c, const CsResponse *answer, CsRequest *request,
		  CsResult *result)
{
	if (c->phase == GET_START)
		return ask(c, request, result);
	if (answer->error != 0)
		return broke(c, answer, request, result);
	if (c->phase == GET_RESUMED)
	{
		if (answer->status != 206)
			return refused(c, answer, result);
		if (!is_rest(c, answer))
			return cs_s3_fail(result, CS_FAIL_RETRY_NOW, c->op.path,
							  "could not be read on where it broke off");
		return whole(c, answer, request, result);
	}
	if (answer->status != 200)
		return refused(c, answer, result);
	cs_s3_object(&c->object, answer);
	return whole(c, answer, request, result);
}
