/*
 * cloudsync.c
 *	  Entry of the library: settings, shared memory, the launcher's
 *	  registration, the log's hook; nothing else.
 */
#include "postgres.h"

#include "fmgr.h"

#include "cloudsync/settings.h"
#include "cloudsync/vault.h"
#include "cloudsync/worker.h"

#ifdef PG_MODULE_MAGIC_EXT
PG_MODULE_MAGIC_EXT(.name = "cloudsync", .version = CLOUDSYNC_VERSION);
#else
PG_MODULE_MAGIC;
#endif

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	cs_define_settings();
	cs_worker_init();
	cs_hide_init();
}
