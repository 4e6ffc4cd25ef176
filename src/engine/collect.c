/*
 * collect.c
 *	  Collecting: which runs a worker takes, and the job that carries one
 *	  through listing, receiving and settling (L1 to L12).
 */
#include "postgres.h"

#include "cloudsync/engine.h"

/* Takes queued collections and refreshes of the connection. */
int
cs_collect_claim(CsConnection *connection, int max, TimestampTz now)
{
	return 0;
}
