"""What customers and tests do to OneDrive and SharePoint (act => "..."). A drive is
named by `site` (its path, such as "/sites/team-a") and `library` ("Documents"), by
`drive` (its id), or is that of `user` (the first user of the token server). Items
are named by `path` or `id`. An item is told as {id, name, path, ...}.

  add          path, text | content | base64 | size, mime, modified, user and app (who
               makes it with what)
  mkdir        path
  edit         path, text ..., app (the program, if it says its own): a new version
  rename       path, name
  move         path, to (a folder's path), name
  delete       path: into the recycle bin; restore: id
  empty_trash  what is in the recycle bin is gone
  bulk         path (folder), count, pattern ("file %07d.txt"), size (20), quiet (not
               in the feed of changes): many files without memory
  touch        path: a change that changes no content
  lock         path, on (true): open in Office, 423
  malware      path, on (true)
  package      path: a notebook
  remote       path, drive_id, item_id: a shortcut to another drive
  serve        path, text ...: the download gives other bytes than the item says
  hashless     path, on (true): no hashes are said
  rewrite      everything that is still to be rewritten (setting rewriting => "late")
  quota        total
  provisioned  on (false: the drive is not there before its owner asks)
  site         path, name, libraries: a new one
  library      site, name: a new one
  grant_site   site, app, role (read, write, ...; null: no more): Sites.Selected
  stranger     site, user, on (true): may not see the site
  reset_delta  links of delta given until now are answered 410
  setting      rewriting ("at once", "late", "off"), late_seconds, rewritten (endings),
               child_entries (deletions of what was in a deleted folder are told),
               tell_deletions (false: a delta never says that something was deleted),
               truncates (a simple upload that breaks off leaves what came of it),
               vary_ids (personal drives' ids), encoded_paths, no_links (no
               downloadUrl), link_lifetime, put_limit, folder_delta, page_size,
               takes_tokens (the bytes' host does not mind a token, as it once did)
  drive_info   id, root, kind, total, used
  tree         path ("/"): every item below, with sizes and digests
  read         path: {base64}
  item         path
  sessions     how many uploads are under way, and how many names they hold; user: in that
               user's drive alone
"""
import base64
import time

from blobs import Blob
from contents import of_act, parse_time


def drive_of(part, told):
    if told.get("drive"):
        return part.store.drive(told["drive"])
    if told.get("site"):
        site = site_of(part, told)
        library = told.get("library")
        return next(d for d in site.drives if library in (None, d.name))
    return part.store.drive_of(part.world.authority["graph"].user(told.get("user")))


def site_of(part, told):
    for site in part.store.sites:
        if told["site"] in (site.id, site.path, site.url):
            return site
    raise ValueError("no such site: %s" % told["site"])


def item_of(part, told):
    drive = drive_of(part, told)
    item = drive.get(told["id"]) if "id" in told else drive.walk(told["path"])
    if item is None:
        raise ValueError("there is no %s" % told.get("id"))
    return drive, item


def told_of(drive, item):
    out = {"id": item.id, "name": item.name, "path": drive.path(item), "kind": item.kind, "parent": item.parent,
           "drive": drive.id, "etag": item.etag, "ctag": item.ctag, "modified": item.client_modified}
    if item.content is not None:
        out.update(size=item.size, sha256=item.content.sha256, quickxor=item.content.quickxor)
    return out


def placed(part, told, kind, content=None):
    drive = drive_of(part, told)
    folder, _, name = told["path"].rstrip("/").rpartition("/")
    parent = drive.walk(folder, make=True)
    item = drive.child(parent.id, name)
    if item is None:
        item = drive.add(parent.id, name, kind, content)
    else:
        item = drive.write(item, content) if content is not None else item
    return drive, item


def act_add(part, told):
    drive, item = placed(part, told, "file", of_act(told))
    item.mime = told.get("mime", "application/octet-stream")
    if told.get("app"):
        item.by, item.app = part.world.authority["graph"].user(told.get("user")), told["app"]
    if told.get("modified"):
        item.modified = item.client_modified = parse_time(told["modified"])
    return told_of(drive, item)


def act_mkdir(part, told):
    drive = drive_of(part, told)
    return told_of(drive, drive.walk(told["path"], make=True))


def act_edit(part, told):
    drive, item = item_of(part, told)
    item = drive.write(item, of_act(told))
    item.editor, item.editor_app = part.world.authority["graph"].user(told.get("user")), told.get("app")
    return told_of(drive, item)


def act_rename(part, told):
    drive, item = item_of(part, told)
    return told_of(drive, drive.rename(item, item.parent, told["name"]))


def act_move(part, told):
    drive, item = item_of(part, told)
    folder = drive.walk(told["to"], make=True)
    return told_of(drive, drive.rename(item, folder.id, told.get("name", item.name)))


def act_delete(part, told):
    drive, item = item_of(part, told)
    drive.remove(item)
    return {}


def act_restore(part, told):
    drive = drive_of(part, told)
    return told_of(drive, drive.restore(told["id"]))


def act_empty_trash(part, told):
    drive = drive_of(part, told)
    gone = len(drive.bin)
    drive.bin.clear()
    return {"deleted": gone}


def act_bulk(part, told):
    drive = drive_of(part, told)
    folder = drive.walk(told["path"], make=True)
    bulk = drive.add_bulk(folder, int(told["count"]), told.get("pattern", "file %07d.txt"), int(told.get("size", 20)),
                          bool(told.get("quiet")))
    return {"folder": folder.id, "first": bulk.key(0), "count": bulk.count}


def act_touch(part, told):
    drive, item = item_of(part, told)
    return told_of(drive, drive.changed(item))


def flagged(part, told, name):
    drive, item = item_of(part, told)
    item = drive.own(item)
    setattr(item, name, bool(told.get("on", True)))
    drive.changed(item)
    return told_of(drive, item)


def act_lock(part, told):
    drive, item = item_of(part, told)
    drive.own(item).locked = bool(told.get("on", True))
    return told_of(drive, item)


def act_malware(part, told):
    return flagged(part, told, "malware")


def act_hashless(part, told):
    return flagged(part, told, "hashless")


def act_package(part, told):
    drive, item = placed(part, told, "package")
    return told_of(drive, item)


def act_remote(part, told):
    drive, item = placed(part, told, "remote")
    item.remote = {"id": told["item_id"], "parentReference": {"driveId": told["drive_id"]}, "folder": {}}
    return told_of(drive, item)


def act_serve(part, told):
    drive, item = item_of(part, told)
    drive.own(item).served = of_act(told)
    return told_of(drive, item)


def act_rewrite(part, told):
    return {"rewritten": sum(part.store.settle(drive, True) for drive in part.store.drives.values())}


def act_quota(part, told):
    drive = drive_of(part, told)
    drive.total = int(told["total"])
    return {"used": drive.used}


def act_provisioned(part, told):
    drive_of(part, told).provisioned = bool(told.get("on"))
    return {}


def act_site(part, told):
    site = part.store.new_site("contoso.sharepoint.com", told["path"], told.get("name", told["path"]),
                               told.get("libraries", ["Documents"]))
    return {"id": site.id, "url": site.url, "drives": [d.id for d in site.drives]}


def act_library(part, told):
    return {"id": part.store.new_library(site_of(part, told), told["name"]).id}


def act_grant_site(part, told):
    site = site_of(part, told)
    app = part.world.authority["graph"].app(told.get("app")).client_id
    site.grants[app] = told.get("role", "write")
    if told.get("role", "write") is None:
        site.grants.pop(app, None)
    return {"site": site.id, "app": app}


def act_stranger(part, told):
    site, user = site_of(part, told), part.world.authority["graph"].user(told.get("user"))
    (site.strangers.add if told.get("on", True) else site.strangers.discard)(user.email)
    return {}


def act_reset_delta(part, told):
    drive_of(part, told).reset_at = time.monotonic()
    return {}


def act_setting(part, told):
    for name, value in told.items():
        if name in ("rewriting", "late_seconds", "rewritten", "child_entries", "tell_deletions"):
            setattr(part.store, name, value)
        elif name in ("vary_ids", "encoded_paths", "no_links", "link_lifetime", "put_limit", "folder_delta", "page_size",
                      "takes_tokens", "truncates"):
            setattr(part, name, value)
        elif name not in ("service", "act"):
            raise ValueError("unknown setting: %s" % name)
    return {}


def act_drive_info(part, told):
    drive = drive_of(part, told)
    return {"id": drive.id, "root": drive.root, "kind": drive.kind, "total": drive.total, "used": drive.used}


def act_tree(part, told):
    drive = drive_of(part, told)
    return [told_of(drive, item) for item in drive.below(drive.walk(told.get("path", "/")))]


def act_read(part, told):
    return {"base64": base64.b64encode((item_of(part, told)[1].content or Blob()).read()).decode()}


def act_item(part, told):
    drive, item = item_of(part, told)
    return told_of(drive, item)


def act_sessions(part, told):
    mine = drive_of(part, told) if told.get("user") else None
    alive = [one for one in part.sessions.values() if one.alive() and mine in (None, one.drive)]
    return {"sessions": len(alive), "held": sum(1 for one in alive if one.holds is not None)}
