"""A transaction's private version of the database: its roots, its schema, its write set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from dosql.btree import Owner, TreeEditor, empty_tree, leaves, padded, remapped
from dosql.index import EntryMaker, entry_maker
from dosql.schema import Index, Schema, Table, Trigger, View
from dosql.storage.claims import Claims
from dosql.storage.reads import ReadSet
from dosql.storage.snapshot import Epoch, Snapshot
from dosql.storage.table_writer import TableWriter
from dosql.storage.violations import unique_violation
from dosql.types.keys import KEY_BYTES
from shared_types.changes import (
    OF_MANY,
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
    rows_in,
)

if TYPE_CHECKING:
    from dosql.storage.conflicts import KeyFloors


class Mark(NamedTuple):
    """A state of a workspace to go back to."""

    schema: Schema
    trees: dict[int, Any]
    ops_count: int


class Step(NamedTuple):
    """A state of a workspace that a statement may have to go back to, while it runs."""

    schema: Schema
    ops_count: int


class Workspace:
    """Reads like a :class:`Snapshot`, and can be written.

    Every change checks its constraints before it touches a tree, so a change that raises has
    changed nothing. Changes of many rows by one statement need a :meth:`step` or a :meth:`mark` around them.

    Args:
        base: The snapshot to start from.
        key_floors: Row ids that open transactions have taken; shared, or None.

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
        follow: Called when a row was changed or removed, where foreign keys cannot wait for the statement's end.
        undone: Who will take back what a statement does if it fails, or None.
        writers: Of the rows of tables that were written, by id; they go when anybody keeps what there is.
        kept: Rows of CTEs that the query of a change has read, for its RETURNING; None elsewhere.
        explicit: It is counted among the open transactions.
        taker: Stands for it in ``key_floors``.
        conflict: What the statement that fired a trigger said: it holds for those in the trigger too.
    """

    __slots__ = (
        "_editors",
        "_key_floors",
        "_owner",
        "base",
        "claims",
        "conflict",
        "deferred",
        "defers_keys",
        "dirty_bytes",
        "explicit",
        "firing",
        "follow",
        "head",
        "kept",
        "moved",
        "ops",
        "reads",
        "recursive_triggers",
        "schema",
        "taker",
        "trees",
        "unchecked",
        "undone",
        "writers",
    )

    def __init__(self, base: Snapshot, key_floors: KeyFloors | None = None) -> None:
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
        self.undone: Any = None
        self.explicit = False
        self.kept: Mapping[str, Any] | None = None
        self.follow: Callable[[], None] | None = None
        self.head: Callable[[], Snapshot] = lambda: base
        self._owner = self.taker = Owner()
        self._editors: dict[int, TreeEditor] = {}
        self.writers: dict[int, TableWriter] = {}
        self._key_floors = key_floors

    @property
    def lsn(self) -> int:
        """LSN of the snapshot the workspace started from."""
        return self.base.lsn

    def writer(self, table: Table) -> TableWriter:
        """Returns the writer of a table's rows."""
        writer = self.writers.get(table.id)
        if writer is None:
            writer = self.writers[table.id] = TableWriter(self, table, self._key_floors)
        return writer

    def editor(self, tree_id: int) -> TreeEditor:
        """Returns the editor of a tree, made at its first change."""
        editor = self._editors.get(tree_id)
        if editor is None:
            editor = self._editors[tree_id] = self.trees[tree_id] = TreeEditor(
                self.trees[tree_id], self._owner, tree_id
            )
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
        self.writers.pop(table.id, None)
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
        editor = TreeEditor(empty_tree("b", ""), self._owner, index.id)
        if entries:
            editor.append_many(entries, [])
        self.schema = self.schema.with_index(index)
        self._editors[index.id] = self.trees[index.id] = editor
        self.writers.pop(table.id, None)
        self.ops.append((OP_CREATE_INDEX, msgspec.to_builtins(index)))

    def drop_index(self, index: Index) -> None:
        """Removes an index."""
        self.trees.pop(index.id)
        self._editors.pop(index.id, None)
        self.writers.pop(index.table_id, None)
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
        self.writers.clear()
        self._editors.clear()
        self.schema = mark.schema
        self.trees = dict(mark.trees)
        self._forget_ops(mark.ops_count)

    def step(self) -> Step:
        """Returns the present state for a statement that changes rows.

        Editors note how to take back what they do. That costs less than a :meth:`mark`, after which every node is
        copied again; it is for changes that seldom fail, and are not too many to note. End it by :meth:`stepped`.
        """
        self._owner.undo = []
        return Step(self.schema, len(self.ops))

    @property
    def noted(self) -> bool:
        """Whether something was done in the step."""
        return bool(self._owner.undo)

    def stepped(self) -> None:
        """Ends a step: there is no way back to it."""
        self._owner.undo = None

    def take_back(self, step: Step) -> None:
        """Goes back to where a step began.

        Raises:
            StorageError: A page cannot be read; the workspace is of no more use.
        """
        undo, self._owner.undo = self._owner.undo or [], None
        for tree_id, method, *args in reversed(undo):
            method(self.editor(tree_id), *args)
        self._owner.undo = []
        self.writers.clear()
        self.schema = step.schema
        self._forget_ops(step.ops_count)

    def _forget_ops(self, count: int) -> None:
        del self.ops[count:]
        self.moved = {place for place in self.moved if place < count}

    def publish(self, lsn: int, time_us: int, epoch: Epoch) -> Snapshot:
        """Returns the present state as a snapshot. The workspace must not be written after it."""
        self._settle()
        return Snapshot(self.schema, self.trees, lsn, time_us, epoch)

    def rows_changed(self) -> int:
        """Returns how many LSNs the write set takes."""
        ops = self.ops
        return len(ops) + sum([rows_in(op) - 1 for op in ops if op[0] in OF_MANY])

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
        undo, self._owner = self._owner.undo, Owner()
        if undo is not None:
            self._owner.undo = undo
        self.writers.clear()
        for tree_id, editor in self._editors.items():
            self.trees[tree_id] = editor.tree()
        self._editors.clear()

    def _entries_of(self, table: Table, maker: EntryMaker) -> list[bytes]:
        entries: list[bytes] = []
        compared: list[bytes] = []
        for leaf in leaves(self.trees[table.id].root):
            made = maker.entries(leaf.keys, leaf.cols)
            entries += [entry for entry in made if entry is not None]
            if maker.definition.unique:
                nulls = maker.nulls(leaf.keys, leaf.cols)
                compared += [e[:-KEY_BYTES] for place, e in enumerate(made) if e is not None and place not in nulls]
        if len(set(compared)) < len(compared):
            raise unique_violation(table, maker.definition)
        entries.sort()
        return entries
