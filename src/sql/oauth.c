/*
 * oauth.c
 *	  What SQL needs of C for consent (sql/oauth.sql): addresses taken apart and
 *	  put together, a provider's ways to come by tokens, and codes exchanged
 *	  through a worker.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "cloudsync/ask.h"
#include "cloudsync/compat.h"
#include "cloudsync/db.h"
#include "cloudsync/home.h"
#include "cloudsync/http.h"
#include "cloudsync/oauth.h"
#include "options.h"

PG_FUNCTION_INFO_V1(cloudsync_oauth_of);
PG_FUNCTION_INFO_V1(cloudsync_url_encode);
PG_FUNCTION_INFO_V1(cloudsync_query_value);
PG_FUNCTION_INFO_V1(cloudsync_exchange_code);

static Datum
text_or_null(const char *text, bool *isnull)
{
	*isnull = text == NULL;
	return text != NULL ? CStringGetTextDatum(text) : (Datum) 0;
}

static char *
address(char *(*of)(const CsOption *options), const CsOption *options)
{
	return of != NULL ? of(options) : NULL;
}

/* One row; none if the provider has no tokens. */
Datum
cloudsync_oauth_of(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *set;
	const CsProvider *provider;
	const CsOAuth *oauth;
	CsOption *options;
	Datum values[6];
	bool nulls[6] = {false};

	InitMaterializedSRF(fcinfo, 0);
	set = (ReturnSetInfo *) fcinfo->resultinfo;
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	provider = cs_known_provider(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	oauth = provider->oauth;
	if (oauth == NULL)
		return (Datum) 0;
	options = cs_option_list(PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1));
	values[0] = text_or_null(address(oauth->authorize_url, options), &nulls[0]);
	values[1] = text_or_null(oauth->authorize_extra, &nulls[1]);
	values[2] = text_or_null(address(oauth->scopes, options), &nulls[2]);
	values[3] = BoolGetDatum(oauth->code_is_shown);
	values[4] = BoolGetDatum(address(oauth->device_url, options) != NULL);
	values[5] = BoolGetDatum(address(oauth->revoke_url, options) != NULL);
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
	return (Datum) 0;
}

Datum
cloudsync_url_encode(PG_FUNCTION_ARGS)
{
	char *value = text_to_cstring(PG_GETARG_TEXT_PP(0));

	PG_RETURN_TEXT_P(cstring_to_text(cs_url_encode(value)));
}

/* The value of key among pairs separated by &; NULL: it has none. */
static char *
find_pair(const char *pairs, const char *key)
{
	size_t key_len = strlen(key);

	while (*pairs != '\0')
	{
		size_t len = strcspn(pairs, "&#");

		if (strncmp(pairs, key, key_len) == 0 && pairs[key_len] == '=')
		{
			char *value = pnstrdup(pairs + key_len + 1, len - key_len - 1);

			for (char *c = value; *c != '\0'; c++)
				if (*c == '+')
					*c = ' ';
			return cs_url_decode(value, strlen(value));
		}
		pairs += len;
		if (*pairs == '\0' || *pairs == '#')
			break;
		pairs++;
	}
	return NULL;
}

Datum
cloudsync_query_value(PG_FUNCTION_ARGS)
{
	char *url = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *key = text_to_cstring(PG_GETARG_TEXT_PP(1));
	char *query = strchr(url, '?');
	char *fragment = strchr(url, '#');
	char *value = NULL;

	if (query != NULL)
		value = find_pair(query + 1, key);
	if (value == NULL && fragment != NULL)
		value = find_pair(fragment + 1, key);
	if (value == NULL || !pg_verifymbstr(value, strlen(value), true))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(value));
}

static void
take_nothing(void *arg, char type, StringInfo message)
{
}

/* Raises what went wrong. */
Datum
cloudsync_exchange_code(PG_FUNCTION_ARGS)
{
	char *code = text_to_cstring(PG_GETARG_TEXT_PP(2));
	CsAsk ask;
	const char *why;

	memset(&ask, 0, sizeof(ask));
	ask.database = MyDatabaseId;
	ask.connection_id = PG_GETARG_INT64(0);
	ask.consent_id = PG_GETARG_INT64(1);
	ask.op = CS_OP_TOKEN;
	if (strlcpy(ask.path, code, sizeof(ask.path)) >= sizeof(ask.path))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the code is longer than any that is given out"),
				 errhint("Give what the service's page shows, or the URL that "
						 "the browser came back to.")));
	SPI_connect();
	why = cs_why_suspended();
	if (why != NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("cloudsync is suspended"), errdetail("%s.", why),
						errhint("To see what to do: SELECT * FROM "
								"cloudsync_status();")));
	SPI_finish();
	cs_ask(&ask, take_nothing, NULL, NULL);
	PG_RETURN_VOID();
}
