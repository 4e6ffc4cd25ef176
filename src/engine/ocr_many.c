/*
 * ocr_many.c
 *	  Documents that are over without a text (reading.h): images of disks, videos,
 *	  archives, what is empty. A folder of thousands of them costs a statement for
 *	  each table and hundred, not some for each document.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "cloudsync/db.h"
#include "args.h"
#include "reading.h"

/* What cs_try hands on. */
typedef struct Ends
{
	const CsOcrEnd *all;
	int n;
	CsColumn columns[3]; /* of those that are ours: id, state, reason */
	int *ours;			 /* their places in all */
	int n_ours;
} Ends;

static const CsOcrEnd *
find_end(Ends *ends, int64 document_id)
{
	for (int i = 0; i < ends->n; i++)
		if (ends->all[i].document_id == document_id)
		{
			ends->ours[ends->n_ours++] = i;
			return &ends->all[i];
		}
	elog(ERROR, "document " INT64_FORMAT " was not asked for", document_id);
}

static void
lock_ours(Ends *ends)
{
	CsColumn ids = {.type = INT8OID};
	Args args = {0};
	uint64 n;

	for (int i = 0; i < ends->n; i++)
		cs_column_add(&ids, Int64GetDatum(ends->all[i].document_id), false);
	add_columns(&args, &ids, 1);
	n = execute_lookups("SELECT document_id FROM cloudsync.document WHERE "
						"document_id = ANY ($1) "
						"AND ocr_state = 'pending' ORDER BY document_id FOR NO "
						"KEY UPDATE SKIP LOCKED",
						&args);
	ends->columns[0].type = INT8OID;
	ends->columns[1].type = ends->columns[2].type = TEXTOID;
	for (uint64 i = 0; i < n; i++)
	{
		const CsOcrEnd *end = find_end(ends, cs_get_int64(i, 1, 0));

		cs_column_add(&ends->columns[0], Int64GetDatum(end->document_id),
					  false);
		cs_column_add_text(&ends->columns[1], cs_ocr_state_name(end->state));
		cs_column_add(&ends->columns[2],
					  end->reason ? cs_text_lossy(end->reason) : (Datum) 0,
					  end->reason == NULL);
	}
}

static void
write_ours(const Ends *ends)
{
	Args ids = {0};
	Args args = {0};

	add_columns(&ids, ends->columns, 1);
	add_columns(&args, ends->columns, 3);
	cs_ocr_release_waiting(&ends->columns[0]);
	execute_lookups("DELETE FROM cloudsync.page WHERE document_id = ANY ($1)",
					&ids);
	execute_lookups("UPDATE cloudsync.document d SET ocr_state = e.state, "
					"ocr_reason = e.reason, ocr_languages = NULL, "
					"ocr_confidence = NULL, pages = NULL, excerpt = NULL, "
					"ocr_finished_at = pg_catalog.clock_timestamp(), "
					"ocr_next_try_at = NULL, ocr_waits_for = NULL "
					"FROM unnest($1, $2, $3) AS e (document_id, state, reason) "
					"WHERE d.document_id = e.document_id",
					&args);
	cs_ocr_write_words(&ends->columns[0]);
}

static void
lock_and_write(void *arg)
{
	Ends *ends = arg;

	lock_ours(ends);
	if (ends->n_ours > 0)
		write_ours(ends);
}

/* See reading.h. */
bool
cs_ocr_write_ends(const CsOcrEnd *all, int n)
{
	Ends ends = {.all = all, .n = n, .ours = palloc(sizeof(int) * (n + 1))};
	ErrorData *error = NULL;

	if (n == 0)
		return true;
	if (!cs_try(lock_and_write, &ends, &error))
		return false;
	for (int i = 0; i < ends.n_ours; i++)
		cs_ocr_tell(all[ends.ours[i]].document_id, all[ends.ours[i]].state);
	return true;
}
