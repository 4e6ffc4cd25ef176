"""Dropbox's upload sessions (fact sheet, section 3.3): start, append, finish, one by
one and in batches, sequential and concurrent."""
import secrets

from blobs import Blob, Building
from cloud import Reset
from dropbox_files import LARGEST_FILE, check_job, commit, later, metadata, namespaces_of, receive
from dropbox_tree import Problem

DAY = 86400
PART = 4 * 1024 * 1024


class Session:
    def __init__(self, work, concurrent=False):
        self.id = "pid_upload_session:" + secrets.token_urlsafe(30)
        self.user, self.concurrent = work.account.user.id, concurrent
        self.until = work.now() + 7 * DAY
        self.closed = self.done = False
        self.parts, self.size, self.folder = [], 0, work.api.world.folder
        self.ends = None  # concurrent: where the last part ends

    def add(self, data, offset=None):
        self.parts.append((self.size if offset is None else offset, data))
        self.size += len(data)

    def blob(self):
        building = Building(self.folder)
        for _, part in sorted(self.parts, key=lambda p: p[0]):
            building.add(part)
        return building.done()


def new(work, blob=None, concurrent=False):
    session = Session(work, concurrent)
    if blob is not None:
        session.add(blob.read())
    work.api.sessions[session.id] = session
    return session


def find(work, ident):
    session = work.api.sessions.get(ident)
    if session is None or session.until <= work.now() or session.user != work.account.user.id or session.done:
        raise Problem("not_found")
    return session


def store(session, data, offset, close):
    """Appends. Problem of an UploadSessionAppendError."""
    if session.closed:
        raise Problem("closed")
    if session.concurrent:
        if offset % PART:
            raise Problem("concurrent_session_invalid_offset")
        if not close and len(data) % PART or (data == b"" and not close):
            raise Problem("concurrent_session_invalid_data_size")
        for at, part in session.parts:
            if at == offset and part == data and not close:
                return
            if data and offset < at + len(part) and at < offset + len(data):
                raise Problem("concurrent_session_invalid_offset")
    elif offset != session.size:
        raise Problem("incorrect_offset", {"correct_offset": session.size})
    if session.size + len(data) > LARGEST_FILE:
        raise Problem("too_large")
    session.add(data, offset if session.concurrent else None)
    session.closed = close


def check_hash(argument, data):
    if argument["content_hash"] is not None and Blob(data).content_hash != argument["content_hash"]:
        raise Problem("content_hash_mismatch")


async def start(work, argument):
    concurrent = (argument["session_type"] or ("sequential", None))[0] == "concurrent"
    data = await receive(work, argument)
    try:
        if data is None:
            raise Problem("payload_too_large")
        if concurrent and data:
            raise Problem("concurrent_session_data_not_allowed")
        if concurrent and argument["close"]:
            raise Problem("concurrent_session_close_not_allowed")
        check_hash(argument, data)
    except Problem as why:
        raise work.problem(*why.tags) from None
    session = new(work, concurrent=concurrent)
    session.add(data)
    session.closed = argument["close"]
    if getattr(work, "partial", False):
        raise Reset
    return {"session_id": session.id}


async def append(work, argument):
    cursor = argument["cursor"]
    data = await receive(work, argument)
    try:
        if data is None:
            raise Problem("payload_too_large")
        session = find(work, cursor["session_id"])
        if getattr(work, "partial", False):
            store(session, data, cursor["offset"], False)
            raise Reset
        check_hash(argument, data)
        store(session, data, cursor["offset"], argument["close"])
    except Problem as why:
        raise work.problem(*why.tags) from None
    return None


async def append_batch(work, argument):
    from dropbox_api import union
    data = await receive(work, argument)
    if data is None:
        raise work.problem("payload_too_large")
    entries = argument["entries"]
    whole = sum(entry["length"] for entry in entries)
    if getattr(work, "partial", False):
        whole = None
    elif whole != len(data):
        raise work.api.bad(work.call, "the lengths of the entries are not that of the body (%d, %d)" % (whole, len(data)))
    try:
        if whole is not None:
            check_hash(argument, data)
    except Problem as why:
        raise work.problem(*why.tags) from None
    at, results = 0, []
    failing = work.call.fault.get("entries", [0]) if work.call.fault_is("entry_failure") else []
    for i, entry in enumerate(entries):
        part = data[at:at + entry["length"]]
        at += entry["length"]
        try:
            if i in failing:
                raise Problem(work.call.fault.get("error", "not_found"))
            session = find(work, entry["cursor"]["session_id"])
            store(session, part, entry["cursor"]["offset"], entry["close"] and whole is not None)
            results.append({".tag": "success"})
        except Problem as why:
            results.append({".tag": "failure", "failure": union(why.tags)})
    if whole is None:
        raise Reset
    return {"entries": results}


def ready(work, entry):
    """The session of a finish. Problem of an UploadSessionFinishError."""
    try:
        session = find(work, entry["cursor"]["session_id"])
        return session
    except Problem as why:
        raise Problem("lookup_failed", *why.tags) from None


def check_offset(session, offset):
    if session.concurrent:
        if not session.closed:
            raise Problem("concurrent_session_not_closed")
        if sum(len(part) for _, part in session.parts) != max([at + len(part) for at, part in session.parts] or [0]):
            raise Problem("concurrent_session_missing_data")
    if offset != session.size:
        raise Problem("lookup_failed", "incorrect_offset", {"correct_offset": session.size})


def end(work, session, info):
    try:
        blob = session.blob()
        node = commit(work, info, blob)
    except Problem as why:
        raise Problem("path", *why.tags) from None
    session.done = True
    session.parts = []
    return node


async def finish(work, argument):
    data = await receive(work, argument)
    try:
        if data is None:
            raise Problem("payload_too_large")
        session = ready(work, argument)
        if session.concurrent and data:
            raise Problem("concurrent_session_data_not_allowed")
        if session.closed and data:
            raise Problem("lookup_failed", "closed")
        check_offset(session, argument["cursor"]["offset"])
        check_hash(argument, data)
        # What came stays in the session, whatever becomes of the commit.
        if data:
            session.add(data)
        if getattr(work, "partial", False):
            raise Reset
        node = await work.exclusively(namespaces_of(work, argument["commit"]["path"]),
                                      lambda: end(work, session, argument["commit"]))
    except Problem as why:
        raise work.problem(*why.tags) from None
    return metadata(work, node, tag=False)


async def start_batch(work, argument):
    concurrent = (argument["session_type"] or ("sequential", None))[0] == "concurrent"
    return {"session_ids": [new(work, concurrent=concurrent).id for _ in range(argument["num_sessions"])]}


def finish_all(work, argument):
    from dropbox_api import union
    failing, error = [], None
    if work.call.fault_is("entry_failure"):
        failing, error = work.call.fault.get("entries", [0]), work.call.fault.get("error", {".tag": "other"})
    results = []
    for i, entry in enumerate(argument["entries"]):
        if i in failing:
            results.append({".tag": "failure", "failure": error})
            continue
        try:
            if i in work.locked_entries:
                raise Problem("too_many_write_operations")
            session = ready(work, entry)
            if not session.closed:
                raise Problem("lookup_failed", "not_closed")
            check_offset(session, entry["cursor"]["offset"])
            node = end(work, session, entry["commit"])
            results.append(dict({".tag": "success"}, **metadata(work, node, tag=False)))
        except Problem as why:
            results.append({".tag": "failure", "failure": union(why.tags)})
    return results


async def finish_batch_v2(work, argument):
    paths = {entry["commit"]["path"] for entry in argument["entries"]}
    entries = await work.exclusively(namespaces_of(work, *paths), lambda: finish_all(work, argument))
    return {"entries": entries}


async def finish_batch(work, argument):
    paths = {entry["commit"]["path"] for entry in argument["entries"]}
    entries = await work.exclusively(namespaces_of(work, *paths), lambda: finish_all(work, argument))
    return await later(work, {"force_async": True}, entries)


WORK = {
    "files/upload_session/start": start, "files/upload_session/append_v2": append,
    "files/upload_session/append_batch": append_batch, "files/upload_session/finish": finish,
    "files/upload_session/start_batch": start_batch, "files/upload_session/finish_batch_v2": finish_batch_v2,
    "files/upload_session/finish_batch": finish_batch, "files/upload_session/finish_batch/check": check_job,
}
