/*
 * token.h
 *	  What the files of access tokens share: a connection's secrets as a grant
 *	  for a token server, and tokens stored. Inner header of engine/.
 */
#ifndef CLOUDSYNC_TOKEN_H
#define CLOUDSYNC_TOKEN_H

#include "cloudsync/engine.h"
#include "cloudsync/oauth.h"
#include "cloudsync/vault.h"
#include "credentials.h"

#define CS_TOKEN_EARLY_MS 300000 /* a token is renewed so long before its end */

/* What is secret of a connection; readable until cs_token_secrets_forget. */
typedef struct CsTokenSecrets
{
	CsSecret given; /* credentials as they were given */
	CsSecret token; /* and what came of them */
	CsSecret app;
	char *client_id; /* of the registered application, or NULL */
} CsTokenSecrets;

/*
 * Reads them in a short transaction, into the current memory context. False
 * with *failure (LOCKED).
 */
extern bool cs_token_secrets(CsConnection *connection, CsTokenSecrets *secrets,
							 CsFailure *failure);
extern void cs_token_secrets_forget(CsTokenSecrets *secrets);
/* The access token that is stored and its end; NULL: none, or not for long. */
extern const char *cs_token_stored(const CsTokenSecrets *secrets,
								   TimestampTz now, TimestampTz *expires_at);
/* Is there anything that a token can be come by with? */
extern const char *cs_token_refresh(const CsTokenSecrets *secrets);
/*
 * How a token is come by with them. False with *failure: NEEDS_CONSENT if
 * somebody must do something first.
 */
extern bool cs_token_grant(CsConnection *connection,
						   const CsTokenSecrets *secrets, TimestampTz now,
						   CsGrant *grant, CsFailure *failure);
/* The scope that is needed and was not granted, or NULL. palloc'd. */
extern char *cs_token_scope_missing(const CsConnection *connection,
									const CsTokens *tokens);

/*
 * In a transaction, whose lock on the connection's row it takes: false: the
 * connection was ended, and what comes of it now is not kept.
 */
extern bool cs_token_may_store(const CsConnection *connection);
/*
 * In a transaction: stores them, encrypted, with the refresh token that holds
 * from now on (former, unless there is a new one), and what is known of the end.
 */
extern void cs_token_store(CsConnection *connection, const CsTokens *tokens,
						   const char *former, int64 certificate_end,
						   TimestampTz now);
extern TimestampTz cs_token_end(const CsTokens *tokens, TimestampTz now);

/* An endpoint for token servers, in the current memory context; or NULL. */
extern CsEndpoint *cs_token_server(CsConnection *connection,
								   CsFailure *failure);
/* Adds to a secret that is to be stored; value NULL: nothing. */
extern void cs_secret_add(CsSecret *secret, const char *key, const char *value);

/*
 * The service said whose account the tokens are of (C2). False with *failure: it
 * is another's than the connection's. In a transaction of its own.
 */
extern bool cs_account_settle(CsConnection *connection, const CsResult *about,
							  TimestampTz now, CsFailure *failure);
/* In a transaction: who consented (NULL: the service does not say). */
extern void cs_person_note(const CsConnection *connection, const char *person);

/* consent.c: device codes, as steps of a connection's keeper */
typedef struct CsDevice
{
	int64 consent_id; /* 0: there is none */
	char *client_id;
	char *scopes;
	char *code; /* NULL: not asked for yet; secret */
	int64 interval;
	TimestampTz expires_at;
} CsDevice;

extern bool cs_device_read(CsConnection *connection, CsDevice *device,
						   CsFailure *failure);
extern void cs_device_shown(CsConnection *connection, CsDevice *device,
							const CsTokens *tokens, TimestampTz now);
extern void cs_device_waits(CsConnection *connection, CsDevice *device,
							const CsTokens *tokens, TimestampTz now);
/* Consent was given: the connection is active, its account to be asked for. */
extern void cs_device_done(CsConnection *connection, const CsDevice *device,
						   const CsTokens *tokens, TimestampTz now);
extern void cs_device_failed(CsConnection *connection, const CsDevice *device,
							 const CsFailure *failure);

/*
 * renewal.c: other credentials or options of a connection, checked before they
 * take the place of those that are in force (C2). _begin: in a transaction.
 * _failed: what went wrong is tried again, or refuses them. _settle: the service
 * said whose account they are of.
 */
extern void cs_renewal_begin(CsConnection *renewal, CsConnection *connection);
/* Of a renewal: are its credentials those that are in force? */
extern bool cs_renewal_shares(const CsConnection *connection);
extern void cs_renewal_failed(CsConnection *renewal, const CsFailure *failure,
							  TimestampTz now);
extern void cs_renewal_settle(CsConnection *renewal, const CsResult *about,
							  TimestampTz now);

/* What a keeper is talking about with the token server. */
typedef enum CsTokenStep
{
	CS_TALK_NONE,
	CS_TALK_TOKEN,
	CS_TALK_DEVICE_START,
	CS_TALK_DEVICE,
	CS_TALK_REVOKE
} CsTokenStep;

struct CsTokenKeeper
{
	CsJob job;		/* owns the transfers; not among the connection's */
	bool duties;	/* by the worker that has the lease: all of the above */
	CsTokenStep step;
	CsTransfer *talk;	   /* with the token server, */
	MemoryContext context; /* and what is secret of it */
	CsEndpoint *server;
	CsTokenSecrets secrets;
	CsDevice device;
	int64 certificate_end;
	bool locked;
	CsTransfer *about; /* whose account is it? */
	MemoryContext about_context;
	TimestampTz renew_at; /* the endpoint's token */
	uint8 last[CS_SHA256_LENGTH]; /* digest of the token given last */
	bool has_last;
	bool access_ended; /* REVOKE: the stored token is no use for it */
	int tries;
	TimestampTz wake_at;
};

/*
 * token.c. _lock: the token lock is had, or tried for again soon. _ask: in a
 * memory context that lasts until _end, `ask` either begins to talk, or finds
 * that nothing is to be asked, or is false with *failure, which goes to `failed`;
 * that one calls _end. _talk: a conversation with the token server begins; false
 * with *failure. _wait: the next attempt comes after longer each time. Outside of
 * transactions, all of them; `ask` opens its own.
 */
typedef bool (*CsKeeperAsk) (CsConnection *connection, TimestampTz now,
							 CsFailure *failure);
typedef void (*CsKeeperFailed) (CsConnection *connection,
								const CsFailure *failure, TimestampTz now);
extern void cs_keeper_ask(CsConnection *connection, CsKeeperAsk ask,
						  CsKeeperFailed failed, TimestampTz now);
extern bool cs_keeper_talk(CsConnection *connection, CsTokenStep step,
						   const CsGrant *grant, CsFailure *failure);
extern void cs_keeper_end(CsConnection *connection);
extern void cs_keeper_end_about(CsConnection *connection);
extern void cs_keeper_wait(CsTokenKeeper *keeper, const CsFailure *failure,
						   TimestampTz now);
extern bool cs_keeper_lock(CsConnection *connection, TimestampTz now);

/* token_duty.c */
extern void cs_keeper_revoke(CsConnection *connection, TimestampTz now);
extern void cs_keeper_revoke_failed(CsConnection *connection,
									const CsFailure *failure, TimestampTz now);
extern void cs_keeper_forget(CsConnection *connection);
/*
 * Is there another connection that would lose its tokens with this one's? about
 * tells whose these are; NULL: the connection's own. Outside of transactions.
 */
extern bool cs_revoke_harms(const CsConnection *connection, const CsResult *about);
extern void cs_keeper_device(CsConnection *connection, TimestampTz now);
extern void cs_keeper_device_told(CsConnection *connection,
								  const CsTokens *tokens, TimestampTz now);
extern void cs_keeper_device_failed(CsConnection *connection,
									const CsFailure *failure, TimestampTz now);

#endif
