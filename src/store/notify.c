/*
 * notify.c
 *	  NOTIFY cloudsync (H4): events are noted while work is settled and sent in
 *	  a transaction of their own, so that no settling waits for the lock that
 *	  NOTIFY takes. Relies on one process calling both functions.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/async.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "cloudsync/compat.h"
#include "cloudsync/db.h"
#include "cloudsync/notify.h"

#define MAX_EVENTS 4096 /* waiting; beyond that the oldest are enough */

static MemoryContext events_context = NULL;
static List *events = NIL; /* of char *, payloads */
static int n_committed = 0;

/* What a transaction noted that did not commit is forgotten. */
static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT)
		n_committed = list_length(events);
	else if (event == XACT_EVENT_ABORT)
		events = list_truncate(events, n_committed);
}

void
cs_notify(const char *event, const char *id_name, int64 id, const char *kind,
		  const char *state)
{
	MemoryContext old;
	StringInfoData payload;

	if (!AmBackgroundWorkerProcess())
		return;
	if (events_context == NULL)
	{
		events_context = AllocSetContextCreate(
			TopMemoryContext, "cloudsync events", ALLOCSET_SMALL_SIZES);
		RegisterXactCallback(at_transaction_end, NULL);
	}
	if (list_length(events) >= MAX_EVENTS)
		return;
	old = MemoryContextSwitchTo(events_context);
	initStringInfo(&payload);
	appendStringInfoString(&payload, "{\"event\": ");
	escape_json(&payload, event);
	appendStringInfoString(&payload, ", ");
	escape_json(&payload, id_name);
	appendStringInfo(&payload, ": " INT64_FORMAT, id);
	if (kind != NULL)
	{
		appendStringInfoString(&payload, ", \"kind\": ");
		escape_json(&payload, kind);
	}
	appendStringInfoString(&payload, ", \"state\": ");
	escape_json(&payload, state);
	appendStringInfoChar(&payload, '}');
	events = lappend(events, payload.data);
	if (!IsTransactionState())
		n_committed = list_length(events);
	MemoryContextSwitchTo(old);
}

static void
send_all(void)
{
	ListCell *cell;

	cs_begin("notifying listeners");
	foreach (cell, events)
		Async_Notify("cloudsync", (char *) lfirst(cell));
	cs_commit();
	CsAfterNotify();
}

/* A full queue of notifications, say, must not undo or stop any work. */
void
cs_notify_send(void)
{
	MemoryContext context = CurrentMemoryContext;

	if (events == NIL)
		return;
	PG_TRY();
	{
		send_all();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		cs_rollback();
		MemoryContextSwitchTo(context);
		ereport(LOG, (errmsg("cloudsync could not notify listeners: %s",
							 error->message)));
		FreeErrorData(error);
	}
	PG_END_TRY();
	events = NIL;
	n_committed = 0;
	MemoryContextReset(events_context);
}
