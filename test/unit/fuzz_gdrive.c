/* sources: test/fuzz/gdrive.c src/provider/[a-z]*.c src/base/[a-z]*.c */
/*
 * Replays the fuzz target of Google Drive's conversations.
 */
#include "postgres_fe.h"

#include "../fuzz/replay.h"

int
main(void)
{
	return replay("Google Drive conversations", 20000, NULL, 0);
}
