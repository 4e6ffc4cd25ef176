/*
 * plan.c
 *	  The plan of a dossier's push (plan.h): names from templates, and one
 *	  action for each file by comparison with what is recorded.
 *
 * A file keeps its place (a number, a mark, a name that the customer gave) for
 * as long as the name that the database wants for it stays the same. Records
 * are found by key, so that the lists need not be in one order.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "cloudsync/db.h"
#include "cloudsync/path.h"
#include "cloudsync/plan.h"
#include "cloudsync/settings.h"
#include "cloudsync/text_table.h"

/* A set of texts, for names that are taken. */
typedef struct Taken
{
	char *key; /* hash key by content */
} Taken;

static HTAB *
make_set(void)
{
	return cs_text_table("cloudsync names", sizeof(Taken), CurrentMemoryContext);
}

/* False: it was in the set already. */
static bool
add_to_set(HTAB *set, char *text)
{
	bool found;

	hash_search(set, &text, HASH_ENTER, &found);
	return !found;
}

/* See plan.h. */
CsPushSetting *
cs_push_setting_read(int64 connection_id)
{
	Oid types[1] = {INT8OID};
	Datum values[1] = {Int64GetDatum(connection_id)};
	CsPushSetting *setting;

	if (cs_execute("SELECT p.destination_id, c.provider, c.tenant, d.root, "
				   "COALESCE(d.path, d.root), d.remote_id, p.folder, p.on_conflict, "
				   "p.time_zone, p.on_delete OPERATOR(pg_catalog.=) 'trash', p.manifest "
				   "FROM cloudsync.push_setting p "
				   "JOIN cloudsync.connection c ON c.connection_id OPERATOR(pg_catalog.=) p.connection_id "
				   "JOIN cloudsync.destination d ON d.destination_id OPERATOR(pg_catalog.=) p.destination_id "
				   "WHERE p.connection_id OPERATOR(pg_catalog.=) $1",
				   1, types, values, NULL, true) == 0)
		return NULL;
	setting = palloc0(sizeof(CsPushSetting));
	setting->connection_id = connection_id;
	setting->destination_id = cs_get_int64(0, 1, 0);
	setting->provider = cs_provider_by_name(cs_get_text(0, 2));
	setting->tenant = cs_get_text(0, 3);
	setting->root = cs_get_text(0, 4);
	setting->root_path = cs_get_text(0, 5);
	setting->root_id = cs_get_text(0, 6);
	setting->folder = cs_get_text(0, 7);
	setting->on_conflict = cs_get_text(0, 8);
	setting->time_zone = cs_get_text(0, 9);
	setting->trash = cs_get_bool(0, 10, false);
	setting->manifest = cs_get_bool(0, 11, false);
	if (setting->provider == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the connection's provider is not known to this version of cloudsync")));
	setting->template = cs_tags_parse(setting->folder);
	return setting;
}

/* The folder of the dossier's procedure, which takes the root's place; or NULL. */
static char *
procedure_folder(CsPushSetting *setting, const char *procedure)
{
	Oid types[2] = {INT8OID, TEXTOID};
	Datum values[2];

	if (procedure == NULL)
		return NULL;
	values[0] = Int64GetDatum(setting->connection_id);
	values[1] = CStringGetTextDatum(procedure);
	if (cs_execute("SELECT folder FROM cloudsync.procedure_folder "
				   "WHERE connection_id OPERATOR(pg_catalog.=) $1 "
				   "AND procedure OPERATOR(pg_catalog.=) $2",
				   2, types, values, NULL, true) == 0)
		return NULL;
	return cs_get_text(0, 1);
}

/* Does another dossier have the folder, or is it about to? */
static bool
folder_is_taken(CsPlan *plan, const char *key, List *taken)
{
	Oid types[4] = {INT8OID, TEXTOID, INT4OID, TEXTOID};
	Datum values[4];
	ListCell *cell;

	foreach (cell, taken)
	{
		if (strcmp(lfirst(cell), key) == 0)
			return true;
	}
	values[0] = Int64GetDatum(plan->setting->destination_id);
	values[1] = CStringGetTextDatum(key);
	values[2] = Int32GetDatum(plan->dossiers_id);
	values[3] = CStringGetTextDatum(plan->dossier);
	/* one look into an index each: an OR would read the whole destination */
	return cs_execute("SELECT FROM cloudsync.pushed_dossier "
					  "WHERE destination_id OPERATOR(pg_catalog.=) $1 "
					  "AND folder_key OPERATOR(pg_catalog.=) $2 "
					  "AND NOT (dossiers_id OPERATOR(pg_catalog.=) $3 AND dossier OPERATOR(pg_catalog.=) $4) "
					  "UNION ALL SELECT FROM cloudsync.pushed_dossier "
					  "WHERE destination_id OPERATOR(pg_catalog.=) $1 "
					  "AND intent_key OPERATOR(pg_catalog.=) $2 "
					  "AND NOT (dossiers_id OPERATOR(pg_catalog.=) $3 AND dossier OPERATOR(pg_catalog.=) $4) "
					  "LIMIT 1",
					  4, types, values, NULL, true) > 0;
}

/* What is recorded of the dossier's folder. True: there is a record. */
static bool
read_folder_record(CsPlan *plan, char **wanted)
{
	Oid types[3] = {INT8OID, INT4OID, TEXTOID};
	Datum values[3] = {Int64GetDatum(plan->setting->destination_id),
					   Int32GetDatum(plan->dossiers_id),
					   CStringGetTextDatum(plan->dossier)};

	if (cs_execute("SELECT folder, wanted, remote_id, intent_folder, intent_session FROM cloudsync.pushed_dossier "
				   "WHERE destination_id OPERATOR(pg_catalog.=) $1 "
				   "AND dossiers_id OPERATOR(pg_catalog.=) $2 "
				   "AND dossier OPERATOR(pg_catalog.=) $3",
				   3, types, values, NULL, true) == 0)
		return false;
	plan->from_folder = cs_get_text(0, 1);
	*wanted = cs_get_text(0, 2);
	plan->folder_id = cs_get_text(0, 3);
	plan->intent_folder = cs_get_text(0, 4);
	plan->folder_session = cs_get_text(0, 5);
	return true;
}

/* A folder of the dossier's own: its name as wanted, or the next number. */
static char *
free_folder(CsPlan *plan, const char *wanted_path, List *taken)
{
	const CsNameRules *rules = &plan->setting->provider->names;
	char *parent = cs_path_parent(wanted_path);
	const char *name = cs_path_name(wanted_path);
	int n;

	for (n = 1; n < 100000; n++)
	{
		char *path = cs_path_join(parent, cs_name_numbered(name, n, CS_NAME_FOLDER, rules));

		if (!folder_is_taken(plan, cs_name_key(path, rules), taken))
			return path;
	}
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("no free name for folder \"%s\"", wanted_path)));
}

/* Where the dossier's folder is to be. */
static void
plan_folder(CsPlan *plan, CsDossierRow *row, List **taken)
{
	CsPushSetting *setting = plan->setting;
	const CsNameRules *rules = &setting->provider->names;
	char *own = procedure_folder(setting, row->procedure);
	char *below = cs_template_folder(setting->template, (const char *const *) row->tags, rules);
	char *recorded_wanted = NULL;

	plan->wanted = cs_path_join(own ? own : setting->root, below);
	plan->recorded = read_folder_record(plan, &recorded_wanted);
	if (plan->recorded && strcmp(plan->wanted, recorded_wanted) == 0)
		plan->folder = plan->from_folder;
	else
		plan->folder = free_folder(plan, cs_path_join(own ? own : setting->root_path, below),
								   taken ? *taken : NIL);
	if (taken != NULL)
		*taken = lappend(*taken, cs_name_key(plan->folder, rules));
}

/* Where something recorded below the old folder is once the folder has moved. */
static char *
relocated(CsPlan *plan, const char *path)
{
	const char *below = plan->from_folder && plan->folder
							? cs_path_below(path, plan->from_folder)
							: NULL;

	return below == NULL ? pstrdup(path) : cs_path_join(plan->folder, below);
}

static bool
state_is(const CsRecord *record, const char *state)
{
	return record != NULL && strcmp(record->state, state) == 0;
}

/* Is there a file of ours at the remote now, as far as we know? */
static bool
is_there(const CsRecord *record)
{
	return record != NULL && record->path != NULL && record->remote_version != NULL &&
		   !state_is(record, "trashed") && !state_is(record, "removed_there");
}

/* The action for a file that is in the database, but for its name. */
static void
plan_row(CsPlan *plan, CsPlanFile *file, bool by_hand)
{
	CsRecord *record = file->record;
	bool same = record != NULL && record->content_version != NULL &&
				file->row->version != NULL &&
				strcmp(record->content_version, file->row->version) == 0;

	file->size = file->row->size;
	if (is_there(record))
	{
		file->from_path = relocated(plan, record->path);
		file->action = same || file->row->version == NULL ? CS_ACTION_SKIP : CS_ACTION_UPDATE;
	}
	else if (file->row->version == NULL)
		file->action = CS_ACTION_SKIP; /* no content: nothing to send yet */
	else if (state_is(record, "removed_there") && same && !by_hand)
		file->action = CS_ACTION_SKIP;
	else
		file->action = CS_ACTION_CREATE;
	/* one that was left to its customer stays so until its content changes */
	if (state_is(record, "skipped") && same && !by_hand)
		file->action = CS_ACTION_SKIP;
}

/* The action for what is recorded and gone from the database (P9). */
static void
plan_gone(CsPlan *plan, CsPlanFile *file, int64 *trash_left)
{
	CsRecord *record = file->record;

	file->size = record->size;
	file->wanted = record->wanted ? record->wanted : pstrdup("");
	if (is_there(record))
		file->path = file->from_path = relocated(plan, record->path);
	if (!is_there(record))
		file->action = CS_ACTION_SKIP;
	else if (!plan->setting->trash || state_is(record, "kept"))
		file->action = CS_ACTION_KEEP;
	else if (record->trash_confirmed || *trash_left > 0)
	{
		file->action = CS_ACTION_TRASH;
		if (!record->trash_confirmed)
			(*trash_left)--;
	}
	else
		file->action = CS_ACTION_WAIT_TRASH;
}

/* What the database wants the file to be called, below the dossier's folder. */
static char *
wanted_name(CsPlan *plan, CsFileRow *row, CsDossierRow *dossier)
{
	const CsNameRules *rules = &plan->setting->provider->names;
	char *subfolder = cs_template_subfolder(plan->setting->template,
											(const char *const *) dossier->tags,
											(const char *const *) row->tags, rules);
	char *name = cs_name_make(row->name ? row->name : row->key, CS_NAME_FILE, rules);

	return subfolder[0] == '\0' ? name : psprintf("%s/%s", subfolder, name);
}

/* Gives a file a name of its own in its folder. */
static void
name_file(CsPlan *plan, CsPlanFile *file, HTAB *names)
{
	const CsNameRules *rules = &plan->setting->provider->names;
	char *path = cs_path_join(plan->folder, file->wanted);
	char *parent = cs_path_parent(path);
	const char *name = cs_path_name(path);
	int n;

	for (n = 1;; n++)
	{
		file->path = cs_path_join(parent, cs_name_numbered(name, n, CS_NAME_FILE, rules));
		if (add_to_set(names, cs_name_key(file->path, rules)))
			return;
		CHECK_FOR_INTERRUPTS();
	}
}

static bool
keeps_place(const CsPlanFile *file)
{
	return file->from_path != NULL && file->record->wanted != NULL &&
		   strcmp(file->record->wanted, file->wanted) == 0;
}

/*
 * Names: first what stays where it is, so that nobody takes its place, then
 * what is new or has another name.
 */
static void
plan_names(CsPlan *plan)
{
	const CsNameRules *rules = &plan->setting->provider->names;
	HTAB *names = make_set();
	ListCell *cell;

	if (plan->setting->manifest)
		add_to_set(names, cs_name_key(cs_path_join(plan->folder, CS_MANIFEST_NAME), rules));
	foreach (cell, plan->files)
	{
		CsPlanFile *file = lfirst(cell);

		if (file->row == NULL)
		{
			if (file->path != NULL && file->action != CS_ACTION_TRASH)
				add_to_set(names, cs_name_key(file->path, rules));
		}
		else if (keeps_place(file))
		{
			file->path = file->from_path;
			add_to_set(names, cs_name_key(file->path, rules));
		}
	}
	foreach (cell, plan->files)
	{
		CsPlanFile *file = lfirst(cell);

		if (file->row == NULL || file->path != NULL)
			continue;
		if (file->from_path == NULL && file->action == CS_ACTION_SKIP)
			continue; /* not there and not going there */
		name_file(plan, file, names);
		if (file->action == CS_ACTION_SKIP && strcmp(file->from_path, file->path) != 0)
			file->action = CS_ACTION_MOVE;
	}
}

/* A folder that moves takes its files along, which is a move of each. */
static void
plan_folder_move(CsPlan *plan)
{
	ListCell *cell;

	if (plan->from_folder == NULL || strcmp(plan->from_folder, plan->folder) == 0)
		return;
	foreach (cell, plan->files)
	{
		CsPlanFile *file = lfirst(cell);

		if (file->action == CS_ACTION_SKIP && is_there(file->record) &&
			file->path != NULL && strcmp(file->record->path, file->path) != 0)
			file->action = CS_ACTION_MOVE;
	}
}

static uint32
record_hash(const void *key, Size keysize)
{
	const CsRecord *record = *(CsRecord *const *) key;

	return DatumGetUInt32(hash_any((const unsigned char *) record->file_key,
								   (int) strlen(record->file_key))) ^
		   (uint32) record->source_id;
}

static int
record_match(const void *key1, const void *key2, Size keysize)
{
	const CsRecord *a = *(CsRecord *const *) key1;
	const CsRecord *b = *(CsRecord *const *) key2;

	return a->source_id != b->source_id || strcmp(a->file_key, b->file_key) != 0;
}

static HTAB *
index_records(List *records)
{
	HASHCTL ctl = {0};
	HTAB *index;
	ListCell *cell;

	ctl.keysize = sizeof(CsRecord *);
	ctl.entrysize = sizeof(CsRecord *);
	ctl.hash = record_hash;
	ctl.match = record_match;
	ctl.hcxt = CurrentMemoryContext;
	index = hash_create("cloudsync records", Max(list_length(records), 16), &ctl,
						HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	foreach (cell, records)
	{
		CsRecord *record = lfirst(cell);

		hash_search(index, &record, HASH_ENTER, NULL);
	}
	return index;
}

static CsRecord *
find_record(HTAB *index, int source_id, char *file_key)
{
	CsRecord wanted = {0};
	CsRecord *key = &wanted;
	CsRecord **found;

	wanted.source_id = source_id;
	wanted.file_key = file_key;
	found = hash_search(index, &key, HASH_FIND, NULL);
	return found ? *found : NULL;
}

/* One entry for each file in the database. */
static void
plan_rows(CsPlan *plan, CsDossierRow *dossier, HTAB *index, bool by_hand)
{
	List *rows = cs_files_read(plan->table, plan->dossier, plan->setting->template,
							   plan->setting->time_zone);
	ListCell *cell;

	foreach (cell, rows)
	{
		CsPlanFile *file = palloc0(sizeof(CsPlanFile));

		file->row = lfirst(cell);
		file->source_id = file->row->source->source_id;
		file->file_key = file->row->key;
		file->record = find_record(index, file->source_id, file->file_key);
		if (file->record != NULL)
			file->record->taken = true;
		file->wanted = wanted_name(plan, file->row, dossier);
		plan_row(plan, file, by_hand);
		plan->files = lappend(plan->files, file);
	}
}

/* Is the table of files that the record is of tracked still? */
static bool
is_tracked(CsPlan *plan, int source_id)
{
	ListCell *cell;

	if (source_id == CS_MANIFEST_SOURCE)
		return true;
	foreach (cell, plan->table->sources)
	{
		if (((CsSource *) lfirst(cell))->source_id == source_id)
			return true;
	}
	return false;
}

/* A file of a table that is no longer tracked stays, with its dossier. */
static void
plan_untracked(CsPlan *plan, CsPlanFile *file)
{
	CsRecord *record = file->record;

	file->size = record->size;
	file->wanted = record->wanted ? record->wanted : pstrdup("");
	if (is_there(record))
		file->path = file->from_path = relocated(plan, record->path);
	file->action = CS_ACTION_SKIP;
	file->untracked = true;
}

/* One entry for each record that no file in the database has. */
static void
plan_records(CsPlan *plan, List *records, int64 *trash_left)
{
	ListCell *cell;

	foreach (cell, records)
	{
		CsRecord *record = lfirst(cell);
		CsPlanFile *file;

		if (record->source_id == CS_MANIFEST_SOURCE)
		{
			plan->manifest = record;
			if (plan->present)
				continue; /* rewritten last, see push_manifest.c */
		}
		else if (record->taken)
			continue;
		file = palloc0(sizeof(CsPlanFile));
		file->record = record;
		file->source_id = record->source_id;
		file->file_key = record->file_key;
		if (is_tracked(plan, file->source_id))
			plan_gone(plan, file, trash_left);
		else
			plan_untracked(plan, file);
		plan->files = lappend(plan->files, file);
	}
}

/* See plan.h. */
CsPlan *
cs_plan_dossier(CsPushSetting *setting, int dossiers_id, const char *dossier,
				bool by_hand, List **taken_folders, int64 *trash_left)
{
	CsPlan *plan = palloc0(sizeof(CsPlan));
	List *records;
	CsDossierRow *row;
	char *ignored;

	plan->setting = setting;
	plan->dossiers_id = dossiers_id;
	plan->dossier = pstrdup(dossier);
	plan->table = cs_dossier_table_open(dossiers_id, true);
	row = cs_dossier_read(plan->table, dossier, setting->template, setting->time_zone);
	plan->present = row != NULL && strcmp(row->tenant, setting->tenant) == 0;
	records = cs_records_read(setting->destination_id, dossiers_id, dossier);
	if (plan->present)
	{
		plan_folder(plan, row, taken_folders);
		plan_rows(plan, row, index_records(records), by_hand);
	}
	else if (read_folder_record(plan, &ignored))
	{
		plan->recorded = true;
		plan->wanted = ignored;
		plan->folder = plan->from_folder;
	}
	plan_records(plan, records, trash_left);
	if (plan->present)
	{
		plan_names(plan);
		plan_folder_move(plan);
	}
	return plan;
}

/* See plan.h. */
int64
cs_trash_left(int64 connection_id, TimestampTz now)
{
	Oid types[2] = {INT8OID, TIMESTAMPTZOID};
	Datum values[2] = {Int64GetDatum(connection_id), TimestampTzGetDatum(now)};

	cs_execute("SELECT pg_catalog.count(*) FROM cloudsync.trash_log "
			   "WHERE connection_id OPERATOR(pg_catalog.=) $1 "
			   "AND trashed_at OPERATOR(pg_catalog.>) ($2 OPERATOR(pg_catalog.-) interval '1 hour')",
			   2, types, values, NULL, true);
	return Max((int64) cs_max_trash - cs_get_int64(0, 1, 0), 0);
}
