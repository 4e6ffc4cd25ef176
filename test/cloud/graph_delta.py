"""Delta: all items of a drive or folder, and from then on what has changed.

State, not events: an item's last entry counts. Ancestors of what changed appear
too, unchanged. Entries have no parentReference.path. The addresses of the next page
and of the next round are taken as they were given, or refused.
"""
import math

from graph_items import existing, known_link, next_link, page, top
from graph_rep import PROPERTIES, answer, bad_request, deleted, error, item, refuse


class Round:
    """Where a round of delta stands."""

    def __init__(self, scope, size, select, at, sources=None, place=(0, 0)):
        self.scope, self.size, self.select = scope, size, select
        self.at = at  # changes from here on (in a first round: those of the next)
        self.sources, self.place = sources, place
        self.made = math.inf  # when its link was given

    def but(self, **other):
        told = dict(scope=self.scope, size=self.size, select=self.select, at=self.at, sources=self.sources,
                    place=self.place)
        return Round(**dict(told, **other))


async def delta(part, call, client, drive, place):
    scope = existing(call, drive, place)
    if not scope.folder:
        bad_request(call, "The resource is not a folder.")
    if scope.parent is not None and not part.folder_delta and not drive.personal:
        refuse(call, 501, "notSupported", "Delta is supported for the root of the drive only.")
    token = place.argument if place.argument is not None else call.query.get("token")
    state = begin(part, call, drive, scope, token)
    if call.fault_is("sync_lost"):
        return error(call, 400, "invalidRequest", "The sync state was not found", "syncStateNotFound")
    if call.fault_is("resync") or (token is not None and state is not None and state.made < drive_reset(part, drive)):
        return resync(part, call, drive, scope)
    if state is None:
        bad_request(call, "The provided token is not valid, or the link was changed.")
    if call.fault_is("empty_page"):
        return answer(call, 200, {"@odata.nextLink": link(part, call, state), "value": []}, "Collection(driveItem)")
    if state.sources is not None:
        return enumerate_all(part, call, drive, state)
    return changes(part, call, drive, state)


def drive_reset(part, drive):
    return getattr(drive, "reset_at", 0)


def begin(part, call, drive, scope, token):
    size = part.page_size or top(call, 200)
    select = part.select(call, PROPERTIES)
    if token is None:
        return Round(scope, size, select, drive.feed.next, first_sources(drive, scope))
    if token == "latest":
        return Round(scope, size, select, drive.feed.next)
    return known_link(part, call, token)


def first_sources(drive, scope):
    if scope.parent is None:
        bulks = [bulk for bulks in drive.bulk_of.values() for bulk in bulks]
        return [list(drive.items)] + bulks
    folders = [scope] + [one for one in drive.below(scope) if one.folder]
    keys = [scope.id] + [key for folder in folders for key in drive.names[folder.id].values()]
    return [keys] + [bulk for folder in folders for bulk in drive.bulk_of.get(folder.id, ())]


def link(part, call, state):
    import time
    state.made = time.monotonic()
    return next_link(part, call, state, "token")


def resync(part, call, drive, scope):
    fault = call.fault if call.fault is not None and call.fault.kind == "resync" else None
    code = fault.get("code", "resyncChangesApplyDifferences") if fault else "resyncChangesApplyDifferences"
    headers = {}
    if fault is None or fault.get("location", True):
        state = Round(scope, part.page_size or 200, None, drive.feed.next, first_sources(drive, scope))
        headers["Location"] = link(part, call, state)
    return error(call, 410, "resyncRequired", "Resync required. Replace any local items with the server's version.",
                 code, headers)


def enumerate_all(part, call, drive, state):
    found, place = page(part, drive, state.sources, state.place, state.size, state.select, delta=True)
    return give(part, call, drive, state, found, None if place is None else state.but(place=place),
                Round(state.scope, state.size, state.select, state.at))


def changes(part, call, drive, state):
    """A page of what changed, below the ancestors of it."""
    keys, following = [], None
    for number, key in drive.feed.since(state.at):
        if len(keys) == state.size:
            following = number
            break
        keys.append(key)
    found, ancestors = [], {}
    for key in keys:
        one = drive.get(key)
        inside = one is not None and any(above.id == state.scope.id for above in drive.way_up(one))
        if not inside:
            if part.store.tell_deletions and (state.scope.parent is None or was_inside(drive, state, key)):
                found.append(deleted(part, drive, key, state.select))
            continue
        for above in drive.way_up(one):
            if above.id != key:
                ancestors[above.id] = above
            if above.id == state.scope.id:
                break
        found.append(item(part, one, delta=True, select=state.select))
    first = [item(part, above, delta=True, select=state.select) for above in reversed(list(ancestors.values()))
             if above.id not in keys]
    return give(part, call, drive, state, first + found, None if following is None else state.but(at=following),
                Round(state.scope, state.size, state.select, drive.feed.next))


def was_inside(drive, state, key):
    """Was it below the scope before?"""
    parents = {drive.graves[key][0]} if key in drive.graves else set()
    parents |= {old for _, moved, old in drive.moves if moved == key}
    for parent in parents:
        one = drive.items.get(parent)
        if parent == state.scope.id or (one is not None and any(a.id == state.scope.id for a in drive.way_up(one))):
            return True
        if one is None and parent in drive.graves and was_inside(drive, state, parent):
            return True
    return False


def give(part, call, drive, state, found, following, next_round):
    if call.fault_is("duplicates"):
        found = [dict(one, name="before " + one["name"]) if "name" in one and "root" not in one else one
                 for one in found] + found
    body = {}
    if call.fault_is("delta_loop"):
        body["@odata.nextLink"] = "https://%s%s" % (call.headers.get("Host", ""), call.request.raw_path)
    elif following is not None:
        body["@odata.nextLink"] = link(part, call, following)
    elif call.fault_is("stuck_link"):
        body["@odata.deltaLink"] = "https://%s%s?token=latest" % (
            call.headers.get("Host", ""), call.request.raw_path.partition("?")[0])
    else:
        body["@odata.deltaLink"] = link(part, call, next_round)
    body["value"] = found
    return answer(call, 200, body, "Collection(driveItem)")
