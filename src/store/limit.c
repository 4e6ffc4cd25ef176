/*
 * limit.c
 *	  Ends application code that takes too long (limit.h), the way a statement is
 *	  cancelled: at its next check for interrupts, with an error that rolls back
 *	  no more than the caller's (sub)transaction.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/timeout.h"

#include "cloudsync/compat.h"
#include "cloudsync/limit.h"
#include "cloudsync/settings.h"

static TimeoutId limit_id;
static bool registered = false;
static bool running = false;
static volatile sig_atomic_t exceeded = false;

static void
limit_handler(void)
{
	exceeded = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

static void
begin_limit(int ms)
{
	if (!registered)
	{
		limit_id = RegisterTimeout(USER_TIMEOUT, limit_handler);
		registered = true;
	}
	running = true;
	exceeded = false;
	enable_timeout_after(limit_id, ms);
}

static void
end_limit(void)
{
	disable_timeout(limit_id, false);
	running = false;
	if (exceeded)
		QueryCancelPending = false;
}

static void
too_slow(int ms, const char *setting, const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED),
					errmsg("%s took longer than %s (%d ms)", what, setting, ms)));
}

/* See limit.h. */
void
cs_limited(int ms, const char *setting, const char *what,
		   void (*fn)(void *arg), void *arg)
{
	MemoryContext caller = CurrentMemoryContext;

	if (ms <= 0 || running)
	{
		fn(arg);
		return;
	}
	begin_limit(ms);
	PG_TRY();
	{
		fn(arg);
		end_limit();
	}
	PG_CATCH();
	{
		end_limit();
		if (exceeded && geterrcode() == ERRCODE_QUERY_CANCELED)
		{
			MemoryContextSwitchTo(caller);
			FlushErrorState();
			too_slow(ms, setting, what);
		}
		PG_RE_THROW();
	}
	PG_END_TRY();
	/* what swallows the cancellation has still taken too long */
	if (exceeded)
		too_slow(ms, setting, what);
}

/* See limit.h. */
void
cs_limited_read(const char *relation, void (*fn)(void *arg), void *arg)
{
	if (AmBackgroundWorkerProcess())
		cs_limited(cs_read_timeout, "cloudsync.read_timeout",
				   psprintf("reading table %s", relation), fn, arg);
	else
		fn(arg);
}
