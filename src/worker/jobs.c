/*
 * jobs.c
 *	  Jobs of the connections that a worker serves: claimed and advanced by the
 *	  engine, whose errors end the job or hold up the connection, and never the
 *	  loop (W5).
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "cloudsync/db.h"
#include "cloudsync/settings.h"
#include "internal.h"
#include "server.h"

int
cs_server_jobs(CsServer *server)
{
	int count = 0;
	ListCell *cell;

	foreach (cell, server->served)
		count += list_length(((CsServed *) lfirst(cell))->connection->jobs);
	return count;
}

/* See server.h. */
ErrorData *
cs_take_error(MemoryContext context)
{
	ErrorData *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	cs_rollback();
	MemoryContextSwitchTo(context);
	return error;
}

/* How many jobs may be claimed on a connection now. */
int
cs_server_room(CsServer *server, CsServed *served)
{
	if (!cs_token_ready(served->connection))
		return 0;
	return Min(cs_max_transfers_per_connection -
				   list_length(served->connection->jobs),
			   cs_max_transfers - cs_server_jobs(server));
}

/*
 * Has the engine claim what is due on a connection. The first kind leaves one
 * place to the second, so that neither waits for the end of the other.
 */
static int
claim(CsServer *server, CsServed *served, TimestampTz now)
{
	CsConnection *connection = served->connection;
	int most = cs_server_room(server, served);
	int claimed = cs_prepare_claim(connection, most, now);
	int first = Max(1, most - claimed - 1);

	if (claimed >= most)
		return claimed;
	if (served->collect_first)
	{
		claimed += cs_collect_claim(connection, first, now);
		if (claimed < most)
			claimed += cs_push_claim(connection, most - claimed, now);
	}
	else
	{
		claimed += cs_push_claim(connection, first, now);
		if (claimed < most)
			claimed += cs_collect_claim(connection, most - claimed, now);
	}
	served->collect_first = !served->collect_first;
	return claimed;
}

/* A claim failed as a whole: the connection waits, and says why. */
static void
note_claim_error(CsServed *served, ErrorData *error, TimestampTz now)
{
	CsFailure failure = {.failure_class = CS_FAIL_RETRY_LATER};

	ereport(
		WARNING,
		(errcode(error->sqlerrcode),
		 errmsg("cloudsync could not take up work of connection " INT64_FORMAT
				": %s",
				served->connection->connection_id, error->message),
		 error->detail ? errdetail("%s", error->detail) : 0,
		 error->context ? errcontext("%s", error->context) : 0));
	strlcpy(failure.message, error->message, sizeof(failure.message));
	cs_begin("noting a failure");
	cs_connection_note(served->connection, &failure, now);
	cs_commit();
}

void
cs_server_claim(CsServer *server, CsServed *served, TimestampTz now)
{
	CsConnection *connection = served->connection;
	MemoryContext context = CurrentMemoryContext;
	volatile int before = list_length(connection->jobs);
	ListCell *cell;

	PG_TRY();
	{
		if (claim(server, served, now) == 0)
			served->look = false;
	}
	PG_CATCH();
	{
		ErrorData *error = cs_take_error(context);

		served->look = false;
		note_claim_error(served, error, now);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	/* the list lives as long as the connection, whoever made it where */
	if (connection->jobs != NIL &&
		GetMemoryChunkContext(connection->jobs) != connection->context)
	{
		MemoryContextSwitchTo(connection->context);
		connection->jobs = list_copy(connection->jobs);
		MemoryContextSwitchTo(context);
	}
	/* the new ones are advanced for the first time */
	for_each_from(cell, connection->jobs, before)((CsJob *) lfirst(cell))
		->ready = true;
	if (connection->jobs != NIL)
		served->idle_since = DT_NOEND;
}

/* See server.h. */
void
cs_job_fail(CsJob *job, const ErrorData *error, TimestampTz now)
{
	MemoryContext old = MemoryContextSwitchTo(job->context);

	/* an error in here ends the process; the next one recovers the run */
	job->methods->fail(job, error, now);
	job->finished = true;
	MemoryContextSwitchTo(old);
}

static void
advance_job(CsJob *job, TimestampTz now)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData *volatile error = NULL;

	job->ready = false;
	if (job->wake_at <= now)
		job->wake_at = DT_NOEND;
	PG_TRY();
	{
		MemoryContextSwitchTo(job->context);
		job->methods->advance(job, now);
	}
	PG_CATCH();
	{
		error = cs_take_error(context);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	if (error != NULL)
		cs_job_fail(job, error, now);
}

/* Forgets the jobs that finished. */
void
cs_reap_jobs(CsServed *served, TimestampTz now)
{
	CsConnection *connection = served->connection;
	ListCell *cell;

	foreach (cell, connection->jobs)
	{
		CsJob *job = lfirst(cell);

		if (!job->finished)
			continue;
		connection->jobs = foreach_delete_current(connection->jobs, cell);
		MemoryContextDelete(job->context);
		served->look = true;
	}
	if (connection->jobs == NIL && served->idle_since == DT_NOEND)
		served->idle_since = now;
}

/* Its tokens; an error is theirs alone. */
static void
turn_tokens(CsConnection *connection, TimestampTz now)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		cs_token_turn(connection, now);
	}
	PG_CATCH();
	{
		ErrorData *error = cs_take_error(context);

		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("cloudsync could not renew the tokens of connection "
						INT64_FORMAT ": %s",
						connection->connection_id, error->message)));
		cs_token_failed(connection, error, now);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
}

/* See server.h. */
bool
cs_server_turn_tokens(CsServer *server, TimestampTz now, TimestampTz *next)
{
	ListCell *cell;
	bool busy = false;

	foreach (cell, server->served)
	{
		CsServed *served = lfirst(cell);
		bool ready = cs_token_ready(served->connection);

		if (cs_token_next(served->connection, now) <= now)
			turn_tokens(served->connection, now);
		if (!ready && cs_token_ready(served->connection))
			served->look = true; /* what waited for it */
		busy = busy || cs_token_busy(served->connection);
		*next = Min(*next, cs_token_next(served->connection, now));
	}
	return busy;
}

void
cs_server_advance(CsServer *server, TimestampTz now)
{
	ListCell *cell;

	foreach (cell, server->served)
	{
		CsServed *served = lfirst(cell);
		bool any = false;

		for (int i = 0; i < list_length(served->connection->jobs); i++)
		{
			CsJob *job = list_nth(served->connection->jobs, i);

			if (job->ready || job->wake_at <= now)
			{
				cs_process_check();
				advance_job(job, now);
			}
			any = any || job->finished;
		}
		if (any)
			cs_reap_jobs(served, now);
	}
}
