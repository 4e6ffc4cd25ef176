/*
 * collect_seen.c
 *	  What a full listing did not show is gone (L10): the items that it shows are
 *	  noted, by the bits of their numbers, so that a folder of a million takes
 *	  little memory; afterwards the folder's items are gone through in steps.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "cloudsync/db.h"
#include "listing.h"

#define CHUNK_BITS 512 /* numbers of one listing mostly follow each other */
#define STEP_TEXT "5000"
#define STEP 5000

typedef struct Chunk
{
	int64 number;
	uint8 bits[CHUNK_BITS / 8];
} Chunk;

/* See listing.h. */
void
cs_seen_begin(CsCollect *c)
{
	HASHCTL ctl = {0};

	cs_seen_end(c);
	ctl.keysize = sizeof(int64);
	ctl.entrysize = sizeof(Chunk);
	ctl.hcxt = c->job.context;
	c->seen = hash_create("cloudsync items seen", 256, &ctl,
						  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	c->close_path = NULL;
}

/* See listing.h. */
void
cs_seen_end(CsCollect *c)
{
	if (c->seen != NULL)
		hash_destroy(c->seen);
	c->seen = NULL;
}

/* See listing.h. */
void
cs_seen_note(CsCollect *c, int64 item_id)
{
	int64 number = item_id / CHUNK_BITS;
	bool found;
	Chunk *chunk;

	if (c->seen == NULL)
		return;
	chunk = hash_search(c->seen, &number, HASH_ENTER, &found);
	if (!found)
		memset(chunk->bits, 0, sizeof(chunk->bits));
	chunk->bits[item_id % CHUNK_BITS / 8] |= 1 << (item_id % 8);
}

static bool
was_seen(CsCollect *c, int64 item_id)
{
	int64 number = item_id / CHUNK_BITS;
	const Chunk *chunk = hash_search(c->seen, &number, HASH_FIND, NULL);

	return chunk != NULL &&
		   (chunk->bits[item_id % CHUNK_BITS / 8] & (1 << (item_id % 8))) != 0;
}

/* See listing.h. */
bool
cs_seen_close(CsCollect *c)
{
	Args args = {0};
	Args gone = {0};
	CsColumn unseen = {INT8OID};
	char *last = NULL;
	uint64 n;

	cs_begin("looking for what is gone");
	add_int64(&args, c->channel_id, false);
	add(&args, INT4OID, Int32GetDatum(c->folders[c->folder].folder_no), false);
	add(&args, INT4OID, Int32GetDatum(c->n_folders), false);
	add(&args, TEXTOID, cs_text_from_utf8(c->close_path ? c->close_path : ""), false);
	n = cs_execute_first(
		"SELECT item_id, path, state IS DISTINCT FROM 'gone' AND (folder_no = $2 OR folder_no > $3) "
		"FROM cloudsync.item WHERE channel_id = $1 AND path > $4 "
		"ORDER BY channel_id, path LIMIT " STEP_TEXT,
		args.n, args.types, args.values, args.nulls, true);
	for (uint64 i = 0; i < n; i++)
	{
		int64 item_id = cs_get_int64(i, 1, 0);

		if (cs_get_bool(i, 3, false) && !was_seen(c, item_id))
			cs_column_add(&unseen, Int64GetDatum(item_id), false);
	}
	if (n > 0)
		last = MemoryContextStrdup(c->job.context, cs_get_utf8(n - 1, 2));
	if (unseen.n > 0)
	{
		add_columns(&gone, &unseen, 1);
		add_int64(&gone, c->job.run_id, false);
		execute("UPDATE cloudsync.item SET state = 'gone', verify = false, reason = NULL, unlisted = false, "
				"listing = $2, seen_at = clock_timestamp() WHERE item_id = ANY ($1)",
				&gone);
	}
	cs_commit();
	if (c->close_path != NULL)
		pfree(c->close_path);
	c->close_path = last;
	return n < STEP;
}
