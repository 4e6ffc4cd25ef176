/*
 * loop.h
 *	  What the parts of the transfer loop share. Inner header of transfer/.
 *
 *	  loop.c		transfers that run, one slice each in turn
 *	  loop_limits.c	local transfers that rest for their pace; listings that have
 *					no end
 */
#ifndef CLOUDSYNC_LOOP_H
#define CLOUDSYNC_LOOP_H

#include "postgres.h"

#include "lib/ilist.h"

#include "endpoint.h"
#include "file.h"
#include "http.h"

struct CsLoop
{
	MemoryContext context;
	dlist_head running; /* transfers that can go on, the next one first */
	dlist_head waiting; /* that are running, and wait for the network */
	dlist_head stopped; /* and not taken by cs_loop_take_stopped yet */
	dlist_head taken;
	int n_running;
	int epoll_fd;
	CsHttp *http; /* made when it is first needed */
	void (*recover)(void);
	char *buffer;	 /* for one slice */
	bool keep_files; /* the loop goes: transfers remove nothing */
	int n_resting;	 /* local transfers that wait for their pace */
	int timer_fd;	 /* goes off when one of them may go on; -1: none yet */
};

typedef struct CsTransferPrivate
{
	dlist_node node;
	CsTransfer *transfer;
	CsLoop *loop; /* NULL once it is gone */
	MemoryContext context;
	MemoryContextCallback callback;
	const CsProvider *provider;
	CsConversation *conversation;
	CsFileTask task; /* one of the two, by the endpoint */
	CsHttpTask web;
	bool over_http;
	CsRequest request;
	bool asking; /* a request is being carried out */
	bool resting;
	int n_puts;	   /* PUT_MANY: of so many files */
	char *listing; /* LIST: of what folder; else NULL */
	int64 listed;  /* entries, pages and requests, so far */
	int64 untold;  /* bytes of answers since the last of them */
} CsTransferPrivate;

/* loop_limits.c */
/* It waits, until its pace lets it go on or it is woken. */
extern void cs_loop_rest(CsTransferPrivate *priv);
extern void cs_loop_rest_no_more(CsTransferPrivate *priv);
/* Finds those that may go on, and sets the timer for the others. */
extern void cs_loop_wake_rested(CsLoop *loop);
extern void cs_loop_close_timer(CsLoop *loop);
/*
 * A listing shows so much more. False, with result.failure, if it has more than
 * it may have.
 */
extern bool cs_loop_listing_goes_on(CsTransfer *transfer, int entries);
extern bool cs_loop_answer_goes_on(CsTransfer *transfer, int64 bytes);

#endif
