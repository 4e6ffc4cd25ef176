"""What Google Drive's API says of things, and how it refuses."""
import zlib

from cloud import Answer, Refusal
from contents import stamp
from gdrive_model import FOLDER, NATIVE, SHORTCUT, SharedDrive, rank

EXPORTS = {
    "document": ["application/vnd.openxmlformats-officedocument.wordprocessingml.document",
                 "application/vnd.oasis.opendocument.text", "application/rtf", "application/pdf", "text/plain",
                 "application/zip", "application/epub+zip", "text/markdown"],
    "spreadsheet": ["application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
                    "application/x-vnd.oasis.opendocument.spreadsheet", "application/pdf", "application/zip",
                    "text/csv", "text/tab-separated-values"],
    "presentation": ["application/vnd.openxmlformats-officedocument.presentationml.presentation",
                     "application/vnd.oasis.opendocument.presentation", "application/pdf", "text/plain",
                     "image/jpeg", "image/png", "image/svg+xml"],
    "drawing": ["application/pdf", "image/jpeg", "image/png", "image/svg+xml"],
    "script": ["application/vnd.google-apps.script+json"],
}
DOMAINS = {"userRateLimitExceeded": "usageLimits", "rateLimitExceeded": "usageLimits",
           "dailyLimitExceeded": "usageLimits", "sharingRateLimitExceeded": "usageLimits",
           "accessNotConfigured": "usageLimits"}


def error(status, reason, message, location=None, location_type="parameter", headers=None, status_name=None):
    one = {"message": message, "domain": DOMAINS.get(reason, "global"), "reason": reason}
    if location:
        one.update(location=location, locationType=location_type)
    body = {"error": {"code": status, "message": message, "errors": [one]}}
    if status_name:
        body["error"]["status"] = status_name
    return Answer(status, body, headers, "application/json; charset=UTF-8")


def refuse(*args, **named):
    raise Refusal(error(*args, **named))


def not_found(key, location="fileId"):
    refuse(404, "notFound", "File not found: %s." % key, location)


def invalid(location, message="Invalid Value"):
    refuse(400, "invalid", message, location)


def capabilities(store, mail, item, role):
    drive = store.drive_of(item)
    writes = rank(role) >= rank("writer")
    manages = rank(role) >= rank("fileOrganizer")
    top = item.parent is None
    trash = not top and (manages if drive else item.owner == mail)
    delete = not top and (rank(role) >= rank("organizer") if drive else item.owner == mail)
    return {"canEdit": writes, "canDownload": item.downloadable and item.content is not None or item.native,
            "canAddChildren": writes and item.folder, "canListChildren": item.folder, "canTrash": trash,
            "canUntrash": trash and item.trashed, "canDelete": delete, "canRename": writes and not top,
            "canModifyContent": writes, "canReadRevisions": rank(role) >= rank("commenter"),
            "canCopy": not item.folder, "canShare": writes, "canComment": rank(role) >= rank("commenter"),
            "canRemoveChildren": item.folder and (manages if drive else writes),
            "canMoveItemWithinDrive": not top and (manages if drive else writes),
            "canMoveChildrenWithinDrive": item.folder and (manages if drive else writes)}


def person(store, mail, me):
    return {"kind": "drive#user", "displayName": (mail or "").split("@")[0], "me": mail == me,
            "permissionId": "%020d" % (zlib.crc32((mail or "").encode()) * 7919), "emailAddress": mail}


def file(store, client, item, wanted):
    """The File of an item as `client` sees it; wanted: the tree of fields."""
    everything = "*" in wanted
    want = (lambda *names: everything or any(n in wanted for n in names))
    blob = item.content is not None
    out = {"kind": "drive#file", "id": item.id, "name": item.name, "mimeType": item.mime}
    if want("trashed", "explicitlyTrashed", "trashedTime"):
        out["trashed"], out["explicitlyTrashed"] = store.trashed(item), item.trashed
        if item.trashed:
            out["trashedTime"] = stamp(item.trashed_at)
    if want("parents") and item.parent is not None and client.sees_id(item.parent):
        out["parents"] = [item.parent]
    out["createdTime"], out["modifiedTime"] = stamp(item.created), stamp(item.modified)
    out["version"] = str(item.version)
    out["starred"] = item.starred
    if blob:
        out["size"] = out["quotaBytesUsed"] = str(item.content.size)
        out["headRevisionId"], out["originalFilename"] = item.head, item.name
        if "." in item.name:
            out["fileExtension"] = out["fullFileExtension"] = item.name.rsplit(".", 1)[1]
        if want("md5Checksum"):
            out["md5Checksum"] = "0" * 32 if item.mismatch else item.content.md5
        if want("sha256Checksum") and not item.old:
            out["sha256Checksum"] = "0" * 64 if item.mismatch else item.content.sha256
        if want("sha1Checksum") and not item.old:
            out["sha1Checksum"] = "0" * 40 if item.mismatch else sha1(item.content)
        out["webContentLink"] = "https://drive.google.com/uc?id=%s&export=download" % item.id
    elif item.native:
        out["size"] = out["quotaBytesUsed"] = "1024"
    else:
        out["quotaBytesUsed"] = "0"
    if want("exportLinks") and item.native and item.mime[len(NATIVE):] in EXPORTS:
        out["exportLinks"] = {m: "%s/feeds/download/%s?id=%s&exportFormat=%d" % (
            client.docs, item.mime[len(NATIVE):], item.id, n) for n, m in enumerate(EXPORTS[item.mime[len(NATIVE):]])}
    if item.mime == SHORTCUT:
        target = store.get(item.target)
        out["shortcutDetails"] = {"targetId": item.target,
                                  "targetMimeType": target.mime if target else "application/octet-stream"}
    if want("driveId", "teamDriveId"):
        drive = store.drive_of(item)
        if drive:
            out["driveId"] = out["teamDriveId"] = drive.id
    if item.properties:
        out["properties"] = dict(item.properties)
    if item.private.get(client.app):
        out["appProperties"] = dict(item.private[client.app])
    if item.description:
        out["description"] = item.description
    if want("owners", "ownedByMe") and item.owner and not store.drive_of(item):
        out["owners"], out["ownedByMe"] = [person(store, item.owner, client.mail)], item.owner == client.mail
    if want("lastModifyingUser", "modifiedByMe"):
        out["lastModifyingUser"], out["modifiedByMe"] = person(store, item.by, client.mail), item.by == client.mail
    if want("shared"):
        out["shared"] = any(one.shares for one in store.way_up(item))
    if want("capabilities"):
        out["capabilities"] = capabilities(store, client.mail, item, client.role(item))
    if want("permissions", "permissionIds"):
        out["permissions"] = [{"kind": "drive#permission", "type": "user", "role": r, "id": m, "emailAddress": m,
                               "displayName": m.split("@")[0]} for m, r in item.shares.items()]
        out["permissionIds"] = [p["id"] for p in out["permissions"]]
    out["spaces"] = ["drive"]
    out["isAppAuthorized"] = item.app == client.app
    out["viewedByMe"] = item.viewed_at is not None
    out["webViewLink"] = "https://drive.google.com/%s/%s" % (
        "drive/folders" if item.mime == FOLDER else "file/d", item.id)
    return out


def sha1(blob):
    import hashlib
    digest = hashlib.sha1()
    for piece in blob.pieces():
        digest.update(piece)
    return digest.hexdigest()


def drive(store, client, one):
    role = one.members.get(client.mail)
    return {"kind": "drive#drive", "id": one.id, "name": one.name, "createdTime": stamp(one.created), "hidden": False,
            "capabilities": {"canAddChildren": rank(role) >= rank("writer"), "canListChildren": True,
                             "canEdit": rank(role) >= rank("writer"), "canDownload": True,
                             "canDeleteChildren": rank(role) >= rank("organizer"),
                             "canTrashChildren": rank(role) >= rank("fileOrganizer")},
            "restrictions": {"copyRequiresWriterPermission": False, "domainUsersOnly": False,
                             "driveMembersOnly": False, "adminManagedRestrictions": False}}


def is_drive(top):
    return isinstance(top, SharedDrive)
