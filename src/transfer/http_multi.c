/*
 * http_multi.c
 *	  One curl_multi for a loop's life: its sockets in the loop's epoll
 *	  descriptor, its timer, the pauses of paced requests and the limits of time
 *	  by one timerfd there; which tasks can go on.
 *
 * Usable in the server and in plain programs.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "http.h"

#define EVENTS 64
#define IDLE_CONNECTIONS 64
#define WATCH_EVERY 200000 /* limits of time are kept to this, in us */
#define LOW_SPEED 1024	   /* bytes a second */

static int64
clock_us(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64
cs_http_now(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

int64
cs_http_clock(void)
{
	return clock_us(CLOCK_REALTIME);
}

/* ---- what curl asks for ---- */

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	CsHttp *http = arg;
	struct epoll_event event = {0};

	if (what == CURL_POLL_REMOVE)
	{
		if (known != NULL)
			epoll_ctl(http->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		curl_multi_assign(http->multi, fd, NULL);
		return 0;
	}
	event.data.fd = fd;
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	if (epoll_ctl(http->epoll_fd, known != NULL ? EPOLL_CTL_MOD : EPOLL_CTL_ADD,
				  fd, &event) != 0)
	{
		/* A number that was closed and given out anew behind our back. */
		int other = known != NULL ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

		if (epoll_ctl(http->epoll_fd, other, fd, &event) != 0)
			return -1;
	}
	curl_multi_assign(http->multi, fd, http);
	return 0;
}

static int
on_timer(CURLM *multi, long timeout_ms, void *arg)
{
	CsHttp *http = arg;

	http->curl_at = timeout_ms < 0
						? -1
						: cs_http_now() + (int64) timeout_ms * 1000;
	return 0;
}

/* ---- life ---- */

static bool
set_up(CsHttp *http)
{
	static bool initialized = false;
	struct epoll_event event = {0};

	if (!initialized && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return false;
	initialized = true;
	http->multi = curl_multi_init();
	if (http->multi == NULL)
		return false;
	http->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (http->timer_fd < 0)
		return false;
	event.events = EPOLLIN;
	event.data.fd = http->timer_fd;
	if (epoll_ctl(http->epoll_fd, EPOLL_CTL_ADD, http->timer_fd, &event) != 0)
		return false;
	http->sockets++; /* the timer is counted with them */
#define SET(option, value)                                                     \
	if (curl_multi_setopt(http->multi, option, value) != CURLM_OK)             \
	return false
	SET(CURLMOPT_SOCKETFUNCTION, on_socket);
	SET(CURLMOPT_SOCKETDATA, http);
	SET(CURLMOPT_TIMERFUNCTION, on_timer);
	SET(CURLMOPT_TIMERDATA, http);
	SET(CURLMOPT_PIPELINING, (long) CURLPIPE_MULTIPLEX);
	SET(CURLMOPT_MAXCONNECTS, (long) IDLE_CONNECTIONS);
#undef SET
	return true;
}

/* Tells fd.c, outside of curl, of the descriptors that curl opened or closed. */
static void
announce(CsHttp *http)
{
	while (http->announced != http->sockets)
	{
		int step = http->announced < http->sockets ? 1 : -1;

		cs_fd_count_other(step);
		http->announced += step;
	}
}

CsHttp *
cs_http_create(int epoll_fd, CsFailure *failure)
{
	CsHttp *http = calloc(1, sizeof(CsHttp));
	sigset_t saved;
	bool ok;

	if (http != NULL)
	{
		static const CsHttpSettings none = {"", "", "", 10000, 60000, 0, 0};

		http->settings = none;
		http->epoll_fd = epoll_fd;
		http->timer_fd = -1;
		http->curl_at = -1;
		dlist_init(&http->ready);
		dlist_init(&http->flying);
		dlist_init(&http->sleeping);
		cs_http_enter(&saved);
		ok = set_up(http);
		cs_http_leave(&saved);
		announce(http);
		if (ok)
			return http;
		cs_http_destroy(http);
	}
	cs_failure_set(failure, CS_FAIL_RETRY_LATER, NULL,
				   "libcurl could not be started");
	return NULL;
}

void
cs_http_destroy(CsHttp *http)
{
	sigset_t saved;

	cs_http_enter(&saved);
	if (http->multi != NULL)
		curl_multi_cleanup(http->multi);
	cs_http_leave(&saved);
	if (http->timer_fd >= 0)
	{
		close(http->timer_fd);
		http->sockets--;
	}
	announce(http);
	X509_STORE_free(http->store);
	free(http->store_file);
	free(http);
}

void
cs_http_set(CsHttp *http, const CsHttpSettings *settings)
{
	http->settings = *settings;
}

/* ---- which tasks can go on ---- */

void
cs_http_ready(CsHttpTask *task)
{
	if (task->ready)
		return;
	task->ready = true;
	dlist_push_tail(&task->http->ready, &task->ready_node);
}

CsHttpTask *
cs_http_take_ready(CsHttp *http)
{
	CsHttpTask *task;

	if (dlist_is_empty(&http->ready))
		return NULL;
	task = dlist_head_element(CsHttpTask, ready_node, &http->ready);
	dlist_delete(&task->ready_node);
	task->ready = false;
	return task;
}

void
cs_http_unlist(CsHttpTask *task)
{
	if (task->listed)
		dlist_delete(&task->node);
	task->listed = false;
}

/* When its limits of time are to be looked at: one whose answer is held has one. */
static int64
limit_at(const CsHttpTask *task, int64 now)
{
	int64 end = task->launched_at + task->request.held_ms * 1000 + 1;

	return task->request.held_ms > 0 && end > now ? end : now + WATCH_EVERY;
}

/* A task in curl's hands that sleeps stays there; curl waits for it, paused. */
void
cs_http_sleep(CsHttpTask *task, int64 until)
{
	task->wake_at = until;
	if (task->listed)
		return;
	dlist_push_tail(&task->http->sleeping, &task->node);
	task->listed = true;
}

bool
cs_http_fly(CsHttpTask *task)
{
	CsHttp *http = task->http;
	sigset_t saved;
	CURLMcode code;

	cs_http_unlist(task);
	cs_http_enter(&saved);
	code = curl_multi_add_handle(http->multi, task->handle->easy);
	cs_http_leave(&saved);
	if (code != CURLM_OK)
		return false;
	task->phase = CS_HTTP_FLYING;
	task->wake_at = 0;
	dlist_push_tail(&http->flying, &task->node);
	task->listed = true;
	http->watch_at = Min(http->watch_at, limit_at(task, task->launched_at));
	return true;
}

/* Out of curl's hands, by its own word or because it is given up. */
static void
land(CsHttpTask *task, CURLcode code)
{
	CsHttp *http = task->http;
	bool ok = code == CURLE_OK || task->text_cut;
	CsHttpTask *other;
	dlist_iter iter;
	curl_off_t retry_after = 0;
	long status = 0;

	curl_multi_remove_handle(http->multi, task->handle->easy);
	curl_easy_getinfo(task->handle->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(task->handle->easy, CURLINFO_RETRY_AFTER, &retry_after);
	task->phase = CS_HTTP_ENDED;
	task->code = task->text_cut ? CURLE_OK : code;
	task->ended_at = cs_http_now();
	task->paused = false;
	cs_http_unlist(task);
	cs_pace_end(&task->place->pace, &task->ticket, task->ended_at,
				ok && status < 400,
				ok && (status == 429 || status == 503),
				retry_after > 0 ? (int64) Min(retry_after, 3600) * 1000 : -1);
	/* There may be room now for those that wait for their turn there. */
	dlist_foreach(iter, &http->sleeping)
	{
		other = dlist_container(CsHttpTask, node, iter.cur);
		if (other->place == task->place && other->phase == CS_HTTP_QUEUED)
			other->wake_at = 0;
	}
}

void
cs_http_ground(CsHttpTask *task)
{
	sigset_t saved;

	if (task->phase != CS_HTTP_FLYING)
	{
		cs_http_unlist(task);
		return;
	}
	cs_http_enter(&saved);
	land(task, CURLE_ABORTED_BY_CALLBACK);
	cs_http_leave(&saved);
}

void
cs_http_unpause(CsHttpTask *task)
{
	sigset_t saved;

	if (!task->paused || task->phase != CS_HTTP_FLYING)
		return;
	/* Time spent on our side does not count against the server. */
	task->progress_at = cs_http_now();
	task->paused = false;
	cs_http_enter(&saved);
	curl_easy_pause(task->handle->easy, CURLPAUSE_CONT);
	cs_http_leave(&saved);
}

/* ---- a turn ---- */

static void
take_messages(CsHttp *http)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(http->multi, &left)) != NULL)
	{
		CsHttpHandle *handle = NULL;
		CURLcode code;

		if (message->msg != CURLMSG_DONE)
			continue;
		code = message->data.result; /* gone once the handle is removed */
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &handle);
		land(handle->task, code);
		cs_http_ready(handle->task);
	}
}

static void
serve_socket(CsHttp *http, const struct epoll_event *event)
{
	int running;
	int what = 0;

	if (event->data.fd == http->timer_fd)
	{
		uint64 count;

		if (read(http->timer_fd, &count, sizeof(count)) == sizeof(count))
			http->armed = 0;
		return;
	}
	if (event->events & EPOLLIN)
		what |= CURL_CSELECT_IN;
	if (event->events & EPOLLOUT)
		what |= CURL_CSELECT_OUT;
	if (event->events & (EPOLLERR | EPOLLHUP))
		what |= CURL_CSELECT_ERR;
	curl_multi_socket_action(http->multi, event->data.fd, what, &running);
}

static void
give_up(CsHttpTask *task, const char *limit)
{
	task->limit = limit;
	land(task, CURLE_OPERATION_TIMEDOUT);
	cs_http_ready(task);
}

/* One whose answer is held back has that limit alone, once it is connected. */
static const char *
held_too_long(CsHttpTask *task, int64 now)
{
	if (task->connected && now - task->launched_at > task->request.held_ms * 1000)
		return CS_HTTP_HELD;
	return NULL;
}

/* Is the time of a request in curl's hands up? */
static const char *
time_is_up(CsHttpTask *task, int64 now)
{
	const CsHttpSettings *settings = &task->http->settings;
	int64 window = (int64) settings->low_speed_time * 1000;

	if (task->request.held_ms > 0)
		return held_too_long(task, now);
	if (settings->transfer_timeout > 0 &&
		now - task->begun_at > (int64) settings->transfer_timeout * 1000)
		return "cloudsync.transfer_timeout";
	if (task->paused || !task->connected)
	{
		/* Our turn, or curl's, which has a limit for connecting. */
		task->window_at = now;
		task->window_moved = task->moved;
		return NULL;
	}
	if (!task->answered &&
		now - task->progress_at > (int64) settings->response_timeout * 1000)
		return "cloudsync.response_timeout";
	if (window == 0 || now - task->window_at < window)
		return NULL;
	/* While only the answer is waited for, that has a limit of its own. */
	if (task->moved - task->window_moved < LOW_SPEED * (window / 1000000 + 1) &&
		(task->answered || task->sent_at > task->window_at))
		return "cloudsync.low_speed_time";
	task->window_at = now;
	task->window_moved = task->moved;
	return NULL;
}

static void
watch(CsHttp *http, int64 now)
{
	dlist_mutable_iter iter;

	http->watch_at = PG_INT64_MAX;
	dlist_foreach_modify(iter, &http->flying)
	{
		CsHttpTask *task = dlist_container(CsHttpTask, node, iter.cur);
		const char *limit = time_is_up(task, now);

		if (limit != NULL)
			give_up(task, limit);
		else
			http->watch_at = Min(http->watch_at, limit_at(task, now));
	}
}

static void
wake(CsHttp *http, int64 now)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &http->sleeping)
	{
		CsHttpTask *task = dlist_container(CsHttpTask, node, iter.cur);

		if (task->wake_at > now)
			continue;
		cs_http_unlist(task);
		cs_http_ready(task);
	}
	dlist_foreach_modify(iter, &http->flying)
	{
		CsHttpTask *task = dlist_container(CsHttpTask, node, iter.cur);

		if (task->wake_at == 0 || task->wake_at > now)
			continue;
		task->wake_at = 0;
		cs_http_ready(task);
	}
}

void
cs_http_turn(CsHttp *http)
{
	struct epoll_event events[EVENTS];
	sigset_t saved;
	int64 now = cs_http_now();
	int running;
	int n;

	cs_http_enter(&saved);
	if (http->curl_at >= 0 && http->curl_at <= now)
	{
		http->curl_at = -1;
		curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	n = epoll_wait(http->epoll_fd, events, EVENTS, 0);
	for (int i = 0; i < n; i++)
		serve_socket(http, &events[i]);
	take_messages(http);
	now = cs_http_now();
	if (now >= http->watch_at)
		watch(http, now);
	cs_http_leave(&saved);
	announce(http);
	wake(http, now);
}

/* The earliest time at which something is to be done, or 0. */
static int64
next_time(CsHttp *http)
{
	int64 next = PG_INT64_MAX;
	dlist_iter iter;

	if (http->curl_at >= 0)
		next = http->curl_at;
	if (!dlist_is_empty(&http->flying))
		next = Min(next, http->watch_at);
	dlist_foreach(iter, &http->sleeping)
		next = Min(next, dlist_container(CsHttpTask, node, iter.cur)->wake_at);
	dlist_foreach(iter, &http->flying)
	{
		CsHttpTask *task = dlist_container(CsHttpTask, node, iter.cur);

		if (task->wake_at > 0)
			next = Min(next, task->wake_at);
	}
	return next == PG_INT64_MAX ? 0 : next;
}

bool
cs_http_arm(CsHttp *http)
{
	int64 next = next_time(http);
	struct itimerspec spec = {0};

	if (!dlist_is_empty(&http->ready))
		return true;
	if (next == 0)
		return false;
	if (next <= cs_http_now())
		return true;
	/* One that goes off too early does no harm, and costs less than setting. */
	if (http->armed != 0 && http->armed <= next)
		return false;
	spec.it_value.tv_sec = next / 1000000;
	spec.it_value.tv_nsec = next % 1000000 * 1000;
	timerfd_settime(http->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
	http->armed = next;
	return false;
}
