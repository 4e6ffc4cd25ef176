/*
 * watch.h
 *	  Watching folders: where a service can tell of changes, it is asked to, and a
 *	  collection begins when it does instead of when it is scheduled. Only that:
 *	  what is watched is collected by its schedule as if nobody watched, so a
 *	  failure here is never the connection's. A state machine like a job: nothing
 *	  in here waits but for the database.
 */
#ifndef CLOUDSYNC_WATCH_H
#define CLOUDSYNC_WATCH_H

#include "postgres.h"

#include "utils/timestamp.h"

typedef struct CsConnection CsConnection;
typedef struct CsWatcher CsWatcher;

/* One for a process, which must be the only one in this database. */
extern CsWatcher *cs_watcher_create(void);

/*
 * Goes on as far as it can. look: reads what is to be watched. Errors are said
 * in the log, and what failed is done by a later turn.
 */
extern void cs_watcher_turn(CsWatcher *watcher, bool look);

/* Readable when a service has said something: the descriptor of its loop. */
extern int cs_watcher_fd(CsWatcher *watcher);

/* False after an error: what the descriptor tells is for the turn at wake_at. */
extern bool cs_watcher_listens(const CsWatcher *watcher);

/* When the next turn is wanted at the latest; a time that is past: at once. */
extern TimestampTz cs_watcher_wake_at(CsWatcher *watcher);

/* How many folders there were to be watched at the last look. */
extern int cs_watcher_folders(const CsWatcher *watcher);

/* What pg_stat_activity says of it. palloc'd. */
extern char *cs_watcher_activity(const CsWatcher *watcher);

/* Is there a folder to be watched? In a transaction of its own. */
extern bool cs_watch_wanted(void);

/* Was it asked for, on this connection, to watch its folders? */
extern bool cs_watch_asked(const CsConnection *connection);

#endif
