/*
 * ocr.c
 *	  The state machine of reading documents (ocr.h): up to cloudsync.ocr_jobs
 *	  programs at once, and whatever fails is recorded against its document (W5).
 *
 * The private folder is among the server's own temporary files: its name has
 * their prefix, so that the server removes it too when it starts, and base
 * backups leave it out.
 */
#include "postgres.h"

#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file_utils.h" /* PG_TEMP_FILES_DIR from 16 on */
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "cloudsync/compat.h"
#include "cloudsync/crash.h"
#include "cloudsync/db.h"
#include "cloudsync/settings.h"
#include "reading.h"

#define LOCKED_MS 500	/* before a locked row is tried again */
#define FAILING_MS 5000 /* before looking again when looking failed */
#define SOON_MS 10		/* a program that is about to end */
#define LOOK_MS 1000	/* at one whose end is not told */
#define RESCAN_MS 60000
#define BUSY_LOOK_MS 5000 /* while there is something to read */
#define SANDBOX_MS 60000  /* before a better sandbox is looked for again */

static void
remove_folder(const char *folder)
{
	struct stat st;

	if (lstat(folder, &st) == 0)
		(void) rmtree(folder, true);
}

static void
remove_at_exit(int code, Datum arg)
{
	remove_folder(DatumGetPointer(arg));
}

/* What is left of one that ended without saying so is ended and removed. */
static void
make_folder(CsOcr *ocr)
{
	const char *parent = "base/" PG_TEMP_FILES_DIR;

	ocr->folder = psprintf("%s/%s/%scloudsync_ocr_%u", DataDir, parent, PG_TEMP_FILE_PREFIX, MyDatabaseId);
	cs_program_sweep(ocr->folder);
	remove_folder(ocr->folder);
	(void) MakePGDirectory(parent);
	if (mkdir(ocr->folder, 0700) != 0 && errno != EEXIST)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not create directory \"%s\": %m", ocr->folder)));
	before_shmem_exit(remove_at_exit, PointerGetDatum(ocr->folder));
}

/* See ocr.h. */
CsOcr *
cs_ocr_create(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "cloudsync ocr", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	CsOcr *ocr = palloc0(sizeof(CsOcr));

	ocr->context = context;
	ocr->turn = AllocSetContextCreate(context, "cloudsync ocr turn", ALLOCSET_DEFAULT_SIZES);
	ocr->scan = true;
	ocr->scan_at = DT_NOEND;
	ocr->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (ocr->epoll < 0)
		ereport(ERROR, (errcode(ERRCODE_SYSTEM_ERROR), errmsg("could not create an epoll descriptor: %m")));
	make_folder(ocr);
	MemoryContextSwitchTo(old);
	return ocr;
}

int
cs_ocr_fd(CsOcr *ocr)
{
	return ocr->epoll;
}

int
cs_ocr_busy(CsOcr *ocr)
{
	return list_length(ocr->queue) + list_length(ocr->readings);
}

/* See ocr.h. */
char *
cs_ocr_activity(CsOcr *ocr)
{
	CsReading *first;
	int n = list_length(ocr->readings);

	if (n == 0)
		return NULL;
	first = linitial(ocr->readings);
	if (n == 1)
		return psprintf("reading document " INT64_FORMAT ", %d pages so far", first->document_id,
						first->pages.n_pages);
	return psprintf("reading document " INT64_FORMAT " and %d more", first->document_id, n - 1);
}

/* The error being handled; its transaction is ended. */
static ErrorData *
take_error(MemoryContext context)
{
	ErrorData *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	cs_rollback();
	MemoryContextSwitchTo(context);
	return error;
}

static void
forget(CsOcr *ocr, CsReading *reading)
{
	cs_reading_clear(reading);
	ocr->readings = list_delete_ptr(ocr->readings, reading);
	MemoryContextDelete(reading->context);
}

/*
 * What went wrong in our own hands. When that cannot be settled either, the
 * document is left as it is: its attempt is counted.
 */
static void
fail(CsReading *reading, const ErrorData *error)
{
	CsOcrResult failed = {0};

	ereport(LOG, (errmsg("cloudsync could not read document " INT64_FORMAT ": %s", reading->document_id,
						 cs_error_text(error))));
	cs_reading_clear(reading);
	if (reading->plain)
	{
		reading->phase = CS_READING_OVER;
		return;
	}
	reading->plain = true;
	reading->phase = CS_READING_SETTLE;
	reading->settle_at = 0;
	if (reading->attempts >= CS_OCR_ATTEMPTS)
		cs_result_fail(&failed, MemoryContextStrdup(reading->context, cs_error_text(error)));
	else
	{
		failed.state = CS_OCR_AGAIN;
		failed.delay_ms = 60000;
		failed.reason = MemoryContextStrdup(reading->context, cs_error_text(error));
	}
	reading->result = failed;
}

/* Is it known, and no better one likely by now? */
static bool
sandbox_stands(const CsOcr *ocr)
{
	if (ocr->sandbox_at == 0)
		return false;
	if (ocr->sandbox == CS_SANDBOX_BWRAP)
		return cs_ocr_sandbox != CS_OCR_SANDBOX_OFF;
	return PgReloadTime <= ocr->sandbox_at &&
		   !TimestampDifferenceExceeds(ocr->sandbox_at, GetCurrentTimestamp(),
									   CS_FAULT("ocr.sandbox_old") ? 0 : SANDBOX_MS);
}

/*
 * The first program of this process is the occasion to look for a sandbox, and
 * while there is none of the best a later one: bwrap may be installed by now,
 * or have failed since the machine was busy.
 */
static void
choose_sandbox(CsOcr *ocr, const char *folder)
{
	char *why = NULL;

	if (sandbox_stands(ocr))
		return;
	if (cs_ocr_sandbox == CS_OCR_SANDBOX_OFF)
	{
		ocr->sandbox = CS_SANDBOX_NONE;
		why = "cloudsync.ocr_sandbox is off";
	}
	else
		ocr->sandbox = cs_sandbox_choose(folder, &why);
	cs_ocr_note_sandbox(ocr->sandbox, why);
	ocr->sandbox_at = GetCurrentTimestamp();
}

/* One step of one document; in its own memory context. */
static void
advance(CsOcr *ocr, CsReading *reading, TimestampTz now)
{
	switch (reading->phase)
	{
		case CS_READING_FETCH:
			if (reading->folder == NULL)
			{
				char *folder = psprintf("%s/%d", ocr->folder, ocr->number++);

				if (mkdir(folder, 0700) != 0)
					ereport(ERROR, (errcode_for_file_access(),
									errmsg("could not create directory \"%s\": %m", folder)));
				reading->folder = folder;
			}
			if (!cs_reading_fetch(reading))
				break;
			choose_sandbox(ocr, reading->folder);
			if (cs_reading_start(ocr, reading))
				reading->phase = CS_READING_RUN;
			else
			{
				cs_reading_clear(reading);
				reading->phase = CS_READING_SETTLE;
			}
			break;
		case CS_READING_RUN:
			if (cs_reading_run(ocr, reading, now))
				reading->phase = CS_READING_SETTLE;
			break;
		case CS_READING_SETTLE:
			if (now < reading->settle_at)
				break;
			if (cs_ocr_settle(reading))
				reading->phase = CS_READING_OVER;
			else
				reading->settle_at = TimestampTzPlusMilliseconds(now, LOCKED_MS);
			break;
		case CS_READING_OVER:
			break;
	}
}

static void
advance_safely(CsOcr *ocr, CsReading *reading, TimestampTz now)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		CsReadingPhase phase;

		do
		{
			phase = reading->phase;
			MemoryContextSwitchTo(reading->context);
			advance(ocr, reading, now);
		} while (reading->phase != phase && reading->phase != CS_READING_OVER);
	}
	PG_CATCH();
	{
		ErrorData *error = take_error(context);

		if (error->sqlerrcode != ERRCODE_QUERY_CANCELED)
			fail(reading, error);
		else if (reading->phase == CS_READING_SETTLE)
			reading->settle_at = TimestampTzPlusMilliseconds(now, LOCKED_MS);
		else
			cs_ocr_cancel(ocr);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
}

/* Looks for documents, and takes as many as there are jobs for. */
static void
take_more(CsOcr *ocr)
{
	while (ocr->scan)
	{
		ocr->scan = false;
		if (!cs_ocr_scan(ocr))
			break;
		ocr->scan = true;
		CHECK_FOR_INTERRUPTS();
	}
	while (ocr->queue != NIL && list_length(ocr->readings) < cs_ocr_jobs)
	{
		CsReading *reading = cs_ocr_claim(ocr);
		MemoryContext old = MemoryContextSwitchTo(ocr->context);

		if (reading != NULL)
			ocr->readings = lappend(ocr->readings, reading);
		MemoryContextSwitchTo(old);
	}
}

static void
drop_unwanted(CsOcr *ocr)
{
	ListCell *cell;

	foreach (cell, cs_ocr_unwanted(ocr))
		forget(ocr, lfirst(cell));
}

/* What was in hand is as if it had not been begun; an error is only logged. */
static void
give_back(CsOcr *ocr, bool all)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		cs_ocr_give_back(ocr, all);
	}
	PG_CATCH();
	{
		ErrorData *error = take_error(context);

		ereport(LOG, (errmsg("cloudsync could not give documents back: %s", error->message)));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
}

/* When there is no document known to be waiting, the next one due is looked for. */
static void
look(CsOcr *ocr, bool woken, TimestampTz now)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool cancelled = false;

	PG_TRY();
	{
		if (woken)
			drop_unwanted(ocr);
		if (woken || now >= ocr->scan_at)
			ocr->scan = true;
		if (ocr->scan || (ocr->queue != NIL && list_length(ocr->readings) < cs_ocr_jobs))
		{
			take_more(ocr);
			ocr->scan_at = Min(cs_ocr_next(), TimestampTzPlusMilliseconds(now, RESCAN_MS));
			/* what is due now is in our hands, or locked */
			if (ocr->scan_at <= now)
				ocr->scan_at = TimestampTzPlusMilliseconds(now, cs_ocr_busy(ocr) > 0 ? BUSY_LOOK_MS : LOCKED_MS);
		}
	}
	PG_CATCH();
	{
		ErrorData *error = take_error(context);

		ereport(WARNING, (errmsg("cloudsync could not look for documents to read: %s", cs_error_text(error))));
		ocr->scan = false;
		ocr->scan_at = TimestampTzPlusMilliseconds(now, FAILING_MS);
		cancelled = error->sqlerrcode == ERRCODE_QUERY_CANCELED;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	if (cancelled)
	{
		cs_ocr_cancel(ocr);
		give_back(ocr, false);
	}
}

/* See ocr.h. */
void
cs_ocr_turn(CsOcr *ocr, bool woken)
{
	MemoryContext old = MemoryContextSwitchTo(ocr->turn);
	TimestampTz now = GetCurrentTimestamp();

	MemoryContextReset(ocr->turn);
	look(ocr, woken, now);
	for (int i = list_length(ocr->readings) - 1; i >= 0; i--)
	{
		CsReading *reading = list_nth(ocr->readings, i);

		advance_safely(ocr, reading, now);
		if (reading->phase == CS_READING_OVER)
		{
			forget(ocr, reading);
			/* the next one at once, and another look when none is known */
			ocr->scan = ocr->scan || ocr->queue == NIL;
		}
	}
	cs_make_durable();
	MemoryContextSwitchTo(old);
}

/* See ocr.h. */
TimestampTz
cs_ocr_wake_at(CsOcr *ocr)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz at = ocr->scan_at;
	ListCell *cell;

	if (ocr->scan || (ocr->queue != NIL && list_length(ocr->readings) < cs_ocr_jobs))
		return 0;
	foreach (cell, ocr->readings)
	{
		CsReading *reading = lfirst(cell);

		if (reading->phase == CS_READING_FETCH || reading->more)
			return 0;
		if (reading->phase == CS_READING_SETTLE)
			at = Min(at, reading->settle_at);
		else if (reading->end_by != DT_NOEND)
			at = Min(at, TimestampTzPlusMilliseconds(now, SOON_MS));
		else
			at = Min(at, reading->deadline);
		/* where its output does not end with it, nothing says that it has ended */
		if (reading->program != NULL && !reading->program->contained)
			at = Min(at, TimestampTzPlusMilliseconds(now, LOOK_MS));
	}
	return at;
}

/* See ocr.h. */
void
cs_ocr_cancel(CsOcr *ocr)
{
	ListCell *cell;

	foreach (cell, ocr->readings)
	{
		CsReading *reading = lfirst(cell);

		if (reading->phase >= CS_READING_SETTLE)
			continue;
		cs_reading_clear(reading);
		memset(&reading->result, 0, sizeof(reading->result));
		cs_result_fail(&reading->result, "its reading was cancelled");
		reading->phase = CS_READING_SETTLE;
		reading->settle_at = 0;
		reading->more = false;
	}
}

/*
 * See ocr.h. It may be that this process is told to end: it still does this, and
 * waits for nobody.
 */
void
cs_ocr_leave(CsOcr *ocr)
{
	ListCell *cell;

	foreach (cell, ocr->readings)
		cs_reading_clear(lfirst(cell));
	HOLD_INTERRUPTS(); /* for good */
	give_back(ocr, true);
	ocr->readings = NIL;
	remove_folder(ocr->folder);
	close(ocr->epoll);
}
