/*
 * oauth.h
 *	  What oauth.c and oauth_error.c share. Inner header of provider/.
 */
#ifndef CLOUDSYNC_PROVIDER_OAUTH_H
#define CLOUDSYNC_PROVIDER_OAUTH_H

#include "cloudsync/json.h"
#include "cloudsync/oauth.h"

/* json is the answer as a tree, or NULL if it is none. */

/* Of a device code: nobody has consented yet. */
extern bool cs_oauth_pending(const CsGrant *grant, const CsJson *json,
							 CsTokens *tokens);
/* Was what is to be revoked dead already? */
extern bool cs_oauth_is_dead(const CsResponse *answer, const CsJson *json);
/* Why there are no tokens, without any of the grant's secrets. */
extern void cs_oauth_failure(const CsGrant *grant, const CsResponse *answer,
							 const CsJson *json, CsFailure *failure);

#endif
