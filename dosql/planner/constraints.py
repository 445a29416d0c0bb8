"""Expressions that belong to tables: CHECK, DEFAULT (...), and ON CONFLICT DO UPDATE.

Each becomes a block over rows that are handed to it, as RETURNING is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from dosql.errors import Position, SchemaError, SqlError, SqlSyntaxError
from dosql.plan import logical as l
from dosql.plan import syntax as s
from dosql.plan.expr import NULL, ROW_KEY, CaseWhen, Col, Const, Expr, Op, Subquery, conjuncts, walk
from dosql.planner.binder_expr import ExpressionBinder
from dosql.planner.comparing import uncollated
from dosql.planner.definitions import collation_named
from dosql.planner.determinism import CHECK, pure, require_determinism
from dosql.planner.generated import generated_block
from dosql.planner.index_terms import alike, implied, index_terms
from dosql.planner.scope import Relation, Scope, key_column, nearest, table_relation
from dosql.schema import Table
from dosql.types.sqltypes import SqlType

if TYPE_CHECKING:
    from dosql.planner.binder import Binder


def checks_block(binder: Binder, table: Table, changed: frozenset[int] | None = None) -> l.Block | None:
    """Returns a block that gives, for each row, the place of the first CHECK that it violates, or NULL.

    Args:
        binder: Binds the conditions.
        table: The table.
        changed: Positions of the columns that a statement sets: checks that read none of them hold as before, and are
            left out. None for all.
    """
    if not table.checks:
        return None
    block, scope = _over(binder, table)
    whens: list[tuple[Expr, Expr]] = []
    touched = None if changed is None else _touched(table, changed)
    for place, check in enumerate(table.checks):
        condition = _bound(binder, check.sql, scope, "CHECK")
        if touched is not None and not any(isinstance(part, Col) and part.index in touched for part in walk(condition)):
            continue
        fails = Op("NOT", (pure(condition, CHECK),), SqlType.INTEGER, condition.nullable)
        whens.append((fails, Const(place, SqlType.INTEGER)))
    if not whens:
        return None
    block.outputs = [l.Output(CaseWhen(tuple(whens), NULL, SqlType.INTEGER, True), "violated")]
    block.visible = 1
    return block


def _touched(table: Table, changed: frozenset[int]) -> frozenset[int]:
    """Returns the columns whose values a change can alter, generated ones among them, as conditions number them."""
    key = {ROW_KEY} if table.key_column in changed or ROW_KEY in changed else set()
    return changed | key | frozenset(table.generated)


def defaults_block(binder: Binder, table: Table, columns: list[int]) -> l.Block | None:
    """Returns a block that gives the values of defaults that are expressions, for each row handed to it."""
    if not columns:
        return None
    block, _ = _over(binder, table)
    scope = Scope(None)
    block.outputs = [
        l.Output(_bound(binder, table.columns[c].default_sql, scope, "DEFAULT"), table.columns[c].name) for c in columns
    ]
    block.visible = len(columns)
    return block


def bind_upsert(binder: Binder, table: Table, alias: str | None, node: s.Upsert) -> l.Upsert:
    """Binds one ON CONFLICT clause.

    Raises:
        SqlError: Its columns are no key; a name does not exist.
    """
    keys = _conflict_keys(binder, table, node) if node.columns else None
    if not node.assignments:
        return l.Upsert(keys, [], None)
    both = with_excluded(table)
    block, scope = _over(binder, both, table, alias)
    number = scope.relations[0].number
    width = len(table.columns)
    excluded = [Col(number, width + i, c.type, True, c.name) for i, c in enumerate(table.columns)]
    key = Col(number, width + table.key_column, SqlType.INTEGER, True, "rowid") if table.key_column >= 0 else None
    scope.add(
        Relation(number, "excluded", excluded, key, hidden={c.name.lower() for c in table.columns}), binder.sql, 0
    )
    block.outputs = [l.Output(key_column(number), "rowid")]
    targets = bind_assignments(binder, table, scope, node.assignments, block)
    if node.where is not None:
        block.where = conjuncts(ExpressionBinder(binder, scope, "WHERE").bind(node.where))
    block.visible = len(block.outputs)
    return l.Upsert(keys, targets, block)


def _conflict_keys(binder: Binder, table: Table, node: s.Upsert) -> frozenset[int]:
    """Returns the ids of the UNIQUE indexes that ON CONFLICT names, 0 for the row key."""
    _, scope = _over(binder, table)
    number = scope.relations[0].number
    given: list[Expr] = []
    collations: list[str | None] = []
    for term in node.columns:
        collations.append(collation_named(term.collation) if term.collation else None)
        if term.column:
            position = column_of(binder, table, term.column, node.at)
            given.append(scope.relations[0].columns[position] if position >= 0 else key_column(number))
        else:
            given.append(uncollated(_bound(binder, term.sql, scope, "ON CONFLICT")))
    where = ExpressionBinder(binder, scope, "WHERE").bind(node.target_where) if node.target_where else None
    found: set[int] = set()
    if len(given) == 1 and isinstance(given[0], Col) and given[0].index == ROW_KEY:
        found.add(0)
    for index in binder.schema.indexes_of(table.id):
        if not index.unique or len(set(index.columns)) != len(given):
            continue
        terms, conditions = index_terms(binder, table, index).over(number)
        fits = [
            any(alike(t, g) and c in (None, index.collation(i)) for g, c in zip(given, collations, strict=True))
            for i, t in enumerate(terms)
        ]
        if all(fits) and implied(conditions, conjuncts(where)):
            found.add(index.id)
    if not found:
        raise SchemaError(
            "ON CONFLICT clause does not match any PRIMARY KEY or UNIQUE constraint",
            code="CONSTRAINT_NOT_FOUND",
            position=Position.at(binder.sql, node.at),
        )
    return frozenset(found)


def with_excluded(table: Table) -> Table:
    """Returns a table whose rows are a row of ``table`` and, behind it, all of the row that was not inserted."""
    again = tuple(msgspec.structs.replace(c, name=f"excluded.{c.name}", nullable=True) for c in table.columns)
    return msgspec.structs.replace(table, columns=table.columns + again)


def validate(binder: Binder, statement: l.CreateTableStatement) -> None:
    """Binds what a new table's constraints say, so that they are wrong now and not later.

    Raises:
        SqlError: A name does not exist, or something stands where it cannot.
    """
    table = statement.table(0)
    generated_block(binder, table)
    block = checks_block(binder, table)
    with_default = [i for i, c in enumerate(table.columns) if c.default_sql]
    defaults = defaults_block(binder, table, with_default)
    for output in block.outputs if block is not None else ():
        require_determinism(output.expr, CHECK)
    for output in defaults.outputs if defaults is not None else ():
        if any(isinstance(part, Subquery) for part in walk(output.expr)):
            raise SqlSyntaxError("subqueries are prohibited in DEFAULT")
    if binder.param_keys:
        raise SqlSyntaxError("parameters are prohibited in CREATE TABLE")


def given_block(binder: Binder, table: Table, alias: str | None) -> tuple[l.Block, Scope]:
    """Returns an empty block over rows of a table that are handed to it, and the scope of its names."""
    return _over(binder, table, table, alias)


def _over(binder: Binder, rows: Table, table: Table | None = None, alias: str | None = None) -> tuple[l.Block, Scope]:
    """Returns an empty block over rows that are handed to it, and the scope of its names: those of ``table``."""
    table = table or rows
    number = binder.new_source()
    scope = binder.root()
    scope.add(table_relation(number, alias or table.name, table), binder.sql, 0)
    return l.Block([l.JoinStep(l.GivenSource(number, table.name, rows))], [], [], 0), scope


def _bound(binder: Binder, sql: str, scope: Scope, place: str) -> Expr:
    outer, binder.sql = binder.sql, f"SELECT {sql}"
    try:
        return ExpressionBinder(binder, scope, place).bind(binder.parse_expression(binder.sql))
    except SqlError as e:
        raise SqlError(f"{place} {sql}: {e.message}", code=e.code, hint=e.hint) from e
    finally:
        binder.sql = outer


def bind_assignments(
    binder: Binder, table: Table, scope: Scope, given: list[tuple[str, s.Expr, int]], block: l.Block
) -> list[int]:
    """Adds the new values of SET to a block's outputs; returns the columns that they are for."""
    targets: list[int] = []
    expressions = ExpressionBinder(binder, scope, "SET")
    for name, value, at in given:
        position = column_of(binder, table, name, at)
        if position >= 0 and table.columns[position].generated:
            raise SqlSyntaxError(f'cannot UPDATE generated column "{table.columns[position].name}"')
        output = l.Output(expressions.bind(value), name)
        if position in targets:  # SQLite: the last one counts
            block.outputs[targets.index(position) + 1] = output
        else:
            targets.append(position)
            block.outputs.append(output)
    return targets


def check_written(binder: Binder, table: Table, targets: list[int]) -> None:
    """Raises if a generated column is among those that a statement gives values."""
    for target in targets:
        if target >= 0 and table.columns[target].generated:
            raise SqlSyntaxError(f'cannot INSERT into generated column "{table.columns[target].name}"')


def column_of(binder: Binder, table: Table, name: str, at: int = 0) -> int:
    """Returns the position of a column."""
    position = table.positions.get(name.lower())
    if position is None:
        if table.key_column < 0 and name.lower() in ("rowid", "oid", "_rowid_"):
            return ROW_KEY
        raise SchemaError(
            f"table {table.name} has no column named {name}",
            code="COLUMN_NOT_FOUND",
            hint=nearest(name, (c.name for c in table.columns)),
            position=Position.at(binder.sql, at) if at else None,
        )
    return position
