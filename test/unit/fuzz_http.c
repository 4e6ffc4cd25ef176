/* sources: test/fuzz/http.c src/base/[a-z]*.c */
/*
 * Replays the fuzz target of addresses and dates.
 */
#include "postgres_fe.h"

#include "../fuzz/replay.h"

int
main(void)
{
	static const char *const words[] = {"http://",
										"https://",
										"HTTP://",
										"file://",
										"h.example",
										"127.0.0.1",
										"[::1]",
										":8080",
										":80",
										":",
										"/",
										"//",
										"/a",
										"/..",
										"/.",
										"?a=bcde",
										"#f",
										"ann:pw@",
										"%2F",
										"%00",
										"%zz",
										"%C3%A9",
										"\xC3\xA9",
										"\xff",
										" ",
										"\r\n",
										"\t",
										"@",
										"[",
										"]",
										"Sun, 06 Nov 1994 08:49:37 GMT",
										"Sunday, 06-Nov-94 08:49:37 GMT",
										"2026-11-22T",
										"10:00:00.000Z",
										"99999999",
										"-1",
										"GMT",
										"xn--a",
										"a.b.c.",
										"0x7f.1",
										"text/plain",
										"\\",
										"javascript:"};

	return replay("addresses and dates", 10000, words, lengthof(words));
}
