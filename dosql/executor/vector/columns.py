"""Columns of many leaves as one array."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dosql.btree.node import Inner, Leaf, Tree
from dosql.executor.row.guard import tick
from dosql.executor.vector.images import IMAGES, Coded, Packed, encoded, joined, packed
from dosql.executor.vector.plan import Column
from dosql.plan.expr import ROW_KEY
from dosql.types.sqltypes import SqlType

ROWS = 65_536
"""Rows of a batch at most; those below one node, of which a table has many."""

Array: TypeAlias = npt.NDArray[Any]
Values: TypeAlias = "tuple[Array, Array | None]"
"""Numbers, and where there is one: None where there is one in every row."""

_TYPES = {"q": np.int64, "d": np.float64}


class Batch:
    """Columns of some leaves. Each is gathered when it is first asked for.

    Args:
        parts: The leaves.
        rows: How many rows they have.
        nodes: The published nodes above them; empty where they are not published.
        held: Columns by slot that were taken from all leaves already: these may be let go then.
    """

    def __init__(
        self, parts: list[Leaf], rows: int, nodes: list[Inner], held: dict[int, list[Any]] | None = None
    ) -> None:
        self.parts = parts
        self._nodes = nodes
        self._numbers: dict[int, Values] = {}
        self._coded: dict[int, Coded | None] = {}
        self._packed: dict[int, list[Packed] | None] = {}
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

    def codes(self, column: Column, *, build: bool = False) -> Coded | None:
        """Returns a column of text as codes, None where there are none.

        Args:
            column: The column.
            build: They are needed anyway.
        """
        slot = column.slot
        if slot in self._coded and (self._coded[slot] is not None or not build):
            return self._coded[slot]
        made: Coded | None = None
        if self._nodes and column.type is SqlType.TEXT:
            images = [IMAGES.of(node, slot, encoded, build=build) for node in self._nodes]
            found = [image for image in images if image is not None]
            made = joined(found) if len(found) == len(images) else None
        self._coded[slot] = made
        return made

    def packed(self, column: Column) -> list[Packed] | None:
        """Returns a column of text as texts to be searched, in the order of the rows; None where there are none."""
        slot = column.slot
        if slot not in self._packed:
            images = [IMAGES.of(node, slot, packed) for node in self._nodes]
            found = [image for image in images if image is not None]
            self._packed[slot] = found if found and len(found) == len(images) else None
        return self._packed[slot]

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
        return [leaf.keys if slot == ROW_KEY else leaf.cols[slot] for leaf in self.parts]


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


def batches(tree: Any) -> Iterator[Batch]:
    """Yields a table's rows in key order.

    Args:
        tree: Published, or the editor of one.
    """
    for node, parts in _runs(tree.root):
        yield Batch(parts, sum(len(leaf.keys) for leaf in parts), _published(tree, [node]))
        tick()


def whole(tree: Any, slots: Sequence[int]) -> Batch:
    """Returns some columns of all rows of a table; each leaf is looked at once."""
    held: dict[int, list[Any]] = {slot: [] for slot in slots}
    all_parts: list[Leaf] = []
    nodes: list[Inner] = []
    rows = 0
    for node, parts in _runs(tree.root):
        for leaf in parts:
            keys, cols = leaf.keys, leaf.cols
            rows += len(keys)
            for slot, containers in held.items():
                containers.append(keys if slot == ROW_KEY else cols[slot])
        all_parts += parts
        nodes.append(node)
        tick()
    return Batch(all_parts, rows, _published(tree, nodes), held)


def _published(tree: Any, nodes: list[Any]) -> list[Inner]:
    """Returns the nodes if they never change again: not those of an open transaction."""
    return nodes if tree.__class__ is Tree and tree.root.level else []


def _runs(node: Any) -> Iterator[tuple[Any, list[Leaf]]]:
    """Yields the nodes above leaves, with these."""
    if not node.level:
        yield node, [node]
    elif node.level == 1:
        yield node, node.children
    else:
        for child in node.children:
            yield from _runs(child)
