/* sources: test/fuzz/template.c src/base/[a-z]*.c */
/*
 * Replays the fuzz target of folder templates.
 */
#include "postgres_fe.h"

#include "../fuzz/replay.h"

int
main(void)
{
	static const char *const words[] = {"{name}",
										"{file.name}",
										"{",
										"}",
										"{{",
										"}}",
										"/",
										"..",
										".",
										":",
										"|",
										"YYYY",
										"\xC3\xA9",
										"e\xCC\x81",
										"\"",
										"{a.b}",
										"_",
										"\\",
										"\xE2\x80\xAE",
										"{procedure}",
										"{a:YYYY-MM|x}",
										"\x01A",
										"\x20{name}/{file.name}/x "};

	return replay("templates", 10000, words, lengthof(words));
}
