"""Upload sessions: made at the API, written to at an address of the bytes' host that
needs no token and takes none.

Fragments but the last are multiples of 327,680 bytes, below 60 MiB, in order. A
fragment that breaks off is lost whole. On OneDrive for work and SharePoint a session
holds its name and changes the replaced file's eTag; it ends 15 minutes after the
last fragment, and 24 hours after it was made.
"""
import re
import secrets
import urllib.parse

from blobs import Blob
from cloud import Answer, Refusal
from contents import stamp
from graph_items import (behaviour_of, bad_request, body_of, check_fields, check_match, check_room, check_target, conflict,
                         locate, put_file, refuse, times_of)
from graph_rep import error

STEP = 327680
LARGEST = 60 * 1024 * 1024
ITEM = {"@microsoft.graph.conflictBehavior", "@odata.type", "name", "description", "fileSize", "fileSystemInfo"}
DAY = 86400


class Session:
    def __init__(self, part, client, drive, place, behaviour, times, size, deferred):
        self.part, self.client, self.drive, self.place = part, client, drive, place
        self.behaviour, self.times, self.size, self.deferred = behaviour, times, size, deferred
        self.data, self.total, self.etag, self.key, self.ended = bytearray(), None, None, None, False
        self.started = self.used = part.world.now()
        self.holds = None

    @property
    def until(self):
        if self.drive.personal:
            return self.started + 7 * DAY
        return min(self.used + 900, self.started + DAY)

    def alive(self):
        return not self.ended and self.part.world.now() < self.until

    def end(self):
        self.ended = True
        if self.holds is not None and self.drive.held.get(self.holds) is self:
            del self.drive.held[self.holds]

    def told(self):
        whole = self.total is not None and len(self.data) == self.total
        return {"expirationDateTime": stamp(self.until, 3),
                "nextExpectedRanges": [] if whole else ["%d-" % len(self.data)]}


def annotation_first(call, raw, told):
    """An annotation must be the first member of item, where the service is strict."""
    inner = told.get("item")
    names = list(inner) if isinstance(inner, dict) else []
    plain = [n for n, name in enumerate(names) if not name.startswith("@")]
    if plain and any(name.startswith("@") and n > plain[0] for n, name in enumerate(names)):
        bad_request(call, "The annotation '@microsoft.graph.conflictBehavior' must appear before the other "
                    "elements of the object.")


async def create(part, call, client, drive, place):
    raw = await call.body()
    told = await body_of(call) if raw else {}
    check_fields(call, told, {"item", "deferCommit", "@microsoft.graph.conflictBehavior"})
    inner = told.get("item", {})
    if not isinstance(inner, dict):
        bad_request(call, "item is no object.")
    check_fields(call, inner, ITEM)
    if not drive.personal:
        annotation_first(call, raw, told)
    if not isinstance(told.get("deferCommit", False), bool):
        bad_request(call, "deferCommit is no boolean.")
    size = inner.get("fileSize")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size <= 0):
        bad_request(call, "The size of the file is not valid for an upload session.")
    behaviour = behaviour_of(call, inner.get("@microsoft.graph.conflictBehavior"), "replace")
    times = times_of(call, inner)
    one, folder, name = locate(call, drive, place)
    if one is None and not place.names:
        refuse(call, 404, "itemNotFound", "The resource could not be found.")
    if inner.get("name", name) != name:
        bad_request(call, "The name is another than in the address.")
    check_target(call, drive, one, folder, name, behaviour)
    if "If-Match" in call.headers:
        check_match(call, one)
    if call.headers.get("If-None-Match") == "*" and one is not None:
        refuse(call, 412, "resourceModified", "The item exists.", "entityTagDoesNotMatch")
    if one is not None and behaviour == "fail":
        conflict(call)
    if size is not None:
        check_room(call, drive, size - (one.size if one is not None else 0))
    session = Session(part, client, drive, place, behaviour, times, size, told.get("deferCommit", False))
    if not drive.personal:
        session.holds = (folder.id, name.lower())
        drive.held[session.holds] = session
        if one is not None:
            one = drive.own(one)
            if "If-Match" in call.headers:
                session.etag = one.etag
            one.edits += 1
    session.key = "/personal/%s/_api/v2.0/drives/%s/items/%s/uploadSession?guid='%s'&overwrite=%s&rename=%s&dc=0" \
        "&tempauth=v1.CloudSecret%s%%3D%%2B" % (
            urllib.parse.quote(drive.id, safe=""), urllib.parse.quote(drive.id, safe=""), secrets.token_hex(10),
            secrets.token_hex(8), behaviour == "replace", behaviour == "rename", secrets.token_hex(24))
    part.sessions[session.key] = session
    from graph_rep import answer
    return answer(call, 200, dict({"uploadUrl": part.origin("files") + session.key}, **session.told()),
                  "microsoft.graph.uploadSession")


# --- at the session's address ------------------------------------------------------------


def session_of(part, call):
    # Browsers' clients write an apostrophe of a query as %27; nothing else may be other than given.
    session = part.sessions.get(call.request.raw_path.replace("%27", "'"))
    if session is not None:
        call.subject = "/".join(session.place.names) or session.place.item
    if session is not None and part.world.now() > session.started + DAY and not session.drive.personal:
        refuse(call, 401, "unauthenticated", "The access token in the address has expired.")
    if call.fault_is("session_lost") and session is not None:
        session.end()
    if session is None or not session.alive() or call.fault_is("fragment_404"):
        refuse(call, 404, "itemNotFound", "The upload session was not found", "uploadSessionNotFound")
    return session


async def status(part, call):
    return Answer(200, session_of(part, call).told())


async def cancel(part, call):
    session_of(part, call).end()
    return Answer(204)


async def put(part, call):
    session = session_of(part, call)
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", call.headers.get("Content-Range", ""))
    length = call.headers.get("Content-Length")
    if not found or length is None:
        bad_request(call, "The Content-Range header is missing or malformed.", "invalidRange")
    first, last, total = (int(n) for n in found.groups())
    if last < first or last >= total or int(length) != last - first + 1:
        bad_request(call, "The Content-Range header does not fit.", "fragmentLengthMismatch")
    if int(length) >= LARGEST:
        refuse(call, 413, "invalidRequest", "The fragment is too large", "maxFragmentLengthExceeded")
    if session.total is not None and total != session.total:
        refuse(call, 416, "invalidRange", "The size is another than before", "fragmentLengthMismatch")
    have = len(session.data)
    if first != have:
        refuse(call, 416, "invalidRange", "The fragment does not follow what is there",
               "fragmentOverlap" if first < have else "fragmentOutOfOrder")
    if last + 1 < total and int(length) % STEP:
        bad_request(call, "The size of a fragment is a multiple of 327680 bytes.", "fragmentLengthMismatch")
    kept = [piece async for piece in call.pieces()]
    data = b"".join(kept)
    if len(data) != int(length):
        bad_request(call, "The fragment has not the length that was said.", "fragmentLengthMismatch")
    if not session.alive():
        refuse(call, 404, "itemNotFound", "The upload session was not found", "uploadSessionNotFound")
    session.data += data
    session.total, session.used = total, part.world.now()
    if len(session.data) < total or session.deferred:
        return Answer(202, session.told())
    made = commit(part, call, session)
    if call.fault_is("stranded"):
        return error(call, 500, "generalException", "General exception while processing")
    if call.fault_is("lost_early"):
        return Answer(202, session.told())
    return made


async def finish(part, call):
    """A POST without a body commits what was deferred."""
    session = session_of(part, call)
    if await call.body() or session.drive.personal:
        bad_request(call, "This cannot be committed so.")
    if session.total is None or len(session.data) < session.total:
        bad_request(call, "The upload session is not complete.", "uploadSessionIncomplete")
    return commit(part, call, session)


def commit(part, call, session):
    """All bytes are there: the file appears. Refused, they are held."""
    drive = session.drive
    if session.total is None or len(session.data) < session.total:
        bad_request(call, "The upload session is not complete.", "uploadSessionIncomplete")
    one = locate(call, drive, session.place)[0]
    if session.etag is not None and (one is None or one.etag != session.etag):
        refuse(call, 412, "resourceModified", "ETag does not match current item's value", "entityTagDoesNotMatch")
    data = session.data
    blob = Blob.of((bytes(data[i : i + 1048576]) for i in range(0, len(data), 1048576)), part.world.folder)
    try:
        made = put_file(part, call, session.client, drive, session.place, blob, session.behaviour, session.times, None,
                        session)
    except Refusal:
        session.used = part.world.now()
        raise
    session.end()
    return made
