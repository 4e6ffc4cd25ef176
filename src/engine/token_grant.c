/*
 * token_grant.c
 *	  From a connection's secrets to a grant, and from tokens to what is stored
 *	  (S1): short transactions, and no network.
 */
#include "postgres.h"

#include <openssl/crypto.h>

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "cloudsync/compat.h"
#include "cloudsync/db.h"
#include "cloudsync/jwt.h"
#include "cloudsync/hash.h"
#include "token.h"

/* One that nobody uses is renewed so often, since services forget unused ones. */
#define KEEP_ALIVE_MS (INT64CONST(7) * 86400 * 1000)

/* ---- reading ---- */

static bool
open_sealed(CsSealed *sealed, const CsSecretOwner *owner, const CsKeyring *ring,
			CsSecret *secret, CsFailure *failure)
{
	if (sealed->bytes == NULL)
		return true;
	return cs_sealed_open(sealed, owner, ring, secret, failure);
}

/* See token.h. */
bool
cs_token_secrets(CsConnection *connection, CsTokenSecrets *secrets,
				 CsFailure *failure)
{
	MemoryContext context = CurrentMemoryContext;
	CsSecretOwner owners[3] = {
		{connection->tenant, connection->given_kind, connection->connection_id},
		{connection->tenant, connection->token_kind, connection->connection_id},
		{NULL, "app", 0}};
	CsSealed sealed[3] = {0};
	Oid types[] = {TEXTOID, TEXTOID};
	Datum values[2];
	CsKeyring *ring;
	bool ok = true;

	memset(secrets, 0, sizeof(*secrets));
	cs_begin("reading credentials");
	values[0] = CStringGetTextDatum(connection->provider->name);
	values[1] = CStringGetTextDatum(connection->tenant);
	if (cs_execute("SELECT a.app_id, a.tenant, a.client_id FROM cloudsync.app a "
				   "WHERE a.provider OPERATOR(pg_catalog.=) $1 AND a.tenant IN ($2, '') "
				   "ORDER BY a.tenant OPERATOR(pg_catalog.=) '' LIMIT 1",
				   2, types, values, NULL, true) > 0)
	{
		owners[2].id = cs_get_int64(0, 1, 0);
		owners[2].tenant = MemoryContextStrdup(context, cs_get_text(0, 2));
		secrets->client_id = MemoryContextStrdup(context, cs_get_text(0, 3));
	}
	for (int i = 0; i < 3; i++)
		if (owners[i].id != 0)
			(void) cs_secret_read(&owners[i], &sealed[i], context);
	cs_commit();
	ring = palloc(sizeof(CsKeyring));
	if (sealed[0].bytes != NULL || sealed[1].bytes != NULL || sealed[2].bytes != NULL)
		ok = cs_keyring_load(ring, false, failure) &&
			 open_sealed(&sealed[0], &owners[0], ring, &secrets->given, failure) &&
			 open_sealed(&sealed[1], &owners[1], ring, &secrets->token, failure) &&
			 open_sealed(&sealed[2], &owners[2], ring, &secrets->app, failure);
	cs_keyring_forget(ring);
	pfree(ring);
	return ok;
}

/* See token.h. */
void
cs_token_secrets_forget(CsTokenSecrets *secrets)
{
	cs_secret_forget(&secrets->given);
	cs_secret_forget(&secrets->token);
	cs_secret_forget(&secrets->app);
}

static const char *
get(const CsSecret *secret, const char *key)
{
	return secret->bytes != NULL ? cs_secret_get(secret, key) : NULL;
}

/* See token.h. */
const char *
cs_token_stored(const CsTokenSecrets *secrets, TimestampTz now,
				TimestampTz *expires_at)
{
	const char *token = get(&secrets->token, "access_token");
	const char *end = get(&secrets->token, "expires_at");

	*expires_at = end != NULL ? (TimestampTz) strtoll(end, NULL, 10) : DT_NOEND;
	if (token == NULL ||
		*expires_at <= TimestampTzPlusMilliseconds(now, CS_TOKEN_EARLY_MS / 5))
		return NULL;
	return token;
}

/* See token.h. */
const char *
cs_token_refresh(const CsTokenSecrets *secrets)
{
	const char *token = get(&secrets->token, "refresh_token");

	return token != NULL ? token : get(&secrets->given, "refresh_token");
}

/* ---- the grant ---- */

static int64
unix_seconds(TimestampTz now)
{
	return now / USECS_PER_SEC +
		   (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY;
}

static bool
no_app(const CsConnection *connection, CsFailure *failure)
{
	cs_failure_set(failure, CS_FAIL_NEEDS_CONSENT,
				   "Register one with cloudsync_register_app.",
				   "no application is registered for provider \"%s\"",
				   connection->provider->name);
	return false;
}

/* A client that acts for itself: by its secret, or by its certificate. */
static bool
client_grant(CsConnection *connection, const CsTokenSecrets *secrets,
			 TimestampTz now, CsGrant *grant, CsFailure *failure)
{
	const CsOAuth *oauth = connection->provider->oauth;
	const char *certificate = get(&secrets->given, "certificate");

	grant->kind = CS_GRANT_CLIENT;
	grant->scope = (oauth->client_scopes != NULL ? oauth->client_scopes
												 : oauth->scopes)(connection->options);
	if (secrets->client_id == NULL)
		return no_app(connection, failure);
	if (certificate == NULL)
	{
		grant->client_secret = get(&secrets->given, "client_secret");
		return true;
	}
	else
	{
		uint8 random[16];
		const char *key = get(&secrets->given, "private_key");

		if (!pg_strong_random(random, sizeof(random)))
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
							errmsg("could not sign a claim: no random numbers")));
		grant->client_secret = NULL;
		grant->client_assertion = cs_jwt_client(
			certificate, key != NULL ? key : "", secrets->client_id, grant->url,
			cs_hex(random, sizeof(random)), unix_seconds(now), failure);
		return grant->client_assertion != NULL;
	}
}

/* See token.h. */
bool
cs_token_grant(CsConnection *connection, const CsTokenSecrets *secrets,
			   TimestampTz now, CsGrant *grant, CsFailure *failure)
{
	const CsOAuth *oauth = connection->provider->oauth;
	const char *service_account = get(&secrets->given, "service_account");

	memset(grant, 0, sizeof(*grant));
	grant->url = oauth->token_url(connection->options);
	grant->client_id = secrets->client_id;
	grant->client_secret = get(&secrets->app, "client_secret");
	grant->basic = oauth->basic;
	if (service_account != NULL)
	{
		grant->kind = CS_GRANT_ASSERTION;
		grant->assertion = cs_jwt_service_account(
			service_account, get(&secrets->given, "subject"),
			oauth->scopes(connection->options), grant->url, unix_seconds(now),
			failure);
		return grant->assertion != NULL;
	}
	if (get(&secrets->given, "client_secret") != NULL ||
		get(&secrets->given, "certificate") != NULL)
		return client_grant(connection, secrets, now, grant, failure);
	grant->kind = CS_GRANT_REFRESH;
	grant->refresh_token = cs_token_refresh(secrets);
	if (grant->refresh_token != NULL)
		return secrets->client_id != NULL || no_app(connection, failure);
	cs_failure_set(failure, CS_FAIL_NEEDS_CONSENT,
				   "cloudsync_connect gives the address of the page for it.",
				   "nobody has consented yet");
	return false;
}

/* ---- scopes ---- */

static bool
covered(const CsOAuth *oauth, const char *granted, const char *needed)
{
	char *copy = pstrdup(granted);
	char *state;

	if (strcmp(needed, "offline_access") == 0 || strcmp(needed, "openid") == 0)
		return true;
	for (char *one = strtok_r(copy, " ", &state); one != NULL;
		 one = strtok_r(NULL, " ", &state))
		if (strcmp(one, needed) == 0 ||
			(oauth->covers != NULL && oauth->covers(one, needed)))
			return true;
	return false;
}

/* See token.h. What a server does not say was granted as it was asked for. */
char *
cs_token_scope_missing(const CsConnection *connection, const CsTokens *tokens)
{
	const CsOAuth *oauth = connection->provider->oauth;
	char *needed = oauth->scopes(connection->options);
	char *state;

	if (tokens->scope == NULL || needed == NULL)
		return NULL;
	for (char *one = strtok_r(needed, " ", &state); one != NULL;
		 one = strtok_r(NULL, " ", &state))
		if (!covered(oauth, tokens->scope, one))
			return one;
	return NULL;
}

/* ---- storing ---- */

/* See token.h. */
void
cs_secret_add(CsSecret *secret, const char *key, const char *value)
{
	int more = value != NULL ? strlen(key) + strlen(value) + 2 : 0;
	char *bytes;

	if (value == NULL)
		return;
	bytes = palloc(secret->length + more);
	if (secret->bytes != NULL)
	{
		memcpy(bytes, secret->bytes, secret->length);
		OPENSSL_cleanse(secret->bytes, secret->length);
		pfree(secret->bytes);
	}
	strcpy(bytes + secret->length, key);
	strcpy(bytes + secret->length + strlen(key) + 1, value);
	secret->bytes = bytes;
	secret->length += more;
}

/* See token.h. */
TimestampTz
cs_token_end(const CsTokens *tokens, TimestampTz now)
{
	return tokens->expires_in > 0
			   ? TimestampTzPlusMilliseconds(now, tokens->expires_in * 1000)
			   : DT_NOEND;
}

/* See token.h. */
bool
cs_token_may_store(const CsConnection *connection)
{
	Oid types[] = {INT8OID};
	Datum values[] = {Int64GetDatum(connection->connection_id)};

	return cs_execute("SELECT 1 FROM cloudsync.connection "
					  "WHERE connection_id OPERATOR(pg_catalog.=) $1 "
					  "AND (state OPERATOR(pg_catalog.<>) 'disconnected' OR revoke) FOR NO KEY UPDATE",
					  1, types, values, NULL, false) > 0;
}

/* See token.h. */
void
cs_token_store(CsConnection *connection, const CsTokens *tokens,
			   const char *former, int64 certificate_end, TimestampTz now)
{
	CsSecretOwner owner = {connection->tenant, connection->token_kind, connection->connection_id};
	CsSecret secret = {0};
	TimestampTz end = cs_token_end(tokens, now);
	TimestampTz consent_end = DT_NOEND;
	bool apart = connection->renews != NULL && !cs_renewal_shares(connection);
	Oid types[] = {INT8OID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID};
	Datum values[6];
	char nulls[] = "      ";

	cs_secret_add(&secret, "access_token", tokens->access_token);
	if (end != DT_NOEND)
		cs_secret_add(&secret, "expires_at", psprintf(INT64_FORMAT, end));
	cs_secret_add(&secret, "refresh_token",
				  tokens->refresh_token != NULL ? tokens->refresh_token : former);
	if (tokens->refresh_expires_in > 0)
		consent_end = TimestampTzPlusMilliseconds(now, tokens->refresh_expires_in * 1000);
	else if (certificate_end > 0)
		consent_end = now + (certificate_end - unix_seconds(now)) * USECS_PER_SEC;
	if (apart)
	{
		/* the connection's own are told of it when they are these (renewal.c) */
		cs_secret_add(&secret, "scope", tokens->scope);
		if (consent_end != DT_NOEND)
			cs_secret_add(&secret, "consent_end", psprintf(INT64_FORMAT, consent_end));
	}
	cs_secret_store(&owner, &secret);
	cs_secret_forget(&secret);
	if (apart)
		return;
	connection->token_due_at = TimestampTzPlusMilliseconds(now, KEEP_ALIVE_MS);
	values[0] = Int64GetDatum(connection->connection_id);
	nulls[1] = tokens->scope == NULL ? 'n' : ' ';
	values[1] = tokens->scope != NULL ? CStringGetTextDatum(tokens->scope) : (Datum) 0;
	nulls[2] = consent_end == DT_NOEND ? 'n' : ' ';
	values[2] = TimestampTzGetDatum(consent_end);
	values[3] = TimestampTzGetDatum(connection->token_due_at);
	values[4] = CStringGetTextDatum(connection->provider->name);
	values[5] = CStringGetTextDatum(connection->tenant);
	cs_execute("UPDATE cloudsync.connection SET scopes = COALESCE($2, scopes), token_due_at = $4, "
			   "consent_expires_at = COALESCE($3, CASE WHEN consent_expires_at OPERATOR(pg_catalog.>) "
			   "pg_catalog.clock_timestamp() THEN consent_expires_at END, (SELECT a.secret_expires_at FROM cloudsync.app a "
			   "WHERE a.provider OPERATOR(pg_catalog.=) $5 AND a.tenant IN ($6, '') "
			   "ORDER BY a.tenant OPERATOR(pg_catalog.=) '' LIMIT 1)) "
			   "WHERE connection_id OPERATOR(pg_catalog.=) $1",
			   6, types, values, nulls, false);
}

/* See token.h. */
CsEndpoint *
cs_token_server(CsConnection *connection, CsFailure *failure)
{
	CsHttpAccess access = {.purpose = "oauth",
						   .hosts = connection->provider->hosts,
						   .auth = CS_AUTH_NONE};

	return cs_endpoint_open_http(NULL, &access, failure);
}
