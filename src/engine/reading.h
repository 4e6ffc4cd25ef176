/*
 * reading.h
 *	  What the parts of reading documents share (ocr*.c).
 */
#ifndef CLOUDSYNC_READING_H
#define CLOUDSYNC_READING_H

#include "postgres.h"

#include "cloudsync/column.h"
#include "cloudsync/document.h"
#include "cloudsync/ocr.h"
#include "cloudsync/program.h"
#include "nodes/pg_list.h"

#define CS_OCR_ATTEMPTS 3

/* What an ended program says by its exit status. */
#define CS_OCR_EXIT_DONE 0
#define CS_OCR_EXIT_NOT_APPLICABLE 3
#define CS_OCR_EXIT_MISSING 4
#define CS_OCR_EXIT_FAILED 5

typedef enum CsOcrState
{
	CS_OCR_AGAIN, /* later: after delay_ms, or when waits_for is there */
	CS_OCR_DONE,
	CS_OCR_FAILED,
	CS_OCR_NOT_APPLICABLE
} CsOcrState;

/* What becomes of a document. */
typedef struct CsOcrResult
{
	CsOcrState state;
	const char *reason;	   /* UTF-8; or NULL */
	const char *waits_for; /* AGAIN: "program package" that is missing */
	int64 delay_ms;
	bool uncounted; /* AGAIN: this attempt was none */
	const CsPage *pages;
	int n_pages;
	int document_pages;
} CsOcrResult;

typedef enum CsReadingPhase
{
	CS_READING_FETCH,
	CS_READING_RUN,
	CS_READING_SETTLE,
	CS_READING_OVER
} CsReadingPhase;

typedef struct CsReading
{
	MemoryContext context; /* everything of it */
	CsReadingPhase phase;
	int64 document_id;
	int64 content_id;
	int64 size;
	CsDocumentKind kind;
	int attempts; /* this one included */
	char *folder;
	int file; /* being written; -1 */
	int32 next_seq;
	int64 written;
	CsProgram *program;
	TimestampTz deadline;
	TimestampTz end_by; /* it has closed its output; or DT_NOEND */
	bool more;			/* of its output is to be had at once */
	bool timed_out;
	CsPages pages;
	StringInfoData said; /* by its standard error */
	CsOcrResult result;
	bool plain; /* its settling failed: settle only that it failed */
	TimestampTz settle_at;
} CsReading;

/* A document that a program is to read. */
typedef struct CsWaiting
{
	int64 document_id;
	CsDocumentKind kind;
} CsWaiting;

/* Documents that one look takes: those of a step, and one for each missing program. */
#define CS_OCR_STEP 100
#define CS_OCR_MISSING 64

struct CsOcr
{
	MemoryContext context;
	MemoryContext turn; /* reset by each turn */
	char *folder;
	int number; /* of the next reading's folder */
	List *queue;	/* of CsWaiting */
	List *readings; /* of CsReading */
	int64 begun[CS_OCR_STEP + CS_OCR_MISSING]; /* being read without a program */
	int n_begun;
	bool scan;		/* there may be documents that are not known */
	TimestampTz scan_at;
	int epoll;
	CsSandbox sandbox;
	TimestampTz sandbox_at; /* when it was chosen; 0: not yet */
};

/* ---- ocr_scan.c, ocr_claim.c ---- */

/*
 * Looks at some more documents: those that need no program are settled, the
 * others join the queue. False: there are no more now.
 */
extern bool cs_ocr_scan(CsOcr *ocr);
/* Takes the first of the queue; NULL: it is not to be read any more. */
extern CsReading *cs_ocr_claim(CsOcr *ocr);
/* Drops those that are not wanted any more. */
extern List *cs_ocr_unwanted(CsOcr *ocr);
/* What is read without a program, or all in hand, was not begun after all. */
extern void cs_ocr_give_back(CsOcr *ocr, bool all);
/* Notes the sandbox for the status. */
extern void cs_ocr_note_sandbox(CsSandbox sandbox, const char *why);

/* ---- ocr_run.c ---- */

/* A further piece of its content to its file; true: all is there. */
extern bool cs_reading_fetch(CsReading *reading);
/* Starts the program; false: result says why not. */
extern bool cs_reading_start(CsOcr *ocr, CsReading *reading);
/* Takes what it said; true: it is over, and result says what came out. */
extern bool cs_reading_run(CsOcr *ocr, CsReading *reading, TimestampTz now);
/* Ends its program and removes its files. */
extern void cs_reading_clear(CsReading *reading);

/* ---- ocr_outcome.c ---- */
extern void cs_reading_judge(CsReading *reading);
extern void cs_result_fail(CsOcrResult *result, const char *reason);

/* ---- ocr_settle.c ---- */

/* In a transaction: what is left of it in the document's row and beside it. */
extern void cs_ocr_write(int64 document_id, const CsOcrResult *result);
/*
 * In a transaction, of documents by their ids. _words: searches find them by
 * their names, whatever was read. _waiting: others that waited for the same
 * program find it there now.
 */
extern void cs_ocr_write_words(const CsColumn *ids);
extern void cs_ocr_release_waiting(const CsColumn *ids);
/* In the transaction of a final state: the application's functions, and who listens. */
extern void cs_ocr_tell(int64 document_id, CsOcrState state);
extern const char *cs_ocr_state_name(CsOcrState state);
/* In a transaction of its own; false: its row is locked, try again later. */
extern bool cs_ocr_settle(CsReading *reading);
/* Text of UTF-8 for a column, whatever the database's encoding lacks. */
extern Datum cs_text_lossy(const char *utf8);

/* ---- ocr_many.c ---- */

/* One that is over, and of which there is no text: it is not for us, or failed. */
typedef struct CsOcrEnd
{
	int64 document_id;
	CsOcrState state;
	const char *reason;
} CsOcrEnd;

/*
 * In a transaction: cs_ocr_write of many that are over, by a statement for each
 * table. Who has one locked, or changed it, keeps it. False: nothing was
 * written, for one of them failed; taken singly, only that one does.
 */
extern bool cs_ocr_write_ends(const CsOcrEnd *ends, int n);

#endif
