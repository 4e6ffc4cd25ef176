/*
 * listing.h
 *	  What the parts of a collection's listing share: collect_list.c goes from
 *	  step to step, collect_page.c stores a page, collect_items.c writes what it
 *	  shows, collect_seen.c finds what a full listing did not show,
 *	  collect_tree.c, collect_feed.c and collect_change.c apply changes.
 */
#ifndef CLOUDSYNC_LISTING_H
#define CLOUDSYNC_LISTING_H

#include "cloudsync/collect.h"
#include "args.h"

/* Do the service's cursors stand for the whole account (L11)? */
#define IS_FED(c) ((c)->job.connection->provider->feed_of_account)

/* Bytes of an item's path: what is longer fits into no index. */
#define CS_ITEM_PATH_MAX 2560

/*
 * collect_items.c, in a transaction: entries become items of the folder
 * c->folder; each has a path.
 */
extern void cs_items_store(CsCollect *c, const CsEntry *entries, int n_entries,
						   TimestampTz now);

/*
 * collect_page.c: the page of c->list, or a piece of it, in a transaction of its
 * own; true when all of it is stored.
 */
extern bool cs_page_store(CsCollect *c, const CsResult *result, TimestampTz now);

/* collect_seen.c: what a full listing shows is noted from cs_seen_begin on. */
extern void cs_seen_begin(CsCollect *c);
extern void cs_seen_note(CsCollect *c, int64 item_id);
extern void cs_seen_end(CsCollect *c);
/*
 * A further step of looking for what was not noted, which is gone; true when it
 * was the last. In a transaction of its own.
 */
extern bool cs_seen_close(CsCollect *c);

/* collect_tree.c, in a transaction. What is at path, and all below it, is gone. */
extern void cs_tree_gone(CsCollect *c, const char *path);
/* The same of what is below it alone. */
extern void cs_tree_gone_below(CsCollect *c, const char *path);
/* Of the item, if it is still what has that id. */
extern void cs_tree_gone_item(CsCollect *c, int64 item_id, const char *remote_id);
/* What is at from, and all below it, is now at to, in the channel's folder. */
extern void cs_tree_move(CsCollect *c, const char *from, const char *to,
						 int32 folder_no);
/*
 * A folder of that id is at path: of another one, which nobody says is elsewhere,
 * what was below is gone with it.
 */
extern void cs_tree_displace(CsCollect *c, const char *path, const char *remote_id);
/* Is it the same path, as the service compares paths? */
extern bool cs_tree_same_path(CsCollect *c, const char *a, const char *b);
/*
 * A page of what changed, in order, in the folder c->folder, which has a cursor
 * of its own. True: the folder itself is gone from where it was.
 */
extern bool cs_tree_change(CsCollect *c, const CsEntry *entries, int n_entries,
						   TimestampTz now);

/*
 * collect_beside.c: begins a step, or takes up what was begun ahead of it; goes
 * on beside a listing under way; all listings have come to their end.
 */
extern CsTransfer *cs_list_start(CsCollect *c, CsOp *op);
extern void cs_list_beside(CsCollect *c, TimestampTz now);
extern void cs_list_beside_end(CsCollect *c);

/*
 * collect_feed.c: of all the channels' jobs of a connection one at a time reads
 * the feed, or lists what it will be applied to. True when it is the turn of
 * this one.
 */
extern bool cs_feed_acquire(CsCollect *c, TimestampTz now);
extern void cs_feed_release(CsCollect *c);
/* Reads what there is in the feed; true when it was read. */
extern bool cs_feed_read(CsCollect *c, TimestampTz now);

/*
 * collect_change.c, in a transaction: the ids that a page of the feed speaks of,
 * and of the folders these are in; what the page makes of a channel's items.
 */
extern CsColumn cs_change_ids(const CsEntry *entries, int n_entries);
extern void cs_change_apply(CsCollect *c, const CsEntry *entries, int n_entries,
							const CsColumn *ids, TimestampTz now);

/*
 * collect_folder.c, of the folder c->folder, in a transaction: it is up to date;
 * all of it was listed, so that changes are followed from now on, from its own
 * cursor (c->new_cursor) or, if it is the first that needs it, the account's;
 * it is to be listed in full.
 */
extern void cs_folder_store_listed(CsCollect *c);
extern void cs_folder_store_cursor(CsCollect *c);
/* The account's feed goes on at c->new_cursor, if it did not go on anywhere. */
extern void cs_folder_store_feed(CsCollect *c);
extern void cs_folder_forget_cursor(CsCollect *c);
/* It could not be listed: in a transaction of its own. */
extern void cs_folder_failed(CsCollect *c, const CsFailure *failure);

/* The channel and that folder, as a statement's first arguments. */
#define THIS_FOLDER "channel_id = $1 AND folder_no = $2"

static inline void
add_this_folder(Args *args, const CsCollect *c)
{
	add_int64(args, c->channel_id, false);
	add(args, INT4OID, Int32GetDatum(c->folders[c->folder].folder_no), false);
}

static inline Datum
cs_utf8_or_null(const char *text)
{
	return text != NULL ? cs_text_from_utf8(text) : (Datum) 0;
}

#endif
