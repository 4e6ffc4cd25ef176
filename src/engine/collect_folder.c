/*
 * collect_folder.c
 *	  What is stored of a channel's folder once it was listed, or could not be:
 *	  where it is, from where changes are followed, why it failed (L8, L10).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "cloudsync/run.h"
#include "listing.h"

/* See listing.h. */
void
cs_folder_store_listed(CsCollect *c)
{
	const CsFolder *folder = &c->folders[c->folder];
	Args args = {0};

	add_this_folder(&args, c);
	add(&args, TEXTOID, cs_utf8_or_null(folder->current), folder->current == NULL);
	add(&args, TEXTOID, cs_utf8_or_null(folder->remote_id), folder->remote_id == NULL);
	execute("UPDATE cloudsync.channel_folder SET state = 'ok', last_error = NULL, "
			"listed_at = clock_timestamp(), current_path = $3, remote_id = $4 WHERE " THIS_FOLDER,
			&args);
}

/* See listing.h. */
void
cs_folder_store_feed(CsCollect *c)
{
	Args args = {0};

	if (c->new_cursor == NULL)
		return;
	add_int64(&args, c->job.connection->connection_id, false);
	add(&args, TEXTOID, cs_text_from_utf8(c->new_cursor), false);
	execute("INSERT INTO cloudsync.feed (connection_id, cursor) VALUES ($1, $2) "
			"ON CONFLICT DO NOTHING",
			&args);
}

/* See listing.h. */
void
cs_folder_store_cursor(CsCollect *c)
{
	CsFolder *folder = &c->folders[c->folder];
	Args args = {0};
	Args all = {0};
	ListCell *cell;
	CsColumn ancestors = {TEXTOID};
	const char *cursor = c->new_cursor;

	if (!c->job.connection->provider->incremental || (cursor == NULL && !IS_FED(c)))
		return;
	if (IS_FED(c))
	{
		cs_folder_store_feed(c);
		cursor = NULL;
	}
	foreach (cell, folder->ancestors)
		cs_column_add(&ancestors, cs_text_from_utf8(lfirst(cell)), false);
	add_this_folder(&args, c);
	add(&args, INT4OID, Int32GetDatum(c->epoch), false);
	add_int64(&args, cs_collect_limit(c), false);
	add(&args, TEXTOID, cs_utf8_or_null(cursor), cursor == NULL);
	add_columns(&args, &ancestors, 1);
	execute("UPDATE cloudsync.channel_folder SET listed_epoch = $3, listed_limit = $4, cursor = $5, "
			"ancestors = $6, look = false WHERE " THIS_FOLDER,
			&args);
	add_this_folder(&all, c);
	execute("UPDATE cloudsync.item SET unlisted = false WHERE " THIS_FOLDER " AND unlisted", &all);
	folder->following = true;
}

/* See listing.h. */
void
cs_folder_forget_cursor(CsCollect *c)
{
	Args args = {0};

	add_this_folder(&args, c);
	execute("UPDATE cloudsync.channel_folder SET listed_epoch = NULL, cursor = NULL WHERE " THIS_FOLDER, &args);
	c->folders[c->folder].following = false;
}

/* See listing.h. The other folders still are listed. */
void
cs_folder_failed(CsCollect *c, const CsFailure *failure)
{
	CsFolder *folder = &c->folders[c->folder];
	bool gone = failure->failure_class == CS_FAIL_GONE;
	Args args = {0};
	char *text = cs_failure_text(failure);

	if (cs_failure_is_connections(failure->failure_class))
		cs_collect_connection_failed(c, failure);
	cs_begin("storing a listing");
	add_this_folder(&args, c);
	add_text(&args, gone ? "gone" : "failed");
	add(&args, TEXTOID, cs_text_from_utf8(text), false);
	execute("UPDATE cloudsync.channel_folder SET state = $3, last_error = $4 WHERE " THIS_FOLDER,
			&args);
	/* by its id, which names nothing else: so what was in it is gone, too */
	if (gone && c->job.connection->provider->stable_ids && folder->remote_id != NULL && folder->current != NULL)
	{
		cs_folder_forget_cursor(c);
		cs_tree_gone_below(c, folder->current);
	}
	cs_commit();
	cs_collect_note_error(c, text);
	c->folders_failed++;
	cs_seen_end(c);
	pfree(text);
}
