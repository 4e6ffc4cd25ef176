/*
 * token.c
 *	  Access tokens of a connection (C3): come by when requests wait for one,
 *	  renewed before they end, by one process at a time; and what else there is
 *	  to ask a service about its consent: whose account it is, whether a device's
 *	  code was typed, that tokens are taken back.
 *
 * A keeper is a small state machine beside the connection's jobs: one
 * conversation with the token server at a time, under the connection's token
 * lock, which holds off the processes that ask for a session (ask.c). Whoever
 * gets the lock looks first whether another has stored a token meanwhile.
 *
 * Relies on token_grant.c and consent.c for what is stored.
 */
#include "postgres.h"

#include <openssl/crypto.h>

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "cloudsync/crash.h"
#include "cloudsync/db.h"
#include "cloudsync/hash.h"
#include "cloudsync/jwt.h"
#include "cloudsync/wake.h"
#include "token.h"

#define LOCK_AGAIN_MS 100
#define AGAIN_FIRST_MS 5000
#define AGAIN_LAST_MS 300000

/* See engine.h. */
void
cs_token_open(CsConnection *connection, bool duties)
{
	CsTokenKeeper *keeper;

	if (connection->provider->oauth == NULL || connection->keeper != NULL)
		return;
	keeper = MemoryContextAllocZero(connection->context, sizeof(CsTokenKeeper));
	keeper->duties = duties;
	keeper->renew_at = DT_NOEND;
	keeper->wake_at = DT_NOBEGIN;
	keeper->job.connection = connection;
	connection->keeper = keeper;
}

/* The conversation ends, and nothing readable is left of it. */
void
cs_keeper_end(CsConnection *connection)
{
	CsTokenKeeper *keeper = connection->keeper;

	cs_token_secrets_forget(&keeper->secrets);
	if (keeper->device.code != NULL)
		OPENSSL_cleanse(keeper->device.code, strlen(keeper->device.code));
	memset(&keeper->device, 0, sizeof(keeper->device));
	if (keeper->talk != NULL)
		cs_transfer_free(keeper->talk);
	keeper->talk = NULL;
	if (keeper->server != NULL)
		cs_endpoint_close(keeper->server);
	keeper->server = NULL;
	if (keeper->context != NULL)
		MemoryContextDelete(keeper->context);
	keeper->context = NULL;
	keeper->step = CS_TALK_NONE;
	if (keeper->locked)
		cs_token_unlock(connection->connection_id);
	keeper->locked = false;
}

void
cs_keeper_end_about(CsConnection *connection)
{
	CsTokenKeeper *keeper = connection->keeper;

	if (keeper->about_context == NULL)
		return;
	MemoryContextDelete(keeper->about_context);
	keeper->about_context = NULL;
	keeper->about = NULL;
	connection->transfers--;
}

/* See engine.h. */
void
cs_token_close(CsConnection *connection)
{
	if (connection->keeper == NULL)
		return;
	cs_keeper_end_about(connection);
	cs_keeper_end(connection);
}

/* See engine.h. */
void
cs_token_given(CsConnection *connection, const char *token,
			   TimestampTz expires_at, TimestampTz now)
{
	CsTokenKeeper *keeper = connection->keeper;

	cs_sha256(token, strlen(token), keeper->last);
	keeper->has_last = true;
	keeper->renew_at = DT_NOEND;
	if (expires_at != DT_NOEND)
		keeper->renew_at = expires_at - Min(CS_TOKEN_EARLY_MS * INT64CONST(1000), (expires_at - now) / 2);
}

static void
give_token(CsConnection *connection, const char *token,
		   TimestampTz expires_at, TimestampTz now)
{
	cs_token_given(connection, token, expires_at, now);
	connection->keeper->tries = 0;
	connection->keeper->wake_at = DT_NOEND;
	if (connection->endpoint != NULL)
		cs_endpoint_set_token(connection->endpoint, token);
}

void
cs_keeper_wait(CsTokenKeeper *keeper, const CsFailure *failure, TimestampTz now)
{
	int64 wait = AGAIN_FIRST_MS << Min(keeper->tries, 6);

	keeper->tries++;
	wait = Max(Min(wait, AGAIN_LAST_MS), failure->retry_after_ms);
	keeper->wake_at = TimestampTzPlusMilliseconds(now, wait);
}

/*
 * There is no token. What waits for one ends; a connection for which a person
 * must do something says so.
 */
static void
no_token(CsConnection *connection, const CsFailure *why, TimestampTz now)
{
	CsTokenKeeper *keeper = connection->keeper;
	CsFailure failure = *why;

	if (connection->renews != NULL)
	{
		cs_renewal_failed(connection, why, now);
		return;
	}
	/* what an administrator must mend stops the connection too */
	if (failure.failure_class == CS_FAIL_FORBIDDEN)
		failure.failure_class = CS_FAIL_NEEDS_CONSENT;
	else if (failure.failure_class != CS_FAIL_NEEDS_CONSENT &&
			 failure.failure_class != CS_FAIL_LOCKED)
		failure.failure_class = CS_FAIL_UNREACHABLE; /* no file's own fault */
	cs_keeper_end(connection);
	cs_keeper_wait(keeper, &failure, now);
	if (connection->endpoint != NULL)
		cs_endpoint_refuse_token(connection->endpoint, &failure);
	cs_begin("noting a failure");
	cs_connection_note(connection, &failure, now);
	cs_commit();
	if (failure.failure_class == CS_FAIL_NEEDS_CONSENT)
		connection->is_active = false;
	cs_keeper_end_about(connection);
}

/* ---- beginning to talk ---- */

/* Does this process hold the lock already, for the connection or its renewal? */
static bool
kin_talks(const CsConnection *connection)
{
	const CsConnection *kin = connection->renews != NULL ? connection->renews : connection->renewal;

	return kin != NULL && kin->keeper->locked;
}

/* See token.h. */
bool
cs_keeper_lock(CsConnection *connection, TimestampTz now)
{
	CsTokenKeeper *keeper = connection->keeper;

	keeper->locked = !kin_talks(connection) && cs_token_lock(connection->connection_id);
	if (!keeper->locked)
		keeper->wake_at = TimestampTzPlusMilliseconds(now, LOCK_AGAIN_MS);
	return keeper->locked;
}

/* See token.h. */
bool
cs_keeper_talk(CsConnection *connection, CsTokenStep step, const CsGrant *grant,
		   CsFailure *failure)
{
	CsTokenKeeper *keeper = connection->keeper;
	CsOp op = {.kind = CS_OP_TOKEN, .grant = grant};

	keeper->server = cs_token_server(connection, failure);
	if (keeper->server == NULL)
		return false;
	keeper->talk = cs_transfer_start(connection->loop, &cs_oauth_conversations,
									 keeper->server, &op, NULL, &keeper->job);
	keeper->step = step;
	return true;
}

/* See token.h. */
void
cs_keeper_ask(CsConnection *connection, CsKeeperAsk ask, CsKeeperFailed failed, TimestampTz now)
{
	CsTokenKeeper *keeper = connection->keeper;
	CsFailure failure = {0};
	MemoryContext old;
	bool ok;

	keeper->context = AllocSetContextCreate(connection->context, "cloudsync token",
											ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(keeper->context);
	ok = ask(connection, now, &failure);
	MemoryContextSwitchTo(old);
	if (!ok)
		failed(connection, &failure, now);
	else if (keeper->talk == NULL)
		cs_keeper_end(connection);
}

/* Is it the one that the endpoint had, and that may have been refused? */
static bool
is_last(const CsTokenKeeper *keeper, const char *token)
{
	uint8 digest[CS_SHA256_LENGTH];

	cs_sha256(token, strlen(token), digest);
	return keeper->has_last &&
		   memcmp(digest, keeper->last, sizeof(digest)) == 0;
}

/* False with *failure. Done at once where another process stored one meanwhile. */
static bool
ask_token(CsConnection *connection, TimestampTz now, CsFailure *failure)
{
	CsTokenKeeper *keeper = connection->keeper;
	TimestampTz expires_at;
	const char *stored;
	const char *certificate;
	CsGrant grant;

	if (!cs_token_secrets(connection, &keeper->secrets, failure))
		return false;
	stored = cs_renewal_shares(connection)
				 ? NULL
				 : cs_token_stored(&keeper->secrets, now, &expires_at);
	if (stored != NULL && !is_last(keeper, stored))
	{
		give_token(connection, stored, expires_at, now);
		return true; /* nothing is to be asked */
	}
	certificate = keeper->secrets.given.bytes != NULL
					  ? cs_secret_get(&keeper->secrets.given, "certificate")
					  : NULL;
	keeper->certificate_end = certificate != NULL ? cs_certificate_end(certificate) : 0;
	return cs_token_grant(connection, &keeper->secrets, now, &grant, failure) &&
		   cs_keeper_talk(connection, CS_TALK_TOKEN, &grant, failure);
}

/* ---- what came of it ---- */

static bool
same_bytes(const CsSecret *a, const CsSecret *b)
{
	return a->length == b->length &&
		   (a->length == 0 || memcmp(a->bytes, b->bytes, a->length) == 0);
}

/* Are the credentials that were asked with still those of the connection? */
static bool
still_given(CsConnection *connection)
{
	const CsTokenSecrets *used = &connection->keeper->secrets;
	const char *refresh = cs_token_refresh(used);
	const char *stored;
	CsTokenSecrets secrets;
	CsFailure failure;
	bool same;

	if (!cs_token_secrets(connection, &secrets, &failure))
		return false;
	stored = cs_token_refresh(&secrets);
	same = same_bytes(&used->given, &secrets.given) &&
		   (refresh == NULL ? stored == NULL
							: stored != NULL && strcmp(refresh, stored) == 0);
	cs_token_secrets_forget(&secrets);
	return same;
}

/*
 * Tokens of credentials that others took the place of meanwhile are not stored
 * among those; the requests that wait end with them.
 */
static void
store(CsConnection *connection, const CsTokens *tokens, TimestampTz now)
{
	CsTokenKeeper *keeper = connection->keeper;
	Oid types[] = {INT8OID};
	Datum values[] = {Int64GetDatum(connection->connection_id)};
	int64 revision = connection->revision;
	int64 found;

	for (;;)
	{
		cs_begin("storing tokens");
		cs_execute("SELECT revision FROM cloudsync.connection "
				   "WHERE connection_id OPERATOR(pg_catalog.=) $1 FOR NO KEY UPDATE",
				   1, types, values, NULL, false);
		found = cs_get_int64(0, 1, 0);
		if (found == revision && cs_token_may_store(connection))
			cs_token_store(connection, tokens, cs_token_refresh(&keeper->secrets),
						   keeper->certificate_end, now);
		cs_commit();
		if (found == revision || !still_given(connection))
			break;
		revision = found;
	}
	cs_make_durable();
}

static void
token_came(CsConnection *connection, const CsTokens *tokens, TimestampTz now)
{
	char *missing = connection->revoke ? NULL /* good enough for that */
									   : cs_token_scope_missing(connection, tokens);
	int tries = connection->keeper->tries;
	CsFailure failure = {0};
	TimestampTz expires_at = cs_token_end(tokens, now);
	MemoryContext old;
	char *token;

	if (missing != NULL)
	{
		cs_failure_set(&failure, CS_FAIL_NEEDS_CONSENT,
					   "Consent to it, or have an administrator allow it to the application.",
					   "the scope \"%s\" is needed and was not granted", missing);
		no_token(connection, &failure, now);
		return;
	}
	CS_CRASH_POINT("token.after_answer");
	/* stored, durably, before anybody uses the new one */
	store(connection, tokens, now);
	CS_CRASH_POINT("token.after_store");
	old = MemoryContextSwitchTo(connection->context);
	token = pstrdup(tokens->access_token);
	MemoryContextSwitchTo(old);
	cs_keeper_end(connection);
	give_token(connection, token, expires_at, now);
	if (connection->revoke)
		connection->keeper->tries = tries; /* it is not revoked yet */
	connection->keeper->access_ended = false;
	OPENSSL_cleanse(token, strlen(token));
	pfree(token);
}

/* ---- whose account is it? ---- */

static void
begin_about(CsConnection *connection)
{
	CsTokenKeeper *keeper = connection->keeper;
	CsOp op = {.kind = CS_OP_ABOUT, .path = "/"};
	MemoryContext old;

	keeper->about_context = AllocSetContextCreate(connection->context, "cloudsync about",
												  ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(keeper->about_context);
	connection->transfers++;
	keeper->about = cs_transfer_start(connection->loop, connection->provider,
									  connection->endpoint, &op, NULL, &keeper->job);
	MemoryContextSwitchTo(old);
}

static void
about_ended(CsConnection *connection, TimestampTz now)
{
	CsTokenKeeper *keeper = connection->keeper;
	CsResult *result = &keeper->about->result;
	CsFailure failure = result->failure;
	bool done = keeper->about->state == CS_TRANSFER_DONE;

	if (!done && keeper->about->state != CS_TRANSFER_FAILED)
	{
		cs_transfer_continue(keeper->about);
		return;
	}
	if (connection->renews != NULL)
	{
		if (done)
			cs_renewal_settle(connection, result, now);
		else
			cs_renewal_failed(connection, &failure, now);
		return;
	}
	if (done && cs_account_settle(connection, result, now, &failure))
	{
		cs_keeper_end_about(connection);
		return;
	}
	cs_keeper_end_about(connection);
	cs_keeper_wait(keeper, &failure, now);
	cs_begin("noting a failure");
	cs_connection_note(connection, &failure, now);
	cs_commit();
	if (failure.failure_class == CS_FAIL_NEEDS_CONSENT)
		connection->is_active = false;
}

/* ---- the turn ---- */

static void
talk_ended(CsConnection *connection, TimestampTz now)
{
	CsTokenKeeper *keeper = connection->keeper;
	CsTransfer *talk = keeper->talk;
	bool done = talk->state == CS_TRANSFER_DONE;
	CsFailure failure = talk->result.failure;
	const CsTokens *tokens = talk->result.tokens;

	switch (keeper->step)
	{
		case CS_TALK_DEVICE_START:
		case CS_TALK_DEVICE:
			if (done)
				cs_keeper_device_told(connection, tokens, now);
			else
				cs_keeper_device_failed(connection, &failure, now);
			break;
		case CS_TALK_REVOKE:
			if (done)
			{
				cs_keeper_end(connection);
				cs_keeper_forget(connection);
			}
			else
			{
				keeper->access_ended = true;
				cs_keeper_revoke_failed(connection, &failure, now);
			}
			break;
		default:
			if (done)
				token_came(connection, tokens, now);
			else if (connection->revoke)
				cs_keeper_revoke_failed(connection, &failure, now);
			else
				no_token(connection, &failure, now);
			break;
	}
}

/* Is a token needed: by what waits, soon, or to keep the consent alive? */
static bool
token_wanted(const CsConnection *connection, TimestampTz now)
{
	const CsTokenKeeper *keeper = connection->keeper;

	if (connection->endpoint == NULL)
		return false;
	if (cs_endpoint_wants_token(connection->endpoint))
		return true;
	if (!keeper->duties || !connection->is_active || !connection->account_checked)
		return false;
	if (connection->token_due_at <= now)
		return true;
	return connection->jobs != NIL && keeper->renew_at <= now;
}

static bool
about_wanted(const CsConnection *connection)
{
	const CsTokenKeeper *keeper = connection->keeper;

	return keeper->duties && connection->is_active &&
		   !connection->account_checked && keeper->about == NULL &&
		   connection->endpoint != NULL;
}

static void
turn(CsConnection *connection, TimestampTz now)
{
	CsTokenKeeper *keeper = connection->keeper;
	CsFailure failure = {0};

	keeper->job.ready = false;
	if (keeper->talk != NULL && keeper->talk->state != CS_TRANSFER_RUNNING)
		talk_ended(connection, now);
	if (keeper->about != NULL && keeper->about->state != CS_TRANSFER_RUNNING)
		about_ended(connection, now);
	if (keeper->talk != NULL)
		return;
	if (keeper->wake_at > now && keeper->wake_at != DT_NOEND)
		return;
	if (keeper->duties && connection->revoke)
		cs_keeper_revoke(connection, now);
	else if (keeper->duties && connection->is_pending)
	{
		if (keeper->wake_at != DT_NOEND)
			cs_keeper_device(connection, now);
	}
	else
	{
		if (keeper->duties && connection->is_active && connection->endpoint == NULL &&
			(!connection->account_checked || connection->token_due_at <= now) &&
			cs_connection_endpoint(connection, false, &failure) == NULL)
			no_token(connection, &failure, now);
		if (token_wanted(connection, now) && cs_keeper_lock(connection, now))
			cs_keeper_ask(connection, ask_token, no_token, now);
		if (about_wanted(connection))
			begin_about(connection);
	}
}

/* See engine.h. */
void
cs_token_turn(CsConnection *connection, TimestampTz now)
{
	if (connection->keeper == NULL)
		return;
	turn(connection, now);
	if (connection->renewal != NULL)
		turn(connection->renewal, now);
}

/* See engine.h. */
void
cs_token_failed(CsConnection *connection, const ErrorData *error, TimestampTz now)
{
	CsFailure failure = {0};

	cs_failure_set(&failure, CS_FAIL_RETRY_LATER, error->detail, "%s", error->message);
	if (connection->renewal != NULL)
		cs_token_failed(connection->renewal, error, now);
	cs_keeper_end(connection);
	cs_keeper_end_about(connection);
	cs_keeper_wait(connection->keeper, &failure, now);
	if (connection->endpoint != NULL)
		cs_endpoint_refuse_token(connection->endpoint, &failure);
}

/* See engine.h. */
bool
cs_token_ready(const CsConnection *connection)
{
	return connection->keeper == NULL ||
		   (connection->is_active && connection->account_checked);
}

/* See engine.h. */
bool
cs_token_busy(const CsConnection *connection)
{
	const CsTokenKeeper *keeper = connection->keeper;

	if (keeper == NULL)
		return false;
	if (connection->renewal != NULL && cs_token_busy(connection->renewal))
		return true;
	return keeper->talk != NULL || keeper->about != NULL ||
		   (keeper->duties && (connection->revoke || connection->is_pending) &&
			keeper->wake_at != DT_NOEND);
}

static TimestampTz
next_of(const CsConnection *connection, TimestampTz now)
{
	const CsTokenKeeper *keeper = connection->keeper;
	bool waiting;

	if (keeper->job.ready)
		return now;
	if (keeper->talk != NULL)
		return DT_NOEND;
	waiting = keeper->wake_at > now && keeper->wake_at != DT_NOEND;
	if (keeper->duties && (connection->revoke || connection->is_pending))
		return keeper->wake_at;
	if (token_wanted(connection, now) || about_wanted(connection))
		return waiting ? keeper->wake_at : now;
	return connection->jobs != NIL ? keeper->renew_at : DT_NOEND;
}

/* See engine.h. */
TimestampTz
cs_token_next(const CsConnection *connection, TimestampTz now)
{
	TimestampTz next;

	if (connection->keeper == NULL)
		return DT_NOEND;
	next = next_of(connection, now);
	if (connection->renewal != NULL)
		next = Min(next, next_of(connection->renewal, now));
	return next;
}
