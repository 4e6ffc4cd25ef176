/*
 * http_body.c
 *	  Bodies on their way: pieces read from the owner into a task's buffer and
 *	  written from it to the owner, outside of libcurl, at the endpoint's pace,
 *	  and hashed in passing.
 *
 * The running hash is of the body's first bytes without a gap; bytes that are
 * read a second time, because they were hashed before they were sent or are
 * sent again, are not hashed again: the owner guarantees that they are the
 * same. Nor are those of a whole body whose hashes the owner knows. Usable in
 * the server and in plain programs.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "http.h"
#ifndef FRONTEND
#include "utils/memutils.h"
#endif

#define HASH_SLICE CS_HTTP_BUFFER_MAX

/* Room for size more bytes. Called from curl too; false if there cannot be. */
bool
cs_http_room(CsHttpTask *task, size_t size)
{
	size_t wanted = Max(task->size, CS_HTTP_BUFFER_MIN);
	char *buffer;

	if (task->start > 0)
	{
		memmove(task->buffer, task->buffer + task->start,
				task->end - task->start);
		task->end -= task->start;
		task->start = 0;
	}
	if (task->end + size > CS_HTTP_BUFFER_MAX)
		return false;
	while (wanted < task->end + size)
		wanted = Min(2 * wanted, CS_HTTP_BUFFER_MAX);
	if (wanted <= task->size)
		return true;
	buffer = realloc(task->buffer, wanted);
	if (buffer == NULL)
		return false;
	task->buffer = buffer;
	task->size = wanted;
	return true;
}

/* ---- hashes ---- */

static CsHash *
new_hash(CsHttpTask *task)
{
	CsHash *hash;
#ifndef FRONTEND
	MemoryContext old = MemoryContextSwitchTo(task->lasting);
#endif

	hash = cs_hash_create();
#ifndef FRONTEND
	MemoryContextSwitchTo(old);
#endif
	return hash;
}

/* The body's: SHA-256, and the provider's own checksum beside it. */
static void
want_body_hashes(CsHttpTask *task)
{
#ifndef FRONTEND
	MemoryContext old;
#endif

	if (task->hash != NULL)
		return;
	task->hash = new_hash(task);
#ifndef FRONTEND
	old = MemoryContextSwitchTo(task->lasting);
#endif
	task->checksum = cs_checksum_create(task->checksum_kind);
#ifndef FRONTEND
	MemoryContextSwitchTo(old);
#endif
}

/*
 * The hashes of a request's own bytes, from the offset of its first. False: one
 * cannot be had.
 */
bool
cs_http_hash_start(CsHttpTask *task)
{
	task->part_hashed = task->request.from;
	if (task->request.part_sha256)
	{
		if (task->part == NULL)
			task->part = new_hash(task);
		else
			cs_hash_restart(task->part);
	}
	if (task->request.md5)
	{
		if (task->md5 == NULL)
			task->md5 = EVP_MD_CTX_new();
		if (task->md5 == NULL ||
			EVP_DigestInit_ex(task->md5, EVP_md5(), NULL) != 1)
		{
			/* as in FIPS mode */
			cs_http_refuse(task, CS_FAIL_BROKEN, NULL,
						   "MD5 cannot be computed on this server");
			return false;
		}
	}
	return true;
}

/* The request is of the whole body, and the owner knows its hashes. */
static bool
is_known(const CsHttpTask *task)
{
	return task->body->sha256 != NULL && task->request.from == 0 &&
		   task->request.length == task->body->size;
}

/* len bytes of the body from offset on; what was hashed already is not again. */
static void
hash_bytes(CsHttpTask *task, const char *bytes, int64 len, int64 offset)
{
	task->furthest = Max(task->furthest, offset + len);
	if (!is_known(task) && offset <= task->hashed &&
		offset + len > task->hashed)
	{
		int64 known = task->hashed - offset;

		want_body_hashes(task);
		cs_hash_update(task->hash, bytes + known, len - known);
		if (task->checksum != NULL)
			cs_checksum_update(task->checksum, bytes + known, len - known);
		task->hashed = offset + len;
	}
	if (offset <= task->part_hashed && offset + len > task->part_hashed)
	{
		int64 known = task->part_hashed - offset;

		if (task->request.part_sha256)
			cs_hash_update(task->part, bytes + known, len - known);
		if (task->request.md5)
			EVP_DigestUpdate(task->md5, bytes + known, len - known);
		task->part_hashed = offset + len;
	}
}

/* Its hashes, once all of its bytes were read. */
static void
answer_known(CsHttpTask *task)
{
	CsResponse *response = &task->response;

	if (task->furthest < task->body->size)
		return;
	memcpy(response->sha256, task->body->sha256, CS_SHA256_LENGTH);
	response->has_sha256 = true;
	response->checksum = task->body->checksum;
}

/* What is known of the bytes so far, into the response. */
void
cs_http_hash_answer(CsHttpTask *task)
{
	CsResponse *response = &task->response;

	if (is_known(task))
		answer_known(task);
	else if (task->hashed >= task->furthest)
	{
		want_body_hashes(task);
		cs_hash_so_far(task->hash, response->sha256);
		response->has_sha256 = true;
		if (task->checksum != NULL)
		{
			cs_checksum_so_far(task->checksum, task->checksum_text);
			response->checksum = task->checksum_text;
		}
	}
	if (task->part_hashed < 0)
		return; /* the request was not begun */
	if (task->request.part_sha256)
		cs_hash_so_far(task->part, response->part_sha256);
	if (task->request.md5)
		EVP_DigestFinal_ex(task->md5, response->md5, NULL);
}

void
cs_http_hash_free(CsHttpTask *task)
{
	if (task->hash != NULL)
		cs_hash_free(task->hash);
	if (task->part != NULL)
		cs_hash_free(task->part);
	if (task->checksum != NULL)
		cs_checksum_free(task->checksum);
	EVP_MD_CTX_free(task->md5);
	task->hash = task->part = NULL;
	task->checksum = NULL;
	task->md5 = NULL;
}

/* ---- the owner's functions; what they leave in memory goes at once ---- */

static int64
body_read(CsHttpTask *task, char *buffer, int64 cap, int64 offset)
{
	CsFailure failure = {0};
	int64 n;
#ifndef FRONTEND
	MemoryContext old = MemoryContextSwitchTo(task->scratch);
#endif

	n = task->body->read(task->body, offset, buffer, cap, &failure);
#ifndef FRONTEND
	MemoryContextSwitchTo(old);
	MemoryContextReset(task->scratch);
#endif
	task->body_waits = n == CS_BODY_WAIT;
	if (task->body_waits || (n >= 0 && n <= cap))
		return n;
	if (failure.failure_class == CS_FAIL_NONE)
		cs_failure_set(&failure, CS_FAIL_BROKEN, NULL,
					   "the content could not be read");
	task->body_failure = failure;
	return -1;
}

static bool
body_write(CsHttpTask *task, const char *bytes, int64 len)
{
	CsFailure failure = {0};
	bool ok;
#ifndef FRONTEND
	MemoryContext old = MemoryContextSwitchTo(task->scratch);
#endif

	ok = task->body->write(task->body, bytes, len, &failure);
#ifndef FRONTEND
	MemoryContextSwitchTo(old);
	MemoryContextReset(task->scratch);
#endif
	if (ok)
		return true;
	if (failure.failure_class == CS_FAIL_NONE)
		cs_failure_set(&failure, CS_FAIL_BROKEN, NULL,
					   "the content could not be written");
	task->body_failure = failure;
	return false;
}

/* The size that the answer's headers announce. */
static int64
announced(CsHttpTask *task)
{
	curl_off_t size = -1;

	curl_easy_getinfo(task->handle->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T,
					  &size);
	return (int64) size;
}

/* An answer delivers the body from its first byte; so it is begun anew. */
bool
cs_http_body_restart(CsHttpTask *task)
{
	CsFailure failure = {0};

	task->anew = false;
	if (task->body->announce != NULL)
		task->body->announce(task->body, announced(task));
	if (task->hash != NULL)
		cs_hash_restart(task->hash);
	if (task->checksum != NULL)
		cs_checksum_restart(task->checksum);
	task->hashed = 0;
	task->furthest = 0;
	task->written = 0;
	task->done = 0;
	if (!task->delivered || task->body->restart == NULL)
		return true;
	task->delivered = false;
	if (task->body->restart(task->body, &failure))
		return true;
	task->body_failure = failure;
	return false;
}

/* ---- pieces ---- */

/* Bytes of the request's range that were not read yet; -1: not known. */
static int64
left_to_read(const CsHttpTask *task)
{
	const CsRequest *request = &task->request;

	if (request->length < 0)
		return -1;
	return request->from + request->length - task->offset;
}

static bool
ended_early(CsHttpTask *task)
{
	cs_failure_set(&task->body_failure, CS_FAIL_CHANGED, NULL,
				   "the content is shorter than it was");
	return false;
}

/* The rest fits in: that much; the buffer holds a piece beside what is sent. */
static size_t
size_for(int64 left)
{
	if (left < 0 || left > CS_HTTP_BUFFER_MAX)
		return CS_HTTP_BUFFER_MAX;
	return Max((size_t) left, 1);
}

int64
cs_http_content_length(const CsRequest *request)
{
	if (request->send == CS_SEND_TEXT)
		return request->text_len;
	if (request->send != CS_SEND_BODY)
		return 0;
	return request->length < 0
			   ? -1
			   : request->text_len + request->length + request->tail_len;
}

int64
cs_http_body_sent(const CsHttpTask *task)
{
	const CsRequest *request = &task->request;
	int64 sent = Max(task->sent - request->text_len, 0);

	return request->length < 0 ? sent : Min(sent, request->length);
}

bool
cs_http_fill(CsHttpTask *task, int64 *again)
{
	int64 left = left_to_read(task);
	int64 room;
	int64 n;

	*again = 0;
	task->body_waits = false;
	if (left == 0)
	{
		task->eof = true;
		return true;
	}
	if (task->buffer == NULL || task->size == 0)
	{
		task->size = size_for(left);
		task->buffer = malloc(task->size);
		if (task->buffer == NULL)
		{
			task->size = 0;
			cs_failure_set(&task->body_failure, CS_FAIL_RETRY_LATER, NULL,
						   "out of memory");
			return false;
		}
	}
	(void) cs_http_room(task, Min(size_for(left), CS_HTTP_BUFFER_MAX -
												 (task->end - task->start)));
	room = task->size - task->end;
	if (left > 0)
		room = Min(room, left);
	room = cs_pace_bytes(&task->place->pace, room, cs_http_now(), again);
	if (room == 0)
		return true;
	n = body_read(task, task->buffer + task->end, room, task->offset);
	cs_pace_give_back(&task->place->pace, room - Max(n, 0));
	if (task->body_waits)
		return true;
	if (n < 0)
		return false;
	if (n == 0 && left > 0)
		return ended_early(task);
	if (n == 0)
		task->eof = true;
	hash_bytes(task, task->buffer + task->end, n, task->offset);
	task->end += n;
	task->offset += n;
	if (left > 0 && n == left)
		task->eof = true;
	return true;
}

/* HASH_BODY: reads and hashes a piece; eof when all of it was. */
bool
cs_http_hash_piece(CsHttpTask *task)
{
	int64 left = left_to_read(task);
	int64 n;

	if (left == 0)
	{
		task->eof = true;
		return true;
	}
	task->start = task->end = 0;
	if (!cs_http_room(task, HASH_SLICE))
	{
		cs_failure_set(&task->body_failure, CS_FAIL_RETRY_LATER, NULL,
					   "out of memory");
		return false;
	}
	n = body_read(task, task->buffer,
				  left > 0 ? Min(left, (int64) task->size) : (int64) task->size,
				  task->offset);
	if (task->body_waits)
		return true;
	if (n < 0)
		return false;
	if (n == 0)
		task->eof = true; /* maybe before length: the answer's size says so */
	hash_bytes(task, task->buffer, n, task->offset);
	task->offset += n;
	return true;
}

/* Writes what the buffer holds of an answer to the body. */
bool
cs_http_deliver(CsHttpTask *task, int64 *again)
{
	int64 n = task->end - task->start;

	if (task->anew && !cs_http_body_restart(task))
		return false;
	if (task->body->room != NULL)
		n = Min(n, task->body->room(task->body));
	task->body_waits = n <= 0;
	if (task->body_waits)
		return true;
	n = cs_pace_bytes(&task->place->pace, n, cs_http_now(), again);
	*again = n > 0 ? 0 : *again;
	if (n == 0)
		return true;
	task->delivered = true;
	if (!body_write(task, task->buffer + task->start, n))
		return false;
	hash_bytes(task, task->buffer + task->start, n, task->written);
	task->start += n;
	task->received += n;
	task->written += n;
	task->done = task->written;
	return true;
}
