"""What Microsoft Graph says of things, and how it refuses."""
import functools
import hashlib
import urllib.parse
import uuid

from cloud import Answer, Refusal
from contents import stamp

JSON = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
PROPERTIES = set("""audio bundle cTag children content createdBy createdDateTime deleted description eTag file
fileSystemInfo folder id image lastModifiedBy lastModifiedDateTime location malware name package parentReference
pendingOperations permissions photo publication remoteItem root searchResult shared sharepointIds size specialFolder
video webDavUrl webUrl createdByUser lastModifiedByUser analytics listItem retentionLabel subscriptions thumbnails
versions workbook @microsoft.graph.downloadUrl content.downloadUrl""".split())
DRIVE_PROPERTIES = set("""id name driveType owner quota webUrl description createdBy createdDateTime lastModifiedBy
lastModifiedDateTime sharePointIds sharepointIds system eTag root items special list bundles following""".split())
LINK_SECRET = uuid.uuid4().bytes
LINK_END = "%3D%2B&ApiVersion=2.0"
HOUR = 3600


def error(call, status, code, message, inner=None, headers=None):
    """The envelope: inner codes nest, under either spelling."""
    request = str(uuid.uuid4())
    said = {"date": stamp(call.world.now(), 0)[:-1], "request-id": request,
            "client-request-id": call.headers.get("client-request-id", request)}
    if inner:
        said = dict({"code": inner}, **said)
    spelling = "innerError" if len(call.world.log) % 2 else "innererror"
    headers = dict(headers or {}, **{"request-id": request, "client-request-id": said["client-request-id"],
                                     "x-ms-ags-diagnostic": '{"ServerInfo":{"DataCenter":"North Europe"}}'})
    return Answer(status, {"error": {"code": code, "message": message, spelling: said}}, headers, "application/json")


def refuse(call, *args, **named):
    raise Refusal(error(call, *args, **named))


def not_found(call):
    refuse(call, 404, "itemNotFound", "The resource could not be found.")


def bad_request(call, message, inner=None):
    refuse(call, 400, "invalidRequest", message, inner)


def conflict(call):
    refuse(call, 409, "nameAlreadyExists", "An item with the same name already exists under the parent.")


def person(user, app=None):
    told = {"user": {"email": user.email, "id": user.id, "displayName": user.name}} if user is not None else {}
    if app is not None or user is None:
        told["application"] = {"id": app or "", "displayName": "app"}
    return told


@functools.lru_cache(maxsize=64)
def link_head(origin, drive):
    return "%s/personal/%s/_layouts/15/download.aspx" % (origin, urllib.parse.quote(drive, safe=""))


def sign(text):
    return hashlib.blake2b(text.encode(), key=LINK_SECRET, digest_size=24).hexdigest()


def download_url(part, item, until=None):
    """A pre-authenticated address: byte for byte as it is, for an hour."""
    until = int(part.world.now() + part.link_lifetime if until is None else until)
    query = "UniqueId=%s&Translate=false&tempauth=v1.%d." % (item.id.replace("!", "%21"), until)
    return "%s?%sCloudSecret%s%s" % (link_head(part.origin("files"), item.drive.id), query,
                                     sign(item.drive.id + "|" + query), LINK_END)


def drive_id(part, drive):
    """Personal drives' ids vary in some answers: case and zeros in front."""
    if drive.personal and part.vary_ids:
        return drive.id.lower().lstrip("0")
    return drive.id


def reference(part, item, with_path):
    drive = item.drive
    told = {"driveType": drive.kind, "driveId": drive_id(part, drive)}
    parent = drive.items.get(item.parent) if item.parent else None
    if parent is not None:
        told["id"] = parent.id
        told["name"] = parent.name
        if with_path:
            path = drive.path(parent).rstrip("/")
            told["path"] = "/drives/%s/root:%s" % (drive.id, urllib.parse.quote(path) if part.encoded_paths else path)
    if drive.site is not None:
        told["siteId"] = drive.site.id
    return told


def web_url(item):
    drive = item.drive
    base = drive.site.url + "/" + urllib.parse.quote("Shared Documents" if drive.name == "Documents" else drive.name) \
        if drive.site else "https://contoso-my.sharepoint.com/personal/me/Documents"
    return base + urllib.parse.quote(drive.path(item)).rstrip("/")


def hashes(part, item):
    if item.hashless:
        return {}
    told = {"quickXorHash": item.content.quickxor}
    if item.drive.personal:
        told["sha256Hash"] = item.content.sha256.upper()
    return told


def item(part, one, delta=False, select=None):
    """The driveItem."""
    drive = one.drive
    want = (lambda name: select is None or name in select)
    out = {"id": one.id, "name": one.name, "createdDateTime": stamp(one.created, 0),
           "lastModifiedDateTime": stamp(one.client_modified if not drive.personal else one.modified, 0),
           "size": one.size, "eTag": one.etag}
    if want("webUrl"):
        out["webUrl"] = web_url(one)
    if not (one.folder and not drive.personal) and not (delta and not drive.personal):
        out["cTag"] = one.ctag
    out["createdBy"] = out["lastModifiedBy"] = person(one.by or drive.owner, one.app)
    if one.editor is not None:
        out["lastModifiedBy"] = person(one.editor, one.editor_app)
    out["parentReference"] = reference(part, one, not delta)
    out["fileSystemInfo"] = {"createdDateTime": stamp(one.client_created, 0 if not drive.personal else 3),
                             "lastModifiedDateTime": stamp(one.client_modified, 0 if not drive.personal else 3)}
    if one.kind == "folder":
        out["folder"] = {"childCount": drive.count(one.id)}
        if one.parent is None:
            out["root"] = {}
    elif one.kind == "package":
        out["package"] = {"type": "oneNote"}
    elif one.kind == "remote":
        out["remoteItem"] = one.remote
    else:
        out["file"] = {"mimeType": one.mime}
        if want("file"):
            out["file"]["hashes"] = hashes(part, one)
        if select is None or {"@microsoft.graph.downloadUrl", "content.downloadUrl"} & select:
            if not part.no_links:
                out["@microsoft.graph.downloadUrl"] = download_url(part, one)
        if one.malware:
            out["malware"] = {"description": "virus"}
    return chosen(out, select)


def chosen(out, select):
    if select is None:
        return out
    return {k: v for k, v in out.items() if k in select or k == "@microsoft.graph.downloadUrl"}


def deleted(part, drive, key, select=None):
    """What a delta says of an item that is gone."""
    parent, name, kind, size = drive.graves.get(key, (drive.root, "", "file", 0))
    out = {"id": key, "deleted": {"state": "deleted"}, "parentReference": {
        "driveType": drive.kind, "driveId": drive_id(part, drive), "id": parent}}
    if drive.personal:
        out["name"] = name
    else:
        out["size"] = size
    out["folder" if kind == "folder" else "file"] = {"childCount": 0} if kind == "folder" else {}
    return {k: v for k, v in out.items() if select is None or k in select or k == "deleted"}


def drive(part, one, select=None):
    out = {"id": one.id, "driveType": one.kind, "name": one.name,
           "webUrl": web_url(one.items[one.root]), "createdDateTime": stamp(one.items[one.root].created, 0),
           "owner": person(one.owner) if one.owner else {"group": {"displayName": one.site.name}}}
    used = one.used
    left = one.total - used
    out["quota"] = {"total": one.total, "used": used, "remaining": max(0, left), "deleted": 0, "state":
                    "exceeded" if left <= 0 else "critical" if left < one.total / 100 else
                    "nearing" if left < one.total / 10 else "normal"}
    if one.site is not None:
        out["quota"] = {"total": 0, "used": 0, "remaining": 0, "deleted": 0, "state": "normal"}
        out["sharePointIds"] = {"siteId": one.site.id, "siteUrl": one.site.url}
        if select is None:
            del out["sharePointIds"]
    return {k: v for k, v in out.items() if select is None or k in select}


def site(one):
    return {"id": one.id, "name": one.path.rsplit("/", 1)[-1], "displayName": one.name, "webUrl": one.url,
            "siteCollection": {"hostname": one.host}, "root": {}}


def answer(call, status, body, about="driveItem", headers=None):
    context = "https://graph.microsoft.com/v1.0/$metadata#%s" % about
    return Answer(status, dict({"@odata.context": context}, **body),
                  dict(headers or {}, **{"request-id": str(uuid.uuid4())}), JSON)
