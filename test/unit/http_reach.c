/* sources: src/transfer/[ehw]*.c src/transfer/pace.c src/base/[a-z]*.c */
/*
 * Where requests over HTTP may go, and who with: credentials and connections go
 * nowhere else, and no text shows a secret.
 */
#include "postgres_fe.h"

#include "http_drive.h"

static void
test_credentials(void)
{
	CsRequest wanted = {.anonymous = true};
	const char *elsewhere = psprintf("http://127.0.0.2:%d/seen", port);

	get("/digest");
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

/* A name that may be connected to, but whose address may not. */
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
	begin_server();
	test_credentials();
	test_echo();
	test_bearer();
	test_token();
	test_reach();
	return end_server();
}
