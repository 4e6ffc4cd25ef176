/*
 * limit.c
 *	  Ends application code that takes too long (limit.h), the way a statement is
 *	  cancelled: at its next check for interrupts, with an error that rolls back
 *	  no more than the caller's (sub)transaction. Code that catches the error and
 *	  goes on ends with the process when the limit has passed a second time.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

#include "cloudsync/compat.h"
#include "cloudsync/limit.h"
#include "cloudsync/settings.h"

static TimeoutId limit_id;
static TimeoutId end_id;
static bool registered = false;
static bool running = false;
static volatile sig_atomic_t exceeded = false;
static volatile sig_atomic_t ending = false;

/* What is running, for the process's last words, and who is told of it. */
static char running_text[300];
static CsLimitBlame blame = NULL;
static void *blame_arg = NULL;

static void
limit_handler(void)
{
	exceeded = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

/* It was cancelled and still runs: what nothing catches. */
static void
end_handler(void)
{
	ending = true;
	InterruptPending = true;
	ProcDiePending = true;
	SetLatch(MyLatch);
}

/*
 * The process ends by end_handler's doing, in the middle of what it ran. An
 * error in here is one while the process ends: the server goes on with that.
 */
static void
tell_at_exit(int code, Datum arg)
{
	CsLimitBlame fn = blame;
	ErrorData error = {0};

	if (!ending)
		return;
	ending = false;
	AbortOutOfAnyTransaction();
	MemoryContextSwitchTo(TopMemoryContext);
	ereport(LOG, (errmsg("cloudsync ends a process: %s", running_text)));
	error.elevel = ERROR;
	error.sqlerrcode = ERRCODE_QUERY_CANCELED;
	error.message = running_text;
	blame = NULL;
	if (fn != NULL)
		fn(blame_arg, &error);
}

/* See limit.h. */
void
cs_limit_blame(CsLimitBlame fn, void *arg)
{
	blame = fn;
	blame_arg = arg;
}

static void
begin_limit(int ms, const char *setting, const char *what)
{
	if (!registered)
	{
		limit_id = RegisterTimeout(USER_TIMEOUT, limit_handler);
		end_id = RegisterTimeout(USER_TIMEOUT, end_handler);
		before_shmem_exit(tell_at_exit, (Datum) 0);
		registered = true;
	}
	snprintf(running_text, sizeof(running_text),
			 "%s took longer than %s (%d ms) and " CS_LIMIT_ENDED,
			 what, setting, ms);
	running = true;
	exceeded = false;
	ending = false;
	enable_timeout_after(limit_id, ms);
	enable_timeout_after(end_id, ms > PG_INT32_MAX / 2 ? PG_INT32_MAX : 2 * ms);
}

/* A process that was to end by end_handler still does, but in good order. */
static void
end_limit(void)
{
	disable_timeout(limit_id, false);
	disable_timeout(end_id, false);
	running = false;
	ending = false;
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
	begin_limit(ms, setting, what);
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
