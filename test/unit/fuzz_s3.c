/* sources: test/fuzz/s3.c src/provider/[a-z]*.c src/base/[a-z]*.c */
/*
 * Replays the fuzz target of S3's conversations.
 */
#include "postgres_fe.h"

#include "../fuzz/replay.h"

int
main(void)
{
	return replay("S3 conversations", 20000, NULL, 0);
}
