"""Changes of at most one row by statements that nothing hangs on, as functions from a snapshot to the next one's trees.

What such a change cannot do, or must refuse, it leaves alone: None is the answer, nothing was done, and the way of all
other changes does it or says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from dosql.btree import max_key
from dosql.executor.foreign_keys import Reference, parents_there
from dosql.executor.row_maker import row_maker
from dosql.executor.rules import RowRules
from dosql.plan.expr import ROW_KEY
from dosql.schema import Schema, Table
from dosql.storage import Snapshot, Workspace
from dosql.storage.single import SingleWriter, Trees, row_at
from dosql.types.numbers import INT_MAX, INT_MIN
from shared_types.changes import OP_DELETE, OP_INSERT, OP_UPDATE

Run: TypeAlias = Callable[..., list[tuple[Any, ...]]]


Lone: TypeAlias = tuple[Trees, list[tuple[Any, ...]], tuple[int, Sequence[Any]] | None, int | None]
"""What became of it: the trees of the next snapshot; the change in the log's form; the row as RETURNING sees it, None
where no row was changed; and the key of an inserted row."""

Show: TypeAlias = Callable[[tuple[int, Sequence[Any]]], list[tuple[Any, ...]]]
Within: TypeAlias = tuple[int, int | None, list[tuple[Any, ...]]]
"""Number of rows that were changed, the key of an inserted one, and what RETURNING shows."""
NOTHING: Lone = ({}, [], None, None)
"""No row was changed."""
NO_ROW: Within = (0, None, [])


class LoneChange(Protocol):
    """One statement's change.

    Attributes:
        writer: Of its table.
        reads: It reads before it writes.
        references: Foreign keys that it tests itself; None where it does not.
    """

    writer: SingleWriter
    reads: bool
    references: list[Reference] | None

    def __call__(self, head: Snapshot, values: tuple[Any, ...], *, given: bool, refers: bool) -> Lone | None:
        """Returns what the change makes of a snapshot.

        Args:
            head: The newest one.
            values: Of the statement's parameters.
            given: A new row must say its key: others have taken keys that no row has yet.
            refers: Foreign keys count.
        """

    def within(
        self, workspace: Workspace, values: tuple[Any, ...], *, refers: bool, show: Show | None = None
    ) -> Within | None:
        """Does the change in a transaction.

        Args:
            workspace: The transaction.
            values: Of the statement's parameters.
            refers: Foreign keys count.
            show: Gives what RETURNING shows of a row.

        Raises:
            DosqlError: It did nothing.
        """


class LoneInsert:
    """INSERT of one row of parameters.

    Args:
        schema: What the statement was bound to.
        table: The table.
        targets: Column positions of the parameters, ROW_KEY for a hidden row id.
        rules: CHECK constraints.
        conflict: ON CONFLICT of the row's key, as :class:`LoneUpsert` has it; or REPLACE, IGNORE or None.
        references: Foreign keys, if they are tested here.
    """

    def __init__(
        self,
        schema: Schema,
        table: Table,
        targets: Sequence[int],
        rules: RowRules | None,
        conflict: LoneUpsert | str | None,
        references: list[Reference] | None,
    ) -> None:
        self.references = references if conflict is None else None
        self.reads = conflict is not None
        self.writer = SingleWriter(schema, table)
        places = {column: i for i, column in enumerate(targets)}
        self._id, self._table = table.id, table
        self._key_place = places.get(table.key_column if table.key_column >= 0 else ROW_KEY)
        self._make = row_maker(table, [(table.columns[c], places.get(c), table.columns[c].store) for c in table.stored])
        self._rules = rules
        self._conflict = conflict

    def __call__(self, head: Snapshot, values: tuple[Any, ...], *, given: bool, refers: bool) -> Lone | None:
        stored = self._make(values)
        trees, place = head.trees, self._key_place
        key = None if place is None else values[place]
        if key is None:
            last = max_key(trees[self._id].root)
            if given or last == INT_MAX:
                return None
            key = 1 if last is None else last + 1
        elif key.__class__ is not int or not INT_MIN <= key <= INT_MAX:
            return None
        row = (key, stored)
        if self._rules is not None and self._rules.violated(head, [row]):
            return None
        if refers and self.references and not parents_there(head, self._table, self.references, row):
            return None
        changed = self.writer.inserted(trees, key, stored)
        if changed is None:
            return None if self._conflict is None else self._resolved(head, values, row)
        return changed, [(OP_INSERT, self._id, key, None, stored)], row, key

    def _resolved(self, head: Snapshot, values: tuple[Any, ...], row: tuple[int, tuple[Any, ...]]) -> Lone | None:
        """Does what is to be done where a row with the key of the one that comes is there; None if there is none."""
        key, stored = row
        writer, conflict = self.writer, self._conflict
        place = writer.place(head.trees, key)
        if place is None:
            return None
        if conflict == "IGNORE":
            return NOTHING
        before = row_at(place)
        if isinstance(conflict, LoneUpsert):
            return conflict(head, values, row, before)
        changed = writer.updated(head.trees, place, (before, stored), list(enumerate(stored)))
        if changed is None:
            return None
        ops = [(OP_DELETE, self._id, key, before, None), (OP_INSERT, self._id, key, None, stored)]
        return changed, ops, row, key

    def within(
        self, workspace: Workspace, values: tuple[Any, ...], *, refers: bool, show: Show | None = None
    ) -> Within | None:
        stored = self._make(values)
        writer = workspace.writers.get(self._id) or workspace.writer(self._table)
        place = self._key_place
        key = None if place is None else values[place]
        if key is None:
            key = writer.next_key()
        elif key.__class__ is not int:
            return None
        elif self._conflict is not None:
            before = writer.row_at(key)
            if before is not None:
                return self._resolved_within(workspace, values, (key, stored), before, show)
        if self._rules is not None:
            self._rules.verify(workspace, [(key, stored)])
        if refers and self.references and not parents_there(workspace, self._table, self.references, (key, stored)):
            return None
        shown = [] if show is None else show((key, stored))
        writer.insert(key, stored)
        return 1, key, shown

    def _resolved_within(
        self,
        workspace: Workspace,
        values: tuple[Any, ...],
        row: tuple[int, tuple[Any, ...]],
        before: tuple[Any, ...],
        show: Show | None,
    ) -> Within | None:
        """Does as :meth:`_resolved` in a transaction, of whose rows ``before`` has the key."""
        key, stored = row
        if self._rules is not None:
            self._rules.verify(workspace, [row])
        if workspace.reads is not None:
            workspace.reads.key(self._id, key)
        conflict = self._conflict
        if conflict == "IGNORE":
            return NO_ROW
        if isinstance(conflict, LoneUpsert):
            return conflict.within(workspace, values, row, before, show)
        shown = [] if show is None else show(row)
        workspace.writer(self._table).replace(key, before, stored)
        return 1, key, shown


class LoneUpdate:
    """UPDATE whose query finds at most one row, or gives it.

    Args:
        schema: What the statement was bound to.
        table: The table.
        targets: Column positions that are set; not the row's key.
        rules: CHECK constraints.
        query: Gives the row's key and the new values.
    """

    reads = True
    references: list[Reference] | None = None

    def __init__(
        self, schema: Schema, table: Table, targets: Sequence[int], rules: RowRules | None, query: Run
    ) -> None:
        self.writer = SingleWriter(schema, table)
        columns = [table.columns[position] for position in targets]
        self._id, self._table = table.id, table
        self._make = row_maker(table, [(column, place, column.store) for place, column in enumerate(columns, 1)])
        self._slots = [table.slots[position] for position in targets]
        self._bare = rules is None and not self.writer.depends(self._slots)
        self._rules = rules
        self.query = query

    def __call__(self, head: Snapshot, values: tuple[Any, ...], *, given: bool, refers: bool) -> Lone | None:
        rows = self.query(head, values)
        if not rows:
            return NOTHING
        return self.apply(head, rows[0]) if len(rows) == 1 else None

    def apply(self, head: Snapshot, row: Sequence[Any]) -> Lone | None:
        """Returns what becomes of a snapshot by new values of one row, behind its key."""
        key = row[0]
        place = self.writer.place(head.trees, key)
        if place is None:
            return None
        before = row_at(place)
        after = list(before)
        changes = []
        for slot, value in zip(self._slots, self._make(row), strict=True):
            if after[slot] is not value:
                after[slot] = value
                changes.append((slot, value))
        if self._rules is not None and self._rules.violated(head, [(key, after)]):
            return None
        changed = self.writer.updated(head.trees, place, (before, after), changes)
        if changed is None:
            return None
        return changed, [(OP_UPDATE, self._id, key, before, after)], (key, after), None

    def within(
        self, workspace: Workspace, values: tuple[Any, ...], *, refers: bool, show: Show | None = None
    ) -> Within | None:
        rows = self.query(workspace, values)
        if not rows:
            return NO_ROW
        return self.apply_within(workspace, rows[0], show) if len(rows) == 1 else None

    def apply_within(self, workspace: Workspace, row: Sequence[Any], show: Show | None) -> Within | None:
        """Sets new values of one row, behind its key, in a transaction."""
        writer = workspace.writer(self._table)
        if self._bare and show is None:
            writer.exchange(row[0], list(zip(self._slots, self._make(row), strict=True)))
            return 1, None, []
        before = writer.row_at(row[0])
        if before is None:
            return None
        after = list(before)
        for slot, value in zip(self._slots, self._make(row), strict=True):
            after[slot] = value
        if self._rules is not None:
            self._rules.verify(workspace, [(row[0], after)])
        shown = [] if show is None else show((row[0], after))
        writer.update(row[0], before, after)
        return 1, None, shown


class LoneDelete:
    """DELETE whose query finds at most one row.

    Args:
        schema: What the statement was bound to.
        table: The table.
        query: Gives the row's key.
    """

    reads = True
    references: list[Reference] | None = None

    def __init__(self, schema: Schema, table: Table, query: Run) -> None:
        self.writer = SingleWriter(schema, table)
        self._id, self._table = table.id, table
        self.query = query

    def __call__(self, head: Snapshot, values: tuple[Any, ...], *, given: bool, refers: bool) -> Lone | None:
        rows = self.query(head, values)
        if not rows:
            return NOTHING
        if len(rows) > 1:
            return None
        key = rows[0][0]
        done = self.writer.deleted(head.trees, key)
        if done is None:
            return None
        trees, before = done
        return trees, [(OP_DELETE, self._id, key, before, None)], (key, before), None

    def within(
        self, workspace: Workspace, values: tuple[Any, ...], *, refers: bool, show: Show | None = None
    ) -> Within | None:
        rows = self.query(workspace, values)
        if not rows:
            return NO_ROW
        key = rows[0][0]
        writer = workspace.writer(self._table)
        if len(rows) > 1:
            return None
        if show is None:
            return None if writer.take(key) is None else (1, None, [])
        before = writer.row_at(key)
        if before is None:
            return None
        shown = show((key, before))
        writer.delete(key, before)
        return 1, None, shown


class LoneUpsert:
    """ON CONFLICT with the row's key: what becomes of a row that is there.

    Args:
        table: The table.
        change: Sets new values; None for DO NOTHING.
        query: Gives the row's key and new values of a row that is handed to it, with the one that was not inserted
            behind it.
    """

    def __init__(self, table: Table, change: LoneUpdate | None, query: Run | None) -> None:
        self._table = table
        self._change = change
        self._query = query

    def __call__(
        self, head: Snapshot, values: tuple[Any, ...], row: tuple[int, Sequence[Any]], before: Sequence[Any]
    ) -> Lone | None:
        """Returns what becomes of a snapshot.

        Args:
            head: It.
            values: Of the statement's parameters.
            row: The one that is not inserted.
            before: Stored columns of the one that is there.
        """
        if self._change is None:
            return NOTHING
        rows = self._rows(head, values, row, before)
        return self._change.apply(head, rows[0]) if rows else NOTHING

    def within(
        self,
        workspace: Workspace,
        values: tuple[Any, ...],
        row: tuple[int, Sequence[Any]],
        before: Sequence[Any],
        show: Show | None,
    ) -> Within | None:
        """Does it in a transaction."""
        if self._change is None:
            return NO_ROW
        rows = self._rows(workspace, values, row, before)
        return self._change.apply_within(workspace, rows[0], show) if rows else NO_ROW

    def _rows(
        self,
        view: Snapshot | Workspace,
        values: tuple[Any, ...],
        row: tuple[int, Sequence[Any]],
        before: Sequence[Any],
    ) -> list[tuple[Any, ...]]:
        assert self._query is not None
        key, stored = row
        excluded = [key if slot < 0 else stored[slot] for slot in self._table.slots]
        return self._query(view, values, given=[(key, (*before, *excluded))])
