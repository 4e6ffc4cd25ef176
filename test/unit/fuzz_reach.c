/* sources: test/fuzz/reach.c src/base/reach.c src/base/address.c */
/*
 * Replays the fuzz target of endpoint patterns.
 */
#include "postgres_fe.h"

#include "../fuzz/replay.h"

int
main(void)
{
	static const char *const words[] = {"*",
										"*.",
										"webdav=",
										"http://",
										"https://",
										"127.0.0.1",
										"[::1]",
										"/8",
										":*",
										":443",
										",",
										"a.example",
										"0x7f.1",
										"[::ffff:127.0.0.1]",
										"[::ffff:7f00:1]",
										"[",
										"]",
										"%eth0",
										"10.0.0.0",
										"\xC3\xA9",
										"=",
										".",
										"/",
										"\x10"
										"1",
										"0",
										"fe80::1%",
										"017700000001",
										"@",
										" "};

	return replay("endpoint patterns", 10000, words, lengthof(words));
}
