"""CREATE and DROP: from syntax to descriptors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from dosql.errors import Position, RequestError, SchemaError, SqlSyntaxError, TypeMismatch, Unsupported
from dosql.plan import syntax as s
from dosql.plan.logical import (
    CreateIndexStatement,
    CreateTableStatement,
    DropIndexStatement,
    DropTableStatement,
    DropTriggerStatement,
    DropViewStatement,
    Query,
)
from dosql.planner.scope import nearest
from dosql.schema import Check, Column, ForeignKey, Index, Schema, Table
from dosql.types.collations import COLLATIONS
from dosql.types.domains import column_storer
from dosql.types.sqltypes import SqlType, declared_type

COLUMNS_MAX = 2000


def bind_create_table(schema: Schema, sql: str, node: s.CreateTable) -> CreateTableStatement:
    """Binds CREATE TABLE.

    Raises:
        SchemaError: ALREADY_EXISTS.
        Unsupported: A type or a constraint that this version does not have.
    """
    at = Position.at(sql, node.at)
    view = schema.view(node.name) is not None
    if view and not node.if_not_exists:
        raise SchemaError(f"view {node.name} already exists", code="ALREADY_EXISTS", position=at)
    exists = view or node.name.lower() in schema.by_name or node.name.lower() in schema.index_by_name
    if exists and not node.if_not_exists:
        raise SchemaError(f"table {node.name} already exists", code="ALREADY_EXISTS", position=at)
    if node.name.lower().startswith(("sqlite_", "dosql_")) or node.name.lower().endswith("__changelog"):
        raise SchemaError(f"the name {node.name} is reserved", code="ALREADY_EXISTS", position=at)
    if len(node.columns) > COLUMNS_MAX:
        raise Unsupported(f"more than {COLUMNS_MAX} columns", position=at)
    names = [c.name.lower() for c in node.columns]
    if len(set(names)) != len(names):
        double = next(n for n in names if names.count(n) > 1)
        raise SchemaError(f"duplicate column name: {double}", code="ALREADY_EXISTS", position=at)
    primary, primary_collations, conflict = _primary(names, node, at)
    if node.without_rowid and not primary:
        raise SqlSyntaxError(f"PRIMARY KEY missing on table {node.name}", position=at)
    key_column = -1
    if len(primary) == 1 and not node.without_rowid:
        spec = node.columns[primary[0]]
        if spec.declared.upper() == "INTEGER" and not (spec.primary_key and spec.descending):
            key_column = primary[0]
    if any(spec.autoincrement for spec in node.columns) and (
        key_column < 0 or not node.columns[key_column].autoincrement
    ):
        raise SqlSyntaxError("AUTOINCREMENT is only allowed on an INTEGER PRIMARY KEY", position=at)
    if node.strict:
        for spec in node.columns:
            strict_type(spec, node.name, Position.at(sql, spec.at))
    columns = tuple(_column(sql, spec, i in primary, i == key_column) for i, spec in enumerate(node.columns))
    if all(c.generated for c in columns):
        raise SqlSyntaxError("must have at least one non-generated column", position=at)
    if any(columns[i].generated for i in primary):
        raise SqlSyntaxError("generated columns cannot be part of the PRIMARY KEY", position=at)
    uniques: list[Index] = []  # in SQLite's order, which decides what is reported of several violations
    has_primary = bool(primary) and key_column < 0
    for i, spec in enumerate(node.columns):
        if spec.primary_key and has_primary:
            uniques.append(_unique_index(columns, primary, primary_collations, conflict))
        if spec.unique and i != key_column:
            uniques.append(_unique_index(columns, (i,), [""], spec.unique_conflict))
    if node.primary_key is not None and has_primary:
        uniques.append(_unique_index(columns, primary, primary_collations, conflict))
    for key in node.uniques:
        places = tuple(_position(names, term.column, node.name) for term in key.terms)
        if places != (key_column,):
            uniques.append(_unique_index(columns, places, [t.collation for t in key.terms], key.conflict))
    for a, b in combinations(uniques, 2):
        if a.columns == b.columns and a.conflict and b.conflict and a.conflict != b.conflict:
            raise SqlSyntaxError("conflicting ON CONFLICT clauses specified", position=at)
    unique = list({(i.columns, i.collations): i for i in uniques}.values())
    checks = tuple(Check(check.sql, check.name) for check in node.checks)
    references = tuple(_reference(names, spec, node.name, sql) for spec in node.references)
    return CreateTableStatement(
        node.name,
        columns,
        key_column,
        primary,
        unique,
        exists,
        node.sql,
        checks,
        references,
        key_column >= 0 and node.columns[key_column].autoincrement,
        node.without_rowid,
        conflict if key_column >= 0 else "",
        node.db,
    )


def _primary(names: list[str], node: s.CreateTable, at: Position) -> tuple[tuple[int, ...], list[str], str]:
    """Returns the places of the PRIMARY KEY's columns, their collations, and what its ON CONFLICT says."""
    if node.primary_key is not None:
        terms = node.primary_key.terms
        places = tuple(dict.fromkeys(_position(names, term.column, node.name) for term in terms))
        return places, [t.collation for t in terms], node.primary_key.conflict
    for i, spec in enumerate(node.columns):
        if spec.primary_key:
            return (i,), [""], spec.key_conflict
    return (), [], ""


def _unique_index(columns: Sequence[Column], places: tuple[int, ...], given: list[str], conflict: str) -> Index:
    collations = index_collations(columns, places, given)
    return Index(0, "", 0, places, unique=True, implied=True, collations=collations, conflict=conflict)


def index_collations(columns: Sequence[Column], places: Sequence[int], given: Sequence[str]) -> tuple[str, ...]:
    """Returns the collations of an index's terms: those given, else the columns'. Empty where all are BINARY."""
    out = []
    for place, name in zip(places, given, strict=False):
        collation = collation_named(name) if name else columns[place].collation if place >= 0 else ""
        if place >= 0 and columns[place].type not in (SqlType.TEXT, SqlType.ANY):
            collation = ""
        out.append(collation)
    return tuple(out) if any(out) else ()


def collation_named(name: str, at: Position | None = None) -> str:
    """Returns a collation as descriptors and plans name it: empty is BINARY.

    Raises:
        SchemaError: There is none of that name.
    """
    upper = name.upper()
    if upper != "BINARY" and upper not in COLLATIONS:
        raise SchemaError(
            f"no such collation sequence: {name}",
            code="COLLATION_NOT_FOUND",
            hint=nearest(name, ["BINARY", *COLLATIONS]),
            position=at,
        )
    return "" if upper == "BINARY" else upper


_SHOWN_TYPES = {SqlType.ANY: "", SqlType.INTEGER: "INT", SqlType.NUMERIC: "NUM"}
_SHORT = 50  # characters of a CREATE TABLE that stands on one line, as in SQLite


def shown_type(kind: SqlType) -> str:
    """Returns a type as SQLite writes it in CREATE TABLE AS."""
    return _SHOWN_TYPES.get(kind, kind.value)


def table_of(node: s.CreateTableAs, query: Query, types: list[tuple[SqlType, str]]) -> s.CreateTable:
    """Returns the CREATE TABLE of a table that gets the rows of a query, whose columns have these types.

    What is calculated has the type of its values, as far as that is known: in the lake it is a number then.
    """
    columns: list[s.ColumnSpec] = []
    taken: set[str] = set()
    for output, (kind, said) in zip(query.outputs, types, strict=False):
        name, number = output.name, 0
        while name.lower() in taken:
            number += 1
            name = f"{output.name}:{number}"
        taken.add(name.lower())
        declared = said if "(" in said else shown_type(output.expr.type if kind is SqlType.ANY else kind)
        columns.append(s.ColumnSpec(name, declared, at=node.at))
    parts = [f"{node.texts.quoted(c.name)} {c.declared}".strip() for c in columns]
    length = sum(len(name) + name.count('"') + 2 for name in (node.name, *(c.name for c in columns))) + 5 * len(columns)
    body = ",".join(parts) if length < _SHORT else "\n  " + ",\n  ".join(parts) + "\n"
    return s.CreateTable(
        node.name, columns, None, [], node.if_not_exists, f"CREATE TABLE {node.name}({body})", node.at, node.db
    )


def _reference(names: list[str], spec: s.ReferenceSpec, table: str, sql: str) -> ForeignKey:
    columns = tuple(_position(names, c, table) for c in spec.columns)
    if spec.parent_columns and len(spec.parent_columns) != len(columns):
        raise SqlSyntaxError(
            "number of columns in foreign key does not match the number of columns in the referenced table",
            position=Position.at(sql, spec.at),
        )
    return ForeignKey(
        columns, spec.parent, tuple(spec.parent_columns), spec.on_delete, spec.on_update, spec.deferred, spec.name
    )


def _position(names: list[str], name: str, table: str) -> int:
    if name.lower() not in names:
        raise SchemaError(
            f"table {table} has no column named {name}", code="COLUMN_NOT_FOUND", hint=nearest(name, names)
        )
    return names.index(name.lower())


def _column(sql: str, spec: s.ColumnSpec, in_key: bool, is_row_key: bool) -> Column:
    at = Position.at(sql, spec.at)
    kind = column_type(spec.declared, spec.name, at)
    default, default_now = _default(spec, kind, at)
    nullable = not (spec.not_null or in_key or is_row_key)
    if spec.generated and spec.default is not None:
        raise SqlSyntaxError(f"generated column {spec.name} cannot have a default", position=at)
    collation = collation_named(spec.collation, at) if spec.collation else ""
    return Column(
        spec.name,
        kind,
        spec.declared,
        nullable,
        default,
        default_now,
        spec.default_sql,
        collation,
        spec.generated,
        spec.stored,
        spec.null_conflict,
        spec.default_text,
    )


_STRICT = re.compile(
    "INT|INTEGER|REAL|TEXT|BLOB|ANY|BOOLEAN|BOOL|DATE|TIME|TIMESTAMP|JSON|JSONB|UUID|((DECIMAL|NUMERIC|VECTOR) ?[(].*)"
)
_IS_STRICT = re.compile(r"\)[^)]*\bSTRICT\b[^)]*$", re.IGNORECASE)


def strict_type(spec: s.ColumnSpec, table: str, at: Position | None) -> None:
    """Returns if a column's type may stand in a STRICT table: SQLite's types, and ours by their own names.

    Raises:
        SqlSyntaxError: It has none, or another.
    """
    if not spec.declared:
        raise SqlSyntaxError(f"missing datatype for {table}.{spec.name}", position=at)
    if not _STRICT.fullmatch(spec.declared.upper()):
        hint = (
            "Types: INTEGER, REAL, TEXT, BLOB, ANY, BOOLEAN, DATE, TIME, TIMESTAMP, DECIMAL(p,s), JSON, UUID, VECTOR(n)"
        )
        message = f'unknown datatype for {table}.{spec.name}: "{spec.declared}"'
        raise SqlSyntaxError(message, hint=hint, position=at)


def is_strict(sql: str) -> bool:
    """Whether the text of CREATE TABLE ends with STRICT."""
    return _IS_STRICT.search(sql) is not None


def column_type(declared: str, name: str, at: Position) -> SqlType:
    """Returns the type of a column.

    Raises:
        SqlSyntaxError: The sizes in parentheses cannot be.
    """
    kind = declared_type(declared)
    try:
        column_storer(kind, declared)
    except ValueError as e:
        raise SqlSyntaxError(f"type {declared} of column {name}: {e}", position=at) from None
    return kind


def _default(spec: s.ColumnSpec, kind: SqlType, at: Position) -> tuple[Any, str]:
    node = spec.default
    if node is None:
        return None, ""
    if isinstance(node, s.Call) and node.name in ("current_timestamp", "current_date"):
        return None, node.name
    words = {"true": 1, "false": 0}
    if isinstance(node, s.Name) and spec.default_sql and node.column.lower() not in words:
        raise SqlSyntaxError(f"default value of column {spec.name} is not constant", position=at)
    if isinstance(node, s.Name) and node.table is None:  # SQLite: a bare word is a text
        node = s.Literal(node.column if node.quoted else words.get(node.column.lower(), node.column))
    if isinstance(node, s.Operator) and node.op == "NEG" and isinstance(node.args[0], s.Literal):
        number = node.args[0].value
        if isinstance(number, int | float):
            node = s.Literal(-number)
        else:
            spec.default_sql = spec.default_text
    if not isinstance(node, s.Literal):
        if isinstance(node, s.Operator) and node.op == "TOO BIG":
            spec.default_sql = spec.default_text
        if not spec.default_sql:
            raise SqlSyntaxError(f"default value of column {spec.name} is not constant", position=at)
        return None, ""
    spec.default_sql = ""
    if node.value is None:
        return None, ""
    try:
        return column_storer(kind, spec.declared)(node.value), ""
    except TypeMismatch:  # it is refused where it is used, as in SQLite
        spec.default_sql = f"({sql_literal(node.value)})"
        return None, ""


def sql_literal(value: Any) -> str:
    """Returns a value as SQL writes it."""
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def bind_create_index(schema: Schema, sql: str, node: s.CreateIndex) -> CreateIndexStatement:
    """Binds CREATE INDEX.

    Raises:
        SchemaError: TABLE_NOT_FOUND, COLUMN_NOT_FOUND or ALREADY_EXISTS.
    """
    at = Position.at(sql, node.at)
    if schema.view(node.name) is not None:
        raise SchemaError(f"there is already a view named {node.name}", code="ALREADY_EXISTS", position=at)
    if node.name.lower() in schema.index_by_name or node.name.lower() in schema.by_name:
        if node.if_not_exists:
            return CreateIndexStatement(None)
        raise SchemaError(f"index {node.name} already exists", code="ALREADY_EXISTS", position=at)
    if schema.view(node.table) is not None:
        raise SchemaError("views may not be indexed", position=at)
    table = _table(schema, node.table, at)
    if table.system or node.name.lower().startswith("sqlite_"):
        raise RequestError(f"table {table.name} may not be indexed", code="FORBIDDEN", position=at)
    names = [c.name.lower() for c in table.columns]
    columns: list[int] = []
    expressions: list[str] = []
    for term in node.terms:
        if term.column:
            columns.append(_position(names, term.column, table.name))
        else:
            columns.append(-2 - len(expressions))
            expressions.append(term.sql)
    collations = index_collations(table.columns, columns, [t.collation for t in node.terms])
    descending = tuple(i for i, t in enumerate(node.terms) if t.descending)
    return CreateIndexStatement(
        Index(
            0,
            node.name,
            table.id,
            tuple(columns),
            node.unique,
            descending=descending,
            collations=collations,
            expressions=tuple(expressions),
            where=node.where,
            sql=f"CREATE {'UNIQUE ' if node.unique else ''}INDEX {sql[node.at :].rstrip().rstrip(';')}",
        )
    )


def bind_drop(
    schema: Schema, sql: str, node: s.Drop
) -> DropTableStatement | DropIndexStatement | DropViewStatement | DropTriggerStatement:
    """Binds DROP.

    Raises:
        SchemaError: There is nothing of that name.
    """
    at = Position.at(sql, node.at)
    if node.kind == "TRIGGER":
        trigger = schema.trigger(node.name)
        if trigger is None and not node.if_exists:
            hint = nearest(node.name, (t.name for t in schema.triggers))
            raise SchemaError(f"no such trigger: {node.name}", code="TRIGGER_NOT_FOUND", hint=hint, position=at)
        return DropTriggerStatement(None if trigger is None else trigger.name, trigger.db if trigger else "")
    view = schema.view(node.name)
    if node.kind == "VIEW":
        if view is None and schema.table(node.name) is not None:
            raise SchemaError(f"use DROP TABLE to delete table {node.name}", position=at)
        if view is None and not node.if_exists:
            hint = nearest(node.name, (v.name for v in schema.views))
            raise SchemaError(f"no such view: {node.name}", hint=hint, position=at)
        return DropViewStatement(None if view is None else view.name, view.db if view else "")
    if node.kind == "TABLE":
        if view is not None and view.module:
            return DropViewStatement(view.name, view.db)
        if view is not None:
            raise SchemaError(f"use DROP VIEW to delete view {node.name}", position=at)
        table = schema.table(node.name)
        if table is None and not node.if_exists:
            table = _table(schema, node.name, at)
        if table is not None and table.system:
            raise RequestError(f"table {table.name} may not be dropped", code="FORBIDDEN", position=at)
        return DropTableStatement(table)
    index = schema.index_by_name.get(node.name.lower())
    if index is None and not node.if_exists:
        raise SchemaError(
            f"no such index: {node.name}",
            code="INDEX_NOT_FOUND",
            hint=nearest(node.name, (i.name for i in schema.indexes)),
            position=at,
        )
    if index is not None and index.implied:
        raise SchemaError(
            f"index {index.name} belongs to a UNIQUE or PRIMARY KEY constraint and cannot be dropped",
            code="CONSTRAINT_VIOLATION",
            position=at,
        )
    return DropIndexStatement(index)


def _table(schema: Schema, name: str, at: Position) -> Table:
    table = schema.table(name)
    if table is None:
        raise SchemaError(f"no such table: {name}", hint=nearest(name, (t.name for t in schema.tables)), position=at)
    return table
