/*
 * appcontent.c
 *	  Contents of the application's files: identity and slices (appdata.h,
 *	  appcontent.h).
 *
 * A bytea out of line and uncompressed is read by slices at no cost. A
 * compressed one can only be decompressed from its start: it is decompressed
 * once and kept for the transfer.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_largeobject.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/large_object.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "cloudsync/appdata.h"
#include "cloudsync/compat.h"
#include "cloudsync/appcontent.h"
#include "cloudsync/db.h"
#include "cloudsync/hash.h"
#include "cloudsync/limit.h"

static char *
sha256_hex(const void *bytes, size_t length)
{
	uint8 digest[CS_SHA256_LENGTH];

	cs_sha256(bytes, length, digest);
	return cs_hex(digest, CS_SHA256_LENGTH);
}

static char *
bytea_version(struct varlena *value, int64 *size)
{
	struct varlena *plain;
	char *version;

	if (VARATT_IS_EXTERNAL_ONDISK(value))
	{
		struct varatt_external pointer;

		VARATT_EXTERNAL_GET_POINTER(pointer, value);
		*size = pointer.va_rawsize - VARHDRSZ;
		return psprintf("t:%u:%u:%d", pointer.va_toastrelid, pointer.va_valueid,
						pointer.va_rawsize);
	}
	plain = pg_detoast_datum_packed(value);
	*size = VARSIZE_ANY_EXHDR(plain);
	version = psprintf("h:%s", sha256_hex(VARDATA_ANY(plain), *size));
	if (plain != value)
		pfree(plain);
	return version;
}

/*
 * The pages of a large object in the active snapshot: number, writer and place
 * of each. NULL if there is no such object. The right to read it is checked by
 * reading its first byte.
 */
static char *
large_object_version(Oid loid, int64 *size)
{
	CsHash *hash;
	uint8 digest[CS_SHA256_LENGTH];
	Relation relation;
	Relation index;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple tuple;

	if (!LargeObjectExists(loid))
		return NULL;
	(void) DirectFunctionCall3(be_lo_get_fragment, ObjectIdGetDatum(loid),
							   Int64GetDatum(0), Int32GetDatum(1));
	*size = 0;
	hash = cs_hash_create();
	relation = table_open(LargeObjectRelationId, AccessShareLock);
	index = index_open(LargeObjectLOidPNIndexId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_largeobject_loid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(loid));
	scan = systable_beginscan_ordered(relation, index, GetActiveSnapshot(), 1, &key);
	while ((tuple = systable_getnext_ordered(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_largeobject page = (Form_pg_largeobject) GETSTRUCT(tuple);
		struct
		{
			int32 pageno;
			TransactionId xmin;
			BlockNumber block;
			uint32 offset;
		} identity;

		CHECK_FOR_INTERRUPTS();
		identity.pageno = page->pageno;
		identity.xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
		identity.block = ItemPointerGetBlockNumber(&tuple->t_self);
		identity.offset = ItemPointerGetOffsetNumber(&tuple->t_self);
		cs_hash_update(hash, &identity, sizeof(identity));
		*size = (int64) page->pageno * LOBLKSIZE +
				(toast_raw_datum_size(PointerGetDatum(&page->data)) - VARHDRSZ);
	}
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(relation, AccessShareLock);
	cs_hash_final(hash, digest);
	cs_hash_free(hash);
	return psprintf("l:%s:" INT64_FORMAT, cs_hex(digest, CS_SHA256_LENGTH), *size);
}

/* See appcontent.h. */
char *
cs_content_version(char kind, Datum value, int64 *size)
{
	struct varlena *text;

	switch (kind)
	{
		case 'b':
			return bytea_version((struct varlena *) DatumGetPointer(value), size);
		case 'o':
			return large_object_version(DatumGetObjectId(value), size);
		default:
			text = pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));
			*size = -1;
			return psprintf("u:%s", sha256_hex(VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text)));
	}
}

/* The value is the one that was seen at the claim. */
static bool
is_same(const CsContent *content, Datum value)
{
	int64 size;
	char *version = cs_content_version(content->source->kind, value, &size);

	return version != NULL && strcmp(version, content->version) == 0;
}

static int64
copy_part(const char *bytes, int64 length, int64 offset, char *buf, int64 cap)
{
	int64 n = Min(cap, length - offset);

	if (n <= 0)
		return 0;
	memcpy(buf, bytes + offset, n);
	return n;
}

static int64
read_bytea(CsContent *content, struct varlena *value, int64 offset, char *buf,
		   int64 cap)
{
	struct varlena *slice;
	int64 n;

	if (VARATT_IS_EXTERNAL_ONDISK(value))
	{
		struct varatt_external pointer;

		VARATT_EXTERNAL_GET_POINTER(pointer, value);
		if (VARATT_EXTERNAL_IS_COMPRESSED(pointer) && content->size > cap)
		{
			MemoryContext old = MemoryContextSwitchTo(content->context);

			content->whole = (char *) detoast_attr(value);
			MemoryContextSwitchTo(old);
			return copy_part(VARDATA_ANY(content->whole), VARSIZE_ANY_EXHDR(content->whole),
							 offset, buf, cap);
		}
	}
	slice = detoast_attr_slice(value, (int32) offset, (int32) Min(cap, PG_INT32_MAX));
	n = copy_part(VARDATA_ANY(slice), VARSIZE_ANY_EXHDR(slice), 0, buf, cap);
	return n;
}

static int64
read_large_object(Oid loid, int64 offset, char *buf, int64 cap)
{
	struct varlena *part = (struct varlena *) DatumGetPointer(
		DirectFunctionCall3(be_lo_get_fragment, ObjectIdGetDatum(loid),
							Int64GetDatum(offset),
							Int32GetDatum((int32) Min(cap, CS_SLICE))));

	return copy_part(VARDATA_ANY(part), VARSIZE_ANY_EXHDR(part), 0, buf, cap);
}

/*
 * One slice of the value, checked to be the one of the claim. Of a large object
 * that is done before the first and after the last slice, since looking at its
 * pages costs as much as reading it.
 */
static int64
read_value(CsContent *content, Datum value, int64 offset, char *buf, int64 cap)
{
	int64 n;

	if (content->source->kind == 'b')
	{
		if (!is_same(content, value))
			return -1;
		return read_bytea(content, (struct varlena *) DatumGetPointer(value), offset,
						  buf, cap);
	}
	if (content->source->kind != 'o')
	{
		struct varlena *text;

		if (!is_same(content, value))
			return -1;
		text = pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));
		return copy_part(VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text), offset, buf, cap);
	}
	if (offset == 0 && !is_same(content, value))
		return -1;
	n = read_large_object(DatumGetObjectId(value), offset, buf, cap);
	if (offset + n >= content->size && !is_same(content, value))
		return -1;
	return n;
}

typedef struct SliceRead
{
	CsContent *content;
	int64 offset;
	char *buf;
	int64 cap;
	int64 n; /* what was read */
} SliceRead;

static void
read_slice(void *arg)
{
	SliceRead *slice = arg;
	CsContent *content = slice->content;
	CsOwnerContext owner;
	Oid types[1] = {TEXTOID};
	Datum values[1];
	MemoryContext context = CurrentMemoryContext;
	int ret;

	values[0] = CStringGetTextDatum(content->key);
	cs_enter_owner(&owner, content->source->owner, NULL);
	ret = SPI_execute_with_args(content->source->content_sql, 1, types, values, NULL,
								true, 0);
	MemoryContextSwitchTo(context);
	if (ret != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(ret));
	if (SPI_processed > 0)
	{
		bool isnull;
		Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
									&isnull);

		if (!isnull)
			slice->n = read_value(content, value, slice->offset, slice->buf, slice->cap);
	}
	cs_leave_owner(&owner);
}

/* See appdata.h. */
int64
cs_content_read(CsContent *content, int64 offset, char *buf, int64 cap)
{
	SliceRead slice = {content, offset, buf, cap, -1};

	if (content->whole != NULL)
		return copy_part(VARDATA_ANY(content->whole), VARSIZE_ANY_EXHDR(content->whole),
						 offset, buf, cap);
	cs_limited_read(content->source->relation, read_slice, &slice);
	return slice.n;
}

typedef struct ManyRead
{
	CsContent *contents;
	int n;
	void (*take)(void *arg, int i, const char *bytes, int64 size);
	void *arg;
} ManyRead;

/* The value of the row just read, whole, if it is the one of the claim. */
static void
take_whole(ManyRead *many, int i)
{
	CsContent *content = &many->contents[i];
	char *bytes;
	int64 n;
	bool isnull;
	Datum value;

	if (SPI_processed == 0)
		return;
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (isnull)
		return;
	bytes = palloc(content->size + 1);
	/* a byte more than it should have would show */
	n = read_value(content, value, 0, bytes, content->size + 1);
	if (n >= 0)
		many->take(many->arg, i, bytes, n);
	pfree(bytes);
}

static void
read_many(void *arg)
{
	ManyRead *many = arg;
	CsSource *source = many->contents[0].source;
	CsOwnerContext owner;
	Oid types[1] = {TEXTOID};
	SPIPlanPtr plan;
	MemoryContext context = CurrentMemoryContext;

	cs_enter_owner(&owner, source->owner, NULL);
	plan = SPI_prepare(source->content_sql, 1, types);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	for (int i = 0; i < many->n; i++)
	{
		Datum values[1] = {CStringGetTextDatum(many->contents[i].key)};
		int ret = SPI_execute_plan(plan, values, NULL, true, 0);

		MemoryContextSwitchTo(context);
		if (ret != SPI_OK_SELECT)
			elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(ret));
		take_whole(many, i);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_freeplan(plan);
	cs_leave_owner(&owner);
}

/* See appdata.h. */
void
cs_contents_read(CsContent *contents, int n,
				 void (*take)(void *arg, int i, const char *bytes, int64 size),
				 void *arg)
{
	ManyRead many = {contents, n, take, arg};

	cs_limited_read(contents[0].source->relation, read_many, &many);
}
