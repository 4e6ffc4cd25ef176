/* sources: test/fuzz/dropbox.c src/provider/[a-z]*.c src/base/[a-z]*.c */
/*
 * Replays the fuzz target of Dropbox's conversations.
 */
#include "postgres_fe.h"

#include "../fuzz/replay.h"

int
main(void)
{
	return replay("Dropbox conversations", 20000, NULL, 0);
}
