"""The test cloud's Google Drive against the service's own description of itself: the
typings of npm's @maxim_mazurok/gapi.client.drive-v3, which are made from it (in
NODE_MODULES). Parameters, properties and their types are the same on both sides."""
import json
import os
import re
import sys
import urllib.parse

from client import act, done, ok, request, same

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import gdrive_query  # noqa: E402
from gdrive import METHODS, UPLOADS  # noqa: E402

PATH = os.environ["NODE_MODULES"] + "/@maxim_mazurok/gapi.client.drive-v3/index.d.ts"
NOT_OURS = {"access_token", "callback", "oauth_token", "$.xgafv", "alt", "fields", "key", "prettyPrint", "quotaUser",
            "uploadType", "upload_protocol"}


def described():
    """{interface: {name: type or {...}}} and {"files.list": {parameter: type}}."""
    types, methods = {}, {}
    stack, method = [], None
    with open(PATH, encoding="utf-8") as typings:
        for line in typings:
            line = line.strip()
            if line.startswith(("/*", "*", "//")):
                continue
            begun = re.match(r"interface (\w+) \{", line)
            called = re.match(r"(\w+)\(\s*(?:request\??: \{)?$", line)
            told = re.match(r"'?([\w$.]+)'?\??:\s*(.*?);?$", line)
            if begun:
                stack, resource = [types.setdefault(begun.group(1), {})], begun.group(1)
            elif called and resource.endswith("Resource"):
                method = methods.setdefault(resource[:-8].lower() + "." + called.group(1), {})
                stack = [method]
            elif told and stack and told.group(2) == "{":
                stack.append(stack[-1].setdefault(told.group(1), {}))
            elif told and stack and told.group(1) != "request":
                stack[-1][told.group(1)] = told.group(2)
            elif line.startswith("}") and len(stack) > 1:
                stack.pop()
    return types, methods


TYPES, CALLS = described()
TOKEN = {"Authorization": "Bearer " + act("google", "grant")["access_token"]}


def get(path, **query):
    status, _, text = request("google", "api", "/drive/v3" + path + "?" + urllib.parse.urlencode(query), TOKEN, b"", "GET")
    return status, json.loads(text)


# --- parameters ---
for row in METHODS + UPLOADS:
    name = {"files.emptyTrash": "files.emptyTrash", "upload.create": "files.create", "upload.update": "files.update"}.get(row[0], row[0])
    theirs = {p for p in CALLS[name] if p not in NOT_OURS | {"resource", "fileId", "body", "request"}}
    ours = set(row[4])
    same((sorted(ours - theirs), sorted(theirs - ours)), ([], []) if name != "drives.get" else (sorted(ours - theirs), ["driveId"]),
         "%s: the same parameters" % row[0])
    for parameter, kind in row[4].items():
        their = CALLS[name].get(parameter, "")
        same("boolean" if kind == "bool" else "number" if kind.startswith("int") else "string",
             "string" if "'" in their else their, "%s: %s" % (row[0], parameter))


# --- properties ---
def compare(tree, kind, where):
    """The tree of `fields` against an interface."""
    their = TYPES.get(kind) if isinstance(kind, str) else kind
    names = set(tree) - {"*"}
    if not names or their is None:
        return
    same((sorted(names - set(their)), sorted(set(their) - names)), ([], []), where + ": the same properties")
    for name in names & set(their):
        if isinstance(tree[name], dict):
            below = their[name]
            compare(tree[name], re.sub(r"\[\]$", "", below) if isinstance(below, str) else below, where + "." + name)


for name, tree in (("FileList", gdrive_query.FILE_LIST), ("ChangeList", gdrive_query.CHANGE_LIST), ("About", gdrive_query.ABOUT),
                   ("DriveList", gdrive_query.DRIVE_LIST), ("GeneratedIds", gdrive_query.IDS), ("StartPageToken", gdrive_query.START)):
    compare(tree, name, name)


# --- answers ---
def fits(value, kind, where):
    """What is wrong with a value of an answer."""
    if isinstance(kind, dict) and isinstance(value, list):  # the end of such a type is not looked at
        return [w for one in value for w in fits(one, kind, where + "[]")]
    if isinstance(kind, dict) or kind in TYPES:
        known = kind if isinstance(kind, dict) else TYPES[kind]
        if not isinstance(value, dict):
            return [where + " is no object"]
        return [w for name, one in value.items() for w in (
            fits(one, known[name], where + "." + name) if name in known else [where + "." + name + " is unknown"])]
    if kind.endswith("[]"):
        return [where + " is no list"] if not isinstance(value, list) else [
            w for one in value for w in fits(one, kind[:-2], where + "[]")]
    if kind.startswith("{"):
        return [] if isinstance(value, dict) else [where + " is no map"]
    wanted = {"string": str, "boolean": bool, "number": (int, float)}[kind]
    return [] if isinstance(value, wanted) else ["%s is no %s: %r" % (where, kind, value)]


act("google", "add", path="/F/a.txt", text="a")
act("google", "native", path="/F/document")
act("google", "shortcut", path="/F/link", target="/F/a.txt")
act("google", "trash", path="/F/link")
act("google", "share", path="/F", **{"with": "bert@example.org"}, role="writer")
act("google", "drive", name="Team")
for words, kind, answer in (
        ("files.list", "FileList", get("/files", fields="*")), ("about.get", "About", get("/about", fields="*")),
        ("changes.list", "ChangeList", get("/changes", fields="*", pageToken=1000)),
        ("drives.list", "DriveList", get("/drives", fields="*")), ("files.generateIds", "GeneratedIds", get("/files/generateIds")),
        ("changes.getStartPageToken", "StartPageToken", get("/changes/startPageToken")),
        ("files.get", "File", get("/files/root", fields="*"))):
    same((answer[0], fits(answer[1], kind, kind)), (200, []), words + ": the answer is of its type")
ok(len(TYPES["File"]) > 60 and len(CALLS) > 40, "there was something to compare with")
done()
