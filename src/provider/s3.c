/*
 * s3.c
 *	  The provider "s3": a bucket of Amazon S3 or of a service that speaks its
 *	  protocol, as conversations without I/O. Here: what it is, its options, and
 *	  the small operations (ABOUT, STAT, MKDIR, DISCARD); the others are in
 *	  s3_list.c, s3_get.c, s3_put.c, s3_parts.c and s3_move.c.
 *
 * Relies on include/cloudsync/provider.h, base/ and the common library alone.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/http.h"
#include "cloudsync/path.h"
#include "cloudsync/provider.h"
#include "s3.h"

#define NAME_CHARACTERS                                                        \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

static const CsProviderKey options[] = {
	{"bucket", "Name of the bucket.", true, CS_KEY_TEXT},
	{"endpoint", "URL of the service; Amazon's for the region if not given.",
	 false, CS_KEY_TEXT},
	{"region", "Region of the bucket; us-east-1 if not given.", false,
	 CS_KEY_TEXT},
	{"path_style",
	 "Whether the bucket stands in the path and not in the host's name; true "
	 "with an endpoint if not given.",
	 false, CS_KEY_BOOLEAN},
	{"prefix", "Folder of the bucket to stay in; the whole of it if not given.",
	 false, CS_KEY_TEXT},
	{"server_side_encryption",
	 "AES256, aws:kms or aws:kms:dsse; the bucket's own if not given.", false,
	 CS_KEY_TEXT},
	{"sse_kms_key_id", "Key for aws:kms; the account's own if not given.",
	 false, CS_KEY_TEXT},
	{"storage_class", "Storage class of new objects; STANDARD if not given.",
	 false, CS_KEY_TEXT},
	{NULL},
};

static const CsProviderKey credentials[] = {
	{"access_key_id", "Access key id.", true, CS_KEY_TEXT},
	{"secret_access_key", "Secret access key.", true, CS_KEY_TEXT},
	{"session_token", "Token of temporary credentials.", false, CS_KEY_TEXT},
	{NULL},
};

static const char *
option(const CsOption *list, const char *key)
{
	for (; list->key != NULL; list++)
	{
		if (strcmp(list->key, key) == 0)
			return list->value;
	}
	return NULL;
}

static char *
copy_option(const CsOption *list, const char *key)
{
	const char *value = option(list, key);

	return value != NULL && value[0] != '\0' ? pstrdup(value) : NULL;
}

static CsService *
bad_option(CsFailure *failure, const char *key, const char *why)
{
	cs_failure_set(failure, CS_FAIL_REFUSED,
				   "docs/providers/s3.md explains the options.",
				   "option \"%s\" %s", key, why);
	return NULL;
}

/* Is a value one that may stand in a header or a host's name? */
static bool
is_plain(const char *value, size_t max, const char *others)
{
	size_t len = strlen(value);
	char allowed[sizeof(NAME_CHARACTERS) + 16];

	snprintf(allowed, sizeof(allowed), "%s%s", NAME_CHARACTERS, others);
	return len > 0 && len <= max && strspn(value, allowed) == len;
}

/* The account that the options stand for, however its endpoint is written. */
static char *
account_of(const S3Service *service, const char *endpoint)
{
	char *folder = pstrdup(service->prefix);
	size_t len = strlen(folder);
	const char *host = endpoint != NULL ? strstr(endpoint, "://") : NULL;
	bool amazon = true;
	char *account;

	if (len > 0)
		folder[len - 1] = '\0';
	if (host != NULL)
	{
		size_t host_len = strcspn(host + 3, ":/");
		char *name = pnstrdup(host + 3, host_len);
		const char *at = strstr(name, ".amazonaws.com");

		amazon = at != NULL && (strcmp(at, ".amazonaws.com") == 0 ||
								strcmp(at, ".amazonaws.com.cn") == 0);
		pfree(name);
	}
	account = psprintf("%s%s%s%s%s", amazon ? "" : endpoint, amazon ? "" : "/",
					   service->bucket, len > 0 ? "/" : "", folder);
	pfree(folder);
	return account;
}

static char *
bucket_url(const char *endpoint, const char *bucket, bool path_style)
{
	const char *host = strstr(endpoint, "://") + 3;

	if (path_style)
		return psprintf("%s/%s", endpoint, bucket);
	return psprintf("%.*s%s.%s", (int) (host - endpoint), endpoint, bucket,
					host);
}

/* Options that become headers of new objects. */
static const char *
read_storage(S3Service *service, const CsOption *list, const char **why)
{
	service->server_side_encryption =
		copy_option(list, "server_side_encryption");
	service->sse_kms_key_id = copy_option(list, "sse_kms_key_id");
	service->storage_class = copy_option(list, "storage_class");
	*why = "has characters that it cannot have";
	if (service->server_side_encryption != NULL &&
		strcmp(service->server_side_encryption, "AES256") != 0 &&
		strcmp(service->server_side_encryption, "aws:kms") != 0 &&
		strcmp(service->server_side_encryption, "aws:kms:dsse") != 0)
	{
		*why = "must be AES256, aws:kms or aws:kms:dsse";
		return "server_side_encryption";
	}
	if (service->sse_kms_key_id != NULL)
	{
		if (!is_plain(service->sse_kms_key_id, 2048, ":/_-"))
			return "sse_kms_key_id";
		if (service->server_side_encryption == NULL ||
			strncmp(service->server_side_encryption, "aws:kms", 7) != 0)
		{
			*why = "needs server_side_encryption aws:kms";
			return "sse_kms_key_id";
		}
	}
	if (service->storage_class != NULL &&
		!is_plain(service->storage_class, 64, "_-"))
		return "storage_class";
	return NULL;
}

static CsService *
open_service(const CsOption *list, CsFailure *failure)
{
	S3Service *service = palloc0(sizeof(S3Service));
	const char *bucket = option(list, "bucket");
	const char *region = option(list, "region");
	const char *given = option(list, "endpoint");
	const char *style = option(list, "path_style");
	const char *prefix = option(list, "prefix");
	const char *why = NULL;
	const char *bad;
	char *endpoint;
	bool path_style;

	if (bucket == NULL || !is_plain(bucket, 255, ".-_"))
		return bad_option(failure, "bucket", "is no bucket's name");
	/* A name that is nothing but dots would be another place of the URL. */
	if (strspn(bucket, ".") == strlen(bucket))
		return bad_option(failure, "bucket", "is no bucket's name");
	if (region == NULL || region[0] == '\0')
		region = "us-east-1";
	if (!is_plain(region, 64, "-_"))
		return bad_option(failure, "region", "is no region's name");
	if (given != NULL && given[0] != '\0')
		endpoint = cs_url_normalize(given, &why);
	else
		endpoint = psprintf("https://s3.%s.amazonaws.com%s", region,
							strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
	if (endpoint == NULL)
		return bad_option(failure, "endpoint", why);
	prefix = cs_path_normalize(prefix != NULL ? prefix : "", 0, &why);
	if (prefix == NULL)
		return bad_option(failure, "prefix", why);
	bad = read_storage(service, list, &why);
	if (bad != NULL)
		return bad_option(failure, bad, why);

	/* A certificate for *.host is not one for a.b.host. */
	path_style = style != NULL ? strcmp(style, "true") == 0
							   : (given != NULL || strchr(bucket, '.') != NULL);
	service->bucket = pstrdup(bucket);
	service->prefix =
		strcmp(prefix, "/") == 0 ? pstrdup("") : psprintf("%s/", prefix + 1);
	service->head.url = bucket_url(endpoint, bucket, path_style);
	service->head.account = account_of(
		service, given != NULL && given[0] != '\0' ? endpoint : NULL);
	service->head.region = pstrdup(region);
	service->conditions = S3_UNKNOWN;
	if (strstr(service->head.account, "://") == NULL)
		service->conditions = S3_YES; /* Amazon's own */
	return &service->head;
}

/* ABOUT: is the bucket there, and may we list it? */
static CsStep
about(CsConversation *c, const CsResponse *answer, CsRequest *request,
	  CsResult *result)
{
	if (answer == NULL)
		return cs_s3_ask_list(c, request, 1, c->service->prefix, true, 1, NULL,
							  NULL);
	if (!cs_s3_list_whole(c, answer, result))
		return CS_STEP_FAILED;
	cs_s3_folder_entry(c, result, "/");
	return CS_STEP_DONE;
}

enum
{
	STAT_START,
	STAT_LOOKED,
	STAT_LISTED
};

/* STAT: an object, or else a folder, which is there if something is below it.
 */
static CsStep
stat_entry(CsConversation *c, const CsResponse *answer, CsRequest *request,
		   CsResult *result)
{
	bool root = strcmp(c->op.path, "/") == 0;

	if (c->phase == STAT_START && !root)
		return cs_s3_ask_head(c, request, STAT_LOOKED, c->key);
	if (c->phase == STAT_LOOKED && answer->error == 0 && answer->status == 200)
	{
		cs_s3_object(&c->object, answer);
		cs_s3_entry(c, result, c->op.path, &c->object);
		return CS_STEP_DONE;
	}
	if (c->phase == STAT_LOOKED &&
		(answer->error != 0 || answer->status != 404))
		return cs_s3_failed(result, answer, "look at", c->op.path);
	if (c->phase != STAT_LISTED)
	{
		char *prefix =
			root ? pstrdup(c->service->prefix) : psprintf("%s/", c->key);

		cs_s3_ask_list(c, request, STAT_LISTED, prefix, true, 1, NULL, NULL);
		pfree(prefix);
		return CS_STEP_REQUEST;
	}
	if (!cs_s3_list_whole(c, answer, result))
		return CS_STEP_FAILED;
	if (!root && !c->list.any)
		return cs_s3_fail(result, CS_FAIL_GONE, c->op.path, "is not there");
	cs_s3_folder_entry(c, result, c->op.path);
	return CS_STEP_DONE;
}

enum
{
	MKDIR_START,
	MKDIR_LISTED,
	MKDIR_MARKED
};

/*
 * MKDIR: a folder is there as soon as something is in it. One that is to be
 * seen before gets a marker, an empty object whose key ends in '/', as Amazon's
 * own console makes it.
 */
static CsStep
make_folder(CsConversation *c, const CsResponse *answer, CsRequest *request,
			CsResult *result)
{
	char *prefix;

	switch (c->phase)
	{
		case MKDIR_START:
			if (!c->op.visible)
				break;
			prefix = strcmp(c->op.path, "/") == 0 ? pstrdup(c->service->prefix)
												  : psprintf("%s/", c->key);
			cs_s3_ask_list(c, request, MKDIR_LISTED, prefix, true, 1, NULL,
						   NULL);
			pfree(prefix);
			return CS_STEP_REQUEST;
		case MKDIR_LISTED:
			if (!cs_s3_list_whole(c, answer, result))
				return CS_STEP_FAILED;
			if (c->list.any || strcmp(c->op.path, "/") == 0)
				break;
			prefix = psprintf("%s/", c->key);
			cs_s3_ask(c, request, MKDIR_MARKED, "PUT", prefix, NULL);
			pfree(prefix);
			request->send = CS_SEND_TEXT;
			request->text = "";
			cs_s3_storage_headers(c, request);
			return CS_STEP_REQUEST;
		default: /* MKDIR_MARKED */
			if (answer->error != 0 || answer->status / 100 != 2)
				return cs_s3_failed(result, answer, "make folder", c->op.path);
			break;
	}
	cs_s3_folder_entry(c, result, c->op.path);
	return CS_STEP_DONE;
}

/* An upload that may have been begun, and whose name is not known. */
static CsStep
discard_begun(CsConversation *c, const CsResponse *answer, CsRequest *request,
			  int64 since, const char *key)
{
	enum
	{
		UPLOADS_LISTED = 1,
		ORPHAN_ENDED
	};

	if (answer == NULL)
		return since > 0 ? cs_s3_ask_uploads(c, request, UPLOADS_LISTED, key)
						 : CS_STEP_DONE;
	/* not being allowed to list them is no reason to ask again and again */
	if (c->phase == UPLOADS_LISTED)
		(void) cs_s3_read_uploads(c, answer, since, key);
	return cs_s3_ask_end_orphan(c, request, ORPHAN_ENDED, key) ? CS_STEP_REQUEST
															   : CS_STEP_DONE;
}

/* DISCARD: an object appears whole or not at all; an upload in parts is ended.
 */
static CsStep
discard(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	char *upload_id;
	const char *key;
	int64 part_size;
	int64 since;

	if (c->op.session == NULL)
		return CS_STEP_DONE;
	if (cs_s3_begin_session_parse(c->op.session, &since, &key))
		return discard_begun(c, answer, request, since, key);
	if (answer == NULL)
	{
		if (!cs_s3_session_parse(c->op.session, &part_size, &upload_id, &key))
			return CS_STEP_DONE;
		return cs_s3_ask_abort(c, request, 1, key, upload_id);
	}
	if (answer->error != 0 ||
		(answer->status / 100 != 2 && answer->status != 404))
		return cs_s3_failed(result, answer, "discard", c->op.path);
	return CS_STEP_DONE;
}

static CsConversation *
begin(CsService *service, const CsOp *op)
{
	CsConversation *c = palloc0(sizeof(CsConversation));

	c->service = (S3Service *) service;
	cs_op_copy(&c->op, op);
	c->key = cs_s3_key(c->service, op->path);
	switch (op->kind)
	{
		case CS_OP_ABOUT:
			c->step = about;
			break;
		case CS_OP_STAT:
			c->step = stat_entry;
			break;
		case CS_OP_LIST:
			c->step = cs_s3_list;
			if (strcmp(op->path, "/") != 0)
				c->key = psprintf("%s/", c->key);
			break;
		case CS_OP_MKDIR:
			c->step = make_folder;
			break;
		case CS_OP_PUT:
			c->step = cs_s3_put;
			break;
		case CS_OP_GET:
			c->step = cs_s3_get;
			break;
		case CS_OP_DISCARD:
			c->step = discard;
			break;
		case CS_OP_PUT_MANY:
		case CS_OP_TOKEN:
		case CS_OP_WATCH:
			c->step = cs_step_not_offered;
			break;
		case CS_OP_MOVE:
		case CS_OP_TRASH:
			c->step = cs_s3_move;
			break;
	}
	return c;
}

/*
 * The answer to a HEAD has no words, and a status alone does not tell a wrong
 * key from a wrong clock. A listing that fails alike says why.
 */
static CsStep
explain(CsConversation *c, const CsResponse *answer, CsRequest *request)
{
	char *encoded = cs_url_encode(c->key);
	char *query = psprintf("list-type=2&max-keys=1&prefix=%s", encoded);

	c->explaining = true;
	memset(&c->plain, 0, sizeof(c->plain));
	c->plain.status = answer->status;
	c->plain.retry_after_ms = answer->retry_after_ms;
	cs_s3_ask(c, request, c->phase, "GET", NULL, query);
	pfree(query);
	pfree(encoded);
	return CS_STEP_REQUEST;
}

static CsStep
next(CsConversation *c, const CsResponse *answer, CsRequest *request,
	 CsResult *result)
{
	memset(request, 0, sizeof(*request));
	memset(result, 0, sizeof(*result));
	result->used_bytes = -1;
	result->quota_bytes = -1;
	if (answer != NULL && c->head && !c->explaining && answer->error == 0 &&
		(answer->status == 400 || answer->status == 403 ||
		 answer->status / 100 == 3))
		return explain(c, answer, request);
	if (c->explaining)
	{
		c->explaining = false;
		if (answer->error == 0 && answer->status / 100 == 2)
			answer = &c->plain;
	}
	return c->step(c, answer, request, result);
}

static CsStep
take(CsConversation *c, const char *buf, int64 len, CsResult *result)
{
	memset(result, 0, sizeof(*result));
	if (c->taking == S3_TAKE_LIST)
		return cs_s3_list_take(c, buf, len, result);
	if (c->taking == S3_TAKE_HASH)
	{
		cs_hash_update(c->hash, buf, len);
		c->hashed += len;
		return CS_STEP_REQUEST;
	}
	return cs_s3_fail(result, CS_FAIL_BROKEN, c->op.path,
					  "was given bytes that nobody asked for");
}

const CsProvider cs_provider_s3 = {
	.name = "s3",
	.title = "Amazon S3 and compatible storage",
	.authentication = "access key (Signature Version 4)",
	.options = options,
	.credentials = credentials,
	.checksum = "sha256",
	.max_file_size = INT64CONST(5) * 1024 * 1024 * 1024 * 1024,
	.incremental = false,
	.stable_ids = false,
	.look_before = true,
	.implied_folders = true,
	.has_trash = false,
	.rereads = S3_PART,
	.needs_stable_file = false,
	.hosts = "*.amazonaws.com, *.amazonaws.com.cn",
	.names = {.max_name_bytes = 255, .forbidden = ""},
	.open = open_service,
	.begin = begin,
	.next = next,
	.take = take,
};
