"""What the server and its protocols share: files, answers, the end of a connection."""
import hashlib
import time
import zlib

KEEP = 4 * 1024 * 1024  # larger files are kept compressed


class Ended(Exception):
    """The connection is over."""


class File:
    def __init__(self, data, modified=None):
        self.size = len(data)
        self.packed = len(data) > KEEP
        self.kept = zlib.compress(data, 1) if self.packed else data
        self.sha256 = hashlib.sha256(data).digest()
        self.md5 = hashlib.md5(data).hexdigest()
        self.etag = '"%s"' % self.md5
        self.modified = int(modified or time.time())

    @property
    def data(self):
        return zlib.decompress(self.kept) if self.packed else self.kept


class Answer:
    def __init__(self, status, body=b"", headers=(), content_type=None):
        self.status = status
        self.body = body if isinstance(body, bytes) else body.encode()
        self.headers = list(headers)
        if content_type:
            self.headers.append(("Content-Type", content_type))
