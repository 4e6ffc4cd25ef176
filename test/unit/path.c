/* sources: src/base/path.c src/base/utf8.c */
/*
 * Paths at a provider: what is refused, what is normalised, what is below what.
 */
#include "postgres_fe.h"

#include "cloudsync/path.h"
#include "tap.h"

static void
normal(const char *path, const char *wanted)
{
	const char *why = "unset";
	char *got = cs_path_normalize(path, 0, &why);

	tap_is(got, wanted, path);
	tap_ok(why == NULL, "%s: no reason", path);
	tap_ok(got != NULL && cs_path_problem(got, 0) == NULL,
		   "%s: the result is a path", path);
}

static void
refused(const char *path, const char *reason)
{
	const char *why = NULL;

	tap_is(cs_path_normalize(path, 0, &why), NULL, reason);
	tap_is(why, reason, "its reason");
}

static void
problems(void)
{
	char longest[CS_PATH_MAX + 2];

	refused("/a/../b", "contains a component \"..\"");
	refused("..", "contains a component \"..\"");
	refused("./a", "contains a component \".\"");
	refused("a\nb", "contains a control character");
	refused("a\x7f", "contains a control character");
	refused("a\xC2\x85", "contains a control character");
	refused("a\xFF", "is not valid UTF-8");
	refused("a\xC0\xAF"
			"b",
			"is not valid UTF-8");
	refused("a\xED\xA0\x80", "is not valid UTF-8");
	refused("a\xF4\x90\x80\x80", "is not valid UTF-8");
	memset(longest, 'a', sizeof(longest));
	longest[CS_PATH_MAX + 1] = '\0';
	refused(longest, "is too long");

	tap_is(cs_path_problem("a", 0), "is not absolute", "a relative path");
	tap_is(cs_path_problem("", 0), "is not absolute", "nothing");
	tap_is(cs_path_problem("/", 0), NULL, "the root");
	tap_is(cs_path_problem("/a/", 0), "contains an empty component",
		   "a slash at the end");
	tap_is(cs_path_problem("/a//b", 0), "contains an empty component",
		   "two slashes");
	tap_is(cs_path_problem("/a\nb", CS_PATH_CONTROLS), NULL,
		   "control characters where they are allowed");
	tap_is(cs_path_name_problem("a/b", 0), "contains a \"/\" in a name",
		   "a slash in a name");
	tap_is(cs_path_name_problem("", 0), "contains an empty component",
		   "an empty name");
	tap_is(cs_path_name_problem("..a", 0), NULL, "dots in a name");
}

int
main(void)
{
	normal("", "/");
	normal("/", "/");
	normal("///", "/");
	normal("Scans", "/Scans");
	normal("/Scans/", "/Scans");
	normal("//Scans//2026/", "/Scans/2026");
	normal("/\xC3\xA9t\xC3\xA9", "/\xC3\xA9t\xC3\xA9");
	normal("/...", "/...");
	problems();

	tap_is(cs_path_join("/", "a"), "/a", "join to the root");
	tap_is(cs_path_join("/a", "b/c"), "/a/b/c", "join");
	tap_is(cs_path_join("/a", "/b"), "/a/b", "join with a slash");
	tap_is(cs_path_join("/a", ""), "/a", "join nothing");
	tap_is(cs_path_join("/", ""), "/", "join nothing to the root");
	tap_is(cs_path_parent("/a/b"), "/a", "parent");
	tap_is(cs_path_parent("/a"), "/", "parent at the top");
	tap_is(cs_path_parent("/"), "/", "parent of the root");
	tap_is(cs_path_name("/a/b"), "b", "name");
	tap_is(cs_path_name("/"), "", "name of the root");

	tap_ok(cs_path_is_below("/a/b", "/a"), "below");
	tap_ok(cs_path_is_below("/a", "/"), "below the root");
	tap_ok(!cs_path_is_below("/", "/"), "the root is not below itself");
	tap_ok(!cs_path_is_below("/a", "/a"), "nothing is below itself");
	tap_ok(!cs_path_is_below("/ab", "/a"), "a longer name is not below");
	tap_ok(!cs_path_is_below("/a", "/a/b"), "a parent is not below");
	tap_is(cs_path_below("/a/b/c", "/a"), "b/c", "what is below");
	tap_is(cs_path_below("/a", "/a"), "", "the same");
	tap_is(cs_path_below("/ab", "/a"), NULL, "not below");
	tap_is(cs_path_below("/a", "/"), "a", "what is below the root");
	return tap_done();
}
