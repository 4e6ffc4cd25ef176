/*
 * push.c
 *	  Taking dossiers that are due, and driving each one's push.
 */
#include "postgres.h"

#include "cloudsync/engine.h"

/* See engine.h. */
int
cs_push_claim(CsConnection *connection, int max, TimestampTz now)
{
	return 0;
}
