/* sources: src/base/document_kind.c src/base/plain_text.c src/base/markup.c src/base/pages.c src/base/utf8.c */
/*
 * Documents' bytes and what a program prints of them (B2, S6): kinds, text of any
 * encoding, HTML, and pages that come in pieces or are no pages at all.
 */
#include "postgres_fe.h"

#include "cloudsync/document.h"
#include "cloudsync/utf8.h"
#include "tap.h"

#define KIND(bytes, media, kind)                                               \
	tap_ok(kind_of(bytes, sizeof(bytes) - 1, media) == (kind), "kind of %s",   \
		   #bytes)

static CsDocumentKind
kind_of(const char *bytes, size_t len, const char *media)
{
	const char *why;

	return cs_document_kind(bytes, len, media, &why);
}

static void
kinds(void)
{
	static char noise[300];

	for (int i = 0; i < sizeof(noise); i++)
		noise[i] = (char) (i * 7919);
	KIND("", "text/plain", CS_DOCUMENT_EMPTY);
	KIND("%PDF-1.4\n", "text/plain", CS_DOCUMENT_PDF);
	KIND("rubbish\0%PDF-1.4\n", "text/plain", CS_DOCUMENT_PDF);
	KIND("\x89PNG\r\n\x1a\nrest", "application/pdf", CS_DOCUMENT_IMAGE);
	KIND("\xff\xd8\xff\xe0", "application/pdf", CS_DOCUMENT_IMAGE);
	KIND("II*\0more", "image/png", CS_DOCUMENT_IMAGE);
	KIND("RIFF....WEBPVP8 ", "image/png", CS_DOCUMENT_IMAGE);
	KIND("PK\3\4....", "application/zip", CS_DOCUMENT_OTHER);
	KIND("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "x", CS_DOCUMENT_OTHER);
	KIND("{\\rtf1", "text/plain", CS_DOCUMENT_OTHER);
	KIND("From: a@b", "message/rfc822", CS_DOCUMENT_OTHER);
	KIND("a letter", "application/pdf", CS_DOCUMENT_PLAIN);
	KIND("caf\xc3\xa9", "x", CS_DOCUMENT_PLAIN);
	KIND("one two caf\xe9", "x", CS_DOCUMENT_PLAIN);
	KIND("text cut \xe2\x82", "x", CS_DOCUMENT_PLAIN);
	KIND("\xff\xfe" "a\0b\0", "x", CS_DOCUMENT_PLAIN);
	KIND("a\0b", "text/plain", CS_DOCUMENT_OTHER);
	KIND("\xe9\xe8\xe7\xe6\xe5\xe4", "text/plain", CS_DOCUMENT_OTHER);
	KIND("text", "text/html", CS_DOCUMENT_MARKUP);
	KIND(" \n<!DOCTYPE html><p>", "x", CS_DOCUMENT_MARKUP);
	KIND("\xef\xbb\xbf<?xml version='1.0'?>", "x", CS_DOCUMENT_MARKUP);
	tap_ok(kind_of(noise, sizeof(noise), "text/plain") == CS_DOCUMENT_OTHER,
		   "noise is no text");
}

static void
plain(const char *bytes, size_t len, size_t max, const char *wanted, bool cut)
{
	StringInfoData out;
	bool was_cut;

	initStringInfo(&out);
	was_cut = cs_plain_text(&out, bytes, len, max);
	tap_is(out.data, wanted, "plain text");
	tap_ok(was_cut == cut, "cut or not");
}

#define PLAIN(bytes, wanted) plain(bytes, sizeof(bytes) - 1, 1000, wanted, false)

static void
texts(void)
{
	char *excerpt;

	PLAIN("a\r\nb\rc\fd", "a\nb\nc\nd");
	PLAIN("nul\0 and \x01\x1b control\x7f", "nul and  control");
	PLAIN("\xef\xbb\xbfmark", "mark");
	PLAIN("caf\xe9 \x80 \x93" "a\x94 \x81", "café € “a” \xef\xbf\xbd");
	PLAIN("\xff\xfe" "a\0\xe9\0\x3d\xd8\0\xde", "aé😀");
	PLAIN("\xfe\xff\0a\0\xe9\xd8\x3d", "aé\xef\xbf\xbd");
	plain("abcdef", 6, 3, "abc", true);
	plain("abé", 4, 3, "ab", true);
	plain("\xff\xfe" "a\0b\0c\0", 8, 5, "ab", true);
	plain("\xe9\xe9\xe9\xe9 x", 6, 7, "éé", true);
	excerpt = cs_excerpt("  a \n\n b\xc3\xa9  c", 13, 4);
	tap_is(excerpt, "a b\xc3\xa9", "an excerpt");
	tap_ok(cs_visible_bytes(" a\n\tb ", 6) == 2, "visible bytes");
}

static void
shows(const char *html, const char *wanted)
{
	StringInfoData out;

	initStringInfo(&out);
	cs_markup_text(&out, html, strlen(html));
	tap_is(out.data, wanted, "what HTML shows");
}

static void
markup(void)
{
	shows("<html><title>T</title><style>p{}</style><body><p>a<br>b</p>c",
		  "T\n\na\nb\n\nc");
	shows("caf&eacute;&nbsp;&euro;&#8364;&#x41;&amp;lt; &unknown; & &#0;",
		  "café €€A&lt; &unknown; & \xef\xbf\xbd");
	shows("a<!-- <p> -->b<script>if (a<b) '</p>'</script >c", "abc");
	shows("<a title=\"x>y\">link</a> 1 < 2 <3", "link 1 < 2 <3");
	shows("<td>a<td>b<tr>c", "a b\nc");
	shows("<script>never ends", "");
	shows("open <b", "open");
	shows("<!-- open", "");
	shows("&#xd800; &#99999999999;", "\xef\xbf\xbd \xef\xbf\xbd");
	shows("\xff<p>\xc3", "\xef\xbf\xbd\n\n\xef\xbf\xbd");
}

/* Fed one byte at a time, and at once: the same. */
static CsPages
feed(const char *text, size_t len, size_t max, int max_pages, size_t step)
{
	CsPages pages;

	cs_pages_init(&pages, max, max_pages);
	for (size_t i = 0; i < len; i += step)
		if (!cs_pages_feed(&pages, text + i, Min(step, len - i)))
			break;
	return pages;
}

static void
prints(const char *text, size_t max, int max_pages, CsPagesState state, int n,
	   const char *last)
{
	for (size_t step = 1; step <= 1000; step += 333)
	{
		CsPages pages = feed(text, strlen(text), max, max_pages, step);

		int line = (int) strcspn(text, "\n");

		tap_ok(pages.state == state, "state %d of: %.*s", state, line, text);
		tap_ok(pages.n_pages == n, "%d pages of: %.*s", n, line, text);
		if (n > 0)
			tap_is(pages.pages[n - 1].text, last, "the last page");
	}
}

static void
pages(void)
{
	const char nul[] = "page 1 ocr 50 3\na\0b\nend 1\n";
	CsPages p;

	prints("page 1 ocr 91.5 2\nab\npage 2 layer - 0\n\nend 7\n", 100, 10,
		   CS_PAGES_END, 2, "");
	prints("page 1 ocr 91.5 2\nab\n", 100, 10, CS_PAGES_HEADER, 1, "ab");
	prints("page 1 ocr 91.5 20\nab\n", 100, 10, CS_PAGES_TEXT, 0, NULL);
	prints("page 1 ocr - 2\nab\npage 2 ocr - 2\ncd\n", 100, 1, CS_PAGES_FULL, 1,
		   "ab");
	prints("page 1 ocr - 2\nab\npage 2 ocr - 2\ncd\n", 3, 9, CS_PAGES_FULL, 1,
		   "ab");
	prints("page 1 ocr - 99999999999999\n", 3, 9, CS_PAGES_FULL, 0, NULL);
	prints("page 2 ocr - 2\nab\npage 2 ocr - 2\ncd\n", 100, 9,
		   CS_PAGES_MALFORMED, 1, "ab");
	prints("page 1 ocr - 2\nabc\n", 100, 9, CS_PAGES_MALFORMED, 0, NULL);
	prints("page 1 guess - 2\nab\n", 100, 9, CS_PAGES_MALFORMED, 0, NULL);
	prints("page 0 ocr - 2\nab\n", 100, 9, CS_PAGES_MALFORMED, 0, NULL);
	prints("page 1 ocr - 2 more\nab\n", 100, 9, CS_PAGES_MALFORMED, 0, NULL);
	prints("rubbish\n", 100, 9, CS_PAGES_MALFORMED, 0, NULL);
	prints("end\n", 100, 9, CS_PAGES_MALFORMED, 0, NULL);
	prints("end -1\n", 100, 9, CS_PAGES_MALFORMED, 0, NULL);
	p = feed("note one\nnote two\x01\nend 0\n", 25, 10, 10, 25);
	tap_ok(p.state == CS_PAGES_END && p.document_pages == 0, "no pages");
	tap_is(p.note, "two", "the last note");
	p = feed(nul, sizeof(nul) - 1, 10, 10, 100);
	tap_is(p.pages[0].text, "ab", "a NUL is left out");
	tap_ok(p.pages[0].has_confidence && p.pages[0].confidence == 50.0f,
		   "its confidence");
	p = feed("page 1 ocr nan 1\nx\npage 2 ocr 1e9 1\nx\nend 2\n", 45, 10, 10, 9);
	tap_ok(!p.pages[0].has_confidence, "no number is no confidence");
	tap_ok(p.pages[1].confidence == 100.0f, "nor more than all");
}

/* Whatever the bytes: no crash, and valid text. */
static void
noise(void)
{
	unsigned seed = 1;
	bool valid = true;

	for (int round = 0; round < 2000; round++)
	{
		static const char pieces[] =
			"<>&;#x!-/\"'= \n\r\0aApage endnote10 -\xc3\xe2\xf0\xff\xed";
		char bytes[200];
		StringInfoData out;
		size_t len = tap_random(&seed) % sizeof(bytes);

		for (size_t i = 0; i < len; i++)
			bytes[i] = tap_random(&seed) % 4 == 0 ? (char) tap_random(&seed)
											  : pieces[tap_random(&seed) % (sizeof(pieces) - 1)];
		(void) kind_of(bytes, len, "text/plain");
		initStringInfo(&out);
		(void) cs_plain_text(&out, bytes, len, tap_random(&seed) % 300);
		valid = valid && cs_utf8_valid(out.data) && strlen(out.data) == out.len;
		resetStringInfo(&out);
		cs_markup_text(&out, bytes, len);
		valid = valid && cs_utf8_valid(out.data) && strlen(out.data) == out.len;
		valid = valid && cs_utf8_valid(cs_excerpt(out.data, out.len, 20));
		(void) feed(bytes, len, 100, 3, 1 + tap_random(&seed) % 50);
	}
	tap_ok(valid, "text of any bytes is valid");
}

int
main(void)
{
	kinds();
	texts();
	markup();
	pages();
	noise();
	return tap_done();
}
