"""A table with one row changed, and its indexes in step, as new trees: transactions of one row.

Nothing is changed in place, so what cannot be done here has done nothing: None is the answer, and
:class:`dosql.storage.table_writer.TableWriter` does it, or says why it cannot be done.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, TypeAlias

from dosql.btree import Owner
from dosql.btree.single import Place, place_of, with_row, with_values, without_row
from dosql.index import entry_maker
from dosql.schema import Schema, Table
from dosql.storage.table_writer import has_entry
from dosql.types.keys import encode_row_key

Trees: TypeAlias = dict[int, Any]


class SingleWriter:
    """Changes single rows of one table.

    Args:
        schema: The schema that the trees belong to.
        table: The table.

    Attributes:
        counter: Its ``dirty_bytes`` are the estimated memory of the nodes that were made in place of pages.
    """

    __slots__ = ("_id", "_indexes", "counter")

    def __init__(self, schema: Schema, table: Table) -> None:
        self._id = table.id
        self._indexes = [(entry_maker(table, index), index.id, index.unique) for index in schema.indexes_of(table.id)]
        self.counter = Owner()

    def depends(self, slots: Collection[int] | None = None) -> bool:
        """Whether an index depends on one of some stored columns, or there is any."""
        return any(slots is None or not maker.slots.isdisjoint(slots) for maker, _, _ in self._indexes)

    def place(self, trees: Trees, key: int) -> Place | None:
        """Returns where a row is, None if it is not there."""
        return place_of(trees[self._id], key)

    def inserted(self, trees: Trees, key: int, stored: Sequence[Any]) -> Trees | None:
        """Returns trees with one more row."""
        tree = with_row(trees[self._id], key, stored, self.counter)
        if tree is None:
            return None
        changed = trees.copy()
        changed[self._id] = tree
        if self._indexes:
            tail = encode_row_key(key)
            for maker, index_id, unique in self._indexes:
                prefix = maker.prefix(stored, key)
                if prefix is None:
                    continue
                entries = trees[index_id]
                if unique and not maker.has_null(stored, key) and has_entry(entries, prefix):
                    return None
                tree = with_row(entries, prefix + tail, (), self.counter)
                if tree is None:
                    return None
                changed[index_id] = tree
        return changed

    def updated(
        self,
        trees: Trees,
        place: Place,
        states: tuple[Sequence[Any], Sequence[Any]],
        changes: Sequence[tuple[int, Any]],
    ) -> Trees | None:
        """Returns trees with a row changed that keeps its key.

        Args:
            trees: As they are.
            place: Where the row is.
            states: Its stored columns before and after.
            changes: What is different, as (stored column, value).
        """
        tree = with_values(trees[self._id], place, changes, self.counter)
        if tree is None:
            return None
        changed = trees.copy()
        changed[self._id] = tree
        if self._indexes:
            slots = {slot for slot, _ in changes}
            for maker, index_id, unique in self._indexes:
                if maker.slots.isdisjoint(slots):
                    continue
                moved = self._moved(maker, trees[index_id], _key_at(place), states, unique=unique)
                if moved is None:
                    return None
                changed[index_id] = moved
        return changed

    def _moved(
        self, maker: Any, entries: Any, key: int, states: tuple[Sequence[Any], Sequence[Any]], *, unique: bool
    ) -> Any | None:
        old, new = maker.prefix(states[0], key), maker.prefix(states[1], key)
        if old == new:
            return entries
        if unique and new is not None and not maker.has_null(states[1], key) and has_entry(entries, new):
            return None
        tail = encode_row_key(key)
        if old is not None:
            entries = self._without(entries, old + tail)
        if new is not None and entries is not None:
            entries = with_row(entries, new + tail, (), self.counter)
        return entries

    def _without(self, entries: Any, entry: bytes) -> Any | None:
        place = place_of(entries, entry)
        return None if place is None else without_row(entries, place, self.counter)

    def deleted(self, trees: Trees, place: Place, stored: Sequence[Any]) -> Trees | None:
        """Returns trees without the row at ``place``, which has these stored columns."""
        tree = without_row(trees[self._id], place, self.counter)
        if tree is None:
            return None
        changed = trees.copy()
        changed[self._id] = tree
        if self._indexes:
            key = _key_at(place)
            tail = encode_row_key(key)
            for maker, index_id, _ in self._indexes:
                prefix = maker.prefix(stored, key)
                if prefix is None:
                    continue
                tree = self._without(trees[index_id], prefix + tail)
                if tree is None:
                    return None
                changed[index_id] = tree
        return changed


def _key_at(place: Place) -> int:
    return place[1].keys[place[2]]  # type: ignore[no-any-return]


def row_at(place: Place) -> tuple[Any, ...]:
    """Returns the stored columns of the row at a place."""
    at = place[2]
    return tuple([column[at] for column in place[1].cols])
