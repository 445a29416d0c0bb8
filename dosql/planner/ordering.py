"""ORDER BY of what is no single SELECT, and what outputs read once there are groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dosql.errors import SqlSyntaxError
from dosql.plan import logical as l
from dosql.plan import syntax as s
from dosql.plan.expr import AGGREGATED, ROW_KEY, Aggregate, Col, Expr, collation_of, has_affinity, transform
from dosql.plan.uses import watcher
from dosql.planner.comparing import folded
from dosql.planner.terms import same_item, whole_number

if TYPE_CHECKING:
    from dosql.planner.binder import Binder
    from dosql.planner.binder_expr import ExpressionBinder


def sorting(binder: Binder, value: s.Expr, expr: Expr) -> str:
    """Returns the collation of a term of ORDER BY."""
    if isinstance(value, s.Collate):
        return binder.collation(value.name, value.at)
    return collation_of(expr)


def order_outputs(binder: Binder, query: s.Query, bound: l.ValuesRows | l.CompoundRows | l.RecursiveRows) -> None:
    """Binds ORDER BY of what is no single SELECT."""
    names = [o.name.lower() for o in bound.outputs]
    for item in query.order_by:
        value = item.value
        while isinstance(value, s.Collate):
            value = value.value
        if isinstance(value, s.Literal) and isinstance(value.value, int) and 1 <= value.value <= len(names):
            place = value.value - 1
        elif isinstance(value, s.Name) and value.table is None and value.column.lower() in names:
            place = names.index(value.column.lower())
            uses = watcher(binder.sql)
            if uses is not None and (first := s.first_select(query.body)) is not None:
                shown, alias = first.items[place] if place < len(first.items) else (None, None)
                uses.same(value, shown if alias is None else None)
        elif (found := same_item(query.body, value)) is not None:
            place = found
        else:
            raise SqlSyntaxError("an ORDER BY term of a compound SELECT must be a result column")
        collation = sorting(binder, item.value, bound.outputs[place].expr)
        bound.order_by.append(l.SortKey(place, item.descending, item.nulls_first, collation))


def order_select(
    binder: Binder, query: s.Query, aliases: dict[str, int], block: l.Block, expressions: ExpressionBinder
) -> None:
    """Binds ORDER BY of a single SELECT. What stands behind the row's key orders nothing, and is left out."""
    for item in query.order_by:
        number = whole_number(item.value)
        if expressions.decided:
            if number is None:
                expressions.bind(item.value)
            continue
        if number is not None:
            place = block.outputs.index(binder.position(number, block))
        else:
            place = _place(item.value, aliases, block, expressions)
        expr = block.outputs[place].expr
        key = l.SortKey(place, item.descending, item.nulls_first, sorting(binder, item.value, expr))
        block.order_by.append(key)
        alone = len(block.steps) == 1 and isinstance(block.steps[0].source, l.TableSource) and not block.grouped
        expressions.decided = alone and isinstance(expr, Col) and expr.index == ROW_KEY


def _place(value: s.Expr, aliases: dict[str, int], block: l.Block, expressions: ExpressionBinder) -> int:
    """Returns the place of the output that an ORDER BY term sorts by; a hidden one is made if needed."""
    if isinstance(value, s.Name) and value.table is None and value.column.lower() in aliases:
        return aliases[value.column.lower()]
    bound = expressions.bind(value)
    for i, output in enumerate(block.outputs):
        if output.expr == bound:
            return i
    block.outputs.append(l.Output(bound, ""))
    return len(block.outputs) - 1


def regroup(block: l.Block, pending: list[Aggregate]) -> None:
    """Makes outputs and HAVING read the groups: their keys, the aggregates, and bare columns."""
    keys = block.group_by
    group = block.group_source

    def rule(expr: Expr) -> Expr | None:
        if expr in keys and not collation_of(expr):
            i = keys.index(expr)
            name = expr.name if isinstance(expr, Col) else "key"
            return Col(group, i, expr.type, expr.nullable, name, affinity=has_affinity(expr))
        if expr in keys:  # equal texts may differ; that of some row is shown
            return _bare(expr)
        if isinstance(expr, Col):
            if expr.source == group:
                place = len(keys) + expr.index - AGGREGATED
                return Col(group, place, expr.type, expr.nullable, expr.name, affinity=False)
            if expr.source in own:  # a column that is neither grouped nor aggregated: of some row
                return _bare(expr)
        return None

    def _bare(expr: Expr) -> Col:
        bare = Aggregate("bare", (expr,), False, None, expr.type, True)
        if bare not in pending:
            pending.append(bare)
        name = expr.name if isinstance(expr, Col) else "key"
        place = len(keys) + pending.index(bare)
        return Col(group, place, expr.type, True, name, collation_of(expr), has_affinity(expr))

    own = {step.source.number for step in block.steps}
    for output in block.outputs:
        output.expr = transform(output.expr, rule)
    if block.having is not None:
        block.having = transform(block.having, rule)
    block.aggregates = pending
    block.group_by = [folded(key, collation_of(key)) for key in keys]
