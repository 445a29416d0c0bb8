"""CREATE and DROP: from syntax to descriptors."""

from __future__ import annotations

from typing import Any

from dosql.errors import Position, RequestError, SchemaError, SqlSyntaxError, TypeMismatch, Unsupported
from dosql.plan import syntax as s
from dosql.plan.logical import (
    CreateIndexStatement,
    CreateTableStatement,
    DropIndexStatement,
    DropTableStatement,
    DropViewStatement,
    Query,
)
from dosql.planner.scope import nearest
from dosql.schema import Check, Column, ForeignKey, Schema, Table
from dosql.types.sqltypes import SqlType, declared_type
from dosql.types.storing import storer

COLUMNS_MAX = 2000


def bind_create_table(schema: Schema, sql: str, node: s.CreateTable) -> CreateTableStatement:
    """Binds CREATE TABLE.

    Raises:
        SchemaError: ALREADY_EXISTS.
        Unsupported: A type or a constraint that this version does not have.
    """
    at = Position.at(sql, node.at)
    if schema.view(node.name) is not None:
        raise SchemaError(f"view {node.name} already exists", code="ALREADY_EXISTS", position=at)
    exists = node.name.lower() in schema.by_name or node.name.lower() in schema.index_by_name
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
    keys = [list(node.primary_key)] if node.primary_key else []
    keys += [[c.name] for c in node.columns if c.primary_key]
    if len(keys) > 1:
        raise SqlSyntaxError(f"table {node.name} has more than one primary key", position=at)
    primary = tuple(_position(names, k, node.name) for k in keys[0]) if keys else ()
    key_column = -1
    if len(primary) == 1 and node.columns[primary[0]].declared.upper() == "INTEGER":
        key_column = primary[0]
    columns = tuple(_column(sql, spec, i in primary, i == key_column) for i, spec in enumerate(node.columns))
    uniques = [tuple(_position(names, c, node.name) for c in unique) for unique in node.uniques]
    uniques += [(i,) for i, spec in enumerate(node.columns) if spec.unique and i != key_column]
    if primary and key_column < 0:
        uniques.insert(0, primary)
    checks = tuple(Check(check.sql, check.name) for check in node.checks)
    references = tuple(_reference(names, spec, node.name, sql) for spec in node.references)
    unique = list(dict.fromkeys(uniques))
    return CreateTableStatement(node.name, columns, key_column, primary, unique, exists, node.sql, checks, references)


def table_of(node: s.CreateTableAs, query: Query) -> s.CreateTable:
    """Returns the CREATE TABLE of a table that gets the rows of a query."""
    columns: list[s.ColumnSpec] = []
    taken: set[str] = set()
    for output in query.outputs[: query.visible]:
        name, number = output.name, 0
        while name.lower() in taken:
            number += 1
            name = f"{output.name}:{number}"
        taken.add(name.lower())
        kind = output.expr.type
        declared = {SqlType.ANY: "", SqlType.INTEGER: "INT"}.get(kind, kind.value)
        columns.append(s.ColumnSpec(name, declared, at=node.at))
    body = ",".join(f'"{c.name.replace(chr(34), chr(34) * 2)}" {c.declared}'.strip() for c in columns)
    return s.CreateTable(node.name, columns, [], [], node.if_not_exists, f"CREATE TABLE {node.name}({body})", node.at)


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
    kind = declared_type(spec.declared)
    if kind is None:
        raise Unsupported(
            f"type {spec.declared} of column {spec.name} is not supported yet",
            hint="Types: INTEGER, REAL, TEXT, BLOB, BOOLEAN, DATE, TIMESTAMP, ANY",
            position=at,
        )
    default, default_now = _default(spec, kind, at)
    nullable = not (spec.not_null or in_key or is_row_key)
    return Column(spec.name, kind, spec.declared, nullable, default, default_now, spec.default_sql)


def _default(spec: s.ColumnSpec, kind: SqlType, at: Position) -> tuple[Any, str]:
    node = spec.default
    if node is None:
        return None, ""
    if isinstance(node, s.Call) and node.name in ("current_timestamp", "current_date"):
        return None, node.name
    if isinstance(node, s.Name) and node.table is None and node.quoted:
        node = s.Literal(node.column)
    if isinstance(node, s.Operator) and node.op == "NEG" and isinstance(node.args[0], s.Literal):
        node = s.Literal(-node.args[0].value)
    if not isinstance(node, s.Literal):
        if not spec.default_sql:
            raise SqlSyntaxError(f"default value of column {spec.name} is not constant", position=at)
        return None, ""
    spec.default_sql = ""
    if node.value is None:
        return None, ""
    try:
        return storer(kind)(node.value), ""
    except TypeMismatch as e:
        raise TypeMismatch(f"default of column {spec.name}: {e.message}", position=at) from None


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
            return CreateIndexStatement(node.name, None, (), node.unique)
        raise SchemaError(f"index {node.name} already exists", code="ALREADY_EXISTS", position=at)
    table = _table(schema, node.table, at)
    if table.system:
        raise RequestError(f"table {table.name} may not be indexed", code="FORBIDDEN", position=at)
    names = [c.name.lower() for c in table.columns]
    columns = tuple(_position(names, c, table.name) for c in node.columns)
    return CreateIndexStatement(node.name, table, columns, node.unique, tuple(node.descending))


def bind_drop(schema: Schema, sql: str, node: s.Drop) -> DropTableStatement | DropIndexStatement | DropViewStatement:
    """Binds DROP.

    Raises:
        SchemaError: There is nothing of that name.
    """
    at = Position.at(sql, node.at)
    view = schema.view(node.name)
    if node.kind == "VIEW":
        if view is None and schema.table(node.name) is not None:
            raise SchemaError(f"use DROP TABLE to delete table {node.name}", position=at)
        if view is None and not node.if_exists:
            hint = nearest(node.name, (v.name for v in schema.views))
            raise SchemaError(f"no such view: {node.name}", hint=hint, position=at)
        return DropViewStatement(None if view is None else view.name)
    if node.kind == "TABLE":
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
