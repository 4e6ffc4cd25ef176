/*
 * column.c
 *	  Columns of rows as arrays (include/cloudsync/column.h).
 */
#include "postgres.h"

#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "cloudsync/column.h"

/* See column.h. */
void
cs_column_add(CsColumn *column, Datum value, bool isnull)
{
	if (column->n == column->cap)
	{
		column->cap = column->cap == 0 ? 64 : column->cap * 2;
		if (column->values == NULL)
		{
			column->values = palloc(column->cap * sizeof(Datum));
			column->nulls = palloc(column->cap * sizeof(bool));
		}
		else
		{
			column->values =
				repalloc_huge(column->values, column->cap * sizeof(Datum));
			column->nulls =
				repalloc_huge(column->nulls, column->cap * sizeof(bool));
		}
	}
	column->values[column->n] = value;
	column->nulls[column->n++] = isnull;
}

/* See column.h. */
void
cs_column_add_text(CsColumn *column, const char *text)
{
	cs_column_add(column, text ? CStringGetTextDatum(text) : (Datum) 0, text == NULL);
}

/* See column.h. */
Datum
cs_column_array(const CsColumn *column)
{
	int16 len;
	bool byval;
	char align;
	int dims[1] = {column->n};
	int lower[1] = {1};

	get_typlenbyvalalign(column->type, &len, &byval, &align);
	if (column->n == 0)
		return PointerGetDatum(construct_empty_array(column->type));
	return PointerGetDatum(construct_md_array(column->values, column->nulls, 1,
											  dims, lower, column->type, len,
											  byval, align));
}
