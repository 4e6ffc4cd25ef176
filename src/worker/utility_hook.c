/*
 * utility_hook.c
 *	  Commands that our processes would stand in the way of: DROP, RENAME and
 *	  SET TABLESPACE of a database, CREATE DATABASE with it as template, DROP and
 *	  UPDATE of the extension, whatever takes it along included (W1). Before such a command our processes in that
 *	  database are ended and held; when the transaction ends, well or not, the
 *	  launcher looks again and brings back those that are still wanted. CREATE
 *	  EXTENSION has the launcher look when it commits.
 *
 * Installed in every backend of a preloaded library, chained.
 */
#include "postgres.h"

#include <signal.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_database.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "commands/user.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/latch.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "internal.h"

#define END_TIMEOUT_MS 30000

static ProcessUtility_hook_type prev_utility_hook = NULL;
static object_access_hook_type prev_access_hook = NULL;
static bool holding = false;
static bool look_at_commit = false;
static bool created_extension = false;
static CsDatabase *probe_at_commit = NULL;

/* At the end of the transaction; nothing in here can raise an error. */
static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		event != XACT_EVENT_PREPARE)
		return;
	if (created_extension && event == XACT_EVENT_COMMIT)
	{
		if (probe_at_commit != NULL &&
			probe_at_commit->database == MyDatabaseId)
			pg_atomic_write_u32(&probe_at_commit->probe, 1);
		else
			pg_atomic_write_u32(&cs_shared->probe_all, 1);
	}
	if (holding)
		cs_hold_release_all();
	else if (look_at_commit)
		cs_wake_launcher();
	holding = look_at_commit = created_extension = false;
	probe_at_commit = NULL;
}

/* Sends SIGTERM to our processes in a database; how many there are. */
static int
end_processes(Oid database)
{
	int count = 0;

	LWLockAcquire(cs_shared->lock, LW_SHARED);
	for (int i = 0; i < cs_shared->max_processes; i++)
	{
		CsProcess *process = &cs_shared->processes[i];

		if (process->pid == 0 || process->database != database)
			continue;
		count++;
		kill(process->pid, SIGTERM);
	}
	LWLockRelease(cs_shared->lock);
	return count;
}

/* Ends our processes in a database, and keeps them away until we are done. */
static void
hold(Oid database)
{
	TimestampTz started = GetCurrentTimestamp();

	if (!cs_hold_add(database))
		return;
	holding = true;
	while (end_processes(database) > 0)
	{
		if (TimestampDifferenceExceeds(started, GetCurrentTimestamp(),
									   END_TIMEOUT_MS))
		{
			ereport(WARNING, (errmsg("cloudsync's processes in the database "
									 "did not end in time")));
			return;
		}
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* May the user do this to the database? Who may not, disturbs nobody. */
static bool
may_change(Oid database, bool as_template)
{
	HeapTuple tuple;
	bool is_template;

	if (superuser() || CsOwnsDatabase(database, GetUserId()))
		return true;
	if (!as_template)
		return false;
	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	if (!HeapTupleIsValid(tuple))
		return false;
	is_template = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
	ReleaseSysCache(tuple);
	return is_template;
}

static void
hold_database(const char *name, bool as_template)
{
	Oid database = get_database_oid(name, true);

	if (!OidIsValid(database))
		return;
	/* the current one can be a template, but not dropped or renamed */
	if (database == MyDatabaseId && !as_template)
		return;
	if (may_change(database, as_template))
		hold(database);
}

static void
hold_extension(void)
{
	Oid extension = get_extension_oid("cloudsync", true);

	if (OidIsValid(extension) && CsOwnsExtension(extension, GetUserId()))
		hold(MyDatabaseId);
}

/* The schema the extension is in; InvalidOid if it is not here. */
static Oid
extension_schema(void)
{
	Relation rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	Oid schema = InvalidOid;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum("cloudsync"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		schema = ((Form_pg_extension) GETSTRUCT(tuple))->extnamespace;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return schema;
}

/* Is the extension in one of the schemas that are dropped with what is in them? */
static bool
drops_our_schema(DropStmt *stmt)
{
	Oid schema = extension_schema();
	ListCell *cell;

	if (stmt->behavior != DROP_CASCADE || !OidIsValid(schema))
		return false;
	foreach (cell, stmt->objects)
		if (get_namespace_oid(strVal(lfirst(cell)), true) == schema)
			return true;
	return false;
}

/* DROP OWNED BY its owner; who has not the rights of the role will be refused. */
static void
hold_owned(DropOwnedStmt *stmt)
{
	Oid extension = get_extension_oid("cloudsync", true);
	ListCell *cell;

	if (!OidIsValid(extension))
		return;
	foreach (cell, roleSpecsToIds(stmt->roles))
	{
		Oid role = lfirst_oid(cell);

		if (CsOwnsExtension(extension, role) &&
			has_privs_of_role(GetUserId(), role))
			hold(MyDatabaseId);
	}
}

static bool
names_our_extension(DropStmt *stmt)
{
	ListCell *cell;

	foreach (cell, stmt->objects)
		if (strcmp(strVal(lfirst(cell)), "cloudsync") == 0)
			return true;
	return false;
}

static const char *
string_option(List *options, const char *name)
{
	ListCell *cell;

	foreach (cell, options)
	{
		DefElem *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, name) == 0 && option->arg != NULL)
			return defGetString(option);
	}
	return NULL;
}

/* What must be done before the command. */
static void
before(Node *command)
{
	const char *template;

	switch (nodeTag(command))
	{
		case T_DropdbStmt:
			hold_database(castNode(DropdbStmt, command)->dbname, false);
			break;
		case T_RenameStmt:
			if (castNode(RenameStmt, command)->renameType == OBJECT_DATABASE)
				hold_database(castNode(RenameStmt, command)->subname, false);
			break;
		case T_AlterDatabaseStmt:
			if (string_option(castNode(AlterDatabaseStmt, command)->options,
							  "tablespace") != NULL)
				hold_database(castNode(AlterDatabaseStmt, command)->dbname,
							  false);
			look_at_commit = true;
			break;
		case T_CreatedbStmt:
			template = string_option(castNode(CreatedbStmt, command)->options,
									 "template");
			if (template != NULL)
				hold_database(template, true);
			look_at_commit = true;
			break;
		case T_DropStmt:
			if (castNode(DropStmt, command)->removeType == OBJECT_EXTENSION &&
				names_our_extension(castNode(DropStmt, command)))
				hold_extension();
			else if (castNode(DropStmt, command)->removeType == OBJECT_SCHEMA &&
					 drops_our_schema(castNode(DropStmt, command)))
				hold_extension();
			break;
		case T_DropOwnedStmt:
			hold_owned(castNode(DropOwnedStmt, command));
			break;
		case T_AlterExtensionStmt:
			if (strcmp(castNode(AlterExtensionStmt, command)->extname,
					   "cloudsync") == 0)
				hold_extension();
			break;
		default:
			break;
	}
}

/* CREATE EXTENSION succeeded: the launcher starts workers once it commits. */
static void
after(Node *command)
{
	if (nodeTag(command) != T_CreateExtensionStmt ||
		strcmp(castNode(CreateExtensionStmt, command)->extname, "cloudsync") !=
			0)
		return;
	probe_at_commit = cs_database_slot(MyDatabaseId, true);
	look_at_commit = created_extension = true;
}

/*
 * The extension goes with something else that no case of `before` knows, such as
 * a language that its functions need; held late, since its tables are locked.
 */
static void
access_hook(ObjectAccessType access, Oid class, Oid object, int sub_id,
			void *arg)
{
	if (prev_access_hook)
		prev_access_hook(access, class, object, sub_id, arg);
	if (access == OAT_DROP && class == ExtensionRelationId &&
		cs_shared != NULL && object == get_extension_oid("cloudsync", true))
		hold(MyDatabaseId);
}

static void
utility_hook(PlannedStmt *pstmt, const char *query, bool read_only_tree,
			 ProcessUtilityContext context, ParamListInfo params,
			 QueryEnvironment *environment, DestReceiver *dest,
			 QueryCompletion *completion)
{
	static bool registered = false;
	Node *command = pstmt->utilityStmt;

	if (!registered && cs_shared != NULL)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		registered = true;
	}
	if (cs_shared != NULL && IsTransactionState() && !RecoveryInProgress())
		before(command);
	if (prev_utility_hook)
		prev_utility_hook(pstmt, query, read_only_tree, context, params,
						  environment, dest, completion);
	else
		standard_ProcessUtility(pstmt, query, read_only_tree, context, params,
								environment, dest, completion);
	if (cs_shared != NULL && IsTransactionState())
		after(command);
}

void
cs_utility_hook_install(void)
{
	prev_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = utility_hook;
	prev_access_hook = object_access_hook;
	object_access_hook = access_hook;
}
