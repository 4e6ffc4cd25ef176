/*
 * loop.c
 *	  The worker's loop: takes leases of connections with work, has the engine
 *	  claim it, advances its jobs and the transfers below them, and waits when
 *	  nothing can go on (design decisions 2, 3 and 7). Whatever fails is
 *recorded against its job or connection, and the loop goes on (W5).
 *
 * One pass takes at most some 100 ms between two CHECK_FOR_INTERRUPTS of its
 * caller, who resets the latch before it.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "cloudsync/db.h"
#include "cloudsync/notify.h"
#include "cloudsync/settings.h"
#include "internal.h"
#include "server.h"

#define TURN_US 50000
#define RETRY_MS 250	   /* a lease that another had just now */
#define SPREAD_MS 250	   /* between two connections, while there is work */
#define LEAVE_MS 5000	   /* leave them to a worker that is to come so long */
#define CLOSE_IDLE_MS 5000 /* keep a connection open so long without work */
#define PUBLISH_MS 250
#define TELL_MS 1000 /* between two texts for pg_stat_activity */
#define MAX_DUE 64

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
	server->loop = cs_loop_create(cs_rollback);
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
	server->left_since = DT_NOEND;
	MemoryContextSwitchTo(old);
	return server;
}

static CsServed *
find_served(CsServer *server, int64 connection_id)
{
	ListCell *cell;

	foreach (cell, server->served)
	{
		CsServed *served = lfirst(cell);

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
	CsServed *served;
	MemoryContext old;

	PG_TRY();
	{
		/* also what is not to be served now must not look as if it were */
		cs_engine_recover(connection_id);
		connection = cs_connection_open(connection_id, server->loop);
	}
	PG_CATCH();
	{
		ErrorData *error = cs_take_error(context);

		ereport(
			WARNING,
			(errmsg("cloudsync could not open connection " INT64_FORMAT ": %s",
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
	served = palloc0(sizeof(CsServed));
	served->connection = connection;
	served->look = true;
	served->idle_since = now;
	server->served = lappend(server->served, served);
	MemoryContextSwitchTo(old);
	return true;
}

/*
 * Can another worker be had for what nobody serves yet? One that is stuck in
 * the application's code would have it wait, so this one, which has work, is
 * not to take it on; but not for long if none comes.
 */
static bool
leave_to_others(CsServer *server, TimestampTz now)
{
	int idle;

	if (server->mode != CS_SERVE || cs_server_jobs(server) == 0)
		return false;
	if (cs_count_processes(MyDatabaseId, CS_WORKER, &idle) >= cs_max_workers &&
		idle == 0)
		return false;
	if (server->left_since == DT_NOEND)
		server->left_since = now;
	return !TimestampDifferenceExceeds(server->left_since, now, LEAVE_MS);
}

/*
 * Told before the work, which may take its time in the application's code; what
 * is shown of the jobs follows.
 */
static void
mark_busy(CsServer *server)
{
	if (server->published == 0)
	{
		cs_activity_busy();
		server->published = -1;
	}
}

/*
 * Takes the lease of one connection that has work, and leaves the next ones to
 * other workers for a moment while there is work here; also the first one,
 * while other workers can be had.
 */
static void
take_leases(CsServer *server, TimestampTz now)
{
	bool leave = leave_to_others(server, now);
	bool taken = false;
	bool more = false;
	ListCell *cell;

	server->others = false;
	foreach (cell, cs_due_connections(now, MAX_DUE))
	{
		int64 id = *(int64 *) lfirst(cell);
		CsServed *served = find_served(server, id);

		if (served != NULL)
			served->look = true;
		else if (more)
			continue;
		else if (!cs_lease_take(id))
			server->others = true;
		else if (taken || leave)
		{
			cs_lease_release(id);
			more = true;
		}
		else
		{
			mark_busy(server);
			taken = adopt(server, id, now);
		}
	}
	server->more = more;
	if (!more)
		server->left_since = DT_NOEND;
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

/* Claims what is due on the connections served, as far as there is room. */
static void
claim_work(CsServer *server, TimestampTz now)
{
	ListCell *cell;

	foreach (cell, server->served)
	{
		CsServed *served = lfirst(cell);

		if (!served->look || cs_server_room(server, served) <= 0)
			continue;
		mark_busy(server);
		cs_server_claim(server, served, now);
	}
}

/* Closes a connection without jobs and gives its lease back. */
static void
close_served(CsServer *server, CsServed *served)
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
		CsServed *served = list_nth(server->served, i);

		if (served->connection->jobs == NIL &&
			(!served->look || !cs_token_ready(served->connection)) &&
			!cs_token_busy(served->connection) &&
			TimestampDifferenceExceeds(served->idle_since, now, CLOSE_IDLE_MS))
			close_served(server, served);
	}
}

/* The connections served, as others want them. */
static List *
connections_of(CsServer *server)
{
	List *connections = NIL;
	ListCell *cell;

	foreach (cell, server->served)
		connections =
			lappend(connections, ((CsServed *) lfirst(cell))->connection);
	return connections;
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

/* What is under way goes back to the queue; the lease is still ours. */
static void
put_back_jobs(CsConnection *connection)
{
	ListCell *cell;

	if (connection->jobs == NIL)
		return;
	/* transfers end with their jobs' memory */
	foreach (cell, connection->jobs)
		MemoryContextDelete(((CsJob *) lfirst(cell))->context);
	connection->jobs = NIL;
	cs_engine_recover(connection->connection_id);
}

/*
 * Ends what nobody wants any more. What a disabled connection had under way
 * waits until it is enabled; for a disconnected one it is cancelled.
 */
static void
obey_wishes(CsServer *server, TimestampTz now)
{
	List *runs = NIL;
	List *connections = NIL;

	if (server->served == NIL)
		return;
	cs_find_wishes(connections_of(server), &runs, &connections);
	for (int i = list_length(server->served) - 1; i >= 0; i--)
	{
		CsServed *served = list_nth(server->served, i);
		bool ended = is_among(connections, served->connection->connection_id);
		ListCell *cell;

		foreach (cell, served->connection->jobs)
		{
			CsJob *job = lfirst(cell);

			if (is_among(runs, job->run_id))
				cs_job_fail(job, NULL, now);
		}
		cs_reap_jobs(served, now);
		if (ended)
		{
			put_back_jobs(served->connection);
			close_served(server, served);
		}
	}
}

static void
show(CsServer *server, TimestampTz now)
{
	int jobs = cs_server_jobs(server);

	if (jobs != server->published || (jobs > 0 && now >= server->publish_at))
	{
		cs_activity_publish(connections_of(server));
		server->publish_at = TimestampTzPlusMilliseconds(now, PUBLISH_MS);
		server->published = jobs;
	}
	if (jobs > 0 && now >= server->tell_at)
	{
		cs_activity_tell(connections_of(server));
		server->tell_at = TimestampTzPlusMilliseconds(now, TELL_MS);
	}
}

/* Can anything be done at once? Otherwise, when at the latest. */
static bool
can_go_on(CsServer *server, TimestampTz now, TimestampTz *next)
{
	ListCell *cell;

	*next = Min(*next, server->look_at);
	foreach (cell, server->served)
	{
		CsServed *served = lfirst(cell);
		ListCell *job_cell;

		if (served->look && cs_server_room(server, served) > 0)
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
	bool busy;
	bool asking;
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
	claim_work(server, now);
	cs_server_advance(server, now);
	next = DT_NOEND;
	(void) cs_server_turn_tokens(server, now, &next);
	/* intents are on disk before the first byte leaves on their strength */
	cs_make_durable();
	busy = cs_loop_turn(server->loop, TURN_US);
	while ((transfer = cs_loop_take_stopped(server->loop)) != NULL)
		((CsJob *) transfer->owner)->ready = true;
	cs_make_durable();
	cs_notify_send();
	now = GetCurrentTimestamp();
	next = DT_NOEND;
	asking = cs_server_turn_tokens(server, now, &next);
	close_idle(server, now);
	show(server, now);
	if (cs_server_jobs(server) > 0 || asking)
		server->idle_since = now;
	else if (server->more)
		server->look_at = now; /* nothing to do here: the next one */
	if (!busy && !can_go_on(server, now, &next))
	{
		/* nothing to wait for: the caller leaves */
		bool done = server->mode == CS_RUN && cs_server_idle(server);

		next = Min(Min(next, until), server->look_at);
		timeout = done ? 0 : TimestampDifferenceMilliseconds(now, next) + 1;
		cs_activity_tell(connections_of(server));
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
		CsServed *served = lfirst(cell);

		if ((served->look && cs_token_ready(served->connection)) ||
			served->connection->jobs != NIL || cs_token_busy(served->connection))
			return false;
	}
	if (server->mode != CS_RUN)
		return server->look_at == DT_NOEND || server->others;
	if (server->others || others_running(server))
	{
		server->look_at =
			TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS);
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
		CsConnection *connection = ((CsServed *) lfirst(cell))->connection;
		int64 id = connection->connection_id;

		put_back_jobs(connection);
		cs_connection_close(connection);
		cs_lease_release(id);
	}
	cs_notify_send();
	cs_activity_publish(NIL);
	cs_loop_destroy(server->loop);
	FreeWaitEventSet(server->events);
	MemoryContextDelete(server->context);
}
