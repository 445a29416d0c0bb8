"""Writing the rows of one table, with its indexes kept in step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from dosql.btree import TreeEditor, spans
from dosql.errors import ConstraintViolation, ResourceExhausted
from dosql.index import EntryMaker, entry_maker
from dosql.index.entries import rows_of
from dosql.schema import Index, Table
from dosql.storage.index_entries import is_taken, move_entry
from dosql.storage.table_code import hot_writer, written
from dosql.storage.violations import key_violation, unique_violation
from dosql.types.keys import KEY_BYTES, after_prefix, decode_row_key, encode_row_key
from dosql.types.numbers import INT_MAX
from shared_types.changes import (
    OP_DELETE,
    OP_DELETE_MANY,
    OP_INSERT,
    OP_INSERT_MANY,
    OP_UPDATE,
    OP_UPDATE_MANY,
    columns_after,
)

if TYPE_CHECKING:
    from dosql.storage.conflicts import KeyFloors
    from dosql.storage.workspace import Workspace


class TableWriter:
    """Writes the rows of one table and keeps its indexes in step.

    Where a table is written often, :mod:`dosql.storage.table_code` takes over what is done for each row.
    """

    GENERATED = ("insert", "take", "_set")

    __slots__ = ("_claims", "_editor", "_indexes", "_key_floors", "_ops", "_table", "_workspace")

    def __init__(self, workspace: Workspace, table: Table, key_floors: KeyFloors | None) -> None:
        self._table = table
        self._editor = workspace.editor(table.id)
        self._ops = workspace.ops
        self._workspace = workspace
        self._claims = workspace.claims
        self._key_floors = key_floors
        indexes = workspace.schema.indexes_of(table.id)
        self._indexes = [  # the newest first: the order in which SQLite looks for violations
            (entry_maker(table, index), workspace.editor(index.id)) for index in reversed(indexes)
        ]
        hot = hot_writer(table, indexes, TableWriter)
        if hot is not None:
            self.__class__ = hot

    def _warm(self) -> None:
        """Counts a row that is written by what is here."""
        table = self._table
        self.__class__ = written(table, self._workspace.schema.indexes_of(table.id), TableWriter) or TableWriter

    @property
    def count(self) -> int:
        """Number of rows of the table."""
        return self._editor.count

    def next_key(self) -> int:
        """Returns a row id that neither this transaction nor another open one has taken."""
        editor, floors = self._editor, self._key_floors
        leaf = editor.last_leaf
        last = editor.max_key() if leaf is None else leaf.keys[-1]
        key: int = 1 if last is None else last + 1
        if floors is not None:
            key = floors.take(self._table.id, self._workspace.taker, key, 1)
        if key > INT_MAX:
            raise ResourceExhausted(f"table {self._table.name} has used its highest row id")
        return key

    def take_keys(self, count: int) -> range:
        """Returns ``count`` consecutive new row ids."""
        last = self._editor.max_key()
        first = 1 if last is None else last + 1
        if self._key_floors is not None:
            first = self._key_floors.take(self._table.id, self._workspace.taker, first, count)
        if first + count - 1 > INT_MAX:
            raise ResourceExhausted(f"table {self._table.name} has used its highest row id")
        return range(first, first + count)

    def row_at(self, key: int) -> tuple[Any, ...] | None:
        """Returns the stored columns of a row, or None."""
        found = self._editor.get(key)
        return None if found is None else tuple([column[found[1]] for column in found[0].cols])

    def conflicting_keys(self, key: int, stored: Sequence[Any]) -> set[int]:
        """Returns the keys of rows that keep a row with this key and these values from being inserted."""
        return {other for _, other in self.conflicts(key, stored)}

    def conflicts(self, key: int, stored: Sequence[Any]) -> list[tuple[Index | None, int]]:
        """Returns what keeps a row from being inserted: (UNIQUE index, or None for the row key; the other's key)."""
        found: list[tuple[Index | None, int]] = []
        if self._editor.get(key) is not None:
            found.append((None, key))
        reads = self._workspace.reads
        if reads is not None:
            reads.key(self._table.id, key)
        for maker, editor in self._indexes:
            if maker.definition.unique and not maker.has_null(stored, key):
                prefix = maker.prefix(stored, key)
                assert prefix is not None
                if reads is not None:
                    reads.range(maker.definition.id, prefix, after_prefix(prefix))
                for leaf, start, _ in spans(editor.root, prefix, after_prefix(prefix)):
                    found.append((maker.definition, decode_row_key(leaf.keys[start])))
        return found

    def insert(self, key: int, stored: Sequence[Any], *, checked: bool = True) -> None:
        """Inserts a row.

        Raises:
            ConstraintViolation: The key, or the values of a UNIQUE index, are there already.
        """
        self._warm()
        prefixes: list[tuple[bytes, EntryMaker, TreeEditor]] = []
        for maker, editor in self._indexes:
            prefix = maker.prefix(stored, key)
            if prefix is not None:
                prefixes.append((prefix, maker, editor))
        if self._claims is not None:
            if prefixes:
                self._claim(key, stored)
            else:
                self._claims.row(self._table.id, key)
        if checked:
            for prefix, maker, editor in prefixes:
                if maker.definition.unique and not maker.has_null(stored, key) and is_taken(editor, prefix, None):
                    raise self._refused(maker, prefix)
        if not self._editor.insert(key, stored):
            self._refuse_key(key)
        if prefixes:
            tail = encode_row_key(key)
            for prefix, _, editor in prefixes:
                editor.add_entry(prefix + tail)
        self._ops.append((OP_INSERT, self._table.id, key, None, stored))

    def _refuse_key(self, key: int) -> NoReturn:
        """Raises the error of a row's key that is there already. That it is was read."""
        if self._workspace.reads is not None:
            self._workspace.reads.key(self._table.id, key)
        raise key_violation(self._table)

    def _claim(self, key: int, stored: Sequence[Any]) -> None:
        """Claims a row, and its values in UNIQUE indexes."""
        claims = self._claims
        assert claims is not None
        claims.row(self._table.id, key)
        for maker, _ in self._indexes:
            if maker.definition.unique and not maker.has_null(stored, key):
                prefix = maker.prefix(stored, key)
                assert prefix is not None
                claims.entry(maker.definition.id, prefix)

    def _refused(self, maker: EntryMaker, prefix: bytes) -> ConstraintViolation:
        """Returns the error of values that are there already. That they are was read."""
        if self._workspace.reads is not None:
            self._workspace.reads.range(maker.definition.id, prefix, after_prefix(prefix))
        return unique_violation(self._table, maker.definition)

    def update(self, key: int, before: Sequence[Any], after: Sequence[Any], *, checked: bool = True) -> None:
        """Changes the stored columns of a row whose key stays.

        Raises:
            ConstraintViolation: The new values of a UNIQUE index are there already.
        """
        self._set(key, before, after, checked=checked)
        self._ops.append((OP_UPDATE, self._table.id, key, before, after))

    def replace(self, key: int, before: Sequence[Any], after: Sequence[Any]) -> None:
        """Puts a row into the place of the one with its key: that one is deleted, this one inserted.

        Raises:
            ConstraintViolation: The new values of a UNIQUE index are there already.
        """
        self._set(key, before, after, checked=True)
        table_id = self._table.id
        self._ops.append((OP_DELETE, table_id, key, before, None))
        self._ops.append((OP_INSERT, table_id, key, None, after))

    def _set(self, key: int, before: Sequence[Any], after: Sequence[Any], *, checked: bool) -> None:
        self._warm()
        changes = [(i, new) for i, new in enumerate(after) if before[i] is not new]
        claims = self._claims
        if claims is not None:
            claims.row(self._table.id, key)
        if not self._indexes:
            self._editor.update(key, changes)
            return
        changed = {i for i, _ in changes}
        moves = []
        for maker, editor in self._indexes:
            if maker.slots & changed:
                old_prefix, new_prefix = maker.prefix(before, key), maker.prefix(after, key)
                if old_prefix != new_prefix:
                    if claims is not None and maker.definition.unique:
                        for entry in (old_prefix, new_prefix):
                            if entry is not None:
                                claims.entry(maker.definition.id, entry)
                    unique = checked and maker.definition.unique and not maker.has_null(after, key)
                    if unique and new_prefix is not None and is_taken(editor, new_prefix, key):
                        raise self._refused(maker, new_prefix)
                    moves.append((editor, old_prefix, new_prefix))
        self._editor.update(key, changes)
        if moves:
            tail = encode_row_key(key)
            for editor, *prefixes in moves:
                move_entry(editor, *(None if prefix is None else prefix + tail for prefix in prefixes))

    def amend(self, key: int, slots: tuple[int, ...], values: Sequence[Any]) -> bool:
        """Sets some stored columns of a row; returns False if it is not there.

        Raises:
            ConstraintViolation: As :meth:`update`.
        """
        before = self.row_at(key)
        if before is None:
            return False
        after = list(before)
        for slot, value in zip(slots, values, strict=True):
            after[slot] = value
        self.update(key, before, after)
        return True

    def take(self, key: int) -> tuple[Any, ...] | None:
        """Removes a row; returns its stored columns, None if it was not there."""
        before = self.row_at(key)
        if before is not None:
            self.delete(key, before)
        return before

    def delete(self, key: int, before: Sequence[Any]) -> None:
        """Removes a row that is there."""
        self._warm()
        if self._claims is not None:
            self._claim(key, before)
        self._editor.delete(key)
        if self._indexes:
            tail = encode_row_key(key)
            for maker, editor in self._indexes:
                prefix = maker.prefix(before, key)
                if prefix is not None:
                    editor.drop_entry(prefix + tail)
        self._ops.append((OP_DELETE, self._table.id, key, before, None))

    def insert_many(self, keys: Sequence[int], columns: Sequence[Sequence[Any]], *, checked: bool = True) -> None:
        """Inserts rows by column; the keys ascend.

        Where all keys are above those in the table, and no index is UNIQUE or nothing must be
        checked, it runs at the speed of slices. Otherwise row by row: put a mark around it.

        Raises:
            ConstraintViolation: As :meth:`insert`.
        """
        last = self._editor.max_key()
        if last is not None and keys[0] <= last:
            for key, stored in rows_of(keys, columns):
                self.insert(key, stored, checked=checked)
            return
        self._editor.append_many(keys, columns)
        for maker, editor in self._indexes:
            self._add_entries(maker, editor, keys, columns, checked=checked)
        self._ops.append((OP_INSERT_MANY, self._table.id, list(keys), columns))

    def _add_entries(
        self,
        maker: EntryMaker,
        editor: TreeEditor,
        keys: Sequence[int],
        columns: Sequence[Sequence[Any]],
        *,
        checked: bool,
    ) -> None:
        """Adds the entries of rows to an index."""
        made = maker.entries(keys, columns)
        if not (checked and maker.definition.unique):
            self._put(maker, editor, [entry for entry in made if entry is not None], unique=False)
            return
        nulls = maker.nulls(keys, columns)  # NULL equals nothing
        free = [entry for i, entry in enumerate(made) if entry is not None and i in nulls]
        entries = [entry for i, entry in enumerate(made) if entry is not None and i not in nulls]
        if self._claims is not None:
            for entry in entries:
                self._claims.entry(maker.definition.id, entry[:-KEY_BYTES])
        self._put(maker, editor, entries, unique=True)
        self._put(maker, editor, free, unique=False)

    def _put(self, maker: EntryMaker, editor: TreeEditor, entries: list[bytes], *, unique: bool) -> None:
        if len(entries) == 1 and not unique:
            editor.insert(entries[0], ())
            return
        entries.sort()
        double = editor.add_entries(entries, KEY_BYTES if unique else 0)
        if double is not None:
            raise self._refused(maker, double[:-KEY_BYTES])

    def update_many(
        self, keys: Sequence[int], changes: Sequence[tuple[int, Sequence[Any]]], *, checked: bool = True
    ) -> None:
        """Sets ``(stored column, values)`` of rows whose keys ascend; put a mark around it.

        By column where no UNIQUE index must be checked, else row by row.

        Raises:
            ConstraintViolation: As :meth:`update`.
        """
        changed = {i for i, _ in changes}
        touched = [(maker, editor) for maker, editor in self._indexes if maker.slots & changed]
        if self._claims is not None:
            self._claims.rows(self._table.id, keys)
        columns = self._editor.update_many(keys, changes)
        op = (OP_UPDATE_MANY, self._table.id, list(keys), columns, [(i, list(values)) for i, values in changes])
        for maker, editor in touched:
            self._move_entries(maker, editor, keys, (columns, columns_after(op)), checked=checked)
        self._ops.append(op)

    def _move_entries(
        self,
        maker: EntryMaker,
        editor: TreeEditor,
        keys: Sequence[int],
        states: tuple[Sequence[Sequence[Any]], Sequence[Sequence[Any]]],
        *,
        checked: bool,
    ) -> None:
        """Puts the new entries of rows, given as they were and as they are, into the places of the old ones.

        A value that is taken when its row's turn comes is a violation, even if the row that has it moves later.
        """
        unique = checked and maker.definition.unique
        nulls = maker.nulls(keys, states[1]) if unique else set()
        pairs = zip(*(maker.entries(keys, columns) for columns in states), strict=True)
        moves = [(old, new, place) for place, (old, new) in enumerate(pairs) if old != new]
        if unique:
            self._check_moves(maker, moves, nulls)
        gone = [old for old, _, _ in moves if old is not None]
        if len(gone) == editor.count:
            editor.clear()
            editor.append_many(sorted([new for _, new, _ in moves if new is not None]), [])
            return
        gone.sort()
        editor.delete_many(gone)
        for wanted in (True, False) if unique else (False,):
            entries = [n for _, n, place in moves if n is not None and (unique and place not in nulls) is wanted]
            self._put(maker, editor, entries, unique=wanted)

    def _check_moves(
        self, maker: EntryMaker, moves: Sequence[tuple[bytes | None, bytes | None, int]], nulls: set[int]
    ) -> None:
        """Raises where an entry of a UNIQUE index comes while another row still has its values, or has got them.

        Args:
            maker: Of the index.
            moves: Old and new entries, and the rows' places, in the order of their turns.
            nulls: Places of rows with a NULL.
        """
        claims = self._claims
        if claims is not None:
            for old, new, _ in moves:
                for entry in (old, new):
                    if entry is not None:
                        claims.entry(maker.definition.id, entry[:-KEY_BYTES])
        turns = {old[:-KEY_BYTES]: turn for turn, (old, _, _) in enumerate(moves) if old is not None}
        taken: set[bytes] = set()
        for turn, (_, new, place) in enumerate(moves):
            if new is not None and place not in nulls:
                prefix = new[:-KEY_BYTES]
                if prefix in taken or turns.get(prefix, -1) > turn:
                    raise self._refused(maker, prefix)
                taken.add(prefix)

    def delete_many(self, keys: Sequence[int]) -> None:
        """Removes rows whose keys ascend."""
        if self._claims is not None:
            self._claims.rows(self._table.id, keys)
            if any(maker.definition.unique for maker, _ in self._indexes):
                for key in keys:
                    before = self.row_at(key)
                    assert before is not None
                    self._claim(key, before)
        if len(keys) == self._editor.count:
            columns = self._editor.clear()
            for _, editor in self._indexes:
                editor.clear()
        else:
            columns = self._editor.delete_many(keys)
            for maker, editor in self._indexes:
                editor.delete_many(sorted([e for e in maker.entries(keys, columns) if e is not None]))
        self._ops.append((OP_DELETE_MANY, self._table.id, list(keys), columns))
