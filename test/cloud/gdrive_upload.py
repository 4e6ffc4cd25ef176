"""Uploads to Google Drive: media, multipart (exactly two parts) and resumable sessions.

A session's address is all it needs: it may be used without a token. It lives a
week. Chunks but the last are multiples of 262,144 bytes; what is kept of one, the
308's Range says (fault partial_chunk keeps less, and so does a connection that
breaks). Once the file is there, the session answers with it.
"""
import re
import secrets

from blobs import Blob, Building
from cloud import Answer, Refusal
from gdrive_body import (answer_file, change, check_room, checked, fields_of, make, moved_to, of_call, parse, prepare,
                         visible)
from gdrive_model import rank
from gdrive_query import FILE
from gdrive_rep import error, refuse

STEP = 262144
WEEK = 7 * 24 * 3600


class Session:
    def __init__(self, client, params, told, key, mime, size, at):
        self.client, self.params, self.told, self.key, self.mime = client, params, told, key, mime
        self.size, self.started = size, at
        self.data = bytearray()
        self.blob = None
        self.answer = None
        self.total = None  # what the first Content-Range says

    def sizes(self):
        return {s for s in (self.size, self.total) if s is not None}


async def create(part, call, client, params):
    return await upload(part, call, client, params, None)


async def update(part, call, client, params, id):
    item = visible(part, client, id)
    call.subject = part.store.path(item)
    return await upload(part, call, client, params, item)


async def upload(part, call, client, params, item):
    kind = params.get("uploadType")
    if kind == "resumable":
        return await begin(part, call, client, params, item)
    if kind == "media":
        told, mime = {}, call.headers.get("Content-Type", "application/octet-stream")
        content = await blob_of(part, call)
    elif kind == "multipart":
        told, mime, content = two_parts(part, call, await call.body())
    else:
        refuse(400, "badRequest", "Invalid value for uploadType: %s" % kind, "uploadType")
    return done(part, call, client, params, item, told, mime, content)


def done(part, call, client, params, item, told, mime, content):
    fields_of(params, FILE, None)
    if item is None:
        item = make(part, client, told, content, mime)
    else:
        item = change(part, client, item, told, params, content, mime)
    call.subject = part.store.path(item)
    return answer_file(part, client, item, params)


async def blob_of(part, call):
    building = Building(part.world.folder)
    async for piece in call.pieces():
        building.add(piece)
    return building.done()


def two_parts(part, call, body):
    """Metadata, type and content of a multipart/related body."""
    kind = call.headers.get("Content-Type", "")
    found = re.fullmatch(r'multipart/related\s*;(?:.*;)?\s*boundary=(?:"([^"]+)"|([^\s;"]+))(?:\s*;.*)?', kind, re.I)
    if not found:
        refuse(400, "badContent", "Unsupported content with type: %s" % (kind.split(";")[0] or "none"))
    if len(body) > part.multipart_limit + 65536:
        refuse(413, "uploadTooLarge", "Request entity is too large.")
    mark = b"--" + (found.group(1) or found.group(2)).encode()
    whole = b"\r\n" + body if not body.startswith(b"\r\n") else body
    pieces = whole.split(b"\r\n" + mark)
    if len(pieces) < 3 or pieces[-1].rstrip(b" \t\r\n") != b"--" or pieces[0].strip():
        refuse(400, "badContent", "Malformed multipart body.")
    if len(pieces) != 4:
        refuse(400, "badContent", "A multipart body has exactly two parts.")
    parts = []
    for piece in pieces[1:-1]:
        line, _, rest = piece.partition(b"\r\n")
        head, blank, content = (b"\r\n" + rest).partition(b"\r\n\r\n")
        if line.strip() or not blank:
            refuse(400, "badContent", "Malformed multipart body.")
        headers = {}
        for one in head.decode("latin-1").split("\r\n")[1:]:
            name, colon, value = one.partition(":")
            if not colon:
                refuse(400, "badContent", "Malformed multipart body.")
            headers[name.strip().lower()] = value.strip()
        if "content-disposition" in headers or headers.get("content-transfer-encoding", "binary").lower() not in (
                "binary", "8bit"):
            refuse(400, "badContent", "Unsupported header in a part of the body.")
        parts.append((headers.get("content-type", ""), content))
    if parts[0][0].split(";")[0].strip().lower() != "application/json":
        refuse(400, "badContent", "The first part is the metadata, as application/json.")
    if not parts[1][0]:
        refuse(400, "badContent", "The second part needs its Content-Type.")
    return parse(parts[0][1]), parts[1][0], Blob(parts[1][1])


# --- resumable ---------------------------------------------------------------------------


async def begin(part, call, client, params, item):
    told = await of_call(call)
    fields_of(params, FILE, None)
    text = call.headers.get("X-Upload-Content-Length")
    if text is not None and not re.fullmatch(r"\d{1,15}", text):
        refuse(400, "badRequest", "Invalid X-Upload-Content-Length", "X-Upload-Content-Length", "header")
    size = int(text) if text is not None else None
    if item is None:
        prepare(part, client, told, size or 0)
        call.subject = told.get("name")
    else:
        checked(told, True)
        if rank(client.role(item)) < rank("writer"):
            refuse(403, "insufficientFilePermissions", "The user does not have sufficient permissions for this file.")
        moved_to(part, client, item, params, client.role(item), part.store.drive_of(item))
        if item.owner and not part.store.user(item.owner).service:
            check_room(part, item.owner, (size or 0) - item.size)
    mime = call.headers.get("X-Upload-Content-Type", "application/octet-stream")
    key = "A" + secrets.token_urlsafe(90)
    part.uploads[key] = Session(client, params, told, item.id if item else None, mime, size, part.world.now())
    query = "uploadType=resumable&upload_id=" + key
    place = "https://%s%s?%s" % (call.headers.get("Host", "localhost"), call.raw_path, query)
    return Answer(200, "", {"Location": place, "X-GUploader-UploadID": key})


async def session(part, call):
    """What is asked of a session's address."""
    if call.headers.get("Authorization") is not None:
        part.client(call)
    key = call.query["upload_id"]
    one = part.uploads.get(key)
    if one is not None:
        call.subject = one.told.get("name", one.key)
    if one is None or part.world.now() - one.started > WEEK or call.fault_is("session_gone"):
        part.uploads.pop(key, None)
        return Answer(404, "Not Found", {"X-GUploader-UploadID": key})
    if call.method == "DELETE":
        part.uploads.pop(key)
        return Answer(499, "")
    if call.method not in ("PUT", "POST"):
        return error(405, "methodNotAllowed", "Method Not Allowed")
    ranged = call.headers.get("Content-Range")
    if ranged is None:
        return await whole(part, call, one)
    query = re.fullmatch(r"bytes \*/(\d+|\*)", ranged)
    if query:
        if await call.body():
            return error(400, "badRequest", "A query of the session has no body.")
        if one.answer is not None:
            return one.answer
        if query.group(1) != "*" and one.sizes() - {int(query.group(1))}:
            return error(400, "badRequest", "The size is another than before.")
        return incomplete(call, one)
    chunk = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", ranged)
    if not chunk:
        return error(400, "badRequest", "Failed to parse Content-Range header.")
    first, last = int(chunk.group(1)), int(chunk.group(2))
    total = None if chunk.group(3) == "*" else int(chunk.group(3))
    return await one_chunk(part, call, one, first, last, total)


def incomplete(call, one):
    headers = {"X-Range-MD5": "0" * 32} if one.data else {}
    if one.data:
        headers["Range"] = "bytes=0-%d" % (len(one.data) - 1)
    if call.headers.get("X-GUploader-No-308", "").lower() == "yes":
        return Answer(200, "", dict(headers, **{"X-HTTP-Status-Code-Override": "308"}))
    return Answer(308, "", headers)


async def whole(part, call, one):
    """The rest of the body in one PUT without Content-Range: all of it."""
    if one.answer is not None:
        await call.body()
        return one.answer
    length = call.headers.get("Content-Length")
    if one.size is not None and length is not None and int(length) != one.size:
        return error(400, "badRequest", "The size is another than X-Upload-Content-Length.")
    del one.data[:]
    kept = await take(call, one, 0, int(length) if length is not None else None)
    if not kept:
        return incomplete(call, one)
    return finish(part, call, one)


async def one_chunk(part, call, one, first, last, total):
    if one.answer is not None:
        await call.body()
        return one.answer
    length = call.headers.get("Content-Length")
    if last < first or (total is not None and last >= total) or (length is not None and int(length) != last - first + 1):
        return error(400, "badRequest", "Failed to parse Content-Range header.")
    if total is not None and one.sizes() - {total}:
        return error(400, "badRequest", "The size is another than before.")
    final = total is not None and last + 1 == total
    if not final and (last - first + 1) % STEP:
        return error(400, "badRequest", "The size of a chunk is a multiple of 262144 bytes.")
    if first > len(one.data):
        return error(400, "badRequest", "Bytes are missing before this chunk.")
    if one.size is not None and last >= one.size:
        return error(400, "badRequest", "More than X-Upload-Content-Length.")
    one.total = total if total is not None else one.total
    kept = await take(call, one, first, last - first + 1)
    if not kept or not final:
        return incomplete(call, one)
    return finish(part, call, one)


async def take(call, one, first, length):
    """Reads a chunk; False if less than it is kept."""
    skip, had, came = len(one.data) - first, len(one.data), 0
    try:
        async for piece in call.pieces():
            came += len(piece)
            if skip:
                cut = min(skip, len(piece))
                piece, skip = piece[cut:], skip - cut
            one.data += piece
    except BaseException:
        # A broken connection: whole steps of what came are kept.
        del one.data[max(had, len(one.data) // STEP * STEP):]
        raise
    if length is not None and came != length:
        del one.data[max(had, len(one.data) // STEP * STEP):]
        raise Refusal(error(400, "badRequest", "The body has not the length that was said."))
    if call.fault_is("partial_chunk"):
        keep = max(had, (first + int(call.fault.get("keep", 0))) // STEP * STEP)
        if keep < len(one.data):
            del one.data[keep:]
            return False
    return True


def finish(part, call, one):
    content = Blob.of((bytes(one.data[i : i + 1048576]) for i in range(0, len(one.data), 1048576)), part.world.folder)
    item = None
    if one.key is not None:
        item = visible(part, one.client, one.key, any_drive=True)
    answer = done(part, call, one.client, one.params, item, one.told, one.mime, content)
    one.answer = Answer(200, answer.body, content_type=answer.content_type)
    one.data = bytearray()
    return one.answer


