/*
 * worker.c
 *	  A transfer worker: runs the loop (loop.c) until there has been nothing to
 *	  do for a while; for cloudsync_run, until all that is due is done.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "cloudsync/db.h"
#include "internal.h"

#define LINGER_MS 30000
#define LOOK_EVERY_MS 60000
#define MIN_LOOK_MS 100 /* between two looks, however often we are woken */

/* Does this database (still) want workers? Gives everything back if not. */
static void
check_here(CsServer *server, CsReport *report)
{
	char *why;
	CsHere here = cs_look_here(&why);

	if (here == CS_HERE_ACTIVE)
		return;
	if (report != NULL)
		strlcpy(report->error,
				here == CS_HERE_NOT ? "extension \"cloudsync\" was dropped"
									: why,
				sizeof(report->error));
	if (here == CS_HERE_SUSPENDED)
		cs_server_leave(server);
	proc_exit(0);
}

/* One that serves lingers for more work; one that was asked to run does not. */
static bool
finished(CsServer *server, CsWorkerMode mode, TimestampTz until,
		 TimestampTz now)
{
	if (now >= until)
		return true;
	if (!cs_server_idle(server))
		return false;
	if (mode == CS_RUN)
		return true;
	return TimestampDifferenceExceeds(cs_server_idle_since(server), now,
									  LINGER_MS);
}

void
cs_worker_main(Datum arg)
{
	MemoryContext context;
	CsServer *server;
	CsStart start;
	CsReport *report;
	TimestampTz look_at = 0;
	TimestampTz next_look = 0;
	TimestampTz until = DT_NOEND;
	TimestampTz now;

	cs_process_begin(CS_WORKER, &start, &report);
	context = AllocSetContextCreate(TopMemoryContext, "cloudsync worker",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	server = cs_server_create(start.mode);
	cs_share_flush(true);
	now = GetCurrentTimestamp();
	if (start.max_time > 0)
		until = now + start.max_time;
	if (start.mode == CS_RUN)
	{
		check_here(server, report);
		(void) cs_schedule_pass(now, true);
	}
	do
	{
		bool woken = cs_process_woken();

		cs_process_check();
		cs_process_reload();
		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		now = GetCurrentTimestamp();
		if ((woken && now >= next_look) || now >= look_at)
		{
			check_here(server, report);
			next_look = TimestampTzPlusMilliseconds(now, MIN_LOOK_MS);
			look_at = TimestampTzPlusMilliseconds(now, LOOK_EVERY_MS);
			woken = true;
		}
		else if (woken) /* heard, and looked into a moment later */
			look_at = Min(look_at, next_look);
		cs_server_pass(
			server, woken,
			Min(until, Min(look_at, cs_server_idle_since(server) +
										LINGER_MS * INT64CONST(1000))));
	} while (!finished(server, start.mode, until, GetCurrentTimestamp()));
	cs_server_leave(server);
	cs_share_flush(false);
	if (report != NULL)
		report->done = true;
	proc_exit(0);
}
