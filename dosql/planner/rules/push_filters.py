"""``SELECT ... FROM (SELECT a, count(*) FROM t GROUP BY a) WHERE a = 7`` counts the rows with ``a = 7`` only.

Conditions on a subquery that cannot be merged go into it, where what it leaves out depends on them alone.
"""

from __future__ import annotations

from dataclasses import replace

from dosql.plan.expr import Col, Expr, collation_of, has_affinity, transform, walk
from dosql.plan.logical import Block, CompoundRows, JoinStep, Query, QuerySource, WindowRows
from dosql.planner.rules.facts import Facts, about, has_subquery, stable


def push_filters(block: Block, facts: Facts) -> Block:
    """Returns a block whose subqueries in FROM have its conditions on them."""
    where, steps = list(block.where), list(block.steps)
    for place, step in enumerate(steps):
        source = step.source
        if not isinstance(source, QuerySource):
            continue
        query: Query = source.query
        kept: list[Expr] = []
        for condition in step.on if step.left else where:
            filtered = _filtered(query, condition, source.number) if about(condition, source.number) else None
            if filtered is None:
                kept.append(condition)
            else:
                query = filtered
        if query is source.query:
            continue
        steps[place] = JoinStep(replace(source, query=query), step.left, kept if step.left else step.on)
        if not step.left:
            where = kept
    return block if steps == block.steps else replace(block, steps=steps, where=where)


def _filtered(query: Query, condition: Expr, number: int) -> Query | None:
    """Returns a query whose rows meet a condition on its outputs, None where only those around it can test that.

    Args:
        query: Of source ``number``.
        condition: Reads columns of that source.
    """
    if query.limit is not None or query.offset is not None:
        return None
    if isinstance(query, Block):
        return _filtered_block(query, condition, number)
    if isinstance(query, CompoundRows):
        return _filtered_compound(query, condition, number)
    return _filtered_windows(query, condition, number) if isinstance(query, WindowRows) else None


def _filtered_block(block: Block, condition: Expr, number: int) -> Block | None:
    if block.distinct and any(collation_of(o.expr) for o in block.outputs):
        return None  # which of two equal texts is shown may depend on the rows that the condition leaves out
    moved = _moved(condition, number, [o.expr for o in block.outputs])
    if moved is not None and block.grouped:
        moved = _moved(moved, block.group_source, block.group_by, alone=True) if block.group_by else None
    if moved is None or has_subquery(moved) or not stable(moved):
        return None
    return replace(block, where=[*block.where, moved])


def _filtered_compound(query: CompoundRows, condition: Expr, number: int) -> CompoundRows | None:
    if query.op != "UNION ALL" and any(collation_of(o.expr) for o in query.outputs):
        return None
    for side in (query.left, query.right):
        for whole, part in zip(query.outputs, side.outputs, strict=False):
            if _compares(whole.expr) != _compares(part.expr):
                return None
    left, right = _filtered(query.left, condition, number), _filtered(query.right, condition, number)
    return None if left is None or right is None else replace(query, left=left, right=right)


def _compares(expr: Expr) -> tuple[object, ...]:
    """Returns what decides how a value is compared."""
    return expr.type, has_affinity(expr), collation_of(expr)


def _filtered_windows(query: WindowRows, condition: Expr, number: int) -> WindowRows | None:
    """A condition on what all windows are partitioned by leaves out whole partitions."""
    read = {part.index for part in walk(condition) if isinstance(part, Col) and part.source == number}
    if not all(read <= set(call.partition) for call in query.calls):
        return None
    below = _filtered_block(query.query, condition, number)
    return None if below is None else replace(query, query=below)


def _moved(condition: Expr, number: int, columns: list[Expr], *, alone: bool = False) -> Expr | None:
    """Returns a condition that reads expressions in place of a source's columns.

    None where it reads a column that is none of them, or, with ``alone``, any other source.
    """
    read = [part for part in walk(condition) if isinstance(part, Col)]
    if any(col.index not in range(len(columns)) if col.source == number else alone for col in read):
        return None

    def rule(expr: Expr) -> Expr | None:
        return columns[expr.index] if isinstance(expr, Col) and expr.source == number else None

    return transform(condition, rule)
