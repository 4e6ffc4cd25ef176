/* sources: src/engine/identity.c */
/*
 * What a listing and received bytes make of a file (L4, L9), case by case.
 */
#include "postgres_fe.h"

#include "../../include/cloudsync/identity.h"
#include "tap.h"

static CsListed
at_path(CsItemState state, const char *item_version, const char *version)
{
	CsListed listed = {0};

	listed.version = version;
	listed.size = 10;
	listed.state = state;
	listed.item_version = item_version;
	listed.document_size =
		state == CS_ITEM_COLLECTED || state == CS_ITEM_CHANGED ? 10 : -1;
	return listed;
}

static void
gives(CsListed listed, CsItemState state, bool verify, bool take_record,
	  const char *what)
{
	CsVerdict verdict = cs_identity_listed(&listed);

	tap_ok(verdict.state == state && verdict.verify == verify &&
			   verdict.take_record == take_record,
		   "listed: %s", what);
}

static void
listings(void)
{
	CsListed l;

	gives(at_path(CS_ITEM_NONE, NULL, "v1"), CS_ITEM_NEW, false, false, "unknown");
	gives(at_path(CS_ITEM_COLLECTED, "v1", "v1"), CS_ITEM_COLLECTED, false, false, "unchanged");
	gives(at_path(CS_ITEM_COLLECTED, "v1", "v2"), CS_ITEM_COLLECTED, true, false, "same size: compare");
	gives(at_path(CS_ITEM_CHANGED, "v1", "v2"), CS_ITEM_CHANGED, true, false, "changed again, same size: compare");
	gives(at_path(CS_ITEM_GONE, "v1", "v2"), CS_ITEM_NEW, false, false, "something at a path that was gone");
	gives(at_path(CS_ITEM_DUPLICATE, "v1", "v2"), CS_ITEM_NEW, false, false, "a duplicate that was changed was never collected");
	gives(at_path(CS_ITEM_FAILED, "v1", "v1"), CS_ITEM_FAILED, false, false, "failed and unchanged");
	gives(at_path(CS_ITEM_FAILED, "v1", "v2"), CS_ITEM_NEW, false, false, "failed and changed");
	gives(at_path(CS_ITEM_EXCLUDED, "v1", "v1"), CS_ITEM_NEW, false, false, "no longer excluded");
	l = at_path(CS_ITEM_COLLECTED, "v1", "v2");
	l.size = 11;
	gives(l, CS_ITEM_CHANGED, false, false, "other size: changed");
	l.dedup = CS_DEDUP_VERSION;
	gives(l, CS_ITEM_NEW, false, false, "other size, by version: to be collected");
	l = at_path(CS_ITEM_NONE, NULL, "v1");
	l.recorded = true;
	l.record_version = "v1";
	gives(l, CS_ITEM_COLLECTED, false, true, "known by id and version");
	l.record_version = "v0";
	gives(l, CS_ITEM_NEW, false, false, "an id that came back for something else");
	l.stable_ids = true;
	l.record_size = 11;
	gives(l, CS_ITEM_CHANGED, false, true, "an id that lasts, other size: changed");
	l.excluded = true;
	gives(l, CS_ITEM_EXCLUDED, false, false, "excluded");
	l = at_path(CS_ITEM_COLLECTED, "v1", "v1");
	l.excluded = true;
	gives(l, CS_ITEM_COLLECTED, false, false, "collected before the filter was set");
	l = at_path(CS_ITEM_NONE, NULL, "v1");
	l.pushed = true;
	gives(l, CS_ITEM_EXCLUDED, false, false, "ours");
	l = at_path(CS_ITEM_COLLECTED, NULL, NULL);
	gives(l, CS_ITEM_COLLECTED, true, false, "no version is no proof");
}

static void
is_taken_as(CsReceived received, CsReceivedAs as, const char *what)
{
	tap_ok(cs_identity_received(&received) == as, "received: %s", what);
}

static void
receptions(void)
{
	is_taken_as((CsReceived){0}, CS_AS_DOCUMENT, "new");
	is_taken_as((CsReceived){.content_recorded = true}, CS_AS_DUPLICATE, "known content elsewhere");
	is_taken_as((CsReceived){.content_recorded = true, .content_from_here = true}, CS_AS_KNOWN, "known content from here");
	is_taken_as((CsReceived){.dedup = CS_DEDUP_VERSION, .content_recorded = true}, CS_AS_DOCUMENT, "by version: content does not count");
	is_taken_as((CsReceived){.dedup = CS_DEDUP_VERSION, .version_recorded = true}, CS_AS_KNOWN, "by version: known version");
	is_taken_as((CsReceived){.verify = true, .same_as_item = true}, CS_AS_KNOWN, "compared, the same");
	is_taken_as((CsReceived){.verify = true}, CS_AS_CHANGED, "compared, changed");
	is_taken_as((CsReceived){.verify = true, .dedup = CS_DEDUP_VERSION}, CS_AS_DOCUMENT, "by version: a further version");
	is_taken_as((CsReceived){.id_recorded = true, .same_as_id = true}, CS_AS_KNOWN, "known id, same bytes");
	is_taken_as((CsReceived){.id_recorded = true}, CS_AS_DOCUMENT, "an id that came back, other bytes");
	is_taken_as((CsReceived){.id_recorded = true, .stable_ids = true}, CS_AS_CHANGED, "an id that lasts, other bytes");
	is_taken_as((CsReceived){.pushed = true}, CS_AS_PUSHED, "ours");
	is_taken_as((CsReceived){.again = true, .id_recorded = true, .same_as_id = true, .content_recorded = true}, CS_AS_DOCUMENT,
				"asked for again");
}

static void
stability(void)
{
	tap_ok(cs_identity_stable(100, 0, 200, 100), "stable: old enough");
	tap_ok(!cs_identity_stable(101, 0, 200, 100), "stable: too young");
	tap_ok(!cs_identity_stable(900, 0, 200, 100), "stable: in the future");
	tap_ok(cs_identity_stable(900, 100, 200, 100), "stable: in the future, unchanged for long enough");
	tap_ok(!cs_identity_stable(900, 101, 200, 100), "stable: unchanged, not for long enough");
	tap_ok(cs_identity_stable(900, 0, 200, 0), "stable: no delay");
}

int
main(void)
{
	listings();
	receptions();
	stability();
	return tap_done();
}
