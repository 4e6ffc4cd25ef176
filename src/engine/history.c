/*
 * history.c
 *	  What becomes of runs that ended, in the scheduler's hands: they are added
 *	  to the totals (metrics.sql), and removed once they are old (H6). Both go by
 *	  small steps in short transactions, for so long a pass at most.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "cloudsync/crash.h"
#include "cloudsync/db.h"
#include "cloudsync/engine.h"
#include "cloudsync/settings.h"

#define COUNT_ROWS 10000
#define COUNT_EVERY_MS 60000
#define REMOVE_RUNS 500
#define REMOVE_FILES 2000
#define REMOVE_MS 500			  /* of one pass */
#define REMOVE_EVERY_MS (3600 * 1000) /* looks for what has grown old */

static const char *const kinds[] = {"push", "refresh", "prepare", "collect"};

/* Where removing stands; starts anew with the process. */
static struct
{
	int kind; /* lengthof(kinds): through, until look_at */
	TimestampTz after_at;
	int64 after_run;
	TimestampTz look_at;
	int minutes; /* the settings it began with */
	int collect_minutes;
} removing = {.kind = lengthof(kinds)};

/* See engine.h. */
void
cs_count_runs(TimestampTz now)
{
	static TimestampTz last = 0;
	Oid types[1] = {INT4OID};
	Datum values[1] = {Int32GetDatum(COUNT_ROWS)};
	int64 n;

	if (!TimestampDifferenceExceeds(last, now, COUNT_EVERY_MS))
		return;
	do
	{
		CHECK_FOR_INTERRUPTS();
		cs_begin("counting runs");
		cs_execute("SELECT cloudsync.count_runs($1)", 1, types, values, NULL, false);
		n = cs_get_int64(0, 1, 0);
		cs_commit();
	} while (n == COUNT_ROWS);
	last = now;
}

static int
minutes_kept(int kind)
{
	return strcmp(kinds[kind], "collect") == 0 ? cs_collect_history_retention : cs_history_retention;
}

/* One step; the next one goes on behind it, or with the next kind. */
static void
remove_step(TimestampTz now)
{
	Oid types[7] = {TIMESTAMPTZOID, TEXTOID, INT4OID, INT4OID, INT4OID, TIMESTAMPTZOID, INT8OID};
	Datum values[7];
	TimestampTz after_at;
	int64 after_run;

	cs_begin("removing old history");
	values[0] = TimestampTzGetDatum(now);
	values[1] = CStringGetTextDatum(kinds[removing.kind]);
	values[2] = Int32GetDatum(minutes_kept(removing.kind));
	values[3] = Int32GetDatum(REMOVE_RUNS);
	values[4] = Int32GetDatum(REMOVE_FILES);
	values[5] = TimestampTzGetDatum(removing.after_at);
	values[6] = Int64GetDatum(removing.after_run);
	cs_execute("SELECT r.after_at, r.after_run FROM cloudsync.remove_history($1, $2, "
			   "$3 OPERATOR(pg_catalog.*) interval '1 minute', $4, $5, $6, $7) r",
			   7, types, values, NULL, false);
	after_at = cs_get_timestamptz(0, 1, DT_NOEND);
	after_run = cs_get_int64(0, 2, 0);
	CS_CRASH_POINT("history.before_remove_commit");
	cs_commit();
	if (after_at != DT_NOEND)
	{
		removing.after_at = after_at;
		removing.after_run = after_run;
		return;
	}
	removing.kind++;
	removing.after_at = DT_NOBEGIN;
	removing.after_run = 0;
}

/* See engine.h. */
void
cs_remove_history(TimestampTz now)
{
	TimestampTz began = GetCurrentTimestamp();

	if (removing.minutes != cs_history_retention ||
		removing.collect_minutes != cs_collect_history_retention ||
		(removing.kind == lengthof(kinds) &&
		 (now >= removing.look_at || CS_FAULT("history.look_again"))))
	{
		removing.kind = 0;
		removing.after_at = DT_NOBEGIN;
		removing.after_run = 0;
		removing.minutes = cs_history_retention;
		removing.collect_minutes = cs_collect_history_retention;
	}
	if (removing.kind == lengthof(kinds))
		return;
	while (removing.kind < lengthof(kinds) &&
		   !TimestampDifferenceExceeds(began, GetCurrentTimestamp(), REMOVE_MS))
	{
		CHECK_FOR_INTERRUPTS();
		if (minutes_kept(removing.kind) < 0)
			removing.kind++;
		else
			remove_step(now);
	}
	removing.look_at = TimestampTzPlusMilliseconds(now, REMOVE_EVERY_MS);
}
