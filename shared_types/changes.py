"""Change events (CDC) as they travel from server to subscriber.

The server sends the log's own operations, so that a change is encoded once, when it
is committed. An event of a subscription is an array ``[kind, ...]``:

====== ============================================================================
kind   fields
====== ============================================================================
``T``  ``table``: a :class:`TableShape`; comes before the first change of that table
``C``  ``first_lsn, commit_lsn, time_us, tx_id, changes``: a transaction, or the last part of
       a large one; empty where the filter left nothing. A change is ``[lsn, operation]``
``c``  as ``C``, and more parts of the same transaction follow
``S``  ``table_id, lsn, keys, columns``: rows of the initial snapshot, by column
``E``  ``lsn``: the snapshot is complete; changes after ``lsn`` follow
``H``  ``lsn, time_us``: heartbeat; nothing at or before ``lsn`` is still to come
====== ============================================================================

An operation is an array too. It takes as many LSNs as it changes rows, from its ``lsn`` on:

====================================== ===============================================
``[1, table_id, key, None, after]``    insert
``[2, table_id, key, before, after]``  update; the key did not change
``[3, table_id, key, before, None]``   delete
``[4, table_id, keys, columns]``       insert of many rows, by column
``[5, table]``                         table created (one LSN)
``[6, table_id]``                      table dropped (one LSN)
``[7, index]``, ``[8, table, index]``  index created, dropped (one LSN; not sent)
``[9, table_id, keys, before, sets]``  update of many rows: columns before, and for each
                                       changed one ``[position, values]``
``[10, table_id, keys, before]``       delete of many rows, by column
``[11, view]``, ``[12, name]``         view created, dropped (one LSN; not sent)
``[13, name, number]``                 PRAGMA user_version and its like (one LSN; not sent)
``[14, trigger]``, ``[15, name]``      trigger created, dropped (one LSN; not sent)
``[16, table_id, table, sources]``     table altered (one LSN): its new shape, and for each column
                                       the position of what it was, -1 for a new one; rows that
                                       are changed with it come as updates
====================================== ===============================================

``before``/``after``/``columns`` hold the stored columns only: where
``TableShape.key_column`` is not -1, that column is the key and is not repeated.
DATE and TIMESTAMP are integers here (days, microseconds); BOOLEAN is 0 or 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from shared_types.values import date_of, datetime_of

OP_INSERT = 1
OP_UPDATE = 2
OP_DELETE = 3
OP_INSERT_MANY = 4
OP_CREATE_TABLE = 5
OP_DROP_TABLE = 6
OP_CREATE_INDEX = 7
OP_DROP_INDEX = 8
OP_UPDATE_MANY = 9
OP_DELETE_MANY = 10
OP_CREATE_VIEW = 11
OP_DROP_VIEW = 12
OP_SET = 13
OP_CREATE_TRIGGER = 14
OP_DROP_TRIGGER = 15
OP_ALTER_TABLE = 16

OPERATIONS = {
    "insert": (OP_INSERT, OP_INSERT_MANY),
    "update": (OP_UPDATE, OP_UPDATE_MANY),
    "delete": (OP_DELETE, OP_DELETE_MANY),
}
"""What subscribers call the operations on rows: of one, and of many."""

OF_MANY = frozenset({OP_INSERT_MANY, OP_UPDATE_MANY, OP_DELETE_MANY})
OF_NEW_ROWS = frozenset({OP_INSERT, OP_INSERT_MANY})
OF_REMOVALS = frozenset({OP_DELETE, OP_DELETE_MANY})
OF_ROWS = frozenset({OP_INSERT, OP_UPDATE, OP_DELETE, *OF_MANY})
OF_DROPS = frozenset({OP_DROP_TABLE, OP_DROP_INDEX, OP_DROP_VIEW, OP_DROP_TRIGGER, OP_CREATE_TRIGGER, OP_ALTER_TABLE})
"""After which a transaction that began before cannot go on."""

UNSEEN = frozenset(
    {OP_CREATE_INDEX, OP_DROP_INDEX, OP_CREATE_VIEW, OP_DROP_VIEW, OP_SET, OP_CREATE_TRIGGER, OP_DROP_TRIGGER}
)
"""Operations that subscribers are not told."""


class ColumnShape(msgspec.Struct, frozen=True, array_like=True):
    """Name, SQL type and nullability of a column."""

    name: str
    type: str
    nullable: bool


class TableShape(msgspec.Struct, frozen=True, array_like=True):
    """What a subscriber must know of a table to read its changes.

    Attributes:
        id: Never reused, also not after DROP TABLE.
        name: As declared.
        key_column: Position of the column that is the row's key (INTEGER PRIMARY KEY), or -1
            where the key is a hidden row id.
    """

    id: int
    name: str
    columns: tuple[ColumnShape, ...]
    key_column: int

    def row(self, key: int, stored: Sequence[Any]) -> list[Any]:
        """Returns the whole row, in declared order, of a key and the stored columns."""
        values = list(stored)
        if self.key_column >= 0:
            values.insert(self.key_column, key)
        return values

    def columns_of(self, keys: Sequence[int], columns: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
        """Returns all columns, in declared order, of keys and stored columns."""
        values = list(columns)
        if self.key_column >= 0:
            values.insert(self.key_column, keys)
        return values

    def python_row(self, key: int, stored: Sequence[Any]) -> dict[str, Any]:
        """Returns the row by column name, with Python's own date, datetime and bool."""
        values = self.row(key, stored)
        return {c.name: to_python(c.type, v) for c, v in zip(self.columns, values, strict=True)}


def to_python(sql_type: str, stored: Any) -> int | float | str | bytes | bool | date | datetime | None:
    """Returns the Python value of a stored one of ``sql_type``."""
    if stored is None:
        return None
    if sql_type == "BOOLEAN":
        return bool(stored)
    if sql_type == "DATE":
        return date_of(stored)
    if sql_type == "TIMESTAMP":
        return datetime_of(stored)
    return stored  # type: ignore[no-any-return]


def stored_sources(before: TableShape, after: TableShape, sources: Sequence[int]) -> list[int]:
    """Returns, for each stored column of an altered table, the place of the stored column it was, or -1."""

    def place(shape: TableShape, position: int) -> int:
        return position - (0 <= shape.key_column < position)

    return [
        -1 if source < 0 else place(before, source)
        for position, source in enumerate(sources)
        if position != after.key_column
    ]


def rows_in(op: Sequence[Any]) -> int:
    """Returns how many LSNs an operation takes."""
    return len(op[2]) if op[0] in OF_MANY else 1


def keys_in(op: Sequence[Any]) -> Sequence[int]:
    """Returns the row keys that an operation writes; none for one on a table or an index."""
    kind = op[0]
    if kind in OF_MANY:
        keys: Sequence[int] = op[2]
        return keys
    return (op[2],) if kind in OF_ROWS else ()


def columns_after(op: Sequence[Any]) -> list[Sequence[Any]]:
    """Returns the stored columns of the rows as an insert or update of many leaves them."""
    columns = list(op[3])
    if op[0] == OP_UPDATE_MANY:
        for position, values in op[4]:
            columns[position] = values
    return columns


def piece_of(op: Sequence[Any], start: int, stop: int) -> list[Any]:
    """Returns rows ``start`` to ``stop`` of an operation of many."""
    out = [op[0], op[1], op[2][start:stop], [column[start:stop] for column in op[3]]]
    if op[0] == OP_UPDATE_MANY:
        out.append([[position, values[start:stop]] for position, values in op[4]])
    return out
