/*
 * ocr_claim.c
 *	  Taking documents for a program to read, and giving them back (ocr.h). That
 *	  a document was begun is counted before it is: one that ends this process
 *	  each time is not begun for ever.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "cloudsync/crash.h"
#include "cloudsync/db.h"
#include "args.h"
#include "reading.h"

static Datum
ids_of(const List *readings)
{
	CsColumn ids = {.type = INT8OID};
	const ListCell *cell;

	foreach (cell, readings)
		cs_column_add(&ids, Int64GetDatum(((CsReading *) lfirst(cell))->document_id), false);
	return cs_column_array(&ids);
}

static CsReading *
make_reading(CsOcr *ocr, int64 document_id, CsDocumentKind kind)
{
	MemoryContext context = AllocSetContextCreate(ocr->context, "cloudsync reading", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	CsReading *reading = palloc0(sizeof(CsReading));

	reading->context = context;
	reading->document_id = document_id;
	reading->kind = kind;
	reading->file = -1;
	reading->end_by = reading->deadline = DT_NOEND;
	initStringInfo(&reading->said);
	MemoryContextSwitchTo(old);
	return reading;
}

/* See reading.h. */
CsReading *
cs_ocr_claim(CsOcr *ocr)
{
	CsWaiting waiting = *(CsWaiting *) linitial(ocr->queue);
	CsReading *reading;
	Args args = {0};
	int64 content_id = 0;
	int64 size = 0;
	int attempts = 0;

	pfree(linitial(ocr->queue));
	ocr->queue = list_delete_first(ocr->queue);
	cs_begin("taking a document to read");
	add_int64(&args, waiting.document_id, false);
	if (execute("UPDATE cloudsync.document SET ocr_attempts = ocr_attempts + 1 "
				"WHERE document_id = (SELECT d.document_id FROM cloudsync.document d WHERE d.document_id = $1 "
				"AND d.ocr_state = 'pending' AND d.content_id IS NOT NULL FOR NO KEY UPDATE SKIP LOCKED) "
				"RETURNING content_id, size, ocr_attempts", &args) > 0)
	{
		content_id = cs_get_int64(0, 1, 0);
		size = cs_get_int64(0, 2, 0);
		attempts = (int) cs_get_int64(0, 3, 0);
	}
	cs_commit();
	if (content_id == 0)
	{
		ocr->scan = true; /* locked by somebody, perhaps */
		return NULL;
	}
	cs_make_durable();
	reading = make_reading(ocr, waiting.document_id, waiting.kind);
	reading->content_id = content_id;
	reading->size = size;
	reading->attempts = attempts;
	return reading;
}

/* See reading.h. */
List *
cs_ocr_unwanted(CsOcr *ocr)
{
	List *unwanted = NIL;
	MemoryContext context = CurrentMemoryContext;
	Args args = {0};
	uint64 n;
	int64 *wanted;

	if (ocr->readings == NIL)
		return NIL;
	cs_begin("looking whether documents are still to be read");
	add(&args, INT8ARRAYOID, ids_of(ocr->readings), false);
	n = execute("SELECT d.document_id FROM cloudsync.document d WHERE d.document_id = ANY ($1) "
				"AND d.ocr_state = 'pending' AND d.content_id IS NOT NULL", &args);
	wanted = MemoryContextAlloc(context, sizeof(int64) * Max(n, 1));
	for (uint64 i = 0; i < n; i++)
		wanted[i] = cs_get_int64(i, 1, 0);
	cs_commit();
	for (int r = 0; r < list_length(ocr->readings); r++)
	{
		CsReading *reading = list_nth(ocr->readings, r);
		bool found = false;

		for (uint64 i = 0; i < n; i++)
			found = found || wanted[i] == reading->document_id;
		if (!found)
			unwanted = lappend(unwanted, reading);
	}
	return unwanted;
}

/* Those whose attempt counts, and of which nothing is written yet. */
static Datum
ids_in_hand(const CsOcr *ocr, bool all)
{
	CsColumn ids = {.type = INT8OID};
	const ListCell *cell;

	foreach (cell, ocr->readings)
	{
		const CsReading *reading = lfirst(cell);

		if (all && reading->phase != CS_READING_OVER)
			cs_column_add(&ids, Int64GetDatum(reading->document_id), false);
	}
	for (int i = 0; i < ocr->n_begun; i++)
		cs_column_add(&ids, Int64GetDatum(ocr->begun[i]), false);
	return cs_column_array(&ids);
}

/*
 * See reading.h. Who has the table or a row locked now is not waited for: this
 * process may be leaving, when nothing ends a wait.
 */
void
cs_ocr_give_back(CsOcr *ocr, bool all)
{
	Args args = {0};

	if ((ocr->readings == NIL || !all) && ocr->n_begun == 0)
		return;
	cs_begin("giving documents back");
	if (OidIsValid(RangeVarGetRelidExtended(makeRangeVar("cloudsync", "document", -1), RowExclusiveLock,
											RVR_MISSING_OK | RVR_SKIP_LOCKED, NULL, NULL)))
	{
		add(&args, INT8ARRAYOID, ids_in_hand(ocr, all), false);
		execute("UPDATE cloudsync.document SET ocr_attempts = GREATEST(ocr_attempts - 1, 0) "
				"WHERE document_id IN (SELECT d.document_id FROM cloudsync.document d WHERE d.document_id = ANY ($1) "
				"AND d.ocr_state = 'pending' FOR NO KEY UPDATE SKIP LOCKED)", &args);
	}
	cs_commit();
	ocr->n_begun = 0;
}

/* See reading.h. */
void
cs_ocr_note_sandbox(CsSandbox sandbox, const char *why)
{
	static const char *const names[] = {"none", "no network", "bwrap"};
	Args args = {0};

	cs_begin("noting the sandbox");
	add_text(&args, names[sandbox]);
	add_text(&args, why);
	execute("INSERT INTO cloudsync.ocr_sandbox AS s (one, sandbox, problem) VALUES (true, $1, $2) "
			"ON CONFLICT (one) DO UPDATE SET sandbox = excluded.sandbox, problem = excluded.problem "
			"WHERE (s.sandbox, s.problem) IS DISTINCT FROM (excluded.sandbox, excluded.problem)", &args);
	cs_commit();
}

/*
 * See ocr.h. Two looks into indexes, whatever waits: of documents that wait for
 * a missing program, the first of each is looked at again by itself.
 */
TimestampTz
cs_ocr_next(void)
{
	TimestampTz next;

	cs_begin("looking for documents to read");
	cs_execute_first(
		"WITH RECURSIVE missing AS ("
		"(SELECT d.ocr_waits_for, d.document_id, d.ocr_next_try_at FROM cloudsync.document d "
		"WHERE d.ocr_state = 'pending' AND d.ocr_waits_for IS NOT NULL ORDER BY 1, 2 LIMIT 1) "
		"UNION ALL SELECT n.* FROM missing m, LATERAL ("
		"SELECT d.ocr_waits_for, d.document_id, d.ocr_next_try_at FROM cloudsync.document d "
		"WHERE d.ocr_state = 'pending' AND d.ocr_waits_for > m.ocr_waits_for ORDER BY 1, 2 LIMIT 1) n) "
		"SELECT LEAST((SELECT COALESCE(d.ocr_next_try_at, '-infinity') FROM cloudsync.document d "
		"WHERE d.ocr_state = 'pending' AND d.ocr_waits_for IS NULL "
		"ORDER BY d.ocr_next_try_at NULLS FIRST, d.document_id LIMIT 1), "
		"(SELECT pg_catalog.min(COALESCE(m.ocr_next_try_at, '-infinity')) FROM missing m))",
		0, NULL, NULL, NULL, true);
	next = cs_get_timestamptz(0, 1, DT_NOEND);
	cs_commit();
	return next;
}
