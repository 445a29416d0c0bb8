"""INSERT, UPDATE and DELETE: from syntax to bound statements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dosql.errors import Position, RequestError, SchemaError, SqlSyntaxError
from dosql.plan import logical as l
from dosql.plan import syntax as s
from dosql.plan.expr import IGNORED, ROW_KEY, Subquery, collation_of, conjuncts, walk
from dosql.planner.binder_expr import ExpressionBinder
from dosql.planner.constraints import (
    bind_assignments,
    bind_upsert,
    check_written,
    column_of,
    defaults_block,
    given_block,
)
from dosql.planner.joins import bind_from
from dosql.planner.scope import Scope, key_column, table_relation
from dosql.planner.terms import item_name, with_texts
from dosql.schema import Table

if TYPE_CHECKING:
    from dosql.planner.binder import Binder


def bind_insert(binder: Binder, node: s.Insert) -> l.InsertStatement:
    """Binds INSERT."""
    table = _written(binder, node.table, node.at, node.db)
    everything = [i for i, c in enumerate(table.columns) if not c.generated]
    targets = [column_of(binder, table, c, node.at) for c in node.columns] or everything
    check_written(binder, table, targets)
    if len(set(targets)) != len(targets):  # SQLite: the first one counts, of the row's key the last
        last = {target: place for place, target in enumerate(targets) if target in (table.key_column, ROW_KEY)}
        targets = [
            IGNORED if place != last.get(target, targets.index(target)) else target
            for place, target in enumerate(targets)
        ]
    query = None
    if node.source is not None:
        query = binder.query(node.source, None)
        if query.visible != len(targets):
            raise SqlSyntaxError(
                f"table {table.name} gets {query.visible} values for {len(targets)} columns",
                position=Position.at(binder.sql, node.at),
            )
    returning = returning_block(binder, table, node)
    bound = l.InsertStatement(table, targets if query else [], query, node.conflict, returning)
    bound.upserts = [bind_upsert(binder, table, node.alias, upsert) for upsert in node.upserts]
    bound.default_columns = [i for i, c in enumerate(table.columns) if c.default_sql and i not in bound.targets]
    bound.defaults = defaults_block(binder, table, bound.default_columns)
    return bound


def bind_update(binder: Binder, node: s.Update) -> l.UpdateStatement:
    """Binds UPDATE."""
    table = _written(binder, node.table, node.at, node.db)
    with binder.with_ctes(node.limited):
        block, scope = _target_block(binder, table, node, node.source)
        targets = bind_assignments(binder, table, scope, node.assignments, block)
        block.visible = len(block.outputs)
        _limit(binder, node.limited, block, scope)
        returning = returning_block(binder, table, node)
        again = None
        if binder.schema.triggers_of(table) and node.source is None:
            again, scope = given_block(binder, table, node.alias)
            again.outputs = [l.Output(key_column(scope.relations[0].number), "rowid")]
            bind_assignments(binder, table, scope, node.assignments, again)
            again.visible = len(again.outputs)
            if any(isinstance(e, Subquery) and not e.outer for o in again.outputs for e in walk(o.expr)):
                again = None  # what does not depend on the row is computed once
    joined = node.source is not None
    return l.UpdateStatement(table, targets, block, returning, node.conflict, joined, again)


def bind_delete(binder: Binder, node: s.Delete) -> l.DeleteStatement:
    """Binds DELETE."""
    table = _written(binder, node.table, node.at, node.db)
    with binder.with_ctes(node.limited):
        block, scope = _target_block(binder, table, node)
        _limit(binder, node.limited, block, scope)
        return l.DeleteStatement(table, block, returning_block(binder, table, node))


def _limit(binder: Binder, given: s.Query | None, block: l.Block, scope: Scope) -> None:
    """Adds ORDER BY and LIMIT of a change: which rows it is for."""
    if given is None:
        return
    expressions = ExpressionBinder(binder, scope, "ORDER BY")
    for item in given.order_by:
        bound = expressions.bind(item.value)
        block.outputs.append(l.Output(bound, ""))
        key = l.SortKey(len(block.outputs) - 1, item.descending, item.nulls_first, collation_of(bound))
        block.order_by.append(key)
    block.limit, block.offset = binder.limits(given, scope)


def _target_block(
    binder: Binder, table: Table, node: s.Update | s.Delete, source: s.FromItem | None = None
) -> tuple[l.Block, Scope]:
    number, name, where = binder.new_source(), node.alias or table.name, node.where
    scope = binder.root()
    scope.add(table_relation(number, name, table), binder.sql, 0)
    step = l.JoinStep(l.TableSource(number, name, table, binder.indexed_by(table, node.index, node.at)))
    block = l.Block([step], [], [l.Output(key_column(number), "rowid")], 1)
    if source is not None:
        if isinstance(source, s.Join):  # its conditions do not see the table that is changed
            inner = Scope(scope.parent, outer_uses=scope.outer_uses)
            bind_from(binder, source, inner, block)
            _merged_once(inner, Position.at(binder.sql, node.at))
            scope.relations += inner.relations
        else:
            bind_from(binder, source, scope, block)
        for other in block.steps[1:]:
            twice = isinstance(other.source, l.TableSource) and other.source.table.id == table.id
            if twice and other.source.alias.lower() == name.lower():
                message = f"target object/alias may not appear in FROM clause: {name}"
                raise SqlSyntaxError(message, hint="Name one of the two apart with AS")
        _named_once(scope)
    if where is not None:
        block.where += conjuncts(ExpressionBinder(binder, scope, "WHERE").bind(where))
    return block, scope


def _merged_once(scope: Scope, at: Position) -> None:
    """Raises if a further table has a column that USING or NATURAL merged: SQLite reads all their columns, by name."""
    for name in sorted(set().union(*(relation.hidden for relation in scope.relations))):
        if sum(r.named(name) is not None and name not in r.hidden for r in scope.relations) > 1:
            hint = "Join with ON, or put the tables into a subquery"
            raise SchemaError(f"ambiguous column name: {name}", code="AMBIGUOUS_COLUMN", hint=hint, position=at)


def _named_once(scope: Scope) -> None:
    """Raises if two sources of UPDATE ... FROM have one name: SQLite reads all their columns, by name."""
    names: set[str] = set()
    for relation in scope.relations[1:]:
        if relation.alias.lower() in names and relation.columns:
            raise SqlSyntaxError(
                f"ambiguous column name: {relation.alias}.{relation.columns[0].name}", hint="Name them apart with AS"
            )
        names.add(relation.alias.lower())


def returning_block(binder: Binder, table: Table, node: s.Insert | s.Update | s.Delete) -> l.Block | None:
    """Returns what RETURNING shows of rows of a table, or of a view whose columns it has."""
    if not node.returning:
        return None
    number = binder.new_source()
    scope = Scope(None)
    scope.add(table_relation(number, table.name, table), binder.sql, 0)
    block = l.Block([l.JoinStep(l.GivenSource(number, table.name, table))], [], [], 0)
    expressions = ExpressionBinder(binder, scope, "RETURNING")
    for item, name, text in with_texts(node.returning, node.texts):
        if isinstance(item, s.Star):
            block.outputs += binder.star(item, scope)
        else:
            bound = expressions.bind(item)
            block.outputs.append(l.Output(bound, name or item_name(item, text, bound)))
    block.visible = len(block.outputs)
    return block


def _written(binder: Binder, name: str, at: int, db: str) -> Table:
    """Returns a table that a statement changes."""
    table = binder.table(name, at, db)
    if table.system and table.name != "sqlite_sequence":
        at_text = Position.at(binder.sql, at)
        raise RequestError(f"table {table.name} may not be modified", code="FORBIDDEN", position=at_text)
    return table
