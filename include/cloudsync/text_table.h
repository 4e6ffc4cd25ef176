/*
 * text_table.h
 *	  Tables by texts that stand elsewhere: paths and ids of what is compared.
 */
#ifndef CLOUDSYNC_TEXT_TABLE_H
#define CLOUDSYNC_TEXT_TABLE_H

#include "postgres.h"

#include "utils/hsearch.h"

/*
 * A table in the context, of entries that begin with a char *, found by the text
 * that it points to. A key is searched for by the address of such a pointer; its
 * text must last as long as the entry.
 */
extern HTAB *cs_text_table(const char *name, Size entrysize,
						   MemoryContext context);

#endif
