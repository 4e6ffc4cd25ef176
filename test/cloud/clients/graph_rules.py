"""That the test cloud's OneDrive and SharePoint refuse what the services refuse and do
what they do (the fact sheet on Graph, sections 1, 3, 4 and 8)."""
import http.client
import json
import re
import urllib.parse

from client import act, control, done, fault, ok, request, same, url

GRANT = act("graph", "grant", scopes=["Files.ReadWrite.All", "Sites.ReadWrite.All", "offline_access"])
BERT = act("graph", "grant", user="bert@outlook.example", scopes=["Files.ReadWrite.All", "offline_access"])
ME = act("graph", "drive_info")
TEAM = act("graph", "drive_info", site="/sites/team-a")
PERSONAL = act("graph", "drive_info", user="bert@outlook.example")
RAW = {"Content-Type": "application/octet-stream"}


def ask(method, path, body=None, token=GRANT["access_token"], headers=None, host="api"):
    """Status, JSON (or bytes) and headers; a path below /v1.0, or a whole address."""
    sent = dict(headers or {})
    if path.startswith("https:"):
        path = path.partition("//")[2].partition("/")[2]
    elif host == "api":
        path = "v1.0" + path
    if token:
        sent["Authorization"] = "Bearer " + token
    if isinstance(body, dict):
        body = json.dumps(body)
        sent.setdefault("Content-Type", "application/json")
    status, got, text = request("graph", host, "/" + path, sent, body if body is not None else b"", method)
    try:
        return status, json.loads(text), got
    except ValueError:
        return status, text, got


def files(method, address, body=b"", headers=None, token=None):
    return ask(method, address, body, token, headers, "files")


def code(answer):
    error = answer[1]["error"] if isinstance(answer[1], dict) and "error" in answer[1] else {"code": answer[1]}
    inner = error.get("innerError", error.get("innererror", {}))
    return answer[0], inner.get("code", error["code"])


def refused(answer, status, why, words):
    same(code(answer), (status, why), words)


def at(drive, path=""):
    return "/drives/%s%s" % (drive["id"], path)


def put(drive, path, data=b"x", query="", headers=None, **more):
    return ask("PUT", at(drive, "/root:/%s:/content%s" % (path, query)), data, headers=dict(RAW, **(headers or {})), **more)


def folder(drive, name, parent="root", behaviour="fail", **more):
    return ask("POST", at(drive, "/items/%s/children" % (drive["root"] if parent == "root" else parent)),
               {"@microsoft.graph.conflictBehavior": behaviour, "name": name, "folder": {}}, **more)


def session(drive, path, item=None, **more):
    return ask("POST", at(drive, "/root:/%s:/createUploadSession" % path),
               {"item": item if item is not None else {"@microsoft.graph.conflictBehavior": "replace"}}, **more)


def fragment(address, first, last, total, data=None, token=None, headers=None):
    data = bytes(last - first + 1) if data is None else data
    return files("PUT", address, data, dict({"Content-Range": "bytes %d-%d/%d" % (first, last, total)}, **(headers or {})), token)


STEP = 327680

# --- who asks ---
refused(ask("GET", "/me/drive", token=None), 401, "InvalidAuthenticationToken", "no token")
refused(ask("GET", "/me/drive", token="x"), 401, "InvalidAuthenticationToken", "a token that is none")
reads = act("graph", "grant", scopes=["Files.Read.All"])["access_token"]
refused(folder(ME, "x", token=reads), 403, "accessDenied", "a scope that only reads")
own = act("graph", "grant", scopes=["Files.ReadWrite"])["access_token"]
same(ask("GET", at(ME, "/root"), token=own)[0], 200, "one's own files")
refused(ask("GET", at(TEAM, "/root"), token=own), 403, "accessDenied", "not a site's")
refused(ask("GET", at(PERSONAL, "/root")), 403, "accessDenied", "nor another's")
refused(ask("GET", "/sites/contoso.sharepoint.com:/sites/team-a", token=BERT["access_token"]), 400, "BadRequest",
        "sites by a personal account")
same(ask("GET", "/users/anna@contoso.example/drive")[1]["id"], ME["id"], "a drive by its user")
sites = ask("GET", "/sites/contoso.sharepoint.com:/sites/team-a:/drives")[1]["value"]
same([d["name"] for d in sites], ["Documents", "Archive"], "the libraries of a site")
site = ask("GET", "/sites/contoso.sharepoint.com:/sites/team-a")[1]["id"]
same(len(site.split(",")), 3, "a site's id has commas in it")
same(ask("GET", "/sites/%s/drive" % site)[1]["id"], TEAM["id"], "and is an address")
refused(ask("GET", "/sites/contoso.sharepoint.com:/sites/none"), 404, "itemNotFound", "a site that there is not")
same(len(ask("GET", "/sites?search=team")[1]["value"]), 1, "a search for sites")
selected = act("graph", "grant", scopes=["Sites.Selected"])["access_token"]
refused(ask("GET", "/sites?search=team", token=selected), 403, "accessDenied", "not by Sites.Selected")
refused(ask("GET", at(TEAM, "/root"), token=selected), 403, "accessDenied", "nor a site before it is granted")
app = act("graph", "apps")[0]["client_id"]
act("graph", "grant_site", site="/sites/team-a", app=app, role="read")
same(ask("GET", at(TEAM, "/root"), token=selected)[0], 200, "a granted site")
refused(put(TEAM, "x.txt", token=selected), 403, "accessDenied", "granted to read")

# --- addresses ---
same(folder(ME, "A")[0], 201, "a folder")
same(folder(ME, "A b#%é")[0], 201, "a name to be encoded")
same(ask("GET", at(ME, "/root:/A%20b%23%25%C3%A9"))[1]["name"], "A b#%é", "found by its path")
same(ask("GET", at(ME, "/root:/a"))[1]["name"], "A", "whatever the case")
same(ask("GET", at(ME, "/root:/a:"))[0], 200, "with a colon behind it")
for path in ("/root:/:", "/root:/:/children", "/root:/A::/children", "/root:/A//B", "/root:/A/../B", "/items/x:y"):
    same(ask("GET", at(ME, path))[0], 400, "no address: " + path)
same(ask("GET", at(ME, "/root:/%ff"))[0], 400, "no UTF-8")
refused(ask("GET", at(ME, "/root:/nothing")), 404, "itemNotFound", "what is not there")
refused(ask("GET", at(ME, "/items/01NONE")), 404, "itemNotFound", "an id that there is not")
refused(ask("GET", at(ME, "/root?$select=id,etag")), 400, "BadRequest", "a property that there is not")
refused(ask("GET", at(ME, "/root/children?$skip=1")), 400, "invalidRequest", "$skip")
refused(ask("PUT", at(ME, "/root:/A:x.txt:/content"), b"x", headers=RAW), 400, "invalidRequest", "a colon astray")
same(ask("POST", at(ME, "/root/permanentDelete"), b"")[0], 403, "the root stays")

# --- names ---
for name in ("a*b", 'a"b', "a|b", "a<b", " a", "a ", "a.", "CON", "con.txt", "lpt1", "desktop.ini", ".lock", "~$a", "x_vti_y", "forms", "~a", "a\u0001"):
    refused(folder(ME, name), 400, "invalidPath", "a forbidden name: %r" % name)
same(folder(PERSONAL, "forms", token=BERT["access_token"])[0], 201, "forms, in a personal drive")
refused(folder(ME, "x" * 256), 400, "pathIsTooLong", "a long name")
refused(put(ME, "A/" + "/".join(["n" * 100] * 4)), 400, "pathIsTooLong", "a long path")

# --- folders ---
refused(folder(ME, "a"), 409, "nameAlreadyExists", "the name is taken, whatever the case")
refused(folder(ME, "A", behaviour="replace"), 409, "nameAlreadyExists", "replace, at work")
same(folder(PERSONAL, "Forms", behaviour="replace", token=BERT["access_token"])[0], 200, "replace, in a personal drive")
same(folder(ME, "A", behaviour="rename")[1]["name"], "A 1", "rename")
refused(ask("POST", at(ME, "/root/children"), {"name": "x", "folder": {}, "bogus": 1}), 400, "BadRequest", "a field that there is not")
refused(ask("POST", at(ME, "/root/children"), '{"name":"x","folder":{}}', headers=RAW), 400, "invalidRequest", "not said to be JSON")

# --- the simple upload ---
status, file, _ = put(ME, "A/f.txt", b"hello world")
same((status, file["size"], file["file"]["hashes"]), (201, 11, {"quickXorHash": "aCgDG9jwBhDc4Q1yawMZAAAAAAA="}), "a new file")
status, again, _ = put(ME, "A/F.TXT", b"two")
same((status, again["id"], again["name"]), (200, file["id"], "f.txt"), "the same, replaced, and it keeps its name")
ok(again["eTag"] != file["eTag"] and again["cTag"] != file["cTag"], "with other tags")
refused(put(ME, "A/f.txt", query="?@microsoft.graph.conflictBehavior=fail"), 409, "nameAlreadyExists", "fail")
same(put(ME, "A/f.txt", query="?@microsoft.graph.conflictBehavior=rename")[1]["name"], "f 1.txt", "rename")
refused(put(ME, "A", b"x"), 409, "nameAlreadyExists", "a file over a folder")
refused(put(ME, "A/f.txt", headers={"If-Match": file["eTag"]}), 412, "entityTagDoesNotMatch", "If-Match of before")
refused(put(ME, "A/f.txt", headers={"If-Match": file["eTag"].strip('"')}), 400, "malformedEntityTag", "If-Match without quotes")
same(put(ME, "A/f.txt", headers={"If-Match": again["eTag"]})[0], 200, "If-Match")
same(put(ME, "N/e/w/f.txt")[0], 201, "folders on the way are made")
refused(ask("PUT", at(ME, "/items/%s:/N2/f.txt:/content" % ME["root"]), b"x", headers=RAW), 404, "itemNotFound", "not below an id")
same(put(ME, "A/empty", b"")[1]["size"], 0, "an empty file")
same(put(ME, "A/j.json", b"{}", headers={"Content-Type": "application/json"})[0], 400, "a file sent as JSON")
act("graph", "setting", put_limit=4 << 20)
same(put(ME, "A/large", bytes((4 << 20) + 1))[0], 413, "more than may come at once")

# --- upload sessions ---
item = {"name": "s.bin", "@microsoft.graph.conflictBehavior": "replace"}
refused(session(ME, "A/s.bin", item), 400, "invalidRequest", "the annotation behind another member")
same(session(PERSONAL, "s.bin", item, token=BERT["access_token"])[0], 200, "which a personal drive does not mind")
refused(session(ME, "A/s.bin", {"name": "other"}), 400, "invalidRequest", "another name")
refused(session(ME, "A/s.bin", {"fileSize": 0}), 400, "invalidRequest", "no bytes")
refused(session(ME, "A/s.bin", {"size": 5}), 400, "BadRequest", "a field that there is not")
refused(session(ME, "None/s.bin"), 404, "itemNotFound", "a folder that there is not")
status, got, _ = session(ME, "A/s.bin", {"@microsoft.graph.conflictBehavior": "replace", "fileSystemInfo": {"lastModifiedDateTime": "2020-01-02T03:04:05Z"}})
address = got["uploadUrl"]
ok(url("graph", "files") in address and got["nextExpectedRanges"] == ["0-"], "a session's address is of another host")
refused(session(ME, "A/S.BIN"), 409, "nameAlreadyExists", "a second session, as the first holds the name")
refused(put(ME, "A/s.bin"), 409, "nameAlreadyExists", "and so does no upload beside it")
total = 2 * STEP + 5
refused(fragment(address, 0, STEP - 1, total, token=GRANT["access_token"]), 401, "unauthenticated", "a token there")
refused(fragment(address, 0, 99999, total), 400, "fragmentLengthMismatch", "a fragment that is no multiple of 327,680")
refused(fragment(address, STEP, 2 * STEP - 1, total), 416, "fragmentOutOfOrder", "not the next one")
same(fragment(address, 0, STEP - 1, total)[1]["nextExpectedRanges"], ["%d-" % STEP], "the first")
refused(fragment(address, 0, STEP - 1, total), 416, "fragmentOverlap", "the first again")
refused(fragment(address, STEP, 2 * STEP - 1, total + 1), 416, "fragmentLengthMismatch", "another size")
same(files("GET", address)[1]["nextExpectedRanges"], ["%d-" % STEP], "what is there")
same(files("GET", address.replace("dc=0", "dc=1"))[0], 404, "another address")
same(fragment(address, STEP, 2 * STEP - 1, total)[0], 202, "the second")
status, made, _ = fragment(address, 2 * STEP, total - 1, total)
same((status, made["size"], made["fileSystemInfo"]["lastModifiedDateTime"]), (201, total, "2020-01-02T03:04:05Z"), "the last")
same(files("GET", address)[0], 404, "the session is over")
address = session(ME, "A/s.bin")[1]["uploadUrl"]
same(files("DELETE", address)[0], 204, "cancelled")
same(act("graph", "sessions"), {"sessions": 1, "held": 0}, "and the name is free")
etag = ask("GET", at(ME, "/root:/A/s.bin"))[1]["eTag"]
address = session(ME, "A/s.bin", headers={"If-Match": etag})[1]["uploadUrl"]
refused(fragment(address, 0, 4, 5, b"12345"), 412, "entityTagDoesNotMatch", "If-Match, as the session itself changes the eTag")
files("DELETE", address)
address = session(ME, "A/t.bin", {"@microsoft.graph.conflictBehavior": "fail"})[1]["uploadUrl"]
act("graph", "add", path="/A/t.bin", text="theirs")
refused(fragment(address, 0, 4, 5, b"12345"), 409, "nameAlreadyExists", "taken meanwhile")
same(files("GET", address)[1]["nextExpectedRanges"], [], "its bytes are held")
same(ask("PUT", at(ME, "/root:/A/t.bin"), {"name": "t.bin", "@microsoft.graph.conflictBehavior": "rename",
                                           "@microsoft.graph.sourceUrl": address})[1]["name"], "t 1.bin", "and can be committed")
address = session(ME, "A/u.bin")[1]["uploadUrl"]
control("clock", {"advance": 1000})
same(files("GET", address)[0], 404, "a session left alone")
fault(service="graph", route="upload.put", kind="lost_early")
address = session(ME, "A/v.bin")[1]["uploadUrl"]
same(fragment(address, 0, 4, 5, b"12345")[0], 202, "a fault: done, but not said")
same(ask("GET", at(ME, "/root:/A/v.bin"))[1]["size"], 5, "it is there")
act("graph", "quota", total=1)
refused(session(ME, "A/w.bin", {"@microsoft.graph.conflictBehavior": "replace", "fileSize": 100}), 507, "quotaLimitReached", "no room for a session")
refused(put(ME, "A/w.bin", b"12345"), 507, "quotaLimitReached", "no room")
act("graph", "quota", total=1 << 40)

# --- downloads ---
status, _, got = ask("GET", at(ME, "/root:/A/v.bin:/content"))
same((status, url("graph", "files") in got["location"]), (302, True), "a download leads elsewhere")
address = got["location"]
same(files("GET", address)[1:2], (12345,), "without a token")
same(files("GET", address, headers={"Range": "bytes=1-2"})[0], 206, "a part")
same(files("GET", address, headers={"Range": "bytes=5-"})[0], 416, "behind the end")
same(files("GET", address, token=GRANT["access_token"])[0], 401, "with a token")
same(files("GET", address.replace("%3D", "="))[0], 401, "written otherwise")
control("clock", {"advance": 3700})
same(files("GET", address)[0], 401, "an hour later")
GRANT.update(act("graph", "grant", scopes=["Files.ReadWrite.All", "Sites.ReadWrite.All"]))
ask.__defaults__ = (None, GRANT["access_token"], None, "api")
same(ask("GET", at(ME, "/root:/A:/content"))[0], 400, "a folder's content")
act("graph", "malware", path="/A/v.bin")
refused(ask("GET", at(ME, "/root:/A/v.bin:/content")), 403, "malwareDetected", "malware")

# --- changing ---
file = put(ME, "A/c.txt", b"c")[1]
below = folder(ME, "Below")[1]
where = at(ME, "/items/" + file["id"])
moved = ask("PATCH", where, {"name": "d.txt", "parentReference": {"id": below["id"]}})[1]
same((moved["name"], moved["parentReference"]["id"], moved["cTag"]), ("d.txt", below["id"], file["cTag"]), "a move keeps the cTag")
refused(ask("PATCH", where, {"parentReference": {"id": "root"}}), 400, "invalidRequest", "a move to the word root")
refused(ask("PATCH", where, {"parentReference": {"driveId": TEAM["id"], "id": TEAM["root"]}}), 400, "notSupported", "to another drive")
refused(ask("PATCH", where, {"size": 1}), 400, "BadRequest", "a field that is not to be written")
refused(ask("PATCH", where, {"name": "x"}, headers={"If-Match": file["eTag"]}), 412, "entityTagDoesNotMatch", "If-Match of before")
put(ME, "Below/taken.txt")
refused(ask("PATCH", where, {"name": "TAKEN.txt"}), 409, "nameAlreadyExists", "a taken name")
same(ask("PATCH", where, {"fileSystemInfo": {"lastModifiedDateTime": "2020-01-01T00:00:00Z"}})[1]["cTag"] != file["cTag"], True, "times make a version")
act("graph", "lock", path="/Below/d.txt")
refused(ask("PATCH", where, {"name": "x"}), 423, "resourceLocked", "a locked file")
refused(put(ME, "Below/d.txt"), 423, "resourceLocked", "and its bytes")
act("graph", "lock", path="/Below/d.txt", on=False)
refused(ask("DELETE", where, headers={"If-Match": file["eTag"]}), 412, "entityTagDoesNotMatch", "delete what has changed")
same(ask("DELETE", where)[0], 204, "delete")
refused(ask("DELETE", where), 404, "itemNotFound", "once more")
tag = below["eTag"]
same(ask("GET", at(ME, "/items/" + below["id"]), headers={"If-None-Match": ask("GET", at(ME, "/items/" + below["id"]))[1]["eTag"]})[0], 304, "If-None-Match")

# --- Office files in a library ---
status, made, _ = put(TEAM, "letter.docx", b"PK")
got = files("GET", made["@microsoft.graph.downloadUrl"])
ok(made["size"] > 2 and len(got[1]) == made["size"] and made["eTag"].endswith(',2"'), "are rewritten: size, bytes, eTag")
act("graph", "setting", rewriting="late")
made = put(TEAM, "late.xlsx", b"PK")[1]
same(made["size"], 2, "or later")
act("graph", "rewrite")
after = ask("GET", at(TEAM, "/items/" + made["id"]))[1]
ok(after["size"] > 2 and after["cTag"] != made["cTag"], "and then")
same(put(ME, "letter.docx", b"PK")[1]["size"], 2, "not in a OneDrive")

# --- listings and delta ---
act("graph", "bulk", path="/Bulk", count=450)
page = ask("GET", at(ME, "/root:/Bulk:/children?$select=name&$top=200"))[1]
ok(set(page["value"][0]) == {"name"} and "@odata.nextLink" in page, "a page of a listing")
same(len(ask("GET", page["@odata.nextLink"])[1]["value"]), 200, "the next")
same(ask("GET", page["@odata.nextLink"] + "&$top=5")[0], 400, "a link with something added")
same(ask("GET", page["@odata.nextLink"].replace("%3D", "="))[0], 400, "a link written otherwise")


def rounds(link):
    found = []
    while True:
        got = ask("GET", link)[1]
        found += got["value"]
        if "@odata.deltaLink" in got:
            return found, got["@odata.deltaLink"]
        link = got["@odata.nextLink"]


found, link = rounds(at(ME, "/root/delta"))
same(len({one["id"] for one in found}), len(act("graph", "tree")) + 1, "delta: everything, and the root")
ok(all("path" not in one["parentReference"] for one in found), "delta: no paths")
same(rounds(link)[0], [], "delta: nothing has changed")
act("graph", "rename", path="/A", name="Renamed")
got, link = rounds(link)
same([one["name"] for one in got if "root" not in one], ["Renamed"], "delta: a renamed folder, not what is in it")
act("graph", "add", path="/Renamed/n.txt", text="n")
act("graph", "edit", path="/Renamed/n.txt", text="nn")
act("graph", "delete", path="/Below")
before = link
got, link = rounds(link)
same([one.get("name") for one in got if "deleted" not in one], ["root", "Renamed", "n.txt"], "delta: once each, below what it is in")
gone = [one for one in got if "deleted" in one]
ok(len(gone) == 2 and all("name" not in one and "cTag" not in one for one in gone), "delta: deleted, with what was in it, without names")
same([one["id"] for one in rounds(before)[0]], [one["id"] for one in got], "delta: the same link again")
same(rounds(at(ME, "/root/delta?token=latest"))[0], [], "delta: from now on")
same([o["name"] for o in rounds(at(ME, "/root:/Renamed:/delta"))[0]][0], "Renamed", "delta: of a folder")
act("graph", "setting", folder_delta=False)
refused(ask("GET", at(ME, "/root:/Renamed:/delta")), 501, "notSupported", "delta: of the root alone, if so told")
refused(ask("GET", at(ME, "/root/delta?token=nonsense")), 400, "invalidRequest", "delta: a token that is none")
act("graph", "reset_delta")
got = ask("GET", link)
refused(got, 410, "resyncChangesApplyDifferences", "delta: begin anew")
same(len(rounds(got[2]["location"])[0]) > 400, True, "delta: from where it says")
fault(service="graph", route="delta", kind="delta_loop")
got = ask("GET", at(ME, "/root/delta?$top=1000"))[1]
same(urllib.parse.unquote(got["@odata.nextLink"]).endswith("/root/delta?$top=1000"), True, "a fault: a loop")
fault(service="graph", route="delta", kind="resync", code="resyncChangesUploadDifferences", location=False)
got = ask("GET", at(ME, "/root/delta?token=latest"))
same((code(got), "location" in got[2]), ((410, "resyncChangesUploadDifferences"), False), "a fault: without a location")

act("graph", "setting", tell_deletions=False)
link = rounds(at(ME, "/root/delta?token=latest"))[1]
old = act("graph", "mkdir", path="/Again")["id"]
act("graph", "delete", path="/Again")
new = act("graph", "mkdir", path="/Again")["id"]
same([one["id"] for one in rounds(link)[0] if "root" not in one and one["name"] == "Again"], [new], "delta: made again, the old one untold")
act("graph", "setting", truncates=True)
fault(service="graph", route="content.put", kind="reset", at="body", after=300000)
try:
    put(ME, "cut.bin", bytes(900000))
    ok(False, "an upload breaks off")
except (OSError, http.client.HTTPException):
    ok(0 < act("graph", "item", path="/cut.bin")["size"] < 900000, "an upload breaks off, and some of it stays, if so told")

# --- personal drives ---
same(re.fullmatch(r"0[0-9A-F]{15}", PERSONAL["id"]) is not None, True, "a personal drive's id")
act("graph", "setting", vary_ids=True)
BERT = act("graph", "grant", user="bert@outlook.example", scopes=["Files.ReadWrite.All"])
file = put(PERSONAL, "p.txt", b"p", token=BERT["access_token"])[1]
same(file["parentReference"]["driveId"], PERSONAL["id"].lower().lstrip("0"), "varies in answers")
same(ask("GET", "/drives/%s/root" % file["parentReference"]["driveId"], token=BERT["access_token"])[0], 200, "and is understood")
same(len(file["file"]["hashes"]["sha256Hash"]), 64, "there is a SHA-256")
ok('"' not in file["eTag"], "and tags without quotes")

# --- faults ---
fault(service="graph", kind="throttle", retry_after=120)
got = ask("GET", "/me")
same((code(got), got[2]["retry-after"]), ((429, "throttledRequest"), "120"), "a fault: 429")
fault(service="graph", kind="unavailable", retry_after=3600)
got = ask("GET", "/me")
same((got[0], got[2]["retry-after"]), (503, "3600"), "a fault: 503")
fault(service="graph", host="api", kind="quota")
refused(put(ME, "q.txt"), 507, "quotaLimitReached", "a fault: 507")
fault(service="graph", host="files", kind="temp_expired")
same(files("GET", file["@microsoft.graph.downloadUrl"])[0], 401, "a fault: an address that has expired")
done()
