/* sources: src/transfer/[ehw]*.c src/transfer/pace.c src/base/[a-z]*.c */
/*
 * Requests over HTTP against a server that misbehaves on demand: contents go
 * both ways whole and hashed, faults are told apart and end in time.
 */
#include "postgres_fe.h"

#include "http_drive.h"

/* ---- what goes well ---- */

static void
test_plain(void)
{
	get("/seen");
	tap_ok(answer->status == 200 && answer->error == 0 && answer->sent,
		   "an answer comes");
	tap_ok(strstr(answer->text, "GET /seen HTTP/1.1") != NULL,
		   "with its text");
	tap_ok(answer->n_headers == 3 &&
			   strcmp(answer->headers[1].name, "etag") == 0 &&
			   strcmp(answer->headers[1].value, "\"one\"") == 0,
		   "and its headers, names in lower case");
	tap_ok(strcmp(answer->headers[2].value, "??") == 0,
		   "what is no text in a header is made harmless");
	tap_ok(strcasestr(answer->text, "\r\nAccept-Encoding:") == NULL,
		   "no compression is asked for");
	get("/gzip");
	tap_ok(answer->status == 200 && answer->text_len == 10 &&
			   memcmp(answer->text, "\x1f\x8b no gzip", 10) == 0,
		   "and what is compressed anyway is not inflated");
	get("/redirect");
	tap_ok(answer->status == 302, "a redirect is not followed");
	get("/%2E%2E/a/../b?x=%2F");
	/* newer curls write the digits after a "%" as capitals, as we do */
	tap_ok(strstr(answer->text, "GET /%2E%2E/a/../b?x=%2F ") != NULL,
		   "a path goes out as it stands");
}

static void
test_upload(void)
{
	MemoryBody *memory = new_body(SIZE, 0);
	CsRequest wanted = {.send = CS_SEND_BODY, .length = SIZE,
						.part_sha256 = true, .md5 = true};
	uint8 md5[16];
	unsigned len = 16;

	fill_pattern(memory, SIZE);
	for (int i = 0; i < 3; i++)
	{
		static const char *const paths[] = {"/seen", "/continue", "/digest"};

		open_task(memory);
		request(&wanted, "PUT", paths[i]);
		tap_ok(answer->status == 200 && answer->size == SIZE &&
				   strncmp(answer->text,
						   psprintf("%d %u\n", SIZE,
									sum_of(memory->bytes, SIZE)),
						   18) == 0,
			   "PUT %s: all bytes arrive", paths[i]);
		tap_ok(answer->has_sha256 &&
				   hash_is(answer->sha256, memory->bytes, SIZE) &&
				   hash_is(answer->part_sha256, memory->bytes, SIZE),
			   "PUT %s: hashed in passing", paths[i]);
	}
	EVP_Digest(memory->bytes, SIZE, md5, &len, EVP_md5(), NULL);
	tap_ok(memcmp(md5, answer->md5, 16) == 0, "and their MD5 is known");
	tap_ok(task.done == SIZE, "progress is told");
}

/* Bytes that are hashed and not sent, and bodies in parts. */
static void
test_hashing(void)
{
	MemoryBody *memory = new_body(SIZE, 0);
	CsRequest wanted = {.send = CS_SEND_BODY, .length = SIZE,
						.part_sha256 = true, .md5 = true};
	CsRequest hashing = {.kind = CS_REQ_HASH_BODY, .from = 0, .length = 1000};
	CsHttpTask *tasks[] = {&task};

	fill_pattern(memory, SIZE);
	open_task(memory);
	cs_http_begin(&task, &hashing);
	drive(tasks, 1);
	tap_ok(answer->error == 0 && answer->size == 1000 &&
			   hash_is(answer->sha256, memory->bytes, 1000),
		   "the first bytes of a body are hashed without being sent");
	request(&wanted, "PUT", "/seen");
	tap_ok(answer->has_sha256 && hash_is(answer->sha256, memory->bytes, SIZE),
		   "and are not hashed again when they are sent");
	open_task(memory);
	hashing.length = SIZE + 7;
	cs_http_begin(&task, &hashing);
	drive(tasks, 1);
	tap_ok(answer->error == 0 && answer->size == SIZE && task.hashed == SIZE,
		   "what ends before the last byte asked for is hashed to its end");
	hashing.length = 1000;
	open_task(memory);
	cs_http_begin(&task, &hashing);
	drive(tasks, 1);
	wanted.from = 1000;
	wanted.length = 500000;
	request(&wanted, "PUT", "/seen");
	tap_ok(answer->has_sha256 && answer->size == 500000 &&
			   hash_is(answer->sha256, memory->bytes, 501000) &&
			   hash_is(answer->part_sha256, memory->bytes + 1000, 500000),
		   "a part goes on where that ended");
	wanted.from = 600000;
	request(&wanted, "PUT", "/seen");
	tap_ok(answer->status == 200 && !answer->has_sha256,
		   "there is no hash over a gap");
}

static void
test_lengths(void)
{
	MemoryBody *memory = new_body(SIZE, 0);
	CsRequest wanted = {.send = CS_SEND_BODY};

	fill_pattern(memory, SIZE);
	wanted.length = -1;
	open_task(memory);
	request(&wanted, "PUT", "/seen");
	tap_ok(answer->status == 200 && answer->size == SIZE && strcasestr(answer->text, "chunked") != NULL,
		   "a body of unknown length arrives in chunks");
	wanted.length = 0;
	open_task(new_body(0, 0));
	request(&wanted, "PUT", "/seen");
	tap_ok(answer->status == 200 && strncmp(answer->text, "0 ", 2) == 0 &&
			   strcasestr(answer->text, "Content-Length: 0") != NULL &&
			   answer->has_sha256 && hash_is(answer->sha256, "", 0),
		   "an empty body arrives");
	wanted.length = SIZE + 1;
	open_task(memory);
	request(&wanted, "PUT", "/seen");
	tap_ok(answer->error == ECANCELED && answer->body_failure != NULL &&
			   answer->body_failure->failure_class == CS_FAIL_CHANGED,
		   "a body that is shorter than announced has changed");
	memory->fail_at = 2000000;
	wanted.length = SIZE;
	open_task(memory);
	request(&wanted, "PUT", "/seen");
	tap_ok(answer->error == ECANCELED && answer->sent &&
			   strcmp(answer->body_failure->message, "the value changed") == 0,
		   "a body that fails on the way ends its request");
}

static void
test_download(void)
{
	MemoryBody *wanted_bytes = new_body(SIZE, 0);
	MemoryBody *memory = new_body(0, 0);
	CsRequest wanted = {.into = CS_INTO_BODY, .body_status = 200};
	CsRequest rest = {.into = CS_INTO_BODY,
					  .body_status = 206,
					  .append = true,
					  .headers = {{"Range", NULL}}};

	fill_pattern(wanted_bytes, SIZE);
	open_task(memory);
	request(&wanted, "GET", psprintf("/content/%d", SIZE));
	tap_ok(answer->status == 200 && answer->size == SIZE &&
			   memory->size == SIZE &&
			   memcmp(memory->bytes, wanted_bytes->bytes, SIZE) == 0 &&
			   hash_is(answer->sha256, memory->bytes, SIZE),
		   "GET: all bytes arrive and are hashed");

	/* broken off, then resumed */
	for (int i = 0; i < 2; i++)
	{
		memory->size = 0;
		open_task(memory);
		request(&wanted, "GET",
				psprintf("/%s/%d", i == 0 ? "short" : "reset", SIZE));
		fails(CS_FAIL_RETRY_LATER, i == 0 ? "ended before" : "broke off",
			  i == 0 ? "an answer that is too short"
					 : "a connection reset in the middle");
		tap_ok(answer->size == memory->size && answer->sent &&
				   memory->size <= SIZE / 2,
			   "what came until then was handed on");
		rest.headers[0].value =
			psprintf("bytes=%lld-", (long long) memory->size);
		request(&rest, "GET", psprintf("/content/%d", SIZE));
		tap_ok(answer->status == 206 && memory->size == SIZE &&
				   memcmp(memory->bytes, wanted_bytes->bytes, SIZE) == 0 &&
				   answer->has_sha256 &&
				   hash_is(answer->sha256, memory->bytes, SIZE),
			   "and a range goes on from there");
	}
	request(&wanted, "GET", psprintf("/content/%d", 1000));
	tap_ok(answer->status == 200 && memory->size == 1000 &&
			   hash_is(answer->sha256, memory->bytes, 1000),
		   "an answer that begins anew begins the body anew");
	request(&wanted, "GET", "/redirect");
	tap_ok(answer->status == 302 && strcmp(answer->text, "elsewhere") == 0 &&
			   memory->size == 1000,
		   "the text of another status is no content");
	memory->size = 0;
	memory->fail_at = 1000000;
	open_task(memory);
	request(&wanted, "GET", psprintf("/content/%d", SIZE));
	tap_ok(answer->error == ECANCELED &&
			   answer->body_failure->failure_class == CS_FAIL_QUOTA,
		   "a body that cannot be written ends its request");
}

static void
test_take(void)
{
	CsRequest wanted = {.into = CS_INTO_TAKE, .body_status = 200};
	MemoryBody *bytes = new_body(SIZE, 0);

	fill_pattern(bytes, SIZE);
	take_says = CS_STEP_PAGE;
	open_task(NULL);
	request(&wanted, "GET", psprintf("/content/%d", SIZE));
	tap_ok(answer->status == 200 && pages >= SIZE / 65536 &&
			   memcmp(taken, bytes->bytes, sizeof(taken)) == 0,
		   "content is taken in pieces, with a page after each");
	take_says = CS_STEP_FAILED;
	open_task(NULL);
	tap_ok(request(&wanted, "GET", "/endless") == CS_HTTP_STOPPED,
		   "who takes can have enough");
	take_says = CS_STEP_REQUEST;
	get("/seen");
	tap_ok(answer->status == 200, "and the next request goes well");
}

/* ---- what does not ---- */

static void
test_faults(void)
{
	MemoryBody *memory = new_body(SIZE, 'x');
	CsRequest put = {.send = CS_SEND_BODY, .length = SIZE};

	get("/endless-headers");
	fails(CS_FAIL_BROKEN, "64 KiB", "endless headers");
	get("/many-headers");
	fails(CS_FAIL_BROKEN, "100 headers", "too many headers");
	get("/endless");
	fails(CS_FAIL_BROKEN, "longer than it may be", "an endless answer");
	get("/endless-failure");
	tap_ok(answer->status == 500 && answer->text_len == CS_HTTP_TEXT_CUT,
		   "of an endless failure the beginning is kept");
	get("/nonsense");
	fails(CS_FAIL_RETRY_LATER, "", "an answer that is none");
	get("/chunks");
	fails(CS_FAIL_RETRY_LATER, "broke off", "chunks that are none");
	get("/hang-up");
	fails(CS_FAIL_RETRY_LATER, "without an answer", "no answer at all");
	tap_ok(answer->sent, "but the request may have arrived");
	open_task(memory);
	request(&put, "PUT", "/reset-early");
	fails(CS_FAIL_RETRY_LATER, "", "a reset in the middle of the request");
	open_task(memory);
	request(&put, "PUT", "/refuse-early");
	tap_ok(answer->status == 413, "an answer before the end of the request");
}

static void
test_times(void)
{
	settings.response_timeout = 300;
	get("/silent");
	fails(CS_FAIL_RETRY_LATER, "did not answer within 0.3 s", "silence");
	tap_ok(answer->error == ETIMEDOUT &&
			   strstr(answer->failure->detail, "first byte") != NULL,
		   "the failure says where the time went");
	settings.response_timeout = 5000;
	settings.low_speed_time = 300;
	get("/drip");
	fails(CS_FAIL_RETRY_LATER, "slower than 1 KiB/s", "a slow drip");
	get("/stall");
	fails(CS_FAIL_RETRY_LATER, "slower than 1 KiB/s", "a stall");
	settings.low_speed_time = 5000;
	settings.transfer_timeout = 300;
	get("/drip");
	fails(CS_FAIL_RETRY_LATER, "transfer_timeout", "the time for all is up");
	settings.transfer_timeout = 60000;
}

/* An answer that the service holds back, as it said it would. */
static void
test_held(void)
{
	CsRequest held = {.held_ms = 5000};

	settings.response_timeout = settings.low_speed_time = 200;
	settings.transfer_timeout = 200;
	open_task(NULL);
	request(&held, "GET", "/held");
	tap_ok(answer->status == 200 && strcmp(answer->text, "told") == 0,
		   "it has its own limit of time alone");
	held.held_ms = 300;
	open_task(NULL);
	request(&held, "GET", "/silent");
	fails(CS_FAIL_RETRY_LATER, "held its answer back for longer than 0.3 s",
		  "which is kept to");
	settings.response_timeout = settings.low_speed_time = 5000;
	settings.transfer_timeout = 60000;
}

static void
test_pauses(void)
{
	get("/never");
	tap_ok(answer->status == 503 && answer->retry_after_ms == 3600 * 1000,
		   "an absurd pause is cut");
	endpoint->http->pace.not_before = 0;
	get("/whenever");
	tap_ok(answer->status == 503 && answer->retry_after_ms == -1,
		   "a nonsensical one is none");
	get("/later");
	tap_ok(answer->status == 429 && answer->retry_after_ms == 1000 &&
			   endpoint->http->pace.not_before > cs_http_now() &&
			   endpoint->http->pace.limit == 1,
		   "a pause that is asked for is made");
	get("/seen");
	tap_ok(answer->status == 200 &&
			   endpoint->http->pace.not_before <= cs_http_now(),
		   "the next request comes after it");
	memset(&endpoint->http->pace, 0, sizeof(CsPace));
}

/* ---- many at once ---- */

static void
test_many(void)
{
	enum { MANY = 24 };
	static CsHttpTask many[MANY];
	CsHttpTask *tasks[MANY];
	MemoryBody *bodies[MANY];
	CsRequest wanted = {.kind = CS_REQ_HTTP,
						.method = "GET",
						.url = psprintf("%s/content/%d", origin, SIZE),
						.into = CS_INTO_BODY,
						.body_status = 200};
	int good = 0;

	cs_http_close(&task);
	for (int i = 0; i < MANY; i++)
	{
		bodies[i] = new_body(0, 0);
		tasks[i] = &many[i];
		cs_http_init(tasks[i], http, endpoint, &bodies[i]->body);
		cs_http_begin(tasks[i], &wanted);
	}
	drive(tasks, MANY);
	for (int i = 0; i < MANY; i++)
	{
		good += many[i].response.status == 200 && bodies[i]->size == SIZE &&
				hash_is(many[i].response.sha256, bodies[i]->bytes, SIZE);
		/* and again, given up at once, in whatever state */
		cs_http_begin(tasks[i], &wanted);
		for (int k = 0; k < i % 6; k++)
		{
			(void) cs_http_slice(tasks[i]);
			cs_http_turn(http);
		}
		cs_http_close(tasks[i]);
	}
	tap_ok(good == MANY, "many at once arrive whole");
	tap_ok(dlist_is_empty(&http->ready) && dlist_is_empty(&http->flying) &&
			   dlist_is_empty(&http->sleeping) &&
			   endpoint->http->pace.running == 0,
		   "nothing is left of those that were given up");
}

/* Hashes that the owner knows are taken from it, for the whole body alone. */
static void
test_known_hashes(void)
{
	static const uint8 known[CS_SHA256_LENGTH] = {1, 2, 3};
	MemoryBody *memory = new_body(SIZE, 'x');
	CsRequest whole = {.send = CS_SEND_BODY, .length = SIZE};
	CsRequest part = {.send = CS_SEND_BODY, .length = 1000};

	memory->body.sha256 = known;
	memory->body.checksum = "known";
	memory->body.size = SIZE;
	open_task(memory);
	request(&whole, "PUT", "/seen");
	tap_ok(answer->status == 200 && answer->has_sha256 &&
			   memcmp(answer->sha256, known, CS_SHA256_LENGTH) == 0 &&
			   strcmp(answer->checksum, "known") == 0,
		   "what the owner knows of a body is not found out again");
	open_task(memory);
	request(&part, "PUT", "/seen");
	tap_ok(answer->has_sha256 && hash_is(answer->sha256, memory->bytes, 1000),
		   "but of a part of it it is");
	memory->fail_at = 0;
	open_task(memory);
	request(&whole, "PUT", "/seen");
	tap_ok(answer->body_failure != NULL && !answer->has_sha256,
		   "of bytes that could not be read nothing is said");
}

/* A server that was started again has closed every idle connection. */
static void
test_closed_while_idle(void)
{
	enum { IDLE = 8 }; /* more than libcurl tries */
	static CsHttpTask many[IDLE];
	CsHttpTask *tasks[IDLE];
	CsRequest wanted = {.kind = CS_REQ_HTTP,
						.method = "GET",
						.url = psprintf("%s/content/%d", origin, SIZE),
						.into = CS_INTO_TAKE,
						.body_status = 200};
	CsRequest put = {.send = CS_SEND_BODY, .length = SIZE};
	MemoryBody *memory = new_body(SIZE, 'x');

	endpoint->http->digest = false; /* which would ask without content first */
	for (int i = 0; i < 2; i++)
	{
		cs_http_close(&task);
		for (int k = 0; k < IDLE; k++)
		{
			tasks[k] = &many[k];
			cs_http_init(tasks[k], http, endpoint, NULL);
			tasks[k]->take = take;
			cs_http_begin(tasks[k], &wanted);
		}
		drive(tasks, IDLE);
		for (int k = 0; k < IDLE; k++)
			cs_http_close(tasks[k]);
		open_task(i == 0 ? NULL : memory);
		if (i == 0)
			request(&(CsRequest) {0}, "MKCOL", "/on-fresh");
		else
			request(&put, "PUT", "/on-fresh");
		tap_ok(answer->status == 200,
			   "%s: idle connections that were closed fail nothing",
			   i == 0 ? "MKCOL" : "PUT");
	}
	tap_ok(answer->size == SIZE && answer->resent &&
			   hash_is(answer->sha256, memory->bytes, SIZE),
		   "the content went out again, from its beginning");
}

int
main(void)
{
	begin_server();
	test_plain();
	test_upload();
	test_hashing();
	test_lengths();
	test_download();
	test_take();
	test_faults();
	test_times();
	test_held();
	test_pauses();
	test_many();
	test_known_hashes();
	test_closed_while_idle();
	return end_server();
}
