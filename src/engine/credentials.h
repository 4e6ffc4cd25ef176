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
 * Opens what is stored for the connection, in a short transaction; none is no
 * failure. False with *failure, of class LOCKED.
 */
extern bool cs_credentials_open(CsConnection *connection, CsSecret *secret,
								CsFailure *failure);
/* How to authenticate with them, and how fast; points into the secret. */
extern void cs_credentials_access(CsConnection *connection,
								  const CsSecret *secret, CsHttpAccess *access);

#endif
