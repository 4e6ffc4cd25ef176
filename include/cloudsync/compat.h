/*
 * compat.h
 *	  What differs between PostgreSQL 14 and 18, under the newest name. The only
 *	  file that asks PG_VERSION_NUM.
 */
#ifndef CLOUDSYNC_COMPAT_H
#define CLOUDSYNC_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 140000
#error "cloudsync needs PostgreSQL 14 or later"
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif
#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#endif
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM < 150000
#define MarkGUCPrefixReserved(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

#if PG_VERSION_NUM < 170000
#define CsCreateWaitEventSet(nevents)                                          \
	CreateWaitEventSet(TopMemoryContext, nevents)
#else
#define CsCreateWaitEventSet(nevents) CreateWaitEventSet(NULL, nevents)
#endif

#endif
