/*
 * collect_list.c
 *	  Listing: a channel's folders become rows of cloudsync.item, page by page,
 *	  each in a short transaction that writes only what changed (L8). What a
 *	  complete listing did not show is gone; an incomplete one says nothing of
 *	  what it did not show (L10).
 *
 * Relies on identity.c for what a file is.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "cloudsync/collect.h"
#include "cloudsync/crash.h"
#include "cloudsync/db.h"
#include "cloudsync/name.h"
#include "cloudsync/path.h"
#include "cloudsync/push.h"
#include "cloudsync/settings.h"

/* What is written of an item, one column an array. */
enum
{
	COL_PATH,
	COL_NAME,
	COL_KIND,
	COL_SIZE,
	COL_MODIFIED,
	COL_ID,
	COL_VERSION,
	COL_STATE,
	COL_REASON,
	COL_VERIFY,
	COL_DOCUMENT,
	COL_SHA256,
	COL_UNCHANGED_SINCE,
	N_COLUMNS
};

static const Oid column_types[N_COLUMNS] = {
	TEXTOID, TEXTOID, TEXTOID, INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID,
	TEXTOID, TEXTOID, BOOLOID, INT8OID, BYTEAOID,		TIMESTAMPTZOID};

static const char *const kind_names[] = {"file", "folder", "other"};

static TimestampTz
modified_of(const CsEntry *entry)
{
	return entry->modified == 0
			   ? 0
			   : entry->modified - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) *
									   USECS_PER_DAY;
}

static bool
any_matches(List *patterns, const char *name, const char *below)
{
	ListCell *cell;

	foreach (cell, patterns)
	{
		if (cs_pattern_matches(lfirst(cell), name, below))
			return true;
	}
	return false;
}

/* Why an entry is not collected, as far as the entry alone tells; NULL: it is. */
static const char *
exclusion(CsCollect *c, const CsEntry *entry)
{
	const char *below =
		cs_path_below(entry->path, c->folders[c->folder].current);
	int64 limit = cs_collect_limit(c);

	if (entry->refused != NULL)
		return entry->refused;
	if (entry->kind == CS_ENTRY_OTHER)
		return "not a regular file";
	if (below == NULL || below[0] == '\0')
		below = entry->name;
	if (c->include != NIL && !any_matches(c->include, entry->name, below))
		return "no include pattern matches";
	if (any_matches(c->exclude, entry->name, below))
		return "an exclude pattern matches";
	if (limit > 0 && entry->size > limit)
		return psprintf("larger than %s (" INT64_FORMAT " bytes)",
						c->max_size > 0 && limit == c->max_size
							? "max_size"
							: "cloudsync.max_document_size",
						limit);
	return NULL;
}

static void
note_seen(CsCollect *c, int64 item_id)
{
	if (c->n_seen == c->cap_seen)
	{
		c->cap_seen = c->cap_seen == 0 ? 1024 : c->cap_seen * 2;
		if (c->seen == NULL)
			c->seen = MemoryContextAllocHuge(c->job.context,
											 c->cap_seen * sizeof(int64));
		else
			c->seen = repalloc_huge(c->seen, c->cap_seen * sizeof(int64));
	}
	c->seen[c->n_seen++] = item_id;
}

/* Rows of the look-up, in the order of its select list. */
enum
{
	SEEN_ORD = 1,
	SEEN_ITEM_ID,
	SEEN_STATE,
	SEEN_VERSION,
	SEEN_SIZE,
	SEEN_MODIFIED,
	SEEN_VERIFY,
	SEEN_DOCUMENT_ID,
	SEEN_REASON,
	SEEN_FOLDER_NO,
	SEEN_SHA256,
	SEEN_DOCUMENT_SIZE,
	SEEN_RECORDED,
	SEEN_RECORD_DOCUMENT,
	SEEN_RECORD_VERSION,
	SEEN_RECORD_SIZE,
	SEEN_RECORD_SHA256,
	SEEN_PUSHED,
	SEEN_KIND,
	SEEN_REMOTE_ID
};

/* Looks up what is known of a page's entries; a row for each distinct path. */
static uint64
look_up(CsCollect *c, const CsEntry *entries, int n_entries)
{
	static const Oid types[6] = {INT8OID,	   INT8OID,		 TEXTARRAYOID,
								 TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID};
	CsColumn paths = {TEXTOID};
	CsColumn ids = {TEXTOID};
	CsColumn versions = {TEXTOID};
	CsColumn keys = {TEXTOID};
	const CsNameRules *rules = &c->job.connection->provider->names;
	Datum values[6];

	for (int i = 0; i < n_entries; i++)
	{
		const CsEntry *e = &entries[i];

		cs_column_add(&paths, cs_text_from_utf8(e->path), false);
		cs_column_add(&ids, e->id ? cs_text_from_utf8(e->id) : 0,
					  e->id == NULL);
		cs_column_add(&versions, e->version ? cs_text_from_utf8(e->version) : 0,
					  e->version == NULL);
		cs_column_add(&keys, cs_text_from_utf8(cs_name_key(e->path, rules)),
					  false);
	}
	values[0] = Int64GetDatum(c->channel_id);
	values[1] = Int64GetDatum(c->job.connection->account_id);
	values[2] = cs_column_array(&paths);
	values[3] = cs_column_array(&ids);
	values[4] = cs_column_array(&versions);
	values[5] = cs_column_array(&keys);
	return cs_execute(
		"SELECT DISTINCT ON (e.path) e.ord, i.item_id, i.state, i.remote_version, i.size, "
		"i.modified_at, i.verify, i.document_id, i.reason, i.folder_no, i.sha256, "
		"d.size, r.key IS NOT NULL, r.document_id, r.remote_version, r.size, r.sha256, "
		"EXISTS (SELECT FROM cloudsync.destination t JOIN cloudsync.pushed_file p "
		"ON p.destination_id = t.destination_id WHERE t.account_id = $2 "
		"AND p.path_key = e.key AND p.state IN ('sending', 'synced', 'failed', 'kept')) "
		"OR EXISTS (SELECT FROM cloudsync.destination t JOIN cloudsync.pushed_file p "
		"ON p.destination_id = t.destination_id WHERE t.account_id = $2 "
		"AND p.intent_path = e.path) "
		"OR EXISTS (SELECT FROM cloudsync.destination t JOIN cloudsync.pushed_file p "
		"ON p.destination_id = t.destination_id WHERE t.account_id = $2 "
		"AND p.remote_id = e.id AND p.remote_version = e.version), "
		"i.kind, i.remote_id "
		"FROM ROWS FROM (unnest($3), unnest($4), unnest($5), unnest($6)) "
		"WITH ORDINALITY e (path, id, version, key, ord) "
		"LEFT JOIN cloudsync.item i ON i.channel_id = $1 AND i.path = e.path "
		"LEFT JOIN cloudsync.document d ON d.document_id = i.document_id "
		"LEFT JOIN cloudsync.dedup r ON r.account_id = $2 AND r.kind = 'item' AND r.key = e.id "
		"ORDER BY e.path, e.ord",
		6, types, values, NULL, true);
}

static Datum
column_or_null(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column,
						 isnull);
}

static bool
same_text(const char *a, const char *b)
{
	return (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
}

/* What the listing and the database together make of a file. */
static CsVerdict
judge(CsCollect *c, const CsEntry *entry, uint64 row, const char **reason)
{
	CsListed listed = {0};
	CsVerdict verdict;

	*reason = exclusion(c, entry);
	listed.dedup = c->dedup;
	listed.stable_ids = c->job.connection->provider->stable_ids;
	listed.excluded = *reason != NULL;
	listed.pushed = cs_get_bool(row, SEEN_PUSHED, false);
	listed.version = entry->version;
	listed.size = entry->size;
	listed.state = cs_item_state_by_name(cs_get_text(row, SEEN_STATE));
	listed.item_version = cs_get_utf8(row, SEEN_VERSION);
	listed.verify = cs_get_bool(row, SEEN_VERIFY, false);
	listed.document_size = cs_get_int64(row, SEEN_DOCUMENT_SIZE, -1);
	listed.recorded = cs_get_bool(row, SEEN_RECORDED, false);
	listed.record_version = cs_get_utf8(row, SEEN_RECORD_VERSION);
	listed.record_size = cs_get_int64(row, SEEN_RECORD_SIZE, -1);
	verdict = cs_identity_listed(&listed);
	if (verdict.state != CS_ITEM_EXCLUDED)
		*reason = verdict.state == listed.state && !verdict.take_record
					  ? cs_get_utf8(row, SEEN_REASON)
					  : NULL;
	else if (listed.pushed)
		*reason = "sent by cloudsync itself";
	return verdict;
}

/*
 * Adds the item's row to what is to be written, unless nothing about it
 * changed. Returns whether it was added.
 */
static bool
add_if_changed(CsCollect *c, CsColumn *columns, const CsEntry *entry,
			   uint64 row, TimestampTz now)
{
	CsVerdict verdict = {CS_ITEM_NONE, false, false};
	const char *reason = entry->refused;
	const char *old_state = cs_get_text(row, SEEN_STATE);
	const char *state;
	TimestampTz modified = modified_of(entry);
	bool known = cs_get_int64(row, SEEN_ITEM_ID, 0) != 0;
	bool same_version = known && same_text(cs_get_utf8(row, SEEN_VERSION), entry->version);
	bool document_null = true;
	bool sha_null = true;
	Datum document = 0;
	Datum sha = 0;

	if (entry->kind != CS_ENTRY_FOLDER)
		verdict = judge(c, entry, row, &reason);
	state = cs_item_state_name(verdict.state);
	if (verdict.take_record)
	{
		document = column_or_null(row, SEEN_RECORD_DOCUMENT, &document_null);
		sha = column_or_null(row, SEEN_RECORD_SHA256, &sha_null);
	}
	else if (old_state == NULL || strcmp(old_state, "gone") != 0)
	{
		/* a path that was gone begins anew */
		document = column_or_null(row, SEEN_DOCUMENT_ID, &document_null);
		sha = column_or_null(row, SEEN_SHA256, &sha_null);
	}
	if (same_version && same_text(old_state, state) &&
		same_text(cs_get_text(row, SEEN_KIND), kind_names[entry->kind]) &&
		same_text(cs_get_utf8(row, SEEN_REMOTE_ID), entry->id) &&
		cs_get_bool(row, SEEN_VERIFY, false) == verdict.verify &&
		cs_get_int64(row, SEEN_SIZE, -1) == entry->size &&
		cs_get_timestamptz(row, SEEN_MODIFIED, 0) == modified &&
		cs_get_int64(row, SEEN_FOLDER_NO, 0) == c->folders[c->folder].folder_no &&
		same_text(cs_get_utf8(row, SEEN_REASON), reason))
	{
		note_seen(c, cs_get_int64(row, SEEN_ITEM_ID, 0));
		return false;
	}
	cs_column_add(&columns[COL_PATH], cs_text_from_utf8(entry->path), false);
	cs_column_add(&columns[COL_NAME], cs_text_from_utf8(entry->name), false);
	cs_column_add(&columns[COL_KIND],
				  CStringGetTextDatum(kind_names[entry->kind]), false);
	cs_column_add(&columns[COL_SIZE], Int64GetDatum(entry->size),
				  entry->size < 0);
	cs_column_add(&columns[COL_MODIFIED], TimestampTzGetDatum(modified),
				  modified == 0);
	cs_column_add(&columns[COL_ID], entry->id ? cs_text_from_utf8(entry->id) : 0,
				  entry->id == NULL);
	cs_column_add(&columns[COL_VERSION],
				  entry->version ? cs_text_from_utf8(entry->version) : 0,
				  entry->version == NULL);
	cs_column_add(&columns[COL_STATE], state ? CStringGetTextDatum(state) : 0,
				  state == NULL);
	cs_column_add(&columns[COL_REASON], reason ? cs_text_from_utf8(reason) : 0,
				  reason == NULL);
	cs_column_add(&columns[COL_VERIFY], BoolGetDatum(verdict.verify), false);
	cs_column_add(&columns[COL_DOCUMENT], document, document_null);
	cs_column_add(&columns[COL_SHA256], sha, sha_null);
	cs_column_add(&columns[COL_UNCHANGED_SINCE], TimestampTzGetDatum(now),
				  same_version);
	return true;
}

/* Writes the changed rows and notes their ids as seen. */
static void
write_items(CsCollect *c, CsColumn *columns)
{
	Oid types[N_COLUMNS + 4];
	Datum values[N_COLUMNS + 4];
	uint64 n;

	for (int i = 0; i < N_COLUMNS; i++)
	{
		types[i] = get_array_type(columns[i].type);
		values[i] = cs_column_array(&columns[i]);
	}
	types[N_COLUMNS] = INT8OID;
	values[N_COLUMNS] = Int64GetDatum(c->job.connection->connection_id);
	types[N_COLUMNS + 1] = INT8OID;
	values[N_COLUMNS + 1] = Int64GetDatum(c->channel_id);
	types[N_COLUMNS + 2] = INT4OID;
	values[N_COLUMNS + 2] = Int32GetDatum(c->folders[c->folder].folder_no);
	types[N_COLUMNS + 3] = INT8OID;
	values[N_COLUMNS + 3] = Int64GetDatum(c->job.run_id);
	n = cs_execute(
		"INSERT INTO cloudsync.item AS i (path, name, kind, size, modified_at, remote_id, "
		"remote_version, state, reason, verify, document_id, sha256, unchanged_since, "
		"connection_id, channel_id, folder_no, listing) "
		"SELECT e.*, $14, $15, $16, $17 "
		"FROM ROWS FROM (unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), unnest($6), "
		"unnest($7), unnest($8), unnest($9), unnest($10), unnest($11), unnest($12), unnest($13)) e "
		"ON CONFLICT (channel_id, path) DO UPDATE SET name = excluded.name, kind = excluded.kind, "
		"size = excluded.size, modified_at = excluded.modified_at, remote_id = excluded.remote_id, "
		"remote_version = excluded.remote_version, state = excluded.state, reason = excluded.reason, "
		"verify = excluded.verify, document_id = excluded.document_id, sha256 = excluded.sha256, "
		"unchanged_since = COALESCE(excluded.unchanged_since, i.unchanged_since), "
		"connection_id = excluded.connection_id, "
		"folder_no = excluded.folder_no, listing = excluded.listing, seen_at = clock_timestamp(), "
		"attempts = CASE WHEN excluded.state = 'failed' THEN i.attempts ELSE 0 END, "
		"next_try_at = CASE WHEN excluded.state = 'failed' THEN i.next_try_at END "
		"RETURNING i.item_id",
		N_COLUMNS + 4, types, values, NULL, false);
	for (uint64 i = 0; i < n; i++)
		note_seen(c, cs_get_int64(i, 1, 0));
}

/* Stores a page; nothing of what it shows is collected before it is stored. */
static void
store_page(CsCollect *c, const CsEntry *entries, int n_entries,
		   TimestampTz now)
{
	CsColumn columns[N_COLUMNS] = {0};
	uint64 n;
	SPITupleTable *found;

	cs_begin("storing a page of a listing");
	for (int i = 0; i < N_COLUMNS; i++)
		columns[i].type = column_types[i];
	n = look_up(c, entries, n_entries);
	found = SPI_tuptable;
	for (uint64 row = 0; row < n; row++)
	{
		const CsEntry *entry =
			&entries[cs_get_int64(row, SEEN_ORD, 1) - 1];

		SPI_tuptable = found;
		(void) add_if_changed(c, columns, entry, row, now);
	}
	if (columns[0].n > 0)
		write_items(c, columns);
	cs_commit();
	CS_CRASH_POINT("collect.after_page");
}

/* The listing of the folder is complete: what it did not show is gone. */
static void
folder_listed(CsCollect *c, bool complete)
{
	Oid types[7] = {INT8OID, INT4OID, INT8ARRAYOID, INT8OID,
					TEXTOID, TEXTOID, INT4OID};
	CsFolder *folder = &c->folders[c->folder];
	CsColumn seen = {INT8OID};
	Datum values[7];
	char nulls[8] = "       ";

	cs_begin("storing a listing");
	for (int i = 0; complete && i < c->n_seen; i++)
		cs_column_add(&seen, Int64GetDatum(c->seen[i]), false);
	values[0] = Int64GetDatum(c->channel_id);
	values[1] = Int32GetDatum(folder->folder_no);
	values[2] = cs_column_array(&seen);
	values[3] = Int64GetDatum(c->job.run_id);
	values[4] = cs_text_from_utf8(folder->current);
	values[5] = folder->remote_id ? cs_text_from_utf8(folder->remote_id) : 0;
	if (folder->remote_id == NULL)
		nulls[5] = 'n';
	values[6] = Int32GetDatum(c->n_folders);
	if (complete)
		cs_execute("UPDATE cloudsync.item i SET state = 'gone', verify = false, reason = NULL, "
				   "listing = $4, seen_at = clock_timestamp() "
				   "WHERE i.channel_id = $1 AND i.state IS DISTINCT FROM 'gone' "
				   "AND (i.folder_no = $2 OR i.folder_no > $7) "
				   "AND NOT EXISTS (SELECT FROM unnest($3) s (id) WHERE s.id = i.item_id)",
				   7, types, values, nulls, false);
	cs_execute("UPDATE cloudsync.channel_folder SET state = 'ok', last_error = NULL, "
			   "listed_at = clock_timestamp(), current_path = $5, remote_id = $6 "
			   "WHERE channel_id = $1 AND folder_no = $2",
			   7, types, values, nulls, false);
	cs_commit();
	c->n_seen = 0;
}

/* The folder could not be listed; the other folders still are. */
static void
folder_failed(CsCollect *c, const CsFailure *failure)
{
	Oid types[4] = {INT8OID, INT4OID, TEXTOID, TEXTOID};
	Datum values[4];
	char *text = cs_failure_text(failure);

	if (cs_failure_is_connections(failure->failure_class))
		cs_collect_connection_failed(c, failure);
	cs_begin("storing a listing");
	values[0] = Int64GetDatum(c->channel_id);
	values[1] = Int32GetDatum(c->folders[c->folder].folder_no);
	values[2] = CStringGetTextDatum(
		failure->failure_class == CS_FAIL_GONE ? "gone" : "failed");
	values[3] = cs_text_from_utf8(text);
	cs_execute("UPDATE cloudsync.channel_folder SET state = $3, last_error = $4 "
			   "WHERE channel_id = $1 AND folder_no = $2",
			   4, types, values, NULL, false);
	cs_commit();
	cs_collect_note_error(c, text);
	c->folders_failed++;
	c->n_seen = 0;
	pfree(text);
}

static void
next_folder(CsCollect *c)
{
	c->folder++;
	c->folder_step = CS_FOLDER_LOOK;
}

static void
begin_step(CsCollect *c)
{
	CsFolder *folder = &c->folders[c->folder];
	CsOp op = {0};

	if (c->folder_step == CS_FOLDER_LOOK && folder->current == NULL)
		c->folder_step = CS_FOLDER_SEEK;
	/* one that was emptied is not there any more, and no less a folder */
	if (c->folder_step == CS_FOLDER_LOOK && c->job.connection->provider->implied_folders)
		c->folder_step = CS_FOLDER_LIST;
	op.kind = c->folder_step == CS_FOLDER_LOOK ? CS_OP_STAT : CS_OP_LIST;
	op.path = c->folder_step == CS_FOLDER_SEEK ? "/" : folder->current;
	op.recursive = c->folder_step == CS_FOLDER_SEEK || c->recursive;
	if (c->folder_step == CS_FOLDER_SEEK)
	{
		if (c->sought != NULL)
			pfree(c->sought);
		c->sought = NULL;
	}
	else if (folder->remote_id != NULL && c->job.connection->provider->stable_ids)
		op.id = folder->remote_id;
	c->list = cs_collect_start(c, &op, NULL);
	c->job.phase = "list";
	strlcpy(c->job.file, op.path, sizeof(c->job.file));
}

/* Looks for the folder's id among a page of the whole account. */
static void
seek_in_page(CsCollect *c, const CsResult *result)
{
	const char *id = c->folders[c->folder].remote_id;

	for (int i = 0; i < result->n_entries; i++)
	{
		const CsEntry *entry = &result->entries[i];

		if (entry->kind == CS_ENTRY_FOLDER && same_text(entry->id, id) &&
			c->sought == NULL)
			c->sought = MemoryContextStrdup(c->job.context, entry->path);
	}
}

/* A look, a search or a listing came to its end. */
static void
step_done(CsCollect *c, const CsResult *result)
{
	CsFolder *folder = &c->folders[c->folder];
	CsFailure failure = {CS_FAIL_GONE};

	switch (c->folder_step)
	{
		case CS_FOLDER_LOOK:
			if (result->entry.kind == CS_ENTRY_FOLDER)
			{
				if (result->entry.id != NULL)
					folder->remote_id =
						MemoryContextStrdup(c->job.context, result->entry.id);
				c->folder_step = CS_FOLDER_LIST;
				return;
			}
			snprintf(failure.message, sizeof(failure.message),
					 "\"%.200s\" is not a folder", folder->current);
			break;
		case CS_FOLDER_SEEK:
			if (c->sought != NULL)
			{
				folder->current = MemoryContextStrdup(c->job.context, c->sought);
				c->folder_step = CS_FOLDER_LIST;
				return;
			}
			snprintf(failure.message, sizeof(failure.message),
					 "folder \"%.200s\" is not there", folder->path);
			break;
		case CS_FOLDER_LIST:
			folder_listed(c, !result->incomplete);
			next_folder(c);
			return;
	}
	folder_failed(c, &failure);
	next_folder(c);
}

/* See collect.h. */
bool
cs_collect_list(CsCollect *c, TimestampTz now)
{
	while (c->folder < c->n_folders)
	{
		CsResult result;

		if (c->list == NULL)
		{
			begin_step(c);
			return false;
		}
		switch (c->list->state)
		{
			case CS_TRANSFER_PAGE:
				if (c->folder_step == CS_FOLDER_SEEK)
					seek_in_page(c, &c->list->result);
				else
					store_page(c, c->list->result.entries,
							   c->list->result.n_entries, now);
				cs_transfer_continue(c->list);
				return false;
			case CS_TRANSFER_DONE:
				step_done(c, &c->list->result);
				cs_collect_end(c, &c->list);
				break;
			case CS_TRANSFER_FAILED:
				result = c->list->result;
				cs_collect_end(c, &c->list);
				if (c->folder_step == CS_FOLDER_LOOK &&
					result.failure.failure_class == CS_FAIL_GONE &&
					c->folders[c->folder].remote_id != NULL)
					c->folder_step = CS_FOLDER_SEEK;
				else
				{
					folder_failed(c, &result.failure);
					next_folder(c);
				}
				break;
			default:
				return false;
		}
	}
	return true;
}
