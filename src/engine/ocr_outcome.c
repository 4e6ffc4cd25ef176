/*
 * ocr_outcome.c
 *	  What came out of a program's reading (ocr.h). What it says is shown to
 *	  people, so it is cleaned and cut; what it read before it failed is kept.
 */
#include "postgres.h"

#include <signal.h>
#include <sys/wait.h>

#include "cloudsync/settings.h"
#include "cloudsync/utf8.h"
#include "reading.h"

#define REASON_MAX 300

/* The last line of its standard error that says anything; NULL: none does. */
static char *
last_line(const CsReading *reading)
{
	const char *said = reading->said.data;
	int end = reading->said.len;
	int from;
	StringInfoData line;

	while (end > 0 && (unsigned char) said[end - 1] <= ' ')
		end--;
	for (from = end; from > 0 && said[from - 1] != '\n'; from--)
		;
	if (from == end)
		return NULL;
	initStringInfo(&line);
	cs_clean_text(&line, said + from, Min(end - from, REASON_MAX));
	return line.data;
}

/* See reading.h. */
void
cs_result_fail(CsOcrResult *result, const char *reason)
{
	result->state = CS_OCR_FAILED;
	result->reason = reason;
}

/* What is said when not every page was read. */
static const char *
partly(const CsReading *reading, const char *why)
{
	if (reading->pages.n_pages == 0)
		return why;
	return psprintf("only %d %s read: %s", reading->pages.n_pages,
					reading->pages.n_pages == 1 ? "page was" : "pages were", why);
}

/* It went wrong, perhaps not for good: again a little later, but not for ever. */
static void
try_again(CsReading *reading, const char *why)
{
	CsOcrResult *result = &reading->result;

	if (reading->attempts >= CS_OCR_ATTEMPTS)
	{
		cs_result_fail(result, partly(reading, why));
		return;
	}
	result->state = CS_OCR_AGAIN;
	result->reason = why;
	result->delay_ms = reading->attempts == 1 ? 10000 : 60000;
}

/* A file that is not there cannot be told from one that is not to be had. */
static void
wait_for(CsReading *reading, const char *what)
{
	CsOcrResult *result = &reading->result;

	result->state = CS_OCR_AGAIN;
	result->waits_for = what ? what : "a program";
	result->reason = psprintf("it waits for %.*s, which is not installed",
							  (int) strcspn(result->waits_for, " "), result->waits_for);
	result->delay_ms = 60000;
	result->uncounted = true;
}

static void
judge_pages(CsReading *reading)
{
	CsOcrResult *result = &reading->result;
	const CsPages *pages = &reading->pages;

	result->state = CS_OCR_DONE;
	result->reason = pages->note;
	if (pages->state == CS_PAGES_END)
		result->document_pages = pages->document_pages;
	else if (pages->state == CS_PAGES_FULL)
	{
		result->reason =
			pages->n_pages >= cs_ocr_max_pages
				? psprintf("only the first %d pages were read (cloudsync.ocr_max_pages)", pages->n_pages)
				: psprintf("only %d %s kept: the text is larger than %d MB (cloudsync.ocr_max_text)",
						   pages->n_pages, pages->n_pages == 1 ? "page is" : "pages are", cs_ocr_max_text_mb);
		if (pages->n_pages == 0)
			result->state = CS_OCR_FAILED;
	}
	else if (pages->state == CS_PAGES_MALFORMED)
		cs_result_fail(result, "what the program printed is not as cloudsync.ocr_command should print it");
	else
		try_again(reading, "the program ended before it had printed everything");
}

static void
judge_exit(CsReading *reading, int code)
{
	CsOcrResult *result = &reading->result;
	char *said = last_line(reading);

	switch (code)
	{
		case CS_OCR_EXIT_DONE:
			judge_pages(reading);
			break;
		case CS_OCR_EXIT_NOT_APPLICABLE:
			result->state = CS_OCR_NOT_APPLICABLE;
			result->reason = said;
			break;
		case CS_OCR_EXIT_MISSING:
			wait_for(reading, said);
			break;
		case CS_OCR_EXIT_FAILED:
			cs_result_fail(result, partly(reading, said ? said : "the program failed"));
			break;
		default:
			try_again(reading, psprintf("the program failed with exit code %d%s%s", code,
										said ? ": " : "", said ? said : ""));
			break;
	}
}

/* See reading.h. In the reading's memory context. */
void
cs_reading_judge(CsReading *reading)
{
	CsOcrResult *result = &reading->result;
	int status = reading->program->status;

	memset(result, 0, sizeof(*result));
	if (reading->timed_out)
		cs_result_fail(result,
					   partly(reading, psprintf("reading it took longer than %g s (cloudsync.ocr_timeout)",
												cs_ocr_timeout / 1000.0)));
	else if (reading->pages.state >= CS_PAGES_FULL)
		judge_pages(reading);
	else if (!reading->program->ended && reading->pages.state == CS_PAGES_END)
		judge_pages(reading);
	else if (!reading->program->ended)
		try_again(reading, "the program did not end");
	else if (WIFEXITED(status) && WEXITSTATUS(status) <= 128)
		judge_exit(reading, WEXITSTATUS(status));
	else
		try_again(reading, psprintf("the program was ended by signal %d",
									WIFEXITED(status) ? WEXITSTATUS(status) - 128 : WTERMSIG(status)));
	if (result->state == CS_OCR_AGAIN)
		return;
	result->pages = reading->pages.pages;
	result->n_pages = reading->pages.n_pages;
	if (result->document_pages < result->n_pages)
		result->document_pages = result->n_pages > 0 ? reading->pages.pages[result->n_pages - 1].number : 0;
}
