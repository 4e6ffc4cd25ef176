/*
 * graph_oauth.c
 *	  How access tokens for Microsoft Graph are come by (oauth.h): Microsoft's
 *	  own addresses for a tenant, and the least scopes that do the job. Of a
 *	  person: their own files for OneDrive, the sites they may reach for
 *	  SharePoint. Of an app that acts for itself: what it was given.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/oauth.h"
#include "graph.h"

static const char *
option(const CsOption *options, const char *key)
{
	for (; options->key != NULL; options++)
	{
		if (strcmp(options->key, key) == 0)
			return options->value[0] != '\0' ? options->value : NULL;
	}
	return NULL;
}

static char *
login_url(const CsOption *options, const char *rest)
{
	const char *login = option(options, "login_endpoint");
	const char *tenant = option(options, "tenant");
	const char *why;
	char *base = login != NULL ? cs_url_normalize(login, &why) : NULL;

	return psprintf("%s/%s/oauth2/v2.0/%s", base != NULL ? base : GR_LOGIN,
					tenant != NULL ? tenant : "common", rest);
}

static char *
authorize_url(const CsOption *options)
{
	return login_url(options, "authorize");
}

static char *
token_url(const CsOption *options)
{
	return login_url(options, "token");
}

static char *
device_url(const CsOption *options)
{
	return login_url(options, "devicecode");
}

/* Tokens are taken back by their user or an administrator, not by an app. */
static char *
revoke_url(const CsOption *options)
{
	return NULL;
}

static char *
scopes(const CsOption *options)
{
	const char *scope = option(options, "scope");

	if (scope != NULL)
		return psprintf("%s offline_access", scope);
	if (option(options, "site") != NULL)
		return pstrdup("Sites.ReadWrite.All offline_access");
	if (option(options, "drive_id") != NULL || option(options, "user") != NULL)
		return pstrdup("Files.ReadWrite.All offline_access");
	return pstrdup("Files.ReadWrite offline_access");
}

/* "{scheme}://{Graph's host}/.default": all that the app was given there. */
static char *
client_scopes(const CsOption *options)
{
	const char *api = option(options, "api_endpoint");
	const char *why;
	char *url = cs_url_normalize(api != NULL ? api : GR_API, &why);
	char *host = url != NULL ? strstr(url, "://") : NULL;

	if (host == NULL)
		return pstrdup("https://graph.microsoft.com/.default");
	host += 3;
	host[strcspn(host, "/")] = '\0';
	return psprintf("%s/.default", url);
}

/* A scope without the name of the service before it. */
static const char *
bare(const char *scope)
{
	const char *slash = strrchr(scope, '/');

	return slash != NULL ? slash + 1 : scope;
}

static bool
covers(const char *granted, const char *needed)
{
	static const struct
	{
		const char *granted;
		const char *needed;
	} wider[] = {
		{"Files.ReadWrite.All", "Files.ReadWrite"},
		{"Sites.ReadWrite.All", "Files.ReadWrite"},
		{"Sites.ReadWrite.All", "Files.ReadWrite.All"},
		{"Sites.Manage.All", "Sites.ReadWrite.All"},
		{"Sites.FullControl.All", "Sites.ReadWrite.All"},
		{"Sites.FullControl.All", "Files.ReadWrite.All"},
		{"Sites.FullControl.All", "Files.ReadWrite"},
	};

	granted = bare(granted);
	needed = bare(needed);
	if (pg_strcasecmp(granted, needed) == 0)
		return true;
	for (int i = 0; i < (int) lengthof(wider); i++)
	{
		if (pg_strcasecmp(granted, wider[i].granted) == 0 &&
			pg_strcasecmp(needed, wider[i].needed) == 0)
			return true;
	}
	return false;
}

const CsOAuth gr_oauth = {
	.authorize_url = authorize_url,
	.token_url = token_url,
	.device_url = device_url,
	.revoke_url = revoke_url,
	.scopes = scopes,
	.client_scopes = client_scopes,
	.authorize_extra = "response_mode=query",
	.covers = covers,
};
