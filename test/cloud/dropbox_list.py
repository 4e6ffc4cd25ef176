"""Dropbox's listings: list_folder with cursors, longpoll, metadata, revisions (fact
sheet, section 3.5). A cursor first goes through what is there, then through the
events since it was given; it says nothing readable."""
import asyncio
import base64
import hashlib
import json
import zlib

from dropbox_files import deleted_metadata, look, metadata, stamp, version_of
from dropbox_tree import Problem, key_of


def seal(work, state):
    packed = zlib.compress(json.dumps(state).encode())
    check = hashlib.sha256(packed + b"cursor").digest()[:6]
    return "AA" + base64.urlsafe_b64encode(check + packed).decode().rstrip("=")


def unseal(cursor):
    """What a cursor says, or None: it is none of ours."""
    try:
        data = base64.urlsafe_b64decode(cursor[2:] + "=" * (-len(cursor[2:]) % 4))
        if not cursor.startswith("AA") or hashlib.sha256(data[6:] + b"cursor").digest()[:6] != data[:6]:
            return None
        return json.loads(zlib.decompress(data[6:]))
    except (ValueError, zlib.error):
        return None


def begin(work, argument):
    """The state of a new cursor."""
    if argument["shared_link"] is not None:
        raise work.api.bad(work.call, "request body: shared_link is not played here")
    try:
        node = look(work, argument["path"])
        if not node.folder:
            raise Problem("not_folder")
    except Problem as why:
        raise work.problem("path", *why.tags) from None
    tree = work.tree
    top = next(n for n in tree.keys_from_top(node) if n is work.root or n.namespace) if not tree.within(
        node, work.root) else work.root
    return {"user": work.account.user.id, "top": top.namespace or "", "folder": [n.key for n in tree.path_keys(node, top)],
            "id": node.id if argument["path"].startswith("id:") else None, "recursive": argument["recursive"],
            "limit": argument["limit"], "since": len(tree.events), "offset": 0, "generation": tree.reset_before,
            "deleted": argument["include_deleted"], "at": [], "downloadable": not argument["include_non_downloadable_files"],
            "restorable": argument["include_restorable_info"]}


def folder_of(work, state):
    """The folder of a cursor, found again."""
    top = work.account.namespaces().get(state["top"]) or work.root
    node = top
    for key in state["folder"]:
        node = work.tree.child(node, key) if node.folder else None
        if node is None:
            break
    if node is None or not node.folder or (state["id"] and node.id != state["id"]):
        raise work.problem("path", "not_found")
    return top, node


def entry_of(work, node, above):
    """metadata(), for many of a folder: a file of a bulk is below what is known."""
    if node.folder or node.flags or node.parent.bulk is None or node.told is not None:
        return metadata(work, node)
    if node.parent not in above:
        above.clear()
        above[node.parent] = work.tree.lower(node.parent, work.root), work.tree.display(node.parent, work.root)
    lower, display = above[node.parent]
    return {".tag": "file", "name": node.name, "id": node.id, "path_lower": lower + "/" + node.key,
            "path_display": display + "/" + node.name, "client_modified": stamp(node.client_modified),
            "server_modified": stamp(node.server_modified), "rev": node.rev, "size": node.blob.size,
            "is_downloadable": True, "content_hash": node.blob.content_hash}


def page(work, state, limit):
    """The next entries; the state goes on."""
    top, folder = folder_of(work, state)
    work.root, root = top, work.root
    entries, above = [], {}
    try:
        if state["at"] is not None:
            started = tuple(state["at"])
            if not started and state["recursive"] and folder is not top:
                entries.append(metadata(work, folder))
            last = started
            for keys, node in work.tree.walk(folder, folder, started, state["recursive"]):
                if len(entries) >= limit:
                    state["at"] = list(last)
                    return entries, True
                last = keys
                if not (state["downloadable"] and "no_download" in node.flags):
                    entries.append(entry_of(work, node, above))
            if state["deleted"]:
                entries += deleted_below(work, top, folder, state)
            state["at"] = None
            more = len(work.tree.events) > state["since"]
            return entries, more
        return changes(work, state, top, limit)
    finally:
        work.root = root


def deleted_entry(name, keys, state, restorable):
    told = deleted_metadata(None, name, keys)
    return dict(told, is_restorable=restorable) if state["restorable"] else told


def deleted_below(work, top, folder, state):
    root, prefix = work.tree.prefix_of(top)
    base = prefix + tuple(n.key for n in work.tree.path_keys(folder, top))
    found = []
    for (where, keys), node in work.tree.deleted.items():
        if where is root and work.tree.is_below(keys, base, state["recursive"]) and not exists(work, top, keys[len(prefix):]):
            found.append(deleted_entry(node.name, keys[len(prefix):], state, True))
    return found


def exists(work, top, keys):
    node = top
    for key in keys:
        node = work.tree.child(node, key) if node is not None and node.folder else None
    return node is not None


def changes(work, state, top, limit):
    entries, tree, above = [], work.tree, {}
    position = (state["since"], state["offset"])
    end = len(tree.events)
    for kind, what, keys, after in tree.changes(top, tuple(state["folder"]), state["since"], state["offset"],
                                                state["recursive"]):
        if len(entries) >= limit:
            state["since"], state["offset"] = position
            return entries, True
        position = after
        if kind == "del":
            root, prefix = tree.prefix_of(top)
            entries.append(deleted_entry(what, keys, state, (root, prefix + tuple(keys)) in tree.deleted))
        elif not (state["downloadable"] and "no_download" in what.flags):
            entries.append(entry_of(work, what, above))
    state["since"], state["offset"] = end, 0
    return entries, False


def answer(work, state):
    call = work.call
    limit = state["limit"] or work.api.settings["page"]
    if call.fault_is("small_page"):
        limit = int(call.fault.get("entries", 1))
    if call.fault_is("empty_page"):
        return {"entries": [], "cursor": seal(work, state), "has_more": True}
    entries, more = page(work, state, limit)
    return {"entries": entries, "cursor": seal(work, state), "has_more": more}


async def list_folder(work, argument):
    return answer(work, begin(work, argument))


def opened(work, cursor):
    state = unseal(cursor)
    if state is None or (work.account is not None and state["user"] != work.account.user.id):
        raise work.api.bad(work.call, "request body: cursor: did not match pattern: invalid cursor")
    if work.account is None:
        work.account = work.api.account(work.api.authority.user(state["user"]))
        work.tree = work.account.tree
    if work.call.fault_is("reset_cursor") or state["generation"] != work.tree.reset_before:
        raise work.problem("reset")
    return state


async def list_continue(work, argument):
    return answer(work, opened(work, argument["cursor"]))


async def latest_cursor(work, argument):
    state = begin(work, argument)
    state["at"] = None
    return {"cursor": seal(work, state)}


async def longpoll(work, argument):
    """Wakes for any change of the account, not only in the folder."""
    state = opened(work, argument["cursor"])
    end = asyncio.get_running_loop().time() + argument["timeout"]
    dropped, ended = work.api.polls["drop"], work.api.polls["end"]
    told = {"changes": len(work.tree.events) > state["since"]}
    while not told["changes"] and work.api.polls["end"] == ended:
        rest = end - asyncio.get_running_loop().time()
        if rest <= 0:
            break
        try:
            await asyncio.wait_for(work.api.changed.wait(), rest)
        except asyncio.TimeoutError:
            break
        if work.api.polls["drop"] != dropped:
            raise Reset
        told["changes"] = len(work.tree.events) > state["since"]
    if work.call.fault_is("backoff"):
        told["backoff"] = int(work.call.fault.get("seconds", 5))
    return told


async def get_metadata(work, argument):
    path = argument["path"]
    try:
        if path.startswith("rev:"):
            node, version = version_of(work, path)
            return metadata(work, node, version=version)
        node = look(work, path)
        if node is work.root:
            raise Problem("malformed_path")
        return metadata(work, node)
    except Problem as why:
        if argument["include_deleted"] and why.tags == ("not_found",) and path.startswith("/"):
            keys = tuple(key_of(name) for name in path[1:].split("/"))
            root, prefix = work.tree.prefix_of(work.root)
            node = work.tree.deleted.get((root, prefix + keys))
            if node is not None:
                return deleted_metadata(work, node.name, keys)
        raise work.problem("path", *why.tags) from None


async def list_revisions(work, argument):
    path, gone = argument["path"], False
    try:
        node = look(work, path)
    except Problem as why:
        keys = tuple(key_of(name) for name in path[1:].split("/"))
        root, prefix = work.tree.prefix_of(work.root)
        node = work.tree.deleted.get((root, prefix + keys))
        if node is None:
            raise work.problem("path", *why.tags) from None
        gone = True
    if node.folder:
        raise work.problem("path", "not_file")
    entries = []
    for rev, blob, client, server, name in node.history[::-1][:argument["limit"]]:
        told = {"name": name, "id": node.id, "client_modified": stamp(client), "server_modified": stamp(server), "rev": rev,
                "size": blob.size, "is_downloadable": True, "content_hash": blob.content_hash}
        if not gone:
            told.update(path_lower=work.tree.lower(node, work.root), path_display=work.tree.display(node, work.root))
        entries.append(told)
    return {"is_deleted": gone, "entries": entries, "has_more": len(node.history) > len(entries)}


WORK = {
    "files/list_folder": list_folder, "files/list_folder/continue": list_continue,
    "files/list_folder/get_latest_cursor": latest_cursor, "files/list_folder/longpoll": longpoll,
    "files/get_metadata": get_metadata, "files/list_revisions": list_revisions,
}
