"""Tables, columns and indexes. Frozen; they are stored in the manifest and in log records as they are."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import msgspec

from dosql.types.domains import column_storer, shown_type
from dosql.types.sqltypes import SqlType, column_kind
from dosql.types.storing import Storer
from shared_types.changes import ColumnShape, TableShape


class Column(msgspec.Struct, frozen=True, dict=True):
    """A column.

    Attributes:
        name: As declared; names compare without regard to case.
        type: Decides storage and conversion.
        declared: The type's name as declared, for display.
        nullable: False under NOT NULL.
        default: Stored value used where INSERT gives none.
        default_now: ``date`` or ``timestamp`` for CURRENT_DATE and CURRENT_TIMESTAMP.
        default_sql: Text of a default that is an expression, in parentheses.
        collation: Of a text, in upper case; empty is BINARY.
        generated: Text of the expression of a generated column, without parentheses.
        stored: Whether it was declared STORED; VIRTUAL ones are stored as well.
        null_conflict: What ON CONFLICT of NOT NULL says.
        default_text: ``default`` as it was written.
    """

    name: str
    type: SqlType
    declared: str
    nullable: bool = True
    default: Any = None
    default_now: str = ""
    default_sql: str = ""
    collation: str = ""
    generated: str = ""
    stored: bool = False
    null_conflict: str = ""
    default_text: str = ""

    @cached_property
    def store(self) -> Storer:
        """Takes a value (not None) to its stored form, or raises TypeMismatch."""
        return column_storer(self.type, self.declared)


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

    Attributes:
        columns: Positions of its columns; ``-2 - n`` stands for ``expressions[n]``.
        descending: Places in ``columns`` that were declared DESC. All columns are stored ascending: that an index is
            read backwards changes no answer.
        collations: For each place the collation in upper case, empty for BINARY; nothing at all where all are that.
        expressions: Texts of the terms that are no columns.
        where: Text of the condition of a partial index.
        conflict: What ON CONFLICT of its constraint says.
        sql: Text of CREATE INDEX; empty where it is implied.
    """

    id: int
    name: str
    table_id: int
    columns: tuple[int, ...]
    unique: bool = False
    implied: bool = False
    descending: tuple[int, ...] = ()
    collations: tuple[str, ...] = ()
    expressions: tuple[str, ...] = ()
    where: str = ""
    conflict: str = ""
    sql: str = ""

    @property
    def computed(self) -> bool:
        """Whether its entries need more than the row's columns: it has expressions, or a condition."""
        return bool(self.expressions or self.where)

    def collation(self, place: int) -> str:
        """Returns the collation of the term at a place; empty is BINARY."""
        return self.collations[place] if self.collations else ""


class View(msgspec.Struct, frozen=True):
    """A view.

    Attributes:
        name: As declared.
        columns: Names given to its columns; empty: those of the query.
        sql: Text of the query.
        text: Text of CREATE VIEW.
        module, arguments: Of a virtual table, which has no query.
        db: Name of its database, where several are read as one; empty elsewhere. So with tables and triggers.
    """

    name: str
    columns: tuple[str, ...]
    sql: str
    text: str = ""
    db: str = ""
    module: str = ""
    arguments: tuple[str, ...] = ()


class Trigger(msgspec.Struct, frozen=True):
    """A trigger.

    Attributes:
        table: Name of its table or view.
        timing: BEFORE, AFTER or INSTEAD OF.
        event: INSERT, UPDATE or DELETE.
        sql: Its whole text.
        target_db: Of its table or view, where that is another database than its own: a temporary trigger's.
    """

    name: str
    table: str
    timing: str
    event: str
    sql: str
    db: str = ""
    target_db: str = ""


class Table(msgspec.Struct, frozen=True, dict=True):
    """A table.

    Attributes:
        id: Id of the table's tree; ids of trees are never reused.
        key_column: Position of the INTEGER PRIMARY KEY, or -1: then rows have a hidden row id.
        primary_key: Positions of the PRIMARY KEY's columns; empty without one.
        autoincrement: Keys are never given twice.
        without_rowid: The hidden row id cannot be named.
        key_conflict: What ON CONFLICT of the INTEGER PRIMARY KEY says.
    """

    id: int
    name: str
    columns: tuple[Column, ...]
    key_column: int = -1
    primary_key: tuple[int, ...] = ()
    sql: str = ""
    checks: tuple[Check, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    autoincrement: bool = False
    without_rowid: bool = False
    key_conflict: str = ""
    db: str = ""

    @property
    def system(self) -> bool:
        """Whether it is the product's own: it can be read, and is in no change stream."""
        return self.name.lower().startswith(("dosql_", "sqlite_"))

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
    def generated(self) -> tuple[int, ...]:
        """Positions of the generated columns."""
        return tuple(i for i, c in enumerate(self.columns) if c.generated)

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
        columns = tuple(ColumnShape(c.name, shown_type(c.type, c.declared), c.nullable) for c in self.columns)
        return TableShape(self.id, self.name, columns, self.key_column)
