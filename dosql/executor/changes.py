"""What INSERT, UPDATE and DELETE share, and DELETE itself.

A statement reads what stood when it began: its query is run to the end before the first row
is changed. Rows are checked before they are touched; a statement of several rows is undone by
the caller's mark when one of them fails.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

from dosql.errors import ConstraintViolation, TypeMismatch
from dosql.executor.triggers import EventTriggers
from dosql.functions.scalar import current_date, current_timestamp, integer
from dosql.schema import Column, Table
from dosql.storage import Workspace
from dosql.storage.table_writer import TableWriter
from dosql.storage.violations import taken
from dosql.types.sqltypes import SqlType
from dosql.types.storing import storer

Row: TypeAlias = tuple[int, Sequence[Any]]
Keep: TypeAlias = Callable[[Row], None] | None
"""Is told each row when it has been changed, for RETURNING."""

BULK_ROWS_MIN = 8


class Change:
    """What a statement did.

    Attributes:
        count: Rows inserted, updated or deleted.
        last_key: Of the last row inserted.
        returned: Of RETURNING.
    """

    __slots__ = ("count", "last_key", "returned")

    def __init__(self, count: int = 0, last_key: int | None = None) -> None:
        self.count = count
        self.last_key = last_key
        self.returned: list[tuple[Any, ...]] = []


def delete_rows(
    workspace: Workspace,
    table: Table,
    keys: Sequence[Sequence[Any]],
    triggers: EventTriggers | None = None,
    *,
    keep: Keep = None,
) -> Change:
    """Deletes the rows of ``keys``, each a tuple that begins with the key."""
    writer = workspace.writer(table)
    follow = workspace.follow
    if len(keys) >= BULK_ROWS_MIN and keep is None and triggers is None and follow is None:
        writer.delete_many(sorted([row[0] for row in keys]))
        return Change(len(keys))
    change = Change()
    for row in keys if triggers is None else sorted(keys, key=itemgetter(0)):  # they may see which went first
        before = writer.row_at(row[0]) if triggers is not None else writer.take(row[0])
        if before is None:  # a trigger has removed it
            continue
        if triggers is not None and not delete_row(workspace, table, (row[0], before), triggers):
            continue
        if triggers is None and follow is not None:
            follow()
        change.count += 1
        if keep is not None:
            keep((row[0], before))
    return change


def delete_row(workspace: Workspace, table: Table, row: Row, triggers: EventTriggers) -> bool:
    """Deletes a row with what triggers do; returns False where one said that it stays."""
    outer, workspace.conflict = workspace.conflict, None  # what INSERT OR says is not for what DELETE fires
    try:
        if not triggers.run(workspace, triggers.before, row, None):
            return False
        writer = workspace.writer(table)
        now = writer.row_at(row[0])
        if now is None:
            return False
        writer.delete(row[0], now)
        if workspace.follow is not None:
            workspace.follow()
        triggers.run(workspace, triggers.after, row, None)
        return True
    finally:
        workspace.conflict = outer


def remove_in_the_way(workspace: Workspace, table: Table, key: int, deletes: EventTriggers | None) -> None:
    """Removes a row for REPLACE; its triggers fire under ``PRAGMA recursive_triggers``, as in SQLite."""
    writer = workspace.writer(table)
    before = writer.row_at(key)
    if before is None:
        return
    if deletes is not None and workspace.recursive_triggers:
        delete_row(workspace, table, (key, before), deletes)
        return
    writer.delete(key, before)
    if workspace.follow is not None:
        workspace.follow()


def make_way(
    workspace: Workspace,
    table: Table,
    row: tuple[int, tuple[Any, ...]],
    conflict: str | Mapping[int, str],
    deletes: EventTriggers | None,
    own_key: int | None = None,
) -> bool:
    """Looks for rows in the way of one that comes; REPLACE removes them.

    Args:
        workspace: The transaction.
        table: The table.
        row: Key and stored columns of the row that comes.
        conflict: What the statement says of conflicts; or what the indexes say, by id, 0 for the row's key.
        deletes: Triggers of rows that are removed.
        own_key: Key that an updated row has now.

    Returns:
        Whether the row can come; not under IGNORE.

    Raises:
        ConstraintViolation: Another resolution is asked for.
    """
    replaced: set[int] = set()
    for index, other in workspace.writer(table).conflicts(*row):
        if other == own_key:
            continue
        asked = conflict if isinstance(conflict, str) else conflict.get(0 if index is None else index.id)
        if asked == "IGNORE":
            return False
        if asked != "REPLACE":
            raise resolved(taken(table, index), asked)
        replaced.add(other)
    for other in sorted(replaced):
        remove_in_the_way(workspace, table, other, deletes)
    return True


def null_violation(table: Table, column: str) -> ConstraintViolation:
    """Returns the error of NOT NULL, worded as SQLite's."""
    return ConstraintViolation(f"NOT NULL constraint failed: {table.name}.{column}")


def resolved(error: ConstraintViolation, conflict: str | None) -> ConstraintViolation:
    """Returns an error that says what becomes of the statement: FAIL and ROLLBACK are not as ever."""
    if conflict in ("FAIL", "ROLLBACK"):
        error.resolution = conflict
    return error


_integer = storer(SqlType.INTEGER)


def row_key(table: Table, value: Any) -> int:
    """Returns a value as a row's key.

    Raises:
        TypeMismatch: It is no integer.
    """
    try:
        return _integer(value)  # type: ignore[no-any-return]
    except TypeMismatch as e:
        name = table.columns[table.key_column].name if table.key_column >= 0 else "rowid"
        raise TypeMismatch(f"{e.message} ({table.name}.{name})") from None


def stored_as(store: Callable[[Any], Any], value: Any, table: Table, column: str) -> Any:
    """Returns a value (not None) as a column stores it."""
    try:
        return store(value)
    except TypeMismatch as e:
        raise TypeMismatch(f"{e.message} ({table.name}.{column})", hint=e.hint) from None


def default_of(column: Any) -> Any:
    """Returns the stored value of a column's default that is no expression."""
    if column.default_now:
        text = current_timestamp() if column.default_now == "current_timestamp" else current_date()
        return column.store(text)
    return column.default


def fill_nulls(table: Table, columns: Iterable[tuple[int, Column]], values: list[Any], given: str | None) -> bool:
    """Does what conflict clauses say of NULLs in columns that take none; returns False where the row is left out.

    Args:
        table: The table.
        columns: Slot and column of those that take none.
        values: Stored values of the row; defaults are put in.
        given: What the statement says.

    Raises:
        ConstraintViolation: Nothing helps.
    """
    filled = []
    for slot, column in columns:
        if values[slot] is not None:
            continue
        conflict = given or column.null_conflict
        if conflict == "IGNORE":
            return False
        if conflict != "REPLACE" or not (column.default_text or column.default_now or column.default is not None):
            raise resolved(null_violation(table, column.name), conflict)
        values[slot] = default_of(column)
        filled.append((slot, column))
    for slot, column in filled:  # SQLite looks at defaults behind all other columns
        if values[slot] is None:
            raise null_violation(table, column.name)
    return True


def columns_of(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Returns rows by column; there is at least one, and all are as long. (``zip`` makes an iterator for each row.)"""
    return [list(map(itemgetter(place), rows)) for place in range(len(rows[0]))]


_NONE = type(None)


def stored_column(
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
    elif sql_type is SqlType.TEXT and types <= {str} and store is _text:
        try:
            "".join([v for v in values if v is not None]).encode()
            return list(values)
        except UnicodeEncodeError:
            pass
    elif sql_type is SqlType.BLOB and types <= {bytes} and store is _blob:
        return list(values)
    return [None if v is None or v != v else stored_as(store, v, table, name) for v in values]


_text = storer(SqlType.TEXT)
_blob = storer(SqlType.BLOB)


def next_key(workspace: Workspace, writer: TableWriter, table: Table) -> int:
    """Returns a new row id; under AUTOINCREMENT one above all that there ever were."""
    key = writer.next_key()
    if table.autoincrement:
        found = _sequence(workspace, table)
        key = max(key, 1 + (0 if found is None else integer(found[2]) or 0))
    return key


def note_key(workspace: Workspace, table: Table, key: int) -> None:
    """Keeps the highest key of a table with AUTOINCREMENT."""
    found = _sequence(workspace, table)
    sequences = workspace.schema.beside(table.id).table(SEQUENCES)
    assert sequences is not None
    writer = workspace.writer(sequences)
    if found is None:
        writer.insert(writer.next_key(), (table.name, key))
    elif key > (integer(found[2]) or 0):
        writer.update(found[0], (found[1], found[2]), (found[1], key))


SEQUENCES = "sqlite_sequence"
"""The table of the highest keys of tables with AUTOINCREMENT, as SQLite has it."""


def _sequence(workspace: Workspace, table: Table) -> tuple[int, str, int] | None:
    """Returns (key, name, highest key) of a table's row in ``sqlite_sequence``."""
    sequences = workspace.schema.beside(table.id).table(SEQUENCES)
    assert sequences is not None
    return workspace.find_first(sequences, 0, table.name)
