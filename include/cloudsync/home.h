/*
 * home.h
 *	  Whether this copy of the database may act (W8). Implemented in
 *	  src/store/home.c.
 */
#ifndef CLOUDSYNC_HOME_H
#define CLOUDSYNC_HOME_H

#include "postgres.h"

/*
 * May this copy act (W8, cloudsync.enabled, cloudsync.hosts)? In a transaction.
 * NULL: yes; else why not, static or palloc'd.
 */
extern const char *cs_why_suspended(void);

#endif
