/*
 * xml.c
 *	  XML from the network (include/cloudsync/xml.h), by expat. What a document
 *	  can make the parser hold is bounded on every side: depth, attributes, the
 *	  text of an element, and the length of one tag, comment or other token,
 *	  which expat keeps whole until its end has come.
 *
 * Usable in the server and in plain programs.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <expat.h>

#include "cloudsync/xml.h"

/*
 * Between a namespace and a name: no XML document can contain this character,
 * so that no namespace can pretend to another.
 */
#define SEPARATOR '\x01'

#define MAX_DEPTH 64
#define MAX_ATTRIBUTES 64
#define MAX_TOKEN (64 * 1024)

/*
 * Pieces are gathered to this size, since expat looks at an unfinished token
 * anew with each piece: a server that sends byte by byte would make that
 * quadratic.
 */
#define PIECE 8192

struct CsXml
{
	XML_Parser parser; /* malloc'ed */
	CsXmlHandler handler;
	void *arg;
	size_t max_text;
	int depth;
	size_t starts[MAX_DEPTH]; /* where each open element's text begins */
	char *text;				  /* malloc'ed: texts of all open elements */
	size_t text_len;
	size_t text_room;
	size_t unfinished; /* bytes since anything was recognised */
	char piece[PIECE];
	size_t piece_len;
	bool failed;
	char problem[120];
#ifndef FRONTEND
	MemoryContextCallback callback;
#endif
};

void
cs_xml_stop(CsXml *xml, const char *problem)
{
	if (xml->failed)
		return;
	xml->failed = true;
	strlcpy(xml->problem, problem, sizeof(xml->problem));
	XML_StopParser(xml->parser, XML_FALSE);
}

/* Splits "space\1name" or "name". */
static void
split_name(const char *full, char *space, size_t room, const char **name)
{
	const char *end = strrchr(full, SEPARATOR);
	size_t len = end != NULL ? (size_t) (end - full) : 0;

	*name = end != NULL ? end + 1 : full;
	/* a namespace that does not fit is none that anybody here knows */
	if (len >= room)
		len = 0;
	memcpy(space, full, len);
	space[len] = '\0';
}

static void XMLCALL
on_start(void *data, const XML_Char *full, const XML_Char **attributes)
{
	CsXml *xml = data;
	char space[256];
	const char *name;

	xml->unfinished = 0;
	if (xml->failed)
		return;
	if (xml->depth >= MAX_DEPTH)
	{
		cs_xml_stop(xml, "nested too deeply");
		return;
	}
	if (XML_GetSpecifiedAttributeCount(xml->parser) > 2 * MAX_ATTRIBUTES)
	{
		cs_xml_stop(xml, "too many attributes");
		return;
	}
	xml->starts[xml->depth++] = xml->text_len;
	split_name(full, space, sizeof(space), &name);
	if (xml->handler.start != NULL)
		xml->handler.start(xml->arg, space, name, attributes);
}

/* Makes room for len more bytes of text and a NUL. */
static bool
text_room(CsXml *xml, size_t len)
{
	size_t wanted = xml->text_len + len + 1;
	size_t room = xml->text_room > 0 ? xml->text_room : 1024;
	char *larger;

	if (wanted <= xml->text_room)
		return true;
	while (room < wanted)
		room *= 2;
	larger = realloc(xml->text, room);
	if (larger == NULL)
	{
		cs_xml_stop(xml, "out of memory");
		return false;
	}
	xml->text = larger;
	xml->text_room = room;
	return true;
}

static void XMLCALL
on_text(void *data, const XML_Char *text, int len)
{
	CsXml *xml = data;

	xml->unfinished = 0;
	if (xml->failed || xml->depth == 0)
		return;
	if (xml->text_len - xml->starts[xml->depth - 1] + (size_t) len >
		xml->max_text)
	{
		cs_xml_stop(xml, "text of an element too long");
		return;
	}
	if (!text_room(xml, (size_t) len))
		return;
	memcpy(xml->text + xml->text_len, text, (size_t) len);
	xml->text_len += (size_t) len;
}

static void XMLCALL
on_end(void *data, const XML_Char *full)
{
	CsXml *xml = data;
	char space[256];
	const char *name;
	size_t start;

	xml->unfinished = 0;
	if (xml->failed || xml->depth == 0 || !text_room(xml, 0))
		return;
	start = xml->starts[--xml->depth];
	xml->text[xml->text_len] = '\0';
	split_name(full, space, sizeof(space), &name);
	if (xml->handler.end != NULL)
		xml->handler.end(xml->arg, space, name, xml->text + start);
	/* what follows belongs to the element around it */
	xml->text_len = start;
}

/* Comments, processing instructions and the like. */
static void XMLCALL
on_other(void *data, const XML_Char *text, int len)
{
	CsXml *xml = data;

	xml->unfinished = 0;
}

static void XMLCALL
on_doctype(void *data, const XML_Char *name, const XML_Char *system_id,
		   const XML_Char *public_id, int has_internal_subset)
{
	cs_xml_stop(data, "document type declarations are not accepted");
}

static void
release(void *arg)
{
	CsXml *xml = arg;

	if (xml->parser != NULL)
		XML_ParserFree(xml->parser);
	free(xml->text);
	xml->parser = NULL;
	xml->text = NULL;
	xml->failed = true;
}

CsXml *
cs_xml_create(const CsXmlHandler *handler, void *arg, size_t max_text)
{
	CsXml *xml = palloc0(sizeof(CsXml));

#ifndef FRONTEND
	xml->callback.func = release;
	xml->callback.arg = xml;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &xml->callback);
#endif
	xml->handler = *handler;
	xml->arg = arg;
	xml->max_text = max_text;
	xml->parser = XML_ParserCreateNS(NULL, SEPARATOR);
	if (xml->parser == NULL)
	{
		xml->failed = true;
		strlcpy(xml->problem, "out of memory", sizeof(xml->problem));
		return xml;
	}
	XML_SetUserData(xml->parser, xml);
	XML_SetElementHandler(xml->parser, on_start, on_end);
	XML_SetCharacterDataHandler(xml->parser, on_text);
	XML_SetDefaultHandler(xml->parser, on_other);
	XML_SetStartDoctypeDeclHandler(xml->parser, on_doctype);
	return xml;
}

/* Gives expat at most PIECE bytes. */
static bool
feed(CsXml *xml, const char *buf, size_t len, bool last)
{
	if (xml->failed)
		return false;
	xml->unfinished += len;
	if (XML_Parse(xml->parser, buf, (int) len, last) != XML_STATUS_OK &&
		!xml->failed)
	{
		xml->failed = true;
		strlcpy(xml->problem, XML_ErrorString(XML_GetErrorCode(xml->parser)),
				sizeof(xml->problem));
	}
	if (!xml->failed && xml->unfinished > MAX_TOKEN)
	{
		xml->failed = true;
		strlcpy(xml->problem, "a tag or comment too long",
				sizeof(xml->problem));
	}
	return !xml->failed;
}

bool
cs_xml_parse(CsXml *xml, const char *buf, size_t len, bool last)
{
	if (xml->failed)
		return false;
	while (len > 0)
	{
		size_t n = Min(len, PIECE - xml->piece_len);

		memcpy(xml->piece + xml->piece_len, buf, n);
		xml->piece_len += n;
		buf += n;
		len -= n;
		if (xml->piece_len == PIECE)
		{
			xml->piece_len = 0;
			if (!feed(xml, xml->piece, PIECE, false))
				return false;
		}
	}
	if (last)
	{
		size_t n = xml->piece_len;

		xml->piece_len = 0;
		return feed(xml, xml->piece, n, true);
	}
	return true;
}

const char *
cs_xml_problem(const CsXml *xml)
{
	return xml->problem;
}

/*
 * In the server the struct itself stays with its memory context, whose callback
 * it holds.
 */
void
cs_xml_free(CsXml *xml)
{
	release(xml);
#ifdef FRONTEND
	pfree(xml);
#endif
}
