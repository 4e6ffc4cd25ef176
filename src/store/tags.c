/*
 * tags.c
 *	  A template's tags against the application's tables: whether they are
 *	  there, the SQL expressions that read their values, and the values (P10).
 *
 * Looks at the catalogs as they are now. What is read by the expressions is
 * read by whoever runs them, who is the tables' owner (S3).
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "cloudsync/db.h"
#include "cloudsync/tags.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "parser/scansup.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/rls.h"
#include "utils/syscache.h"

/*
 * Of a value this many characters are read: more than any name takes, however
 * much there is.
 */
#define VALUE_CHARACTERS "1000"
#define COLUMNS_SHOWN 40

/* Text of the server in UTF-8; where the server does not know its encoding,
 * as it is: names are made valid later. */
static char *
utf8_from_server(const char *text)
{
	char *utf8;

	if (GetDatabaseEncoding() == PG_SQL_ASCII)
		return pstrdup(text);
	utf8 = pg_server_to_any(text, (int) strlen(text), PG_UTF8);
	return utf8 == text ? pstrdup(text) : utf8;
}

static char *
server_from_utf8(const char *utf8)
{
	if (GetDatabaseEncoding() == PG_SQL_ASCII)
		return pstrdup(utf8);
	return pg_any_to_server(utf8, (int) strlen(utf8), PG_UTF8);
}

CsTemplate *
cs_tags_parse(const char *folder)
{
	CsTemplateError error = {0};
	CsTemplate *template = cs_template_parse(utf8_from_server(folder), &error);

	if (template == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("folder template \"%s\" is not valid: %s",
							   folder, error.message),
						errdetail("At character %d.", error.position),
						errhint("%s", error.hint)));
	return template;
}

/* The table's name as people write it, for messages. */
static char *
table_name(Oid relid)
{
	char *name = get_rel_name(relid);

	if (name == NULL)
		return psprintf("%u", relid);
	return quote_qualified_identifier(
		get_namespace_name(get_rel_namespace(relid)), name);
}

/* A column's name as a tag is written: in quotes where it must be. */
static char *
tag_name(const char *column)
{
	static const char *const special[] = {"dossier_key", "dossier_label",
										  "procedure"};
	StringInfoData buf;
	bool quoted = strpbrk(column, "{}|:.\"/") != NULL || column[0] == ' ' ||
				  column[strlen(column) - 1] == ' ';

	for (size_t i = 0; i < lengthof(special); i++)
		quoted = quoted || pg_strcasecmp(column, special[i]) == 0;
	if (!quoted)
		return pstrdup(column);
	initStringInfo(&buf);
	appendStringInfoChar(&buf, '"');
	for (; *column != '\0'; column++)
	{
		if (*column == '"')
			appendStringInfoChar(&buf, '"');
		appendStringInfoChar(&buf, *column);
	}
	appendStringInfoChar(&buf, '"');
	return buf.data;
}

/* "{a}, {b}, {c}": the columns of a table as tags, for a HINT. */
static char *
known_columns(Oid relid, const char *prefix)
{
	StringInfoData buf;
	Relation rel = table_open(relid, AccessShareLock);
	int shown = 0;

	initStringInfo(&buf);
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		if (att->attisdropped)
			continue;
		if (shown == COLUMNS_SHOWN)
		{
			appendStringInfoString(&buf, ", ...");
			break;
		}
		appendStringInfo(&buf, "%s{%s%s}", shown++ > 0 ? ", " : "", prefix,
						 tag_name(NameStr(att->attname)));
	}
	table_close(rel, AccessShareLock);
	return buf.data;
}

/* A column by number: not one of the system's, and not dropped. */
static bool
is_column(Oid relid, AttrNumber attnum)
{
	HeapTuple tuple;
	bool there;

	if (attnum <= 0)
		return false;
	tuple =
		SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(attnum));
	there = HeapTupleIsValid(tuple) &&
			!((Form_pg_attribute) GETSTRUCT(tuple))->attisdropped;
	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return there;
}

/*
 * A column by the name in a tag: that very name, or, without quotes, as SQL
 * folds it. InvalidAttrNumber if there is none.
 */
static AttrNumber
find_column(Oid relid, const char *utf8, bool quoted)
{
	char *name = server_from_utf8(utf8);
	AttrNumber attnum;

	if (strlen(name) >= NAMEDATALEN)
		return InvalidAttrNumber;
	attnum = get_attnum(relid, name);
	if (!is_column(relid, attnum) && !quoted)
		attnum = get_attnum(
			relid, downcase_identifier(name, (int) strlen(name), false, false));
	return is_column(relid, attnum) ? attnum : InvalidAttrNumber;
}

/* The value of alias.column as text, by the tag's format. */
static char *
value_expr(const CsTag *tag, Oid relid, AttrNumber attnum, const char *alias)
{
	char *name = get_attname(relid, attnum, false);
	char *column = psprintf("%s.%s", alias, quote_identifier(name));
	const char *type = NULL;

	if (tag->format == NULL)
		return psprintf(
			"pg_catalog.\"left\"(%s::pg_catalog.text, " VALUE_CHARACTERS ")",
			column);
	switch (getBaseType(get_atttype(relid, attnum)))
	{
		case TIMESTAMPTZOID:
			type = "timestamptz";
			break;
		case TIMESTAMPOID:
		case DATEOID:
			type = "timestamp";
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("tag \"%s\" of the folder template has a format, "
							"but column \"%s\" is no date",
							server_from_utf8(tag->text), name),
					 errdetail("The column of table %s is of type %s.",
							   table_name(relid),
							   format_type_be(get_atttype(relid, attnum))),
					 errhint("A format is possible for date, timestamp and "
							 "timestamp with time zone: leave it out.")));
	}
	return psprintf("pg_catalog.\"left\"(pg_catalog.to_char(%s::pg_catalog.%s, "
					"%s::pg_catalog.text), " VALUE_CHARACTERS ")",
					column, type,
					quote_literal_cstr(server_from_utf8(tag->format)));
}

/* Raises that a tag's column is not there. */
static void
unknown_column(const CsTag *tag, Oid relid, const char *column,
			   const char *prefix, const char *more)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
					errmsg("tag \"%s\" of the folder template is unknown",
						   server_from_utf8(tag->text)),
					errdetail("Table %s has no column \"%s\".",
							  table_name(relid), server_from_utf8(column)),
					errhint("Known tags are %s%s.", more,
							known_columns(relid, prefix))));
}

/* What a foreign key of one column refers to. */
typedef struct Reference
{
	Oid table;
	AttrNumber key;
	Oid equals;
} Reference;

/* The single-column foreign keys of a column. */
static List *
references_of(Oid relid, AttrNumber attnum)
{
	Relation rel = table_open(relid, AccessShareLock);
	List *found = NIL;
	ListCell *cell;

	foreach (cell, RelationGetFKeyList(rel))
	{
		ForeignKeyCacheInfo *fk = lfirst(cell);
		Reference *reference;

		if (fk->nkeys != 1 || fk->conkey[0] != attnum)
			continue;
		reference = palloc(sizeof(Reference));
		reference->table = fk->confrelid;
		reference->key = fk->confkey[0];
		reference->equals = fk->conpfeqop[0];
		found = lappend(found, reference);
	}
	table_close(rel, AccessShareLock);
	return found;
}

/* An operator by its full name, as OPERATOR() takes it. */
static char *
operator_name(Oid operator)
{
	HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	char *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	name = psprintf("%s.%s",
					quote_identifier(get_namespace_name(form->oprnamespace)),
					NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return name;
}

static Oid
table_owner(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * Refuses a reference that the tables' owner could not follow, now and not
 * when the first dossier is pushed.
 */
static void
check_readable(const CsTag *tag, Oid dossiers, const Reference *reference,
			   AttrNumber column)
{
	Oid owner = table_owner(dossiers);
	const char *reason = NULL;
	const char *hint = "Grant SELECT to that role, or leave the tag out.";

	if (pg_class_aclcheck(reference->table, owner, ACL_SELECT) != ACLCHECK_OK &&
		(pg_attribute_aclcheck(reference->table, reference->key, owner,
							   ACL_SELECT) != ACLCHECK_OK ||
		 pg_attribute_aclcheck(reference->table, column, owner, ACL_SELECT) !=
			 ACLCHECK_OK))
		reason = "may not read it";
	else if (check_enable_rls(reference->table, owner, true) == RLS_ENABLED)
	{
		reason = "sees only some rows of it by its policies";
		hint = "Give that role BYPASSRLS, or leave the tag out.";
	}
	if (reason != NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("tag \"%s\" of the folder template refers to table %s, "
					"which cannot be read",
					server_from_utf8(tag->text), table_name(reference->table)),
			 errdetail("Role \"%s\", the owner of table %s, %s.",
					   GetUserNameFromId(owner, false), table_name(dossiers),
					   reason),
			 errhint("%s", hint)));
}

/* The value of a column of the row that the dossier's column refers to. */
static char *
reference_expr(const CsTag *tag, Oid dossiers, const char *alias)
{
	AttrNumber fk_attnum =
		find_column(dossiers, tag->fk_column, tag->fk_column_quoted);
	List *found;
	ListCell *cell;

	if (fk_attnum == InvalidAttrNumber)
		unknown_column(tag, dossiers, tag->fk_column, "", "");
	found = references_of(dossiers, fk_attnum);
	if (found == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("tag \"%s\" of the folder template refers to no table",
						server_from_utf8(tag->text)),
				 errdetail("Column \"%s\" of table %s has no foreign key of "
						   "its own.",
						   get_attname(dossiers, fk_attnum, false),
						   table_name(dossiers)),
				 errhint("Add a foreign key of that column alone, or use a "
						 "column of the dossier; a column of the file is "
						 "{file.column}.")));
	foreach (cell, found)
	{
		const Reference *r = lfirst(cell);
		AttrNumber attnum =
			find_column(r->table, tag->column, tag->column_quoted);

		if (attnum == InvalidAttrNumber)
			continue;
		check_readable(tag, dossiers, r, attnum);
		return psprintf(
			"(SELECT %s FROM %s cs_r WHERE cs_r.%s OPERATOR(%s) %s.%s)",
			value_expr(tag, r->table, attnum, "cs_r"), table_name(r->table),
			quote_identifier(get_attname(r->table, r->key, false)),
			operator_name(r->equals), alias,
			quote_identifier(get_attname(dossiers, fk_attnum, false)));
	}
	unknown_column(tag, ((const Reference *) linitial(found))->table,
				   tag->column, psprintf("%s.", tag_name(tag->fk_column)), "");
	return NULL; /* not reached */
}

/* The column of a tag that stands for what cloudsync_track was told. */
static AttrNumber
tracked_column(const CsTag *tag, const CsTagTable *table)
{
	AttrNumber attnum = table->key;

	if (tag->kind == CS_TAG_LABEL && table->label != 0)
		attnum = table->label;
	else if (tag->kind == CS_TAG_PROCEDURE)
		attnum = table->procedure;
	if (attnum == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("tag \"%s\" of the folder template is unknown",
							   server_from_utf8(tag->text)),
						errdetail("Table %s is tracked without a column of "
								  "procedures.",
								  table_name(table->dossiers)),
						errhint("Name it: SELECT cloudsync_track(dossiers, "
								"files, procedure => 'column');")));
	if (!is_column(table->dossiers, attnum))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("the column of tag \"%s\" of the folder template was "
						"dropped",
						server_from_utf8(tag->text)),
				 errdetail("It was column %d of table %s.", attnum,
						   table_name(table->dossiers)),
				 errhint("Track the table again, naming another column.")));
	return attnum;
}

static char *
dossier_value(const CsTag *tag, const CsTagTable *table, const char *alias)
{
	AttrNumber attnum;

	switch (tag->kind)
	{
		case CS_TAG_FILE:
			return pstrdup("NULL");
		case CS_TAG_REFERENCE:
			return reference_expr(tag, table->dossiers, alias);
		case CS_TAG_COLUMN:
			attnum =
				find_column(table->dossiers, tag->column, tag->column_quoted);
			if (attnum == InvalidAttrNumber)
				unknown_column(tag, table->dossiers, tag->column, "",
							   table->procedure != 0
								   ? "{dossier_key}, {dossier_label}, "
									 "{procedure}, "
								   : "{dossier_key}, {dossier_label}, ");
			break;
		default:
			attnum = tracked_column(tag, table);
			break;
	}
	return value_expr(tag, table->dossiers, attnum, alias);
}

static char *
file_value(const CsTag *tag, Oid files, const char *alias)
{
	AttrNumber attnum;

	if (tag->kind != CS_TAG_FILE)
		return pstrdup("NULL");
	attnum = find_column(files, tag->column, tag->column_quoted);
	if (attnum == InvalidAttrNumber)
		unknown_column(tag, files, tag->column, "file.", "");
	return value_expr(tag, files, attnum, alias);
}

/* ARRAY[...]::text[] of all tags, of a dossier if table is given, or a file. */
static char *
array_expr(const CsTemplate *template, const CsTagTable *table, Oid files,
		   const char *alias)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "ARRAY[");
	for (int i = 0; i < template->n_tags; i++)
	{
		const CsTag *tag = &template->tags[i];

		if (i > 0)
			appendStringInfoString(&buf, ", ");
		appendStringInfoString(&buf, table != NULL
										 ? dossier_value(tag, table, alias)
										 : file_value(tag, files, alias));
	}
	appendStringInfoString(&buf, "]::pg_catalog.text[]");
	return buf.data;
}

char *
cs_tags_dossier_expr(const CsTemplate *template, const CsTagTable *table,
					 const char *alias)
{
	return array_expr(template, table, InvalidOid, alias);
}

char *
cs_tags_file_expr(const CsTemplate *template, Oid files, const char *alias)
{
	return array_expr(template, NULL, files, alias);
}

char **
cs_tags_values(const CsTemplate *template, Datum array, bool isnull)
{
	char **values = palloc0(sizeof(char *) * (Size) (template->n_tags + 1));
	Datum *elements;
	bool *nulls;
	int n;

	if (isnull)
		return values;
	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false,
					  TYPALIGN_INT, &elements, &nulls, &n);
	if (n != template->n_tags)
		elog(ERROR, "%d values for %d tags", n, template->n_tags);
	for (int i = 0; i < n; i++)
	{
		if (!nulls[i])
			values[i] = utf8_from_server(TextDatumGetCString(elements[i]));
	}
	return values;
}

/* Has the template a tag that only a table can tell whether it is known? */
static bool
has_columns(const CsTemplate *template)
{
	for (int i = 0; i < template->n_tags; i++)
	{
		if (template->tags[i].column != NULL)
			return true;
	}
	return false;
}

void
cs_tags_check(const char *folder, Oid dossiers)
{
	CsTemplate *template = cs_tags_parse(folder);
	Oid types[] = {OIDOID};
	Datum values[] = {ObjectIdGetDatum(dossiers)};
	uint64 rows;

	rows = cs_execute(
		"SELECT d.dossiers::pg_catalog.oid, d.key_column, d.label_column, "
		"d.procedure_column, s.files::pg_catalog.oid "
		"FROM cloudsync.dossier_table d "
		"LEFT JOIN cloudsync.source s USING (dossiers_id) "
		"WHERE $1 OPERATOR(pg_catalog.=) 0::pg_catalog.oid "
		"OR d.dossiers OPERATOR(pg_catalog.=) $1 "
		"ORDER BY d.dossiers_id, s.source_id",
		1, types, values, NULL, true);
	for (uint64 i = 0; i < rows; i++)
	{
		CsTagTable table = {
			.dossiers = (Oid) cs_get_int64(i, 1, 0),
			.key = (AttrNumber) cs_get_int64(i, 2, 0),
			.label = (AttrNumber) cs_get_int64(i, 3, 0),
			.procedure = (AttrNumber) cs_get_int64(i, 4, 0),
		};
		Oid files = (Oid) cs_get_int64(i, 5, InvalidOid);

		/* a table that was dropped is an error of its own, noted there */
		if (get_rel_name(table.dossiers) == NULL)
			continue;
		(void) cs_tags_dossier_expr(template, &table, "d");
		if (OidIsValid(files) && get_rel_name(files) != NULL)
			(void) cs_tags_file_expr(template, files, "f");
	}
	if (rows == 0 && has_columns(template))
		ereport(NOTICE, (errmsg("no table is tracked yet: the columns of "
								"folder template \"%s\" are not checked",
								folder)));
}
