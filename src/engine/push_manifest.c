/*
 * push_manifest.c
 *	  manifest.json beside a dossier's files: each file that is there, with size
 *	  and SHA-256 (P13). Sent last, from what was settled, and only if it differs
 *	  from the one that is there.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "cloudsync/db.h"
#include "cloudsync/hash.h"
#include "cloudsync/path.h"
#include "cloudsync/push.h"

/* The text, in a transaction; keys and files in a fixed order. */
static char *
make_text(CsPushJob *push)
{
	Oid types[4] = {INT8OID, INT4OID, TEXTOID, TEXTOID};
	Datum values[4];

	values[0] = Int64GetDatum(push->setting->destination_id);
	values[1] = Int32GetDatum(push->dossiers_id);
	values[2] = CStringGetTextDatum(push->dossier);
	values[3] = CStringGetTextDatum(push->plan->folder);
	cs_execute(
		"SELECT pg_catalog.jsonb_pretty(pg_catalog.jsonb_build_object('dossier', $3, "
		"'folder', $4, 'files', COALESCE(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object("
		"'key', f.file_key, 'path', CASE WHEN pg_catalog.starts_with(f.path, $4 OPERATOR(pg_catalog.||) '/') "
		"THEN pg_catalog.substr(f.path, pg_catalog.length($4) OPERATOR(pg_catalog.+) 2) ELSE f.path END, "
		"'size', f.size, 'sha256', pg_catalog.encode(f.sha256, 'hex')) "
		"ORDER BY f.path, f.source_id, f.file_key), '[]'))) OPERATOR(pg_catalog.||) E'\\n' "
		"FROM cloudsync.pushed_file f WHERE f.destination_id OPERATOR(pg_catalog.=) $1 "
		"AND f.dossiers_id OPERATOR(pg_catalog.=) $2 AND f.dossier OPERATOR(pg_catalog.=) $3 "
		"AND f.source_id OPERATOR(pg_catalog.<>) 0 AND f.sha256 IS NOT NULL "
		"AND f.state IN ('synced', 'failed', 'sending') AND f.remote_version IS NOT NULL",
		4, types, values, NULL, true);
	return MemoryContextStrdup(push->job.context, cs_get_text(0, 1));
}

static bool
is_as_pushed(const CsRecord *record, const char *text, bool by_hand)
{
	uint8 sha256[CS_SHA256_LENGTH];

	if (record == NULL || !record->has_sha256)
		return false;
	cs_sha256(text, strlen(text), sha256);
	if (memcmp(sha256, record->sha256, CS_SHA256_LENGTH) != 0)
		return false;
	if (strcmp(record->state, "removed_there") == 0)
		return !by_hand;
	return strcmp(record->state, "synced") == 0;
}

/* See push.h. */
bool
cs_push_manifest(CsPushJob *push)
{
	CsRecord *record = push->plan->manifest;
	CsPlanFile *plan;
	CsPushFile *file;
	char *text;
	char *path;
	bool there;
	MemoryContext old;

	if (!push->setting->manifest || !push->plan->present)
		return false;
	cs_begin("writing a manifest");
	text = make_text(push);
	cs_commit();
	if (is_as_pushed(record, text, push->by_hand))
		return false;
	there = record != NULL && record->path != NULL && record->remote_version != NULL;
	old = MemoryContextSwitchTo(push->job.context);
	path = cs_path_join(push->plan->folder, CS_MANIFEST_NAME);
	/* its record may have moved with the folder; one beside a stranger's keeps its name */
	if (there && record->wanted != NULL && strcmp(cs_path_name(record->path), CS_MANIFEST_NAME) != 0)
		path = cs_path_join(push->plan->folder, cs_path_name(record->path));
	plan = palloc0(sizeof(CsPlanFile));
	plan->record = record;
	plan->source_id = CS_MANIFEST_SOURCE;
	plan->file_key = pstrdup("");
	plan->action = there ? CS_ACTION_UPDATE : CS_ACTION_CREATE;
	plan->path = path;
	plan->wanted = pstrdup(CS_MANIFEST_NAME);
	plan->size = (int64) strlen(text);
	file = palloc0(sizeof(CsPushFile));
	file->plan = plan;
	file->path = path;
	file->known = there;
	file->size = plan->size;
	file->bytes = text;
	push->files = lappend(push->files, file);
	push->queue = lappend(push->queue, file);
	MemoryContextSwitchTo(old);
	cs_begin("writing down an intent");
	cs_push_write_intent(push, file);
	cs_commit();
	return true;
}
