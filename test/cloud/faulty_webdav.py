"""Enough WebDAV for cloudsync, as a server with ETags and conditions has it."""
import email.utils
import urllib.parse
from xml.sax.saxutils import escape

from faulty_base import Answer, File

NEEDED = {"PUT", "MKCOL", "MOVE", "DELETE"}


def resource(request, path, entry=None, href=None):
    """One <response>; entry None: a folder."""
    if href is None:
        href = "/" + request.place_name + urllib.parse.quote(path)
        if entry is None and not href.endswith("/"):
            href += "/"
    text = "<d:response><d:href>%s</d:href><d:propstat><d:prop>" % escape(href)
    if entry is None:
        text += "<d:resourcetype><d:collection/></d:resourcetype>"
    else:
        text += "<d:resourcetype/><d:getcontentlength>%d</d:getcontentlength>" % entry.size
        text += "<d:getlastmodified>%s</d:getlastmodified>" % email.utils.formatdate(entry.modified, usegmt=True)
        text += "<d:getetag>%s</d:getetag>" % escape(entry.etag)
        if request.place.checksums:
            text += "<oc:checksums><oc:checksum>SHA256:%s</oc:checksum></oc:checksums>" % entry.sha256.hex()
    return text + "</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"


def multistatus(resources):
    text = '<?xml version="1.0" encoding="utf-8"?><d:multistatus xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns">'
    return Answer(207, text + "".join(resources) + "</d:multistatus>", content_type="application/xml; charset=utf-8")


def children(place, folder):
    start = folder if folder.endswith("/") else folder + "/"
    below = lambda p: p.startswith(start) and p != folder and "/" not in p[len(start):]
    return sorted(p for p in place.folders if below(p)), sorted(p for p in place.files if below(p))


def propfind(request, extra=()):
    place, path = request.place, request.path.rstrip("/") or "/"
    if path in place.files:
        return multistatus([resource(request, path, place.files[path])])
    if path not in place.folders:
        return Answer(404)
    found = [resource(request, path)]
    if request.headers.get("depth") == "1":
        folders, files = children(place, path)
        found += [resource(request, p) for p in folders]
        found += [resource(request, p, place.files[p]) for p in files]
        found += extra
    return multistatus(found)


def condition_fails(request, path):
    """412 by If-Match and If-None-Match."""
    entry = request.place.files.get(path)
    match, none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    if match is not None and (entry is None or match not in ("*", entry.etag)):
        return True
    return none_match is not None and entry is not None and none_match in ("*", entry.etag)


def put(request, path, body):
    place = request.place
    if path.rpartition("/")[0] not in place.folders and path.rpartition("/")[0] != "":
        return Answer(409)
    if path in place.folders:
        return Answer(405)
    new = path not in place.files
    place.files[path] = File(body)
    return Answer(201 if new else 204, headers=[("ETag", place.files[path].etag)] if place.etags else [])


def get(request, path, head):
    entry = request.place.files.get(path)
    if entry is None:
        return Answer(405 if path in request.place.folders else 404)
    headers = [("ETag", entry.etag), ("Last-Modified", email.utils.formatdate(entry.modified, usegmt=True)),
               ("Content-Type", "application/octet-stream")]
    if request.place.checksums:
        headers.append(("OC-Checksum", "SHA256:" + entry.sha256.hex()))
    asked = request.headers.get("range", "")
    if asked.startswith("bytes=") and asked.endswith("-") and request.headers.get("if-range", entry.etag) == entry.etag:
        start = int(asked[6:-1])
        if start >= entry.size:
            return Answer(416)
        headers.append(("Content-Range", "bytes %d-%d/%d" % (start, entry.size - 1, entry.size)))
        return Answer(206, entry.data[start:], headers)
    return Answer(200, entry.data, headers)


def move(request, path):
    place = request.place
    target = urllib.parse.unquote(urllib.parse.urlsplit(request.headers.get("destination", "")).path)
    target = "/" + target.split("/", 2)[2].rstrip("/")
    if path not in place.files and path not in place.folders:
        return Answer(404)
    there = target in place.files or target in place.folders
    if there and request.headers.get("overwrite") == "F":
        return Answer(412)
    if target.rpartition("/")[0] not in place.folders | {""}:
        return Answer(409)
    if path in place.files:
        place.files[target] = place.files.pop(path)
    else:
        for p in [p for p in place.files if p.startswith(path + "/")]:
            place.files[target + p[len(path):]] = place.files.pop(p)
        for p in [p for p in place.folders if p == path or p.startswith(path + "/")]:
            place.folders.remove(p)
            place.folders.add(target + p[len(path):])
    return Answer(204 if there else 201)


def delete(place, path):
    if path in place.files:
        del place.files[path]
        return Answer(204)
    if path not in place.folders:
        return Answer(404)
    place.folders = {p for p in place.folders if p != path and not p.startswith(path + "/")}
    place.files = {p: f for p, f in place.files.items() if not p.startswith(path + "/")}
    return Answer(204)


def carry_out(request, body):
    place, path = request.place, request.path.rstrip("/") or "/"
    if request.method in NEEDED and condition_fails(request, path):
        return Answer(412)
    if request.method == "PROPFIND":
        return propfind(request)
    if request.method in ("GET", "HEAD"):
        return get(request, path, request.method == "HEAD")
    if request.method == "PUT":
        return put(request, path, body)
    if request.method == "MKCOL":
        if path in place.folders or path in place.files:
            return Answer(405)
        if path.rpartition("/")[0] not in place.folders | {""}:
            return Answer(409)
        place.folders.add(path)
        return Answer(201)
    if request.method == "MOVE":
        return move(request, path)
    if request.method == "DELETE":
        return delete(place, path)
    return Answer(405)
