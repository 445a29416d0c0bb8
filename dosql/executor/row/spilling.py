"""What a query that needs more memory than it may have keeps on disk: rows, in order or parted by a key.

A query is run without any of this first. Where it is stopped for the memory it takes, it is compiled again, with
containers from here, and run again: :mod:`dosql.executor.row.out_of_core`.
"""

from __future__ import annotations

import errno
import heapq
import marshal
import os
import pickle
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from typing import Any, SupportsIndex, TypeAlias, overload

from dosql.errors import ResourceExhausted
from dosql.executor.row.guard import Allowance, watched

Row: TypeAlias = tuple[Any, ...]
Place: TypeAlias = tuple[int, int]
"""Of a block of rows in the file: offset and length in bytes."""

BLOCK_ROWS = 512
"""Rows that are written and read at once."""
SAMPLE = 256
"""So many entries of a container are there before it is asked how large they are."""
PARTS = 16
"""Partitions are parted again where one is too large."""
_SHARE = 8
"""A container may have this part of the memory: a statement has several."""
_OVERHEAD_BYTES = 100
"""Of a container, for each entry."""
_MARSHAL_VERSION = 2  # the later ones look for objects that were there before

_local = threading.local()


def spill_directory() -> str:
    """Returns the folder for files of rows: ``TMPDIR`` or, as it is often in memory, another one than /tmp."""
    named = os.environ.get("TMPDIR")
    return named or ("/var/tmp" if os.access("/var/tmp", os.W_OK) else tempfile.gettempdir())


class SpillArea:
    """The file and the memory of one run.

    Args:
        allowance: What the query may have.

    Attributes:
        spilled_bytes: What was written.
    """

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._share = max(allowance.memory // _SHARE, 1)
        self._file: Any = None
        self.spilled_bytes = 0

    def __enter__(self) -> SpillArea:
        self._outside = getattr(_local, "area", None)
        _local.area = self
        return self

    def __exit__(self, *_: object) -> None:
        _local.area = self._outside
        if self._file is not None:
            self._file.close()

    # --- what generated code asks for -------------------------------------------------------

    def spool(self, rows: Iterable[Row] = ()) -> Spool:
        """Returns rows that may be on disk."""
        found = Spool(self)
        found += rows
        return found

    def partitions(self) -> Partitions:
        """Returns rows parted by a key, which may be on disk."""
        return Partitions(self)

    def room(self, parts: int = 1) -> Room:
        """Returns what says when a table, one of so many, has all the memory that it may have."""
        return Room(self._share // parts)

    def uniques(self, rows: Iterable[Row], key: Callable[[Row], Any]) -> Spool:
        """Returns rows without those whose key was there before, in no order."""
        out, room, later = self.spool(), self.room(), Passes(self)
        given: Iterable[Row] | None = rows
        while given is not None:
            seen: set[Any] = set()
            for row in watched(given):
                known = key(row)
                if known not in seen:
                    if room.full(seen):
                        later.add(known, row)
                    else:
                        seen.add(known)
                        out.append(row)
            given = later.following()
        return out

    def passes(self) -> Passes:
        """Returns what keeps rows for later passes."""
        return Passes(self)

    def in_partitions(
        self, rows: Iterable[Row], key: Callable[[Row], Any], compute: Callable[[list[Row]], Iterable[Row]]
    ) -> Spool:
        """Returns what is computed of the rows with equal keys, of as many at once as there is memory for."""
        sorted_rows = self.spool(rows)
        sorted_rows.sort(key=key)
        out, batch = self.spool(), list[Row]()
        room = self.room()
        for _, same in groupby(sorted_rows, key):
            if room.full(batch):
                out += compute(batch)
                batch = []
            batch += same
        if batch:
            out += compute(batch)
        return out

    # --- the file ---------------------------------------------------------------------------

    def write(self, rows: list[Row]) -> Place:
        """Writes a block of rows.

        Raises:
            ResourceExhausted: There is no room on the disk either.
        """
        try:
            block = b"m" + marshal.dumps(rows, _MARSHAL_VERSION)
        except ValueError:
            block = b"p" + pickle.dumps(rows, pickle.HIGHEST_PROTOCOL)
        memory, disk = self._allowance
        if self.spilled_bytes + len(block) > disk:
            raise ResourceExhausted(
                f"the statement needs more than {memory >> 20} MB of memory and, beside it, {disk >> 20} MB on disk",
                hint="Read less: add conditions or a LIMIT, or raise --statement-memory or --statement-disk",
            )
        try:
            if self._file is None:  # it has no name, and is gone with the process
                self._file = tempfile.TemporaryFile(dir=spill_directory(), buffering=0)  # noqa: SIM115
            self._file.seek(self.spilled_bytes)
            if self._file.write(block) != len(block):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as e:
            raise ResourceExhausted(
                f"the statement has no room in memory, and none in {spill_directory()}: {e.strerror}",
                hint="Read less, raise --statement-memory, or set TMPDIR to a folder with more room",
            ) from e
        place = self.spilled_bytes, len(block)
        self.spilled_bytes += len(block)
        return place

    def read(self, place: Place) -> list[Row]:
        """Returns a block of rows."""
        self._file.seek(place[0])
        block = self._file.read(place[1])
        return marshal.loads(block[1:]) if block[:1] == b"m" else pickle.loads(block[1:])  # type: ignore[no-any-return]

    def blocks(self, rows: list[Row]) -> list[Place]:
        """Writes rows; returns the places of the blocks."""
        return [self.write(rows[i : i + BLOCK_ROWS]) for i in range(0, len(rows), BLOCK_ROWS)]

    def rows(self, places: Iterable[Place]) -> Iterator[Row]:
        """Yields the rows of blocks."""
        for place in places:
            yield from self.read(place)


def spill_area() -> SpillArea:
    """Returns that of the query which runs on this thread."""
    area: SpillArea = _local.area
    return area


class Room:
    """Says when a table has all the memory that it may have; for each table one."""

    __slots__ = ("_bytes", "_measured", "most")

    def __init__(self, bytes_most: int) -> None:
        self._bytes = bytes_most
        self._measured = False
        self.most = SAMPLE

    def full(self, table: Any) -> bool:
        """Whether a dict, a set or a list may have no more entries."""
        count = len(table)
        if count < self.most:
            return False
        if not self._measured:
            self._measured = True
            entries = islice(table.items() if isinstance(table, dict) else table, SAMPLE)
            size = sum(map(_size_of, entries)) // SAMPLE + _OVERHEAD_BYTES
            self.most = max(self._bytes // size, SAMPLE)
        return count >= self.most


def _size_of(value: Any) -> int:
    """Returns the bytes of a row, a key or a state."""
    size = sys.getsizeof(value)
    if isinstance(value, tuple | list):
        size += sum(map(_size_of, value))
    return size


class Spool:
    """Rows as a list has them; all but the last ones may be on disk.

    It may grow while it is gone through.
    """

    __slots__ = ("_area", "_count", "_places", "_room", "_tail")

    def __init__(self, area: SpillArea, parts: int = 1) -> None:
        self._area = area
        self._room = area.room(parts)
        self._places: list[list[Place]] = []
        self._tail: list[Row] = []
        self._count = 0  # on disk

    def append(self, row: Row) -> None:
        """Adds a row."""
        self._tail.append(row)
        if len(self._tail) >= self._room.most and self._room.full(self._tail):
            self._flush()

    def _flush(self) -> None:
        self._places.append(self._area.blocks(self._tail))
        self._count += len(self._tail)
        self._tail = []

    def __iadd__(self, rows: Iterable[Row]) -> Spool:
        for row in rows:
            self.append(row)
        return self

    def __len__(self) -> int:
        return self._count + len(self._tail)

    def __iter__(self) -> Iterator[Row]:
        part = 0
        while True:
            while part < len(self._places):
                yield from self._area.rows(self._places[part])
                part += 1
            tail, at = self._tail, 0
            while at < len(tail):
                yield tail[at]
                at += 1
            if tail is self._tail:
                return
            part += 1  # what was the tail is on disk by now

    @overload
    def __getitem__(self, place: SupportsIndex) -> Row: ...

    @overload
    def __getitem__(self, place: slice) -> Spool: ...

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            start, stop, step = place.indices(len(self))
            return self._area.spool(islice(self, start, stop, step))
        at = place.__index__()
        return next(islice(self, at if at >= 0 else at + len(self), None))

    def sort(self, *, key: Callable[[Row], Any], reverse: bool = False) -> None:
        """Sorts, and keeps rows whose keys are equal in their order."""
        if not self._places:
            self._tail.sort(key=key, reverse=reverse)
            return
        runs: list[Iterable[Row]] = []
        for places in self._places:
            rows = list(self._area.rows(places))
            rows.sort(key=key, reverse=reverse)
            runs.append(self._area.rows(self._area.blocks(rows)))
        self._tail.sort(key=key, reverse=reverse)
        found = self._area.spool(watched(heapq.merge(*runs, self._tail, key=key, reverse=reverse)))
        self._places, self._tail, self._count = found._places, found._tail, found._count


class Partitions:
    """Rows behind keys, parted so that one part after the other has its table in memory."""

    __slots__ = ("_area", "_parts")

    def __init__(self, area: SpillArea) -> None:
        self._area = area
        self._parts: list[Spool] = [Spool(area)]

    def add(self, key: Any, row: Row) -> None:
        """Adds a row."""
        parts = self._parts
        parts[_part(key, 0, len(parts))].append((key, row))
        if len(parts) == 1 and parts[0]._places:
            self.part(PARTS)

    def part(self, count: int) -> None:
        """Parts the rows into so many parts."""
        before, self._parts = self._parts, [Spool(self._area, count) for _ in range(count)]
        for rows in before:
            for key, row in rows:
                self._parts[_part(key, 0, count)].append((key, row))

    def joined(self, others: Partitions) -> Iterator[tuple[dict[Any, list[Row]], Iterator[Row]]]:
        """Yields, part by part, a table of these rows by their keys, and the others."""
        if len(self._parts) != len(others._parts):
            (others if len(others._parts) == 1 else self).part(PARTS)
        for mine, theirs in zip(self._parts, others._parts, strict=True):
            table: dict[Any, list[Row]] = {}
            if theirs:
                for key, row in watched(mine):
                    table.setdefault(key, []).append(row)
            yield table, (row for _, row in watched(theirs))


def _part(key: Any, level: int, count: int) -> int:
    """Returns the part of a key; where parts are parted again, by another hash."""
    return hash((level, key)) % count if count > 1 else 0


class Passes:
    """Rows that a pass over others has no room for, and that later passes go through, each over a part of them.

    Rows with equal keys come in one pass, in the order in which they were added.
    """

    __slots__ = ("_area", "_level", "_pending", "_todo")

    def __init__(self, area: SpillArea) -> None:
        self._area = area
        self._level = 0
        self._pending: dict[int, Spool] = {}
        self._todo: list[tuple[int, Spool]] = []

    def add(self, key: Any, row: Row) -> None:
        """Puts a row off."""
        part = _part(key, self._level, PARTS)
        spool = self._pending.get(part)
        if spool is None:
            spool = self._pending[part] = Spool(self._area, PARTS)
        spool.append(row)

    def following(self) -> Iterator[Row] | None:
        """Returns the rows of the next pass, None where there is none."""
        self._todo += [(self._level + 1, spool) for spool in self._pending.values()]
        self._pending = {}
        if not self._todo:
            return None
        self._level, rows = self._todo.pop()
        return iter(rows)
