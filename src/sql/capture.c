/*
 * capture.c
 *	  The trigger on tracked tables, cloudsync.capture_change(): an insert,
 *	  update, delete or truncate of a dossier or a file becomes a note in the
 *	  change log (P1). Relies on store/change.c for the log.
 *
 * The trigger's arguments are the numbers dossiers_id and, on a files table,
 * source_id; which columns hold the keys is read from cloudsync.dossier_table
 * and cloudsync.source once a session and table, and again when the table
 * changes. It runs in the writer's session, whoever that is, with or without a
 * client (logical apply), at any isolation level.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "cloudsync/change.h"
#include "cloudsync/compat.h"
#include "cloudsync/settings.h"
#include "cloudsync/tenant.h"

PG_FUNCTION_INFO_V1(cloudsync_capture_change);

/* How a column's value becomes the text that value::text gives. */
typedef enum TextVia
{
	VIA_INTEGER, /* of this size, which needs no function */
	VIA_BIGINT,
	VIA_TEXT,  /* it is text already */
	VIA_CAST,  /* a cast function */
	VIA_OUTPUT /* the type's output function */
} TextVia;

/* Room for the longest integer's text, -9223372036854775808, and its end. */
#define INTEGER_TEXT 21

typedef struct Column
{
	AttrNumber attnum; /* 0: there is none */
	TextVia via;
	Oid function;
	FmgrInfo info;	  /* of the function, if it is the server's own */
	bool by_settings; /* the text depends on DateStyle and the like */
} Column;

typedef struct CaptureKey
{
	Oid relid;
	Oid trigger;
} CaptureKey;

/* What a trigger on one table (or partition) has to know. */
typedef struct Capture
{
	CaptureKey key;
	int32 dossiers_id;
	int32 source_id;
	bool valid;
	const char *problem; /* why nothing can be noted; NULL: it can */
	bool related;		 /* the table is the tracked one, or part of it */
	bool warned;
	bool has_tenant; /* the dossiers table has a tenant column */
	Column dossier;
	Column file;
	Column tenant;
} Capture;

static HTAB *captures = NULL;
static Capture *last_used = NULL;
static uint64 invalidations = 0;

/* A table changed: look its columns up again. */
static void
at_relation_change(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS scan;
	Capture *capture;

	invalidations++;
	hash_seq_init(&scan, captures);
	while ((capture = hash_seq_search(&scan)) != NULL)
		if (relid == InvalidOid || capture->key.relid == relid)
			capture->valid = false;
}

static bool
depends_on_settings(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case CHAROID:
		case NAMEOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case NUMERICOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case UUIDOID:
			return false;
		default:
			return get_typtype(type) != TYPTYPE_ENUM;
	}
}

/*
 * What a function of the server's own looks up is kept; another's may be of a
 * language that keeps its own state there, which an error would leave behind.
 */
static void
keep_function(Column *column)
{
	if (column->function >= FirstGenbkiObjectId)
		column->info.fn_oid = InvalidOid;
	else if (column->info.fn_oid != column->function)
		fmgr_info_cxt(column->function, &column->info, TopMemoryContext);
}

static void
find_text_form(Column *column, Oid type)
{
	bool varlena;

	type = getBaseType(type);
	if (type == INT4OID || type == INT8OID)
	{
		column->via = type == INT4OID ? VIA_INTEGER : VIA_BIGINT;
		column->by_settings = false;
		return;
	}
	column->by_settings = depends_on_settings(type);
	switch (find_coercion_pathway(TEXTOID, type, COERCION_EXPLICIT,
								  &column->function))
	{
		case COERCION_PATH_RELABELTYPE:
			column->via = VIA_TEXT;
			return;
		case COERCION_PATH_FUNC:
			if (get_func_nargs(column->function) == 1)
			{
				column->via = VIA_CAST;
				keep_function(column);
				return;
			}
			break;
		default:
			break;
	}
	column->via = VIA_OUTPUT;
	getTypeOutputInfo(type, &column->function, &varlena);
	keep_function(column);
}

/*
 * Finds a tracked table's column in rel, which is that table or a partition of
 * it (where the number may be another, but the name is the same). by_number:
 * the stored number is good; else the name is (a restored copy).
 */
static bool
find_column(Column *column, Relation rel, Oid tracked, bool by_number,
			AttrNumber number, const char *name)
{
	AttrNumber attnum;

	if (by_number)
	{
		name = get_attname(tracked, number, true);
		if (name == NULL)
			return false;
	}
	attnum = get_attnum(RelationGetRelid(rel), name);
	if (attnum <= 0)
		return false;
	column->attnum = attnum;
	find_text_form(column,
				   TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atttypid);
	return true;
}

static bool
is_part_of(Relation rel, Oid tracked)
{
	if (RelationGetRelid(rel) == tracked)
		return true;
	return rel->rd_rel->relispartition &&
		   list_member_oid(get_partition_ancestors(RelationGetRelid(rel)),
						   tracked);
}

static const char *const columns_sql =
	"SELECT d.resolved_in OPERATOR(pg_catalog.=) i.installation, "
	"d.dossiers::pg_catalog.oid, d.key_column, d.key_name, "
	"d.tenant_column, d.tenant_name, "
	"s.files::pg_catalog.oid, s.key_column, s.key_name, "
	"s.dossier_column, s.dossier_name, "
	"s.resolved_in OPERATOR(pg_catalog.=) i.installation "
	"FROM cloudsync.dossier_table d CROSS JOIN cloudsync.installation i "
	"LEFT JOIN cloudsync.source s ON s.source_id OPERATOR(pg_catalog.=) $2 "
	"AND s.dossiers_id OPERATOR(pg_catalog.=) d.dossiers_id "
	"WHERE d.dossiers_id OPERATOR(pg_catalog.=) $1";

static Datum
field(int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number,
						 isnull);
}

static Oid
field_oid(int number)
{
	bool isnull;
	Datum value = field(number, &isnull);

	return isnull ? InvalidOid : DatumGetObjectId(value);
}

/* The column whose number and name are fields `at` and `at` + 1. */
static bool
field_column(Column *column, int at, Relation rel, Oid tracked, int resolved)
{
	bool isnull;
	bool by_number = DatumGetBool(field(resolved, &isnull));
	AttrNumber number;

	by_number = by_number && !isnull;
	number = DatumGetInt16(field(at, &isnull));
	if (isnull)
		return false;
	return find_column(
		column, rel, tracked, by_number, number,
		SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, at + 1));
}

/* Fills the capture from the row that columns_sql found, or says why not. */
static void
resolve(Capture *capture, Relation rel)
{
	bool isnull;
	Oid tracked = field_oid(capture->source_id == 0 ? 2 : 7);

	if (!OidIsValid(tracked) || !is_part_of(rel, tracked))
	{
		capture->problem = "The table is not the tracked one.";
		return;
	}
	capture->related = true;
	(void) field(5, &isnull);
	capture->has_tenant = !isnull;
	if (capture->source_id == 0)
	{
		if (!field_column(&capture->dossier, 3, rel, tracked, 1) ||
			(capture->has_tenant &&
			 !field_column(&capture->tenant, 5, rel, tracked, 1)))
			capture->problem = "A column that it was tracked by is gone.";
	}
	else if (!field_column(&capture->file, 8, rel, tracked, 12) ||
			 !field_column(&capture->dossier, 10, rel, tracked, 12))
		capture->problem = "A column that it was tracked by is gone.";
}

static Oid
relation_owner(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cloudsync's table %u is missing", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * Reads the tables of settings as their owner, under a snapshot of now: the
 * writer's own may be older than the trigger.
 */
static void
look_up(Capture *capture, Relation rel)
{
	uint64 before = invalidations;
	Oid types[2] = {INT4OID, INT4OID};
	Datum values[2] = {Int32GetDatum(capture->dossiers_id),
					   Int32GetDatum(capture->source_id)};
	Oid user;
	int context;
	Oid settings;
	Snapshot snapshot;
	SPIPlanPtr plan;

	capture->problem = NULL;
	capture->related = false;
	capture->warned = false;
	capture->dossier.attnum = 0;
	capture->file.attnum = 0;
	capture->tenant.attnum = 0;

	settings = get_relname_relid("dossier_table",
								 get_namespace_oid("cloudsync", false));
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(relation_owner(settings),
						   context | SECURITY_LOCAL_USERID_CHANGE |
							   SECURITY_RESTRICTED_OPERATION);
	SPI_connect();
	plan = SPI_prepare(columns_sql, 2, types);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s",
			 SPI_result_code_string(SPI_result));
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	if (SPI_execute_snapshot(plan, values, NULL, snapshot, InvalidSnapshot,
							 true, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_snapshot failed");
	if (SPI_processed == 0)
		capture->problem = "It is not tracked any more.";
	else
		resolve(capture, rel);
	UnregisterSnapshot(snapshot);
	SPI_finish();
	SetUserIdAndSecContext(user, context);
	capture->valid = invalidations == before;
}

static int32
trigger_argument(Trigger *trigger, int number)
{
	return number < trigger->tgnargs ? pg_strtoint32(trigger->tgargs[number])
									 : 0;
}

static Capture *
find_capture(TriggerData *data)
{
	CaptureKey key = {RelationGetRelid(data->tg_relation),
					  data->tg_trigger->tgoid};
	Capture *capture;
	bool found;

	if (captures == NULL)
	{
		HASHCTL ctl = {0};

		ctl.keysize = sizeof(CaptureKey);
		ctl.entrysize = sizeof(Capture);
		captures =
			hash_create("cloudsync captures", 32, &ctl, HASH_ELEM | HASH_BLOBS);
		CacheRegisterRelcacheCallback(at_relation_change, (Datum) 0);
	}
	capture = last_used;
	if (capture == NULL || memcmp(&capture->key, &key, sizeof(CaptureKey)) != 0)
	{
		capture = hash_search(captures, &key, HASH_ENTER, &found);
		if (!found)
		{
			memset(capture, 0, sizeof(Capture));
			capture->key = key;
		}
		last_used = capture;
	}
	if (!capture->valid)
	{
		capture->dossiers_id = trigger_argument(data->tg_trigger, 0);
		capture->source_id = trigger_argument(data->tg_trigger, 1);
		look_up(capture, data->tg_relation);
	}
	return capture;
}

/*
 * A write of the application's never fails because a change cannot be noted:
 * it is warned once, and the table shows its error in cloudsync_status().
 */
static void
warn(Capture *capture, Relation rel)
{
	if (capture->warned)
		return;
	capture->warned = true;
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("changes of table \"%s\" are not noted by cloudsync",
					RelationGetRelationName(rel)),
			 errdetail("%s", capture->problem),
			 errhint("Track it again: SELECT cloudsync_untrack(dossiers); "
					 "SELECT cloudsync_track(dossiers, files);")));
}

/* Keys are compared as text everywhere, so their text is made under one setting. */
static void
fix_settings(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"datestyle", "ISO, YMD"},
		{"intervalstyle", "postgres"},
		{"timezone", "UTC"},
		{"bytea_output", "hex"},
		{"extra_float_digits", "1"},
		{"lc_monetary", "C"}};

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_SUSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
								 false);
}

/* The text, in the buffer or palloc'd. */
static char *
value_text(Column *column, Datum value, char *buffer)
{
	FmgrInfo other;
	FmgrInfo *info = &column->info;

	switch (column->via)
	{
		case VIA_INTEGER:
			(void) pg_ltoa(DatumGetInt32(value), buffer);
			return buffer;
		case VIA_BIGINT:
			(void) pg_lltoa(DatumGetInt64(value), buffer);
			return buffer;
		case VIA_TEXT:
			return TextDatumGetCString(value);
		case VIA_CAST:
		case VIA_OUTPUT:
			break;
	}
	if (!OidIsValid(info->fn_oid))
	{
		info = &other;
		fmgr_info(column->function, info);
	}
	if (column->via == VIA_CAST)
		return TextDatumGetCString(
			FunctionCall1Coll(info, DEFAULT_COLLATION_OID, value));
	return OutputFunctionCall(info, value);
}

/* The column's text in the tuple; NULL for null. */
static char *
column_text(Column *column, HeapTuple tuple, TupleDesc desc, char *buffer)
{
	bool isnull;
	Datum value = heap_getattr(tuple, column->attnum, desc, &isnull);
	char *result;
	int level;

	if (isnull)
		return NULL;
	if (!column->by_settings)
		return value_text(column, value, buffer);
	level = NewGUCNestLevel();
	fix_settings();
	result = value_text(column, value, buffer);
	AtEOXact_GUC(false, level);
	return result;
}

static void
note_row(Capture *capture, Relation rel, HeapTuple tuple)
{
	TupleDesc desc = RelationGetDescr(rel);
	char buffers[3][INTEGER_TEXT];
	char *dossier = column_text(&capture->dossier, tuple, desc, buffers[0]);
	char *file = NULL;
	char *tenant = NULL;

	/* a file that belongs to no dossier is nobody's business */
	if (dossier == NULL)
		return;
	if (capture->source_id != 0)
		file = column_text(&capture->file, tuple, desc, buffers[1]);
	if (capture->tenant.attnum != 0)
		tenant = column_text(&capture->tenant, tuple, desc, buffers[2]);
	/* a file's tenant is its dossier's, which only the fold can see */
	if (tenant == NULL && (capture->source_id == 0 || !capture->has_tenant))
		tenant = "";
	cs_note_change(capture->dossiers_id, capture->source_id, dossier, file,
				   tenant);
}

/* Are the two rows the same, byte by byte? (Large values are not fetched.) */
static bool
same_row(HeapTuple old, HeapTuple new)
{
	HeapTupleHeader a = old->t_data;
	HeapTupleHeader b = new->t_data;

	return old->t_len == new->t_len &&
		   a->t_hoff == b->t_hoff &&HeapTupleHeaderGetNatts(a) ==
			   HeapTupleHeaderGetNatts(b) &&
		   (a->t_infomask & ~HEAP_XACT_MASK) ==
			   (b->t_infomask & ~HEAP_XACT_MASK) &&
		   memcmp((char *) a + SizeofHeapTupleHeader,
				  (char *) b + SizeofHeapTupleHeader,
				  old->t_len - SizeofHeapTupleHeader) == 0;
}

static bool
same_column(const Column *column, HeapTuple old, HeapTuple new, TupleDesc desc)
{
	bool a_null;
	bool b_null;
	Datum a;
	Datum b;
	Form_pg_attribute attribute;

	if (column->attnum == 0)
		return true;
	attribute = TupleDescAttr(desc, column->attnum - 1);
	a = heap_getattr(old, column->attnum, desc, &a_null);
	b = heap_getattr(new, column->attnum, desc, &b_null);
	if (a_null || b_null)
		return a_null && b_null;
	return datumIsEqual(a, b, attribute->attbyval, attribute->attlen);
}

/* After an update: what the row was is noted too where its place changed. */
static void
note_update(Capture *capture, Relation rel, HeapTuple old, HeapTuple new)
{
	TupleDesc desc = RelationGetDescr(rel);

	if (same_row(old, new))
		return;
	if (!same_column(&capture->dossier, old, new, desc) ||
		!same_column(&capture->file, old, new, desc) ||
		!same_column(&capture->tenant, old, new, desc))
		note_row(capture, rel, old);
	note_row(capture, rel, new);
}

/*
 * cloudsync.capture = off keeps a bulk correction out, for administrators. For
 * anybody else the setting means nothing.
 */
static bool
kept_out(void)
{
	Oid role;
	Oid admin;

	if (cs_capture)
		return false;
	role = cs_acting_role();
	admin = get_role_oid("cloudsync_admin", true);
	return OidIsValid(role) && OidIsValid(admin) &&
		   has_privs_of_role(role, admin);
}

Datum
cloudsync_capture_change(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	Capture *capture;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(data->tg_event))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("cloudsync.capture_change is an AFTER trigger "
							   "of tracked tables")));
	if (kept_out())
		return PointerGetDatum(NULL);

	capture = find_capture(data);
	if (TRIGGER_FIRED_BY_TRUNCATE(data->tg_event) && capture->related)
		cs_note_change(capture->dossiers_id, capture->source_id, NULL, NULL,
					   NULL);
	else if (capture->problem != NULL)
		warn(capture, data->tg_relation);
	else if (TRIGGER_FIRED_BY_UPDATE(data->tg_event))
		note_update(capture, data->tg_relation, data->tg_trigtuple,
					data->tg_newtuple);
	else
		note_row(capture, data->tg_relation, data->tg_trigtuple);
	return PointerGetDatum(NULL);
}
