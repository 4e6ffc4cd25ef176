/* sources: src/base/[a-z]*.c */
/*
 * The worked example of docs/providers.md: a provider that hands files over to
 * another program through a folder, and the replay that proves it.
 */
#include "postgres_fe.h"

#include "cloudsync/path.h"
#include "cloudsync/provider.h"
#include "tap.h"

/* --- the provider: this would be src/provider/spool.c --- */

typedef enum SpoolPhase
{
	SPOOL_START,
	SPOOL_WRITTEN,
	SPOOL_CHECKPOINTED,
	SPOOL_RENAMED
} SpoolPhase;

struct CsConversation
{
	SpoolPhase phase;
	CsOpKind kind;
	char *path;
	char *temp_path;
	int64 size;
	uint8 sha256[CS_SHA256_LENGTH];
};

static CsConversation *
spool_begin(CsService *service, const CsOp *op)
{
	CsConversation *c = palloc0(sizeof(CsConversation));

	c->kind = op->kind;
	c->path = pstrdup(op->path);
	if (op->kind == CS_OP_PUT)
		c->temp_path = cs_path_join(cs_path_parent(op->path), op->temp_name);
	return c;
}

static CsStep
spool_failed(CsResult *result, const CsResponse *answer, const char *path)
{
	if (answer->body_failure != NULL)
		result->failure = *answer->body_failure;
	else
		cs_failure_set(&result->failure,
					   answer->error == EEXIST	 ? CS_FAIL_CONFLICT
					   : answer->error == ENOSPC ? CS_FAIL_QUOTA
					   : answer->error == ENODEV ? CS_FAIL_UNREACHABLE
												 : CS_FAIL_RETRY_LATER,
					   answer->detail, "could not hand over \"%s\"", path);
	return CS_STEP_FAILED;
}

static CsStep
spool_next(CsConversation *c, const CsResponse *answer, CsRequest *request,
		   CsResult *result)
{
	memset(request, 0, sizeof(*request));
	memset(result, 0, sizeof(*result));
	if (c->kind != CS_OP_PUT)
	{
		cs_failure_set(&result->failure, CS_FAIL_REFUSED, NULL,
					   "a spool folder takes files and does nothing else");
		return CS_STEP_FAILED;
	}
	if (answer != NULL && answer->error != 0)
		return spool_failed(result, answer, c->path);
	switch (c->phase)
	{
		case SPOOL_START:
			c->phase = SPOOL_WRITTEN;
			request->kind = CS_REQ_FILE_WRITE;
			request->path = c->temp_path;
			return CS_STEP_REQUEST;
		case SPOOL_WRITTEN:
			c->size = result->size = answer->size;
			memcpy(c->sha256, answer->sha256, CS_SHA256_LENGTH);
			memcpy(result->sha256, answer->sha256, CS_SHA256_LENGTH);
			c->phase = SPOOL_CHECKPOINTED;
			return CS_STEP_CHECKPOINT;
		case SPOOL_CHECKPOINTED:
			c->phase = SPOOL_RENAMED;
			request->kind = CS_REQ_FILE_RENAME;
			request->path = c->temp_path;
			request->to_path = c->path;
			return CS_STEP_REQUEST;
		case SPOOL_RENAMED:
			result->entry = answer->entry;
			result->size = c->size;
			memcpy(result->sha256, c->sha256, CS_SHA256_LENGTH);
			return CS_STEP_DONE;
	}
	return CS_STEP_FAILED;
}

static const CsProviderKey spool_options[] = {
	{"path", "Folder that the other program watches.", true, CS_KEY_TEXT},
	{NULL},
};
static const CsProviderKey spool_credentials[] = {{NULL}};

static const CsProvider spool = {
	.name = "spool",
	.title = "Spool folder of another program",
	.authentication = "none",
	.options = spool_options,
	.credentials = spool_credentials,
	.names = {.max_name_bytes = 255, .forbidden = ""},
	.begin = spool_begin,
	.next = spool_next,
};

/* --- its proof: what it asks, and what it makes of the answers --- */

int
main(void)
{
	CsOp op = {.kind = CS_OP_PUT, .path = "/in/a", .temp_name = ".t"};
	CsConversation *c = spool.begin(NULL, &op);
	CsRequest request;
	CsResult result;
	CsResponse answer = {0};
	CsFailure changed = {CS_FAIL_CHANGED, 0, "it changed", ""};

	tap_ok(spool.next(c, NULL, &request, &result) == CS_STEP_REQUEST &&
			   request.kind == CS_REQ_FILE_WRITE,
		   "asks to write");
	tap_is(request.path, "/in/.t", "under the temporary name");
	answer.size = 5;
	tap_ok(spool.next(c, &answer, &request, &result) == CS_STEP_CHECKPOINT &&
			   result.size == 5,
		   "tells what it wrote before it is seen");
	tap_ok(spool.next(c, NULL, &request, &result) == CS_STEP_REQUEST &&
			   request.kind == CS_REQ_FILE_RENAME && !request.replace,
		   "asks to rename, replacing nothing");
	tap_ok(spool.next(c, &answer, &request, &result) == CS_STEP_DONE,
		   "is done");

	c = spool.begin(NULL, &op);
	spool.next(c, NULL, &request, &result);
	answer.error = ENOSPC;
	tap_ok(spool.next(c, &answer, &request, &result) == CS_STEP_FAILED &&
			   result.failure.failure_class == CS_FAIL_QUOTA,
		   "no space is a matter of quota");
	c = spool.begin(NULL, &op);
	spool.next(c, NULL, &request, &result);
	answer.error = ECANCELED;
	answer.body_failure = &changed;
	tap_ok(spool.next(c, &answer, &request, &result) == CS_STEP_FAILED &&
			   result.failure.failure_class == CS_FAIL_CHANGED,
		   "what the content says is passed on");
	op.kind = CS_OP_LIST;
	c = spool.begin(NULL, &op);
	tap_ok(spool.next(c, NULL, &request, &result) == CS_STEP_FAILED,
		   "anything else is refused");
	return tap_done();
}
