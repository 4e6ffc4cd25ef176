/*
 * db.h
 *	  Transactions, SPI and the security context in which application code runs,
 *	  for workers and for functions. The only place that begins or ends a
 *	  transaction in a worker.
 */
#ifndef CLOUDSYNC_DB_H
#define CLOUDSYNC_DB_H

#include "postgres.h"

#include "executor/spi.h"
#include "utils/timestamp.h"

/*
 * A worker's short transaction with SPI and a snapshot. cs_begin sets the
 * statement time and pg_stat_activity's text; cs_commit commits, reports
 * statistics and returns to the memory context that was current at cs_begin.
 * On ERROR the caller's PG_CATCH calls cs_rollback (any state).
 */
extern void cs_begin(const char *activity);
extern void cs_commit(void);
extern void cs_rollback(void);

/*
 * From cs_share_flush(true) on, commits do not wait for the log: they become
 * durable together, also on synchronous standbys, by the next cs_make_durable,
 * which comes before anything leaves the server on their strength (a request to
 * a provider, a notification). cs_share_flush(false) makes durable what is
 * left.
 */
extern void cs_share_flush(bool share);
extern void cs_make_durable(void);

/*
 * Runs a statement with parameters by SPI (connected already); argument types
 * and values as for SPI_execute_with_args, nulls by a NULL pointer in
 * a text argument. ereports on failure. Returns SPI_processed. Plans are kept
 * by the statement's address (pass string constants).
 */
extern uint64 cs_execute(const char *sql, int nargs, const Oid *types,
						 const Datum *values, const char *nulls,
						 bool read_only);

/*
 * The same for a statement that wants the first rows along an index. What it
 * looks into may have grown a thousandfold since it was analyzed, as after a
 * TRUNCATE of what was pushed: it is never read whole to be sorted.
 */
extern uint64 cs_execute_first(const char *sql, int nargs, const Oid *types,
							   const Datum *values, const char *nulls,
							   bool read_only);

/*
 * The same for a statement that writes the row of each element of arrays, each
 * found by its index. As long as a table grows faster than it is analyzed, it
 * would be joined as a whole for each few rows. The elements' keys must come
 * from a subquery that is fenced off by OFFSET 0, the constant ones too, so
 * that nothing but the whole key leads into the table.
 */
extern uint64 cs_execute_lookups(const char *sql, int nargs, const Oid *types,
								 const Datum *values, const char *nulls);

/* Columns of row `row` of the last result, NULL-aware, copied with palloc. */
extern char *cs_get_text(uint64 row, int column); /* NULL if null */
extern int64 cs_get_int64(uint64 row, int column, int64 if_null);
extern bool cs_get_bool(uint64 row, int column, bool if_null);
extern TimestampTz cs_get_timestamptz(uint64 row, int column,
									  TimestampTz if_null);

/*
 * Application tables, views, triggers and functions are run as the owner of
 * the tracked table, security-restricted, with row_security off, a pinned
 * search_path and the fixed text settings of P10 (ISO dates, C locale, the
 * given time zone or NULL for the session's) (S3). Everything is put back by
 * cs_leave_owner, or by the abort of the (sub)transaction.
 */
typedef struct CsOwnerContext
{
	Oid saved_user;
	int saved_context;
	int guc_level;
	Oid saved_acting;
} CsOwnerContext;

extern void cs_enter_owner(CsOwnerContext *context, Oid owner,
						   const char *time_zone);
extern void cs_leave_owner(CsOwnerContext *context);

/*
 * Runs fn(arg) in a subtransaction. True: it succeeded and was released. False:
 * it raised an error, was rolled back, and *error is a copy of it in the
 * caller's memory context. FATAL and query cancellation pass through.
 */
extern bool cs_try(void (*fn)(void *arg), void *arg, ErrorData **error);

/* "message", "message: detail" of an error, at most 500 characters; palloc'd. */
extern char *cs_error_text(const ErrorData *error);

#endif
