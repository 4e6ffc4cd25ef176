/*
 * wake.c
 *	  Waking on commit (W4): functions and triggers say that there is work; the
 *	  scheduler's latch is set when, and only when, the transaction commits.
 *	  Relies on the transaction callback, in which nothing may fail: what could
 *	  is done before.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "cloudsync/settings.h"
#include "internal.h"

static bool registered = false;
static bool wake_changes = false;
static bool wake_urgent = false;
static bool wake_waiting = false;
static bool wake_again = false;
static CsDatabase *my_slot = NULL;
static Latch *found_latch = NULL;

/* Nothing in here can raise an error. */
static void
at_commit(void)
{
	Latch *latch = NULL;

	if (my_slot != NULL && my_slot->database == MyDatabaseId)
	{
		bool was_set = true;

		if (wake_changes)
		{
			/* first only looked at, so that writers share what nobody changes */
			pg_memory_barrier();
			was_set = pg_atomic_read_u32(&my_slot->changes) != 0 ||
					  pg_atomic_exchange_u32(&my_slot->changes, 1) != 0;
		}
		if (wake_urgent)
			pg_atomic_write_u32(&my_slot->urgent, 1);
		if (wake_again && pg_atomic_exchange_u32(&my_slot->again, 1) == 0)
			was_set = false;
		if (wake_urgent || !was_set)
			latch = my_slot->latch;
		if (wake_waiting)
		{
			pg_atomic_fetch_add_u32(&my_slot->ended, 1);
			ConditionVariableBroadcast(&my_slot->end);
		}
	}
	else if (wake_urgent)
		latch = found_latch;
	if (latch != NULL)
		SetLatch(latch);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (!wake_changes && !wake_urgent && !wake_waiting && !wake_again)
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			if (my_slot != NULL && my_slot->database == MyDatabaseId)
				return;
			if (cs_shared != NULL)
				my_slot = cs_database_slot(MyDatabaseId, false);
			else if (wake_urgent)
				found_latch = cs_find_process(MyDatabaseId, CS_SCHEDULER, NULL);
			return;
		case XACT_EVENT_COMMIT:
			at_commit();
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE: /* the scheduler looks once a minute */
			break;
		default:
			return;
	}
	wake_changes = wake_urgent = wake_waiting = wake_again = false;
	found_latch = NULL;
}

static void
register_once(void)
{
	if (registered)
		return;
	RegisterXactCallback(at_transaction_end, NULL);
	registered = true;
}

void
cs_wake_on_commit(bool urgent)
{
	register_once();
	if (urgent)
		wake_urgent = true;
	else
		wake_changes = true;
}

/* See wake.h. Without preload the scheduler looks by itself, often enough. */
void
cs_look_again_on_commit(void)
{
	register_once();
	wake_again = true;
}

/* See wake.h. */
void
cs_tell_end_on_commit(void)
{
	register_once();
	wake_waiting = true;
}

/* See wake.h. */
int64
cs_ends_told(void)
{
	CsDatabase *slot = cs_database_slot(MyDatabaseId, false);

	return slot != NULL ? (int64) pg_atomic_read_u32(&slot->ended) : -1;
}

/* See wake.h. */
void
cs_wait_for_end(int64 told, int64 timeout_ms)
{
	CsDatabase *slot = cs_database_slot(MyDatabaseId, false);
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);
	long left;

	if (slot == NULL)
		return;
	ConditionVariablePrepareToSleep(&slot->end);
	while (pg_atomic_read_u32(&slot->ended) == (uint32) told &&
		   (left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end)) > 0)
		(void) ConditionVariableTimedSleep(&slot->end, left, PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
}

/* See wake.h. */
void
cs_wake_reader(void)
{
	Latch *scheduler = NULL;
	CsDatabase *slot;

	if (!cs_ocr)
		return;
	if (cs_count_processes(MyDatabaseId, CS_OCR, NULL) > 0)
	{
		cs_wake_processes(MyDatabaseId, CS_OCR);
		return;
	}
	slot = cs_database_slot(MyDatabaseId, false);
	if (slot != NULL)
		scheduler = slot->latch;
	else if (cs_shared == NULL)
		scheduler = cs_find_process(MyDatabaseId, CS_SCHEDULER, NULL);
	if (scheduler != NULL)
		SetLatch(scheduler);
}
