/*
 * appdata.c
 *	  The application's tables: dossiers and lists of files (appdata.h). Names
 *	  are looked up by column number each time, so that renames are followed.
 *
 * Relies on store/db.c for the owner's context and on store/tags.c for the SQL
 * of tags.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "cloudsync/appdata.h"
#include "cloudsync/appcontent.h"
#include "cloudsync/db.h"
#include "cloudsync/limit.h"

static Oid
relation_owner(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("tracked table with OID %u does not exist any more", relid),
				 errhint("End its tracking: SELECT cloudsync_untrack(%u);",
						 relid)));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

static char *
relation_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

/* The column's present name, quoted; an error if it was dropped. */
static char *
column_name(Oid relid, AttrNumber column, const char *was)
{
	char *name = column > 0 ? get_attname(relid, column, true) : NULL;

	/* a dropped column has a name by number, and no number by name */
	if (name == NULL || get_attnum(relid, name) != column)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of tracked table %s does not exist any more",
						was ? was : "", relation_name(relid)),
				 errhint("Track it again: SELECT cloudsync_untrack(dossiers); "
						 "SELECT cloudsync_track(dossiers, files);")));
	return pstrdup(quote_identifier(name));
}

/*
 * "alias.column = $1", $1 being text: with the column type's own operator,
 * whatever the search path, so that its index serves.
 */
static char *
column_is(Oid relid, AttrNumber column, const char *alias, const char *name)
{
	Oid type = getBaseType(get_atttype(relid, column));
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_EQ_OPR);
	HeapTuple tuple;
	char *operator;

	if (!OidIsValid(entry->eq_opr))
		return psprintf("%s.%s::pg_catalog.text OPERATOR(pg_catalog.=) $1",
						alias, name);
	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(entry->eq_opr));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", entry->eq_opr);
	operator= psprintf(
		"OPERATOR(%s.%s)",
		quote_identifier(get_namespace_name(((Form_pg_operator) GETSTRUCT(tuple))->oprnamespace)),
		NameStr(((Form_pg_operator) GETSTRUCT(tuple))->oprname));
	ReleaseSysCache(tuple);
	return psprintf("%s.%s %s $1::%s", alias, name, operator,
					format_type_extended(type, -1, FORMAT_TYPE_FORCE_QUALIFY));
}

/* Copies what of the row of the last result describes a files table. */
static CsSource *
source_from_row(uint64 row)
{
	CsSource *source = palloc0(sizeof(CsSource));
	AttrNumber key = (AttrNumber) cs_get_int64(row, 3, 0);
	AttrNumber dossier = (AttrNumber) cs_get_int64(row, 5, 0);

	source->source_id = (int) cs_get_int64(row, 1, 0);
	source->files = (Oid) cs_get_int64(row, 2, 0);
	source->owner = relation_owner(source->files);
	source->relation = relation_name(source->files);
	source->key = column_name(source->files, key, cs_get_text(row, 4));
	source->of_key = column_is(source->files, key, "f", source->key);
	source->of_dossier =
		column_is(source->files, dossier, "f",
				  column_name(source->files, dossier, cs_get_text(row, 6)));
	source->name = column_name(source->files, (AttrNumber) cs_get_int64(row, 7, 0),
							   cs_get_text(row, 8));
	source->content = column_name(source->files, (AttrNumber) cs_get_int64(row, 9, 0),
								  cs_get_text(row, 10));
	source->kind = cs_get_text(row, 11)[0];
	source->connection = cs_get_text(row, 12);
	source->content_sql = psprintf("SELECT f.%s FROM %s f WHERE %s", source->content,
								   source->relation, source->of_key);
	return source;
}

static List *
read_sources(int dossiers_id)
{
	Oid types[1] = {INT4OID};
	Datum values[1] = {Int32GetDatum(dossiers_id)};
	List *sources = NIL;
	uint64 n;
	uint64 i;

	n = cs_execute("SELECT source_id, files, key_column, key_name, dossier_column, dossier_name, "
				   "name_column, name_name, content_column, content_name, content_kind, content_connection "
				   "FROM cloudsync.source WHERE dossiers_id OPERATOR(pg_catalog.=) $1 "
				   "ORDER BY source_id",
				   1, types, values, NULL, true);
	for (i = 0; i < n; i++)
		sources = lappend(sources, source_from_row(i));
	return sources;
}

static char *
optional_column(Oid relid, uint64 row, int number, int name, AttrNumber *column)
{
	AttrNumber attnum = (AttrNumber) cs_get_int64(row, number, 0);

	if (column != NULL)
		*column = attnum;
	return attnum == 0 ? NULL : column_name(relid, attnum, cs_get_text(row, name));
}

/* See appdata.h. */
CsDossierTable *
cs_dossier_table_open(int dossiers_id, bool complete)
{
	Oid types[1] = {INT4OID};
	Datum values[1] = {Int32GetDatum(dossiers_id)};
	CsDossierTable *table = palloc0(sizeof(CsDossierTable));
	Oid relid;

	if (cs_execute("SELECT dossiers, key_column, key_name, label_column, label_name, "
				   "tenant_column, tenant_name, procedure_column, procedure_name "
				   "FROM cloudsync.dossier_table WHERE dossiers_id OPERATOR(pg_catalog.=) $1",
				   1, types, values, NULL, true) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the dossier's table is not tracked any more"),
				 errhint("Track it again: SELECT cloudsync_track(dossiers, files);")));
	relid = (Oid) cs_get_int64(0, 1, 0);
	table->dossiers_id = dossiers_id;
	table->owner = relation_owner(relid);
	table->relation = relation_name(relid);
	table->tags.dossiers = relid;
	table->tags.key = (AttrNumber) cs_get_int64(0, 2, 0);
	table->key = column_name(relid, table->tags.key, cs_get_text(0, 3));
	table->of_key = column_is(relid, table->tags.key, "d", table->key);
	table->tenant = optional_column(relid, 0, 6, 7, NULL);
	if (!complete)
		return table;
	/* a label that was dropped matters only to a template that has it */
	table->tags.label = (AttrNumber) cs_get_int64(0, 4, 0);
	table->procedure = optional_column(relid, 0, 8, 9, &table->tags.procedure);
	table->sources = read_sources(dossiers_id);
	return table;
}

/*
 * Runs a statement with one text parameter as the owner, in the snapshot that
 * is active. The caller leaves the owner's context.
 */
static uint64
execute_as_owner(const char *sql, const char *key)
{
	Oid types[1] = {TEXTOID};
	Datum values[1] = {CStringGetTextDatum(key)};
	MemoryContext context = CurrentMemoryContext;
	int ret = SPI_execute_with_args(sql, 1, types, values, NULL, true, 0);

	MemoryContextSwitchTo(context); /* SPI leaves its own current */
	if (ret != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(ret));
	return SPI_processed;
}

static char **
row_tags(const CsTemplate *template, uint64 row, int column)
{
	bool isnull;
	Datum array = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
								column, &isnull);

	return cs_tags_values(template, array, isnull);
}

/* A read within the limit of time: what of, and what came of it. */
typedef struct Read
{
	CsDossierTable *table;
	CsSource *source;
	const char *key;
	const CsTemplate *template;
	const char *time_zone;
	CsDossierRow *row;
	List *files;
} Read;

static void
read_dossier(void *arg)
{
	Read *read = arg;
	CsDossierTable *table = read->table;
	const CsTemplate *template = read->template;
	CsOwnerContext owner;
	char *sql;

	cs_enter_owner(&owner, table->owner, read->time_zone);
	sql = psprintf("SELECT %s%s::pg_catalog.text, %s%s::pg_catalog.text, %s, "
				   "d.%s::pg_catalog.text FROM %s d WHERE %s",
				   table->tenant ? "d." : "", table->tenant ? table->tenant : "NULL",
				   table->procedure ? "d." : "", table->procedure ? table->procedure : "NULL",
				   cs_tags_dossier_expr(template, &table->tags, "d"),
				   table->key, table->relation, table->of_key);
	if (execute_as_owner(sql, read->key) > 0)
	{
		CsDossierRow *row = palloc0(sizeof(CsDossierRow));
		char *tenant = cs_get_text(0, 1);

		read->row = row;
		row->tenant = tenant ? tenant : pstrdup("");
		row->procedure = cs_get_text(0, 2);
		row->tags = row_tags(template, 0, 3);
		row->key = cs_get_text(0, 4);
	}
	cs_leave_owner(&owner);
}

/* See appdata.h. */
CsDossierRow *
cs_dossier_read(CsDossierTable *table, const char *key,
				const CsTemplate *template, const char *time_zone)
{
	Read read = {table, NULL, key, template, time_zone, NULL, NIL};

	cs_limited_read(table->relation, read_dossier, &read);
	return read.row;
}

/* The files of one table, appended to the list. */
static void
read_source(void *arg)
{
	Read *read = arg;
	CsSource *source = read->source;
	const CsTemplate *template = read->template;
	CsOwnerContext owner;
	SPITupleTable *result;
	char *sql;
	uint64 n;
	uint64 i;

	cs_enter_owner(&owner, source->owner, read->time_zone);
	sql = psprintf("SELECT f.%s::pg_catalog.text, f.%s::pg_catalog.text, %s, f.%s "
				   "FROM %s f WHERE %s ORDER BY f.%s",
				   source->key, source->name,
				   cs_tags_file_expr(template, source->files, "f"),
				   source->content, source->relation, source->of_dossier, source->key);
	n = execute_as_owner(sql, read->key);
	result = SPI_tuptable;
	for (i = 0; i < n; i++)
	{
		CsFileRow *file = palloc0(sizeof(CsFileRow));
		bool isnull;
		Datum content;

		SPI_tuptable = result;
		file->source = source;
		file->key = cs_get_text(i, 1);
		file->name = cs_get_text(i, 2);
		file->tags = row_tags(template, i, 3);
		content = SPI_getbinval(result->vals[i], result->tupdesc, 4, &isnull);
		file->size = -1;
		if (!isnull)
			file->version = cs_content_version(source->kind, content, &file->size);
		if (file->key != NULL)
			read->files = lappend(read->files, file);
	}
	SPI_freetuptable(result);
	cs_leave_owner(&owner);
}

/* See appdata.h. */
List *
cs_files_read(CsDossierTable *table, const char *key,
			  const CsTemplate *template, const char *time_zone)
{
	Read read = {table, NULL, key, template, time_zone, NULL, NIL};
	ListCell *cell;

	foreach (cell, table->sources)
	{
		read.source = lfirst(cell);
		cs_limited_read(read.source->relation, read_source, &read);
	}
	return read.files;
}
