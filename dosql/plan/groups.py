"""``(SELECT max(total) FROM orders o WHERE o.customer = c.id)`` as the groups of ``orders`` by ``customer``.

Where a correlated total is asked for often, all its groups are computed at once, and looked up by the values of the
row around it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from dosql.plan.expr import Aggregate, Col, Const, Expr, Op, Subquery, hashable, transform, walk
from dosql.plan.logical import Block, Output, TableSource
from dosql.types.sqltypes import SqlType


class Groups(NamedTuple):
    """A total by groups.

    Attributes:
        query: Gives the keys of each group, and its total behind them.
        keys: What the keys of the wanted group are, over the rows around the subquery.
        nothing: Gives the total of no rows.
    """

    query: Block
    keys: list[Expr]
    nothing: Block


def as_groups(expr: Subquery) -> Groups | None:
    """Returns a scalar subquery as groups; None where what it reads of the rows around it is more than their keys."""
    block = expr.query
    if expr.kind != "scalar" or expr.column or not expr.passed or not isinstance(block, Block):
        return None
    if not block.grouped or block.group_by or block.having is not None or block.visible != 1 or block.distinct:
        return None
    if block.order_by or block.limit is not None or block.offset is not None:
        return None
    outer = {(col.source, col.index): passed for col, passed in zip(expr.outer, expr.passed, strict=True)}

    def reads(part: Expr, *, around: bool) -> bool:
        return any(isinstance(p, Col) and ((p.source, p.index) in outer) is around for p in walk(part))

    where: list[Expr] = []
    pairs: list[tuple[Op, Expr, Expr]] = []
    for condition in block.where:
        if not reads(condition, around=True):
            where.append(condition)
            continue
        if not isinstance(condition, Op) or condition.op != "=":
            return None
        mine, theirs = condition.args
        if reads(mine, around=True):
            mine, theirs = theirs, mine
        if reads(mine, around=True) or reads(theirs, around=False) or not hashable(mine, theirs):
            return None
        pairs.append((condition, mine, theirs))
    if not pairs or not all(isinstance(step.source, TableSource) and not step.left for step in block.steps):
        return None
    rest = [*where, *(c for step in block.steps for c in step.on), *_computed(block)]
    if any(reads(e, around=True) or any(isinstance(p, Subquery) for p in walk(e)) for e in rest):
        return None
    if any(isinstance(p, Subquery) for _, mine, theirs in pairs for e in (mine, theirs) for p in walk(e)):
        return None
    count, source = len(pairs), block.group_source

    def shifted(part: Expr) -> Expr | None:
        return replace(part, index=part.index + count) if isinstance(part, Col) and part.source == source else None

    def around(part: Expr) -> Expr | None:
        return outer.get((part.source, part.index)) if isinstance(part, Col) else None

    own = [_folded(mine, condition) for condition, mine, _ in pairs]
    outputs = [Output(Col(source, i, key.type, key.nullable, "key"), "") for i, key in enumerate(own)]
    outputs.append(Output(transform(block.outputs[0].expr, shifted), ""))
    return Groups(
        replace(block, where=where, group_by=own, outputs=outputs, visible=count + 1),
        [transform(_folded(theirs, condition), around) for condition, _, theirs in pairs],
        replace(block, where=[Const(0, SqlType.INTEGER)]),
    )


def _folded(expr: Expr, condition: Op) -> Expr:
    if not condition.collation:
        return expr
    return Op("FOLD", (expr,), expr.type, expr.nullable, condition.collation)


def _computed(block: Block) -> list[Expr]:
    """Returns what is computed of a block's rows."""
    out = [output.expr for output in block.outputs]
    for aggregate in block.aggregates:
        out += _of_aggregate(aggregate)
    return out


def _of_aggregate(aggregate: Aggregate) -> list[Expr]:
    conditions = [] if aggregate.filter is None else [aggregate.filter]
    return [*aggregate.args, *(expr for expr, _, _ in aggregate.order), *conditions]
