/*
 * collect_items.c
 *	  What a page of a listing shows becomes rows of cloudsync.item; only what
 *	  changed is written (L8).
 *
 * Relies on identity.c for what a file is.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "cloudsync/db.h"
#include "cloudsync/hash.h"
#include "cloudsync/name.h"
#include "cloudsync/path.h"
#include "cloudsync/text_table.h"
#include "listing.h"

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
	COL_KEY,
	COL_CHECKSUM,
	COL_UNLISTED,
	COL_LINK,
	N_COLUMNS
};

static const Oid column_types[N_COLUMNS] = {
	TEXTOID, TEXTOID, TEXTOID, INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID,
	TEXTOID, TEXTOID, BOOLOID, INT8OID, BYTEAOID,		TIMESTAMPTZOID,
	TEXTOID, TEXTOID, BOOLOID,		TEXTOID};

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
	SEEN_REMOTE_ID,
	SEEN_CHECKSUM,
	SEEN_LINK,
	SEEN_SAME_AS_ITEM,
	SEEN_SAME_AS_RECORD
};

/* Equal ones are equal bytes (L9). NULL: the service says nothing of the kind. */
static const char *
strong_checksum(const CsCollect *c, const CsEntry *entry)
{
	if (entry->kind != CS_ENTRY_FILE)
		return NULL;
	if (entry->has_sha256)
		return psprintf("sha256:%s", cs_hex(entry->sha256, CS_SHA256_LENGTH));
	return c->job.connection->provider->checksum_is_strong ? entry->checksum : NULL;
}

#define OF_ACCOUNT                                                             \
	"p.destination_id = ANY (ARRAY(SELECT t.destination_id "                   \
	"FROM cloudsync.destination t WHERE t.account_id = $2)) "

/* Looks up what is known of a page's entries; a row for each distinct path. */
static uint64
look_up(CsCollect *c, const CsEntry *entries, int n_entries)
{
	static const Oid types[7] = {INT8OID,	   INT8OID,		 TEXTARRAYOID, TEXTARRAYOID,
								 TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID};
	CsColumn paths = {TEXTOID};
	CsColumn ids = {TEXTOID};
	CsColumn versions = {TEXTOID};
	CsColumn keys = {TEXTOID};
	CsColumn checksums = {TEXTOID};
	const CsNameRules *rules = &c->job.connection->provider->names;
	Datum values[7];

	for (int i = 0; i < n_entries; i++)
	{
		const CsEntry *e = &entries[i];
		const char *checksum = strong_checksum(c, e);

		cs_column_add(&paths, cs_text_from_utf8(e->path), false);
		cs_column_add(&ids, e->id ? cs_text_from_utf8(e->id) : 0,
					  e->id == NULL);
		cs_column_add(&versions, e->version ? cs_text_from_utf8(e->version) : 0,
					  e->version == NULL);
		cs_column_add(&keys, cs_text_from_utf8(cs_name_key(e->path, rules)),
					  false);
		cs_column_add(&checksums, checksum ? cs_text_from_utf8(checksum) : 0,
					  checksum == NULL);
	}
	values[0] = Int64GetDatum(c->channel_id);
	values[1] = Int64GetDatum(c->job.connection->account_id);
	values[2] = cs_column_array(&paths);
	values[3] = cs_column_array(&ids);
	values[4] = cs_column_array(&versions);
	values[5] = cs_column_array(&keys);
	values[6] = cs_column_array(&checksums);
	/* each by itself along an index, however many there seem to be */
	return cs_execute_lookups(
		"SELECT DISTINCT ON (e.path) e.ord, i.item_id, i.state, i.remote_version, i.size, "
		"i.modified_at, i.verify, i.document_id, i.reason, i.folder_no, i.sha256, "
		"d.size, r.key IS NOT NULL, r.document_id, r.remote_version, r.size, r.sha256, "
		"EXISTS (SELECT FROM cloudsync.pushed_file p WHERE " OF_ACCOUNT
		"AND p.path_key = e.key AND p.state IN ('sending', 'synced', 'failed', 'kept') OFFSET 0) "
		"OR EXISTS (SELECT FROM cloudsync.pushed_file p WHERE " OF_ACCOUNT
		"AND p.intent_path = e.path OFFSET 0) "
		"OR EXISTS (SELECT FROM cloudsync.pushed_file p WHERE " OF_ACCOUNT
		"AND p.remote_id = e.id AND p.remote_version = e.version OFFSET 0), "
		"i.kind, i.remote_id, i.checksum, i.link_id, b.sha256 = i.sha256, b.sha256 = r.sha256 "
		"FROM ROWS FROM (unnest($3), unnest($4), unnest($5), unnest($6), unnest($7)) "
		"WITH ORDINALITY e (path, id, version, key, checksum, ord) "
		"LEFT JOIN LATERAL (SELECT * FROM cloudsync.item WHERE channel_id = $1 AND path = e.path OFFSET 0) i ON true "
		"LEFT JOIN LATERAL (SELECT size FROM cloudsync.document WHERE document_id = i.document_id OFFSET 0) d ON true "
		"LEFT JOIN LATERAL (SELECT * FROM cloudsync.dedup WHERE account_id = $2 AND kind = 'item' AND key = e.id OFFSET 0) r ON true "
		"LEFT JOIN LATERAL (SELECT sha256 FROM cloudsync.dedup WHERE account_id = $2 AND kind = 'checksum' AND key = e.checksum OFFSET 0) k ON true "
		"CROSS JOIN LATERAL (SELECT CASE WHEN e.checksum LIKE 'sha256:%' "
		"THEN decode(substr(e.checksum, 8), 'hex') ELSE k.sha256 END AS sha256) b "
		"ORDER BY e.path, e.ord",
		7, types, values, NULL); /* sees what a move before it did */
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

/*
 * Does the item at this path stand for another file? Where ids last, the id says
 * so; elsewhere what is at a path is that path's.
 */
static bool
is_another(CsCollect *c, const CsEntry *entry, uint64 row)
{
	return c->job.connection->provider->stable_ids && entry->id != NULL &&
		   cs_get_int64(row, SEEN_ITEM_ID, 0) != 0 &&
		   !same_text(cs_get_utf8(row, SEEN_REMOTE_ID), entry->id);
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
	listed.document_size = -1;
	if (!is_another(c, entry, row))
	{
		listed.state = cs_item_state_by_name(cs_get_text(row, SEEN_STATE));
		listed.item_version = cs_get_utf8(row, SEEN_VERSION);
		listed.verify = cs_get_bool(row, SEEN_VERIFY, false);
		listed.document_size = cs_get_int64(row, SEEN_DOCUMENT_SIZE, -1);
		listed.same_as_item = cs_get_bool(row, SEEN_SAME_AS_ITEM, false);
	}
	listed.recorded = cs_get_bool(row, SEEN_RECORDED, false);
	listed.record_version = cs_get_utf8(row, SEEN_RECORD_VERSION);
	listed.record_size = cs_get_int64(row, SEEN_RECORD_SIZE, -1);
	listed.same_as_record = cs_get_bool(row, SEEN_SAME_AS_RECORD, false);
	verdict = cs_identity_listed(&listed);
	if (verdict.state != CS_ITEM_EXCLUDED)
		*reason = verdict.state == listed.state && !verdict.take_record
					  ? cs_get_utf8(row, SEEN_REASON)
					  : NULL;
	else if (listed.pushed)
		*reason = "sent by cloudsync itself";
	return verdict;
}

/* A folder that was not in the channel's before, with what is in it. */
static bool
enters(const CsCollect *c, const CsEntry *entry, const char *old_kind, bool lives)
{
	return c->entering && c->recursive && entry->kind == CS_ENTRY_FOLDER &&
		   entry->refused == NULL && !(lives && strcmp(old_kind, "folder") == 0);
}

/* Text as the service gave it, or null. */
static void
add_utf8(CsColumn *column, const char *text)
{
	cs_column_add(column, text != NULL ? cs_text_from_utf8(text) : 0, text == NULL);
}

/*
 * Adds the item's row to what is to be written, unless nothing about it
 * changed. Returns whether it was added.
 */
static bool
add_if_changed(CsCollect *c, CsColumn *columns, const CsEntry *entry,
			   uint64 row, List **replaced, TimestampTz now)
{
	CsVerdict verdict = {CS_ITEM_NONE, false, false};
	const char *reason = entry->refused;
	const char *old_state = cs_get_text(row, SEEN_STATE);
	const char *state;
	TimestampTz modified = modified_of(entry);
	const char *old_kind = cs_get_text(row, SEEN_KIND);
	const char *checksum = strong_checksum(c, entry);
	bool known = cs_get_int64(row, SEEN_ITEM_ID, 0) != 0;
	bool lives = known && (old_state == NULL || strcmp(old_state, "gone") != 0) &&
				 !is_another(c, entry, row);
	bool followed = c->job.connection->provider->incremental;
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
	else if (lives)
	{
		/* a path that was gone begins anew */
		document = column_or_null(row, SEEN_DOCUMENT_ID, &document_null);
		sha = column_or_null(row, SEEN_SHA256, &sha_null);
	}
	if (same_version && same_text(old_state, state) &&
		same_text(old_kind, kind_names[entry->kind]) &&
		same_text(cs_get_utf8(row, SEEN_REMOTE_ID), entry->id) &&
		same_text(cs_get_utf8(row, SEEN_LINK), entry->link_id) &&
		cs_get_bool(row, SEEN_VERIFY, false) == verdict.verify &&
		cs_get_int64(row, SEEN_SIZE, -1) == entry->size &&
		cs_get_timestamptz(row, SEEN_MODIFIED, 0) == modified &&
		cs_get_int64(row, SEEN_FOLDER_NO, 0) == c->folders[c->folder].folder_no &&
		same_text(cs_get_utf8(row, SEEN_CHECKSUM), checksum) &&
		same_text(cs_get_utf8(row, SEEN_REASON), reason))
	{
		cs_seen_note(c, cs_get_int64(row, SEEN_ITEM_ID, 0));
		return false;
	}
	if (followed && known && entry->kind != CS_ENTRY_FOLDER && strcmp(old_kind, "folder") == 0)
		*replaced = lappend(*replaced, (char *) entry->path);
	cs_column_add(&columns[COL_PATH], cs_text_from_utf8(entry->path), false);
	cs_column_add(&columns[COL_NAME], cs_text_from_utf8(entry->name), false);
	cs_column_add(&columns[COL_KIND],
				  CStringGetTextDatum(kind_names[entry->kind]), false);
	cs_column_add(&columns[COL_SIZE], Int64GetDatum(entry->size),
				  entry->size < 0);
	cs_column_add(&columns[COL_MODIFIED], TimestampTzGetDatum(modified),
				  modified == 0);
	add_utf8(&columns[COL_ID], entry->id);
	add_utf8(&columns[COL_VERSION], entry->version);
	cs_column_add(&columns[COL_STATE], state ? CStringGetTextDatum(state) : 0,
				  state == NULL);
	add_utf8(&columns[COL_REASON], reason);
	cs_column_add(&columns[COL_VERIFY], BoolGetDatum(verdict.verify), false);
	cs_column_add(&columns[COL_DOCUMENT], document, document_null);
	cs_column_add(&columns[COL_SHA256], sha, sha_null);
	cs_column_add(&columns[COL_UNCHANGED_SINCE], TimestampTzGetDatum(now),
				  same_version);
	cs_column_add(&columns[COL_KEY],
				  followed ? cs_text_from_utf8(cs_name_key(
								 entry->path, &c->job.connection->provider->names))
						   : 0,
				  !followed);
	add_utf8(&columns[COL_CHECKSUM], checksum);
	cs_column_add(&columns[COL_UNLISTED],
				  BoolGetDatum(enters(c, entry, old_kind, lives)), false);
	add_utf8(&columns[COL_LINK], entry->link_id);
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
		"path_key, checksum, unlisted, link_id, connection_id, channel_id, folder_no, listing) "
		"SELECT e.*, $18, $19, $20, $21 "
		"FROM ROWS FROM (unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), unnest($6), "
		"unnest($7), unnest($8), unnest($9), unnest($10), unnest($11), unnest($12), unnest($13), "
		"unnest($14), unnest($15), unnest($16), unnest($17)) e "
		"ON CONFLICT (channel_id, path) DO UPDATE SET name = excluded.name, kind = excluded.kind, "
		"size = excluded.size, modified_at = excluded.modified_at, remote_id = excluded.remote_id, "
		"remote_version = excluded.remote_version, state = excluded.state, reason = excluded.reason, "
		"verify = excluded.verify, document_id = excluded.document_id, sha256 = excluded.sha256, "
		"unchanged_since = COALESCE(excluded.unchanged_since, i.unchanged_since), "
		"path_key = excluded.path_key, checksum = excluded.checksum, "
		"unlisted = excluded.unlisted OR (i.unlisted AND excluded.kind = 'folder'), "
		"link_id = excluded.link_id, connection_id = excluded.connection_id, "
		"folder_no = excluded.folder_no, listing = excluded.listing, seen_at = clock_timestamp(), "
		"attempts = CASE WHEN excluded.state = 'failed' THEN i.attempts ELSE 0 END, "
		"next_try_at = CASE WHEN excluded.state = 'failed' THEN i.next_try_at END "
		"RETURNING i.item_id",
		N_COLUMNS + 4, types, values, NULL, false);
	for (uint64 i = 0; i < n; i++)
		cs_seen_note(c, cs_get_int64(i, 1, 0));
}

/* ---- files of one name in one folder ---- */

typedef struct Namesake
{
	char *text; /* path, or id */
	char *other; /* id, or path */
} Namesake;

static void
set_namesake(HTAB *table, const char *text, const char *other)
{
	Namesake *namesake = hash_search(table, &text, HASH_ENTER, NULL);

	namesake->other = pstrdup(other);
}

static const char *
get_namesake(HTAB *table, const char *text)
{
	Namesake *namesake = hash_search(table, &text, HASH_FIND, NULL);

	return namesake != NULL ? namesake->other : NULL;
}

/* What is known of these paths and ids. */
static void
find_namesakes(CsCollect *c, const CsEntry *entries, int n_entries,
			   HTAB *by_path, HTAB *by_id)
{
	static const Oid types[3] = {INT8OID, TEXTARRAYOID, TEXTARRAYOID};
	CsColumn paths = {TEXTOID};
	CsColumn ids = {TEXTOID};
	Datum values[3];
	uint64 n;

	for (int i = 0; i < n_entries; i++)
	{
		cs_column_add(&paths, cs_text_from_utf8(entries[i].path), false);
		cs_column_add(&ids, entries[i].id ? cs_text_from_utf8(entries[i].id) : 0,
					  entries[i].id == NULL);
	}
	values[0] = Int64GetDatum(c->channel_id);
	values[1] = cs_column_array(&paths);
	values[2] = cs_column_array(&ids);
	n = cs_execute("SELECT path, remote_id FROM cloudsync.item WHERE channel_id = $1 AND path = ANY ($2) "
				   "AND state IS DISTINCT FROM 'gone' AND remote_id IS NOT NULL "
				   "UNION SELECT path, remote_id FROM cloudsync.item WHERE channel_id = $1 "
				   "AND path_key IS NOT NULL AND remote_id = ANY ($3) AND state IS DISTINCT FROM 'gone'",
				   3, types, values, NULL, false);
	for (uint64 i = 0; i < n; i++)
	{
		const char *path = cs_get_utf8(i, 1);
		const char *id = cs_get_utf8(i, 2);

		set_namesake(by_path, path, id);
		set_namesake(by_id, id, path);
	}
}

/*
 * Where several files of a folder may have one name, all but the first have
 * their id in their path too, for as long as they are there.
 */
static const CsEntry *
part_namesakes(CsCollect *c, const CsEntry *entries, int n_entries)
{
	CsEntry *parted = palloc(Max(n_entries, 1) * sizeof(CsEntry));
	HTAB *by_path = cs_text_table("cloudsync paths", sizeof(Namesake), CurrentMemoryContext);
	HTAB *by_id = cs_text_table("cloudsync ids", sizeof(Namesake), CurrentMemoryContext);

	find_namesakes(c, entries, n_entries, by_path, by_id);
	for (int i = 0; i < n_entries; i++)
	{
		CsEntry *entry = &parted[i];
		const char *marked;
		const char *own;
		const char *holder;

		*entry = entries[i];
		if (entry->id == NULL)
			continue;
		marked = psprintf("%s (%s)", entry->path, entry->id);
		own = get_namesake(by_id, entry->id);
		holder = get_namesake(by_path, entry->path);
		if ((own != NULL && strcmp(own, marked) == 0) ||
			(holder != NULL && strcmp(holder, entry->id) != 0))
			entry->path = marked;
		set_namesake(by_path, pstrdup(entry->path), entry->id);
	}
	return parted;
}

/* ---- paths that no index takes ---- */

static bool
is_too_long(const CsCollect *c, const char *path)
{
	size_t len = strlen(path);

	/* a key may be longer than what it is of */
	return len > CS_ITEM_PATH_MAX ||
		   (len > CS_ITEM_PATH_MAX / 4 &&
			strlen(cs_name_key(path, &c->job.connection->provider->names)) > CS_ITEM_PATH_MAX);
}

/* Such an entry stands for itself, and is not collected. */
static const CsEntry *
refuse_long_paths(CsCollect *c, const CsEntry *entries, int n_entries)
{
	CsEntry *refused = NULL;

	for (int i = 0; i < n_entries; i++)
	{
		CsEntry *entry;
		uint8 sha256[CS_SHA256_LENGTH];

		if (!is_too_long(c, entries[i].path))
			continue;
		if (refused == NULL)
		{
			refused = palloc(n_entries * sizeof(CsEntry));
			memcpy(refused, entries, n_entries * sizeof(CsEntry));
		}
		entry = &refused[i];
		cs_sha256(entry->path, strlen(entry->path), sha256);
		entry->path = psprintf("//%s", cs_hex(sha256, CS_SHA256_LENGTH));
		entry->kind = CS_ENTRY_OTHER;
		entry->refused = "Its path is too long.";
	}
	return refused != NULL ? refused : entries;
}

/* ---- a page ---- */

/* See listing.h. */
void
cs_items_store(CsCollect *c, const CsEntry *entries, int n_entries,
			   TimestampTz now)
{
	CsColumn columns[N_COLUMNS] = {0};
	List *replaced = NIL;
	ListCell *cell;
	uint64 n;
	SPITupleTable *found;

	if (n_entries == 0)
		return;
	entries = refuse_long_paths(c, entries, n_entries);
	if (c->job.connection->provider->same_names)
		entries = part_namesakes(c, entries, n_entries);
	for (int i = 0; i < N_COLUMNS; i++)
		columns[i].type = column_types[i];
	n = look_up(c, entries, n_entries);
	found = SPI_tuptable;
	for (uint64 row = 0; row < n; row++)
	{
		const CsEntry *entry =
			&entries[cs_get_int64(row, SEEN_ORD, 1) - 1];

		SPI_tuptable = found;
		(void) add_if_changed(c, columns, entry, row, &replaced, now);
	}
	if (columns[0].n > 0)
		write_items(c, columns);
	foreach (cell, replaced)
		cs_tree_gone_below(c, lfirst(cell));
}
