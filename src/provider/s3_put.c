/*
 * s3_put.c
 *	  PUT of the S3 provider: what stands at the target, and a body sent in one
 *	  request (a larger one in parts, by s3_parts.c). An object appears whole or
 *	  not at all, so there is no temporary name. Where the service takes
 *	  conditions, one request does all; where it does not, or has not shown that
 *	  it does, the target is looked at first.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/hash.h"
#include "cloudsync/http.h"
#include "cloudsync/provider.h"
#include "s3.h"

#define MAX_PROBE (1024 * 1024) /* bytes sent again to learn what it can */
#define MAX_SENT 3				/* times a file that arrives damaged */

enum
{
	PUT_START,
	PUT_FIRST_HASHED, /* the first part of a body of unknown size */
	PUT_LOOKED,
	PUT_TARGET_READ,
	PUT_BODY_HASHED,
	PUT_CHECKPOINTED,
	PUT_SENT,
	PUT_READ_BACK,
	PUT_PROBED,
	PUT_REMOVED
};

static CsStep
look(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (++c->looks > S3_MAX_LOOKS)
		return cs_s3_fail(result, CS_FAIL_RETRY_LATER, c->op.path,
						  "is being changed by somebody else");
	return cs_s3_ask_head(c, request, PUT_LOOKED, c->key);
}

static CsStep
hash_body(CsConversation *c, CsRequest *request, int phase, int64 length)
{
	memset(request, 0, sizeof(*request));
	request->kind = CS_REQ_HASH_BODY;
	request->length = length;
	c->head = false;
	c->phase = phase;
	return CS_STEP_REQUEST;
}

CsStep
cs_s3_put_done(CsConversation *c, CsResult *result, const S3Object *object,
			   bool adopted)
{
	S3Object whole = *object;

	whole.size = c->size;
	whole.has_sha256 = true;
	memcpy(whole.sha256, c->sha256, CS_SHA256_LENGTH);
	cs_s3_entry(c, result, c->op.path, &whole);
	result->adopted = adopted;
	result->verified = true;
	result->size = c->size;
	memcpy(result->sha256, c->sha256, CS_SHA256_LENGTH);
	return CS_STEP_DONE;
}

static bool
is_body(const CsConversation *c, const S3Object *object)
{
	uint8 md5[16];

	if (!c->body_known || object->size != c->size)
		return false;
	if (object->has_sha256)
		return memcmp(object->sha256, c->sha256, CS_SHA256_LENGTH) == 0;
	return c->has_md5 && !object->encrypted && !c->service->etag_is_no_md5 &&
		   cs_s3_is_md5(object->etag, md5) &&
		   memcmp(md5, c->md5, sizeof(md5)) == 0;
}

static bool
is_intended(const CsConversation *c, const S3Object *object)
{
	return c->op.has_intended && object->size == c->op.intended_size &&
		   object->has_sha256 &&
		   memcmp(object->sha256, c->op.intended_sha256, CS_SHA256_LENGTH) == 0;
}

static CsStep
send_body(CsConversation *c, CsRequest *request, int phase,
		  const char *if_none_match, const char *if_match)
{
	char *hex = cs_hex(c->sha256, CS_SHA256_LENGTH);

	cs_s3_ask(c, request, phase, "PUT", c->key, NULL);
	request->send = CS_SEND_BODY;
	request->length = c->size;
	request->md5 = !c->service->etag_is_no_md5;
	request->payload_sha256 = cs_s3_keep(c, hex);
	c->sent_checksum = !c->service->no_checksums;
	if (c->sent_checksum)
		cs_s3_header(c, request, "x-amz-checksum-sha256",
					 cs_s3_keep(c, cs_base64(c->sha256, CS_SHA256_LENGTH)));
	c->sent_condition = if_none_match != NULL || if_match != NULL;
	cs_s3_header(c, request, "if-none-match", if_none_match);
	if (if_match != NULL)
		cs_s3_header(c, request, "if-match", cs_s3_quoted(c, if_match));
	cs_s3_storage_headers(c, request);
	return CS_STEP_REQUEST;
}

/* All is known that must be: sends it. */
static CsStep
send_it(CsConversation *c, CsRequest *request)
{
	const char *etag = c->object.there ? c->object.etag : c->op.known_version;
	bool replaces = c->replaces && etag != NULL && etag[0] != '\0';

	if (c->service->conditions == S3_NO || (c->replaces && !replaces))
		return send_body(c, request, PUT_SENT, NULL, NULL);
	return send_body(c, request, PUT_SENT, replaces ? NULL : "*",
					 replaces ? etag : NULL);
}

/* The target is judged, or will be by the service. */
static CsStep
go_on(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (c->part_size > 0)
	{
		c->step = cs_s3_parts;
		return cs_s3_parts_begin(c, request, result);
	}
	if (!c->body_known)
		return hash_body(c, request, PUT_BODY_HASHED, -1);
	if (c->op.has_sha256 || c->checkpointed)
		return send_it(c, request);
	result->size = c->size;
	memcpy(result->sha256, c->sha256, CS_SHA256_LENGTH);
	c->checkpointed = true;
	c->phase = PUT_CHECKPOINTED;
	return CS_STEP_CHECKPOINT;
}

/* What stands at the target: nothing, ours, our bytes, or somebody else's? */
static CsStep
judge(CsConversation *c, CsRequest *request, CsResult *result)
{
	const S3Object *object = &c->object;
	int64 size = c->body_known ? c->size : c->op.size;
	bool may_be_body = size < 0 || size == object->size;
	bool may_be_ours =
		c->op.has_intended && object->size == c->op.intended_size;
	bool ours;

	c->replaces = false;
	if (!object->there)
		return go_on(c, request, result);
	if (is_body(c, object))
		return cs_s3_put_done(c, result, object, true);
	ours = c->op.known_version != NULL && object->etag[0] != '\0' &&
		   strcmp(c->op.known_version, object->etag) == 0;
	if (ours && may_be_ours && may_be_body)
	{
		/* as we left it: the same bytes need not be sent again */
		if (!c->body_known)
			return hash_body(c, request, PUT_BODY_HASHED, -1);
		if (c->size == c->op.intended_size &&
			memcmp(c->sha256, c->op.intended_sha256, CS_SHA256_LENGTH) == 0)
			return cs_s3_put_done(c, result, object, true);
	}
	if (!ours && (may_be_body || may_be_ours))
	{
		if (!object->has_sha256 && !c->unreadable)
			return cs_s3_ask_read(c, request, PUT_TARGET_READ, c->key,
								  object->etag);
		if (object->has_sha256 && may_be_body && !c->body_known)
			return hash_body(c, request, PUT_BODY_HASHED, -1);
		ours = is_intended(c, object);
	}
	if (!ours && !c->op.overwrite)
		return cs_s3_fail(result, CS_FAIL_CONFLICT, c->op.path,
						  "was made or changed by somebody else");
	c->replaces = true;
	return go_on(c, request, result);
}

/* No answer came to what we sent: is it there? */
static CsStep
after_loss(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (c->object.there && is_body(c, &c->object))
		return cs_s3_put_done(c, result, &c->object, true);
	if (c->object.there && c->object.size == c->size && !c->object.has_sha256 &&
		!c->unreadable)
		return cs_s3_ask_read(c, request, PUT_TARGET_READ, c->key,
							  c->object.etag);
	result->failure = c->failure;
	return CS_STEP_FAILED;
}

static void
note_clock(CsConversation *c, const CsResponse *answer)
{
	const char *date = cs_http_header(answer, "date");

	c->looked_at = date != NULL ? cs_http_date(date) : 0;
}

static CsStep
looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	note_clock(c, answer);
	if (answer->error == 0 && answer->status == 200)
	{
		cs_s3_object(&c->object, answer);
		if (c->object.etag[0] == '\0' && !c->lost)
			return cs_s3_fail(result, CS_FAIL_BROKEN, c->op.path,
							  "was answered for without an ETag: is there a "
							  "page to sign in before the service?");
	}
	else if (answer->error == 0 && answer->status == 404 &&
			 !cs_s3_has_code(answer, "NoSuchBucket"))
		memset(&c->object, 0, sizeof(c->object));
	else if (c->lost)
	{
		result->failure = c->failure;
		return CS_STEP_FAILED;
	}
	else
		return cs_s3_failed(result, answer, "look at", c->op.path);
	if (c->lost)
		return after_loss(c, request, result);
	return judge(c, request, result);
}

/* The target was read, to be compared. */
static CsStep
target_read(CsConversation *c, const CsResponse *answer, CsRequest *request,
			CsResult *result)
{
	if (answer->error == 0 && answer->status == 200 &&
		c->hashed == c->object.size)
	{
		cs_hash_final(c->hash, c->object.sha256);
		c->object.has_sha256 = true;
	}
	else if (answer->error == 0 && answer->status == 403)
		c->unreadable = true; /* and so not ours */
	else if (answer->error == 0 && !c->lost &&
			 (answer->status == 200 || answer->status == 404 ||
			  answer->status == 412))
		return look(c, request, result);
	else if (!c->lost)
		return cs_s3_failed(result, answer, "compare", c->op.path);
	if (c->lost)
	{
		c->unreadable = true;
		return after_loss(c, request, result);
	}
	return judge(c, request, result);
}

static CsStep
body_hashed(CsConversation *c, const CsResponse *answer, CsRequest *request,
			CsResult *result)
{
	if (answer->error != 0)
		return cs_s3_failed(result, answer, "read", c->op.path);
	if ((c->op.size >= 0 && answer->size != c->op.size) ||
		(c->op.has_sha256 &&
		 memcmp(answer->sha256, c->op.sha256, CS_SHA256_LENGTH) != 0))
		return cs_s3_fail(result, CS_FAIL_CHANGED, c->op.path,
						  "changed in the database while it was read");
	c->body_known = true;
	c->size = answer->size;
	memcpy(c->sha256, answer->sha256, CS_SHA256_LENGTH);
	if (c->object.there)
		return judge(c, request, result);
	return go_on(c, request, result);
}

/*
 * The service has taken an object under a condition. Has it looked at the
 * condition at all? The same bytes under conditions that do not hold tell,
 * without harm: refused, or written over themselves.
 */
static CsStep
probe(CsConversation *c, CsRequest *request)
{
	c->service->probing = true;
	if (c->probes++ == 0)
		return send_body(c, request, PUT_PROBED, "*", NULL);
	return send_body(c, request, PUT_PROBED, NULL,
					 "00000000000000000000000000000000");
}

static CsStep
probed(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	if (answer->error == 0 && answer->status == 412)
	{
		if (c->probes < 2)
			return probe(c, request);
		c->service->conditions = S3_YES;
	}
	else if (answer->error == 0 &&
			 (answer->status / 100 == 2 || answer->status == 501))
	{
		c->service->conditions = S3_NO;
		if (answer->status / 100 == 2)
			cs_s3_etag(c->object.etag, sizeof(c->object.etag),
					   cs_http_header(answer, "etag"));
	}
	c->service->probing = false;
	return cs_s3_put_done(c, result, &c->object, false);
}

static CsStep
verified(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (c->service->conditions == S3_UNKNOWN && !c->service->probing &&
		c->sent_condition && c->size <= MAX_PROBE)
		return probe(c, request);
	return cs_s3_put_done(c, result, &c->object, false);
}

/*
 * What stands there now is ours and not what was sent: it is written over, or
 * in the end taken away, so that no later attempt takes it for somebody else's.
 */
static CsStep
corrupted(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (c->object.etag[0] != '\0' && ++c->times_sent < MAX_SENT)
	{
		c->replaces = true;
		return send_it(c, request);
	}
	cs_failure_set(&c->failure, CS_FAIL_RETRY_LATER, NULL,
				   "\"%s\" did not arrive as it was sent", c->op.path);
	cs_s3_ask(c, request, PUT_REMOVED, "DELETE", c->key, NULL);
	if (c->object.etag[0] != '\0')
		cs_s3_header(c, request, "if-match", cs_s3_quoted(c, c->object.etag));
	return CS_STEP_REQUEST;
}

/* The service has taken it: is it what we sent? */
static CsStep
taken(CsConversation *c, const CsResponse *answer, CsRequest *request,
	  CsResult *result)
{
	uint8 md5[16];

	cs_s3_object(&c->object, answer);
	c->object.size = c->size;
	if (answer->size != c->size)
		return cs_s3_fail(result, CS_FAIL_RETRY_NOW, c->op.path,
						  "was sent with another size than announced");
	if (c->object.has_sha256)
	{
		if (memcmp(c->object.sha256, c->sha256, CS_SHA256_LENGTH) != 0)
			return corrupted(c, request, result);
		return verified(c, request, result);
	}
	if (!c->object.encrypted && !c->service->etag_is_no_md5 &&
		cs_s3_is_md5(c->object.etag, md5) &&
		memcmp(md5, answer->md5, sizeof(md5)) != 0)
		/* a fault on the way, or an ETag that only looks like an MD5 */
		return cs_s3_ask_read(c, request, PUT_READ_BACK, c->key,
							  c->object.etag);
	return verified(c, request, result);
}

static CsStep
read_back(CsConversation *c, const CsResponse *answer, CsRequest *request,
		  CsResult *result)
{
	uint8 sha256[CS_SHA256_LENGTH];

	if (answer->error != 0 || answer->status != 200)
		return cs_s3_failed(result, answer, "read back", c->op.path);
	cs_hash_final(c->hash, sha256);
	if (c->hashed != c->size ||
		memcmp(sha256, c->sha256, CS_SHA256_LENGTH) != 0)
		return corrupted(c, request, result);
	c->service->etag_is_no_md5 = true;
	return verified(c, request, result);
}

/* The service cannot do something that was asked for: without it, then. */
static CsStep
cannot(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	if (c->sent_condition)
	{
		c->service->conditions = S3_NO;
		if (c->op.fresh_folder && !c->replaces)
			return send_it(c, request);
		return look(c, request, result);
	}
	if (c->sent_checksum)
	{
		c->service->no_checksums = true;
		return send_it(c, request);
	}
	return cs_s3_failed(result, answer, "write", c->op.path);
}

static CsStep
sent(CsConversation *c, const CsResponse *answer, CsRequest *request,
	 CsResult *result)
{
	if (answer->error == 0 && answer->status / 100 == 2)
		return taken(c, answer, request, result);
	if (answer->error == 0 && answer->size == c->size)
	{
		/* refused, but read to its end: told by it if it is there already */
		c->has_md5 = !c->service->etag_is_no_md5;
		memcpy(c->md5, answer->md5, sizeof(c->md5));
	}
	if (answer->body_failure == NULL && cs_s3_may_be_done(answer))
	{
		cs_s3_failure(&c->failure, answer, "write", c->op.path);
		c->lost = true;
		c->looks = 0;
		return look(c, request, result);
	}
	if (answer->error == 0 && answer->status == 501)
		return cannot(c, answer, request, result);
	if (answer->error == 0 && c->sent_condition &&
		(answer->status == 412 ||
		 (answer->status == 404 && cs_s3_has_code(answer, "NoSuchKey"))))
		return look(c, request, result);
	cs_s3_failure(&result->failure, answer, "write", c->op.path);
	if (answer->error == 0 &&
		result->failure.failure_class == CS_FAIL_CONFLICT)
		result->failure.failure_class = CS_FAIL_RETRY_LATER;
	return CS_STEP_FAILED;
}

/* Does the target have to be looked at before anything is sent? */
static bool
must_look(const CsConversation *c)
{
	bool is_new = c->op.fresh_folder && c->op.known_version == NULL &&
				  !c->op.has_intended && c->op.session == NULL;

	/* a large one is worth the look, which tells the service's time, too */
	if (c->part_size > 0)
		return true;
	return !is_new && c->service->conditions != S3_YES;
}

static CsStep
begin_put(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (must_look(c))
		return look(c, request, result);
	/* as far as we know; the service is told to see to it */
	c->replaces = c->op.known_version != NULL;
	return go_on(c, request, result);
}

static CsStep
first_hashed(CsConversation *c, const CsResponse *answer, CsRequest *request,
			 CsResult *result)
{
	if (answer->error != 0)
		return cs_s3_failed(result, answer, "read", c->op.path);
	if (answer->size >= S3_PART)
		c->part_size = S3_PART;
	else
	{
		c->body_known = true;
		c->size = answer->size;
		memcpy(c->sha256, answer->sha256, CS_SHA256_LENGTH);
	}
	return begin_put(c, request, result);
}

static CsStep
start(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (strcmp(c->op.path, "/") == 0)
		return cs_s3_fail(result, CS_FAIL_BROKEN, c->op.path,
						  "is no path of a file");
	if (strlen(c->key) > S3_MAX_KEY)
		return cs_s3_fail(result, CS_FAIL_REFUSED, c->op.path,
						  "is longer, with its folders, than the 1024 bytes "
						  "of an S3 key");
	if (c->op.size > cs_provider_s3.max_file_size)
		return cs_s3_fail(result, CS_FAIL_REFUSED, c->op.path,
						  "is larger than S3 takes");
	if (c->op.size < 0)
		return hash_body(c, request, PUT_FIRST_HASHED, S3_PART);
	if (c->op.size > S3_PART)
	{
		int64 mib = 1024 * 1024;
		int64 least = (c->op.size + S3_MAX_PARTS - 1) / S3_MAX_PARTS;

		c->part_size = Max(S3_PART, (least + mib - 1) / mib * mib);
	}
	if (c->op.has_sha256)
	{
		c->body_known = true;
		c->size = c->op.size;
		memcpy(c->sha256, c->op.sha256, CS_SHA256_LENGTH);
	}
	return begin_put(c, request, result);
}

CsStep
cs_s3_put(CsConversation *c, const CsResponse *answer, CsRequest *request,
		  CsResult *result)
{
	switch (c->phase)
	{
		case PUT_START:
			return start(c, request, result);
		case PUT_FIRST_HASHED:
			return first_hashed(c, answer, request, result);
		case PUT_LOOKED:
			return looked(c, answer, request, result);
		case PUT_TARGET_READ:
			return target_read(c, answer, request, result);
		case PUT_BODY_HASHED:
			return body_hashed(c, answer, request, result);
		case PUT_CHECKPOINTED:
			return send_it(c, request);
		case PUT_SENT:
			return sent(c, answer, request, result);
		case PUT_READ_BACK:
			return read_back(c, answer, request, result);
		case PUT_PROBED:
			return probed(c, answer, request, result);
		default: /* PUT_REMOVED, whatever came of it */
			result->failure = c->failure;
			return CS_STEP_FAILED;
	}
}
