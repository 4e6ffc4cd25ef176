/*
 * http_handle.c
 *	  Easy handles of libcurl: made once with what never changes, told of each
 *	  request, and kept by their endpoint, so that a Digest nonce and TLS
 *	  sessions live on. They are never reset, which would lose these: every
 *	  option that a request can set is set for each.
 *
 * Usable in the server and in plain programs.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <openssl/crypto.h>

#include "http.h"

#define IDLE_SECONDS 60L	  /* a connection kept without use */
#define LIFE_SECONDS 600L	  /* and in all: names change their addresses */
#define NAME_SECONDS 30L	  /* an address is remembered */
#define EXPECT_MS 1000L		  /* waited for 100 Continue */
#define RECEIVE_SMALL 65536L  /* curl's own buffers */
#define RECEIVE_LARGE 131072L
#define SEND_SMALL 65536L
#define SEND_LARGE 262144L

/* The handle's option, or out of here with its name. */
#define SET(option, value)                                                     \
	do                                                                         \
	{                                                                          \
		if (curl_easy_setopt(easy, option, value) != CURLE_OK)                 \
			return #option;                                                    \
	} while (0)

void
cs_http_enter(sigset_t *saved)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
}

void
cs_http_leave(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

/* What holds for every request. */
static const char *
set_always(CsHttp *http, CsHttpHandle *handle)
{
	CURL *easy = handle->easy;

	SET(CURLOPT_PRIVATE, handle);
	SET(CURLOPT_ERRORBUFFER, handle->error);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_UNRESTRICTED_AUTH, 0L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_DEFAULT_PROTOCOL, "https");
	SET(CURLOPT_HTTP09_ALLOWED, 0L);
	SET(CURLOPT_PATH_AS_IS, 1L); /* the path is signed as it stands */
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SET(CURLOPT_NOPROXY, "");
	/* What a proxy says before the service is no answer of the service. */
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(CURLOPT_HEADEROPT, (long) CURLHEADER_SEPARATE);
	/* Content is taken as it is sent: nothing is inflated. */
	SET(CURLOPT_ACCEPT_ENCODING, NULL);
	SET(CURLOPT_FAILONERROR, 0L);
	SET(CURLOPT_MAXAGE_CONN, IDLE_SECONDS);
	SET(CURLOPT_MAXLIFETIME_CONN, LIFE_SECONDS);
	SET(CURLOPT_DNS_CACHE_TIMEOUT, NAME_SECONDS);
	SET(CURLOPT_EXPECT_100_TIMEOUT_MS, EXPECT_MS);
	SET(CURLOPT_TCP_NODELAY, 1L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	/* Authorities come from a store of ours (http_tls.c). */
	SET(CURLOPT_CAINFO, NULL);
	SET(CURLOPT_CAPATH, NULL);
	SET(CURLOPT_SSL_CTX_FUNCTION, cs_http_on_tls);
	SET(CURLOPT_SSL_CTX_DATA, http);
	SET(CURLOPT_OPENSOCKETFUNCTION, cs_http_on_socket);
	SET(CURLOPT_OPENSOCKETDATA, handle);
	SET(CURLOPT_CLOSESOCKETFUNCTION, cs_http_on_close);
	SET(CURLOPT_CLOSESOCKETDATA, http);
	SET(CURLOPT_PREREQFUNCTION, cs_http_on_connected);
	SET(CURLOPT_PREREQDATA, handle);
	SET(CURLOPT_HEADERFUNCTION, cs_http_on_header);
	SET(CURLOPT_HEADERDATA, handle);
	SET(CURLOPT_WRITEFUNCTION, cs_http_on_write);
	SET(CURLOPT_WRITEDATA, handle);
	SET(CURLOPT_READFUNCTION, cs_http_on_read);
	SET(CURLOPT_READDATA, handle);
	SET(CURLOPT_SEEKFUNCTION, cs_http_on_seek);
	SET(CURLOPT_SEEKDATA, handle);
	return NULL;
}

/* Method, and what is sent with it. */
static const char *
set_method(CsHttpTask *task)
{
	CURL *easy = task->handle->easy;
	const CsRequest *request = &task->request;
	int64 length = cs_http_content_length(request);
	bool upload = request->send != CS_SEND_NOTHING ||
				  strcmp(request->method, "PUT") == 0 ||
				  strcmp(request->method, "POST") == 0;

	SET(CURLOPT_NOBODY, 0L);
	SET(CURLOPT_HTTPGET, 1L);
	SET(CURLOPT_UPLOAD, upload ? 1L : 0L);
	SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t) (upload ? length : -1));
	if (!upload)
		SET(CURLOPT_HTTPGET, 1L);
	if (strcmp(request->method, "HEAD") == 0)
	{
		SET(CURLOPT_NOBODY, 1L);
		SET(CURLOPT_CUSTOMREQUEST, NULL);
	}
	else
		SET(CURLOPT_CUSTOMREQUEST, request->method);
	SET(CURLOPT_UPLOAD_BUFFERSIZE,
		length < 0 || length > SEND_LARGE ? SEND_LARGE : SEND_SMALL);
	/* refused while it has one, which it keeps after a stream of HTTP/2 */
	(void) curl_easy_setopt(easy, CURLOPT_BUFFERSIZE,
							request->into == CS_INTO_BODY ? RECEIVE_LARGE
														  : RECEIVE_SMALL);
	return NULL;
}

/* Who asks; nobody, where the credentials do not belong. */
static const char *
set_credentials(CsHttpTask *task)
{
	CURL *easy = task->handle->easy;
	const CsHttpPlace *place = task->place;
	bool password =
		place->auth == CS_AUTH_PASSWORD && cs_http_is_own(task);

	SET(CURLOPT_HTTPAUTH,
		(long) (place->digest && password ? CURLAUTH_DIGEST : CURLAUTH_BASIC));
	SET(CURLOPT_USERNAME, password ? place->user : NULL);
	SET(CURLOPT_PASSWORD, password ? place->secret : NULL);
	return NULL;
}

const char *
cs_http_handle_set(CsHttpTask *task)
{
	CURL *easy = task->handle->easy;
	const CsHttpSettings *settings = &task->http->settings;
	bool http2 = task->place->service != NULL && task->place->service->http2 &&
				 strcmp(task->origin.scheme, "https") == 0;
	const char *refused;

	SET(CURLOPT_URL, task->request.url);
	SET(CURLOPT_PROXY, settings->proxy);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long) settings->connect_timeout);
	SET(CURLOPT_HTTP_VERSION, (long) (http2 ? CURL_HTTP_VERSION_2TLS
											: CURL_HTTP_VERSION_1_1));
	/*
	 * Who waits for another's connection to share it is told by curl when that
	 * one turns out to be shared, and otherwise not before its request has ended.
	 */
	SET(CURLOPT_PIPEWAIT, http2 && task->place->multiplexes ? 1L : 0L);
	SET(CURLOPT_FRESH_CONNECT, task->fresh ? 1L : 0L);
	SET(CURLOPT_HTTPHEADER, task->handle->headers);
	refused = set_method(task);
	if (refused == NULL)
		refused = set_credentials(task);
	return refused;
}

#undef SET

void
cs_http_handle_free(CsHttpHandle *handle)
{
	sigset_t saved;

	cs_http_enter(&saved);
	if (handle->easy != NULL)
		curl_easy_cleanup(handle->easy);
	cs_http_leave(&saved);
	free(handle->block);
	free(handle);
}

/* One of the endpoint's that is idle, or a new one. NULL: refused, said so. */
CsHttpHandle *
cs_http_handle_take(CsHttpTask *task)
{
	CsHttpHandle *handle = task->place->idle;
	const char *refused = "memory";
	sigset_t saved;

	if (handle != NULL)
	{
		task->place->idle = handle->next;
		handle->task = task;
		return handle;
	}
	handle = calloc(1, sizeof(CsHttpHandle));
	if (handle != NULL)
	{
		handle->block = malloc(CS_HTTP_HEADER_BYTES);
		cs_http_enter(&saved);
		handle->easy = curl_easy_init();
		if (handle->easy != NULL && handle->block != NULL)
			refused = set_always(task->http, handle);
		cs_http_leave(&saved);
		if (refused == NULL)
		{
			handle->task = task;
			return handle;
		}
		cs_http_handle_free(handle);
	}
	cs_http_refuse(task, CS_FAIL_BROKEN, NULL, "libcurl refused %s", refused);
	return NULL;
}

/* The headers hold credentials: they do not stay in memory. */
static void
forget_headers(CsHttpHandle *handle)
{
	for (struct curl_slist *at = handle->headers; at != NULL; at = at->next)
		OPENSSL_cleanse(at->data, strlen(at->data));
	curl_slist_free_all(handle->headers);
	handle->headers = NULL;
}

void
cs_http_handle_give(CsHttpTask *task)
{
	CsHttpHandle *handle = task->handle;

	if (handle == NULL)
		return;
	task->handle = NULL;
	forget_headers(handle);
	handle->task = NULL;
	handle->next = task->place->idle;
	task->place->idle = handle;
}
