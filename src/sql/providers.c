/*
 * providers.c
 *	  What SQL sees of the providers (C1): their list, the check of options and
 *	  credentials, and the account that they stand for.
 *
 * Relies on provider/ for the table of providers and on transfer/ for what
 * cloudsync.local_root may be.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "../transfer/endpoint.h"
#include "../transfer/http.h"
#include "cloudsync/compat.h"
#include "cloudsync/oauth.h"
#include "cloudsync/path.h"
#include "cloudsync/provider.h"
#include "cloudsync/reach.h"
#include "cloudsync/settings.h"
#include "options.h"

PG_FUNCTION_INFO_V1(cloudsync_provider_rows);
PG_FUNCTION_INFO_V1(cloudsync_check_options);
PG_FUNCTION_INFO_V1(cloudsync_account_of);
PG_FUNCTION_INFO_V1(cloudsync_folder_seen);

/* {"key": "help", ...} */
static Datum
keys_as_jsonb(const CsProviderKey *keys)
{
	JsonbParseState *state = NULL;
	JsonbValue *object;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (; keys->key != NULL; keys++)
	{
		JsonbValue value;

		value.type = jbvString;
		value.val.string.val = pstrdup(keys->key);
		value.val.string.len = strlen(keys->key);
		pushJsonbValue(&state, WJB_KEY, &value);
		value.val.string.val =
			psprintf("%s%s", keys->help, keys->required ? " Required." : "");
		value.val.string.len = strlen(value.val.string.val);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	object = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbPGetDatum(JsonbValueToJsonb(object));
}

Datum
cloudsync_provider_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *set;

	InitMaterializedSRF(fcinfo, 0);
	set = (ReturnSetInfo *) fcinfo->resultinfo;
	for (int i = 0; cs_providers[i] != NULL; i++)
	{
		const CsProvider *provider = cs_providers[i];
		Datum values[8];
		bool nulls[8] = {false};

		values[0] = CStringGetTextDatum(provider->name);
		values[1] = CStringGetTextDatum(provider->title);
		values[2] = CStringGetTextDatum(provider->authentication);
		values[3] = keys_as_jsonb(provider->options);
		values[4] = keys_as_jsonb(provider->credentials);
		nulls[5] = provider->checksum == NULL;
		values[5] =
			nulls[5] ? (Datum) 0 : CStringGetTextDatum(provider->checksum);
		nulls[6] = provider->max_file_size == 0;
		values[6] = Int64GetDatum(provider->max_file_size);
		values[7] = BoolGetDatum(provider->incremental);
		tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* See options.h. */
const CsProvider *
cs_known_provider(const char *name)
{
	const CsProvider *provider = cs_provider_by_name(name);
	StringInfoData known;

	if (provider != NULL)
		return provider;
	initStringInfo(&known);
	for (int i = 0; cs_providers[i] != NULL; i++)
		appendStringInfo(&known, "%s%s", i > 0 ? ", " : "",
						 cs_providers[i]->name);
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("unknown provider \"%s\"", name),
					errhint("Known providers are: %s.", known.data)));
	pg_unreachable();
}

static void
unknown_key(const CsProvider *provider, const char *what,
			const CsProviderKey *keys, const char *key)
{
	StringInfoData known;

	initStringInfo(&known);
	for (int i = 0; keys[i].key != NULL; i++)
		appendStringInfo(&known, "%s%s", i > 0 ? ", " : "", keys[i].key);
	if (provider->oauth != NULL && keys == provider->options)
		appendStringInfoString(&known, ", redirect_uri");
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("provider \"%s\" has no %s \"%s\"", provider->name,
						   what, key),
					known.len > 0 ? errhint("Known keys are: %s.", known.data)
								  : errhint("It takes no %ss.", what)));
}

/* The value is named by its key alone: it may be a secret. */
static void
check_type(const char *what, const CsProviderKey *key, const JsonbValue *value)
{
	static const char *const names[] = {"a string", "true or false",
										"an object"};
	bool ok = false;

	switch (key->type)
	{
		case CS_KEY_TEXT:
			ok = value->type == jbvString && value->val.string.len > 0;
			break;
		case CS_KEY_BOOLEAN:
			ok = value->type == jbvBool;
			break;
		case CS_KEY_OBJECT:
			ok = value->type == jbvBinary &&
				 JsonContainerIsObject(value->val.binary.data);
			break;
	}
	if (!ok)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s \"%s\" must be %s%s", what, key->key, names[key->type],
					key->type == CS_KEY_TEXT ? " and not empty" : ""),
			 errhint("%s", key->help)));
}

/* An option of all that ask for consent. */
static const CsProviderKey redirect_uri = {
	"redirect_uri",
	"Where the service sends the browser after consent, if another than the "
	"application's.",
	false, CS_KEY_TEXT};

static void
check_keys(const CsProvider *provider, const char *what,
		   const CsProviderKey *keys, Jsonb *given)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;
	bool seen[64] = {false};
	int found = 0;
	bool may_redirect = provider->oauth != NULL && keys == provider->options;
	bool redirect = false;

	if (given != NULL && !JB_ROOT_IS_OBJECT(given))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%ss must be a JSON object", what),
				 errhint("Write them like %s.", "'{\"key\": \"value\"}'")));
	iterator = given != NULL ? JsonbIteratorInit(&given->root) : NULL;
	while (iterator != NULL &&
		   (token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			char *key = pnstrdup(value.val.string.val, value.val.string.len);

			for (found = 0; keys[found].key != NULL; found++)
			{
				if (strcmp(keys[found].key, key) == 0)
					break;
			}
			if (keys[found].key == NULL && may_redirect &&
				strcmp(key, redirect_uri.key) == 0)
			{
				redirect = true;
				continue;
			}
			redirect = false;
			if (keys[found].key == NULL)
				unknown_key(provider, what, keys, key);
			Assert(found < lengthof(seen));
			seen[found] = true;
		}
		else if (token == WJB_VALUE)
			check_type(what, redirect ? &redirect_uri : &keys[found],
					   &value);
	}
	for (int i = 0; keys[i].key != NULL; i++)
	{
		if (keys[i].required && !seen[i])
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("provider \"%s\" requires the %s \"%s\"",
								   provider->name, what, keys[i].key),
							errhint("%s", keys[i].help)));
	}
}

static char *
argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static const CsProvider *
provider_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("the provider must not be null"),
						errhint("cloudsync.providers lists them.")));
	return cs_known_provider(argument(fcinfo, 0));
}

/* A text value, or NULL. */
static char *
text_option(Jsonb *options, const char *key)
{
	JsonbValue name;
	JsonbValue *value;

	if (options == NULL || !JB_ROOT_IS_OBJECT(options))
		return NULL;
	name.type = jbvString;
	name.val.string.val = (char *) key;
	name.val.string.len = strlen(key);
	value = findJsonbValueFromContainer(&options->root, JB_FOBJECT, &name);
	if (value == NULL || value->type != jbvString)
		return NULL;
	return pnstrdup(value->val.string.val, value->val.string.len);
}

static bool
has_key(Jsonb *given, const char *key)
{
	JsonbValue name;

	name.type = jbvString;
	name.val.string.val = (char *) key;
	name.val.string.len = strlen(key);
	return given != NULL && JB_ROOT_IS_OBJECT(given) &&
		   findJsonbValueFromContainer(&given->root, JB_FOBJECT, &name) != NULL;
}

/* Credentials that are of use together alone, and those that exclude others. */
typedef struct Pair
{
	const char *key;
	const char *needs;	  /* or NULL */
	const char *excludes; /* or NULL */
} Pair;

static const Pair pairs[] = {{"username", "password", "bearer_token"},
							 {"password", "username", "bearer_token"},
							 {"access_key_id", "secret_access_key", NULL},
							 {"secret_access_key", "access_key_id", NULL},
							 {"session_token", "access_key_id", NULL},
							 {"subject", "service_account", NULL},
							 {"service_account", NULL, "refresh_token"},
							 {"certificate", "private_key", "client_secret"},
							 {"private_key", "certificate", "refresh_token"},
							 {"client_secret", NULL, "refresh_token"}};

/* Values are never said: only their keys are. */
static void
check_pairs(const CsProvider *provider, Jsonb *given)
{
	for (int i = 0; i < lengthof(pairs); i++)
	{
		const Pair *pair = &pairs[i];

		if (!has_key(given, pair->key))
			continue;
		if (pair->needs != NULL && !has_key(given, pair->needs))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("provider \"%s\" needs the credential \"%s\" "
							"with \"%s\"",
							provider->name, pair->needs, pair->key),
					 errhint("Give both, or neither.")));
		if (pair->excludes != NULL &&
			has_key(given, pair->excludes))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("credentials \"%s\" and \"%s\" exclude each other",
							pair->key, pair->excludes),
					 errhint("Give one way to authenticate.")));
	}
}

/* What goes into a header of a request must not begin another one. */
static void
check_characters(const CsProviderKey *keys, Jsonb *given)
{
	for (; keys->key != NULL; keys++)
	{
		const char *value = text_option(given, keys->key);

		if (keys->type != CS_KEY_TEXT || value == NULL ||
			strcmp(keys->key, "certificate") == 0 ||
			strcmp(keys->key, "private_key") == 0)
			continue; /* these have lines */
		for (; *value != '\0'; value++)
		{
			if ((unsigned char) *value < ' ' || *value == 0x7f)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("credential \"%s\" contains a control character",
								keys->key),
						 errhint("Look for a line break at its end.")));
		}
	}
	if (text_option(given, "username") != NULL &&
		strchr(text_option(given, "username"), ':') != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("credential \"username\" contains a colon"),
				 errhint("What stands before it ends the name for every "
						 "server.")));
}

Datum
cloudsync_check_options(PG_FUNCTION_ARGS)
{
	const CsProvider *provider = provider_argument(fcinfo);

	check_keys(provider, "option", provider->options,
			   PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1));
	if (!PG_ARGISNULL(2))
	{
		Jsonb *credentials = PG_GETARG_JSONB_P(2);

		check_keys(provider, "credential", provider->credentials, credentials);
		check_pairs(provider, credentials);
		/* certificates and keys have lines */
		if (provider->open != NULL)
			check_characters(provider->credentials, credentials);
	}
	PG_RETURN_VOID();
}

/* See options.h. */
CsOption *
cs_option_list(Jsonb *given)
{
	CsOption *options;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;
	int n = 0;

	if (given == NULL)
		return palloc0(sizeof(CsOption));
	options = palloc0(sizeof(CsOption) * (JB_ROOT_COUNT(given) + 1));
	iterator = JsonbIteratorInit(&given->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			options[n].key =
				pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE)
		{
			if (value.type == jbvBool)
				options[n].value = value.val.boolean ? "true" : "false";
			else if (value.type == jbvString)
				options[n].value =
					pnstrdup(value.val.string.val, value.val.string.len);
			else
				options[n].value = JsonbToCString(NULL, value.val.binary.data,
												  value.val.binary.len);
			n++;
		}
	}
	return options;
}

/* S5: may connections go to the service at all? */
static void
check_reach(const CsProvider *provider, const char *purpose, const char *url)
{
	CsOrigin origin;
	StringInfoData place;
	bool allowed;

	if (!cs_origin_parse(&origin, url))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the service's address cannot be connected to"),
				 errhint("Give an http or https URL without a user in it.")));
	allowed = cs_reach_url(cs_allowed_endpoints, provider->hosts,
						   purpose, origin.scheme, origin.host,
						   origin.port);
	initStringInfo(&place);
	appendStringInfo(&place,
					 strchr(origin.host, ':') ? "%s://[%s]" : "%s://%s",
					 origin.scheme, origin.host);
	if (origin.port != (strcmp(origin.scheme, "http") == 0 ? 80 : 443))
		appendStringInfo(&place, ":%d", origin.port);
	cs_origin_free(&origin);
	if (!allowed)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("connections to \"%s\" are not allowed", place.data),
				 errhint("A superuser adds \"%s=%s\" to the setting "
						 "\"cloudsync.allowed_endpoints\" by ALTER SYSTEM, "
						 "then: SELECT pg_reload_conf();",
						 purpose, place.data)));
}

static void
check_token_urls(const CsProvider *provider, const CsOption *options)
{
	char *(*const addresses[])(const CsOption *) = {
		provider->oauth->token_url, provider->oauth->device_url,
		provider->oauth->revoke_url};

	for (int i = 0; i < (int) lengthof(addresses); i++)
	{
		char *url = addresses[i] != NULL ? addresses[i](options) : NULL;

		if (url != NULL)
			check_reach(provider, "oauth", url);
	}
}

static char *
service_account(const CsProvider *provider, Jsonb *options)
{
	CsFailure failure = {0};
	CsOption *list = cs_option_list(options);
	CsService *service = provider->open(list, &failure);

	if (service == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s", failure.message),
						failure.detail[0] ? errhint("%s", failure.detail) : 0));
	check_reach(provider, provider->name, service->url);
	for (int i = 0; i < (int) lengthof(service->more_urls); i++)
		if (service->more_urls[i] != NULL)
			check_reach(provider, provider->name, service->more_urls[i]);
	if (provider->oauth != NULL)
		check_token_urls(provider, list);
	return service->account != NULL ? pstrdup(service->account) : NULL;
}

/*
 * local_root may be missing for the moment (its file system is not mounted):
 * that is found, and recorded, when work is done. What never can be is refused.
 */
static void
check_local_root(void)
{
	CsFailure failure;

	if (cs_local_root == NULL || cs_local_root[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("provider \"local\" is disabled"),
				 errdetail("The setting \"cloudsync.local_root\" is empty."),
				 errhint("A superuser sets it to the folder below which the "
						 "provider may work: ALTER SYSTEM SET "
						 "cloudsync.local_root = '/srv/cloud'; SELECT "
						 "pg_reload_conf();")));
	if (access(cs_local_root, F_OK) != 0)
		return;
	if (!cs_local_root_ok(DataDir, cs_local_root, &failure))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg_internal("%s", failure.message),
						errhint("%s", failure.detail)));
}

static char *
local_account(const char *tenant, const char *path)
{
	const char *why;
	char *account = cs_path_normalize(path != NULL ? path : "", 0, &why);
	const char *slash = path != NULL ? strstr(path, "//") : NULL;

	if (account == NULL || slash != NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"path\" cannot be a folder below "
					"cloudsync.local_root"),
			 errdetail("It %s.",
					   account == NULL ? why : "contains an empty component"),
			 errhint("Give a path such as \"customers/smith\".")));
	if (tenant != NULL && tenant[0] != '\0' && !cs_local_tenant_ok(tenant))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("tenant \"%s\" cannot use the provider \"local\"", tenant),
			 errdetail("Each tenant has a folder of its own name below "
					   "cloudsync.local_root, and this cannot be one."),
			 errhint("Use a tenant's name without \"/\" and control "
					 "characters, other than \".\" and \"..\".")));
	check_local_root();
	return account;
}

Datum
cloudsync_account_of(PG_FUNCTION_ARGS)
{
	const CsProvider *provider = provider_argument(fcinfo);
	char *tenant = argument(fcinfo, 1);
	Jsonb *options = PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2);

	if (provider->open != NULL)
	{
		char *account = service_account(provider, options);

		if (account == NULL)
			PG_RETURN_NULL(); /* the service says so, once there is consent */
		PG_RETURN_TEXT_P(cstring_to_text(account));
	}
	PG_RETURN_TEXT_P(
		cstring_to_text(local_account(tenant, text_option(options, "path"))));
}

/*
 * The folder of a local connection, for the functions that make and enable it: is
 * it there now? Nothing is made. 0 where it is not, and for other providers.
 */
Datum
cloudsync_folder_seen(PG_FUNCTION_ARGS)
{
	const CsProvider *provider = provider_argument(fcinfo);
	Jsonb *options = PG_GETARG_JSONB_P(2);
	CsFolderSeen seen = CS_FOLDER_NEVER;
	CsFailure failure;
	CsEndpoint *endpoint;

	if (provider->open == NULL)
	{
		endpoint = cs_endpoint_open_local(cs_local_root, argument(fcinfo, 1),
										  text_option(options, "path"),
										  CS_FOLDER_NEVER, false, &failure);
		if (endpoint != NULL)
		{
			seen = cs_endpoint_seen(endpoint);
			cs_endpoint_close(endpoint);
		}
	}
	PG_RETURN_INT16((int16) seen);
}
