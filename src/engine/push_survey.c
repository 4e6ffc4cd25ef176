/*
 * push_survey.c
 *	  What stands in a dossier's folder before many files are made in it. Where a
 *	  service cannot be asked to make a file only if there is none, each would
 *	  cost a look of its own; one listing answers for all, for a while (P8): that
 *	  of the look (push_look.c), where it was of the same folder, or one more.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "cloudsync/path.h"
#include "push_args.h"

#define FEWEST_FILES 2
#define FEWEST_AGAIN 8
#define FRESH_MS 5000 /* so long what was not there counts as not there */

typedef struct StandingKey
{
	const char *key;
} StandingKey;

static int
count_new(const CsPushJob *push)
{
	int n = 0;
	ListCell *cell;

	foreach (cell, push->files)
	{
		const CsPushFile *file = lfirst(cell);

		if (file->plan->action == CS_ACTION_CREATE && file->state == CS_FILE_WAITING)
			n++;
	}
	return n;
}

static bool
is_surveyed(const CsPushJob *push)
{
	return push->standing != NULL && push->surveyed_at != DT_NOEND &&
		   !TimestampDifferenceExceeds(push->surveyed_at, GetCurrentTimestamp(), FRESH_MS);
}

/* See push.h. */
bool
cs_push_wants_survey(CsPushJob *push, const char *folder)
{
	const char *goes_to = push->plan->folder;

	return push->setting->provider->look_before && goes_to != NULL &&
		   strcmp(folder != NULL ? folder : goes_to, goes_to) == 0 &&
		   !(is_surveyed(push) && strcmp(push->surveyed, goes_to) == 0) &&
		   count_new(push) >= FEWEST_FILES;
}

/* See push.h. */
void
cs_push_survey_begin(CsPushJob *push)
{
	push->surveying = true;
	if (push->standing != NULL)
		hash_destroy(push->standing);
	push->surveyed = pstrdup(push->plan->folder);
	push->standing = cs_text_table("cloudsync folder as it stands", sizeof(StandingKey),
										push->job.context);
	push->surveyed_at = DT_NOEND;
}

/* See push.h. */
void
cs_push_survey_page(CsPushJob *push)
{
	const CsResult *page = &push->single->result;
	MemoryContext old = MemoryContextSwitchTo(push->job.context);

	for (int i = 0; i < page->n_entries; i++)
	{
		const char *key = key_of(push, page->entries[i].path);

		(void) hash_search(push->standing, &key, HASH_ENTER, NULL);
	}
	MemoryContextSwitchTo(old);
}

/* See push.h. A folder that is not there holds nothing. */
void
cs_push_survey_end(CsPushJob *push, TimestampTz now)
{
	const CsTransfer *single = push->single;

	push->surveying = false;
	if (single->state == CS_TRANSFER_DONE
			? !single->result.incomplete
			: single->result.failure.failure_class == CS_FAIL_GONE)
		push->surveyed_at = now;
}

/*
 * See push.h. A long push looks again now and then, rather than at each file
 * that is left. The listing was of use before, or this one would not be either.
 */
bool
cs_push_survey_is_stale(const CsPushJob *push)
{
	const CsPushFile *next;

	if (push->standing == NULL || push->surveyed_at == DT_NOEND || is_surveyed(push) ||
		!push->setting->provider->look_before ||
		list_length(push->queue) - push->queue_next < FEWEST_AGAIN)
		return false;
	next = list_nth(push->queue, push->queue_next);
	return next->plan->action == CS_ACTION_CREATE && next->tries == 0;
}

/* See push.h. */
bool
cs_push_is_fresh(CsPushJob *push, const CsPushFile *file)
{
	const char *key;
	bool found;

	/* the first attempt is counted when it begins */
	if (!is_surveyed(push) || file->tries > 1 || file->marked ||
		file->plan->action != CS_ACTION_CREATE ||
		cs_path_below(file->path, push->surveyed) == NULL)
		return false;
	key = key_of(push, file->path);
	(void) hash_search(push->standing, &key, HASH_FIND, &found);
	return !found;
}
