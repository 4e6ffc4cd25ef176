/*
 * ocr.h
 *	  Reading documents (B2): which are to be read, their bytes on the way to a
 *	  program outside the server, its output on the way back, and the result in
 *	  one transaction. A state machine like a job: nothing in here waits but for
 *	  the database.
 */
#ifndef CLOUDSYNC_OCR_H
#define CLOUDSYNC_OCR_H

#include "postgres.h"

#include "utils/timestamp.h"

typedef struct CsOcr CsOcr;

/*
 * One for a process, which must be the only one in this database. Makes the
 * private folder, and removes what was left in it.
 */
extern CsOcr *cs_ocr_create(void);

/*
 * Goes on as far as it can. woken: look for documents, and whether those being
 * read are still wanted. Errors are recorded against their documents.
 */
extern void cs_ocr_turn(CsOcr *ocr, bool woken);

/* Readable when a program has said something: an epoll descriptor. */
extern int cs_ocr_fd(CsOcr *ocr);

/* When the next turn is wanted at the latest; a time that is past: at once. */
extern TimestampTz cs_ocr_wake_at(CsOcr *ocr);

/* Documents being read or known to be waiting for it. */
extern int cs_ocr_busy(CsOcr *ocr);

/* What pg_stat_activity says of it; NULL: nothing is being read. palloc'd. */
extern char *cs_ocr_activity(CsOcr *ocr);

/*
 * Ends what is being read, which counts as failed: somebody cancelled it. The
 * cancellation of a statement of a turn does the same.
 */
extern void cs_ocr_cancel(CsOcr *ocr);

/*
 * Ends everything in good order: what was being read is as if it had not been
 * begun. Outside of transactions; the process ends then, or is ending.
 */
extern void cs_ocr_leave(CsOcr *ocr);

/* When a document is to be read; DT_NOEND: none. In a transaction of its own. */
extern TimestampTz cs_ocr_next(void);

#endif
