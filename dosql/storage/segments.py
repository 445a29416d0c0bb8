"""Page segment files: append-only, each page with its own checksum.

Segment file ``pages-<number>.seg``; integers little-endian::

    offset  size  meaning
    0       8     magic "DOSQLPAG"
    8       2     format version (1)
    10      6     zero
    16      16    database id
    32      ...   pages

Page::

    0       4     length of the page, this header included
    4       1     kind: 1 leaf, 2 inner
    5       1     page format (1)
    6       2     flags: 0 (compression comes here)
    8       8     id of the tree
    16      8     xxh3-64 of bytes 0..15 and the payload
    24      n     payload, see :mod:`dosql.btree.page`
"""

from __future__ import annotations

import struct

from xxhash import xxh3_64_intdigest

from dosql.btree import Inner, Leaf
from dosql.btree.node import Address
from dosql.btree.page import decode_inner, decode_leaf, encode_inner, encode_leaf
from dosql.errors import CorruptionError, StorageError
from dosql.fsx import File, FileSystem

MAGIC = b"DOSQLPAG"
VERSION = 1
SEGMENT_HEADER_BYTES = 32
KIND_LEAF = 1
KIND_INNER = 2

_SEGMENT = struct.Struct("<8sH6x16s")
_PAGE = struct.Struct("<IBBHQ")
_U64 = struct.Struct("<Q")
_PAGE_HEADER_BYTES = 24


def segment_file_name(number: int) -> str:
    """Returns the file name of page segment ``number``."""
    return f"pages-{number:010d}.seg"


class PageStore:
    """Reads pages by address and appends new ones.

    Args:
        fs: The folder.
        database_id: 16 bytes in every segment header.
        end: Segment and offset where the next page goes.
        segment_bytes: Length at which a segment is closed.
    """

    def __init__(self, fs: FileSystem, database_id: bytes, end: tuple[int, int], segment_bytes: int) -> None:
        self._fs = fs
        self._database_id = database_id
        self._segment_bytes = segment_bytes
        self._files: dict[int, File] = {}
        self.end = end

    def read(self, address: Address) -> tuple[int, bytes]:
        """Returns kind and payload of a page.

        Raises:
            CorruptionError: The bytes are not the page that was written.
            StorageError: The file cannot be read.
        """
        try:
            data = self._file(address.segment).read_at(address.offset, address.length)
        except OSError as e:
            raise StorageError(f"cannot read {self._where(address)}: {e.strerror}") from e
        if len(data) == address.length >= _PAGE_HEADER_BYTES:
            length, kind, version, _, _ = _PAGE.unpack_from(data)
            payload = data[_PAGE_HEADER_BYTES:]
            checksum = _U64.unpack_from(data, 16)[0]
            if length == address.length and checksum == xxh3_64_intdigest(data[:16] + payload):
                if version != 1:
                    raise CorruptionError(f"{self._where(address)} has page format {version}, which is newer")
                return kind, payload
        raise CorruptionError(
            f"{self._where(address)} is damaged: its checksum does not fit", hint="Restore the file from a backup"
        )

    def append(self, kind: int, tree_id: int, payload: bytes) -> Address:
        """Writes a page; durable after :meth:`sync`."""
        number, offset = self.end
        if offset >= self._segment_bytes:
            self._file(number).sync()
            number, offset = number + 1, 0
        file = self._file(number, create=True)
        if offset == 0:
            file.write_at(0, _SEGMENT.pack(MAGIC, VERSION, self._database_id))
            offset = SEGMENT_HEADER_BYTES
        length = _PAGE_HEADER_BYTES + len(payload)
        head = _PAGE.pack(length, kind, 1, 0, tree_id)
        file.write_at(offset, head + _U64.pack(xxh3_64_intdigest(head + payload)) + payload)
        self.end = (number, offset + length)
        return Address(number, offset, length)

    def sync(self) -> None:
        """Makes all pages durable."""
        if self.end[1]:
            self._file(self.end[0]).sync()
        self._fs.sync_names()

    def close(self) -> None:
        """Closes the files."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _file(self, number: int, *, create: bool = False) -> File:
        file = self._files.get(number)
        if file is None:
            file = self._files[number] = self._fs.open(segment_file_name(number), create=create)
        return file

    def _where(self, address: Address) -> str:
        name = segment_file_name(address.segment)
        return f"the page at offset {address.offset} of {self._fs.description}/{name}"


class TreePages:
    """The pages of one tree: a :class:`dosql.btree.PageSource`, and their writer."""

    def __init__(self, store: PageStore, tree_id: int, key_kind: str, kinds: str) -> None:
        self._store = store
        self._tree_id = tree_id
        self._key_kind = key_kind
        self._kinds = kinds

    def load_leaf(self, leaf: Leaf) -> None:
        """Fills a leaf from its page."""
        assert leaf.address is not None
        kind, payload = self._store.read(leaf.address)
        if kind != KIND_LEAF:
            raise CorruptionError(f"page {leaf.address} is not a leaf")
        decode_leaf(payload, leaf, self._key_kind, self._kinds)

    def load_inner(self, inner: Inner) -> None:
        """Fills an inner node from its page."""
        assert inner.address is not None
        kind, payload = self._store.read(inner.address)
        if kind != KIND_INNER:
            raise CorruptionError(f"page {inner.address} is not an inner node")
        decode_inner(payload, inner, self._key_kind, self)

    def write(self, node: Leaf | Inner) -> int:
        """Writes the node and what is below it, as far as it has no page yet. Returns the pages written."""
        if node.address is not None:
            return 0
        written = 1
        if isinstance(node, Leaf):
            payload, kind = encode_leaf(node, self._key_kind, self._kinds), KIND_LEAF
        else:
            written += sum(self.write(child) for child in node.children)
            payload, kind = encode_inner(node, self._key_kind), KIND_INNER
        node.address = self._store.append(kind, self._tree_id, payload)
        return written
