/*
 * server.h
 *	  The worker's loop from inside: what loop.c (leases, passes, waiting) and
 *	  jobs.c (claiming and advancing jobs) share.
 */
#ifndef CLOUDSYNC_WORKER_SERVER_H
#define CLOUDSYNC_WORKER_SERVER_H

#include "internal.h"

typedef struct CsServed
{
	CsConnection *connection;
	bool look;				/* there may be something to claim */
	bool collect_first;		/* pushes and collections take turns */
	TimestampTz idle_since; /* DT_NOEND while it has jobs */
} CsServed;

struct CsServer
{
	CsWorkerMode mode;
	CsLoop *loop;
	List *served; /* of CsServed */
	WaitEventSet *events;
	uint32 wait_event;
	MemoryContext context; /* everything of it */
	MemoryContext pass;	   /* reset by each pass */
	TimestampTz look_at;   /* for further connections; DT_NOEND: when woken */
	int retries;
	bool others; /* work is due that others serve */
	bool more;	 /* and more that nobody serves yet */
	TimestampTz left_since; /* left to workers that are to come; or DT_NOEND */
	TimestampTz idle_since;
	TimestampTz publish_at;
	TimestampTz tell_at;
	int published; /* jobs shown; -1: busy, and not yet shown */
};

/*
 * jobs.c, outside of transactions. _jobs: how many all its connections have.
 * _room: how many more may be claimed on this one now. _claim: what is due there
 * becomes jobs, which are ready; _advance: those that are ready, or whose time has
 * come, go on, and what finished is freed. An error ends its job, or holds up the
 * connection where none had begun.
 */
extern int cs_server_jobs(CsServer *server);
extern int cs_server_room(CsServer *server, CsServed *served);
extern void cs_server_claim(CsServer *server, CsServed *served,
							TimestampTz now);
extern void cs_server_advance(CsServer *server, TimestampTz now);
/*
 * What connections' tokens want; *next: when again, at the latest. True: some
 * are being asked for.
 */
extern bool cs_server_turn_tokens(CsServer *server, TimestampTz now,
								  TimestampTz *next);
/* Ends a job for good: error NULL means that it was cancelled. */
extern void cs_job_fail(CsJob *job, const ErrorData *error, TimestampTz now);
/* Frees the jobs that finished; without any the connection is idle from now on. */
extern void cs_reap_jobs(CsServed *served, TimestampTz now);
/* In a PG_CATCH: the error, copied into the context, which is current then; its
 * transaction is ended. */
extern ErrorData *cs_take_error(MemoryContext context);

#endif
