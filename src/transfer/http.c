/*
 * http.c
 *	  The way of an HTTP request (http.h): checked, its body begun, its turn
 *	  waited for, in curl's hands, its answer handed on; and the hashing of
 *	  bodies that are not sent.
 *
 * Usable in the server and in plain programs.
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

/* An answer's content is handed on when there is so much of it. */
#define PIECE (256 * 1024)
#define TAKE_PIECE (64 * 1024)

void
cs_http_init(CsHttpTask *task, CsHttp *http, CsEndpoint *endpoint, CsBody *body)
{
	memset(task, 0, sizeof(*task));
	task->http = http;
	task->place = endpoint->http;
	task->body = body;
	task->begun_at = cs_http_now();
#ifndef FRONTEND
	task->lasting = CurrentMemoryContext;
	task->scratch = AllocSetContextCreate(
		CurrentMemoryContext, "cloudsync body", ALLOCSET_DEFAULT_SIZES);
#endif
}

/* From the start, also when the same request is made again. */
static void
prepare(CsHttpTask *task)
{
	const CsRequest *request = &task->request;

	memset(&task->response, 0, sizeof(task->response));
	task->response.used_bytes = -1;
	task->response.quota_bytes = -1;
	task->response.retry_after_ms = -1;
	memset(&task->failure, 0, sizeof(task->failure));
	task->phase =
		request->kind == CS_REQ_HASH_BODY ? CS_HTTP_HASHING : CS_HTTP_START;
	task->start = task->end = 0;
	task->offset = request->from;
	task->anew = request->into == CS_INTO_BODY && !request->append;
	task->eof = false;
	task->body_waits = false;
	task->paused = false;
	task->sent = task->tail_sent = 0;
	task->received = 0;
	task->where = CS_WHERE_UNKNOWN;
	task->text_len = 0;
	task->text_cut = false;
	task->part_hashed = -1; /* not begun */
	task->launched_at = 0;
	task->ended_at = 0;
	task->sent_at = 0;
	task->connected = false;
	task->answered = false;
	task->resent = false;
	task->continued = false;
	task->code = CURLE_OK;
	task->why = NULL;
	task->limit = NULL;
	task->refused[0] = '\0';
	task->wake_at = 0;
}

void
cs_http_begin(CsHttpTask *task, const CsRequest *request)
{
	task->request = *request;
	task->digest_tried = false;
	task->token_tried = false;
	task->fresh = false;
	task->not_before =
		request->wait_ms > 0 ? cs_http_now() + request->wait_ms * 1000 : 0;
	prepare(task);
}

/* Texts, either way, are too short to be held up; what follows them waits. */
static void
count_texts(CsHttpTask *task)
{
	int64 bytes = (int64) task->text_len;

	if (task->request.send == CS_SEND_TEXT)
		bytes += task->sent;
	cs_pace_spent(&task->place->pace, bytes, cs_http_now());
}

static CsHttpSlice
answered(CsHttpTask *task)
{
	count_texts(task);
	task->phase = CS_HTTP_IDLE;
	cs_http_answer(task);
	return CS_HTTP_ANSWERED;
}

void
cs_http_body_failed(CsHttpTask *task, const CsFailure *failure)
{
	cs_http_ground(task);
	task->body_failure = *failure;
	task->response.error = ECANCELED;
	task->response.body_failure = &task->body_failure;
	task->response.detail = task->body_failure.message;
	(void) answered(task);
}

static CsHttpSlice
body_failed(CsHttpTask *task)
{
	CsFailure failure = task->body_failure;

	cs_http_body_failed(task, &failure);
	return CS_HTTP_ANSWERED;
}

static CsHttpSlice
sleep_until(CsHttpTask *task, int64 time)
{
	cs_http_sleep(task, time);
	return CS_HTTP_WAIT;
}

/* ---- before it flies ---- */

static bool
start(CsHttpTask *task)
{
	int timeout = task->http->settings.transfer_timeout;

	if (task->request.kind != CS_REQ_HTTP)
		cs_http_refuse(task, CS_FAIL_BROKEN, NULL,
					   "a request for files was made to a service over HTTP");
	else if (timeout > 0 && task->request.held_ms == 0 &&
			 cs_http_now() - task->begun_at > (int64) timeout * 1000)
		cs_http_refuse(task, CS_FAIL_RETRY_LATER, NULL,
					   "the transfer took longer than %g s "
					   "(cloudsync.transfer_timeout)",
					   timeout / 1000.0);
	else if (cs_http_check(task) && cs_http_hash_start(task) &&
			 task->handle == NULL)
		task->handle = cs_http_handle_take(task);
	return task->failure.failure_class == CS_FAIL_NONE;
}

/* Into curl's hands. */
static bool
launch(CsHttpTask *task)
{
	CsHttpHandle *handle = task->handle;
	const char *refused;
	sigset_t saved;

	handle->error[0] = '\0';
	handle->block_len = 0;
	handle->header_bytes = 0;
	handle->n_answer = 0;
	if (!cs_http_set_headers(task))
		return false;
	cs_http_enter(&saved);
	refused = cs_http_handle_set(task);
	cs_http_leave(&saved);
	if (refused != NULL)
	{
		cs_http_refuse(task, CS_FAIL_BROKEN, NULL, "libcurl refused %s",
					   refused);
		return false;
	}
	task->launched_at = task->progress_at = task->window_at = cs_http_now();
	task->moved = task->window_moved = 0;
	if (cs_http_fly(task))
		return true;
	task->launched_at = 0;
	cs_http_refuse(task, CS_FAIL_RETRY_LATER, NULL,
				   "libcurl did not take the request");
	return false;
}

/* Its turn, if it has come. */
static CsHttpSlice
queue(CsHttpTask *task)
{
	int64 at;

	if (cs_http_token_missing(task))
		return CS_HTTP_WAIT;
	if (task->not_before > cs_http_now())
		return sleep_until(task, task->not_before);
	at = cs_pace_start(&task->place->pace, &task->ticket, cs_http_now());
	if (at != 0)
		return sleep_until(task, at);
	if (launch(task))
		return CS_HTTP_WAIT;
	cs_pace_end(&task->place->pace, &task->ticket, cs_http_now(), false, false,
				-1);
	return answered(task);
}

static CsHttpSlice
begin(CsHttpTask *task)
{
	const CsRequest *request = &task->request;

	if (!start(task))
		return answered(task);
	/* nothing of the body is held in memory meanwhile */
	if (cs_http_token_missing(task))
		return CS_HTTP_WAIT;
	if (request->send == CS_SEND_BODY)
	{
		task->phase = CS_HTTP_FILL;
		return CS_HTTP_MORE;
	}
	task->phase = CS_HTTP_QUEUED;
	return queue(task);
}

/* The token it waited for is there, or never will be. */
static CsHttpSlice
token_came(CsHttpTask *task)
{
	if (task->failure.failure_class != CS_FAIL_NONE)
		return answered(task);
	task->phase = CS_HTTP_START;
	return CS_HTTP_MORE;
}

static CsHttpSlice
first_fill(CsHttpTask *task)
{
	int64 again;

	if (!cs_http_fill(task, &again))
		return body_failed(task);
	if (task->body_waits)
		return CS_HTTP_WAIT;
	if (again > 0)
		return sleep_until(task, again);
	task->phase = CS_HTTP_QUEUED;
	return queue(task);
}

/* ---- while it flies, and after ---- */

static bool
wants_fill(const CsHttpTask *task)
{
	return task->request.send == CS_SEND_BODY && !task->eof &&
		   task->end - task->start <= task->size / 2;
}

/* Hands on a piece of the answer's content. */
static CsHttpSlice
hand_on(CsHttpTask *task)
{
	int64 again = 0;
	CsStep step;
	size_t n;

	if (task->request.into == CS_INTO_BODY)
	{
		if (!cs_http_deliver(task, &again))
			return body_failed(task);
		if (task->body_waits)
			return CS_HTTP_WAIT;
		return again > 0 ? sleep_until(task, again) : CS_HTTP_MORE;
	}
	n = Min(task->end - task->start, TAKE_PIECE);
	n = cs_pace_bytes(&task->place->pace, n, cs_http_now(), &again);
	if (n == 0)
		return sleep_until(task, again);
	task->start += n;
	task->received += n;
	step = task->take(task->owner, task->buffer + task->start - n, (int64) n);
	if (step == CS_STEP_REQUEST)
		return CS_HTTP_MORE;
	if (step == CS_STEP_PAGE)
		return CS_HTTP_PAGE;
	cs_http_ground(task);
	task->phase = CS_HTTP_IDLE;
	return CS_HTTP_STOPPED;
}

static CsHttpSlice
fly(CsHttpTask *task)
{
	bool waits = task->where == CS_WHERE_BUFFER;

	if (waits && task->end - task->start >= (task->paused ? 1 : PIECE))
		return hand_on(task);
	if (!waits && wants_fill(task))
	{
		int64 again;

		if (!cs_http_fill(task, &again))
			return body_failed(task);
		if (again > 0)
			(void) sleep_until(task, again);
		if (task->end == task->start && !task->eof)
			return CS_HTTP_WAIT;
	}
	if (task->request.send == CS_SEND_BODY)
		task->done = task->request.from + cs_http_body_sent(task);
	cs_http_unpause(task);
	return !waits && !task->body_waits && task->wake_at == 0 && wants_fill(task)
			   ? CS_HTTP_MORE
			   : CS_HTTP_WAIT;
}

/* What a 401 asks for: bits of CURLAUTH_*. */
static long
asked_for(CsHttpTask *task)
{
	long schemes = 0;

	for (int i = 0; i < task->handle->n_answer; i++)
	{
		const CsHeader *header = &task->handle->answer[i];

		if (strcmp(header->name, "www-authenticate") != 0)
			continue;
		if (pg_strncasecmp(header->value, "Digest", 6) == 0)
			schemes |= CURLAUTH_DIGEST;
		if (pg_strncasecmp(header->value, "Basic", 5) == 0)
			schemes |= CURLAUTH_BASIC;
	}
	return schemes;
}

/* Is it worth another try with the other way to prove a password? */
static bool
other_scheme(CsHttpTask *task, long status)
{
	CsHttpPlace *place = task->place;
	long wanted = place->digest ? CURLAUTH_BASIC : CURLAUTH_DIGEST;

	if (status != 401 || place->auth != CS_AUTH_PASSWORD ||
		task->digest_tried || !cs_http_is_own(task) ||
		asked_for(task) != wanted)
		return false;
	task->digest_tried = true;
	place->digest = !place->digest;
	return true;
}

/*
 * Had the server closed all the idle connections that it was sent on? libcurl
 * gives up after a few of them. One that reads a request and closes looks the
 * same, which libcurl does not tell apart either.
 */
static bool
idle_ones_were_closed(CsHttpTask *task)
{
	long connects = 0;

	if (task->fresh || !task->connected || task->answered || task->limit != NULL ||
		task->why != NULL ||
		(task->code != CURLE_SEND_ERROR && task->code != CURLE_RECV_ERROR &&
		 task->code != CURLE_GOT_NOTHING))
		return false;
	curl_easy_getinfo(task->handle->easy, CURLINFO_NUM_CONNECTS, &connects);
	return connects == 0;
}

/* Once more, over a connection of its own. */
static CsHttpSlice
send_afresh(CsHttpTask *task)
{
	bool resent = task->resent || task->sent > 0;

	prepare(task);
	task->fresh = true;
	task->resent = resent;
	return CS_HTTP_MORE;
}

static CsHttpSlice
land(CsHttpTask *task)
{
	long status = 0;

	if (task->where == CS_WHERE_BUFFER && task->end > task->start)
		return hand_on(task);
	if (idle_ones_were_closed(task))
		return send_afresh(task);
	if (task->request.send == CS_SEND_BODY)
		task->done = task->request.from + cs_http_body_sent(task);
	if (task->code == CURLE_OK)
	{
		curl_easy_getinfo(task->handle->easy, CURLINFO_RESPONSE_CODE, &status);
		if (other_scheme(task, status) || cs_http_token_refused(task, status))
		{
			prepare(task);
			return CS_HTTP_MORE;
		}
		/* of no bytes at all */
		if (task->anew && status == task->request.body_status &&
			!cs_http_body_restart(task))
			return body_failed(task);
		/* It did not wait for that, and neither shall the next. */
		if (task->expecting && !task->continued && status < 300)
			task->place->no_expect = true;
	}
	return answered(task);
}

static CsHttpSlice
hash(CsHttpTask *task)
{
	if (task->part_hashed < 0 && !cs_http_hash_start(task))
		return answered(task);
	if (!cs_http_hash_piece(task))
		return body_failed(task);
	if (task->body_waits)
		return CS_HTTP_WAIT;
	return task->eof ? answered(task) : CS_HTTP_MORE;
}

CsHttpSlice
cs_http_slice(CsHttpTask *task)
{
	switch (task->phase)
	{
		case CS_HTTP_START:
			return begin(task);
		case CS_HTTP_FILL:
			return first_fill(task);
		case CS_HTTP_TOKEN:
			return token_came(task);
		case CS_HTTP_QUEUED:
			return queue(task);
		case CS_HTTP_FLYING:
			return fly(task);
		case CS_HTTP_ENDED:
			return land(task);
		case CS_HTTP_HASHING:
			return hash(task);
		default:
			return CS_HTTP_WAIT;
	}
}

void
cs_http_close(CsHttpTask *task)
{
	if (task->http == NULL)
		return;
	cs_http_ground(task);
	cs_pace_end(&task->place->pace, &task->ticket, 0, false, false, -1);
	if (task->ready)
		dlist_delete(&task->ready_node);
	task->ready = false;
	cs_http_handle_give(task);
	cs_http_hash_free(task);
	cs_origin_free(&task->origin);
	free(task->buffer);
	free(task->text);
	task->buffer = task->text = NULL;
	task->http = NULL;
}
