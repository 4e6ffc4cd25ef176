/*
 * engine.h
 *	  What the worker's loop knows of work: connections that it serves and jobs
 *	  on them. A job is one execution (of a dossier's push, a channel's
 *	  collection or refresh, the preparation of a root) as a state machine in
 *	  three kinds of steps: claim, travel, settle (design decision 3). The
 *	  engine plans and settles in short transactions of its own (store/db.h) and
 *	  leaves bytes to the transfer loop.
 */
#ifndef CLOUDSYNC_ENGINE_H
#define CLOUDSYNC_ENGINE_H

#include "postgres.h"

#include "cloudsync/home.h"
#include "cloudsync/transfer.h"
#include "nodes/pg_list.h"
#include "utils/timestamp.h"

/* A connection served by this process: its lease is held. */
typedef struct CsConnection
{
	int64 connection_id;
	int64 account_id;
	char *tenant;
	char *name;
	const CsProvider *provider;
	char *local_path;		/* option path of local, or NULL */
	CsFolderSeen folder_seen; /* of local */
	CsOption *options;		/* ended by a NULL key */
	CsService *service;		/* over HTTP, once the endpoint was opened */
	int revision;			/* of options and credentials */
	bool is_active;			/* its state, when it was opened */
	bool is_pending;
	bool revoke;			/* was ended, and its tokens are to be */
	bool account_checked;	/* the service said that its tokens are of it */
	TimestampTz token_due_at;
	char *client_id; /* of the application that asks; NULL: none */
	struct CsTokenKeeper *keeper; /* of its tokens; NULL: it has none */
	const char *given_kind; /* of cloudsync.secret: its credentials, */
	const char *token_kind; /* and what came of them */
	struct CsConnection *renewal; /* as it is to be, once the service has said
								   * that it is of the same account; or NULL */
	struct CsConnection *renews;  /* of such a one: what it is to take the place of */
	int64 bytes_per_second; /* 0: no limit */
	double requests_per_second;
	CsEndpoint *endpoint;	/* opened on first use, see cs_connection_endpoint */
	CsEndpoint *web; /* for contents by address, once one was opened */
	List *others;	 /* of CsConnection, whose contents are pushed here */
	CsLoop *loop;
	int transfers;			/* running now for this connection */
	void *committing;		/* which batch may become visible now; or NULL */
	List *jobs;				/* of CsJob */
	struct CsJob *feed_reader; /* reads the account's changes, or lists what they
								* will be applied to; or NULL */
	TimestampTz feed_read_at;  /* when its last complete reading began */
	MemoryContext context;	/* everything of it */
} CsConnection;

typedef struct CsJob CsJob;

typedef struct CsJobMethods
{
	const char *kind; /* push, collect, refresh, prepare */

	/*
	 * Goes on as far as it can without waiting: looks at its transfers,
	 * records what reached a checkpoint or an end (short transactions), starts
	 * more. Called when a transfer of it left RUNNING, when wake_at is reached,
	 * and once after the claim. Sets finished at the end.
	 */
	void (*advance)(CsJob *job, TimestampTz now);

	/*
	 * advance raised an error, or the run was cancelled (error NULL): end the
	 * transfers, and settle the run as failed or cancelled in a new
	 * transaction. Must leave finished set.
	 */
	void (*fail)(CsJob *job, const ErrorData *error, TimestampTz now);

	/*
	 * Brings bytes_done up to date with the transfers under way, for
	 * cloudsync.activity; several times a second, so it only adds. Or NULL.
	 */
	void (*measure)(CsJob *job);
} CsJobMethods;

struct CsJob
{
	const CsJobMethods *methods;
	CsConnection *connection;
	int64 run_id;
	MemoryContext context; /* child of connection's; the loop deletes it once
							* finished is set */
	TimestampTz wake_at;   /* advance no later than this; DT_NOEND: no timer */
	bool ready;			   /* set by the loop when one of its transfers stopped */
	bool finished;
	/* for cloudsync.activity */
	const char *phase; /* 'claim', 'send', 'verify', 'list', 'receive', ... */
	char file[256];
	int64 bytes_done;
	int64 bytes_total;
};

/* Reads the connection's row; NULL if it must not be served now. Own transaction. */
extern CsConnection *cs_connection_open(int64 connection_id, CsLoop *loop);
/* The same for a question, whatever its state but disconnected. */
extern CsConnection *cs_connection_look(int64 connection_id);
/*
 * Opens the endpoint if need be; NULL with *failure. Not in a transaction: it
 * notes in one of its own that a local folder was seen. create: a local folder
 * that was never there is made. The credentials are readable only while it is
 * being opened.
 */
extern CsEndpoint *cs_connection_endpoint(CsConnection *connection, bool create,
										  CsFailure *failure);
/* Takes on limits that were changed while it is served. */
extern void cs_connection_set_limits(CsConnection *connection,
									 int64 bytes_per_second,
									 double requests_per_second);
/*
 * Tokens (C3). cs_token_open makes the keeper; duties: also what is to be done
 * without being asked (the account's name, device codes, revocation, renewal of
 * what is not used), by who has the lease. cs_token_turn does what there is to
 * do, without waiting; it may raise errors, which cs_token_failed ends.
 * cs_token_ready: work may be claimed. cs_token_next: when it is to be called
 * again; cs_token_busy: it is not to be closed before. cs_token_given: the
 * endpoint was opened with this one.
 */
typedef struct CsTokenKeeper CsTokenKeeper;
extern void cs_token_open(CsConnection *connection, bool duties);
extern void cs_token_close(CsConnection *connection);
extern void cs_token_turn(CsConnection *connection, TimestampTz now);
extern void cs_token_failed(CsConnection *connection, const ErrorData *error,
							TimestampTz now);
extern bool cs_token_ready(const CsConnection *connection);
extern bool cs_token_busy(const CsConnection *connection);
extern TimestampTz cs_token_next(const CsConnection *connection,
								 TimestampTz now);
extern void cs_token_given(CsConnection *connection, const char *token,
						   TimestampTz expires_at, TimestampTz now);

/*
 * Turns the code of a request for consent into tokens: drive carries a transfer
 * to its end (true: DONE). False with *failure, which the connection says too if
 * it waits for consent. Not in a transaction.
 */
extern bool cs_consent_exchange(CsConnection *connection, int64 consent_id,
								const char *code,
								bool (*drive)(CsLoop *loop, CsTransfer *transfer,
											  CsEndpoint *endpoint),
								CsFailure *failure);

/* Frees it; its jobs must be finished. */
extern void cs_connection_close(CsConnection *connection);
/* Notes success or a connection-wide failure: state, backoff. In a transaction. */
extern void cs_connection_note(CsConnection *connection,
							   const CsFailure *failure, TimestampTz now);

/*
 * Claims: each takes up to max executions that are due on the connection, in
 * its own short transaction(s), appends the jobs to connection->jobs, and
 * returns how many. A claim that fails for one subject records it there and
 * goes on with the next.
 */
extern int cs_prepare_claim(CsConnection *connection, int max, TimestampTz now);
extern int cs_push_claim(CsConnection *connection, int max, TimestampTz now);
extern int cs_collect_claim(CsConnection *connection, int max, TimestampTz now);

/*
 * What a dead worker left on a connection whose lease we just took: running
 * runs go back to queued (or end, when they were cancelled or the connection
 * was disconnected meanwhile), claims are released, staged bytes without a document
 * are deleted. In a transaction of its own.
 */
extern void cs_engine_recover(int64 connection_id);

/*
 * The scheduler's parts, in transactions of their own.
 * cs_fold_changes: change log to due rows; true if there was anything.
 * cs_follow_renames: keeps the names of tracked columns up to date.
 * cs_recover_orphans: what a dead worker left on a connection that nobody may
 * serve.
 * cs_unlock_connections: makes those active again whose keys are back (S1).
 * cs_tell_states: an event for each connection whose state has changed (H4).
 * cs_backfill_step: notes a further step of dossiers that existed.
 * cs_schedule_collections: queues a run for each channel whose time has come.
 * cs_count_runs: adds what ended to the totals, once a minute.
 * cs_remove_history: removes a part of what has grown old (H6).
 * cs_next_due: earliest time at which any of this or a claim has work;
 * DT_NOEND for none.
 * cs_due_connections: connections with work due now, most urgent first
 * (palloc'd list of int64 pointers in the current context).
 * cs_count_unserved: how many of these nobody serves, counted up to max; any:
 * there are some, served or not.
 */
extern bool cs_fold_changes(TimestampTz now);
extern void cs_follow_renames(TimestampTz now);
extern void cs_recover_orphans(TimestampTz now);
extern void cs_tell_states(TimestampTz now);
extern void cs_unlock_connections(TimestampTz now);
extern bool cs_backfill_step(TimestampTz now);
extern void cs_schedule_collections(TimestampTz now);
extern void cs_count_runs(TimestampTz now);
extern void cs_remove_history(TimestampTz now);
extern TimestampTz cs_next_due(TimestampTz now);
extern List *cs_due_connections(TimestampTz now, int max);
extern int cs_count_unserved(TimestampTz now, int max, bool *any);
/* Shortest `every` of automatic pushes in microseconds, 0 if there is none. */
extern int64 cs_shortest_every(void);

#endif
