/*
 * pages.c
 *	  What a program for reading prints (document.h), taken as it comes. It may
 *	  be a program that a document has taken over: nothing it prints costs more
 *	  than the limits.
 */
#include "cloudsync/document.h"

#include <math.h>

#define LINE_MAX_BYTES 1000

/* See document.h. */
void
cs_pages_init(CsPages *pages, size_t max_bytes, int max_pages)
{
	memset(pages, 0, sizeof(*pages));
	pages->max_bytes = max_bytes;
	pages->max_pages = max_pages;
	initStringInfo(&pages->line);
	initStringInfo(&pages->text);
}

static void
add_page(CsPages *pages, int number, char source, const char *confidence)
{
	CsPage *page;

	if (pages->n_pages == pages->allocated)
	{
		int more = Max(16, pages->allocated * 2);

		pages->pages = pages->pages == NULL
						   ? palloc(more * sizeof(CsPage))
						   : repalloc(pages->pages, more * sizeof(CsPage));
		pages->allocated = more;
	}
	page = &pages->pages[pages->n_pages];
	memset(page, 0, sizeof(*page));
	page->number = number;
	page->source = source;
	if (strcmp(confidence, "-") != 0)
	{
		double value = strtod(confidence, NULL);

		page->has_confidence = isfinite(value);
		page->confidence = page->has_confidence
							   ? (float) Min(Max(value, 0.0), 100.0)
							   : 0;
	}
}

/* The page announced is complete. */
static void
finish_page(CsPages *pages)
{
	CsPage *page = &pages->pages[pages->n_pages];
	StringInfoData clean;

	initStringInfo(&clean);
	cs_clean_text(&clean, pages->text.data, pages->text.len);
	page->text = clean.data;
	page->length = clean.len;
	pages->bytes += clean.len;
	pages->n_pages++;
	resetStringInfo(&pages->text);
}

static CsPagesState
page_line(CsPages *pages, const char *line)
{
	int number;
	char source[16];
	char confidence[32];
	unsigned long length;
	int end = 0;
	int last = pages->n_pages > 0 ? pages->pages[pages->n_pages - 1].number : 0;

	if (sscanf(line, "page %9d %15s %31s %18lu%n", &number, source, confidence,
			   &length, &end) != 4 ||
		line[end] != '\0')
		return CS_PAGES_MALFORMED;
	if (strcmp(source, "layer") != 0 && strcmp(source, "ocr") != 0 &&
		strcmp(source, "plain") != 0)
		return CS_PAGES_MALFORMED;
	if (number <= last)
		return CS_PAGES_MALFORMED;
	if (pages->n_pages >= pages->max_pages ||
		length > pages->max_bytes - Min(pages->bytes, pages->max_bytes))
		return CS_PAGES_FULL;
	add_page(pages, number, source[0], confidence);
	pages->wanted = length;
	return length > 0 ? CS_PAGES_TEXT : CS_PAGES_NEWLINE;
}

static CsPagesState
take_line(CsPages *pages, const char *line)
{
	int end = 0;

	if (strncmp(line, "page ", 5) == 0)
		return page_line(pages, line);
	if (strncmp(line, "note ", 5) == 0)
	{
		StringInfoData note;

		initStringInfo(&note);
		cs_clean_text(&note, line + 5, strlen(line + 5));
		pages->note = note.data;
		return CS_PAGES_HEADER;
	}
	if (sscanf(line, "end %9d%n", &pages->document_pages, &end) == 1 &&
		line[end] == '\0' && pages->document_pages >= 0)
		return CS_PAGES_END;
	return CS_PAGES_MALFORMED;
}

/* One byte of a header line. */
static void
feed_header(CsPages *pages, char c)
{
	if (c != '\n')
	{
		if (c == '\0' || pages->line.len >= LINE_MAX_BYTES)
			pages->state = CS_PAGES_MALFORMED;
		else
			appendStringInfoChar(&pages->line, c);
		return;
	}
	pages->state = take_line(pages, pages->line.data);
	resetStringInfo(&pages->line);
}

/* See document.h. */
bool
cs_pages_feed(CsPages *pages, const char *bytes, size_t len)
{
	size_t i = 0;

	while (i < len && pages->state <= CS_PAGES_NEWLINE)
	{
		size_t n;

		switch (pages->state)
		{
			case CS_PAGES_TEXT:
				n = Min(len - i, pages->wanted - pages->text.len);
				appendBinaryStringInfo(&pages->text, bytes + i, (int) n);
				i += n;
				if (pages->text.len == pages->wanted)
					pages->state = CS_PAGES_NEWLINE;
				break;
			case CS_PAGES_NEWLINE:
				if (bytes[i++] == '\n')
				{
					finish_page(pages);
					pages->state = CS_PAGES_HEADER;
				}
				else
					pages->state = CS_PAGES_MALFORMED;
				break;
			default:
				feed_header(pages, bytes[i++]);
				break;
		}
	}
	return pages->state <= CS_PAGES_NEWLINE;
}
