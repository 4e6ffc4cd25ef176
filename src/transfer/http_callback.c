/*
 * http_callback.c
 *	  What libcurl calls: headers are kept, contents copied between curl and a
 *	  task's buffer, and each address is checked as it is connected to (S5).
 *
 * Nothing here raises an error, pallocs, or calls the owner's functions (see
 * http.h). Usable in the server and in plain programs.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cloudsync/reach.h"
#include "port/pg_bswap.h"
#include "http.h"

/* Pieces of this size are worth a write to the body. */
#define PIECE (256 * 1024)

static void
moved(CsHttpTask *task, size_t n)
{
	task->progress_at = cs_http_now();
	task->moved += n;
}

/* One header's name in lower case and its value, into the block. */
static bool
keep_header(CsHttpHandle *handle, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);
	size_t name_len;
	char *at = handle->block + handle->block_len;

	if (colon == NULL || colon == line || line[0] == ' ' || line[0] == '\t')
		return true; /* nothing that can be named */
	if (handle->n_answer == CS_HTTP_HEADERS)
	{
		handle->task->why = "the answer has more than 100 headers";
		return false;
	}
	name_len = colon - line;
	colon++;
	len -= name_len + 1;
	while (len > 0 && (*colon == ' ' || *colon == '\t'))
		colon++, len--;
	while (len > 0 && strchr(" \t\r\n", colon[len - 1]) != NULL &&
		   colon[len - 1] != '\0')
		len--;
	/* Never: the lines themselves were counted, and are longer. */
	if (handle->block_len + name_len + len + 2 > CS_HTTP_HEADER_BYTES)
		return false;
	for (size_t i = 0; i < name_len; i++)
		at[i] = pg_ascii_tolower((unsigned char) line[i]);
	at[name_len] = '\0';
	memcpy(at + name_len + 1, colon, len);
	at[name_len + 1 + len] = '\0';
	/* A NUL within ends the value where a reader would see it end. */
	handle->answer[handle->n_answer].name = at;
	handle->answer[handle->n_answer++].value = at + name_len + 1;
	handle->block_len += name_len + len + 2;
	return true;
}

size_t
cs_http_on_header(char *line, size_t size, size_t n, void *arg)
{
	CsHttpHandle *handle = arg;
	CsHttpTask *task = handle->task;
	size_t len = size * n;

	moved(task, len);
	task->answered = true;
	handle->header_bytes += len;
	if (handle->header_bytes > CS_HTTP_HEADER_BYTES)
	{
		task->why = "the answer's headers are longer than 64 KiB";
		return 0;
	}
	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0)
	{
		const char *space = memchr(line, ' ', len);

		/* Those before were of an answer that was not the last. */
		handle->n_answer = 0;
		handle->block_len = 0;
		task->where = CS_WHERE_UNKNOWN;
		task->text_len = 0;
		if (space != NULL && line + len - space > 4 &&
			memcmp(space, " 100", 4) == 0)
			task->continued = true;
		return len;
	}
	if (task->where != CS_WHERE_UNKNOWN)
		return len; /* a trailer */
	return keep_header(handle, line, len) ? len : 0;
}

/* Now that content comes: the status says where it belongs. */
static void
find_place(CsHttpTask *task)
{
	long status = 0;

	curl_easy_getinfo(task->handle->easy, CURLINFO_RESPONSE_CODE, &status);
	task->response.status = (int) status;
	task->where = task->request.into != CS_INTO_MEMORY &&
						  status == task->request.body_status &&
						  task->request.send != CS_SEND_BODY
					  ? CS_WHERE_BUFFER
					  : CS_WHERE_TEXT;
}

static size_t
keep_text(CsHttpTask *task, const char *bytes, size_t len)
{
	bool failed = task->response.status >= 300;
	int64 max = task->request.max_answer > 0 ? task->request.max_answer
											 : CS_ANSWER_MAX;
	size_t want = len;

	/* Of what is only to be shown, the beginning is enough. */
	if (failed)
		max = Min(max, CS_HTTP_TEXT_CUT);
	if (task->text_len + len > (size_t) max)
	{
		if (!failed)
		{
			task->why = "the answer is longer than it may be";
			return 0;
		}
		want = max - task->text_len;
		task->text_cut = true;
	}
	if (task->text_len + want + 1 > task->text_size)
	{
		size_t size = Max(2 * task->text_size, task->text_len + want + 1);
		char *text = realloc(task->text, size);

		if (text == NULL)
		{
			task->why = "out of memory";
			return 0;
		}
		task->text = text;
		task->text_size = size;
	}
	memcpy(task->text + task->text_len, bytes, want);
	task->text_len += want;
	task->text[task->text_len] = '\0';
	return task->text_cut ? 0 : len;
}

size_t
cs_http_on_write(char *bytes, size_t size, size_t n, void *arg)
{
	CsHttpTask *task = ((CsHttpHandle *) arg)->task;
	size_t len = size * n;

	moved(task, len);
	if (task->where == CS_WHERE_UNKNOWN)
	{
		find_place(task);
		if (task->where == CS_WHERE_BUFFER)
			task->start = task->end = 0;
	}
	if (task->where == CS_WHERE_TEXT)
		return keep_text(task, bytes, len);
	if (task->size - task->end < len && !cs_http_room(task, len))
	{
		task->paused = true;
		cs_http_ready(task);
		return CURL_WRITEFUNC_PAUSE;
	}
	memcpy(task->buffer + task->end, bytes, len);
	task->end += len;
	if (task->end - task->start >= PIECE)
		cs_http_ready(task);
	return len;
}

/* What goes before the body, and after it; the number of bytes. */
static size_t
read_around(CsHttpTask *task, char *bytes, size_t room)
{
	const CsRequest *request = &task->request;
	size_t len;

	if (task->sent < request->text_len)
	{
		len = Min(room, (size_t) (request->text_len - task->sent));
		memcpy(bytes, request->text + task->sent, len);
		return len;
	}
	if (!task->eof || task->end > task->start ||
		task->tail_sent >= request->tail_len)
		return 0;
	len = Min(room, (size_t) (request->tail_len - task->tail_sent));
	memcpy(bytes, request->tail + task->tail_sent, len);
	task->tail_sent += len;
	return len;
}

size_t
cs_http_on_read(char *bytes, size_t size, size_t n, void *arg)
{
	CsHttpTask *task = ((CsHttpHandle *) arg)->task;
	size_t room = size * n;
	size_t len = 0;

	if (task->request.send == CS_SEND_TEXT)
	{
		len = Min(room, (size_t) (task->request.text_len - task->sent));
		memcpy(bytes, task->request.text + task->sent, len);
	}
	else if (task->request.send == CS_SEND_BODY &&
			 (len = read_around(task, bytes, room)) == 0)
	{
		len = Min(room, task->end - task->start);
		if (len == 0 && !task->eof)
		{
			task->paused = true;
			cs_http_ready(task);
			return CURL_READFUNC_PAUSE;
		}
		if (len > 0)
			memcpy(bytes, task->buffer + task->start, len);
		task->start += len;
		if (!task->eof && task->end - task->start <= task->size / 2)
			cs_http_ready(task);
	}
	task->sent += len;
	moved(task, len);
	task->sent_at = task->progress_at;
	return len;
}

/* curl sends the content again: over a fresh connection, or authenticated. */
int
cs_http_on_seek(void *arg, curl_off_t offset, int origin)
{
	CsHttpTask *task = ((CsHttpHandle *) arg)->task;

	if (origin != SEEK_SET || offset < 0)
		return CURL_SEEKFUNC_CANTSEEK;
	if (offset == task->sent)
		return CURL_SEEKFUNC_OK;
	if (!task->answered)
		task->resent = true;
	task->sent = offset;
	if (task->request.send == CS_SEND_BODY)
	{
		int64 sent = cs_http_body_sent(task);

		task->start = task->end = 0;
		task->offset = task->request.from + sent;
		task->eof = sent == task->request.length;
		task->tail_sent =
			task->eof ? offset - task->request.text_len - sent : 0;
		task->tail_sent = Max(task->tail_sent, 0);
	}
	return CURL_SEEKFUNC_OK;
}

/* Is this address one that may be connected to for the task's purpose? */
static bool
allowed(CsHttpTask *task, const struct sockaddr *address)
{
	const void *bytes = &((const struct sockaddr_in *) address)->sin_addr;

	/* Through a proxy, addresses are found there. */
	if (task->http->settings.proxy[0] != '\0')
		return true;
	if (cs_reach_address(task->http->settings.allowed, task->place->hosts,
						 task->place->purpose, address))
		return true;
	if (address->sa_family == AF_INET6)
		bytes = &((const struct sockaddr_in6 *) address)->sin6_addr;
	if (inet_ntop(address->sa_family, bytes, task->refused,
				  sizeof(task->refused)) == NULL)
		strlcpy(task->refused, "an address of another kind",
				sizeof(task->refused));
	return false;
}

curl_socket_t
cs_http_on_socket(void *arg, curlsocktype purpose,
				  struct curl_sockaddr *address)
{
	CsHttpTask *task = ((CsHttpHandle *) arg)->task;
	int fd;

	if (!allowed(task, &address->addr))
		return CURL_SOCKET_BAD;
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC,
				address->protocol);
	if (fd < 0)
		return CURL_SOCKET_BAD;
	task->http->sockets++;
	return fd;
}

int
cs_http_on_close(void *arg, curl_socket_t fd)
{
	CsHttp *http = arg;

	http->sockets--;
	return close(fd);
}

/*
 * Before anything is sent, on a connection made for another request too: it may
 * have been allowed for another purpose.
 */
int
cs_http_on_connected(void *arg, char *primary_ip, char *local_ip,
					 int primary_port, int local_port)
{
	CsHttpTask *task = ((CsHttpHandle *) arg)->task;
	union
	{
		struct sockaddr any;
		struct sockaddr_in four;
		struct sockaddr_in6 six;
	} address;

	memset(&address, 0, sizeof(address));
	if (inet_pton(AF_INET, primary_ip, &address.four.sin_addr) == 1)
	{
		address.four.sin_family = AF_INET;
		address.four.sin_port = pg_hton16((uint16) primary_port);
	}
	else if (inet_pton(AF_INET6, primary_ip, &address.six.sin6_addr) == 1)
	{
		address.six.sin6_family = AF_INET6;
		address.six.sin6_port = pg_hton16((uint16) primary_port);
	}
	else
		return CURL_PREREQFUNC_ABORT;
	if (!allowed(task, &address.any))
		return CURL_PREREQFUNC_ABORT;
	task->connected = true;
	moved(task, 0);
	return CURL_PREREQFUNC_OK;
}
