/* sources: src/base/pattern.c src/base/utf8.c */
/*
 * Patterns of names and paths (L7): what matches, what is refused, and that no
 * pattern makes matching slow.
 */
#include "postgres_fe.h"

#include <time.h>

#include "cloudsync/pattern.h"
#include "tap.h"

static bool
match(const char *text, const char *path, bool ignore_case)
{
	CsPatternError error = {0};
	CsPattern *p = cs_pattern_compile(text, ignore_case, &error);
	const char *slash = strrchr(path, '/');
	bool matches;

	if (p == NULL)
	{
		tap_ok(false, "compiles: %s (%d: %s)", text, error.position,
			   error.message);
		return false;
	}
	matches = cs_pattern_matches(p, slash != NULL ? slash + 1 : path, path);
	cs_pattern_free(p);
	return matches;
}

static void
yes(const char *text, const char *path)
{
	tap_ok(match(text, path, true), "%s takes %s", text, path);
}

static void
no(const char *text, const char *path)
{
	tap_ok(!match(text, path, true), "%s does not take %s", text, path);
}

static void
refused(const char *text, int position, const char *message)
{
	CsPatternError error = {0};
	CsPattern *p = cs_pattern_compile(text, true, &error);

	tap_ok(p == NULL, "refused: %.40s", text);
	tap_is(error.message, message, "why");
	if (!tap_ok(error.position == position, "where"))
		printf("# at %d, wanted %d\n", error.position, position);
	tap_ok(error.hint[0] != '\0', "with a hint");
}

static void
names(void)
{
	yes("*.pdf", "a.pdf");
	yes("*.pdf", "A.PDF");
	yes("*.pdf", "sub/deep/a.pdf");
	yes("*.pdf", ".pdf");
	no("*.pdf", "a.pdf.txt");
	no("*.pdf", "apdf");
	yes("*", "anything");
	yes("*", ".hidden");
	yes("**", "sub/x");
	yes("?", "\xC3\xA9");
	yes("?", "e\xCC\x81");
	no("?", "ab");
	yes("[a-c]x", "bx");
	yes("[a-c]x", "BX");
	yes("[A-C]x", "bx");
	no("[a-c]x", "dx");
	yes("[!a-c]x", "dx");
	no("[^a-c]x", "Ax");
	yes("[]x]", "]");
	yes("[!]x]", "a");
	yes("[a-]", "-");
	yes("[\\]\\-]", "-");
	yes("[\xC3\x80-\xC3\x96]", "\xC3\xA9");
	yes("*.{pdf,docx}", "a.docx");
	yes("*.{pdf,do{c,cx}}", "a.docx");
	no("*.{pdf,docx}", "a.doc");
	yes("a{,b}c", "ac");
	yes("a{,b}c", "abc");
	no("a{,b}c", "abbc");
	yes("{a}", "a");
	yes("a,b", "a,b");
	yes("\\*\\{\\}\\\\", "*{}\\");
	no("\\*", "a");
	yes("\xC3\x89T\xC3\x89", "\xC3\xA9t\xC3\xA9");
	yes("e\xCC\x81", "\xC3\x89");
	tap_ok(!match("*.pdf", "A.PDF", false), "cases are told apart if wanted");
	tap_ok(!match("[a-z]", "B", false), "in sets too");
	no("a", "");
}

static void
paths(void)
{
	yes("old/*", "old/a");
	yes("old/*", "/old/a");
	no("old/*", "old/b/a");
	no("old/*", "new/old/a");
	yes("/a.pdf", "a.pdf");
	no("/a.pdf", "b/a.pdf");
	yes("old/", "old/a");
	yes("old/", "old/b/a");
	no("old/", "old");
	no("old/", "older/a");
	yes("old/**", "old/b/a");
	no("old/**", "old");
	yes("**/old/*", "old/a");
	yes("**/old/*", "x/y/old/a");
	no("**/old/*", "xold/a");
	yes("a/**/b", "a/b");
	yes("a/**/b", "a/x/y/b");
	no("a/**/b", "a/xb");
	yes("/**", "a/b");
	yes("{old,new}/*.pdf", "new/a.pdf");
	yes("{old/**,*.tmp}", "old/x/y");
	yes("a**/b", "abc/b");
	no("a**/b", "a/c/b");
	no("?/b", "//b");
	yes("[!x]/b", "a/b");
	no("a[!x]b/", "a/b/c");
}

static void
refusals(void)
{
	char long_one[CS_PATTERN_MAX + 2];

	refused("", 1, "empty pattern");
	refused("/", 1, "empty pattern");
	refused("a[bc", 2, "\"[\" without \"]\"");
	refused("\xC3\xA9[", 2, "\"[\" without \"]\"");
	refused("[]", 1, "\"[\" without \"]\"");
	refused("[a\\", 1, "\"[\" without \"]\"");
	refused("[a/b]", 3, "\"/\" in a set");
	refused("[z-a]", 2, "range in a set runs backwards");
	refused("{a,b", 1, "\"{\" without \"}\"");
	refused("a}", 2, "\"}\" without \"{\"");
	refused("a\\", 2, "\"\\\" at the end");
	refused("a//b", 2, "empty folder name");
	refused("\xFF", 1, "pattern is not valid UTF-8");
	refused("{{{{{{{{{a}}}}}}}}}", 9, "braces are nested too deeply");
	memset(long_one, 'a', sizeof(long_one));
	long_one[CS_PATTERN_MAX + 1] = '\0';
	refused(long_one, 1, "pattern is too long");
}

/* Patterns that make a backtracking matcher take for ever. */
static void
adversarial(void)
{
	char text[4097];
	char pattern[CS_PATTERN_MAX + 1] = "";
	clock_t start = clock();

	memset(text, 'a', sizeof(text));
	text[4096] = '\0';
	for (int i = 0; i < 480; i++)
		strcat(pattern, "*a");
	strcat(pattern, "b");
	no(pattern, text);
	pattern[0] = '\0';
	for (int i = 0; i < 160; i++)
		strcat(pattern, "{a,aa}");
	no(pattern, text);
	pattern[0] = '\0';
	for (int i = 0; i < 240; i++)
		strcat(pattern, "**/");
	strcat(pattern, "b");
	for (int i = 1; i < 4096; i += 2)
		text[i] = '/';
	no(pattern, text);
	tap_ok((clock() - start) / (double) CLOCKS_PER_SEC < 5.0, "in little time");
}

static void
any_bytes(void)
{
	static const char pieces[] = "**??[[]]{{}},,!^-//\\\\abAB.";
	unsigned state = 4711;
	int compiled = 0;

	for (int i = 0; i < 200000; i++)
	{
		CsPatternError error = {0};
		CsPattern *p;
		char text[40];
		size_t len = tap_random(&state) % 30;

		for (size_t j = 0; j < len; j++)
			text[j] = tap_random(&state) % 40
						  ? pieces[tap_random(&state) % (sizeof(pieces) - 1)]
						  : (char) (1 + tap_random(&state) % 255);
		text[len] = '\0';
		p = cs_pattern_compile(text, true, &error);
		if (p == NULL)
			continue;
		compiled++;
		(void) cs_pattern_matches(p, "ab.A", "a/b/ab.A");
		cs_pattern_free(p);
	}
	tap_ok(compiled > 1000, "random patterns (%d of them compile)", compiled);
}

int
main(void)
{
	names();
	paths();
	refusals();
	adversarial();
	any_bytes();
	return tap_done();
}
