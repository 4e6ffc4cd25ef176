/*
 * push_args.h
 *	  Arguments of a statement, filled one by one: what the parts of a push that
 *	  record share.
 */
#ifndef CLOUDSYNC_PUSH_ARGS_H
#define CLOUDSYNC_PUSH_ARGS_H

#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "cloudsync/column.h"
#include "cloudsync/db.h"
#include "cloudsync/push.h"

/* With add_file, and with add_dossier, as the first arguments. */
#define THIS_FILE \
	"destination_id OPERATOR(pg_catalog.=) $1 AND dossiers_id OPERATOR(pg_catalog.=) $2 " \
	"AND dossier OPERATOR(pg_catalog.=) $3 AND source_id OPERATOR(pg_catalog.=) $4 " \
	"AND file_key OPERATOR(pg_catalog.=) $5"
#define THIS_DOSSIER \
	"destination_id OPERATOR(pg_catalog.=) $1 AND dossiers_id OPERATOR(pg_catalog.=) $2 " \
	"AND dossier OPERATOR(pg_catalog.=) $3"

/* Arguments of a statement, filled one by one. */
typedef struct Args
{
	int n;
	Oid types[20];
	Datum values[20];
	char nulls[21];
} Args;

static inline void
add(Args *args, Oid type, Datum value, bool isnull)
{
	Assert(args->n < (int) lengthof(args->types));
	args->types[args->n] = type;
	args->values[args->n] = value;
	args->nulls[args->n] = isnull ? 'n' : ' ';
	args->n++;
}

static inline void
add_text(Args *args, const char *text)
{
	add(args, TEXTOID, text ? CStringGetTextDatum(text) : (Datum) 0, text == NULL);
}

static inline void
add_int64(Args *args, int64 value, bool isnull)
{
	add(args, INT8OID, Int64GetDatum(value), isnull);
}

static inline Datum
cs_sha256_datum(const uint8 *sha256)
{
	bytea *bytes = palloc(VARHDRSZ + CS_SHA256_LENGTH);

	SET_VARSIZE(bytes, VARHDRSZ + CS_SHA256_LENGTH);
	memcpy(VARDATA(bytes), sha256, CS_SHA256_LENGTH);
	return PointerGetDatum(bytes);
}

static inline void
add_sha256(Args *args, const uint8 *sha256)
{
	add(args, BYTEAOID, sha256 ? cs_sha256_datum(sha256) : (Datum) 0, sha256 == NULL);
}

static inline void
add_time(Args *args, TimestampTz time)
{
	add(args, TIMESTAMPTZOID, TimestampTzGetDatum(time), TIMESTAMP_NOT_FINITE(time));
}

static inline void
add_dossier(Args *args, CsPushJob *push)
{
	add_int64(args, push->setting->destination_id, false);
	add(args, INT4OID, Int32GetDatum(push->dossiers_id), false);
	add_text(args, push->dossier);
}

static inline void
add_file(Args *args, CsPushJob *push, const CsPushFile *file)
{
	add_dossier(args, push);
	add(args, INT4OID, Int32GetDatum(file->plan->source_id), false);
	add_text(args, file->plan->file_key);
}

/* Each as an array. */
static inline void
add_columns(Args *args, const CsColumn *columns, int n)
{
	for (int i = 0; i < n; i++)
		add(args, get_array_type(columns[i].type), cs_column_array(&columns[i]), false);
}

static inline uint64
execute(const char *sql, Args *args)
{
	return cs_execute(sql, args->n, args->types, args->values, args->nulls, false);
}

static inline char *
key_of(CsPushJob *push, const char *path)
{
	return cs_name_key(path, &push->setting->provider->names);
}

#endif
