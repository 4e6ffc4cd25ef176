/*
 * xml.h
 *	  XML from the network, piece by piece (expat): namespaces resolved, nothing
 *	  declared by the document itself (a DOCTYPE ends it), depth, text and number
 *	  of attributes bounded. Plain C, usable in the server and in plain programs.
 *
 * Include postgres.h or postgres_fe.h before this header.
 */
#ifndef CLOUDSYNC_XML_H
#define CLOUDSYNC_XML_H

typedef struct CsXml CsXml;

typedef struct CsXmlHandler
{
	/* name: local name; space: its namespace's URI, "" for none. attributes:
	 * names and values in turn, ended by NULL. */
	void (*start)(void *arg, const char *space, const char *name,
				  const char **attributes);
	/* text: all character data directly in the element, joined and bounded. */
	void (*end)(void *arg, const char *space, const char *name,
				const char *text);
} CsXmlHandler;

/*
 * max_text: bytes of one element's text; what is longer fails. The parser's
 * memory is malloc'ed: it must be freed by cs_xml_free, which the server
 * version also does when the memory context that is current now goes.
 */
extern CsXml *cs_xml_create(const CsXmlHandler *handler, void *arg,
							size_t max_text);
/*
 * The next piece; last: none follows. False once it is not (or no longer)
 * well-formed or beyond a bound; cs_xml_problem then says how. The handler's
 * functions may not raise errors.
 */
extern bool cs_xml_parse(CsXml *xml, const char *buf, size_t len, bool last);
extern const char *cs_xml_problem(const CsXml *xml);
/* From within a handler: stop, with this problem (static string). */
extern void cs_xml_stop(CsXml *xml, const char *problem);
extern void cs_xml_free(CsXml *xml);

#endif
