/* sources: test/fuzz/xml.c src/base/xml.c */
/*
 * Replays the fuzz target of XML.
 */
#include "postgres_fe.h"

#include "../fuzz/replay.h"

int
main(void)
{
	static const char *const words[] = {
		"<a>",
		"</a>",
		"<b c='d'>",
		"</b>",
		"<e/>",
		"<x:f xmlns:x='y'>",
		"</x:f>",
		"text",
		"&lt;",
		"&#65;",
		"&#0;",
		"&e;",
		"<![CDATA[<a>]]>",
		"<!-- -->",
		"<?p?>",
		"\xC3\xA9",
		"\xff",
		"<!DOCTYPE a [<!ENTITY e 'f'>]>",
		"<?xml version='1.0' encoding='ISO-8859-1'?>",
		"\xEF\xBB\xBF",
		"<a b='1' b='2'>",
		"<e>01234567890123456789012345678901234567890123456789"
		"01234567890123456789012345678901234567890123456789x</e>",
		"<",
		">",
		"&",
		"xmlns='z'",
		"0123456789012345678901234567890123456789"};

	return replay("XML", 10000, words, lengthof(words));
}
