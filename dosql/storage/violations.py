"""The errors of values that are there already, worded as SQLite's."""

from __future__ import annotations

from dosql.errors import ConstraintViolation
from dosql.schema import Index, Table


def taken(table: Table, index: Index | None) -> ConstraintViolation:
    """Returns the error of a UNIQUE index, or without one of the row's key."""
    return key_violation(table) if index is None else unique_violation(table, index)


def unique_violation(table: Table, index: Index) -> ConstraintViolation:
    """Returns the error of a UNIQUE index, worded as SQLite's."""
    if index.expressions:
        return ConstraintViolation(f"UNIQUE constraint failed: index '{index.name}'")
    names = ", ".join(f"{table.name}.{table.columns[c].name}" for c in index.columns)
    return ConstraintViolation(f"UNIQUE constraint failed: {names}")


def key_violation(table: Table) -> ConstraintViolation:
    """Returns the error of a row key that is there already."""
    name = table.columns[table.key_column].name if table.key_column >= 0 else "rowid"
    return ConstraintViolation(f"UNIQUE constraint failed: {table.name}.{name}")
