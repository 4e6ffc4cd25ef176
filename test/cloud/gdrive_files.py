"""The methods of Google Drive's API that are asked by JSON: files, changes, drives, about."""
import secrets

from blobs import Blob
from cloud import Answer
from contents import stamp
from gdrive_body import answer_file, change, fields_of, make, of_call, visible
from gdrive_model import NATIVE, rank
from gdrive_query import ABOUT, CHANGE_LIST, DRIVE, DRIVE_LIST, FILE_DEFAULT, FILE_LIST, IDS, START, pick
from gdrive_rep import EXPORTS, drive, invalid, not_found, person, refuse
from gdrive_search import Quick, Search, pages_of

JSON = "application/json; charset=UTF-8"


def answer(body, wanted):
    return Answer(200, pick(body, wanted), content_type=JSON)


# --- about, ids ------------------------------------------------------------------------


async def about(part, call, client, params):
    if not params.get("fields"):
        refuse(400, "required", "The 'fields' parameter is required for this method.", "fields")
    wanted = fields_of(params, ABOUT, None)
    store = part.store
    used = store.used(client.mail)
    trash = sum(i.size for i in store.items.values() if i.owner == client.mail and store.trashed(i))
    quota = {"usage": str(used), "usageInDrive": str(used), "usageInDriveTrash": str(trash)}
    if client.user.limit is not None:
        quota["limit"] = "0" if client.user.service else str(client.user.limit)
    return answer({"kind": "drive#about", "user": person(store, client.mail, client.mail), "storageQuota": quota,
                   "maxUploadSize": str(5120 * 1024 ** 3), "appInstalled": True, "canCreateDrives": True,
                   "canCreateTeamDrives": True, "importFormats": {}, "folderColorPalette": ["#ac725e"],
                   "exportFormats": {NATIVE + k: v for k, v in EXPORTS.items()}, "driveThemes": [],
                   "teamDriveThemes": [], "maxImportSizes": {}}, wanted)


async def generate_ids(part, call, client, params):
    kind = params.get("type", "files")
    keys = [part.store.new_key() for _ in range(params.get("count", 10))]
    client.user.ids.update((key, kind) for key in keys)
    return answer({"kind": "drive#generatedIds", "space": params.get("space", "drive"), "ids": keys},
                  fields_of(params, IDS, IDS))


# --- files -----------------------------------------------------------------------------


async def create(part, call, client, params):
    item = make(part, client, await of_call(call))
    call.subject = part.store.path(item)
    return answer_file(part, client, item, params)


async def copy(part, call, client, params, id):
    source = visible(part, client, id)
    told = await of_call(call)
    if source.folder:
        refuse(403, "cannotCopyFile", "This file cannot be copied by the user.")
    told = dict({"name": source.name, "mimeType": source.mime, "parents": [source.parent or "root"]}, **told)
    return answer_file(part, client, make(part, client, told, source.content), params)


async def get(part, call, client, params, id):
    item = visible(part, client, id)
    call.subject = part.store.path(item)
    if call.fault_is("mismatch"):
        item = part.store.own(item)
        item.mismatch = True
    if params.get("alt") != "media":
        if "acknowledgeAbuse" in params:
            refuse(400, "invalidParameter", "acknowledgeAbuse is only for alt=media", "acknowledgeAbuse")
        return answer_file(part, client, item, params)
    if not client.scopes & {"drive", "drive.readonly", "drive.file", "drive.appdata"}:
        refuse(403, "insufficientPermissions", "Insufficient Permission")
    if item.content is None:
        refuse(403, "fileNotDownloadable", "Only files with binary content can be downloaded. Use Export with Docs "
               "Editors files.", "alt")
    if not item.downloadable:
        refuse(403, "cannotDownloadFile", "This file cannot be downloaded by the user.")
    owner = item.owner == client.mail or rank(client.role(item)) >= rank("organizer")
    if item.abusive and not (params.get("acknowledgeAbuse") and owner):
        refuse(403, "cannotDownloadAbusiveFile", "This file has been identified as malware or spam and cannot be "
               "downloaded.", "acknowledgeAbuse")
    if not item.abusive and params.get("acknowledgeAbuse"):
        refuse(403, "invalidAbuseAcknowledgment", "Only flagged files can be acknowledged.", "acknowledgeAbuse")
    return ranged(call, item.content, item.mime)


def ranged(call, blob, mime, headers=None):
    """A content as the request's Range asks for it."""
    import re
    headers = dict(headers or {}, **{"Accept-Ranges": "bytes"})
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", call.headers.get("Range", ""))
    if not found or found.group(0) == "bytes=-":
        return Answer(200, blob, headers, mime)
    first, last = found.groups()
    if first == "":
        start, end = max(0, blob.size - int(last)), blob.size
    else:
        start, end = int(first), min(blob.size, int(last) + 1 if last else blob.size)
    if start >= blob.size or end <= start:
        return Answer(416, "", dict(headers, **{"Content-Range": "bytes */%d" % blob.size}), "text/html")
    headers["Content-Range"] = "bytes %d-%d/%d" % (start, end - 1, blob.size)
    return Answer(206, blob, headers, mime, start, end)


async def export(part, call, client, params, id):
    item = visible(part, client, id, any_drive=True)
    call.subject = part.store.path(item)
    kind = item.mime[len(NATIVE):] if item.native else None
    if kind not in EXPORTS:
        refuse(403, "fileNotExportable", "Export only supports Docs Editors files.")
    if params["mimeType"] not in EXPORTS[kind]:
        refuse(400, "badRequest", "The requested conversion is not supported.", "mimeType")
    content = exported(item, params["mimeType"])
    if len(content) > part.export_limit:
        refuse(403, "exportSizeLimitExceeded", "This file is too large to be exported.")
    return Answer(200, Blob(content), content_type=params["mimeType"])


def exported(item, mime):
    made = item.exports or {}
    content = made.get(mime, made.get(None))
    if content is None:
        content = b"%%PDF-1.4\n%% %s as %s, version %d\n%%%%EOF\n" % (item.name.encode(), mime.encode(), item.version)
    return content


async def export_link(part, call, client):
    """An address of exportLinks: no limit of size there."""
    item = visible(part, client, call.query.get("id", ""), any_drive=True)
    formats = EXPORTS.get(item.mime[len(NATIVE):], []) if item.native else []
    number = call.query.get("exportFormat", "")
    if not number.isdigit() or int(number) >= len(formats):
        return Answer(400, "Bad Request")
    call.subject = part.store.path(item)
    made = Answer(200, Blob(exported(item, formats[int(number)])), content_type=formats[int(number)])
    if not part.export_redirect:
        return made
    key = secrets.token_urlsafe(32)
    part.led_on[key] = made
    return Answer(307, "", {"Location": "https://127.0.0.1:%d/docs/securesc/CloudSecret-%s" % (
        part.world.ports["google"]["content"], key)})


def led_on(part, call):
    """The host that exports may lead on to: it knows addresses, once, and no tokens."""
    if "Authorization" in call.headers:
        return Answer(400, "Bad Request")
    return part.led_on.pop(call.path.rpartition("CloudSecret-")[2], None) or Answer(403, "Forbidden")


async def update(part, call, client, params, id):
    item = visible(part, client, id)
    call.subject = part.store.path(item)
    return answer_file(part, client, change(part, client, item, await of_call(call), params), params)


async def delete(part, call, client, params, id):
    item = visible(part, client, id)
    call.subject = part.store.path(item)
    drive_of = part.store.drive_of(item)
    if item.parent is None or (rank(client.role(item)) < rank("organizer") if drive_of else item.owner != client.mail):
        refuse(403, "insufficientFilePermissions", "The user does not have sufficient permissions for this file.")
    part.store.remove(item)
    return Answer(204)


def empty(part, top):
    store = part.store
    gone = [i for i in store.items.values() if i.trashed and store.top(i) is top]
    for item in gone:
        if item.id in store.items:
            store.remove(item)
    return len(gone)


async def empty_trash(part, call, client, params):
    top = client.user
    if "driveId" in params:
        top = drive_for(part, client, params["driveId"])
        if rank(top.members.get(client.mail)) < rank("organizer"):
            refuse(403, "insufficientFilePermissions", "The user does not have sufficient permissions.")
    empty(part, top)
    return Answer(204)


async def list_files(part, call, client, params):
    wanted = fields_of(params, FILE_LIST, {"kind": True, "nextPageToken": True, "incompleteSearch": True,
                                           "files": FILE_DEFAULT})
    search = Search(part, client, params, call.fault_is("first_parent"))
    call.subject = params.get("q")
    sources, at = search.first()
    signature = tuple(sorted((k, v) for k, v in params.items() if k != "pageToken")) + (client.mail,)
    size = min(params.get("pageSize", 100), part.page_limit)
    if "pageToken" in params:
        kept = part.pages.get(params["pageToken"])
        if kept is None or kept[0] != signature or part.world.now() - kept[3] > 4 * 3600 or call.fault_is("bad_token"):
            bad_token(call)
        sources, at = kept[1], kept[2]
    if call.fault_is("search_blind"):
        sources, at = [], (0, 0)
    limit = 0 if call.fault_is("empty_page") else size
    fields = wanted.get("files", {}) if "*" not in wanted else True
    fields = {"*": True} if fields is True else fields
    found, at = pages_of(search, sources, at, limit, fields)
    body = {"kind": "drive#fileList", "incompleteSearch": False, "files": found}
    if call.fault_is("incomplete"):
        body["incompleteSearch"], body["files"] = True, found[: len(found) // 2]
    if at is not None:
        token = "~!!~" + part.store.new_key(60)
        part.pages[token] = (signature, sources, at, part.world.now())
        body["nextPageToken"] = token
    return answer(body, {k: True if k == "files" else v for k, v in wanted.items()})


def bad_token(call):
    status = int(call.fault.get("status", 400)) if call.fault is not None and call.fault.kind == "bad_token" else 400
    if status == 400:
        invalid("pageToken")
    refuse(status, "notFound" if status == 404 else "gone", "The page token is no longer valid.", "pageToken")


# --- changes ---------------------------------------------------------------------------


def drive_for(part, client, key):
    one = part.store.drives.get(key)
    if one is None or client.mail not in one.members:
        not_found(key, "driveId")
    return one


def feed_for(part, client, params):
    key = params.get("driveId", params.get("teamDriveId"))
    if key is None:
        return client.user.feed, None
    if not client.all_drives:
        refuse(403, "teamDrivesNotSupported", "The supportsAllDrives parameter must be true.", "supportsAllDrives")
    one = drive_for(part, client, key)
    return one.feed, one


async def start_token(part, call, client, params):
    feed, _ = feed_for(part, client, params)
    return answer({"kind": "drive#startPageToken", "startPageToken": str(feed.next)}, fields_of(params, START, START))


async def list_changes(part, call, client, params):
    wanted = fields_of(params, CHANGE_LIST, {
        "kind": True, "nextPageToken": True, "newStartPageToken": True,
        "changes": {"kind": True, "type": True, "changeType": True, "time": True, "removed": True, "fileId": True,
                    "file": FILE_DEFAULT, "driveId": True, "drive": {"kind": True, "id": True, "name": True}}})
    feed, one = feed_for(part, client, params)
    if one is not None and not params.get("includeItemsFromAllDrives", params.get("includeTeamDriveItems")):
        refuse(403, "teamDrivesNotSupported", "includeItemsFromAllDrives must be true.", "includeItemsFromAllDrives")
    token = params["pageToken"]
    at = int(token) if token.isdigit() and len(token) < 18 else -1
    if call.fault_is("bad_token") or not feed.first <= at <= feed.next:
        bad_token(call)
    size = min(params.get("pageSize", 100), 1000, part.page_limit)
    if call.fault_is("empty_page"):
        return answer({"kind": "drive#changeList", "changes": [], "nextPageToken": token}, wanted)
    changes, following = [], None
    quick, seen = quick_for(part, client, wanted), {}
    for number, key in feed.since(at):
        if len(changes) == size:
            following = number
            break
        told = one_change(part, client, key, one, params, quick, seen)
        if told is not None:
            changes.append(told)
    body = {"kind": "drive#changeList", "changes": changes}
    if following is None:
        body["newStartPageToken"] = str(feed.next)
    else:
        body["nextPageToken"] = str(following)
    return answer(body, wanted)


def quick_for(part, client, wanted):
    """What makes the files of changes; None: they are not asked for."""
    fields = wanted.get("changes", {}) if "*" not in wanted else {"file": {"*": True}}
    fields = {"file": {"*": True}} if fields is True or "*" in fields else fields
    if "file" not in fields:
        return None
    return Quick(part.store, client, {"*": True} if fields["file"] is True else fields["file"])


def unseen(part, client, item, one, seen):
    """Is an item not to be seen in this log? Those of a bulk are asked about once a page."""
    bulk = item.parent if item.id not in part.store.items else None
    if bulk not in seen or bulk is None:
        seen[bulk] = client.role(item) is None or part.store.drive_of(item) is not one
    return seen[bulk]


def one_change(part, client, key, one, params, quick, seen):
    told = {"kind": "drive#change", "time": stamp(part.world.now()), "type": "file", "changeType": "file"}
    if key.startswith("drive:"):
        member = part.store.drives.get(key[6:])
        told.update(type="drive", changeType="drive", driveId=key[6:],
                    removed=member is None or client.mail not in member.members)
        if not told["removed"]:
            told["drive"] = drive(part.store, client, member)
        return told
    item = part.store.get(key)
    gone = item is None or unseen(part, client, item, one, seen)
    told.update(fileId=key, removed=gone)
    if gone:
        return told if params.get("includeRemoved", True) else None
    if params.get("restrictToMyDrive") and part.store.top(item) is not client.user:
        return None
    if quick is not None:
        told["file"] = quick.file(item)
    return told


# --- shared drives ---------------------------------------------------------------------


async def list_drives(part, call, client, params):
    wanted = fields_of(params, DRIVE_LIST, {"kind": True, "nextPageToken": True,
                                            "drives": {"kind": True, "id": True, "name": True}})
    mine = [d for d in part.store.drives.values() if client.mail in d.members]
    start = 0
    if "pageToken" in params:
        if not params["pageToken"].isdigit():
            invalid("pageToken")
        start = int(params["pageToken"])
    size = params.get("pageSize", 10)
    body = {"kind": "drive#driveList", "drives": [drive(part.store, client, d) for d in mine[start : start + size]]}
    if len(mine) > start + size:
        body["nextPageToken"] = str(start + size)
    return answer(body, wanted)


async def get_drive(part, call, client, params, id):
    one = drive_for(part, client, id)
    return answer(drive(part.store, client, one), fields_of(params, DRIVE, {"kind": True, "id": True, "name": True}))

