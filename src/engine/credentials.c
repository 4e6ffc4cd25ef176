/*
 * credentials.c
 *	  Credentials of connections that are served, and connections whose keys
 *	  were missing and are back (S1). Relies on store/vault.c.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "cloudsync/db.h"
#include "cloudsync/wake.h"
#include "credentials.h"
#include "token.h"

/* A command is not run at every wake-up while it does not help. */
#define COMMAND_AGAIN_MS 10000

/* See credentials.h. Keys are read after the transaction: a command takes time. */
bool
cs_secret_of(const char *tenant, const char *kind, int64 id, CsSecret *secret,
			 CsFailure *failure)
{
	CsSecretOwner owner = {.tenant = tenant, .kind = kind, .id = id};
	MemoryContext context = CurrentMemoryContext;
	CsSealed sealed = {0};
	CsKeyring *ring;
	bool ok;

	memset(secret, 0, sizeof(*secret));
	cs_begin("reading credentials");
	ok = cs_secret_read(&owner, &sealed, context);
	cs_commit();
	if (!ok)
		return true;
	ring = palloc(sizeof(CsKeyring));
	ok = cs_keyring_load(ring, false, failure) &&
		 cs_sealed_open(&sealed, &owner, ring, secret, failure);
	cs_keyring_forget(ring);
	pfree(ring);
	pfree(sealed.bytes);
	return ok;
}

/* See credentials.h. */
bool
cs_credentials_open(CsConnection *connection, CsSecret *secret,
					CsFailure *failure)
{
	return cs_secret_of(connection->tenant,
						connection->provider->oauth != NULL ? connection->token_kind
															: connection->given_kind,
						connection->connection_id, secret, failure);
}

/* See credentials.h. */
void
cs_credentials_access(CsConnection *connection, const CsSecret *secret,
					  CsHttpAccess *access)
{
	access->purpose = connection->provider->name;
	access->hosts = connection->provider->hosts;
	access->bytes_per_second = connection->bytes_per_second;
	access->requests_per_second = connection->requests_per_second;
	access->auth = CS_AUTH_NONE;
	if (connection->provider->oauth != NULL)
	{
		CsTokenSecrets secrets = {.token = *secret};
		TimestampTz now = GetCurrentTimestamp();
		TimestampTz expires_at;

		access->auth = CS_AUTH_TOKEN;
		access->secret = cs_renewal_shares(connection)
							 ? NULL /* one that came by the new options is asked for */
							 : cs_token_stored(&secrets, now, &expires_at);
		cs_token_open(connection, false);
		if (access->secret != NULL)
			cs_token_given(connection, access->secret, expires_at, now);
		return;
	}
	if (secret->bytes == NULL)
		return;
	if ((access->secret = cs_secret_get(secret, "bearer_token")) != NULL)
		access->auth = CS_AUTH_BEARER;
	else if ((access->user = cs_secret_get(secret, "access_key_id")) != NULL)
	{
		access->auth = CS_AUTH_SIGV4;
		access->secret = cs_secret_get(secret, "secret_access_key");
		access->session = cs_secret_get(secret, "session_token");
	}
	else if ((access->user = cs_secret_get(secret, "username")) != NULL)
	{
		access->auth = CS_AUTH_PASSWORD;
		access->secret = cs_secret_get(secret, "password");
	}
}

/* Active again, unless somebody did something about it meanwhile. */
static void
unlock(CsConnection *connection)
{
	Oid types[1] = {INT8OID};
	Datum values[1] = {Int64GetDatum(connection->connection_id)};

	cs_begin("unlocking a connection");
	if (cs_execute("UPDATE cloudsync.connection SET state = 'active', "
				   "reason = NULL, failures = 0, retry_at = NULL "
				   "WHERE connection_id OPERATOR(pg_catalog.=) $1 "
				   "AND state OPERATOR(pg_catalog.=) 'locked'",
				   1, types, values, NULL, false) > 0)
		cs_wake_on_commit(true); /* listeners are to hear of it */
	cs_commit();
}

static bool
opens(int64 connection_id)
{
	CsConnection *connection = cs_connection_look(connection_id);
	CsFailure failure = {0};
	CsSecret secret;
	bool ok;

	if (connection == NULL)
		return true; /* gone meanwhile */
	ok = cs_credentials_open(connection, &secret, &failure);
	cs_secret_forget(&secret);
	if (ok)
		unlock(connection);
	cs_connection_close(connection);
	return ok;
}

/* See engine.h. */
void
cs_unlock_connections(TimestampTz now)
{
	static TimestampTz command_at = 0;
	MemoryContext context = CurrentMemoryContext;
	int64 *ids;
	int n;

	if (cs_keyring_is_command() &&
		!TimestampDifferenceExceeds(command_at, now, COMMAND_AGAIN_MS))
		return;
	cs_begin("looking for locked connections");
	n = (int) cs_execute("SELECT connection_id FROM cloudsync.connection "
						 "WHERE state OPERATOR(pg_catalog.=) 'locked'",
						 0, NULL, NULL, NULL, true);
	ids = MemoryContextAlloc(context, sizeof(int64) * (n + 1));
	for (int i = 0; i < n; i++)
		ids[i] = cs_get_int64(i, 1, 0);
	cs_commit();
	if (n > 0)
		command_at = now;
	for (int i = 0; i < n; i++)
	{
		/* with a command, one that does not help is not run for each of them */
		if (!opens(ids[i]) && cs_keyring_is_command())
			break;
	}
	pfree(ids);
}
