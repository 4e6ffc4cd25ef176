/*
 * http_server.h
 *	  A server on 127.0.0.1 in a process of its own, for tests of the HTTP side:
 *	  what it does is named by the path. It counts nothing and keeps nothing; it
 *	  says in its answers what it saw.
 */
#ifndef CLOUDSYNC_HTTP_SERVER_H
#define CLOUDSYNC_HTTP_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct SeenRequest
{
	char head[16384];
	char method[32];
	char path[512];
	long long length; /* of its body, as announced; -1: chunked */
	long long got;	  /* of its body */
	unsigned sum;	  /* of its bytes */
	char *rest;
	size_t rest_len;
} SeenRequest;

static void
say(int fd, const char *text, size_t len)
{
	while (len > 0)
	{
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n <= 0)
			_exit(0);
		text += n;
		len -= n;
	}
}

static void
say_text(int fd, const char *text)
{
	say(fd, text, strlen(text));
}

/* A whole answer; extra: further headers, each ended by \r\n. */
static void
reply(int fd, int status, const char *extra, const char *body)
{
	char head[2048];

	snprintf(head, sizeof(head),
			 "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n%s\r\n", status,
			 strlen(body), extra);
	say_text(fd, head);
	say_text(fd, body);
}

static bool
saw(const SeenRequest *seen, const char *text)
{
	return strcasestr(seen->head, text) != NULL;
}

static void
count_body(SeenRequest *seen, const char *bytes, ssize_t n)
{
	for (ssize_t i = 0; i < n; i++)
		seen->sum = seen->sum * 31 + (unsigned char) bytes[i];
	seen->got += n;
}

static bool
read_head(int fd, SeenRequest *seen)
{
	size_t used = 0;
	char *end;
	const char *length;

	memset(seen, 0, sizeof(*seen));
	do
	{
		ssize_t n = recv(fd, seen->head + used, sizeof(seen->head) - used - 1, 0);

		if (n <= 0)
			return false;
		used += n;
		seen->head[used] = '\0';
	} while ((end = strstr(seen->head, "\r\n\r\n")) == NULL);
	seen->rest = end + 4;
	seen->rest_len = seen->head + used - seen->rest;
	end[2] = '\0';
	sscanf(seen->head, "%31s %511s", seen->method, seen->path);
	length = strcasestr(seen->head, "\r\nContent-Length:");
	if (length != NULL)
		seen->length = atoll(length + 17);
	else if (saw(seen, "transfer-encoding: chunked"))
		seen->length = -1;
	return true;
}

/* The body, or its first bytes up to stop (-1: all). */
static bool
read_body(int fd, SeenRequest *seen, long long stop)
{
	static char buffer[65536];

	count_body(seen, seen->rest, seen->rest_len);
	while (seen->length >= 0 ? seen->got < seen->length
							 : memmem(seen->rest, seen->rest_len, "0\r\n\r\n", 5) == NULL)
	{
		ssize_t n;

		if (stop >= 0 && seen->got >= stop)
			return true;
		n = recv(fd, buffer, sizeof(buffer), 0);
		if (n <= 0)
			return false;
		if (seen->length < 0 && n >= 5 && memcmp(buffer + n - 5, "0\r\n\r\n", 5) == 0)
			return true;
		count_body(seen, buffer, n);
	}
	return true;
}

static void
hang_up(int fd)
{
	struct linger linger = {1, 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
	_exit(0);
}

/*
 * Hears what is still sent until the other side has the answer and closes, as
 * servers do: a reset, by which unread bytes are answered, may overtake it.
 */
static void
linger_on(int fd)
{
	static char buffer[65536];

	shutdown(fd, SHUT_WR);
	while (recv(fd, buffer, sizeof(buffer), 0) > 0)
		;
}

/* len bytes of content: a pattern that no two pieces share. */
static void
say_content(int fd, long long from, long long len)
{
	static char buffer[65536];

	while (len > 0)
	{
		long long n = Min(len, (long long) sizeof(buffer));

		for (long long i = 0; i < n; i++)
			buffer[i] = (char) ((from + i) * 31 >> 3);
		say(fd, buffer, n);
		from += n;
		len -= n;
	}
}

/* /content/N: N bytes; with Range: bytes=X- from there, status 206. */
static void
serve_content(int fd, const SeenRequest *seen, long long len, long long give)
{
	const char *range = strcasestr(seen->head, "Range: bytes=");
	long long from = range != NULL ? atoll(range + 13) : 0;
	char head[256];

	snprintf(head, sizeof(head),
			 "HTTP/1.1 %d X\r\nContent-Length: %lld\r\n\r\n",
			 range != NULL ? 206 : 200, len - from);
	say_text(fd, head);
	say_content(fd, from, give >= 0 ? give : len - from);
}

static void
serve_seen(int fd, const SeenRequest *seen)
{
	char text[20000];

	snprintf(text, sizeof(text), "%lld %u\n%s", seen->got, seen->sum, seen->head);
	reply(fd, 200, "ETag: \"one\"\r\nX-Odd:  \xff\x01 \r\n", text);
}

static void
serve_digest(int fd, const SeenRequest *seen)
{
	if (saw(seen, "Authorization: Digest"))
		serve_seen(fd, seen);
	else
		reply(fd, 401,
			  "WWW-Authenticate: Digest realm=\"r\", nonce=\"abc\", qop=\"auth\"\r\n",
			  "who are you?");
}

/* Takes the token t2 alone. */
static void
serve_token(int fd, const SeenRequest *seen)
{
	if (saw(seen, "Authorization: Bearer t2\r\n"))
		serve_seen(fd, seen);
	else
		reply(fd, 401, "WWW-Authenticate: Bearer\r\n",
			  saw(seen, "Bearer") ? "a token of yesterday" : "no token");
}

static void
serve_endless(int fd, const char *path)
{
	if (strcmp(path, "/endless-headers") == 0)
	{
		say_text(fd, "HTTP/1.1 200 X\r\n");
		for (;;)
		{
			say_text(fd, "X-Much: ");
			for (int i = 0; i < 50; i++)
				say_text(fd, "0123456789012345678901234567890123456789");
			say_text(fd, "\r\n");
		}
	}
	say_text(fd, strcmp(path, "/endless-failure") == 0
					 ? "HTTP/1.1 500 X\r\n\r\n"
					 : "HTTP/1.1 200 X\r\n\r\n");
	for (;;)
		say_text(fd, "0123456789012345678901234567890123456789");
}

static void
serve_slow(int fd, const char *path)
{
	if (strcmp(path, "/silent") == 0)
		pause();
	say_text(fd, "HTTP/1.1 200 X\r\nContent-Length: 1000000\r\n\r\n");
	if (strcmp(path, "/stall") == 0)
		pause();
	for (;;)
	{
		say_text(fd, "x");
		poll(NULL, 0, 50);
	}
}

static bool
serve_one(int fd)
{
	static SeenRequest seen;
	static int served; /* on this connection, which has a process */
	long long n = 0;

	if (!read_head(fd, &seen))
		return false;
	if (strcmp(seen.path, "/reset-early") == 0)
	{
		read_body(fd, &seen, 100000);
		hang_up(fd);
	}
	if (strcmp(seen.path, "/refuse-early") == 0)
	{
		reply(fd, 413, "Connection: close\r\n", "too large");
		linger_on(fd);
		return false;
	}
	if (saw(&seen, "100-continue") && strcmp(seen.path, "/continue") == 0)
		say_text(fd, "HTTP/1.1 100 Continue\r\n\r\n");
	if (!read_body(fd, &seen, -1))
		return false;
	if (sscanf(seen.path, "/content/%lld", &n) == 1)
		serve_content(fd, &seen, n, -1);
	else if (sscanf(seen.path, "/short/%lld", &n) == 1)
	{
		serve_content(fd, &seen, n, n / 2);
		return false;
	}
	else if (sscanf(seen.path, "/reset/%lld", &n) == 1)
	{
		serve_content(fd, &seen, n, n / 2);
		hang_up(fd);
	}
	else if (strncmp(seen.path, "/endless", 8) == 0)
		serve_endless(fd, seen.path);
	else if (strcmp(seen.path, "/silent") == 0 ||
			 strcmp(seen.path, "/stall") == 0 || strcmp(seen.path, "/drip") == 0)
		serve_slow(fd, seen.path);
	else if (strcmp(seen.path, "/many-headers") == 0)
	{
		say_text(fd, "HTTP/1.1 200 X\r\nContent-Length: 0\r\n");
		for (int i = 0; i < 101; i++)
			say_text(fd, "X-Many: 1\r\n");
		say_text(fd, "\r\n");
	}
	else if (strcmp(seen.path, "/redirect") == 0)
		reply(fd, 302, "Location: /seen\r\n", "elsewhere");
	else if (strcmp(seen.path, "/digest") == 0)
		serve_digest(fd, &seen);
	else if (strcmp(seen.path, "/token") == 0)
		serve_token(fd, &seen);
	else if (strcmp(seen.path, "/gzip") == 0)
		reply(fd, 200, "Content-Encoding: gzip\r\n", "\x1f\x8b no gzip");
	else if (strcmp(seen.path, "/nonsense") == 0)
		say_text(fd, "what do you mean?\r\n\r\n");
	else if (strcmp(seen.path, "/chunks") == 0)
		say_text(fd, "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx");
	else if (strcmp(seen.path, "/held") == 0)
	{
		poll(NULL, 0, 700);
		reply(fd, 200, "", "told");
	}
	else if (strcmp(seen.path, "/later") == 0)
		reply(fd, 429, "Retry-After: 1\r\n", "");
	else if (strcmp(seen.path, "/never") == 0)
		reply(fd, 503, "Retry-After: 999999999\r\n", "");
	else if (strcmp(seen.path, "/whenever") == 0)
		reply(fd, 503, "Retry-After: soon\r\n", "");
	else if (strcmp(seen.path, "/hang-up") == 0 ||
			 (strcmp(seen.path, "/on-fresh") == 0 && served > 0))
		hang_up(fd);
	else
		serve_seen(fd, &seen);
	served++;
	return true;
}

static pid_t server_pid;

/* Starts it; returns its port. It ends with the test. */
static int
start_server(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *) &address, sizeof(address)) != 0 ||
		listen(listener, 64) != 0)
		return -1;
	getsockname(listener, (struct sockaddr *) &address, &len);
	server_pid = fork();
	if (server_pid == 0)
	{
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGCHLD, SIG_IGN);
		for (;;)
		{
			int fd = accept(listener, NULL, NULL);

			if (fd >= 0 && fork() == 0)
			{
				prctl(PR_SET_PDEATHSIG, SIGKILL);
				while (serve_one(fd))
					;
				close(fd);
				_exit(0);
			}
			close(fd);
		}
	}
	close(listener);
	return ntohs(address.sin_port);
}

static void
stop_server(void)
{
	kill(server_pid, SIGTERM);
	waitpid(server_pid, NULL, 0);
}

#endif
