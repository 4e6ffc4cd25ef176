/* sources: test/fuzz/pattern.c src/base/[a-z]*.c */
/*
 * Replays the fuzz target of patterns.
 */
#include "postgres_fe.h"

#include "../fuzz/replay.h"

int
main(void)
{
	static const char *const words[] = {
		"*",		"**", "**/", "/",  "?",			 "[a-z]", "[!x]", "{a,b}",
		"{",		"}",  ",",	 "\\", "a",			 "b",	  "pdf",  ".",
		"\xC3\xA9", "[",  "]",	 "-",  "{a,{b,c}*}", "***"};

	return replay("patterns", 50000, words, lengthof(words));
}
