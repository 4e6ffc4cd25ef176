/*
 * content.h
 *	  Documents' bytes on their way into the database: a body for the transfer
 *	  loop that fills chunks of 1 MiB. What fits into one chunk stays in memory
 *	  until it is settled; more goes to staging chunks, each in a short
 *	  transaction of its own, which belong to nobody until settling takes them.
 */
#ifndef CLOUDSYNC_CONTENT_H
#define CLOUDSYNC_CONTENT_H

#include "postgres.h"

#include "cloudsync/transfer.h"

#define CS_CHUNK_SIZE (1024 * 1024) /* cloudsync_read relies on it too */

typedef struct CsContentWriter
{
	CsBody body;
	MemoryContext context;
	int64 connection_id;
	int64 run_id;
	int64 item_id;
	int64 limit;	  /* more bytes than that are refused; 0: no limit */
	bool discard;	  /* the bytes are only looked at, not kept */
	int64 content_id; /* 0: nothing is staged */
	int32 seq;		  /* of the next chunk */
	int64 total;	  /* bytes taken so far */
	char *buf;		  /* the chunk being filled */
	int len;
	int cap;
} CsContentWriter;

/* A writer in the current memory context. */
extern CsContentWriter *cs_content_writer(int64 connection_id, int64 run_id,
										  int64 item_id, int64 limit,
										  bool discard);

/*
 * In the settling transaction: writes what is left in memory, takes the content
 * out of staging and returns its id. May be repeated after a rollback.
 */
extern int64 cs_content_take(CsContentWriter *writer);

/* In a transaction: deletes what is staged, if anything. */
extern void cs_content_drop(CsContentWriter *writer);

/* In a transaction: deletes all that a run has left in staging. */
extern void cs_content_drop_run(int64 connection_id, int64 run_id);

/* Percentage of the data directory's file system that is free; -1 unknown. */
extern int cs_free_disk_percent(void);

#endif
