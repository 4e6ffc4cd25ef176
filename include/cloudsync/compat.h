/*
 * compat.h
 *	  What differs between PostgreSQL 14 and 18, under the newest name. The only
 *	  file that asks PG_VERSION_NUM.
 */
#ifndef CLOUDSYNC_COMPAT_H
#define CLOUDSYNC_COMPAT_H

#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#if PG_VERSION_NUM < 140000
#error "cloudsync needs PostgreSQL 14 or later"
#endif

/* What plain programs use too: the JSON parser, for json.c alone. */
#if PG_VERSION_NUM < 160000
#define CsJsonAction void
#define CsJsonActionDone() return
#else
#define CsJsonAction JsonParseErrorType
#define CsJsonActionDone() return JSON_SUCCESS
#endif
#if PG_VERSION_NUM < 170000
#define CsMakeJsonLexContext(text, len, encoding)                              \
	makeJsonLexContextCstringLen(text, len, encoding, true)
#define CsFreeJsonLexContext(lex)                                              \
	(pfree((lex)->strval->data), pfree((lex)->strval), pfree(lex))
#else
#define CsMakeJsonLexContext(text, len, encoding)                              \
	makeJsonLexContextCstringLen(NULL, text, len, encoding, true)
#define CsFreeJsonLexContext(lex) freeJsonLexContext(lex)
#endif

#ifndef FRONTEND

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif
#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#endif
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM < 150000
#define MarkGUCPrefixReserved(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

#if PG_VERSION_NUM < 150000
#include "funcapi.h"
#include "utils/tuplestore.h"

/* A set-returning function that fills a tuplestore; flags are ignored. */
static inline void
InitMaterializedSRF(FunctionCallInfo fcinfo, bits32 flags)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old;

	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo) ||
		(rsinfo->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("set-valued function called in context that "
							   "cannot accept a set")));
	old = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &rsinfo->setDesc) !=
		TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	rsinfo->returnMode = SFRM_Materialize;
	rsinfo->setResult = tuplestore_begin_heap(true, false, work_mem);
	MemoryContextSwitchTo(old);
}
#endif

/* Stands before the declaration of a function that does not return. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* Is this process a background worker? */
#if PG_VERSION_NUM < 170000
#define AmBackgroundWorkerProcess() IsBackgroundWorker
#endif

/* The primary key's index, a deferrable one too. */
#if PG_VERSION_NUM < 180000
#define CsPrimaryKeyIndex(rel) RelationGetPrimaryKeyIndex(rel)
#else
#define CsPrimaryKeyIndex(rel) RelationGetPrimaryKeyIndex(rel, true)
#endif

/* A blocking send, flushed at once. */
#if PG_VERSION_NUM < 150000
#define CsShmMqSend(queue, length, data) shm_mq_send(queue, length, data, false)
#else
#define CsShmMqSend(queue, length, data)                                       \
	shm_mq_send(queue, length, data, false, true)
#endif

/* Until 15, who notified had to hand notifications on himself. */
#if PG_VERSION_NUM < 150000
#include "commands/async.h"
#define CsAfterNotify() ProcessCompletedNotifies()
#else
#define CsAfterNotify() ((void) 0)
#endif

#if PG_VERSION_NUM >= 160000
#define CsOwnsDatabase(database, role)                                         \
	object_ownercheck(DatabaseRelationId, database, role)
#define CsOwnsExtension(extension, role)                                       \
	object_ownercheck(ExtensionRelationId, extension, role)
#else
#define CsOwnsDatabase(database, role) pg_database_ownercheck(database, role)
#define CsOwnsExtension(extension, role)                                       \
	pg_extension_ownercheck(extension, role)
#endif

/* Until 15, shared memory is asked for while the library is being loaded. */
#if PG_VERSION_NUM < 150000
typedef void (*shmem_request_hook_type)(void);
#define CsOnShmemRequest(previous, request) ((previous) = NULL, (request) ())
#else
#define CsOnShmemRequest(previous, request)                                    \
	((previous) = shmem_request_hook, shmem_request_hook = (request))
#endif

/* Until 15, the next transaction does not begin by itself. */
#if PG_VERSION_NUM < 150000
#define CsAfterSpiCommit() SPI_start_transaction()
#else
#define CsAfterSpiCommit() ((void) 0)
#endif

/* A wait event of one's own where the server has them, else the general one. */
#if PG_VERSION_NUM < 170000
#define CsWaitEventNew(name) ((void) (name), PG_WAIT_EXTENSION)
#else
#define CsWaitEventNew(name) WaitEventExtensionNew(name)
#endif

#if PG_VERSION_NUM < 170000
#define CsCreateWaitEventSet(nevents)                                          \
	CreateWaitEventSet(TopMemoryContext, nevents)
#else
#define CsCreateWaitEventSet(nevents) CreateWaitEventSet(NULL, nevents)
#endif

#endif /* FRONTEND */

#endif
