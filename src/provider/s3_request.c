/*
 * s3_request.c
 *	  Requests of the S3 provider and what their answers say of an object: keys
 *	  and addresses, headers, ETags, entries.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/hash.h"
#include "cloudsync/http.h"
#include "cloudsync/path.h"
#include "cloudsync/provider.h"
#include "s3.h"

char *
cs_s3_key(const S3Service *service, const char *path)
{
	return psprintf("%s%s", service->prefix, path + 1);
}

char *
cs_s3_keep(CsConversation *c, char *string)
{
	Assert(c->n_strings < S3_STRINGS);
	c->strings[c->n_strings++] = string;
	return string;
}

/* Strings of the request before are not needed any more. */
static void
forget(CsConversation *c)
{
	while (c->n_strings > 0)
		pfree(c->strings[--c->n_strings]);
	c->n_headers = 0;
}

CsStep
cs_s3_ask(CsConversation *c, CsRequest *request, int phase, const char *method,
		  const char *key, const char *query)
{
	char *encoded = key != NULL ? cs_url_encode_path(key) : NULL;
	char *kept_query = query != NULL ? pstrdup(query) : NULL;

	/* The query may be a string of the request before. */
	forget(c);
	memset(request, 0, sizeof(*request));
	request->kind = CS_REQ_HTTP;
	request->length = -1;
	request->method = method;
	request->url =
		cs_s3_keep(c, psprintf("%s/%s%s%s", c->service->head.url,
							   encoded != NULL ? encoded : "",
							   kept_query != NULL ? "?" : "",
							   kept_query != NULL ? kept_query : ""));
	if (encoded != NULL)
		pfree(encoded);
	if (kept_query != NULL)
		pfree(kept_query);
	request->into = CS_INTO_MEMORY;
	c->head = strcmp(method, "HEAD") == 0;
	c->taking = S3_TAKE_NOTHING;
	c->phase = phase;
	return CS_STEP_REQUEST;
}

void
cs_s3_header(CsConversation *c, CsRequest *request, const char *name,
			 const char *value)
{
	if (value == NULL)
		return;
	/* One is left to end the list. */
	Assert(c->n_headers < CS_REQUEST_HEADERS - 1);
	request->headers[c->n_headers].name = name;
	request->headers[c->n_headers++].value = value;
}

CsStep
cs_s3_ask_head(CsConversation *c, CsRequest *request, int phase,
			   const char *key)
{
	cs_s3_ask(c, request, phase, "HEAD", key, NULL);
	cs_s3_header(c, request, "x-amz-checksum-mode", "ENABLED");
	return CS_STEP_REQUEST;
}

CsStep
cs_s3_ask_list(CsConversation *c, CsRequest *request, int phase,
			   const char *prefix, bool recursive, int max_keys,
			   const char *token, const char *start_after)
{
	char *encoded = cs_url_encode(prefix);
	char *more = token != NULL		   ? cs_url_encode(token)
				 : start_after != NULL ? cs_url_encode(start_after)
									   : NULL;
	char *query =
		psprintf("list-type=2&encoding-type=url&max-keys=%d&prefix=%s%s%s%s",
				 max_keys, encoded, recursive ? "" : "&delimiter=%2F",
				 token != NULL		   ? "&continuation-token="
				 : start_after != NULL ? "&start-after="
									   : "",
				 more != NULL ? more : "");

	cs_s3_ask(c, request, phase, "GET", NULL, query);
	request->into = CS_INTO_TAKE;
	request->body_status = 200;
	c->taking = S3_TAKE_LIST;
	cs_s3_listing_begin(&c->list);
	pfree(query);
	pfree(encoded);
	if (more != NULL)
		pfree(more);
	return CS_STEP_REQUEST;
}

CsStep
cs_s3_ask_read(CsConversation *c, CsRequest *request, int phase,
			   const char *key, const char *etag)
{
	cs_s3_ask(c, request, phase, "GET", key, NULL);
	if (etag[0] != '\0')
		cs_s3_header(c, request, "if-match", cs_s3_quoted(c, etag));
	request->into = CS_INTO_TAKE;
	request->body_status = 200;
	c->taking = S3_TAKE_HASH;
	c->hashed = 0;
	if (c->hash == NULL)
		c->hash = cs_hash_create();
	else
		cs_hash_restart(c->hash);
	return CS_STEP_REQUEST;
}

void
cs_s3_storage_headers(CsConversation *c, CsRequest *request)
{
	cs_s3_header(c, request, "x-amz-server-side-encryption",
				 c->service->server_side_encryption);
	cs_s3_header(c, request, "x-amz-server-side-encryption-aws-kms-key-id",
				 c->service->sse_kms_key_id);
	cs_s3_header(c, request, "x-amz-storage-class", c->service->storage_class);
}

/* Without quotes, and without the mark of a weak one. */
void
cs_s3_etag(char *etag, size_t room, const char *value)
{
	size_t len;

	etag[0] = '\0';
	if (value == NULL)
		return;
	if (strncmp(value, "W/", 2) == 0)
		value += 2;
	if (*value == '"')
		value++;
	len = strcspn(value, "\"");
	/* One that does not fit, or could end a header, is none. */
	if (len >= room)
		return;
	for (size_t i = 0; i < len; i++)
	{
		if ((unsigned char) value[i] <= ' ' || value[i] == 0x7f)
			return;
	}
	memcpy(etag, value, len);
	etag[len] = '\0';
}

char *
cs_s3_quoted(CsConversation *c, const char *etag)
{
	return cs_s3_keep(c, psprintf("\"%s\"", etag));
}

bool
cs_s3_is_md5(const char *etag, uint8 md5[16])
{
	return strlen(etag) == 32 && cs_unhex(etag, md5, 16);
}

/*
 * The checksum of the whole object, if the service has one. That of an object
 * sent in parts is of its parts' checksums, and ends in "-" and their number.
 */
static void
read_checksum(S3Object *object, const CsResponse *answer)
{
	const char *value = cs_http_header(answer, "x-amz-checksum-sha256");
	const char *type = cs_http_header(answer, "x-amz-checksum-type");
	uint32 group = 0;
	int n = 0;

	if (value == NULL || strlen(value) != 44 || value[43] != '=' ||
		(type != NULL && pg_strcasecmp(type, "FULL_OBJECT") != 0))
		return;
	for (int i = 0; i < 43; i++)
	{
		char c = value[i];
		int digit = c >= 'A' && c <= 'Z'   ? c - 'A'
					: c >= 'a' && c <= 'z' ? c - 'a' + 26
					: c >= '0' && c <= '9' ? c - '0' + 52
					: c == '+'			   ? 62
					: c == '/'			   ? 63
										   : -1;

		if (digit < 0)
			return;
		group = group << 6 | (uint32) digit;
		if (i % 4 == 3)
		{
			object->sha256[n++] = group >> 16;
			object->sha256[n++] = group >> 8;
			object->sha256[n++] = group;
		}
	}
	object->sha256[n++] = group >> 10;
	object->sha256[n++] = group >> 2;
	object->has_sha256 = n == CS_SHA256_LENGTH;
}

void
cs_s3_object(S3Object *object, const CsResponse *answer)
{
	const char *length = cs_http_header(answer, "content-length");
	const char *modified = cs_http_header(answer, "last-modified");
	const char *encryption =
		cs_http_header(answer, "x-amz-server-side-encryption");

	memset(object, 0, sizeof(*object));
	object->there = true;
	object->size = -1;
	cs_s3_etag(object->etag, sizeof(object->etag),
			   cs_http_header(answer, "etag"));
	if (length != NULL && length[0] >= '0' && length[0] <= '9' &&
		strlen(length) <= 18 && strspn(length, "0123456789") == strlen(length))
		object->size = (int64) strtoll(length, NULL, 10);
	if (modified != NULL)
		object->modified = cs_http_date(modified);
	object->encrypted =
		(encryption != NULL && strcmp(encryption, "AES256") != 0) ||
		cs_http_header(
			answer, "x-amz-server-side-encryption-customer-algorithm") != NULL;
	read_checksum(object, answer);
}

static void
clear_entry(CsConversation *c)
{
	if (c->entry.path != NULL)
		pfree((char *) c->entry.path);
	if (c->entry.version != NULL)
		pfree((char *) c->entry.version);
	memset(&c->entry, 0, sizeof(c->entry));
}

void
cs_s3_entry(CsConversation *c, CsResult *result, const char *path,
			const S3Object *object)
{
	char *copy = pstrdup(path);

	clear_entry(c);
	c->entry.kind = CS_ENTRY_FILE;
	c->entry.path = copy;
	c->entry.name = cs_path_name(copy);
	c->entry.version = object->etag[0] != '\0' ? pstrdup(object->etag) : NULL;
	c->entry.size = object->size;
	c->entry.modified = object->modified;
	c->entry.has_sha256 = object->has_sha256;
	memcpy(c->entry.sha256, object->sha256, CS_SHA256_LENGTH);
	result->entry = c->entry;
}

void
cs_s3_folder_entry(CsConversation *c, CsResult *result, const char *path)
{
	char *copy = pstrdup(path);

	clear_entry(c);
	c->entry.kind = CS_ENTRY_FOLDER;
	c->entry.path = copy;
	c->entry.name = cs_path_name(copy);
	c->entry.size = -1;
	result->entry = c->entry;
}
