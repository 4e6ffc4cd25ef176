/*
 * push_args.h
 *	  What the parts of a push that record share: a dossier or a file of it as a
 *	  statement's first arguments.
 */
#ifndef CLOUDSYNC_PUSH_ARGS_H
#define CLOUDSYNC_PUSH_ARGS_H

#include "postgres.h"

#include "cloudsync/push.h"
#include "args.h"

/* With add_file or add_record, and with add_dossier, as the first arguments. */
#define THIS_FILE \
	"destination_id OPERATOR(pg_catalog.=) $1 AND dossiers_id OPERATOR(pg_catalog.=) $2 " \
	"AND dossier OPERATOR(pg_catalog.=) $3 AND source_id OPERATOR(pg_catalog.=) $4 " \
	"AND file_key OPERATOR(pg_catalog.=) $5"
#define THIS_DOSSIER \
	"destination_id OPERATOR(pg_catalog.=) $1 AND dossiers_id OPERATOR(pg_catalog.=) $2 " \
	"AND dossier OPERATOR(pg_catalog.=) $3"

static inline void
add_dossier(Args *args, CsPushJob *push)
{
	add_int64(args, push->setting->destination_id, false);
	add(args, INT4OID, Int32GetDatum(push->dossiers_id), false);
	add_text(args, push->dossier);
}

static inline void
add_row(Args *args, CsPushJob *push, int source_id, const char *file_key)
{
	add_dossier(args, push);
	add(args, INT4OID, Int32GetDatum(source_id), false);
	add_text(args, file_key);
}

static inline void
add_file(Args *args, CsPushJob *push, const CsPushFile *file)
{
	add_row(args, push, file->plan->source_id, file->plan->file_key);
}

static inline void
add_record(Args *args, CsPushJob *push, const CsRecord *record)
{
	add_row(args, push, record->source_id, record->file_key);
}

static inline char *
key_of(CsPushJob *push, const char *path)
{
	return cs_name_key(path, &push->setting->provider->names);
}

#endif
