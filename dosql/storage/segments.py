"""Page segment files: append-only, each page with its own checksum.

Segment file ``pages-<number>.seg``; integers little-endian::

    offset  size  meaning
    0       8     magic "DOSQLPAG"
    8       2     format version (2)
    10      6     zero
    16      16    database id
    32      ...   pages

Page::

    0       4     length of the page in bytes, this header included
    4       1     kind: 1 leaf, 2 inner
    5       1     page format (2)
    6       1     compression: 0 none, 1 LZ4 block
    7       1     zero
    8       8     id of the tree
    16      8     xxh3-64 of bytes 0..15 and what follows
    24      n     the payload, see :mod:`dosql.btree.page`; if compressed: u32 its length, then the block

A page is compressed where that saves an eighth of it or more.
"""

from __future__ import annotations

import re
import struct
from typing import Any, NamedTuple

import lz4.block
from xxhash import xxh3_64_intdigest

from dosql.btree import Inner, Leaf
from dosql.btree.node import Address
from dosql.btree.page import Rows, decode_inner, decode_leaf, encode_inner, encode_leaf
from dosql.errors import CorruptionError, StorageError
from dosql.fsx import File, FileSystem
from dosql.storage.cache import LeafCache

MAGIC = b"DOSQLPAG"
VERSION = 2
SEGMENT_HEADER_BYTES = 32
KIND_LEAF = 1
KIND_INNER = 2
FILES_OPEN_MAX = 256

_SEGMENT = struct.Struct("<8sH6x16s")
_PAGE = struct.Struct("<IBBBxQ")
_U64 = struct.Struct("<Q")
_U32 = struct.Struct("<I")
PAGE_HEADER_BYTES = 24
_PLAIN, _LZ4 = 0, 1


_NAME = re.compile(r"pages-(\d{10})\.seg")


def segment_file_name(number: int) -> str:
    """Returns the file name of page segment ``number``."""
    return f"pages-{number:010d}.seg"


def segment_file_numbers(fs: FileSystem) -> list[int]:
    """Returns the numbers of all page segments, ascending."""
    return sorted(int(m.group(1)) for m in map(_NAME.fullmatch, fs.names()) if m)


def parse_segment_header(data: bytes) -> bytes | None:
    """Returns the database id of a segment's header, None if it is damaged."""
    if len(data) < SEGMENT_HEADER_BYTES or data[:8] != MAGIC or any(data[10:16]):
        return None
    _, version, database_id = _SEGMENT.unpack_from(data)
    return database_id if version == VERSION else None


class Page(NamedTuple):
    """A page whose checksum was right."""

    kind: int
    tree_id: int
    payload: bytes


class PageStore:
    """Reads pages by address and appends new ones.

    Args:
        fs: The folder.
        database_id: 16 bytes in every segment header.
        end: Segment and offset where the next page goes.
        segment_bytes: A segment is not longer, unless a single page is.
        cache: For the leaves that are read.
    """

    def __init__(
        self, fs: FileSystem, database_id: bytes, end: tuple[int, int], segment_bytes: int, cache: LeafCache
    ) -> None:
        self._fs = fs
        self._database_id = database_id
        self._segment_bytes = segment_bytes
        self._files: dict[int, File] = {}
        self._unlinked: dict[int, File] = {}
        self._unsynced: set[int] = set()
        self._forgotten: list[int] = []
        self.cache = cache
        self.end = end
        self.bytes_written = 0

    def read(self, address: Address) -> Page:
        """Returns a page.

        Raises:
            CorruptionError: The bytes are not the page that was written.
            StorageError: The file cannot be read.
        """
        return parse_page(self.read_bytes(address), self.where(address))

    def read_bytes(self, address: Address) -> bytes:
        """Returns a page as it lies in the file, unchecked.

        Raises:
            StorageError: The file cannot be read.
        """
        try:
            with self.cache.lock:
                file = self._file(address.segment)
                if not file.remote:
                    return file.read_at(address.offset, address.length)
            return file.read_at(address.offset, address.length)
        except FileNotFoundError as e:
            raise CorruptionError(
                f"{self._fs.description}/{segment_file_name(address.segment)} is missing", hint="Restore a backup"
            ) from e
        except OSError as e:
            raise StorageError(f"cannot read {self.where(address)}: {e.strerror or e}") from e

    def append(self, kind: int, tree_id: int, payload: bytes) -> Address:
        """Writes a page; durable after :meth:`sync`."""
        return self.append_bytes(make_page(kind, tree_id, payload))

    def append_bytes(self, page: bytes) -> Address:
        """Writes a page that :func:`make_page` made; durable after :meth:`sync`."""
        number, offset = self.end
        if offset > SEGMENT_HEADER_BYTES and offset + len(page) > self._segment_bytes:
            number, offset = number + 1, 0
        with self.cache.lock:
            file = self._file(number, create=True)
            if offset == 0:
                file.write_at(0, _SEGMENT.pack(MAGIC, VERSION, self._database_id))
                offset = SEGMENT_HEADER_BYTES
        file.write_at(offset, page)
        self._unsynced.add(number)
        self.end = (number, offset + len(page))
        self.bytes_written += len(page)
        return Address(number, offset, len(page))

    def sync(self) -> None:
        """Makes all pages durable."""
        for number in sorted(self._unsynced):
            with self.cache.lock:
                file = self._file(number)
            file.sync()
        self._unsynced.clear()
        self._fs.sync_names()

    def remove(self, number: int) -> None:
        """Removes a segment's name. Its pages can be read until :meth:`forget`, as old snapshots may need them."""
        with self.cache.lock:
            file = self._unlinked[number] = self._file(number)
            self._files.pop(number, None)
        if not file.remote:  # an object that is gone cannot be read: it goes when it is forgotten
            self._fs.remove(segment_file_name(number))

    def is_removed(self, number: int) -> bool:
        """Whether a segment was removed and is not forgotten yet."""
        return number in self._unlinked

    def forget(self, number: int) -> None:
        """Gives back the space of a segment that was removed."""
        with self.cache.lock:
            file = self._unlinked.pop(number, None)
            if file is not None and file.remote:
                self._forgotten.append(number)
        if file is not None:
            file.close()

    def take_forgotten(self) -> list[int]:
        """Returns forgotten segments whose objects can be removed, once."""
        with self.cache.lock:
            numbers, self._forgotten = self._forgotten, []
        return numbers

    def let_go_of_file(self, number: int) -> None:
        """Closes a segment's file before it moves; the next read opens it where it is then."""
        with self.cache.lock:
            file = self._files.pop(number, None)
            if file is not None:
                file.close()

    def close(self) -> None:
        """Closes the files."""
        with self.cache.lock:
            for file in (*self._files.values(), *self._unlinked.values()):
                file.close()
            self._files.clear()
            self._unlinked.clear()

    def _file(self, number: int, *, create: bool = False) -> File:
        file = self._files.get(number) or self._unlinked.get(number)
        if file is None:
            if len(self._files) >= FILES_OPEN_MAX:
                idle = (n for n in self._files if n not in self._unsynced and n != self.end[0])
                oldest = next(idle, None)
                if oldest is not None:  # else all are written to, by one large checkpoint
                    self._files.pop(oldest).close()
            file = self._files[number] = self._fs.open(segment_file_name(number), create=create)
        return file

    def where(self, address: Address) -> str:
        """Returns what messages call a page."""
        name = segment_file_name(address.segment)
        return f"the page at offset {address.offset} of {self._fs.description}/{name}"


def make_page(kind: int, tree_id: int, payload: bytes) -> bytes:
    """Returns a page: header and payload, compressed where it helps."""
    packed: bytes = lz4.block.compress(payload)
    if len(packed) <= len(payload) - len(payload) // 8:
        compression, body = _LZ4, packed
    else:
        compression, body = _PLAIN, payload
    head = _PAGE.pack(PAGE_HEADER_BYTES + len(body), kind, VERSION, compression, tree_id)
    return head + _U64.pack(xxh3_64_intdigest(head + body)) + body


def parse_page(data: bytes, where: str) -> Page:
    """Returns what a page holds.

    Raises:
        CorruptionError: The bytes are not a page, or of a newer format.
    """
    if len(data) >= PAGE_HEADER_BYTES:
        length, kind, version, compression, tree_id = _PAGE.unpack_from(data)
        body = data[PAGE_HEADER_BYTES:]
        if length == len(data) and _U64.unpack_from(data, 16)[0] == xxh3_64_intdigest(data[:16] + body):
            if version != VERSION or compression > _LZ4:
                raise CorruptionError(f"{where} has page format {version}.{compression}; this program reads {VERSION}")
            return Page(kind, tree_id, lz4.block.decompress(body) if compression == _LZ4 else body)
    raise CorruptionError(f"{where} is damaged: its checksum does not fit", hint="Restore the file from a backup")


class TreePages:
    """The pages of one tree: a :class:`dosql.btree.PageSource`, and their writer."""

    def __init__(self, store: PageStore, tree_id: int, key_kind: str, kinds: str) -> None:
        self._store = store
        self._cache = store.cache
        self.tree_id = tree_id
        self._key_kind = key_kind
        self._kinds = kinds

    def widened(self, kinds: str) -> TreePages:
        """Returns a source of the same pages for a tree with more columns."""
        return TreePages(self._store, self.tree_id, self._key_kind, kinds)

    def load_leaf(self, leaf: Leaf) -> tuple[Any, list[Any]]:
        """Fills a leaf from where it was parked, or from its page."""
        found = self._in_memory(leaf)
        if found is not None:
            return found
        address = leaf.address
        assert address is not None, "a leaf without a page lost its rows"
        rows: Rows = self._decoded(address, KIND_LEAF, lambda p: decode_leaf(p, self._key_kind, self._kinds, leaf))
        with self._cache.lock:
            found = self._in_memory(leaf)  # another thread may have been faster
            if found is not None:
                return found
            leaf.keys, leaf.cols = rows.keys, rows.cols
            self._cache.loads += 1
            self._cache.admit(leaf, rows.size)
            return rows.keys, rows.cols

    def _in_memory(self, leaf: Leaf) -> tuple[Any, list[Any]] | None:
        with self._cache.lock:
            if self._cache.take_back(leaf):
                return leaf.keys, leaf.cols
            try:
                return object.__getattribute__(leaf, "keys"), object.__getattribute__(leaf, "cols")
            except AttributeError:
                return None

    def load_inner(self, inner: Inner) -> tuple[Any, list[Any]]:
        """Fills an inner node from its page. It stays in memory: each page has one node (see docs/decisions/0007)."""
        address = inner.address
        assert address is not None, "an inner node without a page lost its children"
        keys, children = self._decoded(
            address, KIND_INNER, lambda p: decode_inner(p, inner.level, self._key_kind, self)
        )
        with self._cache.lock:
            try:  # another thread was faster, and its children count: each page has one node
                return object.__getattribute__(inner, "keys"), object.__getattribute__(inner, "children")
            except AttributeError:
                pass
            inner.children = children
            inner.keys = keys
            return keys, children

    def write_leaf(self, leaf: Leaf) -> None:
        """Writes a leaf's page; from then on the leaf may be let go."""
        payload, size = encode_leaf(leaf, self._kinds)
        leaf.size = size
        leaf.source = self  # before the address: who sees it, perhaps on another thread, relies on the rest
        leaf.address = self._store.append(KIND_LEAF, self.tree_id, payload)
        self._cache.wrote(size)
        self._cache.admit(leaf, size)

    def write_inner(self, inner: Inner) -> None:
        """Writes an inner node's page; its children have theirs."""
        inner.source = self
        inner.address = self._store.append(KIND_INNER, self.tree_id, encode_inner(inner, self._key_kind))

    def _decoded(self, address: Address, kind: int, decode: Any) -> Any:
        page = self._store.read(address)
        if page.kind != kind or page.tree_id != self.tree_id:
            raise CorruptionError(
                f"page {tuple(address)} is of kind {page.kind}, tree {page.tree_id}; expected "
                f"kind {kind}, tree {self.tree_id}",
                hint="Restore a backup",
            )
        try:
            return decode(page.payload)
        except (ValueError, struct.error, IndexError) as e:
            raise CorruptionError(f"page {tuple(address)} cannot be read: {e}", hint="Restore a backup") from e
