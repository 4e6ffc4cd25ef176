/*
 * loop_limits.c
 *	  What the transfer loop keeps within bounds: local transfers rest when their
 *	  connection's pace says so, woken by a timer among the loop's descriptors;
 *	  listings that go on for ever are given up.
 */
#include "postgres.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "storage/fd.h"

#include "cloudsync/settings.h"
#include "loop.h"

/* Of a listing's answer in which nothing is named that is in the folder. */
#define MAX_UNTOLD (16 * 1024 * 1024)

/* ---- local transfers at their pace ---- */

static bool
have_timer(CsLoop *loop)
{
	struct epoll_event event = {.events = EPOLLIN};

	if (loop->timer_fd >= 0)
		return true;
	ReserveExternalFD();
	loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	event.data.fd = loop->timer_fd;
	if (loop->timer_fd >= 0 &&
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->timer_fd, &event) == 0)
		return true;
	if (loop->timer_fd >= 0)
		close(loop->timer_fd);
	loop->timer_fd = -1;
	ReleaseExternalFD();
	return false;
}

/* See loop.h. */
void
cs_loop_close_timer(CsLoop *loop)
{
	if (loop->timer_fd < 0)
		return;
	close(loop->timer_fd);
	ReleaseExternalFD();
	loop->timer_fd = -1;
}

/* See loop.h. Without a timer it is asked again and again, which works too. */
void
cs_loop_rest(CsTransferPrivate *priv)
{
	CsLoop *loop = priv->loop;

	if (priv->resting || !have_timer(loop))
		return;
	priv->resting = true;
	loop->n_resting++;
	dlist_delete(&priv->node);
	dlist_push_tail(&loop->waiting, &priv->node);
}

/* See loop.h. */
void
cs_loop_rest_no_more(CsTransferPrivate *priv)
{
	if (priv->resting)
		priv->loop->n_resting--;
	priv->resting = false;
}

/* See loop.h. */
void
cs_loop_wake_rested(CsLoop *loop)
{
	struct itimerspec spec = {0};
	int64 next = PG_INT64_MAX;
	int64 now;
	dlist_mutable_iter iter;

	if (loop->n_resting == 0)
		return;
	now = cs_file_now();
	dlist_foreach_modify(iter, &loop->waiting)
	{
		CsTransferPrivate *priv = dlist_container(CsTransferPrivate, node, iter.cur);

		if (!priv->resting)
			continue;
		if (priv->task.wake_at > now)
		{
			next = Min(next, priv->task.wake_at);
			continue;
		}
		cs_loop_rest_no_more(priv);
		dlist_delete(&priv->node);
		dlist_push_tail(&loop->running, &priv->node);
	}
	/* setting it makes it unreadable again; 0 stops it */
	if (next != PG_INT64_MAX)
	{
		spec.it_value.tv_sec = next / 1000000;
		spec.it_value.tv_nsec = next % 1000000 * 1000;
	}
	timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

/* ---- listings ---- */

/* See loop.h. */
bool
cs_loop_listing_goes_on(CsTransfer *transfer, int entries)
{
	CsTransferPrivate *priv = transfer->priv;

	if (priv->listing == NULL)
		return true;
	priv->untold = 0;
	priv->listed += entries + 1;
	if (cs_max_listing == 0 || priv->listed <= cs_max_listing)
		return true;
	cs_failure_set(&transfer->result.failure, CS_FAIL_BROKEN,
				   "Either the service does not come to an end, or the setting "
				   "is too low for the folder.",
				   "could not list folder \"%.150s\": there are more than %d "
				   "entries (cloudsync.max_listing)",
				   priv->listing, cs_max_listing);
	return false;
}

/* See loop.h. */
bool
cs_loop_answer_goes_on(CsTransfer *transfer, int64 bytes)
{
	CsTransferPrivate *priv = transfer->priv;

	if (priv->listing == NULL)
		return true;
	priv->untold += bytes;
	if (priv->untold <= MAX_UNTOLD)
		return true;
	cs_failure_set(&transfer->result.failure, CS_FAIL_BROKEN, NULL,
				   "could not list folder \"%.150s\": the answer goes on without "
				   "naming anything in it",
				   priv->listing);
	return false;
}
