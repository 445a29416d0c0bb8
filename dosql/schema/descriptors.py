"""Tables, columns and indexes. Frozen; they are stored in the manifest and in log records as they are."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import msgspec

from dosql.types.sqltypes import SqlType, column_kind
from shared_types.changes import ColumnShape, TableShape


class Column(msgspec.Struct, frozen=True):
    """A column.

    Attributes:
        name: As declared; names compare without regard to case.
        type: Decides storage and conversion.
        declared: The type's name as declared, for display.
        nullable: False under NOT NULL.
        default: Stored value used where INSERT gives none.
        default_now: ``date`` or ``timestamp`` for CURRENT_DATE and CURRENT_TIMESTAMP.
        default_sql: Text of a default that is an expression, in parentheses.
    """

    name: str
    type: SqlType
    declared: str
    nullable: bool = True
    default: Any = None
    default_now: str = ""
    default_sql: str = ""


class Check(msgspec.Struct, frozen=True):
    """A CHECK constraint: the text of its condition."""

    sql: str
    name: str = ""


class ForeignKey(msgspec.Struct, frozen=True):
    """A FOREIGN KEY.

    Attributes:
        columns: Positions in the child.
        parent: Name of the parent table, which need not be there.
        parent_columns: Names there; empty: its primary key.
        on_delete, on_update: NO ACTION, RESTRICT, CASCADE, SET NULL or SET DEFAULT.
        deferred: Tested at COMMIT.
    """

    columns: tuple[int, ...]
    parent: str
    parent_columns: tuple[str, ...] = ()
    on_delete: str = "NO ACTION"
    on_update: str = "NO ACTION"
    deferred: bool = False
    name: str = ""


class Index(msgspec.Struct, frozen=True):
    """A secondary index. ``implied`` ones come from PRIMARY KEY and UNIQUE and go with the table only.

    ``descending`` are places in ``columns`` that were declared DESC. All columns are stored ascending: that an
    index is read backwards changes no answer.
    """

    id: int
    name: str
    table_id: int
    columns: tuple[int, ...]
    unique: bool = False
    implied: bool = False
    descending: tuple[int, ...] = ()


class View(msgspec.Struct, frozen=True):
    """A view.

    Attributes:
        name: As declared.
        columns: Names given to its columns; empty: those of the query.
        sql: Text of the query.
    """

    name: str
    columns: tuple[str, ...]
    sql: str


class Table(msgspec.Struct, frozen=True, dict=True):
    """A table.

    Attributes:
        id: Id of the table's tree; ids of trees are never reused.
        key_column: Position of the INTEGER PRIMARY KEY, or -1: then rows have a hidden row id.
        primary_key: Positions of the PRIMARY KEY's columns; empty without one.
    """

    id: int
    name: str
    columns: tuple[Column, ...]
    key_column: int = -1
    primary_key: tuple[int, ...] = ()
    sql: str = ""
    checks: tuple[Check, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()

    @property
    def system(self) -> bool:
        """Whether it is the product's own: it can be read, and is in no change stream."""
        return self.name.lower().startswith("dosql_")

    @cached_property
    def slots(self) -> tuple[int, ...]:
        """For each column its place among the stored columns, -1 for the key."""
        key = self.key_column
        return tuple(-1 if i == key else i - (0 <= key < i) for i in range(len(self.columns)))

    @cached_property
    def stored(self) -> tuple[int, ...]:
        """Positions of the columns that leaves store, in their order."""
        return tuple(i for i in range(len(self.columns)) if i != self.key_column)

    @cached_property
    def kinds(self) -> str:
        """Kinds of the stored columns, one character each."""
        return "".join(column_kind(self.columns[i].type) for i in self.stored)

    @cached_property
    def positions(self) -> dict[str, int]:
        """Position by lower-case column name."""
        return {c.name.lower(): i for i, c in enumerate(self.columns)}

    @cached_property
    def shape(self) -> TableShape:
        """What subscribers see."""
        columns = tuple(ColumnShape(c.name, c.type.value, c.nullable) for c in self.columns)
        return TableShape(self.id, self.name, columns, self.key_column)
