/*
 * helper.c
 *	  What a scheduler does to have a process of a kind of which there is one a
 *	  database, and only while there is something for it to do (ocr.c, watch.c).
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "internal.h"

#define SHORT_LIFE_MS 2000 /* one that ended sooner failed */
#define FIRST_DELAY_MS 500
#define LAST_DELAY_MS 60000
#define RUNNING_LOOK_MS 60000

/*
 * Has the one that we started ended? One that ended at once makes us wait, for
 * longer and longer unless it left in good order.
 */
static void
reap(CsHelper *helper, CsProcessKind kind, TimestampTz now)
{
	CsDatabase *slot = cs_database_slot(MyDatabaseId, false);
	pid_t pid;

	if (helper->handle == NULL ||
		GetBackgroundWorkerPid(helper->handle, &pid) != BGWH_STOPPED)
		return;
	pfree(helper->handle);
	helper->handle = NULL;
	if (slot != NULL && cs_take_left(slot, kind))
		helper->failures = 0;
	if (TimestampDifferenceExceeds(helper->started_at, now, SHORT_LIFE_MS))
		helper->failures = 0;
	else
		helper->start_at = TimestampTzPlusMilliseconds(
			now, Min(LAST_DELAY_MS, FIRST_DELAY_MS << Min(helper->failures++, 10)));
}

static bool
start(CsHelper *helper, CsProcessKind kind, TimestampTz now)
{
	CsStart what = {.database = MyDatabaseId, .report = DSM_HANDLE_INVALID};
	BackgroundWorker worker;
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	bool ok;

	cs_process_define(&worker, kind, &what, -1);
	ok = RegisterDynamicBackgroundWorker(&worker, &helper->handle);
	MemoryContextSwitchTo(old);
	if (!ok)
		helper->handle = NULL;
	else
		helper->started_at = now;
	return ok;
}

/* See internal.h. */
bool
cs_helper_wake(CsHelper *helper, CsProcessKind kind, TimestampTz now)
{
	reap(helper, kind, now);
	if (helper->handle == NULL && cs_count_processes(MyDatabaseId, kind, NULL) == 0)
		return false;
	cs_problem_no_slot(MyDatabaseId, kind, false);
	cs_wake_processes(MyDatabaseId, kind);
	return true;
}

/* See internal.h. */
TimestampTz
cs_helper_start(CsHelper *helper, CsProcessKind kind, const char *what_for,
				const char *meanwhile, TimestampTz now)
{
	if (helper->start_at > now)
		return helper->start_at;
	if (start(helper, kind, now))
	{
		cs_problem_no_slot(MyDatabaseId, kind, false);
		helper->no_slot = false;
		return TimestampTzPlusMilliseconds(now, RUNNING_LOOK_MS);
	}
	if (!helper->no_slot)
		ereport(WARNING, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						  errmsg("cloudsync could not start a process to %s: all background "
								 "worker slots are in use",
								 what_for),
						  errdetail("%s", meanwhile), errhint("Increase max_worker_processes.")));
	helper->no_slot = true;
	cs_problem_no_slot(MyDatabaseId, kind, true);
	return TimestampTzPlusMilliseconds(now, LAST_DELAY_MS);
}
