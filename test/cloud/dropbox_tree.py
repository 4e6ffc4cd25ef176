"""What an account's Dropbox holds: namespaces of folders and files, their ids,
revisions and deletions, and the ordered events that cursors are read from.

Names keep their case and are compared without it, in NFC, by the lower-casing of
old (a character that Unicode 3.2 did not know stays as it is; a final sigma is one
like any other). A folder may hold many files that are only made when looked at
(bulk), so that a million of them cost nothing.
"""
import bisect
import hashlib
import unicodedata

from blobs import Blob

OLD = unicodedata.ucd_3_2_0
FORBIDDEN = {"desktop.ini", "thumbs.db", ".ds_store", "icon\r", ".dropbox", ".dropbox.attr", ".dropbox.cache"}


class Problem(Exception):
    """A union: tag and what is nested, such as Problem("conflict", "folder")."""

    def __init__(self, *tags):
        super().__init__("/".join(str(tag) for tag in tags))
        self.tags = tags


def key_of(name):
    if name.isascii():
        return name.lower()
    name = unicodedata.normalize("NFC", name)
    return "".join(c.lower() if OLD.category(c) != "Cn" and len(c.lower()) == 1 else c for c in name)


def check_name(name):
    if (name in ("", ".", "..") or name != name.rstrip(" ") or any(c in name for c in "\\/\0\x7f")
            or len(name.encode("utf-16-le")) // 2 > 255):
        raise Problem("malformed_path")
    if key_of(name) in FORBIDDEN:
        raise Problem("disallowed_name")


class Node:
    """A file or folder. told: the path of its parent as it was given when it came."""

    __slots__ = ("id", "name", "key", "parent", "children", "order", "bulk", "namespace", "blob", "rev", "client_modified",
                 "server_modified", "history", "event", "flags", "told")

    def __init__(self, ident, name, parent, folder=True):
        self.id, self.name, self.key, self.parent = ident, name, key_of(name), parent
        self.children, self.order = ({}, None) if folder else (None, None)
        self.bulk = self.namespace = self.blob = self.rev = self.told = None
        self.client_modified = self.server_modified = 0
        self.history, self.event, self.flags = [], 0, ()

    @property
    def folder(self):
        return self.children is not None

    def keys(self):
        """Sorted keys of the children that are made."""
        if self.order is None:
            self.order = sorted(self.children)
        return self.order


class Bulk:
    """n files of a folder: prefix, a number of 7 digits, suffix."""

    def __init__(self, folder, count, prefix, suffix, size, now, serial):
        self.folder, self.count, self.prefix, self.suffix = folder, count, prefix, suffix
        self.size, self.now, self.serial, self.event = size, now, serial, 0
        self.gone = set()  # deleted or made

    def name(self, i):
        return "%s%07d%s" % (self.prefix, i, self.suffix)

    def number(self, key):
        """Of the file with this key, or None."""
        first, last = key_of(self.prefix), key_of(self.suffix)
        digits = key[len(first):len(key) - len(last)]
        if not (key.startswith(first) and key.endswith(last) and len(digits) == 7 and digits.isdigit()):
            return None
        i = int(digits)
        return i if i < self.count and i not in self.gone else None

    def node(self, i):
        """The file, made for a moment."""
        node = Node("id:%s%07x" % (self.serial, i), self.name(i), self.folder, False)
        text = b"bulk %s %d\n" % (self.serial.encode(), i)
        node.blob = Blob(text + b"." * max(0, self.size - len(text)))
        node.rev = "%05x%08x" % (0x5e000, int(self.serial[-4:], 16) << 20 | i)
        node.client_modified = node.server_modified = self.now
        return node


class Tree:
    """All namespaces of one account, and its events."""

    def __init__(self, now, serial):
        self.now, self.serial = now, serial
        self.made = 0
        self.ids, self.revs, self.deleted = {}, {}, {}
        self.events = []  # (kind, node, parent's keys, name): put, del, bulk
        self.reset_before = 0
        self.bulks, self.spaces = {}, {}
        self.used = 0

    def new_id(self):
        self.made += 1
        digest = hashlib.sha256(b"%d %d" % (self.serial, self.made)).hexdigest()
        return "id:%s" % digest[:22]

    def new_rev(self):
        self.made += 1
        return "%05x%012x" % (0x5f000 + self.serial, self.made)

    def namespace(self, name, parent=None, number=None):
        node = Node(self.new_id(), name, parent)
        node.namespace = number
        self.spaces[number] = node
        self.ids[node.id] = node
        if parent is not None:
            self.attach(node, parent)
        return node

    # --- looking ---

    def child(self, folder, key):
        node = folder.children.get(key)
        if node is None and folder.bulk is not None:
            i = folder.bulk.number(key)
            if i is not None:
                node = folder.bulk.node(i)
                folder.bulk.gone.add(i)
                self.adopt(node)
        return node

    def adopt(self, node):
        """Makes a file of a bulk one like any other."""
        self.ids[node.id] = node
        self.revs[node.rev] = (node, node.blob, node.client_modified, node.server_modified)
        node.history.append((node.rev, node.blob, node.client_modified, node.server_modified, node.name))
        folder = node.parent
        folder.children[node.key] = node
        folder.order = None

    def by_id(self, ident):
        node = self.ids.get(ident)
        if node is None and ident[3:-7] in self.bulks:
            bulk, i = self.bulks[ident[3:-7]], int(ident[-7:], 16)
            if i < bulk.count and i not in bulk.gone and bulk.folder.id in self.ids:
                node = self.child(bulk.folder, key_of(bulk.name(i)))
        return node if node is not None and (node.parent is not None or node.namespace) else None

    def within(self, node, top):
        while node is not None:
            if node is top:
                return True
            node = node.parent
        return False

    def path_keys(self, node, top):
        """Names and keys from below top down to the node."""
        parts = []
        while node is not top and node is not None:
            parts.append(node)
            node = node.parent
        return parts[::-1]

    def lower(self, node, top):
        return "".join("/" + part.key for part in self.path_keys(node, top))

    def display(self, node, top):
        lower = self.lower(node, top)
        if node.told is not None and key_of(node.told) + "/" + node.key == lower:
            return node.told + "/" + node.name
        return "".join("/" + part.name for part in self.path_keys(node, top))

    def namespace_of(self, node):
        while node.namespace is None:
            node = node.parent
        return node

    def walk(self, top, folder, after=(), recursive=True):
        """(keys, node) of what is below, parents first, from after the keys on."""
        keys = folder.keys()
        start = after[0] if after else ""
        at = bisect.bisect_left(keys, start) if after else 0
        bulk = folder.bulk
        number, count = 0, bulk.count if bulk is not None else 0
        if bulk is not None and after:
            low, high = 0, count
            while low < high:
                middle = (low + high) // 2
                low, high = (middle + 1, high) if key_of(bulk.name(middle)) <= start else (low, middle)
            number = low
        while at < len(keys) or number < count:
            while number < count and number in bulk.gone:
                number += 1
            name = bulk.name(number) if number < count else None
            if name is not None and (at >= len(keys) or key_of(name) < keys[at]):
                yield (key_of(name),), bulk.node(number)
                number += 1
                continue
            if at >= len(keys):
                break
            key = keys[at]
            at += 1
            node = folder.children[key]
            deeper = ()
            if after and key == start:
                deeper = after[1:]
            else:
                yield (key,), node
            if recursive and node.folder:
                for more, below in self.walk(top, node, deeper, True):
                    yield (key,) + more, below

    # --- changing ---

    def record(self, kind, node, keys=(), name=None):
        self.events.append((kind, node, keys, name))
        if kind != "del":
            (node if kind == "put" else node.bulk).event = len(self.events)

    def attach(self, node, parent):
        node.parent = parent
        parent.children[node.key] = node
        parent.order = None

    def detach(self, node):
        del node.parent.children[node.key]
        node.parent.order = None

    def keys_from_top(self, node):
        parts = []
        while node is not None:
            parts.append(node)
            node = node.parent
        return tuple(parts[::-1])

    def make_folder(self, parent, name, told=None):
        node = Node(self.new_id(), name, parent)
        node.told = told
        self.ids[node.id] = node
        self.attach(node, parent)
        self.record("put", node)
        return node

    def write(self, node, blob, client_modified):
        """New content for a file."""
        now = int(self.now())
        self.used += blob.size - (node.blob.size if node.blob is not None else 0)
        node.blob, node.rev = blob, self.new_rev()
        node.server_modified = now
        node.client_modified = now if client_modified is None else client_modified
        self.revs[node.rev] = (node, blob, node.client_modified, now)
        node.history.append((node.rev, blob, node.client_modified, now, node.name))
        self.record("put", node)

    def make_file(self, parent, name, blob, client_modified=None, told=None):
        node = Node(self.new_id(), name, parent, False)
        node.told = told
        self.ids[node.id] = node
        self.attach(node, parent)
        self.write(node, blob, client_modified)
        return node

    def remove(self, node):
        """Deletes a file, or a folder with all that is below."""
        chain = self.keys_from_top(node)
        self.record("del", chain[0], tuple(part.key for part in chain[1:]), node.name)
        below = [node] + [n for _, n in self.walk(node, node)] if node.folder else [node]
        for one in below:
            if not one.folder:
                self.used -= one.blob.size
            if one.id in self.ids:
                chain = self.keys_from_top(one)
                self.deleted[chain[0], tuple(part.key for part in chain[1:])] = one
        for one in below:
            self.ids.pop(one.id, None)
        self.detach(node)
        node.parent = None

    def restore(self, parent, key):
        """A deleted file is there again: the same one, in a new revision."""
        chain = self.keys_from_top(parent)
        node = self.deleted.pop((chain[0], tuple(part.key for part in chain[1:]) + (key,)))
        self.ids[node.id] = node
        self.attach(node, parent)
        self.used += node.blob.size
        self.write(node, node.blob, node.client_modified)
        return node

    def move(self, node, parent, name, told=None):
        chain = self.keys_from_top(node)
        self.record("del", chain[0], tuple(part.key for part in chain[1:]), node.name)
        self.detach(node)
        node.name, node.key, node.told = name, key_of(name), told
        self.attach(node, parent)
        self.record("put", node)
        self.record_below(node)

    def record_below(self, node):
        if not node.folder:
            return
        if node.bulk is not None:
            self.record("bulk", node)
        for key in node.keys():
            below = node.children[key]
            self.record("put", below)
            self.record_below(below)

    def fill(self, folder, count, prefix, suffix, size):
        """Many files at once, without making any."""
        if folder.bulk is not None:
            raise ValueError("a folder can be filled only once")
        serial = "%015x" % ((self.serial << 16) + len(self.bulks) + 1)
        folder.bulk = self.bulks[serial] = Bulk(folder, count, prefix, suffix, size, int(self.now()), serial)
        self.used += size * count
        self.record("bulk", folder)

    # --- events ---

    def changes(self, top, folder_keys, since, offset, recursive):
        """What happened after an event to a folder, in order: (kind, node or name,
        keys below top, position after it). A file that changed again comes then; a
        folder that went with one above it went itself."""
        root, prefix = self.prefix_of(top)
        for n in range(since, len(self.events)):
            kind, node, keys, name = self.events[n]
            if kind == "del":
                if node is not root or keys[:len(prefix)] != prefix:
                    continue
                keys = keys[len(prefix):]
                if keys == folder_keys[:len(keys)]:
                    yield "del", folder_keys[-1] if folder_keys else "", folder_keys, (n + 1, 0)
                elif self.is_below(keys, folder_keys, recursive):
                    yield "del", name, keys, (n + 1, 0)
                continue
            if (node if kind == "put" else node.bulk).event != n + 1:
                continue
            chain = self.keys_from_top(node)
            if top not in chain:
                continue
            keys = tuple(part.key for part in chain[chain.index(top) + 1:])
            if kind == "put":
                if self.is_below(keys, folder_keys, recursive) or (recursive and keys and keys == folder_keys):
                    yield "put", node, keys, (n + 1, 0)
            elif self.is_below(keys + ("",), folder_keys, recursive):
                bulk = node.bulk
                for i in range(offset if n == since else 0, bulk.count):
                    if i not in bulk.gone:
                        yield "put", bulk.node(i), keys + (key_of(bulk.name(i)),), (n, i + 1)

    def prefix_of(self, top):
        chain = self.keys_from_top(top)
        return chain[0], tuple(part.key for part in chain[1:])

    @staticmethod
    def is_below(keys, folder, recursive):
        if len(keys) <= len(folder) or keys[:len(folder)] != folder:
            return False
        return recursive or len(keys) == len(folder) + 1
