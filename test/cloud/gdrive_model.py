"""What Google Drive keeps: items by id, the drives they are in, and the feeds of changes.

Names are no keys: two items of one name in one folder are two items. An item has
one parent at most. Whoever may see an item follows from the top of its tree (a
user's My Drive or a shared drive's members) and from what is shared on the way.
"""
import itertools
import random
import re

from contents import Bulk, Feed

FOLDER = "application/vnd.google-apps.folder"
SHORTCUT = "application/vnd.google-apps.shortcut"
NATIVE = "application/vnd.google-apps."
ROLES = ("reader", "commenter", "writer", "fileOrganizer", "organizer", "owner")
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def rank(role):
    return ROLES.index(role) if role else -1


class Item:
    __slots__ = ("id", "name", "mime", "parent", "owner", "content", "created", "modified", "version", "head",
                 "trashed", "trashed_at", "properties", "private", "target", "abusive", "app", "shares", "starred",
                 "description", "placed_at", "exports", "by", "downloadable", "viewed_at", "mismatch", "old")

    def __init__(self, key, name, mime, parent, owner, at):
        self.id, self.name, self.mime, self.parent, self.owner = key, name, mime, parent, owner
        self.content, self.head, self.target, self.app, self.exports = None, None, None, None, None
        self.created = self.modified = self.placed_at = at
        self.version = 1
        self.trashed, self.trashed_at, self.abusive, self.starred = False, None, False, False
        self.properties, self.private, self.shares = {}, {}, {}
        self.description, self.by, self.downloadable, self.viewed_at = None, owner, True, None
        self.mismatch = self.old = False

    @property
    def folder(self):
        return self.mime == FOLDER

    @property
    def native(self):
        return self.mime.startswith(NATIVE) and self.mime not in (FOLDER, SHORTCUT)

    @property
    def size(self):
        return self.content.size if self.content is not None else 0


class User:
    def __init__(self, mail, root):
        self.mail, self.root = mail, root
        self.limit = 15 * 1024 ** 3
        self.ever = 0  # bytes that came, whatever became of them: no less than is used
        self.service = False  # a service account: nothing can be its own
        self.feed = Feed(first=1000)
        self.ids = {}  # generated, not yet used: id -> type


class SharedDrive:
    def __init__(self, key, name, number, at):
        self.id, self.name, self.created = key, name, at
        self.members = {}  # mail -> role
        self.feed = Feed(first=number * 10 ** 9)


class Store:
    def __init__(self, world):
        self.world = world
        self.random = random.Random(4)
        self.items, self.children, self.bulks = {}, {}, {}
        self.bulk_of = {}  # folder -> its bulks
        self.users, self.drives, self.roots = {}, {}, {}
        self.child_entries = False  # whether descendants of a deleted folder have entries of their own
        self.numbers = itertools.count(2)

    # --- keys ---

    def new_key(self, length=33):
        return "1" + "".join(self.random.choices(ALPHABET, k=length - 1))

    def user(self, mail):
        """The user, with a My Drive made when first seen."""
        if mail not in self.users:
            root = "0A" + self.new_key(17)[1:] + "PVA"
            user = self.users[mail] = User(mail, root)
            user.service = mail.endswith(".gserviceaccount.com")
            self.items[root] = Item(root, "My Drive", FOLDER, None, mail, self.world.now())
            self.children[root] = {}
            self.roots[root] = user
        return self.users[mail]

    def new_drive(self, name, members):
        key = "0A" + self.new_key(17)[1:] + "9PVA"
        drive = self.drives[key] = SharedDrive(key, name, next(self.numbers), self.world.now())
        drive.members = dict(members)
        self.items[key] = Item(key, "Drive", FOLDER, None, None, self.world.now())
        self.children[key] = {}
        self.roots[key] = drive
        for mail in members:
            self.user(mail).feed.add("drive:" + key)
        return drive

    # --- looking ---

    def get(self, key):
        item = self.items.get(key)
        if item is None and isinstance(key, str) and key[:20] in self.bulks:
            bulk = self.bulks[key[:20]]
            k = bulk.number(key)
            if k is not None:
                item = self.of_bulk(bulk, k)
        return item

    def of_bulk(self, bulk, k):
        name = bulk.pattern % k
        item = Item(bulk.key(k), name, "text/plain", bulk.folder, bulk.owner, bulk.created)
        item.content, item.head = bulk.content(k), bulk.key(k)[::-1]
        return item

    def own(self, item):
        """An item of a bulk becomes one of its own, to be changed."""
        if item.id not in self.items:
            bulk = self.bulks[item.id[:20]]
            bulk.gone.add(bulk.number(item.id))
            self.items[item.id] = item
            self.children[item.parent][item.id] = None
        return item

    def keys_in(self, folder):
        yield from list(self.children.get(folder, ()))
        for bulk in self.bulk_of.get(folder, ()):
            yield from bulk.keys()

    def in_folder(self, folder):
        for key in self.keys_in(folder):
            item = self.get(key)
            if item is not None:
                yield item

    def named(self, folder, name):
        """The children of exactly that name, oldest first (act paths)."""
        found = [self.items[key] for key in self.children.get(folder, ()) if self.items[key].name == name]
        for bulk in self.bulk_of.get(folder, ()):
            k = bulk.find(name)
            if k is not None:
                found.append(self.of_bulk(bulk, k))
        return found

    def everything(self):
        yield from list(self.items.values())
        for bulks in list(self.bulk_of.values()):
            for bulk in bulks:
                for key in bulk.keys():
                    yield self.get(key)

    def way_up(self, item):
        while item is not None:
            yield item
            item = self.items.get(item.parent) if item.parent else None

    def top(self, item):
        """The User or SharedDrive whose tree an item is in; None for orphans."""
        for item in self.way_up(item):
            last = item
        return self.roots.get(last.id)

    def drive_of(self, item):
        top = self.top(item)
        return top if isinstance(top, SharedDrive) else None

    def trashed(self, item):
        return any(one.trashed for one in self.way_up(item))

    def role(self, mail, item):
        """What a user may do with an item: a role's name, or None."""
        best = None
        for one in self.way_up(item):
            last = one
            granted = one.shares.get(mail)
            if rank(granted) > rank(best):
                best = granted
        top = self.roots.get(last.id)
        if isinstance(top, SharedDrive):
            granted = top.members.get(mail)
            return granted if rank(granted) > rank(best) else best
        if item.owner == mail:
            return "owner"
        if top is not None and top.mail == mail and rank(best) < rank("writer"):
            return "writer"
        return best

    def used(self, mail):
        total = sum(i.size for i in self.items.values() if i.owner == mail and i.content is not None)
        for bulks in self.bulk_of.values():
            total += sum((b.count - len(b.gone)) * b.size for b in bulks if b.owner == mail)
        return total

    def depth(self, item):
        return sum(1 for _ in self.way_up(item))

    def below(self, item):
        for child in self.in_folder(item.id):
            yield child
            if child.folder:
                yield from self.below(child)

    # --- changing ---

    def feeds(self, item):
        """The logs that tell of an item."""
        top = self.top(item)
        if isinstance(top, SharedDrive):
            return [top.feed]
        return [u.feed for u in self.users.values() if self.role(u.mail, item)]

    def tell(self, item, feeds=()):
        for feed in {id(f): f for f in itertools.chain(feeds, self.feeds(item))}.values():
            feed.add(item.id)

    def add(self, name, mime, parent, owner, key=None, content=None, app=None):
        at = self.world.now()
        item = Item(key or self.new_key(), name, mime, parent, owner, at)
        item.app = app
        if content is not None:
            self.set_content(item, content)
        self.items[item.id] = item
        if item.folder:
            self.children[item.id] = {}
        if parent:
            self.children[parent][item.id] = None
        return item

    def touch(self, item, by=None):
        item = self.own(item)
        item.version += 1
        item.by = by or item.by
        return item

    def set_content(self, item, content, at=None):
        item.content, item.head = content, self.new_key(51)
        item.modified = self.world.now() if at is None else at
        item.mismatch = item.old = False
        if item.owner in self.users:
            self.users[item.owner].ever += content.size

    def move(self, item, parent):
        """To another folder (None: out of every folder)."""
        item = self.own(item)
        before = self.feeds(item)
        self.children.get(item.parent, {}).pop(item.id, None)
        item.parent = parent
        item.placed_at = self.world.now()
        if parent:
            self.children[parent][item.id] = None
        return before

    def give(self, item, mail):
        """An item has another owner (None: its shared drive)."""
        if item.owner != mail and mail in self.users:
            self.users[mail].ever += item.size
        item.owner = mail

    def remove(self, item):
        """For good, with what is below; the feeds hear of the item alone unless told otherwise."""
        item = self.own(item)
        feeds = self.feeds(item)
        below = list(self.below(item)) if item.folder else []
        for one in below:
            self.items.pop(one.id, None)
            self.children.pop(one.id, None)
        for one in [item] + below:
            for bulk in self.bulk_of.pop(one.id, ()):
                self.bulks.pop(bulk.prefix, None)
        self.children.get(item.parent, {}).pop(item.id, None)
        self.children.pop(item.id, None)
        self.items.pop(item.id, None)
        for feed in feeds:
            feed.add(item.id)
            if self.child_entries:
                for one in below:
                    feed.add(one.id)

    def add_bulk(self, folder, count, pattern, size, quiet=False):
        prefix = self.new_key(20)
        bulk = Bulk(prefix, folder.id, count, pattern, size, self.world.now())
        bulk.owner = folder.owner
        if folder.owner in self.users:
            self.users[folder.owner].ever += count * size
        self.bulks[prefix] = bulk
        self.bulk_of.setdefault(folder.id, []).append(bulk)
        if not quiet:
            for feed in self.feeds(folder):
                feed.add_bulk(bulk)
        return bulk

    # --- for acts ---

    def walk(self, root, path, make=None, owner=None):
        """The item at a path below a root; make: folders on the way are made."""
        item = self.items[root]
        for part in [p for p in path.split("/") if p]:
            found = [i for i in self.named(item.id, part) if not i.trashed] or self.named(item.id, part)
            if found:
                item = found[0]
            elif make:
                item = self.add(part, FOLDER, item.id, owner)
                self.tell(item)
            else:
                raise ValueError("there is no %s" % path)
        return item

    def path(self, item):
        return "/" + "/".join(reversed([re.sub("/", "\\/", i.name) for i in self.way_up(item) if i.parent]))
