/*
 * settling.h
 *	  What settling one document and settling many together share.
 */
#ifndef CLOUDSYNC_SETTLING_H
#define CLOUDSYNC_SETTLING_H

#include "cloudsync/collect.h"

/* A document being settled, and what is known of its bytes. */
typedef struct Settling
{
	CsCollect *c;
	CsFetch *f;
	Datum sha256;	  /* bytea */
	Datum item_key;	  /* text */
	Datum content_key;
	Datum version_key;
	CsReceived known;
	int64 known_document;
	char *known_path;
	bool conflict; /* a dedup record turned up since it was looked for */
} Settling;

/* The keys of its dedup records, from what was received. */
extern void cs_settling_make_keys(Settling *s);
/* Which SHA-256 the bytes have that the service gives this checksum (L9). */
extern void cs_settling_record_checksum(Settling *s);
/* Where the file is to be moved once it is collected; NULL: nowhere. */
extern char *cs_settling_away_path(const CsCollect *c, const CsFetch *f);

/*
 * collect_settle_many.c: makes documents of those files that are new beyond
 * doubt, in one subtransaction; adds to the counts and sets new_document_id. The
 * others, and all of them where that fails, are left as they were, to be settled
 * one by one. In a transaction.
 */
extern void cs_settle_together(CsCollect *c, List *files, int *done, int64 *bytes);

#endif
