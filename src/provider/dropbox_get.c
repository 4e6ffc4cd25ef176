/*
 * dropbox_get.c
 *	  GET of the Dropbox provider: one request, gone on with where it broke off,
 *	  of the same revision, and held to the content hash.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/http.h"
#include "dropbox.h"

enum
{
	GET_START,
	GET_ANSWERED,
	GET_RESUMED
};

/* Its metadata, which stands in a header. */
static const CsJson *
metadata_of(const CsResponse *answer)
{
	const char *value = cs_http_header(answer, "dropbox-api-result");
	const char *problem;

	return value != NULL ? cs_json_parse(value, strlen(value), &problem) : NULL;
}

static CsStep
start(CsConversation *c, CsRequest *request)
{
	return cs_dropbox_download(c, request, GET_ANSWERED,
							   c->op.id != NULL ? c->op.id : c->op.path, 0);
}

/*
 * The connection broke. What has come is kept: the rest is asked for by the
 * revision, so that it is of the same.
 */
static CsStep
broke(CsConversation *c, const CsResponse *answer, CsRequest *request,
	  CsResult *result)
{
	if (c->rev == NULL)
		c->rev = cs_dropbox_keep(c, cs_json_text(metadata_of(answer), "rev"));
	if (answer->body_failure != NULL || answer->size <= 0 || c->rev == NULL ||
		++c->breaks > DBX_MAX_BREAKS)
		return cs_dropbox_failed(c, result, answer, "read", c->op.path);
	c->got += answer->size;
	return cs_dropbox_download(c, request, GET_RESUMED,
							   psprintf("rev:%s", c->rev), c->got);
}

static CsStep
whole(CsConversation *c, const CsResponse *answer, CsResult *result)
{
	const CsJson *metadata = metadata_of(answer);
	CsEntry *entry = &result->entry;
	int64 size = c->got + answer->size;

	if (!cs_dropbox_entry(entry, metadata, NULL) ||
		entry->kind != CS_ENTRY_FILE)
		return cs_dropbox_nonsense(result, c->op.path);
	if (c->op.expect_version != NULL &&
		strcmp(entry->version, c->op.expect_version) != 0)
		return cs_dropbox_fail(result, CS_FAIL_CHANGED, c->op.path,
							   "is another version than the one listed");
	if (c->rev != NULL && strcmp(entry->version, c->rev) != 0)
		return cs_dropbox_fail(result, CS_FAIL_RETRY_NOW, c->op.path,
							   "could not be read on where it broke off");
	if (entry->size != size)
		return cs_dropbox_fail(result, CS_FAIL_RETRY_LATER, c->op.path,
							   "arrived with another size than announced");
	if (entry->checksum != NULL && answer->checksum != NULL)
	{
		if (strcmp(entry->checksum, answer->checksum) != 0)
			return cs_dropbox_fail(result, CS_FAIL_RETRY_NOW, c->op.path,
								   "did not arrive as the service has it");
		result->verified = true;
	}
	result->size = size;
	memcpy(result->sha256, answer->sha256, CS_SHA256_LENGTH);
	result->checksum = answer->checksum;
	return CS_STEP_DONE;
}

CsStep
cs_dropbox_get(CsConversation *c, const CsResponse *answer, CsRequest *request,
			   CsResult *result)
{
	if (c->phase == GET_START)
		return start(c, request);
	if (answer->error != 0)
		return broke(c, answer, request, result);
	/* Of a resumed one: the rest is not to be had, so all of it again. */
	if (c->phase == GET_RESUMED &&
		(answer->status == 200 || answer->status == 416))
		return cs_dropbox_fail(result, CS_FAIL_RETRY_NOW, c->op.path,
							   "could not be read on where it broke off");
	if (answer->status != (c->phase == GET_RESUMED ? 206 : 200))
		return cs_dropbox_failed(c, result, answer, "read", c->op.path);
	return whole(c, answer, result);
}
