/*
 * renewal.c
 *	  Other credentials or options of a connection that works by tokens (C2):
 *	  tried beside those that are in force, which they replace once the service
 *	  has said that they are of the same account, and not before.
 *
 * A renewal is a connection of its own to token.c, whose keeper asks for a token
 * and for the account's name; it never has jobs. Relies on cloudsync.renewal_*
 * of sql/oauth.sql.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "cloudsync/db.h"
#include "cloudsync/wake.h"
#include "token.h"

/* See token.h. */
void
cs_renewal_begin(CsConnection *renewal, CsConnection *connection)
{
	CsSecretOwner owner = {connection->tenant, "renewal", connection->connection_id};
	CsSealed sealed;

	renewal->renews = connection;
	renewal->is_active = true;
	renewal->is_pending = false;
	renewal->revoke = false;
	renewal->account_checked = false;
	renewal->token_due_at = DT_NOEND;
	if (cs_secret_read(&owner, &sealed, CurrentMemoryContext))
	{
		renewal->given_kind = "renewal";
		renewal->token_kind = "renewal token";
	}
}

/* See token.h. */
bool
cs_renewal_shares(const CsConnection *connection)
{
	return connection->renews != NULL && strcmp(connection->token_kind, "token") == 0;
}

/* Nothing more is done for it here. */
static void
stop(CsConnection *renewal)
{
	renewal->is_active = false;
	cs_keeper_end(renewal);
	cs_keeper_end_about(renewal);
}

static bool
is_passing(const CsFailure *failure)
{
	switch (failure->failure_class)
	{
		case CS_FAIL_RETRY_NOW:
		case CS_FAIL_RETRY_LATER:
		case CS_FAIL_UNREACHABLE:
		case CS_FAIL_LOCKED:
			return true;
		default:
			return false;
	}
}

/* The next worker that has the lease tries again. */
static void
try_later(CsConnection *renewal)
{
	Oid types[] = {INT8OID, INT4OID, TIMESTAMPTZOID};
	Datum values[] = {Int64GetDatum(renewal->connection_id),
					  Int32GetDatum(renewal->revision),
					  TimestampTzGetDatum(renewal->keeper->wake_at)};

	cs_begin("noting a failure");
	cs_execute("UPDATE cloudsync.connection SET renewal_at = $3 "
			   "WHERE connection_id OPERATOR(pg_catalog.=) $1 "
			   "AND revision OPERATOR(pg_catalog.=) $2 AND renewal_at IS NOT NULL",
			   3, types, values, NULL, false);
	cs_commit();
}

static void
refuse(CsConnection *renewal, const CsFailure *failure)
{
	Oid types[] = {INT8OID, INT4OID, TEXTOID};
	Datum values[3] = {Int64GetDatum(renewal->connection_id),
					   Int32GetDatum(renewal->revision)};

	stop(renewal);
	cs_begin("refusing other credentials");
	values[2] = CStringGetTextDatum(failure->message);
	cs_execute("SELECT cloudsync.renewal_refused($1, $2, $3)", 3, types, values, NULL, false);
	cs_commit();
}

/* See token.h. */
void
cs_renewal_failed(CsConnection *renewal, const CsFailure *failure, TimestampTz now)
{
	CsFailure why = *failure;

	if (!is_passing(&why))
	{
		refuse(renewal, &why);
		return;
	}
	cs_keeper_end(renewal);
	if (renewal->endpoint != NULL)
		cs_endpoint_refuse_token(renewal->endpoint, &why);
	cs_keeper_end_about(renewal);
	cs_keeper_wait(renewal->keeper, &why, now);
	try_later(renewal);
}

/* From now on they are the connection's. */
static void
replace_secrets(CsConnection *renewal, const CsTokenSecrets *secrets)
{
	CsSecretOwner given = {renewal->tenant, "connection", renewal->connection_id};
	CsSecretOwner token = {renewal->tenant, "token", renewal->connection_id};

	cs_secret_store(&given, &secrets->given);
	cs_secret_store(&token, &secrets->token);
}

/*
 * In a transaction: NULL if they were taken, or nobody wants them any more;
 * otherwise why they cannot be.
 */
static char *
take(CsConnection *renewal, const char *account, const CsResult *about,
	 const CsTokenSecrets *secrets)
{
	const char *shown = about->account_name;
	bool shares = cs_renewal_shares(renewal);
	const char *scope = shares ? NULL : cs_secret_get(&secrets->token, "scope");
	const char *end = shares ? NULL : cs_secret_get(&secrets->token, "consent_end");
	Oid types[] = {INT8OID, INT4OID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID};
	Datum values[6] = {Int64GetDatum(renewal->connection_id),
					   Int32GetDatum(renewal->revision)};
	char nulls[] = "      ";

	values[2] = CStringGetTextDatum(account);
	nulls[3] = shown == NULL ? 'n' : ' ';
	values[3] = shown != NULL ? CStringGetTextDatum(shown) : (Datum) 0;
	nulls[4] = scope == NULL ? 'n' : ' ';
	values[4] = scope != NULL ? CStringGetTextDatum(scope) : (Datum) 0;
	nulls[5] = end == NULL ? 'n' : ' ';
	values[5] = end != NULL ? TimestampTzGetDatum(strtoll(end, NULL, 10)) : (Datum) 0;
	cs_execute("SELECT r.taken, r.problem FROM cloudsync.renewal_taken($1, $2, $3, $4, $5, $6) r",
			   6, types, values, nulls, false);
	if (!cs_get_bool(0, 1, false))
		return cs_get_text(0, 2);
	cs_person_note(renewal, about->person);
	if (!shares)
		replace_secrets(renewal, secrets);
	cs_wake_on_commit(true); /* it is opened anew */
	return NULL;
}

/* See token.h. */
void
cs_renewal_settle(CsConnection *renewal, const CsResult *about, TimestampTz now)
{
	const char *account = about->account;
	CsTokenSecrets secrets = {0};
	CsFailure failure = {0};
	char *problem;

	if (account == NULL && renewal->service != NULL)
		account = renewal->service->account;
	if (account == NULL)
		cs_failure_set(&failure, CS_FAIL_BROKEN, NULL,
					   "the service did not say whose account it is");
	else if (cs_renewal_shares(renewal) || cs_token_secrets(renewal, &secrets, &failure))
	{
		cs_begin("renewing a connection");
		problem = take(renewal, account, about, &secrets);
		if (problem != NULL)
			cs_failure_set(&failure, CS_FAIL_REFUSED, NULL, "%s", problem);
		cs_commit();
		cs_make_durable();
	}
	cs_token_secrets_forget(&secrets);
	if (failure.failure_class != CS_FAIL_NONE)
		cs_renewal_failed(renewal, &failure, now);
	else
		stop(renewal);
}
