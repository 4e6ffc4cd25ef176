/*
 * collect_beside.c
 *	  What a collection does while it waits for a listing, so that a round trip
 *	  or a long folder costs no time of its own: a folder is listed while it is
 *	  looked at, or from where on the account's feed is to be followed is asked
 *	  for; and what its listing has shown is received while the rest comes.
 *
 * Only where the whole folder is listed, over a network, by a listing that shows
 * what there is: not one that goes over into what changes meanwhile, unless it
 * ended with its first answer.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "listing.h"

static bool
is_over_network(const CsCollect *c)
{
	return c->job.connection->service != NULL;
}

static bool
is_listed_in_full(const CsCollect *c)
{
	return is_over_network(c) &&
		   (IS_FED(c) || !c->job.connection->provider->incremental);
}

/* Does nothing that is still to come of the listing change what it has shown? */
static bool
is_settled(const CsCollect *c)
{
	return is_listed_in_full(c) ||
		   (is_over_network(c) && c->list->state == CS_TRANSFER_PAGE && c->list->result.whole);
}

/*
 * The feed is to be followed from before the listing on, and that is asked for
 * while the folder is looked at.
 */
static bool
is_to_be_followed(CsCollect *c, const char *path)
{
	return is_over_network(c) && IS_FED(c) && strcmp(path, "/") != 0 && c->since == NULL &&
		   !c->folders[c->folder].following && !cs_feed_is_known(c);
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
	CsOp now = {.kind = CS_OP_LIST, .path = "/", .recursive = true, .follow = true, .now = true};

	if (transfer != NULL && c->folder_step == CS_FOLDER_NOW)
	{
		c->list_ahead = NULL;
		return transfer;
	}
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
	else if (c->folder_step == CS_FOLDER_LOOK && is_to_be_followed(c, op->path) && cs_collect_slot(c))
	{
		c->ahead_path = NULL;
		c->list_ahead = cs_collect_start(c, &now, NULL);
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
		c->folder != c->n_folders - 1 || !(c->beside || is_settled(c)))
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
