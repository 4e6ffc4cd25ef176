"""That the test cloud's Dropbox refuses what the service refuses (fact sheet,
sections 1, 3, 7), and that faults and the log do what they say."""
import http.client
import json
import threading

from client import act, control, done, fault, ok, port, request, same

TOKEN = act("dropbox", "grant")["access_token"]
USER = {"Authorization": "Bearer " + TOKEN}
JSON = dict(USER, **{"Content-Type": "application/json"})
OCTETS = dict(USER, **{"Content-Type": "application/octet-stream"})


try:
    from dropbox_spec import disagrees
except ImportError:
    disagrees = None
disagreed = []


def rpc(route, told, headers=JSON, host="api"):
    body = told if isinstance(told, (str, bytes)) else json.dumps(told)
    status, _, text = request("dropbox", host, "/2/" + route, headers, body)
    return answer(route, status, text)


def answer(route, status, text):
    if status == 400:
        return status, text.decode()
    told = json.loads(text) if text else None
    if disagrees is not None:
        why = disagrees(route, status, told)
        if why:
            disagreed.append((route, status, why, told))
    if status != 200:
        return status, told["error"]
    return status, told


def content(route, told, body=b"", headers=OCTETS, **more):
    arg = told if isinstance(told, (str, bytes)) else json.dumps(told)
    status, answered, text = request("dropbox", "content", "/2/" + route, dict(
        headers, **{"Dropbox-API-Arg": arg}, **more), body)
    if route == "files/download" and status in (200, 206):
        answer(route, 200, answered["dropbox-api-result"])
        return status, json.loads(answered["dropbox-api-result"]), text
    return answer(route, status, text)


def refused(got, status, words, about):
    ok(got[0] == status and words in (got[1] if isinstance(got[1], str) else json.dumps(got[1])), about)
    if got[0] != status or words not in (got[1] if isinstance(got[1], str) else json.dumps(got[1])):
        print("# got: %r" % (got,))


# --- arguments and headers ---

api = 'Error in call to API function "'
refused(rpc("files/list_folder", {"path": ""}, dict(USER, **{"Content-Type": "application/x-www-form-urlencoded"})), 400,
        'Bad HTTP "Content-Type" header', "a form's Content-Type is refused")
refused(rpc("files/list_folder", {"path": "", "foo": 1}), 400, "request body: unknown field 'foo'", "an unknown field")
refused(rpc("files/list_folder", {}), 400, "missing required field 'path'", "a missing field")
refused(rpc("files/list_folder", {"path": 1}), 400, "path: expected string, got integer", "a wrong type")
refused(rpc("files/list_folder", {"path": "", "limit": 2001}), 400, "not within range [1, 2000]", "a limit out of range")
refused(rpc("files/list_folder", {"path": "", "recursive": 1}), 400, "expected boolean", "a number for a boolean")
refused(rpc("files/list_folder", {"path": "/"}), 400, "Specify the root folder as an empty string", "/ for the root")
refused(rpc("files/list_folder", {"path": "a"}), 400, "did not match pattern", "a path without its slash")
refused(rpc("files/list_folder", '{"path": ""'), 400, "could not decode input as JSON", "half an object")
refused(rpc("files/list_folder", '{"path": "", "path": ""}'), 400, "could not decode", "a field twice")
refused(rpc("files/list_folder/continue", {"cursor": "x", "path": ""}), 400, "unknown field 'path'", "path beside a cursor")
refused(rpc("users/get_current_account", "{}"), 400, "request body: expected null, got value", "{} for void")
same(rpc("users/get_current_account", "null")[0], 200, "null for void")
same(rpc("users/get_current_account", "", USER)[0], 200, "nothing at all for void")
refused(rpc("files/nothing", {}), 400, "Unknown API function", "an unknown function")
refused(rpc("files/upload", {}), 400, "not served by this host", "an upload at the host of the API")
refused(content("files/upload_session/finish_batch_v2", {}), 400, "not served by this host", "a batch at the host of contents")
refused(rpc("files/list_folder", {"path": ""}, {"Content-Type": "application/json"}), 400, "Must provide HTTP header "
        '"Authorization"', "no Authorization")
refused(rpc("files/list_folder", {"path": ""}, dict(JSON, Authorization="Basic eDp5")), 400, "Invalid authorization value",
        "Basic for a user's function")
refused(rpc("files/list_folder", {"path": ""}, dict(JSON, Authorization="Bearer sl.x")), 401, "invalid_access_token",
        "a token that nobody gave out")
refused(rpc("files/list_folder/longpoll", {"cursor": "x"}, JSON, "notify"), 400, "includ", "Authorization where none is to be")
refused(rpc("files/list_folder/longpoll", {"cursor": "x", "timeout": 10}, {"Content-Type": "application/json"}, "notify"), 400,
        "not within range [30, 480]", "a longpoll that is too short")
PLAIN = {"Content-Type": "application/json"}
poll = "files/list_folder/longpoll"
refused(rpc(poll, {"cursor": "x", "timeout": 481}, PLAIN, "notify"), 400, "not within range [30, 480]", "one that is too long")
refused(rpc(poll, {"cursor": "x"}, PLAIN, "notify"), 400, "cursor", "one of a cursor that is none")
refused(rpc(poll, {"timeout": 30}, PLAIN, "notify"), 400, "missing required field 'cursor'", "one without a cursor")
refused(rpc(poll, {"cursor": "x", "limit": 1}, PLAIN, "notify"), 400, "unknown field 'limit'", "one with a field of its own")
refused(rpc(poll, {"cursor": "x"}, dict(PLAIN, **{"Dropbox-API-Path-Root": '{".tag":"home"}'}), "notify"), 400,
        "Dropbox-API-Path-Root", "one that names a root")
refused(rpc(poll, {"cursor": "x"}, PLAIN), 400, "not served by this host", "one at the API's host")

refused(content("files/upload", '{"path":"/é"}'.encode()), 400, 'HTTP header "Dropbox-API-Arg": could not decode',
        "UTF-8 in the header")
refused(content("files/upload", "%7B%22path%22%3A%22%2Fa%22%7D"), 400, "could not decode", "percent-encoding in the header")
refused(content("files/upload", {"path": "/a"}, headers=USER), 400, "Content-Type", "an upload without Content-Type")
refused(content("files/upload", {"path": "/a", "client_modified": "2026-01-02T03:04:05.5Z"}), 400, "does not match format",
        "a fraction of a second")
refused(content("files/upload", {"path": "/a", "mode": "update"}), 400, "expected object for 'update', got symbol",
        "update without its revision")
refused(content("files/upload", {"path": "/a", "mode": {".tag": "add", "add": 1}}), 400, "unexpected key", "a void member's value")
refused(content("files/upload", {"path": "/a", "content_hash": "0" * 64}, b"x"), 409, "content_hash_mismatch", "a wrong hash")
refused(content("files/upload", {"path": "/a/"}), 409, "malformed_path", "a slash at the end")
refused(content("files/upload", {"path": "/a "}), 409, "malformed_path", "a space at the end")
refused(content("files/upload", {"path": "/Thumbs.DB"}), 409, "disallowed_name", "a name of Windows' own")
refused(content("files/upload", {"path": "/" + "x" * 256}), 409, "malformed_path", "a name of 256 characters")
refused(content("files/download", {"path": "/a"}, b"{}"), 400, "Non-empty HTTP body", "a body with a download")

limited = act("dropbox", "grant", scopes=["files.metadata.read"])["access_token"]
refused(content("files/upload", {"path": "/a"}, headers=dict(OCTETS, Authorization="Bearer " + limited)), 401,
        '"required_scope": "files.content.write"', "a scope that was not granted")

# --- names, conflicts, revisions ---

status, first = content("files/upload", {"path": "/Files/\u00c9t\u00e9 \U0001f600.txt"}, b"one")
same((status, first["path_display"], first["size"]), (200, "/Files/\u00c9t\u00e9 \U0001f600.txt", 3), "an escaped name, with an emoji")
again = content("files/upload", {"path": "/files/e\u0301T\u00e9 \U0001f600.TXT"}, b"one")
same(again[1].get("rev"), first["rev"], "the same content under the same name in other case and form is no change")
refused(content("files/upload", {"path": "/files/\u00e9t\u00e9 \U0001f600.txt"}, b"two"), 409,
        '"reason": {".tag": "conflict", "conflict": {".tag": "file"}}', "another content is a conflict, flattened")
status, second = content("files/upload", {"path": first["path_lower"], "autorename": True}, b"two")
ok(second["name"].endswith("(2).txt"), "autorename")
status, third = content("files/upload", {"path": first["path_lower"], "mode": {".tag": "update", "update": first["rev"]}}, b"3")
same((third["id"], third["rev"] != first["rev"]), (first["id"], True), "an update by revision keeps the id")
refused(content("files/upload", {"path": first["id"], "mode": {".tag": "update", "update": first["rev"]}}, b"4"), 409, "conflict",
        "an update by an old revision")
refused(content("files/upload", {"path": first["path_lower"], "strict_conflict": True}, b"3"), 409, "conflict",
        "the same content with strict_conflict")
refused(content("files/upload", {"path": first["path_lower"] + "/x"}, b"3"), 409, "file_ancestor", "a file is no folder")
same(content("files/download", {"path": "rev:" + first["rev"]})[2], b"one", "an old revision can be read")
same(content("files/download", {"path": first["id"]}, Range="bytes=0-0")[0], 206, "a range")
same(content("files/upload", {"path": "/Files/empty"})[1]["content_hash"],
     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "the hash of nothing")
same(content("files/upload", {"path": "/Files/A"}, b"A" * 4194305)[1]["content_hash"],
     "8f553da8d00d0bf509d8470e242888be33019c20c0544811f5b2b89e98360b92", "the hash of two blocks")
refused(rpc("files/create_folder_v2", {"path": "/FILES"}), 409,
        '{".tag": "path", "path": {".tag": "conflict", "conflict": {".tag": "folder"}}}', "a folder that is there")
refused(rpc("files/move_v2", {"from_path": "/Files", "to_path": "/Files/x"}), 409, "cant_move_folder_into_itself", "into itself")
refused(rpc("files/move_v2", {"from_path": "/Files", "to_path": "/files"}), 409, "duplicated_or_nested_paths", "only the case")
refused(rpc("files/delete_v2", {"path": second["path_lower"], "parent_rev": first["rev"]}), 409, "conflict", "another revision")

# --- sessions ---

def start(close=False, body=b"", **more):
    return content("files/upload_session/start", dict({"close": close}, **more), body)[1]["session_id"]


def cursor(session, offset):
    return {"session_id": session, "offset": offset}


session = start(body=b"1234")
refused(content("files/upload_session/append_v2", {"cursor": cursor(session, 2)}, b"5"), 409, '"correct_offset": 4', "an offset")
same(content("files/upload_session/append_v2", {"cursor": cursor(session, 4)}, b"56"), (200, None), "an append gives null")
refused(content("files/upload_session/finish", {"cursor": cursor(session, 0), "commit": {"path": "/s"}}), 409,
        '{".tag": "lookup_failed", "lookup_failed": {".tag": "incorrect_offset", "correct_offset": 6}}', "at the end it is nested")
refused(content("files/upload_session/finish", {"cursor": cursor(session, 6), "commit": {"path": "/Files/A"}}, b"7"), 409,
        '{".tag": "path", "path": {".tag": "conflict"', "a conflict at the end, nested")
same(content("files/upload_session/finish", {"cursor": cursor(session, 7), "commit": {"path": "/s"}})[1]["size"], 7,
     "what came with the failed end is kept")
refused(content("files/upload_session/append_v2", {"cursor": cursor(session, 7)}, b""), 409, "not_found", "a finished session")

ids = rpc("files/upload_session/start_batch", {"num_sessions": 3})[1]["session_ids"]
entries = [{"cursor": cursor(s, 0), "length": 2, "close": i != 2} for i, s in enumerate(ids)]
refused(content("files/upload_session/append_batch", {"entries": entries}, b"aabb"), 400, "lengths", "lengths that do not fit")
same([e[".tag"] for e in content("files/upload_session/append_batch", {"entries": entries}, b"aabbcc")[1]["entries"]],
     ["success"] * 3, "a batched append")
batch = [{"cursor": cursor(s, 2), "commit": {"path": "/batch/%d" % i}} for i, s in enumerate(ids)]
results = rpc("files/upload_session/finish_batch_v2", {"entries": batch + [{"cursor": cursor(ids[0], 2), "commit": {"path": "/s"}}]})
same([e[".tag"] for e in results[1]["entries"]], ["success", "success", "failure", "failure"], "a batch, each for itself")
refused((409, results[1]["entries"][2]["failure"]), 409, '"lookup_failed": {".tag": "not_closed"}', "a session that is open")
act("dropbox", "settings", append_batch=False)
refused(content("files/upload_session/append_batch", {"entries": entries}, b""), 400, "Unknown API function", "without batched appends")
act("dropbox", "settings", append_batch=True)

concurrent = start(session_type="concurrent")
refused(content("files/upload_session/append_v2", {"cursor": cursor(concurrent, 5)}, b"x"), 409,
        "concurrent_session_invalid_offset", "an offset within a block")
refused(content("files/upload_session/append_v2", {"cursor": cursor(concurrent, 0)}, b"x"), 409,
        "concurrent_session_invalid_data_size", "a short part that is not the last")
part = b"x" * 4194304
content("files/upload_session/append_v2", {"cursor": cursor(concurrent, 4194304), "close": True}, b"y")
refused(content("files/upload_session/finish", {"cursor": cursor(concurrent, 4194305), "commit": {"path": "/c"}}), 409,
        "concurrent_session_missing_data", "a part that never came")

old = start(body=b"1")
control("clock", {"advance": 8 * 86400})
TOKEN = act("dropbox", "grant")["access_token"]
refused(content("files/upload_session/append_v2", {"cursor": cursor(old, 1)}, b""), 401, "expired_access_token", "a token of a week ago")
USER["Authorization"] = JSON["Authorization"] = OCTETS["Authorization"] = "Bearer " + TOKEN
refused(content("files/upload_session/append_v2", {"cursor": cursor(old, 1)}, b""), 409, "not_found", "a session of a week ago")

# --- cursors ---

status, listed = rpc("files/list_folder", {"path": "/batch", "recursive": True})
same([e["path_lower"] for e in listed["entries"]], ["/batch", "/batch/0", "/batch/1"], "a recursive listing has its folder")
act("dropbox", "add", path="/batch/sub/new.txt", content="new")
act("dropbox", "delete", path="/batch/0")
act("dropbox", "rename", path="/batch/sub", to="/batch/Moved")
act("dropbox", "add", path="/elsewhere", content="not of this folder")
status, changed = rpc("files/list_folder/continue", {"cursor": listed["cursor"]})
same([(e[".tag"], e["path_display"]) for e in changed["entries"]],
     [("deleted", "/batch/0"), ("deleted", "/batch/sub"), ("folder", "/batch/Moved"), ("file", "/batch/Moved/new.txt")],
     "events in their order")
same(rpc("files/list_folder/continue", {"cursor": listed["cursor"]})[1]["entries"], changed["entries"], "a cursor can be used again")
same(rpc("files/list_folder/continue", {"cursor": changed["cursor"]})[1]["entries"], [], "nothing more")
refused(rpc("files/list_folder/continue", {"cursor": changed["cursor"][:-2]}), 400, "cursor", "half a cursor")
act("dropbox", "add", path="/Gone/one", content="x")
act("dropbox", "add", path="/Gone/two", content="x")
act("dropbox", "delete", path="/Gone/one")
# newer than the client whose word answers are held to
told = json.loads(request("dropbox", "api", "/2/files/list_folder", JSON, json.dumps(
    {"path": "/Gone", "include_deleted": True, "include_restorable_info": True}))[2])["entries"]
same({e["name"]: e.get("is_restorable") for e in told}, {"one": True, "two": None}, "what can be restored is said of what is deleted")
act("dropbox", "reset_cursors")
refused(rpc("files/list_folder/continue", {"cursor": changed["cursor"]}), 409, "reset", "a reset")
act("dropbox", "delete", path="/batch")
cursor_of = rpc("files/list_folder/get_latest_cursor", {"path": "/Files"})[1]["cursor"]
act("dropbox", "rename", path="/Files", to="/Files 2")
refused(rpc("files/list_folder/continue", {"cursor": cursor_of}), 409, '"path": {".tag": "not_found"}', "the folder has gone")

act("dropbox", "bulk", path="/many", count=100000, suffix=".pdf")
status, listed = rpc("files/list_folder", {"path": "/many", "limit": 2000})
same((len(listed["entries"]), listed["has_more"], listed["entries"][7]["name"]), (2000, True, "file-0000007.pdf"), "100,000 files")
file = listed["entries"][7]
same(content("files/download", {"path": file["id"]})[1]["content_hash"], file["content_hash"], "one of them")
latest = rpc("files/list_folder/get_latest_cursor", {"path": "/many"})[1]["cursor"]
for i in range(10):
    act("dropbox", "add", path="/many/new %d" % i, content="new")
same(len(rpc("files/list_folder/continue", {"cursor": latest})[1]["entries"]), 10, "ten new ones among them")

# --- team space, path roots ---

team = act("dropbox", "grant", user="bert@example.org")["access_token"]
TEAM = dict(JSON, Authorization="Bearer " + team)
info = rpc("users/get_current_account", "null", TEAM)[1]["root_info"]
same((info[".tag"], info["home_path"]), ("team", "/Bert Example"), "an account with a team space")
ROOT = {"Dropbox-API-Path-Root": json.dumps({".tag": "root", "root": info["root_namespace_id"]})}
same([e["name"] for e in rpc("files/list_folder", {"path": ""}, TEAM)[1]["entries"]], [], "its own folder")
same([e["name"] for e in rpc("files/list_folder", {"path": ""}, dict(TEAM, **ROOT))[1]["entries"]], ["Bert Example", "Projects"],
     "the whole by its path root")
refused(rpc("files/list_folder", {"path": ""}, dict(TEAM, **{"Dropbox-API-Path-Root": '{".tag":"root","root":"1"}'})), 422,
        '".tag": "invalid_root"', "another root")
refused(rpc("files/list_folder", {"path": ""}, dict(TEAM, **{"Dropbox-API-Path-Root": '{".tag":"namespace_id","namespace_id":"1"}'})),
        422, '".tag": "no_permission"', "a namespace of others")
refused(rpc("files/create_folder_v2", {"path": "/x"}, dict(TEAM, **ROOT)), 409, "team_folder", "nothing beside the team's folders")

# --- a namespace that takes one commit at a time ---

act("dropbox", "locks", hold=2)
first_one = []
other = threading.Thread(target=lambda: first_one.append(content("files/upload", {"path": "/at once 1"}, b"1")))
other.start()
while act("dropbox", "locks")["held"] == 0:
    pass
refused(rpc("files/create_folder_v2", {"path": "/at once 2"}), 429, "too_many_write_operations", "a second commit at a time")
same(rpc("files/create_folder_v2", {"path": "/at once 3"}, TEAM)[0], 200, "in another namespace it is taken")
other.join()
same(first_one[0][0], 200, "the first is taken")
act("dropbox", "locks", hold=0.01)

# --- faults and the log ---

mark = control("requests", {"count": True})
fault(service="dropbox", route="files/get_metadata", kind="throttle", retry_after=7)
refused(rpc("files/get_metadata", {"path": "/s"}), 429, '"retry_after": 7', "a fault: 429")
same(rpc("files/get_metadata", {"path": "/s"})[0], 200, "once")
fault(service="dropbox", route="files/get_metadata", kind="expired")
refused(rpc("files/get_metadata", {"path": "/s"}), 401, "expired_access_token", "a fault: the token has expired")
TOKEN = act("dropbox", "grant")["access_token"]
USER["Authorization"] = JSON["Authorization"] = OCTETS["Authorization"] = "Bearer " + TOKEN
fault(service="dropbox", route="files/upload", kind="reset", at="commit")
try:
    content("files/upload", {"path": "/lost"}, b"lost answer")
    ok(False, "a fault: the answer is lost")
except (OSError, http.client.HTTPException):
    same(rpc("files/get_metadata", {"path": "/lost"})[1].get("size"), 11, "a fault: the answer is lost, the work is done")
fault(service="dropbox", route="files/upload", kind="quota")
refused(content("files/upload", {"path": "/full"}, b"x"), 409, "insufficient_space", "a fault: quota")
fault(service="dropbox", route="files/upload", kind="locked")
refused(content("files/upload", {"path": "/locked"}, b"x"), 429, "too_many_write_operations", "a fault: a locked namespace")
session = start()
fault(service="dropbox", route="files/upload_session/append_v2", kind="partial", after=3)
try:
    content("files/upload_session/append_v2", {"cursor": cursor(session, 0)}, b"123456")
except (OSError, http.client.HTTPException):
    pass
refused(content("files/upload_session/append_v2", {"cursor": cursor(session, 0)}, b"123456"), 409, '"correct_offset": 3',
        "a fault: a part of a part is stored")
latest = rpc("files/list_folder/get_latest_cursor", {"path": ""})[1]["cursor"]
content("files/upload", {"path": "/polled"}, b"polled")
fault(service="dropbox", route=poll, kind="backoff", seconds=7)
same(rpc(poll, {"cursor": latest}, PLAIN, "notify")[1], {"changes": True, "backoff": 7}, "a fault: no longpoll for a while")
same(rpc(poll, {"cursor": latest}, PLAIN, "notify")[1], {"changes": True}, "what changed before it is told at once")
fault(service="dropbox", route=poll, kind="reset_cursor")
refused(rpc(poll, {"cursor": latest}, PLAIN, "notify"), 409, "reset", "a fault: a longpoll's cursor is refused")
for kind, words in (("truncate", "an answer that is cut off"), ("garbage", "an answer that is no HTTP"), ("length", "a wrong length")):
    fault(service="dropbox", route="files/get_metadata", kind=kind)
    try:
        rpc("files/get_metadata", {"path": "/s"})
        ok(False, "a fault: " + words)
    except (OSError, http.client.HTTPException):
        ok(True, "a fault: " + words)
log = control("requests", {"service": "dropbox", "since": mark, "route": "files/get_metadata"})
same([entry["status"] for entry in log][:3], [429, 200, 401], "the log")
ok(TOKEN not in json.dumps(control("requests", {})), "no token is in the log")
same(disagreed, [], "all answers are as the service's specification has them")
done()
