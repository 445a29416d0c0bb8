"""The manifest: what opening a database reads first.

File ``manifest-<number>``, little-endian::

    offset  size  meaning
    0       8     magic "DOSQLMAN"
    8       2     format version (2)
    10      2     zero
    12      4     length of the body
    16      8     xxh3-64 of bytes 0..15 and the body
    24      n     body: MessagePack of :class:`Manifest`

A new one is written beside the old, synced, then renamed into place. The newest valid one
counts; the one before it is kept.
"""

from __future__ import annotations

import re
import struct

import msgspec
from xxhash import xxh3_64_intdigest

from dosql.errors import CorruptionError
from dosql.fsx import FileSystem, read_whole
from dosql.schema import Schema

MAGIC = b"DOSQLMAN"
VERSION = 2
_HEAD = struct.Struct("<8sH2xI")
_U64 = struct.Struct("<Q")
_NAME = re.compile(r"manifest-(\d{10})")
_KEPT = 2


class TreeRoot(msgspec.Struct, frozen=True):
    """Where a tree's root page lies; ``level`` 0 is a leaf."""

    segment: int
    offset: int
    length: int
    level: int
    count: int


class Manifest(msgspec.Struct, frozen=True):
    """A checkpoint.

    Attributes:
        database_id: 16 random bytes.
        earlier_ids: Ids that the database had before it was restored to an earlier state.
        live: Bytes of live pages, by segment.
        wal_segment, wal_offset: Where in the log recovery goes on.
        page_segment, page_offset: Where the next page goes.
    """

    database_id: bytes
    name: str
    number: int
    lsn: int
    time_us: int
    schema: Schema
    trees: dict[int, TreeRoot]
    slots: dict[str, int]
    live: dict[int, int]
    wal_segment: int
    wal_offset: int
    page_segment: int
    page_offset: int
    earlier_ids: tuple[bytes, ...] = ()


def manifest_name(number: int) -> str:
    """Returns the file name of manifest ``number``."""
    return f"manifest-{number:010d}"


def write_manifest(fs: FileSystem, manifest: Manifest) -> None:
    """Makes ``manifest`` the newest, durably, and removes those before the last."""
    store_manifest(fs, manifest)
    for number in manifest_numbers(fs)[:-_KEPT]:
        fs.remove(manifest_name(number))


def store_manifest(fs: FileSystem, manifest: Manifest) -> None:
    """Writes a manifest durably, beside the others."""
    body = msgspec.msgpack.encode(manifest)
    head = _HEAD.pack(MAGIC, VERSION, len(body))
    name = manifest_name(manifest.number)
    file = fs.open(name + ".tmp", create=True)
    try:
        file.write_at(0, head + _U64.pack(xxh3_64_intdigest(head + body)) + body)
        file.sync()
    finally:
        file.close()
    fs.rename(name + ".tmp", name)
    fs.sync_names()


def manifest_numbers(fs: FileSystem) -> list[int]:
    """Returns the numbers of all manifests, ascending."""
    return sorted(int(m.group(1)) for m in map(_NAME.fullmatch, fs.names()) if m)


def load_manifest(fs: FileSystem, number: int) -> Manifest | None:
    """Returns a manifest, None if it is damaged.

    Raises:
        CorruptionError: It has another format.
    """
    name = manifest_name(number)
    data = read_whole(fs, name)
    if len(data) < 24 or data[:8] != MAGIC:
        return None
    _, version, length = _HEAD.unpack_from(data)
    body = data[24 : 24 + length]
    if _U64.unpack_from(data, 16)[0] != xxh3_64_intdigest(data[:16] + body):
        return None
    if version > VERSION:
        raise CorruptionError(
            f"{fs.description}/{name} has format {version}; this program reads format {VERSION}",
            hint="Open the folder with a newer version of DoSQL",
        )
    if version < VERSION:
        raise CorruptionError(
            f"{fs.description}/{name} has format {version}, which was never released",
            hint="Load the data anew; there is nothing to read this format with",
        )
    try:
        return msgspec.msgpack.decode(body, type=Manifest)
    except msgspec.DecodeError:
        return None


def read_manifests(fs: FileSystem) -> list[Manifest]:
    """Returns the valid manifests, the oldest first; empty in a folder without any.

    Raises:
        CorruptionError: There are manifests, and none is valid; or one has another format.
    """
    numbers = manifest_numbers(fs)
    found = []
    for number in numbers:
        try:
            manifest = load_manifest(fs, number)
        except FileNotFoundError:  # the owner of the folder has replaced it meanwhile
            continue
        if manifest is not None:
            found.append(manifest)
    if numbers and not found:
        raise CorruptionError(
            f"no manifest in {fs.description} is valid ({len(numbers)} found)", hint="Restore a backup"
        )
    return found
