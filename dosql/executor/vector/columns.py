"""Columns of many leaves as one array."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dosql.btree.node import Leaf
from dosql.executor.row.guard import tick
from dosql.executor.vector.plan import Column
from dosql.plan.expr import ROW_KEY

ROWS = 65_536
"""Rows of a batch, about."""

Array: TypeAlias = npt.NDArray[Any]
Values: TypeAlias = "tuple[Array, Array | None]"
"""Numbers, and where there is one: None where there is one in every row."""

_TYPES = {"q": np.int64, "d": np.float64}


class Batch:
    """Columns of some leaves. Each is gathered when it is first asked for.

    Args:
        parts: The leaves.
        rows: How many rows they have.
        held: Columns by slot that were taken from all leaves already: these may be let go then.
    """

    def __init__(self, parts: list[Leaf], rows: int, held: dict[int, list[Any]] | None = None) -> None:
        self._parts = parts
        self._numbers: dict[int, Values] = {}
        self._held = held or {}
        self.rows = rows

    def numbers(self, column: Column, kind: str) -> Values:
        """Returns a column of numbers.

        Args:
            column: The column.
            kind: ``q`` or ``d``.
        """
        slot = column.slot
        found = self._numbers.get(slot)
        if found is None:
            found = self._numbers[slot] = numbers_of(self._containers(slot), kind)
        return found

    def values(self, column: Column) -> list[Any]:
        """Returns a column as Python values."""
        out: list[Any] = []
        for part in self._containers(column.slot):
            out += part
        return out

    def _containers(self, slot: int) -> list[Any]:
        held = self._held.get(slot)
        if held is not None:
            return held
        return [leaf.keys if slot == ROW_KEY else leaf.cols[slot] for leaf in self._parts]


def numbers_of(parts: list[Any], kind: str) -> Values:
    """Returns a column of numbers that is given in parts: arrays, and lists where there is a NULL."""
    dtype = _TYPES[kind]
    if {type(part) for part in parts} == {array}:
        return np.frombuffer(b"".join(parts), dtype=dtype), None
    values: list[Any] = []
    for part in parts:
        values += part
    valid = np.fromiter([v is not None for v in values], dtype=np.bool_, count=len(values))
    filled = np.array([0 if v is None else v for v in values], dtype=dtype)
    return filled, None if valid.all() else valid


def batches(root: Any) -> Iterator[Batch]:
    """Yields a table's rows in key order."""
    parts: list[Leaf] = []
    rows = 0
    for leaf in _leaves(root):
        parts.append(leaf)
        rows += len(leaf.keys)
        if rows >= ROWS:
            yield Batch(parts, rows)
            tick()
            parts, rows = [], 0
    if rows:
        yield Batch(parts, rows)


def whole(root: Any, slots: Sequence[int]) -> Batch:
    """Returns some columns of all rows of a table; each leaf is looked at once."""
    held: dict[int, list[Any]] = {slot: [] for slot in slots}
    parts: list[Leaf] = []
    rows = 0
    for leaf in _leaves(root):
        keys, cols = leaf.keys, leaf.cols
        rows += len(keys)
        for slot, containers in held.items():
            containers.append(keys if slot == ROW_KEY else cols[slot])
        parts.append(leaf)
        if not len(parts) % _LEAVES_WATCHED:
            tick()
    return Batch(parts, rows, held)


_LEAVES_WATCHED = 256


def _leaves(root: Any) -> Iterable[Leaf]:
    """Yields all leaves, in runs of those with the same parent."""
    if not root.level:
        return [root]
    return chain.from_iterable(_runs(root))


def _runs(inner: Any) -> Iterator[list[Leaf]]:
    if inner.level == 1:
        yield inner.children
        return
    for child in inner.children:
        yield from _runs(child)
