/*
 * change.h
 *	  The change log: notes of changed dossiers and files, appended in the
 *	  writer's own transaction and folded into the queue by the scheduler
 *	  (engine.h), and what both need to know of tracked tables.
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

/*
 * Follows renames of tracked tables' columns and records against the table
 * where one is gone; in a restored copy, where column numbers mean nothing,
 * finds the numbers by the names. In a transaction, with SPI connected.
 */
extern void cs_refresh_column_names(void);

/*
 * One batch of the fold in the current transaction (SPI connected), used by
 * cs_fold_changes and by the SQL function cloudsync.fold(). Takes changes from
 * block *block of the log on and moves *block behind them. Tables in the
 * integer list `skip` are left alone. Returns how many changes were taken.
 * A table that cannot be read: *broken is its dossiers_id, *error why, and the
 * transaction is to be rolled back, so that its changes stay.
 */
extern int64 cs_fold_batch(uint32 *block, TimestampTz now,
						   TimestampTz seen_until, List *skip,
						   int32 *broken, ErrorData **error);

#endif
