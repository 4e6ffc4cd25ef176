/*
 * token_duty.c
 *	  What a keeper (token.c) does beside renewing tokens: it takes those of a
 *	  connection back that was ended, and waits for a device's code to be typed.
 *	  Only in the worker that has the connection's lease.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "cloudsync/db.h"
#include "token.h"

#define REVOKE_TRIES 8 /* then the tokens are forgotten all the same */

/* ---- revocation, after a connection was ended (C6) ---- */

void
cs_keeper_forget(CsConnection *connection)
{
	Oid types[] = {INT8OID};
	Datum values[] = {Int64GetDatum(connection->connection_id)};

	cs_begin("forgetting tokens");
	cs_execute("DELETE FROM cloudsync.secret WHERE owner_kind IN ('connection', 'token', 'renewal', 'renewal token') "
			   "AND owner_id OPERATOR(pg_catalog.=) $1",
			   1, types, values, NULL, false);
	cs_execute("UPDATE cloudsync.connection SET revoke = false, token_due_at = NULL "
			   "WHERE connection_id OPERATOR(pg_catalog.=) $1",
			   1, types, values, NULL, false);
	cs_commit();
	connection->revoke = false;
}

/* Tried for some time, so that no token outlives its connection by long. */
void
cs_keeper_revoke_failed(CsConnection *connection, const CsFailure *failure, TimestampTz now)
{
	CsTokenKeeper *keeper = connection->keeper;
	Oid types[] = {INT8OID, TIMESTAMPTZOID};
	Datum values[2];

	cs_keeper_end(connection);
	if ((failure->failure_class != CS_FAIL_RETRY_LATER &&
		 failure->failure_class != CS_FAIL_RETRY_NOW &&
		 failure->failure_class != CS_FAIL_UNREACHABLE &&
		 failure->failure_class != CS_FAIL_LOCKED) ||
		keeper->tries >= REVOKE_TRIES)
	{
		ereport(LOG, (errmsg("tokens of connection " INT64_FORMAT " were not revoked: %s",
							 connection->connection_id, failure->message)));
		cs_keeper_forget(connection);
		return;
	}
	cs_keeper_wait(keeper, failure, now);
	if (failure->failure_class == CS_FAIL_RETRY_NOW)
		keeper->wake_at = now;
	values[0] = Int64GetDatum(connection->connection_id);
	values[1] = TimestampTzGetDatum(keeper->wake_at);
	cs_begin("noting a failure");
	cs_execute("UPDATE cloudsync.connection SET token_due_at = $2 "
			   "WHERE connection_id OPERATOR(pg_catalog.=) $1",
			   2, types, values, NULL, false);
	cs_commit();
}

#define APP_OF(connection)                                                   \
	"(SELECT p.app_id FROM cloudsync.app p WHERE p.provider "                \
	"OPERATOR(pg_catalog.=) " connection ".provider "                        \
	"AND p.tenant IN (" connection ".tenant, '') "                           \
	"ORDER BY p.tenant OPERATOR(pg_catalog.=) '' LIMIT 1) "

/*
 * See token.h. By the same application, of the same person (one may have several
 * accounts: her own, and shared drives), in whatever tenant.
 */
bool
cs_revoke_harms(const CsConnection *connection, const CsResult *about)
{
	const char *person = about == NULL ? NULL : about->person != NULL ? about->person : about->account;
	Oid types[] = {INT8OID, TEXTOID};
	Datum values[] = {Int64GetDatum(connection->connection_id),
					  person != NULL ? CStringGetTextDatum(person) : (Datum) 0};
	int64 other = 0;

	if (!connection->provider->oauth->revokes_all)
		return false;
	cs_begin("looking for connections of the same account");
	if (cs_execute("SELECT n.connection_id FROM cloudsync.connection c "
				   "JOIN cloudsync.account a ON a.account_id OPERATOR(pg_catalog.=) c.account_id "
				   "JOIN cloudsync.connection n ON n.provider OPERATOR(pg_catalog.=) c.provider "
				   "JOIN cloudsync.account b ON b.account_id OPERATOR(pg_catalog.=) n.account_id AND b.known "
				   "WHERE c.connection_id OPERATOR(pg_catalog.=) $1 AND n.state OPERATOR(pg_catalog.<>) 'disconnected' "
				   "AND n.connection_id OPERATOR(pg_catalog.<>) $1 "
				   "AND COALESCE(n.person, b.account) OPERATOR(pg_catalog.=) COALESCE($2, c.person, a.account) "
				   "AND " APP_OF("n") " OPERATOR(pg_catalog.=) " APP_OF("c")
				   "LIMIT 1",
				   2, types, values, person != NULL ? "  " : " n", true) > 0)
		other = cs_get_int64(0, 1, 0);
	cs_commit();
	if (other != 0)
		ereport(LOG, (errmsg("tokens of connection " INT64_FORMAT " are not revoked: connection " INT64_FORMAT
							 " of the same person would lose its own",
							 connection->connection_id, other)));
	return other != 0;
}

/* False with *failure; an access token is come by first where that is needed. */
static bool
ask_revoke(CsConnection *connection, TimestampTz now, CsFailure *failure)
{
	CsTokenKeeper *keeper = connection->keeper;
	const CsOAuth *oauth = connection->provider->oauth;
	CsGrant grant = {.kind = CS_GRANT_REVOKE};
	TimestampTz expires_at;

	if (!cs_token_secrets(connection, &keeper->secrets, failure))
		return false;
	grant.url = oauth->revoke_url != NULL ? oauth->revoke_url(connection->options) : NULL;
	grant.refresh_token = cs_token_refresh(&keeper->secrets);
	if (grant.url == NULL || grant.refresh_token == NULL ||
		cs_revoke_harms(connection, NULL))
	{
		cs_keeper_forget(connection);
		return true;
	}
	if (!oauth->revoke_by_access)
		return cs_keeper_talk(connection, CS_TALK_REVOKE, &grant, failure);
	grant.access_token = cs_token_stored(&keeper->secrets, now, &expires_at);
	if (grant.access_token != NULL && !keeper->access_ended)
		return cs_keeper_talk(connection, CS_TALK_REVOKE, &grant, failure);
	return cs_token_grant(connection, &keeper->secrets, now, &grant, failure) &&
		   cs_keeper_talk(connection, CS_TALK_TOKEN, &grant, failure);
}

void
cs_keeper_revoke(CsConnection *connection, TimestampTz now)
{
	if (cs_keeper_lock(connection, now))
		cs_keeper_ask(connection, ask_revoke, cs_keeper_revoke_failed, now);
}

/* ---- device codes ---- */

static bool
ask_device(CsConnection *connection, TimestampTz now, CsFailure *failure)
{
	CsTokenKeeper *keeper = connection->keeper;
	const CsOAuth *oauth = connection->provider->oauth;
	CsGrant grant = {.kind = CS_GRANT_DEVICE_START};

	if (!cs_device_read(connection, &keeper->device, failure))
		return false;
	if (keeper->device.consent_id == 0)
	{
		keeper->wake_at = DT_NOEND;
		return true;
	}
	grant.client_id = keeper->device.client_id;
	grant.scope = keeper->device.scopes;
	if (keeper->device.code == NULL)
	{
		grant.url = oauth->device_url(connection->options);
		return cs_keeper_talk(connection, CS_TALK_DEVICE_START, &grant, failure);
	}
	if (!cs_token_secrets(connection, &keeper->secrets, failure))
		return false;
	grant.kind = CS_GRANT_DEVICE;
	grant.url = oauth->token_url(connection->options);
	grant.scope = NULL;
	grant.device_code = keeper->device.code;
	grant.client_secret = keeper->secrets.app.bytes != NULL
							  ? cs_secret_get(&keeper->secrets.app, "client_secret")
							  : NULL;
	return cs_keeper_talk(connection, CS_TALK_DEVICE, &grant, failure);
}

void
cs_keeper_device_failed(CsConnection *connection, const CsFailure *failure, TimestampTz now)
{
	CsTokenKeeper *keeper = connection->keeper;

	if (failure->failure_class == CS_FAIL_NEEDS_CONSENT ||
		failure->failure_class == CS_FAIL_FORBIDDEN)
	{
		cs_device_failed(connection, &keeper->device, failure);
		cs_keeper_end(connection);
		keeper->wake_at = DT_NOEND;
		return;
	}
	cs_keeper_end(connection);
	cs_keeper_wait(keeper, failure, now);
}

void
cs_keeper_device(CsConnection *connection, TimestampTz now)
{
	/* consent may come by a code as well, at the same moment */
	if (cs_keeper_lock(connection, now))
		cs_keeper_ask(connection, ask_device, cs_keeper_device_failed, now);
}

void
cs_keeper_device_told(CsConnection *connection, const CsTokens *tokens, TimestampTz now)
{
	CsTokenKeeper *keeper = connection->keeper;
	CsFailure failure = {0};
	char *missing;

	if (keeper->step == CS_TALK_DEVICE_START)
	{
		cs_device_shown(connection, &keeper->device, tokens, now);
		keeper->wake_at = TimestampTzPlusMilliseconds(now, tokens->interval * 1000);
	}
	else if (tokens->pending)
	{
		cs_device_waits(connection, &keeper->device, tokens, now);
		keeper->wake_at = TimestampTzPlusMilliseconds(now, keeper->device.interval * 1000);
	}
	else if ((missing = cs_token_scope_missing(connection, tokens)) != NULL)
	{
		cs_failure_set(&failure, CS_FAIL_NEEDS_CONSENT, NULL,
					   "the scope \"%s\" is needed and was not granted", missing);
		cs_device_failed(connection, &keeper->device, &failure);
		keeper->wake_at = DT_NOEND;
	}
	else
	{
		cs_device_done(connection, &keeper->device, tokens, now);
		connection->is_pending = false; /* it is opened anew */
		keeper->wake_at = DT_NOEND;
	}
	cs_keeper_end(connection);
}
