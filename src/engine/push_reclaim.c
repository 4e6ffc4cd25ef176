/*
 * push_reclaim.c
 *	  What attempts left that were cut off before they could say what came of
 *	  them, where this push would not meet it by itself: bytes under a temporary
 *	  name or in an upload session, and files that became visible under a name
 *	  that is not theirs any more (P7: one copy of each).
 */
#include "postgres.h"

#include "cloudsync/path.h"
#include "cloudsync/push.h"

/* Where the attempt wrote; the folder may have moved since, in this push. */
static char *
intent_folder(CsPushJob *push, const CsRecord *record)
{
	char *folder = cs_path_parent(record->intent_path);
	const char *below = push->moved_from ? cs_path_below(folder, push->moved_from) : NULL;

	return below != NULL ? cs_path_join(push->plan->folder, below) : folder;
}

/* Is it sent in this push, into the folder where it was cut off? */
static bool
is_written_over(CsPushJob *push, const CsRecord *record, const char *folder)
{
	ListCell *cell;

	foreach (cell, push->files)
	{
		CsPushFile *file = lfirst(cell);

		if (file->plan->record == record)
			return (file->plan->action == CS_ACTION_CREATE ||
					file->plan->action == CS_ACTION_UPDATE) &&
				   strcmp(cs_path_parent(file->path), folder) == 0;
	}
	return false;
}

static CsOp *
discard_op(const CsPushJob *push, const CsRecord *record, const char *folder)
{
	CsOp *op = palloc0(sizeof(CsOp));

	op->kind = CS_OP_DISCARD;
	op->path = cs_path_join(folder, record->intent_temp);
	op->to_path = cs_path_join(folder, cs_path_name(record->intent_path));
	op->session = cs_session_open(push, record, NULL, NULL);
	return op;
}

/* See push.h. */
List *
cs_push_leftovers(CsPushJob *push)
{
	CsPlan *plan = push->plan;
	List *ops = NIL;
	ListCell *cell;

	foreach (cell, plan->files)
	{
		CsRecord *record = ((CsPlanFile *) lfirst(cell))->record;
		char *folder;

		if (record == NULL || record->intent_temp == NULL || record->intent_path == NULL)
			continue;
		folder = intent_folder(push, record);
		if (!is_written_over(push, record, folder))
			ops = lappend(ops, discard_op(push, record, folder));
	}
	return ops;
}

/*
 * Never recorded, though it may have become visible: to the name it has now, or
 * to the trash if it is gone from the database. NULL: nothing of the kind.
 */
static CsOp *
reclaim_op(CsPushJob *push, const CsPlanFile *plan, const char *path)
{
	const CsRecord *record = plan->record;
	CsOp *op;
	char *was;

	if (record == NULL || record->path != NULL || record->intent_path == NULL ||
		!record->has_intent_sha256)
		return NULL;
	was = cs_path_join(intent_folder(push, record), cs_path_name(record->intent_path));
	if (path != NULL ? strcmp(was, path) == 0 : !push->setting->trash)
		return NULL;
	op = palloc0(sizeof(CsOp));
	op->kind = path != NULL ? CS_OP_MOVE : CS_OP_TRASH;
	op->path = was;
	op->to_path = path != NULL ? path : cs_push_trash_path(push, was);
	op->session = cs_session_open(push, record, NULL, NULL);
	op->has_intended = true;
	op->intended_size = record->intent_size;
	memcpy(op->intended_sha256, record->intent_sha256, CS_SHA256_LENGTH);
	op->intended_checksum = record->intent_checksum;
	return op;
}

/* See push.h. */
List *
cs_push_reclaims(CsPushJob *push)
{
	List *ops = NIL;
	ListCell *cell;

	foreach (cell, push->plan->files)
	{
		const CsPlanFile *plan = lfirst(cell);
		CsOp *op;

		if (plan->untracked)
			continue;
		op = reclaim_op(push, plan, plan->row != NULL ? plan->path : NULL);
		if (op != NULL)
			ops = lappend(ops, op);
	}
	return ops;
}
