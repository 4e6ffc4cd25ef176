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
 * Within another limit, that one counts. What catches its cancellation and goes
 * on until as much time has passed again cannot be ended but with the process,
 * which tells whom cs_limit_blame named on its way out.
 */
extern void cs_limited(int ms, const char *setting, const char *what,
					   void (*fn)(void *arg), void *arg);

/*
 * The same for a read of an application's table, by cloudsync.read_timeout, in
 * a worker. In a session its own statement_timeout is the limit.
 */
extern void cs_limited_read(const char *relation, void (*fn)(void *arg),
							void *arg);

/*
 * Who is told, outside transactions and while the process ends, that what it had
 * run could not be cancelled: so that the next process does not begin with the
 * same. Holds until it is set again; fn NULL: nobody. Set before what may run
 * application code, whatever errors left set.
 */
#define CS_LIMIT_ENDED "did not let itself be cancelled"
typedef void (*CsLimitBlame)(void *arg, const ErrorData *error);
extern void cs_limit_blame(CsLimitBlame fn, void *arg);

#endif
