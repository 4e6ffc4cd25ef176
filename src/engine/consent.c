/*
 * consent.c
 *	  What came of a person's consent (C3): a code turned into tokens, a device's
 *	  code shown and waited for, and the account that they are of.
 *
 * Relies on token_grant.c, and on the SQL of sql/oauth.sql for accounts.
 */
#include "postgres.h"

#include <openssl/crypto.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "cloudsync/crash.h"
#include "cloudsync/db.h"
#include "cloudsync/wake.h"
#include "token.h"

#define LOCK_TRIES 100
#define LOCK_MS 100
#define DEVICE_MINUTES 15 /* of a code, where the service does not say */

/* ---- whose account it is ---- */

/* See token.h. */
void
cs_person_note(const CsConnection *connection, const char *person)
{
	Oid types[] = {INT8OID, TEXTOID};
	Datum values[2] = {Int64GetDatum(connection->connection_id)};

	if (person == NULL)
		return;
	values[1] = CStringGetTextDatum(person);
	cs_execute("UPDATE cloudsync.connection SET person = $2 "
			   "WHERE connection_id OPERATOR(pg_catalog.=) $1 AND person IS DISTINCT FROM $2",
			   2, types, values, NULL, false);
}

/* In a transaction. False with *failure. */
static bool
settle(CsConnection *connection, const CsResult *about, CsFailure *failure)
{
	const char *account = about->account;
	const char *shown = about->account_name;
	Oid types[] = {INT8OID, TEXTOID, TEXTOID};
	Datum values[3] = {Int64GetDatum(connection->connection_id)};
	char *problem;

	if (account == NULL && connection->service != NULL)
		account = connection->service->account;
	if (account == NULL)
	{
		cs_failure_set(failure, CS_FAIL_BROKEN, NULL,
					   "the service did not say whose account it is");
		return false;
	}
	values[1] = CStringGetTextDatum(account);
	values[2] = shown != NULL ? CStringGetTextDatum(shown) : (Datum) 0;
	cs_execute("SELECT cloudsync.settle_account($1, $2, $3)", 3, types, values,
			   shown != NULL ? "   " : "  n", false);
	problem = cs_get_text(0, 1);
	if (problem != NULL)
	{
		cs_failure_set(failure, CS_FAIL_NEEDS_CONSENT,
					   "Consent as the user of the connection's own account, or "
					   "connect the other account under a name of its own.",
					   "%s", problem);
		return false;
	}
	cs_execute("SELECT account_id FROM cloudsync.connection "
			   "WHERE connection_id OPERATOR(pg_catalog.=) $1",
			   1, types, values, NULL, false);
	connection->account_id = cs_get_int64(0, 1, 0);
	connection->account_checked = true;
	cs_person_note(connection, about->person);
	return true;
}

/* See token.h. */
bool
cs_account_settle(CsConnection *connection, const CsResult *about,
				  TimestampTz now, CsFailure *failure)
{
	Oid types[] = {INT8OID, TIMESTAMPTZOID};
	Datum values[2];
	bool ok;

	cs_begin("learning whose account it is");
	ok = settle(connection, about, failure);
	if (ok)
	{
		connection->token_due_at =
			TimestampTzPlusMilliseconds(now, INT64CONST(7) * 86400 * 1000);
		values[0] = Int64GetDatum(connection->connection_id);
		values[1] = TimestampTzGetDatum(connection->token_due_at);
		cs_execute("UPDATE cloudsync.connection SET token_due_at = $2, failures = 0, "
				   "retry_at = NULL, reason = NULL "
				   "WHERE connection_id OPERATOR(pg_catalog.=) $1",
				   2, types, values, NULL, false);
	}
	cs_commit();
	return ok;
}

/* ---- a code ---- */

typedef struct Consent
{
	char *client_id;
	char *redirect_uri;
	CsSecret secret; /* verifier */
	CsSecret app;
} Consent;

/* Nobody uses it after this. False with *failure: somebody did before. */
static bool
take_consent(CsConnection *connection, int64 consent_id, Consent *consent,
			 CsFailure *failure)
{
	MemoryContext context = CurrentMemoryContext;
	Oid types[] = {INT8OID, INT8OID};
	Datum values[] = {Int64GetDatum(consent_id),
					  Int64GetDatum(connection->connection_id)};
	int64 app_id = 0;
	char *app_tenant = NULL;

	memset(consent, 0, sizeof(*consent));
	cs_begin("taking consent");
	if (cs_execute("UPDATE cloudsync.consent n SET used_at = pg_catalog.clock_timestamp() "
				   "WHERE n.consent_id OPERATOR(pg_catalog.=) $1 AND n.connection_id OPERATOR(pg_catalog.=) $2 "
				   "AND n.used_at IS NULL AND n.expires_at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp() "
				   "RETURNING n.client_id, n.redirect_uri, "
				   "(SELECT a.app_id FROM cloudsync.app a JOIN cloudsync.connection c "
				   "ON c.provider OPERATOR(pg_catalog.=) a.provider AND a.tenant IN (c.tenant, '') "
				   "WHERE c.connection_id OPERATOR(pg_catalog.=) $2 AND a.client_id OPERATOR(pg_catalog.=) n.client_id "
				   "ORDER BY a.tenant OPERATOR(pg_catalog.=) '' LIMIT 1)",
				   2, types, values, NULL, false) > 0)
	{
		char *uri = cs_get_text(0, 2);

		consent->client_id = MemoryContextStrdup(context, cs_get_text(0, 1));
		consent->redirect_uri = uri ? MemoryContextStrdup(context, uri) : NULL;
		app_id = cs_get_int64(0, 3, 0);
	}
	if (app_id != 0)
	{
		values[0] = Int64GetDatum(app_id);
		cs_execute("SELECT tenant FROM cloudsync.app WHERE app_id OPERATOR(pg_catalog.=) $1",
				   1, types, values, NULL, true);
		app_tenant = MemoryContextStrdup(context, cs_get_text(0, 1));
	}
	cs_commit();
	cs_make_durable();
	if (consent->client_id == NULL)
	{
		cs_failure_set(failure, CS_FAIL_CONFLICT, NULL,
					   "this request for consent was used already");
		return false;
	}
	return cs_secret_of(connection->tenant, "consent", consent_id, &consent->secret, failure) &&
		   (app_tenant == NULL ||
			cs_secret_of(app_tenant, "app", app_id, &consent->app, failure));
}

/* Waits until no other process asks for tokens. */
static bool
lock_tokens(int64 connection_id, CsFailure *failure)
{
	for (int i = 0; i < LOCK_TRIES; i++)
	{
		if (cs_token_lock(connection_id))
			return true;
		CHECK_FOR_INTERRUPTS();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 LOCK_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	cs_failure_set(failure, CS_FAIL_RETRY_LATER, NULL,
				   "another process is asking the token server for this connection");
	return false;
}

/* A conversation with the token server. The transfer, or NULL with *failure. */
static CsTransfer *
converse(CsConnection *connection, CsEndpoint *server, const CsGrant *grant,
		 bool (*drive)(CsLoop *, CsTransfer *, CsEndpoint *), CsFailure *failure)
{
	CsOp op = {.kind = CS_OP_TOKEN, .grant = grant};
	CsTransfer *transfer = cs_transfer_start(connection->loop, &cs_oauth_conversations,
											 server, &op, NULL, NULL);

	if (drive(connection->loop, transfer, server))
		return transfer;
	*failure = transfer->result.failure;
	return NULL;
}

static CsTransfer *
exchange(CsConnection *connection, CsEndpoint *server, int64 consent_id,
		 const char *code, bool (*drive)(CsLoop *, CsTransfer *, CsEndpoint *),
		 CsFailure *failure)
{
	CsGrant grant = {.kind = CS_GRANT_CODE, .code = code};
	CsTransfer *transfer = NULL;
	Consent consent;
	const char *missing;

	if (!take_consent(connection, consent_id, &consent, failure))
		return NULL;
	CS_CRASH_POINT("consent.after_use");
	grant.url = connection->provider->oauth->token_url(connection->options);
	grant.basic = connection->provider->oauth->basic;
	grant.client_id = consent.client_id;
	grant.redirect_uri = consent.redirect_uri;
	grant.verifier = consent.secret.bytes ? cs_secret_get(&consent.secret, "verifier") : NULL;
	grant.client_secret = consent.app.bytes ? cs_secret_get(&consent.app, "client_secret") : NULL;
	transfer = converse(connection, server, &grant, drive, failure);
	cs_secret_forget(&consent.secret);
	cs_secret_forget(&consent.app);
	if (transfer == NULL)
		return NULL;
	missing = cs_token_scope_missing(connection, transfer->result.tokens);
	if (missing != NULL)
		cs_failure_set(failure, CS_FAIL_NEEDS_CONSENT,
					   "Consent once more, and leave all boxes ticked.",
					   "the scope \"%s\" is needed and was not granted", missing);
	else if (transfer->result.tokens->refresh_token == NULL)
		cs_failure_set(failure, CS_FAIL_NEEDS_CONSENT,
					   "Take the application out of the account's list of applications "
					   "with access, and consent once more.",
					   "the service gave no refresh token");
	else
		return transfer;
	return NULL;
}

/* What the new token says of its account; false: it says nothing for now. */
static CsTransfer *
ask_about(CsConnection *connection, CsEndpoint *endpoint,
		  bool (*drive)(CsLoop *, CsTransfer *, CsEndpoint *))
{
	CsOp op = {.kind = CS_OP_ABOUT, .path = "/"};
	CsTransfer *transfer = cs_transfer_start(connection->loop, connection->provider,
											 endpoint, &op, NULL, NULL);

	return drive(connection->loop, transfer, endpoint) ? transfer : NULL;
}

/* In a transaction: what was secret of requests that were used is of no use. */
static void
forget_used(const CsConnection *connection)
{
	Oid types[] = {INT8OID};
	Datum values[] = {Int64GetDatum(connection->connection_id)};

	cs_execute("DELETE FROM cloudsync.secret s USING cloudsync.consent n "
			   "WHERE s.owner_kind OPERATOR(pg_catalog.=) 'consent' "
			   "AND s.owner_id OPERATOR(pg_catalog.=) n.consent_id "
			   "AND n.connection_id OPERATOR(pg_catalog.=) $1 AND n.used_at IS NOT NULL",
			   1, types, values, NULL, false);
}

/*
 * All in one transaction: the account's name, the tokens and the state. about
 * may be NULL: the account is asked for by the worker then.
 */
static bool
settle_consent(CsConnection *connection, const CsTokens *tokens,
			   const CsResult *about, CsFailure *failure)
{
	Oid types[] = {INT8OID, BOOLOID};
	Datum values[] = {Int64GetDatum(connection->connection_id), BoolGetDatum(about != NULL)};

	cs_begin("storing tokens");
	if (!cs_token_may_store(connection))
	{
		cs_commit();
		cs_failure_set(failure, CS_FAIL_GONE, NULL, "the connection was disconnected meanwhile");
		return false;
	}
	if (about != NULL && !settle(connection, about, failure))
	{
		cs_commit(); /* nothing was changed */
		return false;
	}
	/* other credentials that were being checked came before this */
	cs_execute("WITH former AS (DELETE FROM cloudsync.secret WHERE owner_kind IN ('connection', 'renewal', 'renewal token') "
			   "AND owner_id OPERATOR(pg_catalog.=) $1 RETURNING owner_kind) "
			   "UPDATE cloudsync.connection SET consent_expires_at = NULL, renewal_refused = NULL, "
			   "renewal = CASE WHEN r.given THEN NULL ELSE renewal END, "
			   "renewal_at = CASE WHEN r.given THEN NULL ELSE renewal_at END "
			   "FROM (SELECT pg_catalog.count(*) OPERATOR(pg_catalog.>) 0 AS given FROM former "
			   "WHERE owner_kind OPERATOR(pg_catalog.=) 'renewal') r "
			   "WHERE connection_id OPERATOR(pg_catalog.=) $1",
			   1, types, values, NULL, false);
	cs_token_store(connection, tokens, NULL, 0, GetCurrentTimestamp());
	cs_execute("UPDATE cloudsync.connection SET "
			   "state = CASE WHEN state IN ('pending', 'needs_consent', 'locked') THEN 'active' ELSE state END, "
			   "reason = NULL, failures = 0, retry_at = NULL, revision = revision OPERATOR(pg_catalog.+) 1, "
			   "account_checked = $2, "
			   "token_due_at = CASE WHEN $2 THEN token_due_at ELSE pg_catalog.clock_timestamp() END "
			   "WHERE connection_id OPERATOR(pg_catalog.=) $1 AND state OPERATOR(pg_catalog.<>) 'disconnected'",
			   2, types, values, NULL, false);
	forget_used(connection);
	cs_wake_on_commit(true);
	cs_commit();
	cs_make_durable();
	return true;
}

/*
 * Tokens that are not to be used are not left behind either, unless another
 * connection lives by the same consent.
 */
static void
take_back(CsConnection *connection, CsEndpoint *server, const CsTokens *tokens,
		  const CsResult *about, bool (*drive)(CsLoop *, CsTransfer *, CsEndpoint *))
{
	const CsOAuth *oauth = connection->provider->oauth;
	CsGrant grant = {.kind = CS_GRANT_REVOKE, .refresh_token = tokens->refresh_token};
	CsFailure failure;

	grant.url = oauth->revoke_url != NULL ? oauth->revoke_url(connection->options) : NULL;
	if (oauth->revoke_by_access)
		grant.access_token = tokens->access_token;
	if (grant.url != NULL && !cs_revoke_harms(connection, about))
		(void) converse(connection, server, &grant, drive, &failure);
}

/* The connection says what went wrong, while it waits for consent. */
static void
note_reason(CsConnection *connection, const char *why)
{
	Oid types[] = {INT8OID, TEXTOID};
	Datum values[2] = {Int64GetDatum(connection->connection_id)};

	cs_begin("noting a failure");
	values[1] = CStringGetTextDatum(why);
	cs_execute("UPDATE cloudsync.connection SET reason = $2 WHERE connection_id OPERATOR(pg_catalog.=) $1 "
			   "AND state IN ('pending', 'needs_consent')",
			   2, types, values, NULL, false);
	forget_used(connection);
	cs_commit();
}

static bool
exchange_and_settle(CsConnection *connection, CsEndpoint *server, int64 consent_id,
					const char *code,
					bool (*drive)(CsLoop *, CsTransfer *, CsEndpoint *),
					CsFailure *failure)
{
	CsTransfer *transfer = exchange(connection, server, consent_id, code, drive, failure);
	CsHttpAccess access = {.purpose = connection->provider->name,
						   .hosts = connection->provider->hosts,
						   .auth = CS_AUTH_TOKEN};
	CsTransfer *about;
	CsEndpoint *endpoint;
	bool ok;

	if (transfer == NULL)
		return false;
	CS_CRASH_POINT("consent.after_exchange");
	access.secret = transfer->result.tokens->access_token;
	connection->service = connection->provider->open(connection->options, failure);
	endpoint = connection->service != NULL
				   ? cs_endpoint_open_http(connection->service, &access, failure)
				   : NULL;
	if (endpoint == NULL)
		return false;
	about = ask_about(connection, endpoint, drive);
	ok = settle_consent(connection, transfer->result.tokens,
						about != NULL ? &about->result : NULL, failure);
	if (!ok)
		take_back(connection, server, transfer->result.tokens,
				  about != NULL ? &about->result : NULL, drive);
	return ok;
}

/* See engine.h. */
bool
cs_consent_exchange(CsConnection *connection, int64 consent_id, const char *code,
					bool (*drive)(CsLoop *, CsTransfer *, CsEndpoint *),
					CsFailure *failure)
{
	CsEndpoint *server = cs_token_server(connection, failure);
	bool ok;

	if (server == NULL || !lock_tokens(connection->connection_id, failure))
		return false;
	ok = exchange_and_settle(connection, server, consent_id, code, drive, failure);
	cs_token_unlock(connection->connection_id);
	if (!ok)
		note_reason(connection, failure->message);
	return ok;
}

/* ---- device codes ---- */

/* See token.h. */
bool
cs_device_read(CsConnection *connection, CsDevice *device, CsFailure *failure)
{
	MemoryContext context = CurrentMemoryContext;
	Oid types[] = {INT8OID};
	Datum values[] = {Int64GetDatum(connection->connection_id)};
	CsSecret secret;
	const char *code;

	memset(device, 0, sizeof(*device));
	cs_begin("looking for a device code");
	if (cs_execute("SELECT n.consent_id, n.client_id, n.scopes, n.poll_every, n.expires_at FROM cloudsync.consent n "
				   "JOIN cloudsync.connection c ON c.connection_id OPERATOR(pg_catalog.=) n.connection_id "
				   "AND c.state OPERATOR(pg_catalog.=) 'pending' "
				   "WHERE n.connection_id OPERATOR(pg_catalog.=) $1 AND n.kind OPERATOR(pg_catalog.=) 'device' "
				   "AND n.used_at IS NULL AND n.expires_at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp() "
				   "ORDER BY n.consent_id DESC LIMIT 1",
				   1, types, values, NULL, true) > 0)
	{
		char *scopes = cs_get_text(0, 3);

		device->consent_id = cs_get_int64(0, 1, 0);
		device->client_id = MemoryContextStrdup(context, cs_get_text(0, 2));
		device->scopes = scopes ? MemoryContextStrdup(context, scopes) : NULL;
		device->interval = cs_get_int64(0, 4, 0);
		device->expires_at = cs_get_timestamptz(0, 5, DT_NOEND);
	}
	else /* nothing to be done until somebody asks again */
		cs_execute("UPDATE cloudsync.connection SET token_due_at = NULL WHERE connection_id OPERATOR(pg_catalog.=) $1 "
				   "AND state OPERATOR(pg_catalog.=) 'pending'",
				   1, types, values, NULL, false);
	cs_commit();
	if (device->consent_id == 0)
		return true;
	if (!cs_secret_of(connection->tenant, "consent", device->consent_id, &secret, failure))
		return false;
	code = secret.bytes != NULL ? cs_secret_get(&secret, "device_code") : NULL;
	device->code = code != NULL ? pstrdup(code) : NULL;
	cs_secret_forget(&secret);
	return true;
}

/* See token.h. */
void
cs_device_shown(CsConnection *connection, CsDevice *device,
				const CsTokens *tokens, TimestampTz now)
{
	CsSecretOwner owner = {connection->tenant, "consent", device->consent_id};
	CsSecret secret = {0};
	int64 lifetime = tokens->expires_in > 0 ? tokens->expires_in : DEVICE_MINUTES * 60;
	Oid types[] = {INT8OID, TEXTOID, TEXTOID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[6];

	device->interval = tokens->interval;
	cs_secret_add(&secret, "device_code", tokens->device_code);
	cs_begin("showing a device code");
	values[0] = Int64GetDatum(device->consent_id);
	values[1] = CStringGetTextDatum(tokens->verification_url);
	values[2] = CStringGetTextDatum(tokens->user_code);
	values[3] = Int64GetDatum(tokens->interval);
	values[4] = TimestampTzGetDatum(TimestampTzPlusMilliseconds(now, lifetime * 1000));
	/* who else finds it due finds the lease taken, unless this process died */
	values[5] = TimestampTzGetDatum(TimestampTzPlusMilliseconds(now, 60000));
	/* unless the request for consent was taken back meanwhile */
	if (cs_execute("WITH shown AS (UPDATE cloudsync.consent SET verification_url = $2, user_code = $3, "
			   "poll_every = $4, expires_at = $5 WHERE consent_id OPERATOR(pg_catalog.=) $1 RETURNING connection_id) "
			   "UPDATE cloudsync.connection c SET token_due_at = $6, "
			   "reason = pg_catalog.format('open %s and enter the code %s, until %s', $2, $3, "
			   "pg_catalog.date_trunc('second', $5)) "
			   "FROM shown WHERE c.connection_id OPERATOR(pg_catalog.=) shown.connection_id",
			   6, types, values, NULL, false) > 0)
		cs_secret_store(&owner, &secret);
	cs_commit();
	cs_make_durable();
	cs_secret_forget(&secret);
}

/* See token.h. */
void
cs_device_waits(CsConnection *connection, CsDevice *device,
				const CsTokens *tokens, TimestampTz now)
{
	Oid types[] = {INT8OID, INT8OID, TIMESTAMPTZOID};
	Datum values[3];

	if (tokens->slow_down)
		device->interval += 5;
	values[0] = Int64GetDatum(device->consent_id);
	values[1] = Int64GetDatum(device->interval);
	values[2] = TimestampTzGetDatum(now);
	cs_begin("waiting for consent");
	if (tokens->slow_down)
		cs_execute("UPDATE cloudsync.consent SET poll_every = $2 WHERE consent_id OPERATOR(pg_catalog.=) $1",
				   2, types, values, NULL, false);
	values[0] = Int64GetDatum(connection->connection_id);
	cs_execute("UPDATE cloudsync.connection SET token_due_at = $3 OPERATOR(pg_catalog.+) interval '60 seconds' "
			   "WHERE connection_id OPERATOR(pg_catalog.=) $1 AND $2 IS NOT NULL "
			   "AND token_due_at OPERATOR(pg_catalog.<) ($3 OPERATOR(pg_catalog.+) interval '30 seconds')",
			   3, types, values, NULL, false);
	cs_commit();
}

static void
end_device(const CsDevice *device)
{
	Oid types[] = {INT8OID};
	Datum values[] = {Int64GetDatum(device->consent_id)};

	cs_execute("UPDATE cloudsync.consent SET used_at = pg_catalog.clock_timestamp() "
			   "WHERE consent_id OPERATOR(pg_catalog.=) $1",
			   1, types, values, NULL, false);
	cs_execute("DELETE FROM cloudsync.secret WHERE owner_kind OPERATOR(pg_catalog.=) 'consent' "
			   "AND owner_id OPERATOR(pg_catalog.=) $1",
			   1, types, values, NULL, false);
}

/* See token.h. */
void
cs_device_done(CsConnection *connection, const CsDevice *device,
			   const CsTokens *tokens, TimestampTz now)
{
	Oid types[] = {INT8OID};
	Datum values[] = {Int64GetDatum(connection->connection_id)};

	cs_begin("storing tokens");
	/* other credentials may have come meanwhile, or its end */
	if (cs_execute("SELECT 1 FROM cloudsync.connection WHERE connection_id OPERATOR(pg_catalog.=) $1 "
				   "AND state OPERATOR(pg_catalog.=) 'pending' FOR NO KEY UPDATE",
				   1, types, values, NULL, false) > 0)
		cs_token_store(connection, tokens, NULL, 0, now);
	end_device(device);
	cs_execute("UPDATE cloudsync.connection SET state = 'active', reason = NULL, failures = 0, retry_at = NULL, "
			   "revision = revision OPERATOR(pg_catalog.+) 1, account_checked = false, "
			   "token_due_at = pg_catalog.clock_timestamp() "
			   "WHERE connection_id OPERATOR(pg_catalog.=) $1 AND state OPERATOR(pg_catalog.=) 'pending'",
			   1, types, values, NULL, false);
	cs_wake_on_commit(true);
	cs_commit();
	cs_make_durable();
}

/* See token.h. */
void
cs_device_failed(CsConnection *connection, const CsDevice *device,
				 const CsFailure *failure)
{
	Oid types[] = {INT8OID, TEXTOID};
	Datum values[2] = {Int64GetDatum(connection->connection_id)};

	cs_begin("noting a failure");
	values[1] = CStringGetTextDatum(failure->message);
	end_device(device);
	cs_execute("UPDATE cloudsync.connection SET reason = $2, token_due_at = NULL "
			   "WHERE connection_id OPERATOR(pg_catalog.=) $1 AND state OPERATOR(pg_catalog.=) 'pending'",
			   2, types, values, NULL, false);
	cs_commit();
}
