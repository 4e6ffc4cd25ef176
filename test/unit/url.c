/* sources: src/base/url.c src/base/utf8.c */
/*
 * Addresses: what is normal, what is refused, what is encoded and decoded.
 */
#include "postgres_fe.h"

#include "cloudsync/http.h"
#include "tap.h"

static void
normal(const char *url, const char *wanted)
{
	const char *why = "unset";
	char *got = cs_url_normalize(url, &why);

	tap_is(got, wanted, url);
	tap_ok(why == NULL, "%s: no reason", url);
	if (got != NULL)
		tap_is(cs_url_normalize(got, &why), got, "what is normal stays");
}

static void
refused(const char *url, const char *reason)
{
	const char *why = NULL;

	tap_is(cs_url_normalize(url, &why), NULL, url);
	tap_is(why, reason, "its reason");
}

static void
test_normalize(void)
{
	char longest[2100];

	normal("https://Cloud.Example.COM", "https://cloud.example.com");
	normal("HTTPS://cloud.example.com:443/", "https://cloud.example.com");
	normal("http://cloud.example.com:80//dav///",
		   "http://cloud.example.com/dav");
	normal("http://h:8080/a%20b/~x/%7ey", "http://h:8080/a%20b/~x/~y");
	normal("https://h/Jos\xC3\xA9/a%40b@c", "https://h/Jos%C3%A9/a%40b%40c");
	normal("https://h/a%2Fb/c", "https://h/a%2Fb/c");
	normal("https://[::1]:8443/x", "https://[::1]:8443/x");
	normal("http://127.0.0.1:9/", "http://127.0.0.1:9");
	refused("cloud.example.com", "is no address of the form https://host/path");
	refused("", "is no address of the form https://host/path");
	refused("ftp://h/x", "is no http or https address");
	refused("file:///etc/passwd", "is no http or https address");
	refused("https://u:p@h/x", "contains a user name or password");
	refused("https://u@h/x", "contains a user name or password");
	refused("https://h/x?y=1", "contains a query");
	refused("https://h/x#y", "contains a fragment");
	refused("https://h/a%00b", "contains a \"%\" that stands for no character");
	refused("https://h/a%zz", "contains a \"%\" that stands for no character");
	refused("https://h/a%ff", "is not valid UTF-8");
	refused("https://h/a/../x", "contains a component \".\" or \"..\"");
	refused("https://h/%2e%2e/x", "contains a component \".\" or \"..\"");
	refused("https://h/ x",
			"contains a space, a control character or a backslash");
	refused("https://h/\nx",
			"contains a space, a control character or a backslash");
	refused("https://h\\@other/",
			"contains a space, a control character or a backslash");
	refused("https://h:0/", "has no valid port");
	refused("https://h:70000/", "is no address of the form https://host/path");
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "https://h/", 10);
	longest[sizeof(longest) - 1] = '\0';
	refused(longest, "is too long");
}

static void
test_origin(void)
{
	static const struct
	{
		const char *a;
		const char *b;
		bool same;
	} pairs[] = {
		{"https://h/a", "https://H:443/b?c", true},
		{"http://h", "http://h:80/", true},
		{"http://h", "https://h", false},
		{"http://h:81", "http://h:80", false},
		{"http://h", "http://h.evil", false},
		{"http://h", "http://h@evil/", false},
		{"http://h", "http://evil/@h", false},
		{"http://h", "//h/", false},
		{"http://h", "/x", false},
		{"http://h", "", false},
		{"", "", false},
		{"http://u@h", "http://h", true},
	};

	for (int i = 0; i < (int) lengthof(pairs); i++)
		tap_ok(cs_url_same_origin(pairs[i].a, pairs[i].b) == pairs[i].same,
			   "\"%s\" and \"%s\" are %s origin", pairs[i].a, pairs[i].b,
			   pairs[i].same ? "of one" : "not of one");
}

static void
test_encode(void)
{
	char all[256];
	char *encoded;

	for (int i = 1; i < 256; i++)
		all[i - 1] = (char) i;
	all[255] = '\0';
	encoded = cs_url_encode(all);
	tap_ok(strspn(encoded, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXY"
						   "Z0123456789-._~%") == strlen(encoded),
		   "only unreserved characters are left");
	tap_is(cs_url_decode(encoded, strlen(encoded)), all,
		   "every byte comes back");
	tap_is(cs_url_encode("a/b c&d=\xC3\xA9"), "a%2Fb%20c%26d%3D%C3%A9",
		   "a name");
	tap_is(cs_url_encode_path("/a b/c?d#e%"), "/a%20b/c%3Fd%23e%25", "a path");
	tap_is(cs_url_decode("a%2fb%C3%a9", 11), "a/b\xC3\xA9", "decoded");
	tap_is(cs_url_decode("abc", 2), "ab", "decoded to a length");
	tap_is(cs_url_decode("a+b", 3), "a+b", "a plus is a plus");
	tap_is(cs_url_decode("%00", 3), NULL, "no NUL");
	tap_is(cs_url_decode("a\0b", 3), NULL, "no NUL that is not encoded");
	tap_is(cs_url_decode("%", 1), NULL, "half a character");
	tap_is(cs_url_decode("%4", 2), NULL, "another half");
	tap_is(cs_url_decode("%41", 2), NULL, "half by the length");
	tap_is(cs_url_decode("%4g", 3), NULL, "no digit");
	tap_is(cs_url_decode("", 0), "", "nothing");
}

int
main(void)
{
	test_normalize();
	test_origin();
	test_encode();
	return tap_done();
}
