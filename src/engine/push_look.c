/*
 * push_look.c
 *	  What is at the remote of what was pushed (P16): folders and files are
 *	  found by the provider's id where their customer renamed or moved them, and
 *	  what was deleted there stays deleted.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "cloudsync/path.h"
#include "push_args.h"

typedef struct LookKey
{
	const char *text; /* hash key by content */
	CsLook *look;
} LookKey;

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
look_in(CsPushJob *push, const char *folder)
{
	ListCell *cell;

	foreach (cell, push->look_in)
	{
		if (cs_path_below(folder, lfirst(cell)) != NULL)
			return;
	}
	push->look_in = lappend(push->look_in, pstrdup(folder));
}

/*
 * A file without an id, where a move was cut off or came to nothing: it may be
 * where it was going to, with its folder or by itself.
 */
static void
add_intents(CsPushJob *push, CsLook *look)
{
	const char *from = push->plan->from_folder;
	const char *to = push->plan->intent_folder;
	const char *below = from != NULL && to != NULL ? cs_path_below(look->path, from) : NULL;

	if (below != NULL && strcmp(from, to) != 0)
	{
		look->with_folder = cs_path_join(to, below);
		add_key(push->by_folder, look->with_folder, look);
		look_in(push, to);
	}
	if (cs_push_is_between(look->record))
	{
		add_key(push->by_intent, look->record->intent_path, look);
		look_in(push, cs_path_parent(look->record->intent_path));
	}
	look_in(push, cs_path_parent(look->path));
}

static CsLook *
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
	if (record != NULL && id == NULL)
		add_intents(push, look);
	return look;
}

/*
 * What was removed there may have come back from the service's trash, under its
 * old id: seen where its folder is listed anyhow, and asked for before it is
 * sent again.
 */
static void
add_removed(CsPushJob *push, CsRecord *record, bool sent_anew)
{
	CsLook *look;

	if (record == NULL || record->remote_id == NULL || record->path == NULL ||
		strcmp(record->state, "removed_there") != 0 || !cs_push_goes_by_ids(push))
		return;
	look = palloc0(sizeof(CsLook));
	look->record = record;
	look->path = record->path;
	look->id = record->remote_id;
	look->removed = true;
	look->sent_anew = sent_anew;
	push->looks = lappend(push->looks, look);
	add_key(push->by_id, look->id, look);
}

static bool
is_there(const CsRecord *record)
{
	return record != NULL && record->path != NULL && record->remote_version != NULL &&
		   strcmp(record->state, "trashed") != 0 &&
		   strcmp(record->state, "removed_there") != 0;
}

/* Is it nowhere, by what was seen so far? */
static bool
is_missing(const CsLook *look)
{
	return !look->at_path && look->found_path == NULL && !look->is_with_folder &&
		   !look->is_at_intent && !look->removed;
}

/* What to look for: everything recorded to be there. In the job's context. */
void
cs_push_look_prepare(CsPushJob *push)
{
	ListCell *cell;

	push->looks = NIL;
	push->by_path = cs_text_table("cloudsync paths looked for", sizeof(LookKey), push->job.context);
	push->by_id = cs_text_table("cloudsync ids looked for", sizeof(LookKey), push->job.context);
	push->by_folder = cs_text_table("cloudsync moves of folders", sizeof(LookKey), push->job.context);
	push->by_intent = cs_text_table("cloudsync moves of files", sizeof(LookKey), push->job.context);
	push->look_in = NIL;
	push->listed = NULL;
	if (push->plan->from_folder != NULL)
		look_in(push, push->plan->from_folder);
	if (push->plan->from_folder != NULL)
		add_look(push, NULL, push->plan->from_folder, push->plan->folder_id);
	foreach (cell, push->plan->files)
	{
		CsPlanFile *file = lfirst(cell);

		if (is_there(file->record))
			add_look(push, file->record, file->record->path, file->record->remote_id);
		else
			add_removed(push, file->record, file->action == CS_ACTION_CREATE);
	}
	if (push->plan->present && is_there(push->plan->manifest))
		add_look(push, push->plan->manifest, push->plan->manifest->path,
				 push->plan->manifest->remote_id);
	else if (push->plan->present)
		add_removed(push, push->plan->manifest, false);
}

/* See push.h. */
void
cs_push_look_noted(CsPushJob *push, CsLook *look, const CsEntry *entry)
{
	const CsRecord *record = look->record;

	if (record == NULL)
		return;
	if (entry->version != NULL)
		look->record->seen_version = MemoryContextStrdup(push->job.context, entry->version);
	look->is_same = entry->kind == CS_ENTRY_FILE && entry->version != NULL &&
					((entry->checksum != NULL && record->checksum != NULL &&
					  strcmp(entry->checksum, record->checksum) == 0) ||
					 (entry->has_sha256 && record->has_sha256 &&
					  memcmp(entry->sha256, record->sha256, CS_SHA256_LENGTH) == 0));
}

/* See push.h. Beyond the first, only where something without an id is missing. */
const char *
cs_push_look_next(CsPushJob *push)
{
	ListCell *cell;
	bool missing = push->listed == NULL;

	foreach (cell, push->looks)
	{
		const CsLook *look = lfirst(cell);

		missing = missing || (look->record != NULL && look->id == NULL && is_missing(look));
	}
	if (!missing || push->look_in == NIL)
		return NULL;
	push->listed = linitial(push->look_in);
	push->look_in = list_delete_first(push->look_in);
	return push->listed;
}

/* See push.h. */
void
cs_push_look_listed(CsPushJob *push, const CsFailure *failure, bool incomplete)
{
	bool is_own = push->plan->from_folder != NULL &&
				  strcmp(push->listed, push->plan->from_folder) == 0;

	if (incomplete || (failure != NULL && failure->failure_class != CS_FAIL_GONE))
		push->incomplete = true;
	else if (is_own && failure == NULL && !push->setting->provider->implied_folders)
		push->folder_there = true;
}

/* Is it what was pushed, or what was about to be, as far as a listing tells? */
static bool
is_as_recorded(const CsRecord *record, const CsEntry *entry)
{
	return entry->kind == CS_ENTRY_FILE &&
		   (entry->size < 0 || entry->size == record->size ||
			(record->has_intent_sha256 && entry->size == record->intent_size));
}

/* Is it one whose move was cut off? */
static void
note_moved(CsPushJob *push, const CsEntry *entry)
{
	CsLook *look = find_key(push->by_folder, entry->path);

	if (look != NULL && is_as_recorded(look->record, entry))
		look->is_with_folder = true;
	look = find_key(push->by_intent, entry->path);
	if (look != NULL && is_as_recorded(look->record, entry))
		look->is_at_intent = true;
}

/* Notes what of a page is ours. */
void
cs_push_look_page(CsPushJob *push)
{
	const CsResult *page = &push->single->result;
	int i;

	if (push->step == CS_PUSH_LIST && page->n_entries > 0 &&
		strcmp(push->listed, push->plan->from_folder) == 0)
		push->folder_there = true;

	for (i = 0; i < page->n_entries; i++)
	{
		const CsEntry *entry = &page->entries[i];
		CsLook *look = find_key(push->by_path, entry->path);

		note_moved(push, entry);
		if (look != NULL)
		{
			look->at_path = true;
			cs_push_look_noted(push, look, entry);
		}
		look = find_key(push->by_id, entry->id);
		if (look != NULL && (entry->kind == CS_ENTRY_FOLDER) == (look->record == NULL))
		{
			look->found_path = MemoryContextStrdup(push->job.context, entry->path);
			cs_push_look_noted(push, look, entry);
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
		if (look->record != NULL && is_missing(look))
			return true;
		if (look->record == NULL && !push->folder_there)
			return true;
	}
	return false;
}

/* See push.h. */
bool
cs_push_was_looked_for(CsPushJob *push, const char *id)
{
	const CsLook *look = find_key(push->by_id, id);

	return look != NULL && (look->asked || look->found_path != NULL);
}

/* The record of a file goes where its customer has moved the file. */
static void
record_path(CsPushJob *push, CsRecord *record, const char *path)
{
	Args args = {0};

	add_record(&args, push, record);
	add_text(&args, path);
	add_text(&args, key_of(push, path));
	execute("UPDATE cloudsync.pushed_file SET path_key = NULL "
			"WHERE destination_id OPERATOR(pg_catalog.=) $1 AND path_key OPERATOR(pg_catalog.=) $7",
			&args);
	execute("UPDATE cloudsync.pushed_file SET path = $6, path_key = $7, "
			"intent_path = CASE WHEN intent_temp IS NULL THEN NULL ELSE intent_path END "
			"WHERE " THIS_FILE, &args);
}

/* Deleted at the remote: it stays so until its content changes (P16). */
static void
record_removed(CsPushJob *push, CsRecord *record)
{
	Args args = {0};

	add_record(&args, push, record);
	execute("UPDATE cloudsync.pushed_file SET state = 'removed_there', path_key = NULL, "
			"remote_version = NULL, next_try_at = NULL, "
			"intent_path = CASE WHEN intent_temp IS NULL THEN NULL ELSE intent_path END "
			"WHERE " THIS_FILE, &args);
	cs_push_note_file(push, "removed_there", record->path, record->size, NULL, NULL);
}

/*
 * It is there again, under its old id. Other bytes than those that were pushed
 * are somebody's own: then it stays as if it were not ours.
 */
static bool
apply_removed(CsPushJob *push, const CsLook *look)
{
	const CsRecord *record = look->record;
	Args args = {0};

	if (look->found_path == NULL || !look->is_same)
		return false;
	record_path(push, look->record, look->found_path);
	add_record(&args, push, record);
	add_text(&args, record->seen_version);
	execute("UPDATE cloudsync.pushed_file SET state = 'synced', remote_version = $6, "
			"attempts = 0, next_try_at = NULL, last_error = NULL "
			"WHERE " THIS_FILE, &args);
	cs_push_note_file(push, "restored_there", look->found_path, record->size, NULL, NULL);
	return true;
}

/* The folder is where its id was found, or where a move was bringing it. */
static bool
apply_folder(CsPushJob *push, const CsLook *look)
{
	char *to = push->plan->intent_folder;
	ListCell *cell;

	if (push->folder_there)
		return false;
	if (look->found_path != NULL)
	{
		cs_push_record_folder(push, look->found_path, look->id);
		push->folder_there = true;
		return true;
	}
	foreach (cell, push->looks)
	{
		const CsLook *other = lfirst(cell);

		if (other->record == NULL || !other->is_with_folder)
			continue;
		cs_push_record_below(push, look->path, to);
		cs_push_record_folder(push, to, NULL);
		push->folder_there = true;
		return true;
	}
	if (push->located && !push->incomplete)
		push->folder_gone = true;
	return false;
}

/* Gone from the database, and an attempt was about to bring it to the trash? */
static bool
goes_to_trash(const CsRecord *record)
{
	return record->remote_id == NULL && record->trash_confirmed &&
		   strcmp(record->state, "to_trash") == 0;
}

/* A file is where it was, or elsewhere, or not there any more. */
static bool
apply_file(CsPushJob *push, CsLook *look)
{
	const char *path = look->found_path;

	if (look->removed)
		return apply_removed(push, look);
	if (path == NULL && !look->at_path)
		path = look->is_with_folder ? look->with_folder
			   : look->is_at_intent ? look->record->intent_path
									: NULL;
	if (path != NULL)
	{
		if (strcmp(path, look->path) == 0)
			return false;
		record_path(push, look->record, path);
		return true;
	}
	if (look->at_path || !push->located || push->incomplete || goes_to_trash(look->record))
		return false;
	record_removed(push, look->record);
	return true;
}

/* See push.h. */
bool
cs_push_look_apply(CsPushJob *push, TimestampTz now)
{
	bool changed = push->plan->intent_folder != NULL;
	ListCell *cell;
	MemoryContext old;

	push->looked = true;
	cs_begin("recording what was moved or deleted at the remote");
	old = MemoryContextSwitchTo(push->job.context);
	foreach (cell, push->looks)
	{
		CsLook *look = lfirst(cell);

		if (look->record == NULL)
			changed |= apply_folder(push, look);
		else
			changed |= apply_file(push, look) || cs_push_is_between(look->record);
	}
	if (changed)
		cs_push_make_plan(push, now);
	MemoryContextSwitchTo(old);
	cs_commit();
	return changed;
}

/* The customer has renamed or moved the root: so has everything in it. */
static void
root_moved(CsPushJob *push, const char *path, const char *id)
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

/* See push.h. */
void
cs_push_root_looked_for(CsPushJob *push, const char *id, TimestampTz now)
{
	MemoryContext old;

	cs_begin("recording where the root is");
	old = MemoryContextSwitchTo(push->job.context);
	if (push->root_found != NULL)
		root_moved(push, push->root_found, push->setting->root_id);
	else if (id != NULL)
		root_moved(push, push->setting->root_path, id);
	cs_push_make_plan(push, now);
	MemoryContextSwitchTo(old);
	cs_commit();
}

/* See push.h. */
void
cs_push_take_page(CsPushJob *push)
{
	const CsResult *page = &push->single->result;
	int i;

	if (push->surveying)
		cs_push_survey_page(push);
	if (push->step == CS_PUSH_FIND_ROOT)
	{
		for (i = 0; i < page->n_entries; i++)
		{
			if (page->entries[i].kind == CS_ENTRY_FOLDER && page->entries[i].id != NULL &&
				strcmp(page->entries[i].id, push->setting->root_id) == 0)
				push->root_found = pstrdup(page->entries[i].path);
		}
	}
	else if (push->step == CS_PUSH_EMPTY_FOLDER)
	{
		for (i = 0; i < page->n_entries; i++)
			push->anything_left |= page->entries[i].kind != CS_ENTRY_FOLDER;
	}
	else if (push->step == CS_PUSH_CONFIRM || push->step == CS_PUSH_CONFIRM_MANIFEST ||
			 (push->step == CS_PUSH_SEND && push->sent_keys != NULL))
		cs_push_confirm_page(push);
	else if (push->step != CS_PUSH_SURVEY && push->step != CS_PUSH_SEND)
		cs_push_look_page(push);
}
