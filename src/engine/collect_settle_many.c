/*
 * collect_settle_many.c
 *	  Small new documents, made many by a few statements (L5). Only what needs no
 *	  decision goes this way: never seen before, no function of the application
 *	  to be run. The dedup records come first: all of them must be new, or
 *	  everything is taken back and decided file by file.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "args.h"
#include "settling.h"

#define FEWEST 2
#define MOST_FILES 50
#define MOST_BYTES (2 * 1024 * 1024)

typedef struct Together
{
	CsCollect *c;
	int n;
	Settling all[MOST_FILES];
	int64 bytes;
} Together;

static bool
is_plain(const CsCollect *c, const CsFetch *f)
{
	return f->received && !f->known && !f->verify && f->document_id == 0 &&
		   f->writer->content_id == 0 && !f->writer->discard && c->recollect == 0;
}

static bool
has_hooks(void)
{
	return cs_execute("SELECT FROM cloudsync.hook WHERE event = 'collected' LIMIT 1", 0,
					  NULL, NULL, NULL, true) > 0;
}

/* Files with the same bytes or the same id are decided one after the other. */
static bool
is_twin(const Together *together, const Settling *s)
{
	for (int i = 0; i < together->n; i++)
	{
		const CsFetch *other = together->all[i].f;

		if (memcmp(other->sha256, s->f->sha256, CS_SHA256_LENGTH) == 0 ||
			(s->f->remote_id != NULL && other->remote_id != NULL &&
			 strcmp(other->remote_id, s->f->remote_id) == 0))
			return true;
	}
	return false;
}

/* What this extension pushed itself is known by its id and bytes. */
static bool
any_pushed(Together *together)
{
	CsColumn columns[2] = {{TEXTOID}, {BYTEAOID}};
	Args args = {0};

	for (int i = 0; i < together->n; i++)
	{
		if (together->all[i].f->remote_id == NULL)
			continue;
		cs_column_add(&columns[0], cs_text_from_utf8(together->all[i].f->remote_id), false);
		cs_column_add(&columns[1], together->all[i].sha256, false);
	}
	if (columns[0].n == 0)
		return false;
	add_int64(&args, together->c->job.connection->account_id, false);
	add_columns(&args, columns, lengthof(columns));
	return execute("SELECT FROM ROWS FROM (unnest($2), unnest($3)) AS r (remote_id, sha256), "
				   "cloudsync.destination t JOIN cloudsync.pushed_file p "
				   "ON p.destination_id = t.destination_id "
				   "WHERE t.account_id = $1 AND p.remote_id = r.remote_id AND p.sha256 = r.sha256 LIMIT 1",
				   &args) > 0;
}

static void
take_numbers(Together *together)
{
	Args args = {0};

	add_int64(&args, together->n, false);
	execute("SELECT nextval('cloudsync.document_document_id_seq') FROM generate_series(1, $1)", &args);
	for (int i = 0; i < together->n; i++)
		together->all[i].f->new_document_id = cs_get_int64(i, 1, 0);
}

static void
record_all(Together *together)
{
	CsColumn columns[6] = {{TEXTOID}, {TEXTOID}, {INT8OID}, {TEXTOID}, {INT8OID}, {BYTEAOID}};
	Args args = {0};

	for (int i = 0; i < together->n; i++)
	{
		Settling *s = &together->all[i];
		const Datum keys[3] = {s->item_key, s->content_key, s->version_key};
		static const char *const kinds[3] = {"item", "content", "version"};

		for (int k = 0; k < 3; k++)
		{
			cs_column_add_text(&columns[0], kinds[k]);
			cs_column_add(&columns[1], keys[k], false);
			cs_column_add(&columns[2], Int64GetDatum(s->f->new_document_id), false);
			cs_column_add(&columns[3], s->f->version ? cs_text_from_utf8(s->f->version) : (Datum) 0,
						  s->f->version == NULL);
			cs_column_add(&columns[4], Int64GetDatum(s->f->received_size), false);
			cs_column_add(&columns[5], s->sha256, false);
		}
	}
	add_int64(&args, together->c->job.connection->account_id, false);
	add_columns(&args, columns, lengthof(columns));
	if (execute("INSERT INTO cloudsync.dedup (account_id, kind, key, document_id, remote_version, size, sha256) "
				"SELECT $1, d.kind, d.key, d.document_id, d.version, d.size, d.sha256 "
				"FROM ROWS FROM (unnest($2), unnest($3), unnest($4), unnest($5), unnest($6), unnest($7)) "
				"AS d (kind, key, document_id, version, size, sha256) ON CONFLICT DO NOTHING",
				&args) != 3 * (uint64) together->n)
		ereport(ERROR, (errcode(ERRCODE_UNIQUE_VIOLATION),
						errmsg("some of the documents are known")));
	for (int i = 0; i < together->n; i++)
		cs_settling_record_checksum(&together->all[i]);
}

/* Their bytes: a content and, unless it is empty, one chunk each. */
static Datum
write_contents(Together *together)
{
	CsColumn contents = {INT8OID};
	CsColumn columns[2] = {{INT8OID}, {BYTEAOID}};
	Args args = {0};
	Args chunks = {0};

	add_int64(&args, together->c->job.connection->connection_id, false);
	add_int64(&args, together->n, false);
	execute("INSERT INTO cloudsync.content (connection_id) SELECT $1 FROM generate_series(1, $2) "
			"RETURNING content_id",
			&args);
	for (int i = 0; i < together->n; i++)
		cs_column_add(&contents, Int64GetDatum(cs_get_int64(i, 1, 0)), false);
	for (int i = 0; i < together->n; i++)
	{
		const CsContentWriter *writer = together->all[i].f->writer;
		bytea *bytes;

		if (writer->len == 0)
			continue;
		bytes = palloc(VARHDRSZ + writer->len);
		SET_VARSIZE(bytes, VARHDRSZ + writer->len);
		memcpy(VARDATA(bytes), writer->buf, writer->len);
		cs_column_add(&columns[0], contents.values[i], false);
		cs_column_add(&columns[1], PointerGetDatum(bytes), false);
	}
	if (columns[0].n > 0)
	{
		add_columns(&chunks, columns, lengthof(columns));
		execute("INSERT INTO cloudsync.chunk (content_id, seq, bytes) SELECT b.content_id, 0, b.bytes "
				"FROM ROWS FROM (unnest($1), unnest($2)) AS b (content_id, bytes)",
				&chunks);
	}
	return cs_column_array(&contents);
}

static void
write_documents(Together *together, Datum contents)
{
	CsColumn columns[9] = {{INT8OID}, {TEXTOID}, {INT8OID}, {BYTEAOID}, {TEXTOID},
						   {TEXTOID}, {TEXTOID}, {TEXTOID}, {TIMESTAMPTZOID}};
	CsCollect *c = together->c;
	Args args = {0};

	for (int i = 0; i < together->n; i++)
	{
		Settling *s = &together->all[i];
		CsFetch *f = s->f;

		cs_column_add(&columns[0], Int64GetDatum(f->new_document_id), false);
		cs_column_add(&columns[1], cs_text_from_utf8(f->name), false);
		cs_column_add(&columns[2], Int64GetDatum(f->received_size), false);
		cs_column_add(&columns[3], s->sha256, false);
		cs_column_add_text(&columns[4], cs_media_type(f->name));
		cs_column_add(&columns[5], f->remote_id ? cs_text_from_utf8(f->remote_id) : (Datum) 0,
					  f->remote_id == NULL);
		cs_column_add(&columns[6], cs_text_from_utf8(f->path), false);
		cs_column_add(&columns[7], f->version ? cs_text_from_utf8(f->version) : (Datum) 0,
					  f->version == NULL);
		cs_column_add(&columns[8], TimestampTzGetDatum(f->modified), f->modified == 0);
	}
	add_text(&args, c->job.connection->tenant);
	add_int64(&args, c->job.connection->account_id, false);
	add_int64(&args, c->job.connection->connection_id, false);
	add_int64(&args, c->channel_id, false);
	add_int64(&args, c->job.run_id, false);
	add(&args, TEXTOID, cs_text_from_utf8(c->recipient), false);
	add(&args, TEXTOID, cs_text_from_utf8(c->binder), false);
	add_columns(&args, columns, lengthof(columns));
	add(&args, INT8ARRAYOID, contents, false);
	execute("INSERT INTO cloudsync.document (tenant, account_id, connection_id, channel_id, run_id, "
			"recipient, binder, document_id, name, size, sha256, media_type, remote_id, remote_path, "
			"remote_version, remote_modified_at, content_id) "
			"SELECT $1, $2, $3, $4, $5, $6, $7, d.* FROM ROWS FROM (unnest($8), unnest($9), unnest($10), "
			"unnest($11), unnest($12), unnest($13), unnest($14), unnest($15), unnest($16), unnest($17)) AS d",
			&args);
}

/* Another version that was listed meanwhile is still to be compared. */
static void
write_items(Together *together)
{
	CsColumn columns[5] = {{INT8OID}, {INT8OID}, {TEXTOID}, {BYTEAOID}, {TEXTOID}};
	Args args = {0};

	for (int i = 0; i < together->n; i++)
	{
		Settling *s = &together->all[i];
		char *away = cs_settling_away_path(s->c, s->f);

		cs_column_add(&columns[0], Int64GetDatum(s->f->item_id), false);
		cs_column_add(&columns[1], Int64GetDatum(s->f->new_document_id), false);
		cs_column_add(&columns[2], away ? cs_text_from_utf8(away) : (Datum) 0, away == NULL);
		cs_column_add(&columns[3], s->sha256, false);
		cs_column_add(&columns[4], s->f->version ? cs_text_from_utf8(s->f->version) : (Datum) 0,
					  s->f->version == NULL);
	}
	add_int64(&args, together->c->job.run_id, false);
	add_columns(&args, columns, lengthof(columns));
	execute("UPDATE cloudsync.item i SET state = 'collected', reason = NULL, document_id = s.document_id, "
			"move_to = COALESCE(s.move_to, i.move_to), sha256 = s.sha256, listing = $1, "
			"verify = i.remote_version IS DISTINCT FROM s.version, attempts = 0, next_try_at = NULL, seen_at = clock_timestamp() "
			"FROM ROWS FROM (unnest($2), unnest($3), unnest($4), unnest($5), unnest($6)) "
			"AS s (item_id, document_id, move_to, sha256, version) WHERE i.item_id = s.item_id",
			&args);
}

static void
write_history(Together *together)
{
	CsColumn columns[3] = {{TEXTOID}, {INT8OID}, {BYTEAOID}};
	Args args = {0};

	for (int i = 0; i < together->n; i++)
	{
		Settling *s = &together->all[i];

		cs_column_add(&columns[0], cs_text_from_utf8(s->f->path), false);
		cs_column_add(&columns[1], Int64GetDatum(s->f->received_size), false);
		cs_column_add(&columns[2], s->sha256, false);
	}
	add_int64(&args, together->c->job.run_id, false);
	add_int64(&args, together->c->job.connection->connection_id, false);
	add_columns(&args, columns, lengthof(columns));
	execute("INSERT INTO cloudsync.run_file (run_id, connection_id, action, path, size, sha256) "
			"SELECT $1, $2, 'collected', h.* FROM ROWS FROM (unnest($3), unnest($4), unnest($5)) AS h",
			&args);
}

/* In a subtransaction. */
static void
become_documents(void *arg)
{
	Together *together = arg;

	take_numbers(together);
	record_all(together);
	write_documents(together, write_contents(together));
	write_items(together);
	write_history(together);
}

static void
settle(Together *together, int *done, int64 *bytes)
{
	ErrorData *error = NULL;

	if (together->n >= FEWEST && !any_pushed(together))
	{
		if (cs_try(become_documents, together, &error))
		{
			for (int i = 0; i < together->n; i++)
				together->all[i].f->as = CS_AS_DOCUMENT;
			*done += together->n;
			*bytes += together->bytes;
		}
		else
		{
			for (int i = 0; i < together->n; i++)
				together->all[i].f->new_document_id = 0;
			FreeErrorData(error);
		}
	}
	together->n = 0;
	together->bytes = 0;
}

/* See settling.h. */
void
cs_settle_together(CsCollect *c, List *files, int *done, int64 *bytes)
{
	Together *together = palloc0(sizeof(Together));
	ListCell *cell;

	if (list_length(files) < FEWEST || has_hooks())
		return;
	together->c = c;
	foreach (cell, files)
	{
		Settling s = {c, lfirst(cell)};

		if (!is_plain(c, s.f) || is_twin(together, &s))
			continue;
		if (together->n == MOST_FILES || together->bytes + s.f->received_size > MOST_BYTES)
			settle(together, done, bytes);
		cs_settling_make_keys(&s);
		together->all[together->n++] = s;
		together->bytes += s.f->received_size;
	}
	settle(together, done, bytes);
}
