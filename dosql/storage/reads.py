"""What a transaction has read, and whether somebody wrote to it: SERIALIZABLE.

Statements record row keys, ranges of keys, ranges of index entries, and whole tables, as they read
them; of a range that was empty too, so that phantoms are seen. At commit they are compared with
every operation that was committed since the transaction's snapshot. Where nothing meets, the
transaction might as well have run at the moment of its commit: the order of commits is a serial order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dosql.index import EntryMaker, entry_maker
from dosql.schema import Schema
from dosql.types.keys import encode_row_key
from shared_types.changes import (
    OF_ROWS,
    OP_DELETE,
    OP_DELETE_MANY,
    OP_INSERT,
    OP_INSERT_MANY,
    OP_UPDATE_MANY,
    columns_after,
    keys_in,
)

RANGES_MAX = 1000  # of one tree; above that, all of it counts as read
KEYS_MAX = 100_000

Stored = Sequence[Any]


class ReadSet:
    """The reads of one transaction.

    Args:
        validated: They are compared at commit: SERIALIZABLE. Otherwise only where a newer snapshot is wanted.
    """

    __slots__ = ("_keys", "_ranges", "_whole", "validated")

    def __init__(self, *, validated: bool = True) -> None:
        self.validated = validated
        self._keys: dict[int, set[Any]] = {}
        self._ranges: dict[int, list[tuple[Any, Any]]] = {}
        self._whole: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._keys or self._ranges or self._whole)

    def whole(self, tree_id: int) -> None:
        """All of a table, or all entries of an index, was read."""
        self._whole.add(tree_id)
        self._keys.pop(tree_id, None)
        self._ranges.pop(tree_id, None)

    def key(self, table_id: int, key: Any) -> None:
        """A row was looked for."""
        if table_id not in self._whole:
            keys = self._keys.setdefault(table_id, set())
            keys.add(key)
            if len(keys) > KEYS_MAX:
                self.whole(table_id)

    def keys(self, table_id: int, keys: Iterable[Any]) -> None:
        """Records rows looked up, found or not."""
        for key in keys:
            self.key(table_id, key)

    def range(self, tree_id: int, low: Any, high: Any) -> None:
        """Keys with ``low <= key < high`` were read; None is no bound."""
        if low is None and high is None:
            self.whole(tree_id)
        elif tree_id not in self._whole:
            ranges = self._ranges.setdefault(tree_id, [])
            if (low, high) not in ranges[-4:]:
                ranges.append((low, high))
                if len(ranges) > RANGES_MAX:
                    self.whole(tree_id)

    def add(self, other: ReadSet) -> None:
        """Adds the reads of one of its statements."""
        for tree_id in other._whole:
            self.whole(tree_id)
        for tree_id, keys in other._keys.items():
            if tree_id not in self._whole:
                mine = self._keys.setdefault(tree_id, keys)
                if mine is not keys:
                    mine |= keys
                if len(mine) > KEYS_MAX:
                    self.whole(tree_id)
        for tree_id, ranges in other._ranges.items():
            for low, high in ranges:
                self.range(tree_id, low, high)

    def meets(self, op: Sequence[Any], schema: Schema) -> bool:
        """Whether an operation that was committed wrote to what was read.

        Args:
            op: The operation.
            schema: The present one; the operation was done under it.
        """
        if op[0] not in OF_ROWS:
            return False
        table_id = op[1]
        if table_id in self._whole or self._meets_keys(table_id, keys_in(op)):
            return True
        table = schema.by_id[table_id]
        for index in schema.indexes_of(table_id):
            if index.id in self._whole or index.id in self._ranges:
                maker = entry_maker(table, index)
                if any(self._in_ranges(index.id, entry) for entry in _entries(op, maker)):
                    return True
        return False

    def _meets_keys(self, table_id: int, keys: Sequence[int]) -> bool:
        read = self._keys.get(table_id)
        if read is not None and not read.isdisjoint(keys):
            return True
        return table_id in self._ranges and any(self._in_ranges(table_id, key) for key in keys)

    def _in_ranges(self, tree_id: int, key: Any) -> bool:
        if tree_id in self._whole:
            return True
        return any(
            (low is None or low <= key) and (high is None or key < high) for low, high in self._ranges.get(tree_id, ())
        )


def _entries(op: Sequence[Any], maker: EntryMaker) -> Iterator[bytes]:
    """Yields the index entries that an operation removed or added; an update that keeps its entry, none."""
    for key, before, after in images(op):
        old = None if before is None else maker.prefix(before, key)
        new = None if after is None else maker.prefix(after, key)
        if old != new:
            tail = encode_row_key(key)
            if old is not None:
                yield old + tail
            if new is not None:
                yield new + tail


def images(op: Sequence[Any]) -> Iterator[tuple[int, Stored | None, Stored | None]]:
    """Yields (key, stored columns before, and after) of the rows of an operation; None where there is none."""
    kind, keys = op[0], keys_in(op)
    if kind == OP_INSERT_MANY:
        for key, row in zip(keys, _rows(op[3], len(keys)), strict=True):
            yield key, None, row
    elif kind == OP_DELETE_MANY:
        for key, row in zip(keys, _rows(op[3], len(keys)), strict=True):
            yield key, row, None
    elif kind == OP_UPDATE_MANY:
        after = _rows(columns_after(op), len(keys))
        for key, old, new in zip(keys, _rows(op[3], len(keys)), after, strict=True):
            yield key, old, new
    else:
        yield op[2], None if kind == OP_INSERT else op[3], None if kind == OP_DELETE else op[4]


def _rows(columns: Sequence[Sequence[Any]], count: int) -> list[Stored]:
    return list(zip(*columns, strict=True)) if columns else [()] * count
