/*
 * ask.h
 *	  A question to a provider on behalf of a waiting session: the session
 *	  starts a worker, which holds one conversation and streams the answer back
 *	  through a shared message queue. So no session ever talks to a service, and
 *	  it works with and without preload.
 */
#ifndef CLOUDSYNC_ASK_H
#define CLOUDSYNC_ASK_H

#include "postgres.h"

#include "cloudsync/provider.h"
#include "lib/stringinfo.h"

#define CS_ASK_TIMEOUT_MS 30000
#define CS_ASK_PATH_MAX 4096
#define CS_ASK_ID "id:" /* before a remote id in the place of a path */

/* What is asked, at the start of the shared segment; the queue follows. */
typedef struct CsAsk
{
	Oid database;
	int64 connection_id;
	CsOpKind op; /* CS_OP_ABOUT, CS_OP_LIST, or CS_OP_TOKEN: path is a code */
	int64 consent_id; /* TOKEN: of the request for consent that it answers */
	/* of a folder, or id: and its remote id, as channels' folders are named */
	char path[CS_ASK_PATH_MAX];
} CsAsk;

/* First byte of each message. */
#define CS_ASK_ENTRY 'e'   /* kind, name, path, id, size, modified */
#define CS_ASK_ABOUT 'a'   /* used, quota */
#define CS_ASK_FAILURE 'f' /* class, message, detail */
#define CS_ASK_END 'z'

/*
 * Asks and calls handle(arg, message) for each ENTRY or ABOUT message, whose
 * cursor is past its first byte. ereports what went wrong (or returns the
 * failure's class and texts, if failure is not NULL), after 30 s too. To be called in a
 * transaction; can be cancelled.
 */
extern void cs_ask(const CsAsk *ask, void (*handle)(void *arg, char type, StringInfo message),
				   void *arg, CsFailure *failure);

#endif
