"""What customers and tests do to Google Drive (act => "..."). Items are named by `id`
or by `path` in the My Drive of `user` (the first user of the token server), or in
the shared drive `drive` (its id or name). An item is told as {id, name, path, ...}.

  add          path, text | content | base64 | size, mime, modified (RFC 3339), twin (a
               second item of one name; otherwise the same name is a new version), name
               (instead of the path's last, since names may have "/" in them), in (an id)
  mkdir        path
  edit         path, text | base64 | size: a new version
  rename       path, name
  move         path, to (a folder's path; drive_to: in that shared drive), name
  trash, untrash, delete (for good), view (a change that changes nothing)
  empty_trash
  bulk         path (folder), count, pattern ("file %07d.txt"), size (20), quiet (no
               entries in the feed): many files without memory
  native       path, mime ("document"), text (what each export gives), version
  shortcut     path, target (a path) or target_id
  share        path, with (mail), role ("reader"; null: no more)
  drive        name, members {mail: role}: a new shared drive; gives its id
  member       drive, user, role (null: leaves)
  quota        user, limit (null: none)
  flag         path, abusive, downloadable, old (only an MD5 is said of it)
  mismatch     path: checksums that are none of its bytes
  setting      search_lag (seconds), lag_names_only, export_limit, export_redirect
               (exportLinks lead on to another host), page_limit,
               multipart_limit, child_entries (descendants of a deleted folder have
               entries in the feed)
  tree         path ("/"), trashed (too): every item below, with sizes and digests
  read         path: {base64}
  item         path: one item; twins: how many of that name are there
  sessions     how many uploads are under way; user: of that user alone
"""
import base64

from blobs import Blob
from contents import of_act, parse_time
from gdrive_files import empty
from gdrive_model import FOLDER, NATIVE, SHORTCUT


def mail_of(part, told, key="user"):
    return part.world.authority["google"].user(told.get(key)).email if not str(told.get(key) or "").endswith(
        ".gserviceaccount.com") else told[key]


def top_of(part, told, key="drive"):
    """The root to walk from, and whose files are made there."""
    if told.get(key):
        for drive in part.store.drives.values():
            if told[key] in (drive.id, drive.name):
                return drive.id, None
        raise ValueError("no such shared drive: %s" % told[key])
    mail = mail_of(part, told)
    return part.store.user(mail).root, mail


def item_of(part, told):
    if "id" in told:
        item = part.store.get(told["id"])
        if item is None:
            raise ValueError("there is no %s" % told["id"])
        return item
    return part.store.walk(top_of(part, told)[0], told["path"])


def told_of(part, item):
    store = part.store
    out = {"id": item.id, "name": item.name, "path": store.path(item), "mime": item.mime, "parent": item.parent,
           "trashed": store.trashed(item), "version": item.version, "owner": item.owner,
           "kind": "folder" if item.folder else "file", "modified": item.modified, "created": item.created}
    if item.content is not None:
        out.update(size=item.content.size, md5=item.content.md5, sha256=item.content.sha256, head=item.head)
    if item.target:
        out["target"] = item.target
    return out


def place(part, told):
    """The folder and the name that a path says; folders on the way are made."""
    root, owner = top_of(part, told)
    folder, _, name = told["path"].rstrip("/").rpartition("/")
    name = told.get("name", name)
    if told.get("in"):
        return part.store.get(told["in"]), name, owner
    return part.store.walk(root, folder, make=True, owner=owner), name, owner


def act_add(part, told):
    store = part.store
    folder, name, owner = place(part, told)
    found = store.named(folder.id, name)
    if found and not told.get("twin"):
        item = store.own(found[0])
        store.set_content(item, of_act(told))
        store.touch(item, owner)
    else:
        item = store.add(name, told.get("mime", "application/octet-stream"), folder.id, owner, content=of_act(told))
    if told.get("modified"):
        item.modified = parse_time(told["modified"])
    store.tell(item)
    return told_of(part, item)


def act_mkdir(part, told):
    if told.get("twin"):
        folder, name, owner = place(part, told)
        item = part.store.add(name, FOLDER, folder.id, owner)
        part.store.tell(item)
        return told_of(part, item)
    root, owner = top_of(part, told)
    return told_of(part, part.store.walk(root, told["path"], make=True, owner=owner))


def changed(part, item, feeds=()):
    part.store.touch(item)
    part.store.tell(item, feeds)
    return told_of(part, item)


def act_edit(part, told):
    item = part.store.own(item_of(part, told))
    part.store.set_content(item, of_act(told))
    return changed(part, item)


def act_rename(part, told):
    item = part.store.own(item_of(part, told))
    item.name, item.placed_at = told["name"], part.world.now()
    return changed(part, item)


def act_move(part, told):
    item = item_of(part, told)
    root, owner = top_of(part, dict(told, drive=told.get("drive_to", told.get("drive"))))
    feeds = part.store.move(item, part.store.walk(root, told["to"], make=True, owner=owner).id)
    item = part.store.items[item.id]
    part.store.give(item, owner)
    item.name = told.get("name", item.name)
    return changed(part, item, feeds)


def act_trash(part, told, on=True):
    item = part.store.own(item_of(part, told))
    item.trashed, item.trashed_at = on, part.world.now()
    return changed(part, item)


def act_untrash(part, told):
    return act_trash(part, told, False)


def act_delete(part, told):
    part.store.remove(item_of(part, told))
    return {}


def act_empty_trash(part, told):
    return {"deleted": empty(part, part.store.roots[top_of(part, told)[0]])}


def act_view(part, told):
    item = part.store.own(item_of(part, told))
    item.viewed_at = part.world.now()
    return changed(part, item)


def act_bulk(part, told):
    root, owner = top_of(part, told)
    folder = part.store.walk(root, told["path"], make=True, owner=owner)
    bulk = part.store.add_bulk(folder, int(told["count"]), told.get("pattern", "file %07d.txt"),
                               int(told.get("size", 20)), bool(told.get("quiet")))
    return {"folder": folder.id, "first": bulk.key(0), "count": bulk.count}


def act_native(part, told):
    folder, name, owner = place(part, told)
    found = part.store.named(folder.id, name)
    if found:
        item = part.store.own(found[0])
        part.store.touch(item)
    else:
        item = part.store.add(name, NATIVE + told.get("mime", "document"), folder.id, owner)
    if any(k in told for k in ("text", "base64", "size")):
        item.exports = {None: of_act(told).read()}
    item.modified = part.world.now()
    part.store.tell(item)
    return told_of(part, item)


def act_shortcut(part, told):
    folder, name, owner = place(part, told)
    item = part.store.add(name, SHORTCUT, folder.id, owner)
    item.target = told.get("target_id") or item_of(part, dict(told, path=told["target"])).id
    part.store.tell(item)
    return told_of(part, item)


def act_share(part, told):
    item = part.store.own(item_of(part, {k: v for k, v in told.items() if k != "role"}))
    mail = mail_of(part, told, "with")
    user = part.store.user(mail)
    if told.get("role", "reader") is None:
        item.shares.pop(mail, None)
    else:
        item.shares[mail] = told.get("role", "reader")
    return changed(part, item, [user.feed])


def act_drive(part, told):
    members = told.get("members") or {mail_of(part, told): "organizer"}
    drive = part.store.new_drive(told["name"], {mail_of(part, {"user": m}): r for m, r in members.items()})
    return {"id": drive.id, "name": drive.name}


def act_member(part, told):
    drive = part.store.drives[top_of(part, told)[0]]
    mail = mail_of(part, told)
    if told.get("role") is None:
        drive.members.pop(mail, None)
    else:
        drive.members[mail] = told["role"]
    part.store.user(mail).feed.add("drive:" + drive.id)
    return {}


def act_quota(part, told):
    user = part.store.user(mail_of(part, told))
    user.limit = told["limit"]
    return {"used": part.store.used(user.mail)}


def act_flag(part, told):
    item = part.store.own(item_of(part, told))
    item.abusive, item.downloadable = bool(told.get("abusive")), bool(told.get("downloadable", True))
    item.old = bool(told.get("old"))
    return told_of(part, item)


def act_mismatch(part, told):
    item = part.store.own(item_of(part, told))
    item.mismatch = True
    return changed(part, item)


def act_setting(part, told):
    for name, value in told.items():
        if name == "child_entries":
            part.store.child_entries = bool(value)
        elif name in ("search_lag", "lag_names_only", "export_limit", "export_redirect", "page_limit",
                      "multipart_limit"):
            setattr(part, name, value)
        elif name not in ("service", "act"):
            raise ValueError("unknown setting: %s" % name)
    return {}


def act_tree(part, told):
    top = part.store.walk(top_of(part, told)[0], told.get("path", "/"))
    return [told_of(part, item) for item in part.store.below(top) if told.get("trashed") or not part.store.trashed(item)]


def act_read(part, told):
    return {"base64": base64.b64encode((item_of(part, told).content or Blob()).read()).decode()}


def act_item(part, told):
    item = item_of(part, told)
    twins = part.store.named(item.parent, item.name) if item.parent else [item]
    return dict(told_of(part, item), twins=sum(1 for t in twins if not part.store.trashed(t)))


def act_sessions(part, told):
    mail = told.get("user") and mail_of(part, told)
    return {"sessions": sum(1 for one in part.uploads.values()
                            if one.answer is None and mail in (None, one.client.mail))}
