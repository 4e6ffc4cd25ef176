/*
 * content.c
 *	  Chunks and staging of documents on their way in (include/cloudsync/content.h).
 *	  Relies on store/db.c; tables in sql/inbox.sql.
 */
#include "postgres.h"

#include <sys/statvfs.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "cloudsync/content.h"
#include "cloudsync/crash.h"
#include "cloudsync/db.h"

#define FIRST_BUFFER (32 * 1024)

/* One statement a chunk; the content and its staging row come with the first. */
static void
insert_chunk(CsContentWriter *writer)
{
	Oid types[3] = {INT8OID, INT4OID, BYTEAOID};
	Datum values[3];
	bytea *bytes = palloc(VARHDRSZ + writer->len);

	SET_VARSIZE(bytes, VARHDRSZ + writer->len);
	memcpy(VARDATA(bytes), writer->buf, writer->len);
	values[0] = Int64GetDatum(writer->content_id);
	values[1] = Int32GetDatum(writer->seq);
	values[2] = PointerGetDatum(bytes);
	cs_execute("INSERT INTO cloudsync.chunk (content_id, seq, bytes) "
			   "VALUES ($1, $2, $3)",
			   3, types, values, NULL, false);
	pfree(bytes);
}

static int64
new_content(CsContentWriter *writer)
{
	Oid types[1] = {INT8OID};
	Datum values[1] = {Int64GetDatum(writer->connection_id)};

	cs_execute("INSERT INTO cloudsync.content (connection_id) VALUES ($1) "
			   "RETURNING content_id",
			   1, types, values, NULL, false);
	return cs_get_int64(0, 1, 0);
}

static void
insert_staging(CsContentWriter *writer, int64 content_id)
{
	Oid types[4] = {INT8OID, INT8OID, INT8OID, INT8OID};
	Datum values[4];

	values[0] = Int64GetDatum(content_id);
	values[1] = Int64GetDatum(writer->connection_id);
	values[2] = Int64GetDatum(writer->run_id);
	values[3] = Int64GetDatum(writer->item_id);
	cs_execute("INSERT INTO cloudsync.staging "
			   "(content_id, connection_id, run_id, item_id) "
			   "VALUES ($1, $2, $3, $4)",
			   4, types, values, NULL, false);
}

/*
 * Writes the full chunk to staging. Its commit need not reach the disk before
 * the settling one, which comes after it in the log.
 */
static void
flush_chunk(CsContentWriter *writer)
{
	int64 content_id = writer->content_id;

	cs_begin("receiving a document");
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	if (content_id == 0)
	{
		writer->content_id = new_content(writer);
		PG_TRY();
		{
			insert_staging(writer, writer->content_id);
			insert_chunk(writer);
			cs_commit();
		}
		PG_CATCH();
		{
			writer->content_id = 0;
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
	else
	{
		insert_chunk(writer);
		cs_commit();
	}
	writer->seq++;
	writer->len = 0;
	CS_CRASH_POINT("collect.after_chunk");
}

/* Room in the buffer for at least one more byte, growing to a whole chunk. */
static void
make_room(CsContentWriter *writer, int64 wanted)
{
	int cap = writer->cap == 0 ? FIRST_BUFFER : writer->cap;

	while (cap < CS_CHUNK_SIZE && cap < writer->len + wanted)
		cap *= 2;
	if (cap == writer->cap)
		return;
	if (writer->buf == NULL)
		writer->buf = MemoryContextAlloc(writer->context, cap);
	else
		writer->buf = repalloc(writer->buf, cap);
	writer->cap = cap;
}

static bool
content_write(CsBody *body, const char *buf, int64 len, CsFailure *failure)
{
	CsContentWriter *writer = body->owner;

	writer->total += len;
	if (writer->limit > 0 && writer->total > writer->limit)
	{
		failure->failure_class = CS_FAIL_REFUSED;
		snprintf(failure->message, sizeof(failure->message),
				 "the file is larger than " INT64_FORMAT " bytes",
				 writer->limit);
		return false;
	}
	if (writer->discard)
		return true;
	while (len > 0)
	{
		int n;

		if (writer->len == CS_CHUNK_SIZE)
			flush_chunk(writer);
		make_room(writer, len);
		n = (int) Min(len, (int64) (writer->cap - writer->len));
		memcpy(writer->buf + writer->len, buf, n);
		writer->len += n;
		buf += n;
		len -= n;
	}
	return true;
}

/* A repeated request brings the bytes from the start. */
static bool
content_restart(CsBody *body, CsFailure *failure)
{
	CsContentWriter *writer = body->owner;

	if (writer->content_id != 0)
	{
		cs_begin("receiving a document");
		cs_content_drop(writer);
		cs_commit();
	}
	writer->content_id = 0;
	writer->seq = 0;
	writer->len = 0;
	writer->total = 0;
	return true;
}

/* See content.h. */
CsContentWriter *
cs_content_writer(int64 connection_id, int64 run_id, int64 item_id,
				  int64 limit, bool discard)
{
	CsContentWriter *writer = palloc0(sizeof(CsContentWriter));

	writer->context = CurrentMemoryContext;
	writer->connection_id = connection_id;
	writer->run_id = run_id;
	writer->item_id = item_id;
	writer->limit = limit;
	writer->discard = discard;
	writer->body.write = content_write;
	writer->body.restart = content_restart;
	writer->body.owner = writer;
	return writer;
}

/* See content.h. An empty document has no chunk. */
int64
cs_content_take(CsContentWriter *writer)
{
	CsContentWriter last = *writer;
	Oid types[1] = {INT8OID};
	Datum values[1];

	if (last.content_id == 0)
		last.content_id = new_content(writer);
	else
	{
		values[0] = Int64GetDatum(last.content_id);
		if (cs_execute("DELETE FROM cloudsync.staging "
					   "WHERE content_id OPERATOR(pg_catalog.=) $1",
					   1, types, values, NULL, false) != 1)
			elog(ERROR, "content " INT64_FORMAT " is not in staging",
				 last.content_id);
	}
	if (last.len > 0)
		insert_chunk(&last);
	return last.content_id;
}

/* See content.h. */
void
cs_content_drop(CsContentWriter *writer)
{
	Oid types[1] = {INT8OID};
	Datum values[1] = {Int64GetDatum(writer->content_id)};

	if (writer->content_id == 0)
		return;
	cs_execute("WITH s AS (DELETE FROM cloudsync.staging "
			   "WHERE content_id OPERATOR(pg_catalog.=) $1 RETURNING content_id), "
			   "k AS (DELETE FROM cloudsync.chunk c USING s "
			   "WHERE c.content_id OPERATOR(pg_catalog.=) s.content_id) "
			   "DELETE FROM cloudsync.content c USING s "
			   "WHERE c.content_id OPERATOR(pg_catalog.=) s.content_id",
			   1, types, values, NULL, false);
}

/* See content.h. */
void
cs_content_drop_run(int64 connection_id, int64 run_id)
{
	Oid types[2] = {INT8OID, INT8OID};
	Datum values[2] = {Int64GetDatum(connection_id), Int64GetDatum(run_id)};

	cs_execute("WITH s AS (DELETE FROM cloudsync.staging "
			   "WHERE connection_id OPERATOR(pg_catalog.=) $1 "
			   "AND run_id OPERATOR(pg_catalog.=) $2 RETURNING content_id), "
			   "k AS (DELETE FROM cloudsync.chunk c USING s "
			   "WHERE c.content_id OPERATOR(pg_catalog.=) s.content_id) "
			   "DELETE FROM cloudsync.content c USING s "
			   "WHERE c.content_id OPERATOR(pg_catalog.=) s.content_id",
			   2, types, values, NULL, false);
}

/* See content.h. What only root may use does not count as free. */
int
cs_free_disk_percent(void)
{
	struct statvfs fs;

	if (statvfs(DataDir, &fs) != 0 || fs.f_blocks == 0)
		return -1;
	return (int) ((double) fs.f_bavail * 100 / fs.f_blocks);
}
