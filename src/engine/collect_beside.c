/*
 * collect_beside.c
 *	  What a collection does while it waits for a listing, so that a round trip
 *	  or a long folder costs no time of its own: a folder is listed while it is
 *	  looked at, and what its listing has shown is received while the rest comes.
 *
 * Only where the whole folder is listed, over a network, by a listing that shows
 * what there is: not one that goes over into what changes meanwhile.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "listing.h"

static bool
is_listed_in_full(const CsCollect *c)
{
	const CsConnection *connection = c->job.connection;

	return connection->service != NULL &&
		   (IS_FED(c) || !connection->provider->incremental);
}

/* Where ids last, what is listed is what was looked at. */
static bool
is_listed_by_path(const CsCollect *c)
{
	return is_listed_in_full(c) && !c->job.connection->provider->stable_ids;
}

/* The folders that it is in are looked at when it was listed. */
static bool
is_listing(const CsCollect *c)
{
	return c->folder_step == CS_FOLDER_LIST ||
		   (c->folder_step == CS_FOLDER_ABOVE && c->beside);
}

static void
drop_ahead(CsCollect *c)
{
	if (c->list_ahead != NULL)
		cs_collect_end(c, &c->list_ahead);
}

/* See listing.h. */
CsTransfer *
cs_list_start(CsCollect *c, CsOp *op)
{
	CsTransfer *transfer = c->list_ahead;
	CsOp ahead = {.kind = CS_OP_LIST, .path = op->path, .recursive = c->recursive};

	if (transfer != NULL && c->folder_step == CS_FOLDER_LIST &&
		strcmp(c->ahead_path, op->path) == 0)
	{
		c->list_ahead = NULL;
		return transfer;
	}
	drop_ahead(c);
	transfer = cs_collect_start(c, op, NULL);
	if (c->folder_step == CS_FOLDER_LOOK && is_listed_by_path(c) && cs_collect_slot(c))
	{
		c->ahead_path = MemoryContextStrdup(c->job.context, op->path);
		c->list_ahead = cs_collect_start(c, &ahead, NULL);
	}
	return transfer;
}

/* Items are numbered in the order in which they are made. */
static int64
last_item(void)
{
	int64 last;

	cs_begin("looking for new documents");
	cs_execute("SELECT last_value - CASE WHEN is_called THEN 0 ELSE 1 END "
			   "FROM cloudsync.item_item_id_seq",
			   0, NULL, NULL, NULL, true);
	last = cs_get_int64(0, 1, 0);
	cs_commit();
	return last;
}

/*
 * See listing.h. Only what the last folder's listing has made is received: what
 * was known before may still come to be known otherwise.
 */
void
cs_list_beside(CsCollect *c, TimestampTz now)
{
	if (c->refresh || c->list == NULL || !is_listing(c) ||
		c->folder != c->n_folders - 1 || !is_listed_in_full(c))
		return;
	if (!c->beside)
	{
		c->beside = true;
		c->beside_from = c->last_item_id = last_item();
		c->all_loaded = true;
	}
	if (c->shown)
		c->all_loaded = false;
	c->shown = false;
	(void) cs_collect_receive(c, now);
}

/* See listing.h. */
void
cs_list_beside_end(CsCollect *c)
{
	drop_ahead(c);
	if (!c->beside)
		return;
	c->beside = false;
	c->beside_to = c->last_item_id;
	c->last_item_id = 0;
	c->all_loaded = false;
}
