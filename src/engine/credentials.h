/*
 * credentials.h
 *	  A connection's credentials, for the moment in which its endpoint is
 *	  opened. Inner header of engine/.
 */
#ifndef CLOUDSYNC_CREDENTIALS_H
#define CLOUDSYNC_CREDENTIALS_H

#include "cloudsync/engine.h"
#include "cloudsync/vault.h"

/*
 * The row of cloudsync.secret of one kind ('connection', 'token', 'app', ...),
 * opened, in a transaction of its own. In the current memory context, readable
 * until cs_secret_forget. No row is no failure: the secret is empty. False with
 * *failure, of class LOCKED.
 */
extern bool cs_secret_of(const char *tenant, const char *kind, int64 id,
						 CsSecret *secret, CsFailure *failure);
/* The same of what the connection's endpoint is opened with. */
extern bool cs_credentials_open(CsConnection *connection, CsSecret *secret,
								CsFailure *failure);
/* How to authenticate with them, and how fast; points into the secret. */
extern void cs_credentials_access(CsConnection *connection,
								  const CsSecret *secret, CsHttpAccess *access);

#endif
