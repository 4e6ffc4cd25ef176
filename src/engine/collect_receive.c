/*
 * collect_receive.c
 *	  Receiving: items that are new, or whose bytes must be compared, are fetched
 *	  many at once and handed to settling in batches (L6, L9). A file that is
 *	  still being written is looked at again by the same run.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "cloudsync/collect.h"
#include "cloudsync/crash.h"
#include "cloudsync/db.h"
#include "cloudsync/path.h"
#include "cloudsync/settings.h"

#define LOAD_AT_ONCE 200
#define SETTLE_FILES 24 /* below what overflows a snapshot's subtransactions */
#define SETTLE_AT_MOST 48 /* or these, while requests go out before it */
#define SETTLE_BYTES (8 * 1024 * 1024)
#define SETTLE_AFTER_US (200 * 1000)
#define MAX_LOOKS 6
#define MIN_LOOK_MS 1000
#define MAX_EXCESS (1024 * 1024) /* bytes beyond those listed, then it stops */

static char *
keep_text(MemoryContext context, char *text)
{
	return text == NULL ? NULL : MemoryContextStrdup(context, text);
}

/*
 * Bytes that this channel collected before are known by a strong checksum, and
 * need not come again (L9).
 */
static void
read_known(CsFetch *f, uint64 row)
{
	bool isnull;
	Datum sha = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 14, &isnull);
	bytea *bytes = isnull ? NULL : DatumGetByteaPP(sha);

	if (bytes == NULL || VARSIZE_ANY_EXHDR(bytes) != CS_SHA256_LENGTH)
		return;
	memcpy(f->sha256, VARDATA_ANY(bytes), CS_SHA256_LENGTH);
	f->known = true;
}

static CsFetch *
read_fetch(CsCollect *c, uint64 row)
{
	MemoryContext context = AllocSetContextCreate(
		c->job.context, "cloudsync document", ALLOCSET_SMALL_SIZES);
	CsFetch *f = MemoryContextAllocZero(context, sizeof(CsFetch));
	bool isnull;
	Datum sha;

	f->context = context;
	f->item_id = cs_get_int64(row, 1, 0);
	f->path = keep_text(context, cs_get_utf8(row, 2));
	f->name = keep_text(context, cs_get_utf8(row, 3));
	f->remote_id = keep_text(context, cs_get_utf8(row, 4));
	f->version = keep_text(context, cs_get_utf8(row, 5));
	f->size = cs_get_int64(row, 6, -1);
	f->modified = cs_get_timestamptz(row, 7, 0);
	f->unchanged_since = cs_get_timestamptz(row, 8, 0);
	f->document_id = cs_get_int64(row, 9, 0);
	f->verify = cs_get_bool(row, 10, false);
	sha = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 11,
						&isnull);
	if (!isnull)
	{
		bytea *bytes = DatumGetByteaPP(sha);

		if (VARSIZE_ANY_EXHDR(bytes) == CS_SHA256_LENGTH)
		{
			memcpy(f->item_sha256, VARDATA_ANY(bytes), CS_SHA256_LENGTH);
			f->has_sha256 = true;
		}
	}
	f->attempts = (int) cs_get_int64(row, 12, 0);
	f->checksum = keep_text(context, cs_get_utf8(row, 13));
	read_known(f, row);
	return f;
}

#define FETCH_COLUMNS                                                          \
	"SELECT i.item_id, i.path, i.name, i.remote_id, i.remote_version, i.size, " \
	"i.modified_at, i.unchanged_since, i.document_id, i.verify, i.sha256, "    \
	"i.attempts, i.checksum, "
#define FETCH_FROM                                                             \
	"FROM cloudsync.item i WHERE i.channel_id = $1 AND i.kind = 'file' "
/*
 * The SHA-256 of bytes that the account has seen with this checksum and size,
 * and this channel has collected.
 */
#define FETCH_KNOWN                                                            \
	"(SELECT d.sha256 FROM (SELECT CASE WHEN i.checksum LIKE 'sha256:%' "      \
	"THEN decode(substr(i.checksum, 8), 'hex') ELSE (SELECT k.sha256 FROM cloudsync.dedup k " \
	"WHERE k.account_id = $7 AND k.kind = 'checksum' AND k.key = i.checksum AND k.size = i.size) END AS sha256) b " \
	"JOIN cloudsync.dedup d ON d.account_id = $7 AND d.kind = 'content' "      \
	"AND d.key = $8 || '/' || encode(b.sha256, 'hex') AND d.size = i.size) "

/* See collect.h. */
void
cs_collect_pause(CsCollect *c, const char *why)
{
	if (c->paused != NULL)
		return;
	c->paused = MemoryContextStrdup(c->job.context, why);
	cs_collect_note_error(c, c->paused);
}

/*
 * Nothing more is received once the connection's bytes of the day are used up
 * (L7); what is larger than what is left of them still ends. In a transaction.
 */
static void
check_day(CsCollect *c)
{
	Oid types[1] = {INT8OID};
	Datum values[1] = {Int64GetDatum(c->job.connection->connection_id)};

	if (cs_execute("SELECT " CS_DAY_USED_UP " "
				   "FROM cloudsync.connection WHERE connection_id = $1 "
				   "AND collected_day = current_date AND collected_bytes >= max_bytes_per_day",
				   1, types, values, NULL, true) > 0)
		c->day_used_up =
			MemoryContextStrdup(c->job.context, cs_get_text(0, 1));
}

/* The next items to fetch. What to collect is read from the items alone (L8). */
static void
load_todo(CsCollect *c, TimestampTz now)
{
	Oid types[11] = {INT8OID, INT8OID, BOOLOID, TIMESTAMPTZOID, INT8OID, INT8OID,
					 INT8OID, TEXTOID, BOOLOID, INT8OID, INT8OID};
	Datum values[11];
	uint64 n;
	MemoryContext old;

	values[0] = Int64GetDatum(c->channel_id);
	values[1] = Int64GetDatum(c->last_item_id);
	values[2] = BoolGetDatum(c->by_hand);
	values[3] = TimestampTzGetDatum(now);
	values[4] = Int64GetDatum(c->recollect);
	values[5] = Int64GetDatum(c->job.run_id);
	values[6] = Int64GetDatum(c->job.connection->account_id);
	values[8] = BoolGetDatum(c->dedup == CS_DEDUP_CONTENT);
	values[9] = Int64GetDatum(c->beside_from);
	values[10] = Int64GetDatum(c->beside ? c->beside_from : c->beside_to);
	cs_begin("looking for new documents");
	values[7] = cs_text_from_utf8(c->channel);
	if (c->recollect != 0)
		n = cs_execute(FETCH_COLUMNS "NULL::bytea " FETCH_FROM
					   "AND i.document_id = $5 AND i.state <> 'gone' "
					   "AND $2 IS NOT NULL AND $3 IS NOT NULL AND $4 IS NOT NULL "
					   "ORDER BY i.state = 'collected' DESC, i.item_id LIMIT 1",
					   5, types, values, NULL, true);
	else
		n = cs_execute_first(
			FETCH_COLUMNS "CASE WHEN $9 AND i.checksum IS NOT NULL THEN " FETCH_KNOWN "END " FETCH_FROM
			"AND (i.state IN ('new', 'failed') OR i.verify) "
			"AND (i.state <> 'failed' OR $3 OR i.next_try_at IS NULL OR i.next_try_at <= $4) "
			"AND i.item_id > $2 AND $5 IS NOT NULL "
			/* what was taken up while the listing went on */
			"AND (i.item_id <= $10 OR i.item_id > $11) "
			/* what failed in this run before it was recovered */
			"AND (i.state <> 'failed' OR NOT EXISTS (SELECT FROM cloudsync.run_file x "
			"WHERE x.connection_id = i.connection_id AND x.run_id = $6 "
			"AND x.action = 'failed' AND x.path = i.path)) "
			"ORDER BY i.channel_id, i.item_id LIMIT 200",
			11, types, values, NULL, true);
	old = MemoryContextSwitchTo(c->job.context);
	for (uint64 i = 0; i < n; i++)
	{
		CsFetch *f = read_fetch(c, i);

		c->last_item_id = f->item_id;
		c->job.bytes_total += Max(f->size, 0);
		c->todo = lappend(c->todo, f);
	}
	MemoryContextSwitchTo(old);
	if (n > 0)
		check_day(c);
	cs_commit();
	if (c->recollect != 0 && n == 0)
		cs_collect_note_error(c, "the file of the document is not in the folder any more");
	if (n < LOAD_AT_ONCE || c->recollect != 0)
		c->all_loaded = true;
}

/* Nothing more is received while the disk is nearly full (L7). */
static void
check_disk(CsCollect *c)
{
	int percent;

	if (cs_min_free_disk <= 0 || c->paused != NULL)
		return;
	percent = cs_free_disk_percent();
	if (percent < 0 || percent >= cs_min_free_disk)
		return;
	cs_collect_pause(
		c, psprintf("collecting pauses: %d %% of the disk are free, less than cloudsync.min_free_disk (%d %%)",
					percent, cs_min_free_disk));
}

static bool
is_stable(const CsCollect *c, const CsFetch *f, TimestampTz now)
{
	return !c->job.connection->provider->needs_stable_file ||
		   cs_identity_stable(f->modified, f->unchanged_since, now,
							  cs_stability_delay * INT64CONST(1000));
}

static void
start_look(CsCollect *c, CsFetch *f)
{
	CsOp op = {0};

	op.kind = CS_OP_STAT;
	op.path = f->path;
	op.id = f->remote_id;
	f->looking = true;
	f->transfer = cs_collect_start(c, &op, NULL);
}

/*
 * The bytes that are taken of a file: an answer without end is not waited for
 * up to the limit of all documents.
 */
static int64
bytes_taken(const CsCollect *c, const CsFetch *f)
{
	int64 limit = cs_collect_limit(c);

	if (f->size >= 0 && (limit <= 0 || f->size < limit - MAX_EXCESS))
		return f->size + MAX_EXCESS;
	return limit;
}

/* Was it given up because more came than was listed? */
static bool
is_excess(const CsCollect *c, const CsFetch *f)
{
	return f->failure.failure_class == CS_FAIL_REFUSED && f->writer != NULL &&
		   f->writer->total > f->writer->limit &&
		   f->writer->limit != cs_collect_limit(c);
}

static void
start_get(CsCollect *c, CsFetch *f)
{
	MemoryContext old = MemoryContextSwitchTo(f->context);
	CsOp op = {0};

	op.kind = CS_OP_GET;
	op.path = f->path;
	op.id = f->remote_id;
	op.expect_version = f->version;
	f->looking = false;
	f->writer = cs_content_writer(
		c->job.connection->connection_id, c->job.run_id, f->item_id,
		bytes_taken(c, f),
		f->verify && c->dedup != CS_DEDUP_VERSION && c->recollect == 0);
	f->transfer = cs_collect_start(c, &op, &f->writer->body);
	MemoryContextSwitchTo(old);
	strlcpy(c->job.file, f->path, sizeof(c->job.file));
}

/* It looks different than before: say so in the item, and look again later. */
static void
note_unstable(CsCollect *c, CsFetch *f, const CsEntry *entry, TimestampTz now)
{
	Oid types[5] = {INT8OID, INT8OID, TIMESTAMPTZOID, TEXTOID, TIMESTAMPTZOID};
	Datum values[5];
	char nulls[6] = "     ";
	MemoryContext old;

	old = MemoryContextSwitchTo(f->context);
	if (entry != NULL)
	{
		f->size = entry->size;
		f->modified = entry->modified == 0
						  ? 0
						  : entry->modified -
								(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) *
									USECS_PER_DAY;
		f->version = entry->version ? pstrdup(entry->version) : NULL;
		f->remote_id = entry->id ? pstrdup(entry->id) : NULL;
	}
	MemoryContextSwitchTo(old);
	f->unchanged_since = now;
	cs_begin("noting a file that is being written");
	values[0] = Int64GetDatum(f->item_id);
	values[1] = Int64GetDatum(f->size);
	values[2] = TimestampTzGetDatum(f->modified);
	values[3] = f->version ? cs_text_from_utf8(f->version) : 0;
	values[4] = TimestampTzGetDatum(now);
	if (f->version == NULL)
		nulls[3] = 'n';
	cs_execute("UPDATE cloudsync.item SET size = NULLIF($2, -1), modified_at = $3, "
			   "remote_version = $4, unchanged_since = $5, reason = 'still being written' "
			   "WHERE item_id = $1",
			   5, types, values, nulls, false);
	if (f->writer != NULL)
		cs_content_drop(f->writer);
	cs_commit();
	f->writer = NULL;
}

static void
add_to(CsCollect *c, List **list, CsFetch *f)
{
	MemoryContext old = MemoryContextSwitchTo(c->job.context);

	*list = lappend(*list, f);
	MemoryContextSwitchTo(old);
}

static void
arrive(CsCollect *c, CsFetch *f, TimestampTz now)
{
	if (c->arrived == NIL)
		c->oldest_arrival = now;
	/* what was received, too: the bytes of the day are counted as it settles */
	if (f->writer != NULL)
		c->arrived_bytes += Max(f->writer->len, f->received_size);
	add_to(c, &c->arrived, f);
}

/* A look at a file that was being written: has it changed since? */
static void
look_done(CsCollect *c, CsFetch *f, TimestampTz now)
{
	const CsEntry *entry = &f->transfer->result.entry;

	if (entry->version != NULL && f->version != NULL &&
		strcmp(entry->version, f->version) == 0)
	{
		cs_collect_end(c, &f->transfer);
		f->looking = false;
		add_to(c, is_stable(c, f, now) ? &c->todo : &c->unstable, f);
		return;
	}
	note_unstable(c, f, entry, now);
	cs_collect_end(c, &f->transfer);
	add_to(c, &c->unstable, f);
}

static void
get_done(CsCollect *c, CsFetch *f, TimestampTz now)
{
	CsResult *result = &f->transfer->result;

	f->received_size = result->size;
	memcpy(f->sha256, result->sha256, CS_SHA256_LENGTH);
	f->received = f->writer->total == result->size;
	if (!f->received)
		cs_failure_set(&f->failure, CS_FAIL_BROKEN, NULL,
					   "received " INT64_FORMAT " bytes of " INT64_FORMAT,
					   f->writer->total, result->size);
	/* A page to sign in, say, with which a proxy answers in the file's place. */
	else if (f->size >= 0 && f->size != result->size)
	{
		f->received = false;
		cs_failure_set(&f->failure, CS_FAIL_RETRY_LATER, NULL,
					   "\"%s\" came with " INT64_FORMAT " bytes, but was listed with " INT64_FORMAT,
					   f->path, result->size, f->size);
	}
	c->ended_bytes += f->received_size;
	cs_collect_end(c, &f->transfer);
	CS_CRASH_POINT("collect.after_download");
	arrive(c, f, now);
}

/* A look or a fetch stopped. */
static void
stopped(CsCollect *c, CsFetch *f, TimestampTz now)
{
	if (f->transfer->state == CS_TRANSFER_DONE)
	{
		if (f->looking)
			look_done(c, f, now);
		else
			get_done(c, f, now);
		return;
	}
	f->failure = f->transfer->result.failure;
	if (is_excess(c, f))
		cs_failure_set(&f->failure, CS_FAIL_RETRY_LATER, NULL,
					   "\"%s\" came with more than the " INT64_FORMAT " bytes it was listed with",
					   f->path, f->size);
	if (cs_failure_is_connections(f->failure.failure_class))
		cs_collect_connection_failed(c, &f->failure);
	cs_collect_end(c, &f->transfer);
	if (f->failure.failure_class == CS_FAIL_CHANGED)
	{
		note_unstable(c, f, NULL, now);
		add_to(c, &c->unstable, f);
	}
	else
		arrive(c, f, now);
}

static void
look_at_running(CsCollect *c, TimestampTz now)
{
	ListCell *cell;

	foreach (cell, c->running)
	{
		CsFetch *f = lfirst(cell);

		if (f->transfer->state == CS_TRANSFER_RUNNING)
			continue;
		c->running = foreach_delete_current(c->running, cell);
		stopped(c, f, now);
	}
}

/* Starts what slots there are for. Says whether anything did. */
static bool
start_more(CsCollect *c, TimestampTz now)
{
	bool started = false;

	check_disk(c);
	while (c->paused == NULL && c->arrived_bytes < 2 * SETTLE_BYTES)
	{
		CsFetch *f;

		if (c->todo == NIL)
		{
			if (c->all_loaded)
				return started;
			load_todo(c, now);
			continue;
		}
		if (c->day_used_up != NULL)
		{
			cs_collect_pause(c, c->day_used_up);
			return started;
		}
		if (!cs_collect_slot(c))
			return started;
		f = linitial(c->todo);
		c->todo = list_delete_first(c->todo);
		if (f->known)
		{
			f->received = true;
			f->received_size = f->size;
			arrive(c, f, now);
			if (list_length(c->arrived) >= SETTLE_FILES)
				return started;
			continue;
		}
		if (f->looking)
			start_look(c, f);
		else if (is_stable(c, f, now) || c->recollect != 0)
			start_get(c, f);
		else
		{
			if (f->unchanged_since == 0)
				f->unchanged_since = now;
			add_to(c, &c->unstable, f);
			continue;
		}
		add_to(c, &c->running, f);
		started = true;
	}
	return started;
}

/* Still being written after all looks: left for the next run. */
static void
give_up_unstable(CsCollect *c)
{
	ListCell *cell;
	Oid types[1] = {INT8OID};

	cs_begin("noting files that are being written");
	foreach (cell, c->unstable)
	{
		CsFetch *f = lfirst(cell);
		Datum values[1] = {Int64GetDatum(f->item_id)};

		cs_execute("UPDATE cloudsync.item SET reason = 'still being written' "
				   "WHERE item_id = $1",
				   1, types, values, NULL, false);
	}
	cs_commit();
	list_free(c->unstable);
	c->unstable = NIL;
}

/* Nothing runs: what was unstable is looked at again, after the delay. */
static bool
look_again(CsCollect *c, TimestampTz now)
{
	ListCell *cell;

	if (c->looks >= MAX_LOOKS)
	{
		give_up_unstable(c);
		return false;
	}
	if (c->next_look == 0)
		c->next_look = TimestampTzPlusMilliseconds(
			now, Max(cs_stability_delay, MIN_LOOK_MS));
	if (now < c->next_look)
	{
		c->job.phase = "wait";
		c->job.wake_at = Min(c->job.wake_at, c->next_look);
		return false;
	}
	c->looks++;
	c->next_look = 0;
	foreach (cell, c->unstable)
	{
		CsFetch *f = lfirst(cell);

		f->looking = true;
		add_to(c, &c->todo, f);
	}
	list_free(c->unstable);
	c->unstable = NIL;
	return true;
}

/* See collect.h. */
bool
cs_collect_receive(CsCollect *c, TimestampTz now)
{
	for (;;)
	{
		c->job.phase = "receive";
		look_at_running(c, now);
		if (start_more(c, now) && list_length(c->arrived) < SETTLE_AT_MOST)
		{
			c->job.wake_at = now; /* the rest while the service answers */
			return false;
		}
		if (c->arrived != NIL &&
			(list_length(c->arrived) >= SETTLE_FILES ||
			 c->arrived_bytes >= SETTLE_BYTES || c->running == NIL ||
			 now - c->oldest_arrival >= SETTLE_AFTER_US))
		{
			cs_collect_settle(c, now);
			continue;
		}
		if (c->running != NIL)
		{
			if (c->arrived != NIL)
				c->job.wake_at =
					Min(c->job.wake_at, c->oldest_arrival + SETTLE_AFTER_US);
			return false;
		}
		if (c->paused != NULL || c->beside)
			return true;
		if (c->todo != NIL)
		{
			/* other jobs have all the slots */
			c->job.wake_at =
				Min(c->job.wake_at, TimestampTzPlusMilliseconds(now, 100));
			return false;
		}
		if (c->unstable == NIL)
			return true;
		if (!look_again(c, now) && c->unstable != NIL)
			return false;
	}
}
