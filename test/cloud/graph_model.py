"""What OneDrive and SharePoint keep: drives of users and of sites, with items known by
id and by name, names being unique in a folder whatever their case.
"""
import hashlib
import random
import re
import uuid

from contents import Bulk, Feed

BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
OFFICE = (".docx", ".xlsx", ".pptx")


class Item:
    __slots__ = ("id", "name", "parent", "kind", "content", "edits", "writes", "created", "modified", "client_created",
                 "client_modified", "mime", "by", "app", "editor", "editor_app", "malware", "locked", "remote", "served", "drive", "hashless")

    def __init__(self, drive, key, name, parent, kind, at):
        self.drive, self.id, self.name, self.parent, self.kind = drive, key, name, parent, kind
        self.content, self.served, self.remote, self.by = None, None, None, None
        self.app, self.editor, self.editor_app = None, None, None  # who made it with which app; who else changed it last
        self.edits = self.writes = 1
        self.created = self.modified = self.client_created = self.client_modified = at
        self.mime = "application/octet-stream"
        self.malware = self.locked = self.hashless = False

    @property
    def folder(self):
        return self.kind == "folder"

    @property
    def size(self):
        return self.content.size if self.content is not None else 0

    @property
    def guid(self):
        text = hashlib.md5(self.id.encode()).hexdigest().upper()
        return "%s-%s-%s-%s-%s" % (text[:8], text[8:12], text[12:16], text[16:20], text[20:])

    @property
    def etag(self):
        if self.drive.personal:
            return "a%s.%d" % (self.guid.replace("-", "")[:20], self.edits)
        return '"{%s},%d"' % (self.guid, self.edits)

    @property
    def ctag(self):
        if self.drive.personal:
            return "c%s.%d" % (self.guid.replace("-", "")[:20], self.writes)
        return '"c:{%s},%d"' % (self.guid, self.writes)


class Drive:
    def __init__(self, store, key, kind, name, owner=None, site=None):
        self.store, self.id, self.kind, self.name, self.owner, self.site = store, key, kind, name, owner, site
        self.items, self.names, self.bulks, self.bulk_of = {}, {}, {}, {}
        self.feed = Feed(first=1)
        self.graves, self.bin, self.moves = {}, {}, []
        self.held = {}  # (folder, name) of an upload under way -> its session
        self.late = []  # (when, id) of files still to be rewritten
        self.total = 1024 ** 4 if kind != "personal" else 5 * 1024 ** 3
        self.provisioned = True
        self.ever = 0  # bytes that came, whatever became of them: no less than is used
        self.root = self.new_key()
        self.items[self.root] = Item(self, self.root, "root", None, "folder", store.world.now())
        self.names[self.root] = {}

    @property
    def personal(self):
        return self.kind == "personal"

    def new_key(self, length=32):
        if self.personal:
            return "%s!s%s" % (self.id, "%032x" % self.store.random.getrandbits(128))
        return "01" + "".join(self.store.random.choices(BASE32, k=length))

    # --- looking ---

    def get(self, key):
        if key == "root":
            key = self.root
        item = self.items.get(key)
        if item is None and key[:-8] in self.bulks:
            bulk = self.bulks[key[:-8]]
            k = bulk.number(key)
            if k is not None:
                item = self.of_bulk(bulk, k)
        return item

    def of_bulk(self, bulk, k):
        name = bulk.pattern % k
        item = Item(self, bulk.key(k), name, bulk.folder, "file", bulk.created)
        item.content, item.mime = bulk.content(k), "text/plain"
        return item

    def own(self, item):
        if item.id not in self.items:
            bulk = self.bulks[item.id[:-8]]
            bulk.gone.add(bulk.number(item.id))
            self.items[item.id] = item
            self.names[item.parent][item.name.lower()] = item.id
        return item

    def child(self, folder, name):
        key = self.names.get(folder, {}).get(name.lower())
        if key is not None:
            return self.items[key]
        for bulk in self.bulk_of.get(folder, ()):
            k = bulk.find(name)
            if k is not None:
                return self.of_bulk(bulk, k)
        return None

    def count(self, folder):
        return len(self.names.get(folder, ())) + sum(b.count - len(b.gone) for b in self.bulk_of.get(folder, ()))

    def children(self, folder):
        for key in list(self.names.get(folder, {}).values()):
            yield self.items[key]
        for bulk in self.bulk_of.get(folder, ()):
            for key in bulk.keys():
                yield self.get(key)

    def below(self, item):
        for child in self.children(item.id):
            yield child
            if child.folder:
                yield from self.below(child)

    def way_up(self, item):
        while item is not None:
            yield item
            item = self.items.get(item.parent) if item.parent else None

    def path(self, item):
        return "/" + "/".join(reversed([one.name for one in self.way_up(item) if one.parent]))

    def walk(self, path, make=False):
        item = self.items[self.root]
        for part in [p for p in path.split("/") if p]:
            found = self.child(item.id, part)
            if found is None and make:
                found = self.add(item.id, part, "folder")
            if found is None:
                raise ValueError("there is no %s in %s" % (path, self.name))
            item = found
        return item

    @property
    def used(self):
        return sum(i.size for i in self.items.values()) + sum(
            (b.count - len(b.gone)) * b.size for bulks in self.bulk_of.values() for b in bulks)

    # --- changing ---

    def add(self, folder, name, kind, content=None):
        at = self.store.world.now()
        item = Item(self, self.new_key(), name, folder, kind, at)
        item.content = content
        self.ever += item.size
        self.items[item.id] = item
        self.names[folder][name.lower()] = item.id
        if kind == "folder":
            self.names[item.id] = {}
        self.feed.add(item.id)
        return item

    def changed(self, item, content=False):
        """An item is another than before: its tags and the feed say so."""
        item = self.own(item)
        item.edits += 1
        if content:
            item.writes += 1
        item.modified = self.store.world.now()
        self.feed.add(item.id)
        return item

    def write(self, item, content, times=None):
        """New content, which resets the client's times that are not given anew."""
        item = self.own(item)
        item.content, item.served = content, None
        self.ever += content.size
        self.changed(item, True)
        item.client_modified = item.modified
        self.set_times(item, times)
        return item

    def set_times(self, item, times):
        for name, value in (times or {}).items():
            setattr(item, name, float(int(value)) if not self.personal else value)

    def rename(self, item, folder, name):
        item = self.own(item)
        self.names[item.parent].pop(item.name.lower(), None)
        if folder != item.parent:
            self.moves.append((self.feed.next, item.id, item.parent))
        item.parent, item.name = folder, name
        self.names[folder][name.lower()] = item.id
        return self.changed(item)

    def remove(self, item):
        """Into the recycle bin, with what is below."""
        item = self.own(item)
        below = list(self.below(item)) if item.folder else []
        self.names[item.parent].pop(item.name.lower(), None)
        for one in [item] + below:
            self.graves[one.id] = (one.parent, one.name, one.kind, one.size)
            self.items.pop(one.id, None)
        for one in [item] + (below if self.store.child_entries else []):
            self.feed.add(one.id)
        kept = {key: self.names.pop(key) for key in [item.id] + [b.id for b in below] if key in self.names}
        for key in kept:
            for bulk in self.bulk_of.pop(key, ()):
                self.bulks.pop(bulk.prefix, None)
        self.bin[item.id] = (item, [b for b in below], kept)

    def restore(self, key):
        item, below, names = self.bin.pop(key)
        self.names.update(names)
        self.names[item.parent][item.name.lower()] = item.id
        for one in [item] + below:
            self.items[one.id] = one
            self.graves.pop(one.id, None)
            self.changed(one)
        return item

    def add_bulk(self, folder, count, pattern, size, quiet):
        prefix = self.new_key(24) if not self.personal else self.new_key()[:-8]
        bulk = Bulk(prefix, folder.id, count, pattern, size, self.store.world.now())
        self.ever += count * size
        self.bulks[prefix] = bulk
        self.bulk_of.setdefault(folder.id, []).append(bulk)
        if not quiet:
            self.feed.add_bulk(bulk)
        return bulk


class Site:
    def __init__(self, host, path, name):
        self.host, self.path, self.name = host, path, name
        self.id = "%s,%s,%s" % (host, uuid.uuid5(uuid.NAMESPACE_URL, host), uuid.uuid5(uuid.NAMESPACE_URL, host + path))
        self.drives, self.grants, self.strangers = [], {}, set()

    @property
    def url(self):
        return "https://%s%s" % (self.host, self.path)


class Store:
    def __init__(self, world):
        self.world = world
        self.random = random.Random(5)
        self.drives, self.sites, self.of_user = {}, [], {}
        self.child_entries = self.tell_deletions = True
        self.rewriting, self.late_seconds, self.rewritten = "at once", 60.0, OFFICE
        self.new_site("contoso.sharepoint.com", "", "Contoso")
        self.new_site("contoso.sharepoint.com", "/sites/team-a", "Team A", ("Documents", "Archive"))

    def new_site(self, host, path, name, libraries=("Documents",)):
        site = Site(host, path, name)
        self.sites.append(site)
        for library in libraries:
            self.new_library(site, library)
        return site

    def new_library(self, site, name):
        drive = Drive(self, "b!" + "".join(self.random.choices(BASE32.lower() + "_-", k=64)), "documentLibrary", name,
                      site=site)
        self.drives[drive.id] = drive
        site.drives.append(drive)
        return drive

    def drive_of(self, user):
        """A user's OneDrive, made when first asked for."""
        if user.email not in self.of_user:
            personal = bool(user.extra.get("personal"))
            key = "0%015X" % self.random.getrandbits(60) if personal else "b!" + "".join(
                self.random.choices(BASE32.lower() + "_-", k=64))
            self.of_user[user.email] = self.drives[key] = Drive(
                self, key, "personal" if personal else "business", "OneDrive", owner=user)
        return self.of_user[user.email]

    def drive(self, key):
        """A drive by id: personal ones whatever the case, and without zeros in front."""
        if key in self.drives:
            return self.drives[key]
        if re.fullmatch(r"[0-9A-Fa-f]{1,16}", key):
            return self.drives.get(key.upper().rjust(16, "0"))
        return None

    def find_site(self, host, path):
        for site in self.sites:
            if site.host.lower() == host.lower() and site.path.lower() == path.rstrip("/").lower():
                return site
        return None

    # --- files that the service rewrites ---

    def uploaded(self, item):
        """A file has come: libraries of sites write metadata into some kinds."""
        drive = item.drive
        if drive.kind != "documentLibrary" or self.rewriting == "off" or not item.name.lower().endswith(
                tuple(self.rewritten)):
            return
        if self.rewriting == "late":
            drive.late.append((self.world.now() + self.late_seconds, item.id))
        else:
            self.rewrite(item)

    def rewrite(self, item):
        from blobs import Blob
        mark = b"<!-- library %s, version %d -->" % (item.drive.name.encode(), item.writes)
        item.content = Blob(item.content.read() + mark)
        item.drive.ever += item.size
        item.drive.changed(item, True)

    def settle(self, drive, everything=False):
        """Rewrites what is due by now."""
        now = self.world.now()
        due = [key for at, key in drive.late if everything or at <= now]
        drive.late = [(at, key) for at, key in drive.late if not (everything or at <= now)]
        for key in due:
            if key in drive.items:
                self.rewrite(drive.items[key])
        return len(due)
