/*
 * webdav_put.c
 *	  PUT of the WebDAV provider: what is at the target, whose it is, and what
 *	  may be done about it (P8). The requests that send are in webdav_send.c.
 *
 *	  A small file whose SHA-256 is known, and any file at a Nextcloud, goes
 *	  straight to its final name, by one conditional request: these servers
 *	  replace in one step. Others go to a temporary name beside the target and
 *	  are moved. A server that does not obey conditions is found out by a
 *	  harmless one; there the target is looked at just before.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/path.h"
#include "webdav.h"

#define MAX_PROBES 3

/* --- ends ------------------------------------------------------------------------ */

static bool
may_go_on_later(CsFailureClass failure_class)
{
	return failure_class == CS_FAIL_RETRY_LATER ||
		   failure_class == CS_FAIL_UNREACHABLE ||
		   failure_class == CS_FAIL_NEEDS_CONSENT;
}

CsStep
wd_put_clean_up(CsConversation *c, CsRequest *request, CsResult *result)
{
	bool is_down = c->failure.failure_class == CS_FAIL_UNREACHABLE ||
				   c->failure.failure_class == CS_FAIL_NEEDS_CONSENT;

	/* an upload in chunks that may go on later stays */
	if (c->upload_left && !may_go_on_later(c->failure.failure_class))
	{
		c->upload_left = false;
		return wd_ask_url(c, request, PUT_CLEANED, "DELETE",
						  pstrdup(c->upload));
	}
	if (c->temp_left && !is_down)
	{
		c->temp_left = false;
		return wd_ask(c, request, PUT_CLEANED, "DELETE", c->temp_path, false);
	}
	result->failure = c->failure;
	return CS_STEP_FAILED;
}

CsStep
wd_put_fail(CsConversation *c, CsRequest *request, CsResult *result,
			CsFailureClass failure_class, const char *what)
{
	cs_failure_set(&c->failure, failure_class, NULL, "\"%s\" %s", c->op.path,
				   what);
	return wd_put_clean_up(c, request, result);
}

CsStep
wd_put_done(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (c->temp_left)
	{
		c->temp_left = false;
		return wd_ask(c, request, PUT_TIDIED, "DELETE", c->temp_path, false);
	}
	if (c->upload_left)
	{
		c->upload_left = false;
		return wd_ask_url(c, request, PUT_TIDIED, "DELETE", pstrdup(c->upload));
	}
	result->entry = c->entry;
	result->adopted = c->adopted;
	result->verified = c->verified;
	result->size = c->size;
	memcpy(result->sha256, c->sha256, CS_SHA256_LENGTH);
	return CS_STEP_DONE;
}

static CsStep
conflict(CsConversation *c, CsRequest *request, CsResult *result)
{
	return wd_put_fail(c, request, result, CS_FAIL_CONFLICT,
					   c->entry.kind == CS_ENTRY_FOLDER
						   ? "is a folder"
						   : "was made or changed by somebody else");
}

/* --- what is at the target --------------------------------------------------------- */

CsStep
wd_put_look(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (++c->looks > WD_MAX_LOOKS)
		return wd_put_fail(c, request, result, CS_FAIL_RETRY_LATER,
						   "is being changed by somebody else");
	return wd_look(c, request, PUT_LOOKED, c->op.path);
}

static void
expect(CsConversation *c, const char *version)
{
	char *copy = wd_copy(version);

	wd_free(c->expected);
	c->expected = copy;
	c->replaces = true;
}

/* What is there may be replaced, as long as it is that. */
static CsStep
replace(CsConversation *c, CsRequest *request, CsResult *result)
{
	expect(c, c->entry.version);
	c->looked = true;
	return wd_put_go_on(c, request, result);
}

static CsStep
adopt(CsConversation *c, CsRequest *request, CsResult *result)
{
	c->adopted = true;
	c->verified = true;
	return wd_put_done(c, request, result);
}

/* The target's bytes are known, and the body's. */
static CsStep
compare_with_body(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (c->target_size == c->size &&
		memcmp(c->target_sha256, c->sha256, CS_SHA256_LENGTH) == 0)
		return adopt(c, request, result);
	if (c->ours || c->op.overwrite)
		return replace(c, request, result);
	return conflict(c, request, result);
}

/* The target's bytes are known. */
static CsStep
target_known(CsConversation *c, CsRequest *request, CsResult *result)
{
	c->ours =
		c->op.has_intended && c->target_size == c->op.intended_size &&
		memcmp(c->target_sha256, c->op.intended_sha256, CS_SHA256_LENGTH) == 0;
	if (c->body_known)
		return compare_with_body(c, request, result);
	if (c->op.size < 0 || c->target_size == c->op.size)
	{
		memset(request, 0, sizeof(*request));
		request->kind = CS_REQ_HASH_BODY;
		request->length = -1;
		c->compares = true;
		c->phase = PUT_BODY_HASHED;
		return CS_STEP_REQUEST;
	}
	if (c->ours || c->op.overwrite)
		return replace(c, request, result);
	return conflict(c, request, result);
}

/* What stands there: nothing, ours, or to be told by its bytes? */
static CsStep
judge(CsConversation *c, const CsResponse *answer, CsRequest *request,
	  CsResult *result)
{
	int64 size = c->body_known ? c->size : c->op.size;
	WdLook look = wd_looked(c, answer, c->op.path);

	c->replaces = false;
	c->ours = false;
	if (look == WD_ABSENT)
	{
		c->looked = true;
		return wd_put_go_on(c, request, result);
	}
	if (look == WD_FAILED)
		return wd_put_clean_up(c, request, result);
	if (c->entry.kind != CS_ENTRY_FILE)
		return conflict(c, request, result);
	/*
	 * The very version whose condition was said not to hold: servers call an
	 * ETag weak now and then, and no weak one may be a condition.
	 */
	if (c->conditioned && c->expected != NULL && c->entry.version != NULL &&
		strcmp(c->expected, c->entry.version) == 0)
		c->unconditional = true;
	if (c->op.known_version != NULL && c->entry.version != NULL &&
		strcmp(c->op.known_version, c->entry.version) == 0)
		return replace(c, request, result);
	if ((c->op.has_intended && c->entry.size == c->op.intended_size) ||
		c->entry.size == size || size < 0 || c->entry.size < 0)
	{
		if (!c->entry.has_sha256 || c->entry.size < 0)
			return wd_hash(c, request, PUT_TARGET_HASHED, c->op.path);
		c->target_size = c->entry.size;
		memcpy(c->target_sha256, c->entry.sha256, CS_SHA256_LENGTH);
		return target_known(c, request, result);
	}
	if (c->op.overwrite)
		return replace(c, request, result);
	return conflict(c, request, result);
}

static CsStep
target_hashed(CsConversation *c, const CsResponse *answer, CsRequest *request,
			  CsResult *result)
{
	switch (wd_hashed(c, answer, c->op.path))
	{
		case WD_HASHED:
			return target_known(c, request, result);
		case WD_OTHER_NOW:
			return wd_put_look(c, request, result);
		default:
			/* what we may not even read is not ours */
			if (c->failure.failure_class == CS_FAIL_FORBIDDEN)
			{
				if (c->op.overwrite)
					return replace(c, request, result);
				return conflict(c, request, result);
			}
			return wd_put_clean_up(c, request, result);
	}
}

/* The body was read for its hash alone: to be compared, or to be said. */
static CsStep
body_hashed(CsConversation *c, const CsResponse *answer, CsRequest *request,
			CsResult *result)
{
	if (answer->error != 0)
	{
		wd_failure(c, &c->failure, answer, "compare", c->op.path);
		return wd_put_clean_up(c, request, result);
	}
	if (c->op.size >= 0 && answer->size != c->op.size)
		return wd_put_fail(c, request, result, CS_FAIL_CHANGED,
						   "changed in the database while it was read");
	c->body_known = true;
	c->size = answer->size;
	memcpy(c->sha256, answer->sha256, CS_SHA256_LENGTH);
	if (c->compares)
	{
		c->compares = false;
		return compare_with_body(c, request, result);
	}
	return wd_put_go_on(c, request, result);
}

/* Is what is about to be replaced still what was judged? */
static CsStep
last_looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
			CsResult *result)
{
	bool same = false;

	if (wd_looked(c, answer, c->op.path) == WD_THERE)
		same = c->entry.kind == CS_ENTRY_FILE && c->entry.version != NULL &&
			   c->expected != NULL &&
			   strcmp(c->expected, c->entry.version) == 0;
	if (same)
	{
		c->looked = true;
		return wd_put_go_on(c, request, result);
	}
	if (++c->looks > WD_MAX_LOOKS)
		return wd_put_fail(c, request, result, CS_FAIL_RETRY_LATER,
						   "is being changed by somebody else");
	return judge(c, answer, request, result);
}

/* --- the way ------------------------------------------------------------------------ */

static void
choose_way(CsConversation *c)
{
	if (c->service->uploads != NULL && c->op.size > WD_CHUNKED)
		c->way = WD_CHUNKS;
	else if (c->service->no_move ||
			 (c->service->uploads != NULL && c->op.size >= 0) ||
			 (c->op.has_sha256 && c->op.size >= 0 && c->op.size <= WD_SMALL))
		c->way = WD_STRAIGHT;
	else
		c->way = WD_TEMP;
}

/*
 * A PUT whose condition cannot hold, under the temporary name: 412 says that
 * the server obeys conditions, success that it does not.
 */
static CsStep
probe(CsConversation *c, CsRequest *request)
{
	c->service->probes++;
	wd_ask(c, request, PUT_PROBED, "PUT", c->temp_path, false);
	wd_header(request, "If-Match", "\"cloudsync\"");
	wd_header(request, "Content-Type", "application/octet-stream");
	request->send = CS_SEND_TEXT;
	request->text = "";
	request->text_len = 0;
	return CS_STEP_REQUEST;
}

static CsStep
start(CsConversation *c, CsRequest *request, CsResult *result)
{
	char *folder;
	bool new;
	bool blind;

	if (c->op.temp_name == NULL || strcmp(c->op.path, "/") == 0)
		return wd_put_fail(c, request, result, CS_FAIL_BROKEN,
						   "cannot be written without a temporary name");
	folder = cs_path_parent(c->op.path);
	c->temp_path = cs_path_join(folder, c->op.temp_name);
	pfree(folder);
	if (c->op.has_sha256 && c->op.size >= 0)
	{
		c->body_known = true;
		c->checkpointed = true;
		c->size = c->op.size;
		memcpy(c->sha256, c->op.sha256, CS_SHA256_LENGTH);
	}
	choose_way(c);
	new = c->op.known_version == NULL;
	/* nothing was there a moment ago, so nothing need be looked at */
	blind = c->op.fresh_folder && new && !c->op.has_intended;
	if (!blind && c->way == WD_STRAIGHT && c->op.size <= WD_SMALL &&
		(new || wd_is_etag(c->op.known_version)))
	{
		if (c->service->conditions == WD_UNKNOWN &&
			c->service->probes < MAX_PROBES)
			return probe(c, request);
		blind = c->service->conditions == WD_YES;
	}
	if (!blind)
		return wd_put_look(c, request, result);
	if (!new)
		expect(c, c->op.known_version);
	return wd_put_go_on(c, request, result);
}

static CsStep
probed(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	if (answer->error == 0 && answer->status == 412)
		c->service->conditions = WD_YES;
	else if (wd_good(answer))
	{
		c->service->conditions = WD_NO;
		return wd_ask(c, request, PUT_PROBE_REMOVED, "DELETE", c->temp_path,
					  false);
	}
	else if (answer->error != 0 || answer->status == 401)
	{
		wd_failure(c, &c->failure, answer, "write", c->op.path);
		return wd_put_clean_up(c, request, result);
	}
	if (c->service->conditions != WD_YES)
		return wd_put_look(c, request, result);
	if (c->op.known_version != NULL)
		expect(c, c->op.known_version);
	return wd_put_go_on(c, request, result);
}

/* The upload was lost: is it there all the same? */
static CsStep
lost_looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
			CsResult *result)
{
	CsFailure failure = c->failure;
	bool there = wd_looked(c, answer, c->op.path) == WD_THERE;

	c->failure = failure;
	if (there && c->entry.kind != CS_ENTRY_FILE)
		return conflict(c, request, result);
	if (!there || c->entry.size != c->size)
		return wd_put_clean_up(c, request, result);
	if (!c->entry.has_sha256)
		return wd_hash(c, request, PUT_LOST_HASHED, c->op.path);
	if (memcmp(c->entry.sha256, c->sha256, CS_SHA256_LENGTH) != 0)
		return wd_put_clean_up(c, request, result);
	c->verified = true;
	return wd_put_done(c, request, result);
}

static CsStep
lost_hashed(CsConversation *c, const CsResponse *answer, CsRequest *request,
			CsResult *result)
{
	CsFailure failure = c->failure;
	bool same = wd_hashed(c, answer, c->op.path) == WD_HASHED &&
				memcmp(c->target_sha256, c->sha256, CS_SHA256_LENGTH) == 0;

	c->failure = failure;
	if (!same)
		return wd_put_clean_up(c, request, result);
	c->verified = true;
	return wd_put_done(c, request, result);
}

CsStep
wd_put(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	switch (c->phase)
	{
		case PUT_START:
			return start(c, request, result);
		case PUT_PROBED:
			return probed(c, answer, request, result);
		case PUT_PROBE_REMOVED:
			return wd_put_look(c, request, result);
		case PUT_LOOKED:
			return judge(c, answer, request, result);
		case PUT_TARGET_HASHED:
			return target_hashed(c, answer, request, result);
		case PUT_BODY_HASHED:
			return body_hashed(c, answer, request, result);
		case PUT_CHECKPOINTED:
			return wd_put_go_on(c, request, result);
		case PUT_LAST_LOOKED:
			return last_looked(c, answer, request, result);
		case PUT_LOST_LOOKED:
			return lost_looked(c, answer, request, result);
		case PUT_LOST_HASHED:
			return lost_hashed(c, answer, request, result);
		case PUT_CHUNK:
			return wd_chunk(c, answer, request, result);
		case PUT_CLEANED:
			return wd_put_clean_up(c, request, result);
		case PUT_TIDIED:
			return wd_put_done(c, request, result);
		default:
			return wd_put_sent(c, answer, request, result);
	}
}
