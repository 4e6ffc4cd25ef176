/*
 * push_job.c
 *	  A push from step to step (CsPushStep): looks at what is at the remote,
 *	  moves, deletes, sends, and settles. Nothing here waits: each step starts
 *	  transfers and is taken up again when one of them has stopped.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "cloudsync/crash.h"
#include "cloudsync/db.h"
#include "cloudsync/path.h"
#include "cloudsync/push.h"

/* See push.h. */
void
cs_push_start_single(CsPushJob *push, const CsOp *op)
{
	CsConnection *connection = push->job.connection;
	MemoryContext old;

	push->single_context = AllocSetContextCreate(push->job.context, "cloudsync step",
												 ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(push->single_context);
	push->single = cs_transfer_start(connection->loop, connection->provider,
									 push->endpoint, op, NULL, push);
	MemoryContextSwitchTo(old);
	connection->transfers++;
}

static void
stop_single(CsPushJob *push)
{
	if (push->single == NULL)
		return;
	push->requests += push->single->requests;
	cs_transfer_free(push->single);
	MemoryContextDelete(push->single_context);
	push->single = NULL;
	push->single_context = NULL;
	push->job.connection->transfers--;
}

static void
start_path(CsPushJob *push, CsOpKind kind, const char *path, bool recursive)
{
	CsOp op = {0};

	op.kind = kind;
	op.path = path;
	op.recursive = recursive;
	op.session = kind == CS_OP_MKDIR ? push->plan->folder_session : NULL;
	op.fresh_folder = push->step == CS_PUSH_MAKE_FOLDER && !push->plan->recorded;
	cs_push_start_single(push, &op);
}

/* A move or deletion of what is ours. */
static void
start_move(CsPushJob *push, CsOpKind kind, CsPushFile *file, const char *to_path)
{
	const CsRecord *record = file->plan->record;
	CsOp op = {0};

	op.kind = kind;
	op.path = file->now_at;
	op.to_path = to_path;
	op.id = record->remote_id;
	op.known_version = record->remote_version;
	op.has_intended = record->has_sha256;
	op.intended_size = record->size;
	memcpy(op.intended_sha256, record->sha256, CS_SHA256_LENGTH);
	op.intended_checksum = record->checksum;
	push->moving = file;
	cs_push_start_single(push, &op);
}

static void
start_folder_move(CsPushJob *push)
{
	CsOp op = {0};

	op.kind = CS_OP_MOVE;
	op.path = push->plan->from_folder;
	op.to_path = push->plan->folder;
	op.id = push->plan->folder_id;
	cs_push_start_single(push, &op);
}

/* The steps that look. True: something was started. */
static bool
start_look(CsPushJob *push, TimestampTz now)
{
	const char *folder;
	CsOp op = {.kind = CS_OP_STAT};
	bool by_ids = cs_push_goes_by_ids(push);

	switch (push->step)
	{
		case CS_PUSH_ROOT:
			if (push->setting->root_id == NULL)
				return false;
			push->job.phase = "look";
			op.path = push->setting->root_path;
			op.id = by_ids ? push->setting->root_id : NULL;
			cs_push_start_single(push, &op);
			return true;
		case CS_PUSH_FIND_ROOT:
			if (push->root_found != NULL)
			{
				cs_push_root_looked_for(push, NULL, now);
				return false;
			}
			if (by_ids)
				start_path(push, CS_OP_STAT, push->setting->root_path, false);
			else
				start_path(push, CS_OP_LIST, "/", true);
			return true;
		case CS_PUSH_FOLDER:
			cs_push_look_prepare(push);
			push->folder_there = false;
			if (list_length(push->looks) == 0 || !push->plan->recorded ||
				(list_length(push->looks) == 1 && push->plan->folder_id == NULL))
			{
				push->looks = NIL;
				return false;
			}
			if (push->plan->folder_id == NULL)
				return false; /* whether it is there, its listing tells */
			op.path = push->plan->from_folder;
			op.id = by_ids ? push->plan->folder_id : NULL;
			cs_push_start_single(push, &op);
			return true;
		case CS_PUSH_LIST:
			if (push->looks == NIL || (push->plan->folder_id != NULL && !push->folder_there &&
									   ((CsLook *) linitial(push->looks))->found_path == NULL))
				return false;
			folder = cs_push_look_next(push);
			if (folder == NULL)
				return false;
			push->job.phase = "look";
			if (cs_push_wants_survey(push, folder))
				cs_push_survey_begin(push);
			op.kind = CS_OP_LIST;
			op.path = folder;
			op.recursive = true;
			op.id = cs_push_id_of_listed(push);
			cs_push_start_single(push, &op);
			return true;
		default: /* CS_PUSH_FIND */
			if (push->looks == NIL)
				return false;
			push->located = push->located || cs_push_look_missing(push, false);
			if (by_ids && cs_push_find_next(push, &op))
			{
				cs_push_start_single(push, &op);
				return true;
			}
			if (!by_ids && cs_push_look_missing(push, true))
			{
				start_path(push, CS_OP_LIST, "/", true);
				return true;
			}
			cs_push_look_apply(push, now);
			return false;
	}
}

static void
start_survey(CsPushJob *push)
{
	cs_push_survey_begin(push);
	start_path(push, CS_OP_LIST, push->plan->folder, true);
}

/* The steps that change something. True: something was started. */
static bool
start_change(CsPushJob *push, TimestampTz now)
{
	CsPushFile *file;
	const char *folder;
	const char *target;

	switch (push->step)
	{
		case CS_PUSH_MAKE_PARENT:
			if (!cs_push_folder_moves(push))
				return false;
			start_path(push, CS_OP_MKDIR, cs_path_parent(push->plan->folder), false);
			return true;
		case CS_PUSH_MOVE_FOLDER:
			if (!cs_push_folder_moves(push))
				return false;
			push->job.phase = "move";
			start_folder_move(push);
			return true;
		case CS_PUSH_MAKE_FOLDER:
			if (!cs_push_needs_folder(push) &&
				(!push->plan->present || strcmp(push->plan->from_folder ? push->plan->from_folder : push->plan->folder,
												push->plan->folder) == 0))
				return false;
			start_path(push, CS_OP_MKDIR, push->plan->folder, false);
			return true;
		case CS_PUSH_DISCARD:
		case CS_PUSH_RECLAIM:
			if (push->discards == NIL)
				return false;
			cs_push_start_single(push, linitial(push->discards));
			return true;
		case CS_PUSH_TRASH:
			file = cs_push_next_trash(push);
			if (file == NULL)
				return false;
			push->job.phase = "trash";
			start_move(push, CS_OP_TRASH, file, cs_push_trash_path(push, file->now_at));
			return true;
		case CS_PUSH_SUBFOLDERS:
			if (push->subfolders == NIL)
				return false;
			start_path(push, CS_OP_MKDIR, linitial(push->subfolders), false);
			return true;
		case CS_PUSH_SURVEY:
			if (!cs_push_wants_survey(push, NULL))
				return false;
			start_survey(push);
			return true;
		case CS_PUSH_CONFIRM:
		case CS_PUSH_CONFIRM_MANIFEST:
			folder = cs_push_next_confirmation(push);
			if (folder == NULL)
				return false;
			push->job.phase = "verify";
			start_path(push, CS_OP_LIST, folder, false);
			return true;
		default: /* CS_PUSH_MOVES */
			file = cs_push_next_move(push);
			if (file == NULL)
				return false;
			push->job.phase = "move";
			target = push->detour ? push->detour : file->path;
			cs_push_before_move(push, file, target, now);
			start_move(push, CS_OP_MOVE, file, target);
			return true;
	}
}

/* A deleted dossier's folder goes too, if nobody else has put anything in it. */
static bool
start_folder_end(CsPushJob *push)
{
	CsOp op = {0};

	if (push->step == CS_PUSH_EMPTY_FOLDER)
	{
		if (!cs_push_all_trashed(push))
			return false;
		push->anything_left = false;
		start_path(push, CS_OP_LIST, push->plan->from_folder, true);
		return true;
	}
	if (push->anything_left || !cs_push_all_trashed(push) || push->plan->folder_id == NULL)
		return false;
	op.kind = CS_OP_TRASH;
	op.path = push->plan->from_folder;
	op.to_path = cs_push_trash_path(push, push->plan->from_folder);
	op.id = push->plan->folder_id;
	cs_push_start_single(push, &op);
	return true;
}

/* What a step that looks has seen. True: the next step is set. */
static bool
end_look(CsPushJob *push, TimestampTz now)
{
	bool found = push->single->state == CS_TRANSFER_DONE;
	const char *id = found && push->single->result.entry.id
						 ? pstrdup(push->single->result.entry.id)
						 : NULL;

	switch (push->step)
	{
		case CS_PUSH_ROOT:
			push->step = found && id != NULL && strcmp(id, push->setting->root_id) == 0
							 ? CS_PUSH_FOLDER
							 : CS_PUSH_FIND_ROOT;
			push->root_found = NULL;
			push->detour = (char *) id;
			if (cs_push_goes_by_ids(push))
				cs_push_root_found(push, id);
			return true;
		case CS_PUSH_FIND_ROOT:
			cs_push_root_looked_for(push, cs_push_goes_by_ids(push) ? id : push->detour, now);
			push->detour = NULL;
			return false;
		case CS_PUSH_FOLDER:
			push->folder_there =
				found && (push->plan->folder_id == NULL || id == NULL ||
						  strcmp(id, push->plan->folder_id) == 0);
			if (push->folder_there && cs_push_goes_by_ids(push))
				push->folder_there = cs_push_folder_found(push);
			if (!found && push->single->result.failure.failure_class != CS_FAIL_GONE)
				push->incomplete = true;
			return false;
		case CS_PUSH_LIST:
			if (push->surveying)
				cs_push_survey_end(push, now);
			cs_push_look_listed(push, found ? NULL : &push->single->result.failure,
								push->single->result.incomplete);
			return true;
		case CS_PUSH_FIND:
			if (push->asked != NULL)
			{
				cs_push_found(push);
				return true;
			}
			if (!found || push->single->result.incomplete)
				push->incomplete = true;
			cs_push_look_apply(push, now);
			return false;
		default:
			return false;
	}
}

/* What came of a step that changes. True: the step is set; a failure is final. */
static bool
end_change(CsPushJob *push, TimestampTz now, CsFailure *fatal)
{
	CsTransfer *single = push->single;
	bool done = single->state == CS_TRANSFER_DONE;

	switch (push->step)
	{
		case CS_PUSH_MOVE_FOLDER:
			CS_CRASH_POINT("push.after_folder_move");
			if (done)
				cs_push_folder_is_at(push, true, now);
			else if (single->result.failure.failure_class != CS_FAIL_CONFLICT &&
					 single->result.failure.failure_class != CS_FAIL_GONE)
				*fatal = single->result.failure;
			else
				push->folder_there = false; /* its files move one by one */
			return false;
		case CS_PUSH_MAKE_FOLDER:
			if (done)
			{
				cs_push_folder_made(push, now);
				cs_push_folder_is_at(push, false, now);
			}
			else
				*fatal = single->result.failure;
			return false;
		case CS_PUSH_DISCARD:
		case CS_PUSH_RECLAIM: /* what is not there, or not ours, is left */
			push->discards = list_delete_first(push->discards);
			return true;
		case CS_PUSH_TRASH:
			CS_CRASH_POINT("push.after_trash");
			cs_push_trashed(push, push->moving, single);
			return true;
		case CS_PUSH_SUBFOLDERS:
			push->subfolders = list_delete_first(push->subfolders);
			return true; /* a failure shows again with the files */
		case CS_PUSH_SURVEY:
		case CS_PUSH_SEND: /* once more, among what is on its way */
			if (push->surveying)
				cs_push_survey_end(push, now);
			else
				cs_push_confirm_beside_end(push);
			return push->step == CS_PUSH_SEND;
		case CS_PUSH_CONFIRM:
		case CS_PUSH_CONFIRM_MANIFEST:
			cs_push_confirm_end(push, now);
			return true;
		case CS_PUSH_MOVES:
			CS_CRASH_POINT("push.after_move");
			cs_push_moved(push, push->moving, single, now);
			return true;
		default:
			if (!done && push->step == CS_PUSH_MAKE_PARENT)
				*fatal = single->result.failure;
			return false;
	}
}

/* On to the next step, with what has to be known at its beginning. */
static void
next_step(CsPushJob *push, TimestampTz now)
{
	push->step++;
	switch (push->step)
	{
		case CS_PUSH_DISCARD:
			push->discards = cs_push_leftovers(push);
			break;
		case CS_PUSH_RECLAIM:
			push->discards = cs_push_reclaims(push);
			break;
		case CS_PUSH_SUBFOLDERS:
			cs_push_list_subfolders(push);
			break;
		case CS_PUSH_SEND:
			cs_push_fill_queue(push);
			break;
		case CS_PUSH_MANIFEST:
			cs_push_settle_files(push, now);
			if (!cs_push_manifest(push))
				push->step++;
			break;
		default:
			break;
	}
}

/* The single transfer has stopped: takes what came of it. False: wait. */
static bool
take_single(CsPushJob *push, TimestampTz now)
{
	CsFailure fatal = {0};
	bool stay;

	if (push->single->state == CS_TRANSFER_RUNNING)
		return false;
	if (push->single->state == CS_TRANSFER_CHECKPOINT)
	{
		cs_push_folder_checkpoint(push);
		CS_CRASH_POINT("push.after_folder_checkpoint");
		cs_transfer_continue(push->single);
		return false;
	}
	if (push->single->state == CS_TRANSFER_PAGE)
	{
		cs_push_take_page(push);
		cs_transfer_continue(push->single);
		return false;
	}
	if (push->single->state == CS_TRANSFER_FAILED &&
		cs_failure_is_connections(push->single->result.failure.failure_class))
		fatal = push->single->result.failure;
	else
	{
		stay = push->step <= CS_PUSH_FIND ? end_look(push, now) : end_change(push, now, &fatal);
		if (!stay && fatal.failure_class == CS_FAIL_NONE)
			next_step(push, now);
	}
	stop_single(push);
	if (fatal.failure_class != CS_FAIL_NONE)
	{
		cs_push_end(push, &fatal, now);
		return false;
	}
	return true;
}

/* Opens, looks, changes, sends: one step. False: wait, or the job has ended. */
static bool
take_step(CsPushJob *push, TimestampTz now)
{
	CsFailure failure = {0};
	bool started = false;

	switch (push->step)
	{
		case CS_PUSH_OPEN:
			push->endpoint = cs_connection_endpoint(push->job.connection, true, &failure);
			if (push->endpoint == NULL)
			{
				cs_push_end(push, &failure, now);
				return false;
			}
			break;
		case CS_PUSH_ROOT:
		case CS_PUSH_FIND_ROOT:
		case CS_PUSH_FOLDER:
		case CS_PUSH_LIST:
		case CS_PUSH_FIND:
			started = start_look(push, now);
			/* a root that need not be looked for */
			if (!started && push->step == CS_PUSH_ROOT)
			{
				push->step = CS_PUSH_FOLDER;
				return true;
			}
			break;
		case CS_PUSH_SEND:
			if (cs_push_survey_is_stale(push))
			{
				start_survey(push);
				return true;
			}
			/* FALLTHROUGH */
		case CS_PUSH_MANIFEST:
			if (!cs_push_send(push, now))
				return false;
			break;
		case CS_PUSH_EMPTY_FOLDER:
		case CS_PUSH_TRASH_FOLDER:
			started = start_folder_end(push);
			break;
		case CS_PUSH_END:
			cs_push_check_all_sent(push);
			cs_push_end(push, NULL, now);
			return false;
		default:
			started = start_change(push, now);
			break;
	}
	if (started)
		return true;
	next_step(push, now);
	return true;
}

static void
push_advance(CsJob *job, TimestampTz now)
{
	CsPushJob *push = (CsPushJob *) job;
	MemoryContext old = MemoryContextSwitchTo(job->context);

	job->wake_at = DT_NOEND;
	for (;;)
	{
		if (push->single != NULL)
		{
			if (take_single(push, now))
				continue;
			/* a listing beside them holds up nothing that is sent */
			if (push->sent_keys != NULL && push->step == CS_PUSH_SEND && !job->finished)
				(void) cs_push_send(push, now);
			break;
		}
		else if (!take_step(push, now))
			break;
	}
	MemoryContextSwitchTo(old);
}

/* How the run has ended, by what came of its files. */
static const char *
run_state(CsPushJob *push, const CsFailure *failure)
{
	if (failure == NULL && push->failed == 0)
		return "succeeded";
	return push->done > 0 || (failure == NULL && push->skipped > 0) ? "partial" : "failed";
}

/* See push.h. */
void
cs_push_end(CsPushJob *push, const CsFailure *failure, TimestampTz now)
{
	const char *state;
	const char *dossier_state;
	char *error = failure ? cs_failure_text(failure) : push->first_error;

	stop_single(push);
	cs_push_stop_all(push);
	cs_begin("settling a push");
	cs_push_settle_rest(push, now);
	state = run_state(push, failure);
	dossier_state = strcmp(state, "succeeded") == 0 ? "synced" : state;
	if (failure == NULL && push->folder_gone && push->done == 0)
		dossier_state = "removed_there";
	cs_push_settle_dossier(push, dossier_state, error, now);
	cs_push_settle_due(push, failure == NULL && push->failed == 0, error, now);
	cs_connection_note(push->job.connection,
					   failure && cs_failure_is_connections(failure->failure_class) ? failure : NULL,
					   now);
	cs_run_end(push->job.run_id, "push", state, error, now);
	cs_commit();
	push->job.finished = true;
}

static void
push_fail(CsJob *job, const ErrorData *error, TimestampTz now)
{
	CsPushJob *push = (CsPushJob *) job;
	MemoryContext old = MemoryContextSwitchTo(job->context);
	char *text = error ? cs_error_text(error) : NULL;

	job->finished = true;
	stop_single(push);
	cs_push_stop_all(push);
	cs_begin("settling a push");
	if (error == NULL)
	{
		cs_push_settle_dossier(push, "partial", NULL, now);
		cs_push_release_due(push, now);
	}
	else
		cs_push_settle_due(push, false, text, now);
	cs_run_end(job->run_id, "push", error ? "failed" : "cancelled", text, now);
	cs_commit();
	MemoryContextSwitchTo(old);
}

const CsJobMethods cs_push_methods = {"push", push_advance, push_fail, cs_push_measure};
