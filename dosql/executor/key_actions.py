"""What becomes of the rows that refer to others which a statement changes or removes: the actions of foreign keys.

It works from the write set, so it sees everything that was changed, however it came about. Actions change more rows,
which are looked at in turn. Where a statement may change rows that refer to each other, or fires triggers, this is done
for each row before the next is changed (as SQLite does, https://www.sqlite.org/foreignkeys.html); else at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from dosql.errors import ConstraintViolation
from dosql.executor import foreign_keys as keys
from dosql.executor.changes import delete_rows
from dosql.executor.foreign_keys import Due
from dosql.executor.rules import RowRules
from dosql.executor.triggers import EventTriggers
from dosql.executor.updating import Updater
from dosql.functions.scalar import current_date, current_timestamp
from dosql.schema import ForeignKey, Schema, Table
from dosql.storage import Workspace
from dosql.storage.reads import images
from shared_types.changes import OF_NEW_ROWS, OF_REMOVALS, OF_ROWS, OP_INSERT_MANY

ROUNDS_MAX = 1_000_000

T = TypeVar("T")


class Related(Protocol):
    """Knows what belongs to tables."""

    def rules(self, table: Table, changed: frozenset[int] | None = None) -> RowRules | None:
        """Returns CHECK constraints and generated columns."""

    def triggers(self, table: Table, event: str) -> EventTriggers | None:
        """Returns the triggers of a table for an event."""


def row_by_row(schema: Schema, table: Table, *, fires: bool) -> bool:
    """Whether actions must be done for each row that a statement changes before it changes the next.

    Args:
        schema: The schema.
        table: What is changed.
        fires: Triggers are.
    """
    if fires:
        return True
    reached, left = set[int](), [table]
    while left:
        for child, _ in schema.referencing_of(left.pop()):
            if child.id == table.id:
                return True
            if child.id not in reached:
                reached.add(child.id)
                left.append(child)
    return False


class KeyActions:
    """What foreign keys ask of one statement.

    Args:
        workspace: Holds what the statement does, from now on.
        related: Knows the rules and triggers of tables, for rows that actions change.
    """

    def __init__(self, workspace: Workspace, related: Related) -> None:
        self._workspace = workspace
        self._related = related
        self._start = self._at = len(workspace.ops)
        self._due: list[Due] = []
        self._wanted: dict[tuple[int, int], set[tuple[Any, ...]]] = {}

    def around(self, work: Callable[[Workspace], T], *, each: bool) -> T:
        """Does a change, and what belongs to it; returns what the change gives.

        Args:
            work: Does the change.
            each: See :func:`row_by_row`.

        Raises:
            ConstraintViolation: A row has no parent, or a parent that is gone has children.
            SchemaError: A foreign key refers to no key of the parent.
            DosqlError: That of the change.
        """
        workspace = self._workspace
        workspace.follow = self.follow if each else None
        try:
            done = work(workspace)
        except ConstraintViolation as e:
            if e.resolution == "FAIL":  # what it did stays, if it may
                workspace.follow = None
                self.finish()
            raise
        finally:
            workspace.follow = None
        self.finish()
        return done

    def finish(self) -> None:
        """Does what is left when the change is done, and tests what stands then."""
        self._take_turns(last=True)
        workspace = self._workspace
        for (table_id, number), several in self._wanted.items():
            keys.test_many(workspace, workspace.schema.by_id[table_id], number, several)
        for one in self._due:
            if one.reference.deferred or workspace.defers_keys:
                workspace.deferred.append(one)
            else:
                keys.test(workspace, one)

    def follow(self) -> None:
        """Does the actions of what was changed since the last time."""
        workspace = self._workspace
        workspace.follow = None  # what the actions change comes behind it, and has its turn
        try:
            self._take_turns(last=False)
        finally:
            workspace.follow = self.follow

    def _take_turns(self, *, last: bool) -> None:
        workspace, due = self._workspace, self._due
        ops = workspace.ops
        while self._at < len(ops):
            op = ops[self._at]
            self._at += 1
            if self._at - self._start > ROUNDS_MAX:
                raise ConstraintViolation("foreign keys: the actions of one statement have no end")
            table = workspace.schema.by_id.get(op[1]) if op[0] in OF_ROWS else None
            if table is None:
                continue
            children = workspace.schema.referencing_of(table)
            if not children and (not table.foreign_keys or op[0] in OF_REMOVALS):
                continue
            if not table.foreign_keys and op[0] in OF_NEW_ROWS:
                continue
            if not children and op[0] == OP_INSERT_MANY and last and self._at == len(ops) and self._want(table, op):
                break
            moved_to = ops[self._at] if self._at - 1 in workspace.moved else None  # the row got another key
            for key, before, after in images(op):
                if after is not None:
                    for number, reference in enumerate(table.foreign_keys):
                        values = keys.values_of(table, reference.columns, key, after)
                        if None not in values and (
                            before is None or values != keys.values_of(table, reference.columns, key, before)
                        ):
                            due.append(Due(table.id, reference, key, None, number))
                if before is not None:
                    now = (key, after) if moved_to is None else (moved_to[2], moved_to[4])
                    for child, reference in children:
                        self._parent_changed(table, child, reference, (key, before), now)

    def _want(self, table: Table, op: tuple[Any, ...]) -> bool:
        """Takes the keys that many new rows refer to, each once; returns whether that was all. Nothing comes behind."""
        wanted: dict[tuple[int, int], set[tuple[Any, ...]]] = {}
        for number, reference in enumerate(table.foreign_keys):
            if reference.deferred or self._workspace.defers_keys:
                return False
            columns = [op[2] if table.slots[c] < 0 else op[3][table.slots[c]] for c in reference.columns]
            wanted[table.id, number] = {v for v in set(zip(*columns, strict=True)) if None not in v}
        self._wanted = wanted
        return True

    def _parent_changed(
        self,
        parent: Table,
        child: Table,
        reference: ForeignKey,
        was: tuple[int, Sequence[Any]],
        now: tuple[int, Sequence[Any] | None],
    ) -> None:
        """Does the action of a foreign key whose parent's row was changed or removed."""
        workspace, related, after = self._workspace, self._related, now[1]
        index, columns = keys.key_of(workspace.schema, parent, child, reference)
        old = keys.values_of(parent, columns, *was)
        if None in old:
            return
        new = None if after is None else keys.values_of(parent, columns, now[0], after)
        if new == old:
            return
        keys.claim(workspace, parent, index, old, shared=False)
        keys.same_children(workspace, child, reference, old)
        action = reference.on_delete if after is None else reference.on_update
        if action == "NO ACTION":
            self._due.append(Due(child.id, reference, None, old, child.foreign_keys.index(reference)))
            return
        found = keys.child_keys(workspace, child, reference, old)
        if action == "RESTRICT" and (
            found or (child.id == parent.id and _goes_later(workspace, child, reference, was, old))
        ):
            raise keys.violation(child, reference)
        if action == "CASCADE" and new is None:
            deletes = related.triggers(child, "DELETE")
            delete_rows(workspace, child, [(child_key,) for child_key in found], deletes)
            return
        values: Sequence[Any] = new or ()
        if action == "SET NULL":
            values = [None] * len(reference.columns)
        elif action == "SET DEFAULT":
            values = [_default(child, c) for c in reference.columns]
            # it may be what it was
            number = child.foreign_keys.index(reference)
            self._due.extend(Due(child.id, reference, child_key, None, number) for child_key in found)
        updater = Updater(child, reference.columns, related.rules(child, frozenset(reference.columns)))
        updates = related.triggers(child, "UPDATE")
        updater.triggers = updates and updates.of_columns(frozenset(reference.columns))
        outer, workspace.conflict = workspace.conflict, "ABORT"  # also in the triggers that it fires, as in SQLite
        try:
            for child_key in found:
                updater.update(workspace, [(child_key, *values)])
        finally:
            workspace.conflict = outer


def _goes_later(
    workspace: Workspace, table: Table, reference: ForeignKey, was: tuple[int, Sequence[Any]], values: tuple[Any, ...]
) -> bool:
    """Whether a row that refers to ``values`` is removed by the same statement, but behind the row ``was``.

    RESTRICT is tested row by row, as if the others were still there.
    """
    for op in reversed(workspace.ops):
        if op[0] in OF_ROWS and op[1] == table.id:
            removed = [(key, before) for key, before, after in images(op) if after is None and before is not None]
            for key, before in reversed(removed):
                if key == was[0] and before == was[1]:
                    return False
                if keys.values_of(table, reference.columns, key, before) == values:
                    return True
    return False


def _default(table: Table, position: int) -> Any:
    column = table.columns[position]
    if column.default_now:
        return current_timestamp() if column.default_now == "current_timestamp" else current_date()
    return column.default
