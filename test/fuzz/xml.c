/*
 * xml.c
 *	  Fuzz target: XML from the network. Whatever it is, it comes out the same
 *	  in one piece and in many, with bounded texts and balanced ends, or a
 *	  problem is said.
 */
#include "postgres_fe.h"

#include "cloudsync/xml.h"
#include "fuzz.h"
#include "input.h"

#define MAX_TEXT 100

typedef struct Said
{
	uint64 hash; /* of all that came out */
	int depth;
	int stop_at;
	CsXml *xml;
} Said;

static void
say(Said *said, const char *text)
{
	do
	{
		said->hash =
			(said->hash ^ (unsigned char) *text) * UINT64CONST(1099511628211);
	} while (*text++ != '\0');
}

static void
on_start(void *arg, const char *space, const char *name,
		 const char **attributes)
{
	Said *said = arg;

	MUST(name[0] != '\0');
	say(said, space);
	say(said, name);
	for (; attributes[0] != NULL; attributes += 2)
	{
		say(said, attributes[0]);
		say(said, attributes[1]);
	}
	if (++said->depth == said->stop_at)
		cs_xml_stop(said->xml, "stopped");
}

static void
on_end(void *arg, const char *space, const char *name, const char *text)
{
	Said *said = arg;

	MUST(said->depth-- > 0);
	MUST(strlen(text) <= MAX_TEXT);
	say(said, text);
}

static const CsXmlHandler handler = {on_start, on_end};

static bool
parse(Said *said, const char *text, size_t len, size_t piece)
{
	bool good = true;
	size_t at = 0;

	said->xml = cs_xml_create(&handler, said, MAX_TEXT);
	while (good && at < len)
	{
		size_t n = Min(piece, len - at);

		good = cs_xml_parse(said->xml, text + at, n, false);
		at += n;
	}
	if (good)
		good = cs_xml_parse(said->xml, "", 0, true);
	MUST(good == (cs_xml_problem(said->xml)[0] == '\0'));
	MUST(good || !cs_xml_parse(said->xml, "<a/>", 4, true));
	MUST(!good || said->depth == 0);
	cs_xml_free(said->xml);
	return good;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Said whole = {0};
	Said pieces = {0};
	bool good;

	if (size < 2)
		return 0;
	whole.stop_at = pieces.stop_at = data[0];
	good = parse(&whole, (const char *) data + 2, size - 2, size);
	MUST(parse(&pieces, (const char *) data + 2, size - 2, 1 + data[1]) ==
		 good);
	MUST(!good || whole.hash == pieces.hash);
	return 0;
}
