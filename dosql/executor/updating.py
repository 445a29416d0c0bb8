"""UPDATE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from dosql.errors import ConstraintViolation, TypeMismatch
from dosql.executor.changes import (
    BULK_ROWS_MIN,
    Change,
    Keep,
    columns_of,
    fill_nulls,
    make_way,
    null_violation,
    resolved,
    row_key,
    stored_as,
    stored_column,
)
from dosql.executor.rules import RowRules
from dosql.executor.triggers import EventTriggers
from dosql.plan.expr import ROW_KEY
from dosql.schema import Table
from dosql.storage import Workspace
from dosql.storage.table_writer import TableWriter
from dosql.storage.violations import taken


class Updater:
    """UPDATE of one table: rows of (key, new values of ``targets``).

    Args:
        table: The table.
        targets: Positions of the columns that are set.
        rules: CHECK constraints and generated columns.
        conflict: None, ABORT, IGNORE, REPLACE, FAIL or ROLLBACK.

    Attributes:
        triggers: Of UPDATE of these columns.
        deletes: Triggers of DELETE, for what REPLACE removes.
        key_conflicts: What constraints themselves say, by id of the UNIQUE index, 0 for the row key.
        again: Gives key and new values of a row that is handed to it: triggers may have changed it since the
            statement began.
    """

    def __init__(
        self, table: Table, targets: Sequence[int], rules: RowRules | None, conflict: str | None = None
    ) -> None:
        self._table = table
        self._rules = rules
        self._conflict = conflict
        self.triggers: EventTriggers | None = None
        self.deletes: EventTriggers | None = None
        self.key_conflicts: dict[int, str] = {}
        self.again: Callable[..., list[tuple[Any, ...]]] | None = None
        self._completes = rules is not None and rules.completes
        self._targets: list[tuple[int, Any, Callable[[Any], Any]]] = []
        self._key_place: int | None = None
        for place, position in enumerate(targets, 1):
            if position in (table.key_column, ROW_KEY):
                self._key_place = place
            else:
                column = table.columns[position]
                self._targets.append((table.slots[position], (column, place), column.store))
        self._null_conflicts = any(column.null_conflict for _, (column, _), _ in self._targets)
        self._filled = [(slot, column) for slot, (column, _), _ in self._targets if not column.nullable]

    @property
    def sets_values(self) -> bool:
        """Whether nothing happens but that columns get values, or the first bad one ends it all."""
        return self.triggers is None and self.lone

    @property
    def lone(self) -> bool:
        """Whether it only sets values, but for triggers."""
        special = self._completes or self._null_conflicts or self.key_conflicts or self._key_place is not None
        return not special and self._conflict in (None, "ABORT")

    def update(
        self, workspace: Workspace, rows: Sequence[Sequence[Any]], params: Sequence[Any] = (), *, keep: Keep = None
    ) -> Change:
        """Applies the new values.

        Raises:
            ConstraintViolation: NOT NULL, CHECK, UNIQUE or PRIMARY KEY fails.
            TypeMismatch: A value does not fit its column.
        """
        bulk = self.sets_values and keep is None and workspace.conflict is None and workspace.follow is None
        if len(rows) >= BULK_ROWS_MIN and bulk:
            return self._update_bulk(workspace, workspace.writer(self._table), rows)
        change = Change()
        conflict = workspace.conflict or self._conflict
        for row in rows:
            before = workspace.writer(self._table).row_at(row[0])
            if before is None:  # OR REPLACE, or a trigger, has removed it
                continue
            try:
                if self.again is not None:
                    row = self.again(workspace, params, given=[(row[0], before)])[0]
                done = self._update_one(workspace, row, before, conflict)
            except ConstraintViolation as e:
                if conflict == "IGNORE" and not e.resolution:
                    continue
                raise e if e.resolution else resolved(e, conflict) from None
            if done is None:
                continue
            change.count += 1
            if keep is not None:
                keep(done)
        return change

    def _update_one(
        self, workspace: Workspace, row: Sequence[Any], before: tuple[Any, ...], conflict: str | None
    ) -> tuple[int, tuple[Any, ...]] | None:
        """Updates a row with all that belongs to it; returns it, or None where it was left as it is."""
        key: int = row[0]
        triggers = self.triggers
        first = triggers is not None and bool(triggers.before)  # NOT NULL is tested behind them
        made = self._after(row, before, conflict, tested=not first)
        if made is None:
            return None
        if self._completes and self._rules is not None:
            made = self._rules.complete(workspace, [made])[0]
        if triggers is not None and first:
            if not triggers.run(workspace, triggers.before, (key, before), made, conflict):
                return None
            now = workspace.writer(self._table).row_at(key)
            if now is None:
                return None
            again = self._after(row, now, conflict)  # what they have changed stays; what is set here goes on top
            if again is None:
                return None
            before, made = now, again
            if self._completes and self._rules is not None:
                made = self._rules.complete(workspace, [made])[0]
        self._check_generated(made[1])
        new_key, after = made
        if self._rules is not None:
            self._rules.verify(workspace, [made])
        writer = workspace.writer(self._table)
        resolves = conflict in ("IGNORE", "REPLACE") or (self.key_conflicts and not conflict)
        if resolves and not make_way(workspace, self._table, made, conflict or self.key_conflicts, self.deletes, key):
            return None
        if resolves and (workspace.follow is not None or self.deletes is not None):
            now = writer.row_at(key)
            if now is None:  # it went with the rows that were in the way
                if self.deletes is not None and workspace.recursive_triggers:
                    raise ConstraintViolation("constraint failed: a trigger removed the row that is updated")
                return None
            before = now
        if new_key == key:
            writer.update(key, before, after)
        else:
            for index, other in writer.conflicts(new_key, after):  # before the row goes, which OR FAIL would keep so
                if other != key:
                    raise taken(self._table, index)
            workspace.moved.add(len(workspace.ops))
            writer.delete(key, before)
            writer.insert(new_key, after)
        if workspace.follow is not None:
            workspace.follow()
        if triggers is not None:
            triggers.run(workspace, triggers.after, (key, before), made, conflict)
        return made

    def _check_generated(self, stored: Sequence[Any]) -> None:
        table = self._table
        for position in table.generated:
            column = table.columns[position]
            if not column.nullable and stored[table.slots[position]] is None:
                raise null_violation(table, column.name)

    def _after(
        self, row: Sequence[Any], before: Sequence[Any], given: str | None, *, tested: bool = True
    ) -> tuple[int, tuple[Any, ...]] | None:
        """Returns key and stored columns of a row as it will be; None where it is to be left alone.

        Args:
            row: Key and new values.
            before: The row as it is.
            given: What the statement says of conflicts.
            tested: NOT NULL holds, or is resolved.
        """
        if self._key_place is not None and row[self._key_place] is None:
            raise TypeMismatch("datatype mismatch: a row's key cannot be NULL")
        values = list(before)
        for slot, (column, place), store in self._targets:
            value = row[place]
            if value is None or value != value:
                values[slot] = None
            else:
                values[slot] = stored_as(store, value, self._table, column.name)
        if tested and not fill_nulls(self._table, self._filled, values, given):
            return None
        key: int = row[0]
        if self._key_place is not None:
            key = row_key(self._table, row[self._key_place])
        return key, tuple(values)

    def _update_bulk(self, workspace: Workspace, writer: TableWriter, rows: Sequence[Sequence[Any]]) -> Change:
        """Updates many rows by column."""
        given = columns_of(sorted(rows, key=itemgetter(0)))
        changes: list[tuple[int, list[Any]]] = []
        for slot, (column, place), store in self._targets:
            values = stored_column(column.type, given[place], store, self._table, column.name)
            if not column.nullable and None in values:
                raise null_violation(self._table, column.name)
            changes.append((slot, values))
        if self._rules is not None:
            afters = []
            for at, key in enumerate(given[0]):
                after = list(writer.row_at(key) or ())
                for slot, values in changes:
                    after[slot] = values[at]
                afters.append((key, after))
            self._rules.verify(workspace, afters)
        writer.update_many(given[0], changes)
        return Change(len(rows))
