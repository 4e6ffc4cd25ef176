/*
 * connection.c
 *	  A connection as a worker serves it: opened under its lease, with the
 *	  account's folder held open, and its health noted (W5). Also what is put
 *	  right when a lease is taken over from a worker that died.
 *
 * Relies on store/db.c for transactions and transfer/ for endpoints.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "cloudsync/db.h"
#include "cloudsync/engine.h"
#include "cloudsync/notify.h"
#include "cloudsync/run.h"
#include "cloudsync/settings.h"
#include "cloudsync/wake.h"
#include "credentials.h"
#include "token.h"

/* Backoff of a connection that fails: doubled from the first to the last. */
#define BACKOFF_FIRST_MS 5000
#define BACKOFF_LAST_MS 300000

static char *
copy_text(uint64 row, int column, MemoryContext context)
{
	char *text = cs_get_text(row, column);

	return text == NULL ? NULL : MemoryContextStrdup(context, text);
}

/* What is read of a connection, and the options as the provider takes them. */
#define COLUMNS_BY(options)                                                    \
	"SELECT c.account_id, c.tenant, c.name, c.provider, "                      \
	options " OPERATOR(pg_catalog.->>) 'path', c.revision, "                   \
	"c.bytes_per_second, c.requests_per_second::pg_catalog.float8, "           \
	"o.key, o.value, c.state, c.revoke, c.account_checked, c.token_due_at, "   \
	"c.renewal_at, (SELECT a.client_id FROM cloudsync.app a "                  \
	"WHERE a.provider OPERATOR(pg_catalog.=) c.provider "                      \
	"AND a.tenant IN (c.tenant, '') "                                          \
	"ORDER BY a.tenant OPERATOR(pg_catalog.=) '' LIMIT 1), c.folder_seen "     \
	"FROM cloudsync.connection c LEFT JOIN LATERAL "                           \
	"pg_catalog.jsonb_each_text(" options ") o ON true "
#define COLUMNS COLUMNS_BY("c.options")

/* The rows of the query above in a context of its own; NULL if there are none. */
static CsConnection *
make_connection(int64 connection_id, uint64 rows)
{
	MemoryContext context;
	CsConnection *connection;
	const CsProvider *provider;
	char *rate;

	if (rows == 0)
		return NULL;
	provider = cs_provider_by_name(cs_get_text(0, 4));
	if (provider == NULL)
	{
		ereport(WARNING,
				(errmsg("provider \"%s\" is not known to this version of cloudsync",
						cs_get_text(0, 4))));
		return NULL;
	}
	context = AllocSetContextCreate(TopMemoryContext, "cloudsync connection",
									ALLOCSET_DEFAULT_SIZES);
	connection = MemoryContextAllocZero(context, sizeof(CsConnection));
	connection->context = context;
	connection->connection_id = connection_id;
	connection->account_id = cs_get_int64(0, 1, 0);
	connection->tenant = copy_text(0, 2, context);
	connection->name = copy_text(0, 3, context);
	connection->provider = provider;
	connection->local_path = copy_text(0, 5, context);
	connection->revision = (int) cs_get_int64(0, 6, 0);
	connection->bytes_per_second = cs_get_int64(0, 7, 0);
	rate = cs_get_text(0, 8);
	connection->requests_per_second = rate ? atof(rate) : 0;
	connection->is_active = strcmp(cs_get_text(0, 11), "active") == 0;
	connection->is_pending = strcmp(cs_get_text(0, 11), "pending") == 0;
	connection->revoke = cs_get_bool(0, 12, false);
	connection->account_checked = cs_get_bool(0, 13, true);
	connection->token_due_at = cs_get_timestamptz(0, 14, DT_NOEND);
	connection->given_kind = "connection";
	connection->token_kind = "token";
	connection->client_id = copy_text(0, 16, context);
	connection->folder_seen = (CsFolderSeen) cs_get_int64(0, 17, CS_FOLDER_NEVER);
	connection->options =
		MemoryContextAllocZero(context, sizeof(CsOption) * (rows + 1));
	for (uint64 i = 0; i < rows && cs_get_text(i, 9) != NULL; i++)
	{
		connection->options[i].key = copy_text(i, 9, context);
		connection->options[i].value = copy_text(i, 10, context);
	}
	return connection;
}

/* NULL if it is not to be served. */
static CsConnection *
read_connection(int64 connection_id, TimestampTz now)
{
	Oid types[2] = {INT8OID, TIMESTAMPTZOID};
	Datum values[2] = {Int64GetDatum(connection_id), TimestampTzGetDatum(now)};
	CsConnection *connection;

	connection = make_connection(
		connection_id,
		cs_execute(COLUMNS
				   "WHERE c.connection_id OPERATOR(pg_catalog.=) $1 "
				   "AND (c.state OPERATOR(pg_catalog.=) 'active' "
				   "OR (c.token_due_at OPERATOR(pg_catalog.<=) $2 "
				   "AND (c.revoke OR c.state OPERATOR(pg_catalog.=) 'pending')) "
				   "OR (c.renewal_at OPERATOR(pg_catalog.<=) $2 "
				   "AND c.state OPERATOR(pg_catalog.=) 'needs_consent')) "
				   "AND (c.retry_at IS NULL OR c.retry_at OPERATOR(pg_catalog.<=) $2 "
				   "OR c.state OPERATOR(pg_catalog.=) 'needs_consent' "
				   "OR EXISTS (SELECT FROM cloudsync.run r "
				   "WHERE r.connection_id OPERATOR(pg_catalog.=) c.connection_id "
				   "AND r.state OPERATOR(pg_catalog.=) 'queued' "
				   "AND r.origin OPERATOR(pg_catalog.=) 'manual' "
				   "AND r.attempts OPERATOR(pg_catalog.=) 0))",
				   2, types, values, NULL, true));
	if (connection != NULL && cs_get_timestamptz(0, 15, DT_NOEND) <= now)
		connection->renewal = make_connection(
			connection_id,
			cs_execute(COLUMNS_BY("c.renewal")
					   "WHERE c.connection_id OPERATOR(pg_catalog.=) $1 AND c.renewal IS NOT NULL",
					   1, types, values, NULL, true));
	if (connection != NULL && connection->renewal != NULL)
		cs_renewal_begin(connection->renewal, connection);
	return connection;
}

/* Its keys are not there: it is locked, and its work waits, not even claimed. */
static bool
is_locked(CsConnection *connection)
{
	CsFailure failure = {0};

	if (connection->provider->open == NULL ||
		cs_connection_endpoint(connection, false, &failure) != NULL ||
		failure.failure_class != CS_FAIL_LOCKED)
		return false;
	cs_begin("locking a connection");
	cs_connection_note(connection, &failure, GetCurrentTimestamp());
	cs_commit();
	return true;
}

/* See engine.h. */
CsConnection *
cs_connection_open(int64 connection_id, CsLoop *loop)
{
	CsConnection *connection;

	cs_begin("opening a connection");
	connection = read_connection(connection_id, GetCurrentTimestamp());
	cs_commit();
	if (connection == NULL)
		return NULL;
	connection->loop = loop;
	cs_token_open(connection, true);
	if (connection->renewal != NULL)
	{
		connection->renewal->loop = loop;
		cs_token_open(connection->renewal, true);
		connection->renewal->keeper->job.ready = true;
	}
	if (!connection->is_active || !is_locked(connection))
		return connection;
	cs_connection_close(connection);
	return NULL;
}

/* See engine.h. */
CsConnection *
cs_connection_look(int64 connection_id)
{
	Oid types[1] = {INT8OID};
	Datum values[1] = {Int64GetDatum(connection_id)};
	CsConnection *connection;

	cs_begin("asking a provider");
	connection = make_connection(
		connection_id,
		cs_execute(COLUMNS "WHERE c.connection_id OPERATOR(pg_catalog.=) $1 "
						   "AND c.state OPERATOR(pg_catalog.<>) 'disconnected'",
				   1, types, values, NULL, true));
	cs_commit();
	return connection;
}

/* The service is opened once, and knows what was learnt of it. */
static CsEndpoint *
open_service(CsConnection *connection, CsFailure *failure)
{
	CsEndpoint *endpoint;
	CsHttpAccess access = {0};
	CsSecret secret = {0};

	if (connection->service == NULL)
		connection->service =
			connection->provider->open(connection->options, failure);
	if (connection->service == NULL ||
		!cs_credentials_open(connection, &secret, failure))
		return NULL;
	connection->service->client_id = connection->client_id;
	cs_credentials_access(connection, &secret, &access);
	endpoint = cs_endpoint_open_http(connection->service, &access, failure);
	cs_secret_forget(&secret);
	return endpoint;
}

/* The folder is open: from now on, if it is away it is missed. */
static void
note_folder(CsConnection *connection)
{
	Oid types[2] = {INT8OID, INT2OID};
	Datum values[2];

	if (connection->folder_seen == cs_endpoint_seen(connection->endpoint))
		return;
	connection->folder_seen = cs_endpoint_seen(connection->endpoint);
	values[0] = Int64GetDatum(connection->connection_id);
	values[1] = Int16GetDatum((int16) connection->folder_seen);
	cs_begin("noting a folder");
	cs_execute("UPDATE cloudsync.connection SET folder_seen = $2 "
			   "WHERE connection_id OPERATOR(pg_catalog.=) $1",
			   2, types, values, NULL, false);
	cs_commit();
}

/* See engine.h. The folder is opened once and held until the connection closes. */
CsEndpoint *
cs_connection_endpoint(CsConnection *connection, bool create,
					   CsFailure *failure)
{
	MemoryContext old;

	if (connection->endpoint != NULL)
		return connection->endpoint;
	old = MemoryContextSwitchTo(connection->context);
	if (connection->provider->open != NULL)
		connection->endpoint = open_service(connection, failure);
	else
		connection->endpoint =
			cs_endpoint_open_local(cs_local_root, connection->tenant,
								   connection->local_path,
								   connection->folder_seen, create, failure);
	if (connection->endpoint != NULL)
		cs_endpoint_set_limits(connection->endpoint, connection->bytes_per_second,
							   connection->requests_per_second);
	MemoryContextSwitchTo(old);
	if (connection->endpoint != NULL && connection->provider->open == NULL)
		note_folder(connection);
	return connection->endpoint;
}

/* See engine.h. */
void
cs_connection_set_limits(CsConnection *connection, int64 bytes_per_second,
						 double requests_per_second)
{
	connection->bytes_per_second = bytes_per_second;
	connection->requests_per_second = requests_per_second;
	if (connection->endpoint != NULL)
		cs_endpoint_set_limits(connection->endpoint, bytes_per_second,
							   requests_per_second);
}

/* See engine.h. */
void
cs_connection_close(CsConnection *connection)
{
	ListCell *cell;

	if (connection->renewal != NULL)
		cs_connection_close(connection->renewal);
	cs_token_close(connection);
	if (connection->endpoint != NULL)
		cs_endpoint_close(connection->endpoint);
	if (connection->web != NULL)
		cs_endpoint_close(connection->web);
	foreach (cell, connection->others)
		cs_connection_close(lfirst(cell));
	MemoryContextDelete(connection->context);
}

/* Opened anew at the next use: what was held open may no longer be the root. */
static void
drop_endpoint(CsConnection *connection)
{
	if (connection->endpoint != NULL && connection->transfers == 0)
	{
		cs_endpoint_close(connection->endpoint);
		connection->endpoint = NULL;
	}
}

/*
 * A success clears the backoff, and is noted at most once a minute, so that a
 * busy connection makes no dead row a file.
 */
static void
note_success(CsConnection *connection, TimestampTz now)
{
	Oid types[3] = {INT8OID, TIMESTAMPTZOID, INT4OID};
	Datum values[3] = {Int64GetDatum(connection->connection_id),
					   TimestampTzGetDatum(now),
					   Int32GetDatum(connection->revision)};

	cs_execute("UPDATE cloudsync.connection SET failures = 0, retry_at = NULL, "
			   "reason = NULL, last_used_at = $2 "
			   "WHERE connection_id OPERATOR(pg_catalog.=) $1 "
			   "AND revision OPERATOR(pg_catalog.=) $3 "
			   "AND (failures OPERATOR(pg_catalog.<>) 0 OR retry_at IS NOT NULL "
			   "OR reason IS NOT NULL OR last_used_at IS NULL "
			   "OR last_used_at OPERATOR(pg_catalog.<) ($2 OPERATOR(pg_catalog.-) interval '1 minute'))",
			   3, types, values, NULL, false);
}

/* The state that a failure leads to; NULL: it stays as it is. */
static const char *
state_after(const CsFailure *failure)
{
	switch (failure->failure_class)
	{
		case CS_FAIL_NEEDS_CONSENT:
			return "needs_consent";
		case CS_FAIL_LOCKED:
			return "locked";
		default:
			return NULL;
	}
}

/*
 * Consent is asked of a person, keys are waited for; everything else is tried
 * again later. What began with former options or credentials says nothing of
 * those that there are now.
 */
static void
note_failure(CsConnection *connection, const CsFailure *failure,
			 TimestampTz now)
{
	Oid types[4] = {INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID};
	Datum values[4];
	const char *state = state_after(failure);
	int64 wait_ms = BACKOFF_FIRST_MS;
	int64 failures = 0;

	values[0] = Int64GetDatum(connection->connection_id);
	if (cs_execute("SELECT failures, revision FROM cloudsync.connection "
				   "WHERE connection_id OPERATOR(pg_catalog.=) $1 FOR UPDATE",
				   1, types, values, NULL, false) == 0 ||
		cs_get_int64(0, 2, 0) != connection->revision)
		return;
	failures = cs_get_int64(0, 1, 0);
	while (failures-- > 0 && wait_ms < BACKOFF_LAST_MS)
		wait_ms *= 2;
	wait_ms = Min(wait_ms, BACKOFF_LAST_MS);
	wait_ms = Max(cs_jittered(wait_ms), failure->retry_after_ms);

	values[1] = TimestampTzGetDatum(TimestampTzPlusMilliseconds(now, wait_ms));
	values[2] = CStringGetTextDatum(cs_failure_text(failure));
	values[3] = state ? CStringGetTextDatum(state) : (Datum) 0;
	cs_execute("UPDATE cloudsync.connection SET failures = failures OPERATOR(pg_catalog.+) 1, "
			   "retry_at = $2, reason = $3, "
			   "state = CASE WHEN state OPERATOR(pg_catalog.=) 'active' "
			   "THEN COALESCE($4, state) ELSE state END "
			   "WHERE connection_id OPERATOR(pg_catalog.=) $1",
			   4, types, values, state ? "    " : "   n", false);
	if (state != NULL)
		cs_wake_on_commit(true); /* listeners are to hear of it */
}

/* See engine.h. */
void
cs_connection_note(CsConnection *connection, const CsFailure *failure,
				   TimestampTz now)
{
	if (failure == NULL || failure->failure_class == CS_FAIL_NONE)
		note_success(connection, now);
	else
	{
		note_failure(connection, failure, now);
		drop_endpoint(connection);
	}
}

/*
 * Runs that a dead worker left: queued again, but for those that nobody wants
 * any more. Each end is an event, as if the worker had come to it.
 */
static void
recover_runs(int64 connection_id)
{
	Oid types[1] = {INT8OID};
	Datum values[1] = {Int64GetDatum(connection_id)};
	uint64 n;

	n = cs_execute("UPDATE cloudsync.run r SET state = 'cancelled', finished_at = pg_catalog.clock_timestamp(), "
				   "error = CASE c.state WHEN 'disconnected' THEN 'the connection was disconnected' "
				   "ELSE COALESCE(r.error, 'cancelled') END "
				   "FROM cloudsync.connection c "
				   "WHERE c.connection_id OPERATOR(pg_catalog.=) $1 "
				   "AND r.connection_id OPERATOR(pg_catalog.=) $1 "
				   "AND r.state OPERATOR(pg_catalog.=) 'running' "
				   "AND (r.cancel_requested OR c.state OPERATOR(pg_catalog.=) 'disconnected') "
				   "RETURNING r.run_id, r.kind",
				   1, types, values, NULL, false);
	for (uint64 i = 0; i < n; i++)
		cs_notify("run", "run_id", cs_get_int64(i, 1, 0), cs_get_text(i, 2),
				  "cancelled");
	cs_execute("UPDATE cloudsync.run SET state = 'queued', shared_run_id = NULL "
			   "WHERE connection_id OPERATOR(pg_catalog.=) $1 "
			   "AND state OPERATOR(pg_catalog.=) 'running'",
			   1, types, values, NULL, false);
}

/* See engine.h. Intents stay: the next claim finds out what came of them. */
void
cs_engine_recover(int64 connection_id)
{
	Oid types[1] = {INT8OID};
	Datum values[1] = {Int64GetDatum(connection_id)};

	cs_begin("recovering");
	recover_runs(connection_id);
	if (cs_execute("UPDATE cloudsync.due SET claimed = NULL "
				   "WHERE connection_id OPERATOR(pg_catalog.=) $1 AND claimed IS NOT NULL",
				   1, types, values, NULL, false) > 0)
		cs_look_again_on_commit();
	cs_execute("WITH staged AS (DELETE FROM cloudsync.staging s "
			   "WHERE s.connection_id OPERATOR(pg_catalog.=) $1 RETURNING s.content_id), "
			   "chunks AS (DELETE FROM cloudsync.chunk k USING staged "
			   "WHERE k.content_id OPERATOR(pg_catalog.=) staged.content_id) "
			   "DELETE FROM cloudsync.content c USING staged "
			   "WHERE c.content_id OPERATOR(pg_catalog.=) staged.content_id",
			   1, types, values, NULL, false);
	cs_commit();
}

/* See engine.h. Whoever changed it: a worker, a function, a restored dump. */
void
cs_tell_states(TimestampTz now)
{
	uint64 n;

	cs_begin("looking for connections' states");
	n = cs_execute("UPDATE cloudsync.connection SET told_state = state "
				   "WHERE state IS DISTINCT FROM told_state "
				   "RETURNING connection_id, provider, state",
				   0, NULL, NULL, NULL, false);
	for (uint64 i = 0; i < n; i++)
		cs_notify("connection", "connection_id", cs_get_int64(i, 1, 0),
				  cs_get_text(i, 2), cs_get_text(i, 3));
	cs_commit();
}
