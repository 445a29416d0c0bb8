"""Generated columns: their expressions, over rows that are handed to them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dosql.errors import SchemaError, SqlError, SqlSyntaxError
from dosql.plan import logical as l
from dosql.plan.expr import CastTo, Col, Expr, transform
from dosql.planner.binder_expr import ExpressionBinder
from dosql.planner.determinism import pure, require_determinism
from dosql.planner.scope import ROW_KEY_NAMES, Scope, table_relation
from dosql.planner.terms import names_in
from dosql.schema import Table

if TYPE_CHECKING:
    from dosql.planner.binder import Binder


def generated_block(binder: Binder, table: Table) -> l.Block | None:
    """Returns a block that gives the values of a table's generated columns, for each row handed to it.

    One that reads another is computed from what that is computed from.

    Raises:
        SqlError: An expression reads itself, or cannot be read.
    """
    if not table.generated:
        return None
    number = binder.new_source()
    scope = Scope(None)
    relation = table_relation(number, table.name, table)
    relation.columns = [replace(c, nullable=True) for c in relation.columns]  # BEFORE triggers see them unchecked
    scope.add(relation, binder.sql, 0)
    bound = {i: _bound(binder, table, i, scope) for i in table.generated}

    def expanded(position: int, above: tuple[int, ...]) -> Expr:
        if position in above:
            raise SqlSyntaxError(f"generated column loop on {table.columns[position].name}")

        def rule(expr: Expr) -> Expr | None:
            if isinstance(expr, Col) and expr.index in bound:
                column = table.columns[expr.index]
                return CastTo(expanded(expr.index, (*above, position)), column.type, True)
            return None

        return transform(bound[position], rule)

    outputs = [l.Output(expanded(i, ()), table.columns[i].name) for i in table.generated]
    block = l.Block([l.JoinStep(l.GivenSource(number, table.name, table))], [], outputs, len(outputs))
    block.group_source = binder.new_source()
    return block


def _bound(binder: Binder, table: Table, position: int, scope: Scope) -> Expr:
    column = table.columns[position]
    outer, binder.sql = binder.sql, f"SELECT ({column.generated})"
    try:
        parsed = binder.parse_expression(binder.sql)
        for name in names_in(parsed):
            if name.table is not None:
                raise SqlSyntaxError('the "." operator prohibited in generated columns')
            if name.column.lower() not in table.positions and name.column.lower() in ROW_KEY_NAMES:
                raise SchemaError(f"no such column: {name.column}", code="COLUMN_NOT_FOUND")
        bound = ExpressionBinder(binder, scope, "a generated column").bind(parsed)
    except SqlError as e:
        raise SqlError(f"generated column {column.name}: {e.message}", code=e.code, hint=e.hint) from e
    finally:
        binder.sql = outer
    require_determinism(bound, "a generated column")
    return pure(bound, "a generated column")
