/*
 * limit.h
 *	  A limit of time on what runs the application's code: its functions for
 *	  documents, and reads of its tables, which may run casts, views, generated
 *	  columns and policies of its own.
 */
#ifndef CLOUDSYNC_LIMIT_H
#define CLOUDSYNC_LIMIT_H

#include "postgres.h"

/*
 * Runs fn(arg). What takes longer than ms is cancelled, and the error says that
 * what ("function f", "reading table t") took longer than the setting allows.
 * Within another limit, that one counts.
 */
extern void cs_limited(int ms, const char *setting, const char *what,
					   void (*fn)(void *arg), void *arg);

/*
 * The same for a read of an application's table, by cloudsync.read_timeout, in
 * a worker. In a session its own statement_timeout is the limit.
 */
extern void cs_limited_read(const char *relation, void (*fn)(void *arg),
							void *arg);

#endif
