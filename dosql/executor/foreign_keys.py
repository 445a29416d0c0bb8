"""Foreign keys: has a row its parents, and which rows are the children of another.

What a statement left is tested when it is done (as SQLite does, https://www.sqlite.org/foreignkeys.html), and for
deferred keys at COMMIT. Actions are in :mod:`dosql.executor.key_actions`.

Other transactions: who adds a reference shares a lock on the parent's key, and who removes the key has it
alone. And where the newest commit knows a parent or a child that the snapshot does not, a newer snapshot
is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from dosql.btree import get, leaves
from dosql.errors import ConstraintViolation, SchemaError, TypeMismatch
from dosql.index import term_encoder
from dosql.plan.expr import ROW_KEY
from dosql.schema import ForeignKey, Index, Schema, Table
from dosql.storage import Snapshot, Workspace
from dosql.storage.claims import StaleRow
from dosql.storage.index_entries import has_entry, keys_with
from dosql.types.collations import COLLATIONS
from dosql.types.keys import after_prefix
from dosql.types.sqltypes import SqlType


class Due(NamedTuple):
    """A test that is due: that a child's row has its parent, or that nobody refers to a key that is gone.

    Attributes:
        child: Id of the child table.
        reference: Its foreign key.
        key: Key of the child's row, or None.
        values: Values of the parent's key, or None.
        number: Of the foreign key in its table.
    """

    child: int
    reference: ForeignKey
    key: int | None
    values: tuple[Any, ...] | None
    number: int


def touches(schema: Schema, table: Table, targets: Collection[int]) -> bool:
    """Whether an UPDATE that sets some columns of a table has to do with foreign keys."""
    children = schema.referencing_of(table)
    if table.generated and (table.foreign_keys or children):
        return True
    if any(column in targets for reference in table.foreign_keys for column in reference.columns):
        return True
    moves = ROW_KEY in targets or table.key_column in targets
    if moves and (children or table.foreign_keys):  # what is due of the row is due of it where it goes
        return True
    for child, reference in children:
        try:
            columns = key_of(schema, table, child, reference)[1]
        except SchemaError:
            return True
        if any(column in targets for column in columns):
            return True
    return False


def test_deferred(workspace: Workspace) -> None:
    """Tests at COMMIT what was put off.

    Raises:
        ConstraintViolation: It does not hold; the transaction stays open.
    """
    for one in workspace.deferred:
        test(workspace, one)


def violations(view: Snapshot | Workspace, table: Table) -> Iterator[tuple[int, int]]:
    """Yields (row key, number of the foreign key) of a table's rows without a parent."""
    for leaf in leaves(view.trees[table.id].root):
        for key, *stored in zip(leaf.keys, *leaf.cols, strict=True):
            for number, reference in enumerate(table.foreign_keys):
                values = values_of(table, reference.columns, key, stored)
                if None in values:
                    continue
                parent = view.schema.beside(table.id).table(reference.parent)
                if parent is not None:
                    index, columns = key_of(view.schema, parent, table, reference)
                    wanted = _converted(parent, columns, values)
                    if wanted is not None and _there(view, parent, index, columns, wanted):
                        continue
                yield key, number


# --- tests ---------------------------------------------------------------------------------


def test_many(workspace: Workspace, child: Table, number: int, several: Collection[tuple[Any, ...]]) -> None:
    """Returns if all of some values of a foreign key have a parent.

    Raises:
        ConstraintViolation: One has none.
    """
    reference = child.foreign_keys[number]
    resolved = _resolved(workspace.schema, child, reference)
    if not all(_is_there(workspace, resolved, values) for values in several):
        raise violation(child, reference)


def test(workspace: Workspace, due: Due) -> None:
    """Returns if what is due holds.

    Raises:
        ConstraintViolation: It does not.
    """
    child = workspace.schema.by_id.get(due.child)
    if child is None:
        return
    wanted = due.reference
    if wanted not in child.foreign_keys and due.number < len(child.foreign_keys):  # something was renamed since
        wanted = child.foreign_keys[due.number]
    if due.key is not None:
        stored = workspace.writer(child).row_at(due.key)
        if stored is None:
            return
        values = values_of(child, wanted.columns, due.key, stored)
        if None in values:
            return
        reference = _resolved(workspace.schema, child, wanted)
        if not _is_there(workspace, reference, values) or _is_own_parent(reference, child, (due.key, stored), values):
            raise violation(child, wanted)
        return
    assert due.values is not None
    parent = workspace.schema.beside(child.id).table(wanted.parent)
    if parent is not None:
        index, columns = key_of(workspace.schema, parent, child, wanted)
        if _there(workspace, parent, index, columns, due.values):
            return
    if child_keys(workspace, child, wanted, due.values):
        raise violation(child, wanted)


class Reference(NamedTuple):
    """A foreign key with what it refers to: a unique index of the parent, or None for its row key, and the columns."""

    key: ForeignKey
    parent: Table
    unique: Index | None
    columns: tuple[int, ...]


def references_of(schema: Schema, child: Table) -> list[Reference]:
    """Returns the foreign keys of a table.

    Raises:
        SchemaError: One refers to no table, or to no key of it.
    """
    return [_resolved(schema, child, key) for key in child.foreign_keys]


def _resolved(schema: Schema, child: Table, key: ForeignKey) -> Reference:
    parent = schema.beside(child.id).table(key.parent)
    if parent is None:
        raise SchemaError(f"no such table: main.{key.parent}")
    return Reference(key, parent, *key_of(schema, parent, child, key))


def parents_there(
    view: Snapshot | Workspace, child: Table, references: Sequence[Reference], row: tuple[int, Sequence[Any]]
) -> bool:
    """Whether a row that comes has all its parents; in a transaction, they stay until it ends.

    Raises:
        LockWait: Another transaction has the key of a parent.
        StaleRow: The newest commit knows a parent that the snapshot does not, or the other way round.
    """
    for reference in references:
        values = values_of(child, reference.key.columns, *row)
        if None in values:
            continue
        if isinstance(view, Workspace):
            if not _is_there(view, reference, values):
                return False
        else:
            wanted = _converted(reference.parent, reference.columns, values)
            if wanted is None or not _there(view, reference.parent, reference.unique, reference.columns, wanted):
                return False
    return True


def _is_own_parent(reference: Reference, child: Table, row: tuple[int, Any], values: tuple[Any, ...]) -> bool:
    """Whether a row is its own parent only after a conversion: SQLite compares both as they are, but for row ids."""
    if reference.parent.id != child.id or reference.unique is None:
        return False
    own = values_of(child, reference.columns, *row)
    return own == _converted(child, reference.columns, values) and any(
        isinstance(a, str | bytes) != isinstance(b, str | bytes) for a, b in zip(own, values, strict=True)
    )


def _is_there(workspace: Workspace, reference: Reference, values: tuple[Any, ...]) -> bool:
    _, parent, index, columns = reference
    wanted = _converted(parent, columns, values)
    if wanted is None:
        return False
    claim(workspace, parent, index, wanted, shared=True)
    base, head = workspace.base, workspace.head()
    if head is not base and parent.id in head.trees and parent.id in base.trees:
        now = _there(head, parent, index, columns, wanted)
        if now != _there(base, parent, index, columns, wanted):
            raise StaleRow(
                f"a row of {parent.name} was added or removed by another transaction after this one began",
                hint="Run the transaction again",
            )
    return _there(workspace, parent, index, columns, wanted)


def same_children(workspace: Workspace, child: Table, reference: ForeignKey, values: tuple[Any, ...]) -> None:
    """Raises if the newest commit knows children of a key that the snapshot does not."""
    base, head = workspace.base, workspace.head()
    if head is base or child.id not in head.trees or child.id not in base.trees:
        return
    known = child_keys(base, child, reference, values)
    if not set(known).issuperset(child_keys(head, child, reference, values)):
        raise StaleRow(
            f"a row of {child.name} was added by another transaction after this one began",
            hint="Run the transaction again",
        )


def violation(child: Table, reference: ForeignKey) -> ConstraintViolation:
    """Returns the error of a foreign key."""
    names = ", ".join(child.columns[c].name for c in reference.columns)
    return ConstraintViolation(
        f"FOREIGN KEY constraint failed: {reference.name or f'{child.name} ({names})'} references {reference.parent}"
    )


# --- keys and rows -------------------------------------------------------------------------


def values_of(table: Table, columns: Sequence[int], key: int, stored: Sequence[Any]) -> tuple[Any, ...]:
    """Returns the values of some columns of a row."""
    slots = table.slots
    return tuple([key if slots[c] < 0 else stored[slots[c]] for c in columns])


def key_of(schema: Schema, parent: Table, child: Table, reference: ForeignKey) -> tuple[Index | None, tuple[int, ...]]:
    """Returns the parent's unique index, or None for its row key, and the columns that are referred to.

    Raises:
        SchemaError: They are no key.
    """
    known = _known(schema)
    at = (parent.id, child.id, reference.columns, reference.parent_columns)
    found: tuple[Index | None, tuple[int, ...]] | None = known.get(at)
    if found is not None:
        return found
    columns = parent.primary_key
    if reference.parent_columns:
        named = [parent.positions.get(name.lower(), -1) for name in reference.parent_columns]
        columns = tuple(named)
    if len(columns) == len(reference.columns) and -1 not in columns:
        if columns == (parent.key_column,):
            known[at] = None, columns
            return None, columns
        for index in schema.indexes_of(parent.id):
            if index.unique and not index.where and set(index.columns) == set(columns):
                known[at] = index, columns
                return index, columns
    raise SchemaError(
        f'foreign key mismatch - "{child.name}" referencing "{reference.parent}"',
        code="CONSTRAINT_NOT_FOUND",
        hint="It must refer to the PRIMARY KEY or to UNIQUE columns of the parent",
    )


def _converted(table: Table, columns: Sequence[int], values: Sequence[Any]) -> tuple[Any, ...] | None:
    """Returns values as these columns store them; None if they cannot."""
    try:
        return tuple([table.columns[c].store(value) for c, value in zip(columns, values, strict=True)])
    except TypeMismatch:
        return None


def _prefix(table: Table, index: Index, columns: Sequence[int], values: Sequence[Any]) -> bytes:
    """Returns the encoded values of an index whose first columns are ``columns``, in any order."""
    by_column = dict(zip(columns, values, strict=True))
    places = range(len(columns))
    return b"".join([term_encoder(table, index, i)(by_column[index.columns[i]]) for i in places])


def _there(
    view: Snapshot | Workspace, parent: Table, index: Index | None, columns: Sequence[int], values: Sequence[Any]
) -> bool:
    """Whether the parent has a row with this key."""
    if index is None:
        if view.reads is not None:
            view.reads.key(parent.id, values[0])
        return get(view.trees[parent.id].root, values[0]) is not None
    low = _prefix(parent, index, columns, values)
    if view.reads is not None:
        view.reads.range(index.id, low, after_prefix(low))
    return has_entry(view.trees[index.id], low)


def child_keys(view: Snapshot | Workspace, child: Table, reference: ForeignKey, values: Sequence[Any]) -> list[int]:
    """Returns the keys of the rows that refer to a key. Texts are compared as the parent's columns compare them."""
    wanted = _converted(child, reference.columns, values)
    if wanted is None or child.id not in view.trees:
        return []
    index = _index_of(view.schema, child, reference)
    if index is not None:
        low = _prefix(child, index, reference.columns, wanted)
        if view.reads is not None:
            view.reads.range(index.id, low, after_prefix(low))
        return keys_with(view.trees[index.id], low)
    root = view.trees[child.id].root
    if reference.columns == (child.key_column,):
        key = wanted[0]
        if view.reads is not None:
            view.reads.key(child.id, key)
        return [] if get(root, key) is None else [key]
    if view.reads is not None:
        view.reads.whole(child.id)
    folds = [COLLATIONS[name] if name else None for name in _collations(view.schema, child, reference)]
    wanted = _folded(folds, wanted)
    found = []
    for leaf in leaves(root):
        rows = zip(leaf.keys, zip(*leaf.cols, strict=True) if leaf.cols else [()] * len(leaf.keys), strict=True)
        for key, stored in rows:
            if _folded(folds, values_of(child, reference.columns, key, stored)) == wanted:
                found.append(key)
    return found


def _folded(folds: Sequence[Callable[[Any], Any] | None], values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns what collations compare of values."""
    if not any(folds):
        return values
    return tuple([value if fold is None else fold(value) for fold, value in zip(folds, values, strict=True)])


def _collations(schema: Schema, child: Table, reference: ForeignKey) -> tuple[str, ...]:
    """Returns the collations of the parent's columns; empty is BINARY."""
    known = _known(schema)
    at = ("collations", child.id, reference.columns, reference.parent_columns)
    found: tuple[str, ...] | None = known.get(at)
    if found is None:
        parent = schema.beside(child.id).table(reference.parent)
        found = ("",) * len(reference.columns)
        if parent is not None:
            with suppress(SchemaError):
                columns = [parent.columns[c] for c in key_of(schema, parent, child, reference)[1]]
                found = tuple(c.collation if c.type in (SqlType.TEXT, SqlType.ANY) else "" for c in columns)
        known[at] = found
    return found


def _index_of(schema: Schema, child: Table, reference: ForeignKey) -> Index | None:
    """Returns an index whose first columns are those of a foreign key, and compared as their parents'."""
    known = _known(schema)
    at = (child.id, reference.columns, reference.parent_columns)
    if at not in known:
        width = len(reference.columns)
        wanted = set(zip(reference.columns, _collations(schema, child, reference), strict=True))
        known[at] = None
        for index in schema.indexes_of(child.id):
            places = [(column, index.collation(place)) for place, column in enumerate(index.columns[:width])]
            if not index.where and set(places) == wanted:
                known[at] = index
    return known[at]  # type: ignore[no-any-return]


def _known(schema: Schema) -> dict[Any, Any]:
    """Returns what was found out about the foreign keys of a schema."""
    return vars(schema).setdefault("foreign_keys", {})  # type: ignore[no-any-return]


def claim(workspace: Workspace, parent: Table, index: Index | None, values: Sequence[Any], *, shared: bool) -> None:
    """Locks a key that is referred to: shared to refer to it, alone to remove it.

    Raises:
        LockWait: Another transaction has it.
    """
    if workspace.claims is not None:
        tree_id = parent.id if index is None else index.id
        workspace.claims.reference(tree_id, tuple(values), shared=shared)
