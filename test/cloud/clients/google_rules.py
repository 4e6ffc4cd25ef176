"""That the test cloud's Google Drive refuses what the service refuses and does what it
does (the fact sheet on Drive, sections 3 to 5 and 8)."""
import base64
import hashlib
import http.client
import json
import urllib.parse

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from client import act, control, done, fault, form, ok, request, same

FOLDER = "application/vnd.google-apps.folder"
GRANT = act("google", "grant")
ALL = "supportsAllDrives=true&includeItemsFromAllDrives=true"


def ask(method, path, body=None, query=None, token=GRANT["access_token"], headers=None, place="/drive/v3"):
    """Status, JSON (or bytes) and headers of a request."""
    sent = dict(headers or {})
    if token:
        sent["Authorization"] = "Bearer " + token
    if isinstance(body, dict):
        body = json.dumps(body)
        sent.setdefault("Content-Type", "application/json; charset=UTF-8")
    if query:
        path += ("&" if "?" in path else "?") + urllib.parse.urlencode(query)
    status, got, text = request("google", "api", place + path, sent, body if body is not None else b"", method)
    try:
        return status, json.loads(text), got
    except ValueError:
        return status, text, got


def reason(answer):
    told = isinstance(answer[1], dict) and "error" in answer[1]
    return answer[0], answer[1]["error"]["errors"][0]["reason"] if told else answer[1]


def refused(answer, status, why, words):
    same(reason(answer), (status, why), words)


def multipart(metadata, data=b"bytes", kind="text/plain", parts=None, boundary="B"):
    parts = parts or [("application/json; charset=UTF-8", json.dumps(metadata).encode()), (kind, data)]
    body = b"".join(b"--%s\r\nContent-Type: %s\r\n\r\n%s\r\n" % (boundary.encode(), k.encode(), d) for k, d in parts)
    return body + b"--" + boundary.encode() + b"--"


def upload(metadata, data=b"bytes", path="/files", method="POST", query=None, **named):
    return ask(method, path, multipart(metadata, data, **named), dict({"uploadType": "multipart"}, **(query or {})),
               headers={"Content-Type": "multipart/related; boundary=B"}, place="/upload/drive/v3")


def ids(count=1, **more):
    return ask("GET", "/files/generateIds", query=dict(count=count, **more))[1]["ids"]


def search(q, token=GRANT["access_token"], **more):
    return ask("GET", "/files", query=dict(q=q, **more), token=token)


def names(answer):
    return sorted(f["name"] for f in answer[1]["files"])


# --- requests ---
refused(ask("GET", "/about?fields=user", token=None), 401, "required", "no token")
refused(ask("GET", "/about?fields=user", token="x"), 401, "authError", "a token that is none")
refused(ask("GET", "/about"), 400, "required", "about without fields")
same(ask("GET", "/about?fields=user/emailAddress,storageQuota(limit)")[1],
     {"user": {"emailAddress": "anna@example.com"}, "storageQuota": {"limit": str(15 * 1024 ** 3)}}, "fields of about")
refused(ask("GET", "/files?fields=files(etag)"), 400, "invalidParameter", "a field that there is not")
for text in ("files(", "files)", ",", "files/", "files(id"):
    refused(ask("GET", "/files", query={"fields": text}), 400, "invalidParameter", "fields: " + text)
refused(ask("GET", "/files?path=/"), 400, "invalidParameter", "a parameter that there is not")
refused(ask("GET", "/files?supportsAllDrives=1"), 400, "invalidParameter", "a boolean that is none")
refused(ask("GET", "/files?pageSize=0"), 400, "invalidParameter", "pages of none")
same(ask("GET", "/files?pageSize=5000")[0], 200, "larger pages are cut")
same(ask("PUT", "/files/root", {})[0], 404, "PUT is of another version")
same(ask("GET", "/nothing")[0], 404, "a method that there is not")
narrow = act("google", "grant", scopes=["https://www.googleapis.com/auth/drive.file"])["access_token"]
reads = act("google", "grant", scopes=["https://www.googleapis.com/auth/drive.readonly"])["access_token"]
refused(ask("POST", "/files", {"name": "x"}, token=reads), 403, "insufficientPermissions", "a scope that only reads")
refused(ask("GET", "/drives", token=narrow), 403, "insufficientPermissions", "shared drives by drive.file")

# --- ids and folders ---
one, two, three = ids(3)
refused(ask("GET", "/files/generateIds?count=1001"), 400, "invalidParameter", "more than 1,000 ids")
same(ask("POST", "/files", {"id": one, "name": "F", "mimeType": FOLDER})[1]["id"], one, "a folder with its id")
refused(ask("POST", "/files", {"id": one, "name": "F", "mimeType": FOLDER}), 409, "duplicate", "the id again")
refused(ask("POST", "/files", {"id": "1" * 33, "name": "F"}), 400, "invalid", "an id that was not given")
bert = act("google", "grant", user="bert@example.org")["access_token"]
refused(ask("POST", "/files", {"id": two, "name": "F"}, token=bert), 400, "invalid", "an id of another user")
refused(ask("POST", "/files", {"id": two, "name": "D", "mimeType": "application/vnd.google-apps.document"}), 400, "invalid",
        "an id for a document")
a = ask("POST", "/files", {"name": "twin", "mimeType": FOLDER})[1]["id"]
b = ask("POST", "/files", {"name": "twin", "mimeType": FOLDER})[1]["id"]
ok(a != b, "two folders of one name")

# --- bodies ---
for body, status, why in (
        ({"size": "1"}, 403, "fieldNotWritable"), ({"nome": "x"}, 400, "badRequest"), ({"name": 1}, 400, "invalid"),
        ({"modifiedTime": "yesterday"}, 400, "invalid"), ({"parents": "root"}, 400, "invalid"),
        ({"parents": ["root", one]}, 403, "cannotAddParent"), ({"parents": ["nowhere"]}, 404, "notFound"),
        ({"trashed": True}, 403, "fieldNotWritable"), ({"appProperties": {"k" * 100: "v" * 100}}, 400, "invalid")):
    refused(ask("POST", "/files", body), status, why, "create: %s" % json.dumps(body)[:60])
refused(ask("POST", "/files", "{", headers={"Content-Type": "application/json"}), 400, "parseError", "no JSON")
refused(ask("POST", "/files", "name=x", headers={"Content-Type": "text/plain"}), 400, "badRequest", "not said to be JSON")

# --- multipart ---
status, made, _ = upload({"id": two, "name": "it's \\ a.txt", "parents": [one], "modifiedTime": "2020-01-02T03:04:05.678Z"},
                         b"\x00\r\n--\xff", query={"fields": "id,size,md5Checksum,sha256Checksum,modifiedTime,headRevisionId,parents"})
same((status, made["size"], made["sha256Checksum"], made["modifiedTime"], made["parents"]),
     (200, "6", hashlib.sha256(b"\x00\r\n--\xff").hexdigest(), "2020-01-02T03:04:05.678Z", [one]), "an upload")
refused(upload({"id": two, "name": "again"}), 409, "duplicate", "the id again, with bytes")
refused(upload({}, parts=[("application/json", b"{}")]), 400, "badContent", "one part")
refused(upload({}, parts=[("application/json", b"{}"), ("text/plain", b"a"), ("text/plain", b"b")]), 400, "badContent", "three parts")
refused(upload({}, parts=[("text/plain", b"a"), ("application/json", b"{}")]), 400, "badContent", "the bytes first")
refused(upload({"size": "6"}), 403, "fieldNotWritable", "a size in the metadata")
same(ask("POST", "/files", b"--B--", {"uploadType": "multipart"}, headers={"Content-Type": "multipart/form-data; boundary=B"},
         place="/upload/drive/v3")[0], 400, "a form")
same(ask("POST", "/files", b"", place="/upload/drive/v3")[0], 400, "no kind of upload")
refused(upload({"name": "x"}, b"x" * (9 << 20)), 413, "uploadTooLarge", "9 MiB in one request")
same(upload({"name": "empty"}, b"", query={"fields": "size"})[1], {"size": "0"}, "an empty file")
doc = upload({"name": "converted", "mimeType": "application/vnd.google-apps.document"}, b"text",
             query={"fields": "id,md5Checksum"})[1]
ok("md5Checksum" not in doc, "a foreign body with a mimeType of Google's is converted")

# --- changing ---
head = made["headRevisionId"]
got = upload({}, b"new", "/files/" + two, "PATCH", {"fields": "headRevisionId,version,size"})[1]
ok(got["headRevisionId"] != head and got["size"] == "3" and got["version"] == "2", "a new version")
refused(ask("PATCH", "/files/" + two, {"parents": ["root"]}), 403, "fieldNotWritable", "parents in an update")
refused(ask("PATCH", "/files/" + two, {"id": three}), 403, "fieldNotWritable", "an id in an update")
refused(ask("PATCH", "/files/%s?addParents=root" % two, {}), 403, "cannotAddParent", "a second parent")
refused(ask("PATCH", "/files/%s?addParents=root&removeParents=%s" % (two, a), {}), 400, "invalid", "from where it is not")
same(ask("PATCH", "/files/%s?addParents=%s&removeParents=%s&fields=parents" % (two, a, one), {"name": "moved"})[1], {"parents": [a]}, "a move")
refused(ask("PATCH", "/files/%s?addParents=%s&removeParents=root" % (one, one), {}), 403, "cyclicMembership", "a folder into itself")
same(ask("PATCH", "/files/" + two, {"name": "x"}, headers={"If-Match": '"no"'})[0], 200, "If-Match is not looked at")
same(ask("PATCH", "/files/%s?fields=trashed,explicitlyTrashed" % a, {"trashed": True})[1], {"trashed": True, "explicitlyTrashed": True}, "trash")
same(ask("GET", "/files/%s?fields=trashed,explicitlyTrashed" % two)[1], {"trashed": True, "explicitlyTrashed": False}, "and what is in it")
same(upload({"name": "unseen", "parents": [a]})[0], 200, "an upload into a trashed folder")
ask("PATCH", "/files/" + a, {"trashed": False})

# --- searches ---
upload({"name": "O'Neill \\ É.txt", "parents": [one], "appProperties": {"k": "v"}})
same(names(search("'%s' in parents and name = 'O\\'Neill \\\\ É.txt'" % one)), ["O'Neill \\ É.txt"], "a name with ' and \\")
same(names(search("'%s' in parents and name = 'o\\'neill \\\\ É.TXT'" % one)), ["O'Neill \\ É.txt"], "names whatever their case")
same(names(search("'%s' in parents and name = 'o\\'neill \\\\ é.txt'" % one)), [], "but for letters with accents")
same(names(search("name contains 'Neil' and trashed=false")), ["O'Neill \\ É.txt"], "the beginning of a word")
same(names(search("name contains 'eill'")), [], "not its middle")
same(names(search("appProperties has { key='k' and value='v' }")), ["O'Neill \\ É.txt"], "a property of the app")
for q in ("name = 'O'Neill'", "id = '%s'" % one, "size > 1", "name = 'a' and", "trashed = 'false'", "name like 'a'",
          "'%s' in folders" % one, "modifiedTime > 'then'", "(trashed=false", "appProperties has { key='k' }", "name = 'a\\x'"):
    refused(search(q), 400, "invalid", "q: " + q)
refused(search("'nowhere' in parents"), 404, "notFound", "children of what is not there")
same(len(names(search("not mimeType = '%s' and 'root' in parents or 'nobody@x' in owners" % FOLDER))) > 0, True, "not, and, or")
refused(search("fullText contains 'a'", orderBy="name"), 400, "invalid", "full text in an order")
refused(search("trashed=false", orderBy="size"), 400, "invalid", "an order that there is not")
act("google", "setting", search_lag=60)
late = upload({"name": "late", "parents": [one]})[1]["id"]
same(names(search("'%s' in parents and name = 'late'" % one)), [], "a name is found late")
same("late" in names(search("'%s' in parents" % one)), True, "a folder's child at once")
same(ask("GET", "/files/" + late)[0], 200, "an id at once")
control("clock", {"advance": 61})
same(names(search("'%s' in parents and name = 'late'" % one)), ["late"], "after a while")
act("google", "setting", search_lag=0)
bulk = act("google", "bulk", path="/Bulk", count=250, quiet=True)["folder"]
page = search("'%s' in parents" % bulk, pageSize=100, fields="nextPageToken,files(id,name)")[1]
refused(search("'%s' in parents" % one, pageSize=100, pageToken=page["nextPageToken"]), 400, "invalid", "a token of another search")
second = search("'%s' in parents" % bulk, pageSize=100, fields="nextPageToken,files(id,name)", pageToken=page["nextPageToken"])[1]
ok(not {f["id"] for f in page["files"]} & {f["id"] for f in second["files"]}, "pages do not overlap")

# --- downloads ---
path = "/files/%s?alt=media" % two
same(ask("GET", path)[1], b"new", "all of a file")
same(ask("GET", path, headers={"Range": "bytes=1-"})[:2], (206, b"ew"), "a part")
same(ask("GET", path, headers={"Range": "bytes=3-"})[0], 416, "behind the end")
empty = names(search("name = 'empty'")) and search("name = 'empty'")[1]["files"][0]["id"]
same(ask("GET", "/files/%s?alt=media" % empty, headers={"Range": "bytes=0-"})[0], 416, "a range of an empty file")
act("google", "flag", id=two, abusive=True)
refused(ask("GET", path), 403, "cannotDownloadAbusiveFile", "a flagged file")
same(ask("GET", path + "&acknowledgeAbuse=true")[0], 200, "acknowledged")
refused(ask("GET", "/files/%s?alt=media&acknowledgeAbuse=true" % late), 403, "invalidAbuseAcknowledgment", "acknowledged for nothing")
native = act("google", "native", path="/document", size=11 << 20)["id"]
refused(ask("GET", "/files/%s?alt=media" % native), 403, "fileNotDownloadable", "a document's bytes")
refused(ask("GET", "/files/%s/export?mimeType=application/pdf" % native), 403, "exportSizeLimitExceeded", "a large export")
refused(ask("GET", "/files/%s/export?mimeType=image/gif" % native), 400, "badRequest", "an export that there is not")
refused(ask("GET", "/files/%s/export?mimeType=text/plain" % late), 403, "fileNotExportable", "an export of a file")
link = act("google", "shortcut", path="/link", target="/document")["id"]
same(ask("GET", "/files/%s?fields=shortcutDetails(targetId)" % link)[1], {"shortcutDetails": {"targetId": native}}, "a shortcut")

# --- resumable ---
data = bytes(range(256)) * 3000


def begin(metadata, method="POST", path="/files", **headers):
    status, got, sent = ask(method, path + "?uploadType=resumable&fields=id,size,md5Checksum", metadata, place="/upload/drive/v3",
                            headers={k.replace("_", "-"): v for k, v in headers.items()})
    return sent["location"].partition("/upload/")[2] if status == 200 else (status, got)


def put(session, first, last, total=len(data), body=None, **headers):
    sent = {"Content-Range": "bytes %s/%s" % ("*" if first is None else "%d-%d" % (first, last), total)}
    status, got, answer = ask("PUT", "/upload/" + session, data[first:last + 1] if first is not None else b"", token=None, place="",
                              headers=dict(sent, **{k.replace("_", "-"): v for k, v in headers.items()}))
    return status, answer.get("range"), got


session = begin({"name": "large", "id": three}, X_Upload_Content_Length=str(len(data)))
same(put(session, None, None)[:2], (308, None), "nothing there yet")
same(put(session, 0, 99999)[0], 400, "a chunk that is no multiple of 262,144")
same(put(session, 262144, 524287)[0], 400, "a chunk too far")
same(put(session, 0, 262143, len(data) + 1)[0], 400, "another size than was said")
same(put(session, 0, 262143)[:2], (308, "bytes=0-262143"), "the first chunk")
same(put(session, None, None, X_GUploader_No_308="yes")[0], 200, "without 308, if so asked")
number = fault(service="google", route="upload.session", kind="partial_chunk", keep=0)
same(put(session, 262144, len(data) - 1)[:2], (308, "bytes=0-262143"), "a chunk of which nothing is kept")
status, _, got = put(session, 262144, len(data) - 1)
same((status, got["id"], got["md5Checksum"]), (200, three, hashlib.md5(data).hexdigest()), "the last chunk")
same(put(session, None, None)[2]["id"], three, "the session tells what became of it")
same(reason(begin({"name": "large", "id": three})), (409, "duplicate"), "the id is taken")
session = begin({"name": "zero"})
same(put(session, 0, -1, 0)[0], 400, "no bytes in a chunk")
same(ask("PUT", "/upload/" + session, b"", token=None, place="")[1]["size"], "0", "no bytes without a range")
session = begin({"name": "unknown"})
same(put(session, 0, 524287, "*")[0], 308, "a size not known yet")
same(put(session, 524288, len(data) - 1)[0], 200, "and then it is")
session = begin({}, "PATCH", "/files/" + three)
same(ask("PUT", "/upload/" + session, b"short", token=None, place="")[1]["id"], three, "a new version by a session")
session = begin({"name": "old"})
same(ask("PUT", "/upload/" + session, b"x", token="x", place="")[0], 401, "a token that is none, though none is needed")
control("clock", {"advance": 8 * 86400})
GRANT = act("google", "grant")
same(put(session, None, None)[0], 404, "a session after a week")


def now(*arguments, **named):
    return ask(*arguments, token=GRANT["access_token"], **named)


session = now("POST", "/files?uploadType=resumable", body={"name": "none"}, place="/upload/drive/v3")[2]["location"].partition("/upload/")[2]
same(now("DELETE", "/upload/" + session, place="")[0], 499, "cancelled")

session = now("POST", "/files?uploadType=resumable", body={"name": "broken"}, place="/upload/drive/v3")[2]["location"].partition("/upload/")[2]
fault(service="google", route="upload.session", kind="reset", at="body", after=400000)
try:
    put(session, 0, 524287)
    ok(False, "a chunk breaks off")
except (OSError, http.client.HTTPException):
    kept = put(session, None, None)[1]
    ok(kept in (None, "bytes=0-262143"), "a chunk breaks off: whole steps of what came are kept, or nothing")
same(act("google", "add", path="/x", name="a/b\n..", text="x")["name"], "a/b\n..", "any name will do")

# --- changes ---
token = now("GET", "/changes/startPageToken")[1]["startPageToken"]
folder = act("google", "mkdir", path="/C/D")
file = act("google", "add", path="/C/D/f.txt", text="f")
act("google", "edit", path="/C/D/f.txt", text="ff")
act("google", "rename", path="/C", name="E")
got = now("GET", "/changes?fields=newStartPageToken,changes(fileId,removed,file(name))&pageToken=" + token)[1]
same([c["file"]["name"] for c in got["changes"]], ["D", "f.txt", "E"], "each once, folders by themselves alone")
same(now("GET", "/changes?pageToken=%s&fields=changes" % got["newStartPageToken"])[1], {"changes": []}, "and then nothing")
act("google", "delete", path="/E/D")
act("google", "trash", path="/E")
after = now("GET", "/changes?fields=newStartPageToken,changes(fileId,removed,file(trashed))&pageToken=" + got["newStartPageToken"])[1]
same([(c["removed"], c.get("file")) for c in after["changes"]], [(True, None), (False, {"trashed": True})], "deleted and trashed")
refused(now("GET", "/changes?pageToken=nonsense"), 400, "invalid", "a token that is none")
refused(now("GET", "/changes"), 400, "required", "no token")
act("google", "bulk", path="/Many", count=2500)
pages, at, found = 0, after["newStartPageToken"], set()
while at:
    got = now("GET", "/changes?pageSize=1000&fields=nextPageToken,newStartPageToken,changes(fileId)&pageToken=" + at)[1]
    found |= {c["fileId"] for c in got["changes"]}
    pages, at, last = pages + 1, got.get("nextPageToken"), got.get("newStartPageToken")
    same(last is None, at is not None, "a page has the one token or the other")
same((pages, len(found)), (3, 2501), "many changes")

# --- shared drives, sharing ---
team = act("google", "drive", name="Team", members={"anna@example.com": "writer", "bert@example.org": "organizer"})["id"]
inside = act("google", "add", drive="Team", path="/a.txt", text="a")["id"]
refused(now("GET", "/files/" + inside), 404, "notFound", "a shared drive without supportsAllDrives")
same(now("GET", "/files/%s?supportsAllDrives=true&fields=driveId" % inside)[1], {"driveId": team}, "and with it")
refused(now("GET", "/files?corpora=drive&" + ALL), 400, "invalid", "no driveId")
same(now("GET", "/files?corpora=drive&driveId=" + team)[0], 400, "no includeItemsFromAllDrives")
same(len(now("GET", "/files?corpora=drive&driveId=%s&%s" % (team, ALL))[1]["files"]), 1, "its files")
same(now("GET", "/files?q=%s" % urllib.parse.quote("name = 'a.txt'"))[1]["files"], [], "which the user's search has not")
refused(now("PATCH", "/files/%s?supportsAllDrives=true" % inside, body={"trashed": True}), 403, "insufficientFilePermissions", "a writer trashes nothing")
refused(now("DELETE", "/files/%s?supportsAllDrives=true" % inside), 403, "insufficientFilePermissions", "nor deletes")
log = now("GET", "/changes/startPageToken?supportsAllDrives=true&driveId=" + team)[1]["startPageToken"]
refused(now("GET", "/changes?pageToken=" + log), 400, "invalid", "a drive's token in the user's log")
refused(now("GET", "/changes?%s&driveId=%s&pageToken=%s" % (ALL, team, token)), 400, "invalid", "and the other way about")
act("google", "edit", drive="Team", path="/a.txt", text="b")
same([c["fileId"] for c in now("GET", "/changes?%s&driveId=%s&pageToken=%s" % (ALL, team, log))[1]["changes"]], [inside], "the drive's own log")
bert = act("google", "grant", user="bert@example.org")["access_token"]
refused(ask("GET", "/files/" + native, token=bert), 404, "notFound", "another user's file")
act("google", "share", path="/Bulk", **{"with": "bert@example.org"}, role="reader")
same(ask("GET", "/files/%s?fields=name,parents" % bulk, token=bert)[1], {"name": "Bulk"}, "shared, its parent unseen")
same(names(search("sharedWithMe", token=bert)), ["Bulk"], "what is shared with me")
refused(ask("POST", "/files", {"name": "x", "parents": [bulk]}, token=bert), 403, "insufficientParentPermissions", "a reader writes nothing")
key = act("google", "service_account", name="robot")
at = int(control("clock")["now"])
claims = {"iss": key["client_email"], "scope": "https://www.googleapis.com/auth/drive", "aud": key["token_uri"], "iat": at, "exp": at + 3600}
text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (
    {"alg": "RS256", "typ": "JWT", "kid": key["private_key_id"]}, claims))
signed = serialization.load_pem_private_key(key["private_key"].encode(), None).sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
robot = form("google", "oauth", "/token", grant_type="urn:ietf:params:oauth:grant-type:jwt-bearer",
             assertion=text + "." + base64.urlsafe_b64encode(signed).decode().rstrip("="))[1]["access_token"]
theirs = act("google", "add", path="/Robot/theirs.txt", text="t")
act("google", "share", path="/Robot", **{"with": key["client_email"]}, role="writer")
same(ask("GET", "/files/%s?alt=media" % theirs["id"], token=robot)[1], b"t", "a service account reads what is shared with it")
refused(ask("POST", "/files", {"name": "x", "parents": [theirs["parent"]]}, token=robot), 403, "storageQuotaExceeded",
        "but has no room for files of its own")
same(ask("PATCH", "/files/%s?uploadType=media" % theirs["id"], b"new", token=robot, place="/upload/drive/v3")[0], 200,
     "what is another's it may write")
act("google", "member", drive="Team", user=key["client_email"], role="writer")
same(ask("POST", "/files?supportsAllDrives=true", {"name": "x", "parents": [team]}, token=robot)[0], 200, "and in a shared drive")
act("google", "quota", limit=0)
refused(ask("POST", "/files", {"name": "x", "mimeType": FOLDER, "parents": [one]}, token=bert), 404, "notFound", "an unseen folder")
same(reason(ask("POST", "/files", multipart({"name": "x"}), {"uploadType": "multipart"}, token=GRANT["access_token"],
                headers={"Content-Type": "multipart/related; boundary=B"}, place="/upload/drive/v3")),
     (403, "storageQuotaExceeded"), "no room")
act("google", "quota", limit=None)

# --- faults ---
fault(service="google", kind="error", status=403, reason="userRateLimitExceeded", message="User rate limit exceeded.")
got = now("GET", "/files")
same((got[0], got[1]["error"]["errors"][0]), (403, {"domain": "usageLimits", "reason": "userRateLimitExceeded",
                                                    "message": "User rate limit exceeded."}), "a fault: 403")
fault(service="google", kind="throttle", retry_after=7)
got = now("GET", "/files")
same((got[0], got[2]["retry-after"]), (429, "7"), "a fault: 429")
fault(service="google", route="changes.list", kind="bad_token", status=410)
same(now("GET", "/changes?pageToken=" + last)[0], 410, "a fault: a token gone")
fault(service="google", route="files.list", kind="incomplete")
same(now("GET", "/files?fields=incompleteSearch")[1], {"incompleteSearch": True}, "a fault: an incomplete search")
done()
