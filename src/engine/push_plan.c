/*
 * push_plan.c
 *	  Planning a job: at its claim, and anew when a look at the remote has shown
 *	  that something is not where it was recorded.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "cloudsync/db.h"
#include "cloudsync/path.h"
#include "cloudsync/push.h"

/* Is there anything to be done about it at the remote? */
static bool
has_work(const CsPlanFile *file)
{
	return file->action == CS_ACTION_CREATE || file->action == CS_ACTION_UPDATE ||
		   file->action == CS_ACTION_MOVE || file->action == CS_ACTION_TRASH;
}

static CsPushFile *
make_file(CsPushJob *push, CsPlanFile *plan)
{
	CsPushFile *file = palloc0(sizeof(CsPushFile));
	CsRecord *record = plan->record;

	file->plan = plan;
	file->path = plan->path;
	if (record != NULL && record->path != NULL && plan->action != CS_ACTION_CREATE)
		file->now_at = record->path;
	file->known = plan->action == CS_ACTION_UPDATE || plan->action == CS_ACTION_MOVE ||
				  plan->action == CS_ACTION_TRASH;
	file->size = plan->size;
	return file;
}

/*
 * What was removed there has changed since the claim, after the look: whether it
 * has come back meanwhile nobody has asked. The change has the next push coming.
 */
static void
leave_to_next(CsPushJob *push, CsPlanFile *plan)
{
	const CsRecord *record = plan->record;

	if (!push->looked || plan->action != CS_ACTION_CREATE || record == NULL ||
		record->remote_id == NULL || strcmp(record->state, "removed_there") != 0 ||
		!cs_push_goes_by_ids(push) || cs_push_was_looked_for(push, record->remote_id))
		return;
	plan->action = CS_ACTION_SKIP;
	plan->path = NULL;
}

/*
 * In a transaction, in the job's context. The snapshot is taken here, after the
 * generation was: what the generation stands for is seen.
 */
void
cs_push_make_plan(CsPushJob *push, TimestampTz now)
{
	ListCell *cell;
	int64 trash_left;

	PushActiveSnapshot(GetTransactionSnapshot());
	push->setting = cs_push_setting_read(push->job.connection->connection_id);
	if (push->setting == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the connection has no push settings any more")));
	trash_left = cs_trash_left(push->job.connection->connection_id, now);
	push->plan = cs_plan_dossier(push->setting, push->dossiers_id, push->dossier,
								 push->by_hand, NULL, &trash_left);
	PopActiveSnapshot();
	push->files = NIL;
	push->skipped = 0;
	push->job.bytes_total = 0;
	foreach (cell, push->plan->files)
	{
		CsPlanFile *plan = lfirst(cell);

		leave_to_next(push, plan);
		if (plan->action == CS_ACTION_SKIP && plan->row != NULL)
			push->skipped++;
		if (plan->action == CS_ACTION_CREATE || plan->action == CS_ACTION_UPDATE)
			push->job.bytes_total += Max(plan->size, 0);
		/* others too, for a folder that moves by its files */
		if (has_work(plan) || plan->path != NULL)
			push->files = lappend(push->files, make_file(push, plan));
	}
	cs_push_write_intents(push);
}
