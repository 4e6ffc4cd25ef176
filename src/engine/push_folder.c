/*
 * push_folder.c
 *	  Folders that a push makes, and what it looks for by ids. Where a service
 *	  gives ids beforehand, the id of a folder is written down before the folder
 *	  is made, so that a crash in between leaves no second one. Where a service
 *	  goes by ids for good (stable_ids), what its customer renamed or moved is
 *	  found by asking for the id, without listing the account.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "cloudsync/path.h"
#include "push_args.h"

/* See push.h. */
bool
cs_push_goes_by_ids(const CsPushJob *push)
{
	return push->setting->provider->stable_ids;
}

/*
 * See push.h. Asked for by its id (id: of what was found, NULL: nothing), the
 * root is where it was, elsewhere, or gone: then what stands at its path counts.
 */
void
cs_push_root_found(CsPushJob *push, const char *id)
{
	const CsEntry *entry = &push->single->result.entry;

	if (id == NULL || strcmp(id, push->setting->root_id) != 0 ||
		strcmp(entry->path, push->setting->root_path) == 0)
		return;
	push->root_found = MemoryContextStrdup(push->job.context, entry->path);
	push->step = CS_PUSH_FIND_ROOT;
}

/* See push.h. One folder of a dossier at a time is being made. */
void
cs_push_folder_checkpoint(CsPushJob *push)
{
	const char *session = push->single->result.session;
	Args args = {0};

	if (session == NULL)
		return;
	push->plan->folder_session = MemoryContextStrdup(push->job.context, session);
	cs_begin("recording a folder that is about to be made");
	add_dossier(&args, push);
	add_text(&args, session);
	execute("UPDATE cloudsync.pushed_dossier SET intent_session = $4 WHERE " THIS_DOSSIER,
			&args);
	cs_commit();
}

/* See push.h. Nothing is in it, so nothing stands where files are to be made. */
void
cs_push_folder_made(CsPushJob *push, TimestampTz now)
{
	if (!push->single->result.made || !push->setting->provider->look_before ||
		push->standing != NULL)
		return;
	cs_push_survey_begin(push);
	push->surveying = false;
	push->surveyed_at = now;
}

/* See push.h. */
const char *
cs_push_id_of_listed(const CsPushJob *push)
{
	const CsLook *look = linitial(push->looks);

	if (!cs_push_goes_by_ids(push) || look->record != NULL ||
		(strcmp(push->listed, look->path) != 0 &&
		 (look->found_path == NULL || strcmp(push->listed, look->found_path) != 0)))
		return NULL;
	return look->id;
}

/* Is it not where it was recorded, and not asked for yet? */
static bool
is_to_be_asked_for(const CsPushJob *push, const CsLook *look)
{
	if (look->id == NULL || look->asked || look->at_path ||
		look->found_path != NULL || (look->removed && !look->sent_anew))
		return false;
	return look->record != NULL || !push->folder_there;
}

/* See push.h. */
bool
cs_push_find_next(CsPushJob *push, CsOp *op)
{
	ListCell *cell;

	foreach (cell, push->looks)
	{
		CsLook *look = lfirst(cell);

		if (!is_to_be_asked_for(push, look))
			continue;
		look->asked = true;
		push->asked = look;
		op->kind = CS_OP_STAT;
		op->path = look->path;
		op->id = look->id;
		return true;
	}
	push->asked = NULL;
	return false;
}

static char *
keep(const CsPushJob *push, const char *text)
{
	return text != NULL ? MemoryContextStrdup(push->job.context, text) : NULL;
}

/* See push.h. */
void
cs_push_found(CsPushJob *push)
{
	const CsTransfer *single = push->single;
	CsLook *look = push->asked;

	if (single->state == CS_TRANSFER_DONE)
	{
		look->found_path = keep(push, single->result.entry.path);
		cs_push_look_noted(push, look, &single->result.entry);
	}
	else if (single->result.failure.failure_class != CS_FAIL_GONE)
		push->incomplete = true;
}

/*
 * See push.h. The dossier's folder was asked for by its id: elsewhere, it is
 * listed there.
 */
bool
cs_push_folder_found(CsPushJob *push)
{
	const CsEntry *entry = &push->single->result.entry;
	CsLook *look = linitial(push->looks);

	look->asked = true;
	if (strcmp(entry->path, push->plan->from_folder) == 0)
		return true;
	look->found_path = keep(push, entry->path);
	push->look_in = list_make1(keep(push, entry->path));
	return false;
}

/* See push.h. */
void
cs_push_folder_is_at(CsPushJob *push, bool moved, TimestampTz now)
{
	const char *id = push->single->result.entry.id;
	char *was = push->plan->from_folder;

	if (moved)
		cs_push_folder_moved(push, id);
	else
		push->plan->folder_id = id ? pstrdup(id) : NULL;
	push->folder_there = true;
	cs_begin("recording a folder");
	if (moved)
		cs_push_record_below(push, was, push->plan->folder);
	cs_push_record_folder(push, push->plan->folder, id);
	cs_commit();
	cs_push_settle_files(push, now);
}
