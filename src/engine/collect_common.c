/*
 * collect_common.c
 *	  What the phases of a collection share: its transfers, limits and backoff,
 *	  and text in the database's encoding.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "cloudsync/collect.h"
#include "cloudsync/db.h"
#include "cloudsync/path.h"
#include "cloudsync/run.h"
#include "cloudsync/settings.h"

/* See collect.h. */
bool
cs_collect_slot(CsCollect *c)
{
	return c->job.connection->transfers < cs_max_transfers_per_connection &&
		   cs_loop_running(c->job.connection->loop) < cs_max_transfers;
}

/* See collect.h. */
CsTransfer *
cs_collect_start(CsCollect *c, CsOp *op, CsBody *body)
{
	CsConnection *connection = c->job.connection;
	CsFailure failure = {0};
	CsEndpoint *endpoint =
		cs_connection_endpoint(connection, false, &failure);
	CsTransfer *transfer;
	MemoryContext old;

	if (endpoint == NULL)
		cs_collect_connection_failed(c, &failure);
	old = MemoryContextSwitchTo(c->job.context);
	transfer = cs_transfer_start(connection->loop, connection->provider,
								 endpoint, op, body, &c->job);
	MemoryContextSwitchTo(old);
	connection->transfers++;
	c->transfers++;
	return transfer;
}

/* See collect.h. */
void
cs_collect_end(CsCollect *c, CsTransfer **transfer)
{
	c->requests += (*transfer)->requests;
	cs_transfer_free(*transfer);
	*transfer = NULL;
	c->job.connection->transfers--;
	c->transfers--;
}

/* See collect.h. The run's end is collect_fail's business. */
void
cs_collect_connection_failed(CsCollect *c, const CsFailure *failure)
{
	cs_begin("noting a failure of a connection");
	cs_connection_note(c->job.connection, failure, GetCurrentTimestamp());
	cs_commit();
	ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE),
					errmsg("%s", failure->message),
					failure->detail[0] ? errdetail("%s", failure->detail) : 0));
}

/* See collect.h. */
void
cs_collect_note_error(CsCollect *c, const char *text)
{
	if (c->error == NULL)
		c->error = MemoryContextStrdup(c->job.context, text);
}

/* See collect.h. */
int64
cs_collect_limit(const CsCollect *c)
{
	int64 limit = cs_max_document_size_mb * INT64CONST(1024) * 1024;

	if (c->max_size > 0 && (limit <= 0 || c->max_size < limit))
		return c->max_size;
	return limit;
}

/* See collect.h. */
bool
cs_collect_is_away(const CsCollect *c, const char *path)
{
	return c->move_folder != NULL && cs_path_is_below(path, c->move_folder);
}

/* See collect.h. One minute doubled up to six hours. */
int64
cs_collect_backoff_ms(int attempts)
{
	int64 minutes = INT64CONST(1) << Min(Max(attempts, 0), 9);

	return cs_jittered(Min(minutes, 360) * 60 * 1000);
}

/* See collect.h. */
Datum
cs_text_from_utf8(const char *text)
{
	return CStringGetTextDatum(
		pg_any_to_server(text, (int) strlen(text), PG_UTF8));
}

/* See collect.h. */
char *
cs_get_utf8(uint64 row, int column)
{
	char *text = cs_get_text(row, column);

	return text == NULL ? NULL
						: pg_server_to_any(text, (int) strlen(text), PG_UTF8);
}
