/*
 * oauth.h
 *	  OAuth 2.0 as the providers use it (C3): what each provider's service is
 *	  like, and conversations with a token server, carried by the transfer loop
 *	  like any other (provider.h). Does no I/O and knows no database.
 *
 * Unlike a provider's, these conversations hold secrets: a grant's are copied
 * into the conversation, and its requests go only to the token server's own
 * address. They are cleansed with it.
 *
 * Include postgres.h or postgres_fe.h before this header.
 */
#ifndef CLOUDSYNC_OAUTH_H
#define CLOUDSYNC_OAUTH_H

#include "cloudsync/provider.h"

/* What a provider's service is like; addresses may depend on options. */
typedef struct CsOAuth
{
	/* Addresses by a connection's options; palloc'd, or NULL: it has none. */
	char *(*authorize_url)(const CsOption *options);
	char *(*token_url)(const CsOption *options);
	char *(*device_url)(const CsOption *options);
	char *(*revoke_url)(const CsOption *options);
	/* Scopes that are asked for, separated by spaces, by the options. */
	char *(*scopes)(const CsOption *options);
	/* The same where a client acts for itself (CLIENT); NULL: the same. */
	char *(*client_scopes)(const CsOption *options);
	/* Added to the consent page's address, such as token_access_type=offline. */
	const char *authorize_extra;
	bool code_is_shown; /* without a redirect URI the page shows a code */
	bool basic;			/* the client's secret goes by HTTP Basic */
	bool revoke_by_access; /* an access token revokes itself and its kin */
	bool revokes_all; /* all that the user consented to the application goes */
	/*
	 * Does a scope granted cover one that is needed? NULL: equal names.
	 * offline_access and openid need not be covered.
	 */
	bool (*covers)(const char *granted, const char *needed);
} CsOAuth;

typedef enum CsGrantKind
{
	CS_GRANT_CODE,		   /* code, verifier, redirect_uri */
	CS_GRANT_REFRESH,	   /* refresh_token */
	CS_GRANT_ASSERTION,	   /* assertion: a service account's signed claim */
	CS_GRANT_CLIENT,	   /* the client's own secret or assertion */
	CS_GRANT_DEVICE_START, /* asks for a device code */
	CS_GRANT_DEVICE,	   /* device_code: has somebody consented? */
	CS_GRANT_REVOKE		   /* refresh_token or access token is taken back */
} CsGrantKind;

/* What a token server is asked for. Strings may be NULL where they are not used. */
typedef struct CsGrant
{
	CsGrantKind kind;
	const char *url; /* of the token server, for this kind */
	const char *client_id;
	const char *client_secret;
	const char *client_assertion; /* instead of the secret: a signed JWT */
	bool basic;
	const char *code;
	const char *verifier;
	const char *redirect_uri;
	const char *refresh_token;
	const char *access_token; /* REVOKE where the service takes that */
	const char *assertion;
	const char *device_code;
	const char *scope;
} CsGrant;

/* What came of it; strings live until the transfer is freed. */
typedef struct CsTokens
{
	const char *access_token;
	const char *refresh_token; /* NULL: the former one stays */
	int64 expires_in;		   /* seconds; 0: not said */
	int64 refresh_expires_in;  /* of the consent, where it ends by itself */
	const char *scope;		   /* granted; NULL: as asked */
	const char *account;	   /* if the server said; or NULL */
	/* DEVICE_START */
	const char *device_code;
	const char *user_code;
	const char *verification_url;
	int64 interval; /* seconds between questions */
	bool pending;	/* DEVICE: nobody has consented yet; */
	bool slow_down; /* ask less often */
} CsTokens;

/*
 * Conversations with a token server: begin() takes an op of kind CS_OP_TOKEN
 * with a grant, DONE has result.tokens. Failures are classified: NEEDS_CONSENT
 * for invalid_grant and its kin (the cause in the message), FORBIDDEN for what
 * an administrator must mend (invalid_client, unauthorized_client, scopes),
 * RETRY_LATER, BROKEN.
 */
extern const CsProvider cs_oauth_conversations;

#endif
