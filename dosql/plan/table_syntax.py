"""What CREATE TABLE is made of: columns, keys, checks and references."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dosql.plan.syntax import Expr


@dataclass(slots=True)
class ColumnSpec:
    """A column of CREATE TABLE. ``default_text`` is a default as written, ``default_sql`` that of one in parentheses.

    ``generated`` is the text of a generated column's expression. ``end`` and ``type_end`` are where the column, and
    its type, end in the text.
    """

    name: str
    declared: str
    not_null: bool = False
    primary_key: bool = False
    unique: bool = False
    default: Expr | None = None
    default_sql: str = ""
    default_text: str = ""
    at: int = 0
    descending: bool = False
    autoincrement: bool = False
    collation: str = ""
    generated: str = ""
    stored: bool = False
    null_conflict: str = ""
    key_conflict: str = ""
    unique_conflict: str = ""
    end: int = 0
    type_end: int = 0


@dataclass(slots=True)
class KeyTerm:
    """A column of a key or an index, or the text of an expression."""

    column: str
    sql: str = ""
    collation: str = ""
    descending: bool = False
    at: int = 0


@dataclass(slots=True)
class KeySpec:
    """PRIMARY KEY or UNIQUE of a table, with what its ON CONFLICT says."""

    terms: list[KeyTerm]
    conflict: str = ""


@dataclass(slots=True)
class CheckSpec:
    """CHECK (expression), with its text."""

    sql: str
    name: str = ""
    at: int = 0


@dataclass(slots=True)
class ReferenceSpec:
    """FOREIGN KEY or REFERENCES. No parent columns: the parent's primary key."""

    columns: list[str]
    parent: str
    parent_columns: list[str]
    on_delete: str = "NO ACTION"
    on_update: str = "NO ACTION"
    deferred: bool = False
    name: str = ""
    at: int = 0
