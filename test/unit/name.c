/* sources: src/base/name.c src/base/utf8.c src/base/path.c */
/*
 * Names made from untrusted text (P10): each rule, and that no bytes whatever
 * make a name that is none.
 */
#include "postgres_fe.h"

#include "cloudsync/name.h"
#include "cloudsync/path.h"
#include "cloudsync/utf8.h"
#include "tap.h"

static const CsNameRules local = {.max_name_bytes = 255};
static const CsNameRules strict = {.max_name_bytes = 255,
								   .forbidden = "\"*:<>?|",
								   .ignore_case = true,
								   .ignore_normal_form = true,
								   .trim_ends = true};

static void
makes(const char *text, const char *wanted)
{
	tap_is(cs_name_make(text, CS_NAME_FILE, &local), wanted, "a name of text");
}

static void
makes_strict(const char *text, const char *wanted)
{
	tap_is(cs_name_make(text, CS_NAME_FILE, &strict), wanted,
		   "a name by strict rules");
}

static void
replaced(void)
{
	makes("report.pdf", "report.pdf");
	makes("", "_");
	makes(".", "_");
	makes("..", "_");
	makes("...", "...");
	makes("../../etc/passwd", "..-..-etc-passwd");
	makes("a/b\\c", "a-b-c");
	makes("a\nb\tc\x01\x7f", "a-b-c--");
	makes("a\xC2\x9F"
		  "b",
		  "a-b");
	makes("bad\xFF\xFE utf", "bad-- utf");
	makes("over\xC0\xAFlong", "over--long");
	makes("pay\xE2\x80\xAE"
		  "fdp.exe",
		  "pay-fdp.exe");
	makes("a\xE2\x80\xA8"
		  "b",
		  "a-b");
	makes("a:b?", "a:b?");
	makes(".trash", "-trash");
	makes(".cloudsync-0123456789abcdef.part",
		  "-cloudsync-0123456789abcdef.part");
	makes(".profile", ".profile");
	/* e + combining acute is written as one character */
	makes("e\xCC\x81t\xC3\xA9", "\xC3\xA9t\xC3\xA9");

	makes_strict("a:b?<c>*\"|", "a-b--c----");
	makes_strict("name. ", "name");
	makes_strict("  name", "name");
	makes_strict(" . ", "_");
	makes_strict("..", "_");
	/* the Greek question mark is a semicolon in NFC, the Kelvin sign a K */
	makes_strict("\xCD\xBE\xE2\x84\xAA", ";K");
}

static const char *const kept[] = {"CON.*",	 "COM0.*", ".lock",	 "desktop.ini",
								   "~$*",	 "~*/",	   "*_vti_*", "*&#*",
								   "Thumbs.db", NULL};
static const CsNameRules windows = {.max_name_bytes = 255,
									.forbidden = "\"*:<>?|",
									.ignore_case = true,
									.trim_ends = true,
									.reserved = kept};

static void
is_made(CsNameKind kind, const char *text, const char *wanted)
{
	tap_is(cs_name_make(text, kind, &windows), wanted, text);
	tap_is(cs_name_make(wanted, kind, &windows), wanted, "and of that itself");
}

/* Names that the provider keeps for itself. */
static void
reserved(void)
{
	CsNameRules eleven = windows;

	is_made(CS_NAME_FILE, "CON", "CON-");
	is_made(CS_NAME_FOLDER, "con", "con-");
	is_made(CS_NAME_FILE, "Con.txt", "Con-.txt");
	is_made(CS_NAME_FILE, "CON.tar.gz", "CON-.tar.gz");
	is_made(CS_NAME_FOLDER, "con.", "con-");
	is_made(CS_NAME_FILE, "  CON ", "CON-");
	is_made(CS_NAME_FILE, "CONTRACT", "CONTRACT");
	is_made(CS_NAME_FILE, "a.CON", "a.CON");
	is_made(CS_NAME_FILE, "CON (2).txt", "CON (2).txt");
	is_made(CS_NAME_FILE, "com0.log", "com0-.log");
	is_made(CS_NAME_FILE, "Desktop.INI", "Desktop-.INI");
	is_made(CS_NAME_FILE, "desktop.ini.bak", "desktop.ini.bak");
	is_made(CS_NAME_FILE, "thumbs.DB", "thumbs-.DB");
	is_made(CS_NAME_FILE, ".LOCK", "-LOCK");
	is_made(CS_NAME_FILE, ".lock.txt", ".lock.txt");
	is_made(CS_NAME_FILE, "~$report.docx", "-$report.docx");
	is_made(CS_NAME_FILE, "~report.docx", "~report.docx");
	is_made(CS_NAME_FOLDER, "~report", "-report");
	is_made(CS_NAME_FILE, "a_vti_b_VTI_", "a-vti_b-VTI_");
	is_made(CS_NAME_FILE, "_vti_vti_", "-vti-vti_");
	is_made(CS_NAME_FILE, "A&#8217;B", "A-#8217;B");
	is_made(CS_NAME_FILE, "\xF0\x9F\x93\x84 &# 100%", "\xF0\x9F\x93\x84 -# 100%");
	tap_is(cs_name_make("CON", CS_NAME_FILE, &strict), "CON",
		   "where nothing is kept, it stays");
	eleven.max_name_bytes = 11;
	tap_is(cs_name_make("desktop.ini", CS_NAME_FILE, &eleven), "deskto-.ini",
		   "where there is no room for one more");
	tap_is(cs_name_make("desktopdesktop.ini", CS_NAME_FILE, &eleven),
		   "deskto-.ini", "what becomes one when it is cut");
}

static void
cut(void)
{
	CsNameRules ten = {.max_name_bytes = 10};
	char text[2000];

	tap_is(cs_name_make("abcdefghijkl.pdf", CS_NAME_FILE, &ten), "abcdef.pdf",
		   "a file keeps its extension");
	tap_is(cs_name_make("abcdefghijkl.pdf", CS_NAME_FOLDER, &ten), "abcdefghij",
		   "a folder has none");
	tap_is(cs_name_make("no. 12 of many", CS_NAME_FILE, &ten), "no. 12 of ",
		   "what has a space in it is no extension");
	tap_is(cs_name_make("abcdefgh.tar.gz", CS_NAME_FILE, &ten), "abc.tar.gz",
		   "two extensions that belong together");
	tap_is(cs_name_make("abc.verylongextension", CS_NAME_FILE, &ten),
		   "abc.verylo", "an extension that leaves no room is cut");
	tap_is(cs_name_make("aaaaaaaaa\xC3\xA9"
						"b",
						CS_NAME_FOLDER, &ten),
		   "aaaaaaaaa", "not in the middle of a character");
	tap_is(cs_name_make("aaaaaaaaq\xCC\x83"
						"b",
						CS_NAME_FOLDER, &ten),
		   "aaaaaaaa", "not between a letter and its mark");
	/* man, joiner, woman: 4 + 3 + 4 bytes */
	tap_is(cs_name_make("aaa\xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9",
						CS_NAME_FOLDER, &ten),
		   "aaa", "not inside a joined sign");
	memset(text, 'x', sizeof(text));
	strcpy(text + sizeof(text) - 5, ".pdf");
	tap_ok(strlen(cs_name_make(text, CS_NAME_FILE, &local)) == 255,
		   "255 bytes of a long name");
	tap_is(cs_name_make(text, CS_NAME_FILE, &local) + 250, "x.pdf",
		   "with its extension");
	tap_is(
		cs_name_make("abcdefghi .x", CS_NAME_FOLDER,
					 &(CsNameRules){.max_name_bytes = 10, .trim_ends = true}),
		"abcdefghi", "trimmed again after the cut");
}

static void
numbered(void)
{
	CsNameRules twelve = {.max_name_bytes = 12};

	tap_is(cs_name_numbered("a.pdf", 1, CS_NAME_FILE, &local), "a.pdf",
		   "first");
	tap_is(cs_name_numbered("a.pdf", 2, CS_NAME_FILE, &local), "a (2).pdf",
		   "second");
	tap_is(cs_name_numbered("a.pdf", 10, CS_NAME_FILE, &local), "a (10).pdf",
		   "tenth");
	tap_is(cs_name_numbered("a.b", 2, CS_NAME_FOLDER, &local), "a.b (2)",
		   "a folder");
	tap_is(cs_name_numbered("a.tar.gz", 2, CS_NAME_FILE, &local),
		   "a (2).tar.gz", "two extensions");
	tap_is(cs_name_numbered(".profile", 2, CS_NAME_FILE, &local),
		   ".profile (2)", "a dot in front is no extension");
	tap_is(cs_name_numbered("abcdefgh.pdf", 2, CS_NAME_FILE, &twelve),
		   "abcd (2).pdf", "within the limit");
	tap_is(cs_name_marked("a.pdf", "CloudSync 2026-11-22 16h30", 1, &local),
		   "a (CloudSync 2026-11-22 16h30).pdf", "marked");
	tap_is(cs_name_marked("a.pdf", "CloudSync", 2, &local),
		   "a (CloudSync) (2).pdf", "marked a second time");
	tap_is(cs_name_marked("a.pdf", "../16:30", 1, &strict), "a (..-16-30).pdf",
		   "the mark is a name too");
}

static void
keys(void)
{
	tap_is(cs_name_key("\xC3\x89t\xC3\xA9", &local), "\xC3\x89t\xC3\xA9",
		   "bytes where bytes are compared");
	tap_is(cs_name_key("\xC3\x89T\xC3\x89/A", &strict), "\xC3\xA9t\xC3\xA9/a",
		   "one case");
	tap_is(cs_name_key("E\xCC\x81", &strict), "\xC3\xA9", "one normal form");
	tap_is(cs_name_key("\xCE\xA3\xCF\x82", &strict), "\xCF\x83\xCF\x83",
		   "both sigmas");
	tap_is(cs_name_key("\xD0\x96", &strict), "\xD0\xB6", "Cyrillic");
	tap_is(cs_name_key("a\xFF", &strict), "a\xFF", "what is not UTF-8 stays");
	for (uint32 c = 1; c < 0x110000; c++)
	{
		uint32 folded = cs_utf8_fold(c);

		if (cs_utf8_fold(folded) != folded ||
			cs_utf8_fold(cs_utf8_unfold(folded)) != folded)
		{
			tap_ok(false, "U+%04X folds once", c);
			return;
		}
	}
	tap_ok(true, "folding twice is folding once");
}

/* What must hold of any name; NULL if it does. */
static const char *
wrong(const char *name, const CsNameRules *rules, CsNameKind kind)
{
	if (cs_path_name_problem(name, 0) != NULL)
		return cs_path_name_problem(name, 0);
	if (strlen(name) > (size_t) rules->max_name_bytes)
		return "is too long";
	if (rules->forbidden && strpbrk(name, rules->forbidden) != NULL)
		return "has a forbidden character";
	if (strchr(name, '\\') != NULL)
		return "has a backslash";
	if (rules->trim_ends && (name[0] == ' ' || name[strlen(name) - 1] == ' ' ||
							 name[strlen(name) - 1] == '.'))
		return "has ends that are not taken";
	if (strncmp(name, ".cloudsync-", 11) == 0 || strcmp(name, ".trash") == 0)
		return "is one of ours";
	if (rules->reserved != NULL &&
		(pg_strcasecmp(name, "CON") == 0 || pg_strncasecmp(name, "CON.", 4) == 0 ||
		 strncmp(name, "~$", 2) == 0 || strstr(name, "_vti_") != NULL))
		return "is one that the provider keeps";
	if (strcmp(cs_utf8_nfc(name), name) != 0)
		return "is not in NFC";
	if (strcmp(cs_name_make(name, kind, rules), name) != 0)
		return "changes when made again";
	return NULL;
}

/* Bytes that go near the edges of the rules more often than chance would. */
static size_t
some_text(unsigned *state, char *text, size_t max)
{
	static const char *const pieces[] = {".",
										 "..",
										 "/",
										 "\\",
										 " ",
										 "-",
										 "_",
										 ".tar.gz",
										 ".pdf",
										 "\n",
										 ":",
										 "?",
										 "*",
										 "e",
										 "\xCC\x81",
										 "\xCC\xB8",
										 "<",
										 "\xE2\x80\x8D",
										 "\xF0\x9F\x91\xA8",
										 "\xE1\x84\x80",
										 "\xE1\x85\xA1",
										 "\xE1\x86\xA8",
										 "\xCD\xBE",
										 "\xED\xA0\x80",
										 "\xC0\x80",
										 "\xFF",
										 "\xEF\xBB\xBF",
										 "\xE0\xA5\x98",
										 "\xF0\x9D\x85\xA0",
										 "\xE2\x80\xAE",
										 ".cloudsync-",
										 ".trash",
										 "CON",
										 "~$",
										 "_vti_",
										 "abc",
										 "\xC3\xA9"};
	size_t len = 0;
	size_t want = tap_random(state) % max;

	while (len + 12 < want)
	{
		unsigned choice = tap_random(state) % (lengthof(pieces) + 8);

		if (choice < lengthof(pieces))
		{
			strcpy(text + len, pieces[choice]);
			len += strlen(pieces[choice]);
		}
		else
			text[len++] = (char) (1 + tap_random(state) % 255);
	}
	text[len] = '\0';
	return len;
}

static void
any_bytes(void)
{
	static const CsNameRules rules[] = {
		{.max_name_bytes = 255},
		{.max_name_bytes = 255,
		 .forbidden = "\"*:<>?|",
		 .ignore_case = true,
		 .ignore_normal_form = true,
		 .trim_ends = true},
		{.max_name_bytes = 40, .forbidden = "-;", .trim_ends = false},
		{.max_name_bytes = 12, .trim_ends = true},
		{.max_name_bytes = 255, .trim_ends = true, .reserved = kept},
	};
	unsigned state = 20261122; /* few: normal forms are slow in plain programs */
	int bad = 0;

	for (int i = 0; i < 3000 && bad < 5; i++)
	{
		char text[3000];
		const CsNameRules *r = &rules[i % lengthof(rules)];
		CsNameKind kind = i % 3 ? CS_NAME_FILE : CS_NAME_FOLDER;
		char *names[3];

		some_text(&state, text, i % 100 ? 80 : sizeof(text));
		names[0] = cs_name_make(text, kind, r);
		names[1] = cs_name_numbered(names[0], 2 + i % 20, kind, r);
		names[2] = cs_name_marked(names[0], text, i % 3, r);
		for (int j = 0; j < 3; j++)
		{
			/* '-' itself is forbidden by one rule, to see that nothing loops */
			const char *why = wrong(names[j], r, kind);

			if (why != NULL && !(r == &rules[2] && strchr(names[j], '-')) &&
				!(j > 0 && strcmp(why, "changes when made again") == 0))
			{
				bad++;
				printf("# %d/%d: name %s: \"%s\" of \"%s\"\n", i, j, why,
					   names[j], text);
			}
			free(names[j]);
		}
	}
	tap_ok(bad == 0, "3000 random texts make names");
}

int
main(void)
{
	replaced();
	reserved();
	cut();
	numbered();
	keys();
	any_bytes();
	return tap_done();
}
