/*
 * ocr_settle.c
 *	  The result of a reading in one transaction: pages, words, the document's
 *	  row, and the application's functions (ocr.h, B3). A function that fails
 *	  takes nothing of that with it: the document says so.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "cloudsync/collect.h"
#include "cloudsync/crash.h"
#include "cloudsync/db.h"
#include "cloudsync/limit.h"
#include "cloudsync/notify.h"
#include "cloudsync/settings.h"
#include "cloudsync/utf8.h"
#include "args.h"
#include "reading.h"

#define EXCERPT_CHARACTERS 200
#define CONVERT_BYTES 4096

static const char *const state_names[] = {"pending", "done", "failed", "not_applicable"};

/* See reading.h. */
const char *
cs_ocr_state_name(CsOcrState state)
{
	return state_names[state];
}

/* A piece in the database's encoding; a question mark for what it lacks. */
static void
append_lossy(StringInfo out, Oid proc, const char *piece, int length)
{
	int encoding = GetDatabaseEncoding();
	int room = length * MAX_CONVERSION_GROWTH + 1;
	char *dest = palloc(room);

	while (length > 0)
	{
		uint32 character;
		int done = pg_do_encoding_conversion_buf(proc, PG_UTF8, encoding, (unsigned char *) piece, length,
												 (unsigned char *) dest, room, true);
		int skip;

		appendStringInfoString(out, dest);
		piece += done;
		length -= done;
		if (length <= 0)
			break;
		skip = Max(cs_utf8_decode(piece, length, &character), 1);
		appendStringInfoChar(out, '?');
		piece += skip;
		length -= skip;
	}
	pfree(dest);
}

/* See reading.h. */
Datum
cs_text_lossy(const char *utf8)
{
	int encoding = GetDatabaseEncoding();
	int length = (int) strlen(utf8);
	StringInfoData out;
	Oid proc;

	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return CStringGetTextDatum(utf8);
	proc = FindDefaultConversionProc(PG_UTF8, encoding);
	if (!OidIsValid(proc))
		return cs_text_from_utf8(utf8);
	initStringInfo(&out);
	while (length > 0)
	{
		int n = Min(length, CONVERT_BYTES);

		/* a character is not cut */
		while (n < length && n > 1 && ((unsigned char) utf8[n] & 0xc0) == 0x80)
			n--;
		append_lossy(&out, proc, utf8, n);
		utf8 += n;
		length -= n;
	}
	return CStringGetTextDatum(out.data);
}

/* The mean over what OCR read, by how much text that is; false: nothing. */
static bool
mean_confidence(const CsOcrResult *result, float *mean)
{
	double sum = 0;
	double weight = 0;

	for (int i = 0; i < result->n_pages; i++)
	{
		const CsPage *page = &result->pages[i];
		double visible = cs_visible_bytes(page->text, page->length);

		if (page->source != 'o' || !page->has_confidence)
			continue;
		sum += page->confidence * visible;
		weight += visible;
	}
	*mean = weight > 0 ? (float) (sum / weight) : 0;
	return weight > 0;
}

static bool
has_ocr(const CsOcrResult *result)
{
	for (int i = 0; i < result->n_pages; i++)
		if (result->pages[i].source == 'o')
			return true;
	return false;
}

/* Of the first page that has any. */
static char *
excerpt(const CsOcrResult *result)
{
	for (int i = 0; i < result->n_pages; i++)
	{
		const CsPage *page = &result->pages[i];

		if (cs_visible_bytes(page->text, page->length) > 0)
			return cs_excerpt(page->text, page->length, EXCERPT_CHARACTERS);
	}
	return NULL;
}

static void
write_pages(int64 document_id, const CsOcrResult *result)
{
	CsColumn columns[4] = {{.type = INT4OID}, {.type = TEXTOID}, {.type = FLOAT4OID}, {.type = TEXTOID}};
	Args args = {0};

	add_int64(&args, document_id, false);
	execute("DELETE FROM cloudsync.page WHERE document_id = $1", &args);
	if (result->n_pages == 0)
		return;
	for (int i = 0; i < result->n_pages; i++)
	{
		const CsPage *page = &result->pages[i];

		cs_column_add(&columns[0], Int32GetDatum(page->number), false);
		cs_column_add_text(&columns[1], page->source == 'l' ? "layer" : page->source == 'o' ? "ocr" : "plain");
		cs_column_add(&columns[2], Float4GetDatum(page->confidence), !page->has_confidence);
		cs_column_add(&columns[3], cs_text_lossy(page->text), false);
	}
	add_columns(&args, columns, 4);
	execute("INSERT INTO cloudsync.page (document_id, page_no, source, confidence, text) "
			"SELECT $1, p.* FROM unnest($2, $3, $4, $5) p", &args);
}

static void
write_document(int64 document_id, const CsOcrResult *result)
{
	bool final = result->state != CS_OCR_AGAIN;
	char *first = excerpt(result);
	Args args = {0};
	float mean;
	bool measured = mean_confidence(result, &mean);

	add_int64(&args, document_id, false);
	add_text(&args, state_names[result->state]);
	add(&args, TEXTOID, result->reason ? cs_text_lossy(result->reason) : (Datum) 0, result->reason == NULL);
	add(&args, BOOLOID, BoolGetDatum(result->uncounted), false);
	add(&args, TEXTOID, result->waits_for ? cs_text_lossy(result->waits_for) : (Datum) 0, result->waits_for == NULL);
	add_int64(&args, result->delay_ms, false);
	if (!final)
	{
		execute("UPDATE cloudsync.document SET ocr_state = $2, ocr_reason = $3, "
				"ocr_attempts = ocr_attempts - CASE WHEN $4 THEN 1 ELSE 0 END, ocr_waits_for = $5, "
				"ocr_next_try_at = pg_catalog.clock_timestamp() + $6 * interval '1 millisecond' "
				"WHERE document_id = $1", &args);
		return;
	}
	args.n = 3;
	add_text(&args, has_ocr(result) ? cs_ocr_languages : NULL);
	add(&args, FLOAT4OID, Float4GetDatum(mean), !measured);
	add(&args, INT4OID, Int32GetDatum(result->document_pages), result->document_pages == 0);
	add(&args, TEXTOID, first ? cs_text_lossy(first) : (Datum) 0, first == NULL);
	execute("UPDATE cloudsync.document SET ocr_state = $2, ocr_reason = $3, ocr_languages = $4, "
			"ocr_confidence = $5, pages = $6, excerpt = $7, ocr_finished_at = pg_catalog.clock_timestamp(), "
			"ocr_next_try_at = NULL, ocr_waits_for = NULL WHERE document_id = $1", &args);
}

/* See reading.h. Nothing is kept of what was erased. */
void
cs_ocr_write_words(const CsColumn *ids)
{
	Args args = {0};

	add_columns(&args, ids, 1);
	execute_lookups(
		"INSERT INTO cloudsync.words (document_id, tenant, recipient, words) "
		"SELECT d.document_id, d.tenant, d.recipient, "
		"CASE WHEN p.body IS NULL THEN cloudsync.name_words(d.name) ELSE cloudsync.words_of(d.name, p.body) END "
		"FROM cloudsync.document d LEFT JOIN LATERAL (SELECT pg_catalog.string_agg(p.text, E'\\n' ORDER BY p.page_no) AS body "
		"FROM cloudsync.page p WHERE p.document_id = d.document_id) p ON true "
		"WHERE d.document_id = ANY ($1) AND d.content_id IS NOT NULL "
		"ON CONFLICT (document_id) DO UPDATE SET recipient = excluded.recipient, words = excluded.words",
		&args);
}

/* See reading.h. */
void
cs_ocr_release_waiting(const CsColumn *ids)
{
	Args args = {0};

	add_columns(&args, ids, 1);
	execute_lookups("UPDATE cloudsync.document w SET ocr_waits_for = NULL, ocr_next_try_at = NULL, ocr_reason = NULL "
					"WHERE w.ocr_state = 'pending' AND w.document_id <> ALL ($1) "
					"AND w.ocr_waits_for IN (SELECT d.ocr_waits_for FROM cloudsync.document d "
					"WHERE d.document_id = ANY ($1) AND d.ocr_waits_for IS NOT NULL)",
					&args);
}

static CsColumn
single(int64 document_id)
{
	CsColumn ids = {.type = INT8OID};

	cs_column_add(&ids, Int64GetDatum(document_id), false);
	return ids;
}

static void
run_hooks(void *arg)
{
	cs_hooks_run("ocr", *(int64 *) arg);
}

static void
note_hook_failure(int64 document_id, const char *text)
{
	Args args = {0};

	add_int64(&args, document_id, false);
	add_text(&args, text);
	execute("UPDATE cloudsync.document SET ocr_state = 'failed', ocr_reason = $2 WHERE document_id = $1", &args);
}

/* The application's function ended the process, and the result with it. */
static void
blame_hook(void *arg, const ErrorData *error)
{
	CsColumn ids;

	cs_begin("recording a document's failure");
	note_hook_failure(*(int64 *) arg, cs_error_text(error));
	ids = single(*(int64 *) arg);
	cs_ocr_write_words(&ids);
	cs_commit();
}

/* See reading.h. */
void
cs_ocr_tell(int64 document_id, CsOcrState state)
{
	ErrorData *error = NULL;

	cs_limit_blame(blame_hook, &document_id);
	if (!cs_try(run_hooks, &document_id, &error))
	{
		state = CS_OCR_FAILED;
		note_hook_failure(document_id, cs_error_text(error));
	}
	cs_limit_blame(NULL, NULL);
	cs_notify("ocr", "document_id", document_id, NULL, state_names[state]);
}

/* See reading.h. */
void
cs_ocr_write(int64 document_id, const CsOcrResult *result)
{
	CsColumn ids = single(document_id);

	if (result->waits_for == NULL)
		cs_ocr_release_waiting(&ids);
	if (result->state != CS_OCR_AGAIN)
		write_pages(document_id, result);
	write_document(document_id, result);
	if (result->state == CS_OCR_AGAIN)
		return;
	cs_ocr_write_words(&ids);
	cs_ocr_tell(document_id, result->state);
}

/* Is it to be settled by us? False: not now, or (gone) never. */
static bool
lock_document(int64 document_id, bool *gone)
{
	Args args = {0};

	*gone = false;
	add_int64(&args, document_id, false);
	if (execute("SELECT FROM cloudsync.document WHERE document_id = $1 AND ocr_state = 'pending' "
				"AND content_id IS NOT NULL FOR NO KEY UPDATE SKIP LOCKED", &args) > 0)
		return true;
	*gone = execute("SELECT FROM cloudsync.document WHERE document_id = $1 AND ocr_state = 'pending' "
					"AND content_id IS NOT NULL", &args) == 0;
	return false;
}

/* See reading.h. */
bool
cs_ocr_settle(CsReading *reading)
{
	bool gone;
	bool locked;

	cs_begin("settling a document that was read");
	locked = lock_document(reading->document_id, &gone);
	if (locked)
	{
		cs_ocr_write(reading->document_id, &reading->result);
		CS_CRASH_POINT("ocr.before_commit");
	}
	cs_commit();
	CS_CRASH_POINT("ocr.after_settle");
	return locked || gone;
}
