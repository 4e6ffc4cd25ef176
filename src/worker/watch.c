/*
 * watch.c
 *	  The process that watches folders, one a database for all connections that
 *	  ask for it, and what the scheduler does to have one while there is a folder
 *	  to watch. The work itself is the engine's (include/cloudsync/watch.h).
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "cloudsync/compat.h"
#include "cloudsync/settings.h"
#include "cloudsync/watch.h"
#include "internal.h"

#define LOOK_EVERY_MS 60000
#define MIN_LOOK_MS 250 /* between two looks, however often we are woken */

/* ---- The scheduler's part ---- */

/* See internal.h. */
TimestampTz
cs_watch_keep(CsHelper *helper, TimestampTz now)
{
	/* it finds out itself when there is nothing (more) to watch */
	if (cs_helper_wake(helper, CS_WATCH, now))
		return DT_NOEND;
	if (!cs_watch_wanted())
	{
		cs_problem_no_slot(MyDatabaseId, CS_WATCH, false);
		return DT_NOEND;
	}
	return cs_helper_start(helper, CS_WATCH, "watch folders",
						   "Documents are collected as scheduled meanwhile.", now);
}

/* ---- The process ---- */

typedef struct Watching
{
	CsWatcher *watcher;
	WaitEventSet *events;
	uint32 wait_event;
	TimestampTz look_at;
	TimestampTz next_look;
} Watching;

/* Does this database (still) want workers? */
static void
check_here(void)
{
	char *why;

	if (cs_look_here(&why) != CS_HERE_ACTIVE)
		proc_exit(0);
}

/* Is it time to see what is to be watched? Not for each of many wake-ups. */
static bool
is_time_to_look(Watching *watching, bool woken, TimestampTz now)
{
	if (woken)
		watching->look_at = Min(watching->look_at, Max(now, watching->next_look));
	if (now < watching->look_at)
		return false;
	check_here();
	watching->next_look = TimestampTzPlusMilliseconds(now, MIN_LOOK_MS);
	watching->look_at = TimestampTzPlusMilliseconds(now, LOOK_EVERY_MS);
	return true;
}

static void
wait(Watching *watching)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz at = Min(watching->look_at, cs_watcher_wake_at(watching->watcher));
	long timeout = at <= now ? 0 : TimestampDifferenceMilliseconds(now, at) + 1;
	WaitEvent event;

	if (cs_watcher_listens(watching->watcher))
		(void) WaitEventSetWait(watching->events, timeout, &event, 1, watching->wait_event);
	else
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout, watching->wait_event);
}

static void
begin(Watching *watching)
{
	CsReport *report;
	CsStart start;

	cs_process_begin(CS_WATCH, &start, &report);
	/* there is one: nothing is asked for twice */
	if (!cs_lock_take(CS_LOCK_WATCH, 0, false))
		proc_exit(0);
	watching->watcher = cs_watcher_create();
	watching->wait_event = cs_wait_event("CloudsyncWatch");
	watching->events = CsCreateWaitEventSet(3);
	AddWaitEventToSet(watching->events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(watching->events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(watching->events, WL_SOCKET_READABLE, cs_watcher_fd(watching->watcher), NULL, NULL);
}

void
cs_watch_main(Datum arg)
{
	Watching watching = {0};
	MemoryContext context;

	begin(&watching);
	context = AllocSetContextCreate(TopMemoryContext, "cloudsync watching", ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		bool woken = cs_process_woken();
		bool look;

		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		cs_process_check();
		cs_process_reload();
		look = is_time_to_look(&watching, woken, GetCurrentTimestamp());
		cs_watcher_turn(watching.watcher, look);
		if (look)
		{
			if (cs_watcher_folders(watching.watcher) == 0)
				proc_exit(0);
			pgstat_report_activity(STATE_RUNNING, cs_watcher_activity(watching.watcher));
		}
		wait(&watching);
	}
}
