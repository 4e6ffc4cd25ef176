/* sources: test/fuzz/local.c src/provider/[a-z]*.c src/base/[a-z]*.c */
/*
 * Replays the fuzz target of the local provider.
 */
#include "postgres_fe.h"

#include "../fuzz/replay.h"

int
main(void)
{
	return replay("local conversations", 100000, NULL, 0);
}
