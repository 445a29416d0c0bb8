"""A copy of the log in another folder, for restoring to a point in time.

Closed segments are copied whole, once: ``wal-<number>.log``. The segment that is written to is
copied now and then as ``wal-<number>.partial``, so that a lost disk costs the last seconds only.
"""

from __future__ import annotations

import re
import threading

from dosql.errors import StorageError
from dosql.fsx import FileSystem
from dosql.wal import WalPosition, read_segment, segment_numbers
from dosql.wal.frame import HEADER_BYTES, decode_header
from dosql.wal.reader import segment_name

_PARTIAL = re.compile(r"wal-(\d{10})\.partial")


def partial_name(number: int) -> str:
    """Returns the name of the copy of a segment that is still written to."""
    return f"wal-{number:010d}.partial"


def partial_numbers(fs: FileSystem) -> list[int]:
    """Returns the numbers of such copies, ascending."""
    return sorted(int(m.group(1)) for m in map(_PARTIAL.fullmatch, fs.names()) if m)


class Archive:
    """The archive of one database's log.

    Args:
        source: The data folder.
        target: The archive.
        database_id: Whose log it is.

    Attributes:
        below: Segments below this one are in the archive.

    Raises:
        StorageError: The archive holds the log of another database.
    """

    def __init__(self, source: FileSystem, target: FileSystem, database_id: bytes) -> None:
        self._lock = threading.Lock()
        self._source = source
        self._target = target
        self._tail = WalPosition(0, 0)
        numbers = segment_numbers(target)
        for name in [segment_name(n) for n in numbers[-1:]] + [partial_name(n) for n in partial_numbers(target)[-1:]]:
            file = target.open(name)
            header = decode_header(file.read_at(0, HEADER_BYTES))
            file.close()
            if header is not None and header.database_id != database_id:
                raise StorageError(
                    f"the log archive {target.description} belongs to another database",
                    hint="Name an empty folder. A database that was restored to an earlier state is another one",
                )
        self.below = numbers[-1] + 1 if numbers else 0

    def copy_closed(self, end: WalPosition) -> None:
        """Copies segments that are closed and not there yet.

        Raises:
            OSError: A file cannot be read or written; the next call tries again.
        """
        with self._lock:
            for number in segment_numbers(self._source):
                if self.below <= number < end.segment:
                    content = read_segment(self._source, number)
                    self._copy(number, content.end, segment_name(number))
                    self._target.remove(partial_name(number))
                    self.below = number + 1

    def copy_tail(self, end: WalPosition) -> None:
        """Copies the segment that is written to, as far as it is durable.

        Raises:
            OSError: A file cannot be read or written; the next call tries again.
        """
        with self._lock:
            if end != self._tail and end.offset > HEADER_BYTES:
                self._copy(end.segment, end.offset, partial_name(end.segment))
                self._tail = end

    def _copy(self, number: int, length: int, name: str) -> None:
        source = self._source.open(segment_name(number))
        try:
            data = source.read_at(0, length)
        finally:
            source.close()
        target = self._target.open(name + ".tmp", create=True)
        try:
            target.write_at(0, data)
            target.sync()
        finally:
            target.close()
        self._target.rename(name + ".tmp", name)
        self._target.sync_names()
