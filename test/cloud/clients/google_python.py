"""Google's own client for Python (Debian's python3-googleapi) at the test cloud's
Drive: resumable uploads in chunks, of which the service keeps less at times, and
downloads by ranges. The few methods that it is to know are described here, as the
service's own description of them is nowhere packaged."""
import hashlib
import io
import json
import os
import sys

try:
    import httplib2
    from googleapiclient.discovery import build_from_document
    from googleapiclient.errors import HttpError
    from googleapiclient.http import MediaIoBaseDownload, MediaIoBaseUpload
    from google.oauth2.credentials import Credentials
    from google_auth_httplib2 import AuthorizedHttp
except ImportError as why:
    print("skip - python3-googleapi is not installed: %s" % why)
    sys.exit(0)

from client import READY, act, control, done, fault, ok, same, url

FIELDS = {"fields": {"type": "string", "location": "query"}}
ID = {"fileId": {"type": "string", "required": True, "location": "path"}}


def method(verb, path, parameters, **more):
    return dict({"id": "drive.x", "httpMethod": verb, "path": path, "parameters": parameters,
                 "parameterOrder": ["fileId"] if "fileId" in parameters else [], "response": {"$ref": "File"}}, **more)


def media(path):
    return {"accept": ["*/*"], "protocols": {
        "simple": {"multipart": True, "path": "/upload/drive/v3/" + path},
        "resumable": {"multipart": True, "path": "/resumable/upload/drive/v3/" + path}}}


def described(root):
    return {
        "kind": "discovery#restDescription", "name": "drive", "version": "v3", "rootUrl": root + "/", "servicePath": "drive/v3/",
        "baseUrl": root + "/drive/v3/", "batchPath": "batch/drive/v3", "parameters": FIELDS,
        "schemas": {"File": {"id": "File", "type": "object", "properties": {}}},
        "resources": {"files": {"methods": {
            "create": method("POST", "files", FIELDS, request={"$ref": "File"}, supportsMediaUpload=True, mediaUpload=media("files")),
            "update": method("PATCH", "files/{fileId}", dict(FIELDS, **ID), request={"$ref": "File"}, supportsMediaUpload=True,
                             mediaUpload=media("files/{fileId}")),
            "get": method("GET", "files/{fileId}", dict(FIELDS, **ID), supportsMediaDownload=True),
            "generateIds": method("GET", "files/generateIds", {"count": {"type": "integer", "location": "query"}}),
        }}}}


grant = act("google", "grant")
who = Credentials(None, refresh_token=grant["refresh_token"], token_uri=url("google", "oauth") + "/token",
                  client_id=grant["client_id"], client_secret=grant["client_secret"])
http = httplib2.Http(ca_certs=READY["ca_file"])
http.redirect_codes = set(http.redirect_codes) - {308}  # as its own build_http() does
drive = build_from_document(json.dumps(described(url("google", "api"))), http=AuthorizedHttp(who, http=http)).files()
data = os.urandom(262144 * 5 + 17)


def upload(metadata, content, chunk=262144, file=None, at_each=None):
    body = MediaIoBaseUpload(io.BytesIO(content), "application/octet-stream", chunksize=chunk, resumable=True)
    request = drive.create(body=metadata, media_body=body, fields="id,size,md5Checksum") if file is None else drive.update(
        fileId=file, body=metadata, media_body=body, fields="id,size,md5Checksum")
    made, rounds = None, 0
    while made is None and rounds < 50:
        if at_each:
            at_each(rounds)
        _, made = request.next_chunk()
        rounds += 1
    return made, rounds


ids = drive.generateIds(count=2).execute()["ids"]
made, rounds = upload({"id": ids[0], "name": "a.bin"}, data)
same((made["id"], made["size"], made["md5Checksum"], rounds), (ids[0], str(len(data)), hashlib.md5(data).hexdigest(), 6), "in chunks")
try:
    upload({"id": ids[0], "name": "a.bin"}, data)
    ok(False, "the id again")
except HttpError as why:
    same(why.resp.status, 409, "the id again")
fault(service="google", route="upload.session", kind="partial_chunk", nth=2, keep=262144)
made, rounds = upload({"id": ids[1], "name": "b.bin"}, data, chunk=524288)
same((made["md5Checksum"], rounds), (hashlib.md5(data).hexdigest(), 4), "a chunk of which half is kept: on from there")
fault(service="google", route="upload.session", kind="unavailable", nth=2)
try:
    made, _ = upload({}, data[:600000], file=ids[0])
    ok(False, "a chunk that fails")
except HttpError as why:
    same(why.resp.status, 503, "a chunk that fails")
made, _ = upload({}, data[:600000], file=ids[0])
same((made["id"], made["size"]), (ids[0], "600000"), "a new version")
try:
    made, _ = upload({"name": "empty"}, b"")
    same(made["size"], "0", "an empty file by a session")
except HttpError as why:
    same(why.resp.status, 400, "an empty file by a session: an older version's chunk 0--1/0 is refused (its issue 638)")
out = io.BytesIO()
down = MediaIoBaseDownload(out, drive.get_media(fileId=ids[1]), chunksize=400000)
finished = False
while not finished:
    _, finished = down.next_chunk()
same(out.getvalue() == data, True, "back by ranges")
same(control("requests", {"service": "google", "status": 206, "count": True}), 4, "of which there were four")
same(drive.get(fileId=ids[1], fields="size").execute(), {"size": str(len(data))}, "by its id")
done()
