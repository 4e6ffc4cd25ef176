/*
 * pull.h
 *	  A content that is elsewhere (an address, or a path at a connection), pulled
 *	  from there as it is sent on: two transfers of the same loop and a window of
 *	  bytes between them, in memory of bounded size. Inner header of engine/.
 *
 * What was read can be read again while it is in the window; further back, it
 * is pulled anew, and is a failure if it is not the same bytes.
 */
#ifndef CLOUDSYNC_PULL_H
#define CLOUDSYNC_PULL_H

#include "cloudsync/engine.h"

typedef struct CsPull CsPull;

/* Where from: an endpoint, its provider, and a path or address there. */
typedef struct CsPullFrom
{
	CsLoop *loop;
	const CsProvider *provider;
	CsEndpoint *endpoint;
	const char *path;
	const char *version; /* NULL, or one that need not be pulled again */
	int64 max_size;
} CsPullFrom;

typedef enum CsPullState
{
	CS_PULL_WAIT,
	CS_PULL_UNCHANGED, /* it has the version that is known */
	CS_PULL_WHOLE,	   /* all of it is in the window */
	CS_PULL_LARGE,	   /* it is larger than small contents are */
	CS_PULL_FAILED
} CsPullState;

/* Begins; in a context of its own below the current one. */
extern CsPull *cs_pull_start(const CsPullFrom *from, CsJob *job);
extern void cs_pull_free(CsPull *pull);
/*
 * What is to be done next, whenever the job is advanced. WHOLE and LARGE stay
 * so until cs_pull_feed or cs_pull_skim.
 */
extern CsPullState cs_pull_advance(CsPull *pull);
extern const CsFailure *cs_pull_failure(const CsPull *pull);
/* All of it came, or no more will. */
extern bool cs_pull_ended(const CsPull *pull);
/* As was said beforehand, or as it turned out; -1 unknown. */
extern int64 cs_pull_size(const CsPull *pull);
/* The whole content, once it is WHOLE; palloc'd. */
extern char *cs_pull_whole(CsPull *pull, uint8 *sha256);
/* What is known of its version, once all of it came; or NULL. */
extern const char *cs_pull_version(const CsPull *pull);

/*
 * It is to be read from its beginning from now on, by a transfer that reads
 * stretches of up to rereads bytes twice. False: there is no memory for the
 * window now, ask again.
 */
extern bool cs_pull_feed(CsPull *pull, int64 rereads);
extern void cs_pull_set_reader(CsPull *pull, CsTransfer *reader);
/* CsBody's read. */
extern int64 cs_pull_read(CsPull *pull, int64 offset, char *buf, int64 cap,
						  CsFailure *failure);

/* It is only hashed, to its end: true then, with size and SHA-256. */
extern bool cs_pull_skim(CsPull *pull, int64 *size, uint8 *sha256);
/* After that: back to LARGE. */
extern void cs_pull_again(CsPull *pull);

#endif
