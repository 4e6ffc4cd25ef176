/*
 * s3_parts.c
 *	  PUT of a larger body: an upload in parts, each read for its checksum and
 *	  then sent under it. The upload is recorded before the first part, so that
 *	  what an attempt that was cut off has sent need not be sent again; it is
 *	  ended when there is no hope for it.
 *
 * Begins where s3_put.c has judged the target.
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

#define MAX_TRIES 3 /* of a part, at once */

enum
{
	PARTS_UPLOADS_LISTED,
	PARTS_ORPHAN_ENDED,
	PARTS_OLD_ENDED,
	PARTS_BEGINNING,
	PARTS_LISTED,
	PARTS_BEGUN,
	PARTS_RECORDED,
	PARTS_HASHED,
	PARTS_SENT,
	PARTS_CHECKPOINTED,
	PARTS_LAST_LOOK,
	PARTS_COMPLETED,
	PARTS_LOOKED,
	PARTS_READ_BACK,
	PARTS_REFUSED,
	PARTS_ENDED
};

/* Ends the attempt with c->failure. What cannot succeed later is cleaned up. */
static CsStep
give_up(CsConversation *c, CsRequest *request, CsResult *result)
{
	switch (c->failure.failure_class)
	{
		case CS_FAIL_CHANGED:
		case CS_FAIL_REFUSED:
		case CS_FAIL_CONFLICT:
		case CS_FAIL_FORBIDDEN:
		case CS_FAIL_BROKEN:
		case CS_FAIL_GONE:
			if (c->upload_id != NULL)
				return cs_s3_ask_abort(c, request, PARTS_ENDED, c->key,
									   c->upload_id);
			break;
		default:
			break;
	}
	result->failure = c->failure;
	return CS_STEP_FAILED;
}

static CsStep
fail(CsConversation *c, CsRequest *request, CsResult *result,
	 CsFailureClass failure_class, const char *what)
{
	cs_failure_set(&c->failure, failure_class, NULL, "\"%s\" %s", c->op.path,
				   what);
	return give_up(c, request, result);
}

static CsStep
failed(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result, const char *action)
{
	cs_s3_failure(&c->failure, answer, action, c->op.path);
	return give_up(c, request, result);
}

/* Once it is recorded that an upload will be begun. */
static CsStep
begin_upload(CsConversation *c, CsRequest *request)
{
	cs_s3_ask(c, request, PARTS_BEGUN, "POST", c->key, "uploads=");
	c->sent_checksum = !c->service->no_checksums;
	if (c->sent_checksum)
		cs_s3_header(c, request, "x-amz-checksum-algorithm", "SHA256");
	cs_s3_storage_headers(c, request);
	return CS_STEP_REQUEST;
}

static CsStep
list_parts(CsConversation *c, CsRequest *request, int after)
{
	char *encoded = cs_url_encode(c->upload_id);
	char *query = psprintf("max-parts=1000&part-number-marker=%d&uploadId=%s",
						   after, encoded);

	cs_s3_ask(c, request, PARTS_LISTED, "GET", c->key, query);
	pfree(query);
	pfree(encoded);
	return CS_STEP_REQUEST;
}

static CsStep
record_beginning(CsConversation *c, CsResult *result)
{
	int64 since = c->begun_since > 0 ? c->begun_since : c->looked_at;

	c->session = cs_s3_begin_session(since, c->key);
	result->size = -1;
	result->session = c->session;
	c->phase = PARTS_BEGINNING;
	return CS_STEP_CHECKPOINT;
}

/*
 * An upload of an earlier attempt goes on, if it is one of this object. One whose
 * begin was lost is ended.
 */
CsStep
cs_s3_parts_begin(CsConversation *c, CsRequest *request, CsResult *result)
{
	const char *key;
	char *upload_id;
	int64 part_size;

	if (c->op.session != NULL &&
		cs_s3_begin_session_parse(c->op.session, &c->begun_since, &key) &&
		c->begun_since > 0)
		return cs_s3_ask_uploads(c, request, PARTS_UPLOADS_LISTED, key);
	c->begun_since = 0;
	if (c->op.session == NULL ||
		!cs_s3_session_parse(c->op.session, &part_size, &upload_id, &key))
		return record_beginning(c, result);
	if (strcmp(key, c->key) != 0 || part_size < c->part_size ||
		part_size > S3_MAX_COPY)
		return cs_s3_ask_abort(c, request, PARTS_OLD_ENDED, key, upload_id);
	c->upload_id = upload_id;
	c->part_size = part_size;
	c->session = pstrdup(c->op.session);
	return list_parts(c, request, 0);
}

static CsStep
complete(CsConversation *c, CsRequest *request)
{
	char *encoded = cs_url_encode(c->upload_id);
	char *query = psprintf("uploadId=%s", encoded);

	cs_s3_ask(c, request, PARTS_COMPLETED, "POST", c->key, query);
	request->send = CS_SEND_TEXT;
	request->text = cs_s3_keep(c, cs_s3_complete_text(c));
	request->text_len = strlen(request->text);
	cs_s3_header(c, request, "content-type", "application/xml");
	if (c->service->conditions == S3_YES)
	{
		if (!c->replaces)
			cs_s3_header(c, request, "if-none-match", "*");
		else if (c->object.etag[0] != '\0')
			cs_s3_header(c, request, "if-match",
						 cs_s3_quoted(c, c->object.etag));
	}
	pfree(query);
	pfree(encoded);
	return CS_STEP_REQUEST;
}

/* All parts are there. */
static CsStep
all_sent(CsConversation *c, CsRequest *request, CsResult *result)
{
	c->size = c->offset;
	c->n_parts = c->part;
	c->body_known = true;
	if (c->op.has_sha256 &&
		memcmp(c->op.sha256, c->sha256, CS_SHA256_LENGTH) != 0)
		return fail(c, request, result, CS_FAIL_CHANGED,
					"changed in the database while it was read");
	result->size = c->size;
	memcpy(result->sha256, c->sha256, CS_SHA256_LENGTH);
	result->session = c->session;
	c->phase = PARTS_CHECKPOINTED;
	return CS_STEP_CHECKPOINT;
}

static CsStep
next_part(CsConversation *c, CsRequest *request, CsResult *result)
{
	int64 left = c->op.size - c->offset;

	if (c->body_ended || (c->op.size >= 0 && left == 0))
		return all_sent(c, request, result);
	if (c->part >= S3_MAX_PARTS)
		return fail(c, request, result, CS_FAIL_REFUSED,
					"is larger than can be sent without knowing its size");
	memset(request, 0, sizeof(*request));
	request->kind = CS_REQ_HASH_BODY;
	request->from = c->offset;
	request->length = c->op.size >= 0 ? Min(left, c->part_size) : c->part_size;
	request->part_sha256 = true;
	request->md5 = true;
	c->head = false;
	c->phase = PARTS_HASHED;
	return CS_STEP_REQUEST;
}

/* Those under way at the key that may be ours. Without an answer, next time. */
static CsStep
uploads_listed(CsConversation *c, const CsResponse *answer, CsRequest *request,
			   CsResult *result)
{
	const char *key;
	int64 since;

	(void) cs_s3_begin_session_parse(c->op.session, &since, &key);
	if (answer != NULL && cs_s3_read_uploads(c, answer, since, key))
		c->begun_since = 0;
	if (cs_s3_ask_end_orphan(c, request, PARTS_ORPHAN_ENDED, key))
		return CS_STEP_REQUEST;
	return record_beginning(c, result);
}

static CsStep
begun(CsConversation *c, const CsResponse *answer, CsRequest *request,
	  CsResult *result)
{
	char *upload_id;

	if (answer->error == 0 && answer->status == 501 && c->sent_checksum)
	{
		c->service->no_checksums = true;
		return begin_upload(c, request);
	}
	if (answer->error != 0 || answer->status != 200)
		return failed(c, answer, request, result, "write");
	upload_id = cs_s3_xml_text(answer, "UploadId");
	if (upload_id == NULL || upload_id[0] == '\0' ||
		strpbrk(upload_id, " \t\r\n") != NULL)
		return fail(c, request, result, CS_FAIL_BROKEN,
					"could not be written: the service began an upload "
					"without a name");
	c->upload_id = upload_id;
	/* A service that does not know them would refuse them in the end. */
	c->part_checksums =
		cs_http_header(answer, "x-amz-checksum-algorithm") != NULL;
	c->session = cs_s3_session(c->part_size, upload_id, c->key);
	result->size = -1;
	result->session = c->session;
	c->phase = PARTS_RECORDED;
	return CS_STEP_CHECKPOINT;
}

static CsStep
listed(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	int next;

	if (answer->error == 0 && answer->status == 404 &&
		!cs_s3_has_code(answer, "NoSuchBucket"))
	{
		c->upload_id = NULL;
		c->n_parts = 0;
		return record_beginning(c, result);
	}
	if (answer->error != 0 || answer->status != 200)
		return failed(c, answer, request, result, "write");
	if (!cs_s3_read_parts(c, answer, &next))
		return fail(c, request, result, CS_FAIL_BROKEN,
					"could not be written: the list of parts sent before "
					"makes no sense");
	c->part_checksums = cs_s3_xml_text(answer, "ChecksumAlgorithm") != NULL;
	if (next > 0)
		return list_parts(c, request, next);
	c->n_found = c->n_parts;
	return next_part(c, request, result);
}

static CsStep
send_part(CsConversation *c, CsRequest *request)
{
	const S3Part *part = &c->parts[c->part];
	char *encoded = cs_url_encode(c->upload_id);
	char *query = psprintf("partNumber=%d&uploadId=%s", c->part + 1, encoded);

	cs_s3_ask(c, request, PARTS_SENT, "PUT", c->key, query);
	request->send = CS_SEND_BODY;
	request->from = c->offset;
	request->length = part->size;
	request->payload_sha256 =
		cs_s3_keep(c, cs_hex(part->sha256, CS_SHA256_LENGTH));
	if (c->part_checksums)
		cs_s3_header(
			c, request, "x-amz-checksum-sha256",
			cs_s3_keep(c, cs_base64(part->sha256, CS_SHA256_LENGTH)));
	pfree(query);
	pfree(encoded);
	return CS_STEP_REQUEST;
}

/* A part was read; one that is there already with these bytes stays. */
static CsStep
hashed(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	int64 wanted = c->op.size >= 0 ? Min(c->op.size - c->offset, c->part_size)
								   : c->part_size;
	bool there = c->part < c->n_found;
	S3Part *part;

	if (answer->error != 0)
		return failed(c, answer, request, result, "read");
	if (answer->size > wanted || (c->op.size >= 0 && answer->size != wanted))
		return fail(c, request, result, CS_FAIL_CHANGED,
					"changed in the database while it was read");
	if (!answer->has_sha256)
		return fail(c, request, result, CS_FAIL_BROKEN,
					"could not be read in order");
	memcpy(c->sha256, answer->sha256, CS_SHA256_LENGTH);
	c->body_ended = answer->size < c->part_size;
	if (answer->size == 0)
		return all_sent(c, request, result);
	part = cs_s3_part(c, c->part);
	there = there && part->size == answer->size && part->md5_known &&
			memcmp(part->md5, answer->md5, sizeof(part->md5)) == 0;
	part->size = answer->size;
	memcpy(part->sha256, answer->part_sha256, CS_SHA256_LENGTH);
	memcpy(part->md5, answer->md5, sizeof(part->md5));
	c->part_tries = 0;
	if (!there)
		return send_part(c, request);
	c->offset += part->size;
	c->part++;
	return next_part(c, request, result);
}

static CsStep
part_sent(CsConversation *c, const CsResponse *answer, CsRequest *request,
		  CsResult *result)
{
	S3Part *part = &c->parts[c->part];
	char etag[sizeof(c->object.etag)];
	uint8 md5[16];

	if (answer->body_failure == NULL && cs_s3_may_be_done(answer) &&
		++c->part_tries < MAX_TRIES)
		return send_part(c, request);
	if (answer->error != 0 || answer->status != 200)
		return failed(c, answer, request, result, "write");
	cs_s3_etag(etag, sizeof(etag), cs_http_header(answer, "etag"));
	if (etag[0] == '\0')
		return fail(c, request, result, CS_FAIL_BROKEN,
					"could not be written: a part was taken without an ETag");
	if (part->etag != NULL)
		pfree(part->etag);
	part->etag = pstrdup(etag);
	part->md5_known = cs_s3_is_md5(etag, md5);
	if (part->md5_known && memcmp(md5, part->md5, sizeof(md5)) != 0)
		c->doubt = true;
	c->offset += part->size;
	c->part++;
	return next_part(c, request, result);
}

/* Where the service takes no conditions: is the target still as judged? */
static CsStep
last_look(CsConversation *c, const CsResponse *answer, CsRequest *request,
		  CsResult *result)
{
	S3Object now = {0};

	if (answer->error == 0 && answer->status == 200)
		cs_s3_object(&now, answer);
	else if (answer->error != 0 || answer->status != 404)
		return failed(c, answer, request, result, "look at");
	if (now.there && !c->op.overwrite &&
		(!c->replaces || strcmp(now.etag, c->object.etag) != 0))
		return fail(c, request, result, CS_FAIL_CONFLICT,
					"was made or changed by somebody else");
	return complete(c, request);
}

static CsStep
completed(CsConversation *c, const CsResponse *answer, CsRequest *request,
		  CsResult *result)
{
	char *etag;
	char expected[sizeof(c->object.etag)];

	if (answer->error == 0 && answer->status == 412)
		return cs_s3_ask_head(c, request, PARTS_REFUSED, c->key);
	if (answer->body_failure == NULL &&
		(cs_s3_may_be_done(answer) ||
		 (answer->error == 0 && answer->status == 404 &&
		  cs_s3_has_code(answer, "NoSuchUpload"))))
	{
		cs_s3_failure(&c->failure, answer, "write", c->op.path);
		c->lost = true;
		return cs_s3_ask_head(c, request, PARTS_LOOKED, c->key);
	}
	etag = answer->error == 0 && answer->status == 200
			   ? cs_s3_xml_text(answer, "ETag")
			   : NULL;
	/* An error may come under a 200 that was sent before it was known. */
	if (etag == NULL || cs_s3_has_code(answer, "InternalError"))
		return failed(c, answer, request, result, "write");
	memset(&c->object, 0, sizeof(c->object));
	cs_s3_etag(c->object.etag, sizeof(c->object.etag), etag);
	if (cs_s3_expected_etag(c, expected, sizeof(expected)) &&
		strcmp(expected, c->object.etag) == 0)
		return cs_s3_put_done(c, result, &c->object, false);
	return cs_s3_ask_head(c, request, PARTS_LOOKED, c->key);
}

/* The condition is said not to hold: is there something in the way? */
static CsStep
refused(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	if (answer->error == 0 && answer->status == 200)
		return fail(c, request, result, CS_FAIL_CONFLICT,
					"was made or changed by somebody else");
	if (answer->error != 0 || answer->status != 404)
		return failed(c, answer, request, result, "look at");
	return fail(c, request, result, CS_FAIL_RETRY_LATER,
				"is being changed by somebody else");
}

/* The object as it is there: after its upload, or to see whether it is. */
static CsStep
looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	char expected[sizeof(c->object.etag)];

	if (answer->error != 0 || answer->status != 200)
	{
		if (c->lost)
			return give_up(c, request, result);
		return failed(c, answer, request, result, "look at");
	}
	cs_s3_object(&c->object, answer);
	if (c->object.size != c->size)
	{
		if (c->lost)
			return give_up(c, request, result);
		return fail(c, request, result, CS_FAIL_RETRY_NOW,
					"has another size than what was sent");
	}
	if (cs_s3_expected_etag(c, expected, sizeof(expected)) &&
		strcmp(expected, c->object.etag) == 0)
		return cs_s3_put_done(c, result, &c->object, c->lost);
	/* Every part was sent under its hash; if an ETag spoke against it, or we
	 * do not know whose it is, only the bytes can tell. */
	if (c->lost || c->doubt)
		return cs_s3_ask_read(c, request, PARTS_READ_BACK, c->key,
							  c->object.etag);
	return cs_s3_put_done(c, result, &c->object, false);
}

static CsStep
read_back(CsConversation *c, const CsResponse *answer, CsRequest *request,
		  CsResult *result)
{
	uint8 sha256[CS_SHA256_LENGTH];

	if (answer->error != 0 || answer->status != 200)
		return failed(c, answer, request, result, "read back");
	cs_hash_final(c->hash, sha256);
	if (c->hashed == c->size &&
		memcmp(sha256, c->sha256, CS_SHA256_LENGTH) == 0)
		return cs_s3_put_done(c, result, &c->object, c->lost);
	if (c->lost)
		return give_up(c, request, result);
	return fail(c, request, result, CS_FAIL_RETRY_NOW,
				"did not arrive as it was sent");
}

CsStep
cs_s3_parts(CsConversation *c, const CsResponse *answer, CsRequest *request,
			CsResult *result)
{
	switch (c->phase)
	{
		case PARTS_UPLOADS_LISTED:
			return uploads_listed(c, answer, request, result);
		case PARTS_ORPHAN_ENDED: /* whatever came of it */
			return uploads_listed(c, NULL, request, result);
		case PARTS_OLD_ENDED:
			return record_beginning(c, result);
		case PARTS_BEGINNING:
			return begin_upload(c, request);
		case PARTS_LISTED:
			return listed(c, answer, request, result);
		case PARTS_BEGUN:
			return begun(c, answer, request, result);
		case PARTS_RECORDED:
			return next_part(c, request, result);
		case PARTS_HASHED:
			return hashed(c, answer, request, result);
		case PARTS_SENT:
			return part_sent(c, answer, request, result);
		case PARTS_CHECKPOINTED:
			if (c->service->conditions == S3_YES)
				return complete(c, request);
			return cs_s3_ask_head(c, request, PARTS_LAST_LOOK, c->key);
		case PARTS_LAST_LOOK:
			return last_look(c, answer, request, result);
		case PARTS_COMPLETED:
			return completed(c, answer, request, result);
		case PARTS_LOOKED:
			return looked(c, answer, request, result);
		case PARTS_REFUSED:
			return refused(c, answer, request, result);
		case PARTS_READ_BACK:
			return read_back(c, answer, request, result);
		default: /* PARTS_ENDED */
			result->failure = c->failure;
			return CS_STEP_FAILED;
	}
}
