"""Dropbox's files and folders: paths, commits with their conflicts, folders, moves,
deletions, downloads (fact sheet, sections 3.1, 3.2, 3.4, 3.6, 3.7).

WORK: route -> coroutine(work, argument), work being dropbox_api.Work; what it gives
is the answer's JSON, or an Answer.
"""
import calendar
import functools
import json
import re
import time

from blobs import Blob
from cloud import Answer, Reset
from dropbox_tree import Problem, check_name, key_of

LARGEST_BODY = 150 * 1024 * 1024
LARGEST_FILE = 2**41 - 2**22


@functools.lru_cache(1000)
def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def moment(text):
    return None if text is None else calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


# --- metadata -----------------------------------------------------------------------


def metadata(work, node, tag=True, version=None):
    top = work.root
    told = {".tag": "folder" if node.folder else "file"} if tag else {}
    told.update(name=node.name, id=node.id)
    if work.tree.within(node, top):
        told.update(path_lower=work.tree.lower(node, top), path_display=work.tree.display(node, top))
    if node.namespace and node is not top:
        told["sharing_info"] = {"read_only": False, "shared_folder_id": node.namespace, "traverse_only": False,
                                "no_access": False}
    if not node.folder:
        rev, blob, client, server = version or (node.rev, node.blob, node.client_modified, node.server_modified)
        told.update(client_modified=stamp(client), server_modified=stamp(server), rev=rev, size=blob.size,
                    is_downloadable="no_download" not in node.flags, content_hash=blob.content_hash)
        if "no_download" in node.flags:
            told["export_info"] = {"export_as": "docx", "export_options": ["docx"]}
    return told


def deleted_metadata(work, name, keys, display=None):
    lower = "".join("/" + key for key in keys)
    return {".tag": "deleted", "name": name, "path_lower": lower, "path_display": display or lower}


# --- paths --------------------------------------------------------------------------


def split(work, path):
    """Where a path begins, and its names. Problem malformed_path."""
    top = work.root
    if path.startswith("ns:"):
        number, slash, rest = path[3:].partition("/")
        top = work.account.namespaces().get(number)
        if top is None:
            raise Problem("not_found")
        path = slash + rest
    if path == "":
        return top, []
    if path.endswith("/"):
        raise Problem("malformed_path")
    names = path[1:].split("/")
    if len(names) > 300:
        raise Problem("malformed_path")
    return top, names


def look(work, path):
    """The node at a path, or id. Problem of a LookupError."""
    if work.call.fault_is("not_found"):
        raise Problem("not_found")
    if path.startswith("id:"):
        node = work.tree.by_id(path)
        if node is None or not work.tree.within(node, work.root):
            raise Problem("not_found")
        return node
    node, names = split(work, path)
    for name in names:
        if name == "" or name != name.rstrip(" "):
            raise Problem("malformed_path")
        node = work.tree.child(node, key_of(name)) if node.folder else None
        if node is None:
            raise Problem("not_found")
    return node


def target(work, path):
    """Parent (a node, or (node, names still to be made)), name, told parent of what
    is to be written. Problem of a WriteError."""
    if path.startswith("id:"):
        node = work.tree.by_id(path)
        if node is None:
            raise Problem("malformed_path")
        return node.parent, [], node.name, None
    node, names = split(work, path)
    if not names:
        raise Problem("conflict", "folder")
    for name in names:
        check_name(name)
        if not work.api.settings["emoji"] and any(ord(c) > 0xffff for c in name):
            raise Problem("malformed_path")
    if work.call.fault_is("disallowed"):
        raise Problem("disallowed_name")
    told = None if path.startswith("ns:") else path.rpartition("/")[0]
    *parents, last = names
    missing = []
    for name in parents:
        below = work.tree.child(node, key_of(name)) if not missing else None
        if below is None:
            missing.append(name)
        elif not below.folder:
            raise Problem("conflict", "file_ancestor")
        else:
            node = below
    return node, missing, last, told


def allowed(work, node):
    while node is not None:
        if "read_only" in node.flags:
            raise Problem("no_write_permission")
        if node is work.account.root and node is not work.account.home:
            raise Problem("team_folder")
        if node.namespace:
            return
        node = node.parent


def make_parents(work, node, missing):
    for name in missing:
        told = work.tree.display(node, work.root)
        node = work.tree.make_folder(node, name, told)
    return node


def numbered(folder, tree, name, word="({n})"):
    """The first free name of the form "name (2).ext"."""
    stem, dot, extension = name.rpartition(".")
    if not stem:
        stem, dot, extension = name, "", ""
    n = 2
    while True:
        tried = "%s %s%s%s" % (stem, word.format(n=n) if n == 2 or "{n}" in word else word[:-1] + " %d)" % n, dot, extension)
        if tree.child(folder, key_of(tried)) is None:
            return tried
        n += 1


# --- commits ------------------------------------------------------------------------


def namespaces_of(work, *paths):
    """The namespaces that paths lie in, as far as they are there."""
    found = []
    for path in paths:
        try:
            if path.startswith("id:"):
                node = work.tree.by_id(path)
            else:
                node, names = split(work, path)
                for name in names:
                    below = work.tree.child(node, key_of(name)) if node.folder else None
                    if below is None:
                        break
                    node = below
        except Problem:
            continue
        if node is not None:
            namespace = work.tree.namespace_of(node)
            if namespace not in found:
                found.append(namespace)
    return found


def commit(work, info, blob):
    """Makes a content a file. Problem of a WriteError."""
    tree = work.tree
    parent, missing, name, told = target(work, info["path"])
    allowed(work, parent)
    if work.call.fault_is("quota") or tree.used + blob.size > work.account.quota:
        raise Problem("insufficient_space")
    mode, rev = info["mode"]
    modified = moment(info["client_modified"])
    node = None if missing else tree.child(parent, key_of(name))
    if node is None:
        if mode == "update" and info["strict_conflict"]:
            raise Problem("conflict", "file")
        return tree.make_file(make_parents(work, parent, missing), name, blob, modified, told)
    same = not node.folder and node.blob.size == blob.size and node.blob.content_hash == blob.content_hash
    if same and not (info["strict_conflict"] and (mode == "add" or (mode == "update" and node.rev != rev))):
        return node
    if not node.folder and (mode == "overwrite" or (mode == "update" and node.rev == rev)):
        tree.write(node, blob, modified)
        return node
    if info["autorename"]:
        word = "(conflicted copy)" if mode == "update" and not node.folder else "({n})"
        return tree.make_file(parent, numbered(parent, tree, name, word), blob, modified, told)
    raise Problem("conflict", "folder" if node.folder else "file")


async def receive(work, argument):
    """A request's body as a Blob. None: it is too large."""
    pieces, size = [], 0
    fault = work.call.fault
    partial = fault is not None and fault.kind == "partial"
    async for piece in work.call.pieces():
        size += len(piece)
        if size <= LARGEST_BODY:
            pieces.append(piece)
    if size > LARGEST_BODY:
        return None
    data = b"".join(pieces)
    if partial:
        fault.commit()
        work.partial = True
        data = data[:int(fault.get("after", len(data) // 2))]
    return data


def keep(work, data):
    return Blob.of([data], work.api.world.folder)


async def upload(work, argument):
    import dropbox_sessions
    data = await receive(work, argument)
    if data is None:
        raise work.problem("payload_too_large")
    blob = keep(work, data)
    if getattr(work, "partial", False):
        dropbox_sessions.new(work, blob)
        raise Reset
    if argument["content_hash"] is not None and blob.content_hash != argument["content_hash"]:
        raise work.problem("content_hash_mismatch")
    try:
        node = await work.exclusively(namespaces_of(work, argument["path"]), lambda: commit(work, argument, blob))
    except Problem as why:
        session = dropbox_sessions.new(work, blob)
        from dropbox_api import union
        from cloud import Refusal
        raise Refusal(work.api.error(409, {".tag": "path", "reason": union(why.tags),
                                           "upload_session_id": session.id})) from None
    return metadata(work, node, tag=False)


# --- folders ------------------------------------------------------------------------


def make(work, path, autorename):
    parent, missing, name, told = target(work, path)
    allowed(work, parent)
    node = None if missing else work.tree.child(parent, key_of(name))
    if node is not None:
        if not autorename:
            raise Problem("conflict", "folder" if node.folder else "file")
        name = numbered(parent, work.tree, name)
    return work.tree.make_folder(make_parents(work, parent, missing), name, told)


async def create_folder(work, argument):
    try:
        node = await work.exclusively(namespaces_of(work, argument["path"]),
                                      lambda: make(work, argument["path"], argument["autorename"]))
    except Problem as why:
        raise work.problem("path", *why.tags) from None
    return {"metadata": metadata(work, node, tag=False)}


def each(work, items, one):
    """Entries of a batch: success or failure of each."""
    from dropbox_api import union
    entries = []
    for item in items:
        try:
            entries.append(dict({".tag": "success"}, **one(item)))
        except Problem as why:
            entries.append({".tag": "failure", "failure": union(why.tags)})
    return entries


def nested(tag, work_):
    """A Problem below a tag."""
    try:
        return work_()
    except Problem as why:
        raise Problem(tag, *why.tags) from None


async def later(work, argument, entries):
    """A batch's answer: at once, or by a job when there are many or it is forced."""
    done = {".tag": "complete", "entries": entries}
    if not argument.get("force_async") and len(entries) < 100:
        return done
    job = "dbjid:%d" % len(work.api.jobs)
    work.api.jobs[job] = [1, done]
    return {".tag": "async_job_id", "async_job_id": job}


async def check_job(work, argument):
    job = work.api.jobs.get(argument["async_job_id"])
    if job is None:
        raise work.problem("invalid_async_job_id")
    job[0] -= 1
    return {".tag": "in_progress"} if job[0] >= 0 else job[1]


async def create_folder_batch(work, argument):
    def one(path):
        return {"metadata": metadata(work, nested("path", lambda: make(work, path, argument["autorename"])), tag=False)}
    entries = await work.exclusively(namespaces_of(work, *argument["paths"]), lambda: each(work, argument["paths"], one))
    return await later(work, argument, entries)


# --- deletions and moves --------------------------------------------------------------


def drop(work, entry):
    node = nested("path_lookup", lambda: look(work, entry["path"]))
    if node.parent is None:
        raise Problem("path_write", "malformed_path")
    nested("path_write", lambda: allowed(work, node))
    if node.namespace:
        raise Problem("path_write", "team_folder")
    if entry["parent_rev"] is not None:
        if node.folder:
            raise Problem("path_lookup", "not_file")
        if node.rev != entry["parent_rev"]:
            raise Problem("path_write", "conflict", "file")
    told = metadata(work, node)
    work.tree.remove(node)
    return {"metadata": told}


async def delete(work, argument):
    try:
        return await work.exclusively(namespaces_of(work, argument["path"]), lambda: drop(work, argument))
    except Problem as why:
        raise work.problem(*why.tags) from None


async def delete_batch(work, argument):
    entries = await work.exclusively(namespaces_of(work, *[e["path"] for e in argument["entries"]]),
                                     lambda: each(work, argument["entries"], lambda entry: drop(work, entry)))
    return await later(work, argument, entries)


def count_below(work, node, limit):
    n = 1
    if node.folder:
        for _ in work.tree.walk(node, node):
            n += 1
            if n > limit:
                break
    return n


def relocate(work, entry, autorename):
    node = nested("from_lookup", lambda: look(work, entry["from_path"]))
    if node.parent is None:
        raise Problem("from_lookup", "malformed_path")
    if node.namespace and node is not work.root:
        raise Problem("cant_move_shared_folder")
    nested("from_write", lambda: allowed(work, node))
    parent, missing, name, told = nested("to", lambda: target(work, entry["to_path"]))
    nested("to", lambda: allowed(work, parent))
    if work.tree.within(parent, node):
        raise Problem("cant_move_folder_into_itself" if node.folder else "duplicated_or_nested_paths")
    there = None if missing else work.tree.child(parent, key_of(name))
    if there is node:
        # Not even the case of a name can be changed by this.
        raise Problem("to", "conflict", "folder" if node.folder else "file") if name == node.name else Problem(
            "duplicated_or_nested_paths")
    if there is not None:
        if not autorename:
            raise Problem("to", "conflict", "folder" if there.folder else "file")
        name = numbered(parent, work.tree, name)
    if count_below(work, node, 10000) > 10000:
        raise Problem("too_many_files")
    work.tree.move(node, make_parents(work, parent, missing), name, told)
    return {"metadata": metadata(work, node)}


async def move(work, argument):
    spaces = namespaces_of(work, argument["from_path"], argument["to_path"])
    try:
        return await work.exclusively(spaces, lambda: relocate(work, argument, argument["autorename"]))
    except Problem as why:
        raise work.problem(*why.tags) from None


async def move_batch(work, argument):
    def one(entry):
        try:
            return {"success": relocate(work, entry, argument["autorename"])["metadata"]}
        except Problem as why:
            raise Problem("relocation_error", *why.tags) from None
    paths = [path for entry in argument["entries"] for path in (entry["from_path"], entry["to_path"])]
    entries = await work.exclusively(namespaces_of(work, *paths), lambda: each(work, argument["entries"], one))
    return await later(work, argument, entries)


def copy(tree, node, parent, name):
    """A copy by a customer."""
    if not node.folder:
        return tree.make_file(parent, name, node.blob, node.client_modified)
    made = tree.make_folder(parent, name)
    for key in list(node.keys()):
        copy(tree, node.children[key], made, node.children[key].name)
    return made


# --- downloads ------------------------------------------------------------------------


def version_of(work, path, rev=None):
    """A node and one version of it. Problem of a LookupError."""
    if rev is not None or path.startswith("rev:"):
        version = work.tree.revs.get(rev or path[4:])
        if version is None or work.call.fault_is("not_found"):
            raise Problem("not_found")
        node, blob, client, server = version
        return node, (rev or path[4:], blob, client, server)
    node = look(work, path)
    if node.folder:
        raise Problem("not_file")
    return node, (node.rev, node.blob, node.client_modified, node.server_modified)


async def download(work, argument):
    try:
        node, version = version_of(work, argument["path"], argument["rev"])
        if "restricted" in node.flags or work.call.fault_is("restricted"):
            raise Problem("restricted_content")
    except Problem as why:
        raise work.problem("path", *why.tags) from None
    if "no_download" in node.flags:
        raise work.problem("unsupported_file")
    blob = version[1]
    headers = {"Dropbox-API-Result": json.dumps(metadata_anywhere(work, node, version)), "ETag": 'W/"%s"' % version[0],
               "Accept-Ranges": "bytes", "Original-Content-Length": str(blob.size)}
    if work.call.headers.get("If-None-Match") == headers["ETag"]:
        return Answer(304, b"", headers)
    wanted = work.call.headers.get("Range")
    if wanted is None:
        return Answer(200, blob, headers, "application/octet-stream")
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted.strip())
    if not found or not (found[1] or found[2]):
        return Answer(200, blob, headers, "application/octet-stream")
    start = int(found[1]) if found[1] else max(0, blob.size - int(found[2]))
    end = min(blob.size, int(found[2]) + 1 if found[1] and found[2] else blob.size)
    if start >= blob.size or end <= start:
        return Answer(416, 'Error in call to API function "files/download": Invalid range: range/not_satisfiable',
                      {"Content-Range": "bytes */%d" % blob.size})
    headers["Content-Range"] = "bytes %d-%d/%d" % (start, end - 1, blob.size)
    return Answer(206, blob, headers, "application/octet-stream", start, end)


def metadata_anywhere(work, node, version):
    """Of a version, even if its file is deleted."""
    if node.parent is not None:
        return metadata(work, node, tag=False, version=version)
    rev, blob, client, server = version
    return {"name": node.name, "id": node.id, "client_modified": stamp(client), "server_modified": stamp(server), "rev": rev,
            "size": blob.size, "is_downloadable": True, "content_hash": blob.content_hash}


async def export(work, argument):
    try:
        node, version = version_of(work, argument["path"])
    except Problem as why:
        raise work.problem("path", *why.tags) from None
    if "no_download" not in node.flags:
        raise work.problem("non_exportable")
    blob = version[1]
    told = {"export_metadata": {"name": node.name + ".docx", "size": blob.size, "export_hash": blob.content_hash},
            "file_metadata": metadata(work, node, tag=False)}
    return Answer(200, blob, {"Dropbox-API-Result": json.dumps(told)}, "application/octet-stream")


WORK = {
    "files/upload": upload, "files/create_folder_v2": create_folder, "files/create_folder_batch": create_folder_batch,
    "files/create_folder_batch/check": check_job, "files/delete_v2": delete, "files/delete_batch": delete_batch,
    "files/delete_batch/check": check_job, "files/move_v2": move, "files/move_batch_v2": move_batch,
    "files/move_batch/check_v2": check_job, "files/download": download, "files/export": export,
}
