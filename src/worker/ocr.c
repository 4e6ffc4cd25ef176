/*
 * ocr.c
 *	  The process that reads documents (B2, W10), one a database, and what the
 *	  scheduler does to have one when there is something to read. The work itself
 *	  is the engine's (include/cloudsync/ocr.h).
 */
#include "postgres.h"

#include <signal.h>
#include <unistd.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "cloudsync/db.h"
#include "cloudsync/notify.h"
#include "cloudsync/ocr.h"
#include "cloudsync/settings.h"
#include "internal.h"

#define LINGER_MS 10000
#define LOOK_EVERY_MS 60000
#define OTHER_MS 250		/* another one reads: look again */
#define RUNNING_LOOK_MS 60000

/* ---- The scheduler's part ---- */

/* See internal.h. */
TimestampTz
cs_ocr_keep(CsHelper *helper, TimestampTz now)
{
	TimestampTz next = cs_ocr ? cs_ocr_next() : DT_NOEND;

	if (next > now)
		cs_problem_no_slot(MyDatabaseId, CS_OCR, false);
	if (!cs_ocr)
		return DT_NOEND;
	/* it also looks whether what it reads is still wanted */
	if (cs_helper_wake(helper, CS_OCR, now))
		return next > now ? next : TimestampTzPlusMilliseconds(now, RUNNING_LOOK_MS);
	if (next > now)
		return next;
	return cs_helper_start(helper, CS_OCR, "read documents", "Documents wait until there is one.", now);
}

/* ---- The process ---- */

typedef struct Reader
{
	CsOcr *ocr; /* NULL until it is the one that reads here */
	CsReport *report;
	CsWorkerMode mode;
	WaitEventSet *events;
	uint32 wait_event;
	TimestampTz until;
	TimestampTz idle_since;
	TimestampTz look_at;
} Reader;

/* Somebody else, the server among them, has told this process to end. */
static volatile sig_atomic_t told = false;

/* Like die; what it runs for the application may have sent the signal itself. */
static void
handle_sigterm(int signo, siginfo_t *info, void *context)
{
	int save_errno = errno;

	if (info->si_pid != MyProcPid)
		told = true;
	if (getpid() == MyProcPid)
		die(signo);
	errno = save_errno;
}

static void
obey_sigterm(void)
{
	struct sigaction action = {.sa_sigaction = handle_sigterm, .sa_flags = SA_RESTART | SA_SIGINFO};

	sigemptyset(&action.sa_mask);
	sigaction(SIGTERM, &action, NULL);
}

static void
leave_reading(Reader *reader)
{
	CsOcr *ocr = reader->ocr;

	reader->ocr = NULL;
	if (ocr != NULL)
		cs_ocr_leave(ocr);
}

/*
 * Told to end within a statement: what was in hand is given back here too. A
 * process that ends for another reason may have been ended by what it read.
 */
static void
leave_at_exit(int code, Datum arg)
{
	if (!told)
		return;
	AbortOutOfAnyTransaction();
	MemoryContextSwitchTo(TopMemoryContext);
	leave_reading((Reader *) DatumGetPointer(arg));
}

pg_noreturn static void
leave(Reader *reader, const char *error)
{
	leave_reading(reader);
	cs_share_flush(false);
	if (!ProcDiePending)
		cs_notify_send();
	if (reader->report != NULL)
	{
		if (error != NULL)
			strlcpy(reader->report->error, error, sizeof(reader->report->error));
		else
			reader->report->done = true;
	}
	proc_exit(0);
}

/* Does this database (still) want documents to be read? */
static void
check_here(Reader *reader)
{
	char *why;
	CsHere here = cs_look_here(&why);

	if (here == CS_HERE_ACTIVE)
		return;
	if (here == CS_HERE_NOT)
		why = "extension \"cloudsync\" was dropped";
	leave(reader, why);
}

/* One at a time reads the documents of a database. */
static void
begin_reading(Reader *reader)
{
	if (reader->ocr != NULL || !cs_lock_take(CS_LOCK_OCR, 0, false))
		return;
	reader->ocr = cs_ocr_create();
	before_shmem_exit(leave_at_exit, PointerGetDatum(reader));
	AddWaitEventToSet(reader->events, WL_SOCKET_READABLE, cs_ocr_fd(reader->ocr), NULL, NULL);
}

/* Told to end, or to end what it reads, while nothing else is under way. */
static void
obey(Reader *reader)
{
	if (ProcDiePending)
		leave(reader, "the worker was told to end");
	if (QueryCancelPending)
	{
		QueryCancelPending = false;
		if (reader->ocr != NULL)
			cs_ocr_cancel(reader->ocr);
	}
	cs_process_check();
	cs_process_reload();
	if (!cs_ocr)
		leave(reader, NULL);
}

static bool
finished(Reader *reader, TimestampTz now)
{
	if (now >= reader->until)
		return true;
	if (reader->ocr == NULL)
		return reader->mode != CS_RUN || cs_ocr_next() > now;
	if (cs_ocr_busy(reader->ocr) > 0)
		reader->idle_since = now;
	if (reader->mode == CS_RUN)
		return cs_ocr_busy(reader->ocr) == 0 && cs_ocr_next() > now;
	return TimestampDifferenceExceeds(reader->idle_since, now, LINGER_MS);
}

static void
tell(Reader *reader)
{
	char *text = reader->ocr ? cs_ocr_activity(reader->ocr) : NULL;

	pgstat_report_activity(text ? STATE_RUNNING : STATE_IDLE, text);
}

static void
wait(Reader *reader)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz at = Min(reader->look_at, reader->until);
	WaitEvent event;

	if (reader->ocr == NULL)
		at = Min(at, TimestampTzPlusMilliseconds(now, OTHER_MS));
	else
		at = Min(at, cs_ocr_wake_at(reader->ocr));
	if (reader->mode != CS_RUN && reader->ocr != NULL && cs_ocr_busy(reader->ocr) == 0)
		at = Min(at, TimestampTzPlusMilliseconds(reader->idle_since, LINGER_MS));
	tell(reader);
	(void) WaitEventSetWait(reader->events, at <= now ? 0 : TimestampDifferenceMilliseconds(now, at) + 1,
							&event, 1, reader->wait_event);
}

void
cs_ocr_main(Datum arg)
{
	Reader reader = {.until = DT_NOEND};
	MemoryContext context;
	CsStart start;

	cs_process_begin(CS_OCR, &start, &reader.report);
	obey_sigterm();
	context = AllocSetContextCreate(TopMemoryContext, "cloudsync reader", ALLOCSET_DEFAULT_SIZES);
	reader.mode = start.mode;
	reader.wait_event = cs_wait_event("CloudsyncOcr");
	reader.events = CsCreateWaitEventSet(3);
	AddWaitEventToSet(reader.events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(reader.events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	reader.idle_since = GetCurrentTimestamp();
	if (start.max_time > 0)
		reader.until = reader.idle_since + start.max_time;
	cs_share_flush(true);
	for (;;)
	{
		bool woken = cs_process_woken();
		TimestampTz now = GetCurrentTimestamp();

		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		obey(&reader);
		if (woken || now >= reader.look_at)
		{
			check_here(&reader);
			reader.look_at = TimestampTzPlusMilliseconds(now, LOOK_EVERY_MS);
		}
		begin_reading(&reader);
		if (reader.ocr != NULL)
		{
			cs_ocr_turn(reader.ocr, woken);
			cs_notify_send();
		}
		if (finished(&reader, GetCurrentTimestamp()))
			break;
		wait(&reader);
	}
	leave(&reader, NULL);
}
