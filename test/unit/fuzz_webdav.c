/* sources: test/fuzz/webdav.c src/provider/[a-z]*.c src/base/[a-z]*.c */
/*
 * Replays the fuzz target of WebDAV's conversations.
 */
#include "postgres_fe.h"

#include "../fuzz/replay.h"

int
main(void)
{
	return replay("WebDAV conversations", 20000, NULL, 0);
}
