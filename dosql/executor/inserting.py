"""INSERT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from dosql.errors import ConstraintViolation
from dosql.executor.changes import (
    BULK_ROWS_MIN,
    Change,
    Keep,
    columns_of,
    default_of,
    fill_nulls,
    make_way,
    next_key,
    note_key,
    null_violation,
    resolved,
    row_key,
    stored_as,
    stored_column,
)
from dosql.executor.rules import RowDefaults, RowRules, stored_value
from dosql.executor.triggers import EventTriggers
from dosql.executor.updating import Updater
from dosql.plan.expr import ROW_KEY
from dosql.schema import Table
from dosql.storage import Workspace
from dosql.storage.table_writer import TableWriter


@dataclass(slots=True)
class Upserter:
    """ON CONFLICT.

    Attributes:
        keys: What it is for: ids of UNIQUE indexes, 0 for the row key; None is any.
        updater: Sets the new values.
        update: Gives row key and new values, from the old row with the one that was not inserted behind it;
            nothing where WHERE does not hold. None: DO NOTHING.
    """

    keys: frozenset[int] | None
    updater: Updater
    update: Callable[..., list[tuple[Any, ...]]] | None


class Inserter:
    """INSERT into one table with given target columns.

    Args:
        table: The table.
        targets: Column positions of the values, ROW_KEY for a hidden row id; empty for DEFAULT VALUES.
        conflict: None, ABORT, IGNORE, REPLACE, FAIL or ROLLBACK.
        rules: CHECK constraints and generated columns.

    Attributes:
        defaults: Of columns that are no targets and whose default is an expression.
        upserts: ON CONFLICT clauses, in order.
        triggers: Of INSERT.
        deletes: Triggers of DELETE, for what REPLACE removes.
        key_conflicts: What constraints themselves say, by id of the UNIQUE index, 0 for the row key.
    """

    def __init__(self, table: Table, targets: Sequence[int], conflict: str | None, rules: RowRules | None) -> None:
        self._table = table
        self._conflict = conflict
        self._rules = rules
        self.defaults: RowDefaults | None = None
        self.upserts: list[Upserter] = []
        self.triggers: EventTriggers | None = None
        self.deletes: EventTriggers | None = None
        self.key_conflicts: dict[int, str] = {}
        self._completes = rules is not None and rules.completes
        places = {column: i for i, column in enumerate(targets)}
        self._key_place = places.get(table.key_column if table.key_column >= 0 else ROW_KEY)
        self._columns = [(table.columns[c], places.get(c), table.columns[c].store) for c in table.stored]
        self._null_conflicts = any(c.null_conflict for c in table.columns)
        self._filled = [(i, c) for i, (c, _, _) in enumerate(self._columns) if not (c.nullable or c.generated)]

    @property
    def plain(self) -> bool:
        """Whether nothing happens but that rows go in, or the first bad one ends it all."""
        return self.simple and not self.upserts

    @property
    def simple(self) -> bool:
        """Whether it is plain but for ON CONFLICT."""
        return self.lone and self.triggers is None and self._conflict in (None, "ABORT")

    @property
    def lone(self) -> bool:
        """Whether it is simple but for triggers, OR REPLACE and the like."""
        special = self._completes or self._null_conflicts or self.key_conflicts
        return not (special or self._table.autoincrement)

    def insert(
        self, workspace: Workspace, rows: Sequence[Sequence[Any]], params: Sequence[Any] = (), *, keep: Keep = None
    ) -> Change:
        """Inserts rows of values for the targets.

        Args:
            workspace: Where.
            rows: Values of the targets.
            params: The statement's parameters, for ON CONFLICT DO UPDATE.
            keep: Is told each row, for RETURNING.

        Raises:
            ConstraintViolation: NOT NULL, CHECK, UNIQUE or PRIMARY KEY fails.
            TypeMismatch: A value does not fit its column.
        """
        writer = workspace.writer(self._table)
        if len(rows) >= BULK_ROWS_MIN and keep is None and self.plain and workspace.conflict is None:
            return self._insert_bulk(workspace, writer, rows)
        change = Change()
        conflict = workspace.conflict or self._conflict
        given = None if self.defaults is None else iter(self.defaults.values(workspace, len(rows)))
        plain = self.plain and self._rules is None and workspace.conflict is None
        highest = 0  # under AUTOINCREMENT one that was not used is not given again
        for values in rows:
            key, stored = self._row(workspace, writer, values)
            if self._table.autoincrement:
                if self._key_place is None or values[self._key_place] is None:
                    key = max(key, highest + 1)
                highest = max(highest, key)
            if given is not None:
                stored = self._with_defaults(stored, next(given))
            if plain:
                self._check_null(stored)
                writer.insert(key, stored)
            else:
                try:
                    row = (key, stored)
                    done = self._insert_one(workspace, row, values, params, change, conflict, keep=keep)
                except ConstraintViolation as e:
                    raise e if e.resolution else resolved(e, conflict) from None
                if done is None:
                    continue
                key, stored = done
                if self._table.autoincrement:
                    highest = max(highest, key)
                writer = workspace.writer(self._table)
            change.count += 1
            change.last_key = key
            if keep is not None:
                keep((key, stored))
        if highest:
            note_key(workspace, self._table, highest)
        return change

    def _insert_one(
        self,
        workspace: Workspace,
        row: tuple[int, tuple[Any, ...]],
        values: Sequence[Any],
        params: Sequence[Any],
        change: Change,
        conflict: str | None,
        *,
        keep: Keep = None,
    ) -> tuple[int, tuple[Any, ...]] | None:
        """Inserts a row with all that belongs to it; returns it, or None where it was left out."""
        triggers = self.triggers
        if triggers is not None and triggers.before:
            given = self._key_place is not None and values[self._key_place] is not None
            rows = workspace.writer(self._table).count
            seen = row if given else (-1, row[1])  # a row's key is not known yet
            if self._completes and self._rules is not None:
                seen = self._rules.complete(workspace, [seen])[0]
            if not triggers.run(workspace, triggers.before, None, seen, conflict):
                return None
            writer = workspace.writer(self._table)
            again = self._table.autoincrement or writer.count != rows or writer.row_at(row[0]) is not None
            if not given and again:  # they may have inserted rows of their own
                row = (next_key(workspace, writer, self._table), row[1])
        writer = workspace.writer(self._table)
        if None in row[1]:
            values_now = list(row[1])
            if not fill_nulls(self._table, self._filled, values_now, conflict):
                return None
            row = (row[0], tuple(values_now))
        if self._rules is not None:
            if self._completes:
                row = self._rules.complete(workspace, [row])[0]
                self._check_null(row[1])
            if conflict == "IGNORE" and not self._rules.hold(workspace, row):
                return None
            self._rules.verify(workspace, [row])
        key, stored = row
        if self.upserts and self._upserted(workspace, writer, key, stored, params, change, keep=keep):
            return None
        resolves = conflict in ("IGNORE", "REPLACE") or (self.key_conflicts and not conflict)
        if resolves and not make_way(workspace, self._table, row, conflict or self.key_conflicts, self.deletes):
            return None
        writer.insert(key, stored)
        if triggers is not None:
            triggers.run(workspace, triggers.after, None, row, conflict)
        return row

    def _row(self, workspace: Workspace, writer: TableWriter, values: Sequence[Any]) -> tuple[int, tuple[Any, ...]]:
        given = None if self._key_place is None else values[self._key_place]
        if given is not None:
            key = row_key(self._table, given)
        else:
            key = next_key(workspace, writer, self._table) if self._table.autoincrement else writer.next_key()
        stored = []
        for column, place, store in self._columns:
            if place is None:
                stored.append(default_of(column))
                continue
            value = values[place]
            stored.append(
                None if value is None or value != value else stored_as(store, value, self._table, column.name)
            )
        return key, tuple(stored)

    def _with_defaults(self, stored: Sequence[Any], values: Sequence[Any]) -> tuple[Any, ...]:
        """Returns a row with the values of its defaults that are expressions."""
        assert self.defaults is not None
        table, out = self._table, list(stored)
        for position, value in zip(self.defaults.columns, values, strict=True):
            out[table.slots[position]] = stored_value(table, position, value)
        return tuple(out)

    def _upserted(
        self,
        workspace: Workspace,
        writer: TableWriter,
        key: int,
        stored: tuple[Any, ...],
        params: Sequence[Any],
        change: Change,
        *,
        keep: Keep = None,
    ) -> bool:
        """Does what ON CONFLICT says, if something is in the row's way. Returns whether it did."""
        conflicts = writer.conflicts(key, stored)
        for upsert in self.upserts:
            for index, other in conflicts:
                if upsert.keys is not None and (0 if index is None else index.id) not in upsert.keys:
                    continue
                if upsert.update is None:
                    return True
                before = writer.row_at(other)
                assert before is not None
                slots = self._table.slots
                excluded = tuple(key if slot < 0 else stored[slot] for slot in slots)
                rows = upsert.update(workspace, params, given=[(other, (*before, *excluded))])
                outer, workspace.conflict = workspace.conflict, "ABORT"  # SQLite: DO UPDATE fails as any UPDATE
                try:
                    done = upsert.updater.update(workspace, rows, keep=keep)
                finally:
                    workspace.conflict = outer
                change.count += done.count
                return True
        return False

    def _check_null(self, stored: Sequence[Any]) -> None:
        for (column, _, _), value in zip(self._columns, stored, strict=True):
            if value is None and not column.nullable:
                raise null_violation(self._table, column.name)

    def _insert_bulk(self, workspace: Workspace, writer: TableWriter, rows: Sequence[Sequence[Any]]) -> Change:
        """Inserts many rows by column; values of one type are checked at the speed of C."""
        count = len(rows)
        given = columns_of(rows)
        columns: list[list[Any]] = []
        made: dict[str, Sequence[Any]] = {}
        if self.defaults is not None:
            names = [self._table.columns[position].name for position in self.defaults.columns]
            made = dict(zip(names, zip(*self.defaults.values(workspace, count), strict=True), strict=True))
        for column, place, store in self._columns:
            if place is None and column.name in made:
                values = stored_column(column.type, made[column.name], store, self._table, column.name)
            elif place is None:
                values = [default_of(column)] * count
            else:
                values = stored_column(column.type, given[place], store, self._table, column.name)
            if not column.nullable and None in values:
                raise null_violation(self._table, column.name)
            columns.append(values)
        keys: Sequence[int]
        if self._key_place is None:
            keys = writer.take_keys(count)
        else:
            keys = self._given_keys(writer, given[self._key_place])
        if self._rules is not None:
            pairs = zip(keys, zip(*columns, strict=True) if columns else [()] * count, strict=True)
            self._rules.verify(workspace, list(pairs))
        if self._key_place is not None and any(a >= b for a, b in pairwise(keys)):
            for key, stored in zip(keys, zip(*columns, strict=True) if columns else [()] * count, strict=True):
                writer.insert(key, stored)
            return Change(count, keys[-1])
        writer.insert_many(keys, columns)
        return Change(count, keys[-1])

    def _given_keys(self, writer: TableWriter, given: Sequence[Any]) -> list[int]:
        """Returns the keys; where one is NULL, the next above the highest so far."""
        if None not in given:
            return [row_key(self._table, value) for value in given]
        first = writer.next_key()
        out: list[int] = []
        highest = None if not writer.count and first == 1 else first - 1
        for value in given:
            if value is not None:
                key = row_key(self._table, value)
            else:
                key = 1 if highest is None else highest + 1
            highest = key if highest is None else max(highest, key)
            out.append(key)
        return out
