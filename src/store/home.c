/*
 * home.c
 *	  May this copy of the database act (W8)? A copy restored, cloned or started
 *	  elsewhere has another identity than the one stored in cloudsync.home, and
 *	  does nothing until cloudsync_resume() makes it the one.
 */
#include "postgres.h"

#include <unistd.h>

#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "cloudsync/compat.h"
#include "cloudsync/db.h"
#include "cloudsync/home.h"
#include "cloudsync/settings.h"
#include "fmgr.h"

PG_FUNCTION_INFO_V1(cloudsync_why_suspended);

static const char *const home_query =
	"SELECT pg_catalog.bool_and(h.installation OPERATOR(pg_catalog.=) "
	"(SELECT i.installation FROM cloudsync.installation i)), "
	"pg_catalog.bool_and(h.system_identifier OPERATOR(pg_catalog.=) $1), "
	"pg_catalog.bool_and(h.database_oid OPERATOR(pg_catalog.=) $2), "
	"(pg_catalog.array_agg(h.suspended_by) FILTER (WHERE h.suspended_at IS NOT "
	"NULL))[1], "
	"pg_catalog.bool_or(h.suspended_at IS NOT NULL), pg_catalog.count(*) "
	"FROM cloudsync.home h";

/* Is this machine's name in cloudsync.hosts? Compared without regard to case.
 */
static bool
host_may_act(char *host, size_t size)
{
	const char *p = cs_hosts ? cs_hosts : "";

	if (gethostname(host, size) != 0)
		strlcpy(host, "unknown", size);
	host[size - 1] = '\0';
	if (p[strspn(p, " ,")] == '\0')
		return true;
	while (*p != '\0')
	{
		size_t len;

		p += strspn(p, " ,");
		len = strcspn(p, " ,");
		if (len > 0 && len == strlen(host) && pg_strncasecmp(p, host, len) == 0)
			return true;
		p += len;
	}
	return false;
}

/* What the stored home says; reads as the extension's owner would. */
static char *
why_by_home(void)
{
	Oid types[] = {INT8OID, OIDOID};
	Datum values[] = {Int64GetDatum((int64) GetSystemIdentifier()),
					  ObjectIdGetDatum(MyDatabaseId)};
	MemoryContext context = CurrentMemoryContext;
	char *why = NULL;
	Oid user;
	int security;

	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID,
						   security | SECURITY_LOCAL_USERID_CHANGE);
	SPI_connect();
	if (cs_execute(home_query, 2, types, values, NULL, true) != 1)
		elog(ERROR, "cloudsync.home gave no row");
	if (!cs_get_bool(0, 1, false))
		why = "this is a copy of the database that was set up: it was restored "
			  "from a dump, or cloudsync was installed again";
	else if (!cs_get_bool(0, 2, false))
		why = "this is a copy of the database that was set up, in another "
			  "cluster";
	else if (!cs_get_bool(0, 3, false))
		why = "this is a copy of the database that was set up, made from it as "
			  "a template";
	else if (cs_get_bool(0, 5, false))
	{
		char *by = cs_get_text(0, 4);

		why = psprintf("suspended by %s", by ? by : "somebody");
	}
	if (why != NULL)
		why = MemoryContextStrdup(context, why);
	SPI_finish();
	SetUserIdAndSecContext(user, security);
	return why;
}

/* See engine.h. */
const char *
cs_why_suspended(void)
{
	char host[256];

	if (RecoveryInProgress())
		return "this server is a standby";
	if (!cs_enabled)
		return "cloudsync.enabled is off";
	if (!host_may_act(host, sizeof(host)))
		return psprintf("cloudsync.hosts does not name this host (\"%s\")",
						host);
	return why_by_home();
}

Datum
cloudsync_why_suspended(PG_FUNCTION_ARGS)
{
	const char *why = cs_why_suspended();

	if (why == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(why));
}
