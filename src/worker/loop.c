/*
 * loop.c
 *	  The worker's loop: takes leases of connections with work, has the engine
 *	  claim it, advances its jobs and the transfers below them, and waits when
 *	  nothing can go on (design decisions 2, 3 and 7). Whatever fails is recorded
 *	  against its job or connection, and the loop goes on (W5).
 *
 * One pass takes at most some 100 ms between two CHECK_FOR_INTERRUPTS of its
 * caller, who resets the latch before it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "cloudsync/db.h"
#include "cloudsync/notify.h"
#include "cloudsync/settings.h"
#include "internal.h"

#define TURN_US 50000
#define RETRY_MS 250		  /* a lease that another had just now */
#define SPREAD_MS 250		  /* leave further connections to others so long */
#define CLOSE_IDLE_MS 5000	  /* keep a connection open so long without work */
#define PUBLISH_MS 250
#define TELL_MS 1000		  /* between two texts for pg_stat_activity */
#define MAX_DUE 64

typedef struct Served
{
	CsConnection *connection;
	bool look;				/* there may be something to claim */
	bool collect_first;		/* pushes and collections take turns */
	TimestampTz idle_since; /* DT_NOEND while it has jobs */
} Served;

struct CsServer
{
	CsWorkerMode mode;
	CsLoop *loop;
	List *served; /* of Served */
	WaitEventSet *events;
	uint32 wait_event;
	MemoryContext context; /* everything of it */
	MemoryContext pass;	   /* reset by each pass */
	TimestampTz look_at;   /* for further connections; DT_NOEND: when woken */
	int retries;
	bool others; /* work is due that others serve */
	TimestampTz idle_since;
	TimestampTz publish_at;
	TimestampTz tell_at;
	int published; /* jobs shown */
};

CsServer *
cs_server_create(CsWorkerMode mode)
{
	MemoryContext context = AllocSetContextCreate(
		TopMemoryContext, "cloudsync server", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	CsServer *server = palloc0(sizeof(CsServer));
	int fd;

	server->mode = mode;
	server->context = context;
	server->pass = AllocSetContextCreate(context, "cloudsync pass",
										 ALLOCSET_DEFAULT_SIZES);
	server->loop = cs_loop_create();
	server->wait_event = cs_wait_event("CloudsyncTransfer");
	server->events = CsCreateWaitEventSet(3);
	AddWaitEventToSet(server->events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch,
					  NULL);
	AddWaitEventToSet(server->events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET,
					  NULL, NULL);
	fd = cs_loop_fd(server->loop);
	if (fd >= 0)
		AddWaitEventToSet(server->events, WL_SOCKET_READABLE, fd, NULL, NULL);
	server->idle_since = GetCurrentTimestamp();
	MemoryContextSwitchTo(old);
	return server;
}

static int
count_jobs(CsServer *server)
{
	int count = 0;
	ListCell *cell;

	foreach (cell, server->served)
		count += list_length(((Served *) lfirst(cell))->connection->jobs);
	return count;
}

/* Logs the error being handled and ends its transaction. */
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

static Served *
find_served(CsServer *server, int64 connection_id)
{
	ListCell *cell;

	foreach (cell, server->served)
	{
		Served *served = lfirst(cell);

		if (served->connection->connection_id == connection_id)
			return served;
	}
	return NULL;
}

/* Opens a connection whose lease we just took; false if it is not to be. */
static bool
adopt(CsServer *server, int64 connection_id, TimestampTz now)
{
	CsConnection *volatile connection = NULL;
	MemoryContext context = CurrentMemoryContext;
	Served *served;
	MemoryContext old;

	PG_TRY();
	{
		connection = cs_connection_open(connection_id, server->loop);
		if (connection != NULL)
			cs_engine_recover(connection);
	}
	PG_CATCH();
	{
		ErrorData *error = take_error(context);

		ereport(WARNING,
				(errmsg("cloudsync could not open connection " INT64_FORMAT
						": %s",
						connection_id, error->message)));
		if (connection != NULL)
			cs_connection_close(connection);
		connection = NULL;
	}
	PG_END_TRY();
	if (connection == NULL)
	{
		cs_lease_release(connection_id);
		return false;
	}
	old = MemoryContextSwitchTo(server->context);
	served = palloc0(sizeof(Served));
	served->connection = connection;
	served->look = true;
	served->idle_since = now;
	server->served = lappend(server->served, served);
	MemoryContextSwitchTo(old);
	return true;
}

/*
 * Takes the lease of one connection that has work, and leaves the next ones to
 * other workers for a moment while there is work here.
 */
static void
take_leases(CsServer *server, TimestampTz now)
{
	bool taken = false;
	bool more = false;
	ListCell *cell;

	server->others = false;
	foreach (cell, cs_due_connections(now, MAX_DUE))
	{
		int64 id = *(int64 *) lfirst(cell);
		Served *served = find_served(server, id);

		if (served != NULL)
			served->look = true;
		else if (taken)
			more = true;
		else if (!cs_lease_take(id))
			server->others = true;
		else
			taken = adopt(server, id, now);
	}
	if (taken || more)
		server->retries = 0;
	if (more || taken)
		server->look_at =
			TimestampTzPlusMilliseconds(now, more ? SPREAD_MS : RETRY_MS);
	else if (server->others &&
			 (server->mode == CS_RUN || server->retries++ < 4))
		server->look_at = TimestampTzPlusMilliseconds(now, RETRY_MS);
	else
		server->look_at = DT_NOEND;
}

/* How many jobs may be claimed on a connection now. */
static int
room(CsServer *server, Served *served)
{
	return Min(cs_max_transfers_per_connection -
				   list_length(served->connection->jobs),
			   cs_max_transfers - count_jobs(server));
}

/*
 * Has the engine claim what is due on a connection. The first kind leaves one
 * place to the second, so that neither waits for the end of the other.
 */
static int
claim(CsServer *server, Served *served, TimestampTz now)
{
	CsConnection *connection = served->connection;
	int most = room(server, served);
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
note_claim_error(Served *served, ErrorData *error, TimestampTz now)
{
	CsFailure failure = {.failure_class = CS_FAIL_RETRY_LATER};

	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("cloudsync could not take up work of connection "
					INT64_FORMAT ": %s",
					served->connection->connection_id, error->message),
			 error->detail ? errdetail("%s", error->detail) : 0,
			 error->context ? errcontext("%s", error->context) : 0));
	strlcpy(failure.message, error->message, sizeof(failure.message));
	cs_begin("noting a failure");
	cs_connection_note(served->connection, &failure, now);
	cs_commit();
}

static void
claim_guarded(CsServer *server, Served *served, TimestampTz now)
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
		ErrorData *error = take_error(context);

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
	for_each_from(cell, connection->jobs, before)
		((CsJob *) lfirst(cell))->ready = true;
	if (connection->jobs != NIL)
		served->idle_since = DT_NOEND;
}

/* Ends a job for good: error NULL means that it was cancelled. */
static void
fail_job(CsJob *job, const ErrorData *error, TimestampTz now)
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
		error = take_error(context);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	if (error != NULL)
		fail_job(job, error, now);
}

/* Forgets the jobs that finished. */
static void
reap_jobs(Served *served, TimestampTz now)
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

static void
advance_jobs(CsServer *server, TimestampTz now)
{
	ListCell *cell;

	foreach (cell, server->served)
	{
		Served *served = lfirst(cell);
		bool any = false;

		for (int i = 0; i < list_length(served->connection->jobs); i++)
		{
			CsJob *job = list_nth(served->connection->jobs, i);

			if (job->ready || job->wake_at <= now)
			{
				CHECK_FOR_INTERRUPTS();
				advance_job(job, now);
			}
			any = any || job->finished;
		}
		if (any)
			reap_jobs(served, now);
	}
}

/* Closes a connection without jobs and gives its lease back. */
static void
close_served(CsServer *server, Served *served)
{
	int64 id = served->connection->connection_id;

	cs_connection_close(served->connection);
	cs_lease_release(id);
	server->served = list_delete_ptr(server->served, served);
	pfree(served);
}

static void
close_idle(CsServer *server, TimestampTz now)
{
	for (int i = list_length(server->served) - 1; i >= 0; i--)
	{
		Served *served = list_nth(server->served, i);

		if (served->connection->jobs == NIL && !served->look &&
			TimestampDifferenceExceeds(served->idle_since, now, CLOSE_IDLE_MS))
			close_served(server, served);
	}
}

static ArrayType *
int8_array(Datum *ids, int n)
{
	return construct_array(ids, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
						   TYPALIGN_DOUBLE);
}

/* Our runs that somebody wants cancelled, and connections that were ended. */
static void
find_wishes(CsServer *server, List **runs, List **connections)
{
	MemoryContext context = CurrentMemoryContext;
	Oid types[] = {INT8ARRAYOID};
	Datum values[1];
	Datum *ids = palloc(sizeof(Datum) * (count_jobs(server) + 1));
	Datum *served_ids =
		palloc(sizeof(Datum) * (list_length(server->served) + 1));
	int n_jobs = 0;
	int n_served = 0;
	ListCell *cell;

	foreach (cell, server->served)
	{
		CsConnection *connection = ((Served *) lfirst(cell))->connection;
		ListCell *job_cell;

		served_ids[n_served++] = Int64GetDatum(connection->connection_id);
		foreach (job_cell, connection->jobs)
			ids[n_jobs++] = Int64GetDatum(((CsJob *) lfirst(job_cell))->run_id);
	}
	cs_begin("looking for what was cancelled");
	values[0] = PointerGetDatum(int8_array(ids, n_jobs));
	for (int pass = 0; pass < 2; pass++)
	{
		uint64 n;

		if (pass == 0)
			n = cs_execute(
				"SELECT r.run_id FROM cloudsync.run r "
				"WHERE r.run_id OPERATOR(pg_catalog.=) ANY ($1) "
				"AND r.cancel_requested",
				1, types, values, NULL, true);
		else
			n = cs_execute(
				"SELECT c.connection_id FROM cloudsync.connection c "
				"WHERE c.connection_id OPERATOR(pg_catalog.=) ANY ($1) "
				"AND c.state IN ('disabled', 'disconnected')",
				1, types, values, NULL, true);
		for (uint64 i = 0; i < n; i++)
		{
			MemoryContext old = MemoryContextSwitchTo(context);
			int64 *id = palloc(sizeof(int64));
			List **list = pass == 0 ? runs : connections;

			*id = cs_get_int64(i, 1, 0);
			*list = lappend(*list, id);
			MemoryContextSwitchTo(old);
		}
		values[0] = PointerGetDatum(int8_array(served_ids, n_served));
	}
	cs_commit();
}

static bool
is_among(const List *ids, int64 id)
{
	const ListCell *cell;

	foreach (cell, ids)
		if (*(int64 *) lfirst(cell) == id)
			return true;
	return false;
}

/* Ends what nobody wants any more. */
static void
obey_wishes(CsServer *server, TimestampTz now)
{
	List *runs = NIL;
	List *connections = NIL;

	if (server->served == NIL)
		return;
	find_wishes(server, &runs, &connections);
	for (int i = list_length(server->served) - 1; i >= 0; i--)
	{
		Served *served = list_nth(server->served, i);
		bool ended = is_among(connections, served->connection->connection_id);
		ListCell *cell;

		foreach (cell, served->connection->jobs)
		{
			CsJob *job = lfirst(cell);

			if (ended || is_among(runs, job->run_id))
				fail_job(job, NULL, now);
		}
		reap_jobs(served, now);
		if (ended)
			close_served(server, served);
	}
}

/* What pg_stat_activity says while bytes travel. */
static void
tell(CsServer *server)
{
	int jobs = count_jobs(server);
	ListCell *cell;
	CsJob *job = NULL;

	foreach (cell, server->served)
	{
		CsConnection *connection = ((Served *) lfirst(cell))->connection;

		if (job == NULL && connection->jobs != NIL)
			job = linitial(connection->jobs);
	}
	if (job == NULL)
		pgstat_report_activity(STATE_IDLE, NULL);
	else if (jobs == 1)
		pgstat_report_activity(
			STATE_RUNNING, psprintf("%s for connection \"%s\": run " INT64_FORMAT
									", %s",
									job->methods->kind, job->connection->name,
									job->run_id, job->phase ? job->phase : ""));
	else
		pgstat_report_activity(
			STATE_RUNNING,
			psprintf("%s for connection \"%s\": run " INT64_FORMAT
					 ", %s; and %d more",
					 job->methods->kind, job->connection->name, job->run_id,
					 job->phase ? job->phase : "", jobs - 1));
}

static void
show(CsServer *server, TimestampTz now)
{
	int jobs = count_jobs(server);

	if (jobs != server->published ||
		(jobs > 0 && now >= server->publish_at))
	{
		List *connections = NIL;
		ListCell *cell;

		foreach (cell, server->served)
			connections =
				lappend(connections, ((Served *) lfirst(cell))->connection);
		cs_activity_publish(connections);
		server->publish_at = TimestampTzPlusMilliseconds(now, PUBLISH_MS);
		server->published = jobs;
	}
	if (jobs > 0 && now >= server->tell_at)
	{
		tell(server);
		server->tell_at = TimestampTzPlusMilliseconds(now, TELL_MS);
	}
}

/* Can anything be done at once? Otherwise, when at the latest. */
static bool
can_go_on(CsServer *server, TimestampTz now, TimestampTz *next)
{
	ListCell *cell;

	*next = server->look_at;
	foreach (cell, server->served)
	{
		Served *served = lfirst(cell);
		ListCell *job_cell;

		if (served->look && room(server, served) > 0)
			return true;
		foreach (job_cell, served->connection->jobs)
		{
			CsJob *job = lfirst(job_cell);

			if (job->ready || job->wake_at <= now)
				return true;
			*next = Min(*next, job->wake_at);
		}
		if (served->connection->jobs == NIL && server->mode != CS_RUN)
			*next = Min(*next, TimestampTzPlusMilliseconds(served->idle_since,
														   CLOSE_IDLE_MS));
	}
	return *next <= now;
}

void
cs_server_pass(CsServer *server, bool woken, TimestampTz until)
{
	MemoryContext caller = MemoryContextSwitchTo(server->pass);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next;
	CsTransfer *transfer;
	WaitEvent event;
	ListCell *cell;
	bool busy;
	long timeout = 0;

	MemoryContextReset(server->pass);
	if (woken)
	{
		obey_wishes(server, now);
		server->retries = 0;
		server->look_at = now;
	}
	if (now >= server->look_at)
		take_leases(server, now);
	foreach (cell, server->served)
	{
		Served *served = lfirst(cell);

		if (served->look && room(server, served) > 0)
			claim_guarded(server, served, now);
	}
	advance_jobs(server, now);
	busy = cs_loop_turn(server->loop, TURN_US);
	while ((transfer = cs_loop_take_stopped(server->loop)) != NULL)
		((CsJob *) transfer->owner)->ready = true;
	cs_notify_send();
	now = GetCurrentTimestamp();
	close_idle(server, now);
	show(server, now);
	if (count_jobs(server) > 0)
		server->idle_since = now;
	if (!busy && !can_go_on(server, now, &next))
	{
		next = Min(next, until);
		timeout = TimestampDifferenceMilliseconds(now, next) + 1;
	}
	(void) WaitEventSetWait(server->events, timeout, &event, 1,
							server->wait_event);
	MemoryContextSwitchTo(caller);
}

/* In another worker's hands, while cloudsync_run waits for all that is due. */
static bool
others_running(CsServer *server)
{
	bool running;

	cs_begin("waiting for other workers");
	running = cs_execute("SELECT FROM cloudsync.run r JOIN "
						 "cloudsync.connection c "
						 "ON c.connection_id OPERATOR(pg_catalog.=) "
						 "r.connection_id "
						 "WHERE r.state OPERATOR(pg_catalog.=) 'running' "
						 "AND c.state OPERATOR(pg_catalog.=) 'active' LIMIT 1",
						 0, NULL, NULL, NULL, true) > 0;
	cs_commit();
	return running;
}

bool
cs_server_idle(CsServer *server)
{
	ListCell *cell;

	foreach (cell, server->served)
	{
		Served *served = lfirst(cell);

		if (served->look || served->connection->jobs != NIL)
			return false;
	}
	if (server->mode != CS_RUN)
		return server->look_at == DT_NOEND || server->others;
	if (server->others || others_running(server))
	{
		server->look_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													  RETRY_MS);
		return false;
	}
	return server->look_at == DT_NOEND;
}

TimestampTz
cs_server_idle_since(CsServer *server)
{
	return server->idle_since;
}

/*
 * Ends everything in good order: what was under way goes back to the queue, and
 * the leases are free. For a worker that leaves by itself; one that is killed
 * leaves that to the next.
 */
void
cs_server_leave(CsServer *server)
{
	ListCell *cell;

	foreach (cell, server->served)
	{
		CsConnection *connection = ((Served *) lfirst(cell))->connection;
		int64 id = connection->connection_id;
		bool working = connection->jobs != NIL;
		ListCell *job_cell;

		/* transfers end with their jobs' memory */
		foreach (job_cell, connection->jobs)
			MemoryContextDelete(((CsJob *) lfirst(job_cell))->context);
		connection->jobs = NIL;
		if (working)
			cs_engine_recover(connection);
		cs_connection_close(connection);
		cs_lease_release(id);
	}
	cs_notify_send();
	cs_activity_publish(NIL);
	cs_loop_destroy(server->loop);
	FreeWaitEventSet(server->events);
	MemoryContextDelete(server->context);
}
