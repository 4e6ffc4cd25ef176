/*
 * change.h
 *	  The change log: notes of changed dossiers and files, appended in the
 *	  writer's own transaction and folded into the queue by the scheduler
 *	  (engine.h), and how tracked tables of dossiers are read by key.
 */
#ifndef CLOUDSYNC_CHANGE_H
#define CLOUDSYNC_CHANGE_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/*
 * Notes a change in the current transaction: one row however often it is noted
 * there. source_id 0: of the dossier itself. dossier NULL: of every dossier of
 * the table. tenant NULL: not known here, the fold looks it up. Needs no right
 * of the current user and no snapshot, and never waits for another writer.
 */
extern void cs_note_change(int32 dossiers_id, int32 source_id,
						   const char *dossier, const char *file_key,
						   const char *tenant);

/* A change in the log. */
typedef struct CsChange
{
	int32 dossiers_id;
	const char *dossier; /* NULL: every dossier */
	const char *tenant;	 /* NULL: not known */
	TimestampTz changed_at;
} CsChange;

/*
 * Takes up to `limit` committed changes off the log in the current transaction,
 * from block *block on, and moves *block to where it stopped; those of the
 * tables in the integer list `skip` stay. Hands each to the function, in the
 * order in which they stand, its strings palloc'd in the current context.
 * Returns how many there were.
 */
extern int64 cs_take_changes(uint32 *block, const List *skip, int64 limit,
							 void (*take)(void *arg, const CsChange *change),
							 void *arg);

/*
 * A tracked table of dossiers as SQL text, all quoted and qualified. A key in
 * text form, as the log and the queue have it, is "<key>::text" under the
 * settings of cs_enter_owner and the time zone UTC.
 */
typedef struct CsTracked
{
	int32 dossiers_id;
	Oid owner;
	const char *table;
	const char *key;	   /* column */
	const char *tenant;	   /* column, or NULL */
	const char *key_type;  /* below its domains, without a length */
	const char *key_equal; /* OPERATOR(schema.=) of its default order */
	const char *key_less;
} CsTracked;

/*
 * Reads it, palloc'd in the current context; NULL: not tracked. Raises an error
 * where the table or a column is gone. SPI must be connected.
 */
extern CsTracked *cs_tracked_read(int32 dossiers_id);

/* For cs_enter_owner, where keys are read. */
#define CS_KEY_TIME_ZONE "UTC"

/*
 * Follows renames of tracked tables' columns, and records against a table what
 * of it is gone. In a transaction, with SPI connected.
 */
extern void cs_refresh_column_names(void);

/*
 * One batch of the fold in the current transaction (SPI connected). Takes
 * changes from block *block of the log on and moves *block behind them;
 * changes of the tables in the integer list `skip` are left alone. What became
 * visible only after seen_until counts from then. Returns how many changes were
 * taken. A table that cannot be read: -1 with *broken, its dossiers_id, and
 * *error; the transaction is then to be rolled back, so that its changes stay.
 */
extern int64 cs_fold_batch(uint32 *block, TimestampTz now,
						   TimestampTz seen_until, List *skip, int32 *broken,
						   ErrorData **error);

#endif
