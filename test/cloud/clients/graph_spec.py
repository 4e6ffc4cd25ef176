"""The test cloud's OneDrive and SharePoint against Microsoft's own typings of Graph
(npm's @microsoft/microsoft-graph-types, in NODE_MODULES): every property of an answer
is known there and of the type said there."""
import json
import os
import re
import sys

from client import READY, act, done, fault, ok, request, same

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from graph_rep import DRIVE_PROPERTIES, PROPERTIES  # noqa: E402

PATH = os.environ["NODE_MODULES"] + "/@microsoft/microsoft-graph-types/microsoft-graph.d.ts"


def described():
    """{interface: {name: type}}, those it extends included, and {enumeration: [word, ...]}."""
    types, above, words, name = {}, {}, {}, None
    with open(PATH, encoding="utf-8") as typings:
        text = typings.read()
    for found in re.finditer(r"export type (\w+) =([^;]*);", text):
        words[found.group(1)] = re.findall(r'"([^"]*)"', found.group(2))
    for line in text.split("\n"):
        begun = re.match(r"export interface (\w+)(?: extends (\w+))? \{", line)
        told = re.match(r"    (\w+)\??: (.*);$", line)
        if begun:
            name, above[begun.group(1)] = begun.group(1), begun.group(2)
            types[name] = {}
        elif told and name:
            types[name][told.group(1)] = re.sub(r"NullableOption<(.*)>$", r"\1", told.group(2))

    def whole(kind):
        return dict(whole(above[kind]) if above.get(kind) in types else {}, **types[kind])
    return {kind: whole(kind) for kind in types}, words


TYPES, WORDS = described()
# What the services add to these types, which are open.
OPEN = {"Identity": ("email",), "IdentitySet": ("group",)}


def fits(value, kind, where):
    """What is wrong with a value of an answer."""
    if value is None or kind == "any":
        return []
    if kind.endswith("[]"):
        return [where + " is no list"] if not isinstance(value, list) else [
            w for one in value for w in fits(one, kind[:-2], where + "[]")]
    if kind in WORDS:
        return [] if value in WORDS[kind] else ["%s: %r" % (where, value)]
    if kind in TYPES:
        if not isinstance(value, dict):
            return [where + " is no object"]
        return [w for name, one in value.items() if not name.startswith("@") and name not in OPEN.get(kind, ()) for w in (
            fits(one, TYPES[kind][name], where + "." + name) if name in TYPES[kind] else [where + "." + name + " is unknown"])]
    wanted = {"string": str, "boolean": bool, "number": int}[kind]
    return [] if isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool)) else [
        "%s is no %s: %r" % (where, kind, value)]


tokens = {user: act("graph", "grant", user=user, scopes=scopes)["access_token"] for user, scopes in (
    ("anna@contoso.example", ["Files.ReadWrite.All", "Sites.ReadWrite.All"]), ("bert@outlook.example", ["Files.ReadWrite.All"]))}


def ask(method, path, body=None, user="anna@contoso.example", status=200):
    sent = {"Authorization": "Bearer " + tokens[user]}
    if path.startswith("https:"):
        path = "/" + path.partition("//")[2].partition("/")[2]
    else:
        path = "/v1.0" + path
    if body is not None and not isinstance(body, bytes):
        sent["Content-Type"], body = "application/json", json.dumps(body)
    got, _, text = request("graph", "api", path, sent, body or b"", method)
    same(got, status, "%s %s" % (method, re.sub(r"[!b][^/]{40,}", "ID", path)[:80]))
    return json.loads(text)


def typed(value, kind, words):
    same(fits(value, kind, kind), [], words)
    return value


for where, user in (({}, "anna@contoso.example"), ({"site": "/sites/team-a"}, "anna@contoso.example"),
                    ({"user": "bert@outlook.example"}, "bert@outlook.example")):
    info = act("graph", "drive_info", **where)
    base, kind = "/drives/" + info["id"], info["kind"]
    act("graph", "add", path="/F/a.txt", text="a", **where)
    act("graph", "package", path="/F/notes", **where)
    act("graph", "remote", path="/F/link", drive_id="b!x", item_id="01X", **where)
    act("graph", "add", path="/F/virus", text="v", **where)
    act("graph", "malware", path="/F/virus", **where)
    link = ask("GET", base + "/root/delta?token=latest", user=user)["@odata.deltaLink"]
    act("graph", "add", path="/G/b.txt", text="b", **where)
    act("graph", "delete", path="/F/a.txt", **where)
    typed(ask("GET", base, user=user), "Drive", kind + ": a drive")
    typed(ask("GET", base + "/root", user=user), "DriveItem", kind + ": the root")
    for one in ask("GET", base + "/root:/F:/children", user=user)["value"] + ask("GET", link, user=user)["value"] + ask(
            "GET", base + "/root/delta", user=user)["value"]:
        typed(one, "DriveItem", kind + ": an item")
    typed(ask("POST", base + "/root:/s.bin:/createUploadSession", {"item": {}}, user), "UploadSession", kind + ": a session")
typed(ask("GET", "/me"), "User", "a user")
typed(ask("GET", "/sites/contoso.sharepoint.com:/sites/team-a"), "Site", "a site")
for one in ask("GET", "/sites/contoso.sharepoint.com:/sites/team-a:/drives")["value"]:
    typed(one, "Drive", "a library")
unknown = PROPERTIES - set(TYPES["DriveItem"]) - {"@microsoft.graph.downloadUrl", "content.downloadUrl", "sharepointIds"}
same(sorted(unknown), [], "what can be selected of an item")
same(sorted(set(TYPES["DriveItem"]) - PROPERTIES), [], "and nothing is left out")
same(sorted(DRIVE_PROPERTIES - set(TYPES["Drive"])), ["sharepointIds"], "what can be selected of a drive")
fault(service="graph", kind="error", status=409, code="nameAlreadyExists", inner="x")
got = ask("GET", "/me", status=409)["error"]
ok(set(got) in ({"code", "message", "innerError"}, {"code", "message", "innererror"}), "an error")
ok(len(TYPES) > 500 and READY, "there was something to compare with")
done()
