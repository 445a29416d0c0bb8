"""``SELECT ... FROM (SELECT a + 1 AS b FROM t WHERE c) WHERE b = 5`` reads t itself: views, CTEs and subqueries in FROM
that only choose columns and rows become part of the query around them, so that its conditions find their index.
"""

from __future__ import annotations

from dataclasses import replace

from dosql.plan.expr import Col, Const, Expr, Param, walk
from dosql.plan.logical import Block, JoinStep, Query, QuerySource, TableSource
from dosql.planner.rules.facts import Facts, expressions, has_subquery, stable, substituted

_SOURCES_MAX = 40
_COPIED_PARTS_MAX = 30
"""Parts of an expression that may be written out once more for each time that it is used."""


def merge_queries(block: Block, facts: Facts) -> Block:
    """Returns a block without subqueries in FROM that can be part of it."""
    merging = True
    while merging:
        merging = False
        for place, step in enumerate(block.steps):
            inner = step.source.query if isinstance(step.source, QuerySource) else None
            if isinstance(inner, Block) and is_simple(inner) and _fits(block, place, inner):
                block = _merged(block, place, inner)
                merging = True
                break
    return block


def is_simple(inner: Query) -> bool:
    """Whether a query does no more than choose rows and columns."""
    if not isinstance(inner, Block):
        return False
    ends = inner.limit is not None or inner.offset is not None or bool(inner.order_by)
    return bool(inner.steps) and not (inner.grouped or inner.distinct or ends)


def _fits(block: Block, place: int, inner: Block) -> bool:
    step = block.steps[place]
    if len(block.steps) + len(inner.steps) > _SOURCES_MAX:
        return False
    number = step.source.number
    uses: dict[int, int] = {}
    for expr in expressions(block):
        for part in walk(expr):
            if isinstance(part, Col) and part.source == number:
                uses[part.index] = uses.get(part.index, 0) + 1
    used = {index: inner.outputs[index].expr for index in uses if 0 <= index < len(inner.outputs)}
    if len(used) < len(uses):
        return False
    if step.left:  # where nothing matches all must be NULL, so only columns will do
        alone = len(inner.steps) == 1 and isinstance(inner.steps[0].source, TableSource)
        return alone and all(isinstance(e, Col) and e.source == inner.steps[0].source.number for e in used.values())
    if any(s.left for s in inner.steps) and (len(block.steps) > place + 1 or any(s.left for s in block.steps)):
        return False
    return all(_copies(expr, uses[index]) for index, expr in used.items())


def _copies(expr: Expr, times: int) -> bool:
    """Whether an expression may stand in several places."""
    if isinstance(expr, Col | Const | Param):
        return True
    if not stable(expr):
        return False
    return times == 1 or (not has_subquery(expr) and times * sum(1 for _ in walk(expr)) <= _COPIED_PARTS_MAX)


def _merged(block: Block, place: int, inner: Block) -> Block:
    step = block.steps[place]
    number = step.source.number
    known: dict[tuple[int, int], Expr] = {(number, i): o.expr for i, o in enumerate(inner.outputs)}
    if step.left:
        known = {key: replace(e, nullable=True) for key, e in known.items() if isinstance(e, Col)}
    outer = substituted(block, known)
    before, here, after = outer.steps[:place], outer.steps[place], outer.steps[place + 1 :]
    if step.left:
        source = inner.steps[0].source
        return replace(outer, steps=[*before, JoinStep(source, True, [*inner.where, *here.on]), *after])
    return replace(outer, steps=[*before, *inner.steps, *after], where=[*inner.where, *outer.where])
