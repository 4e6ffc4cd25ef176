"""What the parts for Google Drive and Microsoft Graph share: times and made-up contents.

Times are seconds since 1970 as floats; the services' notations are made here.
"""
import base64
import bisect
import calendar
import datetime
import functools
import functools
import re

from blobs import PLACES, Blob


def made_up(name, size):
    """Content for a file that exists only by the number of its folder."""
    seed = (name + "\n").encode()
    return Blob((seed * (size // len(seed) + 1))[:size])


class MadeUp(Blob):
    """The same, made when it is read."""

    __slots__ = ("_name", "_xor")

    def __init__(self, name, size, xor=None):
        super().__init__()
        self._name, self.size, self._xor = name, size, xor

    @property
    def quickxor(self):
        return super().quickxor if self._xor is None else self._xor()

    def read(self, start=0, end=None):
        if len(self._data) != self.size:
            self._data = made_up(self._name, self.size).read()
        return super().read(start, end)


def of_act(told):
    """The content an act gives: text, base64, or a size alone."""
    if "base64" in told:
        return Blob(base64.b64decode(told["base64"]))
    if "text" in told or "content" in told:
        return Blob(told.get("text", told.get("content")).encode())
    if "size" in told:
        return made_up(str(told.get("path") or told.get("name") or "x"), int(told["size"]))
    return Blob(b"")


class Feed:
    """A log of changes: an item's later change takes the place of its earlier one.

    Ranges stand for many items by number (Bulk); each takes a place of its own."""

    def __init__(self, first=1):
        self.starts, self.entries = [], []
        self.first = self.next = first
        self.last = {}

    def add(self, key):
        self.starts.append(self.next)
        self.entries.append(key)
        self.last[key] = self.next
        self.next += 1

    def add_bulk(self, bulk):
        self.starts.append(self.next)
        self.entries.append(bulk)
        self.next += bulk.count

    def since(self, at):
        """(number, key) of what changed from `at` on, oldest first."""
        i = max(0, bisect.bisect_right(self.starts, at) - 1)
        for start, entry in zip(self.starts[i:], self.entries[i:]):
            if isinstance(entry, Bulk):
                for k in range(max(0, at - start), entry.count):
                    key = entry.key(k)
                    if key not in self.last:
                        yield start + k, key
            elif start >= at and self.last[entry] == start:
                yield start, entry


class Bulk:
    """Many files of one folder, none of which takes memory before it is touched.

    Names are made by `pattern` (such as "file %07d.txt") from 0 to count - 1, keys
    by `prefix`. `gone` are the numbers that have become items of their own, or none."""

    def __init__(self, prefix, folder, count, pattern, size, created):
        self.prefix, self.folder, self.count = prefix, folder, count
        self.pattern, self.size, self.created = pattern, size, created
        self.gone = set()
        before, _, after = re.match(r"(.*)(%0?\d*d)(.*)\Z", pattern, re.S).groups()
        fixed = before.isascii() and len(pattern % 0) == len(pattern % (count - 1)) and size < 100000
        self.xors = self.learn_quickxor(len(before), len(pattern % 0) - len(before) - len(after)) if fixed else None
        self.named = re.compile(re.escape(before) + r"(\d+)" + re.escape(after) + r"\Z", re.I)

    def key(self, k):
        return "%s%08d" % (self.prefix, k)

    def content(self, k):
        name = self.pattern % k
        return MadeUp(name, self.size, (lambda: self.quickxor(name)) if self.xors else None)

    def learn_quickxor(self, before, digits):
        """The hash is linear, so of names that differ by digits alone it is put together
        from what each digit gives."""
        name = self.pattern % 0
        every, xors = len(name) + 1, []
        for at in range(before, before + digits):
            places = [PLACES[i % 160] for i in range(at, self.size, every)]
            xors.append([functools.reduce(lambda a, place, d=d: a ^ (d << place), places, 0) for d in range(10)])
        base = functools.reduce(lambda a, told: a ^ (told[1] << PLACES[told[0] % 160]), enumerate(made_up(name, self.size).read()), 0)
        return before, before + digits, xors, base

    def quickxor(self, name):
        first, end, xors, ring = self.xors
        for digit, told in zip(name[first:end], xors):
            ring ^= told[ord(digit) - 48]
        ring = (ring & ((1 << 160) - 1)) ^ (ring >> 160) ^ (self.size << 96)
        return base64.b64encode(ring.to_bytes(20, "little")).decode()

    def number(self, key):
        """The number of a key, None if it is none of these (any more)."""
        if not key.startswith(self.prefix) or not key[len(self.prefix):].isdigit():
            return None
        k = int(key[len(self.prefix):])
        return k if k < self.count and k not in self.gone else None

    def find(self, name):
        found = self.named.match(name)
        k = int(found.group(1)) if found else self.count
        if k >= self.count or k in self.gone or (self.pattern % k).lower() != name.lower():
            return None
        return k

    def keys(self, start=0):
        for k in range(start, self.count):
            if k not in self.gone:
                yield self.key(k)


# --- times -----------------------------------------------------------------------

STAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?)?\Z", re.I)


def parse_time(text, zone_required=False):
    """RFC 3339 to seconds; None if it is not that."""
    found = STAMP.match(text) if isinstance(text, str) else None
    if found is None or (zone_required and not found.group(8)):
        return None
    year, month, day, hour, minute, second = (int(found.group(i) or 0) for i in range(1, 7))
    try:
        datetime.datetime(year, month, day, hour, minute, min(second, 59))
    except ValueError:
        return None
    at = calendar.timegm((year, month, day, hour, minute, second)) + float("0." + (found.group(7) or "0"))
    zone = found.group(8)
    if zone and zone.upper() != "Z":
        sign = -1 if zone[0] == "-" else 1
        at -= sign * (int(zone[1:3]) * 3600 + int(zone[-2:]) * 60)
    return at


@functools.lru_cache(maxsize=65536)
def second(at):
    return datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")


def stamp(at, digits=3):
    """Seconds to RFC 3339 in UTC, with that many digits after the point."""
    scale = 10 ** digits
    units = int(at * scale + 0.5)
    return "%s%sZ" % (second(units // scale), ".%0*d" % (digits, units % scale) if digits else "")
