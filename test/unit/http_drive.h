/*
 * http_drive.h
 *	  Carries out requests over HTTP as the loop of a worker does, against the
 *	  server of http_server.h: begin_server, then get and request, which answer in
 *	  `answer`, or tasks given to drive; end_server.
 */
#ifndef CLOUDSYNC_HTTP_DRIVE_H
#define CLOUDSYNC_HTTP_DRIVE_H

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

static inline CsStep
take(void *owner, const char *buf, int64 len)
{
	size_t n = Min((size_t) len, sizeof(taken) - taken_len);

	memcpy(taken + taken_len, buf, n);
	taken_len += n;
	return take_says;
}

static inline CsEndpoint *
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
static inline CsHttpSlice
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

static inline void
open_task(MemoryBody *memory)
{
	cs_http_close(&task);
	cs_http_init(&task, http, endpoint, memory != NULL ? &memory->body : NULL);
	task.take = take;
	task.checksum_kind = CS_CHECKSUM_BLOCKS;
}

/* One request of the task at hand. */
static inline CsHttpSlice
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

static inline CsHttpSlice
get(const char *path)
{
	CsRequest wanted = {0};

	open_task(NULL);
	return request(&wanted, "GET", path);
}

static inline bool
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
static inline void
fill_pattern(MemoryBody *memory, int64 size)
{
	for (int64 i = 0; i < size; i++)
		memory->bytes[i] = (char) (i * 31 >> 3);
	memory->size = size;
}

static inline unsigned
sum_of(const char *bytes, int64 len)
{
	unsigned sum = 0;

	for (int64 i = 0; i < len; i++)
		sum = sum * 31 + (unsigned char) bytes[i];
	return sum;
}

/* The answer's SHA-256 has its checksum of the provider's kind beside it. */
static inline bool
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

static inline void
begin_server(void)
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
}

static inline int
end_server(void)
{
	cs_http_close(&task);
	cs_endpoint_close(endpoint);
	cs_http_destroy(http);
	tap_ok(cs_fd_count() == 0, "no descriptor is open in the end");
	stop_server();
	return tap_done();
}

#endif
