/*
 * s3_move.c
 *	  MOVE and TRASH of the S3 provider, which has neither: the object is copied
 *	  by the service, the copy looked at, and the original deleted. Only what is
 *	  ours, and never onto another. Whatever was cut off between these steps is
 *	  gone on with by doing it again: a copy of the same bytes at the target
 *	  stands for one that we made.
 *
 * A folder is moved by moving what is below it, a page of keys at a time.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/http.h"
#include "cloudsync/name.h"
#include "cloudsync/path.h"
#include "cloudsync/provider.h"
#include "s3.h"

#define MAX_NUMBER 1000
#define FOLDER_KEYS 100

enum
{
	MOVE_START,
	MOVE_LOOKED,
	MOVE_SOURCE_READ,
	MOVE_GONE_LOOKED,
	MOVE_GONE_READ,
	MOVE_TARGET,
	MOVE_TARGET_READ,
	MOVE_COPIED,
	MOVE_SOURCE_LOOKED,
	MOVE_COPY_LOOKED,
	MOVE_DELETED,
	MOVE_UNDONE,
	MOVE_FOLDER_LISTED,
	MOVE_TARGET_LISTED
};

static CsStep
others(CsConversation *c, CsResult *result)
{
	return cs_s3_fail(result, CS_FAIL_CONFLICT, c->op.path,
					  "was made or changed by somebody else");
}

static CsStep
gone(CsConversation *c, CsResult *result)
{
	return cs_s3_fail(result, CS_FAIL_GONE, c->op.path,
					  "is not there any more");
}

static void
set_target(CsConversation *c, char *path)
{
	if (c->target != NULL)
		pfree(c->target);
	if (c->to_key != NULL)
		pfree(c->to_key);
	c->target = path;
	c->to_key = cs_s3_key(c->service, path);
}

/* "name (2).ext": the target's next name. False: enough is enough. */
static bool
next_number(CsConversation *c)
{
	if (c->op.kind != CS_OP_TRASH || c->is_folder || ++c->number > MAX_NUMBER)
		return false;
	set_target(c, cs_path_numbered(c->op.to_path, c->number, CS_NAME_FILE,
								   &cs_provider_s3.names));
	return true;
}

static bool
is_intended(const CsConversation *c, const S3Object *object)
{
	return c->op.has_intended && object->has_sha256 &&
		   object->size == c->op.intended_size &&
		   memcmp(object->sha256, c->op.intended_sha256, CS_SHA256_LENGTH) == 0;
}

/* Does only reading it tell whether it is ours? */
static bool
ask_bytes(const CsConversation *c, const S3Object *object)
{
	return c->op.has_intended && !object->has_sha256 &&
		   object->size == c->op.intended_size;
}

static bool
is_ours(const CsConversation *c, const S3Object *object)
{
	return (c->op.known_version != NULL && object->etag[0] != '\0' &&
			strcmp(c->op.known_version, object->etag) == 0) ||
		   is_intended(c, object);
}

/* The object that was read has these bytes. False: it is another by now. */
static bool
take_hash(CsConversation *c, const CsResponse *answer, S3Object *object)
{
	if (answer->error != 0 || answer->status != 200 ||
		c->hashed != object->size)
		return false;
	cs_hash_final(c->hash, object->sha256);
	object->has_sha256 = true;
	return true;
}

static CsStep next_of_folder(CsConversation *c, CsRequest *request,
							 CsResult *result);

/* c->from_key is now at c->to_key alone. */
static CsStep
moved(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (c->is_folder)
	{
		c->moved_any = true;
		return next_of_folder(c, request, result);
	}
	cs_s3_entry(c, result, c->target, &c->object);
	return CS_STEP_DONE;
}

static CsStep
look_at_target(CsConversation *c, CsRequest *request)
{
	c->copied = false;
	c->unconditional = false;
	return cs_s3_ask_head(c, request, MOVE_TARGET, c->to_key);
}

static CsStep
copy(CsConversation *c, CsRequest *request, CsResult *result)
{
	char *encoded;

	if (c->source.size > S3_MAX_COPY)
		return cs_s3_fail(result, CS_FAIL_REFUSED, c->op.path,
						  "is larger than the 5 GiB that S3 copies at once");
	encoded = cs_url_encode_path(c->from_key);
	cs_s3_ask(c, request, MOVE_COPIED, "PUT", c->to_key, NULL);
	cs_s3_header(
		c, request, "x-amz-copy-source",
		cs_s3_keep(c, psprintf("/%s/%s", c->service->bucket, encoded)));
	c->sent_condition = c->source.etag[0] != '\0' && !c->unconditional;
	if (c->sent_condition)
		cs_s3_header(c, request, "x-amz-copy-source-if-match",
					 cs_s3_quoted(c, c->source.etag));
	cs_s3_storage_headers(c, request);
	pfree(encoded);
	return CS_STEP_REQUEST;
}

static CsStep
delete_source(CsConversation *c, CsRequest *request)
{
	cs_s3_ask(c, request, MOVE_DELETED, "DELETE", c->from_key, NULL);
	c->sent_condition = c->service->conditions == S3_YES &&
						!c->service->no_conditional_delete &&
						c->source.etag[0] != '\0';
	if (c->sent_condition)
		cs_s3_header(c, request, "if-match", cs_s3_quoted(c, c->source.etag));
	return CS_STEP_REQUEST;
}

/* The source is ours, or was when it was listed. */
static CsStep
go_on(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (strcmp(c->op.path, c->op.to_path) == 0)
	{
		cs_s3_entry(c, result, c->op.path, &c->source);
		return CS_STEP_DONE;
	}
	return look_at_target(c, request);
}

static CsStep
looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	if (answer->error == 0 && answer->status == 404 &&
		!cs_s3_has_code(answer, "NoSuchBucket"))
		return cs_s3_ask_head(c, request, MOVE_GONE_LOOKED, c->to_key);
	if (answer->error != 0 || answer->status != 200)
		return cs_s3_failed(result, answer, "move", c->op.path);
	cs_s3_object(&c->source, answer);
	if (is_ours(c, &c->source))
		return go_on(c, request, result);
	if (ask_bytes(c, &c->source))
		return cs_s3_ask_read(c, request, MOVE_SOURCE_READ, c->from_key,
							  c->source.etag);
	return others(c, result);
}

static CsStep
source_read(CsConversation *c, const CsResponse *answer, CsRequest *request,
			CsResult *result)
{
	if (answer->error != 0 || (answer->status != 200 && answer->status != 412 &&
							   answer->status != 404))
		return cs_s3_failed(result, answer, "read", c->op.path);
	if (!take_hash(c, answer, &c->source) || !is_ours(c, &c->source))
		return others(c, result);
	return go_on(c, request, result);
}

/* The source is gone: because an attempt moved it, but could not say so? */
static CsStep
gone_judged(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (is_ours(c, &c->object))
	{
		cs_s3_entry(c, result, c->target, &c->object);
		return CS_STEP_DONE;
	}
	if (next_number(c))
		return cs_s3_ask_head(c, request, MOVE_GONE_LOOKED, c->to_key);
	return gone(c, result);
}

static CsStep
gone_looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
			CsResult *result)
{
	if (answer->error == 0 && answer->status == 404)
		return gone(c, result);
	if (answer->error != 0 || answer->status != 200)
		return cs_s3_failed(result, answer, "look at", c->target);
	cs_s3_object(&c->object, answer);
	if (!is_ours(c, &c->object) && ask_bytes(c, &c->object))
		return cs_s3_ask_read(c, request, MOVE_GONE_READ, c->to_key,
							  c->object.etag);
	return gone_judged(c, request, result);
}

/* The name is taken by something that is not a copy of the source. */
static CsStep
taken(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (next_number(c))
		return look_at_target(c, request);
	return cs_s3_fail(result, CS_FAIL_CONFLICT, c->target, "is taken");
}

static CsStep
target_looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
			  CsResult *result)
{
	if (answer->error == 0 && answer->status == 404)
		return copy(c, request, result);
	if (answer->error != 0 || answer->status != 200)
		return cs_s3_failed(result, answer, "look at", c->target);
	cs_s3_object(&c->object, answer);
	if (c->object.size == c->source.size && c->object.etag[0] != '\0' &&
		strcmp(c->object.etag, c->source.etag) == 0)
		return delete_source(c, request);
	/* A copy may have another ETag than what it is a copy of. */
	if (is_intended(c, &c->object))
		return delete_source(c, request);
	if (!c->is_folder && ask_bytes(c, &c->object))
		return cs_s3_ask_read(c, request, MOVE_TARGET_READ, c->to_key,
							  c->object.etag);
	return taken(c, request, result);
}

static CsStep
target_read(CsConversation *c, const CsResponse *answer, CsRequest *request,
			CsResult *result)
{
	if (answer->error != 0 || answer->status / 100 == 5)
		return cs_s3_failed(result, answer, "read", c->target);
	if (take_hash(c, answer, &c->object) && is_intended(c, &c->object))
		return delete_source(c, request);
	return taken(c, request, result);
}

static CsStep
copied(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	char *etag;

	if (cs_s3_may_be_done(answer))
	{
		cs_s3_failure(&c->failure, answer, "move", c->op.path);
		c->lost = true;
		return cs_s3_ask_head(c, request, MOVE_COPY_LOOKED, c->to_key);
	}
	if (answer->error == 0 && answer->status == 412 && c->sent_condition)
		return cs_s3_ask_head(c, request, MOVE_SOURCE_LOOKED, c->from_key);
	if (answer->error == 0 && answer->status == 404 &&
		!cs_s3_has_code(answer, "NoSuchBucket"))
		return cs_s3_fail(result, CS_FAIL_RETRY_NOW, c->op.path,
						  "was removed while it was moved");
	etag = answer->error == 0 && answer->status == 200
			   ? cs_s3_xml_text(answer, "ETag")
			   : NULL;
	/* An error may come under a 200 that was sent before it was known. */
	if (etag == NULL)
		return cs_s3_failed(result, answer, "move", c->op.path);
	c->copied = true;
	c->lost = false;
	c->object = c->source;
	c->object.modified = 0;
	cs_s3_etag(c->object.etag, sizeof(c->object.etag), etag);
	pfree(etag);
	if (c->source.etag[0] != '\0' &&
		strcmp(c->object.etag, c->source.etag) == 0)
		return delete_source(c, request);
	return cs_s3_ask_head(c, request, MOVE_COPY_LOOKED, c->to_key);
}

/*
 * The service says that the source is another by now. Swift says so of every
 * object sent in parts: where a look finds it as it was, it is copied without
 * the condition.
 */
static CsStep
source_looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
			  CsResult *result)
{
	S3Object now = {0};

	if (answer->error != 0 || answer->status / 100 == 5)
		return cs_s3_failed(result, answer, "move", c->op.path);
	if (answer->status == 200)
		cs_s3_object(&now, answer);
	if (!now.there || now.size != c->source.size ||
		strcmp(now.etag, c->source.etag) != 0)
		return others(c, result);
	c->unconditional = true;
	return copy(c, request, result);
}

static CsStep
copy_looked(CsConversation *c, const CsResponse *answer, CsRequest *request,
			CsResult *result)
{
	S3Object now = {0};

	if (answer->error == 0 && answer->status == 200)
		cs_s3_object(&now, answer);
	if (c->lost)
	{
		/* ours only if it is beyond doubt; else the next attempt decides */
		if (now.there && now.size == c->source.size && now.etag[0] != '\0' &&
			strcmp(now.etag, c->source.etag) == 0)
		{
			c->object = now;
			return delete_source(c, request);
		}
		result->failure = c->failure;
		return CS_STEP_FAILED;
	}
	if (!now.there)
		return cs_s3_failed(result, answer, "look at", c->target);
	if (now.size != c->source.size || strcmp(now.etag, c->object.etag) != 0)
		return cs_s3_fail(result, CS_FAIL_RETRY_LATER, c->op.path,
						  "was not copied as it is");
	c->object = now;
	return delete_source(c, request);
}

static CsStep
deleted(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	if (answer->error == 0 &&
		(answer->status / 100 == 2 || answer->status == 404))
		return moved(c, request, result);
	if (answer->error == 0 && answer->status == 501 && c->sent_condition)
	{
		c->service->no_conditional_delete = true;
		return delete_source(c, request);
	}
	cs_s3_failure(&c->failure, answer, "move", c->op.path);
	/* Changed or protected after it was copied: it stays, our copy goes. */
	if (c->copied && answer->error == 0 &&
		(answer->status == 412 || answer->status == 403))
		return cs_s3_ask(c, request, MOVE_UNDONE, "DELETE", c->to_key, NULL);
	result->failure = c->failure;
	return CS_STEP_FAILED;
}

/* The next of the keys listed, then of those not listed yet, then the end. */
static CsStep
next_of_folder(CsConversation *c, CsRequest *request, CsResult *result)
{
	char *prefix = psprintf("%s/", c->key);
	size_t prefix_len = strlen(prefix);

	while (c->row < c->list.n_rows)
	{
		const S3Row *row = &c->list.rows[c->row++];
		char *key = cs_s3_listed_key(&c->list, row->key);
		char *path;
		bool good;

		if (key == NULL || strncmp(key, prefix, prefix_len) != 0)
			continue;
		if (c->last_key != NULL)
			pfree(c->last_key);
		c->last_key = pstrdup(key);
		path = psprintf("/%s", key + prefix_len);
		if (strlen(path) > 1 && path[strlen(path) - 1] == '/')
			path[strlen(path) - 1] = '\0';
		/* What is no path cannot be ours, and stays. */
		good = cs_path_problem(path, CS_PATH_CONTROLS) == NULL;
		pfree(path);
		if (!good)
			continue;
		c->from_key = key;
		set_target(c, pstrdup(c->op.to_path));
		pfree(c->to_key);
		c->to_key = psprintf("%s/%s", cs_s3_key(c->service, c->op.to_path),
							 key + prefix_len);
		memset(&c->source, 0, sizeof(c->source));
		cs_s3_etag(c->source.etag, sizeof(c->source.etag), row->etag);
		c->source.size = row->size;
		pfree(prefix);
		return look_at_target(c, request);
	}
	c->row = 0;
	if (c->last_key == NULL || c->list.truncated)
	{
		char *after = c->last_key != NULL ? pstrdup(c->last_key) : NULL;

		return cs_s3_ask_list(c, request, MOVE_FOLDER_LISTED, prefix, true,
							  FOLDER_KEYS, NULL, after);
	}
	if (!c->moved_any)
	{
		/* moved by an attempt before? */
		pfree(prefix);
		prefix = psprintf("%s/", cs_s3_key(c->service, c->op.to_path));
		return cs_s3_ask_list(c, request, MOVE_TARGET_LISTED, prefix, true, 1,
							  NULL, NULL);
	}
	cs_s3_folder_entry(c, result, c->op.to_path);
	return CS_STEP_DONE;
}

static CsStep
folder_listed(CsConversation *c, const CsResponse *answer, CsRequest *request,
			  CsResult *result)
{
	if (!cs_s3_list_whole(c, answer, result))
		return CS_STEP_FAILED;
	if (c->phase == MOVE_TARGET_LISTED)
	{
		if (!c->list.any)
			return gone(c, result);
		cs_s3_folder_entry(c, result, c->op.to_path);
		return CS_STEP_DONE;
	}
	c->row = 0;
	if (c->list.n_rows == 0)
	{
		c->list.truncated = false;
		if (c->last_key == NULL)
			c->last_key = pstrdup("");
	}
	return next_of_folder(c, request, result);
}

static CsStep
start(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (c->op.to_path == NULL || strcmp(c->op.path, "/") == 0 ||
		strcmp(c->op.to_path, "/") == 0)
		return cs_s3_fail(result, CS_FAIL_BROKEN, c->op.path,
						  "cannot be moved there");
	c->number = 1;
	set_target(c, pstrdup(c->op.to_path));
	if (strlen(c->to_key) > S3_MAX_KEY)
		return cs_s3_fail(result, CS_FAIL_REFUSED, c->op.to_path,
						  "is longer, with its folders, than the 1024 bytes "
						  "of an S3 key");
	/* Of a file it is known how we left it; a folder has nothing to know. */
	c->is_folder = c->op.known_version == NULL && !c->op.has_intended;
	if (c->is_folder)
		return next_of_folder(c, request, result);
	c->from_key = pstrdup(c->key);
	return cs_s3_ask_head(c, request, MOVE_LOOKED, c->from_key);
}

CsStep
cs_s3_move(CsConversation *c, const CsResponse *answer, CsRequest *request,
		   CsResult *result)
{
	switch (c->phase)
	{
		case MOVE_START:
			return start(c, request, result);
		case MOVE_LOOKED:
			return looked(c, answer, request, result);
		case MOVE_SOURCE_READ:
			return source_read(c, answer, request, result);
		case MOVE_GONE_LOOKED:
			return gone_looked(c, answer, request, result);
		case MOVE_GONE_READ:
			(void) take_hash(c, answer, &c->object);
			return gone_judged(c, request, result);
		case MOVE_TARGET:
			return target_looked(c, answer, request, result);
		case MOVE_TARGET_READ:
			return target_read(c, answer, request, result);
		case MOVE_COPIED:
			return copied(c, answer, request, result);
		case MOVE_SOURCE_LOOKED:
			return source_looked(c, answer, request, result);
		case MOVE_COPY_LOOKED:
			return copy_looked(c, answer, request, result);
		case MOVE_DELETED:
			return deleted(c, answer, request, result);
		case MOVE_UNDONE:
			result->failure = c->failure;
			return CS_STEP_FAILED;
		default: /* MOVE_FOLDER_LISTED, MOVE_TARGET_LISTED */
			return folder_listed(c, answer, request, result);
	}
}
