/* sources: src/base/plain.c src/base/utf8.c */
/*
 * Text without case, accents and ligatures: each letter that people type
 * otherwise, what is no text, and that long runs cost no more than others.
 */
#include "postgres_fe.h"

#include "cloudsync/plain.h"
#include "tap.h"

static void
makes(const char *text, const char *wanted)
{
	tap_is(cs_plain(text, strlen(text)), wanted, "plain text");
}

static void
letters(void)
{
	makes("", "");
	makes("Contrat No 7.PDF", "contrat no 7.pdf");
	makes("D\xC3\x89POS\xC3\x89", "depose");
	/* e with a combining acute accent */
	makes("e\xCC\x81t\xC3\xA9", "ete");
	makes("\xC5\x92uvre, c\xC5\x93ur, \xC3\x86sop", "oeuvre, coeur, aesop");
	makes("Stra\xC3\x9F"
		  "e \xE1\xBA\x9E \xC3\x98re \xC5\x81\xC3\xB3"
		  "d\xC5\xBA",
		  "strasse ss ore lodz");
	/* the ligature fi, full-width letters, a superscript */
	makes("\xEF\xAC\x81"
		  "che \xEF\xBC\xA1\xEF\xBC\xA2 m\xC2\xB2",
		  "fiche ab m2");
	/* a typographic apostrophe; a soft hyphen is none */
	makes("l\xE2\x80\x99"
		  "acte r\xC3\xA8gle\xC2\xADment",
		  "l'acte reglement");
	/* Greek, Cyrillic, Vietnamese */
	makes("\xCE\x91\xCE\xB8\xCE\xAE\xCE\xBD\xCE\xB1",
		  "\xCE\xB1\xCE\xB8\xCE\xB7\xCE\xBD\xCE\xB1");
	makes("\xD0\x94\xD0\x9E\xD0\x93", "\xD0\xB4\xD0\xBE\xD0\xB3");
	makes("Vi\xE1\xBB\x87t \xC4\x90\xE1\xBB\x93ng", "viet dong");
	/* what is left alone */
	makes("\xE6\x97\xA5\xE6\x9C\xAC \xF0\x9F\x98\x80 100% a_b",
		  "\xE6\x97\xA5\xE6\x9C\xAC \xF0\x9F\x98\x80 100% a_b");
}

static void
no_text(void)
{
	char *marks = malloc(2 * 1000000 + 1);
	char *many = malloc(3 * 100000 + 1);

	makes("a\xFF"
		  "b\xC3",
		  "a\xEF\xBF\xBD"
		  "b\xEF\xBF\xBD");
	tap_is(cs_plain("\xC3\xA9t\xC3\xA9", 2), "e",
		   "only the bytes that are there");
	/* a million marks after one letter */
	for (int i = 0; i < 1000000; i++)
		memcpy(marks + 2 * i, "\xCC\x81", 2);
	marks[0] = 'a';
	marks[1] = 'b';
	marks[2 * 1000000] = '\0';
	tap_is(cs_plain(marks, strlen(marks)), "ab", "a million combining marks");
	/* U+FDFA, which becomes 18 characters */
	for (int i = 0; i < 100000; i++)
		memcpy(many + 3 * i, "\xEF\xB7\xBA", 3);
	many[3 * 100000] = '\0';
	tap_ok(strlen(cs_plain(many, strlen(many))) ==
			   strlen(cs_plain(many, 3)) * 100000,
		   "what grows, grows whole");
}

int
main(void)
{
	letters();
	no_text();
	return tap_done();
}
