/*
 * hide.c
 *	  Statements that bring secrets are hidden (S1): from pg_stat_activity, from
 *	  what the log says of an error's statement, and, once the library is
 *	  loaded, from what log_statement, log_min_duration_statement and
 *	  auto_explain write.
 *
 * Such a statement is known by the name of a function in it, before it runs, and
 * by that function's call, whatever called it, afterwards.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "pgstat.h"
#include "tcop/tcopprot.h"

#include "cloudsync/compat.h"
#include "cloudsync/vault.h"

PG_FUNCTION_INFO_V1(cloudsync_hide_statement);

static const char hidden[] =
	"<hidden by cloudsync: the statement may contain secrets>";

/* Functions that take secrets. */
static const char *const names[] = {
	"cloudsync_connect", "cloudsync_register_app", "cloudsync_authorize"};

static emit_log_hook_type previous_hook = NULL;
static TimestampTz hidden_statement = 0;

/* The session's statement is not shown from now on until it ends. */
Datum
cloudsync_hide_statement(PG_FUNCTION_ARGS)
{
	hidden_statement = GetCurrentStatementStartTimestamp();
	if (debug_query_string != NULL)
		debug_query_string = hidden;
	pgstat_report_activity(STATE_RUNNING, hidden);
	PG_RETURN_VOID();
}

static bool
names_function(const char *text)
{
	for (; *text != '\0'; text++)
	{
		for (int i = 0; i < lengthof(names); i++)
		{
			if (pg_strncasecmp(text, names[i], strlen(names[i])) == 0)
				return true;
		}
	}
	return false;
}

/* Is it one of the records that show a statement, by its untranslated text? */
static bool
shows_statement(const ErrorData *edata)
{
	static const char *const starts[] = {
		"statement: ", "duration: ", "execute "};

	if (edata->elevel != LOG || edata->message_id == NULL ||
		edata->message == NULL)
		return false;
	for (int i = 0; i < lengthof(starts); i++)
	{
		if (strncmp(edata->message_id, starts[i], strlen(starts[i])) == 0)
			return true;
	}
	return false;
}

/*
 * Written in other words in the record's place; a hook may not change a record,
 * but keep it back. The duration is told all the same.
 */
static void
hide_record(ErrorData *edata)
{
	static bool busy = false;
	int timed = 0;

	if (previous_hook != NULL)
		previous_hook(edata);
	if (busy || !edata->output_to_server || !shows_statement(edata))
		return;
	if (hidden_statement != GetCurrentStatementStartTimestamp() &&
		!names_function(edata->message))
		return;
	/* "duration: 1.234 ms  statement: ..." */
	if (strncmp(edata->message_id, "duration: ", 10) == 0)
		timed = strcspn(edata->message, ".") + strlen(".000 ms");
	edata->output_to_server = false;
	busy = true;
	ereport(
		LOG_SERVER_ONLY,
		(errmsg_internal("%.*s%s%s", Min(timed, (int) strlen(edata->message)),
						 edata->message, timed > 0 ? "  " : "", hidden),
		 errhidestmt(true), errhidecontext(true)));
	busy = false;
}

/* See vault.h. */
void
cs_hide_init(void)
{
	previous_hook = emit_log_hook;
	emit_log_hook = hide_record;
}
