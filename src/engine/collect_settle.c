/*
 * collect_settle.c
 *	  Settling: what arrived becomes documents, each in a subtransaction with its
 *	  dedup records, its history and the application's functions, many in one
 *	  transaction (L5). The dedup records come first: their unique key is what
 *	  makes "exactly once" hold whatever else happens.
 *
 * Relies on identity.c for the decision and hook.c for the functions.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "cloudsync/wake.h"
#include "cloudsync/collect.h"
#include "cloudsync/crash.h"
#include "cloudsync/db.h"
#include "cloudsync/limit.h"
#include "cloudsync/path.h"
#include "cloudsync/run.h"
#include "settling.h"

#define GONE_ATTEMPTS 3

typedef struct Counts
{
	int done;
	int skipped;
	int failed;
	int64 bytes;
} Counts;

static Datum
bytea_of(const uint8 *bytes, int len)
{
	bytea *result = palloc(VARHDRSZ + len);

	SET_VARSIZE(result, VARHDRSZ + len);
	memcpy(VARDATA(result), bytes, len);
	return PointerGetDatum(result);
}

/* See settling.h. */
void
cs_settling_make_keys(Settling *s)
{
	CsFetch *f = s->f;
	char hex[CS_SHA256_LENGTH * 2 + 1];
	bool by_id = s->c->job.connection->provider->stable_ids && f->remote_id;

	for (int i = 0; i < CS_SHA256_LENGTH; i++)
		snprintf(hex + 2 * i, 3, "%02x", f->sha256[i]);
	s->sha256 = bytea_of(f->sha256, CS_SHA256_LENGTH);
	s->item_key = cs_text_from_utf8(
		f->remote_id ? f->remote_id : psprintf("path:%s:%s", f->path, hex));
	s->content_key = cs_text_from_utf8(psprintf("%s/%s", s->c->channel, hex));
	s->version_key = cs_text_from_utf8(
		psprintf("%s/%s", by_id ? f->remote_id : f->path, hex));
}

/* What the account knows of these bytes and of this file id. */
static void
look_up(Settling *s)
{
	Oid types[7] = {INT8OID,  TEXTOID, TEXTOID, TEXTOID,
					BYTEAOID, TEXTOID, TEXTOID};
	Datum values[7];
	char nulls[8] = "       ";
	CsFetch *f = s->f;

	values[0] = Int64GetDatum(s->c->job.connection->account_id);
	values[1] = s->item_key;
	values[2] = s->content_key;
	values[3] = s->version_key;
	values[4] = s->sha256;
	values[5] = f->remote_id ? cs_text_from_utf8(f->remote_id) : 0;
	if (f->remote_id == NULL)
		nulls[5] = 'n';
	values[6] = cs_text_from_utf8(f->path);
	cs_execute(
		"SELECT i.key IS NOT NULL, i.sha256 = $5, c.key IS NOT NULL, d.remote_path = $7, "
		"v.key IS NOT NULL, i.document_id, c.document_id, v.document_id, d.remote_path, "
		"EXISTS (SELECT FROM cloudsync.destination t JOIN cloudsync.pushed_file p "
		"ON p.destination_id = t.destination_id "
		"WHERE t.account_id = $1 AND p.remote_id = $6 AND p.sha256 = $5) "
		"FROM (SELECT) one "
		"LEFT JOIN cloudsync.dedup i ON i.account_id = $1 AND i.kind = 'item' AND i.key = $2 "
		"LEFT JOIN cloudsync.dedup c ON c.account_id = $1 AND c.kind = 'content' AND c.key = $3 "
		"LEFT JOIN cloudsync.dedup v ON v.account_id = $1 AND v.kind = 'version' AND v.key = $4 "
		"LEFT JOIN cloudsync.document d ON d.document_id = c.document_id",
		7, types, values, nulls, false);
	s->known.dedup = s->c->dedup;
	s->known.stable_ids = s->c->job.connection->provider->stable_ids;
	s->known.again = s->c->recollect != 0;
	s->known.verify = f->verify;
	s->known.same_as_item =
		f->has_sha256 &&
		memcmp(f->item_sha256, f->sha256, CS_SHA256_LENGTH) == 0;
	s->known.id_recorded = cs_get_bool(0, 1, false);
	s->known.same_as_id = cs_get_bool(0, 2, false);
	s->known.content_recorded = cs_get_bool(0, 3, false);
	s->known.content_from_here = cs_get_bool(0, 4, false);
	s->known.version_recorded = cs_get_bool(0, 5, false);
	s->known.pushed = cs_get_bool(0, 10, false);
	s->known_path = cs_get_text(0, 9);
	s->known_document = s->known.same_as_id ? cs_get_int64(0, 6, 0) : 0;
	if (s->known_document == 0 && s->known.verify)
		s->known_document = f->document_id;
	if (s->known_document == 0)
		s->known_document = cs_get_int64(
			0, s->c->dedup == CS_DEDUP_VERSION ? 8 : 7, 0);
}

/*
 * Writes the dedup records of a new document. One that must not have been there
 * and is there now was written meanwhile by another connection to the account:
 * the whole is decided anew.
 */
static void
record(Settling *s, int64 document_id)
{
	Oid types[8] = {INT8OID, TEXTOID, TEXTOID, TEXTOID,
					BYTEAOID, INT8OID, TEXTOID, INT8OID};
	Datum values[8];
	char nulls[9] = "        ";
	CsFetch *f = s->f;
	bool item = false;
	bool content = false;
	bool version = false;
	uint64 n;

	values[0] = Int64GetDatum(s->c->job.connection->account_id);
	values[1] = s->item_key;
	values[2] = s->content_key;
	values[3] = s->version_key;
	values[4] = s->sha256;
	values[5] = Int64GetDatum(document_id);
	values[6] = f->version ? cs_text_from_utf8(f->version) : 0;
	if (f->version == NULL)
		nulls[6] = 'n';
	values[7] = Int64GetDatum(f->received_size);
	n = cs_execute(
		"INSERT INTO cloudsync.dedup (account_id, kind, key, document_id, remote_version, size, sha256) "
		"SELECT $1, k.kind, k.key, $6, $7, $8, $5 "
		"FROM (VALUES ('item', $2), ('content', $3), ('version', $4)) k (kind, key) "
		"ON CONFLICT DO NOTHING RETURNING kind",
		8, types, values, nulls, false);
	for (uint64 i = 0; i < n; i++)
	{
		char *kind = cs_get_text(i, 1);

		item |= strcmp(kind, "item") == 0;
		content |= strcmp(kind, "content") == 0;
		version |= strcmp(kind, "version") == 0;
	}
	if (s->known.again)
		cs_execute("UPDATE cloudsync.dedup SET document_id = $6, remote_version = $7, size = $8, sha256 = $5 "
				   "WHERE account_id = $1 AND document_id <> $6 "
				   "AND (kind, key) IN (('item', $2), ('content', $3), ('version', $4))",
				   8, types, values, nulls, false);
	else if ((!item && !s->known.id_recorded) ||
			 (!content && s->c->dedup == CS_DEDUP_CONTENT) ||
			 (!version && s->c->dedup == CS_DEDUP_VERSION))
	{
		s->conflict = true;
		ereport(ERROR, (errcode(ERRCODE_UNIQUE_VIOLATION),
						errmsg("the document was collected meanwhile by "
							   "another connection to the same account")));
	}
	else if (!item)
		cs_execute("UPDATE cloudsync.dedup SET document_id = $6, remote_version = $7, size = $8, sha256 = $5 "
				   "WHERE account_id = $1 AND kind = 'item' AND key = $2 "
				   "AND $3 IS NOT NULL AND $4 IS NOT NULL",
				   8, types, values, nulls, false);
}

/* See settling.h. One that is SHA-256 itself says so by itself. */
void
cs_settling_record_checksum(Settling *s)
{
	Oid types[4] = {INT8OID, TEXTOID, BYTEAOID, INT8OID};
	Datum values[4];

	if (s->f->checksum == NULL || strncmp(s->f->checksum, "sha256:", 7) == 0)
		return;
	values[0] = Int64GetDatum(s->c->job.connection->account_id);
	values[1] = cs_text_from_utf8(s->f->checksum);
	values[2] = s->sha256;
	values[3] = Int64GetDatum(s->f->received_size);
	cs_execute("INSERT INTO cloudsync.dedup (account_id, kind, key, sha256, size) "
			   "VALUES ($1, 'checksum', $2, $3, $4) ON CONFLICT DO NOTHING",
			   4, types, values, NULL, false);
}

/* The file id leads to that document from now on, without a download. */
static void
record_id(Settling *s, int64 document_id)
{
	Oid types[6] = {INT8OID, TEXTOID, BYTEAOID, INT8OID, TEXTOID, INT8OID};
	Datum values[6];
	char nulls[7] = "      ";

	values[0] = Int64GetDatum(s->c->job.connection->account_id);
	values[1] = s->item_key;
	values[2] = s->sha256;
	values[3] = Int64GetDatum(document_id);
	values[4] = s->f->version ? cs_text_from_utf8(s->f->version) : 0;
	if (s->f->version == NULL)
		nulls[4] = 'n';
	values[5] = Int64GetDatum(s->f->received_size);
	cs_execute("INSERT INTO cloudsync.dedup AS r (account_id, kind, key, sha256, document_id, remote_version, size) "
			   "VALUES ($1, 'item', $2, $3, $4, $5, $6) "
			   "ON CONFLICT (account_id, kind, key) DO UPDATE "
			   "SET remote_version = excluded.remote_version, document_id = excluded.document_id, "
			   "size = excluded.size, sha256 = excluded.sha256",
			   6, types, values, nulls, false);
}

static void
insert_document(Settling *s, int64 document_id)
{
	Oid types[17] = {INT8OID, TEXTOID, INT8OID, INT8OID, INT8OID, INT8OID,
					 TEXTOID, INT8OID, BYTEAOID, TEXTOID, TEXTOID, TEXTOID,
					 TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, INT8OID};
	Datum values[17];
	char nulls[18] = "                 ";
	CsConnection *connection = s->c->job.connection;
	CsFetch *f = s->f;

	values[0] = Int64GetDatum(document_id);
	values[1] = CStringGetTextDatum(connection->tenant);
	values[2] = Int64GetDatum(connection->account_id);
	values[3] = Int64GetDatum(connection->connection_id);
	values[4] = Int64GetDatum(s->c->channel_id);
	values[5] = Int64GetDatum(s->c->job.run_id);
	values[6] = cs_text_from_utf8(f->name);
	values[7] = Int64GetDatum(f->received_size);
	values[8] = s->sha256;
	values[9] = CStringGetTextDatum(cs_media_type(f->name));
	values[10] = f->remote_id ? cs_text_from_utf8(f->remote_id) : 0;
	nulls[10] = f->remote_id ? ' ' : 'n';
	values[11] = cs_text_from_utf8(f->path);
	values[12] = f->version ? cs_text_from_utf8(f->version) : 0;
	nulls[12] = f->version ? ' ' : 'n';
	values[13] = TimestampTzGetDatum(f->modified);
	nulls[13] = f->modified != 0 ? ' ' : 'n';
	values[14] = cs_text_from_utf8(s->c->recipient);
	values[15] = cs_text_from_utf8(s->c->binder);
	values[16] = Int64GetDatum(f->document_id);
	cs_execute("INSERT INTO cloudsync.document (document_id, tenant, account_id, connection_id, channel_id, "
			   "run_id, name, size, sha256, media_type, remote_id, remote_path, remote_version, "
			   "remote_modified_at, recipient, binder, version) "
			   "SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, "
			   "1 + COALESCE((SELECT d.version FROM cloudsync.document d WHERE d.document_id = $17), 0)",
			   17, types, values, nulls, false);
}

static void
set_content(int64 document_id, int64 content_id)
{
	Oid types[2] = {INT8OID, INT8OID};
	Datum values[2] = {Int64GetDatum(document_id), Int64GetDatum(content_id)};

	cs_execute("UPDATE cloudsync.document SET content_id = $2 WHERE document_id = $1",
			   2, types, values, NULL, false);
}

/* See settling.h. */
char *
cs_settling_away_path(const CsCollect *c, const CsFetch *f)
{
	if (c->move_folder == NULL || cs_collect_is_away(c, f->path))
		return NULL;
	return cs_path_join(c->move_folder, f->name);
}

/*
 * The item's row after it was received. Another version that was listed
 * meanwhile is still to be compared.
 */
static void
set_item(Settling *s, CsItemState state, const char *reason,
		 int64 document_id, const char *move_to, bool same_bytes)
{
	Oid types[8] = {INT8OID, TEXTOID, TEXTOID, INT8OID,
					TEXTOID, BYTEAOID, INT8OID, TEXTOID};
	Datum values[8];
	char nulls[9] = "        ";

	values[0] = Int64GetDatum(s->f->item_id);
	values[1] = CStringGetTextDatum(cs_item_state_name(state));
	values[2] = reason ? CStringGetTextDatum(reason) : 0;
	nulls[2] = reason ? ' ' : 'n';
	values[3] = Int64GetDatum(document_id);
	nulls[3] = document_id != 0 ? ' ' : 'n';
	values[4] = move_to ? cs_text_from_utf8(move_to) : 0;
	nulls[4] = move_to ? ' ' : 'n';
	values[5] = s->sha256;
	nulls[5] = same_bytes ? ' ' : 'n';
	values[6] = Int64GetDatum(s->c->job.run_id);
	values[7] = s->f->version ? cs_text_from_utf8(s->f->version) : 0;
	nulls[7] = s->f->version ? ' ' : 'n';
	cs_execute("UPDATE cloudsync.item SET state = $2, reason = $3, document_id = $4, "
			   "move_to = COALESCE($5, move_to), sha256 = COALESCE($6, sha256), listing = $7, "
			   "verify = $2 IN ('collected', 'duplicate', 'changed') AND remote_version IS DISTINCT FROM $8, "
			   "attempts = 0, next_try_at = NULL, seen_at = clock_timestamp() "
			   "WHERE item_id = $1",
			   8, types, values, nulls, false);
}

static void
add_history(CsCollect *c, CsFetch *f, const char *action, const char *error)
{
	Oid types[7] = {INT8OID, INT8OID, TEXTOID, TEXTOID,
					INT8OID, BYTEAOID, TEXTOID};
	Datum values[7];
	char nulls[8] = "       ";

	values[0] = Int64GetDatum(c->job.run_id);
	values[1] = Int64GetDatum(c->job.connection->connection_id);
	values[2] = CStringGetTextDatum(action);
	values[3] = cs_text_from_utf8(f->path);
	values[4] = Int64GetDatum(f->received ? f->received_size : f->size);
	values[5] = bytea_of(f->sha256, CS_SHA256_LENGTH);
	nulls[5] = f->received ? ' ' : 'n';
	values[6] = error ? CStringGetTextDatum(error) : 0;
	nulls[6] = error ? ' ' : 'n';
	cs_execute("INSERT INTO cloudsync.run_file (run_id, connection_id, action, path, size, sha256, error) "
			   "VALUES ($1, $2, $3, $4, NULLIF($5, -1), $6, $7)",
			   7, types, values, nulls, false);
}

static void
become_document(Settling *s)
{
	CsFetch *f = s->f;

	cs_execute("SELECT nextval('cloudsync.document_document_id_seq')", 0, NULL,
			   NULL, NULL, false);
	f->new_document_id = cs_get_int64(0, 1, 0);
	record(s, f->new_document_id);
	cs_settling_record_checksum(s);
	insert_document(s, f->new_document_id);
	set_content(f->new_document_id, cs_content_take(f->writer));
	set_item(s, CS_ITEM_COLLECTED, NULL, f->new_document_id,
			 cs_settling_away_path(s->c, f), true);
	add_history(s->c, f, "collected", NULL);
	cs_hooks_run("collected", f->new_document_id);
}

/* In a subtransaction: one file that was received. */
static void
settle_received(void *arg)
{
	Settling *s = arg;
	CsFetch *f = s->f;
	char *reason;

	look_up(s);
	f->as = cs_identity_received(&s->known);
	if (f->known && f->as == CS_AS_DOCUMENT)
		elog(ERROR, "the bytes of \"%s\" are known and not recorded", f->path);
	switch (f->as)
	{
		case CS_AS_DOCUMENT:
			become_document(s);
			return;
		case CS_AS_KNOWN:
			record_id(s, s->known_document);
			set_item(s, CS_ITEM_COLLECTED, NULL, s->known_document, NULL, true);
			break;
		case CS_AS_DUPLICATE:
			record_id(s, s->known_document);
			reason = psprintf("same content as \"%s\", document " INT64_FORMAT,
							  s->known_path ? s->known_path : "?",
							  s->known_document);
			set_item(s, CS_ITEM_DUPLICATE, reason, s->known_document, NULL,
					 true);
			add_history(s->c, f, "duplicate", reason);
			break;
		case CS_AS_CHANGED:
			reason = "changed in place after it was collected";
			set_item(s, CS_ITEM_CHANGED, reason, f->document_id, NULL, false);
			add_history(s->c, f, "changed", reason);
			break;
		case CS_AS_PUSHED:
			set_item(s, CS_ITEM_EXCLUDED, "sent by cloudsync itself", 0, NULL,
					 false);
			break;
	}
	if (f->writer != NULL)
		cs_content_drop(f->writer);
}

/* The file, or the application's function, failed: it is tried again later. */
static void
settle_failed(CsCollect *c, CsFetch *f, const char *text, TimestampTz now)
{
	Oid types[4] = {INT8OID, TEXTOID, TIMESTAMPTZOID, INT8OID};
	Datum values[4];

	values[0] = Int64GetDatum(f->item_id);
	values[1] = CStringGetTextDatum(text);
	values[2] = TimestampTzGetDatum(TimestampTzPlusMilliseconds(
		now, cs_collect_backoff_ms(f->attempts)));
	values[3] = Int64GetDatum(c->job.run_id);
	cs_execute("UPDATE cloudsync.item SET reason = $2, next_try_at = $3, listing = $4, "
			   "attempts = attempts + 1, seen_at = clock_timestamp(), "
			   "state = CASE WHEN verify OR state IN ('collected', 'changed', 'duplicate') THEN state ELSE 'failed' END "
			   "WHERE item_id = $1",
			   4, types, values, NULL, false);
	add_history(c, f, "failed", text);
	if (f->writer != NULL)
		cs_content_drop(f->writer);
	cs_collect_note_error(c, psprintf("%s: %s", f->path, text));
}

/* Not there any more, or refused for good: no failure of the run. */
static void
settle_without(CsCollect *c, CsFetch *f, CsItemState state,
			   const char *reason)
{
	Settling s = {c, f};

	set_item(&s, state, reason, f->document_id, NULL, false);
	if (f->writer != NULL)
		cs_content_drop(f->writer);
}

/*
 * Is it not there for good? Where only changes are followed, what is gone is told
 * of; but what is there and could not be had this time is not told of again.
 */
static bool
is_gone(const CsCollect *c, const CsFetch *f)
{
	return f->failure.failure_class == CS_FAIL_GONE &&
		   (!c->job.connection->provider->incremental || f->attempts >= GONE_ATTEMPTS);
}

static void
settle_one(CsCollect *c, CsFetch *f, Counts *counts, TimestampTz now)
{
	Settling s = {c, f};
	ErrorData *error = NULL;
	bool ok;

	if (!f->received)
	{
		if (is_gone(c, f))
			settle_without(c, f, CS_ITEM_GONE, NULL);
		else if (f->failure.failure_class == CS_FAIL_REFUSED)
			settle_without(c, f, CS_ITEM_EXCLUDED, f->failure.message);
		else
		{
			settle_failed(c, f, cs_failure_text(&f->failure), now);
			counts->failed++;
			return;
		}
		counts->skipped++;
		return;
	}
	if (!f->known)
		counts->bytes += f->received_size;
	cs_settling_make_keys(&s);
	ok = cs_try(settle_received, &s, &error);
	if (!ok && s.conflict)
	{
		s.conflict = false;
		ok = cs_try(settle_received, &s, &error);
	}
	if (!ok)
	{
		settle_failed(c, f, cs_error_text(error), now);
		counts->failed++;
	}
	else if (f->as == CS_AS_DOCUMENT)
		counts->done++;
	else
		counts->skipped++;
}

/* True: the run was cancelled meanwhile; from now on it cannot be, until we commit. */
static bool
count(CsCollect *c, const Counts *counts)
{
	Oid types[6] = {INT8OID, INT4OID, INT4OID, INT4OID, INT8OID, INT8OID};
	Datum values[6];

	values[0] = Int64GetDatum(c->job.run_id);
	values[1] = Int32GetDatum(counts->done);
	values[2] = Int32GetDatum(counts->skipped);
	values[3] = Int32GetDatum(counts->failed);
	values[4] = Int64GetDatum(counts->bytes);
	values[5] = Int64GetDatum(c->requests);
	cs_execute("UPDATE cloudsync.run SET files_done = files_done + $2, files_skipped = files_skipped + $3, "
			   "files_failed = files_failed + $4, bytes_received = bytes_received + $5, "
			   "requests = requests + $6 WHERE run_id = $1 RETURNING cancel_requested",
			   6, types, values, NULL, false);
	return cs_get_bool(0, 1, false);
}

/* What a connection that has a limit collected today (L7). */
static void
count_today(CsCollect *c, int64 bytes)
{
	Oid types[2] = {INT8OID, INT8OID};
	Datum values[2] = {Int64GetDatum(c->job.connection->connection_id),
					   Int64GetDatum(bytes)};

	if (cs_execute("UPDATE cloudsync.connection SET collected_day = current_date, collected_bytes = $2 + "
				   "CASE WHEN collected_day = current_date THEN collected_bytes ELSE 0 END "
				   "WHERE connection_id = $1 AND max_bytes_per_day IS NOT NULL "
				   "RETURNING collected_bytes >= max_bytes_per_day, " CS_DAY_USED_UP,
				   2, types, values, NULL, false) > 0 &&
		cs_get_bool(0, 1, false))
		c->day_used_up =
			MemoryContextStrdup(c->job.context, cs_get_text(0, 2));
}

/* Workers of two connections to an account write its dedup records in one order. */
static int
by_file(const ListCell *a, const ListCell *b)
{
	const CsFetch *x = lfirst(a);
	const CsFetch *y = lfirst(b);

	return strcmp(x->remote_id ? x->remote_id : x->path,
				  y->remote_id ? y->remote_id : y->path);
}

/*
 * The application's function ended the process. Its file has failed; the run is
 * gone on with by the next one, which leaves out what failed in it.
 */
static void
blame_file(void *arg, const ErrorData *error)
{
	Settling *s = arg;
	CsCollect *c = s->c;
	Counts counts = {.failed = 1};
	char *text = cs_error_text(error);
	TimestampTz now = GetCurrentTimestamp();

	cs_begin("settling collected documents");
	settle_failed(c, s->f, text, now);
	(void) count(c, &counts);
	if (c->recollect != 0)
		cs_run_end(c->job.run_id, c->job.methods->kind, "failed", text, now);
	cs_commit();
}

/* See collect.h. */
void
cs_collect_settle(CsCollect *c, TimestampTz now)
{
	Counts counts = {0};
	ListCell *cell;

	c->job.phase = "settle";
	list_sort(c->arrived, by_file);
	cs_begin("settling collected documents");
	cs_settle_together(c, c->arrived, &counts.done, &counts.bytes);
	foreach (cell, c->arrived)
	{
		CsFetch *f = lfirst(cell);
		Settling running = {c, f};

		if (f->new_document_id != 0)
			continue;
		cs_limit_blame(blame_file, &running);
		settle_one(c, f, &counts, now);
	}
	cs_limit_blame(NULL, NULL);
	/* a document that was forgotten since does not come back */
	if (count(c, &counts) && c->recollect != 0)
	{
		c->cancelled = true;
		ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg("the document was forgotten, or the run cancelled")));
	}
	count_today(c, counts.bytes);
	CS_CRASH_POINT("collect.before_settle_commit");
	cs_commit();
	CS_CRASH_POINT("collect.after_settle");
	if (counts.done > 0)
		cs_wake_reader();
	c->requests = 0;
	foreach (cell, c->arrived)
		MemoryContextDelete(((CsFetch *) lfirst(cell))->context);
	list_free(c->arrived);
	c->arrived = NIL;
	c->arrived_bytes = 0;
}
