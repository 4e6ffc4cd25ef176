/*
 * identity.c
 *	  Which file is new, known, changed or a duplicate (include/cloudsync/identity.h).
 *
 * Where ids can come back for another file (local, WebDAV, S3), identity is path
 * and version: something else at a path that was gone is new, something else at
 * a path that never was gone is the same file changed in place. Where ids last,
 * the id alone decides.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/identity.h"

static const char *const state_names[] = {
	NULL,		"new",	   "collected", "duplicate",
	"excluded", "changed", "failed",	"gone"};

const char *
cs_item_state_name(CsItemState state)
{
	return state_names[state];
}

CsItemState
cs_item_state_by_name(const char *name)
{
	if (name != NULL)
	{
		for (int i = CS_ITEM_NEW; i <= CS_ITEM_GONE; i++)
		{
			if (strcmp(state_names[i], name) == 0)
				return (CsItemState) i;
		}
	}
	return CS_ITEM_NONE;
}

static bool
same_version(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/*
 * It differs from what was collected from it: with dedup by version that is a
 * further version to collect; otherwise it changed, which another size shows at
 * once and the same size only by the bytes.
 */
static CsVerdict
differs(const CsListed *listed, int64 collected_size)
{
	CsVerdict verdict = {CS_ITEM_CHANGED, false, false};

	if (listed->dedup == CS_DEDUP_VERSION)
		verdict.state = CS_ITEM_NEW;
	else if (collected_size < 0 || collected_size == listed->size)
	{
		verdict.state = listed->state == CS_ITEM_CHANGED ? CS_ITEM_CHANGED
														 : CS_ITEM_COLLECTED;
		verdict.verify = true;
	}
	return verdict;
}

/* See identity.h. */
CsVerdict
cs_identity_listed(const CsListed *listed)
{
	CsVerdict verdict = {listed->state, listed->verify, false};
	bool unchanged = same_version(listed->version, listed->item_version);
	bool was_collected = listed->state == CS_ITEM_COLLECTED ||
						 listed->state == CS_ITEM_CHANGED;

	if (listed->excluded || listed->pushed)
	{
		/* what was collected before the filter was set stays collected */
		if (!(unchanged && (was_collected ||
							listed->state == CS_ITEM_DUPLICATE)))
			verdict.state = CS_ITEM_EXCLUDED;
		verdict.verify = false;
		return verdict;
	}
	if (unchanged && (was_collected || listed->state == CS_ITEM_DUPLICATE))
		return verdict;
	verdict.verify = false;
	if (was_collected && listed->same_as_item)
	{
		verdict.state = CS_ITEM_COLLECTED;
		return verdict;
	}
	if (listed->recorded &&
		(listed->same_as_record ||
		 same_version(listed->version, listed->record_version)))
	{
		verdict.state = CS_ITEM_COLLECTED;
		verdict.take_record = true;
		return verdict;
	}
	if (was_collected)
		return differs(listed, listed->document_size);
	if (listed->stable_ids && listed->recorded)
	{
		verdict = differs(listed, listed->record_size);
		verdict.take_record = true;
		return verdict;
	}
	verdict.state = listed->state == CS_ITEM_FAILED && unchanged
						? CS_ITEM_FAILED
						: CS_ITEM_NEW;
	return verdict;
}

/* See identity.h. */
CsReceivedAs
cs_identity_received(const CsReceived *received)
{
	if (received->again)
		return CS_AS_DOCUMENT;
	if (received->pushed)
		return CS_AS_PUSHED;
	if (received->verify && received->dedup != CS_DEDUP_VERSION)
		return received->same_as_item ? CS_AS_KNOWN : CS_AS_CHANGED;
	if (received->id_recorded && received->same_as_id)
		return CS_AS_KNOWN;
	if (received->stable_ids && received->id_recorded &&
		received->dedup != CS_DEDUP_VERSION)
		return CS_AS_CHANGED;
	if (received->dedup == CS_DEDUP_CONTENT && received->content_recorded)
		return received->content_from_here ? CS_AS_KNOWN : CS_AS_DUPLICATE;
	if (received->dedup == CS_DEDUP_VERSION && received->version_recorded)
		return CS_AS_KNOWN;
	return CS_AS_DOCUMENT;
}

/* See identity.h. */
bool
cs_identity_stable(int64 modified, int64 unchanged_since, int64 now,
				   int64 delay)
{
	if (delay <= 0 || modified <= now - delay)
		return true;
	return unchanged_since != 0 && unchanged_since <= now - delay;
}
