"""UPDATE and DELETE by a query that gives keys: of one row in a transaction of its own, of a few in one that is open.

See :mod:`dosql.executor.lone`, whose protocol these follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from dosql.executor.foreign_keys import Reference
from dosql.executor.lone import NO_ROW, NOTHING, Lone, Rows, Run, Show, Within
from dosql.executor.row_maker import row_maker
from dosql.executor.rules import RowRules
from dosql.executor.triggers import EventTriggers
from dosql.schema import Schema, Table
from dosql.storage import Snapshot, Workspace
from dosql.storage.single import SingleWriter, row_at
from shared_types.changes import OP_DELETE, OP_UPDATE

FEW = 200
"""More rows than these are changed by column."""

_key = itemgetter(0)


class FewUpdate:
    """UPDATE of rows that a query gives.

    Args:
        schema: What the statement was bound to.
        table: The table.
        targets: Column positions that are set; not the row's key.
        rules: CHECK constraints.
        query: Gives the rows' keys and the new values.
        single: The query gives one row at most.
        triggers: That fire AFTER; then it is done in a transaction that is open, and taken back if one of them fails.

    Attributes:
        several: Whether more rows than one can be changed.
    """

    reads = True
    references: list[Reference] | None = None

    def __init__(
        self,
        schema: Schema,
        table: Table,
        targets: Sequence[int],
        rules: RowRules | None,
        query: Run,
        *,
        single: bool = True,
        triggers: EventTriggers | None = None,
    ) -> None:
        self.writer = SingleWriter(schema, table)
        columns = [table.columns[position] for position in targets]
        self._id, self._table = table.id, table
        parts = [(column, place, column.store) for place, column in enumerate(columns, 1)]
        self._make = row_maker(table, parts, lambda made: setattr(self, "_make", made))
        self._slots = tuple([table.slots[position] for position in targets])
        self._rules = rules
        self.query = query
        self.single = single
        self._triggers = triggers
        self.several = rules is None and triggers is None
        self._compared = self.writer.compares(self._slots)

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
    ) -> Within | Rows | None:
        rows = self.query(workspace, values)
        count = len(rows)
        if count == 1:
            return self.apply_within(workspace, rows[0], show)
        if not count:
            return NO_ROW
        if count > FEW or show is not None or not self.several or workspace.follow is not None:
            return rows
        if self._compared and workspace.undone is not None:
            return rows
        rows.sort(key=_key)
        made = list(map(self._make, rows))
        if not self._compared:
            self._amend(workspace, rows, made)
            return count, None, []
        step = workspace.step()
        try:
            self._amend(workspace, rows, made)
        except BaseException:
            workspace.take_back(step)
            raise
        finally:
            workspace.stepped()
        return count, None, []

    def _amend(self, workspace: Workspace, rows: Rows, made: Sequence[Sequence[Any]]) -> None:
        amend, slots = workspace.writer(self._table).amend, self._slots
        for row, new in zip(rows, made, strict=True):
            amend(row[0], slots, new)

    def apply_within(self, workspace: Workspace, row: Sequence[Any], show: Show | None) -> Within | None:
        """Sets new values of one row, behind its key, in a transaction."""
        key, made = row[0], self._make(row)
        writer = workspace.writers.get(self._id) or workspace.writer(self._table)
        if show is None and self._rules is None and self._triggers is None and workspace.follow is None:
            return (1, None, []) if writer.amend(key, self._slots, made) else None
        before = writer.row_at(key)
        if before is None:
            return None
        after = list(before)
        for slot, value in zip(self._slots, made, strict=True):
            after[slot] = value
        if self._rules is not None:
            self._rules.verify(workspace, [(key, after)])
        shown = [] if show is None else show((key, after))
        writer.update(key, before, after)
        if workspace.follow is not None:
            workspace.follow()
        if self._triggers is not None:
            self._triggers.run(workspace, self._triggers.after, (key, before), (key, after))
        return 1, None, shown


class FewDelete:
    """DELETE of rows whose keys a query gives.

    Args:
        schema: What the statement was bound to.
        table: The table.
        query: Gives the rows' keys.
        single: The query gives one at most.
        triggers: As of :class:`FewUpdate`.
    """

    reads = True
    references: list[Reference] | None = None

    def __init__(
        self, schema: Schema, table: Table, query: Run, *, single: bool, triggers: EventTriggers | None
    ) -> None:
        self.writer = SingleWriter(schema, table)
        self._triggers = triggers
        self._id, self._table = table.id, table
        self.query = query
        self.single = single

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
    ) -> Within | Rows | None:
        rows = self.query(workspace, values)
        count = len(rows)
        if not count:
            return NO_ROW
        writer = workspace.writers.get(self._id) or workspace.writer(self._table)
        if show is None and self._triggers is None and workspace.follow is None:
            if count > FEW:
                return rows
            for row in rows:
                writer.take(row[0])
            return count, None, []
        if count > 1:
            return rows
        key = rows[0][0]
        before = writer.row_at(key)
        if before is None:
            return None
        shown = [] if show is None else show((key, before))
        writer.delete(key, before)
        if workspace.follow is not None:
            workspace.follow()
        if self._triggers is not None:
            self._triggers.run(workspace, self._triggers.after, (key, before), None)
        return 1, None, shown
