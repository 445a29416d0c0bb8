"""INSERT, UPDATE and DELETE on a workspace.

A statement reads what stood when it began: its query is run to the end before the first row
is changed. Rows are checked before they are touched; a statement of several rows is undone by
the caller's mark when one of them fails.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter
from typing import Any, TypeAlias

from dosql.errors import ConstraintViolation, TypeMismatch
from dosql.executor.constraints import RowChecks, RowDefaults
from dosql.functions.scalar import current_date, current_timestamp
from dosql.plan.expr import ROW_KEY
from dosql.schema import Table
from dosql.storage import Workspace
from dosql.storage.workspace import TableWriter, key_violation
from dosql.types.sqltypes import SqlType
from dosql.types.storing import storer

Row: TypeAlias = tuple[int, Sequence[Any]]

_BULK_ROWS_MIN = 8


@dataclass(slots=True)
class Change:
    """What a statement did. ``rows`` are filled for RETURNING."""

    count: int = 0
    last_key: int | None = None
    rows: list[Row] = field(default_factory=list)


@dataclass(slots=True)
class Upserter:
    """ON CONFLICT.

    Attributes:
        columns: The key that it is for; None is any.
        updater: Sets the new values.
        update: Gives row key and new values, from the old row with the one that was not inserted behind it;
            nothing where WHERE does not hold. None: DO NOTHING.
    """

    columns: frozenset[int] | None
    updater: Updater
    update: Callable[..., list[tuple[Any, ...]]] | None


class Inserter:
    """INSERT into one table with given target columns.

    Args:
        table: The table.
        targets: Column positions of the values, ROW_KEY for a hidden row id; empty for DEFAULT VALUES.
        conflict: None, IGNORE or REPLACE.
        checks: CHECK constraints.

    Attributes:
        defaults: Of columns that are no targets and whose default is an expression.
        upserts: ON CONFLICT clauses, in order.
    """

    def __init__(self, table: Table, targets: Sequence[int], conflict: str | None, checks: RowChecks | None) -> None:
        self._table = table
        self._conflict = conflict
        self._checks = checks
        self.defaults: RowDefaults | None = None
        self.upserts: list[Upserter] = []
        places = {column: i for i, column in enumerate(targets)}
        self._key_place = places.get(table.key_column if table.key_column >= 0 else ROW_KEY)
        self._columns = [(table.columns[c], places.get(c), storer(table.columns[c].type)) for c in table.stored]

    def insert(
        self, workspace: Workspace, rows: Sequence[Sequence[Any]], params: Sequence[Any] = (), *, keep_rows: bool
    ) -> Change:
        """Inserts rows of values for the targets.

        Args:
            workspace: Where.
            rows: Values of the targets.
            params: The statement's parameters, for ON CONFLICT DO UPDATE.
            keep_rows: Tell the rows, for RETURNING.

        Raises:
            ConstraintViolation: NOT NULL, CHECK, UNIQUE or PRIMARY KEY fails.
            TypeMismatch: A value does not fit its column.
        """
        writer = workspace.writer(self._table)
        if len(rows) >= _BULK_ROWS_MIN and self._conflict is None and not keep_rows and not self.upserts:
            return self._insert_bulk(workspace, writer, rows)
        change = Change()
        given = None if self.defaults is None else iter(self.defaults.values(workspace, len(rows)))
        for values in rows:
            key, stored = self._row(writer, values)
            if given is not None:
                stored = self._with_defaults(stored, next(given))
            if self._conflict != "IGNORE":
                self._check_null(stored)
            if self._checks is not None:
                if self._conflict == "IGNORE" and not self._checks.hold(workspace, (key, stored)):
                    continue
                self._checks.verify(workspace, [(key, stored)])
            if self.upserts and self._upserted(workspace, writer, key, stored, params, change, keep_rows=keep_rows):
                continue
            if self._conflict is not None and not self._make_way(writer, key, stored):
                continue
            writer.insert(key, stored)
            change.count += 1
            change.last_key = key
            if keep_rows:
                change.rows.append((key, stored))
        return change

    def _row(self, writer: TableWriter, values: Sequence[Any]) -> tuple[int, tuple[Any, ...]]:
        given = None if self._key_place is None else values[self._key_place]
        key = writer.next_key() if given is None else _key(self._table, given)
        stored = []
        for column, place, store in self._columns:
            if place is None:
                stored.append(_default(column))
                continue
            value = values[place]
            stored.append(None if value is None or value != value else _stored(store, value, self._table, column.name))
        return key, tuple(stored)

    def _with_defaults(self, stored: Sequence[Any], values: Sequence[Any]) -> tuple[Any, ...]:
        """Returns a row with the values of its defaults that are expressions."""
        assert self.defaults is not None
        table, out = self._table, list(stored)
        for position, value in zip(self.defaults.columns, values, strict=True):
            column = table.columns[position]
            if value is not None:
                value = _stored(storer(column.type), value, table, column.name)
            out[table.slots[position]] = value
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
        keep_rows: bool,
    ) -> bool:
        """Does what ON CONFLICT says, if something is in the row's way. Returns whether it did."""
        conflicts = writer.conflicts(key, stored)
        for upsert in self.upserts:
            for columns, other in conflicts:
                if upsert.columns is not None and upsert.columns != frozenset(columns):
                    continue
                if upsert.update is None:
                    return True
                before = writer.row_at(other)
                assert before is not None
                slots = self._table.slots
                excluded = tuple(key if slot < 0 else stored[slot] for slot in slots)
                rows = upsert.update(workspace, params, given=[(other, (*before, *excluded))])
                done = upsert.updater.update(workspace, rows, keep_rows=keep_rows)
                change.count += done.count
                change.rows += done.rows
                return True
        return False

    def _check_null(self, stored: Sequence[Any]) -> None:
        for (column, _, _), value in zip(self._columns, stored, strict=True):
            if value is None and not column.nullable:
                raise null_violation(self._table, column.name)

    def _make_way(self, writer: TableWriter, key: int, stored: tuple[Any, ...]) -> bool:
        """IGNORE: whether the row can go in. REPLACE: removes the rows in its way."""
        if self._conflict == "REPLACE":
            for other in sorted(writer.conflicting_keys(key, stored)):
                before = writer.row_at(other)
                assert before is not None
                writer.delete(other, before)
            return True
        if any(v is None and not c.nullable for (c, _, _), v in zip(self._columns, stored, strict=True)):
            return False
        return not writer.conflicting_keys(key, stored)

    def _insert_bulk(self, workspace: Workspace, writer: TableWriter, rows: Sequence[Sequence[Any]]) -> Change:
        """Inserts many rows by column; values of one type are checked at the speed of C."""
        count = len(rows)
        given = list(zip(*rows, strict=True))
        columns: list[list[Any]] = []
        made: dict[str, Sequence[Any]] = {}
        if self.defaults is not None:
            names = [self._table.columns[position].name for position in self.defaults.columns]
            made = dict(zip(names, zip(*self.defaults.values(workspace, count), strict=True), strict=True))
        for column, place, store in self._columns:
            if place is None and column.name in made:
                values = _stored_column(column.type, made[column.name], store, self._table, column.name)
            elif place is None:
                values = [_default(column)] * count
            else:
                values = _stored_column(column.type, given[place], store, self._table, column.name)
            if not column.nullable and None in values:
                raise null_violation(self._table, column.name)
            columns.append(values)
        keys: Sequence[int]
        if self._key_place is None:
            keys = writer.take_keys(count)
        else:
            keys = self._given_keys(writer, given[self._key_place])
        if self._checks is not None:
            pairs = zip(keys, zip(*columns, strict=True) if columns else [()] * count, strict=True)
            self._checks.verify(workspace, list(pairs))
        if self._key_place is not None and any(a >= b for a, b in pairwise(keys)):
            for key, stored in zip(keys, zip(*columns, strict=True) if columns else [()] * count, strict=True):
                writer.insert(key, stored)
            return Change(count, keys[-1])
        writer.insert_many(keys, columns)
        return Change(count, keys[-1])

    def _given_keys(self, writer: TableWriter, given: Sequence[Any]) -> list[int]:
        """Returns the keys; where one is NULL, the next above the highest so far."""
        if None not in given:
            return [_key(self._table, value) for value in given]
        first = writer.next_key()
        out: list[int] = []
        highest = first - 1
        for value in given:
            key = highest + 1 if value is None else _key(self._table, value)
            highest = max(highest, key)
            out.append(key)
        return out


class Updater:
    """UPDATE of one table: rows of (key, new values of ``targets``).

    Args:
        table: The table.
        targets: Positions of the columns that are set.
        checks: CHECK constraints.
        conflict: None, IGNORE or REPLACE.
    """

    def __init__(
        self, table: Table, targets: Sequence[int], checks: RowChecks | None, conflict: str | None = None
    ) -> None:
        self._table = table
        self._checks = checks
        self._conflict = conflict
        self._targets: list[tuple[int, Any, Callable[[Any], Any]]] = []
        self._key_place: int | None = None
        for place, position in enumerate(targets, 1):
            if position in (table.key_column, ROW_KEY):
                self._key_place = place
            else:
                column = table.columns[position]
                self._targets.append((table.slots[position], (column, place), storer(column.type)))

    def update(self, workspace: Workspace, rows: Sequence[Sequence[Any]], *, keep_rows: bool) -> Change:
        """Applies the new values.

        Raises:
            ConstraintViolation: As :meth:`Inserter.insert`.
            TypeMismatch: A value does not fit its column.
        """
        writer = workspace.writer(self._table)
        if len(rows) >= _BULK_ROWS_MIN and self._key_place is None and not keep_rows and self._conflict is None:
            return self._update_bulk(workspace, writer, rows)
        change = Change()
        for row in rows:
            key = row[0]
            before = writer.row_at(key)
            if before is None:  # OR REPLACE has removed it
                continue
            try:
                new_key, after = self._after(row, before)
                if self._checks is not None:
                    self._checks.verify(workspace, [(new_key, after)])
            except ConstraintViolation:
                if self._conflict == "IGNORE":
                    continue
                raise
            if self._conflict is not None and not self._make_way(writer, key, new_key, after):
                continue
            if new_key == key:
                writer.update(key, before, after)
            else:
                if new_key in writer.conflicting_keys(new_key, after):
                    raise key_violation(self._table)
                workspace.moved.add(len(workspace.ops))
                writer.delete(key, before)
                writer.insert(new_key, after)
            change.count += 1
            if keep_rows:
                change.rows.append((new_key, after))
        return change

    def _after(self, row: Sequence[Any], before: Sequence[Any]) -> tuple[int, tuple[Any, ...]]:
        """Returns key and stored columns of a row as it will be."""
        values = list(before)
        for slot, (column, place), store in self._targets:
            value = row[place]
            if value is None or value != value:
                if not column.nullable:
                    raise null_violation(self._table, column.name)
                values[slot] = None
            else:
                values[slot] = _stored(store, value, self._table, column.name)
        key: int = row[0]
        if self._key_place is not None:
            if row[self._key_place] is None:
                raise null_violation(self._table, "rowid")
            key = _key(self._table, row[self._key_place])
        return key, tuple(values)

    def _make_way(self, writer: TableWriter, key: int, new_key: int, after: Sequence[Any]) -> bool:
        """IGNORE: whether the row can be changed. REPLACE: removes the rows in its way."""
        others = sorted(writer.conflicting_keys(new_key, after) - {key})
        if self._conflict == "IGNORE":
            return not others
        for other in others:
            found = writer.row_at(other)
            assert found is not None
            writer.delete(other, found)
        return True

    def _update_bulk(self, workspace: Workspace, writer: TableWriter, rows: Sequence[Sequence[Any]]) -> Change:
        """Updates many rows by column."""
        given = list(zip(*sorted(rows, key=itemgetter(0)), strict=True))
        changes: list[tuple[int, list[Any]]] = []
        for slot, (column, place), store in self._targets:
            values = _stored_column(column.type, given[place], store, self._table, column.name)
            if not column.nullable and None in values:
                raise null_violation(self._table, column.name)
            changes.append((slot, values))
        if self._checks is not None:
            afters = []
            for at, key in enumerate(given[0]):
                after = list(writer.row_at(key) or ())
                for slot, values in changes:
                    after[slot] = values[at]
                afters.append((key, after))
            self._checks.verify(workspace, afters)
        writer.update_many(given[0], changes)
        return Change(len(rows))


def delete_rows(workspace: Workspace, table: Table, keys: Sequence[Sequence[Any]], *, keep_rows: bool) -> Change:
    """Deletes the rows of ``keys``, each a tuple that begins with the key."""
    writer = workspace.writer(table)
    if len(keys) >= _BULK_ROWS_MIN and not keep_rows:
        writer.delete_many(sorted([row[0] for row in keys]))
        return Change(len(keys))
    change = Change()
    for row in keys:
        before = writer.row_at(row[0])
        assert before is not None
        writer.delete(row[0], before)
        change.count += 1
        if keep_rows:
            change.rows.append((row[0], before))
    return change


def null_violation(table: Table, column: str) -> ConstraintViolation:
    """Returns the error of NOT NULL, worded as SQLite's."""
    return ConstraintViolation(f"NOT NULL constraint failed: {table.name}.{column}")


_integer = storer(SqlType.INTEGER)


def _key(table: Table, value: Any) -> int:
    try:
        return _integer(value)  # type: ignore[no-any-return]
    except TypeMismatch as e:
        name = table.columns[table.key_column].name if table.key_column >= 0 else "rowid"
        raise TypeMismatch(f"{e.message} ({table.name}.{name})") from None


def _stored(store: Callable[[Any], Any], value: Any, table: Table, column: str) -> Any:
    try:
        return store(value)
    except TypeMismatch as e:
        raise TypeMismatch(f"{e.message} ({table.name}.{column})", hint=e.hint) from None


def _default(column: Any) -> Any:
    if column.default_now:
        text = current_timestamp() if column.default_now == "current_timestamp" else current_date()
        return storer(column.type)(text)
    return column.default


_NONE = type(None)


def _stored_column(
    sql_type: SqlType, values: Sequence[Any], store: Callable[[Any], Any], table: Table, name: str
) -> list[Any]:
    """Returns a column's stored values; where all have the column's own type, without a call for each."""
    types = set(map(type, values))
    nullable = _NONE in types
    types.discard(_NONE)
    if sql_type is SqlType.INTEGER and types <= {int}:
        try:
            array("q", [v for v in values if v is not None] if nullable else values)
            return list(values)
        except OverflowError:
            pass  # the slow way names the value
    elif sql_type is SqlType.REAL and types <= {float}:
        return [None if v != v else v for v in values] if any(v != v for v in values) else list(values)
    elif sql_type is SqlType.TEXT and types <= {str}:
        try:
            "".join([v for v in values if v is not None]).encode()
            return list(values)
        except UnicodeEncodeError:
            pass
    elif sql_type is SqlType.BLOB and types <= {bytes}:
        return list(values)
    return [None if v is None or v != v else _stored(store, v, table, name) for v in values]
