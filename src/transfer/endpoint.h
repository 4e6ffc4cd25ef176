/*
 * endpoint.h
 *	  A connection's folder, held open, or its service over HTTP. Inner header of transfer/; usable in the
 *	  server and in plain programs.
 */
#ifndef CLOUDSYNC_ENDPOINT_H
#define CLOUDSYNC_ENDPOINT_H

#include "cloudsync/transfer.h"
#include "pace.h"

struct CsEndpoint
{
	struct CsHttpPlace *http; /* over HTTP (http.h); NULL: a local folder */
	void (*close_http)(struct CsHttpPlace *place);
	CsService *service; /* over HTTP, or NULL */
	int root;			/* O_PATH descriptor */
	CsPace pace;		/* of a local folder: bytes alone */
	char *data_directory;
	char *local_root;
	char *tenant;
	char *path;
	bool create;
	CsFolderSeen seen;
};

/*
 * cs_endpoint_open_local with the data directory named, which the folder must
 * neither contain nor lie in (nor its tablespaces).
 */
extern CsEndpoint *cs_endpoint_open_below(const char *data_directory,
										  const char *local_root,
										  const char *tenant, const char *path,
										  CsFolderSeen seen, bool create,
										  CsFailure *failure);

/*
 * Looks whether the way still leads to the folder that is open, and if not (a
 * file system was mounted over it, the folder was made anew), goes there. False
 * with *failure if it leads nowhere.
 */
extern bool cs_endpoint_refresh(CsEndpoint *endpoint, CsFailure *failure);

/* Whether local_root may be used beside this data directory. */
extern bool cs_local_root_ok(const char *data_directory, const char *local_root,
							 CsFailure *failure);
/* May the tenant's name be a folder's name? */
extern bool cs_local_tenant_ok(const char *tenant);

#endif
