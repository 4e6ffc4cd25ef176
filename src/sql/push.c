/*
 * push.c
 *	  C behind the SQL functions of pushing (sql/push.sql): checks of folders,
 *	  finding a dossier, the plan.
 *
 * Relies on engine/plan.c for the plan itself and on store/appdata.c for
 * reading the application's tables as their owner.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "cloudsync/appdata.h"
#include "cloudsync/compat.h"
#include "cloudsync/db.h"
#include "cloudsync/engine.h"
#include "cloudsync/path.h"
#include "cloudsync/plan.h"
#include "cloudsync/tags.h"
#include "cloudsync/worker.h"

PG_FUNCTION_INFO_V1(cloudsync_check_folder);
PG_FUNCTION_INFO_V1(cloudsync_folder_path);
PG_FUNCTION_INFO_V1(cloudsync_find_dossier);
PG_FUNCTION_INFO_V1(cloudsync_why_waiting);
PG_FUNCTION_INFO_V1(cloudsync_plan_dossiers);

Datum
cloudsync_check_folder(PG_FUNCTION_ARGS)
{
	SPI_connect();
	cs_tags_check(text_to_cstring(PG_GETARG_TEXT_PP(0)), InvalidOid);
	SPI_finish();
	PG_RETURN_VOID();
}

/* Each name as the provider takes it, so that what is set is what appears. */
static void
check_names(const CsProvider *provider, const char *path)
{
	char *rest = pstrdup(path);
	char *name;

	while ((name = strsep(&rest, "/")) != NULL)
	{
		char *possible;

		if (name[0] == '\0')
			continue;
		possible = cs_name_make(name, CS_NAME_FOLDER, &provider->names);
		if (strcmp(possible, name) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("folder name \"%s\" is not possible at provider \"%s\"",
							name, provider->name),
					 errhint("\"%s\" is.", possible)));
	}
}

Datum
cloudsync_folder_path(PG_FUNCTION_ARGS)
{
	char *provider_name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *given = text_to_cstring(PG_GETARG_TEXT_PP(1));
	const CsProvider *provider = cs_provider_by_name(provider_name);
	const char *why = NULL;
	char *path = cs_path_normalize(given, 0, &why);

	if (path == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("path \"%s\" %s", given, why),
				 errhint("A folder is named by its path from the account's root, such as 'Clients/2026'.")));
	if (provider != NULL)
		check_names(provider, path);
	PG_RETURN_TEXT_P(cstring_to_text(path));
}

/* {key in its own spelling, tenant}, or null. */
Datum
cloudsync_find_dossier(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	CsDossierTable *table;
	CsDossierRow *row;
	ArrayType *result = NULL;

	SPI_connect();
	table = cs_dossier_table_open(PG_GETARG_INT32(0), false);
	row = cs_dossier_read(table, text_to_cstring(PG_GETARG_TEXT_PP(1)),
						  cs_tags_parse("{dossier_key}"), NULL);
	if (row != NULL)
	{
		Datum values[2] = {CStringGetTextDatum(row->key),
						   CStringGetTextDatum(row->tenant)};
		MemoryContext old = MemoryContextSwitchTo(context);

		result = construct_array(values, 2, TEXTOID, -1, false, TYPALIGN_INT);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_ARRAYTYPE_P(result);
}

/* Why nobody is served now: suspended, or no worker in this database. */
Datum
cloudsync_why_waiting(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	const char *why;
	text *result = NULL;

	SPI_connect();
	why = cs_why_suspended();
	if (why == NULL && !cs_have_shmem() &&
		cs_execute("SELECT FROM pg_catalog.pg_stat_activity a "
				   "WHERE a.backend_type OPERATOR(pg_catalog.=) 'cloudsync scheduler' "
				   "AND a.datid OPERATOR(pg_catalog.=) (SELECT d.oid FROM pg_catalog.pg_database d "
				   "WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())",
				   0, NULL, NULL, NULL, true) == 0)
		why = "no worker runs in this database";
	if (why != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		result = cstring_to_text(why);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(result);
}

static const char *
action_name(CsAction action)
{
	switch (action)
	{
		case CS_ACTION_CREATE:
			return "create";
		case CS_ACTION_UPDATE:
			return "update";
		case CS_ACTION_MOVE:
			return "move";
		case CS_ACTION_TRASH:
		case CS_ACTION_WAIT_TRASH:
			return "trash";
		default:
			return "skip";
	}
}

static Datum
text_or_null(const char *text, bool *isnull)
{
	*isnull = text == NULL;
	return text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

/* The plan's files as rows of the result. */
static void
put_plan(const CsPlan *plan, ReturnSetInfo *result)
{
	ListCell *cell;

	foreach (cell, plan->files)
	{
		CsPlanFile *file = lfirst(cell);
		Datum values[6];
		bool nulls[6] = {false};
		const char *from = file->record && file->action != CS_ACTION_CREATE ? file->record->path : NULL;

		if (file->row == NULL && file->action == CS_ACTION_SKIP)
			continue; /* what went long ago */
		if (from != NULL && file->path != NULL && strcmp(from, file->path) == 0)
			from = NULL;
		values[0] = CStringGetTextDatum(plan->dossier);
		values[1] = CStringGetTextDatum(file->file_key);
		values[2] = CStringGetTextDatum(action_name(file->action));
		values[3] = text_or_null(file->path, &nulls[3]);
		values[4] = text_or_null(from, &nulls[4]);
		values[5] = Int64GetDatum(file->size);
		nulls[5] = file->size < 0;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/* cloudsync.plan(connection_id, dossiers_ids, dossiers) */
Datum
cloudsync_plan_dossiers(PG_FUNCTION_ARGS)
{
	int64 connection_id = PG_GETARG_INT64(0);
	Datum *ids;
	Datum *keys;
	int n_ids;
	int n_keys;
	int i;
	CsPushSetting *setting;
	List *taken;
	int64 trash_left;
	MemoryContext context;

	InitMaterializedSRF(fcinfo, 0);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), INT4OID, 4, true, TYPALIGN_INT, &ids,
					  NULL, &n_ids);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), TEXTOID, -1, false, TYPALIGN_INT, &keys,
					  NULL, &n_keys);
	if (n_ids != n_keys)
		elog(ERROR, "arrays of different length");
	SPI_connect();
	setting = cs_push_setting_read(connection_id);
	if (setting == NULL)
		elog(ERROR, "connection has no push settings");
	trash_left = cs_trash_left(connection_id, GetCurrentTimestamp());
	/* made here, so that it outlives each plan's context */
	taken = list_make1(pstrdup(""));
	context = AllocSetContextCreate(CurrentMemoryContext, "cloudsync plan",
									ALLOCSET_DEFAULT_SIZES);
	for (i = 0; i < n_ids; i++)
	{
		int before = list_length(taken);
		MemoryContext old = MemoryContextSwitchTo(context);
		CsPlan *plan = cs_plan_dossier(setting, DatumGetInt32(ids[i]),
									   TextDatumGetCString(keys[i]), true, &taken,
									   &trash_left);

		CHECK_FOR_INTERRUPTS();
		put_plan(plan, (ReturnSetInfo *) fcinfo->resultinfo);
		MemoryContextSwitchTo(old);
		if (list_length(taken) > before)
			lfirst(list_tail(taken)) = pstrdup(llast(taken));
		MemoryContextReset(context);
	}
	SPI_finish();
	return (Datum) 0;
}
