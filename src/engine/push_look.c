/*
 * push_look.c
 *	  What is at the remote of what was pushed (P16): folders and files are
 *	  found by the provider's id where their customer renamed or moved them, and
 *	  what was deleted there stays deleted.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "cloudsync/db.h"
#include "cloudsync/path.h"
#include "cloudsync/push.h"

typedef struct LookKey
{
	const char *text; /* hash key by content */
	CsLook *look;
} LookKey;

static uint32
text_hash(const void *key, Size keysize)
{
	const char *text = *(const char *const *) key;

	return DatumGetUInt32(hash_any((const unsigned char *) text, (int) strlen(text)));
}

static int
text_match(const void *key1, const void *key2, Size keysize)
{
	return strcmp(*(const char *const *) key1, *(const char *const *) key2);
}

/* See push.h. */
HTAB *
cs_push_text_table(const char *name, Size entrysize, MemoryContext context)
{
	HASHCTL ctl = {0};

	ctl.keysize = sizeof(char *);
	ctl.entrysize = entrysize;
	ctl.hash = text_hash;
	ctl.match = text_match;
	ctl.hcxt = context;
	return hash_create(name, 64, &ctl,
					   HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
}

static void
add_key(HTAB *index, const char *text, CsLook *look)
{
	LookKey *key;

	if (text == NULL)
		return;
	key = hash_search(index, &text, HASH_ENTER, NULL);
	key->look = look;
}

static CsLook *
find_key(HTAB *index, const char *text)
{
	LookKey *key = text ? hash_search(index, &text, HASH_FIND, NULL) : NULL;

	return key ? key->look : NULL;
}

static void
add_look(CsPushJob *push, CsRecord *record, const char *path, const char *id)
{
	CsLook *look = palloc0(sizeof(CsLook));

	look->record = record;
	look->path = path;
	look->id = id;
	push->looks = lappend(push->looks, look);
	if (record != NULL)
		add_key(push->by_path, path, look);
	add_key(push->by_id, id, look);
}

static bool
is_there(const CsRecord *record)
{
	return record != NULL && record->path != NULL && record->remote_version != NULL &&
		   strcmp(record->state, "trashed") != 0 &&
		   strcmp(record->state, "removed_there") != 0;
}

/* What to look for: everything recorded to be there. In the job's context. */
void
cs_push_look_prepare(CsPushJob *push)
{
	ListCell *cell;

	push->looks = NIL;
	push->by_path = cs_push_text_table("cloudsync paths looked for", sizeof(LookKey), push->job.context);
	push->by_id = cs_push_text_table("cloudsync ids looked for", sizeof(LookKey), push->job.context);
	if (push->plan->from_folder != NULL)
		add_look(push, NULL, push->plan->from_folder, push->plan->folder_id);
	foreach (cell, push->plan->files)
	{
		CsPlanFile *file = lfirst(cell);

		if (is_there(file->record))
			add_look(push, file->record, file->record->path, file->record->remote_id);
	}
	if (push->plan->present && is_there(push->plan->manifest))
		add_look(push, push->plan->manifest, push->plan->manifest->path,
				 push->plan->manifest->remote_id);
}

static void
note_version(CsPushJob *push, CsLook *look, const CsEntry *entry)
{
	if (look->record != NULL && entry->version != NULL)
		look->record->seen_version = MemoryContextStrdup(push->job.context, entry->version);
}

/* Notes what of a page is ours. */
void
cs_push_look_page(CsPushJob *push)
{
	const CsResult *page = &push->single->result;
	int i;

	for (i = 0; i < page->n_entries; i++)
	{
		const CsEntry *entry = &page->entries[i];
		CsLook *look = find_key(push->by_path, entry->path);

		if (look != NULL)
		{
			look->at_path = true;
			note_version(push, look, entry);
		}
		look = find_key(push->by_id, entry->id);
		if (look != NULL && (entry->kind == CS_ENTRY_FOLDER) == (look->record == NULL))
		{
			look->found_path = MemoryContextStrdup(push->job.context, entry->path);
			note_version(push, look, entry);
		}
	}
}

/* See push.h. Is something neither at its path nor elsewhere by its id? */
bool
cs_push_look_missing(CsPushJob *push, bool by_id)
{
	ListCell *cell;

	foreach (cell, push->looks)
	{
		CsLook *look = lfirst(cell);

		if (by_id && look->id == NULL)
			continue;
		if (look->record != NULL && !look->at_path && look->found_path == NULL)
			return true;
		if (look->record == NULL && !push->folder_there)
			return true;
	}
	return false;
}

/* The record of a file goes where its customer has moved the file. */
static void
record_path(CsPushJob *push, CsRecord *record, const char *path)
{
	Oid types[7] = {INT8OID, INT4OID, TEXTOID, INT4OID, TEXTOID, TEXTOID, TEXTOID};
	Datum values[7];

	values[0] = Int64GetDatum(push->setting->destination_id);
	values[1] = Int32GetDatum(push->dossiers_id);
	values[2] = CStringGetTextDatum(push->dossier);
	values[3] = Int32GetDatum(record->source_id);
	values[4] = CStringGetTextDatum(record->file_key);
	values[5] = CStringGetTextDatum(path);
	values[6] = CStringGetTextDatum(cs_name_key(path, &push->setting->provider->names));
	cs_execute("UPDATE cloudsync.pushed_file SET path_key = NULL "
			   "WHERE destination_id OPERATOR(pg_catalog.=) $1 AND path_key OPERATOR(pg_catalog.=) $7",
			   7, types, values, NULL, false);
	cs_execute("UPDATE cloudsync.pushed_file SET path = $6, path_key = $7 "
			   "WHERE destination_id OPERATOR(pg_catalog.=) $1 AND dossiers_id OPERATOR(pg_catalog.=) $2 "
			   "AND dossier OPERATOR(pg_catalog.=) $3 AND source_id OPERATOR(pg_catalog.=) $4 "
			   "AND file_key OPERATOR(pg_catalog.=) $5",
			   7, types, values, NULL, false);
}

/* Deleted at the remote: it stays so until its content changes (P16). */
static void
record_removed(CsPushJob *push, CsRecord *record)
{
	Oid types[5] = {INT8OID, INT4OID, TEXTOID, INT4OID, TEXTOID};
	Datum values[5];

	values[0] = Int64GetDatum(push->setting->destination_id);
	values[1] = Int32GetDatum(push->dossiers_id);
	values[2] = CStringGetTextDatum(push->dossier);
	values[3] = Int32GetDatum(record->source_id);
	values[4] = CStringGetTextDatum(record->file_key);
	cs_execute("UPDATE cloudsync.pushed_file SET state = 'removed_there', path_key = NULL, "
			   "remote_version = NULL, next_try_at = NULL "
			   "WHERE destination_id OPERATOR(pg_catalog.=) $1 AND dossiers_id OPERATOR(pg_catalog.=) $2 "
			   "AND dossier OPERATOR(pg_catalog.=) $3 AND source_id OPERATOR(pg_catalog.=) $4 "
			   "AND file_key OPERATOR(pg_catalog.=) $5",
			   5, types, values, NULL, false);
	cs_push_note_file(push, "removed_there", record->path, record->size, NULL, NULL);
}

/* See push.h. */
bool
cs_push_look_apply(CsPushJob *push, TimestampTz now)
{
	bool changed = false;
	ListCell *cell;
	MemoryContext old;

	cs_begin("recording what was moved or deleted at the remote");
	old = MemoryContextSwitchTo(push->job.context);
	foreach (cell, push->looks)
	{
		CsLook *look = lfirst(cell);

		if (look->record == NULL)
		{
			if (!push->folder_there && look->found_path != NULL)
			{
				cs_push_record_folder(push, look->found_path, look->id);
				push->folder_there = true;
				changed = true;
			}
			else if (!push->folder_there && push->located && !push->incomplete)
				push->folder_gone = true;
		}
		else if (look->found_path != NULL)
		{
			if (strcmp(look->found_path, look->path) != 0)
			{
				record_path(push, look->record, look->found_path);
				changed = true;
			}
		}
		else if (!look->at_path && push->located && !push->incomplete)
		{
			record_removed(push, look->record);
			changed = true;
		}
	}
	if (changed)
		cs_push_make_plan(push, now);
	MemoryContextSwitchTo(old);
	cs_commit();
	return changed;
}

/* The customer has renamed or moved the root: so has everything in it. */
void
cs_push_root_moved(CsPushJob *push, const char *path, const char *id)
{
	Oid types[6] = {INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum values[6];
	const CsNameRules *rules = &push->setting->provider->names;

	values[0] = Int64GetDatum(push->setting->destination_id);
	values[1] = CStringGetTextDatum(path);
	values[2] = CStringGetTextDatum(id);
	values[3] = CStringGetTextDatum(push->setting->root_path);
	values[4] = CStringGetTextDatum(cs_name_key(push->setting->root_path, rules));
	values[5] = CStringGetTextDatum(cs_name_key(path, rules));
	cs_execute("UPDATE cloudsync.destination SET path = NULLIF($2, root), remote_id = $3 "
			   "WHERE destination_id OPERATOR(pg_catalog.=) $1",
			   6, types, values, NULL, false);
	cs_execute("UPDATE cloudsync.pushed_dossier "
			   "SET folder = $2 OPERATOR(pg_catalog.||) pg_catalog.substr(folder, pg_catalog.length($4) OPERATOR(pg_catalog.+) 1), "
			   "folder_key = $6 OPERATOR(pg_catalog.||) pg_catalog.substr(folder_key, pg_catalog.length($5) OPERATOR(pg_catalog.+) 1) "
			   "WHERE destination_id OPERATOR(pg_catalog.=) $1 "
			   "AND pg_catalog.starts_with(folder, $4 OPERATOR(pg_catalog.||) '/')",
			   6, types, values, NULL, false);
	cs_execute("UPDATE cloudsync.pushed_file "
			   "SET path = $2 OPERATOR(pg_catalog.||) pg_catalog.substr(path, pg_catalog.length($4) OPERATOR(pg_catalog.+) 1), "
			   "path_key = $6 OPERATOR(pg_catalog.||) pg_catalog.substr(path_key, pg_catalog.length($5) OPERATOR(pg_catalog.+) 1) "
			   "WHERE destination_id OPERATOR(pg_catalog.=) $1 "
			   "AND pg_catalog.starts_with(path, $4 OPERATOR(pg_catalog.||) '/')",
			   6, types, values, NULL, false);
}
