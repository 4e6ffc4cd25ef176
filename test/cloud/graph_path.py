"""Addresses of Microsoft Graph: what a raw path means, before anything is looked up.

parse() gives a Place: the drive by `drive` (an id), `user` (an id or me) or `site`,
the item by `item` (an id, or root) and `names` (the path below it), and `action`.
"""
import re
import urllib.parse

PCHAR = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})*\Z")


class BadPath(Exception):
    pass


class Place:
    def __init__(self):
        self.kind = "unknown"  # me, users, drive, drives, item, site, sites
        self.user = self.site = self.site_path = self.drive = self.item = None
        self.names, self.action, self.argument = [], "", None


def segment(raw):
    if not PCHAR.match(raw):
        raise BadPath("not a segment: %s" % raw)
    try:
        return urllib.parse.unquote(raw, errors="strict")
    except UnicodeDecodeError:
        raise BadPath("not UTF-8: %s" % raw) from None


def parse(raw):
    """The Place of a path below /v1.0."""
    place = Place()
    head, _, rest = raw.lstrip("/").partition("/")
    if head == "me" or head == "users":
        if head == "users":
            user, _, rest = rest.partition("/")
            place.user = segment(user)
        else:
            place.user = "me"
        return of_owner(place, rest, "user")
    if head == "sites":
        return of_site(place, rest)
    if head == "drives":
        key, slash, rest = rest.partition("/")
        if not key:
            return place
        place.drive = segment(key)
        place.kind = "drive"
        return of_drive(place, rest)
    return place


def of_owner(place, rest, kind):
    if rest == "":
        place.kind = kind
    elif rest == "drives":
        place.kind = "drives"
    elif rest == "drive" or rest.startswith("drive/"):
        place.kind = "drive"
        of_drive(place, rest[6:])
    return place


def of_site(place, rest):
    if rest == "":
        place.kind = "sites"
        return place
    found = re.match(r"([^/:]+):/([^:]*)(?::/(.*))?\Z", rest)
    if found:
        place.site = segment(found.group(1))
        place.site_path = "/" + "/".join(segment(s) for s in found.group(2).split("/"))
        return of_owner(place, found.group(3) or "", "site")
    name, _, rest = rest.partition("/")
    place.site = segment(name)
    return of_owner(place, rest, "site")


def of_drive(place, rest):
    """root..., items/{id}... of a drive."""
    if rest == "":
        return place
    place.kind = "item"
    found = re.match(r"root(?=[:/]|\Z)", rest)
    if found:
        place.item, rest = "root", rest[found.end():]
    else:
        found = re.match(r"items/([^/:]+)", rest)
        if not found:
            place.kind = "unknown"
            return place
        place.item, rest = segment(found.group(1)), rest[found.end():]
    if rest == ":/":
        rest = ""  # the item itself; with a closing colon it is refused
    if rest.startswith(":"):
        found = re.match(r":/([^:]+)(?::(?:/(.*))?)?\Z", rest)
        if not found or found.group(2) is not None and ":" in found.group(2):
            raise BadPath("the path of an item is wrong: %s" % rest)
        names = [segment(name) for name in found.group(1).rstrip("/").split("/")]
        if any(name in ("", ".", "..") for name in names):
            raise BadPath("an empty name in %s" % rest)
        place.names, rest = names, found.group(2) or ""
    elif rest.startswith("/"):
        rest = rest[1:]
    found = re.match(r"delta\(token='([^']*)'\)\Z", urllib.parse.unquote(rest))
    if found:
        place.action, place.argument = "delta", found.group(1)
        return place
    place.action = "delta" if rest == "delta()" else rest
    if rest not in ("", "children", "content", "createUploadSession", "delta", "delta()", "copy", "permanentDelete"):
        place.kind = "unknown"
    return place
