/*
 * notify.h
 *	  NOTIFY cloudsync about runs that ended and connections that changed state
 *	  (H4): collected in memory while work is settled, sent by the worker's loop
 *	  in a transaction of its own.
 */
#ifndef CLOUDSYNC_NOTIFY_H
#define CLOUDSYNC_NOTIFY_H

#include "postgres.h"

/*
 * Notes an event ('run', 'connection'; id_name 'run_id', 'connection_id'). kind
 * may be NULL. Within a transaction it counts only if that commits; a session
 * that is no worker of ours sends nothing.
 */
extern void cs_notify(const char *event, const char *id_name, int64 id,
					  const char *kind, const char *state);

/* Sends what was noted, outside a transaction; failures are only logged. */
extern void cs_notify_send(void);

#endif
