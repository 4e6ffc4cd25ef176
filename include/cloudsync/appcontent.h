/*
 * appcontent.h
 *	  The identity of a content value, without reading its bytes where that is
 *	  possible (design decision 6).
 */
#ifndef CLOUDSYNC_APPCONTENT_H
#define CLOUDSYNC_APPCONTENT_H

#include "postgres.h"

/*
 * kind is 'b' (bytea), 'o' (large object, by its OID) or 't' (text). Equal
 * identities mean equal bytes:
 *	 "t:<relation>:<value>:<size>"	a value stored out of line; updates of
 *									other columns keep it
 *	 "h:<SHA-256>"					a value stored in its row
 *	 "l:<SHA-256 over pages>:<size>" a large object
 *	 "u:<SHA-256>"					an address
 * palloc'd; *size in bytes, -1 unknown. A large object is read as the current
 * user; NULL if there is none of that OID.
 */
extern char *cs_content_version(char kind, Datum value, int64 *size);

#endif
