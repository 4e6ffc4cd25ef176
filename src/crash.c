/*
 * crash.c
 *	  Named points at which tests kill the process that reaches them, or make
 *	  something go wrong, or have it wait. Nothing in ordinary builds.
 */
#include "postgres.h"

#include "cloudsync/crash.h"

#ifdef CLOUDSYNC_CRASH_POINTS
#include <signal.h>
#include <unistd.h>

#include "cloudsync/settings.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "utils/guc.h"

/*
 * kill -9, as the machine's memory killer would do it: no clean-up of any kind.
 */
void
cs_crash_point_reached(const char *name)
{
	if (cs_crash_point == NULL || strcmp(cs_crash_point, name) != 0)
		return;
	elog(LOG, "cloudsync: crash point %s", name);
	kill(MyProcPid, SIGKILL);
	for (;;)
		pause();
}

/* Is what the name says to go wrong? */
bool
cs_fault_set(const char *name)
{
	return cs_crash_point != NULL && strcmp(cs_crash_point, name) == 0;
}

/* Waits until the setting has another value; pg_stat_activity says so. */
void
cs_hold_while_set(const char *name)
{
	if (cs_fault_set(name))
		pgstat_report_activity(STATE_RUNNING, name);
	while (cs_fault_set(name))
	{
		pg_usleep(10000);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
}
#endif
