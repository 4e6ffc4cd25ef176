"""Contents of files: small ones in memory, large ones in a file of their own.

    blob = Blob(b"...")             in memory
    blob = Blob.of(pieces, folder)  from an iterable of bytes
    blob = Building(folder); blob.add(piece); ...; blob.done()
    blob.size, blob.read(start, end), blob.pieces(), blob.sha256, .md5,
    .content_hash (Dropbox), .quickxor (Microsoft, base64): computed when asked for
"""
import base64
import hashlib
import os
import tempfile

KEPT = 4 * 1024 * 1024  # more is kept in a file
PIECE = 1024 * 1024
BLOCK = 4 * 1024 * 1024  # of Dropbox's content hash
PLACES = [i * 11 % 160 for i in range(160)]  # of quickXorHash


class Blob:
    __slots__ = ("size", "_data", "_path", "_hashes", "__weakref__")

    def __init__(self, data=b"", path=None, size=None):
        self._data, self._path = data, path
        self.size = len(data) if path is None else size
        self._hashes = {}

    @classmethod
    def of(cls, pieces, folder):
        building = Building(folder)
        for piece in pieces:
            building.add(piece)
        return building.done()

    def __del__(self):
        if self._path:
            try:
                os.unlink(self._path)
            except OSError:
                pass

    def read(self, start=0, end=None):
        end = self.size if end is None else min(end, self.size)
        if self._path is None:
            return self._data[start:end] if (start, end) != (0, self.size) else self._data
        with open(self._path, "rb") as file:
            file.seek(start)
            return file.read(max(0, end - start))

    def pieces(self, size=PIECE):
        for at in range(0, self.size, size):
            yield self.read(at, at + size)

    def _hash(self, name, compute):
        if name not in self._hashes:
            self._hashes[name] = compute()
        return self._hashes[name]

    def _plain(self, name):
        digest = hashlib.new(name)
        for piece in self.pieces():
            digest.update(piece)
        return digest.hexdigest()

    @property
    def sha256(self):
        return self._hash("sha256", lambda: self._plain("sha256"))

    @property
    def md5(self):
        return self._hash("md5", lambda: self._plain("md5"))

    @property
    def content_hash(self):
        if self._path is None and 0 < self.size <= BLOCK:
            return self._hash("blocks", lambda: hashlib.sha256(hashlib.sha256(self._data).digest()).hexdigest())
        return self._hash("blocks", lambda: hashlib.sha256(
            b"".join(hashlib.sha256(block).digest() for block in self.pieces(BLOCK))).hexdigest())

    @property
    def quickxor(self):
        return self._hash("quickxor", lambda: quickxor(self.pieces(), self.size))


class Building:
    """A blob that is being put together."""

    def __init__(self, folder):
        self.folder, self.size = folder, 0
        self._pieces, self._path, self._file = [], None, None

    def add(self, piece):
        self.size += len(piece)
        if self._file is None and self.size > KEPT:
            handle, self._path = tempfile.mkstemp(prefix="blob-", dir=self.folder)
            self._file = os.fdopen(handle, "wb")
            for kept in self._pieces:
                self._file.write(kept)
            self._pieces = []
        if self._file is None:
            self._pieces.append(bytes(piece))
        else:
            self._file.write(piece)

    def done(self):
        if self._file is None:
            return Blob(b"".join(self._pieces))
        self._file.close()
        return Blob(path=self._path, size=self.size)


def quickxor(pieces, size):
    """QuickXorHash: byte i is XORed in at bit (i * 11) mod 160 of a ring of 160
    bits, then the length into the last 8 bytes. Since 160 bytes later a byte
    stands at the same bit, columns are XORed as large numbers first."""
    columns = 0
    rest = b""
    for piece in pieces:
        piece = rest + piece
        whole = len(piece) - len(piece) % 160
        rest = piece[whole:]
        for at in range(0, whole, 160):
            columns ^= int.from_bytes(piece[at:at + 160], "little")
    columns ^= int.from_bytes(rest, "little")
    ring = 0
    for byte, at in zip(columns.to_bytes(min(160, size), "little"), PLACES):
        ring ^= byte << at
    ring = (ring & ((1 << 160) - 1)) ^ (ring >> 160)
    digest = bytearray(ring.to_bytes(20, "little"))
    for i, byte in enumerate(size.to_bytes(8, "little")):
        digest[12 + i] ^= byte
    return base64.b64encode(bytes(digest)).decode()
