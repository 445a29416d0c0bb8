"""Bytes of segment headers and frames. The tables are in the package docstring."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from xxhash import xxh3_64_intdigest

MAGIC = b"DOSQLWAL"
VERSION = 1
HEADER_BYTES = 64
FRAME_HEADER_BYTES = 16
PAYLOAD_BYTES_MAX = 1 << 30

_HEADER = struct.Struct("<8sH6x16sQQQ")
_FRAME = struct.Struct("<II")
_PLACED = struct.Struct("<QII")  # what is checked: the offset, then the head
_U64 = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What a segment says of itself."""

    database_id: bytes
    number: int
    first_lsn: int
    salt: int

    @staticmethod
    def new(database_id: bytes, number: int, first_lsn: int) -> SegmentHeader:
        """Returns a header with a fresh salt."""
        return SegmentHeader(database_id, number, first_lsn, int.from_bytes(os.urandom(8), "little"))

    def encode(self) -> bytes:
        """Returns the 64 bytes."""
        body = _HEADER.pack(MAGIC, VERSION, self.database_id, self.number, self.first_lsn, self.salt)
        return body + _U64.pack(xxh3_64_intdigest(body))


def decode_header(data: bytes) -> SegmentHeader | None:
    """Returns the header, or None if the bytes are not one.

    Raises:
        ValueError: It is a header of a newer format.
    """
    if len(data) < HEADER_BYTES or data[:8] != MAGIC or _U64.unpack_from(data, 56)[0] != xxh3_64_intdigest(data[:56]):
        return None
    _, version, database_id, number, first_lsn, salt = _HEADER.unpack_from(data)
    if version > VERSION:
        raise ValueError(f"log format {version} is newer than this program's ({VERSION})")
    return SegmentHeader(database_id, number, first_lsn, salt)


_PADDING = [bytes(-length & 7) for length in range(8)]


def padded(length: int) -> int:
    """Returns ``length`` rounded up to a multiple of 8."""
    return (length + 7) & ~7


def _checksum(salt: int, offset: int, head: bytes, payload: bytes) -> int:
    return xxh3_64_intdigest(_U64.pack(offset) + head + payload, seed=salt)


def encode_frame(salt: int, offset: int, synced_to: int, payload: bytes) -> bytes:
    """Returns a frame, padded, to be written at ``offset``."""
    size = len(payload)
    placed = _PLACED.pack(offset, size, synced_to)
    return placed[8:] + _U64.pack(xxh3_64_intdigest(placed + payload, seed=salt)) + payload + _PADDING[size & 7]


def frame_at(data: bytes, offset: int, salt: int, base: int = 0) -> tuple[bytes, int, int] | None:
    """Returns (payload, synced_to, offset of the next frame) of a whole frame at ``offset``, else None.

    Offsets count from the start of ``data``, which begins ``base`` bytes into the segment.
    """
    if offset + FRAME_HEADER_BYTES > len(data):
        return None
    length, synced_to = _FRAME.unpack_from(data, offset)
    end = offset + FRAME_HEADER_BYTES + length
    if not 0 < length <= PAYLOAD_BYTES_MAX or end > len(data):
        return None
    payload = data[offset + FRAME_HEADER_BYTES : end]
    if _U64.unpack_from(data, offset + 8)[0] != _checksum(salt, base + offset, data[offset : offset + 8], payload):
        return None
    return payload, synced_to, padded(end)
