/*
 * args.h
 *	  Arguments of a statement, filled one by one.
 */
#ifndef CLOUDSYNC_ARGS_H
#define CLOUDSYNC_ARGS_H

#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "cloudsync/column.h"
#include "cloudsync/db.h"
#include "cloudsync/provider.h"

/* Begins as zeros; what is added is palloc'd, or points to what was given. */
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

static inline uint64
execute_lookups(const char *sql, Args *args)
{
	return cs_execute_lookups(sql, args->n, args->types, args->values, args->nulls);
}

#endif
