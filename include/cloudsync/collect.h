/*
 * collect.h
 *	  What the parts of a collection share (src/engine/collect*.c). One job is
 *	  one run of a channel; it goes through the phases below in order.
 */
#ifndef CLOUDSYNC_COLLECT_H
#define CLOUDSYNC_COLLECT_H

#include "postgres.h"

#include "cloudsync/column.h"
#include "cloudsync/compat.h"
#include "cloudsync/content.h"
#include "cloudsync/engine.h"
#include "cloudsync/identity.h"
#include "cloudsync/pattern.h"
#include "utils/hsearch.h"

typedef enum CsCollectPhase
{
	CS_COLLECT_MOVE_LEFT, /* moves that an earlier run left to do */
	CS_COLLECT_LIST,	  /* the folders' files become items */
	CS_COLLECT_RECEIVE,	  /* items become documents */
	CS_COLLECT_MOVE,	  /* collected ones are moved away */
	CS_COLLECT_FINISH
} CsCollectPhase;

typedef enum CsFolderStep
{
	CS_FOLDER_BEGIN,
	CS_FOLDER_FOLLOW, /* what changed since its cursor? */
	CS_FOLDER_LOOK,	  /* is it where it was? */
	CS_FOLDER_SEEK,	  /* it is not: look for its id in the whole account */
	CS_FOLDER_AGAIN,  /* it is gone for good: is another one at its path? */
	CS_FOLDER_ABOVE,  /* the ids of the folders it is in, for the feed */
	CS_FOLDER_LIST,	  /* in full */
	CS_FOLDER_CLOSE,  /* what the listing did not show is gone */
	CS_FOLDER_ENTER	  /* folders that came into it are listed */
} CsFolderStep;

typedef struct CsFolder
{
	int32 folder_no;
	char *path;		 /* as set: a path, or id:... */
	char *remote_id; /* NULL: not known yet */
	char *current;	 /* where it is */
	bool following;	 /* listed in full, and changes have been followed since */
	char *cursor;	 /* of its own, or NULL */
	bool look;		 /* it, or one that it is in, was changed */
	List *ancestors; /* ids of those it is in from the root on, and its own */
} CsFolder;

/* A file on its way from item to document, in a context of its own. */
typedef struct CsFetch
{
	MemoryContext context;
	int64 item_id;
	char *path;
	char *name;
	char *remote_id;
	char *version;
	char *checksum; /* strong, by the service's word; or NULL */
	bool known;		/* what its bytes are is known by that */
	int64 size;
	TimestampTz modified;		 /* 0: unknown */
	TimestampTz unchanged_since; /* 0: unknown */
	int64 document_id;			 /* collected from here before, 0: none */
	bool verify;				 /* compare only */
	bool has_sha256;			 /* of what was collected */
	uint8 item_sha256[CS_SHA256_LENGTH];
	int attempts;
	CsTransfer *transfer; /* running, or stopped and not looked at */
	bool looking;		  /* the transfer only looks whether it is stable */
	CsContentWriter *writer;
	bool received; /* else failure says why not */
	int64 received_size;
	uint8 sha256[CS_SHA256_LENGTH];
	CsFailure failure;
	/* by settling */
	CsReceivedAs as;
	int64 new_document_id;
} CsFetch;

/* A file to be moved away after collection. */
typedef struct CsAway
{
	int64 item_id;
	char *path;
	char *to_path;
	char *wanted; /* to_path without a number */
	char *key;	  /* what to_path has in common with one of the same name */
	int number;
	char *remote_id;
	char *version;
	int attempts;
	CsTransfer *transfer;
} CsAway;

typedef struct CsCollect
{
	CsJob job; /* first */
	CsCollectPhase phase;

	/* the channel as it was at the claim */
	int64 channel_id;
	char *channel;
	char *recipient;
	char *binder;
	bool recursive;
	bool auto_collect;
	List *include; /* of CsPattern */
	List *exclude;
	int64 max_size; /* 0: no limit of its own */
	CsDedup dedup;
	char *move_folder; /* NULL: files are left where they are */
	bool refresh;
	bool moves_only;
	int64 recollect; /* document to collect again; 0: none */
	bool cancelled;	 /* said by the error that ends the run */
	char *synced_by;
	bool by_hand;

	/* listing */
	int32 epoch;
	TimestampTz list_since; /* when it came to listing; 0: not yet */
	bool feed_done;			/* the feed of the account was read */
	CsFolder *folders;
	int n_folders;
	int folder; /* the one being listed */
	CsFolderStep folder_step;
	CsTransfer *list;
	int stored; /* entries of the page at hand that are stored already */
	CsTransfer *list_ahead; /* of the folder that is looked at, to save a wait, */
	char *ahead_path;		/* which is supposed to be here */
	bool looked;  /* the folder was looked at just now */
	char *sought; /* where the folder sought was found */
	int folders_failed;
	HTAB *seen;		  /* items that this folder's listing showed; NULL: not
					   * to be noted */
	char *close_path; /* CLOSE: up to where that was looked through, */
	char *new_cursor; /* and the listing's cursor */
	bool unplaced;	  /* it told of something without saying where it is */
	bool entering;	  /* folders that are new are to be listed */
	int64 entered_id; /* ENTER: the one being listed */
	char *entered;
	char *entered_remote_id;

	/* receiving */
	List *todo;		/* of CsFetch: to be started */
	List *running;	/* with a transfer */
	List *arrived;	/* ended, to be settled */
	List *unstable; /* to be looked at again */
	int64 last_item_id;
	bool beside;	   /* the listing that shows them goes on meanwhile: only */
	int64 beside_from; /* those after this one, which it has made; up to */
	int64 beside_to;   /* that one they were taken up */
	bool shown;		   /* more of them since it was looked */
	bool all_loaded;
	int looks;
	TimestampTz next_look;
	TimestampTz oldest_arrival;
	int64 arrived_bytes;
	int64 ended_bytes; /* of fetches that came to their end, for the activity */
	char *paused; /* why nothing more is received */
	char *day_used_up; /* why nothing more would be started today */

	/* moving */
	List *moves; /* of CsAway */
	bool moves_loaded;
	char *made_folder; /* where they go now; NULL: none is known to be there */
	CsTransfer *make_folder;
	int64 last_move_id;

	int transfers;	/* running now */
	int64 requests; /* since last recorded */
	char *error;	/* the first */
} CsCollect;

/* Each goes on as far as it can; true when its phase is done. */
extern bool cs_collect_list(CsCollect *c, TimestampTz now);
/* Receives nothing more in this run, for a reason that is not a failure (L7). */
extern void cs_collect_pause(CsCollect *c, const char *why);
/* SQL, over cloudsync.connection: why it pauses when its bytes of the day are up. */
#define CS_DAY_USED_UP                                                         \
	"format('collecting pauses: the %s bytes a day of the connection are used up', max_bytes_per_day)"

extern bool cs_collect_receive(CsCollect *c, TimestampTz now);
extern bool cs_collect_move(CsCollect *c, TimestampTz now);

/* Settles what arrived, in one transaction. */
extern void cs_collect_settle(CsCollect *c, TimestampTz now);

/* The settings of the channel and its folders; false if it was deleted. In a
 * transaction. collect.c */
extern bool cs_collect_read_channel(CsCollect *c);

/* Transfers of the job, counted (collect.c); start only where a slot is free. */
extern bool cs_collect_slot(CsCollect *c);
extern CsTransfer *cs_collect_start(CsCollect *c, CsOp *op, CsBody *body);
extern void cs_collect_end(CsCollect *c, CsTransfer **transfer);
/* Ends the run because the connection itself failed; raises an error. */
pg_noreturn extern void
cs_collect_connection_failed(CsCollect *c, const CsFailure *failure);
/* Keeps the first error for the run's own text. */
extern void cs_collect_note_error(CsCollect *c, const char *text);
/* The largest file that is collected; 0: no limit. */
extern int64 cs_collect_limit(const CsCollect *c);

/* Is path the target folder of move: or below it? */
extern bool cs_collect_is_away(const CsCollect *c, const char *path);

/* Rows that failed and may be tried again, growing and jittered. */
extern int64 cs_collect_backoff_ms(int attempts);

/* The application's functions for a document, in a transaction (hook.c). */
extern void cs_hooks_run(const char *event, int64 document_id);

/* UTF-8 to and from the database's encoding. */
extern Datum cs_text_from_utf8(const char *text);
extern char *cs_get_utf8(uint64 row, int column);

/* One type of document by its name's extension (media.c). */
extern const char *cs_media_type(const char *name);

#endif
