/*
 * column.h
 *	  Rows for a statement that takes them as arrays, a column each, so that many
 *	  rows cost one statement.
 */
#ifndef CLOUDSYNC_COLUMN_H
#define CLOUDSYNC_COLUMN_H

#include "postgres.h"

/* type is set by the caller; the rest begins as zeros. */
typedef struct CsColumn
{
	Oid type;
	int n;
	int cap;
	Datum *values;
	bool *nulls;
} CsColumn;

/* In the current memory context. */
extern void cs_column_add(CsColumn *column, Datum value, bool isnull);
extern void cs_column_add_text(CsColumn *column, const char *text); /* NULL: null */
extern Datum cs_column_array(const CsColumn *column);

#endif
