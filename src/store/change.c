/*
 * change.c
 *	  Appends to the change log, cloudsync.change, in the writer's transaction
 *	  (P1), and takes changes off it for the fold. Relies on the server's heap
 *	  and transaction callbacks only: no SPI, no rights of the current user, no
 *	  client, and for a writer no snapshot.
 *
 * What the transaction has noted is remembered here, so that each dossier and
 * file has one row however often it is touched, and forgotten when the
 * (sub)transaction that noted it is rolled back. It is kept in the form in
 * which the row is made of it, and a short transaction's without allocating
 * anything: this runs at each write of the application's (N6).
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "common/hashfn.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "cloudsync/change.h"
#include "cloudsync/compat.h"
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
 * memory stays bounded (some 64 MB with short keys, and never more than
 * NOTED_BYTES_MAX of notes), and a dossier touched again after that has a
 * second row, which the fold puts together with the first.
 */
#define NOTED_MAX 400000
#define NOTED_BYTES_MAX (64 * 1024 * 1024)

/* So few are found as fast without a hash table, and most transactions are. */
#define NOTED_FEW 16
#define NOTED_FEW_BYTES 2048

/*
 * One note: this, then dossier, file key and tenant as text where they are not
 * null, each at a multiple of four bytes; what is between is zero, so that two
 * notes of the same are the same bytes.
 */
typedef struct Note
{
	int32 dossiers_id;
	int32 source_id;
	uint32 parts; /* bits: which are there */
} Note;

#define PARTS 3

/* Where it is; the hash table's key. */
typedef struct NoteAt
{
	Size start;
	uint32 length;
	uint32 hash;			/* 0 until there is a table */
	SubTransactionId subid; /* that noted it */
} NoteAt;

/*
 * What this transaction noted, in the order in which it did. bytes and order
 * are the arrays below until there is too much for them.
 */
static struct
{
	MemoryContext context; /* below TopTransactionContext; NULL: not needed */
	HTAB *table;		   /* the same, once it is more than a few */
	char *bytes;		   /* NULL: nothing was noted yet */
	Size used;
	Size bytes_size;
	NoteAt *order;
	int count;
	int size;
} noted;

static union
{
	char bytes[NOTED_FEW_BYTES];
	int32 align;
} few_bytes;
static NoteAt few[NOTED_FEW];

static Oid change_relid = InvalidOid; /* until the log itself changes */

static void
at_relation_change(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == change_relid)
		change_relid = InvalidOid;
}

static uint32
note_hash(const void *key, Size size)
{
	return ((const NoteAt *) key)->hash;
}

static int
note_compare(const void *a, const void *b, Size size)
{
	const NoteAt *x = a;
	const NoteAt *y = b;

	return x->length == y->length &&
				   memcmp(noted.bytes + x->start, noted.bytes + y->start,
						  x->length) == 0
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
			if (noted.bytes != NULL)
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
			hash_search(noted.table, &noted.order[noted.count], HASH_REMOVE,
						NULL);
		noted.used = noted.order[noted.count].start;
	}
}

/* Once a session. */
static void
register_callbacks(void)
{
	static bool registered = false;

	if (registered)
		return;
	CacheRegisterRelcacheCallback(at_relation_change, (Datum) 0);
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
	registered = true;
}

static void
begin_noting(void)
{
	register_callbacks();
	noted.bytes = few_bytes.bytes;
	noted.bytes_size = NOTED_FEW_BYTES;
	noted.order = few;
	noted.size = NOTED_FEW;
}

/* An array of twice the size, in the transaction's memory. */
static void *
grown(void *from, const void *few_of_it, Size size)
{
	void *to;

	if (noted.context == NULL)
		noted.context = AllocSetContextCreate(
			TopTransactionContext, "cloudsync changes", ALLOCSET_DEFAULT_SIZES);
	if (from != few_of_it)
		return repalloc_huge(from, size * 2);
	to = MemoryContextAllocHuge(noted.context, size * 2);
	memcpy(to, from, size);
	return to;
}

/* Room for so many bytes more, behind those that are used. */
static void
make_room(Size length)
{
	while (noted.used + length > noted.bytes_size)
	{
		noted.bytes = grown(noted.bytes, few_bytes.bytes, noted.bytes_size);
		noted.bytes_size *= 2;
	}
}

static uint32
hash_of(const NoteAt *at)
{
	return hash_bytes((const unsigned char *) noted.bytes + at->start,
					  (int) at->length);
}

/* From now on, found by hash. */
static void
make_table(void)
{
	HASHCTL ctl = {0};

	ctl.keysize = sizeof(NoteAt);
	ctl.entrysize = sizeof(NoteAt);
	ctl.hash = note_hash;
	ctl.match = note_compare;
	ctl.hcxt = noted.context;
	noted.table =
		hash_create("cloudsync changes", 256, &ctl,
					HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	for (int i = 0; i < noted.count; i++)
	{
		noted.order[i].hash = hash_of(&noted.order[i]);
		(void) hash_search(noted.table, &noted.order[i], HASH_ENTER, NULL);
	}
}

/* Writes the note behind the others, where it stays if it is a new one. */
static NoteAt
write_note(int32 dossiers_id, int32 source_id, const char *const parts[PARTS])
{
	NoteAt at = {noted.used, sizeof(Note), 0, InvalidSubTransactionId};
	Size lengths[PARTS];
	Size length = sizeof(Note);
	Note note = {dossiers_id, source_id, 0};

	for (int i = 0; i < PARTS; i++)
	{
		if (parts[i] == NULL)
			continue;
		note.parts |= 1 << i;
		lengths[i] = strlen(parts[i]);
		length += INTALIGN(VARHDRSZ + lengths[i]);
	}
	make_room(length);
	memcpy(noted.bytes + at.start, &note, sizeof(note));
	for (int i = 0; i < PARTS; i++)
	{
		char *text = noted.bytes + at.start + at.length;
		Size size;

		if (parts[i] == NULL)
			continue;
		size = VARHDRSZ + lengths[i];
		/* what is between this and the next: the last four bytes, first */
		memset(text + INTALIGN(size) - sizeof(int32), 0, sizeof(int32));
		SET_VARSIZE(text, size);
		memcpy(VARDATA(text), parts[i], lengths[i]);
		at.length += (uint32) INTALIGN(size);
	}
	return at;
}

static bool
is_known(NoteAt *at)
{
	bool found = false;

	if (noted.table != NULL)
	{
		at->hash = hash_of(at);
		(void) hash_search(noted.table, at, HASH_FIND, &found);
	}
	else
		for (int i = 0; i < noted.count && !found; i++)
			found = note_compare(&noted.order[i], at, 0) == 0;
	return found;
}

static void
remember(NoteAt *at)
{
	if (noted.count == noted.size)
	{
		noted.order =
			grown(noted.order, few, (Size) noted.size * sizeof(NoteAt));
		noted.size *= 2;
		if (noted.table == NULL)
		{
			make_table();
			at->hash = hash_of(at);
		}
	}
	at->subid = GetCurrentSubTransactionId();
	if (noted.table != NULL)
		(void) hash_search(noted.table, at, HASH_ENTER, NULL);
	noted.order[noted.count++] = *at;
	noted.used += at->length;
}

static Relation
open_log(void)
{
	if (!OidIsValid(change_relid))
	{
		change_relid =
			get_relname_relid("change", get_namespace_oid("cloudsync", false));
		if (!OidIsValid(change_relid))
			elog(ERROR, "table cloudsync.change is missing");
	}
	return table_open(change_relid, RowExclusiveLock);
}

/*
 * The row itself, without an executor: the table has no index, constraint
 * trigger or policy that a writer would have to meet.
 */
static void
append_row(const NoteAt *at)
{
	const Note *note = (const Note *) (noted.bytes + at->start);
	char *text = (char *) (note + 1);
	Relation rel;
	HeapTuple tuple;
	Datum values[NATTS];
	bool nulls[NATTS] = {0};

	rel = open_log();
	values[ANUM_DOSSIERS_ID - 1] = Int32GetDatum(note->dossiers_id);
	values[ANUM_SOURCE_ID - 1] = Int32GetDatum(note->source_id);
	nulls[ANUM_SOURCE_ID - 1] = note->source_id == 0;
	for (int i = 0; i < PARTS; i++)
	{
		values[ANUM_DOSSIER - 1 + i] = PointerGetDatum(text);
		nulls[ANUM_DOSSIER - 1 + i] = (note->parts & (1 << i)) == 0;
		if (!nulls[ANUM_DOSSIER - 1 + i])
			text += INTALIGN(VARSIZE(text));
	}
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
	const char *const parts[PARTS] = {dossier, file_key, tenant};
	NoteAt at;

	if (noted.count >= NOTED_MAX || noted.used >= NOTED_BYTES_MAX)
		forget_all();
	if (noted.bytes == NULL)
	{
		begin_noting();
		cs_wake_on_commit(false);
	}
	at = write_note(dossiers_id, source_id, parts);
	if (is_known(&at))
		return;
	append_row(&at);
	remember(&at);
}

/* Takes it, unless somebody else did meanwhile. */
static bool
delete_row(Relation rel, HeapTuple tuple, Snapshot snapshot)
{
	TM_FailureData failure;

	switch (table_tuple_delete(rel, &tuple->t_self, GetCurrentCommandId(true),
							   snapshot, InvalidSnapshot, true, &failure,
							   false))
	{
		case TM_Ok:
			return true;
		case TM_Updated:
		case TM_Deleted:
			return false;
		default:
			elog(ERROR, "a row of cloudsync.change cannot be taken");
			return false;
	}
}

static char *
text_of(Datum value, bool isnull)
{
	return isnull ? NULL : TextDatumGetCString(value);
}

/* The rows that the snapshot shows, each by itself, without an executor. */
static int64
take_rows(Relation rel, Snapshot snapshot, uint32 *block, const List *skip,
		  int64 limit, void (*take)(void *arg, const CsChange *change),
		  void *arg)
{
	/* after the snapshot: what it shows is in these */
	BlockNumber blocks = RelationGetNumberOfBlocks(rel);
	TableScanDesc scan;
	HeapTuple tuple;
	int64 taken = 0;

	if (*block >= blocks)
		return 0;
	scan = table_beginscan_strat(rel, snapshot, 0, NULL, true, false);
	heap_setscanlimits(scan, *block, blocks - *block);
	while (taken < limit &&
		   (tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Datum values[NATTS];
		bool nulls[NATTS];
		CsChange change;

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		change.dossiers_id = DatumGetInt32(values[ANUM_DOSSIERS_ID - 1]);
		if (list_member_int(skip, change.dossiers_id) ||
			!delete_row(rel, tuple, snapshot))
			continue;
		change.dossier =
			text_of(values[ANUM_DOSSIER - 1], nulls[ANUM_DOSSIER - 1]);
		change.tenant =
			text_of(values[ANUM_TENANT - 1], nulls[ANUM_TENANT - 1]);
		change.changed_at = DatumGetTimestampTz(values[ANUM_CHANGED_AT - 1]);
		*block = ItemPointerGetBlockNumber(&tuple->t_self);
		take(arg, &change);
		taken++;
	}
	table_endscan(scan);
	return taken;
}

/* See change.h. */
int64
cs_take_changes(uint32 *block, const List *skip, int64 limit,
				void (*take)(void *arg, const CsChange *change), void *arg)
{
	Relation rel;
	int64 taken;

	register_callbacks();
	rel = open_log();
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	UpdateActiveSnapshotCommandId();
	taken = take_rows(rel, GetActiveSnapshot(), block, skip, limit, take, arg);
	PopActiveSnapshot();
	table_close(rel, NoLock);
	CommandCounterIncrement();
	return taken;
}
