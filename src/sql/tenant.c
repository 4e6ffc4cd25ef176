/*
 * tenant.c
 *	  For whom the session acts (spec 2, S2): the C functions behind
 *	  cloudsync.tenant, sees, sees_all, acting_user and acting_has_role, on
 *	  which every view, policy and public function of the extension relies.
 *
 * They are C, and read the settings' own variables, because anybody can set a
 * variable named cloudsync.tenant before the library is loaded, and because
 * the role that counts is the outer one, also inside our SECURITY DEFINER
 * functions. They fail closed: in a security-restricted operation that we did
 * not begin there is nobody to act for.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "cloudsync/compat.h"
#include "cloudsync/settings.h"
#include "cloudsync/tenant.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(cloudsync_tenant);
PG_FUNCTION_INFO_V1(cloudsync_sees);
PG_FUNCTION_INFO_V1(cloudsync_sees_all);
PG_FUNCTION_INFO_V1(cloudsync_acting_user);
PG_FUNCTION_INFO_V1(cloudsync_acting_has_role);
PG_FUNCTION_INFO_V1(cloudsync_acting_is);

/* columns of cloudsync.role_tenant */
#define ANUM_ROLE 1
#define ANUM_TENANT 2

Oid cs_acting_override = InvalidOid;
/* the (sub)transaction that it was set in: its abort ends it, not that of an
 * exception block in the owner's own function */
static int override_level = 0;

/*
 * The last answer of role_tenant. A view asks once a row, so the answer is
 * kept for as long as the same statement runs and has changed nothing itself.
 */
static struct
{
	bool valid;
	Oid role;
	TimestampTz transaction;
	TimestampTz statement;
	CommandId command;
	char *tenant; /* in TopMemoryContext */
} role_tenant_cache;

Oid
cs_acting_role(void)
{
	if (InSecurityRestrictedOperation())
		return cs_acting_override;
	return GetOuterUserId();
}

static void
at_transaction_abort(XactEvent event, void *arg)
{
	cs_acting_override = InvalidOid;
}

static void
at_subtransaction_abort(SubXactEvent event, SubTransactionId subid,
						SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB &&
		override_level >= GetCurrentTransactionNestLevel())
		cs_acting_override = InvalidOid;
}

/*
 * An error that passes cs_enter_owner's caller by must not leave the owner
 * behind. cs_try puts back what was there before it.
 */
void
cs_acting_set_override(Oid owner)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(at_transaction_abort, NULL);
		RegisterSubXactCallback(at_subtransaction_abort, NULL);
		registered = true;
	}
	cs_acting_override = owner;
	override_level = GetCurrentTransactionNestLevel();
}

/* Is the role in cloudsync_app? A marker, so membership counts, not rights. */
static bool
is_app(Oid role)
{
	Oid app;

	if (superuser_arg(role))
		return true;
	app = get_role_oid("cloudsync_app", true);
	return OidIsValid(app) && is_member_of_role(role, app);
}

static bool
has_role(Oid role, const char *name)
{
	Oid group;

	if (!OidIsValid(role))
		return false;
	group = get_role_oid(name, true);
	return OidIsValid(group) && has_privs_of_role(role, group);
}

/* The role's row in cloudsync.role_tenant, read without asking for rights. */
static char *
read_role_tenant(const char *role_name)
{
	Oid relid;
	Relation rel;
	Snapshot snapshot;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple tuple;
	NameData name;
	char *tenant = NULL;

	relid = get_relname_relid("role_tenant",
							  get_namespace_oid("cloudsync", false));
	if (!OidIsValid(relid))
		elog(ERROR, "table cloudsync.role_tenant is missing");
	rel = table_open(relid, AccessShareLock);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	namestrcpy(&name, role_name);
	ScanKeyInit(&key, ANUM_ROLE, BTEqualStrategyNumber, F_NAMEEQ,
				NameGetDatum(&name));
	scan = systable_beginscan(rel, CsPrimaryKeyIndex(rel), true,
							  snapshot, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool isnull;
		Datum value = heap_getattr(tuple, ANUM_TENANT, RelationGetDescr(rel),
								   &isnull);

		tenant = isnull ? NULL : TextDatumGetCString(value);
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return tenant ? tenant : pstrdup("");
}

static const char *
role_tenant(Oid role)
{
	TimestampTz transaction = GetCurrentTransactionStartTimestamp();
	TimestampTz statement = GetCurrentStatementStartTimestamp();
	CommandId command = GetCurrentCommandId(false);
	char *tenant;

	if (role_tenant_cache.valid && role_tenant_cache.role == role &&
		role_tenant_cache.transaction == transaction &&
		role_tenant_cache.statement == statement &&
		role_tenant_cache.command == command)
		return role_tenant_cache.tenant;

	tenant = read_role_tenant(GetUserNameFromId(role, false));
	role_tenant_cache.valid = false;
	if (role_tenant_cache.tenant)
		pfree(role_tenant_cache.tenant);
	role_tenant_cache.tenant = NULL;
	role_tenant_cache.tenant = MemoryContextStrdup(TopMemoryContext, tenant);
	role_tenant_cache.role = role;
	role_tenant_cache.transaction = transaction;
	role_tenant_cache.statement = statement;
	role_tenant_cache.command = command;
	role_tenant_cache.valid = true;
	return role_tenant_cache.tenant;
}

/* The tenant of a valid acting role, "" for none. */
static const char *
tenant_of(Oid role)
{
	if (is_app(role))
		return cs_tenant ? cs_tenant : "";
	return role_tenant(role);
}

/*
 * Raises an error where the session may change nothing, so that no caller can
 * take "nobody" for "no tenant".
 */
const char *
cs_acting_tenant(void)
{
	Oid role = cs_acting_role();
	const char *tenant;

	if (!OidIsValid(role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cloudsync cannot be used within a security-restricted operation"),
				 errhint("Call it in a statement of your own, not in an index, a materialized view or a maintenance command.")));
	tenant = tenant_of(role);
	if (tenant[0] == '\0' && cs_require_tenant)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("no tenant is set for this session"),
				 errdetail("cloudsync.require_tenant is on."),
				 errhint("As a member of cloudsync_app: SET cloudsync.tenant = '...'; "
						 "for another role: INSERT INTO cloudsync.role_tenant VALUES (role, tenant);")));
	return tenant;
}

bool
cs_acting_sees_all(void)
{
	Oid role = cs_acting_role();

	return !cs_require_tenant && has_role(role, "cloudsync_admin") &&
		   tenant_of(role)[0] == '\0';
}

bool
cs_acting_sees(const char *tenant)
{
	Oid role = cs_acting_role();
	const char *own;

	if (!OidIsValid(role))
		return false;
	own = tenant_of(role);
	if (own[0] != '\0')
		return strcmp(own, tenant) == 0;
	if (cs_require_tenant)
		return false;
	return tenant[0] == '\0' || has_role(role, "cloudsync_admin");
}

const char *
cs_acting_user_name(void)
{
	Oid role = cs_acting_role();

	if (!OidIsValid(role))
		return "";
	if (cs_user && cs_user[0] != '\0' && is_app(role))
		return cs_user;
	return GetUserNameFromId(role, false);
}

Datum
cloudsync_tenant(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(cs_acting_tenant()));
}

Datum
cloudsync_sees(PG_FUNCTION_ARGS)
{
	char *tenant = text_to_cstring(PG_GETARG_TEXT_PP(0));
	bool sees = cs_acting_sees(tenant);

	pfree(tenant);
	PG_RETURN_BOOL(sees);
}

Datum
cloudsync_sees_all(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(cs_acting_sees_all());
}

Datum
cloudsync_acting_user(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(cs_acting_user_name()));
}

Datum
cloudsync_acting_has_role(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(has_role(cs_acting_role(),
							text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

/*
 * Is that recipient the person for whom the session acts? A role that acts for
 * itself is also each role that it has the rights of; an application that acts
 * for somebody is that person alone.
 */
Datum
cloudsync_acting_is(PG_FUNCTION_ARGS)
{
	Oid role = cs_acting_role();
	char *recipient = text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (!OidIsValid(role))
		PG_RETURN_BOOL(false);
	if (strcmp(cs_acting_user_name(), recipient) == 0)
		PG_RETURN_BOOL(true);
	if (cs_user && cs_user[0] != '\0' && is_app(role))
		PG_RETURN_BOOL(false);
	PG_RETURN_BOOL(has_role(role, recipient));
}
