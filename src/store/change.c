/*
 * change.c
 *	  Appends to the change log, cloudsync.change, in the writer's transaction
 *	  (P1). Relies on the server's heap and transaction callbacks only: no SPI,
 *	  no snapshot, no rights of the current user, no client.
 *
 * What the transaction has noted is remembered here, so that each dossier and
 * file has one row however often it is touched, and forgotten when the
 * (sub)transaction that noted it is rolled back.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "cloudsync/change.h"
#include "cloudsync/wake.h"

/* columns of cloudsync.change */
#define ANUM_DOSSIERS_ID 1
#define ANUM_SOURCE_ID 2
#define ANUM_DOSSIER 3
#define ANUM_FILE_KEY 4
#define ANUM_TENANT 5
#define ANUM_CHANGED_AT 6
#define NATTS 6

/*
 * A transaction that notes more than this forgets what it noted and goes on:
 * memory stays bounded (some 64 MB), and a dossier touched again after that
 * has a second row, which the fold puts together with the first.
 */
#define NOTED_MAX 400000

/* So few are found as fast without a hash table, and most transactions are. */
#define NOTED_FEW 16

/* One note as a string of bytes; the hash table's key. */
typedef struct Note
{
	const char *data;
	uint32 length;
	uint32 hash;
} Note;

typedef struct NoteAt
{
	Note note;
	SubTransactionId subid; /* that noted it */
} NoteAt;

/* What this transaction noted, in the order in which it did. */
static struct
{
	MemoryContext context; /* below TopTransactionContext */
	HTAB *table;		   /* the same, once it is more than a few */
	NoteAt *order;
	int count;
	int size;
} noted;

static uint32
note_hash(const void *key, Size size)
{
	return ((const Note *) key)->hash;
}

static int
note_compare(const void *a, const void *b, Size size)
{
	const Note *x = a;
	const Note *y = b;

	return x->length == y->length && memcmp(x->data, y->data, x->length) == 0
			   ? 0
			   : 1;
}

static void
forget_all(void)
{
	MemoryContext context = noted.context;

	memset(&noted, 0, sizeof(noted));
	if (context != NULL)
		MemoryContextDelete(context);
}

/* The memory is the transaction's own and goes with it. */
static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			memset(&noted, 0, sizeof(noted));
			break;
		default:
			break;
	}
}

/*
 * Rolled back to before a subtransaction: what it and those within it noted is
 * at the end of the order, since whatever was noted before it began has a
 * smaller number.
 */
static void
at_subtransaction_end(SubXactEvent event, SubTransactionId mySubid,
					  SubTransactionId parentSubid, void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	while (noted.count > 0 && noted.order[noted.count - 1].subid >= mySubid)
	{
		noted.count--;
		if (noted.table != NULL)
			hash_search(noted.table, &noted.order[noted.count].note,
						HASH_REMOVE, NULL);
	}
}

static void
begin_noting(void)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterSubXactCallback(at_subtransaction_end, NULL);
		registered = true;
	}
	noted.context = AllocSetContextCreate(
		TopTransactionContext, "cloudsync changes", ALLOCSET_DEFAULT_SIZES);
	noted.table = NULL;
	noted.count = 0;
	noted.size = NOTED_FEW;
	noted.order =
		MemoryContextAlloc(noted.context, noted.size * sizeof(NoteAt));
}

/* From now on, found by hash. */
static void
make_table(void)
{
	HASHCTL ctl = {0};

	ctl.keysize = sizeof(Note);
	ctl.entrysize = sizeof(Note);
	ctl.hash = note_hash;
	ctl.match = note_compare;
	ctl.hcxt = noted.context;
	noted.table =
		hash_create("cloudsync changes", 256, &ctl,
					HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	for (int i = 0; i < noted.count; i++)
		(void) hash_search(noted.table, &noted.order[i].note, HASH_ENTER, NULL);
}

/* A string with its length before it, so that no two notes look the same. */
static void
append_part(StringInfo buffer, const char *part)
{
	uint32 length = part ? (uint32) strlen(part) : PG_UINT32_MAX;

	appendBinaryStringInfo(buffer, (const char *) &length, sizeof(length));
	if (part)
		appendBinaryStringInfo(buffer, part, (int) length);
}

static bool
find_note(const Note *note)
{
	bool found = false;

	if (noted.table != NULL)
		(void) hash_search(noted.table, note, HASH_FIND, &found);
	else
		for (int i = 0; i < noted.count && !found; i++)
			found = noted.order[i].note.hash == note->hash &&
					note_compare(&noted.order[i].note, note, 0) == 0;
	return found;
}

/* Was this noted by the transaction before? If not, remembers that it is. */
static bool
already_noted(StringInfo buffer)
{
	Note note;
	char *copy;

	note.data = buffer->data;
	note.length = (uint32) buffer->len;
	note.hash = hash_bytes((const unsigned char *) buffer->data, buffer->len);
	if (find_note(&note))
		return true;

	if (noted.count == NOTED_FEW && noted.table == NULL)
		make_table();
	if (noted.count == noted.size)
	{
		noted.order =
			repalloc_huge(noted.order, (Size) noted.size * 2 * sizeof(NoteAt));
		noted.size *= 2;
	}
	copy = MemoryContextAlloc(noted.context, note.length);
	memcpy(copy, note.data, note.length);
	note.data = copy;
	if (noted.table != NULL)
		(void) hash_search(noted.table, &note, HASH_ENTER, NULL);
	noted.order[noted.count].note = note;
	noted.order[noted.count].subid = GetCurrentSubTransactionId();
	noted.count++;
	return false;
}

/*
 * The row itself, without an executor: the table has no index, constraint
 * trigger or policy that a writer would have to meet.
 */
static void
append_row(int32 dossiers_id, int32 source_id, const char *dossier,
		   const char *file_key, const char *tenant)
{
	Oid relid =
		get_relname_relid("change", get_namespace_oid("cloudsync", false));
	Relation rel;
	HeapTuple tuple;
	Datum values[NATTS] = {0};
	bool nulls[NATTS] = {0};

	if (!OidIsValid(relid))
		elog(ERROR, "table cloudsync.change is missing");
	rel = table_open(relid, RowExclusiveLock);
	values[ANUM_DOSSIERS_ID - 1] = Int32GetDatum(dossiers_id);
	values[ANUM_SOURCE_ID - 1] = Int32GetDatum(source_id);
	nulls[ANUM_SOURCE_ID - 1] = source_id == 0;
	if (dossier)
		values[ANUM_DOSSIER - 1] = CStringGetTextDatum(dossier);
	nulls[ANUM_DOSSIER - 1] = dossier == NULL;
	if (file_key)
		values[ANUM_FILE_KEY - 1] = CStringGetTextDatum(file_key);
	nulls[ANUM_FILE_KEY - 1] = file_key == NULL;
	if (tenant)
		values[ANUM_TENANT - 1] = CStringGetTextDatum(tenant);
	nulls[ANUM_TENANT - 1] = tenant == NULL;
	values[ANUM_CHANGED_AT - 1] = TimestampTzGetDatum(GetCurrentTimestamp());

	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);
	simple_heap_insert(rel, tuple);
	heap_freetuple(tuple);
	table_close(rel, NoLock);
}

/* See change.h. */
void
cs_note_change(int32 dossiers_id, int32 source_id, const char *dossier,
			   const char *file_key, const char *tenant)
{
	StringInfoData buffer;

	if (noted.count >= NOTED_MAX)
		forget_all();
	if (noted.context == NULL)
	{
		begin_noting();
		cs_wake_on_commit(false);
	}

	initStringInfo(&buffer);
	appendBinaryStringInfo(&buffer, (const char *) &dossiers_id,
						   sizeof(dossiers_id));
	appendBinaryStringInfo(&buffer, (const char *) &source_id,
						   sizeof(source_id));
	append_part(&buffer, dossier);
	append_part(&buffer, file_key);
	append_part(&buffer, tenant);
	if (!already_noted(&buffer))
		append_row(dossiers_id, source_id, dossier, file_key, tenant);
	pfree(buffer.data);
}
