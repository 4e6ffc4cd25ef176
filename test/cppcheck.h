/*
 * cppcheck.h
 *	  For cppcheck alone, which reads none of PostgreSQL's headers: macros that
 *	  are syntax.
 */
#define foreach(cell, lst) \
	for (cell = list_head(lst); cell != NULL; cell = lnext(lst, cell))
#define INT64_FORMAT "%ld"
#define UINT64_FORMAT "%lu"
