/*
 * webdav_chunk.c
 *	  Uploads in chunks, as Nextcloud (version 2) and ownCloud take them: a
 *	  folder below the user's uploads, numbered parts, and a MOVE of ".file"
 *	  that puts them together. What was sent before an interruption is found
 *	  again in that folder, hashed, and not sent twice.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "webdav.h"

#define MAX_CHUNKS 10000
#define MAX_TRIES 3 /* of one chunk */
/* a listing of that many parts */
#define MAX_ANSWER (8 * 1024 * 1024)

enum
{
	CHUNK_LISTED,
	CHUNK_FOLDER_MADE,
	CHUNK_FOLDER_REMOVED,
	CHUNK_SESSION_KEPT,
	CHUNK_HASHED,
	CHUNK_SENT
};

/* The folder of an upload is named after the temporary file. */
char *
wd_upload_url(const CsConversation *c, const char *temp_name)
{
	return psprintf("%s/cloudsync-%.16s", c->service->uploads,
					temp_name + strlen(".cloudsync-"));
}

static CsStep
ask(CsConversation *c, CsRequest *request, int chunk_phase, const char *method,
	char *url)
{
	wd_ask_url(c, request, PUT_CHUNK, method, url);
	/* without it Nextcloud takes the upload for one of version 1 */
	wd_header_own(c, request, "Destination",
				  wd_url(c->service, c->op.path, false));
	c->chunk_phase = chunk_phase;
	return CS_STEP_REQUEST;
}

static CsStep
make_folder(CsConversation *c, CsRequest *request)
{
	c->sent = 0;
	c->chunk = 1;
	return ask(c, request, CHUNK_FOLDER_MADE, "MKCOL", pstrdup(c->upload));
}

/* The next chunk, or on to the checkpoint. */
static CsStep
send_chunk(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (c->sent >= c->op.size)
	{
		c->temp_written = true;
		c->body_known = true;
		c->size = c->op.size;
		return wd_put_go_on(c, request, result);
	}
	ask(c, request, CHUNK_SENT, "PUT",
		psprintf("%s/%05d", c->upload, c->chunk));
	wd_header_own(c, request, "OC-Total-Length",
				  psprintf("%lld", (long long) c->op.size));
	wd_header(request, "Content-Type", "application/octet-stream");
	request->send = CS_SEND_BODY;
	request->from = c->sent;
	request->length = Min(c->chunk_bytes, c->op.size - c->sent);
	return CS_STEP_REQUEST;
}

/*
 * "1 <bytes of a chunk> <bytes of the file>": enough to go on with an upload,
 * since its folder is named after the temporary file.
 */
static bool
read_session(CsConversation *c)
{
	long long chunk_bytes, size;

	if (c->op.session == NULL ||
		sscanf(c->op.session, "1 %lld %lld", &chunk_bytes, &size) != 2 ||
		size != c->op.size || chunk_bytes != c->chunk_bytes)
		return false;
	return true;
}

CsStep
wd_chunk_start(CsConversation *c, CsRequest *request, CsResult *result)
{
	c->chunk_bytes =
		Max((int64) WD_CHUNK, (c->op.size + MAX_CHUNKS - 1) / MAX_CHUNKS);
	wd_free(c->upload);
	c->upload = wd_upload_url(c, c->op.temp_name);
	wd_free(c->session);
	c->session = psprintf("1 %lld %lld", (long long) c->chunk_bytes,
						  (long long) c->op.size);
	c->upload_left = true;
	if (!read_session(c))
		return make_folder(c, request);
	wd_ask_url(c, request, PUT_CHUNK, "PROPFIND", psprintf("%s/", c->upload));
	c->chunk_phase = CHUNK_LISTED;
	wd_header(request, "Depth", "1");
	wd_header(request, "Content-Type", "application/xml; charset=utf-8");
	request->send = CS_SEND_TEXT;
	request->text = "<?xml version=\"1.0\" encoding=\"utf-8\"?>"
					"<d:propfind xmlns:d=\"DAV:\"><d:prop>"
					"<d:getcontentlength/></d:prop></d:propfind>";
	request->text_len = (int64) strlen(request->text);
	request->max_answer = MAX_ANSWER;
	return CS_STEP_REQUEST;
}

/* How many chunks, from the first without a gap, are there whole? */
static int
count_chunks(CsConversation *c, const CsResponse *answer)
{
	int64 most = c->op.size / c->chunk_bytes;
	bool *there = palloc0((size_t) most + 2);
	WdParser *parser = wd_parser_create();
	bool good = wd_parse(parser, answer->text, answer->text_len, true);
	int n = 0;

	for (WdResource *next, *r = good ? wd_parser_take(parser) : NULL; r != NULL;
		 r = next)
	{
		const char *slash = r->href != NULL ? strrchr(r->href, '/') : NULL;
		int64 number = slash != NULL ? wd_number(slash + 1) : -1;

		next = r->next;
		if (number >= 1 && number <= most &&
			wd_number(r->length) == c->chunk_bytes)
			there[number] = true;
		wd_resource_free(r);
	}
	while (n < most && there[n + 1])
		n++;
	wd_parser_free(parser);
	pfree(there);
	return n;
}

static CsStep
listed(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	if (answer->error != 0)
	{
		wd_failure(c, &c->failure, answer, "go on with writing", c->op.path);
		return wd_put_clean_up(c, request, result);
	}
	if (answer->status != 207 || answer->text == NULL)
		return make_folder(c, request);
	c->chunk = count_chunks(c, answer) + 1;
	c->sent = (c->chunk - 1) * c->chunk_bytes;
	if (c->sent == 0)
		return send_chunk(c, request, result);
	memset(request, 0, sizeof(*request));
	request->kind = CS_REQ_HASH_BODY;
	request->from = 0;
	request->length = c->sent;
	c->phase = PUT_CHUNK;
	c->chunk_phase = CHUNK_HASHED;
	return CS_STEP_REQUEST;
}

static CsStep
chunk_sent(CsConversation *c, const CsResponse *answer, CsRequest *request,
		   CsResult *result)
{
	int64 length = Min(c->chunk_bytes, c->op.size - c->sent);

	if (!wd_good(answer))
	{
		wd_failure(c, &c->failure, answer, "write", c->op.path);
		if (answer->body_failure == NULL && wd_lost(answer) &&
			++c->tries < MAX_TRIES)
			return send_chunk(c, request, result);
		/* an upload that the server has given up begins anew */
		if (c->failure.failure_class == CS_FAIL_GONE ||
			c->failure.failure_class == CS_FAIL_CONFLICT)
			return wd_put_fail(c, request, result, CS_FAIL_RETRY_NOW,
							   "cannot be written on: the upload is gone");
		return wd_put_clean_up(c, request, result);
	}
	if (answer->size != length || !answer->has_sha256)
		return wd_put_fail(c, request, result, CS_FAIL_CHANGED,
						   "changed in the database while it was read");
	c->tries = 0;
	c->sent += length;
	c->chunk++;
	memcpy(c->sha256, answer->sha256, CS_SHA256_LENGTH);
	return send_chunk(c, request, result);
}

CsStep
wd_chunk(CsConversation *c, const CsResponse *answer, CsRequest *request,
		 CsResult *result)
{
	switch (c->chunk_phase)
	{
		case CHUNK_LISTED:
			return listed(c, answer, request, result);
		case CHUNK_FOLDER_MADE:
			if (answer->error == 0 && answer->status == 405)
				/* of an attempt that nobody remembers */
				return ask(c, request, CHUNK_FOLDER_REMOVED, "DELETE",
						   pstrdup(c->upload));
			if (!wd_good(answer))
				break;
			c->chunk_phase = CHUNK_SESSION_KEPT;
			c->phase = PUT_CHUNK;
			result->size = -1;
			result->session = c->session;
			return CS_STEP_CHECKPOINT;
		case CHUNK_FOLDER_REMOVED:
			if (!wd_good(answer) || ++c->tries > MAX_TRIES)
				break;
			return make_folder(c, request);
		case CHUNK_SESSION_KEPT:
			c->tries = 0;
			return send_chunk(c, request, result);
		case CHUNK_HASHED:
			if (answer->error != 0)
				break;
			if (answer->size != c->sent)
				return wd_put_fail(c, request, result, CS_FAIL_CHANGED,
								   "changed in the database while it was read");
			memcpy(c->sha256, answer->sha256, CS_SHA256_LENGTH);
			return send_chunk(c, request, result);
		default: /* CHUNK_SENT */
			return chunk_sent(c, answer, request, result);
	}
	wd_failure(c, &c->failure, answer, "write", c->op.path);
	return wd_put_clean_up(c, request, result);
}
