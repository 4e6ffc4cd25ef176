"""Items of a drive: get, list, simple upload, folders, change, delete, download."""
import re

from blobs import Blob, Building
from cloud import Answer, no_constant, no_twins
from contents import Bulk, parse_time
from graph_rep import PROPERTIES, answer, bad_request, conflict, download_url, hashes, item, not_found, refuse

FORBIDDEN = re.compile(r'["*:<>?/\\|\x00-\x1f\x7f]')
RESERVED = re.compile(r"(?:\.lock|desktop\.ini|(?:CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9])(?:\..*)?)\Z", re.I)
FIELDS = {"name", "parentReference", "fileSystemInfo", "description", "@microsoft.graph.conflictBehavior"}
BEHAVIOURS = ("fail", "replace", "rename")


# --- names and addresses ---------------------------------------------------------------


def check_name(call, drive, parent, name, folder=False):
    """Is this a name that the service takes?"""
    wrong = (not isinstance(name, str) or name == "" or FORBIDDEN.search(name) or name != name.strip(" ")
             or name.endswith(".") or RESERVED.match(name) or "_vti_" in name.lower() or name.startswith("~$")
             or (folder and name.startswith("~") and not drive.personal)
             or (name.lower() == "forms" and parent.parent is None and not drive.personal))
    if wrong:
        bad_request(call, "The name provided contains reserved characters or is otherwise not valid.", "invalidPath")
    if len(name) > 255 or len(drive.path(parent)) + len(name) + 1 > 400:
        bad_request(call, "The path is too long.", "pathIsTooLong")


def locate(call, drive, place, make=False):
    """(the item or None, its folder, its name) of a place; make: folders on the way."""
    found = drive.get(place.item)
    if found is None:
        not_found(call)
    if not place.names:
        return found, drive.items.get(found.parent) if found.parent else None, found.name
    folder = found
    for name in place.names[:-1]:
        below = drive.child(folder.id, name) if folder.folder else None
        if below is None and make and folder.folder:
            check_name(call, drive, folder, name, True)
            below = drive.add(folder.id, name, "folder")
        if below is None:
            not_found(call)
        folder = below
    name = place.names[-1]
    return (drive.child(folder.id, name) if folder.folder else None), folder, name


def existing(call, drive, place):
    found = locate(call, drive, place)[0]
    if found is None:
        not_found(call)
    return found


def matches(call, one, header):
    """Does an item agree with If-Match or If-None-Match? None: it is not there."""
    told = call.headers.get(header)
    if told is None:
        return None
    if told == "*":
        return True
    if not re.fullmatch(r'(W/)?"[^"]*"', told) and one is not None and not one.drive.personal:
        bad_request(call, "The ETag value is not valid.", "malformedEntityTag")
    plain = told.strip('"')
    return one is not None and plain in (one.etag.strip('"'), one.ctag.strip('"'))


def check_match(call, one):
    if matches(call, one, "If-Match") is False or ("If-Match" in call.headers and one is None):
        refuse(call, 412, "resourceModified", "ETag does not match current item's value", "entityTagDoesNotMatch")


def check_lock(call, one):
    if one is not None and one.locked:
        refuse(call, 423, "notAllowed", "The resource you are attempting to access is locked", "resourceLocked")


def check_room(call, drive, more):
    if more > 0 and drive.ever + more > drive.total and drive.used + more > drive.total:
        refuse(call, 507, "quotaLimitReached", "Insufficient Space Available")


def check_held(call, drive, folder, name):
    """A name that an upload under way holds (OneDrive for work, SharePoint)."""
    session = drive.held.get((folder.id, name.lower()))
    if session is not None and session.alive():
        conflict(call)


def free_name(drive, folder, name, dot=True):
    stem, point, rest = name.rpartition(".") if dot and "." in name[1:] else (name, "", "")
    for n in range(1, 1000):
        tried = "%s %d%s%s" % (stem, n, point, rest)
        if drive.child(folder, tried) is None:
            return tried
    raise ValueError(name)


async def body_of(call):
    """The JSON of a request, its members in their order."""
    kind = call.headers.get("Content-Type", "").split(";")[0].strip().lower()
    body = await call.body()
    if kind != "application/json":
        bad_request(call, "Entity only allows writes with a JSON Content-Type header.")
    import json
    try:
        told = json.loads(body.decode("utf-8"), object_pairs_hook=no_twins, parse_constant=no_constant)
    except ValueError:
        refuse(call, 400, "BadRequest", "Unable to read JSON request payload.")
    if not isinstance(told, dict):
        refuse(call, 400, "BadRequest", "Unable to read JSON request payload.")
    return told


def check_fields(call, told, known):
    for key in told:
        if key not in known:
            refuse(call, 400, "BadRequest", "The property '%s' does not exist or cannot be written here." % key)


def times_of(call, told):
    """What a fileSystemInfo says, as attributes of an item."""
    info = told.get("fileSystemInfo")
    if info is None:
        return {}
    if not isinstance(info, dict):
        bad_request(call, "fileSystemInfo is no object.")
    check_fields(call, info, {"createdDateTime", "lastModifiedDateTime", "lastAccessedDateTime", "@odata.type"})
    times = {}
    for key, name in (("createdDateTime", "client_created"), ("lastModifiedDateTime", "client_modified")):
        if key in info:
            times[name] = parse_time(info[key], zone_required=True)
            if times[name] is None:
                bad_request(call, "Cannot convert the value of %s to a date." % key)
    return times


# --- reading ---------------------------------------------------------------------------


async def get(part, call, client, drive, place):
    one = existing(call, drive, place)
    if matches(call, one, "If-None-Match"):
        return Answer(304)
    select = part.select(call, PROPERTIES)
    return answer(call, 200, item(part, one, select=select), headers={"ETag": one.etag})


def next_link(part, call, state, query):
    """An address that must come back as it is."""
    import secrets
    token = secrets.token_urlsafe(24)
    host = call.headers.get("Host", "graph.microsoft.com")
    target = "%s?%s=%s" % (call.request.raw_path.partition("?")[0], query, token + "%3D%2BaQ")
    part.tokens[token + "=+aQ"] = (target, state, part.world.now())
    return "https://%s%s" % (host, target)


def known_link(part, call, token):
    """What stands behind a token; None if there is none, or it was not sent as it was given."""
    kept = part.tokens.get(token)
    if kept is None or kept[0] != call.request.raw_path:
        return None
    return kept[1]


async def children(part, call, client, drive, place):
    if call.fault_is("moved_away"):
        host = call.headers.get("Host", "")
        return Answer(302, "", {"Location": "https://%s%s" % (host, call.request.raw_path)})
    if "$skiptoken" in call.query:
        state = known_link(part, call, call.query["$skiptoken"])
        if state is None:
            bad_request(call, "The skip token is not valid.")
        folder, sources, at, size, select = state
    else:
        folder = existing(call, drive, place)
        if not folder.folder:
            bad_request(call, "The resource is not a folder.")
        size, select = top(call, 200), part.select(call, PROPERTIES)
        sources, at = [list(drive.names[folder.id].values())] + drive.bulk_of.get(folder.id, []), (0, 0)
        order = call.query.get("$orderby")
        if order is not None:
            words = order.split()
            if words[0] not in ("name", "url") or words[1:] not in ([], ["asc"], ["desc"]):
                refuse(call, 400, "notSupported", "The given orderby clause is not supported.")
            found = sorted((i for i in drive.children(folder.id)), key=lambda i: i.name.lower(),
                           reverse=words[1:] == ["desc"])
            sources = [[i.id for i in found]]
    if call.fault_is("empty_page"):
        return answer(call, 200, {"@odata.nextLink": next_link(
            part, call, (folder, sources, at, size, select), "$skiptoken"), "value": []}, "items")
    found, at = page(part, drive, sources, at, size, select)
    body = {}
    if at is not None:
        body["@odata.nextLink"] = next_link(part, call, (folder, sources, at, size, select), "$skiptoken")
    body["value"] = found
    return answer(call, 200, body, "items")


def top(call, default):
    text = call.query.get("$top")
    if text is None:
        return default
    if not re.fullmatch(r"[1-9][0-9]{0,5}", text):
        bad_request(call, "Invalid value of $top.")
    return min(int(text), 1000)


VARYING = {"id": lambda p, i: i.id, "name": lambda p, i: i.name, "eTag": lambda p, i: i.etag,
           "cTag": lambda p, i: i.ctag}


def page(part, drive, sources, at, size, select, delta=False):
    """Up to `size` items from `at` on, and where the next page begins (None: nowhere)."""
    found, (index, offset) = [], at
    while index < len(sources):
        source = sources[index]
        bulk = isinstance(source, Bulk)
        count = source.count if bulk else len(source)
        template = None
        while offset < count and len(found) < size:
            k, offset = offset, offset + 1
            if bulk and k in source.gone:
                continue
            one = drive.of_bulk(source, k) if bulk else drive.get(source[k])
            if one is None:
                continue
            if template is None or not bulk:
                template = item(part, one, delta, select)
                found.append(template)
                continue
            found.append(like(part, template, one))
        if offset < count:
            return found, (index, offset)
        index, offset = index + 1, 0
    return found, None


def like(part, template, one):
    """Another item of the same bulk."""
    told = dict(template)
    for name, said in VARYING.items():
        if name in told:
            told[name] = said(part, one)
    if "webUrl" in told:
        told["webUrl"] = told["webUrl"].rpartition("/")[0] + "/" + one.name.replace(" ", "%20")
    if "file" in told:
        told["file"] = {"mimeType": one.mime, "hashes": hashes(part, one)}
    if "@microsoft.graph.downloadUrl" in told:
        told["@microsoft.graph.downloadUrl"] = download_url(part, one)
    return told


async def download(part, call, client, drive, place):
    one = existing(call, drive, place)
    if one.kind != "file":
        refuse(call, 400 if one.folder else 406, "invalidRequest" if one.folder else "notSupported",
               "The item has no content to download.")
    if one.malware:
        refuse(call, 403, "accessDenied", "Malware detected", "malwareDetected", {"X-Virus-Infected": "Eicar"})
    return Answer(302, "", {"Location": download_url(part, one)})


# --- writing ---------------------------------------------------------------------------


async def upload(part, call, client, drive, place):
    """The simple upload."""
    kind = call.headers.get("Content-Type", "").split(";")[0].strip().lower()
    if kind == "application/json":
        bad_request(call, "The content of a file is not sent as JSON.")
    if int(call.headers.get("Content-Length", 0)) > part.put_limit:
        refuse(call, 413, "requestTooLarge", "The request is too large; use an upload session.", "maxFileSizeExceeded")
    behaviour = behaviour_of(call, call.query.get("@microsoft.graph.conflictBehavior"), "replace")
    one, folder, name = locate(call, drive, place, make=place.item == "root")
    check_target(call, drive, one, folder, name, behaviour)
    check_match(call, one)
    building = Building(part.world.folder)
    try:
        async for piece in call.pieces():
            building.add(piece)
    except BaseException:
        if part.truncates:
            put_file(part, call, client, drive, place, building.done(), behaviour, {}, kind)
        raise
    if building.size > part.put_limit:
        refuse(call, 413, "requestTooLarge", "The request is too large; use an upload session.", "maxFileSizeExceeded")
    return put_file(part, call, client, drive, place, building.done(), behaviour, {}, kind)


def behaviour_of(call, told, default):
    if told is None:
        return default
    if told not in BEHAVIOURS:
        bad_request(call, "Unknown conflict behavior: %s" % told)
    return told


def check_target(call, drive, one, folder, name, behaviour):
    """May a file come under this name?"""
    if folder is None or not folder.folder:
        bad_request(call, "The resource is not a file.")
    check_name(call, drive, folder, name)
    if one is not None and one.kind != "file":
        if behaviour != "rename":
            conflict(call)
    if not drive.personal:
        check_held(call, drive, folder, name)


def put_file(part, call, client, drive, place, blob, behaviour, times, mime, session=None):
    """The file appears: new or as a new version. Looked up again, as time has passed."""
    one, folder, name = locate(call, drive, place)
    if session is None and not drive.personal:
        check_held(call, drive, folder, name)
    if one is not None and (behaviour == "fail" or (one.kind != "file" and behaviour == "replace")):
        conflict(call)
    if one is not None and behaviour == "rename":
        name, one = free_name(drive, folder.id, name), None
    check_lock(call, one)
    check_room(call, drive, blob.size - (one.size if one else 0))
    status = 200 if one is not None else 201
    if one is None:
        one = drive.add(folder.id, name, "file", blob)
        drive.set_times(one, times)
    else:
        one = drive.write(one, blob, times)
    if status == 201:
        one.by, one.app = client.user, client.app
    one.editor = None if (client.user, client.app) == (one.by, one.app) else client.user
    one.editor_app = client.app
    one.mime = mime if mime and mime != "application/octet-stream" else guess(name)
    one.hashless = blob.size == 0 and not drive.personal
    part.store.uploaded(one)
    return answer(call, status, item(part, one), headers={"ETag": one.etag})


def guess(name):
    import mimetypes
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


async def put_item(part, call, client, drive, place):
    """PUT of an item by JSON: the commit of a session's bytes by their address."""
    told = await body_of(call)
    check_fields(call, told, {"name", "@microsoft.graph.conflictBehavior", "@microsoft.graph.sourceUrl", "@name.conflictBehavior"})
    session = part.sessions.get(part_of_url(told.get("@microsoft.graph.sourceUrl")))
    if session is None or not session.alive():
        refuse(call, 404, "itemNotFound", "The upload session was not found", "uploadSessionNotFound")
    behaviour = behaviour_of(call, told.get("@microsoft.graph.conflictBehavior"), session.behaviour)
    if told.get("name") not in (None, place.names[-1] if place.names else None):
        bad_request(call, "The name is another than in the address.")
    from graph_upload import commit
    session.place, session.behaviour = place, behaviour
    return commit(part, call, session)


def part_of_url(url):
    found = re.match(r"https://[^/]+(/.*)\Z", url or "")
    return found.group(1) if found else None


async def create(part, call, client, drive, place):
    """POST children: a folder."""
    parent = existing(call, drive, place)
    told = await body_of(call)
    check_fields(call, told, {"name", "folder", "@microsoft.graph.conflictBehavior", "@name.conflictBehavior",
                              "description", "fileSystemInfo"})
    if not parent.folder:
        bad_request(call, "The resource is not a folder.")
    if not isinstance(told.get("folder"), dict):
        bad_request(call, "Only folders are made this way.")
    name = told.get("name")
    check_name(call, drive, parent, name, True)
    call.subject += "/" + name
    behaviour = behaviour_of(call, told.get("@microsoft.graph.conflictBehavior", told.get("@name.conflictBehavior")), "fail")
    times = times_of(call, told)
    found = drive.child(parent.id, name)
    if not drive.personal:
        check_held(call, drive, parent, name)
    if found is not None:
        if behaviour == "replace" and found.folder and drive.personal:
            return answer(call, 200, item(part, found))
        if behaviour != "rename":
            conflict(call)
        name = free_name(drive, parent.id, name, dot=False)
    one = drive.add(parent.id, name, "folder")
    one.by = client.user
    drive.set_times(one, times)
    return answer(call, 201, item(part, one), headers={"ETag": one.etag})


async def update(part, call, client, drive, place):
    one = existing(call, drive, place)
    told = await body_of(call)
    check_fields(call, told, FIELDS)
    times = times_of(call, told)
    check_match(call, one)
    check_lock(call, one)
    if one.parent is None and ("name" in told or "parentReference" in told):
        refuse(call, 403, "accessDenied", "The root cannot be renamed or moved.")
    folder = drive.items.get(one.parent)
    if "parentReference" in told:
        folder = new_parent(call, drive, one, told["parentReference"])
    name = told.get("name", one.name)
    if "name" in told or "parentReference" in told:
        check_name(call, drive, folder, name, one.folder)
        found = drive.child(folder.id, name)
        behaviour = behaviour_of(call, told.get("@microsoft.graph.conflictBehavior"), "fail")
        if found is not None and found.id != one.id:
            if behaviour == "rename":
                name = free_name(drive, folder.id, name)
            elif behaviour == "replace" and found.kind == "file" and one.kind == "file":
                drive.remove(found)
            else:
                conflict(call)
        if folder.id != one.parent or name != one.name:
            one = drive.rename(one, folder.id, name)
    if times or "description" in told:
        one = drive.own(one)
        drive.set_times(one, times)
        one = drive.changed(one, bool(times) and not drive.personal)
    if call.fault_is("no_content"):
        return Answer(204)
    return answer(call, 200, item(part, one), headers={"ETag": one.etag})


def new_parent(call, drive, one, told):
    if not isinstance(told, dict):
        bad_request(call, "parentReference is no object.")
    check_fields(call, told, {"id", "driveId", "driveType", "path", "name", "siteId"})
    if told.get("driveId") and drive.store.drive(told["driveId"]) is not drive:
        refuse(call, 400, "notSupported", "Items cannot be moved between drives.")
    if told.get("id") == "root" or not (told.get("id") or told.get("path")):
        bad_request(call, "The parent must be given by its id.")
    if told.get("id"):
        folder = drive.get(told["id"])
    else:
        try:
            folder = drive.walk(told["path"].partition("root:")[2])
        except ValueError:
            folder = None
    if folder is None:
        not_found(call)
    if not folder.folder or any(above.id == one.id for above in drive.way_up(folder)):
        bad_request(call, "The item cannot be moved there.")
    return folder


async def delete(part, call, client, drive, place):
    if place.action == "permanentDelete" and drive.personal:
        refuse(call, 400, "notSupported", "permanentDelete is not supported for this account.")
    one = existing(call, drive, place)
    if one.parent is None:
        refuse(call, 403, "accessDenied", "The root cannot be deleted.")
    check_match(call, one)
    if "bypass-shared-lock" not in call.headers.get("Prefer", ""):
        check_lock(call, one)
    drive.remove(one)
    if place.action == "permanentDelete":
        drive.bin.pop(one.id, None)
    return Answer(204)


async def copy(part, call, client, drive, place):
    one = existing(call, drive, place)
    told = await body_of(call)
    check_fields(call, told, {"name", "parentReference"})
    folder = drive.items[one.parent or drive.root]
    if "parentReference" in told:
        folder = new_parent(call, drive, one, told["parentReference"])
    name = told.get("name", one.name)
    check_name(call, drive, folder, name)
    if one.kind != "file":
        refuse(call, 400, "notSupported", "Only files are copied here.")
    if drive.child(folder.id, name) is not None:
        conflict(call)
    made = drive.add(folder.id, name, "file", Blob(one.content.read()))
    made.mime = one.mime
    return Answer(202, "", {"Location": "%s/monitor/%s" % (part.origin("files"), made.id)})
