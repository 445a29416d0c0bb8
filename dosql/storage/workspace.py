"""A transaction's private version of the database: its roots, its schema, its write set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from dosql.btree import Owner, Tree, TreeEditor, empty_tree, leaves, padded, remapped, spans
from dosql.errors import ConstraintViolation, ResourceExhausted
from dosql.index import EntryMaker, entry_maker
from dosql.schema import Index, Schema, Table, Trigger, View
from dosql.storage.claims import Claims
from dosql.storage.reads import ReadSet
from dosql.storage.snapshot import Epoch, Snapshot
from dosql.storage.violations import key_violation, unique_violation
from dosql.types.keys import after_prefix, decode_row_key, encode_row_key
from dosql.types.numbers import INT_MAX
from shared_types.changes import (
    OP_ALTER_TABLE,
    OP_CREATE_INDEX,
    OP_CREATE_TABLE,
    OP_CREATE_TRIGGER,
    OP_CREATE_VIEW,
    OP_DELETE,
    OP_DELETE_MANY,
    OP_DROP_INDEX,
    OP_DROP_TABLE,
    OP_DROP_TRIGGER,
    OP_DROP_VIEW,
    OP_INSERT,
    OP_INSERT_MANY,
    OP_SET,
    OP_UPDATE,
    OP_UPDATE_MANY,
    columns_after,
    rows_in,
)


class Mark(NamedTuple):
    """A state of a workspace to go back to."""

    schema: Schema
    trees: dict[int, Any]
    ops_count: int


class Workspace:
    """Reads like a :class:`Snapshot`, and can be written.

    Every change checks its constraints before it touches a tree, so a change that raises has
    changed nothing. Changes of many rows by one statement need a :meth:`mark` around them.

    Args:
        base: The snapshot to start from.
        key_floors: Row ids that other open transactions have taken, by table; shared, or None.

    Attributes:
        trees: Tree, or editor of a tree that was written, by id. Both have ``root`` and ``count``.
        ops: The write set in order, in the log's form.
        dirty_bytes: Estimated memory of the nodes made so far, as of the last settling.
        reads: Where statements record what they read, or None.
        claims: What is asked before a row is written, or None.
        moved: Places in ``ops`` of a DELETE and the INSERT behind it that are one row getting another key.
        deferred: What must be tested at COMMIT, for those who test it.
        head: Gives the newest commit.
        firing: Names of the triggers that run now, outermost first.
        recursive_triggers: Whether a trigger may fire itself.
        defers_keys: All foreign keys are tested at COMMIT only.
        unchecked: CHECK constraints are not looked at.
        conflict: What the statement that fired a trigger said: it holds for those in the trigger too.
    """

    __slots__ = (
        "_editors",
        "_key_floors",
        "_owner",
        "_writers",
        "base",
        "claims",
        "conflict",
        "deferred",
        "defers_keys",
        "dirty_bytes",
        "firing",
        "head",
        "moved",
        "ops",
        "reads",
        "recursive_triggers",
        "schema",
        "trees",
        "unchecked",
    )

    def __init__(self, base: Snapshot, key_floors: dict[int, int] | None = None) -> None:
        self.base = base
        self.schema = base.schema
        self.trees: dict[int, Any] = dict(base.trees)
        self.ops: list[tuple[Any, ...]] = []
        self.dirty_bytes = 0
        self.reads: ReadSet | None = None
        self.claims: Claims | None = None
        self.deferred: list[Any] = []
        self.moved: set[int] = set()
        self.firing: list[str] = []
        self.recursive_triggers = False
        self.conflict: str | None = None
        self.defers_keys = self.unchecked = False
        self.head: Callable[[], Snapshot] = lambda: base
        self._owner = Owner()
        self._editors: dict[int, TreeEditor] = {}
        self._writers: dict[int, TableWriter] = {}
        self._key_floors = key_floors

    @property
    def lsn(self) -> int:
        """LSN of the snapshot the workspace started from."""
        return self.base.lsn

    def writer(self, table: Table) -> TableWriter:
        """Returns the writer of a table's rows."""
        writer = self._writers.get(table.id)
        if writer is None:
            writer = self._writers[table.id] = TableWriter(self, table, self._key_floors)
        return writer

    def editor(self, tree_id: int) -> TreeEditor:
        """Returns the editor of a tree, made at its first change."""
        editor = self._editors.get(tree_id)
        if editor is None:
            editor = self._editors[tree_id] = self.trees[tree_id] = TreeEditor(self.trees[tree_id], self._owner)
        return editor

    def find_first(self, table: Table, slot: int, value: Any) -> tuple[Any, ...] | None:
        """Returns key and stored columns of the first row with a value; for tables that are small."""
        for leaf in leaves(self.trees[table.id].root):
            for key, *stored in zip(leaf.keys, *leaf.cols, strict=True):
                if stored[slot] == value:
                    return (key, *stored)
        return None

    def is_free(self, table_id: int, key: int, shared: int) -> bool:
        """Whether a row could be locked now: SKIP LOCKED."""
        return self.claims is None or self.claims.is_free(table_id, key, shared=bool(shared))

    def create_table(self, table: Table) -> None:
        """Adds an empty table."""
        self.schema = self.schema.with_table(table)
        self.trees[table.id] = empty_tree("q", table.kinds)
        self.ops.append((OP_CREATE_TABLE, msgspec.to_builtins(table)))

    def drop_table(self, table: Table) -> None:
        """Removes a table and its indexes."""
        for tree_id in (table.id, *(i.id for i in self.schema.indexes_of(table.id))):
            self.trees.pop(tree_id)
            self._editors.pop(tree_id, None)
        self._writers.pop(table.id, None)
        self.schema = self.schema.without_table(table.id)
        self.ops.append((OP_DROP_TABLE, table.id))

    def create_index(self, index: Index) -> None:
        """Adds an index and fills it from the table.

        Raises:
            ConstraintViolation: It is UNIQUE and the table holds duplicates.
        """
        table = self.schema.by_id[index.table_id]
        maker = entry_maker(table, index)
        entries = self._entries_of(table, maker)
        editor = TreeEditor(empty_tree("b", ""), self._owner)
        if entries:
            editor.append_many(entries, [])
        self.schema = self.schema.with_index(index)
        self._editors[index.id] = self.trees[index.id] = editor
        self._writers.pop(table.id, None)
        self.ops.append((OP_CREATE_INDEX, msgspec.to_builtins(index)))

    def drop_index(self, index: Index) -> None:
        """Removes an index."""
        self.trees.pop(index.id)
        self._editors.pop(index.id, None)
        self._writers.pop(index.table_id, None)
        self.schema = self.schema.without_index(index.id)
        self.ops.append((OP_DROP_INDEX, index.table_id, index.id))

    def create_view(self, view: View) -> None:
        """Adds a view."""
        self.schema = self.schema.with_view(view)
        self.ops.append((OP_CREATE_VIEW, msgspec.to_builtins(view)))

    def drop_view(self, name: str, db: str = "") -> None:
        """Removes a view."""
        self.schema = self.schema.without_view(name, db)
        self.ops.append((OP_DROP_VIEW, name, db) if db else (OP_DROP_VIEW, name))

    def alter_table(self, before: Table, after: Table, sources: Sequence[int], others: dict[str, Any]) -> None:
        """Changes a table's columns or names.

        Args:
            before: As it is.
            after: As it will be, with the same id.
            sources: For each column the position of what it was; -1 is NULL in all rows.
            others: Whole new lists of ``tables``, ``indexes``, ``views`` and ``triggers``, where they change too.
        """
        self._settle()
        slots = [-1 if s < 0 else before.slots[s] for p, s in enumerate(sources) if p != after.key_column]
        tree = self.trees[before.id]
        if slots[: len(before.kinds)] == list(range(len(before.kinds))) and not any(
            s >= 0 for s in slots[len(before.kinds) :]
        ):
            self.trees[before.id] = padded(tree, after.kinds) if after.kinds != before.kinds else tree
        else:
            self.trees[before.id] = remapped(tree, after.kinds, slots, self._owner)
        self.schema = self.schema.altered(after, others)
        described = (msgspec.to_builtins(after), list(sources), others, msgspec.to_builtins(before))
        self.ops.append((OP_ALTER_TABLE, before.id, *described))

    def create_trigger(self, trigger: Trigger) -> None:
        """Adds a trigger."""
        self.schema = self.schema.with_trigger(trigger)
        self.ops.append((OP_CREATE_TRIGGER, msgspec.to_builtins(trigger)))

    def drop_trigger(self, name: str, db: str = "") -> None:
        """Removes a trigger."""
        self.schema = self.schema.without_trigger(name, db)
        self.ops.append((OP_DROP_TRIGGER, name, db) if db else (OP_DROP_TRIGGER, name))

    def set(self, name: str, value: int) -> None:
        """Sets a number that is stored with the schema."""
        self.schema = self.schema.with_setting(name, value)
        self.ops.append((OP_SET, name, value))

    def mark(self) -> Mark:
        """Returns the present state. The owner token dies, so nothing in the mark changes any more."""
        self._settle()
        return Mark(self.schema, dict(self.trees), len(self.ops))

    def rewind(self, mark: Mark) -> None:
        """Goes back to a mark; it can be used again."""
        self._owner = Owner()
        self._writers.clear()
        self._editors.clear()
        self.schema = mark.schema
        self.trees = dict(mark.trees)
        del self.ops[mark.ops_count :]
        self.moved = {place for place in self.moved if place < mark.ops_count}

    def publish(self, lsn: int, time_us: int, epoch: Epoch) -> Snapshot:
        """Returns the present state as a snapshot. The workspace must not be written after it."""
        self._settle()
        return Snapshot(self.schema, self.trees, lsn, time_us, epoch)

    def rows_changed(self) -> int:
        """Returns how many LSNs the write set takes."""
        return sum(map(rows_in, self.ops))

    def replay(self, ops: Sequence[Sequence[Any]], *, checked: bool) -> None:
        """Applies operations of the log, or of another workspace.

        Args:
            ops: The operations, in order.
            checked: Whether UNIQUE must be tested: not for what was committed before.

        Raises:
            ConstraintViolation: As the row changes raise it.
        """
        for op in ops:
            kind = op[0]
            if kind == OP_CREATE_TABLE:
                self.create_table(msgspec.convert(op[1], Table))
            elif kind == OP_DROP_TABLE:
                self.drop_table(self.schema.by_id[op[1]])
            elif kind == OP_CREATE_INDEX:
                self.create_index(msgspec.convert(op[1], Index))
            elif kind == OP_DROP_INDEX:
                self.drop_index(next(i for i in self.schema.indexes if i.id == op[2]))
            elif kind == OP_CREATE_VIEW:
                self.create_view(msgspec.convert(op[1], View))
            elif kind == OP_DROP_VIEW:
                self.drop_view(*op[1:])
            elif kind == OP_SET:
                self.set(op[1], op[2])
            elif kind == OP_ALTER_TABLE:
                self.alter_table(self.schema.by_id[op[1]], msgspec.convert(op[2], Table), op[3], op[4])
            elif kind == OP_CREATE_TRIGGER:
                self.create_trigger(msgspec.convert(op[1], Trigger))
            elif kind == OP_DROP_TRIGGER:
                self.drop_trigger(*op[1:])
            else:
                writer = self.writer(self.schema.by_id[op[1]])
                if kind == OP_INSERT:
                    writer.insert(op[2], op[4], checked=checked)
                elif kind == OP_UPDATE:
                    writer.update(op[2], op[3], op[4], checked=checked)
                elif kind == OP_DELETE:
                    writer.delete(op[2], op[3])
                elif kind == OP_INSERT_MANY:
                    writer.insert_many(op[2], op[3], checked=checked)
                elif kind == OP_UPDATE_MANY:
                    writer.update_many(op[2], op[4], checked=checked)
                elif kind == OP_DELETE_MANY:
                    writer.delete_many(op[2])

    def _settle(self) -> None:
        self.dirty_bytes += self._owner.dirty_bytes
        self._owner = Owner()
        self._writers.clear()
        for tree_id, editor in self._editors.items():
            self.trees[tree_id] = editor.tree()
        self._editors.clear()

    def _entries_of(self, table: Table, maker: EntryMaker) -> list[bytes]:
        entries: list[bytes] = []
        compared: list[bytes] = []
        for leaf in leaves(self.trees[table.id].root):
            for key, stored in _rows(leaf.keys, leaf.cols):
                prefix = maker.prefix(stored, key)
                if prefix is None:
                    continue
                entries.append(prefix + encode_row_key(key))
                if maker.definition.unique and not maker.has_null(stored, key):
                    compared.append(prefix)
        if len(set(compared)) < len(compared):
            raise unique_violation(table, maker.definition)
        entries.sort()
        return entries


class TableWriter:
    """Writes the rows of one table and keeps its indexes in step."""

    __slots__ = ("_claims", "_editor", "_indexes", "_key_floors", "_ops", "_table", "_workspace")

    def __init__(self, workspace: Workspace, table: Table, key_floors: dict[int, int] | None) -> None:
        self._table = table
        self._editor = workspace.editor(table.id)
        self._ops = workspace.ops
        self._workspace = workspace
        self._claims = workspace.claims
        self._key_floors = key_floors
        self._indexes = [  # the newest first: the order in which SQLite looks for violations
            (entry_maker(table, index), workspace.editor(index.id))
            for index in reversed(workspace.schema.indexes_of(table.id))
        ]

    @property
    def count(self) -> int:
        """Number of rows of the table."""
        return self._editor.count

    def next_key(self) -> int:
        """Returns a row id that neither this transaction nor another open one has taken."""
        last = self._editor.max_key()
        key = 1 if last is None else last + 1
        floors = self._key_floors
        if floors is not None:
            key = max(key, floors.get(self._table.id, key))
            floors[self._table.id] = key + 1
        if key > INT_MAX:
            raise ResourceExhausted(f"table {self._table.name} has used its highest row id")
        return key

    def take_keys(self, count: int) -> range:
        """Returns ``count`` consecutive new row ids."""
        first = self.next_key()
        if self._key_floors is not None:
            self._key_floors[self._table.id] = first + count
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
        prefixes = [
            (prefix, maker, editor)
            for maker, editor in self._indexes
            if (prefix := maker.prefix(stored, key)) is not None
        ]
        if self._claims is not None:
            self._claim(key, stored)
        if checked:
            for prefix, maker, editor in prefixes:
                if maker.definition.unique and not maker.has_null(stored, key) and _taken(editor, prefix, None):
                    raise self._refused(maker, prefix)
        if not self._editor.insert(key, stored):
            if self._workspace.reads is not None:
                self._workspace.reads.key(self._table.id, key)
            raise key_violation(self._table)
        if prefixes:
            tail = encode_row_key(key)
            for prefix, _, editor in prefixes:
                editor.insert(prefix + tail, ())
        self._ops.append((OP_INSERT, self._table.id, key, None, stored))

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
        """Replaces the stored columns of a row whose key stays.

        Raises:
            ConstraintViolation: The new values of a UNIQUE index are there already.
        """
        changes = [(i, new) for i, (old, new) in enumerate(zip(before, after, strict=True)) if old is not new]
        changed = {i for i, _ in changes}
        claims = self._claims
        if claims is not None:
            claims.row(self._table.id, key)
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
                    if unique and new_prefix is not None and _taken(editor, new_prefix, key):
                        raise self._refused(maker, new_prefix)
                    moves.append((editor, old_prefix, new_prefix))
        self._editor.update(key, changes)
        tail = encode_row_key(key)
        for editor, old_prefix, new_prefix in moves:
            _move(editor, old_prefix, new_prefix, tail)
        self._ops.append((OP_UPDATE, self._table.id, key, before, after))

    def delete(self, key: int, before: Sequence[Any]) -> None:
        """Removes a row."""
        if self._claims is not None:
            self._claim(key, before)
        self._editor.delete(key)
        tail = encode_row_key(key)
        for maker, editor in self._indexes:
            _move(editor, maker.prefix(before, key), None, tail)
        self._ops.append((OP_DELETE, self._table.id, key, before, None))

    def insert_many(self, keys: Sequence[int], columns: Sequence[Sequence[Any]], *, checked: bool = True) -> None:
        """Inserts rows by column; the keys ascend.

        Where all keys are above those in the table, and no index is UNIQUE or nothing must be
        checked, it runs at the speed of slices. Otherwise row by row: put a mark around it.

        Raises:
            ConstraintViolation: As :meth:`insert`.
        """
        last = self._editor.max_key()
        unique = checked and any(maker.definition.unique for maker, _ in self._indexes)
        if unique or (last is not None and keys[0] <= last):
            for key, stored in _rows(keys, columns):
                self.insert(key, stored, checked=checked)
            return
        self._editor.append_many(keys, columns)
        for maker, editor in self._indexes:
            prefix = maker.prefix
            entries = sorted(
                [
                    entry + encode_row_key(key)
                    for key, stored in _rows(keys, columns)
                    if (entry := prefix(stored, key)) is not None
                ]
            )
            if editor.count == 0 and entries:
                editor.append_many(entries, [])
            else:
                for entry in entries:
                    editor.insert(entry, ())
        self._ops.append((OP_INSERT_MANY, self._table.id, list(keys), columns))

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
        if checked and any(maker.definition.unique for maker, _ in touched):
            for at, key in enumerate(keys):
                before = self.row_at(key)
                assert before is not None
                after = list(before)
                for i, values in changes:
                    after[i] = values[at]
                self.update(key, before, tuple(after))
            return
        if self._claims is not None:
            self._claims.rows(self._table.id, keys)
        columns = self._editor.update_many(keys, changes)
        op = (OP_UPDATE_MANY, self._table.id, list(keys), columns, [(i, list(values)) for i, values in changes])
        for maker, editor in touched:
            prefix = maker.prefix
            new_rows = _rows(keys, columns_after(op))
            for (key, old), (_, new) in zip(_rows(keys, columns), new_rows, strict=True):
                old_prefix, new_prefix = prefix(old, key), prefix(new, key)
                if old_prefix != new_prefix:
                    _move(editor, old_prefix, new_prefix, encode_row_key(key))
        self._ops.append(op)

    def delete_many(self, keys: Sequence[int]) -> None:
        """Removes rows whose keys ascend."""
        if self._claims is not None:
            self._claims.rows(self._table.id, keys)
            if any(maker.definition.unique for maker, _ in self._indexes):
                for key in keys:
                    before = self.row_at(key)
                    assert before is not None
                    self._claim(key, before)
        columns = self._editor.delete_many(keys)
        for maker, editor in self._indexes:
            prefix = maker.prefix
            for key, stored in _rows(keys, columns):
                _move(editor, prefix(stored, key), None, encode_row_key(key))
        self._ops.append((OP_DELETE_MANY, self._table.id, list(keys), columns))


def _rows(keys: Sequence[int], columns: Sequence[Sequence[Any]]) -> Iterator[tuple[int, tuple[Any, ...]]]:
    rows = zip(*columns, strict=True) if columns else iter([()] * len(keys))
    return zip(keys, rows, strict=True)


def _move(editor: TreeEditor, old: bytes | None, new: bytes | None, tail: bytes) -> None:
    """Puts the new entry of a row into the place of the old one."""
    if old is not None:
        editor.delete(old + tail)
    if new is not None:
        editor.insert(new + tail, ())


def _taken(editor: Tree | TreeEditor, prefix: bytes, but_key: int | None) -> bool:
    """Whether an entry with ``prefix`` exists, of another row than ``but_key``."""
    for leaf, start, stop in spans(editor.root, prefix):
        for entry in leaf.keys[start:stop]:
            if not entry.startswith(prefix) or len(entry) != len(prefix) + 8:
                return False
            if but_key is None or entry[len(prefix) :] != encode_row_key(but_key):
                return True
    return False


def has_entry(index: Any, prefix: bytes) -> bool:
    """Whether an index, or None, has an entry that begins with all values of ``prefix``."""
    return index is not None and _taken(index, prefix, None)
