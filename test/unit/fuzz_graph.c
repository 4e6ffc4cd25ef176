/* sources: test/fuzz/graph.c src/provider/[a-z]*.c src/base/[a-z]*.c */
/*
 * Replays the fuzz target of the conversations of OneDrive and SharePoint.
 */
#include "postgres_fe.h"

#include "../fuzz/replay.h"

int
main(void)
{
	return replay("conversations of OneDrive and SharePoint", 20000, NULL, 0);
}
