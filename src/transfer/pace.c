/*
 * pace.c
 *	  The pace of one endpoint (pace.h).
 *
 * Rates are kept by the time at which the next may go, so that nothing has to
 * be refilled: a second's worth, at most, is saved up while nothing goes. The
 * number at once is halved when the service says it is too much, once for all
 * requests that were under way then, and grows by one after GROW_AFTER
 * successes, until it is out of the way again.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "pace.h"

#define SECOND INT64CONST(1000000)
#define GROW_AFTER 16
#define LIMIT_GONE 64 /* a limit this high is none */
#define PIECE_MIN 16384
#define BURST(rate) Max((rate) / 4, (double) PIECE_MIN)
/* Bytes that may have gone too soon before requests wait for them, too. */
#define DEBT_MAX PIECE_MIN
/* The longest pause that is believed. */
#define PAUSE_MAX (3600 * SECOND)
/* Requests that may start at once after a rest: a fifth of a second's worth. */
#define SAVED_REQUESTS (SECOND / 5)

void
cs_pace_set(CsPace *pace, int64 bytes_per_second, double requests_per_second)
{
	pace->bytes_per_second = Max(bytes_per_second, 0);
	pace->requests_per_second = Max(requests_per_second, 0);
}

/* What the time since the last look is worth, saved up to a quarter second. */
static void
refill(CsPace *pace, int64 now)
{
	double rate = (double) pace->bytes_per_second;

	if (rate == 0)
		return;
	pace->bytes += rate * (double) (now - pace->bytes_since) / SECOND;
	pace->bytes = Min(pace->bytes, BURST(rate));
	pace->bytes_since = now;
}

/* When there will be so many bytes. */
static int64
time_of(const CsPace *pace, double bytes, int64 now)
{
	return now + 1 +
		   (int64) ((bytes - pace->bytes) / (double) pace->bytes_per_second * SECOND);
}

int64
cs_pace_start(CsPace *pace, CsPaceTicket *ticket, int64 now)
{
	if (now < pace->not_before)
		return pace->not_before;
	if (pace->limit > 0 && pace->running >= pace->limit)
		return PG_INT64_MAX;
	refill(pace, now);
	if (pace->bytes_per_second > 0 && pace->bytes < -DEBT_MAX)
		return time_of(pace, -DEBT_MAX, now);
	if (pace->requests_per_second > 0)
	{
		/* A rest is worth a few at once, but no more. */
		if (pace->request_at < now - SAVED_REQUESTS)
			pace->request_at = now - SAVED_REQUESTS;
		if (pace->request_at > now)
			return pace->request_at;
		pace->request_at += (int64) (SECOND / pace->requests_per_second);
	}
	pace->running++;
	ticket->held = true;
	ticket->epoch = pace->epoch;
	return 0;
}

/* Half of what was under way when it became too much. */
static void
slow_down(CsPace *pace, const CsPaceTicket *ticket)
{
	pace->successes = 0;
	if (ticket->epoch != pace->epoch)
		return; /* it started before the last halving */
	pace->limit = Max(1, (pace->running + 1) / 2);
	pace->epoch++;
}

void
cs_pace_end(CsPace *pace, CsPaceTicket *ticket, int64 now, bool success,
			bool overloaded, int64 retry_after_ms)
{
	if (!ticket->held)
		return;
	ticket->held = false;
	if (overloaded)
	{
		slow_down(pace, ticket);
		if (retry_after_ms > 0)
		{
			int64 pause = Min(retry_after_ms, PAUSE_MAX / 1000) * 1000;

			pace->not_before = Max(pace->not_before, now + pause);
		}
	}
	else if (success && pace->limit > 0 && ++pace->successes >= GROW_AFTER)
	{
		pace->successes = 0;
		if (++pace->limit >= LIMIT_GONE)
			pace->limit = 0;
	}
	pace->running--;
}

int64
cs_pace_bytes(CsPace *pace, int64 wanted, int64 now, int64 *again)
{
	int64 granted;

	if (pace->bytes_per_second == 0 || wanted == 0)
		return wanted;
	refill(pace, now);
	if (pace->bytes <= 0)
	{
		/* When there is enough for a piece worth the effort. */
		*again = time_of(pace, PIECE_MIN, now);
		return 0;
	}
	/* What is let go beyond what there is, is waited for by the next. */
	granted = Min(wanted, Max((int64) BURST((double) pace->bytes_per_second) / 2,
							  PIECE_MIN));
	pace->bytes -= (double) granted;
	return granted;
}

void
cs_pace_give_back(CsPace *pace, int64 bytes)
{
	if (pace->bytes_per_second > 0)
		pace->bytes += (double) bytes;
}

void
cs_pace_spent(CsPace *pace, int64 bytes, int64 now)
{
	if (pace->bytes_per_second == 0)
		return;
	refill(pace, now);
	pace->bytes -= (double) bytes;
}
