/* sources: test/fuzz/json.c src/base/json.c src/base/utf8.c */
/*
 * Replays the fuzz target of JSON.
 */
#include "postgres_fe.h"

#include "../fuzz/replay.h"

#define TEN(text) text text text text text text text text text text
#define DEEP(text)                                                             \
	TEN(text) TEN(text) TEN(text) TEN(text) TEN(text) TEN(text) TEN(text)

int
main(void)
{
	static const char *const words[] = {"{",
										"}",
										"[",
										"]",
										",",
										":",
										"\"a\"",
										"\"b\":",
										"{\"a\":",
										"\"\"",
										"1",
										"-0.5e7",
										"null",
										"true",
										"false",
										" ",
										"\"\\u00e9\"",
										"\"\\ud83d\\ude00\"",
										"\"\\ud83d\"",
										"\"\\u0000\"",
										"\"\xC3\xA9\"",
										"\"\xff\"",
										"\"\\n\\\"\"",
										"9223372036854775808",
										"[[[[[[[[[[[[[[[[",
										"]]]]]]]]]]]]]]]]",
										"\"\x01\"",
										"\\",
										DEEP("[") DEEP("]"),
										"\""};

	return replay("JSON", 50000, words, lengthof(words));
}
