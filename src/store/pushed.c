/*
 * pushed.c
 *	  What was pushed: reading the records of files at a destination.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "cloudsync/db.h"
#include "cloudsync/plan.h"

static bool
get_sha256(uint64 row, int column, uint8 *sha256)
{
	bool isnull;
	Datum value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column,
								&isnull);
	bytea *bytes;

	if (isnull)
		return false;
	bytes = DatumGetByteaPP(value);
	if (VARSIZE_ANY_EXHDR(bytes) != CS_SHA256_LENGTH)
		return false;
	memcpy(sha256, VARDATA_ANY(bytes), CS_SHA256_LENGTH);
	return true;
}

/* See plan.h. */
List *
cs_records_read(int64 destination_id, int dossiers_id, const char *dossier)
{
	Oid types[3] = {INT8OID, INT4OID, TEXTOID};
	Datum values[3] = {Int64GetDatum(destination_id), Int32GetDatum(dossiers_id),
					   CStringGetTextDatum(dossier)};
	List *records = NIL;
	uint64 n;
	uint64 i;

	n = cs_execute("SELECT source_id, file_key, path, wanted, remote_id, remote_version, "
				   "content_version, state, size, sha256, intent_path, intent_temp, "
				   "intent_size, intent_sha256, attempts, trash_confirmed, intent_session, content_tag, "
				   "COALESCE(remote_checksum, checksum), intent_checksum, intent_at "
				   "FROM cloudsync.pushed_file "
				   "WHERE destination_id OPERATOR(pg_catalog.=) $1 "
				   "AND dossiers_id OPERATOR(pg_catalog.=) $2 "
				   "AND dossier OPERATOR(pg_catalog.=) $3 "
				   "ORDER BY source_id, file_key",
				   3, types, values, NULL, true);
	for (i = 0; i < n; i++)
	{
		CsRecord *record = palloc0(sizeof(CsRecord));

		record->source_id = (int) cs_get_int64(i, 1, 0);
		record->file_key = cs_get_text(i, 2);
		record->path = cs_get_text(i, 3);
		record->wanted = cs_get_text(i, 4);
		record->remote_id = cs_get_text(i, 5);
		record->remote_version = cs_get_text(i, 6);
		record->content_version = cs_get_text(i, 7);
		record->state = cs_get_text(i, 8);
		record->size = cs_get_int64(i, 9, -1);
		record->has_sha256 = get_sha256(i, 10, record->sha256);
		record->intent_path = cs_get_text(i, 11);
		record->intent_temp = cs_get_text(i, 12);
		record->intent_size = cs_get_int64(i, 13, -1);
		record->has_intent_sha256 = get_sha256(i, 14, record->intent_sha256);
		record->attempts = (int) cs_get_int64(i, 15, 0);
		record->trash_confirmed = cs_get_bool(i, 16, false);
		record->intent_session = cs_get_text(i, 17);
		record->content_tag = cs_get_text(i, 18);
		record->checksum = cs_get_text(i, 19);
		record->intent_checksum = cs_get_text(i, 20);
		record->intent_at = cs_get_timestamptz(i, 21, 0);
		records = lappend(records, record);
	}
	return records;
}
