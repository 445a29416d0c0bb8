"""A table with one row changed, and its indexes in step, as new trees: transactions of one row.

Nothing is changed in place, so what cannot be done here has done nothing: None is the answer, and
:class:`dosql.storage.table_writer.TableWriter` does it, or says why it cannot be done.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, TypeAlias

from dosql.btree import Owner
from dosql.btree.single import Place, place_of, with_entry, with_row, with_values, without_entry, without_row
from dosql.index import entry_maker
from dosql.schema import Schema, Table
from dosql.storage.index_entries import has_entry
from dosql.storage.table_code import hot_writer, written
from dosql.types.keys import encode_row_key

Trees: TypeAlias = dict[int, Any]


class SingleWriter:
    """Changes single rows of one table.

    Where a table is written often, :mod:`dosql.storage.table_code` takes over what is done for each row.

    Args:
        schema: The schema that the trees belong to.
        table: The table.

    Attributes:
        counter: Its ``dirty_bytes`` are the estimated memory of the nodes that were made in place of pages.
    """

    GENERATED = ("inserted", "deleted")

    __slots__ = ("_id", "_makers", "_table", "counter", "indexes")

    def __init__(self, schema: Schema, table: Table) -> None:
        self._id, self._table = table.id, table
        self.indexes = schema.indexes_of(table.id)
        self._makers = [(entry_maker(table, index), index.id, index.unique) for index in self.indexes]
        self.counter = Owner()
        self.__class__ = hot_writer(table, self.indexes, SingleWriter) or SingleWriter

    def _warm(self) -> None:
        """Counts a row that is written by what is here."""
        self.__class__ = written(self._table, self.indexes, SingleWriter) or SingleWriter

    def compares(self, slots: Collection[int]) -> bool:
        """Whether a UNIQUE index depends on one of some stored columns."""
        return any(unique and not maker.slots.isdisjoint(slots) for maker, _, unique in self._makers)

    def place(self, trees: Trees, key: int) -> Place | None:
        """Returns where a row is, None if it is not there."""
        return place_of(trees[self._id], key)

    def inserted(self, trees: Trees, key: int, stored: Sequence[Any]) -> Trees | None:
        """Returns trees with one more row."""
        self._warm()
        tree = with_row(trees[self._id], key, stored, self.counter)
        if tree is None:
            return None
        changed = trees.copy()
        changed[self._id] = tree
        if self._makers:
            tail = encode_row_key(key)
            for maker, index_id, unique in self._makers:
                prefix = maker.prefix(stored, key)
                if prefix is None:
                    continue
                entries = trees[index_id]
                if unique and not maker.has_null(stored, key) and has_entry(entries, prefix):
                    return None
                tree = with_entry(entries, prefix + tail, self.counter)
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
        if self._makers:
            slots = {slot for slot, _ in changes}
            for maker, index_id, unique in self._makers:
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
            entries = without_entry(entries, old + tail, self.counter)
        if new is not None and entries is not None:
            entries = with_entry(entries, new + tail, self.counter)
        return entries

    def deleted(self, trees: Trees, key: int) -> tuple[Trees, tuple[Any, ...]] | None:
        """Returns trees without a row, and its stored columns."""
        self._warm()
        place = place_of(trees[self._id], key)
        tree = None if place is None else without_row(trees[self._id], place, self.counter)
        if tree is None or place is None:
            return None
        stored = row_at(place)
        changed = trees.copy()
        changed[self._id] = tree
        if self._makers:
            tail = encode_row_key(key)
            for maker, index_id, _ in self._makers:
                prefix = maker.prefix(stored, key)
                if prefix is None:
                    continue
                tree = without_entry(trees[index_id], prefix + tail, self.counter)
                if tree is None:
                    return None
                changed[index_id] = tree
        return changed, stored


def _key_at(place: Place) -> int:
    return place[1].keys[place[2]]  # type: ignore[no-any-return]


def row_at(place: Place) -> tuple[Any, ...]:
    """Returns the stored columns of the row at a place."""
    at = place[2]
    return tuple([column[at] for column in place[1].cols])
