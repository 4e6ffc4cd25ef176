/*
 * ocr_scan.c
 *	  Which documents are to be read (ocr.h). Most need no program: what cannot
 *	  be read is known by its first bytes, and plain text is taken as it is, many
 *	  documents in one transaction.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "cloudsync/crash.h"
#include "cloudsync/content.h"
#include "cloudsync/db.h"
#include "cloudsync/settings.h"
#include "args.h"
#include "reading.h"

#define QUEUE_MAX 1000	/* known to be waiting */
#define GIVEN_UP "its reading ended the server's process three times"

/* A document as the scan finds it. */
typedef struct Found
{
	int64 document_id;
	int64 content_id; /* 0: it is not kept any more */
	int64 size;
	int attempts;
	CsDocumentKind kind;
	CsOcrResult result;
} Found;

/* Those in hand are not looked at again. */
static Datum
known_documents(CsOcr *ocr)
{
	CsColumn ids = {.type = INT8OID};
	ListCell *cell;

	foreach (cell, ocr->queue)
		cs_column_add(&ids, Int64GetDatum(((CsWaiting *) lfirst(cell))->document_id), false);
	foreach (cell, ocr->readings)
		cs_column_add(&ids, Int64GetDatum(((CsReading *) lfirst(cell))->document_id), false);
	return cs_column_array(&ids);
}

/* What a document is; the ones that no program is for have a result. */
static void
look_at(Found *found, const char *head, int len, const char *media_type)
{
	const char *why = NULL;

	found->kind = cs_document_kind(head, len, media_type, &why);
	found->result.state = CS_OCR_NOT_APPLICABLE;
	if (found->content_id == 0)
		found->result.reason = "its content is not kept any more";
	else if (found->size == 0)
		found->result.reason = "it is empty";
	else if (found->attempts >= CS_OCR_ATTEMPTS)
		cs_result_fail(&found->result, GIVEN_UP);
	else if (found->kind == CS_DOCUMENT_EMPTY)
		cs_result_fail(&found->result, "its content is not complete");
	/* another program than ours may read what ours does not */
	else if (found->kind == CS_DOCUMENT_OTHER && *cs_ocr_command == '\0')
		found->result.reason = why;
	else
		found->result.state = CS_OCR_AGAIN;
}

static bool
needs_no_program(const Found *found)
{
	return found->result.state != CS_OCR_AGAIN ||
		   found->kind == CS_DOCUMENT_PLAIN ||
		   found->kind == CS_DOCUMENT_MARKUP;
}

/*
 * Locks some of them, with their first bytes; who has one locked now keeps it
 * for himself. Of those that wait for a missing program, the first tells
 * whether it is there now.
 */
static int
find_documents(CsOcr *ocr, Found *all)
{
	Args args = {0};
	uint64 n;

	add(&args, INT8ARRAYOID, known_documents(ocr), false);
	add(&args, INT4OID, Int32GetDatum(CS_OCR_STEP), false);
	add(&args, INT4OID, Int32GetDatum(CS_DOCUMENT_HEAD), false);
	add_time(&args, GetCurrentTimestamp());
	add(&args, INT4OID, Int32GetDatum(CS_OCR_MISSING), false);
	n = execute(
		"WITH RECURSIVE missing AS ("
		"(SELECT d.ocr_waits_for, d.document_id, d.ocr_next_try_at FROM cloudsync.document d "
		"WHERE d.ocr_state = 'pending' AND d.ocr_waits_for IS NOT NULL ORDER BY 1, 2 LIMIT 1) "
		"UNION ALL SELECT n.* FROM missing m, LATERAL ("
		"SELECT d.ocr_waits_for, d.document_id, d.ocr_next_try_at FROM cloudsync.document d "
		"WHERE d.ocr_state = 'pending' AND d.ocr_waits_for > m.ocr_waits_for ORDER BY 1, 2 LIMIT 1) n), "
		"open AS (SELECT d.document_id FROM cloudsync.document d "
		"WHERE d.ocr_state = 'pending' AND d.ocr_waits_for IS NULL "
		"AND (d.ocr_next_try_at IS NULL OR d.ocr_next_try_at <= $4) AND d.document_id <> ALL ($1) "
		"ORDER BY d.ocr_next_try_at NULLS FIRST, d.document_id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED), "
		"due AS (SELECT o.document_id FROM open o UNION ALL SELECT m.document_id FROM missing m "
		"WHERE (m.ocr_next_try_at IS NULL OR m.ocr_next_try_at <= $4) AND m.document_id <> ALL ($1) LIMIT $5) "
		"SELECT d.document_id, d.content_id, d.size, d.ocr_attempts, d.media_type, "
		"pg_catalog.substr(k.bytes, 1, $3) FROM due JOIN cloudsync.document d USING (document_id) "
		"LEFT JOIN cloudsync.chunk k ON k.content_id = d.content_id AND k.seq = 0 ORDER BY d.document_id",
		&args);
	for (uint64 i = 0; i < n; i++)
	{
		bool isnull;
		Datum datum = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 6, &isnull);
		bytea *head = isnull ? NULL : DatumGetByteaPP(datum);

		memset(&all[i], 0, sizeof(Found));
		all[i].document_id = cs_get_int64(i, 1, 0);
		all[i].content_id = cs_get_int64(i, 2, 0);
		all[i].size = cs_get_int64(i, 3, 0);
		all[i].attempts = (int) cs_get_int64(i, 4, 0);
		look_at(&all[i], head ? VARDATA_ANY(head) : "", head ? VARSIZE_ANY_EXHDR(head) : 0,
				cs_get_text(i, 5));
	}
	return (int) n;
}

static bool
is_begun(const Found *found)
{
	return found->result.state == CS_OCR_AGAIN && needs_no_program(found);
}

/* They are begun, should this be the last that is heard of them. */
static void
count_attempts(const Found *all, int n)
{
	CsColumn ids = {.type = INT8OID};
	Args args = {0};

	for (int i = 0; i < n; i++)
		if (is_begun(&all[i]))
			cs_column_add(&ids, Int64GetDatum(all[i].document_id), false);
	if (ids.n == 0)
		return;
	add(&args, INT8ARRAYOID, cs_column_array(&ids), false);
	execute("UPDATE cloudsync.document SET ocr_attempts = ocr_attempts + 1 WHERE document_id = ANY ($1)",
			&args);
}

/* That is committed. */
static void
note_begun(CsOcr *ocr, const Found *all, int n)
{
	for (int i = 0; i < n; i++)
		if (is_begun(&all[i]))
			ocr->begun[ocr->n_begun++] = all[i].document_id;
}

static void
enqueue(CsOcr *ocr, const Found *found)
{
	MemoryContext old = MemoryContextSwitchTo(ocr->context);
	CsWaiting *waiting = palloc(sizeof(CsWaiting));

	waiting->document_id = found->document_id;
	waiting->kind = found->kind;
	ocr->queue = lappend(ocr->queue, waiting);
	MemoryContextSwitchTo(old);
}

/*
 * Plain text and markup: read in a transaction, up to what is kept of text, and
 * one page of the result.
 */
static void
read_text(Found *found)
{
	size_t max = (size_t) cs_ocr_max_text_mb * 1024 * 1024;
	Args args = {0};
	StringInfoData bytes;
	StringInfoData text;
	CsPage *page = palloc0(sizeof(CsPage));
	bool cut;
	uint64 n;

	/* each character is four bytes at most in what it is read from */
	initStringInfo(&bytes);
	add_int64(&args, found->content_id, false);
	add_int64(&args, (int64) (max / CS_CHUNK_SIZE * 4), false);
	n = execute("SELECT bytes FROM cloudsync.chunk WHERE content_id = $1 AND seq < $2 ORDER BY seq", &args);
	for (uint64 i = 0; i < n; i++)
	{
		bool isnull;
		Datum datum = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);
		bytea *chunk = DatumGetByteaPP(datum);

		if (bytes.len + VARSIZE_ANY_EXHDR(chunk) < MaxAllocSize / 4)
			appendBinaryStringInfo(&bytes, VARDATA_ANY(chunk), VARSIZE_ANY_EXHDR(chunk));
	}
	initStringInfo(&text);
	cut = cs_plain_text(&text, bytes.data, bytes.len, max) || bytes.len < found->size;
	if (found->kind == CS_DOCUMENT_MARKUP)
	{
		StringInfoData shown;

		initStringInfo(&shown);
		cs_markup_text(&shown, text.data, text.len);
		text = shown;
	}
	page->number = 1;
	page->source = 'p';
	page->text = text.data;
	page->length = text.len;
	found->result.state = CS_OCR_DONE;
	found->result.pages = page;
	found->result.n_pages = found->result.document_pages = 1;
	if (cut)
		found->result.reason = psprintf("only the first %d MB of text are kept (cloudsync.ocr_max_text)",
										cs_ocr_max_text_mb);
}

static void
settle_found(void *arg)
{
	Found *found = arg;

	if (found->result.state == CS_OCR_AGAIN)
		read_text(found);
	cs_ocr_write(found->document_id, &found->result);
}

/*
 * Each in a subtransaction; who has the row locked since the scan, or changed
 * it, is left alone.
 */
static void
settle_one(Found *found, MemoryContext context)
{
	ErrorData *error = NULL;
	MemoryContext old;
	Args args = {0};

	add_int64(&args, found->document_id, false);
	if (execute("SELECT FROM cloudsync.document WHERE document_id = $1 AND ocr_state = 'pending' "
				"FOR NO KEY UPDATE SKIP LOCKED", &args) == 0)
		return;
	MemoryContextReset(context);
	old = MemoryContextSwitchTo(context);
	if (!cs_try(settle_found, found, &error))
	{
		CsOcrResult failed = {0};

		cs_result_fail(&failed, cs_error_text(error));
		found->result = failed;
		cs_ocr_write(found->document_id, &failed);
	}
	MemoryContextSwitchTo(old);
}

/* Those of which there is no text all at once, and when that fails like others. */
static void
settle_all(Found *all, int n)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "cloudsync document", ALLOCSET_DEFAULT_SIZES);
	CsOcrEnd *ends = palloc(sizeof(CsOcrEnd) * n);
	int n_ends = 0;
	bool written;

	for (int i = 0; i < n; i++)
		if (all[i].result.state != CS_OCR_AGAIN)
			ends[n_ends++] = (CsOcrEnd){all[i].document_id, all[i].result.state, all[i].result.reason};
	written = cs_ocr_write_ends(ends, n_ends);
	for (int i = 0; i < n; i++)
		if (needs_no_program(&all[i]) && (!written || all[i].result.state == CS_OCR_AGAIN))
			settle_one(&all[i], context);
	MemoryContextDelete(context);
}

/* See reading.h. */
bool
cs_ocr_scan(CsOcr *ocr)
{
	Found *all = palloc(sizeof(Found) * lengthof(ocr->begun));
	int n;
	int direct = 0;

	if (list_length(ocr->queue) >= QUEUE_MAX)
		return false;
	ocr->n_begun = 0;
	cs_begin("looking for documents to read");
	n = find_documents(ocr, all);
	count_attempts(all, n);
	cs_commit();
	note_begun(ocr, all, n);
	if (n > 0)
		cs_make_durable();
	for (int i = 0; i < n; i++)
	{
		if (needs_no_program(&all[i]))
			direct++;
		else
			enqueue(ocr, &all[i]);
	}
	if (direct == 0)
		return n >= CS_OCR_STEP;
	CS_CRASH_POINT("ocr.before_text");
	cs_begin("reading documents");
	settle_all(all, n);
	cs_commit();
	ocr->n_begun = 0;
	return n >= CS_OCR_STEP;
}
