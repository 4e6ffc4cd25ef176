/* sources: src/base/xml.c */
/*
 * XML from the network: what comes out, piece by piece, and what is refused.
 */
#include "postgres_fe.h"

#include "cloudsync/xml.h"
#include "lib/stringinfo.h"
#include "tap.h"

static StringInfoData said;
static CsXml *current;

static void
on_start(void *arg, const char *space, const char *name,
		 const char **attributes)
{
	appendStringInfo(&said, "<%s%s%s", space, space[0] != '\0' ? "|" : "",
					 name);
	for (; attributes[0] != NULL; attributes += 2)
		appendStringInfo(&said, " %s=%s", attributes[0], attributes[1]);
	appendStringInfoChar(&said, '>');
	if (strcmp(name, "stop") == 0)
		cs_xml_stop(current, "stopped");
}

static void
on_end(void *arg, const char *space, const char *name, const char *text)
{
	appendStringInfo(&said, "%s</%s>", text, name);
}

static const CsXmlHandler handler = {on_start, on_end};

/* Parses in pieces; returns the problem, NULL if there was none. */
static const char *
parse(const char *text, size_t len, size_t piece)
{
	static char problem[200];
	bool good = true;

	resetStringInfo(&said);
	current = cs_xml_create(&handler, NULL, 1000);
	for (size_t i = 0; i < len && good; i += piece)
		good = cs_xml_parse(current, text + i, Min(piece, len - i), false);
	if (good)
		good = cs_xml_parse(current, "", 0, true);
	strlcpy(problem, cs_xml_problem(current), sizeof(problem));
	tap_ok(good == (problem[0] == '\0'), "a problem is said if there is one");
	cs_xml_free(current);
	return good ? NULL : problem;
}

static void
good(const char *text, const char *wanted)
{
	for (size_t piece = 1; piece <= 1000; piece *= 10)
	{
		tap_is(parse(text, strlen(text), piece), NULL, text);
		tap_is(said.data, wanted, "what comes out");
	}
}

static void
bad(const char *text, const char *problem)
{
	const char *got = parse(text, strlen(text), 7);

	tap_ok(got != NULL && strstr(got, problem) != NULL, "%.60s: %s", text,
		   got != NULL ? got : "(nothing)");
}

/* prefix, n times repeated, suffix */
static char *
repeated(const char *prefix, const char *repeat, int n, const char *suffix)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, prefix);
	for (int i = 0; i < n; i++)
		appendStringInfoString(&buf, repeat);
	appendStringInfoString(&buf, suffix);
	return buf.data;
}

int
main(void)
{
	initStringInfo(&said);
	good("<?xml version=\"1.0\"?><a>x<b c='d'>y</b>z<!-- n -->!</a>",
		 "<a><b c=d>y</b>xz!</a>");
	good("<D:a xmlns:D='DAV:' xmlns='urn:o'><b D:c='e'/><D:d> x </D:d></D:a>",
		 "<DAV:|a><urn:o|b DAV:\x01"
		 "c=e></b><DAV:|d> x </d></a>");
	good("<a>&lt;&#233;&amp;<![CDATA[<b>]]></a>", "<a><\xC3\xA9&<b></a>");
	bad("", "no element found");
	bad("<a>", "no element found");
	bad("<a><b></a>", "mismatched tag");
	bad("<html><body><p>Sign in<br></body></html>", "mismatched tag");
	bad("<a/><b/>", "junk after document element");
	bad("Not found", "syntax error");
	bad("<x:a/>", "unbound prefix");
	bad("<!DOCTYPE a><a/>", "document type declarations are not accepted");
	bad("<!DOCTYPE l [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><l>&b;</l>",
		"document type declarations are not accepted");
	bad("<!DOCTYPE l SYSTEM 'file:///etc/passwd'><l/>",
		"document type declarations are not accepted");
	bad("<a>&b;</a>", "undefined entity");
	bad("<a>\xFF</a>", "invalid token");
	bad("<a><stop/></a>", "stopped");
	bad(repeated("", "<a>", 65, ""), "nested too deeply");
	bad(repeated("<a>", "x", 1001, "</a>"), "too long");
	good(repeated("<a>", "x", 1000, "</a>"),
		 repeated("<a>", "x", 1000, "</a>"));
	bad(repeated("<a>", "<!-- -->x<b/>", 1001, "</a>"), "too long");
	bad(repeated("<a b='", "x", 200000, "'/>"), "a tag or comment too long");
	bad(repeated("<!--", "x", 200000, "--><a/>"), "a tag or comment too long");
	bad(repeated("<", "a", 200000, "/>"), "a tag or comment too long");
	{
		StringInfoData many;

		initStringInfo(&many);
		appendStringInfoString(&many, "<a");
		for (int i = 0; i < 65; i++)
			appendStringInfo(&many, " a%d=''", i);
		appendStringInfoString(&many, "/>");
		bad(many.data, "too many attributes");
	}
	tap_ok(parse("<a>\0</a>", 8, 3) != NULL, "a NUL");
	return tap_done();
}
