"""The File in a request's body: which fields there are, which can be written, of what type."""
import json
import re

from contents import parse_time
from gdrive_model import FOLDER, NATIVE, SHORTCUT, rank
from gdrive_query import FILE, Refused, parse_fields, pick
from gdrive_rep import file, invalid, not_found, refuse

WRITABLE = {
    "appProperties": "map", "contentHints": "object", "contentRestrictions": "list", "createdTime": "time",
    "copyRequiresWriterPermission": "bool", "description": "text", "downloadRestrictions": "object",
    "folderColorRgb": "text", "id": "text", "inheritedPermissionsDisabled": "bool", "mimeType": "text",
    "modifiedTime": "time", "name": "text", "originalFilename": "text", "parents": "texts", "properties": "map",
    "shortcutDetails": "object", "starred": "bool", "viewedByMeTime": "time", "writersCanShare": "bool",
    "viewersCanCopyContent": "bool", "trashed": "bool",
}
CREATE_ONLY = ("id", "createdTime", "shortcutDetails")
UPDATE_ONLY = ("trashed",)
MOST_CHILDREN = 500000


def fields_of(params, known, default):
    """The tree of the parameter `fields`."""
    if not params.get("fields"):
        return default
    try:
        return parse_fields(params["fields"], known)
    except Refused as why:
        refuse(400, "invalidParameter", "Invalid field selection %s" % why, "fields")


def answer_file(part, client, item, params):
    from cloud import Answer
    wanted = fields_of(params, FILE, {"kind": True, "id": True, "name": True, "mimeType": True})
    return Answer(200, pick(file(part.store, client, item, wanted), wanted),
                  content_type="application/json; charset=UTF-8")


async def of_call(call):
    """The File of a JSON request."""
    body = await call.body()
    if not body:
        return {}
    kind = call.headers.get("Content-Type", "").split(";")[0].strip().lower()
    if kind != "application/json":
        refuse(400, "badRequest", "Unsupported content with type: %s" % (kind or "none"))
    return parse(body)


def parse(body):
    from cloud import no_constant, no_twins
    try:
        told = json.loads(body.decode("utf-8"), object_pairs_hook=no_twins, parse_constant=no_constant)
    except ValueError:
        refuse(400, "parseError", "Parse Error")
    if not isinstance(told, dict):
        refuse(400, "parseError", "Parse Error")
    return told


def checked(told, update):
    """Refuses what is unknown, of a wrong type or not to be written."""
    for key, value in told.items():
        if key not in FILE:
            refuse(400, "badRequest", "Invalid JSON payload received. Unknown name \"%s\": Cannot find field." % key)
        if key not in WRITABLE or key in (CREATE_ONLY if update else UPDATE_ONLY):
            refuse(403, "fieldNotWritable", "The resource body includes fields which are not directly writable.")
        if update and key == "parents":
            refuse(403, "fieldNotWritable", "The parents field is not directly writable in update requests. "
                   "Use the addParents and removeParents parameters instead.")
        if value is None and update:
            continue
        if not fits(value, WRITABLE[key]):
            refuse(400, "invalid", "Invalid value for: %s" % key, key, "other")
    details = told.get("shortcutDetails")
    if details is not None and (set(details) != {"targetId"} or not isinstance(details["targetId"], str)):
        refuse(403, "fieldNotWritable", "The resource body includes fields which are not directly writable.")
    for name in ("properties", "appProperties"):
        for key, value in (told.get(name) or {}).items():
            if len(key.encode()) + len((value or "").encode()) > 124:
                refuse(400, "invalid", "A property of more than 124 bytes", name, "other")
    return told


def fits(value, kind):
    if kind == "map":
        return isinstance(value, dict) and all(isinstance(v, (str, type(None))) for v in value.values())
    if kind == "texts":
        return isinstance(value, list) and all(isinstance(v, str) for v in value)
    if kind == "time":
        return parse_time(value, zone_required=True) is not None
    return isinstance(value, {"object": dict, "list": list, "bool": bool, "text": str}[kind])


# --- making and changing items ---------------------------------------------------------


def visible(part, client, key, location="fileId", any_drive=False):
    """The item of a key that the client may know of, or 404."""
    item = part.store.get(client.user.root if key == "root" else key)
    if item is None or client.role(item) is None or (
            part.store.drive_of(item) and not (any_drive or client.all_drives)):
        not_found(key, location)
    return item


def parent_of(part, client, told):
    parents = told.get("parents")
    if not parents:
        return part.store.items[client.user.root]
    if len(parents) > 1:
        refuse(403, "cannotAddParent", "Increasing the number of parents is not allowed")
    parent = visible(part, client, parents[0])
    check_parent(part, client, parent)
    return parent


def check_parent(part, client, parent):
    store = part.store
    if not parent.folder:
        refuse(403, "parentNotAFolder", "The specified parent is not a folder.")
    if rank(client.role(parent)) < rank("writer"):
        refuse(403, "insufficientParentPermissions", "Insufficient permissions for the specified parent.")
    children = len(store.children.get(parent.id, ())) + sum(
        b.count - len(b.gone) for b in store.bulk_of.get(parent.id, ()))
    if parent.parent is not None and children >= MOST_CHILDREN:
        refuse(403, "numChildrenInNonRootLimitExceeded", "The limit for this folder's number of children has been exceeded.")
    if store.depth(parent) > 100:
        refuse(403, "teamDriveHierarchyTooDeep" if store.drive_of(parent) else "myDriveHierarchyDepthLimitExceeded",
               "The hierarchy of the folder is too deep.")


def check_room(part, mail, size):
    """Is there room in the owner's storage?"""
    if mail is None:
        return
    user = part.store.user(mail)
    if user.service:
        refuse(403, "storageQuotaExceeded", "Service Accounts do not have storage quota. Leverage shared drives, "
               "or use OAuth delegation instead.")
    if size and user.limit is not None and user.ever + size > user.limit and part.store.used(mail) + size > user.limit:
        refuse(403, "storageQuotaExceeded", "The user's Drive storage quota has been exceeded.")


def check_id(part, client, told, media):
    """May the given id be taken?"""
    key = told.get("id")
    if key is None:
        return
    if part.store.get(key) is not None or key in part.store.drives:
        refuse(409, "duplicate", "A file already exists with the provided ID.")
    native = told.get("mimeType", "").startswith(NATIVE) and told["mimeType"] not in (FOLDER, SHORTCUT)
    if native:
        refuse(400, "invalid", "Generated IDs are not supported for Docs Editors formats.", "file.id", "other")
    kind = "shortcuts" if told.get("mimeType") == SHORTCUT else "files"
    if client.user.ids.get(key) != kind:
        refuse(400, "invalid", "The provided file ID is not usable.", "file.id", "other")


def prepare(part, client, told, size=None):
    """All checks of a create, before anything is made: the parent and the owner."""
    checked(told, False)
    if told.get("mimeType") == SHORTCUT:
        if "shortcutDetails" not in told or size is not None:
            refuse(400, "badRequest", "A shortcut needs a target and has no content.")
        visible(part, client, told["shortcutDetails"]["targetId"], "shortcutDetails.targetId", any_drive=True)
    if told.get("mimeType") == FOLDER and size is not None:
        refuse(400, "badRequest", "A folder has no content.")
    if not re.fullmatch(r"[\w.+-]+/[\w.+-]+(;.*)?", told.get("mimeType", "a/b")):
        invalid("mimeType", "Invalid MIME type provided for the uploaded content.")
    parent = parent_of(part, client, told)
    check_id(part, client, told, size is not None)
    owner = None if part.store.drive_of(parent) else client.mail
    check_room(part, owner, size or 0)
    return parent, owner


def make(part, client, told, content=None, mime=None):
    """The item of a create; content: a Blob."""
    parent, owner = prepare(part, client, told, None if content is None else content.size)
    store = part.store
    mime = told.get("mimeType") or mime or "application/octet-stream"
    native = mime.startswith(NATIVE) and mime not in (FOLDER, SHORTCUT)
    if content is None and not mime.startswith(NATIVE):
        from blobs import Blob
        content = Blob(b"")
    item = store.add(told.get("name", "Untitled"), mime, parent.id, owner, key=told.get("id"),
                     content=None if native else content, app=client.app)
    item.by = client.mail
    if told.get("id"):
        client.user.ids.pop(told["id"], None)
    if native and content is not None and content.size:
        item.exports = {None: content.read()}
    if mime == SHORTCUT:
        item.target = told["shortcutDetails"]["targetId"]
    for key, name in (("createdTime", "created"), ("modifiedTime", "modified")):
        if told.get(key):
            setattr(item, name, parse_time(told[key]))
    apply_common(item, client, told)
    store.tell(item)
    return item


def apply_common(item, client, told):
    if "properties" in told:
        put_properties(item.properties, told["properties"])
    if "appProperties" in told:
        put_properties(item.private.setdefault(client.app, {}), told["appProperties"])
    if "starred" in told:
        item.starred = bool(told["starred"])
    if "description" in told:
        item.description = told["description"]


def put_properties(kept, told):
    for key, value in (told or {}).items():
        if value is None:
            kept.pop(key, None)
        else:
            kept[key] = value
    if len(kept) > 30:
        refuse(403, "propertyCountLimitExceeded", "The limit for the number of properties has been exceeded.")


def change(part, client, item, told, params, content=None, mime=None):
    """What an update does to an item, all checks first."""
    store = part.store
    checked(told, True)
    role = client.role(item)
    drive = store.drive_of(item)
    if rank(role) < rank("writer"):
        refuse(403, "insufficientFilePermissions", "The user does not have sufficient permissions for this file.")
    if item.parent is None and (content is not None or "name" in told or "trashed" in told or "addParents" in params):
        refuse(403, "insufficientFilePermissions", "The root folder cannot be changed.")
    if content is not None and item.content is None and not item.native:
        refuse(403, "fileNotDownloadable", "A folder or shortcut has no content.")
    if content is not None and item.owner and not store.user(item.owner).service:
        check_room(part, item.owner, content.size - item.size)
    if "trashed" in told and told["trashed"] != item.trashed and (
            rank(role) < rank("fileOrganizer") if drive else item.owner != client.mail):
        refuse(403, "insufficientFilePermissions", "The user does not have sufficient permissions for this file.")
    target = moved_to(part, client, item, params, role, drive)
    item = store.own(item)
    feeds = []
    if target is not None:
        feeds = store.move(item, target.id)
        if store.drive_of(target) and item.owner:
            store.give(item, None)
        elif not store.drive_of(target) and item.owner is None:
            store.give(item, client.mail)
    if content is not None and not item.native:
        store.set_content(item, content)
        if mime and not told.get("mimeType"):
            item.mime = mime
    if told.get("mimeType"):
        item.mime = told["mimeType"]
    if "name" in told and told["name"] is not None and told["name"] != item.name:
        item.name, item.placed_at = told["name"], part.world.now()
    if told.get("modifiedTime"):
        item.modified = parse_time(told["modifiedTime"])
    if "trashed" in told:
        item.trashed = bool(told["trashed"])
        item.trashed_at = part.world.now() if item.trashed else None
    apply_common(item, client, told)
    store.touch(item, client.mail)
    store.tell(item, feeds)
    return item


def moved_to(part, client, item, params, role, drive):
    """The folder that addParents and removeParents lead to; None: it stays."""
    store = part.store
    added = [k for k in params.get("addParents", "").split(",") if k]
    removed = [client.user.root if k == "root" else k for k in params.get("removeParents", "").split(",") if k]
    if not added and not removed:
        return None
    if len(added) > 1:
        refuse(403, "cannotAddParent", "Increasing the number of parents is not allowed")
    if any(k != item.parent for k in removed):
        invalid("removeParents", "The specified parent is not a parent of the file.")
    if not added:
        refuse(403, "cannotRemoveOnlyParent", "The only parent of a file cannot be removed.")
    target = visible(part, client, added[0], "addParents")
    if not removed and target.id != item.parent:
        refuse(403, "cannotAddParent", "Increasing the number of parents is not allowed")
    check_parent(part, client, target)
    if any(one.id == item.id for one in store.way_up(target)):
        refuse(403, "cyclicMembership", "A folder cannot be moved into itself.")
    if drive is not store.drive_of(target) and item.folder:
        refuse(403, "teamDrivesFolderMoveInNotSupported", "Moving folders into shared drives is not supported.")
    if drive and rank(role) < rank("fileOrganizer"):
        refuse(403, "insufficientFilePermissions", "The user does not have sufficient permissions for this file.")
    return target
