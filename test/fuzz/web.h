/*
 * web.h
 *	  The fuzz targets of providers over HTTP: each says in a WebTarget how its
 *	  service talks and what holds of its requests. Here an op and a server's
 *	  answers are made of the input, and it is checked what holds of every
 *	  conversation whatever the server says: it ends; it asks nobody else, and in
 *	  well-formed requests; it makes nothing visible before size and SHA-256 are
 *	  written down; it says why it failed; what it lists has real paths in the
 *	  folder asked for.
 */
#ifndef CLOUDSYNC_FUZZ_WEB_H
#define CLOUDSYNC_FUZZ_WEB_H

#include "cloudsync/http.h"
#include "cloudsync/path.h"
#include "cloudsync/provider.h"
#include "cloudsync/utf8.h"
#include "fuzz.h"
#include "input.h"

#define TEMP ".cloudsync-0123456789abcdef.part"
#define MAX_STEPS 20000
#define MAX_PAGES 10000

/* A service of a provider, and what of it looks as its own do. */
typedef struct WebWay
{
	const CsProvider *provider;
	const CsOption *options;
	const char *version; /* NULL: as the target's */
	const char *session; /* NULL: as the target's */
} WebWay;

typedef struct WebTarget
{
	WebWay ways[8]; /* the input's first byte takes one */
	const char *version;
	const char *session;
	const char *id;			/* NULL: "i1" */
	const char *cursor;		/* lists by it; NULL: it does not */
	const char *checksum;	/* of the body, as checksum_kind says; NULL: none */
	const char *const *headers;
	int n_headers;
	const char *const *words;
	int n_words;
	/* What a healthy server would say. */
	const char *(*healthy)(const CsRequest *request);
	/* What else holds of a request. */
	void (*check)(const CsOp *op, const CsRequest *request, bool recorded);
} WebTarget;

/* The file that includes this one has it. */
static const WebTarget target;

typedef struct Watch
{
	const WebWay *way;
	CsService *service;
	Input *input;
	CsOp op;
	bool recorded; /* size and SHA-256, or they were known */
	bool sent;	   /* content may have arrived */
	CsHeader headers[8];
	CsPut puts[3];
} Watch;

/* Several small files, the first of which may stand there already. */
static void
random_puts(Watch *watch, int flags, int more)
{
	static const char *const paths[] = {"/d/f.txt", "/d/g", "/d/\xC3\xA9"};

	watch->op.size = 10;
	watch->op.puts = watch->puts;
	watch->op.n_puts = 1 + more % (int) lengthof(watch->puts);
	for (int i = 0; i < watch->op.n_puts; i++)
	{
		CsPut *put = &watch->puts[i];

		memset(put, 0, sizeof(*put));
		put->path = paths[i];
		put->size = i == 1 ? 0 : 5;
		memset(put->sha256, 'b', CS_SHA256_LENGTH);
		put->known_version = flags & 1 << i ? watch->way->version : NULL;
		put->overwrite = flags & 8 << i;
		put->has_intended = more & 8 << i;
		put->intended_size = 9;
		memset(put->intended_sha256, 'i', CS_SHA256_LENGTH);
	}
	watch->recorded = true;
}

static void
random_op(Watch *watch)
{
	static const int64 sizes[] = {5,		0,	9, -1, 1024 * 1024 + 1,
								  40000000, -1, 5};
	CsOp *op = &watch->op;
	int kind = byte(watch->input);
	int flags = byte(watch->input);
	int more = byte(watch->input);

	memset(op, 0, sizeof(*op));
	op->kind = kind % (CS_OP_WATCH + 1);
	if (op->kind == CS_OP_TOKEN ||
		(op->kind == CS_OP_WATCH && !watch->way->provider->watches) ||
		(op->kind == CS_OP_PUT_MANY && watch->way->provider->put_many == 0))
		op->kind = CS_OP_PUT;
	op->path = kind & 0x80	 ? "/"
			   : kind & 0x40 ? "/d/a b#?%\xC3\xA9.txt"
							 : "/d/f.txt";
	op->to_path = flags & 1 ? "/x/y/f.txt" : "/d/g";
	op->recursive = flags & 2;
	op->visible = flags & 2;
	op->temp_name = TEMP;
	op->size = sizes[more & 7];
	op->overwrite = flags & 8;
	op->known_version = flags & 16 ? watch->way->version : NULL;
	if (flags & 32)
		op->id = target.id != NULL ? target.id : "i1";
	op->has_intended = flags & 64;
	op->intended_size = 9;
	memset(op->intended_sha256, 'i', CS_SHA256_LENGTH);
	op->expect_version = flags & 128 ? watch->way->version : NULL;
	op->has_sha256 = (more & 8) && op->size >= 0;
	memset(op->sha256, 'b', CS_SHA256_LENGTH);
	op->fresh_folder = more & 16;
	op->session = more & 32 ? watch->way->session : NULL;
	if (target.cursor != NULL)
	{
		op->follow = more & 64;
		op->cursor = op->follow && more & 128 ? target.cursor : NULL;
		op->wait_s = flags;
	}
	op->checksum = op->has_sha256 && more & 128 ? target.checksum : NULL;
	watch->recorded = op->has_sha256;
	if (op->kind == CS_OP_PUT_MANY)
		random_puts(watch, flags, more);
}

static CsFailure lost_failure = {CS_FAIL_RETRY_LATER, 0, "no answer came", ""};
static CsFailure body_failure = {CS_FAIL_CHANGED, 0, "the value changed", ""};

static void
random_headers(Watch *watch, CsResponse *answer)
{
	int n = byte(watch->input) % 6;
	int len;

	for (int i = 0; i < n; i++)
	{
		watch->headers[i].name =
			target.headers[byte(watch->input) % target.n_headers];
		watch->headers[i].value =
			text_of(watch->input, target.words, target.n_words, &len);
	}
	answer->headers = watch->headers;
	answer->n_headers = n;
}

/* Hashes of the body that was sent, of the intended one, or of another. */
static void
random_hashes(Watch *watch, const CsRequest *request, CsResponse *answer)
{
	int b = byte(watch->input);
	int64 all = watch->op.size >= 0 ? watch->op.size : 17000000;
	int64 rest = Max(all - request->from, 0);

	if (request->kind == CS_REQ_HASH_BODY || request->send == CS_SEND_BODY)
		answer->size = request->length >= 0 ? Min(request->length, rest) : rest;
	else
		answer->size = b & 0x30 ? (b >> 4 & 3) * 3 : all;
	if (b == 0xf7)
		answer->size = 1; /* the value is shorter than it was */
	answer->has_sha256 = (b & 7) != 7;
	memset(answer->sha256,
		   (b & 7) == 1	  ? 'i'
		   : (b & 7) == 2 ? 'o'
						  : 'b',
		   CS_SHA256_LENGTH);
	if ((b & 7) != 6)
		answer->checksum = target.checksum;
	memset(answer->part_sha256, 'b', CS_SHA256_LENGTH);
	memset(answer->md5, b & 8 ? 0xaa : 0xbb, sizeof(answer->md5));
}

/* The text of an answer, healthy as often as not; its status too. */
static char *
random_text(Watch *watch, const CsRequest *request, int *len)
{
	char *text;

	if (byte(watch->input) & 1)
		return text_of(watch->input, target.words,
					   target.n_words, len);
	text = pstrdup(target.healthy(request));
	*len = (int) strlen(text);
	return text;
}

static int
random_status(int b, const CsRequest *request)
{
	static const int statuses[] = {200, 201, 204, 206, 207, 301, 302, 304,
								   400, 401, 403, 404, 404, 405, 409, 412,
								   413, 416, 423, 429, 500, 501, 502, 503,
								   507, 199, 999, 404, 404, 412};

	if (b & 0x20)
		return request->body_status > 0 ? request->body_status : 200;
	return statuses[b % 32 - 2];
}

static void
random_answer(Watch *watch, const CsRequest *request, CsResponse *answer)
{
	int b = exhausted(watch->input) ? 0 : byte(watch->input);
	int len = 0;

	memset(answer, 0, sizeof(*answer));
	answer->retry_after_ms = b & 0x80 ? 7000 : -1;
	answer->clock = INT64CONST(1763800000000000);
	answer->sent = true;
	random_hashes(watch, request, answer);
	if (request->kind == CS_REQ_HASH_BODY)
	{
		if (b % 32 == 31)
		{
			answer->error = ECANCELED;
			answer->body_failure = &body_failure;
		}
		return;
	}
	random_headers(watch, answer);
	if (b % 32 < 1)
	{
		answer->error = EIO;
		answer->failure = &lost_failure;
		answer->sent = !(b & 0x40);
		return;
	}
	if (b % 32 == 1)
	{
		answer->error = ECANCELED;
		answer->body_failure = &body_failure;
		return;
	}
	answer->status = random_status(b, request);
	if (request->into != CS_INTO_BODY || answer->status != request->body_status)
		answer->text = random_text(watch, request, &len);
	answer->text_len = len;
}

static bool
is_printable(const char *text)
{
	for (; *text != '\0'; text++)
	{
		if ((unsigned char) *text < 0x21 || (unsigned char) *text > 0x7e)
			return false;
	}
	return true;
}

static bool
is_own(const CsService *service, const char *url)
{
	bool own = cs_url_same_origin(url, service->url);

	for (int i = 0; i < (int) lengthof(service->more_urls); i++)
		own = own || (service->more_urls[i] != NULL &&
					  cs_url_same_origin(url, service->more_urls[i]));
	return own;
}

static void
check_request(Watch *watch, const CsRequest *request)
{
	const CsOp *op = &watch->op;

	MUST(request->kind == CS_REQ_HTTP || request->kind == CS_REQ_HASH_BODY);
	if (request->kind == CS_REQ_HASH_BODY || request->send == CS_SEND_BODY)
	{
		MUST(op->kind == CS_OP_PUT || op->kind == CS_OP_PUT_MANY);
		MUST(request->from >= 0 && (op->kind == CS_OP_PUT_MANY ||
									   op->size < 0 ||
									   request->from <= op->size));
	}
	if (request->kind == CS_REQ_HASH_BODY)
		return;
	MUST(request->method != NULL && is_printable(request->method));
	MUST(is_printable(request->url));
	MUST(request->anonymous || is_own(watch->service, request->url));
	for (int i = 0; request->headers[i].name != NULL; i++)
	{
		MUST(i < CS_REQUEST_HEADERS - 1);
		MUST(is_printable(request->headers[i].name));
		MUST(strpbrk(request->headers[i].value, "\r\n") == NULL);
		MUST(pg_strcasecmp(request->headers[i].name, "authorization") != 0);
	}
	MUST(request->into != CS_INTO_BODY || op->kind == CS_OP_GET);
	MUST(request->into != CS_INTO_TAKE ||
		 watch->way->provider->take != NULL);
	target.check(op, request, watch->recorded);
}

static void
check_entry(const Watch *watch, const CsEntry *entry)
{
	const char *why = NULL;
	char *normal;

	/* a change of the account's feed is known by its id, and by its name */
	if (watch->op.cursor != NULL && watch->way->provider->feed_of_account)
	{
		MUST(entry->id != NULL);
		MUST(entry->gone || entry->name != NULL);
		return;
	}
	if (entry->gone)
	{
		MUST(watch->op.follow && (entry->id != NULL || entry->path != NULL));
		return;
	}
	MUST(entry->path != NULL && entry->name != NULL);
	MUST(cs_utf8_valid(entry->path));
	MUST(entry->size >= -1 && entry->modified >= 0);
	if (entry->refused != NULL)
		return;
	normal = cs_path_normalize(entry->path, CS_PATH_CONTROLS, &why);
	MUST(normal != NULL && strcmp(normal, entry->path) == 0);
	MUST(strcmp(entry->path, watch->op.path) != 0);
	/* what goes by its id may have been moved */
	MUST(cs_path_below(entry->path, watch->op.path) != NULL ||
		 (watch->op.id != NULL && target.id != NULL));
	MUST(strcmp(strrchr(entry->path, '/') + 1, entry->name) == 0);
	MUST(entry->kind != CS_ENTRY_FILE || entry->version != NULL);
	pfree(normal);
}

static void
check_page(const Watch *watch, const CsResult *result)
{
	MUST(watch->op.kind == CS_OP_LIST && result->n_entries > 0);
	for (int i = 0; i < result->n_entries; i++)
		check_entry(watch, &result->entries[i]);
}

static void
check_failure(const CsFailure *failure)
{
	MUST(failure->failure_class > CS_FAIL_NONE &&
		 failure->failure_class <= CS_FAIL_BROKEN);
	MUST(failure->message[0] != '\0');
	MUST(cs_utf8_valid(failure->message));
	MUST(cs_utf8_valid(failure->detail));
}

/* Each of many files is there, or it is said why not. */
static void
check_puts(const Watch *watch, const CsResult *result)
{
	MUST(result->puts != NULL);
	for (int i = 0; i < watch->op.n_puts; i++)
	{
		const CsPutResult *put = &result->puts[i];

		if (put->ok)
			MUST(put->entry.path != NULL && put->entry.version != NULL);
		else
			check_failure(&put->failure);
	}
}

static void
check_done(const Watch *watch, const CsResult *result)
{
	if (watch->op.kind == CS_OP_PUT_MANY)
		check_puts(watch, result);
	MUST(watch->op.kind != CS_OP_PUT || watch->sent || result->adopted);
	MUST(watch->op.kind != CS_OP_GET || result->size >= 0);
	MUST(watch->op.kind != CS_OP_STAT || result->entry.path != NULL);
}

/* Gives an answer's text to take(), in pieces. True: that was the end. */
static bool
give_text(Watch *watch, CsConversation *c, CsResponse *answer, CsResult *result)
{
	int64 piece = 1 + byte(watch->input) * 3;

	for (int64 at = 0; at < answer->text_len; at += piece)
	{
		CsStep step = watch->way->provider->take(
			c, answer->text + at, Min(piece, answer->text_len - at), result);

		if (step == CS_STEP_PAGE)
			check_page(watch, result);
		else if (step == CS_STEP_FAILED)
		{
			check_failure(&result->failure);
			return true;
		}
		else
			MUST(step == CS_STEP_REQUEST);
	}
	answer->text = NULL;
	answer->text_len = 0;
	return false;
}

/* One step; false: it was the last. */
static bool
take_step(Watch *watch, CsConversation *c, const CsResponse **given,
		  CsResponse *answer)
{
	CsRequest request;
	CsResult result;
	CsStep step = watch->way->provider->next(c, *given, &request, &result);

	*given = NULL;
	switch (step)
	{
		case CS_STEP_REQUEST:
			check_request(watch, &request);
			random_answer(watch, &request, answer);
			watch->sent |= request.send != CS_SEND_NOTHING && answer->sent;
			*given = answer;
			return request.kind == CS_REQ_HASH_BODY ||
				   request.into != CS_INTO_TAKE ||
				   answer->status != request.body_status ||
				   !give_text(watch, c, answer, &result);
		case CS_STEP_CHECKPOINT:
			MUST(watch->op.kind == CS_OP_PUT || watch->op.kind == CS_OP_MKDIR ||
				 watch->op.kind == CS_OP_PUT_MANY);
			watch->recorded |= result.size >= 0;
			return true;
		case CS_STEP_PAGE:
			check_page(watch, &result);
			return true;
		case CS_STEP_DONE:
			check_done(watch, &result);
			return false;
		default:
			MUST(step == CS_STEP_FAILED);
			check_failure(&result.failure);
			return false;
	}
}

static void
fuzz_web(const WebWay *way, const uint8_t *data, size_t size)
{
	Input input = {data, size, 0};
	Watch watch = {.way = way, .input = &input};
	CsFailure failure;
	CsConversation *c;
	CsResponse answer;
	const CsResponse *given = NULL;
	int steps = 0;

	watch.service = way->provider->open(way->options, &failure);
	MUST(watch.service != NULL);
	random_op(&watch);
	c = way->provider->begin(watch.service, &watch.op);
	while (take_step(&watch, c, &given, &answer))
		MUST(++steps < MAX_STEPS);
	pfree(watch.service);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int n_ways = 0;
	WebWay way;

	if (size == 0)
		return 0;
	while (n_ways < (int) lengthof(target.ways) &&
		   target.ways[n_ways].provider != NULL)
		n_ways++;
	way = target.ways[data[0] % n_ways];
	if (way.version == NULL)
		way.version = target.version;
	if (way.session == NULL)
		way.session = target.session;
	fuzz_web(&way, data + 1, size - 1);
	return 0;
}

#endif
