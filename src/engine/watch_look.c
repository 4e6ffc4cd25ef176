/*
 * watch_look.c
 *	  Which folders are watched (watch.c): those of live connections that were
 *	  asked to, whose channels collect by themselves and have a cursor, as many as
 *	  cloudsync.max_watches allows. Read again whenever something may have changed,
 *	  and compared with what is being watched; what goes on as before is left alone.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/memutils.h"

#include "cloudsync/collect.h"
#include "cloudsync/db.h"
#include "cloudsync/settings.h"
#include "watching.h"

/* sql/status.sql says which are more than there may be, by the same rules. */
#define WATCHED                                                                \
	"FROM cloudsync.connection c "                                             \
	"JOIN cloudsync.channel h ON h.connection_id OPERATOR(pg_catalog.=) c.connection_id " \
	"JOIN cloudsync.channel_folder f ON f.channel_id OPERATOR(pg_catalog.=) h.channel_id " \
	"WHERE (c.options OPERATOR(pg_catalog.->>) 'longpoll') OPERATOR(pg_catalog.=) 'true' " \
	"AND c.state OPERATOR(pg_catalog.=) 'active' AND cloudsync.provider_watches(c.provider) " \
	"AND h.deleted_at IS NULL AND h.auto_collect AND f.cursor IS NOT NULL "

/* A row of what is to be watched. */
typedef struct Row
{
	int64 connection_id;
	int revision;
	int64 channel_id;
	int32 folder_no;
	int32 epoch;
	char *path;
	char *cursor;
	bool busy;
	int64 last_run;
	bool found; /* which brought something */
	CsWatchPlace *place;
} Row;

/* See watch.h. */
bool
cs_watch_wanted(void)
{
	bool wanted;

	if (cs_max_watches == 0)
		return false;
	cs_begin("looking for folders to watch");
	wanted = cs_execute_first("SELECT " WATCHED "LIMIT 1", 0, NULL, NULL, NULL, true) > 0;
	cs_commit();
	return wanted;
}

/* See watch.h. */
bool
cs_watch_asked(const CsConnection *connection)
{
	if (!connection->provider->watches)
		return false;
	for (const CsOption *option = connection->options; option->key != NULL; option++)
		if (strcmp(option->key, "longpoll") == 0)
			return strcmp(option->value, "true") == 0;
	return false;
}

static Row *
read_rows(CsWatcher *watcher, int *n)
{
	Oid types[1] = {INT4OID};
	Datum values[1] = {Int32GetDatum(cs_max_watches)};
	MemoryContext old;
	Row *rows;

	cs_begin("looking for folders to watch");
	*n = (int) cs_execute("SELECT c.connection_id, c.revision, h.channel_id, f.folder_no, h.listing_epoch, "
						  "COALESCE(f.current_path, f.path), f.cursor, "
						  "EXISTS (SELECT FROM cloudsync.run r "
						  "WHERE r.connection_id OPERATOR(pg_catalog.=) c.connection_id "
						  "AND r.channel_id OPERATOR(pg_catalog.=) h.channel_id "
						  "AND r.state IN ('queued', 'running')), h.last_run_id, "
						  "(SELECT r.files_done OPERATOR(pg_catalog.>) 0 FROM cloudsync.run r "
						  "WHERE r.run_id OPERATOR(pg_catalog.=) h.last_run_id) " WATCHED
						  "ORDER BY c.connection_id, h.channel_id, f.folder_no LIMIT $1",
						  1, types, values, NULL, true);
	old = MemoryContextSwitchTo(watcher->turn);
	rows = palloc0(sizeof(Row) * Max(*n, 1));
	for (int i = 0; i < *n; i++)
	{
		rows[i].connection_id = cs_get_int64(i, 1, 0);
		rows[i].revision = (int) cs_get_int64(i, 2, 0);
		rows[i].channel_id = cs_get_int64(i, 3, 0);
		rows[i].folder_no = (int32) cs_get_int64(i, 4, 0);
		rows[i].epoch = (int32) cs_get_int64(i, 5, 0);
		rows[i].path = cs_get_utf8(i, 6);
		rows[i].cursor = cs_get_utf8(i, 7);
		rows[i].busy = cs_get_bool(i, 8, false);
		rows[i].last_run = cs_get_int64(i, 9, 0);
		rows[i].found = cs_get_bool(i, 10, false);
	}
	MemoryContextSwitchTo(old);
	cs_commit();
	return rows;
}

/* ---- connections ---- */

static void
close_place(CsWatchPlace *place)
{
	if (place->endpoint != NULL)
		cs_endpoint_close(place->endpoint);
	cs_connection_close(place->connection);
	pfree(place);
}

/* The one of that connection as it is now; NULL: it is gone. */
static CsWatchPlace *
find_place(CsWatcher *watcher, const Row *row)
{
	CsWatchPlace *place;
	CsConnection *connection;
	ListCell *cell;
	MemoryContext old;

	foreach (cell, watcher->places)
	{
		place = lfirst(cell);
		if (place->connection->connection_id == row->connection_id &&
			place->connection->revision == row->revision)
			return place;
	}
	connection = cs_connection_look(row->connection_id);
	if (connection == NULL || connection->revision != row->revision)
	{
		/* it changed a moment ago, of which the next look hears */
		if (connection != NULL)
			cs_connection_close(connection);
		return NULL;
	}
	old = MemoryContextSwitchTo(watcher->context);
	place = palloc0(sizeof(CsWatchPlace));
	place->connection = connection;
	watcher->places = lappend(watcher->places, place);
	MemoryContextSwitchTo(old);
	return place;
}

/* See watching.h. Nothing secret is opened: what is asked is asked by anybody. */
bool
cs_watch_open(CsWatchPlace *place, CsFailure *failure)
{
	CsConnection *connection = place->connection;
	CsHttpAccess access = {.purpose = connection->provider->name,
						   .hosts = connection->provider->hosts,
						   .auth = CS_AUTH_NONE,
						   .bytes_per_second = connection->bytes_per_second,
						   .requests_per_second = connection->requests_per_second};
	MemoryContext old;

	if (place->endpoint != NULL)
		return true;
	old = MemoryContextSwitchTo(connection->context);
	if (connection->service == NULL)
		connection->service = connection->provider->open(connection->options, failure);
	if (connection->service != NULL)
		place->endpoint = cs_endpoint_open_http(connection->service, &access, failure);
	MemoryContextSwitchTo(old);
	return place->endpoint != NULL;
}

/* ---- folders ---- */

static void
end_watch(CsWatch *watch)
{
	cs_watch_end_poll(watch);
	watch->place->folders--;
	pfree(watch->path);
	pfree(watch->cursor);
	pfree(watch);
}

static CsWatch *
begin_watch(CsWatcher *watcher, const Row *row)
{
	MemoryContext old = MemoryContextSwitchTo(watcher->context);
	CsWatch *watch = palloc0(sizeof(CsWatch));

	watch->place = row->place;
	watch->channel_id = row->channel_id;
	watch->folder_no = row->folder_no;
	watch->epoch = row->epoch;
	watch->path = pstrdup(row->path);
	watch->cursor = pstrdup(row->cursor);
	watch->busy = row->busy;
	watch->last_run = row->last_run;
	watch->wait_s = CS_WATCH_LONGEST_S;
	watch->place->folders++;
	MemoryContextSwitchTo(old);
	return watch;
}

/*
 * The cursor of a poll may be older than the newest, which the same changes lead
 * on from; it is left to be answered.
 */
static void
update_watch(CsWatcher *watcher, CsWatch *watch, const Row *row, TimestampTz now)
{
	if (strcmp(watch->cursor, row->cursor) != 0)
	{
		pfree(watch->cursor);
		watch->cursor = MemoryContextStrdup(watcher->context, row->cursor);
	}
	watch->busy = row->busy;
	if (watch->state == CS_WATCH_COLLECT && !row->busy)
		cs_watch_collected(watch, row->found && row->last_run != watch->last_run, now);
	watch->last_run = row->last_run;
}

static int
compare(const CsWatch *watch, const Row *row)
{
	int64 id = watch->place->connection->connection_id;

	if (id != row->connection_id)
		return id < row->connection_id ? -1 : 1;
	if (watch->channel_id != row->channel_id)
		return watch->channel_id < row->channel_id ? -1 : 1;
	if (watch->folder_no != row->folder_no)
		return watch->folder_no < row->folder_no ? -1 : 1;
	return 0;
}

/* The folders of a channel that lists something else by now are others. */
static bool
goes_on(const CsWatch *watch, const Row *row)
{
	return compare(watch, row) == 0 && watch->epoch == row->epoch &&
		   watch->place->connection->revision == row->revision;
}

/* Before anything is changed, since it may raise errors. */
static void
find_places(CsWatcher *watcher, Row *rows, int n)
{
	for (int i = 0; i < n; i++)
		rows[i].place = i > 0 && rows[i].connection_id == rows[i - 1].connection_id
							? rows[i - 1].place
							: find_place(watcher, &rows[i]);
}

/* Those of whose folders none is watched (any more). */
static void
close_places(CsWatcher *watcher)
{
	for (int i = list_length(watcher->places) - 1; i >= 0; i--)
	{
		CsWatchPlace *place = list_nth(watcher->places, i);

		if (place->folders > 0)
			continue;
		watcher->places = list_delete_nth_cell(watcher->places, i);
		close_place(place);
	}
}

/* See watching.h. Both are in order. */
void
cs_watch_look(CsWatcher *watcher, TimestampTz now)
{
	int n;
	Row *rows = read_rows(watcher, &n);
	CsWatch **old = watcher->watches;
	CsWatch **watches;
	int n_old = watcher->n_watches;
	int at = 0;

	find_places(watcher, rows, n);
	watches = MemoryContextAlloc(watcher->context, sizeof(CsWatch *) * Max(n, 1));
	watcher->n_watches = 0;
	watcher->watches = watches;
	for (int i = 0; i < n; i++)
	{
		CsWatch *watch = NULL;

		while (at < n_old && compare(old[at], &rows[i]) < 0)
			end_watch(old[at++]);
		if (at < n_old && goes_on(old[at], &rows[i]))
		{
			watch = old[at++];
			update_watch(watcher, watch, &rows[i], now);
		}
		else if (rows[i].place != NULL)
			watch = begin_watch(watcher, &rows[i]);
		if (watch != NULL)
			watches[watcher->n_watches++] = watch;
	}
	while (at < n_old)
		end_watch(old[at++]);
	if (old != NULL)
		pfree(old);
	close_places(watcher);
}
