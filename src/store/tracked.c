/*
 * tracked.c
 *	  Tracked tables of dossiers as SQL text (include/cloudsync/change.h), for
 *	  those who read them by key. Relies on the catalogs and
 *	  cloudsync.dossier_table.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "cloudsync/change.h"
#include "cloudsync/db.h"

/*
 * "OPERATOR(schema.name)". By name alone, a type's own operator outside
 * pg_catalog would not be found on the pinned search path, and another taken.
 */
static const char *
operator_sql(Oid opr)
{
	HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(opr));
	Form_pg_operator form;
	char *result;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
						errmsg("the key's type has no order")));
	form = (Form_pg_operator) GETSTRUCT(tuple);
	result = psprintf("OPERATOR(%s.%s)",
					  quote_identifier(get_namespace_name(form->oprnamespace)),
					  NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return result;
}

static const char *
column_sql(Oid relid, AttrNumber number, const char *last_name)
{
	const char *name = get_attname(relid, number, true);

	/* a dropped column keeps its number, under a name that is not found */
	if (name == NULL || get_attnum(relid, name) != number)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("tracked column \"%s\" is gone", last_name)));
	return quote_identifier(name);
}

static void
read_catalogs(CsTracked *tracked, Oid relid, AttrNumber key, AttrNumber tenant,
			  const char *key_name, const char *tenant_name)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	TypeCacheEntry *type;
	Oid type_oid;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("tracked table is gone")));
	form = (Form_pg_class) GETSTRUCT(tuple);
	tracked->owner = form->relowner;
	tracked->table = quote_qualified_identifier(
		get_namespace_name(form->relnamespace), NameStr(form->relname));
	ReleaseSysCache(tuple);

	tracked->key = column_sql(relid, key, key_name);
	if (tenant_name != NULL)
		tracked->tenant = column_sql(relid, tenant, tenant_name);
	type_oid = getBaseType(get_atttype(relid, key));
	/* a type with its length given, or not: character alone is character(1) */
	tracked->key_type = format_type_extended(
		type_oid, -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
	type = lookup_type_cache(type_oid, TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR);
	tracked->key_equal = operator_sql(type->eq_opr);
	tracked->key_less = operator_sql(type->lt_opr);
}

/* See change.h. */
CsTracked *
cs_tracked_read(int32 dossiers_id)
{
	static const char *const sql =
		"SELECT dossiers::pg_catalog.oid, key_column, key_name, "
		"tenant_column, tenant_name FROM cloudsync.dossier_table "
		"WHERE dossiers_id OPERATOR(pg_catalog.=) $1";
	Oid types[1] = {INT4OID};
	Datum values[1] = {Int32GetDatum(dossiers_id)};
	CsTracked *tracked;

	if (cs_execute(sql, 1, types, values, NULL, true) == 0)
		return NULL;
	tracked = palloc0(sizeof(CsTracked));
	tracked->dossiers_id = dossiers_id;
	read_catalogs(tracked, (Oid) cs_get_int64(0, 1, 0),
				  (AttrNumber) cs_get_int64(0, 2, 0),
				  (AttrNumber) cs_get_int64(0, 4, 0), cs_get_text(0, 3),
				  cs_get_text(0, 5));
	return tracked;
}
