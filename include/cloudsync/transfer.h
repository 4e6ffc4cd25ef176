/*
 * transfer.h
 *	  The transfer loop: carries out the requests of many conversations at
 *	  once, in slices, so that its caller serves interrupts at least every 100
 *	  ms. Knows providers and files; knows no database and no engine.
 *
 * One loop a worker. A transfer stops in one of the states below and waits
 * there for its owner. Nothing here is called with a transaction open. Include
 * postgres.h before this header (postgres_fe.h where only CsBody is needed).
 */
#ifndef CLOUDSYNC_TRANSFER_H
#define CLOUDSYNC_TRANSFER_H

#include "cloudsync/provider.h"

/*
 * A body on its way out (read) or in (write), supplied by the owner. Both may
 * open a short transaction of their own and may ereport(ERROR): it is rolled
 * back, and the transfer ends FAILED with the error's text, of class
 * RETRY_LATER for passing troubles of the server (locks, memory, disk) and
 * BROKEN otherwise.
 *
 * read: up to cap bytes at offset into buf; returns the number, 0 at the end,
 * or -1 with *failure filled in (CHANGED: the value is not the one seen at the
 * claim). write: all len bytes, in order; false with *failure filled in.
 *
 * A body that is fed while it is read, or drained while it is written, may have
 * nothing yet (read gives CS_BODY_WAIT) or no room: its transfer then goes on
 * after cs_transfer_wake.
 */
#define CS_BODY_WAIT (-2)

typedef struct CsBody CsBody;
struct CsBody
{
	int64 (*read)(CsBody *body, int64 offset, char *buf, int64 cap,
				  CsFailure *failure);
	bool (*write)(CsBody *body, const char *buf, int64 len, CsFailure *failure);
	/* called before a body is written anew (a repeated request) */
	bool (*restart)(CsBody *body, CsFailure *failure);
	void *owner;
	/* how many bytes write takes now; 0: none yet; NULL: any number */
	int64 (*room)(CsBody *body);
	/* the size announced of what is about to be written, or -1; or NULL */
	void (*announce)(CsBody *body, int64 size);
	/*
	 * Of a body that is read and whose size bytes are in memory: their SHA-256,
	 * and the provider's checksum or NULL where it has none of its own. They
	 * need not be hashed again. NULL: not known.
	 */
	const uint8 *sha256;
	const char *checksum;
	int64 size;
};

/*
 * Where a connection's requests go: for local, a folder held open; over HTTP, a
 * service with its credentials, its pace and its limits.
 */
typedef struct CsEndpoint CsEndpoint;

/* What is known of a local folder from earlier. */
typedef enum CsFolderSeen
{
	CS_FOLDER_NEVER,  /* nobody has seen it */
	CS_FOLDER_THERE,  /* it was there */
	CS_FOLDER_MOUNTED /* ... on a file system mounted at local_root or below */
} CsFolderSeen;

/*
 * Opens the folder local_root[/tenant][/path] without following a link below
 * local_root. create: missing folders below local_root are made (never
 * local_root itself), unless the folder was there before: then its disk may not
 * be mounted, and what is under the mount point must not be filled. NULL, with
 * *failure, if that is not possible: local_root unset or missing, the folder gone
 * or not mounted any more, a link on the way, inside or around the data directory.
 * In the current memory context; cs_endpoint_close ends it.
 */
extern CsEndpoint *cs_endpoint_open_local(const char *local_root,
										  const char *tenant, const char *path,
										  CsFolderSeen seen, bool create,
										  CsFailure *failure);
/* What is to be known of the open folder from now on. */
extern CsFolderSeen cs_endpoint_seen(const CsEndpoint *endpoint);

/* How requests to a service are authenticated. */
typedef enum CsAuth
{
	CS_AUTH_NONE,
	CS_AUTH_PASSWORD, /* Basic, or Digest where the server asks for that */
	CS_AUTH_BEARER,
	CS_AUTH_TOKEN, /* as BEARER, by an access token that is renewed (below) */
	CS_AUTH_SIGV4  /* AWS Signature Version 4, of the service's region */
} CsAuth;

typedef struct CsHttpAccess
{
	const char *purpose; /* as cloudsync.allowed_endpoints names it: 'webdav' */
	const char *hosts;	 /* the provider's own, allowed besides; or NULL */
	CsAuth auth;
	const char *user;			/* user name; SIGV4: access key id */
	const char *secret;			/* password; token; secret access key */
	const char *session;		/* SIGV4: session token, or NULL */
	int64 bytes_per_second;		/* 0: no limit */
	double requests_per_second; /* 0: no limit */
} CsHttpAccess;

/*
 * An endpoint for a service over HTTP, which it keeps (not copies): the service
 * must outlive it. access is copied; the copy of its secrets is cleansed when
 * the endpoint is closed. Nothing is connected yet. NULL, with *failure, if the
 * service's url is one to which no connection is allowed (S5). service may be
 * NULL, for requests to wherever S5 allows (content by URL).
 */
extern CsEndpoint *cs_endpoint_open_http(CsService *service,
										 const CsHttpAccess *access,
										 CsFailure *failure);
/* The limits may change while it is open; 0: none. */
extern void cs_endpoint_set_limits(CsEndpoint *endpoint, int64 bytes_per_second,
								   double requests_per_second);
extern void cs_endpoint_close(CsEndpoint *endpoint);

/*
 * An endpoint of CS_AUTH_TOKEN. A request that would carry the token waits while
 * there is none, and one that the service refused with 401 waits for another
 * token and is made once more: conversations see nothing of it. wants_token is
 * true while requests wait so. set_token gives one, and they go on (a request
 * refused with that token too gets its 401). refuse_token ends those that wait
 * with the failure.
 */
extern bool cs_endpoint_wants_token(const CsEndpoint *endpoint);
extern void cs_endpoint_set_token(CsEndpoint *endpoint, const char *token);
extern void cs_endpoint_refuse_token(CsEndpoint *endpoint,
									 const CsFailure *failure);

typedef enum CsTransferState
{
	CS_TRANSFER_RUNNING,
	CS_TRANSFER_CHECKPOINT, /* result has size and sha256; then continue */
	CS_TRANSFER_PAGE,		/* result has entries; then continue */
	CS_TRANSFER_DONE,
	CS_TRANSFER_FAILED /* result.failure */
} CsTransferState;

typedef struct CsLoop CsLoop;

typedef struct CsTransfer
{
	CsTransferState state;
	CsResult result;  /* by state */
	int64 bytes_done; /* of the body, so far, for cloudsync.activity */
	int64 requests;	  /* made so far */
	void *owner;	  /* the CsJob that started it */
	struct CsTransferPrivate *priv;
} CsTransfer;

/*
 * recover (cs_rollback in a worker) is called when a body's function raised an
 * error, before the transfer goes on: it ends the transaction left open.
 */
extern CsLoop *cs_loop_create(void (*recover)(void));
extern void cs_loop_destroy(CsLoop *loop); /* closes all, removes nothing */

/*
 * Starts a transfer in a memory context of its own below the current one. body
 * may be NULL where op needs none. endpoint must outlive it.
 */
extern CsTransfer *cs_transfer_start(CsLoop *loop, const CsProvider *provider,
									 CsEndpoint *endpoint, const CsOp *op,
									 CsBody *body, void *owner);
/* Goes on after CHECKPOINT or PAGE. */
extern void cs_transfer_continue(CsTransfer *transfer);
/* There is something to be read, or room, where its body had none before. */
extern void cs_transfer_wake(CsTransfer *transfer);
/*
 * Ends it in whatever state and frees all it holds: descriptors, and the file
 * under a temporary name that it wrote but did not bring to its final name.
 * Deleting the memory context that was current at its start does the same.
 */
extern void cs_transfer_free(CsTransfer *transfer);

/*
 * Works on running transfers in turn for about budget_us microseconds, and at
 * least one slice. Returns true if any of them can go on at once.
 */
extern bool cs_loop_turn(CsLoop *loop, int64 budget_us);
/*
 * The next transfer that left RUNNING since it was last returned here; NULL
 * when there is none (left). Its owner is the CsJob to be advanced.
 */
extern CsTransfer *cs_loop_take_stopped(CsLoop *loop);
extern int cs_loop_running(CsLoop *loop);
/* The descriptor to wait for (readable), for transfers that wait. */
extern int cs_loop_fd(CsLoop *loop);

#endif
