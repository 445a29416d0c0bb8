"""Reading segments: whole, for recovery, and as a growing tail, for change streams."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from dosql.errors import CorruptionError, SubscriptionError
from dosql.fsx import File, FileSystem, read_whole
from dosql.wal.frame import FRAME_HEADER_BYTES, HEADER_BYTES, SegmentHeader, decode_header, frame_at

_NAME = re.compile(r"wal-(\d{10})\.log")


def segment_name(number: int) -> str:
    """Returns the file name of segment ``number``."""
    return f"wal-{number:010d}.log"


def segment_numbers(fs: FileSystem) -> list[int]:
    """Returns the numbers of all segments, ascending."""
    return sorted(int(m.group(1)) for m in map(_NAME.fullmatch, fs.names()) if m)


@dataclass(slots=True)
class SegmentContent:
    """A segment as recovery finds it.

    Attributes:
        header: None if the file has no valid header: it was never begun, or is damaged if ``torn``.
        frames: ``(offset, payload)`` of the whole frames before ``end``.
        end: Offset behind the last whole frame.
        torn: Whether something other than zeros follows.
    """

    header: SegmentHeader | None
    frames: list[tuple[int, bytes]]
    end: int
    torn: bool


def read_segment(fs: FileSystem, number: int) -> SegmentContent:
    """Reads a segment to its end.

    Raises:
        CorruptionError: A frame that had been synced is damaged, or the format is newer.
    """
    name = segment_name(number)
    data = read_whole(fs, name)
    try:
        header = decode_header(data)
    except ValueError as e:
        raise CorruptionError(f"{fs.description}/{name}: {e}", hint="Open it with a newer version") from e
    if header is None:
        return SegmentContent(None, [], 0, bool(data[HEADER_BYTES:].strip(b"\0")))
    frames: list[tuple[int, bytes]] = []
    offset = HEADER_BYTES
    while (found := frame_at(data, offset, header.salt)) is not None:
        frames.append((offset, found[0]))
        offset = found[2]
    rest = data[offset:].rstrip(b"\0")
    if rest:
        _refuse_damage(fs, name, data, offset, offset + len(rest), header.salt)
    return SegmentContent(header, frames, offset, bool(rest))


def _refuse_damage(fs: FileSystem, name: str, data: bytes, bad: int, end: int, salt: int) -> None:
    """Raises if a whole frame behind ``bad`` says that the place had been synced (invariant 3)."""
    for offset in range(bad + 8, end, 8):
        if data[offset : offset + 4] == b"\0\0\0\0":
            continue
        found = frame_at(data, offset, salt)
        if found is not None and found[1] > bad:
            raise CorruptionError(
                f"{fs.description}/{name}: the log frame at offset {bad} is damaged, and later frames at "
                f"{offset} show that it had been written whole",
                hint="Restore a backup, or ask for help before you change the folder",
            )


class WalPosition(NamedTuple):
    """A place between two frames; later ones are greater."""

    segment: int
    offset: int


class WalReader:
    """Follows the log from a position, up to what is durable.

    Args:
        fs: The folder.
        position: Where to start.
        durable: Returns the position up to which frames may be read (exclusive).
    """

    _CHUNK_BYTES = 1 << 20

    def __init__(self, fs: FileSystem, position: WalPosition, durable: Callable[[], WalPosition]) -> None:
        self._fs = fs
        self._segment = position.segment
        self._offset = position.offset
        self._durable = durable
        self._salt: int | None = None

    def read(self, bytes_max: int) -> list[bytes]:
        """Returns payloads of the next frames, about ``bytes_max`` bytes of them, at least one if there is one.

        Raises:
            CorruptionError: A durable frame does not have its checksum.
        """
        out: list[bytes] = []
        taken = 0
        limit = self._durable()
        while taken < bytes_max and (self._segment, self._offset) < (limit.segment, limit.offset):
            last = self._segment == limit.segment
            step = self._read_some(out, bytes_max - taken, limit.offset if last else None)
            taken += step
            if step == 0:
                if last:
                    break
                self._segment += 1
                self._offset = HEADER_BYTES
                self._salt = None
        return out

    def _read_some(self, out: list[bytes], bytes_max: int, stop: int | None) -> int:
        name = segment_name(self._segment)
        try:
            file = self._fs.open(name)
        except FileNotFoundError as e:
            raise SubscriptionError(
                f"the log at segment {self._segment} was let go before it was read",
                code="INVALID_LSN",
                hint="Start again with a snapshot; a slot keeps the log within its limit",
            ) from e
        try:
            if self._salt is None:
                header = decode_header(file.read_at(0, HEADER_BYTES))
                if header is None:
                    raise CorruptionError(f"{self._fs.description}/{name} has no valid header")
                self._salt = header.salt
            want = min(max(bytes_max, FRAME_HEADER_BYTES), self._CHUNK_BYTES)
            start = self._offset
            data = self._window(file, start, want, stop)
            need = FRAME_HEADER_BYTES + int.from_bytes(data[:4], "little") if len(data) >= 4 else 0
            if need > len(data):
                data = self._window(file, start, need + 8, stop)
        finally:
            file.close()
        at = 0
        while (found := frame_at(data, at, self._salt, start)) is not None:
            out.append(found[0])
            at = found[2]
        if at == 0 and stop is not None and data.strip(b"\0"):
            raise CorruptionError(f"{self._fs.description}/{name}: the log frame at offset {start} is damaged")
        self._offset = start + at
        return at

    @staticmethod
    def _window(file: File, start: int, length: int, stop: int | None) -> bytes:
        if stop is not None:
            length = min(length, stop - start)
        return file.read_at(start, length)
