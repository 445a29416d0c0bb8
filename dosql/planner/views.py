"""Views, and what else looks at definitions that are there: REINDEX, and triggers after an ALTER."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from dosql.errors import Position, SchemaError, SqlError, SqlSyntaxError
from dosql.functions.modules import virtual_table
from dosql.plan import logical as l
from dosql.plan import syntax as s
from dosql.planner.scope import Scope
from dosql.planner.table_functions import bind_virtual
from dosql.planner.triggers import program_columns, stay_at_home, view_table, when_query
from dosql.schema import Table, Trigger, View
from dosql.types.collations import COLLATIONS

if TYPE_CHECKING:
    from dosql.planner.binder import Binder

VIEW_DEPTH_MAX = 50


def bind_view(binder: Binder, item: s.TableRef, view: View, number: int, scope: Scope) -> l.Source:
    """Binds a view as a source: its query, with nothing of the statement in sight."""
    if view in binder.views:
        raise SchemaError(f"view {view.name} is circularly defined")
    if len(binder.views) == VIEW_DEPTH_MAX:
        raise SchemaError(f"views are nested more than {VIEW_DEPTH_MAX} deep", code="RESOURCE_EXHAUSTED")
    if view.module:
        return bind_virtual(binder, view.module, view.arguments, item, scope, number)
    sql, ctes, schema = binder.sql, binder.ctes, binder.schema
    if view.db not in ("", "temp"):  # it sees its own database only
        binder.schema = schema.part(view.db)
    binder.sql, binder.ctes = view.sql, []  # it sees the schema, and nothing of the statement
    binder.views.append(view)
    try:
        parsed = binder.parse(view.sql)
        assert isinstance(parsed, s.Query)
        if view.db not in ("", "main", "temp"):
            stay_at_home(parsed, view.db, f"view {view.name}")
        query = binder.query(parsed, Scope(None))
    except SqlError as e:
        told = e.message if len(binder.views) > 1 else f"view {view.name} cannot be read: {e.message}"
        raise SchemaError(told, code=e.code) from e
    finally:
        binder.sql, binder.ctes, binder.schema = sql, ctes, schema
        binder.views.pop()
    return binder.derived(query, item.alias or view.name, list(view.columns), number, scope, item.at)


def bind_create_virtual(binder: Binder, node: s.CreateVirtual) -> l.CreateViewStatement:
    """Binds CREATE VIRTUAL TABLE; its module is asked for the columns, so that it is wrong now and not later."""
    home, at, name = binder.schema.home(node.db), Position.at(binder.sql, node.at), node.name.lower()
    if name in home.by_name or home.view(name) is not None:
        if node.if_not_exists:
            return l.CreateViewStatement(None)
        raise SchemaError(f"table {node.name} already exists", code="ALREADY_EXISTS", position=at)
    arguments = tuple(node.arguments)
    columns = tuple(name for name, _ in virtual_table(node.module, arguments).columns)
    text = f"CREATE VIRTUAL TABLE {binder.sql[node.at :].rstrip().rstrip(';')}"
    return l.CreateViewStatement(View(node.name, columns, "", text, node.db, node.module.lower(), arguments))


def bind_create_view(binder: Binder, node: s.CreateView) -> l.CreateViewStatement:
    """Binds CREATE VIEW. Tables that it names may come later."""
    assert node.query is not None
    at = Position.at(binder.sql, node.at)
    name = node.name.lower()
    home = binder.schema.home(node.db)
    taken = name in home.by_name or name in home.index_by_name
    if taken or home.view(name) is not None:
        if node.if_not_exists and not taken:
            return l.CreateViewStatement(None)
        raise SchemaError(f"{node.name} already exists", code="ALREADY_EXISTS", position=at)
    if name.startswith(("sqlite_", "dosql_")):
        raise SchemaError(f"the name {node.name} is reserved", code="ALREADY_EXISTS", position=at)
    if _has_parameters(node.query):
        raise SqlSyntaxError("a view cannot have parameters", position=at)
    names = []
    if node.db != "temp":
        stay_at_home(node.query, node.db or "main", f"view {node.name}")
    try:
        names = l.output_names(binder.query(node.query, Scope(None)))
    except SchemaError as e:
        if e.code != "TABLE_NOT_FOUND":
            raise
    if node.columns and names and len(node.columns) != len(names):
        raise SqlSyntaxError(f"view {node.name} has {len(names)} columns but {len(node.columns)} names", position=at)
    text = f"CREATE VIEW {binder.sql[node.at :].rstrip().rstrip(';')}"
    return l.CreateViewStatement(View(node.name, tuple(node.columns), node.sql, text, node.db))


def _has_parameters(node: Any) -> bool:
    if isinstance(node, list | tuple):
        return any(map(_has_parameters, node))
    if isinstance(node, s.Parameter):
        return True
    return is_dataclass(node) and any(_has_parameters(getattr(node, part.name)) for part in fields(node))


def bind_maintain(binder: Binder, node: s.Maintain) -> l.MaintainStatement:
    """Binds ANALYZE, REINDEX and VACUUM."""
    schema, name = binder.schema, node.name.lower()
    table = schema.table(name) if name else None
    index = schema.index_by_name.get(name)
    reload = node.verb == "ANALYZE" and name in ("sqlite_master", "sqlite_schema")  # as in SQLite: what is there
    known = not name or table or index or reload or name.upper() in ("BINARY", *COLLATIONS) or name == "main"
    if not known and node.verb != "VACUUM":
        raise SchemaError(f"unable to identify the object to be reindexed: {node.name}", code="TABLE_NOT_FOUND")
    if index is not None:
        return l.MaintainStatement(node.verb, [index], [schema.by_id[index.table_id]])
    indexes = list(schema.indexes_of(table.id)) if table is not None else list(schema.indexes)
    every = [t for t in schema.tables if not t.system and t.db in ("", "main")]
    tables = [table] if table is not None else [] if reload else every
    return l.MaintainStatement(node.verb, indexes, tables)


def verify_view(binder: Binder, view: View) -> None:
    """Binds a view's query.

    Raises:
        SqlError: It names what is not there.
    """
    outer, binder.sql = binder.sql, view.sql
    try:
        binder.query(binder.parsed_query(view.sql), Scope(None))
    finally:
        binder.sql = outer


def verify_trigger(binder: Binder, trigger: Trigger) -> None:
    """Binds all of a trigger's program.

    Raises:
        SqlError: It names what is not there.
    """
    node = binder.parse(trigger.sql)
    assert isinstance(node, s.CreateTrigger)
    target = binder.schema.target_of(trigger)
    if target is None:
        raise SchemaError(f"no such table: {trigger.table}")
    table = target if isinstance(target, Table) else view_table(binder, target)
    program_columns(table, node)
    for step in [*node.steps, *([when_query(node)] if node.when is not None else [])]:
        binder.bind_step(trigger, table, step)
