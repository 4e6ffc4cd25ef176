/*
 * schedule.c
 *	  Queues a run for each channel whose time has come (L2).
 */
#include "postgres.h"

#include "cloudsync/engine.h"

void
cs_schedule_collections(TimestampTz now)
{
}
