"""files.list: what a search finds, in what order, page by page."""
from contents import Bulk, stamp
from gdrive_model import SHORTCUT
from gdrive_query import Query, Refused, compare, name_contains, pick
from gdrive_rep import file, invalid, not_found, refuse

ORDERS = {"createdTime": lambda i: i.created, "folder": lambda i: not i.folder, "modifiedTime": lambda i: i.modified,
          "modifiedByMeTime": lambda i: i.modified, "name": lambda i: i.name.lower(), "recency": lambda i: i.modified,
          "name_natural": lambda i: i.name.lower(), "quotaBytesUsed": lambda i: i.size,
          "sharedWithMeTime": lambda i: i.created, "starred": lambda i: not i.starred,
          "viewedByMeTime": lambda i: i.viewed_at or 0}
OF_EACH = {"name", "fullText", "modifiedTime", "createdTime", "viewedByMeTime"}  # differ within a bulk
# What differs between the items of a bulk, or of a kind, and how it is said.
VARYING = {
    "id": lambda i: i.id, "name": lambda i: i.name, "originalFilename": lambda i: i.name,
    "md5Checksum": lambda i: i.content.md5, "sha256Checksum": lambda i: i.content.sha256,
    "headRevisionId": lambda i: i.head, "webViewLink": lambda i: "https://drive.google.com/file/d/%s" % i.id,
    "webContentLink": lambda i: "https://drive.google.com/uc?id=%s&export=download" % i.id,
}
OF_A_KIND = dict(VARYING, **{
    "createdTime": lambda i: stamp(i.created), "modifiedTime": lambda i: stamp(i.modified),
    "version": lambda i: str(i.version), "size": lambda i: str(i.content.size),
    "quotaBytesUsed": lambda i: str(i.content.size),
})


def kind(item):
    """Plain files of one kind agree in all that OF_A_KIND does not name, for as long
    as nothing changes. None: the item is no such file."""
    if (item.content is None or item.trashed or item.shares or item.properties or item.private or item.description
            or item.viewed_at is not None or item.target or item.mismatch or item.old or item.abusive or item.exports):
        return None
    return (item.parent, item.mime, item.owner, item.by, item.app, item.starred, item.downloadable)


class Search:
    def __init__(self, part, client, params, first_parent=False):
        self.first_parent = first_parent
        self.part, self.store, self.client, self.params = part, part.store, client, params
        self.with_drives = params.get("includeItemsFromAllDrives", params.get("includeTeamDriveItems", False))
        self.query = None
        if "q" in params:
            try:
                self.query = Query(params["q"])
            except Refused:
                invalid("q")
        self.terms = self.query.terms if self.query else []
        self.by_name = any(t[1] in ("name", "fullText") for t in self.terms)
        self.uniform = not any(t[1] in OF_EACH for t in self.terms)
        self.check()
        self.order = self.parse_order(params.get("orderBy"))
        self.found_kinds = {}

    def check(self):
        params = self.params
        corpora = params.get("corpora", "user")
        if (corpora == "drive") != ("driveId" in params or "teamDriveId" in params):
            refuse(400, "invalid", "The driveId parameter must be specified if and only if corpora is set to drive.",
                   "driveId")
        if corpora in ("drive", "allDrives") or self.with_drives:
            if not (self.with_drives and self.client.all_drives):
                refuse(400 if corpora != "user" else 403, "teamDrivesNotSupported",
                       "The includeItemsFromAllDrives and supportsAllDrives parameters must be true.", "supportsAllDrives")
        self.drive = None
        if corpora == "drive":
            key = params.get("driveId", params.get("teamDriveId"))
            self.drive = self.store.drives.get(key)
            if self.drive is None or self.client.mail not in self.drive.members:
                not_found(key, "driveId")
        self.corpora = corpora
        if any(space not in ("drive", "appDataFolder") for space in params.get("spaces", "drive").split(",")):
            invalid("spaces")

    def parse_order(self, text):
        if not text:
            return None
        if any(t[1] == "fullText" for t in self.terms):
            invalid("orderBy", "Sorting is not supported for queries with fullText terms.")
        keys = []
        for one in text.split(","):
            words = one.strip().split()
            if not words or words[0] not in ORDERS or words[1:] not in ([], ["desc"]):
                invalid("orderBy")
            keys.append((ORDERS[words[0]], len(words) > 1))
        return keys

    def parents(self):
        keys = self.query.parents() if self.query else None
        if keys is None:
            return None
        found = []
        for key in sorted(keys):
            key = self.client.user.root if key == "root" else key
            folder = self.store.get(key)
            if folder is None or self.client.role(folder) is None or (
                    self.store.drive_of(folder) and not self.client.all_drives):
                not_found("")
            found.append(key)
        return found[:1] if self.first_parent else found

    def first(self):
        """What the search goes through: lists of keys and bulks; where it begins."""
        parents = self.parents()
        store, sources = self.store, []
        folders = parents if parents is not None else None
        if folders is None:
            sources.append(list(store.items))
            bulks = [b for bulks in store.bulk_of.values() for b in bulks]
        else:
            for folder in folders:
                sources.append(list(store.children.get(folder, ())))
            bulks = [b for folder in folders for b in store.bulk_of.get(folder, ())]
        exact = [t[2] for t in (self.query.required() if self.query else []) if t[:2] == ("=", "name")]
        for bulk in bulks:
            if exact:
                k = bulk.find(exact[0])
                sources.append([] if k is None else [bulk.key(k)])
            else:
                sources.append(bulk)
        if self.order:
            items = [i for source in sources for i in self.items(source, 0)]
            for key, down in reversed(self.order):
                items.sort(key=key, reverse=down)
            sources = [[i.id for i in items]]
        return sources, (0, 0)

    def items(self, source, start):
        keys = source.keys(start) if isinstance(source, Bulk) else source[start:]
        for key in keys:
            item = self.store.get(key)
            if item is not None and self.finds(item):
                yield item

    def finds(self, item):
        """Is it found? Where the terms do not tell files of a kind apart, it is asked of one."""
        key = kind(item) if self.uniform and not self.part.search_lag else None
        if key is None:
            return self.finds_this(item)
        if key not in self.found_kinds:
            self.found_kinds[key] = self.finds_this(item)
        return self.found_kinds[key]

    def finds_this(self, item):
        if item.parent is None or self.client.role(item) is None:
            return False
        drive = self.store.drive_of(item)
        if (drive and not self.with_drives) or (self.drive and drive is not self.drive):
            return False
        lag = self.part.search_lag
        if lag and (self.by_name or not self.part.lag_names_only) and self.part.world.now() - item.placed_at < lag:
            return False
        return self.query is None or self.query.matches(item, self.holds)

    def holds(self, item, term):
        op, field, value = term
        store = self.store
        if op == "in":
            if field == "parents":
                return item.parent == (self.client.user.root if value == "root" else value)
            if field == "owners":
                return item.owner == value
            role = store.role(value, item)
            return role is not None and (field == "readers" or role not in ("reader", "commenter"))
        if op == "has":
            kept = item.properties if field == "properties" else item.private.get(self.client.app, {})
            return kept.get(value[0]) == value[1]
        if field == "name":
            if op == "contains":
                return name_contains(item.name, value)
            return compare(op, ascii_lower(item.name), ascii_lower(value))
        if field == "fullText":
            return name_contains(item.name, value)
        if field == "mimeType":
            return value in item.mime if op == "contains" else compare(op, item.mime, value)
        return compare(op, self.value_of(item, field), value)

    def value_of(self, item, field):
        if field == "trashed":
            return self.store.trashed(item)
        if field == "sharedWithMe":
            return self.client.mail in item.shares
        if field == "shortcutDetails.targetId":
            return item.target if item.mime == SHORTCUT else None
        if field == "visibility":
            return "limited"
        return {"modifiedTime": item.modified, "createdTime": item.created, "starred": item.starred,
                "viewedByMeTime": item.viewed_at or 0}[field]


def ascii_lower(text):
    """Upper-case letters with accents are missed, as they are by the service."""
    return "".join(c.lower() if c.isascii() else c for c in text)


class Quick:
    """The File of one item after the other: those of a bulk, or of a kind, are made after its first."""

    def __init__(self, store, client, fields):
        self.store, self.client, self.fields = store, client, fields
        self.varying = [(name, VARYING[name]) for name in fields if name in VARYING]
        self.of_a_kind = [(name, OF_A_KIND[name]) for name in fields if name in OF_A_KIND]
        self.able = "*" not in fields and not set(fields) & {"sha1Checksum", "fileExtension", "fullFileExtension"}
        self.templates = {}

    def file(self, item):
        single = item.id in self.store.items
        key = kind(item) if single else item.id[:20]
        if not self.able or key not in self.templates:
            told = pick(file(self.store, self.client, item, self.fields), self.fields)
            if key is not None:
                self.templates[key] = told
            return told
        told = dict(self.templates[key])
        for name, said in self.of_a_kind if single else self.varying:
            told[name] = said(item)
        return told


def pages_of(search, sources, at, limit, fields):
    """Up to `limit` files from `at` on, and where the next page begins (None: nowhere)."""
    store, found, quick = search.store, [], Quick(search.store, search.client, fields)
    index, offset = at
    while index < len(sources):
        source = sources[index]
        bulk = isinstance(source, Bulk)
        count = source.count if bulk else len(source)
        whole = None  # is a bulk found as a whole, or not at all?
        while offset < count and len(found) < limit:
            k, offset = offset, offset + 1
            if bulk and k in source.gone:
                continue
            item = store.of_bulk(source, k) if bulk else store.get(source[k])
            if item is None:
                continue
            finds = whole if whole is not None else search.finds(item)
            if bulk and search.uniform and whole is None:
                whole = finds
                offset = offset if finds else count
            if finds:
                found.append(quick.file(item))
        if offset < count:
            return found, (index, offset)
        index, offset = index + 1, 0
    return found, None
