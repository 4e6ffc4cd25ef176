/*
 * ask.c
 *	  cloudsync_browse and cloudsync_check: what a session asks of a provider,
 *	  through a worker (include/cloudsync/ask.h).
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "cloudsync/ask.h"
#include "cloudsync/compat.h"
#include "cloudsync/db.h"
#include "cloudsync/engine.h"
#include "cloudsync/path.h"
#include "cloudsync/run.h"
#include "cloudsync/tenant.h"

PG_FUNCTION_INFO_V1(cloudsync_browse);
PG_FUNCTION_INFO_V1(cloudsync_check);

/*
 * Microseconds from 1970 to PostgreSQL's epoch, for modification times.
 */
#define EPOCH_OFFSET_US                                                        \
	((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

#define CONNECTIONS_HINT "To see those there are: SELECT connection, state FROM cloudsync.connections;"

static char *
connection_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("a connection must be named"),
						errhint(CONNECTIONS_HINT)));
	return text_to_cstring(PG_GETARG_TEXT_PP(0));
}

/* Fills in the question for the session's connection of that name. */
static void
ask_of(const char *connection, CsOpKind op, const char *path, CsAsk *ask,
	   char **state, char **account)
{
	const char *why;

	memset(ask, 0, sizeof(CsAsk));
	SPI_connect();
	if (cs_execute("SELECT c.connection_id, c.state, "
				   "CASE WHEN a.known THEN COALESCE(a.shown, a.account) END "
				   "FROM cloudsync.connection c "
				   "JOIN cloudsync.account a USING (account_id) "
				   "WHERE c.name = $1 AND c.tenant = $2 "
				   "AND c.state <> 'disconnected'",
				   2, (Oid[]) {TEXTOID, TEXTOID},
				   (Datum[]) {CStringGetTextDatum(connection),
							  CStringGetTextDatum(cs_acting_tenant())},
				   NULL, true) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("connection \"%s\" does not exist", connection),
				 errhint(CONNECTIONS_HINT)));
	why = cs_why_suspended();
	if (why != NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("cloudsync is suspended"), errdetail("%s.", why),
						errhint("To see what to do: SELECT * FROM "
								"cloudsync_status();")));
	ask->database = MyDatabaseId;
	ask->connection_id = cs_get_int64(0, 1, 0);
	ask->op = op;
	strlcpy(ask->path, path, CS_ASK_PATH_MAX);
	*state = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
	*state = strcpy(SPI_palloc(strlen(*state) + 1), *state);
	*account = cs_get_text(0, 3);
	if (*account != NULL)
		*account = strcpy(SPI_palloc(strlen(*account) + 1), *account);
	SPI_finish();
}

static void
put_entry(void *arg, char type, StringInfo message)
{
	ReturnSetInfo *rsinfo = arg;
	static const char *const kinds[] = {"file", "folder", "other"};
	Datum values[6];
	bool nulls[6] = {0};
	int kind = pq_getmsgbyte(message);
	const char *name = pq_getmsgrawstring(message);
	const char *path = pq_getmsgrawstring(message);
	const char *id = pq_getmsgrawstring(message);
	int64 size = pq_getmsgint64(message);
	int64 modified = pq_getmsgint64(message);

	values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(path);
	values[2] = CStringGetTextDatum(kinds[kind]);
	values[3] = Int64GetDatum(size);
	nulls[3] = size < 0 || kind != CS_ENTRY_FILE;
	values[4] = TimestampTzGetDatum(modified - EPOCH_OFFSET_US);
	nulls[4] = modified == 0;
	values[5] = CStringGetTextDatum(id);
	nulls[5] = *id == '\0';
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* The address of a remote folder as a worker takes it, or an error. */
static char *
folder_address(char *given)
{
	const char *why = "is too long";
	bool by_id = strncmp(given, CS_ASK_ID, strlen(CS_ASK_ID)) == 0 &&
		given[strlen(CS_ASK_ID)] != '\0';
	char *address =
		by_id ? given : cs_path_normalize(given, CS_PATH_CONTROLS, &why);

	if (address == NULL || strlen(address) >= CS_ASK_PATH_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("path \"%s\" %s", given, why),
				 errhint("A remote path is like \"/Clients/Scans\", or id: and "
						 "a folder's remote_id.")));
	return address;
}

/* cloudsync_browse(connection, path): one level of a remote folder. */
Datum
cloudsync_browse(PG_FUNCTION_ARGS)
{
	char *connection = connection_argument(fcinfo);
	char *path = PG_ARGISNULL(1) ? pstrdup("/") : folder_address(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	char *state;
	char *account;
	CsAsk ask;

	InitMaterializedSRF(fcinfo, 0);
	ask_of(connection, CS_OP_LIST, path, &ask, &state, &account);
	cs_ask(&ask, put_entry, fcinfo->resultinfo, NULL);
	PG_RETURN_NULL();
}

typedef struct About
{
	int64 used;
	int64 quota;
} About;

static void
take_about(void *arg, char type, StringInfo message)
{
	About *about = arg;

	about->used = pq_getmsgint64(message);
	about->quota = pq_getmsgint64(message);
}

/*
 * cloudsync_check(connection): is the account there and does it answer? What
 * goes wrong at the provider is a row with its detail, not an error.
 */
Datum
cloudsync_check(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char *connection = connection_argument(fcinfo);
	char *state;
	char *account;
	CsAsk ask;
	CsFailure failure = {0};
	About about = {-1, -1};
	Datum values[6];
	bool nulls[6] = {0};
	Interval *latency = palloc0(sizeof(Interval));
	instr_time started;
	instr_time took;

	InitMaterializedSRF(fcinfo, 0);
	ask_of(connection, CS_OP_ABOUT, "/", &ask, &state, &account);
	INSTR_TIME_SET_CURRENT(started);
	cs_ask(&ask, take_about, &about, &failure);
	INSTR_TIME_SET_CURRENT(took);
	INSTR_TIME_SUBTRACT(took, started);
	latency->time = INSTR_TIME_GET_MICROSEC(took);
	/* the worker has recorded it */
	if (failure.failure_class == CS_FAIL_NEEDS_CONSENT && strcmp(state, "active") == 0)
		state = "needs_consent";
	values[0] = CStringGetTextDatum(state);
	nulls[1] = account == NULL;
	values[1] = nulls[1] ? (Datum) 0 : CStringGetTextDatum(account);
	values[2] = Int64GetDatum(about.used);
	nulls[2] = about.used < 0;
	values[3] = Int64GetDatum(about.quota);
	nulls[3] = about.quota < 0;
	values[4] = IntervalPGetDatum(latency);
	nulls[5] = failure.failure_class == CS_FAIL_NONE;
	values[5] =
		nulls[5] ? (Datum) 0 : CStringGetTextDatum(cs_failure_text(&failure));
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	PG_RETURN_NULL();
}
