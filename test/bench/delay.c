/*
 * delay.c
 *	  A TCP proxy on loopback that delays what the server answers: each piece
 *	  goes on so many milliseconds after it came, to a fraction of one.
 *
 *	  delay LISTEN_PORT SERVER_PORT MILLISECONDS
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define PIECE 65536
#define EVENTS 64

/* One that came, in order; len 0: the end. */
typedef struct Piece
{
	struct Piece *next;
	int64_t due; /* microseconds */
	size_t len;
	char bytes[];
} Piece;

typedef struct Way
{
	int from;
	int to;
	int64_t delay;
	struct Way *next; /* of all */
	Piece *first;
	Piece **last;
} Way;

static Way *ways;
static int epoll_fd;

static int64_t
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void
fail(const char *what)
{
	fprintf(stderr, "delay: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
watch(int fd, void *what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		fail("epoll_ctl");
}

static void
add_way(int from, int to, int64_t delay)
{
	Way *way = calloc(1, sizeof(Way));
	int one = 1;

	if (way == NULL)
		fail("calloc");
	way->from = from;
	way->to = to;
	way->delay = delay;
	way->last = &way->first;
	way->next = ways;
	ways = way;
	setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	watch(from, way);
}

static struct sockaddr_in
address(const char *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t) atoi(port))};

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return at;
}

static void
accept_one(int listener, const char *port, int64_t delay)
{
	struct sockaddr_in at = address(port);
	int client = accept(listener, NULL, NULL);
	int server = socket(AF_INET, SOCK_STREAM, 0);

	if (client < 0 || server < 0 || connect(server, (struct sockaddr *) &at, sizeof(at)) != 0)
		fail("no connection");
	add_way(client, server, 0);
	add_way(server, client, delay);
}

/* Blocks while the other side reads slowly: of small files that is no matter. */
static void
deliver(Way *way)
{
	while (way->first != NULL && way->first->due <= now_us())
	{
		Piece *piece = way->first;
		size_t sent = 0;

		while (sent < piece->len)
		{
			ssize_t n = send(way->to, piece->bytes + sent, piece->len - sent, MSG_NOSIGNAL);

			if (n < 0 && errno != EINTR)
				break; /* it has gone */
			sent += n > 0 ? (size_t) n : 0;
		}
		if (piece->len == 0)
			shutdown(way->to, SHUT_WR);
		way->first = piece->next;
		if (way->first == NULL)
			way->last = &way->first;
		free(piece);
	}
}

static void
take(Way *way)
{
	Piece *piece = malloc(sizeof(Piece) + PIECE);
	ssize_t n;

	if (piece == NULL)
		fail("malloc");
	n = recv(way->from, piece->bytes, PIECE, 0);
	if (n < 0 && errno == EINTR)
		n = 0;
	piece->len = n > 0 ? (size_t) n : 0;
	if (n <= 0)
		epoll_ctl(epoll_fd, EPOLL_CTL_DEL, way->from, NULL);
	piece->next = NULL;
	piece->due = now_us() + way->delay;
	*way->last = piece;
	way->last = &piece->next;
	deliver(way);
}

/* When the next piece is due, or in an hour. */
static int64_t
deliver_all(void)
{
	int64_t next = now_us() + INT64_C(3600000000);

	for (Way *way = ways; way != NULL; way = way->next)
	{
		deliver(way);
		if (way->first != NULL && way->first->due < next)
			next = way->first->due;
	}
	return next;
}

static void
arm(int timer, int64_t at)
{
	struct itimerspec spec = {.it_value = {.tv_sec = at / 1000000, .tv_nsec = at % 1000000 * 1000}};

	timerfd_settime(timer, TFD_TIMER_ABSTIME, &spec, NULL);
}

int
main(int argc, char **argv)
{
	struct epoll_event events[EVENTS];
	struct sockaddr_in at;
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	int one = 1;

	if (argc != 4)
	{
		fprintf(stderr, "usage: delay LISTEN_PORT SERVER_PORT MILLISECONDS\n");
		return 2;
	}
	at = address(argv[1]);
	epoll_fd = epoll_create1(0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *) &at, sizeof(at)) != 0 || listen(listener, 256) != 0)
		fail("listen");
	watch(listener, NULL);
	watch(timer, &timer);
	for (;;)
	{
		int n;

		arm(timer, deliver_all());
		n = epoll_wait(epoll_fd, events, EVENTS, -1);
		for (int i = 0; i < n; i++)
		{
			uint64_t count;

			if (events[i].data.ptr == NULL)
				accept_one(listener, argv[2], (int64_t) (atof(argv[3]) * 1000));
			else if (events[i].data.ptr == &timer)
				(void) !read(timer, &count, sizeof(count));
			else
				take(events[i].data.ptr);
		}
	}
}
