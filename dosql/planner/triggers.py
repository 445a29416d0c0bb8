"""CREATE TRIGGER, the programs of triggers, and changes of views.

Inside a trigger ``NEW.x`` and ``OLD.x`` are parameters: the statements of its body are bound as any other, with two
more names in sight.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from dosql.errors import Position, SchemaError, SqlSyntaxError
from dosql.plan import logical as l
from dosql.plan import syntax as s
from dosql.plan.expr import ROW_KEY, CastTo, Col, Expr, Op, Param, Subquery
from dosql.planner.definitions import shown_type
from dosql.planner.scope import Relation, Scope, nearest
from dosql.schema import Column, Table, Trigger, View
from dosql.types.sqltypes import SqlType

if TYPE_CHECKING:
    from dosql.planner.binder import Binder

_KEY_NAMES = ("rowid", "oid", "_rowid_")
_QUERY = "SELECT"


def row_scope(table: Table, event: str) -> Scope:
    """Returns the names OLD and NEW, as parameters: the columns of OLD and its key, then those of NEW."""
    width = len(table.columns) + 1
    scope = Scope(None)
    for number, (name, absent) in enumerate((("old", "INSERT"), ("new", "DELETE"))):
        if event == absent:
            continue
        params = {
            c.name.lower(): Param(number * width + i, c.type, True, c.collation, i == table.key_column)
            for i, c in enumerate(table.columns)
        }
        key = Param(number * width + width - 1, SqlType.INTEGER, True, affinity=True)
        for key_name in _KEY_NAMES:
            params.setdefault(key_name, key)
        scope.relations.append(Relation(-1, name, [], None, params=params))
    return scope


def parameter_names(table: Table) -> list[int | str]:
    """Returns names for the places of the parameters of :func:`row_scope`."""
    names = [*(c.name for c in table.columns), "rowid"]
    return [f"{row}.{name}" for row in ("old", "new") for name in names]


def view_table(binder: Binder, view: View) -> Table:
    """Returns a table that has the columns of a view."""
    scope = Scope(None)
    source = binder.source(s.TableRef(view.name, db=view.db), scope)
    columns = scope.relations[0].columns
    names = [d for _, d in column_types(source.query)] if isinstance(source, l.QuerySource) else [""] * len(columns)
    found = tuple(Column(c.name, c.type, d) for c, d in zip(columns, names, strict=True))
    return Table(-1, view.name, found, db=view.db)


ColumnType = tuple[SqlType, str]
_NO_TYPE = (SqlType.ANY, "")


def column_types(query: l.Query) -> list[ColumnType]:
    """Returns type and declared type of a query's columns: of the table's column, or of CAST; else none."""
    if isinstance(query, l.CompoundRows):
        left, right = column_types(query.left), column_types(query.right)
        return [a if a[0] is b[0] else _NO_TYPE for a, b in zip(left, right, strict=True)]
    if not isinstance(query, l.Block):
        return [_NO_TYPE] * query.visible
    return [_column_type(query, output.expr) for output in query.outputs[: query.visible]]


def _column_type(query: l.Block, expr: Expr) -> ColumnType:
    if isinstance(expr, Col) and expr.source == query.group_source:
        keys = len(query.group_by)
        if expr.index < keys:
            return _column_type(query, query.group_by[expr.index])
        aggregate = query.aggregates[expr.index - keys] if expr.index - keys < len(query.aggregates) else None
        bare = aggregate is not None and aggregate.name == "bare"
        return _column_type(query, aggregate.args[0]) if aggregate is not None and bare else _NO_TYPE
    if isinstance(expr, CastTo):
        return expr.type, shown_type(expr.type)
    if isinstance(expr, Op) and expr.op == "COLLATE":
        return _column_type(query, expr.args[0])
    if isinstance(expr, Subquery) and expr.kind == "scalar":
        return column_types(expr.query)[0]
    if isinstance(expr, Col):
        source = next((step.source for step in query.steps if step.source.number == expr.source), None)
        if isinstance(source, l.TableSource):
            column = None if expr.index == ROW_KEY else source.table.columns[expr.index]
            return (SqlType.INTEGER, "INTEGER") if column is None else (column.type, column.declared)
        if isinstance(source, l.QuerySource):
            return column_types(source.query)[expr.index]
    return _NO_TYPE


def bind_create_trigger(binder: Binder, node: s.CreateTrigger) -> l.CreateTriggerStatement:
    """Binds CREATE TRIGGER; its body is bound when it is first needed, as in SQLite.

    Raises:
        SchemaError: There is one of that name, or its table does not exist.
    """
    at = Position.at(binder.sql, node.at)
    db = node.target_db or (node.db if node.db != "temp" else "")
    schema = binder.space(db)
    view, table = schema.view(node.table), schema.table(node.table)
    target = table or view
    if target is None:
        names = [t.name for t in schema.tables] + [v.name for v in schema.views]
        raise SchemaError(f"no such table: {node.table}", hint=nearest(node.table, names), position=at)
    home = node.db or target.db
    if home != (target.db or "main") and home not in ("", "temp"):
        raise SchemaError(f"trigger {node.name} cannot reference objects in database {target.db}", position=at)
    if binder.space(home or "main").trigger(node.name) is not None:
        if node.if_not_exists:
            return l.CreateTriggerStatement(None)
        raise SchemaError(f"trigger {node.name} already exists", code="ALREADY_EXISTS", position=at)
    if table is not None and table.system:
        raise SchemaError("cannot create trigger on system table", position=at)
    if view is not None and node.timing != "INSTEAD OF":
        raise SchemaError(f"cannot create {node.timing} trigger on view: {view.name}", position=at)
    if view is None and node.timing == "INSTEAD OF":
        raise SchemaError(f"cannot create INSTEAD OF trigger on table: {node.table}", position=at)
    if home != "temp":
        stay_at_home(node.steps, target.db or "main", f"trigger {node.name}")
    elsewhere = (target.db or "main") if home == "temp" and target.db != "temp" else ""
    return l.CreateTriggerStatement(Trigger(node.name, target.name, node.timing, node.event, node.sql, home, elsewhere))


def stay_at_home(node: Any, db: str, owner: str) -> None:
    """Makes names of a trigger's or a view's own database plain. ``owner`` says what it is, for the message.

    Raises:
        SchemaError: It names another database.
    """
    if isinstance(node, list | tuple):
        for part in node:
            stay_at_home(part, db, owner)
        return
    if not is_dataclass(node):
        return
    if isinstance(node, s.TableRef | s.Insert | s.Update | s.Delete) and node.db:
        if node.db != db:
            raise SchemaError(f"{owner} cannot reference objects in database {node.db}")
        node.db = ""
    for part in fields(node):
        stay_at_home(getattr(node, part.name), db, owner)


def program_columns(table: Table, node: s.CreateTrigger) -> frozenset[int]:
    """Returns the positions of UPDATE OF."""
    out = set()
    for name in node.columns:
        position = table.positions.get(name.lower())
        if position is None:
            raise SchemaError(f"no such column: {name}", code="COLUMN_NOT_FOUND")
        out.add(position)
    return frozenset(out)


def when_query(node: s.CreateTrigger) -> s.Query:
    """Returns WHEN as a query of one row, ``SELECT condition``."""
    assert node.when is not None
    return s.Query(s.Select([(node.when, None)]))


def _fires(binder: Binder, trigger: Trigger, table: Table, targets: list[int]) -> bool:
    """Whether a trigger fires for an UPDATE of these columns."""
    parsed = binder.parse(trigger.sql)
    assert isinstance(parsed, s.CreateTrigger)
    columns = program_columns(table, parsed)
    return not columns or not columns.isdisjoint(targets)


def bind_view_change(binder: Binder, view: View, node: s.Insert | s.Update | s.Delete) -> l.ViewChangeStatement:
    """Binds a change of a view, which its INSTEAD OF triggers carry out.

    Raises:
        SchemaError: It has none.
    """
    event = type(node).__name__.upper()
    at = Position.at(binder.sql, node.at)
    triggers = [t for t in binder.schema.triggers_of(view) if t.event == event]
    refused = SchemaError(f"cannot modify {view.name} because it is a view", position=at)
    if not triggers:
        raise refused
    table = view_table(binder, view)
    names = table.positions

    def position(name: str) -> int:
        if name.lower() not in names:
            hint = nearest(name, (c.name for c in table.columns))
            raise SchemaError(f"no such column: {name}", code="COLUMN_NOT_FOUND", hint=hint, position=at)
        return names[name.lower()]

    if isinstance(node, s.Insert):
        targets = [position(name) for name in node.columns] or list(range(len(table.columns)))
        query = None if node.source is None else binder.query(node.source, None)
        if query is not None and query.visible != len(targets):
            raise SqlSyntaxError(
                f"table {view.name} has {len(targets)} columns but {query.visible} values were supplied", position=at
            )
        return l.ViewChangeStatement(event, table, targets, query, conflict=node.conflict)
    given = node.assignments if isinstance(node, s.Update) else []
    targets = [position(name) for name, _, _ in given]
    if given and not any(_fires(binder, trigger, table, targets) for trigger in triggers):
        raise refused
    alias = node.alias or view.name
    items: list[tuple[s.Expr, str | None]] = [(s.Name(alias, c.name), None) for c in table.columns]
    items += [(value, None) for _, value, _ in given]
    source: s.FromItem = s.TableRef(view.name, alias)
    if isinstance(node, s.Update) and node.source is not None:
        source = s.Join("INNER", source, node.source)
    query = binder.query(s.Query(s.Select(items, source, node.where)), None)
    conflict = node.conflict if isinstance(node, s.Update) else None
    return l.ViewChangeStatement(event, table, targets, query, conflict=conflict)


__all__ = [
    "ROW_KEY",
    "bind_create_trigger",
    "bind_view_change",
    "parameter_names",
    "program_columns",
    "row_scope",
    "view_table",
    "when_query",
]
