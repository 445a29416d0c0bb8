"""Tables that tell of a database: ``sqlite_schema``, ``pragma_...`` and ``information_schema``.

They are table-valued functions over the schema of the view that a statement reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from dosql.engine import pragmas
from dosql.functions.tables import TABLE_FUNCTIONS, TableFunction
from dosql.schema import Schema
from dosql.schema.combined import CombinedSchema
from dosql.types.sqltypes import SqlType

Rows = Iterator[tuple[Any, ...]]


class _Reader:
    """What a PRAGMA that only reads the schema wants of a session."""

    def __init__(self, view: Any) -> None:
        self.view = view
        self.folder = ""


def _pragma(name: str) -> Callable[..., list[tuple[Any, ...]]]:
    handler = pragmas.HANDLERS[name]

    def call(view: Any, argument: Any = None, schema: Any = None) -> list[tuple[Any, ...]]:
        seen = view if schema is None else pragmas.PartView(view, str(schema))
        reader: Any = _Reader(seen)
        return handler(reader, None if argument is None else str(argument))

    return call


def schema_rows(view: Any, db: Any = "main") -> Rows:
    """Yields the rows of ``sqlite_schema`` of a database."""
    if db == "temp" and not isinstance(view.schema, CombinedSchema):
        return
    schema: Schema = view.schema.part(str(db))
    entries: list[tuple[int, tuple[Any, ...]]] = []
    for table in schema.tables:
        if not table.name.startswith("dosql_"):
            entries.append((table.id, ("table", table.name, table.name, table.id, table.sql)))
    for index in schema.indexes:
        name = schema.by_id[index.table_id].name
        if not name.startswith("dosql_"):
            entries.append((index.id, ("index", index.name, name, index.id, index.sql or None)))
    yield from (row for _, row in sorted(entries))
    for view_ in schema.views:
        yield "table" if view_.module else "view", view_.name, view_.name, 0, view_.text
    for trigger in schema.triggers:
        yield "trigger", trigger.name, trigger.table, 0, trigger.sql


def _tables(view: Any) -> Rows:
    for table in view.schema.tables:
        if not table.system:
            yield "main", "main", table.name, "BASE TABLE", "YES"
    for one in view.schema.views:
        yield "main", "main", one.name, "VIEW", "NO"


def _columns(view: Any) -> Rows:
    for table in view.schema.tables:
        if table.system:
            continue
        for place, column in enumerate(table.columns, 1):
            default = column.default_sql or column.default_now or column.default
            nullable = "YES" if column.nullable else "NO"
            generated = "ALWAYS" if column.generated else "NEVER"
            names = ("main", "main", table.name, column.name, place)
            yield (*names, default, nullable, column.declared or "ANY", generated, column.generated or None)


def _constraints(view: Any) -> Rows:
    for table in view.schema.tables:
        if table.system:
            continue
        if table.key_column >= 0:
            yield "main", f"{table.name}_pkey", table.name, "PRIMARY KEY"
        for index in view.schema.indexes_of(table.id):
            if index.implied:
                primary = index.columns == table.primary_key
                yield "main", index.name, table.name, "PRIMARY KEY" if primary else "UNIQUE"
        for number, key in enumerate(table.foreign_keys):
            yield "main", key.name or f"{table.name}_fkey_{number}", table.name, "FOREIGN KEY"
        for number, check in enumerate(table.checks):
            yield "main", check.name or f"{table.name}_check_{number}", table.name, "CHECK"


def _views(view: Any) -> Rows:
    for one in view.schema.views:
        yield "main", "main", one.name, one.sql


def _schemata(view: Any) -> Rows:
    yield "main", "main"
    yield "main", "information_schema"


def register() -> None:
    """Adds them to the table-valued functions."""
    columns_of_master = ("type", "name", "tbl_name", "rootpage", "sql")
    kinds = (SqlType.TEXT, SqlType.TEXT, SqlType.TEXT, SqlType.INTEGER, SqlType.TEXT)
    master = TableFunction(schema_rows, columns_of_master, ("_db",), 0, kinds)
    for name in ("sqlite_schema", "sqlite_master"):
        TABLE_FUNCTIONS[name] = master
    temporary = TableFunction(lambda view: schema_rows(view, "temp"), columns_of_master, (), 0, kinds)
    for name in ("sqlite_temp_schema", "sqlite_temp_master"):
        TABLE_FUNCTIONS[name] = temporary
    for name in pragmas.OF_SCHEMA:
        columns = tuple(pragmas.COLUMNS[name].split())
        TABLE_FUNCTIONS[f"pragma_{name}"] = TableFunction(_pragma(name), columns, ("arg", "schema"))
    names = "table_catalog table_schema table_name"
    given: dict[str, tuple[Callable[[Any], Rows], str]] = {
        "tables": (_tables, f"{names} table_type is_insertable_into"),
        "columns": (
            _columns,
            f"{names} column_name ordinal_position column_default is_nullable data_type is_generated "
            "generation_expression",
        ),
        "table_constraints": (_constraints, "table_schema constraint_name table_name constraint_type"),
        "views": (_views, f"{names} view_definition"),
        "schemata": (_schemata, "catalog_name schema_name"),
    }
    for name, (call, columns_) in given.items():
        TABLE_FUNCTIONS[f"information_schema.{name}"] = TableFunction(call, tuple(columns_.split()))
