/*
 * watching.h
 *	  What the two files of watching folders share (watch.c, watch_look.c). Not for
 *	  use elsewhere.
 */
#ifndef CLOUDSYNC_WATCHING_H
#define CLOUDSYNC_WATCHING_H

#include "postgres.h"

#include "cloudsync/engine.h"
#include "cloudsync/watch.h"

#define CS_WATCH_LONGEST_S 480 /* a request is held open, if that goes well */

/* A connection's service, without credentials. */
typedef struct CsWatchPlace
{
	CsConnection *connection; /* as it was read, of its revision */
	CsEndpoint *endpoint;	  /* NULL: not open */
	int folders;			  /* watched there */
	int failures;			  /* in a row */
	bool said;
} CsWatchPlace;

typedef enum CsWatchState
{
	CS_WATCH_REST,	 /* to be asked about, from rest_until on */
	CS_WATCH_POLL,	 /* its service is being asked */
	CS_WATCH_TOLD,	 /* it changed, and a run is to be queued */
	CS_WATCH_COLLECT /* which is awaited */
} CsWatchState;

/* A folder that is watched. */
typedef struct CsWatch
{
	CsWatchPlace *place;
	int64 channel_id;
	int32 folder_no;
	int32 epoch; /* of what the channel lists */
	char *path;
	char *cursor; /* the newest seen */
	int64 last_run; /* of its channel, when it was last looked at */
	bool busy;	  /* its channel is being listed or collected, or is about to be */
	CsWatchState state;
	TimestampTz rest_until;
	TimestampTz begun_at; /* the poll */
	MemoryContext poll;	  /* and all of it, or NULL */
	CsTransfer *transfer;
	int wait_s;	  /* that the next one is held open */
	int failures; /* in a row */
	int in_vain;  /* runs in a row that found nothing */
} CsWatch;

struct CsWatcher
{
	MemoryContext context;
	MemoryContext turn;
	CsLoop *loop;
	CsWatch **watches; /* by connection, channel and folder */
	int n_watches;
	List *places; /* of CsWatchPlace */
	bool look;	  /* is owed */
	bool busy;	  /* the loop can go on at once */
	TimestampTz begin_at;
	TimestampTz trouble_until; /* an error was raised */
};

/* watch.c: gives up what is being asked, if anything; its run has ended. */
extern void cs_watch_end_poll(CsWatch *watch);
extern void cs_watch_collected(CsWatch *watch, bool found, TimestampTz now);

/* watch_look.c: which folders are to be watched now; opens their service. */
extern void cs_watch_look(CsWatcher *watcher, TimestampTz now);
extern bool cs_watch_open(CsWatchPlace *place, CsFailure *failure);

#endif
