/* sources: src/transfer/[ehw]*.c src/transfer/pace.c src/base/[a-z]*.c */
/*
 * Requests over HTTP against a server that misbehaves on demand: contents go
 * both ways whole and hashed, faults are told apart and end in time, and
 * credentials and connections go nowhere else.
 */
#include "postgres_fe.h"

#include <sys/epoll.h>

#include "../../src/transfer/file.h"
#include "../../src/transfer/http.h"
#include "http_server.h"
#include "memory_body.h"
#include "tap.h"

#define SIZE (3 * 1024 * 1024 + 17)

static int port;
static int epoll_fd;
static CsHttp *http;
static CsHttpSettings settings = {"http://127.0.0.1:*", "", "", 5000,
								  5000, 5000, 60000};
static CsService service;
static CsEndpoint *endpoint;
static char origin[64];

/* ---- carrying out requests ---- */

static char taken[65536]; /* by take() */
static size_t taken_len;
static int pages;
static CsStep take_says;

static CsStep
take(void *owner, const char *buf, int64 len)
{
	size_t n = Min((size_t) len, sizeof(taken) - taken_len);

	memcpy(taken + taken_len, buf, n);
	taken_len += n;
	return take_says;
}

static CsEndpoint *
open_endpoint(CsAuth auth, const char *secret, const char *purpose)
{
	CsHttpAccess access = {.purpose = purpose,
						   .auth = auth,
						   .user = "alice",
						   .secret = secret};
	CsFailure failure;

	return cs_endpoint_open_place(&service, &access, settings.allowed,
								  &failure);
}

/* Drives tasks until all of them came to something; what, of the last. */
static CsHttpSlice
drive(CsHttpTask **tasks, int n)
{
	CsHttpSlice slice = CS_HTTP_WAIT;
	int running = n;

	cs_http_set(http, &settings);
	for (int i = 0; i < n; i++)
		cs_http_ready(tasks[i]);
	while (running > 0)
	{
		CsHttpTask *task;
		struct epoll_event event;

		while ((task = cs_http_take_ready(http)) != NULL)
		{
			slice = cs_http_slice(task);
			if (slice == CS_HTTP_MORE)
				cs_http_ready(task);
			else if (slice == CS_HTTP_PAGE)
			{
				pages++;
				cs_http_ready(task);
			}
			else if (slice != CS_HTTP_WAIT)
				running--;
		}
		cs_http_turn(http);
		if (!cs_http_arm(http) && running > 0)
			epoll_wait(epoll_fd, &event, 1, -1);
	}
	return slice;
}

static CsHttpTask task;
static const CsResponse *answer = &task.response;

static void
open_task(MemoryBody *memory)
{
	cs_http_close(&task);
	cs_http_init(&task, http, endpoint, memory != NULL ? &memory->body : NULL);
	task.take = take;
	task.checksum_kind = CS_CHECKSUM_BLOCKS;
}

/* One request of the task at hand. */
static CsHttpSlice
request(const CsRequest *wanted, const char *method, const char *path)
{
	CsRequest copy = *wanted;
	CsHttpTask *tasks[] = {&task};

	copy.kind = CS_REQ_HTTP;
	copy.method = method;
	copy.url = path[0] == '/' ? psprintf("%s%s", origin, path) : path;
	cs_http_begin(&task, &copy);
	return drive(tasks, 1);
}

static CsHttpSlice
get(const char *path)
{
	CsRequest wanted = {0};

	open_task(NULL);
	return request(&wanted, "GET", path);
}

static bool
fails(CsFailureClass failure_class, const char *text, const char *what)
{
	const CsFailure *failure = answer->failure;
	bool good = answer->status == 0 && answer->error != 0 && failure != NULL &&
				failure->failure_class == failure_class &&
				strstr(failure->message, text) != NULL;

	tap_ok(good, "%s", what);
	if (!good)
		printf("# status %d, class %d: %s: %s\n", answer->status,
			   failure ? failure->failure_class : -1,
			   failure ? failure->message : "", failure ? failure->detail : "");
	return good;
}

/* The bytes that the server sends as content. */
static void
fill_pattern(MemoryBody *memory, int64 size)
{
	for (int64 i = 0; i < size; i++)
		memory->bytes[i] = (char) (i * 31 >> 3);
	memory->size = size;
}

static unsigned
sum_of(const char *bytes, int64 len)
{
	unsigned sum = 0;

	for (int64 i = 0; i < len; i++)
		sum = sum * 31 + (unsigned char) bytes[i];
	return sum;
}

/* The answer's SHA-256 has its checksum of the provider's kind beside it. */
static bool
hash_is(const uint8 *hash, const char *bytes, int64 len)
{
	uint8 wanted[CS_SHA256_LENGTH];

	cs_sha256(bytes, len, wanted);
	if (hash == answer->sha256 &&
		(answer->checksum == NULL ||
		 strcmp(answer->checksum,
				cs_checksum(CS_CHECKSUM_BLOCKS, bytes, len)) != 0))
		return false;
	return memcmp(hash, wanted, sizeof(wanted)) == 0;
}

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
	get("/%2e%2e/a/../b?x=%2F");
	tap_ok(strstr(answer->text, "GET /%2e%2e/a/../b?x=%2F ") != NULL,
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

/* ---- where it may go, and who with ---- */

static void
test_credentials(void)
{
	CsRequest wanted = {.anonymous = true};
	const char *elsewhere = psprintf("http://127.0.0.2:%d/seen", port);

	get("/seen");
	tap_ok(strstr(answer->text, "Authorization: Digest") != NULL,
		   "an endpoint that asked for Digest gets it at once");
	endpoint->http->digest = false;
	get("/seen");
	tap_ok(strstr(answer->text, "Authorization: Basic YWxpY2U6czNjcmV0") != NULL,
		   "a password is sent with the first request");
	open_task(NULL);
	request(&wanted, "GET", "/seen");
	tap_ok(answer->status == 200 &&
			   strcasestr(answer->text, "Authorization") == NULL,
		   "but not with an anonymous one");
	settings.allowed = "http://127.0.0.1:*, http://127.0.0.2:*";
	get(elsewhere);
	tap_ok(answer->status == 0 || strcasestr(answer->text, "Authorization") == NULL,
		   "nor to another host");
	settings.allowed = "http://127.0.0.1:*";
	get(elsewhere);
	fails(CS_FAIL_UNREACHABLE, "not allowed", "another host is not allowed");
	tap_ok(!answer->sent, "nothing was sent there");
	get("ftp://127.0.0.1/x");
	fails(CS_FAIL_BROKEN, "address", "another scheme");
	get(psprintf("http://bob:pw@127.0.0.1:%d/seen", port));
	fails(CS_FAIL_BROKEN, "address", "a user in the address");
}

static void
test_bearer(void)
{
	CsEndpoint *before = endpoint;

	cs_http_close(&task);
	endpoint = open_endpoint(CS_AUTH_BEARER, "t0ken", "webdav");
	get("/seen");
	tap_ok(strstr(answer->text, "Authorization: Bearer t0ken\r\n") != NULL,
		   "a token is sent");
	cs_http_close(&task);
	cs_endpoint_close(endpoint);
	service.region = "eu-west-3";
	endpoint = open_endpoint(CS_AUTH_SIGV4, "key", "webdav");
	get("/seen");
	tap_ok(strstr(answer->text, "AWS4-HMAC-SHA256 Credential=alice/") != NULL &&
			   strcasestr(answer->text, "x-amz-content-sha256: e3b0c442") != NULL,
		   "a request is signed");
	cs_http_close(&task);
	cs_endpoint_close(endpoint);
	endpoint = before;
}

/* A name that may be connected to, but whose address may not. */
/* Drives the task until it came to something (true), or waits for a token. */
static bool
drive_to_token(void)
{
	cs_http_set(http, &settings);
	cs_http_ready(&task);
	while (!cs_endpoint_wants_token(endpoint))
	{
		CsHttpTask *ready;
		struct epoll_event event;

		while ((ready = cs_http_take_ready(http)) != NULL)
		{
			CsHttpSlice slice = cs_http_slice(ready);

			if (slice == CS_HTTP_MORE)
				cs_http_ready(ready);
			else if (slice != CS_HTTP_WAIT)
				return true;
		}
		cs_http_turn(http);
		if (!cs_http_arm(http))
			epoll_wait(epoll_fd, &event, 1, 1000);
	}
	return false;
}

static void
begin_upload(MemoryBody *memory, const char *url)
{
	CsRequest wanted = {.kind = CS_REQ_HTTP, .method = "POST", .send = CS_SEND_BODY, .length = SIZE};

	open_task(memory);
	wanted.url = url;
	cs_http_begin(&task, &wanted);
}

/* Requests wait for a token, and for another one when it was refused, once. */
static void
test_token(void)
{
	CsEndpoint *before = endpoint;
	MemoryBody *memory = new_body(SIZE, 0);
	const char *url = psprintf("%s/token", origin);
	CsFailure failure;
	char sums[64];

	fill_pattern(memory, SIZE);
	snprintf(sums, sizeof(sums), "%d %u\n", SIZE, sum_of(memory->bytes, SIZE));
	cs_http_close(&task);
	endpoint = open_endpoint(CS_AUTH_TOKEN, NULL, "webdav");
	begin_upload(memory, url);
	tap_ok(!drive_to_token() && task.launched_at == 0, "nothing is sent without a token");
	cs_endpoint_set_token(endpoint, "t1");
	tap_ok(!cs_endpoint_wants_token(endpoint), "a token ends the wait");
	tap_ok(!drive_to_token(), "one that is refused has it wait for another");
	cs_endpoint_set_token(endpoint, "t2");
	tap_ok(drive_to_token() && answer->status == 200 && strncmp(answer->text, sums, strlen(sums)) == 0,
		   "then the whole body is sent anew");
	tap_ok(answer->has_sha256 && hash_is(answer->sha256, memory->bytes, SIZE),
		   "and hashed once");
	get("/token");
	tap_ok(answer->status == 200, "the next request has the token at once");
	cs_endpoint_set_token(endpoint, "t3");
	begin_upload(memory, url);
	tap_ok(!drive_to_token(), "a token that is not taken any more is asked for");
	cs_endpoint_set_token(endpoint, "t4");
	tap_ok(drive_to_token() && answer->status == 401, "a second one that is refused is the answer");
	begin_upload(memory, url);
	(void) drive_to_token();
	cs_failure_set(&failure, CS_FAIL_NEEDS_CONSENT, NULL, "nobody consents");
	cs_endpoint_refuse_token(endpoint, &failure);
	(void) drive_to_token();
	fails(CS_FAIL_NEEDS_CONSENT, "nobody", "a token that cannot be had is the failure");
	tap_ok(!cs_endpoint_wants_token(endpoint), "and nothing waits");
	get(psprintf("http://localhost:%d/seen", port));
	fails(CS_FAIL_UNREACHABLE, "not allowed", "elsewhere no token is waited for");
	cs_http_close(&task);
	cs_endpoint_close(endpoint);
	service.more_urls[0] = psprintf("http://127.0.0.2:%d", port);
	settings.allowed = "http://127.0.0.1:*, http://127.0.0.2:*, http://127.0.0.3:*";
	endpoint = open_endpoint(CS_AUTH_TOKEN, "t5", "webdav");
	get(psprintf("http://127.0.0.3:%d/seen", port));
	tap_ok(answer->status == 0 || strstr(answer->text, "t5") == NULL, "a token goes to no other address");
	get(psprintf("http://127.0.0.2:%d/seen", port));
	tap_ok(answer->status == 0 || strstr(answer->text, "Bearer t5") != NULL, "but to the service's others");
	tap_ok(cs_http_is_own(&task), "which are its own");
	settings.allowed = "http://127.0.0.1:*";
	service.more_urls[0] = NULL;
	cs_http_close(&task);
	cs_endpoint_close(endpoint);
	endpoint = before;
}

static void
test_reach(void)
{
	CsEndpoint *before = endpoint;
	const char *by_name = psprintf("http://localhost:%d/seen", port);

	settings.allowed = "http://127.0.0.1:*, http://localhost:*";
	get(by_name);
	tap_ok(answer->status == 200, "a name of an allowed address");
	/* the same connection must not serve where its address is not allowed */
	settings.allowed = "webdav=http://127.0.0.1:*, http://localhost:*";
	cs_http_close(&task);
	endpoint = open_endpoint(CS_AUTH_NONE, NULL, "content");
	tap_ok(endpoint == NULL, "a service that is not allowed is not opened");
	service.url = "http://localhost";
	settings.allowed = "webdav=http://127.0.0.1:*, http://localhost, http://localhost:*";
	endpoint = open_endpoint(CS_AUTH_NONE, NULL, "content");
	get(by_name);
	fails(CS_FAIL_UNREACHABLE, "leads to the address",
		  "a name of an address that is not allowed, though connected to");
	tap_ok(!answer->sent, "nothing was sent there");
	cs_http_close(&task);
	cs_endpoint_close(endpoint);
	endpoint = before;
	service.url = origin;
	settings.allowed = "http://127.0.0.1:*";
	get("http://127.0.0.1:1/");
	fails(CS_FAIL_UNREACHABLE, "no connection", "nobody listens");
	tap_ok(!answer->sent && strstr(answer->failure->detail, "connecting") != NULL,
		   "nothing was sent, and it says so");
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

/* A server that sends our credentials back does not get them told. */
static void
test_echo(void)
{
	CsFailure failure;

	cs_failure_set(&failure, CS_FAIL_FORBIDDEN, "Authorization: Basic YWxpY2U6czNjcmV0 s3cret s3cret",
				   "the server said s3cret");
	cs_http_hide_secrets(endpoint->http, &failure);
	tap_ok(strcmp(failure.message, "the server said ***") == 0, "a secret is hidden in a message");
	tap_ok(strcmp(failure.detail, "Authorization: Basic *** *** ***") == 0,
		   "... and in a detail, also as it travelled");
}

int
main(void)
{
	CsFailure failure;

	setvbuf(stdout, NULL, _IOLBF, 0);
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	port = start_server();
	snprintf(origin, sizeof(origin), "http://127.0.0.1:%d", port);
	service.url = origin;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	http = cs_http_create(epoll_fd, &failure);
	cs_http_set(http, &settings);
	endpoint = open_endpoint(CS_AUTH_PASSWORD, "s3cret", "webdav");
	test_plain();
	test_upload();
	test_hashing();
	test_lengths();
	test_download();
	test_take();
	test_faults();
	test_times();
	test_pauses();
	test_credentials();
	test_echo();
	test_bearer();
	test_token();
	test_reach();
	test_many();
	cs_http_close(&task);
	cs_endpoint_close(endpoint);
	cs_http_destroy(http);
	tap_ok(cs_fd_count() == 0, "no descriptor is open in the end");
	stop_server();
	return tap_done();
}
