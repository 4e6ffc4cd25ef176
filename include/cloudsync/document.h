/*
 * document.h
 *	  What a document's bytes are and what text is in them, as far as that needs
 *	  no program: its kind by its first bytes, plain text and HTML as UTF-8, and
 *	  the pages that a program for reading prints. Whatever the bytes are, the
 *	  text is valid UTF-8 without NUL.
 *
 * Relies on utf8.c alone: usable in plain programs and in the server.
 */
#ifndef CLOUDSYNC_DOCUMENT_H
#define CLOUDSYNC_DOCUMENT_H

#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "lib/stringinfo.h"

typedef enum CsDocumentKind
{
	CS_DOCUMENT_EMPTY,
	CS_DOCUMENT_PLAIN,
	CS_DOCUMENT_MARKUP, /* HTML, XML */
	CS_DOCUMENT_PDF,
	CS_DOCUMENT_IMAGE,
	CS_DOCUMENT_OTHER
} CsDocumentKind;

#define CS_DOCUMENT_HEAD 8192 /* first bytes that tell what it is */

/*
 * The kind by the first bytes; the media type decides only between kinds of
 * text. For OTHER, *why says in words why it is not read.
 */
extern CsDocumentKind cs_document_kind(const char *head, size_t len,
									   const char *media_type,
									   const char **why);

/* "pdf", "image" or "other": what a program is told. */
extern const char *cs_document_kind_name(CsDocumentKind kind);

/*
 * Appends text as UTF-8: bytes by a byte order mark, as UTF-8 if they are, else
 * as Windows-1252; without control characters but newline and tab. No more than
 * max bytes; true if that cut it.
 */
extern bool cs_plain_text(StringInfo out, const char *bytes, size_t len,
						  size_t max);

/* Appends what a person sees of HTML or XML; in and out are UTF-8. */
extern void cs_markup_text(StringInfo out, const char *html, size_t len);

/*
 * Appends len bytes of what should be UTF-8: what is not becomes U+FFFD, and
 * control characters but newline and tab are left out.
 */
extern void cs_clean_text(StringInfo out, const char *bytes, size_t len);

/* Letters, digits and other visible bytes. */
extern size_t cs_visible_bytes(const char *text, size_t len);

/* The first characters with runs of white space squeezed to one. palloc'd. */
extern char *cs_excerpt(const char *text, size_t len, int characters);

/* ---- What a program for reading prints ---- */

/*
 * A header line, then so many bytes of text and a newline:
 *
 *	  page NUMBER layer|ocr|plain CONFIDENCE|- BYTES
 *
 * then the next page, in order, at last one line with the number of pages that
 * the document has:
 *
 *	  end PAGES
 *
 * Lines "note TEXT" may stand before a page or the end: what is to be said of
 * the document, the last one counts.
 */
typedef struct CsPage
{
	int number;
	char source; /* 'l', 'o', 'p' */
	float confidence;
	bool has_confidence;
	char *text; /* cleaned */
	size_t length;
} CsPage;

typedef enum CsPagesState
{
	CS_PAGES_HEADER,
	CS_PAGES_TEXT,
	CS_PAGES_NEWLINE,
	CS_PAGES_END,		/* all is here */
	CS_PAGES_FULL,		/* more text or pages than wanted; the rest is left out */
	CS_PAGES_MALFORMED
} CsPagesState;

typedef struct CsPages
{
	CsPagesState state;
	size_t max_bytes;
	int max_pages;
	CsPage *pages;
	int n_pages;
	int allocated;
	int document_pages; /* after END */
	char *note;			/* or NULL */
	size_t bytes;		/* of text so far */
	StringInfoData line;
	StringInfoData text;
	size_t wanted; /* bytes of the page being read */
} CsPages;

extern void cs_pages_init(CsPages *pages, size_t max_bytes, int max_pages);
/* Takes what was printed; false: nothing more is wanted, see state. */
extern bool cs_pages_feed(CsPages *pages, const char *bytes, size_t len);

#endif
