"""Changes of a row by statements that nothing hangs on, as functions from a snapshot to the next one's trees.

INSERT of one row is here, UPDATE and DELETE in :mod:`dosql.executor.few`. In a transaction that is open they change
its workspace instead, and then may be of more rows than one. What such a change cannot do, or must refuse, it leaves
alone: None is the answer, nothing was done, and the way of all other changes does it or says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from dosql.btree import max_key
from dosql.executor.foreign_keys import Reference, parents_there
from dosql.executor.row_maker import row_maker
from dosql.executor.rules import RowRules
from dosql.executor.triggers import EventTriggers
from dosql.plan.expr import ROW_KEY, Const, Param
from dosql.schema import Schema, Table
from dosql.storage import Snapshot, Workspace
from dosql.storage.single import SingleWriter, Trees, row_at
from dosql.types.numbers import INT_MAX, INT_MIN
from shared_types.changes import OP_DELETE, OP_INSERT

if TYPE_CHECKING:
    from dosql.executor.few import FewUpdate

Rows: TypeAlias = list[tuple[Any, ...]]
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
        single: It is of one row at most, and so may be done in a transaction of its own.
        references: Foreign keys that it tests itself; None where it does not.
    """

    writer: SingleWriter
    reads: bool
    single: bool
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
    ) -> Within | Rows | None:
        """Does the change in a transaction; or returns the rows that its query gives, where it leaves them to others.

        Args:
            workspace: The transaction.
            values: Of the statement's parameters.
            refers: Foreign keys count.
            show: Gives what RETURNING shows of a row.

        Raises:
            StorageError: It may have done a part.
            DosqlError: It did nothing.
        """


class LoneInsert:
    """INSERT of one row of values.

    Args:
        schema: What the statement was bound to.
        table: The table.
        targets: Column positions of the values, ROW_KEY for a hidden row id.
        given: The values: each a parameter or a constant; or a query that gives them.
        rules: CHECK constraints.
        conflict: ON CONFLICT of the row's key, as :class:`LoneUpsert` has it; or REPLACE, IGNORE or None.
        references: Foreign keys, if they are tested here.
        triggers: That fire AFTER; then it is done in a transaction that is open, and taken back if one of them fails.
    """

    single = True

    def __init__(
        self,
        schema: Schema,
        table: Table,
        targets: Sequence[int],
        given: Sequence[Param | Const] | Run,
        rules: RowRules | None,
        conflict: LoneUpsert | str | None,
        references: list[Reference] | None,
        triggers: EventTriggers | None = None,
    ) -> None:
        self.references = references if conflict is None and triggers is None else None
        self._triggers = triggers
        self.reads = conflict is not None or callable(given)
        self.writer = SingleWriter(schema, table)
        self._query = given if callable(given) else None
        parts = [Param(i) for i in range(len(targets))] if callable(given) else given
        places = {c: part.index if isinstance(part, Param) else part for c, part in zip(targets, parts, strict=True)}
        self._id, self._table = table.id, table
        key = places.get(table.key_column if table.key_column >= 0 else ROW_KEY)
        self._key_place = key if isinstance(key, int) else None
        self._key = key.value if isinstance(key, Const) else None
        columns = [(table.columns[c], places.get(c), table.columns[c].store) for c in table.stored]
        self._make = row_maker(table, columns, lambda made: setattr(self, "_make", made))
        self._rules = rules
        self._conflict = conflict

    def __call__(self, head: Snapshot, values: tuple[Any, ...], *, given: bool, refers: bool) -> Lone | None:
        params = values
        if self._query is not None:
            values = self._query(head, values)[0]
        stored = self._make(values)
        trees, place = head.trees, self._key_place
        key = self._key if place is None else values[place]
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
            return None if self._conflict is None else self._resolved(head, params, row)
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
        params = values
        if self._query is not None:
            values = self._query(workspace, values)[0]
        stored = self._make(values)
        writer = workspace.writers.get(self._id) or workspace.writer(self._table)
        place = self._key_place
        key = self._key if place is None else values[place]
        if key is None:
            key = writer.next_key()
        elif key.__class__ is not int:
            return None
        elif self._conflict is not None:
            before = writer.row_at(key)
            if before is not None:
                return self._resolved_within(workspace, params, (key, stored), before, show)
        if self._rules is not None:
            self._rules.verify(workspace, [(key, stored)])
        if refers and self.references and not parents_there(workspace, self._table, self.references, (key, stored)):
            return None
        shown = [] if show is None else show((key, stored))
        writer.insert(key, stored)
        if self._triggers is not None:
            self._triggers.run(workspace, self._triggers.after, None, (key, stored))
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
        if workspace.follow is not None:
            return None
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


class LoneUpsert:
    """ON CONFLICT with the row's key: what becomes of a row that is there.

    Args:
        table: The table.
        change: Sets new values; None for DO NOTHING.
        query: Gives the row's key and new values of a row that is handed to it, with the one that was not inserted
            behind it.
    """

    def __init__(self, table: Table, change: FewUpdate | None, query: Run | None) -> None:
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
